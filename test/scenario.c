/* SPDX-License-Identifier: MIT */
/* Whole sockets, one table of scenarios, at every place (support/place.h).
 * Each is played in a fresh loop that must close with 0 and leave no block
 * behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "monocoque.h"
#include "support/place.h"

#define MANY 20000

typedef struct stage {
  ground_t ground;
  mcq_socket_t* a; /* bound */
  mcq_socket_t* b; /* connected */
  mcq_endpoint_t at;
  mcq_peer_t peer; /* the last one up on a */
  mcq_peer_t stale;
  unsigned ups, downs, messages, drains, failed, events;
  unsigned sent, closed;
  int reason, failure;
  bool in_call; /* a call of ours is running: no callback may */
  bool stop_after_message;
  void (*on_up)(struct stage* g, mcq_socket_t* s);
} stage_t;

static stage_t* of(mcq_socket_t* s) {
  return (stage_t*) mcq_ctx_data(mcq_socket_ctx(s));
}

static void finish(stage_t* g) {
  ground_finish(&g->ground);
}

static void up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  assert_false(g->in_call);
  g->ups++;
  if (s == g->a) g->peer = info->peer;
  if (g->on_up != NULL) g->on_up(g, s);
}

static void down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  mcq_peer_info_t again;
  assert_false(g->in_call);
  assert_int_equal(mcq_peer_info(s, info->peer, &again), MCQ_EPEERGONE);
  g->downs++;
  if (g->reason == 0) g->reason = info->reason;
}

static void event(mcq_socket_t* s, const mcq_event_t* e) {
  stage_t* g = of(s);
  assert_false(g->in_call);
  g->events++;
  if (e->kind == MCQ_EVENT_HANDSHAKE_FAILED) {
    g->failed++;
    if (g->failure == 0) g->failure = e->code;
  }
}

static mcq_socket_t* make(stage_t* g, mcq_socket_options_t o) {
  mcq_socket_t* s;
  o.on_peer_up = up;
  o.on_peer_down = down;
  o.on_event = event;
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &o, &s), 0);
  return s;
}

static void run(stage_t* g) {
  ground_run(&g->ground);
}

static int bind_a(stage_t* g) {
  char uri[PLACE_URI_MAX];
  return mcq_bind(g->a, place_uri(g->ground.place, 0, uri), &g->at);
}

static void join(stage_t* g, mcq_socket_options_t a, mcq_socket_options_t b) {
  g->a = make(g, a);
  g->b = make(g, b);
  g->in_call = true;
  assert_int_equal(bind_a(g), 0);
  assert_int_equal(mcq_connect(g->b, mcq_endpoint_uri(g->a, g->at), NULL, NULL),
                   0);
  g->in_call = false;
}

/* ---- request and answer, many, multipart, in order ----------------------- */

static void echo(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  assert_int_equal(mcq_send_msg_to(s, peer, msg), 0);
}

static void ask(mcq_socket_t* s) {
  stage_t* g = of(s);
  g->drains++;
  while (g->sent < MANY) {
    char text[16];
    int len = snprintf(text, sizeof text, "%u", g->sent);
    mcq_frame_t parts[3] = {{text, (size_t) len}, {"", 0}, {"tail", 4}};
    g->in_call = true;
    int rc = mcq_send(s, parts, 3);
    g->in_call = false;
    if (rc == MCQ_EAGAIN) return;
    assert_int_equal(rc, 0);
    g->sent++;
  }
}

static void hear(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  (void) peer;
  char text[16];
  int len = snprintf(text, sizeof text, "%u", g->messages);
  assert_int_equal(mcq_msg_count(msg), 3);
  assert_int_equal(mcq_msg_frame(msg, 0).len, len);
  assert_memory_equal(mcq_msg_frame(msg, 0).data, text, (size_t) len);
  assert_int_equal(mcq_msg_frame(msg, 1).len, 0);
  assert_memory_equal(mcq_msg_frame(msg, 2).data, "tail", 4);
  if (++g->messages == MANY) finish(g);
}

