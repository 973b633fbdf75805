/* SPDX-License-Identifier: MIT */
/* What very many subscriptions cost: the bare prefix table, and a PUB that SUBs
 * reach over inproc.  Times are printed and no more; it fails when a
 * subscription takes more than PER_TOPIC bytes beside its text.
 *
 *   bench_topics [N]   so many subscriptions, 50,000; a million by `make bench`
 *
 * "tree" are topics such as md.NYSE.S4711.f3, of which many share a beginning;
 * "random" are four to seven letters.  A hit is a topic that a subscription
 * begins, a miss another one of the same kind. */
#include <stdio.h>
#include <stdlib.h>

#include "hub/prefix.h"
#include "support/players.h"
#include "support/pool.h"
#include "support/random.h"

#define PER_TOPIC ((size_t) 64)
#define PROBES 100000u
#define ROUNDS 5 /* of matches, each with others; the fastest counts */
#define LONGEST 32
#define MANY 1000u /* peers, where there are many */
#define FLOOD 100u /* messages at a time, less than a queue takes */

static uint32_t topics = 50000;

enum kind { TREE, RANDOM, KINDS };
static const char* const kind_names[KINDS] = {"tree", "random"};

/* The i-th of very many different ones, in no order. */
static mcq_frame_t nth_topic(enum kind kind, uint32_t i, char room[LONGEST]) {
  static const char* const places[] = {"NYSE", "LSE", "XETRA", "TSE"};
  uint32_t mixed = i * UINT32_C(2654435761);
  int len = 0;
  if (kind == TREE)
    len = snprintf(room, LONGEST, "md.%s.S%u.f%u", places[mixed % 4],
                   (unsigned) (mixed / 4 % 1000003), (unsigned) (i % 977));
  for (; kind == RANDOM && (len < 4 || mixed > 0); mixed /= 26)
    room[len++] = (char) ('a' + mixed % 26);
  return (mcq_frame_t){room, (size_t) len};
}

/* Topics to ask for, made before the clock runs. */
typedef struct probe {
  char room[LONGEST];
  size_t len;
} probe_t;

static probe_t* make_probes(enum kind kind, bool hit, uint64_t seed) {
  probe_t* probes = (probe_t*) calloc(PROBES, sizeof *probes);
  test_random_t dice = {seed};
  assert_non_null(probes);
  for (uint32_t i = 0; i < PROBES; i++) {
    uint32_t which = (uint32_t) test_random_below(&dice, topics);
    if (!hit) which += topics;
    mcq_frame_t topic = nth_topic(kind, which, probes[i].room);
    probes[i].len = topic.len;
    probes[i].room[probes[i].len++] = '~';
  }
  return probes;
}

/* A few that were to miss are begun by a shorter one. */
static void check_found(uint32_t found, bool hit) {
  if (hit)
    assert_int_equal(found, PROBES);
  else
    assert_true(found < PROBES / 100);
}

static double seconds_since(uint64_t ns) {
  return (double) (uv_hrtime() - ns) / 1e9;
}

static void print_filled(const char* what, enum kind kind, uint32_t peers,
                         double seconds, size_t bytes, size_t text) {
  print_message(
      "  %-6s%-7s %5u peer%s: %6.3f s to fill, %5.1f bytes each and "
      "%4.1f of text\n",
      what, kind_names[kind], peers, peers == 1 ? " " : "s", seconds,
      (double) (bytes - text) / topics, (double) text / topics);
  assert_true(bytes - text <= topics * PER_TOPIC);
}

/* ---- the bare table ------------------------------------------------------ */

static uint32_t match(const mcq__prefix_t* t, const probe_t* probes) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < PROBES; i++) {
    mcq_frame_t topic = {probes[i].room, probes[i].len};
    mcq__order_chain_t chain = mcq__prefix_match(t, topic);
    uint32_t id = mcq__order_next(&chain);
    if (id == MCQ__NO_TEXT) continue;
    mcq__holders_t holders = mcq__prefix_holders(t, id);
    found += mcq__holders_next(&holders) != MCQ__NO_SLOT;
  }
  return found;
}

