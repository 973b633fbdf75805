/* SPDX-License-Identifier: MIT */
/* The options of publishers beside those of libzmq's.  A script tells step by
 * step what a publisher, x, and its subscribers do and what each of them then
 * hears.  It is played by three casts: our publisher with their subscribers,
 * their publisher with ours, and theirs alone, which shows that the script is
 * right about libzmq. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/zmq_stage.h"

#define PLAYERS 4 /* x, 1, 2, 3 */
#define STEPS_MAX 40

typedef enum cast { OUR_PUBLISHER = 1, OUR_SUBSCRIBERS = 2, THEIRS = 4 } cast_t;
#define EVERYBODY (OUR_PUBLISHER | OUR_SUBSCRIBERS | THEIRS)

/* What the publisher is, as words. */
typedef struct script {
  const char* name;
  const char* x;    /* its options: words, "welcome" is "W" */
  const char* subs; /* their type, and options */
  int casts;
  const char* steps[STEPS_MAX];
} script_t;

/* "joins", "leaves": a subscriber connects, is closed and made anew.
 * "sub T", "unsub T": as SUB and XSUB do that.
 * "hears LINE": the next message; of x: a subscription, or one from an XSUB.
 * "says LINE": a message.
 * "grants T", "revokes T": x, to who was heard last, with manual.
 * "gives LINE": x, to who was heard last alone, and only if granted. */
