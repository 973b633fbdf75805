/* SPDX-License-Identifier: MIT */
/* libzmq as a contender in throughput and latency, in its own best style:
 * blocking calls on its own threads, defaults throughout.  In a build without
 * libzmq, a message. */
#include "perf_side.h"

#ifdef HAVE_ZMQ

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static int failed(const char* what) {
  return tool_fail("libzmq: %s: %s", what, zmq_strerror(errno));
}

/* A ROUTER has the asker's routing id before what it receives. */
typedef struct link {
  void* socket;
  bool is_router;
  zmq_msg_t id;
  zmq_msg_t msg;
} link_t;

static int take(link_t* l) {
  if (l->is_router && zmq_msg_recv(&l->id, l->socket, 0) < 0)
    return failed("receive");
  return zmq_msg_recv(&l->msg, l->socket, 0) < 0 ? failed("receive") : 0;
}

static int give_back(link_t* l) {
  if (l->is_router && zmq_msg_send(&l->id, l->socket, ZMQ_SNDMORE) < 0)
    return failed("send");
  return zmq_msg_send(&l->msg, l->socket, 0) < 0 ? failed("send") : 0;
}

/* ---- throughput ---------------------------------------------------------- */

/* The clock runs from the first of `count` messages to the last. */
static int receive(perf_side_t* side, link_t* l, uint64_t count) {
  int rc = perf_give_order(count);
  if (rc == 0) rc = take(l);
  perf_wall_start(side);
  for (uint64_t i = 1; rc == 0 && i < count; i++) rc = take(l);
  perf_wall_stop(side);
  return rc;
}

static int receiver(perf_side_t* side, link_t* l) {
  int rc = receive(side, l, side->job.warmup);
  if (rc != 0) return rc;
  uint64_t count = perf_order(side, side->result.wall_ns);
  side->result.count = count;
  perf_cpu_start(side);
  rc = receive(side, l, count);
  perf_cpu_stop(side);
  return rc != 0 ? rc : perf_give_order(0);
}

static int sender(perf_side_t* side, link_t* l, const char* body) {
  for (int orders = 1;; orders++) {
    uint64_t count = 0;
    int rc = perf_take_order(&count);
    if (rc != 0) return rc;
    if (count == 0) break;
    if (orders == 2) {
      perf_cpu_start(side);
      side->result.count = count;
    }
    for (uint64_t i = 0; i < count; i++)
      if (zmq_send(l->socket, body, side->job.size, 0) < 0)
        return failed("send");
  }
  perf_cpu_stop(side);
  return 0;
}

/* ---- latency ------------------------------------------------------------- */

static int echo(perf_side_t* side, link_t* l) {
  const perf_job_t* job = &side->job;
  int rc = 0;
  for (uint64_t i = 0; rc == 0 && i < job->warmup + job->count; i++) {
    if (i == job->warmup) perf_cpu_start(side);
    rc = take(l);
    if (rc == 0) rc = give_back(l);
  }
  perf_cpu_stop(side);
  return rc;
}

static int ask(perf_side_t* side, link_t* l, const char* body) {
  for (uint64_t i = 0;; i++) {
    if (i == side->job.warmup) perf_cpu_start(side);
    uint64_t asked = perf_now();
    if (zmq_send(l->socket, body, side->job.size, 0) < 0) return failed("send");
    int rc = take(l);
    if (rc != 0) return rc;
    uint64_t took = perf_now() - asked;
    if (i >= side->job.warmup && perf_sample(side, took)) break;
  }
  perf_cpu_stop(side);
  return 0;
}

/* ---- both ---------------------------------------------------------------- */

static int open_endpoint(perf_side_t* side, void* socket) {
  char uri[PERF_ADDRESS];
  size_t len = sizeof uri;
  perf_address(&side->job, uri);
  if (side->job.role == PERF_SENDER)
    return zmq_connect(socket, uri) != 0 ? failed("connect") : 0;
  if (zmq_bind(socket, uri) != 0) return failed("bind");
  if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, uri, &len) != 0)
    return failed("endpoint");
  return perf_bound(side, uri);
}

static int play(perf_side_t* side, link_t* l) {
  bool latency = side->job.mode == PERF_LATENCY;
  bool is_sender = side->job.role == PERF_SENDER;
  char* body = tool_alloc(side->job.size);
  memset(body, 'm', side->job.size);
  zmq_msg_init(&l->id);
  zmq_msg_init(&l->msg);
  int rc = open_endpoint(side, l->socket);
  if (rc == 0 && latency)
    rc = is_sender ? ask(side, l, body) : echo(side, l);
  else if (rc == 0)
    rc = is_sender ? sender(side, l, body) : receiver(side, l);
  zmq_msg_close(&l->msg);
  zmq_msg_close(&l->id);
  free(body);
  return rc;
}

int perf_zmq(perf_side_t* side) {
  static const int types[PERF_TYPES_COUNT][2] = {{ZMQ_PUSH, ZMQ_PULL},
                                                 {ZMQ_DEALER, ZMQ_DEALER},
                                                 {ZMQ_DEALER, ZMQ_ROUTER},
                                                 {ZMQ_PAIR, ZMQ_PAIR},
                                                 {ZMQ_REQ, ZMQ_REP}};
  int type = types[side->job.types][side->job.role != PERF_SENDER];
  void* ctx = zmq_ctx_new();
  link_t l = {.is_router = type == ZMQ_ROUTER};
  l.socket = ctx != NULL ? zmq_socket(ctx, type) : NULL;
  int rc = l.socket != NULL ? play(side, &l) : failed("socket");
  if (l.socket != NULL) zmq_close(l.socket);
  if (ctx != NULL) zmq_ctx_term(ctx);
  return rc;
}

bool perf_has_zmq(void) {
  return true;
}

const char* perf_zmq_name(void) {
  static char name[32];
  int major, minor, patch;
  zmq_version(&major, &minor, &patch);
  snprintf(name, sizeof name, "libzmq %d.%d.%d", major, minor, patch);
  return name;
}

#else

int perf_zmq(perf_side_t* side) {
  (void) side;
  return tool_fail("this build has no libzmq");
}

bool perf_has_zmq(void) {
  return false;
}

const char* perf_zmq_name(void) {
  return "libzmq";
}

#endif
