/* SPDX-License-Identifier: MIT */
/* Command bodies taken apart and put together. */
#include "zmtp/command.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "support/pool.h"

#define TEXT(s) mcq__slice_static(s, sizeof(s) - 1)

static void known_names(void** state) {
  (void) state;
  static const struct {
    const char* body;
    mcq__command_kind_t kind;
  } table[] = {
      {"\5READY", MCQ__CMD_READY},
      {"\5ERROR", MCQ__CMD_ERROR},
      {"\11SUBSCRIBE", MCQ__CMD_SUBSCRIBE},
      {"\6CANCEL", MCQ__CMD_CANCEL},
      {"\4PING", MCQ__CMD_PING},
      {"\4PONG", MCQ__CMD_PONG},
      {"\4JOIN", MCQ__CMD_UNKNOWN},
      {"\5HELLO", MCQ__CMD_UNKNOWN},
      {"\5ready", MCQ__CMD_UNKNOWN},
      {"\4READY", MCQ__CMD_UNKNOWN},
      {"\6READYX", MCQ__CMD_UNKNOWN},
      {"\3PIN", MCQ__CMD_UNKNOWN},
      {"\1P", MCQ__CMD_UNKNOWN},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    mcq__command_t c;
    mcq__slice_t body = mcq__slice_static(table[i].body, strlen(table[i].body));
    assert_int_equal(mcq__command_read(&c, body), 0);
    assert_int_equal(c.kind, table[i].kind);
    assert_int_equal(c.name.len, body.data[0]);
    assert_int_equal(c.name.len + c.data.len + 1, body.len);
  }
}

static void names_that_are_none(void** state) {
  (void) state;
  mcq__command_t c;
  assert_int_equal(mcq__command_read(&c, TEXT("")), MCQ_ECOMMAND);
  assert_int_equal(mcq__command_read(&c, TEXT("\0")), MCQ_ECOMMAND);
  assert_int_equal(mcq__command_read(&c, TEXT("\0PING")), MCQ_ECOMMAND);
  assert_int_equal(mcq__command_read(&c, TEXT("\5PING")), MCQ_ECOMMAND);
  assert_int_equal(mcq__command_read(&c, TEXT("\xFFPING")), MCQ_ECOMMAND);
  assert_int_equal(mcq__command_read(&c, TEXT("\1")), MCQ_ECOMMAND);
  /* Padded or ended with NUL, as an older text had it. */
  assert_int_equal(mcq__command_read(&c, TEXT("\5PING\0")), MCQ_ECOMMAND);
  assert_int_equal(mcq__command_read(&c, TEXT("\5PING ")), MCQ_ECOMMAND);
  assert_int_equal(mcq__command_read(&c, TEXT("PING\0")), MCQ_ECOMMAND);
}

static void every_byte_of_a_name_is_graphic(void** state) {
  (void) state;
  for (unsigned byte = 0; byte < 256; byte++) {
    uint8_t body[4] = {3, 'A', (uint8_t) byte, 'B'};
    mcq__command_t c;
    int rc = mcq__command_read(&c, mcq__slice_static(body, 4));
    assert_int_equal(rc, byte > 32 && byte < 127 ? 0 : MCQ_ECOMMAND);
  }
}

static void the_longest_name(void** state) {
  (void) state;
  uint8_t body[256];
  mcq__command_t c;
  memset(body, 'N', sizeof body);
  body[0] = 255;
  assert_int_equal(mcq__command_read(&c, mcq__slice_static(body, 256)), 0);
  assert_int_equal(c.name.len, 255);
  assert_int_equal(c.data.len, 0);
  assert_int_equal(mcq__command_read(&c, mcq__slice_static(body, 255)),
                   MCQ_ECOMMAND);
}

static void contexts_have_up_to_16_bytes(void** state) {
  (void) state;
  uint8_t body[64] = "\4PING";
  for (size_t len = 0; len <= 40; len++) {
    mcq__command_t c;
    mcq__slice_t context;
    memcpy(body, "\4PING", 5);
    assert_int_equal(mcq__command_read(&c, mcq__slice_static(body, 5 + len)),
                     0);
    int rc = mcq__command_context(&context, &c);
    assert_int_equal(rc, len >= 2 && len <= 18 ? 0 : MCQ_ECOMMAND);
    if (rc == 0) assert_int_equal(context.len, len - 2);
    if (rc == 0 && len > 2) assert_ptr_equal(context.data, &body[7]);
    memcpy(body, "\4PONG", 5);
    assert_int_equal(mcq__command_read(&c, mcq__slice_static(body, 5 + len)),
                     0);
    rc = mcq__command_context(&context, &c);
    assert_int_equal(rc, len <= 16 ? 0 : MCQ_ECOMMAND);
    if (rc == 0) assert_int_equal(context.len, len);
  }
}

static void reasons_fit_exactly(void** state) {
  (void) state;
  static const struct {
    const char* data;
    size_t len;
    int rc;
  } table[] = {
      {"\5ERROR", 6, MCQ_ECOMMAND},
      {"\5ERROR\0", 7, 0},
      {"\5ERROR\3why", 10, 0},
      {"\5ERROR\4why", 10, MCQ_ECOMMAND},
      {"\5ERROR\2why", 10, MCQ_ECOMMAND},
      {"\5ERROR\xFFwhy", 10, MCQ_ECOMMAND},
      {"\5ERROR\1", 7, MCQ_ECOMMAND},
      {"\5ERROR\0x", 8, MCQ_ECOMMAND},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    mcq__command_t c;
    mcq__slice_t reason;
    assert_int_equal(
        mcq__command_read(&c, mcq__slice_static(table[i].data, table[i].len)),
        0);
    assert_int_equal(mcq__command_reason(&reason, &c), table[i].rc);
    if (table[i].rc == 0) assert_int_equal(reason.len, table[i].len - 7);
  }
}

