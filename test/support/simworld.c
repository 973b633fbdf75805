/* SPDX-License-Identifier: MIT */
/* The scenario test's model (see simworld.h): every call goes through here and
 * every callback ends here, and both are held against what the headers
 * promise.  Driven by sim_scenario.c.  It never makes a choice of its own but
 * how to hand a letter in. */
#include "support/simworld.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/hub_peers.h"

enum { ACCEPTED = 1, HANDED = 2, DELIVERED = 4 };

/* How many times the loops may turn while the clock stands still. */
#define TURNS_MAX 200000

/* What a close may take beyond linger, ms: two farewells, and the way. */
#define CLOSE_SLACK 3000

/* ---- calls and callbacks ------------------------------------------------- */

static sim_net_t* net_of(const sim_sock_t* k) {
  return &k->world->net;
}

static void begin(sim_world_t* w) {
  sim_require(!w->net.calling);
  w->net.calling = true;
}

static void end(sim_world_t* w) {
  w->net.calling = false;
}

static sim_sock_t* entered(mcq_socket_t* s) {
  sim_sock_t* k = (sim_sock_t*) mcq_socket_data(s);
  if (net_of(k)->calling) sim_fail("a callback inside a call");
  sim_require(k->s == s && !k->closed);
  return k;
}

static void maybe(sim_sock_t* k) {
  sim_world_t* w = k->world;
  if (w->whim != NULL && sim_odds(&w->net, w->act)) w->whim(k);
}

/* ---- records ------------------------------------------------------------- */

static sim_record_t* record_of(sim_world_t* w, sim_conn_t* conn) {
  if (conn->id >= w->record_cap) {
    size_t cap = conn->id * 2 + 64;
    w->records = (sim_record_t**) realloc(w->records, cap * sizeof *w->records);
    sim_require(w->records != NULL);
    for (size_t i = w->record_cap; i < cap; i++) w->records[i] = NULL;
    w->record_cap = cap;
  }
  sim_record_t** slot = &w->records[conn->id];
  if (*slot == NULL) {
    *slot = (sim_record_t*) calloc(1, sizeof **slot);
    sim_require(*slot != NULL);
    (*slot)->conn = conn;
  }
  return *slot;
}

static bool may_reorder(const sim_sock_t* k) {
  return (k->options.flags & MCQ_ROUTER_BALANCE) != 0 &&
         (k->options.flags & MCQ_NO_REQUEUE) == 0;
}

/* A whole message has left a socket. */
static void on_handed(sim_dir_t* dir, const sim_seen_t* seen) {
  sim_sock_t* k = dir->sock;
  if (k == NULL) sim_fail("a message before the connection was up");
  k->handed++;
  if (seen->sender == SIM_ANONYMOUS) return;
  sim_require(seen->sender == k->number && seen->seq < k->letters);
  uint8_t* fate = &k->fates[seen->seq];
  bool now = k->sending && seen->seq == k->letters - 1;
  if ((*fate & HANDED) != 0)
    sim_fail("letter %u of socket %u was sent twice", seen->seq, k->number);
  if ((*fate & ACCEPTED) == 0 && !now)
    sim_fail("letter %u of socket %u was refused, and sent", seen->seq,
             k->number);
  *fate |= HANDED;
  if (!may_reorder(k) && seen->seq < dir->next_seq)
    sim_fail("letter %u of socket %u out of order", seen->seq, k->number);
  dir->next_seq = seen->seq + 1;
}

static void on_taken(sim_end_t* e, const uint8_t* data, size_t len) {
  sim_world_t* w = (sim_world_t*) e->conn->net->user;
  sim_dir_t* dir = &record_of(w, e->conn)->dir[sim_side(e)];
  size_t before = dir->tap.count;
  if (dir->sock != NULL) dir->sock->moved_at = w->net.now;
  sim_tap_feed(&dir->tap, data, len);
  for (; before < dir->tap.count; before++)
    on_handed(dir, &dir->tap.seen[before]);
}

/* Ends of messages in [from, to) of the stream. */
static size_t ends_between(const sim_tap_t* tap, uint64_t from, uint64_t to) {
  size_t n = 0;
  for (size_t i = tap->count; i > 0 && tap->seen[i - 1].end > from; i--)
    if (tap->seen[i - 1].end <= to) n++;
  return n;
}

static void on_read(sim_end_t* e, const uint8_t* data, size_t len) {
  sim_world_t* w = (sim_world_t*) e->conn->net->user;
  const sim_tap_t* tap = &record_of(w, e->conn)->dir[!sim_side(e)].tap;
  uint64_t from = sim_in(e)->read;
  (void) data;
  if (len == 1) w->sights->crumbs++;
  if (ends_between(tap, from + len - 1, from + len) == 0) w->sights->halves++;
  if (len > 1 && ends_between(tap, from, from + len) > 1) w->sights->bunches++;
}

