/* SPDX-License-Identifier: MIT */
/* A guest in the user's loop and process: with a thousand connections it adds
 * no thread, no signal handler, no output and no descriptor that a child
 * process would inherit, raises no SIGPIPE, and takes everything with it when
 * it goes.  And it may be shown the door at any time: whatever the callback,
 * each socket or the context may be closed in it. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctx.h"
#include "monocoque.h"
#include "support/alloc.h"
#include "support/backend.h"
#include "support/silence.h"

#define CONNECTIONS 1000
#define ROUNDS 5
#define ANSWERS 6
#define TURNS_MAX 100000

/* ---- the process, as others see it --------------------------------------- */

static int count_in(const char* path) {
  DIR* dir = opendir(path);
  int count = 0;
  assert_non_null(dir);
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

/* Calls `each` for every descriptor but that of the directory read. */
static void each_file(void (*each)(int fd)) {
  DIR* dir = opendir("/proc/self/fd");
  const struct dirent* entry;
  assert_non_null(dir);
  while ((entry = readdir(dir)) != NULL) {
    int fd = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(dir)) each(fd);
  }
  closedir(dir);
}

#define FILES_MAX 8192
static bool known[FILES_MAX];

static void know(int fd) {
  assert_true(fd < FILES_MAX);
  known[fd] = true;
}

static void must_close_on_exec(int fd) {
  if (known[fd]) return;
  int flags = fcntl(fd, F_GETFD);
  if (flags < 0 || (flags & FD_CLOEXEC) == 0)
    fail_msg("descriptor %d would be inherited", fd);
}

static void must_be_known(int fd) {
  if (!known[fd]) fail_msg("descriptor %d was left open", fd);
}

#define SIGNALS 65

typedef struct process {
  int threads;
  int files;
  struct sigaction actions[SIGNALS];
  sigset_t mask;
} process_t;

static void look_at(process_t* p) {
  memset(p, 0, sizeof *p);
  p->threads = count_in("/proc/self/task");
  p->files = count_in("/proc/self/fd");
  for (int i = 1; i < SIGNALS; i++) sigaction(i, NULL, &p->actions[i]);
  sigprocmask(SIG_SETMASK, NULL, &p->mask);
}

/* The kernel's part of a set is smaller than the C library's. */
static void same_set(const sigset_t* a, const sigset_t* b) {
  for (int i = 1; i < SIGNALS; i++)
    assert_int_equal(sigismember(a, i), sigismember(b, i));
}

static void same_signals(const process_t* a, const process_t* b) {
  for (int i = 1; i < SIGNALS; i++) {
    assert_true(a->actions[i].sa_handler == b->actions[i].sa_handler);
    assert_int_equal(a->actions[i].sa_flags, b->actions[i].sa_flags);
    same_set(&a->actions[i].sa_mask, &b->actions[i].sa_mask);
  }
  same_set(&a->mask, &b->mask);
}

/* ---- a thousand connections ---------------------------------------------- */

typedef struct crowd {
  uv_loop_t loop;
  test_alloc_t memory;
  mcq_ctx_t* ctx;
  mcq_socket_t* router;
  mcq_socket_t* dealer;
  unsigned ups, downs, messages;
  bool left;
} crowd_t;

static crowd_t* crowd_of(mcq_socket_t* s) {
  return (crowd_t*) mcq_ctx_data(mcq_socket_ctx(s));
}

static void greet(mcq_socket_t* s, const mcq_peer_info_t* info) {
  crowd_t* c = crowd_of(s);
  mcq_frame_t part = {"hello", 5};
  c->ups++;
  assert_int_equal(mcq_send_to(s, info->peer, &part, 1), 0);
}

static void count_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  crowd_of(s)->downs++;
}

static void bounce(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  crowd_t* c = crowd_of(s);
  if (s == c->router && ++c->messages >= CONNECTIONS * ROUNDS &&
      c->ups == CONNECTIONS)
    return;
  int rc = mcq_send_msg_to(s, peer, msg);
  assert_int_equal(rc, 0);
}

