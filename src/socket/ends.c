/* SPDX-License-Identifier: MIT */
/* Endpoints of a socket: listeners that make accepted actors, dialers that
 * keep one actor connected.  Cold code; never touches a message. */
#include <string.h>

#include "socket/socket.h"

static void event(mcq__end_t* end, mcq_event_kind_t kind, const char* address,
                  int code, uint64_t wait_ms) {
  mcq_event_t e = {.kind = kind,
                   .endpoint = end->id,
                   .address = address,
                   .code = code,
                   .text = "",
                   .wait_ms = wait_ms};
  mcq__socket_event(end->socket, &e);
}

/* ---- life of an endpoint ------------------------------------------------- */

static void destroy(mcq__end_t* end) {
  mcq_socket_t* s = end->socket;
  if (end->bound != NULL) mcq__io_cancel(&end->bound->task);
  if (end->parting != NULL) {
    mcq__io_timer_stop(&s->host->io, &end->parting->linger);
    if (end->parting->has_timer)
      mcq__timers_unreserve(&s->host->io.turn.timers);
  }
  if (end->connecting) mcq__actor_dispose(&end->actor);
  mcq__list_remove(&end->node);
  mcq__mem_free(s->host->mem, end->bound);
  mcq__mem_free(s->host->mem, end->parting);
  mcq__mem_free(s->host->mem, end->name);
  mcq__mem_free(s->host->mem, end->uri);
  mcq__mem_free(s->host->mem, end);
}

static const char* address_of(const mcq__end_t* end) {
  return end->connecting ? end->uri : end->bound->listener.address;
}

/* Frees a closing endpoint when the last of its parts has gone. */
static void check_gone(mcq__end_t* end) {
  mcq_socket_t* s = end->socket;
  if (!end->closing || !end->io_closed) return;
  if (end->connecting && end->actor.state != MCQ__ACTOR_IDLE) return;
  if (end->connecting) {
    mcq__socket_settle(s);
    mcq__actor_tell_full(&end->actor);
    mcq__peers_count_lost(s, &end->actor);
    mcq__peers_leave(s, &end->actor);
  }
  event(end, MCQ_EVENT_CLOSED, address_of(end), 0, 0);
  destroy(end);
  s->alive--;
  mcq__socket_check_closed(s);
}

static void run_announce(mcq__task_t* task) {
  const mcq__bound_t* b = mcq__container_of(task, mcq__bound_t, task);
  mcq__end_t* end = (mcq__end_t*) b->listener.user;
  event(end, MCQ_EVENT_LISTENING, end->bound->listener.address, 0, 0);
}

/* ---- accepting ----------------------------------------------------------- */

/* The least time between two words about connections that cannot be accepted,
 * ms: what makes one fail tends to make many. */
#define TELL_EVERY ((uint64_t) 1000)

static void accept_failed(mcq__end_t* end, int code) {
  uint64_t now = mcq__io_now(&end->socket->host->io);
  mcq__bound_t* b = end->bound;
  b->not_accepted++;
  end->socket->counts.accepts_failed++;
  if (now < b->quiet_until) return;
  mcq_event_t e = {.kind = MCQ_EVENT_ACCEPT_FAILED,
                   .endpoint = end->id,
                   .address = end->bound->listener.address,
                   .code = code,
                   .text = "",
                   .count = b->not_accepted};
  b->not_accepted = 0;
  b->quiet_until = now + TELL_EVERY;
  mcq__socket_event(end->socket, &e);
}

static int accept_stream(mcq_socket_t* s, mcq__listener_t* l, void* stream,
                         const char* address) {
  mcq__guest_t* guest = mcq__new(s->host->mem, mcq__guest_t);
  if (guest == NULL) return MCQ_ENOMEM;
  mcq__actor_t* a = &guest->actor;
  int rc = mcq__actor_init(a, &s->config);
  if (rc == 0) rc = mcq__gate_enter(&s->gate, guest, l);
  bool entered = rc == 0;
  if (rc == 0) rc = mcq__actor_attach(a, l->transport, stream, address, NULL);
  if (rc != 0) {
    if (entered) mcq__gate_left(&s->gate, a);
    mcq__actor_dispose(a);
    mcq__mem_free(s->host->mem, guest);
    return rc;
  }
  mcq__list_insert(&s->actors, &a->node);
  s->alive++;
  return 0;
}

static bool on_knock(mcq__listener_t* l, const char* address) {
  mcq__end_t* end = (mcq__end_t*) l->user;
  return mcq__gate_knock(&end->socket->gate, l, end->id, address);
}

