/* SPDX-License-Identifier: MIT */
/* Connecting again on a simulated network: how often, how long, and when no
 * more; those who come back from a break that only they have noticed; and what
 * becomes of messages on the way. */
#include "support/stranger.h"

static scene_t* begin(void** state) {
  static scene_t g;
  scene_open(&g, (const place_t*) *state);
  return &g;
}

static mcq_socket_t* dial(scene_t* g, told_t* t, mcq_socket_options_t o) {
  mcq_socket_t* s = scene_socket(g, t, o);
  assert_int_equal(mcq_connect(s, "sim://here", NULL, NULL), 0);
  return s;
}

static uint64_t sum_of(const uint64_t* waits, unsigned count) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < count; i++) sum += waits[i];
  return sum;
}

/* ---- how often ----------------------------------------------------------- */

static void waits_grow_and_are_spread(void** state) {
  scene_t* g = begin(state);
  told_t t;
  dial(g, &t,
       (mcq_socket_options_t){.type = MCQ_DEALER, .reconnect_max_ms = 5000});
  scene_wait(g, 60000);
  assert_in_range(t.connecting, 16, 30);
  uint64_t full = 100;
  for (unsigned i = 0; i < t.retries; i++) {
    assert_in_range(t.waits[i], full - full / 2, full);
    full = full * 2 < 5000 ? full * 2 : 5000;
  }
  assert_int_equal(t.stopped, 0);
  scene_close(g);
}

/* A place that is taken may be free the next time, which comes ever later. */
static void who_is_told_not_now_asks_again(void** state) {
  scene_t* g = begin(state);
  told_t t;
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_PAIR});
  dial(g, &t, (mcq_socket_options_t){.type = MCQ_PAIR});
  scene_wait(g, 100);
  assert_int_equal(t.ups, 1);
  told_t other;
  dial(g, &other, (mcq_socket_options_t){.type = MCQ_PAIR});
  scene_wait(g, 60000);
  assert_in_range(other.connecting, 6, 14);
  assert_int_equal(other.ups, 0);
  assert_int_equal(other.failed, other.connecting);
  assert_int_equal(other.failure, MCQ_ENOTNOW);
  assert_int_equal(other.stopped, 0);
  for (unsigned i = 0; i < 8 && i < other.retries; i++)
    assert_in_range(other.waits[i], UINT64_C(50) << i, UINT64_C(100) << i);
  assert_int_equal(t.downs, 0); /* and the one that is there has answered */
  scene_close(g);
}

/* ---- when no more -------------------------------------------------------- */

static void after_so_many_attempts(void** state) {
  scene_t* g = begin(state);
  told_t t;
  mcq_socket_t* s =
      dial(g, &t,
           (mcq_socket_options_t){.type = MCQ_DEALER, .reconnect_attempts = 5});
  assert_int_equal(mcq_send_text(s, "in vain"), 0);
  scene_wait(g, 1000000);
  assert_int_equal(t.connecting, 5);
  assert_int_equal(t.stopped, 1);
  assert_int_equal(t.stop_code, UV_ECONNREFUSED);
  assert_int_equal(mcq_send_text(s, "too late"), MCQ_EAGAIN);
  mcq_stats_t stats;
  mcq_stats(s, &stats);
  assert_int_equal(stats.messages_queued, 1);
  scene_close(g);
}

static void after_so_long(void** state) {
  scene_t* g = begin(state);
  told_t t;
  uint64_t since = g->ground.net.now;
  dial(g, &t,
       (mcq_socket_options_t){.type = MCQ_DEALER, .reconnect_total_ms = 7000});
  scene_wait(g, 1000000);
  assert_int_equal(t.stopped, 1);
  assert_int_equal(t.stopped_at, since + 7000);
  assert_int_equal(sum_of(t.waits, t.retries), 7000);
  scene_close(g);
}

