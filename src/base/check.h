/* SPDX-License-Identifier: MIT */
/* Assertions about ourselves, never about input: active in debug builds only,
 * compiled out otherwise.  A peer's bytes and a failing system call are
 * answered with an error code, not with these. */
#ifndef MCQ__BASE_CHECK_H
#define MCQ__BASE_CHECK_H

#ifdef MCQ_DEBUG
#include <assert.h>
#define mcq__check(expr) assert(expr)
#else
#define mcq__check(expr) ((void) 0)
#endif

#define mcq__likely(x) __builtin_expect(!!(x), 1)
#define mcq__unlikely(x) __builtin_expect(!!(x), 0)

/* What would make a hot function larger stays out of it. */
#define mcq__noinline __attribute__((noinline))
/* What is there will be read soon. */
#define mcq__prefetch(ptr) __builtin_prefetch(ptr)

/* The object of type `type` whose member `member` lives at `ptr`. */
#define mcq__container_of(ptr, type, member) \
  ((type*) (void*) ((char*) (ptr) -offsetof(type, member)))

#endif