static void many_round_trips(stage_t* g) {
  join(g,
       (mcq_socket_options_t){.type = MCQ_ROUTER,
                              .on_message = echo,
                              .sndhwm = -1,
                              .sndhwm_bytes = -1},
       (mcq_socket_options_t){
           .type = MCQ_DEALER, .on_message = hear, .on_drain = ask});
  ask(g->b);
  assert_int_equal(g->sent, 1000); /* nobody is connected: one queue full */
  run(g);
  assert_int_equal(g->messages, MANY);
  assert_int_equal(g->ups, 2);
  assert_int_equal(g->downs, 2);
  assert_int_equal(g->reason, MCQ_ELOCAL);
}

/* ---- one frame of every kind of size ------------------------------------- */

static const size_t sizes[] = {0,       1,       255,     256,    2048,
                               2049,    16384,   65535,   262144, 262145,
                               1 << 20, 5 << 20, 63 << 20};
#define SIZES (sizeof sizes / sizeof *sizes)

static void send_size(stage_t* g) {
  size_t len = sizes[g->sent++];
  uint8_t* bytes = (uint8_t*) calloc(1, len + 1);
  for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t) (i * 7 + i / 251);
  mcq_frame_t parts[2] = {{bytes, len}, {&len, sizeof len}};
  assert_int_equal(mcq_send(g->b, parts, 2), 0);
  free(bytes);
}

static void check_size(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  (void) peer;
  mcq_frame_t body = mcq_msg_frame(msg, 0);
  assert_int_equal(body.len, sizes[g->messages]);
  const uint8_t* bytes = (const uint8_t*) body.data;
  for (size_t i = 0; i < body.len; i++)
    if (bytes[i] != (uint8_t) (i * 7 + i / 251)) fail();
  if (++g->messages == SIZES)
    finish(g);
  else
    send_size(g);
}

static void all_sizes(stage_t* g) {
  join(g, (mcq_socket_options_t){.type = MCQ_ROUTER, .on_message = echo},
       (mcq_socket_options_t){.type = MCQ_DEALER, .on_message = check_size});
  send_size(g);
  run(g);
  assert_int_equal(g->messages, SIZES);
}

/* ---- pausing is exact ---------------------------------------------------- */

static void send_three(stage_t* g, mcq_socket_t* s) {
  if (s != g->b) return;
  for (int i = 0; i < 3; i++) assert_int_equal(mcq_send_text(s, "knock"), 0);
}

static void on_resume(uv_timer_t* timer) {
  stage_t* g = (stage_t*) timer->data;
  assert_int_equal(g->messages, 1);
  g->stop_after_message = false;
  uv_close((uv_handle_t*) timer, NULL);
  assert_int_equal(mcq_resume(g->a), 0);
}

static uv_timer_t resume_timer;

static void take_one(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  (void) peer;
  (void) msg;
  g->messages++;
  if (g->messages == 1) {
    assert_int_equal(mcq_pause(s), 0);
    uv_timer_init(&g->ground.loop, &resume_timer);
    resume_timer.data = g;
    uv_timer_start(&resume_timer, on_resume, 20, 0);
  }
  if (g->messages == 3) finish(g);
}

static void pause_stops_after_this_message(stage_t* g) {
  g->on_up = send_three;
  join(g, (mcq_socket_options_t){.type = MCQ_ROUTER, .on_message = take_one},
       (mcq_socket_options_t){.type = MCQ_DEALER});
  run(g);
  assert_int_equal(g->messages, 3);
}

/* ---- closing from inside a callback -------------------------------------- */

static void close_all(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  (void) peer;
  g->messages++;
  finish(g);
  finish(g);
  mcq_close(s, NULL);
  assert_int_equal(mcq_msg_frame(msg, 0).len, 5); /* still ours to read */
  assert_int_equal(mcq_send_text(s, "late"), MCQ_ECLOSED);
}

static void close_in_callback(stage_t* g) {
  g->on_up = send_three;
  join(g, (mcq_socket_options_t){.type = MCQ_ROUTER, .on_message = close_all},
       (mcq_socket_options_t){.type = MCQ_DEALER});
  run(g);
  assert_int_equal(g->messages, 1);
  assert_int_equal(g->ups, g->downs);
}

static void close_on_up(stage_t* g, mcq_socket_t* s) {
  (void) s;
  finish(g);
}