static void time_matches(const mcq__prefix_t* t, enum kind kind) {
  double ns[2];
  for (int hit = 0; hit < 2; hit++) {
    ns[hit] = 1e9;
    for (uint64_t round = 0; round < ROUNDS; round++) {
      probe_t* probes = make_probes(kind, hit, 7 + round);
      uint64_t since = uv_hrtime();
      uint32_t found = match(t, probes);
      double each = seconds_since(since) * 1e9 / PROBES;
      if (each < ns[hit]) ns[hit] = each;
      check_found(found, hit);
      free(probes);
    }
  }
  print_message("  table %-7s match: %4.0f ns a hit, %4.0f ns a miss\n",
                kind_names[kind], ns[1], ns[0]);
}

static void fill_table(enum kind kind, uint32_t peers, bool timed) {
  test_pool_t memory;
  mcq__prefix_t t;
  char room[LONGEST];
  bool first;
  size_t text = 0;
  test_pool_open(&memory);
  mcq__prefix_init(&t, memory.mem);
  assert_int_equal(mcq__prefix_reserve(&t, peers - 1), 0);
  size_t before = atomic_load(&memory.alloc.bytes);
  uint64_t since = uv_hrtime();
  for (uint32_t i = 0; i < topics; i++) {
    mcq_frame_t topic = nth_topic(kind, i, room);
    assert_int_equal(mcq__prefix_add(&t, i % peers, topic, &first), 0);
    assert_true(first);
    text += topic.len;
  }
  double seconds = seconds_since(since);
  print_filled("table", kind, peers, seconds,
               atomic_load(&memory.alloc.bytes) - before, text);
  if (timed) time_matches(&t, kind);
  mcq__prefix_dispose(&t);
  test_pool_close(&memory);
}

static void a_bare_table(void** state) {
  (void) state;
  for (enum kind kind = TREE; kind < KINDS; kind++) {
    fill_table(kind, 1, true);
    fill_table(kind, MANY, false);
  }
}

/* ---- through sockets ----------------------------------------------------- */

typedef struct house {
  uv_loop_t loop;
  test_alloc_t memory[2]; /* of the PUB's context, of the SUBs' */
  mcq_ctx_t* ctx[2];
  mcq_socket_t* pub;
  uint32_t subscribed;
  uint32_t heard;
  unsigned left;
} house_t;

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  if (e->kind == MCQ_EVENT_SUBSCRIBED)
    ((house_t*) mcq_socket_data(s))->subscribed++;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  ((house_t*) mcq_socket_data(s))->heard++;
}

static void on_left(void* data) {
  ((house_t*) data)->left++;
}

static void turn(house_t* h) {
  (void) uv_run(&h->loop, UV_RUN_NOWAIT);
}

static mcq_socket_t* open_one(house_t* h, int ctx, int type) {
  mcq_socket_t* s;
  mcq_socket_options_t o = {.type = type,
                            .data = h,
                            .max_subscriptions = -1,
                            .on_message = on_message};
  if (type == MCQ_PUB) o.on_event = on_event;
  assert_int_equal(mcq_socket_new(h->ctx[ctx], &o, &s), 0);
  return s;
}

static mcq_inproc_t* open_house(house_t* h) {
  mcq_inproc_t* inproc;
  memset(h, 0, sizeof *h);
  assert_int_equal(uv_loop_init(&h->loop), 0);
  assert_int_equal(mcq_inproc_new(NULL, &inproc), 0);
  for (int i = 0; i < 2; i++) {
    test_alloc_init(&h->memory[i]);
    mcq_ctx_options_t o = {.backend = MCQ_BACKEND_UV,
                           .allocator = test_alloc_allocator(&h->memory[i]),
                           .inproc = inproc,
                           .data = h};
    assert_int_equal(mcq_ctx_new(&h->loop, &o, &h->ctx[i]), 0);
  }
  h->pub = open_one(h, 0, MCQ_PUB);
  assert_int_equal(mcq_bind(h->pub, "inproc://topics", NULL), 0);
  return inproc;
}

