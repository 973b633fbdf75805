/* SPDX-License-Identifier: MIT */
/* Who subscribed to what in the scenario test (see simworld.h): what
 * subscribers asked for against what publishers' tables, events and messages
 * say.  It makes no choice of its own. */
#include "support/simparts.h"

#define BIT(word) (UINT32_C(1) << (word))

static bool joined(const sim_sock_t* k) {
  return k->bridge != NULL;
}

/* Behind a proxy, what those before it do. */
uint32_t sim_topics_wants(const sim_sock_t* k) {
  uint32_t mask = 0;
  const sim_sock_t* front = joined(k) ? k->bridge->front : NULL;
  for (size_t i = 0; front != NULL && i < front->peer_count; i++)
    if (front->peers[i].up) mask |= front->peers[i].holds;
  if (front != NULL) return mask;
  for (size_t i = 0; i < SIM_WORDS; i++)
    if (k->wants[i] != 0) mask |= BIT(i);
  return mask;
}

static bool has(const sim_sock_t* k, int flag) {
  return (k->options.flags & flag) != 0;
}

static size_t word_of(const void* data, size_t len) {
  for (size_t i = 0; i < SIM_WORDS; i++) {
    mcq_frame_t word = sim_word(i);
    if (word.len == len && (len == 0 || memcmp(word.data, data, len) == 0))
      return i;
  }
  sim_fail("a topic of %zu bytes that nobody asked for", len);
}

static bool holds(const sim_sock_t* k, uint32_t slot, size_t word) {
  return mcq__prefix_holds(&k->s->hub.pubsub.prefixes, slot, sim_word(word));
}

/* ---- messages ------------------------------------------------------------ */

static bool matches(const sim_sock_t* k, uint32_t slot, uint32_t words) {
  for (size_t i = 0; i < SIM_WORDS; i++)
    if ((words & BIT(i)) != 0 && holds(k, slot, i)) return true;
  return false;
}

size_t sim_topics_meant(const sim_sock_t* k, uint32_t words) {
  bool inverted = has(k, MCQ_INVERT_MATCHING) || sim_subscribes(k);
  const mcq__roster_t* roster = k->s->roster;
  size_t count = 0;
  for (uint32_t slot = 0; slot < roster->used; slot++) {
    if (roster->seats[slot].epoch == 0) continue;
    const mcq__actor_t* a = mcq__actor_of_port(roster->seats[slot].port);
    bool leaves = a->state == MCQ__ACTOR_ENDING ||
                  (a->state == MCQ__ACTOR_CLOSING && !a->told);
    if (leaves && a->flush_all) continue;
    bool match = sim_publishes(k) && matches(k, slot, words);
    if (match != inverted) count++;
  }
  return count;
}

bool sim_topics_unwanted(const sim_sock_t* k, const sim_seen_t* seen,
                         uint32_t words) {
  bool inverted = has(k, MCQ_INVERT_MATCHING);
  bool still = inverted; /* it was wanted all the time since it was sent */
  if (has(k, MCQ_SUB_UNFILTERED)) return false;
  for (size_t i = 0; i < SIM_WORDS; i++) {
    if ((words & BIT(i)) == 0) continue;
    bool steady = k->changed[i] < seen->step;
    if (inverted)
      still = still && steady && k->wants[i] == 0;
    else
      still = still || (steady && k->wants[i] != 0);
  }
  return !still;
}

void sim_topics_wanted(const sim_sock_t* k, const sim_dir_t* dir,
                       uint32_t words) {
  bool filtered = k->options.type == MCQ_SUB && !has(k, MCQ_SUB_UNFILTERED);
  if (has(k, MCQ_INVERT_MATCHING)) {
    sim_require(!filtered || (words & sim_topics_wants(k)) == 0);
    return;
  }
  if (has(dir->sock, MCQ_INVERT_MATCHING)) return;
  if (filtered && (words & sim_topics_wants(k)) == 0)
    sim_fail("socket %u got what it did not subscribe to", k->number);
  /* What was queued for an earlier connection goes out on this one. */
  const sim_ending_t* e = sim_find_end(dir->sock, dir->end);
  uint32_t made = dir->made | (e == NULL ? 0 : e->made);
  if ((words & (k->ever | made)) == 0)
    sim_fail("socket %u got what it never subscribed to", k->number);
}

