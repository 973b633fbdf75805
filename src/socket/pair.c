/* SPDX-License-Identifier: MIT */
/* PAIR: one peer at a time.  A second one is refused in the handshake and the
 * first goes on undisturbed; when it leaves, the next may come.  RFC 31. */
#include "socket/socket.h"

static int pair_admit(mcq_socket_t* s, mcq__actor_t* a, const char** text) {
  (void) a;
  if (s->counts.peers == 0) return 0;
  *text = "The socket already has a peer";
  return MCQ_EPAIRED;
}

static const char* const mates[] = {"PAIR", NULL};

const mcq__pattern_t mcq__pattern_pair = {
    .type = MCQ_PAIR,
    .name = "PAIR",
    .picks = true,
    .by_handle = true,
    .mates = mates,
    .seats = &mcq__seats_router,
    .announces_id = false,
    .flags = MCQ_IMMEDIATE,
    .send = mcq__send_anyone,
    .admit = pair_admit,
};
