/* SPDX-License-Identifier: MIT */
/* Endpoint text, parsed: tcp://host:port, ipc://path.  Pure; knows no
 * protocol. */
#ifndef MCQ__IO_ENDPOINT_H
#define MCQ__IO_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest endpoint text, in bytes, with its NUL. */
#define MCQ__ENDPOINT_MAX 512

/* Longest ipc path or abstract name with its '@': what the system's addresses
 * have room for. */
#define MCQ__PATH_MAX 107

typedef struct mcq__endpoint {
  char scheme[8];
  char host[256]; /* tcp: numeric, a name, or "*"; without brackets */
  uint16_t port;  /* tcp; 0: any */
  bool wildcard;  /* host "*": all interfaces; ipc "*": any path */
  char rest[256]; /* other schemes: everything after "://" */
} mcq__endpoint_t;

/* Parses `uri`.  0, or MCQ_EINVAL: no scheme, control bytes, empty host, path
 * or name, bad or missing port, unbalanced brackets, trailing text, too long;
 * UV_ENAMETOOLONG: an ipc path that no socket can have.  A scheme that is not
 * tcp is accepted with its text in `rest`. */
int mcq__endpoint_parse(mcq__endpoint_t* out, const char* uri);

#endif
