/* SPDX-License-Identifier: MIT */
/* Repeated subscriptions (see repeats.h).  Called by publishers that count;
 * never changes the prefix table, whose numbers of texts it goes by. */
#include "hub/repeats.h"

#include "base/cursor.h"

typedef struct tag {
  uint8_t bytes[8];
} tag_t;

/* A text has its number as long as somebody holds it. */
static tag_t tag_of(const mcq__prefix_t* t, uint32_t slot, mcq_frame_t prefix) {
  tag_t tag;
  uint32_t id = mcq__order_find(&t->order, prefix).id;
  mcq__put_u64(tag.bytes, (uint64_t) slot << 32 | id);
  return tag;
}

static bool is_empty(const mcq__repeats_t* r) {
  return mcq__hash_count(&r->counts) == 0;
}

void mcq__repeats_init(mcq__repeats_t* r, mcq__mem_t* mem,
                       const uint64_t seed[2]) {
  mcq__hash_init(&r->counts, mem, seed);
}

void mcq__repeats_dispose(mcq__repeats_t* r) {
  mcq__hash_dispose(&r->counts);
}

int mcq__repeats_add(mcq__repeats_t* r, const mcq__prefix_t* t, uint32_t slot,
                     mcq_frame_t prefix) {
  tag_t tag = tag_of(t, slot, prefix);
  uint32_t* count = mcq__hash_get(&r->counts, tag.bytes, sizeof tag.bytes);
  if (count == NULL)
    return mcq__hash_put(&r->counts, tag.bytes, sizeof tag.bytes, 1);
  if (*count == UINT32_MAX) return MCQ_EMSGLIMIT;
  (*count)++;
  return 0;
}

bool mcq__repeats_remove(mcq__repeats_t* r, const mcq__prefix_t* t,
                         uint32_t slot, mcq_frame_t prefix) {
  if (is_empty(r)) return false;
  tag_t tag = tag_of(t, slot, prefix);
  uint32_t* count = mcq__hash_get(&r->counts, tag.bytes, sizeof tag.bytes);
  if (count == NULL) return false;
  if (--*count == 0) mcq__hash_remove(&r->counts, tag.bytes, sizeof tag.bytes);
  return true;
}

void mcq__repeats_forget(mcq__repeats_t* r, const mcq__prefix_t* t,
                         uint32_t slot, mcq_frame_t prefix) {
  if (is_empty(r)) return;
  tag_t tag = tag_of(t, slot, prefix);
  mcq__hash_remove(&r->counts, tag.bytes, sizeof tag.bytes);
}

void mcq__repeats_drop(mcq__repeats_t* r, const mcq__prefix_t* t,
                       uint32_t slot) {
  uint32_t id;
  mcq__pairs_walk_t walk = mcq__pairs_walk(&t->by_slot, slot);
  tag_t tag;
  if (is_empty(r)) return;
  while (mcq__pairs_next(&walk, &id)) {
    mcq__put_u64(tag.bytes, (uint64_t) slot << 32 | id);
    mcq__hash_remove(&r->counts, tag.bytes, sizeof tag.bytes);
  }
}
