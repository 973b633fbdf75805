/* SPDX-License-Identifier: MIT */
/* The socket's own verbs: making, closing, counting. */
#include "socket/socket.h"

#include <stdio.h>
#include <string.h>

#include "socket/fanout.h"

/* What can be announced of heartbeat_ttl_ms. */
#define TTL_MAX 65500

/* The usual mark of a queue, and how many bytes of small messages make a batch,
 * which is what a write likes best. */
#define USUAL_MESSAGES 1000
#define USUAL_BATCH ((uint64_t) 262144)

/* ---- events to the user -------------------------------------------------- */

void mcq__socket_event(mcq_socket_t* s, const mcq_event_t* event) {
  if (s->options.on_event != NULL) s->options.on_event(s, event);
}

void mcq__socket_drained(mcq_socket_t* s) {
  if (mcq__unlikely(s->mail_waits)) mcq__mailboxes_room(s);
  if (!s->wants_drain || s->closing) return;
  s->wants_drain = false;
  if (s->options.on_drain != NULL) s->options.on_drain(s);
}

/* ---- options ------------------------------------------------------------- */

/* Zero becomes the default; -1 stays where the option has such a meaning. */
static int settle(int64_t* value, int64_t standard, bool may_be_none) {
  if (*value == 0) *value = standard;
  return *value < (may_be_none ? -1 : 0) ? MCQ_EINVAL : 0;
}

static int settle32(int32_t* value, int32_t standard, bool may_be_none) {
  int64_t wide = *value;
  int rc = settle(&wide, standard, may_be_none);
  *value = (int32_t) wide;
  return rc;
}

/* -1 and 0 are the same where there is nothing to switch off. */
static int settle_times(mcq_socket_options_t* o) {
  int64_t interval = o->heartbeat_ms;
  int64_t ttl = o->heartbeat_ttl_ms > TTL_MAX ? TTL_MAX : o->heartbeat_ttl_ms;
  if (interval < -1 || o->heartbeat_timeout_ms < -1 || ttl < -1 ||
      o->first_message_ms < -1 || o->idle_ms < -1 ||
      o->reconnect_attempts < -1 || o->reconnect_total_ms < -1)
    return MCQ_EINVAL;
  int stops = MCQ_STOP_REFUSED | MCQ_STOP_HANDSHAKE | MCQ_STOP_LOST;
  if (o->reconnect_stop & ~stops) return MCQ_EINVAL;
  /* A peer that gives us up before we ask again would do so all the time. */
  if (interval > 0 && ttl > 0 && ttl <= interval) return MCQ_EINVAL;
  if (o->heartbeat_timeout_ms == 0) o->heartbeat_timeout_ms = interval;
  return 0;
}

static int settle_options(mcq_socket_options_t* o) {
  int rc = 0;
  if (o->sndhwm < -1) rc = MCQ_EINVAL;
  rc |= settle(&o->sndhwm_bytes, 8 << 20, true);
  rc |= settle(&o->max_bytes, -1, true);
  rc |= settle(&o->max_message_size, 64 << 20, true);
  rc |= settle(&o->max_frames, 1024, true);
  rc |= settle(&o->handshake_ms, 10000, true);
  if (o->linger_ms != MCQ_LINGER_NONE) rc |= settle(&o->linger_ms, 1000, true);
  rc |= settle(&o->reconnect_ms, 100, true);
  rc |= settle(&o->reconnect_max_ms, 30000, false);
  rc |= settle(&o->connect_ms, 10000, true);
  rc |= settle32(&o->backlog, 511, false);
  rc |= settle32(&o->incoming_cpu, 0, true);
  rc |= settle32(&o->max_connections, -1, true);
  rc |= settle32(&o->max_per_address, -1, true);
  rc |= settle32(&o->max_handshakes, 512, true);
  rc |= settle(&o->max_handshake_size, 65536 + 256, true);
  rc |= settle32(&o->turn_messages, 32768, false);
  rc |= settle(&o->turn_bytes, 2 << 20, false);
  rc |= settle32(&o->turn_usec, 500, false);
  rc |= settle(&o->max_subscriptions, 1000000, true);
  rc |= settle(&o->max_subscription_bytes, 64 << 20, true);
  if (settle_times(o) != 0) rc = MCQ_EINVAL;
  if (o->incoming_cpu > 0 && !o->reuse_port) rc = MCQ_EINVAL;
  if (o->request_ms < 0) rc = MCQ_EINVAL;
  if (o->slow_peer < 0 || o->slow_peer > MCQ_SLOW_REFUSE) rc = MCQ_EINVAL;
  if (o->welcome_len > 0 && o->welcome == NULL) rc = MCQ_EINVAL;
  const uint8_t* id = (const uint8_t*) o->routing_id;
  if (o->routing_id_len > 255) rc = MCQ_EINVAL;
  if (o->routing_id_len > 0 && (id == NULL || id[0] == 0)) rc = MCQ_EINVAL;
  if (o->property_count > 0 && o->properties == NULL) rc = MCQ_EINVAL;
  return rc == 0 ? 0 : MCQ_EINVAL;
}

