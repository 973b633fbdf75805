/* SPDX-License-Identifier: MIT */
/* Publishers and subscribers of ours beside those of real libzmq, which lives
 * in a process of its own: subscriptions both ways in the forms its version
 * speaks, counted as it counts, many and long ones, and forwarders of either
 * side between the two of the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <zmq.h>

#include "support/zmq_match.h"

#define MANY 100000u

/* ---- our side ------------------------------------------------------------ */

typedef struct ours {
  struct stage* g;
  mcq_socket_t* s;
  mcq_endpoint_t at;
  unsigned ups, downs, count, subscribed, unsubscribed;
  char last[256]; /* the first frame of the last message */
  size_t last_len;
  struct ours* to; /* forwards there */
} ours_t;

typedef struct stage {
  uv_loop_t loop;
  uv_timer_t tick;
  mcq_ctx_t* ctx;
  bool left;
  int order[2]; /* lines to them */
  int answer[2];
  pid_t child;
} stage_t;

static void on_tick(uv_timer_t* tick) {
  (void) tick;
}

#define until(g, condition) \
  while (!(condition)) (void) uv_run(&(g)->loop, UV_RUN_ONCE)

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  ours_t* o = (ours_t*) mcq_socket_data(s);
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  (void) peer;
  o->count++;
  o->last_len = f.len;
  if (f.len != 0)
    memcpy(o->last, f.data, f.len < sizeof o->last ? f.len : sizeof o->last);
  if (o->to != NULL) assert_int_equal(mcq_send_msg(o->to->s, msg), 0);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((ours_t*) mcq_socket_data(s))->ups++;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((ours_t*) mcq_socket_data(s))->downs++;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  ours_t* o = (ours_t*) mcq_socket_data(s);
  if (e->kind == MCQ_EVENT_SUBSCRIBED) o->subscribed++;
  if (e->kind == MCQ_EVENT_UNSUBSCRIBED) o->unsubscribed++;
}

static void open_ours(stage_t* g, ours_t* o, mcq_socket_options_t options) {
  memset(o, 0, sizeof *o);
  o->g = g;
  options.data = o;
  options.on_message = on_message;
  options.on_peer_up = on_up;
  options.on_peer_down = on_down;
  options.on_event = on_event;
  options.sndhwm = -1;
  options.sndhwm_bytes = -1;
  assert_int_equal(mcq_socket_new(g->ctx, &options, &o->s), 0);
}

static const char* bind_ours(ours_t* o) {
  assert_int_equal(mcq_bind(o->s, "tcp://127.0.0.1:*", &o->at), 0);
  return mcq_endpoint_uri(o->s, o->at);
}

static void connect_ours(ours_t* o, const char* uri) {
  assert_int_equal(mcq_connect(o->s, uri, NULL, NULL), 0);
}

static uint64_t topics_of(const ours_t* o) {
  mcq_stats_t stats;
  mcq_stats(o->s, &stats);
  return stats.subscriptions;
}

static void on_left(void* data) {
  ((stage_t*) data)->left = true;
}

/* ---- their side: a process that does what it is told, line by line ------- */

typedef struct theirs {
  void* ctx;
  void* sockets[4];
  FILE* in;
  FILE* out;
} theirs_t;

static const struct {
  const char* name;
  int type;
} types[] = {
    {"pub", ZMQ_PUB}, {"sub", ZMQ_SUB}, {"xpub", ZMQ_XPUB}, {"xsub", ZMQ_XSUB}};

static void their_open(theirs_t* t, int i, const char* type) {
  int none = 0;
  for (size_t k = 0; k < 4; k++)
    if (strcmp(types[k].name, type) == 0)
      t->sockets[i] = zmq_socket(t->ctx, types[k].type);
  MUST(t->sockets[i] != NULL);
  MUST(zmq_setsockopt(t->sockets[i], ZMQ_SNDHWM, &none, sizeof none) == 0);
  MUST(zmq_setsockopt(t->sockets[i], ZMQ_RCVHWM, &none, sizeof none) == 0);
  MUST(zmq_setsockopt(t->sockets[i], ZMQ_LINGER, &none, sizeof none) == 0);
}

