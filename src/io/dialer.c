/* SPDX-License-Identifier: MIT */
/* A connecting endpoint (see dialer.h): attempts and the waits between them.
 * Called by the socket above and by transports; opens no stream itself. */
#include "io/dialer.h"

#include <stdio.h>
#include <string.h>

static void run_start(mcq__task_t* task);
static void on_retry_timer(mcq__timer_t* timer);

static uint64_t after(mcq__dialer_t* d, uint64_t ms) {
  uint64_t now = mcq__io_now(d->io);
  return ms < MCQ__NEVER - now ? now + ms : MCQ__NEVER;
}

/* ---- the wait ------------------------------------------------------------ */

/* Doubled with each failure in a row up to the cap, of which a random half is
 * taken off, so that those who lost a server together do not all come back
 * together.  A cap below the first wait means no doubling.  Never 0. */
static uint64_t next_wait(mcq__dialer_t* d) {
  uint64_t wait = d->config->retry_ms == 0 ? 1 : d->config->retry_ms;
  uint64_t cap = d->config->retry_max_ms;
  for (unsigned i = 1; i < d->failures && wait < cap; i++)
    wait = wait > cap / 2 ? cap : wait * 2;
  uint64_t half = wait / 2;
  return wait - half + mcq__io_random(d->io) % (half + 1);
}

/* When the last attempt may begin. */
static uint64_t last_call(const mcq__dialer_t* d) {
  uint64_t total = d->config->total_ms;
  if (total == 0 || d->since == MCQ__NEVER) return MCQ__NEVER;
  return total < MCQ__NEVER - d->since ? d->since + total : MCQ__NEVER;
}

static bool exhausted(const mcq__dialer_t* d) {
  if (d->config->retry_ms == MCQ__NEVER) return true;
  if (d->config->attempts != 0 && d->tries >= d->config->attempts) return true;
  return mcq__io_now(d->io) >= last_call(d);
}

/* From a phase.  The last thing its callers do: the callback may close. */
static void wait_and_retry(mcq__dialer_t* d) {
  if (exhausted(d)) {
    d->state = MCQ__DIALER_STOPPED;
    if (d->events->on_stopped != NULL) d->events->on_stopped(d);
    return;
  }
  uint64_t ms = next_wait(d);
  uint64_t left = last_call(d) - mcq__io_now(d->io);
  if (ms > left) ms = left;
  d->waited = ms;
  d->state = MCQ__DIALER_WAITING;
  d->timer.run = on_retry_timer;
  mcq__io_timer_start(d->io, &d->timer, after(d, ms));
  d->events->on_retry(d, ms);
}

static void count_failure(mcq__dialer_t* d) {
  if (d->failures < UINT8_MAX) d->failures++;
}

/* ---- where to ----------------------------------------------------------- */

/* Most of their time dialers have no use for an endpoint, which is large. */
static int make_endpoint(mcq__dialer_t* d) {
  mcq__endpoint_t* e = mcq__new(d->io->mem, mcq__endpoint_t);
  if (e == NULL) return MCQ_ENOMEM;
  snprintf(e->scheme, sizeof e->scheme, "%s", d->transport->scheme);
  if (d->port != 0)
    snprintf(e->host, sizeof e->host, "%s", d->place);
  else
    snprintf(e->rest, sizeof e->rest, "%s", d->place);
  e->port = d->port;
  d->endpoint = e;
  return 0;
}

static void drop_endpoint(mcq__dialer_t* d) {
  mcq__mem_free(d->io->mem, d->endpoint);
  d->endpoint = NULL;
}

/* ---- the attempt --------------------------------------------------------- */

static void fail(mcq__dialer_t* d, int code) {
  count_failure(d);
  d->state = MCQ__DIALER_WAITING;
  d->events->on_failed(d, code);
  if (!d->closing && d->state == MCQ__DIALER_WAITING) wait_and_retry(d);
}

static void on_limit(mcq__timer_t* timer) {
  mcq__dialer_t* d = mcq__container_of(timer, mcq__dialer_t, timer);
  d->expired = true;
  d->transport->hangup(d);
}

static void run_start(mcq__task_t* task) {
  mcq__dialer_t* d = mcq__container_of(task, mcq__dialer_t, task);
  if (d->since == MCQ__NEVER) d->since = mcq__io_now(d->io);
  if (d->tries < UINT32_MAX) d->tries++;
  d->events->on_dialing(d);
  if (d->closing) return;
  d->expired = false;
  d->state = MCQ__DIALER_DIALING;
  if (d->config->connect_ms != MCQ__NEVER && !d->transport->waits) {
    d->timer.run = on_limit;
    mcq__io_timer_start(d->io, &d->timer, after(d, d->config->connect_ms));
  }
  int rc = make_endpoint(d);
  if (rc == 0) rc = d->transport->dial(d);
  if (rc != 0) mcq__dialer_done(d, NULL, NULL, rc);
}

