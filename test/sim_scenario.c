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

#include "support/simworld.h"

/* Between the seeds of one MCQ_TEST_SEED and of the next. */
#define SEEDS_APART UINT64_C(1000000)

/* In so many runs everything that is to be seen must have been seen. */
#define SIGHTS_FROM 200

/* Seeds that once showed something, or show what was broken on purpose, run
 * first every time.  Whoever changes what is drawn picks them anew. */
static const struct {
  uint64_t seed;
  const char* showed;
} pinned[] = {
    {14,
     "sends went to an endpoint that was being disconnected, and it was"
     " kept for ever by connections that came and went"},
    {42, "messages of a lost peer counted both as lost and as queued"},
    {118, "a connection made only to empty its queue was sent more"},
    {224, "a peer closed without linger took messages until it was gone"},
    {226, "who waits for a peer must hear that it is gone"},
    {441, "a message that was begun must not move to another peer"},
};

static uint64_t current_seed;
static sim_sights_t sights;

/* What a seed has decided once. */
typedef struct plan {
  sim_world_t world;
  bool calm;   /* nothing fails and nobody closes: all must arrive */
  bool twins;  /* two sockets may go by one name */
  bool chatty; /* queues are long */
  bool abrupt; /* it ends in the middle of everything */
  bool linked[SIM_SOCKS][SIM_SOCKS]; /* by number, either way */
} plan_t;

static plan_t* plan_of(sim_world_t* w) {
  return mcq__container_of(w, plan_t, world);
}

static size_t below(plan_t* p, size_t n) {
  return sim_below(&p->world.net, n);
}

static bool odds(plan_t* p, unsigned in_a_thousand) {
  return sim_odds(&p->world.net, in_a_thousand);
}

#define one_of(p, ...)                     \
  (((const int64_t[]){__VA_ARGS__})[below( \
      p, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))])

/* ---- what the weather is like -------------------------------------------- */

static void set_faults(plan_t* p) {
  sim_faults_t* f = &p->world.net.faults;
  f->style = (sim_style_t) below(p, SIM_STYLES);
  f->delay = (uint64_t) one_of(p, 0, 1, 5, 50);
  f->room = (size_t) one_of(p, 512, 4096, 65536, 65536, 1 << 20);
  f->tiny = (unsigned) one_of(p, 0, 50, 300);
  f->crumbs = (unsigned) one_of(p, 0, 0, 100, 1000);
  f->dial = (uint64_t) one_of(p, 0, 5, 100);
  if (p->calm) return;
  f->refuse = (unsigned) one_of(p, 0, 0, 100, 400);
  f->hang = (unsigned) one_of(p, 0, 0, 50);
  f->no_accept = (unsigned) one_of(p, 0, 0, 200);
  f->no_read = (unsigned) one_of(p, 0, 0, 0, 5);
  f->purge = (unsigned) one_of(p, 0, 500);
}

static void clear_faults(plan_t* p) {
  sim_faults_t* f = &p->world.net.faults;
  f->refuse = f->hang = f->no_accept = f->no_read = f->purge = 0;
  f->tiny = 10;
  f->room = 65536;
  if (f->delay > 1) f->delay = 1;
  for (sim_conn_t* c = p->world.net.conns; c != NULL; c = c->next)
    c->pipe[0].room = c->pipe[1].room = f->room;
}

static mcq_socket_options_t draw_options(plan_t* p, int type, int flags) {
  mcq_socket_options_t o = {.type = type, .flags = flags};
  o.sndhwm = (int32_t) one_of(p, 0, 0, 1, 2, 10, -1);
  o.sndhwm_bytes = one_of(p, 0, 0, 0, 1000, 100000);
  o.turn_messages = (int32_t) one_of(p, 0, 0, 1, 3);
  o.turn_bytes = one_of(p, 0, 0, 1, 5000);
  o.reconnect_ms = one_of(p, 0, 1, 20, 200);
  o.reconnect_max_ms = one_of(p, 1, 100, 500);
  o.linger_ms = p->calm ? -1 : one_of(p, 0, MCQ_LINGER_NONE, 1, 50, 3000);
  if (odds(p, 200)) o.flags |= MCQ_IMMEDIATE;
  if (p->calm) return o;
  o.handshake_ms = one_of(p, 0, 0, 200, 1000);
  o.connect_ms = one_of(p, 0, 50, 1000);
  if (odds(p, 30)) o.reconnect_ms = -1;
  return o;
}

