/* SPDX-License-Identifier: MIT */
/* What the people of a scenario do (see simplan.h), inside callbacks and
 * outside. */
#include "support/simplan.h"

#include "base/list.h"

static sim_plan_t* plan_of(sim_world_t* w) {
  return mcq__container_of(w, sim_plan_t, world);
}

/* ---- what they do -------------------------------------------------------- */

sim_sock_t* sim_plan_pick(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  sim_sock_t* k = w->socks[sim_plan_below(p, w->sock_count)];
  return sim_sock_usable(k) ? k : NULL;
}

static bool by_name(const sim_sock_t* k) {
  if (sim_streams(k)) return true;
  return k->options.type == MCQ_ROUTER &&
         !(k->options.flags & MCQ_ROUTER_BALANCE);
}

/* A handle says to whom. */
static bool by_handle(const sim_sock_t* k) {
  switch (k->options.type) {
    case MCQ_ROUTER:
    case MCQ_DEALER:
    case MCQ_PAIR:
    case MCQ_PUSH:
    case MCQ_PUB:
    case MCQ_XPUB:
    case MCQ_STREAM:
      return true;
    default:
      return false;
  }
}

/* Who answers says nothing of his own accord, nor does who is half of a proxy.
 */
static bool speaks(const sim_sock_t* k) {
  if (k->bridge != NULL) return false;
  return k->options.type != MCQ_PULL && k->options.type != MCQ_SUB &&
         k->options.type != MCQ_REP && !k->serves;
}

int sim_plan_send(sim_plan_t* p, sim_sock_t* k) {
  sim_peer_t* to = sim_sock_peer(k, true);
  if (!speaks(k)) return -1;
  if (k->mail.used) return sim_mail_post(k);
  if (!by_name(k) && (!by_handle(k) || sim_plan_odds(p, 850)))
    return sim_sock_send(k);
  if (to == NULL) return -1;
  if (by_name(k) && sim_plan_odds(p, 500))
    return sim_sock_send_name(k, to->id, to->id_len);
  return sim_sock_send_to(k, to);
}

static void subscribe_some(sim_plan_t* p, sim_sock_t* k) {
  bool wanted = sim_plan_odds(p, 600);
  sim_sock_subscribe(k, sim_plan_below(p, SIM_WORDS), wanted);
}

/* For others: what a XPUB does by hand, and what any PUB may. */
static void subscribe_them(sim_plan_t* p, sim_sock_t* k) {
  sim_peer_t* peer = sim_sock_peer(k, sim_plan_odds(p, 900));
  bool manual = (k->options.flags & MCQ_XPUB_MANUAL) != 0;
  if (peer == NULL || (k->options.type == MCQ_XPUB && !manual)) return;
  if (!manual && !sim_plan_odds(p, 100)) return;
  sim_peer_subscribe(k, peer, sim_plan_below(p, SIM_WORDS),
                     sim_plan_odds(p, 700));
}

static void answer_some(sim_plan_t* p, sim_sock_t* k) {
  size_t held = k->held_count;
  if (k->options.type == MCQ_REP && sim_plan_odds(p, 700)) {
    if (sim_plan_odds(p, 700))
      sim_sock_answer(k);
    else
      sim_sock_take(k);
  } else if (held > 0 && sim_plan_odds(p, 850)) {
    sim_sock_reply(k, sim_plan_below(p, held));
  } else if (held > 0) {
    sim_sock_drop(k, sim_plan_below(p, held));
  }
}

static void end_stream(sim_plan_t* p, sim_sock_t* k) {
  sim_peer_t* peer = sim_sock_peer(k, sim_plan_odds(p, 900));
  if (peer == NULL) return;
  if (p->calm || sim_plan_odds(p, 500))
    sim_stream_nothing(k, peer);
  else
    sim_stream_end(k, peer, sim_plan_odds(p, 500));
}

