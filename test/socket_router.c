/* SPDX-License-Identifier: MIT */
/* ROUTER over tcp on every back end: frames as they are, what peers are called
 * and who decides that, who may be called the same; and the word with which a
 * connection to one may begin. */
#include "support/players.h"

#define ROUTER_AND(...) \
  ((mcq_socket_options_t){.type = MCQ_ROUTER, __VA_ARGS__})
#define DEALER_AND(...) \
  ((mcq_socket_options_t){.type = MCQ_DEALER, __VA_ARGS__})
#define CALLED(text) .routing_id = (text), .routing_id_len = sizeof(text) - 1

static void assert_called(const player_t* p, mcq_peer_t peer,
                          const char* name) {
  mcq_peer_info_t info;
  assert_int_equal(mcq_peer_info(p->s, peer, &info), 0);
  assert_int_equal(info.routing_id_len, strlen(name));
  assert_memory_equal(info.routing_id, name, strlen(name));
}

static int find(const player_t* p, const char* name, mcq_peer_t* out) {
  return mcq_peer_find(p->s, name, strlen(name), out);
}

static void heard(player_t* p, unsigned count) {
  until(p->g, p->count >= count);
  stage_turns(p->g, 10); /* what else would come would come now */
  assert_int_equal(p->count, count);
}

/* ---- frames -------------------------------------------------------------- */

static void frames_are_as_they_were(int backend) {
  static const char* const bodies[] = {"x", "", "|", "|x", "x|", "||", "a||b"};
  enum { BODIES = sizeof bodies / sizeof *bodies };
  stage_t g;
  player_t router, dealer;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_open(&dealer, &g, DEALER_AND(CALLED("D")));
  player_bind(&router);
  player_meet(&dealer, &router);
  for (unsigned i = 0; i < BODIES; i++) {
    char named[16];
    snprintf(named, sizeof named, "D|%s", bodies[i]);
    assert_int_equal(say(&dealer, bodies[i]), 0);
    assert_int_equal(say(&router, named), 0);
    assert_int_equal(say_to(&router, router.peer, bodies[i]), 0);
  }
  heard(&router, BODIES);
  heard(&dealer, 2 * BODIES);
  for (unsigned i = 0; i < BODIES; i++) {
    assert_heard(&router, i, bodies[i]);
    assert_heard(&dealer, 2 * i, bodies[i]);
    assert_heard(&dealer, 2 * i + 1, bodies[i]);
  }
  stage_close(&g);
}

static void who_is_not_there(int backend) {
  stage_t g;
  player_t router, dealer;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_open(&dealer, &g, DEALER_AND(CALLED("D")));
  player_bind(&router);
  assert_int_equal(say(&router, "D|x"), MCQ_EHOSTUNREACH);
  player_meet(&dealer, &router);
  mcq_peer_t gone = router.peer;
  assert_int_equal(say(&router, "D"), MCQ_EINVAL); /* says nothing */
  assert_int_equal(say(&router, "E|x"), MCQ_EHOSTUNREACH);
  assert_int_equal(say(&router, "|x"), MCQ_EHOSTUNREACH);
  assert_int_equal(say(&router, "DD|x"), MCQ_EHOSTUNREACH);
  assert_int_equal(mcq_peer_close(router.s, gone), 0);
  until(&g, router.ups == 2 && dealer.ups == 2);
  assert_int_equal(say_to(&router, gone, "x"), MCQ_EPEERGONE);
  assert_int_equal(player_stats(&router).sends_unroutable, 5);
  assert_int_equal(say(&router, "D|back"), 0);
  heard(&dealer, 1);
  stage_close(&g);
}

/* In load-balancer mode nothing is taken off, everybody has his turn, and an
 * answer still tells who gave it. */
