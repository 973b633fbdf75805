/* SPDX-License-Identifier: MIT */
/* The end of sockets: a thousand of them in every state there is, all closed
 * in one callback, on a clock of the test's own.  Each is gone within linger
 * and a turn, and what it says it lost and what arrived add up.  What a socket
 * said before it went, the reason of a refusal above all, reaches the other
 * side before the end does. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctx.h"
#include "support/alloc.h"
#include "support/backend.h"
#include "support/fault_calls.h"
#include "support/nap.h"

#define EACH 72     /* sockets in each state, but */
#define FULL_ONES 8 /* of those that the kernel keeps megabytes for */
#define LINGER 200
#define HWM 10 /* of those that are full, and of messages so large: */
#define BODY ((size_t) 9000)
#define WAITING 3 /* messages of those that wait for somebody */
#define TURNS 40  /* in which whatever can happen has happened */

typedef enum state {
  FRESH,       /* just made */
  LISTENING,   /* nobody came */
  RESOLVING,   /* the name server does not answer */
  CONNECTING,  /* the other side does not */
  RETRYING,    /* was refused and waits */
  STOPPED,     /* was refused for good */
  QUEUED,      /* in these four, with messages for whoever may come */
  SHAKING_OUT, /* connected, the other side says nothing */
  SHAKING_IN,  /* the same with somebody who came */
  REFUSING,    /* somebody who was told so and does not go */
  UP,
  PAUSED, /* with messages for it */
  MUTE,   /* up, and the other side says and reads nothing more */
  FULL,   /* the same, and it can be felt */
  STATES
} state_t;

#define GUESTS ((size_t) STATES * EACH)

static const char* const state_names[STATES] = {
    "fresh",   "listening", "resolving",    "connecting",  "retrying",
    "stopped", "queued",    "shaking, out", "shaking, in", "refusing",
    "up",      "paused",    "mute",         "full"};

/* With nothing to wait for they are gone at once. */
static bool takes_time(state_t state) {
  return state == REFUSING || state == QUEUED || state == MUTE || state == FULL;
}

typedef struct guest {
  struct hall* hall;
  state_t state;
  int number; /* among those of its state */
  mcq_socket_t* s;
  mcq_endpoint_t at;
  int raw; /* the other side, where it is a plain socket */
  bool there, tried, retries, stopped, accepted, refused;
  uint64_t taken;  /* messages it accepted */
  uint64_t unsure; /* of these, by its own account */
  unsigned closes;
  mcq_close_info_t info;
} guest_t;

typedef struct hall {
  uv_loop_t loop;
  uv_timer_t nap;
  test_alloc_t memory;
  mcq_ctx_t* ctx;
  uint64_t now;
  mcq_socket_t* house; /* a ROUTER that is polite */
  mcq_socket_t* wrong; /* of a type that nobody here may meet */
  mcq_endpoint_t house_at, wrong_at;
  int silent;      /* listeners: never accepts, */
  int crowded;     /* has no room for more, */
  int deaf;        /* says hello and no more, */
  int closed;      /* bound, and does not listen */
  int waiting[16]; /* who takes the room of the crowded one */
  guest_t guests[GUESTS];
  unsigned closed_count;
  bool closing, in_call, left;
} hall_t;

static hall_t hall;

/* ---- plain sockets ------------------------------------------------------- */

static const char greeting[] =
    "\xff\0\0\0\0\0\0\0\0\x7f\3\1NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const char ready_pull[] = "\4\x1a\5READY\xbSocket-Type\0\0\0\4PULL";

static int raw_socket(bool blocks) {
  int type = SOCK_STREAM | SOCK_CLOEXEC | (blocks ? 0 : SOCK_NONBLOCK);
  int fd = socket(AF_INET, type, 0);
  int small = 4096;
  assert_true(fd >= 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  return fd;
}

/* Binds; listens where there is a backlog at all. */
static int raw_bind(int backlog) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  int fd = raw_socket(false);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(bind(fd, (const struct sockaddr*) &at, sizeof at), 0);
  if (backlog >= 0) assert_int_equal(listen(fd, backlog), 0);
  return fd;
}

