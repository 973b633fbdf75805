/* SPDX-License-Identifier: MIT */
/* Heartbeats between processes: ours and real libzmq's, asking and answering,
 * and stopped for good in the middle of it (SIGSTOP), which no end of a
 * connection tells.  Time is real here: intervals are short, and what is waited
 * for has ten seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <zmq.h>

#include "support/zmq_match.h"

#define IVL 50
#define TIMEOUT 200
#define PATIENCE ((uint64_t) 10000)

/* ---- the other process --------------------------------------------------- */

typedef struct their {
  int ivl, timeout, ttl; /* ms; 0: not set */
  bool zmq;              /* else it is ours */
} their_t;

static void* zmq_open(int type, const their_t* t) {
  void* s = zmq_socket(zmq_ctx_new(), type);
  MUST(s != NULL);
  if (t->ivl != 0) zmq_setsockopt(s, ZMQ_HEARTBEAT_IVL, &t->ivl, sizeof(int));
  if (t->timeout != 0)
    zmq_setsockopt(s, ZMQ_HEARTBEAT_TIMEOUT, &t->timeout, sizeof(int));
  if (t->ttl != 0) zmq_setsockopt(s, ZMQ_HEARTBEAT_TTL, &t->ttl, sizeof(int));
  return s;
}

/* Sends back what it gets, for ever. */
static void be_zmq(const their_t* t, const char* uri) {
  void* s = zmq_open(ZMQ_DEALER, t);
  MUST(zmq_connect(s, uri) == 0);
  for (;;) {
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    MUST(zmq_msg_recv(&msg, s, 0) >= 0);
    MUST(zmq_msg_send(&msg, s, 0) >= 0);
  }
}

static void echo(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  MUST(mcq_send_msg_to(s, peer, msg) == 0);
}

static void be_ours(const their_t* t, const char* uri) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .on_message = echo,
                            .reconnect_ms = 10,
                            .heartbeat_ms = t->ivl,
                            .heartbeat_timeout_ms = t->timeout,
                            .heartbeat_ttl_ms = t->ttl};
  MUST(uv_loop_init(&loop) == 0);
  MUST(mcq_ctx_new(&loop, NULL, &ctx) == 0);
  MUST(mcq_socket_new(ctx, &o, &s) == 0);
  MUST(mcq_connect(s, uri, NULL, NULL) == 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  MUST(false);
}

static pid_t hire(const their_t* t, const char* uri) {
  pid_t child = fork_peer();
  if (child != 0) return child;
  if (t->zmq)
    be_zmq(t, uri);
  else
    be_ours(t, uri);
  _exit(3);
}

/* ---- our side ------------------------------------------------------------ */

typedef struct stage {
  uv_loop_t loop;
  uv_timer_t tick;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  char uri[URI_MAX];
  unsigned ups, downs, messages;
  mcq_peer_t peer;
  int reason;
  uint64_t rtt_ns;
} stage_t;

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = (stage_t*) mcq_socket_data(s);
  g->ups++;
  g->peer = info->peer;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = (stage_t*) mcq_socket_data(s);
  g->downs++;
  g->reason = info->reason;
  g->rtt_ns = info->rtt_ns;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  ((stage_t*) mcq_socket_data(s))->messages++;
}

static void on_tick(uv_timer_t* tick) {
  (void) tick;
}

static void open_stage(stage_t* g, int backend, mcq_socket_options_t o) {
  mcq_endpoint_t at;
  mcq_ctx_options_t seat = {.backend = backend};
  memset(g, 0, sizeof *g);
  o.data = g;
  o.on_peer_up = on_up;
  o.on_peer_down = on_down;
  o.on_message = on_message;
  uv_loop_init(&g->loop);
  uv_timer_init(&g->loop, &g->tick);
  uv_timer_start(&g->tick, on_tick, 1, 1);
  assert_int_equal(mcq_ctx_new(&g->loop, &seat, &g->ctx), 0);
  assert_int_equal(mcq_socket_new(g->ctx, &o, &g->socket), 0);
  assert_int_equal(mcq_bind(g->socket, "tcp://127.0.0.1:*", &at), 0);
  snprintf(g->uri, sizeof g->uri, "%s", mcq_endpoint_uri(g->socket, at));
}

