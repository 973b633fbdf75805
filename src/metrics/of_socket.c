/* SPDX-License-Identifier: MIT */
/* What is told of a socket: every member of mcq_stats_t that is not the sum of
 * others.  Data only. */
#include "metrics/family.h"

enum {
  NONE,
  PEERS,
  RECEIVED,
  RECEIVED_FRAMES,
  RECEIVED_BYTES,
  DISCARDED,
  SENT,
  SENT_FRAMES,
  SENT_BYTES,
  WRITTEN,
  IN_FLIGHT,
  QUEUED,
  QUEUED_BYTES,
  PEAK,
  PEAK_BYTES,
  CONGESTIONS,
  UNSURE,
  LOST_GONE,
  LOST_SLOW,
  LOST_LOCAL,
  DROPPED_FULL,
  DROPPED_MEMORY,
  REPLACED,
  REQUEUED,
  REFUSED,
  UNROUTABLE,
  POSTS,
  REQUESTS,
  ACCEPTED,
  MADE,
  ACCEPTS_FAILED,
  TURNED_AWAY,
  CONNECTS_FAILED,
  HANDSHAKES_OK,
  TIMED_OUT,
  THEY_REFUSED,
  WE_REJECTED,
  INVALID,
  HANDSHAKES_LOST,
  DISCONNECTS,
  RECONNECTS,
  COMMANDS,
  SUBSCRIPTIONS,
  WIRE_IN,
  WIRE_OUT,
  PINGS_OUT,
  PINGS_IN,
  PONGS_IN,
  FIGURES
};

