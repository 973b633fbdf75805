/* SPDX-License-Identifier: MIT */
/* Traffic that goes on allocates nothing: over each transport and back end
 * messages of many shapes go both ways, and once that is steady a stretch of
 * MESSAGES of them must pass without one call of the allocator.  How much the
 * kernel gives and takes at once differs from run to run, so that what the
 * pool keeps grows for a while: of TRIES stretches one must be without, and the
 * first need not be.  The clock stands still, for memory that nobody uses goes
 * back after a while.
 *
 *   MCQ_TEST_MESSAGES   of a stretch, each way; 40000, or 4000 of a debug build
 *   MCQ_TEST_SCENE      only those with this in their names */
#include "support/players.h"

/* Where every access is checked it takes its time. */
#if defined(MCQ_DEBUG) || defined(__SANITIZE_THREAD__)
#define MESSAGES 4000
#else
#define MESSAGES 40000
#endif
#define TRIES 8

/* On their way at most: less than a queue takes, a connection may read in one
 * turn and the pool keeps, for what is more is for the moment only. */
#define WINDOW 400
#define WINDOW_BYTES ((size_t) 131072)

#define PARTS_MAX 8
#define BIG ((size_t) 16384)

typedef struct shape {
  const char* name;
  unsigned parts; /* 0: 1, 3 or 8 by turns */
  size_t least, most;
  bool whole;   /* mcq_send_msg of one made before */
  unsigned few; /* so many times fewer messages */
} shape_t;

static const shape_t shapes[] = {
    {"single of 8", 1, 8, 8, false, 1},
    {"single of 64", 1, 64, 64, false, 1},
    {"single of 8 to 1024", 1, 8, 1024, false, 1},
    {"three of 8 to 1024", 3, 8, 1024, false, 2},
    {"eight of 8 to 1024", 8, 8, 1024, false, 4},
    {"all of these mixed", 0, 8, 1024, false, 2},
    {"made before, of 700", 1, 700, 700, true, 1},
    {"made before, eight of 300", 8, 300, 300, true, 4},
    {"single of 16 KiB", 1, BIG, BIG, false, 8},
    {"made before, of 16 KiB", 1, BIG, BIG, true, 8},
};

static const char* const places[] = {"tcp://127.0.0.1:*", "ipc://*",
                                     "inproc://steady"};

typedef struct end {
  mcq_socket_t* s;
  uint64_t sent, heard;
  uint64_t bytes_sent, bytes_heard;
  bool up;
  mcq_msg_t* msg;
} end_t;

typedef struct pair {
  stage_t g;
  end_t end[2];
  const shape_t* shape;
} pair_t;

static const uint8_t body[BIG];

static uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

/* ---- two sockets --------------------------------------------------------- */

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  end_t* e = (end_t*) mcq_socket_data(s);
  (void) peer;
  e->heard++;
  e->bytes_heard += mcq_msg_size(msg);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((end_t*) mcq_socket_data(s))->up = true;
}

static void open_end(pair_t* p, end_t* e) {
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .data = e,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .linger_ms = MCQ_LINGER_NONE};
  assert_int_equal(mcq_socket_new(p->g.ctx, &o, &e->s), 0);
}

/* What does not change with the size of the i-th message. */
static size_t size_of(const shape_t* shape, uint64_t i) {
  return shape->least + (i * 131) % (shape->most - shape->least + 1);
}

static size_t frames_of_nth(const shape_t* shape, uint64_t i,
                            mcq_frame_t* out) {
  static const unsigned mixed[] = {1, 3, 8};
  size_t count = shape->parts == 0 ? mixed[i % 3] : shape->parts;
  for (size_t k = 0; k < count; k++)
    out[k] = (mcq_frame_t){body, size_of(shape, i + k)};
  return count;
}

static void say_one(const shape_t* shape, end_t* e) {
  mcq_frame_t frames[PARTS_MAX];
  size_t count = frames_of_nth(shape, e->sent, frames);
  int rc =
      shape->whole ? mcq_send_msg(e->s, e->msg) : mcq_send(e->s, frames, count);
  assert_int_equal(rc, 0);
  e->sent++;
  for (size_t k = 0; k < count; k++) e->bytes_sent += frames[k].len;
}

