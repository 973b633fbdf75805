/* SPDX-License-Identifier: MIT */
/* The header of a frame: flags, then a length of one or eight bytes.  Used by
 * the intake (reading) and by everybody who queues a frame (writing); knows
 * nothing of bodies or limits.  RFC 37, "Framing". */
#ifndef MCQ__ZMTP_FRAME_H
#define MCQ__ZMTP_FRAME_H

#include "base/protocol.h"
#include "base/slab.h"

enum {
  MCQ__FRAME_MORE = 1,    /* another frame of the message follows */
  MCQ__FRAME_LONG = 2,    /* the length has eight bytes */
  MCQ__FRAME_COMMAND = 4, /* no message */
  MCQ__FRAME_KNOWN = 7    /* the other bits are reserved and zero */
};

#define MCQ__FRAME_HEAD_MAX 9 /* bytes of the longest header */

typedef struct mcq__frame {
  uint64_t len;  /* of the body */
  uint8_t flags; /* as on the wire */
  uint8_t size;  /* of the header */
} mcq__frame_t;

/* Reads the header at the start of `bytes`.  1: read; 0: it is longer than
 * `bytes`; MCQ_EFRAME with the reason in `*why`, static text.  The long form
 * is accepted for a short body. */
int mcq__frame_read(mcq__frame_t* f, mcq__slice_t bytes, const char** why);

/* The eight bytes of a long length.  Spelled out because compilers make one
 * load of this and a loop of a loop. */
static inline uint64_t mcq__frame_long_len(mcq__slice_t eight) {
  const uint8_t* b = eight.data;
  mcq__check(eight.len == 8);
  return (uint64_t) b[0] << 56 | (uint64_t) b[1] << 48 | (uint64_t) b[2] << 40 |
         (uint64_t) b[3] << 32 | (uint64_t) b[4] << 24 | (uint64_t) b[5] << 16 |
         (uint64_t) b[6] << 8 | (uint64_t) b[7];
}

/* Writes the header of a frame, short form where it fits; MORE and COMMAND
 * are taken from `flags`.  Returns its size. */
size_t mcq__frame_write(uint8_t out[MCQ__HEAD_MAX], size_t len, uint8_t flags);

/* The same for a message frame: the protocol table's head(). */
size_t mcq__frame_head(uint8_t out[MCQ__HEAD_MAX], size_t len, bool more);

/* Reads back a header that mcq__frame_head wrote: the table's unhead(). */
size_t mcq__frame_unhead(const uint8_t* in, size_t have, uint64_t* len,
                         bool* more);

#endif
