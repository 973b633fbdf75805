/* SPDX-License-Identifier: MIT */
/* The session after READY, but for the hot path (session.c): frames of any
 * size and sealed ones, commands, limits.  Entered from session.c.  It answers
 * PING; all else it only reports. */
#include "zmtp/state.h"

/* Bodies this machine cannot address, whatever the limits say. */
#define BODY_MAX ((uint64_t) PTRDIFF_MAX / 2)

/* Room for a question, an answer or a subscription or two. */
#define SPEECH_FEW ((size_t) 128)

/* The limits, before any memory is taken for the body. */
static bool admit_plain(mcq__session_t* s, const mcq__frame_t* f) {
  if ((f->flags & MCQ__FRAME_COMMAND) != 0) {
    if (f->len <= MCQ__COMMAND_MAX) return true;
    mcq__session_fail(s, MCQ_ECOMMAND, "a command of more than 64 KiB");
    return false;
  }
  if (f->len > s->room || f->len > BODY_MAX) {
    mcq__session_fail(s, MCQ_EMSGLIMIT, "more bytes than max_message_size");
    return false;
  }
  if (s->frames == 0) {
    mcq__session_fail(s, MCQ_EFRAMES, "more frames than max_frames");
    return false;
  }
  return true;
}

/* What is sealed is judged roughly at its header, exactly once opened. */
static bool admit_sealed(mcq__session_t* s, const mcq__frame_t* f) {
  uint64_t over = s->mechanism->overhead;
  uint64_t len = f->len > over ? f->len - over : 0;
  if ((f->flags & MCQ__FRAME_MORE) != 0) {
    mcq__session_fail(s, MCQ_EFRAME, "a sealed frame with the MORE flag");
    return false;
  }
  if (len > BODY_MAX || (len > s->room && len > MCQ__COMMAND_MAX)) {
    mcq__session_fail(s, MCQ_EMSGLIMIT, "more bytes than max_message_size");
    return false;
  }
  return true;
}

/* Flags that came out of a seal are the peer's words, too. */
static bool sane(uint8_t flags) {
  return flags == 0 || flags == MCQ__FRAME_MORE || flags == MCQ__FRAME_COMMAND;
}

/* Opens a sealed body in place: from here on it is as if it came plain. */
static bool open_body(mcq__session_t* s, mcq__frame_t* f, mcq__slice_t* body) {
  s->shake->talk.why = NULL;
  int rc =
      s->mechanism->open(&s->shake->talk, *body, &f->flags, &s->shake->opened);
  if (rc == 0 && !sane(f->flags)) {
    s->shake->talk.why = "odd flags inside a sealed frame";
    rc = MCQ_EFRAME;
  }
  if (rc != 0) {
    mcq__session_fail(s, rc,
                      s->shake->talk.why == NULL ? "" : s->shake->talk.why);
    return false;
  }
  *body = s->shake->opened;
  f->len = body->len;
  return admit_plain(s, f);
}

static int message(mcq__session_t* s, const mcq__frame_t* f, mcq__slice_t body,
                   mcq__event_t* ev) {
  ev->more = (f->flags & MCQ__FRAME_MORE) != 0;
  ev->body = body;
  s->room = ev->more ? s->room - body.len : s->max_message;
  s->frames = ev->more ? s->frames - 1 : s->max_frames;
  return MCQ__EV_FRAME;
}

/* ---- what we say --------------------------------------------------------- */

/* Opens `speech` for `size` bytes more: a few at first, for most have one
 * thing to say at a time, and larger ones for whoever has a lot to say. */
static int more_speech(mcq__session_t* s, size_t size) {
  if (s->spoken == 0) s->spoken = 1;
  if (s->spoken < 4) s->spoken++;
  if (s->spoken == 2 && size <= SPEECH_FEW)
    return mcq__window_open_exact(&s->speech, s->pool, SPEECH_FEW);
  size_t usual = s->spoken < 4 ? MCQ__SLAB_SMALL : MCQ__SLAB_MEDIUM;
  return mcq__window_open(&s->speech, s->pool, size > usual ? size : usual);
}

/* Queues one frame whose body is `lead` and then `data`. */
static int say_plain(mcq__session_t* s, uint8_t flags, mcq__slice_t lead,
                     mcq__slice_t data) {
  uint8_t head[MCQ__HEAD_MAX];
  size_t size = mcq__frame_write(head, lead.len + data.len, flags);
  size_t whole = size + lead.len + data.len;
  if (mcq__window_room(&s->speech) < whole) {
    int rc = more_speech(s, whole);
    if (rc != 0) return rc;
  }
  mcq__window_poke(&s->speech, 0, head, size);
  mcq__window_poke(&s->speech, size, lead.data, lead.len);
  mcq__window_poke(&s->speech, size + lead.len, data.data, data.len);
  return mcq__chain_commit(&s->out, &s->speech, whole);
}

