/* SPDX-License-Identifier: MIT */
/* A hub under load whose workers die all the time.  The hub is a ROUTER that
 * balances; workers are processes, half of them real libzmq.  Two hundred
 * times one of them is killed, some while they run, some while they are
 * stopped with a full queue, some just after they went on, and another takes
 * the place.  No job goes to who was reported down, none is delivered twice,
 * each is answered; while nobody comes or goes the turns are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>

#include "support/random.h"
#include "support/zmq_match.h"
#include "support/zmq_workers.h"

#define WORKERS 4u
#define IN_HAND 48     /* jobs out for each worker, on average */
#define KILLS 200u     /* in each run */
#define KILL_EVERY 120 /* answers */
#define STOPPED_FOR 160
#define QUIET_EVERY 8u /* kills */
#define CYCLES 25u
#define ENOUGH 500u /* new jobs while a death is not yet seen */

typedef struct job {
  mcq_peer_t worker; /* who it was given to, by our books */
  uint32_t attempt;
  uint32_t len;
  bool out, done;
} job_t;

typedef struct worker {
  mcq_peer_t peer;
  uint32_t index;
  unsigned given; /* of the stretch whose turns are counted */
  int in_hand;
  bool ask;    /* for a word when it is done */
  bool silent; /* has not given it */
} worker_t;

typedef enum phase {
  LOAD,    /* the usual */
  STOPPED, /* the victim is, and its queue grows */
  RESUMED, /* its next answer is its last */
  KILLED,  /* not yet seen */
  QUIET    /* everything out is to be answered, nothing new begins */
} phase_t;

typedef struct hub {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  nursery_t nursery;
  test_random_t random;
  int backend;
  bool library_requeues; /* and not we */
  char uri[128];
  job_t jobs[JOBS_MAX];
  uint32_t again[JOBS_MAX];
  unsigned again_count;
  uint32_t next, oldest; /* jobs before `oldest` are done */
  uint32_t next_then;    /* `next` at the last kill */
  worker_t workers[WORKERS * 2];
  unsigned here;
  uint32_t hired;
  bool doomed[WORKERS_MAX];
  mcq_peer_t victim, gone;
  phase_t phase;
  unsigned kills, quiets, since, silent;
  uint64_t sent, answers, syncs, given_again, lost, unsure;
  mcq_stats_t stats; /* at the end */
  int out_now;
  bool over;
} hub_t;

static hub_t* of(mcq_socket_t* s) {
  return (hub_t*) mcq_socket_data(s);
}

static worker_t* find(hub_t* h, mcq_peer_t peer) {
  for (unsigned i = 0; i < h->here; i++)
    if (h->workers[i].peer.epoch == peer.epoch) return &h->workers[i];
  return NULL;
}

static void hire(hub_t* h, bool zmq, bool doomed) {
  hire_t order = {
      .index = h->hired++, .backend = h->backend, .zmq = zmq, .doomed = doomed};
  memcpy(order.uri, h->uri, sizeof order.uri);
  h->doomed[order.index] = doomed;
  nursery_hire(&h->nursery, &order);
}

/* Which library a worker is of shows in its number. */
static bool is_zmq(uint32_t index) {
  return index % 2 == 1;
}

/* ---- giving out ---------------------------------------------------------- */

static size_t frames_of(const job_head_t* head, mcq_frame_t* f) {
  f[0] = (mcq_frame_t){head, sizeof *head};
  f[1] = (mcq_frame_t){"", 0};
  f[2] = (mcq_frame_t){job_payload(head->job), head->len};
  return JOB_FRAMES;
}

/* Only somebody who is here may be picked. */
static int give_out(hub_t* h, uint32_t number) {
  job_t* job = &h->jobs[number];
  job_head_t head = {number, job->attempt, job->len};
  mcq_frame_t f[JOB_FRAMES];
  int rc = mcq_send_next(h->socket, f, frames_of(&head, f), &job->worker);
  if (rc != 0) return rc;
  worker_t* w = find(h, job->worker);
  assert_non_null(w);
  w->in_hand++;
  w->given++;
  job->out = true;
  h->out_now++;
  h->sent++;
  return 0;
}

static uint32_t new_job(hub_t* h, bool large) {
  if (h->next == JOBS_MAX)
    fail_msg("it does not end: phase %d, %u here, %u killed", h->phase, h->here,
             h->kills);
  uint32_t draw = (uint32_t) test_random_below(&h->random, 64);
  job_t* job = &h->jobs[h->next];
  job->len = large      ? PAYLOAD_MAX - draw
             : draw < 4 ? 20000 + draw * 9000
                        : draw * 25;
  return h->next++;
}

static bool wants_more(const hub_t* h, int victims) {
  return h->out_now - victims < (int) (h->here * IN_HAND);
}

