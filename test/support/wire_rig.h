/* SPDX-License-Identifier: MIT */
/* Pairs of wires over loopback TCP, made by the real transport, for tests of
 * back ends.  Each side sends a text that is the same for everybody and checks
 * what it gets against it, byte for byte; what it has sent it spoils as soon
 * as the contract allows, so that a back end that looks too late is caught.
 * Every promise of mcq__wire_events_t is asserted here, once for all tests. */
#ifndef TEST_SUPPORT_WIRE_RIG_H
#define TEST_SUPPORT_WIRE_RIG_H

#include <stdlib.h>
#include <string.h>

#include "io/dialer.h"
#include "io/listener.h"
#include "support/io_seat.h"
#include "support/random.h"

/* The text repeats after a prime number of bytes, so that no buffer size
 * hides a mistake; from any place in it TEXT_RUN bytes can be read. */
#define TEXT_PERIOD ((size_t) 65521)
#define TEXT_RUN ((size_t) 1048576)
#define SIDE_BUFFER ((size_t) 262144)

typedef struct rig rig_t;
typedef struct side side_t;

struct side {
  rig_t* rig;
  mcq__wire_t* wire;
  const char* name;
  /* sending */
  uint64_t to_send;
  uint64_t sent;
  size_t most;   /* bytes of one write; 0: as many as there is room for */
  size_t flight; /* bytes of the write in flight */
  bool stuck;    /* there was no room for a write */
  size_t taken;  /* writes that were taken at once */
  size_t waited; /* writes that had to wait */
  mcq__iov_t iov[64];
  uint8_t* buffer;
  mcq__task_t sender;
  int write_error;
  bool all_sent;
  /* receiving */
  uint64_t got;
  uint64_t to_get;
  bool all_got;
  bool reading; /* as the wire was told */
  mcq__window_t window;
  bool wants;       /* offers its own window */
  size_t want_size; /* of windows it opens; 0: at random */
  uint64_t filled;  /* bytes that came through it */
  bool inside;      /* a call of the test's own */
  bool ended;
  int end_code;
  bool asked_to_close; /* after which only the end of a write in flight and the
                          end of all is heard */
  bool closed;
  /* what a test may hook in, after the checks */
  void (*then_bytes)(side_t* s);
  void (*then_want)(side_t* s);
  void (*then_wrote)(side_t* s, ssize_t n);
  void (*then_end)(side_t* s);
  void* more;
};

struct rig {
  test_seat_t seat;
  mcq__listener_t listener;
  mcq__dialer_t dialer;
  bool listening;
  bool listener_closed;
  bool dialer_closed;
  side_t* accepts; /* takes the next accepted stream */
  side_t* dials;   /* takes the next dialed one */
  bool accepted;
  bool dialed;
  int error; /* the first that came up */
  test_random_t random;
};

static uint8_t rig_text[TEXT_RUN + TEXT_PERIOD];

static inline void rig_make_text(void) {
  test_random_t r = {.state = 1};
  for (size_t i = 0; i < TEXT_PERIOD; i++)
    rig_text[i] = (uint8_t) test_random(&r);
  for (size_t i = TEXT_PERIOD; i < sizeof rig_text; i++)
    rig_text[i] = rig_text[i - TEXT_PERIOD];
}

/* ---- receiving ----------------------------------------------------------- */

static inline void side_check(side_t* s, const void* data, size_t len) {
  const uint8_t* at = (const uint8_t*) data;
  while (len > 0) {
    size_t n = len < TEXT_RUN ? len : TEXT_RUN;
    if (memcmp(at, &rig_text[s->got % TEXT_PERIOD], n) != 0)
      fail_msg("%s: not what was sent, behind byte %zu", s->name,
               (size_t) s->got);
    s->got += n;
    at += n;
    len -= n;
  }
  if (s->to_get != 0) {
    assert_true(s->got <= s->to_get);
    s->all_got = s->got == s->to_get;
  }
}

static inline side_t* side_heard(mcq__wire_t* wire) {
  side_t* s = (side_t*) wire->user;
  assert_ptr_equal(s->wire, wire);
  assert_false(s->inside);
  assert_false(s->asked_to_close);
  return s;
}

