/* SPDX-License-Identifier: MIT */
/* The life of one peer (see actor.h): what arrives goes through the session
 * to the socket, what is told goes through the outbox to the wire.  Called by
 * the wire (events), by hubs (port) and by its socket; never decides who gets
 * a message and never reads a byte of one. */
#include "actor/actor.h"

#include <stdio.h>
#include <string.h>

/* Handed to the back end at once: large writes are cheaper a byte, up to the
 * size where they leave the cache. */
#define WRITE_MAX ((size_t) 524288)
#define WRITE_PIECES 64

/* Writes one connection makes in a row before others have their turn. */
#define WRITE_ROUNDS 8

/* How long a refused or finished peer may take to close its side, ms. */
#define FAREWELL ((uint64_t) 1000)

/* Messages between two looks at the clock. */
#define CLOCK_EVERY 64

static const mcq__wire_events_t wire_events;

static mcq__io_t* io_of(const mcq__actor_t* a) {
  return a->config->io;
}

static const mcq__protocol_t* protocol_of(const mcq__actor_t* a) {
  return a->config->protocol;
}

/* A connection whose end was decided on says and hears nothing more. */
static bool doomed(const mcq__actor_t* a) {
  return mcq__node_linked(&a->fail.node);
}

static bool talking(const mcq__actor_t* a) {
  return (a->state == MCQ__ACTOR_OPENING || a->state == MCQ__ACTOR_UP) &&
         !doomed(a);
}

/* Handshakes go on while messages are paused. */
static bool may_deliver(const mcq__actor_t* a) {
  if (mcq__unlikely(doomed(a))) return false;
  if (a->state == MCQ__ACTOR_OPENING) return true;
  return a->state == MCQ__ACTOR_UP && !a->paused && !a->config->paused;
}

/* ---- endings
 * ---------------------------------------------------------------*/

static void arm(mcq__actor_t* a) {
  uint64_t at = MCQ__NEVER;
  if (talking(a)) at = protocol_of(a)->expiry(a->session);
  if (a->state == MCQ__ACTOR_ENDING) at = a->stop_at;
  if (at == MCQ__NEVER)
    mcq__io_timer_stop(io_of(a), &a->timer);
  else
    mcq__io_timer_start(io_of(a), &a->timer, at);
}

static void set_reason(mcq__actor_t* a, int code, const char* text) {
  a->code = code;
  snprintf(a->text, sizeof a->text, "%s", text == NULL ? "" : text);
}

/* Tells the socket that the connection is over, once.  The outbox stays as it
 * is until the wire rests: the kernel may still read from it. */
static void tell_lost(mcq__actor_t* a) {
  if (a->told) return;
  a->told = true;
  a->config->events->on_lost(a, a->was_up, a->code, a->text);
}

static void cut(mcq__actor_t* a) {
  if (a->state == MCQ__ACTOR_IDLE || a->state == MCQ__ACTOR_CLOSING) return;
  a->state = MCQ__ACTOR_CLOSING;
  mcq__io_timer_stop(io_of(a), &a->timer);
  mcq__io_cancel(&a->flush);
  mcq__io_cancel(&a->pump);
  mcq__io_cancel(&a->fail);
  a->wire->backend->close(a->wire);
  tell_lost(a);
}

static void start_reading(mcq__actor_t* a) {
  if (a->reading) return;
  a->reading = true;
  int rc = a->wire->backend->read_start(a->wire);
  if (rc != 0) {
    set_reason(a, rc, "cannot read");
    mcq__io_work(io_of(a), &a->fail);
  }
}

static void stop_reading(mcq__actor_t* a) {
  if (!a->reading) return;
  a->reading = false;
  a->wire->backend->read_stop(a->wire);
}

/* From a phase: the peer broke a rule or is not wanted.  What the session has
 * to say about it goes out before the connection is closed, unless that would
 * be inside a frame. */
