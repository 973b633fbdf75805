/* SPDX-License-Identifier: MIT */
/* An audience's model (see audience.h): what the words of visitors come to,
 * and whether the user is told just that.  Never looks at what travels to
 * them. */
#include "support/audience.h"

/* ---- topics -------------------------------------------------------------- */

static fact_t* fact_of(audience_t* a, const void* data, size_t len) {
  size_t i = naive_find(&a->topics, data, len);
  if (i < a->topics.count) return &a->facts[i];
  naive_push(&a->topics, data, len);
  if (i >= a->facts_cap) {
    a->facts_cap = a->facts_cap * 2 + 16;
    a->facts = (fact_t*) realloc(a->facts, a->facts_cap * sizeof *a->facts);
    must(a->facts != NULL);
  }
  memset(&a->facts[i], 0, sizeof *a->facts);
  return &a->facts[i];
}

size_t audience_holders(const audience_t* a, const naive_text_t* t) {
  size_t n = 0;
  for (size_t i = 0; i < a->count; i++)
    n += naive_has(&a->visitors[i].held, t->data, t->len);
  return n;
}

/* ---- the model: what a visitor's words come to --------------------------- */

static bool too_much(const audience_t* a, const naive_set_t* set, size_t len) {
  return set->count >= a->max_subscriptions || len > 65535;
}

int audience_grant(audience_t* a, visitor_t* v, mcq_frame_t t, bool wanted) {
  bool has = naive_has(&v->held, t.data, t.len);
  if (wanted && has) return MCQ_EEXIST;
  if (!wanted && !has) return MCQ_ENOENT;
  if (wanted && too_much(a, &v->held, t.len)) return MCQ_EMSGLIMIT;
  fact_of(a, t.data, t.len)->loose |= !audience_manual(a);
  if (wanted)
    naive_push(&v->held, t.data, t.len);
  else
    naive_drop(&v->held, t.data, t.len);
  return 0;
}

static void foretell(visitor_t* v, int what, const void* data, size_t len) {
  naive_note(&v->foretold, what, data, len);
}

static void ask(audience_t* a, visitor_t* v, mcq_frame_t t, bool wanted) {
  bool has = naive_has(&v->asked, t.data, t.len);
  fact_t* topic = fact_of(a, t.data, t.len);
  if (wanted && !has && too_much(a, &v->asked, t.len)) {
    v->over = true;
    return;
  }
  if (wanted && !has) naive_push(&v->asked, t.data, t.len);
  if (!wanted && has) naive_drop(&v->asked, t.data, t.len);
  if (wanted)
    topic->plus_expected++;
  else
    topic->minus_expected++;
  foretell(v, wanted ? '+' : '-', t.data, t.len);
  if (a->obedient) foretell(v, audience_grant(a, v, t, wanted), NULL, 0);
}

static void subscribe(audience_t* a, visitor_t* v, mcq_frame_t t, bool wanted) {
  bool has = naive_has(&v->held, t.data, t.len);
  fact_t* topic = fact_of(a, t.data, t.len);
  if (wanted && !has && too_much(a, &v->held, t.len)) {
    v->over = true;
    return;
  }
  if (wanted) topic->plus_expected++;
  if (!wanted && has) topic->minus_expected++;
  if (!wanted && !has) a->discarded++;
  if (wanted == has) return;
  if (wanted)
    naive_push(&v->held, t.data, t.len);
  else
    naive_drop(&v->held, t.data, t.len);
  foretell(v, wanted ? 'S' : 'U', t.data, t.len);
}

static void hear_question(visitor_t* v, mcq_frame_t word) {
  naive_push(&v->pings, word.data, word.len);
  if (v->early_used == v->early.count) return;
  must(naive_same(&v->early.texts[v->early_used++], word.data, word.len));
  v->pongs++;
}

