/* SPDX-License-Identifier: MIT */
/* Sockets that talk for hours: what the soak (test/soak.c) and its guests have
 * in common.  A talker is a socket of any type that says and hears whatever its
 * type allows, out of random numbers; guests are processes of their own, ours,
 * libzmq's or nobody's, of good manners or bad ones.  Uses the public interface
 * alone. */
#ifndef TEST_SUPPORT_SOAK_H
#define TEST_SUPPORT_SOAK_H

#include <stdbool.h>

#include "monocoque.h"
#include "support/random.h"

/* ---- talkers ------------------------------------------------------------- */

typedef struct soak_talker {
  mcq_socket_t* s;
  int type;
  bool serves; /* it was there first, and listens */
  test_random_t* random;
  bool asking, paused;
  uint64_t topics; /* a bit for each it follows */
  mcq_msg_t* kept; /* one it was told, for a while */
  uint64_t heard, said, refused;
  uint64_t until; /* the test's: when it leaves */
  bool closing, closed;
} soak_talker_t;

void soak_open(soak_talker_t* t, mcq_ctx_t* ctx, int type, bool serves,
               test_random_t* random);

/* Says something, or changes its mind about something; now and then. */
void soak_talk(soak_talker_t* t);

/* Hears again, keeps nothing, follows nobody. */
void soak_rest(soak_talker_t* t);

/* `closed` when it is. */
void soak_close(soak_talker_t* t);

/* A type that gets on with a server of that type. */
int soak_mate(test_random_t* random, int type);

/* One in `n`. */
static inline bool soak_one_in(test_random_t* random, size_t n) {
  return test_random_below(random, n) == 0;
}

#define SOAK_LARGEST ((size_t) 4 << 20)

/* So many bytes to say. */
const void* soak_bytes(void);

/* ---- guests -------------------------------------------------------------- */

typedef enum soak_manner {
  SOAK_POLITE, /* talks, and closes */
  SOAK_KILLED, /* dies in the middle of a large message */
  SOAK_DEAF,   /* does not read any more, and does not leave */
  SOAK_STOPPED /* SIGSTOP: does nothing at all any more */
} soak_manner_t;

typedef enum soak_who { SOAK_OURS, SOAK_ZMQ, SOAK_STRANGER } soak_who_t;

typedef struct soak_guest {
  soak_who_t who;
  soak_manner_t manner;
  int type;
  int backend; /* of ours */
  unsigned ms; /* until its manners show */
  uint64_t seed;
  char uri[128];
} soak_guest_t;

typedef struct soak_nursery {
  pid_t pid;
  int orders, answers;
} soak_nursery_t;

/* Forks the process that makes guests; before anything else is opened. */
void soak_nursery_open(soak_nursery_t* n);
void soak_nursery_close(soak_nursery_t* n);

void soak_invite(const soak_nursery_t* n, const soak_guest_t* guest);

/* All guests have to go; a byte comes out of `answers` when they are gone. */
void soak_send_home(const soak_nursery_t* n);

/* Whether there is libzmq; a guest that is one of its sockets. */
bool soak_has_zmq(void);
void soak_guest_zmq(const soak_guest_t* guest);

/* What a guest with bad manners does in the end; never returns. */
_Noreturn void soak_misbehave(soak_manner_t manner);

/* In processes where no test runs. */
#define SOAK_MUST(good) ((good) ? (void) 0 : soak_give_up(__FILE__, __LINE__))
_Noreturn void soak_give_up(const char* file, int line);

#endif
