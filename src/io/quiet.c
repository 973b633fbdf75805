/* SPDX-License-Identifier: MIT */
/* Memory that was needed for a while goes back when it is quiet.  A timer of
 * the seat runs while the pool has more than its small reserve, there is
 * memory to read into, or somebody has storage to spare: each time it frees
 * what nobody needed meanwhile.  Once
 * there is no more to free it rests until there is again, so that an idle loop
 * is woken twice and then no more.  Never touches a slab that is in use. */
#include "io/seat.h"

/* How long memory lies idle before it goes back, ms: once to twice this. */
#define QUIET ((uint64_t) 1000)

/* Of those with storage to spare so many are looked at in one go. */
#define IDLE_MAX 4096

static bool anything(const mcq__io_t* io) {
  return mcq__pool_grown(io->pool) || mcq__window_is_open(&io->read) ||
         !mcq__list_empty(&io->turn.idle_list);
}

static void give_back(mcq__io_t* io) {
  mcq__node_t seen;
  mcq__node_t* node;
  mcq__list_init(&seen);
  for (unsigned i = 0; i < IDLE_MAX; i++) {
    node = mcq__list_shift(&io->turn.idle_list);
    if (node == NULL) break;
    mcq__idle_t* idle = mcq__container_of(node, mcq__idle_t, node);
    if (idle->used)
      mcq__list_insert(&seen, node);
    else
      idle->give_back(idle);
    idle->used = false;
  }
  mcq__list_splice(&io->turn.idle_list, &seen);
}

static void start(mcq__io_t* io) {
  mcq__io_timer_start(io, &io->turn.quiet, mcq__io_now(io) + QUIET);
}

static void on_quiet(mcq__timer_t* timer) {
  mcq__turn_t* turn = mcq__container_of(timer, mcq__turn_t, quiet);
  mcq__io_t* io = mcq__container_of(turn, mcq__io_t, turn);
  if (!io->has_read) mcq__window_close(&io->read);
  io->has_read = false;
  give_back(io);
  mcq__pool_thin(io->pool);
  if (anything(io)) start(io);
}

int mcq__quiet_open(mcq__io_t* io) {
  io->turn.quiet.run = on_quiet;
  return mcq__timers_reserve(&io->turn.timers);
}

void mcq__quiet_look(mcq__io_t* io) {
  if (anything(io) && !io->turn.ending) start(io);
}
