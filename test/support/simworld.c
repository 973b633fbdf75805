/* SPDX-License-Identifier: MIT */
/* The scenario test's world (see simworld.h): its clock, its contexts and what
 * is seen on its network.  Driven by sim_scenario.c.  It never makes a choice
 * of its own but which loop turns first. */
#include <stdio.h>
#include <stdlib.h>

#include "support/simparts.h"

/* How many times the loops may turn while the clock stands still. */
#define TURNS_MAX 200000

/* What a letter has beside what is drawn for it: heads of frames, a mark, a
 * topic or an envelope. */
#define LETTER_HEADS ((size_t) 1024)

/* An answer goes back with what came before the first empty frame of a letter
 * that was a question by chance, which may be nearly all of it. */
#define MESSAGE_MAX (2 * (SIM_LETTER_MAX + LETTER_HEADS))

/* ---- records ------------------------------------------------------------- */

sim_record_t* sim_record_of(sim_world_t* w, sim_conn_t* conn) {
  if (conn->id >= w->record_cap) {
    size_t cap = conn->id * 2 + 64;
    w->records = (sim_record_t**) realloc(w->records, cap * sizeof *w->records);
    sim_require(w->records != NULL);
    for (size_t i = w->record_cap; i < cap; i++) w->records[i] = NULL;
    w->record_cap = cap;
  }
  sim_record_t** slot = &w->records[conn->id];
  if (*slot == NULL) {
    *slot = (sim_record_t*) calloc(1, sizeof **slot);
    sim_require(*slot != NULL);
    (*slot)->conn = conn;
  }
  return *slot;
}

static void note_time(uint64_t at[2], uint64_t now) {
  if (at[0] != now) at[1] = at[0];
  at[0] = now;
}

static void on_taken(sim_end_t* e, const uint8_t* data, size_t len) {
  sim_world_t* w = (sim_world_t*) e->conn->net->user;
  sim_record_t* record = sim_record_of(w, e->conn);
  sim_dir_t* dir = &record->dir[sim_side(e)];
  size_t before = dir->tap.count;
  if (dir->sock != NULL) dir->sock->moved_at = w->net.now;
  if (dir->raw != NULL) {
    bool ended = sim_stream_feed(dir, data, len);
    if (ended && !e->closing) note_time(dir->handed_at, w->net.now);
    return;
  }
  sim_tap_feed(&dir->tap, data, len);
  if (dir->tap.count != before && !e->closing)
    note_time(dir->handed_at, w->net.now);
  for (; before < dir->tap.count; before++)
    sim_books_handed(record, dir, &dir->tap.seen[before]);
}

/* Ends of messages in [from, to) of the stream. */
static size_t ends_between(const sim_tap_t* tap, uint64_t from, uint64_t to) {
  size_t n = 0;
  for (size_t i = tap->count; i > 0 && tap->seen[i - 1].end > from; i--)
    if (tap->seen[i - 1].end <= to) n++;
  return n;
}

static void on_read(sim_end_t* e, const uint8_t* data, size_t len) {
  sim_world_t* w = (sim_world_t*) e->conn->net->user;
  sim_dir_t* dir = &sim_record_of(w, e->conn)->dir[!sim_side(e)];
  const sim_tap_t* tap = &dir->tap;
  uint64_t from = sim_in(e)->read;
  (void) data;
  if (dir->raw != NULL || ends_between(tap, from, from + len) != 0)
    note_time(dir->read_at, w->net.now);
  if (dir->raw != NULL) return;
  if (len == 1) w->sights->crumbs++;
  if (ends_between(tap, from + len - 1, from + len) == 0) w->sights->halves++;
  if (len > 1 && ends_between(tap, from, from + len) > 1) w->sights->bunches++;
}

void sim_world_cut(sim_world_t* w, sim_conn_t* conn, const uint64_t after[2],
                   const int code[2]) {
  bool first = !conn->cut;
  sim_conn_cut(conn, after, code);
  for (int s = 0; first && s < 2; s++) {
    const sim_tap_t* tap = &sim_record_of(w, conn)->dir[s].tap;
    uint64_t at = conn->pipe[s].read + conn->pipe[s].len;
    if (at < 64)
      w->sights->cut_early++;
    else if (ends_between(tap, at - 1, at) != 0)
      w->sights->cut_clean++;
    else
      w->sights->cut_torn++;
  }
}

static void on_conn_gone(sim_conn_t* conn) {
  sim_record_of((sim_world_t*) conn->net->user, conn)->conn = NULL;
}

