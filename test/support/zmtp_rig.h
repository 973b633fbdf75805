/* SPDX-License-Identifier: MIT */
/* A session on the bench: streams built by hand, fed in pieces of any size,
 * and a record of all that came out, so that two ways of feeding the same
 * bytes can be compared.  Shared by the session tests and the fuzz targets,
 * hence no cmocka here.  The wire is written independently of src/zmtp. */
#ifndef TEST_SUPPORT_ZMTP_RIG_H
#define TEST_SUPPORT_ZMTP_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/random.h"
#include "zmtp/session.h"

#define RIG_REQUIRE(expr) ((expr) ? (void) 0 : rig_die(__LINE__, #expr))

static inline void rig_die(int line, const char* what) {
  fprintf(stderr, "zmtp_rig.h:%d: %s\n", line, what);
  abort();
}

/* ---- bytes --------------------------------------------------------------- */

typedef struct rig_bytes {
  uint8_t* data;
  size_t len;
  size_t cap;
} rig_bytes_t;

static inline void rig_free(rig_bytes_t* b) {
  free(b->data);
  memset(b, 0, sizeof *b);
}

static inline void rig_add(rig_bytes_t* b, const void* data, size_t len) {
  if (b->len + len > b->cap) {
    b->cap = (b->len + len) * 2;
    b->data = (uint8_t*) realloc(b->data, b->cap);
    RIG_REQUIRE(b->data != NULL);
  }
  if (len != 0) memcpy(b->data + b->len, data, len);
  b->len += len;
}

static inline void rig_byte(rig_bytes_t* b, unsigned byte) {
  uint8_t one = (uint8_t) byte;
  rig_add(b, &one, 1);
}

static inline void rig_uint(rig_bytes_t* b, uint64_t v, unsigned size) {
  while (size-- > 0) rig_byte(b, (unsigned) (v >> (8 * size)) & 0xFF);
}

