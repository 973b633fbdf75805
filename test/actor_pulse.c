/* SPDX-License-Identifier: MIT */
/* The rules about signs of life by themselves: deadlines that are noticed late,
 * questions behind other bytes, time in which nobody reads. */
#include "actor/pulse.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const mcq__pulse_config_t config = {
    .interval = 1000, .timeout = 300, .first = MCQ__NEVER, .idle = MCQ__NEVER};

static mcq__pulse_t begin(const mcq__pulse_config_t* c) {
  mcq__pulse_t p;
  mcq__pulse_begin(&p, c, 10000, true);
  return p;
}

/* Asks as an actor does: the question is queued, and leaves when it says so. */
static void ask(mcq__pulse_t* p, uint64_t now, size_t unsent) {
  uint8_t context[MCQ__PULSE_CONTEXT];
  assert_int_equal(mcq__pulse_due(p, now), MCQ__PULSE_ASK);
  assert_int_equal(mcq__pulse_ask(p, now, unsent, context).len, 4);
}

static void leave(mcq__pulse_t* p, uint64_t now, size_t unsent) {
  mcq__pulse_said(p, now, 13);
  mcq__pulse_left(p, now, now * 1000000, unsent);
}

static void expect_next(const mcq__pulse_t* p, uint64_t at) {
  assert_int_equal(mcq__pulse_next(p), at);
}

static void nothing_asked_for_is_nothing_due(void** state) {
  (void) state;
  static const mcq__pulse_config_t none = {.interval = MCQ__NEVER,
                                           .timeout = MCQ__NEVER,
                                           .first = MCQ__NEVER,
                                           .idle = MCQ__NEVER};
  mcq__pulse_t p = begin(&none);
  assert_false(p.on);
  expect_next(&p, MCQ__NEVER);
  assert_int_equal(mcq__pulse_due(&p, MCQ__NEVER - 1), MCQ__PULSE_FINE);
  mcq__pulse_t q;
  mcq__pulse_begin(&q, &config, 10000, false); /* cannot be asked */
  assert_false(q.on);
  mcq__pulse_end(&p);
  expect_next(&p, MCQ__NEVER);
}

static void a_round(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  expect_next(&p, 11000);
  assert_int_equal(mcq__pulse_due(&p, 10999), MCQ__PULSE_FINE);
  ask(&p, 11000, 0);
  expect_next(&p, 11300);
  leave(&p, 11000, 13);
  expect_next(&p, 11300);
  mcq__pulse_heard(&p, 11299);
  assert_int_equal(mcq__pulse_due(&p, 11300), MCQ__PULSE_FINE);
  expect_next(&p, 12000); /* nothing said since 11000 */
  mcq__pulse_said(&p, 11500, 1);
  expect_next(&p, 12299);
  ask(&p, 12299, 0);
  leave(&p, 12299, 13);
  assert_int_equal(mcq__pulse_due(&p, 12598), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_due(&p, 12599), MCQ__PULSE_SILENT);
}

/* It cannot leave, the peer speaks all the same, and then dies. */
static void a_question_that_never_leaves_counts_anew(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  ask(&p, 11000, 500);
  mcq__pulse_heard(&p, 11200);
  assert_int_equal(mcq__pulse_due(&p, 11300), MCQ__PULSE_FINE);
  expect_next(&p, 12200);
  assert_int_equal(mcq__pulse_due(&p, 12200), MCQ__PULSE_FINE); /* not asked */
  expect_next(&p, 12500);
  assert_int_equal(mcq__pulse_due(&p, 12500), MCQ__PULSE_LOOK);
  assert_int_equal(mcq__pulse_look(&p, 12500, 500), MCQ__PULSE_SILENT);
}

