/* SPDX-License-Identifier: MIT */
/* A pipeline: a ventilator hands out numbers, workers factor them, a sink
 * collects what comes.  PUSH and PULL on both sides of the workers.
 *
 *   ventilator PUSH  ->  PULL worker PUSH  ->  PULL sink
 *
 * Each number goes to one worker, the next with room.  Nobody counts on
 * anybody's speed: when the workers are busy, mcq_send answers MCQ_EAGAIN and
 * the ventilator waits for on_drain; a worker that cannot pass on its result
 * pauses, and takes no more until it can.
 *
 * All stand in one loop here, which is enough to show it; each could be a
 * program, and of workers there could be a thousand.  The sink checks at the
 * end that every number came once and that its factors are right. */
#include <monocoque.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 20000, FIRST = 1000, WORKERS = 3, FACTORS_MAX = 32 };

typedef struct task {
  uint32_t number;
} task_t;

typedef struct result {
  uint32_t number;
  uint32_t worker;
  uint32_t count;
  uint32_t factors[FACTORS_MAX];
} result_t;

typedef struct worker {
  uint32_t id;
  mcq_socket_t* in;
  mcq_socket_t* out;
  result_t waiting; /* for room in `out`; number 0: none */
} worker_t;

static mcq_ctx_t* ctx;
static uint32_t next = FIRST; /* the ventilator's */
static uint8_t seen[NUMBERS]; /* the sink's */
static uint32_t received;
static uint32_t share[WORKERS];
static bool mistaken;

static void must(const char* what, int rc) {
  if (rc == 0) return;
  fprintf(stderr, "pipeline: %s: %s\n", what, mcq_strerror(rc));
  exit(1);
}

static mcq_socket_t* make(int type, void* data, mcq_message_cb on_message,
                          mcq_drain_cb on_drain) {
  mcq_socket_t* socket;
  mcq_socket_options_t options = {.type = type,
                                  .data = data,
                                  .on_message = on_message,
                                  .on_drain = on_drain};
  must("socket", mcq_socket_new(ctx, &options, &socket));
  return socket;
}

static const char* bind_here(mcq_socket_t* socket) {
  mcq_endpoint_t here;
  must("bind", mcq_bind(socket, "tcp://127.0.0.1:0", &here));
  return mcq_endpoint_uri(socket, here);
}

/* ---- the ventilator ------------------------------------------------------ */

static void hand_out(mcq_socket_t* out) {
  for (; next < FIRST + NUMBERS; next++) {
    task_t task = {next};
    int rc = mcq_send_bytes(out, &task, sizeof task);
    if (rc == MCQ_EAGAIN) return; /* on_drain is this very function */
    must("hand out", rc);
  }
}

/* ---- a worker ------------------------------------------------------------ */

static void factor(uint32_t n, result_t* result) {
  for (uint32_t d = 2; d * d <= n; d++)
    for (; n % d == 0; n /= d) result->factors[result->count++] = d;
  if (n > 1) result->factors[result->count++] = n;
}

static void pass_on(worker_t* w) {
  int rc = mcq_send_bytes(w->out, &w->waiting, sizeof w->waiting);
  if (rc == MCQ_EAGAIN) {
    mcq_pause(w->in);
    return;
  }
  must("pass on", rc);
  w->waiting.number = 0;
}

static void on_task(mcq_socket_t* in, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  worker_t* w = mcq_socket_data(in);
  task_t task;
  if (mcq_msg_size(msg) != sizeof task) return; /* not what we hand out */
  memcpy(&task, mcq_msg_frame(msg, 0).data, sizeof task);
  w->waiting = (result_t){.number = task.number, .worker = w->id};
  factor(task.number, &w->waiting);
  pass_on(w);
}

static void on_room(mcq_socket_t* out) {
  worker_t* w = mcq_socket_data(out);
  if (w->waiting.number != 0) pass_on(w);
  if (w->waiting.number == 0) mcq_resume(w->in);
}

static void hire(worker_t* w, uint32_t id, const char* from, const char* to) {
  w->id = id;
  w->in = make(MCQ_PULL, w, on_task, NULL);
  w->out = make(MCQ_PUSH, w, NULL, on_room);
  must("connect", mcq_connect(w->in, from, NULL, NULL));
  must("connect", mcq_connect(w->out, to, NULL, NULL));
}

/* ---- the sink ------------------------------------------------------------ */

static bool right(const result_t* r) {
  if (r->number < FIRST || r->number >= FIRST + NUMBERS) return false;
  if (r->worker >= WORKERS || r->count > FACTORS_MAX) return false;
  if (seen[r->number - FIRST]++ != 0) return false;
  uint32_t product = 1;
  for (uint32_t i = 0; i < r->count; i++) product *= r->factors[i];
  return product == r->number;
}

static void on_result(mcq_socket_t* sink, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  result_t result = {0};
  if (mcq_msg_size(msg) == sizeof result)
    memcpy(&result, mcq_msg_frame(msg, 0).data, sizeof result);
  if (right(&result))
    share[result.worker]++;
  else
    mistaken = true;
  if (++received < NUMBERS) return;
  printf("%u numbers factored:", received);
  for (int i = 0; i < WORKERS; i++) printf(" %u", share[i]);
  printf(" by the %d workers\n", WORKERS);
  mcq_ctx_close(mcq_socket_ctx(sink), NULL);
}

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  must("context", mcq_ctx_new(loop, NULL, &ctx));
  mcq_socket_t* ventilator = make(MCQ_PUSH, NULL, NULL, hand_out);
  mcq_socket_t* sink = make(MCQ_PULL, NULL, on_result, NULL);
  const char* tasks_at = bind_here(ventilator);
  const char* results_at = bind_here(sink);
  static worker_t workers[WORKERS];
  for (uint32_t i = 0; i < WORKERS; i++)
    hire(&workers[i], i, tasks_at, results_at);
  hand_out(ventilator); /* nobody is there yet: MCQ_EAGAIN, and on_drain */
  uv_run(loop, UV_RUN_DEFAULT);
  return uv_loop_close(loop) == 0 && received == NUMBERS && !mistaken ? 0 : 1;
}
