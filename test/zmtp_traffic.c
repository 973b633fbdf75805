/* SPDX-License-Identifier: MIT */
/* The session after READY: frames, limits at the header, commands, and frames
 * under a seal. */
#include "zmtp/session.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "support/pool.h"
#include "support/zmtp_rig.h"

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

static void drop_out(mcq__session_t* s) {
  rig_bytes_t out = {0};
  rig_drain(s, &out);
  rig_free(&out);
}

/* A session in traffic, its own words drained. */
static mcq__session_t* open_ready(const mcq__session_config_t* c) {
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s;
  assert_int_equal(mcq__zmtp.open(&s, c, 0), 0);
  assert_int_equal(mcq__zmtp.start(s), 0);
  rig_hello(&b, "ROUTER");
  mcq__zmtp.feed(s, mcq__slice_static(b.data, b.len));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  drop_out(s);
  rig_free(&b);
  return s;
}

static mcq__session_t* open_plain(void) {
  mcq__session_config_t c = rig_config(bench.pool);
  return open_ready(&c);
}

/* Bytes to feed stay where they are until the next feed. */
static rig_bytes_t fed;

static void feed(mcq__session_t* s, rig_bytes_t* b) {
  rig_free(&fed);
  fed = *b;
  memset(b, 0, sizeof *b);
  mcq__zmtp.feed(s, mcq__slice_static(fed.data, fed.len));
}

static void expect_frame(mcq__session_t* s, const void* body, size_t len,
                         bool more) {
  mcq__event_t ev = {0};
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  assert_true(mcq__slice_equal(ev.body, body, len));
  assert_int_equal(ev.more, more);
}

static void expect_body(mcq__session_t* s, mcq__event_kind_t kind,
                        const void* body, size_t len) {
  mcq__event_t ev = {0};
  assert_int_equal(mcq__zmtp.next(s, &ev), kind);
  assert_true(mcq__slice_equal(ev.body, body, len));
}

static void expect_ping(mcq__session_t* s, uint64_t ttl) {
  mcq__event_t ev = {0};
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_PING);
  assert_int_equal(ev.ttl, ttl);
}

static void expect_none(mcq__session_t* s) {
  mcq__event_t ev;
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
}

static void expect_failure(mcq__session_t* s, int code, const char* says) {
  mcq__event_t ev = {0};
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FAILED);
  assert_int_equal(ev.code, code);
  assert_non_null(strstr(ev.text, says));
  expect_none(s);
}

static void end(mcq__session_t* s) {
  mcq__zmtp.close(s);
  rig_free(&fed);
}

/* ---- frames
 * ------------------------------------------------------------------- */

static void frames_of_every_form(void** state) {
  (void) state;
  static uint8_t body[70000];
  static const size_t sizes[] = {0, 1, 254, 255, 256, 257, 65535, 65536, 70000};
  mcq__session_t* s = open_plain();
  for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t) (i * 7);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    rig_bytes_t b = {0};
    rig_frame(&b, 0, body, sizes[i]);
    rig_frame(&b, 1, body, sizes[i]);
    rig_frame(&b, 2, body, sizes[i]); /* long, whether needed or not */
    feed(s, &b);
    expect_frame(s, body, sizes[i], false);
    expect_frame(s, body, sizes[i], true);
    expect_frame(s, body, sizes[i], false);
    expect_none(s);
  }
  end(s);
}

/* Bodies are pieces of what was fed: no copy, no count, no memory. */
static void frames_cost_nothing(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  uint8_t body[300] = {1};
  for (int i = 0; i < 100; i++) rig_frame(&b, i & 1, body, (size_t) i * 3);
  feed(s, &b);
  size_t calls = atomic_load(&bench.alloc.calls);
  const uint8_t* at = fed.data;
  for (int i = 0; i < 100; i++) {
    mcq__event_t ev;
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
    at += i * 3 > 255 ? 9 : 2;
    if (i > 0) assert_ptr_equal(ev.body.data, at);
    at += i * 3;
  }
  expect_none(s);
  assert_int_equal(atomic_load(&bench.alloc.calls), calls);
  end(s);
}

