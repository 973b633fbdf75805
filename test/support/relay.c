/* SPDX-License-Identifier: MIT */
/* The relay that misbehaves (see relay.h): descriptors watched by the loop and
 * a buffer for each way, which is emptied as the fault of its connection
 * allows.  It fails the running test only where the system fails it. */
#include "support/relay.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOM ((size_t) 16384)

typedef struct pipe {
  uint8_t bytes[ROOM];
  size_t len;
  uint64_t passed; /* since the fault applies */
  uint64_t due;    /* nothing passes before; 0: nothing is held */
  relay_kind_t kind;
  bool awaits; /* the kind is to happen when it is due */
  bool faulty; /* the fault concerns it */
  bool struck;
  bool ended; /* the source said its last */
  bool shut;  /* and the target has heard so */
  bool deaf;  /* what still comes vanishes */
} pipe_t;

/* Side 0 is the client's, side 1 the server's; pipe w comes from side w. */
struct relay_leg {
  relay_t* relay;
  relay_leg_t* next;
  int fd[2];
  uv_poll_t poll[2];
  unsigned handles;
  relay_fault_t fault;
  pipe_t pipe[2];
  bool struck;
  bool gone; /* nothing passes any more */
};

static uint64_t now(const relay_t* r) {
  return r->clock != NULL ? r->clock(r->clock_arg) : uv_now(r->loop);
}

static int make_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_true(fd >= 0);
  return fd;
}

/* ---- the end of a connection --------------------------------------------- */

static void on_poll_closed(uv_handle_t* handle) {
  relay_leg_t* leg = (relay_leg_t*) handle->data;
  leg->relay->handles--;
  if (--leg->handles != 0) return;
  relay_leg_t** link = &leg->relay->legs;
  while (*link != leg) link = &(*link)->next;
  *link = leg->next;
  free(leg);
}

static void close_side(relay_leg_t* leg, int side, bool reset) {
  struct linger none = {1, 0};
  if (leg->fd[side] < 0) return;
  uv_close((uv_handle_t*) &leg->poll[side], on_poll_closed);
  if (reset)
    setsockopt(leg->fd[side], SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(leg->fd[side]);
  leg->fd[side] = -1;
  leg->relay->moved++;
}

static void end_leg(relay_leg_t* leg, bool reset) {
  leg->gone = true;
  close_side(leg, 0, reset);
  close_side(leg, 1, reset);
}

/* ---- what happens -------------------------------------------------------- */

static void shut(relay_leg_t* leg, int way) {
  pipe_t* p = &leg->pipe[way];
  p->deaf = true;
  p->len = 0;
  if (p->shut) return;
  p->shut = true;
  shutdown(leg->fd[!way], SHUT_WR);
  leg->relay->moved++;
}

/* The server's end stays open, and nothing moves there any more. */
static void forget(relay_leg_t* leg) {
  close_side(leg, 0, true);
  leg->gone = true;
}

static void happen(relay_leg_t* leg, int way) {
  pipe_t* p = &leg->pipe[way];
  p->awaits = false;
  if (p->kind == RELAY_RESET)
    end_leg(leg, true);
  else if (p->kind == RELAY_FORGET)
    forget(leg);
  else if (p->kind == RELAY_SHUT || p->kind == RELAY_CLOSE)
    shut(leg, way);
  if (p->kind == RELAY_CLOSE) shut(leg, !way);
}

/* Everything before byte `at` has passed. */
static void strike(relay_leg_t* leg, int way) {
  pipe_t* p = &leg->pipe[way];
  uint64_t ms = leg->fault.ms;
  p->struck = true;
  if (!leg->struck) leg->relay->struck++;
  leg->struck = true;
  if (p->kind == RELAY_FLIP) {
    p->bytes[0] ^= leg->fault.mask;
    return;
  }
  p->awaits = true;
  if (ms != 0) p->due = ms == RELAY_EVER ? RELAY_EVER : now(leg->relay) + ms;
}

/* ---- passing ------------------------------------------------------------- */

/* A byte to be flipped has to be here first. */
static bool is_time_to_strike(const relay_leg_t* leg, const pipe_t* p) {
  return p->faulty && p->kind != RELAY_NOTHING && !p->struck &&
         p->passed == leg->fault.at && (p->kind != RELAY_FLIP || p->len > 0);
}

static bool is_held(const relay_leg_t* leg, const pipe_t* p) {
  return p->due != 0 && p->due > now(leg->relay);
}

/* Who is on the other side of a dead line learns nothing, not even of an
 * end. */
static bool is_dead(const relay_leg_t* leg, const pipe_t* p) {
  return p->awaits && is_held(leg, p);
}

static void fill(relay_leg_t* leg, int way) {
  pipe_t* p = &leg->pipe[way];
  while (!p->ended && p->len < ROOM) {
    ssize_t n = recv(leg->fd[way], p->bytes + p->len, ROOM - p->len, 0);
    if (n < 0) {
      if (errno != EAGAIN && errno != EINTR) end_leg(leg, true);
      return;
    }
    leg->relay->moved++;
    if (n == 0) p->ended = true;
    if (p->deaf) continue;
    if (p->faulty && leg->fault.delay != 0 && p->len == 0 && n > 0)
      p->due = now(leg->relay) + leg->fault.delay;
    p->len += (size_t) n;
  }
}

/* How many bytes may go on now. */
static size_t allowed(const relay_leg_t* leg, const pipe_t* p) {
  size_t n = p->len;
  if (!p->faulty) return n;
  if (leg->fault.step != 0 && n > leg->fault.step) n = leg->fault.step;
  if (leg->fault.kind == RELAY_NOTHING || p->struck) return n;
  uint64_t until = leg->fault.at - p->passed;
  return n < until ? n : (size_t) until;
}

static void empty(relay_leg_t* leg, int way) {
  pipe_t* p = &leg->pipe[way];
  size_t n = allowed(leg, p);
  if (n > 0) {
    ssize_t sent = send(leg->fd[!way], p->bytes, n, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN && errno != EINTR) end_leg(leg, true);
      return;
    }
    leg->relay->moved += (uint64_t) sent;
    p->passed += (uint64_t) sent;
    p->len -= (size_t) sent;
    memmove(p->bytes, p->bytes + sent, p->len);
  }
}

