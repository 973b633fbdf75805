/* SPDX-License-Identifier: MIT */
/* Routing ids: a seeded table from id to slot, and the ids the library makes
 * up for peers that announced none: five bytes, a zero and a 32-bit counter
 * with a random start, never given to two live peers. */
#ifndef MCQ__HUB_NAMES_H
#define MCQ__HUB_NAMES_H

#include "base/hash.h"
#include "hub/hub.h"

#define MCQ__NAME_MAX 255
#define MCQ__NAME_MADE 5

typedef struct mcq__names {
  mcq__hash_t table;
  uint32_t counter;
} mcq__names_t;

void mcq__names_init(mcq__names_t* n, mcq__mem_t* mem, const uint64_t seed[2]);
void mcq__names_dispose(mcq__names_t* n);

/* The slot of an id, or MCQ__NO_SLOT. */
uint32_t mcq__names_find(const mcq__names_t* n, const void* id, size_t len);

/* Binds an id to a slot, replacing.  0 or MCQ_ENOMEM. */
int mcq__names_put(mcq__names_t* n, const void* id, size_t len, uint32_t slot);

/* Removes an id if it is bound to `slot`. */
void mcq__names_remove(mcq__names_t* n, const void* id, size_t len,
                       uint32_t slot);

/* Writes an id that no live peer has. */
void mcq__names_make(mcq__names_t* n, uint8_t out[MCQ__NAME_MADE]);

#endif
