/* SPDX-License-Identifier: MIT */
/* What has to be complete in time on a simulated network: handshakes, first
 * messages, further ones, answers.  All of it absolute: who lets bytes trickle
 * in gains nothing. */
#include "support/stranger.h"

static scene_t* begin(void** state, mcq_socket_options_t o) {
  static scene_t g;
  scene_open(&g, (const place_t*) *state);
  scene_listen(&g, o);
  return &g;
}

/* Says `b` a byte at a time, each after `every` ms, as long as somebody is
 * there.  Returns when the first one was said. */
static uint64_t trickle(scene_t* g, rig_bytes_t* b, uint64_t every) {
  uint64_t since = g->ground.net.now;
  for (size_t i = 0; i < b->len; i++) {
    if (sim_other(g->end)->left) break;
    stranger_say(g, b->data + i, 1);
    scene_wait(g, every);
  }
  rig_free(b);
  return since;
}

/* ---- handshakes ---------------------------------------------------------- */

static void a_handshake_is_complete_in_time(void** state) {
  for (int how = 0; how < 3; how++) {
    mcq_socket_options_t o = {.type = MCQ_DEALER, .handshake_ms = 2000};
    scene_t* g = begin(state, o);
    rig_bytes_t b = {0};
    if (how > 0) rig_greeting(&b, 3, 1, "NULL");
    if (how > 1) rig_ready(&b, "ROUTER", NULL, 0);
    stranger_dial(g);
    uint64_t since = trickle(g, &b, 100);
    scene_wait(g, 5000);
    assert_int_equal(g->told.ups, 0);
    assert_int_equal(g->told.failed, 1);
    assert_int_equal(g->told.failure, MCQ_EHANDSHAKE);
    assert_int_equal(g->told.failed_at, since + 2000);
    scene_close(g);
  }
}

static void in_time_it_is_not_limited_any_more(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER, .handshake_ms = 2000};
  scene_t* g = begin(state, o);
  stranger_join(g, "ROUTER", 1);
  scene_wait(g, 1000000);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* ---- first messages ------------------------------------------------------ */

static const mcq_socket_options_t impatient = {.type = MCQ_DEALER,
                                               .first_message_ms = 3000};

static void expect_mute(const scene_t* g, uint64_t after) {
  assert_int_equal(g->told.downs, 1);
  assert_int_equal(g->told.reason, MCQ_EIDLE);
  assert_int_equal(g->told.down_at, g->told.up_at + after);
}

static void who_says_nothing_is_shown_out(void** state) {
  scene_t* g = begin(state, impatient);
  stranger_join(g, "ROUTER", 1);
  scene_wait(g, 5000);
  expect_mute(g, 3000);
  assert_string_equal(g->told.text, "it sent no message at all");
  scene_close(g);
}

/* Parts of one, commands and heartbeats are no message. */
static void nothing_less_than_a_message_will_do(void** state) {
  scene_t* g = begin(state, impatient);
  rig_bytes_t b = {0};
  stranger_join(g, "ROUTER", 1);
  rig_command(&b, "PING", "\0\0", 2);
  rig_command(&b, "HELLO", "", 0);
  rig_frame(&b, 1, "one", 3);
  rig_frame(&b, 1, "two", 3);
  rig_frame(&b, 0, "three", 5);
  trickle(g, &b, 100);
  scene_wait(g, 5000);
  expect_mute(g, 3000);
  scene_close(g);
}

static void one_message_is_enough(void** state) {
  scene_t* g = begin(state, impatient);
  stranger_join(g, "ROUTER", 1);
  scene_wait(g, 2000);
  stranger_frame(g, 0, "hello");
  scene_wait(g, 1000000);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

/* The beginning of the next one in the same breath does not undo it. */
static void a_message_with_half_a_next_one_is_enough(void** state) {
  for (int idle = 0; idle < 2; idle++) {
    mcq_socket_options_t o = {.type = MCQ_DEALER};
    if (idle)
      o.idle_ms = 3000;
    else
      o.first_message_ms = 3000;
    scene_t* g = begin(state, o);
    rig_bytes_t b = {0};
    stranger_join(g, "ROUTER", 1);
    scene_wait(g, 2000);
    rig_frame(&b, 0, "hello", 5);
    for (int i = 0; i < 3; i++) rig_frame(&b, 1, "part", 4);
    stranger_say_bytes(g, &b);
    scene_wait(g, 2000);
    assert_int_equal(g->told.messages, 1);
    assert_int_equal(g->told.downs, 0);
    scene_close(g);
  }
}

/* Who subscribes has said what it came to say, in either form. */
static void a_subscription_will_do(void** state) {
  for (unsigned minor = 0; minor < 2; minor++) {
    mcq_socket_options_t o = impatient;
    o.type = MCQ_PUB;
    scene_t* g = begin(state, o);
    rig_bytes_t b = {0};
    stranger_join(g, "SUB", minor);
    scene_wait(g, 2000);
    if (minor == 0)
      rig_frame(&b, 0, "\1topic", 6);
    else
      rig_command(&b, "SUBSCRIBE", "topic", 5);
    stranger_say_bytes(g, &b);
    scene_wait(g, 1000000);
    assert_int_equal(g->told.downs, 0);
    scene_close(g);
  }
}

/* The user's pause is not the peer's fault. */
static void pauses_do_not_count(void** state) {
  scene_t* g = begin(state, impatient);
  stranger_join(g, "ROUTER", 1);
  assert_int_equal(mcq_pause(g->s), 0);
  stranger_frame(g, 0, "hello");
  scene_wait(g, 100000);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 100000);
  assert_int_equal(g->told.downs, 0);
  assert_int_equal(g->told.messages, 1);
  scene_close(g);
}

