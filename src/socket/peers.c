/* SPDX-License-Identifier: MIT */
/* Peers of a socket: what their actors report on the way to the user, and what
 * the user may ask or do by handle.  Never looks at a message. */
#include "socket/socket.h"

static mcq_socket_t* socket_of(const mcq__actor_t* a) {
  return (mcq_socket_t*) a->config->owner;
}

static mcq__end_t* end_of(const mcq__actor_t* a) {
  return (mcq__end_t*) a->end;
}

static const mcq__hello_t* hello_of(const mcq__actor_t* a) {
  return a->config->protocol->hello(a->session);
}

static void describe(const mcq__actor_t* a, mcq_peer_t peer, mcq__slice_t id,
                     mcq_peer_info_t* info) {
  const mcq__hello_t* hello = hello_of(a);
  if (!socket_of(a)->pattern->by_name) id = hello->routing_id;
  *info = (mcq_peer_info_t){
      .peer = peer,
      .routing_id = id.data,
      .routing_id_len = id.len,
      .address = a->address,
      .socket_type = hello->socket_type,
      .mechanism = hello->mechanism,
      .version_major = hello->version_major,
      .version_minor = hello->version_minor,
      .incoming = a->incoming,
      .data = a->data,
      .rtt_ns = mcq__actor_life(a).rtt_ns,
      .text = "",
  };
}

/* ---- up ------------------------------------------------------------------ */

static mcq__actor_t* by_handle(mcq_socket_t* s, mcq_peer_t peer) {
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (a->peer.epoch == peer.epoch) return a;
  }
  return NULL;
}

static void report_down(mcq_socket_t* s, mcq__actor_t* a, mcq_peer_t peer,
                        mcq__slice_t id, int code, const char* text);

/* Tells the type that a handle has changed hands. */
static void moved(mcq_socket_t* s, mcq_peer_t from, mcq_peer_t to) {
  if (s->pattern->moved != NULL && from.epoch != 0 && from.epoch != to.epoch)
    s->pattern->moved(s, from, to);
}

/* A newcomer took the routing id over: the old connection ends at once, as
 * seen by the user before the new one begins. */
static void hand_over(mcq_socket_t* s, mcq_peer_t displaced, mcq__slice_t id) {
  mcq__actor_t* old = by_handle(s, displaced);
  if (old == NULL) return;
  old->peer = (mcq_peer_t){0, 0};
  if (old->was_up) report_down(s, old, displaced, id, MCQ_EHANDOVER, "");
  old->displaced = old->was_up;
  old->was_up = false;
  old->told = true;
  mcq__actor_end(old, MCQ_EHANDOVER, 0);
  moved(s, displaced, (mcq_peer_t){0, 0});
}

static int seat(mcq_socket_t* s, mcq__actor_t* a, mcq__slice_t name,
                mcq_peer_t* displaced) {
  mcq__hub_event_t ev = {.kind = MCQ__HUB_UP,
                         .peer = a->peer,
                         .port = &a->port,
                         .name = {name.data, name.len}};
  *displaced = (mcq_peer_t){0, 0};
  return s->pattern->seats->up(s, &ev, &a->peer, displaced);
}

/* Somebody wants the place of this one: the peer itself, perhaps, back from a
 * break that nobody noticed here.  The refusal is for the time being, and then
 * the old connection has gone or is known to live. */
static void suspect(mcq_socket_t* s, mcq_peer_t peer) {
  mcq__actor_t* a = by_handle(s, peer);
  if (a != NULL) mcq__actor_suspect(a);
}

