/* SPDX-License-Identifier: MIT */
/* Unix domain sockets: the places in the file system they take, leave alone
 * and give back; dialing what is not there; and bytes over real ones, once for
 * each back end that this build and this kernel have. */
#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/stream.h"
#include "support/wire_rig.h"

#define FLOOD (UINT64_C(16) << 20)

static enum mcq__backend_choice choice;

/* ---- a directory of the test's own, which is the working directory ------- */

static char home[80];

static int enter_home(void** state) {
  (void) state;
  const char* tmp = getenv("TMPDIR");
  if (tmp == NULL || tmp[0] != '/' || strlen(tmp) > 50) tmp = "/tmp";
  snprintf(home, sizeof home, "%.50s/io_ipc-XXXXXX", tmp);
  assert_non_null(mkdtemp(home));
  assert_int_equal(chdir(home), 0);
  return 0;
}

/* Whatever a test or the transport has left there is found here. */
static int leave_home(void** state) {
  (void) state;
  assert_int_equal(chdir("/"), 0);
  if (rmdir(home) != 0) fail_msg("something is left in %s", home);
  return 0;
}

static bool exists(const char* path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

static ino_t inode_of(const char* path) {
  struct stat st;
  assert_int_equal(lstat(path, &st), 0);
  return st.st_ino;
}

static void make_file(const char* path) {
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "precious", 8), 8);
  close(fd);
}

static size_t count_entries(const char* path) {
  DIR* dir = opendir(path);
  size_t count = 0;
  assert_non_null(dir);
  for (struct dirent* e; (e = readdir(dir)) != NULL;)
    if (e->d_name[0] != '.') count++;
  closedir(dir);
  return count;
}

/* ---- sockets of the test's own ------------------------------------------- */

/* `name` as it stands after "ipc://"; `extra` bytes more than it should have.
 */
static socklen_t address_of(struct sockaddr_un* out, const char* name,
                            size_t extra) {
  size_t len = strlen(name);
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  assert_true(len + extra <= sizeof out->sun_path);
  memcpy(out->sun_path, name, len);
  if (name[0] == '@') out->sun_path[0] = '\0';
  return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len + extra);
}

static int connect_as(const char* name, size_t extra) {
  struct sockaddr_un to;
  socklen_t size = address_of(&to, name, extra);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  assert_true(fd >= 0);
  if (connect(fd, (struct sockaddr*) &to, size) == 0) return fd;
  close(fd);
  return -1;
}

static int connect_to(const char* name) {
  return connect_as(name, 0);
}

static int bind_raw(const char* name, int type) {
  struct sockaddr_un to;
  socklen_t size = address_of(&to, name, 0);
  int fd = socket(AF_UNIX, type, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr*) &to, size), 0);
  return fd;
}

static void expect_set_up(int fd) {
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* ---- a listener ---------------------------------------------------------- */

typedef struct stand {
  mcq__listener_t listener;
  test_seat_t* seat;
  bool inside; /* one of the test's own calls: nothing may come */
  unsigned streams;
  unsigned close_after; /* streams; 0: never */
  unsigned errors;
  int error;
  bool heard;
  bool closed;
} stand_t;

static void on_stream(mcq__listener_t* l, void* stream, const char* address) {
  stand_t* s = (stand_t*) l->user;
  assert_false(s->inside);
  assert_false(l->closing);
  assert_string_equal(address, l->address);
  expect_set_up(mcq__stream_fd(stream));
  s->streams++;
  s->heard = true;
  l->transport->discard(l->io, stream);
  if (s->streams == s->close_after) mcq__listener_close(l);
}

static void on_error(mcq__listener_t* l, int code) {
  stand_t* s = (stand_t*) l->user;
  assert_false(s->inside);
  s->errors++;
  s->error = code;
  s->heard = true;
}

static void on_closed(mcq__listener_t* l) {
  stand_t* s = (stand_t*) l->user;
  assert_false(s->inside);
  assert_false(s->closed);
  s->closed = true;
  memset(l, 0xdd, sizeof *l); /* it is the caller's again */
}

static const mcq__listener_events_t events = {
    .on_stream = on_stream, .on_error = on_error, .on_closed = on_closed};

static int open_stand(stand_t* s, test_seat_t* t, const char* uri) {
  mcq__endpoint_t endpoint;
  memset(s, 0, sizeof *s);
  s->seat = t;
  s->listener.user = s;
  assert_int_equal(mcq__endpoint_parse(&endpoint, uri), 0);
  s->inside = true;
  int rc = mcq__listener_open(&s->listener, &t->io, &endpoint, 128, &events);
  s->inside = false;
  return rc;
}

static void close_stand(stand_t* s) {
  if (s->closed) return;
  s->inside = true;
  mcq__listener_close(&s->listener);
  mcq__listener_close(&s->listener);
  s->inside = false;
  test_seat_until(s->seat, &s->closed);
}

static void next(stand_t* s) {
  s->heard = false;
  test_seat_until(s->seat, &s->heard);
}

static void open_seat(test_seat_t* t) {
  memset(t, 0, sizeof *t);
  assert_int_equal(test_seat_open(t, choice), 0);
}

/* Its own name, without the scheme. */
static const char* name_of(const stand_t* s) {
  assert_memory_equal(s->listener.address, "ipc://", 6);
  return s->listener.address + 6;
}

static void expect_reachable(stand_t* s) {
  unsigned before = s->streams;
  int fd = connect_to(name_of(s));
  assert_true(fd >= 0);
  while (s->streams == before) next(s);
  /* It was thrown away, and the other side sees that. */
  char byte;
  test_seat_turns(s->seat, 2);
  assert_int_equal(recv(fd, &byte, 1, 0), 0);
  close(fd);
}

/* ---- places -------------------------------------------------------------- */

static void reach(const char* uri) {
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, uri), 0);
  assert_string_equal(s.listener.address, uri);
  expect_set_up(((mcq__door_t*) s.listener.impl)->fd);
  bool is_path = uri[6] != '@';
  assert_int_equal(exists(uri + 6), is_path);
  expect_reachable(&s);
  close_stand(&s);
  assert_false(exists(uri + 6));
  assert_int_equal(connect_to(uri + 6), -1);
  test_seat_close(&t);
}