/* Both count anew from each handshake. */
static void a_handshake_starts_the_count_again(void** state) {
  scene_t* g = begin(state);
  told_t t;
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  dial(g, &t,
       (mcq_socket_options_t){.type = MCQ_DEALER,
                              .reconnect_attempts = 3,
                              .reconnect_total_ms = 60000});
  for (unsigned i = 1; i <= 10; i++) {
    scene_wait(g, 100000);
    assert_int_equal(t.ups, i);
    assert_int_equal(mcq_peer_close(g->s, g->told.peer), 0);
  }
  assert_int_equal(mcq_unbind(g->s, g->at), 0);
  scene_wait(g, 100000);
  assert_int_equal(t.connecting, 10 + 3);
  assert_int_equal(t.stopped, 1);
  scene_close(g);
}

static void at_the_first_refusal(void** state) {
  scene_t* g = begin(state);
  told_t t;
  dial(g, &t,
       (mcq_socket_options_t){.type = MCQ_DEALER,
                              .reconnect_stop = MCQ_STOP_REFUSED});
  scene_wait(g, 100000);
  assert_int_equal(t.connecting, 1);
  assert_int_equal(t.stopped, 1);
  assert_int_equal(t.stop_code, UV_ECONNREFUSED);
  scene_close(g);
}

/* Nobody answers there. */
static void at_a_handshake_that_fails(void** state) {
  static const int flags[] = {0, MCQ_STOP_HANDSHAKE};
  for (int i = 0; i < 2; i++) {
    scene_t* g = begin(state);
    told_t t;
    scene_listen(g, (mcq_socket_options_t){.type = MCQ_ROUTER});
    dial(g, &t,
         (mcq_socket_options_t){.type = MCQ_DEALER,
                                .handshake_ms = 50,
                                .reconnect_stop = flags[i]});
    g->ground.net.faults.delay = 5000; /* it is not over at once */
    while (g->ground.net.conns == NULL) scene_wait(g, 1);
    scene_silence(g->ground.net.conns);
    g->ground.net.faults.delay = 20;
    scene_wait(g, 10000);
    assert_int_equal(t.stopped, i);
    assert_int_equal(t.ups, 1 - i);
    if (i) assert_int_equal(t.stop_code, MCQ_EHANDSHAKE);
    scene_close(g);
  }
}

/* But not when it was this side that closed. */
static void at_the_end_of_a_connection(void** state) {
  scene_t* g = begin(state);
  told_t t;
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  mcq_socket_t* s =
      dial(g, &t,
           (mcq_socket_options_t){.type = MCQ_DEALER,
                                  .reconnect_stop = MCQ_STOP_LOST});
  scene_wait(g, 1000);
  assert_int_equal(mcq_peer_close(s, t.peer), 0);
  scene_wait(g, 1000);
  assert_int_equal(t.ups, 2);
  assert_int_equal(t.stopped, 0);
  assert_int_equal(mcq_peer_close(g->s, g->told.peer), 0);
  scene_wait(g, 100000);
  assert_int_equal(t.ups, 2);
  assert_int_equal(t.stopped, 1);
  assert_int_equal(t.stop_code, MCQ_EOF);
  scene_close(g);
}

/* Closing with something to deliver, for as long as there are attempts. */
static void giving_up_ends_the_closing_too(void** state) {
  scene_t* g = begin(state);
  told_t t;
  mcq_socket_t* s =
      dial(g, &t,
           (mcq_socket_options_t){
               .type = MCQ_DEALER, .linger_ms = -1, .reconnect_attempts = 4});
  assert_int_equal(mcq_send_text(s, "in vain"), 0);
  mcq_close(s, NULL);
  scene_close(g); /* or it would wait for ever */
}

static void who_is_told_no_does_not_ask_again(void** state) {
  scene_t* g = begin(state);
  told_t t;
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_PULL});
  dial(g, &t, (mcq_socket_options_t){.type = MCQ_DEALER});
  scene_wait(g, 1000000);
  assert_int_equal(t.connecting, 1);
  assert_int_equal(t.stopped, 1);
  assert_true(t.stop_code == MCQ_ETYPE || t.stop_code == MCQ_EREFUSED);
  scene_close(g);
}

/* ---- ghosts -------------------------------------------------------------- */

static const mcq_socket_options_t jealous = {.type = MCQ_ROUTER,
                                             .flags = MCQ_ROUTER_REFUSE_TWIN};
static const mcq_socket_options_t named = {
    .type = MCQ_DEALER, .routing_id = "T", .routing_id_len = 1};

