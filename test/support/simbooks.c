/* SPDX-License-Identifier: MIT */
/* The scenario test's messages (see simworld.h): every letter is handed in
 * here, and wherever one is seen again it is accounted for.  It makes no
 * choice of its own but how to hand a letter in. */
#include <stdlib.h>

#include "support/simparts.h"

/* ---- letters ------------------------------------------------------------- */

sim_letter_t sim_letter_of(const sim_sock_t* sender, uint32_t seq) {
  const sim_fate_t* fate = &sender->fates[seq];
  return (sim_letter_t){.key = sender->world->seed,
                        .sender = sender->number,
                        .seq = seq,
                        .kind = sender->kind,
                        .asker = fate->asker,
                        .question = fate->question};
}

uint32_t sim_books_letter(sim_sock_t* k) {
  if (k->letters == k->fate_cap) {
    k->fate_cap = k->fate_cap * 2 + 64;
    k->fates = (sim_fate_t*) realloc(k->fates, k->fate_cap * sizeof *k->fates);
    sim_require(k->fates != NULL);
  }
  k->fates[k->letters] = (sim_fate_t){0};
  return k->letters++;
}

bool sim_books_spreads(const sim_sock_t* k) {
  return sim_publishes(k) || k->options.type == MCQ_XSUB;
}

static bool picks(const sim_sock_t* k) {
  switch (k->options.type) {
    case MCQ_ROUTER:
      return (k->options.flags & MCQ_ROUTER_BALANCE) != 0;
    case MCQ_DEALER:
    case MCQ_PAIR:
    case MCQ_PUSH:
    case MCQ_REQ:
      return true;
    default:
      return false;
  }
}

static bool may_reorder(const sim_sock_t* k) {
  int flags = k->options.flags;
  if (flags & MCQ_REQUEUE) return true;
  return (flags & MCQ_ROUTER_BALANCE) != 0 && (flags & MCQ_NO_REQUEUE) == 0;
}

/* ---- on the way ---------------------------------------------------------- */

static void check_order(const sim_sock_t* k, sim_dir_t* dir, uint32_t seq) {
  sim_ending_t* end = sim_find_end((sim_sock_t*) k, dir->end);
  uint32_t next = dir->next_seq;
  if (end != NULL && end->next_seq > next) next = end->next_seq;
  if (!may_reorder(k) && seq < next)
    sim_fail("letter %u of socket %u out of order", seq, k->number);
  dir->next_seq = seq + 1;
  if (end != NULL) end->next_seq = seq + 1;
}

/* First of all, where nothing can have waited for the connection. */
static void handed_welcome(const sim_sock_t* k, const sim_dir_t* dir,
                           const sim_seen_t* seen) {
  sim_require(k->welcomed > 0);
  sim_require(dir->end != 0 || seen == dir->tap.seen);
}

void sim_books_handed(const sim_record_t* record, sim_dir_t* dir,
                      sim_seen_t* seen) {
  sim_sock_t* k = dir->sock;
  if (k == NULL) sim_fail("a message before the connection was up");
  k->handed++;
  seen->step = ++k->world->step;
  if (seen->sender == SIM_ANONYMOUS) return;
  if (seen->sender != k->number && k->bridge != NULL) {
    sim_bridge_handed(dir, seen);
    return;
  }
  if (seen->seq == SIM_WELCOME && seen->sender == k->number) {
    handed_welcome(k, dir, seen);
    return;
  }
  sim_require(seen->sender == k->number && seen->seq < k->letters);
  uint8_t* fate = &k->fates[seen->seq].flags;
  bool now = k->sending && seen->seq == k->letters - 1;
  if ((*fate & SIM_HANDED) != 0 && !sim_books_spreads(k))
    sim_fail("letter %u of socket %u was sent twice", seen->seq, k->number);
  if ((*fate & SIM_ACCEPTED) == 0 && !now)
    sim_fail("letter %u of socket %u was refused, and sent", seen->seq,
             k->number);
  *fate |= SIM_HANDED;
  k->fates[seen->seq].spread = k->fates[seen->seq].way != NULL;
  k->fates[seen->seq].way = record;
  k->fates[seen->seq].way_end = seen->end;
  k->fates[seen->seq].step = seen->step;
  check_order(k, dir, seen->seq);
}

