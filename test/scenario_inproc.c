/* SPDX-License-Identifier: MIT */
/* Sockets of one context that talk inside it, or of two that share their names:
 * what is so only there.  Who connects may come first, payload is shared and
 * not copied, names belong to their contexts.  That all the rest is as over tcp
 * is test/scenario.c's and test/scenario_types.c's matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monocoque.h"
#include "support/place.h"

#define MIB ((size_t) 1048576)
#define NAME "inproc://there"

static const place_t* place;

typedef struct stage stage_t;

/* A socket and what it was told. */
typedef struct actor {
  stage_t* g;
  mcq_socket_t* s; /* NULL: closed */
  unsigned told[MCQ_EVENT_REFUSED + 1];
  mcq_event_kind_t order[32]; /* the first ones */
  unsigned events;
  unsigned ups, downs, messages, drains;
  int reason;
  mcq_peer_t peer;
  mcq_msg_t* kept; /* the last message, when it keeps them */
} actor_t;

struct stage {
  ground_t ground;
  actor_t a, b, c;
  bool in_call;
  bool keep;
  void (*then_event)(actor_t* x, const mcq_event_t* e);
  void (*then_message)(actor_t* x, mcq_peer_t peer, mcq_msg_t* msg);
};

static actor_t* of(const mcq_socket_t* s) {
  actor_t* x = (actor_t*) mcq_socket_data(s);
  assert_false(x->g->in_call);
  return x;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  actor_t* x = of(s);
  x->ups++;
  x->peer = info->peer;
  assert_string_equal(info->address, NAME);
  assert_string_equal(info->mechanism, "NULL");
  assert_int_equal(info->incoming, x == &x->g->a);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  actor_t* x = of(s);
  x->downs++;
  x->reason = info->reason;
}

static void on_drain(mcq_socket_t* s) {
  of(s)->drains++;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  actor_t* x = of(s);
  x->messages++;
  if (x->g->keep) {
    mcq_msg_release(x->kept);
    x->kept = mcq_msg_retain(msg);
  }
  if (x->g->then_message != NULL) x->g->then_message(x, peer, msg);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  actor_t* x = of(s);
  x->told[e->kind]++;
  if (x->events < 32) x->order[x->events] = e->kind;
  x->events++;
  if (e->address != NULL) assert_string_equal(e->address, NAME);
  if (x->g->then_event != NULL) x->g->then_event(x, e);
}

static void on_closed(const mcq_close_info_t* info) {
  ((actor_t*) info->data)->s = NULL;
}

static void make(stage_t* g, actor_t* x, mcq_socket_options_t o) {
  x->g = g;
  o.data = x;
  o.on_peer_up = on_up;
  o.on_peer_down = on_down;
  o.on_message = on_message;
  o.on_drain = on_drain;
  o.on_event = on_event;
  if (o.reconnect_ms == 0) o.reconnect_ms = 1;
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &o, &x->s), 0);
}

static void bind_to(actor_t* x) {
  x->g->in_call = true;
  assert_int_equal(mcq_bind(x->s, NAME, NULL), 0);
  x->g->in_call = false;
}

static void connect_to(actor_t* x) {
  x->g->in_call = true;
  assert_int_equal(mcq_connect(x->s, NAME, NULL, NULL), 0);
  x->g->in_call = false;
}

static void leave(actor_t* x) {
  if (x->s != NULL) mcq_close(x->s, on_closed);
}

#define until(g, condition) ground_until(&(g)->ground, condition)

static void turns(stage_t* g, int n) {
  while (n-- > 0) (void) uv_run(&g->ground.loop, UV_RUN_NOWAIT);
}

static stage_t* open_stage(void) {
  static stage_t g;
  memset(&g, 0, sizeof g);
  ground_open(&g.ground, place);
  return &g;
}

static void close_stage(stage_t* g) {
  mcq_msg_release(g->a.kept);
  mcq_msg_release(g->b.kept);
  mcq_msg_release(g->c.kept);
  ground_finish(&g->ground);
  ground_run(&g->ground);
}

