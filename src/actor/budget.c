/* SPDX-License-Identifier: MIT */
/* Bytes that many share (see budget.h).  Called by actors where their outboxes
 * change, which may be inside a call of the user's: what is to be told is
 * told from a task. */
#include "actor/budget.h"

static bool half_free(const mcq__budget_t* b) {
  return b->used <= b->max / 2;
}

bool mcq__budget_low(const mcq__budget_t* b) {
  return half_free(b) && (b->above == NULL || half_free(b->above));
}

static void post(mcq__budget_t* b) {
  mcq__io_work(b->io, &b->task);
}

/* Those who wait for something here. */
static void tell_below(mcq__budget_t* b) {
  mcq__node_t* n;
  while ((n = mcq__list_shift(&b->below)) != NULL)
    post(mcq__container_of(n, mcq__budget_t, node));
}

/* It waits for what is above when that is what it lacks. */
static void wait_above(mcq__budget_t* b) {
  if (b->above != NULL && !half_free(b->above) && !mcq__node_linked(&b->node))
    mcq__list_insert(&b->above->below, &b->node);
}

static void tell(mcq__budget_t* b) {
  if (!b->told) {
    b->told = true;
    b->on_short(b, true);
  }
  if (!mcq__budget_low(b)) {
    wait_above(b);
    return;
  }
  b->is_short = false;
  b->told = false;
  b->on_short(b, false);
}

static void run(mcq__task_t* task) {
  mcq__budget_t* b = mcq__container_of(task, mcq__budget_t, task);
  if (b->is_short) tell(b);
  if (half_free(b)) tell_below(b);
}

void mcq__budget_refuse(mcq__budget_t* b) {
  if (b->is_short) return;
  b->is_short = true;
  post(b);
}

/* More is asked of who gives something back than of who takes it. */
static void move(mcq__budget_t* b, uint64_t from, uint64_t to) {
  b->used += to - from;
  if (to >= from || !half_free(b)) return;
  if (b->is_short || !mcq__list_empty(&b->below)) post(b);
}

void mcq__budget_move(mcq__budget_t* b, uint64_t from, uint64_t to) {
  if (b->above != NULL) move(b->above, from, to);
  move(b, from, to);
}

void mcq__budget_init(mcq__budget_t* b, mcq__io_t* io, uint64_t max,
                      mcq__budget_t* above) {
  b->io = io;
  b->max = max;
  b->above = above;
  b->task.run = run;
  mcq__list_init(&b->below);
}

void mcq__budget_dispose(mcq__budget_t* b) {
  mcq__check(b->used == 0);
  mcq__io_cancel(&b->task);
  mcq__list_remove(&b->node);
}
