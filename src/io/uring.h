/* SPDX-License-Identifier: MIT */
/* What the files of the uring back end share.  Nobody else includes it.
 *
 *   uring.c          the table; when requests go out and completions come in
 *   uring_wire.c     a connection: what it asks of the kernel; writing; its end
 *   uring_receive.c  a connection: reading
 *   uring_watch.c    the few that are polled for, not read by the ring
 *   uring_buffers.c  the memory received into
 *   uring_ring.c     the ring
 *   uring_probe.c    whether this kernel can do all that */
#ifndef MCQ__IO_URING_H
#define MCQ__IO_URING_H

#include "base/fifo.h"
#include "io/io.h"
#include "io/uring_buffers.h"
#include "io/uring_ring.h"

/* More wires that write in one turn are many (see uring_wire.c). */
#define MCQ__URING_FEW 2

/* As long as there are no more wires than this they are read by polling for
 * them (see uring_watch.c). */
#ifndef MCQ__URING_WATCHES
#define MCQ__URING_WATCHES 256
#endif

/* ---- pump: one a context ------------------------------------------------- */

/* One that is polled for. */
typedef struct mcq__uring_watch {
  uv_poll_t poll;
  struct mcq__uring* u;
  struct mcq__uring_wire* w; /* NULL: its handle closes */
  bool taken;
  bool armed;
} mcq__uring_watch_t;

typedef struct mcq__uring {
  mcq__io_t* io;
  struct io_uring ring;
  mcq__buffers_t buffers;
  uv_poll_t poll;      /* of the ring's descriptor */
  mcq__task_t again;   /* keeps the loop from sleeping until the next turn */
  mcq__timer_t retry;  /* the kernel refused requests; they are tried again */
  mcq__node_t asking;  /* wires with something to ask of the kernel */
  mcq__node_t holding; /* wires whose parked bytes lie in buffers */
  struct mcq__uring_gather* spare; /* for the next writes of several pieces */
  unsigned spares;
  mcq__idle_t idle;        /* gives them back */
  uint64_t turn;           /* what is said of writers is said of this one */
  const void* writer;      /* who wrote last; only to be compared */
  unsigned writers;        /* wires that wrote, about */
  unsigned writers_before; /* in the turn before that */
  mcq__uring_watch_t watches[MCQ__URING_WATCHES + 1];
  unsigned watching;  /* of them are taken, */
  unsigned watch_max; /* and may be */
  unsigned wires;
  unsigned budget;     /* completions to be handled in this turn */
  size_t budget_bytes; /* and bytes */
  bool scarce;         /* a wire found no buffer */
  bool bundles;        /* one receive may fill several buffers, to a cap */
  bool ring_up;
  bool has_timer;
  bool busy; /* handling completions */
  bool leaving;
} mcq__uring_t;

/* 0 when the kernel does all this back end needs: receives through the ring
 * into the buffers, with bundles or without, wakes whoever polls the ring, and
 * ends.  `*clean` says that the kernel has nothing of it left, so that the
 * buffers may go. */
int mcq__uring_probe(struct io_uring* ring, mcq__buffers_t* buffers,
                     bool bundles, bool* clean);

/* ---- wire: one a connection ---------------------------------------------- */

/* Which request of a wire a completion answers: the low bits of its token;
 * the rest is the wire. */
enum mcq__uring_op {
  MCQ__URING_RECV,
  MCQ__URING_SEND,
  MCQ__URING_HANGUP,
  MCQ__URING_CANCEL = 4 /* with one of those: that it be ended */
};

/* A write: wanted by the room above; with the kernel. */
enum mcq__uring_send {
  MCQ__URING_SEND_NONE,
  MCQ__URING_SEND_WANTED,
  MCQ__URING_SEND_FLYING
};

/* The poll for the end of the peer's stream. */
enum mcq__uring_hangup {
  MCQ__URING_HANGUP_NONE,
  MCQ__URING_HANGUP_AWAITED,
  MCQ__URING_HANGUP_SEEN
};

typedef struct mcq__uring_wire {
  mcq__wire_t wire; /* first: what everybody else sees of it */
  mcq__uring_t* u;
  mcq__node_t asking; /* in the lists of the pump */
  mcq__node_t holding;
  mcq__task_t task; /* delivers what is parked, or reads; then, on_closed */

  mcq__fifo_t parked; /* of mcq__slice_t: arrived while not reading */
  mcq__idle_t idle;   /* gives its storage back */
  size_t parked_bytes;
  size_t copied; /* slices at its front not in buffers any more */

  const void* piece; /* a write of one piece */
  size_t piece_len;
  struct mcq__uring_gather* gather; /* of several; NULL when none flies */
  mcq__uring_watch_t* watch;        /* NULL: it is read by the ring */

  /* Small ones together: there may be very many wires. */
  int fd;
  int end;          /* why nothing more will be read; 0: more may come */
  unsigned cancels; /* cancel requests with the kernel */

  /* Turns are numbered modulo 2^32 here. */
  uint32_t stopped;  /* the one in which it was last wanted no more */
  uint32_t asked;    /* and in which the last receive was asked for */
  uint32_t brought;  /* read by itself since `asked`, about */
  uint32_t heard;    /* in the last turns in which anything was, */
  uint32_t said;     /* and said, which fades; */
  uint32_t heard_in; /* the last one of those turns */
  uint8_t turns;     /* how many they are */
  uint8_t hangup;    /* enum mcq__uring_hangup */
  uint8_t send;      /* enum mcq__uring_send */
  bool end_told;
  bool reading;    /* wanted by the room above */
  bool receiving;  /* a multishot receive is with the kernel */
  bool cancelling; /* and has been asked to end */
  bool renew;      /* it must end and begin anew */
  bool vectored;   /* the write is the one in `gather` */
  bool full;       /* a write was cut short: no use trying again */
  bool wide;       /* the kernel takes in more of it than it would */
  bool by_ring;    /* the loop is not to poll for it */
  bool talks;      /* brings much and is told much: the ring polls for it */
  bool polled;     /* what is with the kernel is no receive but a poll */
  bool alone;      /* reads by itself, without the ring, for a while */
  bool drained;    /* and has read all there was, */
  bool empty;      /* which was nothing, the last time */
  bool failed;     /* a write did: on_end would be about the same cause */
  bool undone;     /* a write was not begun when it was closed */
  bool closing;
  bool gone; /* the kernel has let go; on_closed is on its way */
} mcq__uring_wire_t;

