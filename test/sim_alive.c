/* SPDX-License-Identifier: MIT */
/* Heartbeats on a simulated network, to the millisecond: who is asked when, who
 * is given up when, what counts as life, and what becomes of all that while the
 * user pauses. */
#include "support/stranger.h"

#define IVL 1000
#define TIMEOUT 500

static const mcq_socket_options_t beating = {
    .type = MCQ_DEALER, .heartbeat_ms = IVL, .heartbeat_timeout_ms = TIMEOUT};

static scene_t* begin(void** state, mcq_socket_options_t o, const char* type,
                      unsigned minor) {
  static scene_t g;
  scene_open(&g, (const place_t*) *state);
  scene_listen(&g, o);
  stranger_join(&g, type, minor);
  return &g;
}

/* ---- questions ----------------------------------------------------------- */

static void a_silent_peer_is_asked_and_stays(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  g->answers = true;
  scene_wait(g, 60 * IVL);
  assert_in_range(g->heard.pings, 59, 60);
  assert_int_equal(g->heard.longest, IVL);
  assert_int_equal(g->heard.ttl, 0);
  assert_int_equal(g->heard.context_len, 4);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* An interval after the last byte it is asked, a time-out later given up. */
static void a_dead_peer_is_found_in_time(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  scene_wait(g, 300);
  assert_int_equal(mcq_send_text(g->s, "heard"), 0);
  stranger_frame(g, 0, "last words");
  uint64_t last = g->ground.net.now;
  scene_wait(g, IVL + TIMEOUT - 1);
  assert_int_equal(g->told.downs, 0);
  scene_wait(g, 1);
  assert_int_equal(g->told.downs, 1);
  assert_int_equal(g->told.down_at, last + IVL + TIMEOUT);
  assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
  assert_string_equal(g->told.text, "no sign of life after a PING");
  assert_int_equal(g->told.messages, 1);
  assert_int_equal(g->heard.pings, 1);
  scene_close(g);
}

static void without_a_time_out_of_its_own_it_is_the_interval(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER, .heartbeat_ms = IVL};
  scene_t* g = begin(state, o, "ROUTER", 1);
  uint64_t since = g->told.up_at;
  scene_wait(g, 3 * IVL);
  assert_int_equal(g->told.down_at, since + 2 * IVL);
  scene_close(g);
}

