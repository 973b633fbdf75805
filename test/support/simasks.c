/* SPDX-License-Identifier: MIT */
/* Questions and answers of the scenario test (see simworld.h): every question
 * has one end, every answer belongs to its question.  It makes no choice of
 * its own but to answer at once, and whether a rude ROUTER is rude. */
#include "support/simparts.h"

static bool has(const sim_sock_t* k, int flag) {
  return (k->options.flags & flag) != 0;
}

/* ---- who asks ------------------------------------------------------------ */

void sim_asks_asked(sim_sock_t* k, uint32_t question) {
  k->waiting = true;
  k->question = question;
  k->asked_at = k->world->net.now;
}

void sim_asks_failed(mcq_socket_t* s, int code) {
  sim_sock_t* k = sim_entered(s);
  sim_log(sim_net_at(k), "socket %u question %u failed: %d", k->number,
          k->question, code);
  sim_require(k->waiting && !k->closing);
  sim_require(code == MCQ_EPEERGONE || code == MCQ_ETIMEDOUT);
  if (code == MCQ_ETIMEDOUT)
    sim_require(k->options.request_ms > 0 &&
                k->world->net.now ==
                    k->asked_at + (uint64_t) k->options.request_ms);
  k->waiting = false;
  k->failures++;
  k->world->sights->failures++;
  sim_maybe(k);
}

/* Which question of ours this is an answer to; false: to none. */
static bool answers(const sim_sock_t* k, const sim_seen_t* seen,
                    uint32_t* question) {
  const sim_sock_t* from = sim_origin(k, seen);
  const sim_fate_t* fate = &from->fates[seen->seq];
  *question = fate->question;
  return from->kind == SIM_ANSWER && fate->asker == k->number;
}

/* What comes through a ROUTER finds who is called so now. */
static bool by_proxy(const sim_sock_t* k) {
  return k->world->bridge.world != NULL;
}

void sim_asks_answer(sim_sock_t* k, const sim_peer_t* p,
                     const sim_seen_t* seen) {
  uint32_t question;
  /* It may be taken for one to what was asked and given up before. */
  bool late =
      !has(k, MCQ_REQ_CORRELATE) &&
      (has(k, MCQ_REQ_RELAXED) || k->options.request_ms > 0 || by_proxy(k));
  if (!k->waiting) sim_fail("socket %u: an answer to nothing", k->number);
  if (!answers(k, seen, &question))
    sim_fail("socket %u: an answer to somebody else", k->number);
  if (question != k->question && !(late && question < k->question))
    sim_fail("socket %u asked %u, the answer is to %u", k->number, k->question,
             question);
  const sim_record_t* way = k->fates[k->question].way;
  if (way != NULL && way != p->record && !by_proxy(k))
    sim_fail("socket %u: an answer of somebody it did not ask", k->number);
  k->waiting = false;
  k->world->sights->answers++;
}

bool sim_asks_unwanted(const sim_sock_t* k, const sim_seen_t* seen) {
  uint32_t question;
  const sim_sock_t* from = sim_origin(k, seen);
  bool ours = answers(k, seen, &question);
  if (!ours) return from->kind != SIM_ANSWER;
  if ((from->fates[seen->seq].flags & SIM_DROPPED) != 0) return true;
  return !k->waiting || question != k->question;
}

/* ---- who answers --------------------------------------------------------- */

static sim_fate_t* fate_of(const sim_ask_t* ask) {
  return &ask->asker->fates[ask->question];
}

static void give_up(const sim_ask_t* ask) {
  fate_of(ask)->flags |= SIM_DROPPED;
}

/* An answer whose asker's handle is stale goes nowhere. */
static int expected_of(sim_sock_t* k, const sim_ask_t* ask,
                       const sim_peer_t** to) {
  const sim_peer_t* p = sim_find_peer(k, ask->peer);
  *to = p;
  if (k->closed || sim_leaving(k)) return MCQ_ECLOSED;
  sim_require(p != NULL);
  return p->up && !p->ending ? 0 : MCQ_EPEERGONE;
}

static void note_end(sim_sock_t* k, const sim_ask_t* ask, int rc) {
  if (rc != 0) give_up(ask);
  if (rc == MCQ_EPEERGONE) k->world->sights->stale++;
}

static void answer(sim_sock_t* k, const sim_ask_t* ask) {
  sim_parcel_t how = {.ask = ask, .token = ask->token};
  how.otherwise = expected_of(k, ask, &how.to);
  note_end(k, ask, sim_books_send(k, &how));
}

/* What a ROUTER puts before its answer: what the question had. */
static size_t envelope(const sim_ask_t* ask, mcq_frame_t head[2]) {
  size_t count = 0;
  if (ask->envelope == 2) head[count++] = (mcq_frame_t){ask->id, 4};
  head[count++] = (mcq_frame_t){NULL, 0};
  return count;
}

