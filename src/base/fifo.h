/* SPDX-License-Identifier: MIT */
/* A growing ring of equal elements, first in first out.  Elements move when
 * it grows: pointers into it are good until the next push. */
#ifndef MCQ__BASE_FIFO_H
#define MCQ__BASE_FIFO_H

#include "base/check.h"
#include "base/mem.h"

typedef struct mcq__fifo {
  mcq__mem_t* mem;
  char* items_;
  void* last_; /* the newest element, or NULL: found without arithmetic */
  uint32_t elem_;
  uint32_t cap_; /* a power of two, or 0 */
  uint32_t head_;
  uint32_t count;
} mcq__fifo_t;

/* Room of the first allocation: what a quiet connection needs. */
#define MCQ__FIFO_FIRST 2

static inline void mcq__fifo_init(mcq__fifo_t* f, mcq__mem_t* mem,
                                  size_t elem) {
  f->mem = mem;
  f->items_ = NULL;
  f->elem_ = elem > UINT32_MAX ? 0 : (uint32_t) elem; /* 0: too large */
  f->cap_ = 0;
  f->head_ = 0;
  f->count = 0;
  f->last_ = NULL;
}

/* Drops the storage; a zeroed fifo is fine. */
void mcq__fifo_dispose(mcq__fifo_t* f);

/* Empty, and perhaps for long: storage that had to grow goes back. */
static inline void mcq__fifo_rest(mcq__fifo_t* f) {
  if (mcq__unlikely(f->cap_ > MCQ__FIFO_FIRST && f->count == 0))
    mcq__fifo_dispose(f);
}

/* Elements it has storage for; beyond FIRST it had to grow. */
static inline uint32_t mcq__fifo_storage(const mcq__fifo_t* f) {
  return f->cap_;
}

/* Makes room for one more.  0 or MCQ_ENOMEM, nothing changed. */
int mcq__fifo_reserve(mcq__fifo_t* f);

/* Element `i` from the front.  Invariant: i < count. */
static inline void* mcq__fifo_at(const mcq__fifo_t* f, size_t i) {
  mcq__check(i < f->count);
  return f->items_ + ((f->head_ + i) & (f->cap_ - 1)) * f->elem_;
}

static inline void* mcq__fifo_first(const mcq__fifo_t* f) {
  return f->count == 0 ? NULL : mcq__fifo_at(f, 0);
}

static inline void* mcq__fifo_last(const mcq__fifo_t* f) {
  return f->last_;
}

/* Appends an element with undefined content, or NULL when out of memory. */
static inline void* mcq__fifo_push(mcq__fifo_t* f) {
  if (f->count == f->cap_ && mcq__fifo_reserve(f) != 0) return NULL;
  f->count++;
  f->last_ = mcq__fifo_at(f, f->count - 1);
  return f->last_;
}

static inline void mcq__fifo_shift(mcq__fifo_t* f) {
  mcq__check(f->count > 0);
  f->head_ = (f->head_ + 1) & (f->cap_ - 1);
  f->count--;
  if (f->count != 0) return;
  f->head_ = 0;
  f->last_ = NULL;
}

static inline void mcq__fifo_pop(mcq__fifo_t* f) {
  mcq__check(f->count > 0);
  f->count--;
  f->last_ = f->count == 0 ? NULL : mcq__fifo_at(f, f->count - 1);
}

#endif
