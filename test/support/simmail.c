/* SPDX-License-Identifier: MIT */
/* Mailboxes in the scenario test (see simworld.h): what is posted is sent in
 * its turn, given up with a word, or lost by the close, each once; calls among
 * it come once, in order and before the end.  Who has a mailbox sends by it
 * alone.  It makes no choice of its own but how to hand a letter in. */
#include "support/simparts.h"

typedef struct waiting {
  uint64_t posts;
  uint64_t bytes;
} waiting_t;

static void add_waiting(uint64_t posts, uint64_t bytes, void* arg) {
  waiting_t* w = (waiting_t*) arg;
  w->posts += posts;
  w->bytes += bytes;
}

static waiting_t waiting_in(const sim_sock_t* k) {
  waiting_t w = {0, 0};
  mcq__mailboxes_each(k->s, add_waiting, &w);
  return w;
}

/* ---- what comes back ----------------------------------------------------- */

static void on_drain(mcq_socket_t* s, void* data) {
  sim_sock_t* k = sim_entered(s);
  sim_log(sim_net_at(k), "socket %u: its mailbox drained", k->number);
  sim_require(data == k && !sim_leaving(k));
  if (!k->mail.starved) sim_fail("socket %u: nobody waits", k->number);
  k->mail.starved = false;
  sim_maybe(k);
}

static void on_failed(mcq_socket_t* s, mcq_msg_t* msg, int code, void* data) {
  sim_sock_t* k = sim_entered(s);
  sim_log(sim_net_at(k), "socket %u: a post failed: %d", k->number, code);
  sim_require(data == k && mcq_msg_count(msg) > 0 && !sim_leaving(k));
  if (!sim_starved(k, code))
    sim_fail("socket %u: a post failed with %d", k->number, code);
  k->mail.failed++;
  sim_maybe(k);
}

static void on_call(mcq_socket_t* s, void* arg) {
  sim_sock_t* k = sim_entered(s);
  sim_log(sim_net_at(k), "socket %u: call %llu", k->number,
          (unsigned long long) (uintptr_t) arg);
  if ((uint64_t) (uintptr_t) arg != k->mail.called)
    sim_fail("socket %u: call %llu comes as %llu", k->number,
             (unsigned long long) (uintptr_t) arg,
             (unsigned long long) k->mail.called);
  k->mail.called++;
  sim_maybe(k);
}

/* ---- what is done -------------------------------------------------------- */

void sim_mail_open(sim_sock_t* k, int32_t hwm, int64_t hwm_bytes) {
  mcq_mailbox_options_t o = {.hwm = hwm,
                             .hwm_bytes = hwm_bytes,
                             .data = k,
                             .on_drain = on_drain,
                             .on_failed = on_failed};
  sim_begin(k->world);
  int rc = mcq_mailbox_new(k->s, &o, &k->mail.box);
  sim_end(k->world);
  if (sim_starved(k, rc)) return;
  sim_require(rc == 0);
  k->mail.hwm = hwm == 0 ? 1000 : (uint64_t) hwm;
  k->mail.hwm_bytes = hwm_bytes == 0 ? 8 << 20 : (uint64_t) hwm_bytes;
  k->mail.used = true;
}

/* Refused for one of these reasons, and for no other. */
static void check_refused(sim_sock_t* k, int rc, bool was_full) {
  bool gone = sim_leaving(k) || k->closed;
  if (sim_starved(k, rc)) return;
  if (gone) {
    sim_require(rc == MCQ_ECLOSED);
  } else if (was_full) {
    sim_require(rc == MCQ_EAGAIN);
  } else if (rc != 0) {
    sim_fail("socket %u: a post says %d", k->number, rc);
  }
  if (rc == MCQ_EAGAIN) k->mail.starved = true;
}

static bool is_full(const sim_sock_t* k) {
  if (k->s == NULL) return false;
  waiting_t now = waiting_in(k);
  return now.posts >= k->mail.hwm || now.bytes >= k->mail.hwm_bytes;
}

static int post_frames(sim_sock_t* k, const mcq_frame_t* frames, size_t count) {
  sim_world_t* w = k->world;
  mcq_msg_t* msg = NULL;
  if (sim_odds(&w->net, 300) && k->ctx->ctx != NULL)
    mcq_msg_new(k->ctx->ctx, frames, count, &msg);
  sim_begin(w);
  int rc = msg != NULL ? mcq_post_msg(k->mail.box, msg)
                       : mcq_post(k->mail.box, frames, count);
  sim_end(w);
  mcq_msg_release(msg);
  return rc;
}

