/* SPDX-License-Identifier: MIT */
/* Connecting one socket to one address (see stream.h).  Called by transports;
 * looks no name up and does not try again.
 *
 * The socket is polled by a handle of our own while it connects: a connect
 * request of libuv's would keep the user's loop alive, and whether it does is
 * for the socket above to say. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/seat.h"
#include "io/stream.h"

static void on_poll_closed(uv_handle_t* handle) {
  mcq__connect_t* c = mcq__container_of(handle, mcq__connect_t, poll);
  int result = c->cancelled ? UV_ECANCELED : c->code;
  if (result == 0)
    result = c->fd;
  else if (c->fd >= 0)
    close(c->fd);
  c->done(c, result);
}

static void on_connected(uv_poll_t* poll, int status, int events) {
  mcq__connect_t* c = mcq__container_of(poll, mcq__connect_t, poll);
  int error = 0;
  socklen_t size = sizeof error;
  (void) status; /* the socket knows better than libuv */
  (void) events;
  if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  c->code = error == 0 ? 0 : uv_translate_sys_error(error);
  uv_close((uv_handle_t*) poll, on_poll_closed);
}

int mcq__connect_start(mcq__connect_t* c, const struct sockaddr* to,
                       socklen_t size) {
  int fd = mcq__stream_socket(to->sa_family);
  if (fd < 0) return fd;
  int rc = 0;
  if (c->family->begin != NULL) c->family->begin(fd, to);
  if (connect(fd, to, size) != 0 && errno != EINPROGRESS)
    rc = uv_translate_sys_error(errno);
  if (rc == 0) rc = uv_poll_init(c->io->loop, &c->poll, fd);
  if (rc != 0) {
    close(fd);
    return rc;
  }
  c->fd = fd;
  c->code = 0;
  c->cancelled = false;
  uv_unref((uv_handle_t*) &c->poll);
  rc = uv_poll_start(&c->poll, UV_WRITABLE, on_connected);
  if (rc == 0) return 0;
  c->code = rc;
  uv_close((uv_handle_t*) &c->poll, on_poll_closed);
  return 0;
}

/* At once: whether the loop goes on in this process is not known. */
static void forget(mcq__connect_t* c) {
  if (c->fd < 0) return;
  mcq__io_blank(c->fd);
  if (!uv_is_closing((uv_handle_t*) &c->poll))
    uv_close((uv_handle_t*) &c->poll, on_poll_closed);
  close(c->fd);
  c->fd = -1;
}

void mcq__connect_cancel(mcq__connect_t* c) {
  c->cancelled = true;
  if (c->io->forked) forget(c);
  if (!uv_is_closing((uv_handle_t*) &c->poll))
    uv_close((uv_handle_t*) &c->poll, on_poll_closed);
}
