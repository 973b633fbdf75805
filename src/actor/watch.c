/* SPDX-License-Identifier: MIT */
/* What has to come in time from a peer that is up: signs of life, messages.
 * Joins the rules of pulse.h with the wire and the session; called by the
 * other files of the actor and by its socket. */
#include "actor/parts.h"

/* How long somebody under suspicion has to answer where nothing else was
 * asked for, ms. */
#define SUSPECT ((uint32_t) 10000)

static uint64_t now_of(const mcq__actor_t* a) {
  return mcq__io_now(mcq__actor_io(a));
}

static size_t unsent(const mcq__actor_t* a) {
  const mcq__backend_t* backend = a->wire->backend;
  return backend->unsent == NULL ? 0 : backend->unsent(a->wire);
}

/* From here on it is of interest.  NULL: out of memory, and the connection
 * ends. */
static mcq__pulse_t* begin(mcq__actor_t* a) {
  if (a->pulse == NULL) {
    a->pulse = mcq__new(mcq__actor_io(a)->mem, mcq__pulse_t);
    if (a->pulse == NULL)
      mcq__actor_fail(a, MCQ_ENOMEM, "out of memory");
    else
      mcq__pulse_begin(a->pulse, &a->config->pulse, now_of(a), a->asks);
  }
  return a->pulse;
}

/* Who is in the same loop is as alive as we are. */
void mcq__actor_watch(mcq__actor_t* a) {
  a->asks = a->wire->backend->pass == NULL;
  if (mcq__pulse_wanted(&a->config->pulse, a->asks)) begin(a);
}

void mcq__actor_watch_end(mcq__actor_t* a) {
  a->asks = false;
  if (a->pulse != NULL) mcq__pulse_end(a->pulse);
}

/* ---- what happens -------------------------------------------------------- */

void mcq__actor_watch_reading(mcq__actor_t* a) {
  if (a->reading)
    mcq__pulse_sight(a->pulse, now_of(a));
  else
    mcq__pulse_blind(a->pulse, now_of(a));
  mcq__actor_arm(a);
}

void mcq__actor_watch_wrote(mcq__actor_t* a, size_t n, uint64_t messages) {
  mcq__pulse_t* p = a->pulse;
  uint64_t now = now_of(a);
  if (n == 0) return;
  mcq__pulse_said(p, now, n);
  if (a->outbox->messages < messages) mcq__pulse_spoke(p, now, false);
  if (!p->unsent || mcq__actor_protocol(a)->out(a->session)->bytes != 0) return;
  mcq__pulse_left(p, now, mcq__io_now_ns(mcq__actor_io(a)), unsent(a));
  mcq__actor_arm(a);
}

void mcq__actor_watch_ping(mcq__actor_t* a, uint64_t ttl) {
  if (a->state != MCQ__ACTOR_UP || begin(a) == NULL) return;
  mcq__pulse_pinged(a->pulse, now_of(a), ttl);
  if (!a->reading) mcq__pulse_blind(a->pulse, now_of(a));
  mcq__actor_arm(a);
}

bool mcq__actor_watch_pong(mcq__actor_t* a, mcq__slice_t context) {
  uint64_t now_ns = mcq__io_now_ns(mcq__actor_io(a));
  return mcq__actor_watched(a) &&
         mcq__pulse_answered(a->pulse, now_ns, context);
}

void mcq__actor_spoke(mcq__actor_t* a) {
  if (mcq__actor_watched(a)) mcq__pulse_spoke(a->pulse, now_of(a), true);
}

/* ---- questions ----------------------------------------------------------- */

static void ask(mcq__actor_t* a, uint64_t now) {
  uint8_t bytes[MCQ__PULSE_CONTEXT];
  mcq__slice_t context = mcq__pulse_ask(a->pulse, now, unsent(a), bytes);
  int rc = mcq__actor_ping(a, context);
  if (rc == 0) return;
  mcq__pulse_mute(a->pulse);
  if (rc != MCQ_ENOTSUP) mcq__actor_fail(a, rc, "out of memory");
}

void mcq__actor_suspect(mcq__actor_t* a) {
  uint64_t now = now_of(a);
  if (a->state != MCQ__ACTOR_UP || !mcq__actor_talking(a)) return;
  mcq__pulse_t* p = a->asks ? begin(a) : NULL;
  if (p == NULL || !mcq__pulse_suspect(p, now, SUSPECT)) return;
  if (!a->reading) mcq__pulse_blind(p, now);
  if (!p->unsent) ask(a, now);
  mcq__actor_arm(a);
}

/* ---- deadlines ----------------------------------------------------------- */

/* As if the peer had closed: what it said before is delivered first. */
static void give_up(mcq__actor_t* a, const char* text) {
  mcq__actor_watch_end(a);
  mcq__actor_stop(a);
  a->end_code = MCQ_EHEARTBEAT;
  a->end_text = text;
  mcq__actor_pump(a);
}

static void judge(mcq__actor_t* a, mcq__verdict_t verdict, uint64_t now) {
  switch (verdict) {
    case MCQ__PULSE_FINE:
    case MCQ__PULSE_LOOK:
      break;
    case MCQ__PULSE_ASK:
      ask(a, now);
      break;
    case MCQ__PULSE_SILENT:
      give_up(a, "no sign of life after a PING");
      break;
    case MCQ__PULSE_EXPIRED:
      give_up(a, "silent for longer than its own time to live");
      break;
    case MCQ__PULSE_MUTE:
      mcq__actor_fail(a, MCQ_EIDLE, "it sent no message at all");
      break;
    case MCQ__PULSE_IDLE:
      mcq__actor_fail(a, MCQ_EIDLE, "no message for too long");
      break;
  }
}

void mcq__actor_watch_due(mcq__actor_t* a, uint64_t now) {
  if (now >= a->look_at) mcq__actor_look_ahead(a);
  if (a->state != MCQ__ACTOR_UP || !mcq__actor_talking(a)) return;
  if (a->pulse == NULL) return;
  mcq__verdict_t verdict = mcq__pulse_due(a->pulse, now);
  if (verdict == MCQ__PULSE_LOOK)
    verdict = mcq__pulse_look(a->pulse, now, unsent(a));
  judge(a, verdict, now);
}

mcq__actor_life_t mcq__actor_life(const mcq__actor_t* a) {
  mcq__actor_life_t life = {0};
  if (a->pulse != NULL) life.rtt_ns = a->pulse->rtt_ns;
  if (mcq__actor_watched(a)) life.heard = a->pulse->heard;
  return life;
}
