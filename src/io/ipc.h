/* SPDX-License-Identifier: MIT */
/* The two halves of the ipc transport, and what they share. */
#ifndef MCQ__IO_IPC_H
#define MCQ__IO_IPC_H

#include <sys/un.h>

#include "io/stream.h"

/* A path or an abstract name as the system wants to see it. */
typedef struct mcq__ipc_address {
  struct sockaddr_un un;
  socklen_t size;
} mcq__ipc_address_t;

extern const mcq__family_t mcq__ipc_family;

/* Of an endpoint's `rest`, at most MCQ__PATH_MAX bytes: "/path", "path", or
 * "@name", which the system keeps in no directory. */
void mcq__ipc_address(mcq__ipc_address_t* out, const char* rest);

/* Gives the listening socket's place in the file system back: a family's
 * leave. */
void mcq__ipc_leave(mcq__door_t* door);

/* The transport's slots (see mcq__transport_t). */
int mcq__ipc_listen(mcq__listener_t* l);
int mcq__ipc_dial(mcq__dialer_t* d);
void mcq__ipc_hangup(mcq__dialer_t* d);

#endif
