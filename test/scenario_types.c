/* SPDX-License-Identifier: MIT */
/* The table of socket types, at every place (support/place.h): those that fit
 * exchange messages in the way of their types, one hub with one, two and two
 * hundred peers, whoever binds and whoever connects; all others are refused,
 * once and for good.  A STREAM, which says nothing of itself, is shown out of
 * every handshake.  What a type does beyond that is told in the tests of that
 * type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "monocoque.h"
#include "support/place.h"

#define MANY 200
#define EACH 9 /* messages a peer says or hears */

/* ---- those that fit ------------------------------------------------------ */

/* Who speaks, who hears and, where `echoes`, answers.  The frames before the
 * message itself: those that the speaker puts there and gets back, and those
 * that the hearer finds there. */
typedef struct row {
  int speaker;
  int hearer;
  bool echoes;
  size_t speaker_head;
  size_t hearer_head;
} row_t;

static const row_t rows[] = {
    {MCQ_PUB, MCQ_SUB, false, 0, 0},      {MCQ_PUB, MCQ_XSUB, false, 0, 0},
    {MCQ_XPUB, MCQ_SUB, false, 0, 0},     {MCQ_XPUB, MCQ_XSUB, false, 0, 0},
    {MCQ_PUSH, MCQ_PULL, false, 0, 0},    {MCQ_REQ, MCQ_REP, true, 0, 0},
    {MCQ_REQ, MCQ_ROUTER, true, 0, 1},    {MCQ_DEALER, MCQ_REP, true, 1, 0},
    {MCQ_DEALER, MCQ_ROUTER, true, 0, 0}, {MCQ_ROUTER, MCQ_DEALER, true, 0, 0},
    {MCQ_DEALER, MCQ_DEALER, true, 0, 0}, {MCQ_ROUTER, MCQ_ROUTER, true, 0, 0},
    {MCQ_PAIR, MCQ_PAIR, true, 0, 0},     {MCQ_STREAM, MCQ_STREAM, true, 0, 0},
};
#define ROWS (sizeof rows / sizeof *rows)

enum { HUB_BINDS, HUB_CONNECTS, MIXED };
static const char* const manners[] = {"bound to", "connecting", "both"};

/* A connection as one side sees it. */
typedef struct line {
  mcq_peer_t peer;
  bool live;
  bool begun; /* a message has come */
  unsigned from;
  unsigned next; /* no earlier one may come */
  unsigned heard;
  size_t bytes; /* STREAM: of what was said that have come back */
} line_t;

typedef struct player {
  mcq_socket_t* s;
  line_t* lines;
  unsigned number; /* 0: the hub */
  unsigned most;   /* lines it will have */
  unsigned ups, downs;
  unsigned said; /* REQ: questions */
  bool speaks;
} player_t;

typedef struct stage {
  ground_t ground;
  const row_t* row;
  unsigned peers;
  player_t players[1 + MANY];
  line_t hub_lines[MANY];
  line_t peer_lines[MANY];
  unsigned ups, subscribed;
  unsigned heard[2]; /* by hearers; by speakers */
  bool begun;
} stage_t;

static stage_t* of(const mcq_socket_t* s) {
  return (stage_t*) mcq_ctx_data(mcq_socket_ctx(s));
}

static player_t* player(const mcq_socket_t* s) {
  return (player_t*) mcq_socket_data(s);
}

static bool is_publisher(int type) {
  return type == MCQ_PUB || type == MCQ_XPUB;
}

/* Messages have no ends: what was said comes back byte by byte. */
static bool is_plain(const stage_t* g) {
  return g->row->speaker == MCQ_STREAM;
}

/* ---- messages ------------------------------------------------------------ */

#define FRAMES_MAX 8
#define KEY_MAX 24

/* The q-th message of a player behind `head` empty frames: alone, with others,
 * before and behind empty ones. */
