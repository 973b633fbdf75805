/* SPDX-License-Identifier: MIT */
/* The seeded table: right values, kept promises when memory is short, and no
 * way for the keys to choose their collisions.  Includes the source to see
 * how long the chains of the table are. */
#include "base/hash.c" /* NOLINT */

#include "support/pool.h"
#include "support/random.h"

static const uint64_t seed[2] = {UINT64_C(0x0123456789abcdef), 42};

static void put(mcq__hash_t* h, const char* key, uint32_t value) {
  assert_int_equal(mcq__hash_put(h, key, strlen(key), value), 0);
}

static void expect(const mcq__hash_t* h, const char* key, uint32_t value) {
  uint32_t* found = mcq__hash_get(h, key, strlen(key));
  assert_non_null(found);
  assert_int_equal(*found, value);
}

/* ---- the function -------------------------------------------------------- */

/* Values computed by two other implementations (CPython's bytes hash with a
 * fixed seed, OCaml's string hash tests). */
static void siphash_is_what_others_compute(void** state) {
  (void) state;
  static const struct {
    uint64_t key[2];
    size_t len;
    uint64_t sum;
  } known[] = {
      {{0, 0}, 0, UINT64_C(0xd1fba762150c532c)},
      {{0, 0}, 1, UINT64_C(0x68a914128e01e473)},
      {{0, 0}, 64, UINT64_C(0x75e05fd5bbc870c6)},
      {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)},
       1,
       UINT64_C(0xecd3e5afcecda4b9)},
      {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)},
       7,
       UINT64_C(0xfd15e78052a69ddf)},
      {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)},
       8,
       UINT64_C(0xc0b5739e7e28dd01)},
      {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)},
       9,
       UINT64_C(0x208a1a5a0cbbf778)},
      {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)},
       63,
       UINT64_C(0x542052345bc68274)},
  };
  uint8_t bytes[64];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t) i;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    assert_true(mcq__siphash(known[i].key, bytes, known[i].len) ==
                known[i].sum);
}

/* ---- the table ----------------------------------------------------------- */

static void puts_gets_and_removes(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__hash_t h;
  mcq__hash_init(&h, t.mem, seed);
  assert_null(mcq__hash_get(&h, "a", 1));
  mcq__hash_remove(&h, "a", 1);
  put(&h, "a", 1);
  put(&h, "b", 2);
  put(&h, "", 3);
  assert_int_equal(mcq__hash_put(&h, "a\0b", 3, 4), 0);
  assert_int_equal(mcq__hash_count(&h), 4);
  expect(&h, "a", 1);
  expect(&h, "b", 2);
  assert_int_equal(*mcq__hash_get(&h, NULL, 0), 3);
  assert_int_equal(*mcq__hash_get(&h, "a\0b", 3), 4);
  put(&h, "a", 9);
  assert_int_equal(mcq__hash_count(&h), 4);
  expect(&h, "a", 9);
  mcq__hash_remove(&h, "a", 1);
  assert_null(mcq__hash_get(&h, "a", 1));
  assert_int_equal(*mcq__hash_get(&h, "a\0b", 3), 4);
  mcq__hash_remove(&h, "b", 1);
  mcq__hash_remove(&h, NULL, 0);
  mcq__hash_remove(&h, "a\0b", 3);
  assert_int_equal(mcq__hash_count(&h), 0);
  assert_int_equal(mcq__mem_live(t.mem), 1);
  put(&h, "again", 5);
  expect(&h, "again", 5);
  mcq__hash_dispose(&h);
  assert_int_equal(mcq__hash_count(&h), 0);
  mcq__hash_dispose(&h);
  test_pool_close(&t);
}

static void keys_are_copied(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__hash_t h;
  mcq__hash_init(&h, t.mem, seed);
  char key[] = "mine";
  put(&h, key, 1);
  memset(key, 'x', 4);
  expect(&h, "mine", 1);
  assert_null(mcq__hash_get(&h, key, 4));
  mcq__hash_dispose(&h);
  test_pool_close(&t);
}

