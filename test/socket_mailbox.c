/* SPDX-License-Identifier: MIT */
/* Mailboxes as their posters and their loop see them: what is posted comes in
 * order and in turns, waits where the socket takes no more, is refused when the
 * mailbox is full, and is accounted for however the socket ends.  One thread
 * plays all parts; several do in test/thread_post.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monocoque.h"
#include "support/place.h"

#define POSTS_MAX 8192

static const place_t* place;

typedef struct stage {
  ground_t ground;
  mcq_socket_t* out; /* what is posted goes out here */
  mcq_socket_t* in;  /* and comes in there */
  mcq_mailbox_t* box;
  char uri[PLACE_URI_MAX];
  unsigned heard; /* numbers that came in, each in its turn */
  unsigned expected;
  unsigned drains;
  unsigned failed;
  int code; /* the last one's */
  unsigned calls;
  unsigned log[64]; /* calls and failures as they came */
  bool in_call;     /* of the test's own: no callback may come */
  bool closed;
  uint64_t lost;
  const void* at; /* where the last large frame lay */
} stage_t;

static stage_t* of(const mcq_socket_t* s) {
  stage_t* g = (stage_t*) mcq_socket_data(s);
  assert_false(g->in_call);
  return g;
}

/* ---- what comes back ----------------------------------------------------- */

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  unsigned number;
  (void) peer;
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  assert_true(frame.len >= sizeof number);
  memcpy(&number, frame.data, sizeof number);
  assert_int_equal(number, g->expected);
  g->expected++;
  g->heard++;
  g->at = frame.data;
}

static void on_drain(mcq_socket_t* s, void* data) {
  assert_ptr_equal(of(s), data);
  of(s)->drains++;
}

static void on_failed(mcq_socket_t* s, mcq_msg_t* msg, int code, void* data) {
  stage_t* g = of(s);
  assert_ptr_equal(g, data);
  assert_true(mcq_msg_count(msg) > 0);
  g->failed++;
  g->code = code;
}

static void on_closed(const mcq_close_info_t* info) {
  stage_t* g = (stage_t*) info->data;
  assert_false(g->closed);
  g->closed = true;
  g->lost = info->lost_messages;
}

/* ---- the stage ----------------------------------------------------------- */

static mcq_socket_t* make(stage_t* g, mcq_socket_options_t o) {
  mcq_socket_t* s;
  o.data = g;
  o.on_message = on_message;
  o.reconnect_ms = 1;
  assert_int_equal(mcq_socket_new(g->ground.ctx, &o, &s), 0);
  return s;
}

static void open_box(stage_t* g, mcq_mailbox_options_t o) {
  o.data = g;
  o.on_drain = on_drain;
  o.on_failed = on_failed;
  assert_int_equal(mcq_mailbox_new(g->out, &o, &g->box), 0);
}

static void bind_out(stage_t* g) {
  mcq_endpoint_t at;
  char uri[PLACE_URI_MAX];
  assert_int_equal(mcq_bind(g->out, place_uri(place, 0, uri), &at), 0);
  snprintf(g->uri, sizeof g->uri, "%s", mcq_endpoint_uri(g->out, at));
}

static void connect_in(stage_t* g, int type) {
  g->in = make(g, (mcq_socket_options_t){.type = type});
  assert_int_equal(mcq_connect(g->in, g->uri, NULL, NULL), 0);
}

static stage_t* open_stage(int type) {
  static stage_t g;
  memset(&g, 0, sizeof g);
  ground_open(&g.ground, place);
  g.out = make(
      &g, (mcq_socket_options_t){.type = type, .sndhwm = 10, .linger_ms = -1});
  bind_out(&g);
  return &g;
}

#define until(g, condition) ground_until(&(g)->ground, condition)

static void turns(stage_t* g, int n) {
  while (n-- > 0) (void) uv_run(&g->ground.loop, UV_RUN_NOWAIT);
}

static void close_stage(stage_t* g) {
  mcq_mailbox_release(g->box);
  ground_finish(&g->ground);
  ground_run(&g->ground);
}

static int post(stage_t* g, unsigned number) {
  mcq_frame_t frame = {&number, sizeof number};
  g->in_call = true;
  int rc = mcq_post(g->box, &frame, 1);
  g->in_call = false;
  return rc;
}

