/* SPDX-License-Identifier: MIT */
/* The protocol that is none: what arrives is a message, what is sent travels
 * as it is.  For STREAM, whose peers speak whatever they like. */
#ifndef MCQ__RAW_RAW_H
#define MCQ__RAW_RAW_H

#include "base/protocol.h"

extern const mcq__protocol_t mcq__raw;

#endif
