/* SPDX-License-Identifier: MIT */
/* The scenario test's sockets (see simworld.h): their lives, their endpoints
 * and their peers, held against what the headers promise.  It leaves messages
 * to simbooks.c and never makes a choice of its own. */
#include <stdio.h>
#include <stdlib.h>

#include "support/simparts.h"

/* What a close may take beyond linger, ms: two farewells, and the way. */
#define CLOSE_SLACK 3000

/* ---- peers --------------------------------------------------------------- */

sim_peer_t* sim_find_peer(sim_sock_t* k, mcq_peer_t handle) {
  for (size_t i = k->peer_count; i > 0; i--)
    if (sim_same(k->peers[i - 1].handle, handle)) return &k->peers[i - 1];
  return NULL;
}

sim_peer_t* sim_find_name(sim_sock_t* k, const void* id, size_t len) {
  for (size_t i = 0; i < k->peer_count; i++) {
    sim_peer_t* p = &k->peers[i];
    if (p->up && p->id_len == len && memcmp(p->id, id, len) == 0) return p;
  }
  return NULL;
}

sim_peer_t* sim_sock_peer(sim_sock_t* k, bool up) {
  size_t n = up ? k->up : k->peer_count - k->up;
  if (n == 0) return NULL;
  n = sim_below(sim_net_at(k), n);
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
  if (p->id_len != 0) memcpy(p->id, info->routing_id, p->id_len);
  p->up = true;
  k->up++;
  return p;
}

sim_ending_t* sim_find_end(sim_sock_t* k, mcq_endpoint_t id) {
  for (size_t i = 0; i < k->end_count; i++)
    if (k->ends[i].id == id) return &k->ends[i];
  return NULL;
}

/* A ROUTER's peers have names, each its own; others are called what they say,
 * which may be nothing. */
static void check_name(sim_sock_t* k, const mcq_peer_info_t* info) {
  if (k->options.type != MCQ_ROUTER && !sim_streams(k)) return;
  sim_require(info->routing_id_len > 0);
  sim_require(sim_find_name(k, info->routing_id, info->routing_id_len) == NULL);
}

static void on_peer_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  sim_sock_t* k = sim_entered(s);
  unsigned id;
  int side;
  sim_log(sim_net_at(k), "socket %u up %llu %s", k->number,
          (unsigned long long) info->peer.epoch, info->address);
  sim_require(sim_same(k->expect_up, info->peer));
  k->expect_up = (mcq_peer_t){0, 0};
  sim_require(info->peer.epoch > k->ctx->last_epoch);
  k->ctx->last_epoch = info->peer.epoch;
  check_name(k, info);
  if (k->expect_successor)
    sim_require(info->routing_id_len == k->successor_len &&
                memcmp(info->routing_id, k->successor, k->successor_len) == 0);
  k->expect_successor = false;
  sim_require(sscanf(info->address, "sim://conn/%u/%d", &id, &side) == 2);
  sim_require(info->incoming == (side == 1));
  bool raw = sim_streams(k);
  sim_require(info->version_major == (raw ? 0 : 3));
  sim_require(info->version_minor == (raw ? 0 : 1));
  sim_require(k->options.type != MCQ_PAIR || k->up == 0);
  sim_record_t* record = k->world->records[id];
  sim_require(record->conn != NULL && record->dir[side].sock == k);
  sim_peer_t* p = add_peer(k, info);
  p->record = record;
  p->side = side;
  p->end = k->expect_end;
  sim_require((p->end == 0) == info->incoming);
  p->brief = p->end != 0 && sim_find_end(k, p->end)->closing;
  p->ending = p->brief;
  p->up_at = k->world->net.now;
  sim_stale_up(k, p);
  sim_maybe(k);
}

