/* SPDX-License-Identifier: MIT */
/* The table of places (see place.h) and the ground a test stands on there.
 * Used by tests of whole sockets; never decides what is played. */
#include "support/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const place_t places[PLACES] = {
    {.name = "tcp, uv",
     .uri = "tcp://127.0.0.1:*",
     .backend = MCQ_BACKEND_UV,
     .strangers = true},
    {.name = "tcp, uring",
     .uri = "tcp://127.0.0.1:*",
     .backend = MCQ_BACKEND_URING,
     .strangers = true},
    {.name = "ipc, uv",
     .uri = "ipc://*",
     .backend = MCQ_BACKEND_UV,
     .strangers = true},
    {.name = "ipc, uring",
     .uri = "ipc://*",
     .backend = MCQ_BACKEND_URING,
     .strangers = true},
    {.name = "inproc, uv",
     .uri = "inproc://place/%u",
     .backend = MCQ_BACKEND_UV},
    {.name = "inproc, uring",
     .uri = "inproc://place/%u",
     .backend = MCQ_BACKEND_URING},
    {.name = "inproc, two contexts",
     .uri = "inproc://place/%u",
     .backend = MCQ_BACKEND_UV,
     .two = true},
    {.name = "simulated, polling",
     .uri = "sim://*",
     .strangers = true,
     .sim = true,
     .style = SIM_POLL},
    {.name = "simulated, as a ring",
     .uri = "sim://*",
     .strangers = true,
     .sim = true,
     .style = SIM_RING},
    {.name = "simulated, in crumbs and late",
     .uri = "sim://*",
     .strangers = true,
     .sim = true,
     .style = SIM_MIXED,
     .tiny = 20,
     .crumbs = 1000,
     .delay = 3},
};

const place_t* place_find(const char* name) {
  for (size_t i = 0; i < PLACES; i++)
    if (strcmp(places[i].name, name) == 0) return &places[i];
  return NULL;
}

const char* place_uri(const place_t* place, unsigned i,
                      char out[PLACE_URI_MAX]) {
  const char* number = strstr(place->uri, "%u");
  if (number == NULL)
    snprintf(out, PLACE_URI_MAX, "%s", place->uri);
  else
    snprintf(out, PLACE_URI_MAX, "%.*s%u", (int) (number - place->uri),
             place->uri, i);
  return out;
}

bool place_is_here(const place_t* place) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  if (place->sim) return true;
  mcq_ctx_options_t o = {.backend = place->backend};
  uv_loop_init(&loop);
  int rc = mcq_ctx_new(&loop, &o, &ctx);
  if (rc == 0) mcq_ctx_close(ctx, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  if (rc != 0) print_message("no %s here: %s\n", place->name, mcq_strerror(rc));
  return rc == 0;
}

static void open_two(ground_t* g, mcq_ctx_options_t* o) {
  assert_int_equal(mcq_inproc_new(&o->allocator, &o->inproc), 0);
  assert_int_equal(mcq_ctx_new(&g->loop, o, &g->ctx), 0);
  assert_int_equal(mcq_ctx_new(&g->loop, o, &g->other), 0);
  mcq_inproc_release(o->inproc);
  g->open = 2;
}

mcq_ctx_t* ground_ctx(ground_t* g) {
  return g->other != NULL && g->asked++ % 2 == 1 ? g->other : g->ctx;
}

void ground_open(ground_t* g, const place_t* place) {
  memset(g, 0, sizeof *g);
  g->place = place;
  g->open = 1;
  test_alloc_init(&g->memory);
  assert_int_equal(uv_loop_init(&g->loop), 0);
  mcq_ctx_options_t o = {.backend = place->backend,
                         .allocator = test_alloc_allocator(&g->memory),
                         .data = g};
  if (place->sim) {
    sim_net_init(&g->net, test_seed(1));
    g->net.faults.style = place->style;
    g->net.faults.tiny = place->tiny;
    g->net.faults.crumbs = place->crumbs;
    g->net.faults.delay = place->delay;
    mcq__seams_t seams = sim_net_seams(&g->net);
    assert_int_equal(mcq__ctx_open(&g->loop, &o, &seams, &g->ctx), 0);
  } else if (place->two) {
    open_two(g, &o);
  } else {
    assert_int_equal(mcq_ctx_new(&g->loop, &o, &g->ctx), 0);
  }
  g->io = &g->ctx->host.io;
}

static void on_finished(void* data) {
  ground_t* g = (ground_t*) data;
  if (--g->open == 0) g->io = NULL;
}

void ground_finish(ground_t* g) {
  if (g->io == NULL || g->finishing) return;
  g->finishing = true;
  mcq_ctx_close(g->ctx, on_finished);
  if (g->other != NULL) mcq_ctx_close(g->other, on_finished);
}

bool ground_step(ground_t* g) {
  if (g->place->sim && sim_net_step(&g->net, &g->loop, &g->io, 1)) return true;
  return uv_run(&g->loop, UV_RUN_ONCE) != 0;
}

void ground_run(ground_t* g) {
  ground_until(g, g->io == NULL);
  assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&g->loop), 0);
  assert_int_equal(g->memory.live, 0);
  if (g->place->sim) sim_net_dispose(&g->net);
}
