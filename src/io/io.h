/* SPDX-License-Identifier: MIT */
/* The I/O room's vocabulary: bytes to and from the kernel, and the seat in
 * the user's loop.  No protocol.
 *
 *   transport  makes connected streams (tcp; ipc, inproc; a test network)
 *   back end   pumps bytes through one stream (uv, uring; a test network)
 *   wire       one connection, from adopt to on_closed
 *   turn       the phases of one loop iteration: tasks, flush, timers
 *   bell       what other threads ring: the one way they reach a loop
 *
 * No slot of any table calls back inline: what it causes happens in a later
 * phase. */
#ifndef MCQ__IO_H
#define MCQ__IO_H

#include <uv.h>

#include "base/chain.h"
#include "base/list.h"
#include "base/slab.h"
#include "base/timer.h"

typedef struct mcq__io mcq__io_t;
typedef struct mcq__wire mcq__wire_t;
typedef struct mcq_inproc mcq_inproc_t;

/* ---- calls: what was asked of the kernel --------------------------------- */

/* Counted where they are made, for connections that are up; what is rare (to
 * listen, to connect, to look names up) is not.  Counters only grow. */
typedef struct mcq__calls {
  uint64_t turns;  /* of the loop, each of which polls once */
  uint64_t polls;  /* changes of what it polls for */
  uint64_t reads;  /* calls, and what a ring answered without one */
  uint64_t empty;  /* of these: nothing was there */
  uint64_t writes; /* calls, and what a ring was asked for together */
  uint64_t full;   /* of these: there was no room */
  uint64_t enters; /* with a ring: calls of the kernel on its behalf */
  uint64_t wakes;  /* times that other threads woke the loop */
} mcq__calls_t;

/* The figures until now. */
mcq__calls_t mcq__io_calls(const mcq__io_t* io);

/* ---- turn: when things happen -------------------------------------------- */

/* Work for the next phase.  Embedded in its object; zeroed is idle. */
typedef struct mcq__task {
  mcq__node_t node;
  void (*run)(struct mcq__task* task);
} mcq__task_t;

/* What one turn of the loop may take, for all connections of a context
 * together: messages (and commands, and what else costs as much), bytes read,
 * time spent with them, time spent writing.  Whoever has work asks before he
 * begins with it, so each of them is exceeded by one connection's own share at
 * most; what has to wait is first in the next turn. */
#define MCQ__TURN_MESSAGES ((uint64_t) 65536)
#define MCQ__TURN_BYTES ((uint64_t) 1048576)
#define MCQ__TURN_NS ((uint64_t) 500000)
#define MCQ__TURN_FLUSH_NS ((uint64_t) 1000000)

/* And bytes written inside calls of the user's: who sends until there is no
 * room comes back to the loop even if the peer reads as fast. */
#define MCQ__TURN_CALLS_BYTES ((uint64_t) 4194304)

/* What it has taken. */
typedef struct mcq__taken {
  uint64_t messages;
  uint64_t bytes;
  uint64_t ns;
  uint64_t flush_ns;
  uint64_t calls_bytes;
} mcq__taken_t;

/* Looking for input without sleeping (io/spin.h). */
typedef struct mcq__spin {
  uint64_t limit;    /* ns without anything; 0: never */
  uint64_t until;    /* how long to look now; 0: not looking */
  uint64_t since;    /* went to sleep then, and nothing came yet; 0: awake */
  unsigned misses;   /* by so many it looked more often in vain than not */
  unsigned shy;      /* short waits to see before it is tried again; 0: tries */
  unsigned next_shy; /* and so many after the next failure */
  bool came;         /* something of ours did since it was last asked */
} mcq__spin_t;