/* Asked again, it is still the first question that was not answered. */
static void the_first_question_counts(void** state) {
  (void) state;
  mcq__pulse_config_t c = config;
  c.timeout = 2500;
  mcq__pulse_t p = begin(&c);
  uint8_t context[MCQ__PULSE_CONTEXT];
  uint8_t first[MCQ__PULSE_CONTEXT];
  mcq__pulse_ask(&p, 11000, 0, first);
  leave(&p, 11000, 0);
  for (uint64_t at = 12000; at <= 13000; at += 1000) {
    expect_next(&p, at);
    assert_int_equal(mcq__pulse_due(&p, at), MCQ__PULSE_ASK);
    mcq__pulse_ask(&p, at, 0, context);
    assert_memory_equal(context, first, sizeof first);
    leave(&p, at, 0);
  }
  expect_next(&p, 13500);
  mcq__slice_t answer = mcq__slice_static(first, sizeof first);
  assert_true(mcq__pulse_answered(&p, UINT64_C(13200) * 1000000, answer));
  assert_int_equal(p.rtt_ns, UINT64_C(2200) * 1000000);
  assert_false(mcq__pulse_answered(&p, UINT64_C(13201) * 1000000, answer));
  assert_int_equal(mcq__pulse_due(&p, 13500), MCQ__PULSE_SILENT);
  mcq__pulse_heard(&p, 13200); /* the answer did come */
  assert_int_equal(mcq__pulse_due(&p, 13500), MCQ__PULSE_FINE);
}

static void an_answer_before_the_question_is_none(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  uint8_t context[MCQ__PULSE_CONTEXT];
  mcq__slice_t answer = mcq__pulse_ask(&p, 11000, 0, context);
  assert_false(mcq__pulse_answered(&p, UINT64_C(11000) * 1000000, answer));
  leave(&p, 11100, 0);
  assert_true(mcq__pulse_answered(&p, UINT64_C(11100) * 1000000, answer));
  assert_int_equal(p.rtt_ns, 1); /* 0 would be none */
}

/* ---- late ---------------------------------------------------------------- */

/* One that is noticed late is looked at once more, and only once. */
static void a_late_look_is_not_the_last(void** state) {
  (void) state;
  static const uint64_t late[] = {1, 50, 999, 1000, 5000, 1000000};
  for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
    mcq__pulse_t p = begin(&config);
    ask(&p, 11000, 0);
    leave(&p, 11000, 0);
    uint64_t now = 11300 + late[i];
    assert_int_not_equal(mcq__pulse_due(&p, now), MCQ__PULSE_SILENT);
    uint64_t again = now + (late[i] < 1000 ? late[i] : 1000);
    if (p.pinged + 1000 > again) expect_next(&p, again);
    assert_int_not_equal(mcq__pulse_due(&p, again - 1), MCQ__PULSE_SILENT);
    mcq__pulse_t living = p;
    mcq__pulse_heard(&living, again - 1);
    assert_int_not_equal(mcq__pulse_due(&living, again), MCQ__PULSE_SILENT);
    /* However late that is: in between there was time to read. */
    assert_int_equal(mcq__pulse_due(&p, again + 77), MCQ__PULSE_SILENT);
  }
}

/* Each silence has its own. */
static void a_later_silence_may_be_noticed_late_again(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  ask(&p, 11000, 0);
  leave(&p, 11000, 0);
  assert_int_equal(mcq__pulse_due(&p, 11400), MCQ__PULSE_FINE);
  mcq__pulse_heard(&p, 11450);
  ask(&p, 12450, 0);
  leave(&p, 12450, 0);
  assert_int_equal(mcq__pulse_due(&p, 12800), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_due(&p, 12850), MCQ__PULSE_SILENT);
}

/* ---- on the way ---------------------------------------------------------- */