static int say_sealed(mcq__session_t* s, uint8_t flags, mcq__slice_t lead,
                      mcq__slice_t data) {
  mcq__window_t w = {0};
  size_t len = lead.len + data.len;
  int rc = mcq__window_open_exact(&w, s->pool, len);
  if (rc != 0) return rc;
  mcq__window_poke(&w, 0, lead.data, lead.len);
  mcq__window_poke(&w, lead.len, data.data, data.len);
  mcq__slice_t body = mcq__window_freeze(&w, len);
  mcq__window_close(&w);
  rc = s->mechanism->seal(&s->shake->talk, &s->out, flags, body);
  if (s->spoken == 0) s->spoken = 1;
  mcq__slice_release(&body);
  return rc;
}

static int say(mcq__session_t* s, uint8_t flags, mcq__slice_t lead,
               mcq__slice_t data) {
  return s->mechanism->seal == NULL ? say_plain(s, flags, lead, data)
                                    : say_sealed(s, flags, lead, data);
}

/* A literal without its NUL. */
#define LEAD(text) mcq__slice_static((text), sizeof(text) - 1)

/* Queues a PONG with the same context, unless the peer does not read. */
static int pong(mcq__session_t* s, mcq__slice_t context) {
  s->pings++;
  if (s->out.bytes >= MCQ__PONG_BACKLOG) return 0;
  return say(s, MCQ__FRAME_COMMAND, LEAD("\4PONG"), context);
}

/* PING is of ZMTP 3.1.  RFC 37, "Connection Heartbeating". */
int mcq__session_ping(mcq__session_t* s, uint64_t ttl, mcq__slice_t context) {
  uint8_t lead[5 + MCQ__PING_TTL_SIZE] = {4, 'P', 'I', 'N', 'G'};
  mcq__check(context.len <= MCQ__PING_CONTEXT_MAX);
  if (s->said->hello.version_minor == 0) return MCQ_ENOTSUP;
  mcq__command_put_ttl(lead + 5, ttl);
  return say(s, MCQ__FRAME_COMMAND, mcq__slice_static(lead, sizeof lead),
             context);
}

/* RFC 37 has commands for this, RFC 23 messages with a byte in front. */
int mcq__session_subscribe(mcq__session_t* s, mcq__slice_t prefix,
                           bool wanted) {
  if (prefix.len > MCQ__PREFIX_MAX) return MCQ_EMSGLIMIT;
  if (s->said->hello.version_minor == 0)
    return say(s, 0, wanted ? LEAD("\1") : LEAD("\0"), prefix);
  return say(s, MCQ__FRAME_COMMAND,
             wanted ? LEAD("\11SUBSCRIBE") : LEAD("\6CANCEL"), prefix);
}

int mcq__session_probe(mcq__session_t* s) {
  return say(s, 0, LEAD(""), LEAD(""));
}

/* ---- what we hear -------------------------------------------------------- */

static int heartbeat(mcq__session_t* s, const mcq__command_t* command,
                     mcq__event_t* ev) {
  mcq__slice_t context;
  if (mcq__command_context(&context, command) != 0)
    return mcq__session_fail(s, MCQ_ECOMMAND, "a PING or PONG of odd length");
  if (command->kind == MCQ__CMD_PONG) {
    ev->body = context;
    return MCQ__EV_PONG;
  }
  int rc = pong(s, context);
  if (rc != 0) return mcq__session_fail(s, rc, "answering a PING");
  ev->ttl = mcq__command_ttl(command);
  ev->body = mcq__slice_static(NULL, 0);
  return MCQ__EV_PING;
}

static int command(mcq__session_t* s, mcq__slice_t body, mcq__event_t* ev) {
  mcq__command_t c;
  if (mcq__command_read(&c, body) != 0)
    return mcq__session_fail(s, MCQ_ECOMMAND, "a command without a name");
  switch (c.kind) {
    case MCQ__CMD_PING:
    case MCQ__CMD_PONG:
      return heartbeat(s, &c, ev);
    case MCQ__CMD_SUBSCRIBE:
      ev->body = c.data;
      return MCQ__EV_SUBSCRIBE;
    case MCQ__CMD_CANCEL:
      ev->body = c.data;
      return MCQ__EV_CANCEL;
    case MCQ__CMD_ERROR:
      return mcq__session_refused(s, &c, ev);
    case MCQ__CMD_READY:
      return mcq__session_fail(s, MCQ_ECOMMAND, "READY a second time");
    case MCQ__CMD_UNKNOWN:
      break;
  }
  ev->body = c.name;
  return MCQ__EV_COMMAND;
}

int mcq__session_traffic(mcq__session_t* s, mcq__event_t* ev) {
  mcq__frame_t f;
  mcq__slice_t body;
  bool sealed = s->mechanism->open != NULL;
  if (sealed) mcq__slice_release(&s->shake->opened);
  int rc =
      mcq__session_frame(s, &f, &body, sealed ? admit_sealed : admit_plain);
  if (rc <= 0) return rc == 0 ? MCQ__EV_NONE : MCQ__AGAIN;
  if (sealed && !open_body(s, &f, &body)) return MCQ__AGAIN;
  if ((f.flags & MCQ__FRAME_COMMAND) != 0) return command(s, body, ev);
  return message(s, &f, body, ev);
}
