/* SPDX-License-Identifier: MIT */
/* From fed bytes to frames.  A frame that lies whole in the fed slice is a
 * piece of it; one that straddles two reads is gathered in memory of exactly
 * its size.  Used by the session alone, which judges every header before any
 * memory is taken for the body. */
#ifndef MCQ__ZMTP_INTAKE_H
#define MCQ__ZMTP_INTAKE_H

#include "zmtp/frame.h"

/* From this many missing bytes on it is worth a read of their own. */
#define MCQ__WANT_MIN ((size_t) 32768)

/* Zeroed is a good start. */
typedef struct mcq__intake {
  mcq__slice_t in;    /* what was fed, counted; empty when used up */
  size_t at;          /* its first byte not used */
  mcq__slice_t body;  /* of a straddling frame: what is there, counted */
  mcq__window_t rest; /* of a straddling frame: what is missing */
  mcq__frame_t frame; /* the header read last */
  uint8_t head[MCQ__FRAME_HEAD_MAX]; /* of a header cut by the end of a read */
  uint8_t head_len;
  bool headed;    /* `frame` awaits its body */
  bool gathering; /* in `body` and `rest` */
  bool held;      /* `in` is our own memory */
} mcq__intake_t;

/* Lets go of everything. */
void mcq__intake_clear(mcq__intake_t* k);

/* Counts `in` until it is used up.  Invariant: all before is. */
void mcq__intake_feed(mcq__intake_t* k, mcq__slice_t in);

/* Moves what is left into memory that may be held.  0 or MCQ_ENOMEM. */
int mcq__intake_hold(mcq__intake_t* k, mcq__pool_t* pool);

/* The window for the rest of a large body, or NULL. */
mcq__window_t* mcq__intake_want(mcq__intake_t* k, mcq__pool_t* pool);

/* `n` bytes were written at the window's start. */
void mcq__intake_filled(mcq__intake_t* k, size_t n);

/* Reads the next header, or tells again the one that awaits its body.  1;
 * 0 when hungry; MCQ_EFRAME with `*why`.  Ends what the body before lent. */
int mcq__intake_head(mcq__intake_t* k, mcq__frame_t* f, const char** why);

/* The body of that frame, borrowed until the next call.  1; 0 when hungry;
 * MCQ_ENOMEM, and then the same call may be tried again. */
int mcq__intake_body(mcq__intake_t* k, mcq__pool_t* pool, mcq__slice_t* body);

/* All bytes not used, as they are, without frames; borrowed until the next
 * call.  Empty when hungry. */
mcq__slice_t mcq__intake_rest(mcq__intake_t* k);

/* Skips `n` bytes of it. */
static inline void mcq__intake_skip(mcq__intake_t* k, size_t n) {
  mcq__check(n <= k->in.len - k->at);
  k->at += n;
}

/* Nothing is pending: the next byte begins a frame and no body is lent. */
static inline bool mcq__intake_plain(const mcq__intake_t* k) {
  return k->head_len == 0 && !k->headed && k->body.len == 0;
}

/* Every byte so far belongs to a complete frame that was asked for. */
static inline bool mcq__intake_even(const mcq__intake_t* k) {
  return k->head_len == 0 && !k->headed && k->at == k->in.len;
}

/* A short message frame that is all there, when nothing is pending: its body
 * in *body, and its MORE flag in *more.  False when it is anything else, longer
 * than `room`, or has a flag that is not in `allowed` (MORE or none), and then
 * nothing has happened.  The hot path. */
static inline bool mcq__intake_quick(mcq__intake_t* k, uint8_t allowed,
                                     uint64_t room, mcq__slice_t* body,
                                     bool* more) {
  size_t at = k->at;
  size_t left = k->in.len - at;
  if (mcq__unlikely(left < 2)) return false;
  uint8_t flags = k->in.data[at];
  size_t len = k->in.data[at + 1];
  if (mcq__unlikely(flags > allowed || len > left - 2 || len > room))
    return false;
  k->at = at + len + 2;
  *body = mcq__slice_sub(k->in, at + 2, len);
  *more = flags;
  return true;
}

/* The same for a long message frame; less hot, so out of line. */
bool mcq__intake_quick_long(mcq__intake_t* k, uint8_t allowed, uint64_t room,
                            mcq__slice_t* body, bool* more);

#endif
