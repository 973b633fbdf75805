/* SPDX-License-Identifier: MIT */
/* Whole lives of sessions: two that talk to each other, one stream cut in
 * every way, streams of noise, and memory that runs out at any moment. */
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

static void the_table_has_no_holes(void** state) {
  (void) state;
  assert_string_equal(mcq__zmtp.name, "ZMTP");
  assert_non_null(mcq__zmtp.open);
  assert_non_null(mcq__zmtp.close);
  assert_non_null(mcq__zmtp.start);
  assert_non_null(mcq__zmtp.feed);
  assert_non_null(mcq__zmtp.next);
  assert_non_null(mcq__zmtp.message);
  assert_non_null(mcq__zmtp.want);
  assert_non_null(mcq__zmtp.filled);
  assert_non_null(mcq__zmtp.hold);
  assert_non_null(mcq__zmtp.out);
  assert_non_null(mcq__zmtp.refuse);
  assert_non_null(mcq__zmtp.at_boundary);
  assert_non_null(mcq__zmtp.hello);
  assert_non_null(mcq__zmtp.expiry);
  assert_non_null(mcq__zmtp.tick);
  assert_non_null(mcq__zmtp.head);
  assert_non_null(mcq__zmtp.unhead);
}

/* ---- streams
 * ----------------------------------------------------------------- */

/* Everything a good peer may say. */
static void busy_stream(rig_bytes_t* b) {
  static uint8_t body[700];
  for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t) (i * 3);
  rig_greeting(b, 3, 1, "NULL");
  rig_ready(b, "ROUTER", "broker", 6);
  rig_frame(b, 0, "hello", 5);
  rig_frame(b, 1, "", 0);
  rig_command(b, "PING", "\0\12ctx", 5);
  rig_frame(b, 1, body, 255);
  rig_frame(b, 0, body, 256);
  rig_command(b, "SUBSCRIBE", body, 245);
  rig_command(b, "SUBSCRIBE", body, 246);
  rig_command(b, "CANCEL", "t", 1);
  rig_command(b, "PONG", "", 0);
  rig_command(b, "FUTURE", "?", 1);
  rig_frame(b, 2, "long form", 9);
  rig_frame(b, 0, body, 700);
}

static void compare_cuts(const rig_bytes_t* in) {
  mcq__session_config_t c = rig_config(bench.pool);
  rig_life_t whole = rig_live(&c, in, (rig_feed_t){.step = 0});
  assert_true(whole.log.events > 0);
  for (size_t at = 1; at < in->len; at++) {
    rig_life_t cut =
        rig_live(&c, in, (rig_feed_t){.first = at, .ask = at % 2 == 0});
    if (!rig_life_same(&whole, &cut)) fail_msg("cut at %zu", at);
    rig_life_free(&cut);
  }
  for (size_t step = 1; step < 80; step++) {
    rig_life_t cut = rig_live(
        &c, in,
        (rig_feed_t){.step = step, .hold = step % 2, .ask = step % 3 == 0});
    if (!rig_life_same(&whole, &cut)) fail_msg("cut by %zu", step);
    rig_life_free(&cut);
  }
  rig_life_free(&whole);
}

static void every_cut_gives_the_same_events(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  busy_stream(&b);
  compare_cuts(&b);
  rig_life_t life;
  mcq__session_config_t c = rig_config(bench.pool);
  life = rig_live(&c, &b, (rig_feed_t){.step = 0});
  assert_int_equal(life.log.events, 13);
  assert_int_equal(life.log.last, MCQ__EV_FRAME);
  assert_true(life.boundary);
  rig_life_free(&life);
  rig_free(&b);
}

/* Failures, too, fall at the same event however the bytes came. */
static void every_cut_gives_the_same_end(void** state) {
  (void) state;
  static const struct {
    const char* bytes;
    size_t len;
    int code;
  } ends[] = {
      {"\10", 1, MCQ_EFRAME},
      {"\5\0", 2, MCQ_EFRAME},
      {"\2\x80\0\0\0\0\0\0\0", 9, MCQ_EFRAME},
      {"\2\0\0\0\1\0\0\0\5", 9, MCQ_EMSGLIMIT},
      {"\4\12\4PING\0\0\0\0\0", 12, 0},
      {"\4\5\4PING", 7, MCQ_ECOMMAND},
      {"\4\6\5READY", 8, MCQ_ECOMMAND},
      {"\4\10\5ERROR\1x", 10, 0},
  };
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    rig_bytes_t b = {0};
    mcq__session_config_t c = rig_config(bench.pool);
    rig_hello(&b, "REP");
    rig_frame(&b, 1, "half", 4);
    rig_add(&b, ends[i].bytes, ends[i].len);
    rig_add(&b, "what follows", 12);
    compare_cuts(&b);
    rig_life_t life = rig_live(&c, &b, (rig_feed_t){.step = 0});
    if (ends[i].code != 0) {
      assert_int_equal(life.log.last, MCQ__EV_FAILED);
      assert_int_equal(life.log.code, ends[i].code);
    }
    rig_life_free(&life);
    rig_free(&b);
  }
}