/* ---- arriving ------------------------------------------------------------ */

/* Frames that were put before the letter and are still there, or frames of its
 * own that are not. */
static void stripped(const sim_sock_t* k, const sim_letter_t* letter,
                     const sim_fate_t* fate, size_t* skip, size_t* offset) {
  *skip = *offset = 0;
  if (k->options.type == MCQ_REP) {
    if (fate->envelope == 0) *skip = sim_letter_envelope(letter);
  } else if (k->options.type != MCQ_REQ) {
    *offset = fate->envelope;
  }
}

static bool is_welcome(uint32_t sender, const mcq_msg_t* msg) {
  mcq_frame_t is = sim_welcome(sender);
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  return mcq_msg_count(msg) == 1 && f.len == is.len &&
         memcmp(f.data, is.data, f.len) == 0;
}

static bool is_it(sim_sock_t* k, const sim_seen_t* seen, const mcq_msg_t* msg) {
  if (seen->sender == SIM_ANONYMOUS)
    return mcq_msg_size(msg) == 0 && mcq_msg_count(msg) == seen->frames;
  if (seen->seq == SIM_WELCOME) return is_welcome(seen->sender, msg);
  const sim_sock_t* from = sim_origin(k, seen);
  sim_letter_t letter = sim_letter_of(from, seen->seq);
  size_t skip;
  size_t offset;
  stripped(k, &letter, &from->fates[seen->seq], &skip, &offset);
  return sim_letter_is(&letter, skip, msg, offset);
}

static uint32_t words_of(const sim_sock_t* k, const sim_seen_t* seen) {
  if (seen->seq == SIM_WELCOME) return sim_welcome_words();
  sim_letter_t letter = sim_letter_of(sim_origin(k, seen), seen->seq);
  return sim_letter_words(&letter);
}

/* Whether a REP may have: nobody it could be answered to. */
static bool no_question(const sim_sock_t* k, const sim_seen_t* seen) {
  const sim_sock_t* from = sim_origin(k, seen);
  sim_letter_t letter = sim_letter_of(from, seen->seq);
  return from->fates[seen->seq].envelope == 0 &&
         sim_letter_envelope(&letter) == 0;
}

/* Whether the socket's type may have thrown it away. */
static bool useless(const sim_sock_t* k, const sim_seen_t* seen) {
  switch (k->options.type) {
    case MCQ_PUB:
    case MCQ_PUSH:
      return true;
    case MCQ_REP:
      return no_question(k, seen);
    case MCQ_SUB:
      return sim_topics_unwanted(k, seen, words_of(k, seen));
    case MCQ_REQ:
      return sim_asks_unwanted(k, seen);
    default:
      return false;
  }
}

void sim_books_skip(sim_sock_t* k, const sim_peer_t* p, size_t limit) {
  sim_dir_t* dir = &p->record->dir[!p->side];
  if (k->bridge != NULL || sim_streams(k)) return;
  if (limit > dir->tap.count) limit = dir->tap.count;
  while (dir->delivered < limit) {
    const sim_seen_t* seen = &dir->tap.seen[dir->delivered];
    if (seen->sender == SIM_ANONYMOUS || !useless(k, seen)) return;
    dir->delivered++;
    k->world->skipped++;
  }
}

