/* SPDX-License-Identifier: MIT */
/* Command-line manners of the tools: messages, numbers, words, and the
 * nearest right word when one is wrong.  Never touches a socket. */
#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monocoque.h"

static const char* own_name = "tool";

void tool_begin(const char* name) {
  own_name = name;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
      exit(TOOL_FAILED);
}

static void say(const char* format, va_list args) {
  fprintf(stderr, "%s: ", own_name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
}

void tool_say(const char* format, ...) {
  va_list args;
  va_start(args, format);
  say(format, args);
  va_end(args);
}

int tool_fail(const char* format, ...) {
  va_list args;
  va_start(args, format);
  say(format, args);
  va_end(args);
  return TOOL_FAILED;
}

int tool_misuse(const char* format, ...) {
  va_list args;
  va_start(args, format);
  say(format, args);
  va_end(args);
  fprintf(stderr, "Try '%s --help'.\n", own_name);
  return TOOL_USAGE;
}

/* ---- words --------------------------------------------------------------- */

enum { WORD_MAX = 31 }; /* longer words are compared by their beginning */

/* Case is a small mistake, any other letter a whole one. */
static unsigned differ(char a, char b) {
  if (a == b) return 0;
  return tolower((unsigned char) a) == tolower((unsigned char) b) ? 1 : 2;
}

static unsigned least(unsigned a, unsigned b) {
  return a < b ? a : b;
}

/* Edit distance with swapped neighbours as one edit. */
static unsigned distance(const char* a, const char* b) {
  size_t na = strnlen(a, WORD_MAX);
  size_t nb = strnlen(b, WORD_MAX);
  unsigned d[WORD_MAX + 1][WORD_MAX + 1];
  for (size_t i = 0; i <= na; i++) d[i][0] = (unsigned) i * 2;
  for (size_t j = 0; j <= nb; j++) d[0][j] = (unsigned) j * 2;
  for (size_t i = 1; i <= na; i++) {
    for (size_t j = 1; j <= nb; j++) {
      unsigned best = d[i - 1][j - 1] + differ(a[i - 1], b[j - 1]);
      best = least(best, least(d[i - 1][j], d[i][j - 1]) + 2);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = least(best, d[i - 2][j - 2] + 2);
      d[i][j] = best;
    }
  }
  return d[na][nb];
}

static const char* nearest(const char* word, const char* const* words,
                           size_t count) {
  const char* best = words[0];
  for (size_t i = 1; i < count; i++)
    if (distance(word, words[i]) < distance(word, best)) best = words[i];
  return best;
}

int tool_unknown(const char* what, const char* word, const char* const* words,
                 size_t count) {
  return tool_misuse("unknown %s '%s'; the nearest is '%s'", what, word,
                     nearest(word, words, count));
}

int tool_find(const char* word, const char* const* words, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(word, words[i]) == 0) return (int) i;
  return -1;
}

bool tool_number(const char* text, int64_t min, int64_t max, int64_t* out) {
  if (!isdigit((unsigned char) text[0]) && text[0] != '-') return false;
  char* end = NULL;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0') return false;
  if (value < min || value > max) return false;
  *out = value;
  return true;
}

int tool_backend(const char* word) {
  /* In the order of the MCQ_BACKEND_ numbers. */
  static const char* const names[] = {"auto", "uv", "uring"};
  int i = tool_find(word, names, 3);
  if (i < 0) tool_unknown("back end", word, names, 3);
  return i;
}

/* ---- memory and bytes ---------------------------------------------------- */

void* tool_realloc(void* old, size_t size) {
  void* p = realloc(old, size > 0 ? size : 1);
  if (p == NULL) exit(tool_fail("out of memory"));
  return p;
}

void* tool_alloc(size_t size) {
  return tool_realloc(NULL, size);
}

void tool_buffer_reserve(tool_buffer_t* b, size_t extra) {
  if (b->cap - b->len >= extra) return;
  size_t cap = b->cap > 0 ? b->cap : 256;
  while (cap - b->len < extra) {
    if (cap > SIZE_MAX / 2) exit(tool_fail("out of memory"));
    cap *= 2;
  }
  b->data = tool_realloc(b->data, cap);
  b->cap = cap;
}

void tool_buffer_add(tool_buffer_t* b, const void* data, size_t len) {
  if (len == 0) return;
  tool_buffer_reserve(b, len);
  memcpy(b->data + b->len, data, len);
  b->len += len;
}

void tool_buffer_free(tool_buffer_t* b) {
  free(b->data);
  *b = (tool_buffer_t){0};
}

static void await_room(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  (void) poll(&p, 1, -1);
}

int tool_write(int fd, const void* data, size_t len) {
  const char* at = data;
  while (len > 0) {
    ssize_t n = write(fd, at, len);
    if (n >= 0) {
      at += n;
      len -= (size_t) n;
    } else if (errno == EAGAIN) {
      await_room(fd);
    } else if (errno != EINTR) {
      return -errno;
    }
  }
  return 0;
}
