/* SPDX-License-Identifier: MIT */
/* The counting, failing allocator of alloc.h.  Called through the library's
 * own allocator interface.  It never hides a leak: what is not freed stays
 * counted. */
#include "support/alloc.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* No scene of a test allocates more often than this. */
#define SWEEP_MAX 100000

static bool must_fail(const test_alloc_t* ta, size_t call) {
  if (ta->fail_at == 0 || call < ta->fail_at) return false;
  return call == ta->fail_at || ta->fail_after;
}

static void* take(size_t size, void* arg) {
  test_alloc_t* ta = (test_alloc_t*) arg;
  size_t call = atomic_fetch_add(&ta->calls, 1) + 1;
  if (must_fail(ta, call)) {
    atomic_fetch_add(&ta->failed, 1);
    return NULL;
  }
  /* What malloc(0) gives differs from system to system: do not ask. */
  void* block = size == 0 ? NULL : malloc(size);
  if (block == NULL) return NULL;
  atomic_fetch_add(&ta->live, 1);
  atomic_fetch_add(&ta->bytes, malloc_usable_size(block));
  return block;
}

static void give(void* block, void* arg) {
  test_alloc_t* ta = (test_alloc_t*) arg;
  atomic_fetch_sub(&ta->live, 1);
  atomic_fetch_sub(&ta->bytes, malloc_usable_size(block));
  free(block);
}

void test_alloc_init(test_alloc_t* ta) {
  ta->fail_at = 0;
  ta->fail_after = false;
  atomic_init(&ta->calls, 0);
  atomic_init(&ta->failed, 0);
  atomic_init(&ta->live, 0);
  atomic_init(&ta->bytes, 0);
}

mcq_allocator_t test_alloc_allocator(test_alloc_t* ta) {
  mcq_allocator_t a = {take, give, ta};
  return a;
}

void test_alloc_fail_next(test_alloc_t* ta, bool on) {
  ta->fail_at = atomic_load(&ta->calls) + 1;
  ta->fail_after = on;
}

static size_t sweep(int (*scene)(test_alloc_t* ta, void* arg), void* arg,
                    bool fail_after) {
  for (size_t n = 1; n < SWEEP_MAX; n++) {
    test_alloc_t ta;
    test_alloc_init(&ta);
    ta.fail_at = n;
    ta.fail_after = fail_after;
    int err = scene(&ta, arg);
    if (atomic_load(&ta.live) != 0)
      fail_msg("failing allocation %zu leaked %zu blocks", n,
               atomic_load(&ta.live));
    if (atomic_load(&ta.failed) == 0) {
      assert_int_equal(err, 0);
      return n - 1;
    }
  }
  fail_msg("the scene never got through");
  return 0;
}

size_t test_alloc_sweep(int (*scene)(test_alloc_t* ta, void* arg), void* arg) {
  size_t calls = sweep(scene, arg, false);
  assert_true(sweep(scene, arg, true) == calls);
  return calls;
}

void test_alloc_sweep_real(int (*scene)(test_alloc_t* ta, void* arg),
                           void* arg) {
  sweep(scene, arg, false);
  sweep(scene, arg, true);
}