/* The first message on its way that is this one; all before are of no use. */
static const sim_seen_t* find_seen(sim_sock_t* k, const sim_peer_t* p,
                                   const mcq_msg_t* msg) {
  sim_dir_t* dir = &p->record->dir[!p->side];
  size_t whole = sim_whole_read(p);
  if (dir->delivered >= dir->tap.count) sim_fail("a message nobody sent");
  if (dir->delivered >= whole) sim_fail("a message before its end");
  const sim_seen_t* seen = &dir->tap.seen[dir->delivered];
  while (!is_it(k, seen, msg)) {
    if (seen->sender == SIM_ANONYMOUS || !useless(k, seen))
      sim_fail("letter %u of socket %u was damaged or left out", seen->seq,
               seen->sender);
    k->world->skipped++;
    if (++dir->delivered == whole) sim_fail("a message that was not sent");
    seen++;
  }
  dir->delivered++;
  return seen;
}

/* It is the one that was sent; is it for him? */
static void check_letter(sim_sock_t* k, sim_peer_t* p, const sim_seen_t* seen,
                         const mcq_msg_t* msg) {
  sim_dir_t* dir = &p->record->dir[!p->side];
  if (seen->sender == SIM_ANONYMOUS) return;
  if (seen->seq == SIM_WELCOME) {
    if (sim_subscribes(k)) sim_topics_welcomed(k, words_of(k, seen));
    return;
  }
  sim_origin(k, seen)->fates[seen->seq].got |= UINT32_C(1) << k->number;
  uint8_t* fate = &sim_origin(k, seen)->fates[seen->seq].flags;
  sim_require((*fate & SIM_HANDED) != 0);
  if ((*fate & SIM_DELIVERED) != 0 && !sim_books_spreads(dir->sock))
    sim_fail("letter %u of socket %u delivered twice", seen->seq, seen->sender);
  *fate |= SIM_DELIVERED;
  if (sim_subscribes(k) && (*fate & SIM_DIRECT) == 0)
    sim_topics_wanted(k, dir, words_of(k, seen));
  if (k->options.type == MCQ_REQ) sim_asks_answer(k, p, seen);
  if (k->options.type == MCQ_REP || k->serves)
    sim_asks_question(k, p, seen, msg);
}

static bool is_notice(const sim_sock_t* k, const mcq_msg_t* msg) {
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  return k->options.type == MCQ_XPUB && mcq_msg_count(msg) == 1 && f.len > 0 &&
         *(const uint8_t*) f.data <= 1;
}

void sim_books_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  sim_sock_t* k = sim_entered(s);
  sim_peer_t* p = sim_find_peer(k, peer);
  if (k->closing) sim_fail("a message after the close");
  if (k->paused) sim_fail("a message while paused");
  k->received++;
  if (is_notice(k, msg)) {
    sim_topics_notice(k, peer, mcq_msg_frame(msg, 0));
    sim_maybe(k);
    return;
  }
  if (p == NULL || !p->up) sim_fail("a message outside its bracket");
  if (p->paused) sim_fail("a message of a paused peer");
  if (p->ending) sim_fail("a message of a peer that was closed");
  if (sim_streams(k)) {
    sim_stream_chunk(k, p, msg);
    sim_maybe(k);
    return;
  }
  const sim_seen_t* seen = find_seen(k, p, msg);
  sim_log(sim_net_at(k), "socket %u got %u/%u", k->number, seen->sender,
          seen->seq);
  k->world->delivered++;
  check_letter(k, p, seen, msg);
  sim_maybe(k);
}

void sim_books_drained(mcq_socket_t* s) {
  sim_sock_t* k = sim_entered(s);
  sim_log(sim_net_at(k), "socket %u drained", k->number);
  if (!k->wants_drain) sim_fail("a drain nobody waits for");
  sim_require(!k->closing);
  k->wants_drain = false;
  sim_maybe(k);
}

/* ---- handing in ---------------------------------------------------------- */

static void release_wrapped(void* data, void* arg) {
  sim_world_t* w = (sim_world_t*) arg;
  w->wraps--;
  free(data);
}

