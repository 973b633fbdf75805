/* SPDX-License-Identifier: MIT */
/* When things happen: the order of tasks, what keeps the loop going and what
 * does not, timers on both clocks, and giving the seat up. */
#include <string.h>

#include "support/io_seat.h"

/* A task that writes its letter down and may do something more. */
typedef struct actor actor_t;
struct actor {
  mcq__task_t task;
  test_seat_t* seat;
  char letter;
  unsigned again; /* times it posts itself */
  void (*more)(actor_t* a);
  actor_t* other;
};

static char trace[8192];
static size_t traced;

static void note(char letter) {
  assert_true(traced < sizeof trace - 1);
  trace[traced++] = letter;
  trace[traced] = '\0';
}

static void run_actor(mcq__task_t* task) {
  actor_t* a = mcq__container_of(task, actor_t, task);
  note(a->letter);
  if (a->more != NULL) a->more(a);
}

static actor_t make(test_seat_t* t, char letter, void (*more)(actor_t* a)) {
  actor_t a = {{{NULL, NULL}, run_actor}, t, letter, 0, more, NULL};
  return a;
}

static void setup(test_seat_t* t) {
  memset(t, 0, sizeof *t);
  traced = 0;
  trace[0] = '\0';
  assert_int_equal(test_seat_open(t, MCQ__BACKEND_UV), 0);
}

/* On a clock that stands still: no turn is over before its tasks are counted,
 * however slow the machine. */
static void setup_clock(test_seat_t* t) {
  memset(t, 0, sizeof *t);
  traced = 0;
  trace[0] = '\0';
  test_seat_use_clock(t);
  assert_int_equal(test_seat_open(t, MCQ__BACKEND_UV), 0);
}

/* ---- order --------------------------------------------------------------- */

static void nothing_runs_inside_the_call(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  actor_t a = make(&t, 'a', NULL);
  actor_t b = make(&t, 'b', NULL);
  mcq__io_work(&t.io, &a.task);
  mcq__io_flush(&t.io, &b.task);
  assert_string_equal(trace, "");
  uv_run(&t.loop, UV_RUN_NOWAIT);
  assert_string_equal(trace, "ab");
  test_seat_close(&t);
}

static void work_comes_before_flush(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  actor_t a[6];
  for (size_t i = 0; i < 6; i++) a[i] = make(&t, (char) ('a' + i), NULL);
  mcq__io_flush(&t.io, &a[3].task);
  mcq__io_work(&t.io, &a[0].task);
  mcq__io_flush(&t.io, &a[4].task);
  mcq__io_work(&t.io, &a[1].task);
  mcq__io_flush(&t.io, &a[5].task);
  mcq__io_work(&t.io, &a[2].task);
  test_seat_turns(&t, 1);
  assert_string_equal(trace, "abcdef");
  test_seat_close(&t);
}

static void asked_twice_runs_once(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  actor_t a = make(&t, 'a', NULL);
  actor_t b = make(&t, 'b', NULL);
  mcq__io_work(&t.io, &a.task);
  mcq__io_work(&t.io, &a.task);
  mcq__io_flush(&t.io, &a.task);
  mcq__io_flush(&t.io, &b.task);
  mcq__io_flush(&t.io, &b.task);
  mcq__io_later(&t.io, &b.task);
  test_seat_turns(&t, 3);
  assert_string_equal(trace, "ab");
  mcq__io_work(&t.io, &a.task);
  test_seat_turns(&t, 1);
  assert_string_equal(trace, "aba");
  test_seat_close(&t);
}

static void post_both(actor_t* a) {
  mcq__io_flush(&a->seat->io, &a->other->task);
  mcq__io_work(&a->seat->io, &a->other->other->task);
}

static void tasks_may_post_tasks(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  actor_t a = make(&t, 'a', post_both);
  actor_t f = make(&t, 'f', NULL);
  actor_t w = make(&t, 'w', NULL);
  a.other = &f;
  f.other = &w;
  mcq__io_work(&t.io, &a.task);
  uv_run(&t.loop, UV_RUN_NOWAIT); /* one turn is enough for both rounds */
  assert_string_equal(trace, "afw");
  test_seat_close(&t);
}

static void cancel_other(actor_t* a) {
  mcq__io_cancel(&a->other->task);
}

