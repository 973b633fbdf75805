/* SPDX-License-Identifier: MIT */
/* Proxies in the scenario test (see simworld.h).  A proxy takes its sockets'
 * messages before the test hears of them; what it does is known from its
 * figures and from what leaves: nothing that had not arrived whole, each once,
 * in order, and all of it accounted for.  It makes no choice of its own but
 * when to let go of a proxy. */
#include "support/simparts.h"

static sim_sock_t* other(const sim_bridge_t* b, const sim_sock_t* k) {
  return k == b->front ? b->back : b->front;
}

static const mcq_proxy_flow_t* flow(const sim_bridge_t* b,
                                    const mcq_proxy_stats_t* stats,
                                    const sim_sock_t* from) {
  return from == b->front ? &stats->front : &stats->back;
}

/* ---- on the way ---------------------------------------------------------- */

/* Messages of one connection do not overtake each other. */
static void check_order(const sim_sock_t* k, sim_onward_t* last,
                        const sim_fate_t* fate) {
  bool requeues = (k->options.flags & MCQ_REQUEUE) != 0;
  if (last->way == fate->way && fate->way_end <= last->end && !requeues)
    sim_fail("proxy: a letter of socket %u out of order", k->number);
  last->way = fate->way;
  last->end = fate->way_end;
}

/* It had arrived whole. */
static void check_arrived(const sim_sock_t* to, const sim_sock_t* from,
                          const sim_fate_t* fate) {
  const sim_record_t* way = fate->way;
  int side = way->dir[1].sock == from;
  sim_require(way->dir[!side].sock == to);
  if (way->conn != NULL && way->conn->pipe[side].read < fate->way_end)
    sim_fail("proxy: a letter of socket %u before its end", from->number);
}

void sim_bridge_handed(sim_dir_t* dir, const sim_seen_t* seen) {
  const sim_sock_t* k = dir->sock;
  const sim_bridge_t* b = k->bridge;
  sim_require(b != NULL && seen->sender < k->world->sock_count);
  sim_sock_t* from = sim_origin(k, seen);
  if (seen->seq == SIM_WELCOME) {
    sim_require(from->welcomes);
    return;
  }
  sim_require(seen->seq < from->letters);
  sim_fate_t* fate = &from->fates[seen->seq];
  sim_require((fate->flags & SIM_HANDED) != 0);
  if ((fate->flags & SIM_ONWARD) != 0 && !sim_books_spreads(k))
    sim_fail("proxy: letter %u of socket %u was sent on twice", seen->seq,
             from->number);
  fate->flags |= SIM_ONWARD;
  if (fate->spread && sim_publishes(from)) return; /* on which it came? */
  check_arrived(other(b, k), from, fate);
  check_order(k, &dir->onward[from->number], fate);
}

/* ---- whether it adds up -------------------------------------------------- */

/* What came in went on, was dropped, or is the one that waits. */
static void check_flow(const sim_bridge_t* b, const mcq_proxy_flow_t* f,
                       const mcq_stats_t* from, const mcq_stats_t* to,
                       int to_type) {
  uint64_t known = f->messages + f->dropped;
  uint64_t waits = b->open ? 1 : 0;
  bool starved = b->world->net.starving;
  if (from->messages_received < known ||
      from->messages_received > known + waits)
    sim_fail("proxy: %llu came, %llu handed on, %llu dropped",
             (unsigned long long) from->messages_received,
             (unsigned long long) f->messages, (unsigned long long) f->dropped);
  /* Some are told of subscriptions, some tell many. */
  if (to_type != MCQ_XSUB && to_type != MCQ_XPUB)
    sim_require(to->messages_sent == f->messages);
  if (b->open && !starved) sim_require(f->dropped == to->sends_unroutable);
}

static void check_figures(const sim_bridge_t* b) {
  mcq_proxy_stats_t flows;
  mcq_stats_t front;
  mcq_stats_t back;
  mcq_stats(b->front->s, &front);
  mcq_stats(b->back->s, &back);
  mcq_proxy_stats(b->proxy, &flows);
  check_flow(b, &flows.front, &front, &back, b->back->options.type);
  check_flow(b, &flows.back, &back, &front, b->front->options.type);
}

void sim_bridge_adopt(sim_sock_t* k) {
  mcq_stats_t stats;
  if (k->bridge == NULL || !k->bridge->open) return;
  check_figures(k->bridge);
  mcq_stats(k->s, &stats);
  sim_require(stats.messages_sent >= k->accepted);
  k->accepted = stats.messages_sent;
  k->received = stats.messages_received;
  k->refused = stats.sends_refused;
  k->unroutable = stats.sends_unroutable;
  if (k->options.type == MCQ_XPUB) k->missed = stats.messages_dropped - k->shed;
}

uint64_t sim_bridge_passed(const sim_bridge_t* b) {
  mcq_proxy_stats_t flows;
  if (b->proxy == NULL) return b->passed;
  mcq_proxy_stats(b->proxy, &flows);
  uint64_t n = flows.back.messages + flows.back.dropped;
  if (!sim_publishes(b->front)) n += flows.front.messages + flows.front.dropped;
  return n;
}

bool sim_bridge_stuck(const sim_bridge_t* b) {
  return b->open && (b->front->up == 0 || b->back->up == 0);
}

/* All messages that are out of the network on their way to it. */
static uint64_t arrived(const sim_sock_t* k) {
  uint64_t n = 0;
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    n += p->record->dir[!p->side].tap.count;
  }
  return n;
}