static void empty_messages_are_messages(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_add(&b, "\0\0\1\0\1\0\0\0", 8);
  feed(s, &b);
  expect_frame(s, "", 0, false);
  expect_frame(s, "", 0, true);
  expect_frame(s, "", 0, true);
  expect_frame(s, "", 0, false);
  expect_none(s);
  end(s);
}

static void malformed_frames(void** state) {
  (void) state;
  for (unsigned flags = 0; flags < 256; flags++) {
    rig_bytes_t b = {0};
    mcq__session_t* s;
    if (flags < 8 && (flags & 5) != 5) continue;
    s = open_plain();
    rig_frame(&b, 1, "a", 1);
    rig_byte(&b, flags);
    feed(s, &b);
    expect_frame(s, "a", 1, true);
    expect_failure(s, MCQ_EFRAME, flags < 8 ? "MORE" : "reserved");
    end(s);
  }
}

/* ---- limits
 * -------------------------------------------------------------------- */

/* Only headers are fed: what is refused is refused there, and no memory is
 * taken for it. */
static void lengths_beyond_the_limit(void** state) {
  (void) state;
  static const uint64_t limit = (uint64_t) 64 << 20;
  static const struct {
    uint64_t len;
    int code;
  } table[] = {
      {limit + 1, MCQ_EMSGLIMIT},
      {UINT64_C(0x7FFFFFFF), MCQ_EMSGLIMIT},
      {UINT64_C(0x80000000), MCQ_EMSGLIMIT},
      {UINT64_C(0xFFFFFFFF), MCQ_EMSGLIMIT},
      {UINT64_C(0x100000000), MCQ_EMSGLIMIT},
      {UINT64_C(0x100000005), MCQ_EMSGLIMIT},
      {UINT64_C(0x7FFFFFFFFFFFFFFF), MCQ_EMSGLIMIT},
      {UINT64_C(0x8000000000000000), MCQ_EFRAME},
      {UINT64_C(0xFFFFFFFFFFFFFFFF), MCQ_EFRAME},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    rig_bytes_t b = {0};
    mcq__session_t* s = open_plain();
    size_t calls = atomic_load(&bench.alloc.calls);
    rig_head(&b, 2, table[i].len);
    feed(s, &b);
    expect_failure(
        s, table[i].code,
        table[i].code == MCQ_EFRAME ? "top bit" : "max_message_size");
    assert_int_equal(atomic_load(&bench.alloc.calls), calls);
    end(s);
  }
}

/* With all of the body at hand the header decides just the same. */
static void bodies_beyond_the_limit(void** state) {
  (void) state;
  static char body[302];
  static const size_t limits[] = {1, 20, 255, 256, 300};
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    for (unsigned flags = 0; flags < 3; flags += 2) {
      rig_bytes_t b = {0};
      mcq__session_config_t c = rig_config(bench.pool);
      c.max_message = limits[i];
      mcq__session_t* s = open_ready(&c);
      rig_frame(&b, flags, body, limits[i]);
      rig_frame(&b, flags | 1, body, limits[i]);
      rig_frame(&b, flags, body, 0);
      rig_frame(&b, flags | 1, body, 1);
      rig_frame(&b, flags, body, limits[i]);
      feed(s, &b);
      expect_frame(s, body, limits[i], false);
      expect_frame(s, body, limits[i], true);
      expect_frame(s, body, 0, false);
      expect_frame(s, body, 1, true);
      expect_failure(s, MCQ_EMSGLIMIT, "max_message_size");
      end(s);
      s = open_ready(&c);
      rig_frame(&b, flags, body, limits[i] + 1);
      feed(s, &b);
      expect_failure(s, MCQ_EMSGLIMIT, "max_message_size");
      end(s);
    }
  }
}

