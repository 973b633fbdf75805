/* SPDX-License-Identifier: MIT */
/* All figures of a context as text in the OpenMetrics format: families one
 * after the other, in each all its samples.  Called by the user; changes
 * nothing, and calls nobody but the function that takes the text. */
#include <string.h>

#include "ctx.h"
#include "metrics/family.h"
#include "metrics/pen.h"

/* Text goes to a sink in pieces of this size. */
#define PIECE 2048

typedef struct snapshot {
  const mcq_socket_t* socket;
  mcq_stats_t stats;
} snapshot_t;

typedef struct page {
  mcq__pen_t pen;
  mcq_ctx_t* ctx;
  const char* prefix;
  int flags;
  snapshot_t* sockets;
  size_t count;
} page_t;

/* What a sample is about; NULL where it is not that special. */
typedef struct subject {
  const mcq_socket_t* socket;
  const mcq__actor_t* actor;
} subject_t;

/* ---- names and labels ---------------------------------------------------- */

static void put_name(page_t* p, const char* name, const char* suffix) {
  mcq__pen_put(&p->pen, p->prefix);
  mcq__pen_put(&p->pen, "_");
  mcq__pen_put(&p->pen, name);
  mcq__pen_put(&p->pen, suffix);
}

static void put_line(page_t* p, const char* what, const char* name,
                     const char* text) {
  mcq__pen_put(&p->pen, what);
  put_name(p, name, " ");
  mcq__pen_put(&p->pen, text);
  mcq__pen_put(&p->pen, "\n");
}

/* The name of the next label of a set that `*first` begins. */
static void put_label(page_t* p, bool* first, const char* name) {
  mcq__pen_put(&p->pen, *first ? "{" : ",");
  mcq__pen_put(&p->pen, name);
  mcq__pen_put(&p->pen, "=");
  *first = false;
}

static void put_text_label(page_t* p, bool* first, const char* name,
                           const char* value) {
  put_label(p, first, name);
  mcq__pen_quoted(&p->pen, value, strlen(value));
}

static void put_socket_labels(page_t* p, bool* first, const mcq_socket_t* s) {
  put_text_label(p, first, "socket", s->name);
  put_label(p, first, "id");
  mcq__pen_put(&p->pen, "\"");
  mcq__pen_number(&p->pen, s->number);
  mcq__pen_put(&p->pen, "\"");
  put_text_label(p, first, "type", s->pattern->name);
}

/* An endpoint keeps its label over all its connections; one that came in has
 * one of its own. */
static void put_peer_labels(page_t* p, bool* first, const mcq__actor_t* a) {
  const mcq__end_t* end = (const mcq__end_t*) a->end;
  put_label(p, first, "link");
  mcq__pen_put(&p->pen, end != NULL ? "\"e" : "\"p");
  mcq__pen_number(&p->pen, end != NULL ? end->id : a->peer.epoch);
  mcq__pen_put(&p->pen, "\"");
  put_text_label(p, first, "address", end != NULL ? end->uri : a->address);
}

static void put_subject(page_t* p, bool* first, subject_t about) {
  if (about.socket != NULL) put_socket_labels(p, first, about.socket);
  if (about.actor != NULL) put_peer_labels(p, first, about.actor);
}

static void end_labels(page_t* p, bool first) {
  mcq__pen_put(&p->pen, first ? " " : "} ");
}

/* ---- families ------------------------------------------------------------ */

static void put_head(page_t* p, const mcq__family_t* f) {
  put_line(p, "# TYPE ", f->name,
           f->kind == MCQ__COUNTER ? "counter" : "gauge");
  if (f->unit != NULL) put_line(p, "# UNIT ", f->name, f->unit);
  put_line(p, "# HELP ", f->name, f->help);
}

