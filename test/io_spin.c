/* SPDX-License-Identifier: MIT */
/* A loop that looks for input before it sleeps: for how long, when it gives up
 * and tries again, and that whoever shares the loop is served meanwhile.  Time
 * is what the test says: a look takes as long as it is told. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/io_seat.h"

#define LIMIT 50
#define LOOK ((uint64_t) 10000)
#define LONG_AGO ((uint64_t) 100000000)

/* The longest sleep that is short. */
#define SHORT ((uint64_t) LIMIT * 1000 + 150000)

/* Looks in vain until one more would be after the limit. */
#define LOOKS (LIMIT * 1000 / (unsigned) LOOK)

static enum mcq__backend_choice choice;
static uint64_t now_ns;
static uint64_t step_ns;

static uint64_t stepping(void* arg) {
  (void) arg;
  return now_ns += step_ns;
}

static uint64_t virtual_ms(void* arg) {
  (void) arg;
  return 1000;
}

typedef struct rig {
  test_seat_t seat;
  mcq__task_t task;
  unsigned runs;
} rig_t;

static void run(mcq__task_t* task) {
  mcq__container_of(task, rig_t, task)->runs++;
}

/* A seat that waits for something, so that the loop would sleep. */
static void open_rig(rig_t* r, uint32_t spin_us) {
  memset(r, 0, sizeof *r);
  now_ns = LONG_AGO;
  step_ns = LOOK;
  r->task.run = run;
  r->seat.io.spin_us = spin_us;
  r->seat.seams.spin_clock = stepping;
  assert_int_equal(test_seat_open(&r->seat, choice), 0);
  mcq__io_ref(&r->seat.io);
}

static void close_rig(rig_t* r) {
  mcq__io_unref(&r->seat.io);
  test_seat_close(&r->seat);
}

/* One iteration; true when the next one would not sleep. */
static bool awake_after_turn(rig_t* r) {
  (void) uv_run(&r->seat.loop, UV_RUN_NOWAIT);
  return uv_backend_timeout(&r->seat.loop) == 0;
}

/* Something of ours comes; then nothing.  How many iterations it is awake. */
static unsigned looks(rig_t* r) {
  unsigned turns = 0;
  mcq__io_work(&r->seat.io, &r->task);
  while (awake_after_turn(r)) assert_true(++turns < 10000);
  return turns;
}

static unsigned looks_after_long(rig_t* r) {
  now_ns += LONG_AGO;
  return looks(r);
}

static void give_up(rig_t* r) {
  for (int i = 0; i < 4; i++) assert_int_equal(looks_after_long(r), LOOKS);
  assert_int_equal(looks_after_long(r), 0);
}

/* ---- when ---------------------------------------------------------------- */

static void without_the_option_it_sleeps(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, 0);
  for (int i = 0; i < 10; i++) assert_int_equal(looks(&r), 0);
  assert_int_equal(r.runs, 10);
  assert_int_equal(now_ns, LONG_AGO); /* and nobody looks at the clock */
  close_rig(&r);
}

static void nothing_comes_and_it_gives_up(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  assert_false(awake_after_turn(&r)); /* nothing has come yet */
  give_up(&r);
  for (int i = 0; i < 100; i++) assert_int_equal(looks_after_long(&r), 0);
  close_rig(&r);
}

static void while_something_comes_it_stays_awake(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  for (int i = 0; i < 1000; i++) {
    if (i % 3 == 0) mcq__io_work(&r.seat.io, &r.task);
    assert_true(awake_after_turn(&r));
  }
  close_rig(&r);
}

static void a_short_sleep_makes_it_try_again(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  give_up(&r);
  now_ns += SHORT - LOOK + 1;
  assert_int_equal(looks(&r), 0);
  now_ns += SHORT - LOOK;
  assert_int_equal(looks(&r), LOOKS);
  close_rig(&r);
}

/* Somebody else's wake-up is not the end of what we wait for. */
static void a_sleep_lasts_until_something_of_ours_comes(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  give_up(&r);
  for (uint64_t slept = 0; slept <= SHORT; slept += LOOK)
    assert_false(awake_after_turn(&r));
  assert_int_equal(looks(&r), 0);
  close_rig(&r);
}

