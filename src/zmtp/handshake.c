/* SPDX-License-Identifier: MIT */
/* The session until READY: the peer's greeting, then the mechanism's talk,
 * then what the peer said of itself.  Entered from session.c; the memory a
 * stranger can make us take is bounded by max_handshake, MCQ__COMMAND_MAX and
 * MCQ__PROPERTIES_MAX. */
#include <stdio.h>

#include "zmtp/state.h"

#define TYPE_SHOWN 32 /* characters of an unknown socket type in the text */

static int fail_greeting(mcq__session_t* s, int code) {
  const char* ours = s->mechanism->name;
  if (code == MCQ_ELEGACY)
    return mcq__session_fail(s, code, "its greeting is ZMTP 1.0 or 2.0");
  if (code != MCQ_EMECHANISM)
    return mcq__session_fail(s, code, "its first bytes are no greeting");
  char theirs[MCQ__MECHANISM_SIZE + 1];
  char text[96];
  size_t len = MCQ__MECHANISM_SIZE;
  while (len > 0 && s->shake->greeting.mechanism[len - 1] == 0) len--;
  mcq__printable(theirs, sizeof theirs,
                 mcq__slice_static(s->shake->greeting.mechanism, len));
  snprintf(text, sizeof text, "its mechanism is '%s', ours '%s'", theirs, ours);
  return mcq__session_fail_with(s, code, text);
}

static int fail_talk(mcq__session_t* s, int code) {
  const char* why = s->shake->talk.why;
  return mcq__session_fail(s, code, why == NULL ? "" : why);
}

int mcq__session_greet(mcq__session_t* s, mcq__event_t* ev) {
  (void) ev;
  int code;
  mcq__slice_t bytes = mcq__intake_rest(&s->intake);
  if (bytes.len == 0) return MCQ__EV_NONE;
  size_t used =
      mcq__greeting_read(&s->shake->greeting, bytes, s->mechanism->name, &code);
  mcq__intake_skip(&s->intake, used);
  if (code != 0) return fail_greeting(s, code);
  if (!mcq__greeting_whole(&s->shake->greeting)) return MCQ__AGAIN;
  mcq__hello_t* hello = &s->shake->hello;
  hello->version_major = 3;
  hello->version_minor = mcq__greeting_agreed(&s->shake->greeting);
  hello->mechanism = s->mechanism->name;
  s->stage = MCQ__HANDSHAKE;
  int rc = s->mechanism->step(&s->shake->talk, NULL);
  return rc < 0 ? fail_talk(s, rc) : MCQ__AGAIN;
}

static bool admit(mcq__session_t* s, const mcq__frame_t* f) {
  if ((f->flags & MCQ__FRAME_COMMAND) == 0)
    mcq__session_fail(s, MCQ_ECOMMAND, "a message before READY");
  else if (f->len > MCQ__COMMAND_MAX)
    mcq__session_fail(s, MCQ_ECOMMAND, "a command of more than 64 KiB");
  else if (f->len > s->shake->room)
    mcq__session_fail(s, MCQ_ECOMMAND, "more than max_handshake_size");
  else
    return true;
  return false;
}

/* Finds the peer's type among the allowed ones; exact in case and length. */
static const char* mate(const mcq__session_t* s, mcq__slice_t type) {
  for (const char* const* m = s->shake->config.mates; *m != NULL; m++)
    if (mcq__slice_equal(type, *m, strlen(*m))) return *m;
  return NULL;
}

/* The peer shall know why: ERROR goes out before the connection is closed. */
static int fail_type(mcq__session_t* s, const mcq__property_t* type) {
  char theirs[TYPE_SHOWN + 1];
  char text[128];
  /* Out of memory the connection ends without it. */
  (void) mcq__command_send_error(&s->out, s->pool,
                                 "Invalid socket type combination");
  if (type == NULL)
    return mcq__session_fail(s, MCQ_ETYPE, "it announced no Socket-Type");
  mcq__printable(theirs, sizeof theirs, type->value);
  snprintf(text, sizeof text, "its socket type is '%s', ours %s", theirs,
           s->shake->config.socket_type);
  return mcq__session_fail_with(s, MCQ_ETYPE, text);
}

/* Copies the peer's properties, which have to last, and lists them. */
static int keep_metadata(mcq__session_t* s) {
  mcq__mem_t* mem = mcq__pool_mem(s->pool);
  mcq__slice_t data = s->shake->talk.metadata;
  size_t count;
  int rc = mcq__metadata_count(data, &count);
  if (rc != 0) return rc;
  mcq__said_t* said = mcq__new(mem, mcq__said_t);
  if (said == NULL) return MCQ_ENOMEM;
  s->said = said;
  said->hello = s->shake->hello;
  if (count == 0) return 0;
  said->metadata = (uint8_t*) mcq__mem_copy(mem, data.data, data.len);
  if (said->metadata == NULL) return MCQ_ENOMEM;
  said->len = (uint32_t) data.len; /* below MCQ__COMMAND_MAX */
  mcq__property_t* list =
      (mcq__property_t*) mcq__mem_alloc(mem, count * sizeof(mcq__property_t));
  if (list == NULL) return MCQ_ENOMEM;
  s->shake->properties = list;
  mcq__metadata_read(mcq__slice_static(said->metadata, data.len), list, count);
  said->hello.properties = list;
  said->hello.property_count = (uint32_t) count;
  return 0;
}

/* The mechanism is content: is the peer somebody we may talk to? */
static int agree(mcq__session_t* s) {
  int rc = keep_metadata(s);
  if (rc != 0) return mcq__session_fail(s, rc, "the properties of READY");
  mcq__hello_t* hello = &s->said->hello;
  const mcq__property_t* type = mcq__metadata_find(
      hello->properties, hello->property_count, "Socket-Type");
  const mcq__property_t* id =
      mcq__metadata_find(hello->properties, hello->property_count, "Identity");
  hello->socket_type = type == NULL ? NULL : mate(s, type->value);
  if (hello->socket_type == NULL) return fail_type(s, type);
  if (id != NULL && id->value.len > 255)
    return mcq__session_fail(s, MCQ_EMETADATA, "an Identity over 255 bytes");
  /* A first byte of zero is reserved for names the receiver makes up. */
  if (id != NULL && id->value.len > 0 && id->value.data[0] != 0)
    hello->routing_id = id->value;
  s->stage = MCQ__TRAFFIC;
  return MCQ__EV_READY;
}

int mcq__session_shake(mcq__session_t* s, mcq__event_t* ev) {
  mcq__frame_t f;
  mcq__slice_t body;
  mcq__command_t command;
  int rc = mcq__session_frame(s, &f, &body, admit);
  if (rc <= 0) return rc == 0 ? MCQ__EV_NONE : MCQ__AGAIN;
  s->shake->room -= f.len;
  if (mcq__command_read(&command, body) != 0)
    return mcq__session_fail(s, MCQ_ECOMMAND, "a command without a name");
  if (command.kind == MCQ__CMD_ERROR)
    return mcq__session_refused(s, &command, ev);
  rc = s->mechanism->step(&s->shake->talk, &command);
  if (rc < 0) return fail_talk(s, rc);
  return rc == MCQ__TALK_AGREED ? agree(s) : MCQ__AGAIN;
}
