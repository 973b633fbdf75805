/* SPDX-License-Identifier: MIT */
/* The growing of a ring of equal elements; everything else is inline in the
 * header.  Called by the chain and by whoever queues.  It never shrinks while
 * there is anything in it and never looks into an element. */
#include "base/fifo.h"

#include <string.h>

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
  if (f->elem_ == 0 || f->cap_ > UINT32_MAX / 2) return MCQ_ENOMEM;
  uint32_t cap = f->cap_ == 0 ? MCQ__FIFO_FIRST : f->cap_ * 2;
  size_t elem = f->elem_;
  if (cap > SIZE_MAX / elem) return MCQ_ENOMEM;
  char* items = (char*) mcq__mem_alloc(f->mem, cap * elem);
  if (items == NULL) return MCQ_ENOMEM;
  size_t run = f->cap_ - f->head_;
  if (run != 0) memcpy(items, f->items_ + f->head_ * elem, run * elem);
  if (f->count > run)
    memcpy(items + run * elem, f->items_, (f->count - run) * elem);
  mcq__mem_free(f->mem, f->items_);
  f->items_ = items;
  f->cap_ = cap;
  f->head_ = 0;
  if (f->count != 0) f->last_ = mcq__fifo_at(f, f->count - 1);
  return 0;
}
