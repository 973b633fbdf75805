/* SPDX-License-Identifier: MIT */
/* Contexts that look for input before they sleep, talking: they do not sleep
 * meanwhile, and they can be closed. */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "ctx.h"
#include "support/backend.h"

enum { ROUNDS = 200 };

typedef struct talk {
  uv_loop_t loop;
  uv_prepare_t last; /* started first, it runs last */
  mcq_ctx_t* asks;
  mcq_ctx_t* answers;
  unsigned answered, sleeps, left;
} talk_t;

static int backend;

/* It stands still: there is always time to look once more. */
static uint64_t standing(void* arg) {
  (void) arg;
  return 1000000000;
}

static void ask(mcq_socket_t* req) {
  assert_int_equal(mcq_send_bytes(req, "?", 1), 0);
}

static void on_up(mcq_socket_t* req, const mcq_peer_info_t* info) {
  (void) info;
  ask(req);
}

static void on_left(void* data) {
  talk_t* t = (talk_t*) data;
  if (++t->left == 2) uv_close((uv_handle_t*) &t->last, NULL);
}

static void on_answer(mcq_socket_t* req, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  talk_t* t = (talk_t*) mcq_socket_data(req);
  if (++t->answered < ROUNDS) {
    ask(req);
    return;
  }
  mcq_ctx_close(t->asks, on_left);
  mcq_ctx_close(t->answers, on_left);
}

static void answer(mcq_socket_t* rep, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  assert_int_equal(mcq_send_bytes(rep, "!", 1), 0);
}

static void count_sleep(uv_prepare_t* prepare) {
  talk_t* t = (talk_t*) prepare->data;
  bool talking = t->answered > 0 && t->answered < ROUNDS;
  if (talking && uv_backend_timeout(&t->loop) != 0) t->sleeps++;
}

static mcq_ctx_t* open_ctx(talk_t* t, uint32_t spin_us) {
  static const mcq__seams_t seams = {.spin_clock = standing};
  mcq_ctx_options_t o = {.backend = backend, .spin_us = spin_us, .data = t};
  mcq_ctx_t* ctx;
  assert_int_equal(mcq__ctx_open(&t->loop, &o, &seams, &ctx), 0);
  return ctx;
}

static void open_sockets(talk_t* t) {
  mcq_socket_t* rep;
  mcq_socket_t* req;
  mcq_endpoint_t at;
  mcq_socket_options_t theirs = {.type = MCQ_REP, .on_message = answer};
  mcq_socket_options_t ours = {
      .type = MCQ_REQ, .on_message = on_answer, .on_peer_up = on_up, .data = t};
  assert_int_equal(mcq_socket_new(t->answers, &theirs, &rep), 0);
  assert_int_equal(mcq_socket_new(t->asks, &ours, &req), 0);
  assert_int_equal(mcq_bind(rep, "tcp://127.0.0.1:0", &at), 0);
  const char* uri = mcq_endpoint_uri(rep, at);
  assert_int_equal(mcq_connect(req, uri, NULL, NULL), 0);
}

/* How often the loop was about to sleep between two answers. */
static unsigned sleeps_of_talk(uint32_t spin_us) {
  talk_t t;
  memset(&t, 0, sizeof t);
  assert_int_equal(uv_loop_init(&t.loop), 0);
  uv_prepare_init(&t.loop, &t.last);
  uv_prepare_start(&t.last, count_sleep);
  t.last.data = &t;
  t.asks = open_ctx(&t, spin_us);
  t.answers = open_ctx(&t, spin_us);
  open_sockets(&t);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(t.answered, ROUNDS);
  assert_int_equal(t.left, 2);
  assert_int_equal(uv_loop_close(&t.loop), 0);
  return t.sleeps;
}

static void who_talks_does_not_sleep(void** state) {
  (void) state;
  assert_true(sleeps_of_talk(0) >= ROUNDS / 2);
  assert_int_equal(sleeps_of_talk(50), 0);
  assert_int_equal(sleeps_of_talk(UINT32_MAX), 0);
}

static int play(int with) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_talks_does_not_sleep),
  };
  backend = with;
  return cmocka_run_group_tests_name(
      with == MCQ_BACKEND_UV ? "spin, uv" : "spin, uring", tests, NULL, NULL);
}

int main(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1) {
    printf("skipped: on one processor nothing spins\n");
    return 77;
  }
  int failed = play(MCQ_BACKEND_UV);
  if (backend_is_here(MCQ_BACKEND_URING)) failed += play(MCQ_BACKEND_URING);
  return failed;
}
