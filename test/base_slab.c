/* SPDX-License-Identifier: MIT */
/* Payload memory: recycling, windows that become slices, foreign memory, and
 * the promise that no byte changes while somebody can see it. */
#include "base/slab.h"

#include <pthread.h>

#include "support/pool.h"
#include "support/random.h"

#ifdef MCQ_NO_POOL
static const bool recycling = false;
#else
static const bool recycling = true;
#endif

static void fill(mcq__window_t* w, size_t n, uint8_t first) {
  for (size_t i = 0; i < n; i++) {
    uint8_t byte = (uint8_t) (first + i);
    mcq__window_poke(w, i, &byte, 1);
  }
}

static mcq__slice_t slice_of(test_pool_t* t, size_t size, size_t n,
                             bool exact) {
  mcq__window_t w = {0};
  if (exact) {
    assert_int_equal(mcq__window_open_exact(&w, t->pool, size), 0);
  } else {
    assert_int_equal(mcq__window_open(&w, t->pool, size), 0);
  }
  fill(&w, n, 1);
  mcq__slice_t s = mcq__window_freeze(&w, n);
  mcq__window_close(&w);
  return s;
}

/* ---- windows ------------------------------------------------------------- */

static void windows_have_the_room_asked_for(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  const size_t sizes[] = {0,     1,      4096,   4097,   65536,
                          65537, 262144, 262145, 1000000};
  const size_t rooms[] = {4096,   4096,   4096,   65536,  65536,
                          262144, 262144, 262145, 1000000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    mcq__window_t w = {0};
    assert_int_equal(mcq__window_open(&w, t.pool, sizes[i]), 0);
    assert_int_equal(mcq__window_room(&w), rooms[i]);
    assert_int_equal((uintptr_t) mcq__window_ptr(&w) % 64, 0);
    memset(mcq__window_ptr(&w), 1, mcq__window_room(&w));
    mcq__window_close(&w);
    mcq__window_close(&w);
    assert_int_equal(mcq__window_open_exact(&w, t.pool, sizes[i]), 0);
    assert_int_equal(mcq__window_room(&w), sizes[i]);
    assert_non_null(mcq__window_ptr(&w));
    if (sizes[i] >= 1024)
      assert_int_equal((uintptr_t) mcq__window_ptr(&w) % 64, 0);
    memset(mcq__window_ptr(&w), 1, mcq__window_room(&w));
    mcq__window_close(&w);
  }
  test_pool_close(&t);
}

static void impossible_sizes_are_refused(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 64, SIZE_MAX - 128, PTRDIFF_MAX};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    mcq__window_t w = {0};
    size_t calls = atomic_load(&t.alloc.calls);
    assert_int_equal(mcq__window_open(&w, t.pool, sizes[i]), MCQ_ENOMEM);
    assert_int_equal(mcq__window_open_exact(&w, t.pool, sizes[i]), MCQ_ENOMEM);
    assert_null(w.slab_);
    assert_int_equal(atomic_load(&t.alloc.calls), calls);
  }
  test_pool_close(&t);
}

static void freeze_is_bounded_by_the_room(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__window_t w = {0};
  mcq__slice_t none = mcq__window_freeze(&w, 10);
  assert_true(none.data == NULL && none.len == 0 && none.slab_ == NULL);
  assert_int_equal(mcq__window_open_exact(&w, t.pool, 100), 0);
  fill(&w, 100, 0);
  mcq__slice_t a = mcq__window_freeze(&w, 60);
  mcq__slice_t b = mcq__window_freeze(&w, 60);
  assert_int_equal(a.len, 60);
  assert_int_equal(b.len, 40);
  assert_true(b.data == a.data + 60);
  assert_int_equal(mcq__window_room(&w), 0);
  assert_int_equal(mcq__window_freeze(&w, 1).len, 0);
  mcq__window_close(&w);
  for (size_t i = 0; i < 60; i++) assert_int_equal(a.data[i], i);
  for (size_t i = 0; i < 40; i++) assert_int_equal(b.data[i], 60 + i);
  mcq__slice_release(&a);
  mcq__slice_release(&b);
  assert_null(b.data);
  test_pool_close(&t);
}

