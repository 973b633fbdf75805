/* SPDX-License-Identifier: MIT */
/* When things happen: the phases of one loop iteration.  Everything that is
 * not done inside a callback of the kernel's is a task, and tasks run here: in
 * the check phase, right after the loop has polled, and in the prepare phase,
 * before it may sleep.  A phase never runs inside a call of the user's, and
 * never for long: what exceeds its bounds lets the loop poll first. */
#include "io/seat.h"
#include "io/space.h"
#include "io/spin.h"

/* Bounds of one phase: rounds of tasks that post tasks, and tasks of a kind. */
#define ROUNDS_MAX 8
#define TASKS_MAX 1024

/* Timers run in one go; as many again in the phase that follows. */
#define TIMERS_MAX 256

static mcq__io_t* io_of(const void* handle) {
  return (mcq__io_t*) ((const uv_handle_t*) handle)->data;
}

/* ---- timers -------------------------------------------------------------- */

static void on_timer(uv_timer_t* timer);

/* Sets the uv timer when the next deadline is earlier than what it is set to.
 * A later one is left alone: moving it would cost more than the one idle
 * wake-up it saves. */
static void arm(mcq__io_t* io) {
  mcq__turn_t* turn = &io->turn;
  uint64_t next = mcq__timers_next(&turn->timers);
  if (next >= turn->armed || io->seams.clock != NULL) return;
  uint64_t now = uv_now(io->loop);
  turn->armed = next;
  /* Never 0: a timer that starts itself anew must not keep the loop from
   * polling. */
  uv_timer_start(&turn->timer, on_timer, next > now ? next - now : 1, 0);
}

/* What is due beyond the bound is due in the next phase, which ends by keeping
 * the loop awake until nothing is. */
static void run_timers(mcq__io_t* io) {
  mcq__turn_t* turn = &io->turn;
  turn->overdue = mcq__timers_run(&turn->timers, mcq__io_now(io), TIMERS_MAX);
}

static void on_timer(uv_timer_t* timer) {
  mcq__io_t* io = io_of(timer);
  io->turn.armed = MCQ__NEVER;
  run_timers(io);
  arm(io);
}

/* A clock of the tests' own has nobody to wake us: its timers are looked at
 * in every phase. */
static bool virtual_due(const mcq__io_t* io) {
  return io->seams.clock != NULL &&
         mcq__timers_next(&io->turn.timers) <= mcq__io_now(io);
}

/* ---- phases -------------------------------------------------------------- */

static void on_idle(uv_idle_t* idle) {
  (void) idle; /* being active is all it does: the loop polls without sleep */
}

static bool tasks_left(const mcq__turn_t* turn) {
  return !mcq__list_empty(&turn->work) || !mcq__list_empty(&turn->flush);
}

static void run_task(mcq__node_t* node) {
  mcq__task_t* task = mcq__container_of(node, mcq__task_t, node);
  task->run(task);
}

/* Takes the time of tasks, of which some do that themselves (mcq__io_spend). */
typedef struct meter {
  uint64_t* ns; /* counts here */
  uint64_t from;
  uint64_t since;
} meter_t;

static meter_t meter(const mcq__io_t* io, uint64_t* ns) {
  return (meter_t){ns, *ns, mcq__io_now_ns(io)};
}

static void read_meter(const mcq__io_t* io, meter_t* m) {
  *m->ns = m->from + (mcq__io_now_ns(io) - m->since);
}

static bool work_spent(const mcq__io_t* io) {
  return mcq__io_spent(io);
}

static bool flush_spent(const mcq__io_t* io) {
  return io->turn.taken.flush_ns >= MCQ__TURN_FLUSH_NS;
}

/* Runs what is in the list now; what comes meanwhile is for the next round.
 * At least one, and then as many as there are or the turn may take.  One alone
 * is not worth a look at the clock. */
