/* SPDX-License-Identifier: MIT */
/* Whole sockets on a simulated network: random topologies, options, actions
 * and faults out of a seed, held against a model (support/simworld.h) all the
 * time and at the end.
 *
 *   MCQ_SIM_SEEDS  how many runs, 2000
 *   MCQ_TEST_SEED  other ones: those from this, times a million, on
 *   MCQ_SIM_FIRST  the first seed; pinned ones are left out then
 *   MCQ_SIM_LOG    1: the history of each run on stderr */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/simparts.h"
#include "support/simplan.h"

/* Between the seeds of one MCQ_TEST_SEED and of the next. */
#define SEEDS_APART UINT64_C(1000000)

/* So many seeds have each one of the kind with proxies, welcomes and streams;
 * no pinned one before them is. */
#define OTHERS_EACH 7

/* So many have one with limits, deadlines and mailboxes. */
#define STRICT_EACH 5

/* In so many runs everything that is to be seen must have been seen. */
#define SIGHTS_FROM 200

/* Seeds that once showed something, or show what was broken on purpose, run
 * first every time.  Whoever changes what is drawn picks them anew. */
static const struct {
  uint64_t seed;
  const char* showed;
} pinned[] = {
    {10,
     "sends went to an endpoint that was being disconnected, and it was"
     " kept for ever by connections that came and went"},
    {1, "messages of a lost peer counted both as lost and as queued"},
    {801, "a connection made only to empty its queue was sent more"},
    {120, "a peer closed without linger took messages until it was gone"},
    {83, "who waits for a peer must hear that it is gone"},
    {1167, "a pause outlived its connection and held the next one up"},
    {431, "newest messages piled up behind writes that ended early"},
    {352, "what a peer missed was forgotten when it was connected"},
    {661, "what gave way to a requeued message was not counted"},
    {16, "an answer of somebody who had not been asked"},
    {72, "the answer to an older question"},
    {118, "a question did not fail with its peer"},
    {12, "subscriptions must be repeated after a reconnect"},
    {68, "heard to be in force, though more was subscribed since"},
    {15, "the topics of a peer that left did not end"},
    {46, "a message was to go to all that want it, and went to none"},
    {21, "a proxy said it had handed on what it had not"},
    {56, "a proxy took more while a message waited in it"},
    {483, "what a STREAM had lost was still said to be queued"},
    {560, "bytes of a STREAM that waited behind a pause were lost"},
    {669, "a PAIR that was dead kept the place of who came back"},
    {371, "where a welcome found no room the peer was shown out"},
    {1002872,
     "with MCQ_IMMEDIATE an endpoint without a connection got messages when"
     " another peer was lost"},
    {3549,
     "a peer died when it had been asked, could not be written to and had"
     " spoken since"},
    {797,
     "who had no memory to count its patience with a lost peer waited for"
     " ever"},
    {2001749,
     "who had no memory to count it when it was closed had patience twice"},
    {6000249,
     "a PAIR whose question could not leave, and was heard of once more, kept"
     " its place when it was dead"},
    {8000304, "a PAIR that had once proved to be alive did so, too"},
    {2009519, "the same, with others that knocked all the time"},
    {2000509, "an answer behind an envelope of 200 KB"},
    {20000914,
     "shown out for want of a first message that came with the verdict, and"
     " told when a write had ended"},
};

static uint64_t current_seed;
static sim_sights_t sights;

/* ---- how it goes --------------------------------------------------------- */

static void live(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  size_t actions = 20 + sim_plan_below(p, 100);
  for (size_t i = 0; i < actions; i++) {
    sim_sock_t* k = sim_plan_pick(p);
    if (k != NULL) sim_plan_act(p, k);
    if (sim_plan_odds(p, 100)) sim_world_audit(w);
    uint64_t wait = (uint64_t) sim_one_of(p, 0, 0, 1, 5, 30, 300);
    if (sim_plan_odds(p, 20)) wait = 3000;
    sim_world_run(w, w->net.now + wait);
  }
}

/* ---- how it ends --------------------------------------------------------- */

static void resume_all(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  sim_bridge_pause(&w->bridge, false);
  for (size_t i = 0; i < w->sock_count; i++) {
    sim_sock_t* k = w->socks[i];
    if (!sim_sock_open(k)) continue;
    sim_sock_pause(k, false);
    for (size_t n = 0; n < k->peer_count; n++)
      if (k->peers[n].up) sim_peer_pause(k, &k->peers[n], false);
  }
}

