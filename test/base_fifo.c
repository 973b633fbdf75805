/* SPDX-License-Identifier: MIT */
/* The growing ring, compared with an array. */
#include "base/fifo.h"

#include "support/pool.h"
#include "support/random.h"

static void same_order_as_an_array(void** state) {
  (void) state;
  enum { MAX = 3000 };
  test_pool_t t;
  test_pool_open(&t);
  test_random_t r = {5};
  static uint32_t model[MAX];
  size_t len = 0;
  mcq__fifo_t f;
  mcq__fifo_init(&f, t.mem, sizeof(uint32_t));
  for (int step = 0; step < 40000; step++) {
    /* Long stretches of growing, then of shrinking. */
    bool grow = step / 4000 % 2 == 0;
    size_t dice = test_random_below(&r, 10);
    if (len < MAX && (grow ? dice < 6 : dice < 3)) {
      uint32_t* item = (uint32_t*) mcq__fifo_push(&f);
      assert_non_null(item);
      *item = model[len++] = (uint32_t) test_random(&r);
    } else if (len > 0 && dice % 4 != 0) {
      mcq__fifo_shift(&f);
      memmove(model, model + 1, --len * sizeof *model);
    } else if (len > 0) {
      mcq__fifo_pop(&f);
      len--;
    }
    assert_int_equal(f.count, len);
    if (len == 0) {
      assert_null(mcq__fifo_first(&f));
      assert_null(mcq__fifo_last(&f));
      continue;
    }
    size_t i = test_random_below(&r, len);
    assert_int_equal(*(uint32_t*) mcq__fifo_at(&f, i), model[i]);
    assert_int_equal(*(uint32_t*) mcq__fifo_first(&f), model[0]);
    assert_int_equal(*(uint32_t*) mcq__fifo_last(&f), model[len - 1]);
  }
  for (size_t i = 0; i < len; i++)
    assert_int_equal(*(uint32_t*) mcq__fifo_at(&f, i), model[i]);
  mcq__fifo_dispose(&f);
  test_pool_close(&t);
}

/* Growing at every place the head can have. */
static void grows_wherever_the_head_is(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  for (uint64_t head = 0; head < 8; head++) {
    mcq__fifo_t f;
    mcq__fifo_init(&f, t.mem, sizeof(uint64_t));
    for (uint64_t i = 0; i < 8; i++) *(uint64_t*) mcq__fifo_push(&f) = i;
    for (uint64_t i = 0; i < head; i++) mcq__fifo_shift(&f);
    for (uint64_t i = 8; i < 30; i++) *(uint64_t*) mcq__fifo_push(&f) = i;
    for (uint64_t i = head; i < 30; i++) {
      assert_true(*(uint64_t*) mcq__fifo_first(&f) == i);
      mcq__fifo_shift(&f);
    }
    mcq__fifo_dispose(&f);
  }
  test_pool_close(&t);
}

static void reserve_makes_the_next_push_safe(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__fifo_t f;
  mcq__fifo_init(&f, t.mem, sizeof(int));
  for (int i = 0; i < 100; i++) {
    assert_int_equal(mcq__fifo_reserve(&f), 0);
    test_alloc_fail_next(&t.alloc, true);
    int* item = (int*) mcq__fifo_push(&f);
    assert_non_null(item);
    *item = i;
    t.alloc.fail_at = 0;
  }
  mcq__fifo_dispose(&f);
  test_pool_close(&t);
}

static void failing_to_grow_changes_nothing(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__fifo_t f;
  mcq__fifo_init(&f, t.mem, sizeof(int));
  test_alloc_fail_next(&t.alloc, false);
  assert_null(mcq__fifo_push(&f));
  assert_int_equal(f.count, 0);
  for (int i = 0; i < 8; i++) *(int*) mcq__fifo_push(&f) = i;
  mcq__fifo_shift(&f);
  *(int*) mcq__fifo_push(&f) = 8;
  test_alloc_fail_next(&t.alloc, false);
  assert_int_equal(mcq__fifo_reserve(&f), MCQ_ENOMEM);
  assert_int_equal(f.count, 8);
  for (int i = 0; i < 8; i++)
    assert_int_equal(*(int*) mcq__fifo_at(&f, (size_t) i), i + 1);
  mcq__fifo_dispose(&f);
  /* Disposed, it may be used again or disposed again. */
  assert_non_null(mcq__fifo_push(&f));
  mcq__fifo_dispose(&f);
  mcq__fifo_dispose(&f);
  mcq__fifo_t zero = {0};
  mcq__fifo_dispose(&zero);
  test_pool_close(&t);
}

static void impossible_sizes_are_refused(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__fifo_t f;
  mcq__fifo_init(&f, t.mem, SIZE_MAX / 4);
  size_t calls = atomic_load(&t.alloc.calls);
  assert_null(mcq__fifo_push(&f));
  assert_int_equal(atomic_load(&t.alloc.calls), calls);
  mcq__fifo_dispose(&f);
  test_pool_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same_order_as_an_array),
      cmocka_unit_test(grows_wherever_the_head_is),
      cmocka_unit_test(reserve_makes_the_next_push_safe),
      cmocka_unit_test(failing_to_grow_changes_nothing),
      cmocka_unit_test(impossible_sizes_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