static void tasks_may_be_cancelled(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  actor_t a = make(&t, 'a', cancel_other);
  actor_t b = make(&t, 'b', NULL);
  actor_t c = make(&t, 'c', cancel_other);
  actor_t d = make(&t, 'd', NULL);
  actor_t e = make(&t, 'e', NULL);
  a.other = &b; /* in the list that is running */
  c.other = &d; /* in the other list */
  mcq__io_work(&t.io, &a.task);
  mcq__io_work(&t.io, &b.task);
  mcq__io_work(&t.io, &c.task);
  mcq__io_flush(&t.io, &d.task);
  mcq__io_later(&t.io, &e.task);
  mcq__io_cancel(&e.task);
  mcq__io_cancel(&e.task);
  test_seat_turns(&t, 3);
  assert_string_equal(trace, "ac");
  test_seat_close(&t);
}

/* ---- bounds -------------------------------------------------------------- */

static void post_self(actor_t* a) {
  if (a->again == 0) return;
  a->again--;
  mcq__io_work(&a->seat->io, &a->task);
}

static void flush_self(actor_t* a) {
  if (a->again == 0) return;
  a->again--;
  mcq__io_flush(&a->seat->io, &a->task);
}

static void a_task_that_never_rests_lets_the_loop_turn(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  actor_t a = make(&t, 'a', post_self);
  actor_t f = make(&t, 'f', flush_self);
  a.again = 200;
  f.again = 200;
  mcq__io_work(&t.io, &a.task);
  mcq__io_flush(&t.io, &f.task);
  size_t before = 0;
  int turns = 0;
  while (traced < 402) {
    int alive = uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_int_equal(alive != 0, traced < 402);
    assert_in_range(traced - before, 1, 64);
    before = traced;
    turns++;
  }
  assert_in_range(turns, 8, 100);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  test_seat_close(&t);
}

typedef struct counter {
  uv_prepare_t prepare;
  size_t seen[64];
  unsigned turns;
} counter_t;

static void count_turn(uv_prepare_t* prepare) {
  counter_t* c = (counter_t*) prepare->data;
  if (c->turns < 64) c->seen[c->turns] = traced;
  c->turns++;
}

static void many_tasks_keep_their_order_over_several_turns(void** state) {
  (void) state;
  enum { COUNT = 6000 };
  test_seat_t t;
  setup_clock(&t);
  counter_t c = {.turns = 0};
  c.prepare.data = &c;
  uv_prepare_init(&t.loop, &c.prepare);
  uv_prepare_start(&c.prepare, count_turn);
  uv_unref((uv_handle_t*) &c.prepare);
  static actor_t a[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    a[i] = make(&t, (char) ('a' + i % 26), NULL);
    if (i % 2 == 0)
      mcq__io_work(&t.io, &a[i].task);
    else
      mcq__io_flush(&t.io, &a[i].task);
  }
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(traced, COUNT);
  assert_true(c.turns >= 2); /* the loop polled in between */
  size_t even = 0;
  size_t odd = 1;
  for (size_t i = 0; i < COUNT; i++) {
    bool is_even = (trace[i] - 'a') % 2 == 0;
    size_t* next = is_even ? &even : &odd;
    assert_int_equal(trace[i], 'a' + (int) (*next % 26));
    *next += 2;
  }
  uv_close((uv_handle_t*) &c.prepare, NULL);
  test_seat_close(&t);
}

static void later_self(actor_t* a) {
  if (a->again == 0) return;
  a->again--;
  mcq__io_later(&a->seat->io, &a->task);
}

static void later_is_once_a_turn(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  actor_t a = make(&t, 'a', later_self);
  a.again = 5;
  mcq__io_later(&t.io, &a.task);
  for (size_t i = 1; i <= 6; i++) {
    assert_int_equal(traced, i - 1);
    (void) uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_int_equal(traced, i);
  }
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  assert_string_equal(trace, "aaaaaa");
  test_seat_close(&t);
}

/* ---- what keeps the loop going ------------------------------------------- */

static void an_idle_seat_keeps_nothing_going(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  mcq__io_ref(&t.io);
  mcq__io_ref(&t.io);
  assert_int_not_equal(uv_run(&t.loop, UV_RUN_NOWAIT), 0);
  mcq__io_unref(&t.io);
  assert_int_not_equal(uv_run(&t.loop, UV_RUN_NOWAIT), 0);
  mcq__io_unref(&t.io);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  test_seat_close(&t);
}

