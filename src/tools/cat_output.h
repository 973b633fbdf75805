/* SPDX-License-Identifier: MIT */
/* Standard output of mcqcat: messages of one turn of the loop leave in one
 * write, and always within that turn. */
#ifndef CAT_OUTPUT_H
#define CAT_OUTPUT_H

#include <uv.h>

#include "cat_format.h"
#include "monocoque.h"

typedef struct cat_output {
  cat_format_t format;
  tool_buffer_t bytes;
  mcq_frame_t* frames; /* a message's, as it is printed */
  size_t frames_cap;
  uv_idle_t idle; /* active while bytes wait: the loop does not sleep on them */
  int error;      /* the first failed write; nothing is written after it */

  /* Standard output failed with `code`.  Once, from the loop. */
  void (*on_error)(struct cat_output* output, int code);
  void* data; /* the user's */
} cat_output_t;

/* Zero `output` first and set format, on_error and data. */
void cat_output_open(cat_output_t* output, uv_loop_t* loop);

/* Writes one message, of frames as they lie there, or one that came, after an
 * id unless that is NULL. */
void cat_output_frames(cat_output_t* output, const mcq_frame_t* frames,
                       size_t count);
void cat_output_message(cat_output_t* output, const mcq_frame_t* id,
                        const mcq_msg_t* msg);

/* Everything leaves now. */
void cat_output_flush(cat_output_t* output);

/* Flushes and ends.  Once the loop has run out, cat_output_free. */
void cat_output_close(cat_output_t* output);
void cat_output_free(cat_output_t* output);

#endif
