/* SPDX-License-Identifier: MIT */
/* One connection after another, with real sockets: each is set up as the first
 * was and says what the first said, what was cut off goes again and nothing
 * twice; and heartbeats as the kernel carries them. */
#include <dirent.h>
#include <netinet/tcp.h>

#include "support/topics.h"

/* ---- what is said -------------------------------------------------------- */

static const mcq_property_t properties[] = {{"X-place", "here", 4},
                                            {"X-empty", "", 0}};

static const struct {
  mcq_socket_options_t options;
  const char* mate;
  const char* topics[3];
} people[] = {
    {{.type = MCQ_DEALER, .routing_id = "me", .routing_id_len = 2},
     "ROUTER",
     {0}},
    {{.type = MCQ_DEALER, .properties = properties, .property_count = 2},
     "DEALER",
     {0}},
    {{.type = MCQ_ROUTER, .flags = MCQ_ROUTER_REFUSE_TWIN}, "DEALER", {0}},
    {{.type = MCQ_REQ, .routing_id = "asker", .routing_id_len = 5}, "REP", {0}},
    {{.type = MCQ_PAIR}, "PAIR", {0}},
    {{.type = MCQ_SUB, .heartbeat_ms = 60000, .heartbeat_ttl_ms = 65000},
     "PUB",
     {"a", "b", "ccc"}},
    {{.type = MCQ_XSUB}, "XPUB", {"", "b", "ccc"}},
};

/* Byte for byte: greeting, READY, subscriptions. */
static void each_says_what_the_first_said(int backend) {
  for (size_t i = 0; i < sizeof people / sizeof *people; i++) {
    stage_t g;
    player_t p;
    raw_t raw;
    rig_bytes_t first = {0};
    stage_open(&g, backend, false);
    raw_open(&raw, &g);
    player_open(&p, &g, people[i].options);
    for (int t = 0; t < 3 && people[i].topics[t] != NULL; t++)
      assert_int_equal(
          mcq_subscribe(p.s, people[i].topics[t], strlen(people[i].topics[t])),
          0);
    raw_listen(&raw, &p);
    for (unsigned k = 1; k <= 3; k++) {
      raw_accept(&raw);
      raw_hello(&raw, 1, people[i].mate);
      until(&g, p.ups == k);
      until(&g, raw_has(&raw, k == 1 ? 64 : first.len));
      stage_turns(&g, 20);
      raw_look(&raw);
      if (k == 1) rig_add(&first, raw.in.data, raw.in.len);
      assert_true(rig_same(&first, &raw.in));
      raw_hang_up(&raw);
      until(&g, p.downs == k);
    }
    assert_true(first.len > 64 + 20);
    rig_free(&first);
    raw_close(&raw);
    stage_close(&g);
  }
}

/* ---- how it is set up ---------------------------------------------------- */

static const struct {
  int level, name;
} settings[] = {
    {SOL_SOCKET, SO_KEEPALIVE},  {SOL_SOCKET, SO_LINGER},
    {SOL_SOCKET, SO_REUSEADDR},  {SOL_SOCKET, SO_PRIORITY},
    {SOL_SOCKET, SO_RCVLOWAT},   {SOL_SOCKET, SO_OOBINLINE},
    {IPPROTO_TCP, TCP_NODELAY},  {IPPROTO_TCP, TCP_CORK},
    {IPPROTO_TCP, TCP_KEEPIDLE}, {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},  {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_QUICKACK}, {IPPROTO_TCP, TCP_LINGER2},
    {IPPROTO_IP, IP_TOS},        {IPPROTO_IP, IP_TTL},
};
#define SETTINGS (sizeof settings / sizeof *settings)

typedef struct setup {
  uint8_t values[SETTINGS][16];
  socklen_t sizes[SETTINGS];
  int nodelay;
} setup_t;

/* The descriptor of this process whose other side is `port`. */
static int descriptor_to(uint16_t port) {
  DIR* dir = opendir("/proc/self/fd");
  struct dirent* entry;
  int found = -1;
  assert_non_null(dir);
  while ((entry = readdir(dir)) != NULL) {
    struct sockaddr_in a;
    socklen_t size = sizeof a;
    int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' ||
        getpeername(fd, (struct sockaddr*) &a, &size) != 0)
      continue;
    if (a.sin_family == AF_INET && ntohs(a.sin_port) == port) found = fd;
  }
  closedir(dir);
  assert_true(found >= 0);
  return found;
}

