/* SPDX-License-Identifier: MIT */
/* REP: one request at a time, over all peers; the answer goes back the way the
 * request came.  A request that is taken out (mcq_request_take) is answered
 * whenever it suits, while others come in.  RFC 28, "The REP Socket Type". */
#include "socket/envelope.h"
#include "socket/socket.h"

/* What an answer needs to find its way. */
typedef struct route {
  mcq_peer_t asker;
  mcq_msg_t* envelope; /* kept; NULL: nothing but the empty frame */
} route_t;

struct mcq_request {
  mcq__node_t node;     /* in the socket's list */
  mcq_socket_t* socket; /* NULL: it is gone */
  mcq__mem_t* mem;
  route_t route;
};

typedef struct rep {
  mcq__wrapper_t wrapper;
  mcq__node_t taken; /* of mcq_request_t */
  route_t route;     /* of the request in hand */
  bool asked;        /* there is one */
} rep_t;

static rep_t* rep_of(const mcq_socket_t* s) {
  return (rep_t*) s->own;
}

static int rep_init(mcq_socket_t* s, const mcq_socket_options_t* options) {
  (void) options;
  rep_t* r = mcq__new(s->host->mem, rep_t);
  if (r == NULL) return MCQ_ENOMEM;
  mcq__list_init(&r->taken);
  s->own = r;
  return 0;
}

static void rep_fini(mcq_socket_t* s) {
  rep_t* r = rep_of(s);
  if (r == NULL) return;
  mcq__node_t* node;
  while ((node = mcq__list_shift(&r->taken)) != NULL)
    mcq__container_of(node, mcq_request_t, node)->socket = NULL;
  mcq__msg_release(r->route.envelope);
  mcq__wrapper_dispose(&r->wrapper, s->host->mem);
  mcq__mem_free(s->host->mem, r);
}

/* The request in hand is over: the next may come. */
static void settle(mcq_socket_t* s) {
  rep_t* r = rep_of(s);
  r->asked = false;
  r->route = (route_t){0};
  mcq__socket_busy(s, false);
}

static void forget(mcq_socket_t* s) {
  mcq_msg_t* envelope = rep_of(s)->route.envelope;
  settle(s);
  mcq__msg_release(envelope);
}

/* Sends an answer and lets go of the route. */
static int answer(mcq_socket_t* s, route_t route, const mcq__body_t* body) {
  static const mcq__slice_t empty = {NULL, 0, NULL};
  rep_t* r = rep_of(s);
  mcq_msg_t* e = route.envelope;
  mcq__body_t whole;
  int rc = mcq__envelope_wrap(&r->wrapper, s->host->mem,
                              e == NULL ? &empty : e->frames,
                              e == NULL ? 1 : e->count, body, &whole);
  if (rc == 0) rc = s->pattern->seats->tell(s, route.asker, &whole);
  mcq__msg_release(e);
  return rc;
}

static int rep_send(mcq_socket_t* s, const mcq__body_t* body) {
  rep_t* r = rep_of(s);
  if (!r->asked) return MCQ_EFSM;
  route_t route = r->route;
  settle(s);
  return answer(s, route, body);
}

/* 0, or MCQ_ENOMEM. */
static int note_route(route_t* route, const mcq__actor_t* a,
                      const mcq_msg_t* msg, size_t count) {
  route->asker = a->peer;
  route->envelope = NULL;
  if (count == 1) return 0;
  mcq_msg_t head;
  mcq__msg_view(&head, msg->pool, msg->frames, count,
                mcq__slices_bytes(msg->frames, count));
  route->envelope = mcq__msg_keep(&head);
  return route->envelope == NULL ? MCQ_ENOMEM : 0;
}

/* Nobody is there to hear the answer. */
static bool is_orphan(const mcq_socket_t* s, const mcq__actor_t* a) {
  return (s->options.flags & MCQ_DROP_ORPHANS) != 0 && a->end_code != 0;
}

static void rep_recv(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg) {
  rep_t* r = rep_of(s);
  size_t count = mcq__envelope_count(msg);
  if (r->asked) forget(s); /* draining: nobody is answered any more */
  bool useless = count == 0 || is_orphan(s, a);
  int rc = useless ? MCQ_EINVAL : note_route(&r->route, a, msg, count);
  if (rc != 0) {
    mcq__socket_discard(s, a, msg);
    if (rc == MCQ_ENOMEM) /* or the asker would wait for ever */
      mcq__actor_end(a, rc, 0);
    return;
  }
  r->asked = true;
  mcq__socket_last(s, a); /* whoever else waits is heard before it again */
  mcq_msg_t request;
  mcq__envelope_strip(&request, msg, count);
  mcq__socket_deliver(s, a, &request);
  if (r->asked) mcq__socket_busy(s, true);
}

static const char* const mates[] = {"REQ", "DEALER", NULL};

const mcq__pattern_t mcq__pattern_rep = {
    .type = MCQ_REP,
    .name = "REP",
    .mates = mates,
    .seats = &mcq__seats_router,
    .flags = MCQ_DROP_ORPHANS,
    .fleeting = true, /* who comes again asks again */
    .init = rep_init,
    .fini = rep_fini,
    .send = rep_send,
    .recv = rep_recv,
};

/* ---- requests taken out -------------------------------------------------- */

int mcq_request_take(mcq_socket_t* socket, mcq_request_t** out) {
  if (socket->pattern != &mcq__pattern_rep) return MCQ_ENOTSUP;
  rep_t* r = rep_of(socket);
  if (!r->asked) return MCQ_EFSM;
  mcq_request_t* request = mcq__new(socket->host->mem, mcq_request_t);
  if (request == NULL) return MCQ_ENOMEM;
  request->socket = socket;
  request->mem = socket->host->mem;
  request->route = r->route;
  mcq__list_insert(&r->taken, &request->node);
  settle(socket);
  *out = request;
  return 0;
}

mcq_peer_t mcq_request_peer(const mcq_request_t* request) {
  return request->route.asker;
}

void mcq_request_drop(mcq_request_t* request) {
  mcq__msg_release(request->route.envelope);
  mcq__list_remove(&request->node);
  mcq__mem_free(request->mem, request);
}

static int reply(mcq_request_t* request, const mcq__body_t* body) {
  mcq_socket_t* s = request->socket;
  int rc = MCQ_EINVAL;
  if (s == NULL || s->leaving) {
    rc = MCQ_ECLOSED;
  } else if (body->count > 0) {
    rc = answer(s, request->route, body);
    request->route.envelope = NULL;
    mcq__socket_failure(s, rc);
  }
  mcq_request_drop(request);
  return rc;
}

int mcq_request_reply(mcq_request_t* request, const mcq_frame_t* frames,
                      size_t count) {
  mcq__body_t body = {.frames = frames, .count = count};
  return reply(request, &body);
}

int mcq_request_reply_msg(mcq_request_t* request, const mcq_msg_t* msg) {
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  return reply(request, &body);
}
