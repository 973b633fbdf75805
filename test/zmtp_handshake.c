/* SPDX-License-Identifier: MIT */
/* The session until READY: what we say, what we take, what we refuse, and the
 * clock. */
#include "zmtp/session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "support/pool.h"
#include "support/zmtp_rig.h"

#define TEXT(s) mcq__slice_static(s, sizeof(s) - 1)
#define ERROR_TYPE "\4\46\5ERROR\37Invalid socket type combination"

static test_pool_t bench;

static int set_up(void** state) {
  (void) state;
  test_pool_open(&bench);
  return 0;
}

static int tear_down(void** state) {
  (void) state;
  test_pool_close(&bench);
  return 0;
}

static mcq__session_t* open_with(const mcq__session_config_t* c) {
  mcq__session_t* s;
  assert_int_equal(mcq__zmtp.open(&s, c, 1000), 0);
  assert_int_equal(mcq__zmtp.start(s), 0);
  return s;
}

static mcq__session_t* open_plain(void) {
  mcq__session_config_t c = rig_config(bench.pool);
  return open_with(&c);
}

/* Feeds `b`, empties it, and returns what came: exactly one event. */
static mcq__event_kind_t feed_one(mcq__session_t* s, rig_bytes_t* b,
                                  mcq__event_t* ev) {
  mcq__event_t none;
  mcq__zmtp.feed(s, mcq__slice_static(b->data, b->len));
  mcq__event_kind_t kind = mcq__zmtp.next(s, ev);
  if (kind != MCQ__EV_NONE)
    assert_int_equal(mcq__zmtp.next(s, &none), MCQ__EV_NONE);
  rig_free(b);
  return kind;
}

static void assert_out(mcq__session_t* s, const void* data, size_t len) {
  rig_bytes_t out = {0};
  rig_drain(s, &out);
  assert_int_equal(out.len, len);
  if (len != 0) assert_memory_equal(out.data, data, len);
  rig_free(&out);
}

static void drop_out(mcq__session_t* s) {
  rig_bytes_t out = {0};
  rig_drain(s, &out);
  rig_free(&out);
}

/* A session that has seen a good greeting and has said all it has to say. */
static mcq__session_t* open_greeted(void) {
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s = open_plain();
  rig_greeting(&b, 3, 1, "NULL");
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_NONE);
  drop_out(s);
  return s;
}

static void expect_failure(mcq__session_t* s, rig_bytes_t* b, int code) {
  mcq__event_t ev = {0};
  assert_int_equal(feed_one(s, b, &ev), MCQ__EV_FAILED);
  assert_int_equal(ev.code, code);
  assert_non_null(ev.text);
  assert_string_not_equal(ev.text, "");
}

/* ---- what we say --------------------------------------------------------- */

static void the_greeting_comes_first_and_whole(void** state) {
  (void) state;
  static const uint8_t expected[64] = {0xFF, 0,    0, 0, 0,   0,   0,   0,
                                       0,    0x7F, 3, 1, 'N', 'U', 'L', 'L'};
  mcq__event_t ev;
  mcq__session_t* s = open_plain();
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  assert_out(s, expected, 64);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  assert_out(s, NULL, 0);
  mcq__zmtp.close(s);
}

static void expect_ready(const mcq__session_config_t* c, const void* data,
                         size_t len) {
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s = open_with(c);
  drop_out(s);
  rig_greeting(&b, 3, 1, "NULL");
  b.len--; /* all but the last byte: nothing to say yet */
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_NONE);
  assert_out(s, NULL, 0);
  rig_byte(&b, 0);
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_NONE);
  assert_out(s, data, len);
  mcq__zmtp.close(s);
}

/* The worked example of the RFC, and what else belongs into READY. */
static void ready_follows_the_greeting_at_once(void** state) {
  (void) state;
  mcq__session_config_t c = rig_config(bench.pool);
  expect_ready(
      &c, "\4\51\5READY\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0\0", 43);
  c.socket_type = "ROUTER";
  c.send_routing_id = false;
  expect_ready(&c, "\4\34\5READY\13Socket-Type\0\0\0\6ROUTER", 30);
  mcq__property_t more[] = {{TEXT("X-name"), TEXT("v\0")}};
  c.send_routing_id = true;
  c.routing_id = TEXT("worker-1");
  c.properties = more;
  c.property_count = 1;
  expect_ready(&c,
               "\4\76\5READY\13Socket-Type\0\0\0\6ROUTER"
               "\10Identity\0\0\0\10worker-1\6X-name\0\0\0\2v\0",
               64);
}