/* Behind other bytes it is as alive as these move. */
static void a_crowded_line_is_given_time(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  mcq__pulse_said(&p, 10900, 1000000);
  mcq__pulse_heard(&p, 10000);
  ask(&p, 11000, 900000);
  leave(&p, 11000, 900013);
  assert_int_equal(mcq__pulse_due(&p, 11300), MCQ__PULSE_LOOK);
  assert_int_equal(mcq__pulse_look(&p, 11300, 500000), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_due(&p, 11599), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_due(&p, 11600), MCQ__PULSE_LOOK);
  mcq__pulse_said(&p, 11600, 400000); /* more behind it changes nothing */
  assert_int_equal(mcq__pulse_look(&p, 11600, 900000), MCQ__PULSE_SILENT);
  assert_int_equal(mcq__pulse_look(&p, 11600, 899999), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_look(&p, 11900, 0), MCQ__PULSE_FINE);
  /* All is there: from now on it is the peer's turn. */
  assert_int_equal(mcq__pulse_due(&p, 12199), MCQ__PULSE_ASK);
  assert_int_equal(mcq__pulse_due(&p, 12200), MCQ__PULSE_SILENT);
}

static void alone_on_the_line_there_is_no_excuse(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  ask(&p, 11000, 0);
  leave(&p, 11000, 13);
  assert_int_equal(mcq__pulse_due(&p, 11300), MCQ__PULSE_SILENT);
}

/* It has not even left: what moves out before it is as good as an answer. */
static void one_that_cannot_leave(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  ask(&p, 11000, 5000);
  expect_next(&p, 11300);
  for (uint64_t at = 11200; at < 20000; at += 299) {
    mcq__pulse_said(&p, at, 1);
    expect_next(&p, at + 300); /* and it is not asked a second time */
    assert_int_equal(mcq__pulse_due(&p, at + 299), MCQ__PULSE_FINE);
  }
  uint64_t at = p.said + 300;
  assert_int_equal(mcq__pulse_due(&p, at), MCQ__PULSE_LOOK);
  /* The system has room for nothing more, but what it has does move. */
  mcq__pulse_t moving = p;
  assert_int_equal(mcq__pulse_look(&moving, at, 4000), MCQ__PULSE_FINE);
  expect_next(&moving, at + 300);
  assert_int_equal(mcq__pulse_look(&p, at, 5000 + 31), MCQ__PULSE_SILENT);
  leave(&moving, at + 10, 20);
  expect_next(&moving, at + 310); /* it counts from here */
}

/* ---- blind --------------------------------------------------------------- */

static void time_without_eyes_does_not_count(void** state) {
  (void) state;
  mcq__pulse_config_t c = config;
  c.first = 5000;
  c.idle = 6000;
  mcq__pulse_t p = begin(&c);
  mcq__pulse_pinged(&p, 10000, 700);
  expect_next(&p, 10700);
  mcq__pulse_blind(&p, 10400);
  mcq__pulse_blind(&p, 10500); /* it is already */
  expect_next(&p, 10150); /* half of our time-out, as theirs is not known */
  ask(&p, 10700, 0);      /* shows that we live, and asks in vain */
  leave(&p, 11000, 0);
  expect_next(&p, 11150);
  assert_int_equal(mcq__pulse_due(&p, 11149), MCQ__PULSE_FINE);
  mcq__pulse_sight(&p, 30400);
  mcq__pulse_sight(&p, 30500);
  /* Both 300 after eyes were opened. */
  assert_int_equal(mcq__pulse_due(&p, 30699), MCQ__PULSE_ASK);
  assert_int_equal(mcq__pulse_due(&p, 30700), MCQ__PULSE_SILENT);
  mcq__pulse_heard(&p, 30650);
  assert_int_not_equal(mcq__pulse_due(&p, 31349), MCQ__PULSE_EXPIRED);
  assert_int_equal(mcq__pulse_due(&p, 31350), MCQ__PULSE_EXPIRED);
  mcq__pulse_pinged(&p, 31350, 0);
  mcq__pulse_heard(&p, 34900);
  assert_int_not_equal(mcq__pulse_due(&p, 34999), MCQ__PULSE_MUTE);
  assert_int_equal(mcq__pulse_due(&p, 35000), MCQ__PULSE_MUTE);
  p.first = true;
  assert_int_equal(mcq__pulse_due(&p, 36000), MCQ__PULSE_IDLE);
}

/* A peer that asks us is shown as often as it seems to count on, also by
 * somebody who asks nobody else. */