static void fail_politely(mcq__actor_t* a, int code, const char* text) {
  if (!talking(a)) return;
  set_reason(a, code, text);
  if (protocol_of(a)->out(a->session)->bytes == 0 ||
      mcq__outbox_rest_of_frame(&a->outbox) != 0 || a->outbox.flight != 0) {
    cut(a);
    return;
  }
  a->state = MCQ__ACTOR_ENDING;
  a->flush_all = false;
  a->linger = FAREWELL;
  a->stop_at = mcq__io_now(io_of(a)) + FAREWELL;
  start_reading(a);
  arm(a);
  mcq__io_flush(io_of(a), &a->flush);
  tell_lost(a);
}

static void run_fail(mcq__task_t* task) {
  cut(mcq__container_of(task, mcq__actor_t, fail));
}

/* From anywhere, also inside a call of the user's: ends in the next phase. */
static void fail_later(mcq__actor_t* a, int code, const char* text) {
  set_reason(a, code, text);
  mcq__io_work(io_of(a), &a->fail);
}

/* ---- outward
 * ---------------------------------------------------------------*/

/* Queued bytes that may leave now; the session's own go first, but never
 * inside a frame. */
static size_t fill(mcq__actor_t* a, mcq__iov_t* iov, size_t* total,
                   size_t* control) {
  const mcq__chain_t* out = protocol_of(a)->out(a->session);
  bool messages = a->state == MCQ__ACTOR_UP ||
                  (a->state == MCQ__ACTOR_ENDING && a->flush_all);
  size_t limit = WRITE_MAX;
  size_t pieces = 0;
  *total = 0;
  *control = 0;
  if (mcq__unlikely(out->bytes != 0)) {
    size_t rest = mcq__outbox_rest_of_frame(&a->outbox);
    if (rest == 0)
      pieces = mcq__chain_fill(out, 0, limit, iov, WRITE_PIECES / 2, control);
    else if (rest < limit)
      limit = rest;
  }
  if (messages)
    pieces += mcq__outbox_fill(&a->outbox, limit, iov + pieces,
                               WRITE_PIECES - pieces, total);
  *total += *control;
  return pieces;
}

/* `n` bytes of the last batch are written. */
static void account(mcq__actor_t* a, size_t n, size_t control) {
  if (mcq__unlikely(control != 0)) {
    size_t own = n < control ? n : control;
    mcq__chain_drain(protocol_of(a)->out(a->session), own);
    n -= own;
  }
  mcq__outbox_wrote(&a->outbox, n);
  if (mcq__unlikely(a->state == MCQ__ACTOR_ENDING) && !a->shut) {
    if (a->linger != MCQ__NO_DEADLINE)
      a->stop_at = mcq__io_now(io_of(a)) + a->linger;
    arm(a);
  }
}

/* Writes until nothing is left, the back end is busy or it has been enough.
 * True when more could be written at once.  Calls nobody back. */
static bool write_some(mcq__actor_t* a) {
  for (int round = 0; round < WRITE_ROUNDS; round++) {
    if (a->in_flight) return false;
    mcq__iov_t iov[WRITE_PIECES];
    size_t total;
    size_t control;
    size_t pieces = fill(a, iov, &total, &control);
    if (total == 0) return false;
    ssize_t n = a->wire->backend->write(a->wire, iov, pieces, total);
    if (n < 0) {
      fail_later(a, (int) n, "cannot write");
      return false;
    }
    if (n == MCQ__IN_FLIGHT) {
      a->in_flight = true;
      a->control = control;
      mcq__outbox_hand(&a->outbox, total - control);
      return false;
    }
    account(a, (size_t) n, control);
  }
  return true;
}

static bool can_write(const mcq__actor_t* a) {
  return a->wire != NULL && !a->in_flight && !a->shut &&
         a->state != MCQ__ACTOR_CLOSING && !doomed(a);
}

