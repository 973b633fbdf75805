/* SPDX-License-Identifier: MIT */
/* Publishers and subscribers: who gets which message, how subscriptions travel
 * and what they survive, over real tcp on every back end.
 *
 *   MCQ_TEST_STEPS   subscribers that come and go, 10000 */
#include "support/topics.h"

#define MANY 100000u

static const mcq_socket_options_t pub_options = {.type = MCQ_PUB};
static const mcq_socket_options_t sub_options = {.type = MCQ_SUB};

/* A publisher, and a subscriber that is connected and wants `topic`. */
static void pair_up(stage_t* g, fan_t* pub, fan_t* sub, const char* topic) {
  fan_open(pub, g, pub_options);
  fan_open(sub, g, sub_options);
  player_bind(&pub->p);
  if (topic != NULL) follow(sub, topic);
  fan_join(sub, pub);
}

/* ---- what matches -------------------------------------------------------- */

/* Says all of them and then "stop", which is the last thing heard. */
static void say_all(fan_t* pub, fan_t* sub, const char* const* lines) {
  unsigned before = sub->subscribed;
  unsigned had = sub->p.count;
  for (; *lines != NULL; lines++) assert_int_equal(say(&pub->p, *lines), 0);
  follow(sub, "stop");
  until(pub->p.g, sub->subscribed > before);
  assert_int_equal(say(&pub->p, "stop"), 0);
  until(pub->p.g, sub->p.count > had &&
                      message_is(sub->p.heard[sub->p.count - 1], "stop"));
}

static void the_first_frame_begins_with_it(int backend) {
  static const char* const lines[] = {"a",  "ab",   "abc|x", "x|ab",
                                      "Ab", "abcd", "|ab",   NULL};
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, "ab");
  say_all(&pub, &sub, lines);
  assert_int_equal(sub.p.count, 4);
  assert_heard(&sub.p, 0, "ab");
  assert_heard(&sub.p, 1, "abc|x");
  assert_heard(&sub.p, 2, "abcd");
  assert_int_equal(player_stats(&sub.p).messages_discarded, 0);
  stage_close(&g);
}

static void nothing_begins_everything(int backend) {
  static const char* const lines[] = {"a", "", "|body", "zz|y", NULL};
  stage_t g;
  fan_t pub, all, some;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &all, "");
  fan_open(&some, &g, sub_options);
  follow(&some, "a");
  fan_join(&some, &pub);
  say_all(&pub, &all, lines);
  say_all(&pub, &some, (const char* const[]){NULL});
  assert_int_equal(all.p.count, 6); /* the second stop, too */
  assert_heard(&all.p, 1, "");
  assert_heard(&all.p, 2, "|body");
  assert_int_equal(some.p.count, 2); /* an empty frame begins with nothing */
  stage_close(&g);
}

static void several_that_match_are_one_message(int backend) {
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, "a");
  follow(&sub, "");
  follow(&sub, "ab");
  follow(&sub, "abc");
  fan_settle(&sub);
  say_all(&pub, &sub, (const char* const[]){"abcd", NULL});
  assert_int_equal(sub.p.count, 2);
  mcq_stats_t stats = player_stats(&pub.p);
  assert_int_equal(stats.messages_sent, 2);
  stage_close(&g);
}

static void without_a_subscription_no_byte_is_sent(int backend) {
  stage_t g;
  fan_t pub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  player_bind(&pub.p);
  raw_open(&raw, &g);
  raw_connect(&raw, &pub.p);
  raw_hello(&raw, 1, "SUB");
  raw_greeted(&raw);
  until(&g, pub.p.ups == 1);
  for (unsigned i = 0; i < 10000; i++)
    assert_int_equal(say(&pub.p, "news|of the day"), 0);
  stage_turns(&g, 3);
  assert_int_equal(player_stats(&pub.p).messages_sent, 0);
  assert_int_equal(player_stats(&pub.p).messages_dropped, 0);
  raw_topic(&raw, 1, "late");
  until(&g, pub.subscribed == 1);
  assert_int_equal(say(&pub.p, "late"), 0);
  raw_expect(&raw, 0, "late", 4); /* and nothing was before it */
  raw_close(&raw);
  stage_close(&g);
}

static void nobody_listens(int backend) {
  stage_t g;
  fan_t pub;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  player_bind(&pub.p);
  size_t bytes = g.memory.bytes;
  for (int i = 0; i < 1000; i++) assert_int_equal(say(&pub.p, "a|b"), 0);
  assert_int_equal(g.memory.bytes, bytes);
  assert_int_equal(player_stats(&pub.p).messages_sent, 0);
  stage_close(&g);
}

/* ---- counting ------------------------------------------------------------ */

static void subscribed_twice_it_takes_two_to_end(int backend) {
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, "a");
  follow(&sub, "a");
  follow(&sub, "a");
  assert_int_equal(player_stats(&sub.p).subscriptions, 1);
  forsake(&sub, "a");
  forsake(&sub, "a");
  fan_settle(&sub);
  say_all(&pub, &sub, (const char* const[]){"a1", NULL});
  assert_heard(&sub.p, 0, "a1");
  forsake(&sub, "a");
  assert_int_equal(mcq_unsubscribe(sub.p.s, "a", 1), MCQ_ENOENT);
  fan_settle(&sub);
  say_all(&pub, &sub, (const char* const[]){"a2", NULL});
  assert_int_equal(sub.p.count, 3); /* a1, stop, stop */
  assert_heard(&sub.p, 2, "stop");
  stage_close(&g);
}

static void cancelled_means_not_delivered(int backend) {
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, "a");
  follow(&sub, "b");
  fan_settle(&sub);
  assert_int_equal(mcq_pause(sub.p.s), 0);
  for (int i = 0; i < 100; i++) assert_int_equal(say(&pub.p, "a|late"), 0);
  assert_int_equal(say(&pub.p, "b"), 0);
  stage_turns(&g, 5);
  forsake(&sub, "a"); /* all of it is on its way */
  assert_int_equal(mcq_resume(sub.p.s), 0);
  until(&g, sub.p.count > 0);
  assert_heard(&sub.p, 0, "b");
  assert_int_equal(player_stats(&sub.p).messages_discarded, 100);
  stage_close(&g);
}

static void unfiltered_it_comes_all_the_same(int backend) {
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  fan_open(
      &sub, &g,
      (mcq_socket_options_t){.type = MCQ_SUB, .flags = MCQ_SUB_UNFILTERED});
  player_bind(&pub.p);
  fan_join(&sub, &pub);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, pub.p.peer, "x", 1), 0);
  assert_int_equal(say(&pub.p, "xyz"), 0);
  until(&g, sub.p.count == 1);
  mcq_frame_t frames[2] = {{"last", 4}, {"value", 5}};
  assert_int_equal(mcq_send_to(pub.p.s, pub.p.peer, frames, 2), 0);
  until(&g, sub.p.count == 2); /* nobody asked for that one */
  assert_heard(&sub.p, 1, "last|value");
  stage_close(&g);
}

/* ---- before, during, after a connection ---------------------------------- */

