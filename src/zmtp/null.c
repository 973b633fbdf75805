/* SPDX-License-Identifier: MIT */
/* The NULL mechanism: each side says READY with its properties.  Ours goes
 * out as soon as the greetings are exchanged, without waiting: the RFCs differ
 * on who begins and every peer takes either order.  Unless the peer came in and
 * may be refused for what it says of itself: one that has heard READY sends
 * what it has, and all of that would be lost.  RFC 37, "The NULL Security
 * Mechanism". */
#include "zmtp/mechanism.h"

static int send_ready(mcq__talk_t* talk) {
  mcq__slice_t metadata;
  int rc = mcq__metadata_announce(&metadata, talk->config);
  if (rc != 0) return rc;
  rc = mcq__command_send(talk->out, talk->config->pool, "READY", metadata);
  mcq__slice_release(&metadata);
  return rc;
}

static bool waits(const mcq__talk_t* talk) {
  return talk->config->hesitates && talk->config->incoming;
}

static int step(mcq__talk_t* talk, const mcq__command_t* command) {
  if (command == NULL) return waits(talk) ? MCQ__TALK_ON : send_ready(talk);
  if (command->kind != MCQ__CMD_READY) {
    talk->why = "a command other than READY in the handshake";
    return MCQ_ECOMMAND;
  }
  talk->metadata = command->data;
  return MCQ__TALK_AGREED;
}

static int welcome(mcq__talk_t* talk) {
  return waits(talk) ? send_ready(talk) : 0;
}

const mcq__mechanism_t mcq__mechanism_null = {
    .name = "NULL", .step = step, .welcome = welcome};
