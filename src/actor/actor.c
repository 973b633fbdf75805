/* SPDX-License-Identifier: MIT */
/* The life of one peer (see actor.h): from the wire it is given to the word
 * that the wire is gone.  Called by the wire (events) and by its socket; never
 * decides who gets a message and never reads a byte of one. */
#include "actor/actor.h"

#include <string.h>

#include "actor/parts.h"

/* How long a refused or finished peer may take to close its side, ms. */
#define FAREWELL ((uint64_t) 1000)

/* ---- endings ------------------------------------------------------------- */

/* When the timer is to ring. */
static uint64_t deadline(const mcq__actor_t* a) {
  if (a->state == MCQ__ACTOR_ENDING) return a->stop_at;
  if (!mcq__actor_talking(a)) return MCQ__NEVER;
  if (a->state == MCQ__ACTOR_OPENING)
    return mcq__actor_protocol(a)->expiry(a->session);
  uint64_t at = a->pulse == NULL ? MCQ__NEVER : mcq__pulse_next(a->pulse);
  if (a->stop_at < at) at = a->stop_at;
  return a->look_at < at ? a->look_at : at;
}

/* One that would ring sooner is left alone: it finds out that it is too early,
 * and deadlines that move ahead all the time cost nothing. */
void mcq__actor_arm(mcq__actor_t* a) {
  uint64_t at = deadline(a);
  if (at == MCQ__NEVER)
    mcq__io_timer_stop(mcq__actor_io(a), &a->timer);
  else if (a->timer.place == 0 || at < a->timer.deadline)
    mcq__io_timer_start(mcq__actor_io(a), &a->timer, at);
}

/* Without memory it is the code alone. */
void mcq__actor_reason(mcq__actor_t* a, int code, const char* text) {
  char* old = a->text;
  a->code = code;
  a->text = NULL;
  if (text != NULL && text[0] != '\0')
    a->text = mcq__mem_text(mcq__actor_io(a)->mem, text,
                            strnlen(text, MCQ__ACTOR_TEXT_MAX));
  mcq__mem_free(mcq__actor_io(a)->mem, old);
}

/* Tells the socket that the connection is over, once.  The outbox stays as it
 * is until the wire rests: the kernel may still read from it. */
static void tell_lost(mcq__actor_t* a) {
  if (a->told) return;
  mcq__actor_tell_full(a);
  a->told = true;
  a->config->events->on_lost(a, a->was_up, a->code,
                             a->text == NULL ? "" : a->text);
}

void mcq__actor_cut(mcq__actor_t* a) {
  if (a->state == MCQ__ACTOR_IDLE || a->state == MCQ__ACTOR_CLOSING) return;
  a->state = MCQ__ACTOR_CLOSING;
  mcq__outbox_ask(a->outbox);
  mcq__io_timer_stop(mcq__actor_io(a), &a->timer);
  mcq__io_cancel(&a->flush);
  mcq__io_cancel(&a->pump);
  a->doomed = false;
  a->wire->backend->close(a->wire);
  /* With a write in flight what is lost is known only when that has ended. */
  if (!a->in_flight) tell_lost(a);
}

void mcq__actor_read(mcq__actor_t* a) {
  if (a->reading) return;
  a->reading = true;
  if (mcq__unlikely(mcq__actor_watched(a))) mcq__actor_watch_reading(a);
  int rc = a->wire->backend->read_start(a->wire);
  if (rc != 0) {
    mcq__actor_fail(a, rc, "cannot read");
  }
}

void mcq__actor_stop(mcq__actor_t* a) {
  if (!a->reading) return;
  a->reading = false;
  if (mcq__unlikely(mcq__actor_watched(a))) mcq__actor_watch_reading(a);
  a->wire->backend->read_stop(a->wire);
}

void mcq__actor_refuse(mcq__actor_t* a, int code, const char* text) {
  if (!mcq__actor_talking(a)) return;
  mcq__actor_reason(a, code, text);
  if (a->shut || mcq__actor_protocol(a)->out(a->session)->bytes == 0 ||
      mcq__outbox_rest_of_message(a->outbox) != 0 || a->outbox->flight != 0) {
    mcq__actor_cut(a);
    return;
  }
  a->state = MCQ__ACTOR_ENDING;
  a->flush_all = false;
  a->linger = FAREWELL;
  a->stop_at = mcq__io_now(mcq__actor_io(a)) + FAREWELL;
  mcq__actor_read(a);
  mcq__actor_arm(a);
  mcq__io_flush(mcq__actor_io(a), &a->flush);
  tell_lost(a);
}

