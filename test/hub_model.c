/* SPDX-License-Identifier: MIT */
/* RouterHub beside a model that is too simple to be wrong: a line of peers, in
 * which the first is next, searched from end to end.  Both get the same random
 * events and commands, memory running out now and then, and must answer alike;
 * and all orders of two lives under one name are played through.
 *
 *   MCQ_TEST_STEPS   random steps of either run, 1000000
 *   MCQ_TEST_SEED    where the randomness starts; printed at a failure */
#include <stdio.h>
#include <stdlib.h>

#include "hub/router.h"
#include "support/hub_peers.h"
#include "support/pool.h"
#include "support/random.h"

#define PORTS 48
#define NAMES 24
#define KEPT 64
#define LOOK_EVERY 16 /* steps between two looks at the hub's inside */

static const uint64_t hash_seed[2] = {1, 2};
static const mcq_peer_t nobody = {0, 0};
static const mcq_frame_t part = {"body", 4};
static const mcq__body_t body = {.frames = &part, .count = 1};

/* ---- the model ----------------------------------------------------------- */

typedef struct model_peer {
  bool live;
  bool turns; /* stands in the line */
  mcq_peer_t handle;
  uint8_t name[MCQ__NAME_MAX];
  size_t name_len;
  size_t patience; /* sends to others it may still have to see */
} model_peer_t;

typedef struct model {
  model_peer_t peers[PORTS]; /* by port */
  size_t line[PORTS];
  size_t in_line;
  size_t live;
  size_t peak;
  uint64_t epochs;
} model_t;

static int holder_of(const model_t* m, const void* name, size_t len) {
  for (int i = 0; i < PORTS; i++) {
    const model_peer_t* p = &m->peers[i];
    if (p->live && p->name_len == len && memcmp(p->name, name, len) == 0)
      return i;
  }
  return -1;
}

static int owner_of(const model_t* m, mcq_peer_t handle) {
  for (int i = 0; i < PORTS; i++)
    if (m->peers[i].live && same_peer(m->peers[i].handle, handle)) return i;
  return -1;
}

static void line_up(model_t* m, size_t port) {
  if (m->peers[port].turns) return;
  m->peers[port].turns = true;
  m->line[m->in_line++] = port;
  m->peers[port].patience = m->in_line;
}

static void step_out(model_t* m, size_t port) {
  size_t kept = 0;
  for (size_t i = 0; i < m->in_line; i++)
    if (m->line[i] != port) m->line[kept++] = m->line[i];
  m->in_line = kept;
  m->peers[port].turns = false;
}

static void go(model_t* m, size_t port) {
  step_out(m, port);
  m->peers[port].live = false;
  m->live--;
}

/* ---- the pair ------------------------------------------------------------ */

typedef struct pair {
  test_pool_t memory;
  mcq__router_t hub;
  uint64_t epochs;
  bool refuse_twins;
  fake_peer_t fakes[PORTS];
  uint64_t told[PORTS];
  model_t model;
  mcq_peer_t kept[KEPT]; /* handles of any age */
  test_random_t dice;
  uint64_t seed;
  size_t step;
  size_t counts[16]; /* how often each outcome was seen */
} pair_t;

enum {
  SAW_NEW,
  SAW_RENEWED,
  SAW_DISPLACED,
  SAW_REFUSED,
  SAW_STALE_RENEWAL,
  SAW_NO_MEMORY,
  SAW_DOWN,
  SAW_STALE_DOWN,
  SAW_SENT_NAME,
  SAW_NO_NAME,
  SAW_SENT_PEER,
  SAW_STALE_SEND,
  SAW_SENT_ANYONE,
  SAW_FULL,
  SAW_ALL_FULL,
  SAW_ERROR
};