static void a_long_ready_has_a_long_header(void** state) {
  (void) state;
  char value[300];
  mcq__property_t more[] = {{TEXT("X-long"), {(uint8_t*) value, 300, NULL}}};
  mcq__session_config_t c = rig_config(bench.pool);
  rig_bytes_t expected = {0};
  memset(value, 'v', sizeof value);
  c.send_routing_id = false;
  c.properties = more;
  c.property_count = 1;
  rig_head(&expected, 6, 6 + 22 + 311);
  rig_add(&expected, "\5READY\13Socket-Type\0\0\0\6DEALER", 28);
  rig_property(&expected, "X-long", value, 300);
  expect_ready(&c, expected.data, expected.len);
  rig_free(&expected);
}

/* ---- the greeting of the peer
 * ------------------------------------------------ */

static void versions_are_negotiated(void** state) {
  (void) state;
  static const unsigned table[][3] = {
      {3, 0, 0}, {3, 1, 1}, {3, 9, 1}, {4, 0, 1}, {255, 255, 1}};
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    rig_bytes_t b = {0};
    mcq__event_t ev;
    mcq__session_t* s = open_plain();
    rig_greeting(&b, table[i][0], table[i][1], "NULL");
    rig_ready(&b, "ROUTER", NULL, 0);
    assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_READY);
    assert_int_equal(mcq__zmtp.hello(s)->version_major, 3);
    assert_int_equal(mcq__zmtp.hello(s)->version_minor, table[i][2]);
    assert_string_equal(mcq__zmtp.hello(s)->mechanism, "NULL");
    mcq__zmtp.close(s);
  }
}

static void other_mechanisms_are_named(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s = open_plain();
  rig_greeting(&b, 3, 1, "CURVE");
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_FAILED);
  assert_int_equal(ev.code, MCQ_EMECHANISM);
  assert_non_null(strstr(ev.text, "'CURVE'"));
  assert_non_null(strstr(ev.text, "'NULL'"));
  mcq__zmtp.close(s);
  s = open_plain();
  rig_greeting(&b, 3, 1, "CURVE");
  b.data[18] = 'x'; /* behind the padding, between control bytes */
  b.data[19] = '\n';
  b.data[20] = 0x80;
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_FAILED);
  assert_int_equal(ev.code, MCQ_EMECHANISM);
  assert_non_null(strstr(ev.text, "'CURVE?x?\?'"));
  mcq__zmtp.close(s);
}

