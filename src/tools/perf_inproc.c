/* SPDX-License-Identifier: MIT */
/* Messages a second inside one process, PUSH to PULL: between two sockets of
 * one loop, between two loops in two threads, by mcq_post from one thread and
 * from four into such a loop; and libzmq's inproc between two threads. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "monocoque.h"
#include "perf_child.h"
#ifdef HAVE_ZMQ
#include <zmq.h>
#endif

enum { POSTERS_MAX = 4 };

typedef struct bench {
  const perf_job_t* job;
  char* body;
  mcq_inproc_t* inproc; /* NULL: one loop */
  /* Who receives. */
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  uint64_t received;
  uint64_t first_ns;
  uint64_t last_ns;
  /* Who sends, in the same loop or in another. */
  uv_loop_t other;
  mcq_ctx_t* other_ctx;
  mcq_socket_t* push;
  mcq_mailbox_t* mailbox;
  uint64_t sent;
} bench_t;

/* ---- receiving ----------------------------------------------------------- */

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  bench_t* b = mcq_socket_data(s);
  (void) peer;
  (void) msg;
  if (b->received++ == 0) b->first_ns = uv_hrtime();
  if (b->received < b->job->count) return;
  b->last_ns = uv_hrtime();
  mcq_ctx_close(b->ctx, NULL);
}

static int open_pull(bench_t* b) {
  mcq_ctx_options_t options = {.backend = MCQ_BACKEND_UV, .inproc = b->inproc};
  mcq_socket_options_t o = {
      .type = MCQ_PULL, .data = b, .on_message = on_message};
  mcq_socket_t* pull;
  int rc = mcq_ctx_new(&b->loop, &options, &b->ctx);
  if (rc == 0) rc = mcq_socket_new(b->ctx, &o, &pull);
  if (rc == 0) rc = mcq_bind(pull, "inproc://bench", NULL);
  return rc;
}

/* ---- sending ------------------------------------------------------------- */

/* Until there is no room; on_drain goes on. */
static void send_on(mcq_socket_t* s) {
  bench_t* b = mcq_socket_data(s);
  while (b->sent < b->job->count &&
         mcq_send_bytes(s, b->body, b->job->size) == 0)
    b->sent++;
  if (b->sent == b->job->count && b->inproc != NULL)
    mcq_ctx_close(b->other_ctx, NULL);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  send_on(s);
}

static int open_push(bench_t* b, mcq_ctx_t* ctx, bool sends) {
  mcq_socket_options_t o = {.type = MCQ_PUSH, .data = b, .linger_ms = -1};
  if (sends) {
    o.on_drain = send_on;
    o.on_peer_up = on_up;
  }
  int rc = mcq_socket_new(ctx, &o, &b->push);
  return rc == 0 ? mcq_connect(b->push, "inproc://bench", NULL, NULL) : rc;
}

static void run_other(void* arg) {
  bench_t* b = arg;
  mcq_ctx_options_t options = {.backend = MCQ_BACKEND_UV, .inproc = b->inproc};
  uv_loop_init(&b->other);
  if (mcq_ctx_new(&b->other, &options, &b->other_ctx) != 0 ||
      open_push(b, b->other_ctx, true) != 0)
    abort();
  uv_run(&b->other, UV_RUN_DEFAULT);
  uv_loop_close(&b->other);
}

typedef struct poster {
  bench_t* b;
  uint64_t count;
  uv_thread_t thread;
} poster_t;

static void run_poster(void* arg) {
  poster_t* p = arg;
  mcq_frame_t frame = {p->b->body, p->b->job->size};
  while (p->count > 0) {
    int rc = mcq_post(p->b->mailbox, &frame, 1);
    if (rc == MCQ_EAGAIN)
      sched_yield();
    else if (rc == 0)
      p->count--;
    else
      return;
  }
}

/* ---- plays --------------------------------------------------------------- */

static int failed(int rc) {
  return rc == 0 ? 0 : tool_fail("inproc: %s", mcq_strerror(rc));
}