static void known_before_while_and_after(int backend) {
  stage_t g;
  fan_t pub, sub, again;
  char uri[64];
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  fan_open(&sub, &g, sub_options);
  player_bind(&pub.p);
  snprintf(uri, sizeof uri, "%s", mcq_endpoint_uri(pub.p.s, pub.p.at));
  follow(&sub, "before");
  follow(&sub, "before");
  player_meet(&sub.p, &pub.p);
  follow(&sub, "while");
  follow(&sub, "gone");
  forsake(&sub, "gone");
  until(&g, pub.subscribed == 3 && pub.unsubscribed == 1);
  assert_int_equal(player_stats(&pub.p).subscriptions, 2);
  player_close(&pub.p);
  until(&g, pub.p.closed && sub.p.downs == 1);
  follow(&sub, "between");
  fan_open(&again, &g, pub_options);
  assert_int_equal(mcq_bind(again.p.s, uri, &again.p.at), 0);
  until(&g, again.subscribed == 3);
  say_all(&again, &sub,
          (const char* const[]){"before", "while", "gone", "between", NULL});
  assert_int_equal(again.subscribed, 4); /* stop */
  assert_int_equal(player_stats(&again.p).subscriptions, 4);
  assert_int_equal(sub.p.count, 4);
  assert_heard(&sub.p, 2, "between");
  assert_int_equal(sub.p.ups, 2);
  stage_close(&g);
}

/* What a publisher is told on each connection, byte by byte: every topic once,
 * in whatever order, before anything else. */
static void expect_topics(raw_t* raw, const char* const* topics, size_t count) {
  unsigned seen = 0;
  for (size_t i = 0; i < count; i++) {
    const uint8_t* body;
    size_t len;
    assert_int_equal(raw_frame(raw, &body, &len), 4);
    assert_true(len >= 10 && memcmp(body, "\11SUBSCRIBE", 10) == 0);
    for (size_t k = 0; k < count; k++)
      if (strlen(topics[k]) == len - 10 &&
          memcmp(topics[k], body + 10, len - 10) == 0) {
        assert_false(seen & 1u << k);
        seen |= 1u << k;
      }
  }
  assert_int_equal(seen, (1u << count) - 1);
}

static void all_topics_first_on_every_connection(int backend) {
  static const char* const topics[] = {"", "a", "b", "long topic"};
  stage_t g;
  fan_t xsub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&xsub, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  raw_open(&raw, &g);
  raw_listen(&raw, &xsub.p);
  for (int i = 0; i < 4; i++) follow(&xsub, topics[i]);
  follow(&xsub, "a");
  assert_int_equal(say(&xsub.p, "to|whom it may concern"), 0);
  for (int round = 0; round < 3; round++) {
    raw_accept(&raw);
    raw_hello(&raw, 1, "PUB");
    raw_greeted(&raw);
    expect_topics(&raw, topics, 4);
    const uint8_t* body;
    size_t len;
    if (round == 0) { /* what waited, behind them; the ping may be before */
      unsigned flags = raw_frame(&raw, &body, &len);
      if (flags == 4) flags = raw_frame(&raw, &body, &len);
      assert_int_equal(flags, 1);
      assert_memory_equal(body, "to", 2);
      raw_expect(&raw, 0, "whom it may concern", 19);
    }
    raw_hang_up(&raw);
  }
  raw_close(&raw);
  stage_close(&g);
}

static void a_hundred_thousand_topics(int backend) {
  stage_t g;
  fan_t pub, sub;
  char topic[16];
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  fan_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB, .sndhwm = 1});
  player_bind(&pub.p);
  for (unsigned i = 0; i < MANY / 2; i++) {
    int len = snprintf(topic, sizeof topic, "topic %06u", i);
    assert_int_equal(mcq_subscribe(sub.p.s, topic, (size_t) len), 0);
  }
  fan_join(&sub, &pub);
  for (unsigned i = MANY / 2; i < MANY; i++) {
    int len = snprintf(topic, sizeof topic, "topic %06u", i);
    assert_int_equal(mcq_subscribe(sub.p.s, topic, (size_t) len), 0);
  }
  until(&g, pub.subscribed == MANY);
  assert_int_equal(player_stats(&pub.p).subscriptions, MANY);
  assert_int_equal(player_stats(&sub.p).subscriptions, MANY);
  say_all(&pub, &sub, (const char* const[]){"topic 099999", "topic", NULL});
  assert_int_equal(sub.p.count, 2);
  assert_int_equal(player_stats(&sub.p).messages_dropped, 0);
  for (unsigned i = 0; i < MANY; i++) {
    int len = snprintf(topic, sizeof topic, "topic %06u", i);
    assert_int_equal(mcq_unsubscribe(sub.p.s, topic, (size_t) len), 0);
  }
  until(&g, pub.unsubscribed == MANY);
  assert_int_equal(player_stats(&pub.p).subscriptions, 1);
  stage_close(&g);
}

/* Commands that do not fit into one write do not get messages in between. */
static void many_topics_and_messages_do_not_mix(int backend) {
  stage_t g;
  fan_t xpub, xsub;
  char topic[64];
  char line[64];
  stage_open(&g, backend, false);
  fan_open(&xpub, &g, (mcq_socket_options_t){.type = MCQ_XPUB});
  fan_open(&xsub, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  player_bind(&xpub.p);
  fan_deaf(&xpub);
  for (unsigned i = 0; i < 30000; i++) {
    int len = snprintf(topic, sizeof topic, "a topic of middle length, %u", i);
    assert_int_equal(mcq_subscribe(xsub.p.s, topic, (size_t) len), 0);
  }
  player_connect(&xsub.p, &xpub.p);
  for (unsigned i = 0; i < 900; i++) {
    snprintf(line, sizeof line, "message|of two frames|%u", i);
    assert_int_equal(say(&xsub.p, line), 0);
  }
  until(&g, xpub.taken == 30900);
  assert_int_equal(xpub.p.downs, 0);
  stage_close(&g);
}

/* ---- lengths ------------------------------------------------------------- */

static void long_topics(int backend) {
  static const size_t sizes[] = {244, 245, 246, 247,  248,   249,  250,
                                 251, 252, 253, 254,  255,   256,  257,
                                 511, 512, 513, 4096, 65534, 65535};
  static char text[65540];
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, NULL);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    memset(text, 'a' + (int) i, sizeof text);
    assert_int_equal(mcq_subscribe(sub.p.s, text, sizes[i]), 0);
    until(&g, pub.subscribed == i + 1);
    assert_int_equal(mcq_send_bytes(pub.p.s, text, sizes[i] - 1), 0);
    assert_int_equal(mcq_send_bytes(pub.p.s, text, sizes[i]), 0);
    assert_int_equal(mcq_send_bytes(pub.p.s, text, sizes[i] + 1), 0);
    until(&g, sub.p.count == 2 * i + 2);
    assert_int_equal(mcq_msg_size(sub.p.heard[2 * i]), sizes[i]);
    assert_int_equal(mcq_msg_size(sub.p.heard[2 * i + 1]), sizes[i] + 1);
    assert_memory_equal(mcq_msg_frame(sub.p.heard[2 * i], 0).data, text,
                        sizes[i]);
  }
  assert_int_equal(mcq_subscribe(sub.p.s, text, 65536), MCQ_EMSGLIMIT);
  assert_int_equal(mcq_unsubscribe(sub.p.s, text, 65536), MCQ_ENOENT);
  assert_int_equal(mcq_subscribe(sub.p.s, NULL, 3), MCQ_EINVAL);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, pub.p.peer, text, 65536),
                   MCQ_EMSGLIMIT);
  assert_int_equal(sub.p.downs, 0);
  stage_close(&g);
}

