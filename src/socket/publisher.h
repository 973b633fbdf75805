/* SPDX-License-Identifier: MIT */
/* What a PUB and an XPUB do with subscriptions: keep them in the hub, tell the
 * user, and, where messages tell of them (XPUB), deliver those. */
#ifndef MCQ__SOCKET_PUBLISHER_H
#define MCQ__SOCKET_PUBLISHER_H

#include "socket/socket.h"

typedef struct mcq__publisher {
  mcq_socket_t* socket;
  bool tells;           /* XPUB: by messages, too */
  mcq__slice_t welcome; /* counting; without a slab: none */
  mcq__fifo_t owed;     /* of mcq__slice_t: cancellations of peers that left */
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

/* A peer that left was the last to want `prefix`. */
void mcq__publisher_owes(mcq_socket_t* s, mcq_frame_t prefix);

static inline mcq__publisher_t* mcq__publisher_of(const mcq_socket_t* s) {
  return (mcq__publisher_t*) s->own;
}

#endif
