/* SPDX-License-Identifier: MIT */
/* The bell: what other threads ring so that the loop looks at what they left.
 * Rung by whoever shares something with this loop, each under a lock of its
 * own; heard in the loop as tasks, so that the bounds of a turn hold for them
 * too.  It carries nothing but the word that there is something. */
#include "io/seat.h"

/* libuv merges calls, so a single one stands for all that was rung. */
static void on_rung(uv_async_t* async) {
  mcq__io_t* io = (mcq__io_t*) async->data;
  mcq__bell_t* bell = &io->bell;
  if (io->forked) return;
  io->calls.wakes++;
  uv_mutex_lock(&bell->lock);
  mcq__node_t* node;
  while ((node = mcq__list_shift(&bell->rung)) != NULL)
    mcq__io_work(io, &mcq__container_of(node, mcq__ring_t, node)->task);
  uv_mutex_unlock(&bell->lock);
}

int mcq__bell_open(mcq__io_t* io) {
  mcq__bell_t* bell = &io->bell;
  if (bell->open) return 0;
  int rc = uv_mutex_init(&bell->lock);
  if (rc != 0) return rc;
  rc = uv_async_init(io->loop, &bell->async, on_rung);
  if (rc != 0) {
    uv_mutex_destroy(&bell->lock);
    return rc;
  }
  mcq__list_init(&bell->rung);
  bell->async.data = io;
  bell->open = true;
  uv_unref((uv_handle_t*) &bell->async);
  mcq__io_pin(io);
  return 0;
}

/* Called under the lock, so that nobody is inside when the handle closes. */
static void wake(mcq__bell_t* bell) {
  (void) uv_async_send(&bell->async);
}

void mcq__bell_ring(mcq__io_t* io, mcq__ring_t* ring) {
  mcq__bell_t* bell = &io->bell;
  uv_mutex_lock(&bell->lock);
  if (!mcq__node_linked(&ring->node)) {
    bool first = mcq__list_empty(&bell->rung);
    mcq__list_insert(&bell->rung, &ring->node);
    if (first) wake(bell);
  }
  uv_mutex_unlock(&bell->lock);
}

void mcq__bell_cancel(mcq__io_t* io, mcq__ring_t* ring) {
  mcq__bell_t* bell = &io->bell;
  if (bell->open && !bell->broken) {
    uv_mutex_lock(&bell->lock);
    mcq__list_remove(&ring->node);
    uv_mutex_unlock(&bell->lock);
  }
  mcq__io_cancel(&ring->task);
}

static void on_closed(uv_handle_t* handle) {
  mcq__io_t* io = (mcq__io_t*) handle->data;
  uv_mutex_destroy(&io->bell.lock);
  io->bell.open = false;
  mcq__io_unpin(io);
}

/* Closing a handle that is in another thread's hands waits for it to let go.
 * In the child of a fork it never will: then the handle stays in the loop. */
void mcq__bell_close(mcq__io_t* io) {
  if (!io->bell.open || io->bell.broken) return;
  mcq__check(io->forked || mcq__list_empty(&io->bell.rung));
  uv_close((uv_handle_t*) &io->bell.async, on_closed);
}