static unsigned post_all(stage_t* g, unsigned from, unsigned to) {
  for (; from < to; from++)
    if (post(g, from) != 0) break;
  return from;
}

/* ---- posting ------------------------------------------------------------- */

static void in_order_and_in_turns(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){.hwm = POSTS_MAX});
  connect_in(g, MCQ_PULL);
  assert_int_equal(post_all(g, 0, POSTS_MAX), POSTS_MAX);
  assert_int_equal(post(g, 0), MCQ_EAGAIN);
  assert_int_equal(g->heard, 0);
  mcq_stats_t before, after;
  while (g->heard < POSTS_MAX) {
    mcq_stats(g->out, &before);
    turns(g, 1);
    mcq_stats(g->out, &after);
    assert_in_range(after.messages_sent - before.messages_sent, 0, 3 * 1024);
  }
  assert_int_equal(g->drains, 1);
  assert_int_equal(after.sends_refused, 0); /* the user was refused nothing */
  assert_int_equal(after.posts_failed, 0);
  close_stage(g);
}

static void find_mailbox(const char* text, void* arg) {
  if (strstr(text, "mailbox: 20 messages and 80 bytes") != NULL)
    *(bool*) arg = true;
}

/* Nobody is there: as much waits as fits in, and goes when somebody comes. */
static void full_until_somebody_comes(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){.hwm = 20});
  assert_int_equal(post_all(g, 0, 100), 20);
  turns(g, 5);
  assert_int_equal(post(g, 20), MCQ_EAGAIN);
  assert_int_equal(g->drains, 0);
  bool seen = false;
  mcq_ctx_dump(g->ground.ctx, find_mailbox, &seen);
  assert_true(seen);
  connect_in(g, MCQ_PULL);
  until(g, g->heard == 20);
  turns(g, 5);
  assert_int_equal(g->drains, 1); /* once, however often it was asked */
  assert_int_equal(post_all(g, 20, 40), 40);
  until(g, g->heard == 40);
  turns(g, 5);
  assert_int_equal(g->drains, 1);
  close_stage(g);
}

/* A message may go over the mark, the next one may not begin. */
static void bytes_fill_it_too(void** state) {
  (void) state;
  static uint8_t body[1000];
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){.hwm_bytes = 2500});
  mcq_frame_t frame = {body, sizeof body};
  for (unsigned i = 0; i < 3; i++) {
    memcpy(body, &i, sizeof i);
    assert_int_equal(mcq_post(g->box, &frame, 1), 0);
  }
  assert_int_equal(mcq_post(g->box, &frame, 1), MCQ_EAGAIN);
  connect_in(g, MCQ_PULL);
  until(g, g->heard == 3 && g->drains == 1);
  close_stage(g);
}

/* What is refused by the peer's queue waits here, and nothing is lost while
 * the peer does not read. */
static void waiting_for_room(void** state) {
  (void) state;
  static uint8_t body[100000];
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){.hwm = 10, .hwm_bytes = -1});
  connect_in(g, MCQ_PULL);
  assert_int_equal(mcq_pause(g->in), 0);
  unsigned posted = 0;
  for (int quiet = 0; quiet < 50; quiet++) {
    memcpy(body, &posted, sizeof posted);
    mcq_frame_t frame = {body, sizeof body};
    if (mcq_post(g->box, &frame, 1) == 0) {
      posted++;
      quiet = 0;
    }
    turns(g, 1);
  }
  assert_true(posted > 20);
  assert_int_equal(g->heard, 0);
  assert_int_equal(mcq_resume(g->in), 0);
  until(g, g->heard == posted && g->drains == 1);
  close_stage(g);
}

static void messages_are_shared(void** state) {
  (void) state;
  static uint8_t body[100000];
  mcq_msg_t* msg;
  mcq_frame_t frame = {body, sizeof body};
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){0});
  connect_in(g, MCQ_PULL);
  assert_int_equal(mcq_msg_new(g->ground.ctx, &frame, 1, &msg), 0);
  assert_int_equal(mcq_post_msg(g->box, msg), 0);
  const void* at = mcq_msg_frame(msg, 0).data;
  mcq_msg_release(msg);
  until(g, g->heard == 1);
  if (place == place_find("inproc, uv")) assert_ptr_equal(g->at, at);
  close_stage(g);
}