/* Asked all the time, and judged never. */
static void who_never_times_out_is_only_asked(void** state) {
  mcq_socket_options_t o = beating;
  o.heartbeat_timeout_ms = -1;
  scene_t* g = begin(state, o, "ROUTER", 1);
  scene_wait(g, 20 * IVL + 10);
  assert_int_equal(g->heard.pings, 20);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

static void without_the_option_nobody_is_asked(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  scene_t* g = begin(state, o, "ROUTER", 1);
  scene_wait(g, 1000 * IVL);
  assert_int_equal(g->heard.pings, 0);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* RFC 23 knows no PING. */
static void an_old_peer_is_not_asked_and_not_judged(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 0);
  scene_wait(g, 100 * IVL);
  assert_int_equal(g->heard.pings, 0);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* Nothing is asked where both hear from the other anyway; who only listens is
 * asked, and so shown that there is somebody. */
static void traffic_both_ways_needs_no_questions(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  g->answers = true;
  for (int i = 0; i < 50; i++) {
    stranger_frame(g, 0, "in");
    assert_int_equal(mcq_send_text(g->s, "out"), 0);
    scene_wait(g, 300);
  }
  assert_int_equal(g->heard.pings, 0);
  for (int i = 0; i < 50; i++) {
    stranger_frame(g, 0, "in");
    scene_wait(g, 300);
  }
  assert_in_range(g->heard.pings, 14, 15);
  g->heard.pings = 0;
  for (int i = 0; i < 50; i++) {
    assert_int_equal(mcq_send_text(g->s, "out"), 0);
    scene_wait(g, 300);
  }
  assert_in_range(g->heard.pings, 14, 15);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* ---- life ---------------------------------------------------------------- */

/* Asked because nothing was said to it for long, it has to answer too. */
static void a_dead_peer_may_be_found_sooner(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  scene_wait(g, 900);
  stranger_frame(g, 0, "last words");
  uint64_t last = g->ground.net.now;
  scene_wait(g, IVL + TIMEOUT);
  assert_int_equal(g->told.downs, 1);
  assert_in_range(g->told.down_at, last + TIMEOUT, last + IVL + TIMEOUT - 1);
  scene_close(g);
}

/* One byte of a large message at a time, each just in time. */
static void any_byte_is_life(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  rig_bytes_t b = {0};
  char body[300];
  memset(body, 'x', sizeof body);
  rig_frame(&b, 0, body, sizeof body);
  for (size_t i = 0; i < b.len; i++) {
    stranger_say(g, b.data + i, 1);
    scene_wait(g, TIMEOUT - 1);
    assert_int_equal(g->told.downs, 0);
  }
  assert_int_equal(g->told.messages, 1);
  rig_free(&b);
  scene_wait(g, IVL + TIMEOUT);
  assert_int_equal(g->told.downs, 1);
  scene_close(g);
}

/* A large message that takes longer to leave than anybody is waited for. */
static void a_slow_reader_is_no_dead_one(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  size_t size = (size_t) 1 << 20;
  uint8_t* body = (uint8_t*) calloc(1, size);
  sim_in(g->end)->room = g->rate = 3000;
  assert_int_equal(mcq_send_bytes(g->s, body, size), 0);
  free(body);
  uint64_t since = g->ground.net.now;
  while (g->heard.messages == 0) {
    scene_wait(g, TIMEOUT - 100);
    stranger_read(g, g->rate);
    assert_int_equal(g->told.downs, 0);
  }
  assert_true(g->ground.net.now - since > 80 * (IVL + TIMEOUT));
  g->rate = 0;
  g->answers = true;
  if (g->heard.pings != 0) stranger_pong(g);
  scene_wait(g, 10 * IVL);
  assert_int_equal(g->told.downs, 0);
  assert_memory_equal(g->heard.order, "mp", 2); /* it had to wait */
  scene_close(g);
}

/* But when nothing moves any more it is one, though the question cannot even
 * leave. */
static void a_reader_that_stops_is_found(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  size_t size = (size_t) 1 << 20;
  uint8_t* body = (uint8_t*) calloc(1, size);
  sim_in(g->end)->room = g->rate = 3000;
  assert_int_equal(mcq_send_bytes(g->s, body, size), 0);
  free(body);
  for (int i = 0; i < 40; i++) {
    scene_wait(g, TIMEOUT - 100);
    stranger_read(g, g->rate);
  }
  scene_settle(g);
  assert_int_equal(g->told.downs, 0);
  uint64_t last = g->ground.net.now;
  scene_wait(g, 10 * IVL);
  assert_int_equal(g->told.downs, 1);
  assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
  assert_in_range(g->told.down_at - last, TIMEOUT - 100, IVL + TIMEOUT);
  scene_close(g);
}

/* The loop stood still while the answer came in: it is read before anybody is
 * judged. */
static void a_loop_that_stood_still_judges_nobody(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  scene_wait(g, IVL);
  while (g->heard.pings == 0) scene_wait(g, 1);
  for (int i = 0; i < 20; i++) {
    stranger_pong(g);
    g->ground.net.now += 7 * IVL;
    scene_wait(g, 10);
    assert_int_equal(g->told.downs, 0);
  }
  g->ground.net.now += 7 * IVL;
  scene_wait(g, 2 * IVL + TIMEOUT); /* and a dead one is found all the same */
  assert_int_equal(g->told.downs, 1);
  scene_close(g);
}

static void answers_are_timed(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  mcq_peer_info_t info;
  assert_int_equal(mcq_peer_info(g->s, g->told.peer, &info), 0);
  assert_int_equal(info.rtt_ns, 0);
  while (g->heard.pings == 0) scene_wait(g, 1);
  scene_wait(g, 37);
  stranger_pong(g);
  scene_wait(g, 5);
  assert_int_equal(mcq_peer_info(g->s, g->told.peer, &info), 0);
  assert_in_range(info.rtt_ns, 37000000, 39000000);
  uint64_t rtt = info.rtt_ns;
  stranger_pong(g); /* once more: it was not asked again */
  g->heard.context[0] ^= 1;
  stranger_pong(g);
  g->heard.context_len = 0;
  stranger_pong(g);
  scene_wait(g, 100);
  assert_int_equal(mcq_peer_info(g->s, g->told.peer, &info), 0);
  assert_int_equal(info.rtt_ns, rtt);
  scene_wait(g, 3 * IVL);
  assert_int_equal(g->told.downs, 1);
  assert_int_equal(g->told.rtt_ns, rtt);
  scene_close(g);
}

/* A question between two frames does no harm to a REQ's answer. */
static void questions_do_not_disturb_a_request(void** state) {
  mcq_socket_options_t o = {.type = MCQ_REQ, .heartbeat_ms = IVL};
  scene_t* g = begin(state, o, "REP", 1);
  g->answers = true;
  assert_int_equal(mcq_send_text(g->s, "?"), 0);
  stranger_ping(g, 0);
  scene_wait(g, 3 * IVL + 500);
  stranger_frame(g, 1, "");
  scene_wait(g, 3 * IVL);
  stranger_ping(g, 0);
  stranger_frame(g, 0, "!");
  scene_wait(g, 10);
  assert_string_equal(g->told.said, "!");
  assert_in_range(g->heard.pings, 6, 7);
  assert_int_equal(g->heard.pongs, 2);
  scene_close(g);
}

/* ---- times to live ------------------------------------------------------- */

static void we_announce_ours(void** state) {
  mcq_socket_options_t o = beating;
  o.heartbeat_ttl_ms = 2500;
  scene_t* g = begin(state, o, "ROUTER", 1);
  g->answers = true;
  scene_wait(g, 5 * IVL);
  assert_int_equal(g->heard.ttl, 25);
  /* And see to it that it does not run out, whatever else goes on. */
  for (int i = 0; i < 50; i++) {
    stranger_frame(g, 0, "in");
    scene_wait(g, 200);
  }
  assert_in_range(g->heard.longest, IVL, IVL + 200);
  scene_close(g);
}

/* Heartbeats or not: this is the peer's wish. */
static void a_peer_has_its_time_to_live(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  for (unsigned minor = 0; minor < 2; minor++) {
    scene_t* g = begin(state, o, "ROUTER", minor);
    stranger_ping(g, 3);
    for (int i = 0; i < 20; i++) {
      scene_wait(g, 299);
      stranger_say(g, i % 2 ? "x" : "\0\1", i % 2 ? 1 : 2); /* half a message */
    }
    assert_int_equal(g->told.downs, 0);
    scene_settle(g);
    uint64_t last = g->ground.net.now;
    scene_wait(g, 1000);
    assert_int_equal(g->told.down_at, last + 300);
    assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
    assert_string_equal(g->told.text,
                        "silent for longer than its own time to live");
    assert_int_equal(g->heard.pongs, 1);
    scene_close(g);
  }
}

static void the_longest_one_does_not_wrap(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  scene_t* g = begin(state, o, "ROUTER", 1);
  stranger_ping(g, 0xffff);
  scene_wait(g, 1);
  scene_wait(g, 6553490);
  assert_int_equal(g->told.downs, 0);
  scene_wait(g, 20);
  assert_int_equal(g->told.downs, 1);
  scene_close(g);
}

static void it_may_be_taken_back(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  scene_t* g = begin(state, o, "ROUTER", 1);
  stranger_ping(g, 3);
  scene_wait(g, 200);
  stranger_ping(g, 0);
  scene_wait(g, 100000);
  assert_int_equal(g->told.downs, 0);
  stranger_ping(g, 1);
  scene_wait(g, 200);
  assert_int_equal(g->told.downs, 1);
  scene_close(g);
}

/* ---- while the user pauses ----------------------------------------------- */

static void the_paused_are_asked_too(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  g->answers = true;
  assert_int_equal(mcq_pause(g->s), 0);
  scene_wait(g, 50 * IVL);
  assert_in_range(g->heard.pings, 45, 50);
  assert_int_equal(g->told.downs, 0);
  g->answers = false;
  uint64_t last = g->heard.ping_at;
  scene_wait(g, 2 * IVL);
  assert_int_equal(g->told.downs, 1); /* without waiting for the user */
  assert_int_equal(g->told.down_at, last + IVL + TIMEOUT);
  scene_close(g);
}

/* Behind messages that nobody takes, though not behind any number. */
static void a_paused_socket_answers(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  scene_t* g = begin(state, o, "ROUTER", 1);
  assert_int_equal(mcq_peer_pause(g->s, g->told.peer), 0);
  for (int i = 0; i < 10; i++) {
    char text[2] = {(char) ('a' + i), 0};
    stranger_frame(g, i % 3 == 0, text);
    stranger_ping(g, 0);
    scene_wait(g, 20);
    assert_int_equal(g->heard.pongs, i + 1);
  }
  assert_int_equal(g->told.messages, 0);
  stranger_frame(g, 0, "k");
  assert_int_equal(mcq_peer_resume(g->s, g->told.peer), 0);
  scene_wait(g, 20);
  assert_string_equal(g->told.said, "acdfgij"); /* b, e, h, k are second ones */
  scene_close(g);
}

/* So a REP that works on a question of somebody else. */
static void a_busy_rep_answers(void** state) {
  mcq_socket_options_t o = {.type = MCQ_REP};
  scene_t* g = begin(state, o, "DEALER", 1);
  for (int i = 0; i < 3; i++) {
    stranger_frame(g, 1, "");
    stranger_frame(g, 0, i == 0 ? "a" : i == 1 ? "b" : "c");
  }
  scene_wait(g, 10);
  assert_string_equal(g->told.said, "a");
  stranger_ping(g, 0);
  scene_wait(g, 20);
  assert_int_equal(g->heard.pongs, 1);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(mcq_send_text(g->s, "!"), 0);
    scene_wait(g, 20);
  }
  assert_string_equal(g->told.said, "abc");
  assert_int_equal(mcq_send_text(g->s, "!"), MCQ_EFSM);
  scene_close(g);
}

/* What is read ahead is bounded; what is not read is not lost. */
static void a_pause_holds_a_flood_off(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  scene_t* g = begin(state, o, "ROUTER", 1);
  sim_pipe_t* p = sim_out(g->end);
  char body[201] = {0};
  memset(body, '1', 200);
  assert_int_equal(mcq_pause(g->s), 0);
  p->room = 1 << 20;
  for (int i = 0; i < 4000; i++) {
    body[0] = (char) ('0' + i % 10);
    stranger_frame(g, 0, body);
    if (i % 10 == 0) scene_wait(g, 1);
  }
  scene_wait(g, 1000);
  assert_in_range(p->len, 700000, 780000);
  size_t left = p->len;
  stranger_ping(g, 0);
  scene_wait(g, 1000);
  assert_int_equal(g->heard.pongs, 0); /* it is behind */
  assert_int_equal(p->len, left + 10);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 1000);
  assert_int_equal(g->told.messages, 4000);
  for (unsigned i = 0; i < 4000; i++)
    assert_int_equal(g->told.said[i], '0' + i % 10);
  assert_int_equal(g->heard.pongs, 1);
  scene_close(g);
}

/* Nothing can be heard of a peer that lies behind such a flood: it is not
 * judged, and is shown that somebody is there. */
static void the_unheard_are_not_judged(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  sim_pipe_t* p = sim_out(g->end);
  char body[1001] = {0};
  memset(body, '1', 1000);
  assert_int_equal(mcq_pause(g->s), 0);
  p->room = 1 << 20;
  for (int i = 0; i < 900; i++) stranger_frame(g, 0, body);
  scene_wait(g, 100 * IVL);
  assert_int_equal(g->told.downs, 0);
  assert_in_range(g->heard.pings, 395, 401);
  assert_int_equal(g->heard.longest, TIMEOUT / 2); /* and nothing less will do
                                                      for one that counts so */
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 100);
  assert_int_equal(g->told.messages, 900);
  uint64_t last = g->ground.net.now;
  scene_wait(g, 3 * IVL);
  assert_int_equal(g->told.downs, 1); /* now it is, and it is dead */
  assert_in_range(g->told.down_at, last, last + IVL + TIMEOUT);
  scene_close(g);
}

