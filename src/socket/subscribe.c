/* SPDX-License-Identifier: MIT */
/* The user's verbs about topics: his own subscriptions (SUB, XSUB) and those
 * he makes for others (PUB, XPUB). */
#include "socket/publisher.h"

static int change(mcq_socket_t* s, const void* topic, size_t len, bool wanted) {
  if (s->pattern->subscribe == NULL) return MCQ_ENOTSUP;
  if (s->leaving) return MCQ_ECLOSED;
  if (topic == NULL && len > 0) return MCQ_EINVAL;
  return s->pattern->subscribe(s, (mcq_frame_t){topic, len}, wanted);
}

int mcq_subscribe(mcq_socket_t* socket, const void* topic, size_t len) {
  return change(socket, topic, len, true);
}

int mcq_unsubscribe(mcq_socket_t* socket, const void* topic, size_t len) {
  return change(socket, topic, len, false);
}

/* Only a publisher's hub has a table. */
static int check(const mcq_socket_t* s, const void* topic, size_t len) {
  if (!mcq__publishes(s)) return MCQ_ENOTSUP;
  if (s->leaving) return MCQ_ECLOSED;
  return topic == NULL && len > 0 ? MCQ_EINVAL : 0;
}

int mcq_peer_subscribe(mcq_socket_t* socket, mcq_peer_t peer, const void* topic,
                       size_t len) {
  bool first;
  int rc = check(socket, topic, len);
  if (rc != 0) return rc;
  return mcq__pubsub_subscribe(&socket->hub.pubsub, peer,
                               (mcq_frame_t){topic, len}, &first);
}

int mcq_peer_unsubscribe(mcq_socket_t* socket, mcq_peer_t peer,
                         const void* topic, size_t len) {
  int rc = check(socket, topic, len);
  if (rc != 0) return rc;
  return mcq__publisher_take(socket, peer, (mcq_frame_t){topic, len});
}
