/* SPDX-License-Identifier: MIT */
/* A system that fails: whole exchanges between a ROUTER and a DEALER over tcp,
 * with the n-th call of one kind failing, for each n, each plausible error and
 * every back end; and with all of them failing for a while.  Whoever called
 * learns of it by a code or an event, nothing hangs, spins, prints or leaks,
 * and when the system has recovered the exchange completes. */
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctx.h"
#include "monocoque.h"
#include "support/alloc.h"
#include "support/fault_calls.h"
#include "support/nap.h"
#include "support/silence.h"

#define ROUNDS 4
#define LARGE 300000
#define BURST 50

/* Virtual ms that the clock moves when nobody has anything to do; how many
 * such moves a lasting failure lasts, an answer is awaited (without and with a
 * word of warning), pass in no time, and a whole play may take. */
#define STEP 25
#define FAILING_MOVES 60
#define SILENT_MOVES 240
#define WARNED_MOVES 20
#define HURRY_MOVES 100
#define MOVES_MAX 4000

/* Turns of the loop in which something happened.  An undisturbed play has
 * less than a hundred; a loop that spins has this many at once. */
#define BUSY_MAX 3000

/* Descriptors, open now. */
static int count_files(void) {
  DIR* dir = opendir("/proc/self/fd");
  int count = 0;
  assert_non_null(dir);
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

/* ---- the play ------------------------------------------------------------ */

typedef struct fault {
  fault_call_t call; /* FAULT_NONE: an allocation */
  unsigned first;
  unsigned count; /* 0: all, for a while */
  int error;
} fault_t;

typedef enum scene {
  OPENING,
  MAKING,
  ANSWERING,
  BINDING,
  CONNECTING,
  ASKING,
  HEARING,
  DONE
} scene_t;

typedef struct play {
  uv_loop_t loop;
  uv_timer_t nap;
  test_alloc_t memory;
  mcq_ctx_t* ctx;
  mcq_socket_t* router;
  mcq_socket_t* dealer;
  mcq_endpoint_t at;
  int backend;
  const char* host;
  scene_t scene;
  int64_t linger_ms;
  uint64_t now;
  uint32_t round;   /* that is asked or answered */
  unsigned excuses; /* codes and events that told of a failure */
  unsigned repeats; /* questions asked again */
  unsigned moves, busy, since;
  unsigned silent; /* moves since the last answer, however often asked */
  int files;
  bool in_call;
} play_t;

static uint8_t large[LARGE];

static play_t* of(mcq_socket_t* s) {
  play_t* p = (play_t*) mcq_ctx_data(mcq_socket_ctx(s));
  assert_false(p->in_call);
  return p;
}

static uint64_t play_clock(void* arg) {
  return ((play_t*) arg)->now;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  play_t* p = of(s);
  switch (e->kind) {
    case MCQ_EVENT_ACCEPT_FAILED:
    case MCQ_EVENT_CONNECT_FAILED:
    case MCQ_EVENT_HANDSHAKE_FAILED:
    case MCQ_EVENT_DISCONNECTED:
      assert_int_not_equal(e->code, 0);
      p->excuses++;
      break;
    case MCQ_EVENT_STOPPED:
      fail_msg("the dialer gave up: %s", mcq_err_name(e->code));
      break;
    default:
      break;
  }
}

static void echo(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  play_t* p = of(s);
  p->in_call = true;
  int rc = mcq_send_msg_to(s, peer, msg);
  p->in_call = false;
  if (rc != 0) p->excuses++;
}

static void hear(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  play_t* p = of(s);
  (void) peer;
  uint32_t round;
  assert_int_equal(mcq_msg_count(msg), 3);
  assert_int_equal(mcq_msg_frame(msg, 0).len, sizeof round);
  memcpy(&round, mcq_msg_frame(msg, 0).data, sizeof round);
  mcq_frame_t body = mcq_msg_frame(msg, 2);
  assert_int_equal(body.len, round % 2 == 0 ? 5 : LARGE);
  assert_memory_equal(body.data, large, body.len);
  if (round == p->round && p->scene == HEARING) {
    p->round++;
    p->since = p->silent = 0;
    p->scene = p->round == ROUNDS ? DONE : ASKING;
  } else if (p->repeats == 0) {
    fail_msg("answer %u came twice", round);
  }
}

/* ---- what the user does -------------------------------------------------- */

static int open_ctx(play_t* p) {
  mcq_ctx_options_t o = {.backend = p->backend,
                         .allocator = test_alloc_allocator(&p->memory),
                         .data = p};
  mcq__seams_t seams = {.clock = play_clock, .clock_arg = p, .seed = 1};
  return mcq__ctx_open(&p->loop, &o, &seams, &p->ctx);
}

static int make_socket(play_t* p, int type, mcq_message_cb on_message,
                       mcq_socket_t** out) {
  mcq_socket_options_t o = {.type = type,
                            .on_message = on_message,
                            .on_event = on_event,
                            .linger_ms = p->linger_ms,
                            .reconnect_ms = 20,
                            .reconnect_max_ms = 100};
  return mcq_socket_new(p->ctx, &o, out);
}

static int connect_to(play_t* p) {
  char uri[64];
  const char* at = mcq_endpoint_uri(p->router, p->at);
  snprintf(uri, sizeof uri, "tcp://%s%s", p->host, strrchr(at, ':'));
  return mcq_connect(p->dealer, uri, NULL, NULL);
}

static int ask(play_t* p) {
  mcq_frame_t parts[3] = {
      {&p->round, sizeof p->round}, {"", 0}, {large, p->round % 2 ? LARGE : 5}};
  return mcq_send(p->dealer, parts, 3);
}

/* The next thing the user would do; one that fails is tried again later. */
static int perform(play_t* p) {
  switch (p->scene) {
    case OPENING:
      return open_ctx(p);
    case MAKING:
      return make_socket(p, MCQ_ROUTER, echo, &p->router);
    case ANSWERING:
      return make_socket(p, MCQ_DEALER, hear, &p->dealer);
    case BINDING:
      return mcq_bind(p->router, "tcp://127.0.0.1:*", &p->at);
    case CONNECTING:
      return connect_to(p);
    case ASKING:
      return ask(p);
    default:
      return 0;
  }
}

static void act(play_t* p) {
  while (p->scene < HEARING) {
    p->in_call = true;
    int rc = perform(p);
    p->in_call = false;
    if (rc != 0) {
      p->excuses++;
      return;
    }
    p->scene++;
  }
}

/* ---- the loop ------------------------------------------------------------ */

/* One turn.  True when the loop would now sleep. */
static bool turn(play_t* p) {
  unsigned long before = fault_polled();
  uv_run(&p->loop, UV_RUN_NOWAIT);
  bool awake = uv_loop_alive(&p->loop) && uv_backend_timeout(&p->loop) == 0;
  if (awake || fault_polled() != before) {
    if (++p->busy > BUSY_MAX) fail_msg("the loop spins");
    return false;
  }
  if (p->loop.active_reqs.count == 0) return true;
  /* A name is being looked up by another thread: that is worth waiting for. */
  uv_run(&p->loop, UV_RUN_ONCE);
  return false;
}

static void stop_failing(play_t* p) {
  fault_disarm();
  p->memory.fail_at = 0;
}

static void move_clock(play_t* p) {
  p->now += STEP;
  p->since++;
  if (++p->silent > HURRY_MOVES) nap(&p->nap);
  if (++p->moves > MOVES_MAX) fail_msg("the play hangs in scene %d", p->scene);
  if (p->moves == FAILING_MOVES) stop_failing(p);
}

static bool was_hit(const play_t* p) {
  return fault_hits() != 0 || atomic_load(&p->memory.failed) != 0;
}

static void converse(play_t* p) {
  while (p->scene != DONE) {
    act(p);
    if (!turn(p)) continue;
    move_clock(p);
    /* Who knows of a failure asks again soon. */
    unsigned patience = p->excuses == 0 ? SILENT_MOVES : WARNED_MOVES;
    if (p->scene != HEARING || p->since < patience) continue;
    /* Nothing is lost without a word. */
    if (p->excuses == 0) fail_msg("question %u was lost silently", p->round);
    p->scene = ASKING;
    p->since = 0;
    p->repeats++;
  }
}

static void part(play_t* p) {
  mcq_close(p->dealer, NULL);
  mcq_ctx_close(p->ctx, NULL);
  while (uv_loop_alive(&p->loop))
    if (turn(p)) move_clock(p);
}

static void arm(play_t* p, const fault_t* f) {
  /* Who leaves politely has nothing to cancel. */
  if (f->call == FAULT_RING_CANCEL) p->linger_ms = MCQ_LINGER_NONE;
  if (f->call != FAULT_NONE) {
    unsigned all = 1000000;
    fault_arm(f->call, f->first, f->count == 0 ? all : f->count, f->error);
  } else {
    fault_arm(FAULT_NONE, 0, 0, 0);
    p->memory.fail_at = f->first;
    p->memory.fail_after = f->count == 0;
  }
}

/* True when the failure came to pass. */
static bool run(int backend, const char* host, const fault_t* f) {
  play_t p;
  memset(&p, 0, sizeof p);
  p.backend = backend;
  p.host = host;
  p.now = 1000;
  test_alloc_init(&p.memory);
  int files = count_files();
  assert_int_equal(uv_loop_init(&p.loop), 0);
  uv_timer_init(&p.loop, &p.nap);
  arm(&p, f);
  converse(&p);
  part(&p);
  stop_failing(&p);
  uv_close((uv_handle_t*) &p.nap, NULL);
  assert_int_equal(uv_run(&p.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&p.loop), 0);
  assert_int_equal(p.memory.live, 0);
  assert_int_equal(count_files(), files);
  return was_hit(&p);
}

/* ---- the sweep ----------------------------------------------------------- */

static void tell(const char* call, int backend, const char* host,
                 const fault_t* f) {
  snprintf(silence_note, sizeof silence_note, "%s #%u%s error %d, %s, %s", call,
           f->first, f->count == 0 ? " and all after it," : "", f->error,
           backend == MCQ_BACKEND_UV ? "uv" : "uring", host);
}

typedef enum scope { BOTH, ONLY_UV, ONLY_URING } scope_t;

typedef struct calls {
  const char* name;
  fault_call_t call;
  scope_t scope;
  const char* host;
  int errors[12];
  int lasting[6]; /* those that may be the answer for a while */
  int bursts[4];  /* those that may come many times in a row */
} calls_t;

#define NUMBER "127.0.0.1"
#define NAME "localhost"

static const calls_t sweeps[] = {
    {"socket", FAULT_SOCKET, BOTH, NUMBER,
     .errors = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM, EINVAL},
     .lasting = {EMFILE, ENOMEM}},
    {"socket", FAULT_SOCKET, ONLY_UV, NAME,
     .errors = {EMFILE, ENOBUFS, EAFNOSUPPORT}, .lasting = {EMFILE}},
    {"socketpair", FAULT_SOCKETPAIR, ONLY_URING, NUMBER,
     .errors = {EMFILE, ENFILE, ENOMEM}, .lasting = {EMFILE}},
    {"epoll_create1", FAULT_EPOLL_CREATE, ONLY_URING, NUMBER,
     .errors = {EMFILE, ENFILE, ENOMEM}, .lasting = {EMFILE}},
    {"bind", FAULT_BIND, BOTH, NUMBER,
     .errors = {EADDRINUSE, EACCES, ENOMEM, EINVAL}, .lasting = {EADDRINUSE}},
    {"listen", FAULT_LISTEN, BOTH, NUMBER, .errors = {EADDRINUSE, ENOMEM},
     .lasting = {EADDRINUSE}},
    {"getsockname", FAULT_GETSOCKNAME, BOTH, NUMBER,
     .errors = {ENOBUFS, ENOMEM, EINVAL}, .lasting = {ENOBUFS}},
    {"getpeername", FAULT_GETPEERNAME, BOTH, NUMBER,
     .errors = {ENOBUFS, ENOTCONN, EINVAL}, .lasting = {ENOBUFS}},
    {"setsockopt", FAULT_SETSOCKOPT, BOTH, NUMBER,
     .errors = {ENOMEM, ENOBUFS, EINVAL, EPERM}, .lasting = {ENOMEM}},
    {"getsockopt", FAULT_GETSOCKOPT, BOTH, NUMBER,
     .errors = {ENOMEM, ENOBUFS, EINVAL}, .lasting = {ENOBUFS}},
    {"connect", FAULT_CONNECT, BOTH, NUMBER,
     .errors = {EAGAIN, EINTR, ENOMEM, ENOBUFS, EPERM, EINVAL, ECONNREFUSED,
                ENETUNREACH, ETIMEDOUT, EADDRNOTAVAIL},
     .lasting = {EAGAIN, ENOBUFS, EPERM, ECONNREFUSED}},
    {"connect", FAULT_CONNECT, BOTH, NAME,
     .errors = {ENOBUFS, EPERM, ECONNREFUSED}, .lasting = {ECONNREFUSED}},
    {"accept4", FAULT_ACCEPT, BOTH, NUMBER,
     .errors = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EINTR, EAGAIN, ECONNABORTED,
                ECONNRESET, EPERM, EINVAL, EPROTO},
     .lasting = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM},
     .bursts = {EINTR, EAGAIN, ECONNABORTED}},
    {"fcntl", FAULT_FCNTL, ONLY_URING, NUMBER, .errors = {EMFILE, EINVAL},
     .lasting = {EMFILE}},
    {"recv", FAULT_RECV, ONLY_UV, NUMBER,
     .errors = {EINTR, EAGAIN, ENOMEM, ENOBUFS, ECONNRESET, ETIMEDOUT, EINVAL},
     .lasting = {ENOMEM, ECONNRESET}, .bursts = {EINTR, EAGAIN}},
    {"sendmsg", FAULT_SENDMSG, ONLY_UV, NUMBER,
     .errors = {EINTR, EAGAIN, ENOMEM, ENOBUFS, ECONNRESET, EPIPE, EPERM,
                EINVAL},
     .lasting = {ENOMEM, ECONNRESET, EPERM},
     .bursts = {EINTR, EAGAIN, ENOBUFS}},
    {"getaddrinfo", FAULT_LOOKUP, BOTH, NAME,
     .errors = {EAI_AGAIN, EAI_FAIL, EAI_MEMORY, EAI_NONAME, EAI_SYSTEM},
     .lasting = {EAI_AGAIN, EAI_NONAME}},
    {"io_uring_setup", FAULT_RING_SETUP, ONLY_URING, NUMBER,
     .errors = {ENOMEM, EMFILE, ENFILE, EPERM, ENOSYS, EINVAL},
     .lasting = {ENOMEM, EMFILE}},
    {"io_uring_register", FAULT_RING_REGISTER, ONLY_URING, NUMBER,
     .errors = {ENOMEM, EINVAL}, .lasting = {ENOMEM}},
    {"io_uring_enter", FAULT_RING_ENTER, ONLY_URING, NUMBER,
     .errors = {EAGAIN, EBUSY, EINTR, ENOMEM, EINVAL},
     .lasting = {EAGAIN, EBUSY, EINTR, ENOMEM}, .bursts = {EINTR}},
    {"a request", FAULT_RING_REQUEST, ONLY_URING, NUMBER,
     .errors = {EINTR, EAGAIN, ENOMEM, ENOBUFS, ECONNRESET, EPIPE, EPERM,
                EINVAL},
     .lasting = {ENOMEM, ECONNRESET}, .bursts = {EINTR, ENOBUFS}},
    {"a cancel", FAULT_RING_CANCEL, ONLY_URING, NUMBER,
     .errors = {EALREADY, ENOENT}, .lasting = {ENOENT}},
};
#define SWEEPS (sizeof sweeps / sizeof *sweeps)

