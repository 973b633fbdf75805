/* SPDX-License-Identifier: MIT */
/* XPUB and XSUB: subscriptions that are heard and said as messages, and the
 * messages that go the other way, over real tcp on every back end. */
#include "support/topics.h"

static void open_xpub(fan_t* f, stage_t* g, int flags) {
  fan_open(f, g, (mcq_socket_options_t){.type = MCQ_XPUB, .flags = flags});
  player_bind(&f->p);
}

static void open_raw(raw_t* r, stage_t* g, const fan_t* to) {
  raw_open(r, g);
  raw_connect(r, &to->p);
  raw_hello(r, 1, "SUB");
  raw_greeted(r);
}

static void expect_told(fan_t* f, unsigned i, char lead, const char* topic) {
  until(f->p.g, f->p.count > i);
  assert_told(&f->p, i, lead, topic);
}

/* ---- which of them are told ---------------------------------------------- */

/* Two peers with the same wishes: what an XPUB of these flags hears. */
static void play_two(int backend, int flags, const char* const* told) {
  stage_t g;
  fan_t xpub;
  raw_t one, two;
  unsigned count = 0;
  stage_open(&g, backend, false);
  open_xpub(&xpub, &g, flags);
  open_raw(&one, &g, &xpub);
  open_raw(&two, &g, &xpub);
  raw_t* const who[] = {&one, &two, &two, &one, &one, &two, &two, &one};
  static const bool wanted[] = {true,  true,  true,  true,
                                false, false, false, true};
  for (int i = 0; i < 8; i++) {
    raw_command(who[i], wanted[i] ? "SUBSCRIBE" : "CANCEL", "a");
    raw_command(who[i], "SUBSCRIBE", "end");
    raw_command(who[i], "CANCEL", "end");
    until(&g, xpub.unsubscribed > 0 && strcmp(xpub.topic, "end") == 0 &&
                  player_stats(&xpub.p).subscriptions <= 1);
    xpub.topic[0] = '\0';
  }
  for (unsigned i = 0; i < xpub.p.count; i++) {
    if (heard_topic(&xpub.p, i, 1, "end") || heard_topic(&xpub.p, i, 0, "end"))
      continue;
    assert_non_null(told[count]);
    assert_told(&xpub.p, i, told[count][0] == '+' ? 1 : 0, told[count] + 1);
    assert_true(xpub.p.from[i].epoch != 0);
    count++;
  }
  assert_null(told[count]);
  assert_int_equal(player_stats(&xpub.p).messages_received, xpub.p.count);
  raw_close(&one);
  raw_close(&two);
  stage_close(&g);
}

static void first_and_last_only(int backend) {
  static const char* const told[] = {"+a", "-a", "+a", NULL};
  play_two(backend, 0, told);
}

static void verbose_tells_of_each_subscription(int backend) {
  static const char* const told[] = {"+a", "+a", "+a", "+a", "-a", "+a", NULL};
  play_two(backend, MCQ_XPUB_VERBOSE, told);
}

static void verboser_of_each_cancellation_too(int backend) {
  static const char* const told[] = {"+a", "+a", "+a", "+a",
                                     "-a", "-a", "+a", NULL};
  play_two(backend, MCQ_XPUB_VERBOSER, told);
}

/* As before, and here it takes as many cancellations. */
static void counted_it_is_the_last_of_each(int backend) {
  static const char* const told[] = {"+a", NULL};
  static const char* const verbose[] = {"+a", "+a", "+a", "+a", "+a", NULL};
  static const char* const verboser[] = {"+a", "+a", "+a", "+a", "-a",
                                         "-a", "-a", "+a", NULL};
  play_two(backend, MCQ_PUB_COUNT_SUBS, told);
  play_two(backend, MCQ_PUB_COUNT_SUBS | MCQ_XPUB_VERBOSE, verbose);
  play_two(backend, MCQ_PUB_COUNT_SUBS | MCQ_XPUB_VERBOSER, verboser);
}

/* ---- by hand ------------------------------------------------------------- */

