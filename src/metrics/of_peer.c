/* SPDX-License-Identifier: MIT */
/* What is told of a connection, or of an endpoint with all its connections:
 * every member of mcq_peer_stats_t.  Data only. */
#include "metrics/family.h"

enum {
  NONE,
  CONNECTED,
  UP,
  CONNECTIONS,
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
  CONGESTED,
  CONGESTIONS,
  UNSURE,
  LOST,
  REQUEUED,
  DROPPED_FULL,
  DROPPED_MEMORY,
  REPLACED,
  WIRE_IN,
  WIRE_OUT,
  PINGS_OUT,
  PINGS_IN,
  PONGS_IN,
  ROUND_TRIP,
  FIGURES
};

const mcq__family_t mcq__families_peer[] = {
    {.name = "peer_connected",
     .help = "Whether the connection is up.",
     .kind = MCQ__GAUGE,
     .samples = {{CONNECTED, NULL}}},
    {.name = "peer_up_seconds",
     .help = "For how long the connection has been up.",
     .kind = MCQ__GAUGE,
     .unit = "seconds",
     .per = 1000,
     .samples = {{UP, NULL}}},
    {.name = "peer_connections",
     .help = "Connections that came up.",
     .kind = MCQ__COUNTER,
     .samples = {{CONNECTIONS, NULL}}},
    {.name = "peer_received_messages",
     .help = "Messages delivered.",
     .kind = MCQ__COUNTER,
     .samples = {{RECEIVED, NULL}}},
    {.name = "peer_received_frames",
     .help = "Frames of messages delivered.",
     .kind = MCQ__COUNTER,
     .samples = {{RECEIVED_FRAMES, NULL}}},
    {.name = "peer_received_bytes",
     .help = "Bytes of frames delivered.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{RECEIVED_BYTES, NULL}}},
    {.name = "peer_discarded_messages",
     .help = "Messages received and not delivered.",
     .kind = MCQ__COUNTER,
     .samples = {{DISCARDED, NULL}}},
    {.name = "peer_sent_messages",
     .help = "Messages accepted for this peer.",
     .kind = MCQ__COUNTER,
     .samples = {{SENT, NULL}}},
    {.name = "peer_sent_frames",
     .help = "Frames of messages accepted.",
     .kind = MCQ__COUNTER,
     .samples = {{SENT_FRAMES, NULL}}},
    {.name = "peer_sent_bytes",
     .help = "Bytes of frames accepted.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{SENT_BYTES, NULL}}},
    {.name = "peer_written_messages",
     .help = "Messages handed over to the last byte.",
     .kind = MCQ__COUNTER,
     .samples = {{WRITTEN, NULL}}},
    {.name = "peer_in_flight_messages",
     .help = "Messages handed over and not known to be written.",
     .kind = MCQ__GAUGE,
     .samples = {{IN_FLIGHT, NULL}}},
    {.name = "peer_queued_messages",
     .help = "Messages that wait to be handed over.",
     .kind = MCQ__GAUGE,
     .samples = {{QUEUED, NULL}}},
    {.name = "peer_queued_bytes",
     .help = "Bytes that wait, with their headers.",
     .kind = MCQ__GAUGE,
     .unit = "bytes",
     .samples = {{QUEUED_BYTES, NULL}}},
    {.name = "peer_queue_peak_messages",
     .help = "The most messages that ever waited.",
     .kind = MCQ__GAUGE,
     .samples = {{PEAK, NULL}}},
    {.name = "peer_queue_peak_bytes",
     .help = "The most bytes that ever waited.",
     .kind = MCQ__GAUGE,
     .unit = "bytes",
     .samples = {{PEAK_BYTES, NULL}}},
    {.name = "peer_congested",
     .help = "Whether the queue became full and has no room yet.",
     .kind = MCQ__GAUGE,
     .samples = {{CONGESTED, NULL}}},
    {.name = "peer_congestions",
     .help = "Times that the queue became full.",
     .kind = MCQ__COUNTER,
     .samples = {{CONGESTIONS, NULL}}},
    {.name = "peer_unsure_messages",
     .help = "Messages under way when a connection was lost.",
     .kind = MCQ__COUNTER,
     .samples = {{UNSURE, NULL}}},
    {.name = "peer_lost_messages",
     .help = "Messages accepted and given up undelivered.",
     .kind = MCQ__COUNTER,
     .samples = {{LOST, NULL}}},
    {.name = "peer_requeued_messages",
     .help = "Messages that went to another peer.",
     .kind = MCQ__COUNTER,
     .samples = {{REQUEUED, NULL}}},
    {.name = "peer_dropped_messages",
     .help = "Messages that it did not get for being slow.",
     .kind = MCQ__COUNTER,
     .label = "reason",
     .samples = {{DROPPED_FULL, "full"},
                 {DROPPED_MEMORY, "memory"},
                 {REPLACED, "replaced"}}},
    {.name = "peer_wire_received_bytes",
     .help = "All bytes read.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{WIRE_IN, NULL}}},
    {.name = "peer_wire_sent_bytes",
     .help = "All bytes written.",
     .kind = MCQ__COUNTER,
     .unit = "bytes",
     .samples = {{WIRE_OUT, NULL}}},
    {.name = "peer_heartbeats",
     .help = "Pings and their answers.",
     .kind = MCQ__COUNTER,
     .label = "kind",
     .samples = {{PINGS_OUT, "ping_sent"},
                 {PINGS_IN, "ping_received"},
                 {PONGS_IN, "pong_received"}}},
    {.name = "peer_round_trip_seconds",
     .help = "How long the last ping took to be answered.",
     .kind = MCQ__GAUGE,
     .unit = "seconds",
     .per = 1000000000,
     .unknown = true,
     .samples = {{ROUND_TRIP, NULL}}},
    {.name = NULL},
};

_Static_assert(FIGURES <= MCQ__FIGURES_MAX, "more room for figures");

void mcq__figures_peer(const mcq_peer_stats_t* s,
                       uint64_t v[MCQ__FIGURES_MAX]) {
  v[CONNECTED] = s->connected;
  v[UP] = s->up_ms;
  v[CONNECTIONS] = s->connections;
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
  v[CONGESTED] = s->congested;
  v[CONGESTIONS] = s->congestions;
  v[UNSURE] = s->messages_unsure;
  v[LOST] = s->messages_lost;
  v[REQUEUED] = s->messages_requeued;
  v[DROPPED_FULL] = s->dropped_full;
  v[DROPPED_MEMORY] = s->dropped_memory;
  v[REPLACED] = s->messages_replaced;
  v[WIRE_IN] = s->wire_bytes_received;
  v[WIRE_OUT] = s->wire_bytes_sent;
  v[PINGS_OUT] = s->pings_sent;
  v[PINGS_IN] = s->pings_received;
  v[PONGS_IN] = s->pongs_received;
  v[ROUND_TRIP] = s->rtt_ns;
}
