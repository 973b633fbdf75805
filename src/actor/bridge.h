/* SPDX-License-Identifier: MIT */
/* Frames in, messages out: collects the frames of a multipart message until
 * the last one, within a bound of frames and bytes that holds whatever the
 * protocol below promised.  A message of one frame never comes here.
 *
 * Every frame collected is counted, so it survives the buffer it came in. */
#ifndef MCQ__ACTOR_BRIDGE_H
#define MCQ__ACTOR_BRIDGE_H

#include "base/msg.h"
#include "base/protocol.h"
#include "io/io.h"

typedef struct mcq__bridge {
  const mcq__session_config_t* config; /* pool and bounds */
  mcq__slice_t* frames;                /* counting */
  uint32_t cap;
  uint32_t count;
  uint32_t held; /* the first `held` frames own their memory for long */
  uint64_t bytes;
  mcq__idle_t idle; /* its owner's: when to shrink */
} mcq__bridge_t;

/* `config` outlives the bridge. */
void mcq__bridge_init(mcq__bridge_t* b, const mcq__session_config_t* config);

/* Drops everything; a zeroed bridge is fine. */
void mcq__bridge_dispose(mcq__bridge_t* b);

/* Adds a frame, counting it.  0, MCQ_EFRAMES, MCQ_EMSGLIMIT or MCQ_ENOMEM. */
int mcq__bridge_add(mcq__bridge_t* b, mcq__slice_t frame);

/* A view of the message collected, good until mcq__bridge_reset. */
void mcq__bridge_view(const mcq__bridge_t* b, mcq_msg_t* out);

/* The message was delivered: lets go of its frames. */
void mcq__bridge_reset(mcq__bridge_t* b);

/* The rest of the message will take long: moves what was collected out of
 * shared buffers.  0 or MCQ_ENOMEM. */
int mcq__bridge_hold(mcq__bridge_t* b);

/* Empty, and perhaps for long.  True: there is storage that had to grow and may
 * be needed again in a moment; mcq__bridge_shrink gives it back. */
bool mcq__bridge_rest(mcq__bridge_t* b);
void mcq__bridge_shrink(mcq__bridge_t* b);

static inline bool mcq__bridge_empty(const mcq__bridge_t* b) {
  return b->count == 0;
}

#endif
