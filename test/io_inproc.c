/* SPDX-License-Identifier: MIT */
/* Connections inside the process: who meets whom, bytes handed on by
 * reference, how much may wait, and every order in which two ends can go.
 * Played in a seat of each back end, which has no part in it, and between two
 * seats, which must be the same but for how much waits. */
#include "io/inproc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/dialer.h"
#include "io/listener.h"
#include "io/space.h"
#include "support/io_seat.h"

#define KIB ((size_t) 1024)
#define MIB (KIB * KIB)

/* From here on a peer takes no more: what the pump promises. */
#define BOUND (256 * KIB)

/* Slices one end reads before others have their turn. */
#define READS 16

static enum mcq__backend_choice choice;

/* Where the listening side sits when it is not the same seat: in a seat of its
 * own that shares the names, in the same loop so that a turn is one of both. */
static bool far;
static mcq__io_t yonder;
static mcq_inproc_t* space;

static mcq__io_t* over_there(test_seat_t* t) {
  return far ? &yonder : &t->io;
}

/* There a peer takes no more from here on, and as much again may be taken and
 * not yet read. */
#define LANE (128 * KIB)

/* Any piece of what a side sends lies in here: text[i] is i mod a prime. */
#define TEXT_PERIOD ((size_t) 251)
static uint8_t text[MIB + TEXT_PERIOD];

static void on_yonder_left(mcq__io_t* io) {
  io->loop = NULL;
}

static void close_yonder(test_seat_t* t) {
  if (yonder.backend != NULL) mcq__io_close(&yonder);
  while (yonder.loop != NULL) (void) uv_run(&t->loop, UV_RUN_ONCE);
}

static int open_yonder(test_seat_t* t) {
  memset(&yonder, 0, sizeof yonder);
  yonder.user = t;
  yonder.on_left = on_yonder_left;
  yonder.space = space;
  int rc = mcq__io_open(&yonder, &t->loop, t->pool.pool, choice, &t->seams);
  if (rc == 0) return 0;
  close_yonder(t);
  test_seat_leave(t);
  return rc;
}

/* On memory from `ta`.  0, or an error, and then nothing is left. */
static int try_seat(test_seat_t* t, test_alloc_t* ta) {
  memset(t, 0, sizeof *t);
  test_seat_use_clock(t);
  if (!far) return test_seat_open_on(t, ta, choice);
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  int rc = mcq__space_new(&allocator, &space);
  if (rc != 0) return rc;
  t->io.space = space;
  rc = test_seat_open_on(t, ta, choice);
  if (rc == 0) rc = open_yonder(t);
  if (rc != 0) mcq__space_release(space);
  return rc;
}

static test_alloc_t memory;

static void open_seat(test_seat_t* t) {
  test_alloc_init(&memory);
  assert_int_equal(try_seat(t, &memory), 0);
}

static void leave_seat(test_seat_t* t) {
  if (far) close_yonder(t);
  test_seat_leave(t);
  if (far) mcq__space_release(space);
}

static void close_seat(test_seat_t* t) {
  leave_seat(t);
  assert_int_equal(atomic_load(&memory.live), 0);
}

/* ---- one end ------------------------------------------------------------- */

typedef struct side side_t;
struct side {
  test_seat_t* seat;
  mcq__io_t* io;
  void* stream; /* not adopted yet */
  mcq__wire_t* wire;
  side_t* other;
  uint64_t sent;
  uint64_t got;
  unsigned slices; /* of which that came */
  bool reading;
  bool inside; /* a call of the test's own: nothing may come */
  bool refused;
  unsigned wakes;
  uint64_t other_got; /* at the last one */
  unsigned ends;      /* that were told, one way or the other */
  int end_code;
  int write_error;
  bool asked_to_close;
  bool closed;
  const uint8_t* last; /* where the last bytes lay */
  void (*then_bytes)(side_t* s);
  void (*then_wrote)(side_t* s);
  void (*then_end)(side_t* s);
  void (*then_closed)(side_t* s);
};

static side_t* heard(mcq__wire_t* wire) {
  side_t* s = (side_t*) wire->user;
  assert_ptr_equal(s->wire, wire);
  assert_false(s->inside || (s->other != NULL && s->other->inside));
  assert_false(s->asked_to_close);
  return s;
}

static void on_bytes(mcq__wire_t* wire, mcq__slice_t bytes) {
  side_t* s = heard(wire);
  assert_true(s->reading);
  assert_true(bytes.len > 0);
  s->last = bytes.data;
  s->slices++;
  while (bytes.len > 0) {
    size_t n = bytes.len < MIB ? bytes.len : MIB;
    assert_memory_equal(bytes.data, &text[s->got % TEXT_PERIOD], n);
    s->got += n;
    bytes = mcq__slice_sub(bytes, n, bytes.len - n);
  }
  if (s->then_bytes != NULL) s->then_bytes(s);
}

static void on_wrote(mcq__wire_t* wire, ssize_t n) {
  side_t* s = heard(wire);
  assert_true(s->refused);
  assert_true(n <= 0);
  s->refused = false;
  if (n == 0) {
    s->wakes++;
    if (s->other != NULL) s->other_got = s->other->got;
  } else {
    s->ends++;
    s->write_error = (int) n;
  }
  if (s->then_wrote != NULL) s->then_wrote(s);
}

static void on_end(mcq__wire_t* wire, int code) {
  side_t* s = heard(wire);
  s->ends++;
  s->end_code = code;
  s->reading = false;
  if (s->then_end != NULL) s->then_end(s);
}

static void on_closed(mcq__wire_t* wire) {
  side_t* s = (side_t*) wire->user;
  assert_ptr_equal(s->wire, wire);
  assert_false(s->inside);
  assert_true(s->asked_to_close);
  s->wire = NULL;
  s->closed = true;
  if (s->then_closed != NULL) s->then_closed(s);
}

