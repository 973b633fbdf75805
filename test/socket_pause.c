/* SPDX-License-Identifier: MIT */
/* Pausing is exact to one message, for each type that receives: what had
 * arrived behind it waits, and comes in order from the very next one on.  The
 * peer's writes come to a halt, and its end is noticed.  Over tcp on every back
 * end, from a bare socket that says all at once, and over inproc. */
#include "support/topics.h"

enum { COUNT = 120 };

typedef struct type {
  mcq_socket_options_t options;
  const char* mate; /* as it is called on the wire, */
  int sender;       /* and its number */
  bool asks;        /* an empty frame goes before, and an answer comes back */
} type_t;

static const type_t types[] = {
    {{.type = MCQ_PULL}, "PUSH", MCQ_PUSH, false},
    {{.type = MCQ_DEALER}, "DEALER", MCQ_DEALER, false},
    {{.type = MCQ_PAIR}, "PAIR", MCQ_PAIR, false},
    {{.type = MCQ_ROUTER}, "DEALER", MCQ_DEALER, false},
    {{.type = MCQ_SUB}, "PUB", MCQ_PUB, false},
    {{.type = MCQ_XSUB}, "XPUB", MCQ_XPUB, false},
    {{.type = MCQ_XPUB}, "XSUB", MCQ_XSUB, false},
    {{.type = MCQ_REP}, "DEALER", MCQ_DEALER, true},
};
enum { TYPES = sizeof types / sizeof *types };

/* ---- who receives -------------------------------------------------------- */

typedef struct house {
  stage_t g;
  player_t p;
  const type_t* type;
  bool by_peer; /* the peer is paused, not the socket */
  bool paused;  /* nothing may come */
  bool always;  /* pauses at each message */
  uint32_t heard;
  mcq_peer_t peer;
} house_t;

static void pause_it(house_t* h) {
  int rc = h->by_peer ? mcq_peer_pause(h->p.s, h->peer) : mcq_pause(h->p.s);
  assert_int_equal(rc, 0);
  h->paused = true;
}

static void resume_it(house_t* h) {
  h->paused = false;
  int rc = h->by_peer ? mcq_peer_resume(h->p.s, h->peer) : mcq_resume(h->p.s);
  assert_int_equal(rc, 0);
}

/* Numbers, with zeros in front so that they are nobody's subscription. */
static void on_message(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  house_t* h = mcq__container_of(p, house_t, p);
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  char want[16];
  assert_false(h->paused);
  snprintf(want, sizeof want, "n%04u", h->heard);
  assert_true(f.len >= 5);
  assert_memory_equal(f.data, want, 5);
  h->peer = peer;
  h->heard++;
  if (h->type->asks) assert_int_equal(mcq_send_text(p->s, "yes"), 0);
  unsigned kind = h->always ? 0 : h->heard % 4;
  if (kind != 3) pause_it(h);
  if (kind == 2) pause_it(h);
  if (kind == 1) resume_it(h);
}

static void open_house(house_t* h, int backend, const type_t* type,
                       bool by_peer) {
  memset(h, 0, sizeof *h);
  h->type = type;
  h->by_peer = by_peer;
  stage_open(&h->g, backend, false);
  player_open(&h->p, &h->g, type->options);
  h->p.count = HEARD_MAX; /* keeps nothing */
  h->p.on_message = on_message;
  if (type->options.type == MCQ_SUB || type->options.type == MCQ_XSUB)
    assert_int_equal(mcq_subscribe(h->p.s, "", 0), 0);
}

static void add_number(rig_bytes_t* b, const type_t* type, unsigned i) {
  char text[16];
  snprintf(text, sizeof text, "n%04u", i);
  if (type->asks) rig_frame(b, 1, NULL, 0);
  rig_frame(b, 0, text, 5);
}

/* Resumes as long as it takes: in a pause nothing comes, and each time it is
 * over at least one does. */
static void hear_all(house_t* h, uint32_t count) {
  while (h->heard < count) {
    uint32_t before = h->heard;
    if (h->paused) {
      stage_turns(&h->g, 3);
      assert_int_equal(h->heard, before);
      resume_it(h);
      assert_int_equal(h->heard, before); /* not inside the call */
    }
    until(&h->g, h->heard > before);
  }
}

/* ---- over tcp ------------------------------------------------------------ */