static inline bool rig_same(const rig_bytes_t* a, const rig_bytes_t* b) {
  return a->len == b->len &&
         (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* ---- the wire ------------------------------------------------------------ */

static inline void rig_greeting(rig_bytes_t* b, unsigned major, unsigned minor,
                                const char* mechanism) {
  static const uint8_t zeros[64];
  size_t len = strlen(mechanism);
  rig_byte(b, 0xFF);
  rig_add(b, zeros, 8);
  rig_byte(b, 0x7F);
  rig_byte(b, major);
  rig_byte(b, minor);
  rig_add(b, mechanism, len);
  rig_add(b, zeros, 20 - len + 32);
}

/* A header with any flags and any length. */
static inline void rig_head(rig_bytes_t* b, unsigned flags, uint64_t len) {
  rig_byte(b, flags);
  rig_uint(b, len, (flags & 2) != 0 ? 8 : 1);
}

/* A frame; the long form where it must be or where `flags` has bit 1. */
static inline void rig_frame(rig_bytes_t* b, unsigned flags, const void* body,
                             size_t len) {
  rig_head(b, len > 255 ? flags | 2 : flags, len);
  rig_add(b, body, len);
}

static inline void rig_command(rig_bytes_t* b, const char* name,
                               const void* data, size_t len) {
  size_t name_len = strlen(name);
  rig_head(b, len + name_len + 1 > 255 ? 6 : 4, len + name_len + 1);
  rig_byte(b, (unsigned) name_len);
  rig_add(b, name, name_len);
  rig_add(b, data, len);
}

static inline void rig_property(rig_bytes_t* b, const char* name,
                                const void* value, size_t len) {
  rig_byte(b, (unsigned) strlen(name));
  rig_add(b, name, strlen(name));
  rig_uint(b, len, 4);
  rig_add(b, value, len);
}

static inline void rig_ready(rig_bytes_t* b, const char* type, const void* id,
                             size_t id_len) {
  rig_bytes_t data = {0};
  rig_property(&data, "Socket-Type", type, strlen(type));
  if (id != NULL) rig_property(&data, "Identity", id, id_len);
  rig_command(b, "READY", data.data, data.len);
  rig_free(&data);
}

/* What a peer says until messages may come. */
static inline void rig_hello(rig_bytes_t* b, const char* type) {
  rig_greeting(b, 3, 1, "NULL");
  rig_ready(b, type, NULL, 0);
}

/* ---- the record ---------------------------------------------------------- */

typedef struct rig_log {
  rig_bytes_t bytes;
  size_t events;
  mcq__event_kind_t last;
  int code;     /* of FAILED */
  uint64_t sum; /* of the message that is coming in */
  uint64_t count;
  uint64_t most_bytes; /* of any message, complete or not */
  uint64_t most_frames;
  bool ask; /* whole messages are asked for first */
} rig_log_t;

static inline void rig_log_free(rig_log_t* log) {
  rig_free(&log->bytes);
}

static inline void rig_log_slice(rig_log_t* log, mcq__slice_t s) {
  rig_uint(&log->bytes, s.len, 8);
  rig_add(&log->bytes, s.data, s.len);
}

static inline void rig_log_hello(rig_log_t* log, const mcq__hello_t* h) {
  rig_log_slice(log, mcq__slice_static(h->socket_type, strlen(h->socket_type)));
  rig_log_slice(log, mcq__slice_static(h->mechanism, strlen(h->mechanism)));
  rig_log_slice(log, h->routing_id);
  rig_byte(&log->bytes, h->version_major);
  rig_byte(&log->bytes, h->version_minor);
  for (size_t i = 0; i < h->property_count; i++) {
    rig_log_slice(log, h->properties[i].name);
    rig_log_slice(log, h->properties[i].value);
  }
}

static inline void rig_log_frame(rig_log_t* log, const mcq__event_t* ev) {
  rig_byte(&log->bytes, ev->more);
  log->sum += ev->body.len;
  log->count++;
  if (log->sum > log->most_bytes) log->most_bytes = log->sum;
  if (log->count > log->most_frames) log->most_frames = log->count;
  if (!ev->more) log->sum = log->count = 0;
}

static inline void rig_log_event(rig_log_t* log, mcq__session_t* s,
                                 mcq__event_kind_t kind,
                                 const mcq__event_t* ev) {
  RIG_REQUIRE(log->last != MCQ__EV_FAILED && log->last != MCQ__EV_REFUSED);
  rig_byte(&log->bytes, kind);
  log->events++;
  log->last = kind;
  if (kind == MCQ__EV_READY) {
    rig_log_hello(log, mcq__zmtp.hello(s));
  } else if (kind == MCQ__EV_FAILED) {
    rig_uint(&log->bytes, (uint64_t) (uint32_t) ev->code, 4);
    rig_log_slice(log, mcq__slice_static(ev->text, strlen(ev->text)));
    log->code = ev->code;
  } else {
    if (kind == MCQ__EV_FRAME) rig_log_frame(log, ev);
    rig_log_slice(log, ev->body);
  }
}

/* ---- feeding ------------------------------------------------------------- */

/* How a stream is cut and what happens on the way. */
typedef struct rig_feed {
  size_t step;   /* bytes a feed; 0: all at once */
  size_t first;  /* bytes of the first feed, where not 0 */
  uint64_t seed; /* not 0: feeds of random sizes up to `step` */
  bool want;     /* serves want() where it is asked */
  bool hold;     /* calls hold() after every event */
  bool ask;      /* asks for a whole message before each event */
} rig_feed_t;

static inline void rig_gone(void* data, void* arg) {
  free(data);
  --*(size_t*) arg;
}

static inline mcq__event_kind_t rig_next(mcq__session_t* s, mcq__event_t* ev,
                                         const rig_log_t* log) {
  if (!log->ask || !mcq__zmtp.message(s, &ev->body))
    return mcq__zmtp.next(s, ev);
  RIG_REQUIRE(log->count == 0);
  ev->more = false;
  return MCQ__EV_FRAME;
}

/* Feeds a copy of its own and pulls until the session is hungry.  The copy
 * ends where its block ends and is gone when the session has let go of it. */
static inline void rig_feed_once(mcq__session_t* s, mcq__pool_t* pool,
                                 const uint8_t* data, size_t len, bool hold,
                                 rig_log_t* log) {
  size_t alive = 1;
  mcq__event_t ev;
  mcq__event_kind_t kind;
  uint8_t* copy = (uint8_t*) malloc(len == 0 ? 1 : len);
  RIG_REQUIRE(copy != NULL);
  if (len != 0) memcpy(copy, data, len);
  mcq__slab_t* slab =
      mcq__slab_foreign(pool, copy, len, true, rig_gone, &alive);
  RIG_REQUIRE(slab != NULL);
  mcq__slice_t in = mcq__slab_slice(slab);
  mcq__zmtp.feed(s, in);
  mcq__slab_release(slab);
  while ((kind = rig_next(s, &ev, log)) != MCQ__EV_NONE) {
    rig_log_event(log, s, kind, &ev);
    if (!hold) continue;
    RIG_REQUIRE(mcq__zmtp.hold(s) == 0);
    RIG_REQUIRE(alive == 0);
  }
  RIG_REQUIRE(alive == 0);
  RIG_REQUIRE(mcq__zmtp.next(s, &ev) == MCQ__EV_NONE);
}

/* Serves want() with what it asks for, or less.  Returns the bytes used. */
static inline size_t rig_serve(mcq__session_t* s, const uint8_t* data,
                               size_t len, rig_log_t* log) {
  mcq__event_t ev;
  mcq__event_kind_t kind;
  mcq__window_t* w = mcq__zmtp.want(s);
  if (w == NULL || len == 0) return 0;
  size_t n = mcq__window_room(w);
  if (n > len) n = len;
  mcq__window_poke(w, 0, data, n);
  mcq__zmtp.filled(s, n);
  while ((kind = rig_next(s, &ev, log)) != MCQ__EV_NONE)
    rig_log_event(log, s, kind, &ev);
  return n;
}

static inline void rig_feed_all(mcq__session_t* s, mcq__pool_t* pool,
                                const rig_bytes_t* in, rig_feed_t how,
                                rig_log_t* log) {
  test_random_t random = {how.seed};
  size_t at = 0;
  while (at < in->len) {
    size_t n = how.step == 0 ? in->len : how.step;
    if (how.seed != 0) n = 1 + test_random_below(&random, n);
    if (at == 0 && how.first != 0) n = how.first;
    if (n > in->len - at) n = in->len - at;
    size_t used = how.want ? rig_serve(s, in->data + at, n, log) : 0;
    if (used == 0) {
      rig_feed_once(s, pool, in->data + at, n, how.hold, log);
      used = n;
    }
    at += used;
  }
}

/* Moves what the session has to say to `to`. */
static inline void rig_drain(mcq__session_t* s, rig_bytes_t* to) {
  mcq__chain_t* out = mcq__zmtp.out(s);
  size_t n = out->bytes;
  uint8_t* copy = (uint8_t*) malloc(n == 0 ? 1 : n);
  RIG_REQUIRE(copy != NULL);
  mcq__chain_peek(out, 0, copy, n);
  mcq__chain_drain(out, n);
  rig_add(to, copy, n);
  free(copy);
}

/* ---- whole lives --------------------------------------------------------- */

static const char* const rig_dealer_mates[] = {"REP", "DEALER", "ROUTER", NULL};

static inline mcq__session_config_t rig_config(mcq__pool_t* pool) {
  mcq__session_config_t c = {
      .pool = pool,
      .socket_type = "DEALER",
      .mates = rig_dealer_mates,
      .send_routing_id = true,
      .max_message = (uint64_t) 64 << 20,
      .max_frames = 1024,
      .max_handshake = UINT64_MAX,
      .handshake_ms = 10000,
  };
  return c;
}

/* The life of one session: what it reports, what it answers (its greeting and
 * READY included), how it ended. */
typedef struct rig_life {
  rig_log_t log;
  rig_bytes_t out;
  bool boundary;
} rig_life_t;

static inline rig_life_t rig_live(const mcq__session_config_t* config,
                                  const rig_bytes_t* in, rig_feed_t how) {
  rig_life_t life;
  mcq__session_t* s;
  memset(&life, 0, sizeof life);
  RIG_REQUIRE(mcq__zmtp.open(&s, config, 0) == 0);
  RIG_REQUIRE(mcq__zmtp.start(s) == 0);
  life.log.ask = how.ask;
  rig_feed_all(s, config->pool, in, how, &life.log);
  life.boundary = mcq__zmtp.at_boundary(s);
  rig_drain(s, &life.out);
  mcq__zmtp.close(s);
  return life;
}

static inline void rig_life_free(rig_life_t* life) {
  rig_log_free(&life->log);
  rig_free(&life->out);
}

static inline bool rig_life_same(const rig_life_t* a, const rig_life_t* b) {
  return rig_same(&a->log.bytes, &b->log.bytes) && rig_same(&a->out, &b->out) &&
         a->boundary == b->boundary;
}

#endif
