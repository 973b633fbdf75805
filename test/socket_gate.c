/* SPDX-License-Identifier: MIT */
/* Limits on those who connect: how many, from where, how many that have not
 * said who they are, and how much they may say before.  Who is over one is
 * closed at once, which is told once a second; everybody else is served on.
 * Over tcp on every back end, ipc and inproc, on a clock of the test's own. */
#include "support/players.h"
#include "support/strangers.h"

#define SECOND ((uint64_t) 1000)

/* ---- what is told -------------------------------------------------------- */

typedef struct told {
  unsigned events;  /* MCQ_EVENT_REFUSED */
  uint64_t refused; /* their counts */
  char limit[32];   /* of the last one */
  char address[128];
  mcq_endpoint_t endpoint;
  unsigned accepted, failed, crowded;
  bool close; /* the socket, in the next event */
} told_t;

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  player_t* p = player_of(s);
  told_t* t = (told_t*) p->arg;
  switch (e->kind) {
    case MCQ_EVENT_REFUSED:
      t->events++;
      t->refused += e->count;
      t->endpoint = e->endpoint;
      assert_int_equal(e->code, MCQ_ECROWDED);
      snprintf(t->limit, sizeof t->limit, "%s", e->text);
      snprintf(t->address, sizeof t->address, "%s", e->address);
      if (t->close) player_close(p);
      break;
    case MCQ_EVENT_ACCEPTED:
      t->accepted++;
      break;
    case MCQ_EVENT_HANDSHAKE_FAILED:
      t->failed++;
      if (e->code == MCQ_ECROWDED) t->crowded++;
      break;
    default:
      break;
  }
}

/* ---- a house with a limit, and one who has always been in ---------------- */

typedef struct house {
  stage_t g;
  player_t server;
  player_t friend;
  told_t told;
  const char* uri;
} house_t;

static void echo(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  assert_int_equal(mcq_send_msg_to(p->s, peer, msg), 0);
}

static void open_house_at(house_t* h, int backend, const char* uri,
                          mcq_socket_options_t o) {
  memset(h, 0, sizeof *h);
  stage_open(&h->g, backend, true);
  o.type = MCQ_ROUTER;
  o.on_event = on_event;
  player_open(&h->server, &h->g, o);
  h->server.arg = &h->told;
  h->server.on_message = echo;
  assert_int_equal(mcq_bind(h->server.s, uri, &h->server.at), 0);
  h->uri = mcq_endpoint_uri(h->server.s, h->server.at);
  player_open(&h->friend, &h->g, (mcq_socket_options_t){.type = MCQ_DEALER});
  player_meet(&h->friend, &h->server);
}

static void open_house(house_t* h, int backend, mcq_socket_options_t o) {
  open_house_at(h, backend, "tcp://127.0.0.1:*", o);
}

/* The one who is in is served on. */
static void expect_service(house_t* h) {
  unsigned before = h->friend.count;
  assert_int_equal(say(&h->friend, "still there?"), 0);
  until(&h->g, h->friend.count == before + 1);
  assert_int_equal(h->friend.downs, 0);
}

static void close_house(house_t* h) {
  expect_service(h);
  stage_close(&h->g);
}

/* Turns of the loop until that stranger was let in or not. */
static bool is_let_in(house_t* h, int fd) {
  unsigned before = h->told.accepted;
  until(&h->g, h->told.accepted != before || stranger_out(fd));
  return h->told.accepted != before;
}

static int let_in(house_t* h, const char* from) {
  int fd = stranger_from(from, h->uri);
  assert_true(fd >= 0);
  assert_true(is_let_in(h, fd));
  return fd;
}

static void turned_away(house_t* h, const char* from, const char* limit) {
  uint64_t before = player_stats(&h->server).connections_refused;
  int fd = stranger_from(from, h->uri);
  assert_true(fd >= 0);
  assert_false(is_let_in(h, fd));
  assert_string_equal(h->told.limit, limit);
  assert_int_equal(h->told.endpoint, h->server.at);
  assert_int_equal(player_stats(&h->server).connections_refused, before + 1);
  close(fd);
}

static void pass(house_t* h, uint64_t ms) {
  h->g.now += ms;
  stage_turns(&h->g, 4);
}

/* ---- how many ------------------------------------------------------------ */

