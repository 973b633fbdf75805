/* SPDX-License-Identifier: MIT */
/* Timers on a clock that is handed in: a heap of deadlines in milliseconds.
 * A timer is embedded in its object and never allocates once the heap has
 * grown; two timers of one deadline fire in the order they were started. */
#ifndef MCQ__BASE_TIMER_H
#define MCQ__BASE_TIMER_H

#include "base/mem.h"

typedef struct mcq__timer mcq__timer_t;
typedef void (*mcq__timer_cb)(mcq__timer_t* timer);

struct mcq__timer {
  mcq__timer_cb run;
  uint64_t deadline; /* ms */
  uint32_t order;    /* counts round: later is less than half a round ahead */
  uint32_t place;    /* index in the heap plus one; 0: not started */
};

typedef struct mcq__timers {
  mcq__mem_t* mem;
  mcq__timer_t** heap;
  size_t count;
  size_t cap;
  size_t known; /* places reserved by mcq__timers_reserve */
  uint32_t order;
  size_t late;  /* behind the heap: started in a run, due in the next one */
  bool running; /* inside mcq__timers_run */
  uint64_t now; /* of that run */
} mcq__timers_t;

#define MCQ__NEVER UINT64_MAX

/* A deadline that was noticed late is looked at again after as long, but not
 * longer than this, ms: a loop that stood still has done nothing of what there
 * was to do before. */
#define MCQ__LATE_MAX ((uint64_t) 1000)

/* When that is.  now > deadline. */
static inline uint64_t mcq__timer_again(uint64_t deadline, uint64_t now) {
  uint64_t late = now - deadline;
  return now + (late < MCQ__LATE_MAX ? late : MCQ__LATE_MAX);
}

void mcq__timers_init(mcq__timers_t* t, mcq__mem_t* mem);
void mcq__timers_dispose(mcq__timers_t* t);

/* Reserves the place of one more timer, so that starting it cannot fail.
 * Each object calls it once per timer it embeds.  0 or MCQ_ENOMEM. */
int mcq__timers_reserve(mcq__timers_t* t);

/* Gives a reserved place back; stops nothing. */
void mcq__timers_unreserve(mcq__timers_t* t);

/* Starts or moves `timer`.  It needs a reserved place. */
void mcq__timer_start(mcq__timers_t* t, mcq__timer_t* timer, uint64_t deadline);

/* Stops `timer`; no-op when it is not started. */
void mcq__timer_stop(mcq__timers_t* t, mcq__timer_t* timer);

/* The earliest deadline, or MCQ__NEVER. */
uint64_t mcq__timers_next(const mcq__timers_t* t);

/* Runs what is due at `now`, but not more than `most`: true when that was not
 * all.  A timer started from a callback for a time not after `now` waits for
 * the next call. */
bool mcq__timers_run(mcq__timers_t* t, uint64_t now, size_t most);

#endif
