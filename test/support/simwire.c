/* SPDX-License-Identifier: MIT */
/* The simulated back end (see simnet.h): what a context does with one end of a
 * connection, and what it is told.  It behaves like one that polls or like one
 * that has its work done elsewhere, and checks that it is used as its table
 * says. */
#include <stdlib.h>

#include "support/simnet.h"

/* As many pieces as the library ever hands over. */
#define PIECES_MAX 64

struct sim_wire {
  mcq__wire_t wire;
  mcq__node_t node; /* in the host's list */
  sim_host_t* host;
  sim_end_t* end;
  mcq__task_t task;
  sim_alarm_t closed;
  mcq__iov_t iov[PIECES_MAX]; /* the write in flight */
  size_t count;
  size_t total;
  uint64_t print; /* of its bytes */
  bool in_flight;
  bool submitted;
  bool stuck; /* there was no room for a write */
  bool reading;
  bool ended; /* on_end was called */
  bool shut;
  bool closing;
  bool gone;       /* on_closed may come */
  ssize_t outcome; /* of a write that was in flight then; 0: none was */
};

/* Memory lent to the library for the length of a callback. */
typedef struct sim_loan {
  struct sim_loan* next;
  struct sim_loan** link;
  uint64_t turn;
  const sim_wire_t* wire; /* NULL: closed */
  uint8_t* bytes;
} sim_loan_t;

static sim_wire_t* of_wire(mcq__wire_t* wire) {
  return mcq__container_of(wire, sim_wire_t, wire);
}

static sim_net_t* net_of(const sim_wire_t* w) {
  return w->host->net;
}

static bool rings(const sim_wire_t* w) {
  sim_style_t style = w->host->style;
  return style == SIM_MIXED ? sim_odds(net_of(w), 500) : style == SIM_RING;
}

/* Some of `max`: few, any number, or all. */
static size_t some(sim_net_t* net, size_t max) {
  if (sim_odds(net, net->faults.tiny)) {
    size_t few = max < 8 ? max : 8;
    return 1 + sim_below(net, few);
  }
  return sim_odds(net, 300) ? 1 + sim_below(net, max) : max;
}

static void end_reading(sim_wire_t* w, int code) {
  w->ended = true;
  w->reading = false;
  sim_tell(w->end, code);
  sim_log(net_of(w), "conn %u side %d end %d", w->end->conn->id,
          sim_side(w->end), code);
  w->wire.events->on_end(&w->wire, code);
}

/* ---- loans --------------------------------------------------------------- */

static void give_back(void* data, void* arg) {
  sim_loan_t* loan = (sim_loan_t*) arg;
  (void) data;
  *loan->link = loan->next;
  if (loan->next != NULL) loan->next->link = loan->link;
  free(loan->bytes);
  free(loan);
}

static void deliver_lent(sim_wire_t* w, const uint8_t* data, size_t n) {
  sim_host_t* host = w->host;
  sim_loan_t* loan = (sim_loan_t*) calloc(1, sizeof *loan);
  sim_require(loan != NULL);
  loan->turn = host->turn;
  loan->wire = w;
  loan->bytes = (uint8_t*) malloc(n);
  sim_require(loan->bytes != NULL);
  memcpy(loan->bytes, data, n);
  mcq__slab_t* slab = mcq__slab_foreign(w->wire.io->pool, loan->bytes, n, true,
                                        give_back, loan);
  if (slab == NULL) { /* a real one has its slabs from the start */
    free(loan->bytes);
    free(loan);
    end_reading(w, MCQ_ENOMEM);
    return;
  }
  loan->next = host->loans;
  loan->link = &host->loans;
  if (loan->next != NULL) loan->next->link = &loan->next;
  host->loans = loan;
  sim_pipe_eat(sim_in(w->end), n);
  w->wire.events->on_bytes(&w->wire, mcq__slab_slice(slab));
  mcq__slab_release(slab);
}

void sim_host_turned(sim_host_t* host) {
  host->turn++;
  if (host->net->starving) return; /* for a copy there may be no memory */
  for (const sim_loan_t* loan = host->loans; loan != NULL; loan = loan->next)
    if (host->turn - loan->turn > 2 &&
        (loan->wire == NULL || !loan->wire->closing))
      sim_fail("memory that was lent is held for more than a turn");
}

/* ---- reading ------------------------------------------------------------- */

static bool readable(const sim_wire_t* w) {
  const sim_pipe_t* p = sim_in(w->end);
  if (!w->reading || w->ended || w->closing) return false;
  return p->arrived != 0 || p->error != 0 || p->end_there;
}

