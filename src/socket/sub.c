/* SPDX-License-Identifier: MIT */
/* SUB: hears what it subscribed to and says nothing else.  It filters once
 * more what came, because a cancellation takes its time to arrive.  RFC 29,
 * "The SUB Socket Type". */
#include "socket/subscriber.h"

static void sub_recv(mcq_socket_t* s, mcq__actor_t* a, mcq_msg_t* msg) {
  mcq_frame_t topic = {msg->frames[0].data, msg->frames[0].len};
  bool inverted = (s->options.flags & MCQ_INVERT_MATCHING) != 0;
  if ((s->options.flags & MCQ_SUB_UNFILTERED) ||
      mcq__subscriber_wants(s, topic) != inverted)
    mcq__socket_deliver(s, a, msg);
  else
    mcq__socket_discard(s, a, msg);
}

static int sub_subscribe(mcq_socket_t* s, mcq_frame_t topic, bool wanted) {
  bool always = (s->options.flags & MCQ_SUB_SEND_DUPLICATES) != 0;
  return wanted ? mcq__subscriber_add(s, topic, always)
                : mcq__subscriber_remove(s, topic, false);
}

static const char* const mates[] = {"PUB", "XPUB", NULL};

const mcq__pattern_t mcq__pattern_sub = {
    .type = MCQ_SUB,
    .name = "SUB",
    .mates = mates,
    .seats = &mcq__seats_pubsub,
    .flags = MCQ_INVERT_MATCHING | MCQ_SUB_UNFILTERED | MCQ_SUB_SEND_DUPLICATES,
    .init = mcq__subscriber_init,
    .fini = mcq__subscriber_fini,
    .topics = mcq__subscriber_topics,
    .up = mcq__subscriber_up,
    .pong = mcq__subscriber_pong,
    .recv = sub_recv,
    .subscribe = sub_subscribe,
};
