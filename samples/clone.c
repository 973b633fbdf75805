/* SPDX-License-Identifier: MIT */
/* Clones of a table that changes all the time, none with a gap or with the
 * same change twice, whenever they join.
 *
 * The server has the table.  Each change gets the next number and is
 * published (PUB); whoever asks (DEALER to ROUTER) gets the whole table and
 * the number of its last change.  A clone does four things in this order:
 *
 *   1. It subscribes, and waits until that is in force: MCQ_EVENT_SUBSCRIBED.
 *      From now on it hears every change.
 *   2. It asks for the table, and keeps the changes that come meanwhile.
 *   3. It takes the table over, and of the changes it kept those after it.
 *   4. It applies every change as it comes.
 *
 * The other way round, table first, a change could fall between the two.  Here
 * it can only come twice, in the table and as a change, and the number tells.
 * Three clones join a server in the same loop at different times; at the end
 * their tables must be the server's. */
#include <monocoque.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 32, CHANGES = 300, CLONES = 3, JOIN_EVERY = 40 };

typedef struct table {
  uint64_t number; /* of the last change in it */
  uint32_t values[KEYS];
} table_t;

typedef struct change {
  uint64_t number;
  uint32_t key;
  uint32_t value;
} change_t;

typedef struct clone {
  mcq_socket_t* updates;
  mcq_socket_t* snapshot;
  bool asked;
  bool whole; /* it has a table */
  table_t table;
  change_t kept[CHANGES]; /* until it has */
  int kept_count;
  int old; /* changes that were in the table already */
} clone_t;

static mcq_ctx_t* ctx;
static uv_timer_t timer;
static table_t master;
static mcq_socket_t *publisher, *tables;
static const char *updates_at, *snapshots_at;
static clone_t clones[CLONES];
static int joined, finished;
static mcq_peer_t askers[CLONES]; /* who asked the server */
static int asker_count;

static void must(const char* what, int rc) {
  if (rc == 0) return;
  fprintf(stderr, "clone: %s: %s\n", what, mcq_strerror(rc));
  exit(1);
}

/* Plain structs in one frame, since both sides are this program. */
static bool read_frame(const mcq_msg_t* msg, void* out, size_t len) {
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  if (frame.len != len) return false;
  memcpy(out, frame.data, len);
  return true;
}

/* ---- a clone ------------------------------------------------------------- */

static void finish_at_end(clone_t* c) {
  if (c->table.number < CHANGES) return;
  bool same = memcmp(&c->table, &master, sizeof master) == 0;
  printf("clone %d: %s; %d changes came before the table, %d were in it\n",
         (int) (c - clones), same ? "the same" : "different", c->kept_count,
         c->old);
  if (!same) exit(1);
  if (++finished == CLONES) mcq_ctx_close(ctx, NULL);
}

static void apply(clone_t* c, const change_t* change) {
  if (change->number <= c->table.number) {
    c->old++;
    return;
  }
  if (change->number != c->table.number + 1 || change->key >= KEYS) {
    fprintf(stderr, "clone: a gap before change %d\n", (int) change->number);
    exit(1);
  }
  c->table.number = change->number;
  c->table.values[change->key] = change->value;
}

static void on_change(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  clone_t* c = mcq_socket_data(socket);
  change_t change;
  if (!read_frame(msg, &change, sizeof change)) return;
  if (!c->whole) {
    if (c->kept_count < CHANGES) c->kept[c->kept_count++] = change;
    return;
  }
  apply(c, &change);
  finish_at_end(c);
}

static void on_event(mcq_socket_t* socket, const mcq_event_t* event) {
  clone_t* c = mcq_socket_data(socket);
  if (event->kind != MCQ_EVENT_SUBSCRIBED || c->asked) return;
  c->asked = true;
  must("ask", mcq_send_text(c->snapshot, "the table, please"));
}

static void on_table(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  clone_t* c = mcq_socket_data(socket);
  if (c->whole || !read_frame(msg, &c->table, sizeof c->table)) return;
  c->whole = true;
  for (int i = 0; i < c->kept_count; i++) apply(c, &c->kept[i]);
  finish_at_end(c);
}

static void join(clone_t* c) {
  mcq_socket_options_t sub = {.type = MCQ_SUB,
                              .data = c,
                              .on_message = on_change,
                              .on_event = on_event};
  mcq_socket_options_t dealer = {
      .type = MCQ_DEALER, .data = c, .on_message = on_table};
  must("socket", mcq_socket_new(ctx, &dealer, &c->snapshot));
  must("connect", mcq_connect(c->snapshot, snapshots_at, NULL, NULL));
  must("socket", mcq_socket_new(ctx, &sub, &c->updates));
  must("subscribe", mcq_subscribe(c->updates, "", 0));
  must("connect", mcq_connect(c->updates, updates_at, NULL, NULL));
}

/* ---- the server ---------------------------------------------------------- */

static void on_ask(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) socket, (void) msg;
  if (asker_count < CLONES) askers[asker_count++] = peer;
}

static void send_tables(void) {
  mcq_frame_t frame = {&master, sizeof master};
  while (asker_count > 0)
    must("send the table",
         mcq_send_to(tables, askers[--asker_count], &frame, 1));
}

/* A few changes at a time.  It does not stop for those who join: they get
 * their table in between. */
static void on_timer(uv_timer_t* handle) {
  for (int i = 0; i < 3 && master.number < CHANGES; i++) {
    uint64_t n = ++master.number;
    change_t change = {.number = n,
                       .key = (uint32_t) (n * 7 % KEYS),
                       .value = (uint32_t) (n * n)};
    master.values[change.key] = change.value;
    must("publish", mcq_send_bytes(publisher, &change, sizeof change));
    if (n % JOIN_EVERY == 0 && joined < CLONES) join(&clones[joined++]);
    send_tables();
  }
  send_tables();
  if (finished == CLONES) uv_close((uv_handle_t*) handle, NULL);
}

static const char* serve(mcq_socket_options_t options, mcq_socket_t** socket) {
  mcq_endpoint_t here;
  must("socket", mcq_socket_new(ctx, &options, socket));
  must("bind", mcq_bind(*socket, "tcp://127.0.0.1:0", &here));
  return mcq_endpoint_uri(*socket, here);
}

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  must("context", mcq_ctx_new(loop, NULL, &ctx));
  updates_at = serve((mcq_socket_options_t){.type = MCQ_PUB}, &publisher);
  snapshots_at =
      serve((mcq_socket_options_t){.type = MCQ_ROUTER, .on_message = on_ask},
            &tables);
  uv_timer_init(loop, &timer);
  uv_timer_start(&timer, on_timer, 1, 1);
  uv_run(loop, UV_RUN_DEFAULT);
  return uv_loop_close(loop) == 0 && finished == CLONES ? 0 : 1;
}
