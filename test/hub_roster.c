/* SPDX-License-Identifier: MIT */
/* The roster: a handle reaches the port it was issued for, or none. */
#include "hub/roster.h"

#include "support/hub_peers.h"
#include "support/pool.h"
#include "support/random.h"

#define CROWD 500

typedef struct bench {
  test_pool_t memory;
  mcq__roster_t roster;
  uint64_t epochs;
} bench_t;

static int set_up(void** state) {
  static bench_t b;
  memset(&b, 0, sizeof b);
  test_pool_open(&b.memory);
  mcq__roster_init(&b.roster, b.memory.mem, &b.epochs);
  *state = &b;
  return 0;
}

static int tear_down(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq__roster_dispose(&b->roster);
  test_pool_close(&b->memory);
  return 0;
}

static mcq_peer_t up(bench_t* b, fake_peer_t* fake) {
  mcq_peer_t peer = {0, 0};
  fake_init(fake);
  assert_int_equal(mcq__roster_up(&b->roster, &fake->port, &peer), 0);
  assert_null(roster_fault(&b->roster));
  return peer;
}

static void zeroed_is_disposable(void** state) {
  (void) state;
  mcq__roster_t r;
  memset(&r, 0, sizeof r);
  mcq__roster_dispose(&r);
  mcq__roster_dispose(&r);
}

static void epochs_count_from_one(void** state) {
  bench_t* b = (bench_t*) *state;
  fake_peer_t fakes[20];
  for (uint32_t i = 0; i < 20; i++) {
    mcq_peer_t peer = up(b, &fakes[i]);
    assert_int_equal(peer.epoch, i + 1);
    assert_int_equal(peer.slot, i);
    assert_ptr_equal(mcq__roster_port(&b->roster, peer), &fakes[i].port);
    assert_true(same_peer(mcq__roster_peer(&b->roster, i), peer));
  }
  assert_int_equal(b->roster.count, 20);
}

static void strangers_reach_nobody(void** state) {
  bench_t* b = (bench_t*) *state;
  fake_peer_t fake;
  mcq_peer_t peer = up(b, &fake);
  const mcq_peer_t strangers[] = {
      {0, 0},
      {0, peer.slot},
      {peer.epoch + 1, peer.slot},
      {UINT64_MAX, peer.slot},
      {peer.epoch, peer.slot + 1},
      {peer.epoch, UINT32_MAX},
  };
  for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
    mcq_peer_t stranger = strangers[i];
    assert_null(mcq__roster_port(&b->roster, stranger));
    assert_false(mcq__roster_down(&b->roster, stranger));
    assert_int_equal(mcq__roster_renew(&b->roster, &stranger), MCQ_EPEERGONE);
    assert_true(same_peer(stranger, strangers[i]));
  }
  assert_int_equal(b->epochs, peer.epoch);
  assert_ptr_equal(mcq__roster_port(&b->roster, peer), &fake.port);
  assert_true(is_nobody(mcq__roster_peer(&b->roster, 1)));
  assert_true(is_nobody(mcq__roster_peer(&b->roster, UINT32_MAX)));
}

static void slot_is_reused_under_a_new_epoch(void** state) {
  bench_t* b = (bench_t*) *state;
  fake_peer_t first, second;
  mcq_peer_t old = up(b, &first);
  assert_true(mcq__roster_down(&b->roster, old));
  assert_true(is_nobody(mcq__roster_peer(&b->roster, old.slot)));
  assert_null(mcq__roster_port(&b->roster, old));
  mcq_peer_t heir = up(b, &second);
  assert_int_equal(heir.slot, old.slot);
  assert_true(heir.epoch > old.epoch);
  assert_null(mcq__roster_port(&b->roster, old));
  assert_false(mcq__roster_down(&b->roster, old));
  assert_ptr_equal(mcq__roster_port(&b->roster, heir), &second.port);
}

static void renewing_outdates_the_old_handle(void** state) {
  bench_t* b = (bench_t*) *state;
  fake_peer_t fake;
  mcq_peer_t old = up(b, &fake);
  mcq_peer_t fresh = old;
  assert_int_equal(mcq__roster_renew(&b->roster, &fresh), 0);
  assert_int_equal(fresh.slot, old.slot);
  assert_int_equal(fresh.epoch, old.epoch + 1);
  assert_null(mcq__roster_port(&b->roster, old));
  assert_false(mcq__roster_down(&b->roster, old));
  assert_ptr_equal(mcq__roster_port(&b->roster, fresh), &fake.port);
  assert_int_equal(b->roster.count, 1);
}