/* Whether a connection may have ended for this reason. */
static void check_reason(sim_sock_t* k, const sim_peer_t* p,
                         const mcq_peer_info_t* info) {
  const sim_end_t* e = &p->record->conn->end[p->side];
  const sim_dir_t* in = &p->record->dir[!p->side];
  int code = info->reason;
  bool at_the_end =
      code == UV_EOF || code == MCQ_EPARTIAL || code == MCQ_ELOCAL;
  /* Without memory a failed write says no more than its code. */
  bool orderly =
      info->text[0] == '\0' && (at_the_end || !k->world->net.starving);
  if (code == MCQ_EHANDOVER) return;
  if (code == MCQ_ELOCAL) {
    sim_require(p->ending || sim_leaving(k));
    /* Where nothing cuts it short, who drains hears everybody out. */
    if (!k->waits || k->closing || k->world->lossy) return;
    sim_require(e->told == UV_EOF);
  }
  if (sim_starved(k, code)) return;
  if (code == MCQ_ESLOW) {
    sim_require(k->options.slow_peer == MCQ_SLOW_DISCONNECT && k->missed != 0);
    return;
  }
  if (code == MCQ_ELIMIT) {
    sim_require(k->options.max_subscriptions > 0);
    return;
  }
  if (code == MCQ_EENVELOPE) {
    sim_require(in->sock != NULL && in->sock->rude);
    return;
  }
  if (code == MCQ_EIDLE) {
    sim_limits_idle(k, p, info->text);
    return;
  }
  if (code == MCQ_EHEARTBEAT) {
    /* Who runs out of memory while he is paused has not heard of it yet. */
    sim_require(p->record->conn->cut || k->world->net.starving);
    k->world->sights->ghosts++;
    return;
  }
  /* Ready here first, and then found not to be wanted there. */
  if (code == MCQ_ENOTNOW) {
    sim_require(in->refusal == MCQ_ETWIN || in->refusal == MCQ_EPAIRED);
    return;
  }
  if (code == MCQ_EREFUSED) {
    sim_require(in->refusal == MCQ_ECLOSED || in->refusal == MCQ_ETYPE ||
                (in->refusal == MCQ_ENOMEM && k->world->net.starving));
    return;
  }
  if (code == MCQ_EPARTIAL || code == UV_EOF || code == MCQ_ELOCAL)
    sim_require(e->told == UV_EOF);
  else if (e->told != code && e->told_last != code)
    sim_fail("socket %u: down with %d where the network said %d", k->number,
             code, e->told);
  /* All that came out of the network was delivered first. */
  if (!orderly || k->closing || k->bridge != NULL) return;
  if (sim_streams(k)) {
    if (!sim_stream_all_read(p))
      sim_fail("socket %u: bytes of a lost peer were not delivered", k->number);
    return;
  }
  sim_books_skip(k, p, sim_whole_read(p));
  if (in->delivered != sim_whole_read(p))
    sim_fail("socket %u: %zu messages of a lost peer were not delivered",
             k->number, sim_whole_read(p) - in->delivered);
}

static void on_peer_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  sim_sock_t* k = sim_entered(s);
  sim_peer_t* p = sim_find_peer(k, info->peer);
  mcq_peer_info_t again;
  sim_log(sim_net_at(k), "socket %u down %llu %d \"%s\" lost %llu unsure %llu",
          k->number, (unsigned long long) info->peer.epoch, info->reason,
          info->text, (unsigned long long) info->lost_messages,
          (unsigned long long) info->unsure_messages);
  sim_require(p != NULL && p->up);
  sim_require(mcq_peer_info(s, info->peer, &again) == MCQ_EPEERGONE);
  sim_require(info->routing_id_len == p->id_len);
  if (p->id_len != 0)
    sim_require(memcmp(info->routing_id, p->id, p->id_len) == 0);
  sim_stale_down(k, p, info);
  sim_bridge_adopt(k);
  check_reason(k, p, info);
  sim_topics_left(k, p);
  p->up = false;
  k->up--;
  k->unsure += info->unsure_messages;
  if (info->reason == MCQ_EHANDOVER) {
    k->displaced = true;
    k->expect_successor = true;
    k->successor_len = p->id_len;
    memcpy(k->successor, p->id, p->id_len);
  }
  k->expect_down = info->peer;
  sim_maybe(k);
}

/* ---- events -------------------------------------------------------------- */

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

/* A connection on which nothing need have been written. */
static sim_dir_t* new_dir_at(sim_world_t* w, const char* address) {
  unsigned id;
  int side;
  sim_require(sscanf(address, "sim://conn/%u/%d", &id, &side) == 2);
  sim_conn_t* conn = w->net.conns;
  while (conn != NULL && conn->id != id) conn = conn->next;
  sim_require(conn != NULL);
  return &sim_record_of(w, conn)->dir[side];
}