/* Also by somebody who asks nobody, when the peer has asked before. */
static void who_asks_is_shown_that_we_live(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  scene_t* g = begin(state, o, "ROUTER", 1);
  for (int i = 0; i < 3; i++) {
    stranger_ping(g, 0);
    scene_wait(g, 400);
  }
  assert_int_equal(g->heard.pings, 0);
  assert_int_equal(mcq_pause(g->s), 0);
  char body[1001] = {0};
  memset(body, '1', 1000);
  sim_out(g->end)->room = 1 << 20;
  for (int i = 0; i < 900; i++) stranger_frame(g, 0, body);
  scene_wait(g, 10000);
  assert_in_range(g->heard.pings, 48, 51);
  assert_int_equal(g->heard.longest, 200);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 10000);
  assert_in_range(g->heard.pings, 48, 51);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* And what is only to show that is not for anybody to answer. */
static void who_is_shown_that_we_live_need_not_answer(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER, .heartbeat_timeout_ms = 500};
  scene_t* g = begin(state, o, "ROUTER", 1);
  for (int i = 0; i < 3; i++) {
    stranger_ping(g, 0);
    scene_wait(g, 400);
  }
  scene_wait(g, 5000);
  assert_int_equal(mcq_pause(g->s), 0);
  scene_wait(g, 10000);
  assert_true(g->heard.pings > 0);
  assert_int_equal(g->told.downs, 0);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 10000);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* A question behind a subscription asks whether that is in force. */