static void their_bind(theirs_t* t, int i) {
  char uri[URI_MAX];
  size_t len = sizeof uri;
  MUST(zmq_bind(t->sockets[i], "tcp://127.0.0.1:*") == 0);
  MUST(zmq_getsockopt(t->sockets[i], ZMQ_LAST_ENDPOINT, uri, &len) == 0);
  fprintf(t->out, "%s\n", uri);
}

/* Topics of a shape: `count` numbers, or one of `len` equal letters. */
static void their_topics(theirs_t* t, int i, int option, const char* what) {
  static char text[70000];
  unsigned count;
  size_t len;
  char letter;
  if (sscanf(what, "#%u", &count) == 1) {
    for (unsigned k = 0; k < count; k++) {
      int n = snprintf(text, sizeof text, "topic %06u", k);
      MUST(zmq_setsockopt(t->sockets[i], option, text, (size_t) n) == 0);
    }
  } else if (sscanf(what, "%c*%zu", &letter, &len) == 2) {
    memset(text, letter, len);
    MUST(zmq_setsockopt(t->sockets[i], option, text, len) == 0);
  } else {
    MUST(zmq_setsockopt(t->sockets[i], option, what, strlen(what)) == 0);
  }
}

/* One message; '+' and '-' begin subscriptions of an XSUB, '|' parts frames. */
static void their_send(theirs_t* t, int i, char* what) {
  if (what[0] == '+') what[0] = 1;
  size_t first = what[0] == '-' ? 1 : 0;
  if (first == 1) what[0] = 0;
  size_t len = first + strlen(what + first);
  char* bar = (char*) memchr(what, '|', len);
  if (bar != NULL) {
    size_t head = (size_t) (bar - what);
    MUST(zmq_send(t->sockets[i], what, head, ZMQ_SNDMORE) >= 0);
    MUST(zmq_send(t->sockets[i], bar + 1, len - head - 1, 0) >= 0);
  } else {
    MUST(zmq_send(t->sockets[i], what, len, 0) >= 0);
  }
}

/* The next message as a line; its size where it is long. */
static void their_recv(theirs_t* t, int i) {
  static char text[70000];
  int more = 1;
  size_t size = sizeof more;
  const char* gap = "";
  while (more) {
    int n = zmq_recv(t->sockets[i], text, sizeof text, 0);
    MUST(n >= 0 && n <= (int) sizeof text);
    fprintf(t->out, "%s", gap);
    if (n > 200) fprintf(t->out, "%d", n);
    for (int k = 0; k < n && n <= 200; k++)
      fputc(text[k] == 1 ? '+' : text[k] == 0 ? '-' : text[k], t->out);
    MUST(zmq_getsockopt(t->sockets[i], ZMQ_RCVMORE, &more, &size) == 0);
    gap = "|";
  }
  fputc('\n', t->out);
}

static int their_life(int in, int out) {
  static char line[1024];
  theirs_t t = {.ctx = zmq_ctx_new()};
  char verb[16];
  char what[512];
  int i;
  t.in = fdopen(in, "r");
  t.out = fdopen(out, "w");
  MUST(t.ctx != NULL && t.in != NULL && t.out != NULL);
  while (fgets(line, sizeof line, t.in) != NULL) {
    what[0] = '\0';
    MUST(sscanf(line, "%15s %d %511[^\n]", verb, &i, what) >= 2);
    if (strcmp(verb, "open") == 0)
      their_open(&t, i, what);
    else if (strcmp(verb, "bind") == 0)
      their_bind(&t, i);
    else if (strcmp(verb, "connect") == 0)
      MUST(zmq_connect(t.sockets[i], what) == 0);
    else if (strcmp(verb, "sub") == 0)
      their_topics(&t, i, ZMQ_SUBSCRIBE, what);
    else if (strcmp(verb, "unsub") == 0)
      their_topics(&t, i, ZMQ_UNSUBSCRIBE, what);
    else if (strcmp(verb, "send") == 0)
      their_send(&t, i, what);
    else if (strcmp(verb, "recv") == 0)
      their_recv(&t, i);
    else if (strcmp(verb, "proxy") == 0)
      (void) zmq_proxy(t.sockets[0], t.sockets[1], NULL);
    else
      MUST(false);
    fflush(t.out);
  }
  for (int k = 0; k < 4; k++)
    if (t.sockets[k] != NULL) zmq_close(t.sockets[k]);
  zmq_ctx_term(t.ctx);
  return 0;
}

