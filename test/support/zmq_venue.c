/* SPDX-License-Identifier: MIT */
/* The table of venues (see zmq_venue.h), and the directory where those with
 * files have them.  Never decides what is played. */
#include "support/zmq_venue.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* tcp with everything on both back ends; what takes long once more over ipc. */
static const venue_t venues[] = {
    {"tcp, uv", OVER_TCP, MCQ_BACKEND_UV, true},
    {"tcp, uring", OVER_TCP, MCQ_BACKEND_URING, true},
    {"ipc, uv", OVER_FILE, MCQ_BACKEND_UV, false},
    {"ipc, uring", OVER_FILE, MCQ_BACKEND_URING, true},
    {"ipc by name, auto", OVER_NAME, MCQ_BACKEND_AUTO, false},
};
#define VENUES (sizeof venues / sizeof *venues)
#define TESTS_MAX 64

/* ---- addresses ----------------------------------------------------------- */

static char home[64];

static void open_home(void) {
  const char* tmp = getenv("TMPDIR");
  if (tmp == NULL || tmp[0] != '/' || strlen(tmp) > 32) tmp = "/tmp";
  snprintf(home, sizeof home, "%.32s/interop-XXXXXX", tmp);
  if (mkdtemp(home) != NULL) return;
  perror(home);
  exit(1);
}

/* Who was killed leaves a file behind. */
static void close_home(void) {
  char path[sizeof home + 1 + sizeof((struct dirent*) 0)->d_name];
  DIR* dir = opendir(home);
  if (dir == NULL) return;
  for (struct dirent* e = readdir(dir); e != NULL; e = readdir(dir)) {
    snprintf(path, sizeof path, "%s/%s", home, e->d_name);
    if (e->d_name[0] != '.') (void) unlink(path);
  }
  closedir(dir);
  (void) rmdir(home);
}

void venue_uri(const venue_t* venue, char out[URI_MAX]) {
  static unsigned number;
  if (venue->over == OVER_TCP)
    snprintf(out, URI_MAX, "tcp://127.0.0.1:*");
  else
    snprintf(out, URI_MAX, "ipc://%s%s/%d.%u",
             venue->over == OVER_NAME ? "@" : "", home, getpid(), number++);
}

/* ---- back ends ----------------------------------------------------------- */

int second_backend(void) {
  if (backend_is_here(MCQ_BACKEND_URING)) return MCQ_BACKEND_URING;
  return MCQ_BACKEND_AUTO;
}

/* ---- scenes -------------------------------------------------------------- */

typedef struct event {
  const scene_t* scene;
  const venue_t* venue;
  char name[96];
} event_t;

static void play_event(void** state) {
  const event_t* e = (const event_t*) *state;
  if (!backend_is_here(e->venue->backend)) skip();
  e->scene->play(e->venue);
}

static void add(struct CMUnitTest* test, event_t* e) {
  snprintf(e->name, sizeof e->name, "%s: %s", e->scene->name, e->venue->name);
  test->name = e->name;
  test->test_func = play_event;
  test->teardown_func = kill_peers;
  test->initial_state = e;
}

/* cmocka passes over what is not filled in. */
int venues_play(const scene_t* scenes, size_t count) {
  static event_t events[TESTS_MAX];
  static struct CMUnitTest tests[TESTS_MAX];
  size_t used = 0;
  for (size_t i = 0; i < count * VENUES; i++) {
    event_t* e = &events[used];
    MUST(used < TESTS_MAX);
    e->scene = &scenes[i / VENUES];
    e->venue = &venues[i % VENUES];
    if (e->scene->heavy && !e->venue->heavy) continue;
    add(&tests[used++], e);
  }
  open_home();
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  close_home();
  return failed;
}

void venue_join(const venue_t* venue, const duo_t* duo, mcq_socket_t* socket,
                bool we_bind, unsigned peers) {
  char uri[URI_MAX];
  if (we_bind) {
    mcq_endpoint_t at;
    venue_uri(venue, uri);
    assert_int_equal(mcq_bind(socket, uri, &at), 0);
    uri_tell(duo->out, mcq_endpoint_uri(socket, at));
    return;
  }
  for (unsigned k = 0; k < peers; k++) {
    assert_true(uri_hear(duo->in, uri));
    assert_int_equal(mcq_connect(socket, uri, NULL, NULL), 0);
  }
}
