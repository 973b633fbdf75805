/* SPDX-License-Identifier: MIT */
/* This library as a contender in throughput and latency, as its users write
 * it: callbacks, defaults throughout, one context and one loop a process. */
#include <stdlib.h>
#include <string.h>

#include "monocoque.h"
#include "perf_side.h"

enum { BURST = 4096 }; /* messages sent before the loop gets a turn */

typedef struct ours {
  perf_side_t* side;
  uv_loop_t loop;
  uv_idle_t idle; /* active while there is more to send than one burst */
  uv_poll_t poll; /* throughput, sender: orders */
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  char* body;
  uint64_t left;    /* sender: of the order in hand */
  uint64_t orders;  /* receiver: given, sender: taken */
  uint64_t seen;    /* messages or round trips since the last order */
  uint64_t notable; /* the next value of `seen` at which something happens */
  uint64_t ordered; /* receiver: by the order in hand */
  uint64_t asked_ns;
  int code;
} ours_t;

static void on_closed(void* data) {
  ours_t* o = data;
  uv_close((uv_handle_t*) &o->idle, NULL);
  if (o->poll.data != NULL) uv_close((uv_handle_t*) &o->poll, NULL);
}

static void finish(ours_t* o) {
  mcq_ctx_close(o->ctx, on_closed);
}

static void give_up(ours_t* o, const char* what, int code) {
  o->code = tool_fail("%s: %s", what, mcq_strerror(code));
  finish(o);
}

/* ---- throughput, receiver ------------------------------------------------ */

static void order(ours_t* o, uint64_t count) {
  o->orders++;
  o->seen = 0;
  o->notable = 1;
  o->ordered = count;
  if (o->orders == 2) o->side->result.count = count;
  o->code = perf_give_order(count);
  if (o->code != 0) finish(o);
}

/* The first message of an order, and the last one: warmed up, or done. */
static void receiver_notes(ours_t* o) {
  perf_side_t* side = o->side;
  if (o->seen == 1) {
    perf_wall_start(side);
    o->notable = o->ordered;
    return;
  }
  perf_wall_stop(side);
  if (o->orders == 1) {
    perf_cpu_start(side);
    order(o, perf_order(side, side->result.wall_ns));
  } else {
    perf_cpu_stop(side);
    order(o, 0);
    if (o->code == 0) finish(o);
  }
}

static void receiver_message(mcq_socket_t* socket, mcq_peer_t peer,
                             mcq_msg_t* msg) {
  (void) peer, (void) msg;
  ours_t* o = mcq_socket_data(socket);
  if (++o->seen == o->notable) receiver_notes(o);
}

/* ---- throughput, sender -------------------------------------------------- */

static void send_burst(ours_t* o);

static void on_idle(uv_idle_t* idle) {
  send_burst(idle->data);
}

static void send_burst(ours_t* o) {
  int rc = 0;
  for (int i = 0; i < BURST && o->left > 0; i++) {
    rc = mcq_send_bytes(o->socket, o->body, o->side->job.size);
    if (rc != 0) break;
    o->left--;
  }
  if (rc == 0 && o->left > 0)
    uv_idle_start(&o->idle, on_idle);
  else
    uv_idle_stop(&o->idle);
  if (rc != 0 && rc != MCQ_EAGAIN) give_up(o, "cannot send", rc);
}

static void sender_drain(mcq_socket_t* socket) {
  send_burst(mcq_socket_data(socket));
}

static void on_order(uv_poll_t* poll, int status, int events) {
  (void) status, (void) events;
  ours_t* o = poll->data;
  if (uv_is_closing((uv_handle_t*) poll)) return;
  o->code = perf_take_order(&o->left);
  if (o->code != 0 || o->left == 0) {
    perf_cpu_stop(o->side);
    finish(o);
    return;
  }
  if (++o->orders == 2) {
    perf_cpu_start(o->side);
    o->side->result.count = o->left;
  }
  send_burst(o);
}

/* A descriptor in the loop that is silent while messages flow. */
static int await_orders(ours_t* o) {
  int rc = uv_poll_init(&o->loop, &o->poll, PERF_ORDERS);
  if (rc != 0) return rc;
  o->poll.data = o;
  return uv_poll_start(&o->poll, UV_READABLE, on_order);
}

/* ---- latency ------------------------------------------------------------- */

