/* SPDX-License-Identifier: MIT */
/* The soak: a house full of servers of every type, on every transport and both
 * back ends, with guests that come and go for as long as one likes, in this
 * process and in others: ours, libzmq's, strangers; some are killed in the
 * middle of a message, some stop reading, some stop altogether.  In rounds:
 * after each one all guests leave, and what the house holds then is compared.
 * It may not grow: the least of the last quarter of the time is no more than
 * the most of the first quarter, but for
 *
 *   blocks of ours         1 % and 170: so many a pool of each context may keep
 *                          to be used again
 *   their bytes            5 % and 64 KiB, without what is kept so
 *   resident memory        5 % and 1 MiB; not looked at under a sanitizer
 *   descriptors            none: as many as before the first guest, every time
 *
 * Takes real time: a step of `make check-long`, and `make soak`.
 *
 *   SOAK_SECONDS    how long, 600
 *   MCQ_TEST_SEED   another one */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctx.h"
#include "support/alloc.h"
#include "support/soak.h"

#define TYPES 12
#define TRANSPORTS 3
#define SERVERS (2 * TRANSPORTS * TYPES)
#define GUESTS 40
#define TICK 2
#define PATIENCE UINT64_C(15000000000) /* ns to come to rest */
#define SECOND UINT64_C(1000000000)

typedef struct held {
  uint64_t blocks, bytes, rss;
} held_t;

typedef struct server {
  soak_talker_t talker;
  const char* uri;
  int seat;
  int transport;
} server_t;

static struct {
  uv_loop_t loop;
  uv_timer_t tick;
  test_alloc_t memory;
  mcq_ctx_t* seats[2];
  size_t seat_count;
  server_t servers[SERVERS];
  size_t server_count;
  soak_talker_t guests[GUESTS];
  test_random_t random;
  soak_nursery_t nursery;
  bool open; /* guests may come */
  size_t descriptors;
  uint64_t begun, total;
  uint64_t here, far; /* guests, in this process and in others */
  uint64_t heard, said;
  held_t now, first, last;
  unsigned rounds, early, late;
  uint64_t told_at;
} h;

/* ---- servers ------------------------------------------------------------- */

static void open_seat(int backend) {
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&h.memory)};
  int rc = mcq_ctx_new(&h.loop, &o, &h.seats[h.seat_count]);
  if (rc == 0)
    h.seat_count++;
  else
    printf("without %s: %s\n", backend == MCQ_BACKEND_UV ? "libuv" : "io_uring",
           mcq_strerror(rc));
}

static void open_server(int seat, int transport, int type) {
  server_t* v = &h.servers[h.server_count];
  char uri[64];
  mcq_endpoint_t at;
  if (type == MCQ_STREAM && transport == 2) return;
  if (transport == 0) snprintf(uri, sizeof uri, "tcp://127.0.0.1:*");
  if (transport == 1) snprintf(uri, sizeof uri, "ipc://*");
  if (transport == 2) snprintf(uri, sizeof uri, "inproc://%d", type);
  soak_open(&v->talker, h.seats[seat], type, true, &h.random);
  assert_int_equal(mcq_bind(v->talker.s, uri, &at), 0);
  v->uri = mcq_endpoint_uri(v->talker.s, at);
  v->seat = seat;
  v->transport = transport;
  h.server_count++;
}

static void open_house(void) {
  for (size_t i = 0; i < h.seat_count; i++)
    for (int t = 0; t < TRANSPORTS; t++)
      for (int k = 0; k < TYPES; k++) open_server((int) i, t, k);
}

/* ---- guests -------------------------------------------------------------- */

/* One server after the other, so that all have soon had guests. */
static void come(soak_talker_t* t) {
  server_t* v = &h.servers[h.here % h.server_count];
  size_t seat = test_random_below(&h.random, h.seat_count);
  if (v->transport == 2) seat = (size_t) v->seat;
  soak_open(t, h.seats[seat], soak_mate(&h.random, v->talker.type), false,
            &h.random);
  t->until = uv_hrtime() + test_random_below(&h.random, SECOND / 2);
  assert_int_equal(mcq_connect(t->s, v->uri, NULL, NULL), 0);
  h.here++;
}