static void strangers_are_told_apart(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_add(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
  expect_failure(s, &b, MCQ_EGREETING);
  mcq__zmtp.close(s);
  s = open_plain();
  rig_add(&b, "\x01\x00", 2);
  expect_failure(s, &b, MCQ_ELEGACY);
  mcq__zmtp.close(s);
  s = open_plain();
  rig_greeting(&b, 1, 5, "NULL");
  expect_failure(s, &b, MCQ_ELEGACY);
  assert_out(s,
             "\xFF\0\0\0\0\0\0\0\0\x7F\3\1NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
             "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
             "\0\0",
             64); /* and no READY */
  mcq__zmtp.close(s);
}

/* ---- READY of the peer
 * -------------------------------------------------------- */

/* Feeds READY with `data`; returns the event, the session in *out. */
static mcq__event_kind_t ready_with(const void* data, size_t len,
                                    mcq__session_t** out, mcq__event_t* ev) {
  rig_bytes_t b = {0};
  *out = open_greeted();
  rig_command(&b, "READY", data, len);
  return feed_one(*out, &b, ev);
}

static void hello_tells_what_the_peer_said(void** state) {
  (void) state;
  rig_bytes_t data = {0};
  mcq__session_t* s;
  mcq__event_t ev;
  rig_property(&data, "X-first", "1", 1);
  rig_property(&data, "soCKet-tyPE", "ROUTER", 6);
  rig_property(&data, "IDENTITY", "broker", 6);
  rig_property(&data, "identity", "\0other", 6);
  rig_property(&data, "Socket-Type", "nonsense", 8);
  rig_property(&data, "X-empty", "", 0);
  assert_int_equal(ready_with(data.data, data.len, &s, &ev), MCQ__EV_READY);
  rig_free(&data); /* hello stands on its own */
  const mcq__hello_t* h = mcq__zmtp.hello(s);
  assert_string_equal(h->socket_type, "ROUTER");
  assert_true(mcq__slice_equal(h->routing_id, "broker", 6));
  assert_int_equal(h->property_count, 6);
  assert_true(mcq__slice_equal(h->properties[0].name, "X-first", 7));
  assert_true(mcq__slice_equal(h->properties[0].value, "1", 1));
  assert_true(mcq__slice_equal(h->properties[4].value, "nonsense", 8));
  assert_int_equal(h->properties[5].value.len, 0);
  mcq__zmtp.close(s);
}

static mcq__event_kind_t ready_with_id(const void* id, size_t len,
                                       mcq__session_t** s, mcq__event_t* ev) {
  rig_bytes_t data = {0};
  rig_property(&data, "Socket-Type", "REP", 3);
  rig_property(&data, "Identity", id, len);
  mcq__event_kind_t kind = ready_with(data.data, data.len, s, ev);
  rig_free(&data);
  return kind;
}

static void identities(void** state) {
  (void) state;
  char id[256];
  mcq__session_t* s;
  mcq__event_t ev;
  memset(id, 'i', sizeof id);
  assert_int_equal(ready_with_id(id, 0, &s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.hello(s)->routing_id.len, 0);
  mcq__zmtp.close(s);
  assert_int_equal(ready_with_id(id, 255, &s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.hello(s)->routing_id.len, 255);
  mcq__zmtp.close(s);
  assert_int_equal(ready_with_id(id, 256, &s, &ev), MCQ__EV_FAILED);
  assert_int_equal(ev.code, MCQ_EMETADATA);
  mcq__zmtp.close(s);
  /* Reserved to the receiver's own names: as if there were none. */
  assert_int_equal(ready_with_id("\0abc", 4, &s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.hello(s)->routing_id.len, 0);
  assert_int_equal(mcq__zmtp.hello(s)->properties[1].value.len, 4);
  mcq__zmtp.close(s);
}

static void expect_type_error(const void* data, size_t len, const char* says) {
  mcq__session_t* s;
  mcq__event_t ev;
  assert_int_equal(ready_with(data, len, &s, &ev), MCQ__EV_FAILED);
  assert_int_equal(ev.code, MCQ_ETYPE);
  assert_non_null(strstr(ev.text, says));
  assert_out(s, ERROR_TYPE, 40);
  mcq__zmtp.close(s);
}

static void types_match_exactly_or_get_an_error(void** state) {
  (void) state;
  static const struct {
    const char* type;
    size_t len;
    const char* shown;
  } table[] = {
      {"router", 6, "'router'"},
      {"Router", 6, "'Router'"},
      {"ROUTER\0", 7, "'ROUTER?'"},
      {"ROUTER ", 7, "'ROUTER '"},
      {" ROUTER", 7, "' ROUTER'"},
      {"ROUTE", 5, "'ROUTE'"},
      {"", 0, "''"},
      {"PUB", 3, "'PUB'"},
      {"BANANA", 6, "'BANANA'"},
      {"a\n\x1b[31m", 7, "'a??[31m'"},
      {"0123456789abcdef0123456789abcdefTOO LONG", 40,
       "'0123456789abcdef0123456789abcdef'"},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    rig_bytes_t data = {0};
    rig_property(&data, "Socket-Type", table[i].type, table[i].len);
    expect_type_error(data.data, data.len, table[i].shown);
    rig_free(&data);
  }
  expect_type_error("", 0, "Socket-Type");
  expect_type_error("\1x\0\0\0\6ROUTER", 12, "Socket-Type");
}

static void malformed_metadata_fails(void** state) {
  (void) state;
  static const struct {
    const char* data;
    size_t len;
  } table[] = {
      {"\0", 1},
      {"\13Socket-Type\0\0\0\6ROUTE", 21},
      {"\13Socket-Type\0\0\0\6ROUTER\0", 23},
      {"\13Socket-Type\0\0\0\6ROUTER\0\0\0\0\0", 27},
      {"\13Socket-Type\xFF\xFF\xFF\xFFROUTER............", 34},
      {"\13Socket-Type\x7F\xFF\xFF\xFFROUTER............", 34},
      {"\13Socket-Type\0\0\0\6ROUTER\xFFxx", 25},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    mcq__session_t* s;
    mcq__event_t ev;
    assert_int_equal(ready_with(table[i].data, table[i].len, &s, &ev),
                     MCQ__EV_FAILED);
    assert_int_equal(ev.code, MCQ_EMETADATA);
    mcq__zmtp.close(s);
  }
}

/* ---- every pair of types
 * --------------------------------------------------------- */

typedef struct type {
  const char* name;
  const char* const* mates;
} type_t;

#define MATES(...)        \
  (const char* const[]) { \
    __VA_ARGS__, NULL     \
  }

/* Two sessions, nothing between them but bytes. */
static void greet_each_other(mcq__session_t* a, rig_log_t* log_a,
                             mcq__session_t* b, rig_log_t* log_b) {
  for (int round = 0; round < 4; round++) {
    rig_bytes_t to_a = {0};
    rig_bytes_t to_b = {0};
    rig_drain(a, &to_b);
    rig_drain(b, &to_a);
    rig_feed_once(b, bench.pool, to_b.data, to_b.len, false, log_b);
    rig_feed_once(a, bench.pool, to_a.data, to_a.len, false, log_a);
    rig_free(&to_a);
    rig_free(&to_b);
  }
}

static void every_pair_of_types(void** state) {
  (void) state;
  const type_t types[] = {
      {"REQ", MATES("REP", "ROUTER")},
      {"REP", MATES("REQ", "DEALER")},
      {"DEALER", MATES("REP", "DEALER", "ROUTER")},
      {"ROUTER", MATES("REQ", "DEALER", "ROUTER")},
      {"PUB", MATES("SUB", "XSUB")},
      {"XPUB", MATES("SUB", "XSUB")},
      {"SUB", MATES("PUB", "XPUB")},
      {"XSUB", MATES("PUB", "XPUB")},
      {"PUSH", MATES("PULL")},
      {"PULL", MATES("PUSH")},
      {"PAIR", MATES("PAIR")},
  };
  /* Row by row as above; the table of the RFC, written down once more. */
  static const char* const allowed[11] = {
      ".x.x.......", "x.x........", ".xxx.......", "x.xx.......",
      "......xx...", "......xx...", "....xx.....", "....xx.....",
      ".........x.", "........x..", "..........x"};
  for (size_t i = 0; i < 11; i++) {
    for (size_t j = 0; j < 11; j++) {
      mcq__session_config_t c = rig_config(bench.pool);
      rig_log_t log_a = {0};
      rig_log_t log_b = {0};
      c.socket_type = types[i].name;
      c.mates = types[i].mates;
      mcq__session_t* a = open_with(&c);
      c.socket_type = types[j].name;
      c.mates = types[j].mates;
      c.incoming = true;
      mcq__session_t* b = open_with(&c);
      greet_each_other(a, &log_a, b, &log_b);
      assert_int_equal(log_a.events, 1);
      assert_int_equal(log_b.events, 1);
      if (allowed[i][j] == 'x') {
        assert_int_equal(log_a.last, MCQ__EV_READY);
        assert_int_equal(log_b.last, MCQ__EV_READY);
        assert_string_equal(mcq__zmtp.hello(a)->socket_type, types[j].name);
        assert_string_equal(mcq__zmtp.hello(b)->socket_type, types[i].name);
      } else {
        assert_int_equal(log_a.last, MCQ__EV_FAILED);
        assert_int_equal(log_a.code, MCQ_ETYPE);
        assert_int_equal(log_b.last, MCQ__EV_FAILED);
        assert_int_equal(log_b.code, MCQ_ETYPE);
      }
      mcq__zmtp.close(a);
      mcq__zmtp.close(b);
      rig_log_free(&log_a);
      rig_log_free(&log_b);
    }
  }
}

/* ---- out of order
 * -------------------------------------------------------------- */

static void only_ready_and_error_may_come(void** state) {
  (void) state;
  static const char* const names[] = {"PING",     "PONG",  "SUBSCRIBE", "HELLO",
                                      "INITIATE", "ready", "CANCEL"};
  rig_bytes_t b = {0};
  mcq__session_t* s;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    s = open_greeted();
    rig_command(&b, names[i], "\0\0", 2);
    expect_failure(s, &b, MCQ_ECOMMAND);
    assert_out(s, NULL, 0);
    mcq__zmtp.close(s);
  }
  for (unsigned flags = 0; flags < 4; flags++) {
    s = open_greeted();
    rig_head(&b, flags, 5); /* at the header, without the body */
    expect_failure(s, &b, MCQ_ECOMMAND);
    mcq__zmtp.close(s);
  }
  s = open_greeted();
  rig_frame(&b, 4, "\0", 1);
  expect_failure(s, &b, MCQ_ECOMMAND);
  mcq__zmtp.close(s);
  s = open_greeted();
  rig_frame(&b, 4, "", 0);
  expect_failure(s, &b, MCQ_ECOMMAND);
  mcq__zmtp.close(s);
  s = open_greeted();
  rig_byte(&b, 8);
  expect_failure(s, &b, MCQ_EFRAME);
  mcq__zmtp.close(s);
  s = open_greeted();
  rig_byte(&b, 5);
  expect_failure(s, &b, MCQ_EFRAME);
  mcq__zmtp.close(s);
}

/* Who announces more than 64 KiB before it is known gets no memory for it. */
static void commands_are_bounded_at_their_header(void** state) {
  (void) state;
  static const uint64_t lengths[] = {
      65536 + 257, UINT64_C(0x80000000), UINT64_C(0x100000000),
      UINT64_C(0x100000005), UINT64_C(0x7FFFFFFFFFFFFFFF)};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    rig_bytes_t b = {0};
    mcq__session_t* s = open_greeted();
    size_t calls = atomic_load(&bench.alloc.calls);
    rig_head(&b, 6, lengths[i]);
    expect_failure(s, &b, MCQ_ECOMMAND);
    assert_int_equal(atomic_load(&bench.alloc.calls), calls);
    mcq__zmtp.close(s);
  }
}

static void a_ready_of_64_kib_is_taken(void** state) {
  (void) state;
  static char value[65536 - 22 - 11];
  rig_bytes_t data = {0};
  mcq__session_t* s;
  mcq__event_t ev;
  rig_property(&data, "Socket-Type", "ROUTER", 6);
  rig_property(&data, "X-long", value, sizeof value);
  assert_int_equal(data.len, 65536);
  assert_int_equal(ready_with(data.data, data.len, &s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.hello(s)->properties[1].value.len, sizeof value);
  mcq__zmtp.close(s);
  rig_free(&data);
}

/* ---- ERROR
 * ------------------------------------------------------------------------ */

static void errors_are_refusals(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__event_t ev;
  char longest[257];
  mcq__session_t* s = open_greeted();
  rig_command(&b, "ERROR",
              "\3"
              "400",
              4);
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_REFUSED);
  assert_true(mcq__slice_equal(ev.body, "400", 3));
  mcq__zmtp.close(s);
  s = open_greeted();
  rig_command(&b, "ERROR", "\0", 1);
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_REFUSED);
  assert_int_equal(ev.body.len, 0);
  mcq__zmtp.close(s);
  s = open_greeted();
  rig_command(&b, "ERROR", "\7a\n\0\x1b\x7f\xffz", 8);
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_REFUSED);
  assert_true(mcq__slice_equal(ev.body, "a?????z", 7));
  mcq__zmtp.close(s);
  s = open_greeted();
  memset(longest, 'e', sizeof longest);
  longest[0] = (char) 0xFF;
  rig_command(&b, "ERROR", longest, 256);
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_REFUSED);
  assert_true(mcq__slice_equal(ev.body, &longest[1], 255));
  mcq__zmtp.close(s);
  s = open_greeted();
  rig_command(&b, "ERROR", "\4abc", 4);
  expect_failure(s, &b, MCQ_ECOMMAND);
  mcq__zmtp.close(s);
}

