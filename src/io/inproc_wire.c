/* SPDX-License-Identifier: MIT */
/* The pump of connections inside a context: a wire passes slices to its peer,
 * which reads them in a later phase.  Nothing is copied and the kernel is not
 * asked.  How much may wait is bounded by what an outbox may hold and PENDING
 * more. */
#include "io/inproc.h"

/* From this many unread bytes on a peer takes no more; it takes again when
 * half of them are read. */
#define PENDING ((size_t) 262144)

/* Slices read before others have their turn. */
#define READS 16

static mcq__inproc_t* of_wire(mcq__wire_t* wire) {
  return mcq__container_of(wire, mcq__inproc_t, wire);
}

/* ---- the work ------------------------------------------------------------ */

/* There is something to hand on or to say. */
static void wake(mcq__inproc_t* e) {
  if (!e->closing) mcq__io_work(e->io, &e->work);
}

static void unblock(mcq__inproc_t* e, ssize_t n) {
  if (e == NULL || !e->blocked || e->closing) return;
  e->blocked = false;
  e->wire.events->on_wrote(&e->wire, n);
}

static void read_some(mcq__inproc_t* e) {
  for (int i = 0; i < READS && e->reading && e->in.bytes > 0; i++) {
    mcq__slice_t piece = mcq__chain_shift(&e->in);
    e->wire.events->on_bytes(&e->wire, piece);
    mcq__slice_release(&piece);
  }
}

static void end_reading(mcq__inproc_t* e) {
  e->ended = true;
  e->reading = false;
  if (!e->failed) e->wire.events->on_end(&e->wire, UV_EOF);
}

/* The peer has gone and will never make room. */
static void fail_writing(mcq__inproc_t* e) {
  if (e->peer != NULL || !e->blocked) return;
  e->failed = true;
  unblock(e, UV_EPIPE);
}

static void run_work(mcq__task_t* task) {
  mcq__inproc_t* e = mcq__container_of(task, mcq__inproc_t, work);
  read_some(e);
  if (e->closing) return;
  if (e->in.bytes <= PENDING / 2) unblock(e->peer, 0);
  if (e->closing) return;
  fail_writing(e);
  if (e->closing || e->ended) return;
  if (e->wire.events == NULL) return; /* nobody has adopted it yet */
  if (e->in.bytes == 0 && e->fin)
    end_reading(e);
  else if (e->in.bytes > 0 && e->reading)
    mcq__io_later(e->io, &e->work);
}

/* ---- the table ----------------------------------------------------------- */

static int adopt(mcq__wire_t** out, mcq__io_t* io, void* stream,
                 const mcq__wire_events_t* events, void* user) {
  const mcq__backend_t* pump = ((const mcq__wire_t*) stream)->backend;
  if (pump != &mcq__inproc_pump)
    return pump->adopt(out, io, stream, events, user);
  mcq__inproc_t* e = (mcq__inproc_t*) stream;
  e->wire = (mcq__wire_t){&mcq__inproc_pump, io, events, user};
  *out = &e->wire;
  return 0;
}

static int read_start(mcq__wire_t* wire) {
  mcq__inproc_t* e = of_wire(wire);
  if (e->ended) return 0;
  e->reading = true;
  if (e->in.bytes > 0 || e->fin) wake(e);
  return 0;
}

static void read_stop(mcq__wire_t* wire) {
  of_wire(wire)->reading = false;
}

static ssize_t pass(mcq__wire_t* wire, const mcq__chain_t* from, size_t off,
                    size_t len) {
  mcq__inproc_t* e = of_wire(wire);
  mcq__inproc_t* peer = e->peer;
  if (peer == NULL) {
    e->failed = true;
    return UV_EPIPE;
  }
  if (peer->in.bytes >= PENDING) {
    e->blocked = true;
    return MCQ__IN_FLIGHT;
  }
  int rc = mcq__chain_share(&peer->in, from, off, len);
  if (rc != 0) return rc;
  if (peer->reading) wake(peer);
  return (ssize_t) len;
}

static void end_writing(mcq__inproc_t* e) {
  if (e->peer == NULL) return;
  e->peer->fin = true;
  wake(e->peer);
}

static void shut(mcq__wire_t* wire) {
  end_writing(of_wire(wire));
}

static void part(mcq__inproc_t* e) {
  end_writing(e);
  if (e->peer != NULL) e->peer->peer = NULL;
  e->peer = NULL;
  e->closing = true;
  mcq__io_cancel(&e->work);
  mcq__chain_dispose(&e->in);
}

static void run_gone(mcq__task_t* task) {
  mcq__inproc_t* e = mcq__container_of(task, mcq__inproc_t, gone);
  mcq__mem_t* mem = e->io->mem;
  e->wire.events->on_closed(&e->wire);
  mcq__mem_free(mem, e);
}

static void close_wire(mcq__wire_t* wire) {
  mcq__inproc_t* e = of_wire(wire);
  if (e->closing) return;
  part(e);
  mcq__io_work(e->io, &e->gone);
}

const mcq__backend_t mcq__inproc_pump = {
    .name = "inproc",
    .adopt = adopt,
    .read_start = read_start,
    .read_stop = read_stop,
    .pass = pass,
    .shutdown = shut,
    .close = close_wire,
};

/* ---- streams ------------------------------------------------------------- */

static mcq__inproc_t* make(mcq__io_t* io) {
  mcq__inproc_t* e = mcq__new(io->mem, mcq__inproc_t);
  if (e == NULL) return NULL;
  e->wire.backend = &mcq__inproc_pump;
  e->io = io;
  e->work.run = run_work;
  e->gone.run = run_gone;
  mcq__chain_init(&e->in, io->mem);
  return e;
}

int mcq__inproc_pair(mcq__io_t* io, mcq__inproc_t** a, mcq__inproc_t** b) {
  *a = make(io);
  *b = make(io);
  if (*a == NULL || *b == NULL) {
    mcq__mem_free(io->mem, *a);
    mcq__mem_free(io->mem, *b);
    return MCQ_ENOMEM;
  }
  (*a)->peer = *b;
  (*b)->peer = *a;
  return 0;
}

void mcq__inproc_discard(mcq__io_t* io, void* stream) {
  if (((const mcq__wire_t*) stream)->backend != &mcq__inproc_pump) {
    mcq__far_discard((mcq__far_t*) stream);
    return;
  }
  mcq__inproc_t* e = (mcq__inproc_t*) stream;
  part(e);
  mcq__mem_free(io->mem, e);
}
