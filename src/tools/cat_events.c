/* SPDX-License-Identifier: MIT */
/* Events and counters of a socket as one JSON object a line on stderr, each in
 * one write.  Called by mcqcat.c from the library's callbacks. */
#include "cat_events.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cat_json.h"

/* Whether the event's address is that of an endpoint and not of a peer. */
static bool of_endpoint(mcq_event_kind_t kind) {
  switch (kind) {
    case MCQ_EVENT_LISTENING:
    case MCQ_EVENT_ACCEPT_FAILED:
    case MCQ_EVENT_CONNECTING:
    case MCQ_EVENT_CONNECT_FAILED:
    case MCQ_EVENT_RETRY:
    case MCQ_EVENT_STOPPED:
    case MCQ_EVENT_CLOSED:
      return true;
    default:
      return false;
  }
}

/* The kind of ending a code stands for; the code itself says it exactly. */
static const char* reason(int code) {
  switch (code) {
    case 0:
    case MCQ_EOF:
      return "closed";
    case MCQ_ELOCAL:
    case MCQ_ECLOSED:
      return "local";
    case MCQ_EHANDOVER:
      return "handover";
    case MCQ_EGREETING:
    case MCQ_ELEGACY:
    case MCQ_EFRAME:
    case MCQ_ECOMMAND:
    case MCQ_EMETADATA:
    case MCQ_EENVELOPE:
      return "protocol";
    case MCQ_EFRAMES:
    case MCQ_EMSGLIMIT:
    case MCQ_ELIMIT:
    case MCQ_ECROWDED:
      return "limit";
    case MCQ_ESLOW:
      return "slow";
    case MCQ_ETWIN:
    case MCQ_EMECHANISM:
    case MCQ_ETYPE:
    case MCQ_EREFUSED:
    case MCQ_EPAIRED:
    case MCQ_ENOTNOW:
      return "refused";
    case MCQ_EHANDSHAKE:
    case MCQ_ETIMEDOUT:
    case MCQ_EIDLE:
    case MCQ_EHEARTBEAT:
      return "timeout";
    default:
      return "lost";
  }
}

static void set_text(json_t* object, const char* key, const char* text) {
  if (text == NULL || text[0] == '\0') return;
  json_object_set_new(object, key, cat_json_bytes(text, strlen(text)));
}

static void set_number(json_t* object, const char* key, uint64_t value) {
  json_object_set_new(object, key, json_integer((json_int_t) value));
}

static json_t* begin(const char* name) {
  json_t* object = json_object();
  set_text(object, "event", name);
  return object;
}

static void say(json_t* object) {
  tool_buffer_t line = {0};
  cat_json_line(object, &line);
  tool_write(STDERR_FILENO, line.data, line.len);
  tool_buffer_free(&line);
}

static void set_code(json_t* object, int code, const char* text) {
  if (code != 0) {
    set_text(object, "code", mcq_err_name(code));
    set_text(object, "message", mcq_strerror(code));
  }
  set_text(object, "text", text);
}

/* A publisher is told of a topic, which may be empty; a subscriber is not. */
static bool has_topic(const mcq_socket_t* socket, const mcq_event_t* event) {
  int type = mcq_socket_type(socket);
  return (type == MCQ_PUB || type == MCQ_XPUB) &&
         (event->kind == MCQ_EVENT_SUBSCRIBED ||
          event->kind == MCQ_EVENT_UNSUBSCRIBED);
}

void cat_events_event(const mcq_socket_t* socket, const mcq_event_t* event) {
  const char* name = mcq_event_name(event->kind);
  json_t* object = begin(name == NULL ? "other" : name);
  set_text(object, of_endpoint(event->kind) ? "endpoint" : "address",
           event->address);
  if (event->routing_id_len != 0)
    json_object_set_new(object, "peer",
                        cat_json_hex(event->routing_id, event->routing_id_len));
  if (event->peer.epoch != 0) set_number(object, "epoch", event->peer.epoch);
  if (event->kind == MCQ_EVENT_HANDSHAKE_FAILED ||
      event->kind == MCQ_EVENT_DISCONNECTED)
    set_text(object, "reason", reason(event->code));
  if (event->kind == MCQ_EVENT_RETRY)
    set_number(object, "wait_ms", event->wait_ms);
  if (has_topic(socket, event))
    json_object_set_new(object, "topic",
                        cat_json_bytes(event->topic, event->topic_len));
  if (event->kind == MCQ_EVENT_DROPPED || event->kind == MCQ_EVENT_REFUSED ||
      event->kind == MCQ_EVENT_CONGESTED || event->kind == MCQ_EVENT_RELIEVED)
    set_number(object, "count", event->count);
  set_code(object, event->code, event->text);
  say(object);
}