static void paths_and_names(void** state) {
  (void) state;
  char uri[200];
  snprintf(uri, sizeof uri, "ipc://%s/absolute path", home);
  reach(uri);
  reach("ipc://relative");
  reach("ipc://./a:1");
  snprintf(uri, sizeof uri, "ipc://@io_ipc-%ld", (long) getpid());
  reach(uri);
}

/* One byte too many, even a NUL, and it is another name. */
static void a_name_has_its_exact_length(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  char uri[MCQ__ENDPOINT_MAX];
  open_seat(&t);
  snprintf(uri, sizeof uri, "ipc://@io_ipc-%ld", (long) getpid());
  assert_int_equal(open_stand(&s, &t, uri), 0);
  assert_int_equal(connect_as(uri + 6, 1), -1);
  uri[strlen(uri) - 1] = '\0';
  assert_int_equal(connect_as(uri + 6, 0), -1);
  expect_reachable(&s);
  stand_t other;
  snprintf(uri, sizeof uri, "%s", s.listener.address);
  assert_int_equal(open_stand(&other, &t, uri), MCQ_EADDRINUSE);
  close_stand(&s);
  assert_int_equal(open_stand(&other, &t, uri), 0); /* it is free again */
  close_stand(&other);
  test_seat_close(&t);
}

static void the_longest_ones(void** state) {
  (void) state;
  char uri[200];
  char filler[200];
  memset(filler, 'x', sizeof filler);
  int len = snprintf(uri, sizeof uri, "ipc://%s/", home);
  snprintf(uri + len, sizeof uri - (size_t) len, "%.*s", 6 + 107 - len, filler);
  assert_int_equal(strlen(uri), 6 + 107);
  reach(uri);
  len = snprintf(uri, sizeof uri, "ipc://@io_ipc-%ld", (long) getpid());
  snprintf(uri + len, sizeof uri - (size_t) len, "%.*s", 6 + 107 - len, filler);
  reach(uri);
}

static void errors_come_at_once(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  make_file("file");
  assert_int_equal(open_stand(&s, &t, "ipc://nowhere/x"), UV_ENOENT);
  assert_int_equal(open_stand(&s, &t, "ipc://file/x"), UV_ENOTDIR);
  assert_int_equal(unlink("file"), 0);
  test_seat_close(&t);
}

