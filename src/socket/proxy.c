/* SPDX-License-Identifier: MIT */
/* Two sockets joined: what one receives the other sends, payload shared, with
 * a copy for a third.  It sits where the user's callbacks would; where the
 * other side takes no more, the one that brought a message is paused and the
 * message waits here, one each way. */
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
  mcq__mem_t* mem;
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

/* ---- one message --------------------------------------------------------- */

/* A ROUTER's messages are in a proxy what they are to users of other
 * libraries: the routing id goes first. */
static int with_id(side_t* from, mcq_peer_t peer, const mcq_msg_t* msg,
                   mcq__body_t* out) {
  mcq_socket_t* s = from->socket;
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  if (s->pattern->type != MCQ_ROUTER) {
    *out = body;
    return 0;
  }
  mcq__slice_t id = s->pattern->seats->id(s, peer);
  return mcq__envelope_wrap(&from->wrapper, s->host->mem, &id, 1, &body, out);
}

static int send_on(mcq_socket_t* s, const mcq__body_t* body) {
  mcq_msg_t view;
  mcq__msg_view(&view, s->host->pool, body->slices, body->count, 0);
  return mcq_send_msg(s, &view);
}

static void count(side_t* from, const mcq__body_t* body, int rc) {
  if (rc != 0) {
    from->flow.dropped++;
    return;
  }
  from->flow.messages++;
  for (size_t i = 0; i < body->count; i++)
    from->flow.bytes += body->slices[i].len;
}

/* Keeps the message until the other side has room. */
static int keep(side_t* from, const mcq__body_t* body) {
  mcq_msg_t view;
  size_t bytes = 0;
  for (size_t i = 0; i < body->count; i++) bytes += body->slices[i].len;
  mcq__msg_view(&view, from->socket->host->pool, body->slices, body->count,
                bytes);
  from->waiting = mcq__msg_keep(&view);
  if (from->waiting == NULL) return MCQ_ENOMEM;
  mcq_pause(from->socket);
  return 0;
}

static void capture(mcq_proxy_t* p, const mcq__body_t* body) {
  if (p->capture != NULL) send_on(p->capture, body);
}

static void forward(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  mcq_proxy_t* p = s->proxy;
  side_t* from = side_of(p, s);
  mcq__body_t body;
  int rc = with_id(from, peer, msg, &body);
  if (rc == 0) rc = send_on(other(p, from)->socket, &body);
  if (rc == 0) capture(p, &body);
  if (rc == MCQ_EAGAIN && keep(from, &body) == 0) return;
  count(from, &body, rc);
}

/* The other side has room: what waits goes, and more may come. */
static void go_on(mcq_proxy_t* p, side_t* from) {
  mcq_msg_t* msg = from->waiting;
  if (msg == NULL) return;
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  int rc = send_on(other(p, from)->socket, &body);
  if (rc == MCQ_EAGAIN) return; /* on_drain comes again */
  if (rc == 0) capture(p, &body);
  count(from, &body, rc);
  from->waiting = NULL;
  mcq__msg_release(msg);
  if (!p->paused) mcq_resume(from->socket);
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

static void part(side_t* side, bool paused) {
  mcq_socket_t* s = side->socket;
  if (paused || side->waiting != NULL) mcq_resume(s);
  s->options.on_message = side->on_message;
  s->options.on_drain = side->on_drain;
  s->proxy = NULL;
  if (side->waiting != NULL) {
    side->flow.dropped++;
    mcq__msg_release(side->waiting);
    side->waiting = NULL;
  }
  mcq__wrapper_dispose(&side->wrapper, s->host->mem);
}

static void unjoin(mcq_proxy_t* p) {
  if (!p->joined) return;
  p->joined = false;
  part(&p->front, p->paused);
  part(&p->back, p->paused);
  p->capture = NULL;
}

void mcq__proxy_closing(mcq_socket_t* s) {
  mcq_proxy_t* p = s->proxy;
  if (p == NULL) return;
  if (p->capture == s) {
    p->capture = NULL;
    s->proxy = NULL;
    return;
  }
  if (p->capture != NULL) p->capture->proxy = NULL;
  unjoin(p);
}

static bool fit(const mcq_proxy_options_t* o) {
  const mcq_socket_t* all[3] = {o->front, o->back, o->capture};
  if (o->front == NULL || o->back == NULL) return false;
  if (o->front == o->back || o->capture == o->front || o->capture == o->back)
    return false;
  for (int i = 0; i < 3; i++) {
    if (all[i] == NULL) continue;
    if (all[i]->closing || all[i]->proxy != NULL) return false;
    if (all[i]->host->io.loop != o->front->host->io.loop) return false;
  }
  return o->capture == NULL || o->capture->pattern->send != NULL;
}

int mcq_proxy_new(const mcq_proxy_options_t* options, mcq_proxy_t** out) {
  if (options == NULL || !fit(options)) return MCQ_EINVAL;
  mcq__mem_t* mem = options->front->host->mem;
  mcq_proxy_t* p = mcq__new(mem, mcq_proxy_t);
  if (p == NULL) return MCQ_ENOMEM;
  p->mem = mem;
  p->joined = true;
  p->capture = options->capture;
  if (p->capture != NULL) p->capture->proxy = p;
  join(p, &p->front, options->front);
  join(p, &p->back, options->back);
  *out = p;
  return 0;
}

void mcq_proxy_close(mcq_proxy_t* proxy) {
  if (proxy->capture != NULL) proxy->capture->proxy = NULL;
  unjoin(proxy);
  mcq__mem_free(proxy->mem, proxy);
}

/* ---- steering ------------------------------------------------------------ */

static int set_paused(mcq_proxy_t* p, bool paused) {
  if (!p->joined) return MCQ_ECLOSED;
  p->paused = paused;
  side_t* sides[2] = {&p->front, &p->back};
  for (int i = 0; i < 2; i++) {
    if (paused)
      mcq_pause(sides[i]->socket);
    else if (sides[i]->waiting == NULL)
      mcq_resume(sides[i]->socket);
  }
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