static void a_subscription_is_not_answered_for(void** state) {
  mcq_socket_options_t o = {.type = MCQ_PUB};
  scene_t* g = begin(state, o, "SUB", 1);
  rig_bytes_t b = {0};
  assert_int_equal(mcq_pause(g->s), 0);
  stranger_ping(g, 0);
  scene_wait(g, 100);
  assert_int_equal(g->heard.pongs, 1);
  rig_command(&b, "SUBSCRIBE", "a", 1);
  stranger_say_bytes(g, &b);
  stranger_ping(g, 0);
  scene_wait(g, 100);
  assert_int_equal(mcq_send_text(g->s, "a"), 0);
  scene_wait(g, 100);
  assert_int_equal(g->heard.pongs, 1);
  assert_int_equal(g->heard.messages, 0);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 100);
  assert_int_equal(g->heard.pongs, 2);
  assert_int_equal(mcq_send_text(g->s, "a"), 0);
  scene_wait(g, 100);
  assert_int_equal(g->heard.messages, 1);
  scene_close(g);
}

/* Found dead with messages that the user has not taken: first these. */
static void its_last_words_come_first(void** state) {
  scene_t* g = begin(state, beating, "ROUTER", 1);
  assert_int_equal(mcq_pause(g->s), 0);
  stranger_frame(g, 0, "a");
  stranger_frame(g, 0, "b");
  stranger_frame(g, 1, "half");
  scene_wait(g, 100 * IVL);
  assert_int_equal(g->told.downs, 0);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 1);
  assert_string_equal(g->told.said, "ab");
  assert_int_equal(g->told.downs, 1);
  assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
  scene_close(g);
}