static void echo_message(mcq_socket_t* socket, mcq_peer_t peer,
                         mcq_msg_t* msg) {
  ours_t* o = mcq_socket_data(socket);
  int rc = o->side->job.types == PERF_REQ_REP
               ? mcq_send_msg(socket, msg) /* to whoever asked */
               : mcq_send_msg_to(socket, peer, msg);
  if (rc != 0) {
    give_up(o, "cannot answer", rc);
    return;
  }
  o->seen++;
  if (o->seen == o->side->job.warmup) perf_cpu_start(o->side);
  if (o->seen < o->side->job.warmup + o->side->job.count) return;
  perf_cpu_stop(o->side);
  finish(o);
}

static void ask(ours_t* o) {
  o->asked_ns = perf_now();
  int rc = mcq_send_bytes(o->socket, o->body, o->side->job.size);
  if (rc != 0) give_up(o, "cannot ask", rc);
}

static void asker_up(mcq_socket_t* socket, const mcq_peer_info_t* info) {
  (void) info;
  ours_t* o = mcq_socket_data(socket);
  if (o->seen == 0) ask(o);
}

static void asker_message(mcq_socket_t* socket, mcq_peer_t peer,
                          mcq_msg_t* msg) {
  (void) peer, (void) msg;
  ours_t* o = mcq_socket_data(socket);
  uint64_t took = perf_now() - o->asked_ns;
  o->seen++;
  if (o->seen > o->side->job.warmup && perf_sample(o->side, took)) {
    perf_cpu_stop(o->side);
    finish(o);
    return;
  }
  if (o->seen == o->side->job.warmup) perf_cpu_start(o->side);
  ask(o);
}

/* ---- both ---------------------------------------------------------------- */

static int open_endpoint(ours_t* o) {
  char uri[PERF_ADDRESS];
  perf_address(&o->side->job, uri);
  if (o->side->job.role == PERF_SENDER)
    return mcq_connect(o->socket, uri, NULL, NULL);
  mcq_endpoint_t endpoint;
  int rc = mcq_bind(o->socket, uri, &endpoint);
  if (rc != 0) return rc;
  return perf_bound(o->side, mcq_endpoint_uri(o->socket, endpoint));
}

static int open_socket(ours_t* o) {
  static const int types[PERF_TYPES_COUNT][2] = {{MCQ_PUSH, MCQ_PULL},
                                                 {MCQ_DEALER, MCQ_DEALER},
                                                 {MCQ_DEALER, MCQ_ROUTER},
                                                 {MCQ_PAIR, MCQ_PAIR},
                                                 {MCQ_REQ, MCQ_REP}};
  const perf_job_t* job = &o->side->job;
  bool sender = job->role == PERF_SENDER;
  mcq_socket_options_t options = {.type = types[job->types][!sender],
                                  .data = o};
  if (job->mode == PERF_LATENCY) {
    options.on_peer_up = sender ? asker_up : NULL;
    options.on_message = sender ? asker_message : echo_message;
  } else {
    options.on_message = sender ? NULL : receiver_message;
    options.on_drain = sender ? sender_drain : NULL;
  }
  int rc = mcq_socket_new(o->ctx, &options, &o->socket);
  if (rc != 0 || job->mode == PERF_LATENCY) return rc;
  return sender ? await_orders(o) : 0;
}

static int start(ours_t* o) {
  mcq_ctx_options_t options = {.backend = (int) o->side->job.who,
                               .spin_us = o->side->job.spin_us,
                               .data = o};
  int rc = mcq_ctx_new(&o->loop, &options, &o->ctx);
  if (rc != 0) {
    uv_close((uv_handle_t*) &o->idle, NULL);
    return tool_fail("no context: %s", mcq_strerror(rc));
  }
  rc = open_socket(o);
  if (rc == 0) rc = open_endpoint(o);
  if (rc != 0)
    give_up(o, "no connection", rc);
  else if (o->side->job.mode == PERF_THROUGHPUT &&
           o->side->job.role == PERF_RECEIVER)
    order(o, o->side->job.warmup);
  return o->code;
}

int perf_mcq(perf_side_t* side) {
  ours_t o = {.side = side};
  o.body = tool_alloc(side->job.size);
  memset(o.body, 'm', side->job.size);
  int rc = uv_loop_init(&o.loop);
  if (rc != 0) return tool_fail("no loop: %s", uv_strerror(rc));
  uv_idle_init(&o.loop, &o.idle);
  o.idle.data = &o;
  rc = start(&o);
  uv_run(&o.loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&o.loop) != 0) tool_say("something is still open");
  free(o.body);
  return rc != 0 ? rc : o.code;
}