static void the_sum_of_frames_is_limited(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_config_t c = rig_config(bench.pool);
  c.max_message = 10;
  mcq__session_t* s = open_ready(&c);
  rig_frame(&b, 0, "0123456789", 10);
  rig_frame(&b, 1, "01234", 5);
  rig_frame(&b, 1, "", 0);
  rig_frame(&b, 0, "56789", 5);
  rig_frame(&b, 2, "0123456789", 10); /* each message has its own sum */
  rig_frame(&b, 3, "0123", 4);
  rig_head(&b, 0, 7);
  feed(s, &b);
  expect_frame(s, "0123456789", 10, false);
  expect_frame(s, "01234", 5, true);
  expect_frame(s, "", 0, true);
  expect_frame(s, "56789", 5, false);
  expect_frame(s, "0123456789", 10, false);
  expect_frame(s, "0123", 4, true);
  expect_failure(s, MCQ_EMSGLIMIT, "max_message_size");
  end(s);
  s = open_ready(&c);
  rig_head(&b, 0, 11);
  feed(s, &b);
  expect_failure(s, MCQ_EMSGLIMIT, "max_message_size");
  end(s);
  c.max_message = 0;
  s = open_ready(&c);
  rig_frame(&b, 0, "", 0);
  rig_head(&b, 0, 1);
  feed(s, &b);
  expect_frame(s, "", 0, false);
  expect_failure(s, MCQ_EMSGLIMIT, "max_message_size");
  end(s);
}

static void the_number_of_frames_is_limited(void** state) {
  (void) state;
  for (size_t size = 0; size <= 300; size += 300) {
    rig_bytes_t b = {0};
    static char body[300];
    mcq__session_config_t c = rig_config(bench.pool);
    c.max_frames = 3;
    mcq__session_t* s = open_ready(&c);
    for (int message = 0; message < 2; message++)
      for (int i = 0; i < 3; i++) rig_frame(&b, i < 2, body, size);
    for (int i = 0; i < 3; i++) rig_frame(&b, 1, body, size);
    rig_head(&b, size == 0 ? 0 : 2, size);
    feed(s, &b);
    for (int i = 0; i < 6; i++) expect_frame(s, body, size, i % 3 < 2);
    for (int i = 0; i < 3; i++) expect_frame(s, body, size, true);
    expect_failure(s, MCQ_EFRAMES, "max_frames");
    end(s);
  }
}

static void a_flood_of_more_ends_at_the_limit(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  size_t calls = atomic_load(&bench.alloc.calls);
  for (int i = 0; i < 5000; i++) rig_frame(&b, 1, "", 0);
  feed(s, &b);
  for (int i = 0; i < 1024; i++) expect_frame(s, "", 0, true);
  expect_failure(s, MCQ_EFRAMES, "max_frames");
  assert_int_equal(atomic_load(&bench.alloc.calls), calls);
  end(s);
}

static void no_limit_is_no_limit(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_config_t c = rig_config(bench.pool);
  c.max_message = UINT64_MAX;
  c.max_frames = UINT64_MAX;
  mcq__session_t* s = open_ready(&c);
  for (int i = 0; i < 3000; i++) rig_frame(&b, 1, "0123456789", 10);
  rig_frame(&b, 0, "", 0);
  rig_head(&b, 2, UINT64_C(0x7FFFFFFFFFFFFFFF)); /* but no such machine */
  feed(s, &b);
  for (int i = 0; i < 3000; i++) expect_frame(s, "0123456789", 10, true);
  expect_frame(s, "", 0, false);
  expect_failure(s, MCQ_EMSGLIMIT, "max_message_size");
  end(s);
}

static void no_memory_for_a_body_is_an_end(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_head(&b, 2, 100000);
  rig_add(&b, "x", 1);
  feed(s, &b);
  test_alloc_fail_next(&bench.alloc, false);
  expect_failure(s, MCQ_ENOMEM, "body");
  end(s);
}