static void an_end_is_noticed_in_a_pause(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  for (int words = 0; words < 2; words++) {
    scene_t* g = begin(state, o, "ROUTER", 1);
    assert_int_equal(mcq_pause(g->s), 0);
    if (words) stranger_frame(g, 0, "a");
    scene_wait(g, 100);
    stranger_leave(g);
    scene_wait(g, 100);
    assert_int_equal(g->told.downs, words ? 0 : 1);
    assert_int_equal(mcq_resume(g->s), 0);
    scene_wait(g, 1);
    assert_int_equal(g->told.downs, 1);
    assert_int_equal(g->told.reason, MCQ_EOF);
    assert_int_equal(g->told.messages, (unsigned) words);
    scene_close(g);
  }
}

/* A rule broken behind messages that wait is a matter for later. */
static void a_broken_rule_waits_its_turn(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  for (int words = 0; words < 2; words++) {
    scene_t* g = begin(state, o, "ROUTER", 1);
    assert_int_equal(mcq_pause(g->s), 0);
    if (words) stranger_frame(g, 0, "a");
    stranger_say(g, "\x08", 1);
    scene_wait(g, 100);
    assert_int_equal(g->told.downs, words ? 0 : 1);
    assert_int_equal(mcq_resume(g->s), 0);
    scene_wait(g, 1);
    assert_int_equal(g->told.reason, MCQ_EFRAME);
    assert_int_equal(g->told.messages, (unsigned) words);
    scene_close(g);
  }
}