static void exact_over_tcp(int backend) {
  for (unsigned i = 0; i < 4 * TYPES; i++) {
    house_t h;
    raw_t raw;
    rig_bytes_t all = {0};
    open_house(&h, backend, &types[i / 4], i % 2 != 0);
    h.always = i % 4 >= 2;
    player_bind(&h.p);
    raw_open(&raw, &h.g);
    raw_connect(&raw, &h.p);
    raw_hello(&raw, 1, h.type->mate);
    until(&h.g, h.p.ups == 1);
    for (unsigned k = 0; k < COUNT; k++) add_number(&all, h.type, k);
    raw_say(&raw, &all);
    hear_all(&h, COUNT);
    if (h.paused) resume_it(&h);
    stage_turns(&h.g, 5);
    assert_int_equal(h.heard, COUNT);
    raw_close(&raw);
    stage_close(&h.g);
  }
}

/* ---- over inproc --------------------------------------------------------- */

static void exact_over_inproc(int backend) {
  for (unsigned i = 0; i < 4 * TYPES; i++) {
    house_t h;
    player_t from;
    if (types[i / 4].sender == MCQ_XSUB) continue; /* says topics only */
    open_house(&h, backend, &types[i / 4], i % 2 != 0);
    h.always = i % 4 >= 2;
    player_open(&from, &h.g,
                (mcq_socket_options_t){.type = types[i / 4].sender});
    from.count = HEARD_MAX;
    assert_int_equal(mcq_bind(h.p.s, "inproc://here", NULL), 0);
    assert_int_equal(mcq_connect(from.s, "inproc://here", NULL, NULL), 0);
    until(&h.g, h.p.ups == 1 && from.ups == 1);
    stage_turns(&h.g, 5); /* subscriptions arrive */
    for (unsigned k = 0; k < COUNT; k++) {
      char text[16];
      snprintf(text, sizeof text, h.type->asks ? "|n%04u" : "n%04u", k);
      assert_int_equal(say(&from, text), 0);
    }
    hear_all(&h, COUNT);
    if (h.paused) resume_it(&h);
    stage_turns(&h.g, 5);
    assert_int_equal(h.heard, COUNT);
    stage_close(&h.g);
  }
}

/* ---- the peer's side ----------------------------------------------------- */

/* Writes for as long as somebody takes it: bytes taken. */
static size_t write_on(house_t* h, raw_t* raw, const uint8_t* data,
                       size_t len) {
  enum { IN_VAIN = 300 };
  size_t at = 0;
  for (int tries = 0; tries < IN_VAIN && at < len; tries++) {
    ssize_t n = send(raw->fd, data + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      at += (size_t) n;
      tries = 0;
    }
    stage_step(&h->g);
  }
  return at;
}

/* More than the kernels and we may hold. */
static void its_writes_come_to_a_halt(int backend) {
  enum { BODY = 16384, MUCH = 2500 };
  static uint8_t body[BODY];
  for (int by_peer = 0; by_peer < 2; by_peer++) {
    house_t h;
    raw_t raw;
    rig_bytes_t all = {0};
    open_house(&h, backend, &types[0], by_peer != 0);
    h.always = true;
    player_bind(&h.p);
    raw_open(&raw, &h.g);
    raw_connect(&raw, &h.p);
    raw_hello(&raw, 1, "PUSH");
    until(&h.g, h.p.ups == 1);
    for (unsigned k = 0; k < MUCH; k++) {
      char text[16];
      snprintf(text, sizeof text, "n%04u", k);
      memcpy(body, text, 5);
      rig_frame(&all, 0, body, BODY);
    }
    size_t taken = write_on(&h, &raw, all.data, all.len);
    assert_int_equal(h.heard, 1);
    assert_true(taken < all.len);
    /* What lies here is bounded, too. */
    assert_true(h.g.memory.bytes < (8u << 20));
    h.always = false;
    rig_bytes_t rest = {0};
    rig_add(&rest, all.data + taken, all.len - taken);
    rig_free(&all);
    while (h.heard < MUCH) {
      if (rest.len != 0) {
        ssize_t n = send(raw.fd, rest.data, rest.len > 65536 ? 65536 : rest.len,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
          rest.len -= (size_t) n;
          memmove(rest.data, rest.data + n, rest.len);
        }
      }
      if (h.paused) resume_it(&h);
      stage_turns(&h.g, 1);
    }
    rig_free(&rest);
    raw_close(&raw);
    stage_close(&h.g);
  }
}

/* The end of one that is paused comes when all before it was delivered, and
 * at once when nothing is. */