static void no_permission_is_an_error(void** state) {
  (void) state;
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    mode_t open_to_all = 0555;
    if (chmod(home, open_to_all) != 0) _exit(2);
    if (geteuid() == 0 && setuid(65534) != 0) _exit(77);
    test_seat_t t;
    stand_t s;
    open_seat(&t);
    int rc = open_stand(&s, &t, "ipc://x");
    test_seat_close(&t);
    _exit(rc == UV_EACCES ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(chmod(home, 0700), 0);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    printf("nobody else to be here\n");
    skip();
  }
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- any path ------------------------------------------------------------ */

static void any_path_is_a_fresh_one(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  stand_t other;
  struct stat st;
  char path[200];
  open_seat(&t);
  assert_int_equal(setenv("TMPDIR", home, 1), 0);
  assert_int_equal(open_stand(&s, &t, "ipc://*"), 0);
  assert_int_equal(open_stand(&other, &t, "ipc://*"), 0);
  assert_memory_equal(name_of(&s), home, strlen(home));
  assert_string_not_equal(name_of(&s), name_of(&other));
  snprintf(path, sizeof path, "%s", name_of(&s));
  *strrchr(path, '/') = '\0';
  assert_int_equal(lstat(path, &st), 0);
  assert_true(S_ISDIR(st.st_mode));
  assert_int_equal(st.st_mode & 0777, 0700);
  expect_reachable(&s);
  expect_reachable(&other);
  assert_int_equal(count_entries("."), 2);
  close_stand(&s);
  assert_int_equal(count_entries("."), 1);
  close_stand(&other);
  assert_int_equal(count_entries("."), 0);
  unsetenv("TMPDIR");
  test_seat_close(&t);
}

/* Where the system's directory cannot be named there is another. */
static void any_path_fits(void** state) {
  (void) state;
  char deep[400];
  memset(deep, 'd', sizeof deep);
  deep[0] = '/';
  static const size_t lengths[] = {90, 250, 390};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths + 2; i++) {
    test_seat_t t;
    stand_t s;
    char text[400];
    snprintf(text, sizeof text, "%.*s", i < 3 ? (int) lengths[i] : 0, deep);
    if (i == 3) snprintf(text, sizeof text, "relative");
    if (i == 4) snprintf(text, sizeof text, "/tmp/\n");
    assert_int_equal(setenv("TMPDIR", text, 1), 0);
    open_seat(&t);
    assert_int_equal(open_stand(&s, &t, "ipc://*"), 0);
    assert_memory_equal(name_of(&s), "/tmp/mcq-", 9);
    expect_reachable(&s);
    close_stand(&s);
    test_seat_close(&t);
  }
  unsetenv("TMPDIR");
}

static void any_path_may_be_impossible(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  assert_int_equal(setenv("TMPDIR", "/nowhere at all", 1), 0);
  assert_int_equal(open_stand(&s, &t, "ipc://*"), UV_ENOENT);
  unsetenv("TMPDIR");
  test_seat_close(&t);
}

/* ---- what lies there already --------------------------------------------- */

static void a_dead_socket_is_replaced(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  close(bind_raw("x", SOCK_STREAM));
  assert_true(exists("x"));
  assert_int_equal(connect_to("x"), -1);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  expect_reachable(&s);
  close_stand(&s);
  assert_false(exists("x"));
  test_seat_close(&t);
}

static void a_listener_is_left_in_peace(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  stand_t other;
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  assert_int_equal(open_stand(&other, &t, "ipc://x"), MCQ_EADDRINUSE);
  assert_int_equal(open_stand(&other, &t, "ipc://./x"), MCQ_EADDRINUSE);
  test_seat_turns(&t, 3);
  assert_int_equal(s.streams, 0); /* it has not even noticed */
  expect_reachable(&s);
  close_stand(&s);
  test_seat_close(&t);
}

/* Bound but not listening, or not for streams: somebody has it open. */
static void other_sockets_in_use_are_left(void** state) {
  (void) state;
  static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    test_seat_t t;
    stand_t s;
    open_seat(&t);
    int fd = bind_raw("x", types[i]);
    ino_t inode = inode_of("x");
    assert_int_equal(open_stand(&s, &t, "ipc://x"), MCQ_EADDRINUSE);
    assert_int_equal(inode_of("x"), inode);
    close(fd);
    assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
    close_stand(&s);
    test_seat_close(&t);
  }
}

static void what_is_no_socket_is_left(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  make_file("file");
  assert_int_equal(mkdir("directory", 0700), 0);
  assert_int_equal(mkfifo("fifo", 0600), 0);
  close(bind_raw("dead", SOCK_STREAM));
  assert_int_equal(symlink("dead", "to_dead"), 0);
  assert_int_equal(symlink("nothing", "to_nothing"), 0);
  static const char* const names[] = {"file", "directory", "fifo", "to_dead",
                                      "to_nothing"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char uri[64];
    ino_t inode = inode_of(names[i]);
    snprintf(uri, sizeof uri, "ipc://%s", names[i]);
    assert_int_equal(open_stand(&s, &t, uri), MCQ_EADDRINUSE);
    assert_int_equal(inode_of(names[i]), inode);
  }
  struct stat st;
  assert_int_equal(stat("file", &st), 0);
  assert_int_equal(st.st_size, 8);
  assert_false(exists("nothing"));
  assert_true(exists("dead"));
  assert_int_equal(rmdir("directory"), 0);
  assert_int_equal(unlink("file") | unlink("fifo") | unlink("dead"), 0);
  assert_int_equal(unlink("to_dead") | unlink("to_nothing"), 0);
  test_seat_close(&t);
}

