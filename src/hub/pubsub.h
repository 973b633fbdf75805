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

/* Whether one more prefix of that length is more than who has this share may
 * hold. */
static inline bool mcq__pubsub_over(const mcq__pubsub_limits_t* l,
                                    mcq__prefix_share_t share, size_t len) {
  if (l->prefix_bytes != 0 && len > l->prefix_bytes) return true;
  if (l->prefixes != 0 && share.count >= l->prefixes) return true;
  if (l->total_bytes == 0) return false;
  return share.bytes > l->total_bytes || len > l->total_bytes - share.bytes;
}

/* Ports did not take what they were told and answered `code`, MCQ_EAGAIN when
 * full.  True: try this peer again, there is more room now.  False: it loses
 * these `count` messages.  May not change the hub. */
typedef bool (*mcq__missed_cb)(void* arg, mcq_peer_t peer, int code,
                               uint64_t count);

/* Who is meant: the slots that the last search found.  The longest prefix of
 * a topic tells them all, so that the next topic often needs no new list. */
typedef struct mcq__audience {
  uint32_t* slots;
  size_t cap;
  size_t count;
  size_t ready;  /* of these, the first: to them alone is anything promised */
  bool known;    /* and nothing has changed since */
  bool inverted; /* all others are meant */
  uint32_t text; /* the longest prefix, or MCQ__NO_TEXT */
  mcq__stem_t stem; /* of it, where it is known to tell them all */
  bool probed;      /* whether it does */
  unsigned doubt;   /* messages until it may be worth asking for room */
  uint64_t sure;    /* messages that the ready ones have room for */
  size_t sure_size; /* of so many bytes at most */
} mcq__audience_t;

/* What the audience has been promised: it is told all of it at once, for
 * telling one thing to hundreds takes longer than putting it together. */
typedef struct mcq__promise {
  mcq__wired_t wired; /* counting; no messages: nothing waits */
  mcq__missed_cb missed;
  void* arg;
} mcq__promise_t;

typedef struct mcq__pubsub {
  mcq__mem_t* mem;
  mcq__roster_t roster;
  mcq__prefix_t prefixes;
  mcq__pubsub_limits_t limits;
  uint64_t* marks; /* by slot: the last pass that came by */
  size_t cap;
  uint64_t pass;
  mcq__audience_t audience;
  mcq__promise_t promise;
} mcq__pubsub_t;

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

/* Finds who is meant by a message with this first frame: each that holds a
 * prefix of it or, inverted, each that does not.  Returns how many. */
size_t mcq__pubsub_find(mcq__pubsub_t* h, mcq_frame_t topic, bool inverted);

/* Tells the message to those found just before; how many took it or, with
 * `refuse`, MCQ_EAGAIN where one of them has no room, and then nobody was told.
 * A wired one that all are sure to have room for may be kept until the next
 * call of this hub that is about them; see mcq__pubsub_settle.  `missed` may be
 * NULL.  Never allocates.  Hot. */
int mcq__pubsub_publish(mcq__pubsub_t* h, const mcq__body_t* body, bool refuse,
                        mcq__missed_cb missed, void* arg);

/* Tells the message, not wired, to the only one that was found just before.
 * What the port answers; unless 0 nothing has happened yet.  Hot. */
int mcq__pubsub_tell_sole(mcq__pubsub_t* h, const mcq__body_t* body);

/* Whether something is kept, and telling it.  To be called before the loop
 * polls, and before anything is done to a peer or is counted. */
static inline bool mcq__pubsub_waits(const mcq__pubsub_t* h) {
  return h->promise.wired.count != 0;
}
void mcq__pubsub_tell_kept(mcq__pubsub_t* h);
static inline void mcq__pubsub_settle(mcq__pubsub_t* h) {
  if (mcq__unlikely(mcq__pubsub_waits(h))) mcq__pubsub_tell_kept(h);
}

/* Tells one peer, whatever it asked for.  What the port answers, or
 * MCQ_EPEERGONE. */
int mcq__pubsub_tell(mcq__pubsub_t* h, mcq_peer_t peer,
                     const mcq__body_t* body);

/* ---- pubsub.c and publish.c */

/* Peers or prefixes are about to change: what was promised to the audience is
 * kept, and who is meant must be found anew. */
void mcq__pubsub_upset(mcq__pubsub_t* h);

/* Distinct prefixes. */
static inline size_t mcq__pubsub_prefixes(const mcq__pubsub_t* h) {
  return mcq__prefix_count(&h->prefixes);
}

#endif
