/* SPDX-License-Identifier: MIT */
/* Connections that survive: all that support/crossing_rows.c knows of, between
 * sockets of ours through a relay that misbehaves, both ways, on every back
 * end, on a clock of the test's own.
 *
 *   MCQ_TEST_SCENE   only rows with this in their name
 *   MCQ_RELAY        "all": every row on every back end; otherwise each row of
 *                    each pairing is played on one of them */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctx.h"
#include "support/alloc.h"
#include "support/backend.h"
#include "support/crossing.h"
#include "support/nap.h"

#define STEP 2         /* virtual ms */
#define LEAP 20        /* when that goes on */
#define QUIET_TURNS 3  /* after which time passes, */
#define HURRY_TURNS 40 /* in no time up to here */

typedef struct play {
  crossing_t x;
  test_alloc_t memory;
  uint64_t now;
  uint64_t noise;
  unsigned quiet;
  uv_timer_t nap;
} play_t;

static uint64_t play_clock(void* arg) {
  return ((play_t*) arg)->now;
}

static int count_files(void) {
  DIR* dir = opendir("/proc/self/fd");
  int count = 0;
  assert_non_null(dir);
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

/* One turn; time passes when nothing happens. */
static void turn(crossing_t* x) {
  play_t* p = (play_t*) x;
  uint64_t before = x->noise + x->relay.moved;
  uv_run(&x->loop, UV_RUN_NOWAIT);
  bool awake = uv_backend_timeout(&x->loop) == 0;
  if (awake || x->noise + x->relay.moved != before) {
    p->quiet = 0;
    return;
  }
  if (++p->quiet < QUIET_TURNS) return;
  if (p->quiet > HURRY_TURNS) nap(&p->nap);
  p->now += p->quiet > HURRY_TURNS ? LEAP : STEP;
  relay_step(&x->relay);
}

static int open_ctx(play_t* p, int backend) {
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&p->memory),
                         .data = &p->x.left};
  mcq__seams_t seams = {.clock = play_clock, .clock_arg = p, .seed = 1};
  return mcq__ctx_open(&p->x.loop, &o, &seams, &p->x.ctx);
}

static void play(const pairing_t* pairing, const row_t* row, unsigned way,
                 int backend) {
  play_t* p = (play_t*) calloc(1, sizeof *p);
  assert_non_null(p);
  crossing_t* x = &p->x;
  int files = count_files();
  p->now = 1000;
  x->pairing = pairing;
  x->row = row;
  x->fault = row->fault;
  x->fault.ways = way;
  x->turn = turn;
  x->request_ms = 500;
  x->handshake_ms = 400;
  x->relay.clock = play_clock;
  x->relay.clock_arg = p;
  test_alloc_init(&p->memory);
  assert_int_equal(uv_loop_init(&x->loop), 0);
  uv_timer_init(&x->loop, &p->nap);
  assert_int_equal(open_ctx(p, backend), 0);
  crossing_play(x);
  uv_close((uv_handle_t*) &p->nap, NULL);
  assert_int_equal(uv_run(&x->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&x->loop), 0);
  assert_int_equal(p->memory.live, 0);
  assert_int_equal(count_files(), files);
  free(p);
}

/* ---- tests --------------------------------------------------------------- */

static bool all_of_them;
static bool uring_is_here;
static unsigned plays;

static bool is_wanted(const row_t* row) {
  const char* only = getenv("MCQ_TEST_SCENE");
  return only == NULL || strstr(row->name, only) != NULL;
}

/* What is played only once is played here or there. */
static bool is_due(size_t pairing, size_t row, unsigned way, int backend) {
  if (all_of_them || !uring_is_here) return true;
  return (pairing + row + way) % 2 == (backend == MCQ_BACKEND_URING);
}

static void play_row(size_t pairing, size_t row, int backend) {
  unsigned ways[2];
  unsigned count = crossing_ways(&rows[row], ways);
  for (unsigned i = 0; i < count; i++) {
    if (!crossing_fits(&pairings[pairing], &rows[row], ways[i]) ||
        !is_due(pairing, row, ways[i], backend))
      continue;
    play(&pairings[pairing], &rows[row], ways[i], backend);
    plays++;
  }
}

static void play_all(int backend) {
  for (size_t i = 0; i < pairing_count; i++)
    for (size_t k = 0; k < row_count; k++)
      if (is_wanted(&rows[k])) play_row(i, k, backend);
}

static void over_uv(void** state) {
  (void) state;
  play_all(MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (uring_is_here) play_all(MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  const char* wish = getenv("MCQ_RELAY");
  all_of_them = wish != NULL && strcmp(wish, "all") == 0;
  uring_is_here = backend_is_here(MCQ_BACKEND_URING);
  int failures = cmocka_run_group_tests(tests, NULL, NULL);
  printf("%u plays\n", plays);
  return failures;
}