/* ---- who is there -------------------------------------------------------- */

static sim_sock_t* add(plan_t* p, int type, int flags, const char* name) {
  sim_world_t* w = &p->world;
  mcq_socket_options_t o = draw_options(p, type, flags);
  return sim_sock_new(w, &w->seats[below(p, w->seat_count)], &o, name);
}

static sim_sock_t* add_numbered(plan_t* p, int type, int flags) {
  char name[16] = "";
  if (odds(p, 700))
    snprintf(name, sizeof name, "peer-%zu", p->world.sock_count);
  return add(p, type, flags, name);
}

static void uri_of(const sim_sock_t* k, char out[32]) {
  snprintf(out, 32, "sim://at-%u", k->number);
}

static void bind_it(sim_sock_t* k) {
  char uri[32];
  if (k == NULL) return;
  uri_of(k, uri);
  sim_sock_bind(k, uri);
}

static void link_to(plan_t* p, sim_sock_t* from, const sim_sock_t* to) {
  mcq_connect_options_t o = {0};
  char uri[32];
  char name[16];
  if (from == NULL || to == NULL) return;
  /* The second way to a peer takes the first one over, again and again. */
  bool again = from == to || p->linked[from->number][to->number];
  if (p->calm && again) return;
  if (again && (from->name[0] != '\0' || to->name[0] != '\0')) p->twins = true;
  p->linked[from->number][to->number] = true;
  p->linked[to->number][from->number] = true;
  uri_of(to, uri);
  if (odds(p, 100)) o.flags = MCQ_CONNECT_MULTI;
  if (from->options.type == MCQ_ROUTER && odds(p, 300)) {
    snprintf(name, sizeof name, "call-%u", to->number);
    o.routing_id = name;
    o.routing_id_len = strlen(name);
    p->twins = true; /* some other may be called so */
  }
  sim_sock_connect(from, uri, &o);
}

/* One in the middle; the others connect to it, or it to them. */
static void star(plan_t* p, int hub_type, int hub_flags, int type, int flags) {
  sim_sock_t* hub = add_numbered(p, hub_type, hub_flags);
  size_t count = 1 + below(p, 6);
  bool outward = odds(p, 300);
  if (!outward && odds(p, 800)) bind_it(hub);
  for (size_t i = 0; i < count; i++) {
    sim_sock_t* k = add_numbered(p, type, flags);
    if (outward) bind_it(k);
    if (outward)
      link_to(p, hub, k);
    else
      link_to(p, k, hub);
  }
  if (!outward && hub != NULL && hub->end_count == 0) bind_it(hub);
}

static void pairs(plan_t* p) {
  sim_sock_t* a = add_numbered(p, MCQ_PAIR, 0);
  sim_sock_t* b = add_numbered(p, MCQ_PAIR, 0);
  bind_it(a);
  link_to(p, b, a);
  if (p->calm || odds(p, 500)) return;
  link_to(p, add_numbered(p, MCQ_PAIR, 0), a);
}

static void mesh(plan_t* p) {
  sim_world_t* w = &p->world;
  size_t count = 2 + below(p, 5);
  for (size_t i = 0; i < count; i++) {
    int type = odds(p, 500) ? MCQ_ROUTER : MCQ_DEALER;
    bind_it(add_numbered(p, type, 0));
  }
  for (size_t i = 0; i < w->sock_count * 2; i++)
    link_to(p, w->socks[below(p, w->sock_count)],
            w->socks[below(p, w->sock_count)]);
}

