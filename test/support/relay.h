/* SPDX-License-Identifier: MIT */
/* A raw TCP relay that misbehaves as it is told.  It listens at a port of its
 * own, dials the server for every client that comes, and passes bytes both
 * ways on the loop of the test: plain sockets, no threads, no idea of what it
 * carries.  Used by tests of connections that survive; whoever moves a clock
 * of his own calls relay_step after it. */
#ifndef TEST_SUPPORT_RELAY_H
#define TEST_SUPPORT_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum {               /* relay_fault_t.ways */
       RELAY_UP = 1, /* from the client to the server */
       RELAY_DOWN = 2,
       RELAY_BOTH = 3
};

/* What happens behind byte `at`. */
typedef enum relay_kind {
  RELAY_NOTHING,
  RELAY_FLIP,  /* byte `at` is changed */
  RELAY_STALL, /* nothing passes for a while; later all of it does */
  RELAY_SHUT,  /* who listens that way hears the end; the rest vanishes */
  RELAY_CLOSE, /* the same both ways */
  RELAY_RESET, /* both ends break off, and what is under way is lost */
  RELAY_FORGET /* the client's end breaks off and the server hears nothing */
} relay_kind_t;

#define RELAY_EVER UINT64_MAX

/* Each way it concerns has its own count of bytes.  All zeros: a good line. */
typedef struct relay_fault {
  unsigned ways;
  size_t step;    /* bytes passed at a time, a turn of the loop apart; 0: all */
  uint64_t delay; /* ms each piece is held */
  relay_kind_t kind;
  size_t at;
  uint8_t mask; /* FLIP */
  uint64_t ms;  /* STALL: how long; others: how long nothing passes before */
} relay_fault_t;

typedef struct relay_leg relay_leg_t;

typedef struct relay {
  uv_loop_t* loop;
  uint64_t (*clock)(void* arg); /* ms; NULL: the loop's */
  void* clock_arg;
  struct sockaddr_in server;
  char uri[64]; /* where clients come */
  int fd;
  uv_poll_t door;
  uv_idle_t idle;   /* more can pass at once */
  uv_timer_t timer; /* or at a time, when the clock is the loop's */
  unsigned handles;
  relay_leg_t* legs; /* the newest first */
  relay_fault_t next;
  unsigned next_times; /* connections to come that it applies to */
  unsigned legs_made;
  unsigned struck; /* how many times something happened at `at` */
  uint64_t moved;  /* bytes and ends; changes when anything passed */
} relay_t;

/* Opens one to "tcp://127.0.0.1:port"; zeroed but for the clock. */
void relay_open(relay_t* r, uv_loop_t* loop, const char* server_uri);

/* Ends everything.  The handles are gone when the loop has run on. */
void relay_close(relay_t* r);

/* The next `times` connections are like this from their first byte on. */
void relay_next(relay_t* r, const relay_fault_t* fault, unsigned times);

/* The newest connection is like this from here on. */
void relay_now(relay_t* r, const relay_fault_t* fault);

/* Whether bytes are in it that could not be passed yet. */
bool relay_empty(const relay_t* r);

/* Passes what can pass. */
void relay_step(relay_t* r);

#endif
