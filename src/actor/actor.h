/* SPDX-License-Identifier: MIT */
/* One per peer: joins a wire, a session and a queue, and is the only place
 * that sees all three.
 *
 * An accepted actor lives as long as its wire.  A dialed one lives until its
 * endpoint ends: it keeps its outbox and gets a new wire and a new session
 * for each connection, through the one function that builds both.
 *
 *   IDLE --attach--> OPENING --READY--> UP --+--> ENDING --> CLOSING --> IDLE
 *                       \____________________|__> DRAINING __/
 *
 * DRAINING: what is queued still leaves, then our side is shut down, and what
 * the peer says is delivered until its end.
 * ENDING: what is queued still leaves, then our side is shut down and the
 * peer's end awaited; CLOSING: the wire is closing and says so soon. */
#ifndef MCQ__ACTOR_H
#define MCQ__ACTOR_H

#include "actor/ahead.h"
#include "actor/bridge.h"
#include "actor/budget.h"
#include "actor/outbox.h"
#include "actor/pulse.h"
#include "actor/tally.h"
#include "base/protocol.h"
#include "hub/hub.h"
#include "io/io.h"

typedef struct mcq__actor mcq__actor_t;

typedef enum mcq__actor_state {
  MCQ__ACTOR_IDLE,
  MCQ__ACTOR_OPENING,
  MCQ__ACTOR_UP,
  MCQ__ACTOR_DRAINING,
  MCQ__ACTOR_ENDING,
  MCQ__ACTOR_CLOSING
} mcq__actor_state_t;

/* What is left of one connection's share of a turn, however often it is its
 * turn in that. */
typedef struct mcq__share {
  uint32_t turn; /* its number, or the end of it */
  uint32_t messages;
  uint32_t bytes;
  uint32_t ns;
} mcq__share_t;

/* Nothing may be delivered: for a moment perhaps; for longer, and what comes
 * is read ahead. */
enum mcq__pause { MCQ__PAUSE_NONE, MCQ__PAUSE_SHORT, MCQ__PAUSE_LONG };

/* What an actor tells its socket, always from a phase of the loop. */
typedef struct mcq__actor_events {
  /* The handshake is complete: take the peer in with mcq__actor_up and return
   * 0, or a code and a short reason in `*text` with which it is refused. */
  int (*on_ready)(mcq__actor_t* a, const char** text);

  /* A complete message, borrowed. */
  void (*on_message)(mcq__actor_t* a, mcq_msg_t* msg);

  /* An unknown command was ignored. */
  void (*on_command)(mcq__actor_t* a, mcq__slice_t name);

  /* The peer wants what begins with `prefix`, or no longer. */
  void (*on_subscribe)(mcq__actor_t* a, mcq__slice_t prefix, bool wanted);

  /* The answer to mcq__actor_ping. */
  void (*on_pong)(mcq__actor_t* a, mcq__slice_t context);

  /* Its queue became full: tell answered MCQ_EAGAIN; it fell to half. */
  void (*on_full)(mcq__actor_t* a, bool full);

  /* There is room again after tell answered MCQ_EAGAIN; `low`: for half of
   * what it may have, and this is said once. */
  void (*on_room)(mcq__actor_t* a, bool low);

  /* The connection is over; `was_up` tells whether on_ready had taken it.
   * The outbox is still as it was; it is rewound before on_idle. */
  void (*on_lost)(mcq__actor_t* a, bool was_up, int code, const char* text);

  /* The wire is gone: the actor is IDLE and may be disposed of or attached
   * again.  After on_lost. */
  void (*on_idle)(mcq__actor_t* a);
} mcq__actor_events_t;

/* What all actors of a socket share; outlives them. */
typedef struct mcq__actor_config {
  mcq__io_t* io;
  const mcq__protocol_t* protocol;
  const mcq__actor_events_t* events;
  void* owner;              /* the socket */
  mcq__tally_t* total;      /* where the tally of each goes in the end */
  mcq__outbox_t* no_outbox; /* what those share that have nothing to send */
  mcq__bridge_t* no_bridge; /* and those that got nothing in parts */
  mcq__session_config_t session;
  mcq__pulse_config_t pulse;
  mcq__marks_t marks;
  mcq__budget_t* budget; /* what all of them may hold; NULL: no limit */
  mcq__share_t share;    /* one connection's of a turn */
  bool conflate;         /* only the newest message waits */
  bool refuses; /* who sends is told when there is no room, and may come
                   again; else a message is lost */
  bool paused;  /* the whole socket is */
  bool busy;    /* the same, but connections are read until they have
                   something to deliver: their ends are noticed */
} mcq__actor_config_t;

