/* SPDX-License-Identifier: MIT */
/* Leaving from inside every kind of callback.  A small world in which all that
 * a user can be told happens to somebody is played once to see who is told
 * what, and then again for each of these: whoever is told it closes its socket
 * in that moment, or drains it, or closes the whole context.  Whatever becomes
 * of the rest of the play, each word comes as often as it should, and nothing
 * is left. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/place.h"

/* Beside the kinds of events. */
enum {
  ON_MESSAGE = 32,
  ON_UP,
  ON_DOWN,
  ON_DRAIN,
  ON_FAILED,
  ON_DRAINED,
  POST_CALL,
  POST_DRAIN,
  POST_FAILED,
  RELEASE,
  KINDS
};

static const char* const kind_names[] = {
    "message", "up",        "down",       "drain",       "request-failed",
    "drained", "post-call", "post-drain", "post-failed", "release"};

typedef enum act { CLOSE, DRAIN, FINISH, ACTS } act_t;

static const char* const act_names[ACTS] = {"closes", "drains", "ends all"};

enum { /* the cast */
       PULL,
       PUSH,
       CROWD,             /* two more of these, one of them too many */
       WRONG = CROWD + 2, /* is of a type that is not wanted */
       PUB,
       SUB,
       WAITER, /* wants to send, and there is nobody */
       COMER,  /* until this one comes */
       LOST,   /* looks for somebody who is not there */
       DRAINER,
       REQ,
       REP,
       LATE, /* meets strangers */
       CAST
};

static const char* const cast_names[CAST] = {
    "PULL",   "PUSH",  "crowd", "crowd",   "wrong", "PUB", "SUB",
    "waiter", "comer", "lost",  "drainer", "REQ",   "REP", "late"};

typedef struct world world_t;

typedef struct member {
  world_t* w;
  int number;
  mcq_socket_t* s; /* NULL: it is gone */
  mcq_endpoint_t end;
  mcq_mailbox_t* box;
  mcq_peer_t peer;
  bool closing, drains;
  unsigned closed, drained;
} member_t;

struct world {
  ground_t g;
  uv_timer_t tick;
  bool ticks;
  member_t cast[CAST];
  bool seen[CAST][KINDS];
  int who, kind; /* the one that acts; kind 0: nobody does */
  act_t act;
  bool acted;
  bool in_call;
  bool ended; /* the context is closing */
};

/* ---- being told ---------------------------------------------------------- */

static void on_closed(const mcq_close_info_t* info) {
  member_t* m = (member_t*) info->data;
  assert_int_equal(++m->closed, 1);
  if (m->drains) assert_int_equal(m->drained, 1);
  m->s = NULL;
}

static void happens(member_t* m, int kind);

static void on_drained(mcq_socket_t* s, const mcq_close_info_t* info,
                       void* arg) {
  member_t* m = (member_t*) arg;
  assert_ptr_equal(s, m->s);
  assert_ptr_equal(info->data, m);
  assert_int_equal(++m->drained, 1);
  happens(m, ON_DRAINED);
}

static void drain(member_t* m) {
  int rc = mcq_drain(m->s, 0, on_drained, m);
  assert_int_equal(rc, m->drains || m->closing ? MCQ_ECLOSED : 0);
  m->drains = m->drains || rc == 0;
}

static void leave(member_t* m) {
  if (m->s != NULL) mcq_close(m->s, on_closed);
  m->closing = true;
}

/* Twice, as it may happen to users. */
static void act(member_t* m) {
  world_t* w = m->w;
  w->acted = true;
  w->in_call = true;
  for (int i = 0; i < 2; i++) {
    if (w->act == CLOSE) leave(m);
    if (w->act == DRAIN) drain(m);
    if (w->act == FINISH) ground_finish(&w->g);
  }
  for (int i = 0; i < CAST; i++) w->cast[i].closing |= w->act == FINISH;
  w->in_call = false;
}

