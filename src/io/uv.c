/* SPDX-License-Identifier: MIT */
/* The back end that works everywhere: reads when libuv says that a socket is
 * readable, writes at once and waits for room only when there is none.
 * A poll handle and plain socket calls, see fd.c.  Reading and writing allocate
 * nothing, shared receive memory aside. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/fd.h"
#include "io/seat.h"

/* Who stands in line to read is told so often that there is something, and then
 * not polled for any more. */
#define TOLD_MAX 4

typedef struct pump {
  mcq__wire_t wire;
  uv_poll_t poll;
  int fd;
  int armed;     /* events polled for */
  unsigned open; /* 1; 2 after a fork */
  bool reading;
  bool hung_up; /* stopped: the peer's end was seen, with bytes before it */
  uint8_t told; /* so often while it stood in line to read */
  bool waiting; /* for room to write */
  bool ended;   /* nothing more will be read */
  bool failed;  /* writing did: on_end would be about the same cause */
  bool full;    /* the last write was cut short: no use trying again */
  bool closing;
  bool forgotten;   /* after a fork: the handle is closed, or will be */
  mcq__task_t task; /* reads what this turn had no time for; forgotten: says
                       that the wire is closed */
} pump_t;

static pump_t* of_wire(mcq__wire_t* wire) {
  return mcq__container_of(wire, pump_t, wire);
}

/* ---- polling ------------------------------------------------------------- */

static void on_poll(uv_poll_t* poll, int status, int events);

static int wanted(const pump_t* p) {
  int in = UV_READABLE;
  if (!p->reading) in = p->ended || p->hung_up ? 0 : UV_DISCONNECT;
  if (p->told == TOLD_MAX) in = 0;
  return in | (p->waiting ? UV_WRITABLE : 0);
}

static int poll_for(pump_t* p, int events) {
  p->armed = 0;
  p->wire.io->calls.polls++;
  int rc = uv_poll_start(&p->poll, events, on_poll);
  if (rc == 0) p->armed = events;
  return rc;
}

/* Polls for what is wanted.  What is no longer wanted stays armed until it
 * fires once for nothing: it is often wanted again before that. */
static int watch(pump_t* p) {
  int want = wanted(p);
  return (want & ~p->armed) == 0 ? 0 : poll_for(p, want);
}

/* ---- reading ------------------------------------------------------------- */

static bool may_read(const pump_t* p) {
  return p->reading && !p->closing;
}

static void end_reading(pump_t* p, int code) {
  p->reading = false;
  p->ended = true;
  if (!p->failed) p->wire.events->on_end(&p->wire, code);
}

/* True when more may be waiting. */
static bool read_once(pump_t* p) {
  bool more;
  ssize_t n = mcq__fd_read(&p->wire, p->fd, &p->reading, &more);
  if (n <= 0 && n != UV_EAGAIN) end_reading(p, n == 0 ? UV_EOF : (int) n);
  return more;
}

/* Nobody reads, and the peer has gone: is there anything to be read before
 * that? */
static void look_for_end(pump_t* p) {
  char byte;
  if (p->reading || p->ended || p->closing) return;
  ssize_t n = recv(p->fd, &byte, 1, MSG_PEEK);
  p->wire.io->calls.reads++;
  p->wire.io->calls.empty += n <= 0;
  p->hung_up = n > 0;
  if (n == 0)
    end_reading(p, UV_EOF);
  else if (n < 0 && errno != EAGAIN && errno != EINTR)
    end_reading(p, uv_translate_sys_error(errno));
}

static void read_some(pump_t* p) {
  for (int i = 0; i < MCQ__READS_MAX && may_read(p); i++)
    if (!read_once(p)) return;
}

/* Those that come too late in a turn stand in line for the next one: polling
 * alone would report them in the same order again.  It would report all of them
 * in each turn, too, which for a thousand is half of what a turn may take. */
static void read_in_turn(pump_t* p) {
  if (mcq__node_linked(&p->task.node))
    p->told = p->told < TOLD_MAX ? (uint8_t) (p->told + 1) : TOLD_MAX;
  else if (mcq__unlikely(mcq__io_spent(p->wire.io)))
    mcq__io_later(p->wire.io, &p->task);
  else
    read_some(p);
}

static void leave_line(pump_t* p) {
  p->told = 0;
  if (p->closing || p->ended) return;
  int rc = watch(p);
  if (rc != 0 && may_read(p)) end_reading(p, rc);
}

/* ---- writing ------------------------------------------------------------- */

static void go_on_writing(pump_t* p) {
  p->waiting = false;
  p->wire.events->on_wrote(&p->wire, 0);
}

static ssize_t wait_for_room(pump_t* p) {
  p->full = false;
  p->waiting = true;
  int rc = watch(p);
  if (rc == 0) return UV_EAGAIN;
  p->waiting = false;
  p->failed = true;
  return rc;
}

/* ---- events -------------------------------------------------------------- */