static const mcq__wire_events_t events = {.on_bytes = on_bytes,
                                          .on_wrote = on_wrote,
                                          .on_end = on_end,
                                          .on_closed = on_closed};

static void adopt(side_t* s) {
  assert_int_equal(
      mcq__inproc_pump.adopt(&s->wire, s->io, s->stream, &events, s), 0);
  assert_ptr_equal(s->wire->user, s);
  assert_ptr_equal(s->wire->io, s->io);
  assert_true(far == (s->wire->backend != &mcq__inproc_pump));
  s->stream = NULL;
}

static void discard(side_t* s) {
  s->inside = true;
  mcq__transport_inproc.discard(s->io, s->stream);
  s->inside = false;
  s->stream = NULL;
}

static void start(side_t* s) {
  s->inside = true;
  s->reading = true;
  assert_int_equal(s->wire->backend->read_start(s->wire), 0);
  s->inside = false;
}

static void stop(side_t* s) {
  s->reading = false;
  s->wire->backend->read_stop(s->wire);
}

/* `len` bytes, at most a MiB, apart from all others.  Bytes taken, 0 when the
 * peer takes no more now, or an error. */
static ssize_t give(side_t* s, size_t len) {
  mcq__window_t w = {NULL, 0};
  mcq__chain_t chain;
  mcq__chain_init(&chain, s->seat->pool.mem);
  int rc = mcq__window_open_exact(&w, s->seat->pool.pool, len);
  if (rc == 0) {
    mcq__window_poke(&w, 0, &text[s->sent % TEXT_PERIOD], len);
    rc = mcq__chain_commit(&chain, &w, len);
  }
  mcq__window_close(&w);
  ssize_t n = rc;
  s->inside = true;
  if (rc == 0) n = s->wire->backend->pass(s->wire, &chain, 0, len);
  s->inside = false;
  mcq__chain_dispose(&chain);
  assert_true(n <= 0 || n == (ssize_t) len);
  if (n > 0) s->sent += len;
  s->refused = rc == 0 && n == MCQ__IN_FLIGHT;
  return n;
}

static void give_all(side_t* s, size_t len) {
  assert_int_equal(give(s, len), len);
}

/* Until the peer takes no more. */
static void fill(side_t* s, size_t piece) {
  while (!s->refused) assert_true(give(s, piece) >= 0);
}

static void shut(side_t* s) {
  s->inside = true;
  s->wire->backend->shutdown(s->wire);
  s->inside = false;
}

static void leave(side_t* s) {
  if (s->wire == NULL || s->asked_to_close) return;
  s->inside = true;
  s->reading = false;
  s->asked_to_close = true;
  s->wire->backend->close(s->wire);
  s->wire->backend->close(s->wire);
  s->inside = false;
}

static void turns(const side_t* s, int n) {
  test_seat_turns(s->seat, n);
}

/* Two ends that know each other. */
static void meet(test_seat_t* t, side_t* a, side_t* b) {
  *a = (side_t){.seat = t, .io = &t->io};
  *b = (side_t){.seat = t, .io = over_there(t)};
  mcq__inproc_t* ends[2];
  mcq__link_t* link;
  mcq__far_t* here;
  mcq__far_t* there;
  if (far) {
    assert_int_equal(mcq__link_new(a->io, &link, &here), 0);
    assert_int_equal(mcq__link_join(link, b->io, &there), 0);
    a->stream = here;
    b->stream = there;
  } else {
    assert_int_equal(mcq__inproc_pair(&t->io, &ends[0], &ends[1]), 0);
    a->stream = ends[0];
    b->stream = ends[1];
  }
}

/* And both adopted. */
static void pair_up(test_seat_t* t, side_t* a, side_t* b) {
  meet(t, a, b);
  a->other = b;
  b->other = a;
  adopt(a);
  adopt(b);
}

static void open_pair(test_seat_t* t, side_t* a, side_t* b) {
  open_seat(t);
  pair_up(t, a, b);
}

static void close_pair(test_seat_t* t, side_t* a, side_t* b) {
  leave(a);
  leave(b);
  if (a->wire != NULL) test_seat_until(t, &a->closed);
  if (b->wire != NULL) test_seat_until(t, &b->closed);
  close_seat(t);
}

/* ---- doors and callers --------------------------------------------------- */

#define STREAMS_MAX 8

typedef struct door {
  mcq__listener_t listener;
  side_t sides[STREAMS_MAX];
  unsigned count;
  bool inside;
  bool closed;
  void (*then_stream)(struct door* d);
  void* more;
} door_t;

typedef struct caller {
  mcq__dialer_t dialer;
  side_t side;
  unsigned tries, streams, failures, retries;
  int code;
  unsigned place; /* the how-many-th to be connected */
  bool closed;
  void (*then_dialing)(struct caller* c);
  void (*then_stream)(struct caller* c);
} caller_t;

static unsigned connected;

static test_seat_t* seat_of(mcq__io_t* io) {
  return (test_seat_t*) io->user;
}

static void on_door_stream(mcq__listener_t* l, void* stream,
                           const char* address) {
  door_t* d = (door_t*) l->user;
  assert_false(d->inside || l->closing);
  assert_string_equal(address, l->address);
  assert_true(d->count < STREAMS_MAX);
  d->sides[d->count++] =
      (side_t){.seat = seat_of(l->io), .io = l->io, .stream = stream};
  if (d->then_stream != NULL) d->then_stream(d);
}

/* Over there the other half of a connection takes memory of its own. */
static void on_door_error(mcq__listener_t* l, int code) {
  (void) l;
  if (!far || code != MCQ_ENOMEM) fail_msg("an error: %d", code);
}

static void on_door_closed(mcq__listener_t* l) {
  door_t* d = (door_t*) l->user;
  assert_false(d->inside || d->closed);
  d->closed = true;
}