/* The kernel may take seconds to close what a killed process had, above all
 * its io_uring. */
static bool waits_for_death(const hub_t* h) {
  return (h->phase == KILLED || h->here < WORKERS) &&
         h->next - h->next_then > ENOUGH;
}

/* As much is out as the workers can well have in hand.  What a victim has does
 * not count while it cannot work; when it can again it does, for who takes what
 * he is given as fast as we say it would be given more for ever. */
static void give_out_more(mcq_socket_t* s) {
  hub_t* h = of(s);
  if (h->phase == QUIET || h->over) return;
  worker_t* victim = find(h, h->victim);
  for (;;) {
    bool idle = victim != NULL && h->phase != RESUMED;
    int victims = idle ? victim->in_hand : 0;
    if (!wants_more(h, victims)) return;
    bool once_more = h->again_count > 0;
    if (!once_more && waits_for_death(h)) return;
    uint32_t number = once_more ? h->again[h->again_count - 1]
                                : new_job(h, h->phase == STOPPED);
    int rc = give_out(h, number);
    if (rc != 0) {
      assert_int_equal(rc, MCQ_EAGAIN);
      if (!once_more) h->next--;
      return;
    }
    if (once_more) h->again_count--;
  }
}

static void take_back(hub_t* h, uint32_t number) {
  job_t* job = &h->jobs[number];
  job->out = false;
  job->attempt++;
  assert_true(job->attempt < ATTEMPTS_MAX);
  h->again[h->again_count++] = number;
  h->given_again++;
}

/* ---- killing ------------------------------------------------------------- */

static void signal_victim(hub_t* h, int number) {
  worker_t* w = find(h, h->victim);
  assert_non_null(w);
  pid_t pid = atomic_load(&h->nursery.ledger->pids[w->index]);
  assert_true(pid > 1);
  assert_int_equal(kill(pid, number), 0);
}

/* Its successor is of the same library, so half of them stay what they are;
 * now and then one more comes that dies on its way in. */
static void kill_victim(hub_t* h) {
  worker_t* w = find(h, h->victim);
  signal_victim(h, SIGKILL);
  h->phase = KILLED;
  h->next_then = h->next;
  h->kills++;
  if (!h->library_requeues && h->kills % 10 < 2)
    hire(h, is_zmq(h->hired), true);
  if (is_zmq(w->index) != is_zmq(h->hired)) h->hired++;
  hire(h, is_zmq(w->index), false);
}

static void choose_victim(hub_t* h) {
  h->since = 0;
  h->victim = h->workers[test_random_below(&h->random, h->here)].peer;
  if (h->kills % 4 < 2) {
    kill_victim(h);
    return;
  }
  signal_victim(h, SIGSTOP);
  h->phase = STOPPED;
}

/* Every second of those that were stopped dies in its first breath. */
static void end_stop(hub_t* h) {
  h->since = 0;
  if (h->kills % 4 == 2) {
    kill_victim(h);
    return;
  }
  signal_victim(h, SIGCONT);
  h->phase = RESUMED;
}

/* ---- quiet stretches ----------------------------------------------------- */

static void ask_syncs(hub_t* h) {
  job_head_t head = {JOB_SYNC, 0, 0};
  mcq_frame_t f[JOB_FRAMES];
  for (unsigned i = 0; i < h->here; i++) {
    worker_t* w = &h->workers[i];
    if (!w->ask) continue;
    int rc = mcq_send_to(h->socket, w->peer, f, frames_of(&head, f));
    if (rc == MCQ_EAGAIN) continue;
    assert_int_equal(rc, 0);
    w->ask = false;
    h->syncs++;
  }
}

static void begin_quiet(hub_t* h) {
  h->phase = QUIET;
  h->silent = h->here;
  for (unsigned i = 0; i < h->here; i++)
    h->workers[i].ask = h->workers[i].silent = true;
  ask_syncs(h);
}

/* Nobody is full and nobody comes or goes: all have their turns, one after
 * the other. */
static void count_turns(hub_t* h) {
  uint32_t first = h->next;
  for (unsigned i = 0; i < h->here; i++) h->workers[i].given = 0;
  for (unsigned i = 0; i < h->here * CYCLES; i++) {
    uint32_t number = new_job(h, false);
    h->jobs[number].len = 50;
    assert_int_equal(give_out(h, number), 0);
    if (i >= h->here)
      assert_true(h->jobs[number].worker.epoch ==
                  h->jobs[first + i - h->here].worker.epoch);
  }
  for (unsigned i = 0; i < h->here; i++)
    assert_int_equal(h->workers[i].given, CYCLES);
}

/* All that went out has arrived or is lost: what nobody answered begins anew.
 * When we ourselves take back what a lost worker had there is none. */