#define expect(p, truth)                                           \
  do {                                                             \
    if (!(truth))                                                  \
      fail_msg("MCQ_TEST_SEED=%llu, step %zu: %s",                 \
               (unsigned long long) (p)->seed, (p)->step, #truth); \
  } while (0)

static size_t roll(pair_t* p, size_t n) {
  return test_random_below(&p->dice, n);
}

/* Any name: one of a few, so that twins are common; none; or a bad one. */
static mcq_frame_t any_name(pair_t* p, uint8_t room[MCQ__NAME_MAX + 1]) {
  mcq_frame_t f = {room, 0};
  size_t i = roll(p, NAMES + 6);
  if (i < NAMES) {
    f.len = 1 + i * i % MCQ__NAME_MAX;
    memset(room, 'a' + (int) i, f.len);
  } else if (i == NAMES) {
    f.len = MCQ__NAME_MAX + 1;
    memset(room, 'z', f.len);
  } else if (i == NAMES + 1) { /* a made-up one: not for peers to have */
    const model_peer_t* q = &p->model.peers[roll(p, PORTS)];
    f.len = q->name_len;
    memcpy(room, q->name, f.len);
    room[0] = 0;
  }
  return f;
}

static mcq_peer_t any_handle(pair_t* p) {
  if (roll(p, 4) == 0) return p->kept[roll(p, KEPT)];
  return p->model.peers[roll(p, PORTS)].handle;
}

/* ---- events -------------------------------------------------------------- */

/* Writes down who was seated.  A name of its own choice is the hub's to make
 * up; the model checks that it is one, and nobody else's. */
static void seat(pair_t* p, size_t port, mcq_frame_t name, mcq_peer_t handle) {
  model_t* m = &p->model;
  model_peer_t* q = &m->peers[port];
  const uint8_t* bytes = (const uint8_t*) name.data;
  bool good = name.len > 0 && name.len <= MCQ__NAME_MAX && bytes[0] != 0;
  q->live = false;
  if (good) {
    memcpy(q->name, name.data, name.len);
    q->name_len = name.len;
  } else {
    mcq__slice_t id = mcq__router_id(&p->hub, handle);
    expect(p, id.len == MCQ__NAME_MADE && id.data[0] == 0);
    expect(p, holder_of(m, id.data, id.len) < 0);
    memcpy(q->name, id.data, id.len);
    q->name_len = id.len;
  }
  expect(p, handle.epoch == ++m->epochs);
  expect(p, owner_of(m, handle) < 0);
  q->handle = handle;
  q->live = true;
  line_up(m, port);
  p->kept[roll(p, KEPT)] = handle;
}

/* What an UP must answer, memory apart; `*twin` is who has the name. */
static int verdict(const pair_t* p, mcq_frame_t name, mcq_peer_t again,
                   int* twin) {
  int self = owner_of(&p->model, again);
  *twin = -1;
  if (again.epoch != 0 && self < 0) return MCQ_EPEERGONE;
  if (name.len == 0 || name.len > MCQ__NAME_MAX) return 0;
  if (*(const uint8_t*) name.data == 0) return 0;
  int holder = holder_of(&p->model, name.data, name.len);
  if (holder >= 0 && holder == self) return 0;
  if (holder >= 0 && p->refuse_twins) return MCQ_ETWIN;
  *twin = holder;
  return 0;
}

static void note_refusal(pair_t* p, int rc) {
  p->counts[rc == MCQ_ENOMEM  ? SAW_NO_MEMORY
            : rc == MCQ_ETWIN ? SAW_REFUSED
                              : SAW_STALE_RENEWAL]++;
}

static void event_up(pair_t* p) {
  model_t* m = &p->model;
  uint8_t room[MCQ__NAME_MAX + 1];
  size_t port = roll(p, PORTS);
  mcq_frame_t name = any_name(p, room);
  mcq_peer_t again = nobody;
  if (m->peers[port].live) {
    again = m->peers[port].handle;
  } else if (roll(p, 8) == 0) {
    again = p->kept[roll(p, KEPT)];
    if (owner_of(m, again) >= 0) again = nobody; /* a port renews itself */
  }
  int twin;
  int expected = verdict(p, name, again, &twin);
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &p->fakes[port].port, name};
  mcq_peer_t handle = {0, 0};
  mcq_peer_t displaced = {99, 99};
  bool short_of_memory = roll(p, 16) == 0;
  if (short_of_memory) {
    p->memory.alloc.fail_at =
        atomic_load(&p->memory.alloc.calls) + 1 + roll(p, 3);
    p->memory.alloc.fail_after = true;
  }
  int rc = mcq__router_up(&p->hub, &ev, &handle, &displaced);
  p->memory.alloc.fail_at = 0;
  if (rc != 0) {
    expect(p, rc == expected || (short_of_memory && rc == MCQ_ENOMEM));
    expect(p, is_nobody(displaced));
    note_refusal(p, rc);
    return;
  }
  expect(p, expected == 0);
  expect(p, same_peer(displaced, twin < 0 ? nobody : m->peers[twin].handle));
  if (again.epoch != 0) {
    expect(p, handle.slot == again.slot);
  } else if (++m->live > m->peak) {
    m->peak = m->live;
  }
  expect(p, handle.slot < m->peak);
  if (twin >= 0) go(m, (size_t) twin);
  seat(p, port, name, handle);
  p->counts[again.epoch != 0 ? SAW_RENEWED : SAW_NEW]++;
  p->counts[SAW_DISPLACED] += twin >= 0;
}