typedef struct mcq__turn {
  mcq__node_t work;  /* tasks first: deliveries, notices, endings */
  mcq__node_t flush; /* then writes, so that work of one turn joins */
  mcq__node_t later; /* work of the next turn */
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle;
  uv_timer_t timer;
  mcq__timers_t timers;
  mcq__timer_t quiet;    /* gives pooled memory back (quiet.c), */
  mcq__node_t idle_list; /* and this: of mcq__idle_t */
  mcq__spin_t spin;
  uint64_t armed;        /* the deadline the uv timer is set to */
  uint64_t number;       /* of this turn; one begins before the loop polls */
  mcq__taken_t taken;    /* in this turn */
  unsigned keep;         /* reasons to keep the loop running */
  unsigned open_handles; /* what on_left waits for: the four above, and what
                            transports leave behind in the loop */
  bool busy;             /* inside a phase */
  bool ending;           /* the handles close when no task is left */
  bool settled;          /* the loop has run: its thread is known */
  bool overdue;          /* there were more timers than one run runs */
} mcq__turn_t;

/* Runs `task` in the next phase (of this turn where one is left).  A task that
 * waits already, in whatever list, stays where it is; one that waits keeps the
 * loop alive. */
void mcq__io_work(mcq__io_t* io, mcq__task_t* task);

/* Runs `task` after the phase's work, once however often it is asked. */
void mcq__io_flush(mcq__io_t* io, mcq__task_t* task);

/* Runs `task` after the loop has polled once more: for work that goes on and
 * gives others their turn. */
void mcq__io_later(mcq__io_t* io, mcq__task_t* task);

/* Takes a task out; no-op when it is not queued. */
void mcq__io_cancel(mcq__task_t* task);

/* Now, in ms, on the context's clock: in callbacks of the kernel's and in
 * timers, when the loop was woken. */
uint64_t mcq__io_now(const mcq__io_t* io);

/* The same as it is, not as it was when the loop last looked: what the user has
 * us wait for begins when he asks, however long his callback took before. */
uint64_t mcq__io_fresh_now(const mcq__io_t* io);

/* The time in ns, to tell how long something took. */
uint64_t mcq__io_now_ns(const mcq__io_t* io);

/* Starts, moves or stops a timer with a reserved place (base/timer.h). */
void mcq__io_timer_start(mcq__io_t* io, mcq__timer_t* timer, uint64_t at);
void mcq__io_timer_stop(mcq__io_t* io, mcq__timer_t* timer);

/* Storage that is not needed now and may be soon.  Embedded in its object;
 * zeroed but for give_back. */
typedef struct mcq__idle {
  mcq__node_t node;
  bool used; /* since somebody last looked (quiet.c) */
  void (*give_back)(struct mcq__idle* idle);
} mcq__idle_t;

/* Gives it back when this was not said again for a while; it need not be idle
 * then.  Hot. */
static inline void mcq__io_idle(mcq__io_t* io, mcq__idle_t* idle);

/* The object goes. */
static inline void mcq__io_idle_end(mcq__idle_t* idle) {
  mcq__list_remove(&idle->node);
}

/* Counts reasons for uv_run to keep going; our own handles are unref'd. */
void mcq__io_ref(mcq__io_t* io);
void mcq__io_unref(mcq__io_t* io);

/* This turn has taken so much more. */
static inline void mcq__io_spend(mcq__io_t* io, uint64_t messages,
                                 uint64_t bytes, uint64_t ns);

/* It has taken what it may: what can wait for the next one should. */
static inline bool mcq__io_spent(const mcq__io_t* io);

/* ---- bell: how other threads reach the loop ------------------------------ */

/* A task that other threads may start.  Embedded in its object; zeroed but
 * for task.run it is idle. */
typedef struct mcq__ring {
  mcq__node_t node; /* in the bell, under its lock */
  mcq__task_t task; /* touched by the loop's thread alone */
} mcq__ring_t;

typedef struct mcq__bell {
  uv_mutex_t lock;
  uv_async_t async;
  mcq__node_t rung; /* of mcq__ring_t, not yet seen by the loop */
  bool open;
  bool broken; /* a fork took it from another thread's hands */
} mcq__bell_t;