static int take_in(mcq_socket_t* s, mcq__actor_t* a, const char** text) {
  mcq__end_t* end = end_of(a);
  mcq__slice_t name = hello_of(a)->routing_id;
  if (end != NULL && end->name != NULL)
    name = mcq__slice_static(end->name, end->name_len);
  /* Two may have one name where nobody is called by it. */
  if (!s->pattern->by_name) name = mcq__slice_static(NULL, 0);
  if (s->pattern->admit != NULL) {
    int rc = s->pattern->admit(s, a, text);
    if (rc != 0) return rc;
  }
  mcq_peer_t displaced;
  mcq_peer_t queued = a->peer;
  int rc = seat(s, a, name, &displaced);
  if (rc == 0) moved(s, queued, a->peer);
  if (rc == MCQ_ETWIN) {
    *text = "300 The routing id is already in use";
    suspect(s, s->pattern->seats->find(s, name.data, name.len));
  }
  if (rc == 0 && end != NULL && end->closing)
    s->pattern->seats->rest(s, a->peer); /* empties its queue, takes no more */
  if (rc == 0 && displaced.epoch != 0)
    hand_over(s, displaced, s->pattern->seats->id(s, a->peer));
  return rc;
}

/* The reason is ours and will pass.  A peer that is told it is refused may
 * never come back, so it is told nothing. */
static int turn_away(mcq__actor_t* a, int code) {
  mcq__actor_end(a, code, 0);
  return 0;
}

static int on_ready(mcq__actor_t* a, const char** text) {
  mcq_socket_t* s = socket_of(a);
  if (s->closing && end_of(a) == NULL) return turn_away(a, MCQ_ECLOSED);
  *text = "Cannot take the peer in";
  int rc = take_in(s, a, text);
  if (rc == MCQ_ENOMEM) return turn_away(a, rc);
  if (rc != 0) return rc;
  s->counts.handshakes_ok++;
  s->counts.peers++;
  if (end_of(a) == NULL) mcq__gate_known(&s->gate, a);
  mcq__actor_up(a);
  a->greeting = true;
  if (s->pattern->up != NULL) s->pattern->up(s, a);
  a->greeting = false;
  mcq_event_t event = mcq__events_of(a, MCQ_EVENT_HANDSHAKE_OK);
  mcq__socket_event(s, &event);
  if (s->options.on_peer_up != NULL && a->was_up) {
    mcq_peer_info_t info;
    describe(a, a->peer, s->pattern->seats->id(s, a->peer), &info);
    s->options.on_peer_up(s, &info);
  }
  mcq__socket_drained(s);
  if (end_of(a) != NULL) mcq__end_up(end_of(a));
  return 0;
}

/* ---- down ---------------------------------------------------------------- */

/* Messages that a lost worker had not begun to receive go to the others, who
 * count them as the lost one did: the socket accepted each once. */
static uint64_t requeue(mcq_socket_t* s, mcq__actor_t* a) {
  mcq__outbox_walk_t walk = {0};
  uint64_t moved = 0;
  ssize_t count;
  while ((count = mcq__outbox_next(a->outbox, &walk)) > 0) {
    mcq__body_t body = {.slices = walk.frames, .count = (size_t) count};
    if (s->pattern->send(s, &body) != 0) break;
    s->tally.frames_out -= body.count;
    s->tally.bytes_out -= mcq__slices_bytes(walk.frames, body.count);
    moved++;
  }
  mcq__outbox_walk_end(a->outbox, &walk);
  s->tally.messages_out -= moved;
  mcq__actor_odd(a)->requeued += moved;
  return moved;
}

/* Whoever is leaving gets no more, and with MCQ_IMMEDIATE whoever is not there.
 */
static bool has_turns(const mcq_socket_t* s, const mcq__actor_t* a) {
  if (mcq__actor_leaving(a)) return false;
  if (a->state == MCQ__ACTOR_CLOSING && !a->told) return false;
  return a->state == MCQ__ACTOR_UP || !(s->options.flags & MCQ_IMMEDIATE);
}

/* What a lost peer held is free for others, who were refused because of all
 * that waits together: they need not wait until half of that is gone. */
static void let_others(mcq_socket_t* s, mcq__actor_t* gone) {
  mcq__actor_let_go(gone);
  if (s->config.budget == NULL) return;
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (a != gone && a->starved && !a->full && has_turns(s, a))
      s->pattern->seats->room(s, a->peer);
  }
}

static bool requeues(const mcq_socket_t* s) {
  int flags = s->options.flags;
  bool balances = (flags & MCQ_ROUTER_BALANCE) && !(flags & MCQ_NO_REQUEUE);
  return (balances || (flags & MCQ_REQUEUE)) && !s->leaving;
}

