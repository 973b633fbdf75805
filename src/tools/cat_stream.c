/* SPDX-License-Identifier: MIT */
/* Bytes of many peers as lines, and lines to one or all of them (see
 * cat_stream.h). */
#include "cat_stream.h"

#include <stdlib.h>
#include <string.h>

/* A longer line is printed in parts. */
enum { LINE_MAX_LEN = 65536 };

/* ---- peers --------------------------------------------------------------- */

static cat_stream_peer_t* find(cat_stream_t* stream, mcq_peer_t peer) {
  if (peer.slot >= stream->cap) return NULL;
  cat_stream_peer_t* p = &stream->peers[peer.slot];
  return p->live && p->handle.epoch == peer.epoch ? p : NULL;
}

static void widen(cat_stream_t* stream, size_t slot) {
  if (slot < stream->cap) return;
  size_t cap = slot * 2 + 8;
  stream->peers = tool_realloc(stream->peers, cap * sizeof *stream->peers);
  for (size_t i = stream->cap; i < cap; i++)
    stream->peers[i] = (cat_stream_peer_t){0};
  stream->cap = cap;
}

void cat_stream_up(cat_stream_t* stream, const mcq_peer_info_t* info) {
  widen(stream, info->peer.slot);
  cat_stream_peer_t* p = &stream->peers[info->peer.slot];
  p->handle = info->peer;
  p->live = true;
  p->had = stream->sent;
  p->line.len = 0;
  p->id.len = 0;
  if (stream->format == CAT_TEXT)
    cat_hex(info->routing_id, info->routing_id_len, &p->id);
  else
    tool_buffer_add(&p->id, info->routing_id, info->routing_id_len);
  stream->live++;
}

void cat_stream_free(cat_stream_t* stream) {
  for (size_t i = 0; i < stream->cap; i++) {
    tool_buffer_free(&stream->peers[i].id);
    tool_buffer_free(&stream->peers[i].line);
  }
  free(stream->peers);
  *stream = (cat_stream_t){0};
}

/* ---- what they say ------------------------------------------------------- */

static bool print(cat_stream_t* stream, const cat_stream_peer_t* p,
                  const char* bytes, size_t len) {
  mcq_frame_t frames[2] = {{p->id.data, p->id.len}, {bytes, len}};
  return stream->print(stream, frames, 2);
}

/* What has no newline yet, as if it had. */
static bool print_rest(cat_stream_t* stream, cat_stream_peer_t* p) {
  size_t len = p->line.len;
  p->line.len = 0;
  return len == 0 || print(stream, p, p->line.data, len);
}

static void print_lines(cat_stream_t* stream, cat_stream_peer_t* p,
                        const char* at, size_t len) {
  const char* newline;
  while ((newline = memchr(at, '\n', len)) != NULL) {
    size_t n = (size_t) (newline - at);
    bool begun = p->line.len != 0;
    if (begun) tool_buffer_add(&p->line, at, n);
    if (!(begun ? print_rest(stream, p) : print(stream, p, at, n))) return;
    at += n + 1;
    len -= n + 1;
  }
  tool_buffer_add(&p->line, at, len);
  if (p->line.len >= LINE_MAX_LEN) print_rest(stream, p);
}

void cat_stream_bytes(cat_stream_t* stream, mcq_peer_t peer,
                      const mcq_msg_t* msg) {
  cat_stream_peer_t* p = find(stream, peer);
  mcq_frame_t bytes = mcq_msg_frame(msg, 0);
  if (p == NULL) return;
  if (stream->format == CAT_RAW)
    stream->print(stream, &bytes, 1);
  else if (stream->format == CAT_TEXT)
    print_lines(stream, p, bytes.data, bytes.len);
  else
    print(stream, p, bytes.data, bytes.len);
}

void cat_stream_down(cat_stream_t* stream, const mcq_peer_info_t* info) {
  cat_stream_peer_t* p = find(stream, info->peer);
  if (p == NULL) return;
  print_rest(stream, p);
  p->live = false;
  stream->live--;
}

/* ---- what they are told -------------------------------------------------- */

static int read_text(const char* line, size_t len, cat_message_t* m) {
  const char* tab = memchr(line, '\t', len);
  size_t id_len = tab == NULL ? 0 : (size_t) (tab - line);
  size_t skip = tab == NULL ? 0 : id_len + 1;
  cat_message_begin(m, id_len);
  int rc = cat_message_add_hex(m, line, id_len);
  if (rc != 0) return rc;
  cat_message_add(m, line + skip, len - skip);
  cat_message_add(m, "\n", 1);
  return 0;
}

int cat_stream_read(cat_format_t format, const char* line, size_t len,
                    cat_message_t* m) {
  switch (format) {
    case CAT_TEXT:
      return read_text(line, len, m);
    case CAT_RAW:
      cat_message_begin(m, 0);
      cat_message_add(m, "", 0);
      cat_message_add(m, line, len);
      return 0;
    default:
      return cat_read(format, line, len, m);
  }
}

/* Whoever has room gets it now, and not again when it is tried again. */
static int send_all(cat_stream_t* stream, mcq_socket_t* socket,
                    const mcq_frame_t* frames, size_t count) {
  int result = stream->live == 0 ? MCQ_EAGAIN : 0;
  for (size_t i = 0; i < stream->cap; i++) {
    cat_stream_peer_t* p = &stream->peers[i];
    if (!p->live || p->had > stream->sent) continue;
    int rc = mcq_send_to(socket, p->handle, frames, count);
    if (rc == 0 || rc == MCQ_EPEERGONE)
      p->had = stream->sent + 1;
    else if (result == 0 || result == MCQ_EAGAIN)
      result = rc;
  }
  if (result == 0) stream->sent++;
  return result;
}

int cat_stream_send(cat_stream_t* stream, mcq_socket_t* socket,
                    const cat_message_t* m) {
  if (m->count < 2) return MCQ_EINVAL;
  if (m->frames[0].len != 0) return mcq_send(socket, m->frames, m->count);
  return send_all(stream, socket, m->frames + 1, m->count - 1);
}
