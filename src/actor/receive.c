/* SPDX-License-Identifier: MIT */
/* An actor's way in: what the session makes of the bytes that came goes to the
 * socket, message by message, within the bounds of a turn. */
#include "actor/parts.h"

#include <stdio.h>

/* What a frame or a command counts besides its bytes: an empty one is work,
 * too. */
#define FRAME_COST 64

/* Frames and commands until the first look at the clock, and at most between
 * two. */
#define CLOCK_FIRST 4
#define CLOCK_EVERY 64

/* How long a pause lasts before it is read ahead, ms: to stop for a moment,
 * until there is room elsewhere, shall cost nothing. */
#define LOOK_AFTER ((uint64_t) 10)

/* Handshakes go on while messages are paused. */
static inline bool may_read(const mcq__actor_t* a) {
  if (mcq__unlikely(mcq__actor_doomed(a))) return false;
  if (a->state == MCQ__ACTOR_OPENING) return true;
  return mcq__actor_listens(a) && !a->paused && !a->config->paused;
}

static inline bool may_deliver(const mcq__actor_t* a) {
  return may_read(a) && (!a->config->busy || a->state == MCQ__ACTOR_OPENING);
}

/* The same of a peer that is up, and nothing else.  The hot path. */
static inline bool flows(const mcq__actor_t* a) {
  const mcq__actor_config_t* c = a->config;
  return a->state == MCQ__ACTOR_UP &&
         !(a->doomed | a->paused | c->paused | c->busy);
}

/* Nothing may be delivered, and that has been so for a while. */
static bool may_look(const mcq__actor_t* a) {
  return a->pause == MCQ__PAUSE_LONG && mcq__actor_listens(a) &&
         !mcq__actor_doomed(a) && !may_deliver(a);
}

/* The one of its own.  0 or MCQ_ENOMEM. */
static int own_bridge(mcq__actor_t* a) {
  const mcq__actor_config_t* c = a->config;
  if (mcq__likely(a->bridge != c->no_bridge)) return 0;
  mcq__bridge_t* own = mcq__new(c->io->mem, mcq__bridge_t);
  if (own == NULL) return MCQ_ENOMEM;
  mcq__bridge_init(own, &c->session);
  a->bridge = own;
  return 0;
}

static int deliver_part(mcq__actor_t* a, const mcq__event_t* ev) {
  int rc = own_bridge(a);
  if (rc == 0) rc = mcq__bridge_add(a->bridge, ev->body);
  if (rc != 0 || ev->more) return rc;
  mcq_msg_t msg;
  mcq__bridge_view(a->bridge, &msg);
  a->tally.messages_in++;
  a->tally.frames_in += msg.count;
  a->tally.bytes_in += msg.bytes;
  a->config->events->on_message(a, &msg);
  mcq__bridge_reset(a->bridge);
  return 0;
}

/* Hot: once for every message received in one frame. */
static inline void deliver_whole(mcq__actor_t* a, const mcq__slice_t* body) {
  mcq_msg_t msg;
  mcq__msg_view(&msg, a->config->session.pool, body, 1, body->len);
  a->tally.messages_in++;
  a->tally.frames_in++;
  a->tally.bytes_in += body->len;
  a->config->events->on_message(a, &msg);
}

static int deliver(mcq__actor_t* a, const mcq__event_t* ev) {
  if (ev->more || !mcq__bridge_empty(a->bridge)) return deliver_part(a, ev);
  deliver_whole(a, &ev->body);
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

static void refused(mcq__actor_t* a, const mcq__event_t* ev) {
  mcq__slice_t reason = ev->body;
  char text[MCQ__ACTOR_TEXT_MAX + 1];
  int len = reason.len < sizeof text ? (int) reason.len : (int) sizeof text - 1;
  snprintf(text, sizeof text, "%.*s", len, (const char*) reason.data);
  mcq__actor_refuse(a, ev->code, text);
}

/* To the first question that had none. */
static void note_answer(mcq__actor_t* a) {
  if (a->asked_ns != 0)
    a->rtt_ns = mcq__io_now_ns(mcq__actor_io(a)) - a->asked_ns;
  a->asked_ns = 0;
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
      refused(a, ev);
      break;
    case MCQ__EV_FAILED:
      mcq__actor_refuse(a, ev->code, ev->text);
      break;
    case MCQ__EV_SUBSCRIBE:
    case MCQ__EV_CANCEL:
      a->config->events->on_subscribe(a, ev->body, kind == MCQ__EV_SUBSCRIBE);
      break;
    case MCQ__EV_PONG:
      a->tally.pongs_in++;
      note_answer(a);
      if (!mcq__actor_watch_pong(a, ev->body))
        a->config->events->on_pong(a, ev->body);
      break;
    case MCQ__EV_PING:
      mcq__actor_watch_ping(a, ev->ttl);
      break;
    case MCQ__EV_FRAME:
    case MCQ__EV_NONE:
      break;
  }
}

