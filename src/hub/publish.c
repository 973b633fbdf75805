/* SPDX-License-Identifier: MIT */
/* PubSubHub: one message to many.  Publishing sockets call it with the messages
 * of their user.  Of a body it reads nothing; it never queues a message, though
 * it may keep some together until they are told, and never calls anything but
 * ports and what it is given to call. */
#include "hub/pubsub.h"

/* So many messages go by before an audience that had no room to promise is
 * asked again. */
#define DOUBT 32

/* Room for fewer messages than that is not worth a promise where the others can
 * have one: whoever is full must not hold them up. */
#define ENOUGH 32

/* ---- who is meant -------------------------------------------------------- */

static void list(mcq__pubsub_t* h, uint32_t slot) {
  h->marks[slot] = h->pass;
  h->audience.slots[h->audience.count++] = slot;
}

/* Each holder of a prefix on the chain once: whoever this pass has marked is
 * listed. */
static void list_holders(mcq__pubsub_t* h, mcq__order_chain_t chain) {
  uint32_t id;
  while ((id = mcq__order_next(&chain)) != MCQ__NO_TEXT) {
    mcq__holders_t holders = mcq__prefix_holders(&h->prefixes, id);
    uint32_t slot;
    while ((slot = mcq__holders_next(&holders)) != MCQ__NO_SLOT)
      if (h->marks[slot] != h->pass) list(h, slot);
  }
}

/* Each live peer that holds none, those that hold nothing at all too. */
static void list_others(mcq__pubsub_t* h, mcq__order_chain_t chain) {
  list_holders(h, chain);
  h->audience.count = 0;
  for (uint32_t slot = 0; slot < h->roster.used; slot++)
    if (h->roster.seats[slot].epoch != 0 && h->marks[slot] != h->pass)
      list(h, slot);
}

void mcq__pubsub_upset(mcq__pubsub_t* h) {
  mcq__pubsub_settle(h);
  h->audience.known = false;
  h->audience.stem.set = false;
}

/* Another topic with the same audience: the next may be told by less. */
static void probe(mcq__pubsub_t* h) {
  mcq__audience_t* a = &h->audience;
  const mcq__prefix_t* t = &h->prefixes;
  if (a->probed || a->text == MCQ__NO_TEXT) return;
  a->probed = true;
  if (mcq__prefix_settles(t, a->text))
    a->stem = mcq__stem_of(&t->order.texts, a->text);
}

/* The audience of a topic, anew unless it is the last one's. */
static size_t search(mcq__pubsub_t* h, mcq_frame_t topic, bool inverted) {
  mcq__audience_t* a = &h->audience;
  mcq__order_chain_t chain = mcq__prefix_match(&h->prefixes, topic);
  mcq__order_chain_t first = chain;
  uint32_t text = mcq__order_next(&first);
  if (mcq__likely(a->known && a->text == text && a->inverted == inverted)) {
    probe(h);
    return a->count;
  }
  mcq__pubsub_upset(h);
  h->pass++;
  a->count = 0;
  if (inverted)
    list_others(h, chain);
  else
    list_holders(h, chain);
  a->known = true;
  a->text = text;
  a->inverted = inverted;
  a->sure = 0;
  a->doubt = 1; /* not before the second message to the same peers */
  a->probed = false;
  return a->count;
}

size_t mcq__pubsub_find(mcq__pubsub_t* h, mcq_frame_t topic, bool inverted) {
  const mcq__audience_t* a = &h->audience;
  if (mcq__likely(a->inverted == inverted && mcq__stem_begins(&a->stem, topic)))
    return a->count;
  return search(h, topic, inverted);
}

/* ---- telling ------------------------------------------------------------- */

static mcq__port_t* port_of(const mcq__pubsub_t* h, size_t i) {
  return h->roster.seats[h->audience.slots[i]].port;
}

/* Those of the audience from `i` on, before `end`. */
static int tell_some(mcq__pubsub_t* h, size_t i, size_t end,
                     const mcq__peer_cmd_t cmd, mcq__missed_cb missed,
                     void* arg) {
  const mcq__wired_t* wired = cmd.body->wired;
  uint64_t count = wired == NULL ? 1 : wired->count;
  int told = 0;
  for (; i < end; i++) {
    mcq__port_t* port = port_of(h, i);
    int rc = port->tell(port, &cmd);
    if (mcq__unlikely(rc != 0) && missed != NULL) {
      mcq_peer_t peer = mcq__roster_peer(&h->roster, h->audience.slots[i]);
      while (rc != 0 && missed(arg, peer, rc, count))
        rc = port->tell(port, &cmd);
    }
    told += rc == 0;
  }
  return told;
}

void mcq__pubsub_tell_kept(mcq__pubsub_t* h) {
  mcq__promise_t p = h->promise;
  h->promise.wired = (mcq__wired_t){0};
  mcq__body_t body = {.wired = &p.wired};
  tell_some(h, 0, h->audience.ready, (mcq__peer_cmd_t){&body, true}, p.missed,
            p.arg);
  mcq__slice_release(&p.wired.bytes);
}

