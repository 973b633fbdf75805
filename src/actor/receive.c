/* SPDX-License-Identifier: MIT */
/* An actor's way in: what the session makes of the bytes that came goes to the
 * socket, message by message, within the bounds of a turn. */
#include "actor/parts.h"

#include <stdio.h>

/* Messages between two looks at the clock. */
#define CLOCK_EVERY 64

/* Handshakes go on while messages are paused. */
static bool may_read(const mcq__actor_t* a) {
  if (mcq__unlikely(mcq__actor_doomed(a))) return false;
  if (a->state == MCQ__ACTOR_OPENING) return true;
  return a->state == MCQ__ACTOR_UP && !a->paused && !a->config->paused;
}

static bool may_deliver(const mcq__actor_t* a) {
  return may_read(a) && (!a->config->busy || a->state == MCQ__ACTOR_OPENING);
}

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
  if (!mcq__actor_talking(a)) return; /* ended in the callback */
  if (rc != 0) {
    mcq__actor_protocol(a)->refuse(a->session, text);
    mcq__actor_refuse(a, rc, text);
    return;
  }
  mcq__actor_arm(a);
}

static void refused(mcq__actor_t* a, mcq__slice_t reason) {
  char text[sizeof a->text];
  int len = reason.len < sizeof text ? (int) reason.len : (int) sizeof text - 1;
  snprintf(text, sizeof text, "%.*s", len, (const char*) reason.data);
  mcq__actor_refuse(a, MCQ_EREFUSED, text);
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
      mcq__actor_refuse(a, ev->code, ev->text);
      break;
    case MCQ__EV_SUBSCRIBE:
    case MCQ__EV_CANCEL:
      a->config->events->on_subscribe(a, ev->body, kind == MCQ__EV_SUBSCRIBE);
      break;
    case MCQ__EV_PONG:
      a->config->events->on_pong(a, ev->body);
      break;
    case MCQ__EV_FRAME:
    case MCQ__EV_NONE:
      break;
  }
}

/* Delivers until the session is hungry, the user paused or closed, or this
 * connection had its share of the turn. */
static void deliver_all(mcq__actor_t* a) {
  const mcq__protocol_t* protocol = mcq__actor_protocol(a);
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
      mcq__actor_refuse(a, rc, "message over the limits");
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

void mcq__actor_finish(mcq__actor_t* a) {
  int code = a->end_code;
  bool whole = mcq__actor_protocol(a)->at_boundary(a->session) &&
               mcq__bridge_empty(&a->bridge);
  if (code == UV_EOF && !whole && a->state == MCQ__ACTOR_UP)
    code = MCQ_EPARTIAL;
  mcq__actor_reason(a, code, "");
  mcq__actor_cut(a);
}

/* What was not delivered waits, in memory that nobody else needs. */
static void wait_for_turn(mcq__actor_t* a) {
  mcq__actor_stop(a);
  bool paused = !may_deliver(a);
  int rc = mcq__actor_protocol(a)->hold(a->session);
  if (rc == 0) rc = mcq__bridge_hold(&a->bridge);
  if (rc != 0)
    mcq__actor_fail(a, rc, "out of memory");
  else if (!paused)
    mcq__io_later(mcq__actor_io(a), &a->pump);
}

/* Whether nothing is left to deliver, though nobody has asked for more. */
static bool used_up(mcq__actor_t* a) {
  if (a->hungry) return true;
  if (a->state != MCQ__ACTOR_UP) return false;
  a->hungry = mcq__actor_protocol(a)->at_boundary(a->session) &&
              mcq__actor_protocol(a)->hold(a->session) == 0;
  return a->hungry;
}

void mcq__actor_pump(mcq__actor_t* a) {
  if (a->delivering || !mcq__actor_talking(a)) return;
  a->delivering = true;
  deliver_all(a);
  a->delivering = false;
  if (mcq__unlikely(mcq__actor_doomed(a))) mcq__actor_abandon(a);
  if (!mcq__actor_talking(a)) return;
  if (mcq__actor_protocol(a)->out(a->session)->bytes != 0)
    mcq__io_flush(mcq__actor_io(a), &a->flush);
  if (!used_up(a)) {
    wait_for_turn(a);
  } else if (a->end_code != 0) {
    mcq__actor_finish(a);
  } else if (mcq__bridge_hold(&a->bridge) != 0) {
    mcq__actor_fail(a, MCQ_ENOMEM, "out of memory");
  } else if (may_read(a)) {
    mcq__actor_read(a);
  } else {
    mcq__actor_stop(a);
  }
}
