/* SPDX-License-Identifier: MIT */
/* What happens, as JSON lines on stderr: mcqcat --events and --stats. */
#ifndef CAT_EVENTS_H
#define CAT_EVENTS_H

#include "monocoque.h"

void cat_events_event(const mcq_socket_t* socket, const mcq_event_t* event);
void cat_events_peer_up(const mcq_peer_info_t* info);
void cat_events_peer_down(const mcq_peer_info_t* info);
void cat_events_stats(mcq_socket_t* socket);

#endif
