/* SPDX-License-Identifier: MIT */
/* The texts of the prefix table, each under a number that stays its own until
 * it is removed, and what is asked about bytes: which comes first, how far two
 * agree, the next eight as a number. */
#ifndef MCQ__HUB_PREFIX_TEXT_H
#define MCQ__HUB_PREFIX_TEXT_H

#include <string.h>

#include "base/mem.h"

/* In place of the number of a text: there is none. */
#define MCQ__NO_TEXT UINT32_MAX

/* Longer texts than this have a block of their own. */
#define MCQ__TEXT_NEAR 56

#define MCQ__TEXT_UNIT 16  /* bytes: what a text takes is so many of these */
#define MCQ__TEXT_UNITS 4  /* that the longest near text takes */
#define MCQ__TEXT_PAGE 256 /* units in a page */

/* What is known of a text lies beside its bytes: a match wants both, and in a
 * large table each place is a way to main memory.  Of near bytes only as many
 * units are there as the text needs. */
typedef struct mcq__text {
  uint32_t len;
  uint32_t holder; /* for the table to use; of a free number: the next one */
  union {
    uint8_t near[MCQ__TEXT_NEAR];
    uint8_t* far;
  } bytes;
} mcq__text_t;

typedef struct mcq__text_unit {
  uint64_t words[MCQ__TEXT_UNIT / 8];
} mcq__text_unit_t;

/* In pages, so that growing never copies what is there.  The number of a text
 * is that of its first unit; a text is whole in one page. */
typedef struct mcq__texts {
  mcq__mem_t* mem;
  mcq__text_unit_t** pages;
  size_t cap;
  uint32_t used;                  /* units ever taken */
  uint32_t count;                 /* texts */
  uint32_t free[MCQ__TEXT_UNITS]; /* of one, two ... units: the number to be
                                     taken next, or MCQ__NO_TEXT */
} mcq__texts_t;

void mcq__texts_init(mcq__texts_t* x, mcq__mem_t* mem);
void mcq__texts_dispose(mcq__texts_t* x);

/* Copies a text in.  0 or MCQ_ENOMEM, nothing changed. */
int mcq__texts_add(mcq__texts_t* x, mcq_frame_t text, uint32_t* id);

/* When the last one goes, all memory goes with it. */
void mcq__texts_remove(mcq__texts_t* x, uint32_t id);

static inline mcq__text_t* mcq__text_at(const mcq__texts_t* x, uint32_t id) {
  return (mcq__text_t*) &x->pages[id / MCQ__TEXT_PAGE][id % MCQ__TEXT_PAGE];
}

/* The bytes, good until the text is removed. */
static inline mcq_frame_t mcq__text_frame(const mcq__texts_t* x, uint32_t id) {
  const mcq__text_t* text = mcq__text_at(x, id);
  mcq_frame_t f = {text->bytes.near, text->len};
  if (text->len > MCQ__TEXT_NEAR) f.data = text->bytes.far;
  return f;
}

/* Whether `a` is a prefix of `b`, or the same. */
static inline bool mcq__text_starts(mcq_frame_t b, mcq_frame_t a) {
  if (a.len > b.len) return false;
  return a.len == 0 || memcmp(a.data, b.data, a.len) == 0;
}

/* Below, at or above zero as `a` comes before, is or comes after `b`. */
static inline int mcq__text_order(mcq_frame_t a, mcq_frame_t b) {
  size_t len = a.len < b.len ? a.len : b.len;
  int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
  if (order != 0) return order;
  return (a.len > b.len) - (a.len < b.len);
}

/* Eight bytes as a number that sorts as they do. */
static inline uint64_t mcq__text_eight(const uint8_t b[8]) {
  return (uint64_t) b[0] << 56 | (uint64_t) b[1] << 48 | (uint64_t) b[2] << 40 |
         (uint64_t) b[3] << 32 | (uint64_t) b[4] << 24 | (uint64_t) b[5] << 16 |
         (uint64_t) b[6] << 8 | (uint64_t) b[7];
}

/* How many leading bytes two keys share that are not the same. */
static inline size_t mcq__text_alike(uint64_t a, uint64_t b) {
  return (size_t) __builtin_clzll(a ^ b) / 8;
}

/* How many leading bytes two texts share; not more than `max` are looked at. */
static inline size_t mcq__text_shared(mcq_frame_t a, mcq_frame_t b,
                                      size_t max) {
  const uint8_t* x = (const uint8_t*) a.data;
  const uint8_t* y = (const uint8_t*) b.data;
  if (max > a.len) max = a.len;
  if (max > b.len) max = b.len;
  size_t i = 0;
  if (max < 8) {
    while (i < max && x[i] == y[i]) i++;
    return i;
  }
  /* The last eight may be some of those before them once more. */
  for (size_t last = max - 8;; i = i + 8 < last ? i + 8 : last) {
    uint64_t key = mcq__text_eight(&x[i]);
    uint64_t other = mcq__text_eight(&y[i]);
    if (key != other) return i + mcq__text_alike(key, other);
    if (i == last) return max;
  }
}

/* The eight from `at` on.  Zeros take the place of what is not there,
 * so texts with equal keys may still differ. */
static inline uint64_t mcq__text_key(mcq_frame_t text, size_t at) {
  const uint8_t* b = (const uint8_t*) text.data;
  if (at >= text.len) return 0;
  size_t left = text.len - at;
  if (left >= 8) return mcq__text_eight(&b[at]);
  /* The last eight, if there are so many, less those before `at`. */
  if (text.len >= 8)
    return mcq__text_eight(&b[text.len - 8]) << (64 - 8 * left);
  uint64_t key = 0;
  for (size_t i = 0; i < left; i++) key = key << 8 | b[at + i];
  return key << (64 - 8 * left);
}

#endif
