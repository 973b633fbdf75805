/* SPDX-License-Identifier: MIT */
/* Opening, dumping and closing a context, and what of the public API belongs
 * to no single socket: messages made by hand. */
#include "ctx.h"

#include <stdio.h>
#include <string.h>

#include "io/space.h"
#include "raw/raw.h"
#include "zmtp/session.h"

/* ---- life ---------------------------------------------------------------- */

/* The last call of io: nothing of ours is in the loop any more. */
static void on_left(mcq__io_t* io) {
  mcq_ctx_t* ctx = (mcq_ctx_t*) io->user;
  mcq__mem_t* mem = ctx->host.mem;
  mcq_ctx_close_cb on_close = ctx->failed ? NULL : ctx->on_close;
  void* data = ctx->data;
  if (ctx->inproc != NULL) mcq__space_release(ctx->inproc);
  mcq__budget_dispose(&ctx->host.budget);
  mcq__pool_close(ctx->host.pool);
  mcq__mem_free(mem, ctx);
  mcq__mem_close(mem);
  if (on_close != NULL) on_close(data);
}

static void leave_when_empty(mcq__host_t* host) {
  if (!host->closing || !mcq__list_empty(&host->sockets)) return;
  mcq__io_unref(&host->io);
  mcq__io_close(&host->io);
}

static int choice_of(int backend, enum mcq__backend_choice* out) {
  switch (backend) {
    case MCQ_BACKEND_AUTO:
      *out = MCQ__BACKEND_AUTO;
      return 0;
    case MCQ_BACKEND_UV:
      *out = MCQ__BACKEND_UV;
      return 0;
    case MCQ_BACKEND_URING:
      *out = MCQ__BACKEND_URING;
      return 0;
    default:
      return MCQ_EINVAL;
  }
}

static int check_allocator(const mcq_allocator_t* a) {
  return (a->alloc == NULL) == (a->free == NULL) ? 0 : MCQ_EINVAL;
}

static int make(mcq__mem_t* mem, mcq_ctx_t** out) {
  mcq_ctx_t* ctx = mcq__new(mem, mcq_ctx_t);
  if (ctx == NULL) return MCQ_ENOMEM;
  int rc = mcq__pool_open(&ctx->host.pool, mem);
  if (rc != 0) {
    mcq__mem_free(mem, ctx);
    return rc;
  }
  ctx->host.mem = mem;
  ctx->host.ctx = ctx;
  ctx->host.protocol = &mcq__zmtp;
  ctx->host.raw = &mcq__raw;
  ctx->host.on_gone = leave_when_empty;
  mcq__budget_init(&ctx->host.budget, &ctx->host.io, UINT64_MAX, NULL);
  ctx->host.io.on_left = on_left;
  ctx->host.io.user = ctx;
  mcq__list_init(&ctx->host.sockets);
  *out = ctx;
  return 0;
}

int mcq__ctx_open(uv_loop_t* loop, const mcq_ctx_options_t* options,
                  const mcq__seams_t* seams, mcq_ctx_t** out) {
  static const mcq_ctx_options_t defaults = {0};
  if (options == NULL) options = &defaults;
  enum mcq__backend_choice choice;
  int rc = choice_of(options->backend, &choice);
  if (rc == 0) rc = check_allocator(&options->allocator);
  if (rc == 0 && options->max_bytes < -1) rc = MCQ_EINVAL;
  if (rc != 0) return rc;
  mcq__mem_t* mem;
  const mcq_allocator_t* allocator =
      options->allocator.alloc == NULL ? NULL : &options->allocator;
  rc = mcq__mem_open(&mem, allocator);
  if (rc != 0) return rc;
  mcq_ctx_t* ctx;
  rc = make(mem, &ctx);
  if (rc != 0) {
    mcq__mem_close(mem);
    return rc;
  }
  ctx->data = options->data;
  ctx->inproc = options->inproc;
  if (ctx->inproc != NULL) mcq__space_retain(ctx->inproc);
  ctx->host.io.space = ctx->inproc;
  ctx->host.io.spin_us = options->spin_us;
  if (options->max_bytes > 0)
    ctx->host.budget.max = (uint64_t) options->max_bytes;
  rc = mcq__io_open(&ctx->host.io, loop, ctx->host.pool, choice, seams);
  if (rc != 0) {
    ctx->failed = true; /* on_left frees it */
    return rc;
  }
  *out = ctx;
  return 0;
}

