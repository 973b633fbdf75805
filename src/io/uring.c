/* SPDX-License-Identifier: MIT */
/* The io_uring back end: the pump of a context and the table.  The ring's
 * descriptor is a handle in the user's loop; completions are handled when that
 * becomes readable, and after requests were handed over at the end of a phase.
 * Never inside a call of the room above, never for longer than a budget, and
 * never by waiting. */
#include "io/uring.h"
#include "io/seat.h"

/* Rounds of asking and handling in one phase, and what one turn handles, of
 * MCQ__TURN_BYTES at most. */
#define ROUNDS 8
#define TURN_COMPLETIONS 1024

/* When the kernel has no memory for requests they wait this long, in ms. */
#define RETRY_MS 10

extern const mcq__backend_t mcq__backend_uring_table;

static void refill_budget(mcq__uring_t* u) {
  u->budget = TURN_COMPLETIONS;
  u->budget_bytes = MCQ__TURN_BYTES;
}

/* ---- completions --------------------------------------------------------- */

static bool may_reap(const mcq__uring_t* u) {
  return u->budget > 0 && u->budget_bytes > 0 && !u->io->forked;
}

/* What was said is on its way out.  More is heard after that: two ends that
 * hear as long as the other one says something take turns at being idle. */
static bool unanswered(const mcq__uring_t* u) {
  return !mcq__list_empty(&u->io->turn.flush);
}

/* Handles what is there, and not what comes meanwhile.  False when the budget
 * is used up, or what is there is no longer ours. */
static bool reap(mcq__uring_t* u, unsigned* count) {
  mcq__done_t done;
  if (!may_reap(u)) return false;
  for (unsigned n = mcq__ring_ready(&u->ring, &u->io->calls.enters);
       n > 0 && may_reap(u); n--) {
    mcq__ring_next(&u->ring, &done);
    size_t bytes = done.res > 0 ? (size_t) done.res : 0;
    u->budget--;
    u->budget_bytes -= bytes < u->budget_bytes ? bytes : u->budget_bytes;
    (*count)++;
    mcq__uring_done(&done);
  }
  return may_reap(u);
}

static void on_poll(uv_poll_t* poll, int status, int events) {
  mcq__uring_t* u = mcq__container_of(poll, mcq__uring_t, poll);
  (void) status;
  (void) events;
  unsigned count = 0;
  if (u->io->forked) return;
  refill_budget(u);
  u->busy = true;
  if (!unanswered(u)) reap(u, &count);
  u->busy = false;
}

/* ---- requests ------------------------------------------------------------ */

static bool work_left(const mcq__uring_t* u) {
  return !mcq__list_empty(&u->asking);
}

static void submit(mcq__io_t* io) {
  mcq__uring_t* u = (mcq__uring_t*) io->pump;
  if (u == NULL || u->leaving || u->busy || io->forked) return;
  bool drained = true;
  int rc = 0;
  u->busy = true;
  for (int round = 0; round < ROUNDS; round++) {
    unsigned count = 0;
    mcq__uring_relieve(u);
    mcq__uring_ask(u);
    rc = mcq__ring_submit(&u->ring, &io->calls.enters);
    drained = reap(u, &count);
    if (unanswered(u)) break; /* the phase comes to it, and then here again */
    if (!drained || (count == 0 && (rc != 0 || !work_left(u)))) break;
  }
  u->busy = false;
  if (rc != 0) mcq__io_timer_start(io, &u->retry, mcq__io_now(io) + RETRY_MS);
  if (!drained || (rc == 0 && work_left(u))) mcq__io_later(io, &u->again);
}

static void run_again(mcq__task_t* task) {
  refill_budget(mcq__container_of(task, mcq__uring_t, again));
}

static void on_retry(mcq__timer_t* timer) {
  (void) timer; /* the phase that follows submits */
}

/* ---- join and leave ------------------------------------------------------ */

static void dispose(mcq__uring_t* u) {
  mcq__io_t* io = u->io;
  if (u->has_timer) {
    mcq__io_timer_stop(io, &u->retry);
    mcq__timers_unreserve(&io->turn.timers);
  }
  mcq__io_idle_end(&u->idle);
  mcq__uring_drop_spares(u);
  mcq__buffers_close(&u->buffers, &u->ring);
  if (u->ring_up) io_uring_queue_exit(&u->ring);
  mcq__mem_free(io->mem, u);
  io->pump = NULL;
}

