/* SPDX-License-Identifier: MIT */
/* A bound endpoint: accepts streams and hands them on.  Cold code. */
#ifndef MCQ__IO_LISTENER_H
#define MCQ__IO_LISTENER_H

#include "io/endpoint.h"
#include "io/io.h"

/* Where a connection comes from, as far as it can be told: an IPv4 address,
 * the first half of an IPv6 one (what follows is its owner's to choose), or
 * nothing. */
typedef struct mcq__origin {
  uint8_t bytes[8];
  uint8_t len;
} mcq__origin_t;

typedef struct mcq__listener_events {
  /* A stream was accepted; the callee adopts or discards it.  `address` is
   * the remote address as "tcp://host:port"; of an ipc peer, which rarely has
   * one, the listener's own. */
  void (*on_stream)(mcq__listener_t* l, void* stream, const char* address);

  /* Accepting failed (out of descriptors, ...); listening goes on. */
  void (*on_error)(mcq__listener_t* l, int code);

  /* mcq__listener_close is complete; `l` may be freed. */
  void (*on_closed)(mcq__listener_t* l);

  /* Somebody is there, from l->from: may a stream be made of it, which comes
   * at once?  NULL: always. */
  bool (*on_knock)(mcq__listener_t* l, const char* address);
} mcq__listener_events_t;

struct mcq__listener {
  mcq__io_t* io;
  const mcq__transport_t* transport;
  const mcq__listener_events_t* events;
  void* user;
  mcq__endpoint_t endpoint;
  int backlog;
  bool reuse_port;                 /* tcp: others may listen there too */
  int incoming_cpu;                /* tcp: 1 + the processor whose arrivals
                                      are for us rather than for them; 0: any */
  char address[MCQ__ENDPOINT_MAX]; /* the real one: tcp://127.0.0.1:40123 */
  mcq__origin_t from;              /* of who knocked last */
  void* impl;                      /* the transport's own */
  bool closing;
  mcq__task_t closed; /* for transports: reports on_closed from a phase */
};

/* Begins to listen; `l` is caller's memory, zeroed but for user,
 * reuse_port and incoming_cpu.  0, or an error at once: bad address, address
 * in use, no such transport. */
int mcq__listener_open(mcq__listener_t* l, mcq__io_t* io,
                       const mcq__endpoint_t* endpoint, int backlog,
                       const mcq__listener_events_t* events);

/* Stops; idempotent; on_closed comes in a later phase. */
void mcq__listener_close(mcq__listener_t* l);

/* For transports.  Who has a connection knocks first (`from` NULL: from
 * nowhere); when that is answered with false there will be no stream. */
bool mcq__listener_knock(mcq__listener_t* l, const mcq__origin_t* from,
                         const char* address);
void mcq__listener_stream(mcq__listener_t* l, void* stream,
                          const char* address);
void mcq__listener_error(mcq__listener_t* l, int code);
void mcq__listener_closed(mcq__listener_t* l);

#endif