static void workers_take_turns(int backend) {
  enum { WORKERS = 3, EACH = 20 };
  stage_t g;
  player_t router, workers[WORKERS];
  mcq_frame_t frame = {"x", 1};
  mcq_peer_t picked;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(.flags = MCQ_ROUTER_BALANCE));
  player_bind(&router);
  assert_int_equal(say(&router, "nobody|there"), MCQ_EAGAIN);
  assert_int_equal(mcq_send_next(router.s, &frame, 1, &picked), MCQ_EAGAIN);
  assert_int_equal(player_stats(&router).messages_lost, 0);
  for (int i = 0; i < WORKERS; i++) {
    player_open(&workers[i], &g, DEALER_AND(0));
    player_meet(&workers[i], &router);
  }
  assert_int_equal(router.drains, 1);
  for (unsigned i = 0; i < WORKERS * EACH; i++)
    assert_int_equal(say(&router, "|a||b"), 0);
  for (int i = 0; i < WORKERS; i++) {
    heard(&workers[i], EACH);
    assert_heard(&workers[i], EACH - 1, "|a||b");
  }
  player_close(&workers[1]);
  until(&g, router.downs == 1);
  for (unsigned i = 0; i < 2 * EACH; i++) {
    assert_int_equal(mcq_send_next(router.s, &frame, 1, &picked), 0);
    assert_int_equal(mcq_peer_writable(router.s, picked), 1);
  }
  heard(&workers[0], 2 * EACH);
  heard(&workers[2], 2 * EACH);
  assert_int_equal(say(&workers[2], "done"), 0);
  heard(&router, 1);
  assert_heard(&router, 0, "done");
  assert_int_equal(say_to(&router, router.from[0], "thanks"), 0);
  heard(&workers[2], 2 * EACH + 1);
  heard(&workers[0], 2 * EACH);
  stage_close(&g);
}

/* ---- who is there -------------------------------------------------------- */

/* By name: they are told in no order. */
typedef struct census {
  char names[8]; /* a letter each */
  mcq_peer_t peers[8];
  size_t count;
} census_t;

static void note(mcq_socket_t* s, const mcq_peer_info_t* info, void* arg) {
  census_t* c = (census_t*) arg;
  (void) s;
  assert_int_equal(info->routing_id_len, 1);
  char name = *(const char*) info->routing_id;
  size_t at = c->count++;
  for (; at > 0 && c->names[at - 1] > name; at--) {
    c->names[at] = c->names[at - 1];
    c->peers[at] = c->peers[at - 1];
  }
  c->names[at] = name;
  c->peers[at] = info->peer;
}

static census_t count(const player_t* p) {
  census_t c = {.count = 0};
  mcq_peer_each(p->s, note, &c);
  return c;
}

static void all_are_listed(int backend) {
  stage_t g;
  player_t router, dealers[3], away;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_bind(&router);
  assert_int_equal(count(&router).count, 0);
  player_open(&dealers[0], &g, DEALER_AND(CALLED("a"), .reconnect_ms = -1));
  player_open(&dealers[1], &g, DEALER_AND(CALLED("b"), .reconnect_ms = -1));
  player_open(&dealers[2], &g, DEALER_AND(CALLED("c"), .reconnect_ms = -1));
  for (int i = 0; i < 3; i++) player_meet(&dealers[i], &router);
  /* One that is only dialed is not there. */
  assert_int_equal(mcq_connect(router.s, "tcp://127.0.0.1:1", NULL, NULL), 0);
  census_t all = count(&router);
  assert_int_equal(all.count, 3);
  assert_string_equal(all.names, "abc");
  assert_int_equal(mcq_peer_close(router.s, all.peers[1]), 0);
  until(&g, router.downs == 1 && dealers[1].downs == 1);
  assert_int_equal(router.reason, MCQ_ELOCAL);
  assert_string_equal(count(&router).names, "ac");
  assert_int_equal(mcq_peer_close(router.s, all.peers[1]), MCQ_EPEERGONE);
  assert_int_equal(dealers[0].downs + dealers[2].downs, 0);
  player_open(&away, &g, DEALER_AND(CALLED("d")));
  player_meet(&away, &router);
  assert_string_equal(count(&router).names, "acd");
  stage_close(&g);
}

