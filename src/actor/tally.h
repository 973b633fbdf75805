/* SPDX-License-Identifier: MIT */
/* What one actor did, in figures: its own while it lives, its socket's when it
 * is disposed of.  They only grow, and nothing is ever taken off again: what
 * turned out not to count has a figure of its own.
 *
 * Every message accepted is in exactly one place:
 *   messages_out = written + unsure + replaced + lost + requeued
 *                  + what the outbox holds (unless the actor is settled). */
#ifndef MCQ__ACTOR_TALLY_H
#define MCQ__ACTOR_TALLY_H

#include <stdint.h>

typedef struct mcq__tally {
  /* Whole messages that came, and what of these was not delivered. */
  uint64_t messages_in, frames_in, bytes_in;
  uint64_t messages_aside, frames_aside, bytes_aside;
  /* Messages accepted for it, and what became of them. */
  uint64_t messages_out, frames_out, bytes_out;
  uint64_t written;    /* to the last byte */
  uint64_t unsure;     /* handed over or begun when the connection was lost */
  uint64_t replaced;   /* given up for newer ones */
  uint64_t requeued;   /* moved to other peers */
  uint64_t lost_gone;  /* given up: the connection was lost, */
  uint64_t lost_slow;  /* it was cut off for being slow, */
  uint64_t lost_local; /* it was ended here, or its endpoint */
  /* Messages to many that it was not told. */
  uint64_t missed_full;   /* its queue was at the mark */
  uint64_t missed_memory; /* there was none */
  /* Its queue. */
  uint64_t congestions; /* how often it reached the high-water mark */
  uint64_t peak_messages;
  uint64_t peak_bytes;
  /* The connection, with greetings, commands and headers. */
  uint64_t connections; /* that were up */
  uint64_t wire_in, wire_out;
  uint64_t pings_out, pongs_in; /* asked, answered */
  uint64_t pings_in;            /* by the peer */
} mcq__tally_t;

void mcq__tally_add(mcq__tally_t* to, const mcq__tally_t* from);

/* Those of its figures that most connections have: an actor carries these
 * itself and has a whole tally only for the others, once there is one. */
typedef struct mcq__daily {
  uint64_t messages_in, frames_in, bytes_in;
  uint64_t wire_in;
  uint64_t wire_out;
  uint64_t connections;
  uint64_t pings_out, pongs_in;
} mcq__daily_t;

/* And those of who was ever told something: they are in its outbox. */
typedef struct mcq__outgoing {
  uint64_t messages, frames, bytes;
  uint64_t written;
} mcq__outgoing_t;

void mcq__tally_add_outgoing(mcq__tally_t* to, const mcq__outgoing_t* from);

void mcq__tally_add_daily(mcq__tally_t* to, const mcq__daily_t* from);

#endif
