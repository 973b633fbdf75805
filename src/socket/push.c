/* SPDX-License-Identifier: MIT */
/* PUSH: each message to the next peer with room, never dropped; what peers
 * send is.  RFC 30, "The PUSH Socket Type". */
#include "socket/socket.h"

static const char* const mates[] = {"PULL", NULL};

const mcq__pattern_t mcq__pattern_push = {
    .type = MCQ_PUSH,
    .name = "PUSH",
    .mates = mates,
    .seats = &mcq__seats_router,
    .picks = true,
    .by_handle = true,
    .flags = MCQ_IMMEDIATE | MCQ_REQUEUE | MCQ_CONFLATE,
    .send = mcq__send_anyone,
    .recv = mcq__socket_discard,
};
