/* SPDX-License-Identifier: MIT */
/* A simple mind's view of publishing, to hold a real publisher against: sets
 * of texts kept as lists, and a reader of what a subscriber says after its
 * READY that looks at the whole of it each time.  Written from RFC 37 and RFC
 * 23, not from src/zmtp.  Nothing here knows the library. */
#ifndef TEST_SUPPORT_NAIVE_H
#define TEST_SUPPORT_NAIVE_H

#include "support/zmtp_rig.h"

/* ---- sets ---------------------------------------------------------------- */

typedef struct naive_text {
  uint8_t* data;
  size_t len;
} naive_text_t;

typedef struct naive_set {
  naive_text_t* texts;
  size_t count;
  size_t cap;
} naive_set_t;

static inline bool naive_same(const naive_text_t* t, const void* data,
                              size_t len) {
  return t->len == len && (len == 0 || memcmp(t->data, data, len) == 0);
}

/* Where it is, or `count`. */
static inline size_t naive_find(const naive_set_t* s, const void* data,
                                size_t len) {
  size_t i = 0;
  while (i < s->count && !naive_same(&s->texts[i], data, len)) i++;
  return i;
}

static inline bool naive_has(const naive_set_t* s, const void* data,
                             size_t len) {
  return naive_find(s, data, len) < s->count;
}

/* Adds it whether it is there or not. */
static inline void naive_push(naive_set_t* s, const void* data, size_t len) {
  if (s->count == s->cap) {
    s->cap = s->cap * 2 + 8;
    s->texts = (naive_text_t*) realloc(s->texts, s->cap * sizeof *s->texts);
    RIG_REQUIRE(s->texts != NULL);
  }
  naive_text_t* t = &s->texts[s->count++];
  t->len = len;
  t->data = (uint8_t*) malloc(len == 0 ? 1 : len);
  RIG_REQUIRE(t->data != NULL);
  if (len != 0) memcpy(t->data, data, len);
}

/* False: it is there already. */
static inline bool naive_add(naive_set_t* s, const void* data, size_t len) {
  if (naive_has(s, data, len)) return false;
  naive_push(s, data, len);
  return true;
}

/* False: it is not there. */
static inline bool naive_drop(naive_set_t* s, const void* data, size_t len) {
  size_t i = naive_find(s, data, len);
  if (i == s->count) return false;
  free(s->texts[i].data);
  s->texts[i] = s->texts[--s->count];
  return true;
}

static inline void naive_clear(naive_set_t* s) {
  for (size_t i = 0; i < s->count; i++) free(s->texts[i].data);
  free(s->texts);
  memset(s, 0, sizeof *s);
}

static inline naive_set_t naive_copy(const naive_set_t* s) {
  naive_set_t copy = {0};
  for (size_t i = 0; i < s->count; i++)
    naive_push(&copy, s->texts[i].data, s->texts[i].len);
  return copy;
}

/* Whether a text of the set is a beginning of `topic`. */
static inline bool naive_matches(const naive_set_t* s, const void* topic,
                                 size_t len) {
  for (size_t i = 0; i < s->count; i++) {
    const naive_text_t* t = &s->texts[i];
    if (t->len <= len && (t->len == 0 || memcmp(t->data, topic, t->len) == 0))
      return true;
  }
  return false;
}

/* ---- diaries ------------------------------------------------------------- */

/* What happened to somebody, in order, a number each: two diaries can be
 * compared without keeping all the words. */
typedef struct naive_diary {
  uint64_t* notes;
  size_t count;
  size_t cap;
} naive_diary_t;