void mcq__actor_fail(mcq__actor_t* a, int code, const char* text) {
  mcq__actor_reason(a, code, text);
  if (a->doomed) return;
  a->doomed = true;
  mcq__io_cancel(&a->pump); /* it may have been for later */
  mcq__io_work(mcq__actor_io(a), &a->pump);
}

static uint64_t from_now(const mcq__actor_t* a, uint64_t ms) {
  if (ms == MCQ__NO_DEADLINE) return MCQ__NEVER;
  return mcq__io_fresh_now(mcq__actor_io(a)) + ms;
}

static void be_patient(mcq__actor_t* a, uint64_t ms) {
  a->stop_at = from_now(a, ms);
  a->relented = false;
}

/* Whoever ended first has said all it had to say. */
void mcq__actor_goodbye(mcq__actor_t* a) {
  uint64_t patience = a->linger;
  if (a->state == MCQ__ACTOR_ENDING && patience > FAREWELL) patience = FAREWELL;
  a->shut = true;
  be_patient(a, patience);
  a->wire->backend->shutdown(a->wire);
  bool heard_out = a->state == MCQ__ACTOR_ENDING || !mcq__actor_waits(a);
  if (a->end_code != 0 && heard_out)
    mcq__actor_cut(a);
  else
    mcq__actor_arm(a);
}

/* ---- wire events --------------------------------------------------------- */

static mcq__actor_t* of_wire(mcq__wire_t* wire) {
  return (mcq__actor_t*) wire->user;
}

/* Once a read, however many messages that brings. */
static inline void heard(mcq__actor_t* a) {
  if (mcq__unlikely(mcq__actor_watched(a)))
    mcq__pulse_heard(a->pulse, mcq__io_now(mcq__actor_io(a)));
}

static void on_bytes(mcq__wire_t* wire, mcq__slice_t bytes) {
  mcq__actor_t* a = of_wire(wire);
  if (!mcq__actor_talking(a)) return;
  heard(a);
  mcq__check(a->hungry);
  a->hungry = false;
  a->tally.wire_in += bytes.len;
  mcq__io_spend(mcq__actor_io(a), 0, bytes.len, 0);
  mcq__actor_protocol(a)->feed(a->session, bytes);
  mcq__actor_pump(a);
}

static mcq__window_t* on_want(mcq__wire_t* wire) {
  mcq__actor_t* a = of_wire(wire);
  if (!mcq__actor_talking(a) || !a->hungry) return NULL;
  return mcq__actor_protocol(a)->want(a->session);
}

static void on_filled(mcq__wire_t* wire, size_t n) {
  mcq__actor_t* a = of_wire(wire);
  if (!mcq__actor_talking(a)) return;
  heard(a);
  a->hungry = false;
  a->tally.wire_in += n;
  mcq__io_spend(mcq__actor_io(a), 0, n, 0);
  mcq__actor_protocol(a)->filled(a->session, n);
  mcq__actor_pump(a);
}

static void on_wrote(mcq__wire_t* wire, ssize_t n) {
  mcq__actor_t* a = of_wire(wire);
  a->in_flight = false;
  mcq__actor_wrote(a, n < 0 ? 0 : (size_t) n, a->control);
  a->control = 0;
  if (a->state == MCQ__ACTOR_CLOSING) return;
  if (n < 0) {
    if (!mcq__actor_doomed(a) && (mcq__actor_talking(a) || a->flush_all))
      mcq__actor_reason(a, (int) n, "cannot write");
    mcq__actor_cut(a);
    return;
  }
  mcq__io_flush(mcq__actor_io(a), &a->flush);
}

static void on_end(mcq__wire_t* wire, int code) {
  mcq__actor_t* a = of_wire(wire);
  a->reading = false;
  if (a->state == MCQ__ACTOR_ENDING) {
    mcq__actor_cut(a);
  } else if (mcq__actor_talking(a)) {
    a->end_code = code;
    mcq__actor_watch_end(a);
    if (!mcq__actor_waits(a)) mcq__actor_finish(a);
  }
}

