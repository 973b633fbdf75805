/* SPDX-License-Identifier: MIT */
/* mcq_drain: what was said before it arrives, and so does what others had said
 * by then; on every transport, every back end and the simulated network, for
 * pairs of all types that talk, whoever called whom, whichever side drains, and
 * when both do at once.  What a lone socket does, how often and when on_drained
 * comes, and what mcq_close means in the middle of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "support/place.h"

#define SIZE ((size_t) 700)
#define FEW 120

typedef struct side {
  ground_t* g;
  mcq_socket_t* s;
  mcq_endpoint_t end;
  bool calling;
  bool there;  /* whoever it sends to is */
  bool topics; /* and that takes a subscription */
  unsigned ups, downs, closed, drained;
  uint32_t said, heard; /* messages */
  uint32_t stop_at;     /* drains when it has heard as many */
  int reason;
  bool close_too; /* in on_drained */
  mcq_close_info_t info, drain_info;
} side_t;

typedef struct pairing {
  const char* name;
  int speaker, listener;
  int flags; /* of the speaker */
  bool both; /* talk */
} pairing_t;

static const pairing_t pairings[] = {
    {"PUSH to PULL", MCQ_PUSH, MCQ_PULL, 0, false},
    {"DEALER to DEALER", MCQ_DEALER, MCQ_DEALER, 0, true},
    {"PAIR to PAIR", MCQ_PAIR, MCQ_PAIR, 0, true},
    {"DEALER to ROUTER", MCQ_DEALER, MCQ_ROUTER, 0, true},
    {"ROUTER to DEALER", MCQ_ROUTER, MCQ_DEALER, MCQ_ROUTER_BALANCE, true},
    {"PUB to SUB", MCQ_PUB, MCQ_SUB, 0, false},
    {"XPUB to XSUB", MCQ_XPUB, MCQ_XSUB, 0, false},
    {"XSUB to XPUB", MCQ_XSUB, MCQ_XPUB, 0, false},
};

#define PAIRINGS (sizeof pairings / sizeof *pairings)

/* ---- two sides ----------------------------------------------------------- */

static side_t* side_of(mcq_socket_t* s) {
  side_t* m = (side_t*) mcq_socket_data(s);
  assert_false(m->calling);
  assert_int_equal(m->closed, 0);
  return m;
}

static void on_closed(const mcq_close_info_t* info) {
  side_t* m = (side_t*) info->data;
  m->closed++;
  m->info = *info;
}

static void on_drained(mcq_socket_t* s, const mcq_close_info_t* info,
                       void* arg) {
  side_t* m = side_of(s);
  assert_ptr_equal(arg, m);
  assert_ptr_equal(info->data, m);
  assert_int_equal(++m->drained, 1);
  m->drain_info = *info;
  if (m->close_too) mcq_close(s, on_closed);
}

/* Everything that would send, or make somebody to send to, is refused. */
static void expect_refusals(side_t* m) {
  mcq_frame_t frame = {"x", 1};
  mcq_mailbox_t* box;
  int type = mcq_socket_type(m->s);
  assert_int_equal(mcq_send(m->s, &frame, 1), MCQ_ECLOSED);
  assert_int_equal(mcq_send_to(m->s, (mcq_peer_t){0, 0}, &frame, 1),
                   MCQ_ECLOSED);
  assert_int_equal(mcq_bind(m->s, m->g->place->uri, NULL), MCQ_ECLOSED);
  assert_int_equal(mcq_connect(m->s, "tcp://127.0.0.1:1", NULL, NULL),
                   MCQ_ECLOSED);
  assert_int_equal(mcq_mailbox_new(m->s, NULL, &box), MCQ_ECLOSED);
  if (type == MCQ_SUB || type == MCQ_XSUB)
    assert_int_equal(mcq_subscribe(m->s, "x", 1), MCQ_ECLOSED);
  assert_int_equal(mcq_drain(m->s, 0, on_drained, NULL), MCQ_ECLOSED);
}

