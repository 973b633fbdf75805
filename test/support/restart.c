/* SPDX-License-Identifier: MIT */
/* Servers that are killed and their client (see restart.h). */
#include "support/restart.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WINDOW 64u /* messages under way */
#define QUEUE 20u  /* sent while no server is there */
#define LOAD 150u  /* heard between two deaths */
#define PATIENCE 60000u

const restart_kind_t restart_kinds[] = {
    {"ROUTER, asked by DEALER", MCQ_ROUTER, MCQ_DEALER, .echoes = true,
     .keeps = true},
    {"REP, asked by REQ", MCQ_REP, MCQ_REQ, .echoes = true, .keeps = true},
    {"PULL, fed by PUSH", MCQ_PULL, MCQ_PUSH, .keeps = true},
    {"SUB, fed by PUB", MCQ_SUB, MCQ_PUB, .keeps = false},
    {"PAIR, asked by PAIR", MCQ_PAIR, MCQ_PAIR, .echoes = true, .keeps = true},
    {"PUB, heard by SUB", MCQ_PUB, MCQ_SUB, .server_drives = true},
    {"XPUB, heard by XSUB", MCQ_XPUB, MCQ_XSUB, .server_drives = true},
    {"PUSH, heard by PULL", MCQ_PUSH, MCQ_PULL, .server_drives = true},
    {"DEALER, answered by ROUTER", MCQ_DEALER, MCQ_ROUTER,
     .server_drives = true, .echoes = true},
    {"REQ, answered by REP", MCQ_REQ, MCQ_REP, .server_drives = true,
     .echoes = true},
};
const size_t restart_kind_count = sizeof restart_kinds / sizeof *restart_kinds;

unsigned restart_times(void) {
  const char* text = getenv("MCQ_RESTARTS");
  return text == NULL ? 10 : (unsigned) strtoul(text, NULL, 10);
}

/* In a server, where no test runs. */
#define MUST(good) ((good) ? (void) 0 : give_up(__LINE__))

static void give_up(int line) {
  fprintf(stderr, "a server: %s:%d: gave up\n", __FILE__, line);
  _exit(3);
}

/* ---- messages ------------------------------------------------------------ */

static const uint8_t* filling(void) {
  static uint8_t bytes[RESTART_SIZE_MAX];
  if (bytes[1] == 0)
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t) (i * 7 + 1);
  return bytes;
}

/* Mostly small; now and then one that is hardly ever written at once. */
static size_t size_of(uint32_t number) {
  return number % 37 == 36 ? RESTART_SIZE_MAX : number * 13 % 900;
}

void restart_make(uint32_t number, mcq_frame_t out[2]) {
  static uint32_t last;
  last = number;
  out[0] = (mcq_frame_t){&last, sizeof last};
  out[1] = (mcq_frame_t){filling(), size_of(number)};
}

static bool read_number(const mcq_frame_t* frames, size_t count,
                        uint32_t* number) {
  if (count != 2 || frames[0].len != sizeof *number) return false;
  memcpy(number, frames[0].data, sizeof *number);
  size_t len = size_of(*number);
  return *number < RESTART_NUMBERS && frames[1].len == len &&
         (len == 0 || memcmp(frames[1].data, filling(), len) == 0);
}

bool restart_note(restart_ledger_t* ledger, const mcq_frame_t* frames,
                  size_t count) {
  uint32_t number;
  if (!read_number(frames, count, &number) ||
      number < atomic_load(&ledger->heard) ||
      number >= atomic_load(&ledger->next)) {
    atomic_fetch_add(&ledger->wrong, 1);
    return false;
  }
  atomic_fetch_add(&ledger->got[number], 1);
  atomic_store(&ledger->heard, number + 1);
  return true;
}

void restart_note_back(restart_ledger_t* ledger, const mcq_frame_t* frames,
                       size_t count) {
  uint32_t number;
  if (!read_number(frames, count, &number) ||
      number < atomic_load(&ledger->back) ||
      number >= atomic_load(&ledger->heard))
    atomic_fetch_add(&ledger->wrong, 1);
  else
    atomic_store(&ledger->back, number + 1);
}