/* ---- further ones -------------------------------------------------------- */

/* What was in flight may take a moment more. */
static void expect_idle(const scene_t* g, uint64_t at) {
  assert_int_equal(g->told.downs, 1);
  assert_int_equal(g->told.reason, MCQ_EIDLE);
  assert_string_equal(g->told.text, "no message for too long");
  assert_in_range(g->told.down_at, at, at + 3);
}

static void the_idle_are_shown_out(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER, .idle_ms = 3000};
  scene_t* g = begin(state, o);
  stranger_join(g, "ROUTER", 1);
  for (int i = 0; i < 10; i++) {
    scene_wait(g, 2900);
    if (i % 2)
      stranger_frame(g, 0, "in");
    else
      assert_int_equal(mcq_send_text(g->s, "out"), 0);
  }
  scene_settle(g);
  assert_int_equal(g->told.downs, 0);
  uint64_t last = g->ground.net.now;
  scene_wait(g, 5000);
  expect_idle(g, last + 3000);
  scene_close(g);
}

/* Heartbeats keep a connection alive, and idle. */
static void heartbeats_are_no_messages(void** state) {
  mcq_socket_options_t o = {
      .type = MCQ_DEALER, .idle_ms = 3000, .heartbeat_ms = 100};
  scene_t* g = begin(state, o);
  stranger_join(g, "ROUTER", 1);
  g->answers = true;
  for (int i = 0; i < 9; i++) {
    stranger_frame(g, 1, "part");
    scene_wait(g, 300);
  }
  scene_wait(g, 1000);
  expect_idle(g, g->told.up_at + 3000);
  assert_true(g->heard.pings > 20);
  scene_close(g);
}

/* A message that does not get out is none, either. */
static void what_is_stuck_does_not_count(void** state) {
  mcq_socket_options_t o = {.type = MCQ_DEALER, .idle_ms = 3000};
  scene_t* g = begin(state, o);
  static uint8_t body[100000];
  stranger_join(g, "ROUTER", 1);
  sim_in(g->end)->room = g->rate = 1000;
  assert_int_equal(mcq_send_bytes(g->s, body, sizeof body), 0);
  for (int i = 0; i < 50; i++) {
    scene_wait(g, 100);
    stranger_read(g, g->rate);
  }
  g->rate = 0;
  scene_wait(g, 100);
  expect_idle(g, g->told.up_at + 3000);
  scene_close(g);
}

/* Plain bytes are as good as messages where there are no others. */
static void streams_may_be_idle_too(void** state) {
  mcq_socket_options_t o = {.type = MCQ_STREAM, .idle_ms = 3000};
  scene_t* g = begin(state, o);
  stranger_dial(g);
  for (int i = 0; i < 5; i++) {
    scene_wait(g, 2900);
    stranger_say(g, "x", 1);
  }
  scene_settle(g);
  assert_int_equal(g->told.downs, 0);
  uint64_t last = g->ground.net.now;
  scene_wait(g, 5000);
  expect_idle(g, last + 3000);
  scene_close(g);
}

/* ---- answers ------------------------------------------------------------- */

static void an_answer_is_complete_in_time(void** state) {
  mcq_socket_options_t o = {.type = MCQ_REQ, .request_ms = 2000};
  scene_t* g = begin(state, o);
  rig_bytes_t b = {0};
  stranger_join(g, "REP", 1);
  assert_int_equal(mcq_send_text(g->s, "?"), 0);
  rig_frame(&b, 1, "", 0);
  rig_frame(&b, 0, "an answer of more than twenty bytes", 35);
  uint64_t since = trickle(g, &b, 100);
  assert_int_equal(g->told.failure, MCQ_ETIMEDOUT);
  assert_int_equal(g->told.request_failed_at, since + 2000);
  assert_int_equal(g->told.messages, 0);
  assert_int_equal(g->told.downs, 0);
  scene_close(g);
}

#define EVERYWHERE(test)                                                   \
  {#test ", polling", test, NULL, NULL, (void*) &places[PLACE_POLLING]}, { \
#test ", as a ring", test, NULL, NULL, (void*) &places[PLACE_RING]     \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      EVERYWHERE(a_handshake_is_complete_in_time),
      EVERYWHERE(in_time_it_is_not_limited_any_more),
      EVERYWHERE(who_says_nothing_is_shown_out),
      EVERYWHERE(nothing_less_than_a_message_will_do),
      EVERYWHERE(one_message_is_enough),
      EVERYWHERE(a_message_with_half_a_next_one_is_enough),
      EVERYWHERE(a_subscription_will_do),
      EVERYWHERE(pauses_do_not_count),
      EVERYWHERE(the_idle_are_shown_out),
      EVERYWHERE(heartbeats_are_no_messages),
      EVERYWHERE(what_is_stuck_does_not_count),
      EVERYWHERE(streams_may_be_idle_too),
      EVERYWHERE(an_answer_is_complete_in_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
