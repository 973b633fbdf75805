/* SPDX-License-Identifier: MIT */
/* Subscriptions on the subscriber's side (see subscriber.h).  Called by the
 * types SUB and XSUB; never looks at a body. */
#include "socket/subscriber.h"

#include "base/cursor.h"

static void run_ask(mcq__task_t* task);

int mcq__subscriber_init(mcq_socket_t* s, const mcq_socket_options_t* options) {
  (void) options;
  mcq__subscriber_t* u = mcq__new(s->host->mem, mcq__subscriber_t);
  if (u == NULL) return MCQ_ENOMEM;
  u->socket = s;
  u->ask.run = run_ask;
  mcq__prefix_init(&u->wanted, s->host->mem);
  s->own = u;
  return 0;
}

void mcq__subscriber_fini(mcq_socket_t* s) {
  mcq__subscriber_t* u = mcq__subscriber_of(s);
  if (u == NULL) return;
  mcq__io_cancel(&u->ask);
  mcq__prefix_dispose(&u->wanted);
  mcq__mem_free(s->host->mem, u);
}

/* ---- telling publishers -------------------------------------------------- */

/* A publisher that could not be told is left, when it has been sent all that
 * was meant for it; it is told all when it is back. */
static void give_up(mcq__actor_t* a, int code) {
  mcq_socket_t* s = (mcq_socket_t*) a->config->owner;
  s->pattern->seats->rest(s, a->peer);
  mcq__actor_end(a, code, 0);
}

static void tell(mcq__actor_t* a, mcq_frame_t topic, bool wanted) {
  if (a->state != MCQ__ACTOR_UP) return;
  mcq__slice_t prefix = mcq__slice_static(topic.data, topic.len);
  int rc = mcq__actor_subscribe(a, prefix, wanted);
  if (rc != 0) give_up(a, rc);
}

static void tell_all(const mcq_socket_t* s, mcq_frame_t topic, bool wanted) {
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next)
    tell(mcq__container_of(n, mcq__actor_t, node), topic, wanted);
}

/* PING is of ZMTP 3.1. */
static bool answers_pings(const mcq__actor_t* a) {
  return a->state == MCQ__ACTOR_UP &&
         a->config->protocol->hello(a->session)->version_minor > 0;
}

static void run_ask(mcq__task_t* task) {
  mcq__subscriber_t* u = mcq__container_of(task, mcq__subscriber_t, ask);
  mcq_socket_t* s = u->socket;
  uint8_t context[8];
  mcq__put_u64(context, ++u->asked);
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (!answers_pings(a)) continue;
    int rc = mcq__actor_ping(a, mcq__slice_static(context, sizeof context));
    if (rc != 0) give_up(a, rc);
  }
}

/* Whoever listens to events learns when what he wants is in force. */
static void ask_later(mcq__subscriber_t* u) {
  mcq_socket_t* s = u->socket;
  if (s->options.on_event != NULL) mcq__io_work(&s->host->io, &u->ask);
}

/* An answer that more was subscribed behind is not the last one. */
void mcq__subscriber_pong(mcq_socket_t* s, mcq__actor_t* a,
                          mcq__slice_t context) {
  const mcq__subscriber_t* u = mcq__subscriber_of(s);
  uint8_t last[8];
  if (mcq__node_linked(&u->ask.node)) return;
  mcq__put_u64(last, u->asked);
  if (!mcq__slice_equal(context, last, sizeof last)) return;
  mcq_event_t event = mcq__events_of(a, MCQ_EVENT_SUBSCRIBED);
  mcq__socket_event(s, &event);
}

static void tell_one(void* arg, mcq_frame_t prefix, bool last) {
  (void) last;
  tell((mcq__actor_t*) arg, prefix, true);
}

void mcq__subscriber_up(mcq_socket_t* s, mcq__actor_t* a) {
  mcq__subscriber_t* u = mcq__subscriber_of(s);
  mcq__prefix_each(&u->wanted, tell_one, a);
  if (mcq__prefix_count(&u->wanted) > 0) ask_later(u);
}

/* ---- counting ------------------------------------------------------------ */

/* How often `topic` was subscribed. */
static uint32_t count_of(const mcq__prefix_t* wanted, mcq_frame_t topic) {
  uint32_t low = 0;
  uint32_t high = 1;
  while (mcq__prefix_holds(wanted, high - 1, topic)) {
    low = high;
    high *= 2;
  }
  while (low + 1 < high) { /* more than `low` - 1, not `high` times */
    uint32_t middle = low + (high - low) / 2;
    if (mcq__prefix_holds(wanted, middle - 1, topic))
      low = middle;
    else
      high = middle;
  }
  return low;
}

int mcq__subscriber_add(mcq_socket_t* s, mcq_frame_t topic, bool always) {
  mcq__subscriber_t* u = mcq__subscriber_of(s);
  if (topic.len > MCQ__PREFIX_MAX) return MCQ_EMSGLIMIT;
  uint32_t count = count_of(&u->wanted, topic);
  bool first;
  int rc = mcq__prefix_reserve(&u->wanted, count);
  if (rc == 0) rc = mcq__prefix_add(&u->wanted, count, topic, &first);
  u->last = (mcq__stem_t){0};
  if (rc != 0) return rc;
  if (first || always) tell_all(s, topic, true);
  ask_later(u);
  return 0;
}

int mcq__subscriber_remove(mcq_socket_t* s, mcq_frame_t topic, bool always) {
  mcq__subscriber_t* u = mcq__subscriber_of(s);
  uint32_t count = count_of(&u->wanted, topic);
  if (count == 0) return MCQ_ENOENT;
  bool last;
  mcq__prefix_remove(&u->wanted, count - 1, topic, &last);
  u->last = (mcq__stem_t){0};
  if (last || always) tell_all(s, topic, false);
  return 0;
}

bool mcq__subscriber_wants(const mcq_socket_t* s, mcq_frame_t topic) {
  mcq__subscriber_t* u = mcq__subscriber_of(s);
  return mcq__prefix_matches(&u->wanted, topic, &u->last);
}

size_t mcq__subscriber_topics(const mcq_socket_t* s) {
  return mcq__prefix_count(&mcq__subscriber_of(s)->wanted);
}