static void read_setup(const raw_t* raw, setup_t* out) {
  struct sockaddr_in a;
  socklen_t size = sizeof a;
  memset(out, 0, sizeof *out);
  assert_int_equal(getsockname(raw->fd, (struct sockaddr*) &a, &size), 0);
  int fd = descriptor_to(ntohs(a.sin_port));
  for (size_t i = 0; i < SETTINGS; i++) {
    out->sizes[i] = sizeof out->values[i];
    assert_int_equal(getsockopt(fd, settings[i].level, settings[i].name,
                                out->values[i], &out->sizes[i]),
                     0);
  }
  size = sizeof out->nodelay;
  getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &out->nodelay, &size);
}

static void each_is_set_up_as_the_first(int backend) {
  stage_t g;
  player_t p;
  raw_t raw;
  setup_t first;
  setup_t now;
  stage_open(&g, backend, false);
  raw_open(&raw, &g);
  player_open(&p, &g, (mcq_socket_options_t){.type = MCQ_DEALER});
  raw_listen(&raw, &p);
  for (unsigned k = 1; k <= 3; k++) {
    raw_accept(&raw);
    raw_hello(&raw, 1, "ROUTER");
    until(&g, p.ups == k);
    read_setup(&raw, k == 1 ? &first : &now);
    if (k > 1) assert_memory_equal(&first, &now, sizeof now);
    assert_int_not_equal(first.nodelay, 0);
    raw_hang_up(&raw);
    until(&g, p.downs == k);
  }
  /* And so is one that comes in. */
  player_t door;
  player_open(&door, &g, (mcq_socket_options_t){.type = MCQ_ROUTER});
  player_bind(&door);
  raw_connect(&raw, &door);
  raw_hello(&raw, 1, "DEALER");
  until(&g, door.ups == 1);
  read_setup(&raw, &now);
  assert_int_not_equal(now.nodelay, 0);
  raw_close(&raw);
  stage_close(&g);
}

/* ---- what was cut off ---------------------------------------------------- */

#define LARGE ((size_t) 8 << 20)

