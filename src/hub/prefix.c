/* SPDX-License-Identifier: MIT */
/* The prefix table: texts in order, and who holds them.  PubSubHub keeps the
 * subscriptions of its peers here and asks for each topic who is to have it.
 * Most prefixes of a large table have one holder, so that one stands with the
 * text; several are pairs in a set.  It knows slots, not peers or epochs. */
#include "hub/prefix.h"

static mcq__text_t* text_at(const mcq__prefix_t* t, uint32_t id) {
  return mcq__text_at(&t->order.texts, id);
}

static bool holds(const mcq__prefix_t* t, uint32_t slot, uint32_t id) {
  uint32_t only = text_at(t, id)->holder;
  if (only != MCQ__NO_SLOT) return only == slot;
  return mcq__pairs_has(&t->by_text, id, slot);
}

/* One more holder of a text that has some.  Nothing changed unless 0. */
static int join(mcq__prefix_t* t, uint32_t slot, uint32_t id) {
  uint32_t only = text_at(t, id)->holder;
  int rc = mcq__pairs_add(&t->by_text, id, slot);
  if (rc != 0 || only == MCQ__NO_SLOT) return rc;
  rc = mcq__pairs_add(&t->by_text, id, only);
  if (rc == 0) {
    text_at(t, id)->holder = MCQ__NO_SLOT;
  } else {
    mcq__pairs_remove(&t->by_text, id, slot);
  }
  return rc;
}

/* One holder less of a text that has several; if one is left it stands with
 * the text again. */
static void leave(mcq__prefix_t* t, uint32_t slot, uint32_t id) {
  mcq__pairs_remove(&t->by_text, id, slot);
  mcq__pairs_walk_t walk = mcq__pairs_walk(&t->by_text, id);
  uint32_t only = MCQ__NO_SLOT;
  uint32_t other;
  mcq__pairs_next(&walk, &only);
  if (mcq__pairs_next(&walk, &other)) return;
  mcq__pairs_remove(&t->by_text, id, only);
  text_at(t, id)->holder = only;
}

/* Whether the only holder of this text is `slot`, which holds it. */
static bool is_last(const mcq__prefix_t* t, uint32_t id) {
  return text_at(t, id)->holder != MCQ__NO_SLOT;
}

static void count(mcq__prefix_t* t, uint32_t slot, mcq_frame_t prefix) {
  t->shares[slot].count++;
  t->shares[slot].bytes += prefix.len;
}

void mcq__prefix_init(mcq__prefix_t* t, mcq__mem_t* mem) {
  mcq__order_init(&t->order, mem);
  mcq__pairs_init(&t->by_slot, mem);
  mcq__pairs_init(&t->by_text, mem);
  t->shares = NULL;
  t->cap = 0;
}

void mcq__prefix_dispose(mcq__prefix_t* t) {
  mcq__mem_t* mem = t->by_slot.mem;
  mcq__order_dispose(&t->order);
  mcq__pairs_dispose(&t->by_slot);
  mcq__pairs_dispose(&t->by_text);
  if (t->shares != NULL) mcq__mem_free(mem, t->shares);
  t->shares = NULL;
  t->cap = 0;
}

int mcq__prefix_reserve(mcq__prefix_t* t, uint32_t slot) {
  if (slot < t->cap) return 0;
  void* shares = t->shares;
  int rc = mcq__mem_grow(t->by_slot.mem, &shares, &t->cap, (size_t) slot + 1,
                         sizeof *t->shares);
  if (rc == 0) t->shares = (mcq__prefix_share_t*) shares;
  return rc;
}

int mcq__prefix_add(mcq__prefix_t* t, uint32_t slot, mcq_frame_t prefix,
                    bool* first) {
  mcq__check(slot < t->cap);
  mcq__order_place_t place = mcq__order_find(&t->order, prefix);
  *first = false;
  if (place.id != MCQ__NO_TEXT) {
    int rc = holds(t, slot, place.id)
                 ? MCQ_EEXIST
                 : mcq__pairs_add(&t->by_slot, slot, place.id);
    if (rc != 0) return rc;
    rc = join(t, slot, place.id);
    if (rc != 0) {
      mcq__pairs_remove(&t->by_slot, slot, place.id);
      return rc;
    }
  } else {
    uint32_t id;
    int rc = mcq__order_add(&t->order, place, prefix, &id);
    if (rc != 0) return rc;
    rc = mcq__pairs_add(&t->by_slot, slot, id);
    if (rc != 0) {
      mcq__order_remove(&t->order, mcq__order_find(&t->order, prefix));
      return rc;
    }
    text_at(t, id)->holder = slot;
    *first = true;
  }
  count(t, slot, prefix);
  return 0;
}

int mcq__prefix_remove(mcq__prefix_t* t, uint32_t slot, mcq_frame_t prefix,
                       bool* last) {
  mcq__order_place_t place = mcq__order_find(&t->order, prefix);
  *last = false;
  if (place.id == MCQ__NO_TEXT || !holds(t, slot, place.id)) return MCQ_ENOENT;
  mcq__pairs_remove(&t->by_slot, slot, place.id);
  t->shares[slot].count--;
  t->shares[slot].bytes -= prefix.len;
  *last = is_last(t, place.id);
  if (*last) {
    mcq__order_remove(&t->order, place);
  } else {
    leave(t, slot, place.id);
  }
  return 0;
}

void mcq__prefix_drop(mcq__prefix_t* t, uint32_t slot, mcq__prefix_cb each,
                      void* arg) {
  uint32_t id;
  for (;;) {
    mcq__pairs_walk_t walk = mcq__pairs_walk(&t->by_slot, slot);
    if (!mcq__pairs_next(&walk, &id)) break;
    mcq_frame_t prefix = mcq__text_frame(&t->order.texts, id);
    bool last = is_last(t, id);
    if (each != NULL) each(arg, prefix, last);
    mcq__pairs_remove(&t->by_slot, slot, id);
    if (last) {
      mcq__order_remove(&t->order, mcq__order_find(&t->order, prefix));
    } else {
      leave(t, slot, id);
    }
  }
  if (slot < t->cap) t->shares[slot] = (mcq__prefix_share_t){0, 0};
}

bool mcq__prefix_holds(const mcq__prefix_t* t, uint32_t slot,
                       mcq_frame_t prefix) {
  mcq__order_place_t place = mcq__order_find(&t->order, prefix);
  return place.id != MCQ__NO_TEXT && holds(t, slot, place.id);
}

mcq__prefix_share_t mcq__prefix_share(const mcq__prefix_t* t, uint32_t slot) {
  static const mcq__prefix_share_t none = {0, 0};
  return slot < t->cap ? t->shares[slot] : none;
}

void mcq__prefix_each_of(const mcq__prefix_t* t, uint32_t slot,
                         mcq__prefix_cb each, void* arg) {
  mcq__pairs_walk_t walk = mcq__pairs_walk(&t->by_slot, slot);
  uint32_t id;
  while (mcq__pairs_next(&walk, &id))
    each(arg, mcq__text_frame(&t->order.texts, id), false);
}

void mcq__prefix_each(const mcq__prefix_t* t, mcq__prefix_cb each, void* arg) {
  for (size_t i = 0; i < t->order.blocks; i++) {
    const mcq__order_block_t* b = t->order.refs[i].block;
    for (uint32_t j = 0; j < b->count; j++)
      each(arg, mcq__text_frame(&t->order.texts, b->ids[j]), false);
  }
}
