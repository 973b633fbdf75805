/* SPDX-License-Identifier: MIT */
/* The thinnest network there is, for tests that count instructions: the
 * transport "lane" gives one connection, whose far end is the test itself.
 * What is said there is handed on as one read, without a copy; what the
 * library writes is taken whole and only counted.  The clock stands still, so
 * that nothing depends on how long something takes. */
#ifndef TEST_SUPPORT_LANE_H
#define TEST_SUPPORT_LANE_H

#include "io/dialer.h"
#include "io/io.h"

typedef struct lane {
  mcq__wire_t wire;
  mcq__io_t* io; /* NULL: nobody has adopted it */
  bool reading;
  bool closing;
  uint64_t writes;
  uint64_t written; /* bytes */
  mcq__dialer_t* dialer;
  int code; /* of the dial */
  mcq__task_t dialed;
  mcq__task_t closed;
} lane_t;

/* Begins anew, and gives the seams for mcq__ctx_open; one context a lane. */
mcq__seams_t lane_init(lane_t* lane);

/* The far end says so much, in one piece that stays as it is until the library
 * has let go of it.  False: it does not read, and nothing happened.  Outside
 * of the loop's phases. */
bool lane_say(lane_t* lane, const void* data, size_t len);

#endif
