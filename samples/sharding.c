/* SPDX-License-Identifier: MIT */
/* A server on all cores: one loop a core, each in a thread of its own with a
 * context of its own, and all of them listen at the same port.  The system
 * gives each a part of those who connect (SO_REUSEPORT), so no loop knows of
 * the others and nothing is shared, not even a lock.
 *
 *   DEALER, DEALER, ...  ->  tcp port  ->  ROUTER of loop 1
 *                                     `->  ROUTER of loop 2
 *
 * Which one gets a connection is a matter of luck, or, as incoming_cpu has it
 * here when loops stay on their cores, of the core it arrives over: then what
 * a core sends and receives is in its own caches.
 *
 * A connection stays with the loop that got it.  What has to be known to all
 * of them, or goes to peers of another, wants inproc or a mailbox between the
 * loops; a server of questions and answers wants neither.
 *
 *   sharding               a few questions; tells who answered how many
 *   sharding --seconds N   that long on one core and twice that long on each
 *                          number of cores up to all of them: answers a second
 *                          with connections to any core, and to the one they
 *                          arrive over.  The clients run on the same cores, in
 *                          as many threads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include <monocoque.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  CLIENTS = 64,
  QUESTIONS = 100,
  AT_ONCE = 16,
  SHARDS = 2,
  CORES_MAX = 64
};

/* One loop of the server. */
typedef struct shard {
  uv_loop_t loop;
  uv_thread_t thread;
  mcq_ctx_t* ctx;
  mcq_mailbox_t* box; /* how others reach it */
  uint64_t served;
  unsigned clients;
  int core;     /* -1: any */
  int arrivals; /* over which core they are for this loop; -1: any */
} shard_t;

/* One loop of clients. */
typedef struct crowd {
  uv_loop_t loop;
  uv_thread_t thread;
  uv_timer_t timer;
  mcq_ctx_t* ctx;
  uint64_t asked, answered;
  uint64_t goal; /* questions; 0: until the time is over */
  int core;
} crowd_t;

static void must(const char* what, int rc) {
  if (rc == 0) return;
  fprintf(stderr, "sharding: %s: %s\n", what, mcq_strerror(rc));
  exit(1);
}

static void stay_on(int core) {
#ifdef __linux__
  cpu_set_t set;
  if (core < 0) return;
  CPU_ZERO(&set);
  CPU_SET((size_t) core, &set);
  (void) sched_setaffinity(0, sizeof set, &set);
#else
  (void) core;
#endif
}

/* ---- the server ---------------------------------------------------------- */

static void answer(mcq_socket_t* router, mcq_peer_t peer, mcq_msg_t* msg) {
  shard_t* shard = (shard_t*) mcq_socket_data(router);
  if (mcq_send_msg_to(router, peer, msg) == 0) shard->served++;
}

static void welcome(mcq_socket_t* router, const mcq_peer_info_t* info) {
  (void) info;
  ((shard_t*) mcq_socket_data(router))->clients++;
}

/* `uri` is where the first of them listens, once it does. */
static void open_shard(shard_t* shard, char uri[64]) {
  mcq_socket_t* router;
  mcq_endpoint_t at;
  mcq_socket_options_t o = {.type = MCQ_ROUTER,
                            .data = shard,
                            .reuse_port = true,
                            .incoming_cpu = MCQ_CPU(shard->arrivals),
                            .on_message = answer,
                            .on_peer_up = welcome};
  must("loop", uv_loop_init(&shard->loop));
  must("context", mcq_ctx_new(&shard->loop, NULL, &shard->ctx));
  must("socket", mcq_socket_new(shard->ctx, &o, &router));
  must("bind", mcq_bind(router, uri, &at));
  must("mailbox", mcq_mailbox_new(router, NULL, &shard->box));
  snprintf(uri, 64, "%s", mcq_endpoint_uri(router, at));
}

/* In the shard's own loop, as everything that touches its sockets. */
static void leave(mcq_socket_t* router, void* arg) {
  (void) arg;
  mcq_ctx_close(mcq_socket_ctx(router), NULL);
}

static void run_shard(void* arg) {
  shard_t* shard = (shard_t*) arg;
  stay_on(shard->core);
  uv_run(&shard->loop, UV_RUN_DEFAULT);
  must("end", uv_loop_close(&shard->loop));
}

static void stop_shard(shard_t* shard) {
  must("stop", mcq_post_call(shard->box, leave, NULL));
  mcq_mailbox_release(shard->box);
  uv_thread_join(&shard->thread);
}

/* ---- its clients --------------------------------------------------------- */

static void ask(mcq_socket_t* dealer) {
  crowd_t* crowd = (crowd_t*) mcq_socket_data(dealer);
  if (crowd->goal != 0 && crowd->asked == crowd->goal) return;
  if (mcq_send_text(dealer, "how are you?") == 0) crowd->asked++;
}

static void begin(mcq_socket_t* dealer, const mcq_peer_info_t* info) {
  (void) info;
  for (int i = 0; i < AT_ONCE; i++) ask(dealer);
}

