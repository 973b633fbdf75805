/* SPDX-License-Identifier: MIT */
/* Our sockets on both sides of a cable (see link.h): they drive, answer and
 * keep the books.  Never touches the cable. */
#include "support/link.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- who drives ---------------------------------------------------------- */

static uint64_t sent_by(const link_end_t* e) {
  mcq_stats_t now;
  mcq_stats(e->s, &now);
  return now.messages_sent;
}

/* What nobody had subscribed to was not sent, and is not in the books. */
static bool was_sent(const link_end_t* e, int rc, uint64_t before) {
  if (rc != 0) return false;
  return e->lane->kind->driver != MCQ_PUB || sent_by(e) > before;
}

/* A number is in the books before it can arrive. */
static void drive(link_end_t* e) {
  restart_ledger_t* ledger = &e->book->ledger;
  mcq_frame_t frames[2];
  if (e->asking || (e->lane->kind->driver == MCQ_PUB && !e->ready)) return;
  uint32_t number = atomic_load(&ledger->next);
  assert_true(number < RESTART_NUMBERS);
  restart_make(number, frames);
  uint64_t before = sent_by(e);
  atomic_store(&ledger->next, number + 1);
  int rc = mcq_send(e->s, frames, 2);
  assert_true(rc == 0 || rc == MCQ_EAGAIN);
  if (!was_sent(e, rc, before))
    atomic_store(&ledger->next, number);
  else
    e->asking = e->lane->kind->driver == MCQ_REQ;
}

static void count_losses(link_end_t* e) {
  mcq_stats_t now;
  mcq_stats(e->s, &now);
  atomic_store(&e->book->lost, now.messages_lost);
}

/* With one peer and one queue the n-th message has the number n. */
static void note_fate(link_end_t* e) {
  mcq_stats_t now;
  mcq_stats(e->s, &now);
  uint64_t handed =
      now.messages_written + now.messages_in_flight + now.messages_unsure;
  atomic_store(&e->book->heard, atomic_load(&e->book->ledger.heard));
  atomic_store(&e->book->handed, (uint32_t) handed);
  count_losses(e);
}

/* ---- callbacks ----------------------------------------------------------- */

static link_life_t* life_of(const link_end_t* e) {
  return &e->book->life[e->far];
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  link_end_t* e = (link_end_t*) mcq_socket_data(s);
  mcq_frame_t frames[2] = {mcq_msg_frame(msg, 0), mcq_msg_frame(msg, 1)};
  if (e->drives) {
    restart_note_back(&e->book->ledger, frames, mcq_msg_count(msg));
    e->asking = false;
    return;
  }
  restart_note(&e->book->ledger, frames, mcq_msg_count(msg));
  if (!e->lane->kind->echoes) return;
  if (mcq_socket_type(s) == MCQ_REP)
    (void) mcq_send_msg(s, msg); /* who asked may be gone */
  else
    (void) mcq_send_msg_to(s, peer, msg);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  link_end_t* e = (link_end_t*) mcq_socket_data(s);
  (void) info;
  atomic_fetch_add(&life_of(e)->ups, 1);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  link_end_t* e = (link_end_t*) mcq_socket_data(s);
  e->ready = false;
  if (atomic_load(&e->book->ledger.next) != 0 && e->drives) note_fate(e);
  atomic_store(&life_of(e)->reason, info->reason);
  atomic_store(&life_of(e)->down_at, uv_hrtime());
  atomic_fetch_add(&life_of(e)->downs, 1);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* event) {
  link_end_t* e = (link_end_t*) mcq_socket_data(s);
  if (event->kind == MCQ_EVENT_SUBSCRIBED && e->drives) e->ready = true;
}

static void on_failed(mcq_socket_t* s, int code) {
  link_end_t* e = (link_end_t*) mcq_socket_data(s);
  assert_int_equal(code, MCQ_EPEERGONE);
  e->asking = false;
  atomic_fetch_add(&e->book->failed, 1);
}

/* ---- sockets ------------------------------------------------------------- */

static mcq_socket_options_t options_of(const link_end_t* e, bool beats) {
  const link_kind_t* kind = e->lane->kind;
  mcq_socket_options_t o = {.type = e->drives ? kind->driver : kind->other,
                            .data = (void*) (uintptr_t) e,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .on_event = on_event,
                            .on_request_failed = on_failed,
                            .sndhwm = -1,
                            .sndhwm_bytes = -1,
                            .linger_ms = MCQ_LINGER_NONE,
                            .connect_ms = 500,
                            .reconnect_ms = 20,
                            .reconnect_max_ms = 100};
  if (beats) o.heartbeat_ms = LINK_BEAT;
  if (beats) o.heartbeat_timeout_ms = LINK_TIMEOUT;
  return o;
}

