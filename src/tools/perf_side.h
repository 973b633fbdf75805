/* SPDX-License-Identifier: MIT */
/* One side of one run of mcqperf, in a process of its own.  The contenders
 * (perf_mcq.c, perf_zmq.c, perf_raw.c) implement both roles of throughput and
 * latency, perf_mcq_many.c and perf_zmq_many.c those of fanout and peers,
 * perf_stalled.c those of fanout beside subscribers that do not read;
 * perf_side.c gives them clocks and carries results home.
 *
 * Throughput, the same for all: the receiver orders a number of messages
 * through a pipe beside the connection, the sender sends as many, the receiver
 * orders again, and 0 ends it.  The first order warms up, the second is on the
 * clock.  Latency: the sender asks, the receiver echoes; the first `warmup`
 * rounds do not count.
 *
 * Fanout: the sender publishes `warmup` and then `count` messages to the
 * receiver's `peers` sockets, none of which may be lost, so it waits where one
 * of them is slow.  Peers: each of the sender's `peers` sockets has
 * `outstanding` questions under way, the receiver echoes.  Neither stops after
 * `count` round trips, so that the load is the same up to the last one that is
 * counted; then each tells, and the parent ends what still runs. */
#ifndef PERF_SIDE_H
#define PERF_SIDE_H

#include "tool.h"

enum { PERF_RUN_MS = 400 }; /* what a run is to take */

enum { PERF_HELLO = 5 }; /* setup: bytes of its message */

/* Where a thousand connect at once: with the usual backlogs some of them are
 * dropped by the kernel, and come again after seconds. */
enum { PERF_BACKLOG = 4096 };

typedef enum perf_mode {
  PERF_THROUGHPUT,
  PERF_LATENCY,
  PERF_FANOUT,
  PERF_PEERS,
  PERF_LATENESS, /* these three are played elsewhere: perf_child.h */
  PERF_INPROC,
  PERF_SETUP,
  PERF_MODE_COUNT
} perf_mode_t;
typedef enum perf_role { PERF_RECEIVER, PERF_SENDER } perf_role_t;

typedef enum perf_who {
  PERF_AUTO, /* this library: the numbers of MCQ_BACKEND_ */
  PERF_UV,
  PERF_URING,
  PERF_ZMQ,      /* libzmq */
  PERF_RAW,      /* plain TCP */
  PERF_ONE_LOOP, /* this library within a process: inproc */
  PERF_TWO_LOOPS,
  PERF_POST_1,
  PERF_POST_4,
  PERF_WHO_COUNT
} perf_who_t;

/* Sender's and receiver's socket types. */
typedef enum perf_types {
  PERF_PUSH_PULL,
  PERF_DEALER_DEALER,
  PERF_DEALER_ROUTER,
  PERF_PAIR_PAIR,
  PERF_REQ_REP,
  PERF_TYPES_COUNT
} perf_types_t;

typedef enum perf_transport {
  PERF_TCP,
  PERF_IPC,
  PERF_TRANSPORT_COUNT
} perf_transport_t;

typedef struct perf_job {
  perf_mode_t mode;
  perf_role_t role;
  perf_who_t who;
  perf_types_t types; /* throughput, latency */
  perf_transport_t transport;
  size_t size;        /* of a message */
  uint64_t count;     /* messages or round trips; 0: what takes PERF_RUN_MS */
  uint64_t warmup;    /* the same, off the clock */
  size_t peers;       /* fanout, peers: sockets of the many */
  size_t outstanding; /* peers: questions of each that are under way */
  uint32_t spin_us;   /* this library: see mcq_ctx_options_t */
  bool filtered;      /* fanout: each message is for one of them */
  bool paced;     /* fanout: they lose nothing though the sender may drop, */
  size_t stalled; /* as it does for so many more that do not read */
  uint32_t port;  /* to connect to, on 127.0.0.1; ipc: a number for the name */
  bool patient;   /* the parent waits however long it takes */
} perf_job_t;

