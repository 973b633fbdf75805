/* SPDX-License-Identifier: MIT */
/* Slices awaiting the wire, compared with a flat array of the same bytes. */
#include "base/chain.h"

#include "support/pool.h"
#include "support/random.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

static mcq__slice_t letters_at(size_t off, size_t len) {
  return mcq__slice_static(letters + off, len);
}

/* A window with `n` bytes of the alphabet written, none of them frozen. */
static void open_letters(test_pool_t* t, mcq__window_t* w, size_t n) {
  assert_int_equal(mcq__window_open_exact(w, t->pool, n), 0);
  mcq__window_poke(w, 0, letters, n);
}

static void expect_text(const mcq__chain_t* c, const char* text) {
  char found[64] = {0};
  assert_int_equal(c->bytes, strlen(text));
  mcq__chain_peek(c, 0, found, c->bytes);
  assert_string_equal(found, text);
}

/* ---- joining ------------------------------------------------------------- */

static void neighbours_in_a_slab_join(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__chain_t c;
  mcq__chain_init(&c, t.mem);
  mcq__window_t w = {0};
  open_letters(&t, &w, 26);
  for (int i = 0; i < 4; i++) assert_int_equal(mcq__chain_commit(&c, &w, 3), 0);
  assert_int_equal(c.parts_.count, 1);
  mcq__slice_t s = mcq__window_freeze(&w, 2);
  assert_int_equal(mcq__chain_push(&c, s), 0);
  mcq__slice_release(&s);
  assert_int_equal(c.parts_.count, 1);
  expect_text(&c, "abcdefghijklmn");
  /* A gap ends the run. */
  s = mcq__window_freeze(&w, 1);
  mcq__slice_release(&s);
  assert_int_equal(mcq__chain_commit(&c, &w, 1), 0);
  assert_int_equal(c.parts_.count, 2);
  expect_text(&c, "abcdefghijklmnp");
  mcq__window_close(&w);
  mcq__chain_dispose(&c);
  test_pool_close(&t);
}

static void bytes_without_a_slab_never_join(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__chain_t c;
  mcq__chain_init(&c, t.mem);
  assert_int_equal(mcq__chain_push(&c, letters_at(0, 3)), 0);
  assert_int_equal(mcq__chain_push(&c, letters_at(3, 3)), 0);
  assert_int_equal(c.parts_.count, 2);
  expect_text(&c, "abcdef");
  mcq__chain_dispose(&c);
  test_pool_close(&t);
}

/* Nothing is appended for nothing, also behind a part without a slab and from
 * a window without one. */
static void nothing_is_a_no_op(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__chain_t c;
  mcq__chain_init(&c, t.mem);
  mcq__window_t none = {0};
  assert_int_equal(mcq__chain_commit(&c, &none, 0), 0);
  assert_int_equal(mcq__chain_push(&c, letters_at(0, 0)), 0);
  assert_int_equal(c.parts_.count, 0);
  assert_int_equal(mcq__chain_push(&c, letters_at(0, 1)), 0);
  assert_int_equal(mcq__chain_commit(&c, &none, 0), 0);
  assert_int_equal(c.parts_.count, 1);
  mcq__chain_drain(&c, 0);
  mcq__chain_cut(&c, 1);
  mcq__chain_cut(&c, 5);
  expect_text(&c, "a");
  mcq__iov_t iov[2];
  size_t total = 9;
  assert_int_equal(mcq__chain_fill(&c, 1, 10, iov, 2, &total), 0);
  assert_int_equal(total, 0);
  assert_int_equal(mcq__chain_fill(&c, 0, 0, iov, 2, &total), 0);
  assert_int_equal(mcq__chain_fill(&c, 0, 1, iov, 0, &total), 0);
  assert_int_equal(mcq__chain_share(&c, &c, 1, 0), 0);
  expect_text(&c, "a");
  mcq__chain_dispose(&c);
  mcq__chain_t zero = {{0}, 0};
  mcq__chain_dispose(&zero);
  test_pool_close(&t);
}

/* The last part came in by sharing, the window stands right behind it: a
 * commit lengthens that part here and nowhere else. */
static void commit_behind_a_shared_part(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__chain_t a, b;
  mcq__chain_init(&a, t.mem);
  mcq__chain_init(&b, t.mem);
  mcq__window_t w = {0};
  open_letters(&t, &w, 26);
  assert_int_equal(mcq__chain_commit(&a, &w, 5), 0);
  assert_int_equal(mcq__chain_share(&b, &a, 2, 3), 0);
  assert_int_equal(mcq__chain_commit(&b, &w, 2), 0);
  assert_int_equal(b.parts_.count, 1);
  expect_text(&a, "abcde");
  expect_text(&b, "cdefg");
  /* `a` no longer ends at the window, so it gets a part of its own. */
  assert_int_equal(mcq__chain_commit(&a, &w, 2), 0);
  assert_int_equal(a.parts_.count, 2);
  expect_text(&a, "abcdehi");
  /* Every part holds the slab by its own count. */
  mcq__window_close(&w);
  mcq__chain_dispose(&a);
  expect_text(&b, "cdefg");
  mcq__chain_dispose(&b);
  test_pool_close(&t);
}