static struct sockaddr_in raw_address(int fd) {
  struct sockaddr_in at;
  socklen_t size = sizeof at;
  assert_int_equal(getsockname(fd, (struct sockaddr*) &at, &size), 0);
  return at;
}

static const char* raw_uri(int fd) {
  static char uri[64];
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%u",
           ntohs(raw_address(fd).sin_port));
  return uri;
}

static int raw_connect(struct sockaddr_in to) {
  int fd = raw_socket(false);
  int rc = connect(fd, (const struct sockaddr*) &to, sizeof to);
  assert_true(rc == 0 || errno == EINPROGRESS);
  return fd;
}

static int raw_connect_to(const char* uri) {
  struct sockaddr_in to;
  uv_ip4_addr("127.0.0.1", atoi(strrchr(uri, ':') + 1), &to);
  return raw_connect(to);
}

static void raw_say(int fd, const void* data, size_t len) {
  assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

/* As a PULL. */
static void raw_say_hello(int fd) {
  raw_say(fd, greeting, 64);
  raw_say(fd, ready_pull, sizeof ready_pull - 1);
}

/* ---- the loop ------------------------------------------------------------ */

static uint64_t hall_clock(void* arg) {
  return ((const hall_t*) arg)->now;
}

static void turns(hall_t* h, int count) {
  for (int i = 0; i < count; i++) uv_run(&h->loop, UV_RUN_NOWAIT);
}

/* Turns, and now and then the kernel gets its time; the clock stands still. */
static void settle(hall_t* h) {
  for (int i = 0; i < 4; i++) {
    turns(h, TURNS);
    nap(&h->nap);
  }
}

#define until(h, condition)                          \
  for (int i = 0; !(condition); i++) {               \
    if (i > 2000) fail_msg("never: %s", #condition); \
    settle(h);                                       \
  }

/* ---- guests -------------------------------------------------------------- */

static guest_t* guest_of(mcq_socket_t* s) {
  guest_t* g = (guest_t*) mcq_socket_data(s);
  assert_false(g->hall->in_call);
  return g;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  guest_t* g = guest_of(s);
  (void) info;
  g->there = true;
  if (g->state == PAUSED) assert_int_equal(mcq_pause(s), 0);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  guest_t* g = guest_of(s);
  assert_true(g->hall->closing);
  g->there = false;
  g->unsure += info->unsure_messages;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  guest_t* g = guest_of(s);
  if (e->kind == MCQ_EVENT_CONNECTED) g->tried = true;
  if (e->kind == MCQ_EVENT_RETRY) g->retries = true;
  if (e->kind == MCQ_EVENT_STOPPED) g->stopped = true;
  if (e->kind == MCQ_EVENT_ACCEPTED) g->accepted = true;
  if (e->kind == MCQ_EVENT_HANDSHAKE_FAILED) g->refused = true;
}

/* News reaches all who are up; those that are paused have it before them. */
static void on_news(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  const guest_t* g = guest_of(s);
  (void) peer;
  (void) msg;
  if (g->state != UP || g->hall->closing)
    fail_msg("%s was given a message", state_names[g->state]);
}

static int type_of(state_t state) {
  switch (state) {
    case LISTENING:
    case SHAKING_IN:
    case REFUSING:
      return MCQ_ROUTER;
    case MUTE:
    case FULL:
      return MCQ_PUSH;
    default:
      return MCQ_DEALER;
  }
}

static void make_guest(guest_t* g) {
  mcq_socket_options_t o = {.type = type_of(g->state),
                            .data = g,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .on_event = on_event,
                            .sndhwm = HWM,
                            .linger_ms = LINGER,
                            .reconnect_ms = 1000000,
                            .reconnect_max_ms = 1000000};
  if (o.type != MCQ_PUSH) o.on_message = on_news;
  assert_int_equal(mcq_socket_new(g->hall->ctx, &o, &g->s), 0);
}

static void connect_guest(guest_t* g, const char* uri) {
  assert_int_equal(mcq_connect(g->s, uri, NULL, NULL), 0);
}

static void listen_guest(guest_t* g) {
  assert_int_equal(mcq_bind(g->s, "tcp://127.0.0.1:*", &g->at), 0);
}

#define NOWHERE "tcp://nobody.knows.invalid:5555"

/* Somebody may come yet, in each of the ways that nobody does. */
static void queue_guest(guest_t* g) {
  const hall_t* h = g->hall;
  switch (g->number % 4) {
    case 0:
      connect_guest(g, NOWHERE);
      break;
    case 1:
      connect_guest(g, raw_uri(h->crowded));
      break;
    case 2:
      connect_guest(g, raw_uri(h->silent));
      break;
    default:
      connect_guest(g, raw_uri(h->closed));
      break;
  }
  for (int i = 0; i < WAITING; i++)
    assert_int_equal(mcq_send_text(g->s, "for whoever"), 0);
  g->taken = WAITING;
}

static void enter(guest_t* g) {
  const hall_t* h = g->hall;
  make_guest(g);
  switch (g->state) {
    case LISTENING:
      listen_guest(g);
      break;
    case RESOLVING:
      connect_guest(g, NOWHERE);
      break;
    case CONNECTING:
      connect_guest(g, raw_uri(h->crowded));
      break;
    case RETRYING:
      connect_guest(g, raw_uri(h->closed));
      break;
    case STOPPED:
      connect_guest(g, mcq_endpoint_uri(h->wrong, h->wrong_at));
      break;
    case QUEUED:
      queue_guest(g);
      break;
    case SHAKING_OUT:
      connect_guest(g, raw_uri(h->silent));
      break;
    case SHAKING_IN:
      listen_guest(g);
      g->raw = raw_connect_to(mcq_endpoint_uri(g->s, g->at));
      break;
    case REFUSING:
      listen_guest(g);
      g->raw = raw_connect_to(mcq_endpoint_uri(g->s, g->at));
      raw_say_hello(g->raw);
      break;
    case UP:
    case PAUSED:
      connect_guest(g, mcq_endpoint_uri(h->house, h->house_at));
      break;
    case MUTE:
    case FULL:
      connect_guest(g, raw_uri(h->deaf));
      break;
    default:
      break;
  }
}

/* Who comes to the deaf one is greeted, and never heard. */
static void greet(guest_t* g) {
  hall_t* h = g->hall;
  until(h, (g->raw = accept4(h->deaf, NULL, NULL, SOCK_NONBLOCK)) >= 0 ||
               errno != EAGAIN);
  assert_true(g->raw >= 0);
  raw_say_hello(g->raw);
}

static bool has_arrived(const guest_t* g) {
  switch (g->state) {
    case RETRYING:
      return g->retries;
    case STOPPED:
      return g->stopped;
    case SHAKING_OUT:
      return g->tried;
    case SHAKING_IN:
      return g->accepted;
    case REFUSING:
      return g->refused;
    case UP:
    case PAUSED:
    case MUTE:
    case FULL:
      return g->there;
    default:
      return true;
  }
}

static bool stuff(guest_t* g) {
  static const char body[BODY];
  mcq_frame_t frame = {body, BODY};
  uint64_t before = g->taken;
  while (mcq_send(g->s, &frame, 1) == 0) g->taken++;
  return g->taken != before;
}

/* Until nobody takes any more, however often the kernel is asked. */
static void stuff_all(hall_t* h) {
  for (int refused = 0; refused < 3; refused++) {
    for (size_t i = 0; i < GUESTS; i++)
      if (h->guests[i].state == FULL && stuff(&h->guests[i])) refused = 0;
    settle(h);
  }
}

/* ---- the hall ------------------------------------------------------------ */

static void on_guest_left(const mcq_close_info_t* info) {
  guest_t* g = (guest_t*) info->data;
  assert_int_equal(++g->closes, 1);
  g->info = *info;
  g->hall->closed_count++;
}

/* One word, and everybody goes. */
static void on_word(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  hall_t* h = (hall_t*) mcq_socket_data(s);
  h->closing = true;
  h->in_call = true;
  for (size_t i = 0; i < GUESTS; i++) {
    mcq_close(h->guests[i].s, on_guest_left);
    assert_int_equal(mcq_send_text(h->guests[i].s, "late"), MCQ_ECLOSED);
  }
  h->in_call = false;
}

static void tell_news(mcq_socket_t* s, const mcq_peer_info_t* info, void* arg) {
  mcq_frame_t frame = {"news", 4};
  (void) arg;
  for (int i = 0; i < WAITING; i++)
    assert_int_equal(mcq_send_to(s, info->peer, &frame, 1), 0);
}

static void open_house(hall_t* h) {
  mcq_socket_options_t o = {
      .type = MCQ_ROUTER, .data = h, .on_message = on_word};
  assert_int_equal(mcq_socket_new(h->ctx, &o, &h->house), 0);
  o.type = MCQ_SUB;
  o.on_message = NULL;
  assert_int_equal(mcq_socket_new(h->ctx, &o, &h->wrong), 0);
  assert_int_equal(mcq_bind(h->house, "tcp://127.0.0.1:*", &h->house_at), 0);
  assert_int_equal(mcq_bind(h->wrong, "tcp://127.0.0.1:*", &h->wrong_at), 0);
}

/* Fills the queue of the crowded one: whoever comes now gets no answer. */
static void crowd(hall_t* h) {
  for (int i = 0; i < 16; i++)
    h->waiting[i] = raw_connect(raw_address(h->crowded));
}

static void open_hall(hall_t* h, int backend) {
  memset(h, 0, sizeof *h);
  h->now = 1000;
  test_alloc_init(&h->memory);
  uv_loop_init(&h->loop);
  uv_timer_init(&h->loop, &h->nap);
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&h->memory),
                         .data = &h->left};
  mcq__seams_t seams = {.clock = hall_clock, .clock_arg = h, .seed = 1};
  assert_int_equal(mcq__ctx_open(&h->loop, &o, &seams, &h->ctx), 0);
  open_house(h);
  h->silent = raw_bind(1000);
  h->crowded = raw_bind(0);
  h->deaf = raw_bind(1000);
  h->closed = raw_bind(-1);
  crowd(h);
  for (size_t i = 0; i < GUESTS; i++) {
    state_t state = (state_t) (i % STATES);
    int number = (int) (i / STATES);
    if (state == FULL && number >= FULL_ONES) state = QUEUED;
    h->guests[i] =
        (guest_t){.hall = h, .state = state, .number = number, .raw = -1};
  }
}

