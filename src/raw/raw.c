/* SPDX-License-Identifier: MIT */
/* A session without a handshake, without frames and without a word of its own
 * (see raw.h).  What is fed comes out again, borrowed, as one frame. */
#include "raw/raw.h"

struct mcq__session {
  mcq__pool_t* pool;
  mcq__slice_t in; /* counted until the event after it was asked for */
  bool ready;      /* said so */
  bool lent;       /* `in` was handed out */
  bool ended;
  mcq__chain_t out; /* nothing, ever */
};

static void drop(mcq__session_t* s) {
  mcq__slice_release(&s->in);
  s->lent = false;
}

static int open(mcq__session_t** out, const mcq__session_config_t* config,
                uint64_t now) {
  (void) now;
  mcq__mem_t* mem = mcq__pool_mem(config->pool);
  mcq__session_t* s = mcq__new(mem, mcq__session_t);
  if (s == NULL) return MCQ_ENOMEM;
  s->pool = config->pool;
  mcq__chain_init(&s->out, mem);
  *out = s;
  return 0;
}

static void end(mcq__session_t* s) {
  if (s == NULL) return;
  mcq__mem_t* mem = mcq__pool_mem(s->pool);
  drop(s);
  mcq__chain_dispose(&s->out);
  mcq__mem_free(mem, s);
}

static int start(mcq__session_t* s) {
  (void) s;
  return 0;
}

static void feed(mcq__session_t* s, mcq__slice_t in) {
  drop(s);
  if (!s->ended) s->in = mcq__slice_retain(in);
}

static mcq__event_kind_t next(mcq__session_t* s, mcq__event_t* ev) {
  if (s->lent) drop(s);
  if (s->ended) return MCQ__EV_NONE;
  if (!s->ready) {
    s->ready = true;
    return MCQ__EV_READY;
  }
  if (s->in.len == 0) return MCQ__EV_NONE;
  s->lent = true;
  ev->body = s->in;
  ev->more = false;
  return MCQ__EV_FRAME;
}

static bool message(mcq__session_t* s, mcq__slice_t* body) {
  (void) s;
  (void) body;
  return false;
}

static int welcome(mcq__session_t* s) {
  (void) s;
  return 0;
}

static mcq__window_t* want(mcq__session_t* s) {
  (void) s;
  return NULL;
}

static void filled(mcq__session_t* s, size_t n) {
  (void) s;
  (void) n;
}

static int hold(mcq__session_t* s) {
  mcq__slice_t kept;
  if (s->lent) drop(s);
  if (s->in.len == 0) return 0;
  int rc = mcq__slice_keep(&kept, s->pool, s->in);
  if (rc != 0) return rc;
  mcq__slice_release(&s->in);
  s->in = kept;
  return 0;
}

static mcq__chain_t* out(mcq__session_t* s) {
  return &s->out;
}

static int subscribe(mcq__session_t* s, mcq__slice_t prefix, bool wanted) {
  (void) s;
  (void) prefix;
  (void) wanted;
  return MCQ_ENOTSUP;
}

static int ping(mcq__session_t* s, uint64_t ttl, mcq__slice_t context) {
  (void) s;
  (void) ttl;
  (void) context;
  return MCQ_ENOTSUP;
}

/* There is no way to say why. */
static int refuse(mcq__session_t* s, const char* reason) {
  (void) reason;
  s->ended = true;
  return 0;
}

/* Bytes that wait to be handed out are a message that has not ended. */
static bool at_boundary(const mcq__session_t* s) {
  return s->ended || s->lent || s->in.len == 0;
}

static const mcq__hello_t* hello(const mcq__session_t* s) {
  static const mcq__hello_t nothing = {.socket_type = "", .mechanism = ""};
  (void) s;
  return &nothing;
}

static uint64_t expiry(const mcq__session_t* s) {
  (void) s;
  return MCQ__NO_DEADLINE;
}

static void tick(mcq__session_t* s, uint64_t now) {
  (void) s;
  (void) now;
}

static size_t head(uint8_t bytes[MCQ__HEAD_MAX], size_t len, bool more) {
  (void) bytes;
  (void) len;
  (void) more;
  return 0;
}

/* Whatever is there is one frame. */
static size_t unhead(const uint8_t* in, size_t have, uint64_t* len,
                     bool* more) {
  (void) in;
  *len = have;
  *more = false;
  return 0;
}

const mcq__protocol_t mcq__raw = {
    .name = "raw",
    .at_once = true,
    .open = open,
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
    .subscribe = subscribe,
    .ping = ping,
    .refuse = refuse,
    .at_boundary = at_boundary,
    .hello = hello,
    .expiry = expiry,
    .tick = tick,
    .head = head,
    .unhead = unhead,
};