static void on_retry_timer(mcq__timer_t* timer) {
  mcq__dialer_t* d = mcq__container_of(timer, mcq__dialer_t, timer);
  run_start(&d->task);
}

/* ---- the end ------------------------------------------------------------- */

static void finish(mcq__dialer_t* d) {
  d->state = MCQ__DIALER_CLOSED;
  mcq__mem_free(d->io->mem, d->place);
  mcq__timers_unreserve(&d->io->turn.timers);
  d->events->on_closed(d);
}

static void run_finish(mcq__task_t* task) {
  finish(mcq__container_of(task, mcq__dialer_t, task));
}

void mcq__dialer_done(mcq__dialer_t* d, void* stream, const char* address,
                      int code) {
  mcq__check(d->state == MCQ__DIALER_DIALING);
  mcq__io_timer_stop(d->io, &d->timer);
  drop_endpoint(d);
  if (stream != NULL && (d->closing || d->expired)) {
    d->transport->discard(d->io, stream);
    stream = NULL;
  }
  if (d->closing) {
    finish(d);
  } else if (stream != NULL) {
    d->state = MCQ__DIALER_UP;
    d->up_at = mcq__io_now(d->io);
    d->events->on_stream(d, stream, address);
  } else {
    fail(d, d->expired ? MCQ_ETIMEDOUT : code);
  }
}

/* ---- for the socket above ------------------------------------------------ */

int mcq__dialer_open(mcq__dialer_t* d, mcq__io_t* io,
                     const mcq__endpoint_t* endpoint,
                     const mcq__dialer_config_t* config,
                     const mcq__dialer_events_t* events) {
  bool is_tcp = endpoint->host[0] != '\0';
  if (endpoint->wildcard || (is_tcp && endpoint->port == 0)) return MCQ_EINVAL;
  d->transport =
      mcq__transport_find(io, endpoint->scheme, strlen(endpoint->scheme));
  if (d->transport == NULL) return MCQ_ENOTSUP;
  const char* place = is_tcp ? endpoint->host : endpoint->rest;
  d->place = mcq__mem_text(io->mem, place, strlen(place));
  if (d->place == NULL) return MCQ_ENOMEM;
  int rc = mcq__timers_reserve(&io->turn.timers);
  if (rc != 0) {
    mcq__mem_free(io->mem, d->place);
    d->place = NULL;
    return rc;
  }
  d->io = io;
  d->events = events;
  d->port = is_tcp ? endpoint->port : 0;
  d->config = config;
  d->since = MCQ__NEVER;
  d->task.run = run_start;
  mcq__io_work(io, &d->task);
  return 0;
}

void mcq__dialer_succeeded(mcq__dialer_t* d) {
  d->failures_before = d->failures;
  d->tries_before = d->tries;
  d->since_before = d->since;
  d->failures = 0;
  d->tries = 0;
  d->since = MCQ__NEVER;
}

void mcq__dialer_disappointed(mcq__dialer_t* d) {
  if (d->tries != 0) return; /* there was no success */
  d->failures = d->failures_before;
  d->tries = d->tries_before;
  d->since = d->since_before;
}

void mcq__dialer_stop(mcq__dialer_t* d) {
  if (!d->closing) d->state = MCQ__DIALER_STOPPED;
}

uint64_t mcq__dialer_limit(const mcq__dialer_t* d) {
  bool limited = d->state == MCQ__DIALER_DIALING && !d->transport->waits;
  return limited && d->config->connect_ms != MCQ__NEVER ? d->timer.deadline
                                                        : MCQ__NEVER;
}

void mcq__dialer_lasted(mcq__dialer_t* d) {
  if (mcq__io_now(d->io) - d->up_at > d->waited) mcq__dialer_succeeded(d);
}

static void run_retry(mcq__task_t* task) {
  wait_and_retry(mcq__container_of(task, mcq__dialer_t, task));
}

void mcq__dialer_lost(mcq__dialer_t* d, bool retry) {
  if (d->closing || d->state != MCQ__DIALER_UP) return;
  if (!retry) {
    d->state = MCQ__DIALER_STOPPED;
    return;
  }
  count_failure(d);
  d->state = MCQ__DIALER_WAITING;
  d->task.run = run_retry;
  mcq__io_work(d->io, &d->task);
}

void mcq__dialer_close(mcq__dialer_t* d) {
  if (d->closing) return;
  d->closing = true;
  mcq__io_timer_stop(d->io, &d->timer);
  if (d->state == MCQ__DIALER_DIALING) {
    if (!d->expired) d->transport->hangup(d);
    return;
  }
  mcq__io_cancel(&d->task);
  d->task.run = run_finish;
  mcq__io_work(d->io, &d->task);
}
