/* SPDX-License-Identifier: MIT */
/* The processes of the tests beside libzmq (see zmq_process.h).  Knows nothing
 * of sockets. */
#include "support/zmq_process.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

static pid_t alive[16];
#define ALIVE (sizeof alive / sizeof *alive)

pid_t fork_peer(void) {
  size_t i = 0;
  while (i < ALIVE && alive[i] != 0) i++;
  assert_true(i < ALIVE);
  pid_t parent = getpid();
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(3);
    return 0;
  }
  assert_true(child > 0);
  alive[i] = child;
  return child;
}

static void forget(pid_t child) {
  for (size_t i = 0; i < ALIVE; i++)
    if (alive[i] == child) alive[i] = 0;
}

void join_peer(pid_t child) {
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  forget(child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

void leave_peer(pid_t child) {
  kill(child, SIGKILL);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  forget(child);
}

int kill_peers(void** state) {
  (void) state;
  for (size_t i = 0; i < ALIVE; i++) {
    if (alive[i] != 0) leave_peer(alive[i]);
  }
  return 0;
}

void duo_open(duo_t* d, duo_life_cb life, const void* arg) {
  int to_them[2];
  int to_us[2];
  assert_int_equal(pipe(to_them), 0);
  assert_int_equal(pipe(to_us), 0);
  d->child = fork_peer();
  if (d->child == 0) {
    close(to_them[1]);
    close(to_us[0]);
    _exit(life(arg, to_them[0], to_us[1]));
  }
  close(to_them[0]);
  close(to_us[1]);
  d->in = to_us[0];
  d->out = to_them[1];
}

void duo_close(duo_t* d) {
  close(d->out);
  close(d->in);
  join_peer(d->child);
}

void uri_tell(int out, const char* uri) {
  char bytes[URI_MAX] = {0};
  MUST(strlen(uri) < sizeof bytes);
  memcpy(bytes, uri, strlen(uri));
  MUST(write(out, bytes, sizeof bytes) == sizeof bytes);
}

bool uri_hear(int in, char uri[URI_MAX]) {
  return read(in, uri, URI_MAX) == URI_MAX;
}
