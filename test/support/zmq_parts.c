/* SPDX-License-Identifier: MIT */
/* The messages that both processes know (see zmq_match.h): frames are windows
 * of one seeded noise, where they begin depends on the message's number, so
 * none is mistaken for its neighbour. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/random.h"
#include "support/zmq_match.h"

#define SHIFTS ((size_t) 64 << 10)
#define SHAPES 10

static char* noise;

void parts_init(void) {
  size_t size = LARGEST + 2 * SHIFTS;
  test_random_t random = {.state = 20130};
  noise = (char*) malloc(size);
  MUST(noise != NULL);
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    uint64_t word = test_random(&random);
    memcpy(noise + i, &word, sizeof word);
  }
}

static void add(parts_t* p, unsigned number, size_t len) {
  size_t at = (number * (size_t) 127 + p->count * 31) % SHIFTS;
  MUST(p->count < PARTS_MAX);
  p->frames[p->count++] = (mcq_frame_t){noise + at, len};
}

/* Around the borders of the header's two forms, of one read, of a slab. */
static const size_t sizes[] = {0,
                               1,
                               2,
                               127,
                               254,
                               255,
                               256,
                               257,
                               2047,
                               2048,
                               2049,
                               8191,
                               8192,
                               8193,
                               16384,
                               65535,
                               65536,
                               65537,
                               1 << 18,
                               1 << 20,
                               5 << 20,
                               (size_t) 1 << 24,
                               (size_t) 64 << 20};
#define SIZES (sizeof sizes / sizeof *sizes)
#define LONGEST_MIXED ((size_t) 64 << 10)

unsigned parts_sizes(void) {
  return 2 * (unsigned) SIZES;
}

/* In company: what is too large for it comes with less. */
static void of_size(unsigned number, parts_t* out) {
  size_t size = sizes[number / 2];
  if (number % 2 == 0) {
    add(out, number, size);
    return;
  }
  size_t first = size > LARGEST / 2 ? size - 300 : size;
  add(out, number, 0);
  add(out, number, first);
  add(out, number, 0);
  add(out, number, size == LARGEST ? 300 : size);
  add(out, number, 0);
}

/* Empty frames first, in the middle, last, and nothing else. */
static void mixed(unsigned number, parts_t* out) {
  size_t size = number % 500 == 499 ? LONGEST_MIXED : number % 300;
  static const char* const shapes[SHAPES] = {"x",  "xox", "ox", "xo",     "o",
                                             "oo", "ooo", "xx", "xxoxxo", "x"};
  const char* shape = shapes[number % SHAPES];
  for (size_t i = 0; shape[i] != '\0'; i++)
    add(out, number, shape[i] == 'o' ? 0 : size + i);
}

void parts_of(plan_t plan, unsigned number, parts_t* out) {
  out->count = 0;
  if (plan == PLAN_MIXED)
    mixed(number, out);
  else if (plan == PLAN_SIZES)
    of_size(number, out);
  else
    add(out, number, LARGEST + 1);
}