/* ---- a stage with both on it --------------------------------------------- */

static void open_stage(stage_t* g, int backend) {
  memset(g, 0, sizeof *g);
  assert_int_equal(pipe(g->order), 0);
  assert_int_equal(pipe(g->answer), 0);
  g->child = fork_peer();
  if (g->child == 0) {
    close(g->order[1]);
    close(g->answer[0]);
    _exit(their_life(g->order[0], g->answer[1]));
  }
  close(g->order[0]);
  close(g->answer[1]);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  uv_timer_init(&g->loop, &g->tick);
  uv_timer_start(&g->tick, on_tick, 1, 1);
  mcq_ctx_options_t o = {.backend = backend, .data = g};
  assert_int_equal(mcq_ctx_new(&g->loop, &o, &g->ctx), 0);
}

/* `hard`: the other process is in a call that does not end. */
static void close_stage(stage_t* g, bool hard) {
  mcq_ctx_close(g->ctx, on_left);
  until(g, g->left);
  uv_close((uv_handle_t*) &g->tick, NULL);
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  close(g->order[1]);
  close(g->answer[0]);
  if (hard)
    leave_peer(g->child);
  else
    join_peer(g->child);
}

static void order(stage_t* g, const char* verb, int i, const char* what) {
  char line[700];
  int len = snprintf(line, sizeof line, "%s %d %s\n", verb, i, what);
  assert_int_equal(write(g->order[1], line, (size_t) len), len);
}

/* A line of theirs, while our loop goes on. */
static const char* answer(stage_t* g) {
  static char line[1024];
  size_t len = 0;
  struct pollfd p = {.fd = g->answer[0], .events = POLLIN};
  for (;;) {
    until(g, poll(&p, 1, 0) == 1);
    assert_int_equal(read(g->answer[0], line + len, 1), 1);
    if (line[len] == '\n') break;
    assert_true(++len < sizeof line);
  }
  line[len] = '\0';
  return line;
}

static void expect_answer(stage_t* g, const char* text) {
  assert_string_equal(answer(g), text);
}

/* The next message that socket `i` of theirs has. */
static void expect_there(stage_t* g, int i, const char* text) {
  order(g, "recv", i, "");
  expect_answer(g, text);
}

static void open_theirs(stage_t* g, int i, const char* type, const char* uri) {
  order(g, "open", i, type);
  order(g, "connect", i, uri);
}

static void say(ours_t* o, const char* text) {
  size_t head = strcspn(text, "|");
  mcq_frame_t frames[2] = {{text, head}, {text + head + 1, 0}};
  size_t count = text[head] == '|' ? 2 : 1;
  if (count == 2) frames[1].len = strlen(text + head + 1);
  assert_int_equal(mcq_send(o->s, frames, count), 0);
}

static void follow(ours_t* o, const char* topic) {
  assert_int_equal(mcq_subscribe(o->s, topic, strlen(topic)), 0);
}

static void forsake(ours_t* o, const char* topic) {
  assert_int_equal(mcq_unsubscribe(o->s, topic, strlen(topic)), 0);
}

static void expect_here(ours_t* o, unsigned count, const char* last) {
  until(o->g, o->count >= count);
  assert_int_equal(o->count, count);
  assert_int_equal(o->last_len, strlen(last));
  assert_memory_equal(o->last, last, strlen(last));
}

/* ---- our publishers, their subscribers ----------------------------------- */

