/* SPDX-License-Identifier: MIT */
/* DEALER: each message to the next peer with room, all of them heard fairly;
 * no frame is added or taken off.  RFC 28, "The DEALER Socket Type". */
#include "socket/socket.h"

static const char* const mates[] = {"REP", "DEALER", "ROUTER", NULL};

const mcq__pattern_t mcq__pattern_dealer = {
    .type = MCQ_DEALER,
    .name = "DEALER",
    .mates = mates,
    .seats = &mcq__seats_router,
    .announces_id = true,
    .picks = true,
    .by_handle = true,
    .flags = MCQ_IMMEDIATE | MCQ_REQUEUE | MCQ_CONFLATE | MCQ_PROBE_ROUTER,
    .send = mcq__send_anyone,
    .up = mcq__socket_probe,
};
