/* SPDX-License-Identifier: MIT */
/* Proxies between sockets that are somebody's: what passes, what waits, what
 * is dropped and counted, and every way to end one.  On both back ends; the
 * proxy lives in a context ("house") with an allocator that is watched, its
 * clients and workers in another one ("town") on the same loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monocoque.h"
#include "support/pool.h"

#define BIG ((size_t) 1 << 20)
#define QUIET_TURNS 40  /* in which nothing happened: nothing will */
#define TURNS_MAX 20000 /* of the loop, then a test is given up */

typedef struct user { /* of one socket */
  struct stage* stage;
  mcq_socket_t* socket;
  bool in_house;
  unsigned got, ups, downs, drains, asks_failed, closed;
  unsigned subscribed, unsubscribed;
  uint64_t bytes;
  char last[64]; /* frame 0 of the last message, as text */
  bool answers;  /* REP: at once, with what came */
  mcq_msg_t* kept;
  bool keeps;
} user_t;

typedef struct stage {
  test_alloc_t memory; /* the house's */
  test_alloc_t memory2;
  size_t big; /* blocks of half of BIG and more it ever had */
  uv_loop_t loop;
  uv_timer_t tick; /* no turn of the loop waits longer */
  mcq_ctx_t* house;
  mcq_ctx_t* town;
  mcq_proxy_t* proxy;
  user_t users[12];
  size_t count;
} stage_t;

/* ---- the stage ----------------------------------------------------------- */

static void* watched_alloc(size_t size, void* arg) {
  stage_t* g = (stage_t*) arg;
  if (size >= BIG / 2) g->big++;
  mcq_allocator_t a = test_alloc_allocator(&g->memory);
  return a.alloc(size, a.arg);
}

static void watched_free(void* block, void* arg) {
  stage_t* g = (stage_t*) arg;
  mcq_allocator_t a = test_alloc_allocator(&g->memory);
  a.free(block, a.arg);
}

static void on_tick(uv_timer_t* timer) {
  (void) timer;
}