static const script_t scripts[] = {
    {"the first and the last",
     "",
     "sub",
     EVERYBODY,
     {"1 joins",     "2 joins",     "1 sub a",    "x hears +a", "2 sub a",
      "2 sub b",     "x hears +b",  "x says a1",  "1 hears a1", "2 hears a1",
      "1 unsub a",   "1 sub c",     "x hears +c", "x says a2",  "2 hears a2",
      "2 unsub a",   "x hears -a",  "x says a3",  "x says b|x", "x says c|x",
      "2 hears b|x", "1 hears c|x", "2 leaves",   "x hears -b", "1 leaves",
      "x hears -c"}},
    {"twice is once more to cancel",
     "",
     "sub",
     EVERYBODY,
     {"1 joins", "1 sub a", "1 sub a", "x hears +a", "1 sub b", "x hears +b",
      "x says a1", "1 hears a1", "1 unsub a", "1 sub c", "x hears +c",
      "x says a2", "1 hears a2", "1 unsub a", "x hears -a", "x says a3",
      "x says b3", "1 hears b3"}},
    {"empty begins everything",
     "",
     "sub",
     EVERYBODY,
     {"1 joins", "1 sub ", "x hears +", "1 sub a", "x hears +a", "x says a1",
      "x says z", "x says |body", "1 hears a1", "1 hears z", "1 hears |body",
      "1 unsub ", "x hears -", "x says z", "x says a2", "1 hears a2"}},
    {"verbose",
     "verbose",
     "xsub",
     EVERYBODY,
     {"1 joins",    "2 joins",    "1 sub a",    "x hears +a", "2 sub a",
      "x hears +a", "1 sub a",    "x hears +a", "x says a1",  "1 hears a1",
      "2 hears a1", "1 unsub a",  "1 unsub a",  "1 sub b",    "x hears +b",
      "x says a2",  "2 hears a2", "2 unsub a",  "x hears -a", "2 sub b",
      "x hears +b", "2 leaves",   "1 leaves",   "x hears -b"}},
    {"verboser",
     "verboser",
     "xsub",
     EVERYBODY,
     {"1 joins",    "2 joins",    "1 sub a",    "x hears +a", "2 sub a",
      "x hears +a", "1 sub a",    "x hears +a", "1 unsub a",  "1 unsub a",
      "x hears -a", "x says a1",  "2 hears a1", "2 unsub a",  "x hears -a",
      "1 sub b",    "x hears +b", "2 sub b",    "x hears +b", "2 leaves",
      "x hears -b", "1 leaves",   "x hears -b"}},
    {"subscribed twice under verbose",
     "verbose",
     "sub",
     OUR_PUBLISHER | THEIRS,
     {"1 joins", "1 sub a", "x hears +a", "1 sub a", "x hears +a", "1 unsub a",
      "1 sub b", "x hears +b", "1 unsub a", "x hears -a"}},
    {"subscribed twice, said once",
     "verbose",
     "sub",
     OUR_SUBSCRIBERS,
     {"1 joins", "1 sub a", "x hears +a", "1 sub a", "1 sub b", "x hears +b",
      "1 unsub a", "x says a1", "1 hears a1", "1 unsub a", "x hears -a"}},
    {"subscribed twice, said twice",
     "verbose",
     "sub repeats",
     OUR_SUBSCRIBERS,
     {"1 joins", "1 sub a", "x hears +a", "1 sub a", "x hears +a", "1 unsub a",
      "1 sub b", "x hears +b", "x says a1", "1 hears a1", "1 unsub a",
      "x hears -a", "1 sub a", "x hears +a", "x says a2", "1 hears a2"}},
    {"counted, and a SUB that cancels once", /* keeps a ghost until it goes */
     "counts",
     "sub",
     OUR_PUBLISHER,
     {"1 joins",   "2 joins",    "1 sub a",    "x hears +a", "1 sub a",
      "2 sub a",   "2 sub c",    "x hears +c", "1 sub d",    "x hears +d",
      "1 unsub a", "x says a1",  "1 hears a1", "2 hears a1", "2 unsub a",
      "2 unsub c", "x hears -c", "1 unsub a",  "1 unsub d",  "x hears -d",
      "1 sub b",   "x hears +b", "x says a2",  "x says b2",  "1 hears b2",
      "1 unsub b", "x hears -b", "1 leaves",   "x hears -a"}},
    {"counted, and an XSUB that is forgetful",
     "counts verboser",
     "xsub",
     OUR_PUBLISHER,
     {"1 joins", "1 sub a", "x hears +a", "1 sub a", "x hears +a", "1 unsub a",
      "1 unsub a", "x hears -a", "x says a1", "1 hears a1", "1 sub a",
      "x hears +a", "1 leaves", "x hears -a"}},
    {"every cancellation", /* libzmq tells of what was cancelled before, too */
     "verboser",
     "xsub each",
     OUR_SUBSCRIBERS,
     {"1 joins", "1 sub a", "x hears +a", "1 sub a", "x hears +a", "1 unsub a",
      "x hears -a", "1 unsub a", "x hears -a"}},
    {"what an XSUB says",
     "",
     "xsub",
     EVERYBODY,
     {"1 joins", "1 says up|stream", "x hears up|stream", "1 says hello",
      "x hears hello", "1 sub a", "x hears +a", "x says a1", "1 hears a1"}},
    {"a subscription is alone in its message",
     "",
     "xsub",
     OUR_PUBLISHER,
     {"1 joins", "1 says +up|stream", "x hears +up|stream", "1 sub a",
      "x hears +a", "x says up", "x says a1", "1 hears a1"}},
    {"for libzmq it need not be",
     "",
     "xsub",
     OUR_SUBSCRIBERS | THEIRS,
     {"1 joins", "1 says +up|stream", "x hears +up", "x hears stream",
      "x says up1", "1 hears up1"}},
    {"manual",
     "manual",
     "xsub",
     EVERYBODY,
     {"1 joins",      "2 joins",    "1 sub a",    "x hears +a", "x grants xa",
      "2 sub a",      "x hears +a", "x says a1",  "x says xa1", "1 hears xa1",
      "x grants b",   "x says b1",  "2 hears b1", "1 sub a",    "x hears +a",
      "1 unsub a",    "1 unsub a",  "x hears -a", "x says xa2", "1 hears xa2",
      "x revokes xa", "x says xa3", "1 sub c",    "x hears +c", "x grants c",
      "x says c1",    "1 hears c1", "2 leaves",   "x hears -a", "1 leaves",
      "x hears -c",   "x says b2"}},
    {"manual and a filter of one's own",
     "manual",
     "sub",
     EVERYBODY,
     {"1 joins", "1 sub a", "x hears +a", "x grants b", "x says b1",
      "x grants ab", "x says a1", "x says ab1", "1 hears ab1"}},
    {"unfiltered",
     "manual",
     "unfiltered",
     OUR_SUBSCRIBERS,
     {"1 joins", "1 sub a", "x hears +a", "x grants b", "x says a1",
      "x says b1", "1 hears b1"}},
    {"unfiltered, as an XSUB is",
     "manual",
     "xsub",
     EVERYBODY,
     {"1 joins", "1 sub a", "x hears +a", "x grants b", "x says a1",
      "x says b1", "1 hears b1"}},
    {"a welcome to who asked for it",
     "welcome",
     "sub",
     EVERYBODY,
     {"1 sub W", "1 joins", "x hears +W", "x says W1", "1 hears W",
      "1 hears W1", "1 leaves", "x hears -W", "1 sub W", "1 joins", "1 hears W",
      "x hears +W", "2 sub a", "2 joins", "x hears +a", "x says a1",
      "2 hears a1"}},
    {"a welcome to all",
     "welcome",
     "xsub",
     EVERYBODY,
     {"1 joins", "1 hears W", "2 joins", "2 hears W", "1 sub W", "x hears +W",
      "x says W1", "1 hears W1"}},
    {"inverted",
     "invert",
     "sub invert",
     EVERYBODY,
     {"1 joins",     "2 joins",     "3 joins",    "1 sub z",    "x hears +z",
      "2 sub a",     "x hears +a",  "3 sub ",     "x hears +",  "x says a1",
      "x says b1",   "1 hears a1",  "1 hears b1", "2 hears b1", "1 unsub z",
      "x hears -z",  "x says z2",   "1 hears z2", "2 hears z2", "2 sub ab",
      "x hears +ab", "2 unsub a",   "x hears -a", "x says ab3", "x says a3",
      "2 hears a3",  "1 hears ab3", "1 hears a3", "3 unsub ",   "x hears -",
      "x says |4",   "1 hears |4",  "2 hears |4", "3 hears |4"}},
    {"the last value",
     "manual last",
     "sub",
     EVERYBODY,
     {"1 joins", "1 sub k", "x hears +k", "x grants k", "x gives k|0",
      "1 hears k|0", "x says k|1", "1 hears k|1", "2 joins", "2 sub k",
      "x hears +k", "x grants k", "x gives k|1", "2 hears k|1", "x says k|2",
      "2 hears k|2", "1 hears k|2"}},
    {"the last value, simply",
     "verbose",
     "sub",
     OUR_PUBLISHER,
     {"1 joins", "1 sub k", "x hears +k", "x gives k|0", "1 hears k|0",
      "x says k|1", "1 hears k|1", "2 joins", "2 sub k", "x hears +k",
      "x gives k|1", "2 hears k|1", "x says k|2", "2 hears k|2",
      "1 hears k|2"}},
};