static void by_hand_it_is_for_the_user_to_decide(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t raw;
  stage_open(&g, backend, false);
  open_xpub(&xpub, &g, MCQ_XPUB_MANUAL);
  open_raw(&raw, &g, &xpub);
  raw_command(&raw, "SUBSCRIBE", "a");
  raw_topic(&raw, 1, "a");
  expect_told(&xpub, 0, 1, "a");
  expect_told(&xpub, 1, 1, "a");
  assert_int_equal(say(&xpub.p, "a"), 0);
  assert_int_equal(player_stats(&xpub.p).messages_sent, 0);
  mcq_peer_t peer = xpub.p.from[0];
  assert_int_equal(mcq_peer_subscribe(xpub.p.s, peer, "A", 1), 0);
  assert_int_equal(player_stats(&xpub.p).subscriptions, 1);
  assert_int_equal(say(&xpub.p, "a"), 0);
  assert_int_equal(say(&xpub.p, "A"), 0);
  raw_expect(&raw, 0, "A", 1);
  raw_command(&raw, "CANCEL", "a");
  raw_command(&raw, "CANCEL", "never");
  expect_told(&xpub, 2, 0, "a");
  expect_told(&xpub, 3, 0, "never");
  assert_int_equal(say(&xpub.p, "A2"), 0);
  raw_expect(&raw, 0, "A2", 2);
  assert_int_equal(mcq_peer_unsubscribe(xpub.p.s, peer, "A", 1), 0);
  assert_int_equal(say(&xpub.p, "A3"), 0);
  assert_int_equal(player_stats(&xpub.p).messages_sent, 2);
  /* What a peer asked for is cancelled when it goes, not what it got. */
  assert_int_equal(mcq_peer_subscribe(xpub.p.s, peer, "A", 1), 0);
  raw_command(&raw, "SUBSCRIBE", "b");
  raw_command(&raw, "SUBSCRIBE", "b");
  expect_told(&xpub, 5, 1, "b");
  raw_hang_up(&raw);
  expect_told(&xpub, 6, 0, "b");
  stage_turns(&g, 5);
  assert_int_equal(xpub.p.count, 7);
  assert_int_equal(player_stats(&xpub.p).subscriptions, 0);
  raw_close(&raw);
  stage_close(&g);
}

static void by_hand_there_are_limits_too(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(
      &xpub, &g,
      (mcq_socket_options_t){
          .type = MCQ_XPUB, .flags = MCQ_XPUB_MANUAL, .max_subscriptions = 2});
  player_bind(&xpub.p);
  open_raw(&raw, &g, &xpub);
  raw_command(&raw, "SUBSCRIBE", "a");
  raw_command(&raw, "SUBSCRIBE", "b");
  raw_command(&raw, "SUBSCRIBE", "b");
  raw_command(&raw, "CANCEL", "a");
  raw_command(&raw, "SUBSCRIBE", "c");
  expect_told(&xpub, 4, 1, "c");
  raw_command(&raw, "SUBSCRIBE", "d");
  until(&g, xpub.p.downs == 1);
  assert_int_equal(xpub.p.reason, MCQ_ELIMIT);
  until(&g, xpub.p.count == 7); /* two cancellations, and no "d" */
  for (unsigned i = 0; i < 7; i++)
    assert_false(heard_topic(&xpub.p, i, 1, "d"));
  raw_close(&raw);
  stage_close(&g);
}

static void by_hand_bytes_are_counted_too(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&xpub, &g,
           (mcq_socket_options_t){.type = MCQ_XPUB,
                                  .flags = MCQ_XPUB_MANUAL,
                                  .max_subscription_bytes = 5});
  player_bind(&xpub.p);
  open_raw(&raw, &g, &xpub);
  raw_command(&raw, "SUBSCRIBE", "two");
  raw_command(&raw, "SUBSCRIBE", "ab");
  raw_command(&raw, "SUBSCRIBE", "ab");
  raw_command(&raw, "CANCEL", "two");
  raw_command(&raw, "SUBSCRIBE", "abc");
  expect_told(&xpub, 4, 1, "abc");
  raw_command(&raw, "SUBSCRIBE", "d");
  until(&g, xpub.p.downs == 1);
  assert_int_equal(xpub.p.reason, MCQ_ELIMIT);
  raw_close(&raw);
  stage_close(&g);
}