static void boundaries(void** state) {
  (void) state;
  rig_bytes_t whole = {0};
  size_t even[3];
  rig_hello(&whole, "ROUTER");
  even[0] = whole.len;
  rig_frame(&whole, 1, "a", 1);
  rig_command(&whole, "PING", "\0\0", 2);
  rig_frame(&whole, 2, "bcd", 3);
  even[1] = whole.len;
  rig_command(&whole, "SUBSCRIBE", "x", 1);
  even[2] = whole.len;
  rig_frame(&whole, 0, "e", 1);
  for (size_t len = 0; len <= whole.len; len++) {
    mcq__session_config_t c = rig_config(bench.pool);
    rig_bytes_t part = {whole.data, len, 0};
    rig_life_t life = rig_live(&c, &part, (rig_feed_t){.step = 3});
    bool expected = len == 0 || len == 64 || len == even[0] || len == even[1] ||
                    len == even[2] || len == whole.len;
    assert_int_equal(life.boundary, expected);
    rig_life_free(&life);
  }
  rig_free(&whole);
}

/* ---- commands
 * ---------------------------------------------------------------------- */

static void pings_of_every_length(void** state) {
  (void) state;
  char data[40];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (char) (0x80 + i);
  for (size_t len = 0; len <= 40; len++) {
    rig_bytes_t b = {0};
    rig_bytes_t out = {0};
    rig_bytes_t expected = {0};
    mcq__session_t* s = open_plain();
    rig_command(&b, "PING", data, len);
    feed(s, &b);
    if (len >= 2 && len <= 18) {
      expect_ping(s, 0x8081 * 100);
      expect_none(s);
      rig_command(&expected, "PONG", data + 2, len - 2);
    } else {
      expect_failure(s, MCQ_ECOMMAND, "PING");
    }
    rig_drain(s, &out);
    assert_true(rig_same(&out, &expected));
    rig_free(&out);
    rig_free(&expected);
    end(s);
  }
}

static void pongs_of_every_length(void** state) {
  (void) state;
  char data[40] = "context";
  for (size_t len = 0; len <= 40; len++) {
    rig_bytes_t b = {0};
    mcq__session_t* s = open_plain();
    rig_command(&b, "PONG", data, len);
    feed(s, &b);
    if (len <= 16)
      expect_body(s, MCQ__EV_PONG, data, len);
    else
      expect_failure(s, MCQ_ECOMMAND, "PONG");
    assert_int_equal(mcq__zmtp.out(s)->bytes, 0);
    end(s);
  }
}

/* Between two frames of a message, and neither frame is any different. */
static void pings_do_not_disturb_a_message(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  rig_bytes_t out = {0};
  mcq__session_t* s = open_plain();
  rig_frame(&b, 1, "first", 5);
  rig_command(&b, "PING", "\0\12one", 5);
  rig_command(&b, "PING", "\0\0two", 5);
  rig_frame(&b, 0, "last", 4);
  feed(s, &b);
  expect_frame(s, "first", 5, true);
  expect_ping(s, 1000);
  expect_ping(s, 0);
  expect_frame(s, "last", 4, false);
  expect_none(s);
  rig_drain(s, &out);
  assert_int_equal(out.len, 20);
  assert_memory_equal(out.data, "\4\10\4PONGone\4\10\4PONGtwo", 20);
  rig_free(&out);
  end(s);
}

static void a_time_to_live_is_told(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_command(&b, "PING", "\0\0", 2);
  rig_command(&b, "PING", "\0\1", 2);
  rig_command(&b, "PING", "\0\1ctx", 5);
  rig_command(&b, "PING", "\xff\xff", 2);
  rig_frame(&b, 0, "x", 1);
  feed(s, &b);
  expect_ping(s, 0);
  expect_ping(s, 100);
  expect_ping(s, 100);
  expect_ping(s, 6553500);
  expect_frame(s, "x", 1, false);
  end(s);
}

/* What we ask: in tenths of a second, rounded up, and never so much that a
 * peer which multiplies it by 100 in 16 bits gives us up at once. */
static void a_ping_says_how_long_we_may_be_silent(void** state) {
  (void) state;
  static const struct {
    uint64_t ms;
    unsigned tenths;
  } table[] = {{0, 0},       {1, 1},        {100, 1},
               {101, 2},     {1000, 10},    {65500, 655},
               {65501, 655}, {655350, 655}, {UINT64_MAX, 655}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    rig_bytes_t out = {0};
    rig_bytes_t expected = {0};
    uint8_t data[7] = {0, 0, 'n', 'o', 'n', 'c', 'e'};
    data[0] = (uint8_t) (table[i].tenths >> 8);
    data[1] = (uint8_t) table[i].tenths;
    mcq__session_t* s = open_plain();
    assert_int_equal(
        mcq__zmtp.ping(s, table[i].ms, mcq__slice_static("nonce", 5)), 0);
    rig_command(&expected, "PING", data, sizeof data);
    rig_drain(s, &out);
    assert_true(rig_same(&out, &expected));
    rig_free(&out);
    rig_free(&expected);
    end(s);
  }
}

