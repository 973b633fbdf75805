/* SPDX-License-Identifier: MIT */
/* The outgoing queue of a peer against a naive model of it: messages in all
 * forms and sizes are put, handed over, written in pieces, shed and rewound in
 * any order, and the bytes that come out are exactly the messages in theirs.
 *
 *   MCQ_TEST_SEED    where the randomness starts; printed at a failure
 *   MCQ_TEST_STEPS   how many steps */
#include "actor/outbox.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/pool.h"
#include "support/random.h"
#include "zmtp/session.h"

#define QUEUE_MAX 64
#define FRAMES 5
#define PIECES 8

/* A message as it is to travel, encoded here once more. */
typedef struct told {
  uint8_t* bytes;
  size_t len;
  size_t count;
  size_t frames[FRAMES]; /* lengths */
} told_t;

typedef struct rig {
  test_pool_t memory;
  mcq__outbox_t o;
  uint64_t seed;
  size_t step;
  test_random_t dice;
  told_t queue[QUEUE_MAX];
  size_t count;
  size_t written; /* of the first */
  size_t flight;
  bool lax; /* allocations fail */
  size_t outcomes[16];
} rig_t;

#define expect(r, truth)                                                     \
  do {                                                                       \
    if (!(truth))                                                            \
      fail_msg("MCQ_TEST_SEED=%llu, step %zu: %s (line %d)",                 \
               (unsigned long long) (r)->seed, (r)->step, #truth, __LINE__); \
  } while (0)

static uint8_t noise[1 << 17];

static size_t roll(rig_t* r, size_t n) {
  return test_random_below(&r->dice, n);
}

/* ---- the model ----------------------------------------------------------- */

static size_t model_bytes(const rig_t* r) {
  size_t sum = 0;
  for (size_t i = 0; i < r->count; i++) sum += r->queue[i].len;
  return sum;
}

/* Messages that end within the first `*bytes`; leaves what is of the next. */
static size_t model_ended(const rig_t* r, size_t* bytes) {
  size_t i = 0;
  while (i < r->count && r->queue[i].len <= *bytes) *bytes -= r->queue[i++].len;
  return i;
}

static void model_remove(rig_t* r, size_t i) {
  free(r->queue[i].bytes);
  r->count--;
  for (; i < r->count; i++) r->queue[i] = r->queue[i + 1];
}

/* The first of which nothing was written or handed over. */
static size_t model_unsent(const rig_t* r) {
  size_t rest = r->written + r->flight;
  size_t ended = model_ended(r, &rest);
  return rest == 0 ? ended : ended + 1;
}

static void model_wrote(rig_t* r, size_t n) {
  r->flight = 0;
  r->written += n;
  while (r->count > 0 && r->written >= r->queue[0].len) {
    r->written -= r->queue[0].len;
    model_remove(r, 0);
  }
}

static uint8_t model_byte(const rig_t* r, size_t at) {
  size_t i = 0;
  while (at >= r->queue[i].len) at -= r->queue[i++].len;
  return r->queue[i].bytes[at];
}

static told_t encode(const mcq_frame_t* frames, size_t count) {
  told_t t = {NULL, 0, count, {0}};
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += 9 + frames[i].len;
  t.bytes = (uint8_t*) malloc(size);
  for (size_t i = 0; i < count; i++) {
    size_t len = frames[i].len;
    unsigned more = i + 1 < count ? 1 : 0;
    t.frames[i] = len;
    t.bytes[t.len++] = (uint8_t) (more | (len > 255 ? 2 : 0));
    for (int k = len > 255 ? 7 : 0; k >= 0; k--)
      t.bytes[t.len++] = (uint8_t) ((uint64_t) len >> (8 * k));
    if (len != 0) memcpy(t.bytes + t.len, frames[i].data, len);
    t.len += len;
  }
  return t;
}

/* ---- what may happen ----------------------------------------------------- */

static size_t some_size(rig_t* r) {
  static const size_t kinds[] = {0, 10, 10, 300, 2100, 5000, 70000};
  size_t kind = roll(r, sizeof kinds / sizeof *kinds);
  if (kind == 6 && roll(r, 4) != 0) kind = 1;
  return roll(r, kinds[kind] + 1);
}

static size_t some_frames(rig_t* r, mcq_frame_t* frames) {
  size_t count = roll(r, 3) == 0 ? 1 + roll(r, FRAMES) : 1;
  for (size_t i = 0; i < count; i++) {
    size_t len = some_size(r);
    frames[i] = (mcq_frame_t){noise + roll(r, sizeof noise - len), len};
  }
  return count;
}

/* In one of four forms. */
static int put_body(rig_t* r, const mcq_frame_t* frames, size_t count,
                    const told_t* told, uint64_t* payload) {
  mcq__slice_t slices[FRAMES] = {{0}};
  mcq__pool_t* pool = r->memory.pool;
  mcq__body_t body = {.frames = frames, .count = count};
  size_t form = roll(r, 4);
  int rc = 0;
  if (form == 1 || form == 3) {
    for (size_t i = 0; i < count && rc == 0; i++) {
      if (roll(r, 4) == 0)
        slices[i] = mcq__slice_static(frames[i].data, frames[i].len);
      else
        rc = mcq__slice_copy(&slices[i], pool, frames[i].data, frames[i].len);
    }
    body.frames = NULL;
    body.slices = slices;
  }
  mcq__wired_t wired = {.size = told->len, .count = 1, .frames = count};
  if (form >= 2 && rc == 0) {
    rc = mcq__slice_copy(&wired.bytes, pool, told->bytes, told->len);
    for (size_t i = 0; i < count; i++) wired.payload += frames[i].len;
    body.wired = &wired;
  }
  if (rc == 0) rc = mcq__outbox_put(&r->o, &body, payload);
  for (size_t i = 0; i < FRAMES; i++) mcq__slice_release(&slices[i]);
  mcq__slice_release(&wired.bytes);
  return rc;
}

static void put(rig_t* r) {
  mcq_frame_t frames[FRAMES] = {{0}};
  size_t count = some_frames(r, frames);
  if (r->count == QUEUE_MAX) return;
  told_t told = encode(frames, count);
  uint64_t payload = UINT64_MAX;
  size_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += frames[i].len;
  if (roll(r, 2) == 0) mcq__outbox_allow(&r->o, frames[0].len, SIZE_MAX);
  if (count == 1 && mcq__outbox_again(&r->o, frames[0])) {
    r->outcomes[0]++;
  } else if (put_body(r, frames, count, &told, &payload) == 0) {
    expect(r, payload == sum);
    r->outcomes[1]++;
  } else {
    expect(r, r->lax);
    free(told.bytes);
    return;
  }
  r->queue[r->count++] = told;
}

/* The same size over and over: one run, the quick way. */
static void put_several(rig_t* r) {
  size_t len = roll(r, 40);
  mcq_frame_t frame = {noise + roll(r, 1000), len};
  mcq__body_t body = {.frames = &frame, .count = 1};
  for (size_t n = roll(r, 20); n > 0 && r->count < QUEUE_MAX; n--) {
    uint64_t payload;
    if (mcq__outbox_again(&r->o, frame)) {
      r->outcomes[2]++;
    } else if (mcq__outbox_put(&r->o, &body, &payload) == 0) {
      mcq__outbox_allow(&r->o, len, SIZE_MAX);
    } else {
      expect(r, r->lax);
      return;
    }
    r->queue[r->count++] = encode(&frame, 1);
  }
}

/* What is given to be written is what comes next; some of it is handed over,
 * or written at once. */
static void hand(rig_t* r) {
  mcq__iov_t iov[PIECES];
  size_t total;
  if (r->flight != 0) return;
  size_t limit = roll(r, 3) == 0 ? 1 + roll(r, 100) : 1 + roll(r, 200000);
  size_t n = mcq__outbox_fill(&r->o, limit, iov, 1 + roll(r, PIECES), &total);
  size_t at = r->written;
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < iov[i].len; k++)
      expect(r, ((const uint8_t*) iov[i].base)[k] == model_byte(r, at++));
  expect(r, at == r->written + total && total <= limit);
  expect(r, (total == 0) == (model_bytes(r) == r->written));
  if (roll(r, 2) == 0) {
    mcq__outbox_hand(&r->o, total);
    r->flight = total;
    r->outcomes[3] += total > 0;
  } else {
    size_t done = roll(r, 2) == 0 ? total : roll(r, total + 1);
    mcq__outbox_wrote(&r->o, done);
    model_wrote(r, done);
    r->outcomes[4] += done > 0 && done < total;
  }
}

