/* SPDX-License-Identifier: MIT */
/* Adding figures up (see tally.h).  Called when an actor goes and when
 * somebody asks; cold. */
#include "actor/tally.h"

static void raise_to(uint64_t* peak, uint64_t value) {
  if (value > *peak) *peak = value;
}

void mcq__tally_add(mcq__tally_t* to, const mcq__tally_t* from) {
  to->messages_in += from->messages_in;
  to->frames_in += from->frames_in;
  to->bytes_in += from->bytes_in;
  to->messages_aside += from->messages_aside;
  to->frames_aside += from->frames_aside;
  to->bytes_aside += from->bytes_aside;
  to->messages_out += from->messages_out;
  to->frames_out += from->frames_out;
  to->bytes_out += from->bytes_out;
  to->written += from->written;
  to->unsure += from->unsure;
  to->replaced += from->replaced;
  to->requeued += from->requeued;
  to->lost_gone += from->lost_gone;
  to->lost_slow += from->lost_slow;
  to->lost_local += from->lost_local;
  to->missed_full += from->missed_full;
  to->missed_memory += from->missed_memory;
  to->congestions += from->congestions;
  raise_to(&to->peak_messages, from->peak_messages);
  raise_to(&to->peak_bytes, from->peak_bytes);
  to->connections += from->connections;
  to->wire_in += from->wire_in;
  to->wire_out += from->wire_out;
  to->pings_out += from->pings_out;
  to->pongs_in += from->pongs_in;
  to->pings_in += from->pings_in;
}

void mcq__tally_add_daily(mcq__tally_t* to, const mcq__daily_t* from) {
  to->messages_in += from->messages_in;
  to->frames_in += from->frames_in;
  to->bytes_in += from->bytes_in;
  to->wire_in += from->wire_in;
  to->wire_out += from->wire_out;
  to->connections += from->connections;
  to->pings_out += from->pings_out;
  to->pongs_in += from->pongs_in;
}

void mcq__tally_add_outgoing(mcq__tally_t* to, const mcq__outgoing_t* from) {
  to->messages_out += from->messages;
  to->frames_out += from->frames;
  to->bytes_out += from->bytes;
  to->written += from->written;
}