/* Behind headers of every size, bodies of every size up to beyond where they
 * are copied in place; the source ends where its memory ends. */
static void stamps_of_every_size(void** state) {
  (void) state;
  enum { MOST = 130 };
  uint8_t stamp[MCQ__STAMP];
  test_pool_t t;
  test_pool_open(&t);
  memset(stamp, 0xEE, sizeof stamp);
  for (size_t head = 1; head <= MCQ__STAMP; head++)
    for (size_t len = 0; len <= MOST; len++) {
      mcq__window_t w = {0};
      uint8_t* body = (uint8_t*) test_malloc(len + 1) + 1;
      for (size_t i = 0; i < len; i++) body[i] = (uint8_t) (i + 1);
      assert_int_equal(
          mcq__window_open_exact(&w, t.pool, MCQ__STAMP + MOST + 8), 0);
      fill(&w, MCQ__STAMP + MOST + 8, 7);
      mcq__window_stamp(&w, stamp, head, body, len);
      mcq__slice_t all = mcq__window_freeze(&w, SIZE_MAX);
      for (size_t i = 0; i < head; i++) assert_int_equal(all.data[i], 0xEE);
      for (size_t i = 0; i < len; i++)
        assert_int_equal(all.data[head + i], i + 1);
      for (size_t i = head + len; i < all.len; i++)
        assert_int_equal(all.data[i],
                         i < MCQ__STAMP ? 0xEE : (uint8_t) (7 + i));
      mcq__window_close(&w);
      mcq__slice_release(&all);
      test_free(body - 1);
    }
  test_pool_close(&t);
}

static void rewind_waits_for_the_last_slice(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__window_t w = {0};
  assert_false(mcq__window_rewind(&w));
  assert_int_equal(mcq__window_open(&w, t.pool, 10), 0);
  fill(&w, 4, 7);
  mcq__slice_t s = mcq__window_freeze(&w, 4);
  mcq__slice_t twin = mcq__slice_retain(s);
  assert_false(mcq__window_rewind(&w));
  mcq__slice_release(&s);
  assert_false(mcq__window_rewind(&w));
  assert_int_equal(mcq__window_room(&w), MCQ__SLAB_SMALL - 4);
  assert_int_equal(twin.data[0], 7);
  mcq__slice_release(&twin);
  assert_true(mcq__window_rewind(&w));
  assert_int_equal(mcq__window_room(&w), MCQ__SLAB_SMALL);
  mcq__window_close(&w);
  test_pool_close(&t);
}

/* A header is written in place where there is room for the longest, behind
 * what is frozen. */
static void heads_stay_inside_the_room(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  for (size_t room = 2; room < 20; room++) {
    mcq__window_t w = {0};
    assert_null(mcq__window_head(&w, 1));
    assert_int_equal(mcq__window_open_exact(&w, t.pool, room), 0);
    assert_null(mcq__window_head(&w, room + 1));
    memset(mcq__window_head(&w, room), 9, room);
    mcq__slice_t s = mcq__window_freeze(&w, 2);
    assert_true(mcq__slice_equal(s, "\x9\x9", 2));
    assert_null(mcq__window_head(&w, room - 1));
    assert_ptr_equal(mcq__window_head(&w, room - 2), s.data + 2);
    mcq__slice_release(&s);
    mcq__window_close(&w);
  }
  test_pool_close(&t);
}

/* Opening on a window that still has a slab lets that one go; failing to open
 * keeps it. */
static void reopening_replaces_the_slab(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__window_t w = {0};
  assert_int_equal(mcq__window_open_exact(&w, t.pool, 10), 0);
  const void* first = w.slab_;
  test_alloc_fail_next(&t.alloc, false);
  assert_int_equal(mcq__window_open_exact(&w, t.pool, 20), MCQ_ENOMEM);
  assert_true(w.slab_ == first);
  size_t live = atomic_load(&t.alloc.live);
  assert_int_equal(mcq__window_open_exact(&w, t.pool, 20), 0);
  assert_int_equal(atomic_load(&t.alloc.live), live);
  assert_int_equal(mcq__window_room(&w), 20);
  mcq__window_close(&w);
  test_pool_close(&t);
}