/* ENDING and everything has left: our side is done, the peer's is awaited. */
static void say_goodbye(mcq__actor_t* a) {
  a->shut = true;
  a->stop_at = mcq__io_now(io_of(a)) + FAREWELL;
  arm(a);
  a->wire->backend->shutdown(a->wire);
}

static bool all_written(const mcq__actor_t* a) {
  return !a->in_flight && protocol_of(a)->out(a->session)->bytes == 0 &&
         (!a->flush_all || a->outbox.chain.bytes == 0);
}

/* ENDING, however long that takes: what arrived and will not be delivered may
 * lie in memory that others need.  Without memory for a copy it stays there. */
static void let_go(mcq__actor_t* a) {
  mcq__bridge_reset(&a->bridge);
  (void) protocol_of(a)->hold(a->session);
}

static void run_flush(mcq__task_t* task) {
  mcq__actor_t* a = mcq__container_of(task, mcq__actor_t, flush);
  if (mcq__unlikely(a->state == MCQ__ACTOR_ENDING)) let_go(a);
  if (can_write(a) && write_some(a)) mcq__io_later(io_of(a), &a->flush);
  mcq__outbox_rest(&a->outbox);
  if (a->state == MCQ__ACTOR_ENDING && !a->shut && can_write(a) &&
      all_written(a))
    say_goodbye(a);
  if (a->starved && mcq__outbox_low(&a->outbox)) {
    a->starved = false;
    a->config->events->on_room(a);
  }
}

/* Hot: once for every message sent. */
static int tell(mcq__port_t* port, const mcq__peer_cmd_t* cmd) {
  mcq__actor_t* a = mcq__actor_of_port(port);
  bool writable = a->state == MCQ__ACTOR_UP;
  if (mcq__unlikely(a->state == MCQ__ACTOR_ENDING && a->flush_all))
    return MCQ_EPEERGONE;
  if (mcq__unlikely(mcq__outbox_full(&a->outbox))) {
    if (writable && can_write(a)) write_some(a);
    if (mcq__outbox_full(&a->outbox)) {
      a->starved = true;
      return MCQ_EAGAIN;
    }
  }
  uint64_t payload;
  int rc = mcq__outbox_put(&a->outbox, cmd->body, &payload);
  if (mcq__unlikely(rc != 0)) return rc;
  a->tally->messages_out++;
  a->tally->frames_out += cmd->body->count;
  a->tally->bytes_out += payload;
  if (!mcq__node_linked(&a->flush.node)) mcq__io_flush(io_of(a), &a->flush);
  if (mcq__unlikely(mcq__outbox_queued_bytes(&a->outbox) >= WRITE_MAX) &&
      writable && can_write(a))
    write_some(a);
  return 0;
}

/* ---- inward
 * ----------------------------------------------------------------*/

static int deliver_part(mcq__actor_t* a, const mcq__event_t* ev) {
  int rc = mcq__bridge_add(&a->bridge, ev->body);
  if (rc != 0 || ev->more) return rc;
  mcq_msg_t msg;
  mcq__bridge_view(&a->bridge, &msg);
  a->tally->messages_in++;
  a->config->events->on_message(a, &msg);
  mcq__bridge_reset(&a->bridge);
  return 0;
}

/* Hot: once for every frame received. */
static inline int deliver(mcq__actor_t* a, const mcq__event_t* ev) {
  a->tally->frames_in++;
  a->tally->bytes_in += ev->body.len;
  if (mcq__unlikely(ev->more || !mcq__bridge_empty(&a->bridge)))
    return deliver_part(a, ev);
  mcq_msg_t msg;
  mcq__msg_view(&msg, a->config->session.pool, &ev->body, 1, ev->body.len);
  a->tally->messages_in++;
  a->config->events->on_message(a, &msg);
  return 0;
}

static void become_ready(mcq__actor_t* a) {
  const char* text = "";
  int rc = a->config->events->on_ready(a, &text);
  if (!talking(a)) return; /* ended in the callback */
  if (rc != 0) {
    protocol_of(a)->refuse(a->session, text);
    fail_politely(a, rc, text);
    return;
  }
  arm(a);
}

