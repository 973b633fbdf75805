/* SPDX-License-Identifier: MIT */
/* Accepting on a listening socket (see stream.h).  Called by transports, which
 * have bound it.
 *
 * The descriptor is polled rather than given to a listening handle of
 * libuv's, which would accept and drop the waiting connections when the
 * process runs out of descriptors, without telling anybody.  Here they stay in
 * the backlog, the socket above hears of it, and accepting goes on as soon as
 * there is room. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/seat.h"
#include "io/stream.h"

/* Connections taken in before the loop has others their turn, and what one
 * counts in a turn, so that it is as many for all listeners together. */
#define ACCEPTS_MAX 64
#define ACCEPT_COST (MCQ__TURN_MESSAGES / ACCEPTS_MAX)

/* After an error: ms until the next try, and between two reports of it. */
#define PAUSE ((uint64_t) 100)
#define REPORT_EVERY ((uint64_t) 1000)

static void on_readable(uv_poll_t* poll, int status, int events);

/* ---- accepting ----------------------------------------------------------- */

static void pause_door(mcq__door_t* door, int code) {
  uint64_t now = mcq__io_now(door->io);
  uv_poll_stop(&door->poll);
  mcq__io_timer_start(door->io, &door->pause, now + PAUSE);
  if (now < door->quiet_until) return;
  door->quiet_until = now + REPORT_EVERY;
  mcq__listener_error(door->listener, code);
}

static void on_pause_over(mcq__timer_t* timer) {
  mcq__door_t* door = mcq__container_of(timer, mcq__door_t, pause);
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

/* Whoever is not let in costs nothing more. */
static void hand_on(mcq__door_t* door, int fd, const mcq__address_t* peer) {
  const mcq__family_t* family = door->family;
  char text[MCQ__ENDPOINT_MAX];
  mcq__origin_t from = {{0}, 0};
  family->text(door, peer, text);
  if (family->origin != NULL) family->origin(peer, &from);
  if (mcq__listener_knock(door->listener, &from, text))
    mcq__listener_stream(door->listener, mcq__stream_open(family, fd), text);
  else
    close(fd);
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  mcq__door_t* door = mcq__container_of(poll, mcq__door_t, poll);
  (void) events;
  if (status < 0) {
    pause_door(door, status);
    return;
  }
  for (int i = 0; i < ACCEPTS_MAX && !door->listener->closing; i++) {
    mcq__address_t peer;
    socklen_t size = sizeof peer;
    int fd = accept4(door->fd, &peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      hand_on(door, fd, &peer);
      mcq__io_spend(door->io, ACCEPT_COST, 0, 0);
      if (mcq__io_spent(door->io)) return;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (!concerns_peer_only(errno)) {
      pause_door(door, uv_translate_sys_error(errno));
      return;
    }
  }
}

/* ---- open and close ------------------------------------------------------ */

/* The loop holds nothing of it any more. */
static void dispose(mcq__door_t* door) {
  mcq__timers_unreserve(&door->io->turn.timers);
  mcq__mem_free(door->io->mem, door);
}

/* Leaves while the socket still holds its place: nobody else can have it. */
static void leave(mcq__door_t* door) {
  if (door->family->leave != NULL && !door->io->forked)
    door->family->leave(door);
  close(door->fd);
}

static void on_door_closed(uv_handle_t* handle) {
  mcq__door_t* door = mcq__container_of(handle, mcq__door_t, poll);
  mcq__io_t* io = door->io;
  mcq__listener_t* l = door->listener;
  dispose(door);
  if (l != NULL) mcq__listener_closed(l);
  mcq__io_unpin(io);
}

static void close_door(mcq__door_t* door) {
  mcq__io_pin(door->io);
  mcq__io_timer_stop(door->io, &door->pause);
  if (door->io->forked) mcq__io_blank(door->fd);
  uv_close((uv_handle_t*) &door->poll, on_door_closed);
  leave(door);
}

int mcq__door_open(mcq__door_t* door, mcq__listener_t* l,
                   const mcq__family_t* family, int fd) {
  mcq__io_t* io = l->io;
  door->family = family;
  door->io = io;
  door->fd = fd;
  door->pause.run = on_pause_over;
  int rc = mcq__timers_reserve(&io->turn.timers);
  if (rc != 0) {
    leave(door);
    mcq__mem_free(io->mem, door);
    return rc;
  }
  rc = uv_poll_init(io->loop, &door->poll, fd);
  if (rc != 0) {
    leave(door);
    dispose(door);
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

void mcq__door_close(mcq__listener_t* l) {
  close_door((mcq__door_t*) l->impl);
}