static inline void naive_hash(uint64_t* hash, const void* data, size_t len) {
  const uint8_t* at = (const uint8_t*) data;
  for (size_t i = 0; i < len; i++)
    *hash = (*hash ^ at[i]) * UINT64_C(0x100000001b3);
  *hash = (*hash ^ len) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline void naive_note(naive_diary_t* d, int what, const void* data,
                              size_t len) {
  if (d->count == d->cap) {
    d->cap = d->cap * 2 + 16;
    d->notes = (uint64_t*) realloc(d->notes, d->cap * sizeof *d->notes);
    RIG_REQUIRE(d->notes != NULL);
  }
  uint64_t hash = UINT64_C(0xcbf29ce484222325) + (uint64_t) (int64_t) what;
  naive_hash(&hash, data, len);
  d->notes[d->count++] = hash;
}

/* Whether `d` is how `whole` begins. */
static inline bool naive_begins(const naive_diary_t* d,
                                const naive_diary_t* whole) {
  return d->count <= whole->count &&
         (d->count == 0 ||
          memcmp(d->notes, whole->notes, d->count * sizeof *d->notes) == 0);
}

/* ---- what a subscriber says ---------------------------------------------- */

typedef enum naive_kind {
  NAIVE_WAIT,      /* it has not said enough yet */
  NAIVE_SUBSCRIBE, /* word: the topic */
  NAIVE_CANCEL,
  NAIVE_PING,    /* word: the context */
  NAIVE_UNKNOWN, /* word: the name of a command nobody knows */
  NAIVE_NOTHING, /* a PONG, or a frame of a message that goes on */
  NAIVE_MESSAGE, /* `hash`: of its frames */
  NAIVE_END      /* it is shown out, or leaves */
} naive_kind_t;

/* Zeroed but for the limits to start with. */
typedef struct naive_reader {
  rig_bytes_t said;
  size_t at;     /* what has been read */
  size_t frames; /* of the message that comes in */
  uint64_t sum;  /* of their bytes */
  uint64_t hash;
  uint64_t max_bytes;
  uint64_t max_frames;
  const uint8_t* word;
  size_t len;
} naive_reader_t;

static inline bool naive_named(const uint8_t* body, size_t len,
                               const char* name) {
  size_t n = strlen(name);
  return len > n && body[0] == n && memcmp(body + 1, name, n) == 0;
}

static inline naive_kind_t naive_command(naive_reader_t* r, const uint8_t* body,
                                         size_t len) {
  size_t name = len == 0 ? 0 : body[0];
  if (name == 0 || name > len - 1) return NAIVE_END;
  for (size_t i = 1; i <= name; i++)
    if (body[i] < 0x21 || body[i] > 0x7e) return NAIVE_END;
  r->word = body + 1 + name;
  r->len = len - 1 - name;
  if (naive_named(body, len, "SUBSCRIBE")) return NAIVE_SUBSCRIBE;
  if (naive_named(body, len, "CANCEL")) return NAIVE_CANCEL;
  if (naive_named(body, len, "READY") || naive_named(body, len, "ERROR"))
    return NAIVE_END;
  if (naive_named(body, len, "PONG"))
    return r->len <= 16 ? NAIVE_NOTHING : NAIVE_END;
  if (naive_named(body, len, "PING")) {
    if (r->len < 2 || r->len > 18) return NAIVE_END;
    r->word += 2;
    r->len -= 2;
    return NAIVE_PING;
  }
  r->word = body + 1;
  r->len = name;
  return NAIVE_UNKNOWN;
}

/* RFC 23: a message of one frame that begins with 1 or 0. */
static inline naive_kind_t naive_message(naive_reader_t* r, const uint8_t* body,
                                         size_t len, bool more) {
  if (r->frames == 0) r->hash = 0;
  r->frames++;
  r->sum += len;
  naive_hash(&r->hash, body, len);
  if (more) return NAIVE_NOTHING;
  bool alone = r->frames == 1;
  r->frames = 0;
  r->sum = 0;
  if (!alone || len == 0 || body[0] > 1) return NAIVE_MESSAGE;
  r->word = body + 1;
  r->len = len - 1;
  return body[0] == 1 ? NAIVE_SUBSCRIBE : NAIVE_CANCEL;
}

/* Reads one frame more. */
static inline naive_kind_t naive_read(naive_reader_t* r) {
  size_t left = r->said.len - r->at;
  if (left == 0) return NAIVE_WAIT;
  const uint8_t* b = r->said.data + r->at;
  unsigned flags = b[0];
  bool command = (flags & 4) != 0;
  if (flags > 7 || (command && (flags & 1) != 0)) return NAIVE_END;
  size_t head = (flags & 2) != 0 ? 9 : 2;
  if (left < head) return NAIVE_WAIT;
  uint64_t len = 0;
  for (size_t i = 1; i < head; i++) len = len << 8 | b[i];
  if (len >> 63 != 0) return NAIVE_END;
  if (command && len > 65536 + 256) return NAIVE_END;
  if (!command && (len > r->max_bytes - r->sum || r->frames == r->max_frames))
    return NAIVE_END;
  if (left - head < len) return NAIVE_WAIT;
  r->at += head + (size_t) len;
  if (command) return naive_command(r, b + head, (size_t) len);
  return naive_message(r, b + head, (size_t) len, (flags & 1) != 0);
}

#endif
