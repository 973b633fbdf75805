/* SPDX-License-Identifier: MIT */
/* The vocabulary of the hubs: who gets a message, never how it travels.
 *
 * The three kinds of talk are three types.  A user_cmd may carry an address; a
 * peer_cmd has no member an address could sit in, so an envelope cannot be
 * sent twice; a hub_event has no body.  Hubs see peers as ports. */
#ifndef MCQ__HUB_H
#define MCQ__HUB_H

#include "base/slab.h"

/* In place of a slot: there is none. */
#define MCQ__NO_SLOT UINT32_MAX

/* Messages as they travel, put together once for many peers: one behind the
 * other, of equal size and as many frames each. */
typedef struct mcq__wired {
  mcq__slice_t bytes;
  size_t size;      /* of one of them */
  uint64_t count;   /* of messages */
  uint64_t frames;  /* of all of them */
  uint64_t payload; /* bytes of those frames */
} mcq__wired_t;

/* The frames of one message, borrowed for the length of a call.  Exactly one
 * of the three pointers is set: `frames` are copied by whoever queues the
 * message, `slices` are shared, and what is `wired` is queued as it is. */
typedef struct mcq__body {
  const mcq_frame_t* frames;
  size_t count;
  const mcq__slice_t* slices;
  const mcq__wired_t* wired;
} mcq__body_t;

typedef enum mcq__address {
  MCQ__TO_ANYONE, /* the hub picks */
  MCQ__TO_NAME,   /* by routing id */
  MCQ__TO_PEER    /* by handle */
} mcq__address_t;

/* From the user to a hub. */
typedef struct mcq__user_cmd {
  mcq__address_t to;
  mcq_frame_t name;        /* TO_NAME */
  mcq_peer_t peer;         /* TO_PEER */
  const mcq__body_t* body; /* borrowed */
} mcq__user_cmd_t;

/* From a hub to one peer. */
typedef struct mcq__peer_cmd {
  const mcq__body_t* body; /* borrowed */
  bool promised;           /* within what its port said it has room for */
} mcq__peer_cmd_t;

typedef enum mcq__hub_event_kind {
  MCQ__HUB_UP,   /* a queue exists, or its connection was renewed */
  MCQ__HUB_DOWN, /* gone; ignored when the epoch is not the slot's own */
  MCQ__HUB_ROOM  /* a port that answered MCQ_EAGAIN has room again */
} mcq__hub_event_kind_t;

typedef struct mcq__port mcq__port_t;

/* From a peer to a hub. */
typedef struct mcq__hub_event {
  mcq__hub_event_kind_t kind;
  mcq_peer_t peer;   /* DOWN, ROOM; UP: the handle it renews, or zeros */
  mcq__port_t* port; /* UP */
  mcq_frame_t name;  /* UP: announced routing id; empty: none */
} mcq__hub_event_t;

/* A peer as a hub sees it.  `tell` queues the message whole and returns 0, or
 * MCQ_EAGAIN (full: try another; a ROOM event follows), or another error
 * (nothing queued).  `room` says how many messages of `size` bytes, as they
 * travel, it will take for certain before anything else is told to it; 0: not
 * one.  Neither calls back into the hub. */
struct mcq__port {
  int (*tell)(mcq__port_t* port, const mcq__peer_cmd_t* cmd);
  uint64_t (*room)(mcq__port_t* port, size_t size);
};

/* The same message without its first frame: how an address is stripped. */
static inline mcq__body_t mcq__body_rest(mcq__body_t body) {
  if (body.frames != NULL) body.frames++;
  if (body.slices != NULL) body.slices++;
  body.count--;
  return body;
}

/* Frame `i`, whichever form the body has. */
static inline mcq_frame_t mcq__body_frame(const mcq__body_t* body, size_t i) {
  if (body->frames != NULL) return body->frames[i];
  mcq_frame_t f = {body->slices[i].data, body->slices[i].len};
  return f;
}

#endif
