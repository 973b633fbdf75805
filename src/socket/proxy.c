/* SPDX-License-Identifier: MIT */
/* Two sockets joined: what one receives the other sends, payload shared, with
 * a copy for a third.  It sits where the user's callbacks would; where the
 * other side takes no more, the one that brought a message is held and the
 * message waits here, one each way.  Made and ended by the user's calls, ended
 * also by the closing of a socket; it never looks into a message. */
#include "socket/envelope.h"
#include "socket/socket.h"

typedef struct side {
  mcq_socket_t* socket;
  mcq_message_cb on_message; /* the user's, put back at the end */
  mcq_drain_cb on_drain;
  mcq_msg_t* waiting; /* from here, for the other side; retained */
  mcq__wrapper_t wrapper;
  mcq_proxy_flow_t flow; /* from here */
} side_t;

struct mcq_proxy {
  mcq__pool_t* pool; /* a share of it: the proxy may outlive its context */
  side_t front;
  side_t back;
  mcq_socket_t* capture;
  bool paused; /* by the user */
  bool joined;
};

static side_t* side_of(mcq_proxy_t* p, const mcq_socket_t* s) {
  return p->front.socket == s ? &p->front : &p->back;
}

static side_t* other(mcq_proxy_t* p, const side_t* side) {
  return side == &p->front ? &p->back : &p->front;
}

/* Whether the first frame of what it sends says whom it is for. */
static bool addresses(const mcq_socket_t* s) {
  return s->pattern->type == MCQ_ROUTER &&
         (s->options.flags & MCQ_ROUTER_BALANCE) == 0;
}

/* Receives, unless something of its own waits or the user wants it quiet. */
static void steer(const mcq_proxy_t* p, const side_t* side) {
  mcq__socket_hold(side->socket, p->paused || side->waiting != NULL);
}

/* ---- one message --------------------------------------------------------- */

/* A ROUTER's messages are in a proxy what they are to users of other
 * libraries: the routing id goes first. */
static int with_id(side_t* from, mcq_peer_t peer, const mcq_msg_t* msg,
                   mcq__body_t* out) {
  mcq_socket_t* s = from->socket;
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  if (!addresses(s)) {
    *out = body;
    return 0;
  }
  mcq__slice_t id = s->pattern->seats->id(s, peer);
  return mcq__envelope_wrap(&from->wrapper, s->host->mem, &id, 1, &body, out);
}

/* mcq_send_msg looks at nothing else of a message. */
static int send_on(mcq_socket_t* s, const mcq__body_t* body) {
  mcq_msg_t view;
  mcq__msg_view(&view, s->host->pool, body->slices, body->count, 0);
  return mcq_send_msg(s, &view);
}

/* Books what became of a message from `from`, and shows it to the third. */
static void settle(mcq_proxy_t* p, side_t* from, const mcq__body_t* body,
                   int rc) {
  if (rc != 0) {
    from->flow.dropped++;
    return;
  }
  from->flow.messages++;
  from->flow.bytes += mcq__slices_bytes(body->slices, body->count);
  if (addresses(other(p, from)->socket))
    from->flow.bytes -= body->slices[0].len;
  if (p->capture != NULL) send_on(p->capture, body);
}

/* Keeps the message until the other side has room. */
static int keep(const mcq_proxy_t* p, side_t* from, const mcq__body_t* body) {
  mcq_msg_t view;
  mcq__msg_view(&view, from->socket->host->pool, body->slices, body->count,
                mcq__slices_bytes(body->slices, body->count));
  from->waiting = mcq__msg_keep(&view);
  if (from->waiting == NULL) return MCQ_ENOMEM;
  steer(p, from);
  return 0;
}

static void forward(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  mcq_proxy_t* p = s->proxy;
  side_t* from = side_of(p, s);
  mcq__body_t body;
  int rc = with_id(from, peer, msg, &body);
  if (rc == 0) rc = send_on(other(p, from)->socket, &body);
  if (rc == MCQ_EAGAIN && keep(p, from, &body) == 0) return;
  settle(p, from, &body, rc);
}

/* The other side may have room: what waits goes, and more may come. */
static void go_on(mcq_proxy_t* p, side_t* from) {
  mcq_msg_t* msg = from->waiting;
  if (msg == NULL) return;
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  int rc = send_on(other(p, from)->socket, &body);
  if (rc == MCQ_EAGAIN) return; /* on_drain comes again */
  settle(p, from, &body, rc);
  from->waiting = NULL;
  mcq__msg_release(msg);
  steer(p, from);
}

static void drained(mcq_socket_t* s) {
  mcq_proxy_t* p = s->proxy;
  go_on(p, other(p, side_of(p, s)));
}

/* ---- joining and parting ------------------------------------------------- */

