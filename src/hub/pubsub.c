/* SPDX-License-Identifier: MIT */
/* PubSubHub: who is there and what they asked for.  Publishing sockets feed it
 * the events and subscriptions of their peers; publish.c does the rest.  It
 * knows no message. */
#include "hub/pubsub.h"

static int widen_marks(mcq__pubsub_t* h, uint32_t slot) {
  if (slot < h->cap) return 0;
  void* marks = h->marks;
  int rc = mcq__mem_grow(h->mem, &marks, &h->cap, (size_t) slot + 1,
                         sizeof *h->marks);
  if (rc == 0) h->marks = (uint64_t*) marks;
  return rc;
}

static int widen_audience(mcq__pubsub_t* h, uint32_t slot) {
  mcq__audience_t* a = &h->audience;
  if (slot < a->cap) return 0;
  void* slots = a->slots;
  int rc = mcq__mem_grow(h->mem, &slots, &a->cap, (size_t) slot + 1,
                         sizeof *a->slots);
  if (rc == 0) a->slots = (uint32_t*) slots;
  return rc;
}

/* Makes sure that `slot` has a place in the arrays that go by slot, and that
 * all slots have one in the audience. */
static int widen(mcq__pubsub_t* h, uint32_t slot) {
  int rc = mcq__prefix_reserve(&h->prefixes, slot);
  if (rc == 0) rc = widen_marks(h, slot);
  return rc != 0 ? rc : widen_audience(h, slot);
}

/* Whether one more prefix is more than the holder of `slot` may have. */
static bool too_much(const mcq__pubsub_t* h, uint32_t slot, size_t len) {
  return mcq__pubsub_over(&h->limits, mcq__prefix_share(&h->prefixes, slot),
                          len);
}

void mcq__pubsub_init(mcq__pubsub_t* h, mcq__mem_t* mem, uint64_t* epochs,
                      const mcq__pubsub_limits_t* limits) {
  *h = (mcq__pubsub_t){.mem = mem, .limits = *limits};
  mcq__roster_init(&h->roster, mem, epochs);
  mcq__prefix_init(&h->prefixes, mem);
}

void mcq__pubsub_dispose(mcq__pubsub_t* h) {
  mcq__slice_release(&h->promise.wired.bytes);
  mcq__prefix_dispose(&h->prefixes);
  if (h->marks != NULL) mcq__mem_free(h->mem, h->marks);
  if (h->audience.slots != NULL) mcq__mem_free(h->mem, h->audience.slots);
  h->marks = NULL;
  h->cap = 0;
  h->audience = (mcq__audience_t){0};
  mcq__roster_dispose(&h->roster);
}

int mcq__pubsub_up(mcq__pubsub_t* h, const mcq__hub_event_t* ev,
                   mcq_peer_t* out, mcq__prefix_cb gone, void* arg) {
  mcq__pubsub_upset(h);
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
  mcq__pubsub_upset(h);
  if (!mcq__roster_down(&h->roster, peer)) return false;
  mcq__prefix_drop(&h->prefixes, peer.slot, gone, arg);
  return true;
}

int mcq__pubsub_subscribe(mcq__pubsub_t* h, mcq_peer_t peer, mcq_frame_t prefix,
                          bool* first) {
  *first = false;
  mcq__pubsub_upset(h);
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
  mcq__pubsub_upset(h);
  if (mcq__roster_port(&h->roster, peer) == NULL) return MCQ_EPEERGONE;
  return mcq__prefix_remove(&h->prefixes, peer.slot, prefix, last);
}