/* ---- a share of the turn ------------------------------------------------- */

/* One go: what it may still take of the turn after the next frame, and how many
 * frames come after that before it looks at the clock.  Negative: none. */
typedef struct go {
  int64_t messages;
  int64_t bytes;
  int64_t look;
  int64_t step;
  uint64_t since; /* ns */
  bool over;
} go_t;

static go_t begin_go(mcq__actor_t* a) {
  const mcq__io_t* io = mcq__actor_io(a);
  mcq__share_t* left = &a->share;
  uint32_t turn = (uint32_t) io->turn.number;
  if (left->turn != turn) {
    *left = a->config->share;
    left->turn = turn;
  }
  return (go_t){
      .messages = (int64_t) left->messages - 1,
      .bytes = (int64_t) left->bytes - 1,
      .look = CLOCK_FIRST - 1,
      .step = CLOCK_FIRST,
      .since = mcq__io_now_ns(io),
      .over = left->messages == 0 || left->bytes == 0 || left->ns == 0,
  };
}

static uint32_t left_of(int64_t n) {
  return n < 0 ? 0 : (uint32_t) n + 1;
}

/* Keeps the books of the connection and of all together. */
static void end_go(mcq__actor_t* a, const go_t* go) {
  mcq__share_t* left = &a->share;
  mcq__io_t* io = mcq__actor_io(a);
  uint64_t took = mcq__io_now_ns(io) - go->since;
  uint32_t messages = left_of(go->messages);
  mcq__io_spend(io, left->messages - messages, 0, took);
  left->messages = messages;
  left->bytes = left_of(go->bytes);
  left->ns = took < left->ns ? left->ns - (uint32_t) took : 0;
}

/* Slow callbacks are looked at more often. */
static void look_at_clock(const mcq__actor_t* a, go_t* go) {
  uint64_t took = mcq__io_now_ns(mcq__actor_io(a)) - go->since;
  if (took >= a->share.ns) go->over = true;
  if (go->step < CLOCK_EVERY && took < a->share.ns / 8) go->step *= 2;
  go->look = go->step - 1;
}

static inline bool may_go_on(const go_t* go) {
  return !go->over;
}

/* Something was used up. */
static void look_up(const mcq__actor_t* a, go_t* go) {
  if (go->messages < 0 || go->bytes < 0)
    go->over = true;
  else if (go->look < 0)
    look_at_clock(a, go);
}

/* One more frame, or command: these count as messages. */
static inline void count(const mcq__actor_t* a, go_t* go, bool message,
                         size_t len) {
  go->messages -= message;
  go->bytes -= (int64_t) (len + FRAME_COST);
  go->look--;
  if (mcq__unlikely((go->messages | go->bytes | go->look) < 0)) look_up(a, go);
}

/* Anything but a message. */
static void count_event(const mcq__actor_t* a, go_t* go, mcq__event_kind_t kind,
                        const mcq__event_t* ev) {
  bool has_body = kind == MCQ__EV_SUBSCRIBE || kind == MCQ__EV_CANCEL;
  count(a, go, true, has_body ? ev->body.len : 0);
}

static void count_any(const mcq__actor_t* a, go_t* go, mcq__event_kind_t kind,
                      const mcq__event_t* ev) {
  if (kind == MCQ__EV_FRAME)
    count(a, go, !ev->more, ev->body.len);
  else
    count_event(a, go, kind, ev);
}

/* ---- delivering ---------------------------------------------------------- */

static void deliver_or_refuse(mcq__actor_t* a, const mcq__event_t* ev) {
  int rc = deliver(a, ev);
  if (rc != 0) mcq__actor_refuse(a, rc, "message over the limits");
}

/* What came in a pause, as far as it goes by the same rules.  True: all. */
static bool deliver_ahead(mcq__actor_t* a, go_t* go) {
  while (may_go_on(go) && may_deliver(a)) {
    mcq__event_t ev;
    mcq__event_kind_t kind = mcq__ahead_take(a->ahead, &ev);
    if (kind == MCQ__EV_NONE) return true;
    count_any(a, go, kind, &ev);
    if (kind == MCQ__EV_FRAME)
      deliver_or_refuse(a, &ev);
    else
      handle(a, kind, &ev);
    mcq__slice_release(&ev.body);
  }
  return false;
}

/* As many messages as are there in one frame each, one after the other.  The
 * hot path: the books are at hand meanwhile. */