/* The same frames as a message: copied, or one frame on foreign memory. */
static mcq_msg_t* as_message(sim_sock_t* k, const mcq_frame_t* frames,
                             size_t count) {
  sim_world_t* w = k->world;
  mcq_msg_t* msg = NULL;
  if (count != 1 || sim_odds(&w->net, 500)) {
    mcq_msg_new(k->ctx->ctx, frames, count, &msg);
    return msg;
  }
  void* copy = malloc(frames->len + 1);
  sim_require(copy != NULL);
  if (frames->len != 0) memcpy(copy, frames->data, frames->len);
  w->wraps++;
  if (mcq_msg_wrap(k->ctx->ctx, copy, frames->len, release_wrapped, w, &msg) !=
      0)
    release_wrapped(copy, w);
  return msg;
}

/* Somebody who may get messages: up and not ending, or to be connected. */
static void check_pick(sim_sock_t* k, mcq_peer_t got) {
  const sim_peer_t* p = sim_find_peer(k, got);
  if (p != NULL) sim_require(p->up && !p->ending);
  if (p == NULL)
    sim_require((k->options.flags & MCQ_IMMEDIATE) == 0 ||
                sim_same(got, k->expect_up) || k->expect_successor);
}

static int reply(const sim_parcel_t* how, const mcq_frame_t* frames,
                 size_t count, const mcq_msg_t* msg) {
  return msg != NULL ? mcq_request_reply_msg(how->token, msg)
                     : mcq_request_reply(how->token, frames, count);
}

static int hand_in(sim_sock_t* k, const mcq_frame_t* frames, size_t count,
                   const sim_parcel_t* how) {
  sim_world_t* w = k->world;
  mcq_msg_t* msg = NULL;
  mcq_peer_t got = {0, 0};
  bool next = !how->by_handle && picks(k) && sim_odds(&w->net, 500);
  int rc;
  if (sim_odds(&w->net, 300) && k->ctx->ctx != NULL && !k->closed)
    msg = as_message(k, frames, count);
  sim_begin(w);
  if (how->token != NULL)
    rc = reply(how, frames, count, msg);
  else if (msg != NULL)
    rc = how->by_handle ? mcq_send_msg_to(k->s, how->to->handle, msg)
                        : mcq_send_msg(k->s, msg);
  else if (how->by_handle)
    rc = mcq_send_to(k->s, how->to->handle, frames, count);
  else
    rc = next ? mcq_send_next(k->s, frames, count, &got)
              : mcq_send(k->s, frames, count);
  sim_end(w);
  if (got.epoch != 0) check_pick(k, got);
  mcq_msg_release(msg);
  return rc;
}

void sim_books_refused(sim_sock_t* k, int rc, uint64_t epoch) {
  if (rc == MCQ_EAGAIN) {
    k->refused++;
    if (k->wants_drain && k->refused_epoch != epoch) epoch = 0;
    k->wants_drain = true;
    k->refused_epoch = epoch;
    k->refused_last = k->ctx->last_epoch;
  } else if (rc == MCQ_EPEERGONE || rc == MCQ_EHOSTUNREACH) {
    k->unroutable++;
  }
}

/* What is up only to empty its queue takes more until on_peer_up is over, and
 * what was found to be broken until it is down. */
static bool lasts(const sim_peer_t* p) {
  return p->brief || p->record->conn->end[p->side].told != 0;
}

/* Peers are, before their down is told. */
static bool sent_away(const sim_sock_t* k) {
  return k->world->net.starving || k->options.max_subscriptions > 0 ||
         (k->options.slow_peer == MCQ_SLOW_DISCONNECT && k->missed != 0);
}

static void check_code(const sim_sock_t* k, const sim_parcel_t* how, int rc) {
  const sim_peer_t* to = how->to;
  int otherwise = how->otherwise;
  bool brief = otherwise == MCQ_EPEERGONE && to != NULL && to->up && lasts(to);
  if (sim_starved(k, rc) && (otherwise == 0 || brief || how->ask != NULL))
    return;
  if (rc == MCQ_EPEERGONE && to != NULL && sent_away(k)) return;
  if (otherwise != 0 && !brief)
    sim_require(rc == otherwise);
  else if (brief)
    sim_require(rc == 0 || rc == MCQ_EAGAIN || rc == otherwise);
  else if (rc != 0 && rc != MCQ_EAGAIN)
    sim_fail("socket %u of type %d: a send says %d", k->number, k->options.type,
             rc);
}