static uint32_t settled(const restart_ledger_t* ledger,
                        const restart_kind_t* kind) {
  return kind->echoes ? atomic_load(&ledger->back)
                      : atomic_load(&ledger->heard);
}

bool restart_may_send(const restart_ledger_t* ledger,
                      const restart_kind_t* kind, uint32_t base) {
  uint32_t from = settled(ledger, kind);
  uint32_t next = atomic_load(&ledger->next);
  return next - (from < base ? base : from) < WINDOW;
}

/* ---- who drives, in whatever process ------------------------------------- */

typedef struct driver {
  mcq_socket_t* s;
  const restart_kind_t* kind;
  restart_ledger_t* ledger;
  bool ready;
  bool asking;
  bool waits; /* for the queue to be emptied */
  uint32_t base;
} driver_t;

/* A number is in the books before it can arrive. */
static bool send_next(driver_t* d) {
  mcq_frame_t frames[2];
  uint32_t number = atomic_load(&d->ledger->next);
  MUST(number < RESTART_NUMBERS);
  restart_make(number, frames);
  atomic_store(&d->ledger->next, number + 1);
  int rc = mcq_send(d->s, frames, 2);
  if (rc == 0) {
    d->asking = true;
    return true;
  }
  atomic_store(&d->ledger->next, number);
  MUST(rc == MCQ_EAGAIN || rc == MCQ_EFSM);
  return false;
}

static bool wants_more(const driver_t* d) {
  uint32_t next = atomic_load(&d->ledger->next);
  if (mcq_socket_type(d->s) == MCQ_REQ && d->asking) return false;
  if (!d->ready)
    return d->kind->keeps && !d->kind->server_drives && next - d->base < QUEUE;
  return restart_may_send(d->ledger, d->kind, d->base);
}

static void drive(driver_t* d) {
  while (wants_more(d) && send_next(d)) continue;
}

static void driver_is_ready(driver_t* d, bool ready) {
  d->ready = ready;
  d->base = atomic_load(&d->ledger->next);
  if (ready) drive(d);
}

/* ---- a server ------------------------------------------------------------ */

static bool publishes(int type) {
  return type == MCQ_PUB || type == MCQ_XPUB;
}

static void pull_frames(const mcq_msg_t* msg, mcq_frame_t out[2]) {
  for (size_t i = 0; i < 2; i++) out[i] = mcq_msg_frame(msg, i);
}

static void server_hears(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  driver_t* d = (driver_t*) mcq_socket_data(s);
  mcq_frame_t frames[2];
  if (publishes(d->kind->server)) return; /* of subscriptions */
  pull_frames(msg, frames);
  if (d->kind->server_drives) {
    restart_note_back(d->ledger, frames, mcq_msg_count(msg));
    d->asking = false;
    drive(d);
    return;
  }
  restart_note(d->ledger, frames, mcq_msg_count(msg));
  if (!d->kind->echoes) return;
  int rc = mcq_socket_type(s) == MCQ_REP ? mcq_send_msg(s, msg)
                                         : mcq_send_msg_to(s, peer, msg);
  MUST(rc == 0);
}

static void server_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  driver_t* d = (driver_t*) mcq_socket_data(s);
  (void) info;
  if (d->kind->server_drives && !publishes(d->kind->server))
    driver_is_ready(d, true);
}

static void server_event(mcq_socket_t* s, const mcq_event_t* e) {
  driver_t* d = (driver_t*) mcq_socket_data(s);
  if (e->kind == MCQ_EVENT_SUBSCRIBED && publishes(d->kind->server))
    driver_is_ready(d, true);
}

static void on_tick(uv_timer_t* tick) {
  driver_t* d = (driver_t*) tick->data;
  if (d->ready) drive(d);
}

