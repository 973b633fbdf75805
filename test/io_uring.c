/* SPDX-License-Identifier: MIT */
/* The io_uring back end from both sides: its wires against plain descriptors
 * that the test reads and writes itself, and its inner parts where what they
 * promise cannot be seen from outside.  What every back end promises is tested
 * in io_wire.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/io_seat.h"
#include "support/random.h"

#include "io/fd.h"
#include "io/uring.h"

#define KIB ((size_t) 1024)
#define MIB (KIB * KIB)

extern const mcq__backend_t mcq__backend_uring_table;

/* ---- a kernel that refuses ----------------------------------------------- */

static unsigned submissions;
static unsigned refusals; /* submissions that fail yet */
static int refusal;       /* with this */

/* Stands before the one of liburing, and does the same. */
int io_uring_submit(struct io_uring* ring) {
  submissions++;
  if (refusals == 0) return io_uring_submit_and_wait(ring, 0);
  refusals--;
  return refusal;
}

/* ---- a stream that can be checked anywhere ------------------------------- */

static uint64_t word_at(uint64_t seed, uint64_t index) {
  test_random_t r = {seed ^ index * UINT64_C(0xd1342543de82ef95)};
  return test_random(&r);
}

/* Bytes [at, at+len) of the endless stream `seed`. */
static void stream_bytes(uint64_t seed, uint64_t at, uint8_t* out, size_t len) {
  uint64_t word = word_at(seed, at / 8);
  for (size_t i = 0; i < len; i++, at++) {
    if (at % 8 == 0) word = word_at(seed, at / 8);
    out[i] = (uint8_t) (word >> at % 8 * 8);
  }
}

static void assert_stream(uint64_t seed, uint64_t at, const uint8_t* bytes,
                          size_t len) {
  uint8_t expected[4096];
  while (len > 0) {
    size_t n = len < sizeof expected ? len : sizeof expected;
    stream_bytes(seed, at, expected, n);
    assert_memory_equal(bytes, expected, n);
    bytes += n;
    at += n;
    len -= n;
  }
}

/* ---- a wire and the descriptor at its other end -------------------------- */

typedef struct side side_t;

struct side {
  test_seat_t* seat;
  mcq__wire_t* wire;
  int peer;
  uint64_t seed; /* of the stream that is received */
  uint64_t fed;  /* bytes of it written to the peer */
  uint64_t got;  /* bytes of it received */
  size_t reads;  /* in so many pieces */
  bool stopped;  /* nothing may come */
  bool calling;  /* nothing may come: we are inside a call */
  bool closing;  /* only one thing may come */
  int end;
  unsigned ends;
  unsigned writes; /* that ended */
  ssize_t wrote;   /* what the last one said */
  ssize_t written; /* by all */
  bool closed;
  void (*on_bytes)(side_t* s, mcq__slice_t bytes);
  void (*on_wrote)(side_t* s);
  void (*on_ended)(side_t* s);
};

/* The wire of an event.  The loop does not sleep after one, so that a test can
 * let it sleep until something happened. */
static side_t* of_wire(mcq__wire_t* wire) {
  side_t* s = (side_t*) wire->user;
  uv_stop(&s->seat->loop);
  return s;
}

static void on_bytes(mcq__wire_t* wire, mcq__slice_t bytes) {
  side_t* s = of_wire(wire);
  assert_false(s->calling || s->stopped || s->closing || s->ends != 0);
  assert_true(bytes.len > 0);
  assert_stream(s->seed, s->got, bytes.data, bytes.len);
  s->got += bytes.len;
  s->reads++;
  if (s->on_bytes != NULL) s->on_bytes(s, bytes);
}

static void on_wrote(mcq__wire_t* wire, ssize_t n) {
  side_t* s = of_wire(wire);
  assert_false(s->calling);
  s->writes++;
  s->wrote = n;
  if (n > 0) s->written += n;
  if (s->on_wrote != NULL && !s->closing) s->on_wrote(s);
}

static void on_end(mcq__wire_t* wire, int code) {
  side_t* s = of_wire(wire);
  assert_false(s->calling || s->closing);
  s->end = code;
  s->ends++;
  if (s->on_ended != NULL) s->on_ended(s);
}

static void on_closed(mcq__wire_t* wire) {
  side_t* s = of_wire(wire);
  assert_true(s->closing && !s->calling && !s->closed);
  s->closed = true;
}

static const mcq__wire_events_t wire_events = {
    .on_bytes = on_bytes,
    .on_wrote = on_wrote,
    .on_end = on_end,
    .on_closed = on_closed,
};

/* Lets the loop sleep until the next event of a wire. */
static void sleep_once(test_seat_t* t) {
  mcq__io_ref(&t->io);
  (void) uv_run(&t->loop, UV_RUN_ONCE);
  mcq__io_unref(&t->io);
}

static mcq__uring_t* uring_of(test_seat_t* t) {
  return (mcq__uring_t*) t->io.pump;
}

static void start(side_t* s) {
  s->stopped = false;
  s->calling = true;
  assert_int_equal(s->wire->backend->read_start(s->wire), 0);
  s->calling = false;
}

static void stop(side_t* s) {
  s->stopped = true;
  s->calling = true;
  s->wire->backend->read_stop(s->wire);
  s->calling = false;
}

static ssize_t write_pieces(side_t* s, const mcq__iov_t* iov, size_t count) {
  size_t total = 0;
  for (size_t i = 0; i < count; i++) total += iov[i].len;
  s->calling = true;
  ssize_t n = s->wire->backend->write(s->wire, iov, count, total);
  s->calling = false;
  return n;
}

/* As when many wires write, so that it is in flight. */
static void send_pieces(side_t* s, const mcq__iov_t* iov, size_t count) {
  mcq__uring_t* u = uring_of(s->seat);
  u->turn = s->seat->io.turn.number;
  u->writers = MCQ__URING_FEW;
  u->writer = NULL;
  assert_int_equal(write_pieces(s, iov, count), MCQ__IN_FLIGHT);
}

static void send_bytes(side_t* s, const void* data, size_t len) {
  mcq__iov_t iov = {data, len};
  send_pieces(s, &iov, 1);
}

static void close_side(side_t* s) {
  if (s->closing) return;
  s->closing = true;
  s->calling = true;
  s->wire->backend->close(s->wire);
  s->wire->backend->close(s->wire);
  s->calling = false;
}

static void set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
}

/* As transports make them. */
static void* stream_of(int fd) {
  set_nonblocking(fd);
  return mcq__stream_of(fd);
}

static void tcp_pair(int pair[2]) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(listener, (struct sockaddr*) &at, size), 0);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr*) &at, &size), 0);
  pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(pair[0], (struct sockaddr*) &at, size), 0);
  pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  assert_true(pair[1] >= 0);
  close(listener);
}

static void open_side(side_t* s, test_seat_t* t, bool tcp, uint64_t seed) {
  int pair[2];
  memset(s, 0, sizeof *s);
  if (tcp)
    tcp_pair(pair);
  else
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                     0);
  s->seat = t;
  s->seed = seed;
  s->peer = pair[1];
  set_nonblocking(s->peer);
  void* stream = stream_of(pair[0]);
  assert_int_equal(
      t->io.backend->adopt(&s->wire, &t->io, stream, &wire_events, s), 0);
  assert_string_equal(s->wire->backend->name, "uring");
}

/* Closes what is open and waits for it. */
static void end_side(side_t* s) {
  close_side(s);
  while (!s->closed) sleep_once(s->seat);
  if (s->peer >= 0) close(s->peer);
  s->peer = -1;
}

/* Writes the next bytes of the stream, up to `len` of them, as many as the
 * system takes. */