/* Into the loop's shared window, over and over, or into a block of its own. */
static void deliver_own(sim_wire_t* w, const uint8_t* data, size_t n) {
  mcq__io_t* io = w->wire.io;
  mcq__window_t own = {NULL, 0};
  bool shared = sim_odds(net_of(w), 500);
  mcq__window_t* win = shared ? &io->read : &own;
  int rc = 0;
  if (shared && !mcq__window_rewind(win) && mcq__window_room(win) < n)
    rc = mcq__window_open(win, io->pool, MCQ__SLAB_MEDIUM);
  if (!shared) rc = mcq__window_open_exact(win, io->pool, n);
  if (rc != 0) {
    end_reading(w, rc);
    return;
  }
  if (n > mcq__window_room(win)) n = mcq__window_room(win);
  mcq__window_poke(win, 0, data, n);
  mcq__slice_t bytes = mcq__window_freeze(win, n);
  sim_pipe_eat(sim_in(w->end), n);
  w->wire.events->on_bytes(&w->wire, bytes);
  mcq__slice_release(&bytes);
  mcq__window_close(&own);
}

static void deliver(sim_wire_t* w) {
  sim_net_t* net = net_of(w);
  sim_pipe_t* p = sim_in(w->end);
  bool ring = rings(w);
  mcq__window_t* into = NULL;
  if (!ring) into = w->wire.events->on_want(&w->wire);
  if (!readable(w)) return;
  size_t n = p->read < p->crumbs ? 1 : some(net, p->arrived);
  bool fill = into != NULL && mcq__window_room(into) != 0;
  if (fill && n > mcq__window_room(into)) n = mcq__window_room(into);
  const uint8_t* data = sim_pipe_bytes(p);
  if (net->on_read != NULL) net->on_read(w->end, data, n);
  if (fill) {
    mcq__window_poke(into, 0, data, n);
    sim_pipe_eat(p, n);
    w->wire.events->on_filled(&w->wire, n);
  } else if (ring) {
    deliver_lent(w, data, n);
  } else {
    deliver_own(w, data, n);
  }
}

/* Nobody reads, and there will never be anything to read. */
static bool over(const sim_wire_t* w) {
  const sim_pipe_t* p = sim_in(w->end);
  if (w->reading || w->ended || w->closing) return false;
  return p->arrived == 0 && (p->error != 0 || p->end_there);
}

static void read_once(sim_wire_t* w) {
  const sim_pipe_t* p = sim_in(w->end);
  if (p->arrived != 0)
    deliver(w);
  else
    end_reading(w, p->error != 0 ? p->error : UV_EOF);
}

/* ---- writing ------------------------------------------------------------- */

static uint64_t fingerprint(const sim_wire_t* w) {
  uint64_t hash = w->total;
  for (size_t i = 0; i < w->count; i++) {
    const uint8_t* at = (const uint8_t*) w->iov[i].base;
    size_t step = 1 + w->iov[i].len / 256;
    for (size_t k = 0; k < w->iov[i].len; k += step)
      hash = (hash ^ at[k]) * UINT64_C(0x100000001b3);
  }
  return hash;
}

static void take(sim_wire_t* w, size_t n) {
  sim_pipe_t* p = sim_out(w->end);
  for (size_t i = 0; n > 0; i++) {
    size_t len = w->iov[i].len < n ? w->iov[i].len : n;
    sim_pipe_take(p, (const uint8_t*) w->iov[i].base, len);
    n -= len;
  }
}

static bool writable(const sim_wire_t* w) {
  if (w->closing) return false;
  if (!w->stuck && (!w->in_flight || !w->submitted)) return false;
  return w->end->broken != 0 || sim_pipe_room(sim_out(w->end)) != 0;
}

static size_t fitting(const sim_wire_t* w) {
  size_t room = sim_pipe_room(sim_out(w->end));
  return room < w->total ? room : w->total;
}

static void finish_write(sim_wire_t* w) {
  if (!writable(w)) return;
  if (w->stuck) {
    w->stuck = false;
    w->wire.events->on_wrote(&w->wire, 0);
    return;
  }
  ssize_t n = w->end->broken;
  if (fingerprint(w) != w->print)
    sim_fail("the bytes of a write in flight have changed");
  if (n == 0) {
    n = (ssize_t) some(net_of(w), fitting(w));
    take(w, (size_t) n);
  }
  w->in_flight = false;
  if (n < 0) sim_tell(w->end, (int) n);
  w->wire.events->on_wrote(&w->wire, n);
}