/* RFC 23 has no PING: an old peer is asked nothing, and answered all the
 * same. */
static void an_old_peer_is_not_asked(void** state) {
  (void) state;
  mcq__session_config_t c = rig_config(bench.pool);
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s;
  assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
  assert_int_equal(mcq__zmtp.start(s), 0);
  rig_greeting(&b, 3, 0, "NULL");
  rig_ready(&b, "ROUTER", NULL, 0);
  feed(s, &b);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
  expect_none(s);
  drop_out(s);
  assert_int_equal(mcq__zmtp.ping(s, 0, mcq__slice_static("x", 1)),
                   MCQ_ENOTSUP);
  assert_int_equal(mcq__zmtp.out(s)->bytes, 0);
  rig_command(&b, "PING", "\0\0", 2);
  feed(s, &b);
  expect_ping(s, 0);
  expect_none(s);
  assert_int_equal(mcq__zmtp.out(s)->bytes, 7);
  end(s);
}

/* RFC 27: 300 is for the time being. */
static void a_refusal_may_be_for_now(void** state) {
  (void) state;
  static const struct {
    const char* reason;
    int code;
  } table[] = {{"", MCQ_EREFUSED},        {"300", MCQ_ENOTNOW},
               {"300 busy", MCQ_ENOTNOW}, {"3000", MCQ_EREFUSED},
               {"400", MCQ_EREFUSED},     {" 300", MCQ_EREFUSED},
               {"30", MCQ_EREFUSED},      {"not now: 300", MCQ_EREFUSED}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    rig_bytes_t b = {0};
    char data[32];
    mcq__event_t ev = {0};
    mcq__session_t* s = open_plain();
    data[0] = (char) strlen(table[i].reason);
    strcpy(data + 1, table[i].reason);
    rig_command(&b, "ERROR", data, strlen(data + 1) + 1);
    feed(s, &b);
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_REFUSED);
    assert_int_equal(ev.code, table[i].code);
    end(s);
  }
}

static void a_flood_of_pings_is_not_hoarded(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  for (int i = 0; i < 100000; i++)
    rig_command(&b, "PING", "\0\0sixteen bytes...", 18);
  rig_frame(&b, 0, "and on", 6);
  feed(s, &b);
  for (int i = 0; i < 100000; i++) expect_ping(s, 0);
  expect_frame(s, "and on", 6, false);
  assert_in_range(mcq__zmtp.out(s)->bytes, MCQ__PONG_BACKLOG,
                  MCQ__PONG_BACKLOG + 30);
  assert_int_equal(mcq__zmtp.out(s)->bytes % 23, 0);
  drop_out(s);
  rig_command(&b, "PING", "\0\0", 2); /* it reads again: so we answer */
  expect_none(s);
  feed(s, &b);
  expect_ping(s, 0);
  expect_none(s);
  assert_int_equal(mcq__zmtp.out(s)->bytes, 7);
  end(s);
}