static void run_loop(bench_t* b) {
  uv_run(&b->loop, UV_RUN_DEFAULT);
  uv_loop_close(&b->loop);
}

static int play_one_loop(bench_t* b) {
  int rc = open_pull(b);
  if (rc == 0) rc = open_push(b, b->ctx, true);
  if (rc == 0) run_loop(b);
  return failed(rc);
}

static int play_two_loops(bench_t* b) {
  uv_thread_t thread;
  int rc = mcq_inproc_new(NULL, &b->inproc);
  if (rc == 0) rc = open_pull(b);
  if (rc == 0) rc = uv_thread_create(&thread, run_other, b);
  if (rc != 0) return failed(rc);
  run_loop(b);
  uv_thread_join(&thread);
  mcq_inproc_release(b->inproc);
  return 0;
}

static int play_posts(bench_t* b, unsigned threads) {
  poster_t posters[POSTERS_MAX];
  int rc = open_pull(b);
  if (rc == 0) rc = open_push(b, b->ctx, false);
  if (rc == 0) rc = mcq_mailbox_new(b->push, NULL, &b->mailbox);
  if (rc != 0) return failed(rc);
  for (unsigned i = 0; i < threads; i++) {
    uint64_t rest = i == 0 ? b->job->count % threads : 0;
    posters[i] = (poster_t){.b = b, .count = b->job->count / threads + rest};
    uv_thread_create(&posters[i].thread, run_poster, &posters[i]);
  }
  run_loop(b);
  for (unsigned i = 0; i < threads; i++) uv_thread_join(&posters[i].thread);
  mcq_mailbox_release(b->mailbox);
  return 0;
}

#ifdef HAVE_ZMQ
static void run_zmq_push(void* arg) {
  bench_t* b = arg;
  void* push = zmq_socket(b->other_ctx, ZMQ_PUSH);
  if (push == NULL || zmq_connect(push, "inproc://bench") != 0) abort();
  for (uint64_t i = 0; i < b->job->count; i++)
    zmq_send(push, b->body, b->job->size, 0);
  zmq_close(push);
}

static int play_zmq(bench_t* b) {
  uv_thread_t thread;
  zmq_msg_t msg;
  void* ctx = zmq_ctx_new();
  void* pull = zmq_socket(ctx, ZMQ_PULL);
  if (pull == NULL || zmq_bind(pull, "inproc://bench") != 0)
    return tool_fail("libzmq: %s", zmq_strerror(zmq_errno()));
  b->other_ctx = ctx;
  uv_thread_create(&thread, run_zmq_push, b);
  zmq_msg_init(&msg);
  for (; b->received < b->job->count; b->received++) {
    if (zmq_msg_recv(&msg, pull, 0) < 0) return tool_fail("libzmq: receive");
    if (b->received == 0) b->first_ns = uv_hrtime();
  }
  b->last_ns = uv_hrtime();
  zmq_msg_close(&msg);
  uv_thread_join(&thread);
  zmq_close(pull);
  zmq_ctx_term(ctx);
  return 0;
}
#else
static int play_zmq(bench_t* b) {
  (void) b;
  return tool_fail("this build has no libzmq");
}
#endif

static int play_way(bench_t* b) {
  switch (b->job->who) {
    case PERF_ONE_LOOP:
      return play_one_loop(b);
    case PERF_TWO_LOOPS:
      return play_two_loops(b);
    case PERF_POST_1:
      return play_posts(b, 1);
    case PERF_POST_4:
      return play_posts(b, POSTERS_MAX);
    default:
      return play_zmq(b);
  }
}

static int play(const void* job, perf_found_t* out) {
  bench_t b = {.job = job};
  b.body = tool_alloc(b.job->size);
  memset(b.body, 'm', b.job->size);
  uv_loop_init(&b.loop);
  int rc = play_way(&b);
  free(b.body);
  if (rc != 0) return rc;
  out->rate =
      (double) (b.received - 1) * 1e9 / (double) (b.last_ns - b.first_ns);
  return 0;
}

int perf_inproc(const perf_job_t* job, perf_found_t* out) {
  return perf_child(play, job, out);
}
