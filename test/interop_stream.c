/* SPDX-License-Identifier: MIT */
/* STREAM of ours beside libzmq's STREAM and beside sockets of the system, in
 * a process of its own: whoever connects, whoever drives, one and several.
 * Bytes go there and
 * come back; where chunks end means nothing, so only the bytes are compared.
 * Whoever drives ends the connection, and what was said before arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <zmq.h>

#include "support/zmq_venue.h"

#define ECHOED ((size_t) 1000000)
#define TRAILER ((size_t) 400000) /* and the end, at once; not echoed */
#define TOTAL (ECHOED + TRAILER)
#define CHUNK_MAX ((size_t) 70000)
#define ID_MAX 255

typedef struct match {
  bool plain; /* they are no libzmq */
  bool we_bind;
  bool we_drive;
  int peers; /* of theirs */
} match_t;

#define SEVERAL 3

typedef struct meeting {
  const match_t* match;
  const venue_t* venue;
} meeting_t;

static unsigned char text[TOTAL];

static void make_text(void) {
  for (size_t i = 0; i < TOTAL; i++)
    text[i] = (unsigned char) (i * 31 + i / 251 + i / 65536);
}

/* The `number`-th chunk of a text that goes from `at` to `end`. */
static size_t chunk_at(size_t at, size_t end, unsigned number) {
  static const size_t sizes[] = {1, 8192, 2, 65536, 255, CHUNK_MAX, 256, 8191};
  size_t len = sizes[number % (sizeof sizes / sizeof *sizes)];
  return len < end - at ? len : end - at;
}

/* ---- their side, as a pipe that is read and written ---------------------- */

typedef struct theirs {
  const meeting_t* meeting;
  const char* uri; /* ours, where we bind */
  int in, out;     /* to the test */
  void* ctx;
  void* s;
  char id[ID_MAX];
  size_t id_len;
  int listener; /* plain, or 0 */
  int fd;
} theirs_t;

/* One message: the id, the same all the time, and what came: nothing at the
 * connection's beginning and end. */
static size_t zmq_hear(theirs_t* t, void* into, size_t size) {
  char id[ID_MAX];
  int n = zmq_recv(t->s, id, sizeof id, 0);
  MUST(n > 0);
  MUST(t->id_len == 0 ||
       (t->id_len == (size_t) n && !memcmp(t->id, id, t->id_len)));
  memcpy(t->id, id, (size_t) n);
  t->id_len = (size_t) n;
  n = zmq_recv(t->s, into, size, 0);
  MUST(n >= 0 && (size_t) n <= size);
  return (size_t) n;
}

static void zmq_say(theirs_t* t, const void* bytes, size_t len) {
  MUST(zmq_send(t->s, t->id, t->id_len, ZMQ_SNDMORE) >= 0);
  MUST(zmq_send(t->s, bytes, len, 0) == (int) len);
}

static size_t plain_hear(theirs_t* t, void* into, size_t size) {
  ssize_t n = read(t->fd, into, size);
  MUST(n >= 0);
  return (size_t) n;
}

static void plain_say(theirs_t* t, const void* bytes, size_t len) {
  const char* at = (const char*) bytes;
  while (len > 0) {
    ssize_t n = write(t->fd, at, len);
    MUST(n > 0);
    at += n;
    len -= (size_t) n;
  }
}

static size_t they_hear(theirs_t* t, void* into, size_t size) {
  return t->meeting->match->plain ? plain_hear(t, into, size)
                                  : zmq_hear(t, into, size);
}

static void they_say(theirs_t* t, const void* bytes, size_t len) {
  if (t->meeting->match->plain)
    plain_say(t, bytes, len);
  else
    zmq_say(t, bytes, len);
}

/* ---- their ends ---------------------------------------------------------- */

static void zmq_open(theirs_t* t) {
  char uri[URI_MAX];
  size_t len = sizeof uri;
  int none = 0;
  int later = 60000; /* ms; whom we show out stays away until it is over */
  t->ctx = zmq_ctx_new();
  t->s = zmq_socket(t->ctx, ZMQ_STREAM);
  MUST(t->s != NULL);
  MUST(zmq_setsockopt(t->s, ZMQ_SNDHWM, &none, sizeof none) == 0);
  MUST(zmq_setsockopt(t->s, ZMQ_RCVHWM, &none, sizeof none) == 0);
  MUST(zmq_setsockopt(t->s, ZMQ_RECONNECT_IVL, &later, sizeof later) == 0);
  if (t->meeting->match->we_bind) {
    MUST(zmq_connect(t->s, t->uri) == 0);
  } else {
    venue_uri(t->meeting->venue, uri);
    MUST(zmq_bind(t->s, uri) == 0);
    MUST(zmq_getsockopt(t->s, ZMQ_LAST_ENDPOINT, uri, &len) == 0);
    uri_tell(t->out, uri);
  }
}

static void zmq_leave(theirs_t* t) {
  zmq_close(t->s);
  zmq_ctx_term(t->ctx);
}