static void come_from_far(void) {
  server_t* v = &h.servers[test_random_below(&h.random, h.server_count)];
  soak_guest_t guest = {
      .who = (soak_who_t) test_random_below(&h.random, 3),
      .manner = (soak_manner_t) test_random_below(&h.random, 4),
      .type = soak_mate(&h.random, v->talker.type),
      .backend = h.seat_count == 2 && (h.far & 1) != 0 ? MCQ_BACKEND_URING
                                                       : MCQ_BACKEND_UV,
      .ms = (unsigned) test_random_below(&h.random, 300),
      .seed = test_random(&h.random)};
  if (v->transport == 2) return;
  if (guest.who == SOAK_ZMQ && (!soak_has_zmq() || guest.type == MCQ_STREAM))
    guest.who = SOAK_OURS;
  snprintf(guest.uri, sizeof guest.uri, "%s", v->uri);
  soak_invite(&h.nursery, &guest);
  h.far++;
}

static void entertain(soak_talker_t* t) {
  if (t->closed) {
    h.heard += t->heard;
    h.said += t->said;
    memset(t, 0, sizeof *t);
  }
  if (t->s == NULL) {
    if (h.open && soak_one_in(&h.random, 60)) come(t);
  } else if (!h.open || uv_hrtime() > t->until) {
    soak_close(t);
  } else {
    soak_talk(t);
  }
}

static void on_tick(uv_timer_t* tick) {
  (void) tick;
  for (size_t i = 0; i < GUESTS; i++) entertain(&h.guests[i]);
  if (!h.open) return;
  for (size_t i = 0; i < h.server_count; i++)
    if (soak_one_in(&h.random, 4)) soak_talk(&h.servers[i].talker);
  if (soak_one_in(&h.random, 10)) come_from_far();
}

/* ---- what the house holds ------------------------------------------------ */

