/* SPDX-License-Identifier: MIT */
/* The invariants of the prefix table, looked at from outside: the tests and
 * the fuzz target ask after what they did whether all is still in its place.
 * It believes no key, no link and no count, only the texts. */
#ifndef MCQ__TEST_PREFIX_FAULT_H
#define MCQ__TEST_PREFIX_FAULT_H

#include <stdlib.h>

#include "hub/prefix.h"

static inline const char* pairs_fault(const mcq__pairs_t* p) {
  size_t count = 0;
  uint64_t last = 0;
  for (size_t i = 0; i < p->blocks; i++) {
    const mcq__pairs_block_t* b = p->refs[i].block;
    if (b->count == 0) return "a block of pairs is empty";
    if (b->count > MCQ__PAIRS_BLOCK) return "a block of pairs overflows";
    if (p->refs[i].first != b->values[0]) return "a block begins otherwise";
    for (uint32_t j = 0; j < b->count; j++, count++) {
      if (count > 0 && b->values[j] <= last) return "pairs out of order";
      last = b->values[j];
    }
  }
  return count == p->count ? NULL : "pairs and their count differ";
}

/* Texts and what is free again lie side by side, each whole in its page. */
static inline const char* texts_fault(const mcq__texts_t* x) {
  size_t places = 0;
  size_t free = 0;
  for (uint32_t id = 0; id < x->used; places++) {
    uint32_t len = mcq__text_at(x, id)->len;
    uint32_t units = len > MCQ__TEXT_NEAR ? 1
                     : len <= 8           ? 1
                                          : (len + 7) / 16 + 1;
    if (id % MCQ__TEXT_PAGE + units > MCQ__TEXT_PAGE)
      return "a text goes over the end of its page";
    id += units;
    if (id > x->used) return "a text was not taken as a whole";
  }
  for (uint32_t i = 0; i < MCQ__TEXT_UNITS; i++) {
    uint32_t id = x->free[i];
    for (; id != MCQ__NO_TEXT; id = mcq__text_at(x, id)->holder) {
      if (id >= x->used) return "free, but never taken";
      if (mcq__text_at(x, id)->len != 16 * i + 8) return "free as another size";
      if (free++ > places) return "free without end";
    }
  }
  return places - free == x->count ? NULL : "texts and their count differ";
}

/* The keys of a block and of its place in the directory. */
static inline const char* block_keys_fault(const mcq__order_t* o, size_t ref) {
  const mcq__order_block_t* b = o->refs[ref].block;
  mcq_frame_t first = mcq__text_frame(&o->texts, b->ids[0]);
  mcq_frame_t start = mcq__text_frame(&o->texts, o->refs[0].block->ids[0]);
  if (o->refs[ref].first != b->ids[0]) return "a block begins otherwise";
  if (mcq__text_shared(first, start, o->skip) != o->skip)
    return "the blocks do not share what is skipped";
  for (size_t i = 0; i < 2; i++)
    if (o->refs[ref].keys[i] != mcq__text_key(first, o->skip + 8 * i))
      return "a wrong key in the directory";
  for (uint32_t i = 0; i < b->count; i++) {
    mcq_frame_t text = mcq__text_frame(&o->texts, b->ids[i]);
    if (mcq__text_shared(text, first, b->skip) != b->skip)
      return "a block does not share what is skipped";
    if (b->keys[i] != mcq__text_key(text, b->skip)) return "a wrong key";
  }
  return NULL;
}

/* The links of a block; `base` texts stand before it, and `parents` tells for
 * each text which one is its longest prefix. */
static inline const char* block_links_fault(const mcq__order_t* o, size_t ref,
                                            size_t base, const size_t* parents,
                                            const size_t* blocks) {
  const mcq__order_block_t* b = o->refs[ref].block;
  for (uint32_t i = 0; i < b->count; i++) {
    size_t parent = parents[base + i];
    bool inside = parent != SIZE_MAX && parent >= base;
    size_t right = inside ? parent - base : MCQ__ORDER_NONE;
    if (b->ups[i] != right) return "a wrong link";
  }
  const mcq__order_block_t* up = NULL;
  if (parents[base] != SIZE_MAX) up = o->refs[blocks[parents[base]]].block;
  return b->up == up ? NULL : "a wrong link between blocks";
}

/* Everything by its place in the order: what it says, its longest prefix, and
 * which block it is in. */
