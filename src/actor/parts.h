/* SPDX-License-Identifier: MIT */
/* What the files of an actor share: actor.c (its life), send.c (to the wire),
 * receive.c (from it) and watch.c (what has to come in time).  Included by
 * these alone. */
#ifndef MCQ__ACTOR_PARTS_H
#define MCQ__ACTOR_PARTS_H

#include "actor/actor.h"

static inline mcq__io_t* mcq__actor_io(const mcq__actor_t* a) {
  return a->config->io;
}

static inline const mcq__protocol_t* mcq__actor_protocol(
    const mcq__actor_t* a) {
  return a->config->protocol;
}

/* Messages are delivered, if nobody pauses them. */
static inline bool mcq__actor_listens(const mcq__actor_t* a) {
  return a->state == MCQ__ACTOR_UP || a->state == MCQ__ACTOR_DRAINING;
}

/* A connection whose end was decided on says and hears nothing more. */
static inline bool mcq__actor_doomed(const mcq__actor_t* a) {
  return a->doomed;
}

/* Signs of life are of interest. */
static inline bool mcq__actor_watched(const mcq__actor_t* a) {
  return a->pulse != NULL && a->pulse->on;
}

/* Nothing is put off any more. */
static inline void mcq__actor_catch_up(mcq__actor_t* a) {
  mcq__ahead_free(a->ahead);
  a->ahead = NULL;
}

static inline bool mcq__actor_talking(const mcq__actor_t* a) {
  return (a->state == MCQ__ACTOR_OPENING || mcq__actor_listens(a)) &&
         !mcq__actor_doomed(a);
}

/* ---- actor.c ------------------------------------------------------------- */

/* Sets the timer to what the state waits for. */
void mcq__actor_arm(mcq__actor_t* a);

/* Why it ends, for on_lost.  The text is copied, as far as that goes. */
#define MCQ__ACTOR_TEXT_MAX ((size_t) 127)
void mcq__actor_reason(mcq__actor_t* a, int code, const char* text);

/* From a phase: closes the wire now. */
void mcq__actor_cut(mcq__actor_t* a);

/* From a phase: the peer broke a rule or is not wanted.  What the session has
 * to say about it goes out before the connection is closed, unless that would
 * be inside a frame. */
void mcq__actor_refuse(mcq__actor_t* a, int code, const char* text);

/* From anywhere, also inside a call of the user's: ends in the next phase. */
void mcq__actor_fail(mcq__actor_t* a, int code, const char* text);

void mcq__actor_read(mcq__actor_t* a);
void mcq__actor_stop(mcq__actor_t* a);

/* Everything has left: our side is done, the peer's is awaited, unless it was
 * first.  From a phase. */
void mcq__actor_goodbye(mcq__actor_t* a);

/* ---- send.c -------------------------------------------------------------- */

/* The port's: queues a message for the peer. */
int mcq__actor_tell(mcq__port_t* port, const mcq__peer_cmd_t* cmd);

/* The same question without the message. */
uint64_t mcq__actor_room(mcq__port_t* port, size_t size);

/* Where only the newest message waits: gives up the others that turned out not
 * to have been begun. */
void mcq__actor_thin(mcq__actor_t* a);

/* It is ending, however long that takes: what arrived and will not be delivered
 * may lie in memory that others need. */
void mcq__actor_abandon(mcq__actor_t* a);

/* The flush task's: writes what is queued. */
void mcq__actor_flush(mcq__task_t* task);

/* `n` bytes of the last batch are written, which began with `control` bytes
 * of the session's own. */
void mcq__actor_wrote(mcq__actor_t* a, size_t n, size_t control);

/* `n` messages have left the outbox by way of the wire. */
void mcq__actor_sent(mcq__actor_t* a, uint64_t n);

/* What the outbox holds has changed. */
static inline void mcq__actor_charge(mcq__actor_t* a) {
  mcq__budget_t* b = a->config->budget;
  if (mcq__likely(b == NULL)) return;
  uint64_t now = a->let_go ? 0 : a->outbox->chain.bytes;
  if (now > a->charged) mcq__budget_enter(b);
  mcq__budget_move(b, a->charged, now);
  a->charged = now;
}

/* ---- receive.c ----------------------------------------------------------- */

/* Delivers what the session has, as much as the turn allows. */
void mcq__actor_pump(mcq__actor_t* a);

/* The peer closed or broke off, and everything before that was delivered. */
void mcq__actor_finish(mcq__actor_t* a);

/* It is time to read ahead. */
void mcq__actor_look_ahead(mcq__actor_t* a);

/* ---- watch.c ------------------------------------------------------------- */

/* The connection is up. */
void mcq__actor_watch(mcq__actor_t* a);

/* Nothing more will come. */
void mcq__actor_watch_end(mcq__actor_t* a);

/* UP: the timer rang. */
void mcq__actor_watch_due(mcq__actor_t* a, uint64_t now);

/* A batch was written as in mcq__actor_wrote, before which `messages` waited
 * in the outbox. */
void mcq__actor_watch_wrote(mcq__actor_t* a, size_t n, uint64_t messages);

/* Reading began or stopped. */
void mcq__actor_watch_reading(mcq__actor_t* a);

/* The peer asked, and announced a time to live. */
void mcq__actor_watch_ping(mcq__actor_t* a, uint64_t ttl);

/* An answer came; false: not to a question of ours. */
bool mcq__actor_watch_pong(mcq__actor_t* a, mcq__slice_t context);

#endif
