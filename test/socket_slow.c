/* SPDX-License-Identifier: MIT */
/* Publishers with a subscriber that does not keep up: what each policy makes
 * of it, to the message, and that the others do not notice; and one payload
 * for many subscribers.  Over real tcp on every back end. */
#include "socket/socket.h"
#include "support/topics.h"

#define ROUNDS 300
#define HWM 5
#define PAD ((size_t) 65536)

static uint8_t pad[1 << 20];

/* A number, padding, the number again. */
static int say_number(fan_t* pub, uint32_t number, size_t len) {
  mcq_frame_t frames[3] = {
      {&number, sizeof number}, {pad, len}, {&number, sizeof number}};
  pub->p.g->in_call = true;
  int rc = mcq_send(pub->p.s, frames, 3);
  pub->p.g->in_call = false;
  return rc;
}

typedef struct numbers {
  uint32_t got[ROUNDS * 8];
  unsigned count;
} numbers_t;

/* A message arrives whole or not at all. */
static void take_number(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  numbers_t* n = (numbers_t*) p->arg;
  uint32_t first, last;
  (void) peer;
  assert_int_equal(mcq_msg_count(msg), 3);
  memcpy(&first, mcq_msg_frame(msg, 0).data, sizeof first);
  memcpy(&last, mcq_msg_frame(msg, 2).data, sizeof last);
  assert_int_equal(first, last);
  assert_true(n->count < ROUNDS * 8);
  assert_true(n->count == 0 || n->got[n->count - 1] < first);
  n->got[n->count++] = first;
}

/* A publisher with one subscriber that listens and one that does not. */
typedef struct crowd {
  stage_t g;
  fan_t pub, quick, slow;
  numbers_t quick_got, slow_got;
} crowd_t;

static void open_listener(crowd_t* c, fan_t* f, numbers_t* n) {
  fan_open(f, &c->g, (mcq_socket_options_t){.type = MCQ_SUB});
  fan_deaf(f);
  f->p.on_message = take_number;
  f->p.arg = n;
  follow(f, "");
  fan_join(f, &c->pub);
}

static void gather(crowd_t* c, int backend, mcq_socket_options_t o) {
  memset(&c->quick_got, 0, sizeof c->quick_got);
  memset(&c->slow_got, 0, sizeof c->slow_got);
  stage_open(&c->g, backend, false);
  o.type = MCQ_PUB;
  fan_open(&c->pub, &c->g, o);
  player_bind(&c->pub.p);
  open_listener(c, &c->quick, &c->quick_got);
  open_listener(c, &c->slow, &c->slow_got);
  assert_int_equal(mcq_pause(c->slow.p.s), 0);
}

/* Says all the numbers, each when the quick one has the one before. */
static void publish(crowd_t* c, unsigned count, size_t len) {
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal(say_number(&c->pub, i, len), 0);
    until(&c->g, c->quick_got.count == i + 1);
  }
}

/* What was not dropped arrives. */
static void settle(crowd_t* c, unsigned count) {
  stage_step(&c->g);
  uint64_t dropped = player_stats(&c->pub.p).messages_dropped;
  assert_true(dropped > 0);
  assert_int_equal(c->pub.dropped, dropped);
  assert_true(c->pub.dropped_by.epoch == c->pub.p.peer.epoch);
  assert_int_equal(mcq_resume(c->slow.p.s), 0);
  until(&c->g, c->slow_got.count + dropped == count);
  stage_turns(&c->g, 5);
  assert_int_equal(c->slow_got.count + dropped, count);
  assert_int_equal(c->quick_got.count, count);
  assert_int_equal(player_stats(&c->pub.p).messages_queued, 0);
  assert_int_equal(player_stats(&c->pub.p).messages_dropped, dropped);
  assert_int_equal(c->pub.p.downs, 0);
}

static void the_newest_are_dropped(int backend) {
  static crowd_t c;
  gather(&c, backend, (mcq_socket_options_t){.sndhwm = HWM});
  publish(&c, ROUNDS, PAD);
  settle(&c, ROUNDS);
  for (uint32_t i = 0; i < c.slow_got.count; i++)
    assert_int_equal(c.slow_got.got[i], i);
  mcq_stats_t stats = player_stats(&c.pub.p);
  assert_int_equal(stats.messages_sent, ROUNDS + c.slow_got.count);
  /* It is one of them again. */
  assert_int_equal(say_number(&c.pub, ROUNDS, 1), 0);
  until(&c.g, c.slow_got.got[c.slow_got.count - 1] == ROUNDS);
  stage_close(&c.g);
}

