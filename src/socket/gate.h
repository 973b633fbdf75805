/* SPDX-License-Identifier: MIT */
/* Who may come in: limits on connections that others make, asked before any of
 * them costs more than its descriptor.  Called by ends.c for every newcomer
 * and by peers.c when it is known or gone; the connections a socket makes
 * itself are no business of it.
 *
 * A connection is a stranger until its handshake is over.  Where too many
 * strangers are in, the one that has been for the longest gives way if it had
 * its time; else the newcomer is turned away. */
#ifndef MCQ__SOCKET_GATE_H
#define MCQ__SOCKET_GATE_H

#include "actor/actor.h"
#include "base/hash.h"
#include "io/listener.h"

typedef struct mcq_socket mcq_socket_t;

typedef struct mcq__gate {
  mcq_socket_t* socket;
  size_t guests;         /* that were let in and have not gone */
  size_t strange;        /* of these: strangers */
  mcq__node_t strangers; /* of mcq__guest_t.node, the first to come first */
  mcq__hash_t origins;   /* guests from each, where that is limited */
  mcq__timer_t timer;    /* tells of those turned away since it was told */
  bool has_timer;
  uint64_t turned_away;            /* not told of yet */
  uint64_t quiet_until;            /* no word before */
  uint64_t endpoint;               /* of the last one: where it came, */
  const char* limit;               /* what it was over, */
  char address[MCQ__ENDPOINT_MAX]; /* who it was */
} mcq__gate_t;

/* A connection that came in. */
typedef struct mcq__guest {
  mcq__actor_t actor; /* first: what everybody else knows of it */
  mcq__node_t node;   /* among the strangers */
  mcq__origin_t origin;
  uint64_t since; /* ms */
} mcq__guest_t;

/* 0 or MCQ_ENOMEM; dispose takes either result, and zeros. */
int mcq__gate_init(mcq__gate_t* g, mcq_socket_t* s);
void mcq__gate_dispose(mcq__gate_t* g);

/* Whether somebody from l->from may come in; else it was counted and will be
 * told of.  From phases only. */
bool mcq__gate_knock(mcq__gate_t* g, const mcq__listener_t* l,
                     uint64_t endpoint, const char* address);

/* It is in.  0 or MCQ_ENOMEM, nothing changed. */
int mcq__gate_enter(mcq__gate_t* g, mcq__guest_t* guest,
                    const mcq__listener_t* l);

/* Its handshake is over; it has gone. */
void mcq__gate_known(mcq__gate_t* g, mcq__actor_t* a);
void mcq__gate_left(mcq__gate_t* g, mcq__actor_t* a);

#endif
