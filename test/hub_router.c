/* SPDX-License-Identifier: MIT */
/* RouterHub: who gets a message, by name, by handle and by turn; what a
 * renewal and a twin do; that nothing changes when memory is short. */
#include "hub/router.h"

#include "support/hub_peers.h"
#include "support/pool.h"
#include "support/random.h"

static const uint64_t seed[2] = {3, 4};
static const mcq_peer_t nobody = {0, 0};
static const mcq_frame_t unnamed = {NULL, 0};

typedef struct bench {
  test_pool_t memory;
  mcq__router_t hub;
  uint64_t epochs;
  fake_peer_t fakes[64];
} bench_t;

static void open_bench(bench_t* b, bool refuse_twins) {
  memset(b, 0, sizeof *b);
  for (size_t i = 0; i < 64; i++) fake_init(&b->fakes[i]);
  test_pool_open(&b->memory);
  mcq__router_init(&b->hub, b->memory.pool, &b->epochs, seed, refuse_twins);
}

static void close_bench(bench_t* b) {
  assert_null(router_fault(&b->hub));
  mcq__router_dispose(&b->hub);
  test_pool_close(&b->memory);
}

static int set_up(void** state) {
  static bench_t b;
  open_bench(&b, false);
  *state = &b;
  return 0;
}

static int set_up_refusing(void** state) {
  static bench_t b;
  open_bench(&b, true);
  *state = &b;
  return 0;
}

static int tear_down(void** state) {
  close_bench((bench_t*) *state);
  return 0;
}

static mcq_frame_t text(const char* s) {
  mcq_frame_t f = {s, strlen(s)};
  return f;
}

static mcq_frame_t as_frame(mcq__slice_t s) {
  mcq_frame_t f = {s.data, s.len};
  return f;
}

/* UP of port `i`; zeros for `again`: a newcomer. */
static int try_up(bench_t* b, size_t i, mcq_frame_t name, mcq_peer_t again,
                  mcq_peer_t* out, mcq_peer_t* displaced) {
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &b->fakes[i].port, name};
  int rc = mcq__router_up(&b->hub, &ev, out, displaced);
  assert_null(router_fault(&b->hub));
  return rc;
}

static mcq_peer_t up(bench_t* b, size_t i, mcq_frame_t name) {
  mcq_peer_t peer = nobody;
  mcq_peer_t displaced = {9, 9};
  assert_int_equal(try_up(b, i, name, nobody, &peer, &displaced), 0);
  assert_true(is_nobody(displaced));
  assert_int_equal(peer.epoch, b->epochs);
  return peer;
}

static mcq_peer_t renew(bench_t* b, size_t i, mcq_frame_t name,
                        mcq_peer_t old) {
  mcq_peer_t peer = nobody;
  mcq_peer_t displaced = {9, 9};
  assert_int_equal(try_up(b, i, name, old, &peer, &displaced), 0);
  assert_true(is_nobody(displaced));
  assert_int_equal(peer.slot, old.slot);
  assert_int_equal(peer.epoch, b->epochs);
  return peer;
}

static const mcq_frame_t parts[] = {{"one", 3}, {"", 0}, {"three", 5}};
static const mcq__body_t body = {.frames = parts, .count = 3};

static int send_name(bench_t* b, mcq_frame_t name) {
  mcq__user_cmd_t cmd = {MCQ__TO_NAME, name, nobody, &body};
  return mcq__router_user(&b->hub, &cmd);
}

static int send_peer(bench_t* b, mcq_peer_t peer) {
  mcq__user_cmd_t cmd = {MCQ__TO_PEER, unnamed, peer, &body};
  return mcq__router_user(&b->hub, &cmd);
}

static int send_anyone(bench_t* b) {
  mcq__user_cmd_t cmd = {MCQ__TO_ANYONE, unnamed, nobody, &body};
  return mcq__router_user(&b->hub, &cmd);
}

