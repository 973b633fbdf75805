/* SPDX-License-Identifier: MIT */
/* Eight threads post to a socket while its loop sends, closes, comes and goes.
 * Whatever was accepted arrives once, what one thread posted in its order, and
 * what does not arrive is counted.  The thread sanitizer looks on in the long
 * checks, with MCQ_TEST_MESSAGES a million. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monocoque.h"
#include "support/place.h"

#define THREADS 8
#define HWM 100

static const place_t* place;

/* Messages in all. */
static unsigned messages_wanted(void) {
  const char* text = getenv("MCQ_TEST_MESSAGES");
  unsigned long n = text == NULL ? 40000 : strtoul(text, NULL, 10);
  return (unsigned) n / THREADS * THREADS;
}

/* Stands before the one of libuv: where threads are polite, who wants a lock
 * lets others go first, so that what may happen just before it does. */
static atomic_bool polite;

void uv_mutex_lock(uv_mutex_t* lock) {
  if (atomic_load(&polite)) sched_yield();
  if (pthread_mutex_lock(lock) != 0) abort();
}

/* ---- posting ------------------------------------------------------------- */

/* Where threads wait for room, and learn that there is none for ever. */
typedef struct gate {
  uv_mutex_t lock;
  uv_cond_t opened;
  unsigned long times;
  bool over;
} gate_t;

static void gate_init(gate_t* g) {
  memset(g, 0, sizeof *g);
  assert_int_equal(uv_mutex_init(&g->lock), 0);
  assert_int_equal(uv_cond_init(&g->opened), 0);
}

static void gate_dispose(gate_t* g) {
  uv_mutex_destroy(&g->lock);
  uv_cond_destroy(&g->opened);
}

static void gate_open(gate_t* g, bool over) {
  uv_mutex_lock(&g->lock);
  g->times++;
  g->over = g->over || over;
  uv_cond_broadcast(&g->opened);
  uv_mutex_unlock(&g->lock);
}

static unsigned long gate_times(gate_t* g) {
  uv_mutex_lock(&g->lock);
  unsigned long times = g->times;
  uv_mutex_unlock(&g->lock);
  return times;
}

static void gate_wait(gate_t* g, unsigned long since) {
  uv_mutex_lock(&g->lock);
  while (g->times == since && !g->over) uv_cond_wait(&g->opened, &g->lock);
  uv_mutex_unlock(&g->lock);
}

typedef struct note {
  unsigned thread;
  unsigned number;
} note_t;

typedef struct stage stage_t;

typedef struct poster {
  stage_t* g;
  uv_thread_t thread;
  uv_barrier_t* start; /* for those that begin at once */
  mcq_mailbox_t* box;  /* a count of its own */
  unsigned id;
  unsigned wanted;   /* posts */
  unsigned accepted; /* of these */
  unsigned refused;  /* for want of room */
  int code;          /* why it ended early */
  unsigned expected; /* the next one of this thread, on the other side */
  unsigned calls;    /* that came through */
} poster_t;

struct stage {
  ground_t ground;
  gate_t gate;
  poster_t posters[THREADS];
  mcq_socket_t* push;
  mcq_socket_t* pull;
  mcq_mailbox_t* box;
  unsigned limit; /* after so many the sender is closed; 0: never */
  unsigned heard;
  unsigned drains;
  uint64_t lost;
  bool closed;
};

static int post_once(const poster_t* p) {
  note_t note = {p->id, p->accepted};
  mcq_frame_t frames[2] = {{&note, sizeof note}, {"and more", 8}};
  return mcq_post(p->box, frames, 2);
}

static void post_all(void* arg) {
  poster_t* p = (poster_t*) arg;
  while (p->accepted < p->wanted) {
    unsigned long times = gate_times(&p->g->gate);
    int rc = post_once(p);
    if (rc == 0) {
      p->accepted++;
    } else if (rc == MCQ_EAGAIN) {
      p->refused++;
      gate_wait(&p->g->gate, times);
    } else {
      p->code = rc;
      break;
    }
  }
  mcq_mailbox_release(p->box);
}

static void start_posters(stage_t* g, unsigned each, void (*entry)(void* arg)) {
  for (unsigned i = 0; i < THREADS; i++) {
    poster_t* p = &g->posters[i];
    *p = (poster_t){.g = g, .id = i, .wanted = each};
    p->box = mcq_mailbox_retain(g->box);
    assert_int_equal(uv_thread_create(&p->thread, entry, p), 0);
  }
}

