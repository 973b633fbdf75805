/* SPDX-License-Identifier: MIT */
/* PAIR over tcp on every back end: one peer and no other, the next one when
 * that has left, and a queue that outlives a connection. */
#include "support/players.h"

#define PAIR_AND(...) ((mcq_socket_options_t){.type = MCQ_PAIR, __VA_ARGS__})

static void heard(player_t* p, unsigned count) {
  until(p->g, p->count >= count);
  stage_turns(p->g, 10); /* what else would come would come now */
  assert_int_equal(p->count, count);
}

typedef struct told {
  unsigned failed;
  int code;
} told_t;

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  told_t* t = (told_t*) player_of(s)->arg;
  if (e->kind != MCQ_EVENT_HANDSHAKE_FAILED) return;
  t->failed++;
  t->code = e->code;
}

static void converse(player_t* a, player_t* b) {
  unsigned at_a = a->count;
  unsigned at_b = b->count;
  assert_int_equal(say(a, "how||do"), 0);
  assert_int_equal(say(b, ""), 0);
  heard(a, at_a + 1);
  heard(b, at_b + 1);
  assert_heard(a, at_a, "");
  assert_heard(b, at_b, "how||do");
}

/* Several wait at the door of one that is occupied; nothing of what is said
 * goes to them. */
static void the_next_when_the_first_has_left(int backend) {
  enum { WAITING = 3 };
  stage_t g;
  player_t house, first, next[WAITING];
  told_t here = {0}, there[WAITING] = {{0}};
  stage_open(&g, backend, false);
  player_open(&house, &g, PAIR_AND(.on_event = on_event));
  player_open(&first, &g, PAIR_AND(0));
  house.arg = &here;
  player_bind(&house);
  player_meet(&first, &house);
  for (int i = 0; i < WAITING; i++) {
    player_open(&next[i], &g, PAIR_AND(.on_event = on_event));
    next[i].arg = &there[i];
    player_connect(&next[i], &house);
    until(&g, there[i].failed > 1 && here.failed > 1);
    assert_int_equal(there[i].code, MCQ_ENOTNOW);
    assert_int_equal(here.code, MCQ_EPAIRED);
    assert_int_equal(next[i].ups, 0);
  }
  converse(&house, &first);
  assert_string_equal(house.diary, "um");
  player_close(&first);
  until(&g, house.ups == 2);
  stage_turns(&g, 20);
  unsigned in = WAITING;
  for (unsigned i = 0; i < WAITING; i++)
    if (next[i].ups == 1) in = i;
  assert_true(in < WAITING);
  assert_int_equal(next[0].ups + next[1].ups + next[2].ups, 1);
  converse(&house, &next[in]);
  assert_int_equal(first.count, 1);
  stage_close(&g);
}

/* Nobody there is nobody with room; a peer brings some. */
static void nobody_there(int backend) {
  stage_t g;
  player_t house, guest;
  stage_open(&g, backend, false);
  player_open(&house, &g, PAIR_AND(0));
  player_open(&guest, &g, PAIR_AND(0));
  player_bind(&house);
  assert_int_equal(say(&house, "hello"), MCQ_EAGAIN);
  player_meet(&guest, &house);
  assert_string_equal(house.diary, "uo");
  converse(&house, &guest);
  stage_close(&g);
}

static void say_it(player_t* p, mcq_peer_t peer) {
  (void) peer;
  assert_int_equal(say(p, "in between"), 0);
}

/* Who connects keeps what waits, in order, through a break; who was connected
 * to has nobody to keep it for. */
static void a_queue_outlives_a_break(int backend) {
  stage_t g;
  player_t house, guest;
  stage_open(&g, backend, false);
  player_open(&house, &g, PAIR_AND(0));
  player_open(&guest, &g, PAIR_AND(.sndhwm = 3));
  player_bind(&house);
  player_connect(&guest, &house);
  assert_int_equal(say(&guest, "1"), 0); /* nobody was reached yet */
  assert_int_equal(say(&guest, "2"), 0);
  assert_int_equal(say(&guest, "3"), 0);
  assert_int_equal(say(&guest, "4"), MCQ_EAGAIN);
  heard(&house, 3);
  guest.on_down = say_it;
  assert_int_equal(mcq_peer_close(house.s, house.peer), 0);
  heard(&house, 4);
  assert_heard(&house, 0, "1");
  assert_heard(&house, 2, "3");
  assert_heard(&house, 3, "in between");
  assert_int_equal(guest.ups, 2);
  mcq_stats_t stats = player_stats(&guest);
  assert_int_equal(stats.messages_lost + stats.messages_unsure, 0);
  guest.on_down = NULL;
  player_close(&guest);
  until(&g, house.downs == 2);
  assert_int_equal(say(&house, "to nobody"), MCQ_EAGAIN);
  stage_close(&g);
}

static const scene_t scenes[] = {
    {"the next when the first has left", the_next_when_the_first_has_left},
    {"nobody there", nobody_there},
    {"a queue outlives a break", a_queue_outlives_a_break},
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