void restart_serve(const restart_order_t* order, restart_ledger_t* ledger) {
  const restart_kind_t* kind = &restart_kinds[order->kind];
  driver_t d = {.kind = kind, .ledger = ledger};
  uv_loop_t loop;
  uv_timer_t tick;
  mcq_ctx_t* ctx;
  char uri[64];
  mcq_ctx_options_t seat = {.backend = order->backend};
  mcq_socket_options_t o = {.type = kind->server,
                            .data = &d,
                            .on_message = server_hears,
                            .on_peer_up = server_up,
                            .on_event = server_event,
                            .sndhwm = -1};
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", order->port);
  uv_loop_init(&loop);
  MUST(mcq_ctx_new(&loop, &seat, &ctx) == 0);
  MUST(mcq_socket_new(ctx, &o, &d.s) == 0);
  if (kind->server == MCQ_SUB) MUST(mcq_subscribe(d.s, "", 0) == 0);
  MUST(mcq_bind(d.s, uri, NULL) == 0);
  if (order->doomed) raise(SIGKILL);
  uv_timer_init(&loop, &tick);
  tick.data = &d;
  uv_timer_start(&tick, on_tick, 1, 1);
  uv_run(&loop, UV_RUN_DEFAULT);
  _exit(0);
}

/* ---- the nursery --------------------------------------------------------- */

static struct {
  restart_ledger_t* ledger;
  pid_t pid;
  int orders;
  int answers; /* a byte for every end */
  int port;
  int held; /* a descriptor that keeps the port ours */
} nursery;

/* Bound and not listening: others of ours may bind there, and nobody else is
 * given the port. */
static void hold_port(void) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  int on = 1;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  nursery.held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  MUST(nursery.held >= 0);
  MUST(setsockopt(nursery.held, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  MUST(bind(nursery.held, (const struct sockaddr*) &at, size) == 0);
  MUST(getsockname(nursery.held, (struct sockaddr*) &at, &size) == 0);
  nursery.port = ntohs(at.sin_port);
}

static void end_child(pid_t child) {
  if (child <= 0) return;
  kill(child, SIGKILL);
  while (waitpid(child, NULL, 0) < 0) continue;
}

/* One server at a time: the next begins when the last is dead. */
static void run_nursery(int orders, int answers, restart_serve_fn serve) {
  restart_order_t order;
  pid_t child = 0;
  pid_t self = getpid();
  while (read(orders, &order, sizeof order) == sizeof order) {
    end_child(child);
    child = 0;
    if (order.kind < 0) {
      MUST(write(answers, "", 1) == 1);
      continue;
    }
    child = fork();
    MUST(child >= 0);
    if (child > 0) continue;
    close(orders);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self) _exit(0);
    serve(&order, nursery.ledger);
    _exit(0);
  }
  end_child(child);
}

