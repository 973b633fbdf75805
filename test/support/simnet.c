/* SPDX-License-Identifier: MIT */
/* The simulated network (see simnet.h): its clock, its pipes and its
 * connections, from the dial to the last close.  Tests drive it; contexts see
 * it through sim_transport here and sim_backend in simwire.c.  It never calls
 * a context back but from its alarms and from phases of the context's loop. */
#include "support/simnet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Greeting, handshake and some messages. */
#define CRUMBS_MAX 400

/* ---- words --------------------------------------------------------------- */

void (*sim_last_words)(void);

void sim_fail(const char* format, ...) {
  va_list args;
  va_start(args, format);
  fputs("sim: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  if (sim_last_words != NULL) sim_last_words();
  fflush(NULL);
  _exit(1); /* what is alive now is no leak worth a report */
}

static void hash_text(uint64_t* hash, const char* text) {
  for (; *text != '\0'; text++)
    *hash = (*hash ^ (uint8_t) *text) * UINT64_C(0x100000001b3);
}

void sim_log(sim_net_t* net, const char* format, ...) {
  char text[256];
  int at = snprintf(text, sizeof text, "%6llu ", (unsigned long long) net->now);
  va_list args;
  va_start(args, format);
  vsnprintf(text + at, sizeof text - (size_t) at, format, args);
  va_end(args);
  hash_text(&net->log, text);
  if (net->loud) fprintf(stderr, "%s\n", text);
}

bool sim_odds(sim_net_t* net, unsigned in_a_thousand) {
  if (in_a_thousand == 0) return false;
  return test_random_below(&net->random, 1000) < in_a_thousand;
}

size_t sim_below(sim_net_t* net, size_t n) {
  return test_random_below(&net->random, n);
}

uint64_t sim_between(sim_net_t* net, uint64_t low, uint64_t high) {
  size_t span = (size_t) (high - low) + 1;
  return low + sim_below(net, 1 + sim_below(net, span));
}

/* ---- alarms -------------------------------------------------------------- */

void sim_alarm_clear(sim_alarm_t* alarm) {
  if (alarm->link == NULL) return;
  *alarm->link = alarm->next;
  if (alarm->next != NULL) alarm->next->link = alarm->link;
  alarm->link = NULL;
  alarm->next = NULL;
}

void sim_alarm_set(sim_net_t* net, sim_alarm_t* alarm, uint64_t at) {
  sim_alarm_clear(alarm);
  alarm->at = at;
  sim_alarm_t** link = &net->alarms;
  while (*link != NULL && (*link)->at <= at) link = &(*link)->next;
  alarm->next = *link;
  alarm->link = link;
  if (alarm->next != NULL) alarm->next->link = &alarm->next;
  *link = alarm;
}

uint64_t sim_net_next(const sim_net_t* net) {
  return net->alarms == NULL ? MCQ__NEVER : net->alarms->at;
}

bool sim_net_run(sim_net_t* net) {
  bool any = false;
  while (net->alarms != NULL && net->alarms->at <= net->now) {
    sim_alarm_t* alarm = net->alarms;
    sim_alarm_clear(alarm);
    alarm->run(alarm);
    any = true;
  }
  return any;
}

/* ---- pipes --------------------------------------------------------------- */

static sim_net_t* net_of(const sim_pipe_t* p) {
  return p->conn->net;
}

static sim_end_t* reader_of(sim_pipe_t* p) {
  return &p->conn->end[p == &p->conn->pipe[0]];
}

static sim_end_t* writer_of(sim_pipe_t* p) {
  return &p->conn->end[p != &p->conn->pipe[0]];
}

size_t sim_pipe_room(const sim_pipe_t* p) {
  size_t full = p->len + p->lost;
  return full < p->room ? p->room - full : 0;
}

static void make_space(sim_pipe_t* p, size_t n) {
  if (p->head != 0) memmove(p->bytes, p->bytes + p->head, p->len);
  p->head = 0;
  if (p->len + n <= p->cap) return;
  p->cap = (p->len + n) * 2;
  p->bytes = (uint8_t*) realloc(p->bytes, p->cap);
  sim_require(p->bytes != NULL);
}

static uint64_t travel(sim_pipe_t* p) {
  sim_net_t* net = net_of(p);
  uint64_t at = net->now + sim_between(net, 0, net->faults.delay);
  if (at < p->last_at) at = p->last_at;
  p->last_at = at;
  return at;
}

static void add_piece(sim_pipe_t* p, size_t len) {
  if (p->piece_count == p->piece_cap) {
    p->piece_cap = p->piece_cap * 2 + 8;
    p->pieces =
        (sim_piece_t*) realloc(p->pieces, p->piece_cap * sizeof *p->pieces);
    sim_require(p->pieces != NULL);
  }
  p->pieces[p->piece_count++] = (sim_piece_t){travel(p), len};
}

static void drop_pieces(sim_pipe_t* p, size_t from) {
  for (size_t i = from; i < p->piece_count; i++) {
    p->len -= p->pieces[i].len;
    p->gone += p->pieces[i].len;
  }
  p->piece_count = from;
}

static void set_arrival(sim_pipe_t* p) {
  if (p->piece_count != 0)
    sim_alarm_set(net_of(p), &p->arrival, p->pieces[0].at);
  else if (p->ended && !p->end_there && !p->hole)
    sim_alarm_set(net_of(p), &p->arrival, p->end_at);
  else
    sim_alarm_clear(&p->arrival);
}

static void on_arrival(sim_alarm_t* alarm) {
  sim_pipe_t* p = mcq__container_of(alarm, sim_pipe_t, arrival);
  sim_net_t* net = net_of(p);
  size_t done = 0;
  while (done < p->piece_count && p->pieces[done].at <= net->now)
    p->arrived += p->pieces[done++].len;
  p->piece_count -= done;
  if (p->piece_count != 0)
    memmove(p->pieces, p->pieces + done, p->piece_count * sizeof *p->pieces);
  else if (p->ended && !p->hole && p->end_at <= net->now)
    p->end_there = true;
  set_arrival(p);
  sim_wire_call(reader_of(p)->wire);
}

static void send_reset(sim_end_t* to);

void sim_pipe_take(sim_pipe_t* p, const uint8_t* data, size_t n) {
  sim_net_t* net = net_of(p);
  sim_end_t* writer = writer_of(p);
  sim_require(!p->ended);
  p->taken += n;
  if (net->on_taken != NULL) net->on_taken(writer, data, n);
  if (p->hole) {
    p->gone += n;
    p->lost += n;
    if (reader_of(p)->left && !p->conn->cut) send_reset(writer);
    return;
  }
  make_space(p, n);
  memcpy(p->bytes + p->len, data, n);
  p->len += n;
  while (n > 0) {
    size_t len = sim_odds(net, 300) ? 1 + sim_below(net, n) : n;
    add_piece(p, len);
    n -= len;
  }
  set_arrival(p);
}

void sim_pipe_eat(sim_pipe_t* p, size_t n) {
  sim_require(n <= p->arrived);
  p->head += n;
  p->len -= n;
  p->arrived -= n;
  p->read += n;
  sim_wire_wake(writer_of(p)->wire);
}

void sim_pipe_end(sim_pipe_t* p) {
  if (p->ended) return;
  p->ended = true;
  p->end_at = travel(p);
  set_arrival(p);
}

/* ---- endings ------------------------------------------------------------- */

static void free_conn(sim_conn_t* c) {
  sim_net_t* net = c->net;
  if (net->on_gone != NULL) net->on_gone(c);
  for (int s = 0; s < 2; s++) {
    sim_alarm_clear(&c->pipe[s].arrival);
    sim_alarm_clear(&c->end[s].notice);
    free(c->pipe[s].bytes);
    free(c->pipe[s].pieces);
  }
  sim_alarm_clear(&c->accept);
  *c->link = c->next;
  if (c->next != NULL) c->next->link = c->link;
  net->live--;
  free(c);
}

static void set_notice(sim_end_t* end, uint64_t after, int code) {
  sim_net_t* net = end->conn->net;
  uint64_t at = net->now + after;
  if (end->notice.link != NULL && end->notice.at <= at) return;
  end->notice_code = code;
  sim_alarm_set(net, &end->notice, at);
}

static void send_reset(sim_end_t* to) {
  sim_net_t* net = to->conn->net;
  if (to->left || to->broken != 0) return;
  set_notice(to, sim_between(net, 0, net->faults.delay), UV_ECONNRESET);
}

/* An end learns that its connection is over. */
static void on_notice(sim_alarm_t* alarm) {
  sim_end_t* end = mcq__container_of(alarm, sim_end_t, notice);
  sim_net_t* net = end->conn->net;
  sim_pipe_t* in = sim_in(end);
  sim_pipe_t* out = sim_out(end);
  int code = end->notice_code;
  if (end->left) return;
  sim_log(net, "conn %u side %d broken %d", end->conn->id, sim_side(end), code);
  net->resets++;
  drop_pieces(in, 0);
  drop_pieces(out, 0);
  in->hole = out->hole = true;
  if (code == UV_EOF) {
    in->end_there = true;
    end->broken = UV_EPIPE;
  } else {
    if (sim_odds(net, net->faults.purge)) {
      in->gone += in->arrived;
      in->len = in->arrived = in->head = 0;
    }
    in->error = code;
    end->broken = code;
  }
  set_arrival(in);
  set_arrival(out);
  sim_wire_call(end->wire);
}

void sim_end_leave(sim_end_t* end) {
  sim_pipe_t* in = sim_in(end);
  sim_end_t* other = sim_other(end);
  bool unread = in->len != 0;
  if (end->left) return;
  end->left = true;
  end->left_at = end->conn->net->now;
  sim_alarm_clear(&end->notice);
  if (!end->conn->cut) {
    if (unread)
      send_reset(other);
    else
      sim_pipe_end(sim_out(end));
  }
  drop_pieces(in, 0);
  in->gone += in->arrived;
  in->len = in->arrived = in->head = 0;
  in->hole = true;
  set_arrival(in);
  sim_log(end->conn->net, "conn %u side %d closes%s", end->conn->id,
          sim_side(end), unread ? " with bytes unread" : "");
}

void sim_end_drop(sim_end_t* end) {
  end->held = false;
  end->wire = NULL;
  if (!sim_other(end)->held) free_conn(end->conn);
}

void sim_conn_cut(sim_conn_t* conn, const uint64_t after[2],
                  const int code[2]) {
  sim_net_t* net = conn->net;
  if (conn->cut) return;
  conn->cut = true;
  conn->cut_at = net->now;
  sim_log(net, "conn %u cut", conn->id);
  for (int s = 0; s < 2; s++) {
    sim_pipe_t* p = &conn->pipe[s];
    size_t keep = sim_below(net, p->piece_count + 1);
    drop_pieces(p, keep);
    if (keep > 0 && p->pieces[keep - 1].len > 1) {
      size_t less = sim_below(net, p->pieces[keep - 1].len);
      p->pieces[keep - 1].len -= less;
      p->len -= less;
      p->gone += less;
    }
    p->hole = true;
    set_arrival(p);
    if (!conn->end[s].left) set_notice(&conn->end[s], after[s], code[s]);
  }
}

/* ---- doors: who listens -------------------------------------------------- */

typedef struct sim_door {
  struct sim_door* next;
  struct sim_door** link;
  sim_net_t* net;
  mcq__listener_t* listener;
  char name[64];
  sim_conn_t* waiting;
  mcq__task_t task;
  bool closing;
} sim_door_t;

sim_net_t* sim_net_of(const mcq__io_t* io) {
  return (sim_net_t*) io->seams.clock_arg;
}

static sim_door_t* find_door(const sim_net_t* net, const char* name) {
  sim_door_t* door = net->doors;
  while (door != NULL && strcmp(door->name, name) != 0) door = door->next;
  return door;
}

/* Nobody takes the connection in. */
static void turn_away(sim_conn_t* c) {
  c->door = NULL;
  sim_alarm_clear(&c->accept);
  send_reset(&c->end[0]);
  sim_end_leave(&c->end[1]);
  sim_end_drop(&c->end[1]);
}

static void free_door(sim_door_t* door) {
  mcq__listener_t* l = door->listener;
  door->net->live--;
  mcq__mem_free(l->io->mem, door);
  mcq__listener_closed(l);
}

static void accept_one(sim_door_t* door, sim_conn_t* c) {
  sim_net_t* net = door->net;
  if (sim_odds(net, net->faults.no_accept)) {
    sim_log(net, "conn %u cannot be accepted", c->id);
    sim_alarm_set(net, &c->accept, net->now + 1 + sim_below(net, 20));
    mcq__listener_error(door->listener, UV_EMFILE);
    return;
  }
  c->door = NULL;
  sim_log(net, "conn %u accepted at %s", c->id, door->name);
  mcq__listener_t* l = door->listener;
  if (mcq__listener_knock(l, NULL, c->address[1]))
    mcq__listener_stream(l, &c->end[1], c->address[1]);
  else
    l->transport->discard(l->io, &c->end[1]);
}

static void run_door(mcq__task_t* task) {
  sim_door_t* door = mcq__container_of(task, sim_door_t, task);
  if (door->closing) {
    free_door(door);
    return;
  }
  while (!door->closing && door->waiting != NULL) {
    sim_conn_t* c = door->waiting;
    door->waiting = c->next_waiting;
    accept_one(door, c); /* may close the door: then it is told once more */
  }
}

static void on_accept(sim_alarm_t* alarm) {
  sim_conn_t* c = mcq__container_of(alarm, sim_conn_t, accept);
  sim_conn_t** link = &c->door->waiting;
  while (*link != NULL) link = &(*link)->next_waiting;
  c->next_waiting = NULL;
  *link = c;
  mcq__io_work(c->door->listener->io, &c->door->task);
}

static int listen_sim(mcq__listener_t* l) {
  sim_net_t* net = sim_net_of(l->io);
  char name[64];
  if (strcmp(l->endpoint.rest, "*") == 0)
    snprintf(name, sizeof name, "auto-%u", ++net->last_name);
  else
    snprintf(name, sizeof name, "%.60s", l->endpoint.rest);
  if (find_door(net, name) != NULL) return UV_EADDRINUSE;
  sim_door_t* door = mcq__new(l->io->mem, sim_door_t);
  if (door == NULL) return MCQ_ENOMEM;
  door->net = net;
  door->listener = l;
  door->task.run = run_door;
  memcpy(door->name, name, sizeof name);
  snprintf(l->address, sizeof l->address, "sim://%s", name);
  door->next = net->doors;
  door->link = &net->doors;
  if (door->next != NULL) door->next->link = &door->next;
  net->doors = door;
  net->live++;
  l->impl = door;
  return 0;
}

static void unlisten_sim(mcq__listener_t* l) {
  sim_door_t* door = (sim_door_t*) l->impl;
  sim_net_t* net = door->net;
  *door->link = door->next;
  if (door->next != NULL) door->next->link = door->link;
  door->closing = true;
  door->waiting = NULL;
  for (sim_conn_t *c = net->conns, *next; c != NULL; c = next) {
    next = c->next;
    if (c->door == door) turn_away(c);
  }
  mcq__io_work(l->io, &door->task);
}

/* ---- dials --------------------------------------------------------------- */

typedef struct sim_dial {
  sim_net_t* net;
  mcq__dialer_t* dialer;
  sim_alarm_t alarm;
  mcq__task_t task;
  sim_conn_t* conn;
  int code;
} sim_dial_t;

static sim_conn_t* make_conn(sim_net_t* net, sim_door_t* door) {
  sim_conn_t* c = (sim_conn_t*) calloc(1, sizeof *c);
  sim_require(c != NULL);
  c->net = net;
  c->id = ++net->last_conn;
  for (int s = 0; s < 2; s++) {
    c->end[s].conn = c;
    c->end[s].held = true;
    c->end[s].notice.run = on_notice;
    c->pipe[s].conn = c;
    c->pipe[s].room = net->faults.room;
    if (sim_odds(net, net->faults.crumbs))
      c->pipe[s].crumbs = 1 + sim_below(net, CRUMBS_MAX);
    c->pipe[s].arrival.run = on_arrival;
    snprintf(c->address[s], sizeof c->address[s], "sim://conn/%u/%d", c->id, s);
  }
  c->next = net->conns;
  c->link = &net->conns;
  if (c->next != NULL) c->next->link = &c->next;
  net->conns = c;
  net->live++;
  c->door = door;
  c->accept.run = on_accept;
  sim_alarm_set(net, &c->accept,
                net->now + sim_between(net, 0, net->faults.delay));
  return c;
}

/* Tells the dialer; what it is told may free it. */
static void run_dial(mcq__task_t* task) {
  sim_dial_t* dial = mcq__container_of(task, sim_dial_t, task);
  mcq__dialer_t* d = dial->dialer;
  sim_net_t* net = dial->net;
  sim_conn_t* c = dial->conn;
  int code = dial->code;
  sim_alarm_clear(&dial->alarm);
  mcq__mem_free(d->io->mem, dial);
  net->live--;
  d->impl = NULL;
  if (c != NULL)
    mcq__dialer_done(d, &c->end[0], c->address[0], 0);
  else
    mcq__dialer_done(d, NULL, NULL, code);
}

static void on_dialed(sim_alarm_t* alarm) {
  static const int codes[] = {UV_ECONNREFUSED, UV_ETIMEDOUT, UV_EHOSTUNREACH};
  sim_dial_t* dial = mcq__container_of(alarm, sim_dial_t, alarm);
  sim_net_t* net = dial->net;
  sim_door_t* door = find_door(net, dial->dialer->endpoint->rest);
  if (door == NULL) {
    dial->code = UV_ECONNREFUSED;
  } else if (sim_odds(net, net->faults.refuse)) {
    dial->code = codes[sim_below(net, 3)];
  } else {
    dial->conn = make_conn(net, door);
    sim_log(net, "conn %u to %s", dial->conn->id, door->name);
  }
  mcq__io_work(dial->dialer->io, &dial->task);
}

static int dial_sim(mcq__dialer_t* d) {
  sim_net_t* net = sim_net_of(d->io);
  if (sim_odds(net, net->faults.refuse / 4)) return UV_ENETUNREACH;
  sim_dial_t* dial = mcq__new(d->io->mem, sim_dial_t);
  if (dial == NULL) return MCQ_ENOMEM;
  dial->net = net;
  dial->dialer = d;
  dial->alarm.run = on_dialed;
  dial->task.run = run_dial;
  d->impl = dial;
  net->live++;
  if (!sim_odds(net, net->faults.hang))
    sim_alarm_set(net, &dial->alarm,
                  net->now + sim_between(net, 0, net->faults.dial));
  return 0;
}

/* The connection may just have been made: then whoever gets it after all
 * throws it away. */
static void hangup_sim(mcq__dialer_t* d) {
  sim_dial_t* dial = (sim_dial_t*) d->impl;
  sim_alarm_clear(&dial->alarm);
  if (dial->conn == NULL) dial->code = UV_ECANCELED;
  mcq__io_work(d->io, &dial->task);
}

static void discard_sim(mcq__io_t* io, void* stream) {
  sim_end_t* end = (sim_end_t*) stream;
  (void) io;
  sim_end_leave(end);
  sim_end_drop(end);
}

const mcq__transport_t sim_transport = {
    .scheme = "sim",
    .pump = &sim_backend,
    .listen = listen_sim,
    .unlisten = unlisten_sim,
    .dial = dial_sim,
    .hangup = hangup_sim,
    .discard = discard_sim,
};

/* ---- strangers ----------------------------------------------------------- */

sim_end_t* sim_stranger_open(sim_net_t* net, const char* uri) {
  sim_require(strncmp(uri, "sim://", 6) == 0);
  sim_door_t* door = find_door(net, uri + 6);
  sim_require(door != NULL);
  return &make_conn(net, door)->end[0];
}

void sim_stranger_say(sim_end_t* end, const void* data, size_t len) {
  sim_require(len <= sim_pipe_room(sim_out(end)));
  sim_pipe_take(sim_out(end), (const uint8_t*) data, len);
}

void sim_stranger_close(sim_end_t* end) {
  sim_end_leave(end);
  sim_end_drop(end);
}

/* ---- the whole ----------------------------------------------------------- */

void sim_net_init(sim_net_t* net, uint64_t seed) {
  memset(net, 0, sizeof *net);
  net->random.state = seed;
  net->now = 1000;
  net->log = UINT64_C(0xcbf29ce484222325);
  net->faults.room = 65536;
}

void sim_net_dispose(sim_net_t* net) {
  if (net->live != 0) sim_fail("%u objects are left in the network", net->live);
  sim_require(net->conns == NULL && net->doors == NULL && net->alarms == NULL);
}

static uint64_t read_clock(void* arg) {
  return ((const sim_net_t*) arg)->now;
}

mcq__seams_t sim_net_seams(sim_net_t* net) {
  mcq__seams_t seams = {.clock = read_clock,
                        .clock_arg = net,
                        .backend = &sim_backend,
                        .transport = &sim_transport};
  while (seams.seed == 0) seams.seed = test_random(&net->random);
  return seams;
}
