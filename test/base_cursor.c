/* SPDX-License-Identifier: MIT */
/* The bounded reader: big-endian numbers, and never a byte past the end. */
#include "base/cursor.h"

#include <stdlib.h>

#include "support/pool.h"
#include "support/random.h"

static void reads_big_endian(void** state) {
  (void) state;
  static const uint8_t bytes[] = {1, 2,  3,  4,  5,  6,  7,  8,
                                  9, 10, 11, 12, 13, 14, 15, 0xff};
  mcq__cursor_t c = mcq__cursor(mcq__slice_static(bytes, sizeof bytes));
  assert_int_equal(mcq__cursor_u8(&c), 1);
  assert_int_equal(mcq__cursor_u16(&c), 0x0203);
  assert_int_equal(mcq__cursor_u32(&c), 0x04050607);
  assert_true(mcq__cursor_u64(&c) == UINT64_C(0x08090a0b0c0d0e0f));
  assert_int_equal(mcq__cursor_left(&c), 1);
  assert_int_equal(mcq__cursor_u8(&c), 0xff);
  assert_int_equal(mcq__cursor_left(&c), 0);
  assert_false(c.bad);
}

static void takes_borrowed_pieces(void** state) {
  (void) state;
  static const char text[] = "abcdef";
  mcq__cursor_t c = mcq__cursor(mcq__slice_static(text, 6));
  mcq__slice_t s = mcq__cursor_take(&c, 4);
  assert_true((const void*) s.data == text && s.len == 4);
  s = mcq__cursor_take(&c, 0);
  assert_true(s.len == 0 && !c.bad);
  s = mcq__cursor_take(&c, 2);
  assert_true(mcq__slice_equal(s, "ef", 2));
  s = mcq__cursor_take(&c, 0);
  assert_true(s.len == 0 && !c.bad);
}

/* One read too long and everything after it is zeros, even what would fit. */
static void a_bad_cursor_stays_bad(void** state) {
  (void) state;
  static const uint8_t bytes[] = {1, 2, 3};
  mcq__cursor_t c = mcq__cursor(mcq__slice_static(bytes, 3));
  assert_int_equal(mcq__cursor_u8(&c), 1);
  assert_int_equal(mcq__cursor_u32(&c), 0);
  assert_true(c.bad);
  assert_int_equal(mcq__cursor_left(&c), 0);
  assert_int_equal(mcq__cursor_u8(&c), 0);
  assert_int_equal(mcq__cursor_u16(&c), 0);
  assert_true(mcq__cursor_u64(&c) == 0);
  assert_int_equal(mcq__cursor_take(&c, 0).len, 0);
  assert_true(c.bad);
}

static void lengths_do_not_wrap(void** state) {
  (void) state;
  static const uint8_t bytes[] = {1, 2, 3};
  const size_t lengths[] = {4, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2};
  for (size_t i = 0; i < 4; i++) {
    mcq__cursor_t c = mcq__cursor(mcq__slice_static(bytes, 3));
    assert_int_equal(mcq__cursor_u8(&c), 1);
    mcq__slice_t s = mcq__cursor_take(&c, lengths[i]);
    assert_true(s.len == 0 && s.data == NULL && c.bad);
  }
}

/* Each input is a block of exactly its size, so that a checker sees a byte
 * read past it. */
static void never_reads_past_the_end(void** state) {
  (void) state;
  test_random_t r = {3};
  for (int round = 0; round < 5000; round++) {
    size_t len = test_random_below(&r, 40);
    uint8_t* bytes = (uint8_t*) malloc(len == 0 ? 1 : len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t) test_random(&r);
    mcq__cursor_t c = mcq__cursor(mcq__slice_static(bytes, len));
    size_t at = 0;
    bool bad = false;
    while (!bad) {
      size_t n = test_random_below(&r, 9);
      uint64_t want = 0;
      bad = n > len - at;
      if (!bad)
        for (size_t i = 0; i < n; i++) want = want << 8 | bytes[at++];
      assert_true(mcq__cursor_uint(&c, n) == want);
      assert_true(c.bad == bad);
      assert_int_equal(mcq__cursor_left(&c), bad ? 0 : len - at);
    }
    free(bytes);
  }
}

static void writers_mirror_readers(void** state) {
  (void) state;
  test_random_t r = {4};
  for (int round = 0; round < 1000; round++) {
    uint64_t v = test_random(&r);
    uint8_t bytes[14];
    mcq__put_u16(bytes, (uint16_t) v);
    mcq__put_u32(bytes + 2, (uint32_t) v);
    mcq__put_u64(bytes + 6, v);
    mcq__cursor_t c = mcq__cursor(mcq__slice_static(bytes, sizeof bytes));
    assert_int_equal(mcq__cursor_u16(&c), (uint16_t) v);
    assert_int_equal(mcq__cursor_u32(&c), (uint32_t) v);
    assert_true(mcq__cursor_u64(&c) == v);
  }
  uint8_t known[8];
  mcq__put_u64(known, UINT64_C(0x0102030405060708));
  assert_memory_equal(known, "\1\2\3\4\5\6\7\10", 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_big_endian),
      cmocka_unit_test(takes_borrowed_pieces),
      cmocka_unit_test(a_bad_cursor_stays_bad),
      cmocka_unit_test(lengths_do_not_wrap),
      cmocka_unit_test(never_reads_past_the_end),
      cmocka_unit_test(writers_mirror_readers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