static const mcq__listener_events_t door_events = {.on_stream = on_door_stream,
                                                   .on_error = on_door_error,
                                                   .on_closed = on_door_closed};

static int open_door(door_t* d, test_seat_t* t, const char* uri) {
  mcq__endpoint_t endpoint;
  memset(d, 0, sizeof *d);
  d->listener.user = d;
  assert_int_equal(mcq__endpoint_parse(&endpoint, uri), 0);
  d->inside = true;
  int rc = mcq__listener_open(&d->listener, over_there(t), &endpoint, 128,
                              &door_events);
  d->inside = false;
  if (rc == 0) assert_string_equal(d->listener.address, uri);
  return rc;
}

static void shut_door(door_t* d) {
  d->inside = true;
  mcq__listener_close(&d->listener);
  mcq__listener_close(&d->listener);
  d->inside = false;
}

/* What came in and was not adopted goes with it. */
static void close_door(door_t* d, test_seat_t* t) {
  shut_door(d);
  test_seat_until(t, &d->closed);
  for (unsigned i = 0; i < d->count; i++)
    if (d->sides[i].stream != NULL) discard(&d->sides[i]);
}

static caller_t* calling(mcq__dialer_t* d) {
  caller_t* c = mcq__container_of(d, caller_t, dialer);
  assert_false(c->closed || d->closing);
  return c;
}

static void on_dialing(mcq__dialer_t* d) {
  caller_t* c = calling(d);
  c->tries++;
  if (c->then_dialing != NULL) c->then_dialing(c);
}

static void on_dialed(mcq__dialer_t* d, void* stream, const char* address) {
  caller_t* c = calling(d);
  char uri[MCQ__ENDPOINT_MAX];
  snprintf(uri, sizeof uri, "inproc://%s", d->place);
  assert_string_equal(address, uri);
  c->streams++;
  c->place = connected++;
  c->side = (side_t){.seat = seat_of(d->io), .io = d->io, .stream = stream};
  if (c->then_stream != NULL) c->then_stream(c);
}

static void on_dial_failed(mcq__dialer_t* d, int code) {
  caller_t* c = calling(d);
  c->failures++;
  c->code = code;
}

static void on_retry(mcq__dialer_t* d, uint64_t ms) {
  (void) ms;
  calling(d)->retries++;
}

static void on_dialer_closed(mcq__dialer_t* d) {
  caller_t* c = mcq__container_of(d, caller_t, dialer);
  assert_false(c->closed);
  c->closed = true;
  memset(d, 0xdd, sizeof *d);
}

static const mcq__dialer_events_t dialer_events = {
    .on_dialing = on_dialing,
    .on_stream = on_dialed,
    .on_failed = on_dial_failed,
    .on_retry = on_retry,
    .on_closed = on_dialer_closed};

static int open_call(caller_t* c, test_seat_t* t, const char* uri) {
  static const mcq__dialer_config_t config = {
      .retry_ms = 10, .retry_max_ms = 20, .connect_ms = 1000};
  mcq__endpoint_t endpoint;
  memset(c, 0, sizeof *c);
  assert_int_equal(mcq__endpoint_parse(&endpoint, uri), 0);
  return mcq__dialer_open(&c->dialer, &t->io, &endpoint, &config,
                          &dialer_events);
}

static void close_call(caller_t* c, test_seat_t* t) {
  if (!c->closed) mcq__dialer_close(&c->dialer);
  test_seat_until(t, &c->closed);
  if (c->side.stream != NULL) discard(&c->side);
}

/* ---- who meets whom ------------------------------------------------------ */

/* However long it takes: no error, no second attempt. */
static void who_connects_may_come_first(void** state) {
  (void) state;
  test_seat_t t;
  caller_t c;
  door_t d;
  open_seat(&t);
  assert_int_equal(open_call(&c, &t, "inproc://x"), 0);
  for (int i = 0; i < 10; i++, t.now += 1000000) test_seat_turns(&t, 3);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0); /* keeps nobody up */
  assert_int_equal(c.tries, 1);
  assert_int_equal(c.streams + c.failures + c.retries, 0);
  assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
  assert_int_equal(c.streams + d.count, 0); /* not inside the call */
  test_seat_turns(&t, far ? 2 : 1);
  assert_int_equal(c.streams, 1);
  assert_int_equal(d.count, 1);
  assert_int_equal(c.tries, 1);
  close_call(&c, &t);
  close_door(&d, &t);
  close_seat(&t);
}

static void names_are_exact(void** state) {
  (void) state;
  static const char* const others[] = {
      "inproc://X", "inproc://x ", "inproc://xx", "inproc://*", "inproc:///x"};
  enum { OTHERS = sizeof others / sizeof *others };
  test_seat_t t;
  caller_t c[OTHERS];
  door_t d;
  open_seat(&t);
  assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
  for (size_t i = 0; i < OTHERS; i++)
    assert_int_equal(open_call(&c[i], &t, others[i]), 0);
  test_seat_turns(&t, 5);
  assert_int_equal(d.count, 0);
  for (size_t i = 0; i < OTHERS; i++) {
    door_t own;
    assert_int_equal(open_door(&own, &t, others[i]), 0);
    test_seat_turns(&t, 1);
    assert_int_equal(c[i].streams, 1);
    close_call(&c[i], &t);
    close_door(&own, &t);
  }
  assert_int_equal(d.count, 0);
  close_door(&d, &t);
  close_seat(&t);
}