static void answer_as_router(sim_sock_t* k, const sim_ask_t* ask) {
  mcq_frame_t head[2];
  sim_parcel_t how = {.ask = ask, .head = head, .by_handle = true};
  how.otherwise = expected_of(k, ask, &how.to);
  if (how.to == NULL) return;
  how.head_count = envelope(ask, head);
  bool rude = k->rude && sim_odds(sim_net_at(k), 300);
  if (rude) how.head_count = 0;
  uint32_t seq = k->letters;
  int rc = sim_books_send(k, &how);
  note_end(k, ask, rc);
  if (!rude || rc != 0) return;
  give_up(ask);
  k->fates[seq].flags |= SIM_DROPPED; /* its reader will */
}

void sim_sock_answer(sim_sock_t* k) {
  mcq_frame_t nothing = {"", 0};
  if (!k->in_hand) {
    sim_begin(k->world);
    int rc = mcq_send(k->s, &nothing, 1);
    sim_end(k->world);
    sim_require(rc == (k->closing ? MCQ_ECLOSED : MCQ_EFSM));
    return;
  }
  sim_ask_t ask = k->hand;
  if (!k->closing) k->in_hand = false;
  answer(k, &ask);
}

void sim_sock_take(sim_sock_t* k) {
  mcq_request_t* token = NULL;
  if (k->held_count == SIM_HELD || k->closing) return;
  sim_begin(k->world);
  int rc = mcq_request_take(k->s, &token);
  sim_end(k->world);
  if (sim_starved(k, rc)) return;
  sim_require(rc == (k->in_hand ? 0 : MCQ_EFSM));
  if (rc != 0) return;
  k->in_hand = false;
  sim_require(sim_same(mcq_request_peer(token), k->hand.peer));
  k->held[k->held_count] = k->hand;
  k->held[k->held_count++].token = token;
}

static sim_ask_t unhold(sim_sock_t* k, size_t i) {
  sim_ask_t ask = k->held[i];
  k->held[i] = k->held[--k->held_count];
  return ask;
}

void sim_sock_reply(sim_sock_t* k, size_t i) {
  sim_ask_t ask = unhold(k, i);
  if (ask.token != NULL)
    answer(k, &ask);
  else if (k->s != NULL)
    answer_as_router(k, &ask);
}

void sim_sock_drop(sim_sock_t* k, size_t i) {
  sim_ask_t ask = unhold(k, i);
  give_up(&ask);
  sim_begin(k->world);
  if (ask.token != NULL) mcq_request_drop(ask.token);
  sim_end(k->world);
}

static void note_question(sim_sock_t* k, const sim_ask_t* ask) {
  if (!k->serves) {
    if (k->in_hand) sim_fail("socket %u has a request in hand", k->number);
    k->in_hand = true;
    k->hand = *ask;
  } else if (k->held_count < SIM_HELD) {
    k->held[k->held_count++] = *ask;
  } else {
    give_up(ask);
  }
}

void sim_asks_question(sim_sock_t* k, sim_peer_t* p, const sim_seen_t* seen,
                       const mcq_msg_t* msg) {
  sim_sock_t* from = sim_origin(k, seen);
  sim_ask_t ask = {.peer = p->handle, .asker = from};
  const sim_fate_t* fate = &from->fates[seen->seq];
  sim_letter_t letter = sim_letter_of(from, seen->seq);
  if (k->serves && from->options.type != MCQ_REQ) return;
  ask.question = seen->seq;
  ask.envelope = fate->envelope;
  if (fate->envelope == 0) ask.envelope = sim_letter_envelope(&letter);
  if (k->serves && ask.envelope == 2)
    memcpy(ask.id, mcq_msg_frame(msg, 0).data, sizeof ask.id);
  note_question(k, &ask);
  if (k->world->settling || sim_odds(sim_net_at(k), k->world->prompt))
    sim_asks_settle(k);
}

void sim_asks_settle(sim_sock_t* k) {
  if (k->in_hand && !k->closing) sim_sock_answer(k);
  while (k->held_count > 0) sim_sock_reply(k, 0);
}

void sim_asks_forget(sim_sock_t* k) {
  while (k->held_count > 0) {
    if (sim_odds(sim_net_at(k), 500))
      sim_sock_drop(k, 0);
    else
      sim_sock_reply(k, 0);
  }
}

/* ---- audits -------------------------------------------------------------- */

void sim_asks_audit(const sim_sock_t* k) {
  if (k->options.type == MCQ_REP && !k->closing)
    sim_require(k->s->config.busy == k->in_hand);
}

/* A question has an end unless somebody let it down, or nobody has it yet. */
void sim_asks_quiet(const sim_sock_t* k) {
  if (!k->waiting) return;
  const sim_fate_t* fate = &k->fates[k->question];
  if ((fate->flags & SIM_DROPPED) != 0) return;
  if ((fate->flags & SIM_HANDED) == 0) return;
  if (by_proxy(k) && k->world->lossy) return; /* it may be lost behind that */
  sim_fail("socket %u waits for the answer to %u for ever", k->number,
           k->question);
}