typedef union address {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_un un;
} address_t;

/* Of "tcp://127.0.0.1:port", "ipc://path" or "ipc://@name". */
static socklen_t parse(const char* uri, address_t* out) {
  memset(out, 0, sizeof *out);
  if (strncmp(uri, "tcp://", 6) == 0) {
    const char* port = strrchr(uri, ':') + 1;
    out->in.sin_family = AF_INET;
    out->in.sin_port = htons((uint16_t) atoi(port)); /* "*": 0 */
    out->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof out->in;
  }
  const char* path = uri + strlen("ipc://");
  size_t len = strlen(path);
  MUST(len < sizeof out->un.sun_path);
  out->un.sun_family = AF_UNIX;
  memcpy(out->un.sun_path, path, len);
  if (path[0] == '@') out->un.sun_path[0] = '\0';
  return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len +
                      (path[0] == '@' ? 0 : 1));
}

static void plain_listen(theirs_t* t) {
  char uri[URI_MAX];
  address_t at;
  venue_uri(t->meeting->venue, uri);
  socklen_t len = parse(uri, &at);
  int listener = socket(at.any.sa_family, SOCK_STREAM, 0);
  MUST(listener >= 0 && bind(listener, &at.any, len) == 0);
  MUST(listen(listener, 1) == 0);
  if (at.any.sa_family == AF_INET) {
    MUST(getsockname(listener, &at.any, &len) == 0);
    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", ntohs(at.in.sin_port));
  }
  uri_tell(t->out, uri);
  t->listener = listener;
}

static void plain_open(theirs_t* t) {
  address_t to;
  if (!t->meeting->match->we_bind) {
    plain_listen(t);
    return;
  }
  socklen_t len = parse(t->uri, &to);
  t->fd = socket(to.any.sa_family, SOCK_STREAM, 0);
  MUST(t->fd >= 0 && connect(t->fd, &to.any, len) == 0);
}

/* Until they are connected, which a STREAM hears as nothing. */
static void they_meet_us(theirs_t* t) {
  char nothing[1];
  if (!t->meeting->match->plain)
    MUST(zmq_hear(t, nothing, sizeof nothing) == 0);
  if (t->listener == 0) return;
  t->fd = accept(t->listener, NULL, NULL);
  MUST(t->fd >= 0);
  close(t->listener);
}

/* ---- their part ---------------------------------------------------------- */

static void they_hear_back(theirs_t* t, size_t from, size_t to) {
  static unsigned char got[CHUNK_MAX];
  while (from < to) {
    size_t n = they_hear(t, got, sizeof got);
    MUST(n > 0 && from + n <= to && !memcmp(got, text + from, n));
    from += n;
  }
}

/* All of them chunk by chunk. */
static void they_drive(theirs_t* t, int count) {
  unsigned number = 0;
  for (size_t at = 0; at < ECHOED;) {
    size_t len = chunk_at(at, ECHOED, number++);
    for (int k = 0; k < count; k++) they_say(&t[k], text + at, len);
    for (int k = 0; k < count; k++) they_hear_back(&t[k], at, at + len);
    at += len;
  }
  for (int k = 0; k < count; k++) they_say(&t[k], text + ECHOED, TRAILER);
}

/* To the end, which they see. */
static void they_echo(theirs_t* t) {
  static unsigned char got[CHUNK_MAX];
  size_t heard = 0;
  for (;;) {
    size_t n = they_hear(t, got, sizeof got);
    if (n == 0) break;
    MUST(heard + n <= TOTAL && !memcmp(got, text + heard, n));
    size_t back = heard >= ECHOED ? 0 : ECHOED - heard;
    if (back > 0) they_say(t, got, back < n ? back : n);
    heard += n;
  }
  MUST(heard == TOTAL);
}

static int their_side(const void* arg, int in, int out) {
  const meeting_t* meeting = (const meeting_t*) arg;
  const match_t* m = meeting->match;
  theirs_t t[SEVERAL];
  char uri[URI_MAX];
  if (m->we_bind) MUST(uri_hear(in, uri));
  for (int k = 0; k < m->peers; k++) {
    t[k] = (theirs_t){.meeting = meeting, .uri = uri, .in = in, .out = out};
    if (m->plain)
      plain_open(&t[k]);
    else
      zmq_open(&t[k]);
  }
  for (int k = 0; k < m->peers; k++) they_meet_us(&t[k]);
  for (int k = 0; k < m->peers && m->we_drive; k++) they_echo(&t[k]);
  if (!m->we_drive) they_drive(t, m->peers);
  /* Who closes a socket of libzmq waits for what it has to send. */
  for (int k = 0; k < m->peers; k++)
    if (m->plain)
      close(t[k].fd);
    else
      zmq_leave(&t[k]);
  MUST(!uri_hear(in, uri));
  return 0;
}

/* ---- our side ------------------------------------------------------------ */