static void join(stage_t* g, int a, int b) {
  make(g, &g->a, (mcq_socket_options_t){.type = a});
  make(g, &g->b, (mcq_socket_options_t){.type = b});
  bind_to(&g->a);
  connect_to(&g->b);
  until(g, g->a.ups == 1 && g->b.ups == 1);
}

static void expect_order(const actor_t* x, const mcq_event_kind_t* kinds,
                         unsigned count) {
  assert_int_equal(x->events, count);
  for (unsigned i = 0; i < count; i++) assert_int_equal(x->order[i], kinds[i]);
}

/* ---- who comes first ----------------------------------------------------- */

/* Nobody is there at first: no error, no second attempt, and what was
 * sent meanwhile arrives. */
static void connecting_first(void** state) {
  (void) state;
  static const mcq_event_kind_t binder[] = {
      MCQ_EVENT_LISTENING, MCQ_EVENT_ACCEPTED, MCQ_EVENT_HANDSHAKE_OK};
  static const mcq_event_kind_t caller[] = {
      MCQ_EVENT_CONNECTING, MCQ_EVENT_CONNECTED, MCQ_EVENT_HANDSHAKE_OK};
  stage_t* g = open_stage();
  make(g, &g->a, (mcq_socket_options_t){.type = MCQ_ROUTER});
  make(g, &g->b, (mcq_socket_options_t){.type = MCQ_DEALER});
  connect_to(&g->b);
  assert_int_equal(mcq_connect(g->b.s, NAME, NULL, NULL), MCQ_EEXIST);
  for (int i = 0; i < 10; i++)
    assert_int_equal(mcq_send_text(g->b.s, "early"), 0);
  turns(g, 20);
  assert_int_equal(g->b.events, 1);
  bind_to(&g->a);
  until(g, g->a.messages == 10);
  expect_order(&g->a, binder, 3);
  expect_order(&g->b, caller, 3);
  close_stage(g);
  assert_int_equal(g->a.ups + g->b.ups, 2);
  assert_int_equal(g->a.downs + g->b.downs, 2);
  assert_int_equal(g->a.told[MCQ_EVENT_DISCONNECTED], 1);
  assert_int_equal(g->b.told[MCQ_EVENT_DISCONNECTED], 1);
  assert_int_equal(g->a.told[MCQ_EVENT_CLOSED], 1);
  assert_int_equal(g->b.told[MCQ_EVENT_CLOSED], 1);
}

/* The name is given up and taken by another: who was connected comes again. */
static void a_name_changes_hands(void** state) {
  (void) state;
  stage_t* g = open_stage();
  join(g, MCQ_ROUTER, MCQ_DEALER);
  make(g, &g->c, (mcq_socket_options_t){.type = MCQ_ROUTER});
  assert_int_equal(mcq_bind(g->c.s, NAME, NULL), MCQ_EADDRINUSE);
  leave(&g->a);
  until(g, g->b.downs == 1 && g->a.s == NULL);
  assert_int_equal(g->b.reason, MCQ_EOF);
  assert_int_equal(mcq_send_text(g->b.s, "meanwhile"), 0);
  until(g, g->b.told[MCQ_EVENT_CONNECTING] == 2); /* and there it waits */
  turns(g, 10);
  assert_int_equal(g->b.told[MCQ_EVENT_CONNECTING], 2);
  assert_int_equal(g->b.told[MCQ_EVENT_RETRY], 1);
  memset(&g->a, 0, sizeof g->a);
  make(g, &g->a, (mcq_socket_options_t){.type = MCQ_ROUTER});
  bind_to(&g->a);
  until(g, g->a.messages == 1);
  assert_int_equal(g->b.ups, 2);
  assert_int_equal(g->b.told[MCQ_EVENT_CONNECT_FAILED], 0);
  close_stage(g);
}

