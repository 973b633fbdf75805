/* SPDX-License-Identifier: MIT */
/* The tcp transport: its table, and what is special about its connections.
 * Binding is in tcp_listen.c, looking up and connecting in tcp_dial.c; the
 * rest it shares (see stream.h).  No byte of a connection passes through
 * here. */
#include "io/tcp.h"

#include <netinet/tcp.h>

/* Fails only for a connection that has died already, which reading finds
 * out. */
static void open_tcp(int fd) {
  int on = 1;
  (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void origin(const mcq__address_t* peer, mcq__origin_t* out) {
  out->len = (uint8_t) mcq__address_origin(peer, out->bytes);
}

static void text(const mcq__door_t* door, const mcq__address_t* peer,
                 char out[MCQ__ENDPOINT_MAX]) {
  (void) door;
  mcq__address_text(peer, out);
}

const mcq__family_t mcq__tcp_family = {
    .open = open_tcp,
    .origin = origin,
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
