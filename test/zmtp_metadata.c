/* SPDX-License-Identifier: MIT */
/* Handshake properties: read, looked up, written. */
#include "zmtp/metadata.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "support/pool.h"

#define TEXT(s) mcq__slice_static(s, sizeof(s) - 1)

static int count_of(mcq__slice_t data, size_t* count) {
  *count = 99;
  return mcq__metadata_count(data, count);
}

static void good_ones(void** state) {
  (void) state;
  size_t n;
  assert_int_equal(count_of(TEXT(""), &n), 0);
  assert_int_equal(n, 0);
  assert_int_equal(count_of(TEXT("\1a\0\0\0\0"), &n), 0);
  assert_int_equal(n, 1);
  assert_int_equal(count_of(TEXT("\1a\0\0\0\2xy\2bc\0\0\0\0"), &n), 0);
  assert_int_equal(n, 2);
  mcq__property_t p[2];
  mcq__metadata_read(TEXT("\1a\0\0\0\2xy\2bc\0\0\0\0"), p, 2);
  assert_true(mcq__slice_equal(p[0].name, "a", 1));
  assert_true(mcq__slice_equal(p[0].value, "xy", 2));
  assert_true(mcq__slice_equal(p[1].name, "bc", 2));
  assert_int_equal(p[1].value.len, 0);
}

static void bad_ones(void** state) {
  (void) state;
  size_t n;
  assert_int_equal(count_of(TEXT("\0"), &n), MCQ_EMETADATA);
  assert_int_equal(count_of(TEXT("\0\0\0\0\0"), &n), MCQ_EMETADATA);
  assert_int_equal(count_of(TEXT("\0\0\0\0\1x"), &n), MCQ_EMETADATA);
  assert_int_equal(count_of(TEXT("\1a\0\0\0\1"), &n), MCQ_EMETADATA);
  assert_int_equal(count_of(TEXT("\1a\0\0\0\0\1"), &n), MCQ_EMETADATA);
  assert_int_equal(count_of(TEXT("\1a\0\0\0\0\0"), &n), MCQ_EMETADATA);
  assert_int_equal(count_of(TEXT("\2a\0\0\0\0"), &n), MCQ_EMETADATA);
  assert_int_equal(count_of(TEXT("\xFFname"), &n), MCQ_EMETADATA);
}

/* Every prefix of good metadata that does not end between properties. */
static void cut_ones(void** state) {
  (void) state;
  static const char whole[] = "\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0\0";
  for (size_t len = 0; len < sizeof whole; len++) {
    size_t n;
    bool even = len == 0 || len == 22 || len == sizeof whole - 1;
    assert_int_equal(count_of(mcq__slice_static(whole, len), &n),
                     even ? 0 : MCQ_EMETADATA);
  }
}

/* Value lengths chosen so that a sum of 32 or even 64 bits would wrap. */
static void lengths_that_overflow(void** state) {
  (void) state;
  static const uint32_t lengths[] = {0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                                     0xFFFFFFFA, 0xFFFFFFF0, 35,
                                     0x00010000};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    uint8_t* data = (uint8_t*) test_malloc(40); /* so that overruns show */
    size_t n;
    memset(data, 'v', 40);
    data[0] = 1;
    data[1] = 'a';
    for (int k = 0; k < 4; k++)
      data[2 + k] = (uint8_t) (lengths[i] >> (24 - 8 * k));
    assert_int_equal(count_of(mcq__slice_static(data, 40), &n), MCQ_EMETADATA);
    test_free(data);
  }
}

static void there_may_be_256(void** state) {
  (void) state;
  uint8_t data[257 * 6];
  size_t n;
  for (size_t i = 0; i < 257; i++) memcpy(&data[i * 6], "\1a\0\0\0\0", 6);
  assert_int_equal(count_of(mcq__slice_static(data, 256 * 6), &n), 0);
  assert_int_equal(n, 256);
  assert_int_equal(count_of(mcq__slice_static(data, 257 * 6), &n),
                   MCQ_EMETADATA);
}

static void names_have_no_case_and_the_first_wins(void** state) {
  (void) state;
  mcq__property_t p[4] = {{TEXT("x-KEY"), TEXT("1")},
                          {TEXT("X-Key"), TEXT("2")},
                          {TEXT("X-Key2"), TEXT("3")},
                          {TEXT("[@`{"), TEXT("4")}};
  assert_ptr_equal(mcq__metadata_find(p, 4, "X-KEY"), &p[0]);
  assert_ptr_equal(mcq__metadata_find(p, 4, "x-key"), &p[0]);
  assert_ptr_equal(mcq__metadata_find(p, 4, "X-KEY2"), &p[2]);
  assert_null(mcq__metadata_find(p, 4, "X-KE"));
  assert_null(mcq__metadata_find(p, 4, "X-KEY23"));
  assert_null(mcq__metadata_find(p, 4, ""));
  assert_null(mcq__metadata_find(p, 0, "X-KEY"));
  assert_null(mcq__metadata_find(NULL, 0, "X-KEY"));
  /* Letters only: the neighbours of A and Z have no case. */
  assert_ptr_equal(mcq__metadata_find(p, 4, "[@`{"), &p[3]);
  assert_null(mcq__metadata_find(p, 4, "{`@["));
}