/* From the handshake on this socket may write there. */
static void claim_dir(sim_sock_t* k, const mcq_event_t* e) {
  sim_dir_t* dir = sim_streams(k) ? new_dir_at(k->world, e->address)
                                  : dir_at(k->world, e->address);
  sim_require(dir != NULL && dir->sock == NULL);
  dir->sock = k;
  dir->end = e->endpoint;
  if (sim_streams(k)) sim_stream_claim(dir);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  sim_sock_t* k = sim_entered(s);
  sim_ending_t* ending = sim_find_end(k, e->endpoint);
  sim_log(sim_net_at(k), "socket %u event %d end %llu %s %d %s", k->number,
          (int) e->kind, (unsigned long long) e->endpoint, e->address, e->code,
          e->text == NULL ? "" : e->text);
  if (k->expect_up.epoch != 0) sim_fail("no up after the handshake");
  if (k->expect_down.epoch != 0 && e->kind == MCQ_EVENT_DISCONNECTED) {
    sim_require(sim_same(k->expect_down, e->peer));
    k->expect_down = (mcq_peer_t){0, 0};
  }
  if (k->expect_down.epoch != 0) sim_fail("no event after a down");
  if (e->kind == MCQ_EVENT_HANDSHAKE_OK) {
    k->expect_up = e->peer;
    k->expect_end = e->endpoint;
    claim_dir(k, e);
    sim_topics_welcome(k);
  }
  sim_topics_event(k, e);
  sim_stats_event(k, e);
  sim_limits_event(k, e);
  if (e->kind == MCQ_EVENT_HANDSHAKE_FAILED) {
    sim_dir_t* dir = dir_at(k->world, e->address);
    if (dir != NULL) dir->refusal = e->code;
  }
  if (e->kind == MCQ_EVENT_STOPPED) {
    sim_require(ending != NULL && ending->connecting && !ending->stopped);
    ending->stopped = true;
  }
  if (e->kind == MCQ_EVENT_CLOSED) {
    sim_require(ending != NULL && (ending->closing || sim_leaving(k)));
    if (++ending->closed != 1) sim_fail("an endpoint closed twice");
  }
  /* What a peer missed may be told on its way down, when it is gone. */
  if (e->kind != MCQ_EVENT_DROPPED && e->kind != MCQ_EVENT_CONGESTED &&
      e->kind != MCQ_EVENT_RELIEVED)
    sim_maybe(k);
}

/* ---- life of a socket ---------------------------------------------------- */

static void check_close_time(const sim_sock_t* k) {
  int64_t linger = k->options.linger_ms;
  const sim_net_t* net = sim_net_at(k);
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
  sim_require(!sim_net_at(k)->calling);
  sim_log(sim_net_at(k), "socket %u closed, lost %llu", k->number,
          (unsigned long long) info->lost_messages);
  if (k->closed) sim_fail("closed twice");
  sim_require(k->closing && k->with_cb);
  mcq_stats(k->s, &stats);
  sim_mail_adopt(k);
  sim_mail_audit(k, &stats);
  sim_mail_closed(k);
  sim_require(stats.messages_queued == 0 && stats.peers == 0);
  sim_require(stats.messages_sent == k->accepted);
  sim_stats_closed(k, &stats);
  k->waiting = false;
  if (k->up != 0) sim_fail("closed with a peer that is up");
  for (size_t i = 0; i < k->end_count; i++) sim_require(k->ends[i].closed == 1);
  sim_books_catch_up(k);
  k->world->sights->requeued += stats.messages_requeued;
  sim_books_settle(k, k->lost + info->lost_messages - sim_mail_lost(k, &stats));
  sim_require(k->drained == k->drains);
  if (k->drained) sim_require(info->lost_messages == k->drain_lost);
  check_close_time(k);
  k->closed = true;
  k->s = NULL;
  sim_seat_t* seat = k->ctx;
  /* What a proxy has just taken is still on its way. */
  if (!k->world->lossy && k->world->bridge.world != NULL) return;
  if (seat->ctx != NULL && sim_odds(sim_net_at(k), 20)) sim_seat_close(seat);
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
  k->options.on_message = sim_books_message;
  k->options.on_peer_up = on_peer_up;
  k->options.on_peer_down = on_peer_down;
  k->options.on_drain = sim_books_drained;
  k->options.on_request_failed = sim_asks_failed;
  k->options.on_event = on_event;
  k->options.turn_usec = INT32_MAX; /* real time has no say here */
  if (k->options.type == MCQ_STREAM) k->options.heartbeat_ms = 0;
  k->welcomes = options->welcome_len > 0;
  sim_begin(w);
  int rc = mcq_socket_new(seat->ctx, &k->options, &k->s);
  sim_end(w);
  if (rc != 0) {
    sim_require(sim_starved(k, rc));
    free(k);
    return NULL;
  }
  w->socks[w->sock_count++] = k;
  sim_log(&w->net, "socket %u of type %d, flags %x, slow %d", k->number,
          k->options.type, (unsigned) k->options.flags, k->options.slow_peer);
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
  sim_begin(k->world);
  int rc = mcq_bind(k->s, uri, &id);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u binds %s: %d", k->number, uri, rc);
  if (sim_leaving(k)) sim_require(rc == MCQ_ECLOSED);
  return rc == 0 ? note_end(k, uri, false, id) : rc;
}

