/* SPDX-License-Identifier: MIT */
/* One read or write of a connected socket, as the back ends do them.  Never
 * waits, whatever the descriptor's flags.
 *
 * libuv's own writes would raise SIGPIPE when a peer is gone, which kills a
 * program that has not arranged for it, and its reads cannot be told where the
 * rest of a large body belongs once it has asked.  Plain socket calls cost the
 * same and have neither fault. */
#include "io/fd.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* One read brings this much at most: others want their turn. */
#define READ_MAX ((size_t) 1048576)

/* And this much where it belongs to nobody yet: the sender goes on while it is
 * looked at, and the reader need not sleep when he is through. */
#define SHARED_MAX ((size_t) 131072)

/* Less room than this in the shared window, and a fresh one is opened. */
#define ROOM_MIN ((size_t) 65536)

/* What is taken in of who sends much, before it is read. */
#define WIDE 1048576

/* Pieces the kernel takes in one call. */
#define PIECES_MAX ((size_t) 1024)

/* The loop's shared window with enough room, or NULL.  It starts over while
 * nobody holds anything of it, and so stays in the cache. */
static mcq__window_t* shared_window(mcq__io_t* io) {
  mcq__window_t* w = &io->read;
  io->has_read = true;
  if (mcq__window_rewind(w) || mcq__window_room(w) >= ROOM_MIN) return w;
  mcq__window_t fresh = {NULL, 0};
  if (mcq__window_open(&fresh, io->pool, MCQ__SLAB_LARGE) != 0)
    return mcq__window_room(w) > 0 ? w : NULL;
  mcq__window_close(w);
  *w = fresh;
  return w;
}

static ssize_t receive(mcq__io_t* io, int fd, mcq__window_t* w, size_t room) {
  ssize_t n;
  do {
    n = recv(fd, mcq__window_ptr(w), room, MSG_DONTWAIT);
    io->calls.reads++;
  } while (n < 0 && errno == EINTR);
  io->calls.empty += n < 0;
  return n >= 0 ? n : uv_translate_sys_error(errno);
}

ssize_t mcq__fd_read(mcq__wire_t* wire, int fd, const bool* reading,
                     bool* more) {
  const mcq__wire_events_t* events = wire->events;
  mcq__window_t* w = events->on_want == NULL ? NULL : events->on_want(wire);
  bool shared = w == NULL || mcq__window_room(w) == 0;
  *more = false;
  if (!*reading) return UV_EAGAIN;
  if (shared) w = shared_window(wire->io);
  if (w == NULL) return MCQ_ENOMEM;
  size_t room = mcq__window_room(w);
  if (shared && room > SHARED_MAX) room = SHARED_MAX;
  if (room > READ_MAX) room = READ_MAX;
  ssize_t n = receive(wire->io, fd, w, room);
  if (n <= 0) return n;
  *more = (size_t) n == room && room < READ_MAX;
  if (shared) {
    mcq__slice_t bytes = mcq__window_freeze(w, (size_t) n);
    events->on_bytes(wire, bytes);
    mcq__slice_release(&bytes);
  } else {
    events->on_filled(wire, (size_t) n);
  }
  return n;
}

ssize_t mcq__fd_write(mcq__io_t* io, int fd, const mcq__iov_t* iov,
                      size_t count, size_t total, bool* full) {
  if (count > PIECES_MAX) count = PIECES_MAX;
  struct msghdr message = {0};
  message.msg_iov = (struct iovec*) (void*) (uintptr_t) iov;
  message.msg_iovlen = count;
  ssize_t n;
  do {
    n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    io->calls.writes++;
  } while (n < 0 && errno == EINTR);
  *full = n >= 0 && (size_t) n < total && count < PIECES_MAX;
  if (n >= 0) return n;
  io->calls.full++;
  return errno == ENOBUFS ? UV_EAGAIN : uv_translate_sys_error(errno);
}

/* The kernel finds out how much to take in from what is read within a round
 * trip, of which there are fifty thousand a second within a machine, and now
 * and then it settles for half a megabyte: then a flood that the ring reads has
 * two thirds of its rate, for as long as it lasts.  SO_RCVBUF would end the
 * finding out, and gets less than that on most systems.  SO_RCVLOWAT makes room
 * for what it is to wait for, and does not take it back. */
int mcq__fd_widen(int fd) {
  int much = WIDE;
  int any = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &much, sizeof much) != 0)
    return 0;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &any, sizeof any) == 0) return 0;
  return uv_translate_sys_error(errno);
}

/* The terminal's request is the socket's too, and known everywhere. */
size_t mcq__fd_unsent(int fd) {
  int n = 0;
  return ioctl(fd, TIOCOUTQ, &n) == 0 && n > 0 ? (size_t) n : 0;
}