static size_t feed(side_t* s, size_t len) {
  uint8_t bytes[32768];
  size_t before = (size_t) s->fed;
  while (len > 0) {
    size_t n = len < sizeof bytes ? len : sizeof bytes;
    stream_bytes(s->seed, s->fed, bytes, n);
    ssize_t sent = send(s->peer, bytes, n, MSG_NOSIGNAL);
    if (sent < 0) {
      assert_true(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
      break;
    }
    s->fed += (uint64_t) sent;
    len -= (size_t) sent;
    if ((size_t) sent < n) break;
  }
  return (size_t) s->fed - before;
}

static void feed_all(side_t* s, size_t len) {
  assert_int_equal(feed(s, len), len);
}

/* Reads at the peer what there is; 0 also at the end. */
static size_t drain(int fd, uint8_t* out, size_t max) {
  size_t total = 0;
  while (total < max) {
    ssize_t n = recv(fd, out + total, max - total, 0);
    if (n <= 0) break;
    total += (size_t) n;
  }
  return total;
}

static void until_received(side_t* s) {
  while (s->got < s->fed) sleep_once(s->seat);
}

/* Everything is played three times: as the kernel is; as one is of which a
 * receive fills one buffer and goes on for ever; and with the first wires
 * polled for, and not read by the ring. */
static bool plain_kernel;
static bool polled;

/* So few that others are left for the ring. */
#define WATCHES 16

static size_t buffer_size(void) {
  return plain_kernel ? MCQ__BUFFER_LARGE : MCQ__BUFFER_SMALL;
}

static void make_plain(mcq__uring_t* u) {
  void (*on_back)(mcq__buffers_t*) = u->buffers.on_back;
  mcq__buffers_close(&u->buffers, &u->ring);
  assert_int_equal(
      mcq__buffers_open(&u->buffers, &u->ring, u->io->pool, MCQ__BUFFER_LARGE),
      0);
  u->buffers.on_back = on_back;
  u->bundles = false;
}

static void open_seat(test_seat_t* t) {
  memset(t, 0, sizeof *t);
  assert_int_equal(test_seat_open(t, MCQ__BACKEND_URING), 0);
  if (plain_kernel && uring_of(t)->bundles) make_plain(uring_of(t));
  uring_of(t)->watch_max = polled ? WATCHES : 0;
}

/* Nothing is lent any more, then as always. */
static void close_seat(test_seat_t* t) {
  assert_int_equal(uring_of(t)->buffers.loans, 0);
  assert_int_equal(uring_of(t)->buffers.lent, 0);
  test_seat_close(t);
}

/* ---- buffers ------------------------------------------------------------- */

typedef struct bench {
  test_pool_t pool;
  struct io_uring ring;
  mcq__buffers_t buffers;
  unsigned backs;
} bench_t;

static void count_back(mcq__buffers_t* b) {
  mcq__container_of(b, bench_t, buffers)->backs++;
}

static void open_bench(bench_t* b) {
  memset(b, 0, sizeof *b);
  test_pool_open(&b->pool);
  assert_int_equal(mcq__ring_open(&b->ring), 0);
  assert_int_equal(
      mcq__buffers_open(&b->buffers, &b->ring, b->pool.pool, buffer_size()), 0);
  b->buffers.on_back = count_back;
}

static void close_bench(bench_t* b) {
  mcq__buffers_close(&b->buffers, &b->ring);
  io_uring_queue_exit(&b->ring);
  test_pool_close(&b->pool);
}

/* What the kernel would take as its `at`-th buffer, counted for ever. */
static void assert_entry(const bench_t* b, unsigned at, unsigned id) {
  const struct io_uring_buf* e =
      (const struct io_uring_buf*) (const void*) b->buffers.entries +
      at % b->buffers.count;
  assert_int_equal(e->bid, id);
  assert_int_equal(e->len, b->buffers.size);
  assert_ptr_equal((const void*) (uintptr_t) e->addr,
                   b->buffers.bytes + id * b->buffers.size);
}

static void buffers_go_back_in_order(void** state) {
  (void) state;
  bench_t b;
  open_bench(&b);
  size_t size = b.buffers.size;
  mcq__slice_t first[2];
  mcq__slice_t second[2];
  mcq__slice_t third[2];
  assert_int_equal(mcq__buffers_take(&b.buffers, 0, 3 * size, first), 1);
  assert_int_equal(mcq__buffers_take(&b.buffers, 3, 1, second), 1);
  assert_int_equal(mcq__buffers_take(&b.buffers, 4, size + 1, third), 1);
  assert_ptr_equal(first[0].data, b.buffers.bytes);
  assert_int_equal(first[0].len, 3 * size);
  assert_ptr_equal(second[0].data, b.buffers.bytes + 3 * size);
  assert_int_equal(second[0].len, 1);
  assert_int_equal(third[0].len, size + 1);
  assert_int_equal(mcq__buffers_free(&b.buffers), b.buffers.count - 6);
  uint16_t tail = b.buffers.entries->tail;

  mcq__slice_t more = mcq__slice_retain(second[0]);
  mcq__slice_release(&second[0]);
  assert_int_equal(b.backs, 0);
  mcq__slice_release(&more);
  mcq__slice_release(&third[0]);
  assert_int_equal(b.backs, 2);
  assert_int_equal(mcq__buffers_free(&b.buffers), b.buffers.count - 6);
  assert_int_equal(b.buffers.entries->tail, tail);
  mcq__slice_release(&first[0]);
  assert_int_equal(mcq__buffers_free(&b.buffers), b.buffers.count);
  assert_int_equal(b.buffers.entries->tail, (uint16_t) (tail + 6));
  for (unsigned i = 0; i < 6; i++) assert_entry(&b, tail + i, i);
  close_bench(&b);
}

static void buffers_wrap_into_two_slices(void** state) {
  (void) state;
  bench_t b;
  open_bench(&b);
  size_t size = b.buffers.size;
  unsigned edge = b.buffers.count - 2;
  mcq__slice_t s[2];
  assert_int_equal(mcq__buffers_take(&b.buffers, 0, edge * size, s), 1);
  mcq__slice_release(&s[0]);
  uint16_t tail = b.buffers.entries->tail;
  assert_int_equal(mcq__buffers_take(&b.buffers, edge, 3 * size + 7, s), 2);
  assert_ptr_equal(s[0].data, b.buffers.bytes + edge * size);
  assert_int_equal(s[0].len, 2 * size);
  assert_ptr_equal(s[1].data, b.buffers.bytes);
  assert_int_equal(s[1].len, size + 7);
  mcq__slice_release(&s[1]);
  assert_int_equal(mcq__buffers_free(&b.buffers), b.buffers.count - 4);
  mcq__slice_release(&s[0]);
  assert_int_equal(mcq__buffers_free(&b.buffers), b.buffers.count);
  for (unsigned i = 0; i < 4; i++)
    assert_entry(&b, tail + i, (edge + i) % b.buffers.count);
  close_bench(&b);
}

static void buffers_refuse_what_the_kernel_has_not(void** state) {
  (void) state;
  bench_t b;
  open_bench(&b);
  size_t size = b.buffers.size;
  mcq__slice_t s[2];
  mcq__slice_t t[2];
  size_t all = b.buffers.count * size;
  assert_int_equal(mcq__buffers_take(&b.buffers, b.buffers.count, 1, s),
                   UV_EIO);
  assert_int_equal(mcq__buffers_take(&b.buffers, 0, all + 1, s), UV_EIO);
  assert_int_equal(mcq__buffers_take(&b.buffers, 1, all, s), UV_EIO);
  assert_int_equal(mcq__buffers_take(&b.buffers, 0, 1, s), 1);
  assert_int_equal(mcq__buffers_take(&b.buffers, 0, 1, t), UV_EIO);
  assert_int_equal(mcq__buffers_take(&b.buffers, 0, 0, t), UV_EIO);
  assert_int_equal(mcq__buffers_take(&b.buffers, 1, all, t), UV_EIO);
  assert_int_equal(b.buffers.lent, 1);
  mcq__slice_release(&s[0]);
  /* One that was filled with nothing goes back at once. */
  assert_int_equal(mcq__buffers_take(&b.buffers, 1, 0, s), 0);
  assert_int_equal(b.buffers.lent, 0);
  assert_int_equal(b.buffers.oldest, 2);
  close_bench(&b);
}

static void buffers_go_back_when_memory_is_out(void** state) {
  (void) state;
  bench_t b;
  open_bench(&b);
  size_t size = b.buffers.size;
  mcq__slice_t s[2];
  test_alloc_fail_next(&b.pool.alloc, true);
  assert_int_equal(mcq__buffers_take(&b.buffers, 0, 5 * size, s), MCQ_ENOMEM);
  assert_int_equal(b.buffers.lent, 0);
  b.pool.alloc.fail_at = 0;
  unsigned rest = b.buffers.count - 5 - 1;
  assert_int_equal(mcq__buffers_take(&b.buffers, 5, rest * size, s), 1);
  /* The first of two slices is had, the second is not. */
  mcq__slice_t t[2];
  mcq__slice_release(&s[0]);
  mcq__pool_trim(b.pool.pool);
#ifdef MCQ_NO_POOL
  b.pool.alloc.fail_at = atomic_load(&b.pool.alloc.calls) + 2;
#else
  test_alloc_fail_next(&b.pool.alloc, true);
#endif
  assert_int_equal(
      mcq__buffers_take(&b.buffers, b.buffers.count - 1, 2 * size, t),
      MCQ_ENOMEM);
  b.pool.alloc.fail_at = 0;
  assert_int_equal(b.buffers.lent, 0);
  assert_int_equal(b.buffers.oldest, 1);
  close_bench(&b);
}

/* ---- reading ------------------------------------------------------------- */

static void bytes_come_in_order_and_then_the_end(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, false, 1);
  int flags = fcntl(mcq__uring_of(s.wire)->fd, F_GETFL);
  assert_int_equal(flags & O_NONBLOCK, 0); /* it would not wait for bytes */
  feed_all(&s, 100);
  test_seat_turns(&t, 3);
  assert_int_equal(s.got, 0); /* a new wire does not read */
  start(&s);
  start(&s);
  until_received(&s);
  feed_all(&s, 100000);
  until_received(&s);
  assert_int_equal(s.ends, 0);
  feed_all(&s, 1);
  shutdown(s.peer, SHUT_WR);
  while (s.ends == 0) sleep_once(&t);
  assert_int_equal(s.end, UV_EOF);
  assert_int_equal(s.got, 100101);
  test_seat_turns(&t, 5);
  assert_int_equal(s.ends, 1);
  end_side(&s);
  close_seat(&t);
}