/* Sends to anyone and returns which port got it. */
static size_t pick(bench_t* b) {
  uint64_t before[64];
  for (size_t i = 0; i < 64; i++) before[i] = b->fakes[i].told;
  assert_int_equal(send_anyone(b), 0);
  size_t who = 64;
  for (size_t i = 0; i < 64; i++) {
    if (b->fakes[i].told == before[i]) continue;
    assert_int_equal(b->fakes[i].told, before[i] + 1);
    assert_int_equal(who, 64);
    who = i;
  }
  assert_true(who < 64);
  return who;
}

static void expect_picks(bench_t* b, const size_t* ports, size_t n) {
  for (size_t i = 0; i < n; i++) assert_int_equal(pick(b), ports[i]);
}

static bool reaches(bench_t* b, mcq_frame_t name, size_t port) {
  uint64_t before = b->fakes[port].told;
  int rc = send_name(b, name);
  assert_true(rc == 0 || rc == MCQ_EHOSTUNREACH);
  return b->fakes[port].told == before + 1;
}

/* ---- to whom ------------------------------------------------------------- */

static void zeroed_is_disposable(void** state) {
  (void) state;
  mcq__router_t h;
  memset(&h, 0, sizeof h);
  mcq__router_dispose(&h);
  mcq__router_dispose(&h);
}

static void empty_hub_reaches_nobody(void** state) {
  bench_t* b = (bench_t*) *state;
  assert_false(mcq__router_open(&b->hub));
  assert_int_equal(send_anyone(b), MCQ_EAGAIN);
  assert_int_equal(b->hub.picked, MCQ__NO_SLOT);
  assert_int_equal(send_name(b, text("A")), MCQ_EHOSTUNREACH);
  assert_int_equal(send_name(b, unnamed), MCQ_EHOSTUNREACH);
  assert_int_equal(send_peer(b, nobody), MCQ_EPEERGONE);
  assert_true(is_nobody(mcq__router_find(&b->hub, "A", 1)));
  assert_true(is_nobody(mcq__router_find(&b->hub, NULL, 0)));
  assert_int_equal(mcq__router_id(&b->hub, nobody).len, 0);
  assert_false(mcq__router_down(&b->hub, nobody));
  mcq__router_room(&b->hub, nobody);
  mcq__router_rest(&b->hub, nobody);
  assert_false(mcq__router_open(&b->hub));
}

/* The body arrives as it was given: same frames, none taken off. */
static void body_is_untouched(void** state) {
  bench_t* b = (bench_t*) *state;
  const mcq__slice_t slices[] = {mcq__slice_static("a", 1),
                                 mcq__slice_static(NULL, 0)};
  mcq_peer_t peer = up(b, 0, text("A"));
  for (int to = MCQ__TO_ANYONE; to <= MCQ__TO_PEER; to++) {
    mcq__user_cmd_t cmd = {(mcq__address_t) to, text("A"), peer, &body};
    assert_int_equal(mcq__router_user(&b->hub, &cmd), 0);
    assert_ptr_equal(b->fakes[0].body.frames, parts);
    assert_null(b->fakes[0].body.slices);
    assert_int_equal(b->fakes[0].body.count, 3);
    const mcq__body_t shared = {.slices = slices, .count = 2};
    cmd.body = &shared;
    assert_int_equal(mcq__router_user(&b->hub, &cmd), 0);
    assert_null(b->fakes[0].body.frames);
    assert_ptr_equal(b->fakes[0].body.slices, slices);
    assert_int_equal(b->fakes[0].body.count, 2);
  }
  assert_int_equal(b->fakes[0].told, 6);
}

static void by_name_and_by_handle(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t a = up(b, 0, text("A"));
  mcq_peer_t c = up(b, 1, text("C"));
  assert_int_equal(send_name(b, text("A")), 0);
  assert_int_equal(send_peer(b, c), 0);
  assert_int_equal(send_peer(b, c), 0);
  assert_int_equal(b->fakes[0].told, 1);
  assert_int_equal(b->fakes[1].told, 2);
  assert_true(same_peer(mcq__router_find(&b->hub, "A", 1), a));
  assert_true(mcq__slice_equal(mcq__router_id(&b->hub, c), "C", 1));
  assert_true(mcq__router_down(&b->hub, a));
  assert_int_equal(send_name(b, text("A")), MCQ_EHOSTUNREACH);
  assert_int_equal(send_peer(b, a), MCQ_EPEERGONE);
  assert_int_equal(mcq__router_id(&b->hub, a).len, 0);
  /* The heir of the slot is not the one the old handle meant. */
  mcq_peer_t heir = up(b, 2, text("A"));
  assert_int_equal(heir.slot, a.slot);
  assert_int_equal(send_peer(b, a), MCQ_EPEERGONE);
  assert_false(mcq__router_down(&b->hub, a));
  mcq__router_rest(&b->hub, a);
  assert_int_equal(b->hub.rotation.count, 2);
  assert_int_equal(b->fakes[2].told, 0);
  assert_true(reaches(b, text("A"), 2));
}