static void hear(mcq_socket_t* dealer, mcq_peer_t peer, mcq_msg_t* msg) {
  crowd_t* crowd = (crowd_t*) mcq_socket_data(dealer);
  (void) peer;
  (void) msg;
  crowd->answered++;
  if (crowd->answered == crowd->goal)
    mcq_ctx_close(crowd->ctx, NULL);
  else
    ask(dealer);
}

static void on_time(uv_timer_t* timer) {
  mcq_ctx_close(((crowd_t*) timer->data)->ctx, NULL);
}

static void open_crowd(crowd_t* crowd, const char* uri, unsigned clients,
                       unsigned seconds) {
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .data = crowd,
                            .linger_ms = MCQ_LINGER_NONE,
                            .on_peer_up = begin,
                            .on_message = hear};
  must("loop", uv_loop_init(&crowd->loop));
  must("context", mcq_ctx_new(&crowd->loop, NULL, &crowd->ctx));
  uv_timer_init(&crowd->loop, &crowd->timer);
  crowd->timer.data = crowd;
  if (seconds == 0)
    crowd->goal = (uint64_t) clients * QUESTIONS;
  else
    uv_timer_start(&crowd->timer, on_time, (uint64_t) seconds * 1000, 0);
  for (unsigned i = 0; i < clients; i++) {
    mcq_socket_t* dealer;
    must("client", mcq_socket_new(crowd->ctx, &o, &dealer));
    must("connect", mcq_connect(dealer, uri, NULL, NULL));
  }
}

static void run_crowd(void* arg) {
  crowd_t* crowd = (crowd_t*) arg;
  stay_on(crowd->core);
  uv_run(&crowd->loop, UV_RUN_DEFAULT);
  uv_close((uv_handle_t*) &crowd->timer, NULL);
  uv_run(&crowd->loop, UV_RUN_DEFAULT);
  must("end", uv_loop_close(&crowd->loop));
}

/* ---- both ---------------------------------------------------------------- */

/* So many loops of the server, and of clients; `seconds` 0: until all clients
 * have their answers.  How many that are. */
static uint64_t play(unsigned count, unsigned seconds, bool steered) {
  static shard_t shards[CORES_MAX];
  static crowd_t crowds[CORES_MAX];
  char uri[64] = "tcp://127.0.0.1:*";
  uint64_t served = 0, answered = 0;
  for (unsigned i = 0; i < count; i++) {
    int core = seconds == 0 ? -1 : (int) i;
    shards[i] = (shard_t){.core = core, .arrivals = steered ? core : -1};
    crowds[i] = (crowd_t){.core = core};
    open_shard(&shards[i], uri);
  }
  for (unsigned i = 0; i < count; i++) {
    open_crowd(&crowds[i], uri, CLIENTS / count, seconds);
    must("thread", uv_thread_create(&shards[i].thread, run_shard, &shards[i]));
  }
  for (unsigned i = 0; i < count; i++)
    must("thread", uv_thread_create(&crowds[i].thread, run_crowd, &crowds[i]));
  for (unsigned i = 0; i < count; i++) uv_thread_join(&crowds[i].thread);
  for (unsigned i = 0; i < count; i++) {
    stop_shard(&shards[i]);
    printf("  loop %u: %u clients, %llu answers\n", i + 1, shards[i].clients,
           (unsigned long long) shards[i].served);
    served += shards[i].served;
    answered += crowds[i].answered;
  }
  if (seconds == 0 && served != answered) exit(1);
  return answered;
}

/* `one`: answers a second on one core; 0: this is it. */
static double measure_cores(unsigned cores, unsigned seconds, bool steered,
                            double one) {
  double rate = (double) play(cores, seconds, steered) / seconds;
  printf("%u core%s%s: %.0f answers a second, %.2f times as many\n", cores,
         cores == 1 ? "" : "s", steered ? ", each with its own arrivals" : "",
         rate, one > 0 ? rate / one : 1);
  return rate;
}

static void measure(unsigned seconds) {
  uv_cpu_info_t* info;
  int cores = 1;
  if (uv_cpu_info(&info, &cores) == 0) uv_free_cpu_info(info, cores);
  if (cores > CORES_MAX) cores = CORES_MAX;
  double one = measure_cores(1, seconds, false, 0);
  for (int n = 2; n <= cores; n++) {
    measure_cores((unsigned) n, seconds, false, one);
    measure_cores((unsigned) n, seconds, true, one);
  }
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "--seconds") == 0 && atoi(argv[2]) > 0) {
    measure((unsigned) atoi(argv[2]));
    return 0;
  }
  if (argc > 1) {
    fprintf(stderr, "usage: sharding [--seconds N]\n");
    return 2;
  }
  uint64_t answers = play(SHARDS, 0, false);
  printf("%llu answers to %d clients from %d loops at one port\n",
         (unsigned long long) answers, CLIENTS, SHARDS);
  return answers == (uint64_t) CLIENTS * QUESTIONS ? 0 : 1;
}