int sim_mail_post(sim_sock_t* k) {
  mcq_frame_t frames[SIM_FRAMES_MAX];
  if (k->mail.box == NULL) return -1;
  uint32_t seq = sim_books_letter(k);
  sim_letter_t letter = sim_letter_of(k, seq);
  size_t count = sim_letter_frames(&letter, frames);
  bool was_full = is_full(k);
  int rc = post_frames(k, frames, count);
  sim_log(sim_net_at(k), "socket %u posts %u: %d", k->number, seq, rc);
  check_refused(k, rc, was_full);
  if (rc != 0) {
    k->letters--;
    return rc;
  }
  k->fates[seq].flags |= SIM_ACCEPTED;
  k->mail.posted++;
  k->world->sights->posts++;
  return 0;
}

void sim_mail_call(sim_sock_t* k) {
  if (k->mail.box == NULL) return;
  bool was_full = is_full(k);
  sim_begin(k->world);
  int rc =
      mcq_post_call(k->mail.box, on_call, (void*) (uintptr_t) k->mail.calls);
  sim_end(k->world);
  check_refused(k, rc, was_full);
  if (rc == 0) k->mail.calls++;
}

/* What is in it goes out all the same. */
void sim_mail_release(sim_sock_t* k) {
  if (k->mail.box == NULL) return;
  sim_begin(k->world);
  mcq_mailbox_t* box = mcq_mailbox_retain(k->mail.box);
  int rc = k->closed ? mcq_post_call(box, on_call, NULL) : MCQ_ECLOSED;
  sim_require(rc == MCQ_ECLOSED);
  mcq_mailbox_release(k->mail.box);
  mcq_mailbox_release(box);
  sim_end(k->world);
  k->mail.box = NULL;
}

/* ---- whether it adds up -------------------------------------------------- */

void sim_mail_adopt(sim_sock_t* k) {
  mcq_stats_t stats;
  if (!k->mail.used || k->s == NULL) return;
  mcq_stats(k->s, &stats);
  sim_require(stats.messages_sent >= k->accepted);
  k->accepted = stats.messages_sent;
}

uint64_t sim_mail_lost(const sim_sock_t* k, const mcq_stats_t* stats) {
  return k->mail.used ? stats->posts_failed - k->mail.failed : 0;
}

void sim_mail_audit(const sim_sock_t* k, const mcq_stats_t* stats) {
  if (!k->mail.used) {
    sim_require(stats->posts_failed == 0);
    return;
  }
  waiting_t now = waiting_in(k);
  uint64_t posted = k->mail.posted + k->mail.calls;
  uint64_t known =
      k->accepted + stats->posts_failed + k->mail.called + now.posts;
  if (!sim_leaving(k)) sim_require(stats->posts_failed == k->mail.failed);
  /* Last orders leave what they took where it was until the loop looks. */
  bool settled = known == posted ||
                 (sim_leaving(k) && known > posted && known - now.posts <= posted);
  if (!settled)
    sim_fail(
        "socket %u: posted %llu, sent %llu, failed %llu, %llu calls came,"
        " %llu wait",
        k->number, (unsigned long long) posted,
        (unsigned long long) k->accepted,
        (unsigned long long) stats->posts_failed,
        (unsigned long long) k->mail.called, (unsigned long long) now.posts);
  sim_require(now.posts <= k->mail.hwm);
}

void sim_mail_closed(const sim_sock_t* k) {
  if (k->mail.called != k->mail.calls)
    sim_fail("socket %u: %llu calls of %llu came before its end", k->number,
             (unsigned long long) k->mail.called,
             (unsigned long long) k->mail.calls);
}

/* Where somebody would take it nothing waits, and who was refused was told. */
void sim_mail_quiet(const sim_sock_t* k) {
  bool taker = false;
  if (!k->mail.used || k->world->net.starving || k->s->budget.is_short) return;
  for (size_t i = 0; i < k->peer_count; i++)
    taker = taker ||
            (k->peers[i].up && !k->peers[i].ending && !sim_dead(&k->peers[i]));
  if (!taker) return;
  if (waiting_in(k).posts != 0)
    sim_fail("socket %u: its mail waits for no reason", k->number);
  if (k->mail.starved)
    sim_fail("socket %u: its mailbox has room and does not say so", k->number);
}