static void so_many_and_no_more(int backend) {
  house_t h;
  open_house(&h, backend, (mcq_socket_options_t){.max_connections = 3});
  int a = let_in(&h, NULL);
  int b = let_in(&h, NULL);
  assert_int_equal(h.told.events, 0);
  turned_away(&h, NULL, "max_connections");
  assert_int_equal(h.told.events, 1);
  assert_int_equal(h.told.refused, 1);
  assert_memory_equal(h.told.address, "tcp://127.0.0.1:", 16);
  expect_service(&h);
  /* One that leaves makes room for one. */
  close(a);
  until(&h.g, h.told.failed == 1);
  stage_turns(&h.g, 4);
  int c = let_in(&h, NULL);
  turned_away(&h, NULL, "max_connections");
  close(b);
  close(c);
  close_house(&h);
}

/* However many there are. */
static void one_word_a_second(int backend) {
  house_t h;
  open_house(&h, backend, (mcq_socket_options_t){.max_connections = 1});
  uint64_t sum = 0;
  for (unsigned second = 1; second <= 5; second++) {
    for (unsigned i = 0; i < second; i++, sum++) {
      turned_away(&h, NULL, "max_connections");
      pass(&h, 10);
    }
    assert_in_range(h.told.events, second, second + 1);
    pass(&h, SECOND);
  }
  /* Those of the last second are told of though nobody comes any more. */
  pass(&h, SECOND);
  assert_int_equal(h.told.refused, sum);
  assert_in_range(h.told.events, 5, 9);
  unsigned events = h.told.events;
  pass(&h, 10 * SECOND);
  assert_int_equal(h.told.events, events);
  close_house(&h);
}

static void nobody_may_come_in(int backend) {
  stage_t g;
  player_t server, client;
  told_t told = {0};
  stage_open(&g, backend, true);
  player_open(
      &server, &g,
      (mcq_socket_options_t){
          .type = MCQ_ROUTER, .on_event = on_event, .max_connections = 1});
  server.arg = &told;
  player_bind(&server);
  int fd = stranger(mcq_endpoint_uri(server.s, server.at));
  until(&g, told.accepted == 1);
  player_open(&client, &g, (mcq_socket_options_t){.type = MCQ_DEALER});
  player_connect(&client, &server);
  until(&g, told.events == 1);
  /* Who is turned away tries again, and comes in when there is room. */
  close(fd);
  for (; client.ups == 0; g.now++) stage_step(&g);
  stage_close(&g);
}

/* ---- from where ---------------------------------------------------------- */

static void so_many_from_one_address(int backend) {
  house_t h;
  open_house_at(&h, backend, "tcp://127.0.0.1:*",
                (mcq_socket_options_t){.max_per_address = 2});
  int a = let_in(&h, "127.0.0.2");
  int b = let_in(&h, "127.0.0.2");
  turned_away(&h, "127.0.0.2", "max_per_address");
  int c = let_in(&h, "127.0.0.3");
  int d = let_in(&h, NULL); /* where the friend is */
  turned_away(&h, NULL, "max_per_address");
  turned_away(&h, "127.0.0.2", "max_per_address");
  close(a);
  until(&h.g, h.told.failed == 1);
  stage_turns(&h.g, 4);
  a = let_in(&h, "127.0.0.2");
  turned_away(&h, "127.0.0.2", "max_per_address");
  close(a);
  close(b);
  close(c);
  close(d);
  close_house(&h);
}

/* ---- strangers ----------------------------------------------------------- */

static void strangers_are_few(int backend) {
  house_t h;
  int fd[4];
  open_house(&h, backend, (mcq_socket_options_t){.max_handshakes = 3});
  for (int i = 0; i < 3; i++) fd[i] = let_in(&h, NULL);
  turned_away(&h, NULL, "max_handshakes");
  expect_service(&h); /* who is known is no stranger */
  /* One that says who it is makes room. */
  uint8_t hello[128];
  stranger_say(fd[1], hello, stranger_hello("DEALER", hello));
  until(&h.g, h.server.ups == 2);
  fd[3] = let_in(&h, NULL);
  turned_away(&h, NULL, "max_handshakes");
  assert_int_equal(h.told.crowded, 0);
  /* Those who had their time give way, the first to come first. */
  pass(&h, SECOND - 1);
  turned_away(&h, NULL, "max_handshakes");
  pass(&h, 1);
  int late = let_in(&h, NULL);
  until(&h.g, stranger_out(fd[0]));
  assert_int_equal(h.told.crowded, 1);
  assert_false(stranger_out(fd[2]));
  int later = let_in(&h, NULL);
  until(&h.g, stranger_out(fd[2]));
  assert_int_equal(h.told.crowded, 2);
  for (int i = 0; i < 4; i++) close(fd[i]);
  close(late);
  close(later);
  until(&h.g, h.server.downs == 1);
  close_house(&h);
}