void sim_world_cut(sim_world_t* w, sim_conn_t* conn, const uint64_t after[2],
                   const int code[2]) {
  bool first = !conn->cut;
  sim_conn_cut(conn, after, code);
  for (int s = 0; first && s < 2; s++) {
    const sim_tap_t* tap = &record_of(w, conn)->dir[s].tap;
    uint64_t at = conn->pipe[s].read + conn->pipe[s].len;
    if (at < 64)
      w->sights->cut_early++;
    else if (ends_between(tap, at - 1, at) != 0)
      w->sights->cut_clean++;
    else
      w->sights->cut_torn++;
  }
}

static void on_conn_gone(sim_conn_t* conn) {
  record_of((sim_world_t*) conn->net->user, conn)->conn = NULL;
}

/* Messages that have come out of the network on the way to `p`. */
static size_t whole_read(const sim_peer_t* p) {
  const sim_tap_t* tap = &p->record->dir[!p->side].tap;
  uint64_t read = p->record->conn->pipe[!p->side].read;
  size_t n = p->record->dir[!p->side].delivered;
  while (n < tap->count && tap->seen[n].end <= read) n++;
  return n;
}

/* ---- peers --------------------------------------------------------------- */

static bool same(mcq_peer_t a, mcq_peer_t b) {
  return a.epoch == b.epoch && a.slot == b.slot;
}

static sim_peer_t* find_peer(sim_sock_t* k, mcq_peer_t handle) {
  for (size_t i = k->peer_count; i > 0; i--)
    if (same(k->peers[i - 1].handle, handle)) return &k->peers[i - 1];
  return NULL;
}

static sim_peer_t* find_name(sim_sock_t* k, const void* id, size_t len) {
  for (size_t i = 0; i < k->peer_count; i++) {
    sim_peer_t* p = &k->peers[i];
    if (p->up && p->id_len == len && memcmp(p->id, id, len) == 0) return p;
  }
  return NULL;
}

sim_peer_t* sim_sock_peer(sim_sock_t* k, bool up) {
  size_t n = up ? k->up : k->peer_count - k->up;
  if (n == 0) return NULL;
  n = sim_below(net_of(k), n);
  for (size_t i = 0;; i++)
    if (k->peers[i].up == up && n-- == 0) return &k->peers[i];
}

static sim_peer_t* add_peer(sim_sock_t* k, const mcq_peer_info_t* info) {
  if (k->peer_count == k->peer_cap) {
    k->peer_cap = k->peer_cap * 2 + 8;
    k->peers = (sim_peer_t*) realloc(k->peers, k->peer_cap * sizeof *k->peers);
    sim_require(k->peers != NULL);
  }
  sim_peer_t* p = &k->peers[k->peer_count++];
  memset(p, 0, sizeof *p);
  p->handle = info->peer;
  p->id_len = info->routing_id_len;
  if (info->routing_id_len > 0)
    memcpy(p->id, info->routing_id, info->routing_id_len);
  p->up = true;
  k->up++;
  return p;
}

static sim_ending_t* find_end(sim_sock_t* k, mcq_endpoint_t id) {
  for (size_t i = 0; i < k->end_count; i++)
    if (k->ends[i].id == id) return &k->ends[i];
  return NULL;
}

static void on_peer_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  sim_sock_t* k = entered(s);
  unsigned id;
  int side;
  sim_log(net_of(k), "socket %u up %llu %s", k->number,
          (unsigned long long) info->peer.epoch, info->address);
  sim_require(same(k->expect_up, info->peer));
  k->expect_up = (mcq_peer_t){0, 0};
  sim_require(info->peer.epoch > k->ctx->last_epoch);
  k->ctx->last_epoch = info->peer.epoch;
  if (k->options.type == MCQ_ROUTER) { /* whose peers go by name */
    sim_require(info->routing_id_len > 0);
    sim_require(find_name(k, info->routing_id, info->routing_id_len) == NULL);
  }
  if (k->expect_successor)
    sim_require(info->routing_id_len == k->successor_len &&
                memcmp(info->routing_id, k->successor, k->successor_len) == 0);
  k->expect_successor = false;
  sim_require(sscanf(info->address, "sim://conn/%u/%d", &id, &side) == 2);
  sim_require(info->incoming == (side == 1));
  sim_require(info->version_major == 3 && info->version_minor == 1);
  sim_require(k->options.type != MCQ_PAIR || k->up == 0);
  sim_record_t* record = k->world->records[id];
  sim_require(record->conn != NULL && record->dir[side].sock == k);
  sim_peer_t* p = add_peer(k, info);
  p->record = record;
  p->side = side;
  p->end = k->expect_end;
  sim_require((p->end == 0) == info->incoming);
  p->brief = p->end != 0 && find_end(k, p->end)->closing;
  p->ending = p->brief;
  maybe(k);
}