static void listen_there(link_end_t* e) {
  mcq_endpoint_t at;
  assert_int_equal(mcq_bind(e->s, "tcp://" LINK_FAR ":*", &at), 0);
  const char* port = strrchr(mcq_endpoint_uri(e->s, at), ':');
  atomic_store(&e->book->port, atoi(port + 1));
}

static void connect_there(link_end_t* e) {
  char uri[64];
  while (atomic_load(&e->book->port) == 0) sched_yield();
  snprintf(uri, sizeof uri, "tcp://" LINK_FAR ":%d",
           atomic_load(&e->book->port));
  assert_int_equal(mcq_connect(e->s, uri, NULL, NULL), 0);
}

static void open_end(link_side_t* side, size_t i, bool far) {
  link_end_t* e = &side->ends[i];
  e->lane = &side->all->lanes[i];
  e->book = &side->all->books[i];
  e->far = far;
  e->drives = e->lane->far_drives == far;
  if (far && e->lane->zmq) return;
  mcq_ctx_t* ctx = side->ctx[e->lane->backend == MCQ_BACKEND_URING];
  mcq_socket_options_t o = options_of(e, side->all->beats);
  assert_int_equal(mcq_socket_new(ctx, &o, &e->s), 0);
  if (o.type == MCQ_SUB) assert_int_equal(mcq_subscribe(e->s, "", 0), 0);
  if (far)
    listen_there(e);
  else
    connect_there(e);
}

/* ---- a side -------------------------------------------------------------- */

static void note_gap(link_side_t* side) {
  uint64_t now = uv_hrtime();
  uint64_t gap = now - side->last_tick;
  if (gap > atomic_load(&side->all->longest))
    atomic_store(&side->all->longest, gap);
  side->last_tick = now;
}

static void turn(uv_timer_t* tick) {
  link_side_t* side = (link_side_t*) tick->data;
  bool driving = atomic_load(&side->all->driving);
  note_gap(side);
  for (size_t i = 0; i < side->all->count; i++) {
    link_end_t* e = &side->ends[i];
    if (e->s == NULL || !e->drives) continue;
    if (driving) drive(e);
    count_losses(e);
  }
  side->on_tick(side);
}

static mcq_ctx_t* open_ctx(uv_loop_t* loop, int backend) {
  mcq_ctx_options_t o = {.backend = backend};
  mcq_ctx_t* ctx;
  assert_int_equal(mcq_ctx_new(loop, &o, &ctx), 0);
  return ctx;
}

void link_side_open(link_side_t* side, link_books_t* all, bool far) {
  bool uring = false;
  memset(side, 0, sizeof *side);
  side->all = all;
  for (size_t i = 0; i < all->count; i++)
    uring = uring || all->lanes[i].backend == MCQ_BACKEND_URING;
  assert_int_equal(uv_loop_init(&side->loop), 0);
  side->ctx[0] = open_ctx(&side->loop, MCQ_BACKEND_UV);
  if (uring) side->ctx[1] = open_ctx(&side->loop, MCQ_BACKEND_URING);
  for (size_t i = 0; i < all->count; i++) open_end(side, i, far);
  uv_timer_init(&side->loop, &side->tick);
  side->tick.data = side;
  side->last_tick = uv_hrtime();
  uv_timer_start(&side->tick, turn, LINK_TICK, LINK_TICK);
}

void link_side_close(link_side_t* side) {
  uv_close((uv_handle_t*) &side->tick, NULL);
  mcq_ctx_close(side->ctx[0], NULL);
  if (side->ctx[1] != NULL) mcq_ctx_close(side->ctx[1], NULL);
}

static void until_the_end(link_side_t* side) {
  if (atomic_load(&side->all->ending)) link_side_close(side);
}

int link_far_ours(link_books_t* all) {
  static link_side_t side;
  link_side_open(&side, all, true);
  side.on_tick = until_the_end;
  (void) uv_run(&side.loop, UV_RUN_DEFAULT);
  return uv_loop_close(&side.loop) == 0 ? 0 : 3;
}

#ifndef HAVE_ZMQ
bool link_has_zmq(void) {
  return false;
}

int link_far_zmq(link_books_t* all) {
  (void) all;
  return 3;
}
#endif
