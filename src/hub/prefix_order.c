/* SPDX-License-Identifier: MIT */
/* The sorted blocks of the prefix table.  The table finds, adds, removes and
 * matches here.  A change moves one block at most; the links of the blocks
 * behind are looked at only while they begin with the text in question.  It
 * knows nothing of those who hold a prefix. */
#include "hub/prefix_order.h"

#include "base/check.h"

#define BLOCK MCQ__ORDER_BLOCK
#define NONE MCQ__ORDER_NONE

/* Keys at this distance are looked at first: such looks need not wait for each
 * other, as those of a search do, and in a large table each is a way to main
 * memory. */
#define LEAP (BLOCK / 8)

typedef mcq__order_block_t block_t;

static mcq_frame_t text_at(const mcq__order_t* o, const block_t* b,
                           uint32_t at) {
  return mcq__text_frame(&o->texts, b->ids[at]);
}

static mcq_frame_t first_text(const mcq__order_t* o, size_t ref) {
  return mcq__text_frame(&o->texts, o->refs[ref].first);
}

static size_t length_at(const mcq__order_t* o, const block_t* b, uint32_t at) {
  return mcq__text_at(&o->texts, b->ids[at])->len;
}

/* ---- searching ----------------------------------------------------------- */

/* A text that is searched for, and what is known of it on the way. */
typedef struct quest {
  mcq_frame_t text;
  uint64_t keys[2]; /* as those of a ref */
  uint64_t key;     /* as those of the block it belongs to */
  bool astray;      /* it has not what all first texts share; no keys */
  bool belongs;     /* it begins as all texts of its block do; else no key */
} quest_t;

/* How many blocks begin with a text not above this one. */
static size_t count_refs(const mcq__order_t* o, quest_t* q) {
  mcq_frame_t text = q->text;
  if (o->blocks == 0) return 0;
  if (o->skip > 0) {
    mcq_frame_t first = first_text(o, 0);
    q->astray = mcq__text_shared(text, first, o->skip) < o->skip;
    if (q->astray) return mcq__text_order(text, first) < 0 ? 0 : o->blocks;
  }
  uint64_t high = q->keys[0] = mcq__text_key(text, o->skip);
  uint64_t low = q->keys[1] = mcq__text_key(text, o->skip + 8);
  size_t n = 0;
  for (size_t left = o->blocks; left > 0;) {
    size_t half = left / 2;
    const uint64_t* keys = o->refs[n + half].keys;
    bool up = keys[0] != high ? keys[0] < high : keys[1] < low;
    if (mcq__unlikely(keys[0] == high && keys[1] == low))
      up = mcq__text_order(first_text(o, n + half), text) <= 0;
    if (up) n += half + 1;
    left = up ? left - half - 1 : half;
  }
  return n;
}

/* Whether the first `len` bytes of two texts' keys are the same. */
static bool same_keys(const uint64_t a[2], const uint64_t b[2], size_t len) {
  if (len > 8) return a[0] == b[0] && (a[1] ^ b[1]) >> (8 * (16 - len)) == 0;
  return len == 0 || (a[0] ^ b[0]) >> (8 * (8 - len)) == 0;
}

/* Whether it begins as all texts of a block do.  The keys, which are at hand,
 * mostly tell; the first text is far away in memory. */
static bool belongs(const mcq__order_t* o, const mcq__order_ref_t* ref,
                    const quest_t* q) {
  const block_t* b = ref->block;
  if (q->text.len < b->skip) return false;
  size_t beyond = b->skip > o->skip ? b->skip - o->skip : 0;
  if (!q->astray && beyond <= 16) return same_keys(q->keys, ref->keys, beyond);
  mcq_frame_t first = mcq__text_frame(&o->texts, ref->first);
  return mcq__text_shared(q->text, first, b->skip) == b->skip;
}

/* How many texts of a block are not above this one, which is not below the
 * first of them. */
