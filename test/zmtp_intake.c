/* SPDX-License-Identifier: MIT */
/* Frames that straddle reads: gathered in memory of their own size, filled by
 * copying or by whoever serves want(), and bytes held while nobody asks. */
#include "zmtp/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/pool.h"
#include "support/zmtp_rig.h"
#include "zmtp/session.h"

#define MIB ((size_t) 1 << 20)

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

static mcq__session_t* open_ready(mcq__pool_t* pool, uint64_t max_message) {
  rig_bytes_t b = {0};
  mcq__event_t ev;
  mcq__session_t* s;
  mcq__session_config_t c = rig_config(pool);
  c.max_message = max_message;
  assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
  assert_int_equal(mcq__zmtp.start(s), 0);
  rig_hello(&b, "ROUTER");
  mcq__zmtp.feed(s, mcq__slice_static(b.data, b.len));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_READY);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  rig_free(&b);
  return s;
}

static mcq__session_t* open_plain(void) {
  return open_ready(bench.pool, 64 * MIB);
}

static void feed_none(mcq__session_t* s, const void* data, size_t len) {
  rig_log_t log = {0};
  rig_feed_once(s, bench.pool, (const uint8_t*) data, len, false, &log);
  assert_int_equal(log.events, 0);
}

static uint8_t* pattern(size_t len) {
  uint8_t* data = (uint8_t*) test_malloc(len);
  for (size_t i = 0; i < len; i++) data[i] = (uint8_t) (i * 31 + (i >> 8));
  return data;
}

/* ---- want and filled ----------------------------------------------------- */

/* A body of 1 MiB: what came with the header is copied once, the rest is
 * written where it stays. */
static void a_large_body_is_filled_in_place(void** state) {
  (void) state;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  uint8_t* body = pattern(MIB);
  mcq__session_t* s = open_plain();
  assert_null(mcq__zmtp.want(s));
  rig_head(&b, 3, MIB);
  rig_add(&b, body, 1000);
  feed_none(s, b.data, b.len);
  mcq__window_t* w = mcq__zmtp.want(s);
  assert_non_null(w);
  assert_int_equal(mcq__window_room(w), MIB - 1000);
  const uint8_t* place = (const uint8_t*) mcq__window_ptr(w);
  for (size_t at = 1000; at < MIB;) {
    size_t n = MIB - at < 100000 ? MIB - at : 100000;
    w = mcq__zmtp.want(s);
    if (MIB - at < MCQ__WANT_MIN) {
      assert_null(w);
      break;
    }
    assert_int_equal(mcq__window_room(w), MIB - at);
    mcq__window_poke(w, 0, body + at, n);
    mcq__zmtp.filled(s, n);
    at += n;
    if (at < MIB) assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
    assert_false(mcq__zmtp.at_boundary(s));
  }
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  assert_true(ev.more);
  assert_true(mcq__slice_equal(ev.body, body, MIB));
  assert_ptr_equal(ev.body.data + 1000, place);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  assert_null(mcq__zmtp.want(s));
  mcq__zmtp.close(s);
  rig_free(&b);
  test_free(body);
}

static void it_is_asked_for_from_32_kib_on(void** state) {
  (void) state;
  static const struct {
    size_t len, here;
    bool wanted;
  } table[] = {
      {MCQ__WANT_MIN, 0, true},       {MCQ__WANT_MIN - 1, 0, false},
      {MCQ__WANT_MIN + 10, 10, true}, {MCQ__WANT_MIN + 10, 11, false},
      {MCQ__WANT_MIN * 4, 5, true},   {256, 0, false},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    rig_bytes_t b = {0};
    uint8_t* body = pattern(table[i].len);
    mcq__session_t* s = open_plain();
    rig_head(&b, 2, table[i].len);
    rig_add(&b, body, table[i].here);
    feed_none(s, b.data, b.len);
    assert_int_equal(mcq__zmtp.want(s) != NULL, table[i].wanted);
    /* Fed all the same, with the beginning of what follows. */
    rig_log_t log = {0};
    b.len = 0;
    rig_add(&b, body + table[i].here, table[i].len - table[i].here);
    rig_add(&b, "\0\1x\1", 4);
    rig_feed_once(s, bench.pool, b.data, b.len, false, &log);
    assert_int_equal(log.events, 2);
    rig_log_free(&log);
    assert_null(mcq__zmtp.want(s));
    mcq__zmtp.close(s);
    rig_free(&b);
    test_free(body);
  }
}

