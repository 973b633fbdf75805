/* SPDX-License-Identifier: MIT */
/* What a message costs on its way through the whole library, in instructions:
 * from bytes as they were read to the user's callback, and from mcq_send to
 * the bytes that are handed to the kernel.  The network is one that costs
 * nothing (support/lane.h), the clock stands still, so every run is the same.
 *
 *   budget          plays all rows and checks that every message came through
 *   budget --cost   the same with only the messages themselves measured, each
 *                   row a part of callgrind's output of the row's name; prints
 *                   the rows and how many messages each had.  See
 *                   test/cost_messages.sh */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctx.h"
#include "monocoque.h"
#include "support/lane.h"

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#endif
#endif
#ifndef CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_START_INSTRUMENTATION exit(77)
#define CALLGRIND_STOP_INSTRUMENTATION exit(77)
#define CALLGRIND_DUMP_STATS_AT(name) ((void) (name))
#endif

/* Messages that are sent in one turn, and bytes that come in one read. */
#define BATCH 500
#define READ ((size_t) 65536)

#define HEAD_LONG 9
#define HEAD_SHORT 2

typedef struct kind {
  const char* name;
  int type;
  const char* mate;
} kind_t;

static const kind_t hears[] = {
    {"dealer_receive", MCQ_DEALER, "DEALER"},
    {"router_receive", MCQ_ROUTER, "DEALER"},
    {"sub_receive", MCQ_SUB, "PUB"},
};

static const kind_t says[] = {
    {"dealer_send", MCQ_DEALER, "DEALER"},
    {"router_send", MCQ_ROUTER, "DEALER"},
    {"pub_send", MCQ_PUB, "SUB"},
};

static const struct {
  size_t body;
  unsigned messages;
} sizes[] = {{8, 40000}, {64, 20000}, {1024, 5000}};

#define LONGEST ((size_t) 1024)

typedef struct play {
  uv_loop_t loop;
  lane_t lane;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  mcq_peer_t peer;
  unsigned ups;
  bool left;
  bool listens; /* PUB: the peer has subscribed */
  uint64_t heard;
  uint64_t heard_bytes;
} play_t;

static bool measuring;
static const uint8_t body[LONGEST] = "topic";

#define require(expr) ((expr) ? (void) 0 : give_up(__FILE__, __LINE__, #expr))

static _Noreturn void give_up(const char* file, int line, const char* what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  exit(1);
}

/* ---- the socket ---------------------------------------------------------- */

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  play_t* p = (play_t*) mcq_socket_data(s);
  (void) peer;
  p->heard++;
  p->heard_bytes += mcq_msg_frame(msg, 0).len;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  play_t* p = (play_t*) mcq_socket_data(s);
  p->peer = info->peer;
  p->ups++;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* event) {
  play_t* p = (play_t*) mcq_socket_data(s);
  if (event->kind == MCQ_EVENT_SUBSCRIBED) p->listens = true;
}

static void on_left(void* data) {
  ((play_t*) data)->left = true;
}

static void turn(play_t* p) {
  (void) uv_run(&p->loop, UV_RUN_NOWAIT);
}

static void say(play_t* p, const void* data, size_t len) {
  while (!lane_say(&p->lane, data, len)) turn(p);
}

/* Greeting, READY and, for a publisher, a subscription: the other side's. */
static void shake_hands(play_t* p, const kind_t* kind) {
  static const uint8_t ready[] = "\4\0\5READY\13Socket-Type\0\0\0";
  static const char sub[] = "\4\13\11SUBSCRIBEt";
  uint8_t greeting[64] = {0xff, [9] = 0x7f, 3, 1, 'N', 'U', 'L', 'L'};
  static uint8_t command[64];
  size_t len = strlen(kind->mate);
  size_t head = sizeof ready - 1;
  memcpy(command, ready, head);
  command[head] = (uint8_t) len;
  memcpy(command + head + 1, kind->mate, len);
  command[1] = (uint8_t) (head + 1 + len - HEAD_SHORT);
  say(p, greeting, sizeof greeting);
  turn(p);
  say(p, command, head + 1 + len);
  while (p->ups == 0) turn(p);
  if (kind->type != MCQ_PUB) return;
  say(p, sub, sizeof sub - 1);
  while (!p->listens) turn(p);
}