static void on_left(void* data) {
  ((crowd_t*) data)->left = true;
}

static void fill_loop(crowd_t* c, int backend) {
  mcq_endpoint_t at;
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&c->memory),
                         .data = c};
  mcq_socket_options_t r = {.type = MCQ_ROUTER,
                            .on_message = bounce,
                            .on_peer_up = greet,
                            .on_peer_down = count_down};
  mcq_socket_options_t d = {.type = MCQ_DEALER, .on_message = bounce};
  mcq_connect_options_t multi = {.flags = MCQ_CONNECT_MULTI};
  assert_int_equal(mcq_ctx_new(&c->loop, &o, &c->ctx), 0);
  assert_int_equal(mcq_socket_new(c->ctx, &r, &c->router), 0);
  assert_int_equal(mcq_socket_new(c->ctx, &d, &c->dealer), 0);
  assert_int_equal(mcq_bind(c->router, "tcp://127.0.0.1:*", &at), 0);
  each_file(must_close_on_exec);
  const char* uri = mcq_endpoint_uri(c->router, at);
  for (int i = 0; i < CONNECTIONS; i++)
    assert_int_equal(mcq_connect(c->dealer, uri, &multi, NULL), 0);
}

/* With what libuv itself keeps open once a loop has had a stream. */
static void open_plain_loop(uv_loop_t* loop) {
  uv_tcp_t tcp;
  uv_loop_init(loop);
  uv_tcp_init(loop, &tcp);
  uv_close((uv_handle_t*) &tcp, NULL);
  assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
}

static void a_thousand(int backend) {
  static crowd_t c;
  static process_t before, during, after;
  memset(&c, 0, sizeof c);
  test_alloc_init(&c.memory);
  open_plain_loop(&c.loop);
  memset(known, 0, sizeof known);
  each_file(know);
  look_at(&before);
  fill_loop(&c, backend);
  for (int i = 0; c.messages < CONNECTIONS * ROUNDS || c.ups < CONNECTIONS;
       i++) {
    uv_run(&c.loop, UV_RUN_ONCE);
    if (c.ups < CONNECTIONS && i % 8 == 0) each_file(must_close_on_exec);
  }
  assert_int_equal(c.ups, CONNECTIONS);
  assert_int_equal(c.downs, 0);
  look_at(&during);
  assert_int_equal(during.threads, before.threads);
  assert_true(during.files >= before.files + 2 * CONNECTIONS);
  same_signals(&before, &during);
  each_file(must_close_on_exec);
  mcq_ctx_close(c.ctx, on_left);
  assert_int_equal(uv_run(&c.loop, UV_RUN_DEFAULT), 0);
  assert_true(c.left);
  assert_int_equal(c.downs, CONNECTIONS);
  each_file(must_be_known);
  look_at(&after);
  assert_int_equal(after.threads, before.threads);
  assert_int_equal(after.files, before.files);
  same_signals(&before, &after);
  assert_int_equal(uv_loop_close(&c.loop), 0);
  assert_int_equal(c.memory.live, 0);
}

/* ---- words of a plain client --------------------------------------------- */

static int stranger(const char* uri, const void* words, size_t len) {
  struct sockaddr_in to;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  uv_ip4_addr("127.0.0.1", atoi(strrchr(uri, ':') + 1), &to);
  assert_int_equal(connect(fd, (const struct sockaddr*) &to, sizeof to), 0);
  assert_int_equal(send(fd, words, len, MSG_NOSIGNAL), (ssize_t) len);
  return fd;
}

static void reset(int fd) {
  struct linger none = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
}

/* A greeting, a DEALER's READY, and a command that nobody knows. */
static const char hello[] =
    "\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
    "DEALER"
    "\x04\x04\x03HUH";

/* ---- no SIGPIPE ---------------------------------------------------------- */

static volatile sig_atomic_t pipes;

static void on_sigpipe(int number) {
  (void) number;
  pipes++;
}

typedef struct vanishing {
  int fd;
  unsigned downs;
} vanishing_t;

