/* SPDX-License-Identifier: MIT */
/* What a SUB or an XSUB wants, counted, and how its publishers learn of it.
 * A publisher has a set (that is what all implementations have), so it is told
 * of a topic's first subscription and of its last cancellation. */
#ifndef MCQ__SOCKET_SUBSCRIBER_H
#define MCQ__SOCKET_SUBSCRIBER_H

#include "hub/prefix.h"
#include "socket/socket.h"

typedef struct mcq__subscriber {
  mcq_socket_t* socket;
  mcq__prefix_t wanted; /* "slot" n holds what was subscribed n+1 times */
  mcq__stem_t last;     /* of those, what began the last topic */
  mcq__task_t ask;      /* pings, so that an answer shows all is in force */
  uint64_t asked;       /* how often */
} mcq__subscriber_t;

/* The pattern's functions. */
int mcq__subscriber_init(mcq_socket_t* s, const mcq_socket_options_t* options);
void mcq__subscriber_fini(mcq_socket_t* s);
void mcq__subscriber_up(mcq_socket_t* s, mcq__actor_t* a);
void mcq__subscriber_pong(mcq_socket_t* s, mcq__actor_t* a,
                          mcq__slice_t context);

/* One more, one less.  Repeated ones are passed on, too, with `always`.  Codes
 * as mcq_subscribe's. */
int mcq__subscriber_add(mcq_socket_t* s, mcq_frame_t topic, bool always);
int mcq__subscriber_remove(mcq_socket_t* s, mcq_frame_t topic, bool always);

size_t mcq__subscriber_topics(const mcq_socket_t* s);

/* Whether something that was subscribed begins `topic`. */
bool mcq__subscriber_wants(const mcq_socket_t* s, mcq_frame_t topic);

static inline mcq__subscriber_t* mcq__subscriber_of(const mcq_socket_t* s) {
  return (mcq__subscriber_t*) s->own;
}

#endif
