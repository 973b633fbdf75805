/* SPDX-License-Identifier: MIT */
/* How often the kernel is asked, as the back ends count it themselves: over
 * tcp on both of them, each side a context of its own, so that each side's
 * calls are counted alone.  No bound is of time; those that depend on how much
 * the kernel gives at once leave room for that, and what was measured is
 * printed.
 *
 *   MCQ_TEST_MESSAGES   of the stream, 200000 */
#include <unistd.h>

#include "support/players.h"

#define BURST 500
#define STREAM 200000
#define TRIPS 1000

/* A call, and a turn is one too, for more than so many messages of a stream. */
#define FEW 500
#define SIZE 64

typedef struct side {
  stage_t* g;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  bool left;
  unsigned ups;
  uint64_t heard;
  bool answers;
} side_t;

/* In the loop of a stage, which has a context of its own that does nothing. */
typedef struct pair {
  stage_t g;
  side_t from, to;
} pair_t;

static const uint8_t body[SIZE];

static uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

/* ---- two sides ----------------------------------------------------------- */

static void post_one(mcq_socket_t* s) {
  mcq_frame_t frame = {body, sizeof body};
  assert_int_equal(mcq_send(s, &frame, 1), 0);
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = (side_t*) mcq_socket_data(s);
  (void) peer;
  (void) msg;
  side->heard++;
  if (side->answers) post_one(s);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((side_t*) mcq_socket_data(s))->ups++;
}

static void on_left(void* data) {
  ((side_t*) data)->left = true;
}

static void open_socket(side_t* side, int type) {
  mcq_socket_options_t options = {.type = type,
                                  .data = side,
                                  .sndhwm = -1,
                                  .turn_usec = 1000000,
                                  .on_message = on_message,
                                  .on_peer_up = on_up,
                                  .linger_ms = MCQ_LINGER_NONE};
  assert_int_equal(mcq_socket_new(side->ctx, &options, &side->s), 0);
}

static void open_side(pair_t* p, side_t* side, int backend, int type) {
  mcq_ctx_options_t o = {.backend = backend, .data = side};
  side->g = &p->g;
  assert_int_equal(mcq_ctx_new(&p->g.loop, &o, &side->ctx), 0);
  open_socket(side, type);
}

static void open_pair(pair_t* p, int backend, int from, int to) {
  mcq_endpoint_t at;
  memset(p, 0, sizeof *p);
  stage_open(&p->g, MCQ_BACKEND_UV, true);
  open_side(p, &p->from, backend, from);
  open_side(p, &p->to, backend, to);
  assert_int_equal(mcq_bind(p->to.s, "tcp://127.0.0.1:*", &at), 0);
  const char* uri = mcq_endpoint_uri(p->to.s, at);
  assert_int_equal(mcq_connect(p->from.s, uri, NULL, NULL), 0);
  until(&p->g, p->from.ups == 1 && p->to.ups == 1);
  stage_turns(&p->g, 10);
}

static void close_pair(pair_t* p) {
  mcq_ctx_close(p->from.ctx, on_left);
  mcq_ctx_close(p->to.ctx, on_left);
  until(&p->g, p->from.left && p->to.left);
  stage_close(&p->g);
}

/* ---- figures ------------------------------------------------------------- */

static mcq__calls_t calls_of(const side_t* side) {
  return mcq__io_calls(&side->ctx->host.io);
}

static mcq__calls_t since(const side_t* side, mcq__calls_t before) {
  mcq__calls_t c = calls_of(side);
  c.turns -= before.turns;
  c.polls -= before.polls;
  c.reads -= before.reads;
  c.empty -= before.empty;
  c.writes -= before.writes;
  c.full -= before.full;
  c.enters -= before.enters;
  c.wakes -= before.wakes;
  return c;
}

/* Of the kernel.  What a ring answered is none; where it was asked to write,
 * which is for a crowd and so not here, that would be counted twice. */