/* One that a subscriber of the front wanted before it was sent, and wants: it
 * may be owed more than that. */
static bool was_wanted(const sim_peer_t* p, uint32_t words, uint64_t step) {
  const sim_sock_t* reader = p->record->dir[!p->side].sock;
  uint32_t due = words & p->holds & sim_topics_wants(reader);
  for (size_t i = 0; i < SIM_WORDS; i++)
    if ((due & (UINT32_C(1) << i)) != 0 && p->since[i] < step) return true;
  return false;
}

/* Whoever wanted it has got it. */
static void check_letter(const sim_bridge_t* b, const sim_sock_t* from,
                         uint32_t seq) {
  const sim_fate_t* fate = &from->fates[seq];
  sim_letter_t letter = sim_letter_of(from, seq);
  uint32_t words = sim_letter_words(&letter);
  if ((fate->flags & SIM_HANDED) == 0 || fate->spread) return;
  for (size_t i = 0; i < b->front->peer_count; i++) {
    const sim_peer_t* p = &b->front->peers[i];
    if (!p->up || !was_wanted(p, words, fate->step)) continue;
    uint32_t number = p->record->dir[!p->side].sock->number;
    if ((fate->got & (UINT32_C(1) << number)) == 0)
      sim_fail("proxy: letter %u of socket %u never came to socket %u", seq,
               from->number, number);
  }
}

static void check_letters(const sim_bridge_t* b) {
  const sim_world_t* w = b->world;
  if (b->front->missed != 0 || b->front->shed != 0) return;
  for (size_t i = 0; i < w->sock_count; i++) {
    const sim_sock_t* from = w->socks[i];
    if (!sim_publishes(from) || from->bridge != NULL) continue;
    for (uint32_t seq = 0; seq < from->letters; seq++)
      check_letter(b, from, seq);
  }
}

void sim_bridge_quiet(const sim_bridge_t* b) {
  mcq_proxy_stats_t flows;
  const sim_sock_t* ends[2] = {b->front, b->back};
  if (!b->open || b->world->lossy) return;
  if (sim_publishes(b->front)) check_letters(b);
  mcq_proxy_stats(b->proxy, &flows);
  for (int i = 0; i < 2; i++) {
    const mcq_proxy_flow_t* f = flow(b, &flows, ends[i]);
    if (sim_publishes(ends[i])) continue;
    if (f->messages + f->dropped != arrived(ends[i]))
      sim_fail("proxy: %llu arrived, %llu were handed on",
               (unsigned long long) arrived(ends[i]),
               (unsigned long long) f->messages);
  }
}

/* ---- life ---------------------------------------------------------------- */

void sim_bridge_open(sim_sock_t* front, sim_sock_t* back) {
  sim_world_t* w = front->world;
  sim_bridge_t* b = &w->bridge;
  mcq_proxy_options_t o = {.front = front->s, .back = back->s};
  sim_require(b->front == NULL && front->ctx == back->ctx);
  sim_begin(w);
  int rc = mcq_proxy_new(&o, &b->proxy);
  sim_end(w);
  sim_require(rc == 0);
  *b = (sim_bridge_t){.world = w,
                      .proxy = b->proxy,
                      .front = front,
                      .back = back,
                      .open = true};
  front->bridge = back->bridge = b;
}

void sim_bridge_pause(sim_bridge_t* b, bool on) {
  if (!b->open) return;
  sim_begin(b->world);
  int rc = on ? mcq_proxy_pause(b->proxy) : mcq_proxy_resume(b->proxy);
  sim_end(b->world);
  sim_require(rc == 0);
  b->paused = on;
}

static void let_go(sim_bridge_t* b) {
  mcq_proxy_stats_t flows;
  if (b->proxy == NULL) return;
  mcq_proxy_stats(b->proxy, &flows);
  sim_log(&b->world->net, "proxy: %llu and %llu handed on, %llu and %llu not",
          (unsigned long long) flows.front.messages,
          (unsigned long long) flows.back.messages,
          (unsigned long long) flows.front.dropped,
          (unsigned long long) flows.back.dropped);
  b->world->sights->passed += flows.front.messages + flows.back.messages;
  b->world->sights->lapsed += flows.front.dropped + flows.back.dropped;
  b->passed = sim_bridge_passed(b);
  sim_begin(b->world);
  mcq_proxy_close(b->proxy);
  sim_end(b->world);
  b->proxy = NULL;
}

void sim_bridge_closing(sim_bridge_t* b) {
  if (b == NULL || !b->open) return;
  sim_bridge_adopt(b->front);
  sim_bridge_adopt(b->back);
  b->open = false;
  if (sim_odds(&b->world->net, 300)) let_go(b);
}

/* The other one goes with it, before it can bring a message. */
void sim_bridge_closed(sim_bridge_t* b, sim_sock_t* k) {
  if (b == NULL) return;
  if (b->proxy != NULL) {
    sim_begin(b->world);
    sim_require(mcq_proxy_pause(b->proxy) == MCQ_ECLOSED);
    sim_end(b->world);
  }
  if (b->proxy != NULL && k->s != NULL && other(b, k)->s != NULL)
    check_figures(b);
  if (sim_odds(&b->world->net, 500)) let_go(b);
  if (!other(b, k)->closing) sim_sock_close(other(b, k));
}

void sim_bridge_dispose(sim_bridge_t* b) {
  if (b->world != NULL) let_go(b);
}
