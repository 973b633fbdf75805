/* SPDX-License-Identifier: MIT */
/* Limits in the scenario test (see simworld.h): how many may come in, how
 * often and for how long is dialed, how long somebody may be silent.  Nobody
 * is over one, and nobody suffers for one that it is within.  It looks inside,
 * and makes no choice of its own. */
#include "support/simparts.h"

static uint64_t later(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* ---- who dials ----------------------------------------------------------- */

static bool stops_at(const sim_sock_t* k, int what) {
  return (k->options.reconnect_stop & what) != 0;
}

/* Not counting those before a handshake that succeeded. */
static void dialing(const sim_sock_t* k, sim_ending_t* e) {
  const mcq_socket_options_t* o = &k->options;
  uint64_t now = k->world->net.now;
  if (e->stopped) sim_fail("socket %u dials though it stopped", k->number);
  if (e->must_stop) sim_fail("socket %u dials instead of stopping", k->number);
  if (e->tries++ == 0) e->since = now;
  if (sim_streams(k)) return; /* what succeeds there is another matter */
  if (o->reconnect_attempts > 0 && e->tries > (uint64_t) o->reconnect_attempts)
    sim_fail("socket %u dials for the %lluth time", k->number,
             (unsigned long long) e->tries);
  if (o->reconnect_total_ms > 0 &&
      now > e->since + (uint64_t) o->reconnect_total_ms)
    sim_fail("socket %u dials after %llu ms", k->number,
             (unsigned long long) (now - e->since));
}

static void succeeded(sim_ending_t* e) {
  e->tries_before = e->tries;
  e->since_before = e->since;
  e->tries = 0;
}

/* It had not succeeded after all. */
static void disappointed(sim_ending_t* e) {
  if (e->tries != 0) return;
  e->tries = e->tries_before;
  e->since = e->since_before;
}

static void failed(const sim_sock_t* k, sim_ending_t* e, int code, int what) {
  bool refused = code == MCQ_ENOTNOW || code == MCQ_EREFUSED;
  if (refused) {
    disappointed(e);
    what = MCQ_STOP_HANDSHAKE;
  }
  if (code != MCQ_ELOCAL && stops_at(k, what)) e->must_stop = true;
}

static void dial_event(sim_sock_t* k, sim_ending_t* e, const mcq_event_t* ev) {
  switch ((int) ev->kind) {
    case MCQ_EVENT_CONNECTING:
      dialing(k, e);
      break;
    case MCQ_EVENT_HANDSHAKE_OK:
      succeeded(e);
      break;
    case MCQ_EVENT_HANDSHAKE_FAILED:
      failed(k, e, ev->code, MCQ_STOP_HANDSHAKE);
      break;
    case MCQ_EVENT_DISCONNECTED:
      failed(k, e, ev->code, MCQ_STOP_LOST);
      break;
    case MCQ_EVENT_CONNECT_FAILED:
      if (ev->code == UV_ECONNREFUSED && stops_at(k, MCQ_STOP_REFUSED))
        e->must_stop = true;
      break;
    case MCQ_EVENT_RETRY:
      if (e->must_stop) sim_fail("socket %u is to dial again", k->number);
      break;
    case MCQ_EVENT_STOPPED:
      k->world->sights->stops++;
      break;
    default:
      break;
  }
}

void sim_limits_event(sim_sock_t* k, const mcq_event_t* ev) {
  sim_ending_t* e = sim_find_end(k, ev->endpoint);
  if (ev->kind == MCQ_EVENT_REFUSED) {
    sim_require(ev->count != 0 && ev->code == MCQ_ECROWDED);
    k->crowded += ev->count;
    k->world->sights->crowds++;
  }
  if (e != NULL && e->connecting) dial_event(k, e, ev);
}

/* ---- who comes in -------------------------------------------------------- */

void sim_limits_audit(const sim_sock_t* k, const mcq_stats_t* stats) {
  const mcq_socket_options_t* o = &k->options;
  const mcq__gate_t* g = &k->s->gate;
  size_t guests = 0;
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next)
    guests += mcq__container_of(n, mcq__actor_t, node)->end == NULL;
  sim_require(guests == g->guests && g->strange <= guests);
  if (o->max_connections > 0 && guests > (size_t) o->max_connections)
    sim_fail("socket %u has %zu guests", k->number, guests);
  if (o->max_handshakes > 0 && g->strange > (size_t) o->max_handshakes)
    sim_fail("socket %u has %zu strangers", k->number, g->strange);
  sim_require(stats->connections_refused == k->crowded + g->turned_away);
}

