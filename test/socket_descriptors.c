/* SPDX-License-Identifier: MIT */
/* A process that has no descriptor left: listeners wait without spinning and
 * say so once a second, those who are connected are served, and whoever waited
 * comes in as soon as there is room.  Over tcp and ipc on every back end; the
 * words on a clock of the test's own, the waiting on the real one. */
#include <dirent.h>

#include "support/players.h"
#include "support/strangers.h"

#define WAITING 20
#define STALL_MS ((uint64_t) 600)

/* Of one processor, while nobody can be accepted. */
#define CPU_PERCENT_MAX 5
/* Turns of the loop meanwhile: ten tries a second a listener and what belongs
 * to them. */
#define TURNS_MAX 200

/* ---- running out --------------------------------------------------------- */

/* What is open stays open; nothing more can be. */
static struct rlimit run_out(void) {
  struct rlimit old;
  int lowest = dup(0);
  assert_true(lowest >= 0);
  close(lowest);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  struct rlimit now = {(rlim_t) lowest, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
  return old;
}

static void have_again(const struct rlimit* old) {
  assert_int_equal(setrlimit(RLIMIT_NOFILE, old), 0);
}

/* ---- the house: a listener on tcp, one on ipc, a friend through each ----- */

typedef struct told {
  unsigned accepted;
  unsigned failed[2];  /* by listener */
  unsigned not_dialed; /* for want of a descriptor */
} told_t;

typedef struct house {
  stage_t g;
  player_t server[2];
  player_t friend[2];
  told_t told;
  int waiting[2][WAITING];
} house_t;

static house_t* house_of(const player_t* p) {
  return (house_t*) p->arg;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  player_t* p = player_of(s);
  house_t* h = house_of(p);
  if (h == NULL) return;
  if (e->kind == MCQ_EVENT_ACCEPTED) h->told.accepted++;
  if (e->kind == MCQ_EVENT_CONNECT_FAILED && e->code == UV_EMFILE)
    h->told.not_dialed++;
  if (e->kind != MCQ_EVENT_ACCEPT_FAILED) return;
  assert_int_equal(e->code, UV_EMFILE);
  h->told.failed[p == &h->server[1]]++;
}

static void echo(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  assert_int_equal(mcq_send_msg_to(p->s, peer, msg), 0);
}

static void open_house(house_t* h, int backend, bool clock) {
  memset(h, 0, sizeof *h);
  stage_open(&h->g, backend, clock);
  for (int i = 0; i < 2; i++) {
    player_t* p = &h->server[i];
    player_open(
        p, &h->g,
        (mcq_socket_options_t){.type = MCQ_ROUTER, .on_event = on_event});
    p->on_message = echo;
    p->arg = h;
    const char* uri = i == 0 ? "tcp://127.0.0.1:*" : "ipc://*";
    assert_int_equal(mcq_bind(p->s, uri, &p->at), 0);
    player_open(
        &h->friend [i], &h -> g,
        (mcq_socket_options_t) { .type = MCQ_DEALER, .on_event = on_event });
    player_meet(&h->friend[i], p);
  }
  h->told.accepted = 0;
}

/* Strangers come when there is no room for them. */
static struct rlimit besiege(house_t* h) {
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < WAITING; k++) {
      const char* uri = mcq_endpoint_uri(h->server[i].s, h->server[i].at);
      h->waiting[i][k] = stranger(uri);
      assert_true(h->waiting[i][k] >= 0);
    }
  struct rlimit old = run_out();
  until(&h->g, h->told.failed[0] == 1 && h->told.failed[1] == 1);
  return old;
}

static void expect_service(house_t* h) {
  for (int i = 0; i < 2; i++) {
    unsigned before = h->friend[i].count;
    assert_int_equal(say(&h->friend[i], "still there?"), 0);
    until(&h->g, h->friend[i].count == before + 1);
    assert_int_equal(h->friend[i].downs, 0);
  }
}

static void leave(house_t* h) {
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < WAITING; k++) close(h->waiting[i][k]);
  stage_close(&h->g);
}

/* ---- plays --------------------------------------------------------------- */

