/* SPDX-License-Identifier: MIT */
/* For tests of publishers and subscribers: players who also keep what events
 * told them, and raw peers that speak ZMTP byte by byte over tcp.  Built on
 * players.h and the stream builders of zmtp_rig.h. */
#ifndef TEST_SUPPORT_TOPICS_H
#define TEST_SUPPORT_TOPICS_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/players.h"
#include "support/zmtp_rig.h"

/* ---- players with an ear for events -------------------------------------- */

typedef struct fan {
  player_t p; /* first: mcq_socket_data is both */
  unsigned subscribed;
  unsigned unsubscribed;
  unsigned retries;
  uint64_t dropped;      /* sum over the events */
  mcq_peer_t who;        /* of the last (un)subscribed */
  mcq_peer_t dropped_by; /* of the last dropped */
  char topic[64];
  unsigned taken; /* messages a deaf one was given */
  void (*on_event)(struct fan* f, const mcq_event_t* e);
} fan_t;

static inline void fan_event(mcq_socket_t* s, const mcq_event_t* e) {
  fan_t* f = (fan_t*) mcq_socket_data(s);
  assert_false(f->p.g->in_call);
  if (e->kind == MCQ_EVENT_SUBSCRIBED || e->kind == MCQ_EVENT_UNSUBSCRIBED) {
    size_t len = e->topic_len < 63 ? e->topic_len : 63;
    if (len != 0) memcpy(f->topic, e->topic, len);
    f->topic[len] = '\0';
    f->who = e->peer;
    if (e->kind == MCQ_EVENT_SUBSCRIBED)
      f->subscribed++;
    else
      f->unsubscribed++;
  }
  if (e->kind == MCQ_EVENT_RETRY) f->retries++;
  if (e->kind == MCQ_EVENT_DROPPED) {
    assert_true(e->count > 0);
    f->dropped += e->count;
    f->dropped_by = e->peer;
  }
  if (f->on_event != NULL) f->on_event(f, e);
}

static inline void fan_open(fan_t* f, stage_t* g, mcq_socket_options_t o) {
  memset(f, 0, sizeof *f);
  o.on_event = fan_event;
  player_open(&f->p, g, o);
}

/* Counts what it is given and keeps none of it. */
static inline void fan_take(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  ((fan_t*) p)->taken++;
}

static inline void fan_deaf(fan_t* f) {
  f->p.count = HEARD_MAX;
  f->p.on_message = fan_take;
}

static inline void follow(fan_t* f, const char* topic) {
  assert_int_equal(mcq_subscribe(f->p.s, topic, strlen(topic)), 0);
}

static inline void forsake(fan_t* f, const char* topic) {
  assert_int_equal(mcq_unsubscribe(f->p.s, topic, strlen(topic)), 0);
}

/* A subscriber of `to`, connected; what it wanted is in force. */
static inline void fan_join(fan_t* f, fan_t* to) {
  player_meet(&f->p, &to->p);
  if (mcq_socket_type(f->p.s) == MCQ_SUB && player_stats(&f->p).subscriptions)
    until(f->p.g, f->subscribed > 0);
}

/* All that was subscribed to until now is in force at one publisher. */
static inline void fan_settle(fan_t* f) {
  unsigned before = f->subscribed;
  static const char odd[] = "\xff\xfe nobody says this";
  assert_int_equal(mcq_subscribe(f->p.s, odd, sizeof odd), 0);
  until(f->p.g, f->subscribed > before);
  assert_int_equal(mcq_unsubscribe(f->p.s, odd, sizeof odd), 0);
}

/* Whether message `i` is `lead` and then `topic`. */
static inline bool heard_topic(const player_t* p, unsigned i, char lead,
                               const char* topic) {
  if (i >= p->count || mcq_msg_count(p->heard[i]) != 1) return false;
  mcq_frame_t f = mcq_msg_frame(p->heard[i], 0);
  const char* text = (const char*) f.data;
  return f.len == 1 + strlen(topic) && text[0] == lead &&
         memcmp(text + 1, topic, f.len - 1) == 0;
}

#define assert_told(p, i, lead, topic) \
  assert_true(heard_topic((p), (i), (lead), (topic)))

/* ---- raw peers ----------------------------------------------------------- */

typedef struct raw {
  stage_t* g;
  int door; /* -1: none */
  int fd;
  rig_bytes_t in;
  size_t at;
  bool ended;
  int buffer; /* what its kernel holds for it, bytes; 0: the usual */
} raw_t;

static inline void raw_open(raw_t* r, stage_t* g) {
  memset(r, 0, sizeof *r);
  r->g = g;
  r->door = r->fd = -1;
}

static inline void raw_hang_up(raw_t* r) {
  if (r->fd >= 0) close(r->fd);
  rig_free(&r->in);
  r->fd = -1;
  r->at = 0;
  r->ended = false;
}