static void happens(member_t* m, int kind) {
  world_t* w = m->w;
  assert_false(w->in_call);
  assert_int_equal(m->closed, 0);
  w->seen[m->number][kind] = true;
  if (w->kind == kind && w->who == m->number && !w->acted) act(m);
}

static member_t* member_of(mcq_socket_t* s) {
  return (member_t*) mcq_socket_data(s);
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  member_t* m = member_of(s);
  assert_false(m->closing);
  size_t size = mcq_msg_size(msg);
  m->peer = peer;
  happens(m, ON_MESSAGE);
  assert_int_equal(mcq_msg_size(msg), size); /* it is good until we return */
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  member_of(s)->peer = info->peer;
  happens(member_of(s), ON_UP);
  assert_non_null(info->address);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  happens(member_of(s), ON_DOWN);
  assert_true(strlen(info->text) < 1000);
}

static void on_drain(mcq_socket_t* s) {
  happens(member_of(s), ON_DRAIN);
}

static void on_failed(mcq_socket_t* s, int code) {
  assert_true(code == MCQ_EPEERGONE || code == MCQ_ETIMEDOUT);
  happens(member_of(s), ON_FAILED);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  happens(member_of(s), (int) e->kind);
  assert_true(strlen(e->address) + strlen(e->text) < 1000);
}

static void on_call(mcq_socket_t* s, void* arg) {
  (void) arg;
  happens(member_of(s), POST_CALL);
}

static void on_box_drain(mcq_socket_t* s, void* data) {
  (void) data;
  happens(member_of(s), POST_DRAIN);
}

static void on_box_failed(mcq_socket_t* s, mcq_msg_t* msg, int code,
                          void* data) {
  (void) data;
  assert_true(code < 0 && mcq_msg_count(msg) == 1);
  happens(member_of(s), POST_FAILED);
}

/* ---- the play ------------------------------------------------------------ */

/* Whether it can still be called on. */
static bool here(const world_t* w, int who) {
  return w->cast[who].s != NULL && !w->ended && w->g.io != NULL &&
         !w->g.finishing;
}

static void on_tick(uv_timer_t* tick) {
  (void) tick;
}

static void go_on(world_t* w) {
  if (w->g.place->sim) {
    for (int i = 0; i < 40 && w->g.io != NULL; i++)
      if (!sim_net_step(&w->g.net, &w->g.loop, &w->g.io, 1)) break;
    return;
  }
  for (int i = 0; i < 20; i++) (void) uv_run(&w->g.loop, UV_RUN_NOWAIT);
  (void) uv_run(&w->g.loop, UV_RUN_ONCE);
}

static void make(world_t* w, int who, mcq_socket_options_t o) {
  member_t* m = &w->cast[who];
  *m = (member_t){.w = w, .number = who};
  if (w->g.finishing || w->g.io == NULL) return;
  o.data = m;
  o.on_message = on_message;
  o.on_peer_up = on_up;
  o.on_peer_down = on_down;
  o.on_drain = on_drain;
  o.on_event = on_event;
  o.on_request_failed = on_failed;
  o.linger_ms = 2;
  o.reconnect_ms = 1;
  o.reconnect_max_ms = 2;
  assert_int_equal(mcq_socket_new(w->g.ctx, &o, &m->s), 0);
}

static void bind_one(world_t* w, int who) {
  if (!here(w, who)) return;
  int rc = mcq_bind(w->cast[who].s, w->g.place->uri, &w->cast[who].end);
  assert_true(rc == 0 || w->acted);
}

/* Whatever it answers: one of them may have left. */
static void meet(world_t* w, int caller, int called) {
  if (!here(w, caller) || !here(w, called)) return;
  const member_t* to = &w->cast[called];
  const char* uri = mcq_endpoint_uri(to->s, to->end);
  if (uri == NULL) return;
  char copy[128];
  snprintf(copy, sizeof copy, "%s", uri);
  (void) mcq_connect(w->cast[caller].s, copy, NULL, &w->cast[caller].end);
  go_on(w);
}

static int say(world_t* w, int who) {
  return here(w, who) ? mcq_send_text(w->cast[who].s, "word") : 0;
}