/* Addressed sends do not use up anybody's turn. */
static void turns_are_for_the_balanced(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t a = up(b, 0, text("A"));
  up(b, 1, text("B"));
  expect_picks(b, (const size_t[]){0}, 1);
  assert_int_equal(b->hub.picked, a.slot);
  assert_int_equal(send_peer(b, a), 0);
  assert_int_equal(send_name(b, text("B")), 0);
  assert_int_equal(b->hub.picked, a.slot); /* they pick nobody */
  expect_picks(b, (const size_t[]){1, 0, 1}, 3);
}

static void full_peers_are_passed_over(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t peers[3];
  for (size_t i = 0; i < 3; i++) peers[i] = up(b, i, unnamed);
  b->fakes[1].answer = MCQ_EAGAIN;
  expect_picks(b, (const size_t[]){0, 2, 0, 2}, 4);
  assert_int_equal(b->fakes[1].asked, 1); /* once, not at each round */
  b->fakes[0].answer = MCQ_EAGAIN;
  b->fakes[2].answer = MCQ_EAGAIN;
  assert_true(mcq__router_open(&b->hub));
  assert_int_equal(send_anyone(b), MCQ_EAGAIN);
  assert_false(mcq__router_open(&b->hub));
  uint64_t asked = b->fakes[0].asked;
  assert_int_equal(send_anyone(b), MCQ_EAGAIN);
  assert_int_equal(b->fakes[0].asked, asked);
  for (size_t i = 0; i < 3; i++) b->fakes[i].answer = 0;
  mcq__router_room(&b->hub, peers[2]);
  mcq__router_room(&b->hub, peers[2]);
  mcq__router_room(&b->hub, peers[0]);
  expect_picks(b, (const size_t[]){2, 0, 2}, 3);
  mcq__router_room(&b->hub, peers[1]);
  expect_picks(b, (const size_t[]){0, 2, 1, 0}, 4);
}

static void full_when_addressed_rests_too(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t a = up(b, 0, text("A"));
  mcq_peer_t c = up(b, 1, text("C"));
  b->fakes[0].answer = MCQ_EAGAIN;
  b->fakes[1].answer = MCQ_EAGAIN;
  assert_int_equal(send_name(b, text("A")), MCQ_EAGAIN);
  assert_int_equal(b->hub.rotation.count, 1);
  assert_int_equal(send_peer(b, c), MCQ_EAGAIN);
  assert_false(mcq__router_open(&b->hub));
  b->fakes[0].answer = 0;
  assert_int_equal(send_peer(b, a), 0); /* resting, yet addressable */
  assert_false(mcq__router_open(&b->hub));
  mcq__router_room(&b->hub, a);
  expect_picks(b, (const size_t[]){0, 0}, 2);
}

static void resting_keeps_its_address(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t a = up(b, 0, text("A"));
  up(b, 1, text("B"));
  mcq__router_rest(&b->hub, a);
  mcq__router_rest(&b->hub, a);
  expect_picks(b, (const size_t[]){1, 1}, 2);
  assert_true(reaches(b, text("A"), 0));
  assert_int_equal(send_peer(b, a), 0);
  mcq__router_room(&b->hub, a);
  expect_picks(b, (const size_t[]){1, 0, 1}, 3);
}

