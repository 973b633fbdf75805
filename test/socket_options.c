/* SPDX-License-Identifier: MIT */
/* What a socket makes of its options: what is refused, what the defaults do,
 * and those that no other test asks for. */
#include <pthread.h>

#include "monocoque.h"
#include "support/pool.h"

typedef struct stage {
  test_alloc_t alloc;
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  mcq_close_info_t info;
  unsigned closed;
  unsigned messages;
  size_t calls; /* of the allocator, when all had settled */
} stage_t;

static void setup(stage_t* g) {
  memset(g, 0, sizeof *g);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  test_alloc_init(&g->alloc);
  mcq_ctx_options_t options = {.backend = MCQ_BACKEND_UV,
                               .allocator = test_alloc_allocator(&g->alloc)};
  assert_int_equal(mcq_ctx_new(&g->loop, &options, &g->ctx), 0);
}

static void teardown(stage_t* g) {
  mcq_ctx_close(g->ctx, NULL);
  uv_run(&g->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  assert_int_equal(g->alloc.live, 0);
}

static int make(stage_t* g, mcq_socket_options_t options) {
  options.data = g;
  return mcq_socket_new(g->ctx, &options, &g->socket);
}

static void what_makes_no_sense_is_refused(void** state) {
  (void) state;
  static const mcq_property_t nameless = {.name = "", .value = "v", .len = 1};
  static const mcq_property_t spaced = {.name = "X a", .value = "v", .len = 1};
  static const char long_id[256] = "too long";
  static const mcq_socket_options_t bad[] = {
      {.type = MCQ_DEALER, .sndhwm = -2},
      {.type = MCQ_DEALER, .sndhwm_bytes = -2},
      {.type = MCQ_DEALER, .max_message_size = -2},
      {.type = MCQ_DEALER, .max_frames = -2},
      {.type = MCQ_PUB, .max_subscriptions = -2},
      {.type = MCQ_XPUB, .max_subscription_bytes = -2},
      {.type = MCQ_SUB, .flags = MCQ_PUB_COUNT_SUBS},
      {.type = MCQ_PUB, .flags = MCQ_SUB_SEND_DUPLICATES},
      {.type = MCQ_DEALER, .handshake_ms = -2},
      {.type = MCQ_DEALER, .linger_ms = -3},
      {.type = MCQ_DEALER, .reconnect_ms = -2},
      {.type = MCQ_DEALER, .reconnect_max_ms = -1},
      {.type = MCQ_DEALER, .connect_ms = -2},
      {.type = MCQ_DEALER, .backlog = -1},
      {.type = MCQ_DEALER, .reuse_port = true, .incoming_cpu = -2},
      {.type = MCQ_DEALER, .incoming_cpu = MCQ_CPU(0)}, /* of none other's */
      {.type = MCQ_DEALER, .max_connections = -2},
      {.type = MCQ_DEALER, .max_per_address = -2},
      {.type = MCQ_DEALER, .max_handshakes = -2},
      {.type = MCQ_DEALER, .max_handshake_size = -2},
      {.type = MCQ_DEALER, .turn_messages = -1},
      {.type = MCQ_DEALER, .turn_bytes = -1},
      {.type = MCQ_DEALER, .turn_usec = -1},
      {.type = MCQ_DEALER, .heartbeat_ms = -2},
      {.type = MCQ_DEALER, .heartbeat_timeout_ms = -2},
      {.type = MCQ_DEALER, .heartbeat_ttl_ms = -2},
      /* Their peers would give us up between two questions. */
      {.type = MCQ_DEALER, .heartbeat_ms = 500, .heartbeat_ttl_ms = 500},
      {.type = MCQ_DEALER, .heartbeat_ms = 65500, .heartbeat_ttl_ms = 100000},
      {.type = MCQ_STREAM, .heartbeat_ms = 500},
      {.type = MCQ_DEALER, .first_message_ms = -2},
      {.type = MCQ_PUSH, .first_message_ms = 500},
      {.type = MCQ_DEALER, .idle_ms = -2},
      {.type = MCQ_DEALER, .reconnect_attempts = -2},
      {.type = MCQ_DEALER, .reconnect_total_ms = -2},
      {.type = MCQ_DEALER, .reconnect_stop = 8},
      {.type = MCQ_DEALER, .flags = MCQ_ROUTER_BALANCE},
      {.type = MCQ_PAIR, .flags = MCQ_ROUTER_REFUSE_TWIN},
      {.type = MCQ_ROUTER, .flags = 1 << 30},
      {.type = MCQ_DEALER, .routing_id = long_id, .routing_id_len = 256},
      {.type = MCQ_DEALER, .routing_id = "\0a", .routing_id_len = 2},
      {.type = MCQ_DEALER, .routing_id_len = 2},
      {.type = MCQ_DEALER, .property_count = 1},
      {.type = MCQ_DEALER, .properties = &nameless, .property_count = 1},
      {.type = MCQ_DEALER, .properties = &spaced, .property_count = 1},
  };
  stage_t g;
  setup(&g);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(make(&g, bad[i]), MCQ_EINVAL);
  assert_int_equal(make(&g, (mcq_socket_options_t){.type = -1}), MCQ_EINVAL);
  assert_int_equal(make(&g, (mcq_socket_options_t){.type = 99}), MCQ_EINVAL);
  teardown(&g);
}

/* -1 is none, as everywhere, also where none is the default. */
static void what_is_off_may_be_switched_off(void** state) {
  (void) state;
  static const mcq_socket_options_t good[] = {
      {.type = MCQ_DEALER,
       .heartbeat_ms = -1,
       .heartbeat_timeout_ms = -1,
       .heartbeat_ttl_ms = -1,
       .first_message_ms = -1,
       .idle_ms = -1,
       .incoming_cpu = -1,
       .reconnect_attempts = -1,
       .reconnect_total_ms = -1},
      {.type = MCQ_DEALER, .heartbeat_ttl_ms = 100}, /* of no consequence */
      {.type = MCQ_DEALER, .heartbeat_ms = 499, .heartbeat_ttl_ms = 500},
      {.type = MCQ_DEALER, .heartbeat_ms = INT64_MAX},
      {.type = MCQ_STREAM, .heartbeat_ms = -1, .idle_ms = 500},
      {.type = MCQ_PUSH, .first_message_ms = -1},
  };
  stage_t g;
  setup(&g);
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    assert_int_equal(make(&g, good[i]), 0);
  teardown(&g);
}

/* ---- linger -------------------------------------------------------------- */

static void on_close(const mcq_close_info_t* info) {
  stage_t* g = info->data;
  g->info = *info;
  g->closed++;
}

/* Nobody listens there, so whatever is queued waits. */
static void close_with_two_queued(stage_t* g, int64_t linger_ms) {
  setup(g);
  assert_int_equal(make(g, (mcq_socket_options_t){.type = MCQ_DEALER,
                                                  .linger_ms = linger_ms}),
                   0);
  assert_int_equal(mcq_connect(g->socket, "tcp://127.0.0.1:1", NULL, NULL), 0);
  assert_int_equal(mcq_send_text(g->socket, "one"), 0);
  assert_int_equal(mcq_send_text(g->socket, "three"), 0);
  mcq_close(g->socket, on_close);
}

static void without_linger_all_is_dropped_and_counted(void** state) {
  (void) state;
  stage_t g;
  close_with_two_queued(&g, MCQ_LINGER_NONE);
  for (int i = 0; i < 4; i++) uv_run(&g.loop, UV_RUN_NOWAIT);
  assert_int_equal(g.closed, 1);
  assert_int_equal(g.info.lost_messages, 2);
  assert_int_equal(g.info.lost_bytes, 2 + 3 + 2 + 5);
  teardown(&g);
}

static void with_linger_it_waits(void** state) {
  (void) state;
  stage_t g;
  close_with_two_queued(&g, 20);
  for (int i = 0; i < 4; i++) uv_run(&g.loop, UV_RUN_NOWAIT);
  assert_int_equal(g.closed, 0);
  while (g.closed == 0) uv_run(&g.loop, UV_RUN_ONCE);
  assert_int_equal(g.info.lost_messages, 2);
  teardown(&g);
}

/* ---- threads ------------------------------------------------------------- */

static void count_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = mcq_socket_data(s);
  (void) peer, (void) msg;
  if (++g->messages == 100) g->calls = g->alloc.calls;
  if (g->messages < 1000) {
    mcq_send_text(s, "again");
  } else {
    g->calls = g->alloc.calls - g->calls;
    mcq_ctx_close(g->ctx, NULL);
  }
}