static void what_cannot_be(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PULL);
  mcq_mailbox_options_t bad = {.hwm = -2};
  assert_int_equal(mcq_mailbox_new(g->out, &bad, &g->box), MCQ_EINVAL);
  bad = (mcq_mailbox_options_t){.hwm_bytes = -2};
  assert_int_equal(mcq_mailbox_new(g->out, &bad, &g->box), MCQ_EINVAL);
  assert_int_equal(mcq_mailbox_new(g->out, NULL, NULL), MCQ_EINVAL);
  assert_int_equal(mcq_mailbox_new(g->out, NULL, &g->box), 0);
  assert_int_equal(post(g, 0), MCQ_ENOTSUP);
  assert_int_equal(mcq_post(g->box, NULL, 0), MCQ_ENOTSUP);
  assert_int_equal(mcq_post_call(g->box, NULL, NULL), MCQ_EINVAL);
  g->in = make(g, (mcq_socket_options_t){.type = MCQ_PUSH});
  mcq_mailbox_t* other;
  assert_int_equal(mcq_mailbox_new(g->in, NULL, &other), 0);
  assert_int_equal(mcq_post(other, NULL, 0), MCQ_EINVAL);
  mcq_mailbox_release(other);
  mcq_mailbox_release(NULL);
  mcq_close(g->in, NULL);
  assert_int_equal(mcq_mailbox_new(g->in, NULL, &other), MCQ_ECLOSED);
  close_stage(g);
}

/* ---- what fails ---------------------------------------------------------- */

static void failures_are_told(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_ROUTER);
  open_box(g, (mcq_mailbox_options_t){0});
  mcq_frame_t frames[2] = {{"nobody", 6}, {"hello", 5}};
  assert_int_equal(mcq_post(g->box, frames, 2), 0);
  until(g, g->failed == 1);
  assert_int_equal(g->code, MCQ_EHOSTUNREACH);
  mcq_stats_t stats;
  mcq_stats(g->out, &stats);
  assert_int_equal(stats.posts_failed, 1);
  assert_int_equal(stats.sends_unroutable, 1);
  close_stage(g);
}

static void a_question_out_of_turn(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_REQ);
  open_box(g, (mcq_mailbox_options_t){0});
  connect_in(g, MCQ_REP);
  assert_int_equal(post_all(g, 0, 3), 3);
  until(g, g->heard == 1 && g->failed == 2);
  assert_int_equal(g->code, MCQ_EFSM);
  close_stage(g);
}

/* ---- calls --------------------------------------------------------------- */

static void note_call(mcq_socket_t* s, void* arg) {
  stage_t* g = of(s);
  assert_ptr_equal(arg, &g->log[g->calls]); /* in order */
  mcq_stats_t stats;
  mcq_stats(s, &stats);
  g->log[g->calls++] = (unsigned) stats.messages_sent;
}

static void calls_come_between_messages(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){.hwm = 12});
  connect_in(g, MCQ_PULL);
  for (unsigned i = 0; i < 4; i++) {
    assert_int_equal(post_all(g, 2 * i, 2 * i + 2), 2 * i + 2);
    g->in_call = true;
    assert_int_equal(mcq_post_call(g->box, note_call, &g->log[i]), 0);
    g->in_call = false;
  }
  assert_int_equal(mcq_post_call(g->box, note_call, NULL), MCQ_EAGAIN);
  until(g, g->heard == 8 && g->calls == 4);
  for (unsigned i = 0; i < 4; i++) assert_int_equal(g->log[i], 2 * i + 2);
  close_stage(g);
}

static void subscribe_there(mcq_socket_t* s, void* arg) {
  of(s)->calls++;
  assert_int_equal(mcq_subscribe(s, arg, strlen((const char*) arg)), 0);
}

/* A type that does not send can be called none the less. */
static void calls_to_one_that_only_listens(void** state) {
  (void) state;
  static char topic[] = "news";
  stage_t* g = open_stage(MCQ_SUB);
  open_box(g, (mcq_mailbox_options_t){0});
  assert_int_equal(mcq_post_call(g->box, subscribe_there, topic), 0);
  until(g, g->calls == 1);
  mcq_stats_t stats;
  mcq_stats(g->out, &stats);
  assert_int_equal(stats.subscriptions, 1);
  close_stage(g);
}

/* ---- the end ------------------------------------------------------------- */