static void close_stage(stage_t* g) {
  mcq_ctx_close(g->ctx, NULL);
  uv_close((uv_handle_t*) &g->tick, NULL);
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
}

#define until(g, condition)                        \
  do {                                             \
    uint64_t end_ = uv_now(&(g)->loop) + PATIENCE; \
    while (!(condition)) {                         \
      assert_true(uv_now(&(g)->loop) < end_);      \
      uv_run(&(g)->loop, UV_RUN_ONCE);             \
    }                                              \
  } while (0)

static void run_for(stage_t* g, uint64_t ms) {
  uv_update_time(&g->loop);
  uint64_t end = uv_now(&g->loop) + ms;
  while (uv_now(&g->loop) < end) uv_run(&g->loop, UV_RUN_ONCE);
}

/* ---- stopped ------------------------------------------------------------- */

/* Up, and then stopped: the time until that is found.  Somebody who was too
 * slow before is no matter: it comes again. */
static uint64_t time_to_find(stage_t* g, const their_t* t) {
  pid_t child = hire(t, g->uri);
  until(g, g->ups > g->downs);
  run_for(g, 3 * IVL);
  until(g, g->ups > g->downs);
  unsigned downs = g->downs;
  kill(child, SIGSTOP);
  uv_update_time(&g->loop);
  uint64_t since = uv_now(&g->loop);
  until(g, g->downs > downs);
  assert_int_equal(g->reason, MCQ_EHEARTBEAT);
  uint64_t took = uv_now(&g->loop) - since;
  leave_peer(child);
  return took;
}

/* Without a word passing it is found an interval and a time-out later. */
static void the_stopped_are_found(void** state) {
  (void) state;
  for (int i = 0; i < 2; i++) {
    stage_t g;
    mcq_socket_options_t o = {.type = MCQ_DEALER,
                              .heartbeat_ms = IVL,
                              .heartbeat_timeout_ms = TIMEOUT};
    their_t them = {.zmq = i != 0};
    open_stage(&g, i == 0 ? MCQ_BACKEND_UV : MCQ_BACKEND_AUTO, o);
    uint64_t took = time_to_find(&g, &them);
    print_message("  %s: %d + %d found after %d ms\n",
                  them.zmq ? "libzmq" : "ours", IVL, TIMEOUT, (int) took);
    assert_true(took >= TIMEOUT / 2);
    assert_true(g.rtt_ns > 0);
    close_stage(&g);
  }
}

/* We ask nobody: it is their own wish. */
static void a_time_to_live_runs_out(void** state) {
  (void) state;
  for (int i = 0; i < 2; i++) {
    stage_t g;
    their_t them = {.ivl = IVL, .timeout = 5000, .ttl = 200, .zmq = i != 0};
    open_stage(&g, MCQ_BACKEND_AUTO,
               (mcq_socket_options_t){.type = MCQ_ROUTER});
    uint64_t took = time_to_find(&g, &them);
    print_message("  %s: 200 to live, found after %d ms\n",
                  them.zmq ? "libzmq" : "ours", (int) took);
    close_stage(&g);
  }
}

/* Stopped while it is sent more than the system holds. */
static void a_reader_that_stops_is_found(void** state) {
  (void) state;
  stage_t g;
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .sndhwm_bytes = -1,
                            .heartbeat_ms = IVL,
                            .heartbeat_timeout_ms = TIMEOUT};
  their_t them = {.zmq = true};
  open_stage(&g, MCQ_BACKEND_AUTO, o);
  pid_t child = hire(&them, g.uri);
  until(&g, g.ups == 1);
  char* body = (char*) calloc(1, LARGEST);
  kill(child, SIGSTOP);
  assert_int_equal(mcq_send_bytes(g.socket, body, LARGEST), 0);
  free(body);
  until(&g, g.downs == 1);
  assert_int_equal(g.reason, MCQ_EHEARTBEAT);
  leave_peer(child);
  close_stage(&g);
}

/* ---- by them ------------------------------------------------------------- */

