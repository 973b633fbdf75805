/* SPDX-License-Identifier: MIT */
/* libzmq in the benchmarks with one socket on one side and many on the other.
 * The one is used by blocking calls; the many through an epoll set of their
 * descriptors, since zmq_poll looks at all of them each time.  In a build
 * without libzmq, a message. */
#include "perf_side.h"

#ifdef HAVE_ZMQ

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

enum { READY_MAX = 256 };

static int failed(const char* what) {
  return tool_fail("libzmq: %s: %s", what, zmq_strerror(errno));
}

/* ---- the one ------------------------------------------------------------- */

static int publish(perf_side_t* side, void* socket, char* body) {
  const perf_job_t* job = &side->job;
  char topic[PERF_TOPIC + 1];
  for (size_t i = 0; i < job->peers; i++)
    if (zmq_recv(socket, topic, sizeof topic, 0) < 0)
      return failed("subscription");
  for (uint64_t i = 0; i < job->warmup + job->count; i++) {
    if (i == job->warmup) perf_cpu_start(side);
    if (job->filtered) perf_topic(body, i % job->peers);
    if (zmq_send(socket, body, job->size, 0) < 0) return failed("publish");
  }
  return 0;
}

static int echo(perf_side_t* side, void* socket) {
  const perf_job_t* job = &side->job;
  zmq_msg_t id, msg;
  zmq_msg_init(&id);
  zmq_msg_init(&msg);
  int rc = 0;
  for (uint64_t i = 0; rc == 0; i++) {
    if (i == job->warmup) perf_cpu_start(side);
    if (i == job->warmup + job->count) {
      perf_cpu_stop(side);
      rc = perf_tell(side);
    }
    if (rc != 0) break;
    if (zmq_msg_recv(&id, socket, 0) < 0 || zmq_msg_recv(&msg, socket, 0) < 0)
      rc = failed("receive");
    else if (zmq_msg_send(&id, socket, ZMQ_SNDMORE) < 0 ||
             zmq_msg_send(&msg, socket, 0) < 0)
      rc = failed("send");
  }
  zmq_msg_close(&id);
  zmq_msg_close(&msg);
  return rc;
}

static int listen_at(perf_side_t* side, void* socket) {
  char uri[PERF_ADDRESS];
  size_t len = sizeof uri;
  int backlog = PERF_BACKLOG;
  perf_address(&side->job, uri);
  if (zmq_setsockopt(socket, ZMQ_BACKLOG, &backlog, sizeof backlog) != 0)
    return failed("option");
  if (zmq_bind(socket, uri) != 0) return failed("bind");
  if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, uri, &len) != 0)
    return failed("endpoint");
  return perf_bound(side, uri);
}

static int play_one(perf_side_t* side, void* ctx, char* body) {
  bool publishes = side->job.mode == PERF_FANOUT;
  void* socket = zmq_socket(ctx, publishes ? ZMQ_XPUB : ZMQ_ROUTER);
  if (socket == NULL) return failed("socket");
  int on = 1;
  if (publishes &&
      (zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &on, sizeof on) != 0 ||
       zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &on, sizeof on) != 0))
    return failed("option");
  int rc = listen_at(side, socket);
  if (rc == 0)
    rc = publishes ? publish(side, socket, body) : echo(side, socket);
  zmq_close(socket);
  return rc;
}

/* ---- the many ------------------------------------------------------------ */

typedef struct many {
  perf_side_t* side;
  void** sockets;
  int epoll;
  const char* body;
  bool over;
} many_t;

static int ask(many_t* m, void* socket) {
  size_t size = m->side->job.size;
  return zmq_send(socket, m->body, size, 0) < 0 ? failed("ask") : 0;
}

/* Takes all a socket has: its descriptor tells of nothing but news. */
static int take(many_t* m, void* socket, zmq_msg_t* msg) {
  while (!m->over) {
    if (zmq_msg_recv(msg, socket, ZMQ_DONTWAIT) < 0)
      return errno == EAGAIN ? 0 : failed("receive");
    m->over = perf_seen(m->side);
    if (m->side->job.mode == PERF_FANOUT) continue;
    int rc = m->over ? perf_tell(m->side) : ask(m, socket);
    if (rc != 0) return rc;
  }
  return 0;
}

static int take_all(many_t* m, zmq_msg_t* msg) {
  struct epoll_event ready[READY_MAX];
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < m->side->job.peers; i++)
    rc = take(m, m->sockets[i], msg);
  while (rc == 0 && !m->over) {
    int n = epoll_wait(m->epoll, ready, READY_MAX, -1);
    if (n < 0 && errno != EINTR) return failed("epoll");
    for (int i = 0; rc == 0 && i < n; i++) rc = take(m, ready[i].data.ptr, msg);
  }
  return rc;
}

static int watch(const many_t* m, void* socket) {
  int fd;
  size_t len = sizeof fd;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = socket};
  if (zmq_getsockopt(socket, ZMQ_FD, &fd, &len) != 0 ||
      epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
    return failed("descriptor");
  return 0;
}

static int open_each(many_t* m, void* ctx, size_t i) {
  const perf_job_t* job = &m->side->job;
  bool listens = job->mode == PERF_FANOUT;
  char uri[PERF_ADDRESS];
  char topic[PERF_TOPIC];
  perf_address(job, uri);
  perf_topic(topic, i);
  void* socket = zmq_socket(ctx, listens ? ZMQ_SUB : ZMQ_DEALER);
  if (socket == NULL) return failed("socket");
  m->sockets[i] = socket;
  if (listens && zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic,
                                job->filtered ? sizeof topic : 0) != 0)
    return failed("subscribe");
  if (zmq_connect(socket, uri) != 0) return failed("connect");
  int rc = watch(m, socket);
  for (size_t k = 0; rc == 0 && k < job->outstanding; k++) rc = ask(m, socket);
  return rc;
}

static int play_many(perf_side_t* side, void* ctx, const char* body) {
  size_t count = side->job.peers;
  many_t m = {.side = side, .body = body, .epoll = epoll_create1(0)};
  m.sockets = tool_alloc(count * sizeof *m.sockets);
  memset(m.sockets, 0, count * sizeof *m.sockets);
  int rc = m.epoll < 0 ? failed("epoll") : 0;
  for (size_t i = 0; rc == 0 && i < count; i++) rc = open_each(&m, ctx, i);
  zmq_msg_t msg;
  zmq_msg_init(&msg);
  if (rc == 0) rc = take_all(&m, &msg);
  zmq_msg_close(&msg);
  for (size_t i = 0; i < count; i++)
    if (m.sockets[i] != NULL) zmq_close(m.sockets[i]);
  free(m.sockets);
  close(m.epoll);
  return rc;
}

int perf_zmq_many(perf_side_t* side) {
  const perf_job_t* job = &side->job;
  bool one = perf_listens(job->mode, job->role);
  void* ctx = zmq_ctx_new();
  if (ctx == NULL) return failed("context");
  zmq_ctx_set(ctx, ZMQ_MAX_SOCKETS, (int) job->peers + 8);
  char* body = tool_alloc(job->size + PERF_TOPIC);
  memset(body, 'm', job->size);
  int rc = one ? play_one(side, ctx, body) : play_many(side, ctx, body);
  if (rc == 0) zmq_ctx_term(ctx); /* not before all has left */
  if (one && side->told == 0) perf_cpu_stop(side);
  free(body);
  return rc;
}

#else

int perf_zmq_many(perf_side_t* side) {
  (void) side;
  return tool_fail("this build has no libzmq");
}

#endif
