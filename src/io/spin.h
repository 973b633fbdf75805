/* SPDX-License-Identifier: MIT */
/* Whether the loop, with nothing left to do, should sleep or look again: asked
 * by the turn at the end of a phase.  Looks at no descriptor itself. */
#ifndef MCQ__IO_SPIN_H
#define MCQ__IO_SPIN_H

#include "io/io.h"

/* Makes ready what io->spin_us asks for, if it can do any good here. */
void mcq__spin_open(mcq__io_t* io);

/* The answer for a seat that has nothing to do in its last phase. */
bool mcq__spin_look(mcq__io_t* io);

/* The turn is over: did it bring anything? */
static inline void mcq__spin_note(mcq__turn_t* turn) {
  if ((turn->taken.bytes | turn->taken.messages) != 0) turn->spin.came = true;
}

/* Nothing is left to do: true when the loop shall not sleep all the same.
 * `last`: it would after this phase; else what was said last holds. */
static inline bool mcq__spin(mcq__io_t* io, bool last) {
  mcq__spin_t* spin = &io->turn.spin;
  if (mcq__likely(spin->limit == 0)) return false;
  return last ? mcq__spin_look(io) : spin->until != 0;
}

#endif