static void close_in_peer_up(stage_t* g) {
  g->on_up = close_on_up;
  join(g, (mcq_socket_options_t){.type = MCQ_ROUTER},
       (mcq_socket_options_t){.type = MCQ_DEALER});
  run(g);
  assert_int_equal(g->ups, g->downs);
}

/* ---- what waits leaves within linger ------------------------------------- */

static void count_close(const mcq_close_info_t* info) {
  assert_int_equal(info->lost_messages, 0);
  (*(unsigned*) info->data)++;
}

static void until_two(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  (void) peer;
  (void) msg;
  if (++g->messages == 2) finish(g);
}

static void queued_messages_survive_close(stage_t* g) {
  join(g, (mcq_socket_options_t){.type = MCQ_ROUTER, .on_message = until_two},
       (mcq_socket_options_t){.type = MCQ_DEALER, .data = &g->closed});
  assert_int_equal(mcq_send_text(g->b, "one"), 0);
  assert_int_equal(mcq_send_text(g->b, "two"), 0);
  mcq_close(g->b, count_close); /* before there even is a connection */
  run(g);
  assert_int_equal(g->messages, 2);
  assert_int_equal(g->closed, 1);
}

/* ---- wrong partners ------------------------------------------------------ */

static void on_type_event(mcq_socket_t* s, const mcq_event_t* e) {
  stage_t* g = of(s);
  event(s, e);
  if (g->failed == 2) finish(g);
}

static void types_that_do_not_fit(stage_t* g) {
  mcq_socket_options_t a = {.type = MCQ_PAIR};
  mcq_socket_options_t b = {.type = MCQ_DEALER};
  a.on_event = b.on_event = on_type_event;
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &a, &g->a), 0);
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &b, &g->b), 0);
  assert_int_equal(bind_a(g), 0);
  assert_int_equal(mcq_connect(g->b, mcq_endpoint_uri(g->a, g->at), NULL, NULL),
                   0);
  run(g);
  assert_int_equal(g->ups, 0);
  assert_int_equal(g->failed, 2);
  assert_true(g->failure == MCQ_ETYPE || g->failure == MCQ_EREFUSED);
}

/* ---- epochs -------------------------------------------------------------- */

static mcq_socket_t* second;

static void on_twin(stage_t* g, mcq_socket_t* s) {
  if (s != g->a) return;
  if (g->stale.epoch == 0) {
    g->stale = g->peer;
    mcq_socket_options_t o = {
        .type = MCQ_DEALER, .routing_id = "T", .routing_id_len = 1};
    second = make(g, o);
    assert_int_equal(
        mcq_connect(second, mcq_endpoint_uri(g->a, g->at), NULL, NULL), 0);
    return;
  }
  mcq_frame_t part = {"x", 1};
  mcq_peer_t found;
  assert_true(g->peer.epoch > g->stale.epoch);
  assert_int_equal(g->downs, 1); /* the old one is down before the new is up */
  assert_int_equal(g->reason, MCQ_EHANDOVER);
  assert_int_equal(mcq_send_to(g->a, g->stale, &part, 1), MCQ_EPEERGONE);
  assert_int_equal(mcq_send_to(g->a, g->peer, &part, 1), 0);
  assert_int_equal(mcq_peer_find(g->a, "T", 1, &found), 0);
  assert_true(found.epoch == g->peer.epoch);
  finish(g);
}

static void a_twin_takes_over(stage_t* g) {
  g->on_up = on_twin;
  join(g, (mcq_socket_options_t){.type = MCQ_ROUTER},
       (mcq_socket_options_t){.type = MCQ_DEALER,
                              .routing_id = "T",
                              .routing_id_len = 1,
                              .reconnect_ms = -1});
  run(g);
  assert_true(g->stale.epoch != 0);
  assert_int_equal(g->ups, g->downs);
}

/* ---- garbage on a live listener ------------------------------------------ */

static const char* const garbage[] = {
    "GET / HTTP/1.1\r\nHost: example\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello, more or less",
    "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n",
    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
};
#define GARBAGE (sizeof garbage / sizeof *garbage)