const mcq__family_t mcq__families_socket[] = {
    {.name = "socket_peers",
     .help = "Connections that are up.",
     .kind = MCQ__GAUGE,
     .samples = {{PEERS, NULL}}},
    {.name = "socket_received_messages",
     .help = "Messages delivered.",
     .kind = MCQ__COUNTER,
     .samples = {{RECEIVED, NULL}}},
    {.name = "socket_received_frames",
     .help = "Frames of messages delivered.",
     .kind = MCQ__COUNTER,
     .samples = {{RECEIVED_FRAMES, NULL}}},
    {.name = "socket_received_bytes",
     .help = "Bytes of frames delivered.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{RECEIVED_BYTES, NULL}}},
    {.name = "socket_discarded_messages",
     .help = "Messages received that are of no use to the socket's type.",
     .kind = MCQ__COUNTER,
     .samples = {{DISCARDED, NULL}}},
    {.name = "socket_sent_messages",
     .help = "Messages accepted for sending, for each peer they go to.",
     .kind = MCQ__COUNTER,
     .samples = {{SENT, NULL}}},
    {.name = "socket_sent_frames",
     .help = "Frames of messages accepted.",
     .kind = MCQ__COUNTER,
     .samples = {{SENT_FRAMES, NULL}}},
    {.name = "socket_sent_bytes",
     .help = "Bytes of frames accepted.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{SENT_BYTES, NULL}}},
    {.name = "socket_written_messages",
     .help = "Messages handed over to the last byte.",
     .kind = MCQ__COUNTER,
     .samples = {{WRITTEN, NULL}}},
    {.name = "socket_in_flight_messages",
     .help = "Messages handed over and not known to be written.",
     .kind = MCQ__GAUGE,
     .samples = {{IN_FLIGHT, NULL}}},
    {.name = "socket_queued_messages",
     .help = "Messages that wait to be handed over.",
     .kind = MCQ__GAUGE,
     .samples = {{QUEUED, NULL}}},
    {.name = "socket_queued_bytes",
     .help = "Bytes that wait, with their headers.",
     .kind = MCQ__GAUGE,
     .unit = "bytes",
     .samples = {{QUEUED_BYTES, NULL}}},
    {.name = "socket_queue_peak_messages",
     .help = "The most messages that ever waited for one peer.",
     .kind = MCQ__GAUGE,
     .samples = {{PEAK, NULL}}},
    {.name = "socket_queue_peak_bytes",
     .help = "The most bytes that ever waited for one peer.",
     .kind = MCQ__GAUGE,
     .unit = "bytes",
     .samples = {{PEAK_BYTES, NULL}}},
    {.name = "socket_congestions",
     .help = "Times that a peer's queue became full.",
     .kind = MCQ__COUNTER,
     .samples = {{CONGESTIONS, NULL}}},
    {.name = "socket_unsure_messages",
     .help = "Messages under way when their connection was lost.",
     .kind = MCQ__COUNTER,
     .samples = {{UNSURE, NULL}}},
    {.name = "socket_lost_messages",
     .help = "Messages accepted and given up undelivered.",
     .kind = MCQ__COUNTER,
     .label = "reason",
     .samples = {{LOST_GONE, "gone"},
                 {LOST_SLOW, "slow"},
                 {LOST_LOCAL, "local"}}},
    {.name = "socket_dropped_messages",
     .help = "Messages that a slow peer did not get.",
     .kind = MCQ__COUNTER,
     .label = "reason",
     .samples = {{DROPPED_FULL, "full"},
                 {DROPPED_MEMORY, "memory"},
                 {REPLACED, "replaced"}}},
    {.name = "socket_requeued_messages",
     .help = "Messages that went to another peer after a loss.",
     .kind = MCQ__COUNTER,
     .samples = {{REQUEUED, NULL}}},
    {.name = "socket_refused_sends",
     .help = "Sends that were not accepted.",
     .kind = MCQ__COUNTER,
     .label = "reason",
     .samples = {{REFUSED, "full"}, {UNROUTABLE, "unroutable"}}},
    {.name = "socket_failed_posts",
     .help = "Messages of other threads that could not be sent.",
     .kind = MCQ__COUNTER,
     .samples = {{POSTS, NULL}}},
    {.name = "socket_failed_requests",
     .help = "Questions that will not be answered.",
     .kind = MCQ__COUNTER,
     .samples = {{REQUESTS, NULL}}},
    {.name = "socket_connections",
     .help = "Connections made, before their handshake.",
     .kind = MCQ__COUNTER,
     .label = "direction",
     .samples = {{ACCEPTED, "in"}, {MADE, "out"}}},
    {.name = "socket_failed_connections",
     .help = "Attempts that ended without a connection.",
     .kind = MCQ__COUNTER,
     .label = "direction",
     .samples = {{ACCEPTS_FAILED, "in"}, {CONNECTS_FAILED, "out"}}},
    {.name = "socket_refused_connections",
     .help = "Connections that were over a limit and closed as they came.",
     .kind = MCQ__COUNTER,
     .samples = {{TURNED_AWAY, NULL}}},
    {.name = "socket_handshakes",
     .help = "Handshakes that ended, by how they did.",
     .kind = MCQ__COUNTER,
     .label = "result",
     .samples = {{HANDSHAKES_OK, "ok"},
                 {TIMED_OUT, "timed_out"},
                 {THEY_REFUSED, "refused"},
                 {WE_REJECTED, "rejected"},
                 {INVALID, "invalid"},
                 {HANDSHAKES_LOST, "lost"}}},
    {.name = "socket_disconnects",
     .help = "Connections that were up and ended.",
     .kind = MCQ__COUNTER,
     .samples = {{DISCONNECTS, NULL}}},
    {.name = "socket_reconnects",
     .help = "Attempts to connect after the first of an endpoint.",
     .kind = MCQ__COUNTER,
     .samples = {{RECONNECTS, NULL}}},
    {.name = "socket_unknown_commands",
     .help = "Commands that were ignored.",
     .kind = MCQ__COUNTER,
     .samples = {{COMMANDS, NULL}}},
    {.name = "socket_subscriptions",
     .help = "Topics subscribed to, or with a subscriber.",
     .kind = MCQ__GAUGE,
     .samples = {{SUBSCRIPTIONS, NULL}}},
    {.name = "socket_wire_received_bytes",
     .help = "All bytes read from connections.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{WIRE_IN, NULL}}},
    {.name = "socket_wire_sent_bytes",
     .help = "All bytes written to connections.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{WIRE_OUT, NULL}}},
    {.name = "socket_heartbeats",
     .help = "Pings and their answers.",
     .kind = MCQ__COUNTER,
     .label = "kind",
     .samples = {{PINGS_OUT, "ping_sent"},
                 {PINGS_IN, "ping_received"},
                 {PONGS_IN, "pong_received"}}},
    {.name = NULL},
};

_Static_assert(FIGURES <= MCQ__FIGURES_MAX, "more room for figures");

void mcq__figures_socket(const mcq_stats_t* s, uint64_t v[MCQ__FIGURES_MAX]) {
  v[PEERS] = s->peers;
  v[RECEIVED] = s->messages_received;
  v[RECEIVED_FRAMES] = s->frames_received;
  v[RECEIVED_BYTES] = s->bytes_received;
  v[DISCARDED] = s->messages_discarded;
  v[SENT] = s->messages_sent;
  v[SENT_FRAMES] = s->frames_sent;
  v[SENT_BYTES] = s->bytes_sent;
  v[WRITTEN] = s->messages_written;
  v[IN_FLIGHT] = s->messages_in_flight;
  v[QUEUED] = s->messages_queued;
  v[QUEUED_BYTES] = s->bytes_queued;
  v[PEAK] = s->queue_peak_messages;
  v[PEAK_BYTES] = s->queue_peak_bytes;
  v[CONGESTIONS] = s->congestions;
  v[UNSURE] = s->messages_unsure;
  v[LOST_GONE] = s->lost_gone;
  v[LOST_SLOW] = s->lost_slow;
  v[LOST_LOCAL] = s->lost_local;
  v[DROPPED_FULL] = s->dropped_full;
  v[DROPPED_MEMORY] = s->dropped_memory;
  v[REPLACED] = s->messages_replaced;
  v[REQUEUED] = s->messages_requeued;
  v[REFUSED] = s->sends_refused;
  v[UNROUTABLE] = s->sends_unroutable;
  v[POSTS] = s->posts_failed;
  v[REQUESTS] = s->requests_failed;
  v[ACCEPTED] = s->connections_accepted;
  v[MADE] = s->connections_made;
  v[ACCEPTS_FAILED] = s->accepts_failed;
  v[TURNED_AWAY] = s->connections_refused;
  v[CONNECTS_FAILED] = s->connects_failed;
  v[HANDSHAKES_OK] = s->handshakes_ok;
  v[TIMED_OUT] = s->handshakes_timed_out;
  v[THEY_REFUSED] = s->handshakes_refused;
  v[WE_REJECTED] = s->handshakes_rejected;
  v[INVALID] = s->handshakes_invalid;
  v[HANDSHAKES_LOST] = s->handshakes_lost;
  v[DISCONNECTS] = s->disconnects;
  v[RECONNECTS] = s->reconnects;
  v[COMMANDS] = s->commands_unknown;
  v[SUBSCRIPTIONS] = s->subscriptions;
  v[WIRE_IN] = s->wire_bytes_received;
  v[WIRE_OUT] = s->wire_bytes_sent;
  v[PINGS_OUT] = s->pings_sent;
  v[PINGS_IN] = s->pings_received;
  v[PONGS_IN] = s->pongs_received;
}