size_t sim_whole_read(const sim_peer_t* p) {
  const sim_tap_t* tap = &p->record->dir[!p->side].tap;
  uint64_t read = p->record->conn->pipe[!p->side].read;
  size_t n = p->record->dir[!p->side].delivered;
  while (n < tap->count && tap->seen[n].end <= read) n++;
  return n;
}

/* ---- contexts ------------------------------------------------------------ */

static void on_ctx_close(void* data) {
  sim_seat_t* seat = (sim_seat_t*) data;
  sim_world_t* w = seat->world;
  sim_require(!w->net.calling);
  sim_log(&w->net, "context %d closed", (int) (seat - w->seats));
  if (seat->closed) sim_fail("context closed twice");
  seat->closed = true;
  seat->ctx = NULL;
  for (size_t i = 0; i < w->sock_count; i++) {
    sim_sock_t* k = w->socks[i];
    if (k->ctx != seat || k->closed) continue;
    if (k->with_cb) sim_fail("on_close of socket %u never came", k->number);
    sim_mail_closed(k);
    sim_require(k->up == 0);
    k->closed = true;
    k->s = NULL;
  }
}

void sim_seat_close(sim_seat_t* seat) {
  sim_world_t* w = seat->world;
  sim_log(&w->net, "context %d close", (int) (seat - w->seats));
  for (size_t i = 0; i < w->sock_count; i++) {
    sim_sock_t* k = w->socks[i];
    if (k->ctx != seat || k->closed || k->closing) continue;
    k->closing = true;
    k->moved_at = w->net.now;
  }
  bool first = !seat->closing;
  sim_sock_t* joined = first ? w->bridge.front : NULL;
  seat->closing = true;
  if (joined != NULL && joined->ctx != seat) joined = NULL;
  if (joined != NULL) sim_bridge_closing(&w->bridge);
  sim_begin(w);
  mcq_ctx_close(seat->ctx, on_ctx_close);
  sim_end(w);
  if (joined != NULL) sim_bridge_closed(&w->bridge, joined);
  for (size_t i = 0; i < w->sock_count; i++) {
    if (w->socks[i]->ctx != seat) continue;
    if (first && !w->socks[i]->closed) sim_mail_adopt(w->socks[i]);
    sim_asks_forget(w->socks[i]);
  }
}

/* ---- time ---------------------------------------------------------------- */

static bool loop_idle(const sim_world_t* w, const uv_loop_t* loop) {
  for (size_t i = 0; i < w->seat_count; i++) {
    const sim_seat_t* seat = &w->seats[i];
    if (seat->ctx == NULL || seat->loop != loop) continue;
    const mcq__io_t* io = &seat->ctx->host.io;
    bool rung = io->bell.open && !mcq__list_empty(&io->bell.rung);
    if (sim_io_idle(io) && !rung) continue;
    /* Neither mailboxes nor timers keep a loop going. */
    if (uv_loop_alive(loop)) return false;
  }
  return true;
}

static void turn_loop(sim_world_t* w, uv_loop_t* loop) {
  uv_run(loop, UV_RUN_NOWAIT);
  for (size_t i = 0; i < w->seat_count; i++) {
    const sim_seat_t* seat = &w->seats[i];
    if (seat->ctx == NULL || seat->loop != loop) continue;
    if (seat->ctx->host.io.pump != NULL)
      sim_host_turned((sim_host_t*) seat->ctx->host.io.pump);
    /* What goes leaves nothing behind. */
    if (seat->closing) sim_timers_audit(seat);
  }
}

static bool turn(sim_world_t* w) {
  bool busy = sim_net_run(&w->net);
  size_t first = sim_below(&w->net, w->loop_count);
  for (size_t i = 0; i < w->loop_count; i++) {
    uv_loop_t* loop = &w->loops[(first + i) % w->loop_count];
    if (loop_idle(w, loop)) continue;
    turn_loop(w, loop);
    busy = true;
    if (++w->turns % 32 == 0) sim_world_audit(w);
  }
  return busy;
}

static uint64_t next_time(const sim_world_t* w) {
  uint64_t next = sim_net_next(&w->net);
  for (size_t i = 0; i < w->seat_count; i++) {
    if (w->seats[i].ctx == NULL || !uv_loop_alive(w->seats[i].loop)) continue;
    uint64_t at = sim_io_next(&w->seats[i].ctx->host.io);
    if (at < next) next = at;
  }
  return next;
}

/* Everything that is due now. */
static void settle(sim_world_t* w) {
  unsigned turns = 0;
  while (turn(w))
    if (++turns == TURNS_MAX) sim_fail("the loops spin");
}

