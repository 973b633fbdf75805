/* SPDX-License-Identifier: MIT */
/* A turn of the loop does a bounded amount of work, whatever is received: a
 * peer that floods keeps neither the user's timers nor another peer waiting.
 * Turns are counted, by a handle of the user's that runs once in each; no time
 * is measured.  Over real tcp on every back end; the one that is not to be kept
 * waiting comes over ipc, where what is said is there at once. */
#include <sys/un.h>

#include "support/topics.h"

/* The standard share of a connection. */
/* What one connection gets of a turn, messages and bytes. */
#define SHARE 4096
#define SHARE_BYTES ((int64_t) 1 << 20)
#define FRAMES ((size_t) 16384) /* empty ones, by bytes */

#define FLOOD 250000u
#define MUCH 1000000u /* more than kernels hold */

typedef struct flood {
  stage_t g;
  fan_t house;
  raw_t loud;
  raw_t shy;
  uv_prepare_t prepare;
  uint64_t (*done)(const struct flood* f); /* counts what is bounded */
  uint64_t bound;                          /* a turn */
  uint64_t before;
  uint64_t most;
  uint64_t turns;
  uint64_t memory; /* the most */
  /* The shy one says a word when the last one was heard. */
  mcq_peer_t shy_peer;
  unsigned said;
  unsigned heard;
  uint64_t said_at; /* the turn */
  uint64_t waited;  /* the most, in turns */
} flood_t;

static flood_t* flood_of(player_t* p) {
  return mcq__container_of(p, flood_t, house.p);
}

/* ---- what is counted ----------------------------------------------------- */

static uint64_t pings(const flood_t* f) {
  return player_stats(&f->house.p).pings_received;
}

static uint64_t commands(const flood_t* f) {
  return player_stats(&f->house.p).commands_unknown;
}

static uint64_t messages(const flood_t* f) {
  return player_stats(&f->house.p).messages_received;
}

static uint64_t topics(const flood_t* f) {
  return f->house.subscribed + f->house.unsubscribed;
}

static uint64_t bytes(const flood_t* f) {
  return player_stats(&f->house.p).bytes_received;
}

static uint64_t blocks(const flood_t* f) {
  mcq_ctx_stats_t stats;
  mcq_ctx_stats_get(f->g.ctx, &stats, sizeof stats);
  return stats.memory_bytes;
}

/* ---- the shy one --------------------------------------------------------- */

static void heard_shy(flood_t* f) {
  uint64_t waited = f->turns - f->said_at;
  f->heard++;
  assert_int_equal(f->heard, f->said);
  if (waited > f->waited) f->waited = waited;
}

static void on_message(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  flood_t* f = flood_of(p);
  fan_take(p, peer, msg);
  bool is_topic = mcq_socket_type(p->s) == MCQ_XPUB;
  if (peer.epoch == f->shy_peer.epoch && !is_topic) heard_shy(f);
}

static void on_event(fan_t* fan, const mcq_event_t* e) {
  flood_t* f = flood_of(&fan->p);
  bool topic =
      e->kind == MCQ_EVENT_SUBSCRIBED || e->kind == MCQ_EVENT_UNSUBSCRIBED;
  if (topic && e->peer.epoch == f->shy_peer.epoch) heard_shy(f);
}

static void say_word(flood_t* f) {
  static const char sub[] = "\4\13\11SUBSCRIBEx";
  static const char cancel[] = "\4\10\6CANCELx";
  static const char word[] = "\0\1x";
  bool is_pub = mcq_socket_type(f->house.p.s) == MCQ_XPUB;
  const char* what = is_pub ? (f->said % 2 == 0 ? sub : cancel) : word;
  size_t len = is_pub ? (size_t) what[1] + 2 : sizeof word - 1;
  assert_int_equal(send(f->shy.fd, what, len, MSG_NOSIGNAL), len);
  f->said++;
  f->said_at = f->turns;
}

static void on_turn(uv_prepare_t* prepare) {
  flood_t* f = (flood_t*) prepare->data;
  uint64_t now = f->done(f);
  uint64_t memory = blocks(f);
  if (now - f->before > f->most) f->most = now - f->before;
  if (memory > f->memory) f->memory = memory;
  f->before = now;
  f->turns++;
  if (f->heard == f->said) say_word(f);
}

