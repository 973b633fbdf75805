/* SPDX-License-Identifier: MIT */
/* The pump of connections between two contexts, whose loops may run in two
 * threads.  What one end passes lies in its lane, by reference, until the
 * other takes all of it at once: one lock and at most one ring of the bell for
 * what was written in a turn.  Everything else an end has belongs to its own
 * loop.  How much may wait is bounded by what an outbox may hold and twice
 * LANE_MAX more: one lane full, and one taken. */
#include "io/inproc.h"

#include "io/seat.h"

/* From this many bytes on a lane takes no more until it was taken. */
#define LANE_MAX ((size_t) 131072)

/* Slices read before others have their turn. */
#define READS 16

extern const mcq__backend_t mcq__inproc_far_pump;

static mcq__far_t* of_wire(mcq__wire_t* wire) {
  return mcq__container_of(wire, mcq__far_t, wire);
}

static mcq__lane_t* inward(const mcq__far_t* e) {
  return &e->link->lanes[e->side];
}

static mcq__lane_t* outward(const mcq__far_t* e) {
  return &e->link->lanes[!e->side];
}

/* Under the lock.  A side that is not there yet will look when it is. */
static void ring_side(const mcq__link_t* link, unsigned side) {
  mcq__far_t* e = link->ends[side];
  if (e != NULL) mcq__bell_ring(e->io, &e->ring);
}

static void ring_other(const mcq__far_t* e) {
  ring_side(e->link, !e->side);
}

/* ---- the link ------------------------------------------------------------ */

/* A side goes.  What it had not taken is dropped outside the lock: whose
 * memory that is may want to know.  `wake`: somebody may be there to hear of
 * it.  The second one to go takes the link along. */
static void leave_link(mcq__link_t* link, unsigned side, bool wake) {
  mcq__lane_t* lane = &link->lanes[side];
  mcq__chain_t rest = lane->chain;
  mcq__chain_init(&lane->chain, link->mem);
  link->ends[side] = NULL;
  link->gone[side] = true;
  link->lanes[!side].fin = true;
  if (wake) ring_side(link, !side);
  bool last = link->gone[!side];
  uv_mutex_unlock(&link->lock);
  mcq__chain_dispose(&rest);
  if (!last) return;
  uv_mutex_destroy(&link->lock);
  mcq__mem_free(link->mem, link);
}

void mcq__link_refuse(mcq__io_t* io, mcq__link_t* link) {
  if (mcq__io_enter(io, &link->lock)) leave_link(link, 1, !io->forked);
}

/* A caller goes who has not been let in: takes the link away from the door. */
static void withdraw(const mcq__far_t* e) {
  mcq__link_t* link = e->link;
  mcq_inproc_t* space = e->io->space;
  if (e->side != 0 || !mcq__io_enter(e->io, &space->lock)) return;
  bool waits = mcq__node_linked(&link->node);
  mcq__list_remove(&link->node);
  uv_mutex_unlock(&space->lock);
  if (waits) mcq__link_refuse(e->io, link);
}

static mcq__link_t* make_link(mcq__mem_t* mem) {
  mcq__link_t* link = mcq__new(mem, mcq__link_t);
  if (link == NULL) return NULL;
  if (uv_mutex_init(&link->lock) != 0) {
    mcq__mem_free(mem, link);
    return NULL;
  }
  link->mem = mem;
  mcq__chain_init(&link->lanes[0].chain, mem);
  mcq__chain_init(&link->lanes[1].chain, mem);
  return link;
}

/* ---- the work ------------------------------------------------------------ */

/* Takes what came when all before it was read, and learns what the other side
 * did.  True when it has made the room that was waited for. */
static bool look(mcq__far_t* e) {
  mcq__lane_t* lane = inward(e);
  uv_mutex_lock(&e->link->lock);
  if (e->reading && e->in.bytes == 0 && lane->chain.bytes > 0) {
    mcq__chain_t taken = lane->chain;
    lane->chain = e->in;
    e->in = taken;
    if (lane->blocked) ring_other(e);
    lane->blocked = false;
  }
  e->more = lane->chain.bytes > 0;
  e->fin = lane->fin && !e->more;
  bool room = e->waiting && !outward(e)->blocked;
  if (e->waiting && e->link->gone[!e->side]) e->failed = true;
  uv_mutex_unlock(&e->link->lock);
  return room || e->failed;
}

static void read_some(mcq__far_t* e) {
  for (int i = 0; i < READS && e->reading && e->in.bytes > 0; i++) {
    mcq__slice_t piece = mcq__chain_shift(&e->in);
    e->wire.events->on_bytes(&e->wire, piece);
    mcq__slice_release(&piece);
  }
}

static void end_reading(mcq__far_t* e) {
  e->ended = true;
  e->reading = false;
  if (!e->failed) e->wire.events->on_end(&e->wire, UV_EOF);
}

static void run(mcq__far_t* e) {
  if (e->io->forked) return;
  bool answered = look(e);
  read_some(e);
  if (e->closing) return;
  if (answered && e->waiting) {
    e->waiting = false;
    e->wire.events->on_wrote(&e->wire, e->failed ? UV_EPIPE : 0);
  }
  if (e->closing || e->ended) return;
  if (e->wire.events == NULL) return; /* nobody has adopted it yet */
  bool rest = e->in.bytes > 0 || e->more;
  if (rest && e->reading)
    mcq__io_later(e->io, &e->work);
  else if (!rest && e->fin)
    end_reading(e);
}