/* The last bytes and the end of a stream arrive in one packet. */
static void the_end_is_not_lost_behind_bytes(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  for (uint64_t i = 0; i < 100; i++) {
    open_side(&s, &t, true, i);
    start(&s);
    test_seat_turns(&t, 1);
    uint8_t bytes[123];
    stream_bytes(s.seed, 0, bytes, sizeof bytes);
    assert_int_equal(send(s.peer, bytes, sizeof bytes, MSG_MORE), sizeof bytes);
    assert_int_equal(shutdown(s.peer, SHUT_WR), 0);
    while (s.ends == 0) sleep_once(&t);
    assert_int_equal(s.end, UV_EOF);
    assert_int_equal(s.got, sizeof bytes);
    end_side(&s);
  }
  close_seat(&t);
}

/* Whoever is known to have hung up before reading begins, with more to be read
 * than comes at once. */
static void the_end_is_seen_behind_much(void** state) {
  (void) state;
  for (size_t len = 1000; len < 200000; len += 9000) {
    test_seat_t t;
    side_t s;
    open_seat(&t);
    open_side(&s, &t, len % 2000 == 0, 3);
    while (s.fed < len) feed(&s, len - (size_t) s.fed);
    shutdown(s.peer, SHUT_WR);
    mcq__uring_of(s.wire)->hangup = MCQ__URING_HANGUP_SEEN;
    start(&s);
    until_received(&s);
    for (int i = 0; i < 100 && s.ends == 0; i++) test_seat_turns(&t, 1);
    assert_int_equal(s.end, UV_EOF);
    assert_int_equal(s.ends, 1);
    end_side(&s);
    close_seat(&t);
  }
}

/* What is done when the end may have been missed: the receive is replaced in
 * the middle of the stream. */
static void a_renewed_receive_loses_nothing(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  test_random_t r = {7};
  open_seat(&t);
  open_side(&s, &t, true, 3);
  start(&s);
  for (int i = 0; i < 500; i++) {
    feed(&s, test_random_below(&r, 50000));
    mcq__uring_wire_t* w = mcq__uring_of(s.wire);
    w->renew = w->receiving;
    mcq__uring_want(w);
    test_seat_turns(&t, 1);
  }
  until_received(&s);
  shutdown(s.peer, SHUT_WR);
  while (s.ends == 0) sleep_once(&t);
  assert_int_equal(s.end, UV_EOF);
  end_side(&s);
  close_seat(&t);
}

/* The peer goes without a word. */
static void reset(side_t* s) {
  struct linger now = {1, 0};
  assert_int_equal(setsockopt(s->peer, SOL_SOCKET, SO_LINGER, &now, sizeof now),
                   0);
  close(s->peer);
  s->peer = -1;
}

static void a_reset_is_an_error(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, true, 1);
  start(&s);
  test_seat_turns(&t, 1);
  reset(&s);
  while (s.ends == 0) sleep_once(&t);
  assert_int_equal(s.end, UV_ECONNRESET);
  end_side(&s);
  close_seat(&t);
}

/* ---- stopping
 * ---------------------------------------------------------------- */

static void stopped_bytes_and_the_end_wait(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, false, 5);
  start(&s);
  test_seat_turns(&t, 1);
  stop(&s);
  feed_all(&s, 50000);
  test_seat_turns(&t, 3);
  feed_all(&s, 50000);
  shutdown(s.peer, SHUT_WR);
  test_seat_turns(&t, 3);
  stop(&s);
  start(&s); /* asserts that nothing comes inline */
  assert_int_equal(s.got, 0);
  until_received(&s);
  while (s.ends == 0) sleep_once(&t);
  assert_int_equal(s.end, UV_EOF);
  end_side(&s);
  close_seat(&t);
}

static side_t* started;

static void start_the_other(side_t* s, mcq__slice_t bytes) {
  (void) s;
  (void) bytes;
  start(started);
}

/* More arrives after a stopped reader was started and before it got what had
 * arrived. */
static void what_came_earlier_comes_first(void** state) {
  (void) state;
  test_seat_t t;
  side_t one;
  side_t two;
  open_seat(&t);
  open_side(&one, &t, false, 1);
  open_side(&two, &t, false, 2);
  started = &two;
  one.on_bytes = start_the_other;
  start(&one);
  start(&two);
  test_seat_turns(&t, 1);
  stop(&two);
  feed_all(&two, 1000);
  test_seat_turns(&t, 1);
  assert_int_equal(mcq__uring_of(two.wire)->parked.count, 1);
  feed_all(&one, 10);
  feed_all(&two, 1000);
  until_received(&two);
  assert_int_equal(two.reads, 2);
  end_side(&one);
  end_side(&two);
  close_seat(&t);
}

/* A stopped reader does not read for ever: the peer feels it. */
static void a_stopped_reader_holds_the_peer_back(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, false, 5);
  start(&s);
  test_seat_turns(&t, 1);
  stop(&s);
  for (int i = 0; i < 100; i++) {
    feed(&s, MIB);
    test_seat_turns(&t, 1);
  }
  mcq__uring_wire_t* w = mcq__uring_of(s.wire);
  assert_true(s.fed < 2 * MIB);
  assert_true(w->parked_bytes < 2 * MIB);
  assert_false(w->receiving);
  start(&s);
  until_received(&s);
  assert_true(w->receiving || polled);
  end_side(&s);
  close_seat(&t);
}

static size_t largest; /* piece */

static void note_size(side_t* s, mcq__slice_t bytes) {
  (void) s;
  if (bytes.len > largest) largest = bytes.len;
}

/* Lets megabytes lie before each turn. */
static void feed_megabytes(side_t* s) {
  for (int i = 0; i < 8; i++) {
    for (int k = 0; k < 16; k++) feed(s, MIB / 8);
    while (s->got < s->fed) sleep_once(s->seat);
  }
  assert_true(s->got > 4 * MIB);
}

/* However much lies there: others have their turn, and timers theirs, after a
 * quarter of the buffers. */
static void what_one_receive_brings_is_capped(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, true, 5);
  s.on_bytes = note_size;
  start(&s);
  largest = 0;
  for (int i = 0; i < 3; i++) feed_megabytes(&s);
  if (uring_of(&t)->bundles) assert_in_range(largest, 1, MIB / 4);
  end_side(&s);
  close_seat(&t);
}

/* Who is told something says the next thing at once, and means to answer when
 * the phase comes to that. */
static struct {
  mcq__task_t answer;
  unsigned heard, answered;
  unsigned ahead; /* how often more was heard before the answer */
} talk;

static void answer(mcq__task_t* task) {
  (void) task;
  talk.answered = talk.heard;
}

static void hear(side_t* s, mcq__slice_t bytes) {
  (void) bytes;
  talk.ahead += talk.heard != talk.answered;
  talk.heard++;
  if (talk.heard < 100) feed(s, 10);
  mcq__io_flush(&s->seat->io, &talk.answer);
}

/* What comes while something is handled waits until that has been answered. */
static void answers_come_before_more_is_heard(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, true, 6);
  memset(&talk, 0, sizeof talk);
  talk.answer.run = answer;
  s.on_bytes = hear;
  start(&s);
  feed(&s, 10);
  while (talk.heard < 100) sleep_once(&t);
  test_seat_turns(&t, 1);
  assert_int_equal(talk.ahead, 0);
  assert_int_equal(talk.answered, 100);
  end_side(&s);
  close_seat(&t);
}

static test_random_t storm;

static void stop_sometimes(side_t* s, mcq__slice_t bytes) {
  (void) bytes;
  if (test_random_below(&storm, 3) == 0) stop(s);
  if (test_random_below(&storm, 4) == 0) start(s);
  if (test_random_below(&storm, 4) == 0) stop(s);
}

/* 64 MiB through four wires at once, each stopped and started at random, in
 * callbacks and between turns, for short and for long. */
static void storms_of_stops_lose_nothing(void** state) {
  (void) state;
  enum { WIRES = 4 };
  test_seat_t t;
  side_t s[WIRES];
  unsigned rest[WIRES] = {0}; /* turns to stay as it is */
  open_seat(&t);
  storm.state = 11;
  for (int i = 0; i < WIRES; i++) {
    open_side(&s[i], &t, i % 2 == 0, (uint64_t) i + 1);
    s[i].on_bytes = stop_sometimes;
    start(&s[i]);
  }
  uint64_t total = 0;
  while (total < 64 * MIB) {
    total = 0;
    for (int i = 0; i < WIRES; i++) {
      feed(&s[i], test_random_below(&storm, MIB));
      total += s[i].got;
      if (rest[i] > 0) {
        rest[i]--;
      } else if (test_random_below(&storm, 5) == 0) {
        stop(&s[i]);
        rest[i] = (unsigned) test_random_below(&storm, 10);
      } else {
        start(&s[i]);
      }
    }
    test_seat_turns(&t, 1);
  }
  for (int i = 0; i < WIRES; i++) {
    s[i].on_bytes = NULL;
    start(&s[i]);
    until_received(&s[i]);
    end_side(&s[i]);
  }
  close_seat(&t);
}

/* ---- no memory at the end of a turn -------------------------------------- */

static struct {
  mcq__task_t task;
  mcq__task_t answer; /* for which the back end breaks off */
  test_seat_t* seat;
} tired;

static void say_nothing(mcq__task_t* task) {
  (void) task;
}

static void close_and_answer(side_t* s) {
  mcq__io_flush(&s->seat->io, &tired.answer);
  close_side(s);
}

