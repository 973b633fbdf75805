/* SPDX-License-Identifier: MIT */
/* libmonocoque: ZeroMQ's wire protocol and patterns as callbacks inside your
 * own libuv loop.
 *
 * Grammar: mcq_noun_verb; a socket's own verbs drop the noun.  Functions
 * return 0 or a negative code (monocoque/errno.h).
 *
 * Rules that hold everywhere:
 *   - Everything runs on the loop's thread; there are no others.  What other
 *     threads may call is said so: see "threads" below.
 *   - No callback runs inside a call you make; any call may be made, and any
 *     object closed, inside any callback.
 *   - What a callback gets is borrowed until it returns.  What you pass in is
 *     copied or counted before the call returns.
 *   - Messages are whole, all frames together, both ways.  There is no flush:
 *     what you send leaves within the same turn of the loop.
 *   - Zero means default in every options struct; -1 means none or unlimited
 *     where that is offered.  Times are milliseconds, sizes are bytes. */
#ifndef MONOCOQUE_H
#define MONOCOQUE_H

#include <stdbool.h>
#include <uv.h>

#include "monocoque/errno.h"
#include "monocoque/types.h"
#include "monocoque/version.h"

#if defined(__GNUC__) && !defined(MCQ_STATIC)
#define MCQ_EXTERN __attribute__((visibility("default")))
#else
#define MCQ_EXTERN
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcq_ctx mcq_ctx_t;
typedef struct mcq_socket mcq_socket_t;
typedef struct mcq_msg mcq_msg_t;

/* ---- context: the seat in the loop --------------------------------------- */

/* Of connections over tcp; those over ipc are libuv's whatever is asked for. */
enum { /* mcq_ctx_options_t.backend */
  MCQ_BACKEND_AUTO = 0, /* io_uring where the kernel offers it, else libuv */
  MCQ_BACKEND_UV = 1,
  MCQ_BACKEND_URING = 2 /* mcq_ctx_new fails where it cannot be had */
};

typedef struct mcq_inproc mcq_inproc_t;

typedef struct mcq_ctx_options {
  int backend;
  uint32_t spin_us;          /* how long to look for input before the loop
                                sleeps, us: see below; 0, the default: never */
  mcq_allocator_t allocator; /* zeros: malloc and free */
  int64_t max_bytes; /* queued in all sockets together, as in
                        mcq_socket_options_t; -1 no limit, the default */
  void* data;                /* returned by mcq_ctx_data */
  mcq_inproc_t* inproc;      /* where names of "inproc://" are bound and looked
                                up; the context takes a count.  NULL: in the
                                context itself */
  void* reserved[15];        /* leave zero */
} mcq_ctx_options_t;

typedef void (*mcq_ctx_close_cb)(void* data);

/* Takes a seat in `loop`.  `options` may be NULL.  MCQ_ENOMEM, MCQ_EINVAL,
 * MCQ_ENOTSUP (the back end asked for is not available), or libuv's code.
 *
 * With `spin_us` the loop stays awake for so long after something of this
 * context's was sent, received or done, in case more comes: waking up takes tens
 * of microseconds, being awake takes a processor.  50 is enough for round trips
 * between programs on one machine.  The loop goes round meanwhile
 * (uv_backend_timeout answers 0, UV_RUN_ONCE does not wait), so that your timers
 * and handles are served as ever.  When nothing came a few times it gives up,
 * and it tries again when what it then slept for came soon; an idle loop sleeps.
 * No effect when the calling thread may run on one processor only, where the
 * peer could not answer before we stop looking. */
MCQ_EXTERN int mcq_ctx_new(uv_loop_t* loop, const mcq_ctx_options_t* options,
                           mcq_ctx_t** out);

/* Closes every socket with its own linger, then the seat.  Returns at once;
 * `on_close` (may be NULL) runs on a later turn, exactly once, with the
 * options' data; after it nothing of the library is left in the loop.
 * Idempotent: later calls are ignored. */
MCQ_EXTERN void mcq_ctx_close(mcq_ctx_t* ctx, mcq_ctx_close_cb on_close);

MCQ_EXTERN void* mcq_ctx_data(const mcq_ctx_t* ctx);
MCQ_EXTERN uv_loop_t* mcq_ctx_loop(const mcq_ctx_t* ctx);

/* "uv" or "uring": what moves the bytes of this context. */
MCQ_EXTERN const char* mcq_ctx_backend(const mcq_ctx_t* ctx);

/* Describes all that is alive, a line each, through `line`. */
MCQ_EXTERN void mcq_ctx_dump(const mcq_ctx_t* ctx,
                             void (*line)(const char* text, void* arg),
                             void* arg);

/* In the child of a fork that was made on the loop's thread: gives up all that
 * the context shares with the parent, which goes on undisturbed, and so do its
 * peers.  All descriptors are closed here at once and without a word to anybody;
 * files of "ipc://" stay.  No callback of yours runs in the child any more;
 * functions that mcq_msg_wrap was given do, as its copy of the memory is let
 * go.  The context and its sockets are closing from then on.
 *
 * Memory and handles go when the loop runs, which needs uv_loop_fork, as always
 * in a child, before or after this call.  A child that has no use for the loop
 * leaves it alone.  One that ends or executes another program need not even
 * call this: every descriptor is closed then, too, and nothing else happens.
 *
 * uv_loop_close answers UV_EBUSY for good if, at the moment of the fork, a
 * host's name was being looked up or another thread was inside mcq_post or at
 * the other end of inproc; the child then has to leave that loop alone.
 *
 * Of what the parent has for threads (mcq_inproc_t, mcq_mailbox_t) the child
 * may only give up counts. */
MCQ_EXTERN void mcq_ctx_after_fork_child(mcq_ctx_t* ctx);

/* ---- sockets ------------------------------------------------------------- */

enum { /* mcq_socket_options_t.type: libzmq's numbers */
  MCQ_PAIR = 0,
  MCQ_PUB = 1,
  MCQ_SUB = 2,
  MCQ_REQ = 3,
  MCQ_REP = 4,
  MCQ_DEALER = 5,
  MCQ_ROUTER = 6,
  MCQ_PULL = 7,
  MCQ_PUSH = 8,
  MCQ_XPUB = 9,
  MCQ_XSUB = 10,
  MCQ_STREAM = 11 /* plain bytes, no ZeroMQ on the wire */
};

