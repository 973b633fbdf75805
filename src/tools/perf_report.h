/* SPDX-License-Identifier: MIT */
/* What mcqperf found, for people (a table) or programs (one JSON object). */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include "perf_options.h"
#include "perf_run.h"

/* All runs: [case][who][round], flat. */
typedef struct perf_book {
  const perf_options_t* options;
  perf_run_t* runs;
  perf_run_t* beside; /* the same beside stalled subscribers, or NULL */
} perf_book_t;

perf_run_t* perf_book_at(const perf_book_t* book, size_t at, size_t who,
                         unsigned round);
perf_run_t* perf_book_beside(const perf_book_t* book, size_t at, size_t who,
                             unsigned round);

void perf_report_table(const perf_book_t* book);
int perf_report_json(const perf_book_t* book);

#endif
