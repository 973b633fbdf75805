/* SPDX-License-Identifier: MIT */
/* What fuzz targets have in common: memory that runs out when the script says
 * so, and a check that says which line it was. */
#ifndef TEST_SUPPORT_SCARCE_H
#define TEST_SUPPORT_SCARCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "monocoque.h"

#define must(truth)                                                       \
  do {                                                                    \
    if (!(truth)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #truth); \
      abort();                                                            \
    }                                                                     \
  } while (0)

typedef struct scarce {
  int left;     /* allocations until memory runs out; -1: never */
  size_t calls; /* of the allocator */
} scarce_t;

static inline void* scarce_take(size_t size, void* arg) {
  scarce_t* m = (scarce_t*) arg;
  m->calls++;
  if (m->left == 0) return NULL;
  if (m->left > 0) m->left--;
  return malloc(size);
}

static inline void scarce_give(void* block, void* arg) {
  (void) arg;
  free(block);
}

static inline mcq_allocator_t scarce_allocator(scarce_t* m) {
  mcq_allocator_t allocator = {scarce_take, scarce_give, m};
  return allocator;
}

#endif