/* The turn is over before anything is received, and memory is short. */
static void tire(mcq__task_t* task) {
  (void) task;
  mcq__io_spend(&tired.seat->io, 0, MCQ__TURN_BYTES, 0);
  test_alloc_fail_next(&tired.seat->pool.alloc, true);
}

/* What comes then cannot be kept for the next turn.  Whoever closes when told
 * so is told of the close when the kernel has let go, and not before. */
static void what_cannot_wait_ends_the_wire(void** state) {
  (void) state;
  test_seat_t t;
  side_t other;
  side_t s;
  char byte;
  open_seat(&t);
  open_side(&other, &t, false, 4);
  start(&other);
  feed_all(&other, 100);
  until_received(&other); /* now there is a slab to lend with */
  open_side(&s, &t, false, 3);
  start(&s); /* has no room to keep anything: it never had to */
  test_seat_turns(&t, 2);
  s.on_ended = close_and_answer;
  tired.task.run = tire;
  tired.answer.run = say_nothing;
  tired.seat = &t;
  feed_all(&s, 100);
  while (s.ends == 0) { /* in whichever turn it comes */
    mcq__io_work(&t.io, &tired.task);
    sleep_once(&t);
  }
  t.pool.alloc.fail_at = 0;
  assert_int_equal(s.end, MCQ_ENOMEM);
  assert_int_equal(s.got, 0);
  while (!s.closed) sleep_once(&t);
  assert_int_equal(recv(s.peer, &byte, 1, 0), 0);
  end_side(&other);
  end_side(&s);
  close_seat(&t);
}

/* ---- running out of buffers
 * ---------------------------------------------------- */

/* Room for so many descriptors besides our own, or fewer. */
static size_t allowed_descriptors(size_t wanted) {
  struct rlimit limit;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur < wanted + 64) {
    limit.rlim_cur =
        limit.rlim_max < wanted + 64 ? limit.rlim_max : wanted + 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  return limit.rlim_cur < wanted + 64 ? limit.rlim_cur - 64 : wanted;
}

/* More is waiting at once, on more wires, than the buffers can hold: every
 * wire gets its bytes in the end. */
static void a_thousand_wires_share_the_buffers(void** state) {
  (void) state;
  size_t wires = allowed_descriptors(2000) / 2;
  test_seat_t t;
  side_t* s = (side_t*) calloc(wires, sizeof *s);
  assert_non_null(s);
  open_seat(&t);
  for (size_t i = 0; i < wires; i++) {
    open_side(&s[i], &t, false, i);
    feed_all(&s[i], 40 * KIB);
    start(&s[i]);
  }
  bool starved = false;
  size_t left = wires;
  for (int round = 0; left > 0; round++) {
    assert_true(round < 100000);
    mcq__uring_t* u = uring_of(&t);
    test_seat_turns(&t, 1);
    starved = starved || u->io->has_read;
    left = 0;
    for (size_t i = 0; i < wires; i++) {
      if (s[i].fed < 120 * KIB) feed(&s[i], 120 * KIB - (size_t) s[i].fed);
      if (s[i].got < 120 * KIB) left++;
    }
  }
  assert_true(starved || wires < 200);
  for (size_t i = 0; i < wires; i++) close_side(&s[i]);
  for (size_t i = 0; i < wires; i++) end_side(&s[i]);
  free(s);
  close_seat(&t);
}

enum { HOLD_MAX = 8 * MCQ__BUFFERS_MAX };

typedef struct holder {
  mcq__task_t task;
  mcq__slice_t held[HOLD_MAX];
  uint64_t at[HOLD_MAX]; /* in the stream */
  uint64_t seed[HOLD_MAX];
  size_t count;
} holder_t;

static holder_t holder;
static bool starved; /* one read by itself while slices were held */

/* Still what it was, and back it goes, last first. */
static void let_go(void) {
  while (holder.count > 0) {
    size_t i = --holder.count;
    assert_stream(holder.seed[i], holder.at[i], holder.held[i].data,
                  holder.held[i].len);
    mcq__slice_release(&holder.held[i]);
  }
}

static void let_go_in_next_turn(mcq__task_t* task) {
  (void) task;
  let_go();
}

static void hold(side_t* s, mcq__slice_t bytes) {
  assert_true(holder.count < HOLD_MAX);
  holder.held[holder.count] = mcq__slice_retain(bytes);
  holder.at[holder.count] = s->got - bytes.len;
  holder.seed[holder.count] = s->seed;
  holder.count++;
  if (s->seat->io.has_read) starved = true;
}

static void hold_until_next_turn(side_t* s, mcq__slice_t bytes) {
  hold(s, bytes);
  mcq__io_later(&s->seat->io, &holder.task);
}

static void stop_when_held(side_t* s, mcq__slice_t bytes) {
  hold(s, bytes);
  stop(s);
}

static void close_when_held(side_t* s, mcq__slice_t bytes) {
  hold(s, bytes);
  close_side(s);
}

/* Little comes on each of many wires: the buffers are used up while what they
 * hold is still wanted. */
static void slices_may_be_held_until_the_next_turn(void** state) {
  (void) state;
  enum { WIRES = MCQ__BUFFERS_MAX + 76, EACH = 2000 };
  static side_t s[WIRES];
  test_seat_t t;
  if (allowed_descriptors(2 * WIRES) < 2 * WIRES) skip();
  open_seat(&t);
  memset(&holder, 0, sizeof holder);
  holder.task.run = let_go_in_next_turn;
  starved = false;
  for (size_t i = 0; i < WIRES; i++) {
    open_side(&s[i], &t, false, i);
    s[i].on_bytes = hold_until_next_turn;
    start(&s[i]);
  }
  size_t left = WIRES;
  while (left > 0) {
    left = 0;
    for (size_t i = 0; i < WIRES; i++) {
      if (s[i].fed < EACH) feed_all(&s[i], 100);
      if (s[i].got < EACH) left++;
    }
    /* It may sleep: whatever is missing must wake it. */
    if (left > 0) sleep_once(&t);
  }
  assert_true(starved);
  test_seat_turns(&t, 2);
  for (size_t i = 0; i < WIRES; i++) end_side(&s[i]);
  close_seat(&t);
}

/* Whoever finds no buffer reads by himself, again and again for as long as
 * there is none, and sleeps while nothing comes. */
static void without_buffers_wires_read_by_themselves(void** state) {
  (void) state;
  enum { WIRES = MCQ__BUFFERS_MAX + 44 };
  static side_t s[WIRES];
  test_seat_t t;
  if (allowed_descriptors(2 * WIRES) < 2 * WIRES) skip();
  open_seat(&t);
  memset(&holder, 0, sizeof holder);
  for (size_t i = 0; i < WIRES; i++) {
    open_side(&s[i], &t, false, i);
    s[i].on_bytes = hold;
    start(&s[i]);
  }
  test_seat_turns(&t, 1);
  for (int round = 1; round <= 5; round++) {
    for (size_t i = 0; i < WIRES; i++) feed_all(&s[i], 100);
    for (size_t i = 0; i < WIRES; i++) until_received(&s[i]);
    assert_int_equal(mcq__buffers_free(&uring_of(&t)->buffers), 0);
    test_seat_turns(&t, 5);
    assert_false(uv_is_active((uv_handle_t*) &t.io.turn.idle));
  }
  let_go();
  for (size_t i = 0; i < WIRES; i++) feed_all(&s[i], 100);
  for (size_t i = 0; i < WIRES; i++) until_received(&s[i]);
  let_go();
  for (size_t i = 0; i < WIRES; i++) end_side(&s[i]);
  close_seat(&t);
}

/* The end, too, is seen by who has no receive with the kernel; and who stops
 * with no buffer, and closes there, does. */
static void ends_and_stops_without_buffers(void** state) {
  (void) state;
  enum { WIRES_MAX = MCQ__BUFFERS_MAX + 6 };
  static side_t s[WIRES_MAX];
  test_seat_t t;
  if (allowed_descriptors(2 * WIRES_MAX) < 2 * WIRES_MAX) skip();
  open_seat(&t);
  size_t count = uring_of(&t)->buffers.count;
  size_t wires = count + 6;
  side_t* last = &s[wires - 3];
  memset(&holder, 0, sizeof holder);
  for (size_t i = 0; i < wires; i++) {
    open_side(&s[i], &t, false, i);
    s[i].on_bytes = hold;
    if (i < count) start(&s[i]);
    if (i < count) feed_all(&s[i], 100);
  }
  while (holder.count < count) test_seat_turns(&t, 1);
  for (size_t i = count; i < wires; i++) feed_all(&s[i], 100);
  for (size_t i = 0; i < 3; i++) start(&last[i]);
  shutdown(last[0].peer, SHUT_WR);
  last[1].on_bytes = stop_when_held;
  last[2].on_bytes = close_when_held;
  for (size_t i = 0; i < 3; i++) until_received(&last[i]);
  while (last[0].ends == 0) sleep_once(&t);
  assert_int_equal(last[0].end, UV_EOF);
  feed_all(&last[1], 100);
  test_seat_turns(&t, 5);
  assert_int_equal(last[1].got, 100);
  start(&last[1]);
  last[1].on_bytes = NULL;
  until_received(&last[1]);
  while (!last[2].closed) sleep_once(&t);
  let_go();
  for (size_t i = 0; i < wires; i++) end_side(&s[i]);
  close_seat(&t);
}

