/* SPDX-License-Identifier: MIT */
/* Where many small pieces are put one behind the other: a window that is
 * followed by a fresh one when it is used up.  Who fills one after another
 * gets larger ones, who rests holds nothing. */
#ifndef MCQ__BASE_ARENA_H
#define MCQ__BASE_ARENA_H

#include "base/slab.h"

typedef struct mcq__arena {
  mcq__window_t window;
  bool busy;  /* more than one was filled since the last rest */
  bool large; /* the next one is */
} mcq__arena_t;

/* Lets go of the memory.  A zeroed arena is fine, and is empty. */
static inline void mcq__arena_close(mcq__arena_t* a) {
  mcq__window_close(&a->window);
}

/* The same until more is wanted; what was busy may be so again. */
void mcq__arena_rest(mcq__arena_t* a);

/* Starts over where nobody holds anything of it, else with a fresh window.  0
 * or MCQ_ENOMEM. */
int mcq__arena_renew(mcq__arena_t* a, mcq__pool_t* pool, size_t size);

/* Makes sure that the window has room for `size` bytes.  0 or MCQ_ENOMEM. */
static inline int mcq__arena_need(mcq__arena_t* a, mcq__pool_t* pool,
                                  size_t size) {
  if (mcq__likely(mcq__window_room(&a->window) >= size)) return 0;
  return mcq__arena_renew(a, pool, size);
}

#endif
