/* SPDX-License-Identifier: MIT */
/* Messages: views that become owned, counts, and release on any thread after
 * everything else is gone. */
#include "base/msg.h"

#include <pthread.h>

#include "support/pool.h"

static mcq__slice_t filled(test_pool_t* t, size_t len, bool exact,
                           uint8_t value) {
  mcq__window_t w = {0};
  int err = exact ? mcq__window_open_exact(&w, t->pool, len)
                  : mcq__window_open(&w, t->pool, len);
  assert_int_equal(err, 0);
  memset(mcq__window_ptr(&w), value, len);
  mcq__slice_t s = mcq__window_freeze(&w, len);
  mcq__window_close(&w);
  return s;
}

static void expect_frame(const mcq_msg_t* m, size_t i, size_t len,
                         uint8_t value) {
  assert_true(i < m->count);
  assert_int_equal(m->frames[i].len, len);
  for (size_t k = 0; k < len; k++)
    assert_int_equal(m->frames[i].data[k], value);
}

static void copies_are_whole(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  static uint8_t large[100000];
  memset(large, 7, sizeof large);
  const mcq_frame_t frames[] = {
      {"id", 2}, {NULL, 0}, {large, sizeof large}, {"x", 1}};
  for (size_t count = 1; count <= 4; count++) {
    mcq_msg_t* m = mcq__msg_copy(t.pool, frames, count);
    assert_non_null(m);
    assert_int_equal(m->count, count);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
      assert_int_equal(m->frames[i].len, frames[i].len);
      if (frames[i].len > 0)
        assert_memory_equal(m->frames[i].data, frames[i].data, frames[i].len);
      bytes += frames[i].len;
    }
    assert_int_equal(m->bytes, bytes);
    mcq__msg_release(m);
  }
  mcq__msg_release(NULL);
  const mcq_frame_t huge[] = {{large, SIZE_MAX}, {large, 2}};
  assert_null(mcq__msg_copy(t.pool, huge, 1));
  assert_null(mcq__msg_copy(t.pool, huge, 2));
  test_pool_close(&t);
}

static void keeping_a_view_outlives_its_frames(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__slice_t frames[] = {
      filled(&t, 10, false, 1),    filled(&t, 100000, false, 2),
      filled(&t, 100000, true, 3), {NULL, 0, NULL},
      filled(&t, 300, true, 4),    mcq__slice_static("\5\5\5", 3),
  };
  const void* shared[] = {frames[2].data, frames[4].data};
  mcq_msg_t view;
  mcq__msg_view(&view, t.pool, frames, 6, 200313);
  mcq_msg_t* m = mcq__msg_keep(&view);
  assert_non_null(m);
  assert_true(m != &view);
  for (size_t i = 0; i < 6; i++) mcq__slice_release(&frames[i]);
  assert_int_equal(m->count, 6);
  assert_int_equal(m->bytes, 200313);
  expect_frame(m, 0, 10, 1);
  expect_frame(m, 1, 100000, 2);
  expect_frame(m, 2, 100000, 3);
  expect_frame(m, 3, 0, 0);
  expect_frame(m, 4, 300, 4);
  expect_frame(m, 5, 3, 5);
  assert_true(m->frames[2].data == shared[0]);
  assert_true(m->frames[4].data == shared[1]);
  mcq__msg_release(m);
  test_pool_close(&t);
}

static void keeping_an_owned_message_counts(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  const mcq_frame_t frame = {"hello", 5};
  mcq_msg_t* m = mcq__msg_copy(t.pool, &frame, 1);
  size_t calls = atomic_load(&t.alloc.calls);
  assert_true(mcq__msg_keep(m) == m);
  assert_true(mcq__msg_keep(m) == m);
  assert_int_equal(atomic_load(&t.alloc.calls), calls);
  mcq__msg_release(m);
  mcq__msg_release(m);
  assert_true(mcq__slice_equal(m->frames[0], "hello", 5));
  mcq__msg_release(m);
  test_pool_close(&t);
}

/* A thousand small frames cost two blocks, not a thousand. */
static void small_frames_are_kept_together(void** state) {
  (void) state;
  enum { MANY = 1000 };
  test_pool_t t;
  test_pool_open(&t);
  static mcq__slice_t frames[MANY];
  mcq__window_t w = {0};
  assert_int_equal(mcq__window_open(&w, t.pool, MANY * 20), 0);
  for (size_t i = 0; i < MANY; i++) {
    uint8_t byte = (uint8_t) i;
    for (size_t k = 0; k < 20; k++) mcq__window_poke(&w, k, &byte, 1);
    frames[i] = mcq__window_freeze(&w, 20);
  }
  mcq_msg_t view;
  mcq__msg_view(&view, t.pool, frames, MANY, MANY * 20);
  size_t calls = atomic_load(&t.alloc.calls);
  mcq_msg_t* m = mcq__msg_keep(&view);
  assert_int_equal(atomic_load(&t.alloc.calls), calls + 2);
  for (size_t i = 0; i < MANY; i++) mcq__slice_release(&frames[i]);
  mcq__window_close(&w);
  for (size_t i = 0; i < MANY; i++) expect_frame(m, i, 20, (uint8_t) i);
  mcq__msg_release(m);
  test_pool_close(&t);
}