/* The peer breaks off and is written to before anybody could notice. */
static void write_to_the_gone(mcq_socket_t* s, const mcq_peer_info_t* info) {
  vanishing_t* v = (vanishing_t*) mcq_ctx_data(mcq_socket_ctx(s));
  static const char large[1 << 17];
  mcq_frame_t part = {large, sizeof large};
  reset(v->fd);
  for (int i = 0; i < 20; i++)
    assert_int_equal(mcq_send_to(s, info->peer, &part, 1), 0);
}

static void the_gone_is_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  vanishing_t* v = (vanishing_t*) mcq_ctx_data(mcq_socket_ctx(s));
  assert_true(info->reason != 0);
  v->downs++;
  mcq_ctx_close(mcq_socket_ctx(s), NULL);
}

static void a_peer_vanishes(int backend) {
  struct sigaction counting, old;
  memset(&counting, 0, sizeof counting);
  counting.sa_handler = on_sigpipe;
  sigaction(SIGPIPE, &counting, &old);
  pipes = 0;
  for (int i = 0; i < 20; i++) {
    uv_loop_t loop;
    mcq_ctx_t* ctx;
    mcq_socket_t* s;
    mcq_endpoint_t at;
    vanishing_t v = {0};
    mcq_ctx_options_t o = {.backend = backend, .data = &v};
    mcq_socket_options_t so = {.type = MCQ_ROUTER,
                               .on_peer_up = write_to_the_gone,
                               .on_peer_down = the_gone_is_down};
    uv_loop_init(&loop);
    assert_int_equal(mcq_ctx_new(&loop, &o, &ctx), 0);
    assert_int_equal(mcq_socket_new(ctx, &so, &s), 0);
    assert_int_equal(mcq_bind(s, "tcp://127.0.0.1:*", &at), 0);
    v.fd = stranger(mcq_endpoint_uri(s, at), hello, sizeof hello - 1);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(v.downs, 1);
  }
  assert_int_equal(pipes, 0);
  sigaction(SIGPIPE, &old, NULL);
}

/* ---- closing in any callback --------------------------------------------- */

enum {
  IN_MESSAGE = 32, /* below: events, by their kind */
  IN_UP,
  IN_DOWN,
  IN_DRAIN,
  IN_CLOSE,
  PLACES
};

typedef enum blow {
  CLOSE_OWN,
  CLOSE_OTHER,
  CLOSE_BOTH,
  CLOSE_ALL,
  BLOWS
} blow_t;

static const char* const blow_names[BLOWS] = {"own socket", "other socket",
                                              "both sockets", "context"};

typedef struct party {
  uv_loop_t loop;
  test_alloc_t memory;
  uint64_t now;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket[2]; /* a ROUTER, a DEALER; NULL: its on_close ran */
  bool closed[2];          /* mcq_close was called */
  unsigned on_closes[2];
  unsigned up[2];
  unsigned answers;
  unsigned callbacks;
  unsigned at; /* the callback that strikes */
  blow_t blow;
  bool kicked; /* the ROUTER closed its peer */
  bool struck, all_closed, left;
} party_t;

static party_t party;
static unsigned struck_in[PLACES]; /* over all plays */

static uint64_t party_clock(void* arg) {
  return ((const party_t*) arg)->now;
}

static int index_of(mcq_socket_t* s) {
  return s == party.socket[0] ? 0 : 1;
}

static void on_close(const mcq_close_info_t* info);

/* Sockets that go with the context go without a word. */
static void close_one(int i, bool alive) {
  if (party.socket[i] == NULL || (party.all_closed && !alive)) return;
  if (!party.all_closed) party.closed[i] = true;
  mcq_close(party.socket[i], on_close);
  mcq_close(party.socket[i], NULL); /* the first one counts */
}

static void on_party_left(void* data) {
  assert_true(data == &party);
  assert_false(party.left);
  party.left = true;
}

/* The context closes sockets without a callback; those closed before keep
 * theirs. */
static void close_ctx(void) {
  if (party.all_closed) return;
  party.all_closed = true;
  mcq_ctx_close(party.ctx, on_party_left);
}

