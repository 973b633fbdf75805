/* SPDX-License-Identifier: MIT */
/* The prefix table beside a tree with a node for every byte, which is too
 * simple to be wrong: random subscriptions come and go, all of a slot now and
 * then, and each random topic must find the same prefixes with the same
 * holders.  Then what a large table costs: bytes, and elements moved.
 *
 *   MCQ_TEST_STEPS      random topics, 1000000
 *   MCQ_TEST_SEED       where the randomness starts; printed at a failure
 *   MCQ_TEST_PREFIXES   size of the large table, 200000
 *
 *   hub_prefix --cost N   no test: matches topics against N prefixes with
 *                         only that part measured; see test/cost.sh */
#include <stdio.h>
#include <stdlib.h>

#include "support/pool.h"
#include "support/prefix_fault.h"
#include "support/random.h"

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif
#ifndef CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_START_INSTRUMENTATION exit(77)
#define CALLGRIND_STOP_INSTRUMENTATION exit(77)
#define CALLGRIND_DUMP_STATS_AT(name) ((void) (name))
#endif

#define SLOTS 64
#define LETTERS 4
#define NODES 400000
#define LONGEST 300

static uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

/* ---- the model: a tree of bytes ------------------------------------------ */

typedef struct node {
  uint32_t child[LETTERS]; /* 0: none */
  uint64_t holders;        /* a bit a slot */
} node_t;

typedef struct pair {
  test_pool_t memory;
  mcq__prefix_t table;
  node_t* nodes;
  uint32_t used;
  size_t distinct;
  test_random_t dice;
  uint64_t seed;
  size_t step;
  size_t matched; /* prefixes found by all topics */
  size_t widest;  /* blocks of the table at its largest */
  size_t refused;
  mcq__stem_t stem; /* what began the last topic, if nothing has changed */
  size_t stems;     /* topics that it began too */
} pair_t;

/* Bytes that sort differently when they have a sign, and one that looks like
 * the end of a text. */
static const uint8_t letters[LETTERS] = {0, 'a', 'b', 255};

