/* SPDX-License-Identifier: MIT */
/* A process that has peers forks.  Whatever its child does about that, ending
 * at once, letting go of the contexts, going on with the loop or with one of
 * its own, the parent and its peers notice nothing: every question gets its one
 * answer and nobody goes down. */
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "monocoque.h"
#include "support/alloc.h"
#include "support/place.h"

#define FILES_MAX 256

static const place_t* place;

typedef struct stage {
  uv_loop_t loop;
  uv_timer_t tick; /* no step of the loop sleeps for long */
  test_alloc_t memory;
  mcq_ctx_t* here; /* the server's */
  mcq_ctx_t* there;
  mcq_socket_t* server;
  mcq_socket_t* client;
  mcq_mailbox_t* box; /* the client's */
  char uri[PLACE_URI_MAX * 2];
  unsigned asked, heard;
  unsigned ups, downs;     /* of the server */
  unsigned lost;           /* and of the client */
  bool stop;               /* no more questions */
  unsigned left;           /* contexts that are not closed */
  ino_t shared[FILES_MAX]; /* sockets that are open */
  size_t shared_count;
  size_t known; /* descriptors before there was anything */
  pid_t child;
  bool in_child;
  void (*in_callback)(struct stage* g); /* forks, once */
} stage_t;

static stage_t stage;

/* What must be, in a child: it cannot end the test itself. */
static void need(bool good, const char* what, int line) {
  if (good) return;
  dprintf(2, "in the child, line %d: not so: %s\n", line, what);
  _exit(1);
}
#define need(condition) need((condition), #condition, __LINE__)

/* ---- descriptors --------------------------------------------------------- */

