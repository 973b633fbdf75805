/* SPDX-License-Identifier: MIT */
/* Subscriptions on the publisher's side (see publisher.h).  The table is the
 * hub's; here is what is told of it and to whom. */
#include "socket/publisher.h"

#include "socket/fanout.h"

static void run_notices(mcq__task_t* task);

static bool counts(const mcq_socket_t* s) {
  return (s->options.flags & MCQ_PUB_COUNT_SUBS) != 0;
}

static void init_repeats(mcq_socket_t* s) {
  mcq__io_t* io = &s->host->io;
  if (!counts(s)) return;
  uint64_t seed[2] = {mcq__io_random(io), mcq__io_random(io)};
  mcq__repeats_init(&mcq__publisher_of(s)->again, s->host->mem, seed);
}

int mcq__publisher_init(mcq_socket_t* s, const mcq_socket_options_t* options) {
  mcq__publisher_t* p = mcq__new(s->host->mem, mcq__publisher_t);
  if (p == NULL) return MCQ_ENOMEM;
  s->own = p;
  p->socket = s;
  p->tells = s->pattern->type == MCQ_XPUB;
  p->task.run = run_notices;
  mcq__prefix_init(&p->asked, s->host->mem);
  init_repeats(s);
  mcq__fifo_init(&p->notices, s->host->mem, sizeof(mcq__notice_t));
  if (options->welcome_len == 0) return 0;
  return mcq__slice_copy(&p->welcome, s->host->pool, options->welcome,
                         options->welcome_len);
}

static mcq__notice_t* first_notice(const mcq__publisher_t* p) {
  return (mcq__notice_t*) mcq__fifo_first(&p->notices);
}

void mcq__publisher_fini(mcq_socket_t* s) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (p == NULL) return;
  mcq__io_cancel(&p->task);
  mcq__slice_release(&p->welcome);
  mcq__prefix_dispose(&p->asked);
  mcq__repeats_dispose(&p->again);
  while (p->notices.count > 0) {
    mcq__slice_release(&first_notice(p)->frame);
    mcq__fifo_shift(&p->notices);
  }
  mcq__fifo_dispose(&p->notices);
  mcq__mem_free(s->host->mem, p);
}

/* Whatever the marks say: where what waited for this connection has filled its
 * queue, the oldest of it goes, before any of it is handed over and cannot. */
void mcq__publisher_up(mcq_socket_t* s, mcq__actor_t* a) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (p->welcome.len == 0) return;
  mcq__body_t body = {.slices = &p->welcome, .count = 1};
  while (mcq__outbox_full(a->outbox) && mcq__fanout_shed(s, a)) continue;
  int rc = s->pattern->seats->tell(s, a->peer, &body);
  if (rc != 0) mcq__actor_end(a, rc, 0); /* welcome next time */
}

/* ---- subscriptions as messages to the user ------------------------------- */

/* 1 or 0 and the topic, counting. */
static int put_together(const mcq_socket_t* s, mcq_frame_t topic, bool wanted,
                        mcq__slice_t* out) {
  uint8_t lead = wanted ? 1 : 0;
  mcq__window_t w = {0};
  int rc = mcq__window_open_exact(&w, s->host->pool, 1 + topic.len);
  if (rc != 0) return rc;
  mcq__window_poke(&w, 0, &lead, 1);
  mcq__window_poke(&w, 1, topic.data, topic.len);
  *out = mcq__window_freeze(&w, 1 + topic.len);
  mcq__window_close(&w);
  return 0;
}

/* Notes what the user may have to hear, before anything else is done about it:
 * then nothing has happened where there is no memory for it. */
static int note(mcq_socket_t* s, mcq_peer_t peer, mcq_frame_t topic,
                bool wanted) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (!p->tells || s->closing) return 0;
  mcq__notice_t* notice = (mcq__notice_t*) mcq__fifo_push(&p->notices);
  if (notice == NULL) return MCQ_ENOMEM;
  notice->peer = peer;
  int rc = put_together(s, topic, wanted, &notice->frame);
  if (rc != 0) mcq__fifo_pop(&p->notices);
  return rc;
}

