/* SPDX-License-Identifier: MIT */
/* The limits on who comes in (see gate.h). */
#include "socket/gate.h"

#include <stdio.h>

#include "socket/socket.h"

/* What a stranger may take, in ms, before it has to give way to others: ten
 * times what a handshake across the world takes. */
#define FAIR_TIME ((uint64_t) 1000)

/* The least time between two words about those turned away, ms. */
#define TELL_EVERY ((uint64_t) 1000)

static mcq__io_t* io_of(const mcq__gate_t* g) {
  return &g->socket->host->io;
}

static bool over(size_t count, int32_t limit) {
  return limit >= 0 && count >= (size_t) limit;
}

/* ---- telling ------------------------------------------------------------- */

static void tell(mcq__gate_t* g) {
  mcq_event_t event = {.kind = MCQ_EVENT_REFUSED,
                       .endpoint = g->endpoint,
                       .address = g->address,
                       .code = MCQ_ECROWDED,
                       .text = g->limit,
                       .count = g->turned_away};
  g->turned_away = 0;
  g->quiet_until = mcq__io_now(io_of(g)) + TELL_EVERY;
  mcq__socket_event(g->socket, &event);
}

static void on_timer(mcq__timer_t* timer) {
  mcq__gate_t* g = mcq__container_of(timer, mcq__gate_t, timer);
  if (g->turned_away != 0) tell(g);
}

static void turn_away(mcq__gate_t* g, uint64_t endpoint, const char* address,
                      const char* limit) {
  g->socket->counts.connections_refused++;
  g->turned_away++;
  g->endpoint = endpoint;
  g->limit = limit;
  snprintf(g->address, sizeof g->address, "%s", address);
  if (mcq__io_now(io_of(g)) >= g->quiet_until)
    tell(g);
  else
    mcq__io_timer_start(io_of(g), &g->timer, g->quiet_until);
}

/* ---- where they come from ------------------------------------------------ */

static uint32_t* guests_from(const mcq__gate_t* g, const mcq__origin_t* from) {
  return mcq__hash_get(&g->origins, from->bytes, from->len);
}

static bool counts(const mcq__gate_t* g, const mcq__origin_t* from) {
  return from->len != 0 && g->socket->options.max_per_address >= 0;
}

static int count_in(mcq__gate_t* g, const mcq__origin_t* from) {
  uint32_t* count = guests_from(g, from);
  if (count == NULL)
    return mcq__hash_put(&g->origins, from->bytes, from->len, 1);
  (*count)++;
  return 0;
}

static void count_out(mcq__gate_t* g, const mcq__origin_t* from) {
  uint32_t* count = guests_from(g, from);
  if (--*count == 0) mcq__hash_remove(&g->origins, from->bytes, from->len);
}

static bool too_many_from(const mcq__gate_t* g, const mcq__origin_t* from) {
  if (!counts(g, from)) return false;
  const uint32_t* count = guests_from(g, from);
  return over(count == NULL ? 0 : *count, g->socket->options.max_per_address);
}

/* ---- strangers ----------------------------------------------------------- */

static void no_stranger(mcq__gate_t* g, mcq__guest_t* guest) {
  if (!mcq__node_linked(&guest->node)) return;
  mcq__list_remove(&guest->node);
  g->strange--;
}

/* One that had its time makes room. */
static bool make_room(mcq__gate_t* g) {
  if (g->strange == 0) return false;
  mcq__guest_t* first =
      mcq__container_of(g->strangers.next, mcq__guest_t, node);
  if (mcq__io_now(io_of(g)) - first->since < FAIR_TIME) return false;
  no_stranger(g, first);
  mcq__actor_end(&first->actor, MCQ_ECROWDED, 0);
  return true;
}

/* ---- at the gate --------------------------------------------------------- */

bool mcq__gate_knock(mcq__gate_t* g, const mcq__listener_t* l,
                     uint64_t endpoint, const char* address) {
  const mcq_socket_options_t* o = &g->socket->options;
  const char* limit = NULL;
  if (over(g->guests, o->max_connections))
    limit = "max_connections";
  else if (too_many_from(g, &l->from))
    limit = "max_per_address";
  else if (over(g->strange, o->max_handshakes) && !make_room(g))
    limit = "max_handshakes";
  if (limit != NULL) turn_away(g, endpoint, address, limit);
  return limit == NULL;
}

int mcq__gate_enter(mcq__gate_t* g, mcq__guest_t* guest,
                    const mcq__listener_t* l) {
  if (counts(g, &l->from)) {
    int rc = count_in(g, &l->from);
    if (rc != 0) return rc;
  }
  guest->origin = l->from;
  guest->since = mcq__io_now(io_of(g));
  mcq__list_insert(&g->strangers, &guest->node);
  g->strange++;
  g->guests++;
  return 0;
}

void mcq__gate_known(mcq__gate_t* g, mcq__actor_t* a) {
  no_stranger(g, mcq__container_of(a, mcq__guest_t, actor));
}

void mcq__gate_left(mcq__gate_t* g, mcq__actor_t* a) {
  mcq__guest_t* guest = mcq__container_of(a, mcq__guest_t, actor);
  no_stranger(g, guest);
  if (counts(g, &guest->origin)) count_out(g, &guest->origin);
  g->guests--;
}

/* ---- life ---------------------------------------------------------------- */

int mcq__gate_init(mcq__gate_t* g, mcq_socket_t* s) {
  mcq__io_t* io = &s->host->io;
  uint64_t seed[2] = {mcq__io_random(io), mcq__io_random(io)};
  g->socket = s;
  g->timer.run = on_timer;
  mcq__list_init(&g->strangers);
  mcq__hash_init(&g->origins, s->host->mem, seed);
  int rc = mcq__timers_reserve(&io->turn.timers);
  g->has_timer = rc == 0;
  return rc;
}

void mcq__gate_dispose(mcq__gate_t* g) {
  if (g->socket == NULL) return;
  mcq__io_timer_stop(io_of(g), &g->timer);
  if (g->has_timer) mcq__timers_unreserve(&io_of(g)->turn.timers);
  mcq__hash_dispose(&g->origins);
}