static inline void side_on_bytes(mcq__wire_t* wire, mcq__slice_t bytes) {
  side_t* s = side_heard(wire);
  assert_true(s->reading);
  assert_false(s->ended);
  assert_true(bytes.len > 0);
  side_check(s, bytes.data, bytes.len);
  if (s->then_bytes != NULL) s->then_bytes(s);
}

static inline mcq__window_t* side_on_want(mcq__wire_t* wire) {
  side_t* s = side_heard(wire);
  assert_true(s->reading);
  assert_false(s->ended);
  if (s->then_want != NULL) s->then_want(s);
  if (!s->wants || s->asked_to_close || !s->reading) return NULL;
  if (mcq__window_room(&s->window) == 0) {
    size_t size = s->want_size;
    if (size == 0) {
      size = 1 + test_random_below(&s->rig->random, 100000);
      if (size % 3 == 0) return NULL; /* now and then it does not care */
    }
    mcq__window_close(&s->window);
    if (mcq__window_open_exact(&s->window, s->rig->seat.pool.pool, size) != 0)
      return NULL;
  }
  return &s->window;
}

static inline void side_on_filled(mcq__wire_t* wire, size_t n) {
  side_t* s = side_heard(wire);
  assert_true(s->reading);
  assert_true(s->wants);
  assert_in_range(n, 1, mcq__window_room(&s->window));
  mcq__slice_t bytes = mcq__window_freeze(&s->window, n);
  s->filled += n;
  side_check(s, bytes.data, bytes.len);
  mcq__slice_release(&bytes);
  if (s->then_bytes != NULL) s->then_bytes(s);
}

static inline void side_on_end(mcq__wire_t* wire, int code) {
  side_t* s = side_heard(wire);
  assert_false(s->ended);
  assert_true(code < 0);
  s->ended = true;
  s->end_code = code;
  if (s->then_end != NULL) s->then_end(s);
}

static inline int side_read(side_t* s, bool on) {
  int rc = 0;
  s->inside = true;
  if (on)
    rc = s->wire->backend->read_start(s->wire);
  else
    s->wire->backend->read_stop(s->wire);
  s->inside = false;
  s->reading = on;
  return rc;
}

/* ---- sending ------------------------------------------------------------- */

static inline void side_spoil(side_t* s) {
  if (s->buffer != NULL) memset(s->buffer, 0xa5, SIDE_BUFFER);
}

/* The next bytes of the text, in pieces of any size. */
static inline size_t side_fill(side_t* s, size_t* total) {
  uint64_t left = s->to_send - s->sent;
  size_t most = s->most != 0 ? s->most : SIDE_BUFFER;
  size_t len = left < most ? (size_t) left : most;
  memcpy(s->buffer, &rig_text[s->sent % TEXT_PERIOD], len);
  size_t at = 0;
  size_t count = 0;
  while (at < len && count < 64) {
    size_t n = 1 + test_random_below(&s->rig->random, 9000);
    if (n > len - at) n = len - at;
    s->iov[count].base = s->buffer + at;
    s->iov[count].len = n;
    at += n;
    count++;
  }
  *total = at;
  return count;
}

static inline void side_account(side_t* s, ssize_t n) {
  side_spoil(s);
  if (n < 0) {
    s->write_error = (int) n;
    return;
  }
  s->sent += (uint64_t) n;
  s->all_sent = s->sent == s->to_send;
}

/* Writes once.  True when there is more to write and nothing in flight. */
static inline bool side_write(side_t* s) {
  if (s->flight != 0 || s->stuck || s->sent == s->to_send ||
      s->write_error != 0)
    return false;
  size_t total;
  size_t count = side_fill(s, &total);
  s->inside = true;
  ssize_t n = s->wire->backend->write(s->wire, s->iov, count, total);
  s->inside = false;
  memset(s->iov, 0, sizeof s->iov); /* the pieces themselves are ours again */
  if (n == MCQ__IN_FLIGHT || n == UV_EAGAIN) {
    if (n == 0) s->flight = total;
    s->stuck = n != 0;
    s->waited++;
    if (s->stuck) side_spoil(s); /* all of it is ours */
    return false;
  }
  assert_true(n < 0 || (size_t) n <= total);
  if (n > 0) s->taken++;
  side_account(s, n);
  return s->sent < s->to_send && s->write_error == 0;
}