/* What only some types do. */
static bool act_special(sim_plan_t* p, sim_sock_t* k) {
  if (k->bridge != NULL) {
    sim_bridge_pause(k->bridge, sim_plan_odds(p, 300));
    return false;
  }
  if (sim_streams(k) && sim_plan_odds(p, 100)) {
    end_stream(p, k);
    return true;
  }
  if (sim_subscribes(k) && sim_plan_odds(p, 400)) {
    subscribe_some(p, k);
    return true;
  }
  if (sim_publishes(k) && sim_plan_odds(p, 200)) {
    subscribe_them(p, k);
    return true;
  }
  if (k->options.type != MCQ_REP && !k->serves) return false;
  answer_some(p, k);
  return true;
}

static void send_some(sim_plan_t* p, sim_sock_t* k) {
  size_t count =
      1 + sim_plan_below(p, sim_plan_odds(p, p->chatty ? 500 : 50) ? 60 : 6);
  while (count-- > 0)
    if (sim_plan_send(p, k) != 0) return;
}

static void use_stale(sim_plan_t* p, sim_sock_t* k) {
  sim_peer_t* old = sim_sock_peer(k, false);
  if (old == NULL) return;
  switch (sim_plan_below(p, 3)) {
    case 0:
      if (by_handle(k) && speaks(k)) sim_sock_send_to(k, old);
      break;
    case 1:
      sim_peer_pause(k, old, true);
      break;
    case 2:
      sim_peer_close(k, old);
      break;
  }
}

static void check_refused(const sim_plan_t* p, int rc, int code) {
  sim_require(rc == code || (rc == MCQ_ENOMEM && p->world.net.starving));
}

/* What must be refused, and change nothing. */
static void use_wrongly(sim_plan_t* p, sim_sock_t* k) {
  mcq_frame_t one = {"peer-1", 6};
  char uri[32];
  sim_plan_uri(k, uri);
  if (k->closing) return;
  switch (sim_plan_below(p, 4)) {
    case 0:
      sim_require(mcq_send(k->s, &one, 0) == MCQ_EINVAL);
      if (k->options.type == MCQ_PULL || k->options.type == MCQ_SUB)
        sim_require(mcq_send(k->s, &one, 1) == MCQ_ENOTSUP);
      break;
    case 1:
      if (!by_name(k) || !speaks(k)) return;
      sim_require(mcq_send(k->s, &one, 1) == MCQ_EINVAL);
      sim_sock_send_name(k, "nobody", 6);
      break;
    case 2:
      for (size_t i = 0; i < k->end_count; i++)
        if (!k->ends[i].connecting && !k->ends[i].closing)
          check_refused(p, mcq_bind(k->s, k->ends[i].uri, NULL), UV_EADDRINUSE);
      break;
    case 3:
      for (size_t i = 0; i < k->end_count; i++)
        if (k->ends[i].connecting && !k->ends[i].closing)
          check_refused(p, mcq_connect(k->s, k->ends[i].uri, NULL, NULL),
                        MCQ_EEXIST);
      break;
  }
}

/* Whether side `s` may never learn that the connection is cut: it finds out by
 * itself, or because the other one comes back. */
static bool finds_out(const sim_record_t* record, int s) {
  const sim_sock_t* k = record->dir[s].sock;
  if (k == NULL || sim_streams(k)) return false;
  return k->options.heartbeat_ms > 0 || (s == 1 && k->options.type == MCQ_PAIR);
}

static void cut_some(sim_plan_t* p) {
  static const int codes[] = {UV_ECONNRESET, UV_ETIMEDOUT, UV_EOF};
  size_t count = 0;
  for (sim_conn_t* c = p->world.net.conns; c != NULL; c = c->next) count++;
  if (count == 0) return;
  sim_conn_t* c = p->world.net.conns;
  for (size_t i = sim_plan_below(p, count); i > 0; i--) c = c->next;
  uint64_t after[2];
  int code[2];
  for (int s = 0; s < 2; s++) {
    after[s] = (uint64_t) sim_one_of(p, 0, 1, 20, 500, 8000);
    code[s] = codes[sim_plan_below(p, 3)];
    bool known = c->id < p->world.record_cap && p->world.records[c->id] != NULL;
    if (known && finds_out(p->world.records[c->id], s) &&
        sim_strict_odds(p, 500))
      after[s] = UINT64_C(1) << 40;
  }
  sim_world_cut(&p->world, c, after, code);
}

