/* SPDX-License-Identifier: MIT */
/* Slices in order, awaiting the wire.  Called by whoever has bytes to send or
 * to hold: the outbox, the sessions, the write pumps.  It never copies payload
 * except for peek, and every part it holds is counted and not empty. */
#include "base/chain.h"

static mcq__slice_t* part_at(const mcq__chain_t* c, size_t i) {
  return (mcq__slice_t*) mcq__fifo_at(&c->parts_, i);
}

static void drop_first(mcq__chain_t* c) {
  mcq__slice_release(part_at(c, 0));
  mcq__fifo_shift(&c->parts_);
}

static void drop_last(mcq__chain_t* c) {
  mcq__slice_release(part_at(c, c->parts_.count - 1));
  mcq__fifo_pop(&c->parts_);
}

/* The part byte `*off` lies in; `*off` becomes its place there.  The number
 * of parts when the chain is not that long. */
static size_t locate(const mcq__chain_t* c, size_t* off) {
  size_t i = 0;
  while (i < c->parts_.count && *off >= part_at(c, i)->len)
    *off -= part_at(c, i++)->len;
  return i;
}

void mcq__chain_clear(mcq__chain_t* c) {
  while (c->parts_.count > 0) drop_first(c);
  c->bytes = 0;
}

void mcq__chain_dispose(mcq__chain_t* c) {
  mcq__chain_clear(c);
  mcq__fifo_dispose(&c->parts_);
}

/* Invariant: parts join only inside one slab, where frozen bytes next to each
 * other are one range of readable bytes; the part's own count covers both. */
int mcq__chain_push(mcq__chain_t* c, mcq__slice_t s) {
  if (s.len == 0 || mcq__chain_join(c, s)) return 0;
  mcq__slice_t* part = (mcq__slice_t*) mcq__fifo_push(&c->parts_);
  if (part == NULL) return MCQ_ENOMEM;
  *part = mcq__slice_retain(s);
  c->bytes += s.len;
  return 0;
}

size_t mcq__chain_fill(const mcq__chain_t* c, size_t skip, size_t limit,
                       mcq__iov_t* out, size_t max, size_t* total) {
  size_t used = 0;
  size_t sum = 0;
  size_t i = locate(c, &skip);
  for (; i < c->parts_.count && used < max && sum < limit; i++) {
    const mcq__slice_t* part = part_at(c, i);
    size_t len = part->len - skip;
    if (len > limit - sum) len = limit - sum;
    out[used].base = part->data + skip;
    out[used].len = len;
    used++;
    sum += len;
    skip = 0;
  }
  *total = sum;
  return used;
}

void mcq__chain_drain(mcq__chain_t* c, size_t n) {
  mcq__check(n <= c->bytes);
  while (n > 0 && c->parts_.count > 0) {
    mcq__slice_t* part = part_at(c, 0);
    if (n < part->len) {
      part->data += n;
      part->len -= n;
      c->bytes -= n;
      return;
    }
    n -= part->len;
    c->bytes -= part->len;
    drop_first(c);
  }
}

mcq__slice_t mcq__chain_shift(mcq__chain_t* c) {
  mcq__slice_t part = *part_at(c, 0);
  mcq__fifo_shift(&c->parts_);
  c->bytes -= part.len;
  return part;
}

int mcq__chain_share(mcq__chain_t* to, const mcq__chain_t* from, size_t off,
                     size_t len) {
  mcq__check(off <= from->bytes && len <= from->bytes - off);
  size_t before = to->bytes;
  for (size_t i = locate(from, &off); len > 0 && i < from->parts_.count; i++) {
    mcq__slice_t part = *part_at(from, i);
    size_t n = part.len - off < len ? part.len - off : len;
    int err = mcq__chain_push(to, mcq__slice_sub(part, off, n));
    if (err != 0) {
      mcq__chain_cut(to, before);
      return err;
    }
    len -= n;
    off = 0;
  }
  return 0;
}

void mcq__chain_cut(mcq__chain_t* c, size_t bytes) {
  while (c->bytes > bytes) {
    size_t excess = c->bytes - bytes;
    mcq__slice_t* last = part_at(c, c->parts_.count - 1);
    if (excess < last->len) {
      last->len -= excess;
      c->bytes = bytes;
      return;
    }
    c->bytes -= last->len;
    drop_last(c);
  }
}

/* Makes part `i` two, the second of which begins at its byte `off`. */
static int split(mcq__chain_t* c, size_t i, size_t off) {
  if (mcq__fifo_push(&c->parts_) == NULL) return MCQ_ENOMEM;
  for (size_t k = c->parts_.count - 1; k > i + 1; k--)
    *part_at(c, k) = *part_at(c, k - 1);
  mcq__slice_t* first = part_at(c, i);
  mcq__slice_t* second = part_at(c, i + 1);
  *second = mcq__slice_retain(mcq__slice_sub(*first, off, first->len - off));
  first->len = off;
  return 0;
}

/* Invariant: whole parts are released where they lie, and the few before them
 * move up; what is left of the last one begins later. */
int mcq__chain_take_out(mcq__chain_t* c, size_t off, size_t len) {
  mcq__check(off <= c->bytes && len <= c->bytes - off);
  size_t i = locate(c, &off);
  if (off != 0) {
    int rc = split(c, i++, off);
    if (rc != 0) return rc;
  }
  c->bytes -= len;
  size_t end = i;
  while (end < c->parts_.count && len >= part_at(c, end)->len) {
    len -= part_at(c, end)->len;
    mcq__slice_release(part_at(c, end++));
  }
  if (len > 0) {
    part_at(c, end)->data += len;
    part_at(c, end)->len -= len;
  }
  size_t gone = end - i;
  for (size_t k = i; k-- > 0 && gone > 0;)
    *part_at(c, k + gone) = *part_at(c, k);
  while (gone-- > 0) mcq__fifo_shift(&c->parts_);
  return 0;
}

/* Invariant: copies at most `len` bytes in all into `out`, and no more from a
 * part than it has. */
void mcq__chain_peek(const mcq__chain_t* c, size_t off, void* out, size_t len) {
  mcq__check(off <= c->bytes && len <= c->bytes - off);
  char* to = (char*) out;
  for (size_t i = locate(c, &off); len > 0 && i < c->parts_.count; i++) {
    const mcq__slice_t* part = part_at(c, i);
    size_t n = part->len - off < len ? part->len - off : len;
    memcpy(to, part->data + off, n);
    to += n;
    len -= n;
    off = 0;
  }
}

mcq__slice_t mcq__chain_slice(const mcq__chain_t* c, size_t off, size_t len) {
  size_t i = locate(c, &off);
  if (len == 0 || i == c->parts_.count) return mcq__slice_static(NULL, 0);
  return mcq__slice_sub(*part_at(c, i), off, len);
}