static void drain(side_t* m, int64_t linger_ms) {
  m->calling = true;
  assert_int_equal(mcq_drain(m->s, -3, on_drained, NULL), MCQ_EINVAL);
  assert_int_equal(mcq_drain(m->s, linger_ms, on_drained, m), 0);
  expect_refusals(m);
  m->calling = false;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* m = side_of(s);
  uint32_t number;
  (void) peer;
  mcq_frame_t f = mcq_msg_frame(msg, mcq_msg_count(msg) - 1);
  if (f.len != SIZE) return; /* a subscription */
  memcpy(&number, (const char*) f.data + 1, sizeof number);
  assert_int_equal(number, m->heard);
  m->heard++;
  if (m->heard == m->stop_at) drain(m, -1);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* m = side_of(s);
  (void) info;
  m->ups++;
  if (!m->topics) m->there = true;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* m = side_of(s);
  assert_true(m->drained == 0);
  m->downs++;
  m->there = false;
  m->reason = info->reason;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  side_t* m = side_of(s);
  if (e->kind == MCQ_EVENT_SUBSCRIBED) m->there = true;
}

static void make(side_t* m, ground_t* g, int type, int flags,
                 int64_t linger_ms) {
  *m = (side_t){.g = g};
  m->topics = type == MCQ_PUB || type == MCQ_XPUB;
  mcq_socket_options_t o = {.type = type,
                            .flags = flags,
                            .data = m,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .on_event = on_event,
                            .sndhwm = -1,
                            .sndhwm_bytes = -1,
                            .linger_ms = linger_ms};
  assert_int_equal(mcq_socket_new(ground_ctx(g), &o, &m->s), 0);
  if (type == MCQ_SUB || type == MCQ_XSUB)
    assert_int_equal(mcq_subscribe(m->s, "", 0), 0);
}

static void bind_side(side_t* m) {
  char uri[PLACE_URI_MAX];
  place_uri(m->g->place, 1, uri);
  assert_int_equal(mcq_bind(m->s, uri, &m->end), 0);
}

static void meet(side_t* caller, side_t* called) {
  bind_side(called);
  const char* uri = mcq_endpoint_uri(called->s, called->end);
  assert_int_equal(mcq_connect(caller->s, uri, NULL, &caller->end), 0);
  ground_until(caller->g, caller->there && called->there);
}

/* A message of its own number; a first byte that is nobody's subscription. */
static int say(side_t* m) {
  char body[SIZE] = {'m'};
  memcpy(body + 1, &m->said, sizeof m->said);
  mcq_frame_t frame = {body, SIZE};
  m->calling = true;
  int rc = mcq_send(m->s, &frame, 1);
  m->calling = false;
  if (rc == 0) m->said++;
  return rc;
}

static void say_all(side_t* m, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) assert_int_equal(say(m), 0);
}

static mcq_stats_t stats_of(side_t* m) {
  mcq_stats_t out;
  mcq_stats(m->s, &out);
  return out;
}

/* With linger for those that have not drained, whose peer may be gone. */
static void leave(ground_t* g, side_t* a, side_t* b) {
  mcq_close(a->s, on_closed);
  if (b != NULL) mcq_close(b->s, on_closed);
  ground_until(g, a->closed == 1 && (b == NULL || b->closed == 1));
  ground_finish(g);
  ground_run(g);
}

/* ---- one side ------------------------------------------------------------ */

static void speaker_drains(const place_t* place, const pairing_t* p,
                           bool calls) {
  ground_t g;
  side_t a, b;
  ground_open(&g, place);
  make(&a, &g, p->speaker, p->flags, -1);
  make(&b, &g, p->listener, 0, -1);
  meet(calls ? &a : &b, calls ? &b : &a);
  say_all(&a, FEW);
  drain(&a, -1);
  ground_until(&g, a.drained == 1 && b.heard == FEW && b.downs == 1);
  assert_int_equal(a.downs, 1);
  assert_int_equal(a.reason, MCQ_ELOCAL);
  assert_int_equal(b.reason, MCQ_EOF);
  assert_int_equal(a.drain_info.lost_messages, 0);
  assert_int_equal(stats_of(&a).messages_written, a.said);
  expect_refusals(&a);
  leave(&g, &a, &b);
  assert_int_equal(a.info.lost_messages, 0);
}