/* The oldest.  Side 0 hears of the break, side 1 never. */
static void break_line(scene_t* g) {
  static const uint64_t after[2] = {0, UINT64_C(1) << 40};
  static const int code[2] = {UV_ECONNRESET, UV_ETIMEDOUT};
  sim_conn_t* conn = g->ground.net.conns;
  while (conn->next != NULL) conn = conn->next;
  sim_conn_cut(conn, after, code);
}

/* Who returns from a break that only it has noticed finds its own ghost in its
 * place, and gets it back. */
static void a_ghost_makes_room(void** state) {
  static const uint64_t beats[] = {0, 500};
  for (size_t i = 0; i < 2; i++) {
    scene_t* g = begin(state);
    told_t t;
    mcq_socket_options_t o = jealous;
    o.heartbeat_ms = (int64_t) beats[i];
    scene_listen(g, o);
    mcq_socket_t* s = dial(g, &t, named);
    scene_wait(g, 100);
    assert_int_equal(g->told.ups, 1);
    break_line(g);
    uint64_t since = g->ground.net.now;
    scene_wait(g, 1);
    assert_int_equal(mcq_send_text(s, "kept"), 0);
    scene_wait(g, 60000);
    assert_int_equal(t.stopped, 0);
    assert_int_equal(g->told.downs, 1);
    assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
    assert_in_range(g->told.down_at, since + 500,
                    since + (beats[i] != 0 ? 1100 : 10200));
    assert_int_equal(g->told.ups, 2);
    assert_string_equal(g->told.said, "k");
    assert_int_equal(t.ups, t.downs + 1); /* it is there now */
    scene_close(g);
  }
}

/* Somebody who lives keeps its place, however often another one comes. */
static void the_living_keep_their_place(void** state) {
  scene_t* g = begin(state);
  told_t first, second;
  scene_listen(g, jealous);
  mcq_socket_t* s = dial(g, &first, named);
  scene_wait(g, 100);
  dial(g, &second, named);
  scene_wait(g, 600000);
  assert_int_equal(first.downs, 0);
  assert_int_equal(g->told.downs, 0);
  assert_int_equal(second.stopped, 0);
  assert_int_equal(second.failure, MCQ_ENOTNOW);
  assert_non_null(strstr(second.text, "routing id"));
  assert_in_range(second.connecting, 20, 60); /* ten minutes, at most every 15 s
                                                 in the end */
  mcq_close(s, NULL);
  scene_wait(g, 31000);
  assert_int_equal(g->told.ups, 2);
  assert_int_equal(second.ups, second.downs + 1);
  scene_close(g);
}

/* One that was asked and has answered may be a ghost the next time. */
static void who_was_alive_may_be_a_ghost_later(void** state) {
  static const mcq_socket_options_t pair = {.type = MCQ_PAIR};
  for (size_t i = 0; i < 2; i++) {
    scene_t* g = begin(state);
    told_t first, second;
    scene_listen(g, i == 0 ? jealous : pair);
    dial(g, &first, i == 0 ? named : pair);
    scene_wait(g, 100);
    dial(g, &second, i == 0 ? named : pair);
    scene_wait(g, 60000);
    assert_true(second.failed > 3);
    assert_int_equal(g->told.downs, 0);
    break_line(g);
    uint64_t since = g->ground.net.now;
    scene_wait(g, 60000);
    assert_int_equal(g->told.downs, 1);
    assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
    assert_in_range(g->told.down_at, since + 9900, since + 10500);
    assert_int_equal(g->told.ups, 2);
    scene_close(g);
  }
}

/* A PAIR that reads little at a time, or nothing, and what it is sent. */
static void meet_slow_pair(scene_t* g, const uint8_t* body, size_t len) {
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_PAIR});
  stranger_join(g, "PAIR", 1);
  sim_in(g->end)->room = g->rate = 3000;
  assert_int_equal(mcq_send_bytes(g->s, body, len), 0);
}

/* The question is behind a message that it does not take, and it speaks once
 * more before it dies. */
