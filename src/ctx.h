/* SPDX-License-Identifier: MIT */
/* The context: the seat in the user's loop and the owner of all sockets. */
#ifndef MCQ__CTX_H
#define MCQ__CTX_H

#include "socket/socket.h"

struct mcq_ctx {
  mcq__host_t host;
  void* data;
  mcq_inproc_t* inproc; /* shared with others; counts */
  mcq_ctx_close_cb on_close;
  bool failed; /* never handed to the user: dies quietly */
};

/* mcq_ctx_new with parts replaced: what tests use.  `seams` may be NULL and
 * is copied. */
int mcq__ctx_open(uv_loop_t* loop, const mcq_ctx_options_t* options,
                  const mcq__seams_t* seams, mcq_ctx_t** out);

#endif