static size_t compose(unsigned from, unsigned q, size_t head, char key[KEY_MAX],
                      mcq_frame_t* out) {
  size_t count = 0;
  mcq_frame_t empty = {"", 0};
  mcq_frame_t word = {key, (size_t) snprintf(key, KEY_MAX, "%u.%u", from, q)};
  while (count < head) out[count++] = empty;
  if (q % 4 == 2) out[count++] = empty;
  out[count++] = word;
  if (q % 4 == 1 || q % 4 == 3) out[count++] = empty;
  if (q % 4 == 1) out[count++] = (mcq_frame_t){"tail", 4};
  return count;
}

static void check_frames(const mcq_msg_t* msg, unsigned from, unsigned q,
                         size_t head) {
  char key[KEY_MAX];
  mcq_frame_t frames[FRAMES_MAX];
  size_t count = compose(from, q, head, key, frames);
  assert_int_equal(mcq_msg_count(msg), count);
  for (size_t i = 0; i < count; i++) {
    mcq_frame_t have = mcq_msg_frame(msg, i);
    assert_int_equal(have.len, frames[i].len);
    if (have.len != 0) assert_memory_equal(have.data, frames[i].data, have.len);
  }
}

/* Whose message it is, and which. */
static void read_key(const mcq_msg_t* msg, unsigned* from, unsigned* q) {
  char key[KEY_MAX] = "";
  size_t i = 0;
  while (i < mcq_msg_count(msg) && mcq_msg_frame(msg, i).len == 0) i++;
  mcq_frame_t frame = mcq_msg_frame(msg, i);
  assert_in_range(frame.len, 3, KEY_MAX - 1);
  memcpy(key, frame.data, frame.len);
  assert_int_equal(sscanf(key, "%u.%u", from, q), 2);
}

/* ---- speaking ------------------------------------------------------------ */

static void say(stage_t* g, player_t* p, const line_t* to, unsigned q) {
  char key[KEY_MAX];
  mcq_frame_t frames[FRAMES_MAX];
  size_t count = compose(p->number, q, g->row->speaker_head, key, frames);
  int rc = to == NULL ? mcq_send(p->s, frames, count)
                      : mcq_send_to(p->s, to->peer, frames, count);
  assert_int_equal(rc, 0);
}

/* A hub that has to do with one peer at a time says as much as all its peers
 * are to hear. */
static unsigned to_say(const stage_t* g, const player_t* p) {
  return is_publisher(g->row->speaker) ? EACH : EACH * p->most;
}

static void speak(stage_t* g, player_t* p) {
  if (g->row->speaker == MCQ_REQ) {
    say(g, p, NULL, p->said++);
    return;
  }
  if (g->row->speaker != MCQ_ROUTER && !is_plain(g)) {
    for (unsigned q = 0; q < to_say(g, p); q++) say(g, p, NULL, q);
    return;
  }
  for (unsigned i = 0; i < p->most; i++)
    for (unsigned q = 0; q < EACH; q++) say(g, p, &p->lines[i], q);
}

/* Everybody is there, and everybody who has to knows what is wanted. */
static void begin(stage_t* g) {
  if (g->begun || g->ups != 2 * g->peers) return;
  if (is_publisher(g->row->speaker) && g->subscribed != g->peers) return;
  g->begun = true;
  for (unsigned i = 0; i <= g->peers; i++)
    if (g->players[i].speaks) speak(g, &g->players[i]);
}

/* ---- hearing ------------------------------------------------------------- */

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  player_t* p = player(s);
  assert_true(p->ups < p->most);
  line_t* line = &p->lines[p->ups++];
  assert_false(line->live);
  line->live = true;
  line->peer = info->peer;
  int other = p->speaks ? g->row->hearer : g->row->speaker;
  assert_string_equal(info->socket_type,
                      is_plain(g) ? "" : mcq_type_name(other));
  assert_int_equal(mcq_peer_set_data(s, info->peer, line), 0);
  g->ups++;
  begin(g);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  line_t* line = (line_t*) info->data;
  assert_true(line->live);
  line->live = false;
  player(s)->downs++;
  assert_int_equal(info->lost_messages, 0);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  stage_t* g = of(s);
  assert_true(e->kind != MCQ_EVENT_HANDSHAKE_FAILED &&
              e->kind != MCQ_EVENT_CONNECT_FAILED &&
              e->kind != MCQ_EVENT_STOPPED && e->kind != MCQ_EVENT_DROPPED);
  if (e->kind != MCQ_EVENT_SUBSCRIBED || !is_publisher(mcq_socket_type(s)))
    return;
  g->subscribed++;
  begin(g);
}

