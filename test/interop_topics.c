/* SPDX-License-Identifier: MIT */
/* Publishers and subscribers of ours beside those of real libzmq, which lives
 * in a process of its own: whoever binds, subscriptions both ways in the forms
 * its version speaks, counted as it counts, many and long ones, and forwarders
 * of either side between the two of the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/zmq_stage.h"

#define MANY 100000u
#define BINDS true
#define CONNECTS false

/* ---- our publishers, their subscribers ----------------------------------- */

static void meet(ours_t* o, bool we_bind, int i, const char* theirs) {
  if (we_bind)
    theirs_connect(o->g, i, theirs, ours_bind(o));
  else
    ours_connect(o, theirs_bind(o->g, i, theirs));
}

static void play_ours_to_theirs(const venue_t* venue, int ours, bool we_bind,
                                const char* theirs) {
  stage_t g;
  ours_t pub;
  bool xsub = strcmp(theirs, "xsub") == 0;
  stage_open(&g, venue);
  ours_open(&pub, &g, (mcq_socket_options_t){.type = ours});
  meet(&pub, we_bind, 0, theirs);
  if (xsub) {
    order(&g, "send", 0, "+a");
    order(&g, "send", 0, "+a");
    order(&g, "send", 0, "-a");
    order(&g, "send", 0, "+b");
  } else {
    order(&g, "sub", 0, "a"); /* counted there, a set here */
    order(&g, "sub", 0, "a");
    order(&g, "unsub", 0, "a");
    order(&g, "sub", 0, "b");
  }
  until(&g, pub.subscribed == 2);
  assert_int_equal(ours_topics(&pub), 2);
  ours_say(&pub, "nobody wants this");
  ours_say(&pub, "a1");
  ours_say(&pub, "b|two frames");
  expect_there(&g, 0, "a1");
  expect_there(&g, 0, "b|two frames");
  order(&g, xsub ? "send" : "unsub", 0, xsub ? "-a" : "a");
  until(&g, pub.unsubscribed == 1);
  assert_int_equal(ours_topics(&pub), 1);
  ours_say(&pub, "a2");
  ours_say(&pub, "b2");
  expect_there(&g, 0, "b2");
  if (xsub) {
    order(&g, "send", 0, "user message|of an xsub");
    order(&g, "send", 0, "+last");
    until(&g, pub.subscribed == 3);
    assert_int_equal(pub.count, ours == MCQ_XPUB ? 5 : 0);
  } else if (ours == MCQ_XPUB) {
    assert_int_equal(pub.count, 3); /* +a +b -a */
  }
  assert_int_equal(pub.downs, 0);
  stage_close(&g);
}

static void our_publishers(const venue_t* venue) {
  for (int i = 0; i < 2; i++) {
    bool we_bind = i == 0;
    play_ours_to_theirs(venue, MCQ_PUB, we_bind, "sub");
    play_ours_to_theirs(venue, MCQ_PUB, we_bind, "xsub");
    play_ours_to_theirs(venue, MCQ_XPUB, we_bind, "sub");
    play_ours_to_theirs(venue, MCQ_XPUB, we_bind, "xsub");
  }
}

/* ---- their publishers, our subscribers ----------------------------------- */

static void listen_a_while(stage_t* g) {
  for (int i = 0; i < 5; i++) (void) uv_run(&g->loop, UV_RUN_ONCE);
}

/* Their PUB does not tell what it was asked, and may answer a ping before it
 * has looked at what came with it, so it talks until it is heard. */
static void talk_until(ours_t* o, const char* text) {
  unsigned before = o->count;
  while (o->count == before) {
    order(o->g, "send", 0, text);
    listen_a_while(o->g);
  }
}

