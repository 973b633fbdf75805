/* SPDX-License-Identifier: MIT */
/* RouterHub: one message to one peer, by name, by handle or to whoever is
 * next.  Sockets that talk to one peer at a time feed it the events of their
 * peers and the commands of their user.  It never looks into a body, never
 * queues, and never calls anything but a port's tell. */
#include "hub/router.h"

static const mcq_peer_t nobody = {0, 0};

/* Whether a peer may be called what it announced.  Ids that begin with a zero
 * byte are kept for those that are made up. */
static bool acceptable(mcq__slice_t name) {
  return name.len > 0 && name.len <= MCQ__NAME_MAX && name.data[0] != 0;
}

/* Takes whoever sits in `slot` out of everything. */
static mcq_peer_t leave(mcq__router_t* h, uint32_t slot) {
  mcq_peer_t peer = mcq__roster_peer(&h->roster, slot);
  mcq__rotation_remove(&h->rotation, slot);
  if (!h->nameless) {
    mcq__slice_t* id = &h->ids[slot];
    mcq__names_remove(&h->names, id->data, id->len, slot);
    mcq__slice_release(id);
  }
  mcq__roster_down(&h->roster, peer);
  return peer;
}

/* Makes sure that `slot` has a place in the arrays that go by slot. */
static int widen(mcq__router_t* h, uint32_t slot) {
  int rc = mcq__rotation_reserve(&h->rotation, slot);
  if (rc != 0 || slot < h->ids_cap) return rc;
  void* ids = h->ids;
  rc = mcq__mem_grow(h->mem, &ids, &h->ids_cap, (size_t) slot + 1,
                     sizeof(mcq__slice_t));
  if (rc == 0) h->ids = (mcq__slice_t*) ids;
  return rc;
}

/* All that can fail of an arrival: a copy of its id, and the id bound to its
 * slot.  The id may be another peer's until now. */
static int claim(mcq__router_t* h, uint32_t slot, mcq__slice_t name,
                 mcq__slice_t* id) {
  int rc = widen(h, slot);
  if (rc != 0) return rc;
  rc = mcq__slice_copy(id, h->pool, name.data, name.len);
  if (rc != 0) return rc;
  rc = mcq__names_put(&h->names, name.data, name.len, slot);
  if (rc != 0) mcq__slice_release(id);
  return rc;
}

/* The live seat of `peer` under its next epoch and its new id. */
static mcq_peer_t renew(mcq__router_t* h, mcq_peer_t peer, mcq__slice_t id) {
  mcq__slice_t* old = &h->ids[peer.slot];
  if (!mcq__slice_equal(*old, id.data, id.len))
    mcq__names_remove(&h->names, old->data, old->len, peer.slot);
  mcq__slice_release(old);
  mcq__roster_renew(&h->roster, &peer);
  return peer;
}

/* To the one whose turn it is, `h->picked`. */
static inline int tell_next(mcq__router_t* h, const mcq__peer_cmd_t* cmd) {
  h->picked = mcq__rotation_next(&h->rotation);
  if (mcq__unlikely(h->picked == MCQ__NO_SLOT)) return MCQ_EAGAIN;
  mcq__port_t* port = h->roster.seats[h->picked].port;
  int rc = port->tell(port, cmd);
  if (mcq__likely(rc == 0)) mcq__rotation_advance(&h->rotation);
  return rc;
}

/* Who has no room is out of the rotation, and the next one is asked. */
static mcq__noinline int tell_another(mcq__router_t* h,
                                      const mcq__peer_cmd_t* cmd, int rc) {
  while (rc == MCQ_EAGAIN && h->picked != MCQ__NO_SLOT) {
    mcq__rotation_remove(&h->rotation, h->picked);
    rc = tell_next(h, cmd);
  }
  return rc;
}

int mcq__router_anyone(mcq__router_t* h, const mcq__body_t* body) {
  const mcq__peer_cmd_t cmd = {body, false};
  int rc = tell_next(h, &cmd);
  return mcq__likely(rc == 0) ? 0 : tell_another(h, &cmd, rc);
}

static int tell_slot(mcq__router_t* h, uint32_t slot,
                     const mcq__peer_cmd_t* cmd) {
  mcq__port_t* port = h->roster.seats[slot].port;
  int rc = port->tell(port, cmd);
  if (rc == MCQ_EAGAIN) mcq__rotation_remove(&h->rotation, slot);
  return rc;
}

void mcq__router_init(mcq__router_t* h, mcq__pool_t* pool, uint64_t* epochs,
                      const uint64_t seed[2], bool refuse_twins) {
  h->mem = mcq__pool_mem(pool);
  mcq__roster_init(&h->roster, h->mem, epochs);
  mcq__names_init(&h->names, h->mem, seed);
  mcq__rotation_init(&h->rotation, h->mem);
  h->ids = NULL;
  h->ids_cap = 0;
  h->pool = pool;
  h->picked = MCQ__NO_SLOT;
  h->refuse_twins = refuse_twins;
  h->nameless = false;
}

