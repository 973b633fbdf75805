/* SPDX-License-Identifier: MIT */
/* THE raw memory place.  Three nouns:
 *
 *   slab    a counted block of payload memory;
 *   window  the exclusive, uninitialised, writable tail of a slab;
 *   slice   a shared, frozen, readable piece of a slab.
 *
 * Bytes pass from window to slice by freezing exactly the bytes that were
 * written, and never back.  A slab returns to its pool when its last window
 * or slice lets go of it.  Members ending in '_' are private to base/.
 *
 * A slice held by value is *borrowed* unless it came from a function that
 * says it counts; slices need mcq__slice_retain to be kept, and kept for long
 * they need mcq__slice_keep, which decides between counting and copying so
 * that a few bytes never pin a large block. */
#ifndef MCQ__BASE_SLAB_H
#define MCQ__BASE_SLAB_H

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* Sizes the pool recycles, in bytes; anything else is an exact block, of which
 * it recycles large ones for others of about the same size. */
#define MCQ__SLAB_SMALL ((size_t) 4096)
#define MCQ__SLAB_MEDIUM ((size_t) 65536)
#define MCQ__SLAB_LARGE ((size_t) 262144)

/* Up to this many bytes a kept slice is copied rather than counted, unless it
 * is most of an exact block anyway. */
#define MCQ__KEEP_COPY_MAX ((size_t) 16384)

typedef struct mcq__pool mcq__pool_t;

enum mcq__slab_kind {
  MCQ__SLAB_POOLED, /* goes back to its pool */
  MCQ__SLAB_EXACT,  /* made for one body; may be kept for long by counting */
  MCQ__SLAB_FOREIGN /* memory of somebody else, with a release callback */
};

typedef struct mcq__slab {
  atomic_uint refs_;
  uint8_t kind_;       /* enum mcq__slab_kind */
  uint8_t size_class_; /* of a pooled slab */
  bool transient_;     /* foreign memory that must not be kept by counting */
  uint8_t* base_;
  size_t cap_;
  mcq__pool_t* pool_;
  struct mcq__slab* next_; /* in the pool's free list */
  union {
    void (*release_)(void* data, void* arg);
    size_t whole_; /* of an exact block: bytes, of which cap_ are in use */
  };
  void* arg_;
} mcq__slab_t;

typedef struct mcq__slice {
  const uint8_t* data;
  size_t len;
  mcq__slab_t* slab_; /* NULL: static or otherwise guarded bytes */
} mcq__slice_t;

typedef struct mcq__window {
  mcq__slab_t* slab_; /* NULL: no memory yet */
  size_t at_;         /* first writable byte */
} mcq__window_t;

/* ---- pool ---------------------------------------------------------------- */

/* A pool for the calling thread.  Slabs released on other threads wait, up to a
 * bound, until this one takes slabs again.  The pool object lives until its
 * last slab is gone. */
int mcq__pool_open(mcq__pool_t** out, mcq__mem_t* mem);

/* The calling thread is the pool's from now on: a loop may be set up on one
 * thread and run on another.  No other thread may be using the pool. */
void mcq__pool_adopt(mcq__pool_t* pool);

/* Further shares of the pool object, for what allocates from it later; any
 * thread. */
void mcq__pool_retain(mcq__pool_t* pool);
void mcq__pool_release(mcq__pool_t* pool);

/* Frees what is idle and gives up the opener's share. */
void mcq__pool_close(mcq__pool_t* pool);

/* Frees idle slabs beyond a small reserve. */
void mcq__pool_trim(mcq__pool_t* pool);

/* True when more than that reserve has lain idle since mcq__pool_thin last
 * said that it does not.  On the pool's own thread, like the next one. */
bool mcq__pool_grown(const mcq__pool_t* pool);

/* To be called now and then while the pool is grown: frees what was not needed
 * since the last time, all of it when nothing was.  True: the pool is still
 * grown. */
bool mcq__pool_thin(mcq__pool_t* pool);

mcq__mem_t* mcq__pool_mem(const mcq__pool_t* pool);

/* Payload bytes of idle slabs.  On the pool's own thread. */
size_t mcq__pool_idle(const mcq__pool_t* pool);

/* ---- slab ---------------------------------------------------------------- */

/* Wraps `len` bytes at `data` that somebody else owns; `release` runs when
 * the last slice lets go.  A transient slab is one whose memory its owner
 * needs back soon: mcq__slice_keep always copies out of it.  Returns NULL
 * when out of memory (release has then not been called). */
mcq__slab_t* mcq__slab_foreign(mcq__pool_t* pool, const void* data, size_t len,
                               bool transient,
                               void (*release)(void* data, void* arg),
                               void* arg);

/* Runs when the count has reached zero; only mcq__slab_release calls it. */
void mcq__slab_destroy(mcq__slab_t* slab);

