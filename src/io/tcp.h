/* SPDX-License-Identifier: MIT */
/* The two halves of the tcp transport, and what they share. */
#ifndef MCQ__IO_TCP_H
#define MCQ__IO_TCP_H

#include "io/address.h"
#include "io/dialer.h"
#include "io/listener.h"

/* A non-blocking, close-on-exec socket, or an error. */
int mcq__tcp_socket(int family);

/* Makes a stream of the connected `fd` and takes it over; on failure `fd` is
 * closed.  0 or an error. */
int mcq__tcp_stream(mcq__io_t* io, int fd, uv_tcp_t** out);

/* The transport's slots (see mcq__transport_t). */
int mcq__tcp_listen(mcq__listener_t* l);
void mcq__tcp_unlisten(mcq__listener_t* l);
int mcq__tcp_dial(mcq__dialer_t* d);
void mcq__tcp_hangup(mcq__dialer_t* d);

#endif
