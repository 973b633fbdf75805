/* SPDX-License-Identifier: MIT */
/* The scenario test's dice: what the weather is like, who is there and what
 * they do, out of one seed.  What comes of it is the model's business
 * (simworld.h). */
#ifndef TEST_SUPPORT_SIMPLAN_H
#define TEST_SUPPORT_SIMPLAN_H

#include "support/simworld.h"

/* What a seed has decided once. */
typedef struct sim_plan {
  sim_world_t world;
  bool calm;    /* nothing fails and nobody closes: all must arrive */
  bool twins;   /* two sockets may go by one name */
  bool chatty;  /* queues are long */
  bool abrupt;  /* it ends in the middle of everything */
  int hub_type; /* of the one in the middle, */
  int type;     /* and of the others, */
  int hub_flags;
  int flags;
  bool serves;                       /* a ROUTER in the middle answers */
  bool others;                       /* proxies, welcomes and streams */
  bool strict;                       /* limits, deadlines and mailboxes */
  test_random_t dice;                /* for these */
  int64_t heartbeat_ms;              /* in a strict one */
  bool roomy;                        /* nobody is shown out there */
  bool linked[SIM_SOCKS][SIM_SOCKS]; /* by number, either way */
} sim_plan_t;

static inline size_t sim_plan_below(sim_plan_t* p, size_t n) {
  return sim_below(&p->world.net, n);
}

static inline bool sim_plan_odds(sim_plan_t* p, unsigned in_a_thousand) {
  return sim_odds(&p->world.net, in_a_thousand);
}

/* The same for what only strict worlds have: all else is as in the others. */
static inline size_t sim_strict_below(sim_plan_t* p, size_t n) {
  return test_random_below(&p->dice, n);
}

static inline bool sim_strict_odds(sim_plan_t* p, unsigned in_a_thousand) {
  return p->strict && sim_strict_below(p, 1000) < in_a_thousand;
}

#define sim_strict_of(p, ...)                         \
  (((const int64_t[]){__VA_ARGS__})[sim_strict_below( \
      p, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))])

#define sim_one_of(p, ...)                          \
  (((const int64_t[]){__VA_ARGS__})[sim_plan_below( \
      p, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))])

/* ---- simplan.c ----------------------------------------------------------- */
void sim_plan_uri(const sim_sock_t* k, char out[32]); /* where it listens */
void sim_plan_faults(sim_plan_t* p);
void sim_plan_no_faults(sim_plan_t* p);
void sim_plan_people(sim_plan_t* p);
sim_sock_t* sim_plan_add(sim_plan_t* p, int type, int flags, const char* name);
sim_sock_t* sim_plan_add_numbered(sim_plan_t* p, int type, int flags);
void sim_plan_bind(sim_sock_t* k);
void sim_plan_link(sim_plan_t* p, sim_sock_t* from, const sim_sock_t* to);

/* ---- simacts.c ----------------------------------------------------------- */
sim_sock_t* sim_plan_pick(sim_plan_t* p);
int sim_plan_send(sim_plan_t* p, sim_sock_t* k);
void sim_plan_act(sim_plan_t* p, sim_sock_t* k);
void sim_plan_whim(sim_sock_t* k); /* the same inside a callback */

#endif
