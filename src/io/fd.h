/* SPDX-License-Identifier: MIT */
/* One read or write of a connected socket, as the back ends do them. */
#ifndef MCQ__IO_FD_H
#define MCQ__IO_FD_H

#include "io/io.h"

/* Reads of one connection in a row before others have their turn. */
#define MCQ__READS_MAX 16

/* Reads once and hands the bytes to the wire's user, where he wants them.
 * Returns how many those are; 0: the end of the stream; UV_EAGAIN: nothing is
 * there; or another error.  `*more`: there may be more, and it may be read at
 * once.  The wire's user may stop reading, or close the wire, in what is
 * called: where `*reading` is false then, nothing is read. */
ssize_t mcq__fd_read(mcq__wire_t* wire, int fd, const bool* reading,
                     bool* more);

/* Writes `total` bytes in `count` pieces, once.  Returns the bytes taken;
 * UV_EAGAIN: there is no room; or another error.  `*full`: what was taken is
 * not all, so there is no room now either. */
ssize_t mcq__fd_write(mcq__io_t* io, int fd, const mcq__iov_t* iov,
                      size_t count, size_t total, bool* full);

/* Much comes through a tcp socket: lets the kernel take in 1 MiB of it before
 * it is read, if the system's bounds allow.  Elsewhere it changes nothing.
 * After an error the socket is of no use: it would tell of a megabyte, and of
 * no less. */
int mcq__fd_widen(int fd);

/* What the kernel says of a connected socket: mcq__backend_t.unsent. */
size_t mcq__fd_unsent(int fd);

#endif