/* The newest are there, up to the mark; what was dropped is one gap. */
static void the_oldest_are_dropped(int backend) {
  static crowd_t c;
  gather(
      &c, backend,
      (mcq_socket_options_t){.sndhwm = HWM, .slow_peer = MCQ_SLOW_DROP_OLDEST});
  publish(&c, ROUNDS, PAD);
  settle(&c, ROUNDS);
  unsigned gaps = 0;
  unsigned last = c.slow_got.count - 1;
  for (uint32_t i = 1; i <= last; i++)
    gaps += c.slow_got.got[i] != c.slow_got.got[i - 1] + 1;
  assert_int_equal(gaps, 1);
  assert_int_equal(c.slow_got.got[last], ROUNDS - 1);
  /* One of those that count may be on its way. */
  assert_int_equal(c.slow_got.got[last - (HWM - 2)], ROUNDS - 1 - (HWM - 2));
  stage_close(&c.g);
}

/* By bytes one large message takes the place of many small ones. */
static void as_many_as_it_takes(int backend) {
  static crowd_t c;
  gather(&c, backend,
         (mcq_socket_options_t){.sndhwm = 1000,
                                .sndhwm_bytes = 400000,
                                .slow_peer = MCQ_SLOW_DROP_OLDEST});
  for (uint32_t i = 0; i < ROUNDS; i++) {
    size_t len = i % 10 == 9 ? 390000 : i % 3 == 0 ? 5000 : 20;
    assert_int_equal(say_number(&c.pub, i, len), 0);
    until(&c.g, c.quick_got.count == i + 1);
    assert_true(player_stats(&c.pub.p).bytes_queued < 800000 + 1000);
  }
  settle(&c, ROUNDS);
  assert_int_equal(c.slow_got.got[c.slow_got.count - 1], ROUNDS - 1);
  stage_close(&c.g);
}

/* Sizes that alternate leave no trace of what was shed. */
static void shedding_for_long_costs_no_memory(int backend) {
  static crowd_t c;
  gather(
      &c, backend,
      (mcq_socket_options_t){.sndhwm = HWM, .slow_peer = MCQ_SLOW_DROP_OLDEST});
  for (uint32_t i = 0; i < 200; i++)
    assert_int_equal(say_number(&c.pub, i, PAD), 0);
  fan_deaf(&c.quick);
  c.slow.p.on_message = fan_take;
  stage_turns(&c.g, 20);
  size_t bytes = 0;
  for (uint32_t i = 0; i < 60000; i++) {
    assert_int_equal(say_number(&c.pub, i, i % 7), 0);
    if (i % 64 == 0) stage_turns(&c.g, 1);
    if (i == 20000) bytes = c.g.memory.bytes;
  }
  assert_true(c.g.memory.bytes < bytes + 65536);
  stage_close(&c.g);
}

static void the_slow_one_is_cut_off(int backend) {
  static crowd_t c;
  gather(
      &c, backend,
      (mcq_socket_options_t){.sndhwm = HWM, .slow_peer = MCQ_SLOW_DISCONNECT});
  mcq_peer_t slow = c.pub.p.peer;
  unsigned said = 0;
  while (c.pub.p.downs == 0) {
    assert_int_equal(say_number(&c.pub, said++, PAD), 0);
    until(&c.g, c.quick_got.count == said);
  }
  assert_int_equal(c.pub.p.reason, MCQ_ESLOW);
  assert_int_equal(c.pub.dropped, 1);
  assert_true(c.pub.dropped_by.epoch == slow.epoch);
  mcq_stats_t stats = player_stats(&c.pub.p);
  assert_int_equal(stats.messages_dropped, 1);
  assert_true(c.pub.p.lost >= HWM - 1 && c.pub.p.lost <= HWM);
  assert_int_equal(stats.messages_lost, c.pub.p.lost);
  assert_int_equal(stats.subscriptions, 1);
  assert_int_equal(mcq_resume(c.slow.p.s), 0); /* finds out, comes again */
  until(&c.g, c.slow.p.ups == 2 && c.slow.subscribed == 2);
  assert_int_equal(say_number(&c.pub, said, 1), 0);
  until(&c.g,
        c.slow_got.count > 0 && c.slow_got.got[c.slow_got.count - 1] == said);
  until(&c.g, c.quick_got.count == said + 1);
  stage_close(&c.g);
}