static void a_ghost_may_leave_a_question_unasked(void** state) {
  static uint8_t body[60000];
  scene_t* g = begin(state);
  told_t second;
  meet_slow_pair(g, body, sizeof body);
  dial(g, &second, (mcq_socket_options_t){.type = MCQ_PAIR});
  scene_wait(g, 1000);
  assert_true(second.failed > 0);
  stranger_frame(g, 0, "last words");
  scene_wait(g, 10);
  uint64_t since = g->ground.net.now;
  assert_int_equal(g->told.messages, 1);
  scene_wait(g, 60000);
  assert_int_equal(g->heard.pings, 0);
  assert_int_equal(g->told.downs, 1);
  assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
  assert_true(g->told.down_at < since + 30000);
  assert_int_equal(second.ups, second.downs + 1); /* it has the place */
  scene_close(g);
}

/* A slow reader is no ghost, however often it is asked meanwhile. */
static void a_slow_reader_keeps_its_place(void** state) {
  static uint8_t body[1 << 20];
  scene_t* g = begin(state);
  told_t second;
  meet_slow_pair(g, body, sizeof body);
  dial(g, &second,
       (mcq_socket_options_t){
           .type = MCQ_PAIR, .reconnect_ms = 20, .reconnect_max_ms = 50});
  for (int i = 0; i < 300; i++) {
    scene_wait(g, 400);
    stranger_read(g, g->rate);
    assert_int_equal(g->told.downs, 0);
  }
  assert_true(second.failed > 1000);
  scene_close(g);
}

/* Who cannot be heard because of a pause of ours is not judged. */
static void a_suspect_must_be_heard(void** state) {
  scene_t* g = begin(state);
  told_t first, second;
  static uint8_t body[60000];
  scene_listen(g, jealous);
  mcq_socket_t* s = dial(g, &first, named);
  scene_wait(g, 100);
  assert_int_equal(mcq_pause(g->s), 0);
  for (int i = 0; i < 5; i++)
    assert_int_equal(mcq_send_bytes(s, body, sizeof body), 0);
  scene_wait(g, 100);
  dial(g, &second, named);
  scene_wait(g, 60000);
  assert_true(second.failed > 5);
  assert_int_equal(g->told.downs, 0);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 60000);
  assert_int_equal(g->told.downs, 0);
  assert_int_equal(g->told.messages, 5);
  scene_close(g);
}

static void a_pair_is_no_different(void** state) {
  scene_t* g = begin(state);
  told_t t;
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_PAIR});
  dial(g, &t, (mcq_socket_options_t){.type = MCQ_PAIR});
  scene_wait(g, 100);
  break_line(g);
  scene_wait(g, 60000);
  assert_int_equal(t.stopped, 0);
  assert_int_equal(g->told.ups, 2);
  assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
  assert_int_equal(t.ups, t.downs + 1);
  scene_close(g);
}

/* ---- messages ------------------------------------------------------------ */

/* A message of which a part had left goes again as a whole; one that had left
 * as a whole does not, and is counted as unsure where the system had not said
 * yet that it has it. */
static void begun_is_sent_again_and_done_is_not(void** state) {
  scene_t* g = begin(state);
  told_t t;
  static uint8_t body[50000];
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_PULL});
  mcq_socket_t* s = dial(g, &t, (mcq_socket_options_t){.type = MCQ_PUSH});
  scene_wait(g, 100);
  sim_conn_t* c = g->ground.net.conns;
  assert_int_equal(mcq_send_text(s, "1"), 0);
  scene_wait(g, 100);
  assert_string_equal(g->told.said, "1");
  c->pipe[0].room = 5000; /* and then no more */
  assert_int_equal(mcq_pause(g->s), 0);
  scene_wait(g, 100);
  body[0] = '2';
  assert_int_equal(mcq_send_bytes(s, body, sizeof body), 0);
  body[0] = '3';
  assert_int_equal(mcq_send_bytes(s, body, 10), 0);
  scene_wait(g, 100);
  break_line(g);
  scene_wait(g, 1000);
  assert_int_equal(mcq_resume(g->s), 0);
  scene_wait(g, 1000);
  assert_string_equal(g->told.said, "123");
  mcq_stats_t stats;
  mcq_stats(s, &stats);
  assert_int_equal(stats.messages_unsure, t.unsure);
  assert_int_equal(stats.messages_unsure, 0);
  assert_int_equal(stats.messages_queued, 0);
  scene_close(g);
}