/* A flood is read without the ring, what trickles never is. */
static void floods_are_read_without_the_ring(void** state) {
  (void) state;
  for (int flood = 0; flood < 2; flood++) {
    test_seat_t t;
    side_t s;
    open_seat(&t);
    open_side(&s, &t, true, 7);
    start(&s);
    test_seat_turns(&t, 1);
    while (s.fed < 2 * MIB) {
      feed(&s, flood ? 2 * MIB - (size_t) s.fed : 4 * KIB);
      if (flood)
        test_seat_turns(&t, 1);
      else
        until_received(&s);
    }
    until_received(&s);
    if (uring_of(&t)->bundles) assert_int_equal(t.io.has_read, flood);
    end_side(&s);
    close_seat(&t);
  }
}

static void stop_when_all_came(side_t* s, mcq__slice_t bytes) {
  (void) bytes;
  if (s->got == 2 * MIB) stop(s);
}

/* Bytes and a reset that come while nobody reads, after a flood: the receive
 * that is asked for then must not miss what has already been. */
static void a_reset_after_a_flood_is_seen(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, true, 7);
  s.on_bytes = stop_when_all_came;
  start(&s);
  test_seat_turns(&t, 1);
  while (s.got < 2 * MIB) {
    if (s.fed < 2 * MIB) feed(&s, 2 * MIB - (size_t) s.fed);
    test_seat_turns(&t, 1);
  }
  test_seat_turns(&t, 2);
  feed_all(&s, 100);
  reset(&s);
  test_seat_turns(&t, 5);
  start(&s);
  for (int i = 0; i < 100 && s.ends == 0; i++) test_seat_turns(&t, 1);
  assert_int_equal(s.end, UV_ECONNRESET);
  assert_int_equal(s.got, 2 * MIB + 100);
  end_side(&s);
  close_seat(&t);
}

/* Stopped wires sit on all buffers; a reader that needs some gets them, and
 * the stopped ones keep their bytes. */
static void stopped_wires_make_room_for_readers(void** state) {
  (void) state;
  enum { WIRES = 60 };
  test_seat_t t;
  side_t s[WIRES];
  side_t reader;
  open_seat(&t);
  for (size_t i = 0; i < WIRES; i++) {
    open_side(&s[i], &t, false, i);
    start(&s[i]);
  }
  open_side(&reader, &t, false, 1000);
  test_seat_turns(&t, 1);
  for (size_t i = 0; i < WIRES; i++) stop(&s[i]);
  /* Small pieces take a buffer each. */
  mcq__uring_t* u = uring_of(&t);
  for (int i = 0; i < 40 && mcq__buffers_free(&u->buffers) > 0; i++) {
    for (size_t k = 0; k < WIRES; k++) feed_all(&s[k], 100);
    test_seat_turns(&t, 1);
  }
  assert_int_equal(mcq__buffers_free(&u->buffers), 0);
  start(&reader);
  feed_all(&reader, 100000);
  /* No memory to copy to, nor to read into. */
  test_alloc_fail_next(&t.pool.alloc, true);
  while (reader.ends == 0) test_seat_turns(&t, 1);
  assert_int_equal(reader.end, MCQ_ENOMEM);
  assert_int_equal(reader.got, 0);
  assert_int_equal(mcq__buffers_free(&u->buffers), 0);
  t.pool.alloc.fail_at = 0;
  end_side(&reader);
  open_side(&reader, &t, false, 1000);
  start(&reader);
  feed_all(&reader, 100000);
  until_received(&reader);
  test_seat_turns(&t, 1);
  assert_int_equal(mcq__buffers_free(&u->buffers), u->buffers.count);
  for (size_t i = 0; i < WIRES; i++) start(&s[i]);
  for (size_t i = 0; i < WIRES; i++) {
    until_received(&s[i]);
    assert_true(s[i].got > 0);
    end_side(&s[i]);
  }
  end_side(&reader);
  close_seat(&t);
}

/* A slice held for too long delays the end, but nothing is unmapped under
 * it. */
static void leaving_waits_for_slices(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  memset(&holder, 0, sizeof holder);
  open_side(&s, &t, false, 1);
  s.on_bytes = hold;
  start(&s);
  feed_all(&s, 1000);
  until_received(&s);
  end_side(&s);
  mcq__io_close(&t.io);
  for (int i = 0; i < 5; i++) (void) uv_run(&t.loop, UV_RUN_NOWAIT);
  assert_false(t.left);
  let_go();
  assert_false(t.left);
  test_seat_clear(&t);
}

/* ---- polling ------------------------------------------------------------- */

static bool is_polled(const side_t* s) {
  const mcq__uring_wire_t* w = mcq__uring_of(s->wire);
  return w->watch != NULL && w->watch->armed && !w->receiving;
}

/* One wire, which is read and polled for. */
static void open_polled(test_seat_t* t, side_t* s, bool tcp) {
  open_seat(t);
  open_side(s, t, tcp, 3);
  start(s);
  test_seat_turns(t, 1);
  assert_true(is_polled(s));
}

static void trickle(side_t* s, size_t len) {
  while (len > 0) {
    feed_all(s, KIB);
    until_received(s);
    len -= KIB;
  }
}

static int option_of(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  assert_int_equal(getsockopt(fd, SOL_SOCKET, option, &value, &size), 0);
  return value;
}

/* What the system lets a connection ask room for. */
static int widest(void) {
  int most = 0;
  FILE* f = fopen("/proc/sys/net/ipv4/tcp_rmem", "r");
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%*d %*d %d", &most), 1);
  fclose(f);
  return most / 2 < (int) MIB ? most / 2 : (int) MIB;
}

static void a_wide_socket_wakes_as_before(void** state) {
  (void) state;
  int pair[2];
  tcp_pair(pair);
  assert_in_range(option_of(pair[0], SO_RCVBUF), 1, widest() - 1);
  assert_int_equal(mcq__fd_widen(pair[0]), 0);
  assert_true(option_of(pair[0], SO_RCVBUF) >= widest());
  assert_int_equal(option_of(pair[0], SO_RCVLOWAT), 1);
  close(pair[0]);
  close(pair[1]);
}

/* Polled for while it trickles, read by the ring while it does not. */
static void a_flood_is_for_the_ring(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_polled(&t, &s, true);
  for (int i = 0; i < 3; i++) {
    trickle(&s, MIB);
    assert_true(is_polled(&s));
    assert_int_equal(mcq__uring_of(s.wire)->wide, i > 0);
    for (int k = 0; k < 8; k++) {
      feed(&s, MIB);
      until_received(&s);
    }
    test_seat_turns(&t, 2);
    assert_true(mcq__uring_of(s.wire)->receiving);
    assert_true(mcq__uring_of(s.wire)->wide);
    assert_true(option_of(mcq__uring_of(s.wire)->fd, SO_RCVBUF) >= widest());
    if (!uring_of(&t)->bundles) break; /* it goes on for ever */
  }
  end_side(&s);
  close_seat(&t);
}

/* One more than may be polled for, and then again no more than that. */
static void a_crowd_is_for_the_ring(void** state) {
  (void) state;
  enum { WIRES = WATCHES + 1 };
  test_seat_t t;
  side_t s[WIRES];
  open_seat(&t);
  for (size_t i = 0; i < WIRES; i++) {
    open_side(&s[i], &t, false, i);
    start(&s[i]);
    test_seat_turns(&t, 1);
    assert_int_equal(is_polled(&s[i]), i < WIRES - 1);
  }
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < WIRES; i++) feed_all(&s[i], 1000);
    for (size_t i = 0; i < WIRES; i++) until_received(&s[i]);
    test_seat_turns(&t, 1);
    for (size_t i = 0; i < WIRES; i++)
      assert_true(mcq__uring_of(s[i].wire)->receiving);
  }
  end_side(&s[0]);
  if (uring_of(&t)->bundles) trickle(&s[1], MIB);
  test_seat_turns(&t, 1);
  assert_int_equal(is_polled(&s[1]), uring_of(&t)->bundles);
  for (size_t i = 1; i < WIRES; i++) end_side(&s[i]);
  close_seat(&t);
}

/* What the ring brought before waits for its turn, and something else has come
 * since. */
static void what_waits_is_not_overtaken(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  uint8_t bytes[100];
  mcq__slice_t kept;
  open_polled(&t, &s, false);
  mcq__uring_wire_t* w = mcq__uring_of(s.wire);
  feed_all(&s, sizeof bytes);
  assert_int_equal(recv(w->fd, bytes, sizeof bytes, 0), sizeof bytes);
  assert_int_equal(
      mcq__slice_keep(&kept, t.io.pool, mcq__slice_static(bytes, sizeof bytes)),
      0);
  *(mcq__slice_t*) mcq__fifo_push(&w->parked) = kept;
  w->parked_bytes = sizeof bytes;
  feed_all(&s, sizeof bytes);
  test_seat_turns(&t, 2);
  assert_int_equal(s.got, 0);
  mcq__io_work(&t.io, &w->task);
  until_received(&s);
  end_side(&s);
  close_seat(&t);
}

