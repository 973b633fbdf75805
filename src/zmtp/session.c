/* SPDX-License-Identifier: MIT */
/* The session's table: open, feed, next and their kin, and the hot path for
 * small frames.  Driven by the actor.  It never calls back, never reads a
 * clock, and takes no memory in traffic but for frames that straddle reads. */
#include "zmtp/session.h"

#include "zmtp/state.h"

/* ---- endings ------------------------------------------------------------- */

int mcq__session_fail(mcq__session_t* s, int code, const char* text) {
  s->stage = MCQ__ENDING;
  s->code = code;
  s->text = text;
  return MCQ__AGAIN;
}

/* Keeps composed words until the session is closed; NULL out of memory. */
static const char* keep_words(mcq__session_t* s, const char* text) {
  mcq__mem_t* mem = mcq__pool_mem(s->pool);
  mcq__mem_free(mem, s->words);
  s->words = mcq__mem_text(mem, text, strlen(text));
  return s->words;
}

int mcq__session_fail_with(mcq__session_t* s, int code, const char* text) {
  const char* kept = keep_words(s, text);
  return mcq__session_fail(s, code, kept == NULL ? "" : kept);
}

/* RFC 27: a status code of 300 is a temporary error. */
static bool for_now(const char* reason) {
  return strncmp(reason, "300", 3) == 0 &&
         (reason[3] == '\0' || reason[3] == ' ');
}

int mcq__session_refused(mcq__session_t* s, const mcq__command_t* command,
                         mcq__event_t* ev) {
  char text[MCQ__ERROR_REASON_MAX + 1];
  mcq__slice_t reason;
  if (mcq__command_reason(&reason, command) != 0)
    return mcq__session_fail(s, MCQ_ECOMMAND, "an ERROR with a bad length");
  size_t len = mcq__printable(text, sizeof text, reason);
  const char* kept = keep_words(s, text);
  ev->body = mcq__slice_static(kept, kept == NULL ? 0 : len);
  ev->code = for_now(text) ? MCQ_ENOTNOW : MCQ_EREFUSED;
  s->stage = MCQ__ENDED;
  return MCQ__EV_REFUSED;
}

/* ---- events -------------------------------------------------------------- */

int mcq__session_frame(mcq__session_t* s, mcq__frame_t* f, mcq__slice_t* body,
                       bool (*admit)(mcq__session_t* s,
                                     const mcq__frame_t* f)) {
  const char* why = NULL;
  int rc = mcq__intake_head(&s->intake, f, &why);
  if (rc < 0) mcq__session_fail(s, rc, why);
  if (rc <= 0) return rc;
  if (!admit(s, f)) return s->code;
  rc = mcq__intake_body(&s->intake, s->pool, body);
  if (rc < 0) mcq__session_fail(s, rc, "no memory for a body");
  return rc;
}

static int finish(mcq__session_t* s, mcq__event_t* ev) {
  ev->code = s->code;
  ev->text = s->text;
  s->stage = MCQ__ENDED;
  return MCQ__EV_FAILED;
}

static int rest(mcq__session_t* s, mcq__event_t* ev) {
  (void) s;
  (void) ev;
  return MCQ__EV_NONE;
}

static int (*const handlers[])(mcq__session_t* s, mcq__event_t* ev) = {
    [MCQ__GREETING] = mcq__session_greet,
    [MCQ__HANDSHAKE] = mcq__session_shake,
    [MCQ__TRAFFIC] = mcq__session_traffic,
    [MCQ__ENDING] = finish,
    [MCQ__ENDED] = rest,
};

/* Counts a frame of the message that is coming in. */
static inline mcq__event_kind_t count(mcq__session_t* s,
                                      const mcq__event_t* ev) {
  if (ev->more) {
    s->room -= ev->body.len;
    s->frames--;
  } else {
    s->room = s->max_message;
    s->frames = s->max_frames;
  }
  return MCQ__EV_FRAME;
}