static void deliver_wholes(mcq__actor_t* a, go_t* go) {
  bool (*message)(mcq__session_t*, mcq__slice_t*) =
      mcq__actor_protocol(a)->message;
  go_t now = *go;
  while (flows(a) && (now.messages | now.bytes | now.look) >= 0) {
    mcq__slice_t body;
    if (!message(a->session, &body)) break;
    deliver_whole(a, &body);
    now.messages--;
    now.bytes -= (int64_t) (body.len + FRAME_COST);
    now.look--;
  }
  *go = now;
  look_up(a, go);
}

/* One of anything.  False: there is no more, or it was refused. */
static bool deliver_next(mcq__actor_t* a, go_t* go) {
  mcq__event_t ev;
  mcq__event_kind_t kind = mcq__actor_protocol(a)->next(a->session, &ev);
  if (kind == MCQ__EV_NONE) {
    a->hungry = true;
    return false;
  }
  if (kind != MCQ__EV_FRAME) {
    count_event(a, go, kind, &ev);
    handle(a, kind, &ev);
    return true;
  }
  int rc = deliver(a, &ev);
  if (rc == 0)
    count(a, go, !ev.more, ev.body.len);
  else
    mcq__actor_refuse(a, rc, "message over the limits");
  return rc == 0;
}

/* Delivers until the session is hungry, the user paused or closed, or this
 * connection had its share of the turn. */
static void deliver_all(mcq__actor_t* a, go_t* go) {
  if (mcq__unlikely(!mcq__ahead_empty(a->ahead)) && !deliver_ahead(a, go))
    return;
  while (may_go_on(go) && may_deliver(a)) {
    deliver_wholes(a, go);
    if (may_go_on(go) && may_deliver(a) && !deliver_next(a, go)) return;
  }
}

void mcq__actor_finish(mcq__actor_t* a) {
  int code = a->end_code;
  bool whole = mcq__actor_protocol(a)->at_boundary(a->session) &&
               mcq__bridge_empty(a->bridge);
  if (code == UV_EOF && !whole && mcq__actor_listens(a)) code = MCQ_EPARTIAL;
  bool in_order = a->state == MCQ__ACTOR_DRAINING && code == UV_EOF;
  if (in_order && !a->shut) return; /* it may drain, too, and still listen */
  if (!in_order) mcq__actor_reason(a, code, a->end_text);
  mcq__actor_cut(a);
}

/* ---- reading ahead ------------------------------------------------------- */

/* Messages, and what has its place among them, are put off. */
static bool keeps_its_place(const mcq__actor_t* a, mcq__event_kind_t kind) {
  switch (kind) {
    case MCQ__EV_FRAME:
    case MCQ__EV_SUBSCRIBE:
    case MCQ__EV_CANCEL:
      return true;
    case MCQ__EV_FAILED:
    case MCQ__EV_REFUSED:
      return !mcq__ahead_empty(a->ahead);
    default:
      return false;
  }
}

static int put_one_off(mcq__actor_t* a, mcq__event_kind_t kind,
                       const mcq__event_t* ev) {
  if (a->ahead == NULL) a->ahead = mcq__ahead_new(a->config->session.pool);
  if (a->ahead == NULL) return MCQ_ENOMEM;
  int rc = mcq__ahead_put(a->ahead, kind, ev);
  if (kind != MCQ__EV_FRAME) a->ahead->closed = true;
  return rc;
}

/* Pulls while nothing may be delivered: questions are answered, answers heard;
 * the rest waits, up to a bound.  The answer to a question behind a
 * subscription would say that it is in force: there reading ahead ends. */
static void put_off(mcq__actor_t* a, go_t* go) {
  while (may_go_on(go) && may_look(a) && !mcq__ahead_full(a->ahead)) {
    mcq__event_t ev = {0};
    mcq__event_kind_t kind = mcq__actor_protocol(a)->next(a->session, &ev);
    if (kind == MCQ__EV_NONE) {
      a->hungry = true;
      return;
    }
    if (kind == MCQ__EV_FRAME && !ev.more) mcq__actor_spoke(a);
    count_any(a, go, kind, &ev);
    if (!keeps_its_place(a, kind)) {
      handle(a, kind, &ev);
      continue;
    }
    int rc = put_one_off(a, kind, &ev);
    if (rc != 0) mcq__actor_refuse(a, rc, "out of memory");
  }
}

static void begin_pause(mcq__actor_t* a) {
  if (a->pause != MCQ__PAUSE_NONE || a->end_code != 0) return;
  a->pause = MCQ__PAUSE_SHORT;
  a->look_at = mcq__io_now(mcq__actor_io(a)) + LOOK_AFTER;
  mcq__actor_arm(a);
}

