/* SPDX-License-Identifier: MIT */
/* Fair round robin over slots that heals itself: every member is picked once
 * before any is picked twice, whoever joins, leaves or rests in between.  A
 * member that is full rests outside the ring and comes back at its end. */
#ifndef MCQ__HUB_ROTATION_H
#define MCQ__HUB_ROTATION_H

#include "hub/roster.h"

typedef struct mcq__turnstile {
  uint32_t next;
  uint32_t prev;
  bool in;
} mcq__turnstile_t;

typedef struct mcq__rotation {
  mcq__mem_t* mem;
  mcq__turnstile_t* links; /* by slot */
  size_t cap;
  uint32_t cursor; /* the next to be picked, or MCQ__NO_SLOT */
  size_t count;    /* members in the ring */
} mcq__rotation_t;

void mcq__rotation_init(mcq__rotation_t* r, mcq__mem_t* mem);
void mcq__rotation_dispose(mcq__rotation_t* r);

/* Makes room for `slot`, so that adding it cannot fail.  0 or MCQ_ENOMEM. */
int mcq__rotation_reserve(mcq__rotation_t* r, uint32_t slot);

/* Adds `slot` as the last of the current round; no-op when it is in. */
void mcq__rotation_add(mcq__rotation_t* r, uint32_t slot);

/* Takes `slot` out; if it was next, its successor is. */
void mcq__rotation_remove(mcq__rotation_t* r, uint32_t slot);

/* Who is next, or MCQ__NO_SLOT. */
static inline uint32_t mcq__rotation_next(const mcq__rotation_t* r) {
  return r->cursor;
}

/* The next one has been served. */
static inline void mcq__rotation_advance(mcq__rotation_t* r) {
  if (r->cursor != MCQ__NO_SLOT) r->cursor = r->links[r->cursor].next;
}

#endif