static bool all_arrived(const hall_t* h) {
  for (size_t i = 0; i < GUESTS; i++)
    if (!has_arrived(&h->guests[i])) return false;
  return true;
}

static void let_in(hall_t* h) {
  for (size_t i = 0; i < GUESTS; i++) {
    guest_t* g = &h->guests[i];
    enter(g);
    if (g->state == MUTE || g->state == FULL) greet(g);
  }
  until(h, all_arrived(h));
  until(h, fault_hanging() > 0);
  stuff_all(h);
  mcq_peer_each(h->house, tell_news, NULL);
  settle(h);
}

static void on_hall_left(void* data) {
  *(bool*) data = true;
}

/* The loop has to wait for lookups, and for nothing else. */
static void close_hall(hall_t* h) {
  mcq_ctx_close(h->ctx, on_hall_left);
  settle(h);
  assert_false(h->left);
  fault_hang_lookups(false);
  until(h, h->left);
  uv_close((uv_handle_t*) &h->nap, NULL);
  assert_int_equal(uv_run(&h->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&h->loop), 0);
  assert_int_equal(h->memory.live, 0);
  for (int i = 0; i < 16; i++) close(h->waiting[i]);
  for (size_t i = 0; i < GUESTS; i++)
    if (h->guests[i].raw >= 0) close(h->guests[i].raw);
  close(h->silent);
  close(h->crowded);
  close(h->deaf);
  close(h->closed);
}

