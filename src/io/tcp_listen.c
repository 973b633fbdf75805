/* SPDX-License-Identifier: MIT */
/* Listening and accepting on tcp.
 *
 * The descriptors are our own rather than a uv_tcp_t's, for two reasons: every
 * error of bind and listen is known at once, and when the process runs out of
 * descriptors libuv's listener would accept and drop the waiting connections
 * without telling anybody.  Here they stay in the backlog, the socket hears of
 * it, and accepting goes on as soon as there is room. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/seat.h"
#include "io/tcp.h"

/* Connections taken in before the loop has others their turn. */
#define ACCEPTS_MAX 64

/* After an error: ms until the next try, and between two reports of it. */
#define PAUSE ((uint64_t) 100)
#define REPORT_EVERY ((uint64_t) 1000)

typedef struct door {
  mcq__io_t* io;
  mcq__listener_t* listener; /* NULL: it was never opened */
  uv_poll_t poll;
  mcq__timer_t pause;
  uint64_t quiet_until; /* no report before */
  int fd;
} door_t;

static void on_readable(uv_poll_t* poll, int status, int events);

/* ---- accepting ----------------------------------------------------------- */

static void pause_door(door_t* door, int code) {
  uint64_t now = mcq__io_now(door->io);
  uv_poll_stop(&door->poll);
  mcq__io_timer_start(door->io, &door->pause, now + PAUSE);
  if (now < door->quiet_until) return;
  door->quiet_until = now + REPORT_EVERY;
  mcq__listener_error(door->listener, code);
}

static void on_pause_over(mcq__timer_t* timer) {
  door_t* door = mcq__container_of(timer, door_t, pause);
  uv_poll_start(&door->poll, UV_READABLE, on_readable);
}

/* The connection was lost before it was accepted, which is no concern of the
 * listener's: Linux reports a waiting connection's error here. */
static bool concerns_peer_only(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
      return true;
    default:
      return false;
  }
}

static void hand_on(door_t* door, int fd, const mcq__address_t* remote) {
  uv_tcp_t* stream;
  int rc = mcq__tcp_stream(door->io, fd, &stream);
  if (rc != 0) {
    mcq__listener_error(door->listener, rc);
    return;
  }
  char text[MCQ__ENDPOINT_MAX];
  mcq__address_text(remote, text);
  mcq__listener_stream(door->listener, stream, text);
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  door_t* door = mcq__container_of(poll, door_t, poll);
  (void) events;
  if (status < 0) {
    pause_door(door, status);
    return;
  }
  for (int i = 0; i < ACCEPTS_MAX && !door->listener->closing; i++) {
    mcq__address_t remote;
    socklen_t size = sizeof remote;
    int fd =
        accept4(door->fd, &remote.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      hand_on(door, fd, &remote);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (!concerns_peer_only(errno)) {
      pause_door(door, uv_translate_sys_error(errno));
      return;
    }
  }
}

/* ---- listening ----------------------------------------------------------- */

static int bind_to(const mcq__address_t* a, int backlog) {
  int fd = mcq__tcp_socket(a->any.sa_family);
  if (fd < 0) return fd;
  int on = 1;
  int off = 0;
  bool good =
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      (a->any.sa_family != AF_INET6 ||
       setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) &&
      bind(fd, &a->any, mcq__address_size(a)) == 0 && listen(fd, backlog) == 0;
  if (good) return fd;
  int code = uv_translate_sys_error(errno);
  close(fd);
  return code;
}

/* Both families through one socket, or IPv4 where the system has no other. */
static int bind_to_all(uint16_t port, int backlog) {
  mcq__address_t all;
  mcq__address_wildcard(&all, AF_INET6, port);
  int fd = bind_to(&all, backlog);
  if (fd >= 0 || fd == UV_EADDRINUSE || fd == UV_EACCES) return fd;
  mcq__address_wildcard(&all, AF_INET, port);
  return bind_to(&all, backlog);
}

static int bind_endpoint(const mcq__endpoint_t* endpoint, int backlog) {
  if (endpoint->wildcard) return bind_to_all(endpoint->port, backlog);
  mcq__address_t a;
  int rc = mcq__address_local(&a, endpoint->host, endpoint->port);
  return rc != 0 ? rc : bind_to(&a, backlog);
}

static int read_address(int fd, char out[MCQ__ENDPOINT_MAX]) {
  mcq__address_t a;
  socklen_t size = sizeof a;
  if (getsockname(fd, &a.any, &size) != 0) return uv_translate_sys_error(errno);
  mcq__address_text(&a, out);
  return 0;
}

static void free_door(door_t* door) {
  mcq__timers_unreserve(&door->io->turn.timers);
  mcq__mem_free(door->io->mem, door);
}

static void on_door_closed(uv_handle_t* handle) {
  door_t* door = mcq__container_of(handle, door_t, poll);
  mcq__io_t* io = door->io;
  mcq__listener_t* l = door->listener;
  free_door(door);
  if (l != NULL) mcq__listener_closed(l);
  mcq__io_unpin(io);
}

static void close_door(door_t* door) {
  mcq__io_pin(door->io);
  mcq__io_timer_stop(door->io, &door->pause);
  uv_close((uv_handle_t*) &door->poll, on_door_closed);
  close(door->fd);
}

/* Puts the listening `fd` into the loop.  On failure `fd` is closed. */
static int open_door(mcq__listener_t* l, int fd) {
  mcq__io_t* io = l->io;
  door_t* door = mcq__new(io->mem, door_t);
  int rc = MCQ_ENOMEM;
  if (door != NULL) rc = mcq__timers_reserve(&io->turn.timers);
  if (rc != 0) {
    mcq__mem_free(io->mem, door);
    close(fd);
    return rc;
  }
  door->io = io;
  door->fd = fd;
  door->pause.run = on_pause_over;
  rc = uv_poll_init(io->loop, &door->poll, fd);
  if (rc != 0) {
    free_door(door);
    close(fd);
    return rc;
  }
  rc = uv_poll_start(&door->poll, UV_READABLE, on_readable);
  if (rc != 0) {
    close_door(door);
    return rc;
  }
  uv_unref((uv_handle_t*) &door->poll);
  door->listener = l;
  l->impl = door;
  return 0;
}

int mcq__tcp_listen(mcq__listener_t* l) {
  int fd = bind_endpoint(&l->endpoint, l->backlog);
  if (fd < 0) return fd;
  int rc = read_address(fd, l->address);
  if (rc != 0) {
    close(fd);
    return rc;
  }
  return open_door(l, fd);
}

void mcq__tcp_unlisten(mcq__listener_t* l) {
  close_door((door_t*) l->impl);
}