static void close_house(house_t* h, mcq_inproc_t* inproc) {
  for (int i = 0; i < 2; i++) mcq_ctx_close(h->ctx[i], on_left);
  while (h->left < 2) (void) uv_run(&h->loop, UV_RUN_ONCE);
  assert_int_equal(uv_run(&h->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&h->loop), 0);
  mcq_inproc_release(inproc);
  for (int i = 0; i < 2; i++) assert_int_equal(h->memory[i].live, 0);
}

/* Some of the topics for each of the SUBs, which are there already. */
static size_t subscribe(house_t* h, enum kind kind, uint32_t peers) {
  mcq_socket_t** subs = (mcq_socket_t**) calloc(peers, sizeof *subs);
  char room[LONGEST];
  size_t text = 0;
  assert_non_null(subs);
  for (uint32_t i = 0; i < peers; i++) {
    subs[i] = open_one(h, 1, MCQ_SUB);
    assert_int_equal(mcq_connect(subs[i], "inproc://topics", NULL, NULL), 0);
  }
  for (int i = 0; i < 8; i++) turn(h);
  for (uint32_t i = 0; i < topics; i++) {
    mcq_frame_t topic = nth_topic(kind, i, room);
    text += topic.len;
    assert_int_equal(mcq_subscribe(subs[i % peers], topic.data, topic.len), 0);
    if (i % 1000 == 0) turn(h);
  }
  while (h->subscribed < topics) turn(h);
  for (int i = 0; i < 8; i++) turn(h);
  free(subs);
  return text;
}

/* What one mcq_send takes and, with a hit, all until on_message. */
static void time_sends(house_t* h, enum kind kind) {
  double ns[2];
  for (int hit = 0; hit < 2; hit++) {
    probe_t* probes = make_probes(kind, hit, 7);
    h->heard = 0;
    uint64_t since = uv_hrtime();
    for (uint32_t i = 0; i < PROBES; i++) {
      assert_int_equal(mcq_send_bytes(h->pub, probes[i].room, probes[i].len),
                       0);
      if (i % FLOOD == 0)
        while (hit && h->heard < i) turn(h);
    }
    while (hit && h->heard < PROBES) turn(h);
    ns[hit] = seconds_since(since) * 1e9 / PROBES;
    for (int i = 0; i < 8; i++) turn(h);
    check_found(h->heard, hit);
    free(probes);
  }
  print_message("  PUB   %-7s send:  %4.0f ns to on_message, %4.0f ns a miss\n",
                kind_names[kind], ns[1], ns[0]);
}

static void fill_pub(enum kind kind, uint32_t peers) {
  house_t h;
  mcq_inproc_t* inproc = open_house(&h);
  turn(&h);
  size_t before = atomic_load(&h.memory[0].bytes);
  uint64_t since = uv_hrtime();
  size_t text = subscribe(&h, kind, peers);
  double seconds = seconds_since(since);
  size_t bytes = atomic_load(&h.memory[0].bytes) - before;
  if (peers == 1) {
    print_filled("PUB", kind, peers, seconds, bytes, text);
    print_message("  SUB   %-7s        %5.1f bytes each\n", kind_names[kind],
                  (double) (atomic_load(&h.memory[1].bytes) - text) / topics);
    time_sends(&h, kind);
  } else { /* that is also about what a connection takes */
    print_message("  PUB   %-7s %5u peers: %6.3f s to fill\n", kind_names[kind],
                  peers, seconds);
  }
  close_house(&h, inproc);
}

static void a_publisher(void** state) {
  (void) state;
  for (enum kind kind = TREE; kind < KINDS; kind++) {
    fill_pub(kind, 1);
    fill_pub(kind, MANY / 10);
  }
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_bare_table),
      cmocka_unit_test(a_publisher),
  };
  if (argc > 1) topics = (uint32_t) strtoul(argv[1], NULL, 10);
  if (topics < MANY) return 2;
  print_message("%u subscriptions\n", topics);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