static void on_stream(mcq__listener_t* l, void* stream, const char* address) {
  mcq__end_t* end = (mcq__end_t*) l->user;
  mcq_socket_t* s = end->socket;
  int rc = s->leaving ? MCQ_ECLOSED : accept_stream(s, l, stream, address);
  if (rc != 0) {
    l->transport->discard(&s->host->io, stream);
    accept_failed(end, rc);
    return;
  }
  s->counts.connections_accepted++;
  event(end, MCQ_EVENT_ACCEPTED, address, 0, 0);
}

static void on_accept_error(mcq__listener_t* l, int code) {
  accept_failed((mcq__end_t*) l->user, code);
}

static void on_listener_closed(mcq__listener_t* l) {
  mcq__end_t* end = (mcq__end_t*) l->user;
  end->io_closed = true;
  check_gone(end);
}

static const mcq__listener_events_t listener_events = {
    .on_stream = on_stream,
    .on_error = on_accept_error,
    .on_closed = on_listener_closed,
    .on_knock = on_knock,
};

/* ---- dialing ------------------------------------------------------------- */

static mcq__end_t* end_of_dialer(const mcq__dialer_t* d) {
  return mcq__container_of(d, mcq__end_t, dialer);
}

static void on_dialing(mcq__dialer_t* d) {
  mcq__end_t* end = end_of_dialer(d);
  if (end->attempts++ > 0) end->socket->counts.reconnects++;
  event(end, MCQ_EVENT_CONNECTING, end->uri, 0, 0);
}

static void connect_failed(mcq__end_t* end, int code) {
  end->socket->counts.connects_failed++;
  event(end, MCQ_EVENT_CONNECT_FAILED, end->uri, code, 0);
}

static void on_dialed(mcq__dialer_t* d, void* stream, const char* address) {
  mcq__end_t* end = end_of_dialer(d);
  int rc =
      mcq__actor_attach(&end->actor, d->transport, stream, address, end->uri);
  if (rc != 0) {
    d->transport->discard(d->io, stream);
    connect_failed(end, rc);
    mcq__dialer_lost(d, true);
    return;
  }
  end->socket->counts.connections_made++;
  event(end, MCQ_EVENT_CONNECTED, address, 0, 0);
}

/* It will not be dialed again: nothing more is queued for it. */
static void stop_dialing(mcq__end_t* end, int code) {
  end->stopped = true;
  mcq__peers_leave(end->socket, &end->actor);
  event(end, MCQ_EVENT_STOPPED, end->uri, code, 0);
}

static bool dials_once(const mcq__end_t* end) {
  return end->socket->options.reconnect_ms < 0;
}

static bool stops_at(const mcq__end_t* end, int what) {
  return (end->socket->options.reconnect_stop & what) != 0;
}

static void give_up(mcq__end_t* end);

/* For good: a closing one goes with what it has, as nobody will come for it. */
static void end_dialing(mcq__end_t* end, int code) {
  if (end->closing)
    give_up(end);
  else
    stop_dialing(end, code);
}

static void on_dial_failed(mcq__dialer_t* d, int code) {
  mcq__end_t* end = end_of_dialer(d);
  end->code = code;
  connect_failed(end, code);
  if (code != UV_ECONNREFUSED || !stops_at(end, MCQ_STOP_REFUSED)) return;
  mcq__dialer_stop(d);
  end_dialing(end, code);
}

static void on_retry(mcq__dialer_t* d, uint64_t ms) {
  mcq__end_t* end = end_of_dialer(d);
  event(end, MCQ_EVENT_RETRY, end->uri, 0, ms);
}

static void on_dialer_closed(mcq__dialer_t* d) {
  mcq__end_t* end = end_of_dialer(d);
  end->io_closed = true;
  check_gone(end);
}

/* As often, or for as long, as it may. */
static void on_stopped(mcq__dialer_t* d) {
  mcq__end_t* end = end_of_dialer(d);
  end_dialing(end, end->code);
}

static const mcq__dialer_events_t dialer_events = {
    .on_dialing = on_dialing,
    .on_stream = on_dialed,
    .on_failed = on_dial_failed,
    .on_retry = on_retry,
    .on_closed = on_dialer_closed,
    .on_stopped = on_stopped,
};

/* A loop that stood still has not connected meanwhile: it gets a chance to,
 * once. */
static void on_linger(mcq__timer_t* timer) {
  mcq__parting_t* p = mcq__container_of(timer, mcq__parting_t, linger);
  mcq__io_t* io = &p->end->socket->host->io;
  uint64_t now = mcq__io_now(io);
  if (now <= p->give_up_at || p->relented) {
    give_up(p->end);
    return;
  }
  p->relented = true;
  p->give_up_at = mcq__timer_again(p->give_up_at, now);
  mcq__io_timer_start(io, timer, p->give_up_at);
}