static void play_ours_to_theirs(int backend, int ours, const char* theirs) {
  stage_t g;
  ours_t pub;
  bool xsub = strcmp(theirs, "xsub") == 0;
  open_stage(&g, backend);
  open_ours(&g, &pub, (mcq_socket_options_t){.type = ours});
  open_theirs(&g, 0, theirs, bind_ours(&pub));
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
  assert_int_equal(topics_of(&pub), 2);
  say(&pub, "nobody wants this");
  say(&pub, "a1");
  say(&pub, "b|two frames");
  expect_there(&g, 0, "a1");
  expect_there(&g, 0, "b|two frames");
  order(&g, xsub ? "send" : "unsub", 0, xsub ? "-a" : "a");
  until(&g, pub.unsubscribed == 1);
  assert_int_equal(topics_of(&pub), 1);
  say(&pub, "a2");
  say(&pub, "b2");
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
  close_stage(&g, false);
}

static void our_publishers(void** state) {
  (void) state;
  const int backends[] = {MCQ_BACKEND_UV, second_backend()};
  for (int i = 0; i < 2; i++) {
    play_ours_to_theirs(backends[i], MCQ_PUB, "sub");
    play_ours_to_theirs(backends[i], MCQ_PUB, "xsub");
    play_ours_to_theirs(backends[i], MCQ_XPUB, "sub");
    play_ours_to_theirs(backends[i], MCQ_XPUB, "xsub");
  }
}

/* ---- their publishers, our subscribers ----------------------------------- */

/* Their PUB does not tell what it was asked, so it talks until it is heard. */
static void talk_until(stage_t* g, ours_t* o, const char* text) {
  unsigned before = o->count;
  while (o->count == before) {
    order(g, "send", 0, text);
    for (int i = 0; i < 5; i++) (void) uv_run(&g->loop, UV_RUN_ONCE);
  }
}

static void play_theirs_to_ours(int backend, const char* theirs, int ours) {
  stage_t g;
  ours_t sub;
  bool tells = strcmp(theirs, "xpub") == 0;
  open_stage(&g, backend);
  open_ours(&g, &sub, (mcq_socket_options_t){.type = ours});
  order(&g, "open", 0, theirs);
  order(&g, "bind", 0, "");
  connect_ours(&sub, answer(&g));
  follow(&sub, "a");
  follow(&sub, "a");
  follow(&sub, "long topic");
  if (tells) {
    expect_there(&g, 0, "+a");
    expect_there(&g, 0, "+long topic");
  }
  forsake(&sub, "a");
  talk_until(&g, &sub, "a1"); /* once subscribed, and once cancelled of two */
  talk_until(&g, &sub, "a1");
  follow(&sub, "b");
  if (tells) expect_there(&g, 0, "+b");
  talk_until(&g, &sub, "b1");
  until(&g, sub.subscribed > 0); /* it answers pings */
  forsake(&sub, "a");
  if (tells) expect_there(&g, 0, "-a");
  follow(&sub, "end");
  if (tells) expect_there(&g, 0, "+end");
  while (sub.last[0] != 'e') talk_until(&g, &sub, "end");
  unsigned before = sub.count;
  order(&g, "send", 0, "a2");
  order(&g, "send", 0, "b|2");
  while (sub.last[0] != 'b') (void) uv_run(&g.loop, UV_RUN_ONCE);
  assert_true(sub.count > before);
  if (ours == MCQ_XSUB && tells) {
    say(&sub, "up|stream");
    expect_there(&g, 0, "up|stream");
  }
  assert_int_equal(sub.downs, 0);
  close_stage(&g, false);
}

static void our_subscribers(void** state) {
  (void) state;
  const int backends[] = {MCQ_BACKEND_UV, second_backend()};
  for (int i = 0; i < 2; i++) {
    play_theirs_to_ours(backends[i], "pub", MCQ_SUB);
    play_theirs_to_ours(backends[i], "pub", MCQ_XSUB);
    play_theirs_to_ours(backends[i], "xpub", MCQ_SUB);
    play_theirs_to_ours(backends[i], "xpub", MCQ_XSUB);
  }
}

/* ---- many and long ------------------------------------------------------- */

