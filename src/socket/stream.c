/* SPDX-License-Identifier: MIT */
/* STREAM: peers that speak anything over a byte stream.  A message to one
 * begins with its routing id, which is made up here; where chunks end means
 * nothing.  One empty frame ends the connection after what is queued. */
#include "socket/socket.h"

static int stream_send_to(mcq_socket_t* s, mcq_peer_t peer,
                          const mcq__body_t* body) {
  if (body->count == 1 && mcq__body_frame(body, 0).len == 0)
    return mcq_peer_close(s, peer);
  return s->pattern->seats->tell(s, peer, body);
}

static int stream_send(mcq_socket_t* s, const mcq__body_t* body) {
  if (body->count < 2) return MCQ_EINVAL;
  mcq_frame_t id = mcq__body_frame(body, 0);
  mcq_peer_t peer = s->pattern->seats->find(s, id.data, id.len);
  if (peer.epoch == 0) return MCQ_EHOSTUNREACH;
  mcq__body_t rest = mcq__body_rest(*body);
  return stream_send_to(s, peer, &rest);
}

const mcq__pattern_t mcq__pattern_stream = {
    .type = MCQ_STREAM,
    .name = "STREAM",
    .seats = &mcq__seats_router,
    .by_name = true,
    .by_handle = true,
    .raw = true,
    .fleeting = true,
    .send = stream_send,
    .send_to = stream_send_to,
};
