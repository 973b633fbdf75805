/* SPDX-License-Identifier: MIT */
/* A job hub with workers in other processes.
 *
 * The hub is a ROUTER in load-balancer mode: mcq_send_next hands a job to the
 * next worker with room and tells which it was.  Workers are DEALERs, some of
 * this library, some of real libzmq.  On the way one worker is killed and
 * another takes its place; the jobs it had are given out again.  In the end
 * every job was answered exactly once, or the program fails.
 *
 *   worker_pool [--backend auto|uv|uring] [--jobs N]
 *
 * A job is [number, kind, payload]; an answer is [number, worker, sum]. */
#include <monocoque.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_ZMQ
#include <zmq.h>
#endif

#define WORKERS 4
#define IN_HAND 64 /* jobs a worker has at a time, on average */

typedef struct job {
  mcq_peer_t worker; /* who has it */
  bool out;
  bool done;
} job_t;

typedef struct worker {
  char name[32];
  uv_process_t process;
  bool zmq; /* speaks libzmq */
  bool alive;
  unsigned answered;
  mcq_peer_t peer;
} worker_t;

static const char* program;
static int backend = MCQ_BACKEND_AUTO;
static mcq_ctx_t* ctx;
static mcq_socket_t* hub;
static char address[128];
static job_t* jobs;
static unsigned job_count = 1000000;
static unsigned next_job;
static unsigned answered;
static unsigned out_now; /* jobs at workers */
static unsigned here;    /* workers connected */
static unsigned given_again;
static unsigned twice;
static unsigned wrong;
static unsigned* again; /* jobs to give out once more */
static unsigned again_count;
static worker_t workers[WORKERS + 1];
static unsigned worker_count;
static uint64_t began;
static double seconds;
static bool finished;
static bool killed;

static uint32_t sum_of(const void* data, size_t len) {
  const unsigned char* bytes = (const unsigned char*) data;
  uint32_t sum = 0;
  for (size_t i = 0; i < len; i++) sum = sum * 31 + bytes[i];
  return sum;
}

/* ---- workers ------------------------------------------------------------- */

static void work(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  const char* name = (const char*) mcq_socket_data(socket);
  mcq_frame_t payload = mcq_msg_frame(msg, 2);
  uint32_t sum = sum_of(payload.data, payload.len);
  mcq_frame_t answer[3] = {
      mcq_msg_frame(msg, 0), {name, strlen(name)}, {&sum, sizeof sum}};
  /* With as few jobs in hand as the hub allows there is always room. */
  int rc = mcq_send(socket, answer, 3);
  if (rc != 0) {
    fprintf(stderr, "%s cannot answer: %s\n", name, mcq_strerror(rc));
    exit(1); /* the hub sees it and gives the jobs to others */
  }
}

/* The hub is gone: so is the work. */
static void retire(mcq_socket_t* socket, const mcq_peer_info_t* peer) {
  (void) peer;
  mcq_ctx_close(mcq_socket_ctx(socket), NULL);
}

static int run_worker(const char* name, const char* uri) {
  uv_loop_t* loop = uv_default_loop();
  mcq_socket_t* socket;
  mcq_ctx_options_t seat = {.backend = backend};
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .data = (void*) (uintptr_t) name,
                            .routing_id = name,
                            .routing_id_len = strlen(name),
                            .on_message = work,
                            .on_peer_down = retire};
  int rc = mcq_ctx_new(loop, &seat, &ctx);
  if (rc == 0) rc = mcq_socket_new(ctx, &o, &socket);
  if (rc == 0) rc = mcq_connect(socket, uri, NULL, NULL);
  if (rc == 0) uv_run(loop, UV_RUN_DEFAULT);
  return rc == 0 ? 0 : 1;
}

/* The same worker without us: libzmq with its threads and blocking calls.  It
 * is ended by the hub's signal. */
static int run_zmq_worker(const char* name, const char* uri) {
#ifdef HAVE_ZMQ
  void* context = zmq_ctx_new();
  void* socket = zmq_socket(context, ZMQ_DEALER);
  int patience = 25000; /* ms; a hub that died sends no signal */
  zmq_setsockopt(socket, ZMQ_ROUTING_ID, name, strlen(name));
  zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
  if (zmq_connect(socket, uri) != 0) return 1;
  for (;;) {
    char number[16];
    char kind[16];
    char payload[1024];
    int n = zmq_recv(socket, number, sizeof number, 0);
    if (n < 0 || zmq_recv(socket, kind, sizeof kind, 0) < 0) return 1;
    int len = zmq_recv(socket, payload, sizeof payload, 0);
    if (len < 0) return 1;
    uint32_t sum = sum_of(payload, (size_t) len);
    zmq_send(socket, number, (size_t) n, ZMQ_SNDMORE);
    zmq_send(socket, name, strlen(name), ZMQ_SNDMORE);
    zmq_send(socket, &sum, sizeof sum, 0);
  }
#else
  (void) name;
  (void) uri;
  return 1;
#endif
}

static void on_exit_of_worker(uv_process_t* process, int64_t status,
                              int signal) {
  (void) status;
  (void) signal;
  uv_close((uv_handle_t*) process, NULL);
}

