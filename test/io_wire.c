/* SPDX-License-Identifier: MIT */
/* One connection as its user sees it, over real loopback TCP, once for each
 * back end that this build and this kernel have. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/wire_rig.h"

/* More than any socket buffer of this machine holds. */
#define FLOOD (UINT64_C(64) << 20)

static enum mcq__backend_choice choice;

static void open_pair(rig_t* r, side_t* a, side_t* b) {
  rig_open(r, choice);
  assert_int_equal(rig_connect(r, a, b), 0);
}

static void close_pair(rig_t* r, side_t* a, side_t* b) {
  side_dispose(a);
  side_dispose(b);
  rig_close(r);
}

/* A socket of the test's own, connected to the listener. */
static int connect_raw(rig_t* r) {
  struct sockaddr_in to;
  memset(&to, 0, sizeof to);
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons((uint16_t) atoi(strrchr(r->listener.address, ':') + 1));
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (struct sockaddr*) &to, sizeof to), 0);
  return fd;
}

static int open_raw(rig_t* r, side_t* s) {
  rig_open(r, choice);
  side_init(s, r, "accepted");
  r->accepts = s;
  r->accepted = false;
  int fd = connect_raw(r);
  test_seat_until(&r->seat, &r->accepted);
  assert_int_equal(r->error, 0);
  return fd;
}

static void reset_raw(int fd) {
  struct linger now = {1, 0};
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  assert_int_equal(close(fd), 0);
}

/* ---- bytes --------------------------------------------------------------- */

static void bytes_go_both_ways(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(side_read(&b, true), 0);
  static const uint64_t sizes[] = {1, 2, 100, 4096, 65536, 300000, 5};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    b.to_get += sizes[i];
    a.to_get += sizes[i];
    a.all_got = b.all_got = false;
    side_send(&a, sizes[i]);
    side_send(&b, sizes[i]);
    test_seat_until(&r.seat, &b.all_got);
    test_seat_until(&r.seat, &a.all_got);
  }
  assert_true(a.all_sent && b.all_sent);
  close_pair(&r, &a, &b);
}

typedef struct pause {
  mcq__task_t task;
  side_t* side;
  unsigned stops;
} pause_t;

static void run_resume(mcq__task_t* task) {
  pause_t* p = mcq__container_of(task, pause_t, task);
  assert_int_equal(side_read(p->side, true), 0);
  if (test_random_below(&p->side->rig->random, 2) == 0)
    assert_int_equal(side_read(p->side, true), 0);
}

/* One time in four it stops, for a turn or only for a moment. */
static void stop_now_and_then(side_t* s) {
  pause_t* p = (pause_t*) s->more;
  size_t dice = test_random_below(&s->rig->random, 8);
  if (dice >= 2) return;
  p->stops++;
  assert_int_equal(side_read(s, false), 0);
  if (dice == 0)
    mcq__io_later(&s->rig->seat.io, &p->task);
  else
    assert_int_equal(side_read(s, true), 0);
}

static void a_long_stream_with_stops(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  pause_t p = {{{NULL, NULL}, run_resume}, &b, 0};
  b.more = &p;
  b.then_bytes = stop_now_and_then;
  b.to_get = FLOOD;
  assert_int_equal(side_read(&b, true), 0);
  side_send(&a, FLOOD);
  test_seat_until(&r.seat, &b.all_got);
  assert_true(p.stops > 10);
  mcq__io_cancel(&p.task);
  close_pair(&r, &a, &b);
}

static void both_flood_at_once(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  a.to_get = b.to_get = FLOOD / 4;
  side_send(&a, FLOOD / 4);
  side_send(&b, FLOOD / 4);
  while (a.waited == 0 || b.waited == 0) test_seat_turns(&r.seat, 1);
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(side_read(&b, true), 0);
  test_seat_until(&r.seat, &a.all_got);
  test_seat_until(&r.seat, &b.all_got);
  close_pair(&r, &a, &b);
}