/* RFC 37: the characters a property name is made of. */
static bool good_property(const mcq_property_t* p) {
  if (p->name == NULL || (p->len > 0 && p->value == NULL)) return false;
  size_t len = strlen(p->name);
  size_t good = strspn(p->name,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                       "0123456789-_.+");
  return len >= 1 && len <= 255 && good == len && p->len <= INT32_MAX;
}

static int copy_properties(mcq_socket_t* s, const mcq_socket_options_t* o) {
  size_t count = o->property_count;
  if (count == 0) return 0;
  if (count > 1024) return MCQ_EINVAL;
  s->properties = (mcq__property_t*) mcq__mem_zalloc(
      s->host->mem, count * sizeof *s->properties);
  if (s->properties == NULL) return MCQ_ENOMEM;
  s->config.session.properties = s->properties;
  for (size_t i = 0; i < count; i++) {
    const mcq_property_t* p = &o->properties[i];
    if (!good_property(p)) return MCQ_EINVAL;
    mcq__property_t* copy = &s->properties[i];
    int rc =
        mcq__slice_copy(&copy->name, s->host->pool, p->name, strlen(p->name));
    if (rc == 0)
      rc = mcq__slice_copy(&copy->value, s->host->pool, p->value, p->len);
    if (rc != 0) return rc;
    s->config.session.property_count = i + 1;
  }
  return 0;
}

static uint64_t unlimited(int64_t value) {
  return value < 0 ? UINT64_MAX : (uint64_t) value;
}

static uint64_t when_set(int64_t value) {
  return value <= 0 ? MCQ__NEVER : (uint64_t) value;
}

static void configure_pulse(mcq__pulse_config_t* p,
                            const mcq_socket_options_t* o) {
  p->interval = when_set(o->heartbeat_ms);
  /* Who is not asked need not answer. */
  p->timeout = p->interval == MCQ__NEVER ? MCQ__NEVER
                                         : when_set(o->heartbeat_timeout_ms);
  p->first = when_set(o->first_message_ms);
  p->idle = when_set(o->idle_ms);
  if (o->heartbeat_ms > 0 && o->heartbeat_ttl_ms > 0)
    p->ttl = (uint64_t) o->heartbeat_ttl_ms;
}

/* Somebody found no room though his own queue had some; or all who found none
 * may try again. */
static void on_short(mcq__budget_t* budget, bool is_short) {
  mcq_socket_t* s = mcq__container_of(budget, mcq_socket_t, budget);
  mcq_event_t event = {
      .kind = is_short ? MCQ_EVENT_CONGESTED : MCQ_EVENT_RELIEVED,
      .address = "",
      .text = "max_bytes"};
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    event.count += a->outbox->messages;
    if (!is_short && a->starved) mcq__io_flush(&s->host->io, &a->flush);
  }
  mcq__socket_event(s, &event);
}

static void configure_budget(mcq_socket_t* s) {
  mcq__budget_t* above = &s->host->budget;
  uint64_t max = unlimited(s->options.max_bytes);
  mcq__budget_init(&s->budget, &s->host->io, max,
                   above->max == UINT64_MAX ? NULL : above);
  s->budget.on_short = on_short;
  if (max != UINT64_MAX || s->budget.above != NULL)
    s->config.budget = &s->budget;
}

