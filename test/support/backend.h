/* SPDX-License-Identifier: MIT */
/* Which back ends this system has: asked by tests that play on all of them. */
#ifndef TEST_SUPPORT_BACKEND_H
#define TEST_SUPPORT_BACKEND_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <monocoque.h>

/* Whether this system has the back end; says why when it has not. */
static inline bool backend_is_here(int backend) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_ctx_options_t o = {.backend = backend};
  assert_int_equal(uv_loop_init(&loop), 0);
  int rc = mcq_ctx_new(&loop, &o, &ctx);
  if (rc == 0) mcq_ctx_close(ctx, NULL);
  (void) uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  if (rc != 0) print_message("not here: %s\n", mcq_strerror(rc));
  return rc == 0;
}

#endif
