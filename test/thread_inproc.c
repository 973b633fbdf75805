/* SPDX-License-Identifier: MIT */
/* Eight loops in eight threads whose contexts share their inproc names: what
 * one sends another gets, once and in order, by reference; and everybody may
 * come and go at any time.  The thread sanitizer looks on in the long checks,
 * with MCQ_TEST_MESSAGES a million. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monocoque.h"
#include "support/alloc.h"
#include "support/random.h"

#define THREADS 8
#define CLIENTS (THREADS - 1)
#define NAME "inproc://hub"

static int backend;
static atomic_uint failures;

/* What must be, on a thread that cannot end the test. */
static void must(bool good, const char* what, int line) {
  if (good) return;
  fprintf(stderr, "line %d: not so: %s\n", line, what);
  atomic_fetch_add(&failures, 1);
}
#define must(condition) must((condition), #condition, __LINE__)

/* Messages in all. */
static unsigned messages_wanted(void) {
  const char* text = getenv("MCQ_TEST_MESSAGES");
  return text == NULL ? 40000 : (unsigned) strtoul(text, NULL, 10);
}

/* ---- a loop in a thread -------------------------------------------------- */

typedef struct seat {
  uv_thread_t thread;
  uv_loop_t loop;
  test_alloc_t memory;
  mcq_inproc_t* space; /* a count of its own */
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  unsigned id;
  unsigned wanted; /* messages from each */
  unsigned sent;
  unsigned heard;
  unsigned expected[THREADS];
  unsigned ups, downs;
  unsigned finished; /* peers that have all they wanted */
  test_random_t luck;
} seat_t;

static void open_ctx(seat_t* t) {
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&t->memory),
                         .data = t,
                         .inproc = t->space};
  must(mcq_ctx_new(&t->loop, &o, &t->ctx) == 0);
}

static seat_t* of(const mcq_socket_t* s) {
  return (seat_t*) mcq_socket_data(s);
}

static void count_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  of(s)->ups++;
}

static void count_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  of(s)->downs++;
}

static void open_socket(seat_t* t, mcq_socket_options_t o) {
  o.data = t;
  o.on_peer_up = count_up;
  if (o.on_peer_down == NULL) o.on_peer_down = count_down;
  o.reconnect_ms = 1;
  must(mcq_socket_new(t->ctx, &o, &t->socket) == 0);
}

/* In its own thread: a life of a context. */
static void run_loop(seat_t* t, void (*begin)(seat_t* t)) {
  open_ctx(t);
  begin(t);
  must(uv_run(&t->loop, UV_RUN_DEFAULT) == 0);
}

static seat_t seats[THREADS];

/* The loops are made and closed here: the thread sanitizer does not see libuv
 * close descriptors, and takes a number that comes again for the old file. */
