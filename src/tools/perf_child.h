/* SPDX-License-Identifier: MIT */
/* A run of mcqperf in a process of its own, for the benchmarks that need no
 * second side of this program: lateness, inproc and setup.  The parent, which
 * has neither loop nor thread, forks, waits and gets a plain value back. */
#ifndef PERF_CHILD_H
#define PERF_CHILD_H

#include "perf_side.h"

/* What a run found out. */
typedef struct perf_found {
  double rate; /* messages a second */
  double p50_us;
  double p99_us;
  double p999_us;
  double max_us;
} perf_found_t;

/* Plays a contender: 0, or tool_fail's answer. */
typedef int (*perf_child_fn)(const void* job, perf_found_t* out);

/* In a fresh process.  0, or tool_fail's answer. */
int perf_child(perf_child_fn play, const void* job, perf_found_t* out);

/* The benchmarks themselves, `role` and `port` of the job being of no use. */
int perf_lateness(const perf_job_t* job, perf_found_t* out);
int perf_inproc(const perf_job_t* job, perf_found_t* out);
int perf_setup(const perf_job_t* job, perf_found_t* out);

#endif