/* Whoever refused a send and is still there has room again and has said so. */
static void check_drains(const sim_sock_t* k) {
  bool there = k->refused_epoch == 0;
  if (!k->wants_drain || k->s->budget.is_short) return;
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    if (!p->up || p->ending) continue;
    if (sim_dead(p)) return; /* who it is for nobody knows */
    there = there || p->handle.epoch == k->refused_epoch;
    if (k->refused_epoch != 0 ? p->handle.epoch == k->refused_epoch
                              : p->handle.epoch <= k->refused_last)
      sim_fail("socket %u was never told that there is room", k->number);
  }
  if (!there) sim_fail("socket %u waits for a peer that is gone", k->number);
}

static const sim_sock_t* socket_at(const sim_world_t* w, const char* uri) {
  unsigned number;
  if (sscanf(uri, "sim://at-%u", &number) != 1) return NULL;
  const sim_sock_t* k = w->socks[number];
  if (!sim_sock_open(k)) return NULL;
  for (size_t i = 0; i < k->end_count; i++)
    if (!k->ends[i].connecting && !k->ends[i].closing) return k;
  return NULL;
}

/* It shows people out that do nothing wrong. */
static bool limited(const sim_sock_t* k) {
  const mcq_socket_options_t* o = &k->options;
  return o->max_connections > 0 || o->max_handshakes > 0 || o->idle_ms > 0 ||
         o->first_message_ms > 0;
}

/* Who dials somebody that listens has reached him. */
static void check_reached(const sim_sock_t* k) {
  if (k->options.reconnect_ms < 0 || limited(k)) return;
  if (k->options.max_subscriptions > 0) return;
  for (size_t i = 0; i < k->end_count; i++) {
    const sim_ending_t* e = &k->ends[i];
    if (!e->connecting || e->closing || e->stopped) continue;
    const sim_sock_t* to = socket_at(k->world, e->uri);
    if (to == NULL || limited(to)) continue;
    if (sim_streams(to) != sim_streams(k)) continue;
    if (k->options.type == MCQ_PAIR && to->options.type == MCQ_PAIR && to != k)
      sim_limits_pair(k, to);
    if (k->options.type == MCQ_PAIR || to->options.type == MCQ_PAIR) continue;
    /* Who wants more than it may have is shown out each time. */
    if (to->options.max_subscriptions > 0) continue;
    bool up = false;
    for (size_t n = 0; n < k->peer_count; n++)
      up = up || (k->peers[n].up && k->peers[n].end == e->id);
    if (!up) sim_fail("socket %u does not reach %s", k->number, e->uri);
  }
}

/* What can be delivered is, when the weather is fine. */
static void check_delivered(sim_sock_t* k) {
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    const sim_peer_t* p = sim_find_peer(k, a->peer);
    if (p != NULL && p->up && sim_dead(p)) continue;
    if (a->state == MCQ__ACTOR_UP && a->outbox->messages != 0)
      sim_fail("socket %u: %llu messages wait for no reason", k->number,
               (unsigned long long) a->outbox->messages);
  }
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    const sim_dir_t* in = &p->record->dir[!p->side];
    if (p->up) sim_books_skip(k, p, in->tap.count);
    if (!p->up || p->ending) continue;
    if (p->record->conn->cut || p->record->conn->end[p->side].broken != 0)
      continue;
    if (!sim_stream_all_passed(p))
      sim_fail("socket %u: bytes were not delivered", k->number);
    if (k->bridge != NULL || sim_streams(k)) continue;
    if (in->delivered != in->tap.count)
      sim_fail("socket %u: %zu messages were not delivered", k->number,
               in->tap.count - in->delivered);
  }
}

static void check_quiet(sim_sock_t* k) {
  if (!sim_bridge_stuck(&k->world->bridge)) {
    check_delivered(k);
    check_drains(k);
  }
  check_reached(k);
  sim_topics_quiet(k);
  sim_asks_quiet(k);
  sim_mail_quiet(k);
  sim_limits_quiet(k, k->world->calm);
}

static void calm_down(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  sim_plan_no_faults(p);
  resume_all(p);
  w->act = 0;
  w->alloc.fail_at = 0;
  w->settling = true;
  for (size_t i = 0; i < w->sock_count; i++)
    if (sim_sock_usable(w->socks[i])) sim_asks_settle(w->socks[i]);
  w->calm = w->net.now;
  sim_world_run(w, w->net.now + 12000);
  /* A PAIR asks for ten seconds whether its peer is there. */
  if (p->strict && !p->calm) sim_world_run(w, w->net.now + 15000);
  sim_world_audit(w);
  for (size_t i = 0; i < w->sock_count; i++)
    if (sim_sock_open(w->socks[i]) && !p->twins) check_quiet(w->socks[i]);
  if (!p->twins && w->bridge.world != NULL) sim_bridge_quiet(&w->bridge);
}

/* Out of the seed itself.  Answers are promised to nobody then, and a proxy
 * would have nowhere to go with what comes from its other half. */
