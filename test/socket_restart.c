/* SPDX-License-Identifier: MIT */
/* A server of every type, killed and started again under load: its client
 * comes again each time, what was queued meanwhile arrives, nothing arrives
 * twice.  Servers are processes and die by SIGKILL.
 *
 *   MCQ_RESTARTS   how often each dies, 10 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/restart.h"

static void over_uv(void** state) {
  (void) state;
  for (size_t i = 0; i < restart_kind_count; i++)
    restart_play((int) i, MCQ_BACKEND_UV, MCQ_BACKEND_UV, restart_times());
}

static void over_uring(void** state) {
  (void) state;
  for (size_t i = 0; i < restart_kind_count; i++)
    restart_play((int) i, MCQ_BACKEND_AUTO, MCQ_BACKEND_AUTO, restart_times());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(over_uv, restart_forget),
      cmocka_unit_test_teardown(over_uring, restart_forget),
  };
  restart_begin(restart_serve);
  int failures = cmocka_run_group_tests(tests, NULL, NULL);
  restart_end();
  return failures;
}