/* ---- peers that leave ---------------------------------------------------- */

static void leavers(int backend, int flags, unsigned told) {
  stage_t g;
  fan_t xpub;
  raw_t one, two;
  stage_open(&g, backend, false);
  open_xpub(&xpub, &g, flags);
  open_raw(&one, &g, &xpub);
  open_raw(&two, &g, &xpub);
  raw_command(&one, "SUBSCRIBE", "both");
  raw_command(&one, "SUBSCRIBE", "mine");
  until(&g, xpub.subscribed == 2);
  raw_command(&two, "SUBSCRIBE", "both");
  until(&g, xpub.subscribed == 3);
  unsigned before = xpub.p.count;
  raw_close(&one);
  until(&g, xpub.p.count == before + told);
  stage_turns(&g, 5);
  assert_int_equal(xpub.p.count, before + told);
  bool mine = false;
  for (unsigned i = before; i < xpub.p.count; i++) {
    mine = mine || heard_topic(&xpub.p, i, 0, "mine");
    assert_true(xpub.p.from[i].epoch == 0);
  }
  assert_true(mine);
  assert_int_equal(player_stats(&xpub.p).subscriptions, 1);
  raw_close(&two);
  expect_told(&xpub, before + told, 0, "both");
  stage_close(&g);
}

static void whoever_leaves_cancels(int backend) {
  leavers(backend, 0, 1);
  leavers(backend, MCQ_XPUB_VERBOSE, 1);
  leavers(backend, MCQ_XPUB_VERBOSER, 2);
}

/* A dialed peer's connection is lost, its seat is not. */
static void a_lost_connection_cancels(int backend) {
  stage_t g;
  fan_t xpub, sub;
  stage_open(&g, backend, false);
  fan_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  player_bind(&sub.p);
  follow(&sub, "a");
  fan_open(&xpub, &g, (mcq_socket_options_t){.type = MCQ_XPUB});
  player_meet(&xpub.p, &sub.p);
  expect_told(&xpub, 0, 1, "a");
  assert_int_equal(mcq_peer_close(sub.p.s, sub.p.peer), 0);
  expect_told(&xpub, 1, 0, "a");
  expect_told(&xpub, 2, 1, "a");
  assert_int_equal(mcq_disconnect(xpub.p.s, xpub.p.dialed), 0);
  expect_told(&xpub, 3, 0, "a");
  stage_close(&g);
}

/* While nothing may be delivered one peer leaves and another comes: its wish
 * is heard after the end of the other's. */
static void paused_they_are_told_later_in_order(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t one, two;
  stage_open(&g, backend, false);
  open_xpub(&xpub, &g, 0);
  open_raw(&one, &g, &xpub);
  raw_command(&one, "SUBSCRIBE", "a");
  expect_told(&xpub, 0, 1, "a");
  mcq_peer_t peer = xpub.p.peer;
  assert_int_equal(mcq_pause(xpub.p.s), 0);
  open_raw(&two, &g, &xpub);
  raw_command(&two, "SUBSCRIBE", "a");
  assert_int_equal(mcq_peer_close(xpub.p.s, peer), 0);
  raw_close(&one);
  until(&g, xpub.p.downs == 1);
  stage_turns(&g, 5);
  assert_int_equal(xpub.p.count, 1);
  assert_int_equal(player_stats(&xpub.p).subscriptions, 0);
  assert_int_equal(mcq_resume(xpub.p.s), 0);
  expect_told(&xpub, 2, 1, "a");
  assert_told(&xpub.p, 1, 0, "a");
  raw_close(&two);
  stage_close(&g);
}

static void pause_at_once(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  assert_int_equal(mcq_pause(p->s), 0);
}