static void what_was_promised_is_done_before_uv_run_returns(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  actor_t a = make(&t, 'a', later_self);
  a.again = 3;
  mcq__io_work(&t.io, &a.task);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  assert_string_equal(trace, "aaaa");
  test_seat_close(&t);
}

typedef struct user {
  uv_prepare_t prepare;
  uv_check_t check;
  actor_t in_prepare;
  actor_t in_check;
} user_t;

static void post_in_prepare(uv_prepare_t* prepare) {
  user_t* u = (user_t*) prepare->data;
  mcq__io_work(&u->in_prepare.seat->io, &u->in_prepare.task);
  uv_prepare_stop(prepare);
}

static void post_in_check(uv_check_t* check) {
  user_t* u = (user_t*) check->data;
  mcq__io_flush(&u->in_check.seat->io, &u->in_check.task);
  uv_check_stop(check);
}

/* Started first, a handle runs last. */
static void start_before_ours(test_seat_t* t, user_t* u) {
  mcq__turn_t* turn = &t->io.turn;
  uv_prepare_cb prepare = turn->prepare.prepare_cb;
  uv_check_cb check = turn->check.check_cb;
  uv_prepare_stop(&turn->prepare);
  uv_check_stop(&turn->check);
  uv_prepare_start(&u->prepare, post_in_prepare);
  uv_check_start(&u->check, post_in_check);
  uv_prepare_start(&turn->prepare, prepare);
  uv_check_start(&turn->check, check);
}

/* The user's handles were started first and so run after ours: the loop is
 * about to sleep, and nothing but the task could wake it. */
static void work_posted_behind_our_back_wakes_the_loop(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  user_t u;
  uv_prepare_init(&t.loop, &u.prepare);
  uv_check_init(&t.loop, &u.check);
  u.prepare.data = &u;
  u.check.data = &u;
  start_before_ours(&t, &u);
  u.in_prepare = make(&t, 'p', NULL);
  u.in_check = make(&t, 'c', NULL);
  mcq__io_ref(&t.io);
  for (int i = 0; i < 10 && traced < 2; i++)
    (void) uv_run(&t.loop, UV_RUN_ONCE); /* would sleep for ever */
  mcq__io_unref(&t.io);
  assert_string_equal(trace, "pc");
  uv_close((uv_handle_t*) &u.prepare, NULL);
  uv_close((uv_handle_t*) &u.check, NULL);
  test_seat_close(&t);
}

/* ---- timers -------------------------------------------------------------- */

typedef struct alarm {
  mcq__timer_t timer;
  test_seat_t* seat;
  char letter;
  uint64_t again; /* ms; 0: no */
  actor_t* posts;
  bool rang;
} alarm_t;

static void on_alarm(mcq__timer_t* timer) {
  alarm_t* a = mcq__container_of(timer, alarm_t, timer);
  mcq__io_t* io = &a->seat->io;
  assert_true(mcq__io_now(io) >= timer->deadline);
  note(a->letter);
  a->rang = true;
  if (a->posts != NULL) mcq__io_work(io, &a->posts->task);
  if (a->again != 0) mcq__io_timer_start(io, timer, mcq__io_now(io) + a->again);
}

static alarm_t make_alarm(test_seat_t* t, char letter) {
  alarm_t a;
  memset(&a, 0, sizeof a);
  a.timer.run = on_alarm;
  a.seat = t;
  a.letter = letter;
  assert_int_equal(mcq__timers_reserve(&t->io.turn.timers), 0);
  return a;
}

static void end_alarm(alarm_t* a) {
  mcq__io_timer_stop(&a->seat->io, &a->timer);
  mcq__timers_unreserve(&a->seat->io.turn.timers);
}

static void the_tests_own_clock_is_the_only_one(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  alarm_t a = make_alarm(&t, 'a');
  alarm_t b = make_alarm(&t, 'b');
  assert_int_equal(mcq__io_now(&t.io), t.now);
  mcq__io_timer_start(&t.io, &a.timer, t.now + 10);
  mcq__io_timer_start(&t.io, &b.timer, t.now + 5);
  test_seat_turns(&t, 3);
  assert_string_equal(trace, "");
  t.now += 4;
  test_seat_turns(&t, 3);
  assert_string_equal(trace, "");
  t.now += 1;
  test_seat_turns(&t, 1);
  assert_string_equal(trace, "b");
  t.now += 100;
  test_seat_turns(&t, 1);
  assert_string_equal(trace, "ba");
  assert_false(uv_is_active((uv_handle_t*) &t.io.turn.timer));
  end_alarm(&a);
  end_alarm(&b);
  test_seat_close(&t);
}