/* Both in one read: the peer sent READY and thought better of it. */
static void an_error_may_follow_ready(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s = open_greeted();
  rig_ready(&b, "ROUTER", NULL, 0);
  rig_command(&b, "ERROR", "\2no", 3);
  mcq__zmtp.feed(s, mcq__slice_static(b.data, b.len));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_REFUSED);
  assert_true(mcq__slice_equal(ev.body, "no", 2));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  rig_free(&b);
  mcq__zmtp.close(s);
}

/* ---- our refusal
 * ------------------------------------------------------------------- */

/* Who may yet refuse says READY when it does not: to those who come in. */
static void hesitating(void** state) {
  (void) state;
  for (int incoming = 0; incoming < 2; incoming++) {
    for (int taken = 0; taken < 2; taken++) {
      mcq__session_config_t c = rig_config(bench.pool);
      rig_bytes_t b = {0};
      mcq__event_t ev;
      c.hesitates = true;
      c.incoming = incoming;
      mcq__session_t* s = open_with(&c);
      drop_out(s);
      rig_greeting(&b, 3, 1, "NULL");
      assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_NONE);
      size_t ready = mcq__zmtp.out(s)->bytes;
      if (incoming) assert_int_equal(ready, 0);
      if (!incoming) assert_in_range(ready, 40, 60);
      drop_out(s);
      rig_ready(&b, "ROUTER", NULL, 0);
      assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_READY);
      assert_int_equal(mcq__zmtp.out(s)->bytes, 0);
      if (taken) assert_int_equal(mcq__zmtp.welcome(s), 0);
      if (!taken) assert_int_equal(mcq__zmtp.refuse(s, "twin"), 0);
      rig_bytes_t out = {0};
      rig_drain(s, &out);
      if (taken && incoming) assert_memory_equal(out.data + 2, "\5READY", 6);
      if (taken && !incoming) assert_int_equal(out.len, 0);
      if (!taken) assert_memory_equal(out.data, "\4\13\5ERROR\4twin", out.len);
      rig_free(&out);
      mcq__zmtp.close(s);
    }
  }
}