/* Most actors are idle most of the time, and there may be very many: what only
 * those need that pause, are watched, fail or lose something is allocated when
 * they do.  What each message touches comes first. */
struct mcq__actor {
  mcq__port_t port; /* what hubs see */
  const mcq__actor_config_t* config;
  mcq__session_t* session;
  mcq__wire_t* wire;
  uint8_t state;   /* mcq__actor_state_t */
  uint8_t pause;   /* enum mcq__pause: how far it has gone */
  bool paused;     /* this peer alone */
  bool reading;    /* the wire is */
  bool hungry;     /* the session has used up all it was fed */
  bool in_flight;  /* a write is, or waits for room */
  bool starved;    /* somebody was told MCQ_EAGAIN, */
  bool full;       /* because of its own marks, */
  bool told_full;  /* and on_full was called for that */
  bool delivering; /* inside pump */
  bool flush_all;  /* DRAINING, ENDING: the outbox leaves too, and nothing is
                      added */
  bool shut;       /* our side was shut down */
  bool told;       /* on_lost was called for it */
  bool settled;    /* what is in the outbox is accounted for elsewhere */
  bool let_go;     /* what it holds is charged no more */
  bool was_up;     /* this connection was */
  bool greeting;   /* its type has a word with it before the user hears of it:
                      nothing is written yet, and no budget counts */
  bool displaced;  /* its down was told before on_lost */
  bool incoming;
  bool has_timer;  /* a place in the heap is reserved */
  bool doomed;     /* its end was decided on and is near */
  bool asks;       /* the peer may be asked whether it lives */
  bool borrows;    /* the address is the dialer's */
  bool relented;   /* the end of its patience was noticed late, and put off */
  uint8_t strikes; /* messages its socket's type could not use */
  mcq__daily_t tally;
  mcq__outbox_t* outbox;
  mcq__task_t flush;   /* writes at the end of the phase */
  uint64_t charged;    /* to the budget */
  mcq__pulse_t* pulse; /* NULL: nobody wants to know whether it lives */
  mcq__ahead_t* ahead; /* what came while nothing may be delivered; NULL:
                          nothing did */
  mcq__bridge_t* bridge;
  mcq__share_t share;
  mcq_peer_t peer;
  void* end;        /* the endpoint it came from */
  mcq__node_t node; /* in the socket's list */
  mcq__task_t pump; /* goes on delivering next turn; of a doomed one: ends
                       the connection from a phase */
  mcq__timer_t timer;
  mcq__tally_t* odd; /* what is rarely counted; NULL: none of it was */
  uint64_t up_at;    /* when this connection was up, ms */
  uint64_t asked_ns; /* when a ping was that waits for its answer; 0: none */
  uint64_t rtt_ns;   /* of the last ping answered; 0: none was */
  uint64_t linger;   /* ms without progress, when DRAINING or ENDING;
                        MCQ__NO_DEADLINE: ever */
  uint64_t stop_at;  /* when patience ends, then; else NEVER */
  uint64_t look_at;  /* a short pause: when it will be a long one; else NEVER */
  uint64_t missed;   /* messages it was too slow for, not yet reported */
  size_t control;    /* bytes of the session's own in flight */
  int code;          /* why it ends */
  int end_code;      /* what the wire said at its end, or we did */
  const char* end_text;
  char* text;          /* why, for people; NULL: nothing more than the code */
  const char* address; /* of the other side */
  void* data;          /* the user's */
};

/* The config is complete: makes the two that its actors share, which stay
 * empty. */
void mcq__actor_config_init(mcq__actor_config_t* c, mcq__outbox_t* no_outbox,
                            mcq__bridge_t* no_bridge);

/* Makes an actor, IDLE.  0 or MCQ_ENOMEM; dispose takes either result. */
int mcq__actor_init(mcq__actor_t* a, const mcq__actor_config_t* config);