int mcq_ctx_new(uv_loop_t* loop, const mcq_ctx_options_t* options,
                mcq_ctx_t** out) {
  if (loop == NULL || out == NULL) return MCQ_EINVAL;
  return mcq__ctx_open(loop, options, NULL, out);
}

void mcq_ctx_close(mcq_ctx_t* ctx, mcq_ctx_close_cb on_close) {
  if (ctx->host.closing) return;
  ctx->host.closing = true;
  ctx->on_close = on_close;
  mcq__io_ref(&ctx->host.io);
  mcq__node_t* head = &ctx->host.sockets;
  for (mcq__node_t* n = head->next; n != head; n = n->next)
    mcq_close(mcq__container_of(n, mcq_socket_t, node), NULL);
  leave_when_empty(&ctx->host);
}

/* Sockets that were closing already have nobody to wait for any more. */
void mcq_ctx_after_fork_child(mcq_ctx_t* ctx) {
  mcq__io_forked(&ctx->host.io);
  ctx->on_close = NULL;
  mcq__node_t* head = &ctx->host.sockets;
  for (mcq__node_t* n = head->next; n != head; n = n->next)
    mcq__socket_forget(mcq__container_of(n, mcq_socket_t, node));
  mcq_ctx_close(ctx, NULL);
}

/* ---- questions ----------------------------------------------------------- */

void* mcq_ctx_data(const mcq_ctx_t* ctx) {
  return ctx->data;
}

uv_loop_t* mcq_ctx_loop(const mcq_ctx_t* ctx) {
  return ctx->host.io.loop;
}

const char* mcq_ctx_backend(const mcq_ctx_t* ctx) {
  return ctx->host.io.backend->name;
}

void mcq_ctx_stats_get(const mcq_ctx_t* ctx, mcq_ctx_stats_t* out,
                       size_t size) {
  const mcq__host_t* host = &ctx->host;
  mcq_ctx_stats_t stats = {.sockets_opened = host->opened,
                           .memory_blocks = mcq__mem_live(host->mem),
                           .memory_bytes = mcq__mem_bytes(host->mem),
                           .memory_allocations = mcq__mem_total(host->mem),
                           .memory_idle_bytes = mcq__pool_idle(host->pool)};
  const mcq__node_t* head = &host->sockets;
  for (const mcq__node_t* n = head->next; n != head; n = n->next)
    stats.sockets++;
  mcq__mem_answer(out, size, &stats, sizeof stats);
}

void mcq_ctx_totals_get(mcq_ctx_t* ctx, mcq_stats_t* out, size_t size) {
  mcq_stats_t sum = ctx->host.gone;
  const mcq__node_t* head = &ctx->host.sockets;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    mcq_stats_t stats;
    mcq_socket_t* s = mcq__container_of(n, mcq_socket_t, node);
    mcq__socket_settle(s);
    mcq__stats_socket(s, &stats);
    mcq__stats_add(&sum, &stats);
  }
  mcq__mem_answer(out, size, &sum, sizeof sum);
}

static const char* state_name(mcq__actor_state_t state) {
  switch (state) {
    case MCQ__ACTOR_IDLE:
      return "idle";
    case MCQ__ACTOR_OPENING:
      return "opening";
    case MCQ__ACTOR_UP:
      return "up";
    case MCQ__ACTOR_DRAINING:
      return "draining";
    case MCQ__ACTOR_ENDING:
      return "ending";
    case MCQ__ACTOR_CLOSING:
      return "closing";
  }
  return "?";
}

typedef void (*line_fn)(const char* text, void* arg);

typedef struct dump {
  line_fn line;
  void* arg;
} dump_t;

static void dump_mailbox(uint64_t posts, uint64_t bytes, void* arg) {
  const dump_t* d = (const dump_t*) arg;
  char text[80];
  snprintf(text, sizeof text, "  mailbox: %llu messages and %llu bytes wait",
           (unsigned long long) posts, (unsigned long long) bytes);
  d->line(text, d->arg);
}