/* What is put together in vain leaves no gap before what comes next. */
static void no_gap_in_vain(crowd_t* c, uint32_t said) {
  const mcq__window_t* board = &c->pub.p.s->board.window;
  assert_int_equal(say_number(&c->pub, said, 100), MCQ_EAGAIN);
  size_t room = mcq__window_room(board);
  assert_true(room > 0);
  assert_int_equal(say_number(&c->pub, said, 100), MCQ_EAGAIN);
  assert_int_equal(mcq__window_room(board), room);
}

static void nobody_gets_what_one_cannot_take(int backend) {
  static crowd_t c;
  gather(&c, backend,
         (mcq_socket_options_t){.sndhwm = HWM, .slow_peer = MCQ_SLOW_REFUSE});
  uint32_t said = 0;
  int rc;
  while ((rc = say_number(&c.pub, said, PAD)) == 0) {
    said++;
    until(&c.g, c.quick_got.count == said);
  }
  assert_int_equal(rc, MCQ_EAGAIN);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(say_number(&c.pub, said, PAD), MCQ_EAGAIN);
    stage_step(&c.g);
  }
  assert_int_equal(c.quick_got.count, said);
  assert_int_equal(player_stats(&c.pub.p).sends_refused, 11);
  no_gap_in_vain(&c, said);
  assert_int_equal(c.pub.p.drains, 0);
  assert_int_equal(mcq_resume(c.slow.p.s), 0);
  until(&c.g, c.pub.p.drains == 1); /* once, however often it was refused */
  while (said < ROUNDS) {
    if (say_number(&c.pub, said, PAD) == 0) said++;
    stage_step(&c.g);
  }
  until(&c.g, c.quick_got.count == ROUNDS && c.slow_got.count == ROUNDS);
  assert_int_equal(player_stats(&c.pub.p).messages_dropped, 0);
  assert_int_equal(c.pub.dropped, 0);
  stage_close(&c.g);
}

/* One that is leaving holds nobody up. */
static void nor_does_one_that_goes(int backend) {
  static crowd_t c;
  gather(&c, backend,
         (mcq_socket_options_t){
             .sndhwm = HWM, .linger_ms = 60000, .slow_peer = MCQ_SLOW_REFUSE});
  uint32_t said = 0;
  while (say_number(&c.pub, said, PAD) == 0) {
    said++;
    until(&c.g, c.quick_got.count == said);
  }
  assert_int_equal(mcq_peer_close(c.pub.p.s, c.pub.p.peer), 0);
  assert_int_equal(say_number(&c.pub, said++, PAD), 0);
  until(&c.g, c.quick_got.count == said);
  assert_int_equal(c.pub.p.downs, 0);
  assert_int_equal(mcq_resume(c.slow.p.s), 0);
  until(&c.g, c.slow_got.count == said - 1);
  stage_close(&c.g);
}

/* Who was full and is gone: whoever waited for room is told. */
static void room_by_departure(int backend) {
  static crowd_t c;
  gather(&c, backend,
         (mcq_socket_options_t){.sndhwm = HWM,
                                .linger_ms = MCQ_LINGER_NONE,
                                .slow_peer = MCQ_SLOW_REFUSE});
  uint32_t said = 0;
  while (say_number(&c.pub, said, PAD) == 0) {
    said++;
    until(&c.g, c.quick_got.count == said);
  }
  assert_int_equal(mcq_peer_close(c.pub.p.s, c.pub.p.peer), 0);
  until(&c.g, c.pub.p.drains == 1);
  assert_int_equal(say_number(&c.pub, said++, PAD), 0);
  until(&c.g, c.quick_got.count == said);
  stage_close(&c.g);
}

/* So many a turn until one that does not read lets no more be said: what was
 * accepted before it got stuck is not taken back then. */