static void filling_and_feeding_may_alternate(void** state) {
  (void) state;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  uint8_t* body = pattern(MIB);
  mcq__session_t* s = open_plain();
  rig_head(&b, 2, MIB);
  feed_none(s, b.data, b.len);
  size_t at = 0;
  for (int i = 0; at + 50000 < MIB; i++) {
    mcq__window_t* w = mcq__zmtp.want(s);
    if (w != NULL && i % 2 == 0) {
      mcq__window_poke(w, 0, body + at, 40000);
      mcq__zmtp.filled(s, 40000);
      at += 40000;
      assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
    } else {
      feed_none(s, body + at, 1234);
      at += 1234;
    }
    mcq__zmtp.filled(s, 0); /* a read may bring nothing */
    assert_int_equal(mcq__zmtp.hold(s), 0);
  }
  mcq__zmtp.feed(s, mcq__slice_static(body + at, MIB - at));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  assert_true(mcq__slice_equal(ev.body, body, MIB));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  mcq__zmtp.close(s);
  rig_free(&b);
  test_free(body);
}

/* Kept by counting: the body's slab is its own, so nothing is copied. */
static void a_gathered_body_can_be_kept(void** state) {
  (void) state;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  mcq__slice_t kept;
  uint8_t* body = pattern(40000);
  mcq__session_t* s = open_plain();
  rig_head(&b, 2, 40000);
  rig_add(&b, body, 1);
  feed_none(s, b.data, b.len);
  mcq__zmtp.feed(s, mcq__slice_static(body + 1, 39999));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  size_t calls = atomic_load(&bench.alloc.calls);
  assert_int_equal(mcq__slice_keep(&kept, bench.pool, ev.body), 0);
  assert_int_equal(atomic_load(&bench.alloc.calls), calls);
  assert_ptr_equal(kept.data, ev.body.data);
  mcq__zmtp.close(s);
  assert_true(mcq__slice_equal(kept, body, 40000));
  mcq__slice_release(&kept);
  rig_free(&b);
  test_free(body);
}

/* Beside what lies ready to be used again. */
static size_t in_use(void) {
  return atomic_load(&bench.alloc.bytes) - mcq__pool_idle(bench.pool);
}

/* After a large message the session holds no more than before it. */
static void a_gathered_body_is_let_go(void** state) {
  (void) state;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  uint8_t* body = pattern(4 * MIB);
  mcq__session_t* s = open_plain();
  size_t before = in_use();
  for (int round = 0; round < 2; round++) {
    rig_head(&b, 2, 4 * MIB);
    rig_add(&b, body, 1);
    mcq__zmtp.feed(s, mcq__slice_static(b.data, b.len));
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
    mcq__zmtp.feed(s, mcq__slice_static(body + 1, 4 * MIB - 1));
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
    assert_true(in_use() > before + 4 * MIB);
    /* Any next call will do. */
    if (round == 0)
      assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
    else
      assert_int_equal(mcq__zmtp.hold(s), 0);
    /* The spare one's head, and what is left of its last page. */
    assert_in_range(in_use(), before, before + 8192);
    rig_free(&b);
  }
  mcq__zmtp.close(s);
  test_free(body);
}