/* What a side found out.  A plain value: it goes through a pipe as it is. */
typedef struct perf_result {
  uint64_t count;
  uint64_t wall_ns; /* the one with the clock: first to last message */
  uint64_t cpu_ns;  /* user and system time while on the clock */
  uint64_t peak_kib;
  uint64_t p50_ns; /* latency, sender */
  uint64_t p99_ns;
  uint64_t p999_ns;
  uint64_t dropped; /* paced, sender: messages, for all that are stalled */
} perf_result_t;

typedef struct perf_side {
  perf_job_t job;
  perf_result_t result;
  int out; /* to the parent */
  uint64_t since_ns;
  uint64_t cpu_since_ns;
  uint64_t* samples; /* latency, sender: `sampled` of result.count */
  uint64_t sampled;
  uint64_t seen; /* fanout, peers: what perf_seen counts */
  int told;      /* the parent has the result: 1, or less than 0 */
} perf_side_t;

/* A contender: plays the role to the end.  0, or tool_fail's answer. */
typedef int (*perf_play_fn)(perf_side_t* side);
int perf_mcq(perf_side_t* side);
int perf_zmq(perf_side_t* side);
int perf_raw(perf_side_t* side);
int perf_mcq_many(perf_side_t* side);
int perf_mcq_stalled(perf_side_t* side);
int perf_zmq_many(perf_side_t* side);

/* Whether perf_zmq is more than a message. */
bool perf_has_zmq(void);

/* "libzmq 4.3.4" */
const char* perf_zmq_name(void);

/* Whether it is this role that binds: the one there is one of. */
static inline bool perf_listens(perf_mode_t mode, perf_role_t role) {
  return (role == PERF_SENDER) == (mode == PERF_FANOUT);
}

/* Whoever binds: tells the parent the port. */
int perf_listening(perf_side_t* side, uint32_t port);

/* Nanoseconds that only go forward. */
uint64_t perf_now(void);

/* Where to bind, or connect.  "tcp://127.0.0.1:0" is bound to a free port. */
enum { PERF_ADDRESS = 64 };
void perf_address(const perf_job_t* job, char out[PERF_ADDRESS]);

/* Whoever binds: tells the parent where that turned out to be. */
int perf_bound(perf_side_t* side, const char* uri);

/* Throughput, receiver: how many to order after a warm-up of `warm_ns`. */
uint64_t perf_order(const perf_side_t* side, uint64_t warm_ns);

/* The pipe beside the connection: the receiver gives orders, and the sender
 * takes them from PERF_ORDERS, which is readable when there is one. */
enum { PERF_ORDERS = 3 };
int perf_give_order(uint64_t count);
int perf_take_order(uint64_t* count);

/* Tells the parent now, with what the clocks say, and not at the end. */
int perf_tell(perf_side_t* side);

/* Wall and processor time on and off the clock. */
void perf_wall_start(perf_side_t* side);
void perf_wall_stop(perf_side_t* side);
void perf_cpu_start(perf_side_t* side);
void perf_cpu_stop(perf_side_t* side);

/* Latency, sender: one round trip.  True when it was the last. */
bool perf_sample(perf_side_t* side, uint64_t ns);

/* Fanout and peers. */

/* How often `messages` are received. */
uint64_t perf_deliveries(const perf_job_t* job, uint64_t messages);

/* One more arrived where the clock is.  True when it was the last. */
bool perf_seen(perf_side_t* side);

/* The topic of subscriber `i`, as long as all are; smaller messages are
 * filled up to it. */
enum { PERF_TOPIC = 8 };
void perf_topic(char out[PERF_TOPIC], uint64_t i);

/* "PUSH-PULL", ...: the sender's type, the receiver's. */
extern const char* const perf_types_words[PERF_TYPES_COUNT];

/* "tcp", "ipc" */
extern const char* const perf_transport_words[PERF_TRANSPORT_COUNT];

/* The whole life of a side process. */
int perf_side_run(const perf_job_t* job, int out);

#endif