static void wrote(rig_t* r) {
  if (r->flight == 0) return;
  size_t done = roll(r, 2) == 0 ? r->flight : roll(r, r->flight + 1);
  r->outcomes[5] += done < r->flight;
  mcq__outbox_wrote(&r->o, done);
  model_wrote(r, done);
}

static void shed(rig_t* r) {
  size_t i = model_unsent(r);
  bool done = mcq__outbox_shed(&r->o);
  if (!done && r->lax) return;
  expect(r, done == (i < r->count));
  if (!done) return;
  r->outcomes[6]++;
  r->outcomes[7] += i > 0;
  model_remove(r, i);
}

static void walk(rig_t* r) {
  mcq__outbox_walk_t w = {0};
  size_t i = model_unsent(r);
  ssize_t count;
  while ((count = mcq__outbox_next(&r->o, &w)) > 0) {
    expect(r, i < r->count);
    const told_t* t = &r->queue[i++];
    expect(r, (size_t) count == t->count);
    size_t at = 0;
    for (size_t k = 0; k < t->count; k++) {
      at += t->frames[k] > 255 ? 9 : 2;
      expect(r, mcq__slice_equal(w.frames[k], t->bytes + at, t->frames[k]));
      at += t->frames[k];
    }
  }
  if (count == 0) expect(r, i == r->count);
  if (count < 0) expect(r, r->lax);
  mcq__outbox_walk_end(&r->o, &w);
  r->outcomes[8]++;
}

