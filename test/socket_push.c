/* SPDX-License-Identifier: MIT */
/* PUSH and PULL over tcp on every back end: an even share for everybody, no
 * message dropped however full it gets, and what becomes of the messages of a
 * worker that is lost.  Messages carry numbers, so that each can be accounted
 * for. */
#include "support/players.h"

#define WORKERS 7

typedef struct line {
  stage_t g;
  player_t push;
  player_t workers[WORKERS];
  size_t count;
} line_t;

#define PULL ((mcq_socket_options_t){.type = MCQ_PULL})
#define PUSH_AND(...) ((mcq_socket_options_t){.type = MCQ_PUSH, __VA_ARGS__})

static void open_line(line_t* t, int backend, mcq_socket_options_t o) {
  stage_open(&t->g, backend, false);
  t->count = 0;
  player_open(&t->push, &t->g, o);
  player_bind(&t->push);
}

/* `comes`: the worker connects, else it is connected to. */
static player_t* hire(line_t* t, bool comes) {
  player_t* w = &t->workers[t->count++];
  player_open(
      w, &t->g,
      (mcq_socket_options_t){.type = MCQ_PULL, .linger_ms = MCQ_LINGER_NONE});
  if (comes) {
    player_meet(w, &t->push);
  } else {
    player_bind(w);
    player_meet(&t->push, w);
  }
  return w;
}

static int push_number(line_t* t, uint32_t number, size_t size) {
  static uint8_t body[65536];
  mcq_frame_t frames[2] = {{&number, sizeof number}, {body, size}};
  t->g.in_call = true;
  int rc = mcq_send(t->push.s, frames, 2);
  t->g.in_call = false;
  return rc;
}

static uint32_t number_of(const player_t* w, unsigned i) {
  uint32_t number;
  mcq_frame_t f = mcq_msg_frame(w->heard[i], 0);
  assert_int_equal(f.len, sizeof number);
  memcpy(&number, f.data, sizeof number);
  return number;
}

/* ---- shares -------------------------------------------------------------- */

static void even_shares(int backend) {
  static const size_t crowds[] = {1, 3, WORKERS};
  for (size_t c = 0; c < 3; c++) {
    line_t t;
    size_t k = crowds[c];
    uint32_t n = (uint32_t) k * 300;
    open_line(&t, backend, PUSH_AND(.sndhwm = -1));
    for (size_t i = 0; i < k; i++) hire(&t, i % 2 == 0);
    for (uint32_t i = 0; i < n; i++) assert_int_equal(push_number(&t, i, 9), 0);
    for (size_t i = 0; i < k; i++) {
      player_t* w = &t.workers[i];
      until(&t.g, w->count >= 300);
      stage_turns(&t.g, 3);
      assert_int_equal(w->count, 300);
      for (unsigned m = 0; m < 300; m++)
        assert_int_equal(number_of(w, m), m * k + i);
    }
    stage_close(&t.g);
  }
}

/* A worker that comes in between has its share of the rest. */
static void shares_of_a_newcomer(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(.sndhwm = -1));
  hire(&t, true);
  hire(&t, true);
  for (uint32_t i = 0; i < 101; i++) assert_int_equal(push_number(&t, i, 9), 0);
  hire(&t, true);
  for (uint32_t i = 0; i < 300; i++) assert_int_equal(push_number(&t, i, 9), 0);
  until(&t.g, t.workers[2].count == 100);
  until(&t.g, t.workers[0].count + t.workers[1].count == 301);
  assert_in_range(t.workers[0].count, 150, 151);
  stage_close(&t.g);
}