static void on_poll(uv_poll_t* poll, int status, int events) {
  pump_t* p = mcq__container_of(poll, pump_t, poll);
  if (status < 0) {
    /* The socket has an error; reading and writing tell which.  libuv has
     * stopped polling for us. */
    p->armed = 0;
    events = UV_READABLE | UV_WRITABLE | UV_DISCONNECT;
  }
  if ((events & UV_WRITABLE) != 0 && p->waiting) go_on_writing(p);
  if ((events & UV_READABLE) != 0 && may_read(p)) read_in_turn(p);
  if (p->closing || p->forgotten) return;
  if ((events & UV_DISCONNECT) != 0) look_for_end(p);
  if (p->closing || p->forgotten) return;
  int want = wanted(p);
  if ((want & ~p->armed) == 0 && (events & p->armed & ~want) == 0) return;
  poll_for(p, want);
}

static void let_go(pump_t* p) {
  if (--p->open != 0) return;
  mcq__mem_t* mem = p->wire.io->mem;
  p->wire.events->on_closed(&p->wire);
  mcq__mem_free(mem, p);
}

static void on_poll_closed(uv_handle_t* handle) {
  let_go(mcq__container_of((uv_poll_t*) handle, pump_t, poll));
}

static void run_task(mcq__task_t* task) {
  pump_t* p = mcq__container_of(task, pump_t, task);
  if (p->forgotten) {
    let_go(p);
    return;
  }
  read_some(p);
  if (!p->forgotten) leave_line(p);
}

static void close_handle(pump_t* p) {
  p->reading = false;
  p->waiting = false;
  mcq__io_cancel(&p->task);
  uv_close((uv_handle_t*) &p->poll, on_poll_closed);
  close(p->fd); /* nothing polls for it any more */
}

/* ---- the table ----------------------------------------------------------- */

static int join(mcq__io_t* io) {
  (void) io;
  return 0;
}

static void leave(mcq__io_t* io) {
  mcq__io_left(io);
}

static int adopt(mcq__wire_t** out, mcq__io_t* io, void* stream,
                 const mcq__wire_events_t* events, void* user) {
  pump_t* p = mcq__new(io->mem, pump_t);
  if (p == NULL) return MCQ_ENOMEM;
  p->fd = mcq__stream_fd(stream);
  int rc = uv_poll_init(io->loop, &p->poll, p->fd);
  if (rc != 0) {
    mcq__mem_free(io->mem, p);
    return rc;
  }
  uv_unref((uv_handle_t*) &p->poll);
  p->wire.backend = &mcq__backend_uv;
  p->wire.io = io;
  p->wire.events = events;
  p->wire.user = user;
  p->open = 1;
  p->task.run = run_task;
  *out = &p->wire;
  return 0;
}

static int read_start(mcq__wire_t* wire) {
  pump_t* p = of_wire(wire);
  if (p->closing || p->ended || p->reading) return 0;
  p->reading = true;
  int rc = watch(p);
  if (rc != 0) p->reading = false;
  return rc;
}

static void read_stop(mcq__wire_t* wire) {
  of_wire(wire)->reading = false;
}

static ssize_t write_pieces(mcq__wire_t* wire, const mcq__iov_t* iov,
                            size_t count, size_t total) {
  pump_t* p = of_wire(wire);
  mcq__check(!p->waiting && count != 0 && total != 0);
  if (p->closing || p->forgotten) return UV_ECANCELED;
  if (p->full) return wait_for_room(p);
  ssize_t n = mcq__fd_write(wire->io, p->fd, iov, count, total, &p->full);
  if (n == UV_EAGAIN) return wait_for_room(p);
  p->failed = p->failed || n < 0;
  return n;
}

static size_t unsent(const mcq__wire_t* wire) {
  return mcq__fd_unsent(mcq__container_of(wire, const pump_t, wire)->fd);
}

static void shutdown_writing(mcq__wire_t* wire) {
  pump_t* p = of_wire(wire);
  mcq__check(!p->waiting);
  /* Fails only when there is no connection any more, and then reading ends. */
  if (!p->closing && !p->forgotten) (void) shutdown(p->fd, SHUT_WR);
}

static void close_wire(mcq__wire_t* wire) {
  pump_t* p = of_wire(wire);
  if (p->closing) return;
  p->closing = true;
  if (p->forgotten)
    mcq__io_work(wire->io, &p->task);
  else
    close_handle(p);
}

/* The descriptor is closed at once; the wire itself is held until close. */
static void forget(mcq__wire_t* wire) {
  pump_t* p = of_wire(wire);
  if (p->closing || p->forgotten) return;
  p->forgotten = true;
  p->ended = true;
  p->open++;
  mcq__io_blank(p->fd);
  close_handle(p);
}

const mcq__backend_t mcq__backend_uv = {
    .name = "uv",
    .join = join,
    .leave = leave,
    .adopt = adopt,
    .read_start = read_start,
    .read_stop = read_stop,
    .write = write_pieces,
    .unsent = unsent,
    .shutdown = shutdown_writing,
    .close = close_wire,
    .submit = NULL,
    .forget = forget,
};
