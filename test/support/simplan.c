/* SPDX-License-Identifier: MIT */
/* The weather and the people of a scenario (see simplan.h). */
#include "support/simplan.h"

#include <stdio.h>

/* ---- what the weather is like -------------------------------------------- */

void sim_plan_faults(sim_plan_t* p) {
  sim_faults_t* f = &p->world.net.faults;
  f->style = (sim_style_t) sim_plan_below(p, SIM_STYLES);
  f->delay = (uint64_t) sim_one_of(p, 0, 1, 5, 50);
  f->room = (size_t) sim_one_of(p, 512, 4096, 65536, 65536, 1 << 20);
  f->tiny = (unsigned) sim_one_of(p, 0, 50, 300);
  f->crumbs = (unsigned) sim_one_of(p, 0, 0, 100, 1000);
  f->dial = (uint64_t) sim_one_of(p, 0, 5, 100);
  if (p->calm) return;
  f->refuse = (unsigned) sim_one_of(p, 0, 0, 100, 400);
  f->hang = (unsigned) sim_one_of(p, 0, 0, 50);
  f->no_accept = (unsigned) sim_one_of(p, 0, 0, 200);
  f->no_read = (unsigned) sim_one_of(p, 0, 0, 0, 5);
  f->purge = (unsigned) sim_one_of(p, 0, 500);
}

void sim_plan_no_faults(sim_plan_t* p) {
  sim_faults_t* f = &p->world.net.faults;
  f->refuse = f->hang = f->no_accept = f->no_read = f->purge = 0;
  f->tiny = 10;
  f->room = 65536;
  if (f->delay > 1) f->delay = 1;
  for (sim_conn_t* c = p->world.net.conns; c != NULL; c = c->next)
    c->pipe[0].room = c->pipe[1].room = f->room;
}

/* Flags that one of the type may have or not. */
static int draw_flags(sim_plan_t* p, int type) {
  int flags = 0;
  bool immediate = type == MCQ_DEALER || type == MCQ_ROUTER ||
                   type == MCQ_PAIR || type == MCQ_PUSH || type == MCQ_REQ ||
                   type == MCQ_XSUB;
  if (immediate && sim_plan_odds(p, 200)) flags |= MCQ_IMMEDIATE;
  if (type == MCQ_PUSH && sim_plan_odds(p, 400)) flags |= MCQ_REQUEUE;
  bool queues = type == MCQ_PUB || type == MCQ_XPUB || type == MCQ_PUSH;
  if (queues && sim_plan_odds(p, 150)) flags |= MCQ_CONFLATE;
  if (type == MCQ_REQ && sim_plan_odds(p, 500)) flags |= MCQ_REQ_CORRELATE;
  if (type == MCQ_REQ && sim_plan_odds(p, 300)) flags |= MCQ_REQ_RELAXED;
  if (type == MCQ_XPUB)
    flags |= (int) sim_one_of(p, 0, 0, MCQ_XPUB_VERBOSE, MCQ_XPUB_VERBOSER,
                              MCQ_XPUB_MANUAL);
  if (type == MCQ_XSUB && sim_plan_odds(p, 300)) flags |= MCQ_XSUB_VERBOSE;
  if (type == MCQ_SUB && sim_plan_odds(p, 200)) flags |= MCQ_SUB_UNFILTERED;
  if (type == MCQ_SUB && sim_plan_odds(p, 300))
    flags |= MCQ_SUB_SEND_DUPLICATES;
  bool sums = (flags & MCQ_XPUB_VERBOSER) != 0; /* of what it is told */
  if ((type == MCQ_PUB || type == MCQ_XPUB) && !sums && sim_plan_odds(p, 300))
    flags |= MCQ_PUB_COUNT_SUBS;
  return flags;
}

/* What only some types know. */
static void draw_special(sim_plan_t* p, mcq_socket_options_t* o) {
  if (o->type == MCQ_PUB || o->type == MCQ_XPUB) {
    o->slow_peer = (int) sim_one_of(p, 0, MCQ_SLOW_DROP_OLDEST, MCQ_SLOW_REFUSE,
                                    MCQ_SLOW_DISCONNECT);
    if (p->calm && o->slow_peer == MCQ_SLOW_DISCONNECT) o->slow_peer = 0;
    if (!p->calm)
      o->max_subscriptions =
          sim_one_of(p, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 5);
  }
  if (o->type == MCQ_REQ && !p->calm)
    o->request_ms = sim_one_of(p, 0, 0, 1, 50, 2000);
}