static void play_theirs_to_ours(const venue_t* venue, const char* theirs,
                                int ours, bool we_bind) {
  stage_t g;
  ours_t sub;
  bool tells = strcmp(theirs, "xpub") == 0;
  stage_open(&g, venue);
  ours_open(&sub, &g, (mcq_socket_options_t){.type = ours});
  meet(&sub, we_bind, 0, theirs);
  ours_follow(&sub, "a");
  ours_follow(&sub, "a");
  ours_follow(&sub, "long topic");
  if (tells) {
    expect_there(&g, 0, "+a");
    expect_there(&g, 0, "+long topic");
  }
  ours_forsake(&sub, "a");
  talk_until(&sub, "a1"); /* once subscribed, and once cancelled of two */
  talk_until(&sub, "a1");
  ours_follow(&sub, "b");
  if (tells) expect_there(&g, 0, "+b");
  talk_until(&sub, "b1");
  until(&g, sub.subscribed > 0); /* it answers pings */
  ours_forsake(&sub, "a");
  if (tells) expect_there(&g, 0, "-a");
  ours_follow(&sub, "end");
  if (tells) expect_there(&g, 0, "+end");
  while (ours_last(&sub)[0] != 'e') talk_until(&sub, "end");
  unsigned before = sub.count;
  order(&g, "send", 0, "a2");
  order(&g, "send", 0, "b|2");
  until(&g, ours_last(&sub)[0] == 'b');
  for (unsigned i = before; i < sub.count; i++)
    assert_string_not_equal(sub.heard[i % KEPT].line, "a2");
  if (ours == MCQ_XSUB && tells) {
    ours_say(&sub, "up|stream");
    expect_there(&g, 0, "up|stream");
  }
  assert_int_equal(sub.downs, 0);
  stage_close(&g);
}

static void our_subscribers(const venue_t* venue) {
  for (int i = 0; i < 2; i++) {
    bool we_bind = i == 0;
    play_theirs_to_ours(venue, "pub", MCQ_SUB, we_bind);
    play_theirs_to_ours(venue, "pub", MCQ_XSUB, we_bind);
    play_theirs_to_ours(venue, "xpub", MCQ_SUB, we_bind);
    play_theirs_to_ours(venue, "xpub", MCQ_XSUB, we_bind);
  }
}

/* ---- many and long ------------------------------------------------------- */

/* With room for a single message: that is no limit of what is received. */
static void many_of_theirs(const venue_t* venue) {
  stage_t g;
  ours_t pub;
  stage_open(&g, venue);
  ours_open(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB, .sndhwm = 1});
  theirs_connect(&g, 0, "sub", ours_bind(&pub));
  order(&g, "sub", 0, "#100000");
  until(&g, pub.subscribed == MANY);
  assert_int_equal(ours_topics(&pub), MANY);
  ours_say(&pub, "topic 099999 and more");
  expect_there(&g, 0, "topic 099999 and more");
  ours_say(&pub, "topic 000000");
  expect_there(&g, 0, "topic 000000");
  order(&g, "unsub", 0, "#100000");
  until(&g, pub.unsubscribed == MANY);
  assert_int_equal(ours_topics(&pub), 0);
  assert_int_equal(pub.downs, 0);
  stage_close(&g);
}

/* Half of them before there is anybody to tell, half of them afterwards and
 * all at once: with room for a single message none is lost. */
static void play_many_of_ours(const venue_t* venue, int ours) {
  stage_t g;
  ours_t sub;
  char topic[16];
  stage_open(&g, venue);
  ours_open(&sub, &g, (mcq_socket_options_t){.type = ours, .sndhwm = 1});
  for (unsigned i = 0; i < MANY; i++) {
    int len = snprintf(topic, sizeof topic, "topic %06u", i);
    if (i == MANY / 2) {
      meet(&sub, CONNECTS, 0, "xpub");
      until(&g, sub.ups == 1);
    }
    assert_int_equal(mcq_subscribe(sub.s, topic, (size_t) len), 0);
  }
  order(&g, "tally", 0, "100000");
  expect_answer(&g, "100000");
  order(&g, "send", 0, "topic 099999 at last");
  order(&g, "send", 0, "topic 100000 is nobody's");
  order(&g, "send", 0, "topic 000000 and more");
  expect_here(&sub, "topic 099999 at last");
  expect_here(&sub, "topic 000000 and more");
  assert_int_equal(sub.downs, 0);
  stage_close(&g);
}

static void many_of_ours(const venue_t* venue) {
  play_many_of_ours(venue, MCQ_SUB);
  play_many_of_ours(venue, MCQ_XSUB);
}

/* Up to version 4.3.4 it says SUBSCRIBE with a length of one byte where the
 * command is longer than 255 bytes and the topic is not: those it cannot say
 * to anybody, so they are left out where it speaks. */
static bool it_can_say(size_t len) {
  return len < 246 || len > 255;
}

/* A line about a frame of that length. */
static void assert_length(const char* line, size_t len) {
  assert_int_equal(len > LONG_FRAME ? (size_t) atoi(line) : strlen(line), len);
}