static bool needs_requests(fault_call_t call) {
  return call == FAULT_RING_REQUEST || call == FAULT_RING_CANCEL;
}

/* The first call fails, then the second, until none is left that could.
 * Returns how many there were. */
static unsigned sweep(const char* name, int backend, const char* host,
                      fault_t f) {
  for (f.first = 1;; f.first++) {
    tell(name, backend, host, &f);
    if (!run(backend, host, &f)) return f.first - 1;
  }
}

static unsigned sweep_calls(const calls_t* c, int backend) {
  unsigned plays = 0;
  for (int i = 0; i < 12 && c->errors[i] != 0; i++) {
    fault_t once = {c->call, 1, 1, c->errors[i]};
    unsigned n = sweep(c->name, backend, c->host, once);
    if (n == 0) fail_msg("no %s is ever called", c->name);
    plays += n;
  }
  for (int i = 0; i < 6 && c->lasting[i] != 0; i++) {
    fault_t all = {c->call, 1, 0, c->lasting[i]};
    plays += sweep(c->name, backend, c->host, all);
  }
  for (int i = 0; i < 4 && c->bursts[i] != 0; i++) {
    fault_t some = {c->call, 1, BURST, c->bursts[i]};
    plays += sweep(c->name, backend, c->host, some);
  }
  return plays;
}