/* What a message to many has become of: each that it was meant for took it or
 * missed it, and what gave way to it was counted. */
static void note_spread(sim_sock_t* k, int rc, size_t meant,
                        const mcq_stats_t* before) {
  mcq_stats_t now;
  mcq_stats(k->s, &now);
  uint64_t took = now.messages_sent - before->messages_sent;
  uint64_t dropped = now.messages_dropped - before->messages_dropped;
  bool oldest = k->options.slow_peer == MCQ_SLOW_DROP_OLDEST ||
                (k->options.flags & MCQ_CONFLATE) != 0;
  if (rc != 0) {
    sim_require(took == 0 && dropped == 0);
    return;
  }
  /* One that is shown out for what it missed is owed nothing from there on,
   * though it was promised things before. */
  bool shown_out =
      k->world->net.starving && k->options.slow_peer == MCQ_SLOW_DISCONNECT;
  if (shown_out && took + dropped < meant) meant = (size_t) (took + dropped);
  if (took > meant || dropped < meant - took)
    sim_fail("socket %u: meant for %zu, taken by %llu, dropped %llu", k->number,
             meant, (unsigned long long) took, (unsigned long long) dropped);
  uint64_t missed = meant - took;
  if (k->options.slow_peer == MCQ_SLOW_REFUSE && !k->world->net.starving)
    sim_require(missed == 0);
  sim_require(oldest || dropped == missed);
  k->accepted += took;
  k->missed += missed;
  k->shed += dropped - missed;
  k->world->sights->missed += missed;
  k->world->sights->shed += dropped - missed;
}

/* The same for one. */
static void note_single(sim_sock_t* k, int rc, const mcq_stats_t* before) {
  mcq_stats_t now;
  if (k->closed) return;
  mcq_stats(k->s, &now);
  uint64_t shed = now.messages_dropped - before->messages_dropped;
  sim_require(shed == 0 || (k->options.flags & MCQ_CONFLATE) != 0);
  k->shed += shed;
  k->world->sights->shed += shed;
  if (rc == 0) k->accepted++;
}

/* All frames of the next letter, `how->head` first; how many. */
static size_t put_together(sim_sock_t* k, uint32_t seq, const sim_parcel_t* how,
                           mcq_frame_t* frames) {
  sim_fate_t* fate = &k->fates[seq];
  if (how->ask != NULL) {
    fate->asker = how->ask->asker->number;
    fate->question = how->ask->question;
    if (k->options.type == MCQ_REP)
      fate->envelope = (uint8_t) how->ask->envelope;
  }
  if (k->options.type == MCQ_REQ)
    fate->envelope = (k->options.flags & MCQ_REQ_CORRELATE) != 0 ? 2 : 1;
  for (size_t i = 0; i < how->head_count; i++) frames[i] = how->head[i];
  sim_letter_t letter = sim_letter_of(k, seq);
  return how->head_count + sim_letter_frames(&letter, frames + how->head_count);
}

/* Where it ends is noted before any of it can have left. */
static int hand_in_bytes(sim_sock_t* k, const mcq_frame_t* frames, size_t count,
                         const sim_parcel_t* how) {
  size_t head = how->head_count;
  if (how->to == NULL) return hand_in(k, frames, count, how);
  sim_dir_t* dir = &how->to->record->dir[how->to->side];
  sim_stream_add(k, dir, frames + head, count - head);
  int rc = hand_in(k, frames, count, how);
  if (rc != 0) sim_stream_retract(k, dir);
  return rc;
}

/* Sends the next letter, and nothing is counted yet.  `*meant`: those that want
 * it, of many. */
