/* SPDX-License-Identifier: MIT */
/* What the files of this room need of each other and nobody else needs: the
 * parts that mcq__io_open and mcq__io_close are made of. */
#ifndef MCQ__IO_SEAT_H
#define MCQ__IO_SEAT_H

#include "io/io.h"

/* Puts the turn's handles into the loop; cannot fail. */
void mcq__turn_open(mcq__io_t* io);

/* Closes them when no task is left; on_left follows. */
void mcq__turn_end(mcq__io_t* io);

/* Makes ready to give pooled memory back.  0 or MCQ_ENOMEM. */
int mcq__quiet_open(mcq__io_t* io);

/* At the end of a phase: the pool may have grown. */
void mcq__quiet_look(mcq__io_t* io);

/* Takes the bell down, when there is one. */
void mcq__bell_close(mcq__io_t* io);

/* Picks the back end and joins it.  0, or why it cannot be had. */
int mcq__backend_join(mcq__io_t* io, enum mcq__backend_choice choice);

/* Takes a lock that other threads take, too.  False: in the child of a fork,
 * where they are not, one of them had it. */
bool mcq__io_enter(const mcq__io_t* io, uv_mutex_t* lock);

/* In the child of a fork: this process has nothing to do with the file behind
 * `fd` any more, which is open and another one from now on. */
void mcq__io_blank(int fd);

/* Something a transport left in the loop (a name being looked up, a handle
 * being closed) that on_left has to wait for, and its end. */
void mcq__io_pin(mcq__io_t* io);
void mcq__io_unpin(mcq__io_t* io);

#endif
