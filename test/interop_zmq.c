/* SPDX-License-Identifier: MIT */
/* Our sockets and real libzmq, each in a process of its own.  One side drives:
 * it sends numbered multipart messages and checks that each comes back, whole
 * and in order; the other side echoes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "monocoque.h"

#define URI_MAX 128
#define PARTS 3
#define LARGEST ((size_t) 64 << 10)

typedef struct match {
  int ours;
  int theirs;
  bool we_bind;
  bool we_drive;
  int peers; /* libzmq sockets */
  unsigned messages;
} match_t;

static const match_t matches[] = {
    {MCQ_ROUTER, ZMQ_DEALER, true, false, 1, 20000},
    {MCQ_ROUTER, ZMQ_DEALER, false, false, 1, 20000},
    {MCQ_ROUTER, ZMQ_DEALER, true, false, 2, 5000},
    {MCQ_ROUTER, ZMQ_DEALER, true, false, 200, 50},
    {MCQ_ROUTER, ZMQ_REQ, true, false, 1, 2000},
    {MCQ_ROUTER, ZMQ_REQ, true, false, 50, 20},
    {MCQ_ROUTER, ZMQ_ROUTER, true, false, 1, 2000},
    {MCQ_ROUTER, ZMQ_ROUTER, false, false, 1, 2000},
    {MCQ_DEALER, ZMQ_ROUTER, true, true, 1, 100000},
    {MCQ_DEALER, ZMQ_ROUTER, false, true, 1, 20000},
    {MCQ_DEALER, ZMQ_REP, true, true, 1, 5000},
    {MCQ_DEALER, ZMQ_REP, false, true, 1, 5000},
    {MCQ_DEALER, ZMQ_DEALER, true, true, 1, 20000},
    {MCQ_DEALER, ZMQ_DEALER, false, true, 1, 20000},
    {MCQ_PAIR, ZMQ_PAIR, true, true, 1, 20000},
    {MCQ_PAIR, ZMQ_PAIR, false, true, 1, 20000},
};
#define MATCHES (sizeof matches / sizeof *matches)

/* Sizes from nothing to beyond one read, most of them small. */
static size_t body_size(unsigned number) {
  return number % 500 == 499 ? LARGEST : number % 300;
}

static char body[LARGEST];

/* ---- their side
 * ------------------------------------------------------------*/

static void must(bool good) {
  if (!good) _exit(3);
}

static void zmq_drive_send(void* s, int type, unsigned number) {
  if (type == ZMQ_ROUTER) must(zmq_send(s, "ours", 4, ZMQ_SNDMORE) == 4);
  must(zmq_send(s, &number, sizeof number, ZMQ_SNDMORE) == sizeof number);
  must(zmq_send(s, "", 0, ZMQ_SNDMORE) == 0);
  must(zmq_send(s, body, body_size(number), 0) == (int) body_size(number));
}

static void zmq_drive_receive(void* s, int type, unsigned number) {
  static char in[LARGEST + 1];
  unsigned got;
  int more;
  size_t len = sizeof more;
  if (type == ZMQ_ROUTER) must(zmq_recv(s, in, sizeof in, 0) == 4);
  must(zmq_recv(s, &got, sizeof got, 0) == sizeof got && got == number);
  must(zmq_recv(s, in, sizeof in, 0) == 0);
  must(zmq_recv(s, in, sizeof in, 0) == (int) body_size(number));
  must(memcmp(in, body, body_size(number)) == 0);
  zmq_getsockopt(s, ZMQ_RCVMORE, &more, &len);
  must(!more);
}