/* More than that in one turn is no limit. */
static uint32_t in_32_bits(uint64_t n) {
  return n < UINT32_MAX ? (uint32_t) n : UINT32_MAX;
}

static void configure(mcq_socket_t* s) {
  const mcq_socket_options_t* o = &s->options;
  mcq__actor_config_t* c = &s->config;
  c->io = &s->host->io;
  c->protocol = s->pattern->raw ? s->host->raw : s->host->protocol;
  c->events = mcq__peers_events();
  c->marks.messages = unlimited(o->sndhwm == 0 ? USUAL_MESSAGES : o->sndhwm);
  c->marks.few_bytes = o->sndhwm == 0 ? USUAL_BATCH : 0;
  c->marks.bytes = unlimited(o->sndhwm_bytes);
  configure_pulse(&c->pulse, o);
  configure_budget(s);
  c->conflate = (o->flags & MCQ_CONFLATE) != 0;
  if (c->conflate)
    c->marks = (mcq__marks_t){.messages = 1, .bytes = c->marks.bytes};
  c->refuses = s->pattern->topics == NULL || o->slow_peer == MCQ_SLOW_REFUSE;
  c->share = (mcq__share_t){
      .messages = (uint32_t) o->turn_messages,
      .bytes = in_32_bits((uint64_t) o->turn_bytes),
      .ns = in_32_bits((uint64_t) o->turn_usec * 1000),
  };
  c->session.pool = s->host->pool;
  c->session.socket_type = s->pattern->name;
  c->session.mates = s->pattern->mates;
  c->session.routing_id = s->routing_id;
  c->session.send_routing_id = s->pattern->announces_id;
  c->session.hesitates =
      s->pattern->admit != NULL || (o->flags & MCQ_ROUTER_REFUSE_TWIN) != 0;
  c->session.max_message = unlimited(o->max_message_size);
  c->session.max_frames = unlimited(o->max_frames);
  c->session.handshake_ms = unlimited(o->handshake_ms);
  c->session.max_handshake = unlimited(o->max_handshake_size);
  c->owner = s;
  c->total = &s->tally;
  mcq__actor_config_init(c, &s->no_outbox, &s->no_bridge);
}

static uint64_t none(int64_t value) {
  return value < 0 ? 0 : (uint64_t) value;
}

static void configure_dialing(mcq__dialer_config_t* c,
                              const mcq_socket_options_t* o) {
  c->retry_ms = o->reconnect_ms < 0 ? MCQ__NEVER : (uint64_t) o->reconnect_ms;
  c->retry_max_ms = (uint64_t) o->reconnect_max_ms;
  c->connect_ms = o->connect_ms < 0 ? MCQ__NEVER : (uint64_t) o->connect_ms;
  c->attempts = none(o->reconnect_attempts);
  c->total_ms = none(o->reconnect_total_ms);
}

/* ---- life ---------------------------------------------------------------- */

static void dispose(mcq_socket_t* s) {
  mcq__host_t* host = s->host;
  mcq__io_cancel(&s->task);
  mcq__io_cancel(&s->notice);
  mcq__io_cancel(&s->drops);
  mcq__io_cancel(&s->settle);
  mcq__io_cancel(&s->wipe);
  mcq__arena_close(&s->board);
  if (s->pattern->fini != NULL) s->pattern->fini(s);
  s->pattern->seats->dispose(s);
  mcq__gate_dispose(&s->gate);
  mcq__budget_dispose(&s->budget);
  mcq__slice_release(&s->routing_id);
  for (size_t i = 0; i < s->options.property_count && s->properties; i++) {
    mcq__slice_release(&s->properties[i].name);
    mcq__slice_release(&s->properties[i].value);
  }
  mcq__mem_free(host->mem, s->properties);
  mcq__mem_free(host->mem, s->name);
  mcq__list_remove(&s->node);
  mcq__mem_free(host->mem, s);
}

