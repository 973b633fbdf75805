/* SPDX-License-Identifier: MIT */
/* The socket: what the user holds.  It owns a hub, the actors of its peers and
 * its endpoints, and joins the three; socket.c is its life, traffic.c its
 * messages, ends.c the endpoints, peers.c what actors report and what users ask
 * about peers. */
#ifndef MCQ__SOCKET_H
#define MCQ__SOCKET_H

#include "actor/actor.h"
#include "hub/pubsub.h"
#include "hub/router.h"
#include "io/dialer.h"
#include "io/listener.h"
#include "monocoque.h"
#include "socket/gate.h"
#include "socket/pattern.h"

/* What a socket needs of the context it lives in. */
typedef struct mcq__host {
  mcq_ctx_t* ctx;
  mcq__io_t io;
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  const mcq__protocol_t* protocol;
  const mcq__protocol_t* raw; /* of sockets that have none */
  uint64_t epochs;            /* the last one given out in this context */
  uint64_t opened;            /* sockets, ever */
  mcq_stats_t gone;           /* of those that are gone */
  mcq__budget_t budget;       /* bytes that may wait in all its sockets */
  mcq__node_t sockets;        /* of mcq_socket_t.node */
  bool closing;
  void (*on_gone)(struct mcq__host* host); /* a socket was freed */
} mcq__host_t;

/* What only a bound endpoint has. */
typedef struct mcq__bound {
  mcq__listener_t listener;
  mcq__task_t task;      /* tells the user about what a call of his began */
  uint64_t quiet_until;  /* no word of failing to accept before */
  uint64_t not_accepted; /* not told of yet */
} mcq__bound_t;

/* What only one has that closes and waits for a connection. */
typedef struct mcq__parting {
  struct mcq__end* end;
  mcq__timer_t linger;
  bool has_timer;
  bool relented;       /* it was noticed too late that it has ended */
  uint64_t give_up_at; /* when patience ends; 0: never */
  uint64_t left;       /* messages that waited when it was set */
} mcq__parting_t;

/* A bound or a connecting endpoint. */
typedef struct mcq__end {
  mcq__node_t node;
  mcq_socket_t* socket;
  mcq_endpoint_t id;
  char* uri;       /* as the user gave it */
  bool connecting; /* dialer and actor, else listener */
  bool closing;
  bool io_closed; /* the listener or dialer is gone */
  bool stopped;   /* the dialer gave up */
  bool was_up;    /* the last connection was */
  uint8_t name_len;
  int code; /* why the last attempt failed or connection ended */
  unsigned attempts;
  mcq__bound_t* bound;     /* NULL: connecting */
  mcq__parting_t* parting; /* NULL: not closing, or not waiting */
  char* name;              /* what to call the other side; NULL: what it says */
  mcq__dialer_t dialer;
  mcq__actor_t actor;
} mcq__end_t;

struct mcq_socket {
  mcq__node_t node;
  mcq__host_t* host;
  const mcq__pattern_t* pattern;
  mcq_socket_options_t options; /* pointers in it are not used after new */
  mcq__dialer_config_t dialing;
  uint64_t number; /* among the sockets of its context */
  char* name;
  mcq__actor_config_t config;
  mcq__outbox_t no_outbox; /* for the config */
  mcq__bridge_t no_bridge;
  mcq__slice_t routing_id; /* counting */
  mcq__property_t* properties;
  union {
    mcq__router_t router;
    mcq__pubsub_t pubsub;
  } hub;                 /* which of them: pattern->seats */
  mcq__roster_t* roster; /* in it */
  void* own;             /* what the type keeps, see its pattern */
  mcq_proxy_t* proxy;    /* it is part of, or NULL */
  mcq__node_t actors;    /* accepted and dialed */
  mcq__node_t ends;
  mcq__node_t mailboxes; /* of mcq_mailbox_t.node */
  mcq_endpoint_t last_end;
  mcq__gate_t gate;     /* who is let in */
  mcq__budget_t budget; /* bytes that may wait for all peers together */
  size_t alive;       /* actors and endpoints that must go before the socket */
  mcq__arena_t board; /* where messages for many are put together */
  mcq__tally_t tally; /* of actors that are gone, and of none */
  mcq_stats_t counts; /* what tallies do not have */
  mcq_close_cb on_close;
  mcq_drained_cb on_drained;
  void* drain_arg;
  int64_t drain_ms;       /* linger of the draining */
  mcq__task_t task;       /* finishes the draining, the closing */
  mcq__task_t notice;     /* reports the choice of the back end */
  mcq__task_t drops;      /* reports what slow peers missed */
  mcq__task_t settle;     /* tells peers what the hub keeps for them */
  mcq__task_t wipe;       /* lets go of the board */
  uint64_t lost_messages; /* since the draining or the closing began */
  uint64_t lost_bytes;
  bool wants_drain; /* a send was answered MCQ_EAGAIN */
  bool mail_waits;  /* and so was a mailbox */
  bool leaving;     /* takes no more to send: it drains or drained, or ... */
  bool closing;
  bool draining; /* until that was told */
  bool paused;   /* by the user */
  bool held;     /* by a proxy, for a while */
  bool unref;    /* by the user */
  bool keeps;    /* counts in io as a reason to run */
};

/* mcq_socket_new once the context is known. */
int mcq__socket_make(mcq__host_t* host, const mcq_socket_options_t* options,
                     mcq_socket_t** out);

/* ms of linger, MCQ__NO_DEADLINE for ever. */
uint64_t mcq__socket_linger(const mcq_socket_t* s);