static void refused(mcq__actor_t* a, mcq__slice_t reason) {
  char text[sizeof a->text];
  int len = reason.len < sizeof text ? (int) reason.len : (int) sizeof text - 1;
  snprintf(text, sizeof text, "%.*s", len, (const char*) reason.data);
  fail_politely(a, MCQ_EREFUSED, text);
}

static void handle(mcq__actor_t* a, mcq__event_kind_t kind,
                   const mcq__event_t* ev) {
  switch (kind) {
    case MCQ__EV_READY:
      become_ready(a);
      break;
    case MCQ__EV_COMMAND:
      a->config->events->on_command(a, ev->body);
      break;
    case MCQ__EV_REFUSED:
      refused(a, ev->body);
      break;
    case MCQ__EV_FAILED:
      fail_politely(a, ev->code, ev->text);
      break;
    case MCQ__EV_SUBSCRIBE:
    case MCQ__EV_CANCEL: /* no type that exists has a use for them */
    case MCQ__EV_PONG:
    case MCQ__EV_FRAME:
    case MCQ__EV_NONE:
      break;
  }
}

/* Delivers until the session is hungry, the user paused or closed, or this
 * connection had its share of the turn. */
static void deliver_all(mcq__actor_t* a) {
  const mcq__protocol_t* protocol = protocol_of(a);
  uint64_t messages = a->tally->messages_in + a->config->turn_messages;
  uint64_t bytes = a->tally->bytes_in + a->config->turn_bytes;
  uint64_t started = 0;
  unsigned look = CLOCK_EVERY;
  while (may_deliver(a)) {
    mcq__event_t ev;
    mcq__event_kind_t kind = protocol->next(a->session, &ev);
    if (mcq__unlikely(kind != MCQ__EV_FRAME)) {
      if (kind == MCQ__EV_NONE) {
        a->hungry = true;
        return;
      }
      handle(a, kind, &ev);
      continue;
    }
    int rc = deliver(a, &ev);
    if (mcq__unlikely(rc != 0)) {
      fail_politely(a, rc, "message over the limits");
      return;
    }
    if (a->tally->messages_in >= messages || a->tally->bytes_in >= bytes)
      return;
    if (--look == 0) {
      look = CLOCK_EVERY;
      uint64_t now = uv_hrtime();
      if (started == 0) started = now;
      if (now - started > a->config->turn_ns) return;
    }
  }
}

/* The peer closed or broke off, and everything before that was delivered. */
static void finish_end(mcq__actor_t* a) {
  int code = a->end_code;
  bool whole =
      protocol_of(a)->at_boundary(a->session) && mcq__bridge_empty(&a->bridge);
  if (code == UV_EOF && !whole && a->state == MCQ__ACTOR_UP)
    code = MCQ_EPARTIAL;
  set_reason(a, code, "");
  cut(a);
}

/* What was not delivered waits, in memory that nobody else needs. */
static void wait_for_turn(mcq__actor_t* a) {
  stop_reading(a);
  bool paused = !may_deliver(a);
  int rc = protocol_of(a)->hold(a->session);
  if (rc == 0) rc = mcq__bridge_hold(&a->bridge);
  if (rc != 0)
    fail_later(a, rc, "out of memory");
  else if (!paused)
    mcq__io_later(io_of(a), &a->pump);
}

static void pump(mcq__actor_t* a) {
  if (a->delivering || !talking(a)) return;
  a->delivering = true;
  deliver_all(a);
  a->delivering = false;
  if (!talking(a)) return;
  if (protocol_of(a)->out(a->session)->bytes != 0)
    mcq__io_flush(io_of(a), &a->flush);
  if (!a->hungry) {
    wait_for_turn(a);
  } else if (a->end_code != 0) {
    finish_end(a);
  } else if (mcq__bridge_hold(&a->bridge) != 0) {
    fail_later(a, MCQ_ENOMEM, "out of memory");
  } else if (may_deliver(a)) {
    start_reading(a);
  } else {
    stop_reading(a);
  }
}

