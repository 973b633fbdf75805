/* SPDX-License-Identifier: MIT */
/* Figures for users: put together when somebody asks, from what actors and
 * sockets count as they go.  Cold, and changes nothing. */
#include "socket/socket.h"

/* ---- what is counted here ------------------------------------------------ */

void mcq__stats_failed(mcq_socket_t* s, int code) {
  mcq_stats_t* c = &s->counts;
  c->handshakes_failed++;
  switch (code) {
    case MCQ_EHANDSHAKE:
      c->handshakes_timed_out++;
      break;
    case MCQ_EREFUSED:
    case MCQ_ENOTNOW:
      c->handshakes_refused++;
      break;
    case MCQ_ETYPE:
    case MCQ_ETWIN:
    case MCQ_EPAIRED:
    case MCQ_ECROWDED:
    case MCQ_EMECHANISM:
    case MCQ_ECLOSED:
    case MCQ_ELOCAL:
    case MCQ_ENOMEM:
      c->handshakes_rejected++;
      break;
    case MCQ_EGREETING:
    case MCQ_ELEGACY:
    case MCQ_EFRAME:
    case MCQ_ECOMMAND:
    case MCQ_EMETADATA:
    case MCQ_EFRAMES:
    case MCQ_EMSGLIMIT:
    case MCQ_ELIMIT:
      c->handshakes_invalid++;
      break;
    default:
      c->handshakes_lost++;
      break;
  }
}

/* ---- sums ---------------------------------------------------------------- */

/* What waits in the outbox of `a`, unless it is accounted for already. */
static void add_queue(const mcq__actor_t* a, uint64_t* messages,
                      uint64_t* bytes, uint64_t* in_flight) {
  if (a->settled) return;
  *messages += mcq__outbox_queued(a->outbox);
  *bytes += mcq__outbox_queued_bytes(a->outbox);
  *in_flight += a->outbox->handed;
}

static uint64_t lost(const mcq__tally_t* t) {
  return t->lost_gone + t->lost_slow + t->lost_local;
}

static void put_tally(const mcq__tally_t* t, mcq_stats_t* out) {
  out->messages_received = t->messages_in - t->messages_aside;
  out->frames_received = t->frames_in - t->frames_aside;
  out->bytes_received = t->bytes_in - t->bytes_aside;
  out->messages_sent = t->messages_out;
  out->frames_sent = t->frames_out;
  out->bytes_sent = t->bytes_out;
  out->messages_written = t->written;
  out->messages_unsure = t->unsure;
  out->messages_replaced = t->replaced;
  out->messages_requeued = t->requeued;
  out->messages_lost = lost(t);
  out->lost_gone = t->lost_gone;
  out->lost_slow = t->lost_slow;
  out->lost_local = t->lost_local;
  out->dropped_full = t->missed_full;
  out->dropped_memory = t->missed_memory;
  out->messages_dropped = t->missed_full + t->missed_memory + t->replaced;
  out->congestions = t->congestions;
  out->queue_peak_messages = t->peak_messages;
  out->queue_peak_bytes = t->peak_bytes;
  out->wire_bytes_received = t->wire_in;
  out->wire_bytes_sent = t->wire_out;
  out->pings_sent = t->pings_out;
  out->pings_received = t->pings_in;
  out->pongs_received = t->pongs_in;
}

void mcq__stats_socket(const mcq_socket_t* s, mcq_stats_t* out) {
  mcq__tally_t sum = s->tally;
  *out = s->counts;
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    mcq__tally_t tally = mcq__actor_tally(a);
    mcq__tally_add(&sum, &tally);
    add_queue(a, &out->messages_queued, &out->bytes_queued,
              &out->messages_in_flight);
  }
  put_tally(&sum, out);
  if (s->pattern->topics != NULL) out->subscriptions = s->pattern->topics(s);
}

void mcq__stats_actor(const mcq__actor_t* a, mcq_peer_stats_t* out) {
  mcq__tally_t t = mcq__actor_tally(a);
  *out = (mcq_peer_stats_t){
      .messages_received = t.messages_in - t.messages_aside,
      .frames_received = t.frames_in - t.frames_aside,
      .bytes_received = t.bytes_in - t.bytes_aside,
      .messages_discarded = t.messages_aside,
      .messages_sent = t.messages_out,
      .frames_sent = t.frames_out,
      .bytes_sent = t.bytes_out,
      .messages_written = t.written,
      .messages_unsure = t.unsure,
      .messages_replaced = t.replaced,
      .messages_lost = lost(&t),
      .messages_requeued = t.requeued,
      .dropped_full = t.missed_full,
      .dropped_memory = t.missed_memory,
      .congestions = t.congestions,
      .queue_peak_messages = t.peak_messages,
      .queue_peak_bytes = t.peak_bytes,
      .wire_bytes_received = t.wire_in,
      .wire_bytes_sent = t.wire_out,
      .connections = t.connections,
      .connected = a->was_up,
      .up_ms = a->was_up ? mcq__io_now(a->config->io) - a->up_at : 0,
      .congested = a->full,
      .pings_sent = t.pings_out,
      .pings_received = t.pings_in,
      .pongs_received = t.pongs_in,
      .rtt_ns = a->rtt_ns,
  };
  add_queue(a, &out->messages_queued, &out->bytes_queued,
            &out->messages_in_flight);
}

