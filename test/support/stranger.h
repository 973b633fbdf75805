/* SPDX-License-Identifier: MIT */
/* A peer that is played by hand, byte by byte, against one socket of the
 * library on the simulated network, under its clock: for tests of what has to
 * come when.  The stranger dials; what it is sent is taken apart here,
 * independently of src/zmtp, and what happens to the socket is written down
 * with the time. */
#ifndef TEST_SUPPORT_STRANGER_H
#define TEST_SUPPORT_STRANGER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/place.h"
#include "support/zmtp_rig.h"

/* What the library said to the stranger. */
typedef struct heard {
  rig_bytes_t raw; /* not taken apart yet */
  bool greeted;
  unsigned readies, pings, pongs, subscribes, errors, frames, messages;
  uint64_t ping_at;    /* when the last one came */
  uint64_t longest;    /* ms between two of them */
  uint8_t context[16]; /* of the last PING */
  size_t context_len;
  unsigned ttl;   /* its tenths */
  size_t bytes;   /* of message frames, as far as they came */
  char order[64]; /* p ping, o pong, f frame with more, m last frame */
} heard_t;

/* What happened to a socket. */
typedef struct told {
  struct scene* scene;
  unsigned ups, downs, messages, stopped, retries, failed, connecting;
  uint64_t up_at, down_at, failed_at, request_failed_at, stopped_at;
  int reason; /* of the last down */
  int failure;
  int stop_code;
  char text[128];
  uint64_t rtt_ns; /* on the way down */
  uint64_t unsure;
  uint64_t waits[64]; /* before the first attempts */
  char said[4096];    /* first bytes of the messages' first frames */
  mcq_peer_t peer;
} told_t;

typedef struct scene {
  ground_t ground;
  mcq_socket_t* s;
  mcq_endpoint_t at;
  told_t told;
  sim_end_t* end; /* the stranger's; NULL: it has none */
  heard_t heard;
  bool answers; /* PING at once */
  size_t rate;  /* bytes it reads when it is told to, 0: all there is */
  void (*on_message)(struct scene* g, mcq_socket_t* s);
} scene_t;

/* ---- the socket's side --------------------------------------------------- */

static inline told_t* told_of(mcq_socket_t* s) {
  return (told_t*) mcq_socket_data(s);
}

static inline uint64_t told_now(const told_t* t) {
  return t->scene->ground.net.now;
}

static inline void scene_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  told_t* t = told_of(s);
  t->ups++;
  t->up_at = told_now(t);
  t->peer = info->peer;
}

static inline void scene_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  told_t* t = told_of(s);
  t->downs++;
  t->down_at = told_now(t);
  t->reason = info->reason;
  t->rtt_ns = info->rtt_ns;
  t->unsure += info->unsure_messages;
  snprintf(t->text, sizeof t->text, "%s", info->text);
}

static inline void scene_message(mcq_socket_t* s, mcq_peer_t peer,
                                 mcq_msg_t* msg) {
  told_t* t = told_of(s);
  (void) peer;
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  if (t->messages < sizeof t->said - 1)
    t->said[t->messages] = f.len == 0 ? '-' : *(const char*) f.data;
  t->messages++;
  if (t->scene->on_message != NULL) t->scene->on_message(t->scene, s);
}

static inline void scene_request_failed(mcq_socket_t* s, int code) {
  told_t* t = told_of(s);
  t->failure = code;
  t->request_failed_at = told_now(t);
}

static inline void scene_event(mcq_socket_t* s, const mcq_event_t* e) {
  told_t* t = told_of(s);
  if (e->kind == MCQ_EVENT_CONNECTING) t->connecting++;
  if (e->kind == MCQ_EVENT_RETRY) {
    if (t->retries < 64) t->waits[t->retries] = e->wait_ms;
    t->retries++;
  }
  if (e->kind == MCQ_EVENT_STOPPED) {
    t->stopped++;
    t->stopped_at = told_now(t);
    t->stop_code = e->code;
  }
  if (e->kind == MCQ_EVENT_HANDSHAKE_FAILED) {
    t->failed++;
    t->failure = e->code;
    t->failed_at = told_now(t);
    snprintf(t->text, sizeof t->text, "%s", e->text);
  }
}

