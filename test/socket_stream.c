/* SPDX-License-Identifier: MIT */
/* STREAM beside plain TCP: what is sent is all that travels, chunks come in
 * order, one empty frame ends a connection after what is queued. */
#include <stdlib.h>
#include <string.h>

#include "monocoque.h"
#include "support/pool.h"

#define BULK ((size_t) 1 << 20)

typedef struct stage {
  test_alloc_t alloc;
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* a; /* bound */
  mcq_socket_t* b; /* connected */
  mcq_endpoint_t at;
  mcq_peer_t peer; /* of a */
  unsigned ups, downs;
  char got[4096]; /* by a */
  size_t got_len;
  size_t bulk; /* by b */
  uv_tcp_t client;
  uv_connect_t request;
  char heard[4096]; /* by the client */
  size_t heard_len;
  bool eof;
} stage_t;

static stage_t* of(const mcq_socket_t* s) {
  return (stage_t*) mcq_socket_data(s);
}

static void open_stage(stage_t* g, int backend) {
  memset(g, 0, sizeof *g);
  test_alloc_init(&g->alloc);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&g->alloc)};
  assert_int_equal(mcq_ctx_new(&g->loop, &o, &g->ctx), 0);
}

static void close_stage(stage_t* g) {
  mcq_ctx_close(g->ctx, NULL);
  uv_run(&g->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  assert_int_equal(g->alloc.live, 0);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  assert_string_equal(info->mechanism, "");
  g->ups++;
  if (s == g->a) g->peer = info->peer;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  of(s)->downs++;
}

static void on_chunk(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  (void) peer;
  assert_int_equal(mcq_msg_count(msg), 1);
  assert_true(f.len > 0);
  if (s == g->b) {
    g->bulk += f.len;
    return;
  }
  assert_true(g->got_len + f.len <= sizeof g->got);
  memcpy(g->got + g->got_len, f.data, f.len);
  g->got_len += f.len;
}

static mcq_socket_t* make(stage_t* g) {
  mcq_socket_t* s;
  mcq_socket_options_t o = {.type = MCQ_STREAM,
                            .data = g,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .on_message = on_chunk};
  assert_int_equal(mcq_socket_new(g->ctx, &o, &s), 0);
  return s;
}

static void bind_a(stage_t* g) {
  g->a = make(g);
  assert_int_equal(mcq_bind(g->a, "tcp://127.0.0.1:0", &g->at), 0);
}

#define UNTIL(condition) \
  while (!(condition)) uv_run(&g->loop, UV_RUN_NOWAIT)

/* ---- a plain client ------------------------------------------------------ */

static void on_alloc(uv_handle_t* h, size_t size, uv_buf_t* out) {
  stage_t* g = (stage_t*) h->data;
  (void) size;
  *out = uv_buf_init(g->heard + g->heard_len,
                     (unsigned) (sizeof g->heard - g->heard_len));
}

static void on_heard(uv_stream_t* h, ssize_t n, const uv_buf_t* buf) {
  stage_t* g = (stage_t*) h->data;
  (void) buf;
  if (n > 0) g->heard_len += (size_t) n;
  if (n < 0) g->eof = true;
}

static void on_connected(uv_connect_t* request, int status) {
  assert_int_equal(status, 0);
  uv_read_start(request->handle, on_alloc, on_heard);
}

static void call(stage_t* g) {
  struct sockaddr_in to;
  const char* uri = mcq_endpoint_uri(g->a, g->at);
  uv_ip4_addr("127.0.0.1", atoi(strrchr(uri, ':') + 1), &to);
  uv_tcp_init(&g->loop, &g->client);
  g->client.data = g;
  assert_int_equal(uv_tcp_connect(&g->request, &g->client,
                                  (struct sockaddr*) &to, on_connected),
                   0);
  UNTIL(g->ups == 1);
}

static void say(stage_t* g, const char* text) {
  uv_buf_t b = uv_buf_init((char*) (uintptr_t) text, (unsigned) strlen(text));
  assert_int_equal(uv_try_write((uv_stream_t*) &g->client, &b, 1), b.len);
}

static void hang_up(stage_t* g) {
  uv_close((uv_handle_t*) &g->client, NULL);
}

/* ---- scenes -------------------------------------------------------------- */

static void only_what_is_sent_travels(stage_t* g) {
  char id[256];
  mcq_peer_info_t info;
  bind_a(g);
  call(g);
  for (int i = 0; i < 20; i++) uv_run(&g->loop, UV_RUN_NOWAIT);
  assert_int_equal(g->heard_len, 0); /* no greeting */
  say(g, "GET / HTTP/1.0\r\n\r\n");
  UNTIL(g->got_len == 18);
  assert_memory_equal(g->got, "GET / HTTP/1.0\r\n\r\n", 18);
  assert_int_equal(mcq_peer_info(g->a, g->peer, &info), 0);
  assert_int_equal(info.routing_id_len, 5);
  memcpy(id, info.routing_id, 5);
  mcq_frame_t answer[] = {{id, 5}, {"HTTP/1.0 ", 9}, {"", 0}, {"200 OK", 6}};
  assert_int_equal(mcq_send(g->a, answer, 4), 0);
  mcq_frame_t last[] = {{id, 5}, {"\r\n\r\n", 4}};
  assert_int_equal(mcq_send(g->a, last, 2), 0);
  mcq_frame_t over[] = {{id, 5}, {"", 0}};
  assert_int_equal(mcq_send(g->a, over, 2), 0);
  UNTIL(g->eof);
  assert_int_equal(g->heard_len, 19);
  assert_memory_equal(g->heard, "HTTP/1.0 200 OK\r\n\r\n", 19);
  hang_up(g);
  UNTIL(g->downs == 1);
  assert_int_equal(mcq_send(g->a, last, 2), MCQ_EHOSTUNREACH);
  assert_int_equal(mcq_send_to(g->a, g->peer, &last[1], 1), MCQ_EPEERGONE);
}

static void what_makes_no_sense(stage_t* g) {
  mcq_frame_t nobody[] = {{"nobody", 6}, {"x", 1}};
  mcq_frame_t nothing[] = {{"", 0}, {"", 0}};
  bind_a(g);
  assert_int_equal(mcq_send(g->a, nobody, 1), MCQ_EINVAL);
  assert_int_equal(mcq_send(g->a, nobody, 2), MCQ_EHOSTUNREACH);
  call(g);
  assert_int_equal(mcq_send_to(g->a, g->peer, nothing, 2), 0); /* no bytes */
  say(g, "still there");
  UNTIL(g->got_len == 11);
  assert_int_equal(g->downs, 0);
  hang_up(g);
  UNTIL(g->downs == 1);
}

static void paused_chunks_wait(stage_t* g) {
  bind_a(g);
  call(g);
  assert_int_equal(mcq_pause(g->a), 0);
  say(g, "one");
  for (int i = 0; i < 20; i++) uv_run(&g->loop, UV_RUN_NOWAIT);
  assert_int_equal(g->got_len, 0);
  say(g, "two");
  assert_int_equal(mcq_resume(g->a), 0);
  UNTIL(g->got_len == 6);
  assert_memory_equal(g->got, "onetwo", 6);
  hang_up(g);
  UNTIL(g->downs == 1);
}

/* Both sides ours: one connects, nothing waits for a connection. */
static void two_of_them(stage_t* g) {
  char* bulk = calloc(1, BULK);
  bind_a(g);
  g->b = make(g);
  assert_int_equal(mcq_connect(g->b, mcq_endpoint_uri(g->a, g->at), NULL, NULL),
                   0);
  UNTIL(g->ups == 2);
  mcq_frame_t f = {bulk, BULK};
  assert_int_equal(mcq_send_to(g->a, g->peer, &f, 1), 0);
  UNTIL(g->bulk == BULK);
  assert_int_equal(mcq_peer_close(g->a, g->peer), 0);
  UNTIL(g->downs == 2);
  free(bulk);
}

/* Who connects may say what to call the other side, and knows it so from then
 * on. */
static void named_by_who_connects(stage_t* g) {
  mcq_connect_options_t o = {.routing_id = "there", .routing_id_len = 5};
  mcq_frame_t hello[] = {{"there", 5}, {"hello", 5}};
  mcq_peer_t peer;
  bind_a(g);
  g->b = make(g);
  const char* uri = mcq_endpoint_uri(g->a, g->at);
  assert_int_equal(mcq_connect(g->b, uri, &o, NULL), 0);
  o.flags = MCQ_CONNECT_MULTI;
  assert_int_equal(mcq_connect(g->b, uri, &o, NULL), MCQ_EEXIST);
  assert_int_equal(mcq_send(g->b, hello, 2), MCQ_EHOSTUNREACH); /* not yet */
  for (unsigned round = 1; round <= 2; round++) {
    UNTIL(g->ups == 2 * round);
    assert_int_equal(mcq_peer_find(g->b, "there", 5, &peer), 0);
    assert_int_equal(mcq_send(g->b, hello, 2), 0);
    UNTIL(g->got_len == 5 * round);
    assert_memory_equal(g->got + 5 * (round - 1), "hello", 5);
    assert_int_equal(mcq_peer_close(g->a, g->peer), 0);
    UNTIL(g->downs == 2 * round);
  }
}

/* What it does not take it is not given. */
static void one_that_does_not_read(stage_t* g) {
  mcq_peer_info_t info;
  char id[5];
  char* bulk = calloc(1, BULK);
  bind_a(g);
  call(g);
  uv_read_stop((uv_stream_t*) &g->client);
  assert_int_equal(mcq_peer_info(g->a, g->peer, &info), 0);
  memcpy(id, info.routing_id, sizeof id);
  mcq_frame_t named[] = {{id, sizeof id}, {bulk, BULK}};
  int rc = 0;
  for (int i = 0; rc == 0; i++) {
    assert_true(i < 200);
    rc = mcq_send(g->a, named, 2);
    uv_run(&g->loop, UV_RUN_NOWAIT);
  }
  assert_int_equal(rc, MCQ_EAGAIN);
  assert_int_equal(mcq_send_to(g->a, g->peer, &named[1], 1), MCQ_EAGAIN);
  assert_int_equal(g->downs, 0);
  hang_up(g);
  UNTIL(g->downs == 1);
  free(bulk);
}

/* There is nobody to prove who he is, and no question that he would answer. */
static void what_it_has_no_words_for(stage_t* g) {
  static const mcq_socket_options_t bad[] = {
      {.type = MCQ_STREAM, .heartbeat_ms = 500},
      {.type = MCQ_STREAM, .flags = MCQ_PROBE_ROUTER},
      {.type = MCQ_STREAM, .flags = MCQ_ROUTER_REFUSE_TWIN},
      {.type = MCQ_STREAM, .flags = MCQ_CONFLATE},
  };
  mcq_socket_t* s;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(mcq_socket_new(g->ctx, &bad[i], &s), MCQ_EINVAL);
}

static void (*const scenes[])(stage_t* g) = {
    only_what_is_sent_travels, what_makes_no_sense,
    paused_chunks_wait,        two_of_them,
    named_by_who_connects,     one_that_does_not_read,
    what_it_has_no_words_for,
};

static void play(int backend) {
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
    static stage_t g;
    open_stage(&g, backend);
    scenes[i](&g);
    close_stage(&g);
  }
}

static void over_uv(void** state) {
  (void) state;
  play(MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_ctx_options_t o = {.backend = MCQ_BACKEND_URING};
  uv_loop_init(&loop);
  int rc = mcq_ctx_new(&loop, &o, &ctx);
  if (rc == 0) mcq_ctx_close(ctx, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  if (rc != 0) {
    print_message("no io_uring here: %s\n", mcq_strerror(rc));
    skip();
  }
  play(MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