enum { /* mcq_socket_options_t.flags */
  /* ROUTER: mcq_send picks the next peer with room and sends all frames;
   * nothing is taken off. */
  MCQ_ROUTER_BALANCE = 1 << 0,
  /* ROUTER: a second peer with a routing id in use is refused; otherwise it
   * takes the id over and the first goes down with MCQ_EHANDOVER.  The
   * refusal is for the time being (MCQ_ENOTNOW): the first is asked for a sign
   * of life and goes down with MCQ_EHEARTBEAT when it gives none, so that a
   * peer that returns from a break does not find itself in its place. */
  MCQ_ROUTER_REFUSE_TWIN = 1 << 1,
  /* Queue only for peers that are connected; otherwise a queue exists from
   * mcq_connect on. */
  MCQ_IMMEDIATE = 1 << 2,
  /* ROUTER with MCQ_ROUTER_BALANCE: do not hand messages that a lost peer had
   * not begun to receive to other peers. */
  MCQ_NO_REQUEUE = 1 << 3,
  /* DEALER, PUSH: messages that an accepted peer had not begun to receive
   * when it was lost go to other peers. */
  MCQ_REQUEUE = 1 << 4,
  /* REQ: a new question may be asked before the answer; it makes an end of
   * the old one.  Only with MCQ_REQ_CORRELATE is a late answer of the same
   * peer known from the one that is awaited. */
  MCQ_REQ_RELAXED = 1 << 5,
  /* REQ: questions carry a number that comes back with the answer. */
  MCQ_REQ_CORRELATE = 1 << 6,
  /* XPUB: on_message tells of every subscription, or of every subscription
   * and every cancellation, not only of a topic's first and last. */
  MCQ_XPUB_VERBOSE = 1 << 7,
  MCQ_XPUB_VERBOSER = 1 << 8,
  /* XPUB: subscriptions are only told of; mcq_peer_subscribe makes them. */
  MCQ_XPUB_MANUAL = 1 << 9,
  /* XSUB: every cancellation is passed on, not only a topic's last. */
  MCQ_XSUB_VERBOSE = 1 << 10,
  /* PUB, XPUB, SUB: whoever has no matching subscription gets the message.
   * To be set on both sides. */
  MCQ_INVERT_MATCHING = 1 << 11,
  /* SUB: messages that match nothing are delivered too, which saves looking
   * where publishers are trusted to filter. */
  MCQ_SUB_UNFILTERED = 1 << 12,
  /* PUB, XPUB, PUSH, DEALER: of what waits for a peer only the newest message
   * is kept. */
  MCQ_CONFLATE = 1 << 13,
  /* DEALER, REQ, ROUTER: every connection begins with an empty message from
   * here, ahead of all that waits for it, so that a ROUTER hears at once who is
   * there.  It counts as none of those that are sent.  Whoever else is connected
   * hears it, too; a REP throws it away. */
  MCQ_PROBE_ROUTER = 1 << 14,
  /* REQ: a peer that sends an answer without the form of one is left at once,
   * with MCQ_EENVELOPE; otherwise at its third. */
  MCQ_REQ_STRICT = 1 << 15,
  /* REP: a request is thrown away, and counted in messages_discarded, when its
   * peer is known to be gone before its turn comes; otherwise it is delivered
   * and the answer goes nowhere. */
  MCQ_DROP_ORPHANS = 1 << 16,
  /* SUB: every subscription is told, as an XSUB does and libzmq's SUB, and not
   * only a topic's first, for publishers that answer each with the last value
   * (libzmq's XPUB_VERBOSE).  Of cancellations the last one is. */
  MCQ_SUB_SEND_DUPLICATES = 1 << 17,
  /* PUB, XPUB: as RFC 29 has it, a peer that subscribed to a topic several
   * times has to cancel it as often.  For subscribers that do; what has come
   * from ZeroMQ's libraries so far does not: libzmq's SUB and XSUB repeat
   * subscriptions and cancel once, and would be sent what they no longer want
   * until they leave.  A SUB of ours says everything once and is right with
   * both.  MCQ_XPUB_MANUAL leaves counting to the user. */
  MCQ_PUB_COUNT_SUBS = 1 << 18
};

enum { /* mcq_socket_options_t.slow_peer: PUB and XPUB, when a queue is full */
  MCQ_SLOW_DROP_NEWEST = 0,
  MCQ_SLOW_DROP_OLDEST = 1,
  MCQ_SLOW_DISCONNECT = 2, /* with MCQ_ESLOW; a subscriber may come again */
  MCQ_SLOW_REFUSE = 3      /* mcq_send answers MCQ_EAGAIN, nobody gets it */
};

/* A connection's description; pointers are good until the callback returns
 * or, from mcq_peer_info, until the loop runs on. */
typedef struct mcq_peer_info {
  mcq_peer_t peer;
  const void* routing_id; /* announced; on a ROUTER, where it is a peer's
                             alone, or else made up */
  size_t routing_id_len;
  const char* address;     /* of the other side, "tcp://127.0.0.1:40123" */
  const char* socket_type; /* what it announced, "DEALER" */
  const char* mechanism;   /* "NULL" */
  int version_major;       /* of ZMTP, as negotiated */
  int version_minor;
  bool incoming; /* it connected to us */
  void* data;    /* mcq_peer_set_data */
  uint64_t rtt_ns; /* how long the answer to the last heartbeat took; 0: there
                      was none */
  /* Only on the way down: */
  int reason;             /* a code: MCQ_EOF, MCQ_EFRAME, ... */
  const char* text;       /* what exactly, for people; may be "" */
  uint64_t lost_messages; /* accepted by mcq_send, never handed to the kernel */
  uint64_t lost_bytes;
  uint64_t unsure_messages; /* handed over at least in part, fate unknown is
                               all that can be said of them */
} mcq_peer_info_t;

/* What happens to endpoints and connections, in the order it happens;
 * doc/events.md has the sequences, and what libzmq's monitor calls them. */
typedef enum mcq_event_kind {
  MCQ_EVENT_LISTENING = 1,     /* address: the real endpoint */
  MCQ_EVENT_ACCEPTED,          /* a connection came in; handshake begins */
  MCQ_EVENT_ACCEPT_FAILED,     /* code; count times; listening goes on: at
                                  most one a second */
  MCQ_EVENT_CONNECTING,        /* an attempt begins */
  MCQ_EVENT_CONNECTED,         /* the transport is up; handshake begins */
  MCQ_EVENT_CONNECT_FAILED,    /* code */
  MCQ_EVENT_RETRY,             /* wait_ms until the next attempt */
  MCQ_EVENT_HANDSHAKE_OK,      /* peer; on_peer_up follows */
  MCQ_EVENT_HANDSHAKE_FAILED,  /* code, text */
  MCQ_EVENT_DISCONNECTED,      /* peer, code, text; on_peer_down came before */
  MCQ_EVENT_STOPPED,           /* the endpoint gives up connecting; code */
  MCQ_EVENT_CLOSED,            /* the endpoint is closed */
  MCQ_EVENT_COMMAND,           /* an unknown command was ignored; text: name */
  MCQ_EVENT_BACKEND,           /* auto chose "uv"; code tells why */
  MCQ_EVENT_SUBSCRIBED,        /* PUB, XPUB (not with MCQ_XPUB_MANUAL, where it
                                  is for the user to do): peer, topic.  SUB,
                                  XSUB: peer; all that was subscribed before is
                                  in force there; libzmq's publishers may
                                  answer a moment before one of their threads
                                  has heard of it */
  MCQ_EVENT_UNSUBSCRIBED,      /* PUB, XPUB: peer, topic */
  MCQ_EVENT_DROPPED,           /* peer: count messages it was too slow for */
  MCQ_EVENT_CONGESTED,         /* peer: its queue became full; count messages
                                  wait.  Zeros: max_bytes of the socket or of
                                  its context is reached.  Once, until ... */
  MCQ_EVENT_RELIEVED,          /* ... it fell to half of that */
  MCQ_EVENT_REFUSED            /* count connections were over a limit and closed
                                  as they came, since the event before; text:
                                  the limit's name; address: the last one's.
                                  At most one a second */
} mcq_event_kind_t;

/* An endpoint of one socket, as mcq_bind and mcq_connect give it; 0: none. */
typedef uint64_t mcq_endpoint_t;