/* False: without memory for waiting there is none. */
static bool may_wait(mcq__end_t* end) {
  mcq_socket_t* s = end->socket;
  if (end->parting == NULL) {
    end->parting = mcq__new(s->host->mem, mcq__parting_t);
    if (end->parting == NULL) return false;
    end->parting->end = end;
    end->parting->linger.run = on_linger;
    end->parting->has_timer =
        mcq__timers_reserve(&s->host->io.turn.timers) == 0;
  }
  return end->parting->has_timer;
}

/* Patience with a closing endpoint that waits for a connection: `linger` since
 * the last connection moved something, if it took a message.  Connections that
 * come and go without taking one do not prolong it.  `lost`: one has just gone,
 * and its own patience counts where there was no memory to note when this
 * began. False: there is no memory to wait with. */
static bool be_patient(mcq__end_t* end, bool lost) {
  mcq_socket_t* s = end->socket;
  const mcq__actor_t* a = &end->actor;
  uint64_t linger = mcq__socket_linger(s);
  if (linger == MCQ__NO_DEADLINE) return true;
  if (!may_wait(end)) return false;
  mcq__parting_t* p = end->parting;
  uint64_t at = mcq__io_fresh_now(&s->host->io) + linger;
  if (p->give_up_at == 0 && !lost)
    p->give_up_at = at;
  else if (p->give_up_at == 0 || a->outbox->messages < p->left)
    p->give_up_at = a->stop_at < at ? a->stop_at : at;
  p->left = a->outbox->messages;
  return true;
}

/* What was over before is not noticed late. */
static void start_waiting(mcq__io_t* io, mcq__parting_t* p) {
  p->relented = p->give_up_at <= mcq__io_now(io);
  mcq__io_timer_start(io, &p->linger, p->give_up_at);
}

static void wait_for_connection(mcq__end_t* end, bool lost) {
  if (!be_patient(end, lost))
    give_up(end);
  else if (end->parting != NULL && end->parting->give_up_at != 0)
    start_waiting(&end->socket->host->io, end->parting);
}

static void stop_waiting(mcq__end_t* end) {
  if (end->parting != NULL)
    mcq__io_timer_stop(&end->socket->host->io, &end->parting->linger);
}

/* No more patience: what is left of a dialed endpoint goes now. */
static void give_up(mcq__end_t* end) {
  stop_waiting(end);
  mcq__dialer_close(&end->dialer);
  mcq__actor_end(&end->actor, MCQ_ELOCAL, 0);
}

/* Without a protocol whoever accepts is up, even if only to be shown out: that
 * is no reason to knock again at once. */
static bool proves_nothing(const mcq__end_t* end) {
  return end->socket->pattern->raw;
}

void mcq__end_up(mcq__end_t* end) {
  end->was_up = true;
  if (!proves_nothing(end)) mcq__dialer_succeeded(&end->dialer);
  if (!end->closing) return;
  stop_waiting(end);
  mcq__socket_part(end->socket, &end->actor);
}

/* It was up only until it heard that it is not welcome. */
static bool was_refused(const mcq__end_t* end) {
  return end->code == MCQ_ENOTNOW || end->code == MCQ_EREFUSED;
}

void mcq__end_idle(mcq__end_t* end, bool retry) {
  end->code = end->actor.code;
  if (was_refused(end)) {
    mcq__dialer_disappointed(&end->dialer);
    end->was_up = false;
  }
  int what = end->was_up ? MCQ_STOP_LOST : MCQ_STOP_HANDSHAKE;
  if (end->code == MCQ_ELOCAL) what = 0; /* the user wants it so */
  end->was_up = false;
  bool keep = retry && !dials_once(end) && !stops_at(end, what) &&
              (!end->closing || end->actor.outbox->messages != 0);
  if (proves_nothing(end)) mcq__dialer_lasted(&end->dialer);
  if (end->closing && keep) wait_for_connection(end, true);
  if (end->closing && !keep) mcq__dialer_close(&end->dialer);
  if (!end->closing && !keep) stop_dialing(end, end->actor.code);
  mcq__dialer_lost(&end->dialer, keep);
  check_gone(end);
}

/* ---- closing ------------------------------------------------------------- */

