/* SPDX-License-Identifier: MIT */
/* How often more than once a slot asked for a prefix, for publishers that
 * count.  Beside a prefix table, which is a set: here are only those that were
 * repeated, so that who repeats nothing costs nothing. */
#ifndef MCQ__HUB_REPEATS_H
#define MCQ__HUB_REPEATS_H

#include "base/hash.h"
#include "hub/prefix.h"

typedef struct mcq__repeats {
  mcq__hash_t counts; /* by slot and text */
} mcq__repeats_t;

void mcq__repeats_init(mcq__repeats_t* r, mcq__mem_t* mem,
                       const uint64_t seed[2]);
void mcq__repeats_dispose(mcq__repeats_t* r);

/* One more of what the slot holds in `t` already.  0, MCQ_ENOMEM, or
 * MCQ_EMSGLIMIT: too many to be counted. */
int mcq__repeats_add(mcq__repeats_t* r, const mcq__prefix_t* t, uint32_t slot,
                     mcq_frame_t prefix);

/* One less; false: there was no repeated one, and the slot's only one is meant.
 */
bool mcq__repeats_remove(mcq__repeats_t* r, const mcq__prefix_t* t,
                         uint32_t slot, mcq_frame_t prefix);

/* To be called before the table forgets: one prefix of a slot, all of them. */
void mcq__repeats_forget(mcq__repeats_t* r, const mcq__prefix_t* t,
                         uint32_t slot, mcq_frame_t prefix);
void mcq__repeats_drop(mcq__repeats_t* r, const mcq__prefix_t* t,
                       uint32_t slot);

#endif