/* What is not "full" is the caller's to know: the turn is not used up. */
static void other_errors_are_passed_on(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t a = up(b, 0, text("A"));
  up(b, 1, text("B"));
  b->fakes[0].answer = MCQ_ENOMEM;
  assert_int_equal(send_anyone(b), MCQ_ENOMEM);
  assert_int_equal(send_name(b, text("A")), MCQ_ENOMEM);
  assert_int_equal(send_peer(b, a), MCQ_ENOMEM);
  assert_int_equal(b->hub.rotation.count, 2);
  b->fakes[0].answer = 0;
  expect_picks(b, (const size_t[]){0, 1, 0}, 3);
}

static void shares_are_exact(void** state) {
  bench_t* b = (bench_t*) *state;
  for (size_t k = 1; k <= 12; k++) {
    up(b, k - 1, unnamed);
    for (size_t i = 0; i < k; i++) b->fakes[i].told = 0;
    for (size_t i = 0; i < 100 * k; i++) assert_int_equal(send_anyone(b), 0);
    for (size_t i = 0; i < k; i++) assert_int_equal(b->fakes[i].told, 100);
  }
}

/* Ten thousand sends, any peer leaving at any point: all that remain get one
 * of the next k. */
static void leaving_disturbs_nobody(void** state) {
  bench_t* b = (bench_t*) *state;
  test_random_t dice = {99};
  mcq_peer_t peers[64];
  size_t k = 0;
  memset(peers, 0, sizeof peers);
  for (size_t sends = 0; sends < 10000;) {
    while (k < 24) {
      size_t i = test_random_below(&dice, 64);
      if (peers[i].epoch != 0) continue;
      peers[i] = up(b, i, unnamed);
      k++;
    }
    for (size_t n = test_random_below(&dice, 30); n > 0; n--, sends++) pick(b);
    for (size_t n = 1 + test_random_below(&dice, 20); n > 0; n--) {
      size_t i = test_random_below(&dice, 64);
      if (peers[i].epoch == 0) continue;
      assert_true(mcq__router_down(&b->hub, peers[i]));
      peers[i].epoch = 0;
      if (--k == 0) break;
      for (size_t j = 0; j < 64; j++) b->fakes[j].told = 0;
      for (size_t j = 0; j < k; j++) assert_int_equal(send_anyone(b), 0);
      for (size_t j = 0; j < 64; j++)
        assert_int_equal(b->fakes[j].told, peers[j].epoch != 0);
      sends += k;
    }
  }
}

/* ---- names --------------------------------------------------------------- */

static void expect_made_up(bench_t* b, mcq_peer_t peer) {
  mcq__slice_t id = mcq__router_id(&b->hub, peer);
  assert_int_equal(id.len, MCQ__NAME_MADE);
  assert_int_equal(id.data[0], 0);
  assert_true(same_peer(mcq__router_find(&b->hub, id.data, id.len), peer));
}

static void nameless_peers_get_a_name(void** state) {
  bench_t* b = (bench_t*) *state;
  uint8_t long_name[256];
  memset(long_name, 'n', sizeof long_name);
  mcq_peer_t a = up(b, 0, unnamed);
  mcq_peer_t c = up(b, 1, unnamed);
  mcq_peer_t d = up(b, 2, (mcq_frame_t){"\0boo", 4});
  mcq_peer_t e = up(b, 3, (mcq_frame_t){long_name, 256});
  mcq_peer_t f = up(b, 4, (mcq_frame_t){long_name, 255});
  /* Not even its own made-up id may be claimed by a peer. */
  mcq_peer_t g = up(b, 5, as_frame(mcq__router_id(&b->hub, a)));
  expect_made_up(b, a);
  expect_made_up(b, c);
  expect_made_up(b, d);
  expect_made_up(b, e);
  expect_made_up(b, g);
  assert_int_equal(mcq__router_id(&b->hub, f).len, 255);
  assert_true(reaches(b, as_frame(mcq__router_id(&b->hub, c)), 1));
  assert_true(reaches(b, (mcq_frame_t){long_name, 255}, 4));
  assert_int_equal(send_name(b, (mcq_frame_t){long_name, 256}),
                   MCQ_EHOSTUNREACH);
}

