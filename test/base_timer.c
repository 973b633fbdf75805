/* SPDX-License-Identifier: MIT */
/* Timers: compared with a sorted list, and callbacks that start and stop each
 * other while they run. */
#include "base/timer.h"

#include <string.h>

#include "base/check.h"
#include "support/pool.h"
#include "support/random.h"

enum { TIMERS = 40, FIRED_MAX = 200 };

typedef struct bench {
  test_pool_t memory;
  mcq__timers_t timers;
  struct probe {
    mcq__timer_t timer;
    struct bench* bench;
    int name;
    void (*act)(struct probe* p); /* what its callback does, or NULL */
    struct probe* other;
  } probes[TIMERS];
  int fired[FIRED_MAX];
  size_t count;
  uint64_t now;
} bench_t;

typedef struct probe probe_t;

static void on_timer(mcq__timer_t* timer) {
  probe_t* p = mcq__container_of(timer, probe_t, timer);
  bench_t* b = p->bench;
  assert_int_equal(timer->place, 0);
  assert_true(timer->deadline <= b->now);
  assert_true(b->count < FIRED_MAX);
  b->fired[b->count++] = p->name;
  if (p->act != NULL) p->act(p);
}

static void bench_open(bench_t* b) {
  memset(b, 0, sizeof *b);
  test_pool_open(&b->memory);
  mcq__timers_init(&b->timers, b->memory.mem);
  for (int i = 0; i < TIMERS; i++) {
    b->probes[i].timer.run = on_timer;
    b->probes[i].bench = b;
    b->probes[i].name = i;
    assert_int_equal(mcq__timers_reserve(&b->timers), 0);
  }
}

static void bench_close(bench_t* b) {
  for (int i = 0; i < TIMERS; i++) {
    mcq__timer_stop(&b->timers, &b->probes[i].timer);
    mcq__timers_unreserve(&b->timers);
  }
  assert_true(mcq__timers_next(&b->timers) == MCQ__NEVER);
  mcq__timers_dispose(&b->timers);
  mcq__timers_dispose(&b->timers);
  test_pool_close(&b->memory);
}

static void start(bench_t* b, int name, uint64_t deadline) {
  mcq__timer_start(&b->timers, &b->probes[name].timer, deadline);
}

static void run(bench_t* b, uint64_t now) {
  b->now = now;
  b->count = 0;
  mcq__timers_run(&b->timers, now, SIZE_MAX);
}

/* The names in `want`, each a letter from 'a' on, fired in that order. */
static void expect_fired(const bench_t* b, const char* want) {
  assert_int_equal(b->count, strlen(want));
  for (size_t i = 0; i < b->count; i++)
    assert_int_equal(b->fired[i], want[i] - 'a');
}

/* The heap is one, and every timer knows its place. */
static void expect_heap(const mcq__timers_t* t) {
  for (size_t i = 0; i < t->count; i++) {
    assert_int_equal(t->heap[i]->place, i + 1);
    if (i > 0)
      assert_true(t->heap[(i - 1) / 2]->deadline <= t->heap[i]->deadline);
  }
  assert_int_equal(t->late, 0);
}

/* ---- plain use ----------------------------------------------------------- */

static void fire_when_due_in_order(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  assert_true(mcq__timers_next(&b.timers) == MCQ__NEVER);
  run(&b, UINT64_MAX);
  expect_fired(&b, "");
  start(&b, 2, 30);
  start(&b, 0, 10);
  start(&b, 1, 20);
  assert_true(mcq__timers_next(&b.timers) == 10);
  run(&b, 9);
  expect_fired(&b, "");
  run(&b, 10);
  expect_fired(&b, "a");
  assert_true(mcq__timers_next(&b.timers) == 20);
  run(&b, 1000);
  expect_fired(&b, "bc");
  run(&b, 2000);
  expect_fired(&b, "");
  bench_close(&b);
}

static void equal_deadlines_fire_as_started(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  const int names[] = {3, 1, 4, 0, 5, 2};
  for (size_t i = 0; i < 6; i++) start(&b, names[i], 7);
  start(&b, 1, 7); /* started anew, so last now */
  run(&b, 7);
  expect_fired(&b, "deafcb");
  bench_close(&b);
}