/* Each failure makes it wait for twice as many, up to a bound. */
static void misleading_sleeps_cost_little(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  give_up(&r);
  unsigned tries = 0;
  for (int i = 0; i < 2048; i++)
    if (looks(&r) != 0) tries++;
  assert_in_range(tries, 4 * 13, 4 * 17);
  /* When it succeeds it trusts again, sooner or later. */
  while (looks(&r) == 0) continue;
  for (int i = 0; i < 100; i++) {
    mcq__io_work(&r.seat.io, &r.task);
    assert_true(awake_after_turn(&r));
  }
  while (awake_after_turn(&r)) continue; /* the first miss */
  for (int i = 1; i < 4; i++) assert_int_equal(looks_after_long(&r), LOOKS);
  assert_int_equal(looks_after_long(&r), 0);
  assert_int_equal(looks(&r), LOOKS);
  close_rig(&r);
}

static void more_misses_than_hits_are_not_worth_it(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  unsigned rounds = 0;
  for (;; rounds++) {
    assert_true(rounds < 20);
    now_ns += LONG_AGO;
    mcq__io_work(&r.seat.io, &r.task);
    if (!awake_after_turn(&r)) break;
    if (rounds % 3 == 0) mcq__io_work(&r.seat.io, &r.task);
    while (awake_after_turn(&r)) continue;
  }
  assert_true(rounds > 4);
  close_rig(&r);
}

/* Whoever had the processor meanwhile would have had it sooner. */
static void what_comes_too_late_is_a_miss(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  for (int i = 0; i < 5; i++) {
    now_ns += LONG_AGO;
    mcq__io_work(&r.seat.io, &r.task);
    assert_int_equal(awake_after_turn(&r), i < 4);
  }
  close_rig(&r);
}

static void a_clock_of_the_tests_own_does_not_spin(void** state) {
  (void) state;
  rig_t r;
  memset(&r, 0, sizeof r);
  r.task.run = run;
  r.seat.seams.clock = virtual_ms;
  r.seat.io.spin_us = LIMIT;
  assert_int_equal(test_seat_open(&r.seat, choice), 0);
  mcq__io_ref(&r.seat.io);
  assert_int_equal(looks(&r), 0);
  close_rig(&r);
}