/* Every callback comes here first; `own` is its socket. */
static void strike(int place, int own) {
  assert_false(party.left);
  if (++party.callbacks != party.at) return;
  party.struck = true;
  struck_in[place]++;
  if (party.blow == CLOSE_OWN || party.blow == CLOSE_BOTH) close_one(own, true);
  if (party.blow == CLOSE_OTHER || party.blow == CLOSE_BOTH)
    close_one(!own, false);
  if (party.blow == CLOSE_ALL) close_ctx();
  if (party.socket[own] == NULL || place == IN_CLOSE) return;
  if (party.closed[own] || party.all_closed)
    assert_int_equal(mcq_send_text(party.socket[own], "late"), MCQ_ECLOSED);
}

static void on_close(const mcq_close_info_t* info) {
  int i = (int) ((party_t**) info->data - (party_t**) party.socket);
  assert_int_equal(++party.on_closes[i], 1);
  strike(IN_CLOSE, i);
  party.socket[i] = NULL;
}

/* Refused at first, while nobody is there: that makes on_drain come. */
static void ask(int count) {
  if (party.closed[1] || party.all_closed || party.answers >= ANSWERS) return;
  while (count-- > 0)
    if (mcq_send_text(party.socket[1], "question") != 0) return;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  int i = index_of(s);
  assert_false(party.closed[i] || party.all_closed);
  if (i == 0)
    (void) mcq_send_msg_to(s, peer, msg);
  else
    party.answers++;
  strike(IN_MESSAGE, i);
  if (i == 1) ask(1);
  assert_int_equal(mcq_msg_frame(msg, 0).len, 8); /* still ours to read */
  if (i != 0 || party.kicked || party.answers < 3) return;
  party.kicked = true;
  (void) mcq_peer_close(s, peer);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  mcq_peer_info_t again;
  int i = index_of(s);
  party.up[i]++;
  strike(IN_UP, i);
  (void) mcq_peer_info(s, info->peer, &again);
  if (i == 1) ask(2);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  int i = index_of(s);
  assert_true(party.up[i] > 0);
  party.up[i]--;
  strike(IN_DOWN, i);
}

static void on_drain(mcq_socket_t* s) {
  int i = index_of(s);
  assert_false(party.closed[i] || party.all_closed);
  strike(IN_DRAIN, i);
  if (i == 1) ask(2);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  strike((int) e->kind, index_of(s));
  assert_non_null(e->text == NULL ? "" : e->text);
}

static mcq_socket_t* invite(int i, int type, int flags) {
  mcq_socket_options_t o = {.type = type,
                            .flags = flags,
                            .data = &party.socket[i],
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .on_drain = on_drain,
                            .on_event = on_event,
                            .sndhwm = 2,
                            .linger_ms = 100,
                            .reconnect_ms = 50};
  assert_int_equal(mcq_socket_new(party.ctx, &o, &party.socket[i]), 0);
  return party.socket[i];
}

static void turn(void) {
  uv_run(&party.loop, UV_RUN_NOWAIT);
  party.now += 5;
}

/* A DEALER that asks more than it may, a peer closed in the middle, an address
 * where nobody is, a client that speaks HTTP and one that says odd things. */
