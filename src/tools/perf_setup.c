/* SPDX-License-Identifier: MIT */
/* How fast connections come and go: a DEALER that connects to a ROUTER over
 * TCP, shakes hands, has one small message answered and is closed; one after
 * the other, and many at once.  The message is there because it alone tells
 * with every library that both sides are through with the handshake.  The clock
 * runs until nothing is left of the clients' context.  Server and clients have
 * a thread each: ours a loop, libzmq's besides that an I/O thread a context. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "monocoque.h"
#include "perf_child.h"
#ifdef HAVE_ZMQ
#include <zmq.h>
#endif

/* One after the other where there is one at a time, else all at once. */
typedef struct job {
  perf_who_t who;
  bool at_once;
  unsigned count;
} job_t;

typedef struct bench {
  const job_t* job;
  char uri[64];
  uv_thread_t thread; /* the server's */
  /* Ours. */
  uv_loop_t server_loop;
  mcq_ctx_t* server;
  mcq_mailbox_t* box;
  uv_loop_t loop;
  mcq_ctx_t* clients;
  unsigned begun, answered;
  int failed;
  /* libzmq's. */
  void* zmq_server;
} bench_t;

/* ---- ours ---------------------------------------------------------------- */

/* PERF_AUTO and so on are the numbers of back ends. */
static mcq_ctx_options_t options_of(const bench_t* b) {
  return (mcq_ctx_options_t){.backend = (int) b->job->who};
}

static void answer(mcq_socket_t* router, mcq_peer_t peer, mcq_msg_t* msg) {
  mcq_send_msg_to(router, peer, msg);
}

static int open_server(bench_t* b) {
  mcq_ctx_options_t options = options_of(b);
  mcq_socket_options_t o = {.type = MCQ_ROUTER,
                            .backlog = PERF_BACKLOG,
                            .max_handshakes = -1,
                            .on_message = answer};
  mcq_socket_t* router = NULL;
  mcq_endpoint_t at = 0;
  uv_loop_init(&b->server_loop);
  int rc = mcq_ctx_new(&b->server_loop, &options, &b->server);
  if (rc == 0) rc = mcq_socket_new(b->server, &o, &router);
  if (rc == 0) rc = mcq_bind(router, "tcp://127.0.0.1:*", &at);
  if (rc == 0) rc = mcq_mailbox_new(router, NULL, &b->box);
  if (rc == 0)
    snprintf(b->uri, sizeof b->uri, "%s", mcq_endpoint_uri(router, at));
  return rc;
}

static void run_server(void* arg) {
  bench_t* b = arg;
  uv_run(&b->server_loop, UV_RUN_DEFAULT);
  uv_loop_close(&b->server_loop);
}

static void leave(mcq_socket_t* router, void* arg) {
  (void) arg;
  mcq_ctx_close(mcq_socket_ctx(router), NULL);
}

static void begin_one(bench_t* b);

static void on_closed(const mcq_close_info_t* info) {
  begin_one(info->data);
}

static void on_answer(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  bench_t* b = mcq_socket_data(s);
  (void) peer;
  (void) msg;
  if (++b->answered == b->job->count)
    mcq_ctx_close(b->clients, NULL);
  else if (!b->job->at_once)
    mcq_close(s, on_closed);
}

/* The message waits for the connection. */
static void begin_one(bench_t* b) {
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .data = b,
                            .linger_ms = MCQ_LINGER_NONE,
                            .on_message = on_answer};
  mcq_socket_t* s = NULL;
  if (b->begun == b->job->count) return;
  b->begun++;
  int rc = mcq_socket_new(b->clients, &o, &s);
  if (rc == 0) rc = mcq_connect(s, b->uri, NULL, NULL);
  if (rc == 0) rc = mcq_send_text(s, "hello");
  if (rc == 0) return;
  b->failed = rc;
  mcq_ctx_close(b->clients, NULL);
}

static int play_ours(bench_t* b, perf_found_t* out) {
  mcq_ctx_options_t options = options_of(b);
  int rc = open_server(b);
  uv_loop_init(&b->loop);
  if (rc == 0) rc = mcq_ctx_new(&b->loop, &options, &b->clients);
  if (rc == 0) rc = uv_thread_create(&b->thread, run_server, b);
  if (rc != 0) return tool_fail("setup: %s", mcq_strerror(rc));
  uint64_t since = uv_hrtime();
  unsigned first = b->job->at_once ? b->job->count : 1;
  for (unsigned i = 0; i < first && b->failed == 0; i++) begin_one(b);
  uv_run(&b->loop, UV_RUN_DEFAULT);
  out->rate = b->job->count * 1e9 / (double) (uv_hrtime() - since);
  mcq_post_call(b->box, leave, NULL);
  mcq_mailbox_release(b->box);
  uv_thread_join(&b->thread);
  uv_loop_close(&b->loop);
  if (b->failed == 0) return 0;
  return tool_fail("setup: %s", mcq_strerror(b->failed));
}

