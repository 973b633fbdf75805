/* SPDX-License-Identifier: MIT */
/* The empty message with which a connection may begin, to and from real libzmq
 * in a process of its own: whoever binds, at each connection again, before
 * anything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "support/zmq_venue.h"

#define ROUNDS 3 /* connections, where we probe */

typedef struct match {
  bool we_probe;
  int type; /* of who probes; the other one is a ROUTER */
  bool we_bind;
} match_t;

typedef struct meeting {
  const match_t* match;
  const venue_t* venue;
} meeting_t;

static const match_t matches[] = {
    {true, MCQ_DEALER, false},  {true, MCQ_DEALER, true},
    {true, MCQ_REQ, false},     {true, MCQ_REQ, true},
    {true, MCQ_ROUTER, false},  {true, MCQ_ROUTER, true},
    {false, MCQ_DEALER, false}, {false, MCQ_DEALER, true},
    {false, MCQ_REQ, false},    {false, MCQ_REQ, true},
    {false, MCQ_ROUTER, false}, {false, MCQ_ROUTER, true},
};
#define MATCHES (sizeof matches / sizeof *matches)

/* Who says something after the first word: a ROUTER does not know to whom. */
static bool talks(const match_t* m) {
  return m->type != MCQ_ROUTER;
}

/* ---- their side ---------------------------------------------------------- */

static void set(void* s, int option, int value) {
  MUST(zmq_setsockopt(s, option, &value, sizeof value) == 0);
}

/* [id] and then `count` frames, the last of which is `text`. */
static void they_hear(void* s, int count, const char* text) {
  char frame[64];
  int more;
  size_t len = sizeof more;
  MUST(zmq_recv(s, frame, sizeof frame, 0) > 0);
  for (int i = 0; i < count; i++) {
    MUST(zmq_getsockopt(s, ZMQ_RCVMORE, &more, &len) == 0 && more);
    int n = zmq_recv(s, frame, sizeof frame, 0);
    size_t want = i + 1 < count ? 0 : strlen(text);
    MUST(n == (int) want && memcmp(frame, text, want) == 0);
  }
  MUST(zmq_getsockopt(s, ZMQ_RCVMORE, &more, &len) == 0 && !more);
}

/* Until we have heard all.  A socket of libzmq's lives as long as somebody
 * looks at it. */
static void stay(void* s, int in) {
  zmq_pollitem_t items[] = {{.socket = s, .events = ZMQ_POLLIN},
                            {.fd = in, .events = ZMQ_POLLIN | ZMQ_POLLERR}};
  while (items[1].revents == 0) MUST(zmq_poll(items, 2, -1) > 0);
}

static int their_side(const void* arg, int in, int out) {
  const meeting_t* meeting = (const meeting_t*) arg;
  const match_t* m = meeting->match;
  char uri[URI_MAX];
  size_t len = sizeof uri;
  void* context = zmq_ctx_new();
  void* s = zmq_socket(context, m->we_probe ? ZMQ_ROUTER : m->type);
  MUST(s != NULL);
  set(s, ZMQ_LINGER, 0);
  set(s, ZMQ_RECONNECT_IVL, 1);
  if (!m->we_probe) set(s, ZMQ_PROBE_ROUTER, 1);
  if (m->we_bind) {
    MUST(uri_hear(in, uri) && zmq_connect(s, uri) == 0);
  } else {
    venue_uri(meeting->venue, uri);
    MUST(zmq_bind(s, uri) == 0);
    MUST(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, uri, &len) == 0);
    uri_tell(out, uri);
  }
  for (int i = 0; m->we_probe && i < ROUNDS; i++) they_hear(s, 1, "");
  if (m->we_probe && talks(m))
    they_hear(s, m->type == MCQ_REQ ? 2 : 1, "hello");
  if (!m->we_probe && talks(m)) MUST(zmq_send(s, "hello", 5, 0) == 5);
  if (!m->we_probe) stay(s, in);
  zmq_close(s);
  zmq_ctx_term(context);
  return 0;
}

/* ---- our side ------------------------------------------------------------ */

typedef struct side {
  const match_t* match;
  mcq_ctx_t* ctx;
  unsigned ups, downs, heard;
} side_t;

static side_t* of(mcq_socket_t* s) {
  return (side_t*) mcq_socket_data(s);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  side->ups++;
  if (!side->match->we_probe) return;
  if (side->ups < ROUNDS)
    assert_int_equal(mcq_peer_close(s, info->peer), 0);
  else if (talks(side->match))
    assert_int_equal(mcq_send_text(s, "hello"), 0);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  (void) info;
  if (++side->downs == ROUNDS) mcq_ctx_close(side->ctx, NULL);
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = of(s);
  const match_t* m = side->match;
  mcq_frame_t last = mcq_msg_frame(msg, mcq_msg_count(msg) - 1);
  (void) peer;
  assert_false(m->we_probe);
  assert_int_equal(side->ups, 1);
  if (side->heard++ == 0) {
    assert_int_equal(mcq_msg_count(msg), 1);
    assert_int_equal(last.len, 0);
  } else {
    assert_int_equal(mcq_msg_count(msg), m->type == MCQ_REQ ? 2 : 1);
    assert_int_equal(last.len, 5);
  }
  if (side->heard == (talks(m) ? 2 : 1)) mcq_ctx_close(side->ctx, NULL);
}

static void our_side(const match_t* m, const venue_t* venue, const duo_t* duo) {
  uv_loop_t loop;
  mcq_socket_t* socket;
  side_t side = {.match = m};
  mcq_ctx_options_t seat = {.backend = venue->backend};
  mcq_socket_options_t o = {.type = m->we_probe ? m->type : MCQ_ROUTER,
                            .flags = m->we_probe ? MCQ_PROBE_ROUTER : 0,
                            .data = &side,
                            .reconnect_ms = 1,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down};
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(mcq_ctx_new(&loop, &seat, &side.ctx), 0);
  assert_int_equal(mcq_socket_new(side.ctx, &o, &socket), 0);
  venue_join(venue, duo, socket, m->we_bind, 1);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_int_equal(side.ups, m->we_probe ? ROUNDS : 1);
}

static void all_matches(const venue_t* venue) {
  for (size_t i = 0; i < MATCHES; i++) {
    const match_t* m = &matches[i];
    meeting_t meeting = {m, venue};
    duo_t duo;
    print_message("  %s %s, %s\n", m->we_probe ? "our" : "libzmq's",
                  mcq_type_name(m->type),
                  m->we_bind ? "we bind" : "we connect");
    duo_open(&duo, their_side, &meeting);
    our_side(m, venue, &duo);
    duo_close(&duo);
  }
}

static const scene_t scenes[] = {{.name = "all", .play = all_matches}};

int main(void) {
  return venues_play(scenes, sizeof scenes / sizeof *scenes);
}