static void refusing(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s = open_greeted();
  assert_int_equal(mcq__zmtp.refuse(s, "busy"), 0);
  assert_out(s, "\4\13\5ERROR\4busy", 13);
  rig_ready(&b, "ROUTER", NULL, 0);
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_NONE);
  assert_int_equal(mcq__zmtp.refuse(s, "again"), 0);
  assert_out(s, NULL, 0);
  assert_true(mcq__zmtp.expiry(s) == MCQ__NO_DEADLINE);
  mcq__zmtp.tick(s, UINT64_MAX);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  mcq__zmtp.close(s);
  /* Before the peer has said a word: behind our greeting. */
  s = open_plain();
  assert_int_equal(mcq__zmtp.refuse(s, "busy"), 0);
  assert_int_equal(mcq__zmtp.out(s)->bytes, 64 + 13);
  mcq__zmtp.close(s);
  /* Before we have: in silence. */
  mcq__session_config_t c = rig_config(bench.pool);
  assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
  assert_int_equal(mcq__zmtp.refuse(s, "busy"), 0);
  assert_out(s, NULL, 0);
  mcq__zmtp.close(s);
  /* In traffic, with input not used up. */
  s = open_greeted();
  rig_ready(&b, "ROUTER", NULL, 0);
  rig_frame(&b, 0, "x", 1);
  mcq__zmtp.feed(s, mcq__slice_static(b.data, b.len));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.refuse(s, "twin"), 0);
  assert_out(s, "\4\13\5ERROR\4twin", 13);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  rig_free(&b);
  mcq__zmtp.close(s);
}

