/* SPDX-License-Identifier: MIT */
/* mcqperf: throughput, latency and scale, ours and the rivals' side by side.
 * Plans the runs, alternates the contenders and shows how far it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "perf_child.h"
#include "perf_report.h"

enum {
  BAR_WIDTH = 30,
  WARM_MESSAGES = 100000,
  WARM_TRIPS = 1000,
  LEAST = 100,        /* messages of a run whose number is not given */
  TRIAL_TRIPS = 2000, /* of the run before the first round that tells how */
  TRIAL_MESSAGES = 200000, /* many a run shall have; fanout: deliveries */
  MOST = 100000000
};

static const size_t WARM_BYTES = 32 << 20;

/* ---- the bar ------------------------------------------------------------- */

typedef struct bar {
  bool shown;
  size_t done;
  size_t total;
  uint64_t since_ns;
} bar_t;

static void show(const bar_t* bar, const perf_options_t* o, size_t at,
                 size_t who) {
  if (!bar->shown) return;
  char line[BAR_WIDTH + 1];
  size_t full = bar->done * BAR_WIDTH / bar->total;
  for (size_t i = 0; i < BAR_WIDTH; i++) line[i] = i < full ? '#' : '.';
  line[BAR_WIDTH] = '\0';
  fprintf(stderr, "\r[%s] %zu/%zu", line, bar->done, bar->total);
  if (bar->done > 0) {
    double each = (double) (perf_now() - bar->since_ns) / (double) bar->done;
    fprintf(stderr, ", %.0f s left",
            each * (double) (bar->total - bar->done) / 1e9);
  }
  fprintf(stderr, "  %zu bytes, ", o->cases[at].size);
  if (o->cases[at].peers > 0)
    fprintf(stderr, "%zu peers, ", o->cases[at].peers);
  fprintf(stderr, "%s\033[K", perf_who_word(o->who[who]));
}

static void hide(const bar_t* bar) {
  if (bar->shown) fputs("\r\033[K", stderr);
}

/* ---- how many ------------------------------------------------------------ */

/* Before the clock runs.  Peers: until every question of the beginning has
 * been answered twice. */
static uint64_t warmup(const perf_options_t* o, const perf_case_t* c,
                       uint64_t count) {
  uint64_t n = WARM_TRIPS;
  if (o->mode == PERF_THROUGHPUT) {
    n = WARM_BYTES / c->size;
    if (n > WARM_MESSAGES) n = WARM_MESSAGES;
  } else if (o->mode != PERF_LATENCY) {
    n = count / 10;
  }
  if (count > 0 && n > count) n = count;
  uint64_t first = 2 * c->peers * o->outstanding;
  if (o->mode == PERF_PEERS && n < first) n = first;
  return n > 1 ? n : 2;
}

/* How often a message counts. */
static uint64_t each(const perf_options_t* o, const perf_case_t* c) {
  return o->mode == PERF_FANOUT && !o->filtered ? c->peers : 1;
}

static uint64_t trial(const perf_options_t* o, const perf_case_t* c) {
  if (o->mode == PERF_PEERS) return TRIAL_TRIPS + 4 * c->peers * o->outstanding;
  uint64_t n = TRIAL_MESSAGES / each(o, c);
  return n > LEAST ? n : LEAST;
}

static uint64_t count_for(const perf_options_t* o, const perf_case_t* c,
                          double rate) {
  double n = rate * PERF_RUN_MS / 1000 / (double) each(o, c);
  if (n > MOST) return MOST;
  return n > LEAST ? (uint64_t) n : LEAST;
}

/* ---- the runs ------------------------------------------------------------ */

static perf_job_t job_of(const perf_options_t* o, const perf_case_t* c,
                         perf_who_t who, uint64_t count) {
  return (perf_job_t){.mode = o->mode,
                      .who = who,
                      .types = o->types,
                      .transport = o->transport,
                      .size = c->size,
                      .count = count,
                      .warmup = warmup(o, c, count),
                      .peers = c->peers,
                      .outstanding = o->outstanding,
                      .spin_us = o->spin_us,
                      .filtered = o->filtered,
                      .paced = o->stalled > 0,
                      .patient = o->count_given};
}

typedef int (*within_fn)(const perf_job_t* job, perf_found_t* out);

static int run_within(const perf_job_t* job, perf_figures_t* out) {
  perf_found_t found = {0};
  static const within_fn plays[PERF_MODE_COUNT] = {
      [PERF_LATENESS] = perf_lateness,
      [PERF_INPROC] = perf_inproc,
      [PERF_SETUP] = perf_setup};
  int rc = plays[job->mode](job, &found);
  *out = (perf_figures_t){.of = {[PERF_RATE] = found.rate,
                                 [PERF_P50] = found.p50_us,
                                 [PERF_P99] = found.p99_us,
                                 [PERF_P999] = found.p999_us,
                                 [PERF_MAX] = found.max_us}};
  return rc;
}