static bool open_stage(stage_t* g, void** state) {
  int backend = *(const int*) *state;
  memset(g, 0, sizeof *g);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  test_alloc_init(&g->memory);
  test_alloc_init(&g->memory2);
  mcq_ctx_options_t house = {.backend = backend,
                             .allocator = {watched_alloc, watched_free, g}};
  mcq_ctx_options_t town = {.backend = backend,
                            .allocator = test_alloc_allocator(&g->memory2)};
  int rc = mcq_ctx_new(&g->loop, &house, &g->house);
  if (rc != 0 && backend == MCQ_BACKEND_URING) {
    uv_run(&g->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    printf("no io_uring here: %s\n", mcq_strerror(rc));
    return false;
  }
  assert_int_equal(rc, 0);
  assert_int_equal(mcq_ctx_new(&g->loop, &town, &g->town), 0);
  uv_timer_init(&g->loop, &g->tick);
  uv_timer_start(&g->tick, on_tick, 1, 1);
  return true;
}

static void close_stage(stage_t* g) {
  uv_close((uv_handle_t*) &g->tick, NULL);
  if (g->house != NULL) mcq_ctx_close(g->house, NULL);
  mcq_ctx_close(g->town, NULL);
  if (g->proxy != NULL) mcq_proxy_close(g->proxy);
  for (size_t i = 0; i < g->count; i++)
    if (g->users[i].kept != NULL) mcq_msg_release(g->users[i].kept);
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  assert_int_equal(g->memory.live, 0);
  assert_int_equal(g->memory2.live, 0);
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  user_t* u = (user_t*) mcq_socket_data(s);
  (void) peer;
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  u->got++;
  u->bytes += mcq_msg_size(msg);
  snprintf(u->last, sizeof u->last, "%.*s", (int) (f.len < 60 ? f.len : 60),
           f.len == 0 ? "" : (const char*) f.data);
  if (u->answers) assert_int_equal(mcq_send_msg(s, msg), 0);
  if (u->keeps && u->kept == NULL) u->kept = mcq_msg_retain(msg);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((user_t*) mcq_socket_data(s))->ups++;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((user_t*) mcq_socket_data(s))->downs++;
}

static void on_drain(mcq_socket_t* s) {
  ((user_t*) mcq_socket_data(s))->drains++;
}

static void on_request_failed(mcq_socket_t* s, int code) {
  (void) code;
  ((user_t*) mcq_socket_data(s))->asks_failed++;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  user_t* u = (user_t*) mcq_socket_data(s);
  if (e->kind == MCQ_EVENT_SUBSCRIBED) u->subscribed++;
  if (e->kind == MCQ_EVENT_UNSUBSCRIBED) u->unsubscribed++;
}

static void on_close(const mcq_close_info_t* info) {
  user_t* u = (user_t*) info->data;
  u->closed++;
  u->socket = NULL;
}

static user_t* make(stage_t* g, mcq_ctx_t* ctx, mcq_socket_options_t o) {
  user_t* u = &g->users[g->count++];
  assert_true(g->count <= sizeof g->users / sizeof *g->users);
  u->stage = g;
  u->in_house = ctx == g->house;
  o.data = u;
  if (o.on_message == NULL) o.on_message = on_message;
  if (o.on_drain == NULL) o.on_drain = on_drain;
  o.on_peer_up = on_up;
  o.on_peer_down = on_down;
  o.on_event = on_event;
  o.on_request_failed = on_request_failed;
  assert_int_equal(mcq_socket_new(ctx, &o, &u->socket), 0);
  return u;
}

static const char* listen_at(user_t* u) {
  mcq_endpoint_t at;
  assert_int_equal(mcq_bind(u->socket, "tcp://127.0.0.1:0", &at), 0);
  return mcq_endpoint_uri(u->socket, at);
}

static user_t* go_to(stage_t* g, const char* uri, mcq_socket_options_t o) {
  user_t* u = make(g, g->town, o);
  assert_int_equal(mcq_connect(u->socket, uri, NULL, NULL), 0);
  return u;
}

static int join(stage_t* g, user_t* front, user_t* back, user_t* capture) {
  mcq_proxy_options_t o = {.front = front->socket,
                           .back = back->socket,
                           .capture = capture == NULL ? NULL : capture->socket};
  return mcq_proxy_new(&o, &g->proxy);
}

static mcq_proxy_stats_t stats_of(const stage_t* g) {
  mcq_proxy_stats_t s;
  mcq_proxy_stats(g->proxy, &s);
  return s;
}

static mcq_stats_t counts_of(const user_t* u) {
  mcq_stats_t s;
  mcq_stats(u->socket, &s);
  return s;
}

/* Runs the loop until `condition`; a test that hangs here has failed. */
#define until(g, condition)              \
  do {                                   \
    unsigned turns_ = 0;                 \
    while (!(condition)) {               \
      assert_true(++turns_ < TURNS_MAX); \
      uv_run(&(g)->loop, UV_RUN_ONCE);   \
    }                                    \
  } while (0)

/* Everything anybody here can see. */
static uint64_t activity(stage_t* g) {
  uint64_t sum = g->proxy == NULL
                     ? 0
                     : stats_of(g).front.messages + stats_of(g).back.messages;
  for (size_t i = 0; i < g->count; i++) {
    if (g->users[i].socket == NULL) continue;
    if (g->users[i].in_house && g->house == NULL) continue;
    mcq_stats_t s = counts_of(&g->users[i]);
    sum += s.messages_received + s.messages_sent + s.peers + s.disconnects;
    sum -= s.bytes_queued;
  }
  return sum;
}

/* A turn after so many in which nothing happened.  The kernel is given time for
 * what it is late with before it counts as nothing. */
static void quiet_turn(stage_t* g, unsigned quiet) {
  uv_run(&g->loop, quiet < QUIET_TURNS / 2 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

/* Until nothing moves any more. */
static void settle(stage_t* g) {
  uint64_t before = activity(g);
  for (unsigned quiet = 0; quiet < QUIET_TURNS; quiet++) {
    quiet_turn(g, quiet);
    if (activity(g) != before) quiet = 0;
    before = activity(g);
  }
}

static int say(user_t* u, const char* text) {
  return mcq_send_text(u->socket, text);
}

/* Sends messages of `size` bytes, numbered, to `name` if there is one, until
 * nobody takes more, and not more than `most`.  Returns how many. */
static unsigned pour(stage_t* g, user_t* u, const char* name, unsigned most,
                     size_t size) {
  char* body = (char*) calloc(1, size + 16);
  unsigned sent = 0;
  for (unsigned idle = 0; idle < QUIET_TURNS && sent < most;) {
    snprintf(body, 16, "%u", sent);
    mcq_frame_t f[2] = {{name, name == NULL ? 0 : strlen(name)}, {body, size}};
    int rc = name == NULL ? mcq_send(u->socket, f + 1, 1)
                          : mcq_send(u->socket, f, 2);
    if (rc == 0) {
      sent++;
      idle = 0;
      continue;
    }
    assert_int_equal(rc, MCQ_EAGAIN);
    quiet_turn(g, idle++);
  }
  free(body);
  return sent;
}

/* ---- questions and answers ----------------------------------------------- */

static void clients_reach_workers(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* front = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_ROUTER});
  user_t* back = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_DEALER});
  user_t* tap = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_PUSH});
  assert_int_equal(join(&g, front, back, tap), 0);
  const char* clients_at = listen_at(front);
  const char* workers_at = listen_at(back);
  user_t* ear =
      go_to(&g, listen_at(tap), (mcq_socket_options_t){.type = MCQ_PULL});
  user_t* worker[2];
  for (int i = 0; i < 2; i++) {
    worker[i] = go_to(&g, workers_at, (mcq_socket_options_t){.type = MCQ_REP});
    worker[i]->answers = true;
  }
  until(&g, back->ups == 2 && tap->ups == 1);
  user_t* client[3];
  for (int i = 0; i < 3; i++)
    client[i] = go_to(&g, clients_at, (mcq_socket_options_t){.type = MCQ_REQ});
  for (unsigned round = 1; round <= 20; round++) {
    char text[32];
    for (int i = 0; i < 3; i++) {
      snprintf(text, sizeof text, "client %d round %u", i, round);
      assert_int_equal(say(client[i], text), 0);
    }
    for (int i = 0; i < 3; i++) {
      snprintf(text, sizeof text, "client %d round %u", i, round);
      until(&g, client[i]->got == round);
      assert_string_equal(client[i]->last, text);
    }
  }
  assert_int_equal(worker[0]->got + worker[1]->got, 60);
  assert_int_equal(worker[0]->got, 30); /* each had its turn */
  mcq_proxy_stats_t s = stats_of(&g);
  assert_int_equal(s.front.messages, 60);
  assert_int_equal(s.back.messages, 60);
  assert_int_equal(s.front.dropped + s.back.dropped, 0);
  assert_int_equal(s.front.bytes, counts_of(back).bytes_sent);
  assert_int_equal(s.back.bytes, counts_of(front).bytes_sent);
  until(&g, ear->got == 120);
  assert_int_equal(front->got + back->got, 0); /* nothing reached the user */
  close_stage(&g);
}