/* Everything but the hot path. */
static mcq__noinline mcq__event_kind_t slow(mcq__session_t* s,
                                            mcq__event_t* ev) {
  int kind;
  if (s->quick && s->frames != 0 &&
      mcq__intake_quick_long(&s->intake, MCQ__FRAME_MORE, s->room, &ev->body,
                             &ev->more))
    return count(s, ev);
  do {
    kind = handlers[s->stage](s, ev);
  } while (kind == MCQ__AGAIN);
  if (s->stage == MCQ__ENDED) mcq__intake_clear(&s->intake);
  s->quick = s->stage == MCQ__TRAFFIC && s->mechanism->open == NULL &&
             mcq__intake_plain(&s->intake);
  return (mcq__event_kind_t) kind;
}

static mcq__event_kind_t next(mcq__session_t* s, mcq__event_t* ev) {
  if (mcq__unlikely(!s->quick || s->frames == 0) ||
      !mcq__intake_quick(&s->intake, MCQ__FRAME_MORE, s->room, &ev->body,
                         &ev->more))
    return slow(s, ev);
  return count(s, ev);
}

static bool message(mcq__session_t* s, mcq__slice_t* body) {
  bool more;
  if (mcq__unlikely(!s->quick || s->frames != s->max_frames)) return false;
  if (mcq__likely(mcq__intake_quick(&s->intake, 0, s->room, body, &more)))
    return true;
  return mcq__intake_quick_long(&s->intake, 0, s->room, body, &more);
}

/* ---- bytes in ------------------------------------------------------------ */

static bool over(const mcq__session_t* s) {
  return s->stage == MCQ__ENDING || s->stage == MCQ__ENDED;
}

static void feed(mcq__session_t* s, mcq__slice_t in) {
  if (!over(s)) mcq__intake_feed(&s->intake, in);
}

static mcq__window_t* want(mcq__session_t* s) {
  return over(s) ? NULL : mcq__intake_want(&s->intake, s->pool);
}

static void filled(mcq__session_t* s, size_t n) {
  if (!over(s)) mcq__intake_filled(&s->intake, n);
}

static int hold(mcq__session_t* s) {
  if (s->shake != NULL) mcq__slice_release(&s->shake->opened);
  if (over(s)) return 0;
  return mcq__intake_hold(&s->intake, s->pool);
}

static bool at_boundary(const mcq__session_t* s) {
  if (s->stage == MCQ__GREETING)
    return s->shake->greeting.have == 0 && mcq__intake_even(&s->intake);
  return over(s) ||
         (s->frames == s->max_frames && mcq__intake_even(&s->intake));
}

/* ---- bytes out ----------------------------------------------------------- */

static int start(mcq__session_t* s) {
  uint8_t bytes[MCQ__GREETING_SIZE];
  mcq__window_t w = {0};
  int rc = mcq__window_open_exact(&w, s->pool, sizeof bytes);
  if (rc != 0) return rc;
  mcq__greeting_make(bytes, s->mechanism->name, false);
  mcq__window_poke(&w, 0, bytes, sizeof bytes);
  rc = mcq__chain_commit(&s->out, &w, sizeof bytes);
  mcq__window_close(&w);
  s->started = rc == 0;
  s->spoken = 1;
  return rc;
}

static mcq__chain_t* out(mcq__session_t* s) {
  if (mcq__unlikely(s->spoken != 0 && s->out.bytes == 0)) {
    mcq__window_close(&s->speech);
    mcq__chain_dispose(&s->out);
    s->spoken = 0;
  }
  return &s->out;
}

/* The handshake is over for good. */
static void forget_shake(mcq__session_t* s) {
  if (s->shake == NULL) return;
  if (s->mechanism->end != NULL) s->mechanism->end(&s->shake->talk);
  mcq__slice_release(&s->shake->opened);
  if (s->said != NULL) {
    s->said->hello.properties = NULL;
    s->said->hello.property_count = 0;
  }
  mcq__mem_free(mcq__pool_mem(s->pool), s->shake->properties);
  mcq__mem_free(mcq__pool_mem(s->pool), s->shake);
  s->shake = NULL;
}

static int welcome(mcq__session_t* s) {
  mcq__check(s->stage == MCQ__TRAFFIC);
  const mcq__mechanism_t* m = s->mechanism;
  int rc = m->welcome == NULL ? 0 : m->welcome(&s->shake->talk);
  s->spoken = 1;
  if (rc == 0 && m->open == NULL && m->seal == NULL) forget_shake(s);
  return rc;
}

