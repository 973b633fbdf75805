/* SPDX-License-Identifier: MIT */
/* One connection of the uring back end: its birth, its requests, writing, its
 * end.  Calls of the room above only note what is wanted; mcq__uring_ask
 * compares that with what the kernel has and asks for the difference.  Never
 * waits, and never calls back from a call.
 *
 * Where many connections write, their writes go to the kernel together, in one
 * call, and each is in flight until that has been made.  Where few do there is
 * nothing to be won by that, and something to be lost: what is written at once
 * is out of the queue while it is still in the cache.  For a wire that is full
 * the kernel waits, with a write in flight: a poll for room would answer at
 * once, again and again, where the peer has ended its side. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/fd.h"
#include "io/seat.h"
#include "io/uring.h"

typedef mcq__uring_wire_t wire_t;

/* Pieces of one vectored write; more wait for the next one. */
#define PIECES 64

/* What is kept for such writes, at most. */
#define SPARES 16

/* A single piece is sent up to this size at once. */
#define SEND_MAX ((size_t) 1 << 30)

/* Requests one wire may queue at once. */
#define ASKS 4

#define OP_BITS ((uintptr_t) 7)

typedef struct mcq__uring_gather {
  struct mcq__uring_gather* next; /* of those that are spare */
  struct msghdr head;
  struct iovec pieces[PIECES];
} gather_t;

/* ---- asking -------------------------------------------------------------- */

static void ask_send(wire_t* w) {
  w->u->io->calls.writes++;
  struct io_uring_sqe* sqe = mcq__uring_request(w, MCQ__URING_SEND);
  sqe->msg_flags = MSG_NOSIGNAL;
  if (w->vectored) {
    sqe->opcode = IORING_OP_SENDMSG;
    sqe->addr = (uintptr_t) &w->gather->head;
    sqe->len = 1;
  } else {
    sqe->opcode = IORING_OP_SEND;
    sqe->addr = (uintptr_t) w->piece;
    sqe->len = (uint32_t) w->piece_len;
  }
  w->send = MCQ__URING_SEND_FLYING;
}

/* By its token, which the kernel has a table of.  For all requests of one
 * descriptor it would look through those of all connections. */
void mcq__uring_cancel(wire_t* w, enum mcq__uring_op op) {
  struct io_uring_sqe* sqe = mcq__uring_request(w, MCQ__URING_CANCEL | op);
  sqe->opcode = IORING_OP_ASYNC_CANCEL;
  sqe->fd = -1;
  sqe->addr = mcq__uring_token(w, op);
  w->cancelling = true;
  w->cancels++;
}

static bool is_pending(const wire_t* w, enum mcq__uring_op op) {
  switch (op) {
    case MCQ__URING_RECV:
      return w->receiving;
    case MCQ__URING_SEND:
      return w->send == MCQ__URING_SEND_FLYING;
    case MCQ__URING_HANGUP:
      return w->hangup == MCQ__URING_HANGUP_AWAITED;
    case MCQ__URING_CANCEL:
      break;
  }
  return false;
}

static void ask_cancels(wire_t* w) {
  static const enum mcq__uring_op ops[] = {MCQ__URING_RECV, MCQ__URING_SEND,
                                           MCQ__URING_HANGUP};
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (is_pending(w, ops[i])) mcq__uring_cancel(w, ops[i]);
}

/* True while the kernel may still use the descriptor, the wire, or what the
 * write points to. */
static bool in_use(const wire_t* w) {
  return is_pending(w, MCQ__URING_RECV) || is_pending(w, MCQ__URING_SEND) ||
         is_pending(w, MCQ__URING_HANGUP) || w->cancels != 0;
}

static void ask_closing(wire_t* w) {
  if (w->gone) return;
  if (w->send == MCQ__URING_SEND_WANTED) {
    w->send = MCQ__URING_SEND_NONE;
    w->undone = true;
  }
  if (!in_use(w)) {
    w->gone = true;
    close(w->fd);
    mcq__io_work(w->wire.io, &w->task);
  } else if (!w->cancelling && w->cancels == 0) {
    ask_cancels(w);
  }
}

void mcq__uring_ask(mcq__uring_t* u) {
  while (!mcq__list_empty(&u->asking)) {
    if (!mcq__ring_room(&u->ring, ASKS, &u->io->calls.enters)) return;
    mcq__node_t* node = mcq__list_shift(&u->asking);
    wire_t* w = mcq__container_of(node, wire_t, asking);
    if (w->closing) {
      ask_closing(w);
      continue;
    }
    if (w->send == MCQ__URING_SEND_WANTED) ask_send(w);
    mcq__uring_receive_ask(w);
  }
}

