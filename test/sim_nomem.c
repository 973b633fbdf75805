/* SPDX-License-Identifier: MIT */
/* A request and its answer between two contexts, bind to close, on a simulated
 * network, with each allocation failing in turn, alone and with all after it:
 * whatever fails is told by a code or by an event, nothing leaks, and
 * everything closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctx.h"
#include "support/alloc.h"
#include "support/simnet.h"

/* By then (virtual ms) what can come has come. */
#define PATIENCE 400

/* No scene turns its loop more often. */
#define STEPS_MAX 200000

typedef struct scene {
  sim_net_t net;
  uv_loop_t loop;
  mcq_ctx_t* server;
  mcq_ctx_t* client;
  mcq__io_t* ios[2]; /* of server and client; NULL: not open, or closed */
  mcq_socket_t* router;
  mcq_socket_t* dealer;
  int rc;          /* the first error that a call returned */
  unsigned events; /* that tell of something that failed */
  bool asked;
  bool answered;
  bool calling;
} scene_t;

static uint8_t large[30000]; /* shared on the way, not copied */

static const mcq_frame_t request[] = {
    {"head", 4}, {"", 0}, {large, sizeof large}, {"tail", 4}};
#define PARTS (sizeof request / sizeof *request)

static scene_t* of(mcq_socket_t* s) {
  scene_t* g = (scene_t*) mcq_ctx_data(mcq_socket_ctx(s));
  assert_false(g->calling);
  return g;
}

static int check(scene_t* g, int rc) {
  if (rc != 0 && g->rc == 0) g->rc = rc;
  g->calling = false;
  return rc;
}

#define call(g, expr) ((g)->calling = true, check(g, expr))

/* ---- what is heard ------------------------------------------------------- */

static void check_request(const mcq_msg_t* msg) {
  assert_int_equal(mcq_msg_count(msg), PARTS);
  for (size_t i = 0; i < PARTS; i++) {
    mcq_frame_t f = mcq_msg_frame(msg, i);
    assert_int_equal(f.len, request[i].len);
    if (f.len != 0) assert_memory_equal(f.data, request[i].data, f.len);
  }
}

static void answer(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  scene_t* g = of(s);
  check_request(msg);
  assert_false(g->asked);
  g->asked = true;
  mcq_msg_t* kept = mcq_msg_retain(msg);
  int rc = call(g, mcq_send_msg_to(s, peer, kept == NULL ? msg : kept));
  assert_true(rc == 0 || rc == MCQ_ENOMEM);
  mcq_msg_release(kept);
}

static void hear(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  scene_t* g = of(s);
  (void) peer;
  check_request(msg);
  assert_true(g->asked && !g->answered);
  g->answered = true;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  scene_t* g = of(s);
  if (info->reason != MCQ_ELOCAL) g->events++;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  scene_t* g = of(s);
  if (e->kind == MCQ_EVENT_ACCEPT_FAILED ||
      e->kind == MCQ_EVENT_CONNECT_FAILED ||
      e->kind == MCQ_EVENT_HANDSHAKE_FAILED)
    g->events++;
}

/* ---- the scene ----------------------------------------------------------- */

static void on_server_closed(void* data) {
  ((scene_t*) data)->ios[0] = NULL;
}

static void on_client_closed(void* data) {
  ((scene_t*) data)->ios[1] = NULL;
}

static int open_ctx(scene_t* g, test_alloc_t* memory, mcq_ctx_t** out,
                    mcq__io_t** io) {
  mcq_ctx_options_t o = {.allocator = test_alloc_allocator(memory), .data = g};
  mcq__seams_t seams = sim_net_seams(&g->net);
  int rc = call(g, mcq__ctx_open(&g->loop, &o, &seams, out));
  if (rc == 0) *io = &(*out)->host.io;
  return rc;
}

static int begin(scene_t* g, test_alloc_t* memory) {
  mcq_socket_options_t r = {.type = MCQ_ROUTER,
                            .on_message = answer,
                            .on_peer_down = on_down,
                            .on_event = on_event,
                            .linger_ms = 50};
  mcq_socket_options_t d = {.type = MCQ_DEALER,
                            .on_message = hear,
                            .on_peer_down = on_down,
                            .on_event = on_event,
                            .routing_id = "asks",
                            .routing_id_len = 4,
                            .reconnect_ms = 10,
                            .linger_ms = 50};
  int rc = open_ctx(g, memory, &g->server, &g->ios[0]);
  if (rc == 0) rc = open_ctx(g, memory, &g->client, &g->ios[1]);
  if (rc == 0) rc = call(g, mcq_socket_new(g->server, &r, &g->router));
  if (rc == 0) rc = call(g, mcq_socket_new(g->client, &d, &g->dealer));
  if (rc == 0) rc = call(g, mcq_bind(g->router, "sim://here", NULL));
  if (rc == 0) rc = call(g, mcq_connect(g->dealer, "sim://here", NULL, NULL));
  if (rc == 0) rc = call(g, mcq_send(g->dealer, request, PARTS));
  return rc;
}

static bool step(scene_t* g) {
  return sim_net_step(&g->net, &g->loop, g->ios, 2);
}

static int play(test_alloc_t* memory, void* arg) {
  static scene_t g;
  unsigned steps = 0;
  memset(&g, 0, sizeof g);
  sim_net_init(&g.net, test_seed(7));
  g.net.faults.style = *(const sim_style_t*) arg;
  g.net.faults.delay = 2;
  assert_int_equal(uv_loop_init(&g.loop), 0);
  int rc = begin(&g, memory);
  uint64_t until = g.net.now + PATIENCE;
  while (rc == 0 && !g.answered && g.net.now < until && step(&g))
    assert_true(++steps < STEPS_MAX);
  /* Nothing fails without a word. */
  assert_true(g.answered || g.rc == MCQ_ENOMEM || g.events != 0);
  if (g.ios[1] != NULL) mcq_ctx_close(g.client, on_client_closed);
  if (g.ios[0] != NULL) mcq_ctx_close(g.server, on_server_closed);
  while (g.ios[0] != NULL || g.ios[1] != NULL) {
    assert_true(step(&g));
    assert_true(++steps < STEPS_MAX);
  }
  assert_int_equal(uv_run(&g.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g.loop), 0);
  sim_net_dispose(&g.net);
  return g.answered ? 0 : g.rc != 0 ? g.rc : MCQ_ENOMEM;
}

static void sweep(sim_style_t style) {
  for (size_t i = 0; i < sizeof large; i++) large[i] = (uint8_t) (i * 31);
  size_t calls = test_alloc_sweep(play, &style);
  print_message("%zu allocations, each of which failed\n", calls);
  assert_true(calls > 50);
}

static void when_it_polls(void** state) {
  (void) state;
  sweep(SIM_POLL);
}

static void when_it_is_a_ring(void** state) {
  (void) state;
  sweep(SIM_RING);
}

static void when_it_is_both(void** state) {
  (void) state;
  sweep(SIM_MIXED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(when_it_polls),
      cmocka_unit_test(when_it_is_a_ring),
      cmocka_unit_test(when_it_is_both),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
