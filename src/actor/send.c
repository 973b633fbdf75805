/* SPDX-License-Identifier: MIT */
/* An actor's way out: what hubs tell it goes through the outbox to the wire,
 * what its session has to say goes before, never inside one.  Calls nobody
 * back but on_room, from the flush task. */
#include "actor/parts.h"

/* Handed to the back end at once: large writes are cheaper a byte, up to the
 * size where they leave the cache. */
#define WRITE_MAX ((size_t) 524288)
#define WRITE_PIECES 64

/* Writes one connection makes in a row before others have their turn. */
#define WRITE_ROUNDS 8

/* Ends when what is queued has left, and takes no more: not at its very end
 * either, when hubs tell what they had kept for many. */
static bool draining(const mcq__actor_t* a) {
  return a->flush_all &&
         (mcq__actor_leaving(a) || a->state == MCQ__ACTOR_CLOSING);
}

/* Queued bytes that may leave now; the session's own go first and whole, but
 * never inside a frame. */
static size_t fill(mcq__actor_t* a, mcq__iov_t* iov, size_t* total,
                   size_t* control) {
  const mcq__chain_t* out = mcq__actor_protocol(a)->out(a->session);
  bool messages = a->state == MCQ__ACTOR_UP || draining(a);
  size_t limit = WRITE_MAX;
  size_t pieces = 0;
  *total = 0;
  *control = 0;
  if (mcq__unlikely(out->bytes != 0)) {
    size_t rest = mcq__outbox_rest_of_frame(a->outbox);
    if (rest == 0)
      pieces = mcq__chain_fill(out, 0, limit, iov, WRITE_PIECES / 2, control);
    else if (rest < limit)
      limit = rest;
    if (rest == 0 && *control < out->bytes) messages = false;
  }
  if (messages)
    pieces += mcq__outbox_fill(a->outbox, limit, iov + pieces,
                               WRITE_PIECES - pieces, total);
  *total += *control;
  return pieces;
}

/* Messages of which nothing was written or handed over. */
static uint64_t waiting(const mcq__outbox_t* o) {
  bool begun;
  uint64_t handed = mcq__outbox_unsure(o, &begun);
  return o->messages - handed - (begun ? 1 : 0);
}

void mcq__actor_thin(mcq__actor_t* a) {
  if (mcq__likely(!a->config->conflate)) return;
  while (waiting(a->outbox) > 1)
    if (!mcq__actor_shed(a)) return;
}

/* On a connection that is lost nothing is known of those that were still on
 * their way. */
void mcq__actor_sent(mcq__actor_t* a, uint64_t n) {
  if (a->settled || n == 0) return;
  if (mcq__unlikely(a->told))
    mcq__actor_odd(a)->unsure += n;
  else
    a->outbox->sent.written += n;
}

static inline void book(mcq__actor_t* a, size_t n, size_t control) {
  uint64_t messages = a->outbox->messages;
  a->tally.wire_out += n;
  if (mcq__unlikely(control != 0)) {
    size_t own = n < control ? n : control;
    mcq__chain_drain(mcq__actor_protocol(a)->out(a->session), own);
    n -= own;
  }
  mcq__outbox_wrote(a->outbox, n);
  mcq__actor_charge(a);
  mcq__actor_sent(a, messages - a->outbox->messages);
}

static void book_watched(mcq__actor_t* a, size_t n, size_t control) {
  uint64_t messages = a->outbox->messages;
  book(a, n, control);
  if (a->state == MCQ__ACTOR_UP) mcq__actor_watch_wrote(a, n, messages);
}

void mcq__actor_wrote(mcq__actor_t* a, size_t n, size_t control) {
  if (mcq__unlikely(mcq__actor_watched(a)))
    book_watched(a, n, control);
  else
    book(a, n, control);
  if (a->state == MCQ__ACTOR_UP) mcq__actor_thin(a); /* it wrote less */
  if (mcq__unlikely(mcq__actor_leaving(a)) && !a->shut) {
    if (a->linger != MCQ__NO_DEADLINE)
      a->stop_at = mcq__io_now(mcq__actor_io(a)) + a->linger;
    a->relented = false;
    mcq__actor_arm(a);
  }
}

/* The same without a kernel in between: the session's own bytes, then those of
 * messages, as far as the other side takes them. */
