/* SPDX-License-Identifier: MIT */
/* A loop, a pool and a seat for tests of the I/O room, on the test allocator
 * and, when wanted, on a clock that the test moves.  Closing asserts that
 * nothing is left: not in the loop, not in memory. */
#ifndef TEST_SUPPORT_IO_SEAT_H
#define TEST_SUPPORT_IO_SEAT_H

#include "io/io.h"
#include "support/pool.h"

typedef struct test_seat {
  test_pool_t pool;
  uv_loop_t loop;
  uv_prepare_t last; /* runs after the seat's own */
  const bool* until; /* what it waits for */
  mcq__io_t io;
  mcq__seams_t seams; /* set what is wanted before opening */
  uint64_t now;       /* of the virtual clock */
  bool left;
} test_seat_t;

static inline uint64_t test_seat_clock(void* arg) {
  return ((test_seat_t*) arg)->now;
}

/* Timers follow `now` from here on; call it before opening. */
static inline void test_seat_use_clock(test_seat_t* t) {
  t->now = 1000;
  t->seams.clock = test_seat_clock;
  t->seams.clock_arg = t;
}

static inline void test_seat_on_left(mcq__io_t* io) {
  test_seat_t* t = (test_seat_t*) io->user;
  assert_false(t->left);
  t->left = true;
}

/* What is waited for may happen in the phase before the loop sleeps. */
static inline void test_seat_on_last(uv_prepare_t* last) {
  test_seat_t* t = (test_seat_t*) last->data;
  if (t->until != NULL && *t->until) uv_stop(&t->loop);
}

static inline void test_seat_clear(test_seat_t* t) {
  while (!t->left) (void) uv_run(&t->loop, UV_RUN_ONCE);
  uv_close((uv_handle_t*) &t->last, NULL);
  assert_int_equal(uv_run(&t->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&t->loop), 0);
  mcq__pool_close(t->pool.pool);
  assert_int_equal(mcq__mem_live(t->pool.mem), 0);
  mcq__mem_close(t->pool.mem);
}

/* Takes a seat with memory from `ta`.  0, or the error of whatever failed,
 * and then nothing is left. */
static inline int test_seat_open_on(test_seat_t* t, test_alloc_t* ta,
                                    enum mcq__backend_choice choice) {
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  int rc = mcq__mem_open(&t->pool.mem, &allocator);
  if (rc != 0) return rc;
  rc = mcq__pool_open(&t->pool.pool, t->pool.mem);
  if (rc != 0) {
    assert_int_equal(mcq__mem_live(t->pool.mem), 0);
    mcq__mem_close(t->pool.mem);
    return rc;
  }
  assert_int_equal(uv_loop_init(&t->loop), 0);
  /* libuv runs first what was started last. */
  assert_int_equal(uv_prepare_init(&t->loop, &t->last), 0);
  assert_int_equal(uv_prepare_start(&t->last, test_seat_on_last), 0);
  uv_unref((uv_handle_t*) &t->last);
  t->last.data = t;
  t->io.user = t;
  t->io.on_left = test_seat_on_left;
  rc = mcq__io_open(&t->io, &t->loop, t->pool.pool, choice, &t->seams);
  assert_false(t->left);
  if (rc != 0) test_seat_clear(t);
  return rc;
}

static inline int test_seat_open(test_seat_t* t,
                                 enum mcq__backend_choice choice) {
  test_alloc_init(&t->pool.alloc);
  int rc = test_seat_open_on(t, &t->pool.alloc, choice);
  if (rc != 0) assert_int_equal(atomic_load(&t->pool.alloc.live), 0);
  return rc;
}

/* For seats that were opened on memory of the caller's. */
static inline void test_seat_leave(test_seat_t* t) {
  mcq__io_close(&t->io);
  assert_false(t->left);
  test_seat_clear(t);
}

static inline void test_seat_close(test_seat_t* t) {
  test_seat_leave(t);
  assert_int_equal(atomic_load(&t->pool.alloc.live), 0);
}

/* Lets the loop go round until `*flag` is set. */
static inline void test_seat_until(test_seat_t* t, const bool* flag) {
  mcq__io_ref(&t->io);
  t->until = flag;
  while (!*flag) (void) uv_run(&t->loop, UV_RUN_ONCE);
  t->until = NULL;
  mcq__io_unref(&t->io);
}

/* `turns` iterations that do not sleep. */
static inline void test_seat_turns(test_seat_t* t, int turns) {
  mcq__io_ref(&t->io);
  for (int i = 0; i < turns; i++) (void) uv_run(&t->loop, UV_RUN_NOWAIT);
  mcq__io_unref(&t->io);
}

#endif
