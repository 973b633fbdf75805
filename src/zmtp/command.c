/* SPDX-License-Identifier: MIT */
/* Commands: taken apart and queued.  Stateless: the session decides which of
 * them may come when, and what they cause. */
#include "zmtp/command.h"

#include "base/cursor.h"
#include "zmtp/frame.h"

static const struct {
  const char* name;
  mcq__command_kind_t kind;
} known[] = {
    {"READY", MCQ__CMD_READY},         {"ERROR", MCQ__CMD_ERROR},
    {"SUBSCRIBE", MCQ__CMD_SUBSCRIBE}, {"CANCEL", MCQ__CMD_CANCEL},
    {"PING", MCQ__CMD_PING},           {"PONG", MCQ__CMD_PONG},
};

static mcq__command_kind_t kind_of(mcq__slice_t name) {
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (mcq__slice_equal(name, known[i].name, strlen(known[i].name)))
      return known[i].kind;
  return MCQ__CMD_UNKNOWN;
}

static bool graphic(mcq__slice_t name) {
  for (size_t i = 0; i < name.len; i++)
    if (name.data[i] <= ' ' || name.data[i] > '~') return false;
  return true;
}

int mcq__command_read(mcq__command_t* c, mcq__slice_t body) {
  mcq__cursor_t at = mcq__cursor(body);
  c->name = mcq__cursor_take(&at, mcq__cursor_u8(&at));
  c->data = mcq__cursor_take(&at, mcq__cursor_left(&at));
  if (at.bad || c->name.len == 0 || !graphic(c->name)) return MCQ_ECOMMAND;
  c->kind = kind_of(c->name);
  return 0;
}

int mcq__command_context(mcq__slice_t* context, const mcq__command_t* c) {
  mcq__cursor_t at = mcq__cursor(c->data);
  if (c->kind == MCQ__CMD_PING) mcq__cursor_take(&at, MCQ__PING_TTL_SIZE);
  *context = mcq__cursor_take(&at, mcq__cursor_left(&at));
  return at.bad || context->len > MCQ__PING_CONTEXT_MAX ? MCQ_ECOMMAND : 0;
}

uint64_t mcq__command_ttl(const mcq__command_t* c) {
  mcq__cursor_t at = mcq__cursor(c->data);
  return (uint64_t) mcq__cursor_u16(&at) * 100;
}

/* libzmq multiplies what it gets by 100 in 16 bits: 656 tenths would be 64 ms
 * to it. */
void mcq__command_put_ttl(uint8_t out[MCQ__PING_TTL_SIZE], uint64_t ms) {
  uint64_t tenths = ms / 100 + (ms % 100 != 0);
  if (tenths > MCQ__PING_TTL_MAX) tenths = MCQ__PING_TTL_MAX;
  mcq__put_u16(out, (uint16_t) tenths);
}

int mcq__command_reason(mcq__slice_t* reason, const mcq__command_t* c) {
  mcq__cursor_t at = mcq__cursor(c->data);
  *reason = mcq__cursor_take(&at, mcq__cursor_u8(&at));
  return at.bad || mcq__cursor_left(&at) != 0 ? MCQ_ECOMMAND : 0;
}

/* Writes a command body at offset `at` of the window; returns the offset
 * behind it. */
static size_t put_body(mcq__window_t* w, size_t at, const char* name,
                       mcq__slice_t data) {
  uint8_t name_len = (uint8_t) strlen(name);
  mcq__window_poke(w, at, &name_len, 1);
  mcq__window_poke(w, at + 1, name, name_len);
  mcq__window_poke(w, at + 1 + name_len, data.data, data.len);
  return at + 1 + name_len + data.len;
}

int mcq__command_send(mcq__chain_t* out, mcq__pool_t* pool, const char* name,
                      mcq__slice_t data) {
  uint8_t head[MCQ__HEAD_MAX];
  size_t len = 1 + strlen(name) + data.len;
  size_t size = mcq__frame_write(head, len, MCQ__FRAME_COMMAND);
  mcq__window_t w = {0};
  int rc = mcq__window_open_exact(&w, pool, size + len);
  if (rc != 0) return rc;
  mcq__window_poke(&w, 0, head, size);
  rc = mcq__chain_commit(out, &w, put_body(&w, size, name, data));
  mcq__window_close(&w);
  return rc;
}

int mcq__command_send_error(mcq__chain_t* out, mcq__pool_t* pool,
                            const char* reason) {
  char data[1 + MCQ__ERROR_REASON_MAX + 1];
  size_t len = strlen(reason);
  len =
      mcq__printable(&data[1], sizeof data - 1, mcq__slice_static(reason, len));
  data[0] = (char) (uint8_t) len;
  return mcq__command_send(out, pool, "ERROR",
                           mcq__slice_static(data, 1 + len));
}

size_t mcq__printable(char* out, size_t cap, mcq__slice_t bytes) {
  size_t len = bytes.len < cap ? bytes.len : cap - 1;
  for (size_t i = 0; i < len; i++) {
    uint8_t c = bytes.data[i];
    out[i] = c >= ' ' && c <= '~' ? (char) c : '?';
  }
  out[len] = '\0';
  return len;
}
