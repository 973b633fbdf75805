/* SPDX-License-Identifier: MIT */
/* Repeated subscriptions beside a prefix table: counted for each slot and
 * prefix, gone with either, against plain numbers. */
#include "hub/repeats.h"

#include "support/pool.h"
#include "support/random.h"

#define SLOTS 5
#define TEXTS 6

static const uint64_t seed[2] = {33, 44};
static const char* const texts[TEXTS] = {
    "", "a", "ab", "b", "a longer text that does not stand beside its length",
    "z"};

typedef struct bench {
  test_pool_t memory;
  mcq__prefix_t table;
  mcq__repeats_t repeats;
  unsigned held[SLOTS][TEXTS]; /* as often as it was asked for */
} bench_t;

static void bench_open(bench_t* b) {
  memset(b, 0, sizeof *b);
  test_pool_open(&b->memory);
  mcq__prefix_init(&b->table, b->memory.mem);
  mcq__repeats_init(&b->repeats, b->memory.mem, seed);
}

static void bench_close(bench_t* b) {
  mcq__repeats_dispose(&b->repeats);
  mcq__prefix_dispose(&b->table);
  test_pool_close(&b->memory);
}

static mcq_frame_t text(unsigned i) {
  return (mcq_frame_t){texts[i], strlen(texts[i])};
}

static void zeroed_is_disposable(void** state) {
  (void) state;
  mcq__repeats_t r;
  mcq__prefix_t t;
  memset(&r, 0, sizeof r);
  memset(&t, 0, sizeof t);
  mcq__repeats_drop(&r, &t, 0);
  mcq__repeats_dispose(&r);
}

/* As a publisher does it: the first is the table's. */
static int ask(bench_t* b, uint32_t slot, unsigned i) {
  bool first;
  int rc = mcq__prefix_reserve(&b->table, slot);
  if (rc == 0) rc = mcq__prefix_add(&b->table, slot, text(i), &first);
  if (rc == MCQ_EEXIST)
    rc = mcq__repeats_add(&b->repeats, &b->table, slot, text(i));
  if (rc == 0) b->held[slot][i]++;
  return rc;
}

static void cancel(bench_t* b, uint32_t slot, unsigned i) {
  bool last;
  bool more = mcq__repeats_remove(&b->repeats, &b->table, slot, text(i));
  assert_int_equal(more, b->held[slot][i] > 1);
  if (!more)
    assert_int_equal(mcq__prefix_remove(&b->table, slot, text(i), &last),
                     b->held[slot][i] == 0 ? MCQ_ENOENT : 0);
  if (b->held[slot][i] > 0) b->held[slot][i]--;
}

static void take_away(bench_t* b, uint32_t slot, unsigned i) {
  bool last;
  mcq__repeats_forget(&b->repeats, &b->table, slot, text(i));
  (void) mcq__prefix_remove(&b->table, slot, text(i), &last);
  b->held[slot][i] = 0;
}

static void leave(bench_t* b, uint32_t slot) {
  mcq__repeats_drop(&b->repeats, &b->table, slot);
  mcq__prefix_drop(&b->table, slot, NULL, NULL);
  memset(b->held[slot], 0, sizeof b->held[slot]);
}

static void check(const bench_t* b) {
  size_t repeated = 0;
  for (uint32_t slot = 0; slot < SLOTS; slot++)
    for (unsigned i = 0; i < TEXTS; i++) {
      repeated += b->held[slot][i] > 1;
      assert_int_equal(mcq__prefix_holds(&b->table, slot, text(i)),
                       b->held[slot][i] > 0);
    }
  assert_int_equal(mcq__hash_count(&b->repeats.counts), repeated);
}

static void repeats_are_their_model(void** state) {
  static bench_t b;
  test_random_t random = {test_seed(12)};
  (void) state;
  bench_open(&b);
  for (int step = 0; step < 100000; step++) {
    uint32_t slot = (uint32_t) test_random_below(&random, SLOTS);
    unsigned i = (unsigned) test_random_below(&random, TEXTS);
    uint64_t what = test_random_below(&random, 100);
    if (what < 55)
      assert_int_equal(ask(&b, slot, i), 0);
    else if (what < 95)
      cancel(&b, slot, i);
    else if (what < 98)
      take_away(&b, slot, i);
    else
      leave(&b, slot);
    check(&b);
  }
  bench_close(&b);
}

static void more_than_can_be_counted(void** state) {
  static bench_t b;
  (void) state;
  bench_open(&b);
  assert_int_equal(ask(&b, 0, 1), 0);
  assert_int_equal(ask(&b, 0, 1), 0);
  uint8_t tag[8] = {0};
  uint32_t* count = mcq__hash_get(&b.repeats.counts, tag, sizeof tag);
  assert_non_null(count); /* slot 0, the first text */
  *count = UINT32_MAX;
  assert_int_equal(ask(&b, 0, 1), MCQ_EMSGLIMIT);
  assert_int_equal(*count, UINT32_MAX);
  bench_close(&b);
}

static void out_of_memory_changes_nothing(void** state) {
  static bench_t b;
  (void) state;
  bench_open(&b);
  assert_int_equal(ask(&b, 1, 2), 0);
  test_alloc_fail_next(&b.memory.alloc, true);
  assert_int_equal(ask(&b, 1, 2), MCQ_ENOMEM);
  b.memory.alloc.fail_at = 0;
  check(&b);
  assert_int_equal(ask(&b, 1, 2), 0);
  check(&b);
  assert_int_equal(b.held[1][2], 2);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_is_disposable),
      cmocka_unit_test(repeats_are_their_model),
      cmocka_unit_test(more_than_can_be_counted),
      cmocka_unit_test(out_of_memory_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