/* Hangs the bell up, once for all; from then on mcq__bell_ring may be called.
 * It does not keep the loop alive, what was rung does as soon as the loop has
 * seen it.  0 or libuv's error. */
int mcq__bell_open(mcq__io_t* io);

/* From any thread: runs ring->task in a phase soon, once however often it is
 * rung meanwhile.  The caller holds a lock of his own that keeps both from
 * going away: a lock that is never taken inside the bell's. */
void mcq__bell_ring(mcq__io_t* io, mcq__ring_t* ring);

/* From the loop's thread, when nobody can ring any more: takes it out. */
void mcq__bell_cancel(mcq__io_t* io, mcq__ring_t* ring);

/* ---- wire: one connection ------------------------------------------------ */

/* What a wire tells its user (the actor).  All are called from loop phases. */
typedef struct mcq__wire_events {
  /* Bytes arrived.  Borrowed: slice_keep or retain what is needed longer;
   * a count taken must be given back by the next turn. */
  void (*on_bytes)(mcq__wire_t* wire, mcq__slice_t bytes);

  /* Asked before a read: where the bytes should go, or NULL for the pump's
   * own choice.  A pump that cannot choose ignores it. */
  mcq__window_t* (*on_want)(mcq__wire_t* wire);

  /* `n` bytes were read into the window that on_want gave. */
  void (*on_filled)(mcq__wire_t* wire, size_t n);

  /* The write in flight ended: `n` bytes of it went out, at least one but
   * not always all, or `n` is an error (then on_end does not come for the
   * same cause).  0: there was no room, and now there may be. */
  void (*on_wrote)(mcq__wire_t* wire, ssize_t n);

  /* Nothing more will be read: UV_EOF or an error.  Once, after the last
   * bytes: where those were read, to one that is stopped too. */
  void (*on_end)(mcq__wire_t* wire, int code);

  /* close() is complete: both pumps rest, no slice of this wire's writes is
   * in use.  The wire is freed when this returns. */
  void (*on_closed)(mcq__wire_t* wire);
} mcq__wire_events_t;

/* A write is in flight; on_wrote will come. */
#define MCQ__IN_FLIGHT 0

typedef struct mcq__backend {
  const char* name;

  /* Sets up per-loop state in io->pump.  Fails without a trace where the
   * system does not support it; the caller then tries another. */
  int (*join)(mcq__io_t* io);

  /* All wires are closed: begins to end what join set up; calls
   * mcq__io_left(io) when done, which may be at once. */
  void (*leave)(mcq__io_t* io);

  /* Takes over a connected stream (see mcq__transport) and writes a wire that
   * does not read yet.  On failure the stream is still the caller's. */
  int (*adopt)(mcq__wire_t** out, mcq__io_t* io, void* stream,
               const mcq__wire_events_t* events, void* user);

  /* Reading on and off; idempotent.  After read_stop no on_bytes comes until
   * read_start, however much had arrived; nothing is lost. */
  int (*read_start)(mcq__wire_t* wire);
  void (*read_stop)(mcq__wire_t* wire);

  /* Writes `count` pieces of `total` bytes.  Returns the bytes taken at once
   * (at least 1), MCQ__IN_FLIGHT, or an error.  The bytes stay unchanged
   * until then; one write may be in flight.  UV_EAGAIN: the kernel has no
   * room, nothing was taken, and on_wrote says 0 when there is some. */
  ssize_t (*write)(mcq__wire_t* wire, const mcq__iov_t* iov, size_t count,
                   size_t total);

  /* In place of write, for wires inside the process: hands the other side
   * bytes [off, off+len) of `from`, sharing their memory.  Returns `len`, an
   * error, or MCQ__IN_FLIGHT: nothing was taken, and on_wrote says 0 when
   * there is room.  NULL: use write. */
  ssize_t (*pass)(mcq__wire_t* wire, const mcq__chain_t* from, size_t off,
                  size_t len);

  /* Bytes written of which the other side's system has not said that it has
   * them, as far as that can be told; NULL: never. */
  size_t (*unsent)(const mcq__wire_t* wire);

  /* Ends our writing side after what was written (FIN).  Not while a write
   * is in flight. */
  void (*shutdown)(mcq__wire_t* wire);

  /* Ends the connection; idempotent.  Afterwards comes on_wrote for a write in
   * flight, telling what became of it, and then on_closed. */
  void (*close)(mcq__wire_t* wire);

  /* Hands prepared work to the kernel at the end of a phase; may be NULL. */
  void (*submit)(mcq__io_t* io);

  /* In the child of a fork, where io->forked is set: lets go of what the
   * context, and of what one wire shares with the parent, at once and without
   * a word to anybody.  On the wire only close follows, and does something
   * yet.  NULL: nothing is shared. */
  void (*forked)(mcq__io_t* io);
  void (*forget)(mcq__wire_t* wire);
} mcq__backend_t;