static void event_down(pair_t* p) {
  mcq_peer_t handle = any_handle(p);
  int owner = owner_of(&p->model, handle);
  bool gone = mcq__router_down(&p->hub, handle);
  expect(p, gone == (owner >= 0));
  if (gone) go(&p->model, (size_t) owner);
  p->counts[gone ? SAW_DOWN : SAW_STALE_DOWN]++;
}

static void event_room(pair_t* p) {
  mcq_peer_t handle = any_handle(p);
  int owner = owner_of(&p->model, handle);
  if (owner >= 0 && roll(p, 8) != 0) p->fakes[owner].answer = 0;
  mcq__router_room(&p->hub, handle);
  if (owner >= 0) line_up(&p->model, (size_t) owner);
}

static void rest(pair_t* p) {
  mcq_peer_t handle = any_handle(p);
  int owner = owner_of(&p->model, handle);
  mcq__router_rest(&p->hub, handle);
  if (owner >= 0) step_out(&p->model, (size_t) owner);
}

/* ---- commands ------------------------------------------------------------ */

/* The message went to `port` and to nobody else; -1: to nobody. */
static void expect_told(pair_t* p, int port) {
  if (port >= 0) p->told[port]++;
  for (int i = 0; i < PORTS; i++) expect(p, p->fakes[i].told == p->told[i]);
}

static void send_addressed(pair_t* p, mcq__user_cmd_t* cmd, int port,
                           int otherwise) {
  int rc = mcq__router_user(&p->hub, cmd);
  bool by_name = cmd->to == MCQ__TO_NAME;
  if (port < 0) {
    expect(p, rc == otherwise);
    p->counts[by_name ? SAW_NO_NAME : SAW_STALE_SEND]++;
  } else {
    expect(p, rc == p->fakes[port].answer);
    if (rc == MCQ_EAGAIN) step_out(&p->model, (size_t) port);
    p->counts[by_name ? SAW_SENT_NAME : SAW_SENT_PEER] += rc == 0;
  }
  expect_told(p, rc == 0 ? port : -1);
}

static void send_name(pair_t* p) {
  uint8_t room[MCQ__NAME_MAX + 1];
  mcq_frame_t name = any_name(p, room);
  if (roll(p, 4) == 0) { /* made-up ones, of the living and the dead */
    const model_peer_t* q = &p->model.peers[roll(p, PORTS)];
    name = (mcq_frame_t){q->name, q->name_len};
  }
  mcq__user_cmd_t cmd = {MCQ__TO_NAME, name, nobody, &body};
  send_addressed(p, &cmd, holder_of(&p->model, name.data, name.len),
                 MCQ_EHOSTUNREACH);
}

static void send_peer(pair_t* p) {
  mcq_peer_t handle = any_handle(p);
  mcq__user_cmd_t cmd = {MCQ__TO_PEER, {NULL, 0}, handle, &body};
  send_addressed(p, &cmd, owner_of(&p->model, handle), MCQ_EPEERGONE);
}

/* The first in line is told and goes to its end; the full step out of it. */
static int model_anyone(pair_t* p, int* port) {
  model_t* m = &p->model;
  *port = -1;
  while (m->in_line > 0) {
    size_t first = m->line[0];
    int rc = p->fakes[first].answer;
    if (rc == 0) {
      step_out(m, first);
      line_up(m, first);
      *port = (int) first;
    }
    if (rc != MCQ_EAGAIN) return rc;
    p->counts[SAW_FULL]++;
    step_out(m, first);
  }
  return MCQ_EAGAIN;
}

