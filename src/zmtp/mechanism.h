/* SPDX-License-Identifier: MIT */
/* What a security mechanism looks like to the session: a conversation in
 * commands until both sides are content, then, where it encrypts, a seal for
 * what goes out and an opener for what comes in.  null.c fills the table;
 * others plug in beside it without touching the session.  A mechanism queues
 * commands; it never reads the wire, and ERROR from the peer is not its
 * business. */
#ifndef MCQ__ZMTP_MECHANISM_H
#define MCQ__ZMTP_MECHANISM_H

#include "zmtp/command.h"
#include "zmtp/frame.h"
#include "zmtp/metadata.h"

/* One conversation, from the exchange of greetings to the session's end. */
typedef struct mcq__talk {
  const mcq__session_config_t* config;
  mcq__chain_t* out;     /* where commands are queued */
  void* state;           /* the mechanism's own; NULL at first */
  mcq__slice_t metadata; /* AGREED: the peer's properties, borrowed until the
                            session's next step */
  const char* why;       /* on failure: what exactly, static; may be NULL */
} mcq__talk_t;

enum {                      /* what step() says when nothing failed */
       MCQ__TALK_ON = 0,    /* awaits a command */
       MCQ__TALK_AGREED = 1 /* the peer's is complete, ours is queued whole but
                               for the welcome */
};

typedef struct mcq__mechanism {
  const char* name; /* as in the greeting */

  /* The next step: `command` is NULL once, when greetings are exchanged, and
   * every command of the handshake but ERROR after that, borrowed.  TALK_ON,
   * TALK_AGREED, or the code to fail with. */
  int (*step)(mcq__talk_t* talk, const mcq__command_t* command);

  /* The peer is taken in: queues what was held back for that where the config
   * hesitates.  0 or MCQ_ENOMEM.  NULL: nothing ever is. */
  int (*welcome)(mcq__talk_t* talk);

  /* The rest is NULL and 0 where frames travel as they are. */

  /* Bytes a sealed frame has beyond the body in it. */
  size_t overhead;

  /* Queues one frame sealed; flags MORE or COMMAND or none.  0 or an error. */
  int (*seal)(mcq__talk_t* talk, mcq__chain_t* out, uint8_t flags,
              mcq__slice_t body);

  /* Opens the body of a frame: 0 with the flags it was sealed with and a
   * counting slice of its body, or the code to fail with. */
  int (*open)(mcq__talk_t* talk, mcq__slice_t sealed, uint8_t* flags,
              mcq__slice_t* body);

  /* Frees talk->state, in whatever state. */
  void (*end)(mcq__talk_t* talk);
} mcq__mechanism_t;

/* No authentication, no encryption: READY from each side. */
extern const mcq__mechanism_t mcq__mechanism_null;

#endif