static void a_hundred_thousand_of_theirs(void** state) {
  (void) state;
  stage_t g;
  ours_t pub;
  open_stage(&g, second_backend());
  open_ours(&g, &pub, (mcq_socket_options_t){.type = MCQ_PUB});
  open_theirs(&g, 0, "sub", bind_ours(&pub));
  order(&g, "sub", 0, "#100000");
  until(&g, pub.subscribed == MANY);
  assert_int_equal(topics_of(&pub), MANY);
  say(&pub, "topic 099999 and more");
  say(&pub, "topic 000000");
  expect_there(&g, 0, "topic 099999 and more");
  expect_there(&g, 0, "topic 000000");
  order(&g, "unsub", 0, "#100000");
  until(&g, pub.unsubscribed == MANY);
  assert_int_equal(topics_of(&pub), 0);
  assert_int_equal(pub.downs, 0);
  close_stage(&g, false);
}

static void a_hundred_thousand_of_ours(void** state) {
  (void) state;
  stage_t g;
  ours_t sub;
  char topic[16];
  open_stage(&g, second_backend());
  open_ours(&g, &sub, (mcq_socket_options_t){.type = MCQ_SUB});
  order(&g, "open", 0, "xpub");
  order(&g, "bind", 0, "");
  for (unsigned i = 0; i < MANY; i++) {
    int len = snprintf(topic, sizeof topic, "topic %06u", i);
    assert_int_equal(mcq_subscribe(sub.s, topic, (size_t) len), 0);
  }
  connect_ours(&sub, answer(&g));
  talk_until(&g, &sub, "topic 099999 at last");
  talk_until(&g, &sub, "topic 000000 and more");
  assert_int_equal(sub.downs, 0);
  close_stage(&g, false);
}

/* Up to version 4.3.4 it says SUBSCRIBE with a length of one byte where the
 * command is longer than 255 bytes and the topic is not: those it cannot say
 * to anybody, so they are left out where it speaks. */
static bool it_can_say(size_t len) {
  return len < 246 || len > 255;
}

static void long_topics(void** state) {
  static const size_t sizes[] = {1,   200, 229, 243,  244,  245,  246, 247,
                                 248, 253, 254, 255,  256,  257,  300, 511,
                                 512, 513, 999, 4096, 9000, 60000};
  static char text[65540];
  (void) state;
  stage_t g;
  ours_t pub, sub;
  char what[32];
  open_stage(&g, second_backend());
  open_ours(&g, &pub, (mcq_socket_options_t){.type = MCQ_PUB});
  open_theirs(&g, 1, "sub", bind_ours(&pub));
  open_ours(&g, &sub, (mcq_socket_options_t){.type = MCQ_SUB});
  order(&g, "open", 0, "xpub");
  order(&g, "bind", 0, "");
  connect_ours(&sub, answer(&g));
  unsigned subscribed = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    memset(text, 'a' + (int) i, sizeof text);
    assert_int_equal(mcq_subscribe(sub.s, text, sizes[i]), 0);
    order(&g, "recv", 0, "");
    const char* got = answer(&g);
    if (sizes[i] > 199)
      assert_int_equal(atoi(got), sizes[i] + 1);
    else
      assert_int_equal(strlen(got), sizes[i] + 1);
    if (!it_can_say(sizes[i])) continue;
    snprintf(what, sizeof what, "%c*%zu", text[0], sizes[i]);
    order(&g, "sub", 1, what);
    subscribed++;
    until(&g, pub.subscribed == subscribed);
    assert_int_equal(mcq_send_bytes(pub.s, text, sizes[i] - 1), 0);
    assert_int_equal(mcq_send_bytes(pub.s, text, sizes[i] + 1), 0);
    order(&g, "recv", 1, "");
    got = answer(&g);
    assert_int_equal(sizes[i] + 1 > 200 ? (size_t) atoi(got) : strlen(got),
                     sizes[i] + 1);
  }
  assert_int_equal(pub.downs + sub.downs, 0);
  close_stage(&g, false);
}

/* ---- forwarders ---------------------------------------------------------- */

