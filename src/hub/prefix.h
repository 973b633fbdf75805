/* SPDX-License-Identifier: MIT */
/* The prefix table: who holds which prefix, and which prefixes begin a topic.
 * A set: one slot holds a prefix once or not at all.  Any bytes are a prefix,
 * none too: the empty one begins every topic. */
#ifndef MCQ__HUB_PREFIX_H
#define MCQ__HUB_PREFIX_H

#include "hub/hub.h"
#include "hub/pairs.h"
#include "hub/prefix_order.h"
#include "hub/prefix_stem.h"

/* What one slot holds. */
typedef struct mcq__prefix_share {
  uint32_t count; /* prefixes */
  uint64_t bytes; /* of their texts */
} mcq__prefix_share_t;

typedef struct mcq__prefix {
  mcq__order_t order;
  mcq__pairs_t by_slot;        /* slot, text: everything */
  mcq__pairs_t by_text;        /* text, slot: of texts with several holders */
  mcq__prefix_share_t* shares; /* by slot */
  size_t cap;
} mcq__prefix_t;

/* One prefix at a time; `last`: nobody holds it any more.  May not change the
 * table. */
typedef void (*mcq__prefix_cb)(void* arg, mcq_frame_t prefix, bool last);

void mcq__prefix_init(mcq__prefix_t* t, mcq__mem_t* mem);
void mcq__prefix_dispose(mcq__prefix_t* t);

/* Makes room for `slot`; a slot has to be reserved before it can hold.  0 or
 * MCQ_ENOMEM. */
int mcq__prefix_reserve(mcq__prefix_t* t, uint32_t slot);

/* 0, and whether `slot` is the first to hold it; MCQ_EEXIST: it does already;
 * MCQ_ENOMEM.  Nothing changed unless 0. */
int mcq__prefix_add(mcq__prefix_t* t, uint32_t slot, mcq_frame_t prefix,
                    bool* first);

/* 0, and whether `slot` was the last to hold it; MCQ_ENOENT: it does not. */
int mcq__prefix_remove(mcq__prefix_t* t, uint32_t slot, mcq_frame_t prefix,
                       bool* last);

/* Removes all that a slot holds, in no order.  `each` may be NULL. */
void mcq__prefix_drop(mcq__prefix_t* t, uint32_t slot, mcq__prefix_cb each,
                      void* arg);

bool mcq__prefix_holds(const mcq__prefix_t* t, uint32_t slot,
                       mcq_frame_t prefix);

mcq__prefix_share_t mcq__prefix_share(const mcq__prefix_t* t, uint32_t slot);

/* Distinct prefixes. */
static inline size_t mcq__prefix_count(const mcq__prefix_t* t) {
  return t->order.texts.count;
}

/* All that a slot holds, in no order; all there is, in order.  `last` is
 * false for each. */
void mcq__prefix_each_of(const mcq__prefix_t* t, uint32_t slot,
                         mcq__prefix_cb each, void* arg);
void mcq__prefix_each(const mcq__prefix_t* t, mcq__prefix_cb each, void* arg);

/* ---- matching ------------------------------------------------------------ */

/* The holders of one prefix.  Good until the table is changed. */
typedef struct mcq__holders {
  uint32_t only; /* the one there is, or MCQ__NO_SLOT */
  mcq__pairs_walk_t walk;
} mcq__holders_t;

/* The stored prefixes of a topic, the longest first: start with
 * mcq__prefix_match and ask mcq__order_next until MCQ__NO_TEXT. */
static inline mcq__order_chain_t mcq__prefix_match(const mcq__prefix_t* t,
                                                   mcq_frame_t topic) {
  return mcq__order_chain(&t->order, topic);
}

/* Whether any stored prefix begins the topic.  `stem` gets one that does, and
 * serves for the next topic until the table is changed. */
static inline bool mcq__prefix_matches(const mcq__prefix_t* t,
                                       mcq_frame_t topic, mcq__stem_t* stem) {
  if (mcq__likely(mcq__stem_begins(stem, topic))) return true;
  mcq__order_chain_t chain = mcq__prefix_match(t, topic);
  uint32_t id = mcq__order_next(&chain);
  if (id == MCQ__NO_TEXT) return false;
  *stem = mcq__stem_of(&t->order.texts, id);
  return true;
}

/* Where a prefix is stored and none that is longer begins with it, all topics
 * that do have the same prefixes. */
static inline bool mcq__prefix_settles(const mcq__prefix_t* t, uint32_t id) {
  return !mcq__order_extends(&t->order, mcq__text_frame(&t->order.texts, id));
}

static inline mcq__holders_t mcq__prefix_holders(const mcq__prefix_t* t,
                                                 uint32_t id) {
  mcq__holders_t h = {mcq__text_at(&t->order.texts, id)->holder,
                      {&t->by_text, SIZE_MAX, 0, id}};
  if (h.only == MCQ__NO_SLOT) h.walk = mcq__pairs_walk(&t->by_text, id);
  return h;
}

/* The next holder, or MCQ__NO_SLOT. */
static inline uint32_t mcq__holders_next(mcq__holders_t* h) {
  uint32_t slot = h->only;
  h->only = MCQ__NO_SLOT;
  if (slot == MCQ__NO_SLOT) mcq__pairs_next(&h->walk, &slot);
  return slot;
}

#endif