static const char* const mates[] = {"ROUTER", NULL};

static mcq__session_config_t config_of(mcq__pool_t* pool) {
  mcq__session_config_t c = {
      .pool = pool, .socket_type = "DEALER", .mates = mates};
  return c;
}

static void announced_byte_for_byte(void** state) {
  (void) state;
  test_pool_t t;
  mcq__slice_t out;
  mcq__property_t more[2] = {{TEXT("X-a"), TEXT("v\0w")},
                             {TEXT("X-b"), TEXT("")}};
  test_pool_open(&t);
  mcq__session_config_t c = config_of(t.pool);
  assert_int_equal(mcq__metadata_announce(&out, &c), 0);
  assert_true(mcq__slice_equal(out, "\13Socket-Type\0\0\0\6DEALER", 22));
  mcq__slice_release(&out);
  c.send_routing_id = true; /* and it is empty */
  assert_int_equal(mcq__metadata_announce(&out, &c), 0);
  assert_true(mcq__slice_equal(
      out, "\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0\0", 35));
  mcq__slice_release(&out);
  c.routing_id = TEXT("me");
  c.properties = more;
  c.property_count = 2;
  assert_int_equal(mcq__metadata_announce(&out, &c), 0);
  assert_true(mcq__slice_equal(out,
                               "\13Socket-Type\0\0\0\6DEALER"
                               "\10Identity\0\0\0\2me"
                               "\3X-a\0\0\0\3v\0w\3X-b\0\0\0\0",
                               56));
  mcq__slice_release(&out);
  c.send_routing_id = false; /* then it is nobody's business */
  assert_int_equal(mcq__metadata_announce(&out, &c), 0);
  assert_int_equal(out.len, 41);
  mcq__slice_release(&out);
  test_pool_close(&t);
}

static void what_is_written_is_read(void** state) {
  (void) state;
  test_pool_t t;
  mcq__slice_t out;
  char name[255];
  uint8_t value[3000];
  mcq__property_t read[3];
  size_t n;
  memset(name, 'n', sizeof name);
  memset(value, 7, sizeof value);
  mcq__property_t p[3] = {
      {mcq__slice_static(name, 255), mcq__slice_static(value, 3000)},
      {mcq__slice_static(name, 1), mcq__slice_static(value, 0)},
      {mcq__slice_static(name, 2), mcq__slice_static(value, 256)}};
  test_pool_open(&t);
  assert_int_equal(mcq__metadata_write(&out, t.pool, p, 3), 0);
  assert_int_equal(out.len, 3 * 5 + 258 + 3256);
  assert_int_equal(mcq__metadata_count(out, &n), 0);
  assert_int_equal(n, 3);
  mcq__metadata_read(out, read, 3);
  for (size_t i = 0; i < 3; i++) {
    assert_true(mcq__slice_equal(read[i].name, p[i].name.data, p[i].name.len));
    assert_true(
        mcq__slice_equal(read[i].value, p[i].value.data, p[i].value.len));
  }
  mcq__slice_release(&out);
  assert_int_equal(mcq__metadata_write(&out, t.pool, NULL, 0), 0);
  assert_int_equal(out.len, 0);
  test_pool_close(&t);
}

static void memory_may_be_short(void** state) {
  (void) state;
  test_pool_t t;
  mcq__slice_t out;
  test_pool_open(&t);
  mcq__session_config_t c = config_of(t.pool);
  test_alloc_fail_next(&t.alloc, false);
  assert_int_equal(mcq__metadata_announce(&out, &c), MCQ_ENOMEM);
  assert_int_equal(out.len, 0);
  test_pool_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_ones),
      cmocka_unit_test(bad_ones),
      cmocka_unit_test(cut_ones),
      cmocka_unit_test(lengths_that_overflow),
      cmocka_unit_test(there_may_be_256),
      cmocka_unit_test(names_have_no_case_and_the_first_wins),
      cmocka_unit_test(announced_byte_for_byte),
      cmocka_unit_test(what_is_written_is_read),
      cmocka_unit_test(memory_may_be_short),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