/* Where nobody listens. */
static void get_lost(world_t* w) {
  char uri[128];
  bind_one(w, DRAINER);
  if (!here(w, DRAINER) || !here(w, LOST)) return;
  member_t* d = &w->cast[DRAINER];
  const char* at = mcq_endpoint_uri(d->s, d->end);
  if (at == NULL) return;
  snprintf(uri, sizeof uri, "%s", at);
  (void) mcq_unbind(d->s, d->end);
  go_on(w);
  if (here(w, LOST)) (void) mcq_connect(w->cast[LOST].s, uri, NULL, NULL);
  for (int i = 0; i < 3; i++) go_on(w);
}

static void work(world_t* w) {
  make(w, PULL, (mcq_socket_options_t){.type = MCQ_PULL, .max_connections = 2});
  make(w, PUSH, (mcq_socket_options_t){.type = MCQ_PUSH});
  make(w, WRONG, (mcq_socket_options_t){.type = MCQ_SUB});
  bind_one(w, PULL);
  go_on(w);
  meet(w, WRONG, PULL);
  meet(w, PUSH, PULL);
  for (int i = 0; i < 3; i++) (void) say(w, PUSH);
  go_on(w);
  for (int i = 0; i < 2; i++) {
    make(w, CROWD + i, (mcq_socket_options_t){.type = MCQ_PUSH});
    meet(w, CROWD + i, PULL);
  }
  if (here(w, PUSH)) (void) mcq_disconnect(w->cast[PUSH].s, w->cast[PUSH].end);
  go_on(w);
  if (here(w, PULL)) (void) mcq_peer_close(w->cast[PULL].s, w->cast[PULL].peer);
  if (here(w, PULL)) (void) mcq_unbind(w->cast[PULL].s, w->cast[PULL].end);
  go_on(w);
}

static void release(void* data, void* arg) {
  (void) data;
  happens((member_t*) arg, RELEASE);
}

/* More than the subscriber's system and its own queue hold. */
static void publish_much(world_t* w) {
  static char body[1 << 20];
  for (int i = 0; i < 12 && here(w, PUB); i++) {
    mcq_msg_t* msg;
    assert_int_equal(
        mcq_msg_wrap(w->g.ctx, body, sizeof body, release, &w->cast[PUB], &msg),
        0);
    (void) mcq_send_msg(w->cast[PUB].s, msg);
    mcq_msg_release(msg);
    if (i % 3 == 2) go_on(w);
  }
}

static void news(world_t* w) {
  make(w, PUB, (mcq_socket_options_t){.type = MCQ_XPUB, .sndhwm = 1});
  make(w, SUB, (mcq_socket_options_t){.type = MCQ_SUB});
  if (here(w, SUB)) (void) mcq_subscribe(w->cast[SUB].s, "", 0);
  bind_one(w, PUB);
  meet(w, SUB, PUB);
  if (here(w, SUB)) (void) mcq_pause(w->cast[SUB].s);
  go_on(w);
  publish_much(w);
  go_on(w);
  if (here(w, SUB)) (void) mcq_resume(w->cast[SUB].s);
  for (int i = 0; i < 4; i++) go_on(w);
  if (here(w, SUB)) (void) mcq_unsubscribe(w->cast[SUB].s, "", 0);
  go_on(w);
}

static void talk(world_t* w) {
  make(w, WAITER,
       (mcq_socket_options_t){.type = MCQ_DEALER, .flags = MCQ_IMMEDIATE});
  make(w, COMER, (mcq_socket_options_t){.type = MCQ_DEALER});
  bind_one(w, WAITER);
  if (here(w, WAITER)) assert_int_equal(say(w, WAITER), MCQ_EAGAIN);
  meet(w, COMER, WAITER);
  (void) say(w, WAITER);
  make(w, DRAINER, (mcq_socket_options_t){.type = MCQ_DEALER});
  make(w, LOST,
       (mcq_socket_options_t){.type = MCQ_DEALER, .reconnect_attempts = 2});
  get_lost(w);
  meet(w, DRAINER, WAITER);
  (void) say(w, DRAINER);
  if (here(w, DRAINER)) drain(&w->cast[DRAINER]);
  go_on(w);
}