/* ---- libzmq's ------------------------------------------------------------ */

#ifdef HAVE_ZMQ
static int failed(const char* what) {
  return tool_fail("libzmq: %s: %s", what, zmq_strerror(zmq_errno()));
}

static void run_zmq_server(void* arg) {
  void* router = arg;
  char id[256], text[16];
  for (;;) {
    int n = zmq_recv(router, id, sizeof id, 0);
    if (n < 0) break;
    int m = zmq_recv(router, text, sizeof text, 0);
    if (m < 0 || zmq_send(router, id, (size_t) n, ZMQ_SNDMORE) < 0 ||
        zmq_send(router, text, (size_t) m, 0) < 0)
      break;
  }
  zmq_close(router);
}

static int open_zmq_server(bench_t* b) {
  int backlog = PERF_BACKLOG;
  size_t len = sizeof b->uri;
  b->zmq_server = zmq_ctx_new();
  void* router = zmq_socket(b->zmq_server, ZMQ_ROUTER);
  if (router == NULL ||
      zmq_setsockopt(router, ZMQ_BACKLOG, &backlog, sizeof backlog) != 0 ||
      zmq_bind(router, "tcp://127.0.0.1:*") != 0 ||
      zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, b->uri, &len) != 0)
    return failed("server");
  return uv_thread_create(&b->thread, run_zmq_server, router);
}

static int begin_zmq(const bench_t* b, void* ctx, void** out) {
  int none = 0;
  void* s = *out = zmq_socket(ctx, ZMQ_DEALER);
  if (s == NULL || zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none) != 0 ||
      zmq_connect(s, b->uri) != 0 || zmq_send(s, "hello", 5, 0) < 0)
    return failed("client");
  return 0;
}

static int end_zmq(void* s) {
  char text[16];
  if (zmq_recv(s, text, sizeof text, 0) < 0) return failed("answer");
  zmq_close(s);
  return 0;
}

static int run_zmq_clients(const bench_t* b, void* ctx, void** sockets) {
  unsigned count = b->job->count;
  int rc = 0;
  for (unsigned i = 0; rc == 0 && i < count; i++) {
    rc = begin_zmq(b, ctx, &sockets[i]);
    if (rc == 0 && !b->job->at_once) rc = end_zmq(sockets[i]);
  }
  for (unsigned i = 0; rc == 0 && b->job->at_once && i < count; i++)
    rc = end_zmq(sockets[i]);
  return rc;
}

static int play_zmq(bench_t* b, perf_found_t* out) {
  void** sockets = tool_alloc(b->job->count * sizeof *sockets);
  int rc = open_zmq_server(b);
  void* ctx = zmq_ctx_new();
  zmq_ctx_set(ctx, ZMQ_MAX_SOCKETS, (int) b->job->count + 16);
  uint64_t since = uv_hrtime();
  if (rc == 0) rc = run_zmq_clients(b, ctx, sockets);
  if (rc != 0) return rc; /* the process ends */
  zmq_ctx_term(ctx);
  out->rate = b->job->count * 1e9 / (double) (uv_hrtime() - since);
  zmq_ctx_shutdown(b->zmq_server);
  uv_thread_join(&b->thread);
  zmq_ctx_term(b->zmq_server);
  free(sockets);
  return 0;
}
#else
static int play_zmq(bench_t* b, perf_found_t* out) {
  (void) b;
  (void) out;
  return tool_fail("this build has no libzmq");
}
#endif

/* ---- the table ----------------------------------------------------------- */

/* As many as may be.  The table of them grows now: where there is more than one
 * thread each doubling of it waits for some ten milliseconds, whatever library
 * it is that opens one too many. */
static void make_room(unsigned descriptors) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  int fd = fcntl(STDERR_FILENO, F_DUPFD, (int) descriptors);
  if (fd >= 0) close(fd);
}

static int play(const void* job, perf_found_t* out) {
  bench_t b = {.job = job};
  /* A client of libzmq has two descriptors, and the server one for each. */
  make_room(b.job->at_once ? 3 * b.job->count + 64 : 64);
  return b.job->who == PERF_ZMQ ? play_zmq(&b, out) : play_ours(&b, out);
}

int perf_setup(const perf_job_t* job, perf_found_t* out) {
  bool at_once = job->peers > 1;
  uint64_t count = at_once ? job->peers : job->count;
  job_t own = {job->who, at_once, (unsigned) count};
  return perf_child(play, &own, out);
}