typedef struct mcq_event {
  mcq_event_kind_t kind;
  mcq_endpoint_t endpoint; /* 0 where none is concerned */
  const char* address;     /* the endpoint's, or the other side's */
  mcq_peer_t peer;
  const void* routing_id; /* the peer's, as in mcq_peer_info_t; may be empty */
  size_t routing_id_len;
  int code;
  const char* text;
  uint64_t wait_ms;
  const void* topic;
  size_t topic_len;
  uint64_t count;
} mcq_event_t;

/* One complete message.  `msg` and its frames are borrowed: mcq_msg_retain
 * keeps them.  A ROUTER gets the frames exactly as they were on the wire; the
 * peer tells who sent them. */
typedef void (*mcq_message_cb)(mcq_socket_t* socket, mcq_peer_t peer,
                               mcq_msg_t* msg);

/* A connection is usable; its messages come after this ... */
typedef void (*mcq_peer_up_cb)(mcq_socket_t* socket,
                               const mcq_peer_info_t* info);

/* ... and before this.  The handle is stale already. */
typedef void (*mcq_peer_down_cb)(mcq_socket_t* socket,
                                 const mcq_peer_info_t* info);

/* Room again after a send answered MCQ_EAGAIN: a peer's queue fell to half
 * its limits, or a peer came.  Once per MCQ_EAGAIN. */
typedef void (*mcq_drain_cb)(mcq_socket_t* socket);

typedef void (*mcq_event_cb)(mcq_socket_t* socket, const mcq_event_t* event);

/* REQ: the question will not be answered: MCQ_EPEERGONE, its peer was lost
 * after it had been sent; MCQ_ETIMEDOUT, request_ms are over.  The next one
 * may be asked, also from here. */
typedef void (*mcq_request_failed_cb)(mcq_socket_t* socket, int code);

/* What a closing socket could not deliver. */
typedef struct mcq_close_info {
  uint64_t lost_messages;
  uint64_t lost_bytes;
  void* data; /* the socket's */
} mcq_close_info_t;

typedef void (*mcq_close_cb)(const mcq_close_info_t* info);

/* All is said and heard that there was, see mcq_drain.  `arg` is the caller's
 * of that. */
typedef void (*mcq_drained_cb)(mcq_socket_t* socket,
                               const mcq_close_info_t* info, void* arg);

/* A property announced to peers in the handshake; by convention its name
 * starts with "X-".  RFC 37, "metadata". */
typedef struct mcq_property {
  const char* name; /* 1 to 255 of letters, digits, '-', '_', '.', '+' */
  const void* value;
  size_t len;
} mcq_property_t;

#define MCQ_LINGER_NONE (-2)
#define MCQ_CPU(n) ((n) + 1) /* of mcq_socket_options_t.incoming_cpu; n from 0 */

enum { /* mcq_socket_options_t.reconnect_stop: what ends the attempts at once */
  MCQ_STOP_REFUSED = 1 << 0,   /* nobody listens there: UV_ECONNREFUSED */
  MCQ_STOP_HANDSHAKE = 1 << 1, /* a handshake failed, whatever the cause */
  MCQ_STOP_LOST = 1 << 2       /* a connection was up and is lost */
};

typedef struct mcq_socket_options {
  int type;
  int flags;
  void* data;       /* yours; mcq_socket_data */
  const char* name; /* for people, in metrics and dumps; NULL: none */

  mcq_message_cb on_message;
  mcq_peer_up_cb on_peer_up;
  mcq_peer_down_cb on_peer_down;
  mcq_drain_cb on_drain;
  mcq_event_cb on_event;
  mcq_request_failed_cb on_request_failed;

  const void* routing_id; /* announced to peers: up to 255 bytes, the first
                             not zero */
  size_t routing_id_len;
  const mcq_property_t* properties;
  size_t property_count;

  int32_t sndhwm;           /* messages queued a peer; -1 no limit; 0, the
                               default: 1000, and of small ones a batch of up
                               to 256 KiB, with headers, is put together for a
                               connection that takes all it is given; where
                               one takes 4 MiB while a callback sends, it may
                               be less: the loop has others */
  int64_t sndhwm_bytes;     /* bytes queued a peer; 8 MiB; -1 no limit */
  int64_t max_bytes;        /* queued for all peers together, the same payload
                               for many counted once a peer; one message may
                               go over it.  Full is full for everybody (not
                               with MCQ_CONFLATE), until it falls to half; -1
                               no limit, the default */
  int64_t max_message_size; /* received, sum of frames; 64 MiB; -1 no limit */
  int64_t max_frames;       /* received, in a message; 1024; -1 no limit */
  int64_t handshake_ms;     /* in total; 10000; -1 none */
  int64_t linger_ms;        /* without progress, after close; 1000; -1 ever;
                               MCQ_LINGER_NONE: what is queued is dropped */
  int64_t reconnect_ms;     /* first wait; 100; -1 never reconnect.  It doubles
                               with each failure in a row, and up to a half is
                               taken off at random; a handshake that succeeds,
                               and nothing less, makes it the first one again */
  int64_t reconnect_max_ms; /* cap of the doubling; 30000 */
  int64_t connect_ms;       /* limit of one attempt, with the name and all its
                               addresses; 10000; -1 the system's */
  int32_t backlog;          /* of listeners; 511 */
  bool reuse_port;          /* mcq_bind over tcp: others of this user may listen
                               at the same address and port if they all say
                               so (SO_REUSEPORT); the system gives each of
                               them a part of those who connect.  For a loop a
                               core; see samples/sharding.c */
  int32_t incoming_cpu;     /* with reuse_port: MCQ_CPU(n), the processor whose
                               arrivals the system gives to this socket rather
                               than to others at the port (SO_INCOMING_CPU; as
                               of Linux 6.2, before which it has no effect).
                               For a loop that stays on that processor; none,
                               the default; -1 none */

  /* Limits on those who connect to us, whatever they want.  Who is over one
   * is closed at once: MCQ_EVENT_REFUSED, once a second at most. */
  int32_t max_connections;    /* at a time; -1 no limit, which is the default:
                                 the process's descriptors are one */
  int32_t max_per_address;    /* of these, from one IPv4 address or one IPv6
                                 network (/64); -1 no limit, the default */
  int32_t max_handshakes;     /* of these, not through with the handshake; 512;
                                 -1 no limit.  Where there are as many, the
                                 oldest gives way to a newcomer if it had a
                                 second, and fails with MCQ_ECROWDED */
  int64_t max_handshake_size; /* bytes of commands one may say before it is
                                 through; 65,792, which is also the most that
                                 one command may have; -1 no limit on their
                                 sum */
  int64_t request_ms;       /* REQ: from question to answer; none.  A late
                               answer is told from the next one's only with
                               MCQ_REQ_CORRELATE */
  int slow_peer;            /* PUB, XPUB: MCQ_SLOW_... */
  int64_t max_subscriptions; /* PUB, XPUB: of one peer; 1,000,000; -1 no limit */
  int64_t max_subscription_bytes; /* PUB, XPUB: of these, of their topics, all
                                     together; 64 MiB; -1 no limit */
  const void* welcome;      /* XPUB: a message of one frame that comes first on
                               every connection, whatever is subscribed to and
                               whatever the marks say; a SUB passes it on if it
                               wants what begins so */
  size_t welcome_len;

  /* What one connection may take of a turn of the loop, received; see "Turns"
   * in doc/architecture.md for what all of them together may. */
  int32_t turn_messages; /* messages, commands of the protocol too; 32768 */
  int64_t turn_bytes;    /* bytes, and 64 for each frame and command; 2 MiB */
  int32_t turn_usec;     /* microseconds, give or take a few callbacks; 500 */

  /* Heartbeats, of peers that speak ZMTP 3.1, over tcp and ipc; see
   * doc/liveness.md.  A peer is asked (PING) when nothing was heard from it,
   * or nothing said to it, for heartbeat_ms; none, and none for STREAM.  When
   * after that not a single byte comes for heartbeat_timeout_ms it goes down
   * with MCQ_EHEARTBEAT; the same as heartbeat_ms; -1 never.  It is told to
   * give us up after heartbeat_ttl_ms of silence: more than heartbeat_ms, and
   * 65500 at most are announced; none.  What it tells us of that is heeded
   * whatever the options say. */
  int64_t heartbeat_ms;
  int64_t heartbeat_timeout_ms;
  int64_t heartbeat_ttl_ms;

  /* Absolute: bytes that trickle in and heartbeats extend neither.  A peer
   * goes down with MCQ_EIDLE. */
  int64_t first_message_ms; /* from on_peer_up to its first message or
                               subscription; none; not for PUSH */
  int64_t idle_ms;          /* from one whole message to the next, received or
                               sent; none */

  /* When an endpoint gives up connecting, which MCQ_EVENT_STOPPED tells once.
   * What is queued for it then is lost when it is closed. */
  int32_t reconnect_attempts; /* in a row without a handshake; no limit */
  int64_t reconnect_total_ms; /* no further attempt begins later than that
                                 after the first of such a row; no limit */
  int reconnect_stop;         /* MCQ_STOP_... */

  void* reserved[16]; /* leave zero */
} mcq_socket_options_t;