/* libzmq drops what a ROUTER cannot address: it waits for us to be there. */
static void zmq_await(void* s) {
  int on = 1;
  zmq_setsockopt(s, ZMQ_ROUTER_MANDATORY, &on, sizeof on);
  while (zmq_send(s, "ours", 4, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
    zmq_poll(NULL, 0, 1);
  must(zmq_send(s, "hello", 5, 0) == 5);
  char in[8];
  must(zmq_recv(s, in, sizeof in, 0) == 4);
  must(zmq_recv(s, in, sizeof in, 0) == 5);
}

static void zmq_drive(const match_t* m, void** sockets) {
  unsigned ahead = m->theirs == ZMQ_REQ ? 1 : 10;
  if (m->theirs == ZMQ_ROUTER) zmq_await(sockets[0]);
  for (unsigned i = 0; i < m->messages; i += ahead) {
    for (int k = 0; k < m->peers; k++)
      for (unsigned j = 0; j < ahead; j++)
        zmq_drive_send(sockets[k], m->theirs, i + j);
    for (int k = 0; k < m->peers; k++)
      for (unsigned j = 0; j < ahead; j++)
        zmq_drive_receive(sockets[k], m->theirs, i + j);
  }
}

/* A REP may answer only what it has received whole. */
static void zmq_echo(const match_t* m, void* s) {
  for (unsigned i = 0; i < m->messages; i++) {
    zmq_msg_t parts[PARTS + 2];
    int count = 0;
    bool more = true;
    while (more) {
      must(count < PARTS + 2);
      zmq_msg_init(&parts[count]);
      must(zmq_msg_recv(&parts[count], s, 0) >= 0);
      more = zmq_msg_more(&parts[count++]);
    }
    for (int k = 0; k < count; k++)
      must(zmq_msg_send(&parts[k], s, k + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
  }
}

static int their_side(const match_t* m, int in, int out) {
  char uri[URI_MAX] = {0};
  void* context = zmq_ctx_new();
  void* sockets[256];
  alarm(100);
  if (m->we_bind) must(read(in, uri, sizeof uri) == sizeof uri);
  for (int k = 0; k < m->peers; k++) {
    sockets[k] = zmq_socket(context, m->theirs);
    int no_limit = 0; /* or ROUTER and REP drop what does not fit */
    zmq_setsockopt(sockets[k], ZMQ_SNDHWM, &no_limit, sizeof no_limit);
    if (m->we_bind) {
      must(zmq_connect(sockets[k], uri) == 0);
      continue;
    }
    size_t len = sizeof uri;
    must(zmq_bind(sockets[k], "tcp://127.0.0.1:*") == 0);
    zmq_getsockopt(sockets[k], ZMQ_LAST_ENDPOINT, uri, &len);
    must(write(out, uri, sizeof uri) == sizeof uri);
  }
  if (m->we_drive)
    zmq_echo(m, sockets[0]);
  else
    zmq_drive(m, sockets);
  for (int k = 0; k < m->peers; k++) zmq_close(sockets[k]);
  zmq_ctx_term(context);
  return 0;
}

/* ---- our side
 * --------------------------------------------------------------*/

typedef struct side {
  const match_t* match;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  unsigned sent, heard, ups, downs;
} side_t;

static side_t* of(mcq_socket_t* s) {
  return (side_t*) mcq_socket_data(s);
}

static void our_drive(mcq_socket_t* s) {
  side_t* side = of(s);
  bool envelope = side->match->theirs == ZMQ_REP;
  while (side->sent < side->match->messages) {
    mcq_frame_t f[PARTS + 1] = {{"", 0},
                                {&side->sent, sizeof side->sent},
                                {"", 0},
                                {body, body_size(side->sent)}};
    int rc = envelope ? mcq_send(s, f, PARTS + 1) : mcq_send(s, f + 1, PARTS);
    if (rc == MCQ_EAGAIN) return;
    assert_int_equal(rc, 0);
    side->sent++;
  }
}

static void our_check(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  side_t* side = of(s);
  (void) peer;
  size_t at = side->match->theirs == ZMQ_REP ? 1 : 0;
  mcq_frame_t number = mcq_msg_frame(msg, at);
  mcq_frame_t last = mcq_msg_frame(msg, at + 2);
  assert_int_equal(mcq_msg_count(msg), PARTS + at);
  assert_int_equal(number.len, sizeof side->heard);
  assert_memory_equal(number.data, &side->heard, sizeof side->heard);
  assert_int_equal(mcq_msg_frame(msg, at + 1).len, 0);
  assert_int_equal(last.len, body_size(side->heard));
  if (last.len != 0) assert_memory_equal(last.data, body, last.len);
  if (++side->heard == side->match->messages) mcq_ctx_close(side->ctx, NULL);
}

static void our_echo(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  assert_int_equal(mcq_send_msg_to(s, peer, msg), 0);
  of(s)->heard++;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  of(s)->ups++;
  assert_int_equal(info->version_major, 3);
  assert_string_equal(info->mechanism, "NULL");
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  side_t* side = of(s);
  assert_int_equal(info->lost_messages, 0);
  /* The driver leaves when it has everything; an echo that leaves before is
   * found out by the count of what was heard. */
  if (++side->downs == (unsigned) side->match->peers)
    mcq_ctx_close(side->ctx, NULL);
}

static void our_side(const match_t* m, int backend, int in, int out) {
  uv_loop_t loop;
  char uri[URI_MAX] = {0};
  side_t side = {.match = m};
  mcq_ctx_options_t seat = {.backend = backend};
  mcq_socket_options_t o = {
      .type = m->ours,
      .data = &side,
      .routing_id = m->ours == MCQ_PAIR ? NULL : "ours",
      .routing_id_len = m->ours == MCQ_PAIR ? 0 : 4,
      .on_message = m->we_drive ? our_check : our_echo,
      .on_drain = m->we_drive ? our_drive : NULL,
      .on_peer_up = on_up,
      .on_peer_down = on_down,
  };
  uv_loop_init(&loop);
  assert_int_equal(mcq_ctx_new(&loop, &seat, &side.ctx), 0);
  assert_int_equal(mcq_socket_new(side.ctx, &o, &side.socket), 0);
  if (m->we_bind) {
    mcq_endpoint_t at;
    assert_int_equal(mcq_bind(side.socket, "tcp://127.0.0.1:*", &at), 0);
    snprintf(uri, sizeof uri, "%s", mcq_endpoint_uri(side.socket, at));
    assert_int_equal(write(out, uri, sizeof uri), sizeof uri);
  } else {
    assert_int_equal(read(in, uri, sizeof uri), sizeof uri);
    assert_int_equal(mcq_connect(side.socket, uri, NULL, NULL), 0);
  }
  if (m->we_drive) our_drive(side.socket);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&loop), 0);
  unsigned extra = m->theirs == ZMQ_ROUTER && !m->we_drive ? 1 : 0;
  assert_int_equal(side.heard, m->messages * (unsigned) m->peers + extra);
}

static void play(const match_t* m, int backend) {
  int to_them[2];
  int to_us[2];
  int status;
  print_message("  %s %s, libzmq type %d, %d peers, %u messages each\n",
                mcq_type_name(m->ours), m->we_bind ? "binds" : "connects",
                m->theirs, m->peers, m->messages);
  assert_int_equal(pipe(to_them), 0);
  assert_int_equal(pipe(to_us), 0);
  pid_t child = fork();
  if (child == 0) _exit(their_side(m, to_them[0], to_us[1]));
  close(to_them[0]);
  close(to_us[1]);
  our_side(m, backend, to_us[0], to_them[1]);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  close(to_them[1]);
  close(to_us[0]);
}

static void over_uv(void** state) {
  (void) state;
  for (size_t i = 0; i < MATCHES; i++) play(&matches[i], MCQ_BACKEND_UV);
}

/* What auto takes: uring where the kernel has it. */
static void over_auto(void** state) {
  (void) state;
  for (size_t i = 0; i < MATCHES; i++) play(&matches[i], MCQ_BACKEND_AUTO);
}

int main(void) {
  for (size_t i = 0; i < sizeof body; i++) body[i] = (char) (i * 31);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_auto),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
