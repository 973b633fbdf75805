/* SPDX-License-Identifier: MIT */
/* What a message costs beside many connections.  Clients are bare descriptors
 * on real sockets, and only what the library's loop does is counted: whatever
 * clients say is written before a turn of it and what they get is read after.
 *
 *   one   a message a turn, always for or from another connection, so that
 *         whatever a turn does for all connections shows
 *   all   a message for or from each connection in a turn, so that whatever a
 *         message does for all connections shows
 *
 *   cost_peers           the plays with a few connections: does everybody get
 *                        what is his?
 *   cost_peers --cost N  no test: each play with N connections, measured by
 *                        callgrind; see test/cost_crowd.sh */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "ctx.h"
#include "monocoque.h"
#include "support/strangers.h"

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif
#ifndef CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_START_INSTRUMENTATION exit(77)
#define CALLGRIND_STOP_INSTRUMENTATION exit(77)
#define CALLGRIND_TOGGLE_COLLECT ((void) 0)
#define CALLGRIND_DUMP_STATS_AT(name) ((void) (name))
#endif

#define FEW 20
#define MESSAGES 1000 /* of a play, or one for each connection */
#define AT_ONCE 100   /* connections that are made together */
#define BODY 24
#define TOPIC 8

static bool measured; /* else it is a test */

typedef struct play {
  const char* name;
  int type;
  const char* other;
  bool all;   /* every connection in a turn */
  bool topic; /* each has one of its own */
  bool wide;  /* one message goes to all of them */
} play_t;

typedef struct client {
  int fd;
  uint64_t bytes; /* that it was sent */
} client_t;

typedef struct rig {
  const play_t* play;
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  char uri[64];
  client_t* clients;
  int ears; /* an epoll of all of them */
  unsigned count;
  unsigned ups;
  unsigned subscribed;
  uint64_t now;
  uint64_t bytes; /* that all clients were sent */
  bool left;
} rig_t;

/* ---- the library's side -------------------------------------------------- */

static uint64_t clock_of(void* arg) {
  return ((rig_t*) arg)->now;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((rig_t*) mcq_socket_data(s))->ups++;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  if (e->kind == MCQ_EVENT_SUBSCRIBED)
    ((rig_t*) mcq_socket_data(s))->subscribed++;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  assert_int_equal(mcq_send_msg_to(s, peer, msg), 0);
}

static void on_left(void* data) {
  ((rig_t*) data)->left = true;
}

static void open_socket(rig_t* r) {
  mcq_endpoint_t at;
  mcq_ctx_options_t o = {.backend = MCQ_BACKEND_UV, .data = r};
  mcq__seams_t seams = {.clock = clock_of, .clock_arg = r};
  r->now = 1000;
  assert_int_equal(uv_loop_init(&r->loop), 0);
  assert_int_equal(mcq__ctx_open(&r->loop, &o, &seams, &r->ctx), 0);
  mcq_socket_options_t options = {.type = r->play->type,
                                  .backlog = 2 * AT_ONCE,
                                  .on_peer_up = on_up,
                                  .on_event = on_event,
                                  .on_message = on_message,
                                  .data = r};
  assert_int_equal(mcq_socket_new(r->ctx, &options, &r->s), 0);
  assert_int_equal(mcq_bind(r->s, "tcp://127.0.0.1:*", &at), 0);
  snprintf(r->uri, sizeof r->uri, "%s", mcq_endpoint_uri(r->s, at));
}

/* These two are all that is counted. */
static int send_body(const rig_t* r, const void* body) {
  CALLGRIND_TOGGLE_COLLECT;
  int rc = mcq_send_bytes(r->s, body, BODY);
  CALLGRIND_TOGGLE_COLLECT;
  return rc;
}

static void turn(rig_t* r) {
  CALLGRIND_TOGGLE_COLLECT;
  (void) uv_run(&r->loop, UV_RUN_NOWAIT);
  CALLGRIND_TOGGLE_COLLECT;
}

/* ---- the clients' -------------------------------------------------------- */

static void topic_of(unsigned i, char out[TOPIC + 1]) {
  snprintf(out, TOPIC + 1, "t%07u", i);
}

static void hear(rig_t* r, client_t* c) {
  uint8_t bytes[4096];
  ssize_t n;
  while ((n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
    c->bytes += (uint64_t) n;
    r->bytes += (uint64_t) n;
  }
}

static void hear_all(rig_t* r) {
  struct epoll_event events[AT_ONCE];
  int n;
  while ((n = epoll_wait(r->ears, events, AT_ONCE, 0)) > 0)
    for (int i = 0; i < n; i++) hear(r, &r->clients[events[i].data.u32]);
}

static void dial(rig_t* r, unsigned i) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = i}};
  int fd = stranger(r->uri);
  assert_true(fd >= 0);
  assert_int_equal(epoll_ctl(r->ears, EPOLL_CTL_ADD, fd, &event), 0);
  r->clients[i].fd = fd;
}

static void subscribe(const rig_t* r, unsigned i) {
  uint8_t command[32] = {4, 10, 9};
  memcpy(command + 3, "SUBSCRIBE", 9);
  if (r->play->topic) {
    char topic[TOPIC + 1];
    topic_of(i, topic);
    memcpy(command + 12, topic, TOPIC);
    command[1] += TOPIC;
  }
  stranger_say(r->clients[i].fd, command, 2 + (size_t) command[1]);
}