/* ---- the pool ------------------------------------------------------------ */

static void slabs_are_recycled_last_in_first_out(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__window_t a = {0}, b = {0};
  for (int i = 0; i < 100; i++) {
    assert_int_equal(mcq__window_open(&a, t.pool, 60000), 0);
    assert_int_equal(mcq__window_open(&b, t.pool, 60000), 0);
    const void* last = a.slab_;
    mcq__window_close(&b);
    mcq__window_close(&a);
    if (!recycling) continue;
    assert_int_equal(mcq__window_open(&a, t.pool, 60000), 0);
    assert_true(a.slab_ == last);
    mcq__window_close(&a);
  }
  /* The pool itself, the memory, and either two slabs or two each time. */
  assert_int_equal(atomic_load(&t.alloc.calls), recycling ? 4 : 202);
  test_pool_close(&t);
}

/* Some of each class, and of all together not too much. */
static void idle_memory_is_bounded(void** state) {
  (void) state;
  static const size_t sizes[] = {MCQ__SLAB_SMALL, MCQ__SLAB_MEDIUM,
                                 MCQ__SLAB_LARGE, 1000000};
  static mcq__window_t w[300];
  const size_t most = (size_t) 1 << 24;
  const size_t some = (size_t) 1 << 20;
  test_pool_t t;
  test_pool_open(&t);
  size_t before = atomic_load(&t.alloc.bytes);
  for (size_t k = 4; k-- > 0;) { /* the largest leave no room for the others */
    size_t many = sizes[k] > MCQ__SLAB_LARGE ? 20 : 300;
    for (size_t i = 0; i < many; i++)
      assert_int_equal(mcq__window_open(&w[i], t.pool, sizes[k]), 0);
    for (size_t i = 0; i < many; i++) mcq__window_close(&w[i]);
    assert_in_range(mcq__pool_idle(t.pool), recycling ? most - some : 0,
                    most + 3 * some);
  }
  size_t calls = atomic_load(&t.alloc.calls);
  for (size_t k = 0; k < 3; k++)
    assert_int_equal(mcq__window_open(&w[k], t.pool, sizes[k]), 0);
  assert_int_equal(atomic_load(&t.alloc.calls) == calls, recycling);
  for (size_t k = 0; k < 3; k++) mcq__window_close(&w[k]);
  size_t idle = atomic_load(&t.alloc.bytes) - before;
  assert_true(idle <= mcq__pool_idle(t.pool) * 11 / 10);
  mcq__pool_trim(t.pool);
  size_t quiet = atomic_load(&t.alloc.bytes) - before;
  assert_true(quiet <= ((size_t) 448 << 10) * 11 / 10);
  assert_true(!recycling || quiet > 0);
  test_pool_close(&t);
}

/* Blocks made for one body serve for others of about its size; small ones go.
 */
