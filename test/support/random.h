/* SPDX-License-Identifier: MIT */
/* Numbers that look random and are the same in every run. */
#ifndef TEST_SUPPORT_RANDOM_H
#define TEST_SUPPORT_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct test_random {
  uint64_t state;
} test_random_t;

static inline uint64_t test_random(test_random_t* r) {
  r->state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = r->state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* Below `n`; 0 when n is 0. */
static inline size_t test_random_below(test_random_t* r, size_t n) {
  return n == 0 ? 0 : (size_t) (test_random(r) % n);
}

/* Where the randomness of a test starts: `usual`, or so much further on as
 * MCQ_TEST_SEED says. */
static inline uint64_t test_seed(uint64_t usual) {
  const char* text = getenv("MCQ_TEST_SEED");
  return text == NULL ? usual : usual + strtoull(text, NULL, 10);
}

#endif