static void stopped_and_moved(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  start(&b, 0, 10);
  start(&b, 1, 20);
  start(&b, 2, 30);
  mcq__timer_stop(&b.timers, &b.probes[1].timer);
  mcq__timer_stop(&b.timers, &b.probes[1].timer);
  mcq__timer_stop(&b.timers, &b.probes[9].timer);
  start(&b, 0, 40);
  assert_true(mcq__timers_next(&b.timers) == 30);
  run(&b, 50);
  expect_fired(&b, "ca");
  start(&b, 0, MCQ__NEVER);
  assert_true(mcq__timers_next(&b.timers) == MCQ__NEVER);
  run(&b, MCQ__NEVER - 1);
  expect_fired(&b, "");
  bench_close(&b);
}

/* ---- from inside a callback ---------------------------------------------- */

static void restart_now(probe_t* p) {
  mcq__timer_start(&p->bench->timers, &p->timer, p->bench->now);
}

static void start_other_at_zero(probe_t* p) {
  mcq__timer_start(&p->bench->timers, &p->other->timer, 0);
}

static void stop_other(probe_t* p) {
  mcq__timer_stop(&p->bench->timers, &p->other->timer);
}

static void start_other_later(probe_t* p) {
  mcq__timer_start(&p->bench->timers, &p->other->timer, p->bench->now + 5);
}

static void started_while_running_waits(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  b.probes[0].act = restart_now;
  start(&b, 0, 1);
  start(&b, 1, 2);
  for (int i = 0; i < 3; i++) {
    run(&b, 5);
    expect_fired(&b, i == 0 ? "ab" : "a");
    expect_heap(&b.timers);
    assert_true(mcq__timers_next(&b.timers) == 5);
  }
  bench_close(&b);
}

/* A newcomer that is due before all others neither fires in this run nor
 * keeps those behind it from firing. */
static void a_late_timer_blocks_nobody(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  b.probes[0].act = start_other_at_zero;
  b.probes[0].other = &b.probes[9];
  start(&b, 0, 1);
  for (int i = 1; i < 9; i++) start(&b, i, (uint64_t) (1 + i));
  run(&b, 9);
  expect_fired(&b, "abcdefghi");
  assert_true(mcq__timers_next(&b.timers) == 0);
  run(&b, 9);
  expect_fired(&b, "j");
  bench_close(&b);
}

static void due_ones_can_be_stopped_and_moved(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  for (int i = 0; i < 6; i++) start(&b, i, (uint64_t) i);
  b.probes[0].act = stop_other;
  b.probes[0].other = &b.probes[1];
  b.probes[2].act = start_other_later;
  b.probes[2].other = &b.probes[3];
  b.probes[4].act = start_other_at_zero;
  b.probes[4].other = &b.probes[5];
  run(&b, 10);
  expect_fired(&b, "ace");
  expect_heap(&b.timers);
  run(&b, 10);
  expect_fired(&b, "f");
  run(&b, 15);
  expect_fired(&b, "d");
  bench_close(&b);
}

static void stop_the_late_one(probe_t* p) {
  bench_t* b = p->bench;
  for (int i = 10; i < 14; i++) start(b, i, (uint64_t) (i - 10));
  assert_true(mcq__timers_next(&b->timers) == 0);
  mcq__timer_stop(&b->timers, &b->probes[10].timer);
  assert_true(mcq__timers_next(&b->timers) == 1);
  start(b, 12, b->now + 1); /* late no more */
  mcq__timer_stop(&b->timers, &b->probes[1].timer);
}

static void late_ones_can_be_stopped_and_moved(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  for (int i = 0; i < 4; i++) start(&b, i, (uint64_t) i);
  b.probes[0].act = stop_the_late_one;
  run(&b, 5);
  expect_fired(&b, "acd");
  expect_heap(&b.timers);
  run(&b, 5);
  expect_fired(&b, "ln");
  run(&b, 6);
  expect_fired(&b, "m");
  bench_close(&b);
}

/* New objects reserve their places in callbacks; the array moves. */
static void grow_inside(probe_t* p) {
  mcq__timers_t* t = &p->bench->timers;
  start(p->bench, 5, 0);
  for (int i = 0; i < 500; i++) assert_int_equal(mcq__timers_reserve(t), 0);
  for (int i = 0; i < 500; i++) mcq__timers_unreserve(t);
}

static void reserving_inside_a_callback(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  b.probes[0].act = grow_inside;
  start(&b, 0, 1);
  start(&b, 1, 2);
  run(&b, 3);
  expect_fired(&b, "ab");
  run(&b, 3);
  expect_fired(&b, "f");
  bench_close(&b);
}

/* ---- against a model ----------------------------------------------------- */

