/* SPDX-License-Identifier: MIT */
/* The ring behind fair round robin: slots linked both ways in an array and a
 * cursor on the one whose turn it is.  RouterHub adds, removes and advances.
 * Joining and leaving touch the neighbours alone, so whoever stays keeps its
 * place.  It never asks who sits in a slot. */
#include "hub/rotation.h"

void mcq__rotation_init(mcq__rotation_t* r, mcq__mem_t* mem) {
  r->mem = mem;
  r->links = NULL;
  r->cap = 0;
  r->cursor = MCQ__NO_SLOT;
  r->count = 0;
}

void mcq__rotation_dispose(mcq__rotation_t* r) {
  if (r->links != NULL) mcq__mem_free(r->mem, r->links);
  mcq__rotation_init(r, r->mem);
}

int mcq__rotation_reserve(mcq__rotation_t* r, uint32_t slot) {
  if (slot < r->cap) return 0;
  void* links = r->links;
  int rc = mcq__mem_grow(r->mem, &links, &r->cap, (size_t) slot + 1,
                         sizeof(mcq__turnstile_t));
  if (rc == 0) r->links = (mcq__turnstile_t*) links;
  return rc;
}

void mcq__rotation_add(mcq__rotation_t* r, uint32_t slot) {
  mcq__check(slot < r->cap);
  mcq__turnstile_t* me = &r->links[slot];
  if (me->in) return;
  me->in = true;
  r->count++;
  if (r->cursor == MCQ__NO_SLOT) {
    me->next = slot;
    me->prev = slot;
    r->cursor = slot;
    return;
  }
  /* Just before the cursor: everyone who waits already comes first. */
  mcq__turnstile_t* next = &r->links[r->cursor];
  me->next = r->cursor;
  me->prev = next->prev;
  r->links[next->prev].next = slot;
  next->prev = slot;
}

void mcq__rotation_remove(mcq__rotation_t* r, uint32_t slot) {
  if (slot >= r->cap || !r->links[slot].in) return;
  mcq__turnstile_t* me = &r->links[slot];
  if (r->cursor == slot) r->cursor = me->next == slot ? MCQ__NO_SLOT : me->next;
  r->links[me->prev].next = me->next;
  r->links[me->next].prev = me->prev;
  me->in = false;
  r->count--;
}