/* What is refused and lingers to hear why is one, too. */
static void the_refused_are_strangers_still(int backend) {
  house_t h;
  uint8_t hello[128];
  open_house(&h, backend, (mcq_socket_options_t){.max_handshakes = 1});
  int fd = let_in(&h, NULL);
  stranger_say(fd, hello, stranger_hello("PULL", hello));
  until(&h.g, h.told.failed == 1);
  turned_away(&h, NULL, "max_handshakes");
  pass(&h, SECOND);
  int next = let_in(&h, NULL);
  close(fd);
  close(next);
  close_house(&h);
}

/* The friend's READY, which announces a type and an empty identity, is as long
 * as they may be. */
static void what_they_say_is_bounded(int backend) {
  enum { BODY = 6 + (1 + 11 + 4 + 6) + (1 + 8 + 4) };
  house_t h;
  uint8_t hello[128];
  size_t len = stranger_hello("DEALER", hello);
  open_house(&h, backend, (mcq_socket_options_t){.max_handshake_size = BODY});
  int fd = let_in(&h, NULL);
  stranger_say(fd, hello, len);
  until(&h.g, h.server.ups == 2);
  int long_one = let_in(&h, NULL);
  hello[65] = BODY + 1;
  stranger_say(long_one, hello, 66); /* the announcement is enough */
  until(&h.g, h.told.failed == 1);
  assert_int_equal(h.server.ups, 2);
  close(fd);
  close(long_one);
  until(&h.g, h.server.downs == 1);
  close_house(&h);
}

static void without_limits(int backend) {
  enum { MANY = 600 };
  house_t h;
  int fd[MANY];
  open_house(&h, backend, (mcq_socket_options_t){.max_handshakes = -1});
  for (int i = 0; i < MANY; i++) fd[i] = let_in(&h, NULL);
  assert_int_equal(h.told.events, 0);
  expect_service(&h);
  for (int i = 0; i < MANY; i++) close(fd[i]);
  until(&h.g, h.told.failed == MANY);
  close_house(&h);
}

/* Ten thousand that say nothing and do not go, and as many places as there
 * are by default: what they cost is bounded, and who has something to say gets
 * in while they are at it. */
#define FLOOD ((size_t) 10000)
#define PLACES_MAX 512
#define COST_MAX ((size_t) 4096)

static void flood(house_t* h, int* fd, size_t n) {
  for (size_t i = 0; i < n; i++) {
    fd[i] = stranger_from(i % 2 ? "127.0.0.9" : NULL, h->uri);
    assert_true(fd[i] >= 0);
    /* As fast as the listener's backlog allows. */
    if (i % 64 == 0) stage_turns(&h->g, 2);
  }
  stage_turns(&h->g, 20);
}

static void ten_thousand_half_open(int backend) {
  house_t h;
  size_t most = stranger_descriptors();
  size_t n = most < FLOOD + 1000 ? most - 1000 : FLOOD;
  int* fd = (int*) calloc(n, sizeof *fd);
  player_t late;
  open_house(&h, backend, (mcq_socket_options_t){.max_handshakes = 0});
  stage_turns(&h.g, 20);
  size_t before = h.g.memory.bytes;
  flood(&h, fd, n);
  size_t cost = h.g.memory.bytes - before;
  assert_true(cost < PLACES_MAX * COST_MAX);
  mcq_stats_t stats = player_stats(&h.server);
  assert_int_equal(stats.connections_refused + h.told.accepted - 1, n);
  assert_in_range(h.told.accepted - 1, PLACES_MAX, PLACES_MAX);
  assert_int_equal(h.told.events, 1);
  expect_service(&h);
  /* The house is full, and a moment later there is a place. */
  player_open(&late, &h.g,
              (mcq_socket_options_t){.type = MCQ_DEALER, .reconnect_ms = 50});
  player_connect(&late, &h.server);
  uint64_t since = h.g.now;
  for (; late.ups == 0; h.g.now++) stage_step(&h.g);
  assert_in_range(h.g.now - since, 0, 2 * SECOND);
  print_message("    %zu strangers cost %zu bytes, a good one took %u ms\n", n,
                cost, (unsigned) (h.g.now - since));
  assert_true(h.told.events <= 4);
  for (size_t i = 0; i < n; i++) close(fd[i]);
  free(fd);
  close_house(&h);
}

/* ---- elsewhere ----------------------------------------------------------- */

static void over_ipc(int backend) {
  house_t h;
  open_house_at(
      &h, backend, "ipc://*",
      (mcq_socket_options_t){.max_connections = 2, .max_per_address = 1});
  int fd = let_in(&h, NULL); /* nobody there has an address */
  turned_away(&h, NULL, "max_connections");
  close(fd);
  close_house(&h);
}

