/* SPDX-License-Identifier: MIT */
/* RouterHub: one message to one peer, by address or to whoever is next.
 *
 * ROUTER uses it by address, DEALER, PUSH, REQ and PAIR balanced, a ROUTER in
 * load-balancer mode both ways.  It owns who is there (roster), what they are
 * called (names) and whose turn it is (rotation), and nothing else. */
#ifndef MCQ__HUB_ROUTER_H
#define MCQ__HUB_ROUTER_H

#include "hub/names.h"
#include "hub/rotation.h"

typedef struct mcq__router {
  mcq__mem_t* mem;
  mcq__roster_t roster;
  mcq__names_t names;
  mcq__rotation_t rotation;
  mcq__slice_t* ids; /* by slot: the routing id, counting */
  size_t ids_cap;
  mcq__pool_t* pool;
  uint32_t picked; /* who got the last TO_ANYONE message, if it went */
  bool refuse_twins;
  bool nameless; /* nobody is called by an id, so nobody has one */
} mcq__router_t;

void mcq__router_init(mcq__router_t* h, mcq__pool_t* pool, uint64_t* epochs,
                      const uint64_t seed[2], bool refuse_twins);
void mcq__router_dispose(mcq__router_t* h);

/* UP.  Stamps the next epoch and writes the handle to `*out`.  With ev->peer
 * set the seat, its port and its turn are kept, its old handle goes stale and
 * its old id is given up; one that rested is in the rotation again.  An empty
 * name, one that starts with a zero byte or one of more than 255 bytes gets
 * one made up.
 *
 * A name that another live peer has: with refuse_twins MCQ_ETWIN and nothing
 * changed; else the other one is out of the hub and its handle is written to
 * `*displaced` (zeros otherwise).
 *
 * 0, MCQ_ETWIN, MCQ_ENOMEM, or MCQ_EPEERGONE when ev->peer is stale; nothing
 * has changed then. */
int mcq__router_up(mcq__router_t* h, const mcq__hub_event_t* ev,
                   mcq_peer_t* out, mcq_peer_t* displaced);

/* DOWN.  False, and nothing changed, when the handle is stale. */
bool mcq__router_down(mcq__router_t* h, mcq_peer_t peer);

/* ROOM: the peer is the last of the rotation's current round, unless it never
 * left.  Ignored when the handle is stale. */
void mcq__router_room(mcq__router_t* h, mcq_peer_t peer);

/* Takes a peer out of the balanced rotation without touching its
 * addressability; ROOM or a renewal puts it back.  Ignored when the handle is
 * stale. */
void mcq__router_rest(mcq__router_t* h, mcq_peer_t peer);

/* Routes one message.  0; MCQ_EAGAIN: the addressed peer is full, or nobody
 * has room; MCQ_EHOSTUNREACH: no peer of that name; MCQ_EPEERGONE: stale
 * handle; or what the port answered.  A port that is full leaves the rotation
 * until its ROOM. */
int mcq__router_user(mcq__router_t* h, const mcq__user_cmd_t* cmd);

/* The same for TO_ANYONE: whoever is next in the ring; those that are full
 * leave it on the way.  Hot. */
int mcq__router_anyone(mcq__router_t* h, const mcq__body_t* body);

/* The live handle of a routing id; zeros when there is none. */
mcq_peer_t mcq__router_find(const mcq__router_t* h, const void* id, size_t len);

/* The routing id of a live handle, borrowed; empty when stale. */
mcq__slice_t mcq__router_id(const mcq__router_t* h, mcq_peer_t peer);

/* True when at least one peer is in the rotation. */
bool mcq__router_open(const mcq__router_t* h);

#endif
