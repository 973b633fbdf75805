/* SPDX-License-Identifier: MIT */
/* mcqperf's command line as a struct. */
#ifndef PERF_OPTIONS_H
#define PERF_OPTIONS_H

#include "perf_side.h"

enum { PERF_LIST_MAX = 32 }; /* sizes, or numbers of peers */

/* Some rows of the table, one for each contender. */
typedef struct perf_case {
  size_t size;
  size_t peers; /* fanout, peers; else 0 */
} perf_case_t;

typedef struct perf_options {
  perf_mode_t mode;
  size_t sizes[PERF_LIST_MAX];
  size_t size_count;
  size_t peers[PERF_LIST_MAX];
  size_t peer_count;
  perf_case_t cases[PERF_LIST_MAX * PERF_LIST_MAX]; /* of the two above */
  size_t case_count;
  bool filtered;
  size_t stalled; /* fanout: so many more that do not read; 0: none */
  uint64_t count; /* 0: chosen for each run */
  bool count_given;
  unsigned rounds;
  perf_who_t who[PERF_WHO_COUNT]; /* rows, in the order of the table */
  size_t who_count;
  perf_types_t types;
  bool types_given;
  perf_transport_t transport;
  size_t outstanding; /* peers; else 0 */
  uint32_t spin_us;
  bool json; /* to standard output, unless there is a path */
  bool markdown;
  const char* json_path;
  const char* markdown_path;
  const char* plot_path;
} perf_options_t;

/* Reads the command line into zeroed `out`.  True: go on.  False: leave with
 * `*code`; what there was to say has been said. */
bool perf_options_read(perf_options_t* out, int argc, char** argv, int* code);

/* "uv", "libzmq", ... as one types it. */
const char* perf_who_word(perf_who_t who);

/* "throughput", ... */
const char* perf_mode_word(perf_mode_t mode);

#endif
