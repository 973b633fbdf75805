/* SPDX-License-Identifier: MIT */
/* Standard input as lines with backpressure.  Knows libuv and nothing of
 * messages; mcqcat.c gives the lines a meaning. */
#include "cat_input.h"

#include <string.h>

enum { READ_SIZE = 65536 };

static void read_on(cat_input_t* in);

/* ---- lines --------------------------------------------------------------- */

static void drop_taken(cat_input_t* in) {
  if (in->start == 0) return;
  in->bytes.len -= in->start;
  memmove(in->bytes.data, in->bytes.data + in->start, in->bytes.len);
  in->scanned = in->scanned > in->start ? in->scanned - in->start : 0;
  in->start = 0;
}

/* Offers what lies between start and `stop`, a newline or the end. */
static bool offer(cat_input_t* in, size_t stop) {
  const char* line = in->bytes.data + in->start;
  if (in->on_line(in, line, stop - in->start) != 0) return false;
  in->start = in->raw ? stop : stop + 1;
  return true;
}

/* Offers every complete line; false when one was not taken. */
static bool offer_lines(cat_input_t* in) {
  if (in->raw)
    return in->finished || in->start == in->bytes.len ||
           offer(in, in->bytes.len);
  while (!in->finished) {
    size_t from = in->scanned > in->start ? in->scanned : in->start;
    if (from >= in->bytes.len) break;
    const char* found =
        memchr(in->bytes.data + from, '\n', in->bytes.len - from);
    if (found == NULL) {
      in->scanned = in->bytes.len;
      break;
    }
    size_t stop = (size_t) (found - in->bytes.data);
    in->scanned = stop;
    if (!offer(in, stop)) return false;
  }
  return true;
}

/* At the end: the last line may lack its newline. */
static void finish(cat_input_t* in) {
  if (in->start < in->bytes.len && !offer(in, in->bytes.len)) return;
  if (in->finished) return;
  in->finished = true;
  in->on_end(in, in->code);
}

/* A file is read a piece at a time and needs no stopping. */
static void read_off(cat_input_t* in) {
  if (in->file || !in->reading) return;
  uv_read_stop(&in->u.stream);
  in->reading = false;
}

static void serve(cat_input_t* in) {
  if (!offer_lines(in))
    read_off(in);
  else if (in->finished)
    return;
  else if (in->ended)
    finish(in);
  else
    read_on(in);
}

static void end(cat_input_t* in, int code) {
  in->ended = true;
  in->code = code == UV_EOF ? 0 : code;
  serve(in);
}

/* ---- streams ------------------------------------------------------------- */

static void on_alloc(uv_handle_t* handle, size_t hint, uv_buf_t* buf) {
  (void) hint;
  cat_input_t* in = handle->data;
  drop_taken(in);
  tool_buffer_reserve(&in->bytes, READ_SIZE);
  *buf = uv_buf_init(in->bytes.data + in->bytes.len, READ_SIZE);
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  (void) buf;
  cat_input_t* in = stream->data;
  if (n == 0) return;
  if (n < 0) {
    read_off(in);
    end(in, (int) n);
    return;
  }
  in->bytes.len += (size_t) n;
  serve(in);
}

/* ---- files --------------------------------------------------------------- */

static void on_file_read(uv_fs_t* request) {
  cat_input_t* in = request->data;
  ssize_t n = request->result;
  uv_fs_req_cleanup(request);
  in->reading = false;
  if (in->finished) return;
  if (n <= 0) {
    end(in, (int) n);
    return;
  }
  in->bytes.len += (size_t) n;
  serve(in);
}

static int read_file(cat_input_t* in) {
  drop_taken(in);
  tool_buffer_reserve(&in->bytes, READ_SIZE);
  uv_buf_t buf = uv_buf_init(in->bytes.data + in->bytes.len, READ_SIZE);
  in->request.data = in;
  return uv_fs_read(in->loop, &in->request, 0, &buf, 1, -1, on_file_read);
}

/* ---- both ---------------------------------------------------------------- */

static void read_on(cat_input_t* in) {
  if (in->reading) return;
  in->reading = true;
  int rc = in->file ? read_file(in)
                    : uv_read_start(&in->u.stream, on_alloc, on_read);
  if (rc == 0) return;
  in->reading = false;
  end(in, rc);
}

static int open_handle(cat_input_t* in, uv_handle_type type) {
  int rc;
  switch (type) {
    case UV_TTY:
      rc = uv_tty_init(in->loop, &in->u.tty, 0, 0);
      in->open = rc == 0;
      return rc;
    case UV_TCP:
      rc = uv_tcp_init(in->loop, &in->u.tcp);
      in->open = rc == 0;
      return rc == 0 ? uv_tcp_open(&in->u.tcp, 0) : rc;
    case UV_NAMED_PIPE:
      rc = uv_pipe_init(in->loop, &in->u.pipe, 0);
      in->open = rc == 0;
      return rc == 0 ? uv_pipe_open(&in->u.pipe, 0) : rc;
    default:
      return UV_ENOTSUP;
  }
}

int cat_input_open(cat_input_t* input, uv_loop_t* loop) {
  input->loop = loop;
  uv_handle_type type = uv_guess_handle(0);
  input->file = type == UV_FILE;
  if (!input->file) {
    int rc = open_handle(input, type);
    if (rc != 0) return rc;
    input->u.handle.data = input;
  }
  input->reading = true;
  int rc = input->file ? read_file(input)
                       : uv_read_start(&input->u.stream, on_alloc, on_read);
  if (rc != 0) input->reading = false;
  return rc;
}

void cat_input_resume(cat_input_t* input) {
  if (input->finished || input->reading) return;
  serve(input);
}

void cat_input_close(cat_input_t* input) {
  input->finished = true;
  if (input->reading && input->file) uv_cancel((uv_req_t*) &input->request);
  read_off(input);
  if (input->open) uv_close(&input->u.handle, NULL);
  input->open = false;
}

void cat_input_free(cat_input_t* input) {
  tool_buffer_free(&input->bytes);
}
