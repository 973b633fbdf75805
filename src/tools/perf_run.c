/* SPDX-License-Identifier: MIT */
/* Starts this very program twice, as receiver and sender, and collects their
 * results through a pipe each.  Fresh processes, so that peak memory and
 * processor time belong to the run alone. */
#include "perf_run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

enum {
  PATIENCE_MS = 30000, /* for a run that should take half a second */
  FIELDS = 15          /* of a job on a command line */
};

static const char side_word[] = "--side";

typedef struct process {
  pid_t pid;
  int out;      /* reads what it reports; -1 when not started */
  size_t heard; /* bytes of the report in hand */
} process_t;

/* ---- processes ----------------------------------------------------------- */

static int spawn_with(process_t* p, char** argv, int out, int orders) {
  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions) != 0) return ENOMEM;
  int rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (rc == 0)
    rc = posix_spawn_file_actions_adddup2(&actions, orders, PERF_ORDERS);
  if (rc == 0)
    rc = posix_spawn(&p->pid, "/proc/self/exe", &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  return rc;
}

/* `orders` is its end of the pipe for them. */
static int start(process_t* p, const perf_job_t* job, int orders) {
  char job_text[192];
  snprintf(job_text, sizeof job_text,
           "%d,%d,%d,%d,%d,%zu,%" PRIu64 ",%" PRIu64 ",%" PRIu32
           ",%zu,%zu,%" PRIu32 ",%d,%d,%zu",
           (int) job->mode, (int) job->role, (int) job->who, (int) job->types,
           (int) job->transport, job->size, job->count, job->warmup, job->port,
           job->peers, job->outstanding, job->spin_us, job->filtered,
           job->paced, job->stalled);
  char name[] = "mcqperf";
  char word[sizeof side_word];
  memcpy(word, side_word, sizeof side_word);
  char* argv[] = {name, word, job_text, NULL};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return tool_fail("no pipe: %s", strerror(errno));
  int rc = spawn_with(p, argv, ends[1], orders);
  close(ends[1]);
  p->out = ends[0];
  if (rc == 0) return 0;
  close(p->out);
  p->out = -1;
  return tool_fail("cannot start a process: %s", strerror(rc));
}

static void stop(process_t* p) {
  if (p->out < 0) return;
  kill(p->pid, SIGKILL);
  waitpid(p->pid, NULL, 0);
  close(p->out);
  p->out = -1;
}

/* Reads what there is of the `len` bytes it is to report. */
static int hear(process_t* p, void* buf, size_t len) {
  ssize_t n = read(p->out, (char*) buf + p->heard, len - p->heard);
  if (n < 0 && errno == EINTR) return 0;
  if (n <= 0) return tool_fail("a side ended without a result");
  p->heard += (size_t) n;
  return 0;
}

/* ---- a run --------------------------------------------------------------- */

static int wait_for(struct pollfd* fds, nfds_t count, int patience_ms) {
  int rc = poll(fds, count, patience_ms);
  if (rc == 0) return tool_fail("no result after %d ms", patience_ms);
  return rc > 0 || errno == EINTR ? 0 : tool_fail("poll: %s", strerror(errno));
}

static int hear_port(process_t* listener, uint32_t* port) {
  while (listener->heard < sizeof *port) {
    struct pollfd fd = {.fd = listener->out, .events = POLLIN};
    int rc = wait_for(&fd, 1, PATIENCE_MS);
    if (rc == 0 && fd.revents != 0) rc = hear(listener, port, sizeof *port);
    if (rc != 0) return rc;
  }
  listener->heard = 0;
  return 0;
}

/* Both at once: when one dies, the other may wait for ever. */
static int hear_results(process_t* receiver, process_t* sender, perf_run_t* out,
                        int patience_ms) {
  const size_t len = sizeof(perf_result_t);
  while (receiver->heard < len || sender->heard < len) {
    struct pollfd fds[2] = {
        {.fd = receiver->heard < len ? receiver->out : -1, .events = POLLIN},
        {.fd = sender->heard < len ? sender->out : -1, .events = POLLIN}};
    int rc = wait_for(fds, 2, patience_ms);
    if (rc == 0 && fds[0].revents != 0)
      rc = hear(receiver, &out->receiver, len);
    if (rc == 0 && fds[1].revents != 0) rc = hear(sender, &out->sender, len);
    if (rc != 0) return rc;
  }
  return 0;
}

static int play(const perf_job_t* job, process_t* receiver, process_t* sender,
                const int orders[2], perf_run_t* out) {
  static uint32_t names; /* of ipc endpoints */
  perf_job_t side = *job;
  side.port = names++;
  bool sender_listens = perf_listens(job->mode, PERF_SENDER);
  process_t* first = sender_listens ? sender : receiver;
  side.role = sender_listens ? PERF_SENDER : PERF_RECEIVER;
  int rc = start(first, &side, orders[!sender_listens]);
  if (rc == 0) rc = hear_port(first, &side.port);
  if (rc != 0) return rc;
  side.role = sender_listens ? PERF_RECEIVER : PERF_SENDER;
  rc = start(sender_listens ? receiver : sender, &side, orders[sender_listens]);
  if (rc != 0) return rc;
  return hear_results(receiver, sender, out, job->patient ? -1 : PATIENCE_MS);
}

int perf_run(const perf_job_t* job, perf_run_t* out) {
  process_t receiver = {.out = -1};
  process_t sender = {.out = -1};
  int orders[2]; /* the sender reads, the receiver writes */
  if (pipe2(orders, O_CLOEXEC) != 0)
    return tool_fail("no pipe: %s", strerror(errno));
  int rc = play(job, &receiver, &sender, orders, out);
  close(orders[0]);
  close(orders[1]);
  stop(&sender);
  stop(&receiver);
  return rc;
}

static bool read_job(const char* text, perf_job_t* job) {
  int mode, role, who, types, transport, filtered, paced;
  *job = (perf_job_t){0};
  int n =
      sscanf(text,
             "%d,%d,%d,%d,%d,%zu,%" SCNu64 ",%" SCNu64 ",%" SCNu32
             ",%zu,%zu,%" SCNu32 ",%d,%d,%zu",
             &mode, &role, &who, &types, &transport, &job->size, &job->count,
             &job->warmup, &job->port, &job->peers, &job->outstanding,
             &job->spin_us, &filtered, &paced, &job->stalled);
  if (n != FIELDS || who < 0 || who > PERF_RAW) return false;
  if (mode < 0 || mode >= PERF_MODE_COUNT) return false;
  if (types < 0 || types >= PERF_TYPES_COUNT) return false;
  if (transport < 0 || transport >= PERF_TRANSPORT_COUNT) return false;
  job->types = (perf_types_t) types;
  job->transport = (perf_transport_t) transport;
  job->mode = (perf_mode_t) mode;
  job->filtered = filtered != 0;
  job->paced = paced != 0;
  job->role = role == PERF_SENDER ? PERF_SENDER : PERF_RECEIVER;
  job->who = (perf_who_t) who;
  return true;
}

bool perf_run_is_side(int argc, char** argv, int* code) {
  perf_job_t job;
  if (argc != 3 || strcmp(argv[1], side_word) != 0) return false;
  if (read_job(argv[2], &job))
    *code = perf_side_run(&job, STDOUT_FILENO);
  else
    *code = tool_misuse("%s is for mcqperf itself", side_word);
  return true;
}
