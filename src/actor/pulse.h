/* SPDX-License-Identifier: MIT */
/* Signs of life of one connection, and what has to come in time: when to ask
 * the peer whether it lives, when to give it up, how long an answer takes.
 * Time is an argument (ms, and ns where a duration is measured); nothing here
 * reads a clock, sends or calls anybody.
 *
 * Whatever comes is a sign of life, down to a single byte.  The peer is asked
 * when nothing was heard for an interval, or nothing was said for one, so that
 * either side hears from the other.  A deadline is not moved by what comes: it
 * is worked out anew when it is reached.
 *
 * While nobody reads, nothing can be heard and nobody is judged.  The peer
 * knows nothing of that, and its questions are not answered: it is shown that
 * there is somebody, twice in whatever time it may be counting with. */
#ifndef MCQ__ACTOR_PULSE_H
#define MCQ__ACTOR_PULSE_H

#include "base/protocol.h"
#include "base/timer.h"

/* In ms; MCQ__NEVER: not. */
typedef struct mcq__pulse_config {
  uint64_t interval; /* between questions */
  uint64_t timeout;  /* from a question to the next sign of life */
  uint64_t first;    /* to the peer's first message */
  uint64_t idle;     /* from one message to the next, either way */
  uint64_t ttl;      /* announced with each question; 0: none */
} mcq__pulse_config_t;

typedef struct mcq__pulse {
  const mcq__pulse_config_t* config;
  uint64_t heard;  /* when bytes came last; time in which nobody read is left
                      out, in this and the next four */
  uint64_t asked;  /* the first question that nothing was heard since */
  uint64_t met;    /* when the handshake was over */
  uint64_t spoke;  /* when a message last came, or left, as a whole */
  uint64_t doubt;  /* what `heard` was when a deadline was looked at too late */
  uint64_t again;  /* when it is looked at again */
  uint64_t said;   /* when bytes left last */
  uint64_t pinged; /* when the last question was asked */
  uint64_t theirs; /* when it asked last */
  uint64_t blind;  /* since when nobody reads */
  uint64_t written;
  int64_t passed;   /* of the bytes written, when that was last looked at, had
                       reached the other system */
  uint64_t sent_ns; /* when the numbered question left */
  uint64_t rtt_ns;  /* how long the last answer took; 0: there was none */
  uint32_t number;
  uint32_t ttl;    /* ms, what the peer announced; 0: nothing */
  uint32_t period; /* ms, between its last two questions; 0: not known */
  uint32_t limit;  /* of suspicion, ms: less patience than the config's; 0:
                      none */
  bool on;   /* any of this is of interest */
  bool asks; /* the peer understands questions */
  bool awaiting; /* the answer to question `number` */
  bool fresh;    /* which has not left yet */
  bool unsent;   /* a question has not left yet */
  bool counts;   /* it is the one that was asked first */
  bool crowded;  /* other bytes are, or were, before it on the way */
  bool first;    /* the peer has sent a message */
} mcq__pulse_t;

typedef enum mcq__verdict {
  MCQ__PULSE_FINE,
  MCQ__PULSE_ASK,     /* mcq__pulse_ask */
  MCQ__PULSE_LOOK,    /* mcq__pulse_look has the verdict */
  MCQ__PULSE_SILENT,  /* no sign of life after a question */
  MCQ__PULSE_EXPIRED, /* silent for longer than its own time to live */
  MCQ__PULSE_MUTE,    /* no first message */
  MCQ__PULSE_IDLE     /* no further one */
} mcq__verdict_t;

/* Room for the context of a question. */
#define MCQ__PULSE_CONTEXT 4

/* Whether anything of it is of interest from the start.  If not, it may begin
 * when something is. */
static inline bool mcq__pulse_wanted(const mcq__pulse_config_t* config,
                                     bool asks) {
  return (asks && config->interval != MCQ__NEVER) ||
         config->first != MCQ__NEVER || config->idle != MCQ__NEVER;
}

/* A connection is up.  `asks`: the peer may be asked. */
void mcq__pulse_begin(mcq__pulse_t* p, const mcq__pulse_config_t* config,
                      uint64_t now, bool asks);

/* Nothing is of interest any more. */
void mcq__pulse_end(mcq__pulse_t* p);

/* ---- what happens -------------------------------------------------------- */

/* Bytes came.  Hot. */
static inline void mcq__pulse_heard(mcq__pulse_t* p, uint64_t now) {
  p->heard = now;
}

/* `n` bytes went to the system. */
static inline void mcq__pulse_said(mcq__pulse_t* p, uint64_t now, size_t n) {
  p->said = now;
  p->written += n;
}

/* A whole message came, or left. */
void mcq__pulse_spoke(mcq__pulse_t* p, uint64_t now, bool came);

/* Nobody reads from now on; somebody does again.  Idempotent. */
void mcq__pulse_blind(mcq__pulse_t* p, uint64_t now);
void mcq__pulse_sight(mcq__pulse_t* p, uint64_t now);

/* The peer asked, and announced a time to live; 0: none. */
void mcq__pulse_pinged(mcq__pulse_t* p, uint64_t now, uint64_t ttl);

/* ---- questions ----------------------------------------------------------- */

/* A question is about to be queued while `unsent` bytes had not reached the
 * other system: its context. */
mcq__slice_t mcq__pulse_ask(mcq__pulse_t* p, uint64_t now, size_t unsent,
                            uint8_t context[MCQ__PULSE_CONTEXT]);

/* It could not be: the peer does not understand. */
void mcq__pulse_mute(mcq__pulse_t* p);

/* It left, and `unsent` bytes have not arrived. */
void mcq__pulse_left(mcq__pulse_t* p, uint64_t now, uint64_t now_ns,
                     size_t unsent);

/* An answer came; false: to somebody else's question. */
bool mcq__pulse_answered(mcq__pulse_t* p, uint64_t now_ns,
                         mcq__slice_t context);

/* There is reason to think that the peer is gone: it has `limit` ms at most to
 * answer the next question.  False: it cannot be asked. */
bool mcq__pulse_suspect(mcq__pulse_t* p, uint64_t now, uint32_t limit);

/* ---- deadlines ----------------------------------------------------------- */

/* When mcq__pulse_due has to be asked at the latest, or MCQ__NEVER. */
uint64_t mcq__pulse_next(const mcq__pulse_t* p);

mcq__verdict_t mcq__pulse_due(mcq__pulse_t* p, uint64_t now);

/* No sign of life in time, but a question that has not left, or is behind
 * others: SILENT when of all that was written nothing has moved since the last
 * look. */
mcq__verdict_t mcq__pulse_look(mcq__pulse_t* p, uint64_t now, size_t unsent);

#endif