static uint32_t count_texts(const mcq__order_t* o, const mcq__order_ref_t* ref,
                            quest_t* q) {
  const block_t* b = ref->block;
  mcq_frame_t text = q->text;
  q->belongs = belongs(o, ref, q);
  if (!q->belongs) return b->count;
  uint64_t key = q->key = mcq__text_key(text, b->skip);
  uint32_t n = 0;
  uint32_t end = LEAP;
  for (uint32_t i = LEAP; i < b->count; i += LEAP) {
    n += b->keys[i] < key ? LEAP : 0;
    end += b->keys[i] <= key ? LEAP : 0;
  }
  if (end > b->count) end = b->count;
  mcq__prefetch(&b->ids[n]);
  mcq__prefetch(&b->ids[n + LEAP / 2]);
  for (uint32_t left = end - n; left > 0;) {
    uint32_t half = left / 2;
    bool up = b->keys[n + half] < key;
    if (mcq__unlikely(b->keys[n + half] == key))
      up = mcq__text_order(text_at(o, b, n + half), text) <= 0;
    if (up) n += half + 1;
    left = up ? left - half - 1 : half;
  }
  return n;
}

/* How many leading bytes it shares with a text of its block, or more than that
 * text has if it begins with it.  Where the keys differ they tell. */
static size_t shared_at(const mcq__order_t* o, const block_t* b, uint32_t at,
                        const quest_t* q) {
  if (!q->belongs || q->key == b->keys[at])
    return mcq__text_shared(q->text, text_at(o, b, at), SIZE_MAX);
  size_t shared = b->skip + mcq__text_alike(q->key, b->keys[at]);
  return shared < q->text.len ? shared : q->text.len;
}

/* ---- keys ---------------------------------------------------------------- */

/* Makes the keys of a block anew, after what its texts have in common. */
static void rekey(mcq__order_t* o, block_t* b) {
  mcq_frame_t first = text_at(o, b, 0);
  b->skip = mcq__text_shared(first, text_at(o, b, b->count - 1), SIZE_MAX);
  o->moved += b->count;
  for (uint32_t i = 0; i < b->count; i++)
    b->keys[i] = mcq__text_key(text_at(o, b, i), b->skip);
}

static void rekey_ref(mcq__order_t* o, size_t ref) {
  mcq_frame_t first = first_text(o, ref);
  o->refs[ref].keys[0] = mcq__text_key(first, o->skip);
  o->refs[ref].keys[1] = mcq__text_key(first, o->skip + 8);
}

static void rekey_refs(mcq__order_t* o, size_t skip) {
  o->skip = skip;
  o->moved += o->blocks;
  for (size_t i = 0; i < o->blocks; i++) rekey_ref(o, i);
}

/* Block `ref` begins with another text now.  What all have in common is
 * looked for again only when there are twice as many; where there is but one
 * it would be the whole text, which most topics have not. */
static void new_first(mcq__order_t* o, size_t ref) {
  o->refs[ref].first = o->refs[ref].block->ids[0];
  size_t ends = 0;
  if (o->blocks > 1)
    ends = mcq__text_shared(first_text(o, 0), first_text(o, o->blocks - 1),
                            SIZE_MAX);
  bool doubled = (o->blocks & (o->blocks - 1)) == 0;
  if (ends < o->skip || (doubled && ends > o->skip)) {
    rekey_refs(o, ends);
  } else {
    rekey_ref(o, ref);
  }
}

/* ---- links --------------------------------------------------------------- */

/* The first place on the chain from `at` on whose text is not longer than
 * `shared`. */
static uint8_t climb(const mcq__order_t* o, const block_t* b, uint32_t at,
                     size_t shared) {
  while (at != NONE && length_at(o, b, at) > shared) at = b->ups[at];
  return (uint8_t) at;
}

/* The first block on the way up from `b` that has a prefix of this text,
 * which stands behind it. */
static block_t* search_up(const mcq__order_t* o, block_t* b, mcq_frame_t text) {
  for (; b != NULL; b = b->up) {
    uint32_t last = b->count - 1;
    size_t shared = mcq__text_shared(text, text_at(o, b, last), SIZE_MAX);
    if (climb(o, b, last, shared) != NONE) break;
  }
  return b;
}

/* The block with the longest prefix of the first text of block `ref`, found
 * through the blocks before it. */
static block_t* find_up(const mcq__order_t* o, size_t ref) {
  if (ref == 0) return NULL;
  return search_up(o, o->refs[ref - 1].block, first_text(o, ref));
}

