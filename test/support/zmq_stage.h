/* SPDX-License-Identifier: MIT */
/* A stage for tests that go step by step: sockets of ours here, and a process
 * with sockets of real libzmq that does what it is told, one line after the
 * other (zmq_puppet.c).  Messages are lines of text on both sides: '|' between
 * frames, '+' for a byte of 1 and '-' for one of 0, a long frame as its
 * length. */
#ifndef TEST_SUPPORT_ZMQ_STAGE_H
#define TEST_SUPPORT_ZMQ_STAGE_H

#include "support/zmq_venue.h"

#define LINE_MAX_LEN 512
#define LONG_FRAME 200u
#define KEPT 64u

/* Puts a frame at the end of a line. */
void line_add(char line[LINE_MAX_LEN], const void* data, size_t len,
              bool first);

/* ---- their side ---------------------------------------------------------- */

#define THEIRS_MAX 8

/* For a duo; `arg` is the venue.  Orders are "verb socket what":
 *   open T type; close T
 *   bind T     answers with the address;  connect T address
 *   set T option value; sub T topic; unsub T topic; send T line
 *   recv T     answers with the next message
 *   tally T n  takes n subscriptions of the topics that "sub T #n" makes, in
 *              this order, and answers with their number
 *   proxy T    joins T and the socket after it from now on
 * A topic "#n" is n numbers, "x*n" is n letters. */
int puppet_life(const void* arg, int in, int out);

/* ---- our side ------------------------------------------------------------ */

typedef struct stage {
  const venue_t* venue;
  uv_loop_t loop;
  uv_timer_t tick; /* no turn of the loop waits longer */
  unsigned ticks;
  mcq_ctx_t* ctx;
  bool left;
  duo_t duo;
} stage_t;

typedef struct heard {
  char line[LINE_MAX_LEN];
  mcq_peer_t peer;
} heard_t;

typedef struct ours {
  stage_t* g;
  mcq_socket_t* s;
  mcq_endpoint_t at;
  unsigned ups, downs, subscribed, unsubscribed;
  unsigned count;      /* messages that came */
  unsigned read;       /* of them */
  heard_t heard[KEPT]; /* the last of them */
} ours_t;

void stage_open(stage_t* g, const venue_t* venue);
void stage_close(stage_t* g);

/* Ticks, or looks at a socket of theirs: then what is waited for will not come
 * any more. */
#define PATIENCE 20000u

#define until(g, condition)                        \
  do {                                             \
    unsigned since_ = (g)->ticks;                  \
    while (!(condition)) {                         \
      assert_true((g)->ticks - since_ < PATIENCE); \
      (void) uv_run(&(g)->loop, UV_RUN_ONCE);      \
    }                                              \
  } while (0)

/* Without limits on its queues where the options have none. */
void ours_open(ours_t* o, stage_t* g, mcq_socket_options_t options);
const char* ours_bind(ours_t* o);
void ours_connect(ours_t* o, const char* uri);
void ours_say(ours_t* o, const char* line);
void ours_follow(ours_t* o, const char* topic);
void ours_forsake(ours_t* o, const char* topic);
uint64_t ours_topics(const ours_t* o);

/* The next message that was not read, waiting for it. */
const heard_t* ours_hear(ours_t* o);

/* The last one that came. */
const char* ours_last(const ours_t* o);

void order(stage_t* g, const char* verb, int i, const char* what);

/* Their line, while our loop goes on. */
const char* answer(stage_t* g);

/* A socket of theirs that connects there. */
void theirs_connect(stage_t* g, int i, const char* type, const char* uri);

/* One that listens; its address. */
const char* theirs_bind(stage_t* g, int i, const char* type);

#define expect_here(o, text) assert_string_equal(ours_hear(o)->line, text)
#define expect_there(g, i, text) \
  do {                           \
    order(g, "recv", i, "");     \
    expect_answer(g, text);      \
  } while (0)
#define expect_answer(g, text) assert_string_equal(answer(g), text)

#endif