/* A subscription by message may be as long as a message. */
static void longer_ones_are_not_kept(int backend) {
  static char text[65537];
  stage_t g;
  fan_t pub;
  raw_t raw;
  rig_bytes_t b = {0};
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  player_bind(&pub.p);
  raw_open(&raw, &g);
  for (size_t extra = 0; extra < 2; extra++) {
    raw_connect(&raw, &pub.p);
    raw_hello(&raw, 1, "SUB");
    memset(text, 'x', sizeof text);
    text[0] = 1;
    rig_frame(&b, 0, text, 65536 + extra);
    raw_say(&raw, &b);
    until(&g, pub.subscribed == 1 && pub.p.downs == 2 * extra);
    if (extra == 1) assert_int_equal(pub.p.reason, MCQ_ELIMIT);
    raw_hang_up(&raw);
    until(&g, pub.p.downs == 1 + extra);
  }
  raw_close(&raw);
  stage_close(&g);
}

/* ---- the wire's two forms ------------------------------------------------ */

static void subscribe_both_ways(raw_t* raw, fan_t* pub) {
  unsigned before = pub->subscribed;
  raw_topic(raw, 1, "m");
  raw_command(raw, "SUBSCRIBE", "c");
  until(pub->p.g, pub->subscribed == before + 2);
  assert_int_equal(say(&pub->p, "m"), 0);
  raw_expect(raw, 0, "m", 1);
  assert_int_equal(say(&pub->p, "c"), 0);
  raw_expect(raw, 0, "c", 1);
  unsigned cancelled = pub->unsubscribed;
  raw_command(raw, "CANCEL", "m"); /* whichever form it came in */
  raw_topic(raw, 0, "c");
  until(pub->p.g, pub->unsubscribed == cancelled + 2);
  assert_int_equal(player_stats(&pub->p).subscriptions, 0);
}

static void both_forms_from_anyone(int backend) {
  static const char* const types[] = {"SUB", "XSUB"};
  stage_t g;
  fan_t pub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  player_bind(&pub.p);
  raw_open(&raw, &g);
  for (unsigned minor = 0; minor < 2; minor++)
    for (int type = 0; type < 2; type++) {
      raw_connect(&raw, &pub.p);
      raw_hello(&raw, minor, types[type]);
      raw_greeted(&raw);
      subscribe_both_ways(&raw, &pub);
      raw_hang_up(&raw);
      until(&g, pub.p.downs == pub.p.ups);
    }
  assert_int_equal(pub.p.ups, 4);
  raw_close(&raw);
  stage_close(&g);
}

/* A set: said twice, cancelled once.  What was never said is no harm. */
static void a_publisher_keeps_a_set(int backend) {
  stage_t g;
  fan_t pub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  player_bind(&pub.p);
  raw_open(&raw, &g);
  raw_connect(&raw, &pub.p);
  raw_hello(&raw, 1, "SUB");
  raw_greeted(&raw);
  raw_command(&raw, "SUBSCRIBE", "a");
  raw_command(&raw, "SUBSCRIBE", "a");
  raw_command(&raw, "CANCEL", "never");
  raw_command(&raw, "CANCEL", "a");
  until(&g, pub.unsubscribed == 1);
  assert_int_equal(pub.subscribed, 1);
  assert_int_equal(player_stats(&pub.p).subscriptions, 0);
  assert_int_equal(player_stats(&pub.p).messages_discarded, 1);
  raw_close(&raw);
  stage_close(&g);
}

static void hear_between(fan_t* pub, raw_t* raw, rig_bytes_t* b, bool heard) {
  rig_command(b, "SUBSCRIBE", "mark", 4);
  raw_say(raw, b);
  until(pub->p.g, strcmp(pub->topic, "mark") == 0);
  assert_int_equal(say(&pub->p, "a1"), 0);
  if (heard) raw_expect(raw, 0, "a1", 2);
}

/* Who counts and who does not: a subscriber says it wants a topic twice and
 * gives it up twice; the first line is heard in between, the second one
 * afterwards.  `wishes`: what is told, '+' and '-'. */
static void play_counting(int backend, int flags, const char* wishes,
                          bool between, bool after) {
  stage_t g;
  fan_t pub;
  raw_t raw;
  rig_bytes_t b = {0};
  stage_open(&g, backend, false);
  fan_open(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB, .flags = flags});
  player_bind(&pub.p);
  raw_open(&raw, &g);
  raw_connect(&raw, &pub.p);
  raw_hello(&raw, 1, "SUB");
  raw_greeted(&raw);
  for (const char* w = wishes; *w != '\0'; w++) {
    static const char by_message[2][2] = {{0, 'a'}, {1, 'a'}};
    bool wanted = *w == '+';
    if (*w == '|')
      hear_between(&pub, &raw, &b, between);
    else if ((w - wishes) % 2 == 0)
      rig_command(&b, wanted ? "SUBSCRIBE" : "CANCEL", "a", 1);
    else
      rig_frame(&b, 0, by_message[wanted], 2);
  }
  rig_command(&b, "SUBSCRIBE", "end", 3);
  raw_say(&raw, &b);
  until(&g, strcmp(pub.topic, "end") == 0);
  assert_int_equal(player_stats(&pub.p).subscriptions, after ? 3 : 2);
  assert_int_equal(say(&pub.p, "a2"), 0);
  if (after) raw_expect(&raw, 0, "a2", 2);
  assert_int_equal(say(&pub.p, "end"), 0);
  raw_expect(&raw, 0, "end", 3);
  raw_hang_up(&raw);
  until(&g, pub.p.downs == 1);
  assert_int_equal(player_stats(&pub.p).subscriptions, 0);
  raw_close(&raw);
  stage_close(&g);
}

/* Four kinds of subscribers: one that says everything once (ours), one that
 * cancels once (libzmq's), one that cancels each time (RFC 29), and one that
 * cancels too often. */
static void counting_and_not_counting(int backend) {
  static const int counted = MCQ_PUB_COUNT_SUBS;
  play_counting(backend, 0, "+|-", true, false);
  play_counting(backend, 0, "++|-", true, false);
  play_counting(backend, 0, "++-|-", false, false);
  play_counting(backend, counted, "+|-", true, false);
  play_counting(backend, counted, "++|-", true, true);
  play_counting(backend, counted, "++-|-", true, false);
  play_counting(backend, counted, "++--|-", false, false);
  play_counting(backend, counted, "+++++---|", true, true);
  play_counting(backend, counted, "++--+-|", false, false);
  play_counting(backend, counted, "++--++-|-", true, false);
}

/* Each of "a", "b" and "c" so many times. */
static void say_letters(rig_bytes_t* b, const char* verb, int times) {
  for (int i = 0; i < 3 * times; i++) rig_command(b, verb, &"abc"[i % 3], 1);
}

/* What was repeated is forgotten with the connection, and when the user takes
 * it away; the next holder of the seat, of the topic, starts anew. */
