/* SPDX-License-Identifier: MIT */
/* The order of the prefixes: which of them begin a topic, in one search.
 *
 * Texts stand sorted in blocks.  Beside each is its key, the first eight bytes
 * after what the whole block has in common, and the place of the longest other
 * text of the block that is a prefix of it.  A prefix of a text stands before
 * it and everything between begins with that prefix, too; so all texts that
 * begin a topic are on the chain of prefixes that starts with the greatest
 * text not above the topic.  Where the chain leaves a block it goes on at the
 * end of the block `up`, the one with the longest prefix of the first text. */
#ifndef MCQ__HUB_PREFIX_ORDER_H
#define MCQ__HUB_PREFIX_ORDER_H

#include "hub/prefix_text.h"

#define MCQ__ORDER_BLOCK 240 /* texts in a block; places fit a byte */
#define MCQ__ORDER_NONE 255  /* in place of a place: none in this block */

typedef struct mcq__order_block {
  struct mcq__order_block* up; /* NULL: the first text has no prefix */
  size_t skip;                 /* leading bytes that all texts share */
  uint32_t count;
  uint64_t keys[MCQ__ORDER_BLOCK];
  uint32_t ids[MCQ__ORDER_BLOCK];
  uint8_t ups[MCQ__ORDER_BLOCK]; /* longest proper prefix in the block */
} mcq__order_block_t;

typedef struct mcq__order_ref {
  uint64_t keys[2]; /* sixteen bytes of the first text, after the skip */
  mcq__order_block_t* block;
  uint32_t first; /* ids[0] of the block, which is far away in memory */
} mcq__order_ref_t;

typedef struct mcq__order {
  mcq__texts_t texts;
  mcq__order_ref_t* refs; /* the blocks in order; none is empty */
  size_t cap;
  size_t blocks;
  size_t skip;    /* leading bytes that all first texts share */
  uint64_t moved; /* elements ever shifted, linked or keyed anew */
} mcq__order_t;

/* Where a text is, or would be: behind `at` texts of the block. */
typedef struct mcq__order_place {
  size_t ref;
  uint32_t at;
  uint32_t id; /* MCQ__NO_TEXT: it is not there */
} mcq__order_place_t;

/* A walk over the stored prefixes of a topic, the longest first.  Good until
 * the table is changed. */
typedef struct mcq__order_chain {
  const mcq__order_t* order;
  const mcq__order_block_t* block; /* NULL: at the end */
  mcq_frame_t topic;
  size_t shared; /* bytes the topic has in common with the text here, or more
                    than that one has */
  uint32_t at;
} mcq__order_chain_t;

void mcq__order_init(mcq__order_t* o, mcq__mem_t* mem);
void mcq__order_dispose(mcq__order_t* o);

mcq__order_place_t mcq__order_find(const mcq__order_t* o, mcq_frame_t text);

/* Adds a text that is not there, at its place.  0 or MCQ_ENOMEM, nothing
 * changed. */
int mcq__order_add(mcq__order_t* o, mcq__order_place_t place, mcq_frame_t text,
                   uint32_t* id);

/* Removes the text at a place.  Never fails. */
void mcq__order_remove(mcq__order_t* o, mcq__order_place_t place);

/* Whether a stored text begins with `text` and is longer. */
bool mcq__order_extends(const mcq__order_t* o, mcq_frame_t text);

mcq__order_chain_t mcq__order_chain(const mcq__order_t* o, mcq_frame_t topic);

/* Goes on at the end of the next block of the chain. */
void mcq__order_climb(mcq__order_chain_t* c);

/* The next stored prefix of the topic, or MCQ__NO_TEXT. */
static inline uint32_t mcq__order_next(mcq__order_chain_t* c) {
  while (c->block != NULL) {
    while (c->at != MCQ__ORDER_NONE) {
      uint32_t id = c->block->ids[c->at];
      c->at = c->block->ups[c->at];
      if (mcq__text_at(&c->order->texts, id)->len <= c->shared) return id;
    }
    mcq__order_climb(c);
  }
  return MCQ__NO_TEXT;
}

#endif
