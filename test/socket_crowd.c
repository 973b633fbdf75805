/* SPDX-License-Identifier: MIT */
/* A thousand subscribers and one large message: it is in memory once, however
 * many queues it waits in, and what each queue adds is small and the same for
 * every message.  Over real tcp on every back end; nobody reads until it has
 * been looked at. */
#include <sys/resource.h>

#include "support/topics.h"

#define CROWD 1000
#define LARGE ((size_t) 1 << 20)
#define MESSAGES 2
/* What a queue may take for its books, and for a window to write the beginning
 * of a frame in. */
#define BOOKS ((size_t) 512)
#define WINDOW ((size_t) 8192)

static uint8_t large[LARGE];
static raw_t subs[CROWD];

/* Two descriptors each.  False: this system does not allow them. */
static bool room_for_all(void) {
  struct rlimit limit;
  rlim_t need = 2 * CROWD + 200;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur >= need) return true;
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < need) {
    print_message("not more than %llu descriptors here\n",
                  (unsigned long long) limit.rlim_max);
    return false;
  }
  limit.rlim_cur = need;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* The kernel would hold a large message for each of them: what is accepted
 * from now on has buffers as small as the kernel makes them. */
static void keep_the_kernel_small(const player_t* p) {
  int port = atoi(strrchr(mcq_endpoint_uri(p->s, p->at), ':') + 1);
  int size = 4096;
  unsigned found = 0;
  for (int fd = 3; fd < 64; fd++) {
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr*) &a, &len) != 0) continue;
    if (a.sin_family != AF_INET || ntohs(a.sin_port) != port) continue;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size),
                     0);
    found++;
  }
  assert_int_equal(found, 1);
}

/* In dozens, lest they overrun who accepts them. */
static void fill_the_house(stage_t* g, fan_t* pub) {
  for (unsigned i = 0; i < CROWD; i++) {
    raw_open(&subs[i], g);
    subs[i].buffer = 4096;
    raw_connect(&subs[i], &pub->p);
    raw_hello(&subs[i], 1, "SUB");
    raw_topic(&subs[i], 1, "");
    if (i % 100 == 99) until(g, pub->subscribed == i + 1);
  }
  until(g, pub->subscribed == CROWD);
  for (unsigned i = 0; i < CROWD; i++) raw_greeted(&subs[i]);
  stage_turns(g, 3);
}

/* One of them hears the first `count`. */
static void hear(raw_t* r, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    raw_expect(r, 1, &i, sizeof i);
    raw_expect(r, 2, large, LARGE);
  }
}

/* Says it to everybody; what memory has grown by. */
static size_t growth_of(fan_t* pub, uint32_t number) {
  stage_t* g = pub->p.g;
  size_t before = g->memory.bytes;
  mcq_frame_t frames[2] = {{&number, sizeof number}, {large, LARGE}};
  assert_int_equal(mcq_send(pub->p.s, frames, 2), 0);
  stage_turns(g, 2);
  return g->memory.bytes - before;
}

static void on_released(void* data, void* arg) {
  assert_ptr_equal(data, large);
  ++*(unsigned*) arg;
}

/* The same for a message on the user's own memory. */
static size_t growth_of_wrapped(fan_t* pub, unsigned* released) {
  stage_t* g = pub->p.g;
  size_t before = g->memory.bytes;
  mcq_msg_t* msg;
  assert_int_equal(
      mcq_msg_wrap(g->ctx, large, LARGE, on_released, released, &msg), 0);
  assert_int_equal(mcq_send_msg(pub->p.s, msg), 0);
  mcq_msg_release(msg);
  stage_turns(g, 2);
  return g->memory.bytes - before;
}

/* Beside what lies ready to be used again. */
static size_t in_use(const stage_t* g) {
  mcq_ctx_stats_t stats;
  mcq_ctx_stats(g->ctx, &stats);
  return g->memory.bytes - (size_t) stats.memory_idle_bytes;
}

static void once_for_a_thousand(int backend) {
  stage_t g;
  fan_t pub;
  unsigned released = 0;
  stage_open(&g, backend, false);
  fan_open(&pub, &g,
           (mcq_socket_options_t){.type = MCQ_PUB, .sndhwm_bytes = 64 << 20});
  player_bind(&pub.p);
  keep_the_kernel_small(&pub.p);
  fill_the_house(&g, &pub);
  size_t before = in_use(&g);
  size_t growth = 0;
  for (uint32_t i = 0; i < MESSAGES; i++) {
    growth = growth_of(&pub, i);
    assert_in_range(growth, LARGE, LARGE + CROWD * BOOKS);
  }
  /* The books are open: of the last one little but itself is new. */
  assert_true(growth < LARGE + CROWD * 64);
  assert_true(growth_of_wrapped(&pub, &released) < CROWD * WINDOW);
  mcq_stats_t stats = player_stats(&pub.p);
  assert_int_equal(stats.messages_queued, (MESSAGES + 1) * CROWD);
  assert_int_equal(stats.messages_dropped, 0);
  assert_int_equal(released, 0);
  hear(&subs[0], MESSAGES);
  hear(&subs[CROWD - 1], 1);
  for (unsigned i = 0; i < CROWD; i++) raw_close(&subs[i]);
  /* Their queues go with their wires, each in a turn that has time for it. */
  until(&g, pub.p.downs == CROWD && released != 0 && in_use(&g) <= before);
  assert_int_equal(released, 1);
  stage_close(&g);
}

static const scene_t scenes[] = {
    {"once_for_a_thousand", once_for_a_thousand},
};

static void on_libuv(void** state) {
  (void) state;
  if (!room_for_all()) skip();
  play_scenes(scenes, sizeof scenes / sizeof *scenes, MCQ_BACKEND_UV);
}

static void on_io_uring(void** state) {
  (void) state;
  if (!backend_is_here(MCQ_BACKEND_URING) || !room_for_all()) skip();
  play_scenes(scenes, sizeof scenes / sizeof *scenes, MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(on_libuv),
      cmocka_unit_test(on_io_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
