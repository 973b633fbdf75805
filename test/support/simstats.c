/* SPDX-License-Identifier: MIT */
/* Whether what the library counts is what happened (see simworld.h): against
 * what callbacks told, against the network, and against itself: every message
 * and every handshake is in one place.  It looks inside, and changes nothing
 * there. */
#include "support/simparts.h"

void sim_stats_event(sim_sock_t* k, const mcq_event_t* e) {
  sim_require(e->kind > 0 && (size_t) e->kind < SIM_EVENTS);
  bool of_all = e->peer.epoch == 0 && strcmp(e->text, "max_bytes") == 0;
  if (of_all) return; /* it is no queue that was full */
  k->events[e->kind]++;
  if (e->kind != MCQ_EVENT_CONGESTED && e->kind != MCQ_EVENT_RELIEVED) return;
  sim_require(e->peer.epoch != 0 || e->endpoint != 0);
  sim_require(k->events[MCQ_EVENT_CONGESTED] >= k->events[MCQ_EVENT_RELIEVED]);
}

/* ---- messages ------------------------------------------------------------ */

static void check_fates(const sim_sock_t* k, const mcq_stats_t* s) {
  uint64_t known = s->messages_written + s->messages_in_flight +
                   s->messages_queued + s->messages_unsure +
                   s->messages_replaced + s->messages_lost;
  if (known != s->messages_sent)
    sim_fail(
        "socket %u: sent %llu, written %llu, in flight %llu, queued %llu, "
        "unsure %llu, replaced %llu, lost %llu",
        k->number, (unsigned long long) s->messages_sent,
        (unsigned long long) s->messages_written,
        (unsigned long long) s->messages_in_flight,
        (unsigned long long) s->messages_queued,
        (unsigned long long) s->messages_unsure,
        (unsigned long long) s->messages_replaced,
        (unsigned long long) s->messages_lost);
  sim_require(s->messages_lost == s->lost_gone + s->lost_slow + s->lost_local);
  sim_require(s->messages_dropped ==
              s->dropped_full + s->dropped_memory + s->messages_replaced);
}

/* What the network took whole was written, or is not known to have been. */
static void check_handed(const sim_sock_t* k, const mcq_stats_t* s) {
  uint64_t most =
      s->messages_written + s->messages_in_flight + s->messages_unsure;
  if (k->handed < s->messages_written || k->handed > most)
    sim_fail("socket %u: handed over %llu, written %llu, at most %llu",
             k->number, (unsigned long long) k->handed,
             (unsigned long long) s->messages_written,
             (unsigned long long) most);
}

/* Each peer's messages are in one place, and all of them are the socket's. */
static void check_peers(sim_sock_t* k, const mcq_stats_t* s) {
  mcq_stats_t sum = {0};
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    mcq_peer_stats_t p;
    mcq__stats_actor(mcq__container_of(n, mcq__actor_t, node), &p);
    uint64_t known = p.messages_written + p.messages_in_flight +
                     p.messages_queued + p.messages_unsure +
                     p.messages_replaced + p.messages_lost +
                     p.messages_requeued;
    /* Without memory what is rare is counted by the socket alone. */
    sim_require(known == p.messages_sent ||
                (k->world->net.starving && known < p.messages_sent));
    sim_require(p.queue_peak_messages >= p.messages_queued);
    sim_require(p.queue_peak_bytes >= p.bytes_queued);
    if (p.messages_queued > k->peak) k->peak = p.messages_queued;
    sim_require(p.connected <= p.connections);
    sim_require(p.congested <= p.congestions || k->world->net.starving);
    sum.peers += p.connected;
    sum.messages_queued += p.messages_queued;
    sum.messages_in_flight += p.messages_in_flight;
  }
  sim_require(s->queue_peak_messages >= k->peak);
  sim_require(sum.peers == s->peers);
  sim_require(sum.messages_queued == s->messages_queued);
  sim_require(sum.messages_in_flight == s->messages_in_flight);
}

/* ---- connections --------------------------------------------------------- */

/* Handshakes that are going on, and queues that are full and not told of. */
static uint64_t look(const sim_sock_t* k, uint64_t* untold) {
  uint64_t going_on = 0;
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    going_on +=
        a->state != MCQ__ACTOR_IDLE && !a->told && !a->was_up && !a->displaced;
    *untold += a->full && !a->told_full;
  }
  return going_on;
}

static void check_events(const sim_sock_t* k, const mcq_stats_t* s) {
  const uint64_t* told = k->events;
  uint64_t untold = 0;
  uint64_t going_on = look(k, &untold);
  sim_require(s->connections_accepted == told[MCQ_EVENT_ACCEPTED]);
  sim_require(s->connections_made == told[MCQ_EVENT_CONNECTED]);
  /* One word a second for all of them. */
  sim_require(s->accepts_failed >= told[MCQ_EVENT_ACCEPT_FAILED]);
  sim_require((s->accepts_failed != 0) == (told[MCQ_EVENT_ACCEPT_FAILED] != 0));
  sim_require(s->connects_failed == told[MCQ_EVENT_CONNECT_FAILED]);
  sim_require(s->handshakes_ok == told[MCQ_EVENT_HANDSHAKE_OK]);
  sim_require(s->handshakes_failed == told[MCQ_EVENT_HANDSHAKE_FAILED]);
  sim_require(s->disconnects == told[MCQ_EVENT_DISCONNECTED]);
  sim_require(s->peers == s->handshakes_ok - s->disconnects);
  sim_require(s->handshakes_failed ==
              s->handshakes_timed_out + s->handshakes_refused +
                  s->handshakes_rejected + s->handshakes_invalid +
                  s->handshakes_lost);
  sim_require(s->connections_accepted + s->connections_made ==
              s->handshakes_ok + s->handshakes_failed + going_on);
  /* Of one that another has displaced nothing more is told. */
  uint64_t congested = told[MCQ_EVENT_CONGESTED] + untold;
  sim_require(k->displaced ? s->congestions >= congested
                           : s->congestions == congested);
}

/* ---- all of it ----------------------------------------------------------- */

void sim_stats_audit(sim_sock_t* k, const mcq_stats_t* stats) {
  check_fates(k, stats);
  check_handed(k, stats);
  check_peers(k, stats);
  check_events(k, stats);
}

void sim_stats_closed(sim_sock_t* k, const mcq_stats_t* stats) {
  sim_stats_audit(k, stats);
  sim_require(stats->messages_in_flight == 0);
  sim_require(stats->handshakes_ok == stats->disconnects);
}

/* A socket that its context closed goes with what it did until then, and
 * nobody has looked since: it has done no less. */
void sim_stats_seat(const sim_seat_t* seat) {
  const sim_world_t* w = seat->world;
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t sockets = 0;
  mcq_stats_t totals;
  mcq_ctx_stats_t stats;
  mcq_ctx_totals(seat->ctx, &totals);
  mcq_ctx_stats(seat->ctx, &stats);
  for (size_t i = 0; i < w->sock_count; i++) {
    const sim_sock_t* k = w->socks[i];
    if (k->ctx != seat) continue;
    sockets++;
    sent += k->accepted;
    received += k->received;
  }
  sim_require(stats.sockets_opened == sockets);
  sim_require(totals.messages_sent == sent);
  sim_require(totals.messages_received == received);
  sim_require(totals.messages_sent ==
              totals.messages_written + totals.messages_in_flight +
                  totals.messages_queued + totals.messages_unsure +
                  totals.messages_replaced + totals.messages_lost);
  sim_require(stats.memory_blocks > 0 && stats.memory_bytes == 0);
}
