/* SPDX-License-Identifier: MIT */
/* Greetings: ours byte for byte, and a table of the peer's, good and bad, each
 * with its verdict and the byte at which it falls. */
#include "zmtp/greeting.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WHOLE 64

/* A greeting of NULL, 3.1, with `len` bytes at `at` overwritten. */
typedef struct mutant {
  const char* name;
  size_t at;
  const char* bytes;
  size_t len;
  int code;
  size_t used; /* bytes until the verdict */
} mutant_t;

#define BYTES(text) text, sizeof(text) - 1

static const mutant_t mutants[] = {
    /* Nothing that matters is changed. */
    {"plain", 0, BYTES(""), 0, WHOLE},
    {"padding of a 2.0 identity", 1, BYTES("\0\0\0\0\0\0\0\1"), 0, WHOLE},
    {"padding all ones", 1, BYTES("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), 0,
     WHOLE},
    {"first padding byte zero", 1, BYTES("\0"), 0, WHOLE},
    {"minor 0", 11, BYTES("\0"), 0, WHOLE},
    {"minor 2", 11, BYTES("\2"), 0, WHOLE},
    {"minor 255", 11, BYTES("\xFF"), 0, WHOLE},
    {"major 4", 10, BYTES("\4\0"), 0, WHOLE},
    {"major 4.1", 10, BYTES("\4\1"), 0, WHOLE},
    {"major 255", 10, BYTES("\xFF\xFF"), 0, WHOLE},
    {"as-server 1", 32, BYTES("\1"), 0, WHOLE},
    {"as-server 2", 32, BYTES("\2"), 0, WHOLE},
    {"as-server 255", 32, BYTES("\xFF"), 0, WHOLE},
    {"filler begins with junk", 33, BYTES("junk"), 0, WHOLE},
    {"filler ends with junk", 63, BYTES("\x01"), 0, WHOLE},
    {"filler all ones", 33,
     BYTES("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
           "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
     0, WHOLE},
    /* Not ZMTP. */
    {"first byte 0", 0, BYTES("\0"), MCQ_EGREETING, 1},
    {"HTTP GET", 0, BYTES("GET / HTTP/1.1\r\n"), MCQ_EGREETING, 2},
    {"HTTP POST", 0, BYTES("POST / HTTP/1.0\r\n"), MCQ_EGREETING, 2},
    {"TLS hello", 0, BYTES("\x16\x03\x01\x02\x00\x01\x00"), MCQ_EGREETING, 2},
    {"SSH", 0, BYTES("SSH-2.0-OpenSSH_9.2\r\n"), MCQ_EGREETING, 2},
    {"first byte FE, second 7F", 0, BYTES("\xFE\x7F"), MCQ_EGREETING, 2},
    {"first byte 7F", 0, BYTES("\x7F\xFF"), MCQ_EGREETING, 2},
    {"signature tail 01", 9, BYTES("\x01"), MCQ_EGREETING, 10},
    {"signature tail 7D", 9, BYTES("\x7D"), MCQ_EGREETING, 10},
    {"signature tail 7B", 9, BYTES("\x7B"), MCQ_EGREETING, 10},
    {"signature tail FF", 9, BYTES("\xFF"), MCQ_EGREETING, 10},
    {"signature tail 3F", 9, BYTES("\x3F"), MCQ_EGREETING, 10},
    /* Older than 3.0. */
    {"1.0, identity frame of 1", 0, BYTES("\x01\x00"), MCQ_ELEGACY, 2},
    {"1.0, identity of 4", 0, BYTES("\x05\x00name"), MCQ_ELEGACY, 2},
    {"1.0, first byte FE", 0, BYTES("\xFE\x00"), MCQ_ELEGACY, 2},
    {"1.0, long identity", 1, BYTES("\0\0\0\0\0\0\1\1\0"), MCQ_ELEGACY, 10},
    {"signature tail 7E", 9, BYTES("\x7E"), MCQ_ELEGACY, 10},
    {"signature tail FE", 9, BYTES("\xFE"), MCQ_ELEGACY, 10},
    {"revision 0", 10, BYTES("\0"), MCQ_ELEGACY, 11},
    {"revision 1, SUB", 10, BYTES("\1\2"), MCQ_ELEGACY, 11},
    {"revision 2", 10, BYTES("\2"), MCQ_ELEGACY, 11},
    /* Another mechanism, however little it differs. */
    {"PLAIN", 12, BYTES("PLAIN"), MCQ_EMECHANISM, 32},
    {"CURVE", 12, BYTES("CURVE"), MCQ_EMECHANISM, 32},
    {"GSSAPI", 12, BYTES("GSSAPI"), MCQ_EMECHANISM, 32},
    {"no mechanism", 12, BYTES("\0\0\0\0"), MCQ_EMECHANISM, 32},
    {"small letters", 12, BYTES("null"), MCQ_EMECHANISM, 32},
    {"one small letter", 15, BYTES("l"), MCQ_EMECHANISM, 32},
    {"shorter", 15, BYTES("\0"), MCQ_EMECHANISM, 32},
    {"longer", 16, BYTES("L"), MCQ_EMECHANISM, 32},
    {"padded with a blank", 16, BYTES(" "), MCQ_EMECHANISM, 32},
    {"junk behind the padding", 17, BYTES("junk"), MCQ_EMECHANISM, 32},
    {"junk in the last byte", 31, BYTES("\1"), MCQ_EMECHANISM, 32},
    {"shifted", 12, BYTES("\0NULL"), MCQ_EMECHANISM, 32},
    {"20 letters", 12, BYTES("ABCDEFGHIJKLMNOPQRST"), MCQ_EMECHANISM, 32},
};

static void mutate(uint8_t out[WHOLE], const mutant_t* m) {
  mcq__greeting_make(out, "NULL", false);
  if (m->len != 0) memcpy(out + m->at, m->bytes, m->len);
}

static void ours_is_what_the_rfc_shows(void** state) {
  (void) state;
  static const uint8_t expected[WHOLE] = {0xFF, 0,    0, 0, 0,   0,   0,   0,
                                          0,    0x7F, 3, 1, 'N', 'U', 'L', 'L'};
  uint8_t out[WHOLE];
  memset(out, 0xAA, sizeof out);
  mcq__greeting_make(out, "NULL", false);
  assert_memory_equal(out, expected, WHOLE);
  mcq__greeting_make(out, "NULL", true);
  assert_int_equal(out[32], 1);
  mcq__greeting_make(out, "ABCDEFGHIJKLMNOPQRST", false);
  assert_memory_equal(&out[12], "ABCDEFGHIJKLMNOPQRST\0", 21);
}

/* Verdict and byte count of a greeting cut into pieces of `step`, followed by
 * bytes that belong to what comes after it. */
static int judge(const uint8_t* bytes, size_t len, size_t step, size_t* used) {
  mcq__greeting_t g = {0};
  int code = 0;
  *used = 0;
  while (*used < len && code == 0 && !mcq__greeting_whole(&g)) {
    size_t n = step < len - *used ? step : len - *used;
    *used += mcq__greeting_read(&g, mcq__slice_static(bytes + *used, n), "NULL",
                                &code);
  }
  assert_int_equal(mcq__greeting_whole(&g), code == 0);
  return code;
}

static void every_mutant_gets_its_verdict(void** state) {
  (void) state;
  assert_true(sizeof mutants / sizeof mutants[0] >= 40);
  for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++) {
    const mutant_t* m = &mutants[i];
    uint8_t bytes[WHOLE + 5];
    memset(bytes, 0x55, sizeof bytes);
    mutate(bytes, m);
    for (size_t step = 1; step <= sizeof bytes; step++) {
      size_t used;
      int code = judge(bytes, sizeof bytes, step, &used);
      if (code != m->code || used != m->used)
        fail_msg("%s, by %zu: %d at byte %zu", m->name, step, code, used);
    }
  }
}

/* Not a byte is awaited beyond the one that decides. */
static void verdicts_come_at_the_first_offending_byte(void** state) {
  (void) state;
  for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++) {
    const mutant_t* m = &mutants[i];
    uint8_t bytes[WHOLE];
    int code = 1;
    mutate(bytes, m);
    mcq__greeting_t g = {0};
    assert_int_equal(
        mcq__greeting_read(&g, mcq__slice_static(bytes, m->used - 1), "NULL",
                           &code),
        m->used - 1);
    assert_int_equal(code, 0);
    assert_false(mcq__greeting_whole(&g));
    assert_int_equal(
        mcq__greeting_read(&g, mcq__slice_static(&bytes[m->used - 1], 1),
                           "NULL", &code),
        1);
    assert_int_equal(code, m->code);
  }
}

