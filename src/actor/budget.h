/* SPDX-License-Identifier: MIT */
/* Bytes that may wait in the outboxes of many actors together: those of a
 * socket, and above it those of its context.  A message is let in while there
 * is anything left, so that a limit is exceeded by one message at most.
 *
 * Who was refused is told when half of it is free again.  Zeroed with `max` set
 * is a good start; it never looks at an outbox. */
#ifndef MCQ__ACTOR_BUDGET_H
#define MCQ__ACTOR_BUDGET_H

#include "io/io.h"

typedef struct mcq__budget mcq__budget_t;

struct mcq__budget {
  mcq__budget_t* above; /* or NULL */
  mcq__io_t* io;
  uint64_t max;
  uint64_t used;
  bool holds;       /* what is being told is told to all of them */
  bool held;        /* and there was room for it */
  bool is_short;    /* somebody was refused */
  bool told;        /* and on_short was called for it */
  mcq__node_t node; /* above: short of the budget there */
  mcq__node_t below;
  mcq__task_t task;

  /* It is short; it is no longer: who was refused may try again.  From phases.
   * Only those that are refused need one. */
  void (*on_short)(mcq__budget_t* b, bool is_short);
};

void mcq__budget_init(mcq__budget_t* b, mcq__io_t* io, uint64_t max,
                      mcq__budget_t* above);

/* Nothing is used any more. */
void mcq__budget_dispose(mcq__budget_t* b);

static inline bool mcq__budget_full(const mcq__budget_t* b) {
  return !b->held && (b->used >= b->max ||
                      (b->above != NULL && b->above->used >= b->above->max));
}

/* Half of it is free, there and above. */
bool mcq__budget_low(const mcq__budget_t* b);

/* Somebody was refused because it is full. */
void mcq__budget_refuse(mcq__budget_t* b);

/* What one outbox holds changes. */
void mcq__budget_move(mcq__budget_t* b, uint64_t from, uint64_t to);

/* If there is anything left there will be until it is released: a message to
 * many is let in for all of them or for nobody. */
static inline void mcq__budget_hold(mcq__budget_t* b) {
  b->holds = true;
  b->held = !mcq__budget_full(b);
}

/* One of them was found to have room, perhaps after a write. */
static inline void mcq__budget_hold_on(mcq__budget_t* b) {
  b->held = b->holds;
}

static inline void mcq__budget_release(mcq__budget_t* b) {
  b->holds = false;
  b->held = false;
}

#endif
