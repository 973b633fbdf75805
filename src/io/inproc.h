/* SPDX-License-Identifier: MIT */
/* Connections inside the process.  The transport (inproc.c) brings two ends
 * together by name.  Two pumps hand what one passes to the other, by
 * reference: inproc_wire.c in one context, inproc_far.c between two, whose
 * loops may run in two threads. */
#ifndef MCQ__IO_INPROC_H
#define MCQ__IO_INPROC_H

#include "base/chain.h"
#include "io/io.h"

/* ---- in one context -------------------------------------------------------
 */

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

/* Adopts the ends of both kinds: a stream names its pump. */
extern const mcq__backend_t mcq__inproc_pump;

/* Two ends that know each other.  0 or MCQ_ENOMEM. */
int mcq__inproc_pair(mcq__io_t* io, mcq__inproc_t** a, mcq__inproc_t** b);

/* Of one of either kind that nobody adopted. */
void mcq__inproc_discard(mcq__io_t* io, void* stream);

/* ---- between two contexts --------------------------------------------------
 */

typedef struct mcq__far mcq__far_t;

/* One direction. */
typedef struct mcq__lane {
  mcq__chain_t chain; /* passed and not yet taken */
  bool blocked;       /* who passes waits for room */
  bool fin;           /* and says no more */
} mcq__lane_t;

/* What the two ends share.  Side 0 called, side 1 was called. */
typedef struct mcq__link {
  mcq__node_t node; /* at its door until side 1 is there, under the lock of
                       the space */
  mcq__mem_t* mem;
  uv_mutex_t lock;      /* of all that follows */
  mcq__lane_t lanes[2]; /* to side 0, to side 1 */
  mcq__far_t* ends[2];  /* NULL: not there yet, or gone */
  bool gone[2];
} mcq__link_t;

/* One end, of one loop's thread: a stream, then a wire. */
struct mcq__far {
  mcq__wire_t wire;
  mcq__link_t* link;
  unsigned side;
  mcq__io_t* io;
  mcq__chain_t in;  /* taken and not yet read */
  mcq__ring_t ring; /* the other side did something */
  mcq__task_t work; /* reading goes on */
  mcq__task_t gone; /* says on_closed */
  bool reading;
  bool waiting; /* was answered MCQ__IN_FLIGHT */
  bool failed;  /* writing did: on_end would be about the same cause */
  bool more;    /* when last looked at, more lay there to be taken */
  bool fin;     /* or nothing, and never will */
  bool ended;   /* and this end has read all */
  bool closing;
};

/* A link with its first end.  0, MCQ_ENOMEM or libuv's error. */
int mcq__link_new(mcq__io_t* io, mcq__link_t** out, mcq__far_t** here);

/* The second one, on its own loop's thread.  0, MCQ_ENOMEM, or
 * UV_ECONNABORTED: the first has gone already. */
int mcq__link_join(mcq__link_t* link, mcq__io_t* io, mcq__far_t** out);

/* In its place: nobody will come. */
void mcq__link_refuse(mcq__io_t* io, mcq__link_t* link);

/* An end that nobody adopted. */
void mcq__far_discard(mcq__far_t* e);

#endif
