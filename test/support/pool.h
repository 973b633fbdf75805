/* SPDX-License-Identifier: MIT */
/* A memory and a pool on the test allocator, for tests of rooms that need no
 * more than that.  Closing asserts that nothing is left. */
#ifndef TEST_SUPPORT_POOL_H
#define TEST_SUPPORT_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slab.h"
#include "support/alloc.h"

typedef struct test_pool {
  test_alloc_t alloc;
  mcq__mem_t* mem;
  mcq__pool_t* pool;
} test_pool_t;

static inline void test_pool_open(test_pool_t* t) {
  test_alloc_init(&t->alloc);
  mcq_allocator_t allocator = test_alloc_allocator(&t->alloc);
  assert_int_equal(mcq__mem_open(&t->mem, &allocator), 0);
  assert_int_equal(mcq__pool_open(&t->pool, t->mem), 0);
}

static inline void test_pool_close(test_pool_t* t) {
  mcq__pool_close(t->pool);
  assert_int_equal(mcq__mem_live(t->mem), 0);
  mcq__mem_close(t->mem);
  assert_int_equal(atomic_load(&t->alloc.live), 0);
}

#endif
