/* SPDX-License-Identifier: MIT */
/* libzmq as a contender, in its own best style: blocking calls on its own
 * threads, defaults throughout.  DEALER to DEALER for throughput, REQ to REP
 * for latency.  In a build without libzmq, a message. */
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

/* ---- throughput ---------------------------------------------------------- */

static int receive(void* socket, zmq_msg_t* msg, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    if (zmq_msg_recv(msg, socket, 0) < 0) return failed("receive");
  return 0;
}

static int order(void* socket, uint64_t count) {
  return zmq_send(socket, &count, sizeof count, 0) < 0 ? failed("order") : 0;
}

static int receiver(perf_side_t* side, void* socket, zmq_msg_t* msg) {
  int rc = order(socket, side->job.warmup);
  perf_wall_start(side);
  if (rc == 0) rc = receive(socket, msg, side->job.warmup);
  if (rc != 0) return rc;
  perf_wall_stop(side);
  uint64_t count = perf_order(side, side->result.wall_ns);
  side->result.count = count;
  perf_cpu_start(side);
  rc = order(socket, count);
  if (rc == 0) rc = receive(socket, msg, 1);
  perf_wall_start(side);
  if (rc == 0) rc = receive(socket, msg, count - 1);
  perf_wall_stop(side);
  perf_cpu_stop(side);
  return rc != 0 ? rc : order(socket, 0);
}

static int sender(perf_side_t* side, void* socket, const char* body) {
  for (int orders = 1;; orders++) {
    uint64_t count = 0;
    if (zmq_recv(socket, &count, sizeof count, 0) < 0) return failed("order");
    if (count == 0) break;
    if (orders == 2) {
      perf_cpu_start(side);
      side->result.count = count;
    }
    for (uint64_t i = 0; i < count; i++)
      if (zmq_send(socket, body, side->job.size, 0) < 0) return failed("send");
  }
  perf_cpu_stop(side);
  return 0;
}

/* ---- latency ------------------------------------------------------------- */

static int echo(perf_side_t* side, void* socket, zmq_msg_t* msg) {
  const perf_job_t* job = &side->job;
  for (uint64_t i = 0; i < job->warmup + job->count; i++) {
    if (i == job->warmup) perf_cpu_start(side);
    if (zmq_msg_recv(msg, socket, 0) < 0) return failed("receive");
    if (zmq_msg_send(msg, socket, 0) < 0) return failed("send");
  }
  perf_cpu_stop(side);
  return 0;
}

static int ask(perf_side_t* side, void* socket, zmq_msg_t* msg,
               const char* body) {
  for (uint64_t i = 0;; i++) {
    if (i == side->job.warmup) perf_cpu_start(side);
    uint64_t asked = perf_now();
    if (zmq_send(socket, body, side->job.size, 0) < 0) return failed("send");
    if (zmq_msg_recv(msg, socket, 0) < 0) return failed("receive");
    uint64_t took = perf_now() - asked;
    if (i >= side->job.warmup && perf_sample(side, took)) break;
  }
  perf_cpu_stop(side);
  return 0;
}

/* ---- both ---------------------------------------------------------------- */

static int open_endpoint(perf_side_t* side, void* socket) {
  char uri[64];
  if (side->job.role == PERF_SENDER) {
    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%u", side->job.port);
    return zmq_connect(socket, uri) != 0 ? failed("connect") : 0;
  }
  size_t len = sizeof uri;
  if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0) return failed("bind");
  if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, uri, &len) != 0)
    return failed("endpoint");
  uint32_t port = (uint32_t) strtoul(strrchr(uri, ':') + 1, NULL, 10);
  return perf_listening(side, port);
}

static int play(perf_side_t* side, void* socket) {
  bool latency = side->job.mode == PERF_LATENCY;
  bool is_sender = side->job.role == PERF_SENDER;
  char* body = tool_alloc(side->job.size);
  memset(body, 'm', side->job.size);
  zmq_msg_t msg;
  zmq_msg_init(&msg);
  int rc = open_endpoint(side, socket);
  if (rc == 0 && latency)
    rc = is_sender ? ask(side, socket, &msg, body) : echo(side, socket, &msg);
  else if (rc == 0)
    rc = is_sender ? sender(side, socket, body) : receiver(side, socket, &msg);
  zmq_msg_close(&msg);
  free(body);
  return rc;
}

int perf_zmq(perf_side_t* side) {
  int type = ZMQ_DEALER;
  if (side->job.mode == PERF_LATENCY)
    type = side->job.role == PERF_SENDER ? ZMQ_REQ : ZMQ_REP;
  void* ctx = zmq_ctx_new();
  void* socket = ctx != NULL ? zmq_socket(ctx, type) : NULL;
  int rc = socket != NULL ? play(side, socket) : failed("socket");
  if (socket != NULL) zmq_close(socket);
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