/* Else the loop would turn for nothing. */
static void who_is_stopped_is_not_polled_for(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_polled(&t, &s, false);
  stop(&s);
  feed_all(&s, 1000);
  test_seat_turns(&t, 3);
  assert_false(is_polled(&s));
  assert_int_equal(s.got, 0);
  assert_false(uv_is_active((uv_handle_t*) &t.io.turn.idle));
  start(&s);
  until_received(&s);
  assert_true(is_polled(&s));
  end_side(&s);
  close_seat(&t);
}

/* ---- talks --------------------------------------------------------------- */

/* So many rounds of so much heard and as much said. */
static void converse(side_t* s, size_t len, int rounds) {
  static uint8_t bytes[16 * KIB];
  mcq__iov_t iov = {bytes, len};
  assert_true(len <= sizeof bytes);
  for (int i = 0; i < rounds; i++) {
    unsigned writes = s->writes;
    feed_all(s, len);
    until_received(s);
    ssize_t n = write_pieces(s, &iov, 1);
    assert_true(n >= 0);
    while (n == MCQ__IN_FLIGHT && s->writes == writes) sleep_once(s->seat);
    while (drain(s->peer, bytes, sizeof bytes) > 0) continue;
  }
  test_seat_turns(s->seat, 2);
}

static void open_talk(side_t* s, test_seat_t* t) {
  open_side(s, t, true, 7);
  start(s);
  converse(s, 8 * KIB, 20);
  assert_true(mcq__uring_of(s->wire)->polled);
}

static void a_talk_is_polled_for_by_the_ring(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, true, 7);
  const mcq__uring_wire_t* w = mcq__uring_of(s.wire);
  start(&s);
  for (int i = 0; i < 3; i++) {
    converse(&s, 8 * KIB, 20);
    assert_true(w->talks && w->receiving && w->polled);
    /* What is small the ring may bring. */
    converse(&s, 100, 40);
    assert_true(!w->talks && w->receiving && !w->polled);
    converse(&s, 8 * KIB, 20);
    assert_true(w->talks);
    /* And what nobody answers. */
    for (int k = 0; k < 200; k++) {
      feed_all(&s, 8 * KIB);
      until_received(&s);
    }
    test_seat_turns(&t, 2);
    assert_true(!w->talks && w->receiving && !w->polled);
  }
  end_side(&s);
  close_seat(&t);
}

/* Until it is to be heard. */
static void a_talk_may_be_stopped(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  for (int turns = 0; turns < 6; turns++) {
    open_talk(&s, &t);
    stop(&s);
    test_seat_turns(&t, turns);
    feed_all(&s, 8 * KIB);
    test_seat_turns(&t, 5);
    assert_int_equal(s.got, s.fed - 8 * KIB);
    start(&s);
    until_received(&s);
    feed_all(&s, KIB);
    shutdown(s.peer, SHUT_WR);
    while (s.ends == 0) sleep_once(&t);
    assert_int_equal(s.end, UV_EOF);
    assert_int_equal(s.got, s.fed);
    end_side(&s);
  }
  close_seat(&t);
}

/* Also when it is over while nobody listens. */
static void the_end_of_a_talk_is_seen(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  for (int i = 0; i < 2; i++) {
    open_talk(&s, &t);
    stop(&s);
    test_seat_turns(&t, 1);
    if (i == 0)
      shutdown(s.peer, SHUT_WR);
    else
      reset(&s);
    for (int k = 0; k < 100 && s.ends == 0; k++) test_seat_turns(&t, 1);
    assert_int_equal(s.end, i == 0 ? UV_EOF : UV_ECONNRESET);
    end_side(&s);
  }
  close_seat(&t);
}

/* ---- writing
 * ----------------------------------------------------------------- */

typedef struct sender {
  side_t* side;
  uint8_t* bytes;
  size_t len;
  size_t at;
  size_t piece; /* of one slice of a vectored write; 0: a single one */
} sender_t;

static sender_t sender;

static void send_rest(side_t* s) {
  enum { PIECES = 100 };
  mcq__iov_t iov[PIECES];
  size_t count = 0;
  assert_true(s->wrote >= 0);
  sender.at += (size_t) s->wrote;
  s->wrote = 0;
  size_t left = sender.len - sender.at;
  size_t piece = sender.piece == 0 ? left : sender.piece;
  for (size_t at = sender.at; left > 0 && count < PIECES; count++) {
    iov[count].base = sender.bytes + at;
    iov[count].len = left < piece ? left : piece;
    at += iov[count].len;
    left -= iov[count].len;
  }
  if (count > 0) send_pieces(s, iov, count);
}

/* `len` bytes through a peer that reads now and then. */
static void check_sending(size_t len, size_t piece) {
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, true, 0);
  uint8_t* sent = (uint8_t*) malloc(len);
  uint8_t* got = (uint8_t*) malloc(len + 1);
  assert_true(sent != NULL && got != NULL);
  stream_bytes(9, 0, sent, len);
  sender_t job = {&s, sent, len, 0, piece};
  sender = job;
  s.on_wrote = send_rest;
  send_rest(&s);
  size_t received = 0;
  while (received < len) {
    test_seat_turns(&t, 3);
    received += drain(s.peer, got + received, len + 1 - received);
  }
  test_seat_turns(&t, 2);
  assert_int_equal(s.written, len);
  assert_int_equal(received, len);
  assert_memory_equal(got, sent, len);
  s.wire->backend->shutdown(s.wire);
  while (recv(s.peer, got, 1, 0) != 0) assert_int_equal(errno, EAGAIN);
  end_side(&s);
  close_seat(&t);
  free(sent);
  free(got);
}

static void large_writes_are_continued(void** state) {
  (void) state;
  check_sending(20 * MIB, 0);
}

static void vectored_writes_are_continued(void** state) {
  (void) state;
  check_sending(100 * 700, 700);
  check_sending(8 * MIB, 50000);
}

static void without_memory_pieces_go_one_by_one(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  uint8_t got[16];
  open_seat(&t);
  open_side(&s, &t, false, 0);
  mcq__iov_t iov[2] = {{"first", 5}, {"second", 6}};
  test_alloc_fail_next(&t.pool.alloc, true);
  send_pieces(&s, iov, 2);
  t.pool.alloc.fail_at = 0;
  while (s.writes == 0) sleep_once(&t);
  assert_int_equal(s.wrote, 5);
  assert_int_equal(drain(s.peer, got, sizeof got), 5);
  assert_memory_equal(got, "first", 5);
  end_side(&s);
  close_seat(&t);
}

/* Few write at once; what many write goes to the kernel together. */
static void few_write_at_once(void** state) {
  (void) state;
  enum { WIRES = MCQ__URING_FEW + 1 };
  test_seat_t t;
  side_t s[WIRES];
  mcq__iov_t iov = {"x", 1};
  open_seat(&t);
  for (size_t i = 0; i < WIRES; i++) open_side(&s[i], &t, false, i);
  test_seat_turns(&t, 1);
  for (size_t i = 0; i < MCQ__URING_FEW; i++)
    assert_int_equal(write_pieces(&s[i], &iov, 1), 1);
  assert_int_equal(write_pieces(&s[WIRES - 1], &iov, 1), MCQ__IN_FLIGHT);
  while (s[WIRES - 1].writes == 0) test_seat_turns(&t, 1);
  assert_int_equal(s[WIRES - 1].wrote, 1);
  test_seat_turns(&t, 2);
  for (int i = 0; i < 10; i++)
    assert_int_equal(write_pieces(&s[0], &iov, 1), 1);
  for (size_t i = 0; i < WIRES; i++) end_side(&s[i]);
  close_seat(&t);
}

/* Room is waited for asleep, whether or not the peer has ended its side, and a
 * wire may be closed meanwhile. */
static void room_is_awaited(void** state) {
  (void) state;
  static uint8_t zeros[MIB];
  mcq__iov_t iov = {zeros, sizeof zeros};
  for (int way = 0; way < 4; way++) {
    bool ended = way % 2 == 1;
    bool closes = way / 2 == 1;
    test_seat_t t;
    side_t s;
    open_seat(&t);
    open_side(&s, &t, true, 0);
    if (ended) shutdown(s.peer, SHUT_WR);
    ssize_t n = 1;
    for (size_t sent = 0; n > 0; sent += (size_t) n) {
      assert_true(sent < 64 * MIB);
      n = write_pieces(&s, &iov, 1);
      assert_in_range(n, 0, MIB);
    }
    assert_int_equal(n, MCQ__IN_FLIGHT);
    test_seat_turns(&t, 2);
    uint64_t writes = t.io.calls.writes;
    uint64_t enters = t.io.calls.enters;
    test_seat_turns(&t, 10);
    assert_int_equal(t.io.calls.writes, writes);
    assert_in_range(t.io.calls.enters, enters, enters + 2);
    assert_int_equal(s.writes, 0);
    if (closes) close_side(&s);
    while (!closes && s.writes == 0) {
      (void) drain(s.peer, zeros, sizeof zeros);
      test_seat_turns(&t, 1);
    }
    end_side(&s);
    assert_int_equal(s.writes, 1);
    if (closes)
      assert_true(s.wrote < 0);
    else
      assert_in_range(s.wrote, 1, MIB);
    close_seat(&t);
  }
}