static void join(mcq_proxy_t* p, side_t* side, mcq_socket_t* s) {
  side->socket = s;
  side->on_message = s->options.on_message;
  side->on_drain = s->options.on_drain;
  s->options.on_message = forward;
  s->options.on_drain = drained;
  s->proxy = p;
}

static void part(side_t* side) {
  mcq_socket_t* s = side->socket;
  s->options.on_message = side->on_message;
  s->options.on_drain = side->on_drain;
  s->proxy = NULL;
  if (side->waiting != NULL) side->flow.dropped++;
  mcq__msg_release(side->waiting);
  side->waiting = NULL;
  mcq__wrapper_dispose(&side->wrapper, s->host->mem);
  mcq__socket_hold(s, false);
}

static void unjoin(mcq_proxy_t* p) {
  if (!p->joined) return;
  p->joined = false;
  if (p->capture != NULL) p->capture->proxy = NULL;
  p->capture = NULL;
  part(&p->front);
  part(&p->back);
}

void mcq__proxy_closing(mcq_socket_t* s) {
  mcq_proxy_t* p = s->proxy;
  if (p == NULL) return;
  if (p->capture != s) {
    unjoin(p);
    return;
  }
  p->capture = NULL;
  s->proxy = NULL;
}

/* ---- what makes sense ---------------------------------------------------- */

static bool sends(const mcq_socket_t* s) {
  return s->pattern->send != NULL;
}

static bool receives(const mcq_socket_t* s) {
  return s->pattern->type != MCQ_PUB && s->pattern->type != MCQ_PUSH;
}

/* One question at a time goes only where one answer at a time comes back. */
static bool in_step(const mcq_socket_t* a, const mcq_socket_t* b) {
  int other_type = b->pattern->type;
  switch (a->pattern->type) {
    case MCQ_REQ:
      return other_type == MCQ_REP;
    case MCQ_REP:
      return other_type == MCQ_REQ || other_type == MCQ_DEALER ||
             other_type == MCQ_PAIR;
    default:
      return true;
  }
}

/* Whatever the one brings the other can send. */
static bool match(const mcq_socket_t* a, const mcq_socket_t* b) {
  if (receives(a) && !sends(b)) return false;
  if (receives(b) && !sends(a)) return false;
  return (receives(a) || receives(b)) && in_step(a, b) && in_step(b, a);
}

/* It is sent copies of messages of all kinds and asked nothing. */
static bool may_capture(const mcq_socket_t* s) {
  switch (s->pattern->type) {
    case MCQ_REQ:
    case MCQ_REP:
    case MCQ_XSUB:
      return false;
    default:
      return sends(s) && !addresses(s);
  }
}

static bool fit(const mcq_proxy_options_t* o) {
  const mcq_socket_t* all[3] = {o->front, o->back, o->capture};
  if (o->front == NULL || o->back == NULL) return false;
  if (o->front == o->back || o->capture == o->front || o->capture == o->back)
    return false;
  for (int i = 0; i < 3; i++) {
    if (all[i] == NULL) continue;
    if (all[i]->leaving || all[i]->proxy != NULL) return false;
    if (all[i]->host->io.loop != o->front->host->io.loop) return false;
  }
  if (!match(o->front, o->back)) return false;
  return o->capture == NULL || may_capture(o->capture);
}

int mcq_proxy_new(const mcq_proxy_options_t* options, mcq_proxy_t** out) {
  if (options == NULL || out == NULL || !fit(options)) return MCQ_EINVAL;
  mcq__pool_t* pool = options->front->host->pool;
  mcq_proxy_t* p = mcq__new(mcq__pool_mem(pool), mcq_proxy_t);
  if (p == NULL) return MCQ_ENOMEM;
  mcq__pool_retain(pool);
  p->pool = pool;
  p->joined = true;
  p->capture = options->capture;
  if (p->capture != NULL) p->capture->proxy = p;
  join(p, &p->front, options->front);
  join(p, &p->back, options->back);
  *out = p;
  return 0;
}

void mcq_proxy_close(mcq_proxy_t* proxy) {
  mcq__pool_t* pool = proxy->pool;
  unjoin(proxy);
  mcq__mem_free(mcq__pool_mem(pool), proxy);
  mcq__pool_release(pool);
}

/* ---- steering ------------------------------------------------------------ */

static int set_paused(mcq_proxy_t* p, bool paused) {
  if (!p->joined) return MCQ_ECLOSED;
  p->paused = paused;
  steer(p, &p->front);
  steer(p, &p->back);
  return 0;
}

int mcq_proxy_pause(mcq_proxy_t* proxy) {
  return set_paused(proxy, true);
}

int mcq_proxy_resume(mcq_proxy_t* proxy) {
  return set_paused(proxy, false);
}

void mcq_proxy_stats(const mcq_proxy_t* proxy, mcq_proxy_stats_t* out) {
  out->front = proxy->front.flow;
  out->back = proxy->back.flow;
}