void sim_topics_welcomed(const sim_sock_t* k, uint32_t words) {
  bool filtered = k->options.type == MCQ_SUB && !has(k, MCQ_SUB_UNFILTERED);
  bool inverted = has(k, MCQ_INVERT_MATCHING);
  k->world->sights->welcomes++;
  if (filtered && ((words & sim_topics_wants(k)) != 0) == inverted)
    sim_fail("socket %u is not welcome so", k->number);
}

/* It has been said by now, whatever had to give way to it. */
void sim_topics_welcome(sim_sock_t* k) {
  mcq_stats_t stats;
  if (!k->welcomes) return;
  sim_bridge_adopt(k);
  mcq_stats(k->s, &stats);
  uint64_t shed = stats.messages_dropped - k->missed - k->shed;
  k->shed += shed;
  k->world->sights->shed += shed;
  if (!joined(k)) {
    sim_require(stats.messages_sent == k->accepted + 1 ||
                k->world->net.starving);
    k->accepted = stats.messages_sent;
  }
  k->welcomed++;
}

/* ---- subscribing --------------------------------------------------------- */

static int change(sim_sock_t* k, size_t word, bool wanted, bool in_message) {
  mcq_frame_t topic = sim_word(word);
  uint8_t bytes[512];
  int rc;
  bytes[0] = wanted ? 1 : 0;
  if (topic.len != 0) memcpy(bytes + 1, topic.data, topic.len);
  sim_begin(k->world);
  if (in_message)
    rc = mcq_send_bytes(k->s, bytes, 1 + topic.len);
  else if (wanted)
    rc = mcq_subscribe(k->s, topic.data, topic.len);
  else
    rc = mcq_unsubscribe(k->s, topic.data, topic.len);
  sim_end(k->world);
  return rc;
}

static void lose_force(sim_sock_t* k, size_t word) {
  for (size_t i = 0; i < k->peer_count; i++)
    if (k->peers[i].up)
      k->peers[i].record->dir[!k->peers[i].side].force &= ~BIT(word);
}

void sim_sock_subscribe(sim_sock_t* k, size_t word, bool wanted) {
  bool in_message = k->options.type == MCQ_XSUB && sim_odds(sim_net_at(k), 500);
  int rc = change(k, word, wanted, in_message);
  int expected = wanted || k->wants[word] != 0 || in_message ? 0 : MCQ_ENOENT;
  sim_log(sim_net_at(k), "socket %u %s %zu: %d", k->number,
          wanted ? "subscribes to" : "cancels", word, rc);
  if (sim_leaving(k)) expected = MCQ_ECLOSED;
  if (!sim_starved(k, rc)) sim_require(rc == expected);
  if (rc != 0 || (!wanted && k->wants[word] == 0)) return;
  if (wanted ? k->wants[word]++ == 0 : --k->wants[word] == 0)
    k->changed[word] = ++k->world->step;
  k->ever |= wanted ? BIT(word) : 0;
  if (!wanted) lose_force(k, word);
  if (!wanted && k->wants[word] != 0 && has(k, MCQ_XSUB_VERBOSE))
    k->blurred |= BIT(word);
  else
    k->blurred &= ~BIT(word);
}

void sim_peer_subscribe(sim_sock_t* k, sim_peer_t* p, size_t word,
                        bool wanted) {
  mcq_frame_t topic = sim_word(word);
  bool there = (p->holds & BIT(word)) != 0;
  int expected = 0;
  if (there && wanted) expected = MCQ_EEXIST;
  if (!there && !wanted) expected = MCQ_ENOENT;
  if (!p->up) expected = MCQ_EPEERGONE;
  if (sim_leaving(k)) expected = MCQ_ECLOSED;
  sim_begin(k->world);
  int rc = wanted
               ? mcq_peer_subscribe(k->s, p->handle, topic.data, topic.len)
               : mcq_peer_unsubscribe(k->s, p->handle, topic.data, topic.len);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u for %llu %d %zu: %d", k->number,
          (unsigned long long) p->handle.epoch, wanted, word, rc);
  bool full = rc == MCQ_EMSGLIMIT && k->options.max_subscriptions > 0;
  if (!sim_starved(k, rc) && !(full && expected == 0))
    sim_require(rc == expected);
  if (rc != 0) return;
  p->holds ^= BIT(word);
  p->tampered = true;
  if (!wanted) return;
  sim_ending_t* e = sim_find_end(k, p->end);
  p->record->dir[p->side].made |= BIT(word);
  if (e != NULL) e->made |= BIT(word);
}

