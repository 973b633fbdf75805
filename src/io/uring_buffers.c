/* SPDX-License-Identifier: MIT */
/* The buffer ring.  Called by the pump (uring.c) and the probe; never touches
 * a buffer that is with the kernel or lent out. */
#include "io/uring_buffers.h"

#include <errno.h>
#include <sys/mman.h>
#include <uv.h>

/* With the kernel; lent to the room above; back, but an older one is not. */
enum { WITH_KERNEL, LENT, BACK };

/* The `ahead`-th buffer after `id`, in ring order. */
static unsigned after(const mcq__buffers_t* b, unsigned id, unsigned ahead) {
  return (id + ahead) & (b->count - 1);
}

/* Queues `count` buffers from `first` on for the kernel. */
static void provide(mcq__buffers_t* b, unsigned first, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    unsigned id = after(b, first, i);
    io_uring_buf_ring_add(b->entries, b->bytes + id * b->size,
                          (unsigned) b->size, (unsigned short) id,
                          (int) b->count - 1, (int) i);
  }
  io_uring_buf_ring_advance(b->entries, (int) count);
}

/* Makes whoever reads a loan for too long see it. */
static void poison(mcq__buffers_t* b, unsigned id) {
#ifdef MCQ_DEBUG
  memset(b->bytes + id * b->size, 0xDD, b->size);
#else
  (void) b;
  (void) id;
#endif
}

/* Gives back to the kernel, in ring order, what is no longer lent.  Nobody may
 * touch `b` afterwards: this may have been what its owner waited for. */
static void give_back(mcq__buffers_t* b) {
  unsigned count = 0;
  unsigned first = b->oldest;
  while (count < b->lent && b->state[after(b, first, count)] == BACK) {
    unsigned id = after(b, first, count);
    poison(b, id);
    b->state[id] = WITH_KERNEL;
    count++;
  }
  if (count != 0) provide(b, first, count);
  b->oldest = after(b, first, count);
  b->lent -= count;
  if (b->on_back != NULL) b->on_back(b);
}

static void mark(mcq__buffers_t* b, unsigned first, unsigned count,
                 uint8_t state) {
  for (unsigned i = 0; i < count; i++) b->state[after(b, first, i)] = state;
}

/* The last count of a loan is gone. */
static void loan_ended(void* data, void* arg) {
  mcq__buffers_t* b = (mcq__buffers_t*) arg;
  size_t at = (size_t) ((const uint8_t*) data - b->bytes);
  unsigned first = (unsigned) (at / b->size);
  b->loans--;
  mark(b, first, b->span[first], BACK);
  give_back(b);
}

/* True when `count` buffers from `first` on are the kernel's: those between
 * the last one lent, in ring order, and the oldest. */
static bool kernel_has(const mcq__buffers_t* b, unsigned first,
                       unsigned count) {
  if (first >= b->count || count > b->count) return false;
  if (after(b, first, b->count - b->oldest) + count > b->count) return false;
  for (unsigned i = 0; i < count; i++)
    if (b->state[after(b, first, i)] != WITH_KERNEL) return false;
  return true;
}

/* Lends `len` bytes from the start of `count` buffers.  Invariant: they are
 * marked LENT and do not reach over the end of the memory. */
static int lend(mcq__buffers_t* b, unsigned first, unsigned count, size_t len,
                mcq__slice_t* out) {
  b->span[first] = (uint16_t) count;
  mcq__slab_t* slab = mcq__slab_foreign(b->pool, b->bytes + first * b->size,
                                        len, true, loan_ended, b);
  if (slab == NULL) return MCQ_ENOMEM;
  *out = mcq__slab_slice(slab);
  b->loans++;
  return 0;
}

int mcq__buffers_take(mcq__buffers_t* b, unsigned first, size_t n,
                      mcq__slice_t out[2]) {
  size_t filled = (n + b->size - 1) / b->size;
  if (filled > b->count) return UV_EIO;
  unsigned count = filled == 0 ? 1 : (unsigned) filled;
  if (!kernel_has(b, first, count)) return UV_EIO;
  mark(b, first, count, LENT);
  b->lent += count;
  int slices = 0;
  while (n > 0) {
    unsigned here = b->count - first;
    if (here > count) here = count;
    size_t len = here * b->size < n ? here * b->size : n;
    if (lend(b, first, here, len, &out[slices]) != 0) break;
    slices++;
    n -= len;
    count -= here;
    first = after(b, first, here);
  }
  if (count == 0) return slices;
  mark(b, first, count, BACK);
  if (n == 0) {
    give_back(b);
    return 0;
  }
  while (slices > 0) mcq__slice_release(&out[--slices]);
  give_back(b);
  return MCQ_ENOMEM;
}

static size_t mapped(const mcq__buffers_t* b) {
  return MCQ__BUFFERS_BYTES + b->count * sizeof(struct io_uring_buf);
}

/* Invariant of the mapping: all buffers, then the entries the kernel reads.
 * The buffers are a multiple of every page size, so the entries are
 * page-aligned as they must be.  Every address computed in this file is that
 * of a buffer `id` < count, and lies inside. */
int mcq__buffers_open(mcq__buffers_t* b, struct io_uring* ring,
                      mcq__pool_t* pool, size_t size) {
  b->size = size;
  b->count = (unsigned) (MCQ__BUFFERS_BYTES / size);
  mcq__check(b->count <= MCQ__BUFFERS_MAX);
  void* memory = mmap(NULL, mapped(b), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -errno;
  b->bytes = (uint8_t*) memory;
  b->entries =
      (struct io_uring_buf_ring*) (void*) (b->bytes + MCQ__BUFFERS_BYTES);
  b->pool = pool;
  struct io_uring_buf_reg reg = {
      .ring_addr = (uintptr_t) b->entries,
      .ring_entries = b->count,
      .bgid = MCQ__BUFFER_GROUP,
  };
  int rc = io_uring_register_buf_ring(ring, &reg, 0);
  if (rc != 0) return rc;
  b->registered = true;
  io_uring_buf_ring_init(b->entries);
  provide(b, 0, b->count);
  return 0;
}

void mcq__buffers_close(mcq__buffers_t* b, struct io_uring* ring) {
  mcq__check(b->loans == 0);
  if (b->registered) io_uring_unregister_buf_ring(ring, MCQ__BUFFER_GROUP);
  if (b->bytes != NULL) munmap(b->bytes, mapped(b));
  *b = (mcq__buffers_t){0};
}
