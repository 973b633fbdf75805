/* SPDX-License-Identifier: MIT */
/* Which back end pumps the bytes: the only place that knows whether the build
 * has more than one.  Called once, when the seat is taken. */
#include "io/seat.h"

#ifdef MCQ_HAVE_URING
extern const mcq__backend_t mcq__backend_uring_table;
static const mcq__backend_t* const uring = &mcq__backend_uring_table;
#else
static const mcq__backend_t* const uring = NULL;
#endif

const mcq__backend_t* mcq__backend_uring(void) {
  return uring;
}

static int join(mcq__io_t* io, const mcq__backend_t* backend) {
  if (backend == NULL) return MCQ_ENOTSUP;
  io->backend = backend;
  int rc = backend->join(io);
  if (rc != 0) io->backend = NULL;
  return rc;
}

int mcq__backend_join(mcq__io_t* io, enum mcq__backend_choice choice) {
  if (io->seams.backend != NULL) return join(io, io->seams.backend);
  if (choice == MCQ__BACKEND_UV) return join(io, &mcq__backend_uv);
  int rc = join(io, uring);
  if (rc == 0 || choice == MCQ__BACKEND_URING) return rc;
  io->fallback = rc;
  return join(io, &mcq__backend_uv);
}