static void an_answer_to_nobody_is_counted(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* front = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_ROUTER});
  user_t* back = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_DEALER});
  assert_int_equal(join(&g, front, back, NULL), 0);
  user_t* worker =
      go_to(&g, listen_at(back), (mcq_socket_options_t){.type = MCQ_DEALER});
  user_t* client =
      go_to(&g, listen_at(front), (mcq_socket_options_t){.type = MCQ_DEALER});
  worker->keeps = true;
  assert_int_equal(say(client, "anybody?"), 0);
  until(&g, worker->kept != NULL);
  mcq_close(client->socket, on_close);
  until(&g, front->downs == 1);
  assert_int_equal(mcq_send_msg(worker->socket, worker->kept), 0);
  until(&g, stats_of(&g).back.dropped == 1);
  assert_int_equal(say(worker, "no envelope"), 0); /* one frame: no id */
  until(&g, stats_of(&g).back.dropped == 2);
  assert_int_equal(stats_of(&g).back.messages, 0);
  close_stage(&g);
}

/* A client that reads nothing holds up the answers until it is gone. */
static void answers_go_on_when_the_slow_client_leaves(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* front = make(&g, g.house,
                       (mcq_socket_options_t){.type = MCQ_ROUTER, .sndhwm = 4});
  user_t* back = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_DEALER});
  assert_int_equal(join(&g, front, back, NULL), 0);
  const char* at = listen_at(front);
  user_t* worker =
      go_to(&g, listen_at(back),
            (mcq_socket_options_t){.type = MCQ_DEALER, .sndhwm = 4});
  user_t* slow = go_to(&g, at,
                       (mcq_socket_options_t){.type = MCQ_DEALER,
                                              .linger_ms = MCQ_LINGER_NONE,
                                              .routing_id = "slow",
                                              .routing_id_len = 4});
  user_t* quick = go_to(
      &g, at,
      (mcq_socket_options_t){
          .type = MCQ_DEALER, .routing_id = "quick", .routing_id_len = 5});
  until(&g, front->ups == 2 && back->ups == 1);
  mcq_pause(slow->socket);
  unsigned sent = pour(&g, worker, "slow", 4000, 1 << 18);
  assert_true(sent < 4000);
  mcq_proxy_stats_t s = stats_of(&g);
  /* One message is held, no more, and nothing is dropped. */
  assert_int_equal(counts_of(back).messages_received, s.back.messages + 1);
  assert_int_equal(s.back.dropped, 0);
  mcq_close(slow->socket, on_close);
  until(&g, front->downs == 1 && stats_of(&g).back.dropped > 0);
  while (mcq_send(worker->socket, (mcq_frame_t[]){{"quick", 5}, {"me", 2}},
                  2) != 0)
    uv_run(&g.loop, UV_RUN_ONCE);
  until(&g, strcmp(quick->last, "me") == 0);
  s = stats_of(&g);
  assert_int_equal(s.back.messages + s.back.dropped,
                   counts_of(worker).messages_sent);
  close_stage(&g);
}