/* What waits for a name that never comes is given up within linger. */
static void closing_before_anybody_is_there(void** state) {
  (void) state;
  for (int linger = -2; linger <= 2; linger += 2) {
    stage_t* g = open_stage();
    make(
        g, &g->b,
        (mcq_socket_options_t){.type = MCQ_DEALER,
                               .linger_ms = linger == 2 ? 5 : MCQ_LINGER_NONE});
    connect_to(&g->b);
    if (linger != 0) assert_int_equal(mcq_send_text(g->b.s, "lost"), 0);
    if (linger == 0) turns(g, 3);
    leave(&g->b);
    until(g, g->b.s == NULL);
    close_stage(g);
    assert_int_equal(g->b.told[MCQ_EVENT_CLOSED], 1);
    assert_int_equal(g->b.ups, 0);
  }
}

static void names_belong_to_their_context(void** state) {
  (void) state;
  stage_t* g = open_stage();
  mcq_ctx_t* other;
  mcq_socket_t* s;
  mcq_socket_t* lonely;
  mcq_ctx_options_t options = {.backend = place->backend};
  mcq_socket_options_t o = {.type = MCQ_DEALER};
  assert_int_equal(mcq_ctx_new(&g->ground.loop, &options, &other), 0);
  assert_int_equal(mcq_socket_new(other, &o, &s), 0);
  assert_int_equal(mcq_socket_new(other, &o, &lonely), 0);
  join(g, MCQ_DEALER, MCQ_DEALER);
  assert_int_equal(mcq_connect(lonely, NAME, NULL, NULL), 0);
  turns(g, 10);
  assert_int_equal(g->a.ups, 1);
  assert_int_equal(mcq_bind(s, NAME, NULL), 0); /* free there */
  mcq_stats_t stats;
  do {
    turns(g, 1);
    mcq_stats(lonely, &stats);
  } while (stats.peers == 0);
  assert_int_equal(g->a.ups, 1);
  mcq_ctx_close(other, NULL);
  close_stage(g);
}

/* ---- high-water marks ---------------------------------------------------- */

static unsigned expected;

static void in_order(actor_t* x, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) x;
  (void) peer;
  unsigned number;
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  assert_int_equal(frame.len, 1000);
  memcpy(&number, frame.data, sizeof number);
  assert_int_equal(number, expected);
  expected++;
}

static unsigned send_until_refused(stage_t* g, unsigned from) {
  uint8_t body[1000] = {0};
  for (;; from++) {
    memcpy(body, &from, sizeof from);
    g->in_call = true;
    int rc = mcq_send_bytes(g->b.s, body, sizeof body);
    g->in_call = false;
    if (rc == MCQ_EAGAIN) return from;
    assert_int_equal(rc, 0);
  }
}

/* A receiver that is paused stops its sender: at the mark, and what waits on
 * the other side is bounded as the buffers of a kernel are. */
static void the_marks_hold(void** state) {
  (void) state;
  stage_t* g = open_stage();
  make(g, &g->a, (mcq_socket_options_t){.type = MCQ_DEALER});
  make(g, &g->b, (mcq_socket_options_t){.type = MCQ_DEALER, .sndhwm = 100});
  bind_to(&g->a);
  connect_to(&g->b);
  g->then_message = in_order;
  expected = 0;
  unsigned sent = send_until_refused(g, 0);
  assert_int_equal(sent, 100); /* nobody is connected */
  assert_int_equal(mcq_pause(g->a.s), 0);
  until(g, g->b.ups == 1);
  for (unsigned drains = 0; turns(g, 5), g->b.drains > drains;) {
    drains = g->b.drains;
    sent = send_until_refused(g, sent);
  }
  assert_int_equal(g->a.messages, 0);
  assert_in_range(sent, 200, 100 + 100 + 300);
  unsigned drains = g->b.drains;
  turns(g, 5);
  assert_int_equal(g->b.drains, drains);
  assert_int_equal(mcq_resume(g->a.s), 0);
  until(g, g->b.drains == drains + 1 && expected == sent);
  turns(g, 5);
  assert_int_equal(g->b.drains, drains + 1); /* once */
  assert_int_equal(send_until_refused(g, sent) > sent, true);
  close_stage(g);
}

