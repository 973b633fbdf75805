/* SPDX-License-Identifier: MIT */
/* Slots and epochs of one hub: who is there.  The hubs call it for each peer
 * that comes or goes; a freed slot is taken again first, under a new epoch, so
 * the table stays as small as the largest crowd it has seen.  It knows no
 * names, no turns and no messages. */
#include "hub/roster.h"

static mcq_peer_t handle(const mcq__roster_t* r, uint32_t slot) {
  mcq_peer_t peer = {.epoch = r->seats[slot].epoch, .slot = slot};
  return peer;
}

void mcq__roster_init(mcq__roster_t* r, mcq__mem_t* mem, uint64_t* epochs) {
  r->mem = mem;
  r->epochs = epochs;
  r->seats = NULL;
  r->cap = 0;
  r->used = 0;
  r->count = 0;
  r->free = MCQ__NO_SLOT;
}

void mcq__roster_dispose(mcq__roster_t* r) {
  if (r->seats != NULL) mcq__mem_free(r->mem, r->seats);
  mcq__roster_init(r, r->mem, r->epochs);
}

int mcq__roster_reserve(mcq__roster_t* r, uint32_t* slot) {
  if (r->free != MCQ__NO_SLOT) {
    *slot = r->free;
    return 0;
  }
  if (r->used == MCQ__NO_SLOT) return MCQ_ENOMEM;
  void* seats = r->seats;
  int rc =
      mcq__mem_grow(r->mem, &seats, &r->cap, r->used + 1, sizeof(mcq__seat_t));
  if (rc != 0) return rc;
  r->seats = (mcq__seat_t*) seats;
  *slot = (uint32_t) r->used;
  return 0;
}

int mcq__roster_up(mcq__roster_t* r, mcq__port_t* port, mcq_peer_t* out) {
  uint32_t slot;
  int rc = mcq__roster_reserve(r, &slot);
  if (rc != 0) return rc;
  mcq__check(port != NULL);
  mcq__seat_t* seat = &r->seats[slot];
  if (slot == r->free) {
    r->free = seat->next_free;
  } else {
    r->used++;
  }
  seat->epoch = ++*r->epochs;
  seat->port = port;
  seat->next_free = MCQ__NO_SLOT;
  r->count++;
  *out = handle(r, slot);
  return 0;
}

int mcq__roster_renew(mcq__roster_t* r, mcq_peer_t* peer) {
  if (mcq__roster_port(r, *peer) == NULL) return MCQ_EPEERGONE;
  r->seats[peer->slot].epoch = ++*r->epochs;
  *peer = handle(r, peer->slot);
  return 0;
}

bool mcq__roster_down(mcq__roster_t* r, mcq_peer_t peer) {
  if (mcq__roster_port(r, peer) == NULL) return false;
  mcq__seat_t* seat = &r->seats[peer.slot];
  seat->epoch = 0;
  seat->port = NULL;
  seat->next_free = r->free;
  r->free = peer.slot;
  r->count--;
  return true;
}

mcq_peer_t mcq__roster_peer(const mcq__roster_t* r, uint32_t slot) {
  static const mcq_peer_t nobody = {0, 0};
  if (slot >= r->used || r->seats[slot].epoch == 0) return nobody;
  return handle(r, slot);
}