static void run_all(unsigned wanted, void (*first)(void* arg),
                    void (*others)(void* arg)) {
  mcq_inproc_t* space;
  test_alloc_t memory;
  test_alloc_init(&memory);
  mcq_allocator_t allocator = test_alloc_allocator(&memory);
  assert_int_equal(mcq_inproc_new(&allocator, &space), 0);
  memset(seats, 0, sizeof seats);
  for (unsigned i = 0; i < THREADS; i++) {
    seat_t* t = &seats[i];
    t->id = i;
    t->wanted = wanted;
    t->luck.state = i + 1;
    test_alloc_init(&t->memory);
    t->space = mcq_inproc_retain(space);
    assert_int_equal(uv_loop_init(&t->loop), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    seat_t* t = &seats[i];
    assert_int_equal(uv_thread_create(&t->thread, i == 0 ? first : others, t),
                     0);
  }
  mcq_inproc_release(space);
  for (unsigned i = 0; i < THREADS; i++)
    assert_int_equal(uv_thread_join(&seats[i].thread), 0);
  for (unsigned i = 0; i < THREADS; i++) {
    assert_int_equal(uv_loop_close(&seats[i].loop), 0);
    assert_int_equal(seats[i].memory.live, 0);
  }
  assert_int_equal(memory.live, 0);
  assert_int_equal(failures, 0);
}

/* ---- questions and answers ----------------------------------------------- */

typedef struct note {
  unsigned from;
  unsigned number;
} note_t;

static note_t read_note(const mcq_msg_t* msg) {
  note_t note = {0, 0};
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  must(frame.len == sizeof note);
  memcpy(&note, frame.data, sizeof note);
  return note;
}

/* Both answer and question are as long as the room there is for them: nothing
 * is dropped, so the server pauses who asks faster than it takes answers. */
static void answer(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  seat_t* t = of(s);
  note_t note = read_note(msg);
  must(note.number == t->expected[note.from]++);
  must(mcq_send_msg_to(s, peer, msg) == 0);
  t->heard++;
}

static void leave_after_all(mcq_socket_t* s, const mcq_peer_info_t* info) {
  seat_t* t = of(s);
  count_down(s, info);
  if (t->downs < CLIENTS) return;
  must(t->heard == CLIENTS * t->wanted);
  mcq_ctx_close(t->ctx, NULL);
}

static void begin_server(seat_t* t) {
  open_socket(t, (mcq_socket_options_t){.type = MCQ_ROUTER,
                                        .sndhwm = -1,
                                        .sndhwm_bytes = -1,
                                        .on_peer_down = leave_after_all,
                                        .on_message = answer});
  must(mcq_bind(t->socket, NAME, NULL) == 0);
}

static void ask(mcq_socket_t* s) {
  seat_t* t = of(s);
  while (t->sent < t->wanted) {
    note_t note = {t->id, t->sent};
    int rc = mcq_send_bytes(s, &note, sizeof note);
    if (rc == MCQ_EAGAIN) return;
    must(rc == 0);
    if (rc != 0) return;
    t->sent++;
  }
}

static void hear(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  seat_t* t = of(s);
  (void) peer;
  note_t note = read_note(msg);
  must(note.from == t->id && note.number == t->heard);
  if (++t->heard == t->wanted) mcq_ctx_close(t->ctx, NULL);
}

static void begin_client(seat_t* t) {
  open_socket(t, (mcq_socket_options_t){
                     .type = MCQ_DEALER, .on_message = hear, .on_drain = ask});
  must(mcq_connect(t->socket, NAME, NULL, NULL) == 0);
  ask(t->socket);
}

static void serve(void* arg) {
  seat_t* t = (seat_t*) arg;
  run_loop(t, begin_server);
  must(t->ups == CLIENTS && t->downs == CLIENTS);
  mcq_inproc_release(t->space);
}

static void consult(void* arg) {
  seat_t* t = (seat_t*) arg;
  run_loop(t, begin_client);
  must(t->heard == t->wanted && t->ups == 1 && t->downs == 1);
  mcq_inproc_release(t->space);
}

static void answers_come_in_order(void** state) {
  (void) state;
  run_all(messages_wanted() / 2 / CLIENTS, serve, consult);
}

/* ---- one to many --------------------------------------------------------- */

/* Large enough to be shared by all who get it. */
#define LARGE 5000

static void publish(mcq_socket_t* s) {
  seat_t* t = of(s);
  static const uint8_t zeros[LARGE];
  if (t->finished < CLIENTS) return; /* they have not all subscribed */
  while (t->sent < t->wanted) {
    note_t note = {t->id, t->sent};
    mcq_frame_t frames[2] = {{&note, sizeof note}, {zeros, LARGE}};
    int rc = mcq_send(s, frames, 2);
    if (rc == MCQ_EAGAIN) return;
    must(rc == 0);
    if (rc != 0) return;
    t->sent++;
  }
}

static void count_subscribers(mcq_socket_t* s, const mcq_event_t* e) {
  seat_t* t = of(s);
  if (e->kind != MCQ_EVENT_SUBSCRIBED) return;
  t->finished++;
  publish(s);
}

static void leave_with_the_last(mcq_socket_t* s, const mcq_peer_info_t* info) {
  seat_t* t = of(s);
  count_down(s, info);
  if (t->downs == CLIENTS) mcq_ctx_close(t->ctx, NULL);
}

static void begin_publisher(seat_t* t) {
  open_socket(t, (mcq_socket_options_t){.type = MCQ_XPUB,
                                        .slow_peer = MCQ_SLOW_REFUSE,
                                        .sndhwm = 50,
                                        .on_drain = publish,
                                        .on_peer_down = leave_with_the_last,
                                        .on_event = count_subscribers});
  must(mcq_bind(t->socket, NAME, NULL) == 0);
}

static void take_news(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  seat_t* t = of(s);
  (void) peer;
  note_t note = read_note(msg);
  must(note.from == 0 && note.number == t->heard);
  must(mcq_msg_frame(msg, 1).len == LARGE);
  mcq_msg_t* kept = mcq_msg_retain(msg); /* and let go by this thread */
  must(kept != NULL);
  mcq_msg_release(kept);
  if (++t->heard == t->wanted) mcq_ctx_close(t->ctx, NULL);
}

static void begin_subscriber(seat_t* t) {
  open_socket(t,
              (mcq_socket_options_t){.type = MCQ_SUB, .on_message = take_news});
  must(mcq_subscribe(t->socket, "", 0) == 0);
  must(mcq_connect(t->socket, NAME, NULL, NULL) == 0);
}

static void broadcast(void* arg) {
  seat_t* t = (seat_t*) arg;
  run_loop(t, begin_publisher);
  must(t->sent == t->wanted && t->downs == CLIENTS);
  mcq_inproc_release(t->space);
}

static void listen_to_all(void* arg) {
  seat_t* t = (seat_t*) arg;
  run_loop(t, begin_subscriber);
  must(t->heard == t->wanted);
  mcq_inproc_release(t->space);
}

static void subscribers_share_what_they_get(void** state) {
  (void) state;
  run_all(messages_wanted() / 8 / CLIENTS, broadcast, listen_to_all);
}

/* ---- coming and going ---------------------------------------------------- */

#define NAMES 3

static const char* some_name(seat_t* t) {
  static const char* const names[NAMES] = {"inproc://a", "inproc://b",
                                           "inproc://c"};
  return names[test_random(&t->luck) % NAMES];
}

/* Sends on what it gets, for a while. */
static void pass_on(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  seat_t* t = of(s);
  (void) peer;
  t->heard++;
  if (test_random(&t->luck) % 8 != 0) (void) mcq_send_msg(s, msg);
}

static void hold_a_talk(seat_t* t) {
  static const uint8_t body[3000];
  open_ctx(t);
  open_socket(t, (mcq_socket_options_t){.type = MCQ_DEALER,
                                        .linger_ms = MCQ_LINGER_NONE,
                                        .on_message = pass_on});
  uint64_t mood = test_random(&t->luck);
  if (mood % 2 == 0) {
    int rc = mcq_bind(t->socket, some_name(t), NULL);
    must(rc == 0 || rc == MCQ_EADDRINUSE);
  }
  if (mood % 8 != 0)
    must(mcq_connect(t->socket, some_name(t), NULL, NULL) == 0);
  for (unsigned i = 0; i < mood / 4 % 64; i++)
    if (i % 4 == 0)
      (void) mcq_send_bytes(t->socket, body, sizeof body);
    else
      (void) mcq_send_text(t->socket, "hello");
  for (uint64_t turns = mood / 256 % 64; turns > 0; turns--)
    (void) uv_run(&t->loop, UV_RUN_NOWAIT);
  if (mood / 16384 % 2 == 0) mcq_close(t->socket, NULL);
  mcq_ctx_close(t->ctx, NULL);
  must(uv_run(&t->loop, UV_RUN_DEFAULT) == 0);
}

static void come_and_go(void* arg) {
  seat_t* t = (seat_t*) arg;
  for (unsigned i = 0; i < t->wanted; i++) hold_a_talk(t);
  must(t->ups == t->downs);
  mcq_inproc_release(t->space);
}

static void everybody_comes_and_goes(void** state) {
  (void) state;
  unsigned rounds = messages_wanted() / 800;
  run_all(rounds > 500 ? 500 : rounds, come_and_go, come_and_go);
  unsigned ups = 0;
  unsigned heard = 0;
  for (unsigned i = 0; i < THREADS; i++) {
    ups += seats[i].ups;
    heard += seats[i].heard;
  }
  print_message("  %u connections, %u messages\n", ups, heard);
  assert_true(ups > 0 && heard > 0);
}

/* ---- a door that closes -------------------------------------------------- */

static void end_life(seat_t* t) {
  mcq_close(t->socket, NULL);
  mcq_ctx_close(t->ctx, NULL);
  must(uv_run(&t->loop, UV_RUN_DEFAULT) == 0);
}

/* Lets callers queue up at the door, for the loop does not run, and closes. */
static void slam(void* arg) {
  seat_t* t = (seat_t*) arg;
  for (unsigned i = 0; i < t->wanted; i++) {
    open_ctx(t);
    open_socket(t, (mcq_socket_options_t){.type = MCQ_DEALER});
    must(mcq_bind(t->socket, NAME, NULL) == 0);
    for (uint64_t n = test_random(&t->luck) % 64; n > 0; n--) sched_yield();
    end_life(t);
  }
  mcq_inproc_release(t->space);
}

/* Queues up there, and goes before it is let in. */
static void knock(void* arg) {
  seat_t* t = (seat_t*) arg;
  for (unsigned i = 0; i < t->wanted; i++) {
    open_ctx(t);
    open_socket(t, (mcq_socket_options_t){.type = MCQ_DEALER});
    must(mcq_connect(t->socket, NAME, NULL, NULL) == 0);
    for (uint64_t n = test_random(&t->luck) % 4; n > 0; n--)
      (void) uv_run(&t->loop, UV_RUN_NOWAIT);
    end_life(t);
  }
  must(t->ups == t->downs);
  mcq_inproc_release(t->space);
}

static void doors_close_on_those_who_leave(void** state) {
  (void) state;
  unsigned rounds = messages_wanted() / 100;
  run_all(rounds > 2000 ? 2000 : rounds, slam, knock);
}

/* ---- main ---------------------------------------------------------------- */

static int run_on(int which) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_come_in_order),
      cmocka_unit_test(subscribers_share_what_they_get),
      cmocka_unit_test(everybody_comes_and_goes),
      cmocka_unit_test(doors_close_on_those_who_leave),
  };
  backend = which;
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rings come and go by system calls that the thread sanitizer does not see: it
 * takes memory that comes again for the old one. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
static const bool rings_too = false;
#else
static const bool rings_too = true;
#endif

int main(void) {
  int failed = run_on(MCQ_BACKEND_UV);
  if (rings_too) failed += run_on(MCQ_BACKEND_AUTO);
  return failed;
}
