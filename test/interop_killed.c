/* SPDX-License-Identifier: MIT */
/* Real libzmq processes that die at once, in the middle of a message of
 * theirs or of ours: what was cut off is never delivered, the loss has a
 * reason and a count, and everybody else goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <zmq.h>

#include "support/zmq_match.h"

#define ROUNDS 3
#define BEHIND 5 /* messages queued behind the large one */
#define STARTED ((int) 100000)

typedef struct stage {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  char uri[URI_MAX];
  int pipe[2];      /* the victim tells that it is time */
  int bystander_in; /* the bystander leaves when this is closed */
  uv_poll_t told;
  uv_idle_t watch;
  pid_t victim;
  mcq_peer_t peer; /* the victim's */
  mcq_peer_t bystander;
  unsigned messages, ups, downs;
  mcq_peer_info_t info; /* of the victim on its way down; pointers are stale */
} stage_t;

static stage_t* of(mcq_socket_t* s) {
  return (stage_t*) mcq_socket_data(s);
}

/* ---- their side ---------------------------------------------------------- */

/* libzmq does not say which descriptor its connection has. */
static int connection_of_process(void) {
  for (int fd = 3; fd < 1024; fd++) {
    struct sockaddr_in to;
    socklen_t len = sizeof to;
    if (getpeername(fd, (struct sockaddr*) &to, &len) == 0 &&
        to.sin_family == AF_INET)
      return fd;
  }
  return -1;
}

static void* connect_as(const char* name, const char* uri) {
  void* s = zmq_socket(zmq_ctx_new(), ZMQ_DEALER);
  MUST(s != NULL);
  zmq_setsockopt(s, ZMQ_ROUTING_ID, name, strlen(name));
  MUST(zmq_connect(s, uri) == 0);
  return s;
}

/* Whole messages, then one that cannot leave whole because nobody reads: we
 * stop reading at the first. */
static void be_cut_off(const char* uri, int out) {
  parts_t parts;
  int queued = 0;
  void* s = connect_as("victim", uri);
  parts_of(PLAN_ROOM, 0, &parts);
  MUST(zmq_send(s, "whole", 5, 0) == 5);
  char go[8];
  MUST(zmq_recv(s, go, sizeof go, 0) == 2);
  MUST(zmq_send(s, "first part", 10, ZMQ_SNDMORE) == 10);
  MUST(zmq_send(s, parts.frames[0].data, LARGEST - 10, 0) > 0);
  int fd = connection_of_process();
  MUST(fd >= 0);
  while (queued < STARTED) {
    MUST(ioctl(fd, SIOCOUTQ, &queued) == 0);
    zmq_poll(NULL, 0, 1);
  }
  MUST(write(out, "!", 1) == 1);
  for (;;) zmq_poll(NULL, 0, 1000);
}

/* Says hello and answers nothing: it is stopped before it could. */
static void be_stopped(const char* uri) {
  void* s = connect_as("victim", uri);
  MUST(zmq_send(s, "whole", 5, 0) == 5);
  for (;;) zmq_poll(NULL, 0, 1000);
}

static int echo_until_told(const char* uri, int in) {
  void* s = connect_as("bystander", uri);
  MUST(zmq_send(s, "here", 4, 0) == 4);
  zmq_pollitem_t items[2] = {{.socket = s, .events = ZMQ_POLLIN},
                             {.fd = in, .events = ZMQ_POLLIN}};
  for (;;) {
    char text[8];
    MUST(zmq_poll(items, 2, -1) > 0);
    if (items[1].revents != 0) return 0;
    int n = zmq_recv(s, text, sizeof text, ZMQ_DONTWAIT);
    if (n >= 0) MUST(zmq_send(s, text, (size_t) n, 0) == n);
  }
}

/* ---- our side ------------------------------------------------------------ */

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  bool victim = info->routing_id_len == 6;
  *(victim ? &g->peer : &g->bystander) = info->peer;
}

static void release_handle(uv_handle_t* handle) {
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

/* The bystander answers whatever became of the other: ask it once more. */
static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  if (info->peer.epoch != g->peer.epoch) return;
  g->downs++;
  g->info = *info;
  mcq_frame_t again = {"again", 5};
  assert_int_equal(mcq_send_to(s, g->peer, &again, 1), MCQ_EPEERGONE);
  assert_int_equal(mcq_send_to(s, g->bystander, &again, 1), 0);
}

static void kill_victim(stage_t* g) {
  kill(g->victim, SIGKILL);
}

static void on_router_up(mcq_socket_t* s, const mcq_peer_info_t* info);
static void on_router_down(mcq_socket_t* s, const mcq_peer_info_t* info);