static void count_late_call(mcq_socket_t* s, void* arg) {
  stage_t* g = of(s);
  (void) arg;
  assert_false(g->closed);
  assert_int_equal(mcq_send_text(s, "no"), MCQ_ECLOSED);
  g->calls++;
}

/* What was posted before is sent; calls come before the socket's last word. */
static void closing_sends_what_was_posted(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){0});
  connect_in(g, MCQ_PULL);
  mcq_stats_t stats;
  do {
    turns(g, 1);
    mcq_stats(g->out, &stats);
  } while (stats.peers == 0);
  for (unsigned i = 0; i < 5; i++) {
    assert_int_equal(post(g, i), 0);
    assert_int_equal(mcq_post_call(g->box, count_late_call, NULL), 0);
  }
  g->in_call = true;
  mcq_close(g->out, on_closed);
  g->in_call = false;
  assert_int_equal(post(g, 5), MCQ_ECLOSED);
  assert_int_equal(mcq_post_call(g->box, note_call, NULL), MCQ_ECLOSED);
  until(g, g->closed && g->heard == 5);
  assert_int_equal(g->calls, 5);
  assert_int_equal(g->lost, 0);
  close_stage(g);
}

static void closing_counts_what_is_lost(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){0});
  assert_int_equal(post_all(g, 0, 7), 7);
  turns(g, 3); /* nobody is there: it waits */
  assert_int_equal(post_all(g, 7, 9), 9);
  mcq_close(g->out, on_closed);
  until(g, g->closed);
  assert_int_equal(g->lost, 9);
  assert_int_equal(g->failed, 0);
  close_stage(g);
}

/* A mailbox that nobody holds any more brings what it has, and goes. */
static void letting_go_of_it(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  for (int full = 0; full < 2; full++) {
    turns(g, 3);
    size_t live = g->ground.memory.live;
    open_box(g, (mcq_mailbox_options_t){0});
    mcq_mailbox_t* second = mcq_mailbox_retain(g->box);
    assert_ptr_equal(second, g->box);
    mcq_mailbox_release(second);
    if (full == 1) assert_int_equal(post_all(g, 0, 100), 100);
    if (full == 1) turns(g, 3);
    mcq_mailbox_release(g->box);
    g->box = NULL;
    turns(g, 3);
    if (full == 0) assert_int_equal(g->ground.memory.live, live);
  }
  connect_in(g, MCQ_PULL);
  until(g, g->heard == 100);
  close_stage(g);
}

static void it_outlives_everything(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){0});
  assert_int_equal(post(g, 0), 0);
  mcq_ctx_close(g->ground.ctx, NULL); /* on_close is nobody's business here */
  while (uv_run(&g->ground.loop, UV_RUN_ONCE) != 0) continue;
  assert_int_equal(uv_loop_close(&g->ground.loop), 0);
  assert_int_equal(post(g, 1), MCQ_ECLOSED);
  assert_int_equal(mcq_post_call(g->box, note_call, NULL), MCQ_ECLOSED);
  mcq_mailbox_release(mcq_mailbox_retain(g->box));
  assert_true(g->ground.memory.live > 0);
  mcq_mailbox_release(g->box);
  assert_int_equal(g->ground.memory.live, 0);
}

/* ---- closing in callbacks ------------------------------------------------ */

static void count_here(mcq_socket_t* s, void* arg) {
  (void) arg;
  of(s)->calls++;
}

static void close_here(mcq_socket_t* s, void* arg) {
  stage_t* g = of(s);
  (void) arg;
  g->calls++;
  mcq_close(s, on_closed);
}

static void finish_here(mcq_socket_t* s, void* arg) {
  (void) arg;
  of(s)->calls++;
  ground_finish(&of(s)->ground);
}

static void let_go_here(mcq_socket_t* s, void* arg) {
  stage_t* g = of(s);
  (void) arg;
  g->calls++;
  mcq_mailbox_release(g->box);
  g->box = NULL;
}

static void and_on_drain(mcq_socket_t* s, void* data) {
  on_drain(s, data);
  mcq_close(s, on_closed);
}

static void and_on_failed(mcq_socket_t* s, mcq_msg_t* msg, int code,
                          void* data) {
  on_failed(s, msg, code, data);
  mcq_close(s, on_closed);
}

