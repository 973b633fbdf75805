/* SPDX-License-Identifier: MIT */
/* Names: routing ids lead to slots, and made-up ones are nobody else's. */
#include "hub/names.h"

#include "base/cursor.h"
#include "support/pool.h"
#include "support/random.h"

static const uint64_t seed[2] = {11, 22};

typedef struct bench {
  test_pool_t memory;
  mcq__names_t names;
} bench_t;

static int set_up(void** state) {
  static bench_t b;
  memset(&b, 0, sizeof b);
  test_pool_open(&b.memory);
  mcq__names_init(&b.names, b.memory.mem, seed);
  *state = &b;
  return 0;
}

static int tear_down(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq__names_dispose(&b->names);
  test_pool_close(&b->memory);
  return 0;
}

static uint32_t counter_of(const uint8_t id[MCQ__NAME_MADE]) {
  mcq__cursor_t c = mcq__cursor(mcq__slice_static(id, MCQ__NAME_MADE));
  assert_int_equal(mcq__cursor_u8(&c), 0);
  return mcq__cursor_u32(&c);
}

static void put(bench_t* b, const void* id, size_t len, uint32_t slot) {
  assert_int_equal(mcq__names_put(&b->names, id, len, slot), 0);
  assert_int_equal(mcq__names_find(&b->names, id, len), slot);
}

static void zeroed_is_disposable(void** state) {
  (void) state;
  mcq__names_t n;
  memset(&n, 0, sizeof n);
  mcq__names_dispose(&n);
  mcq__names_dispose(&n);
}

/* All lengths an id may have; the bytes are anything, zeros included. */
static void ids_of_all_lengths(void** state) {
  bench_t* b = (bench_t*) *state;
  uint8_t id[MCQ__NAME_MAX];
  memset(id, 0, sizeof id);
  for (uint32_t len = 1; len <= sizeof id; len++) {
    assert_int_equal(mcq__names_find(&b->names, id, len), MCQ__NO_SLOT);
    put(b, id, len, len);
  }
  for (uint32_t len = 1; len <= sizeof id; len++) {
    assert_int_equal(mcq__names_find(&b->names, id, len), len);
    id[len - 1]++;
    assert_int_equal(mcq__names_find(&b->names, id, len), MCQ__NO_SLOT);
    id[len - 1]--;
  }
  assert_int_equal(mcq__names_find(&b->names, NULL, 0), MCQ__NO_SLOT);
}

static void only_the_holder_gives_it_back(void** state) {
  bench_t* b = (bench_t*) *state;
  put(b, "A", 1, 0);
  put(b, "A", 1, 5); /* taken over */
  mcq__names_remove(&b->names, "A", 1, 0);
  assert_int_equal(mcq__names_find(&b->names, "A", 1), 5);
  mcq__names_remove(&b->names, "B", 1, 5);
  mcq__names_remove(&b->names, "B", 1, MCQ__NO_SLOT); /* absent */
  mcq__names_remove(&b->names, "A", 1, 5);
  assert_int_equal(mcq__names_find(&b->names, "A", 1), MCQ__NO_SLOT);
  assert_int_equal(mcq__hash_count(&b->names.table), 0);
}

/* The key is the table's own: the caller may change its bytes. */
static void ids_are_copied(void** state) {
  bench_t* b = (bench_t*) *state;
  uint8_t id[] = {'x', 'y'};
  put(b, id, 2, 3);
  id[0] = 'z';
  assert_int_equal(mcq__names_find(&b->names, "xy", 2), 3);
  assert_int_equal(mcq__names_find(&b->names, id, 2), MCQ__NO_SLOT);
}

static void made_up_ids_count(void** state) {
  bench_t* b = (bench_t*) *state;
  uint8_t id[MCQ__NAME_MADE];
  mcq__names_make(&b->names, id);
  uint32_t first = counter_of(id);
  for (uint32_t i = 1; i < 1000; i++) {
    mcq__names_make(&b->names, id);
    assert_int_equal(counter_of(id), (uint32_t) (first + i));
  }
}

static void start_depends_on_the_seed(void** state) {
  (void) state;
  uint32_t starts[16];
  for (uint64_t i = 0; i < 16; i++) {
    mcq__names_t n;
    uint64_t s[2] = {i / 4, i % 4};
    uint8_t id[MCQ__NAME_MADE];
    mcq__names_init(&n, NULL, s);
    mcq__names_make(&n, id);
    starts[i] = counter_of(id);
    for (uint64_t k = 0; k < i; k++) assert_true(starts[k] != starts[i]);
    mcq__names_dispose(&n);
  }
}

/* When the counter comes round, ids of the living are passed over. */
static void wrap_spares_the_living(void** state) {
  bench_t* b = (bench_t*) *state;
  uint8_t id[MCQ__NAME_MADE];
  for (uint32_t i = 0; i < 8; i++) { /* fffffffc to 3 */
    b->names.counter = UINT32_MAX - 3 + i;
    mcq__names_make(&b->names, id);
    put(b, id, sizeof id, i);
  }
  mcq__names_remove(&b->names, "\0\xff\xff\xff\xfe", 5, 2);
  b->names.counter = UINT32_MAX - 3;
  mcq__names_make(&b->names, id);
  assert_int_equal(counter_of(id), UINT32_MAX - 1);
  put(b, id, sizeof id, 2);
  mcq__names_make(&b->names, id);
  assert_int_equal(counter_of(id), 4);
}

/* Ids that differ in a few low bytes, and many of them. */
static void a_hundred_thousand(void** state) {
  bench_t* b = (bench_t*) *state;
  uint8_t id[20];
  memset(id, 'h', sizeof id);
  for (uint32_t i = 0; i < 100000; i++) {
    mcq__put_u32(id + 16, i << 8);
    put(b, id, sizeof id, i);
  }
  for (uint32_t i = 0; i < 100000; i++) {
    mcq__put_u32(id + 16, i << 8);
    assert_int_equal(mcq__names_find(&b->names, id, sizeof id), i);
    mcq__names_remove(&b->names, id, sizeof id, i);
  }
  assert_int_equal(mcq__hash_count(&b->names.table), 0);
}

static void without_memory_nothing_changes(void** state) {
  bench_t* b = (bench_t*) *state;
  uint8_t id[4];
  for (uint32_t i = 0; i < 300; i++) {
    mcq__put_u32(id, i);
    test_alloc_fail_next(&b->memory.alloc, true);
    assert_int_equal(mcq__names_put(&b->names, id, sizeof id, i), MCQ_ENOMEM);
    b->memory.alloc.fail_at = 0;
    assert_int_equal(mcq__names_find(&b->names, id, sizeof id), MCQ__NO_SLOT);
    assert_int_equal(mcq__hash_count(&b->names.table), i);
    put(b, id, sizeof id, i);
  }
}

#define WITH_BENCH(test) \
  cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_is_disposable),
      cmocka_unit_test(start_depends_on_the_seed),
      WITH_BENCH(ids_of_all_lengths),
      WITH_BENCH(only_the_holder_gives_it_back),
      WITH_BENCH(ids_are_copied),
      WITH_BENCH(made_up_ids_count),
      WITH_BENCH(wrap_spares_the_living),
      WITH_BENCH(a_hundred_thousand),
      WITH_BENCH(without_memory_nothing_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
