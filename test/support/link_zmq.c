/* SPDX-License-Identifier: MIT */
/* libzmq on the far side of a cable (see link.h).  Calls nothing of ours. */
#ifdef HAVE_ZMQ
#include "support/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define FRAMES 3

/* Ticks that a REQ waits for an answer; longer than any pause of the cable
 * that TCP survives. */
#define LONG_ENOUGH (5000 / LINK_TICK)

#define MUST(good) ((good) ? (void) 0 : give_up(__LINE__))

static void give_up(int line) {
  fprintf(stderr, "libzmq's side: %s:%d: gave up: %s\n", __FILE__, line,
          zmq_strerror(zmq_errno()));
  _exit(3);
}

typedef struct party {
  const link_lane_t* lane;
  link_book_t* book;
  void* s;
  int type;
  bool drives;
  bool ready;      /* a publisher: somebody has subscribed */
  unsigned asking; /* a REQ: ticks that are left to wait */
} party_t;

typedef struct parcel {
  zmq_msg_t parts[FRAMES];
  size_t count;
} parcel_t;

static void set(void* s, int option, int value) {
  MUST(zmq_setsockopt(s, option, &value, sizeof value) == 0);
}

static void open_party(party_t* p, void* ctx, bool beats) {
  char uri[128];
  size_t len = sizeof uri;
  p->type = p->drives ? p->lane->kind->driver : p->lane->kind->other;
  /* An XPUB hears of subscriptions. */
  p->s = zmq_socket(ctx, p->type == MCQ_PUB ? ZMQ_XPUB : p->type);
  MUST(p->s != NULL);
  set(p->s, ZMQ_LINGER, 0);
  set(p->s, ZMQ_SNDHWM, 0);
  set(p->s, ZMQ_RCVHWM, 0);
  if (beats) set(p->s, ZMQ_HEARTBEAT_IVL, LINK_BEAT);
  if (beats) set(p->s, ZMQ_HEARTBEAT_TIMEOUT, LINK_TIMEOUT);
  if (p->type == MCQ_SUB) MUST(zmq_setsockopt(p->s, ZMQ_SUBSCRIBE, "", 0) == 0);
  if (p->type == MCQ_REQ) set(p->s, ZMQ_REQ_RELAXED, 1);
  if (p->type == MCQ_REQ) set(p->s, ZMQ_REQ_CORRELATE, 1);
  MUST(zmq_bind(p->s, "tcp://" LINK_FAR ":*") == 0);
  MUST(zmq_getsockopt(p->s, ZMQ_LAST_ENDPOINT, uri, &len) == 0);
  atomic_store(&p->book->port, atoi(strrchr(uri, ':') + 1));
}

/* ---- messages ------------------------------------------------------------ */

static bool receive(party_t* p, parcel_t* in) {
  int more = 1;
  in->count = 0;
  while (more) {
    zmq_msg_t* part = &in->parts[in->count];
    MUST(in->count < FRAMES);
    zmq_msg_init(part);
    if (zmq_msg_recv(part, p->s, ZMQ_DONTWAIT) < 0) return false;
    more = zmq_msg_more(part);
    in->count++;
  }
  return true;
}

static void send_back(party_t* p, parcel_t* in) {
  for (size_t i = 0; i < in->count; i++) {
    int more = i + 1 < in->count ? ZMQ_SNDMORE : 0;
    /* Fails when who sent it is gone. */
    if (zmq_msg_send(&in->parts[i], p->s, ZMQ_DONTWAIT | more) < 0) return;
  }
}

/* [1 topic] or [0 topic]. */
static void hear_wish(party_t* p, parcel_t* in) {
  MUST(zmq_msg_size(&in->parts[0]) > 0);
  p->ready = *(const char*) zmq_msg_data(&in->parts[0]) == 1;
}

static void hear(party_t* p, parcel_t* in) {
  mcq_frame_t frames[FRAMES];
  size_t from = p->type == MCQ_ROUTER ? 1 : 0;
  if (p->type == MCQ_PUB) {
    hear_wish(p, in);
    return;
  }
  for (size_t i = from; i < in->count; i++)
    frames[i - from] =
        (mcq_frame_t){zmq_msg_data(&in->parts[i]), zmq_msg_size(&in->parts[i])};
  if (p->drives) {
    restart_note_back(&p->book->ledger, frames, in->count - from);
    p->asking = 0;
    return;
  }
  restart_note(&p->book->ledger, frames, in->count - from);
  if (p->lane->kind->echoes) send_back(p, in);
}

static void hear_all(party_t* p) {
  parcel_t in;
  if (p->type == MCQ_PUSH) return;
  while (receive(p, &in)) {
    hear(p, &in);
    for (size_t i = 0; i < in.count; i++) zmq_msg_close(&in.parts[i]);
  }
}

static void drive(party_t* p) {
  restart_ledger_t* ledger = &p->book->ledger;
  mcq_frame_t frames[2];
  if (p->type == MCQ_PUB && !p->ready) return;
  if (p->asking > 0 && --p->asking > 0) return;
  uint32_t number = atomic_load(&ledger->next);
  restart_make(number, frames);
  atomic_store(&ledger->next, number + 1);
  if (zmq_send(p->s, frames[0].data, frames[0].len,
               ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
    atomic_store(&ledger->next, number);
    return;
  }
  (void) zmq_send(p->s, frames[1].data, frames[1].len, ZMQ_DONTWAIT);
  if (p->type == MCQ_REQ) p->asking = LONG_ENOUGH;
}

/* -------------------------------------------------------------------------- */

bool link_has_zmq(void) {
  return true;
}

int link_far_zmq(link_books_t* all) {
  static party_t parties[LINK_LANES];
  size_t count = 0;
  void* ctx = zmq_ctx_new();
  MUST(ctx != NULL);
  for (size_t i = 0; i < all->count; i++) {
    party_t* p = &parties[count];
    if (!all->lanes[i].zmq) continue;
    p->lane = &all->lanes[i];
    p->book = &all->books[i];
    p->drives = p->lane->far_drives;
    open_party(p, ctx, all->beats);
    count++;
  }
  while (!atomic_load(&all->ending)) {
    (void) zmq_poll(NULL, 0, LINK_TICK);
    for (size_t i = 0; i < count; i++) {
      hear_all(&parties[i]);
      if (parties[i].drives && atomic_load(&all->driving)) drive(&parties[i]);
    }
  }
  for (size_t i = 0; i < count; i++) zmq_close(parties[i].s);
  zmq_ctx_term(ctx);
  return 0;
}
#endif