/* ---- giving back --------------------------------------------------------- */

static void only_ones_own_file_is_removed(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  assert_int_equal(unlink("x"), 0);
  int fd = bind_raw("x", SOCK_STREAM); /* somebody else took the place */
  close_stand(&s);
  assert_true(exists("x"));
  close(fd);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  assert_int_equal(unlink("x"), 0);
  make_file("x");
  close_stand(&s);
  assert_true(exists("x"));
  assert_int_equal(unlink("x"), 0);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  assert_int_equal(unlink("x"), 0);
  close_stand(&s); /* nothing there: nothing to do */
  test_seat_close(&t);
}

static void another_working_directory(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  open_seat(&t);
  assert_int_equal(mkdir("sub", 0700), 0);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  assert_int_equal(chdir("sub"), 0);
  make_file("x"); /* the same name, but not the same file */
  close_stand(&s);
  assert_true(exists("x"));
  assert_int_equal(unlink("x"), 0);
  assert_int_equal(chdir(".."), 0);
  assert_int_equal(unlink("x"), 0);
  assert_int_equal(rmdir("sub"), 0);
  test_seat_close(&t);
}

/* ---- accepting ----------------------------------------------------------- */

static void a_crowd(void** state) {
  (void) state;
  enum { CROWD = 100 };
  test_seat_t t;
  stand_t s;
  int fds[CROWD];
  open_seat(&t);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  assert_int_equal(uv_run(&t.loop, UV_RUN_DEFAULT), 0); /* nothing to do yet */
  for (int i = 0; i < CROWD; i++) fds[i] = connect_to("x");
  test_seat_turns(&t, 1);
  assert_in_range(s.streams, 1, CROWD - 1); /* others had their turn */
  while (s.streams < CROWD) next(&s);
  for (int i = 0; i < CROWD; i++) assert_int_equal(close(fds[i]), 0);
  for (int i = 0; i < 10; i++) fds[i] = connect_to("x");
  s.close_after = s.streams + 3;
  test_seat_until(&t, &s.closed);
  assert_int_equal(s.streams, CROWD + 3);
  for (int i = 0; i < 10; i++) assert_int_equal(close(fds[i]), 0);
  test_seat_close(&t);
}

