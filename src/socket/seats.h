/* SPDX-License-Identifier: MIT */
/* What a socket asks of its hub, whichever of the two it is: who sits where.
 * Whom a message goes to is between the hub and the socket's type. */
#ifndef MCQ__SOCKET_SEATS_H
#define MCQ__SOCKET_SEATS_H

#include "hub/hub.h"
#include "monocoque.h"

typedef struct mcq__seats {
  /* Makes s->hub and points s->roster into it.  dispose takes a zeroed one. */
  void (*init)(mcq_socket_t* s);
  void (*dispose)(mcq_socket_t* s);

  /* A queue exists, or its connection was renewed; `*displaced` is who had
   * the routing id until now, or zeros.  0, MCQ_ETWIN or MCQ_ENOMEM. */
  int (*up)(mcq_socket_t* s, const mcq__hub_event_t* ev, mcq_peer_t* out,
            mcq_peer_t* displaced);

  /* Gone; a stale handle changes nothing.  The same for the next two: it has
   * room again, it gets nothing more from now on. */
  void (*down)(mcq_socket_t* s, mcq_peer_t peer);
  void (*room)(mcq_socket_t* s, mcq_peer_t peer);
  void (*rest)(mcq_socket_t* s, mcq_peer_t peer);

  /* To this one and no other.  0, MCQ_EPEERGONE or what its port answers. */
  int (*tell)(mcq_socket_t* s, mcq_peer_t peer, const mcq__body_t* body);

  /* Tells peers what the hub keeps for them: before something is done to one
   * or is counted.  NULL: it keeps nothing. */
  void (*settle)(mcq_socket_t* s);

  /* The routing id of a peer, borrowed; empty where there are none. */
  mcq__slice_t (*id)(const mcq_socket_t* s, mcq_peer_t peer);

  /* Who is called so, or zeros. */
  mcq_peer_t (*find)(const mcq_socket_t* s, const void* id, size_t len);
} mcq__seats_t;

/* A pattern's send: to the next peer with room, on RouterHub. */
int mcq__send_anyone(mcq_socket_t* s, const mcq__body_t* body);

extern const mcq__seats_t mcq__seats_router; /* RouterHub */
extern const mcq__seats_t mcq__seats_pubsub; /* PubSubHub */

#endif
