/* SPDX-License-Identifier: MIT */
/* The slow half of the intake: headers and bodies that straddle reads, and
 * what is held while nobody asks.  Called by the session.  It never looks at
 * limits and never touches memory of a body before its bytes arrive. */
#include "zmtp/intake.h"

static void drop_input(mcq__intake_t* k) {
  mcq__slice_release(&k->in);
  k->at = 0;
  k->held = false;
}

/* Ends what the last body lent. */
static void drop_body(mcq__intake_t* k) {
  if (!k->gathering) mcq__slice_release(&k->body);
}

mcq__slice_t mcq__intake_rest(mcq__intake_t* k) {
  if (k->at == k->in.len) drop_input(k);
  return mcq__slice_sub(k->in, k->at, k->in.len - k->at);
}

void mcq__intake_clear(mcq__intake_t* k) {
  drop_input(k);
  mcq__slice_release(&k->body);
  mcq__window_close(&k->rest);
  k->head_len = 0;
  k->headed = false;
  k->gathering = false;
}

void mcq__intake_feed(mcq__intake_t* k, mcq__slice_t in) {
  mcq__check(k->at == k->in.len);
  drop_body(k);
  drop_input(k);
  if (in.len != 0) k->in = mcq__slice_retain(in);
}

int mcq__intake_hold(mcq__intake_t* k, mcq__pool_t* pool) {
  mcq__slice_t kept = {0};
  drop_body(k);
  if (k->held && k->at < k->in.len) return 0;
  if (k->at < k->in.len) {
    int rc = mcq__slice_keep(&kept, pool, mcq__intake_rest(k));
    if (rc != 0) return rc;
  }
  drop_input(k);
  k->in = kept;
  k->held = true;
  return 0;
}

/* Makes a place for the body: of its size, so that it may be kept for long
 * without a copy, but for a small one, of which there are many. */
static int begin_body(mcq__intake_t* k, mcq__pool_t* pool) {
  if (k->gathering) return 0;
  size_t len = (size_t) k->frame.len;
  int rc = len != 0 && len <= MCQ__SLAB_SMALL
               ? mcq__window_open(&k->rest, pool, len)
               : mcq__window_open_exact(&k->rest, pool, len);
  k->gathering = rc == 0;
  return rc;
}

/* Bytes of the body that is gathered. */
static size_t missing(const mcq__intake_t* k) {
  return (size_t) k->frame.len - k->body.len;
}

/* A body of which nothing is there yet gets its place only now: it may come
 * in one piece that needs none. */
mcq__window_t* mcq__intake_want(mcq__intake_t* k, mcq__pool_t* pool) {
  if (!k->headed || k->at < k->in.len) return NULL;
  if (k->frame.len < MCQ__WANT_MIN || begin_body(k, pool) != 0) return NULL;
  return missing(k) < MCQ__WANT_MIN ? NULL : &k->rest;
}

/* The body grows over what was written. */
void mcq__intake_filled(mcq__intake_t* k, size_t n) {
  if (!k->gathering) return;
  mcq__slice_t piece = mcq__window_freeze(&k->rest, n);
  if (k->body.len == 0) {
    k->body = piece;
    return;
  }
  /* They follow what is there in the same slab: one count is enough. */
  mcq__check(piece.len == 0 || &k->body.data[k->body.len] == piece.data);
  k->body.len += piece.len;
  mcq__slice_release(&piece);
}

/* Gathers a header byte by byte. */
static int gather_head(mcq__intake_t* k, mcq__frame_t* f, const char** why) {
  int rc = 0;
  while (rc == 0 && k->at < k->in.len) {
    k->head[k->head_len++] = k->in.data[k->at++];
    rc = mcq__frame_read(f, mcq__slice_static(k->head, k->head_len), why);
  }
  return rc;
}

int mcq__intake_head(mcq__intake_t* k, mcq__frame_t* f, const char** why) {
  drop_body(k);
  if (!k->headed) {
    int rc = 0;
    if (k->head_len == 0) {
      rc = mcq__frame_read(&k->frame, mcq__intake_rest(k), why);
      if (rc > 0) k->at += k->frame.size;
    }
    if (rc == 0) rc = gather_head(k, &k->frame, why);
    if (rc == 0) drop_input(k);
    if (rc <= 0) return rc;
    k->headed = true;
  }
  *f = k->frame;
  return 1;
}

/* Gathers a body: what is there is copied, the rest is awaited. */
static int gather_body(mcq__intake_t* k, mcq__pool_t* pool) {
  if (!k->gathering && k->at == k->in.len) {
    drop_input(k);
    return 0;
  }
  int rc = begin_body(k, pool);
  if (rc != 0) return rc;
  size_t n = missing(k);
  if (n > k->in.len - k->at) n = k->in.len - k->at;
  mcq__window_poke(&k->rest, 0, mcq__slice_sub(k->in, k->at, n).data, n);
  mcq__intake_filled(k, n);
  k->at += n;
  if (missing(k) == 0) return 1;
  drop_input(k);
  return 0;
}

int mcq__intake_body(mcq__intake_t* k, mcq__pool_t* pool, mcq__slice_t* body) {
  size_t len = (size_t) k->frame.len;
  mcq__check(k->headed && len == k->frame.len);
  if (!k->gathering && len <= k->in.len - k->at) {
    *body = mcq__slice_sub(k->in, k->at, len);
    k->at += len;
  } else {
    int rc = gather_body(k, pool);
    if (rc <= 0) return rc;
    mcq__window_close(&k->rest);
    k->gathering = false;
    *body = k->body;
  }
  k->headed = false;
  k->head_len = 0;
  return 1;
}

bool mcq__intake_quick_long(mcq__intake_t* k, uint8_t allowed, uint64_t room,
                            mcq__slice_t* body, bool* more) {
  const size_t head = MCQ__FRAME_HEAD_MAX;
  size_t left = k->in.len - k->at;
  if (left < head) return false;
  uint8_t flags = k->in.data[k->at];
  if ((flags & ~allowed) != MCQ__FRAME_LONG) return false;
  uint64_t len = mcq__frame_long_len(mcq__slice_sub(k->in, k->at + 1, 8));
  if (len > left - head || len > room) return false;
  *body = mcq__slice_sub(k->in, k->at + head, (size_t) len);
  *more = flags & MCQ__FRAME_MORE;
  k->at += head + (size_t) len;
  return true;
}