/* A socket in `ctx`.  MCQ_EINVAL: an option is out of range; MCQ_ENOTSUP: a
 * type this build does not have; MCQ_ECLOSED; MCQ_ENOMEM. */
MCQ_EXTERN int mcq_socket_new(mcq_ctx_t* ctx,
                              const mcq_socket_options_t* options,
                              mcq_socket_t** out);

/* Closes: no on_message from now on, listeners stop, what is queued leaves
 * within linger, then `on_close` (may be NULL) runs, on a later turn, exactly
 * once; the socket is gone when it returns.  Idempotent: of repeated calls the
 * first one counts. */
MCQ_EXTERN void mcq_close(mcq_socket_t* socket, mcq_close_cb on_close);

/* Prepares for mcq_close without losing anything on the way (not to be confused
 * with on_drain, which is about room to send).  Listeners stop, nothing new is
 * dialed, and from now on whatever sends, posts, subscribes, binds or connects
 * answers MCQ_ECLOSED.  What was posted and finds no room in the queues now is
 * lost, as in mcq_close.  What is queued leaves; then each connection is shut
 * down on this side, its last byte followed by the end of the stream, and what
 * the peer still sends is delivered until its own end.  Libraries of ZeroMQ
 * end a connection as soon as they see that, so what arrives is what was on its
 * way: an answer that is still to be made does not come, and a request that is
 * delivered now cannot be answered.  Settle these before.
 *
 * `linger_ms` without progress are granted to what is queued, and as much again
 * in all to the peer's end; 0: the socket's own linger, -1: for ever,
 * MCQ_LINGER_NONE: connections are cut at once.  An endpoint that has a queue
 * and no connection goes on dialing for so long.  A connection that does not
 * make it goes down as at mcq_close, with MCQ_ELOCAL.  Nobody is heard while he
 * is paused.  A proxy hands on what still comes, and drops and counts what it
 * has for this socket.
 *
 * `on_drained` (may be NULL) runs on a later turn, exactly once, when all peers
 * are gone; what could not be delivered is in its `info`.  The socket is still
 * there, and still has to be closed, which may be done in it, or at any time
 * before: then nothing is delivered any more, what is queued has the shorter of
 * both lingers left, and `on_drained` comes right before on_close.  What
 * on_close tells of lost messages includes these.
 *
 * May be called in any callback.  MCQ_ECLOSED: it drains, has drained, or is
 * closing; nothing changes and `on_drained` is not called.  MCQ_EINVAL: a
 * linger below -1. */
MCQ_EXTERN int mcq_drain(mcq_socket_t* socket, int64_t linger_ms,
                         mcq_drained_cb on_drained, void* arg);

MCQ_EXTERN void* mcq_socket_data(const mcq_socket_t* socket);
MCQ_EXTERN mcq_ctx_t* mcq_socket_ctx(const mcq_socket_t* socket);
MCQ_EXTERN int mcq_socket_type(const mcq_socket_t* socket);

/* As the options say, or a number that no other socket of the context has. */
MCQ_EXTERN const char* mcq_socket_name(const mcq_socket_t* socket);

/* Whether an open endpoint of this socket keeps uv_run going (it does until
 * mcq_unref).  Idempotent, as uv_ref and uv_unref. */
MCQ_EXTERN void mcq_ref(mcq_socket_t* socket);
MCQ_EXTERN void mcq_unref(mcq_socket_t* socket);

/* ---- endpoints ----------------------------------------------------------- */

/* Listens at "tcp://host:port": host is numeric (IPv6 in brackets), an
 * interface name, "localhost" or "*"; port 0 or "*" takes a free one.
 * Connections have TCP_NODELAY, and the system's congestion control but for
 * one: BBR gives way to Reno where a connection does not leave this machine.
 *
 * Or at "ipc://path" or "ipc://@name" (Linux: a name without a file), where
 * the path "*" takes a fresh one in a directory that only this user can enter.
 * Path, or name with its '@', have at most 107 bytes.  A socket's file that no
 * process has open any more is replaced; one in use, or anything else that
 * lies there, is MCQ_EADDRINUSE and left alone.  Other users may connect when
 * the file's mode (from the umask) and its directory let them; to a name
 * anybody may.  The file is removed when listening ends.
 *
 * Or at "inproc://name", for sockets of this context and of those it shares
 * an mcq_inproc_t with; who connects may come first.  Payload passes by
 * reference.
 *
 * Errors come at once: MCQ_EINVAL, MCQ_EADDRINUSE, UV_EADDRNOTAVAIL,
 * UV_ENAMETOOLONG, UV_EACCES, ...; MCQ_ENOTSUP: reuse_port or incoming_cpu
 * is not to be had.
 * `out` may be NULL. */
MCQ_EXTERN int mcq_bind(mcq_socket_t* socket, const char* uri,
                        mcq_endpoint_t* out);

enum { /* mcq_connect_options_t.flags */
  /* Allow a second connection to the same endpoint. */
  MCQ_CONNECT_MULTI = 1 << 0
};

typedef struct mcq_connect_options {
  int flags;
  const void* routing_id; /* ROUTER, STREAM: what to call the other side,
                             whatever it announces; up to 255 bytes, the first
                             not zero.  It is sent to by that name from
                             on_peer_up on */
  size_t routing_id_len;
  void* reserved[8]; /* leave zero */
} mcq_connect_options_t;

/* Connects to "tcp://host:port", "ipc://path", "ipc://@name" or
 * "inproc://name", now and again after every loss.  Names of hosts are resolved at each attempt,
 * asynchronously; a path need not be there yet.  `options` and `out` may be
 * NULL.  MCQ_EINVAL: bad endpoint; UV_ENAMETOOLONG: an ipc path of more than
 * 107 bytes; MCQ_EEXIST: connected there already, or the routing id is in use,
 * which it also is by an endpoint that has not reached anybody yet. */