static void pass(relay_leg_t* leg, int way) {
  pipe_t* p = &leg->pipe[way];
  if (leg->gone || is_dead(leg, p)) return;
  fill(leg, way);
  if (leg->gone || is_held(leg, p)) return;
  p->due = 0;
  if (p->awaits) happen(leg, way);
  if (!leg->gone && is_time_to_strike(leg, p)) strike(leg, way);
  if (leg->gone || is_held(leg, p) || p->awaits) return;
  empty(leg, way);
  if (leg->gone || is_time_to_strike(leg, p)) return;
  if (p->ended && p->len == 0) shut(leg, way);
}

/* ---- when to look again -------------------------------------------------- */

static void on_ready(uv_poll_t* poll, int status, int events);

/* More could pass without anything happening first. */
static bool is_eager(const relay_leg_t* leg, const pipe_t* p) {
  if (leg->gone || is_held(leg, p)) return false;
  if (p->awaits || is_time_to_strike(leg, p)) return true;
  return p->len > 0 && p->faulty && leg->fault.step != 0;
}

static void watch(relay_leg_t* leg, int side) {
  const pipe_t* in = &leg->pipe[side];
  const pipe_t* out = &leg->pipe[!side];
  int events = 0;
  if (leg->fd[side] < 0) return;
  if (!leg->gone && !in->ended && in->len < ROOM && !is_dead(leg, in))
    events |= UV_READABLE;
  if (!leg->gone && out->len > 0 && !is_held(leg, out) && !is_eager(leg, out))
    events |= UV_WRITABLE;
  if (events == 0)
    uv_poll_stop(&leg->poll[side]);
  else
    uv_poll_start(&leg->poll[side], events, on_ready);
}

static void on_timer(uv_timer_t* timer) {
  relay_step((relay_t*) timer->data);
}

static void on_idle(uv_idle_t* idle) {
  relay_step((relay_t*) idle->data);
}

static void plan(relay_t* r) {
  bool eager = false;
  uint64_t due = RELAY_EVER;
  for (relay_leg_t* leg = r->legs; leg != NULL; leg = leg->next) {
    for (int way = 0; way < 2; way++) {
      const pipe_t* p = &leg->pipe[way];
      watch(leg, way);
      eager = eager || is_eager(leg, p);
      if (!leg->gone && is_held(leg, p) && p->due < due) due = p->due;
    }
  }
  if (eager)
    uv_idle_start(&r->idle, on_idle);
  else
    uv_idle_stop(&r->idle);
  uv_timer_stop(&r->timer);
  if (due != RELAY_EVER && r->clock == NULL)
    uv_timer_start(&r->timer, on_timer, due - now(r), 0);
}