/* A socket that writes in `t`. */
static inline mcq_socket_t* scene_socket(scene_t* g, told_t* t,
                                         mcq_socket_options_t o) {
  mcq_socket_t* s;
  memset(t, 0, sizeof *t);
  t->scene = g;
  o.data = t;
  o.on_peer_up = scene_up;
  o.on_peer_down = scene_down;
  o.on_message = scene_message;
  o.on_event = scene_event;
  o.on_request_failed = scene_request_failed;
  assert_int_equal(mcq_socket_new(g->ground.ctx, &o, &s), 0);
  return s;
}

/* ---- the stranger's side ------------------------------------------------- */

static inline void stranger_say(scene_t* g, const void* data, size_t len) {
  sim_stranger_say(g->end, data, len);
}

static inline void stranger_say_bytes(scene_t* g, rig_bytes_t* b) {
  sim_stranger_say(g->end, b->data, b->len);
  rig_free(b);
}

static inline void stranger_frame(scene_t* g, unsigned flags,
                                  const char* text) {
  rig_bytes_t b = {0};
  rig_frame(&b, flags, text, strlen(text));
  stranger_say_bytes(g, &b);
}

static inline void stranger_ping(scene_t* g, unsigned tenths) {
  rig_bytes_t b = {0};
  uint8_t data[3] = {(uint8_t) (tenths >> 8), (uint8_t) tenths, 'x'};
  rig_command(&b, "PING", data, sizeof data);
  stranger_say_bytes(g, &b);
}

static inline void stranger_pong(scene_t* g) {
  rig_bytes_t b = {0};
  rig_command(&b, "PONG", g->heard.context, g->heard.context_len);
  stranger_say_bytes(g, &b);
}

static inline void heard_note(heard_t* h, char what) {
  size_t len = strlen(h->order);
  if (len + 1 < sizeof h->order) h->order[len] = what;
}

static inline void heard_ping(scene_t* g, const uint8_t* data, size_t len) {
  heard_t* h = &g->heard;
  uint64_t now = g->ground.net.now;
  if (h->pings > 0 && now - h->ping_at > h->longest)
    h->longest = now - h->ping_at;
  h->pings++;
  h->ping_at = now;
  assert_in_range(len, 2, 18);
  h->ttl = (unsigned) data[0] << 8 | data[1];
  h->context_len = len - 2;
  memcpy(h->context, data + 2, len - 2);
  heard_note(h, 'p');
  if (g->answers) stranger_pong(g);
}

static inline bool is_called(const uint8_t* body, size_t len,
                             const char* name) {
  size_t n = strlen(name);
  return len > n && body[0] == n && memcmp(body + 1, name, n) == 0;
}

static inline void heard_command(scene_t* g, const uint8_t* body, size_t len) {
  heard_t* h = &g->heard;
  if (is_called(body, len, "READY")) h->readies++;
  if (is_called(body, len, "ERROR")) h->errors++;
  if (is_called(body, len, "SUBSCRIBE")) h->subscribes++;
  if (is_called(body, len, "PING")) heard_ping(g, body + 5, len - 5);
  if (is_called(body, len, "PONG")) {
    h->pongs++;
    heard_note(h, 'o');
  }
}

/* One frame of what came; 0: it is not there as a whole. */
static inline size_t heard_frame(scene_t* g, const uint8_t* data, size_t len) {
  heard_t* h = &g->heard;
  size_t head = len > 0 && (data[0] & 2) != 0 ? 9 : 2;
  if (len < head) return 0;
  size_t size = data[1];
  if (head == 9)
    size = (size_t) data[5] << 24 | (size_t) data[6] << 16 |
           (size_t) data[7] << 8 | data[8];
  if (len - head < size) return 0;
  if ((data[0] & 4) != 0) {
    heard_command(g, data + head, size);
  } else {
    h->frames++;
    h->bytes += size;
    if ((data[0] & 1) == 0) h->messages++;
    heard_note(h, data[0] & 1 ? 'f' : 'm');
  }
  return head + size;
}