/* ---- two sessions
 * --------------------------------------------------------------- */

typedef struct side {
  mcq__session_t* session;
  rig_bytes_t to_peer; /* what it has said, in all */
  size_t moved;        /* how much of it has arrived */
  rig_log_t log;
} side_t;

static void open_side(side_t* side, const char* id) {
  mcq__session_config_t c = rig_config(bench.pool);
  memset(side, 0, sizeof *side);
  c.routing_id = mcq__slice_static(id, strlen(id));
  assert_int_equal(mcq__zmtp.open(&side->session, &c, 0), 0);
  assert_int_equal(mcq__zmtp.start(side->session), 0);
}

static void close_side(side_t* side) {
  mcq__zmtp.close(side->session);
  rig_free(&side->to_peer);
  rig_log_free(&side->log);
}

/* A message of three frames behind whatever the session has to say. */
static void say(side_t* side) {
  static uint8_t body[300];
  uint8_t head[MCQ__HEAD_MAX];
  static const size_t sizes[] = {3, 300, 0};
  rig_drain(side->session, &side->to_peer);
  for (size_t i = 0; i < 3; i++) {
    size_t n = mcq__zmtp.head(head, sizes[i], i < 2);
    rig_add(&side->to_peer, head, n);
    rig_add(&side->to_peer, body, sizes[i]);
  }
}

/* Moves up to `n` bytes from one side to the other. */
static bool move(side_t* from, side_t* to, size_t n) {
  rig_drain(from->session, &from->to_peer);
  if (n > from->to_peer.len - from->moved) n = from->to_peer.len - from->moved;
  if (n == 0) return false;
  rig_feed_once(to->session, bench.pool, from->to_peer.data + from->moved, n,
                false, &to->log);
  from->moved += n;
  return true;
}

/* READY of each side must be on its way before its messages are: here both
 * talk as soon as they may. */
static void talk(size_t first, size_t step) {
  side_t a, b;
  bool a_spoke = false;
  bool b_spoke = false;
  open_side(&a, "anna");
  open_side(&b, "bert");
  move(&a, &b, first);
  while (move(&a, &b, step) || move(&b, &a, step)) {
    if (!a_spoke && a.log.events > 0) {
      a_spoke = true;
      say(&a);
    }
    if (!b_spoke && b.log.events > 0) {
      b_spoke = true;
      say(&b);
    }
  }
  assert_int_equal(a.log.events, 4);
  assert_int_equal(b.log.events, 4);
  assert_int_equal(a.log.last, MCQ__EV_FRAME);
  assert_int_equal(b.log.last, MCQ__EV_FRAME);
  assert_true(
      mcq__slice_equal(mcq__zmtp.hello(a.session)->routing_id, "bert", 4));
  assert_true(
      mcq__slice_equal(mcq__zmtp.hello(b.session)->routing_id, "anna", 4));
  assert_true(mcq__zmtp.at_boundary(a.session));
  assert_true(mcq__zmtp.at_boundary(b.session));
  close_side(&a);
  close_side(&b);
}

static void two_sessions_talk(void** state) {
  (void) state;
  for (size_t first = 0; first < 120; first++) talk(first, SIZE_MAX);
  for (size_t step = 1; step < 120; step++) talk(0, step);
}

/* ---- large bodies
 * ---------------------------------------------------------------- */

