/* SPDX-License-Identifier: MIT */
/* Connecting on ipc: one attempt at one path.  The system answers at once:
 * connected, or refused because nobody is there (or, as EAGAIN, because too
 * many are waiting), which is for the dialer to try again. */
#include <stdio.h>

#include "io/ipc.h"

typedef struct attempt {
  mcq__connect_t connect;
  mcq__dialer_t* dialer;
} attempt_t;

static void on_connected(mcq__connect_t* c, int fd) {
  attempt_t* a = mcq__container_of(c, attempt_t, connect);
  mcq__dialer_t* d = a->dialer;
  mcq__mem_free(d->io->mem, a);
  d->impl = NULL;
  if (fd < 0) {
    mcq__dialer_done(d, NULL, NULL, fd);
    return;
  }
  char text[MCQ__ENDPOINT_MAX];
  snprintf(text, sizeof text, "ipc://%s", d->endpoint->rest);
  mcq__dialer_done(d, mcq__stream_open(&mcq__ipc_family, fd), text, 0);
}

int mcq__ipc_dial(mcq__dialer_t* d) {
  attempt_t* a = mcq__new(d->io->mem, attempt_t);
  if (a == NULL) return MCQ_ENOMEM;
  a->connect.io = d->io;
  a->connect.family = &mcq__ipc_family;
  a->connect.done = on_connected;
  a->dialer = d;
  mcq__ipc_address_t to;
  mcq__ipc_address(&to, d->endpoint->rest);
  const struct sockaddr* address = (const struct sockaddr*) &to.un;
  int rc = mcq__connect_start(&a->connect, address, to.size);
  if (rc != 0) {
    mcq__mem_free(d->io->mem, a);
    return rc;
  }
  d->impl = a;
  return 0;
}

void mcq__ipc_hangup(mcq__dialer_t* d) {
  mcq__connect_cancel(&((attempt_t*) d->impl)->connect);
}