static void what_they_do_not_do(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(0));
  player_t* w = hire(&t, true);
  mcq_frame_t frame = {"x", 1};
  mcq_peer_t peer;
  mcq_socket_t* s;
  assert_int_equal(say(w, "thanks"), MCQ_ENOTSUP);
  assert_int_equal(say_to(w, w->peer, "thanks"), MCQ_ENOTSUP);
  assert_int_equal(mcq_send_next(w->s, &frame, 1, &peer), MCQ_ENOTSUP);
  assert_int_equal(mcq_send_text(w->s, "thanks"), MCQ_ENOTSUP);
  assert_int_equal(mcq_send_next(t.push.s, &frame, 1, &peer), 0);
  assert_true(peer.epoch == t.push.peer.epoch);
  assert_int_equal(say_to(&t.push, t.push.peer, "a||b"), 0);
  until(&t.g, w->count == 2);
  assert_heard(w, 0, "x");
  assert_heard(w, 1, "a||b");
  static const mcq_socket_options_t bad[] = {
      {.type = MCQ_PULL, .flags = MCQ_REQUEUE},
      {.type = MCQ_PUSH, .flags = MCQ_REQ_RELAXED},
  };
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(mcq_socket_new(t.g.ctx, &bad[i], &s), MCQ_EINVAL);
  stage_close(&t.g);
}

/* ---- full ---------------------------------------------------------------- */

static void nobody_there(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(0));
  assert_int_equal(push_number(&t, 0, 9), MCQ_EAGAIN);
  assert_int_equal(push_number(&t, 0, 9), MCQ_EAGAIN);
  player_t* w = hire(&t, true);
  assert_string_equal(t.push.diary, "uo");
  assert_int_equal(push_number(&t, 0, 9), 0);
  until(&t.g, w->count == 1);
  stage_close(&t.g);
}

#define MANY 4000

typedef struct feed {
  line_t* t;
  uint32_t next;
  bool full;
} feed_t;

static void feed_on(player_t* p) {
  feed_t* f = (feed_t*) p->arg;
  int rc = 0;
  while (f->next < MANY) {
    rc = push_number(f->t, f->next, 10000);
    if (rc != 0) break;
    f->next++;
  }
  if (f->next == MANY) return;
  assert_int_equal(rc, MCQ_EAGAIN);
  f->full = true;
}

/* Each number once, over all workers. */
static void each_once(const line_t* t, uint32_t n) {
  uint8_t* seen = (uint8_t*) calloc(n, 1);
  for (size_t k = 0; k < t->count; k++)
    for (unsigned i = 0; i < t->workers[k].count; i++) {
      uint32_t number = number_of(&t->workers[k], i);
      assert_true(number < n);
      assert_int_equal(seen[number]++, 0);
    }
  for (uint32_t i = 0; i < n; i++) assert_int_equal(seen[i], 1);
  free(seen);
}

static void nothing_is_dropped(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(.sndhwm = 10));
  feed_t f = {.t = &t};
  t.push.arg = &f;
  t.push.on_drain = feed_on;
  for (int i = 0; i < 3; i++)
    assert_int_equal(mcq_pause(hire(&t, i > 0)->s), 0);
  feed_on(&t.push);
  assert_true(f.full);
  stage_turns(&t.g, 50); /* what the kernel takes it has taken */
  assert_true(f.next < MANY);
  assert_int_equal(player_stats(&t.push).messages_lost, 0);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(mcq_resume(t.workers[i].s), 0);
    stage_turns(&t.g, 20);
  }
  until(&t.g,
        t.workers[0].count + t.workers[1].count + t.workers[2].count == MANY);
  each_once(&t, MANY);
  mcq_stats_t stats = player_stats(&t.push);
  assert_int_equal(stats.messages_sent, MANY);
  assert_int_equal(stats.messages_lost, 0);
  assert_true(t.push.drains >= 1);
  assert_int_equal(stats.sends_refused, t.push.drains);
  stage_close(&t.g);
}

/* A worker that does not work is passed over; the others are not held up. */
static void the_idle_one_is_passed_over(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(.sndhwm = 10));
  player_t* idle = hire(&t, true);
  player_t* busy = hire(&t, true);
  assert_int_equal(mcq_pause(idle->s), 0);
  for (uint32_t i = 0; i < MANY; i++)
    until(&t.g, push_number(&t, i, 10000) == 0);
  until(&t.g, busy->count >= MANY / 2);
  assert_int_equal(mcq_resume(idle->s), 0);
  until(&t.g, busy->count + idle->count == MANY);
  each_once(&t, MANY);
  assert_true(busy->count > idle->count);
  stage_close(&t.g);
}

