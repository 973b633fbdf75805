/* SPDX-License-Identifier: MIT */
/* The two halves of the tcp transport, and what they share. */
#ifndef MCQ__IO_TCP_H
#define MCQ__IO_TCP_H

#include "io/stream.h"

extern const mcq__family_t mcq__tcp_family;

/* The transport's slots (see mcq__transport_t). */
int mcq__tcp_listen(mcq__listener_t* l);
int mcq__tcp_dial(mcq__dialer_t* d);
void mcq__tcp_hangup(mcq__dialer_t* d);

#endif
