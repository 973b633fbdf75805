/* SPDX-License-Identifier: MIT */
/* The tcp transport: makes connected streams, and unmakes those that nobody
 * adopts.  Accepting is in tcp_listen.c, connecting in tcp_dial.c.  No byte of
 * a connection passes through here. */
#include "io/tcp.h"

#include <errno.h>
#include <unistd.h>

#include "io/seat.h"

int mcq__tcp_socket(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd >= 0 ? fd : uv_translate_sys_error(errno);
}

static void on_discarded(uv_handle_t* handle) {
  mcq__io_t* io = (mcq__io_t*) handle->data;
  mcq__mem_free(io->mem, handle);
  mcq__io_unpin(io);
}

static void discard(mcq__io_t* io, void* stream) {
  uv_handle_t* handle = (uv_handle_t*) stream;
  handle->data = io;
  mcq__io_pin(io);
  uv_close(handle, on_discarded);
}

int mcq__tcp_stream(mcq__io_t* io, int fd, uv_tcp_t** out) {
  uv_tcp_t* tcp = mcq__new(io->mem, uv_tcp_t);
  if (tcp == NULL) {
    close(fd);
    return MCQ_ENOMEM;
  }
  int rc = uv_tcp_init(io->loop, tcp);
  if (rc != 0) {
    mcq__mem_free(io->mem, tcp);
    close(fd);
    return rc;
  }
  uv_unref((uv_handle_t*) tcp);
  rc = uv_tcp_open(tcp, fd);
  if (rc != 0) {
    close(fd);
    discard(io, tcp);
    return rc;
  }
  /* Fails only for a connection that has died already, which reading finds
   * out. */
  uv_tcp_nodelay(tcp, 1);
  *out = tcp;
  return 0;
}

const mcq__transport_t mcq__transport_tcp = {
    .scheme = "tcp",
    .pump = NULL,
    .listen = mcq__tcp_listen,
    .unlisten = mcq__tcp_unlisten,
    .dial = mcq__tcp_dial,
    .hangup = mcq__tcp_hangup,
    .discard = discard,
};