void sim_world_run(sim_world_t* w, uint64_t until) {
  for (;;) {
    settle(w);
    uint64_t next = next_time(w);
    if (next < w->net.now) sim_fail("what was due has not happened");
    if (next > until) break;
    w->net.now = next;
  }
  w->net.now = until;
}

bool sim_world_wait(sim_world_t* w, bool (*done)(sim_world_t* w),
                    uint64_t limit) {
  for (;;) {
    settle(w);
    if (done(w)) return true;
    uint64_t next = next_time(w);
    if (next > limit) return false;
    w->net.now = next;
  }
}

/* What waits is what was charged, and no more than a message over the limit:
 * one to many counts for each. */
static void audit_budget(const sim_sock_t* k) {
  const mcq__budget_t* b = &k->s->budget;
  if (k->s->config.budget == NULL) return;
  int type = k->options.type;
  bool many = type == MCQ_PUB || type == MCQ_XPUB || type == MCQ_XSUB;
  uint64_t sum = 0;
  size_t peers = 0;
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (!a->let_go) sim_require(a->charged == a->outbox->chain.bytes);
    sum += a->charged;
    peers++;
  }
  sim_require(sum == b->used && !b->held);
  if (b->max == UINT64_MAX || k->s->config.conflate) return;
  if (b->used >= b->max + MESSAGE_MAX * (many ? peers : 1))
    sim_fail("socket %u: %llu bytes wait where %llu may", k->number,
             (unsigned long long) b->used, (unsigned long long) b->max);
}

void sim_world_audit(sim_world_t* w) {
  for (size_t i = 0; i < w->sock_count; i++) {
    sim_sock_t* k = w->socks[i];
    if (!sim_sock_usable(k)) continue;
    sim_books_audit(k);
    audit_budget(k);
    sim_topics_audit(k);
    sim_asks_audit(k);
    sim_stale_audit(k);
  }
  for (size_t i = 0; i < w->seat_count; i++) {
    if (w->seats[i].ctx == NULL) continue;
    sim_stats_seat(&w->seats[i]);
    sim_timers_audit(&w->seats[i]);
  }
}

/* ---- the whole ----------------------------------------------------------- */

void sim_world_open(sim_world_t* w, uint64_t seed, size_t seats, size_t loops,
                    bool joined) {
  mcq_ctx_options_t options = {0};
  w->seed = seed;
  w->net.user = w;
  w->net.on_taken = on_taken;
  w->net.on_read = on_read;
  w->net.on_gone = on_conn_gone;
  test_alloc_init(&w->alloc);
  options.allocator = test_alloc_allocator(&w->alloc);
  w->loop_count = loops;
  w->seat_count = seats;
  for (size_t i = 0; i < loops; i++)
    sim_require(uv_loop_init(&w->loops[i]) == 0);
  for (size_t i = 0; i < seats; i++) {
    sim_seat_t* seat = &w->seats[i];
    mcq__seams_t seams = sim_net_seams(&w->net);
    seat->world = w;
    seat->loop = &w->loops[i % loops];
    options.data = seat;
    options.max_bytes = seed % 8 == 3 && !joined ? 30000 : 0;
    sim_require(mcq__ctx_open(seat->loop, &options, &seams, &seat->ctx) == 0);
  }
}

void sim_world_dispose(sim_world_t* w) {
  sim_bridge_dispose(&w->bridge);
  for (size_t i = 0; i < w->sock_count; i++) sim_mail_release(w->socks[i]);
  for (size_t i = 0; i < w->loop_count; i++) {
    sim_require(uv_run(&w->loops[i], UV_RUN_NOWAIT) == 0);
    if (uv_loop_close(&w->loops[i]) != 0) sim_fail("the loop does not close");
  }
  if (w->wraps != 0)
    sim_fail("%u foreign blocks were not given back", w->wraps);
  if (atomic_load(&w->alloc.live) != 0)
    sim_fail("%zu blocks leaked", atomic_load(&w->alloc.live));
  sim_net_dispose(&w->net);
  w->sights->starved += atomic_load(&w->alloc.failed);
  for (size_t i = 0; i < w->record_cap; i++) {
    if (w->records[i] == NULL) continue;
    for (int s = 0; s < 2; s++) {
      sim_tap_dispose(&w->records[i]->dir[s].tap);
      sim_stream_dispose(&w->records[i]->dir[s]);
    }
    free(w->records[i]);
  }
  free(w->records);
  for (size_t i = 0; i < w->sock_count; i++) {
    free(w->socks[i]->peers);
    free(w->socks[i]->fates);
    free(w->socks[i]);
  }
}