static inline void raw_close(raw_t* r) {
  raw_hang_up(r);
  if (r->door >= 0) close(r->door);
}

static inline void raw_connect(raw_t* r, const player_t* to) {
  const char* uri = mcq_endpoint_uri(to->s, to->at);
  struct sockaddr_in a;
  assert_int_equal(uv_ip4_addr("127.0.0.1", atoi(strrchr(uri, ':') + 1), &a),
                   0);
  int now = 1; /* or it waits for acknowledgements, which take their time */
  r->fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(
      setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now), 0);
  if (r->buffer != 0)
    assert_int_equal(
        setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &r->buffer, sizeof r->buffer),
        0);
  assert_int_equal(connect(r->fd, (struct sockaddr*) &a, sizeof a), 0);
}

/* Listens, and `p` is to connect. */
static inline void raw_listen(raw_t* r, player_t* p) {
  struct sockaddr_in a;
  socklen_t len = sizeof a;
  char uri[64];
  assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &a), 0);
  r->door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  assert_int_equal(bind(r->door, (struct sockaddr*) &a, sizeof a), 0);
  assert_int_equal(listen(r->door, 8), 0);
  assert_int_equal(getsockname(r->door, (struct sockaddr*) &a, &len), 0);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ntohs(a.sin_port));
  assert_int_equal(mcq_connect(p->s, uri, NULL, &p->at), 0);
}

static inline void raw_accept(raw_t* r) {
  while ((r->fd = accept(r->door, NULL, NULL)) < 0) stage_step(r->g);
}

static inline void raw_say(raw_t* r, rig_bytes_t* b) {
  size_t at = 0;
  while (at < b->len) {
    ssize_t n =
        send(r->fd, b->data + at, b->len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) assert_int_equal(errno, EAGAIN);
    if (n > 0) at += (size_t) n;
    if (at < b->len) stage_step(r->g);
  }
  rig_free(b);
}

/* Greeting and READY of a peer of version 3.`minor`. */
static inline void raw_hello(raw_t* r, unsigned minor, const char* type) {
  rig_bytes_t b = {0};
  rig_greeting(&b, 3, minor, "NULL");
  rig_ready(&b, type, NULL, 0);
  raw_say(r, &b);
}

/* A message of one frame: `lead` and a topic, RFC 23's subscriptions. */
static inline void raw_topic(raw_t* r, unsigned lead, const char* topic) {
  rig_bytes_t b = {0};
  rig_head(&b, 0, 1 + strlen(topic));
  rig_byte(&b, lead);
  rig_add(&b, topic, strlen(topic));
  raw_say(r, &b);
}

static inline void raw_command(raw_t* r, const char* name, const char* data) {
  rig_bytes_t b = {0};
  rig_command(&b, name, data, strlen(data));
  raw_say(r, &b);
}

static inline void raw_look(raw_t* r) {
  static uint8_t buffer[65536];
  ssize_t n = recv(r->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n > 0) rig_add(&r->in, buffer, (size_t) n);
  if (n == 0 || (n < 0 && errno != EAGAIN)) r->ended = true;
}

static inline bool raw_has(raw_t* r, size_t n) {
  if (r->in.len - r->at < n) raw_look(r);
  return r->in.len - r->at >= n;
}

/* Waits for them; the other side may not end before. */
static inline void raw_need(raw_t* r, size_t n) {
  while (!raw_has(r, n)) {
    assert_false(r->ended);
    stage_step(r->g);
  }
}

/* The next frame: its flags; `*body` and `*len` are good until the next. */
static inline unsigned raw_frame(raw_t* r, const uint8_t** body, size_t* len) {
  raw_need(r, 2);
  unsigned flags = r->in.data[r->at];
  size_t head = (flags & 2) != 0 ? 9 : 2;
  raw_need(r, head);
  *len = 0;
  for (size_t i = 1; i < head; i++) *len = *len << 8 | r->in.data[r->at + i];
  raw_need(r, head + *len);
  *body = r->in.data + r->at + head;
  r->at += head + *len;
  return flags;
}

/* Passes over greeting and READY of the other side. */
static inline void raw_greeted(raw_t* r) {
  const uint8_t* body;
  size_t len;
  raw_need(r, 64);
  r->at += 64;
  assert_int_equal(raw_frame(r, &body, &len) & 4, 4);
  assert_memory_equal(body, "\5READY", 6);
}

/* The next frame is this one. */
static inline void raw_expect(raw_t* r, unsigned flags, const void* body,
                              size_t len) {
  const uint8_t* have;
  size_t have_len;
  assert_int_equal(raw_frame(r, &have, &have_len), flags);
  assert_int_equal(have_len, len);
  if (len != 0) assert_memory_equal(have, body, len);
}

#endif