/* ---- subscriptions ------------------------------------------------------- */

static int topic(user_t* u, const char* text, bool wanted) {
  return wanted ? mcq_subscribe(u->socket, text, strlen(text))
                : mcq_unsubscribe(u->socket, text, strlen(text));
}

static void subscriptions_pass_upstream(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* front = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_XSUB});
  user_t* back = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_XPUB});
  assert_int_equal(join(&g, front, back, NULL), 0);
  const char* publishers_at = listen_at(front);
  const char* subscribers_at = listen_at(back);
  user_t* pub[2];
  for (int i = 0; i < 2; i++)
    pub[i] = go_to(&g, publishers_at, (mcq_socket_options_t){.type = MCQ_PUB});
  user_t* sub[2];
  for (int i = 0; i < 2; i++)
    sub[i] = go_to(&g, subscribers_at, (mcq_socket_options_t){.type = MCQ_SUB});
  until(&g, front->ups == 2 && back->ups == 2);
  assert_int_equal(topic(sub[0], "a", true), 0);
  until(&g, pub[0]->subscribed == 1 && pub[1]->subscribed == 1);
  assert_int_equal(topic(sub[1], "a", true), 0);
  assert_int_equal(topic(sub[1], "z", true), 0);
  until(&g, pub[0]->subscribed == 2 && pub[1]->subscribed == 2);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(say(pub[i], "nobody's"), 0);
    assert_int_equal(say(pub[i], "a for all"), 0);
    assert_int_equal(say(pub[i], "z for one"), 0);
  }
  until(&g, sub[0]->got == 2 && sub[1]->got == 4);
  assert_string_equal(sub[0]->last, "a for all");
  /* The first to cancel is not the last. */
  assert_int_equal(topic(sub[0], "a", false), 0);
  assert_int_equal(topic(sub[1], "z", false), 0);
  until(&g, pub[0]->unsubscribed == 1 && pub[1]->unsubscribed == 1);
  assert_int_equal(say(pub[0], "a again"), 0);
  until(&g, sub[1]->got == 5);
  assert_int_equal(sub[0]->got, 2);
  /* One that vanishes cancels what it had. */
  mcq_close(sub[1]->socket, on_close);
  until(&g, pub[0]->unsubscribed == 2 && pub[1]->unsubscribed == 2);
  assert_int_equal(counts_of(front).subscriptions, 0);
  mcq_proxy_stats_t s = stats_of(&g);
  assert_int_equal(s.front.messages, 5); /* publishers filter */
  assert_int_equal(s.back.messages, 4);
  assert_int_equal(s.front.dropped + s.back.dropped, 0);
  close_stage(&g);
}

/* What a subscriber cancels by leaving while the proxy is paused is passed on
 * when it goes on. */
static void a_cancellation_survives_a_pause(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* front = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_XSUB});
  user_t* back = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_XPUB});
  assert_int_equal(join(&g, back, front, NULL), 0); /* either way round */
  user_t* pub =
      go_to(&g, listen_at(front), (mcq_socket_options_t){.type = MCQ_PUB});
  user_t* sub =
      go_to(&g, listen_at(back), (mcq_socket_options_t){.type = MCQ_SUB});
  assert_int_equal(topic(sub, "x", true), 0);
  until(&g, pub->subscribed == 1);
  assert_int_equal(mcq_proxy_pause(g.proxy), 0);
  mcq_close(sub->socket, on_close);
  settle(&g);
  assert_int_equal(pub->unsubscribed, 0);
  assert_int_equal(mcq_proxy_resume(g.proxy), 0);
  until(&g, pub->unsubscribed == 1);
  close_stage(&g);
}

/* ---- one way, and backpressure ------------------------------------------- */

typedef struct line { /* client -> PULL, PUSH -> worker */
  user_t *front, *back, *client, *worker;
  const char* worker_at;
} line_t;

