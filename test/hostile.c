/* SPDX-License-Identifier: MIT */
/* Strangers that mean no good, at a live listener: raw TCP clients of some
 * forty kinds, alone, by the hundred and all together, beside one good peer
 * that is served all the time.  Each is shown out with a reason, and what it
 * cost comes back to the byte.  Over every back end, on a clock of the test's
 * own. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctx.h"
#include "monocoque.h"
#include "support/nap.h"
#include "support/random.h"

/* The listener's limits, low enough to be reached at once. */
#define FRAMES_MAX 16
#define MESSAGE_MAX 65536
#define HANDSHAKE_MS 10000
#define QUEUE_MAX 65536

#define COMMAND_MAX (65536 + 256)

/* What a connection may cost before it has said hello, bookkeeping of the
 * allocator aside: the promise of this library to who faces the internet. */
#define COST_MAX 4096

/* What all connections read into, and the slabs kept for them: it is made when
 * somebody speaks. */
#define SHARED ((size_t) 524288)

/* What is held for one that does not read: its queue, an answer over the mark,
 * and buffers of the connection. */
#define DEAF_MAX (QUEUE_MAX * 4 + SHARED)

#define FEW 20
#define MANY 200
#define FLOOD 500

/* Turns of the loop in which whatever is to happen has happened.  After so many
 * in a row in which nothing did, the kernel is given time for it. */
#define PATIENCE 20000
#define HURRY 200

/* ---- memory, counted to the byte ----------------------------------------- */

typedef struct meter {
  size_t bytes;
  size_t blocks;
  size_t peak;
} meter_t;

#define HEADER 16 /* holds the size, keeps the alignment */

static void* meter_take(size_t size, void* arg) {
  meter_t* m = (meter_t*) arg;
  char* block = (char*) malloc(HEADER + size);
  if (block == NULL) return NULL;
  memcpy(block, &size, sizeof size);
  m->bytes += size;
  m->blocks++;
  if (m->bytes > m->peak) m->peak = m->bytes;
  return block + HEADER;
}

static void meter_give(void* at, void* arg) {
  meter_t* m = (meter_t*) arg;
  char* block = (char*) at - HEADER;
  size_t size;
  memcpy(&size, block, sizeof size);
  m->bytes -= size;
  m->blocks--;
  free(block);
}

/* ---- what became of a stranger, by its port ------------------------------ */

typedef struct fate {
  bool accepted;
  bool up;
  int kind; /* of the event that ended it; 0: not yet */
  int code;
  char text[128];
  uint64_t since; /* virtual ms */
  uint64_t until;
} fate_t;

static fate_t fates[65536];

static unsigned port_of(const char* address) {
  return (unsigned) atoi(strrchr(address, ':') + 1);
}

/* ---- the house: a ROUTER and its good peer ------------------------------- */

typedef struct house {
  uv_loop_t loop;
  uv_timer_t nap;
  meter_t memory;
  mcq_ctx_t* ctx;
  mcq_socket_t* router;
  mcq_socket_t* dealer;
  struct sockaddr_in address;
  uint64_t now;
  uint64_t asked, answered;
  uint64_t told; /* of the strangers */
  unsigned ups;
  unsigned refused; /* answers that strangers did not take */
  bool asking;
  bool closing;
} house_t;

static house_t* of(mcq_socket_t* s) {
  return (house_t*) mcq_ctx_data(mcq_socket_ctx(s));
}

static uint64_t house_clock(void* arg) {
  return ((house_t*) arg)->now;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  house_t* h = of(s);
  if (e->kind != MCQ_EVENT_ACCEPTED && e->kind != MCQ_EVENT_HANDSHAKE_OK &&
      e->kind != MCQ_EVENT_HANDSHAKE_FAILED &&
      e->kind != MCQ_EVENT_DISCONNECTED)
    return;
  h->told++;
  fate_t* f = &fates[port_of(e->address)];
  if (e->kind == MCQ_EVENT_ACCEPTED) {
    memset(f, 0, sizeof *f);
    f->accepted = true;
    f->since = h->now;
    return;
  }
  assert_true(f->accepted);
  assert_int_equal(f->kind, 0); /* nothing after the end */
  if (e->kind == MCQ_EVENT_HANDSHAKE_OK) {
    f->up = true;
    return;
  }
  assert_true(f->up == (e->kind == MCQ_EVENT_DISCONNECTED));
  assert_int_not_equal(e->code, 0);
  assert_non_null(e->text);
  f->kind = (int) e->kind;
  f->code = e->code;
  f->until = h->now;
  snprintf(f->text, sizeof f->text, "%s", e->text);
}

/* A stranger that does not read its answers gets no more of them. */
static void echo(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  int rc = mcq_send_msg_to(s, peer, msg);
  if (rc == 0) return;
  assert_int_equal(rc, MCQ_EAGAIN);
  of(s)->refused++;
}