static void a_slab_goes_with_its_last_byte(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__chain_t c;
  mcq__chain_init(&c, t.mem);
  assert_int_equal(mcq__chain_push(&c, letters_at(0, 1)), 0);
  size_t live = atomic_load(&t.alloc.live);
  mcq__window_t w = {0};
  open_letters(&t, &w, 10);
  assert_int_equal(mcq__chain_commit(&c, &w, 10), 0);
  mcq__window_close(&w);
  assert_int_equal(mcq__chain_push(&c, letters_at(20, 2)), 0);
  mcq__chain_drain(&c, 10);
  assert_int_equal(atomic_load(&t.alloc.live), live + 1);
  mcq__chain_cut(&c, 1);
  expect_text(&c, "j");
  assert_int_equal(atomic_load(&t.alloc.live), live + 1);
  mcq__chain_drain(&c, 1);
  assert_int_equal(atomic_load(&t.alloc.live), live);
  mcq__chain_dispose(&c);
  test_pool_close(&t);
}

/* ---- filling ------------------------------------------------------------- */

static void fill_skips_and_stops(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__chain_t c;
  mcq__chain_init(&c, t.mem);
  for (size_t i = 0; i < 5; i++)
    assert_int_equal(mcq__chain_push(&c, letters_at(4 * i, 4)), 0);
  mcq__iov_t iov[8];
  size_t total = 0;
  assert_int_equal(mcq__chain_fill(&c, 0, SIZE_MAX, iov, 8, &total), 5);
  assert_int_equal(total, 20);
  assert_int_equal(mcq__chain_fill(&c, 0, SIZE_MAX, iov, 3, &total), 3);
  assert_int_equal(total, 12);
  assert_int_equal(mcq__chain_fill(&c, 5, 6, iov, 8, &total), 2);
  assert_int_equal(total, 6);
  assert_true(iov[0].base == letters + 5 && iov[0].len == 3);
  assert_true(iov[1].base == letters + 8 && iov[1].len == 3);
  assert_int_equal(mcq__chain_fill(&c, 8, 4, iov, 8, &total), 1);
  assert_true(iov[0].base == letters + 8 && iov[0].len == 4);
  assert_int_equal(mcq__chain_fill(&c, 20, 4, iov, 8, &total), 0);
  assert_int_equal(mcq__chain_fill(&c, 999, 4, iov, 8, &total), 0);
  assert_int_equal(total, 0);
  mcq__chain_dispose(&c);
  test_pool_close(&t);
}

/* ---- against a model ----------------------------------------------------- */

enum { CHAINS = 3, MODEL_MAX = 20000 };

typedef struct model {
  mcq__chain_t chain;
  uint8_t bytes[MODEL_MAX];
  size_t len;
} model_t;

static void model_add(model_t* m, const void* data, size_t len) {
  memcpy(m->bytes + m->len, data, len);
  m->len += len;
}

static void expect_model(const model_t* m) {
  static uint8_t found[MODEL_MAX];
  assert_int_equal(m->chain.bytes, m->len);
  mcq__chain_peek(&m->chain, 0, found, m->len);
  assert_memory_equal(found, m->bytes, m->len);
}

static void expect_fill(const model_t* m, test_random_t* r) {
  mcq__iov_t iov[16];
  size_t total = 0;
  size_t skip = test_random_below(r, m->len + 1);
  size_t limit = test_random_below(r, 3000);
  size_t max = test_random_below(r, 16) + 1;
  size_t n = mcq__chain_fill(&m->chain, skip, limit, iov, max, &total);
  size_t want = m->len - skip < limit ? m->len - skip : limit;
  assert_true(n <= max && total <= want);
  assert_true(total == want || n == max);
  size_t at = skip;
  for (size_t i = 0; i < n; i++) {
    assert_true(iov[i].len > 0);
    assert_memory_equal(iov[i].base, m->bytes + at, iov[i].len);
    at += iov[i].len;
  }
  assert_int_equal(at, skip + total);
}

static void expect_peek(const model_t* m, test_random_t* r) {
  uint8_t found[64];
  size_t off = test_random_below(r, m->len + 1);
  size_t n = test_random_below(r, sizeof found + 1);
  if (n > m->len - off) n = m->len - off;
  mcq__chain_peek(&m->chain, off, found, n);
  assert_memory_equal(found, m->bytes + off, n);
}

/* The next bytes of the window, known to the model only after a commit. */
static void commit_some(test_pool_t* t, model_t* m, mcq__window_t* w,
                        test_random_t* r) {
  uint8_t data[300];
  size_t n = test_random_below(r, sizeof data);
  if (mcq__window_room(w) < n)
    assert_int_equal(mcq__window_open(w, t->pool, 4096), 0);
  for (size_t i = 0; i < n; i++) data[i] = (uint8_t) test_random(r);
  mcq__window_poke(w, 0, data, n);
  assert_int_equal(mcq__chain_commit(&m->chain, w, n), 0);
  model_add(m, data, n);
}

