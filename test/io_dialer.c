/* SPDX-License-Identifier: MIT */
/* Attempts and the waits between them, under the test's own clock with a
 * transport that does what it is told; and a few with the real one. */
#include "io/dialer.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/io_seat.h"

/* ---- a transport that is told what to do --------------------------------- */

typedef struct fake {
  int refuse;     /* what dial answers at once */
  unsigned dials; /* attempts begun */
  unsigned hangups;
  unsigned discards;
  mcq__dialer_t* dialing;
  mcq__task_t end; /* ends the attempt from a phase */
  bool stubborn;   /* a hangup comes too late: there is a stream already */
  int code;
  void* stream;
} fake_t;

static fake_t fake;
static int a_stream;

static void run_end(mcq__task_t* task) {
  (void) task;
  mcq__dialer_t* d = fake.dialing;
  fake.dialing = NULL;
  mcq__dialer_done(d, fake.stream, fake.stream == NULL ? NULL : "fake://peer",
                   fake.code);
}

static int fake_dial(mcq__dialer_t* d) {
  assert_int_equal(d->state, MCQ__DIALER_DIALING);
  assert_null(fake.dialing);
  fake.dials++;
  if (fake.refuse != 0) return fake.refuse;
  fake.dialing = d;
  return 0;
}

static void end_attempt(void* stream, int code) {
  assert_non_null(fake.dialing);
  fake.stream = stream;
  fake.code = code;
  fake.end.run = run_end;
  mcq__io_work(fake.dialing->io, &fake.end);
}

static void fake_hangup(mcq__dialer_t* d) {
  assert_ptr_equal(d, fake.dialing);
  fake.hangups++;
  end_attempt(fake.stubborn ? &a_stream : NULL,
              fake.stubborn ? 0 : UV_ECANCELED);
}

static void fake_discard(mcq__io_t* io, void* stream) {
  (void) io;
  assert_ptr_equal(stream, &a_stream);
  fake.discards++;
}

static const mcq__transport_t transport = {.scheme = "fake",
                                           .dial = fake_dial,
                                           .hangup = fake_hangup,
                                           .discard = fake_discard};

/* ---- what the dialer says ------------------------------------------------ */

enum when { NEVER, IN_DIALING, IN_STREAM, IN_FAILED, IN_RETRY, IN_STOPPED };

typedef struct script {
  mcq__dialer_t dialer;
  mcq__dialer_config_t config;
  test_seat_t seat;
  enum when close_in; /* the callback that closes */
  enum when lose_in;
  enum when stop_in;
  uint64_t attempts; /* of the configuration; set before opening */
  uint64_t total_ms;
  unsigned stops;
  bool inside; /* one of the test's own calls: nothing may come */
  unsigned dialings;
  unsigned streams;
  unsigned failures;
  unsigned retries;
  int code;
  uint64_t wait; /* the last one announced */
  char address[MCQ__ENDPOINT_MAX];
  void* stream;
  bool closed;
  bool moved; /* something was said */
} script_t;

static script_t* heard(mcq__dialer_t* d, enum when what) {
  script_t* s = mcq__container_of(d, script_t, dialer);
  assert_false(s->inside);
  assert_false(s->closed);
  assert_false(d->closing);
  s->moved = true;
  if (s->stop_in == what) mcq__dialer_stop(d);
  if (s->close_in == what) {
    mcq__dialer_close(d);
    mcq__dialer_close(d);
  }
  return s;
}

static void on_dialing(mcq__dialer_t* d) {
  heard(d, IN_DIALING)->dialings++;
}

static void on_stream(mcq__dialer_t* d, void* stream, const char* address) {
  script_t* s = heard(d, IN_STREAM);
  s->streams++;
  s->stream = stream;
  assert_true(strlen(address) < sizeof s->address);
  strcpy(s->address, address);
  if (s->lose_in == IN_STREAM) mcq__dialer_lost(d, true);
}

static void on_failed(mcq__dialer_t* d, int code) {
  script_t* s = heard(d, IN_FAILED);
  s->failures++;
  s->code = code;
}

static void on_retry(mcq__dialer_t* d, uint64_t ms) {
  script_t* s = heard(d, IN_RETRY);
  s->retries++;
  s->wait = ms;
}

static void on_stopped(mcq__dialer_t* d) {
  script_t* s = heard(d, IN_STOPPED);
  assert_int_equal(d->state, MCQ__DIALER_STOPPED);
  s->stops++;
}

static void on_closed(mcq__dialer_t* d) {
  script_t* s = mcq__container_of(d, script_t, dialer);
  assert_false(s->inside);
  assert_false(s->closed);
  s->closed = true;
  memset(d, 0xdd, sizeof *d); /* it is the caller's again */
}