static void exact_blocks_serve_again(void** state) {
  (void) state;
  static const struct {
    size_t first, second;
    bool again;
  } rows[] = {
      {1000000, 1000000, true}, {1000000, 950000, true},
      {1000000, 870000, false}, {1000000, 1000001, false},
      {60000, 60000, true},     {5000, 4500, true},
      {5000, 4300, false},      {4000, 4000, false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    test_pool_t t;
    mcq__window_t w = {0};
    test_pool_open(&t);
    mcq__slice_t s = slice_of(&t, rows[i].first, 10, true);
    size_t live = atomic_load(&t.alloc.live);
    size_t calls = atomic_load(&t.alloc.calls);
    mcq__slice_release(&s);
    bool kept = recycling && rows[i].first > MCQ__SLAB_SMALL;
    assert_int_equal(atomic_load(&t.alloc.live), live - !kept);
    assert_int_equal(mcq__window_open_exact(&w, t.pool, rows[i].second), 0);
    assert_int_equal(mcq__window_room(&w), rows[i].second);
    assert_int_equal(atomic_load(&t.alloc.calls) == calls,
                     recycling && rows[i].again);
    mcq__window_close(&w);
    assert_true(mcq__pool_grown(t.pool) == kept);
    mcq__pool_thin(t.pool); /* in use until now */
    mcq__pool_thin(t.pool);
    assert_false(mcq__pool_grown(t.pool));
    assert_int_equal(mcq__pool_idle(t.pool), 0);
    test_pool_close(&t);
  }
}

#ifdef MCQ_DEBUG
static void opened_windows_are_poisoned(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  const size_t sizes[] = {10, 262144, 300000, 3000000};
  for (size_t i = 0; i < 4; i++) {
    mcq__window_t w = {0};
    for (int round = 0; round < 2; round++) {
      assert_int_equal(mcq__window_open(&w, t.pool, sizes[i]), 0);
      const uint8_t* at = (const uint8_t*) mcq__window_ptr(&w);
      size_t room = mcq__window_room(&w);
      assert_int_equal(at[0], 0xA5);
      assert_int_equal(at[4000], 0xA5);
      assert_int_equal(at[room - 1], 0xA5);
      memset(mcq__window_ptr(&w), 1, room);
      mcq__window_close(&w);
    }
  }
  mcq__window_t w = {0};
  assert_int_equal(mcq__window_open(&w, t.pool, 10), 0);
  const uint8_t* at = (const uint8_t*) mcq__window_ptr(&w);
  fill(&w, 10, 0);
  mcq__slice_t s = mcq__window_freeze(&w, 10);
  mcq__slice_release(&s);
  assert_int_equal(at[9], 9);
  assert_true(mcq__window_rewind(&w));
  assert_int_equal(at[0], 0xA5);
  assert_int_equal(at[9], 0xA5);
  mcq__window_close(&w);
  test_pool_close(&t);
}
#endif

/* A slab let go after the pool was closed is freed, and the pool with it. */
static void slabs_outlive_the_pool(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__slice_t pooled = slice_of(&t, 10, 10, false);
  mcq__slice_t exact = slice_of(&t, 10, 10, true);
  mcq__pool_close(t.pool);
  mcq__mem_close(t.mem);
  assert_int_equal(atomic_load(&t.alloc.live), 4);
  assert_int_equal(pooled.data[9], 10);
  mcq__slice_release(&pooled);
  assert_int_equal(atomic_load(&t.alloc.live), 3);
  mcq__slice_release(&exact);
  assert_int_equal(atomic_load(&t.alloc.live), 0);
}

static void* release_slice(void* arg) {
  mcq__slice_release((mcq__slice_t*) arg);
  return NULL;
}

static void release_elsewhere(mcq__slice_t* s) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, release_slice, s), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* What was let go elsewhere is used again at home. */
static void other_threads_send_slabs_home(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__slice_t s = slice_of(&t, 10, 10, false);
  const uint8_t* place = s.data;
  release_elsewhere(&s);
  size_t calls = atomic_load(&t.alloc.calls);
  s = slice_of(&t, 10, 20, false);
  if (recycling) assert_ptr_equal(s.data, place);
  assert_int_equal(atomic_load(&t.alloc.calls), calls + !recycling);
  release_elsewhere(&s);
  test_pool_close(&t); /* where it lies */
  /* Also when that was the last of everything. */
  test_pool_open(&t);
  s = slice_of(&t, 10, 10, false);
  mcq__pool_close(t.pool);
  mcq__mem_close(t.mem);
  release_elsewhere(&s);
  assert_int_equal(atomic_load(&t.alloc.live), 0);
}

/* If nobody fetches them they do not pile up. */
static void few_wait_to_be_fetched(void** state) {
  (void) state;
  enum { SLABS = 40 };
  test_pool_t t;
  mcq__slice_t s[SLABS];
  test_pool_open(&t);
  for (size_t i = 0; i < SLABS; i++)
    s[i] = slice_of(&t, MCQ__SLAB_LARGE, 1, false);
  for (size_t i = 0; i < SLABS; i++) release_elsewhere(&s[i]);
  assert_in_range(atomic_load(&t.alloc.bytes), 0, 9 * MCQ__SLAB_LARGE);
  test_pool_close(&t);
}