/* Something ended: frees the socket in a later phase when it was the last. */
void mcq__socket_check_closed(mcq_socket_t* s);

/* Its last orders: what was said before now leaves, nothing is taken later. */
void mcq__socket_last_orders(mcq_socket_t* s);

/* Parts from all who came, or from one that is known, as the socket is closing
 * or draining. */
void mcq__socket_end_accepted(mcq_socket_t* s);
void mcq__socket_part(mcq_socket_t* s, mcq__actor_t* a);

/* Counts the socket as a reason for the loop to run, or not. */
void mcq__socket_keep(mcq_socket_t* s);

/* Nothing is delivered because the type wants it so.  Unlike after mcq_pause
 * the ends of connections are noticed.  Who has something to deliver has it
 * in the order of s->actors when it is over. */
void mcq__socket_busy(mcq_socket_t* s, bool busy);

/* As mcq_pause and mcq_resume, which it does not interfere with. */
void mcq__socket_hold(mcq_socket_t* s, bool held);

/* Others are heard before this one is again. */
void mcq__socket_last(mcq_socket_t* s, mcq__actor_t* a);

/* With MCQ_PROBE_ROUTER: says an empty message before anything else. */
void mcq__socket_probe(mcq_socket_t* s, mcq__actor_t* a);

/* What becomes of a message that came: the user's, or dropped and counted. */
void mcq__socket_deliver(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg);
void mcq__socket_discard(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg);

/* A message that came is not the user's: it was used up otherwise. */
void mcq__socket_aside(mcq__actor_t* a, const mcq_msg_t* msg);

/* Who got the last message of a hub that picks. */
mcq_peer_t mcq__socket_picked(const mcq_socket_t* s);

/* Tells peers what the hub keeps for them. */
void mcq__socket_settle(mcq_socket_t* s);

/* Keeps the books of a send that failed with `rc`, which it returns. */
int mcq__socket_failure(mcq_socket_t* s, int rc);

/* Hands an event to the user; from phases only. */
void mcq__socket_event(mcq_socket_t* s, const mcq_event_t* event);

/* There may be room where there was none. */
void mcq__socket_drained(mcq_socket_t* s);

/* In the child of a fork: closes without a word to anybody, neither the user
 * nor the parent's peers.  What is shared with the parent is given up at once,
 * the rest goes when the loop runs. */
void mcq__socket_forget(mcq_socket_t* s);

/* ---- mailbox.c: what other threads post */
/* The socket is closing: takes in what was posted. */
void mcq__mailboxes_close(mcq_socket_t* s);
/* It has room again. */
void mcq__mailboxes_room(mcq_socket_t* s);
/* What waits in each of them. */
void mcq__mailboxes_each(const mcq_socket_t* s,
                         void (*each)(uint64_t posts, uint64_t bytes,
                                      void* arg),
                         void* arg);
/* It is the child's of a fork. */
void mcq__mailboxes_forget(mcq_socket_t* s);

/* ---- events.c */
/* An event about a peer, with all that is known of it. */
mcq_event_t mcq__events_of(const mcq__actor_t* a, mcq_event_kind_t kind);
/* A connection ended before it was up: counts and tells that. */
void mcq__events_failed(const mcq__actor_t* a, int code, const char* text);
/* Its queue became full, or has room again. */
void mcq__events_congestion(const mcq__actor_t* a, mcq_event_kind_t kind);

/* ---- stats.c */
/* A handshake failed with `code`. */
void mcq__stats_failed(mcq_socket_t* s, int code);
/* All figures of a socket now. */
void mcq__stats_socket(const mcq_socket_t* s, mcq_stats_t* out);
/* All figures of an actor now. */
void mcq__stats_actor(const mcq__actor_t* a, mcq_peer_stats_t* out);
/* Adds what only grows in `from` to what was. */
void mcq__stats_add(mcq_stats_t* to, const mcq_stats_t* from);

/* ---- drain.c: all of it is gone that there was to drain: tells the user */
void mcq__drain_over(mcq_socket_t* s);
/* It is being closed meanwhile. */
void mcq__drain_hurry(mcq_socket_t* s);

/* ---- proxy.c: the socket leaves its proxy */
void mcq__proxy_closing(mcq_socket_t* s);

/* ---- ends.c */
void mcq__ends_close(mcq_socket_t* s);
/* Those that wait for a connection wait no longer than its linger. */
void mcq__ends_hurry(mcq_socket_t* s);
/* In the child of a fork: nothing is tried or waited for any more. */
void mcq__ends_forget(mcq_socket_t* s);
const mcq__actor_events_t* mcq__peers_events(void);
/* The connection of a dialed actor is over and its wire gone. */
void mcq__end_idle(mcq__end_t* end, bool retry);
/* It is up. */
void mcq__end_up(mcq__end_t* end);
/* The actor of an endpoint that connects, or NULL. */
mcq__actor_t* mcq__end_actor(const mcq_socket_t* s, mcq_endpoint_t id);

/* ---- peers.c */
/* Seats a dialed actor in the hub before it is connected. */
int mcq__peers_queue(mcq_socket_t* s, mcq__actor_t* a);
/* The live actor of a handle, or NULL. */
mcq__actor_t* mcq__peers_actor(const mcq_socket_t* s, mcq_peer_t peer);
/* Takes a dialed actor out of the hub for good. */
void mcq__peers_leave(mcq_socket_t* s, mcq__actor_t* a);
/* An endpoint ends: what waits in its queue will not be delivered. */
void mcq__peers_count_lost(mcq_socket_t* s, mcq__actor_t* a);

#endif