static void share_some(model_t* to, const model_t* from, test_random_t* r) {
  size_t off = test_random_below(r, from->len + 1);
  size_t n = test_random_below(r, from->len - off + 1);
  if (n > MODEL_MAX - 400 - to->len) n = MODEL_MAX - 400 - to->len;
  assert_int_equal(mcq__chain_share(&to->chain, &from->chain, off, n), 0);
  model_add(to, from->bytes + off, n);
}

static void drain_some(model_t* m, test_random_t* r) {
  size_t n = test_random_below(r, m->len + 1);
  mcq__chain_drain(&m->chain, n);
  memmove(m->bytes, m->bytes + n, m->len - n);
  m->len -= n;
}

static void same_bytes_as_a_flat_array(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  test_random_t r = {2};
  static model_t models[CHAINS];
  mcq__window_t w = {0};
  for (size_t i = 0; i < CHAINS; i++) mcq__chain_init(&models[i].chain, t.mem);
  for (int step = 0; step < 30000; step++) {
    model_t* m = &models[test_random_below(&r, CHAINS)];
    model_t* other = &models[test_random_below(&r, CHAINS)];
    if (m->len > MODEL_MAX - 400) {
      mcq__chain_clear(&m->chain);
      m->len = 0;
    }
    switch (test_random_below(&r, 10)) {
      case 0:
        drain_some(m, &r);
        break;
      case 1:
        m->len = test_random_below(&r, m->len + 1);
        mcq__chain_cut(&m->chain, m->len);
        break;
      case 2:
        if (m != other) share_some(m, other, &r);
        break;
      case 3:
        assert_int_equal(mcq__chain_push(&m->chain, letters_at(3, 5)), 0);
        model_add(m, letters + 3, 5);
        break;
      case 4:
        expect_fill(m, &r);
        break;
      case 5:
        expect_peek(m, &r);
        break;
      default:
        commit_some(&t, m, &w, &r);
    }
    assert_int_equal(m->chain.bytes, m->len);
    if (step % 16 == 0) expect_model(m);
  }
  for (size_t i = 0; i < CHAINS; i++) {
    expect_model(&models[i]);
    mcq__chain_dispose(&models[i].chain);
    models[i].len = 0;
  }
  mcq__window_close(&w);
  test_pool_close(&t);
}

/* ---- failing allocations ------------------------------------------------- */

/* Whatever fails, the chain is as it was. */
static int append(test_pool_t* t, mcq__chain_t* c) {
  mcq__chain_t from;
  mcq__chain_init(&from, t->mem);
  mcq__window_t w = {0};
  int err = mcq__window_open(&w, t->pool, 100);
  for (int i = 0; i < 20 && err == 0; i++) {
    mcq__window_poke(&w, 0, letters, 2);
    size_t before = from.bytes;
    err = i % 2 == 0 ? mcq__chain_commit(&from, &w, 1)
                     : mcq__chain_push(&from, letters_at(1, 1));
    assert_int_equal(from.bytes, before + (err == 0));
  }
  if (err == 0) {
    assert_int_equal(from.parts_.count, 20);
    err = mcq__chain_push(c, letters_at(0, 3));
  }
  size_t parts = c->parts_.count;
  size_t bytes = c->bytes;
  if (err == 0) err = mcq__chain_share(c, &from, 1, 18);
  if (err == 0) {
    expect_text(c,
                "abcbabababababababab"
                "a");
  } else {
    assert_true(c->bytes == bytes && c->parts_.count == parts);
  }
  mcq__chain_dispose(&from);
  mcq__window_close(&w);
  return err;
}

static int scene(test_alloc_t* ta, void* arg) {
  (void) arg;
  test_pool_t t = {.mem = NULL, .pool = NULL};
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  int err = mcq__mem_open(&t.mem, &allocator);
  if (err != 0) return err;
  mcq__chain_t c;
  mcq__chain_init(&c, t.mem);
  err = mcq__pool_open(&t.pool, t.mem);
  if (err == 0) err = append(&t, &c);
  mcq__chain_dispose(&c);
  mcq__pool_close(t.pool);
  assert_int_equal(mcq__mem_live(t.mem), 0);
  mcq__mem_close(t.mem);
  return err;
}

static void every_allocation_may_fail(void** state) {
  (void) state;
  /* Memory, pool, slab; five sizes of either ring. */
  assert_int_equal(test_alloc_sweep(scene, NULL), 13);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(neighbours_in_a_slab_join),
      cmocka_unit_test(bytes_without_a_slab_never_join),
      cmocka_unit_test(nothing_is_a_no_op),
      cmocka_unit_test(commit_behind_a_shared_part),
      cmocka_unit_test(a_slab_goes_with_its_last_byte),
      cmocka_unit_test(fill_skips_and_stops),
      cmocka_unit_test(same_bytes_as_a_flat_array),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