static void repeats_are_forgotten(int backend) {
  stage_t g;
  fan_t pub;
  raw_t raw;
  rig_bytes_t b = {0};
  stage_open(&g, backend, false);
  fan_open(
      &pub, &g,
      (mcq_socket_options_t){.type = MCQ_PUB,
                             .flags = MCQ_PUB_COUNT_SUBS,
                             /* What is said at once is heard in one turn. */
                             .turn_usec = 1000000});
  player_bind(&pub.p);
  raw_open(&raw, &g);
  size_t bytes = 0;
  for (unsigned round = 0; round < 20; round++) {
    mcq_peer_t stale = pub.p.peer;
    raw_connect(&raw, &pub.p);
    raw_hello(&raw, 1, "SUB");
    raw_greeted(&raw);
    say_letters(&b, "SUBSCRIBE", 1);
    say_letters(&b, "CANCEL", 1); /* nothing of an earlier one's is left */
    raw_say(&raw, &b);
    until(&g, pub.subscribed == 10 * round + 3);
    until(&g, pub.unsubscribed == 4 * round + 3);
    say_letters(&b, "SUBSCRIBE", 5);
    raw_say(&raw, &b);
    until(&g, pub.subscribed == 10 * round + 6);
    if (round > 0)
      assert_int_equal(mcq_peer_unsubscribe(pub.p.s, stale, "a", 1),
                       MCQ_EPEERGONE);
    assert_int_equal(mcq_peer_unsubscribe(pub.p.s, pub.p.peer, "a", 1), 0);
    assert_int_equal(mcq_peer_unsubscribe(pub.p.s, pub.p.peer, "a", 1),
                     MCQ_ENOENT);
    rig_command(&b, "SUBSCRIBE", "a", 1);
    rig_command(&b, "CANCEL", "a", 1);
    say_letters(&b, "SUBSCRIBE", 2);
    raw_say(&raw, &b);
    until(&g, pub.subscribed == 10 * round + 8);
    assert_int_equal(pub.unsubscribed, 4 * round + 4);
    assert_int_equal(player_stats(&pub.p).subscriptions, 3);
    rig_command(&b, "SUBSCRIBE", "d", 1);
    rig_command(&b, "SUBSCRIBE", "e", 1);
    raw_say(&raw, &b);
    until(&g, pub.subscribed == 10 * round + 10);
    raw_hang_up(&raw);
    until(&g, pub.p.downs == round + 1);
    assert_int_equal(player_stats(&pub.p).subscriptions, 0);
    if (round == 10) bytes = g.memory.bytes;
  }
  assert_true(g.memory.bytes <= bytes + 4096);
  raw_close(&raw);
  stage_close(&g);
}

static void an_old_publisher_gets_messages_and_no_ping(int backend) {
  stage_t g;
  fan_t sub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&sub, &g, sub_options);
  raw_open(&raw, &g);
  follow(&sub, "a");
  raw_listen(&raw, &sub.p);
  raw_accept(&raw);
  raw_hello(&raw, 0, "PUB");
  raw_greeted(&raw);
  raw_expect(&raw, 0, "\1a", 2);
  stage_turns(&g, 5);
  follow(&sub, "");
  raw_expect(&raw, 0, "\1", 1);
  forsake(&sub, "a");
  raw_expect(&raw, 0, "\0a", 2);
  stage_turns(&g, 5);
  assert_false(raw_has(&raw, 1));
  raw_topic(&raw, 'h', "ello"); /* no subscription, a message */
  until(&g, sub.p.count == 1);
  assert_heard(&sub.p, 0, "hello");
  assert_int_equal(sub.subscribed, 0);
  raw_close(&raw);
  stage_close(&g);
}

static void a_new_publisher_gets_commands_and_a_ping(int backend) {
  stage_t g;
  fan_t sub;
  raw_t raw;
  const uint8_t* body;
  size_t len;
  stage_open(&g, backend, false);
  fan_open(&sub, &g, sub_options);
  raw_open(&raw, &g);
  follow(&sub, "a");
  raw_listen(&raw, &sub.p);
  raw_accept(&raw);
  raw_hello(&raw, 1, "XPUB");
  raw_greeted(&raw);
  raw_expect(&raw, 4, "\11SUBSCRIBEa", 11);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(raw_frame(&raw, &body, &len), 4);
    assert_int_equal(len, 5 + 2 + 8);
    assert_memory_equal(body, "\4PING\0\0", 7);
    rig_bytes_t pong = {0};
    rig_command(&pong, "PONG", body + 7, 8);
    if (i == 0) {
      /* What was wanted meanwhile is not in force by this answer. */
      follow(&sub, "b");
      raw_say(&raw, &pong);
      stage_turns(&g, 5);
      assert_int_equal(sub.subscribed, 0);
      raw_expect(&raw, 4, "\11SUBSCRIBEb", 11);
    } else {
      raw_say(&raw, &pong);
    }
  }
  until(&g, sub.subscribed == 1);
  assert_int_equal(sub.who.epoch, sub.p.peer.epoch);
  forsake(&sub, "a");
  raw_expect(&raw, 4, "\6CANCELa", 8);
  raw_close(&raw);
  stage_close(&g);
}

/* The answer to the first ping is there when the second subscription is made,
 * inside the callback that comes before it. */
static void follow_b(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  follow((fan_t*) p, "b");
}

/* Repeats are told where somebody waits for them; of cancellations the last
 * one, and on a new connection each topic once. */
static void play_repeats(int backend, int flags) {
  stage_t g;
  fan_t sub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB, .flags = flags});
  raw_open(&raw, &g);
  follow(&sub, "a");
  follow(&sub, "a");
  raw_listen(&raw, &sub.p);
  for (int round = 0; round < 2; round++) {
    raw_accept(&raw);
    raw_hello(&raw, 0, "PUB");
    raw_greeted(&raw);
    raw_expect(&raw, 0, "\1a", 2);
    until(&g, sub.p.ups == 1u + (unsigned) round);
    follow(&sub, "a");
    forsake(&sub, "a");
    if (flags != 0) raw_expect(&raw, 0, "\1a", 2);
    follow(&sub, "b");
    raw_expect(&raw, 0, "\1b", 2);
    forsake(&sub, "b");
    raw_expect(&raw, 0, "\0b", 2);
    if (round == 0) raw_hang_up(&raw);
  }
  forsake(&sub, "a");
  forsake(&sub, "a");
  raw_expect(&raw, 0, "\0a", 2);
  stage_turns(&g, 5);
  assert_false(raw_has(&raw, 1));
  raw_close(&raw);
  stage_close(&g);
}

static void a_repeated_wish_is_told_once(int backend) {
  play_repeats(backend, 0);
}

static void or_each_time(int backend) {
  stage_t g;
  mcq_socket_t* s;
  mcq_socket_options_t o = {.type = MCQ_XSUB, .flags = MCQ_SUB_SEND_DUPLICATES};
  play_repeats(backend, MCQ_SUB_SEND_DUPLICATES);
  stage_open(&g, backend, false);
  assert_int_equal(mcq_socket_new(g.ctx, &o, &s), MCQ_EINVAL); /* it does */
  stage_close(&g);
}