/* A ROUTER that listens or a DEALER that will connect. */
static void open_stage(stage_t* g, int backend, int type,
                       mcq_message_cb on_message) {
  memset(g, 0, sizeof *g);
  mcq_endpoint_t at;
  bool router = type == MCQ_ROUTER;
  mcq_ctx_options_t seat = {.backend = backend};
  mcq_socket_options_t o = {
      .type = type,
      .data = g,
      .sndhwm_bytes = -1,
      .on_message = on_message,
      .on_peer_up = router ? on_up : on_router_up,
      .on_peer_down = router ? on_down : on_router_down,
  };
  uv_loop_init(&g->loop);
  assert_int_equal(mcq_ctx_new(&g->loop, &seat, &g->ctx), 0);
  assert_int_equal(mcq_socket_new(g->ctx, &o, &g->socket), 0);
  assert_int_equal(pipe(g->pipe), 0);
  if (!router) return;
  assert_int_equal(mcq_bind(g->socket, "tcp://127.0.0.1:*", &at), 0);
  snprintf(g->uri, sizeof g->uri, "%s", mcq_endpoint_uri(g->socket, at));
}

static pid_t hire_bystander(stage_t* g) {
  int pipes[2];
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork_peer();
  if (child == 0) {
    close(pipes[1]);
    _exit(echo_until_told(g->uri, pipes[0]));
  }
  close(pipes[0]);
  g->bystander_in = pipes[1];
  return child;
}

static void run_stage(stage_t* g) {
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  close(g->pipe[0]);
  close(g->pipe[1]);
  if (g->bystander_in != 0) close(g->bystander_in);
  leave_peer(g->victim);
}

static bool is(mcq_msg_t* msg, const char* text) {
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  return frame.len == strlen(text) && memcmp(frame.data, text, frame.len) == 0;
}

/* ---- in the middle of their message -------------------------------------- */

static void on_told(uv_poll_t* handle, int status, int events) {
  stage_t* g = (stage_t*) handle->data;
  assert_int_equal(status, 0);
  (void) events;
  release_handle((uv_handle_t*) handle);
  kill_victim(g);
  assert_int_equal(mcq_peer_resume(g->socket, g->peer), 0);
}

static void hear_theirs(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  mcq_frame_t go = {"go", 2};
  if (is(msg, "again")) {
    mcq_ctx_close(g->ctx, NULL);
    return;
  }
  g->messages++;
  assert_int_equal(mcq_msg_count(msg), 1);
  assert_true(is(msg, "whole") || is(msg, "here"));
  if (!is(msg, "whole")) return;
  assert_int_equal(mcq_peer_pause(s, peer), 0);
  assert_int_equal(mcq_send_to(s, peer, &go, 1), 0);
}

static void cut_theirs(int backend) {
  stage_t g;
  open_stage(&g, backend, MCQ_ROUTER, hear_theirs);
  pid_t bystander = hire_bystander(&g);
  g.victim = fork_peer();
  if (g.victim == 0) be_cut_off(g.uri, g.pipe[1]);
  assert_int_equal(uv_poll_init(&g.loop, &g.told, g.pipe[0]), 0);
  g.told.data = &g;
  uv_poll_start(&g.told, UV_READABLE, on_told);
  run_stage(&g);
  join_peer(bystander);
  assert_int_equal(g.messages, 2);
  assert_int_equal(g.downs, 1);
  if (g.info.reason != UV_ECONNRESET)
    assert_int_equal(g.info.reason, MCQ_EPARTIAL);
}

/* ---- in the middle of ours ----------------------------------------------- */

/* Part of the large message is with the kernel now. */
static void on_watch(uv_idle_t* watch) {
  stage_t* g = (stage_t*) watch->data;
  mcq_stats_t stats;
  mcq_stats(g->socket, &stats);
  if (stats.bytes_queued > LARGEST - (size_t) STARTED) return;
  release_handle((uv_handle_t*) watch);
  kill_victim(g);
}

/* The victim reads no more and gets what it cannot take, and more behind. */
static void overwhelm(stage_t* g) {
  parts_t parts;
  int status;
  kill(g->victim, SIGSTOP);
  assert_int_equal(waitpid(g->victim, &status, WUNTRACED), g->victim);
  assert_true(WIFSTOPPED(status));
  parts_of(PLAN_ROOM, 0, &parts);
  parts.frames[0].len = LARGEST;
  assert_int_equal(mcq_send_to(g->socket, g->peer, parts.frames, 1), 0);
  for (unsigned i = 0; i < BEHIND; i++) {
    mcq_frame_t late[2] = {{"late", 4}, {&i, sizeof i}};
    assert_int_equal(mcq_send_to(g->socket, g->peer, late, 2), 0);
  }
  assert_int_equal(uv_idle_init(&g->loop, &g->watch), 0);
  g->watch.data = g;
  uv_idle_start(&g->watch, on_watch);
}