static inline void mcq__slab_retain(mcq__slab_t* slab) {
  if (slab != NULL)
    atomic_fetch_add_explicit(&slab->refs_, 1, memory_order_relaxed);
}

static inline void mcq__slab_release(mcq__slab_t* slab) {
  if (slab == NULL) return;
  unsigned before =
      atomic_fetch_sub_explicit(&slab->refs_, 1, memory_order_acq_rel);
  mcq__check(before != 0);
  if (before == 1) mcq__slab_destroy(slab);
}

/* True when the caller's count is the only one. */
static inline bool mcq__slab_sole(mcq__slab_t* slab) {
  return atomic_load_explicit(&slab->refs_, memory_order_acquire) == 1;
}

/* ---- window -------------------------------------------------------------- */

/* Opens `*w` (zeroed or used up; what it held is let go) on a slab of at least
 * `size` bytes: the smallest pooled class that fits, else an exact block.  0 or
 * MCQ_ENOMEM. */
int mcq__window_open(mcq__window_t* w, mcq__pool_t* pool, size_t size);

/* Opens `*w` on an exact block of `size` bytes: for a body whose length is
 * known and that may be kept for long without pinning more than itself. */
int mcq__window_open_exact(mcq__window_t* w, mcq__pool_t* pool, size_t size);

/* Lets go of the slab.  A zeroed window is fine. */
static inline void mcq__window_close(mcq__window_t* w) {
  mcq__slab_release(w->slab_);
  w->slab_ = NULL;
  w->at_ = 0;
}

static inline bool mcq__window_is_open(const mcq__window_t* w) {
  return w->slab_ != NULL;
}

/* Writable bytes left. */
static inline size_t mcq__window_room(const mcq__window_t* w) {
  return w->slab_ == NULL ? 0 : w->slab_->cap_ - w->at_;
}

/* Where the kernel may write mcq__window_room(w) bytes; for io/ only. */
static inline void* mcq__window_ptr(mcq__window_t* w) {
  return w->slab_ == NULL ? NULL : w->slab_->base_ + w->at_;
}

/* Copies `len` bytes in without freezing them.  Invariant: the caller has
 * checked that mcq__window_room(w) >= at + len; `at` counts from the first
 * writable byte. */
static inline void mcq__window_poke(mcq__window_t* w, size_t at,
                                    const void* data, size_t len) {
  mcq__check(mcq__window_room(w) >= at + len);
  if (len != 0) memcpy(w->slab_->base_ + w->at_ + at, data, len);
}

/* Where a header of up to `size` bytes may be written in place before it is
 * frozen, or NULL without that much room.  In place because a header written
 * bytewise elsewhere and copied at once stalls the copy.  Hot. */
static inline uint8_t* mcq__window_head(mcq__window_t* w, size_t size) {
  return mcq__window_room(w) < size ? NULL : w->slab_->base_ + w->at_;
}

/* memcpy without a call for the sizes small messages have: a piece from each
 * end, which may overlap in the middle, and beyond 32 bytes two more. */
static inline void mcq__copy_few(uint8_t* to, const uint8_t* from, size_t len) {
  if (len >= 16 && len <= 64) {
    memcpy(to, from, 16);
    if (len > 32) {
      memcpy(to + 16, from + 16, 16);
      memcpy(to + len - 32, from + len - 32, 16);
    }
    memcpy(to + len - 16, from + len - 16, 16);
  } else if (len >= 8 && len < 16) {
    memcpy(to, from, 8);
    memcpy(to + len - 8, from + len - 8, 8);
  } else if (len != 0) {
    memcpy(to, from, len);
  }
}

/* A header of up to `MCQ__STAMP` bytes and what belongs behind it, in one go.
 * All of `stamp` is written, then the body over what of it is not header.
 * Invariant: room for MCQ__STAMP + len.  Hot. */
#define MCQ__STAMP 16

static inline void mcq__window_stamp(mcq__window_t* w,
                                     const uint8_t stamp[MCQ__STAMP],
                                     size_t head, const void* data,
                                     size_t len) {
  mcq__check(head <= MCQ__STAMP && mcq__window_room(w) >= MCQ__STAMP + len);
  uint8_t* at = w->slab_->base_ + w->at_;
  memcpy(at, stamp, MCQ__STAMP);
  mcq__copy_few(at + head, (const uint8_t*) data, len);
}

/* Freezes the first `n` writable bytes, which must have been written, into a
 * slice that counts.  n is clamped to the room. */
static inline mcq__slice_t mcq__window_freeze(mcq__window_t* w, size_t n) {
  mcq__slice_t s = {NULL, 0, NULL};
  size_t room = mcq__window_room(w);
  if (n > room) n = room;
  if (n == 0) return s;
  s.data = w->slab_->base_ + w->at_;
  s.len = n;
  s.slab_ = w->slab_;
  mcq__slab_retain(s.slab_);
  w->at_ += n;
  return s;
}

