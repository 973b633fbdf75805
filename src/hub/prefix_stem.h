/* SPDX-License-Identifier: MIT */
/* One stored prefix, prepared so that a topic that begins with it is known by
 * a glance.  Topics that follow one another often do, and whoever searched the
 * table for the last one keeps this for the next.  It points at the text: with
 * the prefix it becomes stale, which is its keeper's business. */
#ifndef MCQ__HUB_PREFIX_STEM_H
#define MCQ__HUB_PREFIX_STEM_H

#include "hub/prefix_text.h"

/* Zeroed: no topic begins with it. */
typedef struct mcq__stem {
  mcq_frame_t text; /* borrowed from the table */
  uint64_t key;     /* the first eight bytes of it */
  uint64_t mask;    /* those of them that it has */
  bool set;
} mcq__stem_t;

static inline mcq__stem_t mcq__stem_of(const mcq__texts_t* x, uint32_t id) {
  mcq__stem_t stem = {.text = mcq__text_frame(x, id), .set = true};
  size_t len = stem.text.len < 8 ? stem.text.len : 8;
  stem.key = mcq__text_key(stem.text, 0);
  stem.mask = len == 0 ? 0 : UINT64_MAX << (64 - 8 * len);
  return stem;
}

static inline bool mcq__stem_begins(const mcq__stem_t* stem,
                                    mcq_frame_t topic) {
  if (!stem->set || topic.len < stem->text.len) return false;
  if (stem->mask == 0) return true;
  if (((mcq__text_key(topic, 0) ^ stem->key) & stem->mask) != 0) return false;
  return stem->text.len <= 8 || mcq__text_starts(topic, stem->text);
}

#endif