/* Finds `up` anew for the blocks from `ref` on that begin with `text`. */
static void repair(mcq__order_t* o, size_t ref, mcq_frame_t text) {
  for (; ref < o->blocks; ref++) {
    if (!mcq__text_starts(first_text(o, ref), text)) return;
    o->refs[ref].block->up = find_up(o, ref);
    o->moved++;
  }
}

/* The end of the blocks from `ref` on that begin with `text`. */
static size_t range_end(const mcq__order_t* o, size_t ref, mcq_frame_t text) {
  if (ref >= o->blocks || !mcq__text_starts(first_text(o, ref), text))
    return ref;
  size_t end = o->blocks;
  while (end - ref > 1) {
    size_t middle = ref + (end - ref) / 2;
    if (mcq__text_starts(first_text(o, middle), text)) {
      ref = middle;
    } else {
      end = middle;
    }
  }
  return end;
}

/* Gives the blocks [ref, end) that went on at `from` another way up. */
static void relink(mcq__order_t* o, size_t ref, size_t end, const block_t* from,
                   block_t* to) {
  for (; ref < end; ref++) {
    block_t* b = o->refs[ref].block;
    if (b->up == from) b->up = to;
    o->moved++;
  }
}

/* The shortest text on the chain of the last one: whoever links to this block
 * begins with it. */
static mcq_frame_t root_text(const mcq__order_t* o, const block_t* b) {
  uint32_t at = b->count - 1;
  while (b->ups[at] != NONE) at = b->ups[at];
  return text_at(o, b, at);
}

/* ---- blocks -------------------------------------------------------------- */

static int open_ref(mcq__order_t* o, size_t ref) {
  void* refs = o->refs;
  mcq__mem_t* mem = o->texts.mem;
  int rc = mcq__mem_grow(mem, &refs, &o->cap, o->blocks + 1, sizeof *o->refs);
  if (rc != 0) return rc;
  o->refs = (mcq__order_ref_t*) refs;
  block_t* block = (block_t*) mcq__mem_alloc(mem, sizeof *block);
  if (block == NULL) return MCQ_ENOMEM;
  block->up = NULL;
  block->skip = 0;
  block->count = 0;
  for (size_t i = o->blocks; i > ref; i--) o->refs[i] = o->refs[i - 1];
  o->moved += o->blocks++ - ref;
  o->refs[ref].block = block;
  return 0;
}

static void close_ref(mcq__order_t* o, size_t ref) {
  mcq__mem_free(o->texts.mem, o->refs[ref].block);
  o->moved += --o->blocks - ref;
  for (size_t i = ref; i < o->blocks; i++) o->refs[i] = o->refs[i + 1];
}

/* Makes two of a full block.  Where texts only rise, the left one stays
 * nearly full. */
static int split(mcq__order_t* o, mcq__order_place_t* place) {
  size_t ref = place->ref;
  int rc = open_ref(o, ref + 1);
  if (rc != 0) return rc;
  block_t* left = o->refs[ref].block;
  block_t* right = o->refs[ref + 1].block;
  mcq_frame_t root = root_text(o, left);
  bool rising = ref + 2 == o->blocks && place->at == left->count;
  uint32_t cut = rising ? BLOCK - BLOCK / 16 : BLOCK / 2;
  right->count = left->count - cut;
  left->count = cut;
  for (uint32_t i = 0; i < right->count; i++) {
    uint32_t up = left->ups[cut + i];
    right->ids[i] = left->ids[cut + i];
    right->ups[i] = (uint8_t) (up == NONE || up < cut ? NONE : up - cut);
  }
  rekey(o, left);
  rekey(o, right);
  new_first(o, ref + 1);
  right->up = find_up(o, ref + 1);
  repair(o, ref + 2, root);
  if (place->at > cut) {
    place->at -= cut;
    place->ref++;
  }
  return 0;
}

/* Joins block `ref` and the next one if they fit into one, with some room to
 * spare.  Texts of the right one that had no prefix there may have one in the
 * left; as they rise they share ever less with its last text. */