static json_t* begin_peer(const char* name, const mcq_peer_info_t* info) {
  json_t* object = begin(name);
  json_object_set_new(object, "peer",
                      cat_json_hex(info->routing_id, info->routing_id_len));
  set_number(object, "epoch", info->peer.epoch);
  set_text(object, "address", info->address);
  return object;
}

void cat_events_peer_up(const mcq_peer_info_t* info) {
  json_t* object = begin_peer("peer-up", info);
  set_text(object, "type", info->socket_type);
  set_text(object, "mechanism", info->mechanism);
  if (info->version_major != 0) /* a stream's have none */
    json_object_set_new(
        object, "version",
        json_sprintf("%d.%d", info->version_major, info->version_minor));
  json_object_set_new(object, "incoming", json_boolean(info->incoming));
  say(object);
}

void cat_events_peer_down(const mcq_peer_info_t* info) {
  json_t* object = begin_peer("peer-down", info);
  set_text(object, "reason", reason(info->reason));
  set_code(object, info->reason, info->text);
  set_number(object, "lost_messages", info->lost_messages);
  set_number(object, "lost_bytes", info->lost_bytes);
  set_number(object, "unsure_messages", info->unsure_messages);
  say(object);
}

static void set_connections(json_t* object, const mcq_stats_t* s) {
  set_number(object, "connections_accepted", s->connections_accepted);
  set_number(object, "connections_made", s->connections_made);
  set_number(object, "accepts_failed", s->accepts_failed);
  set_number(object, "connects_failed", s->connects_failed);
  set_number(object, "wire_bytes_received", s->wire_bytes_received);
  set_number(object, "wire_bytes_sent", s->wire_bytes_sent);
  set_number(object, "handshakes_timed_out", s->handshakes_timed_out);
  set_number(object, "handshakes_refused", s->handshakes_refused);
  set_number(object, "handshakes_rejected", s->handshakes_rejected);
  set_number(object, "handshakes_invalid", s->handshakes_invalid);
  set_number(object, "handshakes_lost", s->handshakes_lost);
  set_number(object, "pings_sent", s->pings_sent);
  set_number(object, "pings_received", s->pings_received);
  set_number(object, "pongs_received", s->pongs_received);
}

static void set_fates(json_t* object, const mcq_stats_t* s) {
  set_number(object, "messages_written", s->messages_written);
  set_number(object, "messages_in_flight", s->messages_in_flight);
  set_number(object, "messages_unsure", s->messages_unsure);
  set_number(object, "messages_replaced", s->messages_replaced);
  set_number(object, "lost_gone", s->lost_gone);
  set_number(object, "lost_slow", s->lost_slow);
  set_number(object, "lost_local", s->lost_local);
  set_number(object, "dropped_full", s->dropped_full);
  set_number(object, "dropped_memory", s->dropped_memory);
  set_number(object, "congestions", s->congestions);
  set_number(object, "queue_peak_messages", s->queue_peak_messages);
  set_number(object, "queue_peak_bytes", s->queue_peak_bytes);
}

void cat_events_stats(mcq_socket_t* socket) {
  mcq_stats_t s;
  mcq_stats(socket, &s);
  json_t* object = begin("stats");
  set_text(object, "backend", mcq_ctx_backend(mcq_socket_ctx(socket)));
  set_number(object, "peers", s.peers);
  set_number(object, "messages_received", s.messages_received);
  set_number(object, "frames_received", s.frames_received);
  set_number(object, "bytes_received", s.bytes_received);
  set_number(object, "messages_sent", s.messages_sent);
  set_number(object, "frames_sent", s.frames_sent);
  set_number(object, "bytes_sent", s.bytes_sent);
  set_number(object, "messages_queued", s.messages_queued);
  set_number(object, "bytes_queued", s.bytes_queued);
  set_number(object, "messages_lost", s.messages_lost);
  set_number(object, "messages_requeued", s.messages_requeued);
  set_number(object, "sends_refused", s.sends_refused);
  set_number(object, "sends_unroutable", s.sends_unroutable);
  set_number(object, "handshakes_ok", s.handshakes_ok);
  set_number(object, "handshakes_failed", s.handshakes_failed);
  set_number(object, "disconnects", s.disconnects);
  set_number(object, "reconnects", s.reconnects);
  set_number(object, "commands_unknown", s.commands_unknown);
  set_number(object, "messages_discarded", s.messages_discarded);
  set_number(object, "messages_dropped", s.messages_dropped);
  set_number(object, "requests_failed", s.requests_failed);
  set_number(object, "posts_failed", s.posts_failed);
  set_number(object, "connections_refused", s.connections_refused);
  set_number(object, "subscriptions", s.subscriptions);
  set_fates(object, &s);
  set_connections(object, &s);
  say(object);
}