static const mcq__dialer_events_t events = {on_dialing, on_stream, on_failed,
                                            on_retry,   on_closed, on_stopped};

/* ---- the stage ----------------------------------------------------------- */

static void turns(script_t* s) {
  test_seat_turns(&s->seat, 2);
}

static int open_dialer(script_t* s, const char* uri, uint64_t retry,
                       uint64_t retry_max, uint64_t connect) {
  mcq__endpoint_t endpoint;
  s->config = (mcq__dialer_config_t){.retry_ms = retry,
                                     .retry_max_ms = retry_max,
                                     .connect_ms = connect,
                                     .attempts = s->attempts,
                                     .total_ms = s->total_ms};
  assert_int_equal(mcq__endpoint_parse(&endpoint, uri), 0);
  memset(&s->dialer, 0, sizeof s->dialer);
  s->inside = true;
  int rc =
      mcq__dialer_open(&s->dialer, &s->seat.io, &endpoint, &s->config, &events);
  s->inside = false;
  return rc;
}

static void setup_with(script_t* s, uint64_t attempts, uint64_t total_ms,
                       uint64_t retry, uint64_t retry_max, uint64_t connect) {
  memset(s, 0, sizeof *s);
  memset(&fake, 0, sizeof fake);
  s->attempts = attempts;
  s->total_ms = total_ms;
  test_seat_use_clock(&s->seat);
  s->seat.seams.transport = &transport;
  s->seat.seams.seed = 7;
  assert_int_equal(test_seat_open(&s->seat, MCQ__BACKEND_UV), 0);
  assert_int_equal(open_dialer(s, "fake://server", retry, retry_max, connect),
                   0);
}

static void setup(script_t* s, uint64_t retry, uint64_t retry_max,
                  uint64_t connect) {
  setup_with(s, 0, 0, retry, retry_max, connect);
}

static void teardown(script_t* s) {
  if (!s->closed) {
    s->inside = true;
    mcq__dialer_close(&s->dialer);
    mcq__dialer_close(&s->dialer);
    s->inside = false;
    test_seat_until(&s->seat, &s->closed);
  }
  assert_int_equal(s->seat.io.turn.timers.count, 0);
  test_seat_close(&s->seat);
}

static void lose(script_t* s, bool retry) {
  s->inside = true;
  mcq__dialer_lost(&s->dialer, retry);
  s->inside = false;
}

/* Waits out the time that was announced, to the ms, and sees the attempt. */
static void wait_out(script_t* s) {
  unsigned dials = fake.dials;
  assert_int_equal(s->dialer.state, MCQ__DIALER_WAITING);
  s->seat.now += s->wait - 1;
  turns(s);
  assert_int_equal(fake.dials, dials);
  s->seat.now += 1;
  turns(s);
  assert_int_equal(fake.dials, dials + 1);
}

static void expect_wait(const script_t* s, uint64_t full) {
  uint64_t least = full - full / 2;
  assert_in_range(s->wait, least, full);
}

/* ---- attempts ------------------------------------------------------------ */

static void it_dials_in_the_next_phase(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, MCQ__NEVER);
  assert_int_equal(fake.dials, 0);
  turns(&s);
  assert_int_equal(s.dialings, 1);
  assert_int_equal(fake.dials, 1);
  end_attempt(&a_stream, 0);
  turns(&s);
  assert_int_equal(s.streams, 1);
  assert_ptr_equal(s.stream, &a_stream);
  assert_string_equal(s.address, "fake://peer");
  assert_int_equal(s.dialer.state, MCQ__DIALER_UP);
  s.seat.now += 1000000;
  turns(&s);
  assert_int_equal(s.dialings, 1);
  teardown(&s);
  assert_int_equal(fake.discards, 0); /* the stream is not the dialer's */
}

static void waits_double_up_to_the_cap(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1500, MCQ__NEVER);
  static const uint64_t full[] = {100, 200, 400, 800, 1500, 1500, 1500};
  turns(&s);
  for (unsigned i = 0; i < sizeof full / sizeof *full; i++) {
    end_attempt(NULL, UV_ECONNREFUSED);
    turns(&s);
    assert_int_equal(s.failures, i + 1);
    assert_int_equal(s.retries, i + 1);
    assert_int_equal(s.code, UV_ECONNREFUSED);
    expect_wait(&s, full[i]);
    wait_out(&s);
  }
  teardown(&s);
}

