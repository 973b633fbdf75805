/* SPDX-License-Identifier: MIT */
/* What makes a socket type: one table a type, one small file a table.  What a
 * type leaves NULL does the ordinary thing. */
#ifndef MCQ__SOCKET_PATTERN_H
#define MCQ__SOCKET_PATTERN_H

#include "actor/actor.h"
#include "hub/hub.h"
#include "monocoque.h"
#include "socket/seats.h"

typedef struct mcq__pattern {
  int type;                 /* MCQ_DEALER, ... */
  const char* name;         /* on the wire */
  const char* const* mates; /* peer types allowed, NULL at the end */
  const mcq__seats_t* seats;
  bool announces_id; /* sends its routing id in the handshake */
  int flags;         /* options.flags the type knows */
  bool raw;          /* no protocol */
  bool fleeting;     /* what waits for a connection goes with it */

  bool picks;     /* send picks the peer: mcq_send_next works */
  bool by_name;   /* routing ids are addresses: each is one peer's alone */
  bool by_handle; /* mcq_send_to works */

  /* Makes what the type keeps in s->own, after the rest of the socket was
   * made: 0 or MCQ_ENOMEM.  fini takes any result.  NULL: nothing. */
  int (*init)(mcq_socket_t* s, const mcq_socket_options_t* options);
  void (*fini)(mcq_socket_t* s);

  /* Routes one message of at least one frame.  A code as mcq_send's.  NULL:
   * the type cannot send. */
  int (*send)(mcq_socket_t* s, const mcq__body_t* body);

  /* To one peer by handle, of at least one frame.  NULL: as it is. */
  int (*send_to)(mcq_socket_t* s, mcq_peer_t peer, const mcq__body_t* body);

  /* A message of a peer.  NULL: goes to the user as it is. */
  void (*recv)(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg);

  /* Takes an actor that is UP for the type: before the user hears of it and
   * before anything is sent to it. */
  void (*up)(mcq_socket_t* s, mcq__actor_t* a);

  /* A peer wants what begins with `prefix`, or no longer; answered a ping.
   * NULL: not understood, and counted. */
  void (*subscribed)(mcq_socket_t* s, mcq__actor_t* a, mcq__slice_t prefix,
                     bool wanted);
  void (*pong)(mcq_socket_t* s, mcq__actor_t* a, mcq__slice_t context);

  /* mcq_subscribe and its reverse.  NULL: the type does not. */
  int (*subscribe)(mcq_socket_t* s, mcq_frame_t topic, bool wanted);

  /* Topics it is subscribed to, or its peers are.  NULL: the type has none. */
  size_t (*topics)(const mcq_socket_t* s);

  /* Messages may be delivered again after mcq_pause.  NULL: nothing waits. */
  void (*resumed)(mcq_socket_t* s);

  /* May this peer come in?  NULL: yes.  Else 0, or a code and a reason. */
  int (*admit)(mcq_socket_t* s, mcq__actor_t* a, const char** text);

  /* What was queued for `from` and not begun is from now on queued for `to`,
   * or for nobody (zeros).  From phases only.  NULL: not of interest. */
  void (*moved)(mcq_socket_t* s, mcq_peer_t from, mcq_peer_t to);
} mcq__pattern_t;

extern const mcq__pattern_t mcq__pattern_pair;
extern const mcq__pattern_t mcq__pattern_dealer;
extern const mcq__pattern_t mcq__pattern_router;
extern const mcq__pattern_t mcq__pattern_req;
extern const mcq__pattern_t mcq__pattern_rep;
extern const mcq__pattern_t mcq__pattern_push;
extern const mcq__pattern_t mcq__pattern_pull;
extern const mcq__pattern_t mcq__pattern_pub;
extern const mcq__pattern_t mcq__pattern_sub;
extern const mcq__pattern_t mcq__pattern_xpub;
extern const mcq__pattern_t mcq__pattern_xsub;
extern const mcq__pattern_t mcq__pattern_stream;

/* The table of a type, or NULL when this build has none. */
const mcq__pattern_t* mcq__pattern_find(int type);

#endif
