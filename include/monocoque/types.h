/* SPDX-License-Identifier: MIT */
/* The value types of the API: small, copied freely, no loop needed. */
#ifndef MONOCOQUE_TYPES_H
#define MONOCOQUE_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* One part of a message.  What a callback gets is borrowed: it is valid until
 * the callback returns.  What you pass in is copied before the call returns. */
typedef struct mcq_frame {
  const void* data; /* may be NULL when len is 0 */
  size_t len;       /* bytes */
} mcq_frame_t;

/* A connection as its users know it.  A value: copy and keep it as you like.
 * Once the connection is gone the handle is stale for ever and every call
 * answers MCQ_EPEERGONE; it never reaches a successor.  All zeros: nobody. */
typedef struct mcq_peer {
  uint64_t epoch; /* 0: no peer; else unique in the context's life */
  uint32_t slot;
} mcq_peer_t;

/* Where the library takes its memory.  Both functions must be callable from
 * any thread that releases a retained message, posts to a mailbox, or runs a
 * loop that shares inproc names.  alloc returns memory aligned
 * for any object, or NULL; free never gets NULL. */
typedef struct mcq_allocator {
  void* (*alloc)(size_t size, void* arg);
  void (*free)(void* ptr, void* arg);
  void* arg;
} mcq_allocator_t;

#endif
