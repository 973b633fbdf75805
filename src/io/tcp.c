/* SPDX-License-Identifier: MIT */
/* The tcp transport: its table, and what is special about its connections.
 * Binding is in tcp_listen.c, looking up and connecting in tcp_dial.c; the
 * rest it shares (see stream.h).  No byte of a connection passes through
 * here. */
#include "io/tcp.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* True when what it sends does not leave this machine. */
static bool is_here(int fd) {
  mcq__address_t to;
  mcq__address_t from;
  socklen_t to_size = sizeof to;
  socklen_t from_size = sizeof from;
  return getpeername(fd, &to.any, &to_size) == 0 &&
         getsockname(fd, &from.any, &from_size) == 0 &&
         mcq__address_is_here(&to, &from);
}

/* Linux lets BBR, the default of many servers, space out what is sent, at the
 * rate that it takes the line to have.  Within a machine there is no line, and
 * all that waiting is for nothing: such connections have the plainest of
 * algorithms, which every process may use. */
#ifdef TCP_CONGESTION
static bool dawdles(int fd) {
  char name[16] = "";
  socklen_t size = sizeof name;
  return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size) == 0 &&
         strncmp(name, "bbr", 3) == 0;
}

static void hurry(int fd) {
  static const char plain[] = "reno";
  (void) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plain, sizeof plain - 1);
}
#else
static bool dawdles(int fd) {
  (void) fd;
  return false;
}

static void hurry(int fd) {
  (void) fd;
}
#endif

/* Once BBR has had a connection, what is sent stays spaced out under any
 * algorithm after it, if by less: where the address tells, it never gets it. */
static void begin_tcp(int fd, const struct sockaddr* at) {
  const mcq__address_t* a = (const mcq__address_t*) (const void*) at;
  if (mcq__address_is_loopback(a) && dawdles(fd)) hurry(fd);
}

/* Fails only for a connection that has died already, which reading finds
 * out. */
static void open_tcp(int fd) {
  int on = 1;
  (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (dawdles(fd) && is_here(fd)) hurry(fd);
}

static void origin(const mcq__address_t* peer, mcq__origin_t* out) {
  out->len = (uint8_t) mcq__address_origin(peer, out->bytes);
}

static void text(const mcq__door_t* door, const mcq__address_t* peer,
                 char out[MCQ__ENDPOINT_MAX]) {
  (void) door;
  mcq__address_text(peer, out);
}

const mcq__family_t mcq__tcp_family = {
    .begin = begin_tcp,
    .open = open_tcp,
    .origin = origin,
    .text = text,
    .leave = NULL,
};

const mcq__transport_t mcq__transport_tcp = {
    .scheme = "tcp",
    .pump = NULL,
    .listen = mcq__tcp_listen,
    .unlisten = mcq__door_close,
    .dial = mcq__tcp_dial,
    .hangup = mcq__tcp_hangup,
    .discard = mcq__stream_discard,
};