/* ---- events -------------------------------------------------------------- */

/* All that was subscribed is in force at the publisher. */
static void in_force(sim_sock_t* k, const sim_peer_t* p) {
  sim_dir_t* in = &p->record->dir[!p->side];
  const sim_peer_t* there = sim_mirror(p);
  uint32_t wants = sim_topics_wants(k) & ~k->blurred;
  sim_require(p->up && in->sock != NULL);
  in->force = wants;
  k->world->sights->barriers++;
  if (there == NULL || there->tampered || has(in->sock, MCQ_XPUB_MANUAL))
    return;
  if (joined(k)) return; /* what is asked for is on its way to it */
  if ((wants & ~there->holds) != 0)
    sim_fail("socket %u subscribed to %x, in force is %x", k->number, wants,
             there->holds);
}

static void told(sim_sock_t* k, sim_peer_t* p, const mcq_event_t* e) {
  size_t word = word_of(e->topic, e->topic_len);
  bool wanted = e->kind == MCQ_EVENT_SUBSCRIBED;
  sim_require(p->up && !has(k, MCQ_XPUB_MANUAL));
  sim_require(((p->holds & BIT(word)) != 0) != wanted);
  p->holds ^= BIT(word);
  p->since[word] = ++k->world->step;
}

void sim_topics_event(sim_sock_t* k, const mcq_event_t* e) {
  sim_peer_t* p = sim_find_peer(k, e->peer);
  bool changes =
      e->kind == MCQ_EVENT_SUBSCRIBED || e->kind == MCQ_EVENT_UNSUBSCRIBED;
  if (e->kind == MCQ_EVENT_DROPPED) {
    sim_require(e->count != 0 && (sim_publishes(k) || sim_subscribes(k)));
    k->dropped_told += e->count;
  }
  if (!changes) return;
  sim_require(p != NULL);
  if (sim_publishes(k))
    told(k, p, e);
  else
    in_force(k, p);
}

/* ---- messages about subscriptions ---------------------------------------- */

static bool counts_all(const sim_sock_t* k) {
  return has(k, MCQ_XPUB_VERBOSER) || has(k, MCQ_XPUB_MANUAL);
}

/* A peer's own, or one that nobody is named for because he is gone. */
static void note_one(sim_sock_t* k, sim_peer_t* p, size_t word, bool wanted) {
  if (p == NULL || !p->up) {
    k->owed[word] += wanted ? 1 : -1;
    /* Without memory a cancellation is lost, never made up. */
    if (!wanted && p == NULL && k->owed[word] < 0)
      sim_fail("socket %u: a cancellation of %zu too many", k->number, word);
    return;
  }
  /* Where it is done by hand even that is told. */
  if (!wanted && !has(k, MCQ_XPUB_MANUAL))
    sim_require((p->asked & BIT(word)) != 0);
  if (wanted)
    p->asked |= BIT(word);
  else
    p->asked &= ~BIT(word);
}

void sim_topics_notice(sim_sock_t* k, mcq_peer_t peer, mcq_frame_t frame) {
  const uint8_t* bytes = (const uint8_t*) frame.data;
  bool wanted = bytes[0] == 1;
  size_t word = word_of(bytes + 1, frame.len - 1);
  sim_peer_t* p = peer.epoch == 0 ? NULL : sim_find_peer(k, peer);
  sim_log(sim_net_at(k), "socket %u hears %d of %zu", k->number, wanted, word);
  if (peer.epoch != 0) sim_require(p != NULL);
  k->world->sights->notices++;
  if (counts_all(k)) {
    note_one(k, p, word, wanted);
    return;
  }
  bool was = (k->told & BIT(word)) != 0;
  bool starved = k->world->net.starving; /* then a 0 may have been lost */
  if (!has(k, MCQ_XPUB_VERBOSE) && wanted && was && !starved)
    sim_fail("socket %u: %zu told of twice", k->number, word);
  if (!wanted && !was) sim_fail("socket %u: no end to %zu", k->number, word);
  if (wanted)
    k->told |= BIT(word);
  else
    k->told &= ~BIT(word);
}

void sim_topics_left(sim_sock_t* k, sim_peer_t* p) {
  for (size_t i = 0; i < SIM_WORDS; i++)
    if ((p->asked & BIT(i)) != 0) k->owed[i]++;
}