static void pausing_is_exact(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t one;
  stage_open(&g, backend, false);
  open_xpub(&xpub, &g, MCQ_XPUB_VERBOSER);
  xpub.p.on_message = pause_at_once;
  open_raw(&one, &g, &xpub);
  raw_command(&one, "SUBSCRIBE", "a");
  raw_command(&one, "SUBSCRIBE", "b");
  raw_topic(&one, 1, "c");
  for (unsigned i = 1; i <= 6; i++) {
    until(&g, xpub.p.count == i);
    if (i == 3) raw_close(&one);
    if (i == 3) assert_int_equal(mcq_resume(xpub.p.s), 0);
    if (i == 3) until(&g, xpub.p.downs == 1);
    stage_turns(&g, 3);
    if (i != 3) assert_int_equal(xpub.p.count, i);
    if (xpub.p.count == i) assert_int_equal(mcq_resume(xpub.p.s), 0);
  }
  stage_turns(&g, 3);
  assert_int_equal(xpub.p.count, 6);
  stage_close(&g);
}

static void after_a_close_there_are_none(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t one, two;
  stage_open(&g, backend, false);
  open_xpub(&xpub, &g, 0);
  open_raw(&one, &g, &xpub);
  open_raw(&two, &g, &xpub);
  raw_command(&one, "SUBSCRIBE", "a");
  raw_command(&two, "SUBSCRIBE", "b");
  until(&g, xpub.p.count == 2);
  assert_int_equal(mcq_pause(xpub.p.s), 0);
  assert_int_equal(mcq_peer_close(xpub.p.s, xpub.p.from[0]), 0);
  raw_close(&one);
  until(&g, xpub.p.downs == 1); /* owes one */
  player_close(&xpub.p);
  raw_close(&two);
  until(&g, xpub.p.closed);
  assert_int_equal(xpub.p.count, 2);
  stage_close(&g);
}

static void close_it(fan_t* f, const mcq_event_t* e) {
  if (e->kind == MCQ_EVENT_SUBSCRIBED) player_close(&f->p);
}

static void closed_while_it_is_told(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t one;
  stage_open(&g, backend, false);
  open_xpub(&xpub, &g, 0);
  xpub.on_event = close_it;
  open_raw(&one, &g, &xpub);
  raw_command(&one, "SUBSCRIBE", "a");
  raw_command(&one, "SUBSCRIBE", "b");
  until(&g, xpub.p.closed);
  assert_int_equal(xpub.p.count, 1);
  assert_int_equal(xpub.subscribed, 1);
  assert_null(strchr(strchr(xpub.p.diary, 'm') + 1, 'm'));
  raw_close(&one);
  stage_close(&g);
}

/* ---- welcome ------------------------------------------------------------- */

static void welcome_on_every_connection(int backend) {
  stage_t g;
  fan_t xpub, sub, other;
  stage_open(&g, backend, false);
  fan_open(&xpub, &g,
           (mcq_socket_options_t){.type = MCQ_XPUB,
                                  .sndhwm = 1,
                                  .welcome = "welcome",
                                  .welcome_len = 7});
  player_bind(&xpub.p);
  fan_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  follow(&sub, "wel");
  fan_open(&other, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  follow(&other, "x");
  fan_join(&sub, &xpub);
  until(&g, sub.p.count == 1);
  assert_heard(&sub.p, 0, "welcome");
  assert_int_equal(mcq_peer_close(xpub.p.s, xpub.p.peer), 0);
  until(&g, sub.p.count == 2);
  assert_heard(&sub.p, 1, "welcome");
  assert_int_equal(strncmp(sub.p.diary, "umdum", 5), 0);
  fan_join(&other, &xpub); /* filters what it did not ask for */
  assert_int_equal(player_stats(&other.p).messages_discarded, 1);
  assert_int_equal(other.p.count, 0);
  stage_close(&g);
}

/* A queue that filled up while there was no connection makes room for it. */
static void welcome_whatever_waits(int backend) {
  stage_t g;
  fan_t xpub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&xpub, &g,
           (mcq_socket_options_t){.type = MCQ_XPUB,
                                  .flags = MCQ_INVERT_MATCHING,
                                  .sndhwm = 2,
                                  .welcome = "welcome",
                                  .welcome_len = 7});
  raw_open(&raw, &g);
  raw_listen(&raw, &xpub.p);
  assert_int_equal(say(&xpub.p, "one"), 0);
  assert_int_equal(say(&xpub.p, "two"), 0);
  assert_int_equal(say(&xpub.p, "three"), 0);
  until(&g, xpub.dropped == 1);
  raw_accept(&raw);
  raw_hello(&raw, 1, "SUB");
  raw_greeted(&raw);
  const uint8_t* body;
  size_t len;
  unsigned before = 0;
  while (raw_frame(&raw, &body, &len) == 0 && len != 7) before++;
  assert_memory_equal(body, "welcome", 7);
  until(&g, xpub.dropped == 3 - before);
  assert_int_equal(player_stats(&xpub.p).messages_dropped, 3 - before);
  assert_true(before == 1 || before == 2);
  raw_close(&raw);
  stage_close(&g);
}