static void ask(world_t* w) {
  mcq_mailbox_options_t boxed = {
      .hwm = 3, .on_drain = on_box_drain, .on_failed = on_box_failed};
  mcq_frame_t frame = {"what", 4};
  make(w, REQ, (mcq_socket_options_t){.type = MCQ_REQ});
  make(w, REP, (mcq_socket_options_t){.type = MCQ_REP});
  bind_one(w, REP);
  meet(w, REQ, REP);
  if (here(w, REQ)) {
    member_t* m = &w->cast[REQ];
    if (mcq_mailbox_new(m->s, &boxed, &m->box) != 0) return;
    (void) mcq_post(m->box, &frame, 1);
    (void) mcq_post(m->box, &frame, 1);
    (void) mcq_post_call(m->box, on_call, NULL);
    (void) mcq_post(m->box, &frame, 1);
  }
  go_on(w);
  if (here(w, REP)) (void) mcq_peer_close(w->cast[REP].s, w->cast[REP].peer);
  go_on(w);
  if (w->cast[REQ].box != NULL) mcq_mailbox_release(w->cast[REQ].box);
  w->cast[REQ].box = NULL;
}

/* ---- somebody of the system's -------------------------------------------- */

static int call(const world_t* w) {
  struct sockaddr_in to;
  const char* uri = mcq_endpoint_uri(w->cast[LATE].s, w->cast[LATE].end);
  if (uri == NULL) return -1;
  uv_ip4_addr("127.0.0.1", atoi(strrchr(uri, ':') + 1), &to);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd, (const struct sockaddr*) &to, sizeof to), 0);
  return fd;
}

/* Says what nobody understands; then there is no memory for another one. */
static void strange(world_t* w) {
  static const char greeting[64] = "\xff\0\0\0\0\0\0\0\0\x7f\3\1NULL";
  static const char rest[] =
      "\4\x1a\5READY\xbSocket-Type\0\0\0\4PUSH\4\5\4WHAT";
  if (strncmp(w->g.place->uri, "tcp", 3) != 0) return;
  make(w, LATE, (mcq_socket_options_t){.type = MCQ_PULL});
  bind_one(w, LATE);
  go_on(w);
  int fd[2] = {-1, -1};
  if (here(w, LATE)) fd[0] = call(w);
  if (fd[0] >= 0) (void) send(fd[0], greeting, 64, MSG_NOSIGNAL);
  if (fd[0] >= 0) (void) send(fd[0], rest, sizeof rest - 1, MSG_NOSIGNAL);
  go_on(w);
  if (here(w, LATE)) fd[1] = call(w);
  test_alloc_fail_next(&w->g.memory, true);
  go_on(w);
  w->g.memory.fail_at = 0;
  w->g.memory.fail_after = false;
  go_on(w);
  for (int i = 0; i < 2; i++)
    if (fd[i] >= 0) close(fd[i]);
}

/* -------------------------------------------------------------------------- */

/* Each on its own. */
static const struct {
  void (*play)(world_t* w);
  int last; /* of those who play in it */
} parts[] = {
    {work, WRONG}, {news, SUB}, {talk, DRAINER}, {ask, REP}, {strange, LATE}};

#define PARTS (sizeof parts / sizeof *parts)

static void play(world_t* w, const place_t* place) {
  ground_open(&w->g, place);
  if (!place->sim) {
    uv_timer_init(&w->g.loop, &w->tick);
    uv_timer_start(&w->tick, on_tick, 1, 1);
    uv_unref((uv_handle_t*) &w->tick);
  }
  size_t part = 0;
  while (parts[part].last < w->who) part++;
  parts[part].play(w);
  if (w->acted && w->act == CLOSE)
    ground_until(&w->g, w->cast[w->who].closed == 1);
  if (w->acted && w->act == DRAIN)
    ground_until(&w->g, w->cast[w->who].drained == 1);
  for (int i = 0; i < CAST; i++)
    if (w->cast[i].s != NULL && !w->g.finishing) leave(&w->cast[i]);
  ground_finish(&w->g);
  if (!place->sim) uv_close((uv_handle_t*) &w->tick, NULL);
  ground_run(&w->g);
  for (int i = 0; i < CAST; i++)
    assert_int_equal(w->cast[i].drained, w->cast[i].drains);
}