int sim_sock_connect(sim_sock_t* k, const char* uri,
                     const mcq_connect_options_t* options) {
  mcq_endpoint_t id = 0;
  if (k->end_count == SIM_ENDS) return MCQ_EINVAL;
  sim_begin(k->world);
  int rc = mcq_connect(k->s, uri, options, &id);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u connects %s: %d", k->number, uri, rc);
  if (sim_leaving(k)) sim_require(rc == MCQ_ECLOSED);
  return rc == 0 ? note_end(k, uri, true, id) : rc;
}

void sim_sock_end(sim_sock_t* k, size_t i) {
  sim_ending_t* e = &k->ends[i];
  bool known = !e->closing && !sim_leaving(k);
  sim_begin(k->world);
  int wrong =
      e->connecting ? mcq_unbind(k->s, e->id) : mcq_disconnect(k->s, e->id);
  int rc =
      e->connecting ? mcq_disconnect(k->s, e->id) : mcq_unbind(k->s, e->id);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u ends %s: %d", k->number, e->uri, rc);
  sim_require(wrong == MCQ_ENOENT);
  sim_require(rc == (known ? 0 : MCQ_ENOENT));
  e->closing = true;
  for (size_t n = 0; e->connecting && n < k->peer_count; n++)
    if (k->peers[n].up && k->peers[n].end == e->id) k->peers[n].ending = true;
}

static void on_drained(mcq_socket_t* s, const mcq_close_info_t* info,
                       void* arg) {
  sim_sock_t* k = sim_entered(s);
  mcq_stats_t stats;
  sim_log(sim_net_at(k), "socket %u has drained, lost %llu", k->number,
          (unsigned long long) info->lost_messages);
  sim_require(arg == k && k->drains && !k->drained && k->up == 0);
  mcq_stats(s, &stats);
  sim_require(stats.messages_queued == 0 && stats.peers == 0);
  sim_require(stats.messages_lost + sim_mail_lost(k, &stats) ==
              k->lost + info->lost_messages);
  k->drained = true;
  k->drain_lost = info->lost_messages;
  k->mail_lost = sim_mail_lost(k, &stats);
  k->world->sights->drained += !k->closing;
}

void sim_sock_drain(sim_sock_t* k, int64_t linger_ms) {
  mcq_stats_t stats;
  sim_world_t* w = k->world;
  mcq_stats(k->s, &stats);
  k->lost = stats.messages_lost;
  k->drains = true;
  k->waits = linger_ms == -1;
  sim_log(&w->net, "socket %u drains", k->number);
  sim_begin(w);
  sim_require(mcq_drain(k->s, linger_ms, on_drained, k) == 0);
  sim_require(mcq_drain(k->s, linger_ms, on_drained, k) == MCQ_ECLOSED);
  sim_end(w);
}

void sim_sock_close(sim_sock_t* k) {
  mcq_stats_t stats;
  sim_world_t* w = k->world;
  bool first = !k->closing;
  if (first) {
    sim_bridge_closing(k->bridge);
    mcq_stats(k->s, &stats);
    if (!k->drains) k->lost = stats.messages_lost;
    k->with_cb = true;
    k->closing = true;
    k->moved_at = w->net.now;
  }
  sim_log(&w->net, "socket %u close", k->number);
  sim_begin(w);
  mcq_close(k->s, on_close);
  sim_end(w);
  if (first) sim_bridge_closed(k->bridge, k);
}

void sim_sock_pause(sim_sock_t* k, bool on) {
  sim_begin(k->world);
  int rc = on ? mcq_pause(k->s) : mcq_resume(k->s);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u %s: %d", k->number,
          on ? "pauses" : "resumes", rc);
  sim_require(rc == (k->closing ? MCQ_ECLOSED : 0));
  if (rc == 0) k->paused = on;
}

void sim_peer_pause(sim_sock_t* k, sim_peer_t* p, bool on) {
  sim_begin(k->world);
  int rc =
      on ? mcq_peer_pause(k->s, p->handle) : mcq_peer_resume(k->s, p->handle);
  sim_end(k->world);
  sim_require(rc == (p->up ? 0 : MCQ_EPEERGONE));
  p->paused = on;
}

void sim_peer_close(sim_sock_t* k, sim_peer_t* p) {
  sim_begin(k->world);
  int rc = mcq_peer_close(k->s, p->handle);
  sim_end(k->world);
  sim_log(sim_net_at(k), "socket %u closes peer %llu: %d", k->number,
          (unsigned long long) p->handle.epoch, rc);
  sim_require(rc == (p->up ? 0 : MCQ_EPEERGONE));
  p->ending = true;
}