/* Over ipc. */
static void connect_shy(flood_t* f) {
  mcq_endpoint_t at;
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  assert_int_equal(mcq_bind(f->house.p.s, "ipc://*", &at), 0);
  const char* path = mcq_endpoint_uri(f->house.p.s, at) + strlen("ipc://");
  assert_true(strlen(path) < sizeof a.sun_path);
  memcpy(a.sun_path, path, strlen(path) + 1);
  f->shy.fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(connect(f->shy.fd, (struct sockaddr*) &a, sizeof a), 0);
}

/* ---- the plays ----------------------------------------------------------- */

static void open_flood(flood_t* f, int backend, mcq_socket_options_t o,
                       const char* mate) {
  if (o.turn_messages == 0) o.turn_messages = SHARE;
  if (o.turn_bytes == 0) o.turn_bytes = SHARE_BYTES;
  memset(f, 0, sizeof *f);
  stage_open(&f->g, backend, false);
  fan_open(&f->house, &f->g, o);
  fan_deaf(&f->house);
  f->house.p.on_message = on_message;
  f->house.on_event = on_event;
  player_bind(&f->house.p);
  raw_open(&f->loud, &f->g);
  raw_open(&f->shy, &f->g);
  raw_connect(&f->loud, &f->house.p);
  if (mate != NULL) raw_hello(&f->loud, 1, mate);
  until(&f->g, f->house.p.ups == 1);
  connect_shy(f);
  if (mate != NULL) raw_hello(&f->shy, 1, mate);
  until(&f->g, f->house.p.ups == 2);
  f->shy_peer = f->house.p.peer;
}

static void count_turns(flood_t* f, uint64_t (*done)(const flood_t* f),
                        uint64_t bound) {
  f->done = done;
  f->before = done(f);
  f->bound = bound;
  f->prepare.data = f;
  uv_prepare_init(&f->g.loop, &f->prepare);
  uv_prepare_start(&f->prepare, on_turn);
}

static void close_flood(flood_t* f) {
  raw_close(&f->loud);
  raw_close(&f->shy);
  uv_close((uv_handle_t*) &f->prepare, NULL);
  stage_close(&f->g);
}

/* Says `count` times what is in `unit`, as fast as it is taken. */
static void pour(flood_t* f, const rig_bytes_t* unit, unsigned count) {
  enum { AT_ONCE = 10000 };
  rig_bytes_t many = {0};
  for (unsigned i = 0; i < AT_ONCE; i++) rig_add(&many, unit->data, unit->len);
  for (unsigned i = 0; i < count / AT_ONCE; i++) {
    rig_bytes_t b = {0};
    rig_add(&b, many.data, many.len);
    raw_say(&f->loud, &b);
  }
  rig_free(&many);
}

/* What is bounded was, and nobody had to wait. */
static void check_turns(const flood_t* f) {
  assert_true(f->most > 0);
  assert_true(f->most <= f->bound);
  assert_true(f->heard > 3);
  assert_in_range(f->waited, 0, 2);
}

static void flood_with(int backend, mcq_socket_options_t o, const char* mate,
                       rig_bytes_t* unit, uint64_t (*done)(const flood_t* f),
                       unsigned units, uint64_t all, uint64_t bound) {
  flood_t f;
  open_flood(&f, backend, o, mate);
  uint64_t memory = blocks(&f);
  count_turns(&f, done, bound);
  pour(&f, unit, units);
  until(&f.g, done(&f) >= all);
  check_turns(&f);
  /* One read window, one that is held, and small things. */
  assert_true(f.memory < memory + (3u << 20));
  rig_free(unit);
  close_flood(&f);
}

static void pings_flood(int backend) {
  rig_bytes_t unit = {0};
  rig_command(&unit, "PING", "\0\0x", 3);
  flood_with(backend, (mcq_socket_options_t){.type = MCQ_DEALER}, "DEALER",
             &unit, pings, FLOOD, FLOOD, SHARE);
}

