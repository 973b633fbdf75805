/* SPDX-License-Identifier: MIT */
/* Guests of the soak that are processes of their own (see soak.h): made by a
 * nursery that was forked before anything was opened, so that none inherits a
 * descriptor; ours, and strangers that know little of the protocol. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/soak.h"

#define CHILDREN 256

/* ---- bad manners --------------------------------------------------------- */

void soak_misbehave(soak_manner_t manner) {
  if (manner == SOAK_KILLED) raise(SIGKILL);
  if (manner == SOAK_STOPPED) raise(SIGSTOP);
  for (;;) pause(); /* to be ended by the nursery */
}

/* ---- ours ---------------------------------------------------------------- */

typedef struct visit {
  const soak_guest_t* guest;
  uv_loop_t loop;
  uv_timer_t tick, end;
  mcq_ctx_t* ctx;
  soak_talker_t talker;
  test_random_t random;
} visit_t;

static void visit_tick(uv_timer_t* tick) {
  soak_talk(&((visit_t*) tick->data)->talker);
}

static void visit_end(uv_timer_t* end) {
  visit_t* v = (visit_t*) end->data;
  mcq_frame_t large = {soak_bytes(), SOAK_LARGEST};
  if (v->guest->manner == SOAK_POLITE) {
    uv_close((uv_handle_t*) &v->tick, NULL);
    uv_close((uv_handle_t*) &v->end, NULL);
    soak_close(&v->talker);
    mcq_ctx_close(v->ctx, NULL);
    return;
  }
  if (v->guest->manner == SOAK_DEAF && soak_one_in(&v->random, 2)) {
    /* It goes on to answer heartbeats, and to talk. */
    (void) mcq_pause(v->talker.s);
    v->talker.paused = false;
    return;
  }
  (void) mcq_send(v->talker.s, &large, 1);
  if (v->guest->manner == SOAK_KILLED) (void) uv_run(&v->loop, UV_RUN_NOWAIT);
  soak_misbehave(v->guest->manner);
}

static void pay_visit(const soak_guest_t* guest) {
  static visit_t v;
  mcq_ctx_options_t o = {.backend = guest->backend};
  v.guest = guest;
  v.random.state = guest->seed;
  SOAK_MUST(uv_loop_init(&v.loop) == 0);
  SOAK_MUST(mcq_ctx_new(&v.loop, &o, &v.ctx) == 0);
  soak_open(&v.talker, v.ctx, guest->type, false, &v.random);
  SOAK_MUST(mcq_connect(v.talker.s, guest->uri, NULL, NULL) == 0);
  uv_timer_init(&v.loop, &v.tick);
  uv_timer_init(&v.loop, &v.end);
  v.tick.data = v.end.data = &v;
  uv_timer_start(&v.tick, visit_tick, 3, 3);
  uv_timer_start(&v.end, visit_end, guest->ms, 0);
  (void) uv_run(&v.loop, UV_RUN_DEFAULT);
  SOAK_MUST(uv_loop_close(&v.loop) == 0);
}

/* ---- strangers ----------------------------------------------------------- */

static int call_at(const char* uri) {
  union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_un un;
  } at;
  socklen_t len;
  memset(&at, 0, sizeof at);
  if (strncmp(uri, "ipc://", 6) == 0) {
    at.un.sun_family = AF_UNIX;
    snprintf(at.un.sun_path, sizeof at.un.sun_path, "%.100s", uri + 6);
    len = sizeof at.un;
  } else {
    at.in.sin_family = AF_INET;
    at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.in.sin_port = htons((uint16_t) atoi(strrchr(uri, ':') + 1));
    len = sizeof at.in;
  }
  int fd = socket(at.any.sa_family, SOCK_STREAM, 0);
  SOAK_MUST(fd >= 0);
  SOAK_MUST(connect(fd, &at.any, len) == 0);
  return fd;
}

static void tell(int fd, const void* bytes, size_t len) {
  /* It may have been shown out. */
  (void) send(fd, bytes, len, MSG_NOSIGNAL);
}

/* A greeting, READY, and the beginning of a message that is never complete:
 * all of that, or as much as it likes. */