static inline void side_run_sender(mcq__task_t* task) {
  side_t* s = mcq__container_of(task, side_t, sender);
  for (int i = 0; i < 16; i++)
    if (!side_write(s)) return;
  mcq__io_later(&s->rig->seat.io, task);
}

static inline void side_on_wrote(mcq__wire_t* wire, ssize_t n) {
  side_t* s = (side_t*) wire->user;
  assert_ptr_equal(s->wire, wire);
  assert_false(s->inside);
  if (s->stuck) {
    assert_true(n == 0 && s->flight == 0);
  } else {
    assert_true(s->flight != 0);
    assert_true(n != 0 && (n < 0 || (size_t) n <= s->flight));
  }
  s->stuck = false;
  s->flight = 0;
  side_account(s, n);
  if (s->asked_to_close) return;
  if (s->then_wrote != NULL) s->then_wrote(s, n);
  if (!s->asked_to_close && n >= 0) mcq__io_flush(&s->rig->seat.io, &s->sender);
}

/* Begins to send `n` bytes more. */
static inline void side_send(side_t* s, uint64_t n) {
  s->to_send += n;
  s->all_sent = false;
  mcq__io_flush(&s->rig->seat.io, &s->sender);
}

/* ---- ending -------------------------------------------------------------- */

static inline void side_on_closed(mcq__wire_t* wire) {
  side_t* s = (side_t*) wire->user;
  assert_ptr_equal(s->wire, wire);
  assert_false(s->inside);
  assert_true(s->asked_to_close);
  assert_int_equal(s->flight, 0); /* it was told what became of it */
  side_spoil(s);
  s->wire = NULL;
  s->closed = true;
}

static inline void side_close(side_t* s) {
  if (s->wire == NULL) return;
  mcq__io_cancel(&s->sender);
  s->reading = false;
  s->inside = true;
  s->asked_to_close = true;
  s->wire->backend->close(s->wire);
  s->wire->backend->close(s->wire);
  s->inside = false;
}

static inline void side_dispose(side_t* s) {
  if (s->wire != NULL) {
    side_close(s);
    test_seat_until(&s->rig->seat, &s->closed);
  }
  mcq__window_close(&s->window);
  free(s->buffer);
  s->buffer = NULL;
}

static const mcq__wire_events_t side_events = {
    .on_bytes = side_on_bytes,
    .on_want = side_on_want,
    .on_filled = side_on_filled,
    .on_wrote = side_on_wrote,
    .on_end = side_on_end,
    .on_closed = side_on_closed,
};

/* ---- making pairs -------------------------------------------------------- */

static inline void side_init(side_t* s, rig_t* r, const char* name) {
  memset(s, 0, sizeof *s);
  s->rig = r;
  s->name = name;
  s->sender.run = side_run_sender;
  s->buffer = (uint8_t*) malloc(SIDE_BUFFER);
  assert_non_null(s->buffer);
}

static inline void rig_adopt(rig_t* r, side_t* s, void* stream) {
  int rc =
      r->seat.io.backend->adopt(&s->wire, &r->seat.io, stream, &side_events, s);
  if (rc == 0) {
    assert_ptr_equal(s->wire->user, s);
    assert_ptr_equal(s->wire->io, &r->seat.io);
    assert_ptr_equal(s->wire->backend, r->seat.io.backend);
    return;
  }
  r->error = rc;
  mcq__transport_tcp.discard(&r->seat.io, stream);
}

static inline void rig_on_accepted(mcq__listener_t* l, void* stream,
                                   const char* address) {
  rig_t* r = (rig_t*) l->user;
  assert_non_null(r->accepts);
  assert_memory_equal(address, "tcp://127.0.0.1:", 16);
  rig_adopt(r, r->accepts, stream);
  r->accepts = NULL;
  r->accepted = true;
}

