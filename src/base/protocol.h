/* SPDX-License-Identifier: MIT */
/* What a wire protocol looks like to the actor that drives it: sans-IO, bytes
 * in, events out, time as an argument.  One room implements it; a custom
 * protocol plugs in beside it by filling the same table.
 *
 * Life: open -> start -> {feed, next...}* -> close.  Nothing here calls back,
 * and nothing here does I/O: bytes to send pile up in out(). */
#ifndef MCQ__BASE_PROTOCOL_H
#define MCQ__BASE_PROTOCOL_H

#include "base/chain.h"
#include "base/slab.h"

typedef enum mcq__event_kind {
  MCQ__EV_NONE,      /* hungry: feed me */
  MCQ__EV_READY,     /* handshake complete; see hello() */
  MCQ__EV_FRAME,     /* one frame of a message: body, more */
  MCQ__EV_SUBSCRIBE, /* body: the prefix */
  MCQ__EV_CANCEL,    /* body: the prefix */
  MCQ__EV_COMMAND,   /* an unknown command was ignored; body: its name */
  MCQ__EV_PONG,      /* body: the context that came back */
  MCQ__EV_PING,      /* the peer asked and was answered; it wants to be given
                        up after ttl ms of silence */
  MCQ__EV_REFUSED,   /* the peer sent ERROR; body: its reason; code: whether
                        for good (MCQ_EREFUSED) or not (MCQ_ENOTNOW).  Terminal */
  MCQ__EV_FAILED     /* the peer broke the protocol; code, text.  Terminal */
} mcq__event_kind_t;

typedef struct mcq__event {
  mcq__slice_t body; /* borrowed: good until the next call on the session */
  bool more;         /* FRAME: another frame of the message follows */
  int code;          /* FAILED, REFUSED: an MCQ_E... reason */
  uint64_t ttl;      /* PING: ms; 0: never */
  const char* text;  /* FAILED: what exactly, for people; static or in the
                        session, good until it is closed */
} mcq__event_t;

/* One property of the handshake; names compare without case. */
typedef struct mcq__property {
  mcq__slice_t name;
  mcq__slice_t value;
} mcq__property_t;

/* What the peer said of itself, good from READY until close. */
typedef struct mcq__hello {
  const char* socket_type;           /* NUL-terminated */
  const char* mechanism;             /* NUL-terminated */
  mcq__slice_t routing_id;           /* empty when it announced none */
  const mcq__property_t* properties; /* all of them, as received: until
                                        welcome(), then see property() */
  uint32_t property_count;
  uint8_t version_major; /* negotiated */
  uint8_t version_minor;
} mcq__hello_t;

/* What a session is made from.  Everything pointed to outlives the session. */
typedef struct mcq__session_config {
  mcq__pool_t* pool;
  const char* socket_type;           /* announced */
  const char* const* mates;          /* allowed peer types, NULL at the end */
  mcq__slice_t routing_id;           /* announced where the type does so */
  bool send_routing_id;              /* announce it even when empty */
  const mcq__property_t* properties; /* further ones to announce */
  size_t property_count;
  uint64_t max_message;   /* bytes, sum of the frames; UINT64_MAX: no limit */
  uint64_t max_frames;    /* frames a message; UINT64_MAX: no limit */
  uint64_t handshake_ms;  /* total; MCQ__NO_DEADLINE: none */
  uint64_t max_handshake; /* bytes the peer may say before READY in what has
                             no fixed size; UINT64_MAX: no limit */
  bool incoming;          /* the connection was accepted, not dialed */
  bool hesitates;         /* who came in hears of READY when it was taken in */
} mcq__session_config_t;

#define MCQ__NO_DEADLINE UINT64_MAX

/* Room enough for any protocol's frame header. */
#define MCQ__HEAD_MAX 16

#define MCQ__PREFIX_MAX ((size_t) 65535)
#define MCQ__CONTEXT_MAX ((size_t) 16)

typedef struct mcq__session mcq__session_t;

