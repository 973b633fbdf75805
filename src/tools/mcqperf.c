/* SPDX-License-Identifier: MIT */
/* mcqperf: throughput, latency and scale, ours and the rivals' side by side.
 * Plans the runs, alternates the contenders and shows how far it is. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "perf_child.h"
#include "perf_report.h"

enum {
  BAR_WIDTH = 30,
  WARM_MESSAGES = 100000,
  WARM_TRIPS = 1000,
  DELIVERIES = 2000000 /* of a fanout run */
};

static const size_t WARM_BYTES = 32 << 20;

static uint64_t warmup(const perf_options_t* o, size_t size, uint64_t count) {
  uint64_t n = WARM_TRIPS;
  if (o->mode == PERF_THROUGHPUT) {
    n = WARM_BYTES / size;
    if (n > WARM_MESSAGES) n = WARM_MESSAGES;
  } else if (o->mode != PERF_LATENCY) {
    n = count / 10;
  }
  if (count > 0 && n > count) n = count;
  return n > 1 ? n : 2;
}

/* 0: the run finds out. */
static uint64_t how_many(const perf_options_t* o, const perf_case_t* c) {
  if (o->count > 0 || o->mode != PERF_FANOUT) return o->count;
  uint64_t n = o->filtered ? DELIVERIES : DELIVERIES / c->peers;
  return n > 100 ? n : 100;
}

/* ---- the bar ------------------------------------------------------------- */

static void show(const perf_options_t* o, size_t at, size_t who, size_t done,
                 size_t total) {
  if (!isatty(STDERR_FILENO)) return;
  char bar[BAR_WIDTH + 1];
  size_t full = done * BAR_WIDTH / total;
  for (size_t i = 0; i < BAR_WIDTH; i++) bar[i] = i < full ? '#' : '.';
  bar[BAR_WIDTH] = '\0';
  fprintf(stderr, "\r[%s] %zu/%zu  %zu bytes, ", bar, done, total,
          o->cases[at].size);
  if (o->cases[at].peers > 0)
    fprintf(stderr, "%zu peers, ", o->cases[at].peers);
  fprintf(stderr, "%s\033[K", perf_who_word(o->who[who]));
}

static void hide(void) {
  if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

/* ---- the runs ------------------------------------------------------------ */

static int run_one(const perf_book_t* book, size_t at, size_t who,
                   unsigned round, bool beside) {
  const perf_options_t* o = book->options;
  const perf_case_t* c = &o->cases[at];
  uint64_t count = how_many(o, c);
  perf_job_t job = {.mode = o->mode,
                    .who = o->who[who],
                    .size = c->size,
                    .count = count,
                    .warmup = warmup(o, c->size, count),
                    .peers = c->peers,
                    .filtered = o->filtered,
                    .paced = o->stalled > 0,
                    .stalled = beside ? o->stalled : 0,
                    .patient = o->count_given};
  return perf_run(&job, beside ? perf_book_beside(book, at, who, round)
                               : perf_book_at(book, at, who, round));
}

/* Alone and beside the stalled, now this first, now that. */
static int run_both(const perf_book_t* book, size_t at, size_t who,
                    unsigned round) {
  if (book->options->stalled == 0) return run_one(book, at, who, round, false);
  int rc = run_one(book, at, who, round, round % 2 != 0);
  return rc == 0 ? run_one(book, at, who, round, round % 2 == 0) : rc;
}

/* Contenders take turns, so that a slow minute of the machine hits all. */
static int run_all(const perf_book_t* book) {
  const perf_options_t* o = book->options;
  size_t total = o->case_count * o->rounds * o->who_count;
  size_t done = 0;
  for (size_t c = 0; c < o->case_count; c++) {
    for (unsigned r = 0; r < o->rounds; r++) {
      for (size_t w = 0; w < o->who_count; w++) {
        show(o, c, w, done++, total);
        int rc = run_both(book, c, w, r);
        if (rc != 0) return rc;
      }
    }
  }
  return 0;
}

static int measure(const perf_options_t* o) {
  size_t runs = o->case_count * o->rounds * o->who_count;
  perf_book_t book = {.options = o,
                      .runs = tool_alloc(runs * sizeof *book.runs)};
  if (o->stalled > 0) book.beside = tool_alloc(runs * sizeof *book.beside);
  int rc = run_all(&book);
  hide();
  if (rc == 0 && o->json) rc = perf_report_json(&book);
  if (rc == 0 && !o->json) perf_report_table(&book);
  free(book.beside);
  free(book.runs);
  return rc;
}

int main(int argc, char** argv) {
  tool_begin("mcqperf");
  int code;
  if (perf_run_is_side(argc, argv, &code)) return code;
  perf_options_t options = {0};
  if (!perf_options_read(&options, argc, argv, &code)) return code;
  if (options.mode == PERF_LATENESS) return perf_lateness(&options);
  if (options.mode == PERF_INPROC) return perf_inproc(&options);
  if (options.mode == PERF_SETUP) return perf_setup(&options);
  return measure(&options);
}