static void ring_quietly(mcq__timer_t* timer) {
  (void) timer;
  traced++;
}

/* Ten thousand that are due at once ring over many turns, and none is
 * forgotten while the loop has nothing else to wake it. */
static void many_timers_at_once_ring_over_several_turns(bool own_clock) {
  enum { COUNT = 10000 };
  static mcq__timer_t timers[COUNT];
  test_seat_t t;
  if (own_clock)
    setup_clock(&t);
  else
    setup(&t);
  for (size_t i = 0; i < COUNT; i++) {
    timers[i] = (mcq__timer_t){.run = ring_quietly};
    assert_int_equal(mcq__timers_reserve(&t.io.turn.timers), 0);
    mcq__io_timer_start(&t.io, &timers[i], mcq__io_now(&t.io) + 1);
  }
  t.now++;
  mcq__io_ref(&t.io);
  for (size_t before = 0; traced < COUNT; before = traced) {
    uv_run(&t.loop, UV_RUN_NOWAIT);
    assert_in_range(traced - before, 0, 512);
  }
  mcq__io_unref(&t.io);
  for (size_t i = 0; i < COUNT; i++) mcq__timers_unreserve(&t.io.turn.timers);
  traced = 0;
  test_seat_close(&t);
}

static void many_timers_at_once(void** state) {
  (void) state;
  many_timers_at_once_ring_over_several_turns(false);
  many_timers_at_once_ring_over_several_turns(true);
}

static void start_alarm_now(actor_t* a) {
  alarm_t* alarm = (alarm_t*) (void*) a->other;
  mcq__io_timer_start(&a->seat->io, &alarm->timer, a->seat->now);
}

/* A timer that is due at once is found without anything else to wake the
 * loop, and what it posts runs in the same phase. */
static void due_timers_do_not_wait(void** state) {
  (void) state;
  test_seat_t t;
  setup_clock(&t);
  alarm_t alarm = make_alarm(&t, 't');
  actor_t starter = make(&t, 's', start_alarm_now);
  actor_t poster = make(&t, 'p', NULL);
  starter.other = (actor_t*) (void*) &alarm;
  alarm.posts = &poster;
  mcq__io_work(&t.io, &starter.task);
  test_seat_until(&t, &alarm.rang);
  test_seat_turns(&t, 1);
  assert_string_equal(trace, "stp");
  end_alarm(&alarm);
  test_seat_close(&t);
}

static void real_timers_ring_in_order(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  alarm_t a = make_alarm(&t, 'a');
  alarm_t b = make_alarm(&t, 'b');
  alarm_t c = make_alarm(&t, 'c');
  alarm_t never = make_alarm(&t, 'n');
  uv_update_time(&t.loop);
  uint64_t now = mcq__io_now(&t.io);
  assert_int_equal(now, uv_now(&t.loop));
  mcq__io_timer_start(&t.io, &c.timer, now + 30);
  mcq__io_timer_start(&t.io, &b.timer, now + 20);
  mcq__io_timer_start(&t.io, &never.timer, now + 5);
  mcq__io_timer_start(&t.io, &a.timer, now + 1);
  mcq__io_timer_stop(&t.io, &never.timer);
  test_seat_until(&t, &c.rang);
  assert_string_equal(trace, "abc");
  end_alarm(&a);
  end_alarm(&b);
  end_alarm(&c);
  end_alarm(&never);
  test_seat_close(&t);
}

static void a_timer_alone_keeps_nothing_going(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  alarm_t a = make_alarm(&t, 'a');
  mcq__io_timer_start(&t.io, &a.timer, mcq__io_now(&t.io) + 3600000);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  assert_string_equal(trace, "");
  end_alarm(&a);
  test_seat_close(&t);
}

static void the_uv_timer_is_set_only_when_that_matters(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  alarm_t a = make_alarm(&t, 'a');
  uint64_t now = mcq__io_now(&t.io);
  assert_int_equal(t.io.turn.armed, MCQ__NEVER);
  mcq__io_timer_start(&t.io, &a.timer, now + 100000);
  assert_int_equal(t.io.turn.armed, now + 100000);
  mcq__io_timer_start(&t.io, &a.timer, now + 200000);
  assert_int_equal(t.io.turn.armed, now + 100000);
  mcq__io_timer_start(&t.io, &a.timer, now + 50000);
  assert_int_equal(t.io.turn.armed, now + 50000);
  end_alarm(&a);
  test_seat_close(&t);
}