static size_t count_files(void) {
  DIR* dir = opendir("/proc/self/fd");
  size_t count = 0;
  if (dir == NULL) return 0;
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

static bool is_socket(int fd, ino_t* out) {
  struct stat s;
  if (fstat(fd, &s) != 0 || !S_ISSOCK(s.st_mode)) return false;
  *out = s.st_ino;
  return true;
}

static bool is_ring(int fd) {
  char path[64];
  char text[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(path, text, sizeof text - 1);
  if (n < 0) return false;
  text[n] = '\0';
  return strstr(text, "[io_uring]") != NULL;
}

static void note_sockets(stage_t* g) {
  g->shared_count = 0;
  for (int fd = 0; fd < FILES_MAX; fd++) {
    ino_t inode;
    if (is_socket(fd, &inode)) g->shared[g->shared_count++] = inode;
  }
}

/* But not this one, which is the test's own. */
static void except(stage_t* g, int fd) {
  ino_t inode = 0;
  (void) is_socket(fd, &inode);
  for (size_t i = 0; i < g->shared_count; i++)
    if (g->shared[i] == inode) g->shared[i] = 0;
}

/* All are closed on exec, whatever they are. */
static void all_close_on_exec(const bool* known) {
  for (int fd = 0; fd < FILES_MAX; fd++) {
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0 && !known[fd]) assert_true((flags & FD_CLOEXEC) != 0);
  }
}

/* In the child: nothing of the contexts is open any more. */
static void nothing_is_shared(const stage_t* g) {
  for (int fd = 0; fd < FILES_MAX; fd++) {
    ino_t inode;
    if (is_socket(fd, &inode))
      for (size_t i = 0; i < g->shared_count; i++) need(g->shared[i] != inode);
    need(!is_ring(fd));
  }
}

/* ---- questions and answers ----------------------------------------------- */

static void ask(stage_t* g) {
  unsigned number = g->asked;
  int rc = mcq_send_bytes(g->client, &number, sizeof number);
  if (rc == 0) g->asked++;
}

static unsigned number_of(const mcq_msg_t* msg) {
  unsigned number = 0;
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  if (frame.len == sizeof number) memcpy(&number, frame.data, sizeof number);
  return number;
}

static void on_question(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = &stage;
  void (*deed)(stage_t*) = g->in_callback;
  need(!g->in_child);
  g->in_callback = NULL;
  if (deed != NULL) deed(g);
  if (g->in_child) return;
  assert_int_equal(mcq_send_msg_to(s, peer, msg), 0);
}

static void on_answer(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = &stage;
  (void) s;
  (void) peer;
  need(!g->in_child);
  assert_int_equal(number_of(msg), g->heard);
  g->heard++;
  if (!g->stop) ask(g);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  need(!stage.in_child);
  if (s == stage.server) stage.ups++;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  need(!stage.in_child);
  if (s == stage.server) stage.downs++;
  if (s == stage.client) stage.lost++;
}

static void on_left(void* data) {
  stage_t* g = (stage_t*) data;
  need(!g->in_child);
  g->left--;
}

static void on_socket_closed(const mcq_close_info_t* info) {
  (void) info;
  need(!stage.in_child);
}

static void on_tick(uv_timer_t* tick) {
  (void) tick;
}

static void step(stage_t* g) {
  (void) uv_run(&g->loop, UV_RUN_ONCE);
}

/* So many more answers. */
static void talk(stage_t* g, unsigned count) {
  unsigned until = g->heard + count;
  while (g->heard < until) step(g);
}

/* ---- the stage ----------------------------------------------------------- */

static mcq_socket_t* make(stage_t* g, mcq_ctx_t* ctx, int type,
                          mcq_message_cb on_message, int64_t linger_ms) {
  mcq_socket_t* s;
  mcq_socket_options_t o = {.type = type,
                            .data = g,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down,
                            .linger_ms = linger_ms,
                            .connect_ms = -1,
                            .reconnect_ms = 1};
  assert_int_equal(mcq_socket_new(ctx, &o, &s), 0);
  return s;
}

static void open_contexts(stage_t* g) {
  mcq_ctx_options_t o = {.backend = place->backend,
                         .allocator = test_alloc_allocator(&g->memory),
                         .data = g};
  if (place->two) assert_int_equal(mcq_inproc_new(&o.allocator, &o.inproc), 0);
  assert_int_equal(mcq_ctx_new(&g->loop, &o, &g->here), 0);
  assert_int_equal(mcq_ctx_new(&g->loop, &o, &g->there), 0);
  g->left = 2;
  mcq_inproc_release(o.inproc);
}

static void open_sockets(stage_t* g) {
  char uri[PLACE_URI_MAX];
  mcq_endpoint_t at;
  g->server = make(g, g->here, MCQ_ROUTER, on_question, -1);
  g->client = make(g, g->there, MCQ_DEALER, on_answer, -1);
  assert_int_equal(mcq_bind(g->server, place_uri(place, 0, uri), &at), 0);
  snprintf(g->uri, sizeof g->uri, "%s", mcq_endpoint_uri(g->server, at));
  assert_int_equal(mcq_connect(g->client, g->uri, NULL, NULL), 0);
  assert_int_equal(mcq_mailbox_new(g->client, NULL, &g->box), 0);
}

static stage_t* open_stage(void) {
  stage_t* g = &stage;
  bool known[FILES_MAX];
  memset(g, 0, sizeof *g);
  test_alloc_init(&g->memory);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  uv_timer_init(&g->loop, &g->tick);
  uv_timer_start(&g->tick, on_tick, 1, 1);
  step(g);
  for (int fd = 0; fd < FILES_MAX; fd++) known[fd] = fcntl(fd, F_GETFD) >= 0;
  g->known = count_files();
  open_contexts(g);
  open_sockets(g);
  ask(g);
  talk(g, 20);
  all_close_on_exec(known);
  note_sockets(g);
  return g;
}

static void close_stage(stage_t* g) {
  g->stop = true;
  while (g->heard < g->asked) step(g);
  assert_int_equal(g->lost, 0);
  assert_int_equal(g->downs, g->ups - 1); /* those of children */
  mcq_mailbox_release(g->box);
  mcq_ctx_close(g->there, on_left);
  mcq_ctx_close(g->here, on_left);
  while (g->left > 0) step(g);
  uv_close((uv_handle_t*) &g->tick, NULL);
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  assert_int_equal(g->memory.live, 0);
}

/* ---- forking ------------------------------------------------------------- */

static void begin_child(stage_t* g, void (*part)(stage_t* g)) {
  fflush(stdout);
  fflush(stderr);
  g->child = fork();
  assert_true(g->child >= 0);
  if (g->child > 0) return;
  g->in_child = true;
  part(g);
  _exit(0);
}

/* Talks until the child has ended, well. */
static void end_child(stage_t* g) {
  int status;
  pid_t ended;
  while ((ended = waitpid(g->child, &status, WNOHANG)) == 0) step(g);
  assert_int_equal(ended, g->child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void play(void (*part)(stage_t* g)) {
  stage_t* g = open_stage();
  for (int i = 0; i < 2; i++) {
    begin_child(g, part);
    talk(g, 50);
    end_child(g);
    talk(g, 50);
    assert_int_equal(g->lost, 0);
  }
  close_stage(g);
}

static void forget_all(stage_t* g) {
  mcq_ctx_after_fork_child(g->here);
  mcq_ctx_after_fork_child(g->there);
  nothing_is_shared(g);
}

static void clear_loop(stage_t* g) {
  uv_close((uv_handle_t*) &g->tick, NULL);
  need(uv_run(&g->loop, UV_RUN_DEFAULT) == 0);
  need(uv_loop_close(&g->loop) == 0);
}

/* ---- what a child may do ------------------------------------------------- */

static void end_at_once(stage_t* g) {
  (void) g;
}

static void a_child_that_ends_at_once(void** state) {
  (void) state;
  play(end_at_once);
}

static void a_child_that_lets_go(void** state) {
  (void) state;
  play((void (*)(stage_t*))(void*) forget_all);
}

/* What the contexts had is closed and freed, to the last block. */
static void go_on_with_the_loop(stage_t* g) {
  need(uv_loop_fork(&g->loop) == 0);
  forget_all(g);
  need(mcq_send_text(g->client, "x") == MCQ_ECLOSED);
  need(mcq_post(g->box, &(mcq_frame_t){"x", 1}, 1) == MCQ_ECLOSED);
  clear_loop(g);
  mcq_mailbox_release(g->box);
  need(atomic_load(&g->memory.live) == 0);
  need(count_files() < g->known); /* the loop's are gone, too */
}

static void a_child_that_goes_on_with_the_loop(void** state) {
  (void) state;
  play(go_on_with_the_loop);
}

static void the_other_way_round(stage_t* g) {
  forget_all(g);
  need(uv_loop_fork(&g->loop) == 0);
  clear_loop(g);
  mcq_mailbox_release(g->box);
  need(atomic_load(&g->memory.live) == 0);
}

static void a_child_that_lets_go_first(void** state) {
  (void) state;
  play(the_other_way_round);
}

/* The parent is a peer like any other. */
static unsigned answers;

static void count_answer(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  if (++answers == 10)
    mcq_ctx_close(mcq_socket_ctx(s), NULL);
  else
    mcq_send_text(s, "again");
}

static void begin_anew(stage_t* g) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* s;
  forget_all(g);
  need(uv_loop_init(&loop) == 0);
  mcq_ctx_options_t o = {.backend = place->backend};
  mcq_socket_options_t d = {.type = MCQ_DEALER, .on_message = count_answer};
  need(mcq_ctx_new(&loop, &o, &ctx) == 0);
  need(mcq_socket_new(ctx, &d, &s) == 0);
  need(mcq_connect(s, g->uri, NULL, NULL) == 0);
  need(mcq_send_text(s, "hello") == 0);
  need(uv_run(&loop, UV_RUN_DEFAULT) == 0);
  need(uv_loop_close(&loop) == 0);
  need(answers == 10);
}

static void a_child_that_begins_anew(void** state) {
  (void) state;
  if (!place->strangers) return; /* nobody else can connect */
  play(begin_anew);
  assert_int_equal(stage.ups, 3);
}

/* ---- what the parent was at ---------------------------------------------- */

static void fork_here(stage_t* g) {
  fflush(stdout);
  g->child = fork();
  assert_true(g->child >= 0);
  g->in_child = g->child == 0;
  if (g->in_child) forget_all(g);
}

/* Inside a callback: the child returns from it, too. */
static void forking_in_a_callback(void** state) {
  (void) state;
  stage_t* g = open_stage();
  for (int i = 0; i < 2; i++) {
    g->child = 0;
    g->in_callback = fork_here;
    while (g->in_callback != NULL) step(g);
    if (g->in_child) {
      need(uv_loop_fork(&g->loop) == 0);
      clear_loop(g);
      mcq_mailbox_release(g->box);
      need(atomic_load(&g->memory.live) == 0);
      _exit(0);
    }
    talk(g, 100);
    end_child(g);
  }
  close_stage(g);
}

/* With all that can be under way: much that is queued and half sent, and
 * messages that were posted. */
static void forking_with_full_hands(void** state) {
  (void) state;
  static uint8_t body[50000];
  stage_t* g = open_stage();
  g->stop = true;
  while (g->heard < g->asked) step(g);
  assert_int_equal(mcq_pause(g->server), 0);
  for (;;) {
    memcpy(body, &g->asked, sizeof g->asked);
    mcq_frame_t frames[2] = {{&g->asked, sizeof g->asked}, {body, 50000}};
    if (mcq_send(g->client, frames, 2) != 0) break;
    g->asked++;
    if (g->asked % 8 == 0) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
  }
  for (unsigned i = 0; i < 10; i++, g->asked++) {
    mcq_frame_t frame = {&g->asked, sizeof g->asked};
    assert_int_equal(mcq_post(g->box, &frame, 1), 0);
    if (i == 5) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
  }
  begin_child(g, go_on_with_the_loop);
  end_child(g);
  assert_int_equal(mcq_resume(g->server), 0);
  while (g->heard < g->asked) step(g);
  close_stage(g);
}

/* Sockets that are closing already, one that nobody answers, one that waits
 * for a path which is not there. */
static void forking_on_the_way_out(void** state) {
  (void) state;
  stage_t* g = open_stage();
  mcq_socket_t* caller = make(g, g->there, MCQ_DEALER, NULL, 1);
  assert_int_equal(mcq_connect(caller, "ipc:///nowhere/at/all", NULL, NULL), 0);
  assert_int_equal(mcq_connect(caller, "inproc://nowhere", NULL, NULL), 0);
  for (int i = 0; i < 6; i++) {
    mcq_socket_t* leaver = make(g, g->there, MCQ_DEALER, NULL, 3);
    assert_int_equal(
        mcq_connect(leaver, i < 3 ? "ipc:///nowhere" : g->uri, NULL, NULL), 0);
    assert_int_equal(mcq_send_text(leaver, "wait for it"), 0);
    for (int k = 0; k < i; k++) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
    mcq_close(leaver, on_socket_closed); /* and lingers */
    if (i == 5) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
    begin_child(g, i % 2 == 0 ? go_on_with_the_loop : the_other_way_round);
    talk(g, 5);
    end_child(g);
    talk(g, 5);
  }
  while (g->downs < g->ups - 1) step(g);
  close_stage(g);
}

static int knock(const struct sockaddr_in* to) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_true(fd >= 0);
  (void) connect(fd, (const struct sockaddr*) to, sizeof *to);
  return fd;
}

/* A connection that is not made yet, because others are before it: the parent
 * goes on waiting for it. */
static void forking_while_it_connects(void** state) {
  (void) state;
  enum { OTHERS = 4 };
  if (strncmp(place->uri, "tcp:", 4) != 0) return; /* no such state */
  stage_t* g = open_stage();
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof to;
  int others[OTHERS];
  char uri[64];
  int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_int_equal(bind(door, (const struct sockaddr*) &to, sizeof to), 0);
  assert_int_equal(listen(door, 0), 0);
  assert_int_equal(getsockname(door, (struct sockaddr*) &to, &size), 0);
  for (int i = 0; i < OTHERS; i++) others[i] = knock(&to);
  mcq_socket_t* caller = make(g, g->there, MCQ_DEALER, NULL, 1);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%u", ntohs(to.sin_port));
  assert_int_equal(mcq_connect(caller, uri, NULL, NULL), 0);
  talk(g, 20);
  note_sockets(g);
  except(g, door);
  for (int i = 0; i < OTHERS; i++) except(g, others[i]);
  begin_child(g, forget_all);
  end_child(g);
  /* Whose greeting that is: the only one who says anything. */
  char byte;
  int last = -1;
  for (bool greeted = false; !greeted; step(g)) {
    int fd = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0 && last >= 0) close(last);
    if (fd >= 0) last = fd;
    greeted = last >= 0 && recv(last, &byte, 1, MSG_PEEK) == 1;
  }
  mcq_close(caller, NULL);
  talk(g, 20);
  close(last);
  close(door);
  for (int i = 0; i < OTHERS; i++) close(others[i]);
  close_stage(g);
}

