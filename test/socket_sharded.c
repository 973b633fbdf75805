/* SPDX-License-Identifier: MIT */
/* Several contexts at one tcp port (reuse_port): both get some of those who
 * connect and nobody is lost; whoever does not say so is kept out, and keeps
 * others out; when one closes the other gets all.  Who arrives over one's
 * processor (incoming_cpu) comes to that one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include <sched.h>
#include <sys/utsname.h>

#include "support/players.h"
#include "support/strangers.h"

#define CLIENTS 64 /* that one of two gets none is as likely as 64 heads */

typedef struct shard {
  stage_t g;
  player_t p;
} shard_t;

static void shard_open_on(shard_t* x, int backend, bool shares, int cpu) {
  stage_open(&x->g, backend, true);
  player_open(&x->p, &x->g,
              (mcq_socket_options_t){.type = MCQ_ROUTER,
                                     .reuse_port = shares,
                                     .incoming_cpu = MCQ_CPU(cpu)});
}

static void shard_open(shard_t* x, int backend, bool shares) {
  shard_open_on(x, backend, shares, -1);
}

static const char* shard_uri(const shard_t* x) {
  return mcq_endpoint_uri(x->p.s, x->p.at);
}

/* Everybody has come to one of the two. */
static void come(shard_t* a, shard_t* b, int fds[CLIENTS]) {
  uint8_t hello[128];
  size_t len = stranger_hello("DEALER", hello);
  unsigned before = a->p.ups + b->p.ups;
  for (int i = 0; i < CLIENTS; i++) {
    fds[i] = stranger(shard_uri(b));
    assert_true(fds[i] >= 0);
  }
  for (int i = 0; i < CLIENTS; i++) stranger_say(fds[i], hello, len);
  while (a->p.ups + b->p.ups < before + CLIENTS) {
    if (!a->g.left) stage_turns(&a->g, 1);
    stage_turns(&b->g, 1);
  }
  stranger_say(fds[0], "\0\1x", 3); /* which one it talks to does not matter */
  while (a->p.count + b->p.count == 0) {
    if (!a->g.left) stage_turns(&a->g, 1);
    stage_turns(&b->g, 1);
  }
}

static void both_get_some(int backend) {
  shard_t a, b;
  int fds[2][CLIENTS];
  shard_open(&a, backend, true);
  shard_open(&b, backend, true);
  player_bind(&a.p);
  assert_int_equal(mcq_bind(b.p.s, shard_uri(&a), &b.p.at), 0);
  assert_string_equal(shard_uri(&a), shard_uri(&b));
  come(&a, &b, fds[0]);
  assert_true(a.p.ups > 0 && b.p.ups > 0);
  assert_int_equal(a.p.ups + b.p.ups, CLIENTS);

  unsigned ups = a.p.ups;
  assert_int_equal(mcq_unbind(a.p.s, a.p.at), 0);
  stage_turns(&a.g, 4);
  come(&a, &b, fds[1]);
  assert_int_equal(a.p.ups, ups);
  assert_int_equal(b.p.ups, 2 * CLIENTS - ups);
  for (int i = 0; i < CLIENTS; i++) {
    close(fds[0][i]);
    close(fds[1][i]);
  }
  stage_close(&a.g);
  stage_close(&b.g);
}

/* And everywhere: the address of all interfaces takes the same way. */
static void everywhere(int backend) {
  shard_t a, b;
  char uri[64];
  shard_open(&a, backend, true);
  shard_open(&b, backend, true);
  assert_int_equal(mcq_bind(a.p.s, "tcp://*:*", &a.p.at), 0);
  snprintf(uri, sizeof uri, "tcp://*:%s", strrchr(shard_uri(&a), ':') + 1);
  assert_int_equal(mcq_bind(b.p.s, uri, &b.p.at), 0);
  stage_close(&a.g);
  stage_close(&b.g);
}

static void all_have_to_say_so(int backend) {
  for (int first = 0; first < 2; first++) {
    for (int second = 0; second < 2; second++) {
      shard_t a, b;
      shard_open(&a, backend, first);
      shard_open(&b, backend, second);
      player_bind(&a.p);
      assert_int_equal(mcq_bind(b.p.s, shard_uri(&a), &b.p.at),
                       first && second ? 0 : MCQ_EADDRINUSE);
      stage_close(&a.g);
      stage_close(&b.g);
    }
  }
}

/* ---- a processor each ---------------------------------------------------- */

/* Linux keeps its word from 6.2 on. */
static bool system_steers(void) {
  struct utsname u;
  unsigned major = 0, minor = 0;
  assert_int_equal(uname(&u), 0);
  (void) sscanf(u.release, "%u.%u", &major, &minor);
  return strcmp(u.sysname, "Linux") == 0 &&
         (major > 6 || (major == 6 && minor >= 2));
}

/* Of those that this thread may run on. */
static int find_two(const cpu_set_t* mine, int out[2]) {
  int count = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE && count < 2; cpu++)
    if (CPU_ISSET((size_t) cpu, mine)) out[count++] = cpu;
  return count;
}

static void stay_on(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET((size_t) cpu, &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

/* What is sent over the loopback interface arrives over the processor that
 * sends it. */
static void arrivals_are_for_their_processor(int backend) {
  shard_t shards[2];
  cpu_set_t mine;
  int cpus[2], fds[CLIENTS];
  assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
  bool steers = find_two(&mine, cpus) == 2 && system_steers();
  if (!steers) cpus[0] = cpus[1] = 0;
  for (int i = 0; i < 2; i++) shard_open_on(&shards[i], backend, true, cpus[i]);
  player_bind(&shards[0].p);
  assert_int_equal(
      mcq_bind(shards[1].p.s, shard_uri(&shards[0]), &shards[1].p.at), 0);
  for (int i = 0; i < 2; i++) {
    unsigned before[2] = {shards[0].p.ups, shards[1].p.ups};
    if (steers) stay_on(cpus[i]);
    come(&shards[0], &shards[1], fds);
    assert_int_equal(shards[0].p.ups + shards[1].p.ups,
                     before[0] + before[1] + CLIENTS);
    if (steers) assert_int_equal(shards[i].p.ups, before[i] + CLIENTS);
    for (int k = 0; k < CLIENTS; k++) close(fds[k]);
  }
  assert_int_equal(sched_setaffinity(0, sizeof mine, &mine), 0);
  stage_close(&shards[0].g);
  stage_close(&shards[1].g);
}

/* It is about ports. */
static void elsewhere_it_means_nothing(int backend) {
  shard_t a, b;
  shard_open(&a, backend, true);
  shard_open(&b, backend, true);
  assert_int_equal(mcq_bind(a.p.s, "ipc://*", &a.p.at), 0);
  assert_int_equal(mcq_bind(b.p.s, shard_uri(&a), &b.p.at), MCQ_EADDRINUSE);
  assert_int_equal(mcq_bind(b.p.s, "inproc://one", &b.p.at), 0);
  assert_int_equal(mcq_bind(b.p.s, "inproc://one", NULL), MCQ_EADDRINUSE);
  stage_close(&a.g);
  stage_close(&b.g);
}

static const scene_t scenes[] = {
    {"both get some", both_get_some},
    {"everywhere", everywhere},
    {"all have to say so", all_have_to_say_so},
    {"arrivals are for their processor", arrivals_are_for_their_processor},
    {"elsewhere it means nothing", elsewhere_it_means_nothing},
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