/* How many attempts there are in ten seconds, counted from the first. */
static unsigned attempts_in_ten_seconds(uint64_t retry, uint64_t max) {
  script_t s;
  setup(&s, retry, max, MCQ__NEVER);
  fake.refuse = UV_ENETUNREACH;
  turns(&s);
  for (int ms = 0; ms < 10000; ms++) {
    s.seat.now++;
    test_seat_turns(&s.seat, 1);
  }
  unsigned dials = fake.dials;
  teardown(&s);
  return dials;
}

/* A cap below the first wait is none, and no wait at all is 1 ms. */
static void odd_intervals_never_spin(void** state) {
  (void) state;
  static const struct {
    uint64_t retry, max;
    unsigned least, most;
  } table[] = {
      {0, 0, 10000, 10001}, {0, 50, 201, 420},   {0, 1000, 18, 35},
      {1, 0, 10000, 10001}, {1, 50, 201, 420},   {1, 1000, 18, 35},
      {100, 0, 101, 201},   {100, 50, 101, 201}, {100, 1000, 13, 28},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    unsigned n = attempts_in_ten_seconds(table[i].retry, table[i].max);
    assert_in_range(n, table[i].least, table[i].most);
  }
}

static void waits_are_spread(void** state) {
  (void) state;
  script_t s;
  setup(&s, 1000, 1000, MCQ__NEVER);
  uint64_t least = UINT64_MAX;
  uint64_t most = 0;
  turns(&s);
  for (int i = 0; i < 400; i++) {
    end_attempt(NULL, UV_ECONNREFUSED);
    turns(&s);
    expect_wait(&s, 1000);
    if (s.wait < least) least = s.wait;
    if (s.wait > most) most = s.wait;
    wait_out(&s);
  }
  assert_in_range(least, 500, 520); /* the seed is fixed: so is this */
  assert_in_range(most, 980, 1000);
  teardown(&s);
}

static void the_largest_numbers_do_not_overflow(void** state) {
  (void) state;
  script_t s;
  setup(&s, MCQ__NEVER - 1, MCQ__NEVER, MCQ__NEVER - 1);
  turns(&s);
  end_attempt(NULL, UV_ECONNREFUSED);
  turns(&s);
  assert_true(s.wait >= MCQ__NEVER / 2);
  s.seat.now += UINT64_C(1) << 40;
  turns(&s);
  assert_int_equal(fake.dials, 1);
  teardown(&s);
}

static void success_makes_the_next_wait_the_first(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 100000, MCQ__NEVER);
  turns(&s);
  for (int i = 0; i < 5; i++) {
    end_attempt(NULL, UV_ECONNREFUSED);
    turns(&s);
    wait_out(&s);
  }
  end_attempt(&a_stream, 0);
  turns(&s);
  mcq__dialer_succeeded(&s.dialer);
  lose(&s, true);
  assert_int_equal(s.retries, 5); /* not inside the call */
  turns(&s);
  assert_int_equal(s.retries, 6);
  assert_int_equal(s.failures, 5);
  expect_wait(&s, 100);
  wait_out(&s);
  teardown(&s);
}

/* A server that accepts and hangs up never gets as far as success. */
static void being_accepted_is_not_success(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 100000, MCQ__NEVER);
  turns(&s);
  for (unsigned i = 0; i < 6; i++) {
    end_attempt(&a_stream, 0);
    turns(&s);
    assert_int_equal(s.streams, i + 1);
    lose(&s, true);
    lose(&s, true); /* the second time it is known */
    turns(&s);
    expect_wait(&s, UINT64_C(100) << i);
    wait_out(&s);
  }
  teardown(&s);
}

/* One that was taken for a success, and was told later that it is none. */
static void a_success_taken_back_is_none(void** state) {
  (void) state;
  script_t s;
  setup_with(&s, 4, 0, 100, 100000, MCQ__NEVER);
  turns(&s);
  for (unsigned i = 0; i < 3; i++) {
    end_attempt(&a_stream, 0);
    turns(&s);
    mcq__dialer_succeeded(&s.dialer);
    mcq__dialer_disappointed(&s.dialer);
    mcq__dialer_disappointed(&s.dialer); /* once is enough */
    lose(&s, true);
    turns(&s);
    expect_wait(&s, UINT64_C(100) << i);
    wait_out(&s);
  }
  end_attempt(&a_stream, 0);
  turns(&s);
  mcq__dialer_succeeded(&s.dialer);
  mcq__dialer_disappointed(&s.dialer);
  lose(&s, true);
  turns(&s);
  assert_int_equal(s.stops, 1); /* the fourth in vain */
  teardown(&s);
}

/* ---- giving up ----------------------------------------------------------- */

