/* SPDX-License-Identifier: MIT */
/* Events put off (see ahead.h).  Called by the actor alone; never looks at
 * what they say. */
#include "actor/ahead.h"

typedef struct put_off {
  mcq__event_kind_t kind;
  mcq__event_t event; /* its body is counted */
} put_off_t;

void mcq__ahead_init(mcq__ahead_t* h, mcq__pool_t* pool) {
  h->pool = pool;
  h->bytes = 0;
  mcq__fifo_init(&h->events, mcq__pool_mem(pool), sizeof(put_off_t));
}

void mcq__ahead_clear(mcq__ahead_t* h) {
  mcq__event_t ev;
  while (mcq__ahead_take(h, &ev) != MCQ__EV_NONE) mcq__slice_release(&ev.body);
}

void mcq__ahead_dispose(mcq__ahead_t* h) {
  if (h->pool == NULL) return;
  mcq__ahead_clear(h);
  mcq__fifo_dispose(&h->events);
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
  const put_off_t* first = (const put_off_t*) mcq__fifo_first(&h->events);
  if (first == NULL) return MCQ__EV_NONE;
  mcq__event_kind_t kind = first->kind;
  *ev = first->event;
  h->bytes -= weight(ev);
  mcq__fifo_shift(&h->events);
  if (mcq__ahead_empty(h)) h->closed = false;
  return kind;
}