/* A line carries the messages of one speaker, in their order, and answers in
 * the order of the questions. */
static void check_order(line_t* line, unsigned from, unsigned q) {
  assert_true(line->live);
  if (line->begun) assert_int_equal(from, line->from);
  line->begun = true;
  line->from = from;
  assert_true(q >= line->next);
  line->next = q + 1;
  line->heard++;
}

/* All that a player says on a line, as bytes. */
static size_t script(unsigned from, char out[EACH * KEY_MAX * 2]) {
  char key[KEY_MAX];
  mcq_frame_t frames[FRAMES_MAX];
  size_t len = 0;
  for (unsigned q = 0; q < EACH; q++) {
    size_t count = compose(from, q, 0, key, frames);
    for (size_t i = 0; i < count; i++) {
      memcpy(out + len, frames[i].data, frames[i].len);
      len += frames[i].len;
    }
  }
  return len;
}

/* A piece of the echo. */
static void hear_bytes(stage_t* g, const player_t* p, line_t* line,
                       const mcq_msg_t* msg) {
  char said[EACH * KEY_MAX * 2];
  size_t len = script(p->number, said);
  mcq_frame_t piece = mcq_msg_frame(msg, 0);
  assert_int_equal(mcq_msg_count(msg), 1);
  assert_in_range(piece.len, 1, len - line->bytes);
  assert_memory_equal(piece.data, said + line->bytes, piece.len);
  line->bytes += piece.len;
  if (line->bytes < len) return;
  line->heard = EACH;
  g->heard[1] += EACH;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  player_t* p = player(s);
  mcq_peer_info_t info;
  unsigned from, q;
  if (is_publisher(mcq_socket_type(s))) return; /* XPUB: a subscription */
  assert_int_equal(mcq_peer_info(s, peer, &info), 0);
  if (is_plain(g)) {
    if (p->speaks)
      hear_bytes(g, p, (line_t*) info.data, msg);
    else
      assert_int_equal(mcq_send_msg_to(s, peer, msg), 0);
    return;
  }
  read_key(msg, &from, &q);
  check_frames(msg, from, q,
               p->speaks ? g->row->speaker_head : g->row->hearer_head);
  check_order((line_t*) info.data, from, q);
  g->heard[p->speaks]++;
  if (p->speaks) {
    assert_int_equal(from, p->number);
    if (g->row->speaker == MCQ_REQ && p->said < to_say(g, p)) speak(g, p);
  } else if (g->row->echoes) {
    int rc = g->row->hearer == MCQ_REP ? mcq_send_msg(s, msg)
                                       : mcq_send_msg_to(s, peer, msg);
    assert_int_equal(rc, 0);
  }
}

/* ---- a play -------------------------------------------------------------- */

static void make(stage_t* g, unsigned number, bool speaks) {
  player_t* p = &g->players[number];
  mcq_socket_options_t o = {
      .type = speaks ? g->row->speaker : g->row->hearer,
      .data = p,
      .sndhwm = -1,
      .on_peer_up = on_up,
      .on_peer_down = on_down,
      .on_message = on_message,
      .on_event = on_event,
  };
  p->number = number;
  p->speaks = speaks;
  p->most = number == 0 ? g->peers : 1;
  p->lines = number == 0 ? g->hub_lines : &g->peer_lines[number - 1];
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &o, &p->s), 0);
  if (!speaks && is_publisher(g->row->speaker))
    assert_int_equal(mcq_subscribe(p->s, "", 0), 0);
}

