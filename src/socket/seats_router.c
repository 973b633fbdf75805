/* SPDX-License-Identifier: MIT */
/* RouterHub as a socket's hub: every peer has its turn and, where it is called
 * by that, a routing id, announced or made up. */
#include "socket/socket.h"

static void init(mcq_socket_t* s) {
  mcq__host_t* host = s->host;
  uint64_t seed[2] = {mcq__io_random(&host->io), mcq__io_random(&host->io)};
  mcq__router_init(&s->hub.router, host->pool, &host->epochs, seed,
                   (s->options.flags & MCQ_ROUTER_REFUSE_TWIN) != 0);
  s->hub.router.nameless = !s->pattern->by_name;
  s->roster = &s->hub.router.roster;
}

static void dispose(mcq_socket_t* s) {
  mcq__router_dispose(&s->hub.router);
}

static int up(mcq_socket_t* s, const mcq__hub_event_t* ev, mcq_peer_t* out,
              mcq_peer_t* displaced) {
  return mcq__router_up(&s->hub.router, ev, out, displaced);
}

static void down(mcq_socket_t* s, mcq_peer_t peer) {
  mcq__router_down(&s->hub.router, peer);
}

static void room(mcq_socket_t* s, mcq_peer_t peer) {
  mcq__router_room(&s->hub.router, peer);
}

static void rest(mcq_socket_t* s, mcq_peer_t peer) {
  mcq__router_rest(&s->hub.router, peer);
}

static int tell(mcq_socket_t* s, mcq_peer_t peer, const mcq__body_t* body) {
  mcq__user_cmd_t cmd = {.to = MCQ__TO_PEER, .peer = peer, .body = body};
  return mcq__router_user(&s->hub.router, &cmd);
}

static mcq__slice_t id(const mcq_socket_t* s, mcq_peer_t peer) {
  return mcq__router_id(&s->hub.router, peer);
}

static mcq_peer_t find(const mcq_socket_t* s, const void* name, size_t len) {
  return mcq__router_find(&s->hub.router, name, len);
}

int mcq__send_anyone(mcq_socket_t* s, const mcq__body_t* body) {
  return mcq__router_anyone(&s->hub.router, body);
}

const mcq__seats_t mcq__seats_router = {
    .init = init,
    .dispose = dispose,
    .up = up,
    .down = down,
    .room = room,
    .rest = rest,
    .tell = tell,
    .id = id,
    .find = find,
};
