/* SPDX-License-Identifier: MIT */
/* A seeded table from byte strings to numbers, on uthash.  Called by the hubs
 * to find a peer by its routing id.  It never keeps a pointer to the caller's
 * key, and never lets the caller choose collisions: the hash is SipHash-1-3
 * under a key the peers do not know. */
#include "base/hash.h"

#include <string.h>

/* uthash's macros have no argument for a context: every function that uses
 * one which allocates or frees has a local variable `mem`. */
#define uthash_malloc(size) mcq__mem_alloc(mem, (size))
#define uthash_free(block, size) mcq__mem_free(mem, (block))
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->refused = true)
#include <uthash.h>

typedef struct mcq__hash_entry {
  UT_hash_handle hh;
  uint32_t value;
  bool refused; /* uthash could not take it */
  uint8_t key[];
} entry_t;

/* ---- SipHash-1-3 --------------------------------------------------------- */

static uint64_t rotate(uint64_t x, int by) {
  return x << by | x >> (64 - by);
}

static void round_of(uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] = rotate(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] = rotate(v[2], 32);
}

/* Up to eight bytes, the first one lowest. */
static uint64_t little(const uint8_t* data, size_t len) {
  uint64_t word = 0;
  for (size_t i = 0; i < len; i++) word |= (uint64_t) data[i] << (8 * i);
  return word;
}

/* Invariant: reads [0, len) of `data` and nothing else. */
uint64_t mcq__siphash(const uint64_t key[2], const void* data, size_t len) {
  uint64_t v[4] = {
      key[0] ^ UINT64_C(0x736f6d6570736575),
      key[1] ^ UINT64_C(0x646f72616e646f6d),
      key[0] ^ UINT64_C(0x6c7967656e657261),
      key[1] ^ UINT64_C(0x7465646279746573),
  };
  const uint8_t* bytes = (const uint8_t*) data;
  size_t at = 0;
  for (; len - at >= 8; at += 8) {
    uint64_t word = little(bytes + at, 8);
    v[3] ^= word;
    round_of(v);
    v[0] ^= word;
  }
  uint64_t tail = (uint64_t) len << 56;
  if (at < len) tail |= little(bytes + at, len - at);
  v[3] ^= tail;
  round_of(v);
  v[0] ^= tail;
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) round_of(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the table ----------------------------------------------------------- */

static unsigned digest(const mcq__hash_t* h, const void* key, size_t len) {
  uint64_t sum = mcq__siphash(h->seed, key, len);
  return (unsigned) (sum ^ sum >> 32);
}

/* The entry of a key, or NULL.  uthash counts key bytes in an unsigned. */
static entry_t* find(const mcq__hash_t* h, const void* key, size_t len) {
  entry_t* entry = NULL;
  if (h->entries_ == NULL || len > UINT32_MAX) return NULL;
  if (len == 0) key = "";
  unsigned hashv = digest(h, key, len);
  HASH_FIND_BYHASHVALUE(hh, h->entries_, key, (unsigned) len, hashv, entry);
  return entry;
}

/* A new entry with a copy of the key, in no table; or NULL.  Invariant: the
 * block holds sizeof(entry_t) + len bytes, which does not wrap. */
static entry_t* make(mcq__mem_t* mem, const void* key, size_t len,
                     uint32_t value) {
  if (len > UINT32_MAX || len > SIZE_MAX - sizeof(entry_t)) return NULL;
  entry_t* entry = (entry_t*) mcq__mem_alloc(mem, sizeof *entry + len);
  if (entry == NULL) return NULL;
  memset(entry, 0, sizeof *entry);
  if (len != 0) memcpy(entry->key, key, len);
  entry->value = value;
  return entry;
}

void mcq__hash_init(mcq__hash_t* h, mcq__mem_t* mem, const uint64_t seed[2]) {
  h->mem = mem;
  h->seed[0] = seed[0];
  h->seed[1] = seed[1];
  h->entries_ = NULL;
}

/* Invariant: the table goes first, for its place in an entry is lost with the
 * entries; the entries stay linked in the order they came. */
void mcq__hash_dispose(mcq__hash_t* h) {
  mcq__mem_t* mem = h->mem;
  entry_t* entry = h->entries_;
  HASH_CLEAR(hh, h->entries_);
  while (entry != NULL) {
    entry_t* next = (entry_t*) entry->hh.next;
    mcq__mem_free(mem, entry);
    entry = next;
  }
}

uint32_t* mcq__hash_get(const mcq__hash_t* h, const void* key, size_t len) {
  entry_t* entry = find(h, key, len);
  return entry == NULL ? NULL : &entry->value;
}

int mcq__hash_put(mcq__hash_t* h, const void* key, size_t len, uint32_t value) {
  mcq__mem_t* mem = h->mem;
  entry_t* entry = find(h, key, len);
  if (entry != NULL) {
    entry->value = value;
    return 0;
  }
  entry = make(mem, key, len, value);
  if (entry == NULL) return MCQ_ENOMEM;
  unsigned hashv = digest(h, entry->key, len);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, h->entries_, entry->key, len, hashv, entry);
  if (!entry->refused) return 0;
  mcq__mem_free(mem, entry);
  return MCQ_ENOMEM;
}

void mcq__hash_remove(mcq__hash_t* h, const void* key, size_t len) {
  mcq__mem_t* mem = h->mem;
  entry_t* entry = find(h, key, len);
  if (entry == NULL) return;
  HASH_DELETE(hh, h->entries_, entry);
  mcq__mem_free(mem, entry);
}

size_t mcq__hash_count(const mcq__hash_t* h) {
  return HASH_COUNT(h->entries_);
}