/* First a queue, then a connection, then another: one seat, one turn. */
static void renewal_keeps_seat_and_turn(void** state) {
  bench_t* b = (bench_t*) *state;
  up(b, 0, text("before"));
  mcq_peer_t dialed = up(b, 1, unnamed);
  up(b, 2, text("after"));
  uint8_t made[MCQ__NAME_MADE];
  memcpy(made, mcq__router_id(&b->hub, dialed).data, sizeof made);
  mcq_peer_t first = renew(b, 1, text("X"), dialed);
  assert_true(is_nobody(mcq__router_find(&b->hub, made, sizeof made)));
  assert_int_equal(send_peer(b, dialed), MCQ_EPEERGONE);
  assert_true(reaches(b, text("X"), 1));
  expect_picks(b, (const size_t[]){0}, 1);
  mcq_peer_t second = renew(b, 1, text("Y"), first); /* another name */
  assert_int_equal(send_name(b, text("X")), MCQ_EHOSTUNREACH);
  assert_true(reaches(b, text("Y"), 1));
  expect_picks(b, (const size_t[]){1, 2, 0}, 3);
  mcq_peer_t third = renew(b, 1, text("Y"), second); /* the same */
  assert_true(reaches(b, text("Y"), 1));
  assert_false(mcq__router_down(&b->hub, second)); /* late news */
  assert_true(reaches(b, text("Y"), 1));
  mcq_peer_t fourth = renew(b, 1, unnamed, third);
  assert_int_equal(send_name(b, text("Y")), MCQ_EHOSTUNREACH);
  expect_made_up(b, fourth);
  expect_picks(b, (const size_t[]){1, 2, 0}, 3);
}

static void renewal_wakes_the_resting(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t a = up(b, 0, text("A"));
  up(b, 1, text("B"));
  mcq__router_rest(&b->hub, a);
  expect_picks(b, (const size_t[]){1, 1}, 2);
  renew(b, 0, text("A"), a);
  expect_picks(b, (const size_t[]){1, 0, 1}, 3);
}

static void stale_renewal_is_refused(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t out = {7, 7};
  mcq_peer_t displaced;
  mcq_peer_t a = up(b, 0, text("A"));
  assert_true(mcq__router_down(&b->hub, a));
  up(b, 1, text("heir"));
  uint64_t before = b->epochs;
  assert_int_equal(try_up(b, 0, text("A"), a, &out, &displaced), MCQ_EPEERGONE);
  assert_int_equal(b->epochs, before);
  assert_int_equal(out.epoch, 7);
  assert_true(is_nobody(displaced));
  assert_int_equal(b->hub.roster.count, 1);
  assert_true(reaches(b, text("heir"), 1));
}

/* The name lies in the very id that is let go. */
static void name_may_be_borrowed_from_the_hub(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t displaced;
  mcq_peer_t heir = nobody;
  mcq_peer_t a = up(b, 0, text("A"));
  a = renew(b, 0, as_frame(mcq__router_id(&b->hub, a)), a);
  assert_true(reaches(b, text("A"), 0));
  assert_int_equal(try_up(b, 1, as_frame(mcq__router_id(&b->hub, a)), nobody,
                          &heir, &displaced),
                   0);
  assert_true(same_peer(displaced, a));
  assert_true(reaches(b, text("A"), 1));
}

/* ---- twins --------------------------------------------------------------- */

static void newcomer_displaces_its_twin(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t old = up(b, 0, text("A"));
  up(b, 1, text("B"));
  mcq_peer_t heir = nobody;
  mcq_peer_t displaced = nobody;
  assert_int_equal(try_up(b, 2, text("A"), nobody, &heir, &displaced), 0);
  assert_true(same_peer(displaced, old));
  assert_int_equal(b->hub.roster.count, 2);
  assert_int_equal(send_peer(b, old), MCQ_EPEERGONE);
  assert_int_equal(send_peer(b, heir), 0);
  assert_true(reaches(b, text("A"), 2));
  expect_picks(b, (const size_t[]){1, 2, 1, 2}, 4);
  mcq__router_room(&b->hub, old);
  assert_false(mcq__router_down(&b->hub, old));
  assert_int_equal(b->hub.rotation.count, 2);
  assert_true(reaches(b, text("A"), 2));
}

