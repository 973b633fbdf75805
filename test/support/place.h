/* SPDX-License-Identifier: MIT */
/* Where whole sockets are played: every transport on every back end, and the
 * simulated network in its styles.  For tests of what must be the same
 * everywhere; they take the table, open a context at a place and run it until
 * that is closed. */
#ifndef TEST_SUPPORT_PLACE_H
#define TEST_SUPPORT_PLACE_H

#include "ctx.h"
#include "monocoque.h"
#include "support/alloc.h"
#include "support/simnet.h"

typedef struct place {
  const char* name;
  const char* uri; /* to bind to; with "%u" for a number of its own */
  int backend;
  bool strangers; /* others than sockets of the library can knock there */
  bool two;       /* contexts, that share their inproc names */
  bool sim;       /* the rest is how that behaves */
  sim_style_t style;
  unsigned tiny, crumbs;
  uint64_t delay;
} place_t;

/* Where two of the simulated ones stand among them. */
enum { PLACE_POLLING = 7, PLACE_RING = 8, PLACES = 10 };
extern const place_t places[PLACES];

/* One with that name, or NULL. */
const place_t* place_find(const char* name);

#define PLACE_URI_MAX 64

/* What to bind the i-th endpoint of a context to, in `out`. */
const char* place_uri(const place_t* place, unsigned i,
                      char out[PLACE_URI_MAX]);

/* Whether the system has what it takes; says so when not. */
bool place_is_here(const place_t* place);

/* A loop and a context in it, whose data it is: what a test needs more it puts
 * behind it. */
typedef struct ground {
  const place_t* place;
  sim_net_t net;
  uv_loop_t loop;
  test_alloc_t memory;
  mcq_ctx_t* ctx;
  mcq__io_t* io;    /* its own; NULL: closed */
  mcq_ctx_t* other; /* where there are two */
  unsigned open;    /* contexts */
  unsigned asked;   /* how often for one */
  bool finishing;
} ground_t;

void ground_open(ground_t* g, const place_t* place);

/* The context for the next socket: the one, or one and the other in turn. */
mcq_ctx_t* ground_ctx(ground_t* g);

/* Closes the context, once; for callbacks too. */
void ground_finish(ground_t* g);

/* One step.  The loop sleeps only when nothing of a simulated network is to
 * come: then a timer of the test's is.  False: nothing will come any more. */
bool ground_step(ground_t* g);

/* Waits.  Fails when nothing will come any more; who waits in vain otherwise
 * is ended by the time limit of the test run. */
#define ground_until(g, condition) \
  do {                             \
    while (!(condition))           \
      if (!ground_step(g)) {       \
        assert_true(condition);    \
        break;                     \
      }                            \
  } while (0)

/* Until the context is closed.  Asserts that the loop closes with 0, that no
 * block is left, and nothing in the network. */
void ground_run(ground_t* g);

#endif