static bool play(int backend, blow_t blow, unsigned at) {
  mcq_endpoint_t end;
  int strangers[2];
  memset(&party, 0, sizeof party);
  party.blow = blow;
  party.at = at;
  party.now = 1000;
  test_alloc_init(&party.memory);
  uv_loop_init(&party.loop);
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&party.memory),
                         .data = &party};
  mcq__seams_t seams = {.clock = party_clock, .clock_arg = &party, .seed = 1};
  assert_int_equal(mcq__ctx_open(&party.loop, &o, &seams, &party.ctx), 0);
  mcq_socket_t* router = invite(0, MCQ_ROUTER, 0);
  mcq_socket_t* dealer = invite(1, MCQ_DEALER, MCQ_IMMEDIATE);
  assert_int_equal(mcq_bind(router, "tcp://127.0.0.1:*", &end), 0);
  const char* uri = mcq_endpoint_uri(router, end);
  strangers[0] = stranger(uri, "GET / HTTP/1.1\r\n\r\n", 18);
  strangers[1] = stranger(uri, hello, sizeof hello - 1);
  assert_int_equal(mcq_connect(dealer, uri, NULL, NULL), 0);
  assert_int_equal(mcq_connect(dealer, "tcp://127.0.0.1:1", NULL, NULL), 0);
  ask(2);
  for (int i = 0; i < TURNS_MAX && party.answers < ANSWERS && !party.struck;
       i++)
    turn();
  for (int i = 0; i < 30; i++) turn();
  close(strangers[0]);
  close(strangers[1]);
  /* The end of those that were not struck before, and they may be struck yet:
   * one by one, or all at once. */
  if (!party.all_closed && blow != CLOSE_ALL) {
    close_one(1, false);
    for (int i = 0; i < 10; i++) turn();
  }
  close_ctx();
  for (int i = 0; i < TURNS_MAX && uv_loop_alive(&party.loop); i++) turn();
  assert_true(party.left);
  assert_int_equal(uv_loop_close(&party.loop), 0);
  assert_int_equal(party.memory.live, 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(party.up[i], 0); /* each up had its down */
    assert_int_equal(party.on_closes[i], party.closed[i]);
  }
  if (!party.struck) assert_true(party.answers >= ANSWERS);
  return party.struck;
}

/* The n-th callback strikes, for each n, in each way. */
static void in_any_callback(int backend) {
  static const int must[] = {
      IN_MESSAGE,
      IN_UP,
      IN_DOWN,
      IN_DRAIN,
      IN_CLOSE,
      MCQ_EVENT_LISTENING,
      MCQ_EVENT_ACCEPTED,
      MCQ_EVENT_CONNECTING,
      MCQ_EVENT_CONNECTED,
      MCQ_EVENT_CONNECT_FAILED,
      MCQ_EVENT_RETRY,
      MCQ_EVENT_HANDSHAKE_OK,
      MCQ_EVENT_HANDSHAKE_FAILED,
      MCQ_EVENT_DISCONNECTED,
      MCQ_EVENT_CLOSED,
      MCQ_EVENT_COMMAND,
  };
  memset(struck_in, 0, sizeof struck_in);
  for (int blow = 0; blow < BLOWS; blow++) {
    for (unsigned at = 1;; at++) {
      snprintf(silence_note, sizeof silence_note, "%s at callback %u",
               blow_names[blow], at);
      if (!play(backend, (blow_t) blow, at)) break;
    }
  }
  for (size_t i = 0; i < sizeof must / sizeof *must; i++)
    if (struck_in[must[i]] == 0) fail_msg("nothing came at %d", must[i]);
}

/* ---- back ends ----------------------------------------------------------- */

static bool uring_here;

static void over_both(void (*scene)(int backend)) {
  scene(MCQ_BACKEND_UV);
  if (uring_here) scene(MCQ_BACKEND_URING);
}

static void leaves_no_trace(void** state) {
  (void) state;
  over_both(a_thousand);
}

static void raises_no_sigpipe(void** state) {
  (void) state;
  over_both(a_peer_vanishes);
}

static void closes_in_any_callback(void** state) {
  (void) state;
  over_both(in_any_callback);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(leaves_no_trace, silence_begin,
                                      silence_end),
      cmocka_unit_test_setup_teardown(raises_no_sigpipe, silence_begin,
                                      silence_end),
      cmocka_unit_test_setup_teardown(closes_in_any_callback, silence_begin,
                                      silence_end),
  };
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 4 * CONNECTIONS) files.rlim_cur = 4 * CONNECTIONS;
  if (files.rlim_cur > files.rlim_max) files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 3 * CONNECTIONS) {
    printf("not enough descriptors: %lu\n", (unsigned long) files.rlim_cur);
    return 77;
  }
  uring_here = backend_is_here(MCQ_BACKEND_URING);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