/* Adds the next `n` bytes to `*s`, which the same window froze just before, or
 * which is empty.  n is clamped to the room. */
static inline void mcq__window_freeze_on(mcq__window_t* w, size_t n,
                                         mcq__slice_t* s) {
  if (s->len == 0) {
    *s = mcq__window_freeze(w, n);
    return;
  }
  mcq__check(s->slab_ == w->slab_);
  mcq__check(s->data + s->len == w->slab_->base_ + w->at_);
  size_t room = mcq__window_room(w);
  if (n > room) n = room;
  s->len += n;
  w->at_ += n;
}

/* Takes back what was frozen last and shown to nobody, to be written anew.
 * Invariant: `s` is all of that, and nobody else has ever counted or seen it.
 */
static inline void mcq__window_thaw(mcq__window_t* w, mcq__slice_t* s) {
  mcq__check(s->slab_ == w->slab_ && s->len <= w->at_);
  mcq__check(s->data + s->len == w->slab_->base_ + w->at_);
  w->at_ -= s->len;
  mcq__slab_release(s->slab_);
  *s = (mcq__slice_t){NULL, 0, NULL};
}

/* True when it is open and no slice of its slab is left. */
static inline bool mcq__window_sole(const mcq__window_t* w) {
  return w->slab_ != NULL && mcq__slab_sole(w->slab_);
}

/* Starts over at the slab's beginning when nobody else holds it, so that
 * bytes are never overwritten while a slice can see them. */
static inline bool mcq__window_rewind(mcq__window_t* w) {
  if (!mcq__window_sole(w)) return false;
#ifdef MCQ_DEBUG
  memset(w->slab_->base_, 0xA5, w->at_); /* borrowed too long: let it show */
#endif
  w->at_ = 0;
  return true;
}

/* ---- slice --------------------------------------------------------------- */

static inline mcq__slice_t mcq__slice_retain(mcq__slice_t s) {
  mcq__slab_retain(s.slab_);
  return s;
}

static inline void mcq__slice_release(mcq__slice_t* s) {
  mcq__slab_release(s->slab_);
  s->data = NULL;
  s->len = 0;
  s->slab_ = NULL;
}

/* Bytes [off, off+len) of `s`, borrowed.  Invariant: off + len <= s.len. */
static inline mcq__slice_t mcq__slice_sub(mcq__slice_t s, size_t off,
                                          size_t len) {
  mcq__check(off <= s.len && len <= s.len - off);
  s.data = len == 0 ? NULL : s.data + off;
  s.len = len;
  return s;
}

/* Makes `*s` longer by `next` where that begins just where `*s` ends, in the
 * same slab, whose count then covers both.  False: it does not, and nothing
 * happened.  Hot. */
static inline bool mcq__slice_join(mcq__slice_t* s, mcq__slice_t next) {
  if (mcq__unlikely(next.slab_ == NULL || s->slab_ != next.slab_ ||
                    s->data + s->len != next.data))
    return false;
  s->len += next.len;
  return true;
}

/* Bytes that outlive every user of the slice: literals, the caller's frame
 * for the length of a call. */
static inline mcq__slice_t mcq__slice_static(const void* data, size_t len) {
  mcq__slice_t s = {(const uint8_t*) data, len, NULL};
  return s;
}

/* A counting copy of `len` bytes in exact memory.  0 or MCQ_ENOMEM. */
int mcq__slice_copy(mcq__slice_t* out, mcq__pool_t* pool, const void* data,
                    size_t len);

/* All of a foreign slab as a slice, which takes over the caller's count. */
static inline mcq__slice_t mcq__slab_slice(mcq__slab_t* slab) {
  mcq__slice_t s = {slab->base_, slab->cap_, slab};
  return s;
}

/* True when nothing lies before the slice in its slab. */
static inline bool mcq__slice_leads(mcq__slice_t s) {
  return s.slab_ != NULL && s.data == s.slab_->base_;
}

/* True when the slice may be held for long by counting it: it is large, or
 * most of an exact block, and nobody needs the memory back. */
bool mcq__slice_keepable(mcq__slice_t s);

/* A counting slice of the same bytes that may be held for as long as wanted:
 * counted when keepable, else copied.  0 or MCQ_ENOMEM. */
int mcq__slice_keep(mcq__slice_t* out, mcq__pool_t* pool, mcq__slice_t s);

static inline bool mcq__slice_equal(mcq__slice_t a, const void* data,
                                    size_t len) {
  return a.len == len && (len == 0 || memcmp(a.data, data, len) == 0);
}

#endif
