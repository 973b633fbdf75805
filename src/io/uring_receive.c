/* SPDX-License-Identifier: MIT */
/* Reading of the uring back end.  A wire that is read has one multishot
 * receive with the kernel, which goes on completing until it has brought a
 * good deal, is cancelled, fails or finds no buffer.  Called by the table
 * (start, stop), by uring_wire.c and by the pump; never calls back from a call
 * of the room above.
 *
 * A reader that is stopped is usually started again in the next turn, so its
 * receive goes on for a while and what comes is parked: in the buffers it came
 * in, or, when somebody else needs those, in memory of its own.
 *
 * Who has a lot to read, or finds no buffer, reads by himself in his turn, as
 * with the other back end, until there is nothing more.  That is fair, whoever
 * else reads, and what comes is looked at while it is still in the cache: the
 * kernel's answers to ten such receives are there at once.
 *
 * Where a lot is said as well, that is a talk, it is no receive that is with
 * the kernel but a poll, and the wire reads by itself when that says so.  Else
 * the kernel would copy what has come on all connections before the first of it
 * is answered, and so would the peers': both sides would take turns at being
 * idle.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "io/fd.h"
#include "io/uring.h"

typedef mcq__uring_wire_t wire_t;

/* A stopped reader may take in this much before its receive is cancelled; one
 * that was only just stopped, and perhaps for a turn, this much. */
#define PARKED_MAX ((size_t) 262144)
#define PARKED_BRIEFLY (MCQ__BUFFERS_BYTES / 4)
#define BRIEF 2 /* turns */

/* A receive that brought all it may within so many turns is part of a flood. */
#define FLOOD_TURNS 16

/* Of so many turns in which something was heard, it is a talk where it was so
 * much in each of them, and more than one byte was said for so many heard. */
#define TALK_TURNS 16
#define TALK_BYTES 4096
#define TALK_SHARE 16

/* With bundles, what a receive brings before it has to be asked for anew: no
 * loop waits while the kernel copies more, and no connection fills the buffers
 * of all.  And what it brings at once: before each look the kernel makes as
 * many buffers ready, however small the message is that it finds. */
#define RECEIVE_MAX 262144
#define AT_ONCE_MAX 16384

/* ---- asking -------------------------------------------------------------- */

static uint32_t this_turn(const wire_t* w) {
  return (uint32_t) w->wire.io->turn.number;
}

static void ask_receive(wire_t* w) {
  struct io_uring_sqe* sqe = mcq__uring_request(w, MCQ__URING_RECV);
  sqe->opcode = IORING_OP_RECV;
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->ioprio = IORING_RECV_MULTISHOT;
  sqe->buf_group = MCQ__BUFFER_GROUP;
  if (w->u->bundles) mcq__ring_bundle(sqe, AT_ONCE_MAX, RECEIVE_MAX);
  /* Else it would look for a buffer before it looks for bytes.  One that begins
   * with a poll misses an end that has been, though. */
  if (w->drained && w->hangup != MCQ__URING_HANGUP_SEEN)
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  w->drained = false;
  w->asked = this_turn(w);
  w->receiving = true;
}

static void poll_for(wire_t* w, enum mcq__uring_op op, unsigned events) {
  struct io_uring_sqe* sqe = mcq__uring_request(w, op);
  sqe->opcode = IORING_OP_POLL_ADD;
  sqe->poll32_events = __io_uring_prep_poll_mask(events);
}

/* It answers at once if there is something. */
static void ask_poll(wire_t* w) {
  poll_for(w, MCQ__URING_RECV, POLLIN);
  w->drained = false;
  w->receiving = true;
  w->polled = true;
}

/* Kernels before 7.0 may miss the end of a stream when it comes together with
 * the last bytes, and the receive then waits for ever.  A poll for the hang-up
 * does not miss it; all that is left is then read without the ring, for a new
 * receive might miss the end as well. */
static void ask_hangup(wire_t* w) {
  poll_for(w, MCQ__URING_HANGUP, POLLRDHUP);
  w->hangup = MCQ__URING_HANGUP_AWAITED;
}

static bool may_receive(const wire_t* w) {
  return w->reading && !w->receiving && w->end == 0 && w->parked.count == 0 &&
         !w->alone;
}

/* Perhaps only for a turn. */
static bool stopped_briefly(const wire_t* w) {
  return this_turn(w) - w->stopped <= BRIEF;
}