static void end_quiet(hub_t* h) {
  for (uint32_t i = h->oldest; i < h->next; i++) {
    if (!h->jobs[i].out || h->jobs[i].done) continue;
    assert_true(h->library_requeues);
    assert_null(find(h, h->jobs[i].worker));
    take_back(h, i);
  }
  h->out_now = 0;
  for (unsigned i = 0; i < h->here; i++) h->workers[i].in_hand = 0;
  h->phase = LOAD;
  h->since = 0;
  h->quiets++;
  if (h->kills == KILLS && h->again_count == 0) {
    h->over = true;
    mcq_stats(h->socket, &h->stats);
    mcq_ctx_close(h->ctx, NULL);
    return;
  }
  count_turns(h);
  give_out_more(h->socket);
}

/* One more is done, or gone. */
static void spoke(hub_t* h, worker_t* w) {
  if (!w->silent) return;
  w->silent = false;
  if (--h->silent == 0) end_quiet(h);
}

/* ---- what happens -------------------------------------------------------- */

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  hub_t* h = of(s);
  char name[16] = {0};
  mcq_frame_t nothing = {"", 0};
  assert_true(info->routing_id_len < sizeof name && h->here < 2 * WORKERS);
  memcpy(name, info->routing_id, info->routing_id_len);
  h->workers[h->here++] =
      (worker_t){.peer = info->peer, .index = (uint32_t) atoi(name)};
  /* A successor in the same slot is not who is gone. */
  assert_int_equal(mcq_send_to(s, h->gone, &nothing, 1), MCQ_EPEERGONE);
  give_out_more(s);
}

static void take_back_all(hub_t* h, mcq_peer_t lost) {
  for (uint32_t i = h->oldest; i < h->next; i++)
    if (h->jobs[i].out && !h->jobs[i].done &&
        h->jobs[i].worker.epoch == lost.epoch)
      take_back(h, i);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  hub_t* h = of(s);
  mcq_frame_t nothing = {"", 0};
  if (h->over) return;
  worker_t* w = find(h, info->peer);
  assert_non_null(w);
  worker_t lost = *w;
  assert_true(info->reason < 0);
  assert_int_equal(mcq_send_to(s, info->peer, &nothing, 1), MCQ_EPEERGONE);
  h->lost += info->lost_messages;
  h->unsure += info->unsure_messages;
  h->out_now -= lost.in_hand;
  *w = h->workers[--h->here];
  h->gone = info->peer;
  if (h->victim.epoch == info->peer.epoch) {
    if (h->phase != KILLED)
      fail_msg("a worker that was not killed left: %s, %s",
               mcq_strerror(info->reason), info->text);
    h->phase = LOAD;
    h->victim = (mcq_peer_t){0, 0};
  } else {
    if (!h->doomed[lost.index])
      fail_msg("a worker that nobody chose left: %s, %s",
               mcq_strerror(info->reason), info->text);
  }
  if (!h->library_requeues) take_back_all(h, info->peer);
  spoke(h, &lost);
  give_out_more(s);
}

static bool all_here(const hub_t* h) {
  for (unsigned i = 0; i < h->here; i++)
    if (h->doomed[h->workers[i].index]) return false;
  return h->here == WORKERS;
}

static void next_phase(hub_t* h, const worker_t* w) {
  h->since++;
  bool ready = h->since >= KILL_EVERY && all_here(h);
  bool quiet = h->kills == KILLS || h->kills / QUIET_EVERY > h->quiets;
  if (h->phase == STOPPED && h->since >= STOPPED_FOR)
    end_stop(h);
  else if (h->phase == RESUMED && w->peer.epoch == h->victim.epoch)
    kill_victim(h);
  else if (h->phase == LOAD && ready && quiet && h->again_count == 0)
    begin_quiet(h);
  else if (h->phase == LOAD && ready && h->kills < KILLS)
    choose_victim(h);
}

/* The right answer to what is out, from who has it. */
static void settle(hub_t* h, worker_t* w, const job_head_t* head,
                   mcq_frame_t sum) {
  uint32_t expected = job_sum(head);
  assert_true(head->job < h->next);
  job_t* job = &h->jobs[head->job];
  assert_true(job->out && !job->done);
  assert_int_equal(job->attempt, head->attempt);
  assert_int_equal(job->len, head->len);
  assert_int_equal(sum.len, sizeof expected);
  assert_memory_equal(sum.data, &expected, sizeof expected);
  bool its_own = job->worker.epoch == w->peer.epoch;
  if (!h->library_requeues) assert_true(its_own);
  worker_t* books = its_own ? w : find(h, job->worker);
  if (books != NULL) {
    books->in_hand--;
    h->out_now--;
  }
  job->done = true;
  h->answers++;
  while (h->oldest < h->next && h->jobs[h->oldest].done) h->oldest++;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  hub_t* h = of(s);
  job_head_t head;
  worker_t* w = find(h, peer);
  mcq_frame_t first = mcq_msg_frame(msg, 0);
  assert_non_null(w);
  assert_int_equal(mcq_msg_count(msg), 2);
  assert_int_equal(first.len, sizeof head);
  memcpy(&head, first.data, sizeof head);
  if (head.job != JOB_SYNC) {
    settle(h, w, &head, mcq_msg_frame(msg, 1));
    next_phase(h, w);
    give_out_more(s);
  } else {
    spoke(h, w);
  }
  if (h->phase == QUIET) ask_syncs(h);
}

