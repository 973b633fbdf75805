/* SPDX-License-Identifier: MIT */
/* The memory the kernel receives into: one ring of equal buffers for all
 * connections of a context, one after the other in memory.  The kernel takes
 * buffers in ring order and they are given back in ring order, so ring order
 * is memory order for ever and what one receive filled is contiguous.
 *
 * Filled buffers are lent out as transient slices; the kernel gets their
 * memory back after the last count of the loan is gone. */
#ifndef MCQ__IO_URING_BUFFERS_H
#define MCQ__IO_URING_BUFFERS_H

#include "base/slab.h"
#include "io/uring_ring.h"

/* All of them together, bytes. */
#define MCQ__BUFFERS_BYTES ((size_t) 1 << 20)

/* One of them, bytes; a power of two.  Where one receive may fill several they
 * are small: there are enough for a message of each of very many connections.
 * Else each is as much as comes at once. */
#define MCQ__BUFFER_SMALL ((size_t) 1024)
#define MCQ__BUFFER_LARGE ((size_t) 8192)

#define MCQ__BUFFERS_MAX (MCQ__BUFFERS_BYTES / MCQ__BUFFER_SMALL)

/* The group number the kernel knows them by. */
#define MCQ__BUFFER_GROUP 0

typedef struct mcq__buffers {
  struct io_uring_buf_ring* entries; /* shared with the kernel */
  uint8_t* bytes;                    /* NULL: not open */
  mcq__pool_t* pool;
  bool registered;
  size_t size;                     /* of a buffer */
  unsigned count;                  /* a power of two */
  unsigned oldest;                 /* the buffer to be given back next */
  unsigned lent;                   /* buffers not with the kernel */
  unsigned loans;                  /* slices not given back */
  uint8_t state[MCQ__BUFFERS_MAX]; /* of each buffer */
  uint16_t span[MCQ__BUFFERS_MAX]; /* buffers of the loan beginning here */
  void (*on_back)(struct mcq__buffers* b); /* a loan ended; may be NULL */
} mcq__buffers_t;

/* Maps the memory and gives all of it to the kernel, in buffers of `size`; `b`
 * is zeroed.  0 or a system error; close in both cases. */
int mcq__buffers_open(mcq__buffers_t* b, struct io_uring* ring,
                      mcq__pool_t* pool, size_t size);

/* Takes the memory away, and leaves `b` zeroed.  Invariant: nothing is lent and
 * no receive is under way.  Zeroed is fine. */
void mcq__buffers_close(mcq__buffers_t* b, struct io_uring* ring);

/* The kernel filled `n` bytes from the start of buffer `first` on.  Returns
 * how many slices that is: 0 to 2 (2 when it went on at the start of the
 * memory), each with a count of the caller's; or an error: MCQ_ENOMEM, or
 * UV_EIO when the kernel names what it does not have.  The buffers then go
 * back and the bytes are lost. */
int mcq__buffers_take(mcq__buffers_t* b, unsigned first, size_t n,
                      mcq__slice_t out[2]);

/* Buffers the kernel can fill. */
static inline unsigned mcq__buffers_free(const mcq__buffers_t* b) {
  return b->count - b->lent;
}

#endif