/* Whether a connection may have ended for this reason. */
static void check_reason(const sim_sock_t* k, const sim_peer_t* p,
                         const mcq_peer_info_t* info) {
  const sim_end_t* e = &p->record->conn->end[p->side];
  const sim_dir_t* in = &p->record->dir[!p->side];
  bool orderly = info->text[0] == '\0';
  int code = info->reason;
  if (code == MCQ_EHANDOVER) return;
  if (code == MCQ_ELOCAL) {
    sim_require(p->ending || k->closing);
    return;
  }
  if (code == MCQ_ENOMEM && k->world->net.starving) return;
  if (code == MCQ_EREFUSED) {
    /* Ready here first, and then found not to be wanted there. */
    sim_require(in->refusal == MCQ_ETWIN || in->refusal == MCQ_EPAIRED ||
                in->refusal == MCQ_ECLOSED || in->refusal == MCQ_ETYPE ||
                (in->refusal == MCQ_ENOMEM && k->world->net.starving));
    return;
  }
  if (code == MCQ_EPARTIAL || code == UV_EOF)
    sim_require(e->told == UV_EOF);
  else if (e->told != code && e->told_last != code)
    sim_fail("socket %u: down with %d where the network said %d", k->number,
             code, e->told);
  /* All that came out of the network was delivered first. */
  if (orderly && !k->closing) sim_require(in->delivered == whole_read(p));
}

static void on_peer_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  sim_sock_t* k = entered(s);
  sim_peer_t* p = find_peer(k, info->peer);
  mcq_peer_info_t again;
  sim_log(net_of(k), "socket %u down %llu %d \"%s\" lost %llu unsure %llu",
          k->number, (unsigned long long) info->peer.epoch, info->reason,
          info->text, (unsigned long long) info->lost_messages,
          (unsigned long long) info->unsure_messages);
  sim_require(p != NULL && p->up);
  sim_require(mcq_peer_info(s, info->peer, &again) == MCQ_EPEERGONE);
  sim_require(info->routing_id_len == p->id_len);
  sim_require(p->id_len == 0 ||
              memcmp(info->routing_id, p->id, p->id_len) == 0);
  check_reason(k, p, info);
  p->up = false;
  k->up--;
  k->unsure += info->unsure_messages;
  if (info->reason == MCQ_EHANDOVER) {
    k->expect_successor = true;
    k->successor_len = p->id_len;
    memcpy(k->successor, p->id, p->id_len);
  }
  k->expect_down = info->peer;
  maybe(k);
}

/* ---- messages ------------------------------------------------------------ */

static void check_letter(sim_world_t* w, const sim_dir_t* dir,
                         const sim_seen_t* seen, const mcq_msg_t* msg) {
  if (seen->sender == SIM_ANONYMOUS) {
    sim_require(mcq_msg_size(msg) == 0 && mcq_msg_count(msg) == seen->frames);
    return;
  }
  sim_letter_t letter = {w->seed, seen->sender, seen->seq};
  if (!sim_letter_is(&letter, msg))
    sim_fail("letter %u of socket %u was damaged", seen->seq, seen->sender);
  uint8_t* fate = &dir->sock->fates[seen->seq];
  sim_require((*fate & HANDED) != 0);
  if ((*fate & DELIVERED) != 0)
    sim_fail("letter %u of socket %u delivered twice", seen->seq, seen->sender);
  *fate |= DELIVERED;
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  sim_sock_t* k = entered(s);
  sim_peer_t* p = find_peer(k, peer);
  if (k->closing) sim_fail("a message after the close");
  if (k->paused) sim_fail("a message while paused");
  if (p == NULL || !p->up) sim_fail("a message outside its bracket");
  if (p->paused) sim_fail("a message of a paused peer");
  if (p->ending) sim_fail("a message of a peer that was closed");
  sim_dir_t* dir = &p->record->dir[!p->side];
  if (dir->delivered >= dir->tap.count) sim_fail("a message nobody sent");
  if (dir->delivered >= whole_read(p)) sim_fail("a message before its end");
  const sim_seen_t* seen = &dir->tap.seen[dir->delivered++];
  sim_log(net_of(k), "socket %u got %u/%u", k->number, seen->sender, seen->seq);
  check_letter(k->world, dir, seen, msg);
  k->received++;
  k->world->delivered++;
  maybe(k);
}

static void on_drain(mcq_socket_t* s) {
  sim_sock_t* k = entered(s);
  sim_log(net_of(k), "socket %u drained", k->number);
  if (!k->wants_drain) sim_fail("a drain nobody waits for");
  sim_require(!k->closing);
  k->wants_drain = false;
  maybe(k);
}

