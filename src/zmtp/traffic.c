/* SPDX-License-Identifier: MIT */
/* The session after READY, but for the hot path (session.c): frames of any
 * size and sealed ones, commands, limits.  Entered from session.c.  It answers
 * PING; all else it only reports. */
#include "zmtp/state.h"

/* Bodies this machine cannot address, whatever the limits say. */
#define BODY_MAX ((uint64_t) PTRDIFF_MAX / 2)

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
  s->talk.why = NULL;
  int rc = s->mechanism->open(&s->talk, *body, &f->flags, &s->opened);
  if (rc == 0 && !sane(f->flags)) {
    s->talk.why = "odd flags inside a sealed frame";
    rc = MCQ_EFRAME;
  }
  if (rc != 0) {
    mcq__session_fail(s, rc, s->talk.why == NULL ? "" : s->talk.why);
    return false;
  }
  *body = s->opened;
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

/* Queues a PONG with the same context, unless the peer does not read. */
static int pong(mcq__session_t* s, mcq__slice_t context) {
  mcq__slice_t body;
  if (s->out.bytes >= MCQ__PONG_BACKLOG) return 0;
  if (s->mechanism->seal == NULL)
    return mcq__command_send(&s->out, s->config.pool, "PONG", context);
  int rc = mcq__command_make(&body, s->config.pool, "PONG", context);
  if (rc != 0) return rc;
  rc = s->mechanism->seal(&s->talk, &s->out, MCQ__FRAME_COMMAND, body);
  mcq__slice_release(&body);
  return rc;
}

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
  return rc == 0 ? MCQ__AGAIN : mcq__session_fail(s, rc, "answering a PING");
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
  mcq__slice_release(&s->opened);
  int rc =
      mcq__session_frame(s, &f, &body, sealed ? admit_sealed : admit_plain);
  if (rc <= 0) return rc == 0 ? MCQ__EV_NONE : MCQ__AGAIN;
  if (sealed && !open_body(s, &f, &body)) return MCQ__AGAIN;
  if ((f.flags & MCQ__FRAME_COMMAND) != 0) return command(s, body, ev);
  return message(s, &f, body, ev);
}
