/* SPDX-License-Identifier: MIT */
/* Listening: the addresses it can have, errors that are known at once, and
 * accepting when there are no descriptors or no memory left. */
#include "io/listener.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/address.h"
#include "io/tcp.h"
#include "support/io_seat.h"

typedef struct stand {
  mcq__listener_t listener;
  test_seat_t* seat;
  bool inside;          /* one of the test's own calls: nothing may come */
  unsigned close_after; /* streams; 0: never */
  unsigned streams;
  unsigned errors;
  int error;
  char address[MCQ__ENDPOINT_MAX]; /* of the last one */
  bool heard;
  bool closed;
} stand_t;

static void on_stream(mcq__listener_t* l, void* stream, const char* address) {
  stand_t* s = (stand_t*) l->user;
  assert_false(s->inside);
  assert_false(l->closing);
  assert_true(strlen(address) < sizeof s->address);
  strcpy(s->address, address);
  s->heard = true;
  s->streams++;
  l->transport->discard(l->io, stream);
  if (s->streams == s->close_after) mcq__listener_close(l);
}

static void on_error(mcq__listener_t* l, int code) {
  stand_t* s = (stand_t*) l->user;
  assert_false(s->inside);
  assert_false(l->closing);
  s->errors++;
  s->error = code;
  s->heard = true;
}

static void on_closed(mcq__listener_t* l) {
  stand_t* s = (stand_t*) l->user;
  assert_false(s->inside);
  assert_false(s->closed);
  s->closed = true;
  memset(l, 0xdd, sizeof *l); /* it is the caller's again */
}

static const mcq__listener_events_t events = {
    .on_stream = on_stream, .on_error = on_error, .on_closed = on_closed};

static int open_stand(stand_t* s, test_seat_t* t, const char* uri) {
  mcq__endpoint_t endpoint;
  memset(s, 0, sizeof *s);
  s->seat = t;
  s->listener.user = s;
  assert_int_equal(mcq__endpoint_parse(&endpoint, uri), 0);
  s->inside = true;
  int rc = mcq__listener_open(&s->listener, &t->io, &endpoint, 128, &events);
  s->inside = false;
  return rc;
}

static void close_stand(stand_t* s) {
  if (!s->closed) {
    s->inside = true;
    mcq__listener_close(&s->listener);
    mcq__listener_close(&s->listener);
    s->inside = false;
    test_seat_until(s->seat, &s->closed);
  }
}

static void next(stand_t* s) {
  s->heard = false;
  test_seat_until(s->seat, &s->heard);
}

static void open_seat(test_seat_t* t) {
  memset(t, 0, sizeof *t);
  assert_int_equal(test_seat_open(t, MCQ__BACKEND_UV), 0);
}

static uint16_t port_of(const char* address) {
  return (uint16_t) atoi(strrchr(address, ':') + 1);
}

/* A socket of the test's own, or -1 when the system has no such address. */
static int connect_to(const char* host, uint16_t port) {
  mcq__address_t a;
  assert_int_equal(mcq__address_numeric(&a, host, port), 0);
  int fd = socket(a.any.sa_family, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  if (connect(fd, &a.any, mcq__address_size(&a)) == 0) return fd;
  close(fd);
  return -1;
}

static void expect_own_address(const stand_t* s, int fd) {
  mcq__address_t a;
  socklen_t size = sizeof a;
  char text[MCQ__ENDPOINT_MAX];
  assert_int_equal(getsockname(fd, &a.any, &size), 0);
  mcq__address_text(&a, text);
  assert_string_equal(s->address, text);
}

static bool have_v6(void) {
  mcq__address_t a;
  assert_int_equal(mcq__address_numeric(&a, "::1", 0), 0);
  int fd = socket(AF_INET6, SOCK_STREAM, 0);
  bool good = fd >= 0 && bind(fd, &a.any, sizeof a.v6) == 0;
  if (fd >= 0) close(fd);
  return good;
}

/* ---- addresses ----------------------------------------------------------- */

static void reach(const char* uri, const char* prefix, const char* host) {
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, uri), 0);
  if (strncmp(s.listener.address, prefix, strlen(prefix)) != 0)
    fail_msg("%s is %s", uri, s.listener.address);
  uint16_t port = port_of(s.listener.address);
  assert_int_not_equal(port, 0);
  int fd = connect_to(host, port);
  assert_true(fd >= 0);
  next(&s);
  assert_int_equal(s.streams, 1);
  expect_own_address(&s, fd);
  /* It was thrown away, and the other side sees that. */
  char byte;
  test_seat_turns(&t, 2);
  assert_int_equal(recv(fd, &byte, 1, 0), 0);
  close(fd);
  close_stand(&s);
  test_seat_close(&t);
}