static ssize_t write_sim(mcq__wire_t* wire, const mcq__iov_t* iov, size_t count,
                         size_t total) {
  sim_wire_t* w = of_wire(wire);
  size_t sum = 0;
  sim_require(!w->in_flight && !w->stuck && !w->shut && !w->closing);
  sim_require(count > 0 && total > 0);
  w->count = count < PIECES_MAX ? count : PIECES_MAX;
  w->total = 0;
  for (size_t i = 0; i < count; i++) {
    sim_require(iov[i].len > 0);
    sum += iov[i].len;
    if (i >= w->count) continue;
    w->iov[i] = iov[i];
    w->total += iov[i].len;
  }
  sim_require(sum == total);
  bool ring = rings(w);
  bool wait = ring || fitting(w) == 0;
  if (!wait && w->end->broken != 0) return sim_tell(w->end, w->end->broken);
  if (wait && !ring && w->end->broken == 0) {
    w->stuck = true;
    return UV_EAGAIN;
  }
  if (wait) {
    w->in_flight = true;
    w->submitted = !ring;
    w->print = fingerprint(w);
    if (writable(w)) sim_wire_wake(w);
    return MCQ__IN_FLIGHT;
  }
  size_t n = some(net_of(w), fitting(w));
  take(w, n);
  return (ssize_t) n;
}

/* ---- what is due --------------------------------------------------------- */

static bool due(const sim_wire_t* w) {
  return w->closing ? w->gone : readable(w) || writable(w) || over(w);
}

static void post(sim_wire_t* w) {
  if (sim_odds(net_of(w), 300))
    mcq__io_later(w->wire.io, &w->task);
  else
    mcq__io_work(w->wire.io, &w->task);
}

static void finish_close(sim_wire_t* w) {
  mcq__mem_t* mem = w->wire.io->mem;
  sim_end_t* end = w->end;
  sim_log(net_of(w), "conn %u side %d closed", end->conn->id, sim_side(end));
  mcq__list_remove(&w->node);
  mcq__io_cancel(&w->task);
  for (sim_loan_t* l = w->host->loans; l != NULL; l = l->next)
    if (l->wire == w) l->wire = NULL;
  net_of(w)->live--;
  if (w->outcome != 0) w->wire.events->on_wrote(&w->wire, w->outcome);
  w->wire.events->on_closed(&w->wire);
  sim_end_drop(end);
  mcq__mem_free(mem, w);
}

static void look(sim_wire_t* w) {
  sim_net_t* net = net_of(w);
  if (net->calling) sim_fail("the network was run inside a call");
  if (w->closing) {
    if (w->gone) finish_close(w);
    return;
  }
  bool write_first = sim_odds(net, 500);
  if (write_first) finish_write(w);
  for (size_t i = 1 + sim_below(net, 3); i > 0 && readable(w); i--)
    read_once(w);
  if (over(w)) read_once(w);
  if (!write_first) finish_write(w);
  if (!w->closing && due(w)) post(w);
}

static void run_task(mcq__task_t* task) {
  look(mcq__container_of(task, sim_wire_t, task));
}

void sim_wire_wake(sim_wire_t* wire) {
  if (wire != NULL && due(wire)) post(wire);
}

void sim_wire_call(sim_wire_t* wire) {
  if (wire == NULL || !due(wire)) return;
  if (sim_odds(net_of(wire), 300))
    look(wire);
  else
    post(wire);
}

/* ---- the table ----------------------------------------------------------- */

static int join(mcq__io_t* io) {
  sim_net_t* net = sim_net_of(io);
  sim_host_t* host = (sim_host_t*) calloc(1, sizeof *host);
  sim_require(host != NULL);
  host->net = net;
  host->io = io;
  host->style = net->faults.style;
  mcq__list_init(&host->wires);
  io->pump = host;
  net->live++;
  return 0;
}

static void run_left(mcq__task_t* task) {
  sim_host_t* host = mcq__container_of(task, sim_host_t, left);
  mcq__io_t* io = host->io;
  sim_require(mcq__list_empty(&host->wires) && host->loans == NULL);
  host->net->live--;
  free(host);
  io->pump = NULL;
  mcq__io_left(io);
}

static void leave(mcq__io_t* io) {
  sim_host_t* host = (sim_host_t*) io->pump;
  host->left.run = run_left;
  if (sim_odds(host->net, 500))
    run_left(&host->left);
  else
    mcq__io_later(io, &host->left);
}

static void on_closing_over(sim_alarm_t* alarm) {
  sim_wire_t* w = mcq__container_of(alarm, sim_wire_t, closed);
  w->gone = true;
  post(w);
}

static int adopt(mcq__wire_t** out, mcq__io_t* io, void* stream,
                 const mcq__wire_events_t* events, void* user) {
  sim_wire_t* w = mcq__new(io->mem, sim_wire_t);
  if (w == NULL) return MCQ_ENOMEM;
  w->host = (sim_host_t*) io->pump;
  w->end = (sim_end_t*) stream;
  sim_require(w->end->held && w->end->wire == NULL && !w->end->left);
  w->end->wire = w;
  w->end->io = io;
  w->wire.backend = &sim_backend;
  w->wire.io = io;
  w->wire.events = events;
  w->wire.user = user;
  w->task.run = run_task;
  w->closed.run = on_closing_over;
  mcq__list_insert(&w->host->wires, &w->node);
  w->host->net->live++;
  *out = &w->wire;
  return 0;
}