static void play_long_topic(ours_t* pub, ours_t* sub, size_t len, char letter) {
  static char text[1 << 16];
  stage_t* g = pub->g;
  char what[32];
  unsigned before = pub->subscribed;
  memset(text, letter, sizeof text);
  assert_int_equal(mcq_subscribe(sub->s, text, len), 0);
  order(g, "recv", 0, "");
  assert_length(answer(g), len + 1);
  if (!it_can_say(len)) return;
  snprintf(what, sizeof what, "%c*%zu", letter, len);
  order(g, "sub", 1, what);
  until(g, pub->subscribed == before + 1);
  assert_int_equal(mcq_send_bytes(pub->s, text, len - 1), 0);
  assert_int_equal(mcq_send_bytes(pub->s, text, len), 0);
  order(g, "recv", 1, "");
  assert_length(answer(g), len);
}

static void long_topics(const venue_t* venue) {
  static const size_t sizes[] = {1,   200, 229,  243,  244,   245,   246,
                                 247, 248, 249,  250,  251,   252,   253,
                                 254, 255, 256,  257,  300,   511,   512,
                                 513, 999, 4096, 9000, 60000, 65534, 65535};
  stage_t g;
  ours_t pub, sub;
  stage_open(&g, venue);
  ours_open(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB});
  theirs_connect(&g, 1, "sub", ours_bind(&pub));
  ours_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  ours_connect(&sub, theirs_bind(&g, 0, "xpub"));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    play_long_topic(&pub, &sub, sizes[i], (char) ('A' + i));
  assert_int_equal(pub.downs + sub.downs, 0);
  stage_close(&g);
}

/* ---- forwarders ---------------------------------------------------------- */

typedef struct forwarder {
  ours_t front, back;
  mcq_proxy_t* proxy;
} forwarder_t;

static void forwarder_open(forwarder_t* f, stage_t* g) {
  ours_open(&f->front, g, (mcq_socket_options_t){.type = MCQ_XSUB});
  ours_open(&f->back, g, (mcq_socket_options_t){.type = MCQ_XPUB});
  mcq_proxy_options_t o = {.front = f->front.s, .back = f->back.s};
  assert_int_equal(mcq_proxy_new(&o, &f->proxy), 0);
}

static void forwarder_close(forwarder_t* f) {
  mcq_proxy_stats_t stats;
  mcq_proxy_stats(f->proxy, &stats);
  assert_int_equal(stats.front.dropped + stats.back.dropped, 0);
  assert_int_equal(f->front.count + f->back.count, 0);
  mcq_proxy_close(f->proxy);
}

/* Their publisher 0 - our proxy - their SUBs 1 and 2.  The publisher is an
 * XPUB, a PUB that tells what it is asked. */
static void play_our_forwarder(const venue_t* venue, bool front_binds) {
  stage_t g;
  forwarder_t f;
  stage_open(&g, venue);
  forwarder_open(&f, &g);
  meet(&f.front, front_binds, 0, "xpub");
  until(&g, f.front.ups == 1);
  meet(&f.back, !front_binds, 1, "sub");
  meet(&f.back, !front_binds, 2, "sub");
  order(&g, "sub", 1, "a");
  expect_there(&g, 0, "+a");
  order(&g, "sub", 1, "a"); /* not told again */
  order(&g, "sub", 2, "a");
  order(&g, "sub", 2, "b");
  expect_there(&g, 0, "+b");
  order(&g, "send", 0, "c");
  order(&g, "send", 0, "a|1");
  order(&g, "send", 0, "b|1");
  expect_there(&g, 1, "a|1");
  expect_there(&g, 2, "a|1");
  expect_there(&g, 2, "b|1");
  order(&g, "unsub", 1, "a"); /* nor half cancelled */
  order(&g, "unsub", 1, "a");
  order(&g, "unsub", 2, "b");
  expect_there(&g, 0, "-b");
  order(&g, "send", 0, "a|2");
  expect_there(&g, 2, "a|2");
  order(&g, "close", 2, ""); /* what it had left is cancelled for it */
  expect_there(&g, 0, "-a");
  assert_int_equal(ours_topics(&f.back) + ours_topics(&f.front), 0);
  forwarder_close(&f);
  stage_close(&g);
}

static void our_forwarder(const venue_t* venue) {
  play_our_forwarder(venue, BINDS);
  play_our_forwarder(venue, CONNECTS);
}