static void who_waits_for_nothing_does_not_keep_the_loop(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  step_ns = 0; /* a look would never end */
  mcq__io_unref(&r.seat.io);
  mcq__io_work(&r.seat.io, &r.task);
  assert_int_equal(uv_run(&r.seat.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(r.runs, 1);
  mcq__io_ref(&r.seat.io);
  close_rig(&r);
}

/* ---- one processor ------------------------------------------------------- */

/* cmocka's assertions belong to the parent. */
static int looks_on_one(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 2;
  size_t cpu = 0;
  while (!CPU_ISSET(cpu, &set)) cpu++;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return 3;
  rig_t r;
  open_rig(&r, LIMIT);
  unsigned turns = looks(&r);
  close_rig(&r);
  return turns == 0 ? 0 : 1;
}

static void on_one_processor_it_never_spins(void** state) {
  (void) state;
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(looks_on_one());
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- guests -------------------------------------------------------------- */

typedef struct guests {
  uv_timer_t timer;
  uv_async_t async;
  uv_pipe_t pipe;
  char byte;
  unsigned timers, calls, reads;
} guests_t;

static void on_timer(uv_timer_t* timer) {
  ((guests_t*) timer->data)->timers++;
}

static void on_async(uv_async_t* async) {
  ((guests_t*) async->data)->calls++;
}

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  (void) size;
  *buf = uv_buf_init(&((guests_t*) handle->data)->byte, 1);
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  (void) buf;
  if (n > 0) ((guests_t*) stream->data)->reads++;
}

static void open_guests(guests_t* g, uv_loop_t* loop, int fds[2]) {
  memset(g, 0, sizeof *g);
  assert_int_equal(pipe(fds), 0);
  assert_int_equal(uv_timer_init(loop, &g->timer), 0);
  assert_int_equal(uv_async_init(loop, &g->async, on_async), 0);
  assert_int_equal(uv_pipe_init(loop, &g->pipe, 0), 0);
  assert_int_equal(uv_pipe_open(&g->pipe, fds[0]), 0);
  g->timer.data = g->async.data = g->pipe.data = g;
  uv_stream_t* stream = (uv_stream_t*) &g->pipe;
  assert_int_equal(uv_read_start(stream, on_alloc, on_read), 0);
}

static void close_guests(guests_t* g, rig_t* r, int fd) {
  uv_close((uv_handle_t*) &g->timer, NULL);
  uv_close((uv_handle_t*) &g->async, NULL);
  uv_close((uv_handle_t*) &g->pipe, NULL);
  close(fd);
  close_rig(r);
}

static void who_shares_the_loop_is_served_meanwhile(void** state) {
  (void) state;
  rig_t r;
  guests_t g;
  int fds[2];
  open_rig(&r, LIMIT);
  step_ns = 0;
  open_guests(&g, &r.seat.loop, fds);
  mcq__io_work(&r.seat.io, &r.task);
  for (int i = 0; i < 10; i++) assert_true(awake_after_turn(&r));
  for (unsigned i = 1; i < 10; i++) {
    uv_timer_start(&g.timer, on_timer, 0, 0);
    assert_true(awake_after_turn(&r));
    assert_int_equal(g.timers, i);
    assert_int_equal(uv_async_send(&g.async), 0);
    assert_true(awake_after_turn(&r));
    assert_int_equal(g.calls, i);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_true(awake_after_turn(&r));
    assert_int_equal(g.reads, i);
  }
  /* A timer that is due only later, too: the loop goes round until then. */
  uv_timer_start(&g.timer, on_timer, 2, 0);
  while (g.timers < 10) assert_true(awake_after_turn(&r));
  close_guests(&g, &r, fds[1]);
}

/* What they do is nothing of ours: it does not make it go on. */
static void what_they_do_does_not_prolong_it(void** state) {
  (void) state;
  rig_t r;
  guests_t g;
  int fds[2];
  open_rig(&r, LIMIT);
  open_guests(&g, &r.seat.loop, fds);
  mcq__io_work(&r.seat.io, &r.task);
  unsigned turns = 0;
  do {
    assert_true(++turns <= LOOKS + 1);
    assert_int_equal(uv_async_send(&g.async), 0);
  } while (awake_after_turn(&r));
  assert_int_equal(turns, LOOKS + 1);
  assert_int_equal(g.calls, turns);
  close_guests(&g, &r, fds[1]);
}

static void closing_ends_it(void** state) {
  (void) state;
  rig_t r;
  open_rig(&r, LIMIT);
  step_ns = 0;
  mcq__io_work(&r.seat.io, &r.task);
  for (int i = 0; i < 10; i++) assert_true(awake_after_turn(&r));
  close_rig(&r);
}

static int play(enum mcq__backend_choice with) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_the_option_it_sleeps),
      cmocka_unit_test(nothing_comes_and_it_gives_up),
      cmocka_unit_test(while_something_comes_it_stays_awake),
      cmocka_unit_test(a_short_sleep_makes_it_try_again),
      cmocka_unit_test(a_sleep_lasts_until_something_of_ours_comes),
      cmocka_unit_test(misleading_sleeps_cost_little),
      cmocka_unit_test(more_misses_than_hits_are_not_worth_it),
      cmocka_unit_test(what_comes_too_late_is_a_miss),
      cmocka_unit_test(a_clock_of_the_tests_own_does_not_spin),
      cmocka_unit_test(who_waits_for_nothing_does_not_keep_the_loop),
      cmocka_unit_test(on_one_processor_it_never_spins),
      cmocka_unit_test(who_shares_the_loop_is_served_meanwhile),
      cmocka_unit_test(what_they_do_does_not_prolong_it),
      cmocka_unit_test(closing_ends_it),
  };
  choice = with;
  const char* name = with == MCQ__BACKEND_UV ? "spin, uv" : "spin, uring";
  return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

static bool uring_is_here(void) {
  test_seat_t t;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open(&t, MCQ__BACKEND_URING);
  if (rc == 0)
    test_seat_close(&t);
  else
    printf("no uring here: %s\n", uv_strerror(rc));
  return rc == 0;
}

int main(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1) {
    printf("skipped: on one processor nothing spins\n");
    return 77;
  }
  int failed = play(MCQ__BACKEND_UV);
  if (uring_is_here()) failed += play(MCQ__BACKEND_URING);
  return failed;
}