/* ---- a thousand sockets -------------------------------------------------- */

static void expect_gone(const hall_t* h, bool all) {
  for (size_t i = 0; i < GUESTS; i++) {
    const guest_t* g = &h->guests[i];
    bool gone = all || !takes_time(g->state);
    if ((g->closes == 1) != gone)
      fail_msg("%s, number %d, is %s after %d ms", state_names[g->state],
               g->number, gone ? "still there" : "gone already",
               (int) (h->now - 1000));
  }
}

/* Whole messages of those that arrive in the end; all have two frames' worth
 * of header bytes. */
static uint64_t count_arrived(int fd, bool* begun) {
  static uint8_t bytes[1 << 20];
  size_t len = 0;
  ssize_t n;
  fcntl(fd, F_SETFL, 0);
  while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0) len += (size_t) n;
  size_t hello = 64 + sizeof ready_pull - 1; /* PUSH is as long as PULL */
  assert_true(len >= hello);
  *begun = (len - hello) % (BODY + 9) != 0;
  return (len - hello) / (BODY + 9);
}

/* What it took is with the other side, was begun, or is told to be lost. */
static void expect_sum(const guest_t* g) {
  bool begun;
  uint64_t arrived = count_arrived(g->raw, &begun);
  uint64_t known = arrived + g->info.lost_messages;
  if (g->taken != known + g->unsure && g->taken != known + (begun ? 1 : 0))
    fail_msg("%u messages taken, %u arrived%s, %u lost, %u unsure",
             (unsigned) g->taken, (unsigned) arrived,
             begun ? " and a part of one" : "",
             (unsigned) g->info.lost_messages, (unsigned) g->unsure);
  assert_true(g->info.lost_messages >= HWM - 1);
  assert_true(g->info.lost_bytes >= g->info.lost_messages * BODY);
}