MCQ_EXTERN int mcq_connect(mcq_socket_t* socket, const char* uri,
                           const mcq_connect_options_t* options,
                           mcq_endpoint_t* out);

/* Stops listening; connections accepted there stay.  MCQ_ENOENT. */
MCQ_EXTERN int mcq_unbind(mcq_socket_t* socket, mcq_endpoint_t endpoint);

/* Ends a connecting endpoint; what is queued leaves within linger.
 * MCQ_ENOENT. */
MCQ_EXTERN int mcq_disconnect(mcq_socket_t* socket, mcq_endpoint_t endpoint);

/* The real address of an endpoint, good until it is closed; NULL if none. */
MCQ_EXTERN const char* mcq_endpoint_uri(const mcq_socket_t* socket,
                                        mcq_endpoint_t endpoint);

/* ---- sending ------------------------------------------------------------- */

/* Sends one message of `count` frames (at least one), copying them.
 *
 * DEALER, PUSH, PAIR and a ROUTER with MCQ_ROUTER_BALANCE: to the next peer
 * with room.  ROUTER otherwise: frame 0 is the routing id and is not sent.
 * REQ: a question, to the next peer with room; MCQ_EFSM while the answer to
 * the last one is awaited.  REP: the answer to the request in hand, whose turn
 * is over then whatever comes of it: MCQ_EPEERGONE, the asker is gone;
 * MCQ_EAGAIN, it takes no more and the answer is dropped; MCQ_EFSM, there is
 * no request.  PUB, XPUB: to all that subscribed to a beginning of frame 0;
 * what becomes of it where a queue is full says slow_peer.  XSUB: to all
 * publishers; one frame of 1 or 0 and a topic subscribes and cancels.  STREAM:
 * frame 0 is the routing id, the rest travels as it is; a single empty frame
 * ends the connection after what is queued.  PULL,
 * SUB: MCQ_ENOTSUP.
 *
 * 0: queued whole.  MCQ_EAGAIN: nobody it may go to has room, nothing queued;
 * on_drain will come.  MCQ_EHOSTUNREACH: no peer has that routing id.
 * MCQ_EINVAL, MCQ_ENOMEM, MCQ_ECLOSED. */
MCQ_EXTERN int mcq_send(mcq_socket_t* socket, const mcq_frame_t* frames,
                        size_t count);

/* mcq_send on a socket that picks the peer itself (DEALER, PAIR, ROUTER with
 * MCQ_ROUTER_BALANCE), telling in `*peer` who got the message, so that what a
 * lost peer had not answered can be sent again.  A peer that is not connected
 * yet has a handle too; it gets another one when it is.  MCQ_ENOTSUP on a
 * ROUTER that sends by routing id. */
MCQ_EXTERN int mcq_send_next(mcq_socket_t* socket, const mcq_frame_t* frames,
                             size_t count, mcq_peer_t* peer);

/* The same to one connection, all frames sent; by PUB and XPUB whatever it
 * subscribed to, as the last value for somebody who is new.  MCQ_EPEERGONE: the
 * handle is stale. */
MCQ_EXTERN int mcq_send_to(mcq_socket_t* socket, mcq_peer_t peer,
                           const mcq_frame_t* frames, size_t count);

/* As mcq_send and mcq_send_to with a message as one has it: large frames are
 * shared, not copied.  The caller keeps its reference. */
MCQ_EXTERN int mcq_send_msg(mcq_socket_t* socket, const mcq_msg_t* msg);
MCQ_EXTERN int mcq_send_msg_to(mcq_socket_t* socket, mcq_peer_t peer,
                               const mcq_msg_t* msg);

/* One frame from bytes or from text without its NUL. */
MCQ_EXTERN int mcq_send_bytes(mcq_socket_t* socket, const void* data,
                              size_t len);
MCQ_EXTERN int mcq_send_text(mcq_socket_t* socket, const char* text);

/* ---- subscriptions ------------------------------------------------------- */

/* SUB, XSUB: asks all publishers, now and after every reconnect, for messages
 * whose first frame begins with `topic` (up to 65,535 bytes; none: all).
 * Counted: it takes as many mcq_unsubscribe to end.  MCQ_EMSGLIMIT: too long;
 * MCQ_ENOENT: not subscribed; MCQ_ENOTSUP, MCQ_ECLOSED, MCQ_ENOMEM. */
MCQ_EXTERN int mcq_subscribe(mcq_socket_t* socket, const void* topic,
                             size_t len);
MCQ_EXTERN int mcq_unsubscribe(mcq_socket_t* socket, const void* topic,
                               size_t len);

/* PUB, XPUB: the same for a peer that need not know, as with
 * MCQ_XPUB_MANUAL.  MCQ_EEXIST, MCQ_ENOENT, MCQ_EPEERGONE, MCQ_EMSGLIMIT (too
 * many or too long), MCQ_EINVAL, MCQ_ENOTSUP, MCQ_ECLOSED, MCQ_ENOMEM. */
MCQ_EXTERN int mcq_peer_subscribe(mcq_socket_t* socket, mcq_peer_t peer,
                                  const void* topic, size_t len);
MCQ_EXTERN int mcq_peer_unsubscribe(mcq_socket_t* socket, mcq_peer_t peer,
                                    const void* topic, size_t len);

/* ---- requests ------------------------------------------------------------ */

typedef struct mcq_request mcq_request_t;

/* Takes the request in hand out of a REP: others come in, and this one is
 * answered later, once, or dropped.  MCQ_EFSM: there is none; MCQ_ENOTSUP: no
 * REP; MCQ_ENOMEM.  It may outlive its socket. */
MCQ_EXTERN int mcq_request_take(mcq_socket_t* socket, mcq_request_t** out);

/* Answers and lets go of `request`, whatever comes of it.  MCQ_EPEERGONE: the
 * asker is gone, and its successor gets nothing; MCQ_EAGAIN: it takes no more
 * now; MCQ_ECLOSED: the socket is. */
MCQ_EXTERN int mcq_request_reply(mcq_request_t* request,
                                 const mcq_frame_t* frames, size_t count);
MCQ_EXTERN int mcq_request_reply_msg(mcq_request_t* request,
                                     const mcq_msg_t* msg);
MCQ_EXTERN void mcq_request_drop(mcq_request_t* request);

/* Who asks; stale when it is gone. */
MCQ_EXTERN mcq_peer_t mcq_request_peer(const mcq_request_t* request);

/* ---- proxies ------------------------------------------------------------- */

typedef struct mcq_proxy mcq_proxy_t;

typedef struct mcq_proxy_options {
  mcq_socket_t* front; /* ROUTER with DEALER, XPUB with XSUB, PULL with PUSH, */
  mcq_socket_t* back;  /* or whatever makes sense; on one loop */
  mcq_socket_t* capture; /* gets a copy of everything, or NULL */
} mcq_proxy_options_t;

/* Joins two sockets: what one receives the other sends, payload shared and not
 * copied; a ROUTER's messages with the routing id in front.  Where the other
 * side takes no more, the side that brings messages is paused, so nothing is
 * dropped that the types do not drop.  What the capture socket does not take
 * is not captured.  Until mcq_proxy_close the sockets' on_message and on_drain
 * are not called; the proxy ends by itself when one of them is closed, and
 * still has to be closed.  MCQ_EINVAL, MCQ_ENOMEM. */