/* One at a time, from what was read ahead too. */
static void pause_again(scene_t* g, mcq_socket_t* s) {
  (void) g;
  assert_int_equal(mcq_pause(s), 0);
}

static void pausing_stays_exact(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  scene_t* g = begin(state, o, "ROUTER", 1);
  assert_int_equal(mcq_pause(g->s), 0);
  g->on_message = pause_again;
  for (int i = 0; i < 9; i++) stranger_frame(g, 0, "x");
  for (unsigned i = 1; i <= 9; i++) {
    scene_wait(g, i % 3 * 50);
    assert_int_equal(mcq_resume(g->s), 0);
    scene_wait(g, 1);
    assert_int_equal(g->told.messages, i);
  }
  scene_close(g);
}

/* Resumed and paused again all the time, a dead peer is found all the same,
 * and a living one lives. */
static void pauses_in_a_row_hide_nobody(void** state) {
  for (int living = 0; living < 2; living++) {
    scene_t* g = begin(state, beating, "ROUTER", 1);
    g->answers = living;
    for (int i = 0; i < 2000 && g->told.downs == 0; i++) {
      assert_int_equal(mcq_pause(g->s), 0);
      scene_wait(g, 4);
      assert_int_equal(mcq_resume(g->s), 0);
      scene_wait(g, 4);
    }
    assert_int_equal(g->told.downs, living ? 0 : 1);
    if (!living)
      assert_in_range(g->told.down_at - g->told.up_at, TIMEOUT,
                      2 * (IVL + TIMEOUT) + 20);
    scene_close(g);
  }
}

/* ---- between frames ------------------------------------------------------ */

/* The answer does not wait for the end of a message of many frames, and is in
 * none of them. */
static void answers_go_between_frames(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER, .sndhwm = 1};
  scene_t* g = begin(state, o, "ROUTER", 1);
  static uint8_t body[30000];
  mcq_frame_t frames[4];
  for (int i = 0; i < 4; i++) frames[i] = (mcq_frame_t){body, sizeof body};
  sim_in(g->end)->room = 4096;
  g->rate = 4096;
  /* Full with one, or with one more where one counts as handed over. */
  unsigned sent = 0;
  while (mcq_send(g->s, frames, 4) == 0) sent++;
  assert_in_range(sent, 1, 2);
  for (int i = 0; i < 10; i++) {
    scene_wait(g, 5);
    stranger_read(g, g->rate);
  }
  assert_int_equal(g->heard.frames, 1);
  stranger_ping(g, 0);
  scene_wait(g, 5);
  stranger_ping(g, 0);
  g->rate = 0;
  scene_wait(g, 100);
  assert_string_equal(g->heard.order, sent == 1 ? "ffoofm" : "ffoofmfffm");
  assert_int_equal(g->heard.bytes, sent * 4 * sizeof body);
  scene_close(g);
}