#define HANDS 4
#define THROWS 2000

/* A slab on its way to another thread. */
typedef struct hand {
  pthread_t thread;
  _Atomic(mcq__slab_t*) thrown;
  atomic_bool over;
} hand_t;

static void* catch_and_let_go(void* arg) {
  hand_t* h = (hand_t*) arg;
  for (;;) {
    bool over = atomic_load(&h->over);
    mcq__slab_t* slab = atomic_exchange(&h->thrown, NULL);
    mcq__slab_release(slab);
    if (over && slab == NULL) return NULL;
  }
}

/* Made here, let go by four others at once, and for a while after the pool has
 * been closed. */
static void others_let_go_all_the_time(void** state) {
  (void) state;
  static hand_t hands[HANDS];
  test_pool_t t;
  test_pool_open(&t);
  for (size_t i = 0; i < HANDS; i++) {
    atomic_init(&hands[i].thrown, NULL);
    atomic_init(&hands[i].over, false);
    assert_int_equal(
        pthread_create(&hands[i].thread, NULL, catch_and_let_go, &hands[i]), 0);
  }
  for (size_t i = 0; i < THROWS; i++) {
    mcq__slice_t s = slice_of(&t, 100, 1 + i % 50, false);
    mcq__slab_release(atomic_exchange(&hands[i % HANDS].thrown, s.slab_));
  }
  mcq__pool_close(t.pool);
  mcq__mem_close(t.mem);
  for (size_t i = 0; i < HANDS; i++) atomic_store(&hands[i].over, true);
  for (size_t i = 0; i < HANDS; i++)
    assert_int_equal(pthread_join(hands[i].thread, NULL), 0);
  assert_int_equal(atomic_load(&t.alloc.live), 0);
}

static void* run_adopted(void* arg) {
  test_pool_t* t = (test_pool_t*) arg;
  mcq__pool_adopt(t->pool);
  mcq__window_t w = {0};
  for (int i = 0; i < 10; i++) {
    if (mcq__window_open(&w, t->pool, 10) != 0) return t;
    mcq__window_close(&w);
  }
  mcq__pool_close(t->pool);
  mcq__mem_close(t->mem);
  return NULL;
}

/* Made here, run there: the pool recycles there. */
static void pool_moves_to_another_thread(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  pthread_t thread;
  void* failure = NULL;
  assert_int_equal(pthread_create(&thread, NULL, run_adopted, &t), 0);
  assert_int_equal(pthread_join(thread, &failure), 0);
  assert_null(failure);
  assert_int_equal(atomic_load(&t.alloc.calls), recycling ? 3 : 12);
  assert_int_equal(atomic_load(&t.alloc.live), 0);
}

/* ---- foreign memory ------------------------------------------------------ */

typedef struct owner {
  void* data;
  int released;
} owner_t;

static void on_release(void* data, void* arg) {
  owner_t* o = (owner_t*) arg;
  o->data = data;
  o->released++;
}

static void foreign_memory_is_given_back_once(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  uint8_t bytes[100] = {1, 2, 3};
  owner_t o = {NULL, 0};
  test_alloc_fail_next(&t.alloc, false);
  assert_null(mcq__slab_foreign(t.pool, bytes, 100, false, on_release, &o));
  assert_int_equal(o.released, 0);
  for (int i = 0; i < 3; i++) {
    o.released = 0;
    mcq__slab_t* slab =
        mcq__slab_foreign(t.pool, bytes, 100, false, on_release, &o);
    assert_non_null(slab);
    mcq__slice_t s = mcq__slab_slice(slab);
    assert_true(s.data == bytes && s.len == 100);
    mcq__slice_t part = mcq__slice_retain(mcq__slice_sub(s, 2, 1));
    mcq__slice_release(&s);
    assert_int_equal(o.released, 0);
    assert_int_equal(part.data[0], 3);
    mcq__slice_release(&part);
    assert_int_equal(o.released, 1);
    assert_true(o.data == bytes);
  }
  /* Nothing to tell, and nothing there at all. */
  mcq__slab_release(mcq__slab_foreign(t.pool, bytes, 1, true, NULL, NULL));
  mcq__slab_release(mcq__slab_foreign(t.pool, NULL, 0, true, on_release, &o));
  assert_int_equal(o.released, 2);
  test_pool_close(&t);
}