static void cuts_of_large_bodies(void** state) {
  (void) state;
  static const size_t sizes[] = {32767, 32768, 65536, 100000, 1 << 20};
  uint8_t* body = (uint8_t*) test_malloc(1 << 20);
  for (size_t i = 0; i < 1 << 20; i++) body[i] = (uint8_t) (i * 31 + (i >> 8));
  rig_bytes_t b = {0};
  rig_hello(&b, "DEALER");
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    rig_frame(&b, 1, body, sizes[i]);
    rig_frame(&b, 0, "small", 5);
  }
  mcq__session_config_t c = rig_config(bench.pool);
  rig_life_t whole = rig_live(&c, &b, (rig_feed_t){.step = 0});
  assert_int_equal(whole.log.events, 11);
  for (uint64_t seed = 1; seed < 12; seed++) {
    rig_feed_t how = {.step = (size_t) 997 << seed,
                      .seed = seed,
                      .want = seed % 3 != 0,
                      .hold = seed % 2 == 0};
    rig_life_t cut = rig_live(&c, &b, how);
    if (!rig_life_same(&whole, &cut)) fail_msg("seed %d", (int) seed);
    rig_life_free(&cut);
  }
  rig_life_free(&whole);
  rig_free(&b);
  test_free(body);
}

/* ---- noise
 * ---------------------------------------------------------------------- */

/* A good stream with a few bytes changed, added or lost; or a good handshake
 * and then frames of a confused peer. */
static void noisy_stream(test_random_t* r, rig_bytes_t* b) {
  if (test_random_below(r, 2) == 0) {
    busy_stream(b);
    for (size_t i = test_random_below(r, 4); i > 0; i--)
      b->data[test_random_below(r, b->len)] = (uint8_t) test_random(r);
    b->len -= test_random_below(r, 3) == 0 ? test_random_below(r, b->len) : 0;
    return;
  }
  rig_hello(b, "ROUTER");
  for (size_t i = test_random_below(r, 20); i > 0; i--) {
    static const char* const names[] = {"PING", "PONG",   "SUBSCRIBE",
                                        "X",    "CANCEL", "ERROR"};
    uint8_t body[600] = {0};
    size_t len = test_random_below(r, sizeof body);
    unsigned flags = (unsigned) test_random(r) & 3;
    if (test_random_below(r, 30) == 0) flags |= (unsigned) test_random(r);
    if (test_random_below(r, 3) == 0)
      rig_command(b, names[test_random_below(r, 6)], body, len % 20);
    else
      rig_frame(b, flags & 0xFF, body, (flags & 2) == 0 ? len % 256 : len);
  }
}

static void noise_gives_the_same_events_however_cut(void** state) {
  (void) state;
  test_random_t random = {20240607};
  size_t failures = 0;
  size_t frames = 0;
  for (int i = 0; i < 3000; i++) {
    rig_bytes_t b = {0};
    mcq__session_config_t c = rig_config(bench.pool);
    c.max_message = 1000;
    c.max_frames = 4;
    noisy_stream(&random, &b);
    rig_life_t whole = rig_live(&c, &b, (rig_feed_t){.step = 0});
    rig_feed_t how = {.step = 1 + test_random_below(&random, 100),
                      .seed = test_random(&random),
                      .want = true,
                      .hold = test_random_below(&random, 2),
                      .ask = test_random_below(&random, 2)};
    rig_life_t cut = rig_live(&c, &b, how);
    if (!rig_life_same(&whole, &cut)) fail_msg("stream %d", i);
    failures += whole.log.last == MCQ__EV_FAILED;
    frames += whole.log.last == MCQ__EV_FRAME;
    rig_life_free(&whole);
    rig_life_free(&cut);
    rig_free(&b);
  }
  /* The noise is neither too loud nor too faint. */
  assert_true(failures > 300);
  assert_true(frames > 300);
}

static void pure_noise_is_no_greeting(void** state) {
  (void) state;
  test_random_t random = {7};
  for (int i = 0; i < 500; i++) {
    rig_bytes_t b = {0};
    mcq__session_config_t c = rig_config(bench.pool);
    for (size_t n = 0; n < 100; n++) rig_byte(&b, test_random(&random) & 0xFF);
    rig_life_t whole = rig_live(&c, &b, (rig_feed_t){.step = 0});
    rig_life_t cut = rig_live(&c, &b, (rig_feed_t){.step = 1});
    assert_true(rig_life_same(&whole, &cut));
    assert_int_equal(whole.log.events, 1);
    assert_int_equal(whole.log.last, MCQ__EV_FAILED);
    rig_life_free(&whole);
    rig_life_free(&cut);
    rig_free(&b);
  }
}

/* ---- memory
 * ----------------------------------------------------------------------- */

/* What a session says and keeps, from open to close; the rig itself must not
 * take memory from the session's, so the input is fed as it stands. */
