/* SPDX-License-Identifier: MIT */
/* Pairs of sockets on two hosts, which here are two network namespaces with a
 * cable between them, and what became of their messages when the cable was
 * pulled.  The near side, always ours, connects; the far side listens and is
 * ours or libzmq's, each in a process of its own.  One of the two drives: it
 * sends numbered messages at a steady pace.  The books are in memory that all
 * processes share.  Uses the public interface alone; test/link_pairs.c is who
 * pulls the cable. */
#ifndef TEST_SUPPORT_LINK_H
#define TEST_SUPPORT_LINK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "monocoque.h"
#include "support/restart.h"

#define LINK_TICK 5 /* ms between two messages of a driver */
#define LINK_FAR "10.99.0.2"

/* Of heartbeats: what they are to find is found after both. */
#define LINK_BEAT 500
#define LINK_TIMEOUT 500

typedef struct link_kind {
  const char* name;
  int driver, other;
  bool echoes;
  bool queues; /* a driver that connects keeps its queue */
} link_kind_t;

typedef struct link_lane {
  const link_kind_t* kind;
  int backend; /* of ours, on both sides */
  bool zmq;    /* the far side is libzmq's */
  bool far_drives;
} link_lane_t;

#define LINK_LANES 32

typedef struct link_life {
  _Atomic unsigned ups, downs;
  _Atomic int reason;       /* of the last down */
  _Atomic uint64_t down_at; /* uv_hrtime, which is one clock for all */
} link_life_t;

typedef struct link_book {
  restart_ledger_t ledger;
  _Atomic int port;
  link_life_t life[2]; /* near, far; of libzmq's there is none */
  /* Of a driver of ours: when its connection went down these had been heard,
   * and these had left; all lost that never left; questions that failed. */
  _Atomic uint32_t heard, handed;
  _Atomic uint64_t lost;
  _Atomic unsigned failed;
} link_book_t;

typedef struct link_books {
  link_lane_t lanes[LINK_LANES];
  size_t count;
  bool beats; /* with heartbeats */
  _Atomic bool driving;
  _Atomic bool ending;
  _Atomic uint64_t longest; /* ns that a loop of ours did not turn */
  link_book_t books[LINK_LANES];
} link_books_t;

/* ---- one side's sockets of ours ------------------------------------------ */

typedef struct link_end {
  const link_lane_t* lane;
  link_book_t* book;
  mcq_socket_t* s;
  bool far;
  bool drives;
  bool ready;  /* a publisher: somebody has subscribed */
  bool asking; /* a REQ */
} link_end_t;

typedef struct link_side {
  link_books_t* all;
  uv_loop_t loop;
  uv_timer_t tick;
  uint64_t last_tick;
  mcq_ctx_t* ctx[2]; /* one with each back end */
  link_end_t ends[LINK_LANES];
  void (*on_tick)(struct link_side* side); /* also of the test */
} link_side_t;

/* Opens the sockets of all lanes that are ours here; the far side's listen and
 * put their ports into the books, the near side's wait for these. */
void link_side_open(link_side_t* side, link_books_t* all, bool far);

/* Begins to close; the loop ends by itself. */
void link_side_close(link_side_t* side);

/* The far side as the life of a process: until `ending`. */
int link_far_ours(link_books_t* all);
int link_far_zmq(link_books_t* all);

/* Whether there is libzmq to play with. */
bool link_has_zmq(void);

#endif
