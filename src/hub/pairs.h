/* SPDX-License-Identifier: MIT */
/* A sorted set of pairs of 32-bit numbers: all second numbers of one first
 * number lie side by side.  Kept in blocks, so that a change moves one block
 * at most, wherever it happens and however many pairs there are. */
#ifndef MCQ__HUB_PAIRS_H
#define MCQ__HUB_PAIRS_H

#include "base/mem.h"

/* Pairs in a block. */
#define MCQ__PAIRS_BLOCK 254

typedef struct mcq__pairs_block {
  uint32_t count;
  uint64_t values[MCQ__PAIRS_BLOCK]; /* first << 32 | second, rising */
} mcq__pairs_block_t;

typedef struct mcq__pairs_ref {
  uint64_t first; /* values[0] of the block */
  mcq__pairs_block_t* block;
} mcq__pairs_ref_t;

typedef struct mcq__pairs {
  mcq__mem_t* mem;
  mcq__pairs_ref_t* refs; /* the blocks in order; none is empty */
  size_t cap;
  size_t blocks;
  size_t count;   /* pairs */
  uint64_t moved; /* elements ever shifted to make or to fill a gap */
} mcq__pairs_t;

/* The second numbers of one first number, rising.  Good until the set is
 * changed. */
typedef struct mcq__pairs_walk {
  const mcq__pairs_t* pairs;
  size_t ref;
  uint32_t at;
  uint32_t first;
} mcq__pairs_walk_t;

void mcq__pairs_init(mcq__pairs_t* p, mcq__mem_t* mem);
void mcq__pairs_dispose(mcq__pairs_t* p);

/* 0, MCQ_EEXIST or MCQ_ENOMEM; nothing changed then. */
int mcq__pairs_add(mcq__pairs_t* p, uint32_t first, uint32_t second);

/* False when it was not there. */
bool mcq__pairs_remove(mcq__pairs_t* p, uint32_t first, uint32_t second);
bool mcq__pairs_has(const mcq__pairs_t* p, uint32_t first, uint32_t second);

mcq__pairs_walk_t mcq__pairs_walk(const mcq__pairs_t* p, uint32_t first);

/* The next second number; false: there is none. */
static inline bool mcq__pairs_next(mcq__pairs_walk_t* w, uint32_t* second) {
  if (w->ref >= w->pairs->blocks) return false;
  const mcq__pairs_block_t* block = w->pairs->refs[w->ref].block;
  uint64_t value = block->values[w->at];
  if (value >> 32 != w->first) return false;
  if (++w->at == block->count) {
    w->at = 0;
    w->ref++;
  }
  *second = (uint32_t) value;
  return true;
}

#endif
