/* SPDX-License-Identifier: MIT */
/* The tcp transport: its table, and what is special about its connections.
 * Binding is in tcp_listen.c, looking up and connecting in tcp_dial.c; the
 * rest it shares (see stream.h).  No byte of a connection passes through
 * here. */
#include "io/tcp.h"

static int init(uv_loop_t* loop, mcq__stream_t* stream) {
  return uv_tcp_init(loop, &stream->tcp);
}

static int open_tcp(mcq__stream_t* stream, int fd) {
  int rc = uv_tcp_open(&stream->tcp, fd);
  /* Fails only for a connection that has died already, which reading finds
   * out. */
  if (rc == 0) uv_tcp_nodelay(&stream->tcp, 1);
  return rc;
}

static void text(const mcq__door_t* door, const mcq__address_t* peer,
                 char out[MCQ__ENDPOINT_MAX]) {
  (void) door;
  mcq__address_text(peer, out);
}

const mcq__family_t mcq__tcp_family = {
    .init = init,
    .open = open_tcp,
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