static void play_portions(int backend, unsigned portion) {
  static crowd_t c;
  unsigned said = 0;
  int rc = 0;
  stage_open(&c.g, backend, false);
  fan_open(
      &c.pub, &c.g,
      (mcq_socket_options_t){.type = MCQ_PUB, .slow_peer = MCQ_SLOW_REFUSE});
  player_bind(&c.pub.p);
  for (fan_t* f = &c.quick; f != NULL; f = f == &c.quick ? &c.slow : NULL) {
    fan_open(f, &c.g, (mcq_socket_options_t){.type = MCQ_SUB});
    fan_deaf(f);
    follow(f, "");
    fan_join(f, &c.pub);
  }
  assert_int_equal(mcq_pause(c.slow.p.s), 0);
  while (rc == 0) {
    c.pub.p.g->in_call = true;
    for (unsigned i = 0; i < portion && rc == 0; i++, said += rc == 0)
      rc = mcq_send_bytes(c.pub.p.s, pad, 64);
    c.pub.p.g->in_call = false;
    stage_step(&c.g);
  }
  assert_int_equal(rc, MCQ_EAGAIN);
  assert_int_equal(player_stats(&c.pub.p).messages_dropped, 0);
  assert_int_equal(mcq_resume(c.slow.p.s), 0);
  until(&c.g, c.slow.taken == said && c.quick.taken == said);
  stage_close(&c.g);
}

static void what_was_accepted_is_kept(int backend) {
  for (unsigned portion = 100; portion < 1000; portion += 75)
    play_portions(backend, portion);
}

/* ---- only the newest ----------------------------------------------------- */

/* Small ones, and ones that take several writes, of which the first part is
 * still on its way when newer ones come. */
static void play_conflated(int backend, size_t len) {
  static crowd_t c;
  gather(&c, backend, (mcq_socket_options_t){.flags = MCQ_CONFLATE});
  for (uint32_t i = 0; i < ROUNDS; i++) {
    assert_int_equal(say_number(&c.pub, i, len), 0);
    if (i % 3 != 0) stage_step(&c.g);
    assert_true(player_stats(&c.pub.p).messages_queued <= 4);
  }
  assert_int_equal(mcq_resume(c.slow.p.s), 0);
  until(&c.g, c.slow_got.count > 0 &&
                  c.slow_got.got[c.slow_got.count - 1] == ROUNDS - 1);
  until(&c.g, c.quick_got.got[c.quick_got.count - 1] == ROUNDS - 1);
  mcq_stats_t stats = player_stats(&c.pub.p);
  assert_int_equal(stats.messages_sent, 2 * ROUNDS);
  assert_int_equal(
      stats.messages_dropped + c.slow_got.count + c.quick_got.count,
      2 * ROUNDS);
  if (len >= PAD) assert_true(c.slow_got.count < ROUNDS);
  stage_close(&c.g);
}

static void only_the_newest(int backend) {
  play_conflated(backend, 100);
  play_conflated(backend, PAD);
  play_conflated(backend, 1 << 20);
}

/* ---- one payload for many ------------------------------------------------ */

#define MANY 200

static void expect_frames(raw_t* r, const mcq_frame_t* frames, size_t count) {
  for (size_t i = 0; i < count; i++)
    raw_expect(r, (i + 1 < count) + (frames[i].len > 255 ? 2u : 0u),
               frames[i].data, frames[i].len);
}

/* Looks before anything is written, unless it is so much that the library does
 * not wait with it. */