static void a_name_is_bound_once(void** state) {
  (void) state;
  char name[9 + 255 + 1] = "inproc://";
  memset(name + 9, 'n', 255);
  const char* const uris[] = {"inproc://x", name};
  for (size_t i = 0; i < 2; i++) {
    test_seat_t t;
    door_t d, again, third;
    caller_t c;
    open_seat(&t);
    assert_int_equal(open_door(&d, &t, uris[i]), 0);
    assert_int_equal(open_door(&again, &t, uris[i]), MCQ_EADDRINUSE);
    assert_int_equal(open_door(&again, &t, "inproc://other"), 0);
    shut_door(&d);
    assert_false(d.closed);
    assert_int_equal(open_door(&third, &t, uris[i]), 0); /* free at once */
    assert_int_equal(open_call(&c, &t, uris[i]), 0);
    test_seat_until(&t, &d.closed);
    test_seat_turns(&t, 1);
    assert_int_equal(third.count, 1);
    assert_int_equal(d.count + again.count, 0);
    close_call(&c, &t);
    close_door(&again, &t);
    close_door(&third, &t);
    close_seat(&t);
  }
}

/* They had found the name bound when they came; it is bound again later. */
static void unbinding_with_callers_at_the_door(void** state) {
  (void) state;
  enum { CALLERS = 5 };
  for (int late = 0; late < 2; late++) {
    test_seat_t t;
    caller_t c[CALLERS];
    door_t d, again;
    connected = 0;
    open_seat(&t);
    assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
    for (size_t i = 0; i < CALLERS; i++)
      assert_int_equal(open_call(&c[i], &t, "inproc://x"), 0);
    shut_door(&d);
    if (late == 1) test_seat_until(&t, &d.closed);
    if (late == 1) test_seat_turns(&t, 3);
    assert_int_equal(open_door(&again, &t, "inproc://x"), 0);
    shut_door(&again); /* before anybody could come in */
    test_seat_until(&t, &again.closed);
    assert_int_equal(d.count + again.count, 0);
    close_call(&c[2], &t); /* one has had enough */
    assert_int_equal(open_door(&again, &t, "inproc://x"), 0);
    test_seat_turns(&t, 2);
    assert_int_equal(again.count, CALLERS - 1);
    for (unsigned i = 0; i < CALLERS; i++) {
      if (i == 2) continue;
      assert_int_equal(c[i].streams, 1);
      assert_int_equal(c[i].place, i < 2 ? i : i - 1); /* as they came */
      close_call(&c[i], &t);
    }
    close_door(&again, &t);
    close_seat(&t);
  }
}

/* With nobody there, with somebody, and with somebody who comes last. */
static void hanging_up_at_every_moment(void** state) {
  (void) state;
  for (int when = 0; when < 18; when++) {
    test_seat_t t;
    caller_t c;
    door_t d;
    int kind = when % 3;
    open_seat(&t);
    if (kind == 1) assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
    assert_int_equal(open_call(&c, &t, "inproc://x"), 0);
    test_seat_turns(&t, when / 3);
    if (kind == 2) assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
    mcq__dialer_close(&c.dialer);
    mcq__dialer_close(&c.dialer);
    assert_false(c.closed);
    close_call(&c, &t);
    if (kind != 0) {
      test_seat_turns(&t, 3);
      assert_true(d.count <= 1);
      if (kind == 2) assert_int_equal(d.count, 0);
      close_door(&d, &t);
    }
    close_seat(&t);
  }
}

static void hang_up(caller_t* c) {
  mcq__dialer_close(&c->dialer);
}

static void hang_up_caller(door_t* d) {
  hang_up((caller_t*) d->more);
}

static void shut_it(door_t* d) {
  shut_door(d);
}

static void shut_and_hang_up(door_t* d) {
  shut_door(d);
  hang_up_caller(d);
}

static void discard_it(door_t* d) {
  discard(&d->sides[0]);
}

static void discard_and_hang_up(door_t* d) {
  discard_it(d);
  hang_up_caller(d);
}

/* The listener's side hears of the connection first; whatever it does then,
 * the caller is in the middle of its attempt.  From another seat it is as with
 * a kernel: connected as soon as it is in the queue. */
static void ending_it_as_the_listener_hears_of_it(void** state) {
  (void) state;
  void (*const deeds[])(door_t*) = {hang_up_caller, shut_it, shut_and_hang_up,
                                    discard_it, discard_and_hang_up};
  for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
    test_seat_t t;
    caller_t c;
    door_t d;
    open_seat(&t);
    assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
    d.then_stream = deeds[i];
    d.more = &c;
    assert_int_equal(open_call(&c, &t, "inproc://x"), 0);
    test_seat_turns(&t, 5);
    assert_int_equal(d.count, 1);
    assert_int_equal(c.streams,
                     far || deeds[i] == shut_it || deeds[i] == discard_it);
    close_call(&c, &t);
    if (d.sides[0].stream != NULL) { /* learns that it is alone */
      adopt(&d.sides[0]);
      start(&d.sides[0]);
      turns(&d.sides[0], 2);
      assert_int_equal(d.sides[0].end_code, UV_EOF);
      leave(&d.sides[0]);
      test_seat_until(&t, &d.sides[0].closed);
    }
    close_door(&d, &t);
    close_seat(&t);
  }
}

static void hanging_up_in_callbacks(void** state) {
  (void) state;
  for (int i = 0; i < 2; i++) {
    test_seat_t t;
    caller_t c;
    door_t d;
    open_seat(&t);
    assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
    assert_int_equal(open_call(&c, &t, "inproc://x"), 0);
    if (i == 0)
      c.then_dialing = hang_up;
    else
      c.then_stream = hang_up;
    test_seat_until(&t, &c.closed);
    assert_int_equal(c.streams, i);
    assert_int_equal(d.count, i);
    close_call(&c, &t);
    close_door(&d, &t);
    close_seat(&t);
  }
}

static void discard_at_once(caller_t* c) {
  size_t before = atomic_load(&memory.live);
  discard(&c->side);
  /* Its end, and what the other side would have found. */
  assert_int_equal(before - atomic_load(&memory.live), far ? 2 : 1);
}

