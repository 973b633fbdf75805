/* SPDX-License-Identifier: MIT */
/* Frame headers, read and written.  Called once a frame on either path, so
 * nothing here loops over more than the header and nothing allocates. */
#include "zmtp/frame.h"

#include "base/cursor.h"

int mcq__frame_read(mcq__frame_t* f, mcq__slice_t bytes, const char** why) {
  mcq__cursor_t c = mcq__cursor(bytes);
  f->flags = mcq__cursor_u8(&c);
  if (c.bad) return 0;
  if ((f->flags & ~MCQ__FRAME_KNOWN) != 0) {
    *why = "reserved flag bits are set";
    return MCQ_EFRAME;
  }
  if ((f->flags & MCQ__FRAME_COMMAND) != 0 &&
      (f->flags & MCQ__FRAME_MORE) != 0) {
    *why = "a command with the MORE flag";
    return MCQ_EFRAME;
  }
  f->len = (f->flags & MCQ__FRAME_LONG) != 0 ? mcq__cursor_u64(&c)
                                             : mcq__cursor_u8(&c);
  if (c.bad) return 0;
  if (f->len >> 63 != 0) {
    *why = "a length with its top bit set";
    return MCQ_EFRAME;
  }
  f->size = (uint8_t) c.at;
  return 1;
}

size_t mcq__frame_write(uint8_t out[MCQ__HEAD_MAX], size_t len, uint8_t flags) {
  if (mcq__likely(len <= 255)) {
    out[0] = flags;
    out[1] = (uint8_t) len;
    return 2;
  }
  out[0] = flags | MCQ__FRAME_LONG;
  mcq__put_u64(&out[1], len);
  return MCQ__FRAME_HEAD_MAX;
}

size_t mcq__frame_head(uint8_t out[MCQ__HEAD_MAX], size_t len, bool more) {
  return mcq__frame_write(out, len, more);
}

size_t mcq__frame_unhead(const uint8_t* in, size_t have, uint64_t* len,
                         bool* more) {
  mcq__frame_t f = {0, 0, 0};
  const char* why;
  mcq__frame_read(&f, mcq__slice_static(in, have), &why);
  *len = f.len;
  *more = (f.flags & MCQ__FRAME_MORE) != 0;
  return f.size;
}
