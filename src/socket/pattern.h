/* SPDX-License-Identifier: MIT */
/* What makes a socket type: one table a type, one small file a table.  What a
 * type leaves NULL does the ordinary thing. */
#ifndef MCQ__SOCKET_PATTERN_H
#define MCQ__SOCKET_PATTERN_H

#include "actor/actor.h"
#include "hub/hub.h"
#include "monocoque.h"

typedef struct mcq__pattern {
  int type;                 /* MCQ_DEALER, ... */
  const char* name;         /* on the wire */
  const char* const* mates; /* peer types allowed, NULL at the end */
  bool announces_id;        /* sends its routing id in the handshake */
  int flags;                /* options.flags the type knows */

  /* Routes one message of at least one frame.  A code as mcq_send's. */
  int (*send)(mcq_socket_t* s, const mcq__body_t* body);

  /* May this peer come in?  NULL: yes.  Else 0, or a code and a reason. */
  int (*admit)(mcq_socket_t* s, mcq__actor_t* a, const char** text);
} mcq__pattern_t;

extern const mcq__pattern_t mcq__pattern_pair;
extern const mcq__pattern_t mcq__pattern_dealer;
extern const mcq__pattern_t mcq__pattern_router;

/* The table of a type, or NULL when this build has none. */
const mcq__pattern_t* mcq__pattern_find(int type);

#endif