void relay_step(relay_t* r) {
  for (relay_leg_t* leg = r->legs; leg != NULL; leg = leg->next) {
    pass(leg, 0);
    pass(leg, 1);
    bool done = leg->pipe[0].shut && leg->pipe[1].shut && leg->pipe[0].ended &&
                leg->pipe[1].ended;
    if (!leg->gone && done) end_leg(leg, false);
  }
  plan(r);
}

static void on_ready(uv_poll_t* poll, int status, int events) {
  (void) status; /* found out by whoever reads */
  (void) events;
  relay_step(((relay_leg_t*) poll->data)->relay);
}

/* ---- connections --------------------------------------------------------- */

static void apply(relay_leg_t* leg, const relay_fault_t* fault) {
  leg->fault = *fault;
  for (int way = 0; way < 2; way++) {
    pipe_t* p = &leg->pipe[way];
    p->faulty = (fault->ways & (way == 0 ? RELAY_UP : RELAY_DOWN)) != 0;
    p->kind = fault->kind;
    p->struck = false;
    p->passed = 0;
  }
  leg->struck = false;
}

static void watch_new(relay_leg_t* leg, int side, int fd) {
  int on = 1;
  leg->fd[side] = fd;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  assert_int_equal(uv_poll_init(leg->relay->loop, &leg->poll[side], fd), 0);
  leg->poll[side].data = leg;
  leg->handles++;
  leg->relay->handles++;
}

static void add_leg(relay_t* r, int client) {
  relay_leg_t* leg = (relay_leg_t*) calloc(1, sizeof *leg);
  int server = make_socket();
  assert_non_null(leg);
  leg->relay = r;
  leg->next = r->legs;
  r->legs = leg;
  r->legs_made++;
  /* Refused or not, it shows when something is read. */
  (void) connect(server, (const struct sockaddr*) &r->server, sizeof r->server);
  watch_new(leg, 0, client);
  watch_new(leg, 1, server);
  if (r->next_times > 0) {
    r->next_times--;
    apply(leg, &r->next);
  }
}

static void on_knock(uv_poll_t* door, int status, int events) {
  relay_t* r = (relay_t*) door->data;
  (void) events;
  assert_int_equal(status, 0);
  for (;;) {
    int fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) break;
    add_leg(r, fd);
    r->moved++;
  }
  relay_step(r);
}

/* ---- life ---------------------------------------------------------------- */

static void listen_somewhere(relay_t* r) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int room = (int) ROOM; /* what it cannot pass shall be felt soon */
  r->fd = make_socket();
  setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  assert_int_equal(bind(r->fd, (const struct sockaddr*) &at, size), 0);
  assert_int_equal(listen(r->fd, 64), 0);
  assert_int_equal(getsockname(r->fd, (struct sockaddr*) &at, &size), 0);
  snprintf(r->uri, sizeof r->uri, "tcp://127.0.0.1:%u", ntohs(at.sin_port));
}

void relay_open(relay_t* r, uv_loop_t* loop, const char* server_uri) {
  const char* port = strrchr(server_uri, ':');
  assert_non_null(port);
  r->loop = loop;
  uv_ip4_addr("127.0.0.1", atoi(port + 1), &r->server);
  listen_somewhere(r);
  assert_int_equal(uv_poll_init(loop, &r->door, r->fd), 0);
  assert_int_equal(uv_idle_init(loop, &r->idle), 0);
  assert_int_equal(uv_timer_init(loop, &r->timer), 0);
  r->handles = 3;
  r->door.data = r->idle.data = r->timer.data = r;
  assert_int_equal(uv_poll_start(&r->door, UV_READABLE, on_knock), 0);
}

static void on_closed(uv_handle_t* handle) {
  ((relay_t*) handle->data)->handles--;
}

void relay_close(relay_t* r) {
  for (relay_leg_t* leg = r->legs; leg != NULL; leg = leg->next)
    end_leg(leg, true);
  uv_close((uv_handle_t*) &r->door, on_closed);
  uv_close((uv_handle_t*) &r->idle, on_closed);
  uv_close((uv_handle_t*) &r->timer, on_closed);
  close(r->fd);
}

void relay_next(relay_t* r, const relay_fault_t* fault, unsigned times) {
  r->next = *fault;
  r->next_times = times;
}

void relay_now(relay_t* r, const relay_fault_t* fault) {
  assert_non_null(r->legs);
  apply(r->legs, fault);
  relay_step(r);
}

bool relay_empty(const relay_t* r) {
  for (const relay_leg_t* leg = r->legs; leg != NULL; leg = leg->next)
    if (!leg->gone && leg->pipe[0].len + leg->pipe[1].len != 0) return false;
  return true;
}