#define expect(p, truth)                                           \
  do {                                                             \
    if (!(truth))                                                  \
      fail_msg("MCQ_TEST_SEED=%llu, step %zu: %s",                 \
               (unsigned long long) (p)->seed, (p)->step, #truth); \
  } while (0)

static size_t roll(pair_t* p, size_t n) {
  return test_random_below(&p->dice, n);
}

static uint32_t letter_of(uint8_t byte) {
  return byte == 0 ? 0 : byte == 'a' ? 1 : byte == 'b' ? 2 : 3;
}

/* The node of a text, or 0 when it has none; `make` makes it. */
static uint32_t node_of(pair_t* p, mcq_frame_t text, bool make) {
  const uint8_t* bytes = (const uint8_t*) text.data;
  uint32_t at = 1;
  for (size_t i = 0; i < text.len; i++) {
    uint32_t* child = &p->nodes[at].child[letter_of(bytes[i])];
    if (*child == 0 && !make) return 0;
    if (*child == 0) *child = p->used++;
    at = *child;
  }
  return at;
}

static void clear_model(pair_t* p) {
  memset(p->nodes, 0, p->used * sizeof(node_t));
  p->used = 2; /* 0 is nothing, 1 is the root */
  p->distinct = 0;
}

/* ---- the pair
 * ---------------------------------------------------------------- */

/* Mostly short texts over few letters, so that they nest and repeat; some
 * long ones, which share a long beginning. */
static mcq_frame_t any_text(pair_t* p, uint8_t* room) {
  size_t kind = roll(p, 64);
  size_t len = kind < 40 ? roll(p, 8) : kind < 62 ? roll(p, 18) : 0;
  size_t same = 0;
  if (kind >= 62) {
    len = roll(p, LONGEST + 1);
    same = roll(p, len + 1);
  }
  for (size_t i = 0; i < len; i++)
    room[i] = i < same ? 'b' : letters[roll(p, LETTERS)];
  mcq_frame_t text = {room, len};
  return text;
}

static void subscribe(pair_t* p) {
  uint8_t room[LONGEST];
  mcq_frame_t text = any_text(p, room);
  uint32_t slot = (uint32_t) roll(p, roll(p, 4) == 0 ? SLOTS : 3);
  uint32_t at = node_of(p, text, true);
  uint64_t bit = UINT64_C(1) << slot;
  uint64_t before = p->nodes[at].holders;
  bool starved = roll(p, 32) == 0;
  bool first = false;
  if (starved) test_alloc_fail_next(&p->memory.alloc, true);
  int rc = mcq__prefix_add(&p->table, slot, text, &first);
  p->memory.alloc.fail_at = 0;
  if (rc == MCQ_ENOMEM) {
    expect(p, starved && (before & bit) == 0);
    expect(p, !mcq__prefix_holds(&p->table, slot, text));
    p->refused++;
    return;
  }
  expect(p, rc == ((before & bit) != 0 ? MCQ_EEXIST : 0));
  expect(p, first == (before == 0));
  p->nodes[at].holders |= bit;
  p->distinct += before == 0;
}

static void cancel(pair_t* p) {
  uint8_t room[LONGEST];
  mcq_frame_t text = any_text(p, room);
  uint32_t slot = (uint32_t) roll(p, roll(p, 4) == 0 ? SLOTS : 3);
  uint32_t at = node_of(p, text, false);
  uint64_t bit = UINT64_C(1) << slot;
  uint64_t before = at == 0 ? 0 : p->nodes[at].holders;
  bool last = true;
  int rc = mcq__prefix_remove(&p->table, slot, text, &last);
  expect(p, rc == ((before & bit) != 0 ? 0 : MCQ_ENOENT));
  expect(p, last == (before == bit));
  if (rc != 0) return;
  p->nodes[at].holders &= ~bit;
  p->distinct -= last;
}

typedef struct farewell {
  pair_t* p;
  uint64_t bit;
  size_t seen;
} farewell_t;

static void on_dropped(void* arg, mcq_frame_t prefix, bool last) {
  farewell_t* f = (farewell_t*) arg;
  uint32_t at = node_of(f->p, prefix, false);
  expect(f->p, at != 0 && (f->p->nodes[at].holders & f->bit) != 0);
  f->p->nodes[at].holders &= ~f->bit;
  expect(f->p, last == (f->p->nodes[at].holders == 0));
  f->p->distinct -= last;
  f->seen++;
}

static void drop(pair_t* p) {
  uint32_t slot = (uint32_t) roll(p, roll(p, 4) == 0 ? 3 : SLOTS);
  farewell_t f = {p, UINT64_C(1) << slot, 0};
  size_t held = mcq__prefix_share(&p->table, slot).count;
  mcq__prefix_drop(&p->table, slot, on_dropped, &f);
  expect(p, f.seen == held);
  expect(p, mcq__prefix_share(&p->table, slot).count == 0);
}

/* Who holds a prefix, as a set; each once. */
static uint64_t holders_of(pair_t* p, uint32_t id) {
  mcq__holders_t holders = mcq__prefix_holders(&p->table, id);
  uint64_t set = 0;
  uint32_t slot;
  while ((slot = mcq__holders_next(&holders)) != MCQ__NO_SLOT) {
    uint64_t bit = UINT64_C(1) << slot;
    expect(p, slot < SLOTS && (set & bit) == 0);
    set |= bit;
  }
  return set;
}

/* Both are asked; the tree gives its answers shortest first. */
static void match(pair_t* p) {
  uint8_t room[LONGEST];
  mcq_frame_t topic = any_text(p, room);
  size_t lens[LONGEST + 1];
  uint64_t sets[LONGEST + 1];
  size_t n = 0;
  uint32_t at = 1;
  for (size_t i = 0; at != 0; i++) {
    if (p->nodes[at].holders != 0) {
      lens[n] = i;
      sets[n++] = p->nodes[at].holders;
    }
    if (i == topic.len) break;
    at = p->nodes[at].child[letter_of(room[i])];
  }
  p->matched += n;
  p->stems += mcq__stem_begins(&p->stem, topic);
  expect(p, mcq__prefix_matches(&p->table, topic, &p->stem) == (n > 0));
  mcq__order_chain_t chain = mcq__prefix_match(&p->table, topic);
  uint32_t id;
  while ((id = mcq__order_next(&chain)) != MCQ__NO_TEXT) {
    mcq_frame_t found = mcq__text_frame(&p->table.order.texts, id);
    expect(p, n-- > 0);
    expect(p, found.len == lens[n]);
    expect(p, found.len == 0 || memcmp(found.data, room, found.len) == 0);
    expect(p, holders_of(p, id) == sets[n]);
  }
  expect(p, n == 0);
}

typedef struct search {
  mcq_frame_t text;
  bool found; /* a longer one that begins with it */
} search_t;

static void compare(void* arg, mcq_frame_t prefix, bool last) {
  search_t* s = (search_t*) arg;
  (void) last;
  s->found |= prefix.len > s->text.len && mcq__text_starts(prefix, s->text);
}

static void look_for_longer(pair_t* p) {
  uint8_t room[LONGEST];
  for (size_t i = 0; i < 8; i++) {
    search_t s = {any_text(p, room), false};
    mcq__prefix_each(&p->table, compare, &s);
    expect(p, mcq__order_extends(&p->table.order, s.text) == s.found);
  }
}

static void look(pair_t* p) {
  const char* fault = prefix_fault(&p->table);
  if (fault != NULL)
    fail_msg("MCQ_TEST_SEED=%llu, step %zu: %s", (unsigned long long) p->seed,
             p->step, fault);
  expect(p, mcq__prefix_count(&p->table) == p->distinct);
  look_for_longer(p);
  if (p->table.order.blocks > p->widest) p->widest = p->table.order.blocks;
}

static void start_over(pair_t* p) {
  p->stem = (mcq__stem_t){0};
  mcq__prefix_dispose(&p->table);
  expect(p, atomic_load(&p->memory.alloc.live) <= 2);
  clear_model(p);
  for (uint32_t slot = 0; slot < SLOTS; slot++)
    expect(p, mcq__prefix_reserve(&p->table, slot) == 0);
}

/* For a while more come, for a while more go; in calm phases a change here and
 * there, so that small tables are looked at closely, too. */
static void change(pair_t* p) {
  size_t phase = p->step / 16384 % 4;
  size_t coming = phase == 0 ? 90 : phase == 2 ? 15 : 50;
  size_t changes = phase == 1 ? roll(p, 8) == 0 : 2;
  for (size_t i = 0; i < changes; i++) {
    p->stem = (mcq__stem_t){0};
    if (roll(p, 100) < coming) {
      subscribe(p);
    } else {
      cancel(p);
    }
  }
  if (roll(p, phase == 2 ? 512 : 8192) != 0) return;
  p->stem = (mcq__stem_t){0};
  drop(p);
}

static void table_is_its_model(void** state) {
  (void) state;
  static pair_t pair;
  pair_t* p = &pair;
  memset(p, 0, sizeof *p);
  p->seed = setting("MCQ_TEST_SEED", 20260101);
  p->dice.state = p->seed;
  size_t steps = (size_t) setting("MCQ_TEST_STEPS", 1000000);
  p->nodes = (node_t*) calloc(NODES, sizeof(node_t));
  assert_non_null(p->nodes);
  p->used = 2;
  test_pool_open(&p->memory);
  mcq__prefix_init(&p->table, p->memory.mem);
  start_over(p);
  for (p->step = 0; p->step < steps; p->step++) {
    if (p->used + 16 * LONGEST > NODES) start_over(p);
    change(p);
    match(p);
    if (p->step % (p->distinct < 500 ? 64 : 4096) == 0) look(p);
  }
  look(p);
  if (steps >= 100000)
    expect(p, p->widest > 8 && p->refused > 0 && p->matched > steps / 2 &&
                  p->stems > steps / 1000);
  for (uint32_t slot = 0; slot < SLOTS; slot++)
    mcq__prefix_drop(&p->table, slot, NULL, NULL);
  assert_int_equal(mcq__prefix_count(&p->table), 0);
  assert_null(prefix_fault(&p->table));
  mcq__prefix_dispose(&p->table);
  test_pool_close(&p->memory);
  free(p->nodes);
}

/* ---- one thing at a time
 * ------------------------------------------------------- */

typedef struct bench {
  test_pool_t memory;
  mcq__prefix_t table;
} bench_t;

static int set_up(void** state) {
  static bench_t b;
  memset(&b, 0, sizeof b);
  test_pool_open(&b.memory);
  mcq__prefix_init(&b.table, b.memory.mem);
  assert_int_equal(mcq__prefix_reserve(&b.table, 9), 0);
  *state = &b;
  return 0;
}

static int tear_down(void** state) {
  bench_t* b = (bench_t*) *state;
  assert_null(prefix_fault(&b->table));
  mcq__prefix_dispose(&b->table);
  test_pool_close(&b->memory);
  return 0;
}

static int add(bench_t* b, uint32_t slot, const char* text) {
  mcq_frame_t prefix = {text, strlen(text)};
  bool first;
  int rc = mcq__prefix_add(&b->table, slot, prefix, &first);
  assert_null(prefix_fault(&b->table));
  return rc == 0 ? first : rc;
}

static int take_out(bench_t* b, uint32_t slot, const char* text) {
  mcq_frame_t prefix = {text, strlen(text)};
  bool last;
  int rc = mcq__prefix_remove(&b->table, slot, prefix, &last);
  assert_null(prefix_fault(&b->table));
  return rc == 0 ? last : rc;
}

/* The holders of all prefixes of a topic, the longest first: "2,01;" */
static const char* answer(bench_t* b, const char* topic) {
  static char text[256];
  size_t n = 0;
  mcq_frame_t frame = {topic, strlen(topic)};
  mcq__order_chain_t chain = mcq__prefix_match(&b->table, frame);
  uint32_t id;
  while ((id = mcq__order_next(&chain)) != MCQ__NO_TEXT) {
    mcq__holders_t holders = mcq__prefix_holders(&b->table, id);
    uint32_t slot;
    if (n > 0) text[n++] = ',';
    while ((slot = mcq__holders_next(&holders)) != MCQ__NO_SLOT)
      text[n++] = (char) ('0' + slot);
    assert_true(n < sizeof text - 12);
  }
  text[n] = '\0';
  return text;
}

static void zeroed_is_disposable(void** state) {
  (void) state;
  mcq__prefix_t t;
  memset(&t, 0, sizeof t);
  mcq__prefix_dispose(&t);
  mcq__prefix_dispose(&t);
}

static void holders_are_a_set(void** state) {
  bench_t* b = (bench_t*) *state;
  assert_string_equal(answer(b, "anything"), "");
  assert_int_equal(take_out(b, 1, "a"), MCQ_ENOENT);
  assert_int_equal(add(b, 1, "a"), true);
  assert_int_equal(add(b, 1, "a"), MCQ_EEXIST);
  assert_int_equal(take_out(b, 2, "a"), MCQ_ENOENT);
  assert_int_equal(add(b, 2, "a"), false);
  assert_int_equal(add(b, 0, "a"), false);
  assert_int_equal(add(b, 2, "a"), MCQ_EEXIST);
  assert_string_equal(answer(b, "ab"), "012");
  assert_int_equal(mcq__prefix_count(&b->table), 1);
  assert_int_equal(take_out(b, 1, "a"), false);
  assert_int_equal(take_out(b, 1, "a"), MCQ_ENOENT);
  assert_int_equal(take_out(b, 2, "a"), false);
  assert_string_equal(answer(b, "a"), "0");
  assert_int_equal(add(b, 0, "a"), MCQ_EEXIST);
  assert_int_equal(take_out(b, 0, "a"), true);
  assert_string_equal(answer(b, "a"), "");
  assert_int_equal(mcq__prefix_count(&b->table), 0);
  assert_int_equal(mcq__prefix_share(&b->table, 0).count, 0);
}

static void the_empty_prefix_begins_every_topic(void** state) {
  bench_t* b = (bench_t*) *state;
  add(b, 2, "x");
  add(b, 1, "");
  assert_string_equal(answer(b, ""), "1");
  assert_string_equal(answer(b, "w"), "1");
  assert_string_equal(answer(b, "x"), "2,1");
  assert_int_equal(take_out(b, 1, ""), true);
  assert_string_equal(answer(b, "xy"), "2");
  assert_string_equal(answer(b, ""), "");
  mcq_frame_t nothing = {NULL, 0};
  bool first;
  assert_int_equal(mcq__prefix_add(&b->table, 3, nothing, &first), 0);
  assert_true(mcq__prefix_holds(&b->table, 3, nothing));
  assert_string_equal(answer(b, "xy"), "2,3");
}

/* A prefix that comes late, one that goes, with others below and above. */
static void nested_prefixes_find_each_other(void** state) {
  bench_t* b = (bench_t*) *state;
  add(b, 1, "md.NYSE.IBM");
  add(b, 2, "md");
  assert_string_equal(answer(b, "md.NYSE.IBM.bid"), "1,2");
  add(b, 3, "md.NYSE");
  add(b, 4, "md.NYSE.A");
  assert_string_equal(answer(b, "md.NYSE.IBM"), "1,3,2");
  assert_string_equal(answer(b, "md.NYSE.IB"), "3,2");
  assert_string_equal(answer(b, "md.NYSE.A"), "4,3,2");
  assert_string_equal(answer(b, "md.NYSE.ZZZ"), "3,2");
  take_out(b, 3, "md.NYSE");
  assert_string_equal(answer(b, "md.NYSE.IBM"), "1,2");
  take_out(b, 2, "md");
  assert_string_equal(answer(b, "md.NYSE.IBM"), "1");
  assert_string_equal(answer(b, "md.NYSE.Z"), "");
}

/* Lengths around every bound there might be, each a prefix of the next. */
static void long_texts_nest(void** state) {
  static const size_t lens[] = {0,     7,     8,      9,      15,    16,
                                17,    254,   255,    256,    65534, 65535,
                                65536, 65537, 100000, 1000000};
  bench_t* b = (bench_t*) *state;
  size_t n = sizeof lens / sizeof lens[0];
  uint8_t* text = (uint8_t*) calloc(1, lens[n - 1]);
  bool first;
  assert_non_null(text);
  for (size_t i = 0; i < n; i++) { /* from both ends to the middle */
    size_t at = i % 2 == 0 ? i / 2 : n - 1 - i / 2;
    mcq_frame_t prefix = {text, lens[at]};
    assert_int_equal(mcq__prefix_add(&b->table, 1, prefix, &first), 0);
    assert_null(prefix_fault(&b->table));
  }
  for (size_t i = 0; i < n; i++) {
    for (size_t off = 0; off < 3; off++) {
      if (lens[i] + off == 0 || lens[i] + off - 1 > lens[n - 1]) continue;
      mcq_frame_t topic = {text, lens[i] + off - 1};
      size_t expected = 0;
      for (size_t j = 0; j < n; j++) expected += lens[j] <= topic.len;
      mcq__order_chain_t chain = mcq__prefix_match(&b->table, topic);
      while (mcq__order_next(&chain) != MCQ__NO_TEXT) {
        assert_true(expected > 0);
        expected--;
      }
      assert_int_equal(expected, 0);
    }
  }
  assert_int_equal(mcq__prefix_share(&b->table, 1).count, n);
  mcq__prefix_drop(&b->table, 1, NULL, NULL);
  assert_int_equal(mcq__prefix_count(&b->table), 0);
  free(text);
}

typedef struct listing {
  char last[16];
  size_t count;
} listing_t;

static void on_listed(void* arg, mcq_frame_t prefix, bool last) {
  listing_t* l = (listing_t*) arg;
  mcq_frame_t before = {l->last, strlen(l->last)};
  assert_false(last);
  if (l->count++ > 0) assert_true(mcq__text_order(before, prefix) < 0);
  assert_true(prefix.len < sizeof l->last);
  memcpy(l->last, prefix.data, prefix.len);
  l->last[prefix.len] = '\0';
}

static void on_counted(void* arg, mcq_frame_t prefix, bool last) {
  size_t* count = (size_t*) arg;
  assert_false(last);
  assert_true(prefix.len > 0);
  ++*count;
}

static void walks_see_everything_once(void** state) {
  bench_t* b = (bench_t*) *state;
  for (uint32_t i = 0; i < 2000; i++) {
    char text[16];
    snprintf(text, sizeof text, "%u", i * 7919 % 2000);
    mcq_frame_t prefix = {text, strlen(text)};
    bool first;
    for (uint32_t slot = i % 3; slot < 3; slot++)
      assert_int_equal(mcq__prefix_add(&b->table, slot, prefix, &first), 0);
  }
  listing_t listing = {"", 0};
  mcq__prefix_each(&b->table, on_listed, &listing);
  assert_int_equal(listing.count, 2000);
  for (uint32_t slot = 0; slot < 4; slot++) {
    size_t count = 0;
    mcq__prefix_each_of(&b->table, slot, on_counted, &count);
    assert_int_equal(count, mcq__prefix_share(&b->table, slot).count);
    assert_true(slot == 3 ? count == 0 : count > 600);
  }
}

/* ---- memory
 * -------------------------------------------------------------------- */

/* Enough for blocks of all kinds to be split; what fails has changed nothing.
 */
static int starve(test_alloc_t* ta, void* arg) {
  (void) arg;
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  mcq__mem_t* mem;
  int rc = mcq__mem_open(&mem, &allocator);
  if (rc != 0) return rc;
  mcq__prefix_t t;
  mcq__prefix_init(&t, mem);
  rc = mcq__prefix_reserve(&t, 2);
  for (uint32_t i = 0; i < 700 && rc == 0; i++) {
    char text[80];
    int len = snprintf(text, sizeof text, i % 7 ? "%u" : "long text %060u",
                       i * 7919 % 997 / 2);
    mcq_frame_t prefix = {text, (size_t) len};
    size_t before = mcq__prefix_count(&t);
    bool first;
    bool held = mcq__prefix_holds(&t, i % 3, prefix);
    rc = mcq__prefix_add(&t, i % 3, prefix, &first);
    if (rc == MCQ_EEXIST && held) rc = 0;
    if (rc == 0) continue;
    assert_int_equal(rc, MCQ_ENOMEM);
    assert_int_equal(mcq__prefix_count(&t), before);
    assert_false(mcq__prefix_holds(&t, i % 3, prefix));
    assert_null(prefix_fault(&t));
  }
  mcq__prefix_dispose(&t);
  assert_int_equal(mcq__mem_live(mem), 0);
  mcq__mem_close(mem);
  return rc;
}

static void out_of_memory_changes_nothing(void** state) {
  (void) state;
  assert_true(test_alloc_sweep(starve, NULL) > 50);
}

static void who_vanishes_leaves_nothing(void** state) {
  bench_t* b = (bench_t*) *state;
  size_t bytes = 0;
  add(b, 9, "stays");
  for (uint32_t i = 0; i < 100000; i++) {
    char text[24];
    int len = snprintf(text, sizeof text, "%u and some more", i);
    mcq_frame_t prefixes[] = {{text, (size_t) len}, {text, 1}, {"stays", 5}};
    bool first;
    for (size_t j = 0; j < 3; j++)
      assert_int_equal(mcq__prefix_add(&b->table, i % 8, prefixes[j], &first),
                       0);
    mcq__prefix_drop(&b->table, i % 8, NULL, NULL);
    if (i == 10) bytes = atomic_load(&b->memory.alloc.bytes);
    if (i > 10) assert_true(atomic_load(&b->memory.alloc.bytes) <= bytes);
  }
  assert_int_equal(mcq__prefix_count(&b->table), 1);
  assert_int_equal(take_out(b, 9, "stays"), true);
  /* Only what is as large as the largest crowd. */
  assert_true(atomic_load(&b->memory.alloc.live) <= 7);
}

/* What is free again serves the next texts of that size, with one that stays
 * and so keeps the pages. */
static void texts_of_all_sizes_come_and_go(void** state) {
  bench_t* b = (bench_t*) *state;
  char text[80];
  bool end;
  uint32_t used = 0;
  add(b, 9, "stays");
  for (uint32_t round = 0; round < 40; round++) {
    for (uint32_t i = 0; i < 3000; i++) {
      uint32_t len = i * 7 % 70 + 6;
      snprintf(text, sizeof text, "%u %-70u", i / 70 + round, i % 70);
      mcq_frame_t prefix = {text, len};
      assert_int_equal(mcq__prefix_add(&b->table, 1, prefix, &end), 0);
    }
    assert_null(prefix_fault(&b->table));
    if (round == 0) used = b->table.order.texts.used;
    assert_int_equal(b->table.order.texts.used, used);
    mcq__prefix_drop(&b->table, 1, NULL, NULL);
    assert_null(prefix_fault(&b->table));
  }
  assert_int_equal(mcq__prefix_count(&b->table), 1);
}

/* ---- size
 * ------------------------------------------------------------------------ */

enum { RISING, FALLING, RANDOM, HIERARCHY, NESTED, ORDERS };

/* The i-th of n different texts in one of these orders. */
static mcq_frame_t nth_text(int order, uint32_t i, uint32_t n, char* room) {
  static const char* const places[] = {"NYSE", "LSE", "XETRA", "TSE"};
  uint64_t mixed = i * UINT64_C(2654435761) % 4294967296U;
  int len = 0;
  if (order == RISING) len = snprintf(room, 64, "t%08u", i);
  if (order == FALLING) len = snprintf(room, 64, "t%08u", n - i);
  if (order == RANDOM) {
    for (; len < 4 || mixed > 0; mixed /= 26)
      room[len++] = (char) ('a' + mixed % 26);
  }
  if (order == HIERARCHY)
    len = snprintf(room, 64, "md.%s.S%u.f%u", places[mixed % 4],
                   (unsigned) (mixed / 4), (unsigned) (mixed % 7));
  if (order == NESTED) { /* a hundred under each, which comes last or first */
    uint32_t group = i / 101;
    uint32_t member = group % 2 == 0 ? 100 - i % 101 : i % 101;
    len = snprintf(room, 64, "%06u", group);
    if (member > 0) len += snprintf(room + len, 32, "/%u", member);
  }
  mcq_frame_t text = {room, (size_t) len};
  return text;
}

static void fill(mcq__prefix_t* t, int order, uint32_t n, size_t* text_bytes) {
  char room[64];
  bool first;
  for (uint32_t i = 0; i < n; i++) {
    mcq_frame_t text = nth_text(order, i, n, room);
    assert_int_equal(mcq__prefix_add(t, i % 10, text, &first), 0);
    assert_true(first);
    *text_bytes += text.len;
  }
}

static uint64_t moved(const mcq__prefix_t* t) {
  return t->order.moved + t->by_slot.moved + t->by_text.moved;
}

/* Each change moves a block or two, not the table: what one costs is the same
 * when there are a hundred times as many. */
static void changes_do_not_cost_the_table(void** state) {
  (void) state;
  for (int order = 0; order < ORDERS; order++) {
    for (uint32_t n = 1000; n <= 100000; n *= 10) {
      bench_t* b;
      size_t text_bytes = 0;
      set_up((void**) &b);
      fill(&b->table, order, n, &text_bytes);
      assert_null(prefix_fault(&b->table));
      uint64_t filling = moved(&b->table);
      for (uint32_t slot = 0; slot < 10; slot++)
        mcq__prefix_drop(&b->table, slot, NULL, NULL);
      uint64_t dropping = moved(&b->table) - filling;
      if (filling > n * UINT64_C(400) || dropping > n * UINT64_C(400))
        fail_msg("order %d, %u prefixes: moved %llu to fill, %llu to drop",
                 order, n, (unsigned long long) filling,
                 (unsigned long long) dropping);
      tear_down((void**) &b);
    }
  }
}

/* What is left of a large table takes no more blocks than it needs. */
static void what_is_left_moves_together(void** state) {
  (void) state;
  for (int order = 0; order < ORDERS; order++) {
    bench_t* b;
    size_t text_bytes = 0;
    set_up((void**) &b);
    fill(&b->table, order, 50000, &text_bytes);
    for (uint32_t i = 0; i < 50000; i++) {
      char room[64];
      bool last;
      mcq_frame_t text = nth_text(order, i, 50000, room);
      if (i % 97 == 0) continue;
      assert_int_equal(mcq__prefix_remove(&b->table, i % 10, text, &last), 0);
    }
    assert_int_equal(mcq__prefix_count(&b->table), 516);
    /* Of two neighbours one is a quarter full, or they would be one. */
    assert_true(b->table.order.blocks <= 516 * 8 / MCQ__ORDER_BLOCK + 2);
    assert_true(b->table.by_slot.blocks <= 516 * 8 / MCQ__PAIRS_BLOCK + 2);
    tear_down((void**) &b);
  }
}

/* A prefix that is alone in its block, with all that it begins in the next. */
static void a_lonely_prefix_goes(void** state) {
  bench_t* b = (bench_t*) *state;
  const mcq__order_t* o = &b->table.order;
  mcq_frame_t lonely = {"p", 1};
  char text[8];
  bool first;
  for (uint32_t i = 0; i < 600; i++) {
    mcq_frame_t prefix = {text, 4};
    snprintf(text, sizeof text, "%c%03u", i < 100 ? 'a' : 'p', i);
    if (i == 100) {
      assert_int_equal(mcq__prefix_add(&b->table, 1, lonely, &first), 0);
    }
    assert_int_equal(mcq__prefix_add(&b->table, 1, prefix, &first), 0);
  }
  const mcq__order_block_t* home = o->refs[0].block;
  while (home->count > 1) {
    mcq_frame_t other = mcq__text_frame(&o->texts, home->ids[0]);
    if (other.len == 1) other = mcq__text_frame(&o->texts, home->ids[1]);
    assert_true(other.len == 4);
    memcpy(text, other.data, other.len);
    other.data = text;
    assert_int_equal(mcq__prefix_remove(&b->table, 1, other, &first), 0);
    assert_ptr_equal(o->refs[0].block, home);
  }
  assert_string_equal(answer(b, "p599"), "1,1");
  assert_int_equal(take_out(b, 1, "p"), true);
  assert_string_equal(answer(b, "p599"), "1");
  assert_string_equal(answer(b, "p"), "");
}

/* A prefix of all others touches the first of their blocks and the links of
 * the rest, not each of them. */
static void a_prefix_of_all_is_cheap(void** state) {
  bench_t* b = (bench_t*) *state;
  size_t text_bytes = 0;
  bool first;
  fill(&b->table, RISING, 100000, &text_bytes);
  for (size_t len = 0; len < 2; len++) {
    uint64_t before = moved(&b->table);
    mcq_frame_t prefix = {"t", len};
    assert_int_equal(mcq__prefix_add(&b->table, 1, prefix, &first), 0);
    assert_null(prefix_fault(&b->table));
    assert_int_equal(mcq__prefix_remove(&b->table, 1, prefix, &first), 0);
    assert_true(moved(&b->table) - before < 10000);
  }
}

static void prefixes_fit_their_bytes(void** state) {
  (void) state;
  static const int orders[] = {RANDOM, HIERARCHY, RISING};
  uint32_t n = (uint32_t) setting("MCQ_TEST_PREFIXES", 200000);
  for (size_t i = 0; i < 3; i++) {
    bench_t* b;
    size_t text_bytes = 0;
    set_up((void**) &b);
    size_t before = atomic_load(&b->memory.alloc.bytes);
    fill(&b->table, orders[i], n, &text_bytes);
    size_t bytes = atomic_load(&b->memory.alloc.bytes) - before - text_bytes;
    printf("order %d: %u prefixes, %.1f bytes each and %.1f of text\n",
           orders[i], n, (double) bytes / n, (double) text_bytes / n);
    assert_true(bytes < n * (size_t) 64);
    mcq__prefix_dispose(&b->table);
    test_pool_close(&b->memory);
  }
}

/* ---- cost
 * ------------------------------------------------------------------------ */

#define COST_TOPICS 4000

/* Topics of one kind against a table, with only the matching measured: 0: all
 * behind the last prefix; 1: half of them match, hierarchical; 2: random. */
static size_t cost_kind(const mcq__prefix_t* t, int kind, uint32_t n) {
  static char rooms[COST_TOPICS][64];
  static mcq_frame_t topics[COST_TOPICS];
  test_random_t dice = {7};
  size_t found = 0;
  for (size_t i = 0; i < COST_TOPICS; i++) {
    uint32_t which = (uint32_t) test_random_below(&dice, n / 2) * 2;
    if (kind == 1) which++; /* as they were added */
    topics[i] = nth_text(kind == 1 ? HIERARCHY : RANDOM, which, n, rooms[i]);
    if (kind == 0) memset(rooms[i], '~', topics[i].len);
    if (kind > 0 && i % 2 == 0) rooms[i][topics[i].len / 2] = '!';
  }
  CALLGRIND_START_INSTRUMENTATION;
  for (size_t i = 0; i < COST_TOPICS; i++) {
    mcq__order_chain_t chain = mcq__prefix_match(t, topics[i]);
    while (mcq__order_next(&chain) != MCQ__NO_TEXT) found++;
  }
  CALLGRIND_STOP_INSTRUMENTATION;
  CALLGRIND_DUMP_STATS_AT(kind == 0 ? "last" : kind == 1 ? "half" : "random");
  return found;
}

static int cost(uint32_t n) {
  mcq__mem_t* mem;
  mcq__prefix_t t;
  char room[64];
  bool first;
  if (n == 0 || mcq__mem_open(&mem, NULL) != 0) return 1;
  mcq__prefix_init(&t, mem);
  int rc = mcq__prefix_reserve(&t, 0);
  for (uint32_t i = 0; i < n && rc == 0; i++)
    rc = mcq__prefix_add(
        &t, 0, nth_text(i % 2 ? HIERARCHY : RANDOM, i, n, room), &first);
  for (int kind = 0; kind < 3 && rc == 0; kind++)
    printf("%d: %zu of %d\n", kind, cost_kind(&t, kind, n), COST_TOPICS);
  mcq__prefix_dispose(&t);
  mcq__mem_close(mem);
  return rc != 0;
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "--cost") == 0)
    return cost((uint32_t) strtoul(argv[2], NULL, 10));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_is_disposable),
      cmocka_unit_test_setup_teardown(holders_are_a_set, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_empty_prefix_begins_every_topic,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(nested_prefixes_find_each_other, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(long_texts_nest, set_up, tear_down),
      cmocka_unit_test_setup_teardown(walks_see_everything_once, set_up,
                                      tear_down),
      cmocka_unit_test(out_of_memory_changes_nothing),
      cmocka_unit_test_setup_teardown(who_vanishes_leaves_nothing, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(texts_of_all_sizes_come_and_go, set_up,
                                      tear_down),
      cmocka_unit_test(changes_do_not_cost_the_table),
      cmocka_unit_test(what_is_left_moves_together),
      cmocka_unit_test_setup_teardown(a_lonely_prefix_goes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_prefix_of_all_is_cheap, set_up,
                                      tear_down),
      cmocka_unit_test(prefixes_fit_their_bytes),
      cmocka_unit_test(table_is_its_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