static void unknown_commands_flood(int backend) {
  rig_bytes_t unit = {0};
  rig_command(&unit, "HUM", NULL, 0);
  flood_with(backend, (mcq_socket_options_t){.type = MCQ_DEALER}, "DEALER",
             &unit, commands, FLOOD, FLOOD, SHARE);
}

static void subscriptions_flood(int backend) {
  rig_bytes_t unit = {0};
  rig_command(&unit, "SUBSCRIBE", "a", 1);
  rig_command(&unit, "CANCEL", "a", 1);
  flood_with(backend, (mcq_socket_options_t){.type = MCQ_XPUB}, "SUB", &unit,
             topics, FLOOD / 2, FLOOD, SHARE);
}

static void empty_messages_flood(int backend) {
  rig_bytes_t unit = {0};
  rig_frame(&unit, 0, NULL, 0);
  flood_with(backend, (mcq_socket_options_t){.type = MCQ_PULL}, "PUSH", &unit,
             messages, FLOOD, FLOOD, SHARE + 1);
}

/* A thousand empty frames are a message.  A turn takes frames, not messages. */
static void empty_frames_flood(int backend) {
  enum { PARTS = 1000 };
  rig_bytes_t unit = {0};
  for (int i = 1; i < PARTS; i++) rig_frame(&unit, 1, NULL, 0);
  rig_frame(&unit, 0, NULL, 0);
  rig_bytes_t ten = {0};
  for (int i = 0; i < 10; i++) rig_add(&ten, unit.data, unit.len);
  rig_free(&unit);
  flood_t f;
  open_flood(&f, backend, (mcq_socket_options_t){.type = MCQ_PULL}, "PUSH");
  count_turns(&f, messages, FRAMES / PARTS + 2);
  for (unsigned i = 0; i < FLOOD / PARTS / 10; i++) {
    rig_bytes_t b = {0};
    rig_add(&b, ten.data, ten.len);
    raw_say(&f.loud, &b);
  }
  until(&f.g, messages(&f) >= FLOOD / PARTS);
  check_turns(&f);
  rig_free(&ten);
  close_flood(&f);
}

/* Whole messages of one small share, and of one byte more than it. */
static void a_share_is_exact(int backend) {
  static const struct {
    mcq_socket_options_t o;
    uint64_t bound;
  } shares[] = {
      {{.type = MCQ_PULL, .turn_messages = 1}, 1 + 1},
      {{.type = MCQ_PULL, .turn_messages = 10}, 10 + 1},
      {{.type = MCQ_PULL, .turn_bytes = 1}, 1 + 1},
      /* Of 36 bytes, 64 are added to each. */
      {{.type = MCQ_PULL, .turn_bytes = 1000}, 10 + 1},
      {{.type = MCQ_PULL, .turn_bytes = 1001}, 11 + 1},
  };
  static const uint8_t body[36];
  for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
    flood_t f;
    open_flood(&f, backend, shares[i].o, "PUSH");
    count_turns(&f, messages, shares[i].bound);
    rig_bytes_t b = {0};
    for (unsigned k = 0; k < 300; k++) rig_frame(&b, 0, body, sizeof body);
    raw_say(&f.loud, &b);
    until(&f.g, messages(&f) >= 300 + f.heard);
    assert_true(f.most >= shares[i].bound - 1); /* the shy one's is one more */
    check_turns(&f);
    close_flood(&f);
  }
}

/* A chunk is what one read brought. */
static void streams_flood(int backend) {
  enum { PIECE = 1 << 20 };
  flood_t f;
  open_flood(&f, backend, (mcq_socket_options_t){.type = MCQ_STREAM}, NULL);
  count_turns(&f, bytes, 6 * PIECE); /* a read of io_uring may be 4 */
  f.said = f.heard = 0;
  for (unsigned i = 0; i < 32; i++) {
    rig_bytes_t b = {0};
    static uint8_t piece[PIECE];
    rig_add(&b, piece, sizeof piece);
    raw_say(&f.loud, &b);
  }
  until(&f.g, bytes(&f) >= (uint64_t) 32 * PIECE);
  check_turns(&f);
  close_flood(&f);
}