static const char* bind_player(stage_t* g, player_t* p) {
  char uri[PLACE_URI_MAX];
  mcq_endpoint_t at;
  assert_int_equal(
      mcq_bind(p->s, place_uri(g->ground.place, p->number, uri), &at), 0);
  return mcq_endpoint_uri(p->s, at);
}

static void connect_all(stage_t* g, int manner) {
  const char* hub = NULL;
  if (manner != HUB_CONNECTS) hub = bind_player(g, &g->players[0]);
  for (unsigned i = 1; i <= g->peers; i++) {
    player_t* p = &g->players[i];
    bool comes = manner == HUB_BINDS || (manner == MIXED && i % 2 == 1);
    mcq_socket_t* from = comes ? p->s : g->players[0].s;
    const char* to = comes ? hub : bind_player(g, p);
    assert_int_equal(mcq_connect(from, to, NULL, NULL), 0);
  }
}

static void check_lines(const stage_t* g, const player_t* p) {
  unsigned each = p->speaks && !g->row->echoes ? 0 : EACH;
  if (is_plain(g) && !p->speaks) return; /* who only hands on what it hears */
  for (unsigned i = 0; i < p->most; i++)
    assert_int_equal(p->lines[i].heard, each);
}

static bool all_heard(const stage_t* g) {
  unsigned all = EACH * g->peers;
  return (is_plain(g) || g->heard[0] == all) &&
         g->heard[1] == (g->row->echoes ? all : 0);
}

static void play(const place_t* place, const row_t* row, bool hub_speaks,
                 unsigned peers, int manner) {
  static stage_t g;
  memset(&g, 0, sizeof g);
  ground_open(&g.ground, place);
  g.row = row;
  g.peers = peers;
  for (unsigned i = 0; i <= peers; i++) make(&g, i, hub_speaks == (i == 0));
  connect_all(&g, manner);
  ground_until(&g.ground, all_heard(&g));
  for (int i = 0; i < 3; i++) (void) uv_run(&g.ground.loop, UV_RUN_NOWAIT);
  assert_true(all_heard(&g)); /* and nothing more */
  for (unsigned i = 0; i <= peers; i++) check_lines(&g, &g.players[i]);
  ground_finish(&g.ground);
  ground_run(&g.ground);
  for (unsigned i = 0; i <= peers; i++) {
    assert_int_equal(g.players[i].ups, g.players[i].most);
    assert_int_equal(g.players[i].downs, g.players[i].most);
  }
}

/* Says what is played, so that one who fails is known. */
static void announce(const row_t* row, bool hub_speaks, unsigned peers,
                     int manner) {
  int hub = hub_speaks ? row->speaker : row->hearer;
  int peer = hub_speaks ? row->hearer : row->speaker;
  if (getenv("MCQ_TEST_LOUD") != NULL)
    print_message("  %s, %u %s, %s\n", mcq_type_name(hub), peers,
                  mcq_type_name(peer), manners[manner]);
}

static void play_rows(const place_t* place, unsigned peers, int first,
                      int last) {
  for (size_t i = 0; i < ROWS; i++) {
    if (rows[i].speaker == MCQ_PAIR && peers > 1) continue;
    for (int manner = first; manner <= last; manner++)
      for (int hub_speaks = 0; hub_speaks < 2; hub_speaks++) {
        announce(&rows[i], hub_speaks != 0, peers, manner);
        play(place, &rows[i], hub_speaks != 0, peers, manner);
      }
  }
}

static void those_that_fit_talk(void** state) {
  const place_t* place = (const place_t*) *state;
  if (!place_is_here(place)) skip();
  play_rows(place, 1, HUB_BINDS, MIXED);
  play_rows(place, 2, HUB_BINDS, MIXED);
}

/* Where two hundred come, and in which manners: every transport on every way
 * of moving bytes. */
typedef struct crowd {
  const char* place;
  int first, last;
} crowd_t;