/* Between two seats a caller may be gone before the other side has looked:
 * then it hears nothing of it. */
static void gone_before_being_let_in(void** state) {
  (void) state;
  test_seat_t t;
  caller_t c;
  door_t d;
  open_seat(&t);
  assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
  assert_int_equal(open_call(&c, &t, "inproc://x"), 0);
  c.then_stream = discard_at_once;
  test_seat_turns(&t, 5);
  assert_int_equal(c.streams, 1);
  assert_int_equal(d.count, far ? 0 : 1);
  close_call(&c, &t);
  close_door(&d, &t);
  close_seat(&t);
}

static door_t* the_door;

static void shut_the_door(caller_t* c) {
  (void) c;
  shut_door(the_door);
}

/* Whoever waits at a door that closes is sent away, and learns it. */
static void shutting_before_letting_in(void** state) {
  (void) state;
  test_seat_t t;
  caller_t c;
  door_t d;
  open_seat(&t);
  the_door = &d;
  assert_int_equal(open_door(&d, &t, "inproc://x"), 0);
  assert_int_equal(open_call(&c, &t, "inproc://x"), 0);
  c.then_stream = shut_the_door;
  test_seat_turns(&t, 5);
  assert_int_equal(c.streams, 1);
  assert_int_equal(d.count, far ? 0 : 1);
  assert_true(d.closed);
  for (unsigned i = 0; i < d.count; i++) discard(&d.sides[i]);
  adopt(&c.side);
  start(&c.side);
  turns(&c.side, 3);
  assert_int_equal(c.side.end_code, UV_EOF);
  leave(&c.side);
  turns(&c.side, 3);
  assert_true(c.side.closed);
  close_call(&c, &t);
  close_seat(&t);
}

/* ---- bytes --------------------------------------------------------------- */

static void bytes_go_both_ways(void** state) {
  (void) state;
  static const size_t sizes[] = {1, 2, 100, 4096, 65536, 300000, MIB, 5};
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  start(&a);
  start(&b);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    give_all(&a, sizes[i]);
    give_all(&b, sizes[i]);
    assert_true(a.got + b.got < a.sent + b.sent); /* not inside the call */
    turns(&a, 1);
    assert_true(b.got == a.sent);
    assert_true(a.got == b.sent);
  }
  close_pair(&t, &a, &b);
}

/* They come in order, whatever waits and whoever stops. */
static void in_order_with_stops(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  for (size_t i = 0; i < 3000; i++) {
    if (!a.refused) assert_true(give(&a, 1 + i * 37 % 3000) >= 0);
    if (i % 5 == 0) start(&b);
    if (i % 7 == 0) stop(&b);
    uint64_t before = b.got;
    bool stopped = !b.reading;
    if (i % 3 == 0) turns(&b, 1);
    if (stopped) assert_true(b.got == before);
  }
  start(&b);
  while (b.got < a.sent) turns(&b, 1);
  assert_true(a.sent > MIB);
  close_pair(&t, &a, &b);
}

static void stop_it(side_t* s) {
  stop(s);
}

static void stopping_is_exact(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  for (int i = 0; i < 50; i++) give_all(&a, 100);
  b.then_bytes = stop_it;
  for (unsigned i = 0; i < 50; i++) {
    start(&b);
    turns(&b, 3);
    assert_int_equal(b.slices, i + 1);
  }
  start(&b);
  stop(&b);
  give_all(&a, 1);
  turns(&b, 3);
  assert_int_equal(b.slices, 50);
  close_pair(&t, &a, &b);
}

/* What one end holds the other end reads: the same bytes, not a copy. */
static void bytes_are_passed_by_reference(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  mcq__window_t w = {NULL, 0};
  mcq__chain_t chain;
  open_pair(&t, &a, &b);
  mcq__chain_init(&chain, t.pool.mem);
  assert_int_equal(mcq__window_open_exact(&w, t.pool.pool, MIB), 0);
  mcq__window_poke(&w, 0, text, MIB);
  const uint8_t* place = (const uint8_t*) mcq__window_ptr(&w);
  assert_int_equal(mcq__chain_commit(&chain, &w, MIB), 0);
  mcq__window_close(&w);
  size_t bytes = atomic_load(&memory.bytes);
  start(&b);
  assert_int_equal(a.wire->backend->pass(a.wire, &chain, 0, 10), 10);
  assert_int_equal(a.wire->backend->pass(a.wire, &chain, 10, MIB - 10),
                   MIB - 10);
  mcq__chain_dispose(&chain); /* the sender is done with it */
  turns(&b, 1);
  assert_int_equal(b.got, MIB);
  assert_ptr_equal(b.last, place); /* and put together again */
  assert_in_range(atomic_load(&memory.bytes), 0, bytes);
  close_pair(&t, &a, &b);
}

static void the_steady_state_allocates_nothing(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  mcq__chain_t chain;
  open_pair(&t, &a, &b);
  start(&b);
  mcq__chain_init(&chain, t.pool.mem);
  mcq__slice_t all = mcq__slice_static(text, TEXT_PERIOD);
  for (int i = 0; i < 10; i++)
    assert_int_equal(mcq__chain_push(&chain, all), 0);
  size_t before = 0;
  for (int i = 0; i < 200; i++) {
    if (i == 100) before = atomic_load(&memory.calls);
    assert_int_equal(a.wire->backend->pass(a.wire, &chain, 0, chain.bytes),
                     chain.bytes);
    turns(&b, 1);
  }
  assert_int_equal(b.got, 200 * 10 * TEXT_PERIOD);
  assert_int_equal(atomic_load(&memory.calls), before);
  mcq__chain_dispose(&chain);
  close_pair(&t, &a, &b);
}

/* ---- how much may wait --------------------------------------------------- */

/* The bound and one pass more, then nothing; half of it read, and the other
 * side hears of it, once. */