static void ask(house_t* h) {
  h->asked++;
  mcq_frame_t parts[2] = {{&h->asked, sizeof h->asked}, {"good", 4}};
  assert_int_equal(mcq_send(h->dealer, parts, 2), 0);
}

static void hear(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  house_t* h = of(s);
  (void) peer;
  assert_int_equal(mcq_msg_count(msg), 2);
  assert_int_equal(mcq_msg_frame(msg, 0).len, sizeof h->answered);
  h->answered++;
  assert_memory_equal(mcq_msg_frame(msg, 0).data, &h->answered,
                      sizeof h->answered);
  if (h->asking) ask(h);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  of(s)->ups++;
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  (void) info;
  assert_true(of(s)->closing); /* the good peer is never disturbed */
}

static int open_ctx(house_t* h, int backend) {
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = {meter_take, meter_give, &h->memory},
                         .data = h};
  mcq__seams_t seams = {.clock = house_clock, .clock_arg = h, .seed = 1};
  return mcq__ctx_open(&h->loop, &o, &seams, &h->ctx);
}

static void open_sockets(house_t* h) {
  mcq_endpoint_t at;
  mcq_socket_options_t r = {.type = MCQ_ROUTER,
                            .on_message = echo,
                            .on_event = on_event,
                            .max_frames = FRAMES_MAX,
                            .max_message_size = MESSAGE_MAX,
                            .handshake_ms = HANDSHAKE_MS,
                            .sndhwm_bytes = QUEUE_MAX};
  mcq_socket_options_t d = {.type = MCQ_DEALER,
                            .on_message = hear,
                            .on_peer_up = on_up,
                            .on_peer_down = on_down};
  assert_int_equal(mcq_socket_new(h->ctx, &r, &h->router), 0);
  assert_int_equal(mcq_socket_new(h->ctx, &d, &h->dealer), 0);
  assert_int_equal(mcq_bind(h->router, "tcp://127.0.0.1:*", &at), 0);
  const char* uri = mcq_endpoint_uri(h->router, at);
  uv_ip4_addr("127.0.0.1", (int) port_of(uri), &h->address);
  assert_int_equal(mcq_connect(h->dealer, uri, NULL, NULL), 0);
}

static void turn(house_t* h) {
  uv_run(&h->loop, UV_RUN_NOWAIT);
}

/* The next turn after so many in vain. */
static void next_turn(house_t* h, int vain) {
  if (vain > HURRY) nap(&h->nap);
  turn(h);
}

/* As much as the kernel has to say at once, and then what it was late with. */
static void settle(house_t* h) {
  for (int i = 0; i < 10; i++) turn(h);
  nap(&h->nap);
  for (int i = 0; i < 10; i++) turn(h);
}

/* The good peer's next question gets its answer. */
static void expect_service(house_t* h) {
  uint64_t next = h->asked + 1;
  for (int i = 0; i < PATIENCE && h->answered < next; i++) next_turn(h, i);
  assert_true(h->answered >= next);
}

static void open_house(house_t* h, int backend) {
  memset(h, 0, sizeof *h);
  h->now = 1000;
  uv_loop_init(&h->loop);
  uv_timer_init(&h->loop, &h->nap);
  assert_int_equal(open_ctx(h, backend), 0);
  open_sockets(h);
  h->asking = true;
  ask(h);
  expect_service(h);
  assert_int_equal(h->ups, 1);
}

static void close_house(house_t* h) {
  assert_int_equal(h->ups, 1);
  h->closing = true;
  mcq_ctx_close(h->ctx, NULL);
  for (int i = 0; i < PATIENCE && uv_loop_alive(&h->loop); i++) next_turn(h, i);
  uv_close((uv_handle_t*) &h->nap, NULL);
  assert_int_equal(uv_run(&h->loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&h->loop), 0);
  assert_int_equal(h->memory.blocks, 0);
  assert_int_equal(h->memory.bytes, 0);
}

/* Pooled memory that nobody asks for goes back. */
#define QUIET 4000

/* What is held when every question has been answered and nobody speaks. */
static meter_t at_rest(house_t* h) {
  h->asking = false;
  for (int i = 0; i < PATIENCE && h->answered < h->asked; i++) next_turn(h, i);
  assert_int_equal(h->answered, h->asked);
  settle(h);
  for (int ms = 0; ms < QUIET; ms += 500) {
    h->now += 500;
    for (int i = 0; i < 4; i++) turn(h);
  }
  meter_t m = h->memory;
  h->asking = true;
  ask(h);
  return m;
}

/* ---- words --------------------------------------------------------------- */

typedef struct words {
  uint8_t bytes[1 << 17];
  size_t len;
  test_random_t random;
} words_t;

static void put(words_t* w, const void* data, size_t len) {
  assert_true(len <= sizeof w->bytes - w->len);
  memcpy(w->bytes + w->len, data, len);
  w->len += len;
}

static void put_byte(words_t* w, unsigned byte) {
  uint8_t b = (uint8_t) byte;
  put(w, &b, 1);
}