static void the_older_of_both_versions_is_agreed_on(void** state) {
  (void) state;
  static const struct {
    uint8_t major, minor, agreed;
  } table[] = {{3, 0, 0}, {3, 1, 1}, {3, 2, 1},  {3, 255, 1},
               {4, 0, 1}, {4, 1, 1}, {255, 0, 1}};
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    mcq__greeting_t g = {.major = table[i].major, .minor = table[i].minor};
    assert_int_equal(mcq__greeting_agreed(&g), table[i].agreed);
  }
}

static void fields_are_kept(void** state) {
  (void) state;
  uint8_t bytes[WHOLE];
  int code;
  mcq__greeting_t g = {0};
  mcq__greeting_make(bytes, "CURVE", true);
  bytes[11] = 7;
  mcq__greeting_read(&g, mcq__slice_static(bytes, WHOLE), "CURVE", &code);
  assert_int_equal(code, 0);
  assert_int_equal(g.major, 3);
  assert_int_equal(g.minor, 7);
  assert_int_equal(g.as_server, 1);
  assert_memory_equal(g.mechanism, "CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
}

static void a_name_of_20_letters_fills_the_field(void** state) {
  (void) state;
  uint8_t bytes[WHOLE];
  int code;
  mcq__greeting_make(bytes, "ABCDEFGHIJKLMNOPQRST", false);
  mcq__greeting_t g = {0};
  mcq__greeting_read(&g, mcq__slice_static(bytes, WHOLE),
                     "ABCDEFGHIJKLMNOPQRST", &code);
  assert_int_equal(code, 0);
  mcq__greeting_t h = {0};
  mcq__greeting_read(&h, mcq__slice_static(bytes, WHOLE), "ABCDEFGHIJKLMNOPQRS",
                     &code);
  assert_int_equal(code, MCQ_EMECHANISM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ours_is_what_the_rfc_shows),
      cmocka_unit_test(every_mutant_gets_its_verdict),
      cmocka_unit_test(verdicts_come_at_the_first_offending_byte),
      cmocka_unit_test(the_older_of_both_versions_is_agreed_on),
      cmocka_unit_test(fields_are_kept),
      cmocka_unit_test(a_name_of_20_letters_fills_the_field),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
