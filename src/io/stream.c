/* SPDX-License-Identifier: MIT */
/* Connected sockets on their way to a back end, and the end of those that
 * none adopts.  Called by transports; no byte of a connection passes through
 * here. */
#include "io/stream.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io/seat.h"

int mcq__stream_socket(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd >= 0 ? fd : uv_translate_sys_error(errno);
}

/* The terminal's request is the socket's too, and known everywhere. */
size_t mcq__fd_unsent(int fd) {
  int n = 0;
  return ioctl(fd, TIOCOUTQ, &n) == 0 && n > 0 ? (size_t) n : 0;
}

static void on_discarded(uv_handle_t* handle) {
  mcq__io_t* io = (mcq__io_t*) handle->data;
  mcq__mem_free(io->mem, handle);
  mcq__io_unpin(io);
}

void mcq__stream_discard(mcq__io_t* io, void* stream) {
  uv_handle_t* handle = (uv_handle_t*) stream;
  handle->data = io;
  mcq__io_pin(io);
  uv_close(handle, on_discarded);
}

int mcq__stream_open(mcq__io_t* io, const mcq__family_t* family, int fd,
                     void** out) {
  mcq__stream_t* stream = mcq__new(io->mem, mcq__stream_t);
  int rc = stream == NULL ? MCQ_ENOMEM : family->init(io->loop, stream);
  if (rc != 0) {
    mcq__mem_free(io->mem, stream);
    close(fd);
    return rc;
  }
  uv_unref((uv_handle_t*) &stream->any);
  rc = family->open(stream, fd);
  if (rc != 0) {
    close(fd);
    mcq__stream_discard(io, &stream->any);
    return rc;
  }
  *out = &stream->any;
  return 0;
}