/* Always due again: the loop must still poll. */
static void a_restless_timer_lets_the_loop_turn(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  alarm_t a = make_alarm(&t, 'a');
  alarm_t b = make_alarm(&t, 'b');
  a.again = 1;
  mcq__io_timer_start(&t.io, &a.timer, 0);
  mcq__io_timer_start(&t.io, &b.timer, mcq__io_now(&t.io) + 5);
  test_seat_until(&t, &b.rang);
  end_alarm(&a);
  end_alarm(&b);
  test_seat_close(&t);
}

/* ---- the back end's part ------------------------------------------------- */

static int fake_result;
static unsigned fake_submits;
static bool fake_left;

static int fake_join(mcq__io_t* io) {
  (void) io;
  return fake_result;
}

static void fake_leave(mcq__io_t* io) {
  fake_left = true;
  mcq__io_left(io);
}

static void fake_submit(mcq__io_t* io) {
  (void) io;
  assert_false(fake_left);
  fake_submits++;
  note('.');
}

static const mcq__backend_t fake = {.name = "fake",
                                    .join = fake_join,
                                    .leave = fake_leave,
                                    .submit = fake_submit};

static int open_fake(test_seat_t* t, int result) {
  memset(t, 0, sizeof *t);
  traced = 0;
  trace[0] = '\0';
  fake_result = result;
  fake_submits = 0;
  fake_left = false;
  t->seams.backend = &fake;
  test_seat_use_clock(t);
  return test_seat_open(t, MCQ__BACKEND_AUTO);
}

static void prepared_work_is_handed_over_after_the_tasks(void** state) {
  (void) state;
  test_seat_t t;
  assert_int_equal(open_fake(&t, 0), 0);
  assert_ptr_equal(t.io.backend, &fake);
  actor_t a = make(&t, 'a', post_both);
  actor_t f = make(&t, 'f', NULL);
  actor_t w = make(&t, 'w', NULL);
  a.other = &f;
  f.other = &w;
  mcq__io_work(&t.io, &a.task);
  uv_run(&t.loop, UV_RUN_NOWAIT);
  assert_string_equal(trace, "af.w.."); /* two rounds, then the check phase */
  test_seat_close(&t);
  assert_true(fake_left);
}

static void a_back_end_that_cannot_leaves_nothing(void** state) {
  (void) state;
  test_seat_t t;
  assert_int_equal(open_fake(&t, UV_EPERM), UV_EPERM);
  assert_true(t.left);
  assert_false(fake_left);
  assert_int_equal(fake_submits, 0);
}

static void the_choice_of_back_ends(void** state) {
  (void) state;
  const mcq__backend_t* uring = mcq__backend_uring();
  test_seat_t t;
  memset(&t, 0, sizeof t);
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_AUTO), 0);
  bool fell_back = t.io.fallback != 0;
  assert_true(t.io.backend == (fell_back ? &mcq__backend_uv : uring));
  if (uring == NULL) assert_int_equal(t.io.fallback, MCQ_ENOTSUP);
  test_seat_close(&t);

  memset(&t, 0, sizeof t);
  int rc = test_seat_open(&t, MCQ__BACKEND_URING);
  assert_int_equal(rc != 0, fell_back);
  if (rc == 0) test_seat_close(&t);

  setup(&t);
  assert_ptr_equal(t.io.backend, &mcq__backend_uv);
  assert_int_equal(t.io.fallback, 0);
  test_seat_close(&t);
}

/* ---- the end ------------------------------------------------------------- */

static void close_the_seat(actor_t* a) {
  mcq__io_close(&a->seat->io);
  mcq__io_work(&a->seat->io, &a->other->task);
}

static void a_task_may_close_the_seat(void** state) {
  (void) state;
  test_seat_t t;
  setup(&t);
  actor_t a = make(&t, 'a', close_the_seat);
  actor_t b = make(&t, 'b', NULL);
  actor_t c = make(&t, 'c', later_self);
  a.other = &b;
  c.again = 2;
  mcq__io_work(&t.io, &a.task);
  mcq__io_flush(&t.io, &c.task);
  mcq__io_ref(&t.io); /* a reason that nobody took back does not matter */
  test_seat_clear(&t);
  assert_string_equal(trace, "acbcc");
}

