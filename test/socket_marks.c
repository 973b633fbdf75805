/* SPDX-License-Identifier: MIT */
/* High-water marks: a reader that is stuck gets what the kernel takes and
 * exactly as much more as the marks say, in messages and in bytes, a peer, a
 * socket and a context; the next one is refused or dropped, as the type says,
 * and room is told of once, when half of it is free.  Over tcp on every back
 * end.  What the kernel has taken uv knows to the byte; the ring has up to as
 * much again on its way. */
#include "support/players.h"
#include "support/strangers.h"

#define HWM 10
#define PAD ((size_t) 65536)

static uint8_t pad[PAD];

/* ---- who is told what ---------------------------------------------------- */

typedef struct told {
  unsigned congested, relieved; /* of peers */
  unsigned is_short, no_longer; /* of the socket or the context */
  uint64_t waiting;             /* count of the last one */
  mcq_peer_t peer;              /* of the last one */
} told_t;

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  player_t* p = player_of(s);
  told_t* t = (told_t*) p->arg;
  bool congested = e->kind == MCQ_EVENT_CONGESTED;
  if (t == NULL || (!congested && e->kind != MCQ_EVENT_RELIEVED)) return;
  t->waiting = e->count;
  if (e->peer.epoch == 0) {
    assert_string_equal(e->text, "max_bytes");
    if (congested)
      t->is_short++;
    else
      t->no_longer++;
    assert_in_range(t->is_short - t->no_longer, 0, 1);
    return;
  }
  assert_non_null(strstr(e->address, "://"));
  t->peer = e->peer;
  if (congested)
    t->congested++;
  else
    t->relieved++;
}

/* ---- a raw peer that reads when it is told to ---------------------------- */

typedef struct reader {
  int fd;
  size_t skip;     /* bytes of greeting and commands still to come */
  uint8_t head[9]; /* of the frame that is coming */
  size_t head_len;
  uint64_t body;
  uint64_t messages; /* that are there whole */
  uint64_t bytes;    /* of messages and parts of them, with headers */
  bool more;
  bool command;
  bool ended;
} reader_t;

static void open_reader(reader_t* r, const player_t* to, const char* type) {
  uint8_t hello[128];
  memset(r, 0, sizeof *r);
  r->fd = stranger(mcq_endpoint_uri(to->s, to->at));
  assert_true(r->fd >= 0);
  unsigned before = to->ups;
  stranger_say(r->fd, hello, stranger_hello(type, hello));
  until(to->g, to->ups == before + 1);
  r->skip = 64;
}

static size_t head_size(const reader_t* r) {
  if (r->head_len == 0) return 1;
  return (r->head[0] & 2) != 0 ? 9 : 2;
}

static void take_head(reader_t* r) {
  r->body = 0;
  for (size_t i = 1; i < r->head_len; i++) r->body = r->body << 8 | r->head[i];
  r->more = (r->head[0] & 1) != 0;
  r->command = (r->head[0] & 4) != 0;
}

static void take_byte(reader_t* r, uint8_t byte) {
  r->head[r->head_len++] = byte;
  if (r->head_len == head_size(r) && r->head_len > 1) take_head(r);
}

static void end_frame(reader_t* r) {
  if (!r->command && !r->more) r->messages++;
  r->head_len = 0;
}

static bool in_body(const reader_t* r) {
  return r->head_len > 1 && r->head_len == head_size(r);
}

static void take_bytes(reader_t* r, const uint8_t* at, size_t len) {
  while (len > 0) {
    size_t n = 1;
    if (r->skip > 0) {
      n = r->skip < len ? r->skip : len;
      r->skip -= n;
    } else if (in_body(r)) {
      n = r->body < len ? (size_t) r->body : len;
      r->body -= n;
      if (!r->command) r->bytes += n;
      if (r->body == 0) end_frame(r);
    } else {
      take_byte(r, *at);
      if (in_body(r)) {
        if (!r->command) r->bytes += r->head_len;
        if (r->body == 0) end_frame(r);
      }
    }
    at += n;
    len -= n;
  }
}