/* A body apart from its header, but in one piece: nobody copies it. */
static void a_body_in_one_piece_stays_where_it_is(void** state) {
  (void) state;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  uint8_t* body = pattern(MIB);
  mcq__session_t* s = open_plain();
  rig_head(&b, 2, MIB);
  feed_none(s, b.data, b.len);
  size_t calls = atomic_load(&bench.alloc.calls);
  mcq__zmtp.feed(s, mcq__slice_static(body, MIB));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  assert_ptr_equal(ev.body.data, body);
  assert_true(ev.body.len == MIB);
  assert_int_equal(atomic_load(&bench.alloc.calls), calls);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  mcq__zmtp.close(s);
  rig_free(&b);
  test_free(body);
}

/* ---- memory that is not touched
 * ----------------------------------------------- */

#define HUGE_LEN (48 * MIB)

typedef struct huge {
  uint8_t* map;
  size_t len;
} huge_t;

static void* huge_alloc(size_t size, void* arg) {
  huge_t* h = (huge_t*) arg;
  if (size < HUGE_LEN) return malloc(size);
  h->len = size;
  h->map = (uint8_t*) mmap(NULL, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return h->map == MAP_FAILED ? NULL : h->map;
}

static void huge_free(void* block, void* arg) {
  huge_t* h = (huge_t*) arg;
  if (block == h->map)
    munmap(h->map, h->len);
  else
    free(block);
}

/* Announcing costs the peer nothing, so it must cost us nothing either. */
static void an_announced_body_is_not_touched(void** state) {
  (void) state;
  huge_t h = {0};
  mcq_allocator_t allocator = {huge_alloc, huge_free, &h};
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  assert_int_equal(mcq__mem_open(&mem, &allocator), 0);
  assert_int_equal(mcq__pool_open(&pool, mem), 0);
  mcq__session_t* s = open_ready(pool, 64 * MIB);
  rig_head(&b, 2, HUGE_LEN);
  rig_add(&b, "a few bytes", 11);
  mcq__zmtp.feed(s, mcq__slice_static(b.data, b.len));
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  assert_non_null(h.map);
  size_t page = (size_t) sysconf(_SC_PAGESIZE);
  size_t pages = (h.len + page - 1) / page;
  unsigned char* seen = (unsigned char*) test_malloc(pages);
  assert_int_equal(mincore(h.map, h.len, seen), 0);
  size_t touched = 0;
  for (size_t i = 0; i < pages; i++) touched += seen[i] & 1;
  /* Its head, and in debug builds the poisoned edges. */
  assert_in_range(touched, 1, 8);
  test_free(seen);
  mcq__zmtp.close(s);
  mcq__pool_close(pool);
  assert_int_equal(mcq__mem_live(mem), 0);
  mcq__mem_close(mem);
  rig_free(&b);
}

/* ---- holding ------------------------------------------------------------- */

static void freed(void* data, void* arg) {
  free(data);
  *(bool*) arg = true;
}

/* A copy of `b` that tells when nobody counts it any more. */
static void feed_counted(mcq__session_t* s, const rig_bytes_t* b, bool* gone) {
  void* copy = malloc(b->len);
  assert_non_null(copy);
  memcpy(copy, b->data, b->len);
  *gone = false;
  mcq__slab_t* slab =
      mcq__slab_foreign(bench.pool, copy, b->len, true, freed, gone);
  assert_non_null(slab);
  mcq__zmtp.feed(s, mcq__slab_slice(slab));
  mcq__slab_release(slab);
}

static void held_bytes_leave_the_read_buffer(void** state) {
  (void) state;
  bool gone;
  size_t calls = 0;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  for (int i = 0; i < 10; i++) rig_frame(&b, 0, "0123456789", (size_t) i);
  feed_counted(s, &b, &gone);
  for (size_t i = 0; i < 10; i++) {
    assert_int_equal(gone, i > 3);
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
    assert_true(mcq__slice_equal(ev.body, "0123456789", i));
    if (i < 3) continue;
    assert_int_equal(mcq__zmtp.hold(s), 0);
    assert_true(gone);
    if (i == 3) calls = atomic_load(&bench.alloc.calls);
    assert_int_equal(atomic_load(&bench.alloc.calls), calls); /* once */
  }
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
  mcq__zmtp.close(s);
  rig_free(&b);
}

static void holding_with_nothing_left_takes_no_memory(void** state) {
  (void) state;
  bool gone;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_frame(&b, 0, "all", 3);
  feed_counted(s, &b, &gone);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  assert_false(gone); /* the body is lent */
  size_t calls = atomic_load(&bench.alloc.calls);
  assert_int_equal(mcq__zmtp.hold(s), 0);
  assert_true(gone);
  assert_int_equal(atomic_load(&bench.alloc.calls), calls);
  assert_true(mcq__zmtp.at_boundary(s));
  mcq__zmtp.close(s);
  rig_free(&b);
}

static void holding_without_memory_changes_nothing(void** state) {
  (void) state;
  bool gone;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  mcq__session_t* s = open_plain();
  rig_frame(&b, 1, "one", 3);
  rig_frame(&b, 0, "two", 3);
  feed_counted(s, &b, &gone);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  test_alloc_fail_next(&bench.alloc, false);
  assert_int_equal(mcq__zmtp.hold(s), MCQ_ENOMEM);
  assert_false(gone);
  assert_int_equal(mcq__zmtp.hold(s), 0);
  assert_true(gone);
  assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FRAME);
  assert_true(mcq__slice_equal(ev.body, "two", 3));
  mcq__zmtp.close(s);
  rig_free(&b);
}

