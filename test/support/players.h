/* SPDX-License-Identifier: MIT */
/* Sockets that keep a diary, for tests that play whole conversations: who came
 * and went, what was heard, in which order.  Messages are written as text,
 * frames apart by '|': "id||body" is an id, an empty frame and a body.  Ending
 * the stage asserts that nothing is left, not in the loop, not in memory. */
#ifndef TEST_SUPPORT_PLAYERS_H
#define TEST_SUPPORT_PLAYERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctx.h"
#include "monocoque.h"
#include "support/alloc.h"
#include "support/backend.h"

#define FRAMES_MAX 64
#define DIARY_MAX 256
#define HEARD_MAX 8192

typedef struct player player_t;

typedef struct stage {
  uv_loop_t loop;
  uv_timer_t tick; /* no step of the loop sleeps for long */
  test_alloc_t memory;
  mcq_ctx_t* ctx;
  uint64_t now; /* of a clock that the test moves, where it asked for one */
  bool in_call; /* a call of ours is running: no callback may */
  bool left;
  player_t* players; /* all who came on */
} stage_t;

struct player {
  stage_t* g;
  player_t* next;
  mcq_socket_t* s;
  mcq_endpoint_t at;     /* where it listens */
  mcq_endpoint_t dialed; /* where it connected last */
  char diary[DIARY_MAX]; /* u up, d down, m message, f failed, o drain, c gone;
                            the first ones */
  unsigned ups, downs, count, failed, drains;
  int code;   /* of the last failed */
  int reason; /* of the last down */
  uint64_t lost, unsure;
  mcq_peer_t peer; /* the last one up */
  bool closed;
  mcq_close_info_t info;
  /* What it heard, the first HEARD_MAX. */
  mcq_msg_t** heard;
  mcq_peer_t* from;
  /* Called after the diary was written. */
  void (*on_message)(player_t* p, mcq_peer_t peer, mcq_msg_t* msg);
  void (*on_failed)(player_t* p, int code);
  void (*on_up)(player_t* p, mcq_peer_t peer);
  void (*on_down)(player_t* p, mcq_peer_t peer);
  void (*on_drain)(player_t* p);
  void* arg;
};

/* ---- the stage ----------------------------------------------------------- */

static inline uint64_t stage_clock(void* arg) {
  return ((stage_t*) arg)->now;
}

static inline void stage_on_tick(uv_timer_t* tick) {
  (void) tick;
}

/* `clock`: timers of the library follow g->now. */
static inline void stage_open(stage_t* g, int backend, bool clock) {
  memset(g, 0, sizeof *g);
  test_alloc_init(&g->memory);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  uv_timer_init(&g->loop, &g->tick);
  uv_timer_start(&g->tick, stage_on_tick, 1, 1);
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&g->memory),
                         .data = g};
  mcq__seams_t seams = {.clock = stage_clock, .clock_arg = g};
  g->now = 1000;
  assert_int_equal(mcq__ctx_open(&g->loop, &o, clock ? &seams : NULL, &g->ctx),
                   0);
}

static inline void stage_step(stage_t* g) {
  (void) uv_run(&g->loop, UV_RUN_ONCE);
}

static inline void stage_turns(stage_t* g, int turns) {
  for (int i = 0; i < turns; i++) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
}

/* Waits; who waits in vain is ended by the time limit of the test run. */
#define until(g, condition) \
  while (!(condition)) stage_step(g)

static inline void stage_on_left(void* data) {
  ((stage_t*) data)->left = true;
}

/* ---- players ------------------------------------------------------------- */

static inline player_t* player_of(mcq_socket_t* s) {
  player_t* p = (player_t*) mcq_socket_data(s);
  assert_false(p->g->in_call);
  return p;
}

static inline void player_note(player_t* p, char what) {
  size_t len = strlen(p->diary);
  if (len + 1 < sizeof p->diary) p->diary[len] = what;
}

static inline void player_message(mcq_socket_t* s, mcq_peer_t peer,
                                  mcq_msg_t* msg) {
  player_t* p = player_of(s);
  player_note(p, 'm');
  if (p->count < HEARD_MAX) {
    p->heard[p->count] = mcq_msg_retain(msg);
    p->from[p->count] = peer;
  }
  p->count++;
  if (p->on_message != NULL) p->on_message(p, peer, msg);
}