static void an_answer_from_before_does_not_count(int backend) {
  stage_t g;
  fan_t sub;
  raw_t raw;
  const uint8_t* body;
  size_t len;
  stage_open(&g, backend, false);
  fan_open(&sub, &g, sub_options);
  sub.p.on_message = follow_b;
  raw_open(&raw, &g);
  follow(&sub, "a");
  raw_listen(&raw, &sub.p);
  raw_accept(&raw);
  raw_hello(&raw, 1, "PUB");
  raw_greeted(&raw);
  raw_expect(&raw, 4, "\11SUBSCRIBEa", 11);
  raw_frame(&raw, &body, &len);
  rig_bytes_t b = {0};
  rig_frame(&b, 0, "a", 1);
  rig_command(&b, "PONG", body + 7, 8);
  raw_say(&raw, &b);
  raw_expect(&raw, 4, "\11SUBSCRIBEb", 11);
  assert_int_equal(sub.p.count, 1);
  assert_int_equal(sub.subscribed, 0);
  raw_frame(&raw, &body, &len);
  rig_command(&b, "PONG", body + 7, 8);
  raw_say(&raw, &b);
  until(&g, sub.subscribed == 1);
  raw_close(&raw);
  stage_close(&g);
}

/* ---- what is whose business ---------------------------------------------- */

static void who_may_not_speak(int backend) {
  stage_t g;
  fan_t pub, sub;
  mcq_frame_t f = {"x", 1};
  mcq_peer_t peer;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, "");
  assert_int_equal(say(&sub.p, "x"), MCQ_ENOTSUP);
  assert_int_equal(mcq_send_to(sub.p.s, sub.p.peer, &f, 1), MCQ_ENOTSUP);
  assert_int_equal(mcq_send_next(pub.p.s, &f, 1, &peer), MCQ_ENOTSUP);
  assert_int_equal(mcq_subscribe(pub.p.s, "x", 1), MCQ_ENOTSUP);
  assert_int_equal(mcq_unsubscribe(pub.p.s, "x", 1), MCQ_ENOTSUP);
  assert_int_equal(mcq_peer_subscribe(sub.p.s, sub.p.peer, "x", 1),
                   MCQ_ENOTSUP);
  assert_int_equal(mcq_peer_unsubscribe(sub.p.s, sub.p.peer, "x", 1),
                   MCQ_ENOTSUP);
  assert_int_equal(mcq_send(pub.p.s, &f, 0), MCQ_EINVAL);
  player_close(&sub.p);
  player_close(&pub.p);
  assert_int_equal(mcq_subscribe(sub.p.s, "x", 1), MCQ_ECLOSED);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, pub.p.peer, "x", 1),
                   MCQ_ECLOSED);
  assert_int_equal(say(&pub.p, "x"), MCQ_ECLOSED);
  stage_close(&g);
}

static void a_pub_is_deaf(int backend) {
  stage_t g;
  fan_t pub, xsub;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  fan_open(&xsub, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  player_bind(&pub.p);
  player_meet(&xsub.p, &pub.p);
  assert_int_equal(say(&xsub.p, "hello"), 0);
  assert_int_equal(say(&xsub.p, "\1a|two frames are no subscription"), 0);
  assert_int_equal(say(&xsub.p, ""), 0);
  assert_int_equal(say(&xsub.p, "\1a"), 0);
  /* Subscriptions go ahead of messages. */
  until(&g,
        pub.subscribed == 1 && player_stats(&pub.p).messages_discarded == 3);
  assert_int_equal(pub.p.count, 0);
  stage_close(&g);
}

static void a_publisher_knows_who_asked_for_what(int backend) {
  stage_t g;
  fan_t pub, one, two;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &one, "one");
  mcq_peer_t first = pub.p.peer;
  assert_string_equal(pub.topic, "one");
  assert_true(pub.who.epoch == first.epoch);
  fan_open(&two, &g, sub_options);
  follow(&two, "two");
  fan_join(&two, &pub);
  assert_string_equal(pub.topic, "two");
  assert_true(pub.who.epoch == pub.p.peer.epoch);
  assert_true(pub.who.epoch != first.epoch);
  forsake(&one, "one");
  until(&g, pub.unsubscribed == 1);
  assert_string_equal(pub.topic, "one");
  assert_true(pub.who.epoch == first.epoch);
  stage_close(&g);
}

/* Publishers connect, subscribers listen. */
static void it_works_the_other_way_round(int backend) {
  stage_t g;
  fan_t pubs[3], sub;
  stage_open(&g, backend, false);
  fan_open(&sub, &g, sub_options);
  player_bind(&sub.p);
  follow(&sub, "a");
  for (int i = 0; i < 3; i++) {
    fan_open(&pubs[i], &g, pub_options);
    player_meet(&pubs[i].p, &sub.p);
    until(&g, pubs[i].subscribed == 1);
  }
  for (int i = 0; i < 3; i++) assert_int_equal(say(&pubs[i].p, "a|b"), 0);
  until(&g, sub.p.count == 3);
  /* Told again after a loss, and what the old connection wanted is gone. */
  assert_int_equal(mcq_peer_close(sub.p.s, sub.p.peer), 0);
  until(&g, pubs[2].subscribed == 2);
  forsake(&sub, "a");
  for (int i = 0; i < 3; i++) until(&g, pubs[i].unsubscribed == 1);
  for (int i = 0; i < 3; i++)
    assert_int_equal(player_stats(&pubs[i].p).subscriptions, 0);
  stage_close(&g);
}

static void vanishing_subscribers_leave_nothing(int backend) {
  stage_t g;
  fan_t pub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  player_bind(&pub.p);
  raw_open(&raw, &g);
  size_t bytes = 0;
  for (unsigned i = 0; i < 200; i++) {
    raw_connect(&raw, &pub.p);
    raw_hello(&raw, 1, "SUB");
    raw_topic(&raw, 1, "a");
    raw_topic(&raw, 1, "b");
    until(&g, pub.subscribed == 2 * i + 2);
    raw_hang_up(&raw);
    until(&g, pub.p.downs == i + 1);
    assert_int_equal(player_stats(&pub.p).subscriptions, 0);
    stage_turns(&g, 2);
    if (i == 20) bytes = g.memory.bytes;
  }
  assert_true(g.memory.bytes < bytes + 65536);
  raw_close(&raw);
  stage_close(&g);
}

/* A great many of them: nothing is kept of any. */
static void nor_do_a_great_many(int backend) {
  const char* steps = getenv("MCQ_TEST_STEPS");
  unsigned cycles = steps == NULL ? 10000 : (unsigned) atoi(steps);
  static const char uri[] = "inproc://vanishing";
  stage_t g;
  fan_t pub, sub;
  mcq_endpoint_t at;
  char topic[32];
  size_t bytes = 0;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  assert_int_equal(mcq_bind(pub.p.s, uri, NULL), 0);
  fan_open(&sub, &g, sub_options);
  follow(&sub, "stays");
  for (unsigned i = 0; i < cycles; i++) {
    snprintf(topic, sizeof topic, "its own %u", i);
    follow(&sub, topic);
    assert_int_equal(mcq_connect(sub.p.s, uri, NULL, &at), 0);
    until(&g, pub.subscribed == 2 * i + 2);
    assert_int_equal(player_stats(&pub.p).subscriptions, 2);
    assert_int_equal(mcq_disconnect(sub.p.s, at), 0);
    forsake(&sub, topic);
    until(&g, pub.p.downs == i + 1);
    assert_int_equal(player_stats(&pub.p).subscriptions, 0);
    if (i == 1000) bytes = g.memory.bytes;
    if (i > 1000) assert_true(g.memory.bytes <= bytes + 4096);
  }
  stage_close(&g);
}

/* ---- limits -------------------------------------------------------------- */