static void close_memory(void* data, void* arg) {
  (void) data;
  test_pool_t* t = (test_pool_t*) arg;
  mcq__pool_close(t->pool);
  mcq__mem_close(t->mem);
}

/* The callback may end the very pool the slab came from. */
static void release_may_close_the_pool(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__slab_t* slab =
      mcq__slab_foreign(t.pool, "abc", 3, false, close_memory, &t);
  assert_non_null(slab);
  mcq__slab_release(slab);
  assert_int_equal(atomic_load(&t.alloc.live), 0);
}

/* ---- keeping ------------------------------------------------------------- */

static void expect_kept(test_pool_t* t, mcq__slice_t s, bool counted) {
  mcq__slice_t kept;
  assert_int_equal(mcq__slice_keep(&kept, t->pool, s), 0);
  assert_int_equal(kept.len, s.len);
  assert_memory_equal(kept.data, s.data, s.len);
  assert_true(mcq__slice_keepable(s) == counted);
  assert_true((kept.data == s.data) == counted);
  assert_non_null(kept.slab_);
  /* Kept once, it need not be copied again. */
  assert_true(mcq__slice_keepable(kept));
  mcq__slice_release(&kept);
}

static void keep_counts_or_copies(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  const size_t big = MCQ__KEEP_COPY_MAX + 1;
  mcq__slice_t pooled = slice_of(&t, MCQ__SLAB_LARGE, 200000, false);
  expect_kept(&t, pooled, false);
  expect_kept(&t, mcq__slice_sub(pooled, 5, 1), false);
  mcq__slice_release(&pooled);

  mcq__slice_t exact = slice_of(&t, 100000, 100000, true);
  expect_kept(&t, exact, true);
  expect_kept(&t, mcq__slice_sub(exact, 1, big), true);
  expect_kept(&t, mcq__slice_sub(exact, 1, big - 1), false);
  mcq__slice_release(&exact);

  mcq__slice_t small = slice_of(&t, 100, 100, true);
  expect_kept(&t, small, true);
  expect_kept(&t, mcq__slice_sub(small, 0, 50), true);
  expect_kept(&t, mcq__slice_sub(small, 0, 49), false);
  mcq__slice_release(&small);

  static const uint8_t bytes[20000] = {1};
  owner_t o = {NULL, 0};
  mcq__slice_t foreign = mcq__slab_slice(
      mcq__slab_foreign(t.pool, bytes, sizeof bytes, false, on_release, &o));
  expect_kept(&t, foreign, true);
  expect_kept(&t, mcq__slice_sub(foreign, 0, big - 1), false);
  mcq__slice_release(&foreign);
  mcq__slice_t passing = mcq__slab_slice(
      mcq__slab_foreign(t.pool, bytes, sizeof bytes, true, on_release, &o));
  expect_kept(&t, passing, false);
  mcq__slice_release(&passing);
  assert_int_equal(o.released, 2);

  expect_kept(&t, mcq__slice_static(bytes, sizeof bytes), false);
  test_pool_close(&t);
}

static void keeping_nothing_costs_nothing(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__slice_t s = slice_of(&t, 10, 10, true);
  size_t calls = atomic_load(&t.alloc.calls);
  mcq__slice_t kept = s;
  assert_int_equal(mcq__slice_keep(&kept, t.pool, mcq__slice_sub(s, 3, 0)), 0);
  assert_true(kept.len == 0 && kept.slab_ == NULL);
  assert_int_equal(mcq__slice_copy(&kept, t.pool, NULL, 0), 0);
  assert_true(kept.len == 0 && kept.slab_ == NULL);
  assert_int_equal(atomic_load(&t.alloc.calls), calls);
  mcq__slice_release(&s);
  test_pool_close(&t);
}

/* Ten bytes never pin a read buffer: a kept small slice costs its own size
 * and a header. */