void mcq__router_dispose(mcq__router_t* h) {
  for (size_t i = 0; i < h->ids_cap; i++) mcq__slice_release(&h->ids[i]);
  if (h->ids != NULL) mcq__mem_free(h->mem, h->ids);
  h->ids = NULL;
  h->ids_cap = 0;
  mcq__rotation_dispose(&h->rotation);
  mcq__names_dispose(&h->names);
  mcq__roster_dispose(&h->roster);
}

/* UP where nobody has a name. */
static int seat_nameless(mcq__router_t* h, const mcq__hub_event_t* ev,
                         mcq_peer_t* out) {
  mcq_peer_t peer = ev->peer;
  uint32_t slot = peer.slot;
  bool again = peer.epoch != 0;
  int rc = again ? 0 : mcq__roster_reserve(&h->roster, &slot);
  if (rc == 0) rc = mcq__rotation_reserve(&h->rotation, slot);
  if (rc == 0)
    rc = again ? mcq__roster_renew(&h->roster, &peer)
               : mcq__roster_up(&h->roster, ev->port, &peer);
  if (rc != 0) return rc;
  mcq__rotation_add(&h->rotation, slot);
  *out = peer;
  return 0;
}

int mcq__router_up(mcq__router_t* h, const mcq__hub_event_t* ev,
                   mcq_peer_t* out, mcq_peer_t* displaced) {
  bool again = ev->peer.epoch != 0;
  uint32_t slot = ev->peer.slot;
  *displaced = nobody;
  if (again && mcq__roster_port(&h->roster, ev->peer) == NULL)
    return MCQ_EPEERGONE;
  if (h->nameless) return seat_nameless(h, ev, out);
  uint8_t made[MCQ__NAME_MADE];
  mcq__slice_t name = mcq__slice_static(ev->name.data, ev->name.len);
  if (!acceptable(name)) {
    mcq__names_make(&h->names, made);
    name = mcq__slice_static(made, sizeof(made));
  }
  uint32_t twin = mcq__names_find(&h->names, name.data, name.len);
  if (again && twin == slot) twin = MCQ__NO_SLOT; /* its own name */
  if (twin != MCQ__NO_SLOT && h->refuse_twins) return MCQ_ETWIN;
  mcq__slice_t id;
  int rc = again ? 0 : mcq__roster_reserve(&h->roster, &slot);
  if (rc == 0) rc = claim(h, slot, name, &id);
  if (rc != 0) return rc;
  /* From here on nothing fails.  The newcomer is seated before its twin
   * leaves, in the slot that was reserved for it and not in the twin's. */
  mcq_peer_t peer = ev->peer;
  if (again) {
    peer = renew(h, peer, id);
  } else {
    mcq__roster_up(&h->roster, ev->port, &peer);
  }
  h->ids[slot] = id;
  mcq__rotation_add(&h->rotation, slot);
  if (twin != MCQ__NO_SLOT) *displaced = leave(h, twin);
  *out = peer;
  return 0;
}

bool mcq__router_down(mcq__router_t* h, mcq_peer_t peer) {
  if (mcq__roster_port(&h->roster, peer) == NULL) return false;
  leave(h, peer.slot);
  return true;
}

void mcq__router_room(mcq__router_t* h, mcq_peer_t peer) {
  if (mcq__roster_port(&h->roster, peer) != NULL)
    mcq__rotation_add(&h->rotation, peer.slot);
}

void mcq__router_rest(mcq__router_t* h, mcq_peer_t peer) {
  if (mcq__roster_port(&h->roster, peer) != NULL)
    mcq__rotation_remove(&h->rotation, peer.slot);
}

int mcq__router_user(mcq__router_t* h, const mcq__user_cmd_t* cmd) {
  if (cmd->to == MCQ__TO_ANYONE) return mcq__router_anyone(h, cmd->body);
  const mcq__peer_cmd_t out = {cmd->body, false};
  if (cmd->to == MCQ__TO_PEER) {
    if (mcq__roster_port(&h->roster, cmd->peer) == NULL) return MCQ_EPEERGONE;
    return tell_slot(h, cmd->peer.slot, &out);
  }
  uint32_t slot = mcq__names_find(&h->names, cmd->name.data, cmd->name.len);
  return slot == MCQ__NO_SLOT ? MCQ_EHOSTUNREACH : tell_slot(h, slot, &out);
}

mcq_peer_t mcq__router_find(const mcq__router_t* h, const void* id,
                            size_t len) {
  return mcq__roster_peer(&h->roster, mcq__names_find(&h->names, id, len));
}

mcq__slice_t mcq__router_id(const mcq__router_t* h, mcq_peer_t peer) {
  if (h->nameless || mcq__roster_port(&h->roster, peer) == NULL)
    return mcq__slice_static(NULL, 0);
  return h->ids[peer.slot];
}

bool mcq__router_open(const mcq__router_t* h) {
  return h->rotation.count > 0;
}