static void people(plan_t* p) {
  int twin = odds(p, 300) ? MCQ_ROUTER_REFUSE_TWIN : 0;
  int requeue = odds(p, 300) ? MCQ_NO_REQUEUE : 0;
  switch (below(p, 7)) {
    case 0:
      star(p, MCQ_ROUTER, twin, MCQ_DEALER, 0);
      break;
    case 1:
      star(p, MCQ_DEALER, 0, MCQ_ROUTER, twin);
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
      if (!p->calm) link_to(p, add(p, MCQ_PAIR, 0, ""), p->world.socks[0]);
      break;
  }
}

/* ---- what they do -------------------------------------------------------- */

static sim_sock_t* pick(plan_t* p) {
  sim_world_t* w = &p->world;
  sim_sock_t* k = w->socks[below(p, w->sock_count)];
  return sim_sock_usable(k) ? k : NULL;
}

static int send_once(plan_t* p, sim_sock_t* k) {
  bool by_name =
      k->options.type == MCQ_ROUTER && !(k->options.flags & MCQ_ROUTER_BALANCE);
  sim_peer_t* to = sim_sock_peer(k, true);
  if (!by_name && odds(p, 850)) return sim_sock_send(k);
  if (to == NULL) return -1;
  if (by_name && odds(p, 500)) return sim_sock_send_name(k, to->id, to->id_len);
  return sim_sock_send_to(k, to);
}

static void send_some(plan_t* p, sim_sock_t* k) {
  size_t count = 1 + below(p, odds(p, p->chatty ? 500 : 50) ? 60 : 6);
  while (count-- > 0)
    if (send_once(p, k) != 0) return;
}

static void use_stale(plan_t* p, sim_sock_t* k) {
  sim_peer_t* old = sim_sock_peer(k, false);
  if (old == NULL) return;
  switch (below(p, 3)) {
    case 0:
      sim_sock_send_to(k, old);
      break;
    case 1:
      sim_peer_pause(k, old, true);
      break;
    case 2:
      sim_peer_close(k, old);
      break;
  }
}

static void check_refused(const plan_t* p, int rc, int code) {
  sim_require(rc == code || (rc == MCQ_ENOMEM && p->world.net.starving));
}

/* What must be refused, and change nothing. */
static void use_wrongly(plan_t* p, sim_sock_t* k) {
  mcq_frame_t one = {"peer-1", 6};
  char uri[32];
  uri_of(k, uri);
  if (k->closing) return;
  switch (below(p, 4)) {
    case 0:
      sim_require(mcq_send(k->s, &one, 0) == MCQ_EINVAL);
      break;
    case 1:
      if (k->options.type != MCQ_ROUTER ||
          (k->options.flags & MCQ_ROUTER_BALANCE))
        return;
      sim_require(mcq_send(k->s, &one, 1) == MCQ_EINVAL);
      sim_sock_send_name(k, "nobody", 6);
      break;
    case 2:
      for (size_t i = 0; i < k->end_count; i++)
        if (!k->ends[i].connecting && !k->ends[i].closing)
          check_refused(p, mcq_bind(k->s, k->ends[i].uri, NULL), UV_EADDRINUSE);
      break;
    case 3:
      for (size_t i = 0; i < k->end_count; i++)
        if (k->ends[i].connecting && !k->ends[i].closing)
          check_refused(p, mcq_connect(k->s, k->ends[i].uri, NULL, NULL),
                        MCQ_EEXIST);
      break;
  }
}

static void cut_some(plan_t* p) {
  static const int codes[] = {UV_ECONNRESET, UV_ETIMEDOUT, UV_EOF};
  size_t count = 0;
  for (sim_conn_t* c = p->world.net.conns; c != NULL; c = c->next) count++;
  if (count == 0) return;
  sim_conn_t* c = p->world.net.conns;
  for (size_t i = below(p, count); i > 0; i--) c = c->next;
  uint64_t after[2];
  int code[2];
  for (int s = 0; s < 2; s++) {
    after[s] = (uint64_t) one_of(p, 0, 1, 20, 500, 8000);
    code[s] = codes[below(p, 3)];
  }
  sim_world_cut(&p->world, c, after, code);
}