static int read_start(mcq__wire_t* wire) {
  sim_wire_t* w = of_wire(wire);
  sim_net_t* net = net_of(w);
  if (w->closing || w->ended || w->reading) return 0;
  if (sim_odds(net, net->faults.no_read)) return sim_tell(w->end, UV_ENOBUFS);
  w->reading = true;
  sim_wire_wake(w);
  return 0;
}

static void read_stop(mcq__wire_t* wire) {
  sim_wire_t* w = of_wire(wire);
  w->reading = false;
  sim_wire_wake(w);
}

static size_t unsent(const mcq__wire_t* wire) {
  const sim_wire_t* w = mcq__container_of(wire, const sim_wire_t, wire);
  const sim_pipe_t* p = sim_out(w->end);
  return p->len - p->arrived + p->lost;
}

static void shutdown_sim(mcq__wire_t* wire) {
  sim_wire_t* w = of_wire(wire);
  sim_require(!w->in_flight && !w->stuck && !w->closing && !w->shut);
  w->shut = true;
  sim_log(net_of(w), "conn %u side %d shuts", w->end->conn->id,
          sim_side(w->end));
  sim_pipe_end(sim_out(w->end));
}

/* What is in flight may still go out in part before it is called off. */
static void close_sim(mcq__wire_t* wire) {
  sim_wire_t* w = of_wire(wire);
  sim_net_t* net = net_of(w);
  if (w->closing) return;
  w->end->closing = true;
  if (w->in_flight) w->outcome = UV_ECANCELED;
  if (w->in_flight && w->submitted && w->end->broken == 0) {
    size_t n = sim_below(net, fitting(w) + 1);
    if (n != 0) w->outcome = (ssize_t) n;
    take(w, n);
  }
  w->in_flight = false;
  w->stuck = false;
  w->reading = false;
  w->closing = true;
  mcq__io_cancel(&w->task);
  sim_end_leave(w->end);
  sim_alarm_set(net, &w->closed, net->now + sim_between(net, 0, 3));
}

static void submit(mcq__io_t* io) {
  sim_host_t* host = (sim_host_t*) io->pump;
  if (host == NULL) return;
  mcq__node_t* n = host->wires.next;
  for (; n != &host->wires; n = n->next) {
    sim_wire_t* w = mcq__container_of(n, sim_wire_t, node);
    if (!w->in_flight || w->submitted) continue;
    w->submitted = true;
    if (due(w)) mcq__io_later(io, &w->task);
  }
}

const mcq__backend_t sim_backend = {
    .name = "sim",
    .join = join,
    .leave = leave,
    .adopt = adopt,
    .read_start = read_start,
    .read_stop = read_stop,
    .write = write_sim,
    .unsent = unsent,
    .shutdown = shutdown_sim,
    .close = close_sim,
    .submit = submit,
};

/* ---- for whoever drives the loop ----------------------------------------- */

bool sim_io_idle(const mcq__io_t* io) {
  const mcq__turn_t* turn = &io->turn;
  bool waits = !mcq__list_empty(&turn->work) ||
               !mcq__list_empty(&turn->flush) || !mcq__list_empty(&turn->later);
  if (waits && !uv_is_active((const uv_handle_t*) &turn->idle) &&
      !uv_is_closing((const uv_handle_t*) &turn->idle))
    sim_fail("tasks wait and nothing keeps the loop from sleeping");
  return !waits && sim_io_next(io) > mcq__io_now(io) && !turn->ending;
}

uint64_t sim_io_next(const mcq__io_t* io) {
  return mcq__timers_next(&io->turn.timers);
}

bool sim_net_step(sim_net_t* net, uv_loop_t* loop, mcq__io_t** ios,
                  size_t count) {
  bool busy = sim_net_run(net);
  uint64_t next = sim_net_next(net);
  for (size_t i = 0; i < count; i++) {
    if (ios[i] == NULL) continue;
    if (!sim_io_idle(ios[i])) busy = true;
    if (sim_io_next(ios[i]) < next) next = sim_io_next(ios[i]);
  }
  if (!busy) {
    if (next != MCQ__NEVER) net->now = next;
    return next != MCQ__NEVER;
  }
  uv_run(loop, UV_RUN_NOWAIT);
  for (size_t i = 0; i < count; i++)
    if (ios[i] != NULL && ios[i]->pump != NULL)
      sim_host_turned((sim_host_t*) ios[i]->pump);
  return true;
}
