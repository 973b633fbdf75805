/* SPDX-License-Identifier: MIT */
/* What an audience hears (see audience.h), the steps of its network, and all
 * that must be so after each.  Never changes the model but for what was
 * heard. */
#include "support/audience.h"

/* A script that needs more goes round in circles. */
#define STEPS 200000

/* ---- what the visitors hear ---------------------------------------------- */

/* The frame at `parsed`; false: it is not there as a whole. */
static bool next_frame(const visitor_t* v, unsigned* flags, size_t* head,
                       size_t* len) {
  const uint8_t* b = v->heard.data + v->parsed;
  size_t left = v->heard.len - v->parsed;
  if (left < 2) return false;
  *flags = b[0];
  *head = (b[0] & 2) != 0 ? 9 : 2;
  if (left < *head) return false;
  *len = 0;
  for (size_t i = 1; i < *head; i++) *len = *len << 8 | b[i];
  return left - *head >= *len;
}

static void hear_message(const audience_t* a, visitor_t* v, size_t len) {
  const uint8_t* bytes = v->heard.data + v->parsed;
  for (; v->next < v->due_count; v->next++) {
    const rig_bytes_t* m = &a->messages[v->due[v->next]];
    if (m->len == len && memcmp(m->data, bytes, len) == 0) break;
  }
  must(v->next < v->due_count); /* one it was owed, in order */
  v->next++;
  v->taken++;
}

static void hear_command(visitor_t* v, const uint8_t* body, size_t len) {
  static const char ready[] = "\5READY";
  if (v->greetings == 1) {
    must(len > sizeof ready - 1 && memcmp(body, ready, sizeof ready - 1) == 0);
    v->greetings++;
    return;
  }
  must(len >= 5);
  /* While it is paused a publisher shows that it lives. */
  if (memcmp(body, "\4PING", 5) == 0) return;
  must(memcmp(body, "\4PONG", 5) == 0);
  if (v->pongs == v->pings.count) {
    naive_push(&v->early, body + 5, len - 5);
    return;
  }
  must(naive_same(&v->pings.texts[v->pongs++], body + 5, len - 5));
}

static void cut_out(rig_bytes_t* b, size_t at, size_t len) {
  memmove(b->data + at, b->data + at + len, b->len - at - len);
  b->len -= len;
}

/* Where the message ends that begins at `parsed`; 0: it is not there as a
 * whole.  Between its frames commands may come: they are heard at once. */
static size_t end_of_message(visitor_t* v) {
  visitor_t at = *v;
  bool more = true;
  while (more) {
    size_t head, len;
    unsigned flags;
    at.heard.len = v->heard.len;
    if (!next_frame(&at, &flags, &head, &len)) return 0;
    if ((flags & 4) != 0) {
      hear_command(v, v->heard.data + at.parsed + head, len);
      cut_out(&v->heard, at.parsed, head + len);
      continue;
    }
    more = (flags & 1) != 0;
    at.parsed += head + len;
  }
  return at.parsed;
}

static void hear(const audience_t* a, visitor_t* v) {
  size_t head, len;
  unsigned flags;
  if (v->greetings == 0 && v->heard.len >= 64) {
    must(v->heard.data[0] == 0xff && v->heard.data[10] == 3);
    v->parsed = 64;
    v->greetings++;
  }
  while (v->greetings != 0 && next_frame(v, &flags, &head, &len)) {
    size_t end = v->parsed + head + len;
    if ((flags & 4) != 0) {
      hear_command(v, v->heard.data + v->parsed + head, len);
    } else {
      must(v->greetings == 2);
      end = end_of_message(v);
      if (end == 0) return;
      hear_message(a, v, end - v->parsed);
    }
    v->parsed = end;
  }
}

void audience_hang_up(visitor_t* v) {
  sim_stranger_close(v->end);
  v->end = NULL;
}

bool audience_sip(const audience_t* a, visitor_t* v, size_t most) {
  if (v->end == NULL) return false;
  sim_pipe_t* p = sim_in(v->end);
  size_t n = p->arrived < most ? p->arrived : most;
  if (n != 0) {
    rig_add(&v->heard, sim_pipe_bytes(p), n);
    sim_pipe_eat(p, n);
    hear(a, v);
    return true;
  }
  if (p->arrived != 0 || (!p->end_there && p->error == 0)) return false;
  v->heard_out = p->error == 0; /* the other side has hung up */
  audience_hang_up(v);
  return true;
}

/* ---- steps --------------------------------------------------------------- */

void audience_step(audience_t* a) {
  sim_net_step(&a->net, &a->loop, &a->io, 1);
  must(++a->steps < STEPS);
}

/* Something happens now or in a moment. */
static bool busy(const audience_t* a) {
  uint64_t soon = a->net.now + 5;
  if (sim_net_next(&a->net) <= soon) return true;
  return a->io != NULL && (!sim_io_idle(a->io) || sim_io_next(a->io) <= soon);
}

