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
  bool whole;       /* a message is told to all of many or to nobody: */
  bool held;        /* one was let in, so all are */
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

/* A message to many begins to be told: if there is anything left it is for
 * all of them, or the last to be told would always miss it.  `whole`: also if
 * there is only when some of them have written what they had. */
static inline void mcq__budget_begin(mcq__budget_t* b, bool whole) {
  b->whole = whole;
  b->held = !mcq__budget_full(b);
}

static inline void mcq__budget_end(mcq__budget_t* b) {
  b->whole = false;
  b->held = false;
}

/* Somebody is let in, or will be. */
static inline void mcq__budget_enter(mcq__budget_t* b) {
  b->held = b->held || b->whole;
}

#endif
