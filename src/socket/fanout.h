/* SPDX-License-Identifier: MIT */
/* One message to many peers: put together once, shared by all, and what
 * becomes of it where a queue is full.  For the types on PubSubHub. */
#ifndef MCQ__SOCKET_FANOUT_H
#define MCQ__SOCKET_FANOUT_H

#include "socket/socket.h"

/* To all that subscribed to a beginning of the first frame.  0, MCQ_EAGAIN
 * with MCQ_SLOW_REFUSE, MCQ_ENOMEM. */
int mcq__fanout_matching(mcq_socket_t* s, const mcq__body_t* body);

/* To everybody. */
int mcq__fanout_all(mcq_socket_t* s, const mcq__body_t* body);

/* Drops the oldest message that waits for a peer and notes that for a report;
 * false: there is none. */
bool mcq__fanout_shed(mcq_socket_t* s, mcq__actor_t* a);

/* Tells the user which peers missed something since it was asked last; the
 * same of one peer.  From phases only. */
void mcq__fanout_report(mcq_socket_t* s);
void mcq__fanout_report_one(mcq_socket_t* s, mcq__actor_t* a);

/* Tells peers what waits to be told. */
void mcq__fanout_settle(mcq_socket_t* s);

/* Lets go of memory that no peer waits for; after the peers' flush. */
void mcq__fanout_wipe(mcq_socket_t* s);

/* Subscriptions as messages, RFC 23: one frame of 1 or 0 and the topic. */
static inline bool mcq__subscription(mcq_frame_t frame, mcq_frame_t* topic,
                                     bool* wanted) {
  mcq__slice_t all = mcq__slice_static(frame.data, frame.len);
  if (all.len == 0 || all.data[0] > 1) return false;
  mcq__slice_t rest = mcq__slice_sub(all, 1, all.len - 1);
  *wanted = all.data[0] == 1;
  *topic = (mcq_frame_t){rest.data, rest.len};
  return true;
}

#endif
