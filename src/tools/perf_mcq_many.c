/* SPDX-License-Identifier: MIT */
/* This library in the benchmarks with one socket on one side and many on the
 * other: PUB and SUBs, ROUTER and DEALERs, each side on one loop. */
#include <stdlib.h>
#include <string.h>

#include "monocoque.h"
#include "perf_side.h"

enum {
  BURST = 4096
}; /* messages to each before the loop gets a turn; as a
      rule its queue is full before */

typedef struct many {
  perf_side_t* side;
  uv_loop_t loop;
  uv_idle_t idle; /* active while there is more to publish than one burst */
  mcq_ctx_t* ctx;
  mcq_socket_t* socket; /* the one, or the last of the many */
  char* body;
  uint64_t all;   /* messages or questions, the warm-up too */
  uint64_t done;  /* of them: published, echoed */
  uint64_t ready; /* subscribed, or connected */
  int code;
} many_t;

static void on_closed(void* data) {
  many_t* m = data;
  const perf_job_t* job = &m->side->job;
  if (job->mode == PERF_FANOUT && job->role == PERF_SENDER)
    perf_cpu_stop(m->side);
  uv_close((uv_handle_t*) &m->idle, NULL);
}

static void finish(many_t* m) {
  mcq_ctx_close(m->ctx, on_closed);
}

static void give_up(many_t* m, const char* what, int code) {
  m->code = tool_fail("%s: %s", what, mcq_strerror(code));
  finish(m);
}

/* ---- fanout -------------------------------------------------------------- */

static void publish(many_t* m);

static void on_idle(uv_idle_t* idle) {
  publish(idle->data);
}

static int publish_one(many_t* m) {
  const perf_job_t* job = &m->side->job;
  if (m->done == job->warmup) perf_cpu_start(m->side);
  if (job->filtered) perf_topic(m->body, m->done % job->peers);
  return mcq_send_bytes(m->socket, m->body, job->size);
}

static void publish(many_t* m) {
  const perf_job_t* job = &m->side->job;
  uint64_t burst = job->filtered ? BURST * job->peers : BURST;
  int rc = 0;
  for (; burst > 0 && m->done < m->all; burst--) {
    rc = publish_one(m);
    if (rc != 0) break;
    m->done++;
  }
  if (rc == 0 && m->done < m->all) {
    uv_idle_start(&m->idle, on_idle);
    return;
  }
  uv_idle_stop(&m->idle);
  if (rc != 0 && rc != MCQ_EAGAIN)
    give_up(m, "cannot publish", rc);
  else if (rc == 0)
    finish(m);
}

static void on_publisher_event(mcq_socket_t* socket, const mcq_event_t* event) {
  many_t* m = mcq_socket_data(socket);
  if (event->kind != MCQ_EVENT_SUBSCRIBED) return;
  if (++m->ready == m->side->job.peers) publish(m);
}

static void on_room(mcq_socket_t* socket) {
  publish(mcq_socket_data(socket));
}

static void on_published(mcq_socket_t* socket, mcq_peer_t peer,
                         mcq_msg_t* msg) {
  (void) peer, (void) msg;
  many_t* m = mcq_socket_data(socket);
  if (perf_seen(m->side)) finish(m);
}

static int subscribe(many_t* m, uint64_t i) {
  char topic[PERF_TOPIC];
  perf_topic(topic, i);
  return mcq_subscribe(m->socket, topic,
                       m->side->job.filtered ? sizeof topic : 0);
}

/* ---- peers --------------------------------------------------------------- */

static void on_question(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  many_t* m = mcq_socket_data(socket);
  int rc = mcq_send_msg_to(socket, peer, msg);
  if (rc != 0 && m->side->told == 0) give_up(m, "cannot answer", rc);
  m->done++;
  if (m->done == m->side->job.warmup) perf_cpu_start(m->side);
  if (m->done != m->all) return;
  perf_cpu_stop(m->side);
  if (perf_tell(m->side) != 0) finish(m);
}