static void expect_account(const guest_t* g) {
  if (g->state == FULL) {
    expect_sum(g);
    return;
  }
  assert_int_equal(g->info.lost_messages, g->state == QUEUED ? WAITING : 0);
  size_t size = g->state == QUEUED ? 2 + strlen("for whoever") : 0;
  assert_int_equal(g->info.lost_bytes, WAITING * size);
}

static void speak_the_word(hall_t* h) {
  mcq_socket_t* s;
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  assert_int_equal(mcq_socket_new(h->ctx, &o, &s), 0);
  assert_int_equal(
      mcq_connect(s, mcq_endpoint_uri(h->house, h->house_at), NULL, NULL), 0);
  assert_int_equal(mcq_send_text(s, "go"), 0);
  until(h, h->closing);
}

static void a_thousand(int backend) {
  hall_t* h = &hall;
  fault_hang_lookups(true);
  open_hall(h, backend);
  let_in(h);
  speak_the_word(h);
  settle(h);
  expect_gone(h, false);
  h->now += LINGER - 1;
  settle(h);
  expect_gone(h, false);
  h->now += 1;
  settle(h);
  expect_gone(h, true);
  assert_true(fault_hanging() > 0); /* nobody waited for these */
  for (size_t i = 0; i < GUESTS; i++) expect_account(&h->guests[i]);
  close_hall(h);
}

/* -------------------------------------------------------------------------- */

static bool uring_is_here;

static void over_both(void (*play)(int backend)) {
  play(MCQ_BACKEND_UV);
  if (uring_is_here) play(MCQ_BACKEND_URING);
}

static void everybody_leaves(void** state) {
  (void) state;
  over_both(a_thousand);
}

/* Threads that hang would hold up the end of the program. */
static int let_go(void** state) {
  (void) state;
  fault_hang_lookups(false);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(everybody_leaves, let_go),
  };
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 4096) files.rlim_cur = 4096;
  if (files.rlim_cur > files.rlim_max) files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 3000) {
    printf("not enough descriptors: %lu\n", (unsigned long) files.rlim_cur);
    return 77;
  }
  uring_is_here = backend_is_here(MCQ_BACKEND_URING);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
