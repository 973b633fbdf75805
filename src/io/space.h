/* SPDX-License-Identifier: MIT */
/* The space in which inproc endpoints have their names: a context's own, or
 * one that contexts in several threads look into.  What lies in it belongs to
 * those who put it there; its lock is held for setting connections up and
 * never while anybody is called back.  Inside it the lock of a bell may be
 * taken, none other. */
#ifndef MCQ__IO_SPACE_H
#define MCQ__IO_SPACE_H

#include "io/io.h"

/* One to be shared, with a count of the caller's.  0, MCQ_ENOMEM or libuv's
 * error. */
int mcq__space_new(const mcq_allocator_t* allocator, mcq_inproc_t** out);

/* Counts; any thread.  The memory goes with the last one. */
void mcq__space_retain(mcq_inproc_t* space);
void mcq__space_release(mcq_inproc_t* space);

/* io's part: makes its own where none was given, and a bell where others may
 * have something to say.  leave takes any result. */
int mcq__space_enter(mcq__io_t* io);
void mcq__space_leave(mcq__io_t* io);

#endif
