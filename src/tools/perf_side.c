/* SPDX-License-Identifier: MIT */
/* The frame around a contender in its own process: clocks, percentiles and
 * the way home.  Never opens a connection. */
#include "perf_side.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const uint64_t MOST = 50000000; /* messages of a run of PERF_RUN_MS */

const char* const perf_types_words[PERF_TYPES_COUNT] = {
    "PUSH-PULL", "DEALER-DEALER", "DEALER-ROUTER", "PAIR-PAIR", "REQ-REP"};

const char* const perf_transport_words[PERF_TRANSPORT_COUNT] = {"tcp", "ipc"};

static uint64_t cpu_now(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  uint64_t seconds = (uint64_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec);
  uint64_t micros = (uint64_t) (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
  return seconds * 1000000000 + micros * 1000;
}

uint64_t perf_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

int perf_listening(perf_side_t* side, uint32_t port) {
  return tool_write(side->out, &port, sizeof port);
}

void perf_address(const perf_job_t* job, char out[PERF_ADDRESS]) {
  if (job->transport == PERF_IPC)
    snprintf(out, PERF_ADDRESS, "ipc://@mcqperf-%d-%u", (int) getppid(),
             job->port);
  else if (perf_listens(job->mode, job->role))
    snprintf(out, PERF_ADDRESS, "tcp://127.0.0.1:0");
  else
    snprintf(out, PERF_ADDRESS, "tcp://127.0.0.1:%u", job->port);
}

int perf_bound(perf_side_t* side, const char* uri) {
  uint32_t port = side->job.port;
  if (side->job.transport == PERF_TCP)
    port = (uint32_t) strtoul(strrchr(uri, ':') + 1, NULL, 10);
  return perf_listening(side, port);
}

int perf_give_order(uint64_t count) {
  int rc = tool_write(PERF_ORDERS, &count, sizeof count);
  return rc == 0 ? 0 : tool_fail("no order: %s", strerror(-rc));
}

int perf_take_order(uint64_t* count) {
  ssize_t n;
  do n = read(PERF_ORDERS, count, sizeof *count); /* as it was written */
  while (n < 0 && errno == EINTR);
  return n == sizeof *count ? 0 : tool_fail("the receiver orders no more");
}

uint64_t perf_order(const perf_side_t* side, uint64_t warm_ns) {
  const perf_job_t* job = &side->job;
  if (job->count > 0) return job->count;
  double share = PERF_RUN_MS * 1e6 / (double) (warm_ns > 0 ? warm_ns : 1);
  double count = (double) job->warmup * share;
  if (count < 2) return 2;
  return count > (double) MOST ? MOST : (uint64_t) count;
}

void perf_wall_start(perf_side_t* side) {
  side->since_ns = perf_now();
}

void perf_wall_stop(perf_side_t* side) {
  side->result.wall_ns = perf_now() - side->since_ns;
}

void perf_cpu_start(perf_side_t* side) {
  side->cpu_since_ns = cpu_now();
}

void perf_cpu_stop(perf_side_t* side) {
  side->result.cpu_ns = cpu_now() - side->cpu_since_ns;
}

static int by_size(const void* a, const void* b) {
  uint64_t x = *(const uint64_t*) a;
  uint64_t y = *(const uint64_t*) b;
  return x < y ? -1 : x > y;
}

/* The smallest sample that `permille` of all do not exceed. */
static uint64_t percentile(const perf_side_t* side, uint64_t permille) {
  uint64_t rank = (side->sampled * permille + 999) / 1000;
  return side->samples[rank > 0 ? rank - 1 : 0];
}

static void rank_samples(perf_side_t* side) {
  if (side->sampled == 0) return;
  qsort(side->samples, side->sampled, sizeof *side->samples, by_size);
  side->result.p50_ns = percentile(side, 500);
  side->result.p99_ns = percentile(side, 990);
  side->result.p999_ns = percentile(side, 999);
}

bool perf_sample(perf_side_t* side, uint64_t ns) {
  side->samples[side->sampled++] = ns;
  return side->sampled == side->result.count;
}

uint64_t perf_deliveries(const perf_job_t* job, uint64_t messages) {
  return job->mode == PERF_FANOUT && !job->filtered ? messages * job->peers
                                                    : messages;
}

bool perf_seen(perf_side_t* side) {
  const perf_job_t* job = &side->job;
  uint64_t warm = perf_deliveries(job, job->warmup);
  side->seen++;
  if (side->seen == warm) {
    perf_cpu_start(side);
    perf_wall_start(side);
  }
  if (side->seen < warm + side->result.count) return false;
  perf_wall_stop(side);
  perf_cpu_stop(side);
  return true;
}

void perf_topic(char out[PERF_TOPIC], uint64_t i) {
  char text[24];
  snprintf(text, sizeof text, "%08u", (unsigned) (i % 100000000));
  memcpy(out, text, PERF_TOPIC);
}

/* A thousand connections are more than many shells allow. */
static void allow_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int perf_tell(perf_side_t* side) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  side->result.peak_kib = (uint64_t) usage.ru_maxrss;
  rank_samples(side);
  int rc = tool_write(side->out, &side->result, sizeof side->result);
  side->told = rc == 0 ? 1 : rc;
  return rc == 0 ? 0 : tool_fail("no result: %s", strerror(-rc));
}

int perf_side_run(const perf_job_t* job, int out) {
  static const perf_play_fn two[PERF_RAW + 1] = {perf_mcq, perf_mcq, perf_mcq,
                                                 perf_zmq, perf_raw};
  static const perf_play_fn many[PERF_RAW + 1] = {
      perf_mcq_many, perf_mcq_many, perf_mcq_many, perf_zmq_many, perf_raw};
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* no one waits for us any more then */
  signal(SIGPIPE, SIG_IGN);
  perf_side_t side = {.job = *job, .out = out};
  if (job->mode == PERF_LATENCY) {
    side.result.count = job->count;
    if (job->role == PERF_SENDER)
      side.samples = tool_alloc(job->count * sizeof *side.samples);
  }
  if (job->peers > 0) {
    side.result.count = perf_deliveries(job, job->count);
    allow_descriptors();
  }
  perf_play_fn play = (job->peers > 0 ? many : two)[job->who];
  int rc = job->paced ? perf_mcq_stalled(&side) : play(&side);
  if (rc == 0 && side.told == 0) rc = perf_tell(&side);
  free(side.samples);
  return rc == 0 ? TOOL_DONE : TOOL_FAILED;
}