static struct rlimit limit_descriptors(int most) {
  struct rlimit old;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  struct rlimit now = {(rlim_t) most, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
  return old;
}

static void descriptors_run_out(void** state) {
  (void) state;
  test_seat_t t;
  stand_t s;
  memset(&t, 0, sizeof t);
  test_seat_use_clock(&t);
  assert_int_equal(test_seat_open(&t, choice), 0);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  test_seat_turns(&t, 1);
  int fd = connect_to("x");
  int lowest = dup(fd); /* every descriptor below is taken */
  close(lowest);
  struct rlimit old = limit_descriptors(lowest);
  stand_t other;
  assert_int_equal(open_stand(&other, &t, "ipc://y"), UV_EMFILE);
  assert_int_equal(setenv("TMPDIR", home, 1), 0);
  assert_int_equal(open_stand(&other, &t, "ipc://*"), UV_EMFILE);
  unsetenv("TMPDIR");
  next(&s);
  assert_int_equal(s.error, UV_EMFILE);
  test_seat_turns(&t, 10); /* it is not said again, and nothing spins */
  assert_int_equal(s.errors, 1);
  /* The connection was kept, and comes as soon as there is room. */
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  t.now += 100;
  next(&s);
  assert_int_equal(s.streams, 1);
  assert_int_equal(s.errors, 1);
  close(fd);
  close_stand(&s);
  test_seat_close(&t);
}

static int listen_once(test_alloc_t* ta, void* arg) {
  test_seat_t t;
  stand_t s;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open_on(&t, ta, MCQ__BACKEND_UV);
  if (rc != 0) return rc;
  rc = open_stand(&s, &t, (const char*) arg);
  if (rc == 0) {
    int fd = connect_to(name_of(&s));
    assert_true(fd >= 0);
    next(&s);
    if (s.streams == 0) rc = s.error;
    close(fd);
    close_stand(&s);
  }
  test_seat_leave(&t);
  assert_int_equal(count_entries("."), 0); /* whatever failed */
  return rc;
}

static void listening_survives_every_failing_allocation(void** state) {
  (void) state;
  static const char* const uris[] = {"ipc://x", "ipc://*"};
  assert_int_equal(setenv("TMPDIR", home, 1), 0);
  for (size_t i = 0; i < 2; i++) {
    char uri[16];
    snprintf(uri, sizeof uri, "%s", uris[i]);
    assert_in_range(test_alloc_sweep(listen_once, uri), 3, 100);
  }
  unsetenv("TMPDIR");
}

/* ---- dialing ------------------------------------------------------------- */

typedef struct call {
  mcq__dialer_t dialer;
  mcq__dialer_config_t config;
  test_seat_t* seat;
  bool inside;
  unsigned streams;
  unsigned failures;
  int code;
  char address[MCQ__ENDPOINT_MAX];
  bool heard;
  bool closed;
} call_t;

static call_t* heard(mcq__dialer_t* d) {
  call_t* c = mcq__container_of(d, call_t, dialer);
  assert_false(c->inside);
  assert_false(c->closed);
  assert_false(d->closing);
  c->heard = true;
  return c;
}

static void on_dialing(mcq__dialer_t* d) {
  heard(d);
}

static void on_dialed(mcq__dialer_t* d, void* stream, const char* address) {
  call_t* c = heard(d);
  expect_set_up(mcq__stream_fd(stream));
  c->streams++;
  snprintf(c->address, sizeof c->address, "%s", address);
  d->transport->discard(d->io, stream);
}

static void on_failed(mcq__dialer_t* d, int code) {
  call_t* c = heard(d);
  c->failures++;
  c->code = code;
}

static void on_retry(mcq__dialer_t* d, uint64_t ms) {
  heard(d);
  assert_in_range(ms, 1, 2);
}

static void on_dialer_closed(mcq__dialer_t* d) {
  call_t* c = mcq__container_of(d, call_t, dialer);
  assert_false(c->inside);
  assert_false(c->closed);
  c->closed = true;
  memset(d, 0xdd, sizeof *d);
}

static const mcq__dialer_events_t dialer_events = {
    .on_dialing = on_dialing,
    .on_stream = on_dialed,
    .on_failed = on_failed,
    .on_retry = on_retry,
    .on_closed = on_dialer_closed};

static int open_call(call_t* c, test_seat_t* t, const char* uri, bool again) {
  mcq__endpoint_t endpoint;
  memset(c, 0, sizeof *c);
  c->config = (mcq__dialer_config_t){.retry_ms = again ? 1 : MCQ__NEVER,
                                     .retry_max_ms = 2,
                                     .connect_ms = 10000};
  c->seat = t;
  assert_int_equal(mcq__endpoint_parse(&endpoint, uri), 0);
  c->inside = true;
  int rc = mcq__dialer_open(&c->dialer, &t->io, &endpoint, &c->config,
                            &dialer_events);
  c->inside = false;
  return rc;
}

static void close_call(call_t* c) {
  c->inside = true;
  mcq__dialer_close(&c->dialer);
  mcq__dialer_close(&c->dialer);
  c->inside = false;
  test_seat_until(c->seat, &c->closed);
}

static void next_call(call_t* c) {
  c->heard = false;
  test_seat_until(c->seat, &c->heard);
}

static void expect_failures(call_t* c, int code) {
  unsigned enough = c->failures + 3;
  while (c->failures < enough) next_call(c);
  assert_int_equal(c->code, code);
  assert_int_equal(c->streams, 0);
}

static void expect_connected(call_t* c, const char* uri) {
  while (c->streams == 0) next_call(c);
  assert_string_equal(c->address, uri);
}

/* Nobody there, a file without a socket, and then somebody. */
static void dialing_until_somebody_is_there(void** state) {
  (void) state;
  test_seat_t t;
  call_t c;
  stand_t s;
  open_seat(&t);
  assert_int_equal(open_call(&c, &t, "ipc://x", true), 0);
  expect_failures(&c, UV_ENOENT);
  make_file("x");
  expect_failures(&c, UV_ECONNREFUSED);
  assert_int_equal(unlink("x"), 0);
  close(bind_raw("x", SOCK_STREAM));
  expect_failures(&c, UV_ECONNREFUSED);
  assert_int_equal(open_stand(&s, &t, "ipc://x"), 0);
  expect_connected(&c, "ipc://x");
  while (s.streams == 0) next(&s);
  close_call(&c);
  close_stand(&s);
  test_seat_close(&t);
}

static void dialing_a_name(void** state) {
  (void) state;
  test_seat_t t;
  call_t c;
  stand_t s;
  char uri[64];
  open_seat(&t);
  snprintf(uri, sizeof uri, "ipc://@io_ipc-%ld", (long) getpid());
  assert_int_equal(open_call(&c, &t, uri, true), 0);
  expect_failures(&c, UV_ECONNREFUSED);
  assert_int_equal(open_stand(&s, &t, uri), 0);
  expect_connected(&c, uri);
  close_call(&c);
  close_stand(&s);
  test_seat_close(&t);
}

/* When too many wait already one more does not block; it comes again. */
static void a_full_backlog(void** state) {
  (void) state;
  enum { MOST = 16 };
  test_seat_t t;
  call_t c;
  int fds[MOST];
  int count = 0;
  open_seat(&t);
  int fd = bind_raw("x", SOCK_STREAM);
  assert_int_equal(listen(fd, 1), 0);
  while (count < MOST && (fds[count] = connect_to("x")) >= 0) count++;
  assert_in_range(count, 1, MOST - 1);
  assert_int_equal(open_call(&c, &t, "ipc://x", true), 0);
  expect_failures(&c, UV_EAGAIN);
  int accepted = accept(fd, NULL, NULL);
  assert_true(accepted >= 0);
  expect_connected(&c, "ipc://x");
  close_call(&c);
  close(accepted);
  while (count > 0) close(fds[--count]);
  close(fd);
  assert_int_equal(unlink("x"), 0);
  test_seat_close(&t);
}

static void a_wildcard_cannot_be_dialed(void** state) {
  (void) state;
  test_seat_t t;
  call_t c;
  open_seat(&t);
  assert_int_equal(open_call(&c, &t, "ipc://*", false), MCQ_EINVAL);
  test_seat_close(&t);
}

/* Closes a call inside the turn that connects it: the system answers at once.
 */
typedef struct closer {
  uv_poll_t before; /* the connection is known of */
  uv_check_t after; /* and before the attempt's handle is closed */
  call_t* call;
  int pipe[2];
  enum mcq__dialer_state found;
} closer_t;

static void close_inside(closer_t* closer) {
  call_t* c = closer->call;
  if (c->dialer.state != MCQ__DIALER_DIALING) return;
  closer->found = MCQ__DIALER_DIALING;
  c->inside = true;
  mcq__dialer_close(&c->dialer);
  c->inside = false;
}

static void on_before(uv_poll_t* poll, int status, int events_seen) {
  (void) status;
  (void) events_seen;
  close_inside((closer_t*) poll->data);
}

static void on_after(uv_check_t* check) {
  close_inside((closer_t*) check->data);
}

static void open_closer(closer_t* closer, call_t* c, bool before) {
  uv_loop_t* loop = &c->seat->loop;
  closer->call = c;
  closer->found = MCQ__DIALER_IDLE;
  closer->before.data = closer->after.data = closer;
  assert_int_equal(pipe(closer->pipe), 0);
  assert_int_equal(write(closer->pipe[1], "x", 1), 1);
  assert_int_equal(uv_poll_init(loop, &closer->before, closer->pipe[0]), 0);
  assert_int_equal(uv_check_init(loop, &closer->after), 0);
  if (before)
    assert_int_equal(uv_poll_start(&closer->before, UV_READABLE, on_before), 0);
  else
    assert_int_equal(uv_check_start(&closer->after, on_after), 0);
}

static void close_closer(closer_t* closer) {
  uv_close((uv_handle_t*) &closer->before, NULL);
  uv_close((uv_handle_t*) &closer->after, NULL);
  test_seat_turns(closer->call->seat, 1);
  close(closer->pipe[0]);
  close(closer->pipe[1]);
}

static void closing_while_dialing(void** state) {
  (void) state;
  int fd = bind_raw("x", SOCK_STREAM);
  assert_int_equal(listen(fd, 128), 0);
  for (int before = 0; before < 2; before++) {
    test_seat_t t;
    call_t c;
    closer_t closer;
    open_seat(&t);
    assert_int_equal(open_call(&c, &t, "ipc://x", true), 0);
    open_closer(&closer, &c, before != 0);
    test_seat_until(&t, &c.closed);
    assert_int_equal(closer.found, MCQ__DIALER_DIALING);
    assert_int_equal(c.failures, 0);
    assert_int_equal(c.streams, 0);
    close_closer(&closer);
    test_seat_close(&t);
  }
  close(fd);
  assert_int_equal(unlink("x"), 0);
}

static int dial_once(test_alloc_t* ta, void* arg) {
  test_seat_t t;
  call_t c;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open_on(&t, ta, MCQ__BACKEND_UV);
  if (rc != 0) return rc;
  rc = open_call(&c, &t, (const char*) arg, false);
  if (rc == 0) {
    while (c.failures == 0 && c.streams == 0) next_call(&c);
    if (c.failures != 0) rc = c.code;
    close_call(&c);
  }
  test_seat_leave(&t);
  return rc;
}

static void dialing_survives_every_failing_allocation(void** state) {
  (void) state;
  char uri[] = "ipc://x";
  int fd = bind_raw("x", SOCK_STREAM);
  assert_int_equal(listen(fd, 128), 0);
  assert_in_range(test_alloc_sweep(dial_once, uri), 3, 100);
  close(fd);
  assert_int_equal(unlink("x"), 0);
}

/* ---- bytes --------------------------------------------------------------- */

static void on_rig_stream(mcq__listener_t* l, void* stream,
                          const char* address) {
  rig_t* r = (rig_t*) l->user;
  assert_non_null(r->accepts);
  assert_string_equal(address, l->address);
  rig_adopt(r, r->accepts, stream);
  r->accepts = NULL;
  r->accepted = true;
}

static void open_pair(rig_t* r, side_t* a, side_t* b, const char* uri) {
  static const mcq__listener_events_t rig_events = {
      .on_stream = on_rig_stream,
      .on_error = rig_on_accept_error,
      .on_closed = rig_on_listener_closed};
  mcq__endpoint_t endpoint;
  memset(r, 0, sizeof *r);
  r->random.state = 99;
  if (rig_text[0] == rig_text[1]) rig_make_text();
  assert_int_equal(test_seat_open(&r->seat, choice), 0);
  assert_int_equal(mcq__endpoint_parse(&endpoint, uri), 0);
  r->listener.user = r;
  assert_int_equal(mcq__listener_open(&r->listener, &r->seat.io, &endpoint, 128,
                                      &rig_events),
                   0);
  r->listening = true;
  assert_int_equal(rig_connect(r, a, b), 0);
}

static void close_pair(rig_t* r, side_t* a, side_t* b) {
  side_dispose(a);
  side_dispose(b);
  rig_close(r);
}

static void bytes_go_both_ways(void** state) {
  (void) state;
  char name[64];
  snprintf(name, sizeof name, "ipc://@io_ipc-%ld", (long) getpid());
  const char* const uris[] = {"ipc://x", name, "ipc://*"};
  for (size_t k = 0; k < sizeof uris / sizeof *uris; k++) {
    rig_t r;
    side_t a, b;
    open_pair(&r, &a, &b, uris[k]);
    assert_int_equal(side_read(&a, true), 0);
    assert_int_equal(side_read(&b, true), 0);
    static const uint64_t sizes[] = {1, 2, 100, 4096, 65536, 300000, 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      b.to_get += sizes[i];
      a.to_get += sizes[i];
      a.all_got = b.all_got = false;
      side_send(&a, sizes[i]);
      side_send(&b, sizes[i]);
      test_seat_until(&r.seat, &b.all_got);
      test_seat_until(&r.seat, &a.all_got);
    }
    close_pair(&r, &a, &b);
  }
}

static void both_flood_at_once(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b, "ipc://x");
  b.wants = true; /* one reads where it wants to */
  a.to_get = b.to_get = FLOOD;
  side_send(&a, FLOOD);
  side_send(&b, FLOOD);
  while (a.waited == 0 || b.waited == 0) test_seat_turns(&r.seat, 1);
  assert_int_equal(side_read(&a, true), 0);
  assert_int_equal(side_read(&b, true), 0);
  test_seat_until(&r.seat, &a.all_got);
  test_seat_until(&r.seat, &b.all_got);
  assert_true(b.filled > 0 || choice != MCQ__BACKEND_UV);
  close_pair(&r, &a, &b);
}