static line_t open_line(stage_t* g, user_t* tap, int32_t hwm) {
  line_t l;
  l.front = make(g, g->house, (mcq_socket_options_t){.type = MCQ_PULL});
  l.back = make(g, g->house,
                (mcq_socket_options_t){.type = MCQ_PUSH, .sndhwm = hwm});
  assert_int_equal(join(g, l.front, l.back, tap), 0);
  l.client = go_to(g, listen_at(l.front),
                   (mcq_socket_options_t){.type = MCQ_PUSH, .sndhwm = hwm});
  l.worker_at = listen_at(l.back);
  l.worker = NULL;
  until(g, l.front->ups == 1);
  return l;
}

static void work(stage_t* g, line_t* l) {
  l->worker = go_to(g, l->worker_at, (mcq_socket_options_t){.type = MCQ_PULL});
}

static void an_absent_back_pauses_the_front(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  unsigned sent = pour(&g, l.client, NULL, 100000, 1000);
  assert_true(sent > 10 && sent < 100000);
  assert_int_equal(stats_of(&g).front.messages, 0);
  assert_int_equal(counts_of(l.front).messages_received, 1);
  work(&g, &l);
  until(&g, l.worker->got == sent);
  char last[16];
  snprintf(last, sizeof last, "%u", sent - 1);
  assert_string_equal(l.worker->last, last);
  assert_int_equal(stats_of(&g).front.messages, sent);
  assert_int_equal(stats_of(&g).front.dropped, 0);
  assert_int_equal(stats_of(&g).front.bytes, sent * 1000);
  close_stage(&g);
}

static void a_slow_back_pauses_the_front(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  work(&g, &l);
  until(&g, l.worker->ups == 1);
  mcq_pause(l.worker->socket);
  unsigned sent = pour(&g, l.client, NULL, 100000, 8192);
  assert_true(sent > 10 && sent < 100000);
  settle(&g);
  mcq_proxy_stats_t s = stats_of(&g);
  assert_int_equal(counts_of(l.front).messages_received, s.front.messages + 1);
  assert_int_equal(counts_of(l.back).messages_sent, s.front.messages);
  assert_in_range(counts_of(l.back).messages_queued, 1, 10);
  mcq_resume(l.worker->socket);
  until(&g, l.worker->got == sent);
  assert_int_equal(l.worker->bytes, (uint64_t) sent * 8192);
  assert_int_equal(stats_of(&g).front.dropped, 0);
  assert_int_equal(l.front->drains + l.back->drains, 0);
  close_stage(&g);
}

/* Large frames pass without a copy, to the tap as well. */
static void large_payload_is_shared(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* tap = make(
      &g, g.house, (mcq_socket_options_t){.type = MCQ_PUB, .sndhwm_bytes = -1});
  line_t l = open_line(&g, tap, 100);
  user_t* ear =
      go_to(&g, listen_at(tap), (mcq_socket_options_t){.type = MCQ_SUB});
  assert_int_equal(mcq_subscribe(ear->socket, "", 0), 0);
  until(&g, tap->subscribed == 1);
  unsigned sent = pour(&g, l.client, NULL, 20, BIG);
  until(&g, counts_of(l.front).messages_received == 1);
  work(&g, &l); /* now the one that waited, too */
  until(&g, l.worker->got == sent && ear->got == sent);
  assert_int_equal(l.worker->bytes, sent * BIG);
  assert_int_equal(ear->bytes, sent * BIG);
  /* What they were received into; a copy of each would be twice as much. */
  assert_in_range(g.big, 1, sent + sent / 2);
  close_stage(&g);
}

/* ---- steering ------------------------------------------------------------ */

