/* SPDX-License-Identifier: MIT */
/* Matches between a socket of ours and sockets of real libzmq in a process of
 * its own.  The test programs beside libzmq list matches; one side drives,
 * the other echoes, and every message comes back whole and in its order.
 * zmq_parts.c makes up the messages, zmq_theirs.c is the other process,
 * zmq_match.c this one. */
#ifndef TEST_SUPPORT_ZMQ_MATCH_H
#define TEST_SUPPORT_ZMQ_MATCH_H

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "monocoque.h"

#define URI_MAX 128
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

/* Ends the process with the place when something is wrong over there. */
#define MUST(good) ((good) ? (void) 0 : give_up(__FILE__, __LINE__))

static inline void give_up(const char* file, int line) {
  fprintf(stderr, "the other process: %s:%d: gave up\n", file, line);
  _exit(3);
}

/* The other process: takes our address from `in` or tells its own to `out`,
 * drives, or echoes until `in` ends.  Returns its exit status. */
int their_side(const match_t* match, int in, int out);

/* Plays one match and checks it; fails the running test. */
void play(const match_t* match, int backend);

/* A process made with fork that does not outlive the test: 0 in the child. */
pid_t fork_peer(void);

/* Waits for it to end well. */
void join_peer(pid_t child);

/* Kills it and waits for it. */
void leave_peer(pid_t child);

/* As cmocka's teardown: ends what a failed test left. */
int kill_peers(void** state);

/* The second back end of a test: uring, or where that cannot be had auto, and
 * says so. */
int second_backend(void);

#endif