/* Nothing comes while reading is off, and nothing is lost by it. */
static void what_came_meanwhile_is_kept(void** state) {
  (void) state;
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  assert_int_equal(send(fd, rig_text, 1000, 0), 1000);
  test_seat_turns(&r.seat, 10); /* the rig asserts that nothing is heard */
  assert_int_equal(side_read(&a, true), 0);
  a.to_get = 1000;
  test_seat_until(&r.seat, &a.all_got);
  assert_int_equal(side_read(&a, false), 0);
  assert_int_equal(side_read(&a, false), 0);
  assert_int_equal(send(fd, rig_text + 1000, 500, 0), 500);
  assert_int_equal(close(fd), 0);
  test_seat_turns(&r.seat, 10);
  assert_int_equal(a.got, 1000);
  assert_int_equal(side_read(&a, true), 0);
  a.to_get = 1500;
  test_seat_until(&r.seat, &a.ended);
  assert_true(a.all_got);
  assert_int_equal(a.end_code, UV_EOF);
  side_dispose(&a);
  rig_close(&r);
}

static void starting_and_stopping_at_once_reads_nothing(void** state) {
  (void) state;
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  assert_int_equal(send(fd, rig_text, 10, 0), 10);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(side_read(&a, true), 0);
    assert_int_equal(side_read(&a, false), 0);
    test_seat_turns(&r.seat, 3);
  }
  assert_int_equal(a.got, 0);
  a.to_get = 10;
  assert_int_equal(side_read(&a, true), 0);
  test_seat_until(&r.seat, &a.all_got);
  assert_int_equal(close(fd), 0);
  side_dispose(&a);
  rig_close(&r);
}

/* ---- windows of the user's own ------------------------------------------- */

static void own_windows(size_t size) {
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  b.wants = true;
  b.want_size = size;
  b.to_get = FLOOD / 16;
  assert_int_equal(side_read(&b, true), 0);
  side_send(&a, FLOOD / 16);
  test_seat_until(&r.seat, &b.all_got);
  if (choice == MCQ__BACKEND_UV) {
    assert_true(b.filled > 0);
    if (size != 0) assert_int_equal(b.filled, b.got);
    if (size == 0) assert_true(b.filled < b.got);
  }
  close_pair(&r, &a, &b);
}

static void bytes_go_where_they_are_wanted(void** state) {
  (void) state;
  own_windows(0);
  own_windows(3000000);
  own_windows(4093);
}

static void stop_reading_in_want(side_t* s) {
  assert_int_equal(side_read(s, false), 0);
  s->then_want = NULL;
}

static void stopping_when_asked_for_a_window(void** state) {
  (void) state;
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  a.then_want = stop_reading_in_want;
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(send(fd, rig_text, 10, 0), 10);
  if (choice != MCQ__BACKEND_UV) a.then_want = NULL; /* it may never ask */
  while (a.then_want != NULL) test_seat_turns(&r.seat, 1);
  test_seat_turns(&r.seat, 5);
  if (choice == MCQ__BACKEND_UV) assert_int_equal(a.got, 0);
  assert_int_equal(side_read(&a, true), 0);
  a.to_get = 10;
  if (a.got < 10) test_seat_until(&r.seat, &a.all_got);
  assert_int_equal(a.got, 10);
  assert_int_equal(close(fd), 0);
  side_dispose(&a);
  rig_close(&r);
}

static void close_in_want(side_t* s) {
  side_close(s);
}

static void closing_when_asked_for_a_window(void** state) {
  (void) state;
  if (choice != MCQ__BACKEND_UV) return; /* it may never ask */
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  a.then_want = close_in_want;
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(send(fd, rig_text, 10, 0), 10);
  test_seat_until(&r.seat, &a.closed);
  assert_int_equal(a.got, 0);
  assert_int_equal(close(fd), 0);
  side_dispose(&a);
  rig_close(&r);
}

/* ---- closing from callbacks ---------------------------------------------- */

static void close_me(side_t* s) {
  side_close(s);
}

static void close_me_after_write(side_t* s, ssize_t n) {
  (void) n;
  side_close(s);
}

static void closing_in_on_bytes(void** state) {
  (void) state;
  for (int own = 0; own < 2; own++) {
    rig_t r;
    side_t a, b;
    open_pair(&r, &a, &b);
    b.wants = own == 1;
    b.want_size = 4096;
    b.then_bytes = close_me;
    assert_int_equal(side_read(&a, true), 0);
    assert_int_equal(side_read(&b, true), 0);
    side_send(&a, FLOOD);
    test_seat_until(&r.seat, &b.closed);
    /* The sender hears of it one way or the other. */
    while (!a.ended && a.write_error == 0) test_seat_turns(&r.seat, 1);
    close_pair(&r, &a, &b);
  }
}

