/* SPDX-License-Identifier: MIT */
/* An allocator for tests: counts what is alive and fails on demand.  Used by
 * every test that hands an allocator to the library.  It never fails unless
 * told to. */
#ifndef TEST_SUPPORT_ALLOC_H
#define TEST_SUPPORT_ALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "monocoque/types.h"

typedef struct test_alloc {
  size_t fail_at;       /* the call that fails, counted from 1; 0: none */
  bool fail_after;      /* and every call after it */
  atomic_size_t calls;  /* of alloc, failed ones too */
  atomic_size_t failed; /* calls that were made to fail */
  atomic_size_t live;   /* blocks */
  atomic_size_t bytes;  /* in live blocks, as the system rounds them up */
} test_alloc_t;

void test_alloc_init(test_alloc_t* ta);

/* Good as long as `*ta` is; callable from any thread. */
mcq_allocator_t test_alloc_allocator(test_alloc_t* ta);

/* The next call fails (and with `on` all later ones, too). */
void test_alloc_fail_next(test_alloc_t* ta, bool on);

/* Runs `scene` with the first allocation failing, then with the second, and
 * so on until it gets through without a failure; then all over with every
 * allocation from the n-th on failing.  `scene` starts from nothing, takes
 * all its memory from `ta`, and cleans up; it returns 0 or an error.
 * Asserts: nothing alive after each run, and 0 from the undisturbed one.
 * Returns the number of allocations of the undisturbed run. */
size_t test_alloc_sweep(int (*scene)(test_alloc_t* ta, void* arg), void* arg);

/* The same for a scene that the kernel has a part in, so that no two runs need
 * make the same number of allocations. */
void test_alloc_sweep_real(int (*scene)(test_alloc_t* ta, void* arg),
                           void* arg);

#endif