static void hear_hellos(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  (void) peer;
  if (is(msg, "again")) {
    mcq_ctx_close(g->ctx, NULL);
    return;
  }
  if (++g->messages == 2) overwhelm(g);
}

static void cut_ours(int backend) {
  stage_t g;
  open_stage(&g, backend, MCQ_ROUTER, hear_hellos);
  pid_t bystander = hire_bystander(&g);
  g.victim = fork_peer();
  if (g.victim == 0) be_stopped(g.uri);
  run_stage(&g);
  join_peer(bystander);
  assert_int_equal(g.messages, 2);
  assert_int_equal(g.downs, 1);
  assert_true(g.info.reason < 0);
  assert_int_equal(g.info.unsure_messages, 1);
  assert_int_equal(g.info.lost_messages, BEHIND);
}

/* ---- and another takes its place ----------------------------------------- */

/* A ROUTER there that is stopped, killed and replaced: a message cut off goes
 * again whole on the next connection, those behind it follow. */
static void be_router(const char* uri, int out) {
  char at[URI_MAX] = {0};
  char id[8];
  size_t len = sizeof at;
  parts_t parts;
  void* s = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER);
  MUST(zmq_bind(s, uri) == 0);
  MUST(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, at, &len) == 0);
  MUST(write(out, at, sizeof at) == sizeof at);
  zmq_msg_t body;
  zmq_msg_init(&body);
  parts_of(PLAN_ROOM, 0, &parts);
  int id_len = zmq_recv(s, id, sizeof id, 0);
  MUST(id_len == 5);
  MUST(zmq_msg_recv(&body, s, 0) == (int) LARGEST && !zmq_msg_more(&body));
  MUST(memcmp(zmq_msg_data(&body), parts.frames[0].data, LARGEST) == 0);
  for (unsigned i = 0; i < BEHIND; i++) {
    unsigned number;
    MUST(zmq_recv(s, at, sizeof at, 0) == id_len);
    MUST(zmq_recv(s, at, sizeof at, 0) == 4 && memcmp(at, "late", 4) == 0);
    MUST(zmq_recv(s, &number, sizeof number, 0) == sizeof number);
    MUST(number == i);
  }
  MUST(zmq_send(s, id, (size_t) id_len, ZMQ_SNDMORE) == id_len);
  MUST(zmq_send(s, "done", 4, 0) == 4);
  for (;;) zmq_poll(NULL, 0, 1000);
}

static pid_t hire_router(stage_t* g) {
  pid_t child = fork_peer();
  if (child == 0)
    be_router(g->uri[0] == '\0' ? "tcp://127.0.0.1:*" : g->uri, g->pipe[1]);
  assert_int_equal(read(g->pipe[0], g->uri, URI_MAX), URI_MAX);
  return child;
}

static void on_router_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  g->peer = info->peer;
  if (++g->ups == 1) overwhelm(g);
}

static void on_router_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  if (++g->downs > 1) {
    assert_int_equal(g->messages, 1); /* or it left unsatisfied */
    return;
  }
  g->info = *info;
  leave_peer(g->victim);
  g->victim = hire_router(g);
}

static void hear_done(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  (void) peer;
  assert_true(is(msg, "done"));
  g->messages++;
  mcq_ctx_close(g->ctx, NULL);
}

static void replace_theirs(int backend) {
  stage_t g;
  open_stage(&g, backend, MCQ_DEALER, hear_done);
  g.victim = hire_router(&g);
  assert_int_equal(mcq_connect(g.socket, g.uri, NULL, NULL), 0);
  run_stage(&g);
  assert_int_equal(g.messages, 1);
  assert_int_equal(g.ups, 2);
  assert_int_equal(g.downs, 2);
  assert_true(g.info.reason < 0);
  assert_int_equal(g.info.unsure_messages, 0);
  assert_int_equal(g.info.lost_messages, 0);
}

/* -------------------------------------------------------------------------- */

static void over(int backend) {
  for (int i = 0; i < ROUNDS; i++) {
    cut_theirs(backend);
    cut_ours(backend);
    replace_theirs(backend);
  }
}

static void over_uv(void** state) {
  (void) state;
  over(MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  over(second_backend());
}

int main(void) {
  parts_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(over_uv, kill_peers),
      cmocka_unit_test_teardown(over_uring, kill_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