/* Messages that wait for a connection may still get one within linger. */
static void close_dialed(mcq__end_t* end) {
  mcq_socket_t* s = end->socket;
  mcq__actor_t* a = &end->actor;
  uint64_t linger = mcq__socket_linger(s);
  s->pattern->seats->rest(s, a->peer);
  (void) be_patient(end, false); /* asked again when it matters */
  if (a->state == MCQ__ACTOR_UP || a->state == MCQ__ACTOR_ENDING) {
    mcq__socket_part(s, a);
  } else if (a->outbox->messages == 0 || linger == 0 || end->stopped) {
    give_up(end);
  } else {
    wait_for_connection(end, false);
  }
}

static void close_end(mcq__end_t* end) {
  if (end->closing) return;
  end->closing = true;
  if (end->connecting)
    close_dialed(end);
  else
    mcq__listener_close(&end->bound->listener);
}

void mcq__ends_close(mcq_socket_t* s) {
  for (mcq__node_t* n = s->ends.next; n != &s->ends; n = n->next)
    close_end(mcq__container_of(n, mcq__end_t, node));
}

/* One that is up is its actor's to end. */
static void hurry(mcq__end_t* end) {
  const mcq_socket_t* s = end->socket;
  uint64_t linger = mcq__socket_linger(s);
  if (linger == MCQ__NO_DEADLINE || mcq__actor_leaving(&end->actor)) return;
  if (!may_wait(end)) {
    give_up(end);
    return;
  }
  mcq__parting_t* p = end->parting;
  uint64_t at = mcq__io_fresh_now(&s->host->io) + linger;
  if (p->give_up_at == 0 || at < p->give_up_at) p->give_up_at = at;
  start_waiting(&s->host->io, p);
}

void mcq__ends_hurry(mcq_socket_t* s) {
  for (mcq__node_t* n = s->ends.next; n != &s->ends; n = n->next) {
    mcq__end_t* end = mcq__container_of(n, mcq__end_t, node);
    if (end->connecting) hurry(end);
  }
}

void mcq__ends_forget(mcq_socket_t* s) {
  for (mcq__node_t* n = s->ends.next; n != &s->ends; n = n->next) {
    mcq__end_t* end = mcq__container_of(n, mcq__end_t, node);
    if (end->connecting) give_up(end);
  }
}

/* ---- API ----------------------------------------------------------------- */

static mcq__end_t* find(const mcq_socket_t* s, mcq_endpoint_t id) {
  for (mcq__node_t* n = s->ends.next; n != &s->ends; n = n->next) {
    mcq__end_t* end = mcq__container_of(n, mcq__end_t, node);
    if (end->id == id && !end->closing) return end;
  }
  return NULL;
}

mcq__actor_t* mcq__end_actor(const mcq_socket_t* s, mcq_endpoint_t id) {
  mcq__end_t* end = find(s, id);
  return end != NULL && end->connecting ? &end->actor : NULL;
}

static mcq__end_t* make(mcq_socket_t* s, const char* uri) {
  mcq__end_t* end = mcq__new(s->host->mem, mcq__end_t);
  if (end == NULL) return NULL;
  end->socket = s;
  end->uri = mcq__mem_text(s->host->mem, uri, strlen(uri));
  if (end->uri != NULL) return end;
  destroy(end);
  return NULL;
}

static mcq__end_t* make_bound(mcq_socket_t* s, const char* uri) {
  mcq__end_t* end = make(s, uri);
  if (end == NULL) return NULL;
  end->bound = mcq__new(s->host->mem, mcq__bound_t);
  if (end->bound == NULL) {
    destroy(end);
    return NULL;
  }
  end->bound->listener.user = end;
  end->bound->listener.reuse_port = s->options.reuse_port;
  end->bound->listener.incoming_cpu = s->options.incoming_cpu;
  end->bound->task.run = run_announce;
  return end;
}

static void enlist(mcq_socket_t* s, mcq__end_t* end, mcq_endpoint_t* out) {
  end->id = ++s->last_end;
  mcq__list_insert(&s->ends, &end->node);
  s->alive++;
  mcq__socket_keep(s);
  if (out != NULL) *out = end->id;
}

static int parse(const mcq_socket_t* s, const char* uri,
                 mcq__endpoint_t* endpoint) {
  if (s->leaving) return MCQ_ECLOSED;
  if (uri == NULL) return MCQ_EINVAL;
  return mcq__endpoint_parse(endpoint, uri);
}