/* The connection is lost: what was handed over whole is gone, what was begun
 * begins again. */
static void rewind_all(rig_t* r) {
  size_t rest = r->written + r->flight;
  bool begun;
  size_t ended = model_ended(r, &rest);
  expect(r, mcq__outbox_unsure(&r->o, &begun) == ended);
  expect(r, begun == (rest > 0));
  mcq__outbox_rewind(&r->o);
  while (ended-- > 0) model_remove(r, 0);
  r->written = r->flight = 0;
  r->outcomes[9] += begun;
}

static bool has_grown(const mcq__outbox_t* o) {
  return mcq__fifo_storage(&o->runs) > MCQ__FIFO_FIRST ||
         mcq__chain_storage(&o->chain) > MCQ__FIFO_FIRST;
}

/* Now and then for longer. */
static void rest(rig_t* r) {
  bool more = mcq__outbox_rest(&r->o);
  expect(r, more == (r->o.chain.bytes == 0 && has_grown(&r->o)));
  if (r->step % 2 == 0) return;
  mcq__outbox_shrink(&r->o);
  expect(r, !has_grown(&r->o) || r->o.chain.bytes != 0);
}

static void check(rig_t* r) {
  const mcq__outbox_t* o = &r->o;
  size_t bytes = model_bytes(r);
  size_t left = r->written + r->flight;
  size_t handed = model_ended(r, &left);
  if (r->flight == 0) handed = 0;
  expect(r, o->messages == r->count);
  expect(r, o->chain.bytes == bytes);
  expect(r, mcq__outbox_queued(o) == r->count - handed);
  expect(r, mcq__outbox_queued_bytes(o) == bytes - r->written - r->flight);
  expect(r, mcq__outbox_rest_of_message(o) ==
                (r->written == 0 ? 0 : r->queue[0].len - r->written));
  expect(r, mcq__outbox_all_begun(o) == (model_unsent(r) == r->count));
  /* Not a run more than there are messages, whatever was shed. */
  expect(r, o->runs.count <= r->count);
}

/* ---- plays --------------------------------------------------------------- */

static void (*const moves[])(rig_t* r) = {put,  put,  put,   put_several,
                                          hand, hand, wrote, wrote,
                                          shed, shed, walk,  rest};
#define MOVES (sizeof moves / sizeof *moves)

static void begin(rig_t* r, uint64_t seed) {
  memset(r, 0, sizeof *r);
  r->seed = r->dice.state = seed;
  test_pool_open(&r->memory);
  mcq__outbox_init(&r->o, r->memory.pool, &mcq__zmtp,
                   &(mcq__marks_t){.messages = QUEUE_MAX, .bytes = 100000});
}