/* What is accepted there holds little. */
static void listen_small(raw_t* raw, player_t* p) {
  int size = 32768;
  raw_listen(raw, p);
  assert_int_equal(
      setsockopt(raw->door, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

static void expect_frame(raw_t* raw, size_t size, int letter) {
  const uint8_t* body;
  size_t len;
  assert_int_equal(raw_frame(raw, &body, &len) & 5, 0);
  assert_int_equal(len, size);
  assert_int_equal(body[0], letter);
  assert_int_equal(body[len - 1], letter);
}

/* In the middle of a large message; what comes behind it was not begun, though
 * some of it may have been handed to the system together with its end. */
static void a_message_cut_off_goes_again_whole(int backend) {
  stage_t g;
  player_t p;
  raw_t raw;
  stage_open(&g, backend, false);
  raw_open(&raw, &g);
  player_open(&p, &g,
              (mcq_socket_options_t){
                  .type = MCQ_PUSH, .sndhwm_bytes = -1, .sndhwm = -1});
  listen_small(&raw, &p);
  uint8_t* body = (uint8_t*) malloc(LARGE);
  memset(body, 'A', LARGE);
  assert_int_equal(mcq_send_bytes(p.s, body, LARGE), 0);
  for (int i = 0; i < 1000; i++) {
    memset(body, 'a' + i % 26, 100);
    assert_int_equal(mcq_send_bytes(p.s, body, 100), 0);
  }
  free(body);
  for (unsigned k = 1; k <= 3; k++) {
    raw_accept(&raw);
    raw_hello(&raw, 1, "PULL");
    raw_greeted(&raw);
    until(&g, raw_has(&raw, k * LARGE / 8));
    raw_hang_up(&raw);
    until(&g, p.downs == k);
    assert_int_equal(p.unsure, 0);
  }
  raw_accept(&raw);
  raw_hello(&raw, 1, "PULL");
  raw_greeted(&raw);
  expect_frame(&raw, LARGE, 'A');
  for (int i = 0; i < 1000; i++) expect_frame(&raw, 100, 'a' + i % 26);
  raw_hang_up(&raw);
  until(&g, p.downs == 4);
  raw_accept(&raw);
  raw_hello(&raw, 1, "PULL");
  raw_greeted(&raw);
  assert_int_equal(say(&p, "new"), 0);
  raw_expect(&raw, 0, "new", 3); /* nothing of the old comes again */
  assert_int_equal(player_stats(&p).messages_unsure, 0);
  raw_close(&raw);
  stage_close(&g);
}

/* Small ones behind a wall: a system that takes no more has taken some, and the
 * others have not left. */
static void what_could_not_leave_is_not_lost(int backend) {
  stage_t g;
  player_t p;
  raw_t raw;
  stage_open(&g, backend, false);
  raw_open(&raw, &g);
  player_open(&p, &g,
              (mcq_socket_options_t){
                  .type = MCQ_PUSH, .sndhwm = 1000000, .sndhwm_bytes = -1});
  listen_small(&raw, &p);
  raw_accept(&raw);
  raw_hello(&raw, 1, "PULL");
  raw_greeted(&raw);
  until(&g, p.ups == 1);
  unsigned sent = 0;
  char text[1000] = {0};
  for (int quiet = 0; quiet < 50; quiet++) {
    for (int i = 0; i < 1000; i++) {
      memset(text, 'x', sizeof text - 1);
      snprintf(text, sizeof text, "%u", sent++);
      text[strlen(text)] = ' ';
      assert_int_equal(mcq_send_bytes(p.s, text, sizeof text), 0);
    }
    stage_turns(&g, 5);
  }
  uint64_t queued = player_stats(&p).messages_queued;
  assert_true(queued > 20000);
  raw_hang_up(&raw);
  until(&g, p.downs == 1);
  raw_accept(&raw);
  raw_hello(&raw, 1, "PULL");
  raw_greeted(&raw);
  const uint8_t* body;
  size_t len;
  raw_frame(&raw, &body, &len);
  unsigned first = (unsigned) atoi((const char*) body);
  /* All that the system had not taken. */
  assert_true(sent - first >= queued);
  for (unsigned i = first + 1; i < sent; i++) {
    raw_frame(&raw, &body, &len);
    assert_int_equal(atoi((const char*) body), i);
    if (raw.at > 1 << 20) {
      memmove(raw.in.data, raw.in.data + raw.at, raw.in.len - raw.at);
      raw.in.len -= raw.at;
      raw.at = 0;
    }
  }
  assert_int_equal(p.unsure, 0);
  assert_int_equal(player_stats(&p).messages_unsure, 0);
  raw_close(&raw);
  stage_close(&g);
}

/* ---- not now ------------------------------------------------------------- */

typedef struct waits {
  uint64_t ms[16];
  unsigned count;
  unsigned stopped;
} waits_t;

static void note_wait(fan_t* f, const mcq_event_t* e) {
  waits_t* w = (waits_t*) f->p.arg;
  if (e->kind == MCQ_EVENT_STOPPED) w->stopped++;
  if (e->kind == MCQ_EVENT_RETRY) w->ms[w->count++ % 16] = e->wait_ms;
}

/* A server that says READY first and then thinks better of it, for now or for
 * good. */
static void ready_and_then_no(int backend) {
  for (int good = 0; good < 2; good++) {
    stage_t g;
    fan_t f;
    raw_t raw;
    waits_t waits = {0};
    stage_open(&g, backend, true);
    raw_open(&raw, &g);
    fan_open(&f, &g,
             (mcq_socket_options_t){.type = MCQ_DEALER,
                                    .reconnect_ms = 100,
                                    .reconnect_max_ms = 100000});
    f.p.arg = &waits;
    f.on_event = note_wait;
    raw_listen(&raw, &f.p);
    for (unsigned i = 0; i < 6 && waits.stopped == 0; i++) {
      raw_accept(&raw);
      raw_hello(&raw, 1, "ROUTER");
      until(&g, f.p.ups == i + 1);
      raw_command(&raw, "ERROR",
                  good ? "\3"
                         "400"
                       : "\7"
                         "300 no!");
      until(&g, f.p.downs == i + 1);
      assert_int_equal(f.p.reason, good ? MCQ_EREFUSED : MCQ_ENOTNOW);
      raw_hang_up(&raw);
      until(&g, waits.count + waits.stopped == i + 1);
      g.now += waits.ms[i];
    }
    assert_int_equal(waits.stopped, good);
    for (unsigned i = 0; i < waits.count; i++)
      assert_in_range(waits.ms[i], UINT64_C(50) << i, UINT64_C(100) << i);
    raw_close(&raw);
    stage_close(&g);
  }
}

/* ---- heartbeats ---------------------------------------------------------- */

static void answer_ping(raw_t* raw) {
  const uint8_t* body;
  size_t len;
  raw_frame(raw, &body, &len);
  assert_memory_equal(body, "\4PING", 5);
  rig_bytes_t b = {0};
  rig_command(&b, "PONG", body + 7, len - 7);
  raw_say(raw, &b);
}

/* With the loop's own timers. */
static void they_run_by_themselves(int backend) {
  stage_t g;
  player_t p;
  raw_t raw;
  mcq_peer_info_t info;
  stage_open(&g, backend, false);
  raw_open(&raw, &g);
  mcq_socket_options_t o = {
      .type = MCQ_PULL, .heartbeat_ms = 5, .heartbeat_timeout_ms = 3000};
  player_open(&p, &g, o);
  raw_listen(&raw, &p);
  raw_accept(&raw);
  raw_hello(&raw, 1, "PUSH");
  raw_greeted(&raw);
  for (int i = 0; i < 5; i++) answer_ping(&raw);
  do {
    stage_step(&g);
    assert_int_equal(mcq_peer_info(p.s, p.peer, &info), 0);
  } while (info.rtt_ns == 0);
  assert_int_equal(p.downs, 0);
  raw_close(&raw);
  stage_close(&g);
}

static void the_silent_are_found_by_themselves(int backend) {
  stage_t g;
  player_t p;
  raw_t raw;
  stage_open(&g, backend, false);
  raw_open(&raw, &g);
  mcq_socket_options_t o = {
      .type = MCQ_PULL, .heartbeat_ms = 20, .heartbeat_timeout_ms = 20};
  player_open(&p, &g, o);
  raw_listen(&raw, &p);
  raw_accept(&raw);
  raw_hello(&raw, 1, "PUSH");
  until(&g, p.downs == 1);
  assert_int_equal(p.reason, MCQ_EHEARTBEAT);
  raw_close(&raw);
  stage_close(&g);
}

/* Under the test's clock: what the kernel passes on keeps a connection alive
 * that is too slow for an answer in time; what stands still does not. */
static void a_slow_line_is_no_dead_one(int backend) {
  stage_t g;
  player_t p;
  raw_t raw;
  stage_open(&g, backend, true);
  raw_open(&raw, &g);
  raw.buffer = 32768;
  player_open(&p, &g,
              (mcq_socket_options_t){.type = MCQ_ROUTER,
                                     .heartbeat_ms = 1000,
                                     .heartbeat_timeout_ms = 1000});
  player_bind(&p);
  raw_connect(&raw, &p);
  raw_hello(&raw, 1, "DEALER");
  until(&g, p.ups == 1);
  uint8_t* body = (uint8_t*) calloc(1, LARGE / 4);
  mcq_frame_t frame = {body, LARGE / 4};
  assert_int_equal(mcq_send_to(p.s, p.peer, &frame, 1), 0);
  free(body);
  uint64_t since = g.now;
  /* The clock stands still while the kernel has its own delays. */
  for (size_t had = 0; raw.in.len < LARGE / 4; had = raw.in.len) {
    until(&g, (raw_look(&raw), raw.in.len != had));
    stage_turns(&g, 2);
    g.now += 100;
    assert_int_equal(p.downs, 0);
  }
  assert_true(g.now - since > 2 * (1000 + 1000));
  raw_greeted(&raw);
  raw_frame(&raw, (const uint8_t**) &frame.data, &frame.len);
  uint64_t sent = player_stats(&p).wire_bytes_sent;
  while (player_stats(&p).wire_bytes_sent == sent) {
    g.now += 100;
    stage_turns(&g, 2);
  }
  raw_need(&raw, 1); /* it is asked */
  for (int i = 0; p.downs == 0; i++) {
    assert_true(i < 50); /* from now on nothing moves */
    g.now += 100;
    stage_turns(&g, 2);
  }
  assert_int_equal(p.reason, MCQ_EHEARTBEAT);
  raw_close(&raw);
  stage_close(&g);
}

/* In one loop nobody asks whether the other side lives. */
static void none_inside_a_process(int backend) {
  stage_t g;
  player_t a;
  player_t b;
  mcq_peer_info_t info;
  mcq_socket_options_t o = {
      .type = MCQ_PAIR, .heartbeat_ms = 100, .heartbeat_ttl_ms = 200};
  stage_open(&g, backend, true);
  player_open(&a, &g, o);
  player_open(&b, &g, o);
  assert_int_equal(mcq_bind(a.s, "inproc://here", NULL), 0);
  assert_int_equal(mcq_connect(b.s, "inproc://here", NULL, NULL), 0);
  until(&g, a.ups == 1 && b.ups == 1);
  for (int i = 0; i < 100; i++) {
    g.now += 50;
    stage_turns(&g, 3);
  }
  assert_int_equal(a.downs + b.downs, 0);
  assert_int_equal(mcq_peer_info(a.s, a.peer, &info), 0);
  assert_int_equal(info.rtt_ns, 0);
  stage_close(&g);
}

/* Paused, with messages that wait. */
static void a_pause_is_no_silence(int backend) {
  stage_t g;
  player_t p;
  raw_t raw;
  stage_open(&g, backend, false);
  raw_open(&raw, &g);
  player_open(&p, &g, (mcq_socket_options_t){.type = MCQ_PULL});
  player_bind(&p);
  raw_connect(&raw, &p);
  raw_hello(&raw, 1, "PUSH");
  raw_greeted(&raw);
  until(&g, p.ups == 1);
  assert_int_equal(mcq_pause(p.s), 0);
  for (int i = 0; i < 5; i++) {
    raw_topic(&raw, 'a' + (unsigned) i, "");
    raw_command(&raw, "PING", "\1\1xy");
    raw_command(&raw, "PING", "\1\1z");
    raw_expect(&raw, 4, "\4PONGxy", 7);
    raw_expect(&raw, 4, "\4PONGz", 6);
  }
  assert_int_equal(p.count, 0);
  raw_topic(&raw, 'f', "");
  raw_hang_up(&raw);
  stage_turns(&g, 20);
  assert_int_equal(p.downs, 0); /* not before its last words */
  assert_int_equal(mcq_resume(p.s), 0);
  until(&g, p.downs == 1);
  assert_int_equal(p.count, 6);
  for (unsigned i = 0; i < 6; i++) {
    char text[2] = {(char) ('a' + i), 0};
    assert_heard(&p, i, text);
  }
  raw_close(&raw);
  stage_close(&g);
}

#define SCENE(name) \
  { #name, name }

static const scene_t scenes[] = {
    SCENE(each_says_what_the_first_said),
    SCENE(each_is_set_up_as_the_first),
    SCENE(a_message_cut_off_goes_again_whole),
    SCENE(what_could_not_leave_is_not_lost),
    SCENE(ready_and_then_no),
    SCENE(none_inside_a_process),
    SCENE(they_run_by_themselves),
    SCENE(the_silent_are_found_by_themselves),
    SCENE(a_slow_line_is_no_dead_one),
    SCENE(a_pause_is_no_silence),
};

static void over_uv(void** state) {
  (void) state;
  play_scenes(scenes, sizeof scenes / sizeof *scenes, MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (!backend_is_here(MCQ_BACKEND_URING)) skip();
  play_scenes(scenes, sizeof scenes / sizeof *scenes, MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
