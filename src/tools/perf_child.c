/* SPDX-License-Identifier: MIT */
/* Forks a run and collects what it found (see perf_child.h). */
#include "perf_child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void play_and_leave(perf_child_fn play, const void* job, int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  perf_found_t found = {0};
  int rc = play(job, &found);
  if (rc == 0) rc = tool_write(out, &found, sizeof found);
  _exit(rc == 0 ? TOOL_DONE : TOOL_FAILED);
}

static int collect(int in, perf_found_t* out) {
  char* at = (char*) out;
  size_t left = sizeof *out;
  while (left > 0) {
    ssize_t n = read(in, at, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return tool_fail("a run ended without a result");
    at += n;
    left -= (size_t) n;
  }
  return 0;
}

int perf_child(perf_child_fn play, const void* job, perf_found_t* out) {
  int ends[2];
  if (pipe(ends) != 0) return tool_fail("no pipe: %s", strerror(errno));
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    play_and_leave(play, job, ends[1]);
  }
  close(ends[1]);
  int rc = pid < 0 ? tool_fail("no process: %s", strerror(errno))
                   : collect(ends[0], out);
  close(ends[0]);
  if (pid > 0) waitpid(pid, NULL, 0);
  return rc;
}
