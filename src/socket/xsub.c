/* SPDX-License-Identifier: MIT */
/* XSUB: a SUB that speaks: to all publishers at once, and of subscriptions by
 * messages of 1 or 0 and a topic, so that a proxy can hand on what an XPUB
 * tells it.  What comes is not filtered.  RFC 29, "The XSUB Socket Type". */
#include "socket/fanout.h"
#include "socket/subscriber.h"

static int xsub_subscribe(mcq_socket_t* s, mcq_frame_t topic, bool wanted) {
  bool always = (s->options.flags & MCQ_XSUB_VERBOSE) != 0;
  return wanted ? mcq__subscriber_add(s, topic, true)
                : mcq__subscriber_remove(s, topic, always);
}

static int xsub_send(mcq_socket_t* s, const mcq__body_t* body) {
  mcq_frame_t topic;
  bool wanted;
  if (body->count == 1 &&
      mcq__subscription(mcq__body_frame(body, 0), &topic, &wanted)) {
    int rc = xsub_subscribe(s, topic, wanted);
    return rc == MCQ_ENOENT ? 0 : rc; /* a proxy hands on what it gets */
  }
  return mcq__fanout_all(s, body);
}

static const char* const mates[] = {"PUB", "XPUB", NULL};

const mcq__pattern_t mcq__pattern_xsub = {
    .type = MCQ_XSUB,
    .name = "XSUB",
    .mates = mates,
    .seats = &mcq__seats_pubsub,
    .flags = MCQ_XSUB_VERBOSE | MCQ_IMMEDIATE,
    .init = mcq__subscriber_init,
    .fini = mcq__subscriber_fini,
    .topics = mcq__subscriber_topics,
    .up = mcq__subscriber_up,
    .pong = mcq__subscriber_pong,
    .send = xsub_send,
    .subscribe = xsub_subscribe,
};
