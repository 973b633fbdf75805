/* SPDX-License-Identifier: MIT */
/* PULL: all peers heard fairly; it says nothing.  RFC 30, "The PULL Socket
 * Type". */
#include "socket/socket.h"

static const char* const mates[] = {"PUSH", NULL};

const mcq__pattern_t mcq__pattern_pull = {
    .type = MCQ_PULL,
    .name = "PULL",
    .mates = mates,
    .seats = &mcq__seats_router,
    .flags = MCQ_IMMEDIATE,
};
