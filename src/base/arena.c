/* SPDX-License-Identifier: MIT */
/* Windows one after another (see arena.h).  Called by queues and by who puts
 * messages together for many; never writes a byte itself. */
#include "base/arena.h"

int mcq__arena_renew(mcq__arena_t* a, mcq__pool_t* pool, size_t size) {
  if (mcq__window_rewind(&a->window) && mcq__window_room(&a->window) >= size)
    return 0;
  a->busy = mcq__window_is_open(&a->window);
  a->large = a->large || a->busy;
  mcq__window_close(&a->window);
  size_t usual = a->large ? MCQ__SLAB_MEDIUM : MCQ__SLAB_SMALL;
  return mcq__window_open(&a->window, pool, size > usual ? size : usual);
}

void mcq__arena_rest(mcq__arena_t* a) {
  mcq__window_close(&a->window);
  a->large = a->busy;
  a->busy = false;
}
