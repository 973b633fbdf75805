/* SPDX-License-Identifier: MIT */
/* Bounded big-endian reader over a slice.  Invariant of every function: it
 * never reads past the end; a read that does not fit sets `bad`, returns
 * zeros, and all later reads do too, so a parser may check once at the end. */
#ifndef MCQ__BASE_CURSOR_H
#define MCQ__BASE_CURSOR_H

#include "base/slab.h"

typedef struct mcq__cursor {
  mcq__slice_t slice;
  size_t at;
  bool bad;
} mcq__cursor_t;

static inline mcq__cursor_t mcq__cursor(mcq__slice_t slice) {
  mcq__cursor_t c = {slice, 0, false};
  return c;
}

static inline size_t mcq__cursor_left(const mcq__cursor_t* c) {
  return c->bad ? 0 : c->slice.len - c->at;
}

/* The next `n` bytes, borrowed. */
static inline mcq__slice_t mcq__cursor_take(mcq__cursor_t* c, size_t n) {
  if (c->bad || n > c->slice.len - c->at) {
    c->bad = true;
    return mcq__slice_static(NULL, 0);
  }
  mcq__slice_t s = mcq__slice_sub(c->slice, c->at, n);
  c->at += n;
  return s;
}

static inline uint64_t mcq__cursor_uint(mcq__cursor_t* c, size_t bytes) {
  mcq__slice_t s = mcq__cursor_take(c, bytes);
  uint64_t value = 0;
  for (size_t i = 0; i < s.len; i++) value = value << 8 | s.data[i];
  return value;
}

static inline uint8_t mcq__cursor_u8(mcq__cursor_t* c) {
  return (uint8_t) mcq__cursor_uint(c, 1);
}

static inline uint16_t mcq__cursor_u16(mcq__cursor_t* c) {
  return (uint16_t) mcq__cursor_uint(c, 2);
}

static inline uint32_t mcq__cursor_u32(mcq__cursor_t* c) {
  return (uint32_t) mcq__cursor_uint(c, 4);
}

static inline uint64_t mcq__cursor_u64(mcq__cursor_t* c) {
  return mcq__cursor_uint(c, 8);
}

/* Big-endian writers into a caller's array of at least that many bytes. */
static inline void mcq__put_u16(uint8_t out[2], uint16_t v) {
  out[0] = (uint8_t) (v >> 8);
  out[1] = (uint8_t) v;
}

static inline void mcq__put_u32(uint8_t out[4], uint32_t v) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t) (v >> (24 - 8 * i));
}

static inline void mcq__put_u64(uint8_t out[8], uint64_t v) {
  for (int i = 0; i < 8; i++) out[i] = (uint8_t) (v >> (56 - 8 * i));
}

#endif