/* ---- life of the socket -------------------------------------------------- */

/* A deadline of before does not cut short what is granted to a close. */
static void lingering_has_its_own_time(void** state) {
  mcq_socket_options_t o = beating;
  o.linger_ms = 3000;
  scene_t* g = begin(state, o, "ROUTER", 1);
  static uint8_t body[20000];
  sim_in(g->end)->room = g->rate = 1000;
  assert_int_equal(mcq_send_bytes(g->s, body, sizeof body), 0);
  scene_wait(g, 100);
  mcq_close(g->s, NULL);
  for (int i = 0; i < 25; i++) {
    scene_wait(g, 2000);
    stranger_read(g, g->rate);
  }
  assert_int_equal(g->heard.messages, 1);
  scene_close(g);
}

static void closing_in_every_state(void** state) {
  for (int when = 0; when < 60; when++) {
    scene_t* g = begin(state, beating, "ROUTER", 1);
    if (when % 2) assert_int_equal(mcq_pause(g->s), 0);
    if (when % 3 == 0) stranger_frame(g, 0, "a");
    if (when % 5 == 0) stranger_ping(g, 1);
    scene_wait(g, (uint64_t) when * 29);
    scene_close(g);
  }
}

#define EVERYWHERE(test)                                                   \
  {#test ", polling", test, NULL, NULL, (void*) &places[PLACE_POLLING]}, { \
#test ", as a ring", test, NULL, NULL, (void*) &places[PLACE_RING]     \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      EVERYWHERE(a_silent_peer_is_asked_and_stays),
      EVERYWHERE(a_dead_peer_is_found_in_time),
      EVERYWHERE(a_dead_peer_may_be_found_sooner),
      EVERYWHERE(without_a_time_out_of_its_own_it_is_the_interval),
      EVERYWHERE(who_never_times_out_is_only_asked),
      EVERYWHERE(without_the_option_nobody_is_asked),
      EVERYWHERE(an_old_peer_is_not_asked_and_not_judged),
      EVERYWHERE(traffic_both_ways_needs_no_questions),
      EVERYWHERE(any_byte_is_life),
      EVERYWHERE(a_slow_reader_is_no_dead_one),
      EVERYWHERE(a_reader_that_stops_is_found),
      EVERYWHERE(a_loop_that_stood_still_judges_nobody),
      EVERYWHERE(answers_are_timed),
      EVERYWHERE(questions_do_not_disturb_a_request),
      EVERYWHERE(we_announce_ours),
      EVERYWHERE(a_peer_has_its_time_to_live),
      EVERYWHERE(the_longest_one_does_not_wrap),
      EVERYWHERE(it_may_be_taken_back),
      EVERYWHERE(the_paused_are_asked_too),
      EVERYWHERE(a_paused_socket_answers),
      EVERYWHERE(a_busy_rep_answers),
      EVERYWHERE(a_pause_holds_a_flood_off),
      EVERYWHERE(the_unheard_are_not_judged),
      EVERYWHERE(who_asks_is_shown_that_we_live),
      EVERYWHERE(who_is_shown_that_we_live_need_not_answer),
      EVERYWHERE(a_subscription_is_not_answered_for),
      EVERYWHERE(its_last_words_come_first),
      EVERYWHERE(an_end_is_noticed_in_a_pause),
      EVERYWHERE(a_broken_rule_waits_its_turn),
      EVERYWHERE(pausing_stays_exact),
      EVERYWHERE(pauses_in_a_row_hide_nobody),
      EVERYWHERE(answers_go_between_frames),
      EVERYWHERE(lingering_has_its_own_time),
      EVERYWHERE(closing_in_every_state),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
