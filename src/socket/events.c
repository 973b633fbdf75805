/* SPDX-License-Identifier: MIT */
/* What users hear of a peer beside its up, its down and its messages: the one
 * place where an event about a peer is made.  Called from phases of the loop by
 * whoever has something to say; events of endpoints are ends.c's. */
#include "socket/socket.h"

/* What it said it is called, as far as that is known by now. */
static mcq__slice_t announced(const mcq__actor_t* a) {
  return a->session == NULL
             ? mcq__slice_static(NULL, 0)
             : a->config->protocol->hello(a->session)->routing_id;
}

mcq_event_t mcq__events_of(const mcq__actor_t* a, mcq_event_kind_t kind) {
  const mcq_socket_t* s = (const mcq_socket_t*) a->config->owner;
  const mcq__end_t* end = (const mcq__end_t*) a->end;
  mcq__slice_t id =
      s->pattern->by_name ? s->pattern->seats->id(s, a->peer) : announced(a);
  return (mcq_event_t){
      .kind = kind,
      .endpoint = end == NULL ? 0 : end->id,
      .address = a->address != NULL ? a->address
                 : end == NULL      ? ""
                                    : end->uri,
      .peer = a->peer,
      .routing_id = id.data,
      .routing_id_len = id.len,
      .text = "",
  };
}

/* It never was a peer, so it has no handle, and no name but what it said. */
void mcq__events_failed(const mcq__actor_t* a, int code, const char* text) {
  mcq_socket_t* s = (mcq_socket_t*) a->config->owner;
  mcq__slice_t id = announced(a);
  mcq_event_t event = mcq__events_of(a, MCQ_EVENT_HANDSHAKE_FAILED);
  event.peer = (mcq_peer_t){0, 0};
  event.routing_id = id.data;
  event.routing_id_len = id.len;
  event.code = code;
  event.text = text;
  mcq__stats_failed(s, code);
  mcq__socket_event(s, &event);
}

void mcq__events_congestion(const mcq__actor_t* a, mcq_event_kind_t kind) {
  if (a->peer.epoch == 0 && a->end == NULL) return; /* nobody knows it */
  mcq_event_t event = mcq__events_of(a, kind);
  event.count = mcq__outbox_queued(a->outbox);
  mcq__socket_event((mcq_socket_t*) a->config->owner, &event);
}
