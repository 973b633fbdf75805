/* SPDX-License-Identifier: MIT */
/* Connections that survive, between sockets of ours and real libzmq through a
 * relay that misbehaves: the table of support/crossing_rows.c once more, with
 * libzmq's socket now as the server, now as the client.  What the line does to
 * libzmq's side libzmq answers for; ours is held to all of it, and so is
 * whoever stands beside.
 *
 *   MCQ_TEST_SCENE   only rows with this in their name
 *   MCQ_RELAY        "all": every row with every pairing; otherwise with one */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "support/crossing.h"
#include "support/zmq_match.h"

#define FRAMES 4
#define PATIENCE_TURNS 500 /* with a question */

typedef struct foreign {
  void* socket;
  uv_poll_t poll;   /* wakes the loop */
  unsigned waiting; /* turns for an answer */
} foreign_t;

typedef struct play {
  crossing_t x;
  uv_timer_t tick;
  void* zmq;
  foreign_t foreign;
} play_t;

static play_t* of(crossing_t* x) {
  return (play_t*) x;
}

static foreign_t* foreign_of(party_t* p) {
  return (foreign_t*) p->theirs;
}

/* ---- their sockets ------------------------------------------------------- */

static int type_of(int type) {
  return type == MCQ_PUB ? ZMQ_XPUB : type; /* to hear of subscriptions */
}

static void set(void* s, int option, int value) {
  assert_int_equal(zmq_setsockopt(s, option, &value, sizeof value), 0);
}

static void set_options(const party_t* p, void* s) {
  const crossing_t* x = p->x;
  int64_t most = 64 << 20; /* or it asks for any memory */
  zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &most, sizeof most);
  set(s, ZMQ_LINGER, 0);
  set(s, ZMQ_RECONNECT_IVL, 2);
  set(s, ZMQ_HANDSHAKE_IVL, (int) x->handshake_ms);
  if (p->type == MCQ_ROUTER) set(s, ZMQ_ROUTER_HANDOVER, 1);
  if (x->row->where & ONLY_ROUTER && p->type == MCQ_DEALER)
    zmq_setsockopt(s, ZMQ_ROUTING_ID, "again", 5);
  if (p->type == MCQ_PUB) set(s, ZMQ_XPUB_VERBOSE, 1);
  if (p->type == MCQ_REQ) set(s, ZMQ_REQ_CORRELATE, 1);
  if (p->type == MCQ_REQ) set(s, ZMQ_REQ_RELAXED, 1);
  if (p->type == MCQ_SUB)
    zmq_setsockopt(s, ZMQ_SUBSCRIBE, "r", p->lane < 0 ? 0 : 1);
}

static void on_poll(uv_poll_t* poll, int status, int events) {
  (void) poll;
  (void) status;
  (void) events;
}

static void watch(foreign_t* f, uv_loop_t* loop) {
  int fd;
  size_t size = sizeof fd;
  assert_int_equal(zmq_getsockopt(f->socket, ZMQ_FD, &fd, &size), 0);
  assert_int_equal(uv_poll_init(loop, &f->poll, fd), 0);
  assert_int_equal(uv_poll_start(&f->poll, UV_READABLE, on_poll), 0);
}

