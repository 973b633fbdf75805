/* SPDX-License-Identifier: MIT */
/* ZMTP 3.1 behind the protocol table of base/protocol.h: greeting, handshake,
 * traffic.  Bytes in, events out, time as an argument; no I/O, no callbacks.
 * The actor drives it and sees nothing of this room but the table. */
#ifndef MCQ__ZMTP_SESSION_H
#define MCQ__ZMTP_SESSION_H

#include "base/protocol.h"
#include "zmtp/mechanism.h"

/* PONGs are queued while less than this waits in out(); of a peer that asks
 * and does not read, further PINGs are passed over in silence.  It loses
 * nothing: what it has not read yet tells it that we live. */
#define MCQ__PONG_BACKLOG ((size_t) 16384)

extern const mcq__protocol_t mcq__zmtp;

/* The table's open() for a given mechanism; the table's own takes NULL's. */
int mcq__zmtp_open(mcq__session_t** out, const mcq__session_config_t* config,
                   uint64_t now, const mcq__mechanism_t* mechanism);

#endif
