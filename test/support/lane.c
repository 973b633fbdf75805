/* SPDX-License-Identifier: MIT */
/* The network of lane.h: a transport that dials at once and a back end that
 * keeps no bytes.  Used by programs that are run under callgrind; it must cost
 * nothing beside what it is used to measure. */
#include "support/lane.h"

#include <string.h>

/* The clock's argument is what a context knows its lane by. */
static lane_t* lane_of(const mcq__io_t* io) {
  return (lane_t*) io->seams.clock_arg;
}

static lane_t* of_wire(mcq__wire_t* wire) {
  return mcq__container_of(wire, lane_t, wire);
}

/* ---- the back end -------------------------------------------------------- */

static const mcq__backend_t backend;

static int join(mcq__io_t* io) {
  (void) io;
  return 0;
}

static void leave(mcq__io_t* io) {
  mcq__io_left(io);
}

static void run_closed(mcq__task_t* task) {
  lane_t* lane = mcq__container_of(task, lane_t, closed);
  lane->io = NULL;
  lane->wire.events->on_closed(&lane->wire);
}

static int adopt(mcq__wire_t** out, mcq__io_t* io, void* stream,
                 const mcq__wire_events_t* events, void* user) {
  lane_t* lane = (lane_t*) stream;
  lane->wire = (mcq__wire_t){&backend, io, events, user};
  lane->io = io;
  *out = &lane->wire;
  return 0;
}

static int read_start(mcq__wire_t* wire) {
  of_wire(wire)->reading = !of_wire(wire)->closing;
  return 0;
}

static void read_stop(mcq__wire_t* wire) {
  of_wire(wire)->reading = false;
}

static ssize_t write_lane(mcq__wire_t* wire, const mcq__iov_t* iov,
                          size_t count, size_t total) {
  (void) iov;
  (void) count;
  of_wire(wire)->writes++;
  of_wire(wire)->written += total;
  return (ssize_t) total;
}

static void shutdown_lane(mcq__wire_t* wire) {
  (void) wire;
}

static void close_lane(mcq__wire_t* wire) {
  lane_t* lane = of_wire(wire);
  if (lane->closing) return;
  lane->closing = true;
  lane->reading = false;
  mcq__io_work(wire->io, &lane->closed);
}

static const mcq__backend_t backend = {
    .name = "lane",
    .join = join,
    .leave = leave,
    .adopt = adopt,
    .read_start = read_start,
    .read_stop = read_stop,
    .write = write_lane,
    .shutdown = shutdown_lane,
    .close = close_lane,
};

/* ---- the transport ------------------------------------------------------- */

static int listen_lane(mcq__listener_t* l) {
  (void) l;
  return MCQ_ENOTSUP;
}

static void unlisten_lane(mcq__listener_t* l) {
  (void) l;
}

static void run_dialed(mcq__task_t* task) {
  lane_t* lane = mcq__container_of(task, lane_t, dialed);
  mcq__dialer_t* d = lane->dialer;
  lane->dialer = NULL;
  mcq__dialer_done(d, lane->code == 0 ? lane : NULL, "lane://far", lane->code);
}

static int dial_lane(mcq__dialer_t* d) {
  lane_t* lane = lane_of(d->io);
  if (lane->io != NULL || lane->dialer != NULL) return UV_ECONNREFUSED;
  lane->dialer = d;
  lane->closing = false;
  lane->code = 0;
  mcq__io_work(d->io, &lane->dialed);
  return 0;
}

static void hangup_lane(mcq__dialer_t* d) {
  lane_of(d->io)->code = UV_ECANCELED;
}

static void discard_lane(mcq__io_t* io, void* stream) {
  (void) io;
  (void) stream;
}

static const mcq__transport_t transport = {
    .scheme = "lane",
    .listen = listen_lane,
    .unlisten = unlisten_lane,
    .dial = dial_lane,
    .hangup = hangup_lane,
    .discard = discard_lane,
};

/* ---- for the test -------------------------------------------------------- */

static uint64_t stand_still(void* arg) {
  (void) arg;
  return 1000;
}

mcq__seams_t lane_init(lane_t* lane) {
  memset(lane, 0, sizeof *lane);
  lane->dialed.run = run_dialed;
  lane->closed.run = run_closed;
  return (mcq__seams_t){.clock = stand_still,
                        .clock_arg = lane,
                        .backend = &backend,
                        .transport = &transport,
                        .seed = 1};
}

bool lane_say(lane_t* lane, const void* data, size_t len) {
  if (lane->io == NULL || !lane->reading) return false;
  mcq__slab_t* slab =
      mcq__slab_foreign(lane->io->pool, data, len, true, NULL, NULL);
  if (slab == NULL) return false;
  mcq__slice_t bytes = mcq__slab_slice(slab);
  lane->wire.events->on_bytes(&lane->wire, bytes);
  mcq__slice_release(&bytes);
  return true;
}