/* What was counted stays with the context. */
static void bequeath(const mcq_socket_t* s) {
  mcq_stats_t stats;
  mcq__stats_socket(s, &stats);
  stats.subscriptions = 0;
  mcq__stats_add(&s->host->gone, &stats);
}

static void run_closed(mcq__task_t* task) {
  mcq_socket_t* s = mcq__container_of(task, mcq_socket_t, task);
  mcq__host_t* host = s->host;
  bool closing = s->closing;
  mcq__drain_over(s);
  if (!closing) return; /* if it is now, it takes another turn */
  mcq_close_info_t info = {.lost_messages = s->lost_messages,
                           .lost_bytes = s->lost_bytes,
                           .data = s->options.data};
  if (s->on_close != NULL) s->on_close(&info);
  if (s->keeps) mcq__io_unref(&host->io);
  bequeath(s);
  dispose(s);
  host->on_gone(host);
}

void mcq__socket_keep(mcq_socket_t* s) {
  bool wanted = s->closing || s->draining || (!s->unref && s->alive > 0);
  if (wanted == s->keeps) return;
  s->keeps = wanted;
  if (wanted)
    mcq__io_ref(&s->host->io);
  else
    mcq__io_unref(&s->host->io);
}

void mcq__socket_check_closed(mcq_socket_t* s) {
  mcq__socket_keep(s);
  if ((s->closing || s->draining) && s->alive == 0)
    mcq__io_later(&s->host->io, &s->task);
}

static void run_notice(mcq__task_t* task) {
  mcq_socket_t* s = mcq__container_of(task, mcq_socket_t, notice);
  mcq_event_t event = {.kind = MCQ_EVENT_BACKEND,
                       .address = "",
                       .code = s->host->io.fallback,
                       .text = s->host->io.backend->name};
  mcq__socket_event(s, &event);
}

static void run_drops(mcq__task_t* task) {
  mcq__fanout_report(mcq__container_of(task, mcq_socket_t, drops));
}

static void run_settle(mcq__task_t* task) {
  mcq__fanout_settle(mcq__container_of(task, mcq_socket_t, settle));
}

static void run_wipe(mcq__task_t* task) {
  mcq__fanout_wipe(mcq__container_of(task, mcq_socket_t, wipe));
}

static int copy_name(mcq_socket_t* s, const char* name) {
  char number[24];
  if (name == NULL) {
    snprintf(number, sizeof number, "%llu", (unsigned long long) s->number);
    name = number;
  }
  s->name = mcq__mem_text(s->host->mem, name, strlen(name));
  return s->name == NULL ? MCQ_ENOMEM : 0;
}

static int build(mcq_socket_t* s, const mcq_socket_options_t* options) {
  mcq__host_t* host = s->host;
  s->pattern->seats->init(s);
  int rc = mcq__gate_init(&s->gate, s);
  if (rc == 0)
    rc = mcq__slice_copy(&s->routing_id, host->pool, options->routing_id,
                         options->routing_id_len);
  if (rc == 0) rc = copy_name(s, options->name);
  if (rc == 0) rc = copy_properties(s, options);
  if (rc == 0) configure(s);
  if (rc == 0) configure_dialing(&s->dialing, &s->options);
  if (rc == 0 && s->pattern->init != NULL) rc = s->pattern->init(s, options);
  return rc;
}

/* What a type has no use for is a mistake. */
static bool fits(const mcq__pattern_t* pattern, const mcq_socket_options_t* o) {
  if (o->flags & ~pattern->flags) return false;
  if (pattern->raw && o->heartbeat_ms > 0) return false;
  return pattern->type != MCQ_PUSH || o->first_message_ms <= 0;
}