static void send_anyone(pair_t* p) {
  model_t* m = &p->model;
  mcq__user_cmd_t cmd = {MCQ__TO_ANYONE, {NULL, 0}, nobody, &body};
  int port;
  int expected = model_anyone(p, &port);
  int rc = mcq__router_user(&p->hub, &cmd);
  expect(p, rc == expected);
  expect_told(p, port);
  expect(p, mcq__router_open(&p->hub) == (m->in_line > 0));
  p->counts[rc == 0            ? SAW_SENT_ANYONE
            : rc == MCQ_EAGAIN ? SAW_ALL_FULL
                               : SAW_ERROR]++;
  if (rc != 0) return;
  expect(p, p->hub.picked == m->peers[port].handle.slot);
  /* Fairness once more, without any line: nobody waits for longer than there
   * were members when it joined or was last told. */
  for (int i = 0; i < PORTS; i++)
    if (m->peers[i].turns && i != port) expect(p, --m->peers[i].patience > 0);
}

/* ---- looking inside ------------------------------------------------------ */

static void look(pair_t* p) {
  const model_t* m = &p->model;
  const char* fault = router_fault(&p->hub);
  if (fault != NULL)
    fail_msg("MCQ_TEST_SEED=%llu, step %zu: %s", (unsigned long long) p->seed,
             p->step, fault);
  expect(p, p->hub.roster.count == m->live);
  expect(p, p->epochs == m->epochs);
  for (size_t i = 0; i < PORTS; i++) {
    const model_peer_t* q = &m->peers[i];
    mcq__slice_t id = mcq__router_id(&p->hub, q->handle);
    expect(p, mcq__slice_equal(id, q->name, q->live ? q->name_len : 0));
    if (!q->live) continue;
    expect(p, same_peer(mcq__router_find(&p->hub, q->name, q->name_len),
                        q->handle));
    expect(p, p->hub.rotation.links[q->handle.slot].in == q->turns);
  }
  uint32_t at = p->hub.rotation.cursor;
  for (size_t i = 0; i < m->in_line; i++) {
    expect(p, m->peers[m->line[i]].handle.slot == at);
    at = p->hub.rotation.links[at].next;
  }
  expect(p, p->hub.rotation.count == m->in_line);
}

/* ---- the run ------------------------------------------------------------- */

/* One port opens or closes, or now and then all close at once. */
static void change_answers(pair_t* p) {
  static const int answers[] = {0, MCQ_EAGAIN, MCQ_EAGAIN, MCQ_ENOMEM};
  p->fakes[roll(p, PORTS)].answer = answers[roll(p, 4)];
  if (roll(p, 64) != 0) return;
  for (size_t i = 0; i < PORTS; i++) p->fakes[i].answer = MCQ_EAGAIN;
}

/* Crowds swell and shrink: for a while more come, for a while more go. */
static void step(pair_t* p) {
  bool swelling = p->step / 4096 % 2 == 0;
  size_t what = roll(p, 100);
  if (what < (swelling ? 20 : 8)) {
    event_up(p);
  } else if (what < 26) {
    event_down(p);
  } else if (what < 38) {
    event_room(p);
  } else if (what < 42) {
    rest(p);
  } else if (what < 48) {
    change_answers(p);
  } else if (what < 58) {
    send_name(p);
  } else if (what < 70) {
    send_peer(p);
  } else {
    send_anyone(p);
  }
}

static uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

static void run(bool refuse_twins) {
  static pair_t pair;
  pair_t* p = &pair;
  memset(p, 0, sizeof *p);
  p->seed = setting("MCQ_TEST_SEED", 20260101);
  p->dice.state = p->seed;
  p->refuse_twins = refuse_twins;
  size_t steps = (size_t) setting("MCQ_TEST_STEPS", 1000000);
  test_pool_open(&p->memory);
  mcq__router_init(&p->hub, p->memory.pool, &p->epochs, hash_seed,
                   refuse_twins);
  for (size_t i = 0; i < PORTS; i++) fake_init(&p->fakes[i]);
  for (p->step = 0; p->step < steps; p->step++) {
    step(p);
    if (p->step % LOOK_EVERY == 0) look(p);
  }
  look(p);
  /* A run in which something never happened has not tested it. */
  for (size_t i = 0; i < 16 && steps >= 100000; i++) {
    bool impossible = i == (refuse_twins ? SAW_DISPLACED : SAW_REFUSED);
    if ((p->counts[i] == 0) != impossible)
      fail_msg("MCQ_TEST_SEED=%llu: outcome %zu seen %zu times",
               (unsigned long long) p->seed, i, p->counts[i]);
  }
  mcq__router_dispose(&p->hub);
  test_pool_close(&p->memory);
}