/* What is there, up to `most` bytes. */
static void read_some(reader_t* r, size_t most) {
  static uint8_t bytes[65536];
  while (most > 0 && !r->ended) {
    size_t n = most < sizeof bytes ? most : sizeof bytes;
    ssize_t got = recv(r->fd, bytes, n, MSG_DONTWAIT);
    if (got < 0) {
      assert_int_equal(errno, EAGAIN);
      return;
    }
    r->ended = got == 0;
    take_bytes(r, bytes, (size_t) got);
    most -= (size_t) got;
  }
}

static void read_to_the_end(stage_t* g, reader_t* r) {
  until(g, (read_some(r, SIZE_MAX), r->ended));
  close(r->fd);
}

/* ---- filling ------------------------------------------------------------- */

typedef int (*say_fn)(player_t* p, size_t len);

static int say_one(player_t* p, size_t len) {
  mcq_frame_t frame = {pad, len};
  p->g->in_call = true;
  int rc = mcq_send(p->s, &frame, 1);
  p->g->in_call = false;
  return rc;
}

static int say_to_peer(player_t* p, size_t len) {
  mcq_frame_t frame = {pad, len};
  p->g->in_call = true;
  int rc = mcq_send_to(p->s, p->peer, &frame, 1);
  p->g->in_call = false;
  return rc;
}

/* Of the last time that one was taken and the next one was not.  The kernel may
 * find room later on, and then there is none for us before half of it is
 * free. */
static mcq_stats_t when_full;

/* Until nothing more is taken however long one waits.  Returns how many were
 * accepted. */
static uint64_t fill(player_t* p, say_fn speak, size_t len) {
  uint64_t accepted = 0;
  int rc = 0;
  for (int idle = 0; idle < 4; idle++) {
    uint64_t before = accepted;
    stage_turns(p->g, 20);
    while ((rc = speak(p, len)) == 0) accepted++;
    assert_int_equal(rc, MCQ_EAGAIN);
    if (accepted == before) continue;
    when_full = player_stats(p);
    idle = 0;
  }
  return accepted;
}

/* Before the other side reads, or the kernel gets room for more in between. */
static void throw_away(player_t* p) {
  player_close(p);
  stage_turns(p->g, 20);
}

static bool exact(const player_t* p) {
  return strcmp(mcq_ctx_backend(p->g->ctx), "uv") == 0;
}

/* ---- messages ------------------------------------------------------------ */