static bool may_drain(const sim_sock_t* k) {
  return (k->world->seed + k->number) % 2 == 0 && k->bridge == NULL &&
         k->kind != SIM_ANSWER && sim_sock_open(k) && !k->drains;
}

/* Everything that was accepted has arrived; and what is queued when a socket
 * closes in such weather arrives too. */
static void check_calm(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  sim_sock_t* last = sim_plan_pick(p);
  uint64_t accepted = 0;
  /* Who asks and closes would not hear the answer. */
  bool asks = last->options.type == MCQ_REQ || last->kind == SIM_ENVELOPED ||
              last->bridge != NULL;
  for (int i = 0; i < 20 && !asks; i++) sim_plan_send(p, last);
  if (may_drain(last)) {
    sim_sock_drain(last, -1);
    for (int i = 0; i < 20 && !last->drained; i++)
      sim_world_run(w, w->net.now + 1000);
    if (!last->drained) sim_fail("socket %u does not drain", last->number);
    sim_require(last->drain_lost == last->mail_lost);
  }
  sim_sock_close(last);
  sim_world_run(w, w->net.now + 20000);
  if (!last->closed) sim_fail("socket %u does not close", last->number);
  for (size_t i = 0; i < w->sock_count; i++) {
    sim_sock_t* k = w->socks[i];
    if (!k->closed) sim_books_catch_up(k);
    accepted += k->accepted - k->shed;
    for (size_t n = 0; n < k->peer_count; n++)
      if (k->peers[n].up) sim_books_skip(k, &k->peers[n], SIZE_MAX);
  }
  uint64_t delivered = w->delivered;
  if (w->bridge.world != NULL) delivered += sim_bridge_passed(&w->bridge);
  if (delivered + w->skipped != accepted)
    sim_fail("%llu messages accepted, %llu delivered, %llu of no use",
             (unsigned long long) accepted, (unsigned long long) delivered,
             (unsigned long long) w->skipped);
}

static bool all_closed(sim_world_t* w) {
  for (size_t i = 0; i < w->seat_count; i++)
    if (w->seats[i].ctx != NULL) return false;
  return true;
}

static void close_all(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  w->act = 0;
  for (size_t i = 0; i < w->sock_count; i++) {
    if (!sim_sock_usable(w->socks[i])) continue;
    if (may_drain(w->socks[i])) {
      static const int64_t lingers[] = {0, -1, 20, MCQ_LINGER_NONE};
      sim_sock_drain(w->socks[i], lingers[w->seed / 2 % 4]);
      sim_world_run(w, w->net.now + w->seed / 8 % 4 * 300);
      if (!sim_sock_usable(w->socks[i])) continue;
    }
    if (sim_plan_odds(p, 300)) continue;
    sim_sock_close(w->socks[i]);
    if (sim_plan_odds(p, 500))
      sim_world_run(w, w->net.now + sim_plan_below(p, 50));
  }
  if (sim_plan_odds(p, 500))
    sim_world_run(w, w->net.now + sim_plan_below(p, 5000));
  for (size_t i = 0; i < w->seat_count; i++)
    if (w->seats[i].ctx != NULL) sim_seat_close(&w->seats[i]);
  if (!sim_world_wait(w, all_closed, w->net.now + 60000))
    sim_fail("contexts do not close");
}

/* ---- one seed ------------------------------------------------------------ */

/* The hash of the run's history. */
static uint64_t run_seed(uint64_t seed) {
  static sim_plan_t p;
  sim_world_t* w = &p.world;
  current_seed = seed;
  memset(&p, 0, sizeof p);
  sim_net_init(&w->net, seed);
  const char* loud = getenv("MCQ_SIM_LOG");
  w->net.loud = loud != NULL && loud[0] == '1';
  p.calm = sim_plan_odds(&p, 300);
  p.abrupt = !p.calm && sim_plan_odds(&p, 500);
  p.chatty = sim_plan_odds(&p, 300);
  p.others = seed % OTHERS_EACH == 0;
  p.strict = seed % STRICT_EACH == STRICT_EACH - 1;
  p.dice.state = seed;
  p.roomy = sim_strict_odds(&p, 500);
  p.heartbeat_ms = sim_strict_of(&p, 0, 50, 400, 3000);
  w->net.starving = !p.calm && sim_plan_odds(&p, 200);
  sim_plan_faults(&p);
  w->lossy = !p.calm;
  w->act = (unsigned) sim_one_of(&p, 0, 50, 300);
  w->prompt = (unsigned) sim_one_of(&p, 0, 500, 950);
  w->whim = sim_plan_whim;
  w->sights = &sights;
  size_t seats = 1 + sim_plan_below(&p, SIM_CTXS);
  sim_world_open(w, seed, seats, 1 + sim_plan_below(&p, seats), p.others);
  sim_plan_people(&p);
  live(&p);
  if (!p.abrupt) calm_down(&p);
  if (p.calm && !p.twins) check_calm(&p);
  close_all(&p);
  sim_world_dispose(w);
  return w->net.log;
}