/* ---- XSUB ---------------------------------------------------------------- */

static void subscriptions_said_as_messages(int backend) {
  stage_t g;
  fan_t xsub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&xsub, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  assert_int_equal(say(&xsub.p, "\1a"), 0);
  assert_int_equal(mcq_send_bytes(xsub.p.s, "\0never", 6), 0);
  assert_int_equal(player_stats(&xsub.p).subscriptions, 1);
  raw_open(&raw, &g);
  raw_listen(&raw, &xsub.p);
  raw_accept(&raw);
  raw_hello(&raw, 1, "XPUB");
  raw_greeted(&raw);
  raw_expect(&raw, 4, "\11SUBSCRIBEa", 11);
  until(&g, xsub.p.ups == 1);
  const uint8_t* body;
  size_t len;
  raw_frame(&raw, &body, &len); /* the ping */
  assert_int_equal(mcq_send_bytes(xsub.p.s, "\1a", 2), 0);
  raw_expect(&raw, 4, "\11SUBSCRIBEa", 11); /* each of them */
  assert_int_equal(mcq_send_bytes(xsub.p.s, "\0a", 2), 0);
  assert_int_equal(mcq_send_bytes(xsub.p.s, "\0a", 2), 0);
  raw_frame(&raw, &body, &len);        /* a ping */
  raw_expect(&raw, 4, "\6CANCELa", 8); /* the last one only */
  assert_int_equal(mcq_send_bytes(xsub.p.s, "\0a", 2), 0);
  assert_int_equal(say(&xsub.p, "\1two|frames"), 0);
  raw_expect(&raw, 1, "\1two", 4);
  raw_expect(&raw, 0, "frames", 6);
  static char longer[65537] = {1};
  assert_int_equal(mcq_send_bytes(xsub.p.s, longer, sizeof longer),
                   MCQ_EMSGLIMIT);
  raw_close(&raw);
  stage_close(&g);
}

static void verbose_passes_each_cancellation_on(int backend) {
  stage_t g;
  fan_t xsub;
  raw_t raw;
  const uint8_t* body;
  size_t len;
  stage_open(&g, backend, false);
  fan_open(&xsub, &g,
           (mcq_socket_options_t){.type = MCQ_XSUB, .flags = MCQ_XSUB_VERBOSE});
  follow(&xsub, "a");
  follow(&xsub, "a");
  raw_open(&raw, &g);
  raw_listen(&raw, &xsub.p);
  raw_accept(&raw);
  raw_hello(&raw, 1, "XPUB");
  raw_greeted(&raw);
  raw_expect(&raw, 4, "\11SUBSCRIBEa", 11);
  until(&g, xsub.p.ups == 1);
  raw_frame(&raw, &body, &len); /* the ping */
  forsake(&xsub, "a");
  raw_expect(&raw, 4, "\6CANCELa", 8);
  forsake(&xsub, "a");
  raw_expect(&raw, 4, "\6CANCELa", 8);
  raw_close(&raw);
  stage_close(&g);
}