static void subscriptions(void** state) {
  (void) state;
  static char topic[65537];
  static const size_t sizes[] = {0,   1,   244, 245,   246,  247,
                                 255, 256, 257, 65535, 65536};
  memset(topic, 't', sizeof topic);
  for (unsigned minor = 0; minor < 2; minor++) {
    rig_bytes_t b = {0};
    mcq__event_t ev;
    mcq__session_t* s;
    mcq__session_config_t c = rig_config(bench.pool);
    assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
    rig_greeting(&b, 3, minor, "NULL");
    rig_ready(&b, "ROUTER", NULL, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      rig_command(&b, "SUBSCRIBE", topic, sizes[i]);
      rig_command(&b, "CANCEL", topic, sizes[i]);
    }
    /* The 3.0 form is a message like any other here. */
    rig_frame(&b, 0, "\1topic", 6);
    rig_frame(&b, 0, "\0topic", 6);
    feed(s, &b);
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
    assert_int_equal(mcq__zmtp.hello(s)->version_minor, minor);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      expect_body(s, MCQ__EV_SUBSCRIBE, topic, sizes[i]);
      expect_body(s, MCQ__EV_CANCEL, topic, sizes[i]);
    }
    expect_frame(s, "\1topic", 6, false);
    expect_frame(s, "\0topic", 6, false);
    expect_none(s);
    end(s);
  }
}

static void unknown_commands_are_named_and_ignored(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_command(&b, "JOIN", "group", 5);
  rig_frame(&b, 1, "a", 1);
  rig_command(&b, "X", "", 0);
  rig_command(&b, "subscribe", "", 0);
  rig_frame(&b, 0, "b", 1);
  rig_head(&b, 6, 7); /* the long form of a short command */
  rig_add(&b, "\4PING\0\0", 7);
  feed(s, &b);
  expect_body(s, MCQ__EV_COMMAND, "JOIN", 4);
  expect_frame(s, "a", 1, true);
  expect_body(s, MCQ__EV_COMMAND, "X", 1);
  expect_body(s, MCQ__EV_COMMAND, "subscribe", 9);
  expect_frame(s, "b", 1, false);
  expect_ping(s, 0);
  expect_none(s);
  assert_int_equal(mcq__zmtp.out(s)->bytes, 7);
  end(s);
}