/* In some worlds people ask each other for signs of life.  Out of the seed
 * itself, so that all else is as it is in the others. */
static void draw_heartbeats(const sim_plan_t* p, mcq_socket_options_t* o) {
  static const int64_t intervals[] = {50, 400, 3000};
  uint64_t seed = p->world.seed;
  if (seed % 4 != 3) return;
  o->heartbeat_ms = intervals[seed / 4 % 3];
  o->heartbeat_timeout_ms = 1000;
  if (seed / 12 % 2) o->heartbeat_ttl_ms = o->heartbeat_ms + 1000;
}

/* Absolute ones, and numbers.  Where all has to arrive nobody is shown out.
 * Of heartbeats all have the same idea: who does not read cannot know how soon
 * somebody else would give him up. */
static void draw_limits(sim_plan_t* p, mcq_socket_options_t* o) {
  if (!p->strict) return;
  o->heartbeat_ms = p->heartbeat_ms;
  o->heartbeat_timeout_ms = p->heartbeat_ms == 400 ? 0 : 1000;
  o->heartbeat_ttl_ms = 0;
  if (sim_strict_odds(p, 300)) o->heartbeat_ttl_ms = o->heartbeat_ms + 1000;
  if (p->calm || p->roomy) return;
  o->idle_ms = sim_strict_of(p, 0, 0, 0, 300, 5000);
  if (o->type != MCQ_PUSH)
    o->first_message_ms = sim_strict_of(p, 0, 0, 0, 200, 3000);
  o->max_connections = (int32_t) sim_strict_of(p, 0, 0, 0, 1, 2, 4);
  o->max_handshakes = (int32_t) sim_strict_of(p, 0, 0, 1, 2);
  o->reconnect_attempts = (int32_t) sim_strict_of(p, 0, 0, 0, 1, 3, 8);
  o->reconnect_total_ms = sim_strict_of(p, 0, 0, 0, 300, 3000);
  o->reconnect_stop =
      (int) sim_strict_of(p, 0, 0, 0, 0, MCQ_STOP_REFUSED, MCQ_STOP_HANDSHAKE,
                          MCQ_STOP_LOST, MCQ_STOP_HANDSHAKE | MCQ_STOP_LOST);
}

static mcq_socket_options_t draw_options(sim_plan_t* p, int type, int flags) {
  mcq_socket_options_t o = {.type = type, .flags = flags};
  o.flags |= draw_flags(p, type);
  o.sndhwm = (int32_t) sim_one_of(p, 0, 0, 1, 2, 10, -1);
  o.sndhwm_bytes = sim_one_of(p, 0, 0, 0, 1000, 100000);
  o.max_bytes = sim_one_of(p, 0, 0, 0, 0, 0, 2000, 50000);
  o.turn_messages = (int32_t) sim_one_of(p, 0, 0, 1, 3);
  o.turn_bytes = sim_one_of(p, 0, 0, 1, 5000);
  o.reconnect_ms = sim_one_of(p, 0, 1, 20, 200);
  o.reconnect_max_ms = sim_one_of(p, 1, 100, 500);
  o.linger_ms = p->calm ? -1 : sim_one_of(p, 0, MCQ_LINGER_NONE, 1, 50, 3000);
  draw_special(p, &o);
  draw_heartbeats(p, &o);
  draw_limits(p, &o);
  if (p->calm) return o;
  o.handshake_ms = sim_one_of(p, 0, 0, 200, 1000);
  o.connect_ms = sim_one_of(p, 0, 50, 1000);
  if (sim_plan_odds(p, 30)) o.reconnect_ms = -1;
  return o;
}

/* ---- who is there -------------------------------------------------------- */

/* What one of the type says. */
static sim_kind_t kind_of(const sim_plan_t* p, int type) {
  if (type == MCQ_PUB || type == MCQ_XPUB) return SIM_PUBLISHED;
  if (type == MCQ_REP || (type == MCQ_ROUTER && p->serves)) return SIM_ANSWER;
  if (type == MCQ_DEALER && p->hub_type == MCQ_REP) return SIM_ENVELOPED;
  if (type == MCQ_DEALER && p->type == MCQ_REP) return SIM_ENVELOPED;
  if (type == MCQ_STREAM || (type == MCQ_PUSH && p->others)) return SIM_MARKED;
  return type == MCQ_REQ || type == MCQ_XSUB ? SIM_MARKED : SIM_PLAIN;
}