static const crowd_t crowds[] = {
    {"tcp, uv", MIXED, MIXED},
    {"tcp, uring", MIXED, MIXED},
    {"ipc, uv", MIXED, MIXED},
    {"ipc, uring", MIXED, MIXED},
    {"inproc, uv", HUB_BINDS, MIXED},
    {"inproc, uring", MIXED, MIXED},
    {"inproc, two contexts", HUB_BINDS, MIXED},
    {"simulated, polling", HUB_CONNECTS, HUB_CONNECTS},
    {"simulated, as a ring", MIXED, MIXED},
};
#define CROWDS (sizeof crowds / sizeof *crowds)

/* Files are dear, so names without one are taken instead. */
static place_t crowded(const place_t* place) {
  static char names[PLACE_URI_MAX];
  place_t p = *place;
  if (strncmp(p.uri, "ipc://", 6) != 0) return p;
  snprintf(names, sizeof names, "ipc://@mcq-crowd-%d-%%u", (int) getpid());
  p.uri = names;
  return p;
}

static void two_hundred_talk(void** state) {
  const crowd_t* crowd = (const crowd_t*) *state;
  const place_t* place = place_find(crowd->place);
  assert_non_null(place);
  if (!place_is_here(place)) skip();
  place_t here = crowded(place);
  play_rows(&here, MANY, crowd->first, crowd->last);
}

/* ---- all others ---------------------------------------------------------- */

#define TYPES 11

/* By the numbers of the types: PAIR, PUB, SUB, REQ, REP, DEALER, ROUTER, PULL,
 * PUSH, XPUB, XSUB. */
static const char* const fits[TYPES] = {
    "1..........", /* PAIR */
    "..1.......1", /* PUB */
    ".1.......1.", /* SUB */
    "....1.1....", /* REQ */
    "...1.1.....", /* REP */
    "....111....", /* DEALER */
    "...1.11....", /* ROUTER */
    "........1..", /* PULL */
    ".......1...", /* PUSH */
    "..1.......1", /* XPUB */
    ".1.......1.", /* XSUB */
};

/* One of two that meet. */
typedef struct party {
  mcq_socket_t* s;
  unsigned told[MCQ_EVENT_REFUSED + 1];
  unsigned ups, downs, messages;
  int code;
  bool has_text;
  uint64_t failed_at; /* on the simulated network, the first time */
  char wrote[512];    /* to the simulated network, the first bytes */
  size_t wrote_len;
} party_t;

typedef struct meeting {
  ground_t ground;
  party_t parties[2]; /* who binds; who connects */
  uint64_t began_at;
} meeting_t;

static party_t* party(const mcq_socket_t* s) {
  return (party_t*) mcq_socket_data(s);
}

static void on_party_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  party(s)->ups++;
}

static void on_party_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  party(s)->downs++;
}

static void on_party_event(mcq_socket_t* s, const mcq_event_t* e) {
  party_t* p = party(s);
  const ground_t* g = (const ground_t*) mcq_ctx_data(mcq_socket_ctx(s));
  p->told[e->kind]++;
  if (e->kind != MCQ_EVENT_HANDSHAKE_FAILED) return;
  if (p->told[e->kind] == 1) p->failed_at = g->net.now;
  p->code = e->code;
  p->has_text = e->text[0] != '\0';
}

/* Side 0 of a connection dialed. */
static void on_taken(sim_end_t* end, const uint8_t* data, size_t len) {
  sim_conn_t* conn = end->conn;
  meeting_t* m = (meeting_t*) conn->net->user;
  party_t* p = &m->parties[end == &conn->end[0]];
  if (len > sizeof p->wrote - p->wrote_len)
    len = sizeof p->wrote - p->wrote_len;
  memcpy(p->wrote + p->wrote_len, data, len);
  p->wrote_len += len;
}

static bool said_why(const party_t* p) {
  static const char why[] = "\5ERROR\37Invalid socket type combination";
  return memmem(p->wrote, p->wrote_len, why, sizeof why - 1) != NULL;
}