static void hire(uv_loop_t* loop, bool zmq) {
  worker_t* w = &workers[worker_count++];
  w->zmq = zmq;
  snprintf(w->name, sizeof w->name, "%s-%u", zmq ? "zmq" : "mcq", worker_count);
  const char* backends[] = {"auto", "uv", "uring"};
  char* args[] = {(char*) (uintptr_t) program,
                  (char*) (uintptr_t) (zmq ? "--zmq-worker" : "--worker"),
                  w->name,
                  address,
                  (char*) (uintptr_t) backends[backend],
                  NULL};
  uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
                                   {.flags = UV_INHERIT_FD, .data.fd = 1},
                                   {.flags = UV_INHERIT_FD, .data.fd = 2}};
  uv_process_options_t options = {.file = program,
                                  .args = args,
                                  .exit_cb = on_exit_of_worker,
                                  .stdio_count = 3,
                                  .stdio = stdio};
  int rc = uv_spawn(loop, &w->process, &options);
  if (rc != 0) {
    fprintf(stderr, "cannot start a worker: %s\n", uv_strerror(rc));
    exit(1);
  }
  w->alive = true;
}

/* ---- the hub ------------------------------------------------------------- */

static worker_t* by_name(const void* name, size_t len) {
  for (unsigned i = 0; i < worker_count; i++)
    if (strlen(workers[i].name) == len &&
        memcmp(workers[i].name, name, len) == 0)
      return &workers[i];
  return NULL;
}

static worker_t* by_peer(mcq_peer_t peer) {
  for (unsigned i = 0; i < worker_count; i++)
    if (workers[i].peer.epoch == peer.epoch) return &workers[i];
  return NULL;
}

/* The hub picks the worker and tells who it was. */
static int give_out(unsigned number) {
  char payload[200];
  size_t len = 20 + number % 180;
  memset(payload, 'a' + (int) (number % 26), len);
  mcq_frame_t job[3] = {{&number, sizeof number}, {"sum", 3}, {payload, len}};
  int rc = mcq_send_next(hub, job, 3, &jobs[number].worker);
  if (rc != 0) return rc;
  jobs[number].out = true;
  out_now++;
  return 0;
}

/* As much work is out as the workers can well have in hand; jobs of a lost
 * worker first. */
static void give_out_more(mcq_socket_t* socket) {
  (void) socket;
  while (out_now < here * IN_HAND) {
    bool once_more = again_count > 0;
    if (!once_more && next_job == job_count) return;
    unsigned number = once_more ? again[again_count - 1] : next_job;
    if (give_out(number) != 0) return;
    if (once_more)
      again_count--;
    else
      next_job++;
  }
}

static void on_worker_up(mcq_socket_t* socket, const mcq_peer_info_t* info) {
  worker_t* w = by_name(info->routing_id, info->routing_id_len);
  if (w == NULL) return;
  w->peer = info->peer;
  printf("  + %-6s is here, %s from %s (epoch %llu)\n", w->name,
         w->zmq ? "libzmq" : "libmonocoque", info->address,
         (unsigned long long) info->peer.epoch);
  here++;
  give_out_more(socket);
}

static void on_worker_down(mcq_socket_t* socket, const mcq_peer_info_t* info) {
  worker_t* w = by_peer(info->peer);
  if (w == NULL) return;
  unsigned had = 0;
  for (unsigned i = 0; i < next_job; i++) {
    if (!jobs[i].out || jobs[i].done ||
        jobs[i].worker.epoch != info->peer.epoch)
      continue;
    jobs[i].out = false;
    again[again_count++] = i;
    had++;
  }
  w->peer = (mcq_peer_t){0, 0};
  w->alive = false;
  here--;
  out_now -= had;
  if (finished) return;
  given_again += had;
  printf("  - %-6s is gone (%s); its %u jobs go to the others\n", w->name,
         mcq_strerror(info->reason), had);
  give_out_more(socket);
}

static void finish(void) {
  finished = true;
  seconds = (double) (uv_hrtime() - began) / 1e9;
  for (unsigned i = 0; i < worker_count; i++)
    if (workers[i].alive) uv_process_kill(&workers[i].process, SIGTERM);
  mcq_ctx_close(ctx, NULL);
}

static void kill_one(void) {
  killed = true;
  printf("  ! killing %s in the middle of its work\n", workers[0].name);
  uv_process_kill(&workers[0].process, SIGKILL);
  hire(mcq_ctx_loop(ctx), workers[0].zmq);
}