/* Where one that picks may leave its letters. */
static void draw_mailbox(sim_plan_t* p, sim_sock_t* k) {
  int type = k->options.type;
  if (type != MCQ_DEALER && type != MCQ_PUSH && type != MCQ_PAIR) return;
  if ((k->options.flags & MCQ_CONFLATE) != 0 || k->kind == SIM_ENVELOPED)
    return;
  if (!sim_strict_odds(p, 500)) return;
  int32_t hwm = (int32_t) sim_strict_of(p, 0, 1, 5, 50);
  sim_mail_open(k, hwm, sim_strict_of(p, 0, 0, 3000));
}

static sim_sock_t* add(sim_plan_t* p, mcq_socket_options_t* o, sim_seat_t* seat,
                       const char* name) {
  sim_world_t* w = &p->world;
  int type = o->type;
  if (p->others && type == MCQ_XPUB && sim_plan_odds(p, 600)) {
    mcq_frame_t welcome = sim_welcome((uint32_t) w->sock_count);
    o->welcome = welcome.data;
    o->welcome_len = welcome.len;
  }
  sim_sock_t* k = sim_sock_new(w, seat, o, name);
  if (k == NULL) return NULL;
  k->kind = kind_of(p, type);
  k->serves = type == MCQ_ROUTER && p->serves;
  k->rude = k->serves && !p->calm && sim_plan_odds(p, 300);
  return k;
}

sim_sock_t* sim_plan_add(sim_plan_t* p, int type, int flags, const char* name) {
  sim_world_t* w = &p->world;
  mcq_socket_options_t o = draw_options(p, type, flags);
  sim_sock_t* k = add(p, &o, &w->seats[sim_plan_below(p, w->seat_count)], name);
  if (k != NULL) draw_mailbox(p, k);
  for (int i = 0; i < 3 && k != NULL && sim_subscribes(k); i++)
    sim_sock_subscribe(k, sim_plan_below(p, SIM_WORDS), true);
  return k;
}

sim_sock_t* sim_plan_add_numbered(sim_plan_t* p, int type, int flags) {
  char name[16] = "";
  if (sim_plan_odds(p, 700))
    snprintf(name, sizeof name, "peer-%zu", p->world.sock_count);
  return sim_plan_add(p, type, flags, name);
}

void sim_plan_uri(const sim_sock_t* k, char out[32]) {
  snprintf(out, 32, "sim://at-%u", k->number);
}

void sim_plan_bind(sim_sock_t* k) {
  char uri[32];
  if (k == NULL) return;
  sim_plan_uri(k, uri);
  sim_sock_bind(k, uri);
}

/* Each half of a proxy has people of its own; what went round in circles would
 * go round for ever. */
static bool may_meet(const sim_plan_t* p, const sim_sock_t* from,
                     const sim_sock_t* to) {
  const sim_sock_t* half = from->bridge != NULL ? from : to;
  const sim_sock_t* other = half == from ? to : from;
  if (half->bridge == NULL) return true;
  if (other->bridge != NULL || (from->welcomes && half == from)) return false;
  return other->options.type ==
         (half == half->bridge->front ? p->type : p->hub_type);
}

void sim_plan_link(sim_plan_t* p, sim_sock_t* from, const sim_sock_t* to) {
  mcq_connect_options_t o = {0};
  char uri[32];
  char name[16];
  if (from == NULL || to == NULL) return;
  if (!may_meet(p, from, to)) return;
  /* The second way to a peer takes the first one over, again and again. */
  bool again = from == to || p->linked[from->number][to->number];
  if (p->calm && again) return;
  if (again && (from->name[0] != '\0' || to->name[0] != '\0')) p->twins = true;
  p->linked[from->number][to->number] = true;
  p->linked[to->number][from->number] = true;
  sim_plan_uri(to, uri);
  if (sim_plan_odds(p, 100)) o.flags = MCQ_CONNECT_MULTI;
  if (from->options.type == MCQ_ROUTER && sim_plan_odds(p, 300)) {
    snprintf(name, sizeof name, "call-%u", to->number);
    o.routing_id = name;
    o.routing_id_len = strlen(name);
    p->twins = true; /* some other may be called so */
  }
  sim_sock_connect(from, uri, &o);
}

/* One in the middle; the others connect to it, or it to them. */
static void star(sim_plan_t* p, int hub_type, int hub_flags, int type,
                 int flags) {
  size_t count = 1 + sim_plan_below(p, 6);
  bool outward = sim_plan_odds(p, 300);
  p->hub_type = hub_type;
  p->type = type;
  p->hub_flags = hub_flags;
  p->flags = flags;
  sim_sock_t* hub = sim_plan_add_numbered(p, hub_type, hub_flags);
  if (!outward && sim_plan_odds(p, 800)) sim_plan_bind(hub);
  for (size_t i = 0; i < count; i++) {
    sim_sock_t* k = sim_plan_add_numbered(p, type, flags);
    if (outward) sim_plan_bind(k);
    if (outward)
      sim_plan_link(p, hub, k);
    else
      sim_plan_link(p, k, hub);
  }
  if (!outward && hub != NULL && hub->end_count == 0) sim_plan_bind(hub);
}

