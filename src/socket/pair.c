/* SPDX-License-Identifier: MIT */
/* PAIR: one peer at a time.  A second one is refused in the handshake and the
 * first goes on undisturbed; when it leaves, the next may come.  RFC 31. */
#include "socket/socket.h"

/* The newcomer may be the one that is there, back from a break that nobody has
 * noticed here: who is there is asked, and the other one may come again. */
static int pair_admit(mcq_socket_t* s, mcq__actor_t* a, const char** text) {
  if (s->counts.peers == 0) return 0;
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* other = mcq__container_of(n, mcq__actor_t, node);
    if (other != a) mcq__actor_suspect(other);
  }
  *text = "300 The socket already has a peer";
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
