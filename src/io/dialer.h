/* SPDX-License-Identifier: MIT */
/* A connecting endpoint: one stream at a time, and after a loss another, with
 * growing, jittered waits.  Cold code.
 *
 * States: waiting (a timer runs), dialing (the transport is at it), up (the
 * user has a stream), stopped, closing. */
#ifndef MCQ__IO_DIALER_H
#define MCQ__IO_DIALER_H

#include "io/endpoint.h"
#include "io/io.h"

typedef struct mcq__dialer_events {
  /* An attempt begins. */
  void (*on_dialing)(mcq__dialer_t* d);

  /* Connected; the callee adopts or discards the stream and says
   * mcq__dialer_lost when the connection is over. */
  void (*on_stream)(mcq__dialer_t* d, void* stream, const char* address);

  /* An attempt failed with `code`. */
  void (*on_failed)(mcq__dialer_t* d, int code);

  /* The next attempt comes in `ms`. */
  void (*on_retry)(mcq__dialer_t* d, uint64_t ms);

  /* mcq__dialer_close is complete; `d` may be freed. */
  void (*on_closed)(mcq__dialer_t* d);

  /* It has tried as often or as long as it may and will not try again; may be
   * NULL. */
  void (*on_stopped)(mcq__dialer_t* d);
} mcq__dialer_events_t;

typedef struct mcq__dialer_config {
  uint64_t retry_ms;     /* first wait (0: 1 ms); MCQ__NEVER: never retry */
  uint64_t retry_max_ms; /* cap of the doubling; below retry_ms: none */
  uint64_t connect_ms;   /* limit of one attempt; MCQ__NEVER: the system's */
  uint64_t attempts;     /* in a row without success; 0: no limit */
  uint64_t total_ms;     /* no attempt begins later, without success, than that
                            after the first; 0: no limit */
} mcq__dialer_config_t;

enum mcq__dialer_state {
  MCQ__DIALER_IDLE,
  MCQ__DIALER_WAITING,
  MCQ__DIALER_DIALING,
  MCQ__DIALER_UP,
  MCQ__DIALER_STOPPED,
  MCQ__DIALER_CLOSED
};

struct mcq__dialer {
  mcq__io_t* io;
  const mcq__transport_t* transport;
  const mcq__dialer_events_t* events;
  const mcq__dialer_config_t* config;
  char* place;               /* the endpoint's host, or the rest of it */
  mcq__endpoint_t* endpoint; /* that, for the length of an attempt */
  uint16_t port;
  bool closing;
  bool expired;     /* the attempt took too long and was broken off */
  uint8_t state;    /* enum mcq__dialer_state */
  uint8_t failures; /* since the last success, 255 at most: the exponent */
  uint8_t failures_before; /* the same before that success */
  unsigned tries;          /* attempts since then, and before it */
  unsigned tries_before;
  uint64_t since; /* when the first of them began; MCQ__NEVER: none has */
  uint64_t since_before;
  uint64_t waited;    /* ms before the last attempt */
  uint64_t up_at;     /* since when there is a stream */
  mcq__timer_t timer; /* the wait, or the limit of the attempt */
  mcq__task_t task;
  void* impl; /* the transport's own, for one attempt */
};

/* Prepares `d` (caller's memory, zeroed) and dials in the next
 * phase.  `config` and `events` outlive it.  0, MCQ_EINVAL for an address that
 * only a listener can have (a wildcard, port 0), MCQ_ENOTSUP for an unknown
 * scheme, MCQ_ENOMEM. */
int mcq__dialer_open(mcq__dialer_t* d, mcq__io_t* io,
                     const mcq__endpoint_t* endpoint,
                     const mcq__dialer_config_t* config,
                     const mcq__dialer_events_t* events);

/* The handshake succeeded: the next wait is the first one again. */
void mcq__dialer_succeeded(mcq__dialer_t* d);

/* The same where there is no handshake, at the end: it succeeded if the stream
 * lasted longer than the wait before it. */
void mcq__dialer_lasted(mcq__dialer_t* d);

/* It did not after all: as if the last success had been none. */
void mcq__dialer_disappointed(mcq__dialer_t* d);

/* From its callbacks: it does not try again. */
void mcq__dialer_stop(mcq__dialer_t* d);

/* When the attempt under way is broken off, or MCQ__NEVER. */
uint64_t mcq__dialer_limit(const mcq__dialer_t* d);

/* The stream it gave is gone.  `retry` false: a definite refusal; it stops. */
void mcq__dialer_lost(mcq__dialer_t* d, bool retry);

/* Ends it in any state; idempotent; on_closed comes in a later phase. */
void mcq__dialer_close(mcq__dialer_t* d);

/* For transports: the attempt ended with a stream or an error. */
void mcq__dialer_done(mcq__dialer_t* d, void* stream, const char* address,
                      int code);

#endif
