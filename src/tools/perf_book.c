/* SPDX-License-Identifier: MIT */
/* Medians, spread and ratios of mcqperf's runs (see perf_book.h). */
#include "perf_book.h"

#include <stdlib.h>
#include <string.h>

void perf_book_open(perf_book_t* book, const perf_options_t* o) {
  size_t size = o->case_count * o->who_count * o->rounds * sizeof *book->runs;
  *book = (perf_book_t){.options = o, .runs = tool_alloc(size)};
  memset(book->runs, 0, size);
}

void perf_book_close(perf_book_t* book) {
  free(book->runs);
  *book = (perf_book_t){0};
}

perf_figures_t* perf_book_at(const perf_book_t* book, size_t at, size_t who,
                             unsigned round) {
  const perf_options_t* o = book->options;
  return &book->runs[(at * o->who_count + who) * o->rounds + round];
}

/* ---- what a run found ---------------------------------------------------- */

/* Whichever side has the clock. */
static double rate(const perf_run_t* run) {
  const perf_result_t* r =
      run->receiver.wall_ns > 0 ? &run->receiver : &run->sender;
  double ns = (double) r->wall_ns;
  return ns > 0 ? (double) r->count * 1e9 / ns : 0;
}

static double cpu(const perf_result_t* side) {
  return side->count > 0 ? (double) side->cpu_ns / (double) side->count : 0;
}

void perf_book_enter(perf_figures_t* out, const perf_run_t* run) {
  *out = (perf_figures_t){0};
  out->of[PERF_RATE] = rate(run);
  out->of[PERF_P50] = (double) run->sender.p50_ns / 1000;
  out->of[PERF_P99] = (double) run->sender.p99_ns / 1000;
  out->of[PERF_P999] = (double) run->sender.p999_ns / 1000;
  out->of[PERF_CPU_RECEIVER] = cpu(&run->receiver);
  out->of[PERF_CPU_SENDER] = cpu(&run->sender);
  out->of[PERF_PEAK_RECEIVER] = (double) run->receiver.peak_kib / 1024;
  out->of[PERF_PEAK_SENDER] = (double) run->sender.peak_kib / 1024;
}

void perf_book_enter_beside(perf_figures_t* out, const perf_run_t* run) {
  double alone = out->of[PERF_RATE];
  out->of[PERF_RATE_BESIDE] = rate(run);
  out->of[PERF_SHARE_BESIDE] = alone > 0 ? rate(run) / alone : 0;
  out->of[PERF_DROPPED] = (double) run->sender.dropped;
  out->of[PERF_CPU_RECEIVER_BESIDE] = cpu(&run->receiver);
  out->of[PERF_CPU_SENDER_BESIDE] = cpu(&run->sender);
}

/* ---- which figures ------------------------------------------------------- */

static bool is_time(perf_figure_t figure) {
  return figure >= PERF_P50 && figure <= PERF_MAX;
}

bool perf_book_has(const perf_book_t* book, perf_figure_t figure) {
  const perf_options_t* o = book->options;
  bool within = o->mode >= PERF_LATENESS;
  if (figure == PERF_RATE) return o->mode != PERF_LATENCY;
  if (figure == PERF_MAX) return o->mode == PERF_LATENESS;
  if (is_time(figure))
    return o->mode == PERF_LATENCY || o->mode == PERF_LATENESS;
  return figure >= PERF_RATE_BESIDE ? o->stalled > 0 : !within;
}

perf_figure_t perf_book_main(const perf_book_t* book) {
  perf_mode_t mode = book->options->mode;
  if (mode == PERF_LATENESS) return PERF_P99;
  return mode == PERF_LATENCY ? PERF_P50 : PERF_RATE;
}

/* ---- over the rounds ----------------------------------------------------- */

static int by_value(const void* a, const void* b) {
  double x = *(const double*) a;
  double y = *(const double*) b;
  return x < y ? -1 : x > y;
}

static perf_spread_t spread_of(double* values, unsigned n) {
  qsort(values, n, sizeof *values, by_value);
  return (perf_spread_t){.min = values[0],
                         .median = (values[(n - 1) / 2] + values[n / 2]) / 2,
                         .max = values[n - 1]};
}

perf_spread_t perf_book_spread(const perf_book_t* book, size_t at, size_t who,
                               perf_figure_t figure) {
  unsigned n = book->options->rounds;
  double* values = tool_alloc(n * sizeof *values);
  for (unsigned i = 0; i < n; i++)
    values[i] = perf_book_at(book, at, who, i)->of[figure];
  perf_spread_t spread = spread_of(values, n);
  free(values);
  return spread;
}

double perf_book_median(const perf_book_t* book, size_t at, size_t who,
                        perf_figure_t figure) {
  return perf_book_spread(book, at, who, figure).median;
}

/* ---- beside a rival ------------------------------------------------------ */

/* The row of a rival, or -1. */
static int row_of(const perf_options_t* o, perf_who_t who) {
  for (size_t i = 0; i < o->who_count; i++)
    if (o->who[i] == who) return (int) i;
  return -1;
}

bool perf_book_compares(const perf_book_t* book, perf_who_t rival) {
  return row_of(book->options, rival) >= 0;
}

static double times(double mine, double theirs, bool less_is_better) {
  double good = less_is_better ? theirs : mine;
  double bad = less_is_better ? mine : theirs;
  return bad > 0 ? good / bad : 0;
}

perf_spread_t perf_book_ratio(const perf_book_t* book, size_t at, size_t who,
                              perf_who_t rival) {
  const perf_options_t* o = book->options;
  int row = row_of(o, rival);
  if (row < 0) return (perf_spread_t){0};
  perf_figure_t figure = perf_book_main(book);
  double* values = tool_alloc(o->rounds * sizeof *values);
  for (unsigned i = 0; i < o->rounds; i++)
    values[i] = times(perf_book_at(book, at, who, i)->of[figure],
                      perf_book_at(book, at, (size_t) row, i)->of[figure],
                      is_time(figure));
  perf_spread_t spread = spread_of(values, o->rounds);
  free(values);
  spread.median =
      times(perf_book_median(book, at, who, figure),
            perf_book_median(book, at, (size_t) row, figure), is_time(figure));
  return spread;
}

const char* perf_book_label(const perf_book_t* book, size_t who) {
  perf_who_t it = book->options->who[who];
  return it == PERF_ZMQ ? perf_zmq_name() : perf_who_word(it);
}
