/* SPDX-License-Identifier: MIT */
/* Names that have several addresses, with a name server of the test's own:
 * each attempt asks anew, each address is tried, and one that does not answer
 * does not take the time of the others.  Under the test's clock, with real
 * sockets on addresses of the loopback. */
#include "io/dialer.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/io_seat.h"

/* ---- the name server ----------------------------------------------------- */

#define ADDRESSES 4

typedef struct answer {
  struct addrinfo info[ADDRESSES];
  struct sockaddr_in address[ADDRESSES];
} answer_t;

/* What it says: last bytes of 127.0.0.x, 0 at the end. */
static uint8_t says[ADDRESSES + 1];
static atomic_uint asked;

/* In place of the system's; called on a thread of libuv's, which the test
 * waits for. */
__attribute__((visibility("default"))) int getaddrinfo(
    const char* node, const char* service, const struct addrinfo* hints,
    struct addrinfo** out) {
  if (strcmp(node, "many.example") != 0) return EAI_NONAME;
  answer_t* a = (answer_t*) calloc(1, sizeof *a);
  if (a == NULL) return EAI_MEMORY;
  asked++;
  for (size_t i = 0; says[i] != 0; i++) {
    struct sockaddr_in* to = &a->address[i];
    to->sin_family = AF_INET;
    to->sin_port = htons((uint16_t) atoi(service));
    to->sin_addr.s_addr = htonl(0x7f000000u | says[i]);
    a->info[i].ai_family = AF_INET;
    a->info[i].ai_socktype = hints->ai_socktype;
    a->info[i].ai_addr = (struct sockaddr*) to;
    a->info[i].ai_addrlen = sizeof *to;
    if (says[i + 1] != 0) a->info[i].ai_next = &a->info[i + 1];
  }
  *out = a->info;
  return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(
    struct addrinfo* info) {
  free(mcq__container_of(info, answer_t, info));
}

static void name_server_says(const uint8_t* bytes, size_t count) {
  memset(says, 0, sizeof says);
  memcpy(says, bytes, count);
}

/* ---- who is there -------------------------------------------------------- */

typedef struct house {
  int fd;
  int guests[8]; /* who fill it up */
} house_t;

/* Listens at 127.0.0.`last`, at `port` or, when 0, at any. */
static uint16_t build(house_t* h, uint8_t last, uint16_t port, int backlog) {
  struct sockaddr_in a;
  socklen_t size = sizeof a;
  memset(&a, 0, sizeof a);
  memset(h->guests, 0xff, sizeof h->guests);
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(0x7f000000u | last);
  a.sin_port = htons(port);
  h->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  assert_true(h->fd >= 0);
  if (bind(h->fd, (struct sockaddr*) &a, sizeof a) != 0) {
    assert_int_equal(errno, EADDRINUSE);
    close(h->fd);
    return 0; /* somebody else has it there */
  }
  assert_int_equal(listen(h->fd, backlog), 0);
  assert_int_equal(getsockname(h->fd, (struct sockaddr*) &a, &size), 0);
  return ntohs(a.sin_port);
}

/* Nobody who comes now is let in, or told so. */
static void fill(house_t* h) {
  struct sockaddr_in a;
  socklen_t size = sizeof a;
  assert_int_equal(getsockname(h->fd, (struct sockaddr*) &a, &size), 0);
  for (int i = 0; i < 8; i++) {
    h->guests[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void) connect(h->guests[i], (struct sockaddr*) &a, sizeof a);
  }
}

static void leave(house_t* h) {
  for (int i = 0; i < 8; i++)
    if (h->guests[i] >= 0) close(h->guests[i]);
  close(h->fd);
}

/* ---- the dialer ---------------------------------------------------------- */

typedef struct caller {
  mcq__dialer_t dialer;
  mcq__dialer_config_t config;
  test_seat_t seat;
  unsigned dialings, streams, failures;
  int code;
  char address[MCQ__ENDPOINT_MAX];
  bool moved, closed;
} caller_t;

static void on_dialing(mcq__dialer_t* d) {
  mcq__container_of(d, caller_t, dialer)->dialings++;
}

static void on_stream(mcq__dialer_t* d, void* stream, const char* address) {
  caller_t* c = mcq__container_of(d, caller_t, dialer);
  c->streams++;
  c->moved = true;
  snprintf(c->address, sizeof c->address, "%s", address);
  d->transport->discard(d->io, stream);
}

static void on_failed(mcq__dialer_t* d, int code) {
  caller_t* c = mcq__container_of(d, caller_t, dialer);
  c->failures++;
  c->code = code;
  c->moved = true;
}

static void on_retry(mcq__dialer_t* d, uint64_t ms) {
  (void) d;
  (void) ms;
}

static void on_closed(mcq__dialer_t* d) {
  mcq__container_of(d, caller_t, dialer)->closed = true;
}

static const mcq__dialer_events_t events = {.on_dialing = on_dialing,
                                            .on_stream = on_stream,
                                            .on_failed = on_failed,
                                            .on_retry = on_retry,
                                            .on_closed = on_closed};

static void call(caller_t* c, uint16_t port, uint64_t connect_ms) {
  mcq__endpoint_t to;
  char uri[64];
  memset(c, 0, sizeof *c);
  c->config = (mcq__dialer_config_t){
      .retry_ms = 100, .retry_max_ms = 100, .connect_ms = connect_ms};
  test_seat_use_clock(&c->seat);
  assert_int_equal(test_seat_open(&c->seat, MCQ__BACKEND_UV), 0);
  snprintf(uri, sizeof uri, "tcp://many.example:%u", port);
  assert_int_equal(mcq__endpoint_parse(&to, uri), 0);
  assert_int_equal(
      mcq__dialer_open(&c->dialer, &c->seat.io, &to, &c->config, &events), 0);
}

static void next_event(caller_t* c) {
  c->moved = false;
  test_seat_until(&c->seat, &c->moved);
}

/* Until the name was looked up and the first address is being tried. */
static void begin_first(caller_t* c, unsigned times) {
  while (asked < times) test_seat_turns(&c->seat, 1);
  while (c->seat.loop.active_reqs.count != 0) test_seat_turns(&c->seat, 1);
  test_seat_turns(&c->seat, 2);
}

static void hang_up(caller_t* c) {
  mcq__dialer_close(&c->dialer);
  test_seat_until(&c->seat, &c->closed);
  assert_int_equal(c->seat.io.turn.timers.count, 0);
  assert_int_equal(c->seat.io.turn.timers.known, 1); /* the seat's own */
  test_seat_close(&c->seat);
}

/* Two houses at one port; false when that cannot be had. */
static uint16_t build_two(house_t* a, house_t* b, int backlog) {
  for (int i = 0; i < 20; i++) {
    uint16_t port = build(a, 2, 0, backlog);
    if (build(b, 3, port, 8) != 0) return port;
    leave(a);
  }
  fail();
  return 0;
}

/* ---- tests --------------------------------------------------------------- */

static void every_address_is_tried(void** state) {
  (void) state;
  static const uint8_t all[] = {5, 4, 3};
  caller_t c;
  house_t h;
  uint16_t port = build(&h, 3, 0, 8);
  asked = 0;
  name_server_says(all, sizeof all);
  call(&c, port, 10000);
  next_event(&c);
  assert_int_equal(c.streams, 1);
  assert_int_equal(c.dialings, 1);
  assert_non_null(strstr(c.address, "127.0.0.3"));
  hang_up(&c);
  leave(&h);
}

static void when_none_answers_it_failed(void** state) {
  (void) state;
  static const uint8_t all[] = {5, 4, 6, 7};
  caller_t c;
  house_t h;
  uint16_t port = build(&h, 3, 0, 8);
  name_server_says(all, sizeof all);
  call(&c, port, 10000);
  next_event(&c);
  assert_int_equal(c.failures, 1);
  assert_int_equal(c.code, UV_ECONNREFUSED);
  hang_up(&c);
  leave(&h);
}

/* A server that has moved is found where it is now. */
static void each_attempt_asks_anew(void** state) {
  (void) state;
  static const uint8_t before[] = {5};
  static const uint8_t after[] = {3};
  caller_t c;
  house_t h;
  uint16_t port = build(&h, 3, 0, 8);
  asked = 0;
  name_server_says(before, sizeof before);
  call(&c, port, 10000);
  for (unsigned i = 1; i <= 3; i++) {
    next_event(&c);
    assert_int_equal(c.failures, i);
    assert_int_equal(asked, i);
    if (i == 3) name_server_says(after, sizeof after);
    c.seat.now += 100;
  }
  next_event(&c);
  assert_int_equal(asked, 4);
  assert_int_equal(c.streams, 1);
  hang_up(&c);
  leave(&h);
}

/* The first of two does not answer: half of the time is the other's. */
static void one_that_does_not_answer_has_its_share(void** state) {
  (void) state;
  static const uint8_t all[] = {2, 3};
  caller_t c;
  house_t full;
  house_t good;
  uint16_t port = build_two(&full, &good, 0);
  fill(&full);
  asked = 0;
  name_server_says(all, sizeof all);
  call(&c, port, 1000);
  begin_first(&c, 1);
  c.seat.now += 499;
  test_seat_turns(&c.seat, 5);
  assert_int_equal(c.streams + c.failures, 0);
  c.seat.now += 1;
  next_event(&c);
  assert_int_equal(c.streams, 1);
  assert_int_equal(c.failures, 0);
  assert_non_null(strstr(c.address, "127.0.0.3"));
  hang_up(&c);
  leave(&full);
  leave(&good);
}

/* The limit is that of all of them. */
static void together_they_have_no_more(void** state) {
  (void) state;
  static const uint8_t all[] = {2, 2, 2, 2};
  caller_t c;
  house_t full;
  uint16_t port = build(&full, 2, 0, 0);
  fill(&full);
  asked = 0;
  name_server_says(all, sizeof all);
  call(&c, port, 1000);
  begin_first(&c, 1);
  for (int i = 0; i < 3; i++) {
    c.seat.now += 250;
    test_seat_turns(&c.seat, 5);
    assert_int_equal(c.failures, 0);
  }
  c.seat.now += 249;
  test_seat_turns(&c.seat, 5);
  assert_int_equal(c.failures, 0);
  c.seat.now += 1;
  next_event(&c);
  assert_int_equal(c.failures, 1);
  assert_int_equal(c.code, MCQ_ETIMEDOUT);
  hang_up(&c);
  leave(&full);
}

static void without_a_limit_there_are_no_shares(void** state) {
  (void) state;
  static const uint8_t all[] = {2, 3};
  caller_t c;
  house_t full;
  house_t good;
  uint16_t port = build_two(&full, &good, 0);
  fill(&full);
  asked = 0;
  name_server_says(all, sizeof all);
  call(&c, port, MCQ__NEVER);
  begin_first(&c, 1);
  c.seat.now += 1000000;
  test_seat_turns(&c.seat, 5);
  assert_int_equal(c.streams + c.failures, 0);
  hang_up(&c);
  leave(&full);
  leave(&good);
}

/* Whenever that is: also in the moment one address is left for the next. */
static void closing_at_any_moment(void** state) {
  (void) state;
  static const uint8_t all[] = {2, 2, 3};
  for (int turns = 0; turns < 8; turns++) {
    caller_t c;
    house_t full;
    house_t good;
    uint16_t port = build_two(&full, &good, 0);
    fill(&full);
    asked = 0;
    name_server_says(all, sizeof all);
    call(&c, port, 900);
    begin_first(&c, 1);
    c.seat.now += 300;
    test_seat_turns(&c.seat, turns);
    c.seat.now += turns % 2 ? 300 : 0;
    test_seat_turns(&c.seat, turns / 2);
    hang_up(&c);
    leave(&full);
    leave(&good);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_address_is_tried),
      cmocka_unit_test(when_none_answers_it_failed),
      cmocka_unit_test(each_attempt_asks_anew),
      cmocka_unit_test(one_that_does_not_answer_has_its_share),
      cmocka_unit_test(together_they_have_no_more),
      cmocka_unit_test(without_a_limit_there_are_no_shares),
      cmocka_unit_test(closing_at_any_moment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