static void open_pair(pair_t* p, int backend, const char* place,
                      const shape_t* shape) {
  mcq_endpoint_t at;
  memset(p, 0, sizeof *p);
  stage_open(&p->g, backend, true);
  p->shape = shape;
  for (int i = 0; i < 2; i++) {
    mcq_frame_t frames[PARTS_MAX];
    size_t count = frames_of_nth(shape, 0, frames);
    open_end(p, &p->end[i]);
    assert_int_equal(mcq_msg_new(p->g.ctx, frames, count, &p->end[i].msg), 0);
  }
  assert_int_equal(mcq_bind(p->end[0].s, place, &at), 0);
  const char* uri = mcq_endpoint_uri(p->end[0].s, at);
  assert_int_equal(mcq_connect(p->end[1].s, uri, NULL, NULL), 0);
  until(&p->g, p->end[0].up && p->end[1].up);
}

static void close_pair(pair_t* p) {
  for (int i = 0; i < 2; i++) mcq_msg_release(p->end[i].msg);
  stage_close(&p->g);
}

/* ---- a stretch ----------------------------------------------------------- */

static bool has_room(const end_t* from, const end_t* to) {
  return from->sent - to->heard < WINDOW &&
         from->bytes_sent - to->bytes_heard < WINDOW_BYTES;
}

/* `count` messages each way, and all of them arrive. */
static void stretch(pair_t* p, uint64_t count) {
  end_t* a = &p->end[0];
  end_t* b = &p->end[1];
  uint64_t all = a->sent + count;
  while (a->heard < all || b->heard < all) {
    while (a->sent < all && has_room(a, b)) say_one(p->shape, a);
    while (b->sent < all && has_room(b, a)) say_one(p->shape, b);
    stage_step(&p->g);
  }
  assert_true(a->bytes_heard == b->bytes_sent);
  assert_true(b->bytes_heard == a->bytes_sent);
}

static void steady(int backend, const char* place, const shape_t* shape) {
  pair_t p;
  uint64_t count = setting("MCQ_TEST_MESSAGES", MESSAGES) / shape->few + 1;
  size_t calls[TRIES] = {0};
  int tries = 0;
  open_pair(&p, backend, place, shape);
  stretch(&p, count / 4 + 1);
  do {
    size_t before = p.g.memory.calls;
    stretch(&p, count);
    calls[tries] = p.g.memory.calls - before;
  } while (calls[tries++] != 0 && tries < TRIES);
  bool ok = calls[tries - 1] == 0;
  if (!ok)
    print_message("    %s, %s: %zu allocations for 2 * %llu messages\n", place,
                  shape->name, calls[tries - 1], (unsigned long long) count);
  close_pair(&p);
  assert_true(ok);
}

static void play(int backend, size_t places_count) {
  const char* only = getenv("MCQ_TEST_SCENE");
  for (size_t i = 0; i < places_count; i++)
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
      if (only == NULL || strstr(shapes[k].name, only) != NULL ||
          strstr(places[i], only) != NULL)
        steady(backend, places[i], &shapes[k]);
    }
}

/* ---- and afterwards ------------------------------------------------------ */

/* Long enough for all that nobody uses to go back. */
static void rest(pair_t* p) {
  for (int i = 0; i < 100; i++) {
    p->g.now += 100;
    stage_turns(&p->g, 4);
  }
}

/* What traffic needed goes back when it is over, each time as much. */
static void quiet(int backend, const char* place) {
  const shape_t* mixed = &shapes[5];
  size_t blocks[3];
  size_t bytes[3];
  size_t busy = 0;
  pair_t p;
  open_pair(&p, backend, place, mixed);
  for (int i = 0; i < 3; i++) {
    stretch(&p, 3000);
    assert_false(mcq__list_empty(&p.g.ctx->host.io.turn.idle_list));
    busy = p.g.memory.bytes;
    rest(&p);
    assert_true(mcq__list_empty(&p.g.ctx->host.io.turn.idle_list));
    blocks[i] = p.g.memory.live;
    bytes[i] = p.g.memory.bytes;
  }
  assert_int_equal(blocks[1], blocks[0]);
  assert_int_equal(blocks[2], blocks[0]);
  assert_true(bytes[2] <= bytes[0] + 256); /* as malloc rounds */
  assert_true(bytes[2] < busy);
  close_pair(&p);
}

static void on_libuv(void** state) {
  (void) state;
  for (int i = 0; i < 3; i++) quiet(MCQ_BACKEND_UV, places[i]);
  play(MCQ_BACKEND_UV, 3);
}

/* inproc is the same with both. */
static void on_io_uring(void** state) {
  (void) state;
  if (!backend_is_here(MCQ_BACKEND_URING)) skip();
  for (int i = 0; i < 2; i++) quiet(MCQ_BACKEND_URING, places[i]);
  play(MCQ_BACKEND_URING, 2);
}

int main(void) {
#ifdef MCQ_NO_POOL
  puts("cannot run here: the build has no pool, every slab is an allocation");
  return 77;
#endif
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(on_libuv),
      cmocka_unit_test(on_io_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