static void dump_socket(const mcq_socket_t* s, line_fn line, void* arg) {
  char text[MCQ__ENDPOINT_MAX + 160];
  snprintf(text, sizeof text, "socket %.100s, %s: %llu peers%s", s->name,
           s->pattern->name, (unsigned long long) s->counts.peers,
           s->closing   ? ", closing"
           : s->leaving ? ", draining"
                        : "");
  line(text, arg);
  for (mcq__node_t* n = s->ends.next; n != &s->ends; n = n->next) {
    const mcq__end_t* end = mcq__container_of(n, mcq__end_t, node);
    snprintf(text, sizeof text, "  endpoint %llu: %s %s%s",
             (unsigned long long) end->id,
             end->connecting ? "connects to" : "listens at",
             end->connecting ? end->uri : end->bound->listener.address,
             end->closing ? ", closing" : "");
    line(text, arg);
  }
  for (mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
    const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
    snprintf(text, sizeof text,
             "  peer %u epoch %llu: %s %s, %llu messages and %zu bytes queued",
             a->peer.slot, (unsigned long long) a->peer.epoch,
             state_name((mcq__actor_state_t) a->state),
             a->address == NULL ? "" : a->address,
             (unsigned long long) mcq__outbox_queued(a->outbox),
             mcq__outbox_queued_bytes(a->outbox));
    line(text, arg);
  }
  dump_t dump = {line, arg};
  mcq__mailboxes_each(s, dump_mailbox, &dump);
}

static void dump_calls(const mcq__io_t* io, line_fn line, void* arg) {
  mcq__calls_t c = mcq__io_calls(io);
  char text[256];
  snprintf(text, sizeof text,
           "  calls: %llu turns, %llu polls changed, %llu reads (%llu empty), "
           "%llu writes (%llu refused), %llu of the ring, woken %llu times",
           (unsigned long long) c.turns, (unsigned long long) c.polls,
           (unsigned long long) c.reads, (unsigned long long) c.empty,
           (unsigned long long) c.writes, (unsigned long long) c.full,
           (unsigned long long) c.enters, (unsigned long long) c.wakes);
  line(text, arg);
}

void mcq_ctx_dump(const mcq_ctx_t* ctx,
                  void (*line)(const char* text, void* arg), void* arg) {
  char text[160];
  snprintf(text, sizeof text, "context: back end %s, %zu blocks%s",
           ctx->host.io.backend->name, mcq__mem_live(ctx->host.mem),
           ctx->host.closing ? ", closing" : "");
  line(text, arg);
  dump_calls(&ctx->host.io, line, arg);
  const mcq__node_t* head = &ctx->host.sockets;
  for (const mcq__node_t* n = head->next; n != head; n = n->next)
    dump_socket(mcq__container_of(n, mcq_socket_t, node), line, arg);
}

int mcq_socket_new(mcq_ctx_t* ctx, const mcq_socket_options_t* options,
                   mcq_socket_t** out) {
  return mcq__socket_make(&ctx->host, options, out);
}

/* ---- names shared by contexts -------------------------------------------- */

int mcq_inproc_new(const mcq_allocator_t* allocator, mcq_inproc_t** out) {
  if (out == NULL) return MCQ_EINVAL;
  if (allocator != NULL && check_allocator(allocator) != 0) return MCQ_EINVAL;
  return mcq__space_new(allocator, out);
}

mcq_inproc_t* mcq_inproc_retain(mcq_inproc_t* inproc) {
  mcq__space_retain(inproc);
  return inproc;
}

void mcq_inproc_release(mcq_inproc_t* inproc) {
  if (inproc != NULL) mcq__space_release(inproc);
}

/* ---- messages ------------------------------------------------------------ */

size_t mcq_msg_count(const mcq_msg_t* msg) {
  return msg->count;
}

mcq_frame_t mcq_msg_frame(const mcq_msg_t* msg, size_t i) {
  mcq_frame_t frame = {NULL, 0};
  if (i < msg->count) {
    frame.data = msg->frames[i].data;
    frame.len = msg->frames[i].len;
  }
  return frame;
}

size_t mcq_msg_size(const mcq_msg_t* msg) {
  return msg->bytes;
}

mcq_msg_t* mcq_msg_retain(const mcq_msg_t* msg) {
  return mcq__msg_keep(msg);
}

void mcq_msg_release(mcq_msg_t* msg) {
  mcq__msg_release(msg);
}

int mcq_msg_new(mcq_ctx_t* ctx, const mcq_frame_t* frames, size_t count,
                mcq_msg_t** out) {
  if (count == 0) return MCQ_EINVAL;
  *out = mcq__msg_copy(ctx->host.pool, frames, count);
  return *out == NULL ? MCQ_ENOMEM : 0;
}

int mcq_msg_wrap(mcq_ctx_t* ctx, const void* data, size_t len,
                 void (*release)(void* data, void* arg), void* arg,
                 mcq_msg_t** out) {
  if (release == NULL || (data == NULL && len != 0)) return MCQ_EINVAL;
  *out = mcq__msg_wrap(ctx->host.pool, data, len, release, arg);
  return *out == NULL ? MCQ_ENOMEM : 0;
}