static void put_fill(words_t* w, unsigned byte, size_t len) {
  for (size_t i = 0; i < len; i++) put_byte(w, byte);
}

static void put_text(words_t* w, const char* text) {
  put(w, text, strlen(text));
}

static void put_greeting_of(words_t* w, unsigned major, const char* mechanism,
                            unsigned reserved) {
  size_t len = strlen(mechanism);
  put_byte(w, 0xFF);
  put_fill(w, reserved, 8);
  put_byte(w, 0x7F);
  put_byte(w, major);
  put_byte(w, 1);
  put(w, mechanism, len);
  put_fill(w, 0, 20 - len);
  put_byte(w, 0);
  put_fill(w, reserved, 31);
}

static void put_greeting(words_t* w) {
  put_greeting_of(w, 3, "NULL", 0);
}

enum { MORE = 1, LONG = 2, COMMAND = 4 };

/* A long header, whatever the length. */
static void put_head(words_t* w, unsigned flags, uint64_t len) {
  put_byte(w, flags | LONG);
  for (int shift = 56; shift >= 0; shift -= 8)
    put_byte(w, (unsigned) (len >> shift) & 0xFF);
}

static void put_frame(words_t* w, unsigned flags, const void* data,
                      size_t len) {
  put_head(w, flags, len);
  put(w, data, len);
}

/* A command; what follows its name is still to be put. */
static void put_command(words_t* w, const char* name, size_t rest) {
  size_t len = strlen(name);
  put_head(w, COMMAND, 1 + len + rest);
  put_byte(w, (unsigned) len);
  put(w, name, len);
}

static size_t property_size(const char* name, size_t len) {
  return 1 + strlen(name) + 4 + len;
}

static void put_property(words_t* w, const char* name, const void* value,
                         size_t len) {
  put_byte(w, (unsigned) strlen(name));
  put_text(w, name);
  for (int shift = 24; shift >= 0; shift -= 8)
    put_byte(w, (unsigned) (len >> shift) & 0xFF);
  put(w, value, len);
}

static void put_ready_of(words_t* w, const char* type) {
  size_t len = strlen(type);
  put_command(w, "READY", property_size("Socket-Type", len));
  put_property(w, "Socket-Type", type, len);
}

static void put_hello(words_t* w) {
  put_greeting(w);
  put_ready_of(w, "DEALER");
}

/* ---- what they say before READY ------------------------------------------ */

static void say_nothing(words_t* w) {
  (void) w;
}

static void say_http(words_t* w) {
  put_text(w, "GET / HTTP/1.1\r\nHost: example\r\nAccept: */*\r\n\r\n");
}

