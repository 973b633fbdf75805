/* SPDX-License-Identifier: MIT */
/* mcqcat's stream: peers that know nothing of messages.  Text is cut into
 * lines, each with the id of its peer; what is typed goes to one peer or to
 * all.  Called by mcqcat.c from the library's callbacks. */
#ifndef CAT_STREAM_H
#define CAT_STREAM_H

#include "cat_format.h"
#include "monocoque.h"

/* One that is connected. */
typedef struct cat_stream_peer {
  mcq_peer_t handle;
  tool_buffer_t id;   /* as it is printed */
  tool_buffer_t line; /* what has no newline yet */
  uint64_t had;       /* the last message to all that it got */
  bool live;
} cat_stream_peer_t;

/* Zeroed but for what is to be set. */
typedef struct cat_stream {
  cat_stream_peer_t* peers; /* by slot */
  size_t cap;
  size_t live;
  uint64_t sent; /* messages to all that all have got */

  cat_format_t format;
  /* Something to print; false: no more. */
  bool (*print)(struct cat_stream* stream, const mcq_frame_t* frames,
                size_t count);
  void* data; /* the user's */
} cat_stream_t;

/* Reads a line as cat_read does; in text "[[ID] TAB] LINE" becomes an id, maybe
 * empty, and the line with its newline. */
int cat_stream_read(cat_format_t format, const char* line, size_t len,
                    cat_message_t* m);

/* Sends what was read: an id and what is for that peer, or, where the id is
 * empty, for all there are.  0; MCQ_EAGAIN: somebody takes no more, or nobody
 * is there: try the same again; otherwise as mcq_send. */
int cat_stream_send(cat_stream_t* stream, mcq_socket_t* socket,
                    const cat_message_t* m);

/* From on_peer_up, on_message and on_peer_down. */
void cat_stream_up(cat_stream_t* stream, const mcq_peer_info_t* info);
void cat_stream_bytes(cat_stream_t* stream, mcq_peer_t peer,
                      const mcq_msg_t* msg);
void cat_stream_down(cat_stream_t* stream, const mcq_peer_info_t* info);

void cat_stream_free(cat_stream_t* stream);

#endif