static void pausing_is_exact(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  work(&g, &l);
  assert_int_equal(mcq_proxy_pause(g.proxy), 0);
  assert_int_equal(mcq_proxy_pause(g.proxy), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(say(l.client, "knock"), 0);
  settle(&g);
  assert_int_equal(counts_of(l.front).messages_received, 0);
  /* The user's own pause is another matter. */
  assert_int_equal(mcq_resume(l.front->socket), 0);
  settle(&g);
  assert_int_equal(counts_of(l.front).messages_received, 0);
  assert_int_equal(mcq_pause(l.front->socket), 0);
  assert_int_equal(mcq_proxy_resume(g.proxy), 0);
  settle(&g);
  assert_int_equal(counts_of(l.front).messages_received, 0);
  assert_int_equal(mcq_resume(l.front->socket), 0);
  until(&g, l.worker->got == 3);
  close_stage(&g);
}

/* While a message waits for room the user can do what he likes with pauses:
 * the next one does not come. */
static void a_waiting_message_stays_the_only_one(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  for (int i = 0; i < 5; i++) assert_int_equal(say(l.client, "knock"), 0);
  settle(&g);
  assert_int_equal(mcq_proxy_pause(g.proxy), 0);
  assert_int_equal(mcq_proxy_resume(g.proxy), 0);
  assert_int_equal(mcq_pause(l.front->socket), 0);
  assert_int_equal(mcq_resume(l.front->socket), 0);
  settle(&g);
  assert_int_equal(counts_of(l.front).messages_received, 1);
  /* A pause does not keep back what is inside. */
  assert_int_equal(mcq_proxy_pause(g.proxy), 0);
  work(&g, &l);
  until(&g, l.worker->got == 1);
  settle(&g);
  assert_int_equal(l.worker->got, 1);
  assert_int_equal(mcq_proxy_resume(g.proxy), 0);
  until(&g, l.worker->got == 5);
  close_stage(&g);
}

/* ---- ends ---------------------------------------------------------------- */

/* Mute on both sides, one message inside: the sockets are the user's again and
 * both receive. */
static void closing_gives_the_sockets_back(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  for (int i = 0; i < 3; i++) assert_int_equal(say(l.client, "knock"), 0);
  settle(&g);
  assert_int_equal(counts_of(l.front).messages_received, 1);
  mcq_proxy_close(g.proxy);
  g.proxy = NULL;
  until(&g, l.front->got == 2);
  work(&g, &l);
  until(&g, l.back->drains == 1);
  assert_int_equal(say(l.back, "by hand"), 0);
  until(&g, l.worker->got == 1);
  /* And may be joined again. */
  assert_int_equal(join(&g, l.front, l.back, NULL), 0);
  assert_int_equal(say(l.client, "by proxy"), 0);
  until(&g, l.worker->got == 2);
  close_stage(&g);
}

static void paused_and_closed_it_receives_again(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  assert_int_equal(mcq_proxy_pause(g.proxy), 0);
  assert_int_equal(say(l.client, "knock"), 0);
  settle(&g);
  mcq_proxy_close(g.proxy);
  g.proxy = NULL;
  until(&g, l.front->got == 1);
  close_stage(&g);
}

static void close_proxy(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  user_t* u = (user_t*) mcq_socket_data(s);
  on_message(s, peer, msg);
  if (u->stage->proxy != NULL) mcq_proxy_close(u->stage->proxy);
  u->stage->proxy = NULL;
}

static void closed_inside_others_callbacks(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  l.worker = go_to(
      &g, l.worker_at,
      (mcq_socket_options_t){.type = MCQ_PULL, .on_message = close_proxy});
  for (int i = 0; i < 3; i++) assert_int_equal(say(l.client, "knock"), 0);
  until(&g, l.worker->got + l.front->got == 3);
  assert_true(l.worker->got >= 1);
  assert_null(g.proxy);
  close_stage(&g);
}

static void a_closed_socket_ends_it(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  for (int i = 0; i < 3; i++) assert_int_equal(say(l.client, "knock"), 0);
  settle(&g);
  mcq_close(l.back->socket, on_close);
  assert_int_equal(stats_of(&g).front.dropped, 1);
  assert_int_equal(stats_of(&g).front.messages, 0);
  assert_int_equal(mcq_proxy_pause(g.proxy), MCQ_ECLOSED);
  assert_int_equal(mcq_proxy_resume(g.proxy), MCQ_ECLOSED);
  until(&g, l.back->closed == 1 && l.front->got == 2);
  mcq_proxy_close(g.proxy);
  g.proxy = NULL;
  close_stage(&g);
}

static void the_front_may_close_with_a_message_waiting(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  for (int i = 0; i < 3; i++) assert_int_equal(say(l.client, "knock"), 0);
  settle(&g);
  mcq_close(l.front->socket, on_close);
  mcq_proxy_close(g.proxy);
  g.proxy = NULL;
  until(&g, l.front->closed == 1);
  assert_int_equal(l.front->got, 0);
  close_stage(&g);
}

static void the_tap_may_close(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* tap = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_PUB});
  line_t l = open_line(&g, tap, 10);
  work(&g, &l);
  mcq_close(tap->socket, on_close);
  until(&g, tap->closed == 1);
  assert_int_equal(say(l.client, "knock"), 0);
  until(&g, l.worker->got == 1);
  close_stage(&g);
}

/* The proxy is closed when nothing is left of the context it was made in. */
static void it_may_outlive_its_context(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  line_t l = open_line(&g, NULL, 10);
  assert_int_equal(say(l.client, "knock"), 0);
  settle(&g);
  mcq_ctx_close(g.house, NULL);
  g.house = NULL;
  until(&g, l.client->downs == 1);
  settle(&g);
  assert_int_equal(stats_of(&g).front.dropped, 1);
  assert_true(g.memory.live > 0);
  mcq_proxy_close(g.proxy);
  g.proxy = NULL;
  assert_int_equal(g.memory.live, 0);
  close_stage(&g);
}