static void pester(const soak_guest_t* guest, test_random_t* random) {
  static const char type[] = "DEALER";
  uint8_t bytes[256] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                        1,    0x7f, 3, 1, 'N', 'U', 'L', 'L'};
  size_t len = 64;
  bytes[len++] = 4; /* a short command */
  bytes[len++] = 6 + 1 + 11 + 4 + sizeof type - 1;
  len +=
      (size_t) snprintf((char*) bytes + len, 64, "%cREADY%cSocket-Type", 5, 11);
  len += 3;
  bytes[len++] = sizeof type - 1;
  memcpy(bytes + len, type, sizeof type - 1);
  len += sizeof type - 1;
  bytes[len++] = 2; /* a long frame, of a megabyte */
  bytes[len + 5] = 0x10;
  len += 8 + 50;
  if (soak_one_in(random, 3)) len = test_random_below(random, len);
  if (soak_one_in(random, 5))
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t) test_random(random);
  int fd = call_at(guest->uri);
  tell(fd, bytes, len);
  (void) poll(NULL, 0, (int) guest->ms);
  struct linger hard = {1, 0};
  if (soak_one_in(random, 2))
    (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  if (guest->manner == SOAK_DEAF || guest->manner == SOAK_STOPPED)
    soak_misbehave(guest->manner);
  close(fd);
}

/* ---- the nursery --------------------------------------------------------- */

static pid_t children[CHILDREN];

/* Who has left, or all of them.  Nobody's number is anybody else's before he
 * was waited for. */
static void reap(bool all) {
  for (size_t i = 0; i < CHILDREN; i++) {
    if (children[i] == 0) continue;
    if (all) kill(children[i], SIGKILL);
    int status = 0;
    pid_t done = waitpid(children[i], &status, all ? 0 : WNOHANG);
    if (done == 0 || (done < 0 && errno == EINTR)) continue;
    children[i] = 0;
    SOAK_MUST(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
                                  : WEXITSTATUS(status) == 0);
  }
}

static void receive(const soak_guest_t* guest, pid_t nursery) {
  test_random_t random = {guest->seed};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != nursery) return;
  switch (guest->who) {
    case SOAK_OURS:
      pay_visit(guest);
      break;
    case SOAK_ZMQ:
      soak_guest_zmq(guest);
      break;
    case SOAK_STRANGER:
      pester(guest, &random);
      break;
  }
}

static void make_room(const soak_guest_t* guest, int orders, int answers) {
  pid_t self = getpid();
  size_t i = 0;
  reap(false);
  while (i < CHILDREN && children[i] != 0) i++;
  if (i == CHILDREN) return; /* full house */
  children[i] = fork();
  SOAK_MUST(children[i] >= 0);
  if (children[i] > 0) return;
  close(orders);
  close(answers);
  receive(guest, self);
  _exit(0);
}

static void run_nursery(int orders, int answers) {
  soak_guest_t guest;
  while (read(orders, &guest, sizeof guest) == sizeof guest) {
    if (guest.uri[0] != '\0') {
      make_room(&guest, orders, answers);
      continue;
    }
    reap(true);
    SOAK_MUST(write(answers, "", 1) == 1);
  }
  reap(true);
}

void soak_nursery_open(soak_nursery_t* n) {
  int to[2];
  int from[2];
  pid_t parent = getpid();
  SOAK_MUST(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
  fflush(stdout);
  n->pid = fork();
  SOAK_MUST(n->pid >= 0);
  n->orders = to[1];
  n->answers = from[0];
  if (n->pid > 0) {
    close(to[0]);
    close(from[1]);
    return;
  }
  close(to[1]);
  close(from[0]);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  run_nursery(to[0], from[1]);
  _exit(0);
}

void soak_nursery_close(soak_nursery_t* n) {
  int status;
  close(n->orders);
  close(n->answers);
  SOAK_MUST(waitpid(n->pid, &status, 0) == n->pid);
  SOAK_MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void soak_invite(const soak_nursery_t* n, const soak_guest_t* guest) {
  SOAK_MUST(write(n->orders, guest, sizeof *guest) == sizeof *guest);
}

void soak_send_home(const soak_nursery_t* n) {
  soak_guest_t none = {.uri = ""};
  soak_invite(n, &none);
}

#ifndef HAVE_ZMQ
bool soak_has_zmq(void) {
  return false;
}

void soak_guest_zmq(const soak_guest_t* guest) {
  (void) guest;
}
#endif
