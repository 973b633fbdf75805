/* SPDX-License-Identifier: MIT */
/* One message to many (see fanout.h).  Never looks behind the first frame. */
#include "socket/fanout.h"

/* Messages up to this size are put together one behind the other, so that what
 * a peer gets of them is one piece; larger ones have memory of their own, which
 * goes when the last peer has it. */
#define BOARD_MAX ((size_t) 2048)

/* ---- the message as it travels ------------------------------------------- */

/* Bytes of the message as it travels, at most; `*payload`: of its frames. */
static size_t measure(const mcq__body_t* body, size_t* payload) {
  *payload = 0;
  for (size_t i = 0; i < body->count; i++)
    *payload += mcq__body_frame(body, i).len;
  return *payload + body->count * MCQ__HEAD_MAX;
}

/* Large frames of a message that came are shared as they are, except for those
 * which every queue would have to copy out of the buffer they lie in. */
static bool worth_sharing(const mcq__body_t* body, size_t size) {
  if (size <= BOARD_MAX || body->frames != NULL) return true;
  for (size_t i = 0; i < body->count; i++)
    if (body->slices[i].len > BOARD_MAX &&
        !mcq__slice_keepable(body->slices[i]))
      return true;
  return false;
}

/* While a peer has not got all of it, what comes next goes on where the last
 * message ended. */
void mcq__fanout_wipe(mcq_socket_t* s) {
  if (mcq__window_sole(&s->board.window)) mcq__arena_rest(&s->board);
}

static void encode(const mcq_socket_t* s, const mcq__body_t* body,
                   mcq__window_t* w, mcq__slice_t* out) {
  const mcq__protocol_t* protocol = s->host->protocol;
  for (size_t i = 0; i < body->count; i++) {
    mcq_frame_t frame = mcq__body_frame(body, i);
    uint8_t* head = mcq__window_head(w, MCQ__HEAD_MAX);
    size_t len = protocol->head(head, frame.len, i + 1 < body->count);
    mcq__window_poke(w, len, frame.data, frame.len);
    mcq__window_freeze_on(w, len + frame.len, out);
  }
}

/* On the board, or in memory of its own. */
static int put_together(mcq_socket_t* s, const mcq__body_t* body, size_t size,
                        mcq__slice_t* out) {
  mcq__window_t own = {0};
  bool small = size <= BOARD_MAX;
  int rc = small ? mcq__arena_need(&s->board, s->host->pool, size)
                 : mcq__window_open_exact(&own, s->host->pool, size);
  if (rc != 0) return rc;
  encode(s, body, small ? &s->board.window : &own, out);
  mcq__window_close(&own);
  return 0;
}

/* ---- where a queue is full ----------------------------------------------- */

static void note_missed(mcq_socket_t* s, mcq__actor_t* a, uint64_t count) {
  a->missed += count;
  mcq__io_work(&s->host->io, &s->drops); /* this may be a call of his */
}

bool mcq__fanout_shed(mcq_socket_t* s, mcq__actor_t* a) {
  if (!mcq__actor_shed(a)) return false;
  note_missed(s, a, 1);
  return true;
}

/* True when older messages made room for the new one: one, or as many as it
 * takes by bytes. */
static bool replace_oldest(mcq_socket_t* s, mcq__actor_t* a) {
  if (s->options.slow_peer != MCQ_SLOW_DROP_OLDEST) return false;
  do {
    if (!mcq__fanout_shed(s, a)) return false;
  } while (mcq__outbox_full(a->outbox));
  return true;
}

