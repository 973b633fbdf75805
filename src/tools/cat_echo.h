/* SPDX-License-Identifier: MIT */
/* mcqcat --echo: every message back to the one who sent it, none dropped.  A
 * connection whose queue is full is not read until its echo has left. */
#ifndef CAT_ECHO_H
#define CAT_ECHO_H

#include "monocoque.h"

typedef struct cat_echo {
  size_t parked; /* connections with an echo that waits for room */
} cat_echo_t;

/* From on_message. */
void cat_echo_message(cat_echo_t* echo, mcq_socket_t* socket, mcq_peer_t peer,
                      const mcq_msg_t* msg);

/* From on_drain: tries what waits again. */
void cat_echo_retry(cat_echo_t* echo, mcq_socket_t* socket);

/* From on_peer_down: what waited for it has nowhere to go. */
void cat_echo_forget(cat_echo_t* echo, const mcq_peer_info_t* info);

#endif
