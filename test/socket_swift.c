/* SPDX-License-Identifier: MIT */
/* A peer that takes whatever is written, as fast as it is written: who sends
 * until there is no room comes back to his loop all the same, each time, and
 * is told when there is room again.  The network is one that takes all
 * (support/lane.h), so it is the library alone that ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctx.h"
#include "monocoque.h"
#include "support/lane.h"
#include "support/zmtp_rig.h"

#define TURNS 20

/* So often he may be told in one turn: in each round of its phases. */
#define DRAINS_MAX 32

/* What is written at once. */
#define WRITE ((uint64_t) 524288)

typedef struct swift {
  uv_loop_t loop;
  lane_t lane;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  size_t size;
  uint64_t bound; /* messages, each time */
  uint64_t sent;
  unsigned drains;
  bool left;
} swift_t;

static const uint8_t body[65536];

static void on_left(void* data) {
  ((swift_t*) data)->left = true;
}

static void turn(swift_t* w) {
  (void) uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* The way it is done: until there is no room. */
static void send_all(swift_t* w) {
  uint64_t before = w->sent;
  int rc;
  while ((rc = mcq_send_bytes(w->s, body, w->size)) == 0) {
    w->sent++;
    assert_in_range(w->sent - before, 1, w->bound);
  }
  assert_int_equal(rc, MCQ_EAGAIN);
}

static void on_drain(mcq_socket_t* s) {
  swift_t* w = (swift_t*) mcq_socket_data(s);
  w->drains++;
  send_all(w);
}

static void hear(swift_t* w, const char* mate) {
  rig_bytes_t hello = {0};
  rig_hello(&hello, mate);
  while (!lane_say(&w->lane, hello.data, hello.len)) turn(w);
  for (int i = 0; i < 3; i++) turn(w);
  rig_free(&hello);
}

static void swift_open(swift_t* w, int type, const char* mate, size_t size,
                       int32_t hwm) {
  memset(w, 0, sizeof *w);
  w->size = size;
  assert_int_equal(uv_loop_init(&w->loop), 0);
  mcq__seams_t seams = lane_init(&w->lane);
  mcq_ctx_options_t o = {.data = w};
  assert_int_equal(mcq__ctx_open(&w->loop, &o, &seams, &w->ctx), 0);
  mcq_socket_options_t options = {.type = type,
                                  .data = w,
                                  .on_drain = on_drain,
                                  .sndhwm = hwm,
                                  .sndhwm_bytes = -1,
                                  .linger_ms = MCQ_LINGER_NONE};
  assert_int_equal(mcq_socket_new(w->ctx, &options, &w->s), 0);
  assert_int_equal(mcq_connect(w->s, "lane://far", NULL, NULL), 0);
  hear(w, mate);
}

static void swift_close(swift_t* w) {
  mcq_ctx_close(w->ctx, on_left);
  while (!w->left) turn(w);
  assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&w->loop), 0);
}

/* What is written inside calls in a turn, a write that goes over it, and so
 * many that are queued after that: with no mark of the user's, less than what
 * is written at once. */
static void comes_back(int type, const char* mate, size_t size, int32_t hwm) {
  swift_t w;
  swift_open(&w, type, mate, size, hwm);
  uint64_t queued = hwm == 0 ? WRITE / size + 1 : (uint64_t) hwm;
  w.bound = (MCQ__TURN_CALLS_BYTES + WRITE) / size + queued;
  send_all(&w);
  for (unsigned i = 0; i < TURNS; i++) {
    unsigned drains = w.drains;
    turn(&w);
    assert_in_range(w.drains - drains, 0, DRAINS_MAX);
  }
  assert_true(w.drains >= TURNS / 4);
  swift_close(&w);
}

static void small_messages(void** state) {
  (void) state;
  comes_back(MCQ_PUSH, "PULL", 8, 0);
  comes_back(MCQ_DEALER, "ROUTER", 64, 0);
}

static void large_messages(void** state) {
  (void) state;
  comes_back(MCQ_PUSH, "PULL", 16384, 0);
  comes_back(MCQ_PAIR, "PAIR", sizeof body, 0);
}

static void marks_of_his_own(void** state) {
  (void) state;
  comes_back(MCQ_PUSH, "PULL", 64, 100);
  comes_back(MCQ_PUSH, "PULL", 16384, 600);
}

/* Who asked for no limit is never told to wait. */
static void no_marks(void** state) {
  (void) state;
  swift_t w;
  swift_open(&w, MCQ_PUSH, "PULL", sizeof body, -1);
  uint64_t enough = 4 * MCQ__TURN_CALLS_BYTES / sizeof body;
  for (uint64_t i = 0; i < enough; i++)
    assert_int_equal(mcq_send_bytes(w.s, body, sizeof body), 0);
  while (w.lane.written < enough * sizeof body) turn(&w);
  assert_int_equal(w.drains, 0);
  swift_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_messages),
      cmocka_unit_test(large_messages),
      cmocka_unit_test(marks_of_his_own),
      cmocka_unit_test(no_marks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
