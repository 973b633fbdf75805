/* SPDX-License-Identifier: MIT */
/* The ring itself: set-up, submission, completions.  A thin layer over
 * liburing that knows which kernels may be trusted with what; it knows no
 * wires.  Called by the other uring files only. */
#ifndef MCQ__IO_URING_RING_H
#define MCQ__IO_URING_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

/* One completion, copied out of the ring. */
typedef struct mcq__done {
  uint64_t token; /* what the request was given as user_data */
  int res;        /* a count or a negative error */
  uint32_t flags; /* IORING_CQE_F_... */
} mcq__done_t;

/* Sets up a ring.  0 or a system error; on error there is nothing to close. */
int mcq__ring_open(struct io_uring* ring);

/* True when a receive may fill several provided buffers at once on this
 * kernel. */
bool mcq__ring_bundles(const struct io_uring* ring);

/* Calls of the kernel are added to `*enters` here and below.
 *
 * Room in the submission queue for `n` requests, made by submitting when need
 * be. */
bool mcq__ring_room(struct io_uring* ring, unsigned n, uint64_t* enters);

/* A request to fill in.  Invariant: mcq__ring_room said there is room. */
struct io_uring_sqe* mcq__ring_request(struct io_uring* ring, uint64_t token);

/* Lets a multishot receive do so, up to `at_once` bytes for each completion,
 * and ends it after `bytes` of them, if not before: its last completion then
 * comes without MORE.  Kernels before 6.17 refuse these bounds, which is as
 * well: some of them, when a receive was cut short, went on in the next buffer
 * and said nothing of the gap. */
void mcq__ring_bundle(struct io_uring_sqe* sqe, uint32_t at_once,
                      uint32_t bytes);

/* Hands all requests to the kernel.  0, or why some are still in the queue:
 * they stay there for the next call. */
int mcq__ring_submit(struct io_uring* ring, uint64_t* enters);

/* How many completions are there, letting the kernel post what it holds back
 * when none is. */
unsigned mcq__ring_ready(struct io_uring* ring, uint64_t* enters);

/* Takes the oldest completion.  Invariant: mcq__ring_ready said there is one.
 */
void mcq__ring_next(struct io_uring* ring, mcq__done_t* out);

#endif