/* The write tells; on_end does not come for the same cause. */
static void a_failed_write_is_told_once(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, false, 0);
  close(s.peer);
  s.peer = -1;
  send_bytes(&s, "x", 1);
  while (s.writes == 0) sleep_once(&t);
  assert_int_equal(s.wrote, UV_EPIPE);
  start(&s);
  test_seat_turns(&t, 5);
  assert_int_equal(s.ends, 0);
  end_side(&s);
  close_seat(&t);
}

/* ---- many wires
 * ----------------------------------------------------------------- */

/* Echoes what came; the copy lives until it is written. */
typedef struct echo {
  side_t side;
  uint8_t* copy;
  size_t len;
  size_t at;
} echo_t;

static void echo_rest(side_t* s) {
  echo_t* e = mcq__container_of(s, echo_t, side);
  if (s->writes > 0) e->at += (size_t) s->wrote;
  if (e->at < e->len) {
    send_bytes(s, e->copy + e->at, e->len - e->at);
    return;
  }
  free(e->copy);
  e->copy = NULL;
  start(s);
}

static void echo_bytes(side_t* s, mcq__slice_t bytes) {
  echo_t* e = mcq__container_of(s, echo_t, side);
  e->copy = (uint8_t*) malloc(bytes.len);
  assert_non_null(e->copy);
  memcpy(e->copy, bytes.data, bytes.len);
  e->len = bytes.len;
  e->at = 0;
  stop(s);
  send_bytes(s, e->copy, e->len);
}

static void two_hundred_wires_echo(void** state) {
  (void) state;
  enum { WIRES = 200, EACH = 30000 };
  allowed_descriptors(2 * WIRES);
  test_seat_t t;
  static echo_t e[WIRES];
  size_t back[WIRES] = {0};
  open_seat(&t);
  for (size_t i = 0; i < WIRES; i++) {
    memset(&e[i], 0, sizeof e[i]);
    open_side(&e[i].side, &t, i % 4 == 0, i);
    e[i].side.on_bytes = echo_bytes;
    e[i].side.on_wrote = echo_rest;
    start(&e[i].side);
  }
  test_random_t r = {5};
  size_t left = WIRES;
  while (left > 0) {
    left = 0;
    for (size_t i = 0; i < WIRES; i++) {
      uint8_t bytes[EACH];
      size_t rest = EACH - (size_t) e[i].side.fed;
      feed(&e[i].side, test_random_below(&r, rest + 1));
      size_t n = drain(e[i].side.peer, bytes, sizeof bytes);
      assert_stream(i, back[i], bytes, n);
      back[i] += n;
      if (back[i] < EACH) left++;
    }
    test_seat_turns(&t, 1);
  }
  for (size_t i = 0; i < WIRES; i++) {
    end_side(&e[i].side);
    free(e[i].copy);
  }
  close_seat(&t);
}

/* ---- closing
 * ---------------------------------------------------------------------- */

static void close_on_bytes(side_t* s, mcq__slice_t bytes) {
  (void) bytes;
  close_side(s);
}

static void closing_is_safe_at_any_moment(void** state) {
  (void) state;
  test_seat_t t;
  test_random_t r = {21};
  uint8_t* bytes = (uint8_t*) calloc(1, MIB);
  assert_non_null(bytes);
  open_seat(&t);
  for (int round = 0; round < 400; round++) {
    side_t s;
    open_side(&s, &t, round % 2 == 0, (uint64_t) round);
    if (test_random_below(&r, 4) == 0) s.on_bytes = close_on_bytes;
    if (test_random_below(&r, 4) == 0) s.on_wrote = close_side;
    size_t steps = test_random_below(&r, 6);
    bool written = false;
    for (size_t i = 0; i < steps && !s.closing; i++) {
      switch (test_random_below(&r, 6)) {
        case 0:
          start(&s);
          break;
        case 1:
          stop(&s);
          break;
        case 2:
          feed(&s, test_random_below(&r, 300000));
          break;
        case 3:
          test_seat_turns(&t, 1);
          break;
        case 4:
          shutdown(s.peer, SHUT_WR);
          break;
        default:
          if (!written) send_bytes(&s, bytes, test_random_below(&r, MIB) + 1);
          written = true;
          break;
      }
    }
    end_side(&s);
  }
  free(bytes);
  close_seat(&t);
}

/* Nothing else does: our handles are unref'd. */
static void closing_keeps_the_loop_alive(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, true, 1);
  start(&s);
  test_seat_turns(&t, 1);
  close_side(&s);
  while (uv_run(&t.loop, UV_RUN_DEFAULT) != 0) continue;
  assert_true(s.closed);
  end_side(&s);
  close_seat(&t);
}

/* The last wire closes the whole seat from its last callback. */
static test_seat_t* to_close;

static void close_seat_too(mcq__wire_t* wire) {
  on_closed(wire);
  mcq__io_close(&to_close->io);
  assert_false(to_close->left);
}

static void the_seat_may_close_in_on_closed(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, false, 1);
  mcq__wire_events_t events = wire_events;
  events.on_closed = close_seat_too;
  to_close = &t;
  s.wire->events = &events;
  start(&s);
  test_seat_turns(&t, 1);
  close_side(&s);
  test_seat_clear(&t);
  assert_true(s.closed);
  close(s.peer);
}

/* Where a process has no descriptor left, the one that was accepted last is
 * enough. */
static void adopting_takes_no_descriptor(void** state) {
  (void) state;
  test_seat_t t;
  side_t s;
  int pair[2];
  open_seat(&t);
  memset(&s, 0, sizeof s);
  s.seat = &t;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  void* stream = stream_of(pair[0]);
  s.peer = pair[1];
  struct rlimit old;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  struct rlimit none = {0, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  int rc = t.io.backend->adopt(&s.wire, &t.io, stream, &wire_events, &s);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  assert_int_equal(rc, 0);
  end_side(&s);
  close_seat(&t);
}

/* ---- a system that refuses
 * ---------------------------------------------------------- */

/* Submissions fail for a while.  Everything is kept, is tried again when the
 * clock has moved, and meanwhile nobody spins. */
static void refused_submissions_are_repeated(void** state) {
  (void) state;
  static const int errors[] = {-EAGAIN, -EBUSY, -ENOMEM, -EINTR};
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    test_seat_t t;
    side_t s;
    uint8_t got[4];
    memset(&t, 0, sizeof t);
    test_seat_use_clock(&t);
    assert_int_equal(test_seat_open(&t, MCQ__BACKEND_URING), 0);
    uring_of(&t)->watch_max = 0;
    open_side(&s, &t, false, 1);
    refusal = errors[i];
    refusals = 1000000;
    start(&s);
    send_bytes(&s, "abc", 3);
    feed_all(&s, 1000);
    mcq__io_ref(&t.io);
    (void) uv_run(&t.loop, UV_RUN_NOWAIT);
    submissions = 0;
    for (int turn = 0; turn < 10; turn++) (void) uv_run(&t.loop, UV_RUN_NOWAIT);
    /* Two phases a turn, and interruptions are tried again at once. */
    assert_in_range(submissions, 1, 10 * 2 * 8);
    assert_true(uring_of(&t)->retry.place != 0);
    assert_false(uv_is_active((uv_handle_t*) &t.io.turn.idle));
    mcq__io_unref(&t.io);
    assert_int_equal(s.got, 0);
    refusals = 0;
    t.now += 1000;
    while (s.got < 1000 || s.writes == 0) test_seat_turns(&t, 1);
    assert_int_equal(drain(s.peer, got, sizeof got), 3);
    refusals = 3;
    close_side(&s);
    while (!s.closed) {
      t.now += 10;
      test_seat_turns(&t, 1);
    }
    end_side(&s);
    close_seat(&t);
  }
}

static size_t open_descriptors(void) {
  DIR* dir = opendir("/proc/self/fd");
  size_t count = 0;
  assert_non_null(dir);
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

/* From now on the system call fails in this process. */
static void refuse_call(long number, int error) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t) error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof program / sizeof *program, program};
  assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static void check_refused(long number, int error) {
  test_seat_t t;
  refuse_call(number, error);
  size_t before = open_descriptors();
  memset(&t, 0, sizeof t);
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_URING), -error);
  assert_int_equal(open_descriptors(), before);
  memset(&t, 0, sizeof t);
  assert_int_equal(test_seat_open(&t, MCQ__BACKEND_AUTO), 0);
  assert_int_equal(t.io.fallback, -error);
  assert_string_equal(t.io.backend->name, "uv");
  test_seat_close(&t);
  assert_int_equal(open_descriptors(), before);
}

/* What sandboxes and settings of the system do.  In a process of its own, for
 * there is no way back. */
static void a_refused_call_leaves_no_trace(void** state) {
  (void) state;
  static const struct {
    long number;
    int error;
  } calls[] = {
      {SYS_io_uring_setup, ENOSYS},    {SYS_io_uring_setup, EPERM},
      {SYS_io_uring_setup, ENOMEM},    {SYS_io_uring_register, EPERM},
      {SYS_io_uring_register, EINVAL}, {SYS_io_uring_enter, EPERM},
      {SYS_io_uring_enter, EAGAIN},    {SYS_epoll_create1, 0},
  };
  for (size_t i = 0; calls[i].error != 0; i++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      setenv("CMOCKA_TEST_ABORT", "1", 1);
      check_refused(calls[i].number, calls[i].error);
      _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
  }
}

