/* SPDX-License-Identifier: MIT */
/* Matches between a socket of ours and sockets of real libzmq in a process of
 * its own.  The test programs beside libzmq list matches; one side drives,
 * the other echoes, and every message comes back whole and in its order.
 * zmq_parts.c makes up the messages, zmq_theirs.c is the other process,
 * zmq_match.c this one. */
#ifndef TEST_SUPPORT_ZMQ_MATCH_H
#define TEST_SUPPORT_ZMQ_MATCH_H

#include "support/zmq_venue.h"

#define PARTS_MAX 8
#define PEERS_MAX 200
#define LARGEST ((size_t) 64 << 20)

typedef enum plan {
  PLAN_MIXED, /* many messages of all shapes, small */
  PLAN_SIZES, /* every size once alone and once in company */
  PLAN_ROOM   /* one message, a byte larger than LARGEST */
} plan_t;

typedef struct match {
  int ours;
  int theirs;
  bool we_bind;
  bool we_drive;
  int peers;         /* libzmq sockets */
  unsigned messages; /* to each */
  plan_t plan;
  bool no_limit; /* on what we receive */
} match_t;

typedef struct parts {
  mcq_frame_t frames[PARTS_MAX];
  size_t count;
} parts_t;

/* Once, before any process is made. */
void parts_init(void);

/* Message `number` of a plan, the same in both processes. */
void parts_of(plan_t plan, unsigned number, parts_t* out);

/* How many messages PLAN_SIZES has. */
unsigned parts_sizes(void);

/* The other process, for a duo: takes our address from `in` or tells its own
 * to `out`, drives, or echoes until `in` ends.  `arg` is its meeting. */
int their_side(const void* arg, int in, int out);

typedef struct meeting {
  const match_t* match;
  const venue_t* venue;
} meeting_t;

/* Plays one match and checks it; fails the running test. */
void play(const match_t* match, const venue_t* venue);

#endif