/* Somebody new, perhaps under a name that is in use. */
static void add_late(plan_t* p) {
  sim_world_t* w = &p->world;
  const sim_sock_t* like = w->socks[below(p, w->sock_count)];
  const sim_sock_t* to = w->socks[below(p, w->sock_count)];
  bool twin = odds(p, 400);
  if (twin) p->twins = true;
  sim_sock_t* k = twin ? add(p, like->options.type, 0, like->name)
                       : add_numbered(p, like->options.type, 0);
  if (odds(p, 300)) bind_it(k);
  link_to(p, k, to);
}

static void change_ends(plan_t* p, sim_sock_t* k) {
  if (k->end_count != 0 && odds(p, 500)) {
    sim_sock_end(k, below(p, k->end_count));
  } else if (odds(p, 300)) {
    bind_it(k);
  } else {
    link_to(p, k, p->world.socks[below(p, p->world.sock_count)]);
  }
}

static void pause_some(plan_t* p, sim_sock_t* k) {
  sim_peer_t* peer = sim_sock_peer(k, true);
  if (odds(p, 500) || peer == NULL)
    sim_sock_pause(k, odds(p, 500));
  else
    sim_peer_pause(k, peer, odds(p, 500));
}

static void act_gently(plan_t* p, sim_sock_t* k) {
  if (odds(p, 850))
    send_some(p, k);
  else
    pause_some(p, k);
}

/* Some allocation fails, now or soon. */
static void starve(plan_t* p) {
  test_alloc_t* a = &p->world.alloc;
  if (!p->world.net.starving || !odds(p, 200)) return;
  a->fail_at = atomic_load(&a->calls) + 1 + below(p, 10);
}

static void act_on(plan_t* p, sim_sock_t* k) {
  size_t dice = below(p, 1000);
  sim_peer_t* peer = sim_sock_peer(k, true);
  starve(p);
  if (p->calm || dice < 600) {
    act_gently(p, k);
  } else if (dice < 680) {
    use_stale(p, k);
  } else if (dice < 720) {
    use_wrongly(p, k);
  } else if (dice < 780) {
    if (peer != NULL) sim_peer_close(k, peer);
  } else if (dice < 860) {
    change_ends(p, k);
  } else if (dice < 950) {
    cut_some(p);
  } else if (dice < 970) {
    add_late(p);
  } else if (dice < 990) {
    sim_sock_close(k);
  } else if (dice < 993) {
    sim_seat_close(k->ctx);
  }
}

/* Inside a callback. */
static void whim(sim_sock_t* k) {
  plan_t* p = plan_of(k->world);
  sim_sock_t* other = pick(p);
  if (other != NULL && odds(p, 200)) k = other;
  act_on(p, k);
}

static void live(plan_t* p) {
  sim_world_t* w = &p->world;
  size_t actions = 20 + below(p, 100);
  for (size_t i = 0; i < actions; i++) {
    sim_sock_t* k = pick(p);
    if (k != NULL) act_on(p, k);
    if (odds(p, 100)) sim_world_audit(w);
    uint64_t wait = (uint64_t) one_of(p, 0, 0, 1, 5, 30, 300);
    if (odds(p, 20)) wait = 3000;
    sim_world_run(w, w->net.now + wait);
  }
}

/* ---- how it ends --------------------------------------------------------- */