static void ask(many_t* m, mcq_socket_t* socket) {
  int rc = mcq_send_bytes(socket, m->body, m->side->job.size);
  if (rc != 0) give_up(m, "cannot ask", rc);
}

static void on_answer(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer, (void) msg;
  many_t* m = mcq_socket_data(socket);
  if (m->side->told != 0) return;
  if (!perf_seen(m->side)) {
    ask(m, socket);
    return;
  }
  m->code = perf_tell(m->side);
  finish(m);
}

static void begin_to_ask(mcq_socket_t* socket, const mcq_peer_info_t* info) {
  (void) info;
  many_t* m = mcq_socket_data(socket);
  for (size_t i = 0; i < m->side->job.outstanding; i++) ask(m, socket);
}

/* ---- both ---------------------------------------------------------------- */

static mcq_socket_options_t options_of(many_t* m) {
  const perf_job_t* job = &m->side->job;
  mcq_socket_options_t o = {.data = m};
  if (job->mode == PERF_FANOUT && job->role == PERF_SENDER) {
    o.type = MCQ_PUB;
    o.slow_peer = MCQ_SLOW_REFUSE;
    o.on_event = on_publisher_event;
    o.on_drain = on_room;
  } else if (job->mode == PERF_FANOUT) {
    o.type = MCQ_SUB;
    o.on_message = on_published;
  } else if (job->role == PERF_SENDER) {
    o.type = MCQ_DEALER;
    o.on_message = on_answer;
    o.on_peer_up = begin_to_ask;
  } else {
    o.type = MCQ_ROUTER;
    o.on_message = on_question;
  }
  return o;
}

static int open_one(many_t* m, const mcq_socket_options_t* options) {
  mcq_endpoint_t endpoint;
  char uri[PERF_ADDRESS];
  perf_address(&m->side->job, uri);
  mcq_socket_options_t o = *options;
  o.backlog = PERF_BACKLOG;
  o.max_handshakes = -1;
  int rc = mcq_socket_new(m->ctx, &o, &m->socket);
  if (rc == 0) rc = mcq_bind(m->socket, uri, &endpoint);
  if (rc != 0) return rc;
  return perf_bound(m->side, mcq_endpoint_uri(m->socket, endpoint));
}

static int open_many(many_t* m, const mcq_socket_options_t* options) {
  char uri[PERF_ADDRESS];
  perf_address(&m->side->job, uri);
  int rc = 0;
  for (uint64_t i = 0; rc == 0 && i < m->side->job.peers; i++) {
    rc = mcq_socket_new(m->ctx, options, &m->socket);
    if (rc == 0 && options->type == MCQ_SUB) rc = subscribe(m, i);
    if (rc == 0) rc = mcq_connect(m->socket, uri, NULL, NULL);
  }
  return rc;
}

static int start(many_t* m) {
  const perf_job_t* job = &m->side->job;
  mcq_ctx_options_t options = {
      .backend = (int) job->who, .spin_us = job->spin_us, .data = m};
  int rc = mcq_ctx_new(&m->loop, &options, &m->ctx);
  if (rc != 0) {
    uv_close((uv_handle_t*) &m->idle, NULL);
    return tool_fail("no context: %s", mcq_strerror(rc));
  }
  mcq_socket_options_t o = options_of(m);
  rc = perf_listens(job->mode, job->role) ? open_one(m, &o) : open_many(m, &o);
  if (rc != 0) give_up(m, "no connection", rc);
  return m->code;
}

int perf_mcq_many(perf_side_t* side) {
  many_t m = {.side = side, .all = side->job.warmup + side->job.count};
  m.body = tool_alloc(side->job.size + PERF_TOPIC);
  memset(m.body, 'm', side->job.size);
  int rc = uv_loop_init(&m.loop);
  if (rc != 0) return tool_fail("no loop: %s", uv_strerror(rc));
  uv_idle_init(&m.loop, &m.idle);
  m.idle.data = &m;
  rc = start(&m);
  uv_run(&m.loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&m.loop) != 0) tool_say("something is still open");
  free(m.body);
  return rc != 0 ? rc : m.code;
}
