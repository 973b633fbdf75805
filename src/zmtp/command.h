/* SPDX-License-Identifier: MIT */
/* Command bodies: one length byte, the name, data.  Parsing for the session,
 * queueing for the session and its mechanism.  What a command causes is not
 * decided here.  RFC 37, "Commands". */
#ifndef MCQ__ZMTP_COMMAND_H
#define MCQ__ZMTP_COMMAND_H

#include "base/chain.h"
#include "base/slab.h"

/* The longest command taken, refused at its header otherwise: 64 KiB of data
 * behind the longest name. */
#define MCQ__COMMAND_MAX ((size_t) 65536 + 256)

#define MCQ__PING_TTL_SIZE 2      /* bytes before the context of a PING */
#define MCQ__PING_CONTEXT_MAX 16  /* bytes a PONG has to bring back */
#define MCQ__PING_TTL_MAX 655     /* tenths of a second that we announce */
#define MCQ__ERROR_REASON_MAX 255 /* characters */

typedef enum mcq__command_kind {
  MCQ__CMD_UNKNOWN, /* well formed; the name tells */
  MCQ__CMD_READY,
  MCQ__CMD_ERROR,
  MCQ__CMD_SUBSCRIBE,
  MCQ__CMD_CANCEL,
  MCQ__CMD_PING,
  MCQ__CMD_PONG
} mcq__command_kind_t;

typedef struct mcq__command {
  mcq__command_kind_t kind;
  mcq__slice_t name; /* graphic characters, at least one */
  mcq__slice_t data;
} mcq__command_t;

/* Takes a command body apart, borrowing from it.  0 or MCQ_ECOMMAND: the name
 * is empty, longer than the body, or not printable. */
int mcq__command_read(mcq__command_t* c, mcq__slice_t body);

/* The context of a PING, behind its time to live, or of a PONG.  0 or
 * MCQ_ECOMMAND when there is too little or too much. */
int mcq__command_context(mcq__slice_t* context, const mcq__command_t* c);

/* The time to live of a PING that has a context, ms. */
uint64_t mcq__command_ttl(const mcq__command_t* c);

/* Writes a time to live as a PING has it, in tenths of a second, rounded up,
 * and MCQ__PING_TTL_MAX at most. */
void mcq__command_put_ttl(uint8_t out[MCQ__PING_TTL_SIZE], uint64_t ms);

/* The reason of an ERROR.  0 or MCQ_ECOMMAND when its length byte does not
 * fit the data exactly. */
int mcq__command_reason(mcq__slice_t* reason, const mcq__command_t* c);

/* Queues a command frame, copying `data`.  0 or MCQ_ENOMEM. */
int mcq__command_send(mcq__chain_t* out, mcq__pool_t* pool, const char* name,
                      mcq__slice_t data);

/* Queues ERROR with at most 255 characters of `reason`.  0 or MCQ_ENOMEM. */
int mcq__command_send_error(mcq__chain_t* out, mcq__pool_t* pool,
                            const char* reason);

/* Copies up to cap - 1 bytes as text: what is not printable becomes '?', a
 * NUL follows.  Returns the characters written.  Whatever a peer says passes
 * through here before people read it. */
size_t mcq__printable(char* out, size_t cap, mcq__slice_t bytes);

#endif
