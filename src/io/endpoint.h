/* SPDX-License-Identifier: MIT */
/* Endpoint text, parsed: scheme://host:port.  Pure; knows no protocol. */
#ifndef MCQ__IO_ENDPOINT_H
#define MCQ__IO_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest endpoint text, in bytes, with its NUL. */
#define MCQ__ENDPOINT_MAX 512

typedef struct mcq__endpoint {
  char scheme[8];
  char host[256]; /* tcp: numeric, a name, or "*"; without brackets */
  uint16_t port;  /* tcp; 0: any */
  bool wildcard;  /* host "*": all interfaces */
  char rest[256]; /* other schemes: everything after "://" */
} mcq__endpoint_t;

/* Parses `uri`.  0, or MCQ_EINVAL: no scheme, control bytes, empty host, bad
 * or missing port, unbalanced brackets, trailing text, too long.  A scheme
 * that is not tcp is accepted with its text in `rest`. */
int mcq__endpoint_parse(mcq__endpoint_t* out, const char* uri);

#endif
