/* SPDX-License-Identifier: MIT */
/* Draining: the end of a socket that loses nothing.  What is queued leaves,
 * each connection is shut down on this side alone, and what peers still send
 * is delivered until they have ended theirs.  Called by the user and, when the
 * last connection is gone or the socket is closed meanwhile, by socket.c.  It
 * never looks at a message. */
#include "socket/socket.h"

void mcq__socket_part(mcq_socket_t* s, mcq__actor_t* a) {
  uint64_t linger = mcq__socket_linger(s);
  if (s->draining && !s->closing)
    mcq__actor_drain(a, MCQ_ELOCAL, linger);
  else
    mcq__actor_end(a, MCQ_ELOCAL, linger);
}

void mcq__drain_hurry(mcq_socket_t* s) {
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (mcq__actor_leaving(a)) mcq__socket_part(s, a);
  }
  mcq__ends_hurry(s);
}

/* The user may close the socket in his callback, which takes another turn. */
void mcq__drain_over(mcq_socket_t* s) {
  if (!s->draining) return;
  mcq_close_info_t info = {.lost_messages = s->lost_messages,
                           .lost_bytes = s->lost_bytes,
                           .data = s->options.data};
  s->draining = false;
  mcq__socket_keep(s);
  if (s->on_drained != NULL) s->on_drained(s, &info, s->drain_arg);
}

int mcq_drain(mcq_socket_t* socket, int64_t linger_ms,
              mcq_drained_cb on_drained, void* arg) {
  mcq_socket_t* s = socket;
  if (linger_ms < -1 && linger_ms != MCQ_LINGER_NONE) return MCQ_EINVAL;
  if (s->leaving) return MCQ_ECLOSED;
  mcq__socket_last_orders(s);
  s->draining = true;
  s->drain_ms = linger_ms == 0 ? s->options.linger_ms : linger_ms;
  s->on_drained = on_drained;
  s->drain_arg = arg;
  mcq__socket_busy(s, false);
  mcq__ends_close(s);
  mcq__socket_end_accepted(s);
  mcq__socket_check_closed(s);
  return 0;
}