static void run_pump(mcq__task_t* task) {
  pump(mcq__container_of(task, mcq__actor_t, pump));
}

/* ---- wire events
 * -----------------------------------------------------------*/

static mcq__actor_t* of_wire(mcq__wire_t* wire) {
  return (mcq__actor_t*) wire->user;
}

static void on_bytes(mcq__wire_t* wire, mcq__slice_t bytes) {
  mcq__actor_t* a = of_wire(wire);
  if (!talking(a)) return;
  mcq__check(a->hungry);
  a->hungry = false;
  protocol_of(a)->feed(a->session, bytes);
  pump(a);
}

static mcq__window_t* on_want(mcq__wire_t* wire) {
  mcq__actor_t* a = of_wire(wire);
  if (!talking(a) || !a->hungry) return NULL;
  return protocol_of(a)->want(a->session);
}

static void on_filled(mcq__wire_t* wire, size_t n) {
  mcq__actor_t* a = of_wire(wire);
  if (!talking(a)) return;
  a->hungry = false;
  protocol_of(a)->filled(a->session, n);
  pump(a);
}

static void on_wrote(mcq__wire_t* wire, ssize_t n) {
  mcq__actor_t* a = of_wire(wire);
  a->in_flight = false;
  account(a, n < 0 ? 0 : (size_t) n, a->control);
  a->control = 0;
  if (a->state == MCQ__ACTOR_CLOSING) return;
  if (n < 0) {
    if (talking(a) || a->flush_all) set_reason(a, (int) n, "cannot write");
    cut(a);
    return;
  }
  mcq__io_flush(io_of(a), &a->flush);
}

static void on_end(mcq__wire_t* wire, int code) {
  mcq__actor_t* a = of_wire(wire);
  a->reading = false;
  if (a->state == MCQ__ACTOR_ENDING) {
    cut(a);
  } else if (talking(a)) {
    a->end_code = code;
    if (a->hungry) finish_end(a);
  }
}

static void on_closed(mcq__wire_t* wire) {
  mcq__actor_t* a = of_wire(wire);
  a->wire = NULL;
  a->in_flight = false;
  mcq__outbox_rewind(&a->outbox);
  protocol_of(a)->close(a->session);
  a->session = NULL;
  mcq__bridge_reset(&a->bridge);
  mcq__mem_free(io_of(a)->mem, a->address);
  a->address = NULL;
  a->state = MCQ__ACTOR_IDLE;
  a->config->events->on_idle(a);
}

static const mcq__wire_events_t wire_events = {
    .on_bytes = on_bytes,
    .on_want = on_want,
    .on_filled = on_filled,
    .on_wrote = on_wrote,
    .on_end = on_end,
    .on_closed = on_closed,
};

static void on_timer(mcq__timer_t* timer) {
  mcq__actor_t* a = mcq__container_of(timer, mcq__actor_t, timer);
  if (a->state == MCQ__ACTOR_ENDING) {
    cut(a);
  } else if (talking(a)) {
    protocol_of(a)->tick(a->session, mcq__io_now(io_of(a)));
    pump(a);
    arm(a);
  }
}

/* ---- life
 * ------------------------------------------------------------------*/

int mcq__actor_init(mcq__actor_t* a, const mcq__actor_config_t* config,
                    mcq__tally_t* tally, void* owner) {
  memset(a, 0, sizeof *a);
  a->port.tell = tell;
  a->config = config;
  a->tally = tally;
  a->owner = owner;
  a->flush.run = run_flush;
  a->pump.run = run_pump;
  a->fail.run = run_fail;
  a->timer.run = on_timer;
  mcq__bridge_init(&a->bridge, config->session.pool, config->session.max_frames,
                   config->session.max_message);
  mcq__outbox_init(&a->outbox, config->session.pool, config->protocol,
                   config->max_messages, config->max_bytes);
  int rc = mcq__timers_reserve(&config->io->turn.timers);
  a->has_timer = rc == 0;
  return rc;
}