static void small_kept_slices_are_cheap(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  enum { MANY = 10000 };
  static mcq__slice_t kept[MANY];
  size_t before = atomic_load(&t.alloc.bytes);
  mcq__window_t w = {0};
  for (size_t i = 0; i < MANY; i++) {
    if (mcq__window_room(&w) < 10)
      assert_int_equal(mcq__window_open(&w, t.pool, MCQ__SLAB_LARGE), 0);
    fill(&w, 10, (uint8_t) i);
    mcq__slice_t s = mcq__window_freeze(&w, 10);
    assert_int_equal(mcq__slice_keep(&kept[i], t.pool, s), 0);
    mcq__slice_release(&s);
  }
  mcq__window_close(&w);
  mcq__pool_trim(t.pool);
  size_t cost = atomic_load(&t.alloc.bytes) - before;
  assert_true(cost < MANY * 110 + 2 * MCQ__SLAB_LARGE);
  for (size_t i = 0; i < MANY; i++) {
    assert_int_equal(kept[i].data[9], (uint8_t) (i + 9));
    mcq__slice_release(&kept[i]);
  }
  test_pool_close(&t);
}

/* ---- everything at once -------------------------------------------------- */

typedef struct seen {
  mcq__slice_t slice;
  uint8_t first;
} seen_t;

static void expect_seen(const seen_t* s) {
  for (size_t i = 0; i < s->slice.len; i++)
    assert_int_equal(s->slice.data[i], (uint8_t) (s->first + i));
}

/* Windows are written, frozen, rewound and reopened in any order, slices
 * come and go; whatever a slice showed when it was made it shows for ever. */
static void what_a_slice_shows_never_changes(void** state) {
  (void) state;
  enum { WINDOWS = 8, SLICES = 64, STEPS = 40000 };
  test_pool_t t;
  test_pool_open(&t);
  test_random_t r = {1};
  mcq__window_t windows[WINDOWS] = {{0}};
  seen_t seen[SLICES] = {{{0}, 0}};
  for (int step = 0; step < STEPS; step++) {
    mcq__window_t* w = &windows[test_random_below(&r, WINDOWS)];
    seen_t* s = &seen[test_random_below(&r, SLICES)];
    seen_t* other = &seen[test_random_below(&r, SLICES)];
    uint8_t first = (uint8_t) test_random(&r);
    size_t n = test_random_below(&r, 200);
    switch (test_random_below(&r, 8)) {
      case 0:
        assert_int_equal(mcq__window_open(w, t.pool, 1 + n * 30), 0);
        break;
      case 1:
        mcq__window_rewind(w);
        break;
      case 2:
        mcq__window_close(w);
        break;
      case 3: /* a second look at another slice */
        expect_seen(s);
        n = test_random_below(&r, other->slice.len + 1);
        mcq__slice_release(&s->slice);
        if (s == other) break;
        s->slice = mcq__slice_retain(
            mcq__slice_sub(other->slice, n, other->slice.len - n));
        s->first = (uint8_t) (other->first + n);
        break;
      case 4:
        expect_seen(s);
        mcq__slice_release(&s->slice);
        if (s == other) break;
        assert_int_equal(mcq__slice_keep(&s->slice, t.pool, other->slice), 0);
        s->first = other->first;
        break;
      default:
        expect_seen(s);
        mcq__slice_release(&s->slice);
        if (n > mcq__window_room(w)) n = mcq__window_room(w);
        fill(w, n, first);
        s->slice = mcq__window_freeze(w, n);
        s->first = first;
    }
  }
  for (size_t i = 0; i < SLICES; i++) expect_seen(&seen[i]);
  for (size_t i = 0; i < SLICES; i++) mcq__slice_release(&seen[i].slice);
  for (size_t i = 0; i < WINDOWS; i++) mcq__window_close(&windows[i]);
  test_pool_close(&t);
}

static void* count_up_and_down(void* arg) {
  mcq__slice_t mine = *(mcq__slice_t*) arg;
  uint8_t sum = 0;
  for (int i = 0; i < 20000; i++) {
    mcq__slice_t s = mcq__slice_retain(mine);
    sum = (uint8_t) (sum + s.data[i % 100]);
    mcq__slice_release(&s);
  }
  mcq__slice_release(&mine);
  assert_int_equal(sum, 0);
  return NULL;
}

