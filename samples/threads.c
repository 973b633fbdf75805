/* SPDX-License-Identifier: MIT */
/* Work that takes its time, in threads of one's own.  A ROUTER takes questions
 * in and hands them to three threads that know nothing of sockets; what they
 * find out they post into the ROUTER's mailbox, and the loop sends it on.
 *
 *   DEALER  <->  ROUTER  -- jobs -->  thread, thread, thread
 *                   ^------- mailbox -------'
 *
 * A thread holds a count of the mailbox and nothing else of the library's.  It
 * need not know whether the socket is still there: posting says so.  Who asked
 * is kept by value, so an answer for somebody who has left reaches nobody. */
#include <monocoque.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUESTIONS = 200, THREADS = 3 };

/* A question on its way out, and its answer on the way back. */
typedef struct job {
  struct job* next;
  mcq_peer_t asker;
  unsigned number;
  unsigned divisor; /* the smallest but 1 */
} job_t;

/* What loop and threads share: this queue one way, the mailbox the other. */
static struct {
  uv_mutex_t lock;
  uv_cond_t more;
  job_t* first;
  job_t** last;
  bool over;
} jobs;

static unsigned asked, answered, wrong;

static void must(const char* what, int rc) {
  if (rc == 0) return;
  fprintf(stderr, "threads: %s: %s\n", what, mcq_strerror(rc));
  exit(1);
}

/* ---- in the threads ------------------------------------------------------ */

static job_t* take(void) {
  uv_mutex_lock(&jobs.lock);
  while (jobs.first == NULL && !jobs.over) uv_cond_wait(&jobs.more, &jobs.lock);
  job_t* job = jobs.first;
  if (job != NULL) jobs.first = job->next;
  if (jobs.first == NULL) jobs.last = &jobs.first;
  uv_mutex_unlock(&jobs.lock);
  return job;
}

static void work_out(job_t* job) {
  unsigned d = 2;
  while (d * d <= job->number && job->number % d != 0) d++;
  job->divisor = d * d <= job->number ? d : job->number;
}

/* In the loop again: everything may be called here. */
static void answer(mcq_socket_t* router, void* arg) {
  job_t* job = (job_t*) arg;
  char text[32];
  int len = snprintf(text, sizeof text, "%u %u", job->number, job->divisor);
  mcq_frame_t frame = {text, (size_t) len};
  (void) mcq_send_to(router, job->asker, &frame, 1); /* if it is still there */
  free(job);
}

static void run_thread(void* arg) {
  mcq_mailbox_t* box = (mcq_mailbox_t*) arg;
  job_t* job;
  while ((job = take()) != NULL) {
    work_out(job);
    if (mcq_post_call(box, answer, job) != 0) free(job);
  }
  mcq_mailbox_release(box);
}

/* ---- in the loop --------------------------------------------------------- */

static void put(job_t* job) {
  uv_mutex_lock(&jobs.lock);
  *jobs.last = job;
  jobs.last = &job->next;
  uv_cond_signal(&jobs.more);
  uv_mutex_unlock(&jobs.lock);
}

static void take_question(mcq_socket_t* router, mcq_peer_t asker,
                          mcq_msg_t* msg) {
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  char text[16];
  (void) router;
  snprintf(text, sizeof text, "%.*s", (int) frame.len,
           (const char*) frame.data);
  job_t* job = (job_t*) calloc(1, sizeof *job);
  if (job == NULL) exit(1);
  job->asker = asker;
  job->number = (unsigned) strtoul(text, NULL, 10);
  put(job);
}

static void ask(mcq_socket_t* dealer) {
  char text[16];
  while (asked < QUESTIONS) {
    snprintf(text, sizeof text, "%u", 1000000 + asked);
    if (mcq_send_text(dealer, text) != 0) return; /* on_drain goes on */
    asked++;
  }
}

/* Answers come in the order in which threads get done. */
static void check_answer(mcq_socket_t* dealer, mcq_peer_t peer,
                         mcq_msg_t* msg) {
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  char text[32];
  unsigned number, divisor;
  (void) peer;
  snprintf(text, sizeof text, "%.*s", (int) frame.len,
           (const char*) frame.data);
  if (sscanf(text, "%u %u", &number, &divisor) != 2 || divisor == 0 ||
      number % divisor != 0)
    wrong++;
  if (++answered == QUESTIONS) mcq_ctx_close(mcq_socket_ctx(dealer), NULL);
}

static mcq_mailbox_t* set_up(mcq_ctx_t* ctx) {
  mcq_socket_t *router, *dealer;
  mcq_mailbox_t* box;
  mcq_socket_options_t r = {.type = MCQ_ROUTER, .on_message = take_question};
  mcq_socket_options_t d = {
      .type = MCQ_DEALER, .on_message = check_answer, .on_drain = ask};
  must("router", mcq_socket_new(ctx, &r, &router));
  must("bind", mcq_bind(router, "inproc://questions", NULL));
  /* No more can wait there than was asked: it needs no mark of its own. */
  mcq_mailbox_options_t m = {.hwm = -1};
  must("mailbox", mcq_mailbox_new(router, &m, &box));
  must("dealer", mcq_socket_new(ctx, &d, &dealer));
  must("connect", mcq_connect(dealer, "inproc://questions", NULL, NULL));
  ask(dealer);
  return box;
}

static void end_jobs(void) {
  uv_mutex_lock(&jobs.lock);
  jobs.over = true;
  uv_cond_broadcast(&jobs.more);
  uv_mutex_unlock(&jobs.lock);
}

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  uv_thread_t threads[THREADS];
  mcq_ctx_t* ctx;
  jobs.last = &jobs.first;
  must("lock", uv_mutex_init(&jobs.lock));
  must("condition", uv_cond_init(&jobs.more));
  must("context", mcq_ctx_new(loop, NULL, &ctx));
  mcq_mailbox_t* box = set_up(ctx);
  for (int i = 0; i < THREADS; i++)
    must("thread",
         uv_thread_create(&threads[i], run_thread, mcq_mailbox_retain(box)));
  mcq_mailbox_release(box);
  uv_run(loop, UV_RUN_DEFAULT);
  end_jobs();
  for (int i = 0; i < THREADS; i++) uv_thread_join(&threads[i]);
  uv_mutex_destroy(&jobs.lock);
  uv_cond_destroy(&jobs.more);
  printf("%u questions, %u answers from %d threads, %u wrong\n", asked,
         answered, THREADS, wrong);
  bool good = answered == QUESTIONS && wrong == 0;
  return uv_loop_close(loop) == 0 && good ? 0 : 1;
}