int mcq__socket_make(mcq__host_t* host, const mcq_socket_options_t* options,
                     mcq_socket_t** out) {
  if (options == NULL) return MCQ_EINVAL;
  if (host->closing) return MCQ_ECLOSED;
  if (options->type < MCQ_PAIR || options->type > MCQ_STREAM) return MCQ_EINVAL;
  const mcq__pattern_t* pattern = mcq__pattern_find(options->type);
  if (pattern == NULL) return MCQ_ENOTSUP;
  if (!fits(pattern, options)) return MCQ_EINVAL;
  mcq_socket_options_t settled = *options;
  int rc = settle_options(&settled);
  if (rc != 0) return rc;
  mcq_socket_t* s = mcq__new(host->mem, mcq_socket_t);
  if (s == NULL) return MCQ_ENOMEM;
  s->host = host;
  s->pattern = pattern;
  s->number = host->opened + 1;
  s->options = settled;
  if (pattern->raw) s->options.flags |= MCQ_IMMEDIATE;
  s->task.run = run_closed;
  s->notice.run = run_notice;
  s->drops.run = run_drops;
  s->settle.run = run_settle;
  s->wipe.run = run_wipe;
  mcq__list_init(&s->actors);
  mcq__list_init(&s->ends);
  mcq__list_init(&s->mailboxes);
  rc = build(s, options);
  if (rc != 0) {
    dispose(s);
    return rc;
  }
  mcq__list_insert(&host->sockets, &s->node);
  host->opened++;
  if (host->io.fallback != 0) mcq__io_work(&host->io, &s->notice);
  *out = s;
  return 0;
}

/* Accepted connections; the dialed ones go with their endpoints. */
void mcq__socket_end_accepted(mcq_socket_t* s) {
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    if (a->end == NULL) mcq__socket_part(s, a);
  }
}

void mcq__socket_settle(mcq_socket_t* s) {
  if (s->pattern->seats->settle != NULL) s->pattern->seats->settle(s);
}

void mcq__socket_last_orders(mcq_socket_t* s) {
  s->lost_messages = 0;
  s->lost_bytes = 0;
  mcq__mailboxes_close(s);
  mcq__socket_settle(s);
  s->leaving = true;
}

void mcq_close(mcq_socket_t* socket, mcq_close_cb on_close) {
  if (socket->closing) return;
  socket->on_close = on_close;
  if (!socket->leaving) mcq__socket_last_orders(socket);
  socket->closing = true;
  mcq__io_cancel(&socket->notice);
  mcq__proxy_closing(socket);
  mcq__ends_close(socket);
  mcq__socket_end_accepted(socket);
  if (socket->draining) mcq__drain_hurry(socket);
  mcq__socket_check_closed(socket);
}

static void silence(mcq_socket_t* s) {
  mcq_socket_options_t* o = &s->options;
  o->on_message = NULL;
  o->on_peer_up = NULL;
  o->on_peer_down = NULL;
  o->on_drain = NULL;
  o->on_event = NULL;
  o->on_request_failed = NULL;
  s->on_drained = NULL;
}

void mcq__socket_forget(mcq_socket_t* s) {
  mcq__proxy_closing(s);
  silence(s);
  s->options.linger_ms = MCQ_LINGER_NONE;
  mcq__mailboxes_forget(s);
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next)
    mcq__actor_forget(mcq__container_of(n, mcq__actor_t, node), MCQ_ELOCAL);
  mcq_close(s, NULL);
  s->on_close = NULL;
  mcq__ends_forget(s);
}

uint64_t mcq__socket_linger(const mcq_socket_t* s) {
  bool drains = s->draining && !s->closing;
  int64_t ms = drains ? s->drain_ms : s->options.linger_ms;
  if (ms == MCQ_LINGER_NONE) return 0;
  return ms < 0 ? MCQ__NO_DEADLINE : (uint64_t) ms;
}

void mcq_ref(mcq_socket_t* socket) {
  socket->unref = false;
  mcq__socket_keep(socket);
}

void mcq_unref(mcq_socket_t* socket) {
  socket->unref = true;
  mcq__socket_keep(socket);
}

void* mcq_socket_data(const mcq_socket_t* socket) {
  return socket->options.data;
}

mcq_ctx_t* mcq_socket_ctx(const mcq_socket_t* socket) {
  return socket->host->ctx;
}

int mcq_socket_type(const mcq_socket_t* socket) {
  return socket->pattern->type;
}

const char* mcq_socket_name(const mcq_socket_t* socket) {
  return socket->name;
}
