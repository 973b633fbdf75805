/* SPDX-License-Identifier: MIT */
/* Clients that are nothing but a descriptor: they connect, say what they are
 * told to, and look whether they were shown the door.  For tests of what a
 * listener does with many of them. */
#ifndef TEST_SUPPORT_STRANGERS_H
#define TEST_SUPPORT_STRANGERS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Bytes that a stranger has room for, when it is to have little. */
static int stranger_room;

/* Closing is a reset: it leaves nothing behind in the system. */
static inline void stranger_hasty(int fd) {
  struct linger now = {1, 0};
  (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* To "tcp://ADDRESS:PORT", from another address of this machine unless that
 * is NULL, or to "ipc://PATH".  The connection is there in the end, or on its
 * way; -1 with errno when there is no descriptor for it. */
static inline int stranger_from(const char* from, const char* uri) {
  bool tcp = strncmp(uri, "tcp://", 6) == 0;
  int fd = socket(tcp ? AF_INET : AF_UNIX,
                  SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (stranger_room != 0)
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &stranger_room,
                      sizeof stranger_room);
  struct sockaddr_in at = {.sin_family = AF_INET};
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  const struct sockaddr* to = (const struct sockaddr*) &at;
  socklen_t size = sizeof at;
  if (tcp) {
    char host[64];
    const char* colon = strrchr(uri, ':');
    snprintf(host, sizeof host, "%.*s", (int) (colon - uri - 6), uri + 6);
    if (from != NULL) {
      assert_int_equal(inet_pton(AF_INET, from, &at.sin_addr), 1);
      assert_int_equal(bind(fd, to, size), 0);
    }
    assert_int_equal(inet_pton(AF_INET, host, &at.sin_addr), 1);
    at.sin_port = htons((uint16_t) atoi(colon + 1));
    stranger_hasty(fd);
  } else {
    snprintf(path.sun_path, sizeof path.sun_path, "%s", uri + 6);
    to = (const struct sockaddr*) &path;
    size = sizeof path;
  }
  if (connect(fd, to, size) != 0 && errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

static inline int stranger(const char* uri) {
  return stranger_from(NULL, uri);
}

/* Whether the other side has ended it. */
static inline bool stranger_out(int fd) {
  uint8_t bytes[4096];
  for (;;) {
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0) continue;
    return n == 0 || (errno != EAGAIN && errno != EINTR && errno != ENOTCONN);
  }
}

/* One that is still being connected is so in a moment: the kernel answers. */
static inline void stranger_say(int fd, const void* data, size_t len) {
  struct pollfd room = {.fd = fd, .events = POLLOUT};
  assert_int_equal(poll(&room, 1, 10000), 1);
  assert_int_equal(send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT), len);
}

/* Greeting and READY of a socket of that type; returns the length. */
static inline size_t stranger_hello(const char* type, uint8_t out[128]) {
  size_t len = strlen(type);
  memset(out, 0, 128);
  out[0] = 0xFF;
  out[9] = 0x7F;
  out[10] = 3;
  out[11] = 1;
  memcpy(out + 12, "NULL", 4);
  uint8_t* at = out + 64;
  *at++ = 4;
  *at++ = (uint8_t) (6 + 12 + 4 + len);
  memcpy(at, "\5READY\13Socket-Type\0\0\0", 21);
  at += 21;
  *at++ = (uint8_t) len;
  memcpy(at, type, len);
  return (size_t) (at - out) + len;
}

/* Raises the limit on descriptors as far as it goes and returns it. */
static inline size_t stranger_descriptors(void) {
  struct rlimit limit;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  return limit.rlim_cur > 1000000 ? 1000000 : (size_t) limit.rlim_cur;
}

#endif
