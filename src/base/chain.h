/* SPDX-License-Identifier: MIT */
/* Slices awaiting the wire, in order.  Neighbours that touch in the same slab
 * join into one, so a burst of small frames is one iovec. */
#ifndef MCQ__BASE_CHAIN_H
#define MCQ__BASE_CHAIN_H

#include "base/fifo.h"
#include "base/slab.h"

/* What a vectored write takes; laid out as struct iovec and uv_buf_t are. */
typedef struct mcq__iov {
  const void* base;
  size_t len;
} mcq__iov_t;

typedef struct mcq__chain {
  mcq__fifo_t parts_; /* of mcq__slice_t, each counting */
  size_t bytes;       /* in all parts */
} mcq__chain_t;

static inline void mcq__chain_init(mcq__chain_t* c, mcq__mem_t* mem) {
  mcq__fifo_init(&c->parts_, mem, sizeof(mcq__slice_t));
  c->bytes = 0;
}

/* Lets go of every part and of the storage. */
void mcq__chain_dispose(mcq__chain_t* c);

/* Empty, and perhaps for long: storage that had to grow goes back. */
static inline void mcq__chain_rest(mcq__chain_t* c) {
  mcq__fifo_rest(&c->parts_);
}

/* Parts it has storage for, as in mcq__fifo_storage. */
static inline uint32_t mcq__chain_storage(const mcq__chain_t* c) {
  return mcq__fifo_storage(&c->parts_);
}

/* Lets go of every part. */
void mcq__chain_clear(mcq__chain_t* c);

/* Appends `s`, counting it; without a slab its bytes must outlive the chain.
 * 0 or MCQ_ENOMEM, nothing changed. */
int mcq__chain_push(mcq__chain_t* c, mcq__slice_t s);

/* Appends `s` when it touches the last part: nothing but that part's length
 * changes, whose count covers both.  False when it does not, and then nothing
 * happened.  Hot. */
static inline bool mcq__chain_join(mcq__chain_t* c, mcq__slice_t s) {
  mcq__slice_t* last = (mcq__slice_t*) mcq__fifo_last(&c->parts_);
  if (mcq__unlikely(last == NULL || !mcq__slice_join(last, s))) return false;
  c->bytes += s.len;
  return true;
}

/* True when the window goes on where the last part ends. */
static inline bool mcq__chain_touches(const mcq__chain_t* c,
                                      const mcq__window_t* w) {
  const mcq__slice_t* last = (const mcq__slice_t*) mcq__fifo_last(&c->parts_);
  return last != NULL && w->slab_ != NULL && last->slab_ == w->slab_ &&
         last->data + last->len == w->slab_->base_ + w->at_;
}

/* Appends the next `n` bytes of the window, which must have been written.
 * Invariant: mcq__chain_touches.  Hot. */
static inline void mcq__chain_grow(mcq__chain_t* c, mcq__window_t* w,
                                   size_t n) {
  mcq__check(mcq__chain_touches(c, w) && n <= mcq__window_room(w));
  ((mcq__slice_t*) mcq__fifo_last(&c->parts_))->len += n;
  w->at_ += n;
  c->bytes += n;
}

/* Appends the next `n` bytes of the window, which must have been written, when
 * they touch the last part: nothing but its length changes.  False when they
 * do not, and then nothing happened.  Hot. */
static inline bool mcq__chain_extend(mcq__chain_t* c, mcq__window_t* w,
                                     size_t n) {
  mcq__check(n <= mcq__window_room(w));
  if (mcq__unlikely(!mcq__chain_touches(c, w))) return false;
  mcq__chain_grow(c, w, n);
  return true;
}

/* Appends them in any case.  0 or MCQ_ENOMEM, nothing changed. */
static inline int mcq__chain_commit(mcq__chain_t* c, mcq__window_t* w,
                                    size_t n) {
  mcq__check(n <= mcq__window_room(w));
  if (n == 0 || mcq__chain_extend(c, w, n)) return 0;
  mcq__slice_t* part = (mcq__slice_t*) mcq__fifo_push(&c->parts_);
  if (part == NULL) return MCQ_ENOMEM;
  *part = mcq__window_freeze(w, n);
  c->bytes += n;
  return 0;
}

/* Fills up to `max` entries with the bytes from `skip` on, `limit` bytes at
 * most in all.  Returns the entries filled; `*total` gets their bytes. */
size_t mcq__chain_fill(const mcq__chain_t* c, size_t skip, size_t limit,
                       mcq__iov_t* out, size_t max, size_t* total);

/* Takes the first part out, whose count is the caller's from now on.
 * Invariant: the chain is not empty. */
mcq__slice_t mcq__chain_shift(mcq__chain_t* c);

/* Lets go of the first `n` bytes.  Invariant: n <= c->bytes. */
void mcq__chain_drain(mcq__chain_t* c, size_t n);

/* Appends bytes [off, off+len) of `from` to `to`, sharing the slabs.
 * 0 or MCQ_ENOMEM, `to` unchanged. */
int mcq__chain_share(mcq__chain_t* to, const mcq__chain_t* from, size_t off,
                     size_t len);

/* Cuts the chain back to `bytes`, dropping what came after. */
void mcq__chain_cut(mcq__chain_t* c, size_t bytes);

/* Takes bytes [off, off+len) out.  Invariant: they exist.  0 or MCQ_ENOMEM,
 * nothing changed. */
int mcq__chain_take_out(mcq__chain_t* c, size_t off, size_t len);

/* Bytes [off, off+len) as one borrowed slice.  Invariant: they exist and lie
 * in one part, as they do when they were pushed or committed together. */
mcq__slice_t mcq__chain_slice(const mcq__chain_t* c, size_t off, size_t len);

/* Copies bytes [off, off+len) out.  Invariant: they exist. */
void mcq__chain_peek(const mcq__chain_t* c, size_t off, void* out, size_t len);

#endif