/* ---- the clock
 * ------------------------------------------------------------------------ */

static void trickling_does_not_move_the_deadline(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__event_t ev;
  uint64_t now = 1000;
  mcq__session_t* s = open_plain();
  rig_hello(&b, "ROUTER");
  assert_true(b.len < 100);
  for (size_t i = 0; i < b.len - 1; i++, now += 100) {
    assert_true(mcq__zmtp.expiry(s) == 11000);
    mcq__zmtp.tick(s, now);
    mcq__zmtp.feed(s, mcq__slice_static(&b.data[i], 1));
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  }
  mcq__zmtp.tick(s, 10999);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  mcq__zmtp.tick(s, 11000);
  assert_true(mcq__zmtp.expiry(s) == MCQ__NO_DEADLINE);
  mcq__zmtp.feed(s, mcq__slice_static(&b.data[b.len - 1], 1)); /* too late */
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FAILED);
  assert_int_equal(ev.code, MCQ_EHANDSHAKE);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  rig_free(&b);
  mcq__zmtp.close(s);
}

static void there_is_no_deadline_after_ready(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s = open_greeted();
  rig_ready(&b, "ROUTER", NULL, 0);
  assert_int_equal(feed_one(s, &b, &ev), MCQ__EV_READY);
  assert_true(mcq__zmtp.expiry(s) == MCQ__NO_DEADLINE);
  mcq__zmtp.tick(s, UINT64_MAX);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  mcq__zmtp.close(s);
}

