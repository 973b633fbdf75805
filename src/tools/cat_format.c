/* SPDX-License-Identifier: MIT */
/* Lines to messages and back, in mcqcat's formats.  A line is bytes: it may
 * hold anything but a newline. */
#include "cat_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cat_json.h"

void cat_message_begin(cat_message_t* m, size_t len) {
  m->count = 0;
  m->bytes.len = 0;
  tool_buffer_reserve(&m->bytes, len);
}

void cat_message_add(cat_message_t* m, const void* data, size_t len) {
  if (m->count == m->cap) {
    m->cap = m->cap > 0 ? m->cap * 2 : 8;
    m->frames = tool_realloc(m->frames, m->cap * sizeof *m->frames);
  }
  m->frames[m->count++] = (mcq_frame_t){data, len};
}

/* ---- text ---------------------------------------------------------------- */

static int read_text(const char* line, size_t len, cat_message_t* m) {
  const char* end = line + len;
  for (;;) {
    const char* tab = memchr(line, '\t', (size_t) (end - line));
    if (tab == NULL) break;
    cat_message_add(m, line, (size_t) (tab - line));
    line = tab + 1;
  }
  cat_message_add(m, line, (size_t) (end - line));
  return 0;
}

static void write_text(const mcq_frame_t* frames, size_t count,
                       tool_buffer_t* out) {
  for (size_t i = 0; i < count; i++) {
    if (i > 0) tool_buffer_add(out, "\t", 1);
    tool_buffer_add(out, frames[i].data, frames[i].len);
  }
  tool_buffer_add(out, "\n", 1);
}

/* ---- hex ----------------------------------------------------------------- */

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Adds a frame from hex digits.  m->bytes has room for all of the line, so
 * the frames before it stay where they are. */
int cat_message_add_hex(cat_message_t* m, const char* text, size_t len) {
  if (len % 2 != 0) {
    snprintf(m->error, sizeof m->error, "an odd number of hex digits");
    return CAT_LINE_BAD;
  }
  char* start = m->bytes.data + m->bytes.len;
  for (size_t i = 0; i < len; i += 2) {
    int high = digit(text[i]);
    int low = digit(text[i + 1]);
    if (high < 0 || low < 0) {
      snprintf(m->error, sizeof m->error, "'%.2s' is not a byte in hex",
               text + i);
      return CAT_LINE_BAD;
    }
    m->bytes.data[m->bytes.len++] = (char) (high << 4 | low);
  }
  cat_message_add(m, start, len / 2);
  return 0;
}

static int read_hex_frame(cat_message_t* m, const char* text, size_t len) {
  if (len == 1 && text[0] == '-') {
    cat_message_add(m, NULL, 0);
    return 0;
  }
  if (len == 0) {
    snprintf(m->error, sizeof m->error,
             "frames stand one space apart; an empty one is '-'");
    return CAT_LINE_BAD;
  }
  return cat_message_add_hex(m, text, len);
}

static int read_hex(const char* line, size_t len, cat_message_t* m) {
  if (len == 0) return CAT_LINE_BLANK;
  const char* end = line + len;
  for (;;) {
    const char* space = memchr(line, ' ', (size_t) (end - line));
    const char* stop = space != NULL ? space : end;
    int rc = read_hex_frame(m, line, (size_t) (stop - line));
    if (rc != 0 || space == NULL) return rc;
    line = space + 1;
  }
}

void cat_hex(const void* data, size_t len, tool_buffer_t* out) {
  static const char digits[] = "0123456789abcdef";
  const unsigned char* bytes = data;
  tool_buffer_reserve(out, len * 2);
  for (size_t i = 0; i < len; i++) {
    out->data[out->len++] = digits[bytes[i] >> 4];
    out->data[out->len++] = digits[bytes[i] & 15];
  }
}

static void write_hex(const mcq_frame_t* frames, size_t count,
                      tool_buffer_t* out) {
  for (size_t i = 0; i < count; i++) {
    if (i > 0) tool_buffer_add(out, " ", 1);
    if (frames[i].len == 0)
      tool_buffer_add(out, "-", 1);
    else
      cat_hex(frames[i].data, frames[i].len, out);
  }
  tool_buffer_add(out, "\n", 1);
}

/* ---- JSON ---------------------------------------------------------------- */

static bool blank(const char* line, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
  return true;
}

/* A string decodes to no more bytes than it takes on the line, so it fits
 * m->bytes too. */
static int add_json(cat_message_t* m, const json_t* item) {
  if (json_is_string(item)) {
    const char* start = m->bytes.data + m->bytes.len;
    tool_buffer_add(&m->bytes, json_string_value(item),
                    json_string_length(item));
    cat_message_add(m, start, json_string_length(item));
    return 0;
  }
  const json_t* hex = json_object_get(item, "hex");
  if (!json_is_string(hex) || json_object_size(item) != 1) {
    snprintf(m->error, sizeof m->error,
             "a frame is a string or {\"hex\":\"...\"}");
    return CAT_LINE_BAD;
  }
  return cat_message_add_hex(m, json_string_value(hex),
                             json_string_length(hex));
}

static int add_array(cat_message_t* m, const json_t* array) {
  if (!json_is_array(array) || json_array_size(array) == 0) {
    snprintf(m->error, sizeof m->error,
             "a message is an array of at least one frame");
    return CAT_LINE_BAD;
  }
  for (size_t i = 0; i < json_array_size(array); i++) {
    int rc = add_json(m, json_array_get(array, i));
    if (rc != 0) return rc;
  }
  return 0;
}

static int read_json(const char* line, size_t len, cat_message_t* m) {
  if (blank(line, len)) return CAT_LINE_BLANK;
  json_error_t error;
  json_t* array = json_loadb(
      line, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
      &error);
  if (array == NULL) {
    snprintf(m->error, sizeof m->error, "%.100s", error.text);
    return CAT_LINE_BAD;
  }
  int rc = add_array(m, array);
  json_decref(array);
  return rc;
}

static void write_json(const mcq_frame_t* frames, size_t count,
                       tool_buffer_t* out) {
  json_t* array = json_array();
  for (size_t i = 0; i < count; i++)
    json_array_append_new(array, cat_json_bytes(frames[i].data, frames[i].len));
  cat_json_line(array, out);
}

/* ---- all of them --------------------------------------------------------- */

int cat_read(cat_format_t format, const char* line, size_t len,
             cat_message_t* m) {
  cat_message_begin(m, len);
  switch (format) {
    case CAT_TEXT:
      return read_text(line, len, m);
    case CAT_JSON:
      return read_json(line, len, m);
    case CAT_HEX:
      return read_hex(line, len, m);
    case CAT_RAW:
      break;
  }
  cat_message_add(m, line, len);
  return 0;
}

void cat_message_free(cat_message_t* m) {
  free(m->frames);
  tool_buffer_free(&m->bytes);
  *m = (cat_message_t){0};
}

void cat_write(cat_format_t format, const mcq_frame_t* frames, size_t count,
               tool_buffer_t* out) {
  switch (format) {
    case CAT_TEXT:
      write_text(frames, count, out);
      break;
    case CAT_HEX:
      write_hex(frames, count, out);
      break;
    case CAT_JSON:
      write_json(frames, count, out);
      break;
    case CAT_RAW:
      for (size_t i = 0; i < count; i++)
        tool_buffer_add(out, frames[i].data, frames[i].len);
      break;
  }
}
