/* SPDX-License-Identifier: MIT */
/* The inproc transport: names inside a context, or inside a space that several
 * contexts share.  A dial waits until its name is bound, so who connects may
 * come first.  Between two contexts the caller leaves his half of the
 * connection at the door, and the other loop finds it there. */
#include "io/inproc.h"

#include <stdio.h>
#include <string.h>

#include "io/dialer.h"
#include "io/listener.h"
#include "io/seat.h"

/* Callers let in before others have their turn. */
#define VISITS 64

/* A name that is bound. */
typedef struct door {
  mcq__node_t node; /* in space->doors */
  mcq__listener_t* listener;
  mcq__node_t visits; /* of mcq__link_t: callers from other contexts */
  mcq__ring_t ring;   /* there are some */
} door_t;

/* An attempt to reach one. */
typedef struct call {
  mcq__node_t node; /* in space->calls: its name is not bound */
  mcq__dialer_t* dialer;
  mcq__task_t task;
  mcq__ring_t ring; /* it was bound, in another context */
  bool hung_up;
} call_t;

/* Under the lock. */
static door_t* find(const mcq_inproc_t* space, const char* name) {
  for (mcq__node_t* n = space->doors.next; n != &space->doors; n = n->next) {
    door_t* door = mcq__container_of(n, door_t, node);
    if (strcmp(door->listener->endpoint.rest, name) == 0) return door;
  }
  return NULL;
}

/* ---- calling ------------------------------------------------------------- */

/* Out of the space, if it is there.  False: in the child of a fork, where the
 * space may be out of order for ever. */
static bool forget_call(call_t* call) {
  mcq__io_t* io = call->dialer->io;
  if (!mcq__io_enter(io, &io->space->lock)) return false;
  mcq__list_remove(&call->node);
  uv_mutex_unlock(&io->space->lock);
  mcq__bell_cancel(io, &call->ring);
  return true;
}

static void end_call(call_t* call, void* stream, const char* address,
                     int code) {
  mcq__dialer_t* d = call->dialer;
  d->impl = NULL;
  mcq__io_cancel(&call->task); /* hung up by what the listener's side did */
  if (forget_call(call)) mcq__mem_free(d->io->mem, call);
  mcq__dialer_done(d, stream, address, code);
}

/* The listener's side first, as with a kernel in between. */
static void meet(call_t* call, mcq__listener_t* l) {
  mcq__inproc_t* here;
  mcq__inproc_t* there;
  char address[MCQ__ENDPOINT_MAX];
  snprintf(address, sizeof address, "%s", l->address);
  int rc = UV_ECONNREFUSED;
  if (mcq__listener_knock(l, NULL, address))
    rc = mcq__inproc_pair(call->dialer->io, &here, &there);
  if (rc != 0) {
    end_call(call, NULL, NULL, rc);
    return;
  }
  mcq__listener_stream(l, there, address);
  end_call(call, here, address, 0);
}

/* Under the lock: leaves the caller's half at the door of another loop. */
static int visit(mcq__io_t* io, door_t* door, mcq__far_t** here) {
  mcq__link_t* link;
  int rc = mcq__link_new(io, &link, here);
  if (rc != 0) return rc;
  mcq__list_insert(&door->visits, &link->node);
  mcq__bell_ring(door->listener->io, &door->ring);
  return 0;
}

/* Connected as soon as the call is left there, as with a kernel's backlog. */
static void end_visit(call_t* call, mcq__far_t* here, int rc) {
  const mcq__dialer_t* d = call->dialer;
  char address[MCQ__ENDPOINT_MAX];
  snprintf(address, sizeof address, "inproc://%s", d->endpoint->rest);
  end_call(call, here, address, rc);
}

static void run_call(call_t* call) {
  mcq__dialer_t* d = call->dialer;
  mcq__io_t* io = d->io;
  if (call->hung_up) {
    end_call(call, NULL, NULL, UV_ECANCELED);
    return;
  }
  mcq__far_t* here = NULL;
  int rc = 0;
  uv_mutex_lock(&io->space->lock);
  door_t* door = find(io->space, d->endpoint->rest);
  mcq__listener_t* l = door == NULL ? NULL : door->listener;
  bool near = l != NULL && l->io == io;
  if (door == NULL)
    mcq__list_insert(&io->space->calls, &call->node);
  else if (!near)
    rc = visit(io, door, &here);
  uv_mutex_unlock(&io->space->lock);
  /* Doors of this context are closed by this thread alone. */
  if (near)
    meet(call, l);
  else if (l != NULL)
    end_visit(call, here, rc);
}

static void run_dialed(mcq__task_t* task) {
  run_call(mcq__container_of(task, call_t, task));
}

static void run_rung(mcq__task_t* task) {
  run_call(mcq__container_of(task, call_t, ring.task));
}