/* Everybody is there, and has read what there was to read. */
static void join_all(rig_t* r) {
  uint8_t hello[128];
  size_t len = stranger_hello(r->play->other, hello);
  bool subscribes = r->play->type == MCQ_PUB;
  for (unsigned i = 0; i < r->count; i++) {
    dial(r, i);
    if ((i + 1) % AT_ONCE != 0 && i + 1 != r->count) continue;
    unsigned from = i - i % AT_ONCE;
    for (unsigned k = from; k <= i; k++) {
      stranger_say(r->clients[k].fd, hello, len);
      if (subscribes) subscribe(r, k);
    }
    while (r->ups < i + 1 || (subscribes && r->subscribed < i + 1))
      (void) uv_run(&r->loop, UV_RUN_ONCE);
  }
  for (int times = 0; times < 4; times++) { /* what a newcomer brings about */
    (void) uv_run(&r->loop, UV_RUN_NOWAIT);
    hear_all(r);
  }
  for (unsigned i = 0; i < r->count; i++) r->clients[i].bytes = 0;
  r->bytes = 0;
}

/* ---- plays --------------------------------------------------------------- */

/* The message of, or for, connection `i`; how many will come of it. */
static unsigned say(rig_t* r, unsigned i) {
  uint8_t frame[2 + BODY] = {0, BODY};
  char* body = (char*) frame + 2;
  if (r->play->type == MCQ_ROUTER) {
    stranger_say(r->clients[i].fd, frame, sizeof frame);
    return 1;
  }
  if (r->play->topic) {
    char topic[TOPIC + 1];
    topic_of(i, topic);
    memcpy(body, topic, TOPIC);
  }
  assert_int_equal(send_body(r, body), 0);
  return r->play->wide ? r->count : 1;
}

/* Turns until all of this has arrived. */
static void deliver(rig_t* r, uint64_t messages) {
  uint64_t goal = r->bytes + messages * (2 + BODY);
  while (r->bytes < goal) {
    turn(r);
    hear_all(r);
  }
  assert_int_equal(r->bytes, goal);
}

/* Who is not beside the one before. */
static unsigned stride(unsigned count) {
  return count % 7919 == 0 ? 1 : 7919;
}

/* A round: one message, or one for each. */
static uint64_t run_round(rig_t* r, unsigned* at) {
  uint64_t messages = 0;
  if (!r->play->all || r->play->wide) {
    messages = say(r, *at);
    *at = (*at + stride(r->count)) % r->count;
  } else {
    for (unsigned k = 0; k < r->count; k++) messages += say(r, k);
  }
  deliver(r, messages);
  return messages;
}

/* At least `least` messages, and each connection has as many as the others. */
static uint64_t run_play(rig_t* r, uint64_t least) {
  uint64_t done = 0;
  unsigned at = 0;
  while (done < least || done % r->count != 0) done += run_round(r, &at);
  return done;
}

/* What was for everybody is with everybody, in equal shares. */
static void check_shares(const rig_t* r, uint64_t done) {
  for (unsigned i = 0; i < r->count; i++)
    assert_int_equal(r->clients[i].bytes * r->count, done * (2 + BODY));
}

static void close_rig(rig_t* r) {
  mcq_ctx_close(r->ctx, on_left);
  for (; !r->left; r->now += 20) (void) uv_run(&r->loop, UV_RUN_NOWAIT);
  assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&r->loop), 0);
  for (unsigned i = 0; i < r->count; i++) close(r->clients[i].fd);
  close(r->ears);
  free(r->clients);
}

static void play_with(const play_t* play, unsigned count) {
  rig_t r;
  memset(&r, 0, sizeof r);
  r.play = play;
  r.count = count;
  r.clients = (client_t*) calloc(count, sizeof *r.clients);
  r.ears = epoll_create1(EPOLL_CLOEXEC);
  assert_true(r.clients != NULL && r.ears >= 0);
  open_socket(&r);
  join_all(&r);
  uint64_t done = run_play(&r, 1); /* a connection's first message costs more */
  if (measured) {
    CALLGRIND_START_INSTRUMENTATION;
    done = run_play(&r, MESSAGES);
  } else {
    done += run_play(&r, MESSAGES);
  }
  if (measured) {
    CALLGRIND_STOP_INSTRUMENTATION;
    CALLGRIND_DUMP_STATS_AT(play->name);
    printf("%s %llu\n", play->name, (unsigned long long) done);
  } else {
    check_shares(&r, done);
  }
  close_rig(&r);
}

static const play_t plays[] = {
    {"echo-one", MCQ_ROUTER, "DEALER", false, false, false},
    {"echo-all", MCQ_ROUTER, "DEALER", true, false, false},
    {"push-one", MCQ_PUSH, "PULL", false, false, false},
    {"push-all", MCQ_PUSH, "PULL", true, false, false},
    {"topic-one", MCQ_PUB, "SUB", false, true, false},
    {"topic-all", MCQ_PUB, "SUB", true, true, false},
    {"fanout", MCQ_PUB, "SUB", true, false, true},
};

static void play_all(unsigned count) {
  for (size_t i = 0; i < sizeof plays / sizeof *plays; i++)
    play_with(&plays[i], count);
}

static void everybody_gets_his_own(void** state) {
  (void) state;
  play_all(1);
  play_all(FEW);
}

int main(int argc, char** argv) {
  size_t most = (stranger_descriptors() - 64) / 2;
  if (argc == 3 && strcmp(argv[1], "--cost") == 0) {
    unsigned count = (unsigned) strtoul(argv[2], NULL, 10);
    if (count > most) count = (unsigned) most;
    if (count == 0) return 1;
    measured = true;
    printf("connections %u\n", count);
    play_all(count);
    return 0;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(everybody_gets_his_own)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