/* ---- audits -------------------------------------------------------------- */

static size_t bits(uint32_t mask) {
  return (size_t) __builtin_popcount(mask);
}

static uint32_t audit_table(sim_sock_t* k) {
  uint32_t all = 0;
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    if (!p->up) continue;
    for (size_t n = 0; n < SIM_WORDS; n++)
      if (holds(k, p->handle.slot, n) != ((p->holds & BIT(n)) != 0))
        sim_fail("socket %u: the table says other than was told of %zu",
                 k->number, n);
    const mcq__prefix_t* prefixes = &k->s->hub.pubsub.prefixes;
    sim_require(mcq__prefix_share(prefixes, p->handle.slot).count ==
                bits(p->holds));
    all |= p->holds;
  }
  return all;
}

void sim_topics_audit(sim_sock_t* k) {
  mcq_stats_t stats;
  bool publishes = sim_publishes(k);
  if (!publishes && !sim_subscribes(k)) return;
  mcq_stats(k->s, &stats);
  if (!publishes && joined(k)) return;
  uint32_t all = publishes ? audit_table(k) : sim_topics_wants(k);
  sim_require(stats.subscriptions == bits(all));
  if (publishes)
    sim_require(mcq__pubsub_prefixes(&k->s->hub.pubsub) == bits(all));
}

/* What messages said adds up to what is. */
static void check_notices(sim_sock_t* k) {
  uint32_t all = 0;
  if (k->options.type != MCQ_XPUB || k->world->net.starving) return;
  for (size_t i = 0; i < SIM_WORDS; i++)
    if (counts_all(k) && k->owed[i] != 0)
      sim_fail("socket %u: %d cancellations of %zu are owed", k->number,
               k->owed[i], i);
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    if (!p->up) continue;
    all |= p->holds;
    if (has(k, MCQ_XPUB_MANUAL) || !counts_all(k) || p->tampered) continue;
    if (p->asked != p->holds)
      sim_fail("socket %u was told of %x, there is %x", k->number, p->asked,
               p->holds);
  }
  if (!counts_all(k) && k->told != all)
    sim_fail("socket %u was told of %x, there is %x", k->number, k->told, all);
}

/* A proxy's one side wants what is wanted from the other. */
static void check_passed_on(sim_sock_t* k) {
  mcq_stats_t stats;
  if (!k->bridge->open || k->world->net.starving) return;
  mcq_stats(k->s, &stats);
  if (stats.subscriptions != bits(sim_topics_wants(k)))
    sim_fail("socket %u subscribed to %llu topics for %x", k->number,
             (unsigned long long) stats.subscriptions, sim_topics_wants(k));
}

/* Who repeats what it wants and cancels once is still owed it where that is
 * counted. */
static bool leaves_some(const sim_sock_t* reader, const sim_sock_t* publisher) {
  bool repeats =
      has(reader, MCQ_SUB_SEND_DUPLICATES) ||
      (reader->options.type == MCQ_XSUB && !has(reader, MCQ_XSUB_VERBOSE));
  return repeats && has(publisher, MCQ_PUB_COUNT_SUBS);
}

void sim_topics_quiet(sim_sock_t* k) {
  bool manual = has(k, MCQ_XPUB_MANUAL);
  if (joined(k) && sim_subscribes(k)) check_passed_on(k);
  if (!sim_publishes(k)) return;
  if (!joined(k)) check_notices(k);
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    const sim_peer_t* there = p->up ? sim_mirror(p) : NULL;
    if (there == NULL || p->ending || there->ending) continue;
    if (k->options.max_subscriptions > 0) continue; /* it comes and goes */
    if (p->record->conn->cut || (p->tampered && !manual)) continue;
    const sim_sock_t* reader = p->record->dir[!p->side].sock;
    if (joined(reader) && (!reader->bridge->open || k->world->net.starving))
      continue;
    uint32_t wants = sim_topics_wants(reader);
    uint32_t there_is = manual ? p->asked : p->holds;
    uint32_t differ = there_is ^ wants;
    if (leaves_some(reader, k)) differ &= wants;
    if ((differ & ~reader->blurred) != 0)
      sim_fail("socket %u wants %x, its publisher %u knows of %x",
               reader->number, wants, k->number, there_is);
  }
}