static bool on_missed(void* arg, mcq_peer_t peer, int code, uint64_t count) {
  mcq_socket_t* s = (mcq_socket_t*) arg;
  mcq__port_t* port = mcq__roster_port(s->roster, peer);
  mcq__actor_t* a = mcq__actor_of_port(port);
  if (code == MCQ_EPEERGONE) return false; /* it is closing */
  if (code == MCQ_EAGAIN && replace_oldest(s, a)) return true;
  if (code == MCQ_EAGAIN)
    mcq__actor_odd(a)->missed_full += count;
  else
    mcq__actor_odd(a)->missed_memory += count;
  note_missed(s, a, count);
  /* Where all of them together have no room it may not be this one's fault. */
  if (s->options.slow_peer == MCQ_SLOW_DISCONNECT &&
      (code != MCQ_EAGAIN || mcq__outbox_full(a->outbox)))
    mcq__actor_end(a, MCQ_ESLOW, 0);
  return false;
}

void mcq__fanout_report_one(mcq_socket_t* s, mcq__actor_t* a) {
  if (a->missed == 0) return;
  mcq_event_t event = mcq__events_of(a, MCQ_EVENT_DROPPED);
  event.count = a->missed;
  a->missed = 0;
  mcq__socket_event(s, &event);
}

void mcq__fanout_report(mcq_socket_t* s) {
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next)
    mcq__fanout_report_one(s, mcq__container_of(n, mcq__actor_t, node));
}

/* ---- out it goes --------------------------------------------------------- */

/* What waits to be told is told before the loop polls, and the board wiped when
 * the peers have written it, most of them. */
static void clean_up_later(mcq_socket_t* s) {
  mcq__io_t* io = &s->host->io;
  if (mcq__pubsub_waits(&s->hub.pubsub) && !mcq__node_linked(&s->settle.node))
    mcq__io_work(io, &s->settle);
  if (!mcq__node_linked(&s->wipe.node)) mcq__io_flush(io, &s->wipe);
}

static int publish(mcq_socket_t* s, const mcq__body_t* body) {
  bool refuse = s->options.slow_peer == MCQ_SLOW_REFUSE;
  mcq__budget_begin(&s->budget, refuse);
  int told = mcq__pubsub_publish(&s->hub.pubsub, body, refuse, on_missed, s);
  mcq__budget_end(&s->budget);
  return told < 0 ? told : 0;
}

/* What takes it needs no policy. */
static int tell_sole(mcq_socket_t* s, const mcq__body_t* body) {
  int rc = mcq__pubsub_tell_sole(&s->hub.pubsub, body);
  return mcq__likely(rc == 0) ? 0 : publish(s, body);
}

/* It was refused before anybody was told.  Left on the board it would part what
 * comes next from what came before, and each queue would have to copy. */
static void unwrite(mcq_socket_t* s, mcq__slice_t* bytes) {
  mcq__window_thaw(&s->board.window, bytes);
}

static int spread(mcq_socket_t* s, const mcq__body_t* body, bool inverted) {
  mcq__pubsub_t* hub = &s->hub.pubsub;
  size_t many = mcq__pubsub_find(hub, mcq__body_frame(body, 0), inverted);
  if (many == 0) return 0;
  if (many == 1) return tell_sole(s, body);
  mcq__wired_t wired = {.count = 1, .frames = body->count};
  mcq__body_t whole = {.count = body->count, .wired = &wired};
  size_t payload;
  size_t size = measure(body, &payload);
  if (!worth_sharing(body, size)) return publish(s, body);
  int rc = put_together(s, body, size, &wired.bytes);
  if (rc != 0) return rc;
  wired.size = wired.bytes.len;
  wired.payload = payload;
  rc = publish(s, &whole);
  if (rc == MCQ_EAGAIN && size <= BOARD_MAX) unwrite(s, &wired.bytes);
  mcq__slice_release(&wired.bytes);
  clean_up_later(s);
  return rc;
}

int mcq__fanout_matching(mcq_socket_t* s, const mcq__body_t* body) {
  return spread(s, body, (s->options.flags & MCQ_INVERT_MATCHING) != 0);
}

/* Nobody asks an XSUB for anything, so all did not. */
int mcq__fanout_all(mcq_socket_t* s, const mcq__body_t* body) {
  return spread(s, body, true);
}

void mcq__fanout_settle(mcq_socket_t* s) {
  mcq__pubsub_settle(&s->hub.pubsub);
}