static bool must_cancel(const wire_t* w) {
  if (!w->receiving || w->cancelling) return false;
  if (w->renew || w->end != 0) return true;
  if (w->polled || w->reading || w->parked_bytes <= PARKED_MAX) return false;
  return w->parked_bytes > PARKED_BRIEFLY || !stopped_briefly(w);
}

/* Nothing is to be read though the peer has hung up: then it was something else
 * that the poll has seen. */
static bool has_hung_up(const wire_t* w) {
  return w->hangup == MCQ__URING_HANGUP_SEEN && !w->empty;
}

/* Whoever can tell first that there is something. */
static void ask_to_be_told(wire_t* w) {
  if (!w->by_ring && mcq__uring_watch(w)) return;
  if (w->talks)
    ask_poll(w);
  else
    ask_receive(w);
}

void mcq__uring_receive_ask(wire_t* w) {
  if (must_cancel(w)) mcq__uring_cancel(w, MCQ__URING_RECV);
  if (!may_receive(w)) return;
  if (has_hung_up(w)) {
    w->alone = true;
    mcq__io_work(w->wire.io, &w->task);
    return;
  }
  ask_to_be_told(w);
  if (w->hangup == MCQ__URING_HANGUP_NONE) ask_hangup(w);
}

/* ---- parked bytes -------------------------------------------------------- */

static mcq__slice_t unpark(wire_t* w) {
  mcq__slice_t s = *(mcq__slice_t*) mcq__fifo_first(&w->parked);
  mcq__fifo_shift(&w->parked);
  w->parked_bytes -= s.len;
  if (w->copied != 0) w->copied--;
  if (w->parked.count == w->copied) mcq__list_remove(&w->holding);
  if (w->parked.count == 0 && mcq__fifo_storage(&w->parked) > MCQ__FIFO_FIRST)
    mcq__io_idle(w->wire.io, &w->idle);
  return s;
}

void mcq__uring_rest(mcq__idle_t* idle) {
  mcq__fifo_rest(&mcq__container_of(idle, wire_t, idle)->parked);
}

void mcq__uring_unpark_all(wire_t* w) {
  while (w->parked.count != 0) {
    mcq__slice_t s = unpark(w);
    mcq__slice_release(&s);
  }
}

/* Copies parked bytes out of the buffers; those there is no memory for stay
 * where they are. */
static void copy_parked(wire_t* w) {
  while (w->copied < w->parked.count) {
    mcq__slice_t* s = (mcq__slice_t*) mcq__fifo_at(&w->parked, w->copied);
    mcq__slice_t kept;
    if (mcq__slice_keep(&kept, w->wire.io->pool, *s) != 0) return;
    mcq__slice_release(s);
    *s = kept;
    w->copied++;
  }
  mcq__list_remove(&w->holding);
}

/* Wires that read again are about to deliver; the others copy. */
static void copy_all_parked(mcq__uring_t* u) {
  mcq__node_t* node = u->holding.next;
  while (node != &u->holding) {
    wire_t* w = mcq__container_of(node, wire_t, holding);
    node = node->next;
    if (!w->reading) copy_parked(w);
  }
}

void mcq__uring_relieve(mcq__uring_t* u) {
  if (u->scarce && mcq__buffers_free(&u->buffers) == 0) copy_all_parked(u);
  u->scarce = false;
}

/* ---- floods and talks ---------------------------------------------------- */

/* By more than what every connection has to say now and then. */
static bool is_answered(const wire_t* w) {
  return w->said > (w->heard + TALK_BYTES) / TALK_SHARE;
}

/* A receive that does not end by itself makes way for the first poll. */
static void hear(wire_t* w, size_t n) {
  uint32_t turn = this_turn(w);
  w->heard += (uint32_t) n;
  if (turn != w->heard_in) w->turns++;
  w->heard_in = turn;
  if (w->turns < TALK_TURNS) return;
  w->talks = w->heard >= TALK_TURNS * TALK_BYTES && is_answered(w);
  w->renew = w->renew || (w->talks && w->receiving && !w->polled);
  if (w->renew) mcq__uring_want(w);
  w->turns = 0;
  w->heard = 0;
  w->said /= 2;
}

static bool floods(const wire_t* w) {
  return this_turn(w) - w->asked <= FLOOD_TURNS;
}

/* ---- delivering ---------------------------------------------------------- */

/* The end is told after all bytes. */
static void tell_end(wire_t* w) {
  if (w->end == 0 || w->end_told || w->closing) return;
  if (w->parked.count != 0) return;
  w->end_told = true;
  if (!w->failed) w->wire.events->on_end(&w->wire, w->end);
}