/* The direction that the socket with this address of its peer writes; NULL
 * when nothing was written on the connection. */
static sim_dir_t* dir_at(sim_world_t* w, const char* address) {
  unsigned id;
  int side;
  sim_require(sscanf(address, "sim://conn/%u/%d", &id, &side) == 2);
  sim_record_t* record = id < w->record_cap ? w->records[id] : NULL;
  if (record == NULL) return NULL;
  sim_require(record->conn != NULL);
  return &record->dir[side];
}

/* From the handshake on this socket may write there. */
static void claim_dir(sim_sock_t* k, const char* address) {
  sim_dir_t* dir = dir_at(k->world, address);
  sim_require(dir != NULL && dir->sock == NULL);
  dir->sock = k;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  sim_sock_t* k = entered(s);
  sim_ending_t* ending = find_end(k, e->endpoint);
  sim_log(net_of(k), "socket %u event %d end %llu %s %d %s", k->number,
          (int) e->kind, (unsigned long long) e->endpoint, e->address, e->code,
          e->text == NULL ? "" : e->text);
  if (k->expect_up.epoch != 0) sim_fail("no up after the handshake");
  if (k->expect_down.epoch != 0 && e->kind == MCQ_EVENT_DISCONNECTED) {
    sim_require(same(k->expect_down, e->peer));
    k->expect_down = (mcq_peer_t){0, 0};
  }
  if (k->expect_down.epoch != 0) sim_fail("no event after a down");
  if (e->kind == MCQ_EVENT_HANDSHAKE_OK) {
    k->expect_up = e->peer;
    k->expect_end = e->endpoint;
    claim_dir(k, e->address);
  }
  if (e->kind == MCQ_EVENT_HANDSHAKE_FAILED) {
    sim_dir_t* dir = dir_at(k->world, e->address);
    if (dir != NULL) dir->refusal = e->code;
  }
  if (e->kind == MCQ_EVENT_STOPPED) {
    sim_require(ending != NULL && ending->connecting && !ending->stopped);
    ending->stopped = true;
  }
  if (e->kind == MCQ_EVENT_CLOSED) {
    sim_require(ending != NULL && (ending->closing || k->closing));
    if (++ending->closed != 1) sim_fail("an endpoint closed twice");
  }
  maybe(k);
}

/* ---- sending ------------------------------------------------------------- */

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

static bool picks(const sim_sock_t* k) {
  return k->options.type != MCQ_ROUTER ||
         (k->options.flags & MCQ_ROUTER_BALANCE) != 0;
}

/* Somebody who may get messages: up and not ending, or to be connected. */
static void check_pick(sim_sock_t* k, mcq_peer_t got) {
  const sim_peer_t* p = find_peer(k, got);
  if (p != NULL) sim_require(p->up && !p->ending);
  if (p == NULL)
    sim_require((k->options.flags & MCQ_IMMEDIATE) == 0 ||
                same(got, k->expect_up) || k->expect_successor);
}

static int hand_in(sim_sock_t* k, const mcq_frame_t* frames, size_t count,
                   const mcq_peer_t* to) {
  sim_world_t* w = k->world;
  mcq_msg_t* msg = NULL;
  mcq_peer_t got = {0, 0};
  bool next = to == NULL && picks(k) && sim_odds(&w->net, 500);
  int rc;
  if (sim_odds(&w->net, 300)) msg = as_message(k, frames, count);
  begin(w);
  if (msg != NULL)
    rc = to != NULL ? mcq_send_msg_to(k->s, *to, msg) : mcq_send_msg(k->s, msg);
  else if (to != NULL)
    rc = mcq_send_to(k->s, *to, frames, count);
  else
    rc = next ? mcq_send_next(k->s, frames, count, &got)
              : mcq_send(k->s, frames, count);
  end(w);
  if (got.epoch != 0) check_pick(k, got);
  mcq_msg_release(msg);
  return rc;
}