/* The other side talks on, as a stream that never ends. */
static void listener_drains(const place_t* place, const pairing_t* p,
                            bool calls) {
  ground_t g;
  side_t a, b;
  ground_open(&g, place);
  make(&a, &g, p->speaker, p->flags, MCQ_LINGER_NONE);
  make(&b, &g, p->listener, 0, -1);
  meet(calls ? &a : &b, calls ? &b : &a);
  b.stop_at = FEW / 2;
  while (b.drained == 0 || a.downs == 0) {
    if (a.there && a.said < 40 * FEW) say_all(&a, FEW / 4);
    assert_true(ground_step(&g));
  }
  mcq_stats_t stats = stats_of(&a);
  assert_true(b.heard >= FEW / 2);
  /* Whatever was out of its hands has arrived. */
  assert_true(b.heard >= stats.messages_written);
  assert_true(b.heard <= stats.messages_written + stats.messages_unsure);
  assert_int_equal(b.drain_info.lost_messages, 0);
  leave(&g, &a, &b);
}

/* ---- both ---------------------------------------------------------------- */

static void both_drain(const place_t* place, const pairing_t* p, bool calls) {
  ground_t g;
  side_t a, b;
  ground_open(&g, place);
  make(&a, &g, p->speaker, p->flags, -1);
  int flags = p->listener == MCQ_ROUTER ? MCQ_ROUTER_BALANCE : 0;
  make(&b, &g, p->listener, flags, -1);
  meet(calls ? &a : &b, calls ? &b : &a);
  say_all(&a, 8 * FEW); /* more than is on the way at a time */
  say_all(&b, FEW);
  drain(&a, -1);
  drain(&b, -1);
  a.close_too = true;
  ground_until(&g, a.drained == 1 && b.drained == 1);
  assert_int_equal(a.heard, b.said);
  assert_int_equal(b.heard, a.said);
  assert_int_equal(a.reason, MCQ_ELOCAL);
  assert_int_equal(b.reason, MCQ_ELOCAL);
  assert_int_equal(a.drain_info.lost_messages, 0);
  assert_int_equal(b.drain_info.lost_messages, 0);
  ground_until(&g, a.closed == 1);
  leave(&g, &b, NULL);
}

/* ---- questions ----------------------------------------------------------- */

typedef struct asking {
  side_t side;
  int code;
  unsigned failed;
} asking_t;

static void on_failed(mcq_socket_t* s, int code) {
  asking_t* q = (asking_t*) side_of(s);
  q->code = code;
  q->failed++;
}

static void ask(asking_t* q, ground_t* g) {
  *q = (asking_t){.side.g = g};
  mcq_socket_options_t o = {.type = MCQ_REQ,
                            .data = q,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .on_request_failed = on_failed};
  assert_int_equal(mcq_socket_new(ground_ctx(g), &o, &q->side.s), 0);
}

/* Requests still come in, answers do not go out, and no request holds the next
 * one up: all askers learn that theirs has failed. */
static void server_drains(const place_t* place) {
  ground_t g;
  side_t rep;
  asking_t req[3];
  mcq_request_t* taken;
  ground_open(&g, place);
  make(&rep, &g, MCQ_REP, 0, -1);
  bind_side(&rep);
  const char* uri = mcq_endpoint_uri(rep.s, rep.end);
  for (int i = 0; i < 3; i++) {
    ask(&req[i], &g);
    assert_int_equal(mcq_connect(req[i].side.s, uri, NULL, NULL), 0);
    ground_until(&g, rep.ups == (unsigned) i + 1 && req[i].side.there);
    req[i].side.said = (uint32_t) i; /* as it will be counted there */
    assert_int_equal(say(&req[i].side), 0);
    if (i == 0) ground_until(&g, rep.heard == 1);
    if (i == 0) assert_int_equal(mcq_request_take(rep.s, &taken), 0);
    if (i == 1) ground_until(&g, rep.heard == 2);
  }
  /* One that had not left would wait for the next server, and not fail. */
  ground_until(&g, stats_of(&req[2].side).messages_written == 1);
  assert_int_equal(rep.heard, 2);
  drain(&rep, -1);
  mcq_frame_t answer = {"late", 4};
  assert_int_equal(mcq_request_reply(taken, &answer, 1), MCQ_ECLOSED);
  ground_until(&g, rep.drained == 1);
  assert_int_equal(rep.downs, 3);
  assert_int_equal(rep.heard, 3);
  for (int i = 0; i < 3; i++) {
    ground_until(&g, req[i].failed == 1);
    assert_int_equal(req[i].code, MCQ_EPEERGONE);
  }
  leave(&g, &rep, NULL);
}

/* The answer that is on its way is heard; one that will not come is told of
 * while the socket is still there. */
