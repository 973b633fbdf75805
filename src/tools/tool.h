/* SPDX-License-Identifier: MIT */
/* What the tools share: exit codes, messages to the person at the terminal,
 * numbers and words from the command line, a byte buffer.  It knows neither
 * sockets nor loops. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tool_exit { /* of every tool */
                 TOOL_DONE = 0,
                 TOOL_FAILED = 1,
                 TOOL_USAGE = 2,
                 TOOL_TIMEOUT = 4
};

/* Comes first.  `name` begins every message.  Descriptors 0 to 2 are open
 * afterwards, so that nothing else is ever taken for them. */
void tool_begin(const char* name);

/* "name: message" and a newline, to stderr. */
void tool_say(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* The same about a failure at run time; returns TOOL_FAILED. */
int tool_fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* The same about bad usage, and where to read on; returns TOOL_USAGE. */
int tool_misuse(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* Bad usage: `word` is no `what`.  Names the nearest of `words`. */
int tool_unknown(const char* what, const char* word, const char* const* words,
                 size_t count);

/* The index of `word` in `words`, or -1. */
int tool_find(const char* word, const char* const* words, size_t count);

/* The whole of `text` as a decimal number within bounds. */
bool tool_number(const char* text, int64_t min, int64_t max, int64_t* out);

/* MCQ_BACKEND_* of "auto", "uv" or "uring", or -1 and a message. */
int tool_backend(const char* word);

/* Memory, or the end of the program: a tool has nothing better to do. */
void* tool_alloc(size_t size);
void* tool_realloc(void* old, size_t size);

/* Bytes that grow at the end.  Zeroed is empty. */
typedef struct tool_buffer {
  char* data;
  size_t len;
  size_t cap;
} tool_buffer_t;

/* Room for `extra` more bytes at data + len. */
void tool_buffer_reserve(tool_buffer_t* b, size_t extra);
void tool_buffer_add(tool_buffer_t* b, const void* data, size_t len);
void tool_buffer_free(tool_buffer_t* b);

/* Writes all of it, waiting where the descriptor makes us wait.  0 or -errno.
 * A descriptor that libuv made non-blocking (standard input and output may
 * share one) is waited for as well. */
int tool_write(int fd, const void* data, size_t len);

#endif