static void arrive(meeting_t* m, unsigned i, int type) {
  mcq_socket_options_t o = {.type = type,
                            .data = &m->parties[i],
                            .on_peer_up = on_party_up,
                            .on_peer_down = on_party_down,
                            .on_event = on_party_event,
                            .reconnect_ms = 1,
                            .reconnect_max_ms = 1};
  assert_int_equal(mcq_socket_new(ground_ctx(&m->ground), &o, &m->parties[i].s),
                   0);
}

/* A minute, where the clock is ours; elsewhere some turns. */
static void wait_long(ground_t* g) {
  uint64_t end = g->net.now + 60000;
  if (!g->place->sim) {
    for (int i = 0; i < 10; i++) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
    return;
  }
  while (g->net.now < end && sim_net_step(&g->net, &g->loop, &g->io, 1))
    continue;
  if (g->net.now < end) g->net.now = end;
  while (!sim_io_idle(g->io)) sim_net_step(&g->net, &g->loop, &g->io, 1);
}

/* They have met, or refused each other; who does not give up then is not
 * waited for. */
static bool decided(const meeting_t* m) {
  const party_t* a = &m->parties[0];
  const party_t* b = &m->parties[1];
  if (a->ups != 0 && b->ups != 0) return true;
  return a->told[MCQ_EVENT_HANDSHAKE_FAILED] != 0 &&
         b->told[MCQ_EVENT_HANDSHAKE_FAILED] != 0 &&
         (b->told[MCQ_EVENT_STOPPED] != 0 || b->told[MCQ_EVENT_CONNECTING] > 3);
}

static void check_refused(const meeting_t* m) {
  const party_t* a = &m->parties[0];
  const party_t* b = &m->parties[1];
  assert_int_equal(a->ups + b->ups, 0);
  assert_int_equal(a->told[MCQ_EVENT_HANDSHAKE_FAILED], 1);
  assert_int_equal(b->told[MCQ_EVENT_HANDSHAKE_FAILED], 1);
  assert_int_equal(a->told[MCQ_EVENT_ACCEPTED], 1);
  assert_int_equal(b->told[MCQ_EVENT_CONNECTING], 1);
  assert_int_equal(b->told[MCQ_EVENT_RETRY], 0);
  assert_int_equal(b->told[MCQ_EVENT_STOPPED], 1);
  assert_true(a->code == MCQ_ETYPE || a->code == MCQ_EREFUSED);
  assert_true(b->code == MCQ_ETYPE || b->code == MCQ_EREFUSED);
  assert_true(a->code == MCQ_ETYPE || b->code == MCQ_ETYPE);
  assert_true(a->has_text && b->has_text);
  if (!m->ground.place->sim) return;
  assert_in_range(a->failed_at, m->began_at, m->began_at + 1000);
  assert_in_range(b->failed_at, m->began_at, m->began_at + 1000);
  assert_int_equal(said_why(a), a->code == MCQ_ETYPE);
  assert_int_equal(said_why(b), b->code == MCQ_ETYPE);
}

static void check_accepted(const meeting_t* m) {
  for (int i = 0; i < 2; i++) {
    const party_t* p = &m->parties[i];
    assert_int_equal(p->ups, 1);
    assert_int_equal(p->told[MCQ_EVENT_HANDSHAKE_OK], 1);
    assert_int_equal(p->told[MCQ_EVENT_HANDSHAKE_FAILED], 0);
    assert_int_equal(p->told[MCQ_EVENT_STOPPED], 0);
    if (m->ground.place->sim) assert_false(said_why(p));
  }
}

static void meet(const place_t* place, int binder, int connecter) {
  static meeting_t m;
  char uri[PLACE_URI_MAX];
  mcq_endpoint_t at;
  memset(&m, 0, sizeof m);
  ground_open(&m.ground, place);
  m.began_at = m.ground.net.now;
  m.ground.net.user = &m;
  m.ground.net.on_taken = on_taken;
  arrive(&m, 0, binder);
  arrive(&m, 1, connecter);
  const party_t* a = &m.parties[0];
  const party_t* b = &m.parties[1];
  assert_int_equal(mcq_bind(a->s, place_uri(place, 0, uri), &at), 0);
  assert_int_equal(mcq_connect(b->s, mcq_endpoint_uri(a->s, at), NULL, NULL),
                   0);
  ground_until(&m.ground, decided(&m));
  wait_long(&m.ground);
  if (fits[binder][connecter] == '1')
    check_accepted(&m);
  else
    check_refused(&m);
  ground_finish(&m.ground);
  ground_run(&m.ground);
  assert_int_equal(a->downs, a->ups);
  assert_int_equal(b->downs, b->ups);
}