static int dial(mcq__dialer_t* d) {
  call_t* call = mcq__new(d->io->mem, call_t);
  if (call == NULL) return MCQ_ENOMEM;
  call->dialer = d;
  call->task.run = run_dialed;
  call->ring.task.run = run_rung;
  d->impl = call;
  mcq__io_work(d->io, &call->task);
  return 0;
}

static void hangup(mcq__dialer_t* d) {
  call_t* call = (call_t*) d->impl;
  call->hung_up = true;
  (void) forget_call(call);
  mcq__io_work(d->io, &call->task);
}

/* ---- listening ----------------------------------------------------------- */

/* Under the lock: who waits for the name tries again. */
static void call_again(const mcq__io_t* io, const char* name) {
  mcq__node_t* head = &io->space->calls;
  mcq__node_t* n = head->next;
  while (n != head) {
    call_t* call = mcq__container_of(n, call_t, node);
    mcq__dialer_t* d = call->dialer;
    n = n->next;
    if (strcmp(d->endpoint->rest, name) != 0) continue;
    mcq__list_remove(&call->node);
    if (d->io == io)
      mcq__io_work(d->io, &call->task);
    else
      mcq__bell_ring(d->io, &call->ring);
  }
}

/* Who is next at the door, or NULL.  From then on he is the caller's. */
static mcq__link_t* take_visit(mcq__io_t* io, door_t* door) {
  if (!mcq__io_enter(io, &io->space->lock)) return NULL;
  mcq__node_t* n = mcq__list_shift(&door->visits);
  uv_mutex_unlock(&io->space->lock);
  return n == NULL ? NULL : mcq__container_of(n, mcq__link_t, node);
}

/* Whoever has gone meanwhile is not reported. */
static void receive(mcq__listener_t* l, mcq__link_t* link) {
  mcq__far_t* end;
  char address[MCQ__ENDPOINT_MAX];
  snprintf(address, sizeof address, "%s", l->address);
  int rc = mcq__link_join(link, l->io, &end);
  if (rc == 0) {
    mcq__listener_stream(l, end, address);
    return;
  }
  mcq__link_refuse(l->io, link);
  if (rc != UV_ECONNABORTED) mcq__listener_error(l, rc);
}

/* The door goes when the listener closes, as it may while it is told. */
static void run_visits(mcq__task_t* task) {
  door_t* door = mcq__container_of(task, door_t, ring.task);
  mcq__listener_t* l = door->listener;
  for (int i = 0; i < VISITS && !l->closing; i++) {
    mcq__link_t* link = take_visit(l->io, door);
    if (link == NULL) return;
    receive(l, link);
  }
  if (!l->closing) mcq__io_later(l->io, task);
}

static int bind_name(mcq__listener_t* l) {
  mcq__io_t* io = l->io;
  if (l->endpoint.rest[0] == '\0') return MCQ_EINVAL;
  door_t* door = mcq__new(io->mem, door_t);
  if (door == NULL) return MCQ_ENOMEM;
  door->listener = l;
  door->ring.task.run = run_visits;
  mcq__list_init(&door->visits);
  snprintf(l->address, sizeof l->address, "inproc://%s", l->endpoint.rest);
  uv_mutex_lock(&io->space->lock);
  bool taken = find(io->space, l->endpoint.rest) != NULL;
  if (!taken) {
    mcq__list_insert(&io->space->doors, &door->node);
    call_again(io, l->endpoint.rest);
  }
  uv_mutex_unlock(&io->space->lock);
  if (taken) {
    mcq__mem_free(io->mem, door);
    return MCQ_EADDRINUSE;
  }
  l->impl = door;
  return 0;
}

static void run_closed(mcq__task_t* task) {
  mcq__listener_closed(mcq__container_of(task, mcq__listener_t, closed));
}

/* Those who are at the door are sent away, one by one: until it is his turn
 * each may leave by himself. */
static void close_door(mcq__io_t* io, door_t* door) {
  if (!mcq__io_enter(io, &io->space->lock)) return;
  mcq__list_remove(&door->node);
  uv_mutex_unlock(&io->space->lock);
  mcq__bell_cancel(io, &door->ring);
  mcq__link_t* link;
  while ((link = take_visit(io, door)) != NULL) mcq__link_refuse(io, link);
  mcq__mem_free(io->mem, door);
}

static void unbind(mcq__listener_t* l) {
  close_door(l->io, (door_t*) l->impl);
  l->closed.run = run_closed;
  mcq__io_work(l->io, &l->closed);
}

const mcq__transport_t mcq__transport_inproc = {
    .scheme = "inproc",
    .pump = &mcq__inproc_pump,
    .waits = true,
    .listen = bind_name,
    .unlisten = unbind,
    .dial = dial,
    .hangup = hangup,
    .discard = mcq__inproc_discard,
};