static inline void heard_all(scene_t* g) {
  heard_t* h = &g->heard;
  size_t at = 0;
  if (!h->greeted && h->raw.len >= 64) {
    h->greeted = true;
    at = 64;
  }
  size_t n = 1;
  while (h->greeted && n > 0) {
    n = heard_frame(g, h->raw.data + at, h->raw.len - at);
    at += n;
  }
  h->raw.len -= at;
  if (at != 0 && h->raw.len != 0)
    memmove(h->raw.data, h->raw.data + at, h->raw.len);
}

/* Reads `most` bytes, or all that arrived. */
static inline size_t stranger_read(scene_t* g, size_t most) {
  if (g->end == NULL) return 0;
  sim_pipe_t* p = sim_in(g->end);
  size_t n = p->arrived < most ? p->arrived : most;
  if (n == 0) return 0;
  rig_add(&g->heard.raw, sim_pipe_bytes(p), n);
  sim_pipe_eat(p, n);
  heard_all(g);
  return n;
}

/* ---- time ---------------------------------------------------------------- */

/* All that can happen now; the stranger reads as it comes, unless it reads at
 * its own rate. */
static inline void scene_settle(scene_t* g) {
  bool busy = true;
  while (busy) {
    busy = sim_net_run(&g->ground.net);
    if (g->rate == 0 && stranger_read(g, SIZE_MAX) != 0) busy = true;
    if (g->ground.io != NULL && !sim_io_idle(g->ground.io)) busy = true;
    if (!busy) return;
    uv_run(&g->ground.loop, UV_RUN_NOWAIT);
    if (g->ground.io != NULL && g->ground.io->pump != NULL)
      sim_host_turned((sim_host_t*) g->ground.io->pump);
  }
}

/* Lets `ms` pass. */
static inline void scene_wait(scene_t* g, uint64_t ms) {
  sim_net_t* net = &g->ground.net;
  uint64_t end = net->now + ms;
  for (;;) {
    scene_settle(g);
    uint64_t next = sim_net_next(net);
    if (g->ground.io != NULL && sim_io_next(g->ground.io) < next)
      next = sim_io_next(g->ground.io);
    if (next > end) break;
    net->now = next;
  }
  net->now = end;
}

/* ---- beginning and end --------------------------------------------------- */

static inline void scene_open(scene_t* g, const place_t* place) {
  memset(g, 0, sizeof *g);
  ground_open(&g->ground, place);
}

/* `o` listens. */
static inline void scene_listen(scene_t* g, mcq_socket_options_t o) {
  g->s = scene_socket(g, &g->told, o);
  assert_int_equal(mcq_bind(g->s, "sim://here", &g->at), 0);
  scene_settle(g);
}

static inline void stranger_dial(scene_t* g) {
  memset(&g->heard, 0, sizeof g->heard);
  g->end = sim_stranger_open(&g->ground.net, "sim://here");
}

/* And shakes hands as one of `type` that speaks ZMTP 3.`minor`. */
static inline void stranger_join(scene_t* g, const char* type, unsigned minor) {
  rig_bytes_t b = {0};
  unsigned ups = g->told.ups;
  stranger_dial(g);
  rig_greeting(&b, 3, minor, "NULL");
  rig_ready(&b, type, NULL, 0);
  stranger_say_bytes(g, &b);
  scene_wait(g, 50);
  assert_int_equal(g->told.ups, ups + 1);
  assert_int_equal(g->heard.readies, 1);
}

static inline void stranger_leave(scene_t* g) {
  if (g->end != NULL) sim_stranger_close(g->end);
  g->end = NULL;
  rig_free(&g->heard.raw);
}

static inline void scene_close(scene_t* g) {
  stranger_leave(g);
  ground_finish(&g->ground);
  ground_run(&g->ground);
}

/* No word of either side arrives any more, and neither is told. */
static inline void scene_silence(sim_conn_t* conn) {
  static const uint64_t never[2] = {UINT64_C(1) << 40, UINT64_C(1) << 40};
  static const int code[2] = {UV_ETIMEDOUT, UV_ETIMEDOUT};
  sim_conn_cut(conn, never, code);
}

#endif
