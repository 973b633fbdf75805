/* SPDX-License-Identifier: MIT */
/* The 64 bytes both sides say first: building ours, checking the peer's one
 * byte after the other.  Used by the session; never allocates.  RFC 37,
 * "Version Negotiation". */
#ifndef MCQ__ZMTP_GREETING_H
#define MCQ__ZMTP_GREETING_H

#include "base/slab.h"

#define MCQ__GREETING_SIZE 64
#define MCQ__MECHANISM_SIZE 20

/* The peer's greeting as far as it is known.  Zeroed is a good start. */
typedef struct mcq__greeting {
  uint8_t have;  /* bytes accepted */
  uint8_t first; /* the first byte */
  uint8_t major; /* as announced */
  uint8_t minor;
  uint8_t as_server; /* shown, never enforced: libzmq always sends 0 */
  uint8_t mechanism[MCQ__MECHANISM_SIZE];
} mcq__greeting_t;

/* Writes our greeting: version 3.1 and `mechanism`, 1 to 20 characters. */
void mcq__greeting_make(uint8_t out[MCQ__GREETING_SIZE], const char* mechanism,
                        bool as_server);

/* Checks bytes until the greeting is complete and returns how many it used.
 * `*code` becomes 0 or the verdict, spoken at the first byte that allows one:
 *   MCQ_EGREETING   not ZMTP at all;
 *   MCQ_ELEGACY     ZMTP 1.0 or 2.0;
 *   MCQ_EMECHANISM  the 20 bytes are not `mechanism` and zeros.  Judged at
 *                   their last byte, so that both names can be told. */
size_t mcq__greeting_read(mcq__greeting_t* g, mcq__slice_t bytes,
                          const char* mechanism, int* code);

static inline bool mcq__greeting_whole(const mcq__greeting_t* g) {
  return g->have == MCQ__GREETING_SIZE;
}

/* The minor version of ZMTP 3 both sides speak: 0 only when the peer is 3.0;
 * a newer peer is obliged to speak ours. */
static inline uint8_t mcq__greeting_agreed(const mcq__greeting_t* g) {
  return g->major == 3 && g->minor == 0 ? 0 : 1;
}

#endif