void restart_begin(restart_serve_fn serve) {
  int pipes[2];
  int back[2];
  void* memory = mmap(NULL, sizeof(restart_ledger_t), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(memory != MAP_FAILED && pipe(pipes) == 0 && pipe(back) == 0);
  (void) filling();
  hold_port();
  nursery.ledger = (restart_ledger_t*) memory;
  nursery.orders = pipes[1];
  nursery.answers = back[0];
  pid_t parent = getpid();
  fflush(stdout);
  nursery.pid = fork();
  MUST(nursery.pid >= 0);
  if (nursery.pid > 0) {
    close(pipes[0]);
    close(back[1]);
    return;
  }
  close(pipes[1]);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  run_nursery(pipes[0], back[1], serve);
  _exit(0);
}

void restart_end(void) {
  close(nursery.orders);
  close(nursery.answers);
  while (waitpid(nursery.pid, NULL, 0) < 0) continue;
  close(nursery.held);
  munmap(nursery.ledger, sizeof *nursery.ledger);
}

/* ---- the client ---------------------------------------------------------- */

typedef struct client {
  driver_t d;
  uv_loop_t loop;
  uv_timer_t tick;
  mcq_ctx_t* ctx;
  const restart_kind_t* kind;
  restart_ledger_t* ledger;
  int number; /* of the kind */
  int server_backend;
  unsigned kills, times;
  bool there, closing, left;
  bool killed; /* and not yet noticed */
  mcq_peer_t peer;
  uint64_t last_epoch;
  unsigned ups, downs, failed, early;
  uint32_t at_down, at_up; /* what was sent between them has to arrive */
  uint32_t kill_at;        /* when so many are heard */
  unsigned idle;           /* ticks in which nothing was heard */
  uint32_t idle_at;
} client_t;

static client_t* of(mcq_socket_t* s) {
  return (client_t*) mcq_socket_data(s);
}

static void order_server(const client_t* c, bool doomed) {
  restart_order_t order = {.kind = c->number,
                           .backend = c->server_backend,
                           .port = nursery.port,
                           .doomed = doomed};
  assert_int_equal(write(nursery.orders, &order, sizeof order), sizeof order);
}

static void check_ledger(const client_t* c) {
  assert_int_equal(atomic_load(&c->ledger->wrong), 0);
}

/* What was queued while no server was there has arrived, once. */
static void check_queue(const client_t* c) {
  if (!c->kind->keeps) return;
  for (uint32_t i = c->at_down; i < c->at_up; i++)
    if (atomic_load(&c->ledger->got[i]) != 1)
      fail_msg("%s: %u of the queue %u..%u arrived %u times", c->kind->name, i,
               c->at_down, c->at_up, atomic_load(&c->ledger->got[i]));
}

/* Now and then two die in a row, the second in its first breath. */
static void kill_server(client_t* c) {
  c->kills++;
  c->killed = true;
  if (c->kills % 5 == 4) order_server(c, true);
  order_server(c, false);
}

static bool is_due(const client_t* c) {
  uint32_t heard = settled(c->ledger, c->kind);
  return c->there && !c->killed && heard >= c->kill_at && heard > c->at_up;
}

static void finish(client_t* c) {
  c->closing = true;
  mcq_ctx_close(c->ctx, NULL);
  uv_close((uv_handle_t*) &c->tick, NULL);
}

static void look(client_t* c) {
  uint32_t heard = settled(c->ledger, c->kind);
  check_ledger(c);
  c->idle = heard == c->idle_at ? c->idle + 1 : 0;
  c->idle_at = heard;
  if (c->idle > PATIENCE)
    fail_msg(
        "%s: nothing is heard any more after %u deaths: sent %u, heard "
        "%u, back %u, %s",
        c->kind->name, c->kills, atomic_load(&c->ledger->next),
        atomic_load(&c->ledger->heard), atomic_load(&c->ledger->back),
        c->there ? "there" : "away");
  if (!is_due(c)) return;
  check_queue(c);
  if (c->kills == c->times)
    finish(c);
  else
    kill_server(c);
}

static void client_tick(uv_timer_t* tick) {
  client_t* c = (client_t*) tick->data;
  if (c->closing) return;
  if (!c->kind->server_drives) drive(&c->d);
  look(c);
}

static void client_hears(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  client_t* c = of(s);
  mcq_frame_t frames[2];
  assert_true(c->there && peer.epoch == c->peer.epoch);
  pull_frames(msg, frames);
  if (!c->kind->server_drives) {
    restart_note_back(c->ledger, frames, mcq_msg_count(msg));
    c->d.asking = false;
    drive(&c->d);
  } else {
    restart_note(c->ledger, frames, mcq_msg_count(msg));
    if (c->kind->echoes && mcq_socket_type(s) == MCQ_REP)
      assert_int_equal(mcq_send_msg(s, msg), 0);
    else if (c->kind->echoes)
      assert_int_equal(mcq_send_msg_to(s, peer, msg), 0);
  }
  if (!c->closing) look(c);
}

static void client_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  client_t* c = of(s);
  assert_false(c->there);
  assert_true(info->peer.epoch > c->last_epoch);
  c->there = true;
  c->killed = false;
  c->peer = info->peer;
  c->last_epoch = info->peer.epoch;
  c->ups++;
  c->at_up = atomic_load(&c->ledger->next);
  c->kill_at = settled(c->ledger, c->kind) + LOAD;
  if (c->kind->client == MCQ_REQ) c->kill_at -= LOAD / 2;
  if (c->kind->server_drives) return;
  if (c->kind->client != MCQ_PUB) driver_is_ready(&c->d, true);
  /* Hardly there and gone: what is queued may go down with it. */
  if (c->kills % 5 != 2 || c->kills == c->times) return;
  c->early++;
  kill_server(c);
}

/* What a death looks like from here. */
static bool is_death(int reason) {
  return reason == UV_EOF || reason == UV_ECONNRESET || reason == UV_EPIPE ||
         reason == MCQ_EPARTIAL;
}