static void hub_is_its_model_with_handover(void** state) {
  (void) state;
  run(false);
}

static void hub_is_its_model_refusing_twins(void** state) {
  (void) state;
  run(true);
}

/* ---- two lives under one name -------------------------------------------- */

enum { UP_1, DOWN_1, UP_2, DOWN_2 };

typedef struct lives {
  test_pool_t memory;
  mcq__router_t hub;
  uint64_t epochs;
  fake_peer_t fakes[2];
  mcq_peer_t peers[2];
  bool is_up[2]; /* reachable by its handle */
  int holder;    /* who has the name; -1: nobody */
} lives_t;

/* UP of `who`: renewing the other's seat, or as a newcomer. */
static void come(lives_t* l, int who, bool renewing) {
  mcq_peer_t displaced;
  mcq_peer_t again = renewing ? l->peers[1 - who] : nobody;
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &l->fakes[who].port, {"K", 1}};
  if (renewing) ev.port = &l->fakes[1 - who].port;
  int expected = 0;
  if (renewing && !l->is_up[1 - who]) expected = MCQ_EPEERGONE;
  if (!renewing && l->holder >= 0 && l->hub.refuse_twins) expected = MCQ_ETWIN;
  int rc = mcq__router_up(&l->hub, &ev, &l->peers[who], &displaced);
  assert_int_equal(rc, expected);
  if (rc != 0) return;
  assert_int_equal(is_nobody(displaced), renewing || l->holder < 0);
  l->holder = who;
  l->is_up[who] = true;
  l->is_up[1 - who] = false;
}

static void leave(lives_t* l, int who) {
  assert_int_equal(mcq__router_down(&l->hub, l->peers[who]), l->is_up[who]);
  l->is_up[who] = false;
  if (l->holder == who) l->holder = -1;
}

/* After the up of a life and before its down, the name leads to it; handles
 * lead to their own life or to none. */
static void probe(lives_t* l) {
  mcq__user_cmd_t cmd = {MCQ__TO_NAME, {"K", 1}, nobody, &body};
  assert_null(router_fault(&l->hub));
  int expected = l->holder < 0 ? MCQ_EHOSTUNREACH : 0;
  assert_int_equal(mcq__router_user(&l->hub, &cmd), expected);
  if (l->holder >= 0)
    assert_true(
        same_peer(mcq__router_find(&l->hub, "K", 1), l->peers[l->holder]));
  cmd.to = MCQ__TO_PEER;
  for (int i = 0; i < 2; i++) {
    cmd.peer = l->peers[i];
    expected = l->is_up[i] ? 0 : MCQ_EPEERGONE;
    assert_int_equal(mcq__router_user(&l->hub, &cmd), expected);
  }
}

/* A down that comes before its up carries the handle the up will give. */
static void play(const int order[4], bool refuse_twins, bool renewing) {
  lives_t lives;
  lives_t* l = &lives;
  memset(l, 0, sizeof *l);
  l->holder = -1;
  fake_init(&l->fakes[0]);
  fake_init(&l->fakes[1]);
  test_pool_open(&l->memory);
  mcq__router_init(&l->hub, l->memory.pool, &l->epochs, hash_seed,
                   refuse_twins);
  uint64_t epoch = 0;
  for (int i = 0; i < 4; i++)
    if (order[i] == UP_1 || order[i] == UP_2)
      l->peers[order[i] == UP_2].epoch = ++epoch;
  bool first = true;
  for (int i = 0; i < 4; i++) {
    int who = order[i] >= UP_2;
    if (order[i] == UP_1 || order[i] == UP_2) {
      come(l, who, renewing && !first);
      first = false;
    } else {
      leave(l, who);
    }
    probe(l);
  }
  mcq__router_dispose(&l->hub);
  test_pool_close(&l->memory);
}

static void any_order_of_two_lives(void** state) {
  (void) state;
  int played = 0;
  for (int n = 0; n < 256; n++) {
    int order[4] = {n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6};
    int seen = 0;
    for (int i = 0; i < 4; i++) seen |= 1 << order[i];
    if (seen != 15) continue;
    for (int how = 0; how < 4; how++, played++)
      play(order, (how & 1) != 0, (how & 2) != 0);
  }
  assert_int_equal(played, 24 * 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_order_of_two_lives),
      cmocka_unit_test(hub_is_its_model_with_handover),
      cmocka_unit_test(hub_is_its_model_refusing_twins),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