static int run_one(const perf_job_t* job, perf_figures_t* out) {
  if (job->mode >= PERF_LATENESS) return run_within(job, out);
  perf_run_t run = {0};
  int rc = perf_run(job, &run);
  perf_book_enter(out, &run);
  return rc;
}

/* Alone and beside the stalled, now this first, now that. */
static int run_both(const perf_options_t* o, perf_job_t job, unsigned round,
                    perf_figures_t* out) {
  perf_run_t runs[2] = {0}; /* without, with */
  int rc = 0;
  for (unsigned i = 0; rc == 0 && i < 2; i++) {
    bool beside = (round + i) % 2 != 0;
    job.stalled = beside ? o->stalled : 0;
    rc = perf_run(&job, &runs[beside]);
  }
  perf_book_enter(out, &runs[0]);
  perf_book_enter_beside(out, &runs[1]);
  return rc;
}

/* How many messages each contender gets, so that all take as long.  A
 * throughput run finds that out by itself. */
static int find_counts(const perf_options_t* o, const perf_case_t* c,
                       uint64_t counts[PERF_WHO_COUNT]) {
  bool tries =
      o->mode == PERF_FANOUT || o->mode == PERF_PEERS || o->mode == PERF_INPROC;
  for (size_t w = 0; w < o->who_count; w++) {
    counts[w] = o->count;
    if (!tries || o->count > 0) continue;
    perf_figures_t found;
    perf_job_t job = job_of(o, c, o->who[w], trial(o, c));
    int rc = run_one(&job, &found);
    if (rc != 0) return rc;
    counts[w] = count_for(o, c, found.of[PERF_RATE]);
  }
  return 0;
}

static int run_case(const perf_book_t* book, bar_t* bar, size_t at) {
  const perf_options_t* o = book->options;
  const perf_case_t* c = &o->cases[at];
  uint64_t counts[PERF_WHO_COUNT];
  show(bar, o, at, 0);
  int rc = find_counts(o, c, counts);
  for (unsigned r = 0; r < o->rounds; r++) {
    for (size_t w = 0; rc == 0 && w < o->who_count; w++) {
      show(bar, o, at, w);
      perf_job_t job = job_of(o, c, o->who[w], counts[w]);
      perf_figures_t* out = perf_book_at(book, at, w, r);
      rc = o->stalled > 0 ? run_both(o, job, r, out) : run_one(&job, out);
      bar->done++;
    }
  }
  return rc;
}

/* Contenders take turns, so that a slow minute of the machine hits all. */
static int run_all(const perf_book_t* book) {
  const perf_options_t* o = book->options;
  bar_t bar = {.shown = isatty(STDERR_FILENO) != 0,
               .total = o->case_count * o->rounds * o->who_count,
               .since_ns = perf_now()};
  int rc = 0;
  for (size_t c = 0; rc == 0 && c < o->case_count; c++)
    rc = run_case(book, &bar, c);
  hide(&bar);
  return rc;
}

/* ---- what comes of it ---------------------------------------------------- */

typedef int (*report_fn)(const perf_book_t* book, FILE* out);

static int write_file(const perf_book_t* book, report_fn report,
                      const char* path) {
  if (path == NULL) return 0;
  FILE* f = fopen(path, "w");
  if (f == NULL) return tool_fail("cannot write %s", path);
  int rc = report(book, f);
  if (fclose(f) != 0 && rc == 0) rc = tool_fail("cannot write %s", path);
  return rc;
}

static int report_all(const perf_book_t* book) {
  const perf_options_t* o = book->options;
  int rc = write_file(book, perf_report_json, o->json_path);
  if (rc == 0) rc = write_file(book, perf_report_markdown, o->markdown_path);
  if (rc == 0) rc = write_file(book, perf_report_plot, o->plot_path);
  if (rc != 0) return rc;
  report_fn report = perf_report_table;
  if (o->json && o->json_path == NULL) report = perf_report_json;
  if (o->markdown && o->markdown_path == NULL) report = perf_report_markdown;
  rc = report(book, stdout);
  return rc != 0 || fflush(stdout) == 0 ? rc : tool_fail("cannot write");
}

static int measure(const perf_options_t* o) {
  perf_book_t book;
  perf_book_open(&book, o);
  int rc = run_all(&book);
  if (rc == 0) rc = report_all(&book);
  perf_book_close(&book);
  return rc;
}

int main(int argc, char** argv) {
  tool_begin("mcqperf");
  int code;
  if (perf_run_is_side(argc, argv, &code)) return code;
  perf_options_t options = {0};
  if (!perf_options_read(&options, argc, argv, &code)) return code;
  return measure(&options);
}
