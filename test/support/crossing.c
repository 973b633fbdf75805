/* SPDX-License-Identifier: MIT */
/* One play over a relay (see crossing.h): who is there, what is sent, what
 * must have arrived. */
#include "support/crossing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WINDOW 4         /* messages under way */
#define QUEUE 3          /* sent while nobody is there */
#define EARLY 3          /* exchanged before anything happens, */
#define LATER 9          /* and afterwards */
#define FRESH 4          /* that show that a new connection works */
#define EITHER_TURNS 100 /* for another library to come again by itself */
#define FILL 0xEE
#define BESIDE_EVERY 20 /* turns between messages of the bystander */
#define PATIENCE 30000u

static void fail_play(const crossing_t* x, const char* why) {
  fail_msg("%s, '%s', way %u: %s (sent %u, far %u, near %u, struck %u)",
           x->pairing->name, x->row->name, x->fault.ways, why, x->lane[0].sent,
           x->lane[0].next_far, x->lane[0].next_near, x->relay.struck);
}

#define require(x, condition) \
  ((condition) ? (void) 0 : fail_play((x), #condition))

#define until(x, condition)                                            \
  while (!(condition)) {                                               \
    if (++(x)->turns > PATIENCE) fail_play((x), "never: " #condition); \
    step(x);                                                           \
  }

/* ---- who is who ---------------------------------------------------------- */

static party_t* of(mcq_socket_t* s) {
  party_t* p = (party_t*) mcq_socket_data(s);
  p->x->noise++;
  return p;
}

static bool serves_alone(const crossing_t* x) {
  return x->pairing->alone;
}

static party_t* driver(crossing_t* x, int lane) {
  if (x->pairing->server_drives) return &x->server;
  return lane == 0 ? &x->client : &x->beside;
}

static party_t* hearer(crossing_t* x, int lane) {
  if (!x->pairing->server_drives) return &x->server;
  return lane == 0 ? &x->client : &x->beside;
}

static bool is_ours(const party_t* p) {
  return p->s != NULL;
}

static int lane_of_peer(const party_t* p, mcq_peer_t peer) {
  for (int lane = 0; lane < 2; lane++)
    if (p->there[lane] && p->peer[lane].epoch == peer.epoch) return lane;
  fail_play(p->x, "a handle of nobody who is there");
  return 0;
}

/* ---- lanes --------------------------------------------------------------- */

static const uint8_t* filling(void) {
  static uint8_t* bytes;
  if (bytes == NULL) {
    bytes = (uint8_t*) malloc(LARGE_BODY);
    assert_non_null(bytes);
    memset(bytes, FILL, LARGE_BODY);
  }
  return bytes;
}

/* What another library has queued may have been begun by it. */
static bool keeps(const crossing_t* x, const party_t* p) {
  return x->pairing->keeps && is_ours(p);
}

static void ready(crossing_t* x, int lane) {
  lane_t* l = &x->lane[lane];
  party_t* p = driver(x, lane);
  l->ready = true;
  l->base = l->sent;
  if (!keeps(x, p)) l->safe_from = l->sent;
  if (!is_ours(p)) p->asking = false;
}

void crossing_ready(party_t* p, int lane) {
  ready(p->x, lane);
}

static void unready(crossing_t* x, int lane) {
  lane_t* l = &x->lane[lane];
  l->ready = false;
  l->base = l->sent;
  l->safe_from = l->sent;
  /* It cannot have left as a whole, nor anything behind it. */
  if (x->row->large && x->armed) l->safe_from = x->large;
}

static uint32_t settled(const crossing_t* x, int lane) {
  const lane_t* l = &x->lane[lane];
  return x->pairing->echoes ? l->next_near : l->next_far;
}

static bool wants_more(const crossing_t* x, int lane, const party_t* p) {
  const lane_t* l = &x->lane[lane];
  uint32_t from = settled(x, lane);
  uint32_t window = l->ready ? WINDOW : keeps(x, p) ? QUEUE : 0;
  if (from < l->base) from = l->base;
  if (lane == 1 && (window == 0 || x->turns < l->pause)) return false;
  if (lane == 1) window = 1;
  if (p->type == MCQ_REQ) window = p->asking || window == 0 ? 0 : NUMBERS_MAX;
  return l->sent < l->limit && l->sent - from < window;
}

static int send_as(party_t* p, int lane, const mcq_frame_t* frames) {
  if (!is_ours(p)) return p->x->send(p, frames, 2);
  if (p->serves && p->type != MCQ_PUB && p->type != MCQ_REQ)
    return mcq_send_to(p->s, p->peer[lane], frames, 2);
  return mcq_send(p->s, frames, 2);
}

static bool send_one(crossing_t* x, int lane) {
  lane_t* l = &x->lane[lane];
  party_t* p = driver(x, lane);
  uint8_t head[5] = {(uint8_t) ("rb"[lane])};
  require(x, l->sent < NUMBERS_MAX);
  memcpy(head + 1, &l->sent, sizeof l->sent);
  bool large = lane == 0 && x->row->large && l->sent == x->large;
  mcq_frame_t frames[2] = {{head, sizeof head},
                           {filling(), large ? LARGE_BODY : BODY}};
  int rc = send_as(p, lane, frames);
  if (rc == MCQ_EAGAIN || rc == MCQ_EPEERGONE) return false;
  require(x, rc == 0);
  p->asking = p->type == MCQ_REQ;
  l->sent++;
  l->pause = x->turns + BESIDE_EVERY;
  x->noise++;
  return true;
}

static void drive(crossing_t* x) {
  for (int lane = 0; lane < 2 && !x->closing; lane++)
    while (wants_more(x, lane, driver(x, lane)) && send_one(x, lane)) continue;
}

static void step(crossing_t* x) {
  x->turn(x);
  drive(x);
}

/* ---- what is heard ------------------------------------------------------- */

static bool all_filling(mcq_frame_t f) {
  return f.len == 0 || memcmp(f.data, filling(), f.len) == 0;
}

/* The number of a message that is as it was sent; or -1. */
static int64_t number_of(const crossing_t* x, int lane,
                         const mcq_frame_t* frames, size_t count) {
  uint32_t number;
  if (count != 2 || frames[0].len != 5) return -1;
  const uint8_t* head = (const uint8_t*) frames[0].data;
  memcpy(&number, head + 1, sizeof number);
  bool large = lane == 0 && x->row->large && number == x->large;
  if (head[0] != (uint8_t) "rb"[lane] || number >= x->lane[lane].sent ||
      frames[1].len != (large ? LARGE_BODY : BODY) || !all_filling(frames[1]))
    return -1;
  return number;
}

/* The answer to a question may be spoiled as well: one fault, two messages. */
static void note_spoiled(crossing_t* x, int lane) {
  require(x, lane == 0 && x->armed);
  x->spoiled++;
  require(x, x->spoiled <= x->row->spoiled * (x->pairing->echoes ? 2 : 1));
}

static void note(crossing_t* x, int lane, int64_t number, bool far) {
  lane_t* l = &x->lane[lane];
  uint32_t* next = far ? &l->next_far : &l->next_near;
  if (number < 0) {
    note_spoiled(x, lane);
    return;
  }
  require(x, (uint32_t) number >= *next); /* in order, and none twice */
  *next = (uint32_t) number + 1;
  (far ? l->got_far : l->got_near)[number] = true;
}

static bool heard(party_t* p, int lane, const mcq_frame_t* frames,
                  size_t count) {
  crossing_t* x = p->x;
  bool far = p == hearer(x, lane);
  x->noise++;
  note(x, lane, number_of(x, lane, frames, count), far);
  if (!far) p->asking = false;
  return far && x->pairing->echoes;
}

bool crossing_heard(party_t* p, const mcq_frame_t* frames, size_t count) {
  int lane = p->lane;
  if (lane < 0) {
    const char* head = (const char*) frames[0].data;
    lane = count > 0 && frames[0].len > 0 && head[0] == 'b' ? 1 : 0;
  }
  return heard(p, lane, frames, count);
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  party_t* p = of(s);
  mcq_frame_t frames[4];
  size_t count = mcq_msg_count(msg);
  for (size_t i = 0; i < 4 && i < count; i++) frames[i] = mcq_msg_frame(msg, i);
  if (!heard(p, lane_of_peer(p, peer), frames, count)) return;
  int rc =
      p->type == MCQ_REP ? mcq_send_msg(s, msg) : mcq_send_msg_to(s, peer, msg);
  require(p->x, rc == 0);
}

/* ---- who comes and goes -------------------------------------------------- */

/* The bystander was there first. */
static int lane_of_new(const party_t* p) {
  if (p->lane >= 0) return p->lane;
  return serves_alone(p->x) || p->ups[1] > 0 ? 0 : 1;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  party_t* p = of(s);
  crossing_t* x = p->x;
  int lane = lane_of_new(p);
  require(x, !p->there[lane]);
  require(x, info->peer.epoch > p->last_epoch);
  require(x, lane == 0 || p->ups[1] == 0);
  p->last_epoch = info->peer.epoch;
  p->there[lane] = true;
  p->peer[lane] = info->peer;
  p->ups[lane]++;
  /* A publisher has to be asked for something first. */
  if (p->type == MCQ_PUB || p->type == MCQ_SUB) return;
  if (p == driver(x, lane) || !is_ours(driver(x, lane))) ready(x, lane);
}

static void note_code(party_t* p, int code) {
  if (p->x->armed && p->code == 0) p->code = code;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  party_t* p = of(s);
  crossing_t* x = p->x;
  mcq_frame_t nothing = {"", 0};
  int lane = lane_of_peer(p, info->peer);
  require(x, info->reason < 0);
  require(x, x->closing || (lane == 0 && x->armed));
  require(x, mcq_send_to(s, info->peer, &nothing, 1) != 0);
  p->there[lane] = false;
  p->downs[lane]++;
  note_code(p, info->reason);
  if (p == driver(x, lane) || !is_ours(driver(x, lane))) unready(x, lane);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  party_t* p = of(s);
  crossing_t* x = p->x;
  if (e->kind == MCQ_EVENT_HANDSHAKE_FAILED) note_code(p, e->code);
  if (e->kind == MCQ_EVENT_STOPPED) p->stopped = true;
  if (e->kind != MCQ_EVENT_SUBSCRIBED || x->closing) return;
  int lane = lane_of_peer(p, e->peer);
  if (p == driver(x, lane)) ready(x, lane);
}

static void on_failed(mcq_socket_t* s, int code) {
  party_t* p = of(s);
  require(p->x, code == MCQ_EPEERGONE || code == MCQ_ETIMEDOUT);
  require(p->x, p->x->closing || p->x->armed);
  p->asking = false;
}

/* ---- the scene ----------------------------------------------------------- */

/* Only who takes his own place over has a name. */
static bool has_name(const party_t* p) {
  return p->lane == 0 && (p->x->row->where & ONLY_ROUTER) != 0;
}

static void open_party(party_t* p, crossing_t* x, const char* name, int type,
                       int lane) {
  p->x = x;
  p->name = name;
  p->type = type;
  p->lane = lane;
  if (p->theirs != NULL) {
    x->open(p);
    return;
  }
  mcq_socket_options_t o = {.type = type,
                            .data = p,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .on_event = on_event,
                            .reconnect_ms = 4,
                            .reconnect_max_ms = 16,
                            .linger_ms = 50,
                            .handshake_ms = x->handshake_ms};
  if (has_name(p)) {
    o.routing_id = "again";
    o.routing_id_len = 5;
  }
  if (type == MCQ_REQ) {
    o.on_request_failed = on_failed;
    o.request_ms = x->request_ms;
    o.flags = x->request_flags;
  }
  assert_int_equal(mcq_socket_new(x->ctx, &o, &p->s), 0);
  if (type != MCQ_SUB) return;
  size_t len = lane < 0 ? 0 : 1;
  assert_int_equal(mcq_subscribe(p->s, lane == 1 ? "b" : "r", len), 0);
}

static void bind_server(crossing_t* x) {
  party_t* p = &x->server;
  p->serves = true;
  open_party(p, x, "the server", x->pairing->server, -1);
  if (!is_ours(p)) return;
  assert_int_equal(mcq_bind(p->s, "tcp://127.0.0.1:*", &p->end), 0);
  snprintf(x->uri, sizeof x->uri, "%s", mcq_endpoint_uri(p->s, p->end));
}

static void connect_party(party_t* p, const char* uri) {
  assert_int_equal(mcq_connect(p->s, uri, NULL, &p->end), 0);
}

static void place_bystander(crossing_t* x) {
  if (serves_alone(x)) return;
  open_party(&x->beside, x, "the bystander", x->pairing->client, 1);
  connect_party(&x->beside, x->uri);
  x->lane[1].limit = UINT32_MAX;
  until(x, settled(x, 1) >= EARLY);
}

static void place_client(crossing_t* x) {
  open_party(&x->client, x, "the client", x->pairing->client, 0);
  if (is_ours(&x->client)) connect_party(&x->client, x->relay.uri);
}

/* Bytes on the wire before a message of the plays. */
static size_t envelope_size(const crossing_t* x) {
  if (!x->pairing->asks) return 0;
  return x->request_flags & MCQ_REQ_CORRELATE ? 8 : 2;
}

static bool is_quiet(const crossing_t* x) {
  return settled(x, 0) == x->lane[0].sent && relay_empty(&x->relay);
}

static void begin(crossing_t* x) {
  lane_t* l = &x->lane[0];
  bind_server(x);
  relay_open(&x->relay, &x->loop, x->uri);
  place_bystander(x);
  if (x->row->hello != 0) {
    relay_next(&x->relay, &x->fault, x->row->hello);
    x->armed = true;
    l->limit = UINT32_MAX;
    place_client(x);
    return;
  }
  place_client(x);
  l->limit = EARLY;
  until(x, l->sent == EARLY && is_quiet(x));
  x->large = l->sent;
  x->armed = true;
  if (x->row->where & (WITH_MESSAGES | WITH_ANSWERS))
    x->fault.at += envelope_size(x);
  relay_now(&x->relay, &x->fault);
  l->limit = UINT32_MAX;
}

/* ---- what becomes of it -------------------------------------------------- */

static bool came_again(const party_t* p, const crossing_t* x) {
  if (!is_ours(p)) return true;
  return p->there[0] && (x->row->hello != 0 || p->downs[0] > 0);
}

static bool is_over(const crossing_t* x) {
  unsigned times = x->row->hello == 0 ? 1 : x->row->hello;
  return x->relay.struck >= times && x->relay.legs_made > times &&
         came_again(&x->client, x) && came_again(&x->server, x);
}

static void expect_service(crossing_t* x) {
  uint32_t from = x->lane[0].sent;
  until(x, settled(x, 0) >= from + FRESH);
}

/* All that was sent has been told of, but for what was spoiled. */
static void expect_all(crossing_t* x) {
  lane_t* l = &x->lane[0];
  l->limit = EARLY + LATER;
  until(x, l->sent == l->limit && settled(x, 0) == l->sent);
  require(x, x->row->fault.kind == RELAY_NOTHING || x->relay.struck > 0);
  require(x, l->safe_from == 0);
  require(x, x->relay.legs_made == 1);
}

static void connect_anew(crossing_t* x) {
  party_t* p = &x->client;
  if (is_ours(p))
    assert_int_equal(mcq_disconnect(p->s, p->end), 0);
  else
    x->part(p);
  until(x, !p->there[0] && !x->server.there[0]);
  if (is_ours(p))
    connect_party(p, x->relay.uri);
  else
    x->join(p);
  x->lane[0].safe_from = x->lane[0].base = x->lane[0].sent;
}

static void expect_again(crossing_t* x) {
  until(x, is_over(x) || x->client.stopped);
  require(x, !x->client.stopped);
  expect_service(x);
}

static void expect_refusal(crossing_t* x) {
  until(x, x->client.stopped);
  connect_anew(x);
  until(x, came_again(&x->client, x) && came_again(&x->server, x));
  expect_service(x);
}

static bool is_served(const crossing_t* x, uint32_t from) {
  return settled(x, 0) >= from + FRESH;
}

static void expect_either(crossing_t* x) {
  unsigned patience = x->turns + (x->row->waits ? 4u : 1u) * EITHER_TURNS;
  uint32_t from = x->lane[0].sent;
  until(x, is_over(x) || is_served(x, from) || x->turns >= patience);
  if (is_served(x, from)) return;
  if (!is_over(x)) connect_anew(x);
  until(x, came_again(&x->client, x) && came_again(&x->server, x));
  expect_service(x);
}

static void expect_code(const crossing_t* x) {
  unsigned ways = x->fault.ways;
  if (x->row->code == 0 || ways == RELAY_BOTH) return;
  const party_t* p = ways == RELAY_UP ? &x->server : &x->client;
  if (is_ours(p) && p->code != x->row->code)
    fail_msg("%s, '%s': %s says %s", x->pairing->name, x->row->name, p->name,
             mcq_err_name(p->code));
}

/* ---- the end ------------------------------------------------------------- */

static void expect_got(const crossing_t* x, int lane) {
  const lane_t* l = &x->lane[lane];
  unsigned missing = 0;
  uint32_t from = lane == 0 ? l->safe_from : 0;
  for (uint32_t i = from; i < l->sent; i++) {
    bool back = !x->pairing->echoes || l->got_near[i];
    if (!l->got_far[i] || !back) missing++;
  }
  unsigned spoiled = lane == 0 ? x->spoiled : 0;
  /* Another library may say nothing about it. */
  if (lane == 0 && x->row->outcome == EITHER) spoiled += x->row->spoiled;
  require(x, missing <= spoiled);
}

static void settle(crossing_t* x, int lane) {
  lane_t* l = &x->lane[lane];
  l->limit = l->sent;
  until(x, settled(x, lane) == l->sent);
  expect_got(x, lane);
}

static void on_left(void* data) {
  *(bool*) data = true;
}

static void expect_pairs(const party_t* p) {
  if (!is_ours(p)) return;
  for (int lane = 0; lane < 2; lane++) {
    require(p->x, p->ups[lane] == p->downs[lane]);
    require(p->x, !p->there[lane]);
  }
}

static void part(crossing_t* x) {
  x->closing = true;
  mcq_ctx_close(x->ctx, on_left);
  while (!x->left) x->turn(x);
  relay_close(&x->relay);
  while (x->relay.handles != 0) (void) uv_run(&x->loop, UV_RUN_NOWAIT);
  expect_pairs(&x->server);
  expect_pairs(&x->client);
  if (!serves_alone(x)) expect_pairs(&x->beside);
}

void crossing_play(crossing_t* x) {
  begin(x);
  uint32_t beside = settled(x, 1);
  switch (x->row->outcome) {
    case SERVED:
      expect_all(x);
      break;
    case AGAIN:
      expect_again(x);
      break;
    case REFUSED:
      expect_refusal(x);
      break;
    case EITHER:
      expect_either(x);
      break;
  }
  expect_code(x);
  if (!serves_alone(x)) {
    until(x, settled(x, 1) > beside + EARLY);
    settle(x, 1);
  }
  settle(x, 0);
  part(x);
}
