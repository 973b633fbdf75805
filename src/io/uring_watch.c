/* SPDX-License-Identifier: MIT */
/* Wires that are read the way the other back end reads: polled for by the loop
 * itself, and read by themselves when there is something.  They are as long as
 * there are few.  What wakes the loop is then the connection and not the ring,
 * from which what came would have to be fetched; with many connections the ring
 * fetches for all of them at once, and is the better way.
 *
 * Called by uring_receive.c (watch) and uring_wire.c (unwatch); the loop calls
 * on_poll.  Never touches what is written. */
#include "io/uring.h"

typedef mcq__uring_wire_t wire_t;
typedef mcq__uring_watch_t watch_t;

static void on_closed(uv_handle_t* handle) {
  watch_t* watch = mcq__container_of((uv_poll_t*) handle, watch_t, poll);
  mcq__uring_t* u = watch->u;
  watch->taken = false;
  u->watching--;
  mcq__uring_unused(u);
}

void mcq__uring_unwatch(wire_t* w) {
  watch_t* watch = w->watch;
  if (watch == NULL) return;
  w->watch = NULL;
  watch->w = NULL;
  uv_close((uv_handle_t*) &watch->poll, on_closed);
}

static void stop(watch_t* watch) {
  if (watch->armed) uv_poll_stop(&watch->poll);
  watch->u->io->calls.polls += watch->armed;
  watch->armed = false;
}

/* What is no longer wanted stays armed until it fires once for nothing: it is
 * often wanted again before that. */
static void on_poll(uv_poll_t* poll, int status, int events) {
  watch_t* watch = mcq__container_of(poll, watch_t, poll);
  (void) events;
  if (status < 0) { /* libuv has stopped; reading tells what it is */
    watch->armed = false;
    mcq__uring_want(watch->w);
  }
  if (mcq__uring_readable(watch->w) || watch->w == NULL) return;
  stop(watch);
}

static watch_t* free_one(mcq__uring_t* u) {
  for (unsigned i = 0; i < u->watch_max; i++)
    if (!u->watches[i].taken) return &u->watches[i];
  return NULL;
}

/* Polling takes the flag off that writes rely on (see uring_wire.c). */
static void take(wire_t* w) {
  watch_t* watch = free_one(w->u);
  if (watch == NULL) return;
  if (uv_poll_init(w->wire.io->loop, &watch->poll, w->fd) != 0) return;
  uv_unref((uv_handle_t*) &watch->poll);
  watch->u = w->u;
  watch->w = w;
  watch->armed = false;
  watch->taken = true;
  w->watch = watch;
  w->u->watching++;
  if (mcq__uring_set_blocking(w->fd) != 0) mcq__uring_unwatch(w);
}

bool mcq__uring_watch(wire_t* w) {
  if (mcq__uring_many(w->u)) return false;
  if (w->watch == NULL) take(w);
  watch_t* watch = w->watch;
  if (watch == NULL) return false;
  if (watch->armed) return true;
  w->wire.io->calls.polls++;
  watch->armed = uv_poll_start(&watch->poll, UV_READABLE, on_poll) == 0;
  if (!watch->armed) mcq__uring_unwatch(w);
  return watch->armed;
}