typedef struct player {
  mcq_peer_t peer;
  char id[ID_MAX];
  size_t id_len;
  unsigned sends;
  size_t sent, heard;
} player_t;

typedef struct side {
  const match_t* match;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  player_t players[SEVERAL];
  int ups, downs;
} side_t;

static side_t* of(mcq_socket_t* s) {
  return (side_t*) mcq_socket_data(s);
}

/* By handle in one frame, and by name in two. */
static void say_chunk(side_t* side, player_t* p, size_t len) {
  const unsigned char* at = text + p->sent;
  size_t half = len / 2;
  mcq_frame_t f[3] = {{p->id, p->id_len}, {at, half}, {at + half, len - half}};
  mcq_frame_t whole = {at, len};
  if (p->sends++ % 2 == 0)
    assert_int_equal(mcq_send_to(side->socket, p->peer, &whole, 1), 0);
  else
    assert_int_equal(mcq_send(side->socket, f, 3), 0);
  p->sent += len;
}

static void go_on(side_t* side, player_t* p) {
  mcq_frame_t end[2] = {{p->id, p->id_len}, {"", 0}};
  if (p->sent < ECHOED) {
    say_chunk(side, p, chunk_at(p->sent, ECHOED, p->sends));
    return;
  }
  say_chunk(side, p, TRAILER);
  assert_int_equal(mcq_send(side->socket, end, 2), 0);
}

static void on_chunk(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = of(s);
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  mcq_peer_info_t info;
  assert_int_equal(mcq_peer_info(s, peer, &info), 0);
  player_t* p = (player_t*) info.data;
  assert_int_equal(mcq_msg_count(msg), 1);
  assert_true(f.len > 0 && p->heard + f.len <= TOTAL);
  assert_memory_equal(f.data, text + p->heard, f.len);
  size_t back = p->heard >= ECHOED ? 0 : ECHOED - p->heard;
  p->heard += f.len;
  if (side->match->we_drive) {
    if (p->heard == p->sent) go_on(side, p);
    return;
  }
  if (back < f.len) f.len = back;
  mcq_frame_t named[2] = {{p->id, p->id_len}, f};
  if (f.len > 0) assert_int_equal(mcq_send(s, named, 2), 0);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  assert_true(side->ups < side->match->peers);
  player_t* p = &side->players[side->ups++];
  p->peer = info->peer;
  p->id_len = info->routing_id_len;
  assert_in_range(p->id_len, 1, sizeof p->id);
  memcpy(p->id, info->routing_id, p->id_len);
  assert_int_equal(mcq_peer_set_data(s, p->peer, p), 0);
  assert_int_equal(info->incoming, side->match->we_bind);
  if (side->match->we_drive) go_on(side, p);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  const match_t* m = side->match;
  assert_int_equal(info->lost_messages, 0);
  assert_int_equal(info->reason, m->we_drive ? MCQ_ELOCAL : MCQ_EOF);
  if (++side->downs == m->peers) mcq_ctx_close(side->ctx, NULL);
}

static void our_side(const match_t* m, const venue_t* venue, const duo_t* duo) {
  uv_loop_t loop;
  side_t side = {.match = m};
  mcq_ctx_options_t seat = {.backend = venue->backend};
  mcq_socket_options_t o = {.type = MCQ_STREAM,
                            .data = &side,
                            .on_message = on_chunk,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .reconnect_ms = -1};
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(mcq_ctx_new(&loop, &seat, &side.ctx), 0);
  assert_int_equal(mcq_socket_new(side.ctx, &o, &side.socket), 0);
  venue_join(venue, duo, side.socket, side.match->we_bind,
             (unsigned) side.match->peers);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_int_equal(side.downs, m->peers);
  for (int k = 0; k < m->peers; k++)
    assert_int_equal(side.players[k].heard, m->we_drive ? ECHOED : TOTAL);
}

static void play(const venue_t* venue, bool plain) {
  for (int i = 0; i < 8; i++) {
    match_t m = {.plain = plain,
                 .we_bind = (i & 1) == 0,
                 .we_drive = (i & 2) == 0,
                 .peers = (i & 4) == 0 ? 1 : SEVERAL};
    meeting_t meeting = {&m, venue};
    duo_t duo;
    print_message("  our STREAM %s and %s, %d of theirs\n",
                  m.we_bind ? "binds" : "connects",
                  m.we_drive ? "drives" : "echoes", m.peers);
    duo_open(&duo, their_side, &meeting);
    our_side(&m, venue, &duo);
    duo_close(&duo);
  }
}

static void with_libzmq(const venue_t* venue) {
  play(venue, false);
}

static void with_the_system(const venue_t* venue) {
  play(venue, true);
}

static const scene_t scenes[] = {
    {.name = "with libzmq", .play = with_libzmq},
    {.name = "with the system's sockets", .play = with_the_system},
};

int main(void) {
  make_text();
  return venues_play(scenes, sizeof scenes / sizeof *scenes);
}
