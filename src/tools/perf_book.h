/* SPDX-License-Identifier: MIT */
/* The book of what all runs of one call found: figures by case, contender and
 * round, with their medians, spread and ratios.  mcqperf.c fills it, the
 * reports read it; it prints nothing. */
#ifndef PERF_BOOK_H
#define PERF_BOOK_H

#include "perf_options.h"
#include "perf_run.h"

typedef enum perf_figure {
  PERF_RATE, /* messages, deliveries or round trips a second */
  PERF_P50,  /* microseconds, as the next three */
  PERF_P99,
  PERF_P999,
  PERF_MAX,
  PERF_CPU_RECEIVER, /* nanoseconds a message */
  PERF_CPU_SENDER,
  PERF_PEAK_RECEIVER, /* MiB */
  PERF_PEAK_SENDER,
  PERF_RATE_BESIDE, /* from here on: beside stalled subscribers */
  PERF_SHARE_BESIDE,
  PERF_DROPPED,
  PERF_CPU_RECEIVER_BESIDE,
  PERF_CPU_SENDER_BESIDE,
  PERF_FIGURE_COUNT
} perf_figure_t;

/* Of one run. */
typedef struct perf_figures {
  double of[PERF_FIGURE_COUNT];
} perf_figures_t;

typedef struct perf_book {
  const perf_options_t* options;
  perf_figures_t* runs; /* [case][who][round], flat */
} perf_book_t;

typedef struct perf_spread {
  double min;
  double median;
  double max;
} perf_spread_t;

void perf_book_open(perf_book_t* book, const perf_options_t* options);
void perf_book_close(perf_book_t* book);

perf_figures_t* perf_book_at(const perf_book_t* book, size_t at, size_t who,
                             unsigned round);

/* What two processes found; beside stalled ones: after those of the run
 * without. */
void perf_book_enter(perf_figures_t* out, const perf_run_t* run);
void perf_book_enter_beside(perf_figures_t* out, const perf_run_t* run);

/* Whether the benchmark finds this figure. */
bool perf_book_has(const perf_book_t* book, perf_figure_t figure);

/* The one it is about: the rate, or a time. */
perf_figure_t perf_book_main(const perf_book_t* book);

/* Over the rounds. */
perf_spread_t perf_book_spread(const perf_book_t* book, size_t at, size_t who,
                               perf_figure_t figure);
double perf_book_median(const perf_book_t* book, size_t at, size_t who,
                        perf_figure_t figure);

/* Whether the rival runs too and is compared with. */
bool perf_book_compares(const perf_book_t* book, perf_who_t rival);

/* How many times as good as the rival: its median divides ours, or for times
 * the other way round; min and max are those of the rounds by themselves. */
perf_spread_t perf_book_ratio(const perf_book_t* book, size_t at, size_t who,
                              perf_who_t rival);

/* "uv", "libzmq 4.3.4", ... */
const char* perf_book_label(const perf_book_t* book, size_t who);

#endif