static void each_kind_of_host(void** state) {
  (void) state;
  reach("tcp://127.0.0.1:0", "tcp://127.0.0.1:", "127.0.0.1");
  reach("tcp://127.0.0.1:*", "tcp://127.0.0.1:", "127.0.0.1");
  reach("tcp://localhost:*", "tcp://127.0.0.1:", "127.0.0.1");
  reach("tcp://lo:*", "tcp://127.0.0.1:", "127.0.0.1");
  reach("tcp://0.0.0.0:*", "tcp://0.0.0.0:", "127.0.0.1");
  reach("tcp://*:*", "tcp://", "127.0.0.1");
}

static void both_families_at_once(void** state) {
  (void) state;
  if (!have_v6()) {
    printf("no IPv6 here\n");
    skip();
  }
  reach("tcp://[::1]:*", "tcp://[::1]:", "::1");
  reach("tcp://[::]:*", "tcp://[::]:", "::1");
  reach("tcp://*:*", "tcp://[::]:", "::1");
  reach("tcp://*:*", "tcp://[::]:", "127.0.0.1");
}

static void errors_come_at_once(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  stand_t other;
  char uri[64];
  open_seat(&t);
  assert_int_equal(open_stand(&other, &t, "nosuch://x"), MCQ_ENOTSUP);
  assert_int_equal(open_stand(&other, &t, "tcp://nosuch0:*"), UV_ENODEV);
  assert_int_equal(open_stand(&other, &t, "tcp://192.0.2.1:*"),
                   UV_EADDRNOTAVAIL);
  assert_int_equal(open_stand(&other, &t, "tcp://[fe80::1%nosuch0]:*"),
                   UV_ENODEV);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:0"), 0);
  unsigned port = port_of(s.listener.address);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%u", port);
  assert_string_equal(uri, s.listener.address);
  assert_int_equal(open_stand(&other, &t, uri), MCQ_EADDRINUSE);
  snprintf(uri, sizeof uri, "tcp://*:%u", port);
  assert_int_equal(open_stand(&other, &t, uri), MCQ_EADDRINUSE);
  close_stand(&s);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%u", port);
  assert_int_equal(open_stand(&other, &t, uri), 0); /* it is free again */
  close_stand(&other);
  test_seat_close(&t);
}

static void a_listener_keeps_nothing_going(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:0"), 0);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  close_stand(&s);
  test_seat_close(&t);
}

/* ---- accepting ----------------------------------------------------------- */

static void a_crowd(void** state) {
  (void) state;
  enum { CROWD = 100 };
  test_seat_t t;
  stand_t s;
  int fds[CROWD];
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:0"), 0);
  uint16_t port = port_of(s.listener.address);
  for (int i = 0; i < CROWD; i++) fds[i] = connect_to("127.0.0.1", port);
  test_seat_turns(&t, 1);
  assert_in_range(s.streams, 1, CROWD - 1); /* others had their turn */
  while (s.streams < CROWD) next(&s);
  for (int i = 0; i < CROWD; i++) close(fds[i]);
  close_stand(&s);
  test_seat_close(&t);
}

static void closing_in_the_middle_of_a_crowd(void** state) {
  (void) state;
  enum { CROWD = 10 };
  test_seat_t t;
  stand_t s;
  int fds[CROWD];
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:0"), 0);
  uint16_t port = port_of(s.listener.address);
  s.close_after = 3;
  for (int i = 0; i < CROWD; i++) fds[i] = connect_to("127.0.0.1", port);
  test_seat_until(&t, &s.closed);
  assert_int_equal(s.streams, 3);
  for (int i = 0; i < CROWD; i++) close(fds[i]);
  test_seat_close(&t);
}

/* ---- running out --------------------------------------------------------- */

static struct rlimit limit_descriptors(int most) {
  struct rlimit old;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  struct rlimit now = {(rlim_t) most, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
  return old;
}

static void descriptors_run_out(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  memset(&t, 0, sizeof t);
  test_seat_use_clock(&t);
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_UV), 0);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:0"), 0);
  test_seat_turns(&t, 1);
  int fd = connect_to("127.0.0.1", port_of(s.listener.address));
  assert_true(fd >= 0);
  int lowest = dup(fd); /* every descriptor below is taken */
  close(lowest);
  struct rlimit old = limit_descriptors(lowest);
  next(&s);
  assert_int_equal(s.errors, 1);
  assert_int_equal(s.error, UV_EMFILE);
  /* It is not said again and again, and the loop does not spin on it. */
  test_seat_turns(&t, 10);
  assert_int_equal(s.errors, 1);
  for (int i = 0; i < 9; i++) {
    t.now += 100;
    test_seat_turns(&t, 3);
  }
  assert_int_equal(s.errors, 1);
  t.now += 100;
  test_seat_turns(&t, 3);
  assert_int_equal(s.errors, 2);
  assert_int_equal(s.streams, 0);
  /* The connection was kept, and comes as soon as there is room. */
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  t.now += 100;
  next(&s);
  assert_int_equal(s.streams, 1);
  assert_int_equal(s.errors, 2);
  expect_own_address(&s, fd);
  close(fd);
  close_stand(&s);
  test_seat_close(&t);
}

