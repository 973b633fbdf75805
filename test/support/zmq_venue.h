/* SPDX-License-Identifier: MIT */
/* Where the programs beside libzmq play: every transport that both libraries
 * have, on both back ends.  A program lists scenes; each is played at every
 * venue as a test of its own. */
#ifndef TEST_SUPPORT_ZMQ_VENUE_H
#define TEST_SUPPORT_ZMQ_VENUE_H

#include "monocoque.h"
#include "support/backend.h"
#include "support/zmq_process.h"

typedef enum transport {
  OVER_TCP,
  OVER_FILE, /* ipc */
  OVER_NAME  /* ipc without a file */
} transport_t;

typedef struct venue {
  const char* name;
  transport_t over;
  int backend;
  bool heavy; /* what takes long is played here, too */
} venue_t;

/* What to bind to there, either library: a new one each time, in any process.
 * The real address may be another. */
void venue_uri(const venue_t* venue, char out[URI_MAX]);

/* Our socket binds and tells the other process where, or hears it from there as
 * often as it is to connect. */
void venue_join(const venue_t* venue, const duo_t* duo, mcq_socket_t* socket,
                bool we_bind, unsigned peers);

typedef struct scene {
  const char* name;
  void (*play)(const venue_t* venue);
  bool heavy;
} scene_t;

/* main's work: all scenes at all venues, each with its own processes. */
int venues_play(const scene_t* scenes, size_t count);

/* The second back end of a test that is no scene: uring, or where that cannot
 * be had auto. */
int second_backend(void);

#endif