static void count_lost(mcq_socket_t* s, mcq__actor_t* a, uint64_t messages,
                       uint64_t bytes, int code) {
  s->lost_messages += messages;
  s->lost_bytes += bytes;
  if (code == MCQ_ESLOW)
    mcq__actor_odd(a)->lost_slow += messages;
  else if (code == MCQ_ELOCAL)
    mcq__actor_odd(a)->lost_local += messages;
  else
    mcq__actor_odd(a)->lost_gone += messages;
}

void mcq__peers_count_lost(mcq_socket_t* s, mcq__actor_t* a) {
  count_lost(s, a, mcq__outbox_queued(a->outbox),
             mcq__outbox_queued_bytes(a->outbox), MCQ_ELOCAL);
  a->settled = true;
}

/* What becomes of the queue of a connection that is over. */
static void account_queue(mcq_socket_t* s, mcq__actor_t* a,
                          mcq_peer_info_t* info) {
  bool begun;
  uint64_t unsure = mcq__outbox_unsure(a->outbox, &begun);
  /* Else it goes out on the next connection. */
  bool keeps = end_of(a) != NULL && !s->pattern->fleeting;
  if (begun && !keeps) unsure++;
  info->unsure_messages = unsure;
  if (keeps) return;
  if (unsure != 0) mcq__actor_odd(a)->unsure += unsure;
  a->settled = true;
  uint64_t left = a->outbox->messages - info->unsure_messages;
  if (left == 0) return;
  let_others(s, a);
  if (requeues(s)) left -= requeue(s, a);
  info->lost_messages = left;
  if (left != 0) info->lost_bytes = mcq__outbox_queued_bytes(a->outbox);
  count_lost(s, a, left, info->lost_bytes, info->reason);
}

static void report_down(mcq_socket_t* s, mcq__actor_t* a, mcq_peer_t peer,
                        mcq__slice_t id, int code, const char* text) {
  s->counts.peers--;
  s->counts.disconnects++;
  mcq_peer_info_t info;
  describe(a, peer, id, &info);
  info.reason = code;
  info.text = text;
  account_queue(s, a, &info);
  if (s->options.on_peer_down != NULL) s->options.on_peer_down(s, &info);
  mcq_event_t event = mcq__events_of(a, MCQ_EVENT_DISCONNECTED);
  event.peer = peer;
  event.routing_id = info.routing_id;
  event.routing_id_len = info.routing_id_len;
  event.code = code;
  event.text = text;
  mcq__socket_event(s, &event);
}

int mcq__peers_queue(mcq_socket_t* s, mcq__actor_t* a) {
  mcq_peer_t displaced;
  mcq__slice_t nameless = mcq__slice_static(NULL, 0);
  return seat(s, a, nameless, &displaced);
}

static void leave(mcq_socket_t* s, mcq__actor_t* a) {
  s->pattern->seats->down(s, a->peer);
  a->peer = (mcq_peer_t){0, 0};
}

void mcq__peers_leave(mcq_socket_t* s, mcq__actor_t* a) {
  mcq_peer_t peer = a->peer;
  leave(s, a);
  moved(s, peer, a->peer);
}

/* Messages had not gone out as a whole. */
static bool left_over(const mcq__actor_t* a) {
  bool begun;
  return a->outbox->messages > mcq__outbox_unsure(a->outbox, &begun);
}

/* The handle goes stale now.  A dialed peer whose queue lives on is seated
 * again, nameless, so that messages can wait for its return; with
 * MCQ_IMMEDIATE only those that are there. */
static void leave_hub(mcq_socket_t* s, mcq__actor_t* a) {
  bool immediate = (s->options.flags & MCQ_IMMEDIATE) != 0;
  bool lives =
      end_of(a) != NULL && !end_of(a)->closing && !s->pattern->fleeting;
  bool waits = lives && (!immediate || left_over(a));
  if (!waits || mcq__peers_queue(s, a) != 0)
    leave(s, a);
  else if (immediate)
    s->pattern->seats->rest(s, a->peer);
  a->flush_all = false; /* what it is told now is for its next connection */
}

