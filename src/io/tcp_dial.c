/* SPDX-License-Identifier: MIT */
/* Connecting on tcp: one attempt, which asks for the addresses of a name and
 * tries them in order until one answers.  One that does not answer has its
 * share of the time and no more: the others are tried, too. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/seat.h"
#include "io/tcp.h"

typedef struct attempt {
  mcq__connect_t connect; /* to the address being tried */
  mcq__dialer_t* dialer;  /* NULL: it has been told, the name is still looked
                             up */
  uv_getaddrinfo_t lookup;
  struct addrinfo* found; /* what the name server said */
  struct addrinfo* next;  /* of these */
  int code;               /* what became of the last one */
  mcq__timer_t share;     /* its time is up */
  bool has_timer;
  bool too_long;     /* it was */
  mcq__task_t ended; /* tells the dialer although the lookup goes on */
  bool looking_up;
  bool hung_up;
} attempt_t;

/* ---- the end of an attempt ----------------------------------------------- */

static void free_attempt(attempt_t* a) {
  mcq__io_t* io = a->connect.io;
  mcq__io_timer_stop(io, &a->share);
  if (a->has_timer) mcq__timers_unreserve(&io->turn.timers);
  if (a->found != NULL) uv_freeaddrinfo(a->found);
  mcq__mem_free(io->mem, a);
}

static void report(attempt_t* a, void* stream, const char* address, int code) {
  mcq__dialer_t* d = a->dialer;
  free_attempt(a);
  d->impl = NULL;
  mcq__dialer_done(d, stream, address, code);
}

/* A port nobody listens at may be the very one the system gave us to connect
 * from; TCP then connects the socket with itself. */
static bool is_own_echo(int fd, const mcq__address_t* remote) {
  mcq__address_t local;
  socklen_t size = sizeof local;
  if (getsockname(fd, &local.any, &size) != 0 ||
      local.any.sa_family != remote->any.sa_family)
    return false;
  if (local.any.sa_family == AF_INET)
    return local.v4.sin_port == remote->v4.sin_port &&
           local.v4.sin_addr.s_addr == remote->v4.sin_addr.s_addr;
  return local.v6.sin6_port == remote->v6.sin6_port &&
         memcmp(&local.v6.sin6_addr, &remote->v6.sin6_addr,
                sizeof local.v6.sin6_addr) == 0;
}

/* The socket is connected: hands it on. */
static void succeed(attempt_t* a, int fd) {
  mcq__address_t remote;
  socklen_t size = sizeof remote;
  int rc = 0;
  if (getpeername(fd, &remote.any, &size) != 0)
    rc = uv_translate_sys_error(errno);
  else if (is_own_echo(fd, &remote))
    rc = UV_ECONNREFUSED;
  if (rc != 0) {
    close(fd);
    report(a, NULL, NULL, rc);
    return;
  }
  char text[MCQ__ENDPOINT_MAX];
  mcq__address_text(&remote, text);
  report(a, mcq__stream_open(&mcq__tcp_family, fd), text, 0);
}

/* ---- the addresses ------------------------------------------------------- */

static void on_share(mcq__timer_t* timer) {
  attempt_t* a = mcq__container_of(timer, attempt_t, share);
  a->too_long = true;
  mcq__connect_cancel(&a->connect);
}

/* The time that is left is divided among the addresses that are; the last one
 * has all of it, which the dialer sees to. */
static void start_share(attempt_t* a, const struct addrinfo* info) {
  mcq__io_t* io = a->connect.io;
  uint64_t limit = mcq__dialer_limit(a->dialer);
  uint64_t now = mcq__io_now(io);
  uint64_t count = 0;
  a->too_long = false;
  for (; info != NULL; info = info->ai_next) count++;
  if (count < 2 || limit == MCQ__NEVER || limit <= now) return;
  mcq__io_timer_start(io, &a->share, now + (limit - now) / count);
}

/* Goes through what is left of the addresses until one begins to connect.
 * 0, or the error of the last. */
static int try_next(attempt_t* a) {
  int rc = a->code;
  while (a->next != NULL) {
    const struct addrinfo* info = a->next;
    a->next = info->ai_next;
    rc = mcq__connect_start(&a->connect, info->ai_addr, info->ai_addrlen);
    if (rc != 0) continue;
    start_share(a, info);
    break;
  }
  return rc;
}