static void counts_hold_across_threads(void** state) {
  (void) state;
  enum { THREADS = 4 };
  test_pool_t t;
  test_pool_open(&t);
  static const uint8_t bytes[100] = {0};
  owner_t o = {NULL, 0};
  mcq__slice_t s = mcq__slab_slice(
      mcq__slab_foreign(t.pool, bytes, 100, false, on_release, &o));
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++) {
    mcq__slice_retain(s);
    assert_int_equal(pthread_create(&threads[i], NULL, count_up_and_down, &s),
                     0);
  }
  for (size_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(o.released, 0);
  mcq__slice_release(&s);
  assert_int_equal(o.released, 1);
  test_pool_close(&t);
}

static int use_it_all(mcq__pool_t* pool) {
  mcq__window_t a = {0}, b = {0};
  mcq__slice_t kept = {0};
  int err = mcq__window_open(&a, pool, 10);
  if (err == 0) err = mcq__window_open(&b, pool, 1000000);
  if (err == 0) {
    fill(&a, 10, 0);
    mcq__slice_t s = mcq__window_freeze(&a, 10);
    err = mcq__slice_keep(&kept, pool, s);
    mcq__slice_release(&s);
  }
  owner_t o = {NULL, 0};
  mcq__slab_t* slab = NULL;
  if (err == 0) {
    slab = mcq__slab_foreign(pool, "x", 1, false, on_release, &o);
    if (slab == NULL) err = MCQ_ENOMEM;
  }
  mcq__slab_release(slab);
  assert_int_equal(o.released, slab != NULL);
  mcq__slice_release(&kept);
  mcq__window_close(&a);
  mcq__window_close(&b);
  return err;
}

static int scene(test_alloc_t* ta, void* arg) {
  (void) arg;
  mcq__mem_t* mem = NULL;
  mcq__pool_t* pool = NULL;
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  int err = mcq__mem_open(&mem, &allocator);
  if (err != 0) return err;
  err = mcq__pool_open(&pool, mem);
  if (err == 0) err = use_it_all(pool);
  if (atomic_load(&ta->failed) > 0) assert_int_equal(err, MCQ_ENOMEM);
  mcq__pool_close(pool);
  assert_int_equal(mcq__mem_live(mem), 0);
  mcq__mem_close(mem);
  return err;
}

static void every_allocation_may_fail(void** state) {
  (void) state;
  assert_int_equal(test_alloc_sweep(scene, NULL), 6);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(windows_have_the_room_asked_for),
      cmocka_unit_test(impossible_sizes_are_refused),
      cmocka_unit_test(freeze_is_bounded_by_the_room),
      cmocka_unit_test(stamps_of_every_size),
      cmocka_unit_test(rewind_waits_for_the_last_slice),
      cmocka_unit_test(heads_stay_inside_the_room),
      cmocka_unit_test(reopening_replaces_the_slab),
      cmocka_unit_test(slabs_are_recycled_last_in_first_out),
      cmocka_unit_test(idle_memory_is_bounded),
      cmocka_unit_test(exact_blocks_serve_again),
#ifdef MCQ_DEBUG
      cmocka_unit_test(opened_windows_are_poisoned),
#endif
      cmocka_unit_test(slabs_outlive_the_pool),
      cmocka_unit_test(other_threads_send_slabs_home),
      cmocka_unit_test(few_wait_to_be_fetched),
      cmocka_unit_test(others_let_go_all_the_time),
      cmocka_unit_test(pool_moves_to_another_thread),
      cmocka_unit_test(foreign_memory_is_given_back_once),
      cmocka_unit_test(release_may_close_the_pool),
      cmocka_unit_test(keep_counts_or_copies),
      cmocka_unit_test(keeping_nothing_costs_nothing),
      cmocka_unit_test(small_kept_slices_are_cheap),
      cmocka_unit_test(what_a_slice_shows_never_changes),
      cmocka_unit_test(counts_hold_across_threads),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