static inline void player_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  player_t* p = player_of(s);
  player_note(p, 'u');
  p->ups++;
  p->peer = info->peer;
  if (p->on_up != NULL) p->on_up(p, info->peer);
}

static inline void player_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  player_t* p = player_of(s);
  player_note(p, 'd');
  p->downs++;
  p->reason = info->reason;
  p->lost += info->lost_messages;
  p->unsure += info->unsure_messages;
  if (p->on_down != NULL) p->on_down(p, info->peer);
}

static inline void player_failed(mcq_socket_t* s, int code) {
  player_t* p = player_of(s);
  player_note(p, 'f');
  p->failed++;
  p->code = code;
  if (p->on_failed != NULL) p->on_failed(p, code);
}

static inline void player_drain(mcq_socket_t* s) {
  player_t* p = player_of(s);
  player_note(p, 'o');
  p->drains++;
  if (p->on_drain != NULL) p->on_drain(p);
}

static inline void player_gone(const mcq_close_info_t* info) {
  player_t* p = (player_t*) info->data;
  player_note(p, 'c');
  p->info = *info;
  p->closed = true;
}

/* Reconnects soon and closes fast unless told otherwise. */
static inline void player_open(player_t* p, stage_t* g,
                               mcq_socket_options_t o) {
  memset(p, 0, sizeof *p);
  p->g = g;
  p->next = g->players;
  g->players = p;
  p->heard = (mcq_msg_t**) calloc(HEARD_MAX, sizeof *p->heard);
  p->from = (mcq_peer_t*) calloc(HEARD_MAX, sizeof *p->from);
  o.data = p;
  o.on_message = player_message;
  o.on_peer_up = player_up;
  o.on_peer_down = player_down;
  o.on_request_failed = player_failed;
  o.on_drain = player_drain;
  if (o.reconnect_ms == 0) o.reconnect_ms = 1;
  if (o.reconnect_max_ms == 0) o.reconnect_max_ms = 4;
  if (o.linger_ms == 0) o.linger_ms = 20;
  assert_int_equal(mcq_socket_new(g->ctx, &o, &p->s), 0);
}

static inline void player_bind(player_t* p) {
  assert_int_equal(mcq_bind(p->s, "tcp://127.0.0.1:*", &p->at), 0);
}

static inline void player_connect(player_t* p, const player_t* to) {
  const char* uri = mcq_endpoint_uri(to->s, to->at);
  assert_int_equal(mcq_connect(p->s, uri, NULL, &p->dialed), 0);
}

static inline void player_close(player_t* p) {
  mcq_close(p->s, player_gone);
}

/* Both are known to each other. */
static inline void player_meet(player_t* p, player_t* to) {
  unsigned a = p->ups + 1;
  unsigned b = to->ups + 1;
  player_connect(p, to);
  until(p->g, p->ups >= a && to->ups >= b);
}

/* Lets go of what all of them kept. */
static inline void stage_forget(stage_t* g) {
  for (player_t* p = g->players; p != NULL; p = p->next) {
    for (unsigned i = 0; i < p->count && i < HEARD_MAX; i++)
      if (p->heard[i] != NULL) mcq_msg_release(p->heard[i]);
    free(p->heard);
    free(p->from);
  }
  g->players = NULL;
}

static inline void stage_close(stage_t* g) {
  if (!g->left) mcq_ctx_close(g->ctx, stage_on_left);
  for (; !g->left; g->now++) stage_step(g);
  uv_close((uv_handle_t*) &g->tick, NULL);
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  stage_forget(g);
  assert_int_equal(g->memory.live, 0);
}

static inline mcq_stats_t player_stats(const player_t* p) {
  mcq_stats_t out;
  mcq_stats(p->s, &out);
  return out;
}

/* ---- messages as text ---------------------------------------------------- */

static inline size_t frames_of(const char* text, mcq_frame_t* out) {
  size_t count = 0;
  for (;;) {
    size_t len = strcspn(text, "|");
    assert_true(count < FRAMES_MAX);
    out[count++] = (mcq_frame_t){text, len};
    if (text[len] == '\0') return count;
    text += len + 1;
  }
}

