/* SPDX-License-Identifier: MIT */
/* Messages for many while one of them leaves: to whom each was sent, and what
 * of it was lost.  A peer that the user closed gets nothing that he sends
 * afterwards; what he sent before is delivered or reported.  Over real tcp on
 * every back end. */
#include "support/topics.h"

/* A publisher of which two take everything. */
typedef struct pair {
  stage_t g;
  fan_t pub, one, other;
} pair_t;

static void gather(pair_t* c, int backend, mcq_socket_options_t o) {
  stage_open(&c->g, backend, false);
  o.type = MCQ_PUB;
  o.linger_ms = MCQ_LINGER_NONE;
  fan_open(&c->pub, &c->g, o);
  player_bind(&c->pub.p);
  fan_t* both[2] = {&c->one, &c->other};
  for (int i = 0; i < 2; i++) {
    fan_open(both[i], &c->g,
             (mcq_socket_options_t){.type = MCQ_SUB, .reconnect_ms = -1});
    follow(both[i], "");
    fan_join(both[i], &c->pub);
  }
}

/* ---- after a farewell ---------------------------------------------------- */

/* With and without messages that it had before. */
static void play_farewell(int backend, int slow_peer, unsigned before) {
  static pair_t c;
  gather(&c, backend, (mcq_socket_options_t){.slow_peer = slow_peer});
  for (unsigned i = 0; i < before; i++)
    assert_int_equal(say(&c.pub.p, "before"), 0);
  until(&c.g, c.one.p.count == before && c.other.p.count == before);
  until(&c.g, player_stats(&c.pub.p).messages_queued == 0);
  assert_int_equal(mcq_peer_close(c.pub.p.s, c.pub.p.peer), 0);
  for (unsigned i = 0; i < 3; i++) assert_int_equal(say(&c.pub.p, "after"), 0);
  until(&c.g, c.pub.p.downs == 1 && c.one.p.count == before + 3);
  until(&c.g, c.other.p.downs == 1);
  assert_int_equal(c.other.p.count, before);
  mcq_stats_t stats = player_stats(&c.pub.p);
  assert_int_equal(stats.messages_sent, 2 * before + 3);
  assert_int_equal(stats.messages_lost, 0);
  assert_int_equal(c.pub.p.lost + c.pub.p.unsure, 0);
  assert_int_equal(c.pub.dropped, 0);
  stage_close(&c.g);
}

static void what_follows_a_farewell_is_for_others(int backend) {
  static const int policies[] = {MCQ_SLOW_DROP_NEWEST, MCQ_SLOW_DROP_OLDEST,
                                 MCQ_SLOW_DISCONNECT, MCQ_SLOW_REFUSE};
  for (int i = 0; i < 4; i++) {
    play_farewell(backend, policies[i], 0);
    play_farewell(backend, policies[i], 5);
  }
}

/* ---- before its end ------------------------------------------------------ */

/* Answers the first it hears; what its peer said with it is one too many. */
static void answer_many(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) msg;
  (void) peer;
  if (p->count == 3) assert_int_equal(say(p, "all of you"), 0);
}

static void grant(player_t* p, mcq_peer_t peer) {
  assert_int_equal(mcq_peer_subscribe(p->s, peer, "", 0), 0);
}

