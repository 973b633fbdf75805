/* SPDX-License-Identifier: MIT */
/* Messages waiting for one peer, encoded as they will travel, with their
 * high-water marks.
 *
 * The chain starts at the first byte of the first message that is not yet
 * written completely, so that a message cut off by a lost connection goes
 * again whole on the next one.  Bytes are in one of three states: written
 * (of that first message), in flight (handed to the back end), queued.  Only
 * queued ones count against the marks. */
#ifndef MCQ__ACTOR_OUTBOX_H
#define MCQ__ACTOR_OUTBOX_H

#include <sys/types.h>

#include "actor/tally.h"
#include "base/arena.h"
#include "base/chain.h"
#include "base/protocol.h"
#include "hub/hub.h"
#include "io/io.h"

/* `count` consecutive messages of `size` encoded bytes each. */
typedef struct mcq__run {
  uint64_t size;
  uint64_t count;
} mcq__run_t;

/* High-water marks. */
typedef struct mcq__marks {
  uint64_t messages;
  uint64_t bytes;
  uint64_t few_bytes; /* below so many no number of messages is too many */
} mcq__marks_t;

/* What is the same for messages like the last one, of one copied frame: how
 * many more may come before anything has to be asked. */
typedef struct mcq__streak {
  uint32_t left;
  uint32_t len;      /* of the body */
  uint32_t head_len; /* of what travels before it */
  uint8_t head[MCQ__STAMP];
} mcq__streak_t;

typedef struct mcq__outbox {
  mcq__streak_t streak;
  mcq__pool_t* pool;
  const mcq__protocol_t* protocol;
  mcq__chain_t chain;
  mcq__fifo_t runs;   /* of mcq__run_t: the messages in the chain */
  mcq__arena_t arena; /* small frames are copied in here */
  uint64_t messages;  /* in the chain */
  uint64_t handed;    /* of these: ending in bytes in flight */
  size_t written;     /* bytes of the first message */
  size_t flight;      /* bytes behind `written` in flight */
  mcq__marks_t marks;
  uint64_t peak_messages; /* queued at most, until something last left */
  uint64_t peak_bytes;
  uint64_t nothing;     /* messages put that had no bytes to travel */
  mcq__idle_t idle;     /* its owner's: when to shrink */
  mcq__outgoing_t sent; /* the books of whoever fills and empties it */
} mcq__outbox_t;

void mcq__outbox_init(mcq__outbox_t* o, mcq__pool_t* pool,
                      const mcq__protocol_t* protocol,
                      const mcq__marks_t* marks);

/* Drops everything; a zeroed outbox is fine. */
void mcq__outbox_dispose(mcq__outbox_t* o);

/* Drops all messages.  Nothing is in flight. */
void mcq__outbox_clear(mcq__outbox_t* o);

static inline uint64_t mcq__outbox_queued(const mcq__outbox_t* o) {
  return o->messages - o->handed;
}

static inline size_t mcq__outbox_queued_bytes(const mcq__outbox_t* o) {
  return o->chain.bytes - o->written - o->flight;
}

/* The most that was ever queued.  A queue only grows until something leaves it,
 * so it is enough to look then, and now. */
static inline void mcq__outbox_peak(const mcq__outbox_t* o, uint64_t* messages,
                                    uint64_t* bytes) {
  *messages = mcq__outbox_queued(o);
  *bytes = mcq__outbox_queued_bytes(o);
  if (*messages < o->peak_messages) *messages = o->peak_messages;
  if (*bytes < o->peak_bytes) *bytes = o->peak_bytes;
}

/* Whether so many messages of so many bytes in all reach a mark. */
static inline bool mcq__outbox_crowded(const mcq__outbox_t* o,
                                       uint64_t messages, uint64_t bytes) {
  return bytes >= o->marks.bytes ||
         (messages >= o->marks.messages && bytes >= o->marks.few_bytes);
}

/* Full when either mark is reached; a message may go over the byte mark, the
 * one after it may not begin.  With those in flight, which come back to the
 * queue when a write ends early, it is twice the marks: no trickle of short
 * writes lets the queue grow for ever. */
static inline bool mcq__outbox_full(const mcq__outbox_t* o) {
  uint64_t bytes = o->chain.bytes - o->written;
  if (mcq__likely(!mcq__outbox_crowded(o, o->messages, bytes))) return false;
  return mcq__outbox_crowded(o, mcq__outbox_queued(o),
                             mcq__outbox_queued_bytes(o)) ||
         mcq__outbox_crowded(o, o->messages / 2, bytes / 2);
}

/* How many messages of `size` bytes it takes to be full, while those in flight
 * stay there; 0 when it is. */
uint64_t mcq__outbox_room(const mcq__outbox_t* o, size_t size);