static void closing_while_descriptors_are_short(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  memset(&t, 0, sizeof t);
  test_seat_use_clock(&t);
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_UV), 0);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:0"), 0);
  test_seat_turns(&t, 1);
  int fd = connect_to("127.0.0.1", port_of(s.listener.address));
  int lowest = dup(fd);
  close(lowest);
  struct rlimit old = limit_descriptors(lowest);
  next(&s);
  assert_int_equal(s.errors, 1);
  close_stand(&s);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  assert_int_equal(t.io.turn.timers.count, 0);
  close(fd);
  test_seat_close(&t);
}

/* What a stranger costs is for the socket above to say. */
static void accepting_takes_no_memory(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:0"), 0);
  int fd = connect_to("127.0.0.1", port_of(s.listener.address));
  test_alloc_fail_next(&t.pool.alloc, true);
  next(&s);
  assert_int_equal(s.streams, 1);
  assert_int_equal(s.errors, 0);
  t.pool.alloc.fail_at = 0;
  close(fd);
  close_stand(&s);
  test_seat_close(&t);
}

static int listen_once(test_alloc_t* ta, void* arg) {
  test_seat_t t;
  stand_t s;
  (void) arg;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open_on(&t, ta, MCQ__BACKEND_UV);
  if (rc != 0) return rc;
  rc = open_stand(&s, &t, "tcp://127.0.0.1:0");
  if (rc == 0) {
    int fd = connect_to("127.0.0.1", port_of(s.listener.address));
    next(&s);
    if (s.streams == 0) rc = s.error;
    close(fd);
    close_stand(&s);
  }
  test_seat_leave(&t);
  return rc;
}

static void listening_survives_every_failing_allocation(void** state) {
  (void) state;
  test_alloc_sweep(listen_once, NULL);
}

/* ---- any transport ------------------------------------------------------- */

static unsigned discarded;

static int fake_listen(mcq__listener_t* l) {
  strcpy(l->address, "fake://here");
  return 0;
}

static void fake_run_closed(mcq__task_t* task) {
  mcq__listener_t* l = mcq__container_of(task, mcq__listener_t, closed);
  mcq__listener_stream(l, l, "fake://late");
  mcq__listener_error(l, UV_EMFILE);
  mcq__listener_closed(l);
}

static void fake_unlisten(mcq__listener_t* l) {
  l->closed.run = fake_run_closed;
  mcq__io_work(l->io, &l->closed);
}

static void fake_discard(mcq__io_t* io, void* stream) {
  (void) io;
  (void) stream;
  discarded++;
}

static const mcq__transport_t fake = {.scheme = "fake",
                                      .listen = fake_listen,
                                      .unlisten = fake_unlisten,
                                      .discard = fake_discard};

/* A transport may be late: what it brings after the close is thrown away. */
static void nothing_is_heard_after_closing(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  memset(&t, 0, sizeof t);
  t.seams.transport = &fake;
  discarded = 0;
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_UV), 0);
  assert_int_equal(open_stand(&s, &t, "fake://x"), 0);
  assert_string_equal(s.listener.address, "fake://here");
  close_stand(&s);
  assert_int_equal(s.streams, 0);
  assert_int_equal(s.errors, 0);
  assert_int_equal(discarded, 1);
  test_seat_close(&t);
}

/* ---- connections --------------------------------------------------------- */

/* One that listens, and where. */
static int open_loopback(struct sockaddr_in* at) {
  socklen_t size = sizeof *at;
  int door = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(door >= 0);
  memset(at, 0, sizeof *at);
  at->sin_family = AF_INET;
  at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(bind(door, (struct sockaddr*) at, sizeof *at), 0);
  assert_int_equal(listen(door, 1), 0);
  assert_int_equal(getsockname(door, (struct sockaddr*) at, &size), 0);
  return door;
}

/* A connected socket whose congestion control was `before`: its name after it
 * was made a stream.  False: this system has no such algorithm. */