static void understand(audience_t* a, visitor_t* v, naive_kind_t kind) {
  mcq_frame_t word = {v->says.word, v->says.len};
  bool wanted = kind == NAIVE_SUBSCRIBE;
  if (kind == NAIVE_SUBSCRIBE || kind == NAIVE_CANCEL) {
    if (audience_manual(a))
      ask(a, v, word, wanted);
    else
      subscribe(a, v, word, wanted);
  } else if (kind == NAIVE_PING) {
    hear_question(v, word);
  } else if (kind == NAIVE_UNKNOWN) {
    a->unknown++;
    naive_note(&v->commands_foretold, 'C', word.data, word.len);
  } else if (kind == NAIVE_MESSAGE) {
    if (a->type == MCQ_PUB) a->discarded++;
    if (a->type == MCQ_XPUB)
      foretell(v, 'm', &v->says.hash, sizeof v->says.hash);
  } else if (kind == NAIVE_END) {
    v->over = true;
  }
}

void audience_understand(audience_t* a, visitor_t* v) {
  naive_kind_t kind = NAIVE_NOTHING;
  while (kind != NAIVE_WAIT && !v->over) {
    kind = naive_read(&v->says);
    understand(a, v, kind);
  }
}

/* What that would come to is foretold, and not yet in force.  True: it breaks a
 * rule. */
bool audience_doubt(audience_t* a, visitor_t* v) {
  naive_set_t held = v->held;
  naive_set_t asked = v->asked;
  size_t before = v->says.at;
  bool over = v->over;
  v->held = naive_copy(&held);
  v->asked = naive_copy(&asked);
  naive_kind_t kind = NAIVE_NOTHING;
  while (kind != NAIVE_WAIT && !v->over) {
    kind = naive_read(&v->says);
    if (kind == NAIVE_SUBSCRIBE || kind == NAIVE_CANCEL)
      fact_of(a, v->says.word, v->says.len)->loose = true;
    understand(a, v, kind);
  }
  if (v->says.at != before) v->doubt = a->doubt = true;
  naive_clear(&v->held);
  naive_clear(&v->asked);
  v->held = held;
  v->asked = asked;
  bool breaks = v->over;
  v->over = over;
  return breaks;
}

/* What a visitor had goes with it. */
static void forget(audience_t* a, visitor_t* v) {
  const naive_set_t* owed = audience_manual(a) ? &v->asked : &v->held;
  for (size_t i = 0; i < owed->count; i++)
    fact_of(a, owed->texts[i].data, owed->texts[i].len)->minus_expected++;
  naive_clear(&v->held);
  naive_clear(&v->asked);
}

/* ---- what the user is told ----------------------------------------------- */

static audience_t* audience_of(mcq_socket_t* s) {
  audience_t* a = (audience_t*) mcq_socket_data(s);
  must(!a->net.calling);
  return a;
}

static visitor_t* by_handle(audience_t* a, mcq_peer_t peer) {
  for (size_t i = 0; i < a->count; i++)
    if (peer.epoch != 0 && a->visitors[i].handle.epoch == peer.epoch &&
        a->visitors[i].handle.slot == peer.slot)
      return &a->visitors[i];
  must(false);
  return NULL;
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  audience_t* a = audience_of(s);
  unsigned conn = 0;
  must(sscanf(info->address, "sim://conn/%u/1", &conn) == 1);
  for (size_t i = 0; i < a->count; i++) {
    visitor_t* v = &a->visitors[i];
    if (v->conn != conn) continue;
    must(!v->up && info->peer.epoch != 0);
    v->up = true;
    v->handle = info->peer;
    return;
  }
  must(false);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  audience_t* a = audience_of(s);
  visitor_t* v = by_handle(a, info->peer);
  must(audience_seated(v));
  v->down = true;
  v->lost = info->lost_messages;
  v->unsure = info->unsure_messages;
  must(v->unsure <= v->due_count);
  if (info->reason == MCQ_ESLOW) must(v->dropped > 0);
  if (info->reason == MCQ_ELIMIT) must(v->over || v->doubt);
  /* In a pause a broken rule is found before the rest is delivered. */
  if (!v->over && (a->paused || v->paused) && audience_doubt(a, v))
    v->ending = true;
  forget(a, v);
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  audience_t* a = audience_of(s);
  if (e->kind == MCQ_EVENT_DROPPED) {
    must(e->count > 0);
    by_handle(a, e->peer)->dropped += e->count;
    a->drops += e->count;
  } else if (e->kind == MCQ_EVENT_COMMAND) {
    naive_note(&by_handle(a, e->peer)->commands, 'C', e->text, strlen(e->text));
  } else if (e->kind == MCQ_EVENT_SUBSCRIBED ||
             e->kind == MCQ_EVENT_UNSUBSCRIBED) {
    int what = e->kind == MCQ_EVENT_SUBSCRIBED ? 'S' : 'U';
    naive_note(&by_handle(a, e->peer)->told, what, e->topic, e->topic_len);
  }
}