static void put_samples(page_t* p, const mcq__family_t* f, subject_t about,
                        const uint64_t figures[MCQ__FIGURES_MAX]) {
  for (const mcq__sample_t* s = f->samples; s->figure != 0; s++) {
    uint64_t figure = figures[s->figure];
    bool first = true;
    if (f->unknown && figure == 0) continue;
    put_name(p, f->name, f->kind == MCQ__COUNTER ? "_total" : "");
    put_subject(p, &first, about);
    if (f->label != NULL) put_text_label(p, &first, f->label, s->value);
    end_labels(p, first);
    mcq__pen_fraction(&p->pen, figure, f->per == 0 ? 1 : f->per);
    mcq__pen_put(&p->pen, "\n");
  }
}

static void put_build(page_t* p) {
  bool first = true;
  put_line(p, "# TYPE ", "build", "info");
  put_line(p, "# HELP ", "build", "The library and what moves its bytes.");
  put_name(p, "build", "_info");
  put_text_label(p, &first, "version", mcq_version(NULL, NULL, NULL));
  put_text_label(p, &first, "backend", mcq_ctx_backend(p->ctx));
  end_labels(p, first);
  mcq__pen_put(&p->pen, "1\n");
}

static void put_ctx(page_t* p) {
  uint64_t figures[MCQ__FIGURES_MAX] = {0};
  mcq_ctx_stats_t stats;
  mcq_ctx_stats(p->ctx, &stats);
  mcq__figures_ctx(&stats, figures);
  for (const mcq__family_t* f = mcq__families_ctx; f->name != NULL; f++) {
    put_head(p, f);
    put_samples(p, f, (subject_t){NULL, NULL}, figures);
  }
}

static void put_sockets(page_t* p) {
  for (const mcq__family_t* f = mcq__families_socket; f->name != NULL; f++) {
    put_head(p, f);
    for (size_t i = 0; i < p->count; i++) {
      uint64_t figures[MCQ__FIGURES_MAX] = {0};
      mcq__figures_socket(&p->sockets[i].stats, figures);
      put_samples(p, f, (subject_t){p->sockets[i].socket, NULL}, figures);
    }
  }
}

/* ---- peers --------------------------------------------------------------- */

/* Calls `put` for every connection that is up and every endpoint that connects,
 * whether it is or not. */
static void each_peer(page_t* p, const mcq__family_t* f,
                      void (*put)(page_t* p, const mcq__family_t* f,
                                  subject_t about)) {
  for (size_t i = 0; i < p->count; i++) {
    const mcq_socket_t* s = p->sockets[i].socket;
    for (const mcq__node_t* n = s->actors.next; n != &s->actors; n = n->next) {
      const mcq__actor_t* a = mcq__container_of(n, mcq__actor_t, node);
      if (a->was_up || a->end != NULL) put(p, f, (subject_t){s, a});
    }
  }
}

static void put_peer(page_t* p, const mcq__family_t* f, subject_t about) {
  uint64_t figures[MCQ__FIGURES_MAX] = {0};
  mcq_peer_stats_t stats;
  mcq__stats_actor(about.actor, &stats);
  mcq__figures_peer(&stats, figures);
  put_samples(p, f, about, figures);
}

static void put_peer_info(page_t* p, const mcq__family_t* f, subject_t about) {
  const mcq__actor_t* a = about.actor;
  mcq_peer_info_t info;
  bool first = true;
  (void) f;
  if (mcq_peer_info(about.socket, a->peer, &info) != 0) return; /* not up */
  put_name(p, "peer", "_info");
  put_subject(p, &first, about);
  put_label(p, &first, "routing_id");
  mcq__pen_hex(&p->pen, info.routing_id, info.routing_id_len);
  put_text_label(p, &first, "remote", info.address);
  put_text_label(p, &first, "peer_type", info.socket_type);
  put_text_label(p, &first, "mechanism", info.mechanism);
  put_label(p, &first, "version");
  mcq__pen_put(&p->pen, "\"");
  mcq__pen_number(&p->pen, (uint64_t) info.version_major);
  mcq__pen_put(&p->pen, ".");
  mcq__pen_number(&p->pen, (uint64_t) info.version_minor);
  mcq__pen_put(&p->pen, "\"");
  put_text_label(p, &first, "direction", info.incoming ? "in" : "out");
  end_labels(p, first);
  mcq__pen_put(&p->pen, "1\n");
}