static void renewal_displaces_its_twin(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t dialed = up(b, 0, unnamed);
  mcq_peer_t old = up(b, 1, text("A"));
  mcq_peer_t fresh = nobody;
  mcq_peer_t displaced = nobody;
  assert_int_equal(try_up(b, 0, text("A"), dialed, &fresh, &displaced), 0);
  assert_true(same_peer(displaced, old));
  assert_int_equal(fresh.slot, dialed.slot);
  assert_int_equal(b->hub.roster.count, 1);
  assert_true(reaches(b, text("A"), 0));
  expect_picks(b, (const size_t[]){0, 0}, 2);
}

static void twins_are_refused_when_asked(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t a = up(b, 0, text("A"));
  mcq_peer_t dialed = up(b, 1, unnamed);
  mcq_peer_t out = {7, 7};
  mcq_peer_t displaced = {7, 7};
  uint64_t before = b->epochs;
  assert_int_equal(try_up(b, 2, text("A"), nobody, &out, &displaced),
                   MCQ_ETWIN);
  assert_true(is_nobody(displaced));
  assert_int_equal(out.epoch, 7);
  assert_int_equal(try_up(b, 1, text("A"), dialed, &out, &displaced),
                   MCQ_ETWIN);
  assert_int_equal(b->epochs, before);
  assert_int_equal(b->hub.roster.count, 2);
  assert_int_equal(send_peer(b, dialed), 0);
  expect_made_up(b, dialed);
  assert_true(reaches(b, text("A"), 0));
  a = renew(b, 0, text("A"), a); /* its own name is nobody's twin */
  assert_true(mcq__router_down(&b->hub, a));
  up(b, 2, text("A"));
  assert_true(reaches(b, text("A"), 2));
}

/* ---- short of memory ----------------------------------------------------- */

/* All that can be told of a hub from outside, as one number. */
static uint64_t portrait(const mcq__router_t* h) {
  static const uint64_t key[2] = {5, 6};
  uint64_t sum = *h->roster.epochs;
  for (uint32_t s = 0; s < h->roster.used; s++) {
    mcq_peer_t peer = mcq__roster_peer(&h->roster, s);
    mcq__slice_t id = mcq__router_id(h, peer);
    sum = sum * 31 + peer.epoch;
    if (id.len != 0) sum = sum * 31 + mcq__siphash(key, id.data, id.len);
  }
  uint32_t at = h->rotation.cursor;
  for (size_t i = 0; i < h->rotation.count; i++) {
    sum = sum * 31 + at;
    at = h->rotation.links[at].next;
  }
  return sum;
}

/* One UP during which memory may run out. */
static int careful_up(mcq__router_t* h, fake_peer_t* fake, const char* name,
                      mcq_peer_t again, mcq_peer_t* out) {
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &fake->port, text(name)};
  mcq_peer_t displaced;
  uint64_t before = portrait(h);
  int rc = mcq__router_up(h, &ev, out, &displaced);
  assert_null(router_fault(h));
  if (rc != 0) {
    assert_int_equal(rc, MCQ_ENOMEM);
    assert_true(portrait(h) == before);
    assert_true(is_nobody(displaced));
  }
  return rc;
}

/* Newcomers with and without a name, renewals of all kinds, twins. */
static int crowd(mcq__router_t* h, fake_peer_t* fakes) {
  mcq_peer_t peers[12];
  int rc = 0;
  for (int i = 0; i < 12 && rc == 0; i++) {
    char name[2] = {i % 3 == 0 ? '\0' : (char) ('a' + i), '\0'};
    rc = careful_up(h, &fakes[i], name, nobody, &peers[i]);
  }
  if (rc == 0) rc = careful_up(h, &fakes[0], "new", peers[0], &peers[0]);
  if (rc == 0) rc = careful_up(h, &fakes[0], "new", peers[0], &peers[0]);
  if (rc == 0) rc = careful_up(h, &fakes[0], "", peers[0], &peers[0]);
  if (rc == 0) rc = careful_up(h, &fakes[1], "c", peers[1], &peers[1]);
  if (rc == 0) rc = careful_up(h, &fakes[12], "c", nobody, &peers[2]);
  if (rc == 0) assert_int_equal(h->roster.count, 11);
  return rc;
}