/* ---- contexts and combinations ------------------------------------------- */

/* What came in by one context waits in another when the first is gone. */
static void two_contexts_on_one_loop(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* front = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_PULL});
  user_t* back = make(&g, g.town, (mcq_socket_options_t){.type = MCQ_PUSH});
  assert_int_equal(join(&g, front, back, NULL), 0);
  user_t* client =
      go_to(&g, listen_at(front), (mcq_socket_options_t){.type = MCQ_PUSH});
  user_t* worker =
      go_to(&g, listen_at(back), (mcq_socket_options_t){.type = MCQ_PULL});
  until(&g, worker->ups == 1);
  mcq_pause(worker->socket);
  unsigned sent = pour(&g, client, NULL, 40, BIG / 4);
  settle(&g);
  mcq_proxy_stats_t s = stats_of(&g);
  assert_true(counts_of(back).messages_queued > 0);
  mcq_ctx_close(g.house, NULL);
  g.house = NULL;
  until(&g, client->downs == 1);
  assert_int_equal(stats_of(&g).front.messages, s.front.messages);
  mcq_resume(worker->socket);
  until(&g, worker->got == s.front.messages);
  assert_int_equal(worker->bytes, s.front.messages * (BIG / 4));
  char last[16];
  snprintf(last, sizeof last, "%u", (unsigned) s.front.messages - 1);
  assert_string_equal(worker->last, last);
  assert_true(sent >= s.front.messages);
  close_stage(&g);
}

static void what_makes_no_sense_is_refused(void** state) {
  static const int bad[][2] = {
      {MCQ_PULL, MCQ_PULL}, {MCQ_PUSH, MCQ_PUSH},   {MCQ_PUB, MCQ_PUB},
      {MCQ_SUB, MCQ_SUB},   {MCQ_PUB, MCQ_PUSH},    {MCQ_SUB, MCQ_PULL},
      {MCQ_SUB, MCQ_XPUB},  {MCQ_DEALER, MCQ_PULL}, {MCQ_ROUTER, MCQ_SUB},
      {MCQ_REQ, MCQ_REQ},   {MCQ_REP, MCQ_REP},     {MCQ_REQ, MCQ_DEALER},
      {MCQ_ROUTER, MCQ_REP}};
  static const int good[][2] = {
      {MCQ_ROUTER, MCQ_DEALER}, {MCQ_XSUB, MCQ_XPUB}, {MCQ_PULL, MCQ_PUSH},
      {MCQ_SUB, MCQ_PUB},       {MCQ_REP, MCQ_REQ},   {MCQ_PAIR, MCQ_PAIR},
      {MCQ_PULL, MCQ_PUB},      {MCQ_SUB, MCQ_PUSH},  {MCQ_DEALER, MCQ_DEALER},
      {MCQ_REP, MCQ_DEALER}};
  static const int deaf[] = {MCQ_PULL, MCQ_SUB,  MCQ_REQ,
                             MCQ_REP,  MCQ_XSUB, MCQ_ROUTER};
  stage_t g;
  if (!open_stage(&g, state)) skip();
  mcq_socket_t* of[MCQ_XSUB + 1];
  mcq_socket_t* twin[MCQ_XSUB + 1];
  for (int i = 0; i <= MCQ_XSUB; i++) {
    mcq_socket_options_t o = {.type = i};
    assert_int_equal(mcq_socket_new(g.house, &o, &of[i]), 0);
    assert_int_equal(mcq_socket_new(g.house, &o, &twin[i]), 0);
  }
  mcq_proxy_t* p;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    mcq_proxy_options_t o = {of[bad[i][0]], twin[bad[i][1]], NULL};
    assert_int_equal(mcq_proxy_new(&o, &p), MCQ_EINVAL);
    o = (mcq_proxy_options_t){of[bad[i][1]], twin[bad[i][0]], NULL};
    assert_int_equal(mcq_proxy_new(&o, &p), MCQ_EINVAL);
  }
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    mcq_proxy_options_t o = {of[good[i][1]], twin[good[i][0]], NULL};
    assert_int_equal(mcq_proxy_new(&o, &p), 0);
    mcq_proxy_t* again;
    assert_int_equal(mcq_proxy_new(&o, &again), MCQ_EINVAL); /* taken */
    mcq_proxy_close(p);
  }
  for (size_t i = 0; i < sizeof deaf / sizeof *deaf; i++) {
    mcq_proxy_options_t o = {of[MCQ_ROUTER], of[MCQ_DEALER], twin[deaf[i]]};
    assert_int_equal(mcq_proxy_new(&o, &p), MCQ_EINVAL);
  }
  mcq_socket_t* s = of[MCQ_PAIR];
  const mcq_proxy_options_t odd[] = {{s, NULL, NULL},
                                     {NULL, s, NULL},
                                     {s, s, NULL},
                                     {s, twin[MCQ_PAIR], s},
                                     {s, twin[MCQ_PAIR], twin[MCQ_PAIR]}};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
    assert_int_equal(mcq_proxy_new(&odd[i], &p), MCQ_EINVAL);
  assert_int_equal(mcq_proxy_new(NULL, &p), MCQ_EINVAL);
  mcq_proxy_options_t fine = {s, twin[MCQ_PAIR], NULL};
  test_alloc_fail_next(&g.memory, false);
  assert_int_equal(mcq_proxy_new(&fine, &p), MCQ_ENOMEM);
  assert_int_equal(mcq_proxy_new(&fine, &p), 0);
  mcq_proxy_close(p);
  mcq_close(s, NULL);
  mcq_proxy_options_t late = {s, twin[MCQ_PAIR], NULL};
  assert_int_equal(mcq_proxy_new(&late, &p), MCQ_EINVAL);
  close_stage(&g);
}