static void on_answer(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  unsigned number;
  mcq_frame_t head = mcq_msg_frame(msg, 0);
  mcq_frame_t sum = mcq_msg_frame(msg, 2);
  if (mcq_msg_count(msg) != 3 || head.len != sizeof number ||
      sum.len != sizeof(uint32_t)) {
    wrong++;
    return;
  }
  memcpy(&number, head.data, sizeof number);
  worker_t* w = by_peer(peer);
  if (number >= job_count || w == NULL) {
    wrong++;
    return;
  }
  job_t* job = &jobs[number];
  if (job->done) twice++;
  if (job->done || job->worker.epoch != peer.epoch) return;
  char payload[200];
  memset(payload, 'a' + (int) (number % 26), sizeof payload);
  uint32_t expected = sum_of(payload, 20 + number % 180);
  if (memcmp(&expected, sum.data, sizeof expected) != 0) wrong++;
  job->done = true;
  w->answered++;
  out_now--;
  answered++;
  if (answered % (job_count / 4) == 0 && answered < job_count)
    printf("    %u of %u jobs answered\n", answered, job_count);
  if (!killed && answered >= job_count / 3) kill_one();
  if (answered == job_count)
    finish();
  else
    give_out_more(socket);
}

static int summary(const char* used) {
  printf("\n  worker   library        jobs\n");
  for (unsigned i = 0; i < worker_count; i++)
    printf("  %-8s %-12s %6u\n", workers[i].name,
           workers[i].zmq ? "libzmq" : "libmonocoque", workers[i].answered);
  printf(
      "\n  %u of %u jobs answered in %.2f s (%.0f a second) over the %s back "
      "end;\n  %u given out again, %u answered twice, %u wrong\n",
      answered, job_count, seconds, answered / seconds, used, given_again,
      twice, wrong);
  return answered == job_count && wrong == 0 && twice == 0 ? 0 : 1;
}

static void on_late(uv_timer_t* timer) {
  (void) timer;
  fprintf(stderr, "only %u of %u jobs were answered in time\n", answered,
          job_count);
  for (unsigned i = 0; i < worker_count; i++)
    if (workers[i].alive) uv_process_kill(&workers[i].process, SIGKILL);
  exit(1);
}

static int run_hub(void) {
  uv_loop_t* loop = uv_default_loop();
  uv_timer_t patience;
  mcq_endpoint_t at;
  mcq_ctx_options_t seat = {.backend = backend};
  mcq_socket_options_t o = {.type = MCQ_ROUTER,
                            .flags = MCQ_ROUTER_BALANCE | MCQ_NO_REQUEUE,
                            .on_message = on_answer,
                            .on_peer_up = on_worker_up,
                            .on_peer_down = on_worker_down,
                            .on_drain = give_out_more};
  jobs = (job_t*) calloc(job_count, sizeof *jobs);
  again = (unsigned*) calloc(job_count, sizeof *again);
  int rc = jobs == NULL || again == NULL ? MCQ_ENOMEM : 0;
  if (rc == 0) rc = mcq_ctx_new(loop, &seat, &ctx);
  if (rc == 0) rc = mcq_socket_new(ctx, &o, &hub);
  if (rc == 0) rc = mcq_bind(hub, "tcp://127.0.0.1:*", &at);
  if (rc != 0) {
    fprintf(stderr, "worker_pool: %s\n", mcq_strerror(rc));
    return 1;
  }
  char used[16];
  snprintf(used, sizeof used, "%s", mcq_ctx_backend(ctx));
  snprintf(address, sizeof address, "%s", mcq_endpoint_uri(hub, at));
  printf("hub at %s, %u jobs to do\n", address, job_count);
  uv_timer_init(loop, &patience);
  uv_timer_start(&patience, on_late, 25000, 0);
  uv_unref((uv_handle_t*) &patience);
  began = uv_hrtime();
  for (unsigned i = 0; i < WORKERS; i++) {
#ifdef HAVE_ZMQ
    hire(loop, i % 2 == 1);
#else
    if (i == 0) printf("built without libzmq: all workers are ours\n");
    hire(loop, false);
#endif
  }
  uv_run(loop, UV_RUN_DEFAULT);
  uv_close((uv_handle_t*) &patience, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  rc = summary(used);
  free(jobs);
  free(again);
  if (uv_loop_close(loop) != 0) rc = 1;
  return rc;
}

static int pick_backend(const char* word) {
  if (strcmp(word, "uv") == 0)
    backend = MCQ_BACKEND_UV;
  else if (strcmp(word, "uring") == 0)
    backend = MCQ_BACKEND_URING;
  else if (strcmp(word, "auto") != 0)
    return 1;
  return 0;
}

int main(int argc, char** argv) {
  char self[1024];
  size_t len = sizeof self;
  program = uv_exepath(self, &len) == 0 ? self : argv[0];
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 5 && strcmp(argv[1], "--worker") == 0)
    return pick_backend(argv[4]) ? 2 : run_worker(argv[2], argv[3]);
  if (argc == 5 && strcmp(argv[1], "--zmq-worker") == 0)
    return run_zmq_worker(argv[2], argv[3]);
  for (int i = 1; i < argc; i++) {
    bool more = i + 1 < argc;
    if (more && strcmp(argv[i], "--backend") == 0 &&
        pick_backend(argv[i + 1]) == 0)
      i++;
    else if (more && strcmp(argv[i], "--jobs") == 0 && atoi(argv[i + 1]) >= 100)
      job_count = (unsigned) atoi(argv[++i]);
    else {
      fprintf(stderr,
              "usage: worker_pool [--backend auto|uv|uring] [--jobs N]\n");
      return 2;
    }
  }
  return run_hub();
}