static int refuse(mcq__session_t* s, const char* reason) {
  int rc = 0;
  if (s->started && !over(s))
    rc = mcq__command_send_error(&s->out, s->pool, reason);
  s->stage = MCQ__ENDED;
  s->quick = false;
  mcq__intake_clear(&s->intake);
  return rc;
}

/* ---- time ---------------------------------------------------------------- */

static uint64_t expiry(const mcq__session_t* s) {
  return s->stage <= MCQ__HANDSHAKE ? s->shake->deadline : MCQ__NO_DEADLINE;
}

static void tick(mcq__session_t* s, uint64_t now) {
  uint64_t deadline = expiry(s);
  if (deadline == MCQ__NO_DEADLINE || now < deadline) return;
  mcq__session_fail(s, MCQ_EHANDSHAKE, "the handshake is not complete");
}

/* ---- life ---------------------------------------------------------------- */

static const mcq__hello_t* hello(const mcq__session_t* s) {
  return s->said != NULL ? &s->said->hello : &s->shake->hello;
}

static bool property(const mcq__session_t* s, const char* name,
                     mcq__slice_t* out) {
  if (s->said == NULL) return false;
  return mcq__metadata_value(mcq__slice_static(s->said->metadata, s->said->len),
                             name, out);
}

static uint64_t asked(const mcq__session_t* s) {
  return s->pings;
}

static void end(mcq__session_t* s) {
  if (s == NULL) return;
  mcq__mem_t* mem = mcq__pool_mem(s->pool);
  forget_shake(s);
  mcq__intake_clear(&s->intake);
  mcq__window_close(&s->speech);
  mcq__chain_dispose(&s->out);
  if (s->said != NULL) mcq__mem_free(mem, s->said->metadata);
  mcq__mem_free(mem, s->said);
  mcq__mem_free(mem, s->words);
  mcq__mem_free(mem, s);
}

static void begin_shake(mcq__session_t* s, const mcq__session_config_t* config,
                        uint64_t now) {
  mcq__shake_t* k = s->shake;
  k->config = *config;
  k->talk.config = &k->config;
  k->talk.out = &s->out;
  k->room = config->max_handshake;
  k->deadline = config->handshake_ms > MCQ__NO_DEADLINE - now
                    ? MCQ__NO_DEADLINE
                    : now + config->handshake_ms;
}

int mcq__zmtp_open(mcq__session_t** out, const mcq__session_config_t* config,
                   uint64_t now, const mcq__mechanism_t* mechanism) {
  mcq__mem_t* mem = mcq__pool_mem(config->pool);
  mcq__session_t* s = mcq__new(mem, mcq__session_t);
  if (s == NULL) return MCQ_ENOMEM;
  s->shake = mcq__new(mem, mcq__shake_t);
  if (s->shake == NULL) {
    mcq__mem_free(mem, s);
    return MCQ_ENOMEM;
  }
  s->pool = config->pool;
  s->mechanism = mechanism;
  s->room = s->max_message = config->max_message;
  s->frames = s->max_frames = config->max_frames < UINT32_MAX
                                  ? (uint32_t) config->max_frames
                                  : UINT32_MAX;
  mcq__chain_init(&s->out, mem);
  begin_shake(s, config, now);
  *out = s;
  return 0;
}

static int open_null(mcq__session_t** out, const mcq__session_config_t* config,
                     uint64_t now) {
  return mcq__zmtp_open(out, config, now, &mcq__mechanism_null);
}

const mcq__protocol_t mcq__zmtp = {
    .name = "ZMTP",
    .open = open_null,
    .close = end,
    .start = start,
    .feed = feed,
    .next = next,
    .message = message,
    .welcome = welcome,
    .want = want,
    .filled = filled,
    .hold = hold,
    .out = out,
    .subscribe = mcq__session_subscribe,
    .ping = mcq__session_ping,
    .probe = mcq__session_probe,
    .refuse = refuse,
    .at_boundary = at_boundary,
    .hello = hello,
    .property = property,
    .asked = asked,
    .expiry = expiry,
    .tick = tick,
    .head = mcq__frame_head,
    .unhead = mcq__frame_unhead,
};