static void closing_in_on_wrote(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  a.then_wrote = close_me_after_write;
  side_send(&a, FLOOD);
  while (a.waited == 0) test_seat_turns(&r.seat, 1);
  assert_int_equal(side_read(&b, true), 0);
  test_seat_until(&r.seat, &a.closed);
  test_seat_until(&r.seat, &b.ended);
  assert_true(b.got >= a.sent);
  close_pair(&r, &a, &b);
}

static void closing_in_on_end(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  b.then_end = close_me;
  assert_int_equal(side_read(&b, true), 0);
  side_close(&a);
  test_seat_until(&r.seat, &b.closed);
  assert_int_equal(b.end_code, UV_EOF);
  test_seat_until(&r.seat, &a.closed);
  close_pair(&r, &a, &b);
}

static void stop_in_bytes(side_t* s) {
  assert_int_equal(side_read(s, false), 0);
}

static void stopping_in_on_bytes_stops(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  b.then_bytes = stop_in_bytes;
  side_send(&a, FLOOD / 8);
  b.to_get = FLOOD / 8;
  unsigned starts = 0;
  while (!b.all_got) {
    uint64_t before = b.got;
    assert_int_equal(side_read(&b, true), 0);
    starts++;
    while (b.got == before) test_seat_turns(&r.seat, 1);
    uint64_t after = b.got;
    test_seat_turns(&r.seat, 2);
    assert_int_equal(b.got, after);
  }
  assert_true(starts > 8);
  close_pair(&r, &a, &b);
}

/* ---- writes in flight ---------------------------------------------------- */

static void closing_with_a_write_in_flight(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  side_send(&a, FLOOD);
  while (a.waited == 0) test_seat_turns(&r.seat, 1);
  test_seat_turns(&r.seat, 5);
  assert_true(a.flight != 0 || a.stuck);
  side_close(&a); /* the rig asserts that on_wrote does not come */
  test_seat_until(&r.seat, &a.closed);
  assert_int_equal(side_read(&b, true), 0);
  test_seat_until(&r.seat, &b.ended);
  assert_true(b.got >= a.sent);
  close_pair(&r, &a, &b);
}

static void small_writes_are_in_order(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  assert_int_equal(side_read(&b, true), 0);
  a.most = 7;
  b.to_get = 20000;
  side_send(&a, 20000);
  test_seat_until(&r.seat, &b.all_got);
  close_pair(&r, &a, &b);
}

/* As many pieces as a chain may have, more than the kernel takes at once. */
static void many_pieces(void** state) {
  (void) state;
  enum { PIECES = 1500 };
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  static mcq__iov_t iov[PIECES];
  b.to_get = PIECES;
  assert_int_equal(side_read(&b, true), 0);
  size_t sent = 0;
  while (sent < PIECES) {
    for (size_t i = sent; i < PIECES; i++)
      iov[i] = (mcq__iov_t){&rig_text[i], 1};
    a.inside = true;
    ssize_t n = a.wire->backend->write(a.wire, iov + sent, PIECES - sent,
                                       PIECES - sent);
    a.inside = false;
    assert_true(n != UV_EAGAIN); /* there is room for all of them */
    if (n == MCQ__IN_FLIGHT) {
      a.flight = PIECES - sent;
      a.to_send = PIECES;
      a.sent = sent;
      mcq__io_cancel(&a.sender);
      uint64_t before = a.sent;
      while (a.flight != 0) test_seat_turns(&r.seat, 1);
      mcq__io_cancel(&a.sender);
      n = (ssize_t) (a.sent - before);
    }
    assert_true(n > 0);
    sent += (size_t) n;
  }
  a.sent = a.to_send = sent;
  test_seat_until(&r.seat, &b.all_got);
  close_pair(&r, &a, &b);
}

/* ---- half a connection --------------------------------------------------- */

static void our_end_may_come_first(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(side_read(&b, true), 0);
  side_send(&a, 1000);
  while (!a.all_sent) test_seat_turns(&r.seat, 1);
  a.wire->backend->shutdown(a.wire);
  b.to_get = 1000;
  test_seat_until(&r.seat, &b.ended);
  assert_int_equal(b.got, 1000);
  assert_int_equal(b.end_code, UV_EOF);
  assert_false(a.ended);
  /* The other direction still works, long after. */
  a.to_get = FLOOD / 16;
  side_send(&b, FLOOD / 16);
  test_seat_until(&r.seat, &a.all_got);
  assert_false(a.ended);
  side_close(&b);
  test_seat_until(&r.seat, &a.ended);
  assert_int_equal(a.end_code, UV_EOF);
  assert_int_equal(side_read(&a, true), 0); /* harmless, and says nothing */
  test_seat_turns(&r.seat, 5);
  close_pair(&r, &a, &b);
}

