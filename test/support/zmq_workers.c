/* SPDX-License-Identifier: MIT */
/* The worker processes (see zmq_workers.h): a DEALER of ours or of libzmq that
 * notes what it gets and answers it. */
#include "support/zmq_workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <zmq.h>

#include "support/zmq_match.h"

#define SHIFTS 251

static char pattern[PAYLOAD_MAX + SHIFTS];

const char* job_payload(uint32_t job) {
  return pattern + job % SHIFTS;
}

uint32_t job_sum(const job_head_t* head) {
  return head->job * 2654435761u ^ head->attempt << 20 ^ head->len;
}

/* Before anything is answered: what was delivered stays on record even when
 * the worker dies at once. */
static void note(ledger_t* ledger, const job_head_t* head, const void* payload,
                 size_t len) {
  if (head->job == JOB_SYNC) return;
  if (head->job >= JOBS_MAX || head->attempt >= ATTEMPTS_MAX ||
      len != head->len || memcmp(payload, job_payload(head->job), len) != 0) {
    atomic_fetch_add(&ledger->spoiled, 1);
    return;
  }
  atomic_fetch_add(&ledger->delivered[head->job][head->attempt], 1);
}

/* ---- libzmq's ------------------------------------------------------------ */

static void zmq_work(ledger_t* ledger, void* s) {
  static char payload[PAYLOAD_MAX + 1];
  job_head_t head;
  MUST(zmq_recv(s, &head, sizeof head, 0) == sizeof head);
  MUST(zmq_recv(s, payload, sizeof payload, 0) == 0);
  int len = zmq_recv(s, payload, sizeof payload, 0);
  MUST(len >= 0);
  int more;
  size_t more_len = sizeof more;
  zmq_getsockopt(s, ZMQ_RCVMORE, &more, &more_len);
  MUST(!more);
  note(ledger, &head, payload, (size_t) len);
  uint32_t sum = job_sum(&head);
  MUST(zmq_send(s, &head, sizeof head, ZMQ_SNDMORE) == sizeof head);
  MUST(zmq_send(s, &sum, sizeof sum, 0) == sizeof sum);
}

static void run_zmq(ledger_t* ledger, const hire_t* hire, const char* name) {
  int small = 32 << 10;
  void* s = zmq_socket(zmq_ctx_new(), ZMQ_DEALER);
  MUST(s != NULL);
  zmq_setsockopt(s, ZMQ_ROUTING_ID, name, strlen(name));
  /* Some take little, so that their queues grow at the hub. */
  if (hire->index % 4 < 2) zmq_setsockopt(s, ZMQ_RCVBUF, &small, sizeof small);
  MUST(zmq_connect(s, hire->uri) == 0);
  if (hire->doomed) raise(SIGKILL);
  for (;;) zmq_work(ledger, s);
}

/* ---- ours ---------------------------------------------------------------- */

static void work(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  job_head_t head;
  mcq_frame_t first = mcq_msg_frame(msg, 0);
  mcq_frame_t payload = mcq_msg_frame(msg, 2);
  MUST(mcq_msg_count(msg) == JOB_FRAMES && first.len == sizeof head);
  MUST(mcq_msg_frame(msg, 1).len == 0);
  memcpy(&head, first.data, sizeof head);
  note((ledger_t*) mcq_socket_data(s), &head, payload.data, payload.len);
  uint32_t sum = job_sum(&head);
  mcq_frame_t answer[2] = {{&head, sizeof head}, {&sum, sizeof sum}};
  MUST(mcq_send(s, answer, 2) == 0);
}

static void run_ours(ledger_t* ledger, const hire_t* hire, const char* name) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  mcq_ctx_options_t seat = {.backend = hire->backend};
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .data = ledger,
                            .routing_id = name,
                            .routing_id_len = strlen(name),
                            .sndhwm = -1,
                            .on_message = work};
  uv_loop_init(&loop);
  MUST(mcq_ctx_new(&loop, &seat, &ctx) == 0);
  MUST(mcq_socket_new(ctx, &o, &s) == 0);
  MUST(mcq_connect(s, hire->uri, NULL, NULL) == 0);
  if (hire->doomed) {
    uv_run(&loop, UV_RUN_ONCE);
    raise(SIGKILL);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- the nursery --------------------------------------------------------- */

static void run_worker(ledger_t* ledger, const hire_t* hire, pid_t nursery) {
  char name[16];
  snprintf(name, sizeof name, "%u", hire->index);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != nursery) return; /* died before */
  atomic_store(&ledger->pids[hire->index], getpid());
  if (hire->zmq)
    run_zmq(ledger, hire, name);
  else
    run_ours(ledger, hire, name);
}

static void run_nursery(ledger_t* ledger, int orders) {
  hire_t hire;
  pid_t self = getpid();
  signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
  while (read(orders, &hire, sizeof hire) == sizeof hire) {
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
      close(orders);
      run_worker(ledger, &hire, self);
      _exit(0);
    }
  }
}

void nursery_open(nursery_t* n) {
  int pipes[2];
  for (size_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (char) (i * i % SHIFTS + i / SHIFTS);
  void* memory = mmap(NULL, sizeof(ledger_t), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(memory != MAP_FAILED && pipe(pipes) == 0);
  n->ledger = (ledger_t*) memory;
  n->orders = pipes[1];
  n->pid = fork_peer();
  if (n->pid != 0) {
    close(pipes[0]);
    return;
  }
  close(pipes[1]);
  run_nursery(n->ledger, pipes[0]);
  _exit(0);
}

void nursery_close(nursery_t* n) {
  close(n->orders);
  join_peer(n->pid);
}

void nursery_dispose(nursery_t* n) {
  munmap(n->ledger, sizeof *n->ledger);
}

void nursery_hire(nursery_t* n, const hire_t* hire) {
  MUST(hire->index < WORKERS_MAX);
  MUST(write(n->orders, hire, sizeof *hire) == sizeof *hire);
}