struct mcq__wire {
  const mcq__backend_t* backend;
  mcq__io_t* io;
  const mcq__wire_events_t* events;
  void* user;
};

extern const mcq__backend_t mcq__backend_uv;

/* The uring back end, or NULL in a build without it. */
const mcq__backend_t* mcq__backend_uring(void);

/* ---- transport: making streams ------------------------------------------- */

typedef struct mcq__listener mcq__listener_t;
typedef struct mcq__dialer mcq__dialer_t;
typedef struct mcq__endpoint mcq__endpoint_t;

/* A stream is opaque: of the kernel's transports it stands for a connected
 * descriptor.  `pump` says which back end adopts it. */
static inline void* mcq__stream_of(int fd) {
  return (void*) ((uintptr_t) fd + 1); /* NULL is no stream */
}

static inline int mcq__stream_fd(const void* stream) {
  return (int) ((uintptr_t) stream - 1);
}

typedef struct mcq__transport {
  const char* scheme;         /* "tcp", "ipc" */
  const mcq__backend_t* pump; /* NULL: the context's own */
  bool waits; /* a dial waits for its listener; it has no limit */

  /* Starts listening at l->endpoint and fills l->address with the real one.
   * Errors come at once. */
  int (*listen)(mcq__listener_t* l);

  /* Stops; calls mcq__listener_closed(l) when done, never inline. */
  void (*unlisten)(mcq__listener_t* l);

  /* One attempt to reach d->endpoint; ends with mcq__dialer_done, never
   * inline.  Resolves names itself. */
  int (*dial)(mcq__dialer_t* d);

  /* Breaks an attempt off; mcq__dialer_done still comes, never inline. */
  void (*hangup)(mcq__dialer_t* d);

  /* Closes a stream that nobody adopted. */
  void (*discard)(mcq__io_t* io, void* stream);
} mcq__transport_t;

extern const mcq__transport_t mcq__transport_tcp;
extern const mcq__transport_t mcq__transport_ipc;
extern const mcq__transport_t mcq__transport_inproc;

/* The transport of a scheme, or NULL. */
const mcq__transport_t* mcq__transport_find(const mcq__io_t* io,
                                            const char* scheme, size_t len);

/* ---- space: the names of inproc ------------------------------------------ */

/* Of one context, or of several in several threads (see io/space.h). */
struct mcq_inproc {
  mcq__mem_t* mem; /* NULL: part of the one io that looks into it */
  atomic_uint holders;
  uv_mutex_t lock;   /* of the lists and of what is in them */
  mcq__node_t doors; /* names that are bound, */
  mcq__node_t calls; /* and who waits for one that is not */
};

/* ---- io: all of it, per context ------------------------------------------ */