static uint64_t sum(mcq__calls_t c, int backend) {
  if (backend == MCQ_BACKEND_URING) return c.enters + c.writes;
  return c.reads + c.writes + c.polls;
}

static void print_calls(const char* what, mcq__calls_t c, uint64_t count) {
  double n = (double) count;
  print_message(
      "    %s: turns %.4f, polls changed %.4f, reads %.4f (%.4f "
      "empty), writes %.4f (%.4f refused), of the ring %.4f\n",
      what, (double) c.turns / n, (double) c.polls / n, (double) c.reads / n,
      (double) c.empty / n, (double) c.writes / n, (double) c.full / n,
      (double) c.enters / n);
}

/* ---- plays --------------------------------------------------------------- */

/* What is sent in one turn leaves in one write, and comes in one read where
 * the kernel gives it in one. */
static void a_burst_is_one_write(int backend) {
  pair_t p;
  open_pair(&p, backend, MCQ_PUSH, MCQ_PULL);
  mcq__calls_t from = calls_of(&p.from);
  mcq__calls_t to = calls_of(&p.to);
  for (unsigned i = 0; i < BURST; i++) post_one(p.from.s);
  assert_int_equal(since(&p.from, from).writes, 0);
  until(&p.g, p.to.heard == BURST);
  stage_turns(&p.g, 3);
  from = since(&p.from, from);
  to = since(&p.to, to);
  print_calls("sent", from, 1);
  print_calls("received", to, 1);
  assert_int_equal(from.writes, 1);
  assert_int_equal(from.full, 0);
  assert_int_equal(from.reads, 0);
  assert_int_equal(to.writes, 0);
  assert_in_range(to.reads, 1, 8);
  close_pair(&p);
}

/* As many as a loop that does other things would send in a turn. */
static void a_stream_is_few_calls(int backend) {
  enum { BATCH = 1000 };
  uint64_t all = setting("MCQ_TEST_MESSAGES", STREAM);
  pair_t p;
  open_pair(&p, backend, MCQ_PUSH, MCQ_PULL);
  mcq__calls_t from = calls_of(&p.from);
  mcq__calls_t to = calls_of(&p.to);
  uint64_t sent = 0;
  while (p.to.heard < all) {
    for (unsigned i = 0; i < BATCH && sent < all; i++, sent++)
      post_one(p.from.s);
    until(&p.g, p.to.heard + 4 * BATCH > sent);
    if (sent == all) stage_step(&p.g);
  }
  from = since(&p.from, from);
  to = since(&p.to, to);
  print_calls("sent", from, all);
  print_calls("received", to, all);
  /* Half of that was measured; the kernel may give less at once. */
  assert_true((sum(from, backend) + from.turns) * FEW < all);
  assert_true((sum(to, backend) + to.turns) * FEW < all);
  close_pair(&p);
}

/* A question and its answer: a write and a read each, and no look at what
 * turns out to be nothing. */
static void a_round_trip_is_a_write_and_a_read(int backend) {
  pair_t p;
  open_pair(&p, backend, MCQ_DEALER, MCQ_DEALER);
  p.to.answers = true;
  mcq__calls_t from = calls_of(&p.from);
  mcq__calls_t to = calls_of(&p.to);
  for (unsigned i = 0; i < TRIPS; i++) {
    post_one(p.from.s);
    until(&p.g, p.from.heard == i + 1);
  }
  from = since(&p.from, from);
  to = since(&p.to, to);
  print_calls("asked", from, TRIPS);
  print_calls("answered", to, TRIPS);
  assert_int_equal(from.writes, TRIPS);
  assert_int_equal(to.writes, TRIPS);
  assert_int_equal(from.reads, TRIPS);
  assert_int_equal(to.reads, TRIPS);
  assert_int_equal(from.polls + to.polls, 0);
  if (backend == MCQ_BACKEND_URING) {
    assert_in_range(from.enters, 0, TRIPS / 4);
    assert_in_range(to.enters, 0, TRIPS / 4);
  }
  close_pair(&p);
}