static void so_many_attempts_and_no_more(void** state) {
  (void) state;
  for (unsigned n = 1; n < 5; n++) {
    script_t s;
    setup_with(&s, n, 0, 100, 1000, MCQ__NEVER);
    turns(&s);
    for (unsigned i = 1; i < n; i++) {
      end_attempt(NULL, UV_ECONNREFUSED);
      turns(&s);
      wait_out(&s);
    }
    assert_int_equal(s.stops, 0);
    end_attempt(NULL, UV_ECONNREFUSED);
    turns(&s);
    s.seat.now += 1000000;
    turns(&s);
    assert_int_equal(s.stops, 1);
    assert_int_equal(s.failures, n);
    assert_int_equal(s.retries, n - 1);
    assert_int_equal(fake.dials, n);
    teardown(&s);
  }
}

static void attempts_count_from_the_last_success(void** state) {
  (void) state;
  script_t s;
  setup_with(&s, 2, 0, 100, 1000, MCQ__NEVER);
  turns(&s);
  for (int round = 0; round < 3; round++) {
    end_attempt(NULL, UV_ECONNREFUSED);
    turns(&s);
    wait_out(&s);
    end_attempt(&a_stream, 0);
    turns(&s);
    mcq__dialer_succeeded(&s.dialer);
    lose(&s, true);
    turns(&s);
    wait_out(&s);
  }
  end_attempt(NULL, UV_ECONNREFUSED);
  turns(&s);
  wait_out(&s);
  assert_int_equal(s.stops, 0);
  end_attempt(NULL, UV_ECONNREFUSED);
  turns(&s);
  assert_int_equal(s.stops, 1);
  teardown(&s);
}

/* The last attempt begins when the time is up, not a wait later. */
static void so_long_and_no_longer(void** state) {
  (void) state;
  script_t s;
  setup_with(&s, 0, 1000, 300, 300, MCQ__NEVER);
  turns(&s);
  uint64_t began = s.seat.now;
  while (s.stops == 0) {
    end_attempt(NULL, UV_ECONNREFUSED);
    turns(&s);
    assert_in_range(s.seat.now, began, began + 1000);
    if (s.stops == 0) wait_out(&s);
  }
  assert_int_equal(s.seat.now, began + 1000);
  assert_in_range(fake.dials, 5, 8);
  teardown(&s);
}

static void the_time_counts_from_the_first_attempt(void** state) {
  (void) state;
  script_t s;
  setup_with(&s, 0, 1000, 300, 300, MCQ__NEVER);
  turns(&s);
  s.seat.now += 5000; /* one long one */
  end_attempt(&a_stream, 0);
  turns(&s);
  mcq__dialer_succeeded(&s.dialer);
  s.seat.now += 100000;
  lose(&s, true);
  turns(&s);
  assert_int_equal(s.stops, 0);
  wait_out(&s);
  s.seat.now += 1000; /* and another, with which the time is up */
  end_attempt(NULL, UV_ECONNREFUSED);
  turns(&s);
  assert_int_equal(s.stops, 1);
  teardown(&s);
}

static void without_retry_it_stops_at_once(void** state) {
  (void) state;
  script_t s;
  setup(&s, MCQ__NEVER, 0, MCQ__NEVER);
  turns(&s);
  end_attempt(NULL, UV_ECONNREFUSED);
  turns(&s);
  assert_int_equal(s.stops, 1);
  teardown(&s);
}

static void told_to_stop_it_says_nothing_more(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, MCQ__NEVER);
  s.stop_in = IN_FAILED;
  turns(&s);
  end_attempt(NULL, UV_ECONNREFUSED);
  turns(&s);
  s.seat.now += 1000000;
  turns(&s);
  assert_int_equal(s.retries, 0);
  assert_int_equal(s.stops, 0);
  assert_int_equal(fake.dials, 1);
  teardown(&s);
}

static void lost_inside_on_stream(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 100, MCQ__NEVER);
  s.lose_in = IN_STREAM;
  turns(&s);
  end_attempt(&a_stream, 0);
  turns(&s);
  assert_int_equal(s.retries, 1);
  wait_out(&s);
  teardown(&s);
}

static void a_definite_refusal_ends_it(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 100, MCQ__NEVER);
  turns(&s);
  end_attempt(&a_stream, 0);
  turns(&s);
  lose(&s, false);
  lose(&s, true);
  assert_int_equal(s.dialer.state, MCQ__DIALER_STOPPED);
  s.seat.now += 1000000;
  turns(&s);
  assert_int_equal(s.retries, 0);
  assert_int_equal(s.dialings, 1);
  teardown(&s);
}

