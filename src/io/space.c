/* SPDX-License-Identifier: MIT */
/* The life of a space of inproc names (see space.h); what is in it is
 * inproc.c's matter. */
#include "io/space.h"

static int prepare(mcq_inproc_t* space) {
  int rc = uv_mutex_init(&space->lock);
  if (rc != 0) return rc;
  mcq__list_init(&space->doors);
  mcq__list_init(&space->calls);
  atomic_init(&space->holders, 1);
  return 0;
}

int mcq__space_new(const mcq_allocator_t* allocator, mcq_inproc_t** out) {
  mcq__mem_t* mem;
  int rc = mcq__mem_open(&mem, allocator);
  if (rc != 0) return rc;
  mcq_inproc_t* space = mcq__new(mem, mcq_inproc_t);
  rc = space == NULL ? MCQ_ENOMEM : prepare(space);
  if (rc != 0) {
    mcq__mem_free(mem, space);
    mcq__mem_close(mem);
    return rc;
  }
  space->mem = mem;
  *out = space;
  return 0;
}

void mcq__space_retain(mcq_inproc_t* space) {
  atomic_fetch_add_explicit(&space->holders, 1, memory_order_relaxed);
}

/* In the child of a fork the lock may be taken for ever, which libuv would not
 * forgive. */
static void destroy_lock(uv_mutex_t* lock) {
  if (uv_mutex_trylock(lock) != 0) return;
  uv_mutex_unlock(lock);
  uv_mutex_destroy(lock);
}

void mcq__space_release(mcq_inproc_t* space) {
  unsigned before =
      atomic_fetch_sub_explicit(&space->holders, 1, memory_order_acq_rel);
  mcq__check(before != 0);
  if (before != 1) return;
  destroy_lock(&space->lock);
  mcq__mem_t* mem = space->mem;
  mcq__mem_free(mem, space);
  mcq__mem_close(mem);
}

int mcq__space_enter(mcq__io_t* io) {
  if (io->space != NULL) return mcq__bell_open(io);
  int rc = prepare(&io->own);
  if (rc == 0) io->space = &io->own;
  return rc;
}

void mcq__space_leave(mcq__io_t* io) {
  if (io->space == &io->own) uv_mutex_destroy(&io->own.lock);
  io->space = NULL;
}
