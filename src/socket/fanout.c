/* SPDX-License-Identifier: MIT */
/* One message to many (see fanout.h).  Never looks behind the first frame. */
#include "socket/fanout.h"

/* A single frame up to this size is put together in each peer's own buffer
 * faster than it is shared. */
#define SHARE_MIN ((size_t) 2048)

/* ---- the message as it travels ------------------------------------------- */

/* Frames of the user's are; of a message that came those which every queue
 * would have to copy out of the buffer they lie in. */
static bool worth_sharing(const mcq__body_t* body) {
  if (body->frames != NULL)
    return body->count > 1 || body->frames->len > SHARE_MIN;
  for (size_t i = 0; i < body->count; i++)
    if (body->slices[i].len > SHARE_MIN &&
        !mcq__slice_keepable(body->slices[i]))
      return true;
  return false;
}

/* Whether anybody may have it. */
static bool wanted(const mcq_socket_t* s, const mcq__body_t* body, int flags) {
  if (s->counts.peers == 0) return false;
  if (flags & MCQ__PUBLISH_INVERT) return true;
  return mcq__prefix_matches(&s->hub.pubsub.prefixes, mcq__body_frame(body, 0));
}

static int encode(const mcq_socket_t* s, const mcq__body_t* body,
                  mcq__slice_t* out) {
  const mcq__protocol_t* protocol = s->host->protocol;
  mcq__window_t w = {0};
  size_t size = 0;
  for (size_t i = 0; i < body->count; i++)
    size += MCQ__HEAD_MAX + mcq__body_frame(body, i).len;
  int rc = mcq__window_open_exact(&w, s->host->pool, size);
  if (rc != 0) return rc;
  size_t at = 0;
  for (size_t i = 0; i < body->count; i++) {
    uint8_t head[MCQ__HEAD_MAX];
    mcq_frame_t frame = mcq__body_frame(body, i);
    size_t len = protocol->head(head, frame.len, i + 1 < body->count);
    mcq__window_poke(&w, at, head, len);
    mcq__window_poke(&w, at + len, frame.data, frame.len);
    at += len + frame.len;
  }
  *out = mcq__window_freeze(&w, at);
  mcq__window_close(&w);
  return 0;
}

/* ---- where a queue is full ----------------------------------------------- */

static void note_missed(mcq_socket_t* s, mcq__actor_t* a) {
  a->missed++;
  mcq__io_work(&s->host->io, &s->drops); /* this may be a call of his */
}

bool mcq__fanout_shed(mcq_socket_t* s, mcq__actor_t* a) {
  if (!mcq__actor_shed(a)) return false;
  note_missed(s, a);
  return true;
}

/* True when older messages made room for the new one: one, or as many as it
 * takes by bytes. */
static bool replace_oldest(mcq_socket_t* s, mcq__actor_t* a) {
  if (s->options.slow_peer != MCQ_SLOW_DROP_OLDEST) return false;
  while (mcq__outbox_full(&a->outbox))
    if (!mcq__fanout_shed(s, a)) return false;
  return true;
}

static bool on_missed(void* arg, mcq_peer_t peer, int code, bool chance) {
  mcq_socket_t* s = (mcq_socket_t*) arg;
  mcq__port_t* port = mcq__roster_port(s->roster, peer);
  mcq__actor_t* a = mcq__actor_of_port(port);
  if (code == MCQ_EPEERGONE) return false; /* it is closing */
  if (chance && code == MCQ_EAGAIN && replace_oldest(s, a)) return true;
  if (code == MCQ_EAGAIN)
    a->tally.missed_full++;
  else
    a->tally.missed_memory++;
  note_missed(s, a);
  if (s->options.slow_peer == MCQ_SLOW_DISCONNECT)
    mcq__actor_end(a, MCQ_ESLOW, 0);
  return false;
}

void mcq__fanout_report_one(mcq_socket_t* s, mcq__actor_t* a) {
  if (a->missed == 0) return;
  mcq_event_t event = mcq__events_of(a, MCQ_EVENT_DROPPED);
  event.count = a->missed;
  a->missed = 0;
  mcq__socket_event(s, &event);
}

void mcq__fanout_report(mcq_socket_t* s) {
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next)
    mcq__fanout_report_one(s, mcq__container_of(n, mcq__actor_t, node));
}

/* ---- out it goes --------------------------------------------------------- */

static int publish(mcq_socket_t* s, const mcq__body_t* body, int flags) {
  if (s->options.slow_peer == MCQ_SLOW_REFUSE) flags |= MCQ__PUBLISH_NODROP;
  int told = mcq__pubsub_publish(&s->hub.pubsub, body, flags, on_missed, s);
  return told < 0 ? told : 0;
}

static int spread(mcq_socket_t* s, const mcq__body_t* body, int flags) {
  if (!worth_sharing(body) || !wanted(s, body, flags))
    return publish(s, body, flags);
  mcq__slice_t wire;
  int rc = encode(s, body, &wire);
  if (rc != 0) return rc;
  mcq__body_t shared = *body;
  shared.wire = &wire;
  rc = publish(s, &shared, flags);
  mcq__slice_release(&wire);
  return rc;
}

int mcq__fanout_matching(mcq_socket_t* s, const mcq__body_t* body) {
  bool inverted = (s->options.flags & MCQ_INVERT_MATCHING) != 0;
  return spread(s, body, inverted ? MCQ__PUBLISH_INVERT : 0);
}

/* Nobody asks an XSUB for anything, so all did not. */
int mcq__fanout_all(mcq_socket_t* s, const mcq__body_t* body) {
  return spread(s, body, MCQ__PUBLISH_INVERT);
}
