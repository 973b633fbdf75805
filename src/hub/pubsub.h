/* SPDX-License-Identifier: MIT */
/* PubSubHub: one message to everyone who asked for its topic.
 *
 * PUB and XPUB use it.  It owns who is there (roster) and what they asked for
 * (prefix table), both by slot and epoch: a peer needs no routing id, and what
 * an old epoch asked for goes with it.  A peer is told once, however many of
 * its prefixes match. */
#ifndef MCQ__HUB_PUBSUB_H
#define MCQ__HUB_PUBSUB_H

#include "hub/prefix.h"
#include "hub/roster.h"

/* What one peer may hold; 0: no limit. */
typedef struct mcq__pubsub_limits {
  size_t prefixes;
  size_t prefix_bytes; /* of one prefix */
  size_t total_bytes;  /* of all its prefixes */
} mcq__pubsub_limits_t;

typedef struct mcq__pubsub {
  mcq__mem_t* mem;
  mcq__roster_t roster;
  mcq__prefix_t prefixes;
  mcq__pubsub_limits_t limits;
  uint64_t* marks; /* by slot: the last pass that came by */
  size_t cap;
  uint64_t pass;
} mcq__pubsub_t;

/* How a message is published; flags. */
enum {
  MCQ__PUBLISH_INVERT = 1, /* to those who did not ask for it */
  MCQ__PUBLISH_NODROP = 2  /* to all of them or, if one is full, to nobody */
};

/* A port did not take the message and answered `code`, MCQ_EAGAIN when it is
 * full.  True: try this peer once more, there may be room now.  False: it
 * loses this message, as it does whatever the answer when there is no chance
 * any more.  May not change the hub. */
typedef bool (*mcq__missed_cb)(void* arg, mcq_peer_t peer, int code,
                               bool chance);

void mcq__pubsub_init(mcq__pubsub_t* h, mcq__mem_t* mem, uint64_t* epochs,
                      const mcq__pubsub_limits_t* limits);
void mcq__pubsub_dispose(mcq__pubsub_t* h);

/* UP.  Stamps the next epoch and writes the handle to `*out`.  With ev->peer
 * set the seat and its port are kept, its old handle goes stale, and first
 * all that was asked for under it goes, each prefix told to `gone` (may be
 * NULL).  0, MCQ_ENOMEM, or MCQ_EPEERGONE when ev->peer is stale; nothing has
 * changed then. */
int mcq__pubsub_up(mcq__pubsub_t* h, const mcq__hub_event_t* ev,
                   mcq_peer_t* out, mcq__prefix_cb gone, void* arg);

/* DOWN.  All that it asked for goes with it.  False, and nothing changed, when
 * the handle is stale. */
bool mcq__pubsub_down(mcq__pubsub_t* h, mcq_peer_t peer, mcq__prefix_cb gone,
                      void* arg);

/* 0, and whether the peer is the first to hold this prefix; MCQ_EEXIST: it
 * does already; MCQ_EMSGLIMIT: more than it may; MCQ_EPEERGONE; MCQ_ENOMEM.
 * Nothing changed unless 0. */
int mcq__pubsub_subscribe(mcq__pubsub_t* h, mcq_peer_t peer, mcq_frame_t prefix,
                          bool* first);

/* 0, and whether the peer was the last to hold this prefix; MCQ_ENOENT: it
 * does not; MCQ_EPEERGONE. */
int mcq__pubsub_cancel(mcq__pubsub_t* h, mcq_peer_t peer, mcq_frame_t prefix,
                       bool* last);

/* Tells the message to each peer that holds a prefix of its first frame, or
 * to each that does not, and returns how many took it.  With NODROP
 * MCQ_EAGAIN, and nobody was told, when one of them has no room.  `missed` may
 * be NULL.  Never allocates.  Hot. */
int mcq__pubsub_publish(mcq__pubsub_t* h, const mcq__body_t* body, int flags,
                        mcq__missed_cb missed, void* arg);

/* Tells one peer, whatever it asked for.  What the port answers, or
 * MCQ_EPEERGONE. */
int mcq__pubsub_tell(mcq__pubsub_t* h, mcq_peer_t peer,
                     const mcq__body_t* body);

/* Distinct prefixes. */
static inline size_t mcq__pubsub_prefixes(const mcq__pubsub_t* h) {
  return mcq__prefix_count(&h->prefixes);
}

#endif