/* The last note was not of interest after all. */
static void take_back(mcq_socket_t* s) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (!p->tells || s->closing) return;
  mcq__slice_release(&((mcq__notice_t*) mcq__fifo_last(&p->notices))->frame);
  mcq__fifo_pop(&p->notices);
}

static void deliver(mcq_socket_t* s, const mcq__notice_t* notice) {
  mcq_msg_t msg;
  mcq__msg_view(&msg, s->host->pool, &notice->frame, 1, notice->frame.len);
  s->tally.messages_in++;
  s->tally.frames_in++;
  s->tally.bytes_in += notice->frame.len;
  if (s->options.on_message != NULL)
    s->options.on_message(s, notice->peer, &msg);
}

/* What is noted reaches the user in this order, as far as he takes it: a
 * proxy that heard of a topic's end after its new beginning would lose it. */
static void hand_out(mcq__publisher_t* p) {
  mcq_socket_t* s = p->socket;
  while (p->notices.count > 0 && !s->config.paused && !s->closing) {
    mcq__notice_t notice = *first_notice(p);
    mcq__fifo_shift(&p->notices);
    deliver(s, &notice);
    mcq__slice_release(&notice.frame);
  }
}

static void run_notices(mcq__task_t* task) {
  hand_out(mcq__container_of(task, mcq__publisher_t, task));
}

void mcq__publisher_resumed(mcq_socket_t* s) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (p->notices.count > 0) mcq__io_work(&s->host->io, &p->task);
}

/* ---- peers that leave ---------------------------------------------------- */

/* Without memory a cancellation is lost: there is nobody left to repeat it. */
static void owe(mcq_socket_t* s, mcq_frame_t prefix) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  (void) note(s, (mcq_peer_t){0, 0}, prefix, false);
  if (p->notices.count > 0) mcq__io_work(&s->host->io, &p->task);
}

void mcq__publisher_owes(mcq_socket_t* s, mcq_frame_t prefix, bool last) {
  if (s->options.flags & MCQ_XPUB_MANUAL) return; /* he made it himself */
  if (last || (s->options.flags & MCQ_XPUB_VERBOSER)) owe(s, prefix);
}

static void owe_asked(void* arg, mcq_frame_t prefix, bool last) {
  (void) last;
  owe((mcq_socket_t*) arg, prefix);
}

void mcq__publisher_left(mcq_socket_t* s, uint32_t slot) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  mcq__repeats_drop(&p->again, &s->hub.pubsub.prefixes, slot);
  mcq__prefix_drop(&p->asked, slot, owe_asked, s);
}

int mcq__publisher_take(mcq_socket_t* s, mcq_peer_t peer, mcq_frame_t prefix) {
  mcq__pubsub_t* hub = &s->hub.pubsub;
  bool last;
  if (mcq__roster_port(s->roster, peer) == NULL) return MCQ_EPEERGONE;
  mcq__repeats_forget(&mcq__publisher_of(s)->again, &hub->prefixes, peer.slot,
                      prefix);
  return mcq__pubsub_cancel(hub, peer, prefix, &last);
}

/* ---- subscriptions of peers ---------------------------------------------- */

static void tell_event(mcq_socket_t* s, const mcq__actor_t* a,
                       mcq_frame_t topic, bool wanted) {
  mcq_event_t event =
      mcq__events_of(a, wanted ? MCQ_EVENT_SUBSCRIBED : MCQ_EVENT_UNSUBSCRIBED);
  event.topic = topic.data;
  event.topic_len = topic.len;
  mcq__socket_event(s, &event);
}

/* Counted or not, it is nothing new. */
static int repeat(mcq_socket_t* s, const mcq__actor_t* a, mcq_frame_t topic) {
  int rc = mcq__repeats_add(&mcq__publisher_of(s)->again,
                            &s->hub.pubsub.prefixes, a->peer.slot, topic);
  return rc == 0 ? MCQ_EEXIST : rc;
}