/* What the chain holds, whole. */
static size_t queued(mcq__chain_t* chain, uint8_t* out, size_t cap) {
  size_t len = chain->bytes;
  assert_true(len <= cap);
  mcq__chain_peek(chain, 0, out, len);
  mcq__chain_drain(chain, len);
  return len;
}

static void sent_byte_for_byte(void** state) {
  (void) state;
  test_pool_t t;
  mcq__chain_t chain;
  uint8_t out[1024];
  test_pool_open(&t);
  mcq__chain_init(&chain, t.mem);
  assert_int_equal(mcq__command_send(&chain, t.pool, "PONG", TEXT("")), 0);
  assert_int_equal(queued(&chain, out, sizeof out), 7);
  assert_memory_equal(out, "\4\5\4PONG", 7);
  assert_int_equal(mcq__command_send(&chain, t.pool, "SUBSCRIBE", TEXT("A\0B")),
                   0);
  assert_int_equal(queued(&chain, out, sizeof out), 15);
  assert_memory_equal(out, "\4\15\11SUBSCRIBEA\0B", 15);
  assert_int_equal(mcq__command_send_error(&chain, t.pool, "no"), 0);
  assert_int_equal(queued(&chain, out, sizeof out), 11);
  assert_memory_equal(out, "\4\11\5ERROR\2no", 11);
  mcq__chain_dispose(&chain);
  test_pool_close(&t);
}

/* Topics around the length at which the header changes its form. */
static void long_commands_have_long_headers(void** state) {
  (void) state;
  static const size_t sizes[] = {244, 245, 246, 247, 254, 255, 256, 257, 65535};
  static uint8_t out[66000];
  static uint8_t topic[65535];
  test_pool_t t;
  mcq__chain_t chain;
  test_pool_open(&t);
  mcq__chain_init(&chain, t.mem);
  for (size_t i = 0; i < sizeof topic; i++) topic[i] = (uint8_t) i;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    size_t body = sizes[i] + 10;
    size_t head = body <= 255 ? 2 : 9;
    assert_int_equal(mcq__command_send(&chain, t.pool, "SUBSCRIBE",
                                       mcq__slice_static(topic, sizes[i])),
                     0);
    assert_int_equal(queued(&chain, out, sizeof out), head + body);
    assert_int_equal(out[0], head == 2 ? 4 : 6);
    uint64_t len = 0;
    for (size_t k = 1; k < head; k++) len = len << 8 | out[k];
    assert_int_equal(len, body);
    assert_memory_equal(&out[head], "\11SUBSCRIBE", 10);
    assert_memory_equal(&out[head + 10], topic, sizes[i]);
  }
  mcq__chain_dispose(&chain);
  test_pool_close(&t);
}

static void reasons_are_cut_and_made_printable(void** state) {
  (void) state;
  char reason[400];
  uint8_t out[512];
  test_pool_t t;
  mcq__chain_t chain;
  test_pool_open(&t);
  mcq__chain_init(&chain, t.mem);
  memset(reason, 'r', sizeof reason);
  reason[1] = '\n';
  reason[399] = '\0';
  assert_int_equal(mcq__command_send_error(&chain, t.pool, reason), 0);
  assert_int_equal(queued(&chain, out, sizeof out), 9 + 6 + 1 + 255);
  assert_int_equal(out[0], 6);
  assert_int_equal(out[15], 255);
  assert_memory_equal(&out[16], "r?rr", 4);
  mcq__chain_dispose(&chain);
  test_pool_close(&t);
}

static void printable_text(void** state) {
  (void) state;
  char out[8];
  assert_int_equal(mcq__printable(out, 8, TEXT("a\0b\x7F\xFF ~")), 7);
  assert_string_equal(out, "a?b?? ~");
  assert_int_equal(mcq__printable(out, 4, TEXT("abcdef")), 3);
  assert_string_equal(out, "abc");
  assert_int_equal(mcq__printable(out, 4, TEXT("abc")), 3);
  assert_int_equal(mcq__printable(out, 1, TEXT("abc")), 0);
  assert_string_equal(out, "");
  assert_int_equal(mcq__printable(out, 8, TEXT("")), 0);
}

static int send_some(test_alloc_t* ta, void* arg) {
  (void) arg;
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  mcq__chain_t chain;
  int rc = mcq__mem_open(&mem, &allocator);
  if (rc != 0) return rc;
  rc = mcq__pool_open(&pool, mem);
  if (rc == 0) {
    mcq__chain_init(&chain, mem);
    rc = mcq__command_send(&chain, pool, "PING", TEXT("\0\0"));
    assert_int_equal(chain.bytes, rc == 0 ? 9 : 0);
    if (rc == 0) rc = mcq__command_send_error(&chain, pool, "reason");
    mcq__chain_dispose(&chain);
    mcq__pool_close(pool);
  }
  mcq__mem_close(mem);
  return rc;
}

static void every_allocation_may_fail(void** state) {
  (void) state;
  assert_true(test_alloc_sweep(send_some, NULL) >= 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_names),
      cmocka_unit_test(names_that_are_none),
      cmocka_unit_test(every_byte_of_a_name_is_graphic),
      cmocka_unit_test(the_longest_name),
      cmocka_unit_test(contexts_have_up_to_16_bytes),
      cmocka_unit_test(reasons_fit_exactly),
      cmocka_unit_test(sent_byte_for_byte),
      cmocka_unit_test(long_commands_have_long_headers),
      cmocka_unit_test(reasons_are_cut_and_made_printable),
      cmocka_unit_test(printable_text),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
