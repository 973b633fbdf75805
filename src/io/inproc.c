/* SPDX-License-Identifier: MIT */
/* The inproc transport: names inside a context.  A dial waits until its name
 * is bound, so who connects may come first. */
#include "io/inproc.h"

#include <stdio.h>
#include <string.h>

#include "io/dialer.h"
#include "io/listener.h"

/* A name that is bound. */
typedef struct door {
  mcq__node_t node; /* in io->doors */
  mcq__listener_t* listener;
} door_t;

/* An attempt to reach one. */
typedef struct call {
  mcq__node_t node; /* in io->calls: its name is not bound */
  mcq__dialer_t* dialer;
  mcq__task_t task;
  bool hung_up;
} call_t;

static bool named(const door_t* door, const char* name) {
  return strcmp(door->listener->endpoint.rest, name) == 0;
}

static door_t* find(const mcq__io_t* io, const char* name) {
  for (mcq__node_t* n = io->doors.next; n != &io->doors; n = n->next) {
    door_t* door = mcq__container_of(n, door_t, node);
    if (named(door, name)) return door;
  }
  return NULL;
}

/* ---- calling ------------------------------------------------------------- */

static void end_call(call_t* call, void* stream, const char* address,
                     int code) {
  mcq__dialer_t* d = call->dialer;
  d->impl = NULL;
  mcq__list_remove(&call->node);
  mcq__io_cancel(&call->task); /* hung up by what the listener's side did */
  mcq__mem_free(d->io->mem, call);
  mcq__dialer_done(d, stream, address, code);
}

/* The listener's side first, as with a kernel in between. */
static void meet(call_t* call, const door_t* door) {
  mcq__listener_t* l = door->listener;
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

static void run_call(mcq__task_t* task) {
  call_t* call = mcq__container_of(task, call_t, task);
  mcq__dialer_t* d = call->dialer;
  if (call->hung_up) {
    end_call(call, NULL, NULL, UV_ECANCELED);
    return;
  }
  door_t* door = find(d->io, d->endpoint.rest);
  if (door != NULL)
    meet(call, door);
  else
    mcq__list_insert(&d->io->calls, &call->node);
}

static int dial(mcq__dialer_t* d) {
  call_t* call = mcq__new(d->io->mem, call_t);
  if (call == NULL) return MCQ_ENOMEM;
  call->dialer = d;
  call->task.run = run_call;
  d->impl = call;
  mcq__io_work(d->io, &call->task);
  return 0;
}

static void hangup(mcq__dialer_t* d) {
  call_t* call = (call_t*) d->impl;
  call->hung_up = true;
  mcq__list_remove(&call->node);
  mcq__io_work(d->io, &call->task);
}

/* ---- listening ----------------------------------------------------------- */

/* Whoever waits for the name tries again. */
static void call_again(mcq__io_t* io) {
  mcq__node_t* n;
  while ((n = mcq__list_shift(&io->calls)) != NULL)
    mcq__io_work(io, &mcq__container_of(n, call_t, node)->task);
}

static int bind_name(mcq__listener_t* l) {
  mcq__io_t* io = l->io;
  if (l->endpoint.rest[0] == '\0') return MCQ_EINVAL;
  if (find(io, l->endpoint.rest) != NULL) return MCQ_EADDRINUSE;
  door_t* door = mcq__new(io->mem, door_t);
  if (door == NULL) return MCQ_ENOMEM;
  door->listener = l;
  l->impl = door;
  snprintf(l->address, sizeof l->address, "inproc://%s", l->endpoint.rest);
  mcq__list_insert(&io->doors, &door->node);
  call_again(io);
  return 0;
}

static void run_closed(mcq__task_t* task) {
  mcq__listener_closed(mcq__container_of(task, mcq__listener_t, closed));
}

static void unbind(mcq__listener_t* l) {
  door_t* door = (door_t*) l->impl;
  mcq__list_remove(&door->node);
  mcq__mem_free(l->io->mem, door);
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