static union stranger {
  uv_handle_t handle;
  uv_tcp_t tcp;
  uv_pipe_t pipe;
} strangers[GARBAGE];
static uv_connect_t strangers_connect[GARBAGE];

static void on_stranger(uv_connect_t* request, int status) {
  assert_int_equal(status, 0);
  size_t i = (size_t) (request - strangers_connect);
  uv_buf_t b = uv_buf_init((char*) (uintptr_t) garbage[i],
                           (unsigned) strlen(garbage[i]));
  assert_true(uv_try_write(request->handle, &b, 1) > 0);
}

static void on_garbage_event(mcq_socket_t* s, const mcq_event_t* e) {
  stage_t* g = of(s);
  event(s, e);
  if (e->kind == MCQ_EVENT_HANDSHAKE_FAILED)
    assert_true(e->code == MCQ_EGREETING || e->code == MCQ_ELEGACY);
  if (g->failed != GARBAGE || g->sent != 0) return;
  g->sent = 1;
  assert_int_equal(mcq_connect(g->b, mcq_endpoint_uri(g->a, g->at), NULL, NULL),
                   0);
}

static sim_end_t* sim_strangers[GARBAGE];

static void send_off_strangers(const stage_t* g) {
  for (size_t i = 0; i < GARBAGE; i++) {
    if (g->ground.place->sim)
      sim_stranger_close(sim_strangers[i]);
    else
      uv_close(&strangers[i].handle, NULL);
  }
}

static void a_good_peer(stage_t* g, mcq_socket_t* s) {
  if (s != g->a) return;
  send_off_strangers(g);
  finish(g);
}

static void send_in_strangers(stage_t* g) {
  const char* uri = mcq_endpoint_uri(g->a, g->at);
  struct sockaddr_in address;
  for (size_t i = 0; i < GARBAGE; i++) {
    if (g->ground.place->sim) {
      sim_strangers[i] = sim_stranger_open(&g->ground.net, uri);
      sim_stranger_say(sim_strangers[i], garbage[i], strlen(garbage[i]));
      continue;
    }
    if (strncmp(uri, "ipc://", 6) == 0) {
      uv_pipe_init(&g->ground.loop, &strangers[i].pipe, 0);
      uv_pipe_connect(&strangers_connect[i], &strangers[i].pipe, uri + 6,
                      on_stranger);
      continue;
    }
    uv_ip4_addr("127.0.0.1", atoi(strrchr(uri, ':') + 1), &address);
    uv_tcp_init(&g->ground.loop, &strangers[i].tcp);
    uv_tcp_connect(&strangers_connect[i], &strangers[i].tcp,
                   (struct sockaddr*) &address, on_stranger);
  }
}

static void garbage_is_shown_out(stage_t* g) {
  mcq_socket_options_t a = {.type = MCQ_ROUTER,
                            .on_peer_up = up,
                            .on_peer_down = down,
                            .on_event = on_garbage_event};
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &a, &g->a), 0);
  mcq_socket_options_t b = {
      .type = MCQ_DEALER, .on_peer_up = up, .on_peer_down = down};
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &b, &g->b), 0);
  g->on_up = a_good_peer;
  assert_int_equal(bind_a(g), 0);
  send_in_strangers(g);
  run(g);
  assert_int_equal(g->failed, GARBAGE);
  assert_int_equal(g->ups, g->downs);
}

/* ---- and welcome at a STREAM --------------------------------------------- */

static struct letter {
  char text[80];
  size_t len;
} letters[GARBAGE];

static void on_stream_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  stage_t* g = of(s);
  struct letter* letter = &letters[g->ups];
  up(s, info);
  assert_true(g->ups <= GARBAGE);
  letter->len = 0;
  assert_int_equal(mcq_peer_set_data(s, info->peer, letter), 0);
}

static bool whole(const struct letter* letter) {
  for (size_t i = 0; i < GARBAGE; i++)
    if (strlen(garbage[i]) == letter->len &&
        memcmp(garbage[i], letter->text, letter->len) == 0)
      return true;
  return false;
}