/* IDLE only. */
void mcq__actor_dispose(mcq__actor_t* a);

/* Builds all that one connection needs over `stream`; the one way for the
 * first connection, a renewed and an accepted one.  `dialed` is where it was
 * connected to, and outlives the actor; NULL: it was accepted.  On failure the
 * stream is still the caller's and the actor IDLE. */
int mcq__actor_attach(mcq__actor_t* a, const mcq__transport_t* transport,
                      void* stream, const char* address, const char* dialed);

/* The handshake of this connection was accepted: messages may flow. */
void mcq__actor_up(mcq__actor_t* a);

/* Ends the connection with `code`.  Graceful: queued messages leave first,
 * for as long as something moves within `linger` ms.  No message is delivered
 * from now on.  No-op when IDLE or CLOSING. */
void mcq__actor_end(mcq__actor_t* a, int code, uint64_t linger);

/* The same, but messages are delivered until the peer's end, for which no more
 * than `linger` ms are waited from when all has left.  Nothing but UP has
 * anything to drain: there it is mcq__actor_end. */
void mcq__actor_drain(mcq__actor_t* a, int code, uint64_t linger);

/* In the child of a fork: the same at once, and without a word to the peer,
 * who is the parent's. */
void mcq__actor_forget(mcq__actor_t* a, int code);

/* UP only: tells the peer what is wanted of it, ahead of queued messages and
 * not counted with them.  0, MCQ_EMSGLIMIT or MCQ_ENOMEM. */
int mcq__actor_subscribe(mcq__actor_t* a, mcq__slice_t prefix, bool wanted);

/* UP only: asks for an on_pong with `context` when the peer has handled what
 * it was told before.  0, MCQ_ENOMEM, or MCQ_ENOTSUP: it would not answer. */
int mcq__actor_ping(mcq__actor_t* a, mcq__slice_t context);

/* UP only: sends an empty message, likewise ahead of others and not counted.
 * 0 or MCQ_ENOMEM. */
int mcq__actor_probe(mcq__actor_t* a);

/* From a phase: calls on_full if that is due.  It comes by itself in the flush
 * phase, unless the actor is gone by then. */
void mcq__actor_tell_full(mcq__actor_t* a);

/* Gives up the oldest message that was not begun; false: there is none. */
bool mcq__actor_shed(mcq__actor_t* a);

/* Where its rare figures are counted.  Without memory for one of its own that
 * is where they go in the end. */
mcq__tally_t* mcq__actor_odd(mcq__actor_t* a);

/* The figures until now, the queue's peaks with them. */
mcq__tally_t mcq__actor_tally(const mcq__actor_t* a);

/* Gives up all messages.  IDLE only. */
void mcq__actor_clear(mcq__actor_t* a);

/* What it holds goes elsewhere or nowhere: the budget is not to wait for it. */
void mcq__actor_let_go(mcq__actor_t* a);

/* Re-reads the pause flags. */
void mcq__actor_pause_changed(mcq__actor_t* a);

/* What is queued leaves, and then our side is shut down. */
static inline bool mcq__actor_leaving(const mcq__actor_t* a) {
  return a->state == MCQ__ACTOR_DRAINING || a->state == MCQ__ACTOR_ENDING;
}

/* Something came that was not delivered. */
static inline bool mcq__actor_waits(const mcq__actor_t* a) {
  return !a->hungry || !mcq__ahead_empty(a->ahead);
}

/* There is reason to think that the peer is gone: it is asked, and given up
 * when it gives no sign of life. */
void mcq__actor_suspect(mcq__actor_t* a);

/* The peer said something that counts as a message though it is none. */
void mcq__actor_spoke(mcq__actor_t* a);

/* What is known of the peer's life. */
typedef struct mcq__actor_life {
  uint64_t rtt_ns; /* of the last question; 0: none was answered */
  uint64_t heard;  /* ms, on the context's clock: when something came last;
                      0: nobody looked */
} mcq__actor_life_t;

mcq__actor_life_t mcq__actor_life(const mcq__actor_t* a);

static inline mcq__actor_t* mcq__actor_of_port(mcq__port_t* port) {
  return mcq__container_of(port, mcq__actor_t, port);
}

#endif
