/* SPDX-License-Identifier: MIT */
/* Any bytes as a frame header.  Properties: what is read is what the bytes
 * say, it does not depend on what follows the header, and writing it again
 * gives the same bytes (the short form where the long one was not needed). */
#include <stdlib.h>

#include "base/cursor.h"
#include "zmtp/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len);

static void require(bool property) {
  if (!property) abort();
}

static void same_when_written(const mcq__frame_t* f, const uint8_t* data) {
  uint8_t head[MCQ__HEAD_MAX];
  mcq__frame_t again;
  const char* why;
  if (f->len > SIZE_MAX) return;
  size_t size = mcq__frame_write(head, (size_t) f->len,
                                 f->flags & (uint8_t) ~MCQ__FRAME_LONG);
  require(size == (f->len > 255 ? 9 : 2));
  require(mcq__frame_read(&again, mcq__slice_static(head, size), &why) == 1);
  require(again.len == f->len && again.size == size);
  require(((again.flags ^ f->flags) & ~MCQ__FRAME_LONG) == 0);
  if (size == f->size) require(memcmp(head, data, size) == 0);
  if ((f->flags & MCQ__FRAME_COMMAND) == 0) {
    uint8_t hot[MCQ__HEAD_MAX];
    bool more = (f->flags & MCQ__FRAME_MORE) != 0;
    require(mcq__frame_head(hot, (size_t) f->len, more) == size);
    require(memcmp(hot, head, size) == 0);
    uint64_t len;
    require(mcq__frame_unhead(hot, size, &len, &more) == size);
    require(len == f->len && more == ((f->flags & MCQ__FRAME_MORE) != 0));
  }
}

/* Prefixes are awaited, or refused for the same reason. */
static void same_when_cut(const uint8_t* data, size_t len, int rc) {
  mcq__frame_t f;
  const char* why;
  int last = 0;
  for (size_t n = 0; n <= len && n <= 9; n++) {
    int now = mcq__frame_read(&f, mcq__slice_static(data, n), &why);
    require(last == 0 || now == last);
    last = now;
  }
  require(last == rc);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len) {
  mcq__frame_t f;
  const char* why = NULL;
  int rc = mcq__frame_read(&f, mcq__slice_static(data, len), &why);
  same_when_cut(data, len, rc);
  if (len == 0) {
    require(rc == 0);
    return 0;
  }
  bool odd = data[0] > 7 || (data[0] & 5) == 5;
  size_t size = (data[0] & 2) != 0 ? 9 : 2;
  bool vast = size == 9 && len >= 9 && data[1] >= 0x80;
  require((rc < 0) == (odd || vast));
  if (rc < 0) require(rc == MCQ_EFRAME && why != NULL);
  require((rc == 1) == (!odd && !vast && len >= size));
  if (rc != 1) return 0;
  uint64_t value = 0;
  for (size_t i = 1; i < size; i++) value = value << 8 | data[i];
  require(f.size == size && f.len == value && f.flags == data[0]);
  same_when_written(&f, data);
  return 0;
}
