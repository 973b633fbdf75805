/* SPDX-License-Identifier: MIT */
/* A millisecond for the kernel: it owes a test whose clock is its own some
 * things that it brings in its own time, such as a segment that it held back.
 * The timer is the test's: initialised on its loop, closed with it. */
#ifndef TEST_SUPPORT_NAP_H
#define TEST_SUPPORT_NAP_H

#include <uv.h>

static inline void nap_over(uv_timer_t* timer) {
  (void) timer;
}

/* At most; what comes earlier ends it. */
static inline void nap(uv_timer_t* timer) {
  /* Repeated, or it might be over before the loop sleeps. */
  uv_timer_start(timer, nap_over, 1, 1);
  uv_run(timer->loop, UV_RUN_ONCE);
  uv_timer_stop(timer);
}

#endif
