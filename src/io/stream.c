/* SPDX-License-Identifier: MIT */
/* Connected sockets on their way to a back end, and the end of those that
 * none adopts.  Called by transports; no byte of a connection passes through
 * here. */
#include "io/stream.h"

#include <errno.h>
#include <unistd.h>

int mcq__stream_socket(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd >= 0 ? fd : uv_translate_sys_error(errno);
}

void* mcq__stream_open(const mcq__family_t* family, int fd) {
  if (family->open != NULL) family->open(fd);
  return mcq__stream_of(fd);
}

void mcq__stream_discard(mcq__io_t* io, void* stream) {
  (void) io;
  close(mcq__stream_fd(stream));
}
