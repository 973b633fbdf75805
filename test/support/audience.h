/* SPDX-License-Identifier: MIT */
/* A publishing socket on a network in memory with subscribers that may say and
 * do anything, and beside them a naive model (naive.h): sets of texts, and for
 * each subscriber what it is owed.  The fuzz target of whole publishers is the
 * script; here are the model, the ears of all sides, and what must be so after
 * every step:
 *
 *   - who has broken a rule or gone is down, nobody else is;
 *   - the user was told of each subscriber what that one said, in order;
 *   - as many topics are subscribed to as the sets together have;
 *   - each heard a greeting, a READY and then of what it was owed, byte for
 *     byte and in order; who reads has all but what was reported as dropped;
 *   - counters say the same.
 *
 * No cmocka here: what is not so aborts. */
#ifndef TEST_SUPPORT_AUDIENCE_H
#define TEST_SUPPORT_AUDIENCE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "ctx.h"
#include "monocoque.h"
#include "support/naive.h"
#include "support/scarce.h"
#include "support/simnet.h"

#define VISITORS 8
#define MESSAGES 300

/* One subscriber, and what is known of it. */
typedef struct visitor {
  sim_end_t* end; /* its own; NULL: it has hung up */
  unsigned conn;
  mcq_peer_t handle;
  bool up, down;
  bool reads;     /* all that comes, as soon as it comes */
  bool paused;    /* by the user */
  bool ending;    /* closed by the user: no longer listened to */
  bool over;      /* what it has said ends it */
  bool heard_out; /* all that was written for it */
  bool doubt;     /* it went before all it had said was surely heard */
  bool astray;    /* and what it has was changed since */
  naive_reader_t says;
  naive_set_t held;       /* in force */
  naive_set_t asked;      /* with MCQ_XPUB_MANUAL: by itself */
  naive_diary_t told;     /* what the user was told of it */
  naive_diary_t foretold; /* and what he is to be */
  naive_diary_t commands; /* nobody knows: that he was told of, in a pause
                             before what came before them, */
  naive_diary_t commands_foretold;
  naive_set_t pings; /* contexts, in order */
  size_t pongs;
  naive_set_t early; /* answers to questions not yet understood here, as a
                        paused publisher answers them at once; */
  size_t early_used; /* of these: understood since */
  rig_bytes_t heard;
  size_t parsed;    /* of these */
  size_t greetings; /* of greeting and READY, that have been parsed */
  size_t* due;      /* messages, by number */
  size_t due_count;
  size_t next; /* of these */
  uint64_t taken, dropped, lost, unsure;
} visitor_t;

/* A topic the user of an XPUB was told of. */
typedef struct fact {
  uint64_t plus, minus;   /* as often as he was told */
  uint64_t plus_expected; /* as the model has it */
  uint64_t minus_expected;
  bool known; /* to him, as subscribed */
  bool loose; /* somebody's last words: told or not */
} fact_t;

/* Zeroed to start with.  The first lines are the script's to choose. */
typedef struct audience {
  int type, flags, slow;
  bool obedient; /* the user of MCQ_XPUB_MANUAL grants what is asked for */
  bool lingers;  /* long enough for whoever reads */
  size_t max_subscriptions;
  uint64_t max_bytes, max_frames;
  mcq__cursor_t script;

  sim_net_t net;
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq__io_t* io; /* NULL when it is closed */
  mcq_socket_t* s;
  size_t blocks; /* of the library's memory */
  char uri[64];
  visitor_t visitors[VISITORS];
  size_t count;
  rig_bytes_t messages[MESSAGES]; /* as they travel; 0: the welcome */
  size_t message_count;
  size_t said; /* bytes of what was published */
  naive_set_t topics;
  fact_t* facts; /* of topics */
  size_t facts_cap;
  bool paused, closed;
  bool unsettled; /* something was done since the last step */
  bool wants_drain;
  uint64_t slowed; /* are disconnected in this step */
  uint64_t delivered, discarded, unknown, drops;
  uint64_t lost; /* when it was closed */
  bool doubt;    /* some visitor is in doubt: totals are not exact */
  size_t steps;
} audience_t;

/* A call of the library's: no callback may come from inside. */
#define audience_call(a, expr) \
  ((a)->net.calling = true, audience_called(a, expr))

static inline int audience_called(audience_t* a, int rc) {
  a->net.calling = false;
  return rc;
}

static inline bool audience_manual(const audience_t* a) {
  return (a->flags & MCQ_XPUB_MANUAL) != 0;
}

static inline bool audience_seated(const visitor_t* v) {
  return v->up && !v->down;
}

/* Whatever is written for it, it has. */
static inline bool audience_keeps_up(const visitor_t* v) {
  return v->end != NULL && v->reads;
}

static inline mcq_stats_t audience_stats(const audience_t* a) {
  mcq_stats_t out;
  mcq_stats(a->s, &out);
  return out;
}

/* ---- audience.c: the model, and what the user is told -------------------- */

/* Sets the callbacks, the user's data aside. */
void audience_listen(mcq_socket_options_t* o);

/* What mcq_peer_subscribe (`wanted`) or its counterpart answers, and does. */
int audience_grant(audience_t* a, visitor_t* v, mcq_frame_t topic, bool wanted);

/* The real call. */
int audience_obey(audience_t* a, mcq_peer_t peer, mcq_frame_t topic,
                  bool wanted);

/* All that it has said until now will have been heard after this step. */
void audience_understand(audience_t* a, visitor_t* v);

/* It goes, and may or may not be heard to the end. */
bool audience_doubt(audience_t* a, visitor_t* v);

/* How many subscribers have the topic in force. */
size_t audience_holders(const audience_t* a, const naive_text_t* topic);

void audience_free(audience_t* a);

/* ---- audience_ears.c: what the visitors hear, and steps ------------------ */

void audience_hang_up(visitor_t* v);

/* Takes up to `most` bytes of what has come.  False: there was nothing. */
bool audience_sip(const audience_t* a, visitor_t* v, size_t most);

/* Once around the loop, or on to what is next. */
void audience_step(audience_t* a);

/* All that happens now or in a moment. */
void audience_run(audience_t* a);

/* What was said is heard, and all is as it should be. */
void audience_settle(audience_t* a);

#endif