static unsigned join_posters(stage_t* g) {
  unsigned accepted = 0;
  for (unsigned i = 0; i < THREADS; i++) {
    assert_int_equal(uv_thread_join(&g->posters[i].thread), 0);
    accepted += g->posters[i].accepted;
  }
  return accepted;
}

/* ---- the loop's side ----------------------------------------------------- */

static void on_closed(const mcq_close_info_t* info) {
  stage_t* g = (stage_t*) info->data;
  g->lost = info->lost_messages;
  g->closed = true;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = (stage_t*) mcq_socket_data(s);
  note_t note;
  (void) peer;
  assert_int_equal(mcq_msg_count(msg), 2);
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  assert_int_equal(frame.len, sizeof note);
  memcpy(&note, frame.data, sizeof note);
  assert_true(note.thread < THREADS);
  poster_t* p = &g->posters[note.thread];
  if (g->limit == 0)
    assert_int_equal(note.number, p->expected);
  else
    assert_true(note.number >= p->expected); /* with gaps: those are lost */
  p->expected = note.number + 1;
  g->heard++;
  if (g->limit != 0 && g->heard == g->limit) mcq_close(g->push, on_closed);
}

static void on_drain(mcq_socket_t* s, void* data) {
  stage_t* g = (stage_t*) data;
  assert_ptr_equal(s, g->push);
  g->drains++;
  gate_open(&g->gate, false);
}

static void on_failed(mcq_socket_t* s, mcq_msg_t* msg, int code, void* data) {
  (void) s;
  (void) msg;
  (void) data;
  fail_msg("not sent: %s", mcq_err_name(code));
}

static stage_t* open_stage(void) {
  static stage_t g;
  char uri[PLACE_URI_MAX];
  mcq_endpoint_t at;
  memset(&g, 0, sizeof g);
  ground_open(&g.ground, place);
  gate_init(&g.gate);
  mcq_socket_options_t o = {
      .type = MCQ_PUSH, .data = &g, .linger_ms = -1, .sndhwm = HWM};
  assert_int_equal(mcq_socket_new(g.ground.ctx, &o, &g.push), 0);
  o.type = MCQ_PULL;
  o.on_message = on_message;
  assert_int_equal(mcq_socket_new(g.ground.ctx, &o, &g.pull), 0);
  assert_int_equal(mcq_bind(g.push, place_uri(place, 0, uri), &at), 0);
  assert_int_equal(
      mcq_connect(g.pull, mcq_endpoint_uri(g.push, at), NULL, NULL), 0);
  mcq_mailbox_options_t m = {
      .hwm = HWM, .data = &g, .on_drain = on_drain, .on_failed = on_failed};
  assert_int_equal(mcq_mailbox_new(g.push, &m, &g.box), 0);
  return &g;
}

static void close_stage(stage_t* g) {
  gate_dispose(&g->gate);
  mcq_mailbox_release(g->box);
  ground_finish(&g->ground);
  ground_run(&g->ground);
}

static void all_arrive_in_order(void** state) {
  (void) state;
  unsigned wanted = messages_wanted();
  stage_t* g = open_stage();
  start_posters(g, wanted / THREADS, post_all);
  ground_until(&g->ground, g->heard == wanted);
  assert_int_equal(join_posters(g), wanted);
  mcq_stats_t stats;
  mcq_stats(g->push, &stats);
  assert_int_equal(stats.messages_sent, wanted);
  assert_int_equal(stats.posts_failed, 0);
  assert_int_equal(stats.sends_refused, 0);
  for (unsigned i = 0; i < THREADS; i++)
    assert_int_equal(g->posters[i].expected, wanted / THREADS);
  if (wanted >= 1000) assert_true(g->drains > 0);
  close_stage(g);
}

/* In the middle of it the socket closes: what was accepted is sent or counted
 * as lost, and from then on every thread is told. */
static void closing_while_others_post(void** state) {
  (void) state;
  unsigned wanted = messages_wanted() / 4;
  for (int part = 1; part <= 3; part++) {
    stage_t* g = open_stage();
    g->limit = wanted / 4 * (unsigned) part;
    start_posters(g, UINT32_MAX, post_all);
    ground_until(&g->ground, g->closed);
    gate_open(&g->gate, true);
    unsigned accepted = join_posters(g);
    for (unsigned i = 0; i < THREADS; i++)
      assert_int_equal(g->posters[i].code, MCQ_ECLOSED);
    assert_int_equal(mcq_post(g->box, &(mcq_frame_t){"late", 4}, 1),
                     MCQ_ECLOSED);
    ground_until(&g->ground, g->heard + g->lost == accepted);
    close_stage(g);
  }
}

