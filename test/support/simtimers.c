/* SPDX-License-Identifier: MIT */
/* Timers in the scenario test (see simworld.h): each that is set belongs to
 * something that lives and waits for it, each place that is kept for one to
 * something that exists, and none is left behind by what has gone.  It looks
 * inside, and changes nothing there. */
#include "support/simparts.h"

typedef struct count {
  size_t known; /* places kept, */
  size_t set;   /* of these: in use */
} count_t;

/* Whose it is, and whether that may wait for anything. */
static void note(count_t* c, const mcq__timer_t* timer, bool waits,
                 const char* whose) {
  c->known++;
  if (timer->place == 0) return;
  c->set++;
  if (!waits) sim_fail("a timer of %s is set", whose);
}

static void note_actor(count_t* c, const mcq__actor_t* a) {
  bool lives = a->state == MCQ__ACTOR_OPENING || a->state == MCQ__ACTOR_UP ||
               mcq__actor_leaving(a);
  sim_require(a->has_timer);
  note(c, &a->timer, lives, "a connection that is over");
}

static void note_dialer(count_t* c, const mcq__end_t* end) {
  const mcq__dialer_t* d = &end->dialer;
  bool waits =
      d->state == MCQ__DIALER_WAITING || d->state == MCQ__DIALER_DIALING;
  if (end->io_closed) {
    sim_require(d->timer.place == 0);
    return;
  }
  note(c, &d->timer, waits && !d->closing, "somebody who dials no more");
}

static void note_end(count_t* c, const mcq__end_t* end) {
  const mcq__parting_t* p = end->parting;
  if (p != NULL && p->has_timer)
    note(c, &p->linger, end->closing, "an endpoint that is not closing");
  if (end->connecting) note_dialer(c, end);
}

/* Its questions' own is the type's secret: what is left must be that one. */
static size_t questions(const mcq_socket_t* s, bool* sure) {
  const sim_sock_t* k = (const sim_sock_t*) mcq_socket_data(s);
  if (k->options.type != MCQ_REQ || k->options.request_ms <= 0) return 0;
  if (s->leaving) *sure = false;
  return k->waiting ? 1 : 0;
}

static void note_socket(count_t* c, const mcq_socket_t* s) {
  const mcq__node_t* n;
  for (n = s->actors.next; n != &s->actors; n = n->next)
    note_actor(c, mcq__container_of(n, const mcq__actor_t, node));
  for (n = s->ends.next; n != &s->ends; n = n->next)
    note_end(c, mcq__container_of(n, const mcq__end_t, node));
  sim_require(s->gate.has_timer);
  note(c, &s->gate.timer, s->gate.turned_away != 0, "a gate nobody came to");
  if (s->pattern->type == MCQ_REQ) c->known++;
}

void sim_timers_audit(const sim_seat_t* seat) {
  const mcq__host_t* host = &seat->ctx->host;
  const mcq__timers_t* t = &host->io.turn.timers;
  count_t c = {0};
  size_t asked = 0;
  bool sure = true;
  note(&c, &host->io.turn.quiet, true, "the quiet");
  const mcq__node_t* head = &host->sockets;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    const mcq_socket_t* s = mcq__container_of(n, const mcq_socket_t, node);
    note_socket(&c, s);
    asked += questions(s, &sure);
  }
  if (t->known != c.known)
    sim_fail("places for %zu timers where there are %zu", t->known, c.known);
  size_t set = t->count + t->late;
  size_t least = sure ? c.set + asked : c.set;
  if (set > c.set + asked || set < least)
    sim_fail("%zu timers are set, %zu of them known, %zu questions", set, c.set,
             asked);
}