static int subscribe(mcq_socket_t* s, const mcq__actor_t* a, mcq_frame_t topic,
                     bool* tell) {
  bool first = false;
  int rc = mcq__pubsub_subscribe(&s->hub.pubsub, a->peer, topic, &first);
  if (rc == MCQ_EEXIST && counts(s)) rc = repeat(s, a, topic);
  *tell =
      first || (s->options.flags & (MCQ_XPUB_VERBOSE | MCQ_XPUB_VERBOSER)) != 0;
  return rc;
}

static int cancel(mcq_socket_t* s, const mcq__actor_t* a, mcq_frame_t topic,
                  bool* tell) {
  bool last = false;
  bool every = (s->options.flags & MCQ_XPUB_VERBOSER) != 0;
  mcq__pubsub_t* hub = &s->hub.pubsub;
  *tell = every;
  if (mcq__repeats_remove(&mcq__publisher_of(s)->again, &hub->prefixes,
                          a->peer.slot, topic))
    return MCQ_EEXIST; /* it still wants it */
  int rc = mcq__pubsub_cancel(hub, a->peer, topic, &last);
  *tell = rc == 0 && (last || every);
  return rc;
}

/* MCQ_XPUB_MANUAL: the user hears of everything and decides.  What was asked
 * for is kept for the day when the peer leaves. */
static int ask(mcq_socket_t* s, const mcq__actor_t* a, mcq_frame_t topic,
               bool wanted, bool* tell) {
  mcq__prefix_t* asked = &mcq__publisher_of(s)->asked;
  const mcq__pubsub_limits_t* limits = &s->hub.pubsub.limits;
  uint32_t slot = a->peer.slot;
  bool only;
  *tell = true;
  if (!wanted) return mcq__prefix_remove(asked, slot, topic, &only);
  if (mcq__prefix_holds(asked, slot, topic)) return MCQ_EEXIST;
  if (mcq__pubsub_over(limits, mcq__prefix_share(asked, slot), topic.len))
    return MCQ_EMSGLIMIT;
  int rc = mcq__prefix_reserve(asked, slot);
  return rc != 0 ? rc : mcq__prefix_add(asked, slot, topic, &only);
}

static void told(mcq_socket_t* s, mcq__actor_t* a, mcq_frame_t topic,
                 bool wanted) {
  bool tell = false;
  mcq__actor_spoke(a);
  bool manual = (s->options.flags & MCQ_XPUB_MANUAL) != 0;
  int rc = note(s, a->peer, topic, wanted);
  if (rc == 0) {
    rc = manual   ? ask(s, a, topic, wanted, &tell)
         : wanted ? subscribe(s, a, topic, &tell)
                  : cancel(s, a, topic, &tell);
    bool harmless = rc == 0 || rc == MCQ_EEXIST || rc == MCQ_ENOENT;
    if (!tell || !harmless) take_back(s);
    if (rc == MCQ_ENOENT && !manual) s->counts.messages_discarded++;
    if (harmless) hand_out(mcq__publisher_of(s));
    if (rc == 0 && !manual) tell_event(s, a, topic, wanted);
    if (harmless) return;
  }
  mcq__fanout_settle(s); /* what was sent before */
  mcq__actor_end(a, rc == MCQ_EMSGLIMIT ? MCQ_ELIMIT : rc, 0);
}

void mcq__publisher_subscribed(mcq_socket_t* s, mcq__actor_t* a,
                               mcq__slice_t prefix, bool wanted) {
  told(s, a, (mcq_frame_t){prefix.data, prefix.len}, wanted);
}

bool mcq__publisher_heard(mcq_socket_t* s, mcq__actor_t* a,
                          const mcq_msg_t* msg) {
  mcq_frame_t frame = {msg->frames[0].data, msg->frames[0].len};
  mcq_frame_t topic;
  bool wanted;
  if (msg->count != 1 || !mcq__subscription(frame, &topic, &wanted))
    return false;
  mcq__socket_aside(a, msg);
  told(s, a, topic, wanted);
  return true;
}

size_t mcq__publisher_topics(const mcq_socket_t* s) {
  return mcq__pubsub_prefixes(&s->hub.pubsub);
}