static bool join(mcq__order_t* o, size_t ref) {
  if (ref + 1 >= o->blocks) return false;
  block_t* left = o->refs[ref].block;
  const block_t* right = o->refs[ref + 1].block;
  uint32_t base = left->count;
  if (base + right->count > BLOCK * 3 / 4) return false;
  mcq_frame_t last = text_at(o, left, base - 1);
  uint8_t up = (uint8_t) (base - 1);
  for (uint32_t i = 0; i < right->count; i++) {
    left->ids[base + i] = right->ids[i];
    if (right->ups[i] != NONE) {
      left->ups[base + i] = (uint8_t) (right->ups[i] + base);
      continue;
    }
    mcq_frame_t text = text_at(o, right, i);
    up = climb(o, left, up, mcq__text_shared(text, last, SIZE_MAX));
    left->ups[base + i] = up;
  }
  left->count += right->count;
  close_ref(o, ref + 1);
  rekey(o, left);
  repair(o, ref + 1, root_text(o, left));
  return true;
}

/* Joins a sparse block with a neighbour that has room. */
static void settle(mcq__order_t* o, size_t ref) {
  if (o->refs[ref].block->count > BLOCK / 4) return;
  if (!join(o, ref) && ref > 0) join(o, ref - 1);
}

/* ---- one text ------------------------------------------------------------ */

/* Opens a gap in a block that has room. */
static void open_gap(mcq__order_t* o, block_t* b, uint32_t at) {
  for (uint32_t i = b->count; i > at; i--) {
    uint8_t up = b->ups[i - 1];
    b->keys[i] = b->keys[i - 1];
    b->ids[i] = b->ids[i - 1];
    b->ups[i] = (uint8_t) (up != NONE && up >= at ? up + 1 : up);
  }
  o->moved += b->count++ - at;
}

static void close_gap(mcq__order_t* o, block_t* b, uint32_t at) {
  uint8_t heir = b->ups[at];
  o->moved += --b->count - at;
  for (uint32_t i = at; i < b->count; i++) {
    uint8_t up = b->ups[i + 1];
    b->keys[i] = b->keys[i + 1];
    b->ids[i] = b->ids[i + 1];
    if (up == at) {
      up = heir;
    } else if (up != NONE && up > at) {
      up--;
    }
    b->ups[i] = up;
  }
}

/* Puts a text into a block that has room, as the longest prefix of those it
 * is one of now. */
static void insert(mcq__order_t* o, mcq__order_place_t place, mcq_frame_t text,
                   uint32_t id) {
  block_t* b = o->refs[place.ref].block;
  uint32_t at = place.at;
  uint8_t up = NONE;
  if (at > 0) {
    size_t shared = mcq__text_shared(text, text_at(o, b, at - 1), SIZE_MAX);
    up = climb(o, b, at - 1, shared);
  }
  open_gap(o, b, at);
  b->ids[at] = id;
  b->ups[at] = up;
  b->keys[at] = mcq__text_key(text, b->skip);
  uint32_t other = at == 0 ? b->count - 1 : 0;
  size_t shared = mcq__text_shared(text, text_at(o, b, other), b->skip);
  bool doubled = (b->count & (b->count - 1)) == 0;
  if (shared < b->skip || doubled) rekey(o, b);
  if (at == 0) new_first(o, place.ref);
  uint32_t i = at + 1;
  for (; i < b->count && mcq__text_starts(text_at(o, b, i), text); i++)
    if (b->ups[i] == up) b->ups[i] = (uint8_t) at;
  o->moved += i - at;
  /* Blocks behind that begin with it went on where it does now, unless they
   * found a longer prefix on the way. */
  if (i < b->count || up != NONE) return;
  size_t end = range_end(o, place.ref + 1, text);
  if (end > place.ref + 1)
    relink(o, place.ref + 1, end, search_up(o, b->up, text), b);
}

void mcq__order_init(mcq__order_t* o, mcq__mem_t* mem) {
  mcq__texts_init(&o->texts, mem);
  o->refs = NULL;
  o->cap = 0;
  o->blocks = 0;
  o->skip = 0;
  o->moved = 0;
}

void mcq__order_dispose(mcq__order_t* o) {
  mcq__mem_t* mem = o->texts.mem;
  for (size_t i = 0; i < o->blocks; i++) mcq__mem_free(mem, o->refs[i].block);
  if (o->refs != NULL) mcq__mem_free(mem, o->refs);
  mcq__texts_dispose(&o->texts);
  mcq__order_init(o, mem);
}

