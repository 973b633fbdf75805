/* SPDX-License-Identifier: MIT */
/* Connections inside a context.  The transport (inproc.c) brings two ends
 * together by name, the pump (inproc_wire.c) hands what one passes to the
 * other, by reference. */
#ifndef MCQ__IO_INPROC_H
#define MCQ__IO_INPROC_H

#include "base/chain.h"
#include "io/io.h"

/* One end: a stream until it is adopted, a wire from then on. */
typedef struct mcq__inproc {
  mcq__wire_t wire;
  struct mcq__inproc* peer; /* NULL: has closed or was discarded */
  mcq__io_t* io;
  mcq__chain_t in;  /* what the peer passed and this end has not read */
  mcq__task_t work; /* hands it on */
  mcq__task_t gone; /* says on_closed */
  bool reading;
  bool blocked; /* was answered MCQ__IN_FLIGHT */
  bool failed;  /* writing did: on_end would be about the same cause */
  bool fin;     /* the peer says no more */
  bool ended;   /* and this end has read all it said */
  bool closing;
} mcq__inproc_t;

extern const mcq__backend_t mcq__inproc_pump;

/* Two ends that know each other.  0 or MCQ_ENOMEM. */
int mcq__inproc_pair(mcq__io_t* io, mcq__inproc_t** a, mcq__inproc_t** b);

/* Of one that nobody adopted. */
void mcq__inproc_discard(mcq__io_t* io, void* stream);

#endif