static void asker_drains(const place_t* place) {
  for (int answered = 0; answered < 2; answered++) {
    ground_t g;
    side_t rep;
    asking_t req;
    ground_open(&g, place);
    make(&rep, &g, MCQ_REP, 0, -1);
    ask(&req, &g);
    meet(&req.side, &rep);
    assert_int_equal(say(&req.side), 0);
    ground_until(&g, rep.heard == 1);
    rep.said = 0;
    if (answered) assert_int_equal(say(&rep), 0);
    if (answered) ground_until(&g, stats_of(&rep).messages_written == 1);
    drain(&req.side, -1);
    ground_until(&g, req.side.drained == 1);
    assert_int_equal(req.side.heard, answered);
    assert_int_equal(req.failed, !answered);
    if (!answered) assert_int_equal(req.code, MCQ_EPEERGONE);
    leave(&g, &req.side, &rep);
  }
}

/* ---- nobody there -------------------------------------------------------- */

static bool is_file(const char* uri) {
  struct stat st;
  return strncmp(uri, "ipc://", 6) == 0 && stat(uri + 6, &st) == 0;
}

/* Nothing to do is done soon; the name is free again when that is told. */
static void alone(const place_t* place) {
  ground_t g;
  side_t a, b;
  char uri[PLACE_URI_MAX + 64];
  ground_open(&g, place);
  make(&a, &g, MCQ_DEALER, 0, -1);
  drain(&a, 0);
  assert_int_equal(a.drained, 0);
  ground_step(&g);
  assert_int_equal(a.drained, 1);
  make(&b, &g, MCQ_DEALER, 0, -1);
  bind_side(&b);
  snprintf(uri, sizeof uri, "%s", mcq_endpoint_uri(b.s, b.end));
  assert_int_equal(is_file(uri), strncmp(uri, "ipc", 3) == 0);
  b.close_too = true;
  drain(&b, 0);
  ground_until(&g, b.drained == 1);
  assert_int_equal(b.closed, 0);
  assert_false(is_file(uri));
  ground_until(&g, b.closed == 1);
  make(&b, &g, MCQ_DEALER, 0, -1);
  if (strncmp(uri, "ipc", 3) != 0) /* whose directory went with it */
    assert_int_equal(mcq_bind(b.s, uri, &b.end), 0);
  leave(&g, &a, &b);
}

/* ---- mailboxes and proxies ----------------------------------------------- */

static void on_call(mcq_socket_t* s, void* arg) {
  assert_int_equal(side_of(s)->drained, 0);
  ++*(unsigned*) arg;
}

/* What was posted before is sent, and run; nothing is posted later. */
static void posted(const place_t* place) {
  ground_t g;
  side_t a, b;
  mcq_mailbox_t* box;
  unsigned calls = 0;
  ground_open(&g, place);
  make(&a, &g, MCQ_DEALER, 0, -1);
  make(&b, &g, MCQ_DEALER, 0, -1);
  meet(&a, &b);
  assert_int_equal(mcq_mailbox_new(a.s, NULL, &box), 0);
  for (uint32_t i = 0; i < 5; i++) {
    char body[SIZE] = {'m'};
    memcpy(body + 1, &i, sizeof i);
    mcq_frame_t frame = {body, SIZE};
    assert_int_equal(mcq_post(box, &frame, 1), 0);
    assert_int_equal(mcq_post_call(box, on_call, &calls), 0);
  }
  drain(&a, -1);
  mcq_frame_t late = {"late", 4};
  assert_int_equal(mcq_post(box, &late, 1), MCQ_ECLOSED);
  assert_int_equal(mcq_post_call(box, on_call, &calls), MCQ_ECLOSED);
  ground_until(&g, a.drained == 1 && b.downs == 1);
  assert_int_equal(calls, 5);
  assert_int_equal(b.heard, 5);
  mcq_mailbox_release(box);
  leave(&g, &a, &b);
}