static void its_end_is_noticed(int backend) {
  for (int k = 0; k < 4; k++) {
    house_t h;
    raw_t raw;
    unsigned count = k < 2 ? 5 : 1;
    rig_bytes_t all = {0};
    open_house(&h, backend, &types[0], k % 2 != 0);
    h.always = true;
    player_bind(&h.p);
    raw_open(&raw, &h.g);
    raw_connect(&raw, &h.p);
    raw_hello(&raw, 1, "PUSH");
    until(&h.g, h.p.ups == 1);
    for (unsigned i = 0; i < count; i++) add_number(&all, h.type, i);
    raw_say(&raw, &all);
    until(&h.g, h.heard == 1);
    raw_close(&raw);
    while (h.heard < count) {
      stage_turns(&h.g, 20);
      assert_int_equal(h.p.downs, 0);
      uint32_t before = h.heard;
      resume_it(&h);
      until(&h.g, h.heard == before + 1);
    }
    assert_true(h.paused);
    until(&h.g, h.p.downs == 1);
    assert_int_equal(h.heard, count);
    stage_close(&h.g);
  }
}

static void the_others_go_on(int backend) {
  house_t h;
  raw_t raw[2];
  open_house(&h, backend, &types[0], true);
  h.always = true;
  player_bind(&h.p);
  for (unsigned i = 0; i < 2; i++) {
    raw_open(&raw[i], &h.g);
    raw_connect(&raw[i], &h.p);
    raw_hello(&raw[i], 1, "PUSH");
    until(&h.g, h.p.ups == i + 1);
  }
  /* Each is paused by its first, which is the other's turn. */
  for (unsigned i = 0; i < 2; i++) {
    rig_bytes_t b = {0};
    add_number(&b, h.type, i);
    add_number(&b, h.type, 99);
    raw_say(&raw[i], &b);
    h.paused = false;
    until(&h.g, h.heard == i + 1);
    stage_turns(&h.g, 5);
    assert_int_equal(h.heard, i + 1);
  }
  for (unsigned i = 0; i < 2; i++) raw_close(&raw[i]);
  stage_close(&h.g);
}

/* ---- several peers ------------------------------------------------------- */

#define MANY 4
#define EACH 30

typedef struct crowd {
  house_t h;
  raw_t raw[MANY];
  unsigned heard[MANY];
  unsigned seen;
} crowd_t;

/* He may pause and resume while he goes through his peers. */
static void see(mcq_socket_t* s, const mcq_peer_info_t* info, void* arg) {
  crowd_t* c = (crowd_t*) arg;
  (void) info;
  c->seen++;
  assert_int_equal(mcq_resume(s), 0);
  assert_int_equal(mcq_pause(s), 0);
}

static void on_crowd(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  house_t* h = mcq__container_of(p, house_t, p);
  crowd_t* c = mcq__container_of(h, crowd_t, h);
  (void) peer;
  assert_false(h->paused);
  c->heard[*(const char*) mcq_msg_frame(msg, 0).data - 'a']++;
  h->heard++;
  c->seen = 0;
  mcq_peer_each(p->s, see, c);
  assert_int_equal(c->seen, MANY);
  pause_it(h);
}

static bool all_arrived(const crowd_t* c) {
  return player_stats(&c->h.p).wire_bytes_received >= MANY * EACH * 3;
}

/* One message, and a pause: all that wait have their turn, none comes again
 * before the others did. */
static void in_turn_though_it_pauses(int backend) {
  crowd_t c = {0};
  open_house(&c.h, backend, &types[0], false);
  c.h.p.on_message = on_crowd;
  player_bind(&c.h.p);
  for (unsigned i = 0; i < MANY; i++) {
    raw_open(&c.raw[i], &c.h.g);
    raw_connect(&c.raw[i], &c.h.p);
    raw_hello(&c.raw[i], 1, "PUSH");
    until(&c.h.g, c.h.p.ups == i + 1);
  }
  pause_it(&c.h);
  for (unsigned i = 0; i < MANY; i++) {
    rig_bytes_t b = {0};
    char who = (char) ('a' + i);
    for (unsigned k = 0; k < EACH; k++) rig_frame(&b, 0, &who, 1);
    raw_say(&c.raw[i], &b);
  }
  until(&c.h.g, all_arrived(&c));
  for (unsigned round = 1; round <= EACH; round++) {
    for (unsigned i = 0; i < MANY; i++) {
      uint32_t before = c.h.heard;
      resume_it(&c.h);
      until(&c.h.g, c.h.heard > before);
      stage_turns(&c.h.g, 2);
    }
    for (unsigned i = 0; i < MANY; i++) assert_int_equal(c.heard[i], round);
  }
  for (unsigned i = 0; i < MANY; i++) raw_close(&c.raw[i]);
  stage_close(&c.h.g);
}

static const scene_t scenes[] = {
    {"exact over tcp", exact_over_tcp},
    {"exact over inproc", exact_over_inproc},
    {"its writes come to a halt", its_writes_come_to_a_halt},
    {"its end is noticed", its_end_is_noticed},
    {"the others go on", the_others_go_on},
    {"in turn though it pauses", in_turn_though_it_pauses},
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
