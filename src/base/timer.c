/* SPDX-License-Identifier: MIT */
/* A binary heap of deadlines.  Called by every object that waits and by the
 * context, which runs what is due.  It never reads a clock, and never touches
 * a timer again once its callback has begun.
 *
 * The array: [0, count) is the heap; behind it, [count, count + late), lie the
 * timers started during a run for a time that has already come.  They join
 * the heap when the run is over.  place is an index in that array plus one. */
#include "base/timer.h"

#include "base/check.h"

static void settle(mcq__timers_t* t, size_t at, mcq__timer_t* timer) {
  t->heap[at] = timer;
  timer->place = (uint32_t) at + 1;
}

static bool before(const mcq__timer_t* a, const mcq__timer_t* b) {
  if (a->deadline != b->deadline) return a->deadline < b->deadline;
  return a->order - b->order > UINT32_MAX / 2;
}

static void rise(mcq__timers_t* t, size_t at) {
  mcq__timer_t* timer = t->heap[at];
  while (at > 0) {
    size_t up = (at - 1) / 2;
    if (!before(timer, t->heap[up])) break;
    settle(t, at, t->heap[up]);
    at = up;
  }
  settle(t, at, timer);
}

static void sink(mcq__timers_t* t, size_t at) {
  mcq__timer_t* timer = t->heap[at];
  for (;;) {
    size_t down = 2 * at + 1;
    if (down >= t->count) break;
    if (down + 1 < t->count && before(t->heap[down + 1], t->heap[down])) down++;
    if (!before(t->heap[down], timer)) break;
    settle(t, at, t->heap[down]);
    at = down;
  }
  settle(t, at, timer);
}

/* Puts the timer into the heap, moving the first late one out of the way. */
static void join(mcq__timers_t* t, mcq__timer_t* timer) {
  if (t->late > 0) settle(t, t->count + t->late, t->heap[t->count]);
  settle(t, t->count, timer);
  t->count++;
  rise(t, t->count - 1);
}

/* Takes the timer out of the heap; the last late one fills the gap between
 * heap and late ones. */
static void leave(mcq__timers_t* t, size_t at) {
  size_t end = --t->count;
  if (at != end) {
    settle(t, at, t->heap[end]);
    rise(t, at);
    sink(t, at);
  }
  if (t->late > 0) settle(t, end, t->heap[end + t->late]);
}

void mcq__timers_init(mcq__timers_t* t, mcq__mem_t* mem) {
  mcq__timers_t zero = {0};
  *t = zero;
  t->mem = mem;
}

void mcq__timers_dispose(mcq__timers_t* t) {
  if (t->heap != NULL) mcq__mem_free(t->mem, t->heap);
  mcq__timers_init(t, t->mem);
}

int mcq__timers_reserve(mcq__timers_t* t) {
  void* heap = t->heap;
  if (t->known == UINT32_MAX - 1) return MCQ_ENOMEM;
  int err =
      mcq__mem_grow(t->mem, &heap, &t->cap, t->known + 1, sizeof *t->heap);
  if (err != 0) return err;
  t->heap = (mcq__timer_t**) heap;
  t->known++;
  return 0;
}

void mcq__timers_unreserve(mcq__timers_t* t) {
  mcq__check(t->known > 0);
  t->known--;
}

/* Invariant: every timer in the array has a reserved place, so the array has
 * room for one that is not in it yet. */
void mcq__timer_start(mcq__timers_t* t, mcq__timer_t* timer,
                      uint64_t deadline) {
  mcq__timer_stop(t, timer);
  mcq__check(t->count + t->late < t->known);
  timer->deadline = deadline;
  timer->order = t->order++;
  if (t->running && deadline <= t->now) {
    settle(t, t->count + t->late, timer);
    t->late++;
  } else {
    join(t, timer);
  }
}

void mcq__timer_stop(mcq__timers_t* t, mcq__timer_t* timer) {
  if (timer->place == 0) return;
  size_t at = timer->place - 1;
  mcq__check(at < t->count + t->late && t->heap[at] == timer);
  timer->place = 0;
  if (at < t->count) {
    leave(t, at);
  } else {
    t->late--;
    size_t end = t->count + t->late;
    if (at != end) settle(t, at, t->heap[end]);
  }
}

uint64_t mcq__timers_next(const mcq__timers_t* t) {
  uint64_t next = t->count > 0 ? t->heap[0]->deadline : MCQ__NEVER;
  for (size_t i = t->count; i < t->count + t->late; i++)
    if (t->heap[i]->deadline < next) next = t->heap[i]->deadline;
  return next;
}

static bool due(const mcq__timers_t* t, uint64_t now) {
  return t->count > 0 && t->heap[0]->deadline <= now;
}

bool mcq__timers_run(mcq__timers_t* t, uint64_t now, size_t most) {
  mcq__check(!t->running);
  t->running = true;
  t->now = now;
  for (; most > 0 && due(t, now); most--) {
    mcq__timer_t* timer = t->heap[0];
    mcq__timer_stop(t, timer);
    timer->run(timer);
  }
  t->running = false;
  bool rest = due(t, now);
  while (t->late > 0) {
    t->late--;
    t->count++;
    rise(t, t->count - 1);
  }
  return rest;
}
