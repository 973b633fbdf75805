/* SPDX-License-Identifier: MIT */
/* A message: frames as slices.  A *view* stands on somebody's stack and
 * borrows its frames; an *owned* message is counted (atomically, it may be
 * released on any thread) and counts its large frames.  Its small ones may lie
 * in its own block, without a slab, guarded by the message: who wants such a
 * frame for longer than the message keeps it (mcq__slice_keep). */
#ifndef MCQ__BASE_MSG_H
#define MCQ__BASE_MSG_H

#include "base/slab.h"

typedef struct mcq_msg mcq_msg_t;

struct mcq_msg {
  const mcq__slice_t* frames;
  size_t count;
  size_t bytes;      /* of all frames */
  mcq__pool_t* pool; /* where retaining takes its memory */
  atomic_uint refs;  /* 0: a view */
};

/* The bytes of `count` slices. */
static inline size_t mcq__slices_bytes(const mcq__slice_t* slices,
                                       size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += slices[i].len;
  return bytes;
}

/* Makes `*m` a view of `count` frames of `bytes` in all. */
static inline void mcq__msg_view(mcq_msg_t* m, mcq__pool_t* pool,
                                 const mcq__slice_t* frames, size_t count,
                                 size_t bytes) {
  m->frames = frames;
  m->count = count;
  m->bytes = bytes;
  m->pool = pool;
  atomic_init(&m->refs, 0);
}

/* An owned message with copies of `count` frames (at least one), or NULL. */
mcq_msg_t* mcq__msg_copy(mcq__pool_t* pool, const mcq_frame_t* frames,
                         size_t count);

/* An owned message of one frame, `slice`, whose count it takes over, or NULL
 * (the count then stays with the caller).  Invariant: it has a slab, or is
 * empty. */
mcq_msg_t* mcq__msg_take(mcq__pool_t* pool, mcq__slice_t slice);

/* An owned message of one frame on foreign memory; `release` runs when the
 * last holder lets go.  NULL when out of memory; release has not run then. */
mcq_msg_t* mcq__msg_wrap(mcq__pool_t* pool, const void* data, size_t len,
                         void (*release)(void* data, void* arg), void* arg);

/* A message that may be held for as long as wanted: for a view, small frames
 * are copied out and large ones counted; for an owned one, a count more.
 * NULL when out of memory. */
mcq_msg_t* mcq__msg_keep(const mcq_msg_t* m);

/* Gives one count of an owned message back; NULL is fine. */
void mcq__msg_release(mcq_msg_t* m);

#endif
