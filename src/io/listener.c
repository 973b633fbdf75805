/* SPDX-License-Identifier: MIT */
/* A bound endpoint (see listener.h): hands what its transport accepts to the
 * socket above.  Knows no address family and never touches a stream. */
#include "io/listener.h"

#include <string.h>

int mcq__listener_open(mcq__listener_t* l, mcq__io_t* io,
                       const mcq__endpoint_t* endpoint, int backlog,
                       const mcq__listener_events_t* events) {
  l->transport =
      mcq__transport_find(io, endpoint->scheme, strlen(endpoint->scheme));
  if (l->transport == NULL) return MCQ_ENOTSUP;
  l->io = io;
  l->events = events;
  l->endpoint = *endpoint;
  l->backlog = backlog;
  return l->transport->listen(l);
}

void mcq__listener_close(mcq__listener_t* l) {
  if (l->closing) return;
  l->closing = true;
  l->transport->unlisten(l);
}

bool mcq__listener_knock(mcq__listener_t* l, const mcq__origin_t* from,
                         const char* address) {
  static const mcq__origin_t nowhere = {{0}, 0};
  if (l->closing) return false;
  l->from = from == NULL ? nowhere : *from;
  return l->events->on_knock == NULL || l->events->on_knock(l, address);
}

void mcq__listener_stream(mcq__listener_t* l, void* stream,
                          const char* address) {
  if (l->closing)
    l->transport->discard(l->io, stream);
  else
    l->events->on_stream(l, stream, address);
}

void mcq__listener_error(mcq__listener_t* l, int code) {
  if (!l->closing) l->events->on_error(l, code);
}

void mcq__listener_closed(mcq__listener_t* l) {
  l->events->on_closed(l);
}