typedef uint64_t (*mcq__clock_fn)(void* arg);

/* What tests replace; NULL members mean the real thing. */
typedef struct mcq__seams {
  mcq__clock_fn clock; /* ms; no uv timer is used then: timers run when a
                          phase finds them due */
  uint64_t (*spin_clock)(void* arg); /* ns; NULL: the system's, and with a
                                        clock of the test's own no spinning */
  void* clock_arg;
  const mcq__backend_t* backend;     /* in place of uv and uring */
  const mcq__transport_t* transport; /* beside the built-in ones */
  uint64_t seed;                     /* 0: from the system */
} mcq__seams_t;

struct mcq__io {
  uv_loop_t* loop;
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  const mcq__backend_t* backend;
  uint32_t spin_us;
  int fallback; /* why auto did not take uring, or 0 */
  bool forked;  /* this is a child, what it has is the parent's */
  void* pump;   /* the back end's own state */
  mcq__turn_t turn;
  mcq__calls_t calls; /* but for the turns */
  mcq__bell_t bell;
  mcq__seams_t seams;
  uint64_t random[2];  /* state of mcq__io_random */
  mcq_inproc_t* space; /* of inproc: `own`, or one that others look into too */
  mcq_inproc_t own;
  mcq__window_t read; /* shared read window of pumps that choose none */
  bool has_read;      /* it was used since somebody last looked (quiet.c) */
  void (*on_left)(mcq__io_t* io); /* everything is closed */
  void* user;
};

static inline void mcq__io_idle(mcq__io_t* io, mcq__idle_t* idle) {
  idle->used = true;
  if (mcq__unlikely(!mcq__node_linked(&idle->node)))
    mcq__list_insert(&io->turn.idle_list, &idle->node);
}

static inline void mcq__io_spend(mcq__io_t* io, uint64_t messages,
                                 uint64_t bytes, uint64_t ns) {
  mcq__taken_t* taken = &io->turn.taken;
  taken->messages += messages;
  taken->bytes += bytes;
  taken->ns += ns;
}

static inline bool mcq__io_spent(const mcq__io_t* io) {
  const mcq__taken_t* taken = &io->turn.taken;
  return taken->messages >= MCQ__TURN_MESSAGES ||
         taken->bytes >= MCQ__TURN_BYTES || taken->ns >= MCQ__TURN_NS;
}

enum mcq__backend_choice {
  MCQ__BACKEND_AUTO,
  MCQ__BACKEND_UV,
  MCQ__BACKEND_URING
};

/* Takes a seat in `loop`: handles, clock, back end.  `io` is caller's memory,
 * zeroed but for on_left, user, spin_us and, if it shares one, space (of which
 * the caller keeps a count until on_left).  On failure nothing is left behind
 * except handles already closing, which `io` must outlive: on_left comes in
 * both cases, without mcq__io_close when it failed. */
int mcq__io_open(mcq__io_t* io, uv_loop_t* loop, mcq__pool_t* pool,
                 enum mcq__backend_choice choice, const mcq__seams_t* seams);

/* Gives the seat up after the last wire, listener and dialer are closed;
 * on_left comes in a later turn, after it `io` holds nothing. */
void mcq__io_close(mcq__io_t* io);

/* This is the child of a fork and nothing was touched yet: gives up what the
 * seat shares with the parent.  What is closed from now on is closed here
 * alone. */
void mcq__io_forked(mcq__io_t* io);

/* There, a lock of other threads'.  False: one of them had it, and may have
 * left what it guards half done.  It can be taken again in any case. */
bool mcq__io_repair(uv_mutex_t* lock);

/* A back end has finished leaving: the seat is given up when the tasks that
 * wait have run.  Calls nobody back. */
void mcq__io_left(mcq__io_t* io);

/* The next number of a seeded sequence: for jitter and hash seeds. */
uint64_t mcq__io_random(mcq__io_t* io);

#endif
