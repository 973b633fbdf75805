/* SPDX-License-Identifier: MIT */
/* Echo with backpressure: the pointer of a connection (mcq_peer_set_data)
 * holds the one message that waits for room there. */
#include "cat_echo.h"

#include "tool.h"

static void park(cat_echo_t* echo, mcq_socket_t* socket, mcq_peer_t peer,
                 const mcq_msg_t* msg) {
  mcq_msg_t* kept = mcq_msg_retain(msg);
  if (kept == NULL || mcq_peer_pause(socket, peer) != 0 ||
      mcq_peer_set_data(socket, peer, kept) != 0) {
    if (kept != NULL) mcq_msg_release(kept);
    tool_say("an echo was dropped");
    return;
  }
  echo->parked++;
}

void cat_echo_message(cat_echo_t* echo, mcq_socket_t* socket, mcq_peer_t peer,
                      const mcq_msg_t* msg) {
  bool rep = mcq_socket_type(socket) == MCQ_REP;
  int rc = rep ? mcq_send_msg(socket, msg) : mcq_send_msg_to(socket, peer, msg);
  if (rc == MCQ_EAGAIN && !rep) /* a REP's turn is over, whatever happens */
    park(echo, socket, peer, msg);
  else if (rc != 0 && rc != MCQ_EPEERGONE)
    tool_say("cannot echo: %s", mcq_strerror(rc));
}

static void retry(mcq_socket_t* socket, const mcq_peer_info_t* info,
                  void* arg) {
  cat_echo_t* echo = arg;
  if (info->data == NULL) return;
  int rc = mcq_send_msg_to(socket, info->peer, info->data);
  if (rc == MCQ_EAGAIN) return;
  if (rc != 0) tool_say("cannot echo: %s", mcq_strerror(rc));
  mcq_msg_release(info->data);
  echo->parked--;
  mcq_peer_set_data(socket, info->peer, NULL);
  mcq_peer_resume(socket, info->peer);
}

void cat_echo_retry(cat_echo_t* echo, mcq_socket_t* socket) {
  if (echo->parked > 0) mcq_peer_each(socket, retry, echo);
}

void cat_echo_forget(cat_echo_t* echo, const mcq_peer_info_t* info) {
  if (info->data == NULL) return;
  mcq_msg_release(info->data);
  echo->parked--;
}
