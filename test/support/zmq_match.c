/* SPDX-License-Identifier: MIT */
/* Our process of a match (see zmq_match.h): one socket of ours in a loop that
 * must close with 0.  It counts what it sent to whom, so order is checked for
 * each peer by itself. */
#include "support/zmq_match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

typedef struct player {
  mcq_peer_t peer;
  char id[255];
  size_t id_len;
  unsigned* sent; /* numbers of the messages it got */
  unsigned count;
  unsigned heard;
} player_t;

typedef struct side {
  const match_t* match;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  unsigned total;
  unsigned sent, heard, downs;
  int ups;
  bool over;
  player_t players[PEERS_MAX];
} side_t;

static side_t* of(mcq_socket_t* s) {
  return (side_t*) mcq_socket_data(s);
}

static player_t* player_of(mcq_socket_t* s, mcq_peer_t peer) {
  mcq_peer_info_t info;
  assert_int_equal(mcq_peer_info(s, peer, &info), 0);
  return (player_t*) info.data;
}

static void finish(side_t* side) {
  side->over = true;
  mcq_ctx_close(side->ctx, NULL);
}

/* ---- driving ------------------------------------------------------------- */

/* A ROUTER of ours sends by name and by handle in turns. */
static int send_to_player(side_t* side, player_t* p, const parts_t* parts) {
  if (side->sent % 2 == 0)
    return mcq_send_to(side->socket, p->peer, parts->frames, parts->count);
  mcq_frame_t named[PARTS_MAX + 1] = {{p->id, p->id_len}};
  memcpy(named + 1, parts->frames, parts->count * sizeof *named);
  return mcq_send(side->socket, named, parts->count + 1);
}

static int send_number(side_t* side, player_t** to) {
  const match_t* m = side->match;
  mcq_frame_t enveloped[PARTS_MAX + 1] = {{"", 0}};
  mcq_peer_t peer;
  parts_t parts;
  parts_of(m->plan, side->sent, &parts);
  *to = &side->players[side->sent % (unsigned) m->peers];
  if (m->ours == MCQ_ROUTER) return send_to_player(side, *to, &parts);
  memcpy(enveloped + 1, parts.frames, parts.count * sizeof *enveloped);
  int rc = m->theirs == ZMQ_REP
               ? mcq_send_next(side->socket, enveloped, parts.count + 1, &peer)
               : mcq_send_next(side->socket, parts.frames, parts.count, &peer);
  if (rc == 0 && m->peers > 1) *to = player_of(side->socket, peer);
  return rc;
}

/* A REQ as we see it starts with an empty frame and so does what a REP gives;
 * everybody else's messages are as they were sent. */
static void drive(mcq_socket_t* s) {
  side_t* side = of(s);
  while (side->sent < side->total) {
    player_t* to;
    int rc = send_number(side, &to);
    if (rc == MCQ_EAGAIN) return;
    assert_int_equal(rc, 0);
    to->sent[to->count++] = side->sent++;
  }
}

static void check(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = of(s);
  player_t* p = player_of(s, peer);
  parts_t parts;
  assert_true(p->heard < p->count);
  parts_of(side->match->plan, p->sent[p->heard++], &parts);
  size_t at = side->match->theirs == ZMQ_REP ? 1 : 0;
  assert_int_equal(mcq_msg_count(msg), parts.count + at);
  assert_int_equal(at * mcq_msg_frame(msg, 0).len, 0);
  for (size_t i = 0; i < parts.count; i++) {
    mcq_frame_t frame = mcq_msg_frame(msg, i + at);
    assert_int_equal(frame.len, parts.frames[i].len);
    if (frame.len != 0 &&
        memcmp(frame.data, parts.frames[i].data, frame.len) != 0)
      fail_msg("frame %zu of %zu bytes came back changed", i, frame.len);
  }
  if (++side->heard == side->total) finish(side);
}

/* Nobody was ever full, so everybody had the same number of turns. */
static void check_turns(const side_t* side) {
  const match_t* m = side->match;
  if (m->messages > 500) return;
  for (int k = 0; k < m->peers; k++)
    assert_int_equal(side->players[k].count, m->messages);
}

