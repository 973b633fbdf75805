/* SPDX-License-Identifier: MIT */
/* Whether a socket's figures add up (see simworld.h): every message that was
 * accepted is in the network, in a queue, lost or given up, and the library
 * says so.  It looks inside, and changes nothing there. */
#include "support/hub_peers.h"
#include "support/simparts.h"

void sim_books_settle(const sim_sock_t* k, uint64_t lost) {
  uint64_t done = k->handed + lost + k->shed;
  if (done > k->accepted || k->accepted - done > k->unsure)
    sim_fail(
        "socket %u: accepted %llu, handed over %llu, lost %llu, shed %llu, "
        "unsure %llu",
        k->number, (unsigned long long) k->accepted,
        (unsigned long long) k->handed, (unsigned long long) lost,
        (unsigned long long) k->shed, (unsigned long long) k->unsure);
}

static void count_peer(mcq_socket_t* s, const mcq_peer_info_t* info,
                       void* arg) {
  sim_sock_t* k = (sim_sock_t*) mcq_socket_data(s);
  const sim_peer_t* p = sim_find_peer(k, info->peer);
  sim_require(p != NULL && p->up);
  ++*(size_t*) arg;
}

static void audit_peers(sim_sock_t* k) {
  size_t count = 0;
  mcq_peer_each(k->s, count_peer, &count);
  sim_require(count == k->up);
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    mcq_peer_t found = {0, 0};
    if (!p->up || (k->options.type != MCQ_ROUTER && !sim_streams(k))) continue;
    sim_require(mcq_peer_find(k->s, p->id, p->id_len, &found) == 0);
    sim_require(sim_same(found, p->handle));
  }
}

/* What was in flight comes back when a write ends early.  Where only the newest
 * waits there are it, one that was begun and one in flight behind that. */
static void check_mark(const sim_sock_t* k, const mcq__actor_t* a) {
  const mcq__outbox_t* o = a->outbox;
  bool newest = (k->options.flags & MCQ_CONFLATE) != 0;
  bool over = (o->messages - 1) / 2 >= o->marks.messages;
  if (newest) over = o->messages > 3 && !k->world->net.starving;
  if (o->messages > 1 && over)
    sim_fail("socket %u: %llu messages over a mark of %llu", k->number,
             (unsigned long long) o->messages,
             (unsigned long long) o->marks.messages);
}

/* High-water marks and sums, from the inside. */
static uint64_t audit_queues(const sim_sock_t* k, uint64_t* unreported) {
  uint64_t flying = 0;
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    const mcq__outbox_t* o = a->outbox;
    uint64_t messages = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < o->runs.count; i++) {
      const mcq__run_t* run = (const mcq__run_t*) mcq__fifo_at(&o->runs, i);
      messages += run->count;
      bytes += run->count * run->size;
    }
    sim_require(messages == o->messages && bytes == o->chain.bytes);
    sim_require(o->handed <= o->messages);
    check_mark(k, a);
    flying += o->handed;
    *unreported += a->missed;
  }
  return flying;
}

static const char* hub_fault(const sim_sock_t* k) {
  return sim_publishes(k) || sim_subscribes(k)
             ? roster_fault(&k->s->hub.pubsub.roster)
             : router_fault(&k->s->hub.router);
}

static void audit_sums(sim_sock_t* k, const mcq_stats_t* stats) {
  uint64_t unreported = 0;
  uint64_t flying = audit_queues(k, &unreported);
  uint64_t lost = stats->messages_lost;
  uint64_t known = k->handed + stats->messages_queued + lost + k->shed;
  if (known > k->accepted || k->accepted - known > k->unsure + flying)
    sim_fail(
        "socket %u: accepted %llu, handed over %llu, queued %llu, lost %llu, "
        "shed %llu, unsure %llu, flying %llu",
        k->number, (unsigned long long) k->accepted,
        (unsigned long long) k->handed,
        (unsigned long long) stats->messages_queued, (unsigned long long) lost,
        (unsigned long long) k->shed, (unsigned long long) k->unsure,
        (unsigned long long) flying);
  if ((k->options.flags & MCQ_CONFLATE) != 0) return;
  if (stats->messages_dropped != k->dropped_told + unreported)
    sim_fail("socket %u: %llu dropped, %llu told of, %llu to be told",
             k->number, (unsigned long long) stats->messages_dropped,
             (unsigned long long) k->dropped_told,
             (unsigned long long) unreported);
}

/* Where only the newest waits others give way at any time. */
void sim_books_catch_up(sim_sock_t* k) {
  mcq_stats_t stats;
  sim_bridge_adopt(k);
  sim_mail_adopt(k);
  uint64_t known = k->missed + k->shed;
  mcq_stats(k->s, &stats);
  sim_require(stats.messages_dropped >= known);
  if (stats.messages_dropped == known) return;
  sim_require((k->options.flags & MCQ_CONFLATE) != 0);
  k->shed += stats.messages_dropped - known;
}

void sim_books_audit(sim_sock_t* k) {
  mcq_stats_t stats;
  const char* fault = hub_fault(k);
  if (fault != NULL) sim_fail("socket %u: %s", k->number, fault);
  sim_bridge_adopt(k);
  sim_mail_adopt(k);
  mcq_stats(k->s, &stats);
  sim_mail_audit(k, &stats);
  sim_limits_audit(k, &stats);
  sim_require(stats.peers == k->up);
  sim_require(stats.messages_sent == k->accepted);
  sim_require(stats.messages_received == k->received);
  sim_require(stats.sends_refused == k->refused);
  sim_require(stats.sends_unroutable == k->unroutable);
  /* A closing REQ is not told. */
  if (stats.requests_failed != k->failures)
    sim_require(k->closing && stats.requests_failed == k->failures + 1);
  sim_books_catch_up(k);
  audit_peers(k);
  audit_sums(k, &stats);
  sim_stats_audit(k, &stats);
  bool keeps = k->closing || !mcq__list_empty(&k->s->ends);
  if (keeps) sim_require(uv_loop_alive(k->ctx->loop) != 0);
}