static int files(void) {
  DIR* dir = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

static void one_word_a_second(int backend) {
  house_t h;
  stage_open(&h.g, backend, true); /* libuv opens two for good */
  stage_close(&h.g);
  int before = files();
  open_house(&h, backend, true);
  struct rlimit old = besiege(&h);
  for (int second = 1; second <= 4; second++) {
    for (int i = 0; i < 9; i++) {
      h.g.now += 100;
      stage_turns(&h.g, 4);
      for (int k = 0; k < 2; k++) assert_int_equal(h.told.failed[k], second);
    }
    expect_service(&h);
    h.g.now += 100;
    until(&h.g, h.told.failed[0] > (unsigned) second &&
                    h.told.failed[1] > (unsigned) second);
  }
  assert_int_equal(h.told.accepted, 0);
  /* Nobody was lost. */
  have_again(&old);
  h.g.now += 100;
  until(&h.g, h.told.accepted == 2 * WAITING);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < WAITING; k++)
      assert_false(stranger_out(h.waiting[i][k]));
  expect_service(&h);
  leave(&h);
  assert_int_equal(files(), before);
}

/* Room for one is room for one, also where a back end takes it over. */
static void one_at_a_time(int backend) {
  house_t h;
  open_house(&h, backend, true);
  struct rlimit old = besiege(&h);
  for (unsigned i = 1; i <= WAITING; i++) {
    struct rlimit now;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    now.rlim_cur++;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    h.g.now += 100;
    until(&h.g, h.told.accepted == i);
    stage_turns(&h.g, 4);
    assert_int_equal(h.told.accepted, i);
  }
  have_again(&old);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < WAITING; k++)
      assert_false(stranger_out(h.waiting[i][k]));
  expect_service(&h);
  leave(&h);
}

static void who_connects_tries_again(int backend) {
  house_t h;
  player_t late;
  open_house(&h, backend, true);
  player_open(&late, &h.g,
              (mcq_socket_options_t){.type = MCQ_DEALER, .on_event = on_event});
  late.arg = &h;
  struct rlimit old = run_out();
  player_connect(&late, &h.server[0]);
  for (; h.told.not_dialed < 3; h.g.now++) stage_step(&h.g);
  expect_service(&h);
  have_again(&old);
  for (; late.ups == 0; h.g.now++) stage_step(&h.g);
  stage_close(&h.g);
}

/* ---- the real clock ------------------------------------------------------ */

static unsigned turns;

static void on_turn(uv_prepare_t* handle) {
  (void) handle;
  turns++;
}

static void on_over(uv_timer_t* timer) {
  *(bool*) timer->data = true;
}

static uint64_t cpu_us(void) {
  struct rusage u;
  assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
  return (uint64_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
         (uint64_t) (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void nothing_spins(int backend) {
  house_t h;
  bool over = false;
  uv_prepare_t prepare;
  uv_timer_t timer;
  open_house(&h, backend, false);
  uv_timer_stop(&h.g.tick); /* the stage's own */
  struct rlimit old = besiege(&h);
  uv_prepare_init(&h.g.loop, &prepare);
  uv_timer_init(&h.g.loop, &timer);
  timer.data = &over;
  uv_prepare_start(&prepare, on_turn);
  uv_timer_start(&timer, on_over, STALL_MS, 0);
  turns = 0;
  uint64_t before = cpu_us();
  while (!over) uv_run(&h.g.loop, UV_RUN_ONCE);
  uint64_t used = cpu_us() - before;
  print_message("    %u turns, %u us of processor in %u ms\n", turns,
                (unsigned) used, (unsigned) STALL_MS);
  assert_true(turns <= TURNS_MAX);
  assert_true(used * 100 <= STALL_MS * 1000 * CPU_PERCENT_MAX);
  assert_in_range(h.told.failed[0], 1, 2);
  assert_in_range(h.told.failed[1], 1, 2);
  uv_close((uv_handle_t*) &prepare, NULL);
  uv_close((uv_handle_t*) &timer, NULL);
  uv_timer_start(&h.g.tick, stage_on_tick, 1, 1);
  expect_service(&h);
  have_again(&old);
  until(&h.g, h.told.accepted == 2 * WAITING);
  leave(&h);
}

static const scene_t scenes[] = {
    {"one word a second", one_word_a_second},
    {"one at a time", one_at_a_time},
    {"who connects tries again", who_connects_tries_again},
    {"nothing spins", nothing_spins},
};
#define SCENES (sizeof scenes / sizeof *scenes)

static void over_uv(void** state) {
  (void) state;
  play_scenes(scenes, SCENES, MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (backend_is_here(MCQ_BACKEND_URING))
    play_scenes(scenes, SCENES, MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