static void who_cannot_be_heard_is_shown_a_sign(void** state) {
  (void) state;
  static const mcq__pulse_config_t none = {.interval = MCQ__NEVER,
                                           .timeout = MCQ__NEVER,
                                           .first = MCQ__NEVER,
                                           .idle = MCQ__NEVER};
  mcq__pulse_t p = begin(&none);
  mcq__pulse_pinged(&p, 12000, 0);
  assert_false(p.on); /* once is no habit */
  mcq__pulse_pinged(&p, 12400, 0);
  assert_true(p.on);
  expect_next(&p, MCQ__NEVER);
  mcq__pulse_said(&p, 12500, 1);
  mcq__pulse_blind(&p, 12500);
  for (uint64_t at = 12700; at < 20000; at += 200) {
    expect_next(&p, at);
    ask(&p, at, 0);
    leave(&p, at, 0);
  }
  mcq__pulse_sight(&p, 20000);
  expect_next(&p, MCQ__NEVER);
  assert_int_equal(mcq__pulse_due(&p, 1000000), MCQ__PULSE_FINE);
}

static void a_time_to_live_stands_still_meanwhile(void** state) {
  (void) state;
  mcq__pulse_config_t c = config;
  c.interval = MCQ__NEVER;
  mcq__pulse_t p = begin(&c);
  mcq__pulse_pinged(&p, 10000, 700);
  mcq__pulse_blind(&p, 10600);
  mcq__pulse_sight(&p, 50600);
  expect_next(&p, 50700);
  assert_int_equal(mcq__pulse_due(&p, 50699), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_due(&p, 50700), MCQ__PULSE_EXPIRED);
}

/* Within the same ms, too. */
static void what_comes_at_once_is_an_answer(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&config);
  ask(&p, 11000, 0);
  leave(&p, 11000, 0);
  mcq__pulse_heard(&p, 11000);
  expect_next(&p, 12000);
  assert_int_equal(mcq__pulse_due(&p, 11300), MCQ__PULSE_FINE);
}

/* ---- suspects ------------------------------------------------------------ */

static const mcq__pulse_config_t nothing = {.interval = MCQ__NEVER,
                                            .timeout = MCQ__NEVER,
                                            .first = MCQ__NEVER,
                                            .idle = MCQ__NEVER};

/* And asks; it has five seconds. */
static void suspect(mcq__pulse_t* p, uint64_t now) {
  uint8_t context[MCQ__PULSE_CONTEXT];
  assert_true(mcq__pulse_suspect(p, now, 5000));
  mcq__pulse_ask(p, now, 0, context);
}

static void a_suspect_has_so_long(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&nothing);
  suspect(&p, 50000);
  leave(&p, 50000, 0);
  expect_next(&p, 55000);
  /* Under suspicion again it does not get more time. */
  suspect(&p, 52000);
  leave(&p, 52000, 0);
  expect_next(&p, 55000);
  mcq__pulse_t living = p;
  mcq__pulse_heard(&living, 54999);
  assert_int_equal(mcq__pulse_due(&living, 55000), MCQ__PULSE_FINE);
  expect_next(&living, MCQ__NEVER); /* and nobody asks any more */
  assert_int_equal(mcq__pulse_due(&p, 55000), MCQ__PULSE_SILENT);
  mcq__pulse_mute(&p); /* it would not have understood */
  expect_next(&p, MCQ__NEVER);
  assert_false(mcq__pulse_suspect(&p, 60000, 5000));
}

/* It answered, and was told apart from the dead; then it dies. */
static void who_was_cleared_may_be_suspected_again(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&nothing);
  suspect(&p, 50000);
  leave(&p, 50000, 0);
  mcq__pulse_heard(&p, 50100);
  expect_next(&p, MCQ__NEVER);
  suspect(&p, 60000);
  leave(&p, 60000, 0);
  expect_next(&p, 65000);
  suspect(&p, 62000); /* which gives it no more time */
  leave(&p, 62000, 0);
  assert_int_equal(mcq__pulse_due(&p, 64999), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_due(&p, 65000), MCQ__PULSE_SILENT);
}