static void play_shared(int backend, const mcq_frame_t* frames, size_t count,
                        bool as_message) {
  static raw_t subs[MANY];
  stage_t g;
  fan_t pub;
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += frames[i].len;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB});
  player_bind(&pub.p);
  for (unsigned i = 0; i < MANY; i++) {
    raw_open(&subs[i], &g);
    subs[i].buffer = 4096;
    raw_connect(&subs[i], &pub.p);
    raw_hello(&subs[i], 1, "SUB");
    raw_topic(&subs[i], 1, "");
    raw_greeted(&subs[i]);
  }
  until(&g, pub.subscribed == MANY);
  mcq_msg_t* msg = NULL;
  size_t before = g.memory.bytes;
  assert_int_equal(mcq_msg_new(g.ctx, frames, count, &msg), 0);
  size_t own = g.memory.bytes - before;
  assert_int_equal(as_message ? mcq_send_msg(pub.p.s, msg)
                              : mcq_send(pub.p.s, frames, count),
                   0);
  mcq_msg_release(msg);
  size_t queued = g.memory.bytes - before;
  assert_true(queued < own + MANY * 12000);
  if (size < 1 << 19) {
    assert_true(queued >= size);
    assert_int_equal(player_stats(&pub.p).messages_queued, MANY);
  }
  expect_frames(&subs[0], frames, count);
  expect_frames(&subs[MANY - 1], frames, count);
  for (unsigned i = 0; i < MANY; i++) raw_close(&subs[i]);
  assert_int_equal(player_stats(&pub.p).bytes_sent, MANY * size);
  stage_close(&g);
}

static void one_payload_for_all(int backend) {
  mcq_frame_t frames[5] = {
      {"topic", 5}, {pad, 200000}, {"", 0}, {pad, 100000}, {pad, 180000}};
  mcq_frame_t large = {pad, 1 << 20};
  mcq_frame_t middle = {pad, 500000};
  play_shared(backend, &middle, 1, false);
  play_shared(backend, frames, 5, false);
  play_shared(backend, frames, 5, true);
  play_shared(backend, &large, 1, false);
}

/* What came in a shared buffer and goes on to many is copied out once. */
static void forward(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  fan_t* out = (fan_t*) p->arg;
  stage_t* g = p->g;
  size_t before = g->memory.bytes;
  assert_int_equal(mcq_send_msg(out->p.s, msg), 0);
  assert_true(g->memory.bytes - before < 10000 + MANY * 5000);
  out->taken++;
}

static void what_goes_through_is_copied_once(int backend) {
  static fan_t pub, subs[MANY], pull, push;
  stage_t g;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB});
  fan_open(&pull, &g, (mcq_socket_options_t){.type = MCQ_PULL});
  fan_open(&push, &g, (mcq_socket_options_t){.type = MCQ_PUSH});
  player_bind(&pub.p);
  player_bind(&pull.p);
  player_meet(&push.p, &pull.p);
  fan_deaf(&pull);
  pull.p.on_message = forward;
  pull.p.arg = &pub;
  for (unsigned i = 0; i < MANY; i++) {
    fan_open(&subs[i], &g, (mcq_socket_options_t){.type = MCQ_SUB});
    fan_deaf(&subs[i]);
    follow(&subs[i], "");
    fan_join(&subs[i], &pub);
  }
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(mcq_send_bytes(push.p.s, pad, 10000), 0);
    until(&g, pub.taken == i + 1);
    for (unsigned k = 0; k < MANY; k++) until(&g, subs[k].taken == i + 1);
  }
  stage_close(&g);
}

/* A message that nobody wants is not put together. */
static void unwanted_it_costs_nothing(int backend) {
  static crowd_t c;
  gather(&c, backend, (mcq_socket_options_t){0});
  forsake(&c.quick, "");
  forsake(&c.slow, "");
  until(&c.g, player_stats(&c.pub.p).subscriptions == 0);
  size_t calls = c.g.memory.calls;
  for (uint32_t i = 0; i < 100; i++)
    assert_int_equal(say_number(&c.pub, i, 1 << 20), 0);
  assert_int_equal(c.g.memory.calls, calls);
  stage_close(&c.g);
}

/* ---- all of them --------------------------------------------------------- */

#define SCENE(name) \
  { #name, name }

static const scene_t scenes[] = {
    SCENE(the_newest_are_dropped),    SCENE(the_oldest_are_dropped),
    SCENE(as_many_as_it_takes),       SCENE(shedding_for_long_costs_no_memory),
    SCENE(the_slow_one_is_cut_off),   SCENE(nobody_gets_what_one_cannot_take),
    SCENE(nor_does_one_that_goes),    SCENE(room_by_departure),
    SCENE(what_was_accepted_is_kept), SCENE(only_the_newest),
    SCENE(one_payload_for_all),       SCENE(what_goes_through_is_copied_once),
    SCENE(unwanted_it_costs_nothing),
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