static void deadlines_at_the_edges(void** state) {
  (void) state;
  mcq__session_t* s;
  mcq__event_t ev;
  mcq__session_config_t c = rig_config(bench.pool);
  c.handshake_ms = MCQ__NO_DEADLINE;
  assert_int_equal(mcq__zmtp.open(&s, &c, 5), 0);
  assert_true(mcq__zmtp.expiry(s) == MCQ__NO_DEADLINE);
  mcq__zmtp.tick(s, UINT64_MAX);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  mcq__zmtp.close(s);
  c.handshake_ms = 10; /* near the end of time */
  assert_int_equal(mcq__zmtp.open(&s, &c, UINT64_MAX - 5), 0);
  assert_true(mcq__zmtp.expiry(s) == MCQ__NO_DEADLINE);
  mcq__zmtp.close(s);
  assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
  assert_true(mcq__zmtp.expiry(s) == 10);
  mcq__zmtp.close(s);
}

/* ---- after the end
 * ----------------------------------------------------------------------- */

static void nothing_comes_after_the_end(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s = open_greeted();
  rig_frame(&b, 0, "early", 5);
  rig_hello(&b, "ROUTER");
  expect_failure(s, &b, MCQ_ECOMMAND);
  for (int i = 0; i < 3; i++) {
    rig_log_t log = {0};
    rig_ready(&b, "ROUTER", NULL, 0);
    rig_feed_once(s, bench.pool, b.data, b.len, false, &log);
    assert_int_equal(log.events, 0);
    assert_null(mcq__zmtp.want(s));
    mcq__zmtp.filled(s, 1);
    assert_int_equal(mcq__zmtp.hold(s), 0);
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  }
  assert_out(s, NULL, 0);
  rig_free(&b);
  mcq__zmtp.close(s);
}

static void closing_is_possible_at_any_time(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s;
  mcq__session_config_t c = rig_config(bench.pool);
  mcq__zmtp.close(NULL);
  assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
  mcq__zmtp.close(s);
  rig_hello(&b, "ROUTER");
  rig_frame(&b, 1, "body", 4);
  for (size_t len = 0; len <= b.len; len++) {
    rig_log_t log = {0};
    s = open_with(&c);
    rig_feed_once(s, bench.pool, b.data, len, false, &log);
    mcq__zmtp.close(s);
    rig_log_free(&log);
  }
  rig_free(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_greeting_comes_first_and_whole),
      TEST(ready_follows_the_greeting_at_once),
      TEST(a_long_ready_has_a_long_header),
      TEST(versions_are_negotiated),
      TEST(other_mechanisms_are_named),
      TEST(strangers_are_told_apart),
      TEST(hello_tells_what_the_peer_said),
      TEST(identities),
      TEST(types_match_exactly_or_get_an_error),
      TEST(malformed_metadata_fails),
      TEST(every_pair_of_types),
      TEST(only_ready_and_error_may_come),
      TEST(commands_are_bounded_at_their_header),
      TEST(a_ready_of_64_kib_is_taken),
      TEST(errors_are_refusals),
      TEST(an_error_may_follow_ready),
      TEST(hesitating),
      TEST(refusing),
      TEST(trickling_does_not_move_the_deadline),
      TEST(there_is_no_deadline_after_ready),
      TEST(deadlines_at_the_edges),
      TEST(nothing_comes_after_the_end),
      TEST(closing_is_possible_at_any_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
