/* SPDX-License-Identifier: MIT */
/* The sorted set of pairs behind the prefix table: who holds a prefix, and
 * which prefixes somebody holds.  A directory of sorted blocks: a full block is
 * split, a sparse one joins its neighbour.  It does not know what the numbers
 * stand for. */
#include "hub/pairs.h"

#include "base/check.h"

typedef struct place {
  size_t ref;
  uint32_t at; /* values of the block below the one looked for */
  bool found;
} place_t;

/* Where `value` is or should be.  Before the first block: in it. */
static place_t locate(const mcq__pairs_t* p, uint64_t value) {
  place_t place = {0, 0, false};
  size_t low = 0;
  for (size_t left = p->blocks; left > 0;) {
    size_t half = left / 2;
    if (p->refs[low + half].first <= value) {
      low += half + 1;
      left -= half + 1;
    } else {
      left = half;
    }
  }
  if (low == 0) return place;
  place.ref = low - 1;
  const mcq__pairs_block_t* block = p->refs[place.ref].block;
  for (uint32_t left = block->count; left > 0;) {
    uint32_t half = left / 2;
    if (block->values[place.at + half] < value) {
      place.at += half + 1;
      left -= half + 1;
    } else {
      left = half;
    }
  }
  place.found = place.at < block->count && block->values[place.at] == value;
  return place;
}

static int open_ref(mcq__pairs_t* p, size_t ref) {
  void* refs = p->refs;
  int rc = mcq__mem_grow(p->mem, &refs, &p->cap, p->blocks + 1,
                         sizeof(mcq__pairs_ref_t));
  if (rc != 0) return rc;
  p->refs = (mcq__pairs_ref_t*) refs;
  mcq__pairs_block_t* block =
      (mcq__pairs_block_t*) mcq__mem_alloc(p->mem, sizeof *block);
  if (block == NULL) return MCQ_ENOMEM;
  block->count = 0;
  for (size_t i = p->blocks; i > ref; i--) p->refs[i] = p->refs[i - 1];
  p->moved += p->blocks++ - ref;
  p->refs[ref].first = 0;
  p->refs[ref].block = block;
  return 0;
}

static void close_ref(mcq__pairs_t* p, size_t ref) {
  mcq__mem_free(p->mem, p->refs[ref].block);
  p->moved += --p->blocks - ref;
  for (size_t i = ref; i < p->blocks; i++) p->refs[i] = p->refs[i + 1];
}

/* Appends all values of `from` on from `at` to `to`. */
static void pour(mcq__pairs_t* p, mcq__pairs_block_t* to,
                 mcq__pairs_block_t* from, uint32_t at) {
  p->moved += from->count - at;
  for (uint32_t i = at; i < from->count; i++)
    to->values[to->count++] = from->values[i];
  from->count = at;
}

/* Makes two of a full block.  Where numbers only rise, the left one stays
 * nearly full. */
static int split(mcq__pairs_t* p, place_t* place) {
  int rc = open_ref(p, place->ref + 1);
  if (rc != 0) return rc;
  mcq__pairs_block_t* left = p->refs[place->ref].block;
  mcq__pairs_block_t* right = p->refs[place->ref + 1].block;
  bool rising = place->ref + 2 == p->blocks && place->at == left->count;
  pour(p, right, left,
       rising ? left->count - left->count / 16 : left->count / 2);
  p->refs[place->ref + 1].first = right->values[0];
  if (place->at <= left->count) return 0;
  place->at -= left->count;
  place->ref++;
  return 0;
}

/* Joins block `ref` and the next one if they fit into one, with some room to
 * spare. */
static bool join(mcq__pairs_t* p, size_t ref) {
  if (ref + 1 >= p->blocks) return false;
  mcq__pairs_block_t* left = p->refs[ref].block;
  mcq__pairs_block_t* right = p->refs[ref + 1].block;
  if (left->count + right->count > MCQ__PAIRS_BLOCK * 3 / 4) return false;
  pour(p, left, right, 0);
  close_ref(p, ref + 1);
  return true;
}

/* Joins a sparse block with a neighbour that has room. */
static void settle(mcq__pairs_t* p, size_t ref) {
  if (p->refs[ref].block->count > MCQ__PAIRS_BLOCK / 4) return;
  if (!join(p, ref) && ref > 0) join(p, ref - 1);
}

void mcq__pairs_init(mcq__pairs_t* p, mcq__mem_t* mem) {
  p->mem = mem;
  p->refs = NULL;
  p->cap = 0;
  p->blocks = 0;
  p->count = 0;
  p->moved = 0;
}

void mcq__pairs_dispose(mcq__pairs_t* p) {
  for (size_t i = 0; i < p->blocks; i++)
    mcq__mem_free(p->mem, p->refs[i].block);
  if (p->refs != NULL) mcq__mem_free(p->mem, p->refs);
  mcq__pairs_init(p, p->mem);
}

int mcq__pairs_add(mcq__pairs_t* p, uint32_t first, uint32_t second) {
  uint64_t value = (uint64_t) first << 32 | second;
  int rc = p->blocks == 0 ? open_ref(p, 0) : 0;
  if (rc != 0) return rc;
  place_t place = locate(p, value);
  if (place.found) return MCQ_EEXIST;
  if (p->refs[place.ref].block->count == MCQ__PAIRS_BLOCK) {
    rc = split(p, &place);
    if (rc != 0) return rc;
  }
  mcq__pairs_block_t* block = p->refs[place.ref].block;
  for (uint32_t i = block->count; i > place.at; i--)
    block->values[i] = block->values[i - 1];
  p->moved += block->count++ - place.at;
  block->values[place.at] = value;
  p->refs[place.ref].first = block->values[0];
  p->count++;
  return 0;
}

bool mcq__pairs_remove(mcq__pairs_t* p, uint32_t first, uint32_t second) {
  place_t place = locate(p, (uint64_t) first << 32 | second);
  if (!place.found) return false;
  mcq__pairs_block_t* block = p->refs[place.ref].block;
  p->moved += --block->count - place.at;
  for (uint32_t i = place.at; i < block->count; i++)
    block->values[i] = block->values[i + 1];
  p->count--;
  if (block->count == 0) {
    close_ref(p, place.ref);
    return true;
  }
  p->refs[place.ref].first = block->values[0];
  settle(p, place.ref);
  return true;
}

bool mcq__pairs_has(const mcq__pairs_t* p, uint32_t first, uint32_t second) {
  return locate(p, (uint64_t) first << 32 | second).found;
}

mcq__pairs_walk_t mcq__pairs_walk(const mcq__pairs_t* p, uint32_t first) {
  place_t place = locate(p, (uint64_t) first << 32);
  mcq__pairs_walk_t walk = {p, place.ref, place.at, first};
  if (place.ref < p->blocks && place.at == p->refs[place.ref].block->count) {
    walk.at = 0;
    walk.ref++;
  }
  return walk;
}