static int open_and_close(test_alloc_t* ta, void* arg) {
  test_seat_t t;
  (void) arg;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open_on(&t, ta, MCQ__BACKEND_UV);
  if (rc == 0) test_seat_leave(&t);
  return rc;
}

static void opening_survives_every_failing_allocation(void** state) {
  (void) state;
  test_alloc_sweep(open_and_close, NULL);
}

/* ---- numbers and names --------------------------------------------------- */

static void a_seed_gives_a_sequence(void** state) {
  (void) state;
  uint64_t seen[3][4];
  for (size_t run = 0; run < 3; run++) {
    test_seat_t t;
    memset(&t, 0, sizeof t);
    t.seams.seed = run < 2 ? 42 : 43;
    assert_int_equal(test_seat_open(&t, MCQ__BACKEND_UV), 0);
    for (size_t i = 0; i < 4; i++) seen[run][i] = mcq__io_random(&t.io);
    test_seat_close(&t);
  }
  assert_memory_equal(seen[0], seen[1], sizeof seen[0]);
  assert_memory_not_equal(seen[0], seen[2], sizeof seen[0]);
  assert_int_not_equal(seen[0][0], seen[0][1]);
}

static void without_a_seed_no_two_are_alike(void** state) {
  (void) state;
  test_seat_t t;
  uint64_t seen[2];
  for (size_t i = 0; i < 2; i++) {
    setup(&t);
    seen[i] = mcq__io_random(&t.io);
    test_seat_close(&t);
  }
  assert_int_not_equal(seen[0], seen[1]);
}

static void transports_are_found_by_scheme(void** state) {
  (void) state;
  static const mcq__transport_t mine = {.scheme = "mine"};
  static const mcq__transport_t my_tcp = {.scheme = "tcp"};
  mcq__io_t io = {.seams.transport = &mine};
  assert_ptr_equal(mcq__transport_find(&io, "tcp", 3), &mcq__transport_tcp);
  assert_ptr_equal(mcq__transport_find(&io, "mine", 4), &mine);
  assert_null(mcq__transport_find(&io, "mine", 3));
  assert_null(mcq__transport_find(&io, "tcpx", 4));
  assert_null(mcq__transport_find(&io, "", 0));
  io.seams.transport = &my_tcp;
  assert_ptr_equal(mcq__transport_find(&io, "tcp", 3), &my_tcp);
  io.seams.transport = NULL;
  assert_null(mcq__transport_find(&io, "mine", 4));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_runs_inside_the_call),
      cmocka_unit_test(work_comes_before_flush),
      cmocka_unit_test(asked_twice_runs_once),
      cmocka_unit_test(tasks_may_post_tasks),
      cmocka_unit_test(tasks_may_be_cancelled),
      cmocka_unit_test(a_task_that_never_rests_lets_the_loop_turn),
      cmocka_unit_test(many_tasks_keep_their_order_over_several_turns),
      cmocka_unit_test(many_timers_at_once),
      cmocka_unit_test(later_is_once_a_turn),
      cmocka_unit_test(an_idle_seat_keeps_nothing_going),
      cmocka_unit_test(what_was_promised_is_done_before_uv_run_returns),
      cmocka_unit_test(work_posted_behind_our_back_wakes_the_loop),
      cmocka_unit_test(the_tests_own_clock_is_the_only_one),
      cmocka_unit_test(due_timers_do_not_wait),
      cmocka_unit_test(real_timers_ring_in_order),
      cmocka_unit_test(a_timer_alone_keeps_nothing_going),
      cmocka_unit_test(the_uv_timer_is_set_only_when_that_matters),
      cmocka_unit_test(a_restless_timer_lets_the_loop_turn),
      cmocka_unit_test(prepared_work_is_handed_over_after_the_tasks),
      cmocka_unit_test(a_back_end_that_cannot_leaves_nothing),
      cmocka_unit_test(the_choice_of_back_ends),
      cmocka_unit_test(a_task_may_close_the_seat),
      cmocka_unit_test(opening_survives_every_failing_allocation),
      cmocka_unit_test(a_seed_gives_a_sequence),
      cmocka_unit_test(without_a_seed_no_two_are_alike),
      cmocka_unit_test(transports_are_found_by_scheme),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