static void one_too_many(int backend) {
  stage_t g;
  fan_t pub, sub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(&pub, &g,
           (mcq_socket_options_t){.type = MCQ_PUB, .max_subscriptions = 3});
  fan_open(&sub, &g, sub_options);
  player_bind(&pub.p);
  follow(&sub, "a");
  fan_join(&sub, &pub);
  raw_open(&raw, &g);
  raw_connect(&raw, &pub.p);
  raw_hello(&raw, 1, "SUB");
  raw_greeted(&raw);
  raw_command(&raw, "SUBSCRIBE", "1");
  raw_command(&raw, "SUBSCRIBE", "2");
  raw_command(&raw, "SUBSCRIBE", "3");
  raw_command(&raw, "SUBSCRIBE", "3"); /* not one more */
  until(&g, pub.subscribed == 4);
  stage_turns(&g, 5);
  assert_int_equal(pub.p.downs, 0);
  mcq_peer_t peer = pub.p.peer;
  assert_int_equal(mcq_peer_subscribe(pub.p.s, peer, "4", 1), MCQ_EMSGLIMIT);
  raw_command(&raw, "SUBSCRIBE", "4");
  until(&g, pub.p.downs == 1);
  assert_int_equal(pub.p.reason, MCQ_ELIMIT);
  until(&g, (raw_look(&raw), raw.ended));
  assert_int_equal(player_stats(&pub.p).subscriptions, 1);
  assert_int_equal(say(&pub.p, "a"), 0);
  until(&g, sub.p.count == 1);
  raw_close(&raw);
  stage_close(&g);
}

/* Long ones are counted by their bytes, those of one peer together; what
 * others have does not matter. */
static void too_much_in_all(int backend) {
  stage_t g;
  fan_t pub, sub;
  raw_t raw;
  stage_open(&g, backend, false);
  fan_open(
      &pub, &g,
      (mcq_socket_options_t){.type = MCQ_PUB, .max_subscription_bytes = 10});
  player_bind(&pub.p);
  raw_open(&raw, &g);
  raw_connect(&raw, &pub.p);
  raw_hello(&raw, 1, "SUB");
  raw_greeted(&raw);
  raw_command(&raw, "SUBSCRIBE", "four");
  raw_command(&raw, "SUBSCRIBE", "sixsix");
  raw_command(&raw, "SUBSCRIBE", "four");
  raw_command(&raw, "SUBSCRIBE", "");
  until(&g, pub.subscribed == 3);
  mcq_peer_t peer = pub.p.peer;
  fan_open(&sub, &g, sub_options);
  follow(&sub, "eight888");
  fan_join(&sub, &pub);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, peer, "1", 1), MCQ_EMSGLIMIT);
  raw_command(&raw, "CANCEL", "four");
  raw_command(&raw, "SUBSCRIBE", "4444");
  until(&g, pub.subscribed == 5);
  assert_int_equal(pub.p.downs, 0);
  raw_command(&raw, "SUBSCRIBE", "1");
  until(&g, pub.p.downs == 1);
  assert_int_equal(pub.p.reason, MCQ_ELIMIT);
  until(&g, (raw_look(&raw), raw.ended));
  assert_int_equal(player_stats(&pub.p).subscriptions, 1);
  assert_int_equal(say(&pub.p, "eight888"), 0);
  until(&g, sub.p.count == 1);
  raw_close(&raw);
  stage_close(&g);
}

static void too_much_by_default(int backend) {
  static char text[65536];
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, NULL);
  for (unsigned i = 0; i < 1025; i++) {
    memcpy(text, &i, sizeof i);
    assert_int_equal(mcq_peer_subscribe(pub.p.s, pub.p.peer, text, 65535),
                     i < 1024 ? 0 : MCQ_EMSGLIMIT);
  }
  assert_int_equal(mcq_peer_subscribe(pub.p.s, pub.p.peer, text, 1024), 0);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, pub.p.peer, "1", 1),
                   MCQ_EMSGLIMIT);
  stage_close(&g);
}

/* ---- the other half of the world ----------------------------------------- */

/* Nothing, one, several, all, another: who gets "match" and who gets "other",
 * whoever publishes; an XSUB judges nothing itself. */
static void play_inverted(int backend, int pub_type, int sub_type) {
  static const char* const wants[5][3] = {
      {NULL}, {"m", NULL}, {"m", "ma", NULL}, {"", NULL}, {"x", NULL}};
  static const char* const gets[5] = {"mo", "o", "o", "", "mo"};
  int flags = sub_type == MCQ_SUB ? MCQ_INVERT_MATCHING : 0;
  stage_t g;
  fan_t pub, subs[5];
  stage_open(&g, backend, false);
  fan_open(
      &pub, &g,
      (mcq_socket_options_t){.type = pub_type, .flags = MCQ_INVERT_MATCHING});
  player_bind(&pub.p);
  for (unsigned i = 0; i < 5; i++) {
    fan_open(&subs[i], &g,
             (mcq_socket_options_t){.type = sub_type, .flags = flags});
    for (int k = 0; wants[i][k] != NULL; k++) follow(&subs[i], wants[i][k]);
    fan_join(&subs[i], &pub);
  }
  until(&g, pub.subscribed == 5);
  assert_int_equal(say(&pub.p, "match"), 0);
  assert_int_equal(say(&pub.p, "other"), 0);
  for (int i = 0; i < 5; i++) {
    size_t want = strlen(gets[i]);
    until(&g, subs[i].p.count >= want);
    stage_turns(&g, 3);
    assert_int_equal(subs[i].p.count, want);
    for (unsigned k = 0; k < want; k++)
      assert_heard(&subs[i].p, k, gets[i][k] == 'm' ? "match" : "other");
    assert_int_equal(player_stats(&subs[i].p).messages_discarded, 0);
  }
  stage_close(&g);
}

static void inverted_it_is_all_the_others(int backend) {
  play_inverted(backend, MCQ_PUB, MCQ_SUB);
  play_inverted(backend, MCQ_PUB, MCQ_XSUB);
  play_inverted(backend, MCQ_XPUB, MCQ_SUB);
  play_inverted(backend, MCQ_XPUB, MCQ_XSUB);
}

/* Nobody on the line, and nobody with a wish: the others are all there are. */
static void inverted_and_nobody_wants_anything(int backend) {
  stage_t g;
  fan_t pub, subs[2];
  stage_open(&g, backend, false);
  fan_open(
      &pub, &g,
      (mcq_socket_options_t){.type = MCQ_PUB, .flags = MCQ_INVERT_MATCHING});
  player_bind(&pub.p);
  assert_int_equal(say(&pub.p, "nobody"), 0);
  for (int i = 0; i < 2; i++) {
    fan_open(
        &subs[i], &g,
        (mcq_socket_options_t){.type = MCQ_SUB, .flags = MCQ_INVERT_MATCHING});
    player_meet(&subs[i].p, &pub.p);
  }
  assert_int_equal(say(&pub.p, ""), 0);
  assert_int_equal(say(&pub.p, "all|of you"), 0);
  for (int i = 0; i < 2; i++) {
    until(&g, subs[i].p.count == 2);
    assert_heard(&subs[i].p, 0, "");
    assert_heard(&subs[i].p, 1, "all|of you");
  }
  stage_close(&g);
}

/* The subscriber's side alone: what comes is judged once more, as it is or
 * inverted, or not at all. */