/* ---- peers that go away -------------------------------------------------- */

static void a_reset_ends_reading_once(void** state) {
  (void) state;
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  assert_int_equal(side_read(&a, true), 0);
  test_seat_turns(&r.seat, 2);
  reset_raw(fd);
  test_seat_until(&r.seat, &a.ended);
  assert_int_equal(a.end_code, UV_ECONNRESET);
  test_seat_turns(&r.seat, 5);
  side_dispose(&a);
  rig_close(&r);
}

static void a_reset_is_noticed_when_reading_begins(void** state) {
  (void) state;
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  test_seat_turns(&r.seat, 2);
  reset_raw(fd);
  test_seat_turns(&r.seat, 5);
  assert_int_equal(side_read(&a, true), 0);
  test_seat_until(&r.seat, &a.ended);
  assert_int_equal(a.end_code, UV_ECONNRESET);
  side_dispose(&a);
  rig_close(&r);
}

static void a_reset_ends_the_write_in_flight(void** state) {
  (void) state;
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  side_send(&a, FLOOD);
  while (a.waited == 0) test_seat_turns(&r.seat, 1);
  test_seat_turns(&r.seat, 3);
  reset_raw(fd);
  while (a.write_error == 0) test_seat_turns(&r.seat, 1);
  assert_true(a.write_error == UV_ECONNRESET || a.write_error == UV_EPIPE);
  side_dispose(&a);
  rig_close(&r);
}

/* When writing and reading fail of one cause, the user hears of it once. */
static void one_cause_is_told_once(void** state) {
  (void) state;
  rig_t r;
  side_t a;
  int fd = open_raw(&r, &a);
  side_send(&a, FLOOD);
  while (a.waited == 0) test_seat_turns(&r.seat, 1);
  test_seat_turns(&r.seat, 3);
  assert_int_equal(side_read(&a, true), 0);
  test_seat_turns(&r.seat, 3);
  reset_raw(fd);
  while (a.write_error == 0 && !a.ended) test_seat_turns(&r.seat, 1);
  bool ended = a.ended;
  test_seat_turns(&r.seat, 20);
  if (!ended) assert_false(a.ended);
  side_dispose(&a);
  rig_close(&r);
}

/* Writing to nobody raises a signal that kills the process, unless one takes
 * care; nobody in this program does. */
static void writing_to_nobody_is_an_error_and_no_more(void** state) {
  (void) state;
  for (int reading = 0; reading < 2; reading++) {
    rig_t r;
    side_t a;
    int fd = open_raw(&r, &a);
    if (reading) assert_int_equal(side_read(&a, true), 0);
    assert_int_equal(close(fd), 0);
    if (reading) test_seat_until(&r.seat, &a.ended);
    for (int i = 0; i < 1000 && a.write_error == 0; i++) {
      side_send(&a, 10);
      test_seat_turns(&r.seat, 2);
    }
    assert_true(a.write_error == UV_EPIPE || a.write_error == UV_ECONNRESET);
    /* And again, where the system now has no error but the signal. */
    a.write_error = 0;
    side_send(&a, 10);
    while (a.write_error == 0) test_seat_turns(&r.seat, 1);
    assert_int_equal(a.write_error, UV_EPIPE);
    side_dispose(&a);
    rig_close(&r);
  }
}

/* ---- many ---------------------------------------------------------------- */

static void two_hundred_at_once(void** state) {
  (void) state;
  enum { PAIRS = 100 };
  rig_t r;
  rig_open(&r, choice);
  side_t* a = (side_t*) calloc(PAIRS, sizeof *a);
  side_t* b = (side_t*) calloc(PAIRS, sizeof *b);
  assert_true(a != NULL && b != NULL);
  for (size_t i = 0; i < PAIRS; i++) {
    assert_int_equal(rig_connect(&r, &a[i], &b[i]), 0);
    assert_int_equal(side_read(&a[i], true), 0);
    assert_int_equal(side_read(&b[i], true), 0);
    a[i].to_get = b[i].to_get = 200000 + i;
  }
  for (size_t i = 0; i < PAIRS; i++) {
    side_send(&a[i], 200000 + i);
    side_send(&b[i], 200000 + i);
  }
  for (size_t i = 0; i < PAIRS; i++) {
    test_seat_until(&r.seat, &a[i].all_got);
    test_seat_until(&r.seat, &b[i].all_got);
  }
  for (size_t i = 0; i < PAIRS; i++) {
    side_close(&a[i]);
    side_close(&b[i]);
  }
  for (size_t i = 0; i < PAIRS; i++) {
    side_dispose(&a[i]);
    side_dispose(&b[i]);
  }
  free(a);
  free(b);
  rig_close(&r);
}

