/* SPDX-License-Identifier: MIT */
/* A network in memory under a clock that stands still while anything is due:
 * what the library sees as the transport "sim" and as a back end.  Every whim
 * of it comes out of one seed, so one seed is one run.
 *
 *   net    all of it: the clock, the alarms, who listens, the connections
 *   host   one context's seat at it (io->pump)
 *   conn   a connection: two ends and two pipes
 *   pipe   one direction: bytes under way, bytes there, what ends them
 *   wire   an end that a context has adopted (simwire.c)
 *
 * Bytes written travel in pieces with delays of their own and are read in
 * pieces of any size.  A connection may be cut: what is under way vanishes
 * from some point on, and either side learns of it in its own time.
 *
 * It checks what its users promise: no call out of turn, bytes of a write in
 * flight unchanged, memory lent given back.  It uses no allocator of the
 * library's but where a real back end would, so that failing allocations
 * reach those places too. */
#ifndef TEST_SUPPORT_SIMNET_H
#define TEST_SUPPORT_SIMNET_H

#include "io/dialer.h"
#include "io/io.h"
#include "io/listener.h"
#include "support/random.h"

typedef struct sim_net sim_net_t;
typedef struct sim_conn sim_conn_t;
typedef struct sim_wire sim_wire_t;

/* Something that happens at its time; zeroed it is not set. */
typedef struct sim_alarm {
  struct sim_alarm* next;
  struct sim_alarm** link; /* what points here; NULL: not set */
  uint64_t at;
  void (*run)(struct sim_alarm* alarm);
} sim_alarm_t;

/* How a back end behaves. */
typedef enum sim_style {
  SIM_POLL,  /* writes at once what there is room for, asks where to read */
  SIM_RING,  /* every write is in flight until after submit, memory is lent */
  SIM_MIXED, /* now this, now that */
  SIM_STYLES
} sim_style_t;

/* Odds are in a thousand. */
typedef struct sim_faults {
  sim_style_t style;
  uint64_t delay;     /* ms a piece is under way at most */
  size_t room;        /* bytes one direction holds */
  unsigned tiny;      /* a read or a write of a few bytes */
  unsigned crumbs;    /* a direction read byte by byte at first */
  unsigned refuse;    /* a dial refused though somebody listens */
  unsigned hang;      /* a dial that does not end by itself */
  uint64_t dial;      /* ms a dial takes at most */
  unsigned no_accept; /* accepting fails the first time */
  unsigned no_read;   /* reading cannot be started */
  unsigned purge;     /* a reset takes what arrived before with it */
} sim_faults_t;

typedef struct sim_piece {
  uint64_t at;
  size_t len;
} sim_piece_t;

typedef struct sim_pipe {
  sim_conn_t* conn;
  uint8_t* bytes; /* [head, head + len): not read yet */
  size_t cap;
  size_t head;
  size_t len;
  size_t arrived;      /* of these */
  sim_piece_t* pieces; /* the others, in order */
  size_t piece_cap;
  size_t piece_count;
  size_t room;     /* how many bytes it holds at most */
  uint64_t crumbs; /* as many are read one at a time */
  size_t lost;     /* bytes of these that will never arrive */
  bool hole;       /* whatever is written vanishes */
  bool ended;      /* the writer has said its last */
  uint64_t end_at;
  bool end_there;
  int error; /* what the reader gets after what has arrived; 0: none */
  uint64_t last_at;
  sim_alarm_t arrival;
  uint64_t taken; /* bytes in all: from the writer, */
  uint64_t read;  /* given to the reader, */
  uint64_t gone;  /* dropped on the way */
} sim_pipe_t;

typedef struct sim_end {
  sim_conn_t* conn;
  mcq__io_t* io;
  sim_wire_t* wire; /* while one exists */
  bool held;        /* somebody has the stream, or will have it */
  bool closing;     /* its wire is: what goes out now nobody is told of */
  bool left;        /* it was closed: only its holder's end is missing */
  uint64_t left_at; /* when, ms */
  int broken;       /* what writes fail with; 0: they do not */
  int told;         /* the code its user was given first; 0: none yet */
  int told_last;    /* and at last */
  int notice_code;
  sim_alarm_t notice;
  void* user; /* the test's */
} sim_end_t;

/* Side 0 dialed, side 1 accepted; pipe[s] is written by side s. */
struct sim_conn {
  sim_net_t* net;
  sim_conn_t* next;
  sim_conn_t** link;
  unsigned id;
  sim_end_t end[2];
  sim_pipe_t pipe[2];
  sim_alarm_t accept;
  struct sim_door* door; /* waits there to be accepted */
  sim_conn_t* next_waiting;
  bool cut;
  uint64_t cut_at;     /* ms */
  char address[2][32]; /* what side s sees of the other */
};

struct sim_net {
  test_random_t random;
  uint64_t now;
  sim_faults_t faults;
  sim_alarm_t* alarms;
  sim_conn_t* conns;
  struct sim_door* doors;
  unsigned last_conn;
  unsigned last_name;
  unsigned live;   /* conns, doors, dials and wires that exist */
  unsigned resets; /* that happened */
  bool calling;    /* the test is inside a call of the library's */
  bool loud;
  bool starving; /* allocations fail now and then */
  uint64_t log;  /* hash of all that was logged */
  void* user;
  /* A test's ears; any may be NULL.  Bytes the pipe took from side
   * `end`'s user, bytes given to it, and the connection's last moment. */
  void (*on_taken)(sim_end_t* end, const uint8_t* data, size_t len);
  void (*on_read)(sim_end_t* end, const uint8_t* data, size_t len);
  void (*on_gone)(sim_conn_t* conn);
};