static void open_theirs(party_t* p) {
  play_t* play = of(p->x);
  foreign_t* f = foreign_of(p);
  size_t size = sizeof p->x->uri;
  f->socket = zmq_socket(play->zmq, type_of(p->type));
  assert_non_null(f->socket);
  set_options(p, f->socket);
  if (p->serves) {
    assert_int_equal(zmq_bind(f->socket, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(f->socket, ZMQ_LAST_ENDPOINT, p->x->uri, &size);
  } else {
    assert_int_equal(zmq_connect(f->socket, p->x->relay.uri), 0);
  }
  watch(f, &p->x->loop);
}

static void part(party_t* p) {
  /* It may have given up and know of no such endpoint. */
  (void) zmq_disconnect(foreign_of(p)->socket, p->x->relay.uri);
}

static void join(party_t* p) {
  assert_int_equal(zmq_connect(foreign_of(p)->socket, p->x->relay.uri), 0);
}

static int send_theirs(party_t* p, const mcq_frame_t* frames, size_t count) {
  foreign_t* f = foreign_of(p);
  for (size_t i = 0; i < count; i++) {
    int flags = ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0);
    if (zmq_send(f->socket, frames[i].data, frames[i].len, flags) >= 0)
      continue;
    assert_int_equal(i, 0);
    return MCQ_EAGAIN;
  }
  return 0;
}

/* ---- what they hear ------------------------------------------------------ */

typedef struct parcel {
  zmq_msg_t parts[FRAMES];
  size_t count;
} parcel_t;

static bool receive(foreign_t* f, parcel_t* in) {
  in->count = 0;
  for (;;) {
    zmq_msg_t* part = &in->parts[in->count];
    assert_true(in->count < FRAMES);
    zmq_msg_init(part);
    if (zmq_msg_recv(part, f->socket, ZMQ_DONTWAIT) < 0) {
      assert_int_equal(in->count, 0);
      return false;
    }
    in->count++;
    if (!zmq_msg_more(part)) return true;
  }
}

static void drop(parcel_t* in) {
  for (size_t i = 0; i < in->count; i++) zmq_msg_close(&in->parts[i]);
}

static void send_back(foreign_t* f, parcel_t* in) {
  for (size_t i = 0; i < in->count; i++) {
    int flags = ZMQ_DONTWAIT | (i + 1 < in->count ? ZMQ_SNDMORE : 0);
    if (zmq_msg_send(&in->parts[i], f->socket, flags) < 0) return;
  }
  in->count = 0;
}

/* [1 topic] or [0 topic]. */
static void hear_wish(party_t* p, parcel_t* in) {
  const char* text = (const char*) zmq_msg_data(&in->parts[0]);
  size_t len = zmq_msg_size(&in->parts[0]);
  assert_int_equal(in->count, 1);
  if (len == 0 || text[0] != 1) return;
  crossing_ready(p, len > 1 && text[1] == 'b' ? 1 : 0);
}

static void hear(party_t* p, parcel_t* in) {
  mcq_frame_t frames[FRAMES];
  size_t from = p->type == MCQ_ROUTER ? 1 : 0;
  for (size_t i = from; i < in->count; i++)
    frames[i - from] =
        (mcq_frame_t){zmq_msg_data(&in->parts[i]), zmq_msg_size(&in->parts[i])};
  if (p->type == MCQ_PUB)
    hear_wish(p, in);
  else if (crossing_heard(p, frames, in->count - from))
    send_back(foreign_of(p), in);
}

/* Also lets it see to its own affairs, without which it wakes us for ever. */
static bool can_hear(foreign_t* f) {
  int events;
  size_t size = sizeof events;
  assert_int_equal(zmq_getsockopt(f->socket, ZMQ_EVENTS, &events, &size), 0);
  return (events & ZMQ_POLLIN) != 0;
}

static void hear_all(party_t* p) {
  parcel_t in;
  foreign_t* f = foreign_of(p);
  if (f == NULL || f->socket == NULL || !can_hear(f)) return;
  while (receive(f, &in)) {
    hear(p, &in);
    drop(&in);
  }
}

/* ---- one play ------------------------------------------------------------ */

static void on_tick(uv_timer_t* tick) {
  (void) tick;
}

/* A REQ of theirs would wait for ever. */
static void lose_patience(party_t* p) {
  foreign_t* f = foreign_of(p);
  if (!p->asking) f->waiting = 0;
  if (++f->waiting > PATIENCE_TURNS) p->asking = false;
}

static void turn_party(party_t* p) {
  if (p->theirs == NULL) return;
  hear_all(p);
  lose_patience(p);
}

static void turn(crossing_t* x) {
  uv_run(&x->loop, UV_RUN_ONCE);
  if (x->left) return;
  turn_party(&x->server);
  turn_party(&x->client);
}

static void close_theirs(play_t* p) {
  uv_close((uv_handle_t*) &p->foreign.poll, NULL);
  uv_close((uv_handle_t*) &p->tick, NULL);
  assert_int_equal(uv_run(&p->x.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&p->x.loop), 0);
  assert_int_equal(zmq_close(p->foreign.socket), 0);
  assert_int_equal(zmq_ctx_term(p->zmq), 0);
}

static void play_one(const pairing_t* pairing, const row_t* row, unsigned way,
                     bool they_serve, int backend) {
  play_t* p = (play_t*) calloc(1, sizeof *p);
  assert_non_null(p);
  crossing_t* x = &p->x;
  x->pairing = pairing;
  x->row = row;
  x->fault = row->fault;
  x->fault.ways = way;
  x->turn = turn;
  x->open = open_theirs;
  x->send = send_theirs;
  x->part = part;
  x->join = join;
  x->request_ms = 500;
  x->request_flags = MCQ_REQ_CORRELATE;
  x->handshake_ms = row->waits ? 150 : 10000;
  (they_serve ? &x->server : &x->client)->theirs = &p->foreign;
  p->zmq = zmq_ctx_new();
  assert_int_equal(uv_loop_init(&x->loop), 0);
  uv_timer_init(&x->loop, &p->tick);
  uv_timer_start(&p->tick, on_tick, 1, 1);
  mcq_ctx_options_t o = {.backend = backend, .data = &x->left};
  assert_int_equal(mcq_ctx_new(&x->loop, &o, &x->ctx), 0);
  crossing_play(x);
  close_theirs(p);
  free(p);
}

/* ---- what is to be expected of them -------------------------------------- */

/* It sends to whoever is next, not to somebody. */
static pairing_t adapt_pairing(const pairing_t* pairing, bool they_serve) {
  pairing_t out = *pairing;
  if (they_serve && pairing->server_drives && pairing->server != MCQ_PUB)
    out.alone = true;
  return out;
}

/* What is changed on its way to libzmq may not matter there, or it may refuse
 * it without a word and come again, or not.  Ours is refused by nobody who
 * says nothing. */
static row_t adapt_row(const row_t* row, unsigned way, bool they_serve) {
  row_t out = *row;
  bool to_them = way == (they_serve ? RELAY_UP : RELAY_DOWN);
  if (row->fault.kind == RELAY_FLIP && to_them && row->outcome != SERVED) {
    out.outcome = EITHER;
    out.hello = row->hello == 0 ? 0 : 1;
    out.spoiled = 3;
  } else if (row->outcome == REFUSED && !they_serve) {
    out.outcome = EITHER;
  }
  return out;
}

/* ---- tests --------------------------------------------------------------- */

static bool all_of_them;
static unsigned plays;

/* What is not played in full has each row with one pairing, here and there. */
static bool is_due(size_t pairing, size_t row, bool they_serve) {
  size_t other = they_serve ? pairing_count / 2 : 0;
  return all_of_them || (pairing + row + other) % pairing_count == 0;
}

/* A PAIR that takes whatever comes for a peer of old has its one peer then. */
static bool makes_sense(const pairing_t* pairing, const row_t* row) {
  return pairing->server != MCQ_PAIR || row->outcome != EITHER ||
         row->hello == 0;
}

static bool is_wanted(const row_t* row) {
  const char* only = getenv("MCQ_TEST_SCENE");
  return only == NULL || strstr(row->name, only) != NULL;
}

static void play_row(size_t i, size_t k, bool they_serve, int backend) {
  unsigned ways[2];
  pairing_t pairing = adapt_pairing(&pairings[i], they_serve);
  unsigned count = crossing_ways(&rows[k], ways);
  for (unsigned n = 0; n < count; n++) {
    row_t row = adapt_row(&rows[k], ways[n], they_serve);
    if (!crossing_fits(&pairing, &row, ways[n]) || !makes_sense(&pairing, &row))
      continue;
    play_one(&pairing, &row, ways[n], they_serve, backend);
    plays++;
  }
}

static void play_all(bool they_serve, int backend) {
  for (size_t i = 0; i < pairing_count; i++)
    for (size_t k = 0; k < row_count; k++)
      if (is_wanted(&rows[k]) && is_due(i, k, they_serve))
        play_row(i, k, they_serve, backend);
}

static void their_clients(void** state) {
  (void) state;
  play_all(false, MCQ_BACKEND_UV);
}

static void their_servers(void** state) {
  (void) state;
  play_all(true, second_backend());
}

static void the_other_way_round(void** state) {
  (void) state;
  if (!all_of_them) return;
  play_all(false, second_backend());
  play_all(true, MCQ_BACKEND_UV);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(their_clients),
      cmocka_unit_test(their_servers),
      cmocka_unit_test(the_other_way_round),
  };
  const char* wish = getenv("MCQ_RELAY");
  all_of_them = wish != NULL && strcmp(wish, "all") == 0;
  int failures = cmocka_run_group_tests(tests, NULL, NULL);
  printf("%u plays\n", plays);
  return failures;
}
