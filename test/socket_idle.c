/* SPDX-License-Identifier: MIT */
/* What an idle connection costs: a thousand of them over real sockets on each
 * back end, server and clients in contexts of their own so that each side's
 * memory is counted alone.  Counted is all that is alive, as the system rounds
 * it up, tables and pooled buffers included.  It fails above PER_PEER bytes a
 * connection; `socket_idle N` does the same with N of them. */
#include <sys/resource.h>

#include "support/players.h"

#define PER_PEER ((size_t) 1536)
/* So much more for one that is asked whether it lives. */
#define PER_PULSE ((size_t) 64)
/* And this for all that are asked at once: they read into it, and then it is
 * what the pool keeps in reserve. */
#define SHARED ((size_t) 1 << 18)
#define IDLE 1000

/* What tables keep for each that was there at once and has gone. */
#define PER_GONE ((size_t) 128)

/* A burst of 100 MiB: for each of so many peers so many messages. */
#define BURST_PEERS 210
#define BURST_MESSAGES 500 /* less than is written at once */
#define BURST_SIZE 1024

/* Connections that are made at once: not more than a backlog takes. */
#define AT_ONCE 100

#define HEARTBEAT ((int64_t) 1000)

/* Of the test's clock, ms: longer than memory that nobody uses is kept. */
#define QUIET 10000

static unsigned idle = IDLE;

/* ---- two sides ----------------------------------------------------------- */

typedef struct side {
  test_alloc_t memory;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  unsigned ups, downs;
  unsigned subscribed;
  unsigned heard;
  bool left;
} side_t;

typedef struct pair {
  uv_loop_t loop;
  uv_timer_t tick; /* no step of the loop sleeps for long */
  uint64_t now;
  side_t server, client;
} pair_t;

static uint64_t clock_of(void* arg) {
  return ((pair_t*) arg)->now;
}

static void on_tick(uv_timer_t* tick) {
  (void) tick;
}

static void on_left(void* data) {
  ((side_t*) data)->left = true;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((side_t*) mcq_socket_data(s))->ups++;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((side_t*) mcq_socket_data(s))->downs++;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  ((side_t*) mcq_socket_data(s))->heard++;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* event) {
  if (event->kind == MCQ_EVENT_SUBSCRIBED)
    ((side_t*) mcq_socket_data(s))->subscribed++;
}

static void open_side(pair_t* p, side_t* side, int backend, int type,
                      bool beats) {
  test_alloc_init(&side->memory);
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&side->memory),
                         .data = side};
  mcq__seams_t seams = {.clock = clock_of, .clock_arg = p};
  assert_int_equal(mcq__ctx_open(&p->loop, &o, &seams, &side->ctx), 0);
  mcq_socket_options_t options = {.type = type,
                                  .backlog = 2 * AT_ONCE,
                                  .on_peer_up = on_up,
                                  .on_peer_down = on_down,
                                  .on_event = on_event,
                                  .on_message = on_message,
                                  .data = side};
  if (beats) options.heartbeat_ms = HEARTBEAT;
  assert_int_equal(mcq_socket_new(side->ctx, &options, &side->s), 0);
}

static void step(pair_t* p) {
  (void) uv_run(&p->loop, UV_RUN_ONCE);
}

static void open_pair(pair_t* p, int backend, int server, int client,
                      bool beats) {
  memset(p, 0, sizeof *p);
  p->now = 1000;
  assert_int_equal(uv_loop_init(&p->loop), 0);
  uv_timer_init(&p->loop, &p->tick);
  uv_timer_start(&p->tick, on_tick, 1, 1);
  open_side(p, &p->server, backend, server, beats);
  open_side(p, &p->client, backend, client, beats);
}

static void close_pair(pair_t* p) {
  if (!p->client.left) mcq_ctx_close(p->client.ctx, on_left);
  mcq_ctx_close(p->server.ctx, on_left);
  for (; !p->client.left || !p->server.left; p->now += 20) step(p);
  uv_close((uv_handle_t*) &p->tick, NULL);
  assert_int_equal(uv_run(&p->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&p->loop), 0);
  assert_int_equal(p->server.memory.live, 0);
  assert_int_equal(p->client.memory.live, 0);
}

/* ---- plays --------------------------------------------------------------- */

/* All clients go, and the server does not. */
static void go_away(pair_t* p) {
  mcq_ctx_close(p->client.ctx, on_left);
  for (; !p->client.left || p->server.downs < p->server.ups; p->now += 20)
    step(p);
}

/* Nothing happens but what the clock brings, and for that there is time: what
 * one turn does is bounded. */
static void rest(pair_t* p) {
  unsigned turns = 4 + idle / 250;
  for (uint64_t end = p->now + QUIET; p->now < end; p->now += 100)
    for (unsigned i = 0; i < turns; i++)
      (void) uv_run(&p->loop, UV_RUN_NOWAIT);
}

static void meet(pair_t* p, mcq_endpoint_t at, unsigned count) {
  mcq_connect_options_t many = {.flags = MCQ_CONNECT_MULTI};
  unsigned all = p->client.ups + count;
  while (count-- != 0) {
    const char* uri = mcq_endpoint_uri(p->server.s, at);
    assert_int_equal(mcq_connect(p->client.s, uri, &many, NULL), 0);
    if (count % AT_ONCE != 0) continue;
    while (p->server.ups + count < all || p->client.ups + count < all) step(p);
  }
}

/* SUB has subscribed everywhere, and that is in force. */
static void be_heard(pair_t* p, unsigned count) {
  while (p->server.subscribed < count || p->client.subscribed < count) step(p);
}

static size_t each(const side_t* side, size_t before) {
  return (side->memory.bytes - before) / idle;
}

