/* SPDX-License-Identifier: MIT */
/* The growing of a ring of equal elements; everything else is inline in the
 * header.  Called by the chain and by whoever queues.  It never shrinks and
 * never looks into an element. */
#include "base/fifo.h"

#include <string.h>

/* The first allocation: enough for a quiet connection. */
#define FIRST_CAP ((size_t) 8)

void mcq__fifo_dispose(mcq__fifo_t* f) {
  if (f->items_ != NULL) mcq__mem_free(f->mem, f->items_);
  f->items_ = NULL;
  f->cap_ = 0;
  f->head_ = 0;
  f->count = 0;
  f->last_ = NULL;
}

/* Invariant: the old ring is full, so its elements are the runs [head, end)
 * and [0, head); both together fit the new block, which is larger. */
int mcq__fifo_reserve(mcq__fifo_t* f) {
  if (f->count < f->cap_) return 0;
  if (f->cap_ > SIZE_MAX / 2) return MCQ_ENOMEM;
  size_t cap = f->cap_ == 0 ? FIRST_CAP : f->cap_ * 2;
  if (cap > SIZE_MAX / f->elem_) return MCQ_ENOMEM;
  char* items = (char*) mcq__mem_alloc(f->mem, cap * f->elem_);
  if (items == NULL) return MCQ_ENOMEM;
  size_t run = f->cap_ - f->head_;
  if (run != 0) memcpy(items, f->items_ + f->head_ * f->elem_, run * f->elem_);
  if (f->count > run)
    memcpy(items + run * f->elem_, f->items_, (f->count - run) * f->elem_);
  mcq__mem_free(f->mem, f->items_);
  f->items_ = items;
  f->cap_ = cap;
  f->head_ = 0;
  if (f->count != 0) f->last_ = mcq__fifo_at(f, f->count - 1);
  return 0;
}