static void raise_to(uint64_t* peak, uint64_t value) {
  if (value > *peak) *peak = value;
}

static void add_messages(mcq_stats_t* to, const mcq_stats_t* from) {
  to->messages_received += from->messages_received;
  to->frames_received += from->frames_received;
  to->bytes_received += from->bytes_received;
  to->messages_sent += from->messages_sent;
  to->frames_sent += from->frames_sent;
  to->bytes_sent += from->bytes_sent;
  to->messages_queued += from->messages_queued;
  to->bytes_queued += from->bytes_queued;
  to->messages_lost += from->messages_lost;
  to->messages_requeued += from->messages_requeued;
  to->sends_refused += from->sends_refused;
  to->sends_unroutable += from->sends_unroutable;
  to->messages_discarded += from->messages_discarded;
  to->requests_failed += from->requests_failed;
  to->messages_dropped += from->messages_dropped;
  to->messages_written += from->messages_written;
  to->messages_in_flight += from->messages_in_flight;
  to->messages_unsure += from->messages_unsure;
  to->messages_replaced += from->messages_replaced;
  to->lost_gone += from->lost_gone;
  to->lost_slow += from->lost_slow;
  to->lost_local += from->lost_local;
  to->dropped_full += from->dropped_full;
  to->dropped_memory += from->dropped_memory;
}

void mcq__stats_add(mcq_stats_t* to, const mcq_stats_t* from) {
  add_messages(to, from);
  to->peers += from->peers;
  to->handshakes_ok += from->handshakes_ok;
  to->handshakes_failed += from->handshakes_failed;
  to->disconnects += from->disconnects;
  to->reconnects += from->reconnects;
  to->commands_unknown += from->commands_unknown;
  to->connections_refused += from->connections_refused;
  to->posts_failed += from->posts_failed;
  to->subscriptions += from->subscriptions;
  to->congestions += from->congestions;
  raise_to(&to->queue_peak_messages, from->queue_peak_messages);
  raise_to(&to->queue_peak_bytes, from->queue_peak_bytes);
  to->connections_accepted += from->connections_accepted;
  to->connections_made += from->connections_made;
  to->accepts_failed += from->accepts_failed;
  to->connects_failed += from->connects_failed;
  to->wire_bytes_received += from->wire_bytes_received;
  to->wire_bytes_sent += from->wire_bytes_sent;
  to->handshakes_timed_out += from->handshakes_timed_out;
  to->handshakes_refused += from->handshakes_refused;
  to->handshakes_rejected += from->handshakes_rejected;
  to->handshakes_invalid += from->handshakes_invalid;
  to->handshakes_lost += from->handshakes_lost;
  to->pings_sent += from->pings_sent;
  to->pings_received += from->pings_received;
  to->pongs_received += from->pongs_received;
}

/* ---- API ----------------------------------------------------------------- */

void mcq_stats_get(mcq_socket_t* socket, mcq_stats_t* out, size_t size) {
  mcq_stats_t stats;
  mcq__socket_settle(socket);
  mcq__stats_socket(socket, &stats);
  mcq__mem_answer(out, size, &stats, sizeof stats);
}

static int answer_actor(const mcq__actor_t* a, mcq_peer_stats_t* out,
                        size_t size, int otherwise) {
  mcq_peer_stats_t stats = {0};
  if (a != NULL) mcq__stats_actor(a, &stats);
  mcq__mem_answer(out, size, &stats, sizeof stats);
  return a == NULL ? otherwise : 0;
}

int mcq_peer_stats_get(mcq_socket_t* socket, mcq_peer_t peer,
                       mcq_peer_stats_t* out, size_t size) {
  mcq__socket_settle(socket);
  return answer_actor(mcq__peers_actor(socket, peer), out, size, MCQ_EPEERGONE);
}

int mcq_endpoint_stats_get(mcq_socket_t* socket, mcq_endpoint_t endpoint,
                           mcq_peer_stats_t* out, size_t size) {
  mcq__socket_settle(socket);
  return answer_actor(mcq__end_actor(socket, endpoint), out, size, MCQ_ENOENT);
}
