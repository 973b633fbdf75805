/* SPDX-License-Identifier: MIT */
/* Handles in the scenario test (see simworld.h): one that has gone stale
 * reaches nobody, least of all who sits in the same place now; what was put on
 * a connection stays there and is not seen by the next one.  It asks, and
 * changes nothing but that. */
#include "support/simparts.h"

/* The last ones are looked at: who has their places comes soon or never. */
#define STALE_MAX ((size_t) 12)

static bool by_handle(const sim_sock_t* k) {
  return k->s->pattern->by_handle;
}

static void check_gone(sim_sock_t* k, const sim_peer_t* p) {
  mcq_peer_info_t info;
  mcq_peer_stats_t stats;
  mcq_frame_t value;
  int gone = MCQ_EPEERGONE;
  sim_require(mcq_peer_info(k->s, p->handle, &info) == gone);
  sim_require(mcq_peer_property(k->s, p->handle, "Socket-Type", &value) ==
              gone);
  sim_require(mcq_peer_set_data(k->s, p->handle, k) == gone);
  sim_require(mcq_peer_stats_get(k->s, p->handle, &stats, sizeof stats) != 0);
  if (sim_leaving(k)) gone = MCQ_ECLOSED;
  if (by_handle(k)) sim_require(mcq_peer_writable(k->s, p->handle) == gone);
}

/* The number of its epoch, as a pointer that nobody follows. */
static void* mark_of(const sim_peer_t* p) {
  return (void*) (uintptr_t) p->handle.epoch;
}

static void check_here(sim_sock_t* k, const sim_peer_t* p) {
  mcq_peer_info_t info;
  sim_require(mcq_peer_info(k->s, p->handle, &info) == 0);
  sim_require(sim_same(info.peer, p->handle));
  sim_require(info.data == mark_of(p));
  sim_require(info.routing_id_len == p->id_len);
  if (p->id_len != 0)
    sim_require(memcmp(info.routing_id, p->id, p->id_len) == 0);
}

/* A name leads to somebody who is up, or to nobody. */
static void check_name(sim_sock_t* k, const sim_peer_t* p) {
  mcq_peer_t found = {0, 0};
  if (k->options.type != MCQ_ROUTER && !sim_streams(k)) return;
  if (mcq_peer_find(k->s, p->id, p->id_len, &found) != 0) return;
  const sim_peer_t* now = sim_find_peer(k, found);
  if (now == NULL || !now->up)
    sim_fail("socket %u: a name leads to a peer that is gone", k->number);
}

void sim_stale_up(sim_sock_t* k, const sim_peer_t* p) {
  mcq_peer_info_t info;
  sim_require(mcq_peer_info(k->s, p->handle, &info) == 0);
  if (info.data != NULL)
    sim_fail("socket %u: a new peer has the data of an old one", k->number);
  sim_require(mcq_peer_set_data(k->s, p->handle, mark_of(p)) == 0);
}

void sim_stale_down(const sim_sock_t* k, const sim_peer_t* p,
                    const mcq_peer_info_t* info) {
  if (info->data != mark_of(p))
    sim_fail("socket %u: a peer lost what was put on it", k->number);
}

void sim_stale_audit(sim_sock_t* k) {
  size_t left = STALE_MAX;
  for (size_t i = k->peer_count; i > 0; i--) {
    const sim_peer_t* p = &k->peers[i - 1];
    if (p->up) {
      check_here(k, p);
    } else if (left > 0) {
      left--;
      check_gone(k, p);
      check_name(k, p);
    }
  }
  /* Nobody ever had these. */
  sim_peer_t never = {.handle = {.epoch = k->ctx->last_epoch + 1000}};
  check_gone(k, &never);
  if (k->peer_count != 0) {
    never.handle.slot = k->peers[k->peer_count - 1].handle.slot;
    check_gone(k, &never);
  }
}
