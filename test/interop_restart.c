/* SPDX-License-Identifier: MIT */
/* A libzmq server of nearly every type, killed and started again under the
 * load of a socket of ours: see support/restart.h.  A SIGKILL leaves libzmq no
 * time for anything, so what is checked is ours alone: it comes again, its
 * queue arrives, nothing arrives twice.
 *
 *   MCQ_RESTARTS   how often each dies, 10 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "support/restart.h"
#include "support/zmq_match.h"

#define FRAMES 3
#define STUCK                                                     \
  50 /* ms without an arrival: the rest went with the last client \
      */

typedef struct server {
  const restart_kind_t* kind;
  restart_ledger_t* ledger;
  void* s;
  uint32_t base;
  uint32_t heard;
  unsigned quiet;
} server_t;

typedef struct parcel {
  zmq_msg_t parts[FRAMES];
  size_t count;
} parcel_t;

static bool receive(server_t* v, parcel_t* in) {
  int more = 1;
  in->count = 0;
  while (more) {
    zmq_msg_t* part = &in->parts[in->count];
    MUST(in->count < FRAMES);
    zmq_msg_init(part);
    if (zmq_msg_recv(part, v->s, ZMQ_DONTWAIT) < 0) return false;
    more = zmq_msg_more(part);
    in->count++;
  }
  return true;
}

/* A ROUTER's begin with the name of who sent them. */
static void hear(server_t* v, parcel_t* in) {
  mcq_frame_t frames[FRAMES];
  size_t from = v->kind->server == MCQ_ROUTER ? 1 : 0;
  for (size_t i = from; i < in->count; i++)
    frames[i - from] =
        (mcq_frame_t){zmq_msg_data(&in->parts[i]), zmq_msg_size(&in->parts[i])};
  if (v->kind->server_drives) {
    if (v->kind->echoes) restart_note_back(v->ledger, frames, in->count);
    return;
  }
  restart_note(v->ledger, frames, in->count - from);
  if (!v->kind->echoes) return;
  for (size_t i = 0; i < in->count; i++) {
    int more = i + 1 < in->count ? ZMQ_SNDMORE : 0;
    /* Fails when the client has left. */
    if (zmq_msg_send(&in->parts[i], v->s, ZMQ_DONTWAIT | more) < 0) return;
  }
}

static void hear_all(server_t* v) {
  parcel_t in;
  while (receive(v, &in)) {
    hear(v, &in);
    for (size_t i = 0; i < in.count; i++) zmq_msg_close(&in.parts[i]);
  }
}

/* It does not tell who is there. */
static void feed(server_t* v) {
  mcq_frame_t frames[2];
  uint32_t heard = atomic_load(&v->ledger->heard);
  v->quiet = heard == v->heard ? v->quiet + 1 : 0;
  v->heard = heard;
  if (v->quiet == STUCK) {
    v->base = atomic_load(&v->ledger->next);
    v->quiet = 0;
  }
  while (restart_may_send(v->ledger, v->kind, v->base)) {
    uint32_t number = atomic_load(&v->ledger->next);
    restart_make(number, frames);
    atomic_store(&v->ledger->next, number + 1);
    if (zmq_send(v->s, frames[0].data, frames[0].len,
                 ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
      atomic_store(&v->ledger->next, number);
      return;
    }
    (void) zmq_send(v->s, frames[1].data, frames[1].len, ZMQ_DONTWAIT);
  }
}

static void serve(const restart_order_t* order, restart_ledger_t* ledger) {
  server_t v = {.kind = &restart_kinds[order->kind], .ledger = ledger};
  char uri[64];
  int none = 0;
  v.base = atomic_load(&ledger->next);
  v.s = zmq_socket(zmq_ctx_new(), v.kind->server);
  MUST(v.s != NULL);
  zmq_setsockopt(v.s, ZMQ_SNDHWM, &none, sizeof none);
  if (v.kind->server == MCQ_SUB) zmq_setsockopt(v.s, ZMQ_SUBSCRIBE, "", 0);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", order->port);
  /* A thread of libzmq's might have met the client already. */
  if (order->doomed) raise(SIGKILL);
  MUST(zmq_bind(v.s, uri) == 0);
  bool hears = v.kind->server != MCQ_PUB && v.kind->server != MCQ_PUSH;
  zmq_pollitem_t item = {.socket = v.s, .events = ZMQ_POLLIN};
  for (;;) {
    MUST(zmq_poll(&item, hears ? 1 : 0, v.kind->server_drives ? 1 : 1000) >= 0);
    if (hears) hear_all(&v);
    if (v.kind->server_drives) feed(&v);
  }
}

/* A REQ of theirs would wait for an answer that died with its client. */
static bool is_played(const restart_kind_t* kind) {
  return kind->server != MCQ_REQ;
}

static void play_kinds(int backend) {
  for (size_t i = 0; i < restart_kind_count; i++)
    if (is_played(&restart_kinds[i]))
      restart_play((int) i, backend, 0, restart_times());
}

static void over_uv(void** state) {
  (void) state;
  play_kinds(MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  play_kinds(second_backend());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(over_uv, restart_forget),
      cmocka_unit_test_teardown(over_uring, restart_forget),
  };
  restart_begin(serve);
  int failures = cmocka_run_group_tests(tests, NULL, NULL);
  restart_end();
  return failures;
}