MCQ_EXTERN int mcq_proxy_new(const mcq_proxy_options_t* options,
                             mcq_proxy_t** out);

/* Parts them and lets both receive; a message that waits for room (one each
 * way) is dropped and counted. */
MCQ_EXTERN void mcq_proxy_close(mcq_proxy_t* proxy);

/* Nothing is received meanwhile.  MCQ_ECLOSED: it has ended. */
MCQ_EXTERN int mcq_proxy_pause(mcq_proxy_t* proxy);
MCQ_EXTERN int mcq_proxy_resume(mcq_proxy_t* proxy);

typedef struct mcq_proxy_flow {
  uint64_t messages; /* handed on */
  uint64_t bytes;    /* of their frames, as sent */
  uint64_t dropped;  /* the other side refused: unknown peer, no memory */
} mcq_proxy_flow_t;

typedef struct mcq_proxy_stats {
  mcq_proxy_flow_t front; /* what came in there */
  mcq_proxy_flow_t back;
} mcq_proxy_stats_t;

MCQ_EXTERN void mcq_proxy_stats(const mcq_proxy_t* proxy,
                                mcq_proxy_stats_t* out);

/* ---- receiving ----------------------------------------------------------- */

/* No on_message of this socket until mcq_resume; exact to one message, also
 * inside a callback.  When that lasts (10 ms) connections are read on, 64 KiB
 * each at most, so that heartbeats are answered and the end of a peer is
 * noticed; the end is told when what came before has been delivered.  The peer
 * in whose on_message it was called comes last after it: who pauses at each
 * message hears all in turn. */
MCQ_EXTERN int mcq_pause(mcq_socket_t* socket);
MCQ_EXTERN int mcq_resume(mcq_socket_t* socket);

/* The same for one connection.  MCQ_EPEERGONE. */
MCQ_EXTERN int mcq_peer_pause(mcq_socket_t* socket, mcq_peer_t peer);
MCQ_EXTERN int mcq_peer_resume(mcq_socket_t* socket, mcq_peer_t peer);

/* ---- messages ------------------------------------------------------------ */

MCQ_EXTERN size_t mcq_msg_count(const mcq_msg_t* msg);

/* Frame `i`, borrowed; empty when there is none. */
MCQ_EXTERN mcq_frame_t mcq_msg_frame(const mcq_msg_t* msg, size_t i);

/* Bytes of all frames. */
MCQ_EXTERN size_t mcq_msg_size(const mcq_msg_t* msg);

/* A reference to keep, given back with mcq_msg_release.  Promises the bytes,
 * not the address: small frames are copied, large ones shared.  NULL when out
 * of memory.  A retained message may be released on any thread and outlives
 * its context. */
MCQ_EXTERN mcq_msg_t* mcq_msg_retain(const mcq_msg_t* msg);
MCQ_EXTERN void mcq_msg_release(mcq_msg_t* msg);

/* A message from copies of frames. */
MCQ_EXTERN int mcq_msg_new(mcq_ctx_t* ctx, const mcq_frame_t* frames,
                           size_t count, mcq_msg_t** out);

/* A message of one frame on your own memory, which must not change until
 * `release` runs: once, on the thread that lets go last (the loop's, unless
 * you release a retained message elsewhere or send it to another thread's loop
 * over inproc). */
MCQ_EXTERN int mcq_msg_wrap(mcq_ctx_t* ctx, const void* data, size_t len,
                            void (*release)(void* data, void* arg), void* arg,
                            mcq_msg_t** out);

/* ---- peers --------------------------------------------------------------- */

/* ROUTER: the live connection of a routing id.  MCQ_ENOENT. */
MCQ_EXTERN int mcq_peer_find(const mcq_socket_t* socket, const void* id,
                             size_t len, mcq_peer_t* out);

/* MCQ_EPEERGONE. */
MCQ_EXTERN int mcq_peer_info(const mcq_socket_t* socket, mcq_peer_t peer,
                             mcq_peer_info_t* out);

/* A property the peer announced, looked up without case; borrowed as in
 * mcq_peer_info.  MCQ_EPEERGONE, MCQ_ENOENT. */
MCQ_EXTERN int mcq_peer_property(const mcq_socket_t* socket, mcq_peer_t peer,
                                 const char* name, mcq_frame_t* out);

/* Calls `each` for every live connection, in no order. */
MCQ_EXTERN void mcq_peer_each(mcq_socket_t* socket,
                              void (*each)(mcq_socket_t* socket,
                                           const mcq_peer_info_t* info,
                                           void* arg),
                              void* arg);

/* Ends a connection after what is queued, with reason MCQ_ELOCAL; a
 * connecting endpoint dials again.  MCQ_EPEERGONE. */
MCQ_EXTERN int mcq_peer_close(mcq_socket_t* socket, mcq_peer_t peer);

/* Whether a message for this peer would be queued now: 1; 0: no, and when there
 * is room again (it fell to half its limits) that is told as after an
 * MCQ_EAGAIN: MCQ_EVENT_RELIEVED with this peer, or without one where it was
 * max_bytes, and on_drain.  MCQ_EPEERGONE; MCQ_ENOTSUP: the type does not send
 * by handle; MCQ_ECLOSED. */
MCQ_EXTERN int mcq_peer_writable(mcq_socket_t* socket, mcq_peer_t peer);

/* Your own pointer on a connection, NULL at first.  MCQ_EPEERGONE. */
MCQ_EXTERN int mcq_peer_set_data(mcq_socket_t* socket, mcq_peer_t peer,
                                 void* data);

/* ---- threads ------------------------------------------------------------- */

/* A way into a socket for other threads.
 *
 * mcq_post and its kin may be called on any thread, at any time, by whoever
 * holds a count of the mailbox; mcq_mailbox_retain and _release, too.  It stays
 * valid when its socket, its context and its loop are gone: posting then
 * answers MCQ_ECLOSED.  What one thread posts keeps its order; what several
 * post comes in the order in which they get in.
 *
 * The loop takes what was posted a turn at a time and sends it as mcq_send
 * does.  Where the socket takes no more for now (MCQ_EAGAIN) it waits, in
 * order, and the mailbox fills up; what fails otherwise goes to on_failed.
 * mcq_close sends what was posted before it, and counts what is refused as
 * lost.
 *
 * A mailbox keeps no loop going, as an unref'd uv_async_t: what was posted does
 * from the moment the loop has seen it, unless it waits for room.
 *
 * Memory is taken from the context's allocator, on the thread that posts, and
 * may be given back on any. */
typedef struct mcq_mailbox mcq_mailbox_t;

/* What mcq_post_call brings into the loop.  The socket may be closing; it is
 * not gone. */
typedef void (*mcq_post_cb)(mcq_socket_t* socket, void* arg);

typedef struct mcq_mailbox_options {
  int32_t hwm;       /* messages and calls that wait; 1000; -1 no limit */
  int64_t hwm_bytes; /* of their frames; 8 MiB; -1 no limit */
  void* data;        /* given to both of these, which run in the loop: */

  /* Half of it is free again after a post answered MCQ_EAGAIN.  Once per
   * MCQ_EAGAIN; tells the threads, if they wait. */
  void (*on_drain)(mcq_socket_t* socket, void* data);

  /* A message could not be sent, for good: MCQ_EHOSTUNREACH, MCQ_EFSM,
   * MCQ_ENOMEM, ...  Borrowed.  Counted in posts_failed. */
  void (*on_failed)(mcq_socket_t* socket, mcq_msg_t* msg, int code, void* data);

  void* reserved[8]; /* leave zero */
} mcq_mailbox_options_t;