mcq__order_place_t mcq__order_find(const mcq__order_t* o, mcq_frame_t text) {
  mcq__order_place_t place = {0, 0, MCQ__NO_TEXT};
  quest_t q = {.text = text};
  size_t n = count_refs(o, &q);
  if (n == 0) return place;
  const block_t* b = o->refs[n - 1].block;
  place.ref = n - 1;
  place.at = count_texts(o, &o->refs[n - 1], &q);
  mcq_frame_t below = text_at(o, b, place.at - 1);
  if (below.len == text.len && mcq__text_starts(text, below))
    place.id = b->ids[--place.at];
  return place;
}

/* They would stand right behind it. */
bool mcq__order_extends(const mcq__order_t* o, mcq_frame_t text) {
  if (o->blocks == 0) return false;
  mcq__order_place_t next = mcq__order_find(o, text);
  if (next.id != MCQ__NO_TEXT) next.at++;
  if (next.at == o->refs[next.ref].block->count) {
    next.ref++;
    next.at = 0;
  }
  if (next.ref == o->blocks) return false;
  return mcq__text_starts(text_at(o, o->refs[next.ref].block, next.at), text);
}

int mcq__order_add(mcq__order_t* o, mcq__order_place_t place, mcq_frame_t text,
                   uint32_t* id) {
  mcq__check(place.id == MCQ__NO_TEXT);
  int rc = mcq__texts_add(&o->texts, text, id);
  if (rc != 0) return rc;
  if (o->blocks == 0) {
    rc = open_ref(o, 0);
  } else if (o->refs[place.ref].block->count == BLOCK) {
    rc = split(o, &place);
  }
  if (rc == 0) {
    insert(o, place, mcq__text_frame(&o->texts, *id), *id);
  } else {
    mcq__texts_remove(&o->texts, *id);
  }
  return rc;
}

/* The other way round, for a text that has gone from block `ref` and had no
 * prefix there: those that went on here because of it do so where it did, but
 * not if there is a longer one. */
static void pass_on(mcq__order_t* o, size_t ref, mcq_frame_t text) {
  block_t* b = o->refs[ref].block;
  size_t end = range_end(o, ref + 1, text);
  if (end == ref + 1) return;
  size_t begin = ref + 1;
  if (b->count > 0) {
    mcq_frame_t root = root_text(o, b);
    if (mcq__text_starts(root, text)) begin = range_end(o, begin, root);
  }
  relink(o, begin, end, b, search_up(o, b->up, text));
}

void mcq__order_remove(mcq__order_t* o, mcq__order_place_t place) {
  block_t* b = o->refs[place.ref].block;
  uint32_t id = b->ids[place.at];
  bool alone = b->ups[place.at] == NONE;
  mcq_frame_t text = mcq__text_frame(&o->texts, id);
  close_gap(o, b, place.at);
  if (alone) pass_on(o, place.ref, text);
  if (b->count == 0) {
    close_ref(o, place.ref);
  } else {
    if (place.at == 0) {
      new_first(o, place.ref);
      b->up = find_up(o, place.ref);
    }
    settle(o, place.ref);
  }
  mcq__texts_remove(&o->texts, id);
}

/* Most have one prefix and no more: then there is nothing to search, and the
 * chain itself finds out whether the topic begins with it. */
mcq__order_chain_t mcq__order_chain(const mcq__order_t* o, mcq_frame_t topic) {
  if (o->texts.count == 1) {
    const block_t* b = o->refs[0].block;
    size_t shared = mcq__text_shared(topic, text_at(o, b, 0), SIZE_MAX);
    return (mcq__order_chain_t){o, b, topic, shared, 0};
  }
  quest_t q = {.text = topic};
  size_t n = count_refs(o, &q);
  if (n == 0) return (mcq__order_chain_t){o, NULL, topic, 0, NONE};
  const block_t* b = o->refs[n - 1].block;
  uint32_t at = count_texts(o, &o->refs[n - 1], &q) - 1;
  return (mcq__order_chain_t){o, b, topic, shared_at(o, b, at, &q), at};
}

/* A prefix of the topic in an earlier block begins all of the chain so far,
 * so it is not longer than what was shared there. */
void mcq__order_climb(mcq__order_chain_t* c) {
  c->block = c->block->up;
  if (c->block == NULL) return;
  c->at = c->block->count - 1;
  c->shared =
      mcq__text_shared(c->topic, text_at(c->order, c->block, c->at), c->shared);
}