static void say_hello(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  mcq_send_text(s, "again");
}

static void* run_loop(void* arg) {
  stage_t* g = arg;
  uv_run(&g->loop, UV_RUN_DEFAULT);
  return NULL;
}

/* A loop that is set up here and runs on another thread recycles its buffers
 * there as it would have here. */
static void the_loop_may_run_elsewhere(void** state) {
  (void) state;
  stage_t g;
  pthread_t thread;
  mcq_endpoint_t at;
  setup(&g);
  assert_int_equal(
      make(&g, (mcq_socket_options_t){.type = MCQ_PAIR,
                                      .on_message = count_message}),
      0);
  assert_int_equal(mcq_bind(g.socket, "tcp://127.0.0.1:0", &at), 0);
  const char* uri = mcq_endpoint_uri(g.socket, at);
  assert_int_equal(
      make(&g, (mcq_socket_options_t){.type = MCQ_PAIR,
                                      .on_peer_up = say_hello,
                                      .on_message = count_message}),
      0);
  assert_int_equal(mcq_connect(g.socket, uri, NULL, NULL), 0);
  assert_int_equal(pthread_create(&thread, NULL, run_loop, &g), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(g.messages, 1000);
  assert_int_equal(uv_loop_close(&g.loop), 0);
  assert_int_equal(g.alloc.live, 0);
#ifndef MCQ_NO_POOL
  assert_int_equal(g.calls, 0);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_makes_no_sense_is_refused),
      cmocka_unit_test(what_is_off_may_be_switched_off),
      cmocka_unit_test(without_linger_all_is_dropped_and_counted),
      cmocka_unit_test(with_linger_it_waits),
      cmocka_unit_test(the_loop_may_run_elsewhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