/* Told of a topic: from its first subscriber to its last, or always. */
static void on_notice(audience_t* a, mcq_frame_t t, bool wanted) {
  fact_t* topic = fact_of(a, t.data, t.len);
  bool always = audience_manual(a) || (a->flags & MCQ_XPUB_VERBOSER) != 0;
  bool repeats = always || (wanted && (a->flags & MCQ_XPUB_VERBOSE) != 0);
  must(repeats || topic->loose || topic->known != wanted);
  topic->known = wanted;
  if (wanted)
    topic->plus++;
  else
    topic->minus++;
}

int audience_obey(audience_t* a, mcq_peer_t peer, mcq_frame_t t, bool wanted) {
  if (wanted)
    return audience_call(a, mcq_peer_subscribe(a->s, peer, t.data, t.len));
  return audience_call(a, mcq_peer_unsubscribe(a->s, peer, t.data, t.len));
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  audience_t* a = audience_of(s);
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  const uint8_t* bytes = (const uint8_t*) f.data;
  must(a->type == MCQ_XPUB && !a->paused && !a->closed);
  a->delivered++;
  bool notice = mcq_msg_count(msg) == 1 && f.len > 0 && bytes[0] <= 1;
  mcq_frame_t topic = {notice ? bytes + 1 : NULL, notice ? f.len - 1 : 0};
  if (notice) on_notice(a, topic, bytes[0] == 1);
  if (peer.epoch == 0) {
    must(notice && bytes[0] == 0); /* of one that has left */
    return;
  }
  visitor_t* v = by_handle(a, peer);
  must(audience_seated(v) && !v->paused);
  if (!notice) {
    uint64_t hash = 0;
    for (size_t i = 0; i < mcq_msg_count(msg); i++)
      naive_hash(&hash, mcq_msg_frame(msg, i).data, mcq_msg_frame(msg, i).len);
    naive_note(&v->told, 'm', &hash, sizeof hash);
  } else if (audience_manual(a)) {
    naive_note(&v->told, bytes[0] == 1 ? '+' : '-', topic.data, topic.len);
    if (a->obedient)
      naive_note(&v->told, audience_obey(a, peer, topic, bytes[0] == 1), NULL,
                 0);
  }
}

static void on_drain(mcq_socket_t* s) {
  audience_t* a = audience_of(s);
  must(a->wants_drain);
  a->wants_drain = false;
}

void audience_listen(mcq_socket_options_t* o) {
  o->on_message = on_message;
  o->on_peer_up = on_up;
  o->on_peer_down = on_down;
  o->on_drain = on_drain;
  o->on_event = on_event;
}

void audience_free(audience_t* a) {
  for (size_t i = 0; i < a->count; i++) {
    visitor_t* v = &a->visitors[i];
    rig_free(&v->says.said);
    rig_free(&v->heard);
    naive_clear(&v->held);
    naive_clear(&v->asked);
    naive_clear(&v->pings);
    naive_clear(&v->early);
    free(v->told.notes);
    free(v->foretold.notes);
    free(v->commands.notes);
    free(v->commands_foretold.notes);
    free(v->due);
  }
  for (size_t i = 0; i < a->message_count; i++) rig_free(&a->messages[i]);
  naive_clear(&a->topics);
  free(a->facts);
}