typedef struct order_map {
  mcq_frame_t* texts;
  size_t* parents;
  size_t* blocks;
} order_map_t;

static inline const char* order_walk_fault(const mcq__order_t* o,
                                           order_map_t* m) {
  size_t n = 0;
  for (size_t ref = 0; ref < o->blocks; ref++) {
    const mcq__order_block_t* b = o->refs[ref].block;
    size_t base = n;
    if (b->count == 0) return "a block is empty";
    if (b->count > MCQ__ORDER_BLOCK) return "a block overflows";
    for (uint32_t i = 0; i < b->count; i++, n++) {
      if (n >= o->texts.count) return "more in order than there are";
      m->texts[n] = mcq__text_frame(&o->texts, b->ids[i]);
      m->blocks[n] = ref;
      size_t j = n == 0 ? SIZE_MAX : n - 1;
      if (n > 0 && mcq__text_order(m->texts[j], m->texts[n]) >= 0)
        return "texts out of order";
      while (j != SIZE_MAX && !mcq__text_starts(m->texts[n], m->texts[j]))
        j = m->parents[j];
      m->parents[n] = j;
    }
    const char* fault = block_keys_fault(o, ref);
    if (fault == NULL)
      fault = block_links_fault(o, ref, base, m->parents, m->blocks);
    if (fault != NULL) return fault;
  }
  return n == o->texts.count ? NULL : "a text is not in the order";
}

static inline const char* order_fault(const mcq__order_t* o) {
  size_t n = o->texts.count + (size_t) 1;
  order_map_t map = {(mcq_frame_t*) malloc(n * sizeof(mcq_frame_t)),
                     (size_t*) malloc(n * sizeof(size_t)),
                     (size_t*) malloc(n * sizeof(size_t))};
  const char* fault = "no memory to look";
  if (map.texts != NULL && map.parents != NULL && map.blocks != NULL)
    fault = order_walk_fault(o, &map);
  free(map.texts);
  free(map.parents);
  free(map.blocks);
  return fault;
}

/* The holders of a text are in both sets, or stand with it. */
static inline const char* holders_fault(const mcq__prefix_t* t, uint32_t id,
                                        size_t* sum, size_t* several) {
  uint32_t only = mcq__text_at(&t->order.texts, id)->holder;
  mcq__holders_t holders = mcq__prefix_holders(t, id);
  uint32_t slot;
  size_t n = 0;
  while ((slot = mcq__holders_next(&holders)) != MCQ__NO_SLOT) {
    if (!mcq__pairs_has(&t->by_slot, slot, id)) return "a holder without share";
    n++;
  }
  if (n == 0) return "a prefix that nobody holds";
  if ((n == 1) != (only != MCQ__NO_SLOT))
    return "one holder stands with the text, several do not";
  if (n == 1 && mcq__pairs_has(&t->by_text, id, only)) return "a holder twice";
  *sum += n;
  if (n > 1) *several += n;
  return NULL;
}

/* What is wrong with a table, in words, or NULL. */
static inline const char* prefix_fault(const mcq__prefix_t* t) {
  const char* fault = pairs_fault(&t->by_slot);
  if (fault == NULL) fault = pairs_fault(&t->by_text);
  if (fault == NULL) fault = texts_fault(&t->order.texts);
  if (fault == NULL) fault = order_fault(&t->order);
  if (fault != NULL) return fault;
  size_t sum = 0;
  size_t several = 0;
  for (size_t i = 0; i < t->order.blocks && fault == NULL; i++) {
    const mcq__order_block_t* b = t->order.refs[i].block;
    for (uint32_t j = 0; j < b->count && fault == NULL; j++)
      fault = holders_fault(t, b->ids[j], &sum, &several);
  }
  if (fault != NULL) return fault;
  if (sum != t->by_slot.count) return "a share without its holder";
  if (several != t->by_text.count) return "a pair of nothing";
  for (uint32_t slot = 0; slot < t->cap; slot++) {
    mcq__pairs_walk_t walk = mcq__pairs_walk(&t->by_slot, slot);
    mcq__prefix_share_t share = {0, 0};
    uint32_t id;
    for (; mcq__pairs_next(&walk, &id); share.count++)
      share.bytes += mcq__text_at(&t->order.texts, id)->len;
    if (share.count != t->shares[slot].count) return "a wrong count of a slot";
    if (share.bytes != t->shares[slot].bytes) return "wrong bytes of a slot";
  }
  return NULL;
}

#endif