static void same_as_an_array(void** state) {
  (void) state;
  enum { KEYS = 2000 };
  test_pool_t t;
  test_pool_open(&t);
  test_random_t r = {7};
  mcq__hash_t h;
  mcq__hash_init(&h, t.mem, seed);
  static uint32_t values[KEYS];
  static bool present[KEYS];
  static uint32_t* places[KEYS];
  size_t count = 0;
  for (int step = 0; step < 60000; step++) {
    uint32_t k = (uint32_t) test_random_below(&r, KEYS);
    /* Keys of 4 to 19 bytes, told apart by their first four. */
    uint32_t key[5] = {k, k, k, k, k};
    size_t len = 4 + k % 16;
    uint32_t* found = mcq__hash_get(&h, key, len);
    assert_true((found != NULL) == present[k]);
    if (found != NULL) {
      assert_int_equal(*found, values[k]);
      assert_true(found == places[k]);
    }
    if (test_random_below(&r, 5) < 3) {
      values[k] = (uint32_t) test_random(&r);
      assert_int_equal(mcq__hash_put(&h, key, len, values[k]), 0);
      places[k] = mcq__hash_get(&h, key, len);
      count += !present[k];
      present[k] = true;
    } else {
      mcq__hash_remove(&h, key, len);
      count -= present[k];
      present[k] = false;
    }
    assert_int_equal(mcq__hash_count(&h), count);
  }
  mcq__hash_dispose(&h);
  test_pool_close(&t);
}

/* ---- hostile keys -------------------------------------------------------- */

/* Entries looked at when each key is looked up once: in a chain of n, the
 * first costs 1, the last n. */
static size_t cost_of_all(const mcq__hash_t* h, size_t* longest) {
  const UT_hash_table* table = h->entries_->hh.tbl;
  size_t cost = 0;
  *longest = 0;
  for (size_t i = 0; i < table->num_buckets; i++) {
    size_t n = table->buckets[i].count;
    cost += n * (n + 1) / 2;
    if (n > *longest) *longest = n;
  }
  return cost;
}

/* A hundred thousand keys that are all the same to a table that sums up, or
 * takes the low bits of, or multiplies the bytes: the cost stays linear. */
static void hostile_keys_cost_linear_time(void** state) {
  (void) state;
  enum { KEYS = 100000 };
  for (int kind = 0; kind < 3; kind++) {
    test_pool_t t;
    test_pool_open(&t);
    mcq__hash_t h;
    mcq__hash_init(&h, t.mem, seed);
    for (uint32_t k = 0; k < KEYS; k++) {
      uint8_t key[40] = {0};
      size_t len = 8;
      uint64_t word = kind == 0 ? (uint64_t) k << 40 : k * UINT64_C(65536);
      if (kind < 2) {
        memcpy(key, &word, 8);
      } else {
        /* "Aa" and "BB" are one to a hash that multiplies by 31. */
        len = 34;
        for (size_t i = 0; i < 17; i++)
          memcpy(key + 2 * i, (k >> i & 1) != 0 ? "Aa" : "BB", 2);
      }
      assert_int_equal(mcq__hash_put(&h, key, len, k), 0);
    }
    assert_int_equal(mcq__hash_count(&h), KEYS);
    size_t longest = 0;
    assert_true(cost_of_all(&h, &longest) < (size_t) KEYS * 10);
    assert_true(longest < 50);
    assert_false(h.entries_->hh.tbl->noexpand);
    mcq__hash_dispose(&h);
    test_pool_close(&t);
  }
}

/* Another seed, another order: nothing learnt from one table helps with the
 * next. */
static void seeds_matter(void** state) {
  (void) state;
  const uint64_t seeds[3][2] = {{1, 2}, {1, 3}, {2, 2}};
  size_t same = 0;
  for (uint32_t k = 0; k < 1000; k++) {
    uint64_t a = mcq__siphash(seeds[0], &k, sizeof k);
    same += (a & 31) == (mcq__siphash(seeds[1], &k, sizeof k) & 31);
    same += (a & 31) == (mcq__siphash(seeds[2], &k, sizeof k) & 31);
  }
  /* 62 are expected by chance. */
  assert_true(same > 20 && same < 150);
}

/* ---- failing allocations ------------------------------------------------- */

/* Puts keys while every other allocation fails; what was refused is absent,
 * what was accepted stays, and the table goes on growing afterwards. */