/* ---- the run ------------------------------------------------------------- */

static void check_ledger(const hub_t* h) {
  const ledger_t* ledger = h->nursery.ledger;
  assert_int_equal(ledger->spoiled, 0);
  for (uint32_t i = 0; i < h->next; i++) {
    const job_t* job = &h->jobs[i];
    assert_true(job->done);
    assert_int_equal(ledger->delivered[i][job->attempt], 1);
    for (uint32_t a = 0; a < job->attempt; a++)
      if (ledger->delivered[i][a] > 1)
        fail_msg("job %u, attempt %u was delivered %u times", i, a,
                 ledger->delivered[i][a]);
  }
}

static void open_hub(hub_t* h) {
  mcq_endpoint_t at;
  mcq_ctx_options_t seat = {.backend = h->backend};
  mcq_socket_options_t o = {
      .type = MCQ_ROUTER,
      .flags = MCQ_ROUTER_BALANCE | (h->library_requeues ? 0 : MCQ_NO_REQUEUE),
      .data = h,
      .sndhwm_bytes = 1 << 20,
      .on_message = on_message,
      .on_peer_up = on_up,
      .on_peer_down = on_down,
      .on_drain = give_out_more};
  uv_loop_init(&h->loop);
  assert_int_equal(mcq_ctx_new(&h->loop, &seat, &h->ctx), 0);
  assert_int_equal(mcq_socket_new(h->ctx, &o, &h->socket), 0);
  assert_int_equal(mcq_bind(h->socket, "tcp://127.0.0.1:*", &at), 0);
  snprintf(h->uri, sizeof h->uri, "%s", mcq_endpoint_uri(h->socket, at));
}

static void check_counts(const hub_t* h) {
  const mcq_stats_t* stats = &h->stats;
  assert_int_equal(stats->messages_sent, h->sent + h->syncs);
  assert_int_equal(stats->messages_received, h->answers + h->syncs);
  assert_int_equal(stats->messages_queued, 0);
  assert_int_equal(stats->messages_lost, h->lost);
  assert_int_equal(h->answers, h->next);
  assert_int_equal(h->sent, h->next + h->given_again);
  /* Or the queues never grew and nothing was put to the test. */
  assert_true(h->library_requeues ? stats->messages_requeued > KILLS / 20
                                  : h->lost > KILLS / 20);
  assert_true(h->unsure > 0 && h->given_again > KILLS);
  print_message(
      "  %u killed, %u jobs, %u given again, %u requeued, %u "
      "lost in queues, %u unsure\n",
      h->kills, h->next, (unsigned) h->given_again,
      (unsigned) stats->messages_requeued, (unsigned) h->lost,
      (unsigned) h->unsure);
}

static void churn(int backend, bool library_requeues) {
  hub_t* h = (hub_t*) calloc(1, sizeof *h);
  assert_non_null(h);
  h->backend = backend;
  h->library_requeues = library_requeues;
  h->random.state = 1903;
  nursery_open(&h->nursery);
  open_hub(h);
  for (unsigned i = 0; i < WORKERS; i++) hire(h, is_zmq(i), false);
  assert_int_equal(uv_run(&h->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&h->loop), 0);
  nursery_close(&h->nursery);
  check_counts(h);
  check_ledger(h);
  nursery_dispose(&h->nursery);
  free(h);
}

static void by_hand_over_uv(void** state) {
  (void) state;
  churn(MCQ_BACKEND_UV, false);
}

static void by_hand_over_uring(void** state) {
  (void) state;
  churn(second_backend(), false);
}

static void by_the_hub_over_uv(void** state) {
  (void) state;
  churn(MCQ_BACKEND_UV, true);
}

static void by_the_hub_over_uring(void** state) {
  (void) state;
  churn(second_backend(), true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(by_hand_over_uv, kill_peers),
      cmocka_unit_test_teardown(by_hand_over_uring, kill_peers),
      cmocka_unit_test_teardown(by_the_hub_over_uv, kill_peers),
      cmocka_unit_test_teardown(by_the_hub_over_uring, kill_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