/* Some of one type, some of the other, each with each. */
static void grid(sim_plan_t* p, int type, int flags, int other,
                 int other_flags) {
  sim_sock_t* ones[4];
  size_t count = 1 + sim_plan_below(p, 4);
  size_t others = 1 + sim_plan_below(p, 4);
  p->hub_type = type;
  p->type = other;
  p->hub_flags = flags;
  p->flags = other_flags;
  for (size_t i = 0; i < count; i++) {
    ones[i] = sim_plan_add_numbered(p, type, flags);
    sim_plan_bind(ones[i]);
  }
  for (size_t i = 0; i < others; i++) {
    sim_sock_t* k = sim_plan_add_numbered(p, other, other_flags);
    for (size_t n = 0; n < count; n++) sim_plan_link(p, k, ones[n]);
  }
}

static void meet(sim_plan_t* p, int type, int flags, int other,
                 int other_flags) {
  if (sim_plan_odds(p, 400))
    grid(p, type, flags, other, other_flags);
  else if (sim_plan_odds(p, 600))
    star(p, type, flags, other, other_flags);
  else
    star(p, other, other_flags, type, flags);
}

static void pairs(sim_plan_t* p) {
  sim_sock_t* a = sim_plan_add_numbered(p, MCQ_PAIR, 0);
  sim_sock_t* b = sim_plan_add_numbered(p, MCQ_PAIR, 0);
  sim_plan_bind(a);
  sim_plan_link(p, b, a);
  if (p->calm || sim_plan_odds(p, 500)) return;
  sim_plan_link(p, sim_plan_add_numbered(p, MCQ_PAIR, 0), a);
}

static void mesh(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  size_t count = 2 + sim_plan_below(p, 5);
  for (size_t i = 0; i < count; i++) {
    int type = sim_plan_odds(p, 500) ? MCQ_ROUTER : MCQ_DEALER;
    sim_plan_bind(sim_plan_add_numbered(p, type, 0));
  }
  for (size_t i = 0; i < w->sock_count * 2; i++)
    sim_plan_link(p, w->socks[sim_plan_below(p, w->sock_count)],
                  w->socks[sim_plan_below(p, w->sock_count)]);
}

static void old_people(sim_plan_t* p) {
  int twin = sim_plan_odds(p, 300) ? MCQ_ROUTER_REFUSE_TWIN : 0;
  int requeue = sim_plan_odds(p, 300) ? MCQ_NO_REQUEUE : 0;
  int dealer = sim_plan_odds(p, 200) ? MCQ_REQUEUE : 0;
  if (sim_plan_odds(p, 150)) dealer |= MCQ_CONFLATE;
  switch (sim_plan_below(p, 7)) {
    case 0:
      star(p, MCQ_ROUTER, twin, MCQ_DEALER, 0);
      break;
    case 1:
      star(p, MCQ_DEALER, dealer, MCQ_ROUTER, twin);
      break;
    case 2:
      star(p, MCQ_ROUTER, twin, MCQ_ROUTER, 0);
      break;
    case 3:
      p->chatty = true; /* so that there is something to requeue */
      star(p, MCQ_ROUTER, MCQ_ROUTER_BALANCE | requeue, MCQ_DEALER, 0);
      break;
    case 4:
      pairs(p);
      break;
    case 5:
      mesh(p);
      break;
    case 6:
      star(p, MCQ_ROUTER, 0, MCQ_DEALER, 0);
      if (!p->calm)
        sim_plan_link(p, sim_plan_add(p, MCQ_PAIR, 0, ""), p->world.socks[0]);
      break;
  }
}

static void readers(sim_plan_t* p) {
  int inverted = sim_plan_odds(p, 150) ? MCQ_INVERT_MATCHING : 0;
  int type = sim_plan_odds(p, 500) ? MCQ_PUB : MCQ_XPUB;
  if (sim_plan_odds(p, 500)) p->chatty = true;
  if (sim_plan_odds(p, 600))
    meet(p, type, inverted, MCQ_SUB, inverted);
  else
    meet(p, type, inverted, MCQ_XSUB, 0);
}

