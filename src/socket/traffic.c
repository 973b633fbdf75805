/* SPDX-License-Identifier: MIT */
/* A socket's messages: the verbs that send, what becomes of those that come,
 * and when none come.  Whom they go to is the type's business. */
#include "socket/socket.h"

mcq_peer_t mcq__socket_picked(const mcq_socket_t* s) {
  return mcq__roster_peer(s->roster, s->hub.router.picked);
}

/* ---- sending ------------------------------------------------------------- */

int mcq__socket_failure(mcq_socket_t* s, int rc) {
  if (rc == MCQ_EAGAIN) {
    s->wants_drain = true;
    s->counts.sends_refused++;
  } else if (rc == MCQ_EHOSTUNREACH || rc == MCQ_EPEERGONE) {
    s->counts.sends_unroutable++;
  }
  return rc;
}

static int send_body(mcq_socket_t* s, const mcq__body_t* body) {
  if (mcq__unlikely(s->leaving)) return MCQ_ECLOSED;
  if (mcq__unlikely(body->count == 0)) return MCQ_EINVAL;
  if (mcq__unlikely(s->pattern->send == NULL)) return MCQ_ENOTSUP;
  int rc = s->pattern->send(s, body);
  return mcq__likely(rc == 0) ? 0 : mcq__socket_failure(s, rc);
}

static int send_body_to(mcq_socket_t* s, mcq_peer_t peer,
                        const mcq__body_t* body) {
  if (s->leaving) return MCQ_ECLOSED;
  if (!s->pattern->by_handle) return MCQ_ENOTSUP;
  if (body->count == 0) return MCQ_EINVAL;
  int rc = s->pattern->send_to != NULL ? s->pattern->send_to(s, peer, body)
                                       : s->pattern->seats->tell(s, peer, body);
  return mcq__likely(rc == 0) ? 0 : mcq__socket_failure(s, rc);
}

/* A peer that could not be told is left; it is told when it is back. */
void mcq__socket_probe(mcq_socket_t* s, mcq__actor_t* a) {
  if (!(s->options.flags & MCQ_PROBE_ROUTER)) return;
  int rc = mcq__actor_probe(a);
  if (rc != 0) mcq__actor_end(a, rc, 0);
}

int mcq_send(mcq_socket_t* socket, const mcq_frame_t* frames, size_t count) {
  mcq__body_t body = {.frames = frames, .count = count};
  return send_body(socket, &body);
}

int mcq_send_next(mcq_socket_t* socket, const mcq_frame_t* frames, size_t count,
                  mcq_peer_t* peer) {
  if (!socket->pattern->picks ||
      (socket->pattern->type == MCQ_ROUTER &&
       !(socket->options.flags & MCQ_ROUTER_BALANCE)))
    return MCQ_ENOTSUP;
  int rc = mcq_send(socket, frames, count);
  if (rc == 0) *peer = mcq__socket_picked(socket);
  return rc;
}

int mcq_send_to(mcq_socket_t* socket, mcq_peer_t peer,
                const mcq_frame_t* frames, size_t count) {
  mcq__body_t body = {.frames = frames, .count = count};
  return send_body_to(socket, peer, &body);
}

int mcq_send_msg(mcq_socket_t* socket, const mcq_msg_t* msg) {
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  return send_body(socket, &body);
}

int mcq_send_msg_to(mcq_socket_t* socket, mcq_peer_t peer,
                    const mcq_msg_t* msg) {
  mcq__body_t body = {.slices = msg->frames, .count = msg->count};
  return send_body_to(socket, peer, &body);
}

int mcq_send_bytes(mcq_socket_t* socket, const void* data, size_t len) {
  mcq_frame_t frame = {data, len};
  return mcq_send(socket, &frame, 1);
}

int mcq_send_text(mcq_socket_t* socket, const char* text) {
  return mcq_send_bytes(socket, text, strlen(text));
}

/* ---- receiving ----------------------------------------------------------- */

void mcq__socket_deliver(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg) {
  if (s->options.on_message != NULL) s->options.on_message(s, a->peer, msg);
}

void mcq__socket_aside(mcq__actor_t* a, const mcq_msg_t* msg) {
  mcq__tally_t* tally = mcq__actor_odd(a);
  tally->messages_aside++;
  tally->frames_aside += msg->count;
  tally->bytes_aside += msg->bytes;
}

void mcq__socket_discard(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg) {
  mcq__socket_aside(a, msg);
  s->counts.messages_discarded++;
}

void mcq__socket_last(mcq_socket_t* s, mcq__actor_t* a) {
  mcq__list_remove(&a->node);
  mcq__list_insert(&s->actors, &a->node);
}

/* Two may pause a socket; it delivers when neither does.  Whose message it was
 * that made it pause comes last when it goes on: the others are heard before
 * that one is again. */
static void hold_back(mcq_socket_t* s) {
  bool paused = s->paused || s->held;
  mcq__actor_t* heard = NULL;
  if (s->config.paused == paused) return;
  s->config.paused = paused;
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (a->delivering) heard = a;
    mcq__actor_pause_changed(a);
  }
  if (heard != NULL) mcq__socket_last(s, heard);
  if (!paused && s->pattern->resumed != NULL) s->pattern->resumed(s);
}

void mcq__socket_hold(mcq_socket_t* s, bool held) {
  s->held = held;
  if (!s->closing) hold_back(s);
}

void mcq__socket_busy(mcq_socket_t* s, bool busy) {
  if (s->leaving) busy = false; /* nobody waits for the user's answer */
  if (s->config.busy == busy) return;
  s->config.busy = busy;
  if (busy) return; /* each finds out when it has something to deliver */
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (mcq__actor_waits(a)) mcq__actor_pause_changed(a);
  }
}

static int set_paused(mcq_socket_t* s, bool paused) {
  if (s->closing) return MCQ_ECLOSED;
  s->paused = paused;
  hold_back(s);
  return 0;
}

int mcq_pause(mcq_socket_t* socket) {
  return set_paused(socket, true);
}

int mcq_resume(mcq_socket_t* socket) {
  return set_paused(socket, false);
}
