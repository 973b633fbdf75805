/* SPDX-License-Identifier: MIT */
/* Object memory: the allocator the user gave, with a count of live blocks.
 * Called by every room for its objects and arrays.  It never touches payload
 * bytes (slab.c does) and never calls the allocator with a size that a sum or
 * product wrapped around to. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#ifdef MCQ_HAVE_USABLE_SIZE
#include <malloc.h>
static const bool sizes_known = true;
#else
static const bool sizes_known = false;
#define malloc_usable_size(block) ((void) (block), (size_t) 0)
#endif

static void* plain_alloc(size_t size, void* arg) {
  (void) arg;
  return malloc(size);
}

static void plain_free(void* block, void* arg) {
  (void) arg;
  free(block);
}

/* Takes one off the count; whoever takes the last one frees the memory
 * object.  Invariant: the caller owned one of the counts, so nobody can have
 * freed `mem` before, and does not touch it after. */
static void drop(mcq__mem_t* mem) {
  size_t before =
      atomic_fetch_sub_explicit(&mem->live, 1, memory_order_acq_rel);
  mcq__check(before > 0);
  if (before != 1) return;
  mcq_allocator_t allocator = mem->allocator;
  allocator.free(mem, allocator.arg);
}

int mcq__mem_open(mcq__mem_t** out, const mcq_allocator_t* allocator) {
  mcq_allocator_t a = {plain_alloc, plain_free, NULL};
  /* A pair with a hole in it cannot be mixed with malloc: take neither. */
  if (allocator != NULL && allocator->alloc != NULL && allocator->free != NULL)
    a = *allocator;
  mcq__mem_t* mem = (mcq__mem_t*) a.alloc(sizeof *mem, a.arg);
  if (mem == NULL) return MCQ_ENOMEM;
  mem->allocator = a;
  atomic_init(&mem->live, 1);
  atomic_init(&mem->total, 0);
  mem->sized = sizes_known && a.alloc == plain_alloc;
  atomic_init(&mem->bytes, 0);
  *out = mem;
  return 0;
}

void mcq__mem_close(mcq__mem_t* mem) {
  if (mem != NULL) drop(mem);
}

/* Invariant: a block handed out holds one count of `mem`, so `mem` outlives
 * it.  Counted before the allocation, because a release on another thread may
 * drop the last other count meanwhile. */
void* mcq__mem_alloc(mcq__mem_t* mem, size_t size) {
  atomic_fetch_add_explicit(&mem->live, 1, memory_order_relaxed);
  void* block = mem->allocator.alloc(size == 0 ? 1 : size, mem->allocator.arg);
  if (block == NULL) {
    drop(mem);
    return NULL;
  }
  atomic_fetch_add_explicit(&mem->total, 1, memory_order_relaxed);
  if (mem->sized)
    atomic_fetch_add_explicit(&mem->bytes, malloc_usable_size(block),
                              memory_order_relaxed);
  return block;
}

void* mcq__mem_zalloc(mcq__mem_t* mem, size_t size) {
  void* block = mcq__mem_alloc(mem, size);
  if (block != NULL) memset(block, 0, size);
  return block;
}

void mcq__mem_free(mcq__mem_t* mem, void* block) {
  if (block == NULL) return;
  if (mem->sized)
    atomic_fetch_sub_explicit(&mem->bytes, malloc_usable_size(block),
                              memory_order_relaxed);
  mem->allocator.free(block, mem->allocator.arg);
  drop(mem);
}

/* Invariant: writes len + 1 bytes into a block of len + 1. */
char* mcq__mem_text(mcq__mem_t* mem, const char* text, size_t len) {
  if (len == SIZE_MAX) return NULL;
  char* copy = (char*) mcq__mem_alloc(mem, len + 1);
  if (copy == NULL) return NULL;
  if (len != 0) memcpy(copy, text, len);
  copy[len] = '\0';
  return copy;
}

/* Invariant: writes len bytes into a block of len. */
void* mcq__mem_copy(mcq__mem_t* mem, const void* data, size_t len) {
  void* copy = mcq__mem_alloc(mem, len);
  if (copy != NULL && len != 0) memcpy(copy, data, len);
  return copy;
}

/* Invariant: `more` >= need > *cap and more * elem does not wrap, so the old
 * elements and the zeroed rest both lie inside the new block. */
int mcq__mem_grow(mcq__mem_t* mem, void** array, size_t* cap, size_t need,
                  size_t elem) {
  if (need <= *cap) return 0;
  size_t more = *cap < 4 ? 4 : *cap;
  while (more < need && more <= SIZE_MAX / 2) more *= 2;
  if (more < need) more = need;
  if (elem != 0 && more > SIZE_MAX / elem) return MCQ_ENOMEM;
  char* grown = (char*) mcq__mem_alloc(mem, more * elem);
  if (grown == NULL) return MCQ_ENOMEM;
  size_t used = *cap * elem;
  if (used != 0) memcpy(grown, *array, used);
  memset(grown + used, 0, more * elem - used);
  mcq__mem_free(mem, *array);
  *array = grown;
  *cap = more;
  return 0;
}

/* Invariant: writes `size` bytes, reads no more than `have`. */
void mcq__mem_answer(void* out, size_t size, const void* object, size_t have) {
  size_t known = size < have ? size : have;
  memcpy(out, object, known);
  memset((char*) out + known, 0, size - known);
}

/* C11 as first published has no load from a const object. */
static size_t read_count(const atomic_size_t* count) {
  return atomic_load_explicit((atomic_size_t*) count, memory_order_acquire);
}

size_t mcq__mem_live(const mcq__mem_t* mem) {
  return read_count(&mem->live) - 1;
}

size_t mcq__mem_bytes(const mcq__mem_t* mem) {
  return read_count(&mem->bytes);
}

size_t mcq__mem_total(const mcq__mem_t* mem) {
  return read_count(&mem->total);
}