static unsigned plays;

static bool concerns(scope_t scope, int backend) {
  if (scope == BOTH) return true;
  return (scope == ONLY_URING) == (backend == MCQ_BACKEND_URING);
}

static void sweep_all(int backend) {
  for (size_t i = 0; i < SWEEPS; i++) {
    const calls_t* c = &sweeps[i];
    if (!concerns(c->scope, backend)) continue;
    if (needs_requests(c->call) && !fault_can_fail_requests()) continue;
    plays += sweep_calls(c, backend);
  }
  static const char* const hosts[] = {NUMBER, NAME};
  for (int i = 0; i < 2; i++) {
    fault_t f = {FAULT_NONE, 1, 1, 0};
    plays += sweep("an allocation", backend, hosts[i], f);
    f.count = 0;
    plays += sweep("an allocation", backend, hosts[i], f);
  }
}

/* ---- tests --------------------------------------------------------------- */

static const char* why_no_uring;

static bool undisturbed(int backend) {
  fault_t none = {FAULT_NONE, 0, 1, 0};
  play_t p;
  memset(&p, 0, sizeof p);
  p.backend = backend;
  test_alloc_init(&p.memory);
  uv_loop_init(&p.loop);
  int rc = open_ctx(&p);
  if (rc == 0) mcq_ctx_close(p.ctx, NULL);
  uv_run(&p.loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&p.loop), 0);
  if (rc != 0) {
    why_no_uring = mcq_strerror(rc);
    return false;
  }
  assert_false(run(backend, NUMBER, &none));
  assert_false(run(backend, NAME, &none));
  return true;
}