/* Our end comes first; what the other side still sends arrives. */
static void half_closed(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b, "ipc://x");
  b.to_get = a.to_get = 100000;
  side_send(&a, 100000);
  assert_int_equal(side_read(&b, true), 0);
  test_seat_until(&r.seat, &b.all_got);
  test_seat_until(&r.seat, &a.all_sent);
  a.wire->backend->shutdown(a.wire);
  test_seat_until(&r.seat, &b.ended);
  assert_int_equal(b.end_code, UV_EOF);
  assert_int_equal(side_read(&a, true), 0);
  side_send(&b, 100000);
  test_seat_until(&r.seat, &a.all_got);
  close_pair(&r, &a, &b);
}

/* The listener may be closed, and its path with it; the connection stays. */
static void connections_outlive_the_listener(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b, "ipc://x");
  rig_unlisten(&r);
  assert_false(exists("x"));
  b.to_get = 1000;
  side_send(&a, 1000);
  assert_int_equal(side_read(&b, true), 0);
  test_seat_until(&r.seat, &b.all_got);
  close_pair(&r, &a, &b);
}

static void wrote_until_error(side_t* s, ssize_t n) {
  (void) n;
  *(bool*) s->more = s->write_error != 0;
}

/* Writing to a peer that has gone is an error, and no signal. */
static void writing_to_nobody(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b, "ipc://x");
  side_close(&b);
  test_seat_until(&r.seat, &b.closed);
  bool failed = false;
  a.more = &failed;
  a.then_wrote = wrote_until_error;
  side_send(&a, FLOOD);
  test_seat_turns(&r.seat, 3);
  failed = failed || a.write_error != 0; /* it may have been known at once */
  test_seat_until(&r.seat, &failed);
  assert_true(a.write_error == UV_EPIPE || a.write_error == UV_ECONNRESET);
  close_pair(&r, &a, &b);
}

