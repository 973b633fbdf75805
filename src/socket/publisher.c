/* SPDX-License-Identifier: MIT */
/* Subscriptions on the publisher's side (see publisher.h).  The table is the
 * hub's; here is what is told of it and to whom. */
#include "socket/publisher.h"

#include "socket/fanout.h"

static void run_owed(mcq__task_t* task);

int mcq__publisher_init(mcq_socket_t* s, const mcq_socket_options_t* options) {
  mcq__publisher_t* p = mcq__new(s->host->mem, mcq__publisher_t);
  if (p == NULL) return MCQ_ENOMEM;
  s->own = p;
  p->socket = s;
  p->tells = s->pattern->type == MCQ_XPUB;
  p->task.run = run_owed;
  mcq__fifo_init(&p->owed, s->host->mem, sizeof(mcq__slice_t));
  if (options->welcome_len == 0) return 0;
  return mcq__slice_copy(&p->welcome, s->host->pool, options->welcome,
                         options->welcome_len);
}

void mcq__publisher_fini(mcq_socket_t* s) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (p == NULL) return;
  mcq__io_cancel(&p->task);
  mcq__slice_release(&p->welcome);
  while (p->owed.count > 0) {
    mcq__slice_release((mcq__slice_t*) mcq__fifo_first(&p->owed));
    mcq__fifo_shift(&p->owed);
  }
  mcq__fifo_dispose(&p->owed);
  mcq__mem_free(s->host->mem, p);
}

/* The first message of a new queue has room whatever the marks. */
void mcq__publisher_up(mcq_socket_t* s, mcq__actor_t* a) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (p->welcome.len == 0) return;
  mcq__body_t body = {.slices = &p->welcome, .count = 1};
  s->pattern->seats->tell(s, a->peer, &body);
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

static void deliver(mcq_socket_t* s, mcq_peer_t peer, mcq__slice_t frame) {
  mcq_msg_t msg;
  mcq__msg_view(&msg, s->host->pool, &frame, 1, frame.len);
  if (s->options.on_message != NULL) s->options.on_message(s, peer, &msg);
}

static void tell_user(mcq_socket_t* s, mcq__actor_t* a, mcq_frame_t topic,
                      bool wanted) {
  mcq__slice_t frame;
  if (!mcq__publisher_of(s)->tells) return;
  if (put_together(s, topic, wanted, &frame) != 0) {
    mcq__actor_end(a, MCQ_ENOMEM, 0); /* it will say it again */
    return;
  }
  deliver(s, a->peer, frame);
  mcq__slice_release(&frame);
}

void mcq__publisher_owes(mcq_socket_t* s, mcq_frame_t prefix) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (!p->tells || s->closing) return;
  mcq__slice_t* slot = (mcq__slice_t*) mcq__fifo_push(&p->owed);
  if (slot == NULL) return;
  if (put_together(s, prefix, false, slot) != 0)
    mcq__fifo_pop(&p->owed);
  else
    mcq__io_work(&s->host->io, &p->task);
}

static void run_owed(mcq__task_t* task) {
  mcq__publisher_t* p = mcq__container_of(task, mcq__publisher_t, task);
  mcq_socket_t* s = p->socket;
  while (p->owed.count > 0 && !s->config.paused && !s->closing) {
    mcq__slice_t frame = *(mcq__slice_t*) mcq__fifo_first(&p->owed);
    mcq__fifo_shift(&p->owed);
    deliver(s, (mcq_peer_t){0, 0}, frame);
    mcq__slice_release(&frame);
  }
}

void mcq__publisher_resumed(mcq_socket_t* s) {
  mcq__publisher_t* p = mcq__publisher_of(s);
  if (p->owed.count > 0) mcq__io_work(&s->host->io, &p->task);
}

/* ---- subscriptions of peers ---------------------------------------------- */

static void tell_event(mcq_socket_t* s, const mcq__actor_t* a,
                       mcq_frame_t topic, bool wanted) {
  mcq_event_t event = {
      .kind = wanted ? MCQ_EVENT_SUBSCRIBED : MCQ_EVENT_UNSUBSCRIBED,
      .address = a->address,
      .peer = a->peer,
      .text = "",
      .topic = topic.data,
      .topic_len = topic.len};
  mcq__socket_event(s, &event);
}

static void subscribe(mcq_socket_t* s, mcq__actor_t* a, mcq_frame_t topic) {
  int flags = s->options.flags;
  bool first = false;
  int rc = mcq__pubsub_subscribe(&s->hub.pubsub, a->peer, topic, &first);
  if (rc != 0 && rc != MCQ_EEXIST) {
    mcq__actor_end(a, rc == MCQ_EMSGLIMIT ? MCQ_ELIMIT : rc, 0);
    return;
  }
  if (rc == 0) tell_event(s, a, topic, true);
  if (first || (flags & (MCQ_XPUB_VERBOSE | MCQ_XPUB_VERBOSER)))
    tell_user(s, a, topic, true);
}

static void cancel(mcq_socket_t* s, mcq__actor_t* a, mcq_frame_t topic) {
  bool last = false;
  int rc = mcq__pubsub_cancel(&s->hub.pubsub, a->peer, topic, &last);
  if (rc != 0) {
    s->counts.messages_discarded++;
    return;
  }
  tell_event(s, a, topic, false);
  if (last || (s->options.flags & MCQ_XPUB_VERBOSER))
    tell_user(s, a, topic, false);
}

static void told(mcq_socket_t* s, mcq__actor_t* a, mcq_frame_t topic,
                 bool wanted) {
  if (s->options.flags & MCQ_XPUB_MANUAL)
    tell_user(s, a, topic, wanted);
  else if (wanted)
    subscribe(s, a, topic);
  else
    cancel(s, a, topic);
  s->counts.subscriptions = mcq__pubsub_prefixes(&s->hub.pubsub);
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
  told(s, a, topic, wanted);
  return true;
}