static void one_loop_is_needed(void** state) {
  stage_t g;
  stage_t h;
  if (!open_stage(&g, state) || !open_stage(&h, state)) skip();
  user_t* here = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_PAIR});
  user_t* there = make(&h, h.house, (mcq_socket_options_t){.type = MCQ_PAIR});
  assert_int_equal(join(&g, here, there, NULL), MCQ_EINVAL);
  close_stage(&h);
  close_stage(&g);
}

/* One question at a time, end to end, and a balancing ROUTER as a back. */
static void other_pairs_work(void** state) {
  stage_t g;
  if (!open_stage(&g, state)) skip();
  user_t* front = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_REP});
  user_t* back = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_REQ});
  assert_int_equal(join(&g, front, back, NULL), 0);
  user_t* client =
      go_to(&g, listen_at(front), (mcq_socket_options_t){.type = MCQ_REQ});
  assert_int_equal(say(client, "one"), 0); /* waits for a worker */
  settle(&g);
  user_t* worker =
      go_to(&g, listen_at(back), (mcq_socket_options_t){.type = MCQ_REP});
  worker->answers = true;
  until(&g, client->got == 1);
  assert_int_equal(say(client, "two"), 0);
  until(&g, client->got == 2);
  assert_string_equal(client->last, "two");
  mcq_proxy_close(g.proxy);
  front = make(&g, g.house, (mcq_socket_options_t){.type = MCQ_ROUTER});
  back = make(
      &g, g.house,
      (mcq_socket_options_t){.type = MCQ_ROUTER, .flags = MCQ_ROUTER_BALANCE});
  assert_int_equal(join(&g, front, back, NULL), 0);
  client = go_to(&g, listen_at(front), (mcq_socket_options_t){.type = MCQ_REQ});
  worker =
      go_to(&g, listen_at(back), (mcq_socket_options_t){.type = MCQ_DEALER});
  worker->answers = true;
  assert_int_equal(say(client, "three"), 0);
  until(&g, client->got == 1);
  assert_string_equal(client->last, "three");
  close_stage(&g);
}

static int uv = MCQ_BACKEND_UV;
static int uring = MCQ_BACKEND_URING;

#define both(test) \
  cmocka_unit_test_prestate(test, &uv), cmocka_unit_test_prestate(test, &uring)

int main(void) {
  const struct CMUnitTest tests[] = {
      both(clients_reach_workers),
      both(an_answer_to_nobody_is_counted),
      both(answers_go_on_when_the_slow_client_leaves),
      both(subscriptions_pass_upstream),
      both(a_cancellation_survives_a_pause),
      both(an_absent_back_pauses_the_front),
      both(a_slow_back_pauses_the_front),
      both(large_payload_is_shared),
      both(pausing_is_exact),
      both(a_waiting_message_stays_the_only_one),
      both(closing_gives_the_sockets_back),
      both(paused_and_closed_it_receives_again),
      both(closed_inside_others_callbacks),
      both(a_closed_socket_ends_it),
      both(the_front_may_close_with_a_message_waiting),
      both(the_tap_may_close),
      both(it_may_outlive_its_context),
      both(two_contexts_on_one_loop),
      both(what_makes_no_sense_is_refused),
      both(one_loop_is_needed),
      both(other_pairs_work),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