static void ending_it_in_a_call(void** state) {
  (void) state;
  const mcq_post_cb deeds[] = {close_here, finish_here, let_go_here};
  for (int i = 0; i < 9; i++) {
    stage_t* g = open_stage(MCQ_PUSH);
    g->out = make(g, (mcq_socket_options_t){.type = MCQ_PUSH, .linger_ms = 1});
    open_box(g, (mcq_mailbox_options_t){.hwm = 5000});
    /* Before, behind and among others, also more than a turn has. */
    unsigned around = i / 3 == 2 ? 1500 : (unsigned) i / 3;
    for (unsigned k = 0; k < around; k++)
      assert_int_equal(mcq_post_call(g->box, count_here, NULL), 0);
    assert_int_equal(mcq_post_call(g->box, deeds[i % 3], NULL), 0);
    for (unsigned k = 0; k < around; k++)
      assert_int_equal(mcq_post_call(g->box, count_here, NULL), 0);
    assert_int_equal(post(g, 0), 0);
    until(g, g->calls == 2 * around + 1);
    close_stage(g);
    assert_int_equal(g->calls, 2 * around + 1);
  }
}

static void ending_it_as_it_drains(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  mcq_mailbox_options_t o = {.hwm = 8, .data = g, .on_drain = and_on_drain};
  assert_int_equal(mcq_mailbox_new(g->out, &o, &g->box), 0);
  connect_in(g, MCQ_PULL);
  assert_int_equal(post_all(g, 0, 9), 8);
  until(g, g->closed);
  assert_int_equal(g->heard + g->lost, 8);
  close_stage(g);
}

/* While it also waits for room. */
static void ending_it_as_it_drains_but_not_all(void** state) {
  (void) state;
  static uint8_t body[100000];
  unsigned posted = 0;
  stage_t* g = open_stage(MCQ_PUSH);
  mcq_mailbox_options_t o = {
      .hwm = 30, .hwm_bytes = -1, .data = g, .on_drain = and_on_drain};
  assert_int_equal(mcq_mailbox_new(g->out, &o, &g->box), 0);
  for (; posted < 29; posted++) {
    memcpy(body, &posted, sizeof posted);
    assert_int_equal(mcq_post(g->box, &(mcq_frame_t){body, sizeof body}, 1), 0);
  }
  assert_int_equal(mcq_post_call(g->box, count_here, NULL), 0);
  assert_int_equal(post(g, 0), MCQ_EAGAIN);
  connect_in(g, MCQ_PULL);
  until(g, g->closed && g->heard + g->lost == posted);
  assert_int_equal(g->calls, 1);
  close_stage(g);
}

/* Room for many that once came does not stay for ever. */
static void a_crowd_is_not_remembered(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){.hwm = POSTS_MAX});
  turns(g, 2);
  size_t before = g->ground.memory.bytes;
  for (unsigned i = 0; i < POSTS_MAX; i++)
    assert_int_equal(mcq_post_call(g->box, count_here, NULL), 0);
  assert_true(g->ground.memory.bytes > before + POSTS_MAX * 16);
  until(g, g->calls == POSTS_MAX);
  turns(g, 2);
  assert_true(g->ground.memory.bytes < before + 1000);
  close_stage(g);
}

static void ending_it_as_one_fails(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_ROUTER);
  mcq_mailbox_options_t o = {.data = g, .on_failed = and_on_failed};
  assert_int_equal(mcq_mailbox_new(g->out, &o, &g->box), 0);
  for (unsigned i = 0; i < 3; i++) assert_int_equal(post(g, i), 0);
  assert_int_equal(mcq_post_call(g->box, count_late_call, NULL), 0);
  until(g, g->closed);
  assert_int_equal(g->failed, 1);
  assert_int_equal(g->lost, 2); /* the first was lost before */
  assert_int_equal(g->calls, 1);
  close_stage(g);
}

/* ---- the loop ------------------------------------------------------------ */

/* As an unref'd handle of libuv's: it keeps nothing going by itself, what the
 * loop has heard of does. */