static void over_inproc(int backend) {
  house_t h;
  player_t second;
  open_house_at(&h, backend, "inproc://gate",
                (mcq_socket_options_t){.max_connections = 1});
  player_open(&second, &h.g, (mcq_socket_options_t){.type = MCQ_DEALER});
  player_connect(&second, &h.server);
  until(&h.g, h.told.events == 1);
  assert_string_equal(h.told.limit, "max_connections");
  expect_service(&h);
  assert_int_equal(mcq_disconnect(h.friend.s, h.friend.dialed), 0);
  for (; second.ups == 0; h.g.now++) stage_step(&h.g);
  stage_close(&h.g);
}

static void closing_while_it_is_told(int backend) {
  stage_t g;
  player_t server;
  told_t told = {.close = true};
  stage_open(&g, backend, true);
  player_open(
      &server, &g,
      (mcq_socket_options_t){
          .type = MCQ_ROUTER, .on_event = on_event, .max_connections = 1});
  server.arg = &told;
  player_bind(&server);
  const char* uri = mcq_endpoint_uri(server.s, server.at);
  int a = stranger(uri);
  int b = stranger(uri);
  until(&g, server.closed);
  assert_int_equal(told.events, 1);
  close(a);
  close(b);
  stage_close(&g);
}

/* ---- without memory ------------------------------------------------------ */

typedef struct visit {
  uint64_t now;
  bool up;
} visit_t;

static uint64_t visit_clock(void* arg) {
  return ((visit_t*) arg)->now;
}

static void on_visit(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  ((visit_t*) mcq_socket_data(s))->up = true;
}

/* Somebody comes where visitors are counted. */
static int run_visit(visit_t* v, mcq_ctx_t* ctx, uv_loop_t* loop) {
  mcq_socket_options_t o = {.type = MCQ_ROUTER,
                            .max_per_address = 1,
                            .max_connections = 1,
                            .max_handshakes = 1};
  mcq_socket_t* server;
  mcq_socket_t* client;
  mcq_endpoint_t at;
  int rc = mcq_socket_new(ctx, &o, &server);
  if (rc != 0) return rc;
  rc = mcq_bind(server, "tcp://127.0.0.1:*", &at);
  if (rc != 0) return rc;
  o = (mcq_socket_options_t){
      .type = MCQ_DEALER, .data = v, .on_peer_up = on_visit, .reconnect_ms = 1};
  rc = mcq_socket_new(ctx, &o, &client);
  if (rc != 0) return rc;
  rc = mcq_connect(client, mcq_endpoint_uri(server, at), NULL, NULL);
  for (int i = 0; i < 500 && rc == 0 && !v->up; i++, v->now++)
    uv_run(loop, UV_RUN_NOWAIT);
  return rc == 0 && !v->up ? MCQ_ENOMEM : rc;
}

static int visit(test_alloc_t* ta, void* arg) {
  visit_t v = {.now = 1000};
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_ctx_options_t o = {.backend = *(int*) arg,
                         .allocator = test_alloc_allocator(ta)};
  mcq__seams_t seams = {.clock = visit_clock, .clock_arg = &v, .seed = 1};
  assert_int_equal(uv_loop_init(&loop), 0);
  int rc = mcq__ctx_open(&loop, &o, &seams, &ctx);
  if (rc == 0) {
    rc = run_visit(&v, ctx, &loop);
    mcq_ctx_close(ctx, NULL);
  }
  for (; uv_loop_alive(&loop); v.now += 10) uv_run(&loop, UV_RUN_NOWAIT);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  return rc;
}

static void without_memory(int backend) {
  test_alloc_sweep_real(visit, &backend);
}

/* ---- plays --------------------------------------------------------------- */

static const scene_t scenes[] = {
    {"so many and no more", so_many_and_no_more},
    {"one word a second", one_word_a_second},
    {"nobody may come in", nobody_may_come_in},
    {"so many from one address", so_many_from_one_address},
    {"strangers are few", strangers_are_few},
    {"the refused are strangers still", the_refused_are_strangers_still},
    {"what they say is bounded", what_they_say_is_bounded},
    {"without limits", without_limits},
    {"ten thousand half open", ten_thousand_half_open},
    {"over ipc", over_ipc},
    {"over inproc", over_inproc},
    {"closing while it is told", closing_while_it_is_told},
    {"without memory", without_memory},
};
#define SCENES (sizeof scenes / sizeof *scenes)

static void over_uv(void** state) {
  (void) state;
  play_scenes(scenes, SCENES, MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (backend_is_here(MCQ_BACKEND_URING))
    play_scenes(scenes, SCENES, MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