/* ---- who is silent ------------------------------------------------------- */

/* What comes in the millisecond of a verdict may have come after it. */
static uint64_t before(const uint64_t at[2], uint64_t now) {
  return at[0] == now ? at[1] : at[0];
}

/* When something was said at last before `now`, as far as the network knows:
 * the library may have learned of it later. */
static uint64_t spoke_at(const sim_peer_t* p, uint64_t now) {
  const sim_dir_t* in = &p->record->dir[!p->side];
  const sim_dir_t* out = &p->record->dir[p->side];
  uint64_t at = later(before(in->read_at, now), before(out->handed_at, now));
  return later(p->up_at, at);
}

/* Who is shown out has his connection closed with the verdict.  That he is
 * down is told when a write that was in flight has ended, too. */
static uint64_t verdict_at(const sim_peer_t* p) {
  const sim_end_t* end = &p->record->conn->end[p->side];
  sim_require(end->left);
  return end->left_at;
}

static bool over(int64_t limit, uint64_t since, uint64_t now) {
  return limit > 0 && now - since >= (uint64_t) limit;
}

void sim_limits_idle(const sim_sock_t* k, const sim_peer_t* p,
                     const char* text) {
  const mcq_socket_options_t* o = &k->options;
  uint64_t at = verdict_at(p);
  uint64_t since = spoke_at(p, at);
  bool first = strcmp(text, "it sent no message at all") == 0;
  k->world->sights->idlers++;
  /* Without memory for the text it is one of both. */
  if (text[0] == '\0' && k->world->net.starving)
    first = !over(o->idle_ms, since, at);
  if (first) {
    sim_require(before(p->record->dir[!p->side].read_at, at) == 0);
    sim_require(over(o->first_message_ms, p->up_at, at));
  } else if (!over(o->idle_ms, since, at)) {
    sim_fail("socket %u: a peer is shown out after %llu ms", k->number,
             (unsigned long long) (at - since));
  }
}

/* Nobody has been silent, or dead, for longer than allowed since `calm`. */
void sim_limits_quiet(const sim_sock_t* k, uint64_t calm) {
  const mcq_socket_options_t* o = &k->options;
  uint64_t now = k->world->net.now;
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    if (!p->up || p->ending || k->bridge != NULL) continue;
    uint64_t late = 1000; /* a deadline may be looked at twice */
    if (o->idle_ms > 0 &&
        now > later(spoke_at(p, now), calm) + (uint64_t) o->idle_ms + late)
      sim_fail("socket %u: a peer may be idle for ever", k->number);
    if (o->heartbeat_ms > 0 && sim_dead(p) &&
        now > later(p->record->conn->cut_at, calm) + 2 * 4000 + late)
      sim_fail("socket %u: a dead peer was not found", k->number);
  }
}

/* ---- who has one peer ---------------------------------------------------- */

/* One that is there, and not only believed to be. */
static bool paired(const sim_sock_t* k) {
  for (size_t i = 0; i < k->peer_count; i++)
    if (k->peers[i].up && sim_mirror(&k->peers[i]) != NULL) return true;
  return false;
}

void sim_limits_pair(const sim_sock_t* k, const sim_sock_t* to) {
  if (!paired(k) && !paired(to))
    sim_fail("sockets %u and %u are alone, and never meet", k->number,
             to->number);
}