static inline void rig_on_accept_error(mcq__listener_t* l, int code) {
  rig_t* r = (rig_t*) l->user;
  r->error = code;
  r->accepted = true;
}

static inline void rig_on_listener_closed(mcq__listener_t* l) {
  ((rig_t*) l->user)->listener_closed = true;
}

static inline void rig_on_dialing(mcq__dialer_t* d) {
  (void) d;
}

static inline void rig_on_dialed(mcq__dialer_t* d, void* stream,
                                 const char* address) {
  rig_t* r = mcq__container_of(d, rig_t, dialer);
  assert_string_equal(address, r->listener.address);
  rig_adopt(r, r->dials, stream);
  r->dialed = true;
}

static inline void rig_on_dial_failed(mcq__dialer_t* d, int code) {
  rig_t* r = mcq__container_of(d, rig_t, dialer);
  r->error = code;
  r->dialed = true;
}

static inline void rig_on_retry(mcq__dialer_t* d, uint64_t ms) {
  (void) d;
  (void) ms;
}

static inline void rig_on_dialer_closed(mcq__dialer_t* d) {
  (mcq__container_of(d, rig_t, dialer))->dialer_closed = true;
}

static const mcq__listener_events_t rig_listener_events = {
    .on_stream = rig_on_accepted,
    .on_error = rig_on_accept_error,
    .on_closed = rig_on_listener_closed};
static const mcq__dialer_events_t rig_dialer_events = {
    .on_dialing = rig_on_dialing,
    .on_stream = rig_on_dialed,
    .on_failed = rig_on_dial_failed,
    .on_retry = rig_on_retry,
    .on_closed = rig_on_dialer_closed};

static inline int rig_listen(rig_t* r) {
  mcq__endpoint_t any;
  assert_int_equal(mcq__endpoint_parse(&any, "tcp://127.0.0.1:0"), 0);
  r->listener.user = r;
  int rc = mcq__listener_open(&r->listener, &r->seat.io, &any, 256,
                              &rig_listener_events);
  r->listening = rc == 0;
  return rc;
}

/* Connects `dials` with `accepts`, which are then not reading yet.  0, or
 * what went wrong; the wire that was made all the same is the caller's. */
static inline int rig_connect(rig_t* r, side_t* dials, side_t* accepts) {
  static const mcq__dialer_config_t once = {.retry_ms = MCQ__NEVER,
                                            .connect_ms = MCQ__NEVER};
  mcq__endpoint_t to;
  if (accepts != NULL) side_init(accepts, r, "accepted");
  side_init(dials, r, "dialed");
  assert_int_equal(mcq__endpoint_parse(&to, r->listener.address), 0);
  memset(&r->dialer, 0, sizeof r->dialer);
  r->dials = dials;
  r->accepts = accepts;
  r->accepted = accepts == NULL;
  r->dialed = false;
  r->dialer_closed = false;
  int rc =
      mcq__dialer_open(&r->dialer, &r->seat.io, &to, &once, &rig_dialer_events);
  if (rc != 0) return rc;
  test_seat_until(&r->seat, &r->dialed);
  if (r->error == 0) test_seat_until(&r->seat, &r->accepted);
  mcq__dialer_close(&r->dialer);
  test_seat_until(&r->seat, &r->dialer_closed);
  return r->error;
}

static inline void rig_unlisten(rig_t* r) {
  if (!r->listening) return;
  r->listening = false;
  mcq__listener_close(&r->listener);
  test_seat_until(&r->seat, &r->listener_closed);
}

static inline void rig_open(rig_t* r, enum mcq__backend_choice choice) {
  memset(r, 0, sizeof *r);
  r->random.state = 99;
  if (rig_text[0] == rig_text[1]) rig_make_text();
  assert_int_equal(test_seat_open(&r->seat, choice), 0);
  assert_int_equal(rig_listen(r), 0);
}

static inline void rig_close(rig_t* r) {
  rig_unlisten(r);
  test_seat_close(&r->seat);
}

#endif
