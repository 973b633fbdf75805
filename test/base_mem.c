/* SPDX-License-Identifier: MIT */
/* Object memory: counting, growing, outliving its opener. */
#include "base/mem.h"

#include <pthread.h>
#include <string.h>

#include "support/pool.h"

static mcq__mem_t* open_mem(test_alloc_t* ta) {
  mcq__mem_t* mem = NULL;
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  assert_int_equal(mcq__mem_open(&mem, &allocator), 0);
  return mem;
}

static void counts_blocks(void** state) {
  (void) state;
  test_alloc_t ta;
  test_alloc_init(&ta);
  mcq__mem_t* mem = open_mem(&ta);
  assert_int_equal(mcq__mem_live(mem), 0);
  void* a = mcq__mem_alloc(mem, 10);
  void* b = mcq__mem_alloc(mem, 0);
  assert_non_null(a);
  assert_non_null(b);
  assert_int_equal(mcq__mem_live(mem), 2);
  mcq__mem_free(mem, a);
  mcq__mem_free(mem, NULL);
  assert_int_equal(mcq__mem_live(mem), 1);
  assert_int_equal(atomic_load(&mem->total), 2);
  test_alloc_fail_next(&ta, false);
  assert_null(mcq__mem_alloc(mem, 1));
  assert_int_equal(mcq__mem_live(mem), 1);
  assert_int_equal(atomic_load(&mem->total), 2);
  mcq__mem_free(mem, b);
  mcq__mem_close(mem);
  assert_int_equal(atomic_load(&ta.live), 0);
}

static void open_reports_no_memory(void** state) {
  (void) state;
  test_alloc_t ta;
  test_alloc_init(&ta);
  mcq_allocator_t allocator = test_alloc_allocator(&ta);
  mcq__mem_t* mem = NULL;
  test_alloc_fail_next(&ta, false);
  assert_int_equal(mcq__mem_open(&mem, &allocator), MCQ_ENOMEM);
  assert_null(mem);
}

/* Without an allocator, or with half of one, it is malloc and free. */
static void defaults_to_malloc(void** state) {
  (void) state;
  test_alloc_t ta;
  test_alloc_init(&ta);
  mcq_allocator_t half = test_alloc_allocator(&ta);
  half.free = NULL;
  const mcq_allocator_t* choices[] = {NULL, &half};
  for (size_t i = 0; i < 2; i++) {
    mcq__mem_t* mem = NULL;
    assert_int_equal(mcq__mem_open(&mem, choices[i]), 0);
    char* text = mcq__mem_text(mem, "seven", 5);
    assert_string_equal(text, "seven");
    mcq__mem_free(mem, text);
    mcq__mem_close(mem);
  }
  assert_int_equal(atomic_load(&ta.calls), 0);
}

static void copies_and_clears(void** state) {
  (void) state;
  test_alloc_t ta;
  test_alloc_init(&ta);
  mcq__mem_t* mem = open_mem(&ta);
  uint8_t* zeros = (uint8_t*) mcq__mem_zalloc(mem, 1000);
  for (size_t i = 0; i < 1000; i++) assert_int_equal(zeros[i], 0);
  int numbers[] = {1, 2, 3};
  int* copy = (int*) mcq__mem_copy(mem, numbers, sizeof numbers);
  assert_memory_equal(copy, numbers, sizeof numbers);
  char* part = mcq__mem_text(mem, "abcdef", 3);
  assert_string_equal(part, "abc");
  char* none = mcq__mem_text(mem, NULL, 0);
  assert_string_equal(none, "");
  assert_null(mcq__mem_text(mem, "x", SIZE_MAX));
  mcq__mem_free(mem, zeros);
  mcq__mem_free(mem, copy);
  mcq__mem_free(mem, part);
  mcq__mem_free(mem, none);
  mcq__mem_close(mem);
  assert_int_equal(atomic_load(&ta.live), 0);
}

static void grows_arrays(void** state) {
  (void) state;
  test_alloc_t ta;
  test_alloc_init(&ta);
  mcq__mem_t* mem = open_mem(&ta);
  void* array = NULL;
  size_t cap = 0;
  for (size_t i = 0; i < 1000; i++) {
    assert_int_equal(mcq__mem_grow(mem, &array, &cap, i + 1, 8), 0);
    assert_true(cap > i);
    uint64_t* items = (uint64_t*) array;
    for (size_t k = i; k < cap; k++) assert_true(items[k] == 0);
    items[i] = i + 1;
  }
  for (size_t i = 0; i < 1000; i++)
    assert_true(((uint64_t*) array)[i] == i + 1);
  /* Doubling: 1,000 steps, a handful of allocations. */
  assert_true(atomic_load(&mem->total) < 12);
  size_t old = cap;
  void* same = array;
  assert_int_equal(mcq__mem_grow(mem, &array, &cap, 1, 8), 0);
  assert_int_equal(mcq__mem_grow(mem, &array, &cap, SIZE_MAX, 8), MCQ_ENOMEM);
  assert_int_equal(mcq__mem_grow(mem, &array, &cap, SIZE_MAX / 8 + 1, 8),
                   MCQ_ENOMEM);
  test_alloc_fail_next(&ta, false);
  assert_int_equal(mcq__mem_grow(mem, &array, &cap, old + 1, 8), MCQ_ENOMEM);
  assert_true(array == same && cap == old);
  mcq__mem_free(mem, array);
  mcq__mem_close(mem);
  assert_int_equal(atomic_load(&ta.live), 0);
}

typedef struct parcel {
  mcq__mem_t* mem;
  void* block;
} parcel_t;

static void* let_go(void* arg) {
  parcel_t* p = (parcel_t*) arg;
  mcq__mem_free(p->mem, p->block);
  return NULL;
}

/* The last block takes the memory with it, on whatever thread that is. */
static void outlives_its_opener(void** state) {
  (void) state;
  test_alloc_t ta;
  test_alloc_init(&ta);
  parcel_t p = {open_mem(&ta), NULL};
  p.block = mcq__mem_alloc(p.mem, 100);
  mcq__mem_close(p.mem);
  assert_int_equal(atomic_load(&ta.live), 2);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, let_go, &p), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(atomic_load(&ta.live), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counts_blocks),
      cmocka_unit_test(open_reports_no_memory),
      cmocka_unit_test(defaults_to_malloc),
      cmocka_unit_test(copies_and_clears),
      cmocka_unit_test(grows_arrays),
      cmocka_unit_test(outlives_its_opener),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