static void play_judged(int backend, int flags, const char* wants,
                        const char* gets) {
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  fan_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB, .flags = flags});
  player_bind(&pub.p);
  if (wants != NULL) follow(&sub, wants);
  player_meet(&sub.p, &pub.p);
  if (wants != NULL) until(&g, pub.subscribed == 1);
  (void) mcq_peer_subscribe(pub.p.s, pub.p.peer, "", 0);
  assert_int_equal(say(&pub.p, "m"), 0);
  assert_int_equal(say(&pub.p, "o"), 0);
  assert_int_equal(say(&pub.p, ""), 0);
  until(&g, sub.p.count + player_stats(&sub.p).messages_discarded == 3);
  assert_int_equal(sub.p.count, strlen(gets));
  for (unsigned i = 0; i < sub.p.count; i++)
    assert_heard(&sub.p, i, gets[i] == '.' ? "" : gets[i] == 'm' ? "m" : "o");
  stage_close(&g);
}

static void judged_by_the_subscriber(int backend) {
  static const int no = MCQ_INVERT_MATCHING;
  static const int any = MCQ_SUB_UNFILTERED;
  play_judged(backend, 0, NULL, "");
  play_judged(backend, 0, "m", "m");
  play_judged(backend, 0, "", "mo.");
  play_judged(backend, no, NULL, "mo.");
  play_judged(backend, no, "m", "o.");
  play_judged(backend, no, "", "");
  play_judged(backend, any, NULL, "mo.");
  play_judged(backend, any | no, "m", "mo.");
}

static void inverted_at_the_subscriber(int backend) {
  stage_t g;
  fan_t pub, sub, xsub;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  fan_open(
      &sub, &g,
      (mcq_socket_options_t){.type = MCQ_SUB, .flags = MCQ_INVERT_MATCHING});
  player_bind(&pub.p);
  follow(&sub, "a");
  fan_join(&sub, &pub);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, pub.p.peer, "", 0), 0);
  assert_int_equal(say(&pub.p, "a"), 0);
  assert_int_equal(say(&pub.p, "b"), 0);
  until(&g, sub.p.count == 1);
  assert_heard(&sub.p, 0, "b");
  assert_int_equal(player_stats(&sub.p).messages_discarded, 1);
  mcq_socket_options_t o = {.type = MCQ_XSUB, .flags = MCQ_INVERT_MATCHING};
  assert_int_equal(mcq_socket_new(g.ctx, &o, &xsub.p.s), MCQ_EINVAL);
  stage_close(&g);
}

/* ---- the barrier --------------------------------------------------------- */

static void what_is_in_force_misses_nothing(int backend) {
  enum { ROUNDS = 10000, EACH = 3 };
  stage_t g;
  fan_t pub, sub;
  char topic[16];
  char line[32];
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, NULL);
  for (unsigned round = 0; round < ROUNDS; round++) {
    unsigned before = sub.subscribed;
    unsigned heard = sub.p.count % HEARD_MAX;
    snprintf(topic, sizeof topic, "r%u.", round);
    follow(&sub, topic);
    do { /* others go on talking */
      assert_int_equal(say(&pub.p, "noise"), 0);
      stage_step(&g);
    } while (sub.subscribed == before);
    for (unsigned i = 0; i < EACH; i++) {
      snprintf(line, sizeof line, "%s|%u", topic, i);
      assert_int_equal(say(&pub.p, line), 0);
    }
    until(&g, sub.p.count == heard + EACH);
    for (unsigned i = 0; i < EACH; i++) {
      snprintf(line, sizeof line, "%s|%u", topic, i);
      assert_heard(&sub.p, heard + i, line);
      mcq_msg_release(sub.p.heard[heard + i]);
    }
    sub.p.count = 0;
    forsake(&sub, topic);
  }
  assert_int_equal(player_stats(&sub.p).messages_received, ROUNDS * EACH);
  stage_close(&g);
}

/* The same from the first moment of a connection, and each publisher answers
 * for itself: it speaks as soon as it did, and is heard. */
typedef struct house {
  fan_t pubs[3];
  unsigned spoken; /* bits of who has */
} house_t;

static void answer_it(fan_t* f, const mcq_event_t* e) {
  house_t* h = (house_t*) f->p.arg;
  mcq_peer_info_t info;
  if (e->kind != MCQ_EVENT_SUBSCRIBED) return;
  assert_int_equal(mcq_peer_info(f->p.s, e->peer, &info), 0);
  for (unsigned i = 0; i < 3; i++) {
    const player_t* p = &h->pubs[i].p;
    bool meant = strcmp(mcq_endpoint_uri(p->s, p->at), info.address) == 0;
    if (!meant || (h->spoken & 1u << i) != 0) continue;
    h->spoken |= 1u << i;
    assert_int_equal(say(&h->pubs[i].p, "b"), 0);
  }
}

static void nor_do_newcomers(int backend) {
  enum { ROUNDS = 200 };
  static fan_t subs[ROUNDS];
  static house_t h;
  stage_t g;
  stage_open(&g, backend, false);
  for (int i = 0; i < 3; i++) {
    fan_open(&h.pubs[i], &g, pub_options);
    player_bind(&h.pubs[i].p);
  }
  for (unsigned round = 0; round < ROUNDS; round++) {
    fan_t* sub = &subs[round];
    fan_open(sub, &g, sub_options);
    sub->p.arg = &h;
    if (round % 2 == 0) follow(sub, "a");
    for (int i = 0; i < 3; i++) player_connect(&sub->p, &h.pubs[i].p);
    if (round % 2 == 1) follow(sub, "a");
    until(&g, sub->p.ups >= round % 4);
    follow(sub, "b");
    h.spoken = 0;
    sub->on_event = answer_it; /* what was answered before does not count */
    until(&g, sub->p.count == 3);
    player_close(&sub->p);
    until(&g, sub->p.closed);
  }
  stage_close(&g);
}

/* A publisher whose user pauses answers questions, but not this one. */
static void a_pause_puts_it_off(int backend) {
  static const int types[] = {MCQ_PUB, MCQ_XPUB};
  for (int i = 0; i < 2; i++) {
    stage_t g;
    fan_t pub, sub;
    stage_open(&g, backend, true);
    fan_open(&pub, &g, (mcq_socket_options_t){.type = types[i]});
    player_bind(&pub.p);
    fan_open(&sub, &g, sub_options);
    player_meet(&sub.p, &pub.p);
    assert_int_equal(mcq_pause(pub.p.s), 0);
    follow(&sub, "a");
    for (int turn = 0; turn < 50; turn++) {
      g.now += 5;
      stage_turns(&g, 1);
    }
    assert_int_equal(sub.subscribed, 0);
    assert_int_equal(mcq_resume(pub.p.s), 0);
    until(&g, sub.subscribed == 1);
    assert_int_equal(player_stats(&pub.p).subscriptions, 1);
    stage_close(&g);
  }
}

/* ---- changes and ends inside callbacks ----------------------------------- */

