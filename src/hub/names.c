/* SPDX-License-Identifier: MIT */
/* Routing ids of one hub: what peers are called.  RouterHub binds an id to a
 * slot here and looks it up for each message sent by name; the table is seeded
 * because peers choose their ids.  It holds no handle and no epoch: whether a
 * slot is live is the roster's to say. */
#include "hub/names.h"

#include "base/cursor.h"

/* The start of the counter comes out of the seed through the keyed hash, so
 * an id seen by a stranger tells nothing about the table's seed. */
static uint32_t start(const uint64_t seed[2]) {
  static const char purpose[] = "made-up routing ids";
  return (uint32_t) mcq__siphash(seed, purpose, sizeof(purpose));
}

void mcq__names_init(mcq__names_t* n, mcq__mem_t* mem, const uint64_t seed[2]) {
  mcq__hash_init(&n->table, mem, seed);
  n->counter = start(seed);
}

void mcq__names_dispose(mcq__names_t* n) {
  mcq__hash_dispose(&n->table);
}

uint32_t mcq__names_find(const mcq__names_t* n, const void* id, size_t len) {
  const uint32_t* slot = mcq__hash_get(&n->table, id, len);
  return slot == NULL ? MCQ__NO_SLOT : *slot;
}

int mcq__names_put(mcq__names_t* n, const void* id, size_t len, uint32_t slot) {
  return mcq__hash_put(&n->table, id, len, slot);
}

void mcq__names_remove(mcq__names_t* n, const void* id, size_t len,
                       uint32_t slot) {
  if (mcq__names_find(n, id, len) == slot) mcq__hash_remove(&n->table, id, len);
}

/* The loop ends because there are fewer slots than counter values; it turns
 * more than once only after the counter has come round. */
void mcq__names_make(mcq__names_t* n, uint8_t out[MCQ__NAME_MADE]) {
  out[0] = 0;
  do {
    mcq__put_u32(out + 1, n->counter++);
  } while (mcq__names_find(n, out, MCQ__NAME_MADE) != MCQ__NO_SLOT);
}
