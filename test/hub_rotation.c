/* SPDX-License-Identifier: MIT */
/* The rotation: strict round robin, whoever joins and leaves. */
#include "hub/rotation.h"

#include "support/hub_peers.h"
#include "support/pool.h"
#include "support/random.h"

#define CROWD 64

typedef struct bench {
  test_pool_t memory;
  mcq__rotation_t rotation;
} bench_t;

static int set_up(void** state) {
  static bench_t b;
  memset(&b, 0, sizeof b);
  test_pool_open(&b.memory);
  mcq__rotation_init(&b.rotation, b.memory.mem);
  *state = &b;
  return 0;
}

static int tear_down(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq__rotation_dispose(&b->rotation);
  test_pool_close(&b->memory);
  return 0;
}

static void add(bench_t* b, uint32_t slot) {
  assert_int_equal(mcq__rotation_reserve(&b->rotation, slot), 0);
  mcq__rotation_add(&b->rotation, slot);
  assert_null(rotation_fault(&b->rotation));
}

static void take_out(bench_t* b, uint32_t slot) {
  mcq__rotation_remove(&b->rotation, slot);
  assert_null(rotation_fault(&b->rotation));
}

static uint32_t pick(bench_t* b) {
  uint32_t slot = mcq__rotation_next(&b->rotation);
  mcq__rotation_advance(&b->rotation);
  return slot;
}

static void expect_picks(bench_t* b, const uint32_t* slots, size_t n) {
  for (size_t i = 0; i < n; i++) assert_int_equal(pick(b), slots[i]);
}

static void zeroed_is_disposable(void** state) {
  (void) state;
  mcq__rotation_t r;
  memset(&r, 0, sizeof r);
  mcq__rotation_dispose(&r);
  mcq__rotation_dispose(&r);
}

static void empty_has_no_next(void** state) {
  bench_t* b = (bench_t*) *state;
  assert_int_equal(pick(b), MCQ__NO_SLOT);
  take_out(b, 0);
  take_out(b, UINT32_MAX - 1);
  add(b, 7);
  assert_int_equal(pick(b), 7);
  assert_int_equal(pick(b), 7);
  take_out(b, 7);
  assert_int_equal(pick(b), MCQ__NO_SLOT);
}

static void adding_and_removing_twice_is_once(void** state) {
  bench_t* b = (bench_t*) *state;
  for (uint32_t i = 0; i < 3; i++) add(b, i);
  assert_int_equal(pick(b), 0);
  add(b, 1); /* keeps its place */
  assert_int_equal(b->rotation.count, 3);
  expect_picks(b, (const uint32_t[]){1, 2, 0}, 3);
  take_out(b, 2);
  take_out(b, 2);
  assert_int_equal(b->rotation.count, 2);
  expect_picks(b, (const uint32_t[]){1, 0, 1, 0}, 4);
}

/* n picks among k are n/k each, no more and no less. */
static void shares_are_exact(void** state) {
  bench_t* b = (bench_t*) *state;
  for (uint32_t k = 1; k <= 17; k++) {
    size_t picked[17] = {0};
    add(b, k - 1);
    for (uint32_t i = 0; i < 60 * k; i++) picked[pick(b)]++;
    for (uint32_t i = 0; i < k; i++) assert_int_equal(picked[i], 60);
  }
}

static void newcomer_is_last_of_the_round(void** state) {
  bench_t* b = (bench_t*) *state;
  for (uint32_t i = 0; i < 4; i++) add(b, i);
  expect_picks(b, (const uint32_t[]){0, 1}, 2);
  add(b, 9);
  add(b, 4);
  expect_picks(b, (const uint32_t[]){2, 3, 0, 1, 9, 4, 2}, 7);
}

/* Each size, each place of the cursor, each member taken out: the others
 * follow in their old order, each once. */
static void removal_disturbs_nobody(void** state) {
  bench_t* b = (bench_t*) *state;
  for (uint32_t k = 1; k <= 7; k++) {
    for (uint32_t cursor = 0; cursor < k; cursor++) {
      for (uint32_t gone = 0; gone < k; gone++) {
        for (uint32_t i = 0; i < k; i++) add(b, i);
        for (uint32_t i = 0; i < cursor; i++) pick(b);
        take_out(b, gone);
        for (uint32_t i = 0; i < 2 * k; i++) {
          uint32_t expected = (cursor + i) % k;
          if (expected != gone) assert_int_equal(pick(b), expected);
        }
        for (uint32_t i = 0; i < k; i++) take_out(b, i);
      }
    }
  }
}