/* Sanitizers end the program their own way. */
void __sanitizer_set_death_callback(void (*call)(void)) __attribute__((weak));

static void last_words(void) {
  fprintf(stderr,
          "replay: MCQ_SIM_FIRST=%llu MCQ_SIM_SEEDS=1 test/sim_scenario\n",
          (unsigned long long) current_seed);
}

/* Says which seed it was; what killed us does it again when this returns. */
static void on_crash(int number) {
  signal(number, SIG_DFL);
  last_words();
}

static uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void run_pinned(void) {
  for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++)
    run_seed(pinned[i].seed);
}

/* A test that never came near what it is for proves nothing. */
static void check_sights(void) {
  printf("reads: %llu of one byte, %llu inside a message, %llu of several\n",
         (unsigned long long) sights.crumbs, (unsigned long long) sights.halves,
         (unsigned long long) sights.bunches);
  printf("cuts: %llu in greetings, %llu behind messages, %llu elsewhere\n",
         (unsigned long long) sights.cut_early,
         (unsigned long long) sights.cut_clean,
         (unsigned long long) sights.cut_torn);
  printf("allocations failed: %llu\n", (unsigned long long) sights.starved);
  printf("slow peers: %llu missed, %llu gave way; %llu moved to others\n",
         (unsigned long long) sights.missed, (unsigned long long) sights.shed,
         (unsigned long long) sights.requeued);
  printf("subscriptions: %llu heard to be in force, %llu messages of them\n",
         (unsigned long long) sights.barriers,
         (unsigned long long) sights.notices);
  printf("questions: %llu answered, %llu failed; %llu askers gone\n",
         (unsigned long long) sights.answers,
         (unsigned long long) sights.failures,
         (unsigned long long) sights.stale);
  printf("drained: %llu sockets\n", (unsigned long long) sights.drained);
  sim_require(sights.drained != 0);
  printf("told to many at a time: %llu messages\n",
         (unsigned long long) sights.promised);
  sim_require(sights.promised != 0);
  printf("proxies: %llu handed on, %llu not; %llu were made welcome\n",
         (unsigned long long) sights.passed, (unsigned long long) sights.lapsed,
         (unsigned long long) sights.welcomes);
  printf("streams: %llu chunks end inside a letter, %llu have more than one\n",
         (unsigned long long) sights.torn, (unsigned long long) sights.merged);
  printf("limits: %llu stops, %llu crowds, %llu idle, %llu dead, %llu posts\n",
         (unsigned long long) sights.stops, (unsigned long long) sights.crowds,
         (unsigned long long) sights.idlers, (unsigned long long) sights.ghosts,
         (unsigned long long) sights.posts);
  sim_require(sights.stops != 0 && sights.crowds != 0 && sights.posts != 0);
  sim_require(sights.idlers != 0 && sights.ghosts != 0);
  sim_require(sights.passed != 0 && sights.lapsed != 0);
  sim_require(sights.welcomes != 0 && sights.torn != 0 && sights.merged != 0);
  sim_require(sights.missed != 0 && sights.shed != 0 && sights.requeued != 0);
  sim_require(sights.barriers != 0 && sights.notices != 0);
  sim_require(sights.answers != 0 && sights.failures != 0 && sights.stale != 0);
  sim_require(sights.crumbs != 0 && sights.halves != 0 && sights.bunches != 0);
  sim_require(sights.cut_early != 0 && sights.cut_clean != 0);
  sim_require(sights.cut_torn != 0 && sights.starved != 0);
}

int main(void) {
  uint64_t world = number_of("MCQ_TEST_SEED", 0);
  uint64_t first = number_of("MCQ_SIM_FIRST", world * SEEDS_APART + 1);
  uint64_t count = number_of("MCQ_SIM_SEEDS", 2000);
  sim_last_words = last_words;
  if (__sanitizer_set_death_callback != NULL)
    __sanitizer_set_death_callback(last_words);
  else
    signal(SIGSEGV, on_crash);
  signal(SIGABRT, on_crash);
  if (getenv("MCQ_SIM_FIRST") == NULL) run_pinned();
  for (uint64_t seed = first; seed < first + count; seed++) {
    uint64_t history = run_seed(seed);
    if (seed % 20 == 0 && run_seed(seed) != history)
      sim_fail("a second run took another way");
  }
  if (count >= SIGHTS_FROM) check_sights();
  printf("sim_scenario: seeds %llu to %llu\n", (unsigned long long) first,
         (unsigned long long) (first + count - 1));
  return 0;
}