static int run(mcq__pool_t* pool, const rig_bytes_t* in, size_t step) {
  static mcq__property_t more;
  more.name = mcq__slice_static("X-a", 3);
  more.value = mcq__slice_static("b", 1);
  mcq__session_config_t c = rig_config(pool);
  mcq__session_t* s;
  mcq__event_t ev = {0};
  c.properties = &more;
  c.property_count = 1;
  int rc = mcq__zmtp.open(&s, &c, 0);
  if (rc != 0) return rc;
  rc = mcq__zmtp.start(s);
  size_t at = 0;
  while (rc == 0 && at < in->len) {
    size_t n = step < in->len - at ? step : in->len - at;
    mcq__event_kind_t kind;
    mcq__zmtp.feed(s, mcq__slice_static(in->data + at, n));
    while ((kind = mcq__zmtp.next(s, &ev)) != MCQ__EV_NONE) {
      if (kind == MCQ__EV_FAILED && ev.code == MCQ_ENOMEM) rc = MCQ_ENOMEM;
      if (rc == 0) rc = mcq__zmtp.hold(s);
      if (rc != 0) break;
    }
    at += n;
  }
  if (rc == 0) rc = mcq__zmtp.refuse(s, "enough");
  mcq__zmtp.close(s);
  return rc;
}

typedef struct scene {
  const rig_bytes_t* in;
  size_t step;
} scene_t;

static int play(test_alloc_t* ta, void* arg) {
  const scene_t* scene = (const scene_t*) arg;
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  int rc = mcq__mem_open(&mem, &allocator);
  if (rc != 0) return rc;
  rc = mcq__pool_open(&pool, mem);
  if (rc == 0) {
    rc = run(pool, scene->in, scene->step);
    mcq__pool_close(pool);
  }
  assert_int_equal(mcq__mem_live(mem), 0);
  mcq__mem_close(mem);
  return rc;
}

static void every_allocation_may_fail(void** state) {
  (void) state;
  rig_bytes_t b = {0};
  busy_stream(&b);
  scene_t scenes[] = {{&b, SIZE_MAX}, {&b, 7}};
  for (size_t i = 0; i < 2; i++) {
    size_t calls = test_alloc_sweep(play, &scenes[i]);
    assert_true(calls > 10);
  }
  rig_free(&b);
}

/* Where the words of an end cannot be kept, it comes without them. */
static void ends_without_memory_are_ends(void** state) {
  (void) state;
  static const struct {
    const char* type;
    bool error;
    mcq__event_kind_t kind;
    int code;
  } table[] = {{"PUB", false, MCQ__EV_FAILED, MCQ_ETYPE},
               {"ROUTER", true, MCQ__EV_REFUSED, 0}};
  for (size_t i = 0; i < 2; i++) {
    rig_bytes_t b = {0};
    rig_bytes_t greeting = {0};
    mcq__session_t* s;
    mcq__event_t ev = {0};
    mcq__session_config_t c = rig_config(bench.pool);
    assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
    assert_int_equal(mcq__zmtp.start(s), 0);
    rig_greeting(&greeting, 3, 1, "NULL");
    mcq__zmtp.feed(s, mcq__slice_static(greeting.data, greeting.len));
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
    if (table[i].error)
      rig_command(&b, "ERROR", "\2no", 3);
    else
      rig_ready(&b, table[i].type, NULL, 0);
    mcq__zmtp.feed(s, mcq__slice_static(b.data, b.len));
    /* The properties are kept first: three blocks. */
    bench.alloc.fail_at =
        atomic_load(&bench.alloc.calls) + (table[i].error ? 1 : 4);
    bench.alloc.fail_after = true;
    assert_int_equal(mcq__zmtp.next(s, &ev), table[i].kind);
    assert_true(atomic_load(&bench.alloc.failed) > 0);
    if (table[i].code != 0) {
      assert_int_equal(ev.code, table[i].code);
      assert_string_equal(ev.text, "");
    } else {
      assert_int_equal(ev.body.len, 0);
    }
    bench.alloc.fail_at = 0;
    mcq__zmtp.close(s);
    rig_free(&b);
    rig_free(&greeting);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_table_has_no_holes),
      TEST(every_cut_gives_the_same_events),
      TEST(every_cut_gives_the_same_end),
      TEST(two_sessions_talk),
      TEST(cuts_of_large_bodies),
      TEST(noise_gives_the_same_events_however_cut),
      TEST(pure_noise_is_no_greeting),
      TEST(every_allocation_may_fail),
      TEST(ends_without_memory_are_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