static void client_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  client_t* c = of(s);
  mcq_frame_t nothing = {"", 0};
  assert_true(c->there && info->peer.epoch == c->peer.epoch);
  assert_true(mcq_send_to(s, info->peer, &nothing, 1) != 0);
  c->there = false;
  c->downs++;
  if (c->closing) return;
  if (!is_death(info->reason) || !c->killed)
    fail_msg("%s: lost without a death: %s, %s", c->kind->name,
             mcq_err_name(info->reason), info->text);
  if (c->kind->keeps) assert_int_equal(info->lost_messages, 0);
  c->at_down = atomic_load(&c->ledger->next);
  if (c->kind->server_drives) return;
  driver_is_ready(&c->d, false);
  drive(&c->d);
}

static void client_event(mcq_socket_t* s, const mcq_event_t* e) {
  client_t* c = of(s);
  if (e->kind == MCQ_EVENT_STOPPED && !c->closing)
    fail_msg("%s: gave up: %s", c->kind->name, mcq_err_name(e->code));
  if (e->kind == MCQ_EVENT_SUBSCRIBED && c->kind->client == MCQ_PUB)
    driver_is_ready(&c->d, true);
}

static void client_failed(mcq_socket_t* s, int code) {
  client_t* c = of(s);
  assert_int_equal(code, MCQ_EPEERGONE);
  c->failed++;
  c->d.asking = false;
}

/* Nobody else shall find it there. */
static void end_server(void) {
  restart_order_t end = {.kind = -1};
  char done;
  assert_int_equal(write(nursery.orders, &end, sizeof end), sizeof end);
  assert_int_equal(read(nursery.answers, &done, 1), 1);
}

int restart_forget(void** state) {
  (void) state;
  end_server();
  return 0;
}

/* ---- one run ------------------------------------------------------------- */

static void open_client(client_t* c, int backend) {
  char uri[64];
  mcq_ctx_options_t seat = {.backend = backend};
  mcq_socket_options_t o = {.type = c->kind->client,
                            .data = c,
                            .on_message = client_hears,
                            .on_peer_up = client_up,
                            .on_peer_down = client_down,
                            .on_event = client_event,
                            .reconnect_ms = 1,
                            .reconnect_max_ms = 4,
                            .linger_ms = 100};
  if (c->kind->client == MCQ_REQ) o.on_request_failed = client_failed;
  assert_int_equal(mcq_ctx_new(&c->loop, &seat, &c->ctx), 0);
  assert_int_equal(mcq_socket_new(c->ctx, &o, &c->d.s), 0);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", nursery.port);
  if (c->kind->client == MCQ_SUB || c->kind->client == MCQ_XSUB)
    assert_int_equal(mcq_subscribe(c->d.s, "", 0), 0);
  assert_int_equal(mcq_connect(c->d.s, uri, NULL, NULL), 0);
}

void restart_play(int kind, int backend, int server_backend, unsigned times) {
  client_t* c = (client_t*) calloc(1, sizeof *c);
  assert_non_null(c);
  memset(nursery.ledger, 0, sizeof *nursery.ledger);
  c->number = kind;
  c->kind = &restart_kinds[kind];
  c->ledger = nursery.ledger;
  c->server_backend = server_backend;
  c->times = times;
  c->d.kind = c->kind;
  c->d.ledger = c->ledger;
  uv_loop_init(&c->loop);
  uv_timer_init(&c->loop, &c->tick);
  c->tick.data = c;
  uv_timer_start(&c->tick, client_tick, 1, 1);
  open_client(c, backend);
  order_server(c, false);
  assert_int_equal(uv_run(&c->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&c->loop), 0);
  check_ledger(c);
  assert_int_equal(c->ups, c->downs);
  /* Those that died in their first breath may not have been met. */
  assert_true(c->ups >= 1 + times - c->early);
  end_server();
  print_message("  %s: %u deaths, %u connections, %u sent, %u questions lost\n",
                c->kind->name, c->kills, c->ups, atomic_load(&c->ledger->next),
                c->failed);
  free(c);
}