static void open_play(play_t* p, const kind_t* kind) {
  memset(p, 0, sizeof *p);
  require(uv_loop_init(&p->loop) == 0);
  mcq__seams_t seams = lane_init(&p->lane);
  mcq_ctx_options_t o = {.data = p};
  require(mcq__ctx_open(&p->loop, &o, &seams, &p->ctx) == 0);
  mcq_socket_options_t options = {.type = kind->type,
                                  .data = p,
                                  .on_message = on_message,
                                  .on_peer_up = on_up,
                                  .on_event = on_event,
                                  .linger_ms = MCQ_LINGER_NONE};
  require(mcq_socket_new(p->ctx, &options, &p->s) == 0);
  if (kind->type == MCQ_SUB) require(mcq_subscribe(p->s, "t", 1) == 0);
  require(mcq_connect(p->s, "lane://far", NULL, NULL) == 0);
  shake_hands(p, kind);
}

static void close_play(play_t* p) {
  mcq_ctx_close(p->ctx, on_left);
  while (!p->left) turn(p);
  require(uv_run(&p->loop, UV_RUN_DEFAULT) == 0);
  require(uv_loop_close(&p->loop) == 0);
}

/* ---- a row --------------------------------------------------------------- */

/* So many messages as they travel. */
static uint8_t* encode(size_t len, unsigned count, size_t* total) {
  size_t head = len < 256 ? HEAD_SHORT : HEAD_LONG;
  uint8_t* bytes = (uint8_t*) calloc(count, head + len);
  require(bytes != NULL);
  for (unsigned i = 0; i < count; i++) {
    uint8_t* at = bytes + i * (head + len);
    at[0] = len < 256 ? 0 : 2;
    at[head - 1] = (uint8_t) len;
    if (len >= 256) at[head - 2] = (uint8_t) (len >> 8);
    memcpy(at + head, body, len);
  }
  *total = count * (head + len);
  return bytes;
}

static void hear_all(play_t* p, const uint8_t* bytes, size_t total,
                     uint64_t until) {
  for (size_t at = 0; at < total; at += READ) {
    say(p, bytes + at, total - at < READ ? total - at : READ);
    turn(p);
  }
  while (p->heard < until) turn(p);
}

static void say_all(play_t* p, int type, size_t len, unsigned count) {
  mcq_frame_t frame = {body, len};
  for (unsigned i = 0; i < count; i++) {
    int rc = type == MCQ_ROUTER ? mcq_send_to(p->s, p->peer, &frame, 1)
                                : mcq_send(p->s, &frame, 1);
    require(rc == 0);
    if (i % BATCH == BATCH - 1) turn(p);
  }
  turn(p);
}

/* Only what is between them is measured. */
static void begin(void) {
  if (measuring) CALLGRIND_START_INSTRUMENTATION;
}

static void end(const char* kind, size_t len, unsigned count) {
  char name[64];
  if (!measuring) return;
  CALLGRIND_STOP_INSTRUMENTATION;
  snprintf(name, sizeof name, "%s_%zu", kind, len);
  CALLGRIND_DUMP_STATS_AT(name);
  printf("%s %u\n", name, count);
}

/* Twice: first for what happens only once. */
static void hear_row(const kind_t* kind, size_t len, unsigned count) {
  play_t p;
  size_t total;
  open_play(&p, kind);
  uint8_t* bytes = encode(len, count, &total);
  hear_all(&p, bytes, total, count);
  begin();
  hear_all(&p, bytes, total, 2 * (uint64_t) count);
  end(kind->name, len, count);
  require(p.heard == 2 * (uint64_t) count);
  require(p.heard_bytes == p.heard * len);
  close_play(&p);
  free(bytes);
}

static void say_row(const kind_t* kind, size_t len, unsigned count) {
  play_t p;
  size_t head = len < 256 ? HEAD_SHORT : HEAD_LONG;
  open_play(&p, kind);
  uint64_t before = p.lane.written;
  say_all(&p, kind->type, len, count);
  begin();
  say_all(&p, kind->type, len, count);
  end(kind->name, len, count);
  require(p.lane.written - before == 2 * (uint64_t) count * (head + len));
  close_play(&p);
}

int main(int argc, char** argv) {
  measuring = argc == 2 && strcmp(argv[1], "--cost") == 0;
  for (size_t k = 0; k < sizeof hears / sizeof *hears; k++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
      hear_row(&hears[k], sizes[i].body, sizes[i].messages);
  for (size_t k = 0; k < sizeof says / sizeof *says; k++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
      say_row(&says[k], sizes[i].body, sizes[i].messages);
  return 0;
}