/* ---- names --------------------------------------------------------------- */

static mcq_connect_options_t call_it(const char* name) {
  return (mcq_connect_options_t){.routing_id = name,
                                 .routing_id_len = strlen(name)};
}

static int connect_as(player_t* p, const player_t* to, const char* name,
                      mcq_endpoint_t* out) {
  mcq_connect_options_t o = call_it(name);
  o.flags = MCQ_CONNECT_MULTI;
  return mcq_connect(p->s, mcq_endpoint_uri(to->s, to->at), &o, out);
}

/* Whatever the other side says it is called. */
static void named_by_who_connects(int backend) {
  stage_t g;
  player_t router, dealer;
  mcq_peer_t peer;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_open(&dealer, &g, DEALER_AND(CALLED("itself")));
  player_bind(&dealer);
  assert_int_equal(connect_as(&router, &dealer, "mine", NULL), 0);
  for (unsigned round = 1; round <= 3; round++) {
    until(&g, router.ups == round && dealer.ups == round);
    assert_called(&router, router.peer, "mine");
    assert_int_equal(find(&router, "itself", &peer), MCQ_ENOENT);
    assert_int_equal(find(&router, "mine", &peer), 0);
    assert_true(peer.epoch == router.peer.epoch);
    assert_int_equal(say(&router, "mine|x"), 0);
    heard(&dealer, round);
    assert_int_equal(mcq_peer_close(dealer.s, dealer.peer), 0);
  }
  stage_close(&g);
}

/* From the call on, whether anybody was reached or not, until it ends. */
static void a_name_is_given_once(int backend) {
  stage_t g;
  player_t router, dealers[2], comes;
  mcq_endpoint_t first;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_bind(&router);
  for (int i = 0; i < 2; i++) {
    player_open(&dealers[i], &g, DEALER_AND(0));
    player_bind(&dealers[i]);
  }
  assert_int_equal(connect_as(&router, &dealers[0], "it", &first), 0);
  assert_int_equal(connect_as(&router, &dealers[1], "it", NULL), MCQ_EEXIST);
  until(&g, router.ups == 1);
  assert_int_equal(connect_as(&router, &dealers[1], "it", NULL), MCQ_EEXIST);
  assert_int_equal(connect_as(&router, &dealers[1], "its", NULL), 0);
  until(&g, router.ups == 2);
  player_open(&comes, &g, DEALER_AND(CALLED("who")));
  player_meet(&comes, &router);
  assert_int_equal(connect_as(&router, &dealers[1], "who", NULL), MCQ_EEXIST);
  assert_int_equal(mcq_disconnect(router.s, first), 0);
  until(&g, router.downs == 1);
  assert_int_equal(connect_as(&router, &dealers[0], "it", NULL), 0);
  until(&g, router.ups == 4);
  assert_called(&router, router.peer, "it");
  stage_turns(&g, 20);
  assert_int_equal(router.downs, 1); /* nobody takes it from anybody */
  stage_close(&g);
}

static void names_that_are_none(int backend) {
  static const char zero[] = "\0x";
  static char lengthy[256];
  memset(lengthy, 'n', sizeof lengthy);
  mcq_connect_options_t bad[] = {
      {.routing_id = zero, .routing_id_len = 2},
      {.routing_id = lengthy, .routing_id_len = 256},
      {.routing_id = NULL, .routing_id_len = 1},
  };
  stage_t g;
  player_t router, dealer;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_open(&dealer, &g, DEALER_AND(0));
  player_bind(&dealer);
  const char* uri = mcq_endpoint_uri(dealer.s, dealer.at);
  for (size_t i = 0; i < 3; i++)
    assert_int_equal(mcq_connect(router.s, uri, &bad[i], NULL), MCQ_EINVAL);
  mcq_connect_options_t o = call_it("x"); /* nobody is called by it there */
  assert_int_equal(mcq_connect(dealer.s, "tcp://127.0.0.1:1", &o, NULL),
                   MCQ_EINVAL);
  o = (mcq_connect_options_t){.routing_id = lengthy, .routing_id_len = 255};
  assert_int_equal(mcq_connect(router.s, uri, &o, NULL), 0);
  until(&g, router.ups == 1);
  stage_close(&g);
}