void audience_run(audience_t* a) {
  bool more = true;
  while (more) {
    while (busy(a)) audience_step(a);
    more = false;
    for (size_t i = 0; i < a->count; i++)
      if (a->visitors[i].reads)
        more |= audience_sip(a, &a->visitors[i], SIZE_MAX);
  }
}

/* What it heard last is what it is owed last, or the very same words. */
static bool has_newest(const audience_t* a, const visitor_t* v) {
  if (v->due_count == 0) return true;
  return v->next > 0 && rig_same(&a->messages[v->due[v->next - 1]],
                                 &a->messages[v->due[v->due_count - 1]]);
}

/* In a pause the user may be told of more than is foretold. */
static void check_commands(const visitor_t* v, bool heard) {
  const naive_diary_t* told = &v->commands;
  const naive_diary_t* foretold = &v->commands_foretold;
  must(naive_begins(told, foretold) ||
       (naive_begins(foretold, told) && (!heard || v->doubt)));
  must(!heard || v->doubt || told->count == foretold->count);
}

static void check_visitor(const audience_t* a, const visitor_t* v) {
  bool heard = !a->paused && !v->paused;
  must(v->astray || naive_begins(&v->told, &v->foretold));
  must(v->doubt || v->told.count == v->foretold.count);
  check_commands(v, heard);
  if (a->slow == MCQ_SLOW_DISCONNECT && v->dropped > 0)
    must(v->down);
  else if (v->end != NULL && !v->over && !v->ending && heard)
    must(audience_seated(v));
  if ((v->over || v->end == NULL) && heard) must(!audience_seated(v));
  must(v->taken + v->dropped + v->lost <= v->due_count);
  /* Who is to be disconnected is owed nothing of what is said meanwhile. */
  if (v->down && v->heard_out && (a->flags & MCQ_CONFLATE) == 0 &&
      a->slow != MCQ_SLOW_DISCONNECT)
    must(v->taken + v->dropped + v->lost + v->unsure >= v->due_count);
  if (!audience_seated(v) || !audience_keeps_up(v)) return;
  if ((a->flags & MCQ_CONFLATE) == 0)
    must(v->taken + v->dropped == v->due_count);
  else
    must(has_newest(a, v));
  if (v->pings.count < 500) must(v->pongs == v->pings.count);
  if (heard) must(v->early_used == v->early.count);
  must(v->parsed == v->heard.len);
}

static void check_topics(const audience_t* a) {
  bool verboser = (a->flags & MCQ_XPUB_VERBOSER) != 0;
  bool verbose = verboser || (a->flags & MCQ_XPUB_VERBOSE) != 0;
  for (size_t i = 0; i < a->topics.count && !a->paused; i++) {
    const fact_t* t = &a->facts[i];
    if (t->loose || a->type == MCQ_PUB) continue;
    if (audience_manual(a) || verbose) must(t->plus == t->plus_expected);
    if (audience_manual(a) || verboser) must(t->minus == t->minus_expected);
    if (!audience_manual(a) && !verboser)
      must(t->known == (audience_holders(a, &a->topics.texts[i]) > 0));
  }
}

static size_t topics_in_force(const audience_t* a) {
  size_t n = 0;
  for (size_t i = 0; i < a->topics.count; i++)
    n += audience_holders(a, &a->topics.texts[i]) > 0;
  return n;
}

static void check(const audience_t* a) {
  mcq_stats_t stats = audience_stats(a);
  size_t peers = 0;
  bool drained = true;
  bool heard = !a->paused;
  uint64_t missed = 0;
  for (size_t i = 0; i < a->count; i++) {
    const visitor_t* v = &a->visitors[i];
    check_visitor(a, v);
    peers += audience_seated(v);
    heard = heard && !v->paused;
    missed += v->due_count - v->taken;
    drained = drained && (!audience_seated(v) || audience_keeps_up(v));
  }
  check_topics(a);
  must(stats.peers == peers);
  must(stats.subscriptions == topics_in_force(a));
  must(stats.messages_received == a->delivered);
  must((a->flags & MCQ_CONFLATE) != 0 || stats.messages_dropped == a->drops);
  if (a->slow == MCQ_SLOW_REFUSE) must(a->drops == 0);
  if (drained) must(stats.messages_queued == 0 && !a->wants_drain);
  if (drained && peers == a->count) must(stats.messages_dropped == missed);
  if (a->doubt) return;
  must(stats.messages_discarded == a->discarded);
  must(stats.commands_unknown >= a->unknown);
  must(!heard || stats.commands_unknown == a->unknown);
}

void audience_settle(audience_t* a) {
  for (size_t i = 0; i < a->count; i++) {
    visitor_t* v = &a->visitors[i];
    if (!a->paused && !v->paused && !v->ending && !v->down && !v->doubt)
      audience_understand(a, v);
  }
  audience_run(a);
  a->unsettled = false;
  a->slowed = 0;
  check(a);
}