/* ---- payload is shared --------------------------------------------------- */

/* What is alive above `before`, in bytes. */
static size_t grown(const stage_t* g, size_t before) {
  size_t now = atomic_load(&g->ground.memory.bytes);
  return now > before ? now - before : 0;
}

/* A MiB sent, received and kept is one MiB; sent on as it is and kept there
 * too, it still is. */
static void a_large_message_is_there_once(void** state) {
  (void) state;
  static uint8_t body[MIB];
  stage_t* g = open_stage();
  g->keep = true;
  join(g, MCQ_DEALER, MCQ_DEALER);
  make(g, &g->c, (mcq_socket_options_t){.type = MCQ_DEALER});
  assert_int_equal(mcq_send_text(g->b.s, "warm up"), 0);
  assert_int_equal(mcq_send_text(g->a.s, "warm up"), 0);
  until(g, g->a.messages == 1 && g->b.messages == 1);
  turns(g, 3);
  for (size_t i = 0; i < MIB; i++) body[i] = (uint8_t) (i * 7 + i / 251);
  size_t before = atomic_load(&g->ground.memory.bytes);
  mcq_frame_t frames[3] = {{"head", 4}, {body, MIB}, {"tail", 4}};
  assert_int_equal(mcq_send(g->b.s, frames, 3), 0);
  assert_true(grown(g, before) >= MIB);
  until(g, g->a.messages == 2);
  turns(g, 3);
  assert_memory_equal(mcq_msg_frame(g->a.kept, 1).data, body, MIB);
  assert_true(grown(g, before) < MIB + 200000);
  const void* at = mcq_msg_frame(g->a.kept, 1).data;
  /* And on. */
  size_t peak = atomic_load(&g->ground.memory.calls);
  assert_int_equal(mcq_send_msg(g->a.s, g->a.kept), 0);
  until(g, g->b.messages == 2);
  turns(g, 3);
  assert_true(atomic_load(&g->ground.memory.calls) - peak < 100);
  assert_ptr_equal(mcq_msg_frame(g->b.kept, 1).data, at);
  assert_memory_equal(mcq_msg_frame(g->b.kept, 2).data, "tail", 4);
  assert_true(grown(g, before) < MIB + 200000);
  close_stage(g);
}

static void count_release(void* data, void* arg) {
  (void) data;
  (*(unsigned*) arg)++;
}

/* Memory of the user's own is what the receiver sees. */
static void wrapped_memory_goes_all_the_way(void** state) {
  (void) state;
  static uint8_t body[MIB];
  unsigned released = 0;
  mcq_msg_t* msg;
  stage_t* g = open_stage();
  g->keep = true;
  join(g, MCQ_PUSH, MCQ_PULL);
  assert_int_equal(
      mcq_msg_wrap(g->ground.ctx, body, MIB, count_release, &released, &msg),
      0);
  assert_int_equal(mcq_send_msg(g->a.s, msg), 0);
  mcq_msg_release(msg);
  until(g, g->b.messages == 1);
  assert_ptr_equal(mcq_msg_frame(g->b.kept, 0).data, body);
  turns(g, 3);
  assert_int_equal(released, 0);
  mcq_msg_release(g->b.kept);
  g->b.kept = NULL;
  turns(g, 3);
  assert_int_equal(released, 1);
  close_stage(g);
  assert_int_equal(released, 1);
}

