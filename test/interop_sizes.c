/* SPDX-License-Identifier: MIT */
/* Messages from nothing to 64 MiB to and from real libzmq, alone and in
 * company, and the limit of what we receive: the default lets 64 MiB through
 * and not a byte more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "support/zmq_match.h"

static match_t matches[] = {
    {MCQ_DEALER, ZMQ_ROUTER, true, true, 1, 0, PLAN_SIZES, false},
    {MCQ_ROUTER, ZMQ_DEALER, true, false, 1, 0, PLAN_SIZES, false},
    {MCQ_ROUTER, ZMQ_DEALER, false, true, 1, 0, PLAN_SIZES, false},
    {MCQ_PAIR, ZMQ_PAIR, false, false, 1, 0, PLAN_SIZES, false},
    {MCQ_DEALER, ZMQ_REP, false, true, 1, 0, PLAN_SIZES, false},
    {MCQ_ROUTER, ZMQ_REQ, true, false, 1, 0, PLAN_SIZES, false},
    {MCQ_DEALER, ZMQ_DEALER, true, false, 1, 1, PLAN_ROOM, true},
};
#define MATCHES (sizeof matches / sizeof *matches)

/* ---- a byte too many ----------------------------------------------------- */

typedef struct bouncer {
  mcq_ctx_t* ctx;
  unsigned messages;
  int reason;
} bouncer_t;

static void count(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  ((bouncer_t*) mcq_socket_data(s))->messages++;
}

static void note_reason(mcq_socket_t* s, const mcq_peer_info_t* info) {
  bouncer_t* b = (bouncer_t*) mcq_socket_data(s);
  b->reason = info->reason;
  mcq_ctx_close(b->ctx, NULL);
}

/* Sends one message that is good and one of a byte more in two frames. */
static int push_too_much(int in) {
  static const size_t first = 1000;
  char uri[URI_MAX];
  int none = 0;
  parts_t parts;
  void* context = zmq_ctx_new();
  void* s = zmq_socket(context, ZMQ_DEALER);
  MUST(read(in, uri, sizeof uri) == sizeof uri);
  MUST(zmq_connect(s, uri) == 0);
  parts_of(PLAN_ROOM, 0, &parts);
  const char* bytes = (const char*) parts.frames[0].data;
  MUST(zmq_send(s, bytes, LARGEST, 0) == (int) LARGEST);
  MUST(zmq_send(s, bytes, first, ZMQ_SNDMORE) == (int) first);
  MUST(zmq_send(s, bytes, LARGEST + 1 - first, 0) > 0);
  MUST(read(in, uri, sizeof uri) == 0);
  zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
  zmq_close(s);
  zmq_ctx_term(context);
  return 0;
}

static void refuse_more(int backend) {
  uv_loop_t loop;
  mcq_socket_t* s;
  mcq_endpoint_t at;
  int pipes[2];
  char uri[URI_MAX] = {0};
  bouncer_t b = {0};
  mcq_ctx_options_t seat = {.backend = backend};
  mcq_socket_options_t o = {.type = MCQ_ROUTER,
                            .data = &b,
                            .on_message = count,
                            .on_peer_down = note_reason};
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork_peer();
  if (child == 0) {
    close(pipes[1]);
    _exit(push_too_much(pipes[0]));
  }
  close(pipes[0]);
  uv_loop_init(&loop);
  assert_int_equal(mcq_ctx_new(&loop, &seat, &b.ctx), 0);
  assert_int_equal(mcq_socket_new(b.ctx, &o, &s), 0);
  assert_int_equal(mcq_bind(s, "tcp://127.0.0.1:*", &at), 0);
  snprintf(uri, sizeof uri, "%s", mcq_endpoint_uri(s, at));
  assert_int_equal(write(pipes[1], uri, sizeof uri), sizeof uri);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_int_equal(b.messages, 1);
  assert_int_equal(b.reason, MCQ_EMSGLIMIT);
  close(pipes[1]);
  join_peer(child);
}

/* -------------------------------------------------------------------------- */

static void over(int backend) {
  for (size_t i = 0; i < MATCHES; i++) {
    if (matches[i].plan == PLAN_SIZES) matches[i].messages = parts_sizes();
    play(&matches[i], backend);
  }
  refuse_more(backend);
}

static void over_uv(void** state) {
  (void) state;
  over(MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  over(second_backend());
}

int main(void) {
  parts_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(over_uv, kill_peers),
      cmocka_unit_test_teardown(over_uring, kill_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