typedef struct entry {
  uint64_t deadline;
  uint64_t order;
  bool late; /* not before the next run */
  bool on;
} entry_t;

static struct {
  bench_t bench;
  entry_t entries[TIMERS];
  uint64_t order;
  bool running;
  test_random_t random;
} world;

static void world_start(int name, uint64_t deadline) {
  entry_t e = {deadline, world.order++,
               world.running && deadline <= world.bench.now, true};
  world.entries[name] = e;
  start(&world.bench, name, deadline);
}

static void world_stop(int name) {
  world.entries[name].on = false;
  mcq__timer_stop(&world.bench.timers, &world.bench.probes[name].timer);
}

/* The one the model would fire next, or -1. */
static int world_first(void) {
  int best = -1;
  for (int i = 0; i < TIMERS; i++) {
    const entry_t* e = &world.entries[i];
    if (!e->on || e->late || e->deadline > world.bench.now) continue;
    const entry_t* f = best < 0 ? NULL : &world.entries[best];
    if (f == NULL || e->deadline < f->deadline ||
        (e->deadline == f->deadline && e->order < f->order))
      best = i;
  }
  return best;
}

static void world_change(void) {
  int name = (int) test_random_below(&world.random, TIMERS);
  uint64_t now = world.bench.now;
  uint64_t at = now + test_random_below(&world.random, 40);
  if (test_random_below(&world.random, 3) == 0) {
    world_stop(name);
  } else {
    world_start(name, at < 20 ? 0 : at - 20);
  }
}

static void world_fired(probe_t* p) {
  assert_int_equal(p->name, world_first());
  world.entries[p->name].on = false;
  for (size_t n = test_random_below(&world.random, 4); n > 0; n--)
    world_change();
}

static void same_as_a_sorted_list(void** state) {
  (void) state;
  bench_t* b = &world.bench;
  bench_open(b);
  world.random.state = 8;
  for (int i = 0; i < TIMERS; i++) b->probes[i].act = world_fired;
  size_t fired = 0;
  for (int step = 0; step < 10000; step++) {
    for (size_t n = test_random_below(&world.random, 6); n > 0; n--)
      world_change();
    uint64_t next = MCQ__NEVER;
    for (int i = 0; i < TIMERS; i++)
      if (world.entries[i].on && world.entries[i].deadline < next)
        next = world.entries[i].deadline;
    assert_true(mcq__timers_next(&b->timers) == next);
    world.running = true;
    run(b, b->now + test_random_below(&world.random, 10));
    world.running = false;
    fired += b->count;
    assert_int_equal(world_first(), -1);
    for (int i = 0; i < TIMERS; i++) world.entries[i].late = false;
    expect_heap(&b->timers);
  }
  assert_true(fired > 10000);
  bench_close(b);
}

/* ---- memory -------------------------------------------------------------- */

static void only_reserving_allocates(void** state) {
  (void) state;
  bench_t b;
  bench_open(&b);
  size_t calls = atomic_load(&b.memory.alloc.calls);
  assert_true(calls < 10);
  test_alloc_fail_next(&b.memory.alloc, true);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < TIMERS; i++) start(&b, i, (uint64_t) (TIMERS - i));
    run(&b, TIMERS / 2);
    assert_int_equal(b.count, TIMERS / 2);
  }
  assert_int_equal(atomic_load(&b.memory.alloc.calls), calls);
  /* A place that cannot be had changes nothing. */
  size_t known = b.timers.known;
  size_t count = b.timers.count;
  int err = 0;
  size_t got = 0;
  while ((err = mcq__timers_reserve(&b.timers)) == 0) got++;
  assert_int_equal(err, MCQ_ENOMEM);
  assert_int_equal(b.timers.known, known + got);
  assert_int_equal(b.timers.count, count);
  for (; got > 0; got--) mcq__timers_unreserve(&b.timers);
  expect_heap(&b.timers);
  bench_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fire_when_due_in_order),
      cmocka_unit_test(equal_deadlines_fire_as_started),
      cmocka_unit_test(stopped_and_moved),
      cmocka_unit_test(started_while_running_waits),
      cmocka_unit_test(a_late_timer_blocks_nobody),
      cmocka_unit_test(due_ones_can_be_stopped_and_moved),
      cmocka_unit_test(late_ones_can_be_stopped_and_moved),
      cmocka_unit_test(reserving_inside_a_callback),
      cmocka_unit_test(same_as_a_sorted_list),
      cmocka_unit_test(only_reserving_allocates),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
