/* SPDX-License-Identifier: MIT */
/* How mcqcat reads a message from a line and writes one to a line: text, JSON
 * or hex; or does not touch what travels (raw).  Pure: no descriptors, no
 * sockets. */
#ifndef CAT_FORMAT_H
#define CAT_FORMAT_H

#include "monocoque/types.h"
#include "tool.h"

typedef enum cat_format { CAT_TEXT, CAT_JSON, CAT_HEX, CAT_RAW } cat_format_t;

/* A message read from a line.  Zeroed is empty; the frames point into the
 * line or into `bytes`, and are good until either changes. */
typedef struct cat_message {
  mcq_frame_t* frames;
  size_t count;
  size_t cap;
  tool_buffer_t bytes;
  char error[120]; /* what is wrong with the line */
} cat_message_t;

enum { CAT_LINE_BLANK = 1, CAT_LINE_BAD = -1 };

/* Reads one line, its newline left out.  0; CAT_LINE_BLANK: there is no
 * message on it; CAT_LINE_BAD: m->error says why. */
int cat_read(cat_format_t format, const char* line, size_t len,
             cat_message_t* m);
void cat_message_free(cat_message_t* m);

/* For other ways to read one: begins anew, with room for what `len` digits say;
 * adds a frame as it lies there; adds one from hex digits (0 or
 * CAT_LINE_BAD). */
void cat_message_begin(cat_message_t* m, size_t len);
void cat_message_add(cat_message_t* m, const void* data, size_t len);
int cat_message_add_hex(cat_message_t* m, const char* text, size_t len);

/* Appends one message and, but for raw, a newline. */
void cat_write(cat_format_t format, const mcq_frame_t* frames, size_t count,
               tool_buffer_t* out);

/* Appends bytes as lower-case hex. */
void cat_hex(const void* data, size_t len, tool_buffer_t* out);

#endif