static void say_tls(words_t* w) {
  put(w, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (int i = 0; i < 500; i++) put_byte(w, (unsigned) test_random(&w->random));
}

static void say_ssh(words_t* w) {
  put_text(w, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n");
}

/* The first byte decides whether it may be taken for an old greeting; not one
 * of them looks like a signature. */
static void say_random(words_t* w) {
  for (int i = 0; i < 300; i++) put_byte(w, (unsigned) test_random(&w->random));
  if (w->bytes[0] == 0xFF) w->bytes[9] = 0x01;
}

static void say_version_1(words_t* w) {
  put(w, "\x01\x00\x05\x00hello", 9);
}

static void say_version_2(words_t* w) {
  put(w, "\xff\0\0\0\0\0\0\0\0\x7f\x01\x05\x00\x00", 14);
}

static void say_signature_of_old(words_t* w) {
  put(w, "\xff\0\0\0\0\0\0\0\1\0", 10);
}

static void say_curve(words_t* w) {
  put_greeting_of(w, 3, "CURVE", 0);
}

static void say_odd_mechanism(words_t* w) {
  put_greeting_of(w, 3, "NULL\x01\xff\n", 0);
}

static void say_half_a_greeting(words_t* w) {
  put_greeting(w);
  w->len = 32;
}

static void say_a_greeting(words_t* w) {
  put_greeting(w);
}

static void say_reserved_flags(words_t* w) {
  put_greeting(w);
  put_byte(w, 0x84);
  put_byte(w, 1);
}

static void say_message_early(words_t* w) {
  put_greeting(w);
  put_frame(w, 0, "too early", 9);
}

static void say_other_command(words_t* w) {
  put_greeting(w);
  put_command(w, "HELLO", 0);
}

static void say_error(words_t* w) {
  put_greeting(w);
  put_command(w, "ERROR", 4);
  put(w, "\x03no!", 4);
}

static void say_error_cut_short(words_t* w) {
  put_greeting(w);
  put_command(w, "ERROR", 3);
  put(w, "\xffno", 3);
}

static void say_nameless_command(words_t* w) {
  put_greeting(w);
  put_frame(w, COMMAND, "", 1);
}

static void say_large_command(words_t* w) {
  put_greeting(w);
  put_head(w, COMMAND, COMMAND_MAX + 1);
}

static void say_nameless_property(words_t* w) {
  put_greeting(w);
  put_command(w, "READY", 5);
  put_property(w, "", "", 0);
}

static void say_value_past_the_end(words_t* w) {
  put_greeting(w);
  put_command(w, "READY", property_size("Socket-Type", 0));
  put_byte(w, 11);
  put_text(w, "Socket-Type");
  put_fill(w, 0xFF, 4);
}

static void say_left_over_byte(words_t* w) {
  put_greeting(w);
  put_command(w, "READY", property_size("Socket-Type", 6) + 1);
  put_property(w, "Socket-Type", "DEALER", 6);
  put_byte(w, 1);
}

static void say_too_many_properties(words_t* w) {
  put_greeting(w);
  put_command(w, "READY", 300 * property_size("X", 0));
  for (int i = 0; i < 300; i++) put_property(w, "X", "", 0);
}

static void say_long_identity(words_t* w) {
  uint8_t id[256] = {1};
  put_greeting(w);
  put_command(w, "READY",
              property_size("Socket-Type", 6) + property_size("Identity", 256));
  put_property(w, "Socket-Type", "DEALER", 6);
  put_property(w, "Identity", id, sizeof id);
}

static void say_no_type(words_t* w) {
  put_greeting(w);
  put_command(w, "READY", property_size("X-Y", 1));
  put_property(w, "X-Y", "z", 1);
}

static void say_wrong_type(words_t* w) {
  put_greeting(w);
  put_ready_of(w, "PULL");
}

static void say_odd_type(words_t* w) {
  put_greeting(w);
  put_ready_of(w, "\x1b[31mROUTER\n\x01");
}

/* Nearly all of a READY as large as they come is still to come. */
static void say_half_a_ready(words_t* w) {
  put_greeting(w);
  put_head(w, COMMAND, COMMAND_MAX);
  put_text(w, "\x05READY");
}

static void say_the_first_byte(words_t* w) {
  put_byte(w, 0xFF);
}

/* As good as any byte of a greeting after the first. */
static void babble_a_byte(words_t* w) {
  put_byte(w, 0x7F);
}

/* ---- and after ----------------------------------------------------------- */

static void say_hello_with_junk(words_t* w) {
  put_greeting_of(w, 3, "NULL", 0xA5);
  put_ready_of(w, "DEALER");
}

static void say_version_4(words_t* w) {
  put_greeting_of(w, 4, "NULL", 0);
  put_ready_of(w, "DEALER");
}

static void say_hello(words_t* w) {
  put_hello(w);
}

static void say_ready_twice(words_t* w) {
  put_hello(w);
  put_ready_of(w, "DEALER");
}

static void say_2_63(words_t* w) {
  put_hello(w);
  put_head(w, 0, UINT64_C(1) << 63);
}

static void say_2_64(words_t* w) {
  put_hello(w);
  put_head(w, MORE, UINT64_MAX);
}

static void say_2_62(words_t* w) {
  put_hello(w);
  put_head(w, 0, UINT64_C(1) << 62);
}

static void say_over_the_limit(words_t* w) {
  put_hello(w);
  put_head(w, 0, MESSAGE_MAX + 1);
}

static void say_command_over_size(words_t* w) {
  put_hello(w);
  put_head(w, COMMAND, COMMAND_MAX + 1);
}

static void say_command_with_more(words_t* w) {
  put_hello(w);
  put_byte(w, COMMAND | MORE);
  put_byte(w, 1);
}

static void say_short_ping(words_t* w) {
  put_hello(w);
  put_command(w, "PING", 1);
  put_byte(w, 0);
}

static void say_error_late(words_t* w) {
  put_hello(w);
  put_command(w, "ERROR", 4);
  put(w, "\x03no!", 4);
}

static void say_half_a_message(words_t* w) {
  put_hello(w);
  put_frame(w, MORE, "first", 5);
  put_head(w, 0, 1000);
  put_text(w, "and no more");
}

static void babble_more(words_t* w) {
  for (int i = 0; i < 1000; i++) put_frame(w, MORE, "m", 1);
}

static void babble_bytes(words_t* w) {
  put_head(w, MORE, 10000);
  put_fill(w, 'b', 10000);
}

static void babble_subscriptions(words_t* w) {
  for (int i = 0; i < 1000; i++) {
    put_command(w, i % 2 == 0 ? "SUBSCRIBE" : "CANCEL", 3);
    put_text(w, "abc");
    put_frame(w, 0, "\x01topic", 6);
  }
}

static void babble_pings(words_t* w) {
  for (int i = 0; i < 1000; i++) {
    put_command(w, "PING", 18);
    put_fill(w, 'p', 18);
  }
}

static void babble_questions(words_t* w) {
  for (int i = 0; i < 4; i++) {
    put_head(w, 0, 20000);
    put_fill(w, 'q', 20000);
  }
}

static void babble_odd_commands(words_t* w) {
  for (int i = 0; i < 1000; i++) put_command(w, "WHATEVER", 0);
}

/* ---- the kinds ----------------------------------------------------------- */

typedef enum leaving {
  SHOWN_OUT, /* stays until the connection is closed */
  TIMED_OUT, /* the same, and time passes */
  CLOSES,    /* ends its side when it has said all */
  RESETS,    /* breaks off */
  VANISHES   /* breaks off at once, perhaps before it was accepted */
} leaving_t;

typedef struct attack {
  const char* name;
  void (*say)(words_t* w);
  void (*babble)(words_t* w); /* said again and again */
  leaving_t leaving;
  int rounds;  /* of babble before it leaves */
  bool up;     /* gets through the handshake */
  bool silent; /* no text is promised: nothing is known but the code */
  int codes[4];
} attack_t;

/* After a reset it depends on who notices first. */
#define BROKEN \
  { UV_ECONNRESET, UV_EPIPE, UV_EOF }

/* Where it was being written to, the write may have had the error; what is read
 * is then an end, within a frame if not all of the last babble was taken. */
#define BROKEN_ANYWHERE \
  { UV_ECONNRESET, UV_EPIPE, UV_EOF, MCQ_EPARTIAL }

static const attack_t attacks[] = {
    {"HTTP", say_http, .codes = {MCQ_EGREETING}},
    {"TLS", say_tls, .codes = {MCQ_EGREETING}},
    {"SSH", say_ssh, .codes = {MCQ_EGREETING}},
    {"random bytes", say_random, .codes = {MCQ_EGREETING, MCQ_ELEGACY}},
    {"ZMTP 1.0", say_version_1, .codes = {MCQ_ELEGACY}},
    {"ZMTP 2.0", say_version_2, .codes = {MCQ_ELEGACY}},
    {"a long identity of old", say_signature_of_old, .codes = {MCQ_ELEGACY}},
    {"CURVE", say_curve, .codes = {MCQ_EMECHANISM}},
    {"an odd mechanism", say_odd_mechanism, .codes = {MCQ_EMECHANISM}},
    {"reserved flags", say_reserved_flags, .codes = {MCQ_EFRAME}},
    {"a message before READY", say_message_early, .codes = {MCQ_ECOMMAND}},
    {"another command", say_other_command, .codes = {MCQ_ECOMMAND}},
    {"ERROR", say_error, .codes = {MCQ_EREFUSED}},
    {"ERROR cut short", say_error_cut_short, .codes = {MCQ_ECOMMAND}},
    {"a nameless command", say_nameless_command, .codes = {MCQ_ECOMMAND}},
    {"a large command", say_large_command, .codes = {MCQ_ECOMMAND}},
    {"a nameless property", say_nameless_property, .codes = {MCQ_EMETADATA}},
    {"a value past the end", say_value_past_the_end, .codes = {MCQ_EMETADATA}},
    {"a byte too many", say_left_over_byte, .codes = {MCQ_EMETADATA}},
    {"300 properties", say_too_many_properties, .codes = {MCQ_EMETADATA}},
    {"a long identity", say_long_identity, .codes = {MCQ_EMETADATA}},
    {"no type", say_no_type, .codes = {MCQ_ETYPE}},
    {"the wrong type", say_wrong_type, .codes = {MCQ_ETYPE}},
    {"an unprintable type", say_odd_type, .codes = {MCQ_ETYPE}},

    {"silence", say_nothing, .leaving = TIMED_OUT, .codes = {MCQ_EHANDSHAKE}},
    {"half a greeting", say_half_a_greeting, .leaving = TIMED_OUT,
     .codes = {MCQ_EHANDSHAKE}},
    {"a greeting", say_a_greeting, .leaving = TIMED_OUT,
     .codes = {MCQ_EHANDSHAKE}},
    {"half a READY", say_half_a_ready, .leaving = TIMED_OUT,
     .codes = {MCQ_EHANDSHAKE}},
    {"a byte a second", say_the_first_byte, babble_a_byte, TIMED_OUT,
     .codes = {MCQ_EHANDSHAKE}},
    {"a byte of READY a second", say_half_a_ready, babble_a_byte, TIMED_OUT,
     .codes = {MCQ_EHANDSHAKE}},

    {"comes and goes", say_nothing, .leaving = VANISHES, .silent = true,
     .codes = BROKEN},
    {"comes and closes", say_nothing, .leaving = CLOSES, .silent = true,
     .codes = {UV_EOF}},
    {"comes and resets", say_nothing, .leaving = RESETS, .silent = true,
     .codes = BROKEN},
    {"closes in the greeting", say_half_a_greeting, .leaving = CLOSES,
     .silent = true, .codes = {UV_EOF}},
    {"resets in READY", say_half_a_ready, .leaving = RESETS, .silent = true,
     .codes = BROKEN},

    {"READY twice", say_ready_twice, .up = true, .codes = {MCQ_ECOMMAND}},
    {"2^63 bytes", say_2_63, .up = true, .codes = {MCQ_EFRAME}},
    {"2^64 - 1 bytes", say_2_64, .up = true, .codes = {MCQ_EFRAME}},
    {"2^62 bytes", say_2_62, .up = true, .codes = {MCQ_EMSGLIMIT}},
    {"a byte over the limit", say_over_the_limit, .up = true,
     .codes = {MCQ_EMSGLIMIT}},
    {"frames without end", say_hello, babble_more, .up = true,
     .codes = {MCQ_EFRAMES}},
    {"bytes without end", say_hello, babble_bytes, .up = true,
     .codes = {MCQ_EMSGLIMIT}},
    {"a command over size", say_command_over_size, .up = true,
     .codes = {MCQ_ECOMMAND}},
    {"a command with MORE", say_command_with_more, .up = true,
     .codes = {MCQ_EFRAME}},
    {"a short PING", say_short_ping, .up = true, .codes = {MCQ_ECOMMAND}},
    {"ERROR late", say_error_late, .up = true, .codes = {MCQ_EREFUSED}},
    {"half a message", say_half_a_message, .leaving = CLOSES, .up = true,
     .silent = true, .codes = {MCQ_EPARTIAL}},
    {"resets in a message", say_half_a_message, .leaving = RESETS, .up = true,
     .silent = true, .codes = BROKEN},

    /* Let in, for the RFC says that these be ignored, and harmless. */
    {"reserved fields", say_hello_with_junk, .leaving = CLOSES, .up = true,
     .silent = true, .codes = {UV_EOF}},
    {"ZMTP 4.1", say_version_4, .leaving = CLOSES, .up = true, .silent = true,
     .codes = {UV_EOF}},
    {"subscriptions", say_hello, babble_subscriptions, RESETS, 3, .up = true,
     .silent = true, .codes = BROKEN},
    {"odd commands", say_hello, babble_odd_commands, RESETS, 3, .up = true,
     .silent = true, .codes = BROKEN},
    {"reads no PONG", say_hello, babble_pings, RESETS, 3, .up = true,
     .silent = true, .codes = BROKEN_ANYWHERE},
    {"reads no answer", say_hello, babble_questions, RESETS, 3, .up = true,
     .silent = true, .codes = BROKEN_ANYWHERE},
};
#define ATTACKS (sizeof attacks / sizeof *attacks)

/* ---- a stranger ---------------------------------------------------------- */

typedef struct stranger {
  const attack_t* attack;
  int fd;
  unsigned port;
  int round;
  uint64_t babbled; /* virtual ms */
  size_t cut;       /* bytes of the last babble not sent */
  bool left;        /* did all it meant to do */
  bool over;
} stranger_t;

static words_t words;

static void limit(int fd, int level, int option, int value) {
  assert_int_equal(setsockopt(fd, level, option, &value, sizeof value), 0);
}

/* Says the words from `from` on; returns how many of them were not taken. */
static size_t say(const stranger_t* s, const words_t* w, size_t from) {
  while (from < w->len) {
    ssize_t n = send(s->fd, w->bytes + from, w->len - from,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) break;
    from += (size_t) n;
  }
  return w->len - from;
}

static void reset(stranger_t* s) {
  struct linger none = {1, 0};
  setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(s->fd);
  s->fd = -1;
}

static void leave(stranger_t* s) {
  s->left = true;
  if (s->attack->leaving == CLOSES) {
    shutdown(s->fd, SHUT_WR);
  } else if (s->attack->leaving >= RESETS) {
    reset(s);
  }
}

static void appear(stranger_t* s, const house_t* h, const attack_t* attack) {
  struct sockaddr_in own;
  socklen_t size = sizeof own;
  memset(s, 0, sizeof *s);
  s->attack = attack;
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(s->fd >= 0);
  /* Who does not read shall be felt soon. */
  limit(s->fd, SOL_SOCKET, SO_RCVBUF, 4096);
  limit(s->fd, IPPROTO_TCP, TCP_MAXSEG, 1000);
  limit(s->fd, IPPROTO_TCP, TCP_NODELAY, 1);
  assert_int_equal(
      connect(s->fd, (const struct sockaddr*) &h->address, sizeof h->address),
      0);
  assert_int_equal(getsockname(s->fd, (struct sockaddr*) &own, &size), 0);
  s->port = ntohs(own.sin_port);
  s->babbled = h->now;
  memset(&fates[s->port], 0, sizeof fates[s->port]);
  words.len = 0;
  attack->say(&words);
  /* Who is shown out half way through a long speech gets no further. */
  (void) say(s, &words, 0);
  if (attack->leaving == VANISHES) leave(s);
}

/* Goes on with what was cut off last time, so that the framing holds. */
static void babble(stranger_t* s) {
  if (s->cut == 0) {
    words.len = 0;
    s->attack->babble(&words);
    s->cut = words.len;
    s->round++;
  } else {
    words.len = 0;
    s->attack->babble(&words);
  }
  s->cut = say(s, &words, words.len - s->cut);
}

static bool done_talking(const stranger_t* s) {
  return s->attack->babble == NULL || s->round >= s->attack->rounds;
}

static void check_fate(const stranger_t* s) {
  const attack_t* a = s->attack;
  const fate_t* f = &fates[s->port];
  int want = a->up ? MCQ_EVENT_DISCONNECTED : MCQ_EVENT_HANDSHAKE_FAILED;
  bool known = false;
  for (size_t i = 0; i < 4; i++)
    known = known || (a->codes[i] != 0 && a->codes[i] == f->code);
  if (f->kind != want || !known || (!a->silent && f->text[0] == '\0'))
    fail_msg("%s: event %d, code %s, text '%s'", a->name, f->kind,
             mcq_err_name(f->code), f->text);
  for (const char* c = f->text; *c != '\0'; c++)
    assert_true(*c >= ' ' && *c <= '~');
  if (a->leaving == TIMED_OUT)
    assert_int_equal(f->until - f->since, HANDSHAKE_MS);
}

/* One turn of one stranger's life. */
static void act(stranger_t* s, const house_t* h) {
  const fate_t* f = &fates[s->port];
  if (f->kind != 0) {
    check_fate(s);
    if (s->fd >= 0) reset(s);
    s->over = true;
    return;
  }
  if (s->left || !f->accepted) return;
  if (s->attack->leaving == TIMED_OUT) {
    if (s->attack->babble == NULL || h->now - s->babbled < 1000) return;
    s->babbled = h->now;
    babble(s);
    return;
  }
  if (s->attack->babble != NULL &&
      (s->attack->leaving == SHOWN_OUT || !done_talking(s))) {
    babble(s);
  } else if (s->attack->leaving != SHOWN_OUT && (f->up || !s->attack->up)) {
    leave(s);
  }
}

/* Lets the strangers do their worst until they are all gone.  Time passes only
 * when nobody is left who does something by himself. */
static void see_out(house_t* h, stranger_t* crowd, size_t count) {
  size_t over = 0;
  int idle = 0;
  int vain = 0;
  for (int i = 0; i < PATIENCE && over < count; i++) {
    uint64_t told = h->told;
    next_turn(h, vain);
    vain = h->told == told ? vain + 1 : 0;
    size_t before = over;
    bool waiting = true;
    over = 0;
    for (size_t k = 0; k < count; k++) {
      stranger_t* s = &crowd[k];
      if (!s->over) act(s, h);
      if (s->over)
        over++;
      else if (s->attack->leaving != TIMED_OUT || !fates[s->port].accepted)
        waiting = false;
    }
    idle = waiting && over == before ? idle + 1 : 0;
    if (idle < 4) continue;
    h->now += 500;
    idle = 0;
  }
  for (size_t k = 0; k < count; k++)
    if (!crowd[k].over) fail_msg("%s is still there", crowd[k].attack->name);
}

/* Turns until the house has seen everybody. */
static void await_all(house_t* h, const stranger_t* crowd, size_t count) {
  for (size_t k = 0; k < count; k++)
    for (int i = 0; i < PATIENCE && !fates[crowd[k].port].accepted; i++)
      next_turn(h, i);
  for (size_t k = 0; k < count; k++) assert_true(fates[crowd[k].port].accepted);
  settle(h);
}

/* ---- one kind, again and again ------------------------------------------- */

static stranger_t crowd[FLOOD];

static void visit(house_t* h, const attack_t* attack, size_t count) {
  for (size_t i = 0; i < count; i++) appear(&crowd[i], h, attack);
  expect_service(h);
  see_out(h, crowd, count);
  expect_service(h);
}

/* What the kernel has begun to fill has a small block for as long as that
 * lasts, and the pool keeps a small slab more from the first time that one more
 * was needed at once: one more or less is not one for each stranger. */
#define ODD_BLOCKS 2
#define ODD_BYTES (256 + 4096)

static void same_memory(const char* name, meter_t a, meter_t b) {
  if (b.blocks > a.blocks + ODD_BLOCKS || b.bytes > a.bytes + ODD_BYTES)
    fail_msg("%s: %zu bytes in %zu blocks became %zu in %zu", name, a.bytes,
             a.blocks, b.bytes, b.blocks);
}

/* What is held after one, after many one by one; after a few together (the
 * first ones and those after a rest keep different slabs in reserve), and after
 * many times a few. */
static void comes_back(house_t* h, const attack_t* attack) {
  visit(h, attack, 1);
  meter_t before = at_rest(h);
  for (int n = 0; n < FEW; n++) visit(h, attack, 1);
  same_memory(attack->name, before, at_rest(h));
  for (int n = 0; n < 2; n++) {
    visit(h, attack, FEW);
    before = at_rest(h);
  }
  for (int n = 3 * FEW; n < MANY; n += FEW) visit(h, attack, FEW);
  same_memory(attack->name, before, at_rest(h));
}

static void one_kind_after_the_other(int backend) {
  house_t h;
  open_house(&h, backend);
  for (size_t i = 0; i < ATTACKS; i++) comes_back(&h, &attacks[i]);
  close_house(&h);
}

/* ---- all at once --------------------------------------------------------- */

static void flood(house_t* h) {
  for (size_t i = 0; i < FLOOD; i++) {
    appear(&crowd[i], h, &attacks[i % ATTACKS]);
    if (i % 50 == 49) expect_service(h);
  }
  see_out(h, crowd, FLOOD);
  expect_service(h);
}

/* What stays after the first flood are tables at the size of the largest
 * crowd and idle slabs, which have their bounds. */
static void a_flood_leaves_nothing(int backend) {
  house_t h;
  open_house(&h, backend);
  meter_t dry = at_rest(&h);
  flood(&h);
  meter_t wet = at_rest(&h);
  print_message("  500 at once: %zu bytes before, %zu at most, %zu after\n",
                dry.bytes, wet.peak, wet.bytes);
  assert_true(wet.bytes - dry.bytes < (size_t) 4 << 20);
  assert_true(wet.peak - dry.bytes < (size_t) 32 << 20);
  flood(&h);
  meter_t again = at_rest(&h);
  assert_true(again.bytes <= wet.bytes + 65536);
  close_house(&h);
}

/* ---- what one costs while it is there ------------------------------------ */

static size_t cost_of(house_t* h, const attack_t* attack) {
  meter_t before = at_rest(h);
  for (size_t i = 0; i < MANY; i++) {
    appear(&crowd[i], h, attack);
    if (i % 50 == 49) expect_service(h);
  }
  await_all(h, crowd, MANY);
  meter_t with = at_rest(h);
  expect_service(h);
  see_out(h, crowd, MANY);
  return (with.bytes - before.bytes) / MANY;
}

static const attack_t* find(const char* name) {
  for (size_t i = 0; i < ATTACKS; i++)
    if (strcmp(attacks[i].name, name) == 0) return &attacks[i];
  fail_msg("no attack %s", name);
  return NULL;
}

static void waiting_is_cheap(int backend) {
  static const char* const names[] = {"silence", "half a greeting",
                                      "a greeting", "a byte a second"};
  house_t h;
  open_house(&h, backend);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t cost = cost_of(&h, find(names[i]));
    print_message("  %s: %zu bytes a connection\n", names[i], cost);
    assert_true(cost > 0 && cost <= COST_MAX);
  }
  /* A command that was announced, and as much as it may be. */
  size_t cost = cost_of(&h, find("half a READY"));
  print_message("  half a READY: %zu bytes a connection\n", cost);
  assert_true(cost <= COST_MAX + COMMAND_MAX);
  close_house(&h);
}

/* ---- who does not read --------------------------------------------------- */

/* More than the kernel takes is said, and what is answered stays within the
 * marks of one peer. */
static void deafness_is_bounded(int backend) {
  static const char* const names[] = {"reads no PONG", "reads no answer"};
  house_t h;
  open_house(&h, backend);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    attack_t attack = *find(names[i]);
    attack.rounds = 300;
    size_t before = at_rest(&h).bytes;
    h.memory.peak = before;
    visit(&h, &attack, 1);
    size_t cost = h.memory.peak - before;
    print_message("  %s: %zu bytes at most\n", names[i], cost);
    assert_true(cost < DEAF_MAX);
  }
  assert_true(h.refused > 100); /* the queue was full, time and again */
  close_house(&h);
}

