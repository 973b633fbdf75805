/* SPDX-License-Identifier: MIT */
/* mcqcat's command line as a struct. */
#ifndef CAT_OPTIONS_H
#define CAT_OPTIONS_H

#include "cat_format.h"

typedef struct cat_type {
  const char* name;
  int type;   /* MCQ_PAIR, ... */
  bool sends; /* what comes on stdin */
  bool receives;
  bool echoes; /* can answer the one who sent */
} cat_type_t;

typedef struct cat_endpoint {
  const char* uri;
  bool bind;
} cat_endpoint_t;

typedef struct cat_options {
  const cat_type_t* type;
  cat_endpoint_t* endpoints; /* in the order given */
  size_t endpoint_count;
  const char* routing_id; /* NULL: none */
  const char** topics;    /* sub: to subscribe to */
  size_t topic_count;
  cat_format_t format;
  bool format_given;
  int backend;
  uint64_t count;      /* messages to receive; 0: no end */
  uint64_t timeout_ms; /* 0: none */
  bool events;
  bool echo;
  bool balance;
  bool stats;
  int64_t heartbeat_ms;
  int64_t heartbeat_timeout_ms;
  bool linger_given;
  int64_t linger_ms; /* the rest as in mcq_socket_options_t */
  int64_t max_message_size;
  int64_t handshake_ms;
  int32_t sndhwm;
} cat_options_t;

/* Reads the command line into zeroed `out`.  True: go on.  False: leave with
 * `*code`; what there was to say has been said. */
bool cat_options_read(cat_options_t* out, int argc, char** argv, int* code);
void cat_options_free(cat_options_t* options);

#endif