static void note_refusal(sim_sock_t* k, int rc, uint64_t epoch) {
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

/* Hands the next letter in, with an address before it or not; what it must
 * say is 0 (or full) or `otherwise`. */
static int send_letter(sim_sock_t* k, const mcq_frame_t* address,
                       const sim_peer_t* to, int otherwise) {
  sim_world_t* w = k->world;
  mcq_frame_t frames[SIM_FRAMES_MAX + 1];
  size_t at = address == NULL ? 0 : 1;
  if (at != 0) frames[0] = *address;
  if (k->letters == k->fate_cap) {
    k->fate_cap = k->fate_cap * 2 + 64;
    k->fates = (uint8_t*) realloc(k->fates, k->fate_cap);
    sim_require(k->fates != NULL);
  }
  uint32_t seq = k->letters++;
  sim_letter_t letter = {w->seed, k->number, seq};
  size_t count = sim_letter_frames(&letter, frames + at);
  k->fates[seq] = 0;
  k->sending = true;
  const mcq_peer_t* handle = to == NULL || at != 0 ? NULL : &to->handle;
  int rc = hand_in(k, frames, count + at, handle);
  k->sending = false;
  sim_log(&w->net, "socket %u sends %u: %d", k->number, seq, rc);
  bool brief = otherwise == MCQ_EPEERGONE && to != NULL && to->up && lasts(to);
  if (otherwise != 0 && !brief)
    sim_require(rc == otherwise);
  else if (brief)
    sim_require(rc == 0 || rc == MCQ_EAGAIN || rc == otherwise);
  else if (rc != 0 && rc != MCQ_EAGAIN &&
           !(rc == MCQ_ENOMEM && w->net.starving))
    sim_fail("socket %u: a send says %d", k->number, rc);
  note_refusal(k, rc, to == NULL ? 0 : to->handle.epoch);
  if (rc == 0) {
    k->accepted++;
    k->fates[seq] |= ACCEPTED;
  } else {
    sim_require(k->fates[seq] == 0);
    k->letters--;
  }
  return rc;
}

int sim_sock_send(sim_sock_t* k) {
  return send_letter(k, NULL, NULL, k->closing ? MCQ_ECLOSED : 0);
}

int sim_sock_send_to(sim_sock_t* k, const sim_peer_t* to) {
  int otherwise = to->up && !to->ending ? 0 : MCQ_EPEERGONE;
  if (k->closing) otherwise = MCQ_ECLOSED;
  return send_letter(k, NULL, to, otherwise);
}

int sim_sock_send_name(sim_sock_t* k, const void* id, size_t len) {
  const sim_peer_t* p = find_name(k, id, len);
  mcq_frame_t address = {id, len};
  int otherwise = p != NULL ? 0 : MCQ_EHOSTUNREACH;
  if (p != NULL && p->ending) otherwise = MCQ_EPEERGONE;
  if (k->closing) otherwise = MCQ_ECLOSED;
  return send_letter(k, &address, p, otherwise);
}

/* ---- life of a socket ---------------------------------------------------- */

static void settle_books(const sim_sock_t* k, uint64_t lost) {
  uint64_t done = k->handed + lost;
  if (done > k->accepted || k->accepted - done > k->unsure)
    sim_fail(
        "socket %u: accepted %llu, handed over %llu, lost %llu, "
        "unsure %llu",
        k->number, (unsigned long long) k->accepted,
        (unsigned long long) k->handed, (unsigned long long) lost,
        (unsigned long long) k->unsure);
}

static void check_close_time(const sim_sock_t* k) {
  int64_t linger = k->options.linger_ms;
  const sim_net_t* net = net_of(k);
  if (linger == -1) return;
  if (linger == 0) linger = 1000;
  if (linger == MCQ_LINGER_NONE) linger = 0;
  uint64_t limit = k->moved_at + (uint64_t) linger + CLOSE_SLACK +
                   4 * net->faults.delay + net->faults.dial;
  if (net->now > limit)
    sim_fail("socket %u took %llu ms to close", k->number,
             (unsigned long long) (net->now - k->moved_at));
}

static void on_close(const mcq_close_info_t* info) {
  sim_sock_t* k = (sim_sock_t*) info->data;
  mcq_stats_t stats;
  sim_require(!net_of(k)->calling);
  sim_log(net_of(k), "socket %u closed, lost %llu", k->number,
          (unsigned long long) info->lost_messages);
  if (k->closed) sim_fail("closed twice");
  sim_require(k->closing && k->with_cb);
  mcq_stats(k->s, &stats);
  sim_require(stats.messages_queued == 0 && stats.peers == 0);
  sim_require(stats.messages_sent == k->accepted);
  if (k->up != 0) sim_fail("closed with a peer that is up");
  for (size_t i = 0; i < k->end_count; i++) sim_require(k->ends[i].closed == 1);
  settle_books(k, k->lost + info->lost_messages);
  check_close_time(k);
  k->closed = true;
  k->s = NULL;
  sim_seat_t* seat = k->ctx;
  if (seat->ctx != NULL && sim_odds(net_of(k), 20)) sim_seat_close(seat);
}

sim_sock_t* sim_sock_new(sim_world_t* w, sim_seat_t* seat,
                         const mcq_socket_options_t* options,
                         const char* name) {
  if (w->sock_count == SIM_SOCKS || seat->closing) return NULL;
  sim_sock_t* k = (sim_sock_t*) calloc(1, sizeof *k);
  sim_require(k != NULL);
  k->world = w;
  k->ctx = seat;
  k->number = (uint32_t) w->sock_count;
  k->options = *options;
  snprintf(k->name, sizeof k->name, "%s", name);
  k->options.data = k;
  k->options.routing_id = k->name;
  k->options.routing_id_len = strlen(k->name);
  k->options.on_message = on_message;
  k->options.on_peer_up = on_peer_up;
  k->options.on_peer_down = on_peer_down;
  k->options.on_drain = on_drain;
  k->options.on_event = on_event;
  k->options.turn_usec = INT32_MAX; /* real time has no say here */
  begin(w);
  int rc = mcq_socket_new(seat->ctx, &k->options, &k->s);
  end(w);
  if (rc != 0) {
    sim_require(rc == MCQ_ENOMEM && w->net.starving);
    free(k);
    return NULL;
  }
  w->socks[w->sock_count++] = k;
  return k;
}

static int note_end(sim_sock_t* k, const char* uri, bool connecting,
                    mcq_endpoint_t id) {
  sim_ending_t* e = &k->ends[k->end_count++];
  memset(e, 0, sizeof *e);
  e->id = id;
  e->connecting = connecting;
  snprintf(e->uri, sizeof e->uri, "%s", uri);
  return 0;
}

int sim_sock_bind(sim_sock_t* k, const char* uri) {
  mcq_endpoint_t id = 0;
  if (k->end_count == SIM_ENDS) return MCQ_EINVAL;
  begin(k->world);
  int rc = mcq_bind(k->s, uri, &id);
  end(k->world);
  sim_log(net_of(k), "socket %u binds %s: %d", k->number, uri, rc);
  if (k->closing) sim_require(rc == MCQ_ECLOSED);
  return rc == 0 ? note_end(k, uri, false, id) : rc;
}

int sim_sock_connect(sim_sock_t* k, const char* uri,
                     const mcq_connect_options_t* options) {
  mcq_endpoint_t id = 0;
  if (k->end_count == SIM_ENDS) return MCQ_EINVAL;
  begin(k->world);
  int rc = mcq_connect(k->s, uri, options, &id);
  end(k->world);
  sim_log(net_of(k), "socket %u connects %s: %d", k->number, uri, rc);
  if (k->closing) sim_require(rc == MCQ_ECLOSED);
  return rc == 0 ? note_end(k, uri, true, id) : rc;
}

void sim_sock_end(sim_sock_t* k, size_t i) {
  sim_ending_t* e = &k->ends[i];
  bool known = !e->closing && !k->closing;
  begin(k->world);
  int wrong =
      e->connecting ? mcq_unbind(k->s, e->id) : mcq_disconnect(k->s, e->id);
  int rc =
      e->connecting ? mcq_disconnect(k->s, e->id) : mcq_unbind(k->s, e->id);
  end(k->world);
  sim_log(net_of(k), "socket %u ends %s: %d", k->number, e->uri, rc);
  sim_require(wrong == MCQ_ENOENT);
  sim_require(rc == (known ? 0 : MCQ_ENOENT));
  e->closing = true;
  for (size_t n = 0; e->connecting && n < k->peer_count; n++)
    if (k->peers[n].up && k->peers[n].end == e->id) k->peers[n].ending = true;
}

void sim_sock_close(sim_sock_t* k) {
  mcq_stats_t stats;
  sim_world_t* w = k->world;
  if (!k->closing) {
    mcq_stats(k->s, &stats);
    k->lost = stats.messages_lost;
    k->with_cb = true;
    k->closing = true;
    k->moved_at = w->net.now;
  }
  sim_log(&w->net, "socket %u close", k->number);
  begin(w);
  mcq_close(k->s, on_close);
  end(w);
}

void sim_sock_pause(sim_sock_t* k, bool on) {
  begin(k->world);
  int rc = on ? mcq_pause(k->s) : mcq_resume(k->s);
  end(k->world);
  sim_log(net_of(k), "socket %u %s: %d", k->number, on ? "pauses" : "resumes",
          rc);
  sim_require(rc == (k->closing ? MCQ_ECLOSED : 0));
  if (rc == 0) k->paused = on;
}

void sim_peer_pause(sim_sock_t* k, sim_peer_t* p, bool on) {
  begin(k->world);
  int rc =
      on ? mcq_peer_pause(k->s, p->handle) : mcq_peer_resume(k->s, p->handle);
  end(k->world);
  sim_require(rc == (p->up ? 0 : MCQ_EPEERGONE));
  p->paused = on;
}

void sim_peer_close(sim_sock_t* k, sim_peer_t* p) {
  begin(k->world);
  int rc = mcq_peer_close(k->s, p->handle);
  end(k->world);
  sim_log(net_of(k), "socket %u closes peer %llu: %d", k->number,
          (unsigned long long) p->handle.epoch, rc);
  sim_require(rc == (p->up ? 0 : MCQ_EPEERGONE));
  p->ending = true;
}

/* ---- contexts ------------------------------------------------------------ */

static void on_ctx_close(void* data) {
  sim_seat_t* seat = (sim_seat_t*) data;
  sim_world_t* w = seat->world;
  sim_require(!w->net.calling);
  sim_log(&w->net, "context %d closed", (int) (seat - w->seats));
  if (seat->closed) sim_fail("context closed twice");
  seat->closed = true;
  seat->ctx = NULL;
  for (size_t i = 0; i < w->sock_count; i++) {
    sim_sock_t* k = w->socks[i];
    if (k->ctx != seat || k->closed) continue;
    if (k->with_cb) sim_fail("on_close of socket %u never came", k->number);
    sim_require(k->up == 0);
    k->closed = true;
    k->s = NULL;
  }
}

void sim_seat_close(sim_seat_t* seat) {
  sim_world_t* w = seat->world;
  sim_log(&w->net, "context %d close", (int) (seat - w->seats));
  for (size_t i = 0; i < w->sock_count; i++) {
    sim_sock_t* k = w->socks[i];
    if (k->ctx != seat || k->closed || k->closing) continue;
    k->closing = true;
    k->moved_at = w->net.now;
  }
  seat->closing = true;
  begin(w);
  mcq_ctx_close(seat->ctx, on_ctx_close);
  end(w);
}

/* ---- time ---------------------------------------------------------------- */

static bool loop_idle(const sim_world_t* w, const uv_loop_t* loop) {
  for (size_t i = 0; i < w->seat_count; i++) {
    const sim_seat_t* seat = &w->seats[i];
    if (seat->ctx == NULL || seat->loop != loop) continue;
    if (!sim_io_idle(&seat->ctx->host.io)) return false;
  }
  return true;
}

static void turn_loop(sim_world_t* w, uv_loop_t* loop) {
  uv_run(loop, UV_RUN_NOWAIT);
  for (size_t i = 0; i < w->seat_count; i++) {
    const sim_seat_t* seat = &w->seats[i];
    if (seat->ctx == NULL || seat->loop != loop) continue;
    if (seat->ctx->host.io.pump != NULL)
      sim_host_turned((sim_host_t*) seat->ctx->host.io.pump);
  }
}

static bool turn(sim_world_t* w) {
  bool busy = sim_net_run(&w->net);
  size_t first = sim_below(&w->net, w->loop_count);
  for (size_t i = 0; i < w->loop_count; i++) {
    uv_loop_t* loop = &w->loops[(first + i) % w->loop_count];
    if (loop_idle(w, loop)) continue;
    turn_loop(w, loop);
    busy = true;
    if (++w->turns % 32 == 0) sim_world_audit(w);
  }
  return busy;
}

static uint64_t next_time(const sim_world_t* w) {
  uint64_t next = sim_net_next(&w->net);
  for (size_t i = 0; i < w->seat_count; i++) {
    if (w->seats[i].ctx == NULL) continue;
    uint64_t at = sim_io_next(&w->seats[i].ctx->host.io);
    if (at < next) next = at;
  }
  return next;
}

/* Everything that is due now. */
static void settle(sim_world_t* w) {
  unsigned turns = 0;
  while (turn(w))
    if (++turns == TURNS_MAX) sim_fail("the loops spin");
}

void sim_world_run(sim_world_t* w, uint64_t until) {
  for (;;) {
    settle(w);
    uint64_t next = next_time(w);
    if (next > until) break;
    w->net.now = next;
  }
  w->net.now = until;
}

bool sim_world_wait(sim_world_t* w, bool (*done)(sim_world_t* w),
                    uint64_t limit) {
  for (;;) {
    settle(w);
    if (done(w)) return true;
    uint64_t next = next_time(w);
    if (next > limit) return false;
    w->net.now = next;
  }
}

/* ---- audits -------------------------------------------------------------- */

static void count_peer(mcq_socket_t* s, const mcq_peer_info_t* info,
                       void* arg) {
  sim_sock_t* k = (sim_sock_t*) mcq_socket_data(s);
  const sim_peer_t* p = find_peer(k, info->peer);
  sim_require(p != NULL && p->up);
  ++*(size_t*) arg;
}

static void audit_peers(sim_sock_t* k) {
  size_t count = 0;
  mcq_peer_each(k->s, count_peer, &count);
  sim_require(count == k->up);
  for (size_t i = 0; i < k->peer_count; i++) {
    const sim_peer_t* p = &k->peers[i];
    mcq_peer_t found = {0, 0};
    if (!p->up || k->options.type != MCQ_ROUTER) continue; /* ids are unique */
    sim_require(mcq_peer_find(k->s, p->id, p->id_len, &found) == 0);
    sim_require(same(found, p->handle));
  }
}

/* High-water marks and sums, from the inside. */
static uint64_t audit_queues(const sim_sock_t* k) {
  uint64_t flying = 0;
  const mcq__node_t* head = &k->s->actors;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    const mcq__outbox_t* o = &a->outbox;
    uint64_t messages = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < o->runs.count; i++) {
      const mcq__run_t* run = (const mcq__run_t*) mcq__fifo_at(&o->runs, i);
      messages += run->count;
      bytes += run->count * run->size;
    }
    sim_require(messages == o->messages && bytes == o->chain.bytes);
    sim_require(o->handed <= o->messages);
    /* What was in flight comes back when a write ends early. */
    if (o->messages > 1 && (o->messages - 1) / 2 >= o->max_messages)
      sim_fail("socket %u: %llu messages over a mark of %llu", k->number,
               (unsigned long long) o->messages,
               (unsigned long long) o->max_messages);
    flying += o->handed;
  }
  return flying;
}