static void play(rig_t* r, size_t steps) {
  for (r->step = 0; r->step < steps; r->step++) {
    if (roll(r, 60) == 0)
      rewind_all(r);
    else
      moves[roll(r, MOVES)](r);
    check(r);
  }
}

static void end(rig_t* r) {
  mcq__outbox_dispose(&r->o);
  while (r->count > 0) model_remove(r, 0);
  test_pool_close(&r->memory);
}

static uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

static void fill_noise(void) {
  test_random_t dice = {7};
  for (size_t i = 0; i < sizeof noise; i++)
    noise[i] = (uint8_t) test_random(&dice);
}

static void it_is_its_model(void** state) {
  (void) state;
  static rig_t r;
  fill_noise();
  begin(&r, setting("MCQ_TEST_SEED", 20260101));
  play(&r, (size_t) setting("MCQ_TEST_STEPS", 40000));
  for (size_t i = 0; i < 10; i++)
    if (getenv("MCQ_TEST_STEPS") == NULL && r.outcomes[i] < 20)
      fail_msg("MCQ_TEST_SEED=%llu: outcome %zu seen %zu times",
               (unsigned long long) r.seed, i, r.outcomes[i]);
  end(&r);
}

/* Each allocation of a play fails in turn, and all from there on. */
static void without_memory_nothing_happens(void** state) {
  (void) state;
  static rig_t r;
  fill_noise();
  for (size_t i = 1; i <= 400; i++) {
    begin(&r, setting("MCQ_TEST_SEED", 20260101) + i);
    r.lax = true;
    r.memory.alloc.fail_after = i % 2 == 0;
    r.memory.alloc.fail_at = r.memory.alloc.calls + 1 + i / 4;
    play(&r, 200);
    r.memory.alloc.fail_at = 0;
    play(&r, 50);
    end(&r);
  }
}

/* Twice the marks in all, with what is in flight; half of them is low. */
static void marks(void** state) {
  (void) state;
  static rig_t r;
  mcq_frame_t frame = {noise, 8};
  mcq__body_t body = {.frames = &frame, .count = 1};
  uint64_t payload;
  begin(&r, 1);
  r.o.marks = (mcq__marks_t){.messages = 8, .bytes = 100000};
  for (int i = 0; i < 8; i++) {
    assert_false(mcq__outbox_full(&r.o));
    assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
    assert_int_equal(mcq__outbox_low(&r.o), i < 4);
  }
  assert_true(mcq__outbox_full(&r.o));
  mcq__outbox_hand(&r.o, 80);
  assert_false(mcq__outbox_full(&r.o));
  for (int i = 0; i < 8; i++)
    assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
  assert_true(mcq__outbox_full(&r.o));
  while (mcq__outbox_shed(&r.o)) continue;
  assert_int_equal(r.o.messages, 8); /* those in flight stay */
  assert_false(mcq__outbox_full(&r.o));
  frame.len = 100000;
  assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
  assert_true(mcq__outbox_full(&r.o)); /* by bytes */
  assert_true(mcq__outbox_shed(&r.o));
  assert_false(mcq__outbox_full(&r.o));
  mcq__outbox_wrote(&r.o, 0); /* and are what is queued again */
  assert_true(mcq__outbox_full(&r.o));
  end(&r);
}

/* So many more until it is full, and not one: beside what is in flight too,
 * which counts as half. */
static void room_to_the_mark(void** state) {
  (void) state;
  static rig_t r;
  mcq_frame_t frame = {noise, 8}; /* 10 on the wire */
  mcq__body_t body = {.frames = &frame, .count = 1};
  uint64_t payload;
  unsigned beside = 0;
  begin(&r, 1);
  r.o.marks = (mcq__marks_t){.messages = 8, .bytes = 100};
  for (size_t flight = 0; flight <= 20; flight++) {
    for (size_t i = 0; i < flight && !mcq__outbox_full(&r.o); i++)
      assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
    size_t handed = mcq__outbox_queued_bytes(&r.o);
    mcq__outbox_hand(&r.o, handed);
    for (uint64_t room = mcq__outbox_room(&r.o, 10); room > 0; room--) {
      assert_false(mcq__outbox_full(&r.o));
      assert_int_equal(mcq__outbox_room(&r.o, 10), room);
      assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
      beside += handed >= 80;
    }
    assert_true(mcq__outbox_full(&r.o));
    mcq__outbox_wrote(&r.o, handed);
    mcq__outbox_clear(&r.o);
  }
  assert_int_equal(beside, 8 * 13);
  end(&r);
}

