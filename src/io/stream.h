/* SPDX-License-Identifier: MIT */
/* What transports over the kernel's stream sockets share: the socket, on its
 * way to a back end, connecting (stream_dial.c), accepting (stream_listen.c).
 * What differs is a family's. */
#ifndef MCQ__IO_STREAM_H
#define MCQ__IO_STREAM_H

#include <sys/socket.h>

#include "io/address.h"
#include "io/dialer.h"
#include "io/listener.h"

typedef struct mcq__door mcq__door_t;

typedef struct mcq__family {
  /* Sets a descriptor up that is about to connect to that address, or listen
   * there; may be NULL. */
  void (*begin)(int fd, const struct sockaddr* at);

  /* Sets a connected descriptor up; may be NULL. */
  void (*open)(int fd);

  /* Where a peer comes from; may be NULL. */
  void (*origin)(const mcq__address_t* peer, mcq__origin_t* out);

  /* The text of a peer that was accepted at `door`. */
  void (*text)(const mcq__door_t* door, const mcq__address_t* peer,
               char out[MCQ__ENDPOINT_MAX]);

  /* The door is about to give up its descriptor; may be NULL. */
  void (*leave)(mcq__door_t* door);
} mcq__family_t;

/* A non-blocking, close-on-exec socket, or an error. */
int mcq__stream_socket(int family);

/* Makes a stream of the connected, non-blocking `fd`, which it takes over. */
void* mcq__stream_open(const mcq__family_t* family, int fd);

/* Closes a stream that nobody adopted: a transport's slot. */
void mcq__stream_discard(mcq__io_t* io, void* stream);

/* ---- connecting ---------------------------------------------------------- */

/* One socket being connected.  Embedded in an attempt. */
typedef struct mcq__connect {
  mcq__io_t* io;
  const mcq__family_t* family;
  uv_poll_t poll;
  int fd;
  int code;
  bool cancelled;

  /* It ended, never inline: the connected descriptor, which is the callee's,
   * or an error. */
  void (*done)(struct mcq__connect* c, int fd);
} mcq__connect_t;

/* Begins; `io`, `family` and `done` are set.  0, and done follows; or an error
 * at once, and nothing is left.  Once done it may begin anew. */
int mcq__connect_start(mcq__connect_t* c, const struct sockaddr* to,
                       socklen_t size);

/* Breaks off what has begun; done follows with UV_ECANCELED. */
void mcq__connect_cancel(mcq__connect_t* c);

/* ---- accepting ----------------------------------------------------------- */

/* A listening socket in the loop.  A family may make it the first member of
 * something larger. */
struct mcq__door {
  const mcq__family_t* family;
  mcq__io_t* io;
  mcq__listener_t* listener; /* NULL: it was never opened */
  uv_poll_t poll;
  mcq__timer_t pause;
  uint64_t quiet_until; /* no report before */
  int fd;
};

/* Puts the listening `fd` into the loop and makes `door` l->impl.  `door` is a
 * zeroed block of io->mem.  On failure the door has left and is or will be
 * freed, and `fd` is closed. */
int mcq__door_open(mcq__door_t* door, mcq__listener_t* l,
                   const mcq__family_t* family, int fd);

/* Closes l->impl: a transport's unlisten. */
void mcq__door_close(mcq__listener_t* l);

#endif
