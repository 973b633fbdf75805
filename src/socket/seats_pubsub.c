/* SPDX-License-Identifier: MIT */
/* PubSubHub as a socket's hub: peers have no routing ids, and what one that
 * leaves was the last to want is told to the publisher's user. */
#include "socket/fanout.h"
#include "socket/publisher.h"

static void init(mcq_socket_t* s) {
  int64_t most = s->options.max_subscriptions;
  int64_t bytes = s->options.max_subscription_bytes;
  mcq__pubsub_limits_t limits = {.prefixes = most < 0 ? 0 : (size_t) most,
                                 .prefix_bytes = MCQ__PREFIX_MAX,
                                 .total_bytes = bytes < 0 ? 0 : (size_t) bytes};
  mcq__host_t* host = s->host;
  mcq__pubsub_init(&s->hub.pubsub, host->mem, &host->epochs, &limits);
  s->roster = &s->hub.pubsub.roster;
}

static void dispose(mcq_socket_t* s) {
  mcq__pubsub_dispose(&s->hub.pubsub);
}

/* Only publishers' peers hold prefixes. */
static void gone(void* arg, mcq_frame_t prefix, bool last) {
  mcq__publisher_owes((mcq_socket_t*) arg, prefix, last);
}

/* A handle goes stale: what is to be said of it is said before. */
static void leaves(mcq_socket_t* s, mcq_peer_t peer) {
  mcq__port_t* port = mcq__roster_port(s->roster, peer);
  if (port == NULL) return;
  mcq__fanout_report_one(s, mcq__actor_of_port(port));
  if (mcq__publishes(s)) mcq__publisher_left(s, peer.slot);
}

static int up(mcq_socket_t* s, const mcq__hub_event_t* ev, mcq_peer_t* out,
              mcq_peer_t* displaced) {
  *displaced = (mcq_peer_t){0, 0};
  leaves(s, ev->peer);
  return mcq__pubsub_up(&s->hub.pubsub, ev, out, gone, s);
}

static void down(mcq_socket_t* s, mcq_peer_t peer) {
  leaves(s, peer);
  mcq__pubsub_down(&s->hub.pubsub, peer, gone, s);
}

/* There are no turns: whoever has no room misses a message. */
static void nothing(mcq_socket_t* s, mcq_peer_t peer) {
  (void) s;
  (void) peer;
}

static void rest(mcq_socket_t* s, mcq_peer_t peer) {
  (void) peer;
  mcq__fanout_settle(s);
}

static int tell(mcq_socket_t* s, mcq_peer_t peer, const mcq__body_t* body) {
  return mcq__pubsub_tell(&s->hub.pubsub, peer, body);
}

static mcq__slice_t id(const mcq_socket_t* s, mcq_peer_t peer) {
  (void) s;
  (void) peer;
  return mcq__slice_static(NULL, 0);
}

static mcq_peer_t find(const mcq_socket_t* s, const void* name, size_t len) {
  (void) s;
  (void) name;
  (void) len;
  return (mcq_peer_t){0, 0};
}

const mcq__seats_t mcq__seats_pubsub = {
    .init = init,
    .dispose = dispose,
    .up = up,
    .down = down,
    .room = nothing,
    .rest = rest,
    .tell = tell,
    .settle = mcq__fanout_settle,
    .id = id,
    .find = find,
};