typedef struct sim_host {
  sim_net_t* net;
  mcq__io_t* io;
  sim_style_t style;
  mcq__node_t wires;
  mcq__task_t left;
  struct sim_loan* loans; /* memory lent to the library */
  uint64_t turn;
} sim_host_t;

/* Ends the program with the words; `net` may be NULL. */
_Noreturn void sim_fail(const char* format, ...)
    __attribute__((format(printf, 1, 2)));
#define sim_require(expr) \
  ((expr) ? (void) 0 : sim_fail("%s:%d: %s", __FILE__, __LINE__, #expr))

/* Called by sim_fail before the end, to say which seed it was. */
extern void (*sim_last_words)(void);

/* A line of the run's history: hashed, and printed when net->loud. */
void sim_log(sim_net_t* net, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

/* No faults, no delays, room for 64 KiB. */
void sim_net_init(sim_net_t* net, uint64_t seed);

/* Requires that nothing is left. */
void sim_net_dispose(sim_net_t* net);

/* Seams for mcq__ctx_open and mcq__io_open. */
mcq__seams_t sim_net_seams(sim_net_t* net);

/* When the next thing happens by itself, or MCQ__NEVER. */
uint64_t sim_net_next(const sim_net_t* net);

/* Lets happen what is due; false when nothing was. */
bool sim_net_run(sim_net_t* net);

/* Once around the loop that `io` sits in has been: nothing may be held longer
 * than promised. */
void sim_host_turned(sim_host_t* host);

/* True when `io` has nothing to do now. */
bool sim_io_idle(const mcq__io_t* io);

/* When `io` wants to be woken, or MCQ__NEVER. */
uint64_t sim_io_next(const mcq__io_t* io);

/* One step of a loop in which contexts of this network sit: what is due is
 * done, or else the clock goes on to what is next.  False when there is
 * nothing.  An entry of `ios` becomes NULL when its context says that it is
 * closed, which may be on the way. */
bool sim_net_step(sim_net_t* net, uv_loop_t* loop, mcq__io_t** ios,
                  size_t count);

/* ---- a stranger: an end that no context has ------------------------------ */

/* Dials who listens at `uri`. */
sim_end_t* sim_stranger_open(sim_net_t* net, const char* uri);
void sim_stranger_say(sim_end_t* end, const void* data, size_t len);
void sim_stranger_close(sim_end_t* end);

/* ---- whims --------------------------------------------------------------- */
bool sim_odds(sim_net_t* net, unsigned in_a_thousand);
size_t sim_below(sim_net_t* net, size_t n);
/* [low, high], low values more likely. */
uint64_t sim_between(sim_net_t* net, uint64_t low, uint64_t high);

/* ---- faults on demand ---------------------------------------------------- */

/* Breaks the line.  What is under way is lost from some point on; side s
 * learns of it after `after[s]` ms as `code[s]` (UV_EOF: as if the other had
 * closed in order), if it has not gone by then. */
void sim_conn_cut(sim_conn_t* conn, const uint64_t after[2], const int code[2]);

/* ---- for simwire.c ------------------------------------------------------- */
void sim_alarm_set(sim_net_t* net, sim_alarm_t* alarm, uint64_t at);
void sim_alarm_clear(sim_alarm_t* alarm);
sim_net_t* sim_net_of(const mcq__io_t* io);

static inline int sim_tell(sim_end_t* end, int code) {
  if (end->told == 0) end->told = code;
  return end->told_last = code;
}

static inline int sim_side(const sim_end_t* end) {
  return end == &end->conn->end[1];
}
static inline sim_pipe_t* sim_out(const sim_end_t* end) {
  return &end->conn->pipe[sim_side(end)];
}
static inline sim_pipe_t* sim_in(const sim_end_t* end) {
  return &end->conn->pipe[!sim_side(end)];
}
static inline sim_end_t* sim_other(const sim_end_t* end) {
  return &end->conn->end[!sim_side(end)];
}

size_t sim_pipe_room(const sim_pipe_t* p);
/* `n` bytes enter the pipe. */
void sim_pipe_take(sim_pipe_t* p, const uint8_t* data, size_t n);
/* `n` of the bytes that arrived leave it. */
void sim_pipe_eat(sim_pipe_t* p, size_t n);
static inline const uint8_t* sim_pipe_bytes(const sim_pipe_t* p) {
  return p->bytes + p->head;
}
/* The writer has said its last. */
void sim_pipe_end(sim_pipe_t* p);
/* The holder of an end closes it: the other side will learn, of a reset when
 * something is left unread.  Then it is done with it. */
void sim_end_leave(sim_end_t* end);
void sim_end_drop(sim_end_t* end);

/* Something changed for the user of an end: its wire (NULL: none) looks, in a
 * phase of its loop or, from an alarm, perhaps at once. */
void sim_wire_wake(sim_wire_t* wire);
void sim_wire_call(sim_wire_t* wire);

extern const mcq__backend_t sim_backend;
extern const mcq__transport_t sim_transport;

#endif
