/* SPDX-License-Identifier: MIT */
/* Error and reason codes of libmonocoque.
 *
 * Every function returns 0 (or a count) on success and one of these negative
 * values on failure.  Codes of the operating system are libuv's own values
 * (UV_ECONNREFUSED, ...) and pass through unchanged; what only this library
 * knows has its own block below -20000, which libuv never uses.  The same
 * values tell why a peer went down and why a handshake failed. */
#ifndef MONOCOQUE_ERRNO_H
#define MONOCOQUE_ERRNO_H

#include <errno.h>

/* X(name, value, text) for each code of the library's own block. */
#define MCQ_ERRNO_MAP(X)                                                       \
  X(EPEERGONE, -20001, "the peer of this handle is gone")                      \
  X(ECLOSED, -20002, "the socket or context is closing")                       \
  X(EHANDOVER, -20003, "another connection took over the routing id")          \
  X(ETWIN, -20004, "the routing id is already in use")                         \
  X(EGREETING, -20005, "the peer does not speak ZMTP")                         \
  X(ELEGACY, -20006, "the peer speaks a ZMTP version older than 3.0")          \
  X(EMECHANISM, -20007, "the security mechanisms differ")                      \
  X(ETYPE, -20008, "these socket types may not be connected")                  \
  X(EREFUSED, -20009, "the peer refused with an ERROR command")                \
  X(EFRAME, -20010, "malformed frame")                                         \
  X(ECOMMAND, -20011, "malformed or unexpected command")                       \
  X(EMETADATA, -20012, "malformed metadata")                                   \
  X(EFRAMES, -20013, "more frames in a message than max_frames")               \
  X(EMSGLIMIT, -20014, "a message larger than max_message_size")               \
  X(EHANDSHAKE, -20015, "the handshake took too long")                         \
  X(EPARTIAL, -20016, "the connection ended inside a message")                 \
  X(ELOCAL, -20017, "closed by this side")                                     \
  X(EPAIRED, -20018, "the socket already has its one peer")                    \
  X(EWRONGTHREAD, -20019, "called from a thread that does not run the loop")  \
  X(EFSM, -20020, "the socket's state does not allow this now")                \
  X(EENVELOPE, -20021, "answers without the envelope of a request")            \
  X(ELIMIT, -20022, "more subscriptions, or longer, than one peer may have")   \
  X(ESLOW, -20023, "the peer does not keep up")                                \
  X(EHEARTBEAT, -20024, "the peer gave no sign of life in time")               \
  X(EIDLE, -20025, "no message came in time")                                  \
  X(ENOTNOW, -20026, "the peer refused for the time being")                    \
  X(ECROWDED, -20031, "too many connections or handshakes at a time")

enum {
#define MCQ_ERRNO_ENUM(name, value, text) MCQ_##name = value,
  MCQ_ERRNO_MAP(MCQ_ERRNO_ENUM)
#undef MCQ_ERRNO_ENUM
  /* libuv's values (on POSIX the system's, negated) under our prefix, for
   * those the API speaks of by name. */
  MCQ_EAGAIN = -EAGAIN,
  MCQ_EINVAL = -EINVAL,
  MCQ_ENOMEM = -ENOMEM,
  MCQ_EEXIST = -EEXIST,
  MCQ_ENOENT = -ENOENT,
  MCQ_ENOTSUP = -ENOTSUP,
  MCQ_EHOSTUNREACH = -EHOSTUNREACH,
  MCQ_EADDRINUSE = -EADDRINUSE,
  MCQ_ETIMEDOUT = -ETIMEDOUT,
  MCQ_EOF = -4095
};

#endif