static void all_types_meet(void** state) {
  const place_t* place = (const place_t*) *state;
  if (!place_is_here(place)) skip();
  for (int a = 0; a < TYPES; a++)
    for (int b = 0; b < TYPES; b++) meet(place, a, b);
}

/* ---- a STREAM at the door ------------------------------------------------ */

/* Whoever speaks ZMTP and somebody who fits, one of whom connects to the
 * other; and a STREAM, on the same side of the first. */
typedef struct doorstep {
  ground_t ground;
  party_t host, guest, stream;
  bool talks; /* the STREAM says something at once */
  bool heard; /* it was greeted */
  uint64_t began_at;
} doorstep_t;

static void on_stream_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  static const char words[] = "GET / HTTP/1.1\r\nHost: example\r\n\r\n";
  const doorstep_t* d = (const doorstep_t*) mcq_ctx_data(mcq_socket_ctx(s));
  mcq_frame_t frame = {words, sizeof words - 1};
  party(s)->ups++;
  if (d->talks) assert_int_equal(mcq_send_to(s, info->peer, &frame, 1), 0);
}

/* A greeting, of which only the first byte is of interest here. */
static void on_stream_bytes(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  doorstep_t* d = (doorstep_t*) mcq_ctx_data(mcq_socket_ctx(s));
  (void) peer;
  if (party(s)->messages++ > 0) return;
  assert_int_equal(*(const uint8_t*) mcq_msg_frame(msg, 0).data, 0xff);
  d->heard = true;
}

static void on_party_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  party(s)->messages++;
}

static void come(doorstep_t* d, party_t* p, int type) {
  mcq_socket_options_t o = {.type = type,
                            .data = p,
                            .on_peer_up = on_party_up,
                            .on_peer_down = on_party_down,
                            .on_message = on_party_message,
                            .on_event = on_party_event};
  if (type == MCQ_STREAM) {
    o.on_peer_up = on_stream_up;
    o.on_message = on_stream_bytes;
  }
  assert_int_equal(mcq_socket_new(d->ground.ctx, &o, &p->s), 0);
}

static int mate_of(int type) {
  return (int) (strchr(fits[type], '1') - fits[type]);
}

static void link_parties(const doorstep_t* d, const party_t* binder,
                         unsigned number, const party_t* first,
                         const party_t* second) {
  char uri[PLACE_URI_MAX];
  mcq_endpoint_t at;
  const place_t* place = d->ground.place;
  assert_int_equal(mcq_bind(binder->s, place_uri(place, number, uri), &at), 0);
  const char* to = mcq_endpoint_uri(binder->s, at);
  assert_int_equal(mcq_connect(first->s, to, NULL, NULL), 0);
  if (second != NULL)
    assert_int_equal(mcq_connect(second->s, to, NULL, NULL), 0);
}

/* All that follows the first failure is more of the same. */
static bool shown_out(const doorstep_t* d) {
  return d->host.told[MCQ_EVENT_HANDSHAKE_FAILED] != 0 &&
         d->stream.downs != 0 && d->host.ups != 0 && d->guest.ups != 0;
}

/* Who fits is served all the time. */
static void check_served(const doorstep_t* d) {
  assert_int_equal(d->host.ups, 1);
  assert_int_equal(d->host.downs, 0);
  assert_int_equal(d->host.messages, 0);
  assert_int_equal(d->guest.ups, 1);
  assert_int_equal(d->guest.downs, 0);
  assert_int_equal(d->guest.told[MCQ_EVENT_HANDSHAKE_FAILED], 0);
}