/* On the loop's thread.  The caller gets a count.  `options` may be NULL.
 * MCQ_EINVAL, MCQ_ECLOSED, MCQ_ENOMEM, or libuv's code. */
MCQ_EXTERN int mcq_mailbox_new(mcq_socket_t* socket,
                               const mcq_mailbox_options_t* options,
                               mcq_mailbox_t** out);

/* One count more, for another thread say; returns `mailbox`. */
MCQ_EXTERN mcq_mailbox_t* mcq_mailbox_retain(mcq_mailbox_t* mailbox);

/* What was posted still gets there.  NULL is fine. */
MCQ_EXTERN void mcq_mailbox_release(mcq_mailbox_t* mailbox);

/* Posts one message of `count` frames, copying them.  MCQ_EAGAIN: it is full,
 * nothing was posted; MCQ_ECLOSED: the socket is closing or gone; MCQ_ENOTSUP:
 * its type does not send; MCQ_EINVAL, MCQ_ENOMEM. */
MCQ_EXTERN int mcq_post(mcq_mailbox_t* mailbox, const mcq_frame_t* frames,
                        size_t count);

/* The same with a message as one has it: an owned one is shared, not copied.
 * The caller keeps his count. */
MCQ_EXTERN int mcq_post_msg(mcq_mailbox_t* mailbox, const mcq_msg_t* msg);

/* Has `call` run in the loop, where everything may be called: exactly once if
 * this returns 0, in its turn among what was posted, and before the socket's
 * on_close. */
MCQ_EXTERN int mcq_post_call(mcq_mailbox_t* mailbox, mcq_post_cb call,
                             void* arg);

/* Names for "inproc://" that contexts share: their sockets find each other
 * whatever loop and thread they run in.  Marks, handshakes, events, the order
 * of messages and who may go first are those of one context.  Payload passes by
 * reference, so that the allocators of these contexts, and functions given to
 * mcq_msg_wrap, may be called on any of their threads.
 *
 * Goes to mcq_ctx_options_t.inproc.  These three may be called on any thread;
 * the caller of _new gets a count, `allocator` may be NULL.  MCQ_EINVAL,
 * MCQ_ENOMEM, or libuv's code. */
MCQ_EXTERN int mcq_inproc_new(const mcq_allocator_t* allocator,
                              mcq_inproc_t** out);
MCQ_EXTERN mcq_inproc_t* mcq_inproc_retain(mcq_inproc_t* inproc);
MCQ_EXTERN void mcq_inproc_release(mcq_inproc_t* inproc);

/* ---- statistics ---------------------------------------------------------- */

/* Snapshots, taken at any time from the loop's thread; nothing has to be
 * switched on for them.  What is counted only grows, until its owner is gone;
 * the others are what is so now.  A message counts at the moment when it is
 * whole, with its frames as they travel: with the envelope of REQ and REP,
 * without the routing id that a ROUTER takes off.
 *
 * Messages going out have one figure each for what became of them, so that at
 * any moment
 *
 *   messages_sent = messages_written + messages_in_flight + messages_queued
 *                   + messages_unsure + messages_replaced + messages_lost
 *
 * (of a peer also + messages_requeued: those that moved to another one, which
 * counts them, too).  Handshakes likewise: connections_accepted +
 * connections_made are handshakes_ok + handshakes_failed and those that are
 * going on.
 *
 * Structs only grow, at their end.  The functions take the size of the struct
 * as the caller knows it: a newer library fills no more than that, an older one
 * leaves what it does not know 0. */

/* A socket, or all sockets of a context. */
typedef struct mcq_stats {
  uint64_t peers;             /* connected now */
  uint64_t messages_received; /* delivered to on_message */
  uint64_t frames_received;
  uint64_t bytes_received; /* of message frames */
  uint64_t messages_sent;  /* accepted by mcq_send and its kin; of a publisher
                              for each peer */
  uint64_t frames_sent;
  uint64_t bytes_sent;
  uint64_t messages_queued; /* accepted, not yet handed to the kernel */
  uint64_t bytes_queued;    /* with their headers */
  uint64_t messages_lost;   /* accepted, given up undelivered */
  uint64_t messages_requeued; /* moved to another peer after a loss */
  uint64_t sends_refused;     /* MCQ_EAGAIN */
  uint64_t sends_unroutable;  /* MCQ_EHOSTUNREACH, MCQ_EPEERGONE */
  uint64_t handshakes_ok;
  uint64_t handshakes_failed;
  uint64_t disconnects;
  uint64_t reconnects;      /* attempts after the first of an endpoint */
  uint64_t commands_unknown;
  uint64_t messages_discarded; /* received, of no use to the socket's type */
  uint64_t requests_failed;    /* REQ: see on_request_failed */
  uint64_t messages_dropped;   /* PUB, XPUB, MCQ_CONFLATE: for one peer each,
                                   because it was slow: all three kinds below */
  uint64_t posts_failed;        /* given to mcq_post, and could not be sent */
  uint64_t connections_refused; /* over one of the limits on who connects */
  uint64_t subscriptions;      /* PUB, XPUB: topics with a subscriber; SUB,
                                  XSUB: topics subscribed to */
  /* What became of those accepted. */
  uint64_t messages_written;   /* handed to the kernel, or to the other side of
                                  inproc, to the last byte */
  uint64_t messages_in_flight; /* handed over, and not known to be written */
  uint64_t messages_unsure;    /* the same when the connection was lost, or begun
                                  and not to be sent again */
  uint64_t messages_replaced;  /* given up for newer ones: MCQ_CONFLATE,
                                  MCQ_SLOW_DROP_OLDEST */
  /* messages_lost, by reason. */
  uint64_t lost_gone;  /* their connection was lost, or handed over */
  uint64_t lost_slow;  /* it was cut off: MCQ_SLOW_DISCONNECT */
  uint64_t lost_local; /* the socket, the endpoint or the peer was closed here,
                          and linger was over */
  /* messages_dropped that had not been accepted for that peer. */
  uint64_t dropped_full;   /* its queue was full */
  uint64_t dropped_memory; /* there was no memory for it */
  /* Queues. */
  uint64_t congestions;         /* times that a peer's queue became full */
  uint64_t queue_peak_messages; /* the most that ever waited for one peer */
  uint64_t queue_peak_bytes;
  /* Connections. */
  uint64_t connections_accepted; /* came in */
  uint64_t connections_made;     /* went out */
  uint64_t accepts_failed;
  uint64_t connects_failed;
  uint64_t wire_bytes_received; /* all there is, protocol included */
  uint64_t wire_bytes_sent;
  /* handshakes_failed, by reason. */
  uint64_t handshakes_timed_out;
  uint64_t handshakes_refused;  /* the other side sent an ERROR */
  uint64_t handshakes_rejected; /* this side did, or had to turn it away */
  uint64_t handshakes_invalid;  /* the other side broke the protocol */
  uint64_t handshakes_lost;     /* the connection ended */
  /* Heartbeats, and the pings by which a subscriber learns that what it wants
   * is in force. */
  uint64_t pings_sent;
  uint64_t pings_received;
  uint64_t pongs_received;
} mcq_stats_t;

