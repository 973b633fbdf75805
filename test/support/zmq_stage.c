/* SPDX-License-Identifier: MIT */
/* Our side of a stage (see zmq_stage.h).  It keeps what came and plays no
 * part. */
#include "support/zmq_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

/* ---- lines --------------------------------------------------------------- */

void line_add(char line[LINE_MAX_LEN], const void* data, size_t len,
              bool first) {
  const char* bytes = (const char*) data;
  size_t at = first ? 0 : strlen(line);
  MUST(at + LONG_FRAME + 2 < LINE_MAX_LEN);
  if (!first) line[at++] = '|';
  if (len > LONG_FRAME) {
    snprintf(line + at, LINE_MAX_LEN - at, "%zu", len);
    return;
  }
  for (size_t i = 0; i < len; i++)
    line[at++] = bytes[i] == 1 ? '+' : bytes[i] == 0 ? '-' : bytes[i];
  line[at] = '\0';
}

/* ---- sockets of ours ----------------------------------------------------- */

static ours_t* of(mcq_socket_t* s) {
  return (ours_t*) mcq_socket_data(s);
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  ours_t* o = of(s);
  heard_t* h = &o->heard[o->count++ % KEPT];
  h->peer = peer;
  for (size_t i = 0; i < mcq_msg_count(msg); i++) {
    mcq_frame_t f = mcq_msg_frame(msg, i);
    line_add(h->line, f.data, f.len, i == 0);
  }
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  of(s)->ups++;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  of(s)->downs++;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  if (e->kind == MCQ_EVENT_SUBSCRIBED) of(s)->subscribed++;
  if (e->kind == MCQ_EVENT_UNSUBSCRIBED) of(s)->unsubscribed++;
}

void ours_open(ours_t* o, stage_t* g, mcq_socket_options_t options) {
  memset(o, 0, sizeof *o);
  o->g = g;
  options.data = o;
  options.on_message = on_message;
  options.on_peer_up = on_up;
  options.on_peer_down = on_down;
  options.on_event = on_event;
  if (options.sndhwm == 0) options.sndhwm = -1;
  if (options.sndhwm_bytes == 0) options.sndhwm_bytes = -1;
  assert_int_equal(mcq_socket_new(g->ctx, &options, &o->s), 0);
}

const char* ours_bind(ours_t* o) {
  char uri[URI_MAX];
  venue_uri(o->g->venue, uri);
  assert_int_equal(mcq_bind(o->s, uri, &o->at), 0);
  return mcq_endpoint_uri(o->s, o->at);
}

void ours_connect(ours_t* o, const char* uri) {
  assert_int_equal(mcq_connect(o->s, uri, NULL, NULL), 0);
}

void ours_say(ours_t* o, const char* line) {
  static const char leads[] = {0, 1};
  size_t head = strcspn(line, "|");
  mcq_frame_t frames[2] = {{line, head}, {line + head + 1, 0}};
  size_t count = line[head] == '|' ? 2 : 1;
  char first[LINE_MAX_LEN];
  if (count == 2) frames[1].len = strlen(line + head + 1);
  if (line[0] == '+' || line[0] == '-') {
    memcpy(first, line, head);
    first[0] = leads[line[0] == '+'];
    frames[0].data = first;
  }
  assert_int_equal(mcq_send(o->s, frames, count), 0);
}

void ours_follow(ours_t* o, const char* topic) {
  assert_int_equal(mcq_subscribe(o->s, topic, strlen(topic)), 0);
}

void ours_forsake(ours_t* o, const char* topic) {
  assert_int_equal(mcq_unsubscribe(o->s, topic, strlen(topic)), 0);
}

uint64_t ours_topics(const ours_t* o) {
  mcq_stats_t stats;
  mcq_stats(o->s, &stats);
  return stats.subscriptions;
}

const heard_t* ours_hear(ours_t* o) {
  until(o->g, o->count > o->read);
  assert_true(o->count - o->read <= KEPT);
  return &o->heard[o->read++ % KEPT];
}

const char* ours_last(const ours_t* o) {
  return o->count == 0 ? "" : o->heard[(o->count - 1) % KEPT].line;
}

/* ---- the stage ----------------------------------------------------------- */

static void on_tick(uv_timer_t* tick) {
  ((stage_t*) tick->data)->ticks++;
}

void stage_open(stage_t* g, const venue_t* venue) {
  memset(g, 0, sizeof *g);
  g->venue = venue;
  duo_open(&g->duo, puppet_life, venue);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  uv_timer_init(&g->loop, &g->tick);
  g->tick.data = g;
  uv_timer_start(&g->tick, on_tick, 1, 1);
  mcq_ctx_options_t o = {.backend = venue->backend, .data = g};
  assert_int_equal(mcq_ctx_new(&g->loop, &o, &g->ctx), 0);
}

static void on_left(void* data) {
  ((stage_t*) data)->left = true;
}

void stage_close(stage_t* g) {
  mcq_ctx_close(g->ctx, on_left);
  until(g, g->left);
  uv_close((uv_handle_t*) &g->tick, NULL);
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  duo_close(&g->duo);
}

void order(stage_t* g, const char* verb, int i, const char* what) {
  char line[700];
  int len = snprintf(line, sizeof line, "%s %d %s\n", verb, i, what);
  assert_in_range(len, 1, sizeof line - 1);
  assert_int_equal(write(g->duo.out, line, (size_t) len), len);
}

const char* answer(stage_t* g) {
  static char line[LINE_MAX_LEN + 1];
  size_t len = 0;
  struct pollfd p = {.fd = g->duo.in, .events = POLLIN};
  for (;;) {
    until(g, poll(&p, 1, 0) == 1);
    assert_int_equal(read(g->duo.in, line + len, 1), 1);
    if (line[len] == '\n') break;
    assert_true(++len < sizeof line);
  }
  line[len] = '\0';
  return line;
}

void theirs_connect(stage_t* g, int i, const char* type, const char* uri) {
  order(g, "open", i, type);
  order(g, "connect", i, uri);
}

const char* theirs_bind(stage_t* g, int i, const char* type) {
  order(g, "open", i, type);
  order(g, "bind", i, "");
  return answer(g);
}
