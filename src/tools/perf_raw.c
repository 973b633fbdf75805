/* SPDX-License-Identifier: MIT */
/* Plain TCP as a contender: the same bytes without any protocol, by blocking
 * calls in large pieces.  What the machine can do at best. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf_side.h"

enum { WRITE_SIZE = 64 * 1024, READ_SIZE = 256 * 1024 };

static int failed(const char* what) {
  return tool_fail("raw: %s: %s", what, strerror(errno));
}

/* One read of at most `len` bytes into `buf`; 0 at the end, or -1. */
static ssize_t read_some(int fd, char* buf, size_t len) {
  for (;;) {
    ssize_t n = read(fd, buf, len);
    if (n >= 0 || errno != EINTR) return n;
  }
}

static int read_all(int fd, void* buf, size_t len) {
  char* at = buf;
  while (len > 0) {
    ssize_t n = read_some(fd, at, len);
    if (n <= 0) return failed("read");
    at += n;
    len -= (size_t) n;
  }
  return 0;
}

static int write_all(int fd, const void* buf, size_t len) {
  int rc = tool_write(fd, buf, len);
  return rc != 0 ? tool_fail("raw: write: %s", strerror(-rc)) : 0;
}

/* ---- throughput ---------------------------------------------------------- */

/* Reads `left` bytes and forgets them. */
static int swallow(int fd, char* buf, uint64_t left) {
  while (left > 0) {
    ssize_t n = read_some(fd, buf, left < READ_SIZE ? left : READ_SIZE);
    if (n <= 0) return failed("read");
    left -= (uint64_t) n;
  }
  return 0;
}

static int order(int fd, uint64_t count) {
  return write_all(fd, &count, sizeof count);
}

static int receiver(perf_side_t* side, int fd, char* buf) {
  size_t size = side->job.size;
  int rc = order(fd, side->job.warmup);
  perf_wall_start(side);
  if (rc == 0) rc = swallow(fd, buf, side->job.warmup * size);
  if (rc != 0) return rc;
  perf_wall_stop(side);
  uint64_t count = perf_order(side, side->result.wall_ns);
  side->result.count = count;
  perf_cpu_start(side);
  rc = order(fd, count);
  if (rc == 0) rc = swallow(fd, buf, size);
  perf_wall_start(side);
  if (rc == 0) rc = swallow(fd, buf, (count - 1) * size);
  perf_wall_stop(side);
  perf_cpu_stop(side);
  return rc != 0 ? rc : order(fd, 0);
}

static int sender(perf_side_t* side, int fd, const char* body) {
  for (int orders = 1;; orders++) {
    uint64_t count = 0;
    int rc = read_all(fd, &count, sizeof count);
    if (rc != 0) return rc;
    if (count == 0) break;
    if (orders == 2) {
      perf_cpu_start(side);
      side->result.count = count;
    }
    for (uint64_t left = count * side->job.size; left > 0;) {
      size_t n = left < WRITE_SIZE ? (size_t) left : WRITE_SIZE;
      rc = write_all(fd, body, n);
      if (rc != 0) return rc;
      left -= n;
    }
  }
  perf_cpu_stop(side);
  return 0;
}

/* ---- latency ------------------------------------------------------------- */

static int echo(perf_side_t* side, int fd, char* buf) {
  const perf_job_t* job = &side->job;
  int rc = 0;
  for (uint64_t i = 0; rc == 0 && i < job->warmup + job->count; i++) {
    if (i == job->warmup) perf_cpu_start(side);
    rc = read_all(fd, buf, job->size);
    if (rc == 0) rc = write_all(fd, buf, job->size);
  }
  perf_cpu_stop(side);
  return rc;
}

static int ask(perf_side_t* side, int fd, char* buf) {
  for (uint64_t i = 0;; i++) {
    if (i == side->job.warmup) perf_cpu_start(side);
    uint64_t asked = perf_now();
    int rc = write_all(fd, buf, side->job.size);
    if (rc == 0) rc = read_all(fd, buf, side->job.size);
    if (rc != 0) return rc;
    uint64_t took = perf_now() - asked;
    if (i >= side->job.warmup && perf_sample(side, took)) break;
  }
  perf_cpu_stop(side);
  return 0;
}

/* ---- both ---------------------------------------------------------------- */

static int accept_one(perf_side_t* side, int listener) {
  struct sockaddr_in at = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  if (bind(listener, (struct sockaddr*) &at, sizeof at) != 0 ||
      listen(listener, 1) != 0 ||
      getsockname(listener, (struct sockaddr*) &at, &len) != 0 ||
      perf_listening(side, ntohs(at.sin_port)) != 0)
    return -1;
  int fd = accept(listener, NULL, NULL);
  close(listener);
  return fd;
}

static int connect_one(perf_side_t* side, int fd) {
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                           .sin_port = htons((uint16_t) side->job.port)};
  return connect(fd, (struct sockaddr*) &to, sizeof to) == 0 ? fd : -1;
}

static int play(perf_side_t* side, int fd) {
  bool is_sender = side->job.role == PERF_SENDER;
  size_t size = side->job.size > READ_SIZE ? side->job.size : READ_SIZE;
  char* buf = tool_alloc(size);
  memset(buf, 'm', size);
  int rc;
  if (side->job.mode == PERF_LATENCY)
    rc = is_sender ? ask(side, fd, buf) : echo(side, fd, buf);
  else
    rc = is_sender ? sender(side, fd, buf) : receiver(side, fd, buf);
  free(buf);
  return rc;
}

int perf_raw(perf_side_t* side) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed("socket");
  fd = side->job.role == PERF_SENDER ? connect_one(side, fd)
                                     : accept_one(side, fd);
  int on = 1;
  if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
    return failed("connection");
  int rc = play(side, fd);
  close(fd);
  return rc;
}