static inline int say(player_t* p, const char* text) {
  mcq_frame_t frames[FRAMES_MAX];
  size_t count = frames_of(text, frames);
  bool before = p->g->in_call;
  p->g->in_call = true;
  int rc = mcq_send(p->s, frames, count);
  p->g->in_call = before;
  return rc;
}

static inline int say_to(player_t* p, mcq_peer_t peer, const char* text) {
  mcq_frame_t frames[FRAMES_MAX];
  size_t count = frames_of(text, frames);
  bool before = p->g->in_call;
  p->g->in_call = true;
  int rc = mcq_send_to(p->s, peer, frames, count);
  p->g->in_call = before;
  return rc;
}

static inline int reply(stage_t* g, mcq_request_t* request, const char* text) {
  mcq_frame_t frames[FRAMES_MAX];
  size_t count = frames_of(text, frames);
  g->in_call = true;
  int rc = mcq_request_reply(request, frames, count);
  g->in_call = false;
  return rc;
}

/* Whether `msg` is `text`; a frame "#4" stands for any four bytes. */
static inline bool message_is(const mcq_msg_t* msg, const char* text) {
  mcq_frame_t frames[FRAMES_MAX];
  size_t count = frames_of(text, frames);
  if (mcq_msg_count(msg) != count) return false;
  for (size_t i = 0; i < count; i++) {
    mcq_frame_t have = mcq_msg_frame(msg, i);
    const char* want = (const char*) frames[i].data;
    if (want[0] == '#') {
      if (have.len != (size_t) atoi(want + 1)) return false;
    } else if (have.len != frames[i].len ||
               (have.len != 0 && memcmp(have.data, want, have.len) != 0)) {
      return false;
    }
  }
  return true;
}

#define assert_heard(p, i, text) \
  assert_true((i) < (p)->count && message_is((p)->heard[i], text))

/* What `p` heard as its i-th message, back to where it came from, the last
 * frame replaced. */
static inline int answer_to(player_t* p, unsigned i, const char* body) {
  const mcq_msg_t* msg = p->heard[i];
  mcq_frame_t frames[FRAMES_MAX];
  size_t count = mcq_msg_count(msg);
  assert_true(count <= FRAMES_MAX);
  for (size_t k = 0; k < count; k++) frames[k] = mcq_msg_frame(msg, k);
  frames[count - 1] = (mcq_frame_t){body, strlen(body)};
  bool before = p->g->in_call;
  p->g->in_call = true;
  int rc = mcq_send_to(p->s, p->from[i], frames, count);
  p->g->in_call = before;
  return rc;
}

/* ---- plays --------------------------------------------------------------- */

typedef struct scene {
  const char* name;
  void (*play)(int backend);
} scene_t;

/* All of them, or those with MCQ_TEST_SCENE in their name. */
static inline void play_scenes(const scene_t* scenes, size_t count,
                               int backend) {
  const char* only = getenv("MCQ_TEST_SCENE");
  for (size_t i = 0; i < count; i++) {
    if (only != NULL && strstr(scenes[i].name, only) == NULL) continue;
    print_message("  %s\n", scenes[i].name);
    scenes[i].play(backend);
  }
}

/* What a program plays on each back end. */
typedef struct bill {
  const scene_t* scenes;
  size_t count;
} bill_t;

static inline void play_on_libuv(void** state) {
  const bill_t* bill = (const bill_t*) *state;
  play_scenes(bill->scenes, bill->count, MCQ_BACKEND_UV);
}

static inline void play_on_io_uring(void** state) {
  const bill_t* bill = (const bill_t*) *state;
  if (!backend_is_here(MCQ_BACKEND_URING)) skip();
  play_scenes(bill->scenes, bill->count, MCQ_BACKEND_URING);
}

/* main's work. */
static inline int play_on_both(const scene_t* scenes, size_t count) {
  bill_t bill = {scenes, count};
  const struct CMUnitTest tests[] = {
      {"on_libuv", play_on_libuv, NULL, NULL, &bill},
      {"on_io_uring", play_on_io_uring, NULL, NULL, &bill},
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