static void run_list(mcq__io_t* io, mcq__node_t* list, unsigned* budget,
                     uint64_t* ns, bool (*spent)(const mcq__io_t* io)) {
  mcq__node_t now;
  mcq__list_init(&now);
  mcq__list_splice(&now, list);
  mcq__node_t* node = mcq__list_shift(&now);
  if (node == NULL) return;
  io->turn.spin.came = true;
  (*budget)--;
  if (mcq__list_empty(&now)) {
    run_task(node);
    return;
  }
  meter_t m = meter(io, ns);
  for (run_task(node); *budget > 0; run_task(node)) {
    read_meter(io, &m);
    if (spent(io)) break;
    node = mcq__list_shift(&now);
    if (node == NULL) return;
    (*budget)--;
  }
  mcq__list_splice(&now, list);
  mcq__list_splice(list, &now);
}

static void on_handle_closed(uv_handle_t* handle) {
  mcq__io_unpin(io_of(handle));
}

static void close_handles(mcq__io_t* io) {
  mcq__turn_t* turn = &io->turn;
  mcq__bell_close(io);
  uv_close((uv_handle_t*) &turn->prepare, on_handle_closed);
  uv_close((uv_handle_t*) &turn->check, on_handle_closed);
  uv_close((uv_handle_t*) &turn->idle, on_handle_closed);
  uv_close((uv_handle_t*) &turn->timer, on_handle_closed);
}

/* The end of a phase: may the loop sleep now, and until when?  `last`: it is
 * about to. */
static void settle(mcq__io_t* io, bool last) {
  mcq__turn_t* turn = &io->turn;
  bool left = tasks_left(turn) || !mcq__list_empty(&turn->later);
  if (turn->ending && !left) {
    close_handles(io);
    return;
  }
  if (left || turn->overdue || virtual_due(io) || mcq__spin(io, last))
    uv_idle_start(&turn->idle, on_idle);
  else
    uv_idle_stop(&turn->idle);
  if (turn->quiet.place == 0) mcq__quiet_look(io);
  arm(io);
}

static void run_phase(mcq__io_t* io, bool last) {
  mcq__turn_t* turn = &io->turn;
  unsigned work = TASKS_MAX;
  unsigned flush = TASKS_MAX;
  turn->busy = true;
  for (int round = 0; round < ROUNDS_MAX; round++) {
    if (io->seams.clock != NULL) run_timers(io);
    run_list(io, &turn->work, &work, &turn->taken.ns, work_spent);
    run_list(io, &turn->flush, &flush, &turn->taken.flush_ns, flush_spent);
    if (io->backend->submit != NULL && !turn->ending) io->backend->submit(io);
    if (!tasks_left(turn) || work == 0 || flush == 0) break;
    if (work_spent(io) || flush_spent(io)) break;
  }
  turn->busy = false;
  settle(io, last);
}

/* The thread that runs the loop need not be the one that set it up. */
static void settle_in(mcq__io_t* io) {
  io->turn.settled = true;
  mcq__pool_adopt(io->pool);
}

static void begin_turn(mcq__turn_t* turn) {
  static const mcq__taken_t nothing = {0};
  mcq__spin_note(turn);
  turn->number++;
  turn->taken = nothing;
}

static void on_prepare(uv_prepare_t* prepare) {
  mcq__io_t* io = io_of(prepare);
  if (mcq__unlikely(!io->turn.settled)) settle_in(io);
  begin_turn(&io->turn);
  if (mcq__unlikely(io->turn.overdue) && io->seams.clock == NULL)
    run_timers(io); /* with a clock of its own the phase does */
  run_phase(io, true);
}

static void on_check(uv_check_t* check) {
  mcq__turn_t* turn = &io_of(check)->turn;
  mcq__list_splice(&turn->work, &turn->later);
  run_phase(io_of(check), false);
}

/* ---- tasks and timers, for everybody ------------------------------------- */

static void post(mcq__io_t* io, mcq__node_t* list, mcq__task_t* task) {
  mcq__check(uv_is_closing((uv_handle_t*) &io->turn.idle) == 0);
  if (mcq__node_linked(&task->node)) return;
  mcq__list_insert(list, &task->node);
  if (!io->turn.busy) uv_idle_start(&io->turn.idle, on_idle);
}

