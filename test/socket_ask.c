/* SPDX-License-Identifier: MIT */
/* Questions and answers over tcp on every back end.  REQ is played against a
 * ROUTER that the test speaks for, REP against a DEALER, and in the end both
 * against each other through a chain of forwarders. */
#include "support/players.h"

#define REQ_AND(...) ((mcq_socket_options_t){.type = MCQ_REQ, __VA_ARGS__})
#define REP_AND(...) ((mcq_socket_options_t){.type = MCQ_REP, __VA_ARGS__})
#define PLAIN(kind) ((mcq_socket_options_t){.type = (kind)})
#define SERVER \
  ((mcq_socket_options_t){.type = MCQ_ROUTER, .linger_ms = MCQ_LINGER_NONE})

/* One REQ that is connected to `servers` ROUTERs, in this order. */
typedef struct asking {
  stage_t g;
  player_t q;
  player_t servers[3];
  size_t count;
} asking_t;

static void begin_with(asking_t* t, int backend, bool clock, size_t servers,
                       mcq_socket_options_t o) {
  stage_open(&t->g, backend, clock);
  player_open(&t->q, &t->g, o);
  t->count = servers;
  for (size_t i = 0; i < servers; i++) {
    player_open(&t->servers[i], &t->g, SERVER);
    player_bind(&t->servers[i]);
    player_meet(&t->q, &t->servers[i]);
  }
}

static void begin(asking_t* t, int backend, size_t servers, int flags) {
  begin_with(t, backend, false, servers, REQ_AND(.flags = flags));
}

static void end(asking_t* t) {
  stage_close(&t->g);
}

static void heard_by(asking_t* t, size_t server, unsigned count) {
  until(&t->g, t->servers[server].count >= count);
  assert_int_equal(t->servers[server].count, count);
}

/* ---- REQ: what it says and hears ----------------------------------------- */

static void the_form_on_the_wire(int backend) {
  asking_t t;
  begin(&t, backend, 1, 0);
  static const char* const bodies[] = {"hi", "", "a||b", "|", "||"};
  for (unsigned i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    char want[16];
    assert_int_equal(say(&t.q, bodies[i]), 0);
    heard_by(&t, 0, i + 1);
    snprintf(want, sizeof want, "|%s", bodies[i]);
    assert_heard(&t.servers[0], i, want);
    assert_int_equal(say_to(&t.servers[0], t.servers[0].from[i], want), 0);
    until(&t.g, t.q.count > i);
    assert_heard(&t.q, i, bodies[i]);
  }
  assert_string_equal(t.q.diary, "ummmmm");
  assert_int_equal(player_stats(&t.q).messages_received, 5);
  end(&t);
}

static void numbered_questions(int backend) {
  asking_t t;
  begin(&t, backend, 1, MCQ_REQ_CORRELATE);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(say(&t.q, "a||b"), 0);
    heard_by(&t, 0, i + 1);
    assert_heard(&t.servers[0], i, "#4||a||b");
    if (i > 0)
      assert_memory_not_equal(mcq_msg_frame(t.servers[0].heard[i], 0).data,
                              mcq_msg_frame(t.servers[0].heard[i - 1], 0).data,
                              4);
    assert_int_equal(answer_to(&t.servers[0], i, "fine"), 0);
    until(&t.g, t.q.count > i);
    assert_heard(&t.q, i, "a||fine");
  }
  end(&t);
}

static void questions_go_round(int backend) {
  asking_t t;
  begin(&t, backend, 3, 0);
  for (unsigned i = 0; i < 9; i++) {
    assert_int_equal(say(&t.q, "next"), 0);
    assert_int_equal(say(&t.q, "more"), MCQ_EFSM);
    heard_by(&t, i % 3, i / 3 + 1);
    assert_int_equal(say(&t.q, "more"), MCQ_EFSM);
    assert_int_equal(answer_to(&t.servers[i % 3], i / 3, "yes"), 0);
    until(&t.g, t.q.count > i);
  }
  assert_int_equal(player_stats(&t.q).messages_sent, 9);
  end(&t);
}

/* Two of three have a queue that is full: nobody answers there. */
static void only_those_with_room(int backend) {
  asking_t t;
  begin_with(&t, backend, false, 1,
             REQ_AND(.flags = MCQ_REQ_RELAXED, .sndhwm = 1,
                     .linger_ms = MCQ_LINGER_NONE));
  player_t* q = &t.q;
  assert_int_equal(mcq_connect(q->s, "tcp://127.0.0.1:1", NULL, NULL), 0);
  assert_int_equal(mcq_connect(q->s, "tcp://127.0.0.1:2", NULL, NULL), 0);
  for (unsigned i = 0; i < 8; i++)
    assert_int_equal(say(q, "who"), 0), stage_turns(&t.g, 3);
  heard_by(&t, 0, 6);
  end(&t);
}

static void nobody_to_ask(int backend) {
  asking_t t;
  begin(&t, backend, 0, 0);
  assert_int_equal(say(&t.q, "anybody"), MCQ_EAGAIN);
  assert_int_equal(player_stats(&t.q).sends_refused, 1);
  t.count = 1;
  player_open(&t.servers[0], &t.g, SERVER);
  player_bind(&t.servers[0]);
  player_meet(&t.q, &t.servers[0]);
  assert_string_equal(t.q.diary, "uo");
  assert_int_equal(say(&t.q, "anybody"), 0);
  heard_by(&t, 0, 1);
  end(&t);
}

static void only_the_one_asked_counts(int backend) {
  asking_t t;
  begin(&t, backend, 2, 0);
  player_t* other = &t.servers[1];
  assert_int_equal(say_to(other, other->peer, "|nobody asked"), 0);
  until(&t.g, player_stats(&t.q).messages_discarded == 1);
  assert_int_equal(say(&t.q, "you"), 0);
  heard_by(&t, 0, 1);
  assert_int_equal(say_to(other, other->peer, "|me"), 0);
  until(&t.g, player_stats(&t.q).messages_discarded == 2);
  assert_int_equal(t.q.count, 0);
  assert_int_equal(answer_to(&t.servers[0], 0, "I"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "I");
  assert_int_equal(answer_to(&t.servers[0], 0, "again"), 0);
  until(&t.g, player_stats(&t.q).messages_discarded == 3);
  mcq_stats_t stats = player_stats(&t.q);
  assert_int_equal(stats.messages_received, 1);
  assert_int_equal(stats.disconnects, 0);
  assert_string_equal(t.q.diary, "uum");
  end(&t);
}

/* ---- REQ: answers of the wrong shape ------------------------------------- */

static void the_third_malformed_answer(int backend, int flags,
                                       const char* const malformed[3]) {
  asking_t t;
  begin(&t, backend, 2, flags);
  player_t* bad = &t.servers[0];
  player_t* good = &t.servers[1];
  assert_int_equal(say(&t.q, "how"), 0);
  heard_by(&t, 0, 1);
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(say_to(bad, bad->from[0], malformed[i]), 0);
    until(&t.g, player_stats(&t.q).messages_discarded == i + 1);
  }
  assert_int_equal(answer_to(bad, 0, "so"), 0); /* two do no harm */
  until(&t.g, t.q.count == 1);
  assert_int_equal(say(&t.q, "how"), 0);
  heard_by(&t, 1, 1);
  assert_int_equal(answer_to(good, 0, "well"), 0);
  until(&t.g, t.q.count == 2);
  assert_int_equal(say(&t.q, "how"), 0);
  heard_by(&t, 0, 2);
  assert_int_equal(say_to(bad, bad->peer, malformed[2]), 0);
  until(&t.g, t.q.failed == 1);
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(t.q.reason, MCQ_EENVELOPE);
  assert_string_equal(t.q.diary, "uummdf");
  /* It dials again, with a clean slate. */
  until(&t.g, t.q.ups == 3 && bad->ups == 2);
  for (unsigned i = 0; i < 2; i++)
    assert_int_equal(say_to(bad, bad->peer, malformed[i]), 0);
  until(&t.g, player_stats(&t.q).messages_discarded == 5);
  assert_int_equal(say(&t.q, "how"), 0);
  until(&t.g, bad->count == 3 || good->count == 2);
  stage_turns(&t.g, 5);
  assert_int_equal(t.q.downs, 1);
  assert_int_equal(good->downs, 0);
  end(&t);
}

static void malformed_answers(int backend) {
  static const char* const plain[3] = {"bare", "", "one|two"};
  static const char* const numbered[3] = {"|no number", "abc||short",
                                          "abcd|not empty|x"};
  static const char* const cut[3] = {"abcd|", "abcd", "|"};
  the_third_malformed_answer(backend, 0, plain);
  the_third_malformed_answer(backend, MCQ_REQ_CORRELATE, numbered);
  the_third_malformed_answer(backend, MCQ_REQ_CORRELATE, cut);
}