/* Ten subscribers keep the same MiB. */
static void subscribers_share_it(void** state) {
  (void) state;
  enum { SUBSCRIBERS = 10 };
  static uint8_t body[MIB];
  static actor_t subs[SUBSCRIBERS];
  memset(subs, 0, sizeof subs);
  stage_t* g = open_stage();
  g->keep = true;
  make(g, &g->a, (mcq_socket_options_t){.type = MCQ_PUB});
  bind_to(&g->a);
  for (size_t i = 0; i < SUBSCRIBERS; i++) {
    make(g, &subs[i], (mcq_socket_options_t){.type = MCQ_SUB});
    assert_int_equal(mcq_subscribe(subs[i].s, "", 0), 0);
    connect_to(&subs[i]);
  }
  until(g, g->a.told[MCQ_EVENT_SUBSCRIBED] == SUBSCRIBERS);
  turns(g, 3);
  size_t before = atomic_load(&g->ground.memory.bytes);
  assert_int_equal(mcq_send_bytes(g->a.s, body, MIB), 0);
  for (size_t i = 0; i < SUBSCRIBERS; i++) until(g, subs[i].messages == 1);
  turns(g, 3);
  assert_true(grown(g, before) < MIB + 400000);
  const void* at = mcq_msg_frame(subs[0].kept, 0).data;
  for (size_t i = 0; i < SUBSCRIBERS; i++) {
    assert_ptr_equal(mcq_msg_frame(subs[i].kept, 0).data, at);
    mcq_msg_release(subs[i].kept);
  }
  close_stage(g);
}

/* ---- the end ------------------------------------------------------------- */

static void the_other_side_hears_at_once(void** state) {
  (void) state;
  for (int i = 0; i < 2; i++) {
    stage_t* g = open_stage();
    join(g, MCQ_PAIR, MCQ_PAIR);
    turns(g, 3);
    actor_t* goes = i == 0 ? &g->a : &g->b;
    actor_t* stays = i == 0 ? &g->b : &g->a;
    leave(goes);
    turns(g, 2);
    assert_int_equal(stays->downs, 1);
    assert_int_equal(stays->reason, MCQ_EOF);
    until(g, goes->s == NULL);
    close_stage(g);
  }
}

/* Inside any event anything may be closed. */
static struct {
  mcq_event_kind_t kind;
  int deed;
  bool done;
} plan;

static void carry_out(actor_t* x, const mcq_event_t* e) {
  stage_t* g = x->g;
  if (e->kind != plan.kind || plan.done) return;
  plan.done = true;
  if (plan.deed == 0) ground_finish(&g->ground);
  if (plan.deed == 1 || plan.deed == 3) leave(&g->a);
  if (plan.deed == 2 || plan.deed == 3) leave(&g->b);
}

static void closing_in_every_event(void** state) {
  (void) state;
  static const mcq_event_kind_t kinds[] = {
      MCQ_EVENT_LISTENING, MCQ_EVENT_ACCEPTED,     MCQ_EVENT_CONNECTING,
      MCQ_EVENT_CONNECTED, MCQ_EVENT_HANDSHAKE_OK, MCQ_EVENT_DISCONNECTED,
      MCQ_EVENT_CLOSED};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    for (int n = 0; n < 8; n++) {
      plan.kind = kinds[i];
      plan.deed = n / 2;
      plan.done = false;
      stage_t* g = open_stage();
      g->then_event = carry_out;
      make(g, &g->a,
           (mcq_socket_options_t){.type = MCQ_DEALER, .linger_ms = 5});
      make(g, &g->b,
           (mcq_socket_options_t){.type = MCQ_DEALER, .linger_ms = 5});
      if (n % 2 == 0) bind_to(&g->a);
      connect_to(&g->b);
      if (n % 2 == 1) bind_to(&g->a);
      assert_int_equal(mcq_send_text(g->b.s, "hello"), 0);
      turns(g, 10);
      if (!plan.done) leave(&g->b);
      turns(g, 10);
      close_stage(g);
      assert_true(plan.done);
      assert_int_equal(g->a.ups, g->a.downs);
      assert_int_equal(g->b.ups, g->b.downs);
    }
  }
}

/* ---- memory -------------------------------------------------------------- */

typedef struct talk {
  unsigned heard;
  unsigned left; /* contexts that are not closed */
} talk_t;