void mcq__io_work(mcq__io_t* io, mcq__task_t* task) {
  post(io, &io->turn.work, task);
}

void mcq__io_flush(mcq__io_t* io, mcq__task_t* task) {
  post(io, &io->turn.flush, task);
}

void mcq__io_later(mcq__io_t* io, mcq__task_t* task) {
  post(io, &io->turn.later, task);
}

void mcq__io_cancel(mcq__task_t* task) {
  mcq__list_remove(&task->node);
}

uint64_t mcq__io_now(const mcq__io_t* io) {
  if (io->seams.clock != NULL) return io->seams.clock(io->seams.clock_arg);
  return uv_now(io->loop);
}

uint64_t mcq__io_now_ns(const mcq__io_t* io) {
  if (io->seams.clock != NULL) return mcq__io_now(io) * 1000000;
  return uv_hrtime();
}

uint64_t mcq__io_fresh_now(const mcq__io_t* io) {
  return mcq__io_now_ns(io) / 1000000;
}

void mcq__io_timer_start(mcq__io_t* io, mcq__timer_t* timer, uint64_t at) {
  mcq__timer_start(&io->turn.timers, timer, at);
  if (at < io->turn.armed && !io->turn.busy) arm(io);
}

void mcq__io_timer_stop(mcq__io_t* io, mcq__timer_t* timer) {
  mcq__timer_stop(&io->turn.timers, timer);
}

void mcq__io_ref(mcq__io_t* io) {
  if (io->turn.keep++ == 0) uv_ref((uv_handle_t*) &io->turn.prepare);
}

void mcq__io_unref(mcq__io_t* io) {
  mcq__check(io->turn.keep > 0);
  if (--io->turn.keep == 0) uv_unref((uv_handle_t*) &io->turn.prepare);
}

/* ---- the seat's own ------------------------------------------------------ */

void mcq__io_pin(mcq__io_t* io) {
  io->turn.open_handles++;
}

void mcq__io_unpin(mcq__io_t* io) {
  if (--io->turn.open_handles != 0) return;
  mcq__timers_dispose(&io->turn.timers);
  mcq__window_close(&io->read);
  mcq__space_leave(io);
  io->on_left(io);
}

static void adopt_handle(mcq__io_t* io, uv_handle_t* handle) {
  handle->data = io;
  mcq__io_pin(io);
}

void mcq__turn_open(mcq__io_t* io) {
  mcq__turn_t* turn = &io->turn;
  mcq__list_init(&turn->work);
  mcq__list_init(&turn->flush);
  mcq__list_init(&turn->later);
  mcq__list_init(&turn->idle_list);
  mcq__timers_init(&turn->timers, io->mem);
  turn->armed = MCQ__NEVER;
  turn->number = 1;
  /* None of these can fail: they only set members and join lists. */
  uv_prepare_init(io->loop, &turn->prepare);
  uv_check_init(io->loop, &turn->check);
  uv_idle_init(io->loop, &turn->idle);
  uv_timer_init(io->loop, &turn->timer);
  adopt_handle(io, (uv_handle_t*) &turn->prepare);
  adopt_handle(io, (uv_handle_t*) &turn->check);
  adopt_handle(io, (uv_handle_t*) &turn->idle);
  adopt_handle(io, (uv_handle_t*) &turn->timer);
  uv_prepare_start(&turn->prepare, on_prepare);
  uv_check_start(&turn->check, on_check);
  uv_unref((uv_handle_t*) &turn->prepare);
  uv_unref((uv_handle_t*) &turn->check);
  uv_unref((uv_handle_t*) &turn->timer);
  /* The idle handle stays ref'd: it is active only while tasks wait, and what
   * was promised is delivered before uv_run returns. */
}

void mcq__turn_end(mcq__io_t* io) {
  io->turn.ending = true;
  if (!io->turn.busy) settle(io, false);
}