static void closing_with_a_write_in_flight(void** state) {
  (void) state;
  rig_t r;
  side_t a, b;
  open_pair(&r, &a, &b, "ipc://x");
  side_send(&a, FLOOD);
  while (a.waited == 0 || (a.flight == 0 && !a.stuck))
    test_seat_turns(&r.seat, 1);
  side_close(&a);
  test_seat_until(&r.seat, &a.closed);
  assert_int_equal(side_read(&b, true), 0);
  test_seat_until(&r.seat, &b.ended); /* after what had gone out */
  assert_true(b.got > 0 && b.got <= FLOOD);
  assert_int_equal(b.end_code, UV_EOF);
  close_pair(&r, &a, &b);
}

/* ---- main ---------------------------------------------------------------- */

#define AT_HOME(test) \
  cmocka_unit_test_setup_teardown(test, enter_home, leave_home)

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      AT_HOME(paths_and_names),
      AT_HOME(a_name_has_its_exact_length),
      AT_HOME(the_longest_ones),
      AT_HOME(errors_come_at_once),
      AT_HOME(no_permission_is_an_error),
      AT_HOME(any_path_is_a_fresh_one),
      AT_HOME(any_path_fits),
      AT_HOME(any_path_may_be_impossible),
      AT_HOME(a_dead_socket_is_replaced),
      AT_HOME(a_listener_is_left_in_peace),
      AT_HOME(other_sockets_in_use_are_left),
      AT_HOME(what_is_no_socket_is_left),
      AT_HOME(only_ones_own_file_is_removed),
      AT_HOME(another_working_directory),
      AT_HOME(a_crowd),
      AT_HOME(descriptors_run_out),
      AT_HOME(listening_survives_every_failing_allocation),
      AT_HOME(dialing_until_somebody_is_there),
      AT_HOME(dialing_a_name),
      AT_HOME(a_full_backlog),
      AT_HOME(a_wildcard_cannot_be_dialed),
      AT_HOME(closing_while_dialing),
      AT_HOME(dialing_survives_every_failing_allocation),
      AT_HOME(bytes_go_both_ways),
      AT_HOME(both_flood_at_once),
      AT_HOME(half_closed),
      AT_HOME(connections_outlive_the_listener),
      AT_HOME(writing_to_nobody),
      AT_HOME(closing_with_a_write_in_flight),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Why the uring back end is not tested, or 0. */
static int cannot_uring(void) {
  test_seat_t t;
  memset(&t, 0, sizeof t);
  int rc = test_seat_open(&t, MCQ__BACKEND_URING);
  if (rc == 0) test_seat_close(&t);
  return rc;
}

int main(void) {
  choice = MCQ__BACKEND_UV;
  int failed = run_all();
  int rc = cannot_uring();
  if (rc == 0) {
    printf("and again with uring\n");
    choice = MCQ__BACKEND_URING;
    failed += run_all();
  } else {
    printf("uring is not here: %s\n", uv_strerror(rc));
  }
  return failed;
}
