/* SPDX-License-Identifier: MIT */
/* Text on its way out: into a buffer of the caller's as far as that reaches, or
 * through a function of his in pieces.  What is written after somebody had
 * enough goes nowhere. */
#ifndef MCQ__METRICS_PEN_H
#define MCQ__METRICS_PEN_H

#include <stdbool.h>
#include <stdint.h>

#include "monocoque.h"

typedef struct mcq__pen {
  char* buffer;
  size_t size;
  size_t used;
  size_t total;        /* written, wherever it went */
  mcq_metrics_cb sink; /* NULL: there is only the buffer */
  void* arg;
  int rc; /* what the sink answered; nothing goes there after an error */
} mcq__pen_t;

/* Without a sink. */
void mcq__pen_open(mcq__pen_t* t, char* buffer, size_t size);

/* As it is. */
void mcq__pen_put(mcq__pen_t* t, const char* text);

void mcq__pen_number(mcq__pen_t* t, uint64_t number);

/* number / per, `per` being a power of ten: 1234 / 1000 is 1.234. */
void mcq__pen_fraction(mcq__pen_t* t, uint64_t number, uint64_t per);

/* `len` bytes between quotes, escaped; what is not UTF-8 becomes U+FFFD. */
void mcq__pen_quoted(mcq__pen_t* t, const void* data, size_t len);

/* The same as lower-case hex digits. */
void mcq__pen_hex(mcq__pen_t* t, const void* data, size_t len);

/* Hands what is left to the sink.  0 or what the sink answered. */
int mcq__pen_close(mcq__pen_t* t);

#endif
