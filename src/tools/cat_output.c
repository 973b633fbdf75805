/* SPDX-License-Identifier: MIT */
/* Messages to standard output.  Writing waits when the reader is slow: the
 * loop then waits too, its sockets are not read, and the other side feels it,
 * which is what a pipe is for. */
#include "cat_output.h"

#include <stdlib.h>
#include <unistd.h>

enum { FLUSH_AT = 65536 };

static void on_idle(uv_idle_t* idle) {
  cat_output_t* out = idle->data;
  uv_idle_stop(idle);
  cat_output_flush(out);
  if (out->error == 0) return;
  if (out->on_error != NULL) out->on_error(out, out->error);
  out->on_error = NULL;
}

void cat_output_open(cat_output_t* output, uv_loop_t* loop) {
  uv_idle_init(loop, &output->idle);
  output->idle.data = output;
}

void cat_output_frames(cat_output_t* output, const mcq_frame_t* frames,
                       size_t count) {
  cat_write(output->format, frames, count, &output->bytes);
  if (output->bytes.len >= FLUSH_AT) cat_output_flush(output);
  uv_idle_start(&output->idle, on_idle);
}

void cat_output_message(cat_output_t* output, const mcq_frame_t* id,
                        const mcq_msg_t* msg) {
  size_t count = mcq_msg_count(msg);
  size_t n = 0;
  if (output->frames_cap < count + 1) {
    output->frames_cap = count + 1;
    output->frames = tool_realloc(output->frames,
                                  output->frames_cap * sizeof *output->frames);
  }
  if (id != NULL) output->frames[n++] = *id;
  for (size_t i = 0; i < count; i++)
    output->frames[n++] = mcq_msg_frame(msg, i);
  cat_output_frames(output, output->frames, n);
}

void cat_output_flush(cat_output_t* output) {
  if (output->error == 0)
    output->error =
        tool_write(STDOUT_FILENO, output->bytes.data, output->bytes.len);
  output->bytes.len = 0;
}

void cat_output_close(cat_output_t* output) {
  cat_output_flush(output);
  output->on_error = NULL;
  uv_close((uv_handle_t*) &output->idle, NULL);
}

void cat_output_free(cat_output_t* output) {
  free(output->frames);
  tool_buffer_free(&output->bytes);
}
