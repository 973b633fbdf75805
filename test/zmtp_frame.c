/* SPDX-License-Identifier: MIT */
/* Frame headers: every flags byte, the lengths at which something changes,
 * every cut. */
#include "zmtp/frame.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint64_t lengths[] = {0,
                                   1,
                                   2,
                                   127,
                                   128,
                                   254,
                                   255,
                                   256,
                                   257,
                                   65535,
                                   65536,
                                   0x7FFFFFFF,
                                   0x80000000,
                                   0xFFFFFFFF,
                                   UINT64_C(0x100000000),
                                   UINT64_C(0x100000005),
                                   UINT64_C(0x7FFFFFFFFFFFFFFF)};

#define LENGTHS (sizeof lengths / sizeof lengths[0])

static mcq__slice_t bytes(const void* data, size_t len) {
  return mcq__slice_static(data, len);
}

static void put_length(uint8_t* out, uint64_t len) {
  for (int i = 7; i >= 0; i--, len >>= 8) out[i] = (uint8_t) len;
}

static void flags_are_known_ones_only(void** state) {
  (void) state;
  for (unsigned flags = 0; flags < 256; flags++) {
    uint8_t head[9] = {(uint8_t) flags, 0, 0, 0, 0, 0, 0, 0, 0};
    mcq__frame_t f;
    const char* why = NULL;
    bool good = flags < 8 && (flags & 5) != 5;
    int rc = mcq__frame_read(&f, bytes(head, sizeof head), &why);
    assert_int_equal(rc, good ? 1 : MCQ_EFRAME);
    assert_int_equal(why == NULL, good);
    /* A bad one is refused before its length has come. */
    if (!good)
      assert_int_equal(mcq__frame_read(&f, bytes(head, 1), &why), MCQ_EFRAME);
  }
}

static void short_lengths(void** state) {
  (void) state;
  for (unsigned len = 0; len < 256; len++) {
    uint8_t head[3] = {1, (uint8_t) len, 0xEE};
    mcq__frame_t f;
    const char* why;
    assert_int_equal(mcq__frame_read(&f, bytes(head, 3), &why), 1);
    assert_int_equal(f.len, len);
    assert_int_equal(f.size, 2);
    assert_int_equal(f.flags, 1);
  }
}

/* The long form, whether it was needed or not. */
static void long_lengths(void** state) {
  (void) state;
  for (size_t i = 0; i < LENGTHS; i++) {
    uint8_t head[10] = {MCQ__FRAME_LONG};
    mcq__frame_t f;
    const char* why;
    put_length(&head[1], lengths[i]);
    assert_int_equal(mcq__frame_read(&f, bytes(head, 10), &why), 1);
    assert_true(f.len == lengths[i]);
    assert_int_equal(f.size, 9);
  }
}

static void the_top_bit_is_no_length(void** state) {
  (void) state;
  static const uint64_t bad[] = {UINT64_C(0x8000000000000000),
                                 UINT64_C(0x8000000000000001),
                                 UINT64_C(0xFFFFFFFFFFFFFFFF)};
  for (size_t i = 0; i < 3; i++) {
    uint8_t head[9] = {MCQ__FRAME_LONG};
    mcq__frame_t f;
    const char* why = NULL;
    put_length(&head[1], bad[i]);
    assert_int_equal(mcq__frame_read(&f, bytes(head, 9), &why), MCQ_EFRAME);
    assert_non_null(why);
  }
}

static void a_cut_header_is_awaited(void** state) {
  (void) state;
  for (unsigned flags = 0; flags < 8; flags++) {
    uint8_t head[9] = {(uint8_t) flags, 3, 0, 0, 0, 0, 0, 1, 0};
    mcq__frame_t f;
    const char* why;
    if ((flags & 5) == 5) continue;
    size_t whole = (flags & MCQ__FRAME_LONG) != 0 ? 9 : 2;
    assert_int_equal(mcq__frame_read(&f, bytes(NULL, 0), &why), 0);
    for (size_t len = 1; len <= 9; len++)
      assert_int_equal(mcq__frame_read(&f, bytes(head, len), &why),
                       len >= whole);
  }
}

static void what_is_written_is_read(void** state) {
  (void) state;
  static const uint8_t flags[] = {0, MCQ__FRAME_MORE, MCQ__FRAME_COMMAND};
  for (size_t i = 0; i < LENGTHS; i++) {
    if (lengths[i] > SIZE_MAX) continue;
    for (size_t j = 0; j < sizeof flags; j++) {
      uint8_t head[MCQ__HEAD_MAX];
      mcq__frame_t f;
      const char* why;
      memset(head, 0xEE, sizeof head);
      size_t size = mcq__frame_write(head, (size_t) lengths[i], flags[j]);
      assert_int_equal(size, lengths[i] <= 255 ? 2 : 9);
      for (size_t k = size; k < sizeof head; k++)
        assert_int_equal(head[k], 0xEE);
      assert_int_equal(mcq__frame_read(&f, bytes(head, size), &why), 1);
      assert_true(f.len == lengths[i]);
      assert_int_equal(f.size, size);
      assert_int_equal(f.flags & ~MCQ__FRAME_LONG, flags[j]);
    }
  }
}

static void heads_byte_for_byte(void** state) {
  (void) state;
  uint8_t head[MCQ__HEAD_MAX];
  assert_int_equal(mcq__frame_head(head, 0, false), 2);
  assert_memory_equal(head, "\0\0", 2);
  assert_int_equal(mcq__frame_head(head, 255, true), 2);
  assert_memory_equal(head, "\1\xFF", 2);
  assert_int_equal(mcq__frame_head(head, 256, false), 9);
  assert_memory_equal(head, "\2\0\0\0\0\0\0\1\0", 9);
  assert_int_equal(mcq__frame_head(head, 0x01020304, true), 9);
  assert_memory_equal(head, "\3\0\0\0\0\1\2\3\4", 9);
}

/* From exactly the header's bytes, and from more than those. */
static void heads_are_read_back(void** state) {
  (void) state;
  for (size_t i = 0; i < LENGTHS; i++) {
    if (lengths[i] > SIZE_MAX) continue;
    for (int more = 0; more < 2; more++) {
      uint8_t head[MCQ__HEAD_MAX];
      memset(head, 0xEE, sizeof head);
      size_t size = mcq__frame_head(head, (size_t) lengths[i], more != 0);
      for (size_t have = size; have <= sizeof head; have++) {
        uint64_t len = 99;
        bool flag = more == 0;
        assert_int_equal(mcq__frame_unhead(head, have, &len, &flag), size);
        assert_true(len == lengths[i]);
        assert_int_equal(flag, more);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flags_are_known_ones_only),
      cmocka_unit_test(short_lengths),
      cmocka_unit_test(long_lengths),
      cmocka_unit_test(the_top_bit_is_no_length),
      cmocka_unit_test(a_cut_header_is_awaited),
      cmocka_unit_test(what_is_written_is_read),
      cmocka_unit_test(heads_byte_for_byte),
      cmocka_unit_test(heads_are_read_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
