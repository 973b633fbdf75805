/* SPDX-License-Identifier: MIT */
/* Workers in processes of their own, half of them real libzmq, made on demand
 * and killed by the test.  A nursery process forks them, so none inherits
 * anything of the hub.  What each worker was given is counted in memory that
 * all of them share and that outlives them. */
#ifndef TEST_SUPPORT_ZMQ_WORKERS_H
#define TEST_SUPPORT_ZMQ_WORKERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define JOBS_MAX 1000000u
#define ATTEMPTS_MAX 16u
#define WORKERS_MAX 1024u
#define JOB_FRAMES 3 /* header, empty, payload */

/* Both ways; an answer is the header and the payload's sum. */
typedef struct job_head {
  uint32_t job;
  uint32_t attempt;
  uint32_t len; /* of the payload */
} job_head_t;

/* Not a job: its answer tells that all before it are done with. */
#define JOB_SYNC UINT32_MAX

typedef struct ledger {
  _Atomic uint8_t delivered[JOBS_MAX][ATTEMPTS_MAX];
  _Atomic unsigned spoiled; /* jobs that arrived other than they were sent */
  _Atomic pid_t pids[WORKERS_MAX];
} ledger_t;

typedef struct nursery {
  ledger_t* ledger;
  pid_t pid;
  int orders;
} nursery_t;

typedef struct hire {
  uint32_t index; /* its routing id is this number in decimal */
  int backend;    /* of those that are ours */
  bool zmq;
  bool doomed; /* dies as soon as it has begun to connect */
  char uri[128];
} hire_t;

void nursery_open(nursery_t* n);

/* Ends all workers; the ledger stays. */
void nursery_close(nursery_t* n);

void nursery_dispose(nursery_t* n);

void nursery_hire(nursery_t* n, const hire_t* hire);

/* The payload of a job: `len` bytes that depend on its number. */
const char* job_payload(uint32_t job);
#define PAYLOAD_MAX ((uint32_t) 100 << 10)

uint32_t job_sum(const job_head_t* head);

#endif