static bool pass_some(mcq__actor_t* a) {
  mcq__chain_t* out = mcq__actor_protocol(a)->out(a->session);
  mcq__outbox_t* o = a->outbox;
  bool messages = a->state == MCQ__ACTOR_UP || draining(a);
  size_t own = out->bytes;
  size_t rest = messages ? mcq__outbox_queued_bytes(o) : 0;
  ssize_t n = 0;
  if (own != 0) n = a->wire->backend->pass(a->wire, out, 0, own);
  if (own != 0 && n > 0) mcq__actor_wrote(a, own, own);
  if (rest != 0 && (own == 0 || n > 0)) {
    n = a->wire->backend->pass(a->wire, &o->chain, o->written, rest);
    if (n > 0) mcq__actor_wrote(a, rest, 0);
  }
  if (n < 0) mcq__actor_fail(a, (int) n, "cannot pass on");
  if (n == MCQ__IN_FLIGHT && own + rest != 0) a->in_flight = true;
  return false;
}

/* Writes until nothing is left, the back end is busy or it has been enough.
 * True when more could be written at once.  Calls nobody back. */
static bool write_some(mcq__actor_t* a) {
  if (a->wire->backend->pass != NULL) return pass_some(a);
  for (int round = 0; round < WRITE_ROUNDS; round++) {
    if (a->in_flight) return false;
    mcq__iov_t iov[WRITE_PIECES];
    size_t total;
    size_t control;
    size_t pieces = fill(a, iov, &total, &control);
    if (total == 0) return false;
    ssize_t n = a->wire->backend->write(a->wire, iov, pieces, total);
    if (n == UV_EAGAIN) { /* nothing of it is out of our hands */
      a->in_flight = true;
      return false;
    }
    if (n < 0) {
      mcq__actor_fail(a, (int) n, "cannot write");
      return false;
    }
    if (n == MCQ__IN_FLIGHT) {
      a->in_flight = true;
      a->control = control;
      mcq__outbox_hand(a->outbox, total - control);
      return false;
    }
    mcq__actor_wrote(a, (size_t) n, control);
  }
  return true;
}

static bool can_write(const mcq__actor_t* a) {
  return a->wire != NULL && !a->in_flight && !a->shut &&
         a->state != MCQ__ACTOR_CLOSING && !a->greeting &&
         !mcq__actor_doomed(a);
}

static bool all_written(const mcq__actor_t* a) {
  return !a->in_flight && mcq__actor_protocol(a)->out(a->session)->bytes == 0 &&
         (!a->flush_all || a->outbox->chain.bytes == 0);
}

/* Without memory for a copy it stays there. */
void mcq__actor_abandon(mcq__actor_t* a) {
  mcq__bridge_reset(a->bridge);
  mcq__actor_catch_up(a);
  (void) mcq__actor_protocol(a)->hold(a->session);
}

/* All actors together have no room.  Where only the newest message waits there
 * is no queue that one could be refused for. */
static bool is_short(const mcq__actor_t* a) {
  const mcq__budget_t* budget = a->config->budget;
  return mcq__unlikely(budget != NULL) && !a->config->conflate &&
         !a->greeting && mcq__budget_full(budget);
}

/* Inside calls of the user's this turn has written as much as it may: his queue
 * fills, and he comes back to the loop, which has others.  Not where something
 * would be lost by that. */
static bool has_had_turn(const mcq__actor_t* a) {
  const mcq__taken_t* taken = &mcq__actor_io(a)->turn.taken;
  return mcq__unlikely(taken->calls_bytes >= MCQ__TURN_CALLS_BYTES) &&
         a->config->refuses;
}

static bool flows(const mcq__actor_t* a) {
  return a->state == MCQ__ACTOR_UP && can_write(a);
}

static void write_now(mcq__actor_t* a) {
  if (!flows(a) || has_had_turn(a)) return;
  uint64_t before = a->tally.wire_out;
  write_some(a);
  mcq__actor_io(a)->turn.taken.calls_bytes += a->tally.wire_out - before;
}

/* As long as the connection takes all that it is given a batch may be put
 * together for it that has more than the usual number of messages. */
static void allow_batch(mcq__actor_t* a) {
  a->outbox->marks.few_bytes = flows(a) ? a->config->marks.few_bytes : 0;
}

/* He who set no mark has more to win from memory that stays in the cache than
 * from a queue that is long. */
static inline bool is_full(const mcq__actor_t* a) {
  if (mcq__outbox_full(a->outbox) || is_short(a)) return true;
  return has_had_turn(a) && a->outbox->marks.few_bytes != 0 &&
         mcq__outbox_queued_bytes(a->outbox) >= WRITE_MAX;
}

