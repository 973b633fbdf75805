/* SPDX-License-Identifier: MIT */
/* One run of mcqperf: two processes, started, watched and asked what they
 * found.  The parent has no loop and no socket of its own. */
#ifndef PERF_RUN_H
#define PERF_RUN_H

#include "perf_side.h"

typedef struct perf_run {
  perf_result_t receiver;
  perf_result_t sender;
} perf_run_t;

/* Runs the job; its role and port are filled in here.  0 or tool_fail's
 * answer; no process is left either way. */
int perf_run(const perf_job_t* job, perf_run_t* out);

/* In a process that perf_run started: plays its side and returns true with
 * the exit code.  False in any other. */
bool perf_run_is_side(int argc, char** argv, int* code);

#endif