/* Their PUB, which tells nothing - our proxy - their XSUB. */
static void our_forwarder_and_a_pub(const venue_t* venue) {
  stage_t g;
  forwarder_t f;
  mcq_proxy_stats_t stats = {0};
  stage_open(&g, venue);
  forwarder_open(&f, &g);
  meet(&f.front, BINDS, 0, "pub");
  meet(&f.back, BINDS, 1, "xsub");
  order(&g, "send", 1, "+a");
  while (stats.front.messages == 0) {
    order(&g, "send", 0, "b|1");
    order(&g, "send", 0, "a|1");
    listen_a_while(&g);
    mcq_proxy_stats(f.proxy, &stats);
  }
  expect_there(&g, 1, "a|1");
  forwarder_close(&f);
  stage_close(&g);
}

/* Our publisher - their proxy of 0 and 1 - our SUBs. */
static void play_their_forwarder(const venue_t* venue, int ours,
                                 bool front_binds) {
  stage_t g;
  ours_t pub, one, two;
  char uri[URI_MAX];
  stage_open(&g, venue);
  ours_open(&pub, &g, (mcq_socket_options_t){.type = ours});
  ours_open(&one, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  ours_open(&two, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  meet(&pub, !front_binds, 0, "xsub");
  snprintf(uri, sizeof uri, "%s", theirs_bind(&g, 1, "xpub"));
  order(&g, "proxy", 0, "");
  ours_follow(&one, "a");
  ours_follow(&one, "its own");
  ours_follow(&two, "a");
  ours_follow(&two, "a");
  ours_follow(&two, "b");
  ours_connect(&one, uri);
  ours_connect(&two, uri);
  until(&g, pub.subscribed == 3);
  ours_say(&pub, "c");
  ours_say(&pub, "a|x");
  ours_say(&pub, "b|x");
  expect_here(&one, "a|x");
  expect_here(&two, "a|x");
  expect_here(&two, "b|x");
  ours_forsake(&two, "a");
  ours_forsake(&one, "a");
  ours_say(&pub, "a again");
  expect_here(&two, "a again");
  ours_forsake(&two, "a");
  until(&g, pub.unsubscribed == 1);
  mcq_close(two.s, NULL); /* and the proxy cancels what it had left */
  until(&g, pub.unsubscribed == 2);
  assert_int_equal(ours_topics(&pub), 1); /* what is left is one's own */
  assert_int_equal(one.count, 1);
  assert_int_equal(pub.downs, 0);
  stage_close(&g);
}

static void their_forwarder(const venue_t* venue) {
  play_their_forwarder(venue, MCQ_PUB, CONNECTS);
  play_their_forwarder(venue, MCQ_XPUB, BINDS);
}

/* Their XPUB 0 - our proxy - their proxy of 1 and 2 - our proxy - their SUBs 3
 * and 4. */
static void forwarders_in_a_row(const venue_t* venue) {
  stage_t g;
  forwarder_t first, last;
  stage_open(&g, venue);
  forwarder_open(&first, &g);
  forwarder_open(&last, &g);
  meet(&first.front, CONNECTS, 0, "xpub");
  meet(&first.back, BINDS, 1, "xsub");
  meet(&last.front, CONNECTS, 2, "xpub");
  order(&g, "proxy", 1, "");
  meet(&last.back, BINDS, 3, "sub");
  meet(&last.back, BINDS, 4, "sub");
  order(&g, "sub", 3, "a");
  expect_there(&g, 0, "+a");
  order(&g, "sub", 4, "ab");
  expect_there(&g, 0, "+ab");
  order(&g, "send", 0, "b");
  order(&g, "send", 0, "ab|1");
  order(&g, "send", 0, "a|1");
  expect_there(&g, 3, "ab|1");
  expect_there(&g, 3, "a|1");
  expect_there(&g, 4, "ab|1");
  order(&g, "close", 3, "");
  expect_there(&g, 0, "-a");
  order(&g, "send", 0, "a|2");
  order(&g, "send", 0, "ab|2");
  expect_there(&g, 4, "ab|2");
  forwarder_close(&last);
  forwarder_close(&first);
  stage_close(&g);
}

static const scene_t scenes[] = {
    {.name = "our publishers", .play = our_publishers},
    {.name = "our subscribers", .play = our_subscribers},
    {.name = "many of theirs", .play = many_of_theirs, .heavy = true},
    {.name = "many of ours", .play = many_of_ours, .heavy = true},
    {.name = "long topics", .play = long_topics},
    {.name = "our forwarder", .play = our_forwarder},
    {.name = "our forwarder and a pub", .play = our_forwarder_and_a_pub},
    {.name = "their forwarder", .play = their_forwarder},
    {.name = "forwarders in a row", .play = forwarders_in_a_row},
};

int main(void) {
  return venues_play(scenes, sizeof scenes / sizeof *scenes);
}
