/* SPDX-License-Identifier: MIT */
/* The child of a fork.  It has copies of all descriptors, which are the same
 * connections, and it has one thread: whatever others held stays as it was.
 * What is done here is done to this process alone; the parent and its peers
 * notice nothing. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/seat.h"

/* Another file takes the place of the one that is shared.  So the loop may
 * stop polling it and whoever has it may close it, although the loop's own
 * descriptor may still be the parent's, too. */
void mcq__io_blank(int fd) {
  int blank = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (blank >= 0 && dup3(blank, fd, O_CLOEXEC) >= 0) {
    close(blank);
    return;
  }
  close(fd);
  if (blank >= 0) close(blank);
}

bool mcq__io_enter(const mcq__io_t* io, uv_mutex_t* lock) {
  if (mcq__unlikely(io->forked)) return uv_mutex_trylock(lock) == 0;
  uv_mutex_lock(lock);
  return true;
}

bool mcq__io_repair(uv_mutex_t* lock) {
  bool whole = uv_mutex_trylock(lock) == 0;
  if (whole)
    uv_mutex_unlock(lock);
  else
    (void) uv_mutex_init(lock);
  return whole;
}

void mcq__io_forked(mcq__io_t* io) {
  io->forked = true;
  mcq__pool_adopt(io->pool);
  if (io->bell.open) io->bell.broken = !mcq__io_repair(&io->bell.lock);
  if (io->backend->forked != NULL) io->backend->forked(io);
}