static void end_pause(mcq__actor_t* a) {
  a->pause = MCQ__PAUSE_NONE;
  a->look_at = MCQ__NEVER;
}

void mcq__actor_look_ahead(mcq__actor_t* a) {
  a->pause = MCQ__PAUSE_LONG;
  a->look_at = MCQ__NEVER;
  mcq__actor_pump(a);
}

/* There is room for what comes.  A large body has to wait. */
static bool goes_on_looking(const mcq__actor_t* a) {
  return may_look(a) && a->hungry && a->end_code == 0 &&
         !mcq__ahead_full(a->ahead) &&
         mcq__actor_protocol(a)->want(a->session) == NULL;
}

/* Looking ahead stopped because that had its share. */
static bool has_not_seen_all(const mcq__actor_t* a) {
  return may_look(a) && !a->hungry && !mcq__ahead_full(a->ahead);
}

/* What was not delivered waits, in memory that nobody else needs. */
static void wait_for_turn(mcq__actor_t* a) {
  mcq__actor_stop(a);
  bool paused = !may_deliver(a);
  if (paused) begin_pause(a);
  int rc = mcq__actor_protocol(a)->hold(a->session);
  if (rc == 0) rc = mcq__bridge_hold(a->bridge);
  if (rc != 0)
    mcq__actor_fail(a, rc, "out of memory");
  else if (!paused || has_not_seen_all(a))
    mcq__io_later(mcq__actor_io(a), &a->pump);
}

/* Whether nothing is left to deliver, though nobody has asked for more. */
static bool used_up(mcq__actor_t* a) {
  if (!mcq__ahead_empty(a->ahead)) return false;
  if (a->hungry) return true;
  if (!mcq__actor_listens(a)) return false;
  a->hungry = mcq__actor_protocol(a)->at_boundary(a->session) &&
              mcq__actor_protocol(a)->hold(a->session) == 0;
  return a->hungry;
}

static void pull(mcq__actor_t* a) {
  uint64_t messages = a->tally.messages_in;
  a->delivering = true;
  go_t go = begin_go(a);
  if (mcq__unlikely(a->pause != MCQ__PAUSE_NONE) && may_deliver(a))
    end_pause(a);
  deliver_all(a, &go);
  if (mcq__unlikely(a->ahead != NULL) && mcq__ahead_empty(a->ahead))
    mcq__actor_catch_up(a);
  if (mcq__unlikely(mcq__bridge_rest(a->bridge)))
    mcq__io_idle(mcq__actor_io(a), &a->bridge->idle);
  if (mcq__unlikely(a->pause == MCQ__PAUSE_LONG)) put_off(a, &go);
  end_go(a, &go);
  a->delivering = false;
  if (mcq__unlikely(mcq__actor_watched(a)) && a->tally.messages_in != messages)
    mcq__actor_spoke(a);
}

/* What the session has to say leaves, if we still can. */
static inline void say_more(mcq__actor_t* a) {
  mcq__chain_t* out = mcq__actor_protocol(a)->out(a->session);
  if (out->bytes == 0) return;
  if (mcq__unlikely(a->shut))
    mcq__chain_drain(out, out->bytes);
  else
    mcq__io_flush(mcq__actor_io(a), &a->flush);
}

/* Most of its share is used: what were read now would have to be kept, at the
 * price of a copy, for the next turn. */
static bool had_enough(const mcq__actor_t* a) {
  const mcq__share_t* all = &a->config->share;
  const mcq__share_t* left = &a->share;
  return left->messages < all->messages / 2 || left->bytes < all->bytes / 2 ||
         left->ns < all->ns / 4;
}

void mcq__actor_pump(mcq__actor_t* a) {
  if (a->delivering || !mcq__actor_talking(a)) return;
  pull(a);
  if (mcq__unlikely(mcq__actor_doomed(a))) mcq__actor_abandon(a);
  if (!mcq__actor_talking(a)) return;
  say_more(a);
  bool rest = !used_up(a);
  if (rest && !goes_on_looking(a)) {
    wait_for_turn(a);
  } else if (!rest && a->end_code != 0) {
    mcq__actor_finish(a);
  } else if (!mcq__bridge_empty(a->bridge) &&
             mcq__bridge_hold(a->bridge) != 0) {
    mcq__actor_fail(a, MCQ_ENOMEM, "out of memory");
  } else if (had_enough(a)) {
    mcq__actor_stop(a);
    mcq__io_later(mcq__actor_io(a), &a->pump);
  } else if (may_read(a) || goes_on_looking(a)) {
    mcq__actor_read(a);
  } else {
    mcq__actor_stop(a);
    begin_pause(a);
  }
}