typedef struct mcq__protocol {
  const char* name;
  bool at_once; /* READY does not wait for a byte of the peer's */

  /* Opens a session in its first state at time `now` (ms).  0, MCQ_ENOMEM. */
  int (*open)(mcq__session_t** out, const mcq__session_config_t* config,
              uint64_t now);

  /* Ends it in any state and frees all it holds; NULL is fine. */
  void (*close)(mcq__session_t* s);

  /* Queues the opening bytes.  0 or MCQ_ENOMEM. */
  int (*start)(mcq__session_t* s);

  /* Hands in bytes.  Call only when next() said NONE.  The session counts
   * the slice until it has used it up. */
  void (*feed)(mcq__session_t* s, mcq__slice_t in);

  /* The next event, NONE when hungry.  After a terminal event: NONE for
   * ever, and everything fed is ignored. */
  mcq__event_kind_t (*next)(mcq__session_t* s, mcq__event_t* ev);

  /* The hot path of next(), for most messages are one frame and lie there in
   * one piece: the body of such a one, borrowed as next()'s are, where no part
   * of another came before it.  False: next() knows what is there, if anything,
   * and nothing has happened. */
  bool (*message)(mcq__session_t* s, mcq__slice_t* body);

  /* After READY: the peer is taken in, and is told where it was not before.
   * 0 or MCQ_ENOMEM. */
  int (*welcome)(mcq__session_t* s);

  /* While the body of a large frame is awaited: the window that wants the
   * rest of it (its room is what is missing), else NULL.  Only when hungry.
   * Bytes may still be fed instead. */
  mcq__window_t* (*want)(mcq__session_t* s);

  /* `n` bytes were written at the start of want()'s window. */
  void (*filled)(mcq__session_t* s, size_t n);

  /* Moves bytes not used up out of shared memory, because next() will not be
   * called for long.  0 or MCQ_ENOMEM. */
  int (*hold)(mcq__session_t* s);

  /* Bytes to send, owned by the session; the caller drains it.  They go out
   * before queued messages, never inside one. */
  mcq__chain_t* (*out)(mcq__session_t* s);

  /* After READY: queues word to the peer that what begins with `prefix` is
   * wanted, or no longer.  0, MCQ_ENOMEM, or MCQ_EMSGLIMIT: longer than
   * MCQ__PREFIX_MAX. */
  int (*subscribe)(mcq__session_t* s, mcq__slice_t prefix, bool wanted);

  /* After READY: queues a question that comes back as PONG with the same
   * context (MCQ__CONTEXT_MAX bytes at most) when the peer has handled what it
   * was told before.  It may give us up after `ttl` ms of silence, or the
   * longest time that can be said; 0: never.  0, MCQ_ENOMEM, or MCQ_ENOTSUP:
   * this peer would not understand. */
  int (*ping)(mcq__session_t* s, uint64_t ttl, mcq__slice_t context);

  /* After READY: queues an empty message to the peer, ahead of all others.  0
   * or MCQ_ENOMEM.  NULL: there are no empty ones. */
  int (*probe)(mcq__session_t* s);

  /* Queues the protocol's refusal with a short printable reason, where the
   * state allows one.  The session is terminal afterwards. */
  int (*refuse)(mcq__session_t* s, const char* reason);

  /* True when everything received so far ended on a message boundary and
   * next() has said all of it. */
  bool (*at_boundary)(const mcq__session_t* s);

  const mcq__hello_t* (*hello)(const mcq__session_t* s);

  /* After READY: the value of the property of that name, whatever its case,
   * good until close.  False: there is none.  NULL: there never are. */
  bool (*property)(const mcq__session_t* s, const char* name,
                   mcq__slice_t* out);

  /* Questions like ping()'s that the peer asked so far; the session answered
   * them.  NULL: there are none. */
  uint64_t (*asked)(const mcq__session_t* s);

  /* When tick() must be called at the latest (ms), or MCQ__NO_DEADLINE. */
  uint64_t (*expiry)(const mcq__session_t* s);

  /* Time passed: afterwards next() may say FAILED. */
  void (*tick)(mcq__session_t* s, uint64_t now);

  /* Writes the header of a message frame with a body of `len` bytes; returns
   * its size.  Pure: needs no session. */
  size_t (*head)(uint8_t out[MCQ__HEAD_MAX], size_t len, bool more);

  /* Reads a header that head() wrote, of which `have` bytes are at hand (all
   * of it, and perhaps more); returns its size.  Pure. */
  size_t (*unhead)(const uint8_t* in, size_t have, uint64_t* len, bool* more);
} mcq__protocol_t;

#endif
