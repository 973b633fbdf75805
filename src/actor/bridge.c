/* SPDX-License-Identifier: MIT */
/* The multipart bridge (see bridge.h).  Called by the actor for each frame of
 * a message that has more than one; never looks at the bytes. */
#include "actor/bridge.h"

/* Storage beyond this many frames goes back when no message of more comes for
 * a while, */
#define FRAMES_FIRST 4
/* and beyond this many at once: a huge message does not weigh on its connection
 * for as long as that is busy. */
#define FRAMES_KEPT 1024

static void give_back(mcq__idle_t* idle) {
  mcq__bridge_shrink(mcq__container_of(idle, mcq__bridge_t, idle));
}

void mcq__bridge_init(mcq__bridge_t* b, const mcq__session_config_t* config) {
  b->config = config;
  b->frames = NULL;
  b->cap = 0;
  b->count = 0;
  b->held = 0;
  b->bytes = 0;
  b->idle = (mcq__idle_t){.give_back = give_back};
}

static void drop_storage(mcq__bridge_t* b) {
  mcq__mem_free(mcq__pool_mem(b->config->pool), b->frames);
  b->frames = NULL;
  b->cap = 0;
}

void mcq__bridge_reset(mcq__bridge_t* b) {
  for (size_t i = 0; i < b->count; i++) mcq__slice_release(&b->frames[i]);
  b->count = 0;
  b->held = 0;
  b->bytes = 0;
}

bool mcq__bridge_rest(mcq__bridge_t* b) {
  if (mcq__likely(b->cap <= FRAMES_FIRST) || b->count != 0) return false;
  if (b->cap <= FRAMES_KEPT) return true;
  drop_storage(b);
  return false;
}

void mcq__bridge_shrink(mcq__bridge_t* b) {
  if (b->count == 0 && b->cap > FRAMES_FIRST) drop_storage(b);
}

void mcq__bridge_dispose(mcq__bridge_t* b) {
  if (b->config == NULL) return;
  mcq__io_idle_end(&b->idle);
  mcq__bridge_reset(b);
  drop_storage(b);
}

static int grow(mcq__bridge_t* b) {
  size_t cap = b->cap;
  void* frames = b->frames;
  int rc = mcq__mem_grow(mcq__pool_mem(b->config->pool), &frames, &cap, cap + 1,
                         sizeof *b->frames);
  if (rc != 0) return rc;
  b->frames = (mcq__slice_t*) frames;
  b->cap = (uint32_t) cap;
  return 0;
}

int mcq__bridge_add(mcq__bridge_t* b, mcq__slice_t frame) {
  const mcq__session_config_t* c = b->config;
  if (b->count >= c->max_frames || b->count > UINT32_MAX / 4)
    return MCQ_EFRAMES;
  if (frame.len > c->max_message - b->bytes) return MCQ_EMSGLIMIT;
  if (b->count == b->cap) {
    int rc = grow(b);
    if (rc != 0) return rc;
  }
  b->frames[b->count++] = mcq__slice_retain(frame);
  b->bytes += frame.len;
  return 0;
}

void mcq__bridge_view(const mcq__bridge_t* b, mcq_msg_t* out) {
  mcq__msg_view(out, b->config->pool, b->frames, b->count, (size_t) b->bytes);
}

/* Small frames are packed together: one allocation for all of them instead of
 * one each. */
static void pack(mcq__window_t* w, mcq__slice_t* frame) {
  mcq__window_poke(w, 0, frame->data, frame->len);
  mcq__slice_t copy = mcq__window_freeze(w, frame->len);
  mcq__slice_release(frame);
  *frame = copy;
}

static size_t bytes_to_pack(const mcq__bridge_t* b) {
  size_t sum = 0;
  for (size_t i = b->held; i < b->count; i++)
    if (b->frames[i].len <= MCQ__KEEP_COPY_MAX) sum += b->frames[i].len;
  return sum;
}

/* What is small is worth being recycled; what is not shall not take more than
 * it needs, for however long. */
static int open_for(mcq__window_t* w, mcq__pool_t* pool, size_t sum) {
  return sum <= MCQ__SLAB_SMALL ? mcq__window_open(w, pool, sum)
                                : mcq__window_open_exact(w, pool, sum);
}

int mcq__bridge_hold(mcq__bridge_t* b) {
  if (b->held == b->count) return 0;
  mcq__window_t w = {NULL, 0};
  size_t sum = bytes_to_pack(b);
  int rc = sum == 0 ? 0 : open_for(&w, b->config->pool, sum);
  for (; rc == 0 && b->held < b->count; b->held++) {
    mcq__slice_t* frame = &b->frames[b->held];
    if (frame->len <= MCQ__KEEP_COPY_MAX) {
      pack(&w, frame);
      continue;
    }
    mcq__slice_t kept;
    rc = mcq__slice_keep(&kept, b->config->pool, *frame);
    if (rc != 0) break;
    mcq__slice_release(frame);
    *frame = kept;
  }
  mcq__window_close(&w);
  return rc;
}
