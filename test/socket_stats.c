/* SPDX-License-Identifier: MIT */
/* What sockets count, field by field, beside a count of what went in and what
 * callbacks brought: at both ends of a connection, for everything that can
 * become of a message or a handshake, for what is gone.  Over real tcp on every
 * back end. */
#include "support/topics.h"

/* A player that keeps books of its own. */
typedef struct keeper {
  fan_t fan; /* first: mcq_socket_data is both */
  uint64_t sent, sent_frames, sent_bytes;
  uint64_t got, got_frames, got_bytes;
  uint64_t refused;
  uint64_t events[32];
  bool echoes;
} keeper_t;

static uint8_t pad[1 << 18];

static void note_event(fan_t* f, const mcq_event_t* e) {
  ((keeper_t*) f)->events[e->kind]++;
}

static int send_to(keeper_t* k, const mcq_peer_t* to, const mcq_frame_t* frames,
                   size_t count) {
  int rc = to == NULL ? mcq_send(k->fan.p.s, frames, count)
                      : mcq_send_to(k->fan.p.s, *to, frames, count);
  if (rc == MCQ_EAGAIN) k->refused++;
  if (rc != 0) return rc;
  k->sent++;
  k->sent_frames += count;
  for (size_t i = 0; i < count; i++) k->sent_bytes += frames[i].len;
  return 0;
}

static void note_message(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  keeper_t* k = (keeper_t*) p;
  mcq_frame_t frames[8];
  k->got++;
  k->got_frames += mcq_msg_count(msg);
  k->got_bytes += mcq_msg_size(msg);
  if (!k->echoes) return;
  for (size_t i = 0; i < mcq_msg_count(msg); i++)
    frames[i] = mcq_msg_frame(msg, i);
  assert_int_equal(send_to(k, &peer, frames, mcq_msg_count(msg)), 0);
}

static void open_keeper(keeper_t* k, stage_t* g, mcq_socket_options_t o) {
  memset(k, 0, sizeof *k);
  fan_open(&k->fan, g, o);
  k->fan.p.count = HEARD_MAX; /* nothing is kept */
  k->fan.p.on_message = note_message;
  k->fan.on_event = note_event;
}

static mcq_stats_t stats_of(const keeper_t* k) {
  return player_stats(&k->fan.p);
}

static mcq_peer_stats_t peer_stats_of(const keeper_t* k) {
  mcq_peer_stats_t out;
  assert_int_equal(mcq_peer_stats(k->fan.p.s, k->fan.p.peer, &out), 0);
  return out;
}

static mcq_peer_stats_t end_stats_of(const keeper_t* k) {
  mcq_peer_stats_t out;
  assert_int_equal(mcq_endpoint_stats(k->fan.p.s, k->fan.p.dialed, &out), 0);
  return out;
}

static uint64_t accounted(const mcq_stats_t* s) {
  return s->messages_written + s->messages_in_flight + s->messages_queued +
         s->messages_unsure + s->messages_replaced + s->messages_lost;
}

/* What went in, came out and was told is what was counted. */
static void check_books(const keeper_t* k) {
  mcq_stats_t s = stats_of(k);
  assert_int_equal(s.messages_sent, k->sent);
  assert_int_equal(s.frames_sent, k->sent_frames);
  assert_int_equal(s.bytes_sent, k->sent_bytes);
  assert_int_equal(s.messages_received, k->got);
  assert_int_equal(s.frames_received, k->got_frames);
  assert_int_equal(s.bytes_received, k->got_bytes);
  assert_int_equal(s.sends_refused, k->refused);
  assert_int_equal(s.messages_sent, accounted(&s));
  assert_int_equal(s.messages_lost, s.lost_gone + s.lost_slow + s.lost_local);
  assert_int_equal(s.messages_dropped,
                   s.dropped_full + s.dropped_memory + s.messages_replaced);
  assert_int_equal(s.connections_accepted, k->events[MCQ_EVENT_ACCEPTED]);
  assert_int_equal(s.connections_made, k->events[MCQ_EVENT_CONNECTED]);
  assert_int_equal(s.accepts_failed, k->events[MCQ_EVENT_ACCEPT_FAILED]);
  assert_int_equal(s.connects_failed, k->events[MCQ_EVENT_CONNECT_FAILED]);
  assert_int_equal(s.handshakes_ok, k->events[MCQ_EVENT_HANDSHAKE_OK]);
  assert_int_equal(s.handshakes_failed, k->events[MCQ_EVENT_HANDSHAKE_FAILED]);
  assert_int_equal(s.disconnects, k->events[MCQ_EVENT_DISCONNECTED]);
  assert_int_equal(s.commands_unknown, k->events[MCQ_EVENT_COMMAND]);
  assert_int_equal(s.congestions, k->events[MCQ_EVENT_CONGESTED]);
  assert_int_equal(s.messages_dropped, k->fan.dropped);
  assert_int_equal(s.peers, s.handshakes_ok - s.disconnects);
}

/* ---- both ends ----------------------------------------------------------- */

#define ROUNDS 200