static void without_retry_the_first_failure_ends_it(void** state) {
  (void) state;
  for (int accepted = 0; accepted < 2; accepted++) {
    script_t s;
    setup(&s, MCQ__NEVER, 0, MCQ__NEVER);
    turns(&s);
    end_attempt(accepted ? &a_stream : NULL, accepted ? 0 : UV_ECONNREFUSED);
    turns(&s);
    assert_int_equal(s.failures, accepted ? 0 : 1);
    if (accepted) {
      lose(&s, true);
      turns(&s);
    }
    assert_int_equal(s.dialer.state, MCQ__DIALER_STOPPED);
    s.seat.now += 1000000;
    turns(&s);
    assert_int_equal(s.retries, 0);
    assert_int_equal(s.dialings, 1);
    teardown(&s);
  }
}

static void errors_known_at_once_are_failures_too(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  fake.refuse = UV_ENETUNREACH;
  turns(&s);
  assert_int_equal(s.failures, 1);
  assert_int_equal(s.code, UV_ENETUNREACH);
  assert_int_equal(s.dialer.state, MCQ__DIALER_WAITING);
  expect_wait(&s, 100);
  wait_out(&s);
  expect_wait(&s, 200);
  teardown(&s);
  assert_int_equal(fake.hangups, 0);
}

/* ---- the limit of an attempt --------------------------------------------- */

static void an_attempt_has_a_limit(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  turns(&s);
  s.seat.now += 49;
  turns(&s);
  assert_int_equal(fake.hangups, 0);
  s.seat.now += 1;
  turns(&s);
  assert_int_equal(fake.hangups, 1);
  assert_int_equal(s.failures, 1);
  assert_int_equal(s.code, MCQ_ETIMEDOUT);
  wait_out(&s);
  end_attempt(NULL, UV_ECONNREFUSED); /* the next one is judged by itself */
  turns(&s);
  assert_int_equal(s.code, UV_ECONNREFUSED);
  teardown(&s);
}

static void an_attempt_in_time_has_no_limit_any_more(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  turns(&s);
  end_attempt(&a_stream, 0);
  turns(&s);
  s.seat.now += 1000;
  turns(&s);
  assert_int_equal(fake.hangups, 0);
  assert_int_equal(s.dialer.state, MCQ__DIALER_UP);
  teardown(&s);
}

static void a_stream_that_comes_too_late_is_thrown_away(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  fake.stubborn = true;
  turns(&s);
  s.seat.now += 50;
  turns(&s);
  assert_int_equal(s.streams, 0);
  assert_int_equal(fake.discards, 1);
  assert_int_equal(s.code, MCQ_ETIMEDOUT);
  teardown(&s);
}

/* ---- closing ------------------------------------------------------------- */

static void closing_before_the_first_attempt(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  teardown(&s);
  assert_int_equal(fake.dials, 0);
}

static void closing_while_dialing(void** state) {
  (void) state;
  for (int stubborn = 0; stubborn < 2; stubborn++) {
    script_t s;
    setup(&s, 100, 1000, 50);
    fake.stubborn = stubborn;
    turns(&s);
    assert_int_equal(s.dialer.state, MCQ__DIALER_DIALING);
    s.inside = true;
    mcq__dialer_close(&s.dialer);
    s.inside = false;
    s.seat.now += 1000; /* the limit does not hang up a second time */
    teardown(&s);
    assert_int_equal(fake.hangups, 1);
    assert_int_equal(fake.discards, (unsigned) stubborn);
    assert_int_equal(s.failures, 0);
  }
}

static void closing_while_it_is_being_broken_off(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  turns(&s);
  mcq__timer_cb limit = s.dialer.timer.run;
  mcq__io_timer_stop(&s.seat.io, &s.dialer.timer);
  limit(&s.dialer.timer); /* rings outside a phase: the end is still to come */
  assert_int_equal(fake.hangups, 1);
  teardown(&s);
  assert_int_equal(fake.hangups, 1);
  assert_int_equal(s.failures, 0);
}

static void closing_while_waiting(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  turns(&s);
  end_attempt(NULL, UV_ECONNREFUSED);
  turns(&s);
  assert_int_equal(s.dialer.state, MCQ__DIALER_WAITING);
  teardown(&s);
  assert_int_equal(fake.dials, 1);
}

static void closing_just_after_it_was_lost(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  turns(&s);
  end_attempt(&a_stream, 0);
  turns(&s);
  lose(&s, true);
  teardown(&s);
  assert_int_equal(s.retries, 0);
}

static void closing_when_stopped(void** state) {
  (void) state;
  script_t s;
  setup(&s, MCQ__NEVER, 0, 50);
  fake.refuse = UV_ENETUNREACH;
  turns(&s);
  assert_int_equal(s.dialer.state, MCQ__DIALER_STOPPED);
  teardown(&s);
}

