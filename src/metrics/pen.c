/* SPDX-License-Identifier: MIT */
/* Writing text (see pen.h), a character at a time.  Called by the exporter;
 * keeps nothing and allocates nothing. */
#include "metrics/pen.h"

#include <stdio.h>
#include <string.h>

void mcq__pen_open(mcq__pen_t* t, char* buffer, size_t size) {
  *t = (mcq__pen_t){.buffer = buffer, .size = size};
}

static void hand_on(mcq__pen_t* t) {
  if (t->rc == 0 && t->used > 0) t->rc = t->sink(t->buffer, t->used, t->arg);
  t->used = 0;
}

static void put_char(mcq__pen_t* t, char c) {
  t->total++;
  if (t->used == t->size && t->sink != NULL) hand_on(t);
  if (t->used < t->size) t->buffer[t->used++] = c;
}

void mcq__pen_put(mcq__pen_t* t, const char* text) {
  for (; *text != '\0'; text++) put_char(t, *text);
}

void mcq__pen_number(mcq__pen_t* t, uint64_t number) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long) number);
  mcq__pen_put(t, digits);
}

void mcq__pen_fraction(mcq__pen_t* t, uint64_t number, uint64_t per) {
  uint64_t rest = number % per;
  mcq__pen_number(t, number / per);
  if (rest == 0) return;
  put_char(t, '.');
  while (rest != 0) {
    rest *= 10;
    put_char(t, (char) ('0' + rest / per));
    rest %= per;
  }
}

/* How many bytes the character at `s` has, of `len` that are there; 0: it is
 * none.  RFC 3629, the table in section 4. */
static size_t utf8(const uint8_t* s, size_t len) {
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  size_t size = s[0] < 0x80                    ? 1
                : s[0] >= 0xC2 && s[0] <= 0xDF ? 2
                : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
                : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                               : 0;
  if (s[0] == 0xE0) low = 0xA0;
  if (s[0] == 0xED) high = 0x9F;
  if (s[0] == 0xF0) low = 0x90;
  if (s[0] == 0xF4) high = 0x8F;
  if (size > len) return 0;
  for (size_t i = 1; i < size; i++) {
    if (s[i] < low || s[i] > high) return 0;
    low = 0x80;
    high = 0xBF;
  }
  return size;
}

static void put_escaped(mcq__pen_t* t, char c) {
  if (c == '\n') {
    mcq__pen_put(t, "\\n");
    return;
  }
  if (c == '"' || c == '\\') put_char(t, '\\');
  put_char(t, c);
}

void mcq__pen_quoted(mcq__pen_t* t, const void* data, size_t len) {
  const uint8_t* s = (const uint8_t*) data;
  put_char(t, '"');
  for (size_t i = 0; i < len;) {
    size_t size = utf8(&s[i], len - i);
    if (size == 0) mcq__pen_put(t, "\xEF\xBF\xBD");
    for (size_t end = i + size; i < end; i++) put_escaped(t, (char) s[i]);
    if (size == 0) i++;
  }
  put_char(t, '"');
}

void mcq__pen_hex(mcq__pen_t* t, const void* data, size_t len) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t* s = (const uint8_t*) data;
  put_char(t, '"');
  for (size_t i = 0; i < len; i++) {
    put_char(t, digits[s[i] >> 4]);
    put_char(t, digits[s[i] & 15]);
  }
  put_char(t, '"');
}

int mcq__pen_close(mcq__pen_t* t) {
  if (t->sink != NULL) hand_on(t);
  return t->rc;
}