/* The first one ends it, whether anybody was asked or not. */
static void a_strict_one_leaves_at_once(int backend) {
  static const char* const malformed[] = {"bare", "", "one|two"};
  for (size_t i = 0; i < 3; i++) {
    asking_t t;
    begin(&t, backend, 2, MCQ_REQ_STRICT);
    player_t* bad = &t.servers[0];
    assert_int_equal(say(&t.q, "how"), 0);
    heard_by(&t, 0, 1);
    assert_int_equal(say_to(bad, bad->peer, malformed[i]), 0);
    until(&t.g, t.q.failed == 1);
    assert_int_equal(t.q.code, MCQ_EPEERGONE);
    assert_int_equal(t.q.reason, MCQ_EENVELOPE);
    assert_int_equal(player_stats(&t.q).messages_discarded, 1);
    until(&t.g, t.q.ups == 3 && bad->ups == 2);
    assert_int_equal(say_to(bad, bad->peer, malformed[i]), 0);
    until(&t.g, t.q.downs == 2);
    assert_int_equal(t.q.failed, 1);
    assert_int_equal(say(&t.q, "how"), 0);
    heard_by(&t, 1, 1);
    assert_int_equal(answer_to(&t.servers[1], 0, "well"), 0);
    until(&t.g, t.q.count == 1);
    assert_int_equal(t.servers[1].downs, 0);
    end(&t);
  }
}