static void askers(sim_plan_t* p) {
  switch (sim_plan_below(p, 3)) {
    case 0:
      meet(p, MCQ_REP, 0, MCQ_REQ, 0);
      break;
    case 1:
      p->serves = true;
      meet(p, MCQ_ROUTER, 0, MCQ_REQ, 0);
      break;
    case 2:
      meet(p, MCQ_REP, 0, MCQ_DEALER, 0);
      break;
  }
}

/* ---- others -------------------------------------------------------------- */

/* Half of a proxy, which takes nothing off and nobody by the hand. */
static sim_sock_t* add_half(sim_plan_t* p, int type, sim_seat_t* seat) {
  mcq_socket_options_t o = draw_options(p, type, 0);
  char name[16];
  o.flags &= ~(MCQ_XPUB_VERBOSE | MCQ_XPUB_MANUAL | MCQ_XSUB_VERBOSE);
  if (type == MCQ_XPUB) {
    o.flags &= ~MCQ_CONFLATE;
    if (o.slow_peer == MCQ_SLOW_DROP_OLDEST) o.slow_peer = MCQ_SLOW_REFUSE;
  }
  snprintf(name, sizeof name, "half-%zu", p->world.sock_count);
  return add(p, &o, seat, name);
}

static void surround(sim_plan_t* p, sim_sock_t* half, int type) {
  size_t count = 1 + sim_plan_below(p, 3);
  sim_plan_bind(half);
  for (size_t i = 0; i < count; i++) {
    sim_sock_t* k = sim_plan_add_numbered(p, type, 0);
    if (half->welcomes || sim_plan_odds(p, 700)) {
      sim_plan_link(p, k, half);
    } else {
      sim_plan_bind(k);
      sim_plan_link(p, half, k);
    }
  }
}

/* Two sockets that are joined, and people on either side. */
static void joined(sim_plan_t* p, int type, int front, int back, int other) {
  sim_world_t* w = &p->world;
  sim_seat_t* seat = &w->seats[sim_plan_below(p, w->seat_count)];
  p->type = type;
  p->hub_type = other;
  sim_sock_t* f = add_half(p, front, seat);
  sim_sock_t* b = add_half(p, back, seat);
  sim_bridge_open(f, b);
  surround(p, f, type);
  surround(p, b, other);
}

/* Among them maybe somebody who does not know what they speak. */
static void streams(sim_plan_t* p) {
  meet(p, MCQ_STREAM, 0, MCQ_STREAM, 0);
  if (p->calm || !sim_plan_odds(p, 300)) return;
  sim_sock_t* k = sim_plan_add(p, MCQ_DEALER, 0, "");
  sim_plan_bind(k);
  sim_plan_link(p, k, p->world.socks[0]);
  sim_plan_link(p, p->world.socks[0], k);
}

static void other_people(sim_plan_t* p) {
  if (sim_plan_odds(p, 500)) p->chatty = true;
  switch (sim_plan_below(p, 6)) {
    case 0:
      joined(p, MCQ_PUSH, MCQ_PULL, MCQ_PUSH, MCQ_PULL);
      break;
    case 1:
      joined(p, MCQ_REQ, MCQ_ROUTER, MCQ_DEALER, MCQ_REP);
      break;
    case 2:
      joined(p, MCQ_DEALER, MCQ_ROUTER, MCQ_DEALER, MCQ_REP);
      break;
    case 3:
      joined(p, MCQ_SUB, MCQ_XPUB, MCQ_XSUB,
             sim_plan_odds(p, 500) ? MCQ_PUB : MCQ_XPUB);
      break;
    case 4:
      streams(p);
      break;
    case 5:
      meet(p, MCQ_XPUB, 0, sim_plan_odds(p, 700) ? MCQ_SUB : MCQ_XSUB, 0);
      break;
  }
}

void sim_plan_people(sim_plan_t* p) {
  if (p->others) {
    other_people(p);
    return;
  }
  if (p->strict && sim_strict_odds(p, 150)) {
    /* Who is dead there is found only because somebody wants his place. */
    p->roomy = sim_strict_odds(p, 700);
    if (p->roomy) p->heartbeat_ms = 0;
    pairs(p);
    return;
  }
  size_t dice = sim_plan_below(p, 100);
  if (dice < 45) {
    old_people(p);
  } else if (dice < 70) {
    readers(p);
  } else if (dice < 90) {
    askers(p);
  } else {
    if (sim_plan_odds(p, 500)) p->chatty = true;
    meet(p, MCQ_PUSH, 0, MCQ_PULL, 0);
  }
}
