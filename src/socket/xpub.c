/* SPDX-License-Identifier: MIT */
/* XPUB: a PUB whose user hears of subscriptions by messages of 1 or 0 and a
 * topic, and of whatever else its peers send.  RFC 29, "The XPUB Socket
 * Type". */
#include "socket/fanout.h"
#include "socket/publisher.h"

static void xpub_recv(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg) {
  if (!mcq__publisher_heard(s, a, msg)) mcq__socket_deliver(s, a, msg);
}

static const char* const mates[] = {"SUB", "XSUB", NULL};

const mcq__pattern_t mcq__pattern_xpub = {
    .type = MCQ_XPUB,
    .name = "XPUB",
    .mates = mates,
    .seats = &mcq__seats_pubsub,
    .by_handle = true,
    .flags = MCQ_XPUB_VERBOSE | MCQ_XPUB_VERBOSER | MCQ_XPUB_MANUAL |
             MCQ_INVERT_MATCHING | MCQ_CONFLATE | MCQ_PUB_COUNT_SUBS,
    .init = mcq__publisher_init,
    .fini = mcq__publisher_fini,
    .topics = mcq__publisher_topics,
    .send = mcq__fanout_matching,
    .recv = xpub_recv,
    .up = mcq__publisher_up,
    .subscribed = mcq__publisher_subscribed,
    .resumed = mcq__publisher_resumed,
};