/* However many there are. */
static void ipc_is_no_business_of_a_ring(int backend) {
  enum { CONNECTIONS = 40 };
  pair_t p;
  char uri[64];
  memset(&p, 0, sizeof p);
  stage_open(&p.g, MCQ_BACKEND_UV, true);
  open_side(&p, &p.from, backend, MCQ_PUSH);
  open_side(&p, &p.to, backend, MCQ_PULL);
  mcq__calls_t from = calls_of(&p.from);
  mcq__calls_t to = calls_of(&p.to);
  snprintf(uri, sizeof uri, "ipc://@monocoque-calls-%ld", (long) getpid());
  assert_int_equal(mcq_bind(p.to.s, uri, NULL), 0);
  for (int i = 0; i < CONNECTIONS; i++) {
    if (i > 0) open_socket(&p.from, MCQ_PUSH);
    assert_int_equal(mcq_connect(p.from.s, uri, NULL, NULL), 0);
    post_one(p.from.s);
  }
  until(&p.g, p.to.heard == CONNECTIONS);
  assert_int_equal(since(&p.from, from).enters, 0);
  assert_int_equal(since(&p.to, to).enters, 0);
  assert_in_range(since(&p.to, to).reads, CONNECTIONS, 4 * CONNECTIONS);
  close_pair(&p);
}

/* Who has nothing to do asks for nothing. */
static void rest_is_no_call(int backend) {
  pair_t p;
  open_pair(&p, backend, MCQ_PUSH, MCQ_PULL);
  mcq__calls_t from = calls_of(&p.from);
  mcq__calls_t to = calls_of(&p.to);
  stage_turns(&p.g, 100);
  assert_int_equal(sum(since(&p.from, from), backend), 0);
  assert_int_equal(sum(since(&p.to, to), backend), 0);
  close_pair(&p);
}

static void on_call(mcq_socket_t* s, void* arg) {
  (void) s;
  (*(unsigned*) arg)++;
}

/* However much was posted meanwhile. */
static void what_is_posted_wakes_once(int backend) {
  enum { POSTS = 100 };
  pair_t p;
  mcq_mailbox_t* box;
  unsigned called = 0;
  open_pair(&p, backend, MCQ_PUSH, MCQ_PULL);
  assert_int_equal(mcq_mailbox_new(p.from.s, NULL, &box), 0);
  stage_turns(&p.g, 3);
  mcq__calls_t before = calls_of(&p.from);
  for (unsigned i = 0; i < POSTS; i++)
    assert_int_equal(mcq_post_call(box, on_call, &called), 0);
  until(&p.g, called == POSTS);
  stage_turns(&p.g, 3);
  assert_int_equal(since(&p.from, before).wakes, 1);
  mcq_mailbox_release(box);
  close_pair(&p);
}

/* ---- the dump ------------------------------------------------------------ */

static void find_calls(const char* text, void* arg) {
  if (strstr(text, "calls: ") != NULL && strstr(text, " 1 writes ") != NULL)
    *(bool*) arg = true;
}

static void a_dump_tells(int backend) {
  pair_t p;
  bool found = false;
  open_pair(&p, backend, MCQ_PUSH, MCQ_PULL);
  p.from.ctx->host.io.calls.writes = 1;
  mcq_ctx_dump(p.from.ctx, find_calls, &found);
  assert_true(found);
  close_pair(&p);
}

static const scene_t scenes[] = {
    {"a burst is one write", a_burst_is_one_write},
    {"a stream is few calls", a_stream_is_few_calls},
    {"a round trip is a write and a read", a_round_trip_is_a_write_and_a_read},
    {"ipc is no business of a ring", ipc_is_no_business_of_a_ring},
    {"rest is no call", rest_is_no_call},
    {"what is posted wakes once", what_is_posted_wakes_once},
    {"a dump tells", a_dump_tells},
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