/* By the peer, on this connection. */
static uint64_t asked(const mcq__actor_t* a) {
  const mcq__protocol_t* protocol = mcq__actor_protocol(a);
  if (a->session == NULL || protocol->asked == NULL) return 0;
  return protocol->asked(a->session);
}

/* Where it was dialed by number the address is just that. */
static int note_address(mcq__actor_t* a, const char* address,
                        const char* dialed) {
  a->borrows = dialed != NULL && strcmp(dialed, address) == 0;
  a->address = a->borrows ? dialed
                          : mcq__mem_text(mcq__actor_io(a)->mem, address,
                                          strlen(address));
  return a->address == NULL ? MCQ_ENOMEM : 0;
}

static void forget_address(mcq__actor_t* a) {
  if (!a->borrows) mcq__mem_free(mcq__actor_io(a)->mem, (char*) a->address);
  a->address = NULL;
}

static void on_closed(mcq__wire_t* wire) {
  mcq__actor_t* a = of_wire(wire);
  tell_lost(a);
  a->wire = NULL;
  a->in_flight = false;
  uint64_t before = a->outbox->messages;
  mcq__outbox_rewind(a->outbox);
  mcq__actor_sent(a, before - a->outbox->messages);
  if (asked(a) != 0) mcq__actor_odd(a)->pings_in += asked(a);
  mcq__actor_charge(a);
  mcq__actor_protocol(a)->close(a->session);
  a->session = NULL;
  mcq__bridge_reset(a->bridge);
  mcq__actor_catch_up(a);
  forget_address(a);
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

/* A loop that stood still has neither written nor read meanwhile: it gets a
 * chance to, once. */
static void end_patience(mcq__actor_t* a, uint64_t now) {
  if (now == a->stop_at || a->relented) {
    mcq__actor_cut(a);
    return;
  }
  a->relented = true;
  a->stop_at = mcq__timer_again(a->stop_at, now);
  mcq__actor_arm(a);
}

static void on_timer(mcq__timer_t* timer) {
  mcq__actor_t* a = mcq__container_of(timer, mcq__actor_t, timer);
  uint64_t now = mcq__io_now(mcq__actor_io(a));
  if (mcq__actor_leaving(a) && now >= a->stop_at) {
    end_patience(a, now);
    return;
  }
  if (mcq__actor_talking(a) && a->state == MCQ__ACTOR_OPENING) {
    mcq__actor_protocol(a)->tick(a->session, now);
    mcq__actor_pump(a);
  } else if (mcq__actor_talking(a)) {
    mcq__actor_watch_due(a, now);
  }
  mcq__actor_arm(a);
}

/* ---- life ---------------------------------------------------------------- */

static void run_pump(mcq__task_t* task) {
  mcq__actor_t* a = mcq__container_of(task, mcq__actor_t, pump);
  if (mcq__unlikely(a->doomed))
    mcq__actor_cut(a);
  else
    mcq__actor_pump(a);
}

int mcq__actor_init(mcq__actor_t* a, const mcq__actor_config_t* config) {
  memset(a, 0, sizeof *a);
  a->port.tell = mcq__actor_tell;
  a->port.room = mcq__actor_room;
  a->config = config;
  a->flush.run = mcq__actor_flush;
  a->pump.run = run_pump;
  a->timer.run = on_timer;
  a->outbox = config->no_outbox;
  a->bridge = config->no_bridge;
  int rc = mcq__timers_reserve(&config->io->turn.timers);
  a->has_timer = rc == 0;
  return rc;
}

/* Those of its own; the shared ones are empty. */
static void drop_queues(mcq__actor_t* a) {
  mcq__mem_t* mem = mcq__actor_io(a)->mem;
  if (a->outbox != a->config->no_outbox) {
    mcq__outbox_dispose(a->outbox);
    mcq__mem_free(mem, a->outbox);
  }
  if (a->bridge != a->config->no_bridge) {
    mcq__bridge_dispose(a->bridge);
    mcq__mem_free(mem, a->bridge);
  }
}

void mcq__actor_config_init(mcq__actor_config_t* c, mcq__outbox_t* no_outbox,
                            mcq__bridge_t* no_bridge) {
  mcq__outbox_init(no_outbox, c->session.pool, c->protocol, &c->marks);
  mcq__bridge_init(no_bridge, &c->session);
  c->no_outbox = no_outbox;
  c->no_bridge = no_bridge;
}

void mcq__actor_dispose(mcq__actor_t* a) {
  if (a->config == NULL) return;
  mcq__check(a->state == MCQ__ACTOR_IDLE);
  mcq__io_cancel(&a->flush);
  mcq__io_cancel(&a->pump);
  mcq__io_timer_stop(mcq__actor_io(a), &a->timer);
  if (a->has_timer) mcq__timers_unreserve(&mcq__actor_io(a)->turn.timers);
  mcq__actor_let_go(a);
  mcq__tally_t tally = mcq__actor_tally(a);
  mcq__tally_add(a->config->total, &tally);
  drop_queues(a);
  mcq__actor_catch_up(a);
  mcq__mem_free(mcq__actor_io(a)->mem, a->pulse);
  mcq__mem_free(mcq__actor_io(a)->mem, a->text);
  mcq__mem_free(mcq__actor_io(a)->mem, a->odd);
  mcq__list_remove(&a->node);
  a->config = NULL;
}

/* A new connection begins with nothing of the old one. */
static void forget_connection(mcq__actor_t* a) {
  a->linger = 0;
  a->stop_at = MCQ__NEVER;
  a->relented = false;
  a->control = 0;
  a->code = 0;
  a->end_code = 0;
  a->end_text = "";
  mcq__mem_free(mcq__actor_io(a)->mem, a->text);
  a->text = NULL;
  a->look_at = MCQ__NEVER;
  a->pause = MCQ__PAUSE_NONE;
  mcq__mem_free(mcq__actor_io(a)->mem, a->pulse);
  a->pulse = NULL;
  a->asks = false;
  a->reading = false;
  a->hungry = true;
  a->in_flight = false;
  a->flush_all = false;
  a->shut = false;
  a->told = false;
  a->paused = false;
  a->was_up = false;
  a->displaced = false;
  a->strikes = 0;
  a->asked_ns = 0;
  a->rtt_ns = 0;
  a->data = NULL;
}

int mcq__actor_attach(mcq__actor_t* a, const mcq__transport_t* transport,
                      void* stream, const char* address, const char* dialed) {
  mcq__io_t* io = mcq__actor_io(a);
  const mcq__protocol_t* protocol = mcq__actor_protocol(a);
  const mcq__backend_t* backend =
      transport->pump != NULL ? transport->pump : io->backend;
  mcq__check(a->state == MCQ__ACTOR_IDLE);
  forget_connection(a);
  mcq__session_config_t config = a->config->session;
  config.incoming = dialed == NULL;
  a->incoming = dialed == NULL;
  int rc = note_address(a, address, dialed);
  if (rc == 0) rc = protocol->open(&a->session, &config, mcq__io_now(io));
  if (rc == 0) rc = protocol->start(a->session);
  if (rc == 0) rc = backend->adopt(&a->wire, io, stream, &wire_events, a);
  if (rc != 0) {
    protocol->close(a->session);
    a->session = NULL;
    forget_address(a);
    return rc;
  }
  a->state = MCQ__ACTOR_OPENING;
  mcq__actor_read(a);
  mcq__actor_arm(a);
  mcq__io_flush(io, &a->flush);
  if (protocol->at_once) mcq__io_work(io, &a->pump);
  return 0;
}

void mcq__actor_up(mcq__actor_t* a) {
  int rc = mcq__actor_protocol(a)->welcome(a->session);
  if (rc != 0) mcq__actor_fail(a, rc, "out of memory");
  a->state = MCQ__ACTOR_UP;
  a->was_up = true;
  a->up_at = mcq__io_now(mcq__actor_io(a));
  a->tally.connections++;
  mcq__actor_watch(a);
  mcq__actor_thin(a);
  if (a->outbox->chain.bytes != 0) mcq__io_flush(mcq__actor_io(a), &a->flush);
}

/* It is ending already, and nobody will wait longer than this. */
static void hurry(mcq__actor_t* a, int code, uint64_t linger) {
  if (linger == 0) {
    mcq__actor_fail(a, code, "");
    return;
  }
  uint64_t now = mcq__io_fresh_now(mcq__actor_io(a));
  if (linger >= a->linger || now + linger >= a->stop_at) return;
  a->linger = linger;
  a->stop_at = now + linger;
  mcq__actor_arm(a);
}

/* From now on it takes no more. */
static void begin_leaving(mcq__actor_t* a, mcq__actor_state_t state,
                          uint64_t linger) {
  a->state = (uint8_t) state;
  a->flush_all = true;
  mcq__outbox_ask(a->outbox);
  a->linger = linger;
  be_patient(a, linger);
  mcq__actor_arm(a);
  mcq__io_flush(mcq__actor_io(a), &a->flush);
}

/* It was draining, and nobody wants to hear of that any more.  Nothing takes
 * longer than it would have. */
static void stop_listening(mcq__actor_t* a, uint64_t linger) {
  uint64_t before = a->stop_at;
  if (a->linger < linger) linger = a->linger;
  if (a->shut && linger > FAREWELL) linger = FAREWELL;
  begin_leaving(a, MCQ__ACTOR_ENDING, linger);
  if (a->shut && before < a->stop_at) a->stop_at = before;
  mcq__actor_arm(a);
}

void mcq__actor_end(mcq__actor_t* a, int code, uint64_t linger) {
  if (!mcq__actor_talking(a)) {
    if (a->state == MCQ__ACTOR_ENDING) hurry(a, code, linger);
    return;
  }
  if (a->state == MCQ__ACTOR_OPENING || linger == 0) {
    a->flush_all = mcq__actor_listens(a); /* from now on it takes no more */
    mcq__outbox_ask(a->outbox);
    if (a->flush_all) a->state = MCQ__ACTOR_ENDING;
    mcq__actor_fail(a, code, "");
    return;
  }
  if (a->state == MCQ__ACTOR_DRAINING)
    stop_listening(a, linger);
  else
    begin_leaving(a, MCQ__ACTOR_ENDING, linger);
  mcq__actor_reason(a, code, "");
  mcq__io_cancel(&a->pump);
  if (a->end_code == 0)
    mcq__actor_read(a);
  else if (a->shut) /* both sides have ended */
    mcq__actor_fail(a, code, "");
}

void mcq__actor_drain(mcq__actor_t* a, int code, uint64_t linger) {
  if (a->state == MCQ__ACTOR_DRAINING) return;
  if (a->state != MCQ__ACTOR_UP || linger == 0 || mcq__actor_doomed(a)) {
    mcq__actor_end(a, code, linger);
    return;
  }
  mcq__actor_reason(a, code, "");
  mcq__actor_watch_end(a);
  begin_leaving(a, MCQ__ACTOR_DRAINING, linger);
}

void mcq__actor_forget(mcq__actor_t* a, int code) {
  if (a->wire != NULL && a->wire->backend->forget != NULL)
    a->wire->backend->forget(a->wire);
  mcq__actor_end(a, code, 0);
}

mcq__tally_t* mcq__actor_odd(mcq__actor_t* a) {
  if (a->odd == NULL) a->odd = mcq__new(mcq__actor_io(a)->mem, mcq__tally_t);
  return a->odd == NULL ? a->config->total : a->odd;
}

mcq__tally_t mcq__actor_tally(const mcq__actor_t* a) {
  mcq__tally_t t = {0};
  if (a->odd != NULL) t = *a->odd;
  mcq__tally_add_daily(&t, &a->tally);
  mcq__tally_add_outgoing(&t, &a->outbox->sent);
  t.pings_in += asked(a);
  t.written += a->outbox->nothing;
  mcq__outbox_peak(a->outbox, &t.peak_messages, &t.peak_bytes);
  return t;
}

void mcq__actor_pause_changed(mcq__actor_t* a) {
  if (!mcq__actor_listens(a) || a->delivering) return;
  /* All that are told so run in that order, those of an earlier change too. */
  mcq__io_cancel(&a->pump);
  mcq__io_work(mcq__actor_io(a), &a->pump);
}