/* Somebody else answers at the same address the next time. */
static void another_one_comes_back(int backend) {
  stage_t g;
  player_t router, one, two;
  char uri[64];
  mcq_peer_t peer;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_open(&one, &g, DEALER_AND(CALLED("one")));
  player_bind(&one);
  snprintf(uri, sizeof uri, "%s", mcq_endpoint_uri(one.s, one.at));
  player_meet(&router, &one);
  mcq_peer_t before = router.peer;
  assert_called(&router, before, "one");
  player_close(&one);
  until(&g, one.closed && router.downs == 1);
  player_open(&two, &g, DEALER_AND(CALLED("two")));
  assert_int_equal(mcq_bind(two.s, uri, NULL), 0);
  until(&g, router.ups == 2);
  assert_string_equal(router.diary, "udu");
  assert_called(&router, router.peer, "two");
  assert_int_equal(find(&router, "one", &peer), MCQ_ENOENT);
  assert_int_equal(say(&router, "one|x"), MCQ_EHOSTUNREACH);
  assert_int_equal(say_to(&router, before, "x"), MCQ_EPEERGONE);
  assert_int_equal(say(&router, "two|x"), 0);
  heard(&two, 1);
  stage_close(&g);
}

/* ---- twins --------------------------------------------------------------- */

typedef struct told {
  unsigned failed;
  int code;
  char text[64];
} told_t;

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  told_t* t = (told_t*) player_of(s)->arg;
  if (e->kind != MCQ_EVENT_HANDSHAKE_FAILED || t->failed++ > 0) return;
  t->code = e->code;
  snprintf(t->text, sizeof t->text, "%s", e->text);
}

static void a_twin_is_refused(int backend) {
  stage_t g;
  player_t router, first, second;
  told_t here = {0}, there = {0};
  stage_open(&g, backend, false);
  player_open(
      &router, &g,
      ROUTER_AND(.flags = MCQ_ROUTER_REFUSE_TWIN, .on_event = on_event));
  player_open(&first, &g, DEALER_AND(CALLED("T")));
  player_open(&second, &g, DEALER_AND(CALLED("T"), .on_event = on_event));
  router.arg = &here;
  second.arg = &there;
  player_bind(&router);
  player_meet(&first, &router);
  player_connect(&second, &router);
  until(&g, here.failed > 0 && there.failed > 0);
  assert_int_equal(here.code, MCQ_ETWIN);
  assert_int_equal(there.code, MCQ_ENOTNOW);
  assert_string_equal(here.text, "300 The routing id is already in use");
  assert_int_equal(say(&router, "T|first"), 0);
  heard(&first, 1);
  assert_int_equal(say(&first, "still here"), 0);
  heard(&router, 1);
  assert_string_equal(router.diary, "um");
  assert_int_equal(second.ups, 0);
  player_close(&first); /* its place is free now */
  until(&g, second.ups == 1 && router.ups == 2);
  assert_int_equal(say(&router, "T|second"), 0);
  heard(&second, 1);
  stage_close(&g);
}