/* ---- calls --------------------------------------------------------------- */

static void count_call(mcq_socket_t* s, void* arg) {
  poster_t* p = (poster_t*) arg;
  assert_ptr_equal(s, p->g->push);
  p->calls++;
  if (p->g->limit != 0 && ++p->g->heard == p->g->limit) mcq_close(s, on_closed);
}

static void call_all(void* arg) {
  poster_t* p = (poster_t*) arg;
  while (p->accepted < p->wanted && p->code == 0) {
    unsigned long times = gate_times(&p->g->gate);
    int rc = mcq_post_call(p->box, count_call, p);
    if (rc == 0) p->accepted++;
    if (rc == MCQ_EAGAIN) gate_wait(&p->g->gate, times);
    if (rc != 0 && rc != MCQ_EAGAIN) p->code = rc;
  }
  mcq_mailbox_release(p->box);
}

/* A call that was accepted comes through, whatever becomes of the socket. */
static void every_call_comes_once(void** state) {
  (void) state;
  stage_t* g = open_stage();
  g->limit = messages_wanted() / 10;
  start_posters(g, UINT32_MAX, call_all);
  ground_until(&g->ground, g->closed);
  gate_open(&g->gate, true);
  join_posters(g);
  for (unsigned i = 0; i < THREADS; i++) {
    assert_int_equal(g->posters[i].code, MCQ_ECLOSED);
    assert_int_equal(g->posters[i].calls, g->posters[i].accepted);
  }
  close_stage(g);
}

/* ---- coming and going ---------------------------------------------------- */

/* Contexts open and close while others hold their mailboxes; the last to let
 * go may be any thread. */
static void mailboxes_outlive_their_loops(void** state) {
  (void) state;
  unsigned rounds = messages_wanted() / 2000;
  if (rounds > 100) rounds = 100;
  for (unsigned i = 0; i < rounds; i++) {
    stage_t* g = open_stage();
    start_posters(g, UINT32_MAX, post_all);
    ground_until(&g->ground, g->heard > i);
    mcq_mailbox_release(g->box);
    ground_finish(&g->ground);
    ground_until(&g->ground, g->ground.io == NULL);
    gate_open(&g->gate, true);
    join_posters(g);
    gate_dispose(&g->gate);
    ground_run(&g->ground);
  }
}

/* Each thread lets go of a mailbox of its own while the socket of them all
 * closes: neither may touch what the other has done away with. */
static void let_go(void* arg) {
  poster_t* p = (poster_t*) arg;
  uv_barrier_wait(p->start);
  mcq_mailbox_release(p->box);
}

static void last_holders_and_a_closing_socket(void** state) {
  (void) state;
  unsigned rounds = messages_wanted() / 200;
  if (rounds > 1000) rounds = 1000;
  stage_t* g = open_stage();
  atomic_store(&polite, true);
  for (unsigned i = 0; i < rounds; i++) {
    mcq_socket_options_t o = {.type = MCQ_PUSH, .data = g};
    mcq_socket_t* s;
    uv_barrier_t start;
    assert_int_equal(mcq_socket_new(g->ground.ctx, &o, &s), 0);
    assert_int_equal(uv_barrier_init(&start, THREADS + 1), 0);
    for (unsigned t = 0; t < THREADS; t++) {
      poster_t* p = &g->posters[t];
      *p = (poster_t){.start = &start};
      assert_int_equal(mcq_mailbox_new(s, NULL, &p->box), 0);
      assert_int_equal(uv_thread_create(&p->thread, let_go, p), 0);
    }
    g->closed = false;
    mcq_close(s, on_closed);
    (void) uv_barrier_wait(&start);
    ground_until(&g->ground, g->closed);
    join_posters(g);
    uv_barrier_destroy(&start);
  }
  atomic_store(&polite, false);
  close_stage(g);
}

/* ---- main ---------------------------------------------------------------- */

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_arrive_in_order),
      cmocka_unit_test(closing_while_others_post),
      cmocka_unit_test(every_call_comes_once),
      cmocka_unit_test(mailboxes_outlive_their_loops),
      cmocka_unit_test(last_holders_and_a_closing_socket),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  static const char* const names[] = {"tcp, uv", "tcp, uring", "inproc, uv"};
  int failed = 0;
  for (size_t i = 0; i < 3; i++) {
    place = place_find(names[i]);
    printf("%s\n", names[i]);
    if (place_is_here(place)) failed += run_all();
  }
  return failed;
}