static void closing_inside_each_callback(void** state) {
  (void) state;
  for (enum when in = IN_DIALING; in <= IN_RETRY; in++) {
    script_t s;
    setup(&s, 100, 1000, 50);
    s.close_in = in;
    s.lose_in = in; /* and after closing nothing else counts */
    turns(&s);
    if (fake.dialing != NULL) {
      end_attempt(in == IN_STREAM ? &a_stream : NULL,
                  in == IN_STREAM ? 0 : UV_ECONNREFUSED);
      turns(&s);
    }
    assert_true(s.closed);
    assert_int_equal(fake.dials, in == IN_DIALING ? 0 : 1);
    assert_int_equal(s.retries, in == IN_RETRY ? 1 : 0);
    assert_int_equal(fake.hangups, 0);
    teardown(&s);
  }
}

/* ---- opening ------------------------------------------------------------- */

static void what_cannot_be_dialed_is_refused(void** state) {
  (void) state;
  script_t s;
  setup(&s, 100, 1000, 50);
  script_t other = {.inside = false};
  other.seat.io = s.seat.io; /* only looked at */
  assert_int_equal(open_dialer(&other, "nosuch://x", 1, 1, 1), MCQ_ENOTSUP);
  assert_int_equal(open_dialer(&other, "tcp://*:80", 1, 1, 1), MCQ_EINVAL);
  assert_int_equal(open_dialer(&other, "tcp://127.0.0.1:0", 1, 1, 1),
                   MCQ_EINVAL);
  teardown(&s);
}

/* ---- with real sockets --------------------------------------------------- */

static void setup_real(script_t* s) {
  memset(s, 0, sizeof *s);
  assert_int_equal(test_seat_open(&s->seat, MCQ__BACKEND_UV), 0);
}

static void next_event(script_t* s) {
  s->moved = false;
  test_seat_until(&s->seat, &s->moved);
}

/* A port that is taken but at which nobody listens. */
static int closed_port(char* uri, size_t size) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr*) &a, sizeof a), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr*) &a, &len), 0);
  snprintf(uri, size, "tcp://127.0.0.1:%u", (unsigned) ntohs(a.sin_port));
  return fd;
}

static void a_closed_port_refuses(void** state) {
  (void) state;
  script_t s;
  char uri[64];
  int fd = closed_port(uri, sizeof uri);
  setup_real(&s);
  assert_int_equal(open_dialer(&s, uri, 1, 2, 10000), 0);
  while (s.failures < 5) next_event(&s);
  assert_int_equal(s.code, UV_ECONNREFUSED);
  assert_true(s.dialings >= 5);
  assert_true(s.retries >= 4);
  teardown(&s);
  assert_int_equal(close(fd), 0);
}

static void an_attempt_keeps_nothing_going(void** state) {
  (void) state;
  script_t s;
  setup_real(&s);
  /* An address set aside for documentation: nobody answers. */
  assert_int_equal(
      open_dialer(&s, "tcp://192.0.2.1:9", 100000, 100000, 1000000), 0);
  assert_int_equal(uv_run(&s.seat.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(s.dialings, 1);
  teardown(&s);
}

static void a_name_is_looked_up(void** state) {
  (void) state;
  script_t s;
  char uri[64];
  char named[80];
  int fd = closed_port(uri, sizeof uri);
  snprintf(named, sizeof named, "tcp://localhost:%s", strrchr(uri, ':') + 1);
  setup_real(&s);
  assert_int_equal(open_dialer(&s, named, MCQ__NEVER, 0, MCQ__NEVER), 0);
  while (s.failures < 1) next_event(&s);
  assert_int_equal(s.code, UV_ECONNREFUSED);
  teardown(&s);
  assert_int_equal(close(fd), 0);
}

/* Closed at every point a lookup can be at: not begun, on its way, done. */
static void closing_during_a_lookup(void** state) {
  (void) state;
  for (int turn = 0; turn < 6; turn++) {
    script_t s;
    setup_real(&s);
    assert_int_equal(
        open_dialer(&s, "tcp://localhost:1", MCQ__NEVER, 0, MCQ__NEVER), 0);
    test_seat_turns(&s.seat, turn);
    teardown(&s);
  }
}

/* More lookups than the resolver has threads: most can be called off, one
 * has begun and is left behind. */
static void many_lookups_are_called_off(void** state) {
  (void) state;
  enum { COUNT = 12 };
  script_t* all = (script_t*) calloc(COUNT, sizeof *all);
  assert_non_null(all);
  test_seat_t t;
  memset(&t, 0, sizeof t);
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_UV), 0);
  mcq__endpoint_t endpoint;
  mcq__dialer_config_t config = {.retry_ms = MCQ__NEVER,
                                 .connect_ms = MCQ__NEVER};
  assert_int_equal(mcq__endpoint_parse(&endpoint, "tcp://localhost:1"), 0);
  for (size_t i = 0; i < COUNT; i++) {
    assert_int_equal(
        mcq__dialer_open(&all[i].dialer, &t.io, &endpoint, &config, &events),
        0);
  }
  test_seat_turns(&t, 1);
  for (size_t i = 0; i < COUNT; i++) {
    all[i].inside = true;
    if (!all[i].closed) mcq__dialer_close(&all[i].dialer);
    all[i].inside = false;
  }
  for (size_t i = 0; i < COUNT; i++) test_seat_until(&t, &all[i].closed);
  test_seat_close(&t); /* waits for what was left behind */
  free(all);
}