static void end(wire_t* w, int code) {
  if (w->end != 0 || w->closing) return;
  w->end = code;
  mcq__uring_want(w);
  tell_end(w);
}

/* Takes over the slice's count. */
static void park(wire_t* w, mcq__slice_t* s) {
  mcq__slice_t* slot = (mcq__slice_t*) mcq__fifo_push(&w->parked);
  if (slot == NULL) {
    mcq__slice_release(s);
    end(w, MCQ_ENOMEM);
    return;
  }
  *slot = *s;
  w->parked_bytes += s->len;
  if (!mcq__node_linked(&w->holding))
    mcq__list_insert(&w->u->holding, &w->holding);
  if (w->parked_bytes > PARKED_MAX) mcq__uring_want(w);
}

/* Takes over the slice's count.  Where it has to wait for the next turn it is
 * before those that have had a share of this one: they may have many more to
 * come, and others find no buffer until it is delivered. */
static void deliver(wire_t* w, mcq__slice_t* s) {
  if (w->closing || w->end != 0) {
    mcq__slice_release(s);
  } else if (!w->reading || w->parked.count != 0) {
    park(w, s);
  } else if (mcq__unlikely(mcq__io_spent(w->wire.io))) {
    mcq__io_work(w->wire.io, &w->task); /* first, for park() may be the end */
    park(w, s);
  } else {
    w->wire.events->on_bytes(&w->wire, *s);
    mcq__slice_release(s);
  }
}

/* Nobody reads, and the peer has gone: is there anything to be read before
 * that?  If so, it and the end are for a receive. */
static void look_for_end(wire_t* w) {
  char byte;
  if (w->reading || w->receiving || w->hangup != MCQ__URING_HANGUP_SEEN) return;
  if (w->end != 0 || w->closing || w->parked.count != 0) return;
  ssize_t n = recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n == 0)
    end(w, UV_EOF);
  else if (n < 0 && errno != EAGAIN && errno != EINTR)
    end(w, -errno);
}

/* Once for each connection: the kernel goes on from there. */
static void widen(wire_t* w) {
  if (w->wide) return;
  w->wide = true;
  int rc = mcq__fd_widen(w->fd);
  if (rc != 0) end(w, rc);
}

static void deliver_parked(wire_t* w) {
  do {
    if (!w->reading || w->parked.count == 0) return;
    mcq__slice_t s = unpark(w);
    w->wire.events->on_bytes(&w->wire, s);
    mcq__slice_release(&s);
  } while (!mcq__io_spent(w->wire.io));
}

/* No receive is with the kernel and nothing is parked, so the bytes come in
 * order. */
static bool may_read_alone(const wire_t* w) {
  return w->alone && w->reading && w->end == 0 && w->parked.count == 0;
}

static void read_alone(wire_t* w) {
  bool more = true;
  for (int i = 0; i < MCQ__READS_MAX && more && w->reading; i++) {
    ssize_t n = mcq__fd_read(&w->wire, w->fd, &w->reading, &more);
    if (n <= 0 && n != UV_EAGAIN) end(w, n == 0 ? UV_EOF : (int) n);
    w->empty = n == UV_EAGAIN && w->reading;
    if (n <= 0) continue;
    w->brought += (uint32_t) n;
    hear(w, (size_t) n);
    if (mcq__io_spent(w->wire.io)) break;
  }
  if (more) return;
  w->alone = false;
  w->drained = true;
}

/* A flood is for the ring, which brings it faster, unless it is answered. */
static void look_for_flood(wire_t* w) {
  if (w->brought < RECEIVE_MAX) return;
  bool flood = floods(w);
  w->by_ring = flood && !is_answered(w);
  w->asked = this_turn(w);
  w->brought = 0;
  if (!flood) return;
  mcq__uring_want(w);
  widen(w);
}

/* It is polled for; else that was begun and is not wanted any more. */
static bool is_polled(wire_t* w) {
  if (w->by_ring || w->receiving) return false;
  if (!mcq__uring_many(w->u)) return true;
  mcq__uring_want(w); /* a receive of the ring's, instead */
  return false;
}

/* One that has more than it may read now stands in line for the next turn; one
 * of which something is parked does already, and reads after that. */
