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

/* The seat alone, in a loop and a pool that are there.  The result of
 * mcq__io_open. */
static inline int test_seat_sit(test_seat_t* t,
                                enum mcq__backend_choice choice) {
  t->io.user = t;
  t->io.on_left = test_seat_on_left;
  return mcq__io_open(&t->io, &t->loop, t->pool.pool, choice, &t->seams);
}

static inline int test_seat_open(test_seat_t* t,
                                 enum mcq__backend_choice choice) {
  test_pool_open(&t->pool);
  assert_int_equal(uv_loop_init(&t->loop), 0);
  return test_seat_sit(t, choice);
}

/* What remains once the seat is given up. */
static inline void test_seat_clear(test_seat_t* t) {
  while (!t->left) assert_true(uv_run(&t->loop, UV_RUN_ONCE) != 0 || t->left);
  assert_int_equal(uv_run(&t->loop, UV_RUN_NOWAIT), 0);
  assert_int_equal(uv_loop_close(&t->loop), 0);
  test_pool_close(&t->pool);
}

static inline void test_seat_close(test_seat_t* t) {
  mcq__io_close(&t->io);
  assert_false(t->left);
  test_seat_clear(t);
}

/* Lets the loop go round until `*flag` is set; it must not run dry first. */
static inline void test_seat_until(test_seat_t* t, const bool* flag) {
  mcq__io_ref(&t->io);
  while (!*flag) (void) uv_run(&t->loop, UV_RUN_ONCE);
  mcq__io_unref(&t->io);
}

/* `turns` iterations that do not sleep. */
static inline void test_seat_turns(test_seat_t* t, int turns) {
  mcq__io_ref(&t->io);
  for (int i = 0; i < turns; i++) (void) uv_run(&t->loop, UV_RUN_NOWAIT);
  mcq__io_unref(&t->io);
}

#endif
