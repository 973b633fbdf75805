/* SPDX-License-Identifier: MIT */
/* The ipc transport, over Unix domain stream sockets: its table, its addresses
 * and what is special about its connections.  Taking a path and giving it back
 * is in ipc_listen.c, connecting in ipc_dial.c; the rest it shares (see
 * stream.h).  No byte of a connection passes through here. */
#include "io/ipc.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* An abstract name begins with a NUL, has none at its end, and is as long as
 * the address's size says. */
void mcq__ipc_address(mcq__ipc_address_t* out, const char* rest) {
  size_t len = strlen(rest);
  mcq__check(len > 0 && len <= MCQ__PATH_MAX);
  memset(out, 0, sizeof *out);
  out->un.sun_family = AF_UNIX;
  for (size_t i = 0; i < len; i++) out->un.sun_path[i] = rest[i];
  bool abstract = rest[0] == '@';
  if (abstract) out->un.sun_path[0] = '\0';
  out->size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len +
                           (abstract ? 0 : 1));
}

/* Who connects has no name of its own as a rule. */
static void text(const mcq__door_t* door, const mcq__address_t* peer,
                 char out[MCQ__ENDPOINT_MAX]) {
  (void) peer;
  snprintf(out, MCQ__ENDPOINT_MAX, "%s", door->listener->address);
}

const mcq__family_t mcq__ipc_family = {
    .open = NULL,
    .origin = NULL,
    .text = text,
    .leave = mcq__ipc_leave,
};

/* What a ring saves is not where the time of a local socket goes: read and
 * written through one it carries a third less, or less than that. */
const mcq__transport_t mcq__transport_ipc = {
    .scheme = "ipc",
    .pump = &mcq__backend_uv,
    .listen = mcq__ipc_listen,
    .unlisten = mcq__door_close,
    .dial = mcq__ipc_dial,
    .hangup = mcq__ipc_hangup,
    .discard = mcq__stream_discard,
};