static void count_heard(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  ((talk_t*) mcq_socket_data(s))->heard++;
}

static void on_left(void* data) {
  ((talk_t*) data)->left--;
}

static int converse(mcq_ctx_t* ctx, mcq_ctx_t* other, uv_loop_t* loop,
                    talk_t* talk) {
  mcq_socket_t* a;
  mcq_socket_t* b;
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .data = talk,
                            .on_message = count_heard,
                            .reconnect_ms = 1,
                            .reconnect_max_ms = 1,
                            .linger_ms = 1};
  int rc = mcq_socket_new(ctx, &o, &a);
  if (rc == 0) rc = mcq_socket_new(other, &o, &b);
  if (rc == 0) rc = mcq_connect(b, NAME, NULL, NULL);
  if (rc == 0) rc = mcq_bind(a, NAME, NULL);
  unsigned sent = 0;
  for (int i = 0; rc == 0 && i < 5; i++, sent++) {
    mcq_frame_t frames[2] = {{"one", 3}, {"two", 3}};
    rc = mcq_send(b, frames, 2);
  }
  for (int i = 0; rc == 0 && talk->heard < sent && i < 30; i++)
    (void) uv_run(loop, i < 10 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
  return rc != 0 || talk->heard == sent ? rc : MCQ_ENOMEM;
}

static void on_tick(uv_timer_t* tick) {
  (void) tick;
}

static int whole_life(test_alloc_t* ta, void* arg) {
  uv_loop_t loop;
  uv_timer_t tick; /* no step of the loop sleeps for long */
  mcq_ctx_t* ctx;
  mcq_ctx_t* other = NULL;
  talk_t talk = {0};
  (void) arg;
  mcq_ctx_options_t o = {.backend = place->backend,
                         .allocator = test_alloc_allocator(ta),
                         .data = &talk};
  assert_int_equal(uv_loop_init(&loop), 0);
  uv_timer_init(&loop, &tick);
  uv_timer_start(&tick, on_tick, 1, 1);
  int rc = place->two ? mcq_inproc_new(&o.allocator, &o.inproc) : 0;
  if (rc == 0) rc = mcq_ctx_new(&loop, &o, &ctx);
  if (rc == 0) {
    talk.left++;
    if (place->two) rc = mcq_ctx_new(&loop, &o, &other);
    if (other != NULL) talk.left++;
    if (rc == 0) rc = converse(ctx, other ? other : ctx, &loop, &talk);
    mcq_ctx_close(ctx, on_left);
    if (other != NULL) mcq_ctx_close(other, on_left);
    while (talk.left > 0) (void) uv_run(&loop, UV_RUN_ONCE);
  }
  mcq_inproc_release(o.inproc);
  uv_close((uv_handle_t*) &tick, NULL);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  return rc;
}

static void a_life_survives_every_failing_allocation(void** state) {
  (void) state;
  test_alloc_sweep_real(whole_life, NULL);
}

/* ---- main ---------------------------------------------------------------- */

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(connecting_first),
      cmocka_unit_test(a_name_changes_hands),
      cmocka_unit_test(closing_before_anybody_is_there),
      cmocka_unit_test(names_belong_to_their_context),
      cmocka_unit_test(the_marks_hold),
      cmocka_unit_test(a_large_message_is_there_once),
      cmocka_unit_test(wrapped_memory_goes_all_the_way),
      cmocka_unit_test(subscribers_share_it),
      cmocka_unit_test(the_other_side_hears_at_once),
      cmocka_unit_test(closing_in_every_event),
      cmocka_unit_test(a_life_survives_every_failing_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  static const char* const names[] = {"inproc, uv", "inproc, uring",
                                      "inproc, two contexts"};
  int failed = 0;
  for (size_t i = 0; i < 3; i++) {
    place = place_find(names[i]);
    printf("%s\n", names[i]);
    if (place_is_here(place)) failed += run_all();
  }
  return failed;
}
