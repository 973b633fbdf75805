/* SPDX-License-Identifier: MIT */
/* Processes beside that of a test, where real libzmq lives: made with fork,
 * talked to through two pipes, and never outliving the test. */
#ifndef TEST_SUPPORT_ZMQ_PROCESS_H
#define TEST_SUPPORT_ZMQ_PROCESS_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#define URI_MAX 128

/* Ends the process with the place when something is wrong over there. */
#define MUST(good) ((good) ? (void) 0 : give_up(__FILE__, __LINE__))

static inline void give_up(const char* file, int line) {
  fprintf(stderr, "the other process: %s:%d: gave up\n", file, line);
  _exit(3);
}

/* A process made with fork that does not outlive the test: 0 in the child. */
pid_t fork_peer(void);

/* Waits for it to end well. */
void join_peer(pid_t child);

/* Kills it and waits for it. */
void leave_peer(pid_t child);

/* As cmocka's teardown: ends what a failed test left. */
int kill_peers(void** state);

/* One with pipes: what it writes comes out of `in`, what goes into `out` it
 * reads. */
typedef struct duo {
  pid_t child;
  int in, out;
} duo_t;

/* What it does, and its exit status.  `in` ends when the test lets go. */
typedef int (*duo_life_cb)(const void* arg, int in, int out);

void duo_open(duo_t* d, duo_life_cb life, const void* arg);

/* Lets go and waits for it to end well. */
void duo_close(duo_t* d);

/* An address is a piece of URI_MAX bytes in a pipe. */
void uri_tell(int out, const char* uri);

/* False: nobody is there any more to tell one. */
bool uri_hear(int in, char uri[URI_MAX]);

#endif