static inline mcq__uring_wire_t* mcq__uring_of(mcq__wire_t* wire) {
  return mcq__container_of(wire, mcq__uring_wire_t, wire);
}

/* The wire wants something of the kernel: mcq__uring_ask will look at it. */
static inline void mcq__uring_want(mcq__uring_wire_t* w) {
  if (!mcq__node_linked(&w->asking))
    mcq__list_insert(&w->u->asking, &w->asking);
}

static inline uint64_t mcq__uring_token(const mcq__uring_wire_t* w,
                                        unsigned op) {
  return (uint64_t) (uintptr_t) w | (uint64_t) op;
}

/* A request of the wire's to fill in.  Invariant: there is room. */
static inline struct io_uring_sqe* mcq__uring_request(mcq__uring_wire_t* w,
                                                      unsigned op) {
  uint64_t token = mcq__uring_token(w, op);
  struct io_uring_sqe* sqe = mcq__ring_request(&w->u->ring, token);
  sqe->fd = w->fd;
  return sqe;
}

/* ---- uring_wire.c -------------------------------------------------------- */

int mcq__uring_adopt(mcq__wire_t** out, mcq__io_t* io, void* stream,
                     const mcq__wire_events_t* events, void* user);
ssize_t mcq__uring_write(mcq__wire_t* wire, const mcq__iov_t* iov, size_t count,
                         size_t total);
size_t mcq__uring_unsent(const mcq__wire_t* wire);
void mcq__uring_shutdown(mcq__wire_t* wire);
void mcq__uring_close(mcq__wire_t* wire);
void mcq__uring_forget(mcq__wire_t* wire);

/* Frees what is kept for writes to come. */
void mcq__uring_drop_spares(mcq__uring_t* u);

/* Queues the requests that the wires in `asking` need.  Those for which the
 * queue has no room stay in the list. */
void mcq__uring_ask(mcq__uring_t* u);

/* Asks the kernel to end that request of the wire's.  Invariant: there is room
 * for a request. */
void mcq__uring_cancel(mcq__uring_wire_t* w, enum mcq__uring_op op);

/* Hands a completion to its wire. */
void mcq__uring_done(const mcq__done_t* done);

/* Takes the flag off that makes the kernel answer EAGAIN where it should
 * wait.  0 or an error. */
int mcq__uring_set_blocking(int fd);

/* ---- uring_receive.c ----------------------------------------------------- */

int mcq__uring_read_start(mcq__wire_t* wire);
void mcq__uring_read_stop(mcq__wire_t* wire);

/* Queues what reading needs: a receive, or its end. */
void mcq__uring_receive_ask(mcq__uring_wire_t* w);

/* Answers to a receive and to the poll for the end. */
void mcq__uring_received(mcq__uring_wire_t* w, const mcq__done_t* done);
void mcq__uring_hung_up(mcq__uring_wire_t* w);

/* There is something to be read by a wire that is polled for.  False: it does
 * not want that. */
bool mcq__uring_readable(mcq__uring_wire_t* w);

/* Gives the storage back that parking took; `idle` is a wire's. */
void mcq__uring_rest(mcq__idle_t* idle);

/* Drops what is parked. */
void mcq__uring_unpark_all(mcq__uring_wire_t* w);

/* Delivers what is parked, reads without the ring, tells the end: a wire's
 * task while it is open. */
void mcq__uring_read_on(mcq__task_t* task);

/* When there were too few buffers: gets those back whose bytes only wait. */
void mcq__uring_relieve(mcq__uring_t* u);

/* ---- uring_watch.c ------------------------------------------------------- */

/* Polls for the wire, if it is one of the few.  False: it is not. */
bool mcq__uring_watch(mcq__uring_wire_t* w);

/* There are too many for that. */
static inline bool mcq__uring_many(const mcq__uring_t* u) {
  return u->wires > u->watch_max;
}

/* No more. */
void mcq__uring_unwatch(mcq__uring_wire_t* w);

/* ---- uring.c ------------------------------------------------------------- */

/* Something of the back end's has ended, which its own end may have waited
 * for.  The pump may be gone afterwards. */
void mcq__uring_unused(mcq__uring_t* u);

#endif
