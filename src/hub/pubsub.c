/* SPDX-License-Identifier: MIT */
/* PubSubHub: one message to many, by what they asked for.  Publishing sockets
 * feed it the events and subscriptions of their peers and the messages of
 * their user.  Of a body it reads the first frame and nothing else; it never
 * queues, and never calls anything but ports and what it is given to call. */
#include "hub/pubsub.h"

/* One message on its way. */
typedef struct delivery {
  mcq__pubsub_t* hub;
  mcq__peer_cmd_t cmd;
  mcq__missed_cb missed;
  void* arg;
  int told;
} delivery_t;

/* What is done for each peer that is to get the message; false stops. */
typedef bool (*visit_t)(delivery_t* d, uint32_t slot);

/* A port answered `rc`; what it says in the end.  Apart, so that tell is short.
 */
static __attribute__((noinline)) int not_taken(delivery_t* d, uint32_t slot,
                                               int rc) {
  mcq_peer_t peer = mcq__roster_peer(&d->hub->roster, slot);
  mcq__port_t* port = d->hub->roster.seats[slot].port;
  if (!d->missed(d->arg, peer, rc, true)) return rc;
  rc = port->tell(port, &d->cmd);
  if (rc != 0) d->missed(d->arg, peer, rc, false);
  return rc;
}

static bool tell(delivery_t* d, uint32_t slot) {
  mcq__port_t* port = d->hub->roster.seats[slot].port;
  int rc = port->tell(port, &d->cmd);
  if (mcq__unlikely(rc != 0) && d->missed != NULL) rc = not_taken(d, slot, rc);
  d->told += rc == 0;
  return true;
}

static bool has_room(delivery_t* d, uint32_t slot) {
  mcq__port_t* port = d->hub->roster.seats[slot].port;
  return port->room(port);
}

static bool nothing(delivery_t* d, uint32_t slot) {
  (void) d;
  (void) slot;
  return true;
}

/* Each holder of a prefix of the topic once: whoever this pass has marked has
 * had its visit.  False when one of them stopped it. */
static inline bool visit_matching(delivery_t* d, mcq_frame_t topic,
                                  visit_t visit) {
  mcq__pubsub_t* h = d->hub;
  uint64_t pass = ++h->pass;
  mcq__order_chain_t chain = mcq__prefix_match(&h->prefixes, topic);
  uint32_t id;
  while ((id = mcq__order_next(&chain)) != MCQ__NO_TEXT) {
    mcq__holders_t holders = mcq__prefix_holders(&h->prefixes, id);
    uint32_t slot;
    while ((slot = mcq__holders_next(&holders)) != MCQ__NO_SLOT) {
      if (h->marks[slot] == pass) continue;
      h->marks[slot] = pass;
      if (!visit(d, slot)) return false;
    }
  }
  return true;
}

/* Each live peer that holds none, those that hold nothing at all too. */
static bool visit_others(delivery_t* d, mcq_frame_t topic, visit_t visit) {
  mcq__pubsub_t* h = d->hub;
  visit_matching(d, topic, nothing);
  for (uint32_t slot = 0; slot < h->roster.used; slot++) {
    if (h->roster.seats[slot].epoch == 0 || h->marks[slot] == h->pass) continue;
    if (!visit(d, slot)) return false;
  }
  return true;
}

/* Makes sure that `slot` has a place in the arrays that go by slot. */
static int widen(mcq__pubsub_t* h, uint32_t slot) {
  int rc = mcq__prefix_reserve(&h->prefixes, slot);
  if (rc != 0 || slot < h->cap) return rc;
  void* marks = h->marks;
  rc = mcq__mem_grow(h->mem, &marks, &h->cap, (size_t) slot + 1,
                     sizeof *h->marks);
  if (rc == 0) h->marks = (uint64_t*) marks;
  return rc;
}

/* Whether one more prefix is more than the holder of `slot` may have. */
static bool too_much(const mcq__pubsub_t* h, uint32_t slot, size_t len) {
  const mcq__pubsub_limits_t* l = &h->limits;
  mcq__prefix_share_t share = mcq__prefix_share(&h->prefixes, slot);
  if (l->prefix_bytes != 0 && len > l->prefix_bytes) return true;
  if (l->prefixes != 0 && share.count >= l->prefixes) return true;
  if (l->total_bytes == 0) return false;
  return share.bytes > l->total_bytes || len > l->total_bytes - share.bytes;
}