/* Its own queue, that is.  A budget tells of itself. */
static void tell_full(mcq__actor_t* a, bool full) {
  if (a->told_full == full) return;
  a->told_full = full;
  a->config->events->on_full(a, full);
}

void mcq__actor_tell_full(mcq__actor_t* a) {
  if (a->full) tell_full(a, true);
}

/* If not, it will tell when it has. */
static bool has_enough(mcq__budget_t* budget) {
  if (mcq__budget_full(budget)) mcq__budget_refuse(budget);
  return !budget->is_short || mcq__budget_low(budget);
}

/* Somebody was told that there is no room: is there some now?  Where it is the
 * budget that is short, everybody is asked again when that is not. */
static void relieve(mcq__actor_t* a) {
  mcq__budget_t* budget = a->config->budget;
  allow_batch(a);
  bool low = mcq__outbox_low(a->outbox);
  mcq__actor_tell_full(a);
  if (low) {
    a->full = false;
    tell_full(a, false);
  }
  low = low && (budget == NULL || has_enough(budget));
  if (low) a->starved = false;
  if (low || !is_full(a)) a->config->events->on_room(a, low);
}

void mcq__actor_flush(mcq__task_t* task) {
  mcq__actor_t* a = mcq__container_of(task, mcq__actor_t, flush);
  mcq__outbox_ask(a->outbox); /* whoever sends posts it again */
  if (mcq__unlikely(a->state == MCQ__ACTOR_ENDING)) mcq__actor_abandon(a);
  if (can_write(a) && write_some(a)) mcq__io_later(mcq__actor_io(a), &a->flush);
  if (mcq__unlikely(mcq__outbox_rest(a->outbox)))
    mcq__io_idle(mcq__actor_io(a), &a->outbox->idle);
  if (mcq__unlikely(a->starved)) relieve(a);
  if (mcq__unlikely(mcq__actor_leaving(a)) && can_write(a) && all_written(a))
    mcq__actor_goodbye(a);
}

/* ---- what the session says for its user ---------------------------------- */

int mcq__actor_subscribe(mcq__actor_t* a, mcq__slice_t prefix, bool wanted) {
  mcq__check(a->state == MCQ__ACTOR_UP);
  int rc = mcq__actor_protocol(a)->subscribe(a->session, prefix, wanted);
  if (rc == 0) mcq__io_flush(mcq__actor_io(a), &a->flush);
  return rc;
}

int mcq__actor_probe(mcq__actor_t* a) {
  mcq__check(a->state == MCQ__ACTOR_UP);
  int rc = mcq__actor_protocol(a)->probe(a->session);
  if (rc == 0) mcq__io_flush(mcq__actor_io(a), &a->flush);
  return rc;
}

int mcq__actor_ping(mcq__actor_t* a, mcq__slice_t context) {
  mcq__check(a->state == MCQ__ACTOR_UP);
  uint64_t ttl = a->asks ? a->config->pulse.ttl : 0;
  int rc = mcq__actor_protocol(a)->ping(a->session, ttl, context);
  if (rc != 0) return rc;
  a->tally.pings_out++;
  if (a->asked_ns == 0) a->asked_ns = mcq__io_now_ns(mcq__actor_io(a));
  mcq__io_flush(mcq__actor_io(a), &a->flush);
  return 0;
}

/* ---- what hubs say ------------------------------------------------------- */

bool mcq__actor_shed(mcq__actor_t* a) {
  if (!mcq__outbox_shed(a->outbox)) return false;
  mcq__actor_charge(a);
  mcq__actor_odd(a)->replaced++;
  return true;
}

void mcq__actor_clear(mcq__actor_t* a) {
  mcq__outbox_clear(a->outbox);
  mcq__actor_charge(a);
  a->full = false;
  a->told_full = false;
}

void mcq__actor_let_go(mcq__actor_t* a) {
  a->let_go = true;
  mcq__actor_charge(a);
}

/* Somebody wanted room and there was none. */
static void starve(mcq__actor_t* a) {
  if (!a->full && mcq__outbox_full(a->outbox)) {
    a->full = true;
    mcq__actor_odd(a)->congestions++;
  }
  if (is_short(a)) mcq__budget_refuse(a->config->budget);
  if (a->starved && a->told_full == a->full) return;
  a->starved = true;
  mcq__io_flush(mcq__actor_io(a), &a->flush); /* tells of it */
}

/* Room, perhaps after a write made some.  Where only the newest message waits
 * there always is, even though one that was begun is no longer to be had. */