/* A wrong number is no wrong shape. */
static void answers_to_other_questions(int backend) {
  asking_t t;
  begin(&t, backend, 1, MCQ_REQ_CORRELATE | MCQ_REQ_STRICT);
  player_t* server = &t.servers[0];
  assert_int_equal(say(&t.q, "which"), 0);
  heard_by(&t, 0, 1);
  for (int i = 0; i < 6; i++)
    assert_int_equal(say_to(server, server->peer, "\1\2\3\4||that"), 0);
  assert_int_equal(answer_to(server, 0, "this"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "this");
  assert_int_equal(player_stats(&t.q).messages_discarded, 6);
  assert_string_equal(t.q.diary, "um");
  end(&t);
}

/* ---- REQ: a new question before the answer ------------------------------- */

static void a_new_question_makes_an_end_of_the_old(int backend) {
  asking_t t;
  begin(&t, backend, 1, MCQ_REQ_RELAXED | MCQ_REQ_CORRELATE);
  assert_int_equal(say(&t.q, "first"), 0);
  assert_int_equal(say(&t.q, "second"), 0);
  heard_by(&t, 0, 2);
  assert_int_equal(answer_to(&t.servers[0], 0, "late"), 0);
  assert_int_equal(answer_to(&t.servers[0], 1, "right"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "right");
  mcq_stats_t stats = player_stats(&t.q);
  assert_int_equal(stats.messages_discarded, 1);
  assert_int_equal(stats.requests_failed, 0);
  end(&t);
}

static void the_old_one_asked_is_not_heard(int backend) {
  asking_t t;
  begin(&t, backend, 2, MCQ_REQ_RELAXED);
  assert_int_equal(say(&t.q, "first"), 0);
  assert_int_equal(say(&t.q, "second"), 0);
  heard_by(&t, 0, 1);
  heard_by(&t, 1, 1);
  assert_int_equal(answer_to(&t.servers[0], 0, "late"), 0);
  until(&t.g, player_stats(&t.q).messages_discarded == 1);
  player_close(&t.servers[0]); /* nor is its end the question's */
  until(&t.g, t.q.downs == 1);
  assert_int_equal(answer_to(&t.servers[1], 0, "right"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "right");
  assert_string_equal(t.q.diary, "uudm");
  end(&t);
}

/* ---- REQ: time ----------------------------------------------------------- */

static void begin_timed(asking_t* t, int backend, int flags) {
  begin_with(t, backend, true, 1, REQ_AND(.request_ms = 500, .flags = flags));
}

static void pass(asking_t* t, uint64_t ms) {
  t->g.now += ms;
  stage_turns(&t->g, 5);
}

static void a_question_takes_too_long(int backend) {
  asking_t t;
  begin_timed(&t, backend, 0);
  player_t* server = &t.servers[0];
  assert_int_equal(say(&t.q, "first"), 0);
  heard_by(&t, 0, 1);
  pass(&t, 499);
  assert_int_equal(t.q.failed, 0);
  pass(&t, 1);
  assert_int_equal(t.q.failed, 1);
  assert_int_equal(t.q.code, MCQ_ETIMEDOUT);
  assert_int_equal(player_stats(&t.q).requests_failed, 1);
  assert_int_equal(answer_to(server, 0, "late"), 0);
  until(&t.g, player_stats(&t.q).messages_discarded == 1);
  assert_int_equal(say(&t.q, "second"), 0);
  heard_by(&t, 0, 2);
  pass(&t, 499);
  assert_int_equal(answer_to(server, 1, "in time"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "in time");
  pass(&t, 5000);
  assert_string_equal(t.q.diary, "ufm");
  end(&t);
}

static void a_late_answer_to_a_numbered_question(int backend) {
  asking_t t;
  begin_timed(&t, backend, MCQ_REQ_CORRELATE);
  assert_int_equal(say(&t.q, "first"), 0);
  heard_by(&t, 0, 1);
  pass(&t, 500);
  assert_int_equal(t.q.code, MCQ_ETIMEDOUT);
  assert_int_equal(say(&t.q, "second"), 0);
  heard_by(&t, 0, 2);
  assert_int_equal(answer_to(&t.servers[0], 0, "late"), 0);
  assert_int_equal(answer_to(&t.servers[0], 1, "right"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "right");
  assert_int_equal(player_stats(&t.q).messages_discarded, 1);
  end(&t);
}

/* The clock of a new question starts anew. */
static void a_relaxed_question_has_its_own_time(int backend) {
  asking_t t;
  begin_timed(&t, backend, MCQ_REQ_RELAXED | MCQ_REQ_CORRELATE);
  assert_int_equal(say(&t.q, "first"), 0);
  pass(&t, 300);
  assert_int_equal(say(&t.q, "second"), 0);
  pass(&t, 499);
  assert_int_equal(t.q.failed, 0);
  pass(&t, 1);
  assert_int_equal(t.q.failed, 1);
  pass(&t, 5000);
  assert_int_equal(t.q.failed, 1);
  end(&t);
}

static void time_runs_for_what_is_queued(int backend) {
  asking_t t;
  begin_with(
      &t, backend, true, 0,
      REQ_AND(.request_ms = 500, .sndhwm = 1, .linger_ms = MCQ_LINGER_NONE,
              .reconnect_ms = 100000, .reconnect_max_ms = 100000));
  assert_int_equal(mcq_connect(t.q.s, "tcp://127.0.0.1:1", NULL, NULL), 0);
  assert_int_equal(say(&t.q, "hello"), 0);
  assert_int_equal(say(&t.q, "hello"), MCQ_EFSM);
  pass(&t, 500);
  assert_int_equal(t.q.failed, 1);
  assert_int_equal(say(&t.q, "hello"), MCQ_EAGAIN); /* it is still queued */
  end(&t);
}

/* ---- REQ: losses --------------------------------------------------------- */

static void the_server_dies(int backend) {
  asking_t t;
  begin(&t, backend, 1, 0);
  assert_int_equal(say(&t.q, "there?"), 0);
  heard_by(&t, 0, 1);
  assert_int_equal(mcq_peer_close(t.servers[0].s, t.servers[0].peer), 0);
  until(&t.g, t.q.ups == 2);
  assert_string_equal(t.q.diary, "udfu");
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(player_stats(&t.q).requests_failed, 1);
  assert_int_equal(t.servers[0].count, 1); /* nothing is asked twice */
  assert_int_equal(say(&t.q, "again"), 0);
  heard_by(&t, 0, 2);
  assert_heard(&t.servers[0], 1, "|again");
  end(&t);
}

static void a_server_that_came_to_us_dies(int backend) {
  asking_t t;
  begin(&t, backend, 0, 0);
  player_t* servers = t.servers;
  t.count = 2;
  player_bind(&t.q);
  for (size_t i = 0; i < 2; i++) {
    player_open(&servers[i], &t.g, SERVER);
    player_meet(&servers[i], &t.q);
  }
  assert_int_equal(say(&t.q, "there?"), 0);
  heard_by(&t, 0, 1);
  player_close(&servers[0]);
  until(&t.g, t.q.failed == 1);
  assert_string_equal(t.q.diary, "uudf");
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(say(&t.q, "there?"), 0);
  heard_by(&t, 1, 1);
  assert_int_equal(answer_to(&servers[1], 0, "here"), 0);
  until(&t.g, t.q.count == 1);
  end(&t);
}

static void asked_before_the_server_is_there(int backend) {
  asking_t t;
  begin(&t, backend, 0, 0);
  t.count = 1;
  player_open(&t.servers[0], &t.g, SERVER);
  player_bind(&t.servers[0]);
  player_connect(&t.q, &t.servers[0]);
  assert_int_equal(say(&t.q, "early"), 0);
  heard_by(&t, 0, 1);
  assert_int_equal(answer_to(&t.servers[0], 0, "bird"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "bird");
  assert_string_equal(t.q.diary, "um");
  end(&t);
}

static void ask_on_down(player_t* p, mcq_peer_t peer) {
  (void) peer;
  assert_int_equal(say(p, "while away"), 0);
}

static void asked_while_the_server_is_away(int backend) {
  asking_t t;
  begin(&t, backend, 1, 0);
  t.q.on_down = ask_on_down;
  assert_int_equal(mcq_peer_close(t.servers[0].s, t.servers[0].peer), 0);
  heard_by(&t, 0, 1);
  assert_int_equal(answer_to(&t.servers[0], 0, "back"), 0);
  until(&t.g, t.q.count == 1);
  assert_string_equal(t.q.diary, "udum");
  t.q.on_down = NULL;
  end(&t);
}

#define LARGE ((size_t) 24 << 20)

/* More than the kernel takes: it is begun and does not get through. */
static void ask_much(player_t* p) {
  char* bytes = (char*) calloc(1, LARGE);
  mcq_frame_t frame = {bytes, LARGE};
  assert_int_equal(mcq_send(p->s, &frame, 1), 0);
  free(bytes);
  stage_turns(p->g, 10);
}

static void lose_the_server(asking_t* t) {
  player_t* server = &t->servers[0];
  assert_int_equal(mcq_peer_close(server->s, server->peer), 0);
  until(&t->g, t->q.downs == 1);
  assert_int_equal(mcq_resume(server->s), 0);
}

static void a_question_that_was_cut_off_is_asked_again(int backend) {
  asking_t t;
  begin(&t, backend, 1, 0);
  assert_int_equal(mcq_pause(t.servers[0].s), 0);
  ask_much(&t.q);
  assert_int_equal(t.servers[0].count, 0);
  lose_the_server(&t);
  heard_by(&t, 0, 1);
  assert_int_equal(mcq_msg_size(t.servers[0].heard[0]), LARGE);
  assert_int_equal(answer_to(&t.servers[0], 0, "phew"), 0);
  until(&t.g, t.q.count == 1);
  assert_string_equal(t.q.diary, "udum");
  end(&t);
}

static void a_question_that_was_not_begun_is_asked_again(int backend) {
  asking_t t;
  begin_with(&t, backend, false, 1,
             REQ_AND(.flags = MCQ_REQ_RELAXED | MCQ_REQ_CORRELATE,
                     .sndhwm_bytes = -1));
  assert_int_equal(mcq_pause(t.servers[0].s), 0);
  ask_much(&t.q);
  assert_int_equal(say(&t.q, "short"), 0);
  lose_the_server(&t);
  heard_by(&t, 0, 2);
  assert_int_equal(answer_to(&t.servers[0], 0, "what"), 0);
  assert_int_equal(answer_to(&t.servers[0], 1, "yes"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "yes");
  assert_string_equal(t.q.diary, "udum");
  end(&t);
}

/* Nobody has room for the new one: the old one is still good. */
static void a_refused_question_changes_nothing(int backend) {
  asking_t t;
  begin_with(
      &t, backend, false, 1,
      REQ_AND(.flags = MCQ_REQ_RELAXED | MCQ_REQ_CORRELATE, .sndhwm_bytes = 1));
  assert_int_equal(mcq_pause(t.servers[0].s), 0);
  ask_much(&t.q);
  assert_int_equal(say(&t.q, "short"), MCQ_EAGAIN);
  assert_int_equal(mcq_resume(t.servers[0].s), 0);
  heard_by(&t, 0, 1);
  assert_int_equal(answer_to(&t.servers[0], 0, "yes"), 0);
  until(&t.g, t.q.count == 1);
  assert_heard(&t.q, 0, "yes");
  assert_string_equal(t.q.diary, "uom");
  end(&t);
}

/* Without a queue for those who are away the question ends, or it is asked
 * again; but never is its answer taken for another one's. */
static void a_question_cut_off_without_a_queue(int backend) {
  asking_t t;
  begin_with(&t, backend, false, 1,
             REQ_AND(.flags = MCQ_IMMEDIATE, .sndhwm_bytes = -1));
  player_t* server = &t.servers[0];
  assert_int_equal(mcq_pause(server->s), 0);
  ask_much(&t.q);
  lose_the_server(&t);
  until(&t.g, t.q.ups == 2);
  int rc = say(&t.q, "other");
  assert_true(rc == 0 || rc == MCQ_EFSM);
  heard_by(&t, 0, 1);
  assert_int_equal(answer_to(server, 0, "first"), 0);
  until(&t.g, t.q.count == 1 || server->count == 2);
  if (rc == MCQ_EFSM) {
    assert_string_equal(t.q.diary, "udum");
  } else {
    assert_string_equal(t.q.diary, "udfu");
    assert_heard(server, 0, "|other");
  }
  end(&t);
}

/* Those who are away get nothing new, whatever waits for them. */
static void no_queue_for_those_who_are_away(int backend) {
  asking_t t;
  begin_with(&t, backend, false, 1,
             REQ_AND(.flags = MCQ_IMMEDIATE | MCQ_REQ_RELAXED,
                     .reconnect_ms = 100000, .sndhwm_bytes = -1));
  assert_int_equal(mcq_pause(t.servers[0].s), 0);
  ask_much(&t.q);
  lose_the_server(&t);
  assert_int_equal(say(&t.q, "where"), MCQ_EAGAIN);
  assert_int_equal(mcq_disconnect(t.q.s, t.q.dialed), 0);
  until(&t.g, t.q.failed == 1);
  end(&t);
}

static void disconnected_while_waiting(int backend) {
  asking_t t;
  begin(&t, backend, 1, 0);
  assert_int_equal(say(&t.q, "well?"), 0);
  heard_by(&t, 0, 1);
  assert_int_equal(mcq_disconnect(t.q.s, t.q.dialed), 0);
  until(&t.g, t.q.failed == 1);
  assert_string_equal(t.q.diary, "udf");
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(say(&t.q, "well?"), MCQ_EAGAIN);
  end(&t);
}

static void disconnected_while_queued(int backend) {
  asking_t t;
  begin_with(&t, backend, false, 0, REQ_AND(.linger_ms = MCQ_LINGER_NONE));
  assert_int_equal(mcq_connect(t.q.s, "tcp://127.0.0.1:1", NULL, &t.q.dialed),
                   0);
  assert_int_equal(say(&t.q, "well?"), 0);
  stage_turns(&t.g, 3);
  assert_int_equal(mcq_disconnect(t.q.s, t.q.dialed), 0);
  assert_int_equal(t.q.failed, 0); /* not inside our call */
  until(&t.g, t.q.failed == 1);
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(player_stats(&t.q).messages_lost, 1);
  end(&t);
}

static void never_dialed_again(int backend) {
  asking_t t;
  begin_with(&t, backend, false, 1, REQ_AND(.reconnect_ms = -1));
  assert_int_equal(mcq_pause(t.servers[0].s), 0);
  ask_much(&t.q);
  assert_int_equal(mcq_peer_close(t.servers[0].s, t.servers[0].peer), 0);
  until(&t.g, t.q.failed == 1);
  assert_string_equal(t.q.diary, "udf");
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(say(&t.q, "still there?"), MCQ_EAGAIN);
  end(&t);
}

static void never_reached(int backend) {
  asking_t t;
  begin_with(&t, backend, false, 0, REQ_AND(.reconnect_ms = -1));
  assert_int_equal(mcq_connect(t.q.s, "tcp://127.0.0.1:1", NULL, NULL), 0);
  assert_int_equal(say(&t.q, "anybody"), 0);
  until(&t.g, t.q.failed == 1);
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(say(&t.q, "anybody"), MCQ_EAGAIN);
  end(&t);
}

/* An endpoint that has given up has no queue any more. */
static void refused_for_good(int backend) {
  asking_t t;
  begin(&t, backend, 0, 0);
  t.count = 1;
  player_open(&t.servers[0], &t.g, PLAIN(MCQ_PAIR));
  player_bind(&t.servers[0]);
  player_connect(&t.q, &t.servers[0]);
  assert_int_equal(say(&t.q, "PAIR?"), 0);
  until(&t.g, t.q.failed == 1);
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  assert_int_equal(say(&t.q, "PAIR?"), MCQ_EAGAIN);
  end(&t);
}

/* ---- REQ: from inside its callbacks -------------------------------------- */

static void ask_again(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  if (p->count < 100) assert_int_equal(say(p, "and"), 0);
}

static void answer_at_once(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  p->g->in_call = true;
  int rc = p->arg != NULL ? mcq_send_msg(p->s, msg)
                          : mcq_send_msg_to(p->s, peer, msg);
  p->g->in_call = false;
  assert_int_equal(rc, 0);
}

static void asked_again_in_on_message(int backend) {
  asking_t t;
  begin(&t, backend, 2, 0);
  t.q.on_message = ask_again;
  for (int i = 0; i < 2; i++) t.servers[i].on_message = answer_at_once;
  assert_int_equal(say(&t.q, "and"), 0);
  until(&t.g, t.q.count == 100);
  assert_int_equal(t.servers[0].count, 50);
  assert_int_equal(t.servers[1].count, 50);
  end(&t);
}

static void ask_on_failed(player_t* p, int code) {
  (void) code;
  assert_int_equal(say(p, "once more"), 0);
  assert_int_equal(say(p, "once more"), MCQ_EFSM);
}

static void asked_again_in_on_request_failed(int backend) {
  asking_t t;
  begin_timed(&t, backend, 0);
  t.q.on_failed = ask_on_failed;
  assert_int_equal(say(&t.q, "first"), 0);
  heard_by(&t, 0, 1);
  pass(&t, 500);
  heard_by(&t, 0, 2);
  pass(&t, 499);
  assert_int_equal(t.q.failed, 1);
  pass(&t, 1);
  assert_int_equal(t.q.failed, 2);
  heard_by(&t, 0, 3);
  assert_int_equal(mcq_peer_close(t.servers[0].s, t.servers[0].peer), 0);
  until(&t.g, t.q.failed == 3);
  assert_int_equal(t.q.code, MCQ_EPEERGONE);
  until(&t.g, t.servers[0].count == 4 || (t.g.now += 1, false));
  assert_int_equal(answer_to(&t.servers[0], 3, "at last"), 0);
  until(&t.g, t.q.count == 1);
  end(&t);
}

static void close_on_message(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  player_close(p);
  assert_int_equal(mcq_send_msg(p->s, msg), MCQ_ECLOSED);
}

static void close_on_failed(player_t* p, int code) {
  (void) code;
  player_close(p);
  assert_int_equal(say(p, "late"), MCQ_ECLOSED);
}

static void leave_on_failed(player_t* p, int code) {
  (void) code;
  mcq_ctx_close(p->g->ctx, stage_on_left);
}

static void closed_in_on_message(int backend) {
  asking_t t;
  begin(&t, backend, 1, 0);
  t.q.on_message = close_on_message;
  assert_int_equal(say(&t.q, "bye"), 0);
  heard_by(&t, 0, 1);
  assert_int_equal(answer_to(&t.servers[0], 0, "bye"), 0);
  assert_int_equal(answer_to(&t.servers[0], 0, "bye"), 0);
  until(&t.g, t.q.closed);
  assert_string_equal(t.q.diary, "umdc");
  end(&t);
}

static void closed_in_on_request_failed(int backend) {
  for (int way = 0; way < 3; way++) {
    asking_t t;
    begin_timed(&t, backend, 0);
    t.q.on_failed = way == 2 ? leave_on_failed : close_on_failed;
    assert_int_equal(say(&t.q, "bye"), 0);
    heard_by(&t, 0, 1);
    if (way == 0)
      pass(&t, 500);
    else
      assert_int_equal(mcq_peer_close(t.servers[0].s, t.servers[0].peer), 0);
    until(&t.g, t.q.failed == 1);
    if (way != 2) until(&t.g, t.q.closed || (t.g.now += 1, false));
    until(&t.g, t.servers[0].downs == 1);
    assert_int_equal(t.q.failed, 1);
    t.g.now += 5000;
    end(&t);
  }
}

/* A closed socket has no questions left to fail. */
static void closed_while_waiting(int backend) {
  asking_t t;
  begin_timed(&t, backend, 0);
  assert_int_equal(say(&t.q, "bye"), 0);
  heard_by(&t, 0, 1);
  player_close(&t.q);
  until(&t.g, t.q.closed);
  assert_string_equal(t.q.diary, "udc");
  end(&t);
}

static void what_a_req_does_not_do(int backend) {
  asking_t t;
  begin(&t, backend, 1, 0);
  mcq_socket_t* s;
  mcq_request_t* request;
  mcq_peer_t peer;
  mcq_frame_t frame = {"x", 1};
  assert_int_equal(say_to(&t.q, t.q.peer, "x"), MCQ_ENOTSUP);
  assert_int_equal(mcq_request_take(t.q.s, &request), MCQ_ENOTSUP);
  assert_int_equal(mcq_send(t.q.s, &frame, 0), MCQ_EINVAL);
  assert_int_equal(mcq_send_next(t.q.s, &frame, 1, &peer), 0);
  assert_true(peer.epoch == t.q.peer.epoch);
  static const mcq_socket_options_t bad[] = {
      {.type = MCQ_REQ, .flags = MCQ_REQUEUE},
      {.type = MCQ_REQ, .request_ms = -1},
      {.type = MCQ_REP, .flags = MCQ_REQ_RELAXED},
      {.type = MCQ_REP, .flags = MCQ_REQ_STRICT},
      {.type = MCQ_REQ, .flags = MCQ_DROP_ORPHANS},
      {.type = MCQ_DEALER, .flags = MCQ_REQ_STRICT},
      {.type = MCQ_DEALER, .flags = MCQ_REQ_CORRELATE},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(mcq_socket_new(t.g.ctx, &bad[i], &s), MCQ_EINVAL);
  end(&t);
}

/* ---- REP ----------------------------------------------------------------- */

#define ASKERS 4

/* A REP and `count` DEALERs that are connected to it. */
typedef struct answering {
  stage_t g;
  player_t rep;
  player_t askers[ASKERS];
  size_t count;
} answering_t;

static void open_rep_with(answering_t* t, int backend, size_t askers,
                          mcq_socket_options_t o) {
  stage_open(&t->g, backend, false);
  player_open(&t->rep, &t->g, o);
  player_bind(&t->rep);
  t->count = askers;
  for (size_t i = 0; i < askers; i++) {
    player_open(&t->askers[i], &t->g, PLAIN(MCQ_DEALER));
    player_meet(&t->askers[i], &t->rep);
  }
}

static void open_rep(answering_t* t, int backend, size_t askers) {
  open_rep_with(t, backend, askers, PLAIN(MCQ_REP));
}

static void close_rep(answering_t* t) {
  stage_close(&t->g);
}

static void asked(answering_t* t, unsigned count) {
  until(&t->g, t->rep.count >= count);
  stage_turns(&t->g, 10); /* what else would come would come now */
  assert_int_equal(t->rep.count, count);
}

static void answer_as_asked(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  int rc = p->count % 2 == 0 ? mcq_send_msg(p->s, msg) : say(p, "plain|answer");
  assert_int_equal(rc, 0);
}

static uint8_t hop_bytes[40][255];

/* `depth` hops with ids of all lengths. */
static size_t make_hops(size_t depth, mcq_frame_t* out) {
  for (size_t i = 0; i < depth; i++) {
    size_t len = 1 + (depth * 7 + i * 50) % 255;
    for (size_t k = 0; k < len; k++) hop_bytes[i][k] = (uint8_t) (i + k);
    out[i] = (mcq_frame_t){hop_bytes[i], len};
  }
  out[depth] = (mcq_frame_t){"", 0};
  return depth + 1;
}

/* Long enough to be shared and not copied. */
static char long_body[10000];

static void envelopes_come_back(int backend) {
  answering_t t;
  open_rep(&t, backend, 1);
  player_t* asker = &t.askers[0];
  t.rep.on_message = answer_as_asked;
  for (unsigned depth = 0; depth <= 40; depth++) {
    mcq_frame_t f[FRAMES_MAX];
    size_t head = make_hops(depth, f);
    f[head] = (mcq_frame_t){"", 0};
    f[head + 1] = (mcq_frame_t){long_body, sizeof long_body};
    assert_int_equal(mcq_send(asker->s, f, head + 2), 0);
    until(&t.g, asker->count == depth + 1);
    assert_int_equal(mcq_msg_count(t.rep.heard[depth]), 2);
    assert_int_equal(mcq_msg_frame(t.rep.heard[depth], 0).len, 0);
    const mcq_msg_t* back = asker->heard[depth];
    assert_int_equal(mcq_msg_count(back), head + 2);
    for (size_t i = 0; i < head; i++) {
      assert_int_equal(mcq_msg_frame(back, i).len, f[i].len);
      if (f[i].len != 0)
        assert_memory_equal(mcq_msg_frame(back, i).data, f[i].data, f[i].len);
    }
    bool mirrored = depth % 2 == 1;
    assert_int_equal(mcq_msg_frame(back, head).len, mirrored ? 0 : 5);
    assert_int_equal(mcq_msg_frame(back, head + 1).len,
                     mirrored ? sizeof long_body : 6);
  }
  close_rep(&t);
}

static void bodies_with_empty_frames(int backend) {
  static const char* const requests[] = {"|a||b", "||",  "|",
                                         "id|||", "||x", "a|b||x"};
  static const char* const bodies[] = {"a||b", "|", "", "|", "|x", "x"};
  answering_t t;
  open_rep(&t, backend, 1);
  t.rep.on_message = answer_at_once;
  t.rep.arg = &t;
  for (unsigned i = 0; i < 6; i++) {
    assert_int_equal(say(&t.askers[0], requests[i]), 0);
    until(&t.g, t.askers[0].count == i + 1);
    assert_heard(&t.rep, i, bodies[i]);
    assert_heard(&t.askers[0], i, requests[i]);
  }
  close_rep(&t);
}

static void what_is_no_request(int backend) {
  static const char* const garbage[] = {"x", "x|y", "", "x|", "x|y|"};
  answering_t t;
  open_rep(&t, backend, 1);
  player_t* asker = &t.askers[0];
  for (int round = 0; round < 4; round++)
    for (size_t i = 0; i < 5; i++) assert_int_equal(say(asker, garbage[i]), 0);
  assert_int_equal(say(asker, "|good"), 0);
  asked(&t, 1);
  assert_heard(&t.rep, 0, "good");
  mcq_stats_t stats = player_stats(&t.rep);
  assert_int_equal(stats.messages_discarded, 20);
  assert_int_equal(stats.messages_received, 1);
  assert_int_equal(stats.disconnects, 0);
  close_rep(&t);
}

static void no_answer_without_a_request(int backend) {
  answering_t t;
  open_rep(&t, backend, 1);
  mcq_request_t* request;
  assert_int_equal(say(&t.rep, "what"), MCQ_EFSM);
  assert_int_equal(mcq_request_take(t.rep.s, &request), MCQ_EFSM);
  assert_int_equal(say(&t.askers[0], "|q"), 0);
  asked(&t, 1);
  assert_int_equal(say(&t.rep, "a"), 0);
  assert_int_equal(say(&t.rep, "a"), MCQ_EFSM);
  assert_int_equal(mcq_request_take(t.rep.s, &request), MCQ_EFSM);
  until(&t.g, t.askers[0].count == 1);
  close_rep(&t);
}

static void what_a_rep_does_not_do(int backend) {
  answering_t t;
  open_rep(&t, backend, 1);
  mcq_frame_t frame = {"x", 1};
  mcq_peer_t peer;
  mcq_request_t* request;
  assert_int_equal(say(&t.askers[0], "|q"), 0);
  asked(&t, 1);
  assert_int_equal(say_to(&t.rep, t.rep.peer, "x"), MCQ_ENOTSUP);
  assert_int_equal(mcq_send_msg_to(t.rep.s, t.rep.peer, t.rep.heard[0]),
                   MCQ_ENOTSUP);
  assert_int_equal(mcq_send_next(t.rep.s, &frame, 1, &peer), MCQ_ENOTSUP);
  assert_int_equal(mcq_request_take(t.askers[0].s, &request), MCQ_ENOTSUP);
  assert_int_equal(say(&t.rep, "still there"), 0);
  until(&t.g, t.askers[0].count == 1);
  close_rep(&t);
}

/* ---- REP: one at a time -------------------------------------------------- */

static void fill_up(answering_t* t, unsigned requests) {
  for (unsigned k = 0; k < requests; k++)
    for (size_t i = 0; i < t->count; i++) {
      char text[32];
      snprintf(text, sizeof text, "|%zu%u", i, k % 10);
      assert_int_equal(say(&t->askers[i], text), 0);
    }
}

static size_t who_asked(const answering_t* t, unsigned i) {
  const char* text = (const char*) mcq_msg_frame(t->rep.heard[i], 0).data;
  return (size_t) (text[0] - '0');
}

/* Everybody always has something waiting, so everybody has a turn a round. */
static void one_at_a_time_and_all_in_turn(int backend) {
  answering_t t;
  open_rep(&t, backend, ASKERS);
  fill_up(&t, 10);
  for (unsigned i = 1; i <= 10 * ASKERS; i++) {
    asked(&t, i);
    assert_int_equal(say(&t.rep, "done"), 0);
  }
  for (unsigned round = 0; round < 10; round++) {
    bool seen[ASKERS] = {false};
    for (unsigned k = 0; k < ASKERS; k++) {
      size_t who = who_asked(&t, round * ASKERS + k);
      assert_false(seen[who]);
      seen[who] = true;
    }
  }
  for (size_t i = 0; i < ASKERS; i++) until(&t.g, t.askers[i].count == 10);
  close_rep(&t);
}

/* Nor does one who has a heap waiting hold up those who come later. */
static void a_heap_holds_nobody_up(int backend) {
  answering_t t;
  open_rep(&t, backend, ASKERS);
  for (unsigned i = 0; i < 10; i++)
    assert_int_equal(say(&t.askers[0], "|0"), 0);
  asked(&t, 1);
  for (size_t i = 1; i < ASKERS; i++) {
    char text[32];
    snprintf(text, sizeof text, "|%zu", i);
    assert_int_equal(say(&t.askers[i], text), 0);
  }
  unsigned seen = 0;
  for (unsigned i = 1; i <= ASKERS; i++) {
    asked(&t, i);
    seen |= 1u << who_asked(&t, i - 1);
    assert_int_equal(say(&t.rep, "done"), 0);
  }
  assert_int_equal(seen, (1u << ASKERS) - 1);
  close_rep(&t);
}

/* Everything anybody said has come in. */
static bool all_came(const answering_t* t) {
  uint64_t said = 0;
  for (size_t i = 0; i < t->count; i++)
    said += player_stats(&t->askers[i]).wire_bytes_sent;
  return player_stats(&t->rep).wire_bytes_received == said;
}

/* Answers as soon as that is possible, on a later turn. */
static void serve_all_in_turn(answering_t* t) {
  fill_up(t, 10);
  asked(t, 1);
  until(&t->g, all_came(t)); /* so that all of them wait */
  for (unsigned i = 1; i <= 10 * t->count; i++) {
    until(&t->g, t->rep.count == i);
    assert_int_equal(say(&t->rep, "done"), 0);
  }
  for (unsigned round = 0; round < 10; round++) {
    unsigned seen = 0;
    for (unsigned k = 0; k < t->count; k++)
      seen |= 1u << who_asked(t, round * (unsigned) t->count + k);
    assert_int_equal(seen, (1u << t->count) - 1);
  }
}

static void in_turn_at_full_speed(int backend) {
  answering_t t;
  open_rep(&t, backend, ASKERS);
  serve_all_in_turn(&t);
  close_rep(&t);
}

static void spend_turn(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  mcq__io_spend(&p->g->ctx->host.io, 0, MCQ__TURN_BYTES, 0);
}

/* The same when each request takes all that a turn may take.  Of the others one
 * finds the next request in hand, and some are left for a later turn: whoever
 * waited in vain is not behind them for that. */
static void in_turn_in_short_turns(int backend) {
  for (size_t askers = 2; askers <= ASKERS; askers++) {
    answering_t t;
    open_rep(&t, backend, askers);
    t.rep.on_message = spend_turn;
    serve_all_in_turn(&t);
    close_rep(&t);
  }
}

static void the_asker_is_gone(int backend) {
  answering_t t;
  open_rep(&t, backend, 2);
  assert_int_equal(say(&t.askers[0], "|bye"), 0);
  asked(&t, 1);
  assert_int_equal(say(&t.askers[1], "|me?"), 0);
  player_close(&t.askers[0]);
  until(&t.g, t.rep.downs == 1); /* noticed while its request is in hand */
  assert_int_equal(say(&t.rep, "nobody hears"), MCQ_EPEERGONE);
  assert_int_equal(player_stats(&t.rep).sends_unroutable, 1);
  asked(&t, 2);
  assert_heard(&t.rep, 1, "me?");
  assert_int_equal(say(&t.rep, "you"), 0);
  until(&t.g, t.askers[1].count == 1);
  close_rep(&t);
}

/* What it had asked before is asked nevertheless. */
static void requests_of_one_who_left(int backend) {
  answering_t t;
  open_rep(&t, backend, 1);
  for (int i = 0; i < 3; i++) assert_int_equal(say(&t.askers[0], "|q"), 0);
  asked(&t, 1);
  player_close(&t.askers[0]);
  until(&t.g, t.askers[0].closed);
  for (unsigned i = 2; i <= 3; i++) {
    (void) say(&t.rep, "a");
    asked(&t, i);
  }
  (void) say(&t.rep, "a");
  until(&t.g, t.rep.downs == 1);
  assert_string_equal(t.rep.diary, "ummmd");
  close_rep(&t);
}

/* Of one that is known to be gone, nothing; of the other one all. */
static void orphans_are_dropped(int backend) {
  answering_t t;
  stage_open(&t.g, backend, true);
  player_open(&t.rep, &t.g, REP_AND(.flags = MCQ_DROP_ORPHANS));
  player_bind(&t.rep);
  t.count = 2;
  for (size_t i = 0; i < 2; i++) {
    player_open(&t.askers[i], &t.g, PLAIN(MCQ_DEALER));
    player_meet(&t.askers[i], &t.rep);
  }
  assert_int_equal(say(&t.askers[0], "|first"), 0);
  asked(&t, 1);
  for (int i = 0; i < 3; i++) assert_int_equal(say(&t.askers[0], "|q"), 0);
  assert_int_equal(say(&t.askers[1], "|second"), 0);
  stage_turns(&t.g, 10);
  player_close(&t.askers[0]);
  until(&t.g, t.askers[0].closed || (t.g.now += 1, false));
  t.g.now += 100; /* long enough to be looked for */
  stage_turns(&t.g, 20);
  assert_int_equal(t.rep.downs, 0);
  assert_int_equal(say(&t.rep, "a"), 0); /* its end is not told yet */
  until(&t.g, t.rep.count == 2);
  assert_heard(&t.rep, 1, "second");
  assert_int_equal(say(&t.rep, "a"), 0);
  until(&t.g, t.askers[1].count == 1 && t.rep.downs == 1);
  assert_string_equal(t.rep.diary, "uummd");
  assert_int_equal(player_stats(&t.rep).messages_discarded, 3);
  assert_int_equal(player_stats(&t.rep).messages_received, 2);
  close_rep(&t);
}

static void the_asker_does_not_read(int backend) {
  answering_t t;
  open_rep_with(&t, backend, 2,
                REP_AND(.sndhwm_bytes = 1000, .linger_ms = MCQ_LINGER_NONE));
  player_t* deaf = &t.askers[0];
  static char large[1 << 20];
  mcq_frame_t frame = {large, sizeof large};
  assert_int_equal(mcq_pause(deaf->s), 0);
  int rc = 0;
  unsigned asks = 0;
  for (; rc == 0; asks++) {
    assert_int_equal(say(deaf, "|tell me"), 0);
    until(&t.g, t.rep.count == asks + 1);
    rc = mcq_send(t.rep.s, &frame, 1);
    stage_turns(&t.g, 3);
  }
  assert_int_equal(rc, MCQ_EAGAIN);
  assert_int_equal(say(&t.rep, "too late"), MCQ_EFSM);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(say(&t.askers[1], "|and me"), 0);
    until(&t.g, t.rep.count == asks + 1 + i);
    assert_int_equal(say(&t.rep, "you"), 0);
    until(&t.g, t.askers[1].count == i + 1);
  }
  assert_int_equal(mcq_resume(deaf->s), 0);
  until(&t.g, deaf->count == asks - 1); /* one answer was dropped */
  until(&t.g, t.rep.drains == 1);
  assert_int_equal(player_stats(&t.rep).sends_refused, 1);
  close_rep(&t);
}

/* ---- REP: pausing -------------------------------------------------------- */

static void pause_on_message(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  assert_int_equal(mcq_pause(p->s), 0);
}

static void flicker_on_message(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  pause_on_message(p, peer, msg);
  assert_int_equal(mcq_resume(p->s), 0);
}

static void paused_and_busy(int backend) {
  answering_t t;
  open_rep(&t, backend, 2);
  fill_up(&t, 3);
  t.rep.on_message = pause_on_message;
  asked(&t, 1);
  assert_int_equal(say(&t.rep, "a"), 0); /* answered, but paused */
  asked(&t, 1);
  assert_int_equal(mcq_resume(t.rep.s), 0);
  asked(&t, 2); /* busy and paused */
  assert_int_equal(mcq_resume(t.rep.s), 0);
  asked(&t, 2); /* no more paused, but busy */
  t.rep.on_message = flicker_on_message;
  assert_int_equal(say(&t.rep, "a"), 0);
  asked(&t, 3);
  assert_int_equal(mcq_pause(t.rep.s), 0);
  assert_int_equal(mcq_pause(t.rep.s), 0);
  assert_int_equal(say(&t.rep, "a"), 0);
  asked(&t, 3);
  t.rep.on_message = NULL;
  assert_int_equal(mcq_resume(t.rep.s), 0);
  for (unsigned i = 4; i <= 6; i++) {
    asked(&t, i);
    assert_int_equal(say(&t.rep, "a"), 0);
  }
  until(&t.g, t.askers[0].count == 3 && t.askers[1].count == 3);
  close_rep(&t);
}

static void one_peer_is_paused(int backend) {
  answering_t t;
  open_rep(&t, backend, 2);
  assert_int_equal(say(&t.askers[0], "|00"), 0);
  asked(&t, 1);
  mcq_peer_t first = t.rep.from[0];
  assert_int_equal(mcq_peer_pause(t.rep.s, first), 0);
  assert_int_equal(say(&t.askers[0], "|01"), 0);
  assert_int_equal(say(&t.rep, "a"), 0);
  asked(&t, 1);
  assert_int_equal(say(&t.askers[1], "|10"), 0);
  asked(&t, 2);
  assert_int_equal(mcq_peer_resume(t.rep.s, first), 0);
  asked(&t, 2);
  assert_int_equal(say(&t.rep, "a"), 0);
  asked(&t, 3);
  assert_heard(&t.rep, 2, "01");
  close_rep(&t);
}

static void a_newcomer_waits(int backend) {
  answering_t t;
  open_rep(&t, backend, 1);
  assert_int_equal(say(&t.askers[0], "|q"), 0);
  asked(&t, 1);
  player_open(&t.askers[1], &t.g, PLAIN(MCQ_DEALER));
  t.count = 2;
  player_connect(&t.askers[1], &t.rep);
  assert_int_equal(say(&t.askers[1], "|new"), 0);
  until(&t.g, t.askers[1].ups == 1);
  asked(&t, 1);
  assert_int_equal(say(&t.rep, "a"), 0);
  asked(&t, 2);
  assert_heard(&t.rep, 1, "new");
  close_rep(&t);
}

/* ---- REP: requests taken out --------------------------------------------- */

static mcq_request_t* tokens[64];
static unsigned taken;

static void take_it(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) msg;
  assert_int_equal(mcq_request_take(p->s, &tokens[taken]), 0);
  assert_true(mcq_request_peer(tokens[taken]).epoch == peer.epoch);
  taken++;
  mcq_request_t* none;
  assert_int_equal(mcq_request_take(p->s, &none), MCQ_EFSM);
  assert_int_equal(say(p, "taken"), MCQ_EFSM);
}

static void open_taking(answering_t* t, int backend, size_t askers) {
  taken = 0;
  open_rep(t, backend, askers);
  t->rep.on_message = take_it;
}

static void answered_out_of_order(int backend) {
  answering_t t;
  open_taking(&t, backend, 3);
  for (unsigned k = 0; k < 4; k++)
    for (size_t i = 0; i < 3; i++) {
      char text[64];
      snprintf(text, sizeof text, "%u|hop||%zu%u", k, i, k);
      assert_int_equal(say(&t.askers[i], text), 0);
    }
  asked(&t, 12);
  assert_int_equal(taken, 12);
  for (unsigned i = 12; i-- > 0;) {
    char text[16];
    mcq_frame_t body = mcq_msg_frame(t.rep.heard[i], 0);
    snprintf(text, sizeof text, "%.*s", (int) body.len, (char*) body.data);
    if (i % 2 == 0)
      assert_int_equal(reply(&t.g, tokens[i], text), 0);
    else
      assert_int_equal(mcq_request_reply_msg(tokens[i], t.rep.heard[i]), 0);
  }
  for (size_t i = 0; i < 3; i++) {
    until(&t.g, t.askers[i].count == 4);
    for (unsigned k = 0; k < 4; k++) {
      char text[64];
      snprintf(text, sizeof text, "%u|hop||%zu%u", 3 - k, i, 3 - k);
      assert_heard(&t.askers[i], k, text);
    }
  }
  close_rep(&t);
}

/* One is taken later, when others wait behind it. */
static void taken_later(int backend) {
  answering_t t;
  open_rep(&t, backend, 2);
  mcq_request_t* request;
  fill_up(&t, 1);
  asked(&t, 1);
  assert_int_equal(mcq_request_take(t.rep.s, &request), 0);
  asked(&t, 2);
  assert_int_equal(say(&t.rep, "second"), 0);
  assert_int_equal(reply(&t.g, request, "first"), 0);
  size_t first = who_asked(&t, 0);
  until(&t.g, t.askers[0].count == 1 && t.askers[1].count == 1);
  assert_heard(&t.askers[first], 0, "|first");
  assert_heard(&t.askers[1 - first], 0, "|second");
  close_rep(&t);
}

static void dropped_requests(int backend) {
  answering_t t;
  open_taking(&t, backend, 1);
  assert_int_equal(say(&t.askers[0], "|never"), 0);
  assert_int_equal(say(&t.askers[0], "a||b"), 0);
  asked(&t, 2);
  mcq_request_drop(tokens[0]);
  assert_int_equal(mcq_request_reply(tokens[1], NULL, 0), MCQ_EINVAL);
  assert_int_equal(say(&t.askers[0], "|answer this"), 0);
  asked(&t, 3);
  assert_int_equal(reply(&t.g, tokens[2], "this"), 0);
  until(&t.g, t.askers[0].count == 1);
  assert_heard(&t.askers[0], 0, "|this");
  close_rep(&t);
}

/* Somebody of the same name comes back on the same endpoint. */
static void the_successor_gets_nothing(int backend) {
  answering_t t;
  open_taking(&t, backend, 0);
  mcq_socket_options_t o = {
      .type = MCQ_REQ, .routing_id = "me", .routing_id_len = 2};
  t.count = 2;
  for (unsigned i = 0; i < 2; i++) {
    player_t* me = &t.askers[i];
    player_open(me, &t.g, o);
    player_meet(me, &t.rep);
    assert_int_equal(say(me, "who"), 0);
    asked(&t, i + 1);
    if (i == 0) player_close(me);
    if (i == 0) until(&t.g, t.rep.downs == 1);
  }
  assert_true(t.rep.from[0].slot == t.rep.from[1].slot);
  assert_int_equal(reply(&t.g, tokens[0], "the first"), MCQ_EPEERGONE);
  assert_int_equal(reply(&t.g, tokens[1], "the second"), 0);
  until(&t.g, t.askers[1].count == 1);
  assert_heard(&t.askers[1], 0, "the second");
  assert_int_equal(player_stats(&t.askers[1]).messages_discarded, 0);
  assert_int_equal(player_stats(&t.rep).sends_unroutable, 1);
  close_rep(&t);
}

static void tokens_outlive_their_socket(int backend) {
  answering_t t;
  open_taking(&t, backend, 1);
  static const char* const requests[] = {"|a", "hop||b", "hop||c", "hop||d",
                                         "hop||e"};
  for (int i = 0; i < 5; i++)
    assert_int_equal(say(&t.askers[0], requests[i]), 0);
  asked(&t, 5);
  player_close(&t.rep);
  assert_int_equal(reply(&t.g, tokens[0], "closing"), MCQ_ECLOSED);
  until(&t.g, t.rep.closed);
  assert_int_equal(reply(&t.g, tokens[1], "closed"), MCQ_ECLOSED);
  mcq_request_drop(tokens[2]);
  mcq_ctx_close(t.g.ctx, stage_on_left);
  until(&t.g, t.g.left);
  stage_forget(&t.g);
  assert_int_equal(reply(&t.g, tokens[3], "no context"), MCQ_ECLOSED);
  assert_true(t.g.memory.live > 0);
  mcq_request_drop(tokens[4]);
  assert_int_equal(t.g.memory.live, 0);
  stage_close(&t.g);
}

static void the_peer_is_known_by_its_token(int backend) {
  answering_t t;
  open_taking(&t, backend, 1);
  mcq_peer_info_t info;
  assert_int_equal(say(&t.askers[0], "|q"), 0);
  asked(&t, 1);
  mcq_peer_t peer = mcq_request_peer(tokens[0]);
  assert_int_equal(mcq_peer_info(t.rep.s, peer, &info), 0);
  assert_string_equal(info.socket_type, "DEALER");
  player_close(&t.askers[0]);
  until(&t.g, t.rep.downs == 1);
  assert_int_equal(mcq_peer_info(t.rep.s, peer, &info), MCQ_EPEERGONE);
  mcq_request_drop(tokens[0]);
  close_rep(&t);
}

/* ---- REP: closing -------------------------------------------------------- */

static void close_unanswered(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  mcq_request_t* request;
  if (p->arg != NULL) assert_int_equal(say(p, "last words"), 0);
  player_close(p);
  assert_int_equal(mcq_send_msg(p->s, msg), MCQ_ECLOSED);
  int rc = mcq_request_take(p->s, &request);
  if (rc == 0) assert_int_equal(reply(p->g, request, "x"), MCQ_ECLOSED);
}

static void closed_with_a_request_in_hand(int backend) {
  for (int way = 0; way < 3; way++) {
    answering_t t;
    open_rep(&t, backend, 1);
    t.rep.on_message = way > 0 ? close_unanswered : NULL;
    t.rep.arg = way > 1 ? &t : NULL;
    assert_int_equal(say(&t.askers[0], "deep|in||q"), 0);
    assert_int_equal(say(&t.askers[0], "deep|in||q"), 0);
    until(&t.g, t.rep.count == 1);
    if (way == 0) player_close(&t.rep);
    until(&t.g, t.rep.closed);
    assert_string_equal(t.rep.diary, "umdc");
    if (way == 2) until(&t.g, t.askers[0].count == 1);
    close_rep(&t);
  }
}

/* ---- REQ and REP --------------------------------------------------------- */

/* A ROUTER in front, a DEALER behind: what comes to one leaves by the other. */
static void forward(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  player_t* other = (player_t*) p->arg;
  mcq_frame_t f[FRAMES_MAX];
  size_t count = mcq_msg_count(msg);
  mcq_peer_info_t info;
  assert_int_equal(mcq_peer_info(p->s, peer, &info), 0);
  f[0] = (mcq_frame_t){info.routing_id, info.routing_id_len};
  for (size_t i = 0; i < count; i++) f[i + 1] = mcq_msg_frame(msg, i);
  bool front = mcq_socket_type(p->s) == MCQ_ROUTER;
  assert_int_equal(front ? mcq_send(other->s, f, count + 1)
                         : mcq_send(other->s, f + 1, count),
                   0);
}

#define HOPS 3

static void through_forwarders(int backend) {
  stage_t g;
  player_t q[2];
  player_t front[HOPS];
  player_t back[HOPS];
  player_t rep;
  stage_open(&g, backend, false);
  player_open(&rep, &g, PLAIN(MCQ_REP));
  player_bind(&rep);
  rep.on_message = answer_at_once;
  rep.arg = &rep;
  player_t* next = &rep;
  for (int i = 0; i < HOPS; i++) {
    player_open(&front[i], &g, PLAIN(MCQ_ROUTER));
    player_open(&back[i], &g, PLAIN(MCQ_DEALER));
    front[i].on_message = back[i].on_message = forward;
    front[i].arg = &back[i];
    back[i].arg = &front[i];
    player_meet(&back[i], next);
    player_bind(&front[i]);
    next = &front[i];
  }
  for (int i = 0; i < 2; i++) {
    player_open(&q[i], &g, REQ_AND(.flags = i == 0 ? MCQ_REQ_CORRELATE : 0));
    player_meet(&q[i], next);
  }
  for (unsigned k = 0; k < 20; k++) {
    char text[2][16];
    for (int i = 0; i < 2; i++) {
      snprintf(text[i], sizeof text[i], "%d|%u", i, k);
      assert_int_equal(say(&q[i], text[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
      until(&g, q[i].count == k + 1);
      assert_heard(&q[i], k, text[i]);
    }
  }
  stage_close(&g);
}

static void req_and_rep(int backend) {
  for (int flags = 0; flags <= MCQ_REQ_CORRELATE; flags += MCQ_REQ_CORRELATE) {
    answering_t t;
    open_rep(&t, backend, 0);
    t.rep.on_message = answer_at_once;
    t.rep.arg = &t;
    t.count = 3;
    for (size_t i = 0; i < 3; i++) {
      player_open(&t.askers[i], &t.g, REQ_AND(.flags = flags));
      player_meet(&t.askers[i], &t.rep);
      t.askers[i].on_message = ask_again;
      assert_int_equal(say(&t.askers[i], "and"), 0);
    }
    for (size_t i = 0; i < 3; i++) until(&t.g, t.askers[i].count == 100);
    assert_int_equal(t.rep.count, 300);
    close_rep(&t);
  }
}

/* Answers, and breaks the connection off before that has left. */
static void answer_and_break_off(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  bool first = p->count == 1;
  (void) msg;
  assert_int_equal(say(p, first ? "too late" : "in time"), 0);
  if (first) assert_int_equal(mcq_peer_close(p->s, peer), 0);
}

/* A REP that dials comes again, but an answer that had not left does not: it
 * would be taken for that to the next question. */
static void an_answer_goes_with_its_connection(int backend) {
  answering_t t;
  stage_open(&t.g, backend, false);
  player_open(&t.askers[0], &t.g, PLAIN(MCQ_REQ));
  player_bind(&t.askers[0]);
  player_open(&t.rep, &t.g, REP_AND(.linger_ms = MCQ_LINGER_NONE));
  t.rep.on_message = answer_and_break_off;
  player_meet(&t.rep, &t.askers[0]);
  assert_int_equal(say(&t.askers[0], "one"), 0);
  until(&t.g, t.askers[0].failed == 1 && t.askers[0].ups == 2);
  assert_int_equal(t.askers[0].code, MCQ_EPEERGONE);
  assert_int_equal(t.rep.lost, 1);
  mcq_stats_t stats = player_stats(&t.rep);
  assert_int_equal(stats.messages_lost, 1);
  assert_int_equal(stats.messages_queued, 0);
  assert_int_equal(say(&t.askers[0], "two"), 0);
  until(&t.g, t.askers[0].count == 1);
  assert_heard(&t.askers[0], 0, "in time");
  close_rep(&t);
}

/* ---- without memory ------------------------------------------------------ */

/* Whatever fails: nothing is lost track of and nothing hangs. */
static void short_of_memory(int backend) {
  for (size_t skip = 0; skip < 120; skip++) {
    answering_t t;
    open_taking(&t, backend, 1);
    player_t q;
    player_open(&q, &t.g, REQ_AND(.flags = MCQ_REQ_CORRELATE));
    player_meet(&q, &t.rep);
    t.rep.on_message = NULL;
    t.g.memory.fail_at = atomic_load(&t.g.memory.calls) + 1 + skip;
    mcq_request_t* request = NULL;
    mcq_frame_t f[12];
    size_t head = make_hops(10, f);
    f[head] = (mcq_frame_t){long_body, sizeof long_body};
    int rc = mcq_send(t.askers[0].s, f, head + 1);
    assert_true(rc == 0 || rc == MCQ_ENOMEM);
    bool sent = rc == 0;
    for (int i = 0; i < 10; i++) stage_step(&t.g);
    if (t.rep.count > 0 && mcq_request_take(t.rep.s, &request) != 0)
      (void) say(&t.rep, "no token");
    rc = say(&q, "small");
    assert_true(rc == 0 || rc == MCQ_ENOMEM || rc == MCQ_EAGAIN);
    for (int i = 0; i < 10; i++) stage_step(&t.g);
    if (request != NULL) (void) reply(&t.g, request, "done");
    (void) say(&t.rep, "here");
    for (int i = 0; i < 10; i++) stage_step(&t.g);
    /* A request that could not be kept is not passed over in silence. */
    mcq_stats_t stats = player_stats(&t.rep);
    assert_true(stats.messages_discarded == 0 || stats.disconnects > 0);
    bool undisturbed = atomic_load(&t.g.memory.failed) == 0;
    if (undisturbed) {
      assert_true(sent && q.count == 1 && t.askers[0].count == 1);
    }
    close_rep(&t);
    if (undisturbed) return;
  }
  fail();
}

/* ---- the table ----------------------------------------------------------- */

static const scene_t scenes[] = {
    {"the form on the wire", the_form_on_the_wire},
    {"numbered questions", numbered_questions},
    {"questions go round", questions_go_round},
    {"only those with room", only_those_with_room},
    {"nobody to ask", nobody_to_ask},
    {"only the one asked counts", only_the_one_asked_counts},
    {"malformed answers", malformed_answers},
    {"a strict one leaves at once", a_strict_one_leaves_at_once},
    {"answers to other questions", answers_to_other_questions},
    {"a new question makes an end of the old",
     a_new_question_makes_an_end_of_the_old},
    {"the old one asked is not heard", the_old_one_asked_is_not_heard},
    {"a refused question changes nothing", a_refused_question_changes_nothing},
    {"a question takes too long", a_question_takes_too_long},
    {"a late answer to a numbered question",
     a_late_answer_to_a_numbered_question},
    {"a relaxed question has its own time",
     a_relaxed_question_has_its_own_time},
    {"time runs for what is queued", time_runs_for_what_is_queued},
    {"an answer goes with its connection", an_answer_goes_with_its_connection},
    {"the server dies", the_server_dies},
    {"a server that came to us dies", a_server_that_came_to_us_dies},
    {"asked before the server is there", asked_before_the_server_is_there},
    {"asked while the server is away", asked_while_the_server_is_away},
    {"a question that was cut off is asked again",
     a_question_that_was_cut_off_is_asked_again},
    {"a question that was not begun is asked again",
     a_question_that_was_not_begun_is_asked_again},
    {"a question cut off without a queue", a_question_cut_off_without_a_queue},
    {"no queue for those who are away", no_queue_for_those_who_are_away},
    {"never dialed again", never_dialed_again},
    {"never reached", never_reached},
    {"disconnected while waiting", disconnected_while_waiting},
    {"disconnected while queued", disconnected_while_queued},
    {"refused for good", refused_for_good},
    {"asked again in on_message", asked_again_in_on_message},
    {"asked again in on_request_failed", asked_again_in_on_request_failed},
    {"closed in on_message", closed_in_on_message},
    {"closed in on_request_failed", closed_in_on_request_failed},
    {"closed while waiting", closed_while_waiting},
    {"what a REQ does not do", what_a_req_does_not_do},
    {"envelopes come back", envelopes_come_back},
    {"bodies with empty frames", bodies_with_empty_frames},
    {"what is no request", what_is_no_request},
    {"no answer without a request", no_answer_without_a_request},
    {"what a REP does not do", what_a_rep_does_not_do},
    {"one at a time and all in turn", one_at_a_time_and_all_in_turn},
    {"a heap holds nobody up", a_heap_holds_nobody_up},
    {"in turn at full speed", in_turn_at_full_speed},
    {"in turn in short turns", in_turn_in_short_turns},
    {"the asker is gone", the_asker_is_gone},
    {"requests of one who left", requests_of_one_who_left},
    {"orphans are dropped", orphans_are_dropped},
    {"the asker does not read", the_asker_does_not_read},
    {"paused and busy", paused_and_busy},
    {"one peer is paused", one_peer_is_paused},
    {"a newcomer waits", a_newcomer_waits},
    {"answered out of order", answered_out_of_order},
    {"taken later", taken_later},
    {"dropped requests", dropped_requests},
    {"the successor gets nothing", the_successor_gets_nothing},
    {"tokens outlive their socket", tokens_outlive_their_socket},
    {"the peer is known by its token", the_peer_is_known_by_its_token},
    {"closed with a request in hand", closed_with_a_request_in_hand},
    {"through forwarders", through_forwarders},
    {"REQ and REP", req_and_rep},
    {"short of memory", short_of_memory},
};
#define SCENES (sizeof scenes / sizeof *scenes)

static void over_uv(void** state) {
  (void) state;
  play_scenes(scenes, SCENES, MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (!backend_is_here(MCQ_BACKEND_URING)) skip();
  play_scenes(scenes, SCENES, MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