/* The resolver's one thread, held up and let go. */
typedef struct jam {
  uv_work_t blocks;
  uv_work_t ends;
  uv_sem_t go;
  uv_sem_t done;
  mcq__dialer_t* closes; /* from the callback that comes before the lookup's */
  bool over;
} jam_t;

static void block(uv_work_t* work) {
  uv_sem_wait(&((jam_t*) work->data)->go);
}

static void say_done(uv_work_t* work) {
  uv_sem_post(&((jam_t*) work->data)->done);
}

static void after_block(uv_work_t* work, int status) {
  jam_t* jam = (jam_t*) work->data;
  assert_int_equal(status, 0);
  if (jam->closes != NULL) mcq__dialer_close(jam->closes);
}

static void after_end(uv_work_t* work, int status) {
  assert_int_equal(status, 0);
  ((jam_t*) work->data)->over = true;
}

/* A dialer whose lookup is finished, but not heard of yet. */
static void finish_lookup(script_t* s, jam_t* jam) {
  setup_real(s);
  memset(jam, 0, sizeof *jam);
  jam->blocks.data = jam->ends.data = jam;
  uv_loop_t* loop = &s->seat.loop;
  assert_int_equal(uv_sem_init(&jam->go, 0), 0);
  assert_int_equal(uv_sem_init(&jam->done, 0), 0);
  assert_int_equal(uv_queue_work(loop, &jam->blocks, block, after_block), 0);
  assert_int_equal(
      open_dialer(s, "tcp://localhost:1", MCQ__NEVER, 0, MCQ__NEVER), 0);
  test_seat_turns(&s->seat, 1);
  assert_int_equal(s->dialer.state, MCQ__DIALER_DIALING);
  uv_sem_post(&jam->go);
  assert_int_equal(uv_queue_work(loop, &jam->ends, say_done, after_end), 0);
  uv_sem_wait(&jam->done); /* it is after the lookup in the one thread */
}

static void end_jam(script_t* s, jam_t* jam) {
  test_seat_until(&s->seat, &s->closed);
  test_seat_until(&s->seat, &jam->over);
  uv_sem_destroy(&jam->go);
  uv_sem_destroy(&jam->done);
  assert_int_equal(s->failures, 0);
  teardown(s);
}

static void a_lookup_that_is_too_late_is_left_behind(void** state) {
  (void) state;
  script_t s;
  jam_t jam;
  finish_lookup(&s, &jam);
  s.inside = true;
  mcq__dialer_close(&s.dialer);
  s.inside = false;
  end_jam(&s, &jam);
}

static void a_lookup_that_ends_while_it_is_called_off(void** state) {
  (void) state;
  script_t s;
  jam_t jam;
  finish_lookup(&s, &jam);
  jam.closes = &s.dialer;
  end_jam(&s, &jam);
}

/* A network of the process's own in which the only port to connect from is
 * the one that is dialed.  False where that is not allowed. */
static bool enter_network_of_one_port(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) return false;
  struct ifreq lo;
  memset(&lo, 0, sizeof lo);
  strcpy(lo.ifr_name, "lo");
  lo.ifr_flags = IFF_UP | IFF_RUNNING;
  bool up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
  close(fd);
  FILE* range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "w");
  if (range == NULL) return false;
  bool set = fputs("40001 40001", range) >= 0;
  return fclose(range) == 0 && set && up;
}

static int dial_oneself(const char* uri) {
  script_t s;
  setup_real(&s);
  assert_int_equal(open_dialer(&s, uri, MCQ__NEVER, 0, MCQ__NEVER), 0);
  next_event(&s);
  while (s.failures == 0 && s.streams == 0) next_event(&s);
  int code = s.streams != 0 ? 0 : s.code;
  if (code != 0) teardown(&s);
  return code;
}