static int send_letter(sim_sock_t* k, const sim_parcel_t* how, size_t* meant) {
  mcq_frame_t frames[SIM_FRAMES_MAX + 3];
  uint32_t seq = sim_books_letter(k);
  size_t count = put_together(k, seq, how, frames);
  sim_letter_t letter = sim_letter_of(k, seq);
  *meant = 0;
  if (sim_books_spreads(k) && !how->by_handle && !sim_leaving(k))
    *meant = sim_topics_meant(k, sim_letter_words(&letter));
  int rc = sim_streams(k) ? hand_in_bytes(k, frames, count, how)
                          : hand_in(k, frames, count, how);
  sim_log(sim_net_at(k), "socket %u sends %u: %d", k->number, seq, rc);
  check_code(k, how, rc);
  if (!k->closed)
    sim_books_refused(k, rc, how->to == NULL ? 0 : how->to->handle.epoch);
  if (rc == 0) {
    k->fates[seq].flags |= SIM_ACCEPTED;
    if (how->by_handle) k->fates[seq].flags |= SIM_DIRECT;
    if (k->options.type == MCQ_REQ) sim_asks_asked(k, seq);
  } else {
    sim_require(k->fates[seq].flags == 0);
    k->letters--;
  }
  return rc;
}

int sim_books_send(sim_sock_t* k, const sim_parcel_t* how) {
  mcq_stats_t before = {0};
  size_t meant;
  if (!k->closed) mcq_stats(k->s, &before);
  k->sending = true;
  int rc = send_letter(k, how, &meant);
  if (sim_books_spreads(k) && !how->by_handle)
    note_spread(k, rc, meant, &before);
  else
    note_single(k, rc, &before);
  k->sending = false;
  return rc;
}

/* Several in a row to the same peers, perhaps, with nobody looking at what has
 * become of one before the next is sent. */
static int send_burst(sim_sock_t* k, const sim_parcel_t* how) {
  mcq_stats_t before = {0};
  unsigned burst = 1 + k->letters % 7;
  size_t all_meant = 0;
  unsigned sent = 0;
  int rc = 0;
  if (!k->closed) mcq_stats(k->s, &before);
  k->sending = true;
  for (; rc == 0 && sent < burst; sent += rc == 0) {
    size_t meant;
    rc = send_letter(k, how, &meant);
    if (rc == 0) all_meant += meant;
    if (!k->closed && k->s->hub.pubsub.promise.wired.count > 1)
      k->world->sights->promised++;
  }
  if (sent > 0) rc = 0;
  note_spread(k, rc, all_meant, &before);
  k->sending = false;
  return rc;
}

int sim_sock_send(sim_sock_t* k) {
  sim_parcel_t how = {.otherwise = sim_leaving(k) ? MCQ_ECLOSED : 0};
  bool relaxed = (k->options.flags & MCQ_REQ_RELAXED) != 0;
  if (how.otherwise == 0 && k->waiting && !relaxed) how.otherwise = MCQ_EFSM;
  return sim_books_spreads(k) ? send_burst(k, &how) : sim_books_send(k, &how);
}

int sim_sock_send_to(sim_sock_t* k, const sim_peer_t* to) {
  sim_parcel_t how = {.to = to, .by_handle = true};
  if (!to->up || to->ending) how.otherwise = MCQ_EPEERGONE;
  if (sim_leaving(k)) how.otherwise = MCQ_ECLOSED;
  return sim_books_send(k, &how);
}

int sim_sock_send_name(sim_sock_t* k, const void* id, size_t len) {
  mcq_frame_t address = {id, len};
  const sim_peer_t* p = sim_find_name(k, id, len);
  sim_parcel_t how = {.head = &address, .head_count = 1, .to = p};
  if (p == NULL) how.otherwise = MCQ_EHOSTUNREACH;
  if (p != NULL && p->ending) how.otherwise = MCQ_EPEERGONE;
  if (sim_leaving(k)) how.otherwise = MCQ_ECLOSED;
  return sim_books_send(k, &how);
}