/* Our process stops, theirs finds it. */
static void they_find_us(void** state) {
  (void) state;
  their_t us = {0};
  their_t them = {.ivl = IVL, .timeout = TIMEOUT};
  char uri[URI_MAX];
  size_t size = sizeof uri;
  void* s = zmq_open(ZMQ_DEALER, &them);
  MUST(zmq_bind(s, "tcp://127.0.0.1:*") == 0);
  zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, uri, &size);
  pid_t child = hire(&us, uri);
  int patience = (int) PATIENCE;
  int linger = 0;
  zmq_setsockopt(s, ZMQ_RCVTIMEO, &patience, sizeof patience);
  zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
  char text[8];
  assert_int_equal(zmq_send(s, "there?", 6, 0), 6);
  assert_int_equal(zmq_recv(s, text, sizeof text, 0), 6);
  kill(child, SIGSTOP);
  /* Nobody to send to any more: that is how it shows here. */
  uint64_t end = uv_hrtime() + PATIENCE * 1000000;
  zmq_pollitem_t out = {.socket = s, .events = ZMQ_POLLOUT};
  while (zmq_poll(&out, 1, 0) != 0) {
    assert_true(uv_hrtime() < end);
    zmq_poll(NULL, 0, 5);
  }
  leave_peer(child);
  zmq_close(s);
}

/* ---- idle ---------------------------------------------------------------- */

/* Both ask, nobody says a word, and all stay: idle, paused, paused with
 * messages waiting, busy with somebody else's question. */
static void the_living_stay(void** state) {
  (void) state;
  stage_t g;
  stage_t paused;
  stage_t busy;
  their_t them = {.ivl = IVL, .timeout = 900, .ttl = 900, .zmq = true};
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .heartbeat_ms = IVL,
                            .heartbeat_timeout_ms = 5000,
                            .heartbeat_ttl_ms = 5000};
  open_stage(&g, MCQ_BACKEND_AUTO, o);
  o.heartbeat_ms = 0;
  o.type = MCQ_PULL;
  open_stage(&paused, MCQ_BACKEND_AUTO, o);
  o.type = MCQ_REP;
  open_stage(&busy, MCQ_BACKEND_AUTO, o);
  pid_t child = hire(&them, g.uri);
  void* push = zmq_open(ZMQ_PUSH, &them);
  void* req[2] = {zmq_open(ZMQ_REQ, &them), zmq_open(ZMQ_REQ, &them)};
  MUST(zmq_connect(push, paused.uri) == 0);
  MUST(zmq_connect(req[0], busy.uri) == 0);
  MUST(zmq_connect(req[1], busy.uri) == 0);
  until(&g, g.ups == 1);
  until(&paused, paused.ups == 1);
  until(&busy, busy.ups == 2);
  assert_int_equal(mcq_pause(paused.socket), 0);
  for (int i = 0; i < 10; i++) MUST(zmq_send(push, "later", 5, 0) == 5);
  MUST(zmq_send(req[0], "?", 1, 0) == 1);
  MUST(zmq_send(req[1], "?", 1, 0) == 1);
  uint64_t end = uv_hrtime() + UINT64_C(1300) * 1000000;
  while (uv_hrtime() < end) {
    uv_run(&g.loop, UV_RUN_ONCE);
    uv_run(&paused.loop, UV_RUN_NOWAIT);
    uv_run(&busy.loop, UV_RUN_NOWAIT);
  }
  assert_int_equal(g.downs + paused.downs + busy.downs, 0);
  assert_int_equal(paused.messages, 0);
  assert_int_equal(busy.messages, 1);
  mcq_peer_info_t info;
  assert_int_equal(mcq_peer_info(g.socket, g.peer, &info), 0);
  assert_true(info.rtt_ns > 0);
  assert_int_equal(mcq_resume(paused.socket), 0);
  until(&paused, paused.messages == 10);
  assert_int_equal(mcq_send_text(busy.socket, "!"), 0);
  until(&busy, busy.messages == 2);
  leave_peer(child);
  void* all[] = {push, req[0], req[1]};
  int linger = 0;
  for (int i = 0; i < 3; i++) {
    zmq_setsockopt(all[i], ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(all[i]);
  }
  close_stage(&g);
  close_stage(&paused);
  close_stage(&busy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(the_stopped_are_found, kill_peers),
      cmocka_unit_test_teardown(a_time_to_live_runs_out, kill_peers),
      cmocka_unit_test_teardown(a_reader_that_stops_is_found, kill_peers),
      cmocka_unit_test_teardown(they_find_us, kill_peers),
      cmocka_unit_test_teardown(the_living_stay, kill_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
