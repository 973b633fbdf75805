/* SPDX-License-Identifier: MIT */
/* A guest of the soak that is a socket of libzmq (see soak.h).  Calls nothing
 * of ours. */
#ifdef HAVE_ZMQ
#include <zmq.h>

#include "support/soak.h"

bool soak_has_zmq(void) {
  return true;
}

static void set(void* s, int option, int value) {
  SOAK_MUST(zmq_setsockopt(s, option, &value, sizeof value) == 0);
}

static bool says_something(int type) {
  return type == MCQ_PAIR || type == MCQ_PUB || type == MCQ_XPUB ||
         type == MCQ_PUSH || type == MCQ_DEALER || type == MCQ_REQ;
}

/* Takes what came, and returns it where its type would. */
static void hear(void* s, int type) {
  zmq_msg_t part;
  bool echoes = type == MCQ_REP || type == MCQ_ROUTER;
  if (type == MCQ_PUSH || type == MCQ_PUB) return;
  for (int i = 0; i < 50; i++) {
    int more;
    do {
      zmq_msg_init(&part);
      if (zmq_msg_recv(&part, s, ZMQ_DONTWAIT) < 0) return;
      more = zmq_msg_more(&part);
      if (!echoes ||
          zmq_msg_send(&part, s, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
        zmq_msg_close(&part);
    } while (more);
  }
}

static void say(void* s, int type, test_random_t* random) {
  char topic = (char) ('A' + test_random_below(random, 40));
  if (zmq_send(s, &topic, type == MCQ_DEALER ? 0 : 1,
               ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
    return;
  (void) zmq_send(s, soak_bytes(), test_random_below(random, 3000),
                  ZMQ_DONTWAIT);
}

void soak_guest_zmq(const soak_guest_t* guest) {
  test_random_t random = {guest->seed};
  void* ctx = zmq_ctx_new();
  void* s = zmq_socket(ctx, guest->type);
  SOAK_MUST(s != NULL);
  set(s, ZMQ_LINGER, soak_one_in(&random, 2) ? 0 : 100);
  set(s, ZMQ_SNDHWM, 50);
  if (guest->type == MCQ_SUB)
    SOAK_MUST(zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0) == 0);
  if (guest->type == MCQ_XSUB) (void) zmq_send(s, "\1", 1, ZMQ_DONTWAIT);
  SOAK_MUST(zmq_connect(s, guest->uri) == 0);
  for (unsigned ms = 0; ms < guest->ms; ms += 5) {
    (void) zmq_poll(NULL, 0, 5);
    hear(s, guest->type);
    if (says_something(guest->type)) say(s, guest->type, &random);
  }
  if (guest->manner != SOAK_POLITE) {
    (void) zmq_send(s, soak_bytes(), SOAK_LARGEST, ZMQ_DONTWAIT);
    soak_misbehave(guest->manner);
  }
  zmq_close(s);
  zmq_ctx_term(ctx);
}
#endif