/* A handle of one socket means nothing to another of the same context. */
static void rosters_of_a_context_share_epochs(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq__roster_t other;
  mcq__roster_init(&other, b->memory.mem, &b->epochs);
  fake_peer_t here, there;
  mcq_peer_t mine = up(b, &here);
  mcq_peer_t its = {0, 0};
  fake_init(&there);
  assert_int_equal(mcq__roster_up(&other, &there.port, &its), 0);
  assert_int_equal(its.slot, mine.slot);
  assert_int_not_equal(its.epoch, mine.epoch);
  assert_null(mcq__roster_port(&other, mine));
  assert_null(mcq__roster_port(&b->roster, its));
  mcq__roster_dispose(&other);
}

/* Thousands of arrivals and departures: no slot beyond the largest crowd, no
 * handle of the departed that reaches anyone. */
static void slots_stay_dense(void** state) {
  bench_t* b = (bench_t*) *state;
  static fake_peer_t fakes[CROWD];
  static mcq_peer_t peers[CROWD];
  static mcq_peer_t gone[CROWD];
  test_random_t dice = {1};
  size_t live = 0;
  size_t peak = 0;
  memset(gone, 0, sizeof gone);
  memset(peers, 0, sizeof peers);
  for (int step = 0; step < 20000; step++) {
    size_t i = test_random_below(&dice, CROWD);
    if (peers[i].epoch == 0) {
      fake_init(&fakes[i]);
      assert_int_equal(mcq__roster_up(&b->roster, &fakes[i].port, &peers[i]),
                       0);
      if (++live > peak) peak = live;
    } else {
      assert_true(mcq__roster_down(&b->roster, peers[i]));
      gone[i] = peers[i];
      peers[i].epoch = 0;
      live--;
    }
    size_t probe = test_random_below(&dice, CROWD);
    assert_null(mcq__roster_port(&b->roster, gone[probe]));
    if (peers[probe].epoch != 0)
      assert_ptr_equal(mcq__roster_port(&b->roster, peers[probe]),
                       &fakes[probe].port);
    assert_int_equal(b->roster.used, peak);
  }
  assert_int_equal(b->roster.count, live);
  assert_null(roster_fault(&b->roster));
}

/* What was reserved is what the next one gets, without memory. */
static void reserved_cannot_fail(void** state) {
  bench_t* b = (bench_t*) *state;
  fake_peer_t fakes[40];
  for (int i = 0; i < 40; i++) {
    uint32_t slot = MCQ__NO_SLOT;
    mcq_peer_t peer = {0, 0};
    assert_int_equal(mcq__roster_reserve(&b->roster, &slot), 0);
    test_alloc_fail_next(&b->memory.alloc, true);
    fake_init(&fakes[i]);
    assert_int_equal(mcq__roster_up(&b->roster, &fakes[i].port, &peer), 0);
    b->memory.alloc.fail_at = 0;
    assert_int_equal(peer.slot, slot);
    if (i % 3 == 0) assert_true(mcq__roster_down(&b->roster, peer));
  }
}

/* Out of memory: no epoch spent, nobody seated, those who sit stay. */
static void full_house_changes_nothing(void** state) {
  bench_t* b = (bench_t*) *state;
  fake_peer_t fakes[100];
  mcq_peer_t peers[100];
  size_t refused = 0;
  for (int i = 0; i < 100; i++) {
    fake_init(&fakes[i]);
    uint64_t before = b->epochs;
    test_alloc_fail_next(&b->memory.alloc, true);
    int rc = mcq__roster_up(&b->roster, &fakes[i].port, &peers[i]);
    b->memory.alloc.fail_at = 0;
    if (rc != 0) {
      refused++;
      assert_int_equal(rc, MCQ_ENOMEM);
      assert_int_equal(b->epochs, before);
      assert_int_equal(b->roster.count, i);
      assert_null(roster_fault(&b->roster));
      peers[i] = up(b, &fakes[i]);
    }
    for (int k = 0; k <= i; k++)
      assert_ptr_equal(mcq__roster_port(&b->roster, peers[k]), &fakes[k].port);
  }
  assert_true(refused > 0);
}

#define WITH_BENCH(test) \
  cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_is_disposable),
      WITH_BENCH(epochs_count_from_one),
      WITH_BENCH(strangers_reach_nobody),
      WITH_BENCH(slot_is_reused_under_a_new_epoch),
      WITH_BENCH(renewing_outdates_the_old_handle),
      WITH_BENCH(rosters_of_a_context_share_epochs),
      WITH_BENCH(slots_stay_dense),
      WITH_BENCH(reserved_cannot_fail),
      WITH_BENCH(full_house_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
