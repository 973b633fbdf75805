/* SPDX-License-Identifier: MIT */
/* Messages that own their frames.  Called by the public message functions and
 * by whoever queues a message for later.  It never changes a message once it
 * is made, so that any thread may read and release it.
 *
 * An owned message is one block: the struct, its frames, and behind them the
 * copied bytes when they are few; many lie in one exact slab.  It holds a
 * share of the pool it came from. */
#include "base/msg.h"

/* Up to this many copied bytes lie in the message's own block. */
#define INLINE_MAX ((size_t) 256)

/* Where copied frames go: `at`, or the window when `at` is NULL. */
typedef struct store {
  uint8_t* at;
  mcq__window_t window;
} store_t;

/* An owned message of `count` empty frames with room in `*store` for copies
 * of `copied` bytes, or NULL.  Invariant: struct, frames and inline bytes lie
 * one behind the other in a block whose size does not wrap. */
static mcq_msg_t* make(mcq__pool_t* pool, size_t count, size_t copied,
                       mcq__slice_t** frames, store_t* store) {
  size_t room = copied <= INLINE_MAX ? copied : 0;
  size_t head = sizeof(mcq_msg_t) + INLINE_MAX;
  if (count > (SIZE_MAX - head) / sizeof(mcq__slice_t)) return NULL;
  size_t size = sizeof(mcq_msg_t) + count * sizeof(mcq__slice_t) + room;
  mcq_msg_t* m = (mcq_msg_t*) mcq__mem_zalloc(mcq__pool_mem(pool), size);
  if (m == NULL) return NULL;
  *frames = (mcq__slice_t*) (void*) (m + 1);
  m->frames = *frames;
  m->count = count;
  m->pool = pool;
  atomic_init(&m->refs, 1);
  mcq__pool_retain(pool);
  store_t none = {NULL, {NULL, 0}};
  *store = none;
  if (copied <= INLINE_MAX) {
    store->at = (uint8_t*) (void*) (*frames + count);
  } else if (mcq__window_open_exact(&store->window, pool, copied) != 0) {
    mcq__msg_release(m);
    return NULL;
  }
  return m;
}

/* A copy of `len` bytes as a frame.  Invariant: over all calls no more bytes
 * than the store was made for. */
static mcq__slice_t copy_in(store_t* store, const void* data, size_t len) {
  if (len == 0) return mcq__slice_static(NULL, 0);
  if (store->at == NULL) {
    mcq__window_poke(&store->window, 0, data, len);
    return mcq__window_freeze(&store->window, len);
  }
  mcq__slice_t s = mcq__slice_static(store->at, len);
  memcpy(store->at, data, len);
  store->at += len;
  return s;
}

mcq_msg_t* mcq__msg_copy(mcq__pool_t* pool, const mcq_frame_t* frames,
                         size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    if (frames[i].len > SIZE_MAX - bytes) return NULL;
    bytes += frames[i].len;
  }
  mcq__slice_t* own = NULL;
  store_t store;
  mcq_msg_t* m = make(pool, count, bytes, &own, &store);
  if (m == NULL) return NULL;
  for (size_t i = 0; i < count; i++)
    own[i] = copy_in(&store, frames[i].data, frames[i].len);
  m->bytes = bytes;
  mcq__window_close(&store.window);
  return m;
}

mcq_msg_t* mcq__msg_take(mcq__pool_t* pool, mcq__slice_t slice) {
  mcq__check(slice.slab_ != NULL || slice.len == 0);
  mcq__slice_t* own = NULL;
  store_t store;
  mcq_msg_t* m = make(pool, 1, 0, &own, &store);
  if (m == NULL) return NULL;
  own[0] = slice;
  m->bytes = slice.len;
  return m;
}

mcq_msg_t* mcq__msg_wrap(mcq__pool_t* pool, const void* data, size_t len,
                         void (*release)(void* data, void* arg), void* arg) {
  mcq__slice_t* own = NULL;
  store_t store;
  mcq_msg_t* m = make(pool, 1, 0, &own, &store);
  if (m == NULL) return NULL;
  own[0].slab_ = mcq__slab_foreign(pool, data, len, false, release, arg);
  if (own[0].slab_ == NULL) {
    mcq__msg_release(m);
    return NULL;
  }
  own[0].data = (const uint8_t*) data;
  own[0].len = len;
  m->bytes = len;
  return m;
}

/* The frames that cannot be kept by counting are copied together, whatever
 * their number. */
static mcq_msg_t* own_view(const mcq_msg_t* view) {
  size_t copied = 0;
  for (size_t i = 0; i < view->count; i++) {
    mcq__slice_t s = view->frames[i];
    if (mcq__slice_keepable(s)) continue;
    if (s.len > SIZE_MAX - copied) return NULL;
    copied += s.len;
  }
  mcq__slice_t* own = NULL;
  store_t store;
  mcq_msg_t* m = make(view->pool, view->count, copied, &own, &store);
  if (m == NULL) return NULL;
  for (size_t i = 0; i < view->count; i++) {
    mcq__slice_t s = view->frames[i];
    if (!mcq__slice_keepable(s))
      own[i] = copy_in(&store, s.data, s.len);
    else if (s.len > 0)
      own[i] = mcq__slice_retain(s);
  }
  m->bytes = view->bytes;
  mcq__window_close(&store.window);
  return m;
}

mcq_msg_t* mcq__msg_keep(const mcq_msg_t* m) {
  mcq_msg_t* own = (mcq_msg_t*) (uintptr_t) m;
  if (atomic_load_explicit(&own->refs, memory_order_relaxed) == 0)
    return own_view(m);
  atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
  return own;
}

/* Invariant: whoever takes the last count is alone with the message; the pool
 * outlives the block because the message holds a share of it. */
void mcq__msg_release(mcq_msg_t* m) {
  if (m == NULL) return;
  unsigned before =
      atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
  mcq__check(before != 0);
  if (before != 1) return;
  mcq__pool_t* pool = m->pool;
  mcq__slice_t* own = (mcq__slice_t*) (void*) (m + 1);
  for (size_t i = 0; i < m->count; i++) mcq__slice_release(&own[i]);
  mcq__mem_free(mcq__pool_mem(pool), m);
  mcq__pool_release(pool);
}