/* What still comes is handed on; what is for the one that drains is not. */
static void proxied(const place_t* place) {
  ground_t g;
  side_t near, front, back, far;
  mcq_proxy_t* proxy;
  mcq_proxy_stats_t flows = {0};
  if (place->two) return; /* names of inproc: one is bound twice */
  ground_open(&g, place);
  make(&near, &g, MCQ_DEALER, 0, MCQ_LINGER_NONE);
  make(&front, &g, MCQ_DEALER, 0, -1);
  make(&back, &g, MCQ_DEALER, 0, -1);
  make(&far, &g, MCQ_DEALER, 0, -1);
  meet(&near, &front);
  char uri[PLACE_URI_MAX];
  assert_int_equal(mcq_bind(far.s, place_uri(place, 2, uri), &far.end), 0);
  const char* at = mcq_endpoint_uri(far.s, far.end);
  assert_int_equal(mcq_connect(back.s, at, NULL, NULL), 0);
  ground_until(&g, back.there && far.there);
  mcq_proxy_options_t o = {.front = front.s, .back = back.s};
  assert_int_equal(mcq_proxy_new(&o, &proxy), 0);
  say_all(&near, FEW);
  ground_until(&g, far.heard > 0);
  drain(&front, -1);
  ground_until(&g, front.drained == 1);
  ground_until(&g, far.heard == stats_of(&near).messages_written);
  assert_int_equal(say(&far), 0);
  while (flows.back.dropped == 0) {
    ground_step(&g);
    mcq_proxy_stats(proxy, &flows);
  }
  assert_int_equal(flows.front.messages, far.heard);
  assert_int_equal(flows.front.dropped, 0);
  mcq_proxy_close(proxy);
  mcq_close(back.s, on_closed);
  mcq_close(far.s, on_closed);
  leave(&g, &near, &front);
}

/* ---- mcq_close in between ------------------------------------------------ */

/* What is queued still leaves, nothing is delivered, and both words come, one
 * right after the other. */
static void closed_meanwhile(const place_t* place) {
  ground_t g;
  side_t a, b;
  ground_open(&g, place);
  make(&a, &g, MCQ_DEALER, 0, -1);
  make(&b, &g, MCQ_DEALER, 0, -1);
  meet(&a, &b);
  say_all(&a, 8 * FEW);
  say_all(&b, FEW);
  drain(&a, -1);
  uint32_t heard = a.heard;
  a.calling = true;
  mcq_close(a.s, on_closed);
  a.calling = false;
  assert_int_equal(a.drained, 0);
  ground_until(&g, a.closed == 1);
  assert_int_equal(a.drained, 1);
  assert_int_equal(a.heard, heard);
  ground_until(&g, b.heard == 8 * FEW);
  assert_int_equal(a.info.lost_messages, a.drain_info.lost_messages);
  assert_int_equal(a.info.lost_messages, 0);
  leave(&g, &b, NULL);
}

/* -------------------------------------------------------------------------- */

static void for_pairs(const place_t* place,
                      void (*play)(const place_t*, const pairing_t*, bool),
                      bool both) {
  for (size_t i = 0; i < 2 * PAIRINGS; i++)
    if (!both || pairings[i / 2].both) {
      const char* only = getenv("MCQ_TEST_SCENE");
      if (only != NULL) print_message("    %s\n", pairings[i / 2].name);
      play(place, &pairings[i / 2], i % 2 == 0);
    }
}

static void everywhere(void (*play)(const place_t* place)) {
  for (size_t i = 0; i < PLACES; i++) {
    if (!place_is_here(&places[i])) continue;
    print_message("  %s\n", places[i].name);
    play(&places[i]);
  }
}

static void say_and_drain(const place_t* place) {
  for_pairs(place, speaker_drains, false);
}

static void hear_and_drain(const place_t* place) {
  for_pairs(place, listener_drains, false);
}

static void drain_together(const place_t* place) {
  for_pairs(place, both_drain, true);
}

#define SCENE(play)                     \
  static void play##_test(void** arg) { \
    (void) arg;                         \
    everywhere(play);                   \
  }

SCENE(say_and_drain)
SCENE(hear_and_drain)
SCENE(drain_together)
SCENE(server_drains)
SCENE(asker_drains)
SCENE(alone)
SCENE(posted)
SCENE(proxied)
SCENE(closed_meanwhile)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(say_and_drain_test),
      cmocka_unit_test(hear_and_drain_test),
      cmocka_unit_test(drain_together_test),
      cmocka_unit_test(server_drains_test),
      cmocka_unit_test(asker_drains_test),
      cmocka_unit_test(alone_test),
      cmocka_unit_test(posted_test),
      cmocka_unit_test(proxied_test),
      cmocka_unit_test(closed_meanwhile_test),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