bool mcq__uring_readable(wire_t* w) {
  if (!w->reading || w->end != 0 || !is_polled(w)) return false;
  if (w->alone) return true;
  w->alone = true;
  if (may_read_alone(w) && !mcq__io_spent(w->wire.io)) read_alone(w);
  if (may_read_alone(w)) mcq__io_later(w->wire.io, &w->task);
  look_for_flood(w);
  return !w->by_ring;
}

void mcq__uring_read_on(mcq__task_t* task) {
  wire_t* w = mcq__container_of(task, wire_t, task);
  deliver_parked(w);
  if (may_read_alone(w)) read_alone(w);
  if (may_read_alone(w) || (w->reading && w->parked.count != 0))
    mcq__io_later(w->wire.io, &w->task);
  mcq__uring_want(w);
  look_for_end(w);
  tell_end(w);
}

/* ---- completions --------------------------------------------------------- */

/* The kernel has neither a receive nor a poll any more. */
static void receiving_over(wire_t* w) {
  w->receiving = false;
  w->polled = false;
  w->renew = false;
  if (!w->closing) w->cancelling = false;
  mcq__uring_want(w);
}

/* Without the flag MORE it was the last answer of this receive.  One that was
 * cancelled begins anew if reading is still wanted; where it brought all it may
 * there is more, and that, or what found no buffer, the wire reads by itself.
 */
static void receive_over(wire_t* w, int res) {
  receiving_over(w);
  if (!w->reading && !w->closing) mcq__io_work(w->wire.io, &w->task);
  if (res == -ECANCELED || res == -EINTR) return;
  if (res <= 0 && res != -ENOBUFS) {
    end(w, res == 0 ? UV_EOF : res);
  } else if (res < 0 || floods(w)) {
    w->alone = true;
    if (is_answered(w)) w->by_ring = false;
    if (!w->reading) return;
    w->u->scarce = w->u->scarce || res < 0;
    mcq__io_work(w->wire.io, &w->task);
    if (res > 0) widen(w);
  } else {
    w->by_ring = false;
  }
}

/* If it was to end, and the cancel has been answered, that missed it. */
static void receive_goes_on(wire_t* w) {
  if (!w->cancelling || w->cancels != 0 || w->closing) return;
  w->cancelling = false;
  mcq__uring_want(w);
}

/* The answer to a poll. */
static void told(wire_t* w, int res) {
  receiving_over(w);
  if (res < 0) w->talks = false;
  if (res >= 0) w->alone = true;
  if (!w->closing) mcq__io_work(w->wire.io, &w->task);
}

void mcq__uring_received(wire_t* w, const mcq__done_t* done) {
  mcq__slice_t parts[2];
  int count = 0;
  if (w->polled) {
    told(w, done->res);
    return;
  }
  w->u->io->calls.reads++;
  w->u->io->calls.empty += done->res <= 0;
  if ((done->flags & IORING_CQE_F_BUFFER) != 0) {
    size_t n = done->res > 0 ? (size_t) done->res : 0;
    count = mcq__buffers_take(&w->u->buffers,
                              done->flags >> IORING_CQE_BUFFER_SHIFT, n, parts);
  } else if (done->res > 0) {
    count = UV_EIO;
  }
  if (done->res > 0) hear(w, (size_t) done->res);
  for (int i = 0; i < count; i++) deliver(w, &parts[i]);
  if (count < 0) end(w, count);
  if ((done->flags & IORING_CQE_F_MORE) == 0)
    receive_over(w, done->res);
  else
    receive_goes_on(w);
}

/* A receive still with the kernel may have missed the end; a new one will
 * see it. */
void mcq__uring_hung_up(wire_t* w) {
  w->hangup = MCQ__URING_HANGUP_SEEN;
  w->renew = w->receiving;
  mcq__uring_want(w);
  if (!w->reading && !w->closing) mcq__io_work(w->wire.io, &w->task);
}

/* ---- the table's --------------------------------------------------------- */

int mcq__uring_read_start(mcq__wire_t* wire) {
  wire_t* w = mcq__uring_of(wire);
  if (w->reading || w->closing) return 0;
  w->reading = true;
  mcq__uring_want(w);
  if (w->parked.count != 0 || w->alone || (w->end != 0 && !w->end_told))
    mcq__io_work(wire->io, &w->task);
  return 0;
}

void mcq__uring_read_stop(mcq__wire_t* wire) {
  wire_t* w = mcq__uring_of(wire);
  if (w->reading) w->stopped = this_turn(w);
  w->reading = false;
  if (w->hangup == MCQ__URING_HANGUP_SEEN && !w->closing)
    mcq__io_work(wire->io, &w->task);
}
