/* SPDX-License-Identifier: MIT */
/* Our sockets and real libzmq, each in a process of its own: every pairing of
 * types that are there, both ways round, with one peer and with many, over tcp
 * and ipc.  One side drives: it sends messages of all shapes and checks that
 * each comes back, whole and in order; the other side echoes. */
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

/* All of it takes long: over tcp it is that, elsewhere only what is heavy, and
 * of the rest a tenth. */
static void all_matches(const venue_t* venue) {
  for (size_t i = 0; i < MATCHES; i++) {
    match_t m = matches[i];
    bool heavy = m.peers > 2 || m.messages >= 100000;
    bool whole = heavy ? venue->heavy : venue->over == OVER_TCP;
    if (!whole && m.peers > 2) continue;
    if (!whole) m.messages /= 10;
    play(&m, venue);
  }
}

static const scene_t scenes[] = {{.name = "all", .play = all_matches}};

int main(void) {
  parts_init();
  return venues_play(scenes, sizeof scenes / sizeof *scenes);
}
