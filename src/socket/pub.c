/* SPDX-License-Identifier: MIT */
/* PUB: to each peer what it subscribed to, without ever waiting for one; deaf
 * to everything but subscriptions.  RFC 29, "The PUB Socket Type". */
#include "socket/fanout.h"
#include "socket/publisher.h"

static void pub_recv(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg) {
  if (!mcq__publisher_heard(s, a, msg)) mcq__socket_discard(s, a, msg);
}

static const char* const mates[] = {"SUB", "XSUB", NULL};

const mcq__pattern_t mcq__pattern_pub = {
    .type = MCQ_PUB,
    .name = "PUB",
    .mates = mates,
    .seats = &mcq__seats_pubsub,
    .by_handle = true,
    .flags = MCQ_INVERT_MATCHING | MCQ_CONFLATE | MCQ_PUB_COUNT_SUBS,
    .init = mcq__publisher_init,
    .fini = mcq__publisher_fini,
    .topics = mcq__publisher_topics,
    .send = mcq__fanout_matching,
    .recv = pub_recv,
    .subscribed = mcq__publisher_subscribed,
};
