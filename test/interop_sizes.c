/* SPDX-License-Identifier: MIT */
/* Messages from nothing to 64 MiB to and from real libzmq, alone and in
 * company, over tcp and ipc, and the limit of what we receive: the default lets
 * 64 MiB through and not a byte more. */
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
static int push_too_much(const void* arg, int in, int out) {
  static const size_t first = 1000;
  char uri[URI_MAX];
  int none = 0;
  parts_t parts;
  void* context = zmq_ctx_new();
  void* s = zmq_socket(context, ZMQ_DEALER);
  (void) arg;
  (void) out;
  MUST(uri_hear(in, uri));
  MUST(zmq_connect(s, uri) == 0);
  parts_of(PLAN_ROOM, 0, &parts);
  const char* bytes = (const char*) parts.frames[0].data;
  MUST(zmq_send(s, bytes, LARGEST, 0) == (int) LARGEST);
  MUST(zmq_send(s, bytes, first, ZMQ_SNDMORE) == (int) first);
  MUST(zmq_send(s, bytes, LARGEST + 1 - first, 0) > 0);
  MUST(!uri_hear(in, uri));
  zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
  zmq_close(s);
  zmq_ctx_term(context);
  return 0;
}

static void a_byte_too_many(const venue_t* venue) {
  uv_loop_t loop;
  mcq_socket_t* s;
  mcq_endpoint_t at;
  duo_t duo;
  char uri[URI_MAX];
  bouncer_t b = {0};
  mcq_ctx_options_t seat = {.backend = venue->backend};
  mcq_socket_options_t o = {.type = MCQ_ROUTER,
                            .data = &b,
                            .on_message = count,
                            .on_peer_down = note_reason};
  duo_open(&duo, push_too_much, NULL);
  uv_loop_init(&loop);
  assert_int_equal(mcq_ctx_new(&loop, &seat, &b.ctx), 0);
  assert_int_equal(mcq_socket_new(b.ctx, &o, &s), 0);
  venue_uri(venue, uri);
  assert_int_equal(mcq_bind(s, uri, &at), 0);
  uri_tell(duo.out, mcq_endpoint_uri(s, at));
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_int_equal(b.messages, 1);
  assert_int_equal(b.reason, MCQ_EMSGLIMIT);
  duo_close(&duo);
}

/* -------------------------------------------------------------------------- */

static void all_sizes(const venue_t* venue) {
  for (size_t i = 0; i < MATCHES; i++) {
    if (matches[i].plan == PLAN_SIZES) matches[i].messages = parts_sizes();
    play(&matches[i], venue);
  }
}

static const scene_t scenes[] = {
    {.name = "all sizes", .play = all_sizes, .heavy = true},
    {.name = "a byte too many", .play = a_byte_too_many},
};

int main(void) {
  parts_init();
  return venues_play(scenes, sizeof scenes / sizeof *scenes);
}