static void a_mailbox_keeps_no_loop_going(void** state) {
  (void) state;
  stage_t* g = open_stage(MCQ_PUSH);
  open_box(g, (mcq_mailbox_options_t){0});
  mcq_unref(g->out);
  turns(g, 3);
  assert_int_equal(uv_run(&g->ground.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(mcq_post_call(g->box, note_call, &g->log[0]), 0);
  mcq_ref(g->out); /* something else keeps it going */
  turns(g, 2);
  mcq_unref(g->out);
  assert_int_equal(g->calls, 1);
  assert_int_equal(uv_run(&g->ground.loop, UV_RUN_DEFAULT), 0); /* all done */
  assert_int_equal(post_all(g, 0, 3), 3);
  turns(g, 1);
  assert_int_equal(uv_run(&g->ground.loop, UV_RUN_DEFAULT), 0); /* they wait */
  mcq_ref(g->out);
  close_stage(g);
}

/* ---- memory -------------------------------------------------------------- */

static void nothing_in_particular(mcq_socket_t* s, void* arg) {
  (void) s;
  (*(unsigned*) arg)++;
}

static void count_down(void* data) {
  *(bool*) data = true;
}

static int talk(mcq_ctx_t* ctx, uv_loop_t* loop) {
  mcq_socket_t* s = NULL;
  mcq_mailbox_t* box = NULL;
  mcq_socket_options_t o = {.type = MCQ_PUSH, .linger_ms = 1};
  unsigned calls = 0;
  unsigned posted = 0;
  int rc = mcq_socket_new(ctx, &o, &s);
  if (rc == 0) rc = mcq_bind(s, "inproc://x", NULL);
  if (rc == 0) rc = mcq_mailbox_new(s, NULL, &box);
  for (int i = 0; rc == 0 && i < 20; i++) {
    mcq_frame_t frames[2] = {{"one", 3}, {&rc, sizeof rc}};
    rc = i % 2 == 0 ? mcq_post(box, frames, 2)
                    : mcq_post_call(box, nothing_in_particular, &calls);
    if (rc == 0 && i % 2 != 0) posted++;
    if (i == 10) (void) uv_run(loop, UV_RUN_NOWAIT);
  }
  if (s != NULL) mcq_close(s, NULL);
  for (int i = 0; i < 10; i++) (void) uv_run(loop, UV_RUN_NOWAIT);
  assert_int_equal(calls, posted);
  mcq_mailbox_release(box);
  return rc;
}

static int whole_life(test_alloc_t* ta, void* arg) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  bool left = false;
  (void) arg;
  mcq_ctx_options_t o = {.backend = MCQ_BACKEND_UV,
                         .allocator = test_alloc_allocator(ta),
                         .data = &left};
  assert_int_equal(uv_loop_init(&loop), 0);
  int rc = mcq_ctx_new(&loop, &o, &ctx);
  if (rc == 0) {
    rc = talk(ctx, &loop);
    mcq_ctx_close(ctx, count_down);
    while (!left) (void) uv_run(&loop, UV_RUN_ONCE);
  }
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  return rc;
}

static void a_life_survives_every_failing_allocation(void** state) {
  (void) state;
  assert_in_range(test_alloc_sweep(whole_life, NULL), 20, 300);
}

/* ---- main ---------------------------------------------------------------- */

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(in_order_and_in_turns),
      cmocka_unit_test(full_until_somebody_comes),
      cmocka_unit_test(bytes_fill_it_too),
      cmocka_unit_test(waiting_for_room),
      cmocka_unit_test(messages_are_shared),
      cmocka_unit_test(what_cannot_be),
      cmocka_unit_test(failures_are_told),
      cmocka_unit_test(a_question_out_of_turn),
      cmocka_unit_test(calls_come_between_messages),
      cmocka_unit_test(calls_to_one_that_only_listens),
      cmocka_unit_test(closing_sends_what_was_posted),
      cmocka_unit_test(closing_counts_what_is_lost),
      cmocka_unit_test(letting_go_of_it),
      cmocka_unit_test(it_outlives_everything),
      cmocka_unit_test(ending_it_in_a_call),
      cmocka_unit_test(ending_it_as_it_drains),
      cmocka_unit_test(ending_it_as_it_drains_but_not_all),
      cmocka_unit_test(ending_it_as_one_fails),
      cmocka_unit_test(a_crowd_is_not_remembered),
      cmocka_unit_test(a_mailbox_keeps_no_loop_going),
      cmocka_unit_test(a_life_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  static const char* const names[] = {"inproc, uv", "tcp, uv", "tcp, uring"};
  int failed = 0;
  for (size_t i = 0; i < 3; i++) {
    place = place_find(names[i]);
    printf("%s\n", names[i]);
    if (place_is_here(place)) failed += run_all();
  }
  return failed;
}