/* ---- only the newest ----------------------------------------------------- */

/* Of what waits for a worker; the others have nothing to do with that. */
static void conflate(int backend, int type, int mate) {
  enum { ALL = 2000 };
  line_t t;
  stage_open(&t.g, backend, false);
  player_open(&t.push, &t.g,
              (mcq_socket_options_t){.type = type, .flags = MCQ_CONFLATE});
  player_bind(&t.push);
  t.count = 2;
  for (size_t i = 0; i < 2; i++) {
    player_open(&t.workers[i], &t.g, (mcq_socket_options_t){.type = mate});
    player_meet(&t.workers[i], &t.push);
  }
  assert_int_equal(mcq_pause(t.workers[0].s), 0);
  for (uint32_t i = 0; i < ALL; i++) {
    assert_int_equal(push_number(&t, i, 60000), 0);
    until(&t.g, t.workers[1].count == (i + 1) / 2);
    assert_true(player_stats(&t.push).messages_queued <= 2);
  }
  for (unsigned i = 0; i < ALL / 2; i++)
    assert_int_equal(number_of(&t.workers[1], i), 2 * i + 1);
  assert_int_equal(mcq_resume(t.workers[0].s), 0);
  until(&t.g, t.workers[0].count > 0 &&
                  number_of(&t.workers[0], t.workers[0].count - 1) == ALL - 2);
  mcq_stats_t stats = player_stats(&t.push);
  assert_in_range(t.workers[0].count, 1, ALL / 2 - 100);
  assert_int_equal(stats.messages_replaced + t.workers[0].count, ALL / 2);
  assert_int_equal(stats.messages_dropped, stats.messages_replaced);
  stage_close(&t.g);
}

static void only_the_newest(int backend) {
  conflate(backend, MCQ_PUSH, MCQ_PULL);
  conflate(backend, MCQ_DEALER, MCQ_DEALER);
}

/* ---- PULL hears all of them ---------------------------------------------- */

static void all_are_heard(int backend) {
  stage_t g;
  player_t pull;
  player_t pushes[4];
  enum { EACH = 1000, TURN = 16 };
  stage_open(&g, backend, false);
  player_open(&pull, &g,
              (mcq_socket_options_t){.type = MCQ_PULL, .turn_messages = TURN});
  player_bind(&pull);
  for (int i = 0; i < 4; i++) {
    player_open(&pushes[i], &g, PUSH_AND(.sndhwm = -1));
    player_meet(&pushes[i], &pull);
  }
  assert_int_equal(mcq_pause(pull.s), 0);
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < EACH; k++)
      assert_int_equal(say(&pushes[i], i == 0 ? "0" : i == 1 ? "1" : "2"), 0);
  /* A tick each, so that all of it arrives. */
  for (int i = 0; i < 20; i++) stage_step(&g);
  assert_int_equal(pull.count, 0);
  assert_int_equal(mcq_resume(pull.s), 0);
  until(&g, pull.count == 4 * EACH);
  /* As long as all have something, nobody is far ahead. */
  unsigned had[4] = {0};
  uint64_t epochs[4] = {0};
  for (unsigned i = 0; i < pull.count; i++) {
    int who = 0;
    while (epochs[who] != 0 && epochs[who] != pull.from[i].epoch) who++;
    epochs[who] = pull.from[i].epoch;
    had[who]++;
    unsigned least = EACH;
    for (int k = 0; k < 4; k++)
      if (had[k] < least) least = had[k];
    assert_true(had[who] - least <= 4 * TURN);
  }
  assert_int_equal(had[3], EACH);
  stage_close(&g);
}