/* ---- players ------------------------------------------------------------- */

typedef struct player {
  bool ours;
  ours_t o;
  mcq_peer_t last; /* who was heard */
} player_t;

typedef struct show {
  stage_t stage;
  const script_t* script;
  const char* step;
  char uri[URI_MAX];
  player_t players[PLAYERS];
} show_t;

static const struct {
  const char* word;
  int flag; /* ours */
} words[] = {
    {"verbose", MCQ_XPUB_VERBOSE},        {"verboser", MCQ_XPUB_VERBOSER},
    {"manual", MCQ_XPUB_MANUAL},          {"each", MCQ_XSUB_VERBOSE},
    {"invert", MCQ_INVERT_MATCHING},      {"unfiltered", MCQ_SUB_UNFILTERED},
    {"repeats", MCQ_SUB_SEND_DUPLICATES}, {"counts", MCQ_PUB_COUNT_SUBS}};

/* Whether `list` has the word, between blanks or ends. */
static bool has(const char* list, const char* word) {
  size_t len = strlen(word);
  for (const char* at = list; *at != '\0'; at += strspn(at, " ")) {
    size_t here = strcspn(at, " ");
    if (here == len && memcmp(at, word, len) == 0) return true;
    at += here;
  }
  return false;
}

static bool is_xsub(const show_t* w) {
  return has(w->script->subs, "xsub");
}

static void open_ours(show_t* w, int who) {
  const char* list = who == 0 ? w->script->x : w->script->subs;
  mcq_socket_options_t o = {.type = who == 0     ? MCQ_XPUB
                                    : is_xsub(w) ? MCQ_XSUB
                                                 : MCQ_SUB};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (has(list, words[i].word)) o.flags |= words[i].flag;
  if (has(list, "welcome")) {
    o.welcome = "W";
    o.welcome_len = 1;
  }
  ours_open(&w->players[who].o, &w->stage, o);
}

static void open_theirs(show_t* w, int who) {
  static const char* const settings[] = {"verbose", "verboser", "manual",
                                         "last", "invert"};
  const char* list = who == 0 ? w->script->x : w->script->subs;
  stage_t* g = &w->stage;
  char what[32];
  order(g, "open", who, who == 0 ? "xpub" : is_xsub(w) ? "xsub" : "sub");
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (!has(list, settings[i])) continue;
    snprintf(what, sizeof what, "%s 1", settings[i]);
    order(g, "set", who, what);
  }
  if (has(list, "welcome")) order(g, "set", who, "welcome W");
}

