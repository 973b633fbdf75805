/* SPDX-License-Identifier: MIT */
/* The frames above the body of a request, up to and including the first empty
 * one: taken off, kept, put on again.  For the types that ask and answer.
 * RFC 28, "The Request-Reply Pattern". */
#ifndef MCQ__SOCKET_ENVELOPE_H
#define MCQ__SOCKET_ENVELOPE_H

#include "base/msg.h"
#include "hub/hub.h"

/* Room in which envelope and body are put together; grows as needed and is
 * used again.  Zeroed to start with. */
typedef struct mcq__wrapper {
  mcq_frame_t* frames;
  size_t frames_cap;
  mcq__slice_t* slices;
  size_t slices_cap;
} mcq__wrapper_t;

void mcq__wrapper_dispose(mcq__wrapper_t* w, mcq__mem_t* mem);

/* `*out` becomes the `count` frames of `head` and then `body`, borrowing from
 * both until the wrapper is used again.  0 or MCQ_ENOMEM. */
int mcq__envelope_wrap(mcq__wrapper_t* w, mcq__mem_t* mem,
                       const mcq__slice_t* head, size_t count,
                       const mcq__body_t* body, mcq__body_t* out);

/* How many frames of `msg` the envelope has: those up to and including the
 * first empty one.  0 when there is none or no frame behind it. */
size_t mcq__envelope_count(const mcq_msg_t* msg);

/* A view of what is behind the first `count` frames. */
static inline void mcq__envelope_strip(mcq_msg_t* out, const mcq_msg_t* msg,
                                       size_t count) {
  size_t bytes = msg->bytes - mcq__slices_bytes(msg->frames, count);
  mcq__msg_view(out, msg->pool, msg->frames + count, msg->count - count, bytes);
}

#endif
