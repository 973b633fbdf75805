/* SPDX-License-Identifier: MIT */
/* The inside of a session, shared by its three files: session.c (the table),
 * handshake.c (until READY), traffic.c (after it).  Nobody else includes it. */
#ifndef MCQ__ZMTP_STATE_H
#define MCQ__ZMTP_STATE_H

#include "zmtp/greeting.h"
#include "zmtp/intake.h"
#include "zmtp/session.h"

typedef enum mcq__stage {
  MCQ__GREETING,  /* the peer's greeting is not complete */
  MCQ__HANDSHAKE, /* the mechanism talks */
  MCQ__TRAFFIC,   /* READY was said */
  MCQ__ENDING,    /* failed, and next() has yet to say so */
  MCQ__ENDED      /* nothing will be said any more */
} mcq__stage_t;

/* What only a handshake needs.  Frames that are sealed need it as long. */
typedef struct mcq__shake {
  mcq__session_config_t config;
  mcq__talk_t talk;
  mcq__greeting_t greeting;
  uint64_t deadline;
  uint64_t room;               /* bytes the peer may still say */
  mcq__slice_t opened;         /* the plain body of the last sealed frame */
  mcq__hello_t hello;          /* what is known of it until it has said READY */
  mcq__property_t* properties; /* all that it said then */
} mcq__shake_t;

/* What the peer said of itself in READY. */
typedef struct mcq__said {
  mcq__hello_t hello;
  uint8_t* metadata; /* what hello points into */
  uint32_t len;
} mcq__said_t;

/* There may be very many of these that have nothing to do. */
struct mcq__session {
  /* What next() touches for a small frame. */
  mcq__intake_t intake;
  uint64_t room; /* bytes the message may still have */
  uint64_t max_message;
  uint32_t frames;     /* frames the message may still have */
  uint32_t max_frames; /* where there is no limit, as many as can be counted */
  bool quick;          /* traffic, not sealed, nothing pending in the intake */

  uint8_t stage; /* mcq__stage_t */
  bool started;
  uint8_t spoken; /* something was, since all was out; above 1: how often
                     `speech` was opened, and one */
  int code;       /* ENDING: of the FAILED event */
  mcq__chain_t out;
  mcq__pool_t* pool;
  const mcq__mechanism_t* mechanism;
  mcq__shake_t* shake;  /* NULL: it is over */
  mcq__said_t* said;    /* NULL: nothing yet */
  mcq__window_t speech; /* where commands of traffic are put together */
  uint64_t pings;       /* that came */

  const char* text; /* ENDING: the same; static or `words` */
  char* words;      /* what had to be composed */
};

/* What a stage's handler returns when it got on without an event; all its
 * other values are mcq__event_kind_t. */
enum { MCQ__AGAIN = -1 };

/* The handlers: one step each, as far as the bytes go. */
int mcq__session_greet(mcq__session_t* s, mcq__event_t* ev);
int mcq__session_shake(mcq__session_t* s, mcq__event_t* ev);
int mcq__session_traffic(mcq__session_t* s, mcq__event_t* ev);

/* The protocol table's subscribe(), ping() and probe(). */
int mcq__session_subscribe(mcq__session_t* s, mcq__slice_t prefix, bool wanted);
int mcq__session_ping(mcq__session_t* s, uint64_t ttl, mcq__slice_t context);
int mcq__session_probe(mcq__session_t* s);

/* Ends the session; the FAILED event follows.  `text` is static.  Returns
 * MCQ__AGAIN. */
int mcq__session_fail(mcq__session_t* s, int code, const char* text);

/* The same with composed text, which is copied. */
int mcq__session_fail_with(mcq__session_t* s, int code, const char* text);

/* Ends the session with the REFUSED event for the peer's ERROR. */
int mcq__session_refused(mcq__session_t* s, const mcq__command_t* command,
                         mcq__event_t* ev);

/* The next whole frame, judged at its header by `admit`, which may fail the
 * session and then returns false.  1; 0 when hungry; negative when the session
 * failed. */
int mcq__session_frame(mcq__session_t* s, mcq__frame_t* f, mcq__slice_t* body,
                       bool (*admit)(mcq__session_t* s, const mcq__frame_t* f));

#endif
