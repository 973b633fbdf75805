/* SPDX-License-Identifier: MIT */
/* Peers that are nothing but a port, and the invariants of RouterHub.  The
 * hub tests and the fuzz target drive hubs with these; no socket, no queue and
 * no loop is behind them. */
#ifndef MCQ__TEST_HUB_PEERS_H
#define MCQ__TEST_HUB_PEERS_H

#include "hub/router.h"

typedef struct fake_peer {
  mcq__port_t port;
  int answer;       /* what tell returns */
  uint64_t asked;   /* times tell was called */
  uint64_t told;    /* messages it took */
  mcq__body_t body; /* the last one */
} fake_peer_t;

static inline int fake_tell(mcq__port_t* port, const mcq__peer_cmd_t* cmd) {
  fake_peer_t* peer = mcq__container_of(port, fake_peer_t, port);
  peer->asked++;
  if (peer->answer != 0) return peer->answer;
  peer->told++;
  peer->body = *cmd->body;
  return 0;
}

static inline void fake_init(fake_peer_t* peer) {
  memset(peer, 0, sizeof *peer);
  peer->port.tell = fake_tell;
}

static inline bool same_peer(mcq_peer_t a, mcq_peer_t b) {
  return a.epoch == b.epoch && a.slot == b.slot;
}

static inline bool is_nobody(mcq_peer_t peer) {
  return peer.epoch == 0 && peer.slot == 0;
}

/* What is wrong with the free slots: each is once in the free list. */
static inline const char* roster_fault(const mcq__roster_t* r) {
  size_t live = 0;
  for (size_t i = 0; i < r->used; i++) {
    if ((r->seats[i].epoch == 0) != (r->seats[i].port == NULL))
      return "a seat has an epoch or a port, not both";
    if (r->seats[i].epoch > *r->epochs) return "an epoch nobody gave out";
    live += r->seats[i].epoch != 0;
  }
  if (r->used > r->cap) return "more slots used than there are";
  if (live != r->count) return "live seats and their count differ";
  size_t idle = 0;
  for (uint32_t s = r->free; s != MCQ__NO_SLOT; s = r->seats[s].next_free) {
    if (s >= r->used) return "a free slot that was never taken";
    if (r->seats[s].epoch != 0) return "a live seat in the free list";
    if (++idle > r->used) return "the free list is a ring";
  }
  return idle + live == r->used ? NULL : "a slot is lost";
}

static inline const char* rotation_fault(const mcq__rotation_t* r) {
  size_t in = 0;
  for (size_t i = 0; i < r->cap; i++) in += r->links[i].in;
  if (in != r->count) return "members of the ring and their count differ";
  if ((r->cursor == MCQ__NO_SLOT) != (in == 0))
    return "a cursor without a ring, or the other way round";
  uint32_t at = r->cursor;
  for (size_t i = 0; i < in; i++) {
    if (at >= r->cap || !r->links[at].in) return "the ring leads outside";
    if (r->links[r->links[at].next].prev != at) return "the ring is torn";
    at = r->links[at].next;
    if (at == r->cursor && i + 1 != in) return "the ring leaves members out";
  }
  return at == r->cursor ? NULL : "the ring does not close";
}

/* What is wrong with a hub, in words, or NULL. */
static inline const char* router_fault(const mcq__router_t* h) {
  const char* fault = roster_fault(&h->roster);
  if (fault == NULL) fault = rotation_fault(&h->rotation);
  if (fault != NULL) return fault;
  if (h->nameless) return NULL;
  if (mcq__hash_count(&h->names.table) != h->roster.count)
    return "as many names as peers there must be";
  for (uint32_t s = 0; s < h->ids_cap; s++) {
    const mcq__slice_t* id = &h->ids[s];
    if (mcq__roster_peer(&h->roster, s).epoch == 0) {
      if (id->len != 0 || id->slab_ != NULL) return "a free slot has an id";
      if (s < h->rotation.cap && h->rotation.links[s].in)
        return "a free slot in the rotation";
    } else {
      if (id->len == 0 || id->len > MCQ__NAME_MAX) return "a peer has no id";
      if (mcq__names_find(&h->names, id->data, id->len) != s)
        return "an id does not lead to its peer";
    }
  }
  return h->ids_cap >= h->roster.used ? NULL : "a peer without place for an id";
}

#endif