static void refused_puts_change_nothing(void** state) {
  (void) state;
  enum { KEYS = 3000 };
  test_pool_t t;
  test_pool_open(&t);
  mcq__hash_t h;
  mcq__hash_init(&h, t.mem, seed);
  static bool present[KEYS];
  size_t refusals[3] = {0, 0, 0};
  for (uint32_t k = 0; k < KEYS; k++) {
    /* Fail the entry, then what uthash asks for: table, buckets. */
    for (size_t nth = 1; nth <= 3 && !present[k]; nth++) {
      size_t live = mcq__mem_live(t.mem);
      size_t count = mcq__hash_count(&h);
      t.alloc.fail_at = atomic_load(&t.alloc.calls) + nth;
      int err = mcq__hash_put(&h, &k, sizeof k, k);
      t.alloc.fail_at = 0;
      present[k] = err == 0;
      assert_int_equal(mcq__hash_count(&h), count + present[k]);
      if (err == 0) continue;
      assert_int_equal(err, MCQ_ENOMEM);
      refusals[nth - 1]++;
      assert_int_equal(mcq__mem_live(t.mem), live);
      assert_null(mcq__hash_get(&h, &k, sizeof k));
    }
    if (!present[k]) assert_int_equal(mcq__hash_put(&h, &k, sizeof k, k), 0);
    present[k] = true;
    for (uint32_t i = k < 50 ? 0 : k - 50; i <= k; i++)
      assert_int_equal(*mcq__hash_get(&h, &i, sizeof i), i);
  }
  for (uint32_t k = 0; k < KEYS; k++)
    assert_int_equal(*mcq__hash_get(&h, &k, sizeof k), k);
  /* Every entry; the first table and each growth; the first buckets. */
  assert_int_equal(refusals[0], KEYS);
  assert_true(refusals[1] >= 5);
  assert_int_equal(refusals[2], 1);
  assert_false(h.entries_->hh.tbl->noexpand);
  for (uint32_t k = 0; k < KEYS; k += 2) mcq__hash_remove(&h, &k, sizeof k);
  for (uint32_t k = 1; k < KEYS; k += 2)
    assert_int_equal(*mcq__hash_get(&h, &k, sizeof k), k);
  mcq__hash_dispose(&h);
  test_pool_close(&t);
}

static int scene(test_alloc_t* ta, void* arg) {
  (void) arg;
  mcq__mem_t* mem = NULL;
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  int err = mcq__mem_open(&mem, &allocator);
  if (err != 0) return err;
  mcq__hash_t h;
  mcq__hash_init(&h, mem, seed);
  for (uint32_t k = 0; k < 400 && err == 0; k++)
    err = mcq__hash_put(&h, &k, sizeof k, k);
  mcq__hash_dispose(&h);
  assert_int_equal(mcq__mem_live(mem), 0);
  mcq__mem_close(mem);
  return err;
}

static void every_allocation_may_fail(void** state) {
  (void) state;
  assert_true(test_alloc_sweep(scene, NULL) >= 404);
}

static void impossible_keys_are_refused(void** state) {
  (void) state;
  test_pool_t t;
  test_pool_open(&t);
  mcq__hash_t h;
  mcq__hash_init(&h, t.mem, seed);
  size_t calls = atomic_load(&t.alloc.calls);
  assert_int_equal(mcq__hash_put(&h, "x", SIZE_MAX, 1), MCQ_ENOMEM);
  assert_null(mcq__hash_get(&h, "x", SIZE_MAX));
  put(&h, "x", 1);
  assert_null(mcq__hash_get(&h, "x", SIZE_MAX));
  mcq__hash_remove(&h, "x", SIZE_MAX);
  assert_int_equal(atomic_load(&t.alloc.calls), calls + 3);
  mcq__hash_dispose(&h);
  test_pool_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(siphash_is_what_others_compute),
      cmocka_unit_test(puts_gets_and_removes),
      cmocka_unit_test(keys_are_copied),
      cmocka_unit_test(same_as_an_array),
      cmocka_unit_test(hostile_keys_cost_linear_time),
      cmocka_unit_test(seeds_matter),
      cmocka_unit_test(refused_puts_change_nothing),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(impossible_keys_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
