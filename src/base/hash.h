/* SPDX-License-Identifier: MIT */
/* A table from byte strings to 32-bit values, seeded so that whoever chooses
 * the keys cannot choose the collisions.  Keys are copied in. */
#ifndef MCQ__BASE_HASH_H
#define MCQ__BASE_HASH_H

#include "base/mem.h"

typedef struct mcq__hash {
  mcq__mem_t* mem;
  uint64_t seed[2];
  struct mcq__hash_entry* entries_;
} mcq__hash_t;

void mcq__hash_init(mcq__hash_t* h, mcq__mem_t* mem, const uint64_t seed[2]);
void mcq__hash_dispose(mcq__hash_t* h);

/* The value's place, or NULL when the key is absent.  Good until the key is
 * removed. */
uint32_t* mcq__hash_get(const mcq__hash_t* h, const void* key, size_t len);

/* Adds or replaces.  0 or MCQ_ENOMEM, nothing changed. */
int mcq__hash_put(mcq__hash_t* h, const void* key, size_t len, uint32_t value);

void mcq__hash_remove(mcq__hash_t* h, const void* key, size_t len);
size_t mcq__hash_count(const mcq__hash_t* h);

/* SipHash-1-3 of the bytes under the key. */
uint64_t mcq__siphash(const uint64_t key[2], const void* data, size_t len);

#endif