/* Small ones are too many when they are that many bytes, too.  A streak ends
 * where asking would say so. */
static void few_bytes(void** state) {
  (void) state;
  static rig_t r;
  mcq_frame_t frame = {noise, 8}; /* 10 on the wire */
  mcq__body_t body = {.frames = &frame, .count = 1};
  uint64_t payload;
  begin(&r, 1);
  r.o.marks = (mcq__marks_t){.messages = 8, .bytes = 100000, .few_bytes = 1000};
  assert_int_equal(mcq__outbox_room(&r.o, 10), 100);
  assert_int_equal(mcq__outbox_room(&r.o, 1000), 8);
  assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
  mcq__outbox_allow(&r.o, frame.len, SIZE_MAX);
  for (int i = 1; i < 100; i++) {
    assert_false(mcq__outbox_full(&r.o));
    assert_int_equal(mcq__outbox_low(&r.o), i <= 50);
    assert_true(mcq__outbox_again(&r.o, frame));
  }
  assert_true(mcq__outbox_full(&r.o));
  assert_false(mcq__outbox_again(&r.o, frame));
  mcq__outbox_wrote(&r.o, 10);
  assert_false(mcq__outbox_full(&r.o));
  end(&r);
}

/* Storage for a queue as long as usual stays until it is asked for, that of a
 * longer one goes at once. */
static void storage_goes_back(void** state) {
  (void) state;
  static const struct {
    size_t messages;
    bool stays;
  } queues[] = {{2, false}, {3, true}, {1000, true}, {1025, false}};
  static rig_t r;
  mcq_frame_t frame = {noise, 0};
  mcq__body_t body = {.frames = &frame, .count = 1};
  uint64_t payload;
  begin(&r, 1);
  for (size_t k = 0; k < sizeof queues / sizeof *queues; k++) {
    for (size_t i = 0; i < queues[k].messages; i++) {
      frame.len = i % 2;
      assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
    }
    size_t bytes = r.o.chain.bytes;
    assert_false(mcq__outbox_rest(&r.o)); /* it is in use, */
    mcq__outbox_shrink(&r.o);
    assert_int_equal(r.o.chain.bytes, bytes);
    mcq__outbox_hand(&r.o, bytes);
    mcq__outbox_wrote(&r.o, bytes);
    assert_int_equal(mcq__outbox_rest(&r.o), queues[k].stays);
    assert_int_equal(has_grown(&r.o), queues[k].stays);
    mcq__outbox_shrink(&r.o);
    assert_false(has_grown(&r.o));
  }
  end(&r);
}

/* A peer that is stuck in its first message, sizes that alternate. */
static void shedding_leaves_nothing_behind(void** state) {
  (void) state;
  static rig_t r;
  mcq_frame_t frame = {noise, 8};
  mcq__body_t body = {.frames = &frame, .count = 1};
  uint64_t payload;
  begin(&r, 1);
  assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
  mcq__outbox_wrote(&r.o, 3);
  size_t bytes = 0;
  for (size_t i = 0; i < 20000; i++) {
    frame.len = 10 + i % 3;
    assert_int_equal(mcq__outbox_put(&r.o, &body, &payload), 0);
    if (i < 4) continue;
    assert_true(mcq__outbox_shed(&r.o));
    assert_true(r.o.runs.count <= 6);
    if (i == 1000) bytes = r.memory.alloc.bytes;
    if (i > 1000) assert_true(r.memory.alloc.bytes <= bytes + 150000);
  }
  end(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_is_its_model),
      cmocka_unit_test(without_memory_nothing_happens),
      cmocka_unit_test(marks),
      cmocka_unit_test(room_to_the_mark),
      cmocka_unit_test(few_bytes),
      cmocka_unit_test(storage_goes_back),
      cmocka_unit_test(shedding_leaves_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