static void run_work(mcq__task_t* task) {
  run(mcq__container_of(task, mcq__far_t, work));
}

/* One share of a turn is enough. */
static void run_rung(mcq__task_t* task) {
  mcq__far_t* e = mcq__container_of(task, mcq__far_t, ring.task);
  if (!mcq__node_linked(&e->work.node)) run(e);
}

/* ---- the table ----------------------------------------------------------- */

static int adopt(mcq__wire_t** out, mcq__io_t* io, void* stream,
                 const mcq__wire_events_t* events, void* user) {
  mcq__far_t* e = (mcq__far_t*) stream;
  e->wire = (mcq__wire_t){&mcq__inproc_far_pump, io, events, user};
  *out = &e->wire;
  return 0;
}

static int read_start(mcq__wire_t* wire) {
  mcq__far_t* e = of_wire(wire);
  if (e->ended) return 0;
  e->reading = true;
  mcq__io_work(e->io, &e->work);
  return 0;
}

static void read_stop(mcq__wire_t* wire) {
  of_wire(wire)->reading = false;
}

/* Under the lock. */
static ssize_t put(mcq__far_t* e, const mcq__chain_t* from, size_t off,
                   size_t len) {
  mcq__lane_t* lane = outward(e);
  if (e->link->gone[!e->side]) {
    e->failed = true;
    return UV_EPIPE;
  }
  if (lane->chain.bytes >= LANE_MAX) {
    lane->blocked = true;
    e->waiting = true;
    return MCQ__IN_FLIGHT;
  }
  /* Of what lies there already the other side has been told. */
  bool news = lane->chain.bytes == 0;
  int rc = mcq__chain_share(&lane->chain, from, off, len);
  if (rc != 0) return rc;
  if (news) ring_other(e);
  return (ssize_t) len;
}

static ssize_t pass(mcq__wire_t* wire, const mcq__chain_t* from, size_t off,
                    size_t len) {
  mcq__far_t* e = of_wire(wire);
  if (mcq__unlikely(e->io->forked)) return UV_ECANCELED;
  uv_mutex_lock(&e->link->lock);
  ssize_t n = put(e, from, off, len);
  uv_mutex_unlock(&e->link->lock);
  return n;
}

static void shut(mcq__wire_t* wire) {
  mcq__far_t* e = of_wire(wire);
  if (e->io->forked) return;
  uv_mutex_lock(&e->link->lock);
  outward(e)->fin = true;
  ring_other(e);
  uv_mutex_unlock(&e->link->lock);
}

/* From here on nobody knows of this end.  In the child of a fork the other
 * one's thread is not there any more, and may have died in here: then what
 * they shared is left as it lies. */
static void part(mcq__far_t* e) {
  e->closing = true;
  withdraw(e);
  if (mcq__io_enter(e->io, &e->link->lock))
    leave_link(e->link, e->side, !e->io->forked);
  mcq__bell_cancel(e->io, &e->ring);
  mcq__io_cancel(&e->work);
  mcq__chain_dispose(&e->in);
}

static void run_gone(mcq__task_t* task) {
  mcq__far_t* e = mcq__container_of(task, mcq__far_t, gone);
  mcq__mem_t* mem = e->io->mem;
  e->wire.events->on_closed(&e->wire);
  mcq__mem_free(mem, e);
}

static void close_wire(mcq__wire_t* wire) {
  mcq__far_t* e = of_wire(wire);
  if (e->closing) return;
  part(e);
  mcq__io_work(e->io, &e->gone);
}

const mcq__backend_t mcq__inproc_far_pump = {
    .name = "inproc",
    .adopt = adopt,
    .read_start = read_start,
    .read_stop = read_stop,
    .pass = pass,
    .shutdown = shut,
    .close = close_wire,
};

/* ---- ends ---------------------------------------------------------------- */

static mcq__far_t* make_end(mcq__io_t* io) {
  mcq__far_t* e = mcq__new(io->mem, mcq__far_t);
  if (e == NULL) return NULL;
  e->wire.backend = &mcq__inproc_far_pump;
  e->io = io;
  e->work.run = run_work;
  e->ring.task.run = run_rung;
  e->gone.run = run_gone;
  mcq__chain_init(&e->in, io->mem);
  return e;
}

int mcq__link_new(mcq__io_t* io, mcq__link_t** out, mcq__far_t** here) {
  mcq__far_t* e = make_end(io);
  mcq__link_t* link = e == NULL ? NULL : make_link(io->mem);
  if (link == NULL) {
    mcq__mem_free(io->mem, e);
    return MCQ_ENOMEM;
  }
  e->link = link;
  e->side = 0;
  link->ends[0] = e;
  *out = link;
  *here = e;
  return 0;
}

int mcq__link_join(mcq__link_t* link, mcq__io_t* io, mcq__far_t** out) {
  mcq__far_t* e = make_end(io);
  if (e == NULL) return MCQ_ENOMEM;
  e->link = link;
  e->side = 1;
  uv_mutex_lock(&link->lock);
  bool alone = link->gone[0];
  if (!alone) link->ends[1] = e;
  uv_mutex_unlock(&link->lock);
  if (alone) {
    mcq__mem_free(io->mem, e);
    return UV_ECONNABORTED;
  }
  *out = e;
  return 0;
}

void mcq__far_discard(mcq__far_t* e) {
  mcq__mem_t* mem = e->io->mem;
  part(e);
  mcq__mem_free(mem, e);
}