static void on_poll_closed(uv_handle_t* handle) {
  mcq__uring_t* u = mcq__container_of((uv_poll_t*) handle, mcq__uring_t, poll);
  mcq__io_t* io = u->io;
  dispose(u);
  mcq__io_left(io);
}

void mcq__uring_unused(mcq__uring_t* u) {
  if (!u->leaving || u->buffers.loans != 0 || u->watching != 0) return;
  if (uv_is_closing((uv_handle_t*) &u->poll)) return;
  uv_close((uv_handle_t*) &u->poll, on_poll_closed);
}

static void on_back(mcq__buffers_t* buffers) {
  mcq__uring_unused(mcq__container_of(buffers, mcq__uring_t, buffers));
}

static int try_out(mcq__uring_t* u, bool bundles, bool* clean) {
  size_t size = bundles ? MCQ__BUFFER_SMALL : MCQ__BUFFER_LARGE;
  u->bundles = bundles;
  int rc = mcq__buffers_open(&u->buffers, &u->ring, u->io->pool, size);
  if (rc != 0) return rc;
  return mcq__uring_probe(&u->ring, &u->buffers, bundles, clean);
}

static int prepare_receiving(mcq__uring_t* u) {
  bool clean = true;
  if (mcq__ring_bundles(&u->ring)) {
    int rc = try_out(u, true, &clean);
    if (rc == 0 || !clean) return rc;
    mcq__buffers_close(&u->buffers, &u->ring);
  }
  return try_out(u, false, &clean);
}

static int prepare(mcq__uring_t* u) {
  mcq__io_t* io = u->io;
  int rc = mcq__timers_reserve(&io->turn.timers);
  if (rc != 0) return rc;
  u->has_timer = true;
  rc = mcq__ring_open(&u->ring);
  if (rc != 0) return rc;
  u->ring_up = true;
  rc = prepare_receiving(u);
  if (rc != 0) return rc;
  /* The last step, for a handle could not be taken back at once. */
  rc = uv_poll_init(io->loop, &u->poll, u->ring.ring_fd);
  if (rc != 0) return rc;
  u->buffers.on_back = on_back;
  uv_poll_start(&u->poll, UV_READABLE, on_poll);
  uv_unref((uv_handle_t*) &u->poll);
  return 0;
}

static void drop_spares(mcq__idle_t* idle) {
  mcq__uring_drop_spares(mcq__container_of(idle, mcq__uring_t, idle));
}

static int join(mcq__io_t* io) {
  mcq__uring_t* u = mcq__new(io->mem, mcq__uring_t);
  if (u == NULL) return MCQ_ENOMEM;
  u->io = io;
  u->watch_max = MCQ__URING_WATCHES;
  u->again.run = run_again;
  u->idle.give_back = drop_spares;
  u->retry.run = on_retry;
  mcq__list_init(&u->asking);
  mcq__list_init(&u->holding);
  refill_budget(u);
  int rc = prepare(u);
  if (rc != 0)
    dispose(u);
  else
    io->pump = u;
  return rc;
}

static void leave(mcq__io_t* io) {
  mcq__uring_t* u = (mcq__uring_t*) io->pump;
  u->leaving = true;
  mcq__io_cancel(&u->again);
  mcq__io_timer_stop(io, &u->retry);
  mcq__uring_unused(u);
}

/* The ring is memory that both processes see: no byte of it is touched, nor
 * anything asked of the kernel in its name. */
static void forked(mcq__io_t* io) {
  mcq__uring_t* u = (mcq__uring_t*) io->pump;
  if (u != NULL) mcq__io_blank(u->ring.ring_fd);
}

const mcq__backend_t mcq__backend_uring_table = {
    .name = "uring",
    .join = join,
    .leave = leave,
    .adopt = mcq__uring_adopt,
    .read_start = mcq__uring_read_start,
    .read_stop = mcq__uring_read_stop,
    .write = mcq__uring_write,
    .unsent = mcq__uring_unsent,
    .shutdown = mcq__uring_shutdown,
    .close = mcq__uring_close,
    .submit = submit,
    .forked = forked,
    .forget = mcq__uring_forget,
};