static void open_player(show_t* w, int who) {
  if (w->players[who].ours)
    open_ours(w, who);
  else
    open_theirs(w, who);
}

static void close_player(show_t* w, int who) {
  if (w->players[who].ours)
    mcq_close(w->players[who].o.s, NULL);
  else
    order(&w->stage, "close", who, "");
}

static void listen_there(show_t* w) {
  player_t* x = &w->players[0];
  if (x->ours) {
    snprintf(w->uri, sizeof w->uri, "%s", ours_bind(&x->o));
    return;
  }
  order(&w->stage, "bind", 0, "");
  snprintf(w->uri, sizeof w->uri, "%s", answer(&w->stage));
}

/* ---- steps --------------------------------------------------------------- */

static void join(show_t* w, int who) {
  if (w->players[who].ours)
    ours_connect(&w->players[who].o, w->uri);
  else
    order(&w->stage, "connect", who, w->uri);
}

static void change(show_t* w, int who, const char* topic, bool wanted) {
  player_t* p = &w->players[who];
  char line[64];
  snprintf(line, sizeof line, "%c%s", wanted ? '+' : '-', topic);
  if (p->ours && is_xsub(w))
    ours_say(&p->o, line);
  else if (p->ours && wanted)
    ours_follow(&p->o, topic);
  else if (p->ours)
    ours_forsake(&p->o, topic);
  else if (is_xsub(w))
    order(&w->stage, "send", who, line);
  else
    order(&w->stage, wanted ? "sub" : "unsub", who, topic);
}

static void hear(show_t* w, int who, const char* line) {
  player_t* p = &w->players[who];
  const char* got;
  if (p->ours) {
    const heard_t* h = ours_hear(&p->o);
    p->last = h->peer;
    got = h->line;
  } else {
    order(&w->stage, "recv", who, "");
    got = answer(&w->stage);
  }
  if (strcmp(got, line) != 0)
    fail_msg("\"%s\", step \"%s\": it was \"%s\"", w->script->name, w->step,
             got);
}

static void say(show_t* w, int who, const char* line) {
  if (w->players[who].ours)
    ours_say(&w->players[who].o, line);
  else
    order(&w->stage, "send", who, line);
}

static void allow(show_t* w, const char* topic, bool wanted) {
  player_t* x = &w->players[0];
  if (!x->ours)
    order(&w->stage, wanted ? "sub" : "unsub", 0, topic);
  else if (wanted)
    assert_int_equal(mcq_peer_subscribe(x->o.s, x->last, topic, strlen(topic)),
                     0);
  else
    assert_int_equal(
        mcq_peer_unsubscribe(x->o.s, x->last, topic, strlen(topic)), 0);
}

/* With "manual last" what libzmq says next is to the last one alone. */
static void give(show_t* w, const char* line) {
  player_t* x = &w->players[0];
  const char* bar = strchr(line, '|');
  if (!x->ours) {
    order(&w->stage, "send", 0, line);
    return;
  }
  mcq_frame_t f[2] = {{line, (size_t) (bar - line)},
                      {bar + 1, strlen(bar + 1)}};
  assert_int_equal(mcq_send_to(x->o.s, x->last, f, 2), 0);
}

static void take_step(show_t* w, const char* step) {
  char verb[16];
  int after = 0;
  int who = step[0] == 'x' ? 0 : step[0] - '0';
  assert_int_equal(sscanf(step + 2, "%15s%n", verb, &after), 1);
  const char* what = step + 2 + after;
  w->step = step;
  if (*what == ' ') what++;
  if (strcmp(verb, "joins") == 0) {
    join(w, who);
  } else if (strcmp(verb, "leaves") == 0) {
    close_player(w, who);
    open_player(w, who);
  } else if (strcmp(verb, "sub") == 0 || strcmp(verb, "unsub") == 0) {
    change(w, who, what, verb[0] == 's');
  } else if (strcmp(verb, "hears") == 0) {
    hear(w, who, what);
  } else if (strcmp(verb, "says") == 0) {
    say(w, who, what);
  } else if (strcmp(verb, "grants") == 0 || strcmp(verb, "revokes") == 0) {
    allow(w, what, verb[0] == 'g');
  } else {
    assert_string_equal(verb, "gives");
    give(w, what);
  }
}

/* ---- shows --------------------------------------------------------------- */

