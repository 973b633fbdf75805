/* SPDX-License-Identifier: MIT */
/* ROUTER: to the peer whose routing id is the first frame, which is taken off;
 * in load-balancer mode to the next one with room, whole.  Nothing else is
 * added or removed.  RFC 28, "The ROUTER Socket Type". */
#include "socket/socket.h"

static int router_send(mcq_socket_t* s, const mcq__body_t* body) {
  if (s->options.flags & MCQ_ROUTER_BALANCE) return mcq__send_anyone(s, body);
  if (body->count < 2) return MCQ_EINVAL;
  mcq__body_t rest = mcq__body_rest(*body);
  mcq__user_cmd_t cmd = {
      .to = MCQ__TO_NAME, .name = mcq__body_frame(body, 0), .body = &rest};
  return mcq__router_user(&s->hub.router, &cmd);
}

static const char* const mates[] = {"REQ", "DEALER", "ROUTER", NULL};

const mcq__pattern_t mcq__pattern_router = {
    .type = MCQ_ROUTER,
    .name = "ROUTER",
    .mates = mates,
    .seats = &mcq__seats_router,
    .announces_id = true,
    .picks = true, /* with MCQ_ROUTER_BALANCE */
    .by_name = true,
    .by_handle = true,
    .flags = MCQ_IMMEDIATE | MCQ_ROUTER_BALANCE | MCQ_ROUTER_REFUSE_TWIN |
             MCQ_NO_REQUEUE | MCQ_PROBE_ROUTER,
    .send = router_send,
    .up = mcq__socket_probe,
};
