/* SPDX-License-Identifier: MIT */
/* REQ, REP, PUSH and PULL against real libzmq in a process of its own: both
 * ways round, who binds and who connects, one peer and many.  The side that
 * asks checks every answer; the side that pulls checks what came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "support/zmq_venue.h"

#define PEERS_MAX 64
#define LARGEST ((size_t) 100000)

typedef struct match {
  int ours;
  int theirs;
  bool we_bind;
  unsigned peers;    /* libzmq sockets */
  unsigned messages; /* for each of them */
  int flags;         /* of ours */
  bool numbered;     /* ZMQ_REQ_CORRELATE at theirs */
  bool later;        /* our REP takes its requests and answers backwards */
} match_t;

typedef struct meeting {
  const match_t* match;
  const venue_t* venue;
} meeting_t;

static const match_t matches[] = {
    {MCQ_REQ, ZMQ_REP, true, 1, 1000, 0, false, false},
    {MCQ_REQ, ZMQ_REP, false, 1, 1000, 0, false, false},
    {MCQ_REQ, ZMQ_REP, false, 5, 200, MCQ_REQ_CORRELATE, false, false},
    {MCQ_REQ, ZMQ_REP, true, 50, 20, MCQ_REQ_CORRELATE, false, false},
    {MCQ_REQ, ZMQ_ROUTER, false, 2, 200, 0, false, false},
    {MCQ_REQ, ZMQ_ROUTER, true, 2, 200, MCQ_REQ_CORRELATE, false, false},
    {MCQ_REP, ZMQ_REQ, true, 1, 1000, 0, false, false},
    {MCQ_REP, ZMQ_REQ, false, 2, 500, 0, true, false},
    {MCQ_REP, ZMQ_REQ, true, 50, 20, 0, true, false},
    {MCQ_REP, ZMQ_REQ, true, 50, 20, 0, false, true},
    {MCQ_REP, ZMQ_DEALER, true, 3, 500, 0, false, false},
    {MCQ_REP, ZMQ_DEALER, false, 3, 500, 0, false, false},
    {MCQ_PUSH, ZMQ_PULL, true, 1, 20000, 0, false, false},
    {MCQ_PUSH, ZMQ_PULL, false, 3, 5000, 0, false, false},
    {MCQ_PUSH, ZMQ_PULL, true, 50, 200, 0, false, false},
    {MCQ_PULL, ZMQ_PUSH, true, 1, 20000, 0, false, false},
    {MCQ_PULL, ZMQ_PUSH, false, 3, 5000, 0, false, false},
    {MCQ_PULL, ZMQ_PUSH, true, 50, 200, 0, false, false},
};
#define MATCHES (sizeof matches / sizeof *matches)

static char body[LARGEST];

/* Sizes from nothing to beyond one read, most of them small. */
static size_t size_of(unsigned number) {
  return number % 97 == 96 ? LARGEST : number % 300;
}

/* ---- their side ---------------------------------------------------------- */

static void they_send(void* s, unsigned number) {
  MUST(zmq_send(s, &number, sizeof number, ZMQ_SNDMORE) == sizeof number);
  MUST(zmq_send(s, "", 0, ZMQ_SNDMORE) == 0);
  MUST(zmq_send(s, body, size_of(number), 0) == (int) size_of(number));
}

static unsigned they_hear(void* s) {
  static char in[LARGEST + 1];
  unsigned number;
  int more;
  size_t len = sizeof more;
  MUST(zmq_recv(s, &number, sizeof number, 0) == sizeof number);
  MUST(zmq_recv(s, in, sizeof in, 0) == 0);
  MUST(zmq_recv(s, in, sizeof in, 0) == (int) size_of(number));
  MUST(memcmp(in, body, size_of(number)) == 0);
  zmq_getsockopt(s, ZMQ_RCVMORE, &more, &len);
  MUST(!more);
  return number;
}

static void they_ask(const match_t* m, void** sockets) {
  bool dealer = m->theirs == ZMQ_DEALER;
  for (unsigned i = 0; i < m->messages; i++) {
    for (unsigned k = 0; k < m->peers; k++) {
      if (dealer) MUST(zmq_send(sockets[k], "hop", 3, ZMQ_SNDMORE) == 3);
      if (dealer) MUST(zmq_send(sockets[k], "", 0, ZMQ_SNDMORE) == 0);
      they_send(sockets[k], i + k);
    }
    for (unsigned k = 0; k < m->peers; k++) {
      char in[8];
      if (dealer) MUST(zmq_recv(sockets[k], in, sizeof in, 0) == 3);
      if (dealer) MUST(zmq_recv(sockets[k], in, sizeof in, 0) == 0);
      MUST(they_hear(sockets[k]) == i + k);
    }
  }
}