static mcq_peer_t heir(const mcq__actor_t* a) {
  return left_over(a) ? a->peer : (mcq_peer_t){0, 0};
}

static void on_lost(mcq__actor_t* a, bool was_up, int code, const char* text) {
  mcq_socket_t* s = socket_of(a);
  if (!was_up) {
    if (!a->displaced) mcq__events_failed(a, code, text);
    return;
  }
  mcq_peer_t peer = a->peer;
  mcq__slice_t id = mcq__slice_retain(s->pattern->seats->id(s, peer));
  a->was_up = false; /* nobody finds it by handle any more */
  leave_hub(s, a);
  mcq_peer_t to = heir(a);
  report_down(s, a, peer, id, code, text);
  mcq__slice_release(&id);
  moved(s, peer, to);
  mcq__socket_drained(s); /* who waited for this peer learns that it is gone */
}

/* After these there is no point in asking the same peer again.  A place that
 * is taken is another matter: it may be free the next time. */
static bool definite(int code) {
  return code == MCQ_EREFUSED || code == MCQ_ETYPE || code == MCQ_EMECHANISM;
}

static void on_idle(mcq__actor_t* a) {
  mcq_socket_t* s = socket_of(a);
  if (s->pattern->fleeting) {
    mcq__actor_clear(a);
    a->settled = false;
  }
  if (end_of(a) != NULL) {
    mcq__end_idle(end_of(a), !definite(a->code));
    return;
  }
  mcq__gate_left(&s->gate, a);
  mcq__actor_dispose(a);
  mcq__mem_free(s->host->mem, mcq__container_of(a, mcq__guest_t, actor));
  s->alive--;
  mcq__socket_check_closed(s);
}

/* ---- in between ---------------------------------------------------------- */

static void on_message(mcq__actor_t* a, mcq_msg_t* msg) {
  mcq_socket_t* s = socket_of(a);
  if (s->pattern->recv != NULL)
    s->pattern->recv(s, a, msg);
  else
    mcq__socket_deliver(s, a, msg);
}

static void on_command(mcq__actor_t* a, mcq__slice_t name) {
  mcq_socket_t* s = socket_of(a);
  s->counts.commands_unknown++;
  if (s->options.on_event == NULL) return;
  char* text = mcq__mem_text(s->host->mem, (const char*) name.data, name.len);
  mcq_event_t event = mcq__events_of(a, MCQ_EVENT_COMMAND);
  if (text != NULL) event.text = text;
  mcq__socket_event(s, &event);
  mcq__mem_free(s->host->mem, text);
}

static void on_subscribe(mcq__actor_t* a, mcq__slice_t prefix, bool wanted) {
  mcq_socket_t* s = socket_of(a);
  if (s->pattern->subscribed != NULL)
    s->pattern->subscribed(s, a, prefix, wanted);
  else
    s->counts.commands_unknown++;
}

static void on_pong(mcq__actor_t* a, mcq__slice_t context) {
  mcq_socket_t* s = socket_of(a);
  if (s->pattern->pong != NULL) s->pattern->pong(s, a, context);
}

static void on_full(mcq__actor_t* a, bool full) {
  mcq__events_congestion(a, full ? MCQ_EVENT_CONGESTED : MCQ_EVENT_RELIEVED);
}

static void on_room(mcq__actor_t* a, bool low) {
  mcq_socket_t* s = socket_of(a);
  if (!has_turns(s, a)) return;
  s->pattern->seats->room(s, a->peer);
  if (low) mcq__socket_drained(s);
}

static const mcq__actor_events_t actor_events = {
    .on_ready = on_ready,
    .on_message = on_message,
    .on_command = on_command,
    .on_subscribe = on_subscribe,
    .on_pong = on_pong,
    .on_full = on_full,
    .on_room = on_room,
    .on_lost = on_lost,
    .on_idle = on_idle,
};