/* Ten thousand picks with members leaving and joining at any time: whoever is
 * in is picked within as many picks as there were members when it was last
 * picked or joined. */
static void nobody_is_skipped(void** state) {
  bench_t* b = (bench_t*) *state;
  test_random_t dice = {42};
  size_t patience[CROWD] = {0}; /* picks it may still wait; 0: not in */
  size_t count = 0;
  for (size_t picks = 0; picks < 10000;) {
    uint32_t slot = (uint32_t) test_random_below(&dice, CROWD);
    size_t what = test_random_below(&dice, 8);
    if (what == 0 && patience[slot] == 0) {
      add(b, slot);
      patience[slot] = ++count;
    } else if (what == 1 && patience[slot] != 0) {
      take_out(b, slot);
      patience[slot] = 0;
      count--;
    } else if (what > 1 && count > 0) {
      uint32_t next = pick(b);
      assert_true(next < CROWD && patience[next] > 0);
      for (size_t i = 0; i < CROWD; i++) {
        if (i == next || patience[i] == 0) continue;
        assert_true(--patience[i] > 0);
      }
      patience[next] = count;
      picks++;
    }
    assert_int_equal(b->rotation.count, count);
  }
}

/* Any one leaves at each pick until one is left: the k that remain are picked
 * once each within the next k. */
static void shrinking_ring_stays_fair(void** state) {
  bench_t* b = (bench_t*) *state;
  test_random_t dice = {7};
  for (int run = 0; run < 50; run++) {
    bool in[CROWD];
    for (uint32_t i = 0; i < CROWD; i++) {
      add(b, i);
      in[i] = true;
    }
    for (size_t k = CROWD; k > 1; k--) {
      uint32_t gone;
      for (size_t i = test_random_below(&dice, CROWD); i > 0; i--) pick(b);
      do {
        gone = (uint32_t) test_random_below(&dice, CROWD);
      } while (!in[gone]);
      take_out(b, gone);
      in[gone] = false;
      bool seen[CROWD] = {false};
      for (size_t i = 0; i + 1 < k; i++) {
        uint32_t next = pick(b);
        assert_true(in[next] && !seen[next]);
        seen[next] = true;
      }
    }
    take_out(b, mcq__rotation_next(&b->rotation));
  }
}

static void reserved_cannot_fail(void** state) {
  bench_t* b = (bench_t*) *state;
  size_t refused = 0;
  for (uint32_t i = 0; i < 200; i++) {
    test_alloc_fail_next(&b->memory.alloc, true);
    int rc = mcq__rotation_reserve(&b->rotation, i);
    b->memory.alloc.fail_at = 0;
    if (rc != 0) {
      refused++;
      assert_int_equal(rc, MCQ_ENOMEM);
      assert_int_equal(b->rotation.count, i);
      assert_null(rotation_fault(&b->rotation));
      assert_int_equal(mcq__rotation_reserve(&b->rotation, i), 0);
    }
    test_alloc_fail_next(&b->memory.alloc, true);
    mcq__rotation_add(&b->rotation, i);
    assert_int_equal(b->rotation.count, i + 1);
    b->memory.alloc.fail_at = 0;
  }
  assert_true(refused > 0);
  for (uint32_t i = 0; i < 400; i++) assert_int_equal(pick(b), i % 200);
}

#define WITH_BENCH(test) \
  cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_is_disposable),
      WITH_BENCH(empty_has_no_next),
      WITH_BENCH(adding_and_removing_twice_is_once),
      WITH_BENCH(shares_are_exact),
      WITH_BENCH(newcomer_is_last_of_the_round),
      WITH_BENCH(removal_disturbs_nobody),
      WITH_BENCH(nobody_is_skipped),
      WITH_BENCH(shrinking_ring_stays_fair),
      WITH_BENCH(reserved_cannot_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
