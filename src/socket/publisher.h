/* SPDX-License-Identifier: MIT */
/* What a PUB and an XPUB do with subscriptions: keep them in the hub, tell the
 * user, and, where messages tell of them (XPUB), deliver those. */
#ifndef MCQ__SOCKET_PUBLISHER_H
#define MCQ__SOCKET_PUBLISHER_H

#include "hub/repeats.h"
#include "socket/socket.h"

/* A subscription or a cancellation that the user is to hear of. */
typedef struct mcq__notice {
  mcq_peer_t peer;    /* zeros: one that left */
  mcq__slice_t frame; /* counting */
} mcq__notice_t;

typedef struct mcq__publisher {
  mcq_socket_t* socket;
  bool tells;           /* XPUB: by messages, too */
  mcq__slice_t welcome; /* counting; without a slab: none */
  mcq__prefix_t asked;  /* MCQ_XPUB_MANUAL: by peers; the hub has what is */
  mcq__repeats_t again; /* MCQ_PUB_COUNT_SUBS: what they asked for repeatedly */
  mcq__fifo_t notices;  /* of mcq__notice_t, in the order they came to be */
  mcq__task_t task;     /* delivers them */
} mcq__publisher_t;

/* The pattern's functions. */
int mcq__publisher_init(mcq_socket_t* s, const mcq_socket_options_t* options);
void mcq__publisher_fini(mcq_socket_t* s);
void mcq__publisher_up(mcq_socket_t* s, mcq__actor_t* a);
void mcq__publisher_subscribed(mcq_socket_t* s, mcq__actor_t* a,
                               mcq__slice_t prefix, bool wanted);
void mcq__publisher_resumed(mcq_socket_t* s);

/* A subscription in the form of a message?  Then it was dealt with. */
bool mcq__publisher_heard(mcq_socket_t* s, mcq__actor_t* a,
                          const mcq_msg_t* msg);

/* A peer that leaves takes `prefix` out of the hub with it; `last`: nobody has
 * it any more. */
void mcq__publisher_owes(mcq_socket_t* s, mcq_frame_t prefix, bool last);

/* The peer of this slot leaves: what it asked for goes. */
void mcq__publisher_left(mcq_socket_t* s, uint32_t slot);

/* Takes a prefix from a peer, however often it was asked for.  Codes as
 * mcq__pubsub_cancel's. */
int mcq__publisher_take(mcq_socket_t* s, mcq_peer_t peer, mcq_frame_t prefix);

size_t mcq__publisher_topics(const mcq_socket_t* s);

/* Whether the type is one of these. */
static inline bool mcq__publishes(const mcq_socket_t* s) {
  return s->pattern->subscribed != NULL;
}

static inline mcq__publisher_t* mcq__publisher_of(const mcq_socket_t* s) {
  return (mcq__publisher_t*) s->own;
}

#endif