static void put_peers(page_t* p) {
  put_line(p, "# TYPE ", "peer", "info");
  put_line(p, "# HELP ", "peer", "Who is at the other end of a connection.");
  each_peer(p, NULL, put_peer_info);
  for (const mcq__family_t* f = mcq__families_peer; f->name != NULL; f++) {
    put_head(p, f);
    each_peer(p, f, put_peer);
  }
}

/* ---- the page ------------------------------------------------------------ */

/* One figure a socket, all of the same moment. */
static int take_snapshots(page_t* p) {
  const mcq__host_t* host = &p->ctx->host;
  const mcq__node_t* head = &host->sockets;
  size_t count = 0;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) count++;
  if (count == 0) return 0;
  p->sockets =
      (snapshot_t*) mcq__mem_alloc(host->mem, count * sizeof(snapshot_t));
  if (p->sockets == NULL) return MCQ_ENOMEM;
  for (const mcq__node_t* n = head->next; n != head; n = n->next) {
    snapshot_t* shot = &p->sockets[p->count++];
    shot->socket = mcq__container_of(n, mcq_socket_t, node);
    mcq__socket_settle(mcq__container_of(n, mcq_socket_t, node));
    mcq__stats_socket(shot->socket, &shot->stats);
  }
  return 0;
}

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* What a metric's name may begin with. */
static bool good_prefix(const char* prefix) {
  if (!is_letter(*prefix) && *prefix != ':') return false;
  for (const char* c = prefix; *c != '\0'; c++)
    if (!is_letter(*c) && *c != ':' && (*c < '0' || *c > '9')) return false;
  return true;
}

static int put_page(page_t* p) {
  int rc = take_snapshots(p);
  if (rc != 0) return rc;
  put_build(p);
  put_ctx(p);
  put_sockets(p);
  if (p->flags & MCQ_METRICS_PEERS) put_peers(p);
  if (!(p->flags & MCQ_METRICS_OPEN_END)) mcq__pen_put(&p->pen, "# EOF\n");
  mcq__mem_free(p->ctx->host.mem, p->sockets);
  return mcq__pen_close(&p->pen);
}

static int settle(page_t* p, mcq_ctx_t* ctx,
                  const mcq_metrics_options_t* options) {
  static const mcq_metrics_options_t defaults = {0};
  if (options == NULL) options = &defaults;
  p->ctx = ctx;
  p->flags = options->flags;
  p->prefix = options->prefix == NULL ? "monocoque" : options->prefix;
  if (p->flags & ~(MCQ_METRICS_PEERS | MCQ_METRICS_OPEN_END)) return MCQ_EINVAL;
  return good_prefix(p->prefix) ? 0 : MCQ_EINVAL;
}

int mcq_metrics_write(mcq_ctx_t* ctx, const mcq_metrics_options_t* options,
                      mcq_metrics_cb sink, void* arg) {
  char piece[PIECE];
  page_t page = {.flags = 0};
  if (sink == NULL) return MCQ_EINVAL;
  mcq__pen_open(&page.pen, piece, sizeof piece);
  page.pen.sink = sink;
  page.pen.arg = arg;
  int rc = settle(&page, ctx, options);
  return rc != 0 ? rc : put_page(&page);
}

int mcq_metrics_format(mcq_ctx_t* ctx, const mcq_metrics_options_t* options,
                       char* buffer, size_t size, size_t* len) {
  page_t page = {.flags = 0};
  if (buffer == NULL && size != 0) return MCQ_EINVAL;
  mcq__pen_open(&page.pen, buffer, size == 0 ? 0 : size - 1);
  *len = 0;
  int rc = settle(&page, ctx, options);
  if (rc == 0) rc = put_page(&page);
  if (size != 0) buffer[page.pen.used] = '\0';
  *len = page.pen.total;
  return rc;
}