/* A hungry session counts nothing that was fed, whatever was cut where. */
static void hungry_sessions_count_nothing(void** state) {
  (void) state;
  rig_bytes_t whole = {0};
  uint8_t* body = pattern(700);
  rig_hello(&whole, "ROUTER");
  rig_frame(&whole, 1, body, 200);
  rig_frame(&whole, 0, body, 700);
  rig_command(&whole, "SUBSCRIBE", body, 300);
  for (size_t len = 1; len < whole.len; len++) {
    bool gone;
    mcq__event_t ev;
    mcq__session_t* s;
    rig_bytes_t part = {whole.data, len, 0};
    mcq__session_config_t c = rig_config(bench.pool);
    assert_int_equal(mcq__zmtp.open(&s, &c, 0), 0);
    feed_counted(s, &part, &gone);
    while (mcq__zmtp.next(s, &ev) != MCQ__EV_NONE) continue;
    assert_true(gone);
    mcq__zmtp.close(s);
  }
  rig_free(&whole);
  test_free(body);
}

/* What comes after an end is not counted for a moment. */
static void ended_sessions_count_nothing(void** state) {
  (void) state;
  bool gone;
  mcq__event_t ev;
  rig_bytes_t b = {0};
  for (int way = 0; way < 2; way++) {
    mcq__session_t* s = open_plain();
    if (way == 0) {
      assert_int_equal(mcq__zmtp.refuse(s, "no"), 0);
    } else {
      mcq__zmtp.feed(s, mcq__slice_static("\10", 1));
      assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_FAILED);
    }
    rig_frame(&b, 0, "late", 4);
    feed_counted(s, &b, &gone);
    assert_true(gone);
    assert_int_equal(mcq__zmtp.next(s, &ev), MCQ__EV_NONE);
    mcq__zmtp.close(s);
    rig_free(&b);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_large_body_is_filled_in_place),
      TEST(it_is_asked_for_from_32_kib_on),
      TEST(filling_and_feeding_may_alternate),
      TEST(a_gathered_body_can_be_kept),
      TEST(a_gathered_body_is_let_go),
      TEST(a_body_in_one_piece_stays_where_it_is),
      TEST(an_announced_body_is_not_touched),
      TEST(held_bytes_leave_the_read_buffer),
      TEST(holding_with_nothing_left_takes_no_memory),
      TEST(holding_without_memory_changes_nothing),
      TEST(hungry_sessions_count_nothing),
      TEST(ended_sessions_count_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