static void what_waits_is_bounded(void** state) {
  (void) state;
  static const size_t pieces[] = {1000, 10000, 100000, BOUND - 1, BOUND, MIB};
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    test_seat_t t;
    side_t a, b;
    open_pair(&t, &a, &b);
    uint64_t held = 0;
    for (int round = 0; round < 3; round++) {
      unsigned wakes = a.wakes;
      fill(&a, pieces[i]);
      held = a.sent - b.got;
      size_t bound = far ? LANE : BOUND;
      size_t taken = far && round > 0 ? LANE + pieces[i] : 0;
      assert_in_range(held, bound, bound + pieces[i] - 1 + taken);
      turns(&a, 5);
      assert_int_equal(a.wakes, wakes); /* nobody reads */
      b.then_bytes = stop_it;
      while (a.wakes == wakes) {
        start(&b);
        turns(&b, 1);
      }
      if (!far) assert_true(a.sent - a.other_got <= BOUND / 2);
      turns(&a, 5);
      assert_int_equal(a.wakes, wakes + 1);
      assert_false(a.refused);
    }
    b.then_bytes = NULL;
    start(&b);
    turns(&b, 400);
    assert_true(b.got == a.sent);
    assert_int_equal(a.wakes, 3); /* it was not refused again */
    close_pair(&t, &a, &b);
  }
}

static void give_more(side_t* s) {
  fill(s, 50000);
}

static void both_flood_at_once(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  a.then_wrote = give_more;
  b.then_wrote = give_more;
  fill(&a, 50000);
  fill(&b, 50000);
  start(&a);
  start(&b);
  while (a.got < 20 * MIB || b.got < 20 * MIB) {
    turns(&a, 1);
    assert_true(a.sent - b.got <= BOUND + 50000);
    assert_true(b.sent - a.got <= BOUND + 50000);
  }
  close_pair(&t, &a, &b);
}

static void a_quiet_or_stuck_pair_keeps_nothing_going(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  start(&a);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  fill(&a, 1000);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0);
  close_pair(&t, &a, &b);
}

/* ---- others have their turn ---------------------------------------------- */

static void a_long_queue_is_read_in_turns(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  for (int i = 0; i < 1000; i++) give_all(&a, 10);
  start(&b);
  while (b.slices < 1000) {
    unsigned before = b.slices;
    turns(&b, 1);
    assert_in_range(b.slices - before, 1, 2 * READS);
  }
  close_pair(&t, &a, &b);
}

static void answer(side_t* s) {
  if (!s->refused) assert_true(give(s, 100) >= 0);
}

typedef struct bell {
  mcq__timer_t timer;
  unsigned rings;
} bell_t;

static void ring(mcq__timer_t* timer) {
  mcq__container_of(timer, bell_t, timer)->rings++;
}

/* One pair answers every piece with two, as fast as it can; others and timers
 * go on. */
static void answer_twice(side_t* s) {
  answer(s);
  answer(s);
}

static void a_flood_leaves_room_for_others(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b, c, d;
  bell_t bell = {.timer.run = ring};
  open_pair(&t, &a, &b);
  pair_up(&t, &c, &d);
  a.then_bytes = answer_twice;
  b.then_bytes = answer_twice;
  start(&a);
  start(&b);
  start(&c);
  start(&d);
  give_all(&a, 100);
  turns(&a, 50);
  assert_true(a.got > 1000);
  assert_int_equal(mcq__timers_reserve(&t.io.turn.timers), 0);
  for (unsigned i = 1; i <= 100; i++) {
    uint64_t flood = a.got;
    give_all(&c, 10);
    give_all(&d, 10);
    mcq__io_timer_start(&t.io, &bell.timer, t.now + 10);
    t.now += 10;
    turns(&c, 1);
    assert_int_equal(c.got, 10 * i);
    assert_int_equal(d.got, 10 * i);
    assert_int_equal(bell.rings, i);
    assert_true(a.got > flood);
  }
  mcq__timers_unreserve(&t.io.turn.timers);
  leave(&c);
  leave(&d);
  test_seat_until(&t, &c.closed);
  test_seat_until(&t, &d.closed);
  close_pair(&t, &a, &b);
}

/* ---- the end ------------------------------------------------------------- */

static void the_end_comes_after_the_data(void** state) {
  (void) state;
  for (int how = 0; how < 4; how++) { /* shut or closed; read soon or late */
    test_seat_t t;
    side_t a, b;
    open_pair(&t, &a, &b);
    if (how & 1) start(&b);
    for (int i = 0; i < 100; i++) give_all(&a, 1000);
    if (how & 2)
      shut(&a);
    else
      leave(&a);
    if (!(how & 1)) turns(&b, 5);
    assert_int_equal(b.ends, 0);
    start(&b);
    turns(&b, 100);
    assert_int_equal(b.got, 100000);
    assert_int_equal(b.ends, 1);
    assert_int_equal(b.end_code, UV_EOF);
    b.reading = true; /* beginning again is harmless and says nothing */
    assert_int_equal(b.wire->backend->read_start(b.wire), 0);
    turns(&b, 5);
    assert_int_equal(b.ends, 1);
    close_pair(&t, &a, &b);
  }
}

/* Our end may come first: the other direction still works, long after. */
static void half_a_connection(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  start(&a);
  start(&b);
  give_all(&a, 1000);
  shut(&a);
  turns(&b, 3);
  assert_int_equal(b.ends, 1);
  b.then_wrote = give_more;
  fill(&b, 50000);
  while (a.got < 10 * MIB) turns(&a, 1);
  assert_int_equal(a.ends, 0);
  b.then_wrote = NULL;
  while (a.got < b.sent) turns(&a, 1);
  leave(&b);
  turns(&a, 2);
  assert_int_equal(a.ends, 1);
  assert_int_equal(a.end_code, UV_EOF);
  close_pair(&t, &a, &b);
}