static void what_came_before_its_end_is_counted(int backend) {
  stage_t g;
  fan_t pub, one;
  raw_t bad;
  stage_open(&g, backend, false);
  fan_open(&pub, &g,
           (mcq_socket_options_t){.type = MCQ_XPUB,
                                  .flags = MCQ_XPUB_MANUAL,
                                  .max_subscriptions = 2,
                                  .slow_peer = MCQ_SLOW_REFUSE});
  pub.p.on_up = grant;
  pub.p.on_message = answer_many;
  player_bind(&pub.p);
  fan_open(&one, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  follow(&one, "one");
  follow(&one, "");
  fan_join(&one, &pub);
  until(&g, pub.p.count == 2);
  raw_open(&bad, &g);
  raw_connect(&bad, &pub.p);
  raw_hello(&bad, 1, "SUB");
  raw_greeted(&bad);
  until(&g, pub.p.ups == 2);
  rig_bytes_t b = {0};
  for (char topic = 'a'; topic <= 'c'; topic++)
    rig_command(&b, "SUBSCRIBE", &topic, 1);
  raw_say(&bad, &b);
  until(&g, pub.p.downs == 1 && one.p.count == 1);
  raw_close(&bad);
  assert_int_equal(pub.p.reason, MCQ_ELIMIT);
  mcq_stats_t stats = player_stats(&pub.p);
  assert_int_equal(stats.messages_sent, 2);
  assert_int_equal(pub.p.lost, 1);
  assert_int_equal(stats.messages_lost, 1);
  stage_close(&g);
}

/* ---- after its end ------------------------------------------------------- */

/* Its handle is stale: this is for whoever is there when it is connected
 * again. */
static void say_more(player_t* p, mcq_peer_t peer) {
  (void) peer;
  if (p->downs == 1)
    for (int i = 0; i < 3; i++) assert_int_equal(say(p, "again"), 0);
}

static void what_follows_its_end_is_for_the_next(int backend) {
  static fan_t pubs[2], sub;
  stage_t g;
  stage_open(&g, backend, false);
  for (int i = 0; i < 2; i++) {
    fan_open(&pubs[i], &g, (mcq_socket_options_t){.type = MCQ_XPUB});
    player_bind(&pubs[i].p);
  }
  fan_open(
      &sub, &g,
      (mcq_socket_options_t){.type = MCQ_XSUB, .linger_ms = MCQ_LINGER_NONE});
  sub.p.on_down = say_more;
  player_meet(&sub.p, &pubs[0].p);
  player_meet(&sub.p, &pubs[1].p);
  assert_int_equal(mcq_peer_close(sub.p.s, sub.p.peer), 0);
  assert_int_equal(say(&sub.p, "others"), 0);
  until(&g, pubs[0].p.count == 4 && pubs[1].p.count == 3);
  assert_heard(&pubs[0].p, 0, "others");
  assert_heard(&pubs[1].p, 0, "again");
  assert_int_equal(sub.p.ups, 3);
  assert_int_equal(player_stats(&sub.p).messages_sent, 7);
  assert_int_equal(sub.p.lost, 0);
  stage_close(&g);
}

/* ---- a loop that was away ------------------------------------------------ */

/* The user's callback takes longer than linger; that begins with the close. */
static void patience_begins_with_the_close(int backend) {
  static pair_t c;
  stage_open(&c.g, backend, false);
  fan_open(&c.pub, &c.g,
           (mcq_socket_options_t){.type = MCQ_PUB, .linger_ms = 500});
  player_bind(&c.pub.p);
  fan_open(&c.one, &c.g,
           (mcq_socket_options_t){.type = MCQ_SUB, .reconnect_ms = -1});
  follow(&c.one, "");
  fan_join(&c.one, &c.pub);
  uint64_t away = uv_hrtime() + 600 * UINT64_C(1000000);
  while (uv_hrtime() < away) continue;
  for (unsigned i = 0; i < 3; i++) assert_int_equal(say(&c.pub.p, "last"), 0);
  player_close(&c.pub.p);
  until(&c.g, c.pub.p.closed);
  assert_int_equal(c.pub.p.lost + c.pub.p.unsure, 0);
  until(&c.g, c.one.p.count == 3);
  stage_close(&c.g);
}

/* ---- all of them --------------------------------------------------------- */

#define SCENE(name) \
  { #name, name }

static const scene_t scenes[] = {
    SCENE(what_follows_a_farewell_is_for_others),
    SCENE(what_came_before_its_end_is_counted),
    SCENE(what_follows_its_end_is_for_the_next),
    SCENE(patience_begins_with_the_close),
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