/* What a PULL has no business to say: a DEALER cannot pose as one, so a PUSH
 * never hears anything; one that tries is refused. */
static void only_pulls_are_served(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(0));
  player_t dealer;
  player_open(&dealer, &t.g, (mcq_socket_options_t){.type = MCQ_DEALER});
  player_connect(&dealer, &t.push);
  until(&t.g, player_stats(&t.push).handshakes_failed == 1);
  assert_int_equal(t.push.ups, 0);
  stage_close(&t.g);
}

/* ---- losses -------------------------------------------------------------- */

/* Two accepted workers; the first does not work and gets a queue.  Returns how
 * many were pushed in all, alternately. */
static uint32_t heap_up(line_t* t) {
  player_t* idle = hire(t, true);
  hire(t, true);
  assert_int_equal(mcq_pause(idle->s), 0);
  uint32_t n = 0;
  while (n < 3000) {
    until(&t->g, push_number(t, n, 10000) == 0);
    n++;
    if (n % 10 == 0) stage_turns(&t->g, 2);
  }
  return n;
}

/* Those of the first worker that got somewhere else: a tail of what it was
 * given, in order, nothing twice. */
static uint32_t saved(const line_t* t, uint32_t n) {
  const player_t* w = &t->workers[1];
  uint32_t even = n;
  uint32_t odd = 1;
  uint32_t found = 0;
  for (unsigned i = 0; i < w->count; i++) {
    uint32_t number = number_of(w, i);
    if (number % 2 == 1) {
      assert_int_equal(number, odd);
      odd += 2;
      continue;
    }
    if (even != n) assert_int_equal(number, even + 2);
    even = number;
    found++;
  }
  assert_int_equal(odd, n + 1);
  if (found > 0) assert_int_equal(even, n - 2);
  return found;
}

static void lose_one(int backend, int flags) {
  line_t t;
  open_line(&t, backend,
            PUSH_AND(.sndhwm = -1, .sndhwm_bytes = -1, .flags = flags));
  uint32_t n = heap_up(&t);
  player_t* idle = &t.workers[0];
  player_t* busy = &t.workers[1];
  until(&t.g, busy->count == n / 2);
  stage_turns(&t.g, 10);
  mcq_stats_t before = player_stats(&t.push);
  assert_true(before.messages_queued > 100);
  player_close(idle);
  until(&t.g, t.push.downs == 1);
  mcq_stats_t after = player_stats(&t.push);
  uint64_t requeued = after.messages_requeued;
  assert_int_equal(after.messages_lost, t.push.lost);
  /* What was queued is accounted for, and so is what the kernel had been given
   * and did not take: less than one write. */
  uint64_t known = requeued + t.push.lost;
  assert_in_range(known, before.messages_queued - 1,
                  before.messages_queued + 60);
  assert_in_range(known + t.push.unsure, before.messages_queued,
                  before.messages_queued + 60);
  assert_int_equal(after.messages_sent, n);
  if (flags != 0) {
    assert_int_equal(t.push.lost, 0);
    until(&t.g, busy->count == n / 2 + requeued);
  } else {
    assert_int_equal(requeued, 0);
    stage_turns(&t.g, 20);
  }
  assert_int_equal(saved(&t, n), requeued);
  assert_int_equal(player_stats(&t.push).messages_queued, 0);
  stage_close(&t.g);
}

static void lost_with_its_worker(int backend) {
  lose_one(backend, 0);
}

static void saved_from_a_lost_worker(int backend) {
  lose_one(backend, MCQ_REQUEUE);
}