static const struct {
  int type;
  int flags;
  const char* mate;
  say_fn say;
} kinds[] = {
    {MCQ_DEALER, 0, "ROUTER", say_one},
    {MCQ_PUSH, 0, "PULL", say_one},
    {MCQ_PAIR, 0, "PAIR", say_one},
    {MCQ_ROUTER, 0, "DEALER", say_to_peer},
    {MCQ_ROUTER, MCQ_ROUTER_BALANCE, "DEALER", say_one},
    {MCQ_REQ, MCQ_REQ_RELAXED, "REP", say_one},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void open_sender(stage_t* g, player_t* p, told_t* told,
                        mcq_socket_options_t o) {
  memset(told, 0, sizeof *told);
  o.linger_ms = MCQ_LINGER_NONE;
  o.on_event = on_event;
  player_open(p, g, o);
  p->arg = told;
  player_bind(p);
}

/* What was accepted is what came and what was in the queue when it was thrown
 * away. */
static void exact_to_the_message(int backend) {
  for (size_t i = 0; i < KINDS; i++) {
    stage_t g;
    player_t p;
    told_t told;
    reader_t r;
    stage_open(&g, backend, false);
    open_sender(&g, &p, &told,
                (mcq_socket_options_t){.type = kinds[i].type,
                                       .flags = kinds[i].flags,
                                       .sndhwm = HWM,
                                       .sndhwm_bytes = -1});
    open_reader(&r, &p, kinds[i].mate);
    uint64_t accepted = fill(&p, kinds[i].say, PAD);
    mcq_stats_t stats = player_stats(&p);
    assert_int_equal(when_full.messages_queued, HWM);
    assert_int_equal(stats.messages_sent, accepted);
    assert_true(stats.sends_refused >= 3);
    assert_true(told.congested >= 1);
    assert_int_equal(told.congested, told.relieved + 1);
    assert_int_equal(told.is_short, 0);
    throw_away(&p);
    read_to_the_end(&g, &r);
    uint64_t beyond = accepted - r.messages;
    uint64_t flies = exact(&p) ? 0 : HWM;
    assert_in_range(beyond, stats.messages_queued,
                    stats.messages_queued + flies);
    until(&g, p.closed);
    assert_int_equal(stats.messages_lost, 0);
    stage_close(&g);
  }
}

/* Full is when the bytes are reached: the last one may go over. */
static void exact_to_the_byte(int backend) {
  enum { BYTES = 300000, LEN = 10000, WIRE = LEN + 9 };
  for (size_t i = 0; i < KINDS - 1; i++) {
    stage_t g;
    player_t p;
    told_t told;
    reader_t r;
    stage_open(&g, backend, false);
    open_sender(&g, &p, &told,
                (mcq_socket_options_t){.type = kinds[i].type,
                                       .flags = kinds[i].flags,
                                       .sndhwm = -1,
                                       .sndhwm_bytes = BYTES});
    open_reader(&r, &p, kinds[i].mate);
    uint64_t accepted = fill(&p, kinds[i].say, LEN);
    uint64_t queued = player_stats(&p).bytes_queued;
    /* What is on its way may be over the mark by a part of a message. */
    uint64_t over = exact(&p) ? 0 : WIRE - 1;
    assert_in_range(when_full.bytes_queued, BYTES - over, BYTES + WIRE - 1);
    throw_away(&p);
    read_to_the_end(&g, &r);
    uint64_t beyond = accepted * WIRE - r.bytes;
    uint64_t most = exact(&p) ? queued : 2 * BYTES + WIRE - 1;
    assert_in_range(beyond, queued, most);
    stage_close(&g);
  }
}

/* Answers to one who does not listen are dropped when his queue is full. */
static mcq_request_t* requests[400];
static unsigned request_count;

static void take_request(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  assert_int_equal(mcq_request_take(p->s, &requests[request_count++]), 0);
}

static void answers_are_dropped(int backend) {
  stage_t g;
  player_t p;
  told_t told;
  reader_t r;
  mcq_frame_t frame = {pad, PAD};
  stage_open(&g, backend, false);
  open_sender(&g, &p, &told,
              (mcq_socket_options_t){
                  .type = MCQ_REP, .sndhwm = HWM, .sndhwm_bytes = -1});
  p.on_message = take_request;
  request_count = 0;
  open_reader(&r, &p, "REQ");
  for (int i = 0; i < 400; i++) stranger_say(r.fd, "\1\0\0\1?", 5);
  until(&g, request_count == 400);
  unsigned accepted = 0;
  unsigned refused = 0;
  for (unsigned i = 0; i < 400; i++) {
    int rc = mcq_request_reply(requests[i], &frame, 1);
    assert_true(rc == 0 || rc == MCQ_EAGAIN);
    accepted += rc == 0;
    refused += rc != 0;
    stage_turns(&g, 5);
  }
  assert_true(refused > 100);
  assert_int_equal(player_stats(&p).messages_queued, HWM);
  player_close(&p);
  read_to_the_end(&g, &r);
  uint64_t beyond = accepted - r.messages;
  assert_in_range(beyond, HWM, (exact(&p) ? 1 : 2) * HWM);
  stage_close(&g);
}

/* ---- room again ---------------------------------------------------------- */

static uint64_t queued_at_drain;

static void note_drain(player_t* p) {
  queued_at_drain = player_stats(p).messages_queued;
}

static void room_is_told_of_once(int backend) {
  stage_t g;
  player_t p;
  told_t told;
  reader_t r;
  stage_open(&g, backend, false);
  open_sender(&g, &p, &told,
              (mcq_socket_options_t){
                  .type = MCQ_DEALER, .sndhwm = HWM, .sndhwm_bytes = -1});
  p.on_drain = note_drain;
  open_reader(&r, &p, "ROUTER");
  assert_int_equal(mcq_peer_writable(p.s, p.peer), 1);
  fill(&p, say_one, PAD);
  for (int round = 0; round < 4; round++) {
    unsigned drains = p.drains;
    unsigned congested = told.congested;
    unsigned relieved = told.relieved;
    assert_int_equal(congested, relieved + 1);
    assert_int_equal(mcq_peer_writable(p.s, p.peer), 0);
    assert_int_equal(say_one(&p, PAD), MCQ_EAGAIN);
    /* Little by little: nothing before half of it is free, one word then. */
    while (p.drains == drains) {
      assert_true(told.relieved == relieved);
      read_some(&r, 20000);
      stage_turns(&g, 3);
      if (p.drains == drains && exact(&p))
        assert_in_range(player_stats(&p).messages_queued, HWM / 2 + 1, HWM);
    }
    assert_in_range(queued_at_drain, 0, HWM / 2);
    assert_int_equal(told.relieved, relieved + 1);
    assert_true(told.peer.epoch == p.peer.epoch);
    assert_int_equal(mcq_peer_writable(p.s, p.peer), 1);
    read_some(&r, SIZE_MAX);
    stage_turns(&g, 20);
    read_some(&r, SIZE_MAX);
    stage_turns(&g, 20);
    assert_int_equal(p.drains, drains + 1);
    assert_int_equal(told.congested, congested);
    assert_int_equal(told.relieved, relieved + 1);
    fill(&p, say_one, PAD);
  }
  player_close(&p);
  read_to_the_end(&g, &r);
  stage_close(&g);
}

/* Of two only the one that is stuck. */
static void each_peer_for_itself(int backend) {
  stage_t g;
  player_t p;
  told_t told;
  reader_t stuck, quick;
  stage_open(&g, backend, false);
  open_sender(&g, &p, &told,
              (mcq_socket_options_t){
                  .type = MCQ_ROUTER, .sndhwm = HWM, .sndhwm_bytes = -1});
  open_reader(&stuck, &p, "DEALER");
  mcq_peer_t a = p.peer;
  fill(&p, say_to_peer, PAD);
  open_reader(&quick, &p, "DEALER");
  mcq_peer_t b = p.peer;
  assert_int_equal(mcq_peer_writable(p.s, a), 0);
  assert_int_equal(mcq_peer_writable(p.s, b), 1);
  assert_true(told.peer.epoch == a.epoch);
  unsigned congested = told.congested;
  for (int i = 0; i < 100; i++) {
    assert_int_equal(say_to_peer(&p, PAD), 0);
    uint64_t want = (uint64_t) i + 1;
    until(&g, (read_some(&quick, SIZE_MAX), quick.messages == want));
  }
  assert_int_equal(told.congested, congested);
  /* It leaves: the other has nothing to say about that. */
  close(stuck.fd);
  until(&g, p.downs == 1);
  assert_int_equal(mcq_peer_writable(p.s, a), MCQ_EPEERGONE);
  assert_int_equal(mcq_peer_writable(p.s, b), 1);
  assert_int_equal(mcq_peer_close(p.s, b), 0);
  assert_int_equal(mcq_peer_writable(p.s, b), MCQ_EPEERGONE);
  player_close(&p);
  assert_int_equal(mcq_peer_writable(p.s, b), MCQ_ECLOSED);
  read_to_the_end(&g, &quick);
  stage_close(&g);
}

static void who_may_not_ask(int backend) {
  static const mcq_peer_t nobody = {0};
  stage_t g;
  player_t mute, p;
  stage_open(&g, backend, false);
  player_open(&mute, &g, (mcq_socket_options_t){.type = MCQ_PULL});
  assert_int_equal(mcq_peer_writable(mute.s, nobody), MCQ_ENOTSUP);
  player_open(&p, &g, (mcq_socket_options_t){.type = MCQ_DEALER});
  assert_int_equal(mcq_peer_writable(p.s, nobody), MCQ_EPEERGONE);
  stage_close(&g);
}

/* ---- all peers together -------------------------------------------------- */

enum { TOGETHER = 1000000, LEN = 50000, WIRE = LEN + 9 };

/* Nobody listens there: what is said waits. */
static void dial_nobody(player_t* p) {
  assert_int_equal(mcq_connect(p->s, "tcp://127.0.0.1:1", NULL, NULL), 0);
}

static void a_socket_has_a_limit(int backend) {
  enum { PEERS = 3 };
  stage_t g;
  player_t p;
  told_t told;
  reader_t r[PEERS];
  stage_open(&g, backend, false);
  open_sender(&g, &p, &told,
              (mcq_socket_options_t){.type = MCQ_DEALER,
                                     .sndhwm = -1,
                                     .sndhwm_bytes = 600000,
                                     .max_bytes = TOGETHER});
  for (int i = 0; i < PEERS; i++) open_reader(&r[i], &p, "ROUTER");
  uint64_t accepted = fill(&p, say_one, LEN);
  uint64_t waits = when_full.bytes_queued;
  assert_true(waits < TOGETHER + WIRE);
  if (exact(&p)) assert_true(waits >= TOGETHER - PEERS * WIRE);
  assert_int_equal(told.is_short, told.no_longer + 1);
  assert_true(told.waiting > 0);
  /* One that reads makes room for all of them, when half of it is free. */
  unsigned drains = p.drains;
  unsigned relieved = told.no_longer;
  while (told.no_longer == relieved) {
    assert_int_equal(p.drains, drains);
    for (int i = 0; i < PEERS; i++) read_some(&r[i], 5000);
    stage_turns(&g, 3);
  }
  stage_turns(&g, 2);
  assert_in_range(player_stats(&p).bytes_queued, 0, TOGETHER / 2);
  assert_int_equal(p.drains, drains + 1);
  assert_int_equal(say_one(&p, LEN), 0);
  player_close(&p);
  uint64_t came = 0;
  for (int i = 0; i < PEERS; i++) {
    read_to_the_end(&g, &r[i]);
    came += r[i].messages;
  }
  until(&g, p.closed);
  assert_true(came <= accepted + 1);
  stage_close(&g);
}

/* A queue without a connection counts, too. */
static void a_queue_for_nobody_counts(int backend) {
  stage_t g;
  player_t p;
  told_t told;
  stage_open(&g, backend, false);
  open_sender(&g, &p, &told,
              (mcq_socket_options_t){
                  .type = MCQ_PUSH, .sndhwm = -1, .max_bytes = TOGETHER});
  dial_nobody(&p);
  uint64_t accepted = fill(&p, say_one, LEN);
  assert_int_equal(accepted, (TOGETHER + WIRE - 1) / WIRE);
  assert_int_equal(told.is_short, 1);
  assert_int_equal(told.congested, 0); /* its own queue has room */
  assert_int_equal(p.drains, 0);
  assert_int_equal(mcq_disconnect(p.s, 2), 0);
  until(&g, told.no_longer == 1);
  player_close(&p);
  until(&g, p.closed);
  stage_close(&g);
}

static void a_context_has_a_limit(int backend) {
  stage_t g;
  player_t hog, p;
  told_t hog_told, told;
  reader_t r;
  stage_open(&g, backend, false);
  mcq_ctx_close(g.ctx, NULL);
  mcq_ctx_options_t o = {.backend = backend,
                         .allocator = test_alloc_allocator(&g.memory),
                         .data = &g,
                         .max_bytes = -2};
  assert_int_equal(mcq_ctx_new(&g.loop, &o, &g.ctx), MCQ_EINVAL);
  o.max_bytes = TOGETHER;
  assert_int_equal(mcq_ctx_new(&g.loop, &o, &g.ctx), 0);
  open_sender(
      &g, &hog, &hog_told,
      (mcq_socket_options_t){
          .type = MCQ_PUSH, .sndhwm = -1, .max_bytes = TOGETHER - WIRE});
  open_sender(&g, &p, &told,
              (mcq_socket_options_t){.type = MCQ_ROUTER, .sndhwm = -1});
  dial_nobody(&hog);
  open_reader(&r, &p, "DEALER");
  fill(&hog, say_one, LEN);
  assert_int_equal(hog_told.is_short, 1);
  stage_turns(&g, 5);
  assert_int_equal(told.is_short, 0); /* it has not tried */
  while (say_to_peer(&p, LEN) == 0) continue;
  uint64_t sum =
      player_stats(&hog).bytes_queued + player_stats(&p).bytes_queued;
  assert_in_range(sum, TOGETHER - WIRE, TOGETHER + WIRE - 1);
  assert_int_equal(mcq_peer_writable(p.s, p.peer), 0);
  until(&g, told.is_short == 1);
  read_some(&r, SIZE_MAX);
  stage_turns(&g, 20);
  assert_int_equal(p.drains, 0); /* the other one has most of it */
  assert_int_equal(told.no_longer, 0);
  player_close(&hog);
  until(&g, p.drains == 1);
  assert_int_equal(told.no_longer, 1);
  assert_int_equal(mcq_peer_writable(p.s, p.peer), 1);
  assert_int_equal(say_to_peer(&p, LEN), 0);
  player_close(&p);
  read_to_the_end(&g, &r);
  stage_close(&g);
}

/* ---- to many ------------------------------------------------------------- */

/* Subscribers that asked for everything. */
static void open_subscribers(player_t* p, reader_t* r, int count) {
  static const uint8_t all[] = {0, 1, 1};
  for (int i = 0; i < count; i++) {
    open_reader(&r[i], p, "SUB");
    stranger_say(r[i].fd, all, sizeof all);
  }
  until(p->g, player_stats(p).subscriptions == 1);
  stage_turns(p->g, 20);
}

static uint64_t publish_some(player_t* p, int policy, unsigned count) {
  uint64_t accepted = 0;
  for (unsigned i = 0; i < count; i++) {
    int rc = say_one(p, LEN);
    assert_true(rc == 0 || (rc == MCQ_EAGAIN && policy == MCQ_SLOW_REFUSE));
    accepted += rc == 0;
    stage_turns(p->g, 4);
  }
  return accepted;
}

/* None of them is at its own mark when all together are. */
static void publishers_keep_to_it(int backend) {
  enum { PEERS = 3, COUNT = 400 };
  for (int policy = 0; policy <= MCQ_SLOW_REFUSE; policy++) {
    stage_t g;
    player_t p;
    told_t told;
    reader_t r[PEERS];
    stage_open(&g, backend, false);
    open_sender(&g, &p, &told,
                (mcq_socket_options_t){.type = MCQ_PUB,
                                       .slow_peer = policy,
                                       .sndhwm = -1,
                                       .sndhwm_bytes = -1,
                                       .max_bytes = TOGETHER});
    open_subscribers(&p, r, PEERS);
    uint64_t accepted = publish_some(&p, policy, COUNT);
    mcq_stats_t stats = player_stats(&p);
    assert_true(stats.bytes_queued < TOGETHER + PEERS * WIRE);
    assert_true(stats.bytes_queued + PEERS * 2 * WIRE + 524288 * PEERS >=
                TOGETHER);
    assert_int_equal(p.downs, 0);
    assert_true(told.is_short >= 1);
    uint64_t dropped = stats.messages_dropped;
    if (policy == MCQ_SLOW_REFUSE) {
      assert_true(accepted < COUNT);
      assert_int_equal(dropped, 0);
      assert_int_equal(stats.messages_sent, accepted * PEERS);
    } else {
      assert_true(dropped > 0);
    }
    if (policy == MCQ_SLOW_DROP_OLDEST)
      assert_int_equal(stats.messages_sent, COUNT * PEERS);
    else if (policy != MCQ_SLOW_REFUSE)
      assert_int_equal(stats.messages_sent + dropped, COUNT * PEERS);
    /* They go on when they read. */
    bool gave_way = policy == MCQ_SLOW_DROP_OLDEST;
    uint64_t all = stats.messages_sent - (gave_way ? dropped : 0);
    uint64_t came = 0;
    for (int k = 0; k < 200 || came < all; k++) {
      came = 0;
      for (int i = 0; i < PEERS; i++) {
        read_some(&r[i], SIZE_MAX);
        came += r[i].messages;
      }
      stage_turns(&g, 2);
    }
    assert_int_equal(came, all);
    assert_int_equal(told.is_short, told.no_longer);
    uint64_t before = r[0].messages;
    assert_int_equal(say_one(&p, 10), 0);
    until(&g, (read_some(&r[0], SIZE_MAX), r[0].messages == before + 1));
    player_close(&p);
    for (int i = 0; i < PEERS; i++) read_to_the_end(&g, &r[i]);
    stage_close(&g);
  }
}

/* ---- moving on ----------------------------------------------------------- */

/* What waits for a worker that is lost finds room with another, though all
 * together have none. */
static void what_moves_on_has_room(int backend) {
  stage_t g;
  player_t p;
  told_t told;
  reader_t a, b;
  stage_open(&g, backend, false);
  open_sender(&g, &p, &told,
              (mcq_socket_options_t){.type = MCQ_PUSH,
                                     .flags = MCQ_REQUEUE,
                                     .sndhwm = -1,
                                     .sndhwm_bytes = -1,
                                     .max_bytes = TOGETHER});
  open_reader(&a, &p, "PULL");
  open_reader(&b, &p, "PULL");
  fill(&p, say_one, LEN);
  close(a.fd);
  until(&g, p.downs == 1);
  mcq_stats_t stats = player_stats(&p);
  assert_true(stats.messages_requeued > 0);
  assert_int_equal(stats.messages_lost, 0);
  assert_int_equal(p.lost, 0);
  player_close(&p);
  read_to_the_end(&g, &b);
  stage_close(&g);
}

/* ---- plays --------------------------------------------------------------- */

static const scene_t scenes[] = {
    {"exact to the message", exact_to_the_message},
    {"exact to the byte", exact_to_the_byte},
    {"answers are dropped", answers_are_dropped},
    {"room is told of once", room_is_told_of_once},
    {"each peer for itself", each_peer_for_itself},
    {"who may not ask", who_may_not_ask},
    {"a socket has a limit", a_socket_has_a_limit},
    {"a queue for nobody counts", a_queue_for_nobody_counts},
    {"a context has a limit", a_context_has_a_limit},
    {"publishers keep to it", publishers_keep_to_it},
    {"what moves on has room", what_moves_on_has_room},
};
#define SCENES (sizeof scenes / sizeof *scenes)

static void over_uv(void** state) {
  (void) state;
  play_scenes(scenes, SCENES, MCQ_BACKEND_UV);
}

static void over_uring(void** state) {
  (void) state;
  if (backend_is_here(MCQ_BACKEND_URING))
    play_scenes(scenes, SCENES, MCQ_BACKEND_URING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(over_uv),
      cmocka_unit_test(over_uring),
  };
  stranger_room = 8192;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