static void a_twin_takes_over(int backend) {
  stage_t g;
  player_t router, first, second;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(.sndhwm_bytes = -1));
  player_open(&first, &g, DEALER_AND(CALLED("T"), .reconnect_ms = -1));
  player_open(&second, &g, DEALER_AND(CALLED("T")));
  player_bind(&router);
  player_meet(&first, &router);
  assert_int_equal(mcq_pause(first.s), 0);
  /* More than the kernel takes: it is lost with who it was for, and said to
   * be. */
  static char large[24 << 20];
  mcq_frame_t frames[2] = {{"T", 1}, {large, sizeof large}};
  assert_int_equal(mcq_send(router.s, frames, 2), 0);
  stage_turns(&g, 10);
  assert_int_equal(say(&router, "T|to the first"), 0);
  mcq_peer_t old = router.peer;
  player_connect(&second, &router);
  until(&g, router.ups == 2);
  assert_string_equal(router.diary, "udu");
  assert_int_equal(router.reason, MCQ_EHANDOVER);
  assert_int_equal(router.lost, 1);
  assert_int_equal(router.unsure, 1);
  assert_int_equal(say_to(&router, old, "x"), MCQ_EPEERGONE);
  assert_int_equal(say(&router, "T|to the second"), 0);
  heard(&second, 1);
  assert_heard(&second, 0, "to the second");
  assert_int_equal(mcq_resume(first.s), 0);
  until(&g, first.downs == 1);
  assert_int_equal(first.count, 0);
  assert_int_equal(router.downs, 1);
  stage_close(&g);
}

/* ---- the first word ------------------------------------------------------ */

/* Whoever has the flag says it, whoever connects, at every connection. */
static void an_empty_message_comes_first(int backend) {
  static const int types[] = {MCQ_DEALER, MCQ_REQ, MCQ_ROUTER};
  for (int i = 0; i < 6; i++) {
    stage_t g;
    player_t router, probe;
    bool comes = i % 2 == 0;
    stage_open(&g, backend, false);
    player_open(&router, &g, ROUTER_AND(0));
    player_open(
        &probe, &g,
        (mcq_socket_options_t){
            .type = types[i / 2], .flags = MCQ_PROBE_ROUTER, CALLED("P")});
    player_bind(comes ? &router : &probe);
    if (comes)
      player_meet(&probe, &router);
    else
      player_meet(&router, &probe);
    for (unsigned round = 1; round <= 3; round++) {
      until(&g, router.ups == round && probe.ups == round);
      heard(&router, round);
      assert_heard(&router, round - 1, "");
      assert_true(router.from[round - 1].epoch == router.peer.epoch);
      assert_called(&router, router.peer, "P");
      assert_int_equal(mcq_peer_close(router.s, router.peer), 0);
    }
    assert_memory_equal(router.diary, "umdumdum", 8);
    assert_int_equal(probe.count, 0);
    mcq_stats_t stats = player_stats(&probe);
    assert_int_equal(stats.messages_sent + stats.frames_sent, 0);
    stage_close(&g);
  }
}

/* What waits for the connection comes behind it, and full it is not. */
static void it_needs_no_room(int backend) {
  stage_t g;
  player_t router, probe;
  stage_open(&g, backend, false);
  player_open(&router, &g, ROUTER_AND(0));
  player_open(
      &probe, &g,
      DEALER_AND(.flags = MCQ_PROBE_ROUTER, .sndhwm = 2, .max_bytes = 10));
  player_bind(&router);
  player_connect(&probe, &router);
  assert_int_equal(say(&probe, "a|b"), 0);
  assert_int_equal(say(&probe, "0123456789"), 0);
  assert_int_equal(say(&probe, "no room"), MCQ_EAGAIN);
  heard(&router, 3);
  assert_heard(&router, 0, "");
  assert_heard(&router, 1, "a|b");
  assert_heard(&router, 2, "0123456789");
  mcq_stats_t stats = player_stats(&probe);
  assert_int_equal(stats.messages_sent, 2);
  assert_int_equal(stats.messages_written, 2);
  assert_int_equal(stats.messages_lost, 0);
  stage_close(&g);
}