static void say_all(keeper_t* k) {
  for (unsigned i = 0; i < ROUNDS; i++) {
    mcq_frame_t frames[3] = {{pad, i * i % 977}, {pad, 0}, {pad, i * 300}};
    assert_int_equal(send_to(k, NULL, frames, 1 + i % 3), 0);
    if (i % 16 == 0) stage_step(k->fan.p.g);
  }
}

/* Of a socket with one peer all figures are that peer's. */
static void check_only_peer(const keeper_t* k) {
  mcq_stats_t s = stats_of(k);
  mcq_peer_stats_t p = peer_stats_of(k);
  assert_int_equal(p.messages_received, s.messages_received);
  assert_int_equal(p.frames_received, s.frames_received);
  assert_int_equal(p.bytes_received, s.bytes_received);
  assert_int_equal(p.messages_sent, s.messages_sent);
  assert_int_equal(p.frames_sent, s.frames_sent);
  assert_int_equal(p.bytes_sent, s.bytes_sent);
  assert_int_equal(p.messages_written, s.messages_written);
  assert_int_equal(p.queue_peak_messages, s.queue_peak_messages);
  assert_int_equal(p.queue_peak_bytes, s.queue_peak_bytes);
  assert_int_equal(p.wire_bytes_received, s.wire_bytes_received);
  assert_int_equal(p.wire_bytes_sent, s.wire_bytes_sent);
  assert_int_equal(p.messages_queued + p.messages_in_flight + p.bytes_queued,
                   0);
  assert_int_equal(p.connections, 1);
  assert_int_equal(p.connected, 1);
  assert_int_equal(p.congested, 0);
}

/* Each end counts what it did, and one's out is the other's in. */
static void check_mirrored(const keeper_t* a, const keeper_t* b) {
  mcq_stats_t out = stats_of(a);
  mcq_stats_t in = stats_of(b);
  assert_int_equal(out.messages_written, out.messages_sent);
  assert_int_equal(out.messages_sent, in.messages_received);
  assert_int_equal(out.frames_sent, in.frames_received);
  assert_int_equal(out.bytes_sent, in.bytes_received);
  assert_int_equal(out.wire_bytes_sent, in.wire_bytes_received);
  assert_true(out.wire_bytes_sent > out.bytes_sent + 64);
  assert_true(out.queue_peak_messages >= 16 &&
              out.queue_peak_messages <= 2 * ROUNDS);
}