/* Echoes whole messages, whatever their envelope. */
static void they_answer(const match_t* m, void** sockets) {
  zmq_pollitem_t items[PEERS_MAX];
  for (unsigned k = 0; k < m->peers; k++)
    items[k] = (zmq_pollitem_t){.socket = sockets[k], .events = ZMQ_POLLIN};
  for (unsigned left = m->messages * m->peers; left > 0;) {
    MUST(zmq_poll(items, (int) m->peers, -1) > 0);
    for (unsigned k = 0; k < m->peers; k++) {
      if (!(items[k].revents & ZMQ_POLLIN)) continue;
      zmq_msg_t parts[8];
      int count = 0;
      do {
        MUST(count < 8);
        zmq_msg_init(&parts[count]);
        MUST(zmq_msg_recv(&parts[count], sockets[k], 0) >= 0);
      } while (zmq_msg_more(&parts[count++]));
      for (int i = 0; i < count; i++)
        MUST(zmq_msg_send(&parts[i], sockets[k],
                          i + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
      left--;
    }
  }
}

/* Each worker gets exactly its share, in order. */
static void they_pull(const match_t* m, void** sockets) {
  for (unsigned k = 0; k < m->peers; k++) {
    unsigned last = they_hear(sockets[k]);
    for (unsigned i = 1; i < m->messages; i++) {
      unsigned number = they_hear(sockets[k]);
      MUST(number == last + m->peers);
      last = number;
    }
  }
}

static void they_push(const match_t* m, void** sockets) {
  for (unsigned i = 0; i < m->messages; i++)
    for (unsigned k = 0; k < m->peers; k++) they_send(sockets[k], i);
}

static void* open_socket(void* context, const meeting_t* meeting,
                         const char* uri, int out) {
  const match_t* m = meeting->match;
  int numbered = m->numbered;
  void* s = zmq_socket(context, m->theirs);
  MUST(s != NULL);
  if (m->theirs == ZMQ_REQ)
    zmq_setsockopt(s, ZMQ_REQ_CORRELATE, &numbered, sizeof numbered);
  if (m->we_bind) {
    MUST(zmq_connect(s, uri) == 0);
    return s;
  }
  char at[URI_MAX];
  size_t len = sizeof at;
  venue_uri(meeting->venue, at);
  MUST(zmq_bind(s, at) == 0);
  MUST(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, at, &len) == 0);
  uri_tell(out, at);
  return s;
}

static int their_side(const void* arg, int in, int out) {
  const meeting_t* meeting = (const meeting_t*) arg;
  const match_t* m = meeting->match;
  char uri[URI_MAX];
  void* context = zmq_ctx_new();
  void* sockets[PEERS_MAX];
  if (m->we_bind) MUST(uri_hear(in, uri));
  for (unsigned k = 0; k < m->peers; k++)
    sockets[k] = open_socket(context, meeting, uri, out);
  switch (m->theirs) {
    case ZMQ_REQ:
    case ZMQ_DEALER:
      they_ask(m, sockets);
      break;
    case ZMQ_PULL:
      they_pull(m, sockets);
      break;
    case ZMQ_PUSH:
      they_push(m, sockets);
      break;
    default:
      they_answer(m, sockets);
  }
  for (unsigned k = 0; k < m->peers; k++) zmq_close(sockets[k]);
  zmq_ctx_term(context);
  return 0;
}

/* ---- our side ------------------------------------------------------------ */

typedef struct side {
  const match_t* match;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  unsigned sent, heard, ups, downs;
  mcq_request_t* taken[PEERS_MAX];
  mcq_msg_t* requests[PEERS_MAX];
  unsigned held;
  uint64_t last; /* sum of what was pulled */
} side_t;

static side_t* of(mcq_socket_t* s) {
  return (side_t*) mcq_socket_data(s);
}

static unsigned total(const side_t* side) {
  return side->match->messages * side->match->peers;
}

static int we_send(side_t* side) {
  mcq_frame_t f[3] = {
      {&side->sent, sizeof side->sent}, {"", 0}, {body, size_of(side->sent)}};
  int rc = mcq_send(side->socket, f, 3);
  if (rc == 0) side->sent++;
  return rc;
}

static unsigned check(const mcq_msg_t* msg) {
  unsigned number;
  mcq_frame_t first = mcq_msg_frame(msg, 0);
  mcq_frame_t last = mcq_msg_frame(msg, 2);
  assert_int_equal(mcq_msg_count(msg), 3);
  assert_int_equal(first.len, sizeof number);
  memcpy(&number, first.data, sizeof number);
  assert_int_equal(mcq_msg_frame(msg, 1).len, 0);
  assert_int_equal(last.len, size_of(number));
  if (last.len != 0) assert_memory_equal(last.data, body, last.len);
  return number;
}

static void on_answer(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = of(s);
  (void) peer;
  assert_int_equal(check(msg), side->heard++);
  if (side->heard < total(side))
    assert_int_equal(we_send(side), 0);
  else
    mcq_ctx_close(side->ctx, NULL);
}

/* All libzmq peers have asked: answers in the opposite order. */
static void answer_backwards(side_t* side) {
  while (side->held > 0) {
    side->held--;
    assert_int_equal(mcq_request_reply_msg(side->taken[side->held],
                                           side->requests[side->held]),
                     0);
    mcq_msg_release(side->requests[side->held]);
  }
}

static void on_request(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = of(s);
  (void) peer;
  check(msg);
  side->heard++;
  if (!side->match->later) {
    assert_int_equal(mcq_send_msg(s, msg), 0);
    return;
  }
  side->requests[side->held] = mcq_msg_retain(msg);
  assert_int_equal(mcq_request_take(s, &side->taken[side->held++]), 0);
  if (side->held == side->match->peers) answer_backwards(side);
}

static void on_pulled(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = of(s);
  (void) peer;
  side->last += check(msg);
  if (++side->heard == total(side)) mcq_ctx_close(side->ctx, NULL);
}

static void push_on(mcq_socket_t* s) {
  side_t* side = of(s);
  if (side->ups < side->match->peers) return; /* even shares for all */
  while (side->sent < total(side))
    if (we_send(side) != 0) return;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  assert_string_equal(info->mechanism, "NULL");
  if (++side->ups < side->match->peers) return;
  if (side->match->ours == MCQ_PUSH) push_on(s);
  if (side->match->ours == MCQ_REQ) assert_int_equal(we_send(side), 0);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  assert_int_equal(info->lost_messages, 0);
  if (++side->downs == side->match->peers) mcq_ctx_close(side->ctx, NULL);
}

static void on_failed(mcq_socket_t* s, int code) {
  (void) s;
  fail_msg("a question failed: %s", mcq_strerror(code));
}

static void our_side(const match_t* m, const venue_t* venue, const duo_t* duo) {
  uv_loop_t loop;
  side_t side = {.match = m};
  mcq_ctx_options_t seat = {.backend = venue->backend};
  mcq_socket_options_t o = {.type = m->ours,
                            .data = &side,
                            .flags = m->flags,
                            .sndhwm = m->ours == MCQ_PUSH ? -1 : 0,
                            .sndhwm_bytes = -1,
                            .on_message = m->ours == MCQ_REQ   ? on_answer
                                          : m->ours == MCQ_REP ? on_request
                                                               : on_pulled,
                            .on_drain = m->ours == MCQ_PUSH ? push_on : NULL,
                            .on_request_failed = on_failed,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down};
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(mcq_ctx_new(&loop, &seat, &side.ctx), 0);
  assert_int_equal(mcq_socket_new(side.ctx, &o, &side.socket), 0);
  venue_join(venue, duo, side.socket, side.match->we_bind,
             (unsigned) side.match->peers);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  if (m->ours == MCQ_PUSH)
    assert_int_equal(side.sent, total(&side));
  else
    assert_int_equal(side.heard, total(&side));
  if (m->ours == MCQ_PULL)
    assert_int_equal(side.last,
                     (uint64_t) m->peers * m->messages * (m->messages - 1) / 2);
}

static void all_matches(const venue_t* venue) {
  for (size_t i = 0; i < MATCHES; i++) {
    const match_t* m = &matches[i];
    meeting_t meeting = {m, venue};
    duo_t duo;
    print_message("  %s %s, libzmq type %d, %u peers, %u messages each\n",
                  mcq_type_name(m->ours), m->we_bind ? "binds" : "connects",
                  m->theirs, m->peers, m->messages);
    duo_open(&duo, their_side, &meeting);
    our_side(m, venue, &duo);
    duo_close(&duo);
  }
}

static const scene_t scenes[] = {{.name = "all", .play = all_matches}};

int main(void) {
  for (size_t i = 0; i < sizeof body; i++) body[i] = (char) (i * 31);
  return venues_play(scenes, sizeof scenes / sizeof *scenes);
}
