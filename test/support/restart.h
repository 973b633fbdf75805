/* SPDX-License-Identifier: MIT */
/* A server that is killed and started again, many times, under the load of one
 * client in this process.  Servers are processes of their own, made by a
 * nursery that was forked before anything was opened, so that none inherits
 * a descriptor of the client's.  Numbered messages go one way; the books are
 * in memory that all of them share and that outlives them.  Uses the public
 * interface alone. */
#ifndef TEST_SUPPORT_RESTART_H
#define TEST_SUPPORT_RESTART_H

#include <stdatomic.h>
#include <sys/types.h>

#include "monocoque.h"

#define RESTART_NUMBERS 2000000u
#define RESTART_SIZE_MAX ((size_t) 100000)

/* The books of one run. */
typedef struct restart_ledger {
  _Atomic uint32_t next;  /* the next number to be sent */
  _Atomic uint32_t heard; /* behind the highest that arrived */
  _Atomic uint32_t back;  /* the same of what came back */
  _Atomic unsigned wrong; /* arrived twice, late or changed */

  _Atomic uint8_t got[RESTART_NUMBERS];
} restart_ledger_t;

typedef struct restart_kind {
  const char* name;
  int server;
  int client;
  bool server_drives;
  bool echoes;
  bool keeps; /* the client's queue waits for the next server */
} restart_kind_t;

extern const restart_kind_t restart_kinds[];
extern const size_t restart_kind_count;

/* What a server is to be. */
typedef struct restart_order {
  int kind; /* in restart_kinds; -1: only the end of the one before */
  int backend;
  int port;
  bool doomed; /* dies as soon as it listens */
} restart_order_t;

/* A server's whole life; never returns. */
typedef void (*restart_serve_fn)(const restart_order_t* order,
                                 restart_ledger_t* ledger);

/* With a socket of ours. */
void restart_serve(const restart_order_t* order, restart_ledger_t* ledger);

/* Forks the nursery; once, before anything else.  `serve` is what its children
 * do. */
void restart_begin(restart_serve_fn serve);
void restart_end(void);

/* Kills the server `times` times and checks everything. */
void restart_play(int kind, int backend, int server_backend, unsigned times);

/* As cmocka's teardown: ends the server that a failed test left. */
int restart_forget(void** state);

/* How often: MCQ_RESTARTS, or 10. */
unsigned restart_times(void);

/* ---- for servers of another library -------------------------------------- */

/* The frames of message `number`; good until the next call. */
void restart_make(uint32_t number, mcq_frame_t out[2]);

/* One has arrived.  False: it was wrong. */
bool restart_note(restart_ledger_t* ledger, const mcq_frame_t* frames,
                  size_t count);

/* One has come back. */
void restart_note_back(restart_ledger_t* ledger, const mcq_frame_t* frames,
                       size_t count);

/* Whether another one may be sent: not too many are under way; `base` is the
 * first that was sent on this connection. */
bool restart_may_send(const restart_ledger_t* ledger,
                      const restart_kind_t* kind, uint32_t base);

#endif