static void resume_all(plan_t* p) {
  sim_world_t* w = &p->world;
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
  if (!k->wants_drain) return;
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    if (!p->up || p->ending) continue;
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

/* Who dials somebody that listens has reached him. */
static void check_reached(const sim_sock_t* k) {
  if (k->options.type == MCQ_PAIR || k->options.reconnect_ms < 0) return;
  for (size_t i = 0; i < k->end_count; i++) {
    const sim_ending_t* e = &k->ends[i];
    if (!e->connecting || e->closing || e->stopped) continue;
    const sim_sock_t* to = socket_at(k->world, e->uri);
    if (to == NULL || to->options.type == MCQ_PAIR) continue;
    bool up = false;
    for (size_t n = 0; n < k->peer_count; n++)
      up = up || (k->peers[n].up && k->peers[n].end == e->id);
    if (!up) sim_fail("socket %u does not reach %s", k->number, e->uri);
  }
}

/* What can be delivered is, when the weather is fine. */
static void check_quiet(const sim_sock_t* k) {
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (a->state == MCQ__ACTOR_UP && a->outbox.messages != 0)
      sim_fail("socket %u: %llu messages wait for no reason", k->number,
               (unsigned long long) a->outbox.messages);
  }
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    const sim_dir_t* in = &p->record->dir[!p->side];
    if (!p->up || p->ending) continue;
    if (p->record->conn->cut || p->record->conn->end[p->side].broken != 0)
      continue;
    if (in->delivered != in->tap.count)
      sim_fail("socket %u: %zu messages were not delivered", k->number,
               in->tap.count - in->delivered);
  }
  check_reached(k);
  check_drains(k);
}

static void calm_down(plan_t* p) {
  sim_world_t* w = &p->world;
  clear_faults(p);
  resume_all(p);
  w->act = 0;
  w->alloc.fail_at = 0;
  sim_world_run(w, w->net.now + 12000);
  sim_world_audit(w);
  for (size_t i = 0; i < w->sock_count; i++)
    if (sim_sock_open(w->socks[i]) && !p->twins) check_quiet(w->socks[i]);
}

/* Everything that was accepted has arrived; and what is queued when a socket
 * closes in such weather arrives too. */
static void check_calm(plan_t* p) {
  sim_world_t* w = &p->world;
  sim_sock_t* last = pick(p);
  uint64_t accepted = 0;
  for (int i = 0; i < 20; i++) send_once(p, last);
  sim_sock_close(last);
  sim_world_run(w, w->net.now + 20000);
  if (!last->closed) sim_fail("socket %u does not close", last->number);
  for (size_t i = 0; i < w->sock_count; i++) accepted += w->socks[i]->accepted;
  if (w->delivered != accepted)
    sim_fail("%llu messages accepted, %llu delivered",
             (unsigned long long) accepted, (unsigned long long) w->delivered);
}

static bool all_closed(sim_world_t* w) {
  for (size_t i = 0; i < w->seat_count; i++)
    if (w->seats[i].ctx != NULL) return false;
  return true;
}

static void close_all(plan_t* p) {
  sim_world_t* w = &p->world;
  w->act = 0;
  for (size_t i = 0; i < w->sock_count; i++) {
    if (!sim_sock_usable(w->socks[i]) || odds(p, 300)) continue;
    sim_sock_close(w->socks[i]);
    if (odds(p, 500)) sim_world_run(w, w->net.now + below(p, 50));
  }
  if (odds(p, 500)) sim_world_run(w, w->net.now + below(p, 5000));
  for (size_t i = 0; i < w->seat_count; i++)
    if (w->seats[i].ctx != NULL) sim_seat_close(&w->seats[i]);
  if (!sim_world_wait(w, all_closed, w->net.now + 60000))
    sim_fail("contexts do not close");
}

/* ---- one seed ------------------------------------------------------------ */

/* The hash of the run's history. */
static uint64_t run_seed(uint64_t seed) {
  static plan_t p;
  sim_world_t* w = &p.world;
  current_seed = seed;
  memset(&p, 0, sizeof p);
  sim_net_init(&w->net, seed);
  const char* loud = getenv("MCQ_SIM_LOG");
  w->net.loud = loud != NULL && loud[0] == '1';
  p.calm = odds(&p, 300);
  p.abrupt = !p.calm && odds(&p, 500);
  p.chatty = odds(&p, 300);
  w->net.starving = !p.calm && odds(&p, 200);
  set_faults(&p);
  w->act = (unsigned) one_of(&p, 0, 50, 300);
  w->whim = whim;
  w->sights = &sights;
  size_t seats = 1 + below(&p, SIM_CTXS);
  sim_world_open(w, seed, seats, 1 + below(&p, seats));
  people(&p);
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