/* Also makes what the C library and libuv open once and keep. */
static void the_play_itself(void** state) {
  (void) state;
  unsigned long before = fault_polled();
  assert_true(undisturbed(MCQ_BACKEND_UV));
  assert_true(fault_polled() != before); /* calls do come to us first */
  undisturbed(MCQ_BACKEND_URING);
}

static void over_uv(void** state) {
  (void) state;
  sweep_all(MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (why_no_uring == NULL) sweep_all(MCQ_BACKEND_URING);
}

static void on_backend(mcq_socket_t* s, const mcq_event_t* e) {
  assert_int_equal(e->kind, MCQ_EVENT_BACKEND);
  assert_string_equal(e->text, "uv");
  *(int*) mcq_ctx_data(mcq_socket_ctx(s)) = e->code;
  mcq_ctx_close(mcq_socket_ctx(s), NULL);
}

/* Without a ring there is libuv, and the user hears why. */
static void auto_falls_back(void** state) {
  static const int errors[] = {EPERM, ENOSYS, ENOMEM, EMFILE};
  (void) state;
  if (why_no_uring != NULL) return;
  for (int i = 0; i < 4; i++) {
    uv_loop_t loop;
    mcq_ctx_t* ctx;
    mcq_socket_t* s;
    int told = 0;
    mcq_ctx_options_t o = {.data = &told};
    mcq_socket_options_t so = {.type = MCQ_DEALER, .on_event = on_backend};
    uv_loop_init(&loop);
    fault_arm(FAULT_RING_SETUP, 1, 1000, errors[i]);
    assert_int_equal(mcq_ctx_new(&loop, &o, &ctx), 0);
    fault_disarm();
    assert_string_equal(mcq_ctx_backend(ctx), "uv");
    assert_int_equal(mcq_socket_new(ctx, &so, &s), 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(told, -errors[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_play_itself),
      cmocka_unit_test_setup_teardown(over_uv, silence_begin, silence_end),
      cmocka_unit_test_setup_teardown(over_uring, silence_begin, silence_end),
      cmocka_unit_test(auto_falls_back),
  };
  for (size_t i = 0; i < LARGE; i++) large[i] = (uint8_t) (i * 7 + i / 251);
  int failures = cmocka_run_group_tests(tests, NULL, NULL);
  if (why_no_uring != NULL) printf("no uring here: %s\n", why_no_uring);
  printf("%u plays with a failure in them\n", plays);
  return failures;
}