/* Who closes says nothing more and hears nothing more; the other side is told
 * in the same turn or the next. */
static void closing_is_told_at_once(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  start(&a);
  start(&b);
  turns(&a, 3);
  leave(&a);
  turns(&a, 1);
  assert_true(a.closed);
  assert_int_equal(b.ends, 1);
  assert_int_equal(give(&b, 10), UV_EPIPE);
  turns(&b, 5);
  assert_int_equal(b.ends, 1);
  close_pair(&t, &a, &b);
}

/* A failed call has told it: the end is not told again. */
static void a_failed_pass_is_the_end(void** state) {
  (void) state;
  for (int data = 0; data < 2; data++) {
    test_seat_t t;
    side_t a, b;
    open_pair(&t, &a, &b);
    if (data) give_all(&a, 1000);
    leave(&a);
    assert_int_equal(give(&b, 10), UV_EPIPE);
    assert_int_equal(give(&b, 10), UV_EPIPE);
    start(&b);
    turns(&b, 5);
    assert_int_equal(b.ends, 0);
    assert_int_equal(b.got, data ? 1000 : 0); /* but nothing is lost */
    close_pair(&t, &a, &b);
  }
}

/* Who waits for room hears that there will be none: one word, and all that
 * the other side had said before. */
static void closing_while_the_peer_waits(void** state) {
  (void) state;
  for (int how = 0; how < 8; how++) {
    test_seat_t t;
    side_t a, b;
    open_pair(&t, &a, &b);
    fill(&a, 10000);
    if (how & 1) start(&a);
    for (int i = 0; (how & 2) && i < 100; i++) give_all(&b, 100);
    if (how & 4) shut(&b);
    turns(&b, (how & 4) ? 20 : 0);
    leave(&b);
    turns(&a, 20);
    /* That the other says no more may have been read before; that it does not
     * listen any more is another thing. */
    bool read_up = (how & 1) || !(how & 2);
    unsigned words = (how & 4) && read_up ? 2 : 1;
    assert_int_equal(a.ends, words);
    assert_int_equal(a.write_error, UV_EPIPE);
    if (how & 1) assert_int_equal(a.got, (how & 2) ? 10000 : 0);
    if (!a.reading && a.end_code == 0) start(&a);
    turns(&a, 20);
    assert_int_equal(a.got, (how & 2) ? 10000 : 0);
    assert_int_equal(a.ends, words);
    close_pair(&t, &a, &b);
  }
}

static void closing_while_waiting_oneself(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_pair(&t, &a, &b);
  fill(&a, 10000);
  leave(&a); /* on_wrote must not come */
  start(&b);
  turns(&b, 100);
  assert_true(b.got == a.sent);
  assert_int_equal(b.end_code, UV_EOF);
  close_pair(&t, &a, &b);
}

static void close_it(side_t* s) {
  leave(s);
}

static void close_other(side_t* s) {
  leave(s->other);
}

static void close_both(side_t* s) {
  leave(s);
  leave(s->other);
}

static void close_both_other_first(side_t* s) {
  leave(s->other);
  leave(s);
}

static void closing_in_every_callback(void** state) {
  (void) state;
  void (*const deeds[])(side_t*) = {close_it, close_other, close_both,
                                    close_both_other_first};
  for (int i = 0; i < 32; i++) {
    test_seat_t t;
    side_t a, b;
    open_pair(&t, &a, &b);
    start(&a);
    start(&b);
    fill(&a, 10000);
    give_all(&b, 1000);
    give_all(&b, 1000);
    void (*deed)(side_t*) = deeds[i % 4];
    switch (i / 4) {
      case 0:
        b.then_bytes = deed;
        break;
      case 1:
        a.then_bytes = deed;
        break;
      case 2:
        a.then_wrote = deed;
        break;
      case 3:
        shut(&a);
        b.then_end = deed;
        break;
      case 4:
        leave(&b);
        a.then_wrote = deed;
        break;
      case 5:
        leave(&b);
        b.then_closed = close_other;
        break;
      case 6:
        leave(&a);
        b.then_end = deed;
        break;
      default:
        leave(&a);
        leave(&b);
    }
    turns(&a, 60);
    assert_true(a.closed || b.closed);
    assert_true(a.ends <= 1 && b.ends <= 1);
    if (!a.asked_to_close) assert_int_equal(a.ends, 1);
    if (!b.asked_to_close) assert_int_equal(b.ends, 1);
    close_pair(&t, &a, &b);
  }
}

/* ---- ends that nobody adopts --------------------------------------------- */

static void ends_that_nobody_adopts(void** state) {
  (void) state;
  for (int how = 0; how < 6; how++) {
    test_seat_t t;
    side_t a, b;
    open_seat(&t);
    meet(&t, &a, &b);
    if (how < 4) {
      adopt(&a);
      a.other = NULL;
      if (how != 0) fill(&a, 1000); /* waits there, unread */
      if (how == 2) shut(&a);
      if (how == 3) start(&a);
      turns(&a, 2);
      discard(&b);
      start(&a);
      turns(&a, 2);
      assert_int_equal(a.ends, 1);
      leave(&a);
      test_seat_until(&t, &a.closed);
    } else if (how == 4) {
      discard(&a);
      adopt(&b);
      start(&b);
      turns(&b, 2);
      assert_int_equal(b.end_code, UV_EOF);
      leave(&b);
      test_seat_until(&t, &b.closed);
    } else {
      discard(&b);
      discard(&a);
    }
    close_seat(&t);
  }
}

