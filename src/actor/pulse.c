/* SPDX-License-Identifier: MIT */
/* Signs of life (see pulse.h).  Called by the actor. */
#include "actor/pulse.h"

#include "base/cursor.h"

/* Bytes of a question, generously: with more than these on the way there is
 * something before it. */
#define ALONE ((size_t) 64)

/* A peer that asks more often than that does not count with answers as often,
 * ms. */
#define PERIOD_MIN ((uint64_t) 50)

static uint64_t after(uint64_t time, uint64_t ms) {
  return ms < MCQ__NEVER - time ? time + ms : MCQ__NEVER;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

void mcq__pulse_begin(mcq__pulse_t* p, const mcq__pulse_config_t* config,
                      uint64_t now, bool asks) {
  *p = (mcq__pulse_t){.config = config,
                      .heard = now,
                      .asked = MCQ__NEVER,
                      .met = now,
                      .spoke = now,
                      .doubt = MCQ__NEVER,
                      .said = now,
                      .theirs = MCQ__NEVER,
                      .blind = MCQ__NEVER,
                      .asks = asks};
  p->on = mcq__pulse_wanted(config, asks);
}

void mcq__pulse_end(mcq__pulse_t* p) {
  p->on = false;
  p->asks = false;
}

/* ---- what happens -------------------------------------------------------- */

/* From here on bytes are timed.  Of what came before nothing is known: it is
 * no answer to what is asked now. */
static void turn_on(mcq__pulse_t* p, uint64_t now) {
  if (p->on) return;
  p->on = true;
  p->heard = now == 0 ? 0 : now - 1;
  p->said = now;
}

void mcq__pulse_spoke(mcq__pulse_t* p, uint64_t now, bool came) {
  p->spoke = now;
  p->first = p->first || came;
}

void mcq__pulse_blind(mcq__pulse_t* p, uint64_t now) {
  if (p->blind == MCQ__NEVER) p->blind = now;
}

/* As if the time from `blind` to `now` had not been. */
static uint64_t skip(uint64_t time, uint64_t blind, uint64_t now) {
  if (time == MCQ__NEVER) return time;
  return time < blind ? time + (now - blind) : now;
}

void mcq__pulse_sight(mcq__pulse_t* p, uint64_t now) {
  if (p->blind == MCQ__NEVER) return;
  p->heard = skip(p->heard, p->blind, now);
  p->asked = skip(p->asked, p->blind, now);
  p->met = skip(p->met, p->blind, now);
  p->spoke = skip(p->spoke, p->blind, now);
  p->blind = MCQ__NEVER;
}

static uint32_t in_32_bits(uint64_t ms) {
  return (uint32_t) earlier(ms, UINT32_MAX);
}

void mcq__pulse_pinged(mcq__pulse_t* p, uint64_t now, uint64_t ttl) {
  if (p->theirs != MCQ__NEVER)
    p->period = in_32_bits(later(now - p->theirs, PERIOD_MIN));
  p->theirs = now;
  p->ttl = in_32_bits(ttl);
  if (ttl == 0 && p->period == 0) return;
  turn_on(p, now);
  p->heard = now; /* it has just spoken */
}

/* ---- questions ----------------------------------------------------------- */

/* Bytes that have reached the other system. */
static int64_t arrived(const mcq__pulse_t* p, size_t unsent) {
  return (int64_t) p->written - (int64_t) unsent;
}

/* A question that was not answered is asked again under its number: what is
 * measured is the time from the first one.  So is what moves meanwhile. */
mcq__slice_t mcq__pulse_ask(mcq__pulse_t* p, uint64_t now, size_t unsent,
                            uint8_t context[MCQ__PULSE_CONTEXT]) {
  p->pinged = now;
  p->counts = p->asked == MCQ__NEVER;
  if (p->counts) {
    p->asked = now;
    p->passed = arrived(p, unsent);
  }
  if (!p->awaiting) {
    p->awaiting = true;
    p->fresh = true;
    p->number++;
  }
  p->unsent = true;
  mcq__put_u32(context, p->number);
  return mcq__slice_static(context, MCQ__PULSE_CONTEXT);
}

void mcq__pulse_mute(mcq__pulse_t* p) {
  p->asks = false;
  p->asked = MCQ__NEVER;
  p->awaiting = false;
  p->unsent = false;
}

void mcq__pulse_left(mcq__pulse_t* p, uint64_t now, uint64_t now_ns,
                     size_t unsent) {
  if (p->counts && p->asked != MCQ__NEVER) p->asked = now;
  p->pinged = now;
  if (p->fresh) p->sent_ns = now_ns;
  p->fresh = false;
  p->unsent = false;
  p->crowded = unsent > ALONE || (p->crowded && !p->counts);
  if (p->counts) p->passed = arrived(p, unsent);
}

bool mcq__pulse_answered(mcq__pulse_t* p, uint64_t now_ns,
                         mcq__slice_t context) {
  uint8_t number[MCQ__PULSE_CONTEXT];
  mcq__put_u32(number, p->number);
  if (!p->awaiting || p->fresh) return false;
  if (!mcq__slice_equal(context, number, sizeof number)) return false;
  p->awaiting = false;
  p->rtt_ns = later(now_ns - p->sent_ns, 1);
  return true;
}

/* A question that something was heard since is over: the next one counts. */
static void settle(mcq__pulse_t* p) {
  if (p->asked != MCQ__NEVER && p->heard >= p->asked) p->asked = MCQ__NEVER;
}

/* One that has not left is not asked twice, and counts from now on instead. */
static void count_anew(mcq__pulse_t* p, uint64_t now) {
  p->asked = now;
  p->counts = true;
}

/* It may have answered before, and be gone now: without an interval nobody
 * else looks after questions that are over. */
bool mcq__pulse_suspect(mcq__pulse_t* p, uint64_t now, uint32_t limit) {
  if (!p->asks) return false;
  turn_on(p, now);
  settle(p);
  if (p->unsent && p->asked == MCQ__NEVER) count_anew(p, now);
  if (p->limit == 0 || limit < p->limit) p->limit = limit;
  return true;
}

/* ---- deadlines ----------------------------------------------------------- */

static uint64_t patience(const mcq__pulse_t* p) {
  uint64_t usual = p->config->timeout;
  return p->limit == 0 ? usual : earlier(usual, p->limit);
}

/* While a question has not left, what moves out is as good as an answer. */
static uint64_t answer_due(const mcq__pulse_t* p) {
  if (p->asked == MCQ__NEVER || p->heard >= p->asked) return MCQ__NEVER;
  bool moves = p->unsent && p->said > p->asked;
  return after(moves ? p->said : p->asked, patience(p));
}

static uint64_t ttl_due(const mcq__pulse_t* p) {
  return p->ttl == 0 ? MCQ__NEVER : after(p->heard, p->ttl);
}

static uint64_t first_due(const mcq__pulse_t* p) {
  return p->first ? MCQ__NEVER : after(p->met, p->config->first);
}

static uint64_t idle_due(const mcq__pulse_t* p) {
  return after(p->spoke, p->config->idle);
}

/* How long we may be silent towards a peer whose questions nobody reads: half
 * of what it is known to count with, or else of what we would. */
static uint64_t show(const mcq__pulse_t* p) {
  uint64_t ours = p->config->interval;
  if (ours != MCQ__NEVER) ours = earlier(ours, patience(p));
  uint64_t known = p->period == 0 ? ours : earlier(ours, p->period);
  return known == MCQ__NEVER ? known : later(known / 2, 1);
}

/* A question that cannot leave is not asked twice.  But where something was
 * heard since, it no longer counts, and silence that begins now would go
 * unnoticed: after an interval of that it counts anew. */
static uint64_t count_due(const mcq__pulse_t* p) {
  bool waits = p->asked != MCQ__NEVER && p->heard < p->asked;
  if (waits || p->blind != MCQ__NEVER) return MCQ__NEVER;
  return after(p->heard, p->config->interval);
}

/* An interval after the last word of whoever is silent for longer, but not
 * sooner after the last question. */
static uint64_t question_due(const mcq__pulse_t* p) {
  if (!p->asks) return MCQ__NEVER;
  if (p->unsent) return count_due(p);
  if (p->blind != MCQ__NEVER) return after(p->said, show(p));
  return after(later(p->pinged, earlier(p->heard, p->said)),
               p->config->interval);
}

uint64_t mcq__pulse_next(const mcq__pulse_t* p) {
  if (!p->on) return MCQ__NEVER;
  uint64_t at = question_due(p);
  if (p->blind != MCQ__NEVER) return at;
  uint64_t end = earlier(earlier(answer_due(p), ttl_due(p)),
                         earlier(first_due(p), idle_due(p)));
  if (p->doubt == p->heard) end = later(end, p->again);
  return earlier(at, end);
}

/* A loop that did not run in time has not read what came in the meantime: it
 * gets a chance to, once in a silence. */
static bool overdue(mcq__pulse_t* p, uint64_t deadline, uint64_t now) {
  if (now < deadline || deadline == MCQ__NEVER) return false;
  if (now == deadline) return true;
  if (p->doubt == p->heard) return now >= p->again;
  p->doubt = p->heard;
  p->again = mcq__timer_again(deadline, now);
  return false;
}

mcq__verdict_t mcq__pulse_due(mcq__pulse_t* p, uint64_t now) {
  if (!p->on) return MCQ__PULSE_FINE;
  settle(p);
  if (p->blind == MCQ__NEVER) {
    if (overdue(p, answer_due(p), now))
      return p->unsent || p->crowded ? MCQ__PULSE_LOOK : MCQ__PULSE_SILENT;
    if (overdue(p, ttl_due(p), now)) return MCQ__PULSE_EXPIRED;
    if (overdue(p, first_due(p), now)) return MCQ__PULSE_MUTE;
    if (overdue(p, idle_due(p), now)) return MCQ__PULSE_IDLE;
  }
  if (now < question_due(p)) return MCQ__PULSE_FINE;
  if (!p->unsent) return MCQ__PULSE_ASK;
  count_anew(p, now);
  return MCQ__PULSE_FINE;
}

mcq__verdict_t mcq__pulse_look(mcq__pulse_t* p, uint64_t now, size_t unsent) {
  int64_t passed = arrived(p, unsent);
  if (passed <= p->passed) return MCQ__PULSE_SILENT;
  p->passed = passed;
  p->asked = now;
  if (unsent <= ALONE) p->crowded = false;
  return MCQ__PULSE_FINE;
}
