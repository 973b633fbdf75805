/* SPDX-License-Identifier: MIT */
/* Binding on tcp.  The descriptor is our own rather than a uv_tcp_t's, which
 * would tell errors of bind and listen only later; accepting is
 * stream_listen.c's. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/tcp.h"

/* Lets others listen there too, if they do the same. */
static bool share_port(int fd) {
#ifdef SO_REUSEPORT
  int on = 1;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
#else
  (void) fd;
  errno = ENOTSUP;
  return false;
#endif
}

/* Whoever arrives over that processor is ours, of those who share the port. */
static bool prefer_arrivals(int fd, int cpu) {
#ifdef SO_INCOMING_CPU
  return setsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, sizeof cpu) == 0;
#else
  (void) fd;
  (void) cpu;
  errno = ENOTSUP;
  return false;
#endif
}

static int bind_to(const mcq__address_t* a, const mcq__listener_t* l) {
  int fd = mcq__stream_socket(a->any.sa_family);
  if (fd < 0) return fd;
  int on = 1;
  int off = 0;
  mcq__tcp_family.begin(fd, &a->any);
  bool good =
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      (!l->reuse_port || share_port(fd)) &&
      (l->incoming_cpu <= 0 || prefer_arrivals(fd, l->incoming_cpu - 1)) &&
      (a->any.sa_family != AF_INET6 ||
       setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
      bind(fd, &a->any, mcq__address_size(a)) == 0 &&
      listen(fd, l->backlog) == 0;
  if (good) return fd;
  int code = uv_translate_sys_error(errno);
  close(fd);
  return code;
}

/* Both families through one socket, or IPv4 where the system has no other. */
static int bind_to_all(const mcq__listener_t* l) {
  mcq__address_t all;
  mcq__address_wildcard(&all, AF_INET6, l->endpoint.port);
  int fd = bind_to(&all, l);
  if (fd >= 0 || fd == UV_EADDRINUSE || fd == UV_EACCES) return fd;
  mcq__address_wildcard(&all, AF_INET, l->endpoint.port);
  return bind_to(&all, l);
}

static int bind_endpoint(const mcq__listener_t* l) {
  if (l->endpoint.wildcard) return bind_to_all(l);
  mcq__address_t a;
  int rc = mcq__address_local(&a, l->endpoint.host, l->endpoint.port);
  return rc != 0 ? rc : bind_to(&a, l);
}

static int read_address(int fd, char out[MCQ__ENDPOINT_MAX]) {
  mcq__address_t a;
  socklen_t size = sizeof a;
  if (getsockname(fd, &a.any, &size) != 0) return uv_translate_sys_error(errno);
  mcq__address_text(&a, out);
  return 0;
}

int mcq__tcp_listen(mcq__listener_t* l) {
  int fd = bind_endpoint(l);
  if (fd < 0) return fd;
  mcq__door_t* door = NULL;
  int rc = read_address(fd, l->address);
  if (rc == 0) {
    door = mcq__new(l->io->mem, mcq__door_t);
    if (door == NULL) rc = MCQ_ENOMEM;
  }
  if (rc != 0) {
    close(fd);
    return rc;
  }
  return mcq__door_open(door, l, &mcq__tcp_family, fd);
}
