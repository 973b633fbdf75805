/* SPDX-License-Identifier: MIT */
/* Properties of the handshake: a byte of length, the name, four bytes of
 * length, the value, again and again.  Read for the session, written for its
 * mechanism.  RFC 37, "Connection Metadata". */
#ifndef MCQ__ZMTP_METADATA_H
#define MCQ__ZMTP_METADATA_H

#include "base/protocol.h"

/* Properties a peer may announce.  The smallest takes 6 bytes on the wire
 * and 48 here: without a limit a stranger could buy memory at that rate. */
#define MCQ__PROPERTIES_MAX 256

/* Checks the whole of `data` and counts its properties.  0, or MCQ_EMETADATA:
 * an empty name, a value past the end, left-over bytes, too many. */
int mcq__metadata_count(mcq__slice_t data, size_t* count);

/* Fills `out` with the `count` properties of `data`, borrowing from it.
 * Invariant: mcq__metadata_count said so. */
void mcq__metadata_read(mcq__slice_t data, mcq__property_t* out, size_t count);

/* The first property of that name, whatever its case, or NULL. */
const mcq__property_t* mcq__metadata_find(const mcq__property_t* properties,
                                          size_t count, const char* name);

/* The value of the first property of that name in `data`, borrowed from it.
 * False: there is none. */
bool mcq__metadata_value(mcq__slice_t data, const char* name,
                         mcq__slice_t* out);

/* A counting slice that announces `count` properties.  Invariant: names of 1
 * to 255 bytes, values below 2 GiB.  0 or MCQ_ENOMEM. */
int mcq__metadata_write(mcq__slice_t* out, mcq__pool_t* pool,
                        const mcq__property_t* properties, size_t count);

/* The same for all that a session announces: Socket-Type, Identity where the
 * type has one, then the further properties. */
int mcq__metadata_announce(mcq__slice_t* out,
                           const mcq__session_config_t* config);

#endif
