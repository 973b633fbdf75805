/* SPDX-License-Identifier: MIT */
/* Object memory: the replaceable allocator with a count of live blocks.
 * Everything the library owns comes from one mcq__mem_t per context, which
 * outlives the context until the last retained message is released. */
#ifndef MCQ__BASE_MEM_H
#define MCQ__BASE_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monocoque/errno.h"
#include "monocoque/types.h"

typedef struct mcq__mem {
  mcq_allocator_t allocator;
  atomic_size_t live;  /* blocks handed out, plus one until closed */
  atomic_size_t total; /* blocks ever handed out: what benchmarks watch */
  atomic_size_t bytes; /* in live blocks, where `sized` */
  bool sized;          /* the allocator is the system's, which tells sizes */
} mcq__mem_t;

/* Opens a memory on `allocator` (NULL: malloc and free).  0 or MCQ_ENOMEM. */
int mcq__mem_open(mcq__mem_t** out, const mcq_allocator_t* allocator);

/* Gives up the opener's share; the memory goes with its last block. */
void mcq__mem_close(mcq__mem_t* mem);

/* A block of `size` bytes with undefined content, or NULL. */
void* mcq__mem_alloc(mcq__mem_t* mem, size_t size);

/* A block of `size` zeroed bytes, or NULL. */
void* mcq__mem_zalloc(mcq__mem_t* mem, size_t size);

/* Returns a block; NULL is ignored. */
void mcq__mem_free(mcq__mem_t* mem, void* block);

/* A NUL-terminated copy of `len` bytes of text, or NULL. */
char* mcq__mem_text(mcq__mem_t* mem, const char* text, size_t len);

/* Copies an object or an array of `len` bytes, or NULL. */
void* mcq__mem_copy(mcq__mem_t* mem, const void* data, size_t len);

/* Grows `*array` from `*cap` to at least `need` elements of `elem` bytes,
 * doubling; new elements are zeroed.  On failure nothing has changed. */
int mcq__mem_grow(mcq__mem_t* mem, void** array, size_t* cap, size_t need,
                  size_t elem);

/* Fills `out`, of `size` bytes, from an object of `have` bytes: what fits, and
 * zeros behind it.  For structs that two sides may know in different sizes. */
void mcq__mem_answer(void* out, size_t size, const void* object, size_t have);

/* Blocks alive now (the opener's own share not counted). */
size_t mcq__mem_live(const mcq__mem_t* mem);

/* Their bytes as the system rounds them up (0: not known), and blocks ever
 * handed out. */
size_t mcq__mem_bytes(const mcq__mem_t* mem);
size_t mcq__mem_total(const mcq__mem_t* mem);

#define mcq__new(mem, type) ((type*) mcq__mem_zalloc((mem), sizeof(type)))

#endif