static void audit_sock(sim_sock_t* k) {
  mcq_stats_t stats;
  const char* fault = router_fault(&k->s->hub.router);
  if (fault != NULL) sim_fail("socket %u: %s", k->number, fault);
  mcq_stats(k->s, &stats);
  sim_require(stats.peers == k->up);
  sim_require(stats.messages_sent == k->accepted);
  sim_require(stats.messages_received == k->received);
  sim_require(stats.sends_refused == k->refused);
  sim_require(stats.sends_unroutable == k->unroutable);
  audit_peers(k);
  uint64_t flying = audit_queues(k);
  uint64_t lost = stats.messages_lost;
  uint64_t known = k->handed + stats.messages_queued + lost;
  if (known > k->accepted || k->accepted - known > k->unsure + flying)
    sim_fail(
        "socket %u: accepted %llu, handed over %llu, queued %llu, lost "
        "%llu, unsure %llu, flying %llu",
        k->number, (unsigned long long) k->accepted,
        (unsigned long long) k->handed,
        (unsigned long long) stats.messages_queued, (unsigned long long) lost,
        (unsigned long long) k->unsure, (unsigned long long) flying);
  bool keeps = k->closing || !mcq__list_empty(&k->s->ends);
  if (keeps) sim_require(uv_loop_alive(k->ctx->loop) != 0);
}

