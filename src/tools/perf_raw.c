/* SPDX-License-Identifier: MIT */
/* Plain TCP, or a plain AF_UNIX stream, as a contender: the same bytes without
 * any protocol, by blocking calls in large pieces.  What the machine can do at
 * best. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* The clock runs from the first of `count` messages to the last. */
static int receive(perf_side_t* side, int fd, char* buf, uint64_t count) {
  size_t size = side->job.size;
  int rc = perf_give_order(count);
  if (rc == 0) rc = swallow(fd, buf, size);
  perf_wall_start(side);
  if (rc == 0) rc = swallow(fd, buf, (count - 1) * size);
  perf_wall_stop(side);
  return rc;
}

static int receiver(perf_side_t* side, int fd, char* buf) {
  int rc = receive(side, fd, buf, side->job.warmup);
  if (rc != 0) return rc;
  uint64_t count = perf_order(side, side->result.wall_ns);
  side->result.count = count;
  perf_cpu_start(side);
  rc = receive(side, fd, buf, count);
  perf_cpu_stop(side);
  return rc != 0 ? rc : perf_give_order(0);
}

static int sender(perf_side_t* side, int fd, const char* body) {
  for (int orders = 1;; orders++) {
    uint64_t count = 0;
    int rc = perf_take_order(&count);
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

typedef union address {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_un un;
} address_t;

/* That of perf_address, and how long it is. */
static socklen_t find(const perf_job_t* job, address_t* out) {
  memset(out, 0, sizeof *out);
  if (job->transport == PERF_TCP) {
    bool listens = perf_listens(job->mode, job->role);
    out->in.sin_family = AF_INET;
    out->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    out->in.sin_port = htons(listens ? 0 : (uint16_t) job->port);
    return sizeof out->in;
  }
  char uri[PERF_ADDRESS];
  perf_address(job, uri);
  const char* name = strchr(uri, '@') + 1; /* abstract: after a NUL */
  size_t len = strlen(name);
  out->un.sun_family = AF_UNIX;
  memcpy(out->un.sun_path + 1, name, len);
  return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

static int accept_one(perf_side_t* side, int listener) {
  address_t at;
  socklen_t len = find(&side->job, &at);
  if (bind(listener, &at.any, len) != 0 || listen(listener, 1) != 0 ||
      getsockname(listener, &at.any, &len) != 0)
    return -1;
  uint32_t port = side->job.port;
  if (side->job.transport == PERF_TCP) port = ntohs(at.in.sin_port);
  if (perf_listening(side, port) != 0) return -1;
  int fd = accept(listener, NULL, NULL);
  close(listener);
  return fd;
}

static int connect_one(perf_side_t* side, int fd) {
  address_t to;
  socklen_t len = find(&side->job, &to);
  return connect(fd, &to.any, len) == 0 ? fd : -1;
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

/* It stands for what the kernel can do, so nothing is spaced out: the same that
 * the library does within a machine. */
static void hurry(int fd) {
#ifdef TCP_CONGESTION
  static const char plain[] = "reno";
  char name[16] = "";
  socklen_t size = sizeof name;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size) == 0 &&
      strncmp(name, "bbr", 3) == 0)
    (void) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plain, sizeof plain - 1);
#else
  (void) fd;
#endif
}

int perf_raw(perf_side_t* side) {
  bool is_tcp = side->job.transport == PERF_TCP;
  int fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed("socket");
  if (is_tcp) hurry(fd);
  fd = side->job.role == PERF_SENDER ? connect_one(side, fd)
                                     : accept_one(side, fd);
  int on = 1;
  if (fd < 0 ||
      (is_tcp && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0))
    return failed("connection");
  int rc = play(side, fd);
  close(fd);
  return rc;
}