static void idle_peers(int backend, const char* names, int server, int client,
                       bool beats) {
  pair_t p;
  mcq_endpoint_t at;
  open_pair(&p, backend, server, client, beats);
  assert_int_equal(mcq_bind(p.server.s, "tcp://127.0.0.1:*", &at), 0);
  if (client == MCQ_SUB)
    assert_int_equal(mcq_subscribe(p.client.s, "topic", 5), 0);
  rest(&p);
  size_t empty = p.server.memory.bytes;
  /* The first one takes what all of them share. */
  meet(&p, at, 1);
  if (client == MCQ_SUB) be_heard(&p, 1);
  rest(&p);
  size_t before[2] = {p.server.memory.bytes, p.client.memory.bytes};
  meet(&p, at, idle);
  if (client == MCQ_SUB) be_heard(&p, idle + 1);
  rest(&p);
  size_t cost[2] = {each(&p.server, before[0]), each(&p.client, before[1])};
  assert_int_equal(p.server.downs + p.client.downs, 0);
  go_away(&p);
  rest(&p);
  size_t left = each(&p.server, empty);
  print_message(
      "  %-5s %-14s%-12s server %4zu, client %4zu bytes each; gone: %zu\n",
      mcq_ctx_backend(p.server.ctx), names, beats ? ", heartbeats" : "",
      cost[0], cost[1], left);
  size_t kept = PER_GONE;
  if (beats && backend == MCQ_BACKEND_URING) kept += SHARED / idle;
  assert_true(left <= kept);
  size_t most = PER_PEER + (beats ? PER_PULSE : 0);
  /* When all are heard at once most of them find none of the ring's buffers,
   * and read into one that they share. */
  if (beats && backend == MCQ_BACKEND_URING) most += SHARED / idle;
  assert_true(cost[0] <= most);
  assert_true(cost[1] <= most);
  close_pair(&p);
}

static void all_pairs(int backend) {
  static const struct {
    const char* names;
    int server, client;
  } pairs[] = {
      {"ROUTER/DEALER", MCQ_ROUTER, MCQ_DEALER},
      {"PUB/SUB", MCQ_PUB, MCQ_SUB},
      {"PULL/PUSH", MCQ_PULL, MCQ_PUSH},
      {"PUSH/PULL", MCQ_PUSH, MCQ_PULL},
  };
  size_t count = sizeof pairs / sizeof *pairs;
  for (size_t i = 0; i < count; i++)
    for (int beats = 0; beats < (i + 1 < count ? 2 : 1); beats++)
      idle_peers(backend, pairs[i].names, pairs[i].server, pairs[i].client,
                 beats);
}

/* ---- a burst ------------------------------------------------------------- */

static void to_each(mcq_socket_t* s, const mcq_peer_info_t* info, void* arg) {
  mcq_frame_t frame = {arg, BURST_SIZE};
  assert_int_equal(mcq_send_to(s, info->peer, &frame, 1), 0);
}

static void say_to_all(pair_t* p, unsigned times) {
  char body[BURST_SIZE] = {0};
  for (unsigned i = 0; i < times; i++)
    mcq_peer_each(p->server.s, to_each, body);
}

static size_t pooled(const side_t* side) {
  mcq_ctx_stats_t stats;
  mcq_ctx_stats(side->ctx, &stats);
  return stats.memory_idle_bytes;
}

/* Nothing is to come that would wake the loop. */
static void expect_sleep(const side_t* side) {
  assert_int_equal(side->ctx->host.io.turn.timers.count, 0);
}

static void memory_comes_back(int backend) {
  pair_t p;
  mcq_endpoint_t at;
  open_pair(&p, backend, MCQ_ROUTER, MCQ_DEALER, false);
  assert_int_equal(mcq_bind(p.server.s, "tcp://127.0.0.1:*", &at), 0);
  meet(&p, at, BURST_PEERS);
  say_to_all(&p, 1);
  while (p.client.heard < BURST_PEERS) step(&p);
  rest(&p);
  side_t* sides[2] = {&p.server, &p.client};
  size_t before[2], idle_before[2];
  for (int i = 0; i < 2; i++) {
    before[i] = sides[i]->memory.bytes;
    idle_before[i] = pooled(sides[i]);
    expect_sleep(sides[i]);
  }
  say_to_all(&p, BURST_MESSAGES);
  size_t most = p.server.memory.bytes;
  assert_true(most >= (size_t) BURST_PEERS * BURST_MESSAGES * BURST_SIZE);
  while (p.client.heard < BURST_PEERS * (BURST_MESSAGES + 1)) step(&p);
  rest(&p);
  for (int i = 0; i < 2; i++) {
    size_t after = sides[i]->memory.bytes;
    print_message("  %-5s %s: %zu bytes, %zu after a burst of %zu\n",
                  mcq_ctx_backend(sides[i]->ctx), i == 0 ? "server" : "client",
                  before[i], after, most);
    assert_true(after <= before[i] + before[i] / 10);
    assert_true(pooled(sides[i]) <= idle_before[i] + before[i] / 10);
    expect_sleep(sides[i]);
  }
  close_pair(&p);
}

static const scene_t scenes[] = {
    {"what each costs", all_pairs},
    {"memory comes back", memory_comes_back},
};

/* Both ends of each, and what else is open: as many as there can be. */
static bool enough_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 128)
    return false;
  if ((limit.rlim_cur - 64) / 2 < idle)
    idle = (unsigned) ((limit.rlim_cur - 64) / 2);
  return idle >= BURST_PEERS;
}

int main(int argc, char** argv) {
  if (argc > 1) idle = (unsigned) atoi(argv[1]);
  if (!enough_descriptors()) {
    print_message("not enough descriptors\n");
    return 77;
  }
  print_message("%u connections\n", idle);
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