static void nobody_is_connected_with_oneself(void** state) {
  (void) state;
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (!enter_network_of_one_port()) _exit(77);
    int v4 = dial_oneself("tcp://127.0.0.1:40001");
    int v6 = dial_oneself("tcp://[::1]:40001");
    bool good = v4 == UV_ECONNREFUSED &&
                (v6 == UV_ECONNREFUSED || v6 == UV_EADDRNOTAVAIL ||
                 v6 == UV_EAFNOSUPPORT);
    _exit(good ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    printf("no network of one's own to be had\n");
    skip();
  }
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void an_unknown_zone_is_an_error(void** state) {
  (void) state;
  script_t s;
  setup_real(&s);
  assert_int_equal(
      open_dialer(&s, "tcp://[fe80::1%nosuch0]:9", MCQ__NEVER, 0, MCQ__NEVER),
      0);
  while (s.failures < 1) next_event(&s);
  assert_int_equal(s.code, MCQ_EINVAL);
  teardown(&s);
}

/* ---- memory -------------------------------------------------------------- */

static int dial_once(test_alloc_t* ta, void* arg) {
  script_t s;
  memset(&s, 0, sizeof s);
  int rc = test_seat_open_on(&s.seat, ta, MCQ__BACKEND_UV);
  if (rc != 0) return rc;
  rc = open_dialer(&s, (const char*) arg, MCQ__NEVER, 0, MCQ__NEVER);
  if (rc == 0) {
    while (s.failures == 0) next_event(&s);
    if (s.code == MCQ_ENOMEM) rc = MCQ_ENOMEM;
    mcq__dialer_close(&s.dialer);
    test_seat_until(&s.seat, &s.closed);
  }
  test_seat_leave(&s.seat);
  return rc;
}

static void dialing_survives_every_failing_allocation(void** state) {
  (void) state;
  char uri[64];
  int fd = closed_port(uri, sizeof uri);
  test_alloc_sweep(dial_once, uri);
  assert_int_equal(close(fd), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_dials_in_the_next_phase),
      cmocka_unit_test(waits_double_up_to_the_cap),
      cmocka_unit_test(odd_intervals_never_spin),
      cmocka_unit_test(waits_are_spread),
      cmocka_unit_test(the_largest_numbers_do_not_overflow),
      cmocka_unit_test(success_makes_the_next_wait_the_first),
      cmocka_unit_test(being_accepted_is_not_success),
      cmocka_unit_test(a_success_taken_back_is_none),
      cmocka_unit_test(so_many_attempts_and_no_more),
      cmocka_unit_test(attempts_count_from_the_last_success),
      cmocka_unit_test(so_long_and_no_longer),
      cmocka_unit_test(the_time_counts_from_the_first_attempt),
      cmocka_unit_test(without_retry_it_stops_at_once),
      cmocka_unit_test(told_to_stop_it_says_nothing_more),
      cmocka_unit_test(lost_inside_on_stream),
      cmocka_unit_test(a_definite_refusal_ends_it),
      cmocka_unit_test(without_retry_the_first_failure_ends_it),
      cmocka_unit_test(errors_known_at_once_are_failures_too),
      cmocka_unit_test(an_attempt_has_a_limit),
      cmocka_unit_test(an_attempt_in_time_has_no_limit_any_more),
      cmocka_unit_test(a_stream_that_comes_too_late_is_thrown_away),
      cmocka_unit_test(closing_before_the_first_attempt),
      cmocka_unit_test(closing_while_dialing),
      cmocka_unit_test(closing_while_it_is_being_broken_off),
      cmocka_unit_test(closing_while_waiting),
      cmocka_unit_test(closing_just_after_it_was_lost),
      cmocka_unit_test(closing_when_stopped),
      cmocka_unit_test(closing_inside_each_callback),
      cmocka_unit_test(what_cannot_be_dialed_is_refused),
      cmocka_unit_test(a_closed_port_refuses),
      cmocka_unit_test(an_attempt_keeps_nothing_going),
      cmocka_unit_test(a_name_is_looked_up),
      cmocka_unit_test(closing_during_a_lookup),
      cmocka_unit_test(many_lookups_are_called_off),
      cmocka_unit_test(a_lookup_that_is_too_late_is_left_behind),
      cmocka_unit_test(a_lookup_that_ends_while_it_is_called_off),
      cmocka_unit_test(nobody_is_connected_with_oneself),
      cmocka_unit_test(an_unknown_zone_is_an_error),
      cmocka_unit_test(dialing_survives_every_failing_allocation),
  };
  /* One thread of the resolver's: what is asked is answered in order. */
  setenv("UV_THREADPOOL_SIZE", "1", 1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