/* Joining with so few descriptors left, in a loop that has its own already.
 * The result of joining. */
static int join_with_room_for(unsigned room) {
  test_seat_t t;
  struct rlimit old;
  memset(&t, 0, sizeof t);
  test_pool_open(&t.pool);
  assert_int_equal(uv_loop_init(&t.loop), 0);
  size_t before = open_descriptors();
  int lowest = dup(0);
  close(lowest);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  struct rlimit few = {(rlim_t) lowest + room, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  t.io.user = &t;
  t.io.on_left = test_seat_on_left;
  int rc = mcq__io_open(&t.io, &t.loop, t.pool.pool, MCQ__BACKEND_URING, NULL);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  if (rc == 0)
    mcq__io_close(&t.io);
  else
    assert_int_equal(open_descriptors(), before);
  while (!t.left) (void) uv_run(&t.loop, UV_RUN_ONCE);
  assert_int_equal(open_descriptors(), before);
  assert_int_equal(uv_loop_close(&t.loop), 0);
  test_pool_close(&t.pool);
  return rc;
}

static void missing_descriptors_leave_no_trace(void** state) {
  (void) state;
  unsigned room = 0;
  int rc;
  while ((rc = join_with_room_for(room)) != 0) {
    assert_int_equal(rc, UV_EMFILE);
    assert_true(++room < 64);
  }
  assert_true(room >= 4); /* the ring, a pair, a poll set */
}

/* With no memory to be locked it works or it does not. */
static void missing_locked_memory_leaves_no_trace(void** state) {
  (void) state;
  struct rlimit old;
  assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &old), 0);
  struct rlimit none = {0, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
  test_seat_t t;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open(&t, MCQ__BACKEND_AUTO);
  assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &old), 0);
  assert_int_equal(rc, 0);
  assert_true(t.io.fallback == 0 || t.io.fallback == UV_ENOMEM);
  test_seat_close(&t);
}

/* ---- memory
 * ----------------------------------------------------------------------------
 */

/* Both directions, parked bytes and a vectored write, with whatever memory
 * there is; what cannot be had is an error, never a loss. */
static int exchange(test_seat_t* t, int pair[2]) {
  side_t s;
  memset(&s, 0, sizeof s);
  s.seat = t;
  s.peer = pair[1];
  void* stream = stream_of(pair[0]);
  pair[0] = -1;
  int rc = t->io.backend->adopt(&s.wire, &t->io, stream, &wire_events, &s);
  if (rc != 0) {
    mcq__transport_tcp.discard(&t->io, stream);
    return rc;
  }
  mcq__iov_t iov[2] = {{"ab", 2}, {"cd", 2}};
  send_pieces(&s, iov, 2);
  start(&s);
  feed_all(&s, 10000);
  while (s.writes == 0 || (s.got < s.fed && s.ends == 0)) test_seat_turns(t, 1);
  if (s.ends == 0) {
    stop(&s);
    feed_all(&s, 10000);
    test_seat_turns(t, 3);
    start(&s);
    while (s.got < s.fed && s.ends == 0) sleep_once(t);
  }
  rc = s.end;
  close_side(&s);
  while (!s.closed) sleep_once(t);
  return rc;
}

static int scene(test_alloc_t* ta, void* arg) {
  (void) arg;
  test_seat_t t;
  int pair[2];
  memset(&t, 0, sizeof t);
  int rc = test_seat_open_on(&t, ta, MCQ__BACKEND_URING);
  if (rc != 0) return rc;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  set_nonblocking(pair[1]);
  rc = exchange(&t, pair);
  if (pair[0] >= 0) close(pair[0]);
  close(pair[1]);
  test_seat_leave(&t);
  return rc;
}

static void every_allocation_may_fail(void** state) {
  (void) state;
  test_alloc_t ta;
  test_alloc_init(&ta);
  assert_true(test_alloc_sweep(scene, &ta) > 5);
}

/* Receiving allocates nothing once it has begun. */
static void receiving_allocates_nothing(void** state) {
  (void) state;
#ifndef MCQ_NO_POOL
  test_seat_t t;
  side_t s;
  open_seat(&t);
  open_side(&s, &t, false, 1);
  start(&s);
  for (int i = 0; i < 100; i++) {
    feed(&s, 70000);
    until_received(&s);
  }
  size_t before = atomic_load(&t.pool.mem->total);
  for (int i = 0; i < 1000; i++) {
    feed(&s, 70000);
    until_received(&s);
  }
  /* What goes on at the start of the memory takes two objects, once. */
  assert_in_range(atomic_load(&t.pool.mem->total), before, before + 1);
  end_side(&s);
  close_seat(&t);
#endif
}

/* ---- main
 * -------------------------------------------------------------------------------
 */

/* 0, or why this machine cannot run these tests. */
static int find_out(void) {
  test_seat_t t;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open(&t, MCQ__BACKEND_URING);
  if (rc == 0) test_seat_close(&t);
  return rc;
}

int main(void) {
  const struct CMUnitTest of_all[] = {
      cmocka_unit_test(bytes_come_in_order_and_then_the_end),
      cmocka_unit_test(the_end_is_not_lost_behind_bytes),
      cmocka_unit_test(the_end_is_seen_behind_much),
      cmocka_unit_test(a_reset_is_an_error),
      cmocka_unit_test(stopped_bytes_and_the_end_wait),
      cmocka_unit_test(a_stopped_reader_holds_the_peer_back),
      cmocka_unit_test(what_one_receive_brings_is_capped),
      cmocka_unit_test(answers_come_before_more_is_heard),
      cmocka_unit_test(storms_of_stops_lose_nothing),
      cmocka_unit_test(a_thousand_wires_share_the_buffers),
      cmocka_unit_test(slices_may_be_held_until_the_next_turn),
      cmocka_unit_test(without_buffers_wires_read_by_themselves),
      cmocka_unit_test(ends_and_stops_without_buffers),
      cmocka_unit_test(a_reset_after_a_flood_is_seen),
      cmocka_unit_test(large_writes_are_continued),
      cmocka_unit_test(vectored_writes_are_continued),
      cmocka_unit_test(without_memory_pieces_go_one_by_one),
      cmocka_unit_test(few_write_at_once),
      cmocka_unit_test(room_is_awaited),
      cmocka_unit_test(a_failed_write_is_told_once),
      cmocka_unit_test(two_hundred_wires_echo),
      cmocka_unit_test(closing_is_safe_at_any_moment),
      cmocka_unit_test(closing_keeps_the_loop_alive),
      cmocka_unit_test(the_seat_may_close_in_on_closed),
      cmocka_unit_test(adopting_takes_no_descriptor),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(receiving_allocates_nothing),
  };
  const struct CMUnitTest of_the_ring[] = {
      cmocka_unit_test(buffers_go_back_in_order),
      cmocka_unit_test(buffers_wrap_into_two_slices),
      cmocka_unit_test(buffers_refuse_what_the_kernel_has_not),
      cmocka_unit_test(buffers_go_back_when_memory_is_out),
      cmocka_unit_test(a_renewed_receive_loses_nothing),
      cmocka_unit_test(what_came_earlier_comes_first),
      cmocka_unit_test(what_cannot_wait_ends_the_wire),
      cmocka_unit_test(floods_are_read_without_the_ring),
      cmocka_unit_test(stopped_wires_make_room_for_readers),
      cmocka_unit_test(leaving_waits_for_slices),
      cmocka_unit_test(a_talk_is_polled_for_by_the_ring),
      cmocka_unit_test(a_talk_may_be_stopped),
      cmocka_unit_test(the_end_of_a_talk_is_seen),
      cmocka_unit_test(refused_submissions_are_repeated),
      cmocka_unit_test(a_refused_call_leaves_no_trace),
      cmocka_unit_test(missing_descriptors_leave_no_trace),
      cmocka_unit_test(missing_locked_memory_leaves_no_trace),
  };
  const struct CMUnitTest of_the_polled[] = {
      cmocka_unit_test(a_wide_socket_wakes_as_before),
      cmocka_unit_test(a_flood_is_for_the_ring),
      cmocka_unit_test(a_crowd_is_for_the_ring),
      cmocka_unit_test(what_waits_is_not_overtaken),
      cmocka_unit_test(who_is_stopped_is_not_polled_for),
  };
  int rc = find_out();
  if (rc != 0) {
    printf("io_uring cannot be used here: %s\n", uv_strerror(rc));
    return 77;
  }
  for (int plain = 0; plain < 2; plain++) {
    plain_kernel = plain != 0;
    print_message("%s kernel\n", plain_kernel ? "a plain" : "this");
    rc += cmocka_run_group_tests(of_all, NULL, NULL);
    rc += cmocka_run_group_tests(of_the_ring, NULL, NULL);
  }
  if (MCQ__URING_WATCHES == 0) return rc; /* a build that has but the ring */
  plain_kernel = false;
  polled = true;
  print_message("polled\n");
  rc += cmocka_run_group_tests(of_all, NULL, NULL);
  return rc + cmocka_run_group_tests(of_the_polled, NULL, NULL);
}