void sim_world_audit(sim_world_t* w) {
  for (size_t i = 0; i < w->sock_count; i++)
    if (sim_sock_usable(w->socks[i])) audit_sock(w->socks[i]);
}

/* ---- the whole ----------------------------------------------------------- */

void sim_world_open(sim_world_t* w, uint64_t seed, size_t seats, size_t loops) {
  mcq_ctx_options_t options = {0};
  w->seed = seed;
  w->net.user = w;
  w->net.on_taken = on_taken;
  w->net.on_read = on_read;
  w->net.on_gone = on_conn_gone;
  test_alloc_init(&w->alloc);
  options.allocator = test_alloc_allocator(&w->alloc);
  w->loop_count = loops;
  w->seat_count = seats;
  for (size_t i = 0; i < loops; i++)
    sim_require(uv_loop_init(&w->loops[i]) == 0);
  for (size_t i = 0; i < seats; i++) {
    sim_seat_t* seat = &w->seats[i];
    mcq__seams_t seams = sim_net_seams(&w->net);
    seat->world = w;
    seat->loop = &w->loops[i % loops];
    options.data = seat;
    sim_require(mcq__ctx_open(seat->loop, &options, &seams, &seat->ctx) == 0);
  }
}

void sim_world_dispose(sim_world_t* w) {
  for (size_t i = 0; i < w->loop_count; i++) {
    sim_require(uv_run(&w->loops[i], UV_RUN_NOWAIT) == 0);
    if (uv_loop_close(&w->loops[i]) != 0) sim_fail("the loop does not close");
  }
  if (w->wraps != 0)
    sim_fail("%u foreign blocks were not given back", w->wraps);
  if (atomic_load(&w->alloc.live) != 0)
    sim_fail("%zu blocks leaked", atomic_load(&w->alloc.live));
  sim_net_dispose(&w->net);
  w->sights->starved += atomic_load(&w->alloc.failed);
  for (size_t i = 0; i < w->record_cap; i++) {
    if (w->records[i] == NULL) continue;
    for (int s = 0; s < 2; s++) sim_tap_dispose(&w->records[i]->dir[s].tap);
    free(w->records[i]);
  }
  free(w->records);
  for (size_t i = 0; i < w->sock_count; i++) {
    free(w->socks[i]->peers);
    free(w->socks[i]->fates);
    free(w->socks[i]);
  }
}