static void both_ends_count_the_same(int backend) {
  stage_t g;
  static keeper_t a, b;
  stage_open(&g, backend, true);
  open_keeper(&b, &g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  open_keeper(&a, &g, (mcq_socket_options_t){.type = MCQ_DEALER});
  b.echoes = true;
  player_bind(&b.fan.p);
  player_connect(&a.fan.p, &b.fan.p);
  say_all(&a); /* some of it before there is anybody to say it to */
  until(&g, a.fan.p.ups == 1 && b.fan.p.ups == 1);
  uint64_t met = g.now;
  say_all(&a);
  until(&g, a.got == 2 * ROUNDS);
  until(&g, stats_of(&b).messages_written == 2 * ROUNDS);
  g.now += 1234;
  stage_turns(&g, 3);
  check_books(&a);
  check_books(&b);
  check_mirrored(&a, &b);
  check_mirrored(&b, &a);
  check_only_peer(&a);
  check_only_peer(&b);
  assert_int_equal(end_stats_of(&a).messages_sent, 2 * ROUNDS);
  assert_int_equal(peer_stats_of(&a).up_ms, g.now - met);
  assert_int_equal(stats_of(&a).connections_made, 1);
  assert_int_equal(stats_of(&b).connections_accepted, 1);
  stage_close(&g);
}

/* What travels is counted: with the envelope, without a ROUTER's address. */
static void envelopes_travel(int backend) {
  stage_t g;
  static keeper_t q, r;
  stage_open(&g, backend, false);
  open_keeper(&r, &g, (mcq_socket_options_t){.type = MCQ_REP});
  open_keeper(&q, &g, (mcq_socket_options_t){.type = MCQ_REQ});
  player_bind(&r.fan.p);
  player_meet(&q.fan.p, &r.fan.p);
  for (unsigned i = 1; i <= 3; i++) {
    assert_int_equal(say(&q.fan.p, "how many|frames"), 0);
    until(&g, r.got == i);
    assert_int_equal(say(&r.fan.p, "two"), 0);
    until(&g, q.got == i);
  }
  mcq_stats_t asked = stats_of(&q);
  mcq_stats_t answered = stats_of(&r);
  assert_int_equal(q.got_frames, 3);
  assert_int_equal(r.got_frames, 6);
  assert_int_equal(asked.frames_sent, 9);
  assert_int_equal(asked.bytes_sent, 3 * 14);
  assert_int_equal(answered.frames_received, 9);
  assert_int_equal(answered.bytes_received, 3 * 14);
  assert_int_equal(answered.frames_sent, 6);
  assert_int_equal(asked.frames_received, 6);
  assert_int_equal(asked.messages_received, 3);
  stage_close(&g);
}

/* ---- what comes and is not delivered ------------------------------------- */

static void raw_message(rig_bytes_t* b, const char* text) {
  rig_frame(b, 1, text, strlen(text));
  rig_frame(b, 0, "tail", 4);
}

static void what_is_thrown_away_was_not_received(int backend) {
  stage_t g;
  static keeper_t sub;
  static raw_t pub;
  rig_bytes_t b = {0};
  stage_open(&g, backend, false);
  open_keeper(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  follow(&sub.fan, "a");
  player_bind(&sub.fan.p);
  raw_open(&pub, &g);
  raw_connect(&pub, &sub.fan.p);
  raw_hello(&pub, 1, "PUB");
  for (unsigned i = 0; i < 30; i++) raw_message(&b, i % 3 == 0 ? "abc" : "b");
  raw_say(&pub, &b);
  until(&g, sub.got == 10 && stats_of(&sub).messages_discarded == 20);
  check_books(&sub);
  assert_int_equal(sub.got_bytes, 10 * 7);
  assert_int_equal(peer_stats_of(&sub).messages_discarded, 20);
  assert_int_equal(peer_stats_of(&sub).messages_received, 10);
  raw_close(&pub);
  stage_close(&g);
}

/* Subscriptions in the form of messages are none; what tells of them are. */
static void subscriptions_are_no_messages(int backend) {
  stage_t g;
  static keeper_t pub;
  static raw_t sub;
  stage_open(&g, backend, false);
  open_keeper(&pub, &g, (mcq_socket_options_t){.type = MCQ_XPUB});
  player_bind(&pub.fan.p);
  raw_open(&sub, &g);
  raw_connect(&sub, &pub.fan.p);
  raw_hello(&sub, 0, "SUB");
  raw_topic(&sub, 1, "news");
  raw_topic(&sub, 1, "weather");
  raw_topic(&sub, 1, "news"); /* a second time: nobody is told */
  until(&g, pub.fan.subscribed == 2);
  raw_topic(&sub, 0, "weather");
  until(&g, pub.fan.unsubscribed == 1);
  raw_topic(&sub, 7, "something else");
  until(&g, pub.got == 4);
  check_books(&pub);
  assert_int_equal(pub.got_bytes, 5 + 8 + 8 + 15);
  assert_int_equal(peer_stats_of(&pub).messages_received, 1);
  raw_close(&sub);
  stage_close(&g);
}

/* What is thrown away takes its time, too: others have their turn. */
static void a_turn_has_a_budget_for_it(int backend) {
  enum { COUNT = 3000, BUDGET = 8 };
  stage_t g;
  static keeper_t push;
  static raw_t pull;
  rig_bytes_t b = {0};
  uint64_t most = 0;
  stage_open(&g, backend, false);
  open_keeper(
      &push, &g,
      (mcq_socket_options_t){
          .type = MCQ_PUSH, .turn_messages = BUDGET, .turn_usec = INT32_MAX});
  player_bind(&push.fan.p);
  raw_open(&pull, &g);
  raw_connect(&pull, &push.fan.p);
  raw_hello(&pull, 1, "PULL");
  until(&g, push.fan.p.ups == 1);
  for (unsigned i = 0; i < COUNT; i++) raw_message(&b, "x");
  raw_say(&pull, &b);
  for (uint64_t before = 0, now = 0; now < COUNT; before = now) {
    stage_turns(&g, 1);
    now = stats_of(&push).messages_discarded;
    if (now - before > most) most = now - before;
  }
  assert_true(most > 0 && most <= 2 * BUDGET); /* two phases a turn */
  check_books(&push);
  assert_int_equal(push.got, 0);
  raw_close(&pull);
  stage_close(&g);
}

/* ---- handshakes ---------------------------------------------------------- */

typedef struct visitor {
  raw_t raw;
  void (*talk)(raw_t* r);
} visitor_t;

static void talk_nonsense(raw_t* r) {
  rig_bytes_t b = {0};
  for (int i = 0; i < 80; i++) rig_byte(&b, 'G');
  raw_say(r, &b);
}

static void talk_as_stranger(raw_t* r) {
  raw_hello(r, 1, "PULL");
}

static void talk_of_refusal(raw_t* r) {
  rig_bytes_t b = {0};
  rig_greeting(&b, 3, 1, "NULL");
  rig_command(&b, "ERROR", "\7no more", 8);
  raw_say(r, &b);
}

static void talk_and_leave(raw_t* r) {
  rig_bytes_t b = {0};
  rig_greeting(&b, 3, 1, "NULL");
  raw_say(r, &b);
  raw_hang_up(r);
}

static void say_nothing(raw_t* r) {
  (void) r;
}

static void every_handshake_has_an_end(int backend) {
  static visitor_t v[] = {{.talk = talk_nonsense},
                          {.talk = talk_as_stranger},
                          {.talk = talk_of_refusal},
                          {.talk = talk_and_leave},
                          {.talk = say_nothing}};
  stage_t g;
  static keeper_t k;
  stage_open(&g, backend, true);
  open_keeper(&k, &g,
              (mcq_socket_options_t){.type = MCQ_ROUTER, .handshake_ms = 500});
  player_bind(&k.fan.p);
  for (size_t i = 0; i < 5; i++) {
    raw_open(&v[i].raw, &g);
    raw_connect(&v[i].raw, &k.fan.p);
    until(&g, k.events[MCQ_EVENT_ACCEPTED] == i + 1);
    v[i].talk(&v[i].raw);
    if (v[i].talk == say_nothing) g.now += 501;
    until(&g, k.events[MCQ_EVENT_HANDSHAKE_FAILED] == i + 1);
  }
  mcq_stats_t s = stats_of(&k);
  assert_int_equal(s.handshakes_failed, 5);
  assert_int_equal(s.handshakes_invalid, 1);
  assert_int_equal(s.handshakes_rejected, 1);
  assert_int_equal(s.handshakes_refused, 1);
  assert_int_equal(s.handshakes_lost, 1);
  assert_int_equal(s.handshakes_timed_out, 1);
  assert_int_equal(s.handshakes_ok, 0);
  check_books(&k);
  for (size_t i = 0; i < 5; i++) raw_close(&v[i].raw);
  stage_close(&g);
}

/* ---- queues -------------------------------------------------------------- */

#define HWM 10

static void fill_up(keeper_t* k) {
  mcq_frame_t frame = {pad, 100};
  while (send_to(k, NULL, &frame, 1) == 0) continue;
}

static void a_queue_tells_its_height(int backend) {
  stage_t g;
  static keeper_t a, b;
  mcq_peer_stats_t p;
  stage_open(&g, backend, false);
  open_keeper(&b, &g, (mcq_socket_options_t){.type = MCQ_PULL});
  open_keeper(&a, &g, (mcq_socket_options_t){.type = MCQ_PUSH, .sndhwm = HWM});
  player_bind(&b.fan.p);
  player_connect(&a.fan.p, &b.fan.p);
  fill_up(&a);
  fill_up(&a); /* it is refused, but the queue did not become full again */
  assert_int_equal(a.sent, HWM);
  p = end_stats_of(&a);
  assert_int_equal(p.messages_queued, HWM);
  assert_int_equal(p.queue_peak_messages, HWM);
  assert_int_equal(p.bytes_queued, p.queue_peak_bytes);
  assert_int_equal(p.bytes_queued, HWM * 102);
  assert_int_equal(p.congestions, 1);
  assert_int_equal(p.congested, 1);
  assert_int_equal(p.connected + p.connections + p.up_ms, 0);
  assert_int_equal(a.events[MCQ_EVENT_CONGESTED], 0); /* this is a call */
  until(&g, b.got == HWM && a.events[MCQ_EVENT_RELIEVED] == 1);
  assert_int_equal(a.events[MCQ_EVENT_CONGESTED], 1);
  until(&g, stats_of(&a).messages_written == HWM);
  p = end_stats_of(&a);
  assert_int_equal(p.messages_queued, 0);
  assert_int_equal(p.queue_peak_messages, HWM);
  assert_int_equal(p.congested, 0);
  assert_int_equal(p.connections, 1);
  check_books(&a);
  check_books(&b);
  stage_close(&g);
}

/* The endpoint's figures go on where its connections end. */
static void figures_outlive_connections(int backend) {
  stage_t g;
  static keeper_t a, b;
  mcq_peer_stats_t p;
  stage_open(&g, backend, false);
  open_keeper(&b, &g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  open_keeper(&a, &g, (mcq_socket_options_t){.type = MCQ_DEALER});
  b.echoes = true;
  player_bind(&b.fan.p);
  player_meet(&a.fan.p, &b.fan.p);
  mcq_frame_t frame = {pad, 50};
  for (unsigned i = 1; i <= 3; i++) {
    assert_int_equal(send_to(&a, NULL, &frame, 1), 0);
    until(&g, a.got == i && b.fan.p.ups == i);
    until(&g, stats_of(&b).messages_written == i);
    assert_int_equal(mcq_peer_close(b.fan.p.s, b.fan.p.peer), 0);
    until(&g, a.fan.p.downs == i && b.fan.p.downs == i);
    assert_int_equal(mcq_peer_stats(b.fan.p.s, b.fan.p.peer, &p),
                     MCQ_EPEERGONE);
    assert_int_equal(p.messages_sent + p.connections, 0);
    until(&g, a.fan.p.ups == i + 1 && b.fan.p.ups == i + 1);
  }
  p = end_stats_of(&a);
  assert_int_equal(p.connections, 4);
  assert_int_equal(p.messages_sent, 3);
  assert_int_equal(p.messages_received, 3);
  assert_int_equal(peer_stats_of(&a).messages_sent, 3);
  assert_int_equal(peer_stats_of(&b).messages_sent, 0); /* a new one */
  assert_int_equal(stats_of(&b).messages_sent, 3);
  assert_int_equal(stats_of(&a).reconnects, 3);
  check_books(&a);
  check_books(&b);
  assert_int_equal(mcq_endpoint_stats(b.fan.p.s, b.fan.p.at, &p), MCQ_ENOENT);
  assert_int_equal(mcq_disconnect(a.fan.p.s, a.fan.p.dialed), 0);
  assert_int_equal(mcq_endpoint_stats(a.fan.p.s, a.fan.p.dialed, &p),
                   MCQ_ENOENT);
  until(&g, a.events[MCQ_EVENT_CLOSED] == 1);
  check_books(&a);
  stage_close(&g);
}

/* ---- endings of messages ------------------------------------------------- */

/* A peer that was let in and does not read; whoever sends to it fills what the
 * kernel has room for and then the queue. */
static void deaf_peer(raw_t* r, keeper_t* k, const char* type) {
  raw_open(r, k->fan.p.g);
  r->buffer = 4096;
  raw_connect(r, &k->fan.p);
  raw_hello(r, 1, type);
  unsigned ups = k->fan.p.ups;
  until(k->fan.p.g, k->fan.p.ups == ups + 1);
}

static void stuff(keeper_t* k) {
  mcq_frame_t frame = {pad, 65536};
  for (unsigned still = 0; still < 5; still++)
    while (send_to(k, NULL, &frame, 1) == 0) {
      still = 0;
      stage_turns(k->fan.p.g, 1);
    }
  stage_turns(k->fan.p.g, 1); /* what there is to tell is told */
}

static void its_connection_was_lost(int backend) {
  stage_t g;
  static keeper_t k;
  static raw_t pull;
  stage_open(&g, backend, false);
  open_keeper(&k, &g, (mcq_socket_options_t){.type = MCQ_PUSH, .sndhwm = HWM});
  player_bind(&k.fan.p);
  deaf_peer(&pull, &k, "PULL");
  stuff(&k);
  check_books(&k);
  mcq_stats_t before = stats_of(&k);
  assert_true(before.messages_queued >= HWM - 1);
  raw_close(&pull);
  until(&g, k.fan.p.downs == 1);
  mcq_stats_t s = stats_of(&k);
  check_books(&k);
  assert_int_equal(s.messages_queued + s.messages_in_flight, 0);
  assert_int_equal(s.lost_gone, k.fan.p.lost);
  assert_int_equal(s.messages_unsure, k.fan.p.unsure);
  assert_int_equal(s.messages_lost, s.lost_gone);
  assert_true(s.messages_written >= before.messages_written);
  stage_close(&g);
}

static void it_was_closed_here(int backend) {
  stage_t g;
  static keeper_t k, other;
  static raw_t pull;
  mcq_stats_t totals;
  stage_open(&g, backend, false);
  open_keeper(&other, &g, (mcq_socket_options_t){.type = MCQ_PULL});
  open_keeper(
      &k, &g,
      (mcq_socket_options_t){
          .type = MCQ_PUSH, .sndhwm = HWM, .linger_ms = MCQ_LINGER_NONE});
  /* An endpoint that is never connected, */
  raw_open(&pull, &g);
  assert_int_equal(
      mcq_connect(k.fan.p.s, "tcp://127.0.0.1:1", NULL, &k.fan.p.dialed), 0);
  fill_up(&k);
  assert_int_equal(mcq_disconnect(k.fan.p.s, k.fan.p.dialed), 0);
  until(&g, k.events[MCQ_EVENT_CLOSED] == 1);
  mcq_stats_t s = stats_of(&k);
  assert_int_equal(s.lost_local, HWM);
  check_books(&k);
  /* and a peer that does not read when all is closed. */
  player_bind(&k.fan.p);
  deaf_peer(&pull, &k, "PULL");
  stuff(&k);
  uint64_t sent = k.sent;
  player_close(&k.fan.p);
  until(&g, k.fan.p.closed);
  mcq_ctx_totals(g.ctx, &totals);
  assert_int_equal(totals.messages_sent, sent);
  assert_int_equal(totals.messages_sent, accounted(&totals));
  assert_int_equal(totals.messages_queued + totals.peers, 0);
  assert_int_equal(totals.lost_local, HWM + k.fan.p.info.lost_messages);
  assert_int_equal(totals.messages_unsure, k.fan.p.unsure);
  raw_close(&pull);
  stage_close(&g);
}

static void its_peer_was_slow(int backend) {
  stage_t g;
  static keeper_t k;
  static raw_t sub;
  stage_open(&g, backend, false);
  open_keeper(
      &k, &g,
      (mcq_socket_options_t){
          .type = MCQ_PUB, .sndhwm = HWM, .slow_peer = MCQ_SLOW_DISCONNECT});
  player_bind(&k.fan.p);
  deaf_peer(&sub, &k, "SUB");
  raw_command(&sub, "SUBSCRIBE", "");
  until(&g, k.fan.subscribed == 1);
  mcq_frame_t frame = {pad, 65536};
  unsigned said = 0;
  for (; k.fan.p.downs == 0; said++) {
    assert_int_equal(mcq_send(k.fan.p.s, &frame, 1), 0);
    stage_turns(&g, 1);
  }
  mcq_stats_t s = stats_of(&k);
  assert_int_equal(s.dropped_full, 1);
  assert_int_equal(s.messages_dropped, 1);
  assert_int_equal(s.lost_slow, k.fan.p.lost);
  assert_true(s.lost_slow >= HWM - 1);
  assert_true(s.messages_sent + s.dropped_full <= said);
  assert_int_equal(s.messages_sent, accounted(&s));
  raw_close(&sub);
  stage_close(&g);
}

/* Dropped, or given up for newer ones. */
static void drop(int backend, int slow_peer) {
  enum { COUNT = 400 };
  stage_t g;
  static keeper_t k;
  static raw_t sub;
  stage_open(&g, backend, false);
  open_keeper(&k, &g,
              (mcq_socket_options_t){
                  .type = MCQ_PUB, .sndhwm = HWM, .slow_peer = slow_peer});
  player_bind(&k.fan.p);
  deaf_peer(&sub, &k, "SUB");
  raw_command(&sub, "SUBSCRIBE", "");
  until(&g, k.fan.subscribed == 1);
  mcq_frame_t frame = {pad, 65536};
  for (unsigned i = 0; i < COUNT; i++) {
    assert_int_equal(mcq_send(k.fan.p.s, &frame, 1), 0);
    if (i % 4 == 0) stage_turns(&g, 1);
  }
  stage_turns(&g, 2);
  mcq_stats_t s = stats_of(&k);
  bool oldest = slow_peer == MCQ_SLOW_DROP_OLDEST;
  uint64_t dropped = oldest ? s.messages_replaced : s.dropped_full;
  assert_true(dropped > 0);
  assert_int_equal(s.messages_dropped, dropped);
  assert_int_equal(k.fan.dropped, dropped);
  assert_int_equal(s.messages_sent + s.dropped_full, COUNT);
  assert_int_equal(s.messages_sent, accounted(&s));
  assert_true(s.congestions >= 1);
  assert_int_equal(k.events[MCQ_EVENT_CONGESTED], s.congestions);
  assert_true(s.queue_peak_messages >= HWM - 1);
  raw_close(&sub);
  stage_close(&g);
}

static void it_was_dropped(int backend) {
  drop(backend, MCQ_SLOW_DROP_NEWEST);
  drop(backend, MCQ_SLOW_DROP_OLDEST);
}

/* Out of memory, at the first try or when another message has made room: it is
 * a drop either way.  Each message of this publisher for one is accepted or
 * dropped. */
static void there_was_no_memory_for_it(int backend) {
  stage_t g;
  static keeper_t k;
  static raw_t sub;
  bool at_once = false;
  bool on_the_second_try = false;
  stage_open(&g, backend, false);
  open_keeper(
      &k, &g,
      (mcq_socket_options_t){
          .type = MCQ_PUB, .sndhwm = HWM, .slow_peer = MCQ_SLOW_DROP_OLDEST});
  player_bind(&k.fan.p);
  deaf_peer(&sub, &k, "SUB");
  raw_command(&sub, "SUBSCRIBE", "");
  until(&g, k.fan.subscribed == 1);
  mcq_frame_t large = {pad, 65536};
  for (unsigned i = 0; i < 1000 && stats_of(&k).messages_replaced == 0; i++) {
    assert_int_equal(mcq_send(k.fan.p.s, &large, 1), 0);
    if (i % 4 == 0) stage_turns(&g, 1);
  }
  mcq_stats_t before = stats_of(&k);
  for (unsigned i = 0; i < 3000 && !(at_once && on_the_second_try); i++) {
    /* Sizes that never repeat: the books of the queue grow with each. */
    mcq_frame_t frame = {pad, i % 3 == 0 ? 65536 : 20 + i};
    g.memory.fail_at = g.memory.calls + 1;
    int rc = mcq_send(k.fan.p.s, &frame, 1);
    g.memory.fail_at = 0;
    mcq_stats_t s = stats_of(&k);
    uint64_t sent = s.messages_sent - before.messages_sent;
    uint64_t dropped = s.dropped_full + s.dropped_memory - before.dropped_full -
                       before.dropped_memory;
    assert_int_equal(sent + dropped, rc == 0);
    assert_int_equal(s.messages_sent, accounted(&s));
    if (s.dropped_memory > before.dropped_memory) {
      if (s.messages_replaced > before.messages_replaced)
        on_the_second_try = true;
      else
        at_once = true;
    }
    before = s;
    if (!at_once && i % 7 == 0) stage_turns(&g, 1);
  }
  assert_true(on_the_second_try);
  stage_turns(&g, 2);
  assert_int_equal(k.fan.dropped, stats_of(&k).messages_dropped);
  raw_close(&sub);
  stage_close(&g);
}

/* What moves from a lost worker to others was accepted once. */
static void it_went_to_another(int backend) {
  stage_t g;
  static keeper_t k, worker;
  static raw_t pull;
  stage_open(&g, backend, false);
  open_keeper(&k, &g,
              (mcq_socket_options_t){
                  .type = MCQ_PUSH, .sndhwm = HWM, .flags = MCQ_REQUEUE});
  player_bind(&k.fan.p);
  deaf_peer(&pull, &k, "PULL");
  stuff(&k);
  open_keeper(&worker, &g, (mcq_socket_options_t){.type = MCQ_PULL});
  player_meet(&worker.fan.p, &k.fan.p);
  raw_close(&pull);
  until(&g, k.fan.p.downs == 1);
  mcq_stats_t s = stats_of(&k);
  check_books(&k);
  assert_true(s.messages_requeued >= HWM - 2);
  until(&g, worker.got == s.messages_requeued);
  until(&g,
        stats_of(&k).messages_queued + stats_of(&k).messages_in_flight == 0);
  check_books(&k);
  mcq_peer_stats_t p = peer_stats_of(&k);
  assert_int_equal(p.messages_sent, s.messages_requeued);
  assert_int_equal(p.messages_written, s.messages_requeued);
  stage_close(&g);
}

/* Frames without a byte are nothing on a plain stream. */
static void there_was_nothing_to_send(int backend) {
  stage_t g;
  static keeper_t k;
  static raw_t r;
  mcq_frame_t frames[] = {{pad, 0}, {pad, 0}, {pad, 3}};
  stage_open(&g, backend, false);
  open_keeper(&k, &g, (mcq_socket_options_t){.type = MCQ_STREAM});
  player_bind(&k.fan.p);
  raw_open(&r, &g);
  raw_connect(&r, &k.fan.p);
  until(&g, k.fan.p.ups == 1);
  assert_int_equal(send_to(&k, &k.fan.p.peer, frames, 2), 0);
  assert_int_equal(send_to(&k, &k.fan.p.peer, frames, 3), 0);
  check_books(&k);
  until(&g, raw_has(&r, 3));
  until(&g, stats_of(&k).messages_written == 2);
  assert_int_equal(stats_of(&k).wire_bytes_sent, 3);
  check_books(&k);
  raw_close(&r);
  stage_close(&g);
}

/* ---- questions about life ------------------------------------------------ */

/* A subscriber asks whether what it wants is in force; a raw peer asks, too. */
static void pings_and_their_answers(int backend) {
  stage_t g;
  static keeper_t sub, pub;
  static raw_t r;
  rig_bytes_t b = {0};
  stage_open(&g, backend, false);
  open_keeper(&pub, &g, (mcq_socket_options_t){.type = MCQ_PUB});
  open_keeper(&sub, &g, (mcq_socket_options_t){.type = MCQ_SUB});
  player_bind(&pub.fan.p);
  player_meet(&sub.fan.p, &pub.fan.p);
  assert_true(peer_stats_of(&sub).rtt_ns == 0);
  for (unsigned i = 1; i <= 3; i++) {
    follow(&sub.fan, "a");
    until(&g, sub.fan.subscribed == i);
    assert_int_equal(stats_of(&sub).pings_sent, i);
    assert_int_equal(stats_of(&sub).pongs_received, i);
    assert_int_equal(stats_of(&pub).pings_received, i);
  }
  uint64_t rtt = peer_stats_of(&sub).rtt_ns;
  assert_true(rtt > 0 && rtt < UINT64_C(120000000000));
  assert_int_equal(stats_of(&pub).pings_sent, 0);
  raw_open(&r, &g);
  raw_connect(&r, &pub.fan.p);
  raw_hello(&r, 1, "SUB");
  rig_command(&b, "PING", "\0\0who?", 6);
  raw_say(&r, &b);
  until(&g, peer_stats_of(&pub).pings_received == 1);
  assert_int_equal(stats_of(&pub).pings_received, 4);
  raw_close(&r);
  until(&g, pub.fan.p.downs == 1);
  assert_int_equal(stats_of(&pub).pings_received, 4);
  check_books(&pub);
  stage_close(&g);
}

/* ---- contexts ------------------------------------------------------------ */

static void a_context_forgets_nothing(int backend) {
  stage_t g;
  static keeper_t a, b;
  mcq_stats_t before, after;
  mcq_ctx_stats_t c;
  stage_open(&g, backend, false);
  open_keeper(&b, &g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  open_keeper(&a, &g, (mcq_socket_options_t){.type = MCQ_DEALER});
  b.echoes = true;
  player_bind(&b.fan.p);
  player_meet(&a.fan.p, &b.fan.p);
  say_all(&a);
  until(&g, a.got == ROUNDS);
  until(&g, stats_of(&b).messages_written == ROUNDS);
  mcq_ctx_totals(g.ctx, &before);
  assert_int_equal(before.messages_sent, 2 * ROUNDS);
  assert_int_equal(before.messages_received, 2 * ROUNDS);
  assert_int_equal(before.bytes_sent, a.sent_bytes + b.sent_bytes);
  assert_int_equal(before.peers, 2);
  mcq_ctx_stats(g.ctx, &c);
  assert_int_equal(c.sockets, 2);
  assert_int_equal(c.sockets_opened, 2);
  assert_int_equal(c.memory_blocks + 1, g.memory.live); /* and its own books */
  assert_int_equal(c.memory_bytes, 0); /* the test's allocator does not tell */
  assert_true(c.memory_allocations >= c.memory_blocks);
  player_close(&a.fan.p);
  until(&g, a.fan.p.closed && b.fan.p.downs == 1);
  mcq_ctx_totals(g.ctx, &after);
  mcq_ctx_stats(g.ctx, &c);
  assert_int_equal(c.sockets, 1);
  assert_int_equal(c.sockets_opened, 2);
  assert_int_equal(after.peers, 0);
  assert_int_equal(after.messages_sent, before.messages_sent);
  assert_int_equal(after.bytes_received, before.bytes_received);
  assert_int_equal(after.queue_peak_messages, before.queue_peak_messages);
  assert_int_equal(after.handshakes_ok, 2);
  assert_int_equal(after.disconnects, 2);
  stage_close(&g);
}

/* Programs may be older or newer than the library. */
static void structs_may_differ(int backend) {
  stage_t g;
  static keeper_t k;
  struct {
    mcq_stats_t stats;
    uint64_t beyond[4];
  } larger, smaller;
  stage_open(&g, backend, false);
  open_keeper(&k, &g, (mcq_socket_options_t){.type = MCQ_DEALER});
  assert_int_equal(say(&k.fan.p, "nobody is there"), MCQ_EAGAIN);
  memset(&larger, 0xAA, sizeof larger);
  memset(&smaller, 0xAA, sizeof smaller);
  mcq_stats_get(k.fan.p.s, &larger.stats, sizeof larger);
  mcq_stats_get(k.fan.p.s, &smaller.stats,
                offsetof(mcq_stats_t, sends_unroutable));
  assert_int_equal(larger.stats.sends_refused, 1);
  for (size_t i = 0; i < 4; i++) assert_true(larger.beyond[i] == 0);
  assert_int_equal(smaller.stats.sends_refused, 1);
  assert_true(smaller.stats.sends_unroutable == UINT64_C(0xAAAAAAAAAAAAAAAA));
  stage_close(&g);
}

static void names_and_numbers(int backend) {
  stage_t g;
  static keeper_t a, b, c;
  char name[8] = "orders";
  stage_open(&g, backend, false);
  open_keeper(&a, &g, (mcq_socket_options_t){.type = MCQ_PUSH, .name = name});
  name[0] = '?'; /* it was copied */
  open_keeper(&b, &g, (mcq_socket_options_t){.type = MCQ_PUSH});
  open_keeper(&c, &g, (mcq_socket_options_t){.type = MCQ_PULL, .name = ""});
  assert_string_equal(mcq_socket_name(a.fan.p.s), "orders");
  assert_string_equal(mcq_socket_name(b.fan.p.s), "2");
  assert_string_equal(mcq_socket_name(c.fan.p.s), "");
  stage_close(&g);
}

/* ---- all of them --------------------------------------------------------- */

#define SCENE(name) \
  { #name, name }

static const scene_t scenes[] = {
    SCENE(both_ends_count_the_same),
    SCENE(envelopes_travel),
    SCENE(what_is_thrown_away_was_not_received),
    SCENE(subscriptions_are_no_messages),
    SCENE(a_turn_has_a_budget_for_it),
    SCENE(every_handshake_has_an_end),
    SCENE(a_queue_tells_its_height),
    SCENE(figures_outlive_connections),
    SCENE(its_connection_was_lost),
    SCENE(it_was_closed_here),
    SCENE(its_peer_was_slow),
    SCENE(it_was_dropped),
    SCENE(there_was_no_memory_for_it),
    SCENE(it_went_to_another),
    SCENE(there_was_nothing_to_send),
    SCENE(pings_and_their_answers),
    SCENE(a_context_forgets_nothing),
    SCENE(structs_may_differ),
    SCENE(names_and_numbers),
};

static void on_libuv(void** state) {
  (void) state;
  play_scenes(scenes, sizeof scenes / sizeof *scenes, MCQ_BACKEND_UV);
}

static void on_io_uring(void** state) {
  (void) state;
  if (!backend_is_here(MCQ_BACKEND_URING)) skip();
  play_scenes(scenes, sizeof scenes / sizeof *scenes, MCQ_BACKEND_URING);
}

/* Where malloc tells what it gave, memory is known in bytes. */
static void memory_of_the_system(void** state) {
  (void) state;
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_msg_t* msg;
  mcq_ctx_stats_t before, during, after;
  /* More than the pool keeps for another. */
  mcq_frame_t frame = {NULL, (size_t) 17 << 20};
  void* bytes = calloc(1, frame.len);
  assert_non_null(bytes);
  frame.data = bytes;
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(mcq_ctx_new(&loop, NULL, &ctx), 0);
  mcq_ctx_stats(ctx, &before);
  assert_int_equal(mcq_msg_new(ctx, &frame, 1, &msg), 0);
  mcq_ctx_stats(ctx, &during);
  mcq_msg_release(msg);
  mcq_ctx_stats(ctx, &after);
  free(bytes);
  assert_true(during.memory_blocks > before.memory_blocks);
  assert_true(during.memory_allocations > before.memory_allocations);
#ifdef MCQ_HAVE_USABLE_SIZE
  assert_true(before.memory_bytes > 0);
  assert_true(during.memory_bytes >= before.memory_bytes + frame.len);
#else
  assert_int_equal(during.memory_bytes, 0);
#endif
  assert_int_equal(after.memory_bytes, before.memory_bytes);
  assert_int_equal(after.memory_blocks, before.memory_blocks);
  mcq_ctx_close(ctx, NULL);
  (void) uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(on_libuv),
      cmocka_unit_test(on_io_uring),
      cmocka_unit_test(memory_of_the_system),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