/* ---- back ends ----------------------------------------------------------- */

/* NULL, or why there is none. */
static const char* missing(int backend) {
  house_t h;
  memset(&h, 0, sizeof h);
  uv_loop_init(&h.loop);
  int rc = open_ctx(&h, backend);
  if (rc == 0) mcq_ctx_close(h.ctx, NULL);
  uv_run(&h.loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&h.loop), 0);
  return rc == 0 ? NULL : mcq_strerror(rc);
}

static void over_both(void (*play)(int backend)) {
  play(MCQ_BACKEND_UV);
  const char* why = missing(MCQ_BACKEND_URING);
  if (why == NULL)
    play(MCQ_BACKEND_URING);
  else
    print_message("no uring here: %s\n", why);
}

static void each_kind_alone(void** state) {
  (void) state;
  over_both(one_kind_after_the_other);
}

static void all_kinds_at_once(void** state) {
  (void) state;
  over_both(a_flood_leaves_nothing);
}

static void before_hello(void** state) {
  (void) state;
  over_both(waiting_is_cheap);
}

static void the_deaf(void** state) {
  (void) state;
  over_both(deafness_is_bounded);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_kind_alone),
      cmocka_unit_test(all_kinds_at_once),
      cmocka_unit_test(before_hello),
      cmocka_unit_test(the_deaf),
  };
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 4 * FLOOD) files.rlim_cur = 4 * FLOOD;
  if (files.rlim_cur > files.rlim_max) files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 3 * FLOOD) {
    printf("not enough descriptors: %lu\n", (unsigned long) files.rlim_cur);
    return 77;
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
