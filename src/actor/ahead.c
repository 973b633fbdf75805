/* SPDX-License-Identifier: MIT */
/* Events put off (see ahead.h).  Called by the actor alone; never looks at
 * what they say. */
#include "actor/ahead.h"

typedef struct put_off {
  mcq__event_kind_t kind;
  mcq__event_t event; /* its body is counted */
} put_off_t;

mcq__ahead_t* mcq__ahead_new(mcq__pool_t* pool) {
  mcq__ahead_t* h = mcq__new(mcq__pool_mem(pool), mcq__ahead_t);
  if (h == NULL) return NULL;
  h->pool = pool;
  mcq__fifo_init(&h->events, mcq__pool_mem(pool), sizeof(put_off_t));
  return h;
}

void mcq__ahead_free(mcq__ahead_t* h) {
  mcq__event_t ev;
  if (h == NULL) return;
  while (mcq__ahead_take(h, &ev) != MCQ__EV_NONE) mcq__slice_release(&ev.body);
  mcq__fifo_dispose(&h->events);
  mcq__mem_free(mcq__pool_mem(h->pool), h);
}

static size_t weight(const mcq__event_t* ev) {
  return sizeof(put_off_t) + ev->body.len;
}

int mcq__ahead_put(mcq__ahead_t* h, mcq__event_kind_t kind,
                   const mcq__event_t* ev) {
  mcq__slice_t kept = {0};
  if (ev->body.len != 0) {
    int rc = mcq__slice_keep(&kept, h->pool, ev->body);
    if (rc != 0) return rc;
  }
  put_off_t* last = (put_off_t*) mcq__fifo_push(&h->events);
  if (last == NULL) {
    mcq__slice_release(&kept);
    return MCQ_ENOMEM;
  }
  last->kind = kind;
  last->event = *ev;
  last->event.body = kept;
  h->bytes += weight(&last->event);
  return 0;
}

mcq__event_kind_t mcq__ahead_take(mcq__ahead_t* h, mcq__event_t* ev) {
  if (mcq__ahead_empty(h)) return MCQ__EV_NONE;
  const put_off_t* first = (const put_off_t*) mcq__fifo_first(&h->events);
  mcq__event_kind_t kind = first->kind;
  *ev = first->event;
  h->bytes -= weight(ev);
  mcq__fifo_shift(&h->events);
  if (mcq__ahead_empty(h)) h->closed = false;
  return kind;
}
