/* SPDX-License-Identifier: MIT */
/* Greetings, built and checked.  Called by the session during the first 64
 * bytes of a connection; it looks at single bytes, so however the greeting is
 * cut into reads the verdict is the same. */
#include "zmtp/greeting.h"

enum { /* offsets of the fields */
       AT_TAIL = 9,
       AT_MAJOR = 10,
       AT_MINOR = 11,
       AT_MECHANISM = 12,
       AT_SERVER = AT_MECHANISM + MCQ__MECHANISM_SIZE
};

void mcq__greeting_make(uint8_t out[MCQ__GREETING_SIZE], const char* mechanism,
                        bool as_server) {
  for (size_t i = 0; i < MCQ__GREETING_SIZE; i++) out[i] = 0;
  out[0] = 0xFF;
  out[AT_TAIL] = 0x7F;
  out[AT_MAJOR] = 3;
  out[AT_MINOR] = 1;
  for (size_t i = 0; i < MCQ__MECHANISM_SIZE && mechanism[i] != '\0'; i++)
    out[AT_MECHANISM + i] = (uint8_t) mechanism[i];
  out[AT_SERVER] = as_server;
}

/* Does the field hold exactly `name`, then zeros? */
static bool named(const uint8_t field[MCQ__MECHANISM_SIZE], const char* name) {
  for (size_t i = 0; i < MCQ__MECHANISM_SIZE; i++) {
    if (field[i] != (uint8_t) *name) return false;
    if (*name != '\0') name++;
  }
  return *name == '\0';
}

/* A peer without versions begins with its identity in a frame of the oldest
 * framing: either a length byte and zero flags, or FF, a long length and zero
 * flags where our signature has 7F.  Anything else is no ZMTP. */
static int check_signature(mcq__greeting_t* g, size_t at, uint8_t byte) {
  if (at == 0) {
    g->first = byte;
    return byte == 0 ? MCQ_EGREETING : 0;
  }
  if (at == 1 && g->first != 0xFF)
    return byte == 0 ? MCQ_ELEGACY : MCQ_EGREETING;
  if (at != AT_TAIL || byte == 0x7F) return 0;
  return (byte & 1) == 0 ? MCQ_ELEGACY : MCQ_EGREETING;
}

static int check(mcq__greeting_t* g, uint8_t byte, const char* mechanism) {
  size_t at = g->have;
  if (at <= AT_TAIL) return check_signature(g, at, byte);
  if (at == AT_MAJOR) {
    g->major = byte;
    return byte < 3 ? MCQ_ELEGACY : 0;
  }
  if (at == AT_MINOR) {
    g->minor = byte;
  } else if (at < AT_SERVER) {
    g->mechanism[at - AT_MECHANISM] = byte;
    if (at == AT_SERVER - 1 && !named(g->mechanism, mechanism))
      return MCQ_EMECHANISM;
  } else if (at == AT_SERVER) {
    g->as_server = byte;
  }
  return 0;
}

size_t mcq__greeting_read(mcq__greeting_t* g, mcq__slice_t bytes,
                          const char* mechanism, int* code) {
  size_t used = 0;
  *code = 0;
  while (used < bytes.len && !mcq__greeting_whole(g)) {
    *code = check(g, bytes.data[used++], mechanism);
    if (*code != 0) break;
    g->have++;
  }
  return used;
}
