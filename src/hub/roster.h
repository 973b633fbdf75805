/* SPDX-License-Identifier: MIT */
/* Slots and epochs.  The only place where an epoch is born or compared: a
 * handle reaches a port only while its epoch is the one its slot has now. */
#ifndef MCQ__HUB_ROSTER_H
#define MCQ__HUB_ROSTER_H

#include "hub/hub.h"

typedef struct mcq__seat {
  uint64_t epoch; /* 0: the slot is free */
  mcq__port_t* port;
  uint32_t next_free; /* of a free slot */
} mcq__seat_t;

typedef struct mcq__roster {
  mcq__mem_t* mem;
  uint64_t* epochs; /* the context's counter: the last epoch given out */
  mcq__seat_t* seats;
  size_t cap;
  size_t used;   /* slots ever taken; those beyond are untouched */
  size_t count;  /* live seats */
  uint32_t free; /* the free slot to be taken next, or MCQ__NO_SLOT */
} mcq__roster_t;

void mcq__roster_init(mcq__roster_t* r, mcq__mem_t* mem, uint64_t* epochs);
void mcq__roster_dispose(mcq__roster_t* r);

/* Makes room for one more, so that the next up cannot fail, and tells which
 * slot that one will get.  0 or MCQ_ENOMEM, nothing changed. */
int mcq__roster_reserve(mcq__roster_t* r, uint32_t* slot);

/* Seats a port under the next epoch.  0 or MCQ_ENOMEM. */
int mcq__roster_up(mcq__roster_t* r, mcq__port_t* port, mcq_peer_t* out);

/* Gives the live seat of `*peer` the next epoch; the old handle is stale from
 * now on.  0, or MCQ_EPEERGONE when `*peer` is stale already. */
int mcq__roster_renew(mcq__roster_t* r, mcq_peer_t* peer);

/* Frees the seat.  False, and nothing changed, when `peer` is stale. */
bool mcq__roster_down(mcq__roster_t* r, mcq_peer_t peer);

/* The port of a live handle, else NULL. */
static inline mcq__port_t* mcq__roster_port(const mcq__roster_t* r,
                                            mcq_peer_t peer) {
  if (peer.slot >= r->used || peer.epoch == 0) return NULL;
  const mcq__seat_t* seat = &r->seats[peer.slot];
  return seat->epoch == peer.epoch ? seat->port : NULL;
}

/* The handle of slot `slot` as it is now; zeros when it is free. */
mcq_peer_t mcq__roster_peer(const mcq__roster_t* r, uint32_t slot);

#endif