/* ---- completions --------------------------------------------------------- */

/* Some are kept for whoever is next: who writes all the time finds one. */
static void give_gather(wire_t* w) {
  mcq__uring_t* u = w->u;
  gather_t* g = w->gather;
  w->gather = NULL;
  if (u->spares == SPARES) {
    mcq__mem_free(u->io->mem, g);
    return;
  }
  g->next = u->spare;
  u->spare = g;
  u->spares++;
  mcq__io_idle(u->io, &u->idle);
}

static gather_t* take_gather(const wire_t* w) {
  mcq__uring_t* u = w->u;
  gather_t* g = u->spare;
  if (g == NULL) return mcq__new(u->io->mem, gather_t);
  u->spare = g->next;
  u->spares--;
  return g;
}

void mcq__uring_drop_spares(mcq__uring_t* u) {
  for (gather_t* g = u->spare; g != NULL; g = u->spare) {
    u->spare = g->next;
    mcq__mem_free(u->io->mem, g);
  }
  u->spares = 0;
}

static void sent(wire_t* w, int res) {
  w->send = MCQ__URING_SEND_NONE;
  if (w->gather != NULL) give_gather(w);
  w->failed = w->failed || res < 0;
  if (w->closing) mcq__uring_want(w);
  w->wire.events->on_wrote(&w->wire, res);
}

/* A cancel that found nothing was too late, or passed a request between two
 * of the kernel's states.  When closing, nothing else may be left to end it. */
static void cancelled(wire_t* w, enum mcq__uring_op op, int res) {
  w->cancels--;
  if (!w->closing) return;
  mcq__uring_want(w);
  if (res >= 0 || !is_pending(w, op)) return;
  w->cancelling = false;
  shutdown(w->fd, SHUT_RDWR);
}

void mcq__uring_done(const mcq__done_t* done) {
  uintptr_t token = (uintptr_t) done->token;
  wire_t* w = (wire_t*) (token & ~OP_BITS);
  unsigned op = token & OP_BITS;
  if ((op & MCQ__URING_CANCEL) != 0) {
    op &= ~(unsigned) MCQ__URING_CANCEL;
    cancelled(w, (enum mcq__uring_op) op, done->res);
    return;
  }
  switch ((enum mcq__uring_op) op) {
    case MCQ__URING_RECV:
      mcq__uring_received(w, done);
      break;
    case MCQ__URING_SEND:
      sent(w, done->res);
      break;
    case MCQ__URING_HANGUP:
      mcq__uring_hung_up(w);
      break;
    case MCQ__URING_CANCEL:
      break;
  }
}

/* ---- writing ------------------------------------------------------------- */

static void gather(gather_t* g, const mcq__iov_t* iov, size_t count) {
  if (count > PIECES) count = PIECES;
  for (size_t i = 0; i < count; i++) {
    g->pieces[i].iov_base = (void*) (uintptr_t) iov[i].base;
    g->pieces[i].iov_len = iov[i].len;
  }
  g->head.msg_iov = g->pieces;
  g->head.msg_iovlen = count;
}

/* Many write in this turn, or did in the one before. */
static bool in_crowd(const wire_t* w) {
  mcq__uring_t* u = w->u;
  uint64_t turn = u->io->turn.number;
  if (turn != u->turn) {
    u->writers_before = turn == u->turn + 1 ? u->writers : 0;
    u->writers = 0;
    u->writer = NULL;
    u->turn = turn;
  }
  if (u->writer != w) u->writers++;
  u->writer = w;
  return u->writers > MCQ__URING_FEW || u->writers_before > MCQ__URING_FEW;
}

/* What is not heard does not fade: up to a bound that is much in any case. */
static void note_said(wire_t* w, size_t total) {
  size_t room = UINT32_MAX / 2 - w->said;
  w->said += (uint32_t) (total < room ? total : room);
}

/* A talk does not wait for the others: its peer has something to do already. */
static bool is_for_later(wire_t* w) {
  return in_crowd(w) && !w->talks;
}

static ssize_t write_later(wire_t* w, const mcq__iov_t* iov, size_t count) {
  if (count > 1) w->gather = take_gather(w);
  /* Without memory the other pieces go another time. */
  w->vectored = count > 1 && w->gather != NULL;
  if (w->vectored) gather(w->gather, iov, count);
  w->piece = iov->base;
  w->piece_len = iov->len < SEND_MAX ? iov->len : SEND_MAX;
  w->full = false;
  w->send = MCQ__URING_SEND_WANTED;
  mcq__uring_want(w);
  return MCQ__IN_FLIGHT;
}