/* Publishes from where subscriptions change, and changes what is published. */
static void meddle(fan_t* f, const mcq_event_t* e) {
  if (e->kind != MCQ_EVENT_SUBSCRIBED || f->subscribed > 3) return;
  assert_int_equal(say(&f->p, "a|from inside"), 0);
  assert_int_equal(mcq_peer_subscribe(f->p.s, e->peer, "extra", 5),
                   f->subscribed == 1 ? 0 : MCQ_EEXIST);
  assert_int_equal(say(&f->p, "extra"), 0);
  assert_int_equal(mcq_peer_unsubscribe(f->p.s, e->peer, "a", 1),
                   f->subscribed == 1 ? 0 : MCQ_ENOENT);
  assert_int_equal(say(&f->p, "a|no more"), 0);
}

static void tables_change_in_callbacks(int backend) {
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  fan_open(&pub, &g, pub_options);
  fan_open(
      &sub, &g,
      (mcq_socket_options_t){.type = MCQ_SUB, .flags = MCQ_SUB_UNFILTERED});
  player_bind(&pub.p);
  pub.on_event = meddle;
  follow(&sub, "a");
  player_meet(&sub.p, &pub.p);
  follow(&sub, "b");
  until(&g, sub.p.count == 3);
  assert_heard(&sub.p, 0, "a|from inside");
  assert_heard(&sub.p, 1, "extra");
  assert_heard(&sub.p, 2, "extra");
  stage_turns(&g, 5);
  assert_int_equal(sub.p.count, 3);
  stage_close(&g);
}

/* The n-th callback of all closes everything. */
static unsigned closes_at;
static unsigned calls;

static void maybe_close(player_t* p) {
  if (++calls != closes_at) return;
  mcq_ctx_close(p->g->ctx, stage_on_left);
  mcq_close(p->s, NULL);
}

static void close_event(fan_t* f, const mcq_event_t* e) {
  (void) e;
  maybe_close(&f->p);
}

static void close_up(player_t* p, mcq_peer_t peer) {
  (void) peer;
  maybe_close(p);
}

static void close_message(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  assert_false(p->closed);
  assert_true(closes_at == 0 || calls < closes_at); /* none after a close */
  maybe_close(p);
}

static void open_closer(fan_t* f, stage_t* g, mcq_socket_options_t o) {
  fan_open(f, g, o);
  f->on_event = close_event;
  f->p.on_up = close_up;
  f->p.on_down = close_up;
  f->p.on_message = close_message;
}

static void play_and_close(int backend) {
  stage_t g;
  fan_t pub, sub, xsub;
  stage_open(&g, backend, false);
  open_closer(&pub, &g,
              (mcq_socket_options_t){.type = MCQ_XPUB,
                                     .flags = MCQ_XPUB_VERBOSER,
                                     .welcome = "a welcome",
                                     .welcome_len = 9,
                                     .linger_ms = MCQ_LINGER_NONE});
  open_closer(&sub, &g, sub_options);
  open_closer(&xsub, &g, (mcq_socket_options_t){.type = MCQ_XSUB});
  player_bind(&pub.p);
  (void) mcq_subscribe(sub.p.s, "a", 1);
  player_connect(&sub.p, &pub.p);
  player_connect(&xsub.p, &pub.p);
  (void) mcq_subscribe(xsub.p.s, "a", 1);
  for (int i = 0; i < 200 && !g.left; i++) {
    (void) mcq_send_text(pub.p.s, "a message");
    if (i % 20 == 10) (void) mcq_unsubscribe(xsub.p.s, "a", 1);
    if (i % 20 == 19) (void) mcq_subscribe(xsub.p.s, "a", 1);
    if (i == 100 && sub.p.ups > sub.p.downs)
      (void) mcq_peer_close(sub.p.s, sub.p.peer);
    (void) uv_run(&g.loop, UV_RUN_NOWAIT);
    if (calls >= closes_at && closes_at != 0) break;
  }
  stage_close(&g);
}

static void closing_in_every_callback(int backend) {
  closes_at = 0;
  calls = 0;
  for (closes_at = 1; closes_at <= 60; closes_at++) {
    calls = 0;
    play_and_close(backend);
  }
  closes_at = 0;
}

/* ---- handles ------------------------------------------------------------- */

static void stale_handles(int backend) {
  stage_t g;
  fan_t pub, sub;
  stage_open(&g, backend, false);
  pair_up(&g, &pub, &sub, "a");
  mcq_peer_t old = pub.p.peer;
  assert_int_equal(mcq_peer_subscribe(pub.p.s, old, "b", 1), 0);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, old, "b", 1), MCQ_EEXIST);
  assert_int_equal(mcq_peer_unsubscribe(pub.p.s, old, "c", 1), MCQ_ENOENT);
  assert_int_equal(player_stats(&pub.p).subscriptions, 2);
  assert_int_equal(mcq_peer_close(pub.p.s, old), 0);
  until(&g, pub.p.ups == 2 && pub.subscribed == 2);
  assert_int_equal(mcq_peer_subscribe(pub.p.s, old, "c", 1), MCQ_EPEERGONE);
  assert_int_equal(mcq_peer_unsubscribe(pub.p.s, old, "a", 1), MCQ_EPEERGONE);
  mcq_peer_t nobody = {0, 0};
  assert_int_equal(mcq_peer_subscribe(pub.p.s, nobody, "c", 1), MCQ_EPEERGONE);
  assert_int_equal(player_stats(&pub.p).subscriptions, 1); /* "b" went */
  stage_close(&g);
}

/* ---- all of them --------------------------------------------------------- */

#define SCENE(name) \
  { #name, name }

static const scene_t scenes[] = {
    SCENE(the_first_frame_begins_with_it),
    SCENE(nothing_begins_everything),
    SCENE(several_that_match_are_one_message),
    SCENE(without_a_subscription_no_byte_is_sent),
    SCENE(nobody_listens),
    SCENE(subscribed_twice_it_takes_two_to_end),
    SCENE(cancelled_means_not_delivered),
    SCENE(unfiltered_it_comes_all_the_same),
    SCENE(known_before_while_and_after),
    SCENE(all_topics_first_on_every_connection),
    SCENE(a_hundred_thousand_topics),
    SCENE(many_topics_and_messages_do_not_mix),
    SCENE(long_topics),
    SCENE(longer_ones_are_not_kept),
    SCENE(both_forms_from_anyone),
    SCENE(a_publisher_keeps_a_set),
    SCENE(counting_and_not_counting),
    SCENE(repeats_are_forgotten),
    SCENE(an_old_publisher_gets_messages_and_no_ping),
    SCENE(a_new_publisher_gets_commands_and_a_ping),
    SCENE(a_repeated_wish_is_told_once),
    SCENE(or_each_time),
    SCENE(an_answer_from_before_does_not_count),
    SCENE(who_may_not_speak),
    SCENE(a_pub_is_deaf),
    SCENE(a_publisher_knows_who_asked_for_what),
    SCENE(it_works_the_other_way_round),
    SCENE(vanishing_subscribers_leave_nothing),
    SCENE(nor_do_a_great_many),
    SCENE(one_too_many),
    SCENE(too_much_in_all),
    SCENE(too_much_by_default),
    SCENE(inverted_it_is_all_the_others),
    SCENE(inverted_and_nobody_wants_anything),
    SCENE(judged_by_the_subscriber),
    SCENE(inverted_at_the_subscriber),
    SCENE(what_is_in_force_misses_nothing),
    SCENE(nor_do_newcomers),
    SCENE(a_pause_puts_it_off),
    SCENE(tables_change_in_callbacks),
    SCENE(closing_in_every_callback),
    SCENE(stale_handles),
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