/* The others have room for some of it. */
static void saved_in_part(int backend) {
  line_t t;
  open_line(&t, backend,
            PUSH_AND(.sndhwm = 300, .sndhwm_bytes = -1, .flags = MCQ_REQUEUE));
  player_t* first = hire(&t, true);
  player_t* second = hire(&t, true);
  assert_int_equal(mcq_pause(first->s), 0);
  assert_int_equal(mcq_pause(second->s), 0);
  uint32_t n = 0;
  for (int idle = 0; idle < 50; idle++)
    for (stage_turns(&t.g, 1); push_number(&t, n, 10000) == 0; idle = 0) n++;
  player_close(first);
  until(&t.g, t.push.downs == 1);
  uint64_t requeued = player_stats(&t.push).messages_requeued;
  assert_true(t.push.lost > 0);
  assert_true(requeued + t.push.lost + t.push.unsure >= 300);
  assert_int_equal(mcq_resume(second->s), 0);
  until(&t.g, player_stats(&t.push).messages_queued == 0);
  stage_turns(&t.g, 50);
  /* All but what the kernel had taken for the first one. */
  assert_true(second->count + requeued + t.push.lost >= n / 2);
  uint32_t own = second->count - (uint32_t) requeued;
  assert_in_range(n - own, requeued + t.push.lost + t.push.unsure, n);
  stage_close(&t.g);
}

/* A worker that we connect to keeps its queue. */
static void kept_for_a_worker_that_comes_back(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(.sndhwm = -1, .sndhwm_bytes = -1));
  player_t* w = hire(&t, false);
  enum { ALL = 2000 };
  assert_int_equal(mcq_pause(w->s), 0);
  for (uint32_t i = 0; i < ALL; i++) {
    assert_int_equal(push_number(&t, i, 10000), 0);
    if (i % 10 == 0) stage_turns(&t.g, 2);
  }
  stage_turns(&t.g, 10);
  mcq_stats_t before = player_stats(&t.push);
  assert_true(before.messages_queued > 100);
  assert_int_equal(mcq_peer_close(w->s, w->peer), 0);
  until(&t.g, t.push.ups == 2);
  assert_int_equal(mcq_resume(w->s), 0);
  until(&t.g, w->count > 0 && number_of(w, w->count - 1) == ALL - 1);
  for (unsigned i = 0; i < w->count; i++)
    assert_int_equal(number_of(w, i), ALL - w->count + i);
  assert_true(w->count + t.push.unsure >= before.messages_queued);
  mcq_stats_t after = player_stats(&t.push);
  assert_int_equal(t.push.lost + after.messages_lost, 0);
  assert_int_equal(after.messages_requeued, 0);
  stage_close(&t.g);
}

/* An endpoint that gives up is no place to put work. */
static void refused_for_good(int backend) {
  line_t t;
  open_line(&t, backend, PUSH_AND(0));
  player_t router;
  player_open(&router, &t.g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  player_bind(&router);
  player_t* w = hire(&t, true);
  player_connect(&t.push, &router);
  until(&t.g, player_stats(&t.push).handshakes_failed == 1);
  stage_turns(&t.g, 20);
  for (uint32_t i = 0; i < 100; i++) assert_int_equal(push_number(&t, i, 1), 0);
  until(&t.g, w->count == 100);
  stage_close(&t.g);
}

/* ---- the table ----------------------------------------------------------- */

static const scene_t scenes[] = {
    {"even shares", even_shares},
    {"shares of a newcomer", shares_of_a_newcomer},
    {"what they do not do", what_they_do_not_do},
    {"nobody there", nobody_there},
    {"nothing is dropped", nothing_is_dropped},
    {"the idle one is passed over", the_idle_one_is_passed_over},
    {"only the newest", only_the_newest},
    {"all are heard", all_are_heard},
    {"only PULLs are served", only_pulls_are_served},
    {"lost with its worker", lost_with_its_worker},
    {"saved from a lost worker", saved_from_a_lost_worker},
    {"saved in part", saved_in_part},
    {"kept for a worker that comes back", kept_for_a_worker_that_comes_back},
    {"refused for good", refused_for_good},
};
#define SCENES (sizeof scenes / sizeof *scenes)

static void over_uv(void** state) {
  (void) state;
  play_scenes(scenes, SCENES, MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (!backend_is_here(MCQ_BACKEND_URING)) skip();
  play_scenes(scenes, SCENES, MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