static bool algorithm_after(const char* before, char after[16]) {
  struct sockaddr_in a;
  socklen_t size = 16;
  int door = open_loopback(&a);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  bool known = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, before,
                          (socklen_t) strlen(before)) == 0;
  assert_int_equal(connect(fd, (struct sockaddr*) &a, sizeof a), 0);
  (void) mcq__stream_open(&mcq__tcp_family, fd);
  memset(after, 0, 16);
  assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, after, &size),
                   0);
  close(fd);
  close(door);
  return known;
}

/* Within the machine nothing waits for a line that is not there; what does not
 * make it wait stays as the system has it. */
static void nothing_is_spaced_out_within_the_machine(void** state) {
  (void) state;
  char name[16];
  assert_true(algorithm_after("reno", name));
  assert_string_equal(name, "reno");
  if (algorithm_after("cubic", name)) assert_string_equal(name, "cubic");
  (void) algorithm_after("bbr", name);
  assert_true(strncmp(name, "bbr", 3) != 0);
}

/* The algorithm of a socket that is about to connect to `host`, or to listen
 * there, which had BBR before.  False: this system has none. */
static bool algorithm_towards(const char* host, char name[16]) {
  mcq__address_t to;
  socklen_t size = 16;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(mcq__address_numeric(&to, host, 5555), 0);
  bool known = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3) == 0;
  mcq__tcp_family.begin(fd, &to.any);
  memset(name, 0, 16);
  assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size), 0);
  close(fd);
  return known;
}

/* What once was spaced out goes on being that, so it must not begin. */
static void it_is_not_spaced_out_to_begin_with(void** state) {
  (void) state;
  char name[16];
  (void) algorithm_towards("127.0.0.1", name);
  assert_true(strncmp(name, "bbr", 3) != 0);
  (void) algorithm_towards("127.3.2.1", name);
  assert_true(strncmp(name, "bbr", 3) != 0);
  if (algorithm_towards("192.0.2.1", name)) assert_string_equal(name, "bbr");
}

/* Where BBR is the system's own: who comes has what his door has. */
static void nor_is_who_comes(void** state) {
  (void) state;
  test_seat_t t = {0};
  stand_t s;
  char name[16] = "";
  socklen_t size = sizeof name;
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_UV), 0);
  assert_int_equal(open_stand(&s, &t, "tcp://127.0.0.1:*"), 0);
  int door = ((const mcq__door_t*) s.listener.impl)->fd;
  assert_int_equal(getsockopt(door, IPPROTO_TCP, TCP_CONGESTION, name, &size),
                   0);
  assert_true(strncmp(name, "bbr", 3) != 0);
  close_stand(&s);
  test_seat_close(&t);
}

typedef struct trial {
  mcq__connect_t connect;
  int done;
} trial_t;

static int begun;

static void begin_trial(int fd, const struct sockaddr* at) {
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  assert_int_equal(at->sa_family, AF_INET);
  assert_int_equal(getpeername(fd, (struct sockaddr*) &peer, &size), -1);
  assert_int_equal(errno, ENOTCONN);
  begun = fd;
}

static void on_trial(mcq__connect_t* c, int fd) {
  mcq__container_of(c, trial_t, connect)->done = fd;
}

static void it_is_set_up_before_it_connects(void** state) {
  (void) state;
  static const mcq__family_t family = {.begin = begin_trial};
  test_seat_t t = {0};
  trial_t trial = {.done = -1};
  struct sockaddr_in a;
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_UV), 0);
  int door = open_loopback(&a);
  trial.connect.io = &t.io;
  trial.connect.family = &family;
  trial.connect.done = on_trial;
  begun = -1;
  assert_int_equal(
      mcq__connect_start(&trial.connect, (struct sockaddr*) &a, sizeof a), 0);
  while (trial.done == -1) test_seat_turns(&t, 1);
  assert_int_equal(trial.done, begun);
  close(trial.done);
  close(door);
  test_seat_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_kind_of_host),
      cmocka_unit_test(both_families_at_once),
      cmocka_unit_test(errors_come_at_once),
      cmocka_unit_test(a_listener_keeps_nothing_going),
      cmocka_unit_test(a_crowd),
      cmocka_unit_test(closing_in_the_middle_of_a_crowd),
      cmocka_unit_test(descriptors_run_out),
      cmocka_unit_test(closing_while_descriptors_are_short),
      cmocka_unit_test(accepting_takes_no_memory),
      cmocka_unit_test(listening_survives_every_failing_allocation),
      cmocka_unit_test(nothing_is_heard_after_closing),
      cmocka_unit_test(nothing_is_spaced_out_within_the_machine),
      cmocka_unit_test(it_is_not_spaced_out_to_begin_with),
      cmocka_unit_test(nor_is_who_comes),
      cmocka_unit_test(it_is_set_up_before_it_connects),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