/* ---- promising ----------------------------------------------------------- */

/* With `refuse` all of them have to be ready for it. */
static bool is_sure(const mcq__audience_t* a, const mcq__body_t* body,
                    bool refuse) {
  return body->wired != NULL && a->sure > 0 &&
         body->wired->size <= a->sure_size && (!refuse || a->ready == a->count);
}

static uint64_t room_of(const mcq__pubsub_t* h, size_t i) {
  mcq__port_t* port = port_of(h, i);
  return port->room(port, h->audience.sure_size);
}

/* Nobody gets it if one of them has no room. */
static void ask_all(mcq__pubsub_t* h) {
  mcq__audience_t* a = &h->audience;
  a->ready = a->count;
  for (size_t i = 0; i < a->count && a->sure > 0; i++) {
    uint64_t room = room_of(h, i);
    if (room < a->sure) a->sure = room;
  }
}

/* Those with enough of it come first. */
static void ask_each(mcq__pubsub_t* h) {
  mcq__audience_t* a = &h->audience;
  a->ready = 0;
  for (size_t i = 0; i < a->count; i++) {
    uint64_t room = room_of(h, i);
    if (room < ENOUGH) continue;
    uint32_t slot = a->slots[i];
    a->slots[i] = a->slots[a->ready];
    a->slots[a->ready++] = slot;
    if (room < a->sure) a->sure = room;
  }
  if (a->ready == 0) a->sure = 0;
}

/* What peers have room for only grows until they are told something, so that
 * they need not be asked before each message.  They are asked for room for
 * somewhat larger ones, of which the next may be. */
static void ask_for_room(mcq__pubsub_t* h, const mcq__body_t* body,
                         bool refuse) {
  mcq__audience_t* a = &h->audience;
  size_t size = 64;
  while (body->wired != NULL && size < body->wired->size) size *= 2;
  mcq__pubsub_settle(h);
  a->sure = UINT64_MAX;
  a->sure_size = size;
  if (refuse)
    ask_all(h);
  else
    ask_each(h);
  a->doubt = a->sure > 1 ? 0 : DOUBT;
}

/* Adds it to what waits, or lets it be the first. */
static void promise(mcq__pubsub_t* h, const mcq__wired_t* wired,
                    mcq__missed_cb missed, void* arg) {
  mcq__promise_t* p = &h->promise;
  bool fits = p->wired.count > 0 && p->wired.size == wired->size &&
              mcq__slice_join(&p->wired.bytes, wired->bytes);
  if (mcq__likely(fits)) {
    p->wired.count += wired->count;
    p->wired.frames += wired->frames;
    p->wired.payload += wired->payload;
    return;
  }
  mcq__pubsub_settle(h);
  p->wired = *wired;
  mcq__slice_retain(p->wired.bytes);
  p->missed = missed;
  p->arg = arg;
}

int mcq__pubsub_publish(mcq__pubsub_t* h, const mcq__body_t* body, bool refuse,
                        mcq__missed_cb missed, void* arg) {
  mcq__audience_t* a = &h->audience;
  const mcq__peer_cmd_t cmd = {body, false};
  if (mcq__unlikely(!is_sure(a, body, refuse))) {
    bool doubtful = a->doubt > 0;
    if (doubtful) a->doubt--;
    if (refuse || (!doubtful && body->wired != NULL))
      ask_for_room(h, body, refuse);
    if (refuse && a->sure == 0) return MCQ_EAGAIN;
  }
  if (mcq__likely(is_sure(a, body, refuse) && a->doubt == 0)) {
    a->sure--;
    promise(h, body->wired, missed, arg);
    return (int) a->ready + tell_some(h, a->ready, a->count, cmd, missed, arg);
  }
  mcq__pubsub_settle(h);
  a->sure = 0;
  return tell_some(h, 0, a->count, cmd, missed, arg);
}

int mcq__pubsub_tell_sole(mcq__pubsub_t* h, const mcq__body_t* body) {
  mcq__check(h->audience.count == 1 && body->wired == NULL);
  mcq__port_t* port = port_of(h, 0);
  const mcq__peer_cmd_t cmd = {body, false};
  mcq__pubsub_settle(h);
  h->audience.sure = 0;
  return port->tell(port, &cmd);
}

int mcq__pubsub_tell(mcq__pubsub_t* h, mcq_peer_t peer,
                     const mcq__body_t* body) {
  mcq__port_t* port = mcq__roster_port(&h->roster, peer);
  mcq__pubsub_settle(h);
  h->audience.sure = 0;
  if (port == NULL) return MCQ_EPEERGONE;
  const mcq__peer_cmd_t cmd = {body, false};
  return port->tell(port, &cmd);
}