/* A REQ asks as ever; a REP hears nothing of it. */
static void questions_come_behind_it(int backend) {
  for (int with_rep = 0; with_rep < 2; with_rep++) {
    stage_t g;
    player_t server, req;
    stage_open(&g, backend, false);
    player_open(
        &server, &g,
        (mcq_socket_options_t){.type = with_rep ? MCQ_REP : MCQ_ROUTER});
    player_open(
        &req, &g,
        (mcq_socket_options_t){.type = MCQ_REQ, .flags = MCQ_PROBE_ROUTER});
    player_bind(&server);
    player_meet(&req, &server);
    assert_int_equal(say(&req, "what"), 0);
    heard(&server, with_rep ? 1 : 2);
    assert_int_equal(player_stats(&server).messages_discarded, with_rep);
    if (with_rep) {
      assert_heard(&server, 0, "what");
      assert_int_equal(say(&server, "that"), 0);
    } else {
      assert_heard(&server, 0, "");
      assert_heard(&server, 1, "|what");
      assert_int_equal(answer_to(&server, 1, "that"), 0);
    }
    heard(&req, 1);
    assert_heard(&req, 0, "that");
    assert_string_equal(req.diary, "um");
    stage_close(&g);
  }
}

static void both_of_two(int backend) {
  stage_t g;
  player_t a, b;
  stage_open(&g, backend, false);
  player_open(&a, &g, ROUTER_AND(.flags = MCQ_PROBE_ROUTER, CALLED("a")));
  player_open(&b, &g, ROUTER_AND(.flags = MCQ_PROBE_ROUTER, CALLED("b")));
  assert_int_equal(mcq_bind(a.s, "inproc://a", &a.at), 0);
  player_meet(&b, &a);
  heard(&a, 1);
  heard(&b, 1);
  assert_heard(&a, 0, "");
  assert_heard(&b, 0, "");
  stage_close(&g);
}

static void who_has_no_such_word(int backend) {
  static const int types[] = {MCQ_PAIR, MCQ_PUB,  MCQ_SUB,  MCQ_REP,   MCQ_PULL,
                              MCQ_PUSH, MCQ_XPUB, MCQ_XSUB, MCQ_STREAM};
  stage_t g;
  mcq_socket_t* s;
  stage_open(&g, backend, false);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    mcq_socket_options_t o = {.type = types[i], .flags = MCQ_PROBE_ROUTER};
    assert_int_equal(mcq_socket_new(g.ctx, &o, &s), MCQ_EINVAL);
  }
  stage_close(&g);
}

/* Without memory for it there is no connection, and then another one. */
static void short_of_memory(int backend) {
  for (size_t skip = 0; skip < 200; skip++) {
    stage_t g;
    player_t router, probe;
    stage_open(&g, backend, false);
    player_open(&router, &g, ROUTER_AND(0));
    player_open(&probe, &g, DEALER_AND(.flags = MCQ_PROBE_ROUTER));
    player_bind(&router);
    player_connect(&probe, &router);
    g.memory.fail_at = atomic_load(&g.memory.calls) + 1 + skip;
    until(&g, router.count > 0);
    for (unsigned i = 0; i < router.count; i++)
      if (router.heard[i] != NULL) assert_heard(&router, i, "");
    assert_memory_equal(strchr(router.diary, 'm') - 1, "um", 2);
    bool undisturbed = atomic_load(&g.memory.failed) == 0;
    stage_close(&g);
    if (undisturbed) return;
  }
  fail();
}

/* ---- the table ----------------------------------------------------------- */

static const scene_t scenes[] = {
    {"frames are as they were", frames_are_as_they_were},
    {"who is not there", who_is_not_there},
    {"workers take turns", workers_take_turns},
    {"all are listed", all_are_listed},
    {"named by who connects", named_by_who_connects},
    {"a name is given once", a_name_is_given_once},
    {"names that are none", names_that_are_none},
    {"another one comes back", another_one_comes_back},
    {"a twin is refused", a_twin_is_refused},
    {"a twin takes over", a_twin_takes_over},
    {"an empty message comes first", an_empty_message_comes_first},
    {"it needs no room", it_needs_no_room},
    {"questions come behind it", questions_come_behind_it},
    {"both of two", both_of_two},
    {"who has no such word", who_has_no_such_word},
    {"short of memory", short_of_memory},
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