/* Where there is no room the kernel waits for it, and then writes one piece:
 * the others are for a write at once again. */
static ssize_t write_now(wire_t* w, const mcq__iov_t* iov, size_t count,
                         size_t total) {
  ssize_t n = UV_EAGAIN;
  if (!w->full)
    n = mcq__fd_write(w->wire.io, w->fd, iov, count, total, &w->full);
  if (n == UV_EAGAIN) return write_later(w, iov, 1);
  w->failed = w->failed || n < 0;
  return n;
}

ssize_t mcq__uring_write(mcq__wire_t* wire, const mcq__iov_t* iov, size_t count,
                         size_t total) {
  wire_t* w = mcq__uring_of(wire);
  mcq__check(w->send == MCQ__URING_SEND_NONE && count > 0 && total > 0);
  if (w->closing || w->fd < 0) return UV_ECANCELED;
  note_said(w, total);
  return is_for_later(w) ? write_later(w, iov, count)
                         : write_now(w, iov, count, total);
}

size_t mcq__uring_unsent(const mcq__wire_t* wire) {
  return mcq__fd_unsent(mcq__container_of(wire, const wire_t, wire)->fd);
}

void mcq__uring_shutdown(mcq__wire_t* wire) {
  wire_t* w = mcq__uring_of(wire);
  mcq__check(w->send == MCQ__URING_SEND_NONE);
  if (!w->closing && w->fd >= 0) shutdown(w->fd, SHUT_WR);
}

/* ---- life ---------------------------------------------------------------- */

static void report_closed(mcq__task_t* task) {
  wire_t* w = mcq__container_of(task, wire_t, task);
  mcq__mem_t* mem = w->wire.io->mem;
  w->u->wires--;
  mcq__io_unref(w->wire.io);
  if (w->undone) w->wire.events->on_wrote(&w->wire, UV_ECANCELED);
  w->wire.events->on_closed(&w->wire);
  mcq__list_remove(&w->asking);
  mcq__io_idle_end(&w->idle);
  mcq__fifo_dispose(&w->parked);
  mcq__mem_free(mem, w->gather);
  mcq__mem_free(mem, w);
}

/* The loop is kept alive until the kernel has let go of everything. */
void mcq__uring_close(mcq__wire_t* wire) {
  wire_t* w = mcq__uring_of(wire);
  if (w->closing) return;
  w->closing = true;
  w->reading = false;
  w->cancelling = false;
  mcq__uring_unwatch(w);
  mcq__uring_unpark_all(w);
  mcq__io_cancel(&w->task);
  w->task.run = report_closed;
  mcq__io_ref(wire->io);
  if (w->fd >= 0)
    mcq__uring_want(w);
  else
    mcq__io_work(wire->io, &w->task);
}

/* In the child of a fork: no request is this process's, so none is awaited. */
void mcq__uring_forget(mcq__wire_t* wire) {
  wire_t* w = mcq__uring_of(wire);
  if (w->gone || w->fd < 0) return;
  if (w->watch != NULL) mcq__io_blank(w->fd);
  mcq__uring_unwatch(w);
  close(w->fd);
  w->fd = -1;
  w->reading = false;
  w->gone = w->closing;
  if (w->gone) mcq__io_work(wire->io, &w->task);
}

int mcq__uring_set_blocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0) return 0;
  return -errno;
}

int mcq__uring_adopt(mcq__wire_t** out, mcq__io_t* io, void* stream,
                     const mcq__wire_events_t* events, void* user) {
  wire_t* w = mcq__new(io->mem, wire_t);
  if (w == NULL) return MCQ_ENOMEM;
  w->fd = mcq__stream_fd(stream);
  int rc = mcq__uring_set_blocking(w->fd);
  if (rc != 0) {
    mcq__mem_free(io->mem, w);
    return rc;
  }
  w->wire.backend = io->backend;
  w->wire.io = io;
  w->wire.events = events;
  w->wire.user = user;
  w->u = (mcq__uring_t*) io->pump;
  w->task.run = mcq__uring_read_on;
  mcq__fifo_init(&w->parked, io->mem, sizeof(mcq__slice_t));
  w->idle.give_back = mcq__uring_rest;
  w->u->wires++;
  *out = &w->wire;
  return 0;
}