static const char* name_of(int kind) {
  return kind >= ON_MESSAGE ? kind_names[kind - ON_MESSAGE]
                            : mcq_event_name((mcq_event_kind_t) kind);
}

static bool seen_by_any(bool seen[CAST][KINDS], int kind) {
  bool any = false;
  for (int i = 0; i < CAST; i++) any = any || seen[i][kind];
  return any;
}

/* The first kind that could be provoked here and was not; 0: none. */
static int unseen(bool seen[CAST][KINDS], bool tcp) {
  for (int kind = 1; kind < KINDS; kind++) {
    if (kind > MCQ_EVENT_REFUSED && kind < ON_MESSAGE) continue;
    if (kind == MCQ_EVENT_BACKEND) continue; /* of the system this runs on */
    if (!tcp && (kind == MCQ_EVENT_COMMAND || kind == MCQ_EVENT_ACCEPT_FAILED))
      continue;
    if (!seen_by_any(seen, kind)) return kind;
  }
  return 0;
}

/* The kernel may be slower than a play. */
#define TRIES 20

/* Who is told what when nobody acts. */
static void look_on(const place_t* place, bool seen[CAST][KINDS]) {
  static world_t w;
  bool tcp = strncmp(place->uri, "tcp", 3) == 0;
  for (int i = 0; i == 0 || (i < TRIES && unseen(seen, tcp) != 0); i++)
    for (size_t part = 0; part < PARTS; part++) {
      memset(&w, 0, sizeof w);
      w.who = parts[part].last;
      play(&w, place);
      for (int m = 0; m < CAST; m++)
        for (int k = 0; k < KINDS; k++) seen[m][k] = seen[m][k] || w.seen[m][k];
    }
  int kind = unseen(seen, tcp);
  if (kind != 0) fail_msg("nobody saw %s", name_of(kind));
}

static void play_one(const place_t* place, int who, int kind, act_t what,
                     unsigned* missed) {
  static world_t w;
  if (getenv("MCQ_TEST_SCENE") != NULL)
    print_message("    %s %s at %s\n", cast_names[who], act_names[what],
                  name_of(kind));
  for (int i = 0; i == 0 || (i < TRIES && !w.acted); i++) {
    memset(&w, 0, sizeof w);
    w.who = who;
    w.kind = kind;
    w.act = what;
    play(&w, place);
  }
  if (!w.acted) (*missed)++;
}

static void play_all(const place_t* place) {
  static bool seen[CAST][KINDS];
  memset(seen, 0, sizeof seen);
  look_on(place, seen);
  unsigned runs = 0;
  unsigned missed = 0;
  for (int who = 0; who < CAST; who++)
    for (int kind = 1; kind < KINDS; kind++)
      for (int what = 0; what < ACTS; what++) {
        if (!seen[who][kind]) continue;
        /* One of three where it takes real time. */
        if (!place->sim && (who + kind + what) % ACTS != 0) continue;
        play_one(place, who, kind, (act_t) what, &missed);
        runs++;
      }
  print_message("  %s: %u plays, %u not reached\n", place->name, runs, missed);
  assert_true(place->sim ? missed == 0 : missed * 4 < runs);
}

static void leaving(void** state) {
  (void) state;
  static const char* const names[] = {
      "simulated, polling", "simulated, as a ring", "tcp, uv", "tcp, uring"};
  for (size_t i = 0; i < 4; i++) {
    const place_t* place = place_find(names[i]);
    if (place_is_here(place)) play_all(place);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(leaving)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