static void play_script(show_t* w, const script_t* script, cast_t cast) {
  memset(w->players, 0, sizeof w->players);
  w->script = script;
  print_message("  %s\n", script->name);
  for (int who = 0; who < PLAYERS; who++) {
    w->players[who].ours = cast == (who == 0 ? OUR_PUBLISHER : OUR_SUBSCRIBERS);
    open_player(w, who);
  }
  listen_there(w);
  for (int i = 0; i < STEPS_MAX && script->steps[i] != NULL; i++)
    take_step(w, script->steps[i]);
  for (int who = 0; who < PLAYERS; who++) close_player(w, who);
}

static void all_scripts(const venue_t* venue, cast_t cast) {
  static show_t w;
  stage_open(&w.stage, venue);
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
    if ((scripts[i].casts & (int) cast) != 0)
      play_script(&w, &scripts[i], cast);
  stage_close(&w.stage);
}

static void our_publisher(const venue_t* venue) {
  all_scripts(venue, OUR_PUBLISHER);
}

static void our_subscribers(const venue_t* venue) {
  all_scripts(venue, OUR_SUBSCRIBERS);
}

static void theirs_alone(const venue_t* venue) {
  all_scripts(venue, THEIRS);
}

/* ---- only the newest waits ----------------------------------------------- */

#define CHANGES 600
#define BODY ((size_t) 60000)

/* They do not read before everything was said, so most of it has waited in
 * vain.  What comes is whole, with every frame; libzmq's own can have but
 * one. */
static void our_newest(const venue_t* venue) {
  static char body[BODY];
  stage_t g;
  ours_t pub;
  char text[16];
  int seen = 0;
  int last = -1;
  stage_open(&g, venue);
  ours_open(&pub, &g,
            (mcq_socket_options_t){.type = MCQ_PUB, .flags = MCQ_CONFLATE});
  order(&g, "open", 0, "sub");
  order(&g, "set", 0, "rcvhwm 1");
  order(&g, "sub", 0, "k");
  order(&g, "connect", 0, ours_bind(&pub));
  until(&g, pub.subscribed == 1);
  for (int i = 0; i < CHANGES; i++) {
    int len = snprintf(text, sizeof text, "k%d", i);
    mcq_frame_t f[2] = {{text, (size_t) len}, {body, sizeof body}};
    assert_int_equal(mcq_send(pub.s, f, 2), 0);
    (void) uv_run(&g.loop, UV_RUN_NOWAIT);
  }
  for (; last < CHANGES - 1; seen++) {
    int number, size;
    order(&g, "recv", 0, "");
    assert_int_equal(sscanf(answer(&g), "k%d|%d", &number, &size), 2);
    assert_int_equal(size, BODY);
    assert_true(number > last);
    last = number;
  }
  assert_in_range(seen, 1, CHANGES / 2);
  stage_close(&g);
}

/* From theirs to ours the newest comes, too, whatever came before. */
static void their_newest(const venue_t* venue) {
  stage_t g;
  ours_t sub;
  char line[16];
  stage_open(&g, venue);
  ours_open(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  order(&g, "open", 0, "pub");
  order(&g, "set", 0, "conflate 1");
  order(&g, "bind", 0, "");
  ours_follow(&sub, "k");
  ours_connect(&sub, answer(&g));
  while (sub.count == 0) { /* it does not tell when it knows */
    order(&g, "send", 0, "k");
    for (int i = 0; i < 5; i++) (void) uv_run(&g.loop, UV_RUN_ONCE);
  }
  for (int i = 0; i < CHANGES; i++) {
    snprintf(line, sizeof line, "k%d", i);
    order(&g, "send", 0, line);
  }
  /* libzmq's sender may fall asleep beside its last message (the flag that says
   * whether it must be woken is set after it has looked); the next wakes it. */
  for (int i = 1; strcmp(ours_last(&sub), line) != 0; i++) {
    assert_true(i < 5000);
    if (i % 100 == 0) order(&g, "send", 0, line);
    (void) uv_run(&g.loop, UV_RUN_ONCE);
  }
  stage_close(&g);
}

static const scene_t scenes[] = {
    {.name = "theirs alone", .play = theirs_alone},
    {.name = "our publisher", .play = our_publisher},
    {.name = "our subscribers", .play = our_subscribers},
    {.name = "our newest", .play = our_newest},
    {.name = "their newest", .play = their_newest},
};

int main(void) {
  return venues_play(scenes, sizeof scenes / sizeof *scenes);
}
