/* SPDX-License-Identifier: MIT */
/* The list of socket types.  Adding one is adding its file and its line. */
#include "socket/pattern.h"

static const mcq__pattern_t* const patterns[] = {
    &mcq__pattern_stream, &mcq__pattern_pub,  &mcq__pattern_sub,
    &mcq__pattern_xpub,   &mcq__pattern_xsub, &mcq__pattern_pair,
    &mcq__pattern_req,    &mcq__pattern_rep,  &mcq__pattern_dealer,
    &mcq__pattern_router, &mcq__pattern_pull, &mcq__pattern_push,
};

const mcq__pattern_t* mcq__pattern_find(int type) {
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
    if (patterns[i]->type == type) return patterns[i];
  return NULL;
}