/* For one that does not read, PONGs stop; what it gets is whole. */
static void answers_are_bounded(int backend) {
  flood_t f;
  int small = 262144; /* some packets: a smaller window opens when probed */
  rig_bytes_t unit = {0};
  const uint8_t* body;
  size_t len;
  open_flood(&f, backend, (mcq_socket_options_t){.type = MCQ_DEALER}, "DEALER");
  assert_int_equal(
      setsockopt(f.loud.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
  raw_greeted(&f.loud);
  uint64_t memory = blocks(&f);
  count_turns(&f, pings, SHARE);
  rig_command(&unit, "PING", "\0\0x", 3);
  pour(&f, &unit, MUCH);
  until(&f.g, pings(&f) == MUCH);
  assert_true(f.most <= f.bound);
  assert_true(f.memory < memory + (3u << 20));
  assert_true(player_stats(&f.house.p).wire_bytes_sent < MUCH * 8);
  for (int i = 0; i < 1000; i++) {
    assert_int_equal(raw_frame(&f.loud, &body, &len), 4);
    /* Who asked so often and then does not is asked. */
    if (len > 6 && memcmp(body, "\4PING", 5) == 0) continue;
    assert_int_equal(len, 6);
    assert_memory_equal(body, "\4PONGx", 6);
  }
  rig_free(&unit);
  close_flood(&f);
}

/* ---- many ---------------------------------------------------------------- */

enum { PEERS = 48, EACH = 20000 };

typedef struct crowd {
  flood_t f;
  raw_t peers[PEERS];
  uint64_t epochs[PEERS];
  unsigned counts[PEERS];
  unsigned apart; /* the most that one was before another */
} crowd_t;

static unsigned find(const crowd_t* c, uint64_t epoch) {
  unsigned i = 0;
  while (c->epochs[i] != epoch) i++;
  return i;
}

static void on_crowd(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  crowd_t* c = mcq__container_of(flood_of(p), crowd_t, f);
  fan_take(p, peer, msg);
  c->counts[find(c, peer.epoch)]++;
}

static void on_crowds_turn(uv_prepare_t* prepare) {
  crowd_t* c = mcq__container_of(prepare, crowd_t, f.prepare);
  uint64_t now = messages(&c->f);
  if (now - c->f.before > c->f.most) c->f.most = now - c->f.before;
  c->f.before = now;
  c->f.turns++;
  unsigned least = EACH;
  unsigned most = 0;
  for (unsigned i = 0; i < PEERS; i++) {
    if (c->counts[i] < least) least = c->counts[i];
    if (c->counts[i] > most) most = c->counts[i];
  }
  if (most < EACH && most - least > c->apart) c->apart = most - least;
}

/* All have as much to say, and no turn has the time for all.  Neither is any
 * far ahead of the others, nor does the turn grow with their number. */
static void many_take_turns(int backend) {
  static crowd_t c;
  flood_t* f = &c.f;
  rig_bytes_t said = {0};
  memset(&c, 0, sizeof c);
  stage_open(&f->g, backend, false);
  fan_open(&f->house, &f->g,
           (mcq_socket_options_t){
               .type = MCQ_PULL, .turn_messages = SHARE, .turn_usec = 1000000});
  fan_deaf(&f->house);
  f->house.p.on_message = on_crowd;
  player_bind(&f->house.p);
  for (unsigned i = 0; i < PEERS; i++) {
    raw_open(&c.peers[i], &f->g);
    raw_connect(&c.peers[i], &f->house.p);
    raw_hello(&c.peers[i], 1, "PUSH");
    until(&f->g, f->house.p.ups == i + 1);
    c.epochs[i] = f->house.p.peer.epoch;
  }
  for (unsigned i = 0; i < EACH; i++) rig_frame(&said, 0, NULL, 0);
  for (unsigned i = 0; i < PEERS; i++)
    assert_int_equal(send(c.peers[i].fd, said.data, said.len, MSG_NOSIGNAL),
                     said.len);
  rig_free(&said);
  f->prepare.data = f;
  uv_prepare_init(&f->g.loop, &f->prepare);
  uv_prepare_start(&f->prepare, on_crowds_turn);
  until(&f->g, messages(f) == (uint64_t) PEERS * EACH);
  stage_turns(&f->g, 2);
  assert_true(f->most <= MCQ__TURN_MESSAGES + 3 * SHARE);
  assert_true(f->turns >= PEERS * EACH / (MCQ__TURN_MESSAGES + 3 * SHARE));
  assert_in_range(c.apart, 0, 2 * SHARE);
  for (unsigned i = 0; i < PEERS; i++) raw_close(&c.peers[i]);
  uv_close((uv_handle_t*) &f->prepare, NULL);
  stage_close(&f->g);
}

/* Connections that all wait to be accepted. */
static uint64_t accepted(const flood_t* f) {
  return player_stats(&f->house.p).connections_accepted;
}

static void many_knock(int backend) {
  enum { CALLERS = 400 };
  static raw_t callers[CALLERS];
  flood_t f;
  open_flood(&f, backend, (mcq_socket_options_t){.type = MCQ_PULL}, "PUSH");
  count_turns(&f, accepted, 64);
  for (unsigned i = 0; i < CALLERS; i++) {
    raw_open(&callers[i], &f.g);
    raw_connect(&callers[i], &f.house.p);
  }
  until(&f.g, accepted(&f) == 2 + CALLERS);
  stage_turns(&f.g, 2);
  assert_true(f.most > 0 && f.most <= f.bound);
  assert_in_range(f.waited, 0, 2);
  for (unsigned i = 0; i < CALLERS; i++) raw_close(&callers[i]);
  close_flood(&f);
}

/* ---- mailboxes ----------------------------------------------------------- */

static uint64_t calls;

static void on_call(mcq_socket_t* s, void* arg) {
  (void) s;
  (void) arg;
  calls++;
}

static uint64_t called(const flood_t* f) {
  (void) f;
  return calls;
}

static void many_posts(int backend) {
  enum { POSTS = 50000, BOXES = 4 };
  flood_t f;
  mcq_mailbox_t* boxes[BOXES];
  mcq_mailbox_options_t o = {.hwm = -1};
  open_flood(&f, backend, (mcq_socket_options_t){.type = MCQ_PULL}, "PUSH");
  calls = 0;
  count_turns(&f, called, MCQ__TURN_MESSAGES);
  for (unsigned i = 0; i < BOXES; i++)
    assert_int_equal(mcq_mailbox_new(f.house.p.s, &o, &boxes[i]), 0);
  for (unsigned i = 0; i < POSTS; i++)
    assert_int_equal(mcq_post_call(boxes[i % BOXES], on_call, NULL), 0);
  until(&f.g, calls == POSTS);
  check_turns(&f);
  /* A mailbox has its share, too. */
  assert_true(f.most <= BOXES * 1024 * 2);
  for (unsigned i = 0; i < BOXES; i++) mcq_mailbox_release(boxes[i]);
  close_flood(&f);
}

/* ---- looking ahead ------------------------------------------------------- */

/* A paused peer's PINGs are still read, a share at a time. */
static void pings_flood_in_a_pause(int backend) {
  flood_t f;
  rig_bytes_t unit = {0};
  open_flood(&f, backend, (mcq_socket_options_t){.type = MCQ_DEALER}, "DEALER");
  assert_int_equal(mcq_pause(f.house.p.s), 0);
  count_turns(&f, pings, SHARE);
  f.said = 1; /* it is not heard in a pause */
  rig_command(&unit, "PING", "\0\0x", 3);
  pour(&f, &unit, FLOOD / 5);
  until(&f.g, pings(&f) == FLOOD / 5);
  assert_true(f.most > 0 && f.most <= f.bound);
  rig_free(&unit);
  close_flood(&f);
}

static const scene_t scenes[] = {
    {"pings flood", pings_flood},
    {"unknown commands flood", unknown_commands_flood},
    {"subscriptions flood", subscriptions_flood},
    {"empty messages flood", empty_messages_flood},
    {"empty frames flood", empty_frames_flood},
    {"streams flood", streams_flood},
    {"pings flood in a pause", pings_flood_in_a_pause},
    {"a share is exact", a_share_is_exact},
    {"answers are bounded", answers_are_bounded},
    {"many take turns", many_take_turns},
    {"many knock", many_knock},
    {"many posts", many_posts},
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