/* A flooding peer does not keep a quiet one from being heard. */
static void a_flood_leaves_room_for_others(void** state) {
  (void) state;
  rig_t r;
  side_t a, b, c, d;
  open_pair(&r, &a, &b);
  assert_int_equal(rig_connect(&r, &c, &d), 0);
  assert_int_equal(side_read(&b, true), 0);
  assert_int_equal(side_read(&d, true), 0);
  side_send(&a, UINT64_C(1) << 40);
  while (b.got < FLOOD / 32) test_seat_turns(&r.seat, 1);
  d.to_get = 10;
  side_send(&c, 10);
  test_seat_until(&r.seat, &d.all_got);
  side_dispose(&c);
  side_dispose(&d);
  close_pair(&r, &a, &b);
}

static void use_up_the_turn(side_t* s) {
  mcq__io_spend(&s->rig->seat.io, 0, MCQ__TURN_BYTES, 0);
}

/* Where one read is all a turn may take they stand in line, and everybody has a
 * share.  Polling need not tell of those that wait all the time. */
static void many_stand_in_line(void** state) {
  (void) state;
  enum { PAIRS = 24, EACH = 3000000 };
  rig_t r;
  rig_open(&r, choice);
  static side_t a[PAIRS];
  static side_t b[PAIRS];
  for (size_t i = 0; i < PAIRS; i++) {
    assert_int_equal(rig_connect(&r, &a[i], &b[i]), 0);
    b[i].to_get = EACH;
    b[i].then_bytes = use_up_the_turn;
    side_send(&a[i], EACH);
  }
  test_seat_turns(&r.seat, 20);
  for (size_t i = 0; i < PAIRS; i++)
    assert_int_equal(side_read(&b[i], true), 0);
  uint64_t polls = mcq__io_calls(&r.seat.io).polls;
  test_seat_turns(&r.seat, 3 * PAIRS);
  for (size_t i = 0; i < PAIRS; i++) assert_true(b[i].got > 0);
  if (choice == MCQ__BACKEND_UV)
    assert_true(mcq__io_calls(&r.seat.io).polls > polls + PAIRS / 2);
  for (size_t i = 0; i < PAIRS; i++) test_seat_until(&r.seat, &b[i].all_got);
  for (size_t i = 0; i < PAIRS; i++) {
    side_dispose(&a[i]);
    side_dispose(&b[i]);
  }
  rig_close(&r);
}

/* ---- what the kernel and the loop see ------------------------------------ */

static void a_quiet_connection_keeps_nothing_going(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(side_read(&b, true), 0);
  assert_int_equal(uv_run(&r.seat.loop, UV_RUN_DEFAULT), 0);
  side_send(&a, FLOOD); /* nor does one whose peer does not read */
  assert_int_equal(side_read(&b, false), 0);
  assert_int_equal(uv_run(&r.seat.loop, UV_RUN_DEFAULT), 0);
  close_pair(&r, &a, &b);
}

static void descriptors_are_set_up(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  unsigned connected = 0;
  for (int fd = 3; fd < 256; fd++) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0) continue;
    int domain = 0;
    socklen_t len = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 ||
        domain != AF_INET)
      continue;
    assert_true((flags & FD_CLOEXEC) != 0);
    if (getpeername(fd, (struct sockaddr*) &peer, &size) != 0) continue;
    int on = 0;
    len = sizeof on;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    connected++;
  }
  /* A back end may use descriptors the process does not see. */
  if (choice == MCQ__BACKEND_UV) assert_int_equal(connected, 2);
  close_pair(&r, &a, &b);
}