/* The place in the file system is the parent's. */
static void paths_stay(void** state) {
  (void) state;
  if (strncmp(place->uri, "ipc:", 4) != 0) return; /* it has none */
  stage_t* g = open_stage();
  begin_child(g, go_on_with_the_loop);
  end_child(g);
  assert_int_equal(access(g->uri + strlen("ipc://"), F_OK), 0);
  mcq_socket_t* late = make(g, g->there, MCQ_DEALER, NULL, 1);
  assert_int_equal(mcq_connect(late, g->uri, NULL, NULL), 0);
  while (g->ups < 2) step(g);
  mcq_close(late, NULL);
  while (g->downs < 1) step(g);
  close_stage(g);
}

/* ---- other threads ------------------------------------------------------- */

typedef struct busy {
  uv_thread_t thread;
  mcq_mailbox_t* box;
  atomic_bool enough;
} busy_t;

static void no_call(mcq_socket_t* s, void* arg) {
  (void) s;
  (void) arg;
}

static void post_all_the_time(void* arg) {
  busy_t* b = (busy_t*) arg;
  while (!atomic_load(&b->enough)) (void) mcq_post_call(b->box, no_call, NULL);
  mcq_mailbox_release(b->box);
}

/* Whatever the other thread was in the middle of, the child gets through. */
static void while_another_posts(stage_t* g) {
  need(uv_loop_fork(&g->loop) == 0);
  forget_all(g);
  for (int i = 0; i < 10; i++) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
  need(mcq_post(g->box, &(mcq_frame_t){"x", 1}, 1) == MCQ_ECLOSED);
  mcq_mailbox_release(g->box);
}

