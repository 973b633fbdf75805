/* SPDX-License-Identifier: MIT */
/* Sets a ring up with the best flags the kernel takes, and moves requests and
 * completions.  Called by the other uring files; never waits. */
#include "io/uring_ring.h"

#include <errno.h>

/* Requests a submission takes, and completions the kernel can keep: a
 * connection has up to four requests, and what does not fit the kernel keeps
 * aside at a price. */
#define ENTRIES 512
#define COMPLETIONS 4096

/* Interrupted submissions are begun anew this often. */
#define TRIES 8

/* Without these a request might be lost or read too late, or a receive would
 * occupy a kernel thread. */
#define NEEDED \
  (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL)

/* What liburing 2.3 does not name yet. */
#define FEAT_RECVSEND_BUNDLE (1U << 14)
#define RECVSEND_BUNDLE (1U << 4)

int mcq__ring_open(struct io_uring* ring) {
  /* Completions are posted when the thread enters the kernel anyway, not by
   * interrupting it.  (Deferring them altogether loses the wake-up of whoever
   * polls the ring's descriptor.)  The ring's descriptor is not registered
   * with the ring: that would tie it to the thread which does so, and a loop
   * may be set up on one thread and run on another. */
  static const unsigned wishes[] = {IORING_SETUP_COOP_TASKRUN |
                                        IORING_SETUP_TASKRUN_FLAG |
                                        IORING_SETUP_SUBMIT_ALL,
                                    IORING_SETUP_SUBMIT_ALL, 0};
  int rc = -EINVAL;
  for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
    struct io_uring_params params = {
        .flags = wishes[i] | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    rc = io_uring_queue_init_params(ENTRIES, ring, &params);
    if (rc != -EINVAL) break;
  }
  if (rc != 0) return rc;
  if ((ring->features & NEEDED) == NEEDED) return 0;
  io_uring_queue_exit(ring);
  return -ENOSYS;
}

bool mcq__ring_bundles(const struct io_uring* ring) {
  return (ring->features & FEAT_RECVSEND_BUNDLE) != 0;
}

void mcq__ring_bundle(struct io_uring_sqe* sqe, uint32_t at_once,
                      uint32_t bytes) {
  sqe->ioprio |= RECVSEND_BUNDLE;
  sqe->len = at_once;
  sqe->file_index = bytes; /* the same place as optlen */
}

int mcq__ring_submit(struct io_uring* ring, uint64_t* enters) {
  int tries = TRIES;
  while (io_uring_sq_ready(ring) != 0) {
    int n = io_uring_submit(ring);
    (*enters)++;
    if (n > 0) continue;
    if (n != -EINTR || --tries == 0) return n == 0 ? -EAGAIN : n;
  }
  return 0;
}

bool mcq__ring_room(struct io_uring* ring, unsigned n, uint64_t* enters) {
  if (io_uring_sq_space_left(ring) >= n) return true;
  mcq__ring_submit(ring, enters);
  return io_uring_sq_space_left(ring) >= n;
}

struct io_uring_sqe* mcq__ring_request(struct io_uring* ring, uint64_t token) {
  struct io_uring_sqe* sqe = io_uring_get_sqe(ring);
  io_uring_prep_nop(sqe);
  sqe->user_data = token;
  return sqe;
}

/* True when the kernel has completions that it posts only if asked. */
static bool held_back(const struct io_uring* ring) {
  unsigned flags = IO_URING_READ_ONCE(*ring->sq.kflags);
  return (flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
}

unsigned mcq__ring_ready(struct io_uring* ring, uint64_t* enters) {
  unsigned n = io_uring_cq_ready(ring);
  if (n != 0 || !held_back(ring)) return n;
  (*enters)++;
  return io_uring_get_events(ring) < 0 ? 0 : io_uring_cq_ready(ring);
}

void mcq__ring_next(struct io_uring* ring, mcq__done_t* out) {
  unsigned head = *ring->cq.khead;
  const struct io_uring_cqe* cqe = &ring->cq.cqes[head & ring->cq.ring_mask];
  out->token = cqe->user_data;
  out->res = cqe->res;
  out->flags = cqe->flags;
  io_uring_cq_advance(ring, 1);
}