static void on_connected(mcq__connect_t* c, int fd) {
  attempt_t* a = mcq__container_of(c, attempt_t, connect);
  mcq__io_timer_stop(c->io, &a->share);
  if (fd >= 0) {
    succeed(a, fd);
    return;
  }
  a->code = a->too_long ? MCQ_ETIMEDOUT : fd;
  int rc = a->hung_up ? fd : try_next(a);
  if (rc != 0) report(a, NULL, NULL, rc);
}

/* ---- names --------------------------------------------------------------- */

static void on_found(uv_getaddrinfo_t* lookup, int status,
                     struct addrinfo* found) {
  attempt_t* a = mcq__container_of(lookup, attempt_t, lookup);
  mcq__io_t* io = a->connect.io;
  a->looking_up = false;
  a->found = found;
  a->next = found;
  if (a->dialer == NULL) {
    free_attempt(a);
  } else if (mcq__node_linked(&a->ended.node)) {
    ; /* the task that waits tells it */
  } else if (a->hung_up) {
    report(a, NULL, NULL, UV_ECANCELED);
  } else {
    a->code = UV_EAI_NONAME; /* found, but no address */
    int rc = status != 0 ? status : try_next(a);
    if (rc != 0) report(a, NULL, NULL, rc);
  }
  mcq__io_unpin(io);
}

static int look_up(attempt_t* a, const mcq__endpoint_t* endpoint) {
  char port[8];
  struct addrinfo hints;
  int rc = mcq__timers_reserve(&a->connect.io->turn.timers);
  if (rc != 0) return rc;
  a->has_timer = true;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  snprintf(port, sizeof port, "%u", (unsigned) endpoint->port);
  rc = uv_getaddrinfo(a->connect.io->loop, &a->lookup, on_found, endpoint->host,
                      port, &hints);
  if (rc != 0) return rc;
  a->looking_up = true;
  mcq__io_pin(a->connect.io);
  return 0;
}

/* ---- for the dialer ------------------------------------------------------ */

static void run_ended(mcq__task_t* task) {
  attempt_t* a = mcq__container_of(task, attempt_t, ended);
  if (!a->looking_up) {
    report(a, NULL, NULL, UV_ECANCELED);
    return;
  }
  mcq__dialer_t* d = a->dialer;
  a->dialer = NULL;
  d->impl = NULL;
  mcq__dialer_done(d, NULL, NULL, UV_ECANCELED);
}

int mcq__tcp_dial(mcq__dialer_t* d) {
  attempt_t* a = mcq__new(d->io->mem, attempt_t);
  if (a == NULL) return MCQ_ENOMEM;
  a->connect.io = d->io;
  a->connect.family = &mcq__tcp_family;
  a->connect.done = on_connected;
  a->dialer = d;
  a->ended.run = run_ended;
  a->share.run = on_share;
  mcq__address_t to;
  int rc = mcq__address_numeric(&to, d->endpoint->host, d->endpoint->port);
  if (rc == 0)
    rc = mcq__connect_start(&a->connect, &to.any, mcq__address_size(&to));
  else if (strchr(d->endpoint->host, ':') == NULL)
    rc = look_up(a, d->endpoint);
  if (rc != 0) {
    free_attempt(a);
    return rc;
  }
  d->impl = a;
  return 0;
}

void mcq__tcp_hangup(mcq__dialer_t* d) {
  attempt_t* a = (attempt_t*) d->impl;
  a->hung_up = true;
  if (a->looking_up && a->connect.io->forked) {
    /* Its thread is in the parent: the answer never comes, and where libuv
     * keeps its requests may be out of order. */
    mcq__io_work(a->connect.io, &a->ended);
    mcq__io_unpin(a->connect.io);
  } else if (a->looking_up) {
    /* A lookup that has begun cannot be stopped.  Nobody has to wait for it
     * but the loop. */
    if (uv_cancel((uv_req_t*) &a->lookup) != 0)
      mcq__io_work(a->connect.io, &a->ended);
  } else {
    mcq__connect_cancel(&a->connect);
  }
}