static int crowd_scene(test_alloc_t* ta, void* arg) {
  (void) arg;
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  mcq__mem_t* mem = NULL;
  mcq__pool_t* pool = NULL;
  uint64_t epochs = 0;
  fake_peer_t fakes[13];
  for (size_t i = 0; i < 13; i++) fake_init(&fakes[i]);
  int rc = mcq__mem_open(&mem, &allocator);
  if (rc != 0) return rc;
  rc = mcq__pool_open(&pool, mem);
  if (rc == 0) {
    mcq__router_t h;
    mcq__router_init(&h, pool, &epochs, seed, false);
    rc = crowd(&h, fakes);
    mcq__router_dispose(&h);
    mcq__pool_close(pool);
  }
  assert_int_equal(mcq__mem_live(mem), 0);
  mcq__mem_close(mem);
  return rc;
}

static void without_memory_nothing_changes(void** state) {
  (void) state;
  assert_true(test_alloc_sweep(crowd_scene, NULL) > 40);
}

/* Only UP takes memory: everything else works without any. */
static void only_arrivals_take_memory(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_peer_t peers[20];
  for (size_t i = 0; i < 20; i++) peers[i] = up(b, i, unnamed);
  test_alloc_fail_next(&b->memory.alloc, true);
  b->fakes[3].answer = MCQ_EAGAIN;
  for (size_t i = 0; i < 40; i++) assert_int_equal(send_anyone(b), 0);
  for (size_t i = 0; i < 20; i++) {
    mcq__router_room(&b->hub, peers[i]);
    mcq__router_rest(&b->hub, peers[i]);
    mcq__router_room(&b->hub, peers[i]);
    if (i != 3) {
      assert_int_equal(send_peer(b, peers[i]), 0);
      assert_int_equal(
          send_name(b, as_frame(mcq__router_id(&b->hub, peers[i]))), 0);
    }
    assert_true(mcq__router_down(&b->hub, peers[i]));
  }
  assert_int_equal(atomic_load(&b->memory.alloc.failed), 0);
  assert_false(mcq__router_open(&b->hub));
}

static void address_is_stripped(void** state) {
  (void) state;
  const mcq__slice_t slices[] = {mcq__slice_static("id", 2),
                                 mcq__slice_static("body", 4)};
  mcq__body_t rest = mcq__body_rest(body);
  assert_int_equal(rest.count, 2);
  assert_ptr_equal(rest.frames, parts + 1);
  assert_null(rest.slices);
  assert_int_equal(mcq__body_frame(&rest, 1).len, 5);
  rest = mcq__body_rest((mcq__body_t){.slices = slices, .count = 2});
  assert_int_equal(rest.count, 1);
  assert_null(rest.frames);
  assert_memory_equal(mcq__body_frame(&rest, 0).data, "body", 4);
}

#define WITH_BENCH(test) \
  cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_is_disposable),
      cmocka_unit_test(address_is_stripped),
      WITH_BENCH(empty_hub_reaches_nobody),
      WITH_BENCH(body_is_untouched),
      WITH_BENCH(by_name_and_by_handle),
      WITH_BENCH(turns_are_for_the_balanced),
      WITH_BENCH(full_peers_are_passed_over),
      WITH_BENCH(full_when_addressed_rests_too),
      WITH_BENCH(resting_keeps_its_address),
      WITH_BENCH(other_errors_are_passed_on),
      WITH_BENCH(shares_are_exact),
      WITH_BENCH(leaving_disturbs_nobody),
      WITH_BENCH(nameless_peers_get_a_name),
      WITH_BENCH(renewal_keeps_seat_and_turn),
      WITH_BENCH(renewal_wakes_the_resting),
      WITH_BENCH(stale_renewal_is_refused),
      WITH_BENCH(name_may_be_borrowed_from_the_hub),
      WITH_BENCH(newcomer_displaces_its_twin),
      WITH_BENCH(renewal_displaces_its_twin),
      cmocka_unit_test_setup_teardown(twins_are_refused_when_asked,
                                      set_up_refusing, tear_down),
      cmocka_unit_test(without_memory_nothing_changes),
      WITH_BENCH(only_arrivals_take_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