void mcq__actor_dispose(mcq__actor_t* a) {
  if (a->config == NULL) return;
  mcq__check(a->state == MCQ__ACTOR_IDLE);
  mcq__io_cancel(&a->flush);
  mcq__io_cancel(&a->pump);
  mcq__io_cancel(&a->fail);
  mcq__io_timer_stop(io_of(a), &a->timer);
  if (a->has_timer) mcq__timers_unreserve(&io_of(a)->turn.timers);
  mcq__bridge_dispose(&a->bridge);
  mcq__outbox_dispose(&a->outbox);
  mcq__list_remove(&a->node);
  a->config = NULL;
}

/* A new connection begins with nothing of the old one. */
static void forget_connection(mcq__actor_t* a) {
  a->linger = 0;
  a->stop_at = MCQ__NEVER;
  a->control = 0;
  a->code = 0;
  a->end_code = 0;
  a->text[0] = '\0';
  a->reading = false;
  a->hungry = true;
  a->in_flight = false;
  a->flush_all = false;
  a->shut = false;
  a->told = false;
  a->was_up = false;
  a->data = NULL;
}

int mcq__actor_attach(mcq__actor_t* a, const mcq__transport_t* transport,
                      void* stream, const char* address, bool incoming) {
  mcq__io_t* io = io_of(a);
  const mcq__protocol_t* protocol = protocol_of(a);
  const mcq__backend_t* backend =
      transport->pump != NULL ? transport->pump : io->backend;
  mcq__check(a->state == MCQ__ACTOR_IDLE);
  forget_connection(a);
  mcq__session_config_t config = a->config->session;
  config.incoming = incoming;
  a->incoming = incoming;
  a->address = mcq__mem_text(io->mem, address, strlen(address));
  int rc = a->address == NULL
               ? MCQ_ENOMEM
               : protocol->open(&a->session, &config, mcq__io_now(io));
  if (rc == 0) rc = protocol->start(a->session);
  if (rc == 0) rc = backend->adopt(&a->wire, io, stream, &wire_events, a);
  if (rc != 0) {
    protocol->close(a->session);
    a->session = NULL;
    mcq__mem_free(io->mem, a->address);
    a->address = NULL;
    return rc;
  }
  a->state = MCQ__ACTOR_OPENING;
  start_reading(a);
  arm(a);
  mcq__io_flush(io, &a->flush);
  return 0;
}

void mcq__actor_up(mcq__actor_t* a) {
  a->state = MCQ__ACTOR_UP;
  a->was_up = true;
  if (a->outbox.chain.bytes != 0) mcq__io_flush(io_of(a), &a->flush);
}

void mcq__actor_end(mcq__actor_t* a, int code, uint64_t linger) {
  if (!talking(a)) {
    if (a->state == MCQ__ACTOR_ENDING && linger == 0) fail_later(a, code, "");
    return;
  }
  if (a->state == MCQ__ACTOR_OPENING || linger == 0) {
    fail_later(a, code, "");
    return;
  }
  set_reason(a, code, "");
  a->state = MCQ__ACTOR_ENDING;
  a->flush_all = true;
  a->linger = linger;
  a->stop_at =
      linger == MCQ__NO_DEADLINE ? MCQ__NEVER : mcq__io_now(io_of(a)) + linger;
  mcq__io_cancel(&a->pump);
  start_reading(a);
  arm(a);
  mcq__io_flush(io_of(a), &a->flush);
}

void mcq__actor_pause_changed(mcq__actor_t* a) {
  if (a->state == MCQ__ACTOR_UP && !a->delivering)
    mcq__io_work(io_of(a), &a->pump);
}
