/* SPDX-License-Identifier: MIT */
/* Lines from standard input, or whatever bytes there are, whatever it is
 * (terminal, pipe, socket, file), through the loop.  A line the taker has no
 * room for stays here and nothing more is read until cat_input_resume. */
#ifndef CAT_INPUT_H
#define CAT_INPUT_H

#include <uv.h>

#include "tool.h"

typedef struct cat_input {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tty_t tty;
    uv_tcp_t tcp;
  } u;
  uv_fs_t request; /* of a file, which libuv reads in its own way */
  bool file;
  bool raw;      /* no lines: what there is, newlines and all */
  bool open;     /* u is an open handle */
  bool reading;  /* a read is wanted, or out for a file */
  bool ended;    /* nothing more will be read */
  bool finished; /* on_end was called, or closed */
  int code;      /* of the end: 0 or negative */
  tool_buffer_t bytes;
  size_t start;   /* of the first line not yet taken */
  size_t scanned; /* no newline before this */
  uv_loop_t* loop;

  /* One line without its newline.  0: taken.  Anything else: not taken, and
   * no other line comes until cat_input_resume. */
  int (*on_line)(struct cat_input* input, const char* line, size_t len);

  /* All was taken; `code` is 0 or what ended the reading.  Once. */
  void (*on_end)(struct cat_input* input, int code);

  void* data; /* the user's */
} cat_input_t;

/* Begins to read descriptor 0.  Zero `input` first and set raw, on_line,
 * on_end and data.  No callback comes from inside this call.  0 or negative. */
int cat_input_open(cat_input_t* input, uv_loop_t* loop);

/* Offers the line that was not taken again, then reads on. */
void cat_input_resume(cat_input_t* input);

/* Ends; no callback comes after this.  Idempotent.  Once the loop has run
 * out, cat_input_free. */
void cat_input_close(cat_input_t* input);
void cat_input_free(cat_input_t* input);

#endif