/* Their PUB - our XSUB - our XPUB - their SUB. */
static void our_forwarder(void** state) {
  (void) state;
  const int backends[] = {MCQ_BACKEND_UV, second_backend()};
  for (int i = 0; i < 2; i++) {
    stage_t g;
    ours_t front, back;
    open_stage(&g, backends[i]);
    open_ours(&g, &front, (mcq_socket_options_t){.type = MCQ_XSUB});
    open_ours(&g, &back, (mcq_socket_options_t){.type = MCQ_XPUB});
    front.to = &back;
    back.to = &front;
    order(&g, "open", 0, "xpub"); /* a PUB that tells what it is asked */
    order(&g, "bind", 0, "");
    connect_ours(&front, answer(&g));
    until(&g, front.ups == 1);
    const char* uri = bind_ours(&back);
    open_theirs(&g, 1, "sub", uri);
    open_theirs(&g, 2, "sub", uri);
    order(&g, "sub", 1, "a");
    expect_there(&g, 0, "+a");
    order(&g, "sub", 2, "a"); /* not told again */
    order(&g, "sub", 2, "b");
    expect_there(&g, 0, "+b");
    order(&g, "send", 0, "c");
    order(&g, "send", 0, "a|1");
    order(&g, "send", 0, "b|1");
    expect_there(&g, 1, "a|1");
    expect_there(&g, 2, "a|1");
    expect_there(&g, 2, "b|1");
    order(&g, "unsub", 1, "a"); /* nor half cancelled */
    order(&g, "unsub", 2, "b");
    expect_there(&g, 0, "-b");
    order(&g, "send", 0, "a|2");
    expect_there(&g, 2, "a|2");
    order(&g, "unsub", 2, "a");
    expect_there(&g, 0, "-a");
    assert_int_equal(topics_of(&back) + topics_of(&front), 0);
    close_stage(&g, false);
  }
}

/* Our PUB - their proxy - our SUBs. */
static void their_forwarder(void** state) {
  (void) state;
  const int backends[] = {MCQ_BACKEND_UV, second_backend()};
  for (int i = 0; i < 2; i++) {
    stage_t g;
    ours_t pub, one, two;
    char uri[URI_MAX];
    open_stage(&g, backends[i]);
    open_ours(&g, &pub, (mcq_socket_options_t){.type = MCQ_PUB});
    open_ours(&g, &one, (mcq_socket_options_t){.type = MCQ_SUB});
    open_ours(&g, &two, (mcq_socket_options_t){.type = MCQ_SUB});
    open_theirs(&g, 0, "xsub", bind_ours(&pub));
    order(&g, "open", 1, "xpub");
    order(&g, "bind", 1, "");
    snprintf(uri, sizeof uri, "%s", answer(&g));
    order(&g, "proxy", 0, "");
    follow(&one, "a");
    follow(&two, "a");
    follow(&two, "a");
    follow(&two, "b");
    connect_ours(&one, uri);
    connect_ours(&two, uri);
    until(&g, pub.subscribed == 2);
    say(&pub, "c");
    say(&pub, "a|x");
    say(&pub, "b|x");
    expect_here(&one, 1, "a");
    expect_here(&two, 2, "b");
    forsake(&two, "a");
    forsake(&one, "a");
    say(&pub, "a again");
    expect_here(&two, 3, "a again");
    forsake(&two, "a");
    until(&g, pub.unsubscribed == 1);
    mcq_close(two.s, NULL); /* and the proxy cancels what it had left */
    until(&g, pub.unsubscribed == 2);
    assert_int_equal(topics_of(&pub), 0);
    assert_int_equal(one.count, 1);
    close_stage(&g, true);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(our_publishers, kill_peers),
      cmocka_unit_test_teardown(our_subscribers, kill_peers),
      cmocka_unit_test_teardown(a_hundred_thousand_of_theirs, kill_peers),
      cmocka_unit_test_teardown(a_hundred_thousand_of_ours, kill_peers),
      cmocka_unit_test_teardown(long_topics, kill_peers),
      cmocka_unit_test_teardown(our_forwarder, kill_peers),
      cmocka_unit_test_teardown(their_forwarder, kill_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
