/* SPDX-License-Identifier: MIT */
/* System calls that fail on demand.  fault_calls.c defines them in the test
 * program itself, where the linker finds them before the C library's: what the
 * library under test calls, and libuv on its behalf, comes there first.  Only
 * programs that name fault_calls.c as a source of theirs are concerned. */
#ifndef TEST_SUPPORT_FAULT_CALLS_H
#define TEST_SUPPORT_FAULT_CALLS_H

#include <stdbool.h>

typedef enum fault_call {
  FAULT_NONE,
  FAULT_SOCKET,
  FAULT_SOCKETPAIR,
  FAULT_EPOLL_CREATE,
  FAULT_BIND,
  FAULT_LISTEN,
  FAULT_GETSOCKNAME,
  FAULT_GETPEERNAME,
  FAULT_SETSOCKOPT,
  FAULT_GETSOCKOPT,
  FAULT_CONNECT,
  FAULT_ACCEPT,
  FAULT_FCNTL,
  FAULT_RECV,
  FAULT_SENDMSG,
  FAULT_LOOKUP,        /* getaddrinfo; the error is an EAI_... */
  FAULT_RING_SETUP,    /* io_uring_setup */
  FAULT_RING_REGISTER, /* io_uring_register */
  FAULT_RING_ENTER,    /* io_uring_enter */
  FAULT_RING_REQUEST,  /* one request, not a cancel: its completion fails */
  FAULT_RING_CANCEL    /* a request to cancel */
} fault_call_t;

/* From here on: calls `first` (from 1) to `first + count - 1` of the kind
 * fail with `error`, others are let through. */
void fault_arm(fault_call_t call, unsigned first, unsigned count, int error);

/* All succeed again; the counts stay. */
void fault_disarm(void);

/* From here on lookups begin and do not end, until this is taken back. */
void fault_hang_lookups(bool on);

/* How many hang now. */
unsigned fault_hanging(void);

/* Calls of the armed kind that were made to fail. */
unsigned fault_hits(void);

/* Events that epoll has reported so far, to anybody. */
unsigned long fault_polled(void);

/* True when single requests of the ring can be made to fail here. */
bool fault_can_fail_requests(void);

#endif