/* Somebody new, perhaps under a name that is in use. */
static void add_late(sim_plan_t* p) {
  sim_world_t* w = &p->world;
  const sim_sock_t* like = w->socks[sim_plan_below(p, w->sock_count)];
  const sim_sock_t* to = w->socks[sim_plan_below(p, w->sock_count)];
  if (like->bridge != NULL) return; /* there is one proxy */
  bool twin = sim_plan_odds(p, 400) && w->bridge.world == NULL;
  if (twin) p->twins = true;
  int type = like->options.type;
  int flags = like->options.flags & MCQ_INVERT_MATCHING;
  sim_sock_t* k = twin ? sim_plan_add(p, type, flags, like->name)
                       : sim_plan_add_numbered(p, type, flags);
  if (sim_plan_odds(p, 300)) sim_plan_bind(k);
  sim_plan_link(p, k, to);
}

static void change_ends(sim_plan_t* p, sim_sock_t* k) {
  if (k->end_count != 0 && sim_plan_odds(p, 500)) {
    sim_sock_end(k, sim_plan_below(p, k->end_count));
  } else if (sim_plan_odds(p, 300)) {
    sim_plan_bind(k);
  } else {
    sim_plan_link(p, k, p->world.socks[sim_plan_below(p, p->world.sock_count)]);
  }
}

static void pause_some(sim_plan_t* p, sim_sock_t* k) {
  sim_peer_t* peer = sim_sock_peer(k, true);
  if (sim_plan_odds(p, 500) || peer == NULL)
    sim_sock_pause(k, sim_plan_odds(p, 500));
  else
    sim_peer_pause(k, peer, sim_plan_odds(p, 500));
}

static void act_gently(sim_plan_t* p, sim_sock_t* k) {
  if (act_special(p, k)) return;
  if (k->mail.used && sim_strict_odds(p, 200)) sim_mail_call(k);
  if (k->mail.used && sim_strict_odds(p, 10)) sim_mail_release(k);
  if (sim_plan_odds(p, 850))
    send_some(p, k);
  else
    pause_some(p, k);
}

/* Some allocation fails, now or soon. */
static void starve(sim_plan_t* p) {
  test_alloc_t* a = &p->world.alloc;
  if (!p->world.net.starving || !sim_plan_odds(p, 200)) return;
  a->fail_at = atomic_load(&a->calls) + 1 + sim_plan_below(p, 10);
}

void sim_plan_act(sim_plan_t* p, sim_sock_t* k) {
  size_t dice = sim_plan_below(p, 1000);
  sim_peer_t* peer = sim_sock_peer(k, true);
  starve(p);
  if (p->calm || dice < 600) {
    act_gently(p, k);
  } else if (dice < 680) {
    use_stale(p, k);
  } else if (dice < 720) {
    use_wrongly(p, k);
  } else if (dice < 780) {
    if (peer != NULL) sim_peer_close(k, peer);
  } else if (dice < 860) {
    change_ends(p, k);
  } else if (dice < 950) {
    cut_some(p);
  } else if (dice < 970) {
    add_late(p);
  } else if (dice < 990) {
    sim_sock_close(k);
  } else if (dice < 993) {
    sim_seat_close(k->ctx);
  }
}

/* Inside a callback. */
void sim_plan_whim(sim_sock_t* k) {
  sim_plan_t* p = plan_of(k->world);
  sim_sock_t* other = sim_plan_pick(p);
  if (other != NULL && sim_plan_odds(p, 200)) k = other;
  sim_plan_act(p, k);
}