/* The question cannot leave, the peer speaks all the same, and then dies. */
static void a_suspect_that_cannot_be_asked_again(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&nothing);
  suspect(&p, 50000);
  mcq__pulse_heard(&p, 50100);
  expect_next(&p, MCQ__NEVER);
  assert_true(mcq__pulse_suspect(&p, 60000, 5000));
  expect_next(&p, 65000);
  assert_true(mcq__pulse_suspect(&p, 62000, 5000));
  expect_next(&p, 65000);
  mcq__pulse_t slow = p;
  leave(&slow, 63000, 0);
  expect_next(&slow, 68000); /* it counts from here */
  assert_int_equal(mcq__pulse_due(&p, 64999), MCQ__PULSE_FINE);
  assert_int_equal(mcq__pulse_due(&p, 65000), MCQ__PULSE_LOOK);
  assert_int_equal(mcq__pulse_look(&p, 65000, 0), MCQ__PULSE_SILENT);
}

/* However often it is asked meanwhile: what moved since the first question
 * counts, and only that. */
static void who_is_asked_again_is_as_alive_as_before(void** state) {
  (void) state;
  mcq__pulse_t p = begin(&nothing);
  mcq__pulse_said(&p, 49000, 1000000);
  suspect(&p, 50000);
  leave(&p, 50000, 900000);
  suspect(&p, 54999);
  leave(&p, 54999, 500000);
  assert_int_equal(mcq__pulse_due(&p, 55000), MCQ__PULSE_LOOK);
  assert_int_equal(mcq__pulse_look(&p, 55000, 500000), MCQ__PULSE_FINE);
  suspect(&p, 59999);
  leave(&p, 59999, 13);
  assert_int_equal(mcq__pulse_due(&p, 60000), MCQ__PULSE_LOOK);
  assert_int_equal(mcq__pulse_look(&p, 60000, 13), MCQ__PULSE_FINE);
  suspect(&p, 61000);
  leave(&p, 61000, 0);
  assert_int_equal(mcq__pulse_due(&p, 65000), MCQ__PULSE_SILENT);
}

static void the_largest_numbers_do_not_overflow(void** state) {
  (void) state;
  static const mcq__pulse_config_t large = {.interval = MCQ__NEVER - 1,
                                            .timeout = MCQ__NEVER - 1,
                                            .first = MCQ__NEVER - 1,
                                            .idle = MCQ__NEVER - 1};
  mcq__pulse_t p = begin(&large);
  expect_next(&p, MCQ__NEVER);
  assert_int_equal(mcq__pulse_due(&p, UINT64_C(1) << 62), MCQ__PULSE_FINE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_asked_for_is_nothing_due),
      cmocka_unit_test(a_round),
      cmocka_unit_test(the_first_question_counts),
      cmocka_unit_test(an_answer_before_the_question_is_none),
      cmocka_unit_test(a_late_look_is_not_the_last),
      cmocka_unit_test(a_later_silence_may_be_noticed_late_again),
      cmocka_unit_test(a_crowded_line_is_given_time),
      cmocka_unit_test(alone_on_the_line_there_is_no_excuse),
      cmocka_unit_test(one_that_cannot_leave),
      cmocka_unit_test(time_without_eyes_does_not_count),
      cmocka_unit_test(who_cannot_be_heard_is_shown_a_sign),
      cmocka_unit_test(a_time_to_live_stands_still_meanwhile),
      cmocka_unit_test(what_comes_at_once_is_an_answer),
      cmocka_unit_test(a_question_that_never_leaves_counts_anew),
      cmocka_unit_test(a_suspect_has_so_long),
      cmocka_unit_test(who_was_cleared_may_be_suspected_again),
      cmocka_unit_test(a_suspect_that_cannot_be_asked_again),
      cmocka_unit_test(who_is_asked_again_is_as_alive_as_before),
      cmocka_unit_test(the_largest_numbers_do_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