/* One frame of ten bytes kept costs less than a hundred. */
static void small_messages_are_one_small_block(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__slice_t frame = filled(&t, 10, false, 9);
  mcq_msg_t view;
  mcq__msg_view(&view, t.pool, &frame, 1, 10);
  size_t calls = atomic_load(&t.alloc.calls);
  size_t bytes = atomic_load(&t.alloc.bytes);
  mcq_msg_t* m = mcq__msg_keep(&view);
  assert_int_equal(atomic_load(&t.alloc.calls), calls + 1);
  assert_true(atomic_load(&t.alloc.bytes) - bytes < 100);
  mcq__slice_release(&frame);
  expect_frame(m, 0, 10, 9);
  /* Its frame is kept on its own by copying. */
  mcq__slice_t kept = {0};
  assert_int_equal(mcq__slice_keep(&kept, t.pool, m->frames[0]), 0);
  mcq__msg_release(m);
  assert_true(mcq__slice_equal(kept, "\11\11\11\11\11\11\11\11\11\11", 10));
  mcq__slice_release(&kept);
  test_pool_close(&t);
}

/* Around the size where copies move out of the message's own block. */
static void every_size_is_copied_right(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  for (size_t len = 0; len < 600; len++) {
    uint8_t bytes[600];
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t) (len + i);
    mcq__slice_t frames[2] = {
        mcq__slice_static(bytes, len / 3),
        mcq__slice_static(bytes + len / 3, len - len / 3)};
    mcq_msg_t view;
    mcq__msg_view(&view, t.pool, frames, 2, len);
    mcq_msg_t* m = mcq__msg_keep(&view);
    memset(bytes, 0, sizeof bytes);
    size_t at = 0;
    for (size_t f = 0; f < 2; f++)
      for (size_t i = 0; i < m->frames[f].len; i++, at++)
        assert_int_equal(m->frames[f].data[i], (uint8_t) (len + at));
    assert_int_equal(at, len);
    mcq__msg_release(m);
  }
  test_pool_close(&t);
}

static void count_release(void* data, void* arg) {
  (void) data;
  (*(int*) arg)++;
}

static void take_moves_the_count(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  static const uint8_t bytes[20000] = {0};
  int released = 0;
  mcq__slice_t s = mcq__slab_slice(mcq__slab_foreign(
      t.pool, bytes, sizeof bytes, false, count_release, &released));
  test_alloc_fail_next(&t.alloc, false);
  assert_null(mcq__msg_take(t.pool, s));
  assert_int_equal(released, 0);
  mcq_msg_t* m = mcq__msg_take(t.pool, s);
  assert_true(m->count == 1 && m->bytes == sizeof bytes);
  assert_true(m->frames[0].data == bytes);
  mcq__msg_release(m);
  assert_int_equal(released, 1);
  /* Also when there is nothing in it. */
  s = mcq__slab_slice(
      mcq__slab_foreign(t.pool, bytes, 0, false, count_release, &released));
  mcq__msg_release(mcq__msg_take(t.pool, s));
  assert_int_equal(released, 2);
  test_pool_close(&t);
}

static void* release_msg(void* arg) {
  mcq__msg_release((mcq_msg_t*) arg);
  return NULL;
}

/* Kept here, released there, after the pool and the memory were closed. */
static void released_on_another_thread(void** state) {
  (void) state;
  enum { THREADS = 4 };
  const size_t sizes[] = {0, 10, 5000, 100000};
  for (size_t k = 0; k < 4; k++) {
    test_pool_t t;
    test_pool_open(&t);
    mcq__slice_t frames[2] = {filled(&t, sizes[k], k == 3, 1),
                              filled(&t, 20, false, 2)};
    mcq_msg_t view;
    mcq__msg_view(&view, t.pool, frames, 2, sizes[k] + 20);
    mcq_msg_t* m = mcq__msg_keep(&view);
    for (size_t i = 1; i < THREADS; i++) mcq__msg_keep(m);
    mcq__slice_release(&frames[0]);
    mcq__slice_release(&frames[1]);
    mcq__pool_close(t.pool);
    mcq__mem_close(t.mem);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, release_msg, m), 0);
    for (size_t i = 0; i < THREADS; i++)
      assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&t.alloc.live), 0);
  }
}

static int use_it_all(mcq__pool_t* pool) {
  static const uint8_t bytes[40000] = {0};
  const mcq_frame_t frames[] = {{bytes, 10}, {bytes, 5000}};
  mcq_msg_t* made = mcq__msg_copy(pool, frames, 2);
  if (made == NULL) return MCQ_ENOMEM;
  mcq__slice_t mixed[] = {made->frames[0], made->frames[1],
                          mcq__slice_static(bytes, sizeof bytes)};
  mcq_msg_t view;
  mcq__msg_view(&view, pool, mixed, 3, 5010 + sizeof bytes);
  mcq_msg_t* kept = mcq__msg_keep(&view);
  mcq__msg_release(made);
  if (kept == NULL) return MCQ_ENOMEM;
  mcq__msg_release(kept);
  return 0;
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
      cmocka_unit_test(copies_are_whole),
      cmocka_unit_test(keeping_a_view_outlives_its_frames),
      cmocka_unit_test(keeping_an_owned_message_counts),
      cmocka_unit_test(small_frames_are_kept_together),
      cmocka_unit_test(small_messages_are_one_small_block),
      cmocka_unit_test(every_size_is_copied_right),
      cmocka_unit_test(take_moves_the_count),
      cmocka_unit_test(released_on_another_thread),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