/* ---- echoing ------------------------------------------------------------- */

static void echo(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  assert_int_equal(mcq_send_msg_to(s, peer, msg), 0);
  of(s)->heard++;
}

/* ---- both ---------------------------------------------------------------- */

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  assert_true(side->ups < side->match->peers);
  player_t* p = &side->players[side->ups++];
  p->peer = info->peer;
  p->id_len = info->routing_id_len;
  if (p->id_len != 0) memcpy(p->id, info->routing_id, p->id_len);
  assert_int_equal(mcq_peer_set_data(s, info->peer, p), 0);
  assert_int_equal(info->version_major, 3);
  assert_string_equal(info->mechanism, "NULL");
  if (side->match->we_drive && side->ups == side->match->peers) drive(s);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  assert_int_equal(info->lost_messages, 0);
  if (side->over) return;
  if (side->match->we_drive)
    fail_msg("a peer left: %s", mcq_strerror(info->reason));
  /* Whoever drives leaves when it has everything; one that left before is
   * found out by the count of what was heard and by its exit status. */
  if (++side->downs == (unsigned) side->match->peers) finish(side);
}

static void open_side(side_t* side, uv_loop_t* loop, int backend) {
  const match_t* m = side->match;
  bool pair = m->ours == MCQ_PAIR;
  mcq_ctx_options_t seat = {.backend = backend};
  mcq_socket_options_t o = {
      .type = m->ours,
      .data = side,
      .routing_id = pair ? NULL : "ours",
      .routing_id_len = pair ? 0 : 4,
      .on_message = m->we_drive ? check : echo,
      .on_drain = m->we_drive ? drive : NULL,
      .on_peer_up = on_up,
      .on_peer_down = on_down,
      .max_message_size = m->no_limit ? -1 : 0,
  };
  assert_int_equal(mcq_ctx_new(loop, &seat, &side->ctx), 0);
  assert_int_equal(mcq_socket_new(side->ctx, &o, &side->socket), 0);
}

/* With one peer of its own a socket that queues need not wait for it. */
static bool may_begin(const match_t* m) {
  return m->we_drive && m->peers == 1 && !m->we_bind && m->ours != MCQ_ROUTER;
}

static void our_side(const match_t* m, const venue_t* venue, const duo_t* duo) {
  uv_loop_t loop;
  side_t* side = (side_t*) calloc(1, sizeof *side);
  assert_non_null(side);
  side->match = m;
  side->total = m->messages * (unsigned) m->peers;
  for (int k = 0; k < m->peers; k++) {
    side->players[k].sent = (unsigned*) calloc(side->total, sizeof(unsigned));
    assert_non_null(side->players[k].sent);
  }
  uv_loop_init(&loop);
  open_side(side, &loop, venue->backend);
  venue_join(venue, duo, side->socket, side->match->we_bind,
             (unsigned) side->match->peers);
  if (may_begin(m)) drive(side->socket);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  unsigned hellos = m->theirs == ZMQ_ROUTER && !m->we_drive ? 1 : 0;
  assert_int_equal(side->heard, side->total + hellos * (unsigned) m->peers);
  assert_int_equal(side->ups, m->peers);
  if (m->we_drive) check_turns(side);
  for (int k = 0; k < m->peers; k++) free(side->players[k].sent);
  free(side);
}

void play(const match_t* m, const venue_t* venue) {
  static const char* const names[] = {"PAIR", "",       "",      "REQ",
                                      "REP",  "DEALER", "ROUTER"};
  meeting_t meeting = {m, venue};
  duo_t duo;
  print_message("  our %s %s and %s, %d x libzmq %s, %u messages each\n",
                mcq_type_name(m->ours), m->we_bind ? "binds" : "connects",
                m->we_drive ? "drives" : "echoes", m->peers, names[m->theirs],
                m->messages);
  duo_open(&duo, their_side, &meeting);
  our_side(m, venue, &duo);
  duo_close(&duo);
}