static void the_steady_state_allocates_nothing(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b);
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(side_read(&b, true), 0);
  size_t before = 0;
  for (int i = 0; i < 600; i++) {
    if (i == 100) before = atomic_load(&r.seat.pool.alloc.calls);
    uint64_t n = i % 10 == 0 ? 500000 : 100;
    b.to_get += n;
    b.all_got = false;
    side_send(&a, n);
    test_seat_until(&r.seat, &b.all_got);
  }
#ifndef MCQ_NO_POOL /* where every slab is an allocation by design */
  assert_int_equal(atomic_load(&r.seat.pool.alloc.calls), before);
#else
  (void) before;
#endif
  close_pair(&r, &a, &b);
}

/* ---- memory -------------------------------------------------------------- */

static int connect_and_talk(rig_t* r) {
  side_t a = {.rig = r};
  side_t b = {.rig = r};
  int rc = rig_listen(r);
  if (rc != 0) return rc;
  rc = rig_connect(r, &a, &b);
  if (rc == 0 && (a.wire == NULL || b.wire == NULL)) rc = r->error;
  if (rc == 0) {
    a.wants = true;
    b.wants = true;
    b.to_get = 300000;
    rc = side_read(&a, true);
    if (rc == 0) rc = side_read(&b, true);
    if (rc == 0) side_send(&a, 300000);
    while (rc == 0 && !b.all_got && !b.ended && a.write_error == 0)
      test_seat_turns(&r->seat, 1);
    if (b.ended) rc = b.end_code;
    if (a.write_error != 0) rc = a.write_error;
  }
  rig_unlisten(r); /* from here on nobody is accepted any more */
  side_dispose(&a);
  side_dispose(&b);
  return rc;
}

static int whole_life(test_alloc_t* ta, void* arg) {
  (void) arg;
  rig_t r;
  memset(&r, 0, sizeof r);
  r.random.state = 5;
  int rc = test_seat_open_on(&r.seat, ta, choice);
  if (rc != 0) return rc;
  rc = connect_and_talk(&r);
  test_seat_leave(&r.seat);
  return rc;
}

static void a_life_survives_every_failing_allocation(void** state) {
  (void) state;
  if (rig_text[0] == rig_text[1]) rig_make_text();
  test_alloc_sweep_real(whole_life, NULL);
}

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_go_both_ways),
      cmocka_unit_test(a_long_stream_with_stops),
      cmocka_unit_test(both_flood_at_once),
      cmocka_unit_test(what_came_meanwhile_is_kept),
      cmocka_unit_test(starting_and_stopping_at_once_reads_nothing),
      cmocka_unit_test(bytes_go_where_they_are_wanted),
      cmocka_unit_test(stopping_when_asked_for_a_window),
      cmocka_unit_test(closing_when_asked_for_a_window),
      cmocka_unit_test(closing_in_on_bytes),
      cmocka_unit_test(closing_in_on_wrote),
      cmocka_unit_test(closing_in_on_end),
      cmocka_unit_test(stopping_in_on_bytes_stops),
      cmocka_unit_test(closing_with_a_write_in_flight),
      cmocka_unit_test(small_writes_are_in_order),
      cmocka_unit_test(many_pieces),
      cmocka_unit_test(our_end_may_come_first),
      cmocka_unit_test(a_reset_ends_reading_once),
      cmocka_unit_test(a_reset_is_noticed_when_reading_begins),
      cmocka_unit_test(a_reset_ends_the_write_in_flight),
      cmocka_unit_test(one_cause_is_told_once),
      cmocka_unit_test(writing_to_nobody_is_an_error_and_no_more),
      cmocka_unit_test(two_hundred_at_once),
      cmocka_unit_test(a_flood_leaves_room_for_others),
      cmocka_unit_test(many_stand_in_line),
      cmocka_unit_test(a_quiet_connection_keeps_nothing_going),
      cmocka_unit_test(descriptors_are_set_up),
      cmocka_unit_test(the_steady_state_allocates_nothing),
      cmocka_unit_test(a_life_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Why the uring back end is not tested, or 0. */
static int cannot_uring(void) {
  test_seat_t t;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open(&t, MCQ__BACKEND_URING);
  if (rc == 0) test_seat_close(&t);
  return rc;
}

int main(void) {
  choice = MCQ__BACKEND_UV;
  int failed = run_all();
  int rc = cannot_uring();
  if (rc == 0) {
    printf("and again with uring\n");
    choice = MCQ__BACKEND_URING;
    failed += run_all();
  } else {
    printf("uring is not here: %s\n", uv_strerror(rc));
  }
  return failed;
}
