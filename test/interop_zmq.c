/* SPDX-License-Identifier: MIT */
/* Our sockets and real libzmq, each in a process of its own: every pairing of
 * types that are there, both ways round, with one peer and with many.  One
 * side drives: it sends messages of all shapes and checks that each comes
 * back, whole and in order; the other side echoes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <zmq.h>

#include "support/zmq_match.h"

#define BINDS true
#define CONNECTS false
#define DRIVES true
#define ECHOES false

static const match_t matches[] = {
    {MCQ_DEALER, ZMQ_ROUTER, BINDS, DRIVES, 1, 100000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_ROUTER, CONNECTS, DRIVES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_ROUTER, BINDS, ECHOES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_ROUTER, CONNECTS, ECHOES, 2, 5000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_ROUTER, CONNECTS, DRIVES, 2, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_ROUTER, BINDS, DRIVES, 200, 100, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_ROUTER, CONNECTS, DRIVES, 200, 100, .plan = PLAN_MIXED},

    {MCQ_ROUTER, ZMQ_DEALER, BINDS, ECHOES, 1, 100000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_DEALER, CONNECTS, ECHOES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_DEALER, BINDS, DRIVES, 1, 100000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_DEALER, CONNECTS, DRIVES, 2, 20000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_DEALER, BINDS, ECHOES, 2, 20000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_DEALER, BINDS, ECHOES, 200, 100, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_DEALER, BINDS, DRIVES, 200, 500, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_DEALER, CONNECTS, DRIVES, 200, 100, .plan = PLAN_MIXED},

    {MCQ_ROUTER, ZMQ_ROUTER, BINDS, ECHOES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_ROUTER, CONNECTS, ECHOES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_ROUTER, BINDS, DRIVES, 1, 100000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_ROUTER, CONNECTS, DRIVES, 2, 20000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_ROUTER, BINDS, ECHOES, 200, 100, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_ROUTER, CONNECTS, DRIVES, 200, 100, .plan = PLAN_MIXED},

    {MCQ_DEALER, ZMQ_DEALER, BINDS, DRIVES, 1, 100000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_DEALER, CONNECTS, DRIVES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_DEALER, BINDS, ECHOES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_DEALER, CONNECTS, ECHOES, 2, 5000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_DEALER, BINDS, DRIVES, 2, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_DEALER, BINDS, ECHOES, 200, 100, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_DEALER, CONNECTS, DRIVES, 200, 100, .plan = PLAN_MIXED},

    {MCQ_PAIR, ZMQ_PAIR, BINDS, DRIVES, 1, 100000, .plan = PLAN_MIXED},
    {MCQ_PAIR, ZMQ_PAIR, CONNECTS, DRIVES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_PAIR, ZMQ_PAIR, BINDS, ECHOES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_PAIR, ZMQ_PAIR, CONNECTS, ECHOES, 1, 20000, .plan = PLAN_MIXED},

    {MCQ_ROUTER, ZMQ_REQ, BINDS, ECHOES, 1, 5000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_REQ, CONNECTS, ECHOES, 2, 2000, .plan = PLAN_MIXED},
    {MCQ_ROUTER, ZMQ_REQ, BINDS, ECHOES, 200, 20, .plan = PLAN_MIXED},

    {MCQ_DEALER, ZMQ_REP, BINDS, DRIVES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_REP, CONNECTS, DRIVES, 1, 20000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_REP, CONNECTS, DRIVES, 2, 5000, .plan = PLAN_MIXED},
    {MCQ_DEALER, ZMQ_REP, BINDS, DRIVES, 200, 50, .plan = PLAN_MIXED},
};
#define MATCHES (sizeof matches / sizeof *matches)

static void over_uv(void** state) {
  (void) state;
  for (size_t i = 0; i < MATCHES; i++) play(&matches[i], MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  int backend = second_backend();
  for (size_t i = 0; i < MATCHES; i++) play(&matches[i], backend);
}

int main(void) {
  parts_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(over_uv, kill_peers),
      cmocka_unit_test_teardown(over_uring, kill_peers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