int mcq_bind(mcq_socket_t* socket, const char* uri, mcq_endpoint_t* out) {
  mcq__endpoint_t endpoint;
  int rc = parse(socket, uri, &endpoint);
  if (rc != 0) return rc;
  mcq__end_t* end = make_bound(socket, uri);
  if (end == NULL) return MCQ_ENOMEM;
  /* First of all, even of those who have been waiting for this name. */
  mcq__io_work(&socket->host->io, &end->bound->task);
  rc = mcq__listener_open(&end->bound->listener, &socket->host->io, &endpoint,
                          socket->options.backlog, &listener_events);
  if (rc != 0) {
    destroy(end);
    return rc;
  }
  enlist(socket, end, out);
  return 0;
}

static bool connected_there(const mcq_socket_t* s, const char* uri) {
  for (mcq__node_t* n = s->ends.next; n != &s->ends; n = n->next) {
    mcq__end_t* end = mcq__container_of(n, mcq__end_t, node);
    if (end->connecting && !end->closing && strcmp(end->uri, uri) == 0)
      return true;
  }
  return false;
}

/* Somebody is called so, or will be when he is reached. */
static bool called_so(const mcq_socket_t* s, const uint8_t* id, size_t len) {
  for (mcq__node_t* n = s->ends.next; n != &s->ends; n = n->next) {
    const mcq__end_t* end = mcq__container_of(n, mcq__end_t, node);
    if (!end->closing && end->name != NULL && end->name_len == len &&
        memcmp(end->name, id, len) == 0)
      return true;
  }
  return s->pattern->seats->find(s, id, len).epoch != 0;
}

static int check_connect(const mcq_socket_t* s, const char* uri,
                         const mcq_connect_options_t* options) {
  size_t len = options->routing_id_len;
  const uint8_t* id = (const uint8_t*) options->routing_id;
  if (len > 255 || (len > 0 && (id == NULL || id[0] == 0))) return MCQ_EINVAL;
  if (len > 0 && !s->pattern->by_name) return MCQ_EINVAL;
  if (len > 0 && called_so(s, id, len)) return MCQ_EEXIST;
  if (!(options->flags & MCQ_CONNECT_MULTI) && connected_there(s, uri))
    return MCQ_EEXIST;
  return 0;
}

/* Everything of a dialed endpoint up to its place in the lists. */
static int start_dialed(mcq__end_t* end, const mcq__endpoint_t* endpoint,
                        const mcq_connect_options_t* options) {
  mcq_socket_t* s = end->socket;
  end->connecting = true;
  int rc = mcq__actor_init(&end->actor, &s->config);
  end->actor.end = end;
  if (rc == 0 && options->routing_id_len != 0) {
    end->name_len = (uint8_t) options->routing_id_len;
    end->name =
        (char*) mcq__mem_copy(s->host->mem, options->routing_id, end->name_len);
    if (end->name == NULL) rc = MCQ_ENOMEM;
  }
  if (rc == 0 && !(s->options.flags & MCQ_IMMEDIATE))
    rc = mcq__peers_queue(s, &end->actor);
  if (rc == 0)
    rc = mcq__dialer_open(&end->dialer, &s->host->io, endpoint, &s->dialing,
                          &dialer_events);
  if (rc != 0) mcq__peers_leave(s, &end->actor);
  return rc;
}

int mcq_connect(mcq_socket_t* socket, const char* uri,
                const mcq_connect_options_t* options, mcq_endpoint_t* out) {
  static const mcq_connect_options_t defaults = {0};
  if (options == NULL) options = &defaults;
  mcq__endpoint_t endpoint;
  int rc = parse(socket, uri, &endpoint);
  if (rc == 0) rc = check_connect(socket, uri, options);
  if (rc != 0) return rc;
  mcq__end_t* end = make(socket, uri);
  if (end == NULL) return MCQ_ENOMEM;
  rc = start_dialed(end, &endpoint, options);
  if (rc != 0) {
    destroy(end);
    return rc;
  }
  mcq__list_insert(&socket->actors, &end->actor.node);
  enlist(socket, end, out);
  return 0;
}

static int stop(mcq_socket_t* s, mcq_endpoint_t id, bool connecting) {
  mcq__end_t* end = find(s, id);
  if (end == NULL || end->connecting != connecting) return MCQ_ENOENT;
  close_end(end);
  return 0;
}

int mcq_unbind(mcq_socket_t* socket, mcq_endpoint_t endpoint) {
  return stop(socket, endpoint, false);
}

int mcq_disconnect(mcq_socket_t* socket, mcq_endpoint_t endpoint) {
  return stop(socket, endpoint, true);
}

const char* mcq_endpoint_uri(const mcq_socket_t* socket,
                             mcq_endpoint_t endpoint) {
  mcq__end_t* end = find(socket, endpoint);
  return end == NULL ? NULL : address_of(end);
}