static bool make_room(mcq__actor_t* a) {
  allow_batch(a);
  if (!is_full(a)) return true;
  write_now(a);
  allow_batch(a);
  if (!a->config->conflate) return !is_full(a);
  while (mcq__actor_shed(a)) continue;
  return mcq__outbox_all_begun(a->outbox);
}

/* One that is closing takes nothing, but holds nobody up.  What is promised
 * here is taken, though what was in flight may come back meanwhile. */
uint64_t mcq__actor_room(mcq__port_t* port, size_t size) {
  mcq__actor_t* a = mcq__actor_of_port(port);
  if (draining(a)) return UINT64_MAX;
  if (!make_room(a)) {
    starve(a);
    return 0;
  }
  if (mcq__unlikely(a->config->budget != NULL)) {
    mcq__budget_enter(a->config->budget);
    return 1; /* others may use it up meanwhile */
  }
  uint64_t room = mcq__outbox_room(a->outbox, size);
  return room > 0 ? room : 1; /* one may take the place of another */
}

/* The one of its own, which begins with the first message.  0 or MCQ_ENOMEM.
 */
static int own_outbox(mcq__actor_t* a) {
  const mcq__actor_config_t* c = a->config;
  if (mcq__likely(a->outbox != c->no_outbox)) return 0;
  mcq__outbox_t* own = mcq__new(c->io->mem, mcq__outbox_t);
  if (own == NULL) return MCQ_ENOMEM;
  mcq__outbox_init(own, c->session.pool, c->protocol, &c->marks);
  a->outbox = own;
  return 0;
}

static int queue(mcq__actor_t* a, const mcq__body_t* body) {
  uint64_t payload;
  int rc = own_outbox(a);
  if (rc == 0) rc = mcq__outbox_put(a->outbox, body, &payload);
  if (mcq__unlikely(rc != 0)) return rc;
  mcq__outgoing_t* sent = &a->outbox->sent;
  sent->messages++;
  sent->frames += body->count;
  sent->bytes += payload;
  return 0;
}

/* What many get, perhaps several messages. */
static int queue_wired(mcq__actor_t* a, const mcq__body_t* body) {
  const mcq__wired_t* wired = body->wired;
  uint64_t payload;
  if (mcq__unlikely(!mcq__outbox_follow(a->outbox, wired))) {
    int rc = own_outbox(a);
    if (rc == 0) rc = mcq__outbox_put(a->outbox, body, &payload);
    if (mcq__unlikely(rc != 0)) return rc;
  }
  mcq__outgoing_t* sent = &a->outbox->sent;
  sent->messages += wired->count;
  sent->frames += wired->frames;
  sent->bytes += wired->payload;
  return 0;
}

/* More like this one may follow without a question while nothing changes: the
 * flush task is posted, nobody else counts what waits, nothing is to give way
 * to it. */
static void allow_more(mcq__actor_t* a, const mcq__body_t* body) {
  const mcq__actor_config_t* c = a->config;
  if (body->count != 1 || body->frames == NULL || body->wired != NULL) return;
  if (c->budget != NULL || c->conflate) return;
  mcq__outbox_allow(a->outbox, body->frames->len,
                    flows(a) ? WRITE_MAX : SIZE_MAX);
}

static mcq__noinline int tell(mcq__actor_t* a, const mcq__peer_cmd_t* cmd) {
  const mcq__body_t* body = cmd->body;
  if (mcq__unlikely(draining(a))) return MCQ_EPEERGONE;
  if (!make_room(a) && !cmd->promised) {
    starve(a);
    return MCQ_EAGAIN;
  }
  int rc = body->wired != NULL ? queue_wired(a, body) : queue(a, body);
  if (mcq__unlikely(rc != 0)) return rc;
  mcq__actor_charge(a);
  if (!mcq__node_linked(&a->flush.node))
    mcq__io_flush(mcq__actor_io(a), &a->flush);
  if (mcq__unlikely(a->outbox->chain.bytes >= WRITE_MAX) &&
      mcq__outbox_queued_bytes(a->outbox) >= WRITE_MAX)
    write_now(a);
  allow_more(a, body);
  return 0;
}

/* Hot: once for every message sent. */
int mcq__actor_tell(mcq__port_t* port, const mcq__peer_cmd_t* cmd) {
  mcq__actor_t* a = mcq__actor_of_port(port);
  const mcq__body_t* body = cmd->body;
  if (mcq__likely(body->count == 1 && body->frames != NULL) &&
      mcq__outbox_again(a->outbox, *body->frames))
    return 0;
  return tell(a, cmd);
}
