/* SPDX-License-Identifier: MIT */
/* What a peer said while nothing of it may be delivered: events put off, in
 * order and in memory of their own, up to a bound.  Who reads ahead sees the
 * peer's questions and its end while its user pauses.  Used by the actor. */
#ifndef MCQ__ACTOR_AHEAD_H
#define MCQ__ACTOR_AHEAD_H

#include "base/fifo.h"
#include "base/protocol.h"

/* How much is put off, in bytes with their bookkeeping, give or take one
 * event. */
#define MCQ__AHEAD_MAX ((size_t) 65536)

typedef struct mcq__ahead {
  mcq__fifo_t events;
  size_t bytes;
  mcq__pool_t* pool;
  bool closed; /* nothing more may be read before these are handled */
} mcq__ahead_t;

/* NULL: out of memory. */
mcq__ahead_t* mcq__ahead_new(mcq__pool_t* pool);

/* Drops everything.  NULL is fine, here and below: nothing was put off. */
void mcq__ahead_free(mcq__ahead_t* h);

static inline bool mcq__ahead_empty(const mcq__ahead_t* h) {
  return h == NULL || h->events.count == 0;
}

static inline bool mcq__ahead_full(const mcq__ahead_t* h) {
  return h != NULL && (h->closed || h->bytes >= MCQ__AHEAD_MAX);
}

/* 0 or MCQ_ENOMEM, nothing changed. */
int mcq__ahead_put(mcq__ahead_t* h, mcq__event_kind_t kind,
                   const mcq__event_t* ev);

/* Takes the oldest out: its kind, NONE when there is none.  Its body is
 * counted and the caller's. */
mcq__event_kind_t mcq__ahead_take(mcq__ahead_t* h, mcq__event_t* ev);

#endif