static void forking_while_another_thread_posts(void** state) {
  (void) state;
  stage_t* g = open_stage();
  busy_t b = {.box = mcq_mailbox_retain(g->box)};
  atomic_init(&b.enough, false);
  assert_int_equal(uv_thread_create(&b.thread, post_all_the_time, &b), 0);
  for (int i = 0; i < 8; i++) {
    begin_child(g, while_another_posts);
    talk(g, 5);
    end_child(g);
  }
  atomic_store(&b.enough, true);
  assert_int_equal(uv_thread_join(&b.thread), 0);
  close_stage(g);
}

/* Holds what the loops share with others, as if it were at work there. */
typedef struct holder {
  uv_thread_t thread;
  uv_barrier_t taken, given;
  uv_mutex_t* locks[3];
  size_t count;
} holder_t;

static void hold(void* arg) {
  holder_t* h = (holder_t*) arg;
  for (size_t i = 0; i < h->count; i++) uv_mutex_lock(h->locks[i]);
  uv_barrier_wait(&h->taken);
  uv_barrier_wait(&h->given);
  for (size_t i = 0; i < h->count; i++) uv_mutex_unlock(h->locks[i]);
}

static void forking_while_another_holds_it_all(void** state) {
  (void) state;
  stage_t* g = open_stage();
  holder_t h = {.count = 2};
  int status;
  h.locks[0] = &g->there->host.io.space->lock;
  h.locks[1] = &g->there->host.io.bell.lock;
  if (place->two) h.locks[h.count++] = &g->here->host.io.bell.lock;
  uv_barrier_init(&h.taken, 2);
  uv_barrier_init(&h.given, 2);
  assert_int_equal(uv_thread_create(&h.thread, hold, &h), 0);
  uv_barrier_wait(&h.taken);
  begin_child(g, while_another_posts);
  assert_int_equal(waitpid(g->child, &status, 0), g->child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  uv_barrier_wait(&h.given);
  assert_int_equal(uv_thread_join(&h.thread), 0);
  uv_barrier_destroy(&h.taken);
  uv_barrier_destroy(&h.given);
  close_stage(g);
}

static void leave_the_name_alone(stage_t* g) {
  need(uv_loop_fork(&g->loop) == 0);
  forget_all(g);
  for (int i = 0; i < 10; i++) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
}

/* The thread that looks a name up stays with the parent. */
static void forking_while_a_name_is_looked_up(void** state) {
  (void) state;
  if (strncmp(place->uri, "tcp:", 4) != 0) return; /* has no names */
  stage_t* g = open_stage();
  for (int i = 0; i < 3; i++) {
    char uri[PLACE_URI_MAX];
    mcq_socket_t* caller = make(g, g->there, MCQ_DEALER, NULL, 1);
    snprintf(uri, sizeof uri, "tcp://localhost%s", strrchr(g->uri, ':'));
    assert_int_equal(mcq_connect(caller, uri, NULL, NULL), 0);
    if (i > 0) (void) uv_run(&g->loop, UV_RUN_NOWAIT);
    begin_child(g, leave_the_name_alone);
    talk(g, 5);
    end_child(g);
    while (g->ups < 2 + (unsigned) i) step(g);
    mcq_close(caller, NULL);
    while (g->downs < 1 + (unsigned) i) step(g);
  }
  close_stage(g);
}

/* ---- main ---------------------------------------------------------------- */

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_child_that_ends_at_once),
      cmocka_unit_test(a_child_that_lets_go),
      cmocka_unit_test(a_child_that_goes_on_with_the_loop),
      cmocka_unit_test(a_child_that_lets_go_first),
      cmocka_unit_test(a_child_that_begins_anew),
      cmocka_unit_test(forking_in_a_callback),
      cmocka_unit_test(forking_with_full_hands),
      cmocka_unit_test(forking_on_the_way_out),
      cmocka_unit_test(forking_while_it_connects),
      cmocka_unit_test(paths_stay),
      cmocka_unit_test(forking_while_another_thread_posts),
      cmocka_unit_test(forking_while_another_holds_it_all),
      cmocka_unit_test(forking_while_a_name_is_looked_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  static const char* const names[] = {"tcp, uv", "tcp, uring", "ipc, uv",
                                      "ipc, uring", "inproc, two contexts"};
  int failed = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    place = place_find(names[i]);
    printf("%s\n", names[i]);
    if (place_is_here(place)) failed += run_all();
  }
  return failed;
}