static size_t count_descriptors(void) {
  size_t count = 0;
  DIR* dir = opendir("/proc/self/fd");
  assert_non_null(dir);
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

static uint64_t resident(void) {
  unsigned long pages = 0;
  FILE* f = fopen("/proc/self/statm", "r");
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
  fclose(f);
  return (uint64_t) pages * (uint64_t) sysconf(_SC_PAGESIZE);
}

/* How much is kept to be used again depends on the busiest moment so far. */
static held_t measure(void) {
  for (size_t i = 0; i < h.seat_count; i++)
    mcq__pool_trim(h.seats[i]->host.pool);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  held_t now = {.blocks = atomic_load(&h.memory.live),
                .bytes = atomic_load(&h.memory.bytes),
                .rss = resident()};
  for (size_t i = 0; i < h.seat_count; i++) {
    mcq_ctx_stats_t s;
    mcq_ctx_stats(h.seats[i], &s);
    now.bytes -= s.memory_idle_bytes;
  }
  return now;
}

static uint64_t most(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static void note(held_t now) {
  uint64_t gone = uv_hrtime() - h.begun;
  h.now = now;
  h.rounds++;
  if (gone <= h.total / 4 || h.early < 2) {
    h.early++;
    h.first.blocks = most(h.first.blocks, now.blocks);
    h.first.bytes = most(h.first.bytes, now.bytes);
    h.first.rss = most(h.first.rss, now.rss);
  } else if (gone >= h.total / 4 * 3) {
    if (h.late++ == 0) h.last = now;
    h.last.blocks = least(h.last.blocks, now.blocks);
    h.last.bytes = least(h.last.bytes, now.bytes);
    h.last.rss = least(h.last.rss, now.rss);
  }
}

static void tell(bool always) {
  uint64_t now = uv_hrtime();
  mcq_stats_t all = {0};
  if (!always && now - h.told_at < 10 * SECOND) return;
  h.told_at = now;
  uint64_t met = 0;
  uint64_t heard = h.heard;
  uint64_t said = h.said;
  for (size_t i = 0; i < h.seat_count; i++) {
    mcq_ctx_totals(h.seats[i], &all);
    met += all.handshakes_ok;
  }
  for (size_t i = 0; i < h.server_count; i++) {
    heard += h.servers[i].talker.heard;
    said += h.servers[i].talker.said;
  }
  printf(
      "%4llu s: %u rounds, %llu guests and %llu from elsewhere, %llu "
      "handshakes, %llu said, %llu heard; %llu blocks, %llu KiB; resident "
      "%llu KiB; %zu descriptors\n",
      (unsigned long long) ((now - h.begun) / SECOND), h.rounds,
      (unsigned long long) h.here, (unsigned long long) h.far,
      (unsigned long long) met, (unsigned long long) said,
      (unsigned long long) heard, (unsigned long long) h.now.blocks,
      (unsigned long long) h.now.bytes / 1024,
      (unsigned long long) h.now.rss / 1024, h.descriptors);
}

/* ---- rounds -------------------------------------------------------------- */

static bool nobody_is_here(void) {
  mcq_stats_t s;
  for (size_t i = 0; i < GUESTS; i++)
    if (h.guests[i].s != NULL) return false;
  for (size_t i = 0; i < h.server_count; i++) {
    mcq_stats(h.servers[i].talker.s, &s);
    if (s.peers != 0) return false;
  }
  return true;
}

static bool all_went_home(void) {
  char byte;
  return read(h.nursery.answers, &byte, 1) == 1;
}

static void print_line(const char* text, void* arg) {
  (void) arg;
  fprintf(stderr, "  %s\n", text);
}

static void give_up(const char* what) {
  tell(true);
  fprintf(stderr, "soak: %s; %zu descriptors, %zu at first\n", what,
          count_descriptors(), h.descriptors);
  for (size_t i = 0; i < h.seat_count; i++)
    mcq_ctx_dump(h.seats[i], print_line, NULL);
  exit(1);
}

/* All leave; what they leave behind is gone with them. */
static void come_to_rest(void) {
  uint64_t deadline = uv_hrtime() + PATIENCE;
  bool home = false;
  h.open = false;
  soak_send_home(&h.nursery);
  for (size_t i = 0; i < h.server_count; i++) soak_rest(&h.servers[i].talker);
  for (;;) {
    (void) uv_run(&h.loop, UV_RUN_ONCE);
    home = home || all_went_home();
    if (home && nobody_is_here() && count_descriptors() == h.descriptors) break;
    if (uv_hrtime() > deadline) give_up("the house does not come to rest");
  }
  /* What a message left behind may wait for a turn or two. */
  for (int i = 0; i < 20; i++) (void) uv_run(&h.loop, UV_RUN_ONCE);
  for (size_t i = 0; i < h.server_count; i++) soak_rest(&h.servers[i].talker);
}

static void play_round(uint64_t length) {
  uint64_t end = uv_hrtime() + length;
  h.open = true;
  while (uv_hrtime() < end) (void) uv_run(&h.loop, UV_RUN_ONCE);
  come_to_rest();
  note(measure());
  tell(false);
}

static void check_flat(void) {
  printf(
      "most of the first quarter: %llu blocks, %llu KiB, resident %llu KiB; "
      "least of the last: %llu blocks, %llu KiB, resident %llu KiB\n",
      (unsigned long long) h.first.blocks,
      (unsigned long long) h.first.bytes / 1024,
      (unsigned long long) h.first.rss / 1024,
      (unsigned long long) h.last.blocks,
      (unsigned long long) h.last.bytes / 1024,
      (unsigned long long) h.last.rss / 1024);
  if (h.late == 0) give_up("it was too short to tell");
  if (h.last.blocks > h.first.blocks + h.first.blocks / 100 + 170)
    give_up("the number of blocks grows");
  if (h.last.bytes > h.first.bytes + h.first.bytes / 20 + (64 << 10))
    give_up("the memory of the library grows");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (h.last.rss > h.first.rss + h.first.rss / 20 + (1 << 20))
    give_up("the memory of the process grows");
#endif
}

static void close_house(void) {
  for (size_t i = 0; i < h.server_count; i++) soak_close(&h.servers[i].talker);
  for (size_t i = 0; i < h.seat_count; i++) mcq_ctx_close(h.seats[i], NULL);
  uv_close((uv_handle_t*) &h.tick, NULL);
  assert_int_equal(uv_run(&h.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&h.loop), 0);
  assert_int_equal(atomic_load(&h.memory.live), 0);
}

static uint64_t number_of(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  soak_nursery_open(&h.nursery);
  fcntl(h.nursery.answers, F_SETFL, O_NONBLOCK);
  h.total = number_of("SOAK_SECONDS", 600) * SECOND;
  h.random.state = number_of("MCQ_TEST_SEED", 1);
  test_alloc_init(&h.memory);
  assert_int_equal(uv_loop_init(&h.loop), 0);
  open_seat(MCQ_BACKEND_UV);
  open_seat(MCQ_BACKEND_URING);
  open_house();
  uv_timer_init(&h.loop, &h.tick);
  uv_timer_start(&h.tick, on_tick, TICK, TICK);
  (void) uv_run(&h.loop, UV_RUN_ONCE);
  h.descriptors = count_descriptors();
  h.begun = h.told_at = uv_hrtime();
  uint64_t length = h.total / 25;
  if (length > 10 * SECOND) length = 10 * SECOND;
  if (length < SECOND) length = SECOND;
  while (uv_hrtime() - h.begun < h.total) play_round(length);
  tell(true);
  check_flat();
  close_house();
  soak_nursery_close(&h.nursery);
  return 0;
}