/* A connection, or an endpoint of mcq_connect with all the connections it had:
 * its queue outlives them and so do its figures. */
typedef struct mcq_peer_stats {
  uint64_t messages_received; /* these as in mcq_stats_t */
  uint64_t frames_received;
  uint64_t bytes_received;
  uint64_t messages_discarded; /* and subscriptions in the form of messages */
  uint64_t messages_sent;
  uint64_t frames_sent;
  uint64_t bytes_sent;
  uint64_t messages_written;
  uint64_t messages_in_flight;
  uint64_t messages_queued;
  uint64_t bytes_queued;
  uint64_t messages_unsure;
  uint64_t messages_replaced;
  uint64_t messages_lost;
  uint64_t messages_requeued; /* moved away */
  uint64_t dropped_full;
  uint64_t dropped_memory;
  uint64_t congestions;
  uint64_t queue_peak_messages;
  uint64_t queue_peak_bytes;
  uint64_t wire_bytes_received;
  uint64_t wire_bytes_sent;
  uint64_t connections; /* that came up */
  uint64_t connected;   /* 1: it is up */
  uint64_t up_ms;       /* for so long; 0 when it is not */
  uint64_t congested;   /* 1: its queue became full and has no room yet */
  uint64_t pings_sent;
  uint64_t pings_received;
  uint64_t pongs_received;
  uint64_t rtt_ns; /* how long the answer to the last ping took; 0: there was
                      none on this connection */
} mcq_peer_stats_t;

/* What belongs to no socket. */
typedef struct mcq_ctx_stats {
  uint64_t sockets;        /* now, closing ones too */
  uint64_t sockets_opened; /* ever */
  uint64_t memory_blocks;  /* held from the allocator, retained messages too */
  uint64_t memory_bytes; /* in them, as the system rounds them up; 0 when that is
                            not known, as with an allocator of your own */
  uint64_t memory_allocations; /* blocks ever taken */
  uint64_t memory_idle_bytes;  /* of these bytes: kept to be used again */
} mcq_ctx_stats_t;

MCQ_EXTERN void mcq_stats_get(mcq_socket_t* socket, mcq_stats_t* out,
                              size_t size);

/* MCQ_EPEERGONE, and zeros. */
MCQ_EXTERN int mcq_peer_stats_get(mcq_socket_t* socket, mcq_peer_t peer,
                                  mcq_peer_stats_t* out, size_t size);

/* Of an endpoint of mcq_connect, whether it is connected or not.  MCQ_ENOENT,
 * and zeros: there is none, or it listens. */
MCQ_EXTERN int mcq_endpoint_stats_get(mcq_socket_t* socket,
                                      mcq_endpoint_t endpoint,
                                      mcq_peer_stats_t* out, size_t size);

MCQ_EXTERN void mcq_ctx_stats_get(const mcq_ctx_t* ctx, mcq_ctx_stats_t* out,
                                  size_t size);

/* All sockets of the context together, those that are gone, too: what is
 * counted does not go back when one is closed. */
MCQ_EXTERN void mcq_ctx_totals_get(mcq_ctx_t* ctx, mcq_stats_t* out,
                                   size_t size);

/* The same, with the size that this header knows. */
static inline void mcq_stats(mcq_socket_t* socket, mcq_stats_t* out) {
  mcq_stats_get(socket, out, sizeof *out);
}
static inline int mcq_peer_stats(mcq_socket_t* socket, mcq_peer_t peer,
                                 mcq_peer_stats_t* out) {
  return mcq_peer_stats_get(socket, peer, out, sizeof *out);
}
static inline int mcq_endpoint_stats(mcq_socket_t* socket,
                                     mcq_endpoint_t endpoint,
                                     mcq_peer_stats_t* out) {
  return mcq_endpoint_stats_get(socket, endpoint, out, sizeof *out);
}
static inline void mcq_ctx_stats(const mcq_ctx_t* ctx, mcq_ctx_stats_t* out) {
  mcq_ctx_stats_get(ctx, out, sizeof *out);
}
static inline void mcq_ctx_totals(mcq_ctx_t* ctx, mcq_stats_t* out) {
  mcq_ctx_totals_get(ctx, out, sizeof *out);
}

/* ---- metrics as text ----------------------------------------------------- */

/* All figures of a context and its sockets in the OpenMetrics text format 1.0,
 * which Prometheus and others read: what an HTTP server answers with when it is
 * asked for /metrics (samples/metrics.c).  doc/metrics.md has the names. */
#define MCQ_METRICS_TYPE \
  "application/openmetrics-text; version=1.0.0; charset=utf-8"

enum { /* mcq_metrics_options_t.flags */
  /* The figures of each connection and each endpoint that connects, too: some
   * thirty lines for every one of them. */
  MCQ_METRICS_PEERS = 1 << 0,
  /* Without the last line, "# EOF": other metrics follow, of other names. */
  MCQ_METRICS_OPEN_END = 1 << 1
};

typedef struct mcq_metrics_options {
  int flags;
  const char* prefix; /* of all names; NULL: "monocoque" */
  void* reserved[8];  /* leave zero */
} mcq_metrics_options_t;

/* Gets the next `len` bytes of text, borrowed and without a NUL.  0, or a
 * negative code that ends it.  It is called inside the call, and may call
 * nothing that has to do with this context. */
typedef int (*mcq_metrics_cb)(const char* text, size_t len, void* arg);

/* Hands the text to `sink` in pieces.  0, what `sink` answered, MCQ_ENOMEM, or
 * MCQ_EINVAL: a prefix that is no name, unknown flags.  `options` may be NULL.
 */
MCQ_EXTERN int mcq_metrics_write(mcq_ctx_t* ctx,
                                 const mcq_metrics_options_t* options,
                                 mcq_metrics_cb sink, void* arg);

/* Writes as much of the text as `size` bytes hold, always with a NUL at the
 * end, and to `*len` how long it is without that: it was all when that is less
 * than `size`.  `buffer` may be NULL where `size` is 0.  0, MCQ_ENOMEM,
 * MCQ_EINVAL. */
MCQ_EXTERN int mcq_metrics_format(mcq_ctx_t* ctx,
                                  const mcq_metrics_options_t* options,
                                  char* buffer, size_t size, size_t* len);

/* ---- codes and versions -------------------------------------------------- */

/* A sentence about a code, and its name ("MCQ_EFRAME", "ECONNRESET").  Static
 * text; unknown codes have one too. */
MCQ_EXTERN const char* mcq_strerror(int code);
MCQ_EXTERN const char* mcq_err_name(int code);

/* False for codes after which the same call may succeed later. */
MCQ_EXTERN bool mcq_is_fatal(int code);

/* "major.minor.patch" of the library; the parts where not NULL. */
MCQ_EXTERN const char* mcq_version(int* major, int* minor, int* patch);

/* Whether this build has a feature: "uring", "curve", "plain", "ipc",
 * "inproc".  Unknown names it has not.  What the kernel lets one do is known
 * when a context is open: mcq_ctx_backend. */
MCQ_EXTERN bool mcq_has(const char* feature);

/* "DEALER" for MCQ_DEALER; NULL for an unknown number. */
MCQ_EXTERN const char* mcq_type_name(int type);

/* "handshake-ok" for MCQ_EVENT_HANDSHAKE_OK; NULL for an unknown number. */
MCQ_EXTERN const char* mcq_event_name(mcq_event_kind_t kind);

#ifdef __cplusplus
}
#endif

#endif