/* One end may be closed before the other is adopted. */
static void adopted_late(void** state) {
  (void) state;
  test_seat_t t;
  side_t a, b;
  open_seat(&t);
  meet(&t, &a, &b);
  adopt(&a);
  give_all(&a, 5000);
  leave(&a);
  turns(&a, 3);
  assert_true(a.closed);
  adopt(&b);
  turns(&b, 3);
  start(&b);
  turns(&b, 3);
  assert_int_equal(b.got, 5000);
  assert_int_equal(b.end_code, UV_EOF);
  leave(&b);
  test_seat_until(&t, &b.closed);
  close_seat(&t);
}

/* ---- many ---------------------------------------------------------------- */

static void two_hundred_at_once(void** state) {
  (void) state;
  enum { PAIRS = 100 };
  static side_t a[PAIRS], b[PAIRS];
  test_seat_t t;
  open_seat(&t);
  for (size_t i = 0; i < PAIRS; i++) {
    pair_up(&t, &a[i], &b[i]);
    start(&a[i]);
    start(&b[i]);
  }
  for (int round = 0; round < 20; round++) {
    for (size_t i = 0; i < PAIRS; i++) {
      give_all(&a[i], 1000 + i);
      give_all(&b[i], 2000 + i);
    }
    test_seat_turns(&t, 1);
  }
  for (size_t i = 0; i < PAIRS; i++) {
    assert_true(a[i].got == b[i].sent && b[i].got == a[i].sent);
    leave(i % 2 == 0 ? &a[i] : &b[i]);
  }
  test_seat_turns(&t, 2);
  for (size_t i = 0; i < PAIRS; i++) {
    assert_int_equal(a[i].ends + b[i].ends, 1);
    leave(&a[i]);
    leave(&b[i]);
  }
  test_seat_turns(&t, 2);
  close_seat(&t);
}

/* ---- memory -------------------------------------------------------------- */

static int talk(door_t* d, caller_t* c, test_seat_t* t) {
  for (int i = 0; i < 20 && d->count == 0 && c->failures < 2; i++) {
    test_seat_turns(t, 2);
    t->now += 20;
  }
  if (c->streams == 0 || d->count == 0) return MCQ_ENOMEM;
  side_t* a = &c->side;
  side_t* b = &d->sides[0];
  adopt(a);
  adopt(b);
  a->other = b;
  b->other = a;
  start(b);
  int rc = 0;
  for (int i = 0; rc >= 0 && i < 12; i++) rc = (int) give(a, 10000);
  turns(b, 20);
  if (rc >= 0) assert_true(b->got == a->sent);
  leave(a);
  turns(b, 2);
  assert_int_equal(b->ends, 1);
  leave(b);
  turns(b, 2);
  return rc < 0 ? rc : 0;
}

static int whole_life(test_alloc_t* ta, void* arg) {
  static door_t d;
  static caller_t c;
  test_seat_t t;
  (void) arg;
  int rc = try_seat(&t, ta);
  if (rc != 0) return rc;
  rc = open_call(&c, &t, "inproc://x");
  if (rc == 0) {
    test_seat_turns(&t, 2);
    int bound = open_door(&d, &t, "inproc://x");
    rc = bound == 0 ? talk(&d, &c, &t) : bound;
    close_call(&c, &t);
    if (bound == 0) close_door(&d, &t);
  }
  leave_seat(&t);
  return rc;
}

static void a_life_survives_every_failing_allocation(void** state) {
  (void) state;
  if (choice == MCQ__BACKEND_UV)
    assert_in_range(test_alloc_sweep(whole_life, NULL), 10, 300);
  else
    test_alloc_sweep_real(whole_life, NULL);
}

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_connects_may_come_first),
      cmocka_unit_test(names_are_exact),
      cmocka_unit_test(a_name_is_bound_once),
      cmocka_unit_test(unbinding_with_callers_at_the_door),
      cmocka_unit_test(hanging_up_at_every_moment),
      cmocka_unit_test(ending_it_as_the_listener_hears_of_it),
      cmocka_unit_test(hanging_up_in_callbacks),
      cmocka_unit_test(gone_before_being_let_in),
      cmocka_unit_test(shutting_before_letting_in),
      cmocka_unit_test(bytes_go_both_ways),
      cmocka_unit_test(in_order_with_stops),
      cmocka_unit_test(stopping_is_exact),
      cmocka_unit_test(bytes_are_passed_by_reference),
      cmocka_unit_test(the_steady_state_allocates_nothing),
      cmocka_unit_test(what_waits_is_bounded),
      cmocka_unit_test(both_flood_at_once),
      cmocka_unit_test(a_quiet_or_stuck_pair_keeps_nothing_going),
      cmocka_unit_test(a_long_queue_is_read_in_turns),
      cmocka_unit_test(a_flood_leaves_room_for_others),
      cmocka_unit_test(the_end_comes_after_the_data),
      cmocka_unit_test(half_a_connection),
      cmocka_unit_test(closing_is_told_at_once),
      cmocka_unit_test(a_failed_pass_is_the_end),
      cmocka_unit_test(closing_while_the_peer_waits),
      cmocka_unit_test(closing_while_waiting_oneself),
      cmocka_unit_test(closing_in_every_callback),
      cmocka_unit_test(ends_that_nobody_adopts),
      cmocka_unit_test(adopted_late),
      cmocka_unit_test(two_hundred_at_once),
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

static int run_near_and_far(void) {
  far = false;
  int failed = run_all();
  printf("and between two seats\n");
  far = true;
  return failed + run_all();
}

int main(void) {
  for (size_t i = 0; i < sizeof text; i++)
    text[i] = (uint8_t) (i % TEXT_PERIOD);
  choice = MCQ__BACKEND_UV;
  int failed = run_near_and_far();
  int rc = cannot_uring();
  if (rc == 0) {
    printf("and again with uring\n");
    choice = MCQ__BACKEND_URING;
    failed += run_near_and_far();
  } else {
    printf("uring is not here: %s\n", uv_strerror(rc));
  }
  return failed;
}