/* At or below half of both marks, and of twice the marks in all. */
bool mcq__outbox_low(const mcq__outbox_t* o);

/* Allows a streak of messages of one copied frame of `len` bytes, as the last
 * one was, until the marks, the memory at hand or `limit` bytes in the chain
 * are reached.  Any other change of the outbox ends it. */
void mcq__outbox_allow(mcq__outbox_t* o, size_t len, size_t limit);

/* Ends it from outside. */
static inline void mcq__outbox_ask(mcq__outbox_t* o) {
  o->streak.left = 0;
}

/* Queues one more of the streak and counts it as sent.  False: there is none,
 * or the message is another, and then nothing happened.  The hot path. */
static inline bool mcq__outbox_again(mcq__outbox_t* o, mcq_frame_t frame) {
  mcq__streak_t* k = &o->streak;
  if (mcq__unlikely(k->left == 0 || frame.len != k->len)) return false;
  size_t size = k->head_len + frame.len;
  mcq__window_t* w = &o->arena.window;
  k->left--;
  mcq__window_stamp(w, k->head, k->head_len, frame.data, frame.len);
  mcq__chain_grow(&o->chain, w, size);
  ((mcq__run_t*) mcq__fifo_last(&o->runs))->count++;
  o->messages++;
  o->sent.messages++;
  o->sent.frames++;
  o->sent.bytes += frame.len;
  return true;
}

/* Queues messages that were put together for many where they continue the last
 * one: false when they do not, and then nothing happened.  Does not look at the
 * marks.  Hot. */
static inline bool mcq__outbox_follow(mcq__outbox_t* o,
                                      const mcq__wired_t* wired) {
  mcq__run_t* run = (mcq__run_t*) mcq__fifo_last(&o->runs);
  if (mcq__unlikely(run == NULL || run->size != wired->size)) return false;
  if (mcq__unlikely(!mcq__chain_join(&o->chain, wired->bytes))) return false;
  run->count += wired->count;
  o->messages += wired->count;
  mcq__outbox_ask(o);
  return true;
}

/* Queues a message whole, or those that are put together, or nothing: 0 or
 * MCQ_ENOMEM.  Does not look at the marks.  `*payload` gets the bytes of the
 * frames.  Of a message that has no bytes to travel nothing is queued. */
int mcq__outbox_put(mcq__outbox_t* o, const mcq__body_t* body,
                    uint64_t* payload);

/* Drops the oldest message of which nothing was written or handed over.  False:
 * there is none, or no memory to do it in. */
bool mcq__outbox_shed(mcq__outbox_t* o);

/* Whether there is none. */
bool mcq__outbox_all_begun(const mcq__outbox_t* o);

/* Fills iovecs with queued bytes, `limit` at most.  Returns the entries. */
size_t mcq__outbox_fill(const mcq__outbox_t* o, size_t limit, mcq__iov_t* out,
                        size_t max, size_t* total);

/* `n` of the bytes filled were handed over and are in flight. */
void mcq__outbox_hand(mcq__outbox_t* o, size_t n);

/* The bytes in flight are done with: `n` of them were written. */
void mcq__outbox_wrote(mcq__outbox_t* o, size_t n);

/* Bytes until the message that is partly written ends, or the frame of it that
 * is; 0 on a boundary. */
size_t mcq__outbox_rest_of_message(const mcq__outbox_t* o);
size_t mcq__outbox_rest_of_frame(const mcq__outbox_t* o);

/* How many messages were handed over as a whole and not reported written;
 * `*begun`: one more was begun.  Changes nothing. */
uint64_t mcq__outbox_unsure(const mcq__outbox_t* o, bool* begun);

/* The connection is gone and its wire rests.  Messages handed over as a whole
 * leave the books: they may have arrived, and none may arrive twice.  One that
 * was only begun is made new again. */
void mcq__outbox_rewind(mcq__outbox_t* o);

/* Goes through the messages that were not even begun, in order.  Zeroed to
 * start with. */
typedef struct mcq__outbox_walk {
  mcq__slice_t* frames; /* of the current message, borrowed */
  size_t cap;
  size_t at; /* its end in the chain */
  bool started;
} mcq__outbox_walk_t;

/* The frames of the next one, 0 after the last, or MCQ_ENOMEM.  The outbox
 * must not change on the way. */
ssize_t mcq__outbox_next(const mcq__outbox_t* o, mcq__outbox_walk_t* walk);
void mcq__outbox_walk_end(const mcq__outbox_t* o, mcq__outbox_walk_t* walk);

/* Nothing waits: lets go of the memory, but for storage that had to grow and
 * may be needed again in a moment.  True: there is such, and mcq__outbox_shrink
 * gives it back. */
bool mcq__outbox_rest(mcq__outbox_t* o);
void mcq__outbox_shrink(mcq__outbox_t* o);

#endif