/* In a minute: ten seconds of silence each, or ever longer waits. */
static void check_shown_out(const doorstep_t* d, unsigned attempts) {
  unsigned failed = d->host.told[MCQ_EVENT_HANDSHAKE_FAILED];
  uint64_t after = d->host.failed_at - d->began_at;
  assert_int_equal(d->host.code, d->talks ? MCQ_EGREETING : MCQ_EHANDSHAKE);
  assert_true(d->host.has_text);
  assert_true(d->heard || d->talks);
  assert_int_equal(d->host.told[MCQ_EVENT_STOPPED], 0);
  assert_int_equal(d->stream.told[MCQ_EVENT_HANDSHAKE_FAILED], 0);
  assert_true(failed == attempts || failed + 1 == attempts);
  if (!d->ground.place->sim) return;
  assert_in_range(after, d->talks ? 0 : 10000, d->talks ? 1000 : 11000);
  assert_in_range(attempts, 5, 12);
  assert_in_range(d->stream.ups, attempts - 1, attempts);
  assert_in_range(d->stream.downs, d->stream.ups - 1, d->stream.ups);
}

static void knock(const place_t* place, int type, bool stream_binds,
                  bool talks) {
  static doorstep_t d;
  memset(&d, 0, sizeof d);
  ground_open(&d.ground, place);
  d.talks = talks;
  d.began_at = d.ground.net.now;
  come(&d, &d.host, type);
  come(&d, &d.guest, mate_of(type));
  come(&d, &d.stream, MCQ_STREAM);
  if (stream_binds) {
    link_parties(&d, &d.stream, 0, &d.host, NULL);
    link_parties(&d, &d.guest, 1, &d.host, NULL);
  } else {
    link_parties(&d, &d.host, 0, &d.stream, &d.guest);
  }
  ground_until(&d.ground, shown_out(&d));
  check_served(&d);
  wait_long(&d.ground);
  check_served(&d);
  /* One attempt of the host's was to its guest. */
  check_shown_out(&d, stream_binds ? d.host.told[MCQ_EVENT_CONNECTING] - 1
                                   : d.stream.told[MCQ_EVENT_CONNECTING]);
  ground_finish(&d.ground);
  ground_run(&d.ground);
  assert_int_equal(d.stream.ups, d.stream.downs);
}

static void streams_are_shown_out(void** state) {
  const place_t* place = (const place_t*) *state;
  if (!place_is_here(place)) skip();
  for (int type = 0; type < TYPES; type++)
    for (int binds = 0; binds < 2; binds++) {
      knock(place, type, binds != 0, true);
      if (place->sim) knock(place, type, binds != 0, false);
    }
}

/* ---- main ---------------------------------------------------------------- */

#define TESTS (3 * PLACES + CROWDS)

static struct CMUnitTest test_of(const char* what, const char* place,
                                 CMUnitTestFunction run, const void* state) {
  static char names[TESTS][80];
  static size_t count;
  snprintf(names[count], sizeof names[count], "%s: %s", what, place);
  return (struct CMUnitTest){.name = names[count++],
                             .test_func = run,
                             .initial_state = (void*) (uintptr_t) state};
}

int main(void) {
  struct CMUnitTest tests[TESTS];
  size_t n = 0;
  for (size_t i = 0; i < PLACES; i++)
    tests[n++] =
        test_of("all types meet", places[i].name, all_types_meet, &places[i]);
  for (size_t i = 0; i < PLACES; i++)
    tests[n++] = test_of("a STREAM is shown out", places[i].name,
                         streams_are_shown_out, &places[i]);
  for (size_t i = 0; i < PLACES; i++)
    tests[n++] = test_of("those that fit talk", places[i].name,
                         those_that_fit_talk, &places[i]);
  for (size_t i = 0; i < CROWDS; i++)
    tests[n++] = test_of("two hundred talk", crowds[i].place, two_hundred_talk,
                         &crowds[i]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