/* Everything that one connection was is the next one's: what it wants, and
 * whether it is asked for life. */
static void nothing_is_forgotten(void** state) {
  scene_t* g = begin(state);
  told_t t;
  scene_listen(g, (mcq_socket_options_t){.type = MCQ_PUB, .heartbeat_ms = 700});
  mcq_socket_options_t o = {.type = MCQ_SUB, .heartbeat_ms = 1000};
  mcq_socket_t* s = scene_socket(g, &t, o);
  assert_int_equal(mcq_subscribe(s, "a", 1), 0);
  assert_int_equal(mcq_subscribe(s, "b", 1), 0);
  assert_int_equal(mcq_subscribe(s, "a", 1), 0);
  assert_int_equal(mcq_connect(s, "sim://here", NULL, NULL), 0);
  for (unsigned i = 1; i <= 5; i++) {
    scene_wait(g, 500);
    assert_int_equal(t.ups, i);
    assert_int_equal(mcq_send_text(g->s, "a"), 0);
    assert_int_equal(mcq_send_text(g->s, "b"), 0);
    assert_int_equal(mcq_send_text(g->s, "c"), 0);
    scene_wait(g, 100);
    assert_int_equal(t.messages, 2 * i);
    scene_silence(g->ground.net.conns);
    scene_wait(g, 2100);
    assert_int_equal(t.downs, i);
    assert_int_equal(t.reason, MCQ_EHEARTBEAT);
    assert_int_equal(g->told.downs, i);
    assert_int_equal(g->told.reason, MCQ_EHEARTBEAT);
  }
  scene_close(g);
}

static bool closed;

static void on_closed(const mcq_close_info_t* info) {
  (void) info;
  closed = true;
}

/* What stops an endpoint stops one that is closing, however patient. */
static void a_close_does_not_wait_for_who_refuses(void** state) {
  for (int what = 0; what < 2; what++) {
    scene_t* g = begin(state);
    told_t t;
    mcq_socket_t* s =
        dial(g, &t,
             (mcq_socket_options_t){
                 .type = MCQ_DEALER,
                 .linger_ms = -1,
                 .reconnect_stop = what == 0 ? 0 : MCQ_STOP_REFUSED});
    assert_int_equal(mcq_send_text(s, "never"), 0);
    closed = false;
    mcq_close(s, on_closed);
    scene_wait(g, 60000);
    assert_int_equal(closed, what);
    if (what == 0) scene_listen(g, (mcq_socket_options_t){.type = MCQ_DEALER});
    scene_wait(g, 60000);
    assert_true(closed);
    scene_close(g);
  }
}

#define EVERYWHERE(test)                                                   \
  {#test ", polling", test, NULL, NULL, (void*) &places[PLACE_POLLING]}, { \
#test ", as a ring", test, NULL, NULL, (void*) &places[PLACE_RING]     \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      EVERYWHERE(waits_grow_and_are_spread),
      EVERYWHERE(who_is_told_not_now_asks_again),
      EVERYWHERE(after_so_many_attempts),
      EVERYWHERE(after_so_long),
      EVERYWHERE(a_handshake_starts_the_count_again),
      EVERYWHERE(at_the_first_refusal),
      EVERYWHERE(at_a_handshake_that_fails),
      EVERYWHERE(at_the_end_of_a_connection),
      EVERYWHERE(giving_up_ends_the_closing_too),
      EVERYWHERE(who_is_told_no_does_not_ask_again),
      EVERYWHERE(a_ghost_makes_room),
      EVERYWHERE(the_living_keep_their_place),
      EVERYWHERE(who_was_alive_may_be_a_ghost_later),
      EVERYWHERE(a_ghost_may_leave_a_question_unasked),
      EVERYWHERE(a_slow_reader_keeps_its_place),
      EVERYWHERE(a_suspect_must_be_heard),
      EVERYWHERE(a_pair_is_no_different),
      EVERYWHERE(begun_is_sent_again_and_done_is_not),
      EVERYWHERE(nothing_is_forgotten),
      EVERYWHERE(a_close_does_not_wait_for_who_refuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