const mcq__actor_events_t* mcq__peers_events(void) {
  return &actor_events;
}

/* ---- by handle ----------------------------------------------------------- */

mcq__actor_t* mcq__peers_actor(const mcq_socket_t* s, mcq_peer_t peer) {
  mcq__port_t* port = mcq__roster_port(s->roster, peer);
  if (port == NULL) return NULL;
  mcq__actor_t* a = mcq__actor_of_port(port);
  return a->was_up ? a : NULL;
}

int mcq_peer_find(const mcq_socket_t* socket, const void* id, size_t len,
                  mcq_peer_t* out) {
  mcq_peer_t peer = socket->pattern->seats->find(socket, id, len);
  if (mcq__peers_actor(socket, peer) == NULL) return MCQ_ENOENT;
  *out = peer;
  return 0;
}

int mcq_peer_info(const mcq_socket_t* socket, mcq_peer_t peer,
                  mcq_peer_info_t* out) {
  mcq__actor_t* a = mcq__peers_actor(socket, peer);
  if (a == NULL) return MCQ_EPEERGONE;
  describe(a, peer, socket->pattern->seats->id(socket, peer), out);
  return 0;
}

int mcq_peer_property(const mcq_socket_t* socket, mcq_peer_t peer,
                      const char* name, mcq_frame_t* out) {
  mcq__actor_t* a = mcq__peers_actor(socket, peer);
  if (a == NULL) return MCQ_EPEERGONE;
  const mcq__protocol_t* protocol = a->config->protocol;
  mcq__slice_t value;
  if (protocol->property == NULL ||
      !protocol->property(a->session, name, &value))
    return MCQ_ENOENT;
  *out = (mcq_frame_t){value.data, value.len};
  return 0;
}

void mcq_peer_each(mcq_socket_t* socket,
                   void (*each)(mcq_socket_t* socket,
                                const mcq_peer_info_t* info, void* arg),
                   void* arg) {
  /* By slot: what is called may change the order of the actors. */
  for (uint32_t i = 0; i < socket->roster->used; i++) {
    mcq_peer_info_t info;
    mcq_peer_t peer = mcq__roster_peer(socket->roster, i);
    if (mcq_peer_info(socket, peer, &info) == 0) each(socket, &info, arg);
  }
}

int mcq_peer_close(mcq_socket_t* socket, mcq_peer_t peer) {
  mcq__actor_t* a = mcq__peers_actor(socket, peer);
  if (a == NULL) return MCQ_EPEERGONE;
  socket->pattern->seats->rest(socket, peer);
  mcq__actor_end(a, MCQ_ELOCAL, mcq__socket_linger(socket));
  return 0;
}

int mcq_peer_set_data(mcq_socket_t* socket, mcq_peer_t peer, void* data) {
  mcq__actor_t* a = mcq__peers_actor(socket, peer);
  if (a == NULL) return MCQ_EPEERGONE;
  a->data = data;
  return 0;
}

int mcq_peer_writable(mcq_socket_t* socket, mcq_peer_t peer) {
  if (socket->leaving) return MCQ_ECLOSED;
  if (!socket->pattern->by_handle) return MCQ_ENOTSUP;
  mcq__port_t* port = mcq__roster_port(socket->roster, peer);
  if (port == NULL) return MCQ_EPEERGONE;
  if (mcq__actor_leaving(mcq__actor_of_port(port))) return MCQ_EPEERGONE;
  if (port->room(port, 0) != 0) return 1;
  socket->wants_drain = true;
  return 0;
}

static int set_paused(mcq_socket_t* s, mcq_peer_t peer, bool paused) {
  mcq__actor_t* a = mcq__peers_actor(s, peer);
  if (a == NULL) return MCQ_EPEERGONE;
  a->paused = paused;
  mcq__actor_pause_changed(a);
  return 0;
}

int mcq_peer_pause(mcq_socket_t* socket, mcq_peer_t peer) {
  return set_paused(socket, peer, true);
}

int mcq_peer_resume(mcq_socket_t* socket, mcq_peer_t peer) {
  return set_paused(socket, peer, false);
}