void mcq__pubsub_init(mcq__pubsub_t* h, mcq__mem_t* mem, uint64_t* epochs,
                      const mcq__pubsub_limits_t* limits) {
  h->mem = mem;
  mcq__roster_init(&h->roster, mem, epochs);
  mcq__prefix_init(&h->prefixes, mem);
  h->limits = *limits;
  h->marks = NULL;
  h->cap = 0;
  h->pass = 0;
}

void mcq__pubsub_dispose(mcq__pubsub_t* h) {
  mcq__prefix_dispose(&h->prefixes);
  if (h->marks != NULL) mcq__mem_free(h->mem, h->marks);
  h->marks = NULL;
  h->cap = 0;
  mcq__roster_dispose(&h->roster);
}

int mcq__pubsub_up(mcq__pubsub_t* h, const mcq__hub_event_t* ev,
                   mcq_peer_t* out, mcq__prefix_cb gone, void* arg) {
  if (ev->peer.epoch != 0) {
    if (mcq__roster_port(&h->roster, ev->peer) == NULL) return MCQ_EPEERGONE;
    mcq__prefix_drop(&h->prefixes, ev->peer.slot, gone, arg);
    *out = ev->peer;
    return mcq__roster_renew(&h->roster, out);
  }
  uint32_t slot;
  int rc = mcq__roster_reserve(&h->roster, &slot);
  if (rc == 0) rc = widen(h, slot);
  if (rc != 0) return rc;
  return mcq__roster_up(&h->roster, ev->port, out);
}

bool mcq__pubsub_down(mcq__pubsub_t* h, mcq_peer_t peer, mcq__prefix_cb gone,
                      void* arg) {
  if (!mcq__roster_down(&h->roster, peer)) return false;
  mcq__prefix_drop(&h->prefixes, peer.slot, gone, arg);
  return true;
}

int mcq__pubsub_subscribe(mcq__pubsub_t* h, mcq_peer_t peer, mcq_frame_t prefix,
                          bool* first) {
  *first = false;
  if (mcq__roster_port(&h->roster, peer) == NULL) return MCQ_EPEERGONE;
  /* What it has already is not one more. */
  if (mcq__unlikely(too_much(h, peer.slot, prefix.len)))
    return mcq__prefix_holds(&h->prefixes, peer.slot, prefix) ? MCQ_EEXIST
                                                              : MCQ_EMSGLIMIT;
  return mcq__prefix_add(&h->prefixes, peer.slot, prefix, first);
}

int mcq__pubsub_cancel(mcq__pubsub_t* h, mcq_peer_t peer, mcq_frame_t prefix,
                       bool* last) {
  *last = false;
  if (mcq__roster_port(&h->roster, peer) == NULL) return MCQ_EPEERGONE;
  return mcq__prefix_remove(&h->prefixes, peer.slot, prefix, last);
}

int mcq__pubsub_publish(mcq__pubsub_t* h, const mcq__body_t* body, int flags,
                        mcq__missed_cb missed, void* arg) {
  static const mcq_frame_t empty = {NULL, 0};
  delivery_t d = {h, {body}, missed, arg, 0};
  mcq_frame_t topic = body->count == 0 ? empty : mcq__body_frame(body, 0);
  bool invert = (flags & MCQ__PUBLISH_INVERT) != 0;
  if ((flags & MCQ__PUBLISH_NODROP) != 0) {
    bool room = invert ? visit_others(&d, topic, has_room)
                       : visit_matching(&d, topic, has_room);
    if (!room) return MCQ_EAGAIN;
  }
  if (invert) {
    visit_others(&d, topic, tell);
  } else {
    visit_matching(&d, topic, tell);
  }
  return d.told;
}

int mcq__pubsub_tell(mcq__pubsub_t* h, mcq_peer_t peer,
                     const mcq__body_t* body) {
  mcq__port_t* port = mcq__roster_port(&h->roster, peer);
  if (port == NULL) return MCQ_EPEERGONE;
  const mcq__peer_cmd_t cmd = {body};
  return port->tell(port, &cmd);
}