static void malformed_commands(void** state) {
  (void) state;
  static const struct {
    const char* bytes;
    size_t len;
    const char* says;
  } table[] = {
      {"\4\0", 2, "name"},
      {"\4\1\0", 3, "name"},
      {"\4\5\5PING", 7, "name"},
      {"\4\5\4PI\0G", 7, "name"},
      {"\4\6\5READY", 8, "READY"},
      {"\4\6\5ERROR", 8, "ERROR"},
      {"\4\11\5ERROR\5no", 11, "ERROR"},
      {"\6\0\0\0\0\0\1\1\1", 9, "64 KiB"},
      {"\6\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9, "64 KiB"},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    rig_bytes_t b = {0};
    mcq__session_t* s = open_plain();
    rig_add(&b, table[i].bytes, table[i].len);
    feed(s, &b);
    expect_failure(s, MCQ_ECOMMAND, table[i].says);
    assert_int_equal(mcq__zmtp.out(s)->bytes, 0);
    end(s);
  }
}

static void an_error_ends_it(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_frame(&b, 1, "half", 4);
  rig_command(&b, "ERROR", "\11id in use", 10);
  rig_frame(&b, 0, "not seen", 8);
  feed(s, &b);
  expect_frame(s, "half", 4, true);
  expect_body(s, MCQ__EV_REFUSED, "id in use", 9);
  expect_none(s);
  end(s);
}

/* ---- under a seal -------------------------------------------------------- */

/* A mechanism that is no good for anything but showing that the session asks
 * it: READY as NULL has it, then every frame is a command of one byte of flags
 * and a body, all bits turned over. */

#define TOY_OVERHEAD 1

static mcq__slice_t turned(mcq__pool_t* pool, unsigned flags,
                           mcq__slice_t body) {
  mcq__window_t w = {0};
  assert_int_equal(mcq__window_open_exact(&w, pool, body.len + 1), 0);
  for (size_t i = 0; i < body.len + 1; i++) {
    uint8_t byte = (uint8_t) ~(i == 0 ? flags : body.data[i - 1]);
    mcq__window_poke(&w, i, &byte, 1);
  }
  mcq__slice_t s = mcq__window_freeze(&w, body.len + 1);
  mcq__window_close(&w);
  return s;
}

static int toy_step(mcq__talk_t* talk, const mcq__command_t* command) {
  int rc = mcq__mechanism_null.step(talk, command);
  if (rc == 0) talk->state = mcq__mem_alloc(bench.mem, 1);
  return rc;
}

static int toy_seal(mcq__talk_t* talk, mcq__chain_t* out, uint8_t flags,
                    mcq__slice_t body) {
  uint8_t head[MCQ__HEAD_MAX];
  mcq__slice_t sealed = turned(talk->config->pool, flags, body);
  mcq__slice_t header;
  size_t size = mcq__frame_write(head, sealed.len, 0);
  int rc = mcq__slice_copy(&header, talk->config->pool, head, size);
  if (rc == 0) rc = mcq__chain_push(out, header);
  if (rc == 0) rc = mcq__chain_push(out, sealed);
  mcq__slice_release(&header);
  mcq__slice_release(&sealed);
  return rc;
}

static int toy_open(mcq__talk_t* talk, mcq__slice_t sealed, uint8_t* flags,
                    mcq__slice_t* body) {
  if (sealed.len < TOY_OVERHEAD) {
    talk->why = "too short for a seal";
    return MCQ_ECOMMAND;
  }
  *flags = (uint8_t) ~sealed.data[0];
  mcq__slice_t again =
      turned(talk->config->pool, 0, mcq__slice_sub(sealed, 1, sealed.len - 1));
  int rc =
      mcq__slice_copy(body, talk->config->pool, again.data + 1, again.len - 1);
  mcq__slice_release(&again);
  return rc;
}

static void toy_end(mcq__talk_t* talk) {
  mcq__mem_free(bench.mem, talk->state);
}

static const mcq__mechanism_t toy = {.name = "TOY",
                                     .step = toy_step,
                                     .overhead = TOY_OVERHEAD,
                                     .seal = toy_seal,
                                     .open = toy_open,
                                     .end = toy_end};

static void rig_sealed(rig_bytes_t* b, unsigned outer, unsigned flags,
                       const void* body, size_t len) {
  mcq__slice_t s = turned(bench.pool, flags, mcq__slice_static(body, len));
  rig_frame(b, outer, s.data, s.len);
  mcq__slice_release(&s);
}

static mcq__session_t* open_toy(const mcq__session_config_t* c,
                                rig_bytes_t* b) {
  mcq__session_t* s;
  mcq__event_t ev;
  rig_bytes_t hello = {0};
  assert_int_equal(mcq__zmtp_open(&s, c, 0, &toy), 0);
  assert_int_equal(mcq__zmtp.start(s), 0);
  assert_int_equal(mcq__zmtp.out(s)->bytes, 64);
  rig_greeting(&hello, 3, 1, "TOY");
  rig_ready(&hello, "ROUTER", NULL, 0);
  rig_add(&hello, b->data, b->len);
  rig_free(b);
  feed(s, &hello);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
  assert_string_equal(mcq__zmtp.hello(s)->mechanism, "TOY");
  drop_out(s);
  return s;
}

/* Whatever the version: a message like any other, sealed where messages are. */
static void a_probe_is_an_empty_message(void** state) {
  (void) state;
  for (unsigned minor = 0; minor < 3; minor++) {
    rig_bytes_t b = {0};
    rig_bytes_t out = {0};
    rig_bytes_t expected = {0};
    mcq__event_t ev;
    mcq__session_t* s;
    mcq__session_config_t c = rig_config(bench.pool);
    if (minor == 2) {
      s = open_toy(&c, &b);
      rig_sealed(&expected, 0, 0, "", 0);
    } else {
      assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
      rig_greeting(&b, 3, minor, "NULL");
      rig_ready(&b, "ROUTER", NULL, 0);
      feed(s, &b);
      assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
      rig_frame(&expected, 0, "", 0);
    }
    rig_drain(s, &out);
    rig_free(&out);
    assert_int_equal(mcq__zmtp.probe(s), 0);
    rig_drain(s, &out);
    assert_true(rig_same(&out, &expected));
    rig_free(&out);
    rig_free(&expected);
    end(s);
  }
}

static void sealed_traffic(void** state) {
  (void) state;
  static char big[70000];
  rig_bytes_t b = {0};
  rig_bytes_t out = {0};
  rig_bytes_t expected = {0};
  mcq__session_config_t c = rig_config(bench.pool);
  rig_sealed(&b, 0, 1, "one", 3);
  rig_sealed(&b, 0, 4, "\4PING\0\0ctx", 10); /* as a message frame */
  rig_sealed(&b, 4, 0, "two", 3);            /* as a command */
  rig_sealed(&b, 0, 0, big, sizeof big);
  rig_sealed(&b, 0, 4, "\11SUBSCRIBEtopic", 15);
  rig_sealed(&b, 0, 0, "", 0);
  mcq__session_t* s = open_toy(&c, &b);
  expect_frame(s, "one", 3, true);
  expect_ping(s, 0);
  expect_frame(s, "two", 3, false);
  expect_frame(s, big, sizeof big, false);
  assert_int_equal(mcq__zmtp.hold(s), 0); /* lets go of what was opened */
  expect_body(s, MCQ__EV_SUBSCRIBE, "topic", 5);
  expect_frame(s, "", 0, false);
  expect_none(s);
  rig_drain(s, &out);
  rig_sealed(&expected, 0, 4, "\4PONGctx", 8);
  assert_true(rig_same(&out, &expected));
  rig_free(&out);
  rig_free(&expected);
  end(s);
}

static void sealed_failures(void** state) {
  (void) state;
  static char big[66000];
  static const struct {
    unsigned outer, flags;
    size_t len;
    int code;
  } table[] = {
      {1, 0, 3, MCQ_EFRAME},        {0, 5, 3, MCQ_EFRAME},
      {0, 2, 3, MCQ_EFRAME},        {0, 8, 3, MCQ_EFRAME},
      {0, 0, 11, MCQ_EMSGLIMIT},    {0, 0, 66000, MCQ_EMSGLIMIT},
      {0, 4, 66000, MCQ_EMSGLIMIT}, {0, 4, 3, MCQ_ECOMMAND},
      {8, 0, 3, MCQ_EFRAME},
  };
  mcq__session_config_t c = rig_config(bench.pool);
  c.max_message = 10;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    rig_bytes_t b = {0};
    mcq__event_t ev = {0};
    rig_sealed(&b, table[i].outer, table[i].flags, big, table[i].len);
    mcq__session_t* s = open_toy(&c, &b);
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FAILED);
    assert_int_equal(ev.code, table[i].code);
    end(s);
  }
  rig_bytes_t b = {0};
  rig_frame(&b, 0, "", 0);
  mcq__session_t* s = open_toy(&c, &b);
  expect_failure(s, MCQ_ECOMMAND, "too short for a seal");
  end(s);
  rig_head(&b, 2, UINT64_C(0x7FFFFFFFFFFFFFFF));
  c.max_message = UINT64_MAX;
  s = open_toy(&c, &b);
  expect_failure(s, MCQ_EMSGLIMIT, "max_message_size");
  end(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(frames_of_every_form),
      TEST(frames_cost_nothing),
      TEST(empty_messages_are_messages),
      TEST(malformed_frames),
      TEST(lengths_beyond_the_limit),
      TEST(bodies_beyond_the_limit),
      TEST(the_sum_of_frames_is_limited),
      TEST(the_number_of_frames_is_limited),
      TEST(a_flood_of_more_ends_at_the_limit),
      TEST(no_limit_is_no_limit),
      TEST(no_memory_for_a_body_is_an_end),
      TEST(boundaries),
      TEST(pings_of_every_length),
      TEST(pongs_of_every_length),
      TEST(pings_do_not_disturb_a_message),
      TEST(a_time_to_live_is_told),
      TEST(a_ping_says_how_long_we_may_be_silent),
      TEST(an_old_peer_is_not_asked),
      TEST(a_refusal_may_be_for_now),
      TEST(a_flood_of_pings_is_not_hoarded),
      TEST(subscriptions),
      TEST(unknown_commands_are_named_and_ignored),
      TEST(malformed_commands),
      TEST(an_error_ends_it),
      TEST(a_probe_is_an_empty_message),
      TEST(sealed_traffic),
      TEST(sealed_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