static void hear_stranger(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  stage_t* g = of(s);
  mcq_peer_info_t info;
  mcq_frame_t piece = mcq_msg_frame(msg, 0);
  assert_int_equal(mcq_peer_info(s, peer, &info), 0);
  struct letter* letter = (struct letter*) info.data;
  assert_in_range(piece.len, 1, sizeof letter->text - letter->len);
  memcpy(letter->text + letter->len, piece.data, piece.len);
  letter->len += piece.len;
  if (!whole(letter) || ++g->messages < GARBAGE) return;
  send_off_strangers(g);
  finish(g);
}

static void strangers_are_heard(stage_t* g) {
  mcq_socket_options_t a = {.type = MCQ_STREAM,
                            .on_peer_up = on_stream_up,
                            .on_peer_down = down,
                            .on_message = hear_stranger,
                            .on_event = event};
  assert_int_equal(mcq_socket_new(g->ground.ctx, &a, &g->a), 0);
  assert_int_equal(bind_a(g), 0);
  send_in_strangers(g);
  run(g);
  assert_int_equal(g->messages, GARBAGE);
  assert_int_equal(g->failed, 0);
  assert_int_equal(g->ups, g->downs);
}

/* ---- one PAIR at a time -------------------------------------------------- */

static void second_pair(stage_t* g, mcq_socket_t* s) {
  if (s != g->a || second != NULL) return;
  second = make(g, (mcq_socket_options_t){.type = MCQ_PAIR});
  assert_int_equal(
      mcq_connect(second, mcq_endpoint_uri(g->a, g->at), NULL, NULL), 0);
}

static void on_pair_event(mcq_socket_t* s, const mcq_event_t* e) {
  stage_t* g = of(s);
  event(s, e);
  if (e->kind != MCQ_EVENT_HANDSHAKE_FAILED) return;
  assert_int_equal(e->code, MCQ_EPAIRED);
  assert_int_equal(mcq_send_text(g->a, "still here"), 0);
}

static void pair_hears(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  of(s)->messages++;
  finish(of(s));
}

static void a_second_pair_is_refused(stage_t* g) {
  second = NULL;
  g->on_up = second_pair;
  mcq_socket_options_t a = {.type = MCQ_PAIR,
                            .on_peer_up = up,
                            .on_peer_down = down,
                            .on_event = on_pair_event};
  assert_int_equal(mcq_socket_new(ground_ctx(&g->ground), &a, &g->a), 0);
  g->b = make(
      g, (mcq_socket_options_t){.type = MCQ_PAIR, .on_message = pair_hears});
  assert_int_equal(bind_a(g), 0);
  assert_int_equal(mcq_connect(g->b, mcq_endpoint_uri(g->a, g->at), NULL, NULL),
                   0);
  run(g);
  assert_int_equal(g->messages, 1);
}

/* ---- the table ----------------------------------------------------------- */

typedef struct scenario {
  const char* name;
  void (*play)(stage_t* g);
  bool strangers; /* come in: only where they can */
} scenario_t;

static const scenario_t scenarios[] = {
    {"many round trips", many_round_trips, false},
    {"all sizes", all_sizes, false},
    {"pause stops after this message", pause_stops_after_this_message, false},
    {"close in a callback", close_in_callback, false},
    {"close in peer up", close_in_peer_up, false},
    {"queued messages survive close", queued_messages_survive_close, false},
    {"types that do not fit", types_that_do_not_fit, false},
    {"a twin takes over", a_twin_takes_over, false},
    {"garbage is shown out", garbage_is_shown_out, true},
    {"strangers are heard", strangers_are_heard, true},
    {"a second pair is refused", a_second_pair_is_refused, false},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

static void play_all(void** state) {
  const place_t* place = (const place_t*) *state;
  if (!place_is_here(place)) skip();
  for (size_t i = 0; i < SCENARIOS; i++) {
    static stage_t g;
    if (scenarios[i].strangers && !place->strangers) continue;
    print_message("  %s\n", scenarios[i].name);
    memset(&g, 0, sizeof g);
    ground_open(&g.ground, place);
    scenarios[i].play(&g);
  }
}

int main(void) {
  struct CMUnitTest tests[PLACES];
  for (size_t i = 0; i < PLACES; i++)
    tests[i] = (struct CMUnitTest){.name = places[i].name,
                                   .test_func = play_all,
                                   .initial_state = (void*) &places[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