static void an_xsub_speaks_to_all_publishers(int backend) {
  stage_t g;
  fan_t xsub, xpubs[3];
  stage_open(&g, backend, false);
  fan_open(&xsub, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  for (int i = 0; i < 3; i++) {
    open_xpub(&xpubs[i], &g, 0);
    player_meet(&xsub.p, &xpubs[i].p);
  }
  assert_int_equal(say(&xsub.p, "hello|world"), 0);
  assert_int_equal(say(&xsub.p, ""), 0);
  assert_int_equal(say(&xsub.p, "\1x|y"), 0);
  for (int i = 0; i < 3; i++) {
    until(&g, xpubs[i].p.count == 3);
    assert_heard(&xpubs[i].p, 0, "hello|world");
    assert_heard(&xpubs[i].p, 1, "");
    assert_heard(&xpubs[i].p, 2, "\1x|y");
    assert_true(xpubs[i].p.from[0].epoch == xpubs[i].p.peer.epoch);
    assert_int_equal(player_stats(&xpubs[i].p).subscriptions, 0);
  }
  stage_close(&g);
}

/* It does not filter. */
static void an_xsub_gets_what_comes(int backend) {
  stage_t g;
  fan_t xsub, xpub;
  stage_open(&g, backend, false);
  fan_open(&xsub, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  open_xpub(&xpub, &g, 0);
  player_meet(&xsub.p, &xpub.p);
  assert_int_equal(say_to(&xpub.p, xpub.p.peer, "for you|alone"), 0);
  until(&g, xsub.p.count == 1);
  assert_heard(&xsub.p, 0, "for you|alone");
  mcq_peer_t old = xpub.p.peer;
  assert_int_equal(mcq_peer_close(xpub.p.s, old), 0);
  until(&g, xpub.p.downs == 1);
  assert_int_equal(say_to(&xpub.p, old, "gone"), MCQ_EPEERGONE);
  stage_close(&g);
}

/* What an XPUB is told goes out on an XSUB and back as messages. */
static void back_up(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  assert_int_equal(mcq_send_msg(((player_t*) p->arg)->s, msg), 0);
}

static void a_forwarder_in_the_middle(int backend) {
  stage_t g;
  fan_t pub, front, back, subs[2];
  char line[32];
  stage_open(&g, backend, false);
  open_xpub(&back, &g, 0);
  fan_open(&front, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  fan_open(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB});
  back.p.arg = &front.p;
  front.p.arg = &back.p;
  back.p.on_message = back_up;
  front.p.on_message = back_up;
  player_bind(&pub.p);
  player_meet(&front.p, &pub.p);
  for (int i = 0; i < 2; i++) {
    fan_open(&subs[i], &g, (mcq_socket_options_t){.type = MCQ_SUB});
    follow(&subs[i], i == 0 ? "a" : "ab");
    fan_join(&subs[i], &back);
  }
  until(&g, pub.subscribed == 2);
  for (int i = 0; i < 100; i++) {
    snprintf(line, sizeof line, "a%c|%d", i % 2 == 0 ? 'b' : 'c', i);
    assert_int_equal(say(&pub.p, line), 0);
  }
  until(&g, subs[0].p.count == 100 && subs[1].p.count == 50);
  assert_heard(&subs[1].p, 49, "ab|98");
  player_close(&subs[1].p);
  until(&g, pub.unsubscribed == 1);
  assert_string_equal(pub.topic, "ab");
  player_close(&subs[0].p);
  until(&g, pub.unsubscribed == 2);
  assert_int_equal(player_stats(&pub.p).subscriptions, 0);
  stage_close(&g);
}

/* ---- all of them --------------------------------------------------------- */

#define SCENE(name) \
  { #name, name }

static const scene_t scenes[] = {
    SCENE(first_and_last_only),
    SCENE(verbose_tells_of_each_subscription),
    SCENE(verboser_of_each_cancellation_too),
    SCENE(counted_it_is_the_last_of_each),
    SCENE(by_hand_it_is_for_the_user_to_decide),
    SCENE(by_hand_there_are_limits_too),
    SCENE(by_hand_bytes_are_counted_too),
    SCENE(whoever_leaves_cancels),
    SCENE(a_lost_connection_cancels),
    SCENE(paused_they_are_told_later_in_order),
    SCENE(pausing_is_exact),
    SCENE(after_a_close_there_are_none),
    SCENE(closed_while_it_is_told),
    SCENE(welcome_on_every_connection),
    SCENE(welcome_whatever_waits),
    SCENE(subscriptions_said_as_messages),
    SCENE(verbose_passes_each_cancellation_on),
    SCENE(an_xsub_speaks_to_all_publishers),
    SCENE(an_xsub_gets_what_comes),
    SCENE(a_forwarder_in_the_middle),
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
