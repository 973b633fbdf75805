/* SPDX-License-Identifier: MIT */
/* REQ: asks the next peer with room and hears its answer and no other, one
 * question at a time.  A question whose peer is lost or silent for too long
 * ends visibly.  RFC 28, "The REQ Socket Type". */
#include "base/cursor.h"
#include "socket/envelope.h"
#include "socket/socket.h"

/* As many answers of the wrong shape end a connection. */
#define STRIKES_MAX 3

typedef struct req {
  mcq_socket_t* socket;
  mcq__wrapper_t wrapper;
  mcq_peer_t asked;
  bool waiting;   /* for the answer of `asked` */
  uint8_t id[4];  /* of the question in hand, with MCQ_REQ_CORRELATE */
  uint32_t count; /* what the next id is made of */
  mcq__timer_t timer;
  bool has_timer;
} req_t;

static req_t* req_of(const mcq_socket_t* s) {
  return (req_t*) s->own;
}

static bool correlates(const mcq_socket_t* s) {
  return (s->options.flags & MCQ_REQ_CORRELATE) != 0;
}

static unsigned strikes_allowed(const mcq_socket_t* s) {
  return (s->options.flags & MCQ_REQ_STRICT) != 0 ? 1 : STRIKES_MAX;
}

/* The question is over, one way or the other. */
static void settle(req_t* r) {
  r->waiting = false;
  r->asked = (mcq_peer_t){0, 0};
  mcq__io_timer_stop(&r->socket->host->io, &r->timer);
}

static void fail(req_t* r, int code) {
  mcq_socket_t* s = r->socket;
  settle(r);
  s->counts.requests_failed++;
  if (!s->closing && s->options.on_request_failed != NULL)
    s->options.on_request_failed(s, code);
}

static void on_timer(mcq__timer_t* timer) {
  fail(mcq__container_of(timer, req_t, timer), MCQ_ETIMEDOUT);
}

static int req_init(mcq_socket_t* s, const mcq_socket_options_t* options) {
  (void) options;
  req_t* r = mcq__new(s->host->mem, req_t);
  if (r == NULL) return MCQ_ENOMEM;
  s->own = r;
  r->socket = s;
  r->timer.run = on_timer;
  r->count = (uint32_t) mcq__io_random(&s->host->io);
  int rc = mcq__timers_reserve(&s->host->io.turn.timers);
  r->has_timer = rc == 0;
  return rc;
}

static void req_fini(mcq_socket_t* s) {
  req_t* r = req_of(s);
  if (r == NULL) return;
  mcq__io_timer_stop(&s->host->io, &r->timer);
  if (r->has_timer) mcq__timers_unreserve(&s->host->io.turn.timers);
  mcq__wrapper_dispose(&r->wrapper, s->host->mem);
  mcq__mem_free(s->host->mem, r);
}

/* [id] and the empty frame that ends the envelope. */
static size_t make_envelope(const mcq_socket_t* s, const uint8_t id[4],
                            mcq__slice_t out[2]) {
  size_t count = 0;
  if (correlates(s)) out[count++] = mcq__slice_static(id, 4);
  out[count++] = mcq__slice_static(NULL, 0);
  return count;
}

static void start_waiting(req_t* r) {
  mcq_socket_t* s = r->socket;
  r->waiting = true;
  r->asked = mcq__socket_picked(s);
  if (s->options.request_ms <= 0) return;
  mcq__io_timer_start(
      &s->host->io, &r->timer,
      mcq__io_now(&s->host->io) + (uint64_t) s->options.request_ms);
}

static int req_send(mcq_socket_t* s, const mcq__body_t* body) {
  req_t* r = req_of(s);
  if (r->waiting && !(s->options.flags & MCQ_REQ_RELAXED)) return MCQ_EFSM;
  uint8_t id[4];
  mcq__put_u32(id, r->count + 1);
  mcq__slice_t head[2];
  mcq__body_t whole;
  int rc = mcq__envelope_wrap(&r->wrapper, s->host->mem, head,
                              make_envelope(s, id, head), body, &whole);
  if (rc == 0) rc = mcq__send_anyone(s, &whole);
  if (rc != 0) return rc;
  settle(r); /* an answer to what was asked before finds nobody waiting */
  r->count++;
  for (size_t i = 0; i < sizeof id; i++) r->id[i] = id[i];
  start_waiting(r);
  return 0;
}

/* An answer is [id], an empty frame and at least one more. */
static bool well_formed(const mcq_socket_t* s, const mcq_msg_t* msg) {
  size_t before = correlates(s) ? 1 : 0;
  return msg->count >= before + 2 && msg->frames[before].len == 0 &&
         (before == 0 || msg->frames[0].len == sizeof req_of(s)->id);
}

/* The next question is for others. */
static void show_out(mcq_socket_t* s, mcq__actor_t* a) {
  s->pattern->seats->rest(s, a->peer);
  mcq__actor_end(a, MCQ_EENVELOPE, 0);
}

static void req_recv(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg) {
  req_t* r = req_of(s);
  bool good = well_formed(s, msg);
  bool expected =
      good && r->waiting && a->peer.epoch == r->asked.epoch &&
      (!correlates(s) || mcq__slice_equal(msg->frames[0], r->id, sizeof r->id));
  if (!expected) {
    mcq__socket_discard(s, a, msg);
    if (!good && ++a->strikes >= strikes_allowed(s)) show_out(s, a);
    return;
  }
  settle(r); /* the user may ask again at once */
  mcq_msg_t answer;
  mcq__envelope_strip(&answer, msg, correlates(s) ? 2 : 1);
  mcq__socket_deliver(s, a, &answer);
}

static void req_moved(mcq_socket_t* s, mcq_peer_t from, mcq_peer_t to) {
  req_t* r = req_of(s);
  if (!r->waiting || r->asked.epoch != from.epoch) return;
  if (to.epoch != 0)
    r->asked = to;
  else
    fail(r, MCQ_EPEERGONE);
}

static const char* const mates[] = {"REP", "ROUTER", NULL};

const mcq__pattern_t mcq__pattern_req = {
    .type = MCQ_REQ,
    .name = "REQ",
    .mates = mates,
    .seats = &mcq__seats_router,
    .announces_id = true,
    .picks = true,
    .flags = MCQ_IMMEDIATE | MCQ_REQ_RELAXED | MCQ_REQ_CORRELATE |
             MCQ_REQ_STRICT | MCQ_PROBE_ROUTER,
    .init = req_init,
    .fini = req_fini,
    .send = req_send,
    .recv = req_recv,
    .up = mcq__socket_probe,
    .moved = req_moved,
};
