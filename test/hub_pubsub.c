/* SPDX-License-Identifier: MIT */
/* PubSubHub: who is told, once each, and what an epoch takes with it.  The
 * random run puts it beside a model that asks every peer about every one of
 * its prefixes.
 *
 *   MCQ_TEST_STEPS   random steps, 1000000
 *   MCQ_TEST_SEED    where the randomness starts; printed at a failure */
#include "hub/pubsub.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/hub_peers.h"
#include "support/pool.h"
#include "support/prefix_fault.h"
#include "support/random.h"

#define PEERS 12

static const mcq_peer_t nobody = {0, 0};
static const mcq__pubsub_limits_t unlimited = {0, 0, 0};

/* ---- peers
 * ------------------------------------------------------------------- */

static uint64_t fake_room(mcq__port_t* port, size_t size) {
  (void) size;
  return mcq__container_of(port, fake_peer_t, port)->answer != MCQ_EAGAIN;
}

static void init_peer(fake_peer_t* peer) {
  fake_init(peer);
  peer->port.room = fake_room;
}

static mcq_frame_t frame(const char* text) {
  mcq_frame_t f = {text, strlen(text)};
  return f;
}

/* ---- one thing at a time
 * ------------------------------------------------------- */

typedef struct bench {
  test_pool_t memory;
  uint64_t epochs;
  mcq__pubsub_t hub;
  fake_peer_t fakes[PEERS];
  mcq_peer_t peers[PEERS];
  char gone[128]; /* prefixes that went: "a!,b," (!: nobody holds it) */
  char full[64];  /* ports that did not take the message, by their letter */
  unsigned again; /* times to answer that with: again */
  bool make_room; /* the port has room after that */
} bench_t;

static int set_up(void** state) {
  static bench_t b;
  memset(&b, 0, sizeof b);
  test_pool_open(&b.memory);
  mcq__pubsub_init(&b.hub, b.memory.mem, &b.epochs, &unlimited);
  for (size_t i = 0; i < PEERS; i++) init_peer(&b.fakes[i]);
  *state = &b;
  return 0;
}

static int tear_down(void** state) {
  bench_t* b = (bench_t*) *state;
  assert_null(prefix_fault(&b->hub.prefixes));
  assert_null(roster_fault(&b->hub.roster));
  mcq__pubsub_dispose(&b->hub);
  test_pool_close(&b->memory);
  return 0;
}

static void on_gone(void* arg, mcq_frame_t prefix, bool last) {
  bench_t* b = (bench_t*) arg;
  strncat(b->gone, (const char*) prefix.data, prefix.len);
  strcat(b->gone, last ? "!," : ",");
}

static void up(bench_t* b, size_t who, mcq_peer_t again, int expected) {
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &b->fakes[who].port, {NULL, 0}};
  mcq_peer_t out = {77, 77};
  b->gone[0] = '\0';
  int rc = mcq__pubsub_up(&b->hub, &ev, &out, on_gone, b);
  assert_int_equal(rc, expected);
  if (rc == 0) b->peers[who] = out;
}

static bool down(bench_t* b, mcq_peer_t peer) {
  b->gone[0] = '\0';
  return mcq__pubsub_down(&b->hub, peer, on_gone, b);
}

/* As subscribe and cancel, but 1 for 0 and first or last. */
static int sub(bench_t* b, mcq_peer_t peer, const char* prefix) {
  bool first = true;
  int rc = mcq__pubsub_subscribe(&b->hub, peer, frame(prefix), &first);
  assert_true(rc == 0 || !first);
  return rc == 0 ? first : rc;
}

static int cancel(bench_t* b, mcq_peer_t peer, const char* prefix) {
  bool last = true;
  int rc = mcq__pubsub_cancel(&b->hub, peer, frame(prefix), &last);
  assert_true(rc == 0 || !last);
  return rc == 0 ? last : rc;
}

static bool on_full(void* arg, mcq_peer_t peer, int code, uint64_t count) {
  bench_t* b = (bench_t*) arg;
  assert_int_equal(count, 1);
  for (size_t i = 0; i < PEERS; i++) {
    if (!same_peer(b->peers[i], peer)) continue;
    char letter[2] = {(char) ('0' + i), '\0'};
    strcat(b->full, letter);
    assert_int_equal(code, b->fakes[i].answer);
    if (b->make_room) b->fakes[i].answer = 0;
  }
  if (b->again == 0) return false;
  b->again--;
  return true;
}

/* How a message is published. */
enum { INVERT = 1, REFUSE = 2 };

static int publish_body(mcq__pubsub_t* hub, const mcq__body_t* body, int flags,
                        mcq__missed_cb missed, void* arg) {
  mcq_frame_t topic = {NULL, 0};
  if (body->count > 0) topic = mcq__body_frame(body, 0);
  size_t meant = mcq__pubsub_find(hub, topic, (flags & INVERT) != 0);
  int rc = mcq__pubsub_publish(hub, body, (flags & REFUSE) != 0, missed, arg);
  assert_true(rc <= (int) meant);
  return rc;
}

/* Publishes, and says who was told: "02".  Each once at most. */
static const char* publish(bench_t* b, const char* topic, int flags,
                           int expected) {
  static char told[PEERS + 1];
  size_t n = 0;
  uint64_t before[PEERS];
  mcq_frame_t frames[] = {frame(topic), {"more", 4}};
  mcq__body_t body = {.frames = frames, .count = 2};
  size_t calls = atomic_load(&b->memory.alloc.calls);
  b->full[0] = '\0';
  for (size_t i = 0; i < PEERS; i++) before[i] = b->fakes[i].told;
  int rc = publish_body(&b->hub, &body, flags, on_full, b);
  for (size_t i = 0; i < PEERS; i++) {
    if (b->fakes[i].told == before[i]) continue;
    assert_int_equal(b->fakes[i].told, before[i] + 1);
    assert_memory_equal(&b->fakes[i].body, &body, sizeof body);
    told[n++] = (char) ('0' + i);
  }
  told[n] = '\0';
  assert_int_equal(rc, expected < 0 ? expected : (int) n);
  assert_int_equal(atomic_load(&b->memory.alloc.calls), calls);
  return told;
}

static const char* told_of(bench_t* b, const char* topic) {
  return publish(b, topic, 0, 0);
}

static void zeroed_is_disposable(void** state) {
  (void) state;
  mcq__pubsub_t h;
  memset(&h, 0, sizeof h);
  mcq__pubsub_dispose(&h);
  mcq__pubsub_dispose(&h);
}

static void each_is_told_once(void** state) {
  bench_t* b = (bench_t*) *state;
  assert_string_equal(told_of(b, "abc"), "");
  for (size_t i = 0; i < 4; i++) up(b, i, nobody, 0);
  assert_string_equal(told_of(b, "abc"), ""); /* nobody asked */
  sub(b, b->peers[0], "");
  sub(b, b->peers[0], "a");
  sub(b, b->peers[0], "abc");
  sub(b, b->peers[1], "a");
  sub(b, b->peers[1], "ab");
  sub(b, b->peers[3], "x");
  assert_string_equal(told_of(b, "abc"), "01");
  assert_string_equal(told_of(b, "abc"), "01");
  assert_string_equal(told_of(b, "x"), "03");
  assert_string_equal(told_of(b, ""), "0");
  assert_string_equal(told_of(b, "b"), "0");
}

/* Where a longer prefix tells others, topics have to be looked at further,
 * however often the last one had the same peers. */
static void a_longer_prefix_tells_more(void** state) {
  bench_t* b = (bench_t*) *state;
  up(b, 0, nobody, 0);
  up(b, 1, nobody, 0);
  sub(b, b->peers[0], "a");
  sub(b, b->peers[1], "abcdefghij");
  for (int i = 0; i < 3; i++) assert_string_equal(told_of(b, "ax"), "0");
  assert_string_equal(told_of(b, "abcdefghij"), "01");
  for (int i = 0; i < 3; i++)
    assert_string_equal(told_of(b, "abcdefghijk"), "01");
  assert_string_equal(told_of(b, "abcdefghix"), "0");
  assert_string_equal(told_of(b, "b"), "");
  for (int i = 0; i < 3; i++)
    assert_string_equal(publish(b, "abcdefghijk", INVERT, 0), "");
  assert_string_equal(publish(b, "abcdefghi", INVERT, 0), "1");
  assert_string_equal(told_of(b, "abcdefghijk"), "01");
  cancel(b, b->peers[1], "abcdefghij");
  assert_string_equal(told_of(b, "abcdefghijk"), "0");
}

/* One alone is told without much ado. */
static void the_only_one_is_told(void** state) {
  bench_t* b = (bench_t*) *state;
  mcq_frame_t part = frame("topic");
  mcq__body_t body = {.frames = &part, .count = 1};
  up(b, 0, nobody, 0);
  up(b, 1, nobody, 0);
  sub(b, b->peers[1], "t");
  for (uint64_t i = 1; i < 4; i++) {
    assert_int_equal(mcq__pubsub_find(&b->hub, part, false), 1);
    assert_int_equal(mcq__pubsub_tell_sole(&b->hub, &body), 0);
    assert_int_equal(b->fakes[1].told, i);
  }
  b->fakes[1].answer = MCQ_EAGAIN;
  assert_int_equal(mcq__pubsub_find(&b->hub, part, false), 1);
  assert_int_equal(mcq__pubsub_tell_sole(&b->hub, &body), MCQ_EAGAIN);
  assert_int_equal(b->fakes[0].asked, 0);
}

/* The topic is the first frame, in either form; a body without frames has the
 * empty one. */
static void topic_is_the_first_frame(void** state) {
  bench_t* b = (bench_t*) *state;
  up(b, 0, nobody, 0);
  sub(b, b->peers[0], "ab");
  mcq__slice_t slices[] = {mcq__slice_static("a", 1),
                           mcq__slice_static("b", 1)};
  mcq__body_t body = {.slices = slices, .count = 2};
  assert_int_equal(publish_body(&b->hub, &body, 0, NULL, NULL), 0);
  slices[0] = mcq__slice_static("abc", 3);
  assert_int_equal(publish_body(&b->hub, &body, 0, NULL, NULL), 1);
  body.count = 0;
  assert_int_equal(publish_body(&b->hub, &body, 0, NULL, NULL), 0);
  sub(b, b->peers[0], "");
  assert_int_equal(publish_body(&b->hub, &body, 0, NULL, NULL), 1);
}

static void subscriptions_are_a_set(void** state) {
  bench_t* b = (bench_t*) *state;
  up(b, 0, nobody, 0);
  up(b, 1, nobody, 0);
  assert_int_equal(sub(b, b->peers[0], "a"), true);
  assert_int_equal(sub(b, b->peers[0], "a"), MCQ_EEXIST);
  assert_int_equal(sub(b, b->peers[1], "a"), false);
  assert_int_equal(mcq__pubsub_prefixes(&b->hub), 1);
  assert_int_equal(cancel(b, b->peers[0], "b"), MCQ_ENOENT);
  assert_int_equal(cancel(b, b->peers[0], "a"), false);
  assert_int_equal(cancel(b, b->peers[0], "a"), MCQ_ENOENT);
  assert_string_equal(told_of(b, "a"), "1");
  assert_int_equal(cancel(b, b->peers[1], "a"), true);
  assert_string_equal(told_of(b, "a"), "");
  assert_int_equal(mcq__pubsub_prefixes(&b->hub), 0);
}

static void an_epoch_takes_its_prefixes_along(void** state) {
  bench_t* b = (bench_t*) *state;
  up(b, 0, nobody, 0);
  up(b, 1, nobody, 0);
  mcq_peer_t old = b->peers[0];
  sub(b, old, "a");
  sub(b, old, "b");
  sub(b, b->peers[1], "b");
  up(b, 0, old, 0);
  assert_string_equal(b->gone, "a!,b,");
  assert_int_equal(b->peers[0].slot, old.slot);
  assert_true(b->peers[0].epoch > b->peers[1].epoch);
  assert_string_equal(told_of(b, "a"), "");
  assert_string_equal(told_of(b, "b"), "1");
  assert_int_equal(sub(b, old, "a"), MCQ_EPEERGONE);
  sub(b, b->peers[0], "c");
  assert_int_equal(cancel(b, old, "c"), MCQ_EPEERGONE);
  assert_false(down(b, old)); /* comes late: it is not that peer's any more */
  assert_string_equal(b->gone, "");
  assert_string_equal(told_of(b, "c"), "0");
  up(b, 2, old, MCQ_EPEERGONE);
  assert_string_equal(b->gone, "");
  assert_string_equal(told_of(b, "c"), "0");
  assert_true(down(b, b->peers[0]));
  assert_string_equal(b->gone, "c!,");
  assert_false(down(b, b->peers[0]));
  up(b, 3, nobody, 0); /* takes the slot, not what was asked for in it */
  assert_int_equal(b->peers[3].slot, old.slot);
  assert_string_equal(told_of(b, "c"), "");
  assert_int_equal(cancel(b, b->peers[0], "b"), MCQ_EPEERGONE);
  assert_true(down(b, b->peers[1]));
  assert_string_equal(b->gone, "b!,");
  assert_int_equal(mcq__pubsub_prefixes(&b->hub), 0);
}

/* Four peers: without prefixes, one that matches, one that does not, both. */
static void inverting_tells_the_others(void** state) {
  static const struct {
    const char* prefixes[4]; /* "a,b" */
    const char* told;        /* of "topic" */
    const char* inverted;
  } rows[] = {
      {{"", "", "", ""}, "", "0123"},
      {{"", "t", "", ""}, "1", "023"},
      {{"", "x", "", ""}, "", "0123"},
      {{"", "t", "x", "x,t"}, "13", "02"},
      {{"t", "to", "topic", "t,to"}, "0123", ""},
      {{"", "topics", "topic", "x"}, "2", "013"},
      {{"*", "", "x", "*,t"}, "03", "12"}, /* *: the empty prefix */
      {{"*", "*", "*", "*"}, "0123", ""},
  };
  for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
    bench_t* b = (bench_t*) *state;
    for (size_t i = 0; i < 4; i++) {
      char text[16];
      char* rest;
      up(b, i, nobody, 0);
      snprintf(text, sizeof text, "%s", rows[row].prefixes[i]);
      for (char* word = strtok_r(text, ",", &rest); word != NULL;
           word = strtok_r(NULL, ",", &rest))
        sub(b, b->peers[i], *word == '*' ? "" : word);
    }
    for (int refuse = 0; refuse <= REFUSE; refuse += REFUSE) {
      assert_string_equal(publish(b, "topic", refuse, 0), rows[row].told);
      assert_string_equal(publish(b, "topic", INVERT | refuse, 0),
                          rows[row].inverted);
    }
    for (size_t i = 0; i < 4; i++) down(b, b->peers[i]);
    assert_string_equal(publish(b, "topic", INVERT, 0), "");
  }
}

static void who_is_full_loses_alone(void** state) {
  bench_t* b = (bench_t*) *state;
  for (size_t i = 0; i < 4; i++) {
    up(b, i, nobody, 0);
    sub(b, b->peers[i], "a");
  }
  b->fakes[1].answer = MCQ_EAGAIN;
  b->fakes[2].answer = MCQ_ENOMEM;
  assert_string_equal(told_of(b, "a"), "03");
  assert_string_equal(b->full, "12");
  assert_int_equal(b->fakes[1].asked, 1);
  b->again = 2; /* but there still is no room */
  assert_string_equal(told_of(b, "a"), "03");
  assert_string_equal(b->full, "1112"); /* what it loses is heard of last */
  assert_int_equal(b->fakes[1].asked, 4);
  b->again = 2;
  b->make_room = true;
  assert_string_equal(told_of(b, "a"), "0123");
  assert_string_equal(b->full, "12");
  b->fakes[0].answer = MCQ_EAGAIN;
  const mcq_frame_t part = {"a", 1};
  mcq__body_t body = {.frames = &part, .count = 1};
  assert_int_equal(publish_body(&b->hub, &body, 0, NULL, NULL), 3);
}

static void refusing_tells_all_or_nobody(void** state) {
  bench_t* b = (bench_t*) *state;
  for (size_t i = 0; i < 4; i++) {
    up(b, i, nobody, 0);
    if (i < 3) sub(b, b->peers[i], i == 2 ? "b" : "a");
  }
  b->fakes[1].answer = MCQ_EAGAIN;
  int flags = REFUSE;
  assert_string_equal(publish(b, "a", flags, MCQ_EAGAIN), "");
  assert_string_equal(b->full, "");
  assert_int_equal(b->fakes[0].asked + b->fakes[1].asked, 0);
  assert_string_equal(publish(b, "b", flags, 0), "2"); /* it is not concerned */
  flags |= INVERT;
  assert_string_equal(publish(b, "b", flags, MCQ_EAGAIN), "");
  assert_string_equal(publish(b, "a", flags, 0), "23");
  b->fakes[1].answer = 0;
  assert_string_equal(publish(b, "a", REFUSE, 0), "01");
  b->fakes[0].answer = MCQ_ENOMEM; /* which nobody could see coming */
  assert_string_equal(publish(b, "a", REFUSE, 0), "1");
  assert_string_equal(b->full, "0");
}

/* ---- promises ------------------------------------------------------------ */

/* A queue that takes as much as it has room for, and only what comes next. */
typedef struct queue {
  mcq__port_t port;
  mcq_peer_t peer;
  uint64_t room;
  uint64_t promised; /* of it: what it said it has, and still must have */
  unsigned asked;
  unsigned told; /* calls */
  uint8_t got[64];
  size_t count; /* of messages it has */
} queue_t;

enum { LETTER = 7 }; /* bytes of a message as it travels, all the same */

static queue_t* queue_of(mcq__port_t* port) {
  return mcq__container_of(port, queue_t, port);
}

static uint64_t queue_room(mcq__port_t* port, size_t size) {
  assert_true(size >= LETTER);
  queue_of(port)->asked++;
  queue_of(port)->promised = queue_of(port)->room;
  return queue_of(port)->room;
}

/* What is promised was answered before, and nothing else came in between. */
static void take_promise(queue_t* q, const mcq__peer_cmd_t* cmd) {
  uint64_t count = cmd->body->wired->count;
  if (cmd->promised) assert_true(count <= q->promised);
  q->promised = cmd->promised ? q->promised - count : 0;
  assert_true(cmd->promised || count == 1);
}

static int queue_tell(mcq__port_t* port, const mcq__peer_cmd_t* cmd) {
  const mcq__wired_t* wired = cmd->body->wired;
  queue_t* q = queue_of(port);
  take_promise(q, cmd);
  if (q->room == 0) return MCQ_EAGAIN;
  assert_true(q->room >= wired->count);
  assert_int_equal(wired->size, LETTER);
  assert_int_equal(wired->bytes.len, wired->count * LETTER);
  assert_int_equal(wired->frames, 2 * wired->count);
  assert_int_equal(wired->payload, 3 * wired->count);
  for (uint64_t i = 0; i < wired->count; i++)
    q->got[q->count++] = wired->bytes.data[i * LETTER];
  q->room -= wired->count;
  q->told++;
  return 0;
}

static void queue_up(bench_t* b, queue_t* q, uint64_t room) {
  *q = (queue_t){.port = {queue_tell, queue_room}, .room = room};
  mcq__hub_event_t ev = {.kind = MCQ__HUB_UP, .port = &q->port};
  assert_int_equal(mcq__pubsub_up(&b->hub, &ev, &q->peer, NULL, NULL), 0);
}

/* Publishes LETTER times `letter`, put behind the last one in `w`. */
static int publish_letter(mcq__pubsub_t* hub, mcq__window_t* w,
                          const char* topic, char letter, int flags) {
  const mcq_frame_t text = frame(topic);
  char bytes[LETTER];
  memset(bytes, letter, sizeof bytes);
  mcq__window_poke(w, 0, bytes, sizeof bytes);
  mcq__wired_t wired = {.bytes = mcq__window_freeze(w, sizeof bytes),
                        .size = sizeof bytes,
                        .count = 1,
                        .frames = 2,
                        .payload = 3};
  mcq__body_t body = {.frames = &text, .count = 1, .wired = &wired};
  int rc = publish_body(hub, &body, flags, NULL, NULL);
  mcq__slice_release(&wired.bytes);
  return rc;
}

static void promises_are_told_at_once(void** state) {
  bench_t* b = (bench_t*) *state;
  queue_t one;
  queue_t two;
  mcq__window_t w = {0};
  assert_int_equal(mcq__window_open(&w, b->memory.pool, 4096), 0);
  queue_up(b, &one, 60);
  queue_up(b, &two, 40);
  sub(b, one.peer, "");
  sub(b, two.peer, "");
  for (int i = 0; i < 40; i++) {
    assert_int_equal(publish_letter(&b->hub, &w, "a", (char) i, REFUSE), 2);
    assert_true(mcq__pubsub_waits(&b->hub));
  }
  assert_int_equal(one.told + two.told, 0);
  assert_int_equal(one.asked, 1); /* and not once a message */
  assert_int_equal(publish_letter(&b->hub, &w, "a", 'x', REFUSE), MCQ_EAGAIN);
  assert_false(mcq__pubsub_waits(&b->hub));
  assert_int_equal(one.told + two.told, 2);
  for (int i = 0; i < 40; i++) {
    assert_int_equal(one.got[i], i);
    assert_int_equal(two.got[i], i);
  }
  mcq__pubsub_settle(&b->hub); /* nothing */
  assert_int_equal(one.count + two.count, 80);
  mcq__window_close(&w);
}

/* One that is full is told, and loses, one message after another; that is
 * nothing to the others. */
static void promises_are_for_those_with_room(void** state) {
  bench_t* b = (bench_t*) *state;
  queue_t queues[3];
  mcq__window_t w = {0};
  assert_int_equal(mcq__window_open(&w, b->memory.pool, 4096), 0);
  for (size_t i = 0; i < 3; i++) {
    queue_up(b, &queues[i], i == 1 ? 0 : 60);
    sub(b, queues[i].peer, "");
  }
  for (int i = 0; i < 40; i++)
    assert_int_equal(publish_letter(&b->hub, &w, "a", (char) i, 0), 2);
  mcq__pubsub_settle(&b->hub);
  assert_int_equal(queues[1].count, 0);
  for (size_t i = 0; i < 3; i += 2) {
    assert_in_range(queues[i].told, 1, 3); /* times, and not forty */
    assert_int_equal(queues[i].count, 40);
    for (int n = 0; n < 40; n++) assert_int_equal(queues[i].got[n], n);
  }
  queues[1].room = 60; /* it is noticed in time */
  for (int i = 0; i < 21; i++) {
    int rc = publish_letter(&b->hub, &w, "a", (char) i, 0);
    assert_int_equal(rc, i < 20 ? 3 : 1);
  }
  mcq__pubsub_settle(&b->hub);
  assert_int_equal(queues[1].count, 21);
  mcq__window_close(&w);
}

/* Changes that concern the audience find it told of all before them. */
static void promises_are_kept_before_changes(void** state) {
  bench_t* b = (bench_t*) *state;
  queue_t queues[3];
  mcq__window_t w = {0};
  bool flag;
  for (int change = 0; change < 5; change++) {
    assert_int_equal(mcq__window_open(&w, b->memory.pool, 4096), 0);
    queue_up(b, &queues[0], 50);
    queue_up(b, &queues[1], 50);
    sub(b, queues[0].peer, "a");
    sub(b, queues[1].peer, "a");
    for (int i = 0; i < 5; i++)
      assert_int_equal(publish_letter(&b->hub, &w, "a", 'a', 0), 2);
    assert_true(mcq__pubsub_waits(&b->hub));
    const mcq_frame_t part = {"welcome", 7};
    mcq__body_t body = {.frames = &part, .count = 1};
    fake_peer_t fake;
    fake_init(&fake);
    mcq_peer_t other;
    mcq__hub_event_t ev = {.kind = MCQ__HUB_UP, .port = &fake.port};
    assert_int_equal(mcq__pubsub_up(&b->hub, &ev, &other, NULL, NULL), 0);
    assert_int_equal(queues[0].count, 5);
    for (int i = 0; i < 5; i++)
      assert_int_equal(publish_letter(&b->hub, &w, "a", 'b', 0), 2);
    assert_true(mcq__pubsub_waits(&b->hub));
    if (change == 0) sub(b, queues[1].peer, "b");
    if (change == 1) assert_int_equal(cancel(b, queues[1].peer, "a"), false);
    if (change == 2) mcq__pubsub_down(&b->hub, queues[1].peer, NULL, NULL);
    if (change == 3) mcq__pubsub_tell(&b->hub, other, &body);
    if (change == 4) publish_letter(&b->hub, &w, "b", 'c', 0);
    assert_int_equal(queues[0].count, 10);
    assert_int_equal(queues[1].count, 10);
    assert_int_equal(publish_letter(&b->hub, &w, "a", 'd', 0),
                     change == 1 || change == 2 ? 1 : 2);
    mcq__pubsub_cancel(&b->hub, queues[1].peer, frame("b"), &flag);
    mcq__pubsub_down(&b->hub, queues[0].peer, NULL, NULL);
    mcq__pubsub_down(&b->hub, queues[1].peer, NULL, NULL);
    mcq__pubsub_down(&b->hub, other, NULL, NULL);
    assert_int_equal(queues[0].count, 11);
    mcq__window_close(&w);
  }
}

/* What a queue would have if each message were told to it when it is
 * published. */
typedef struct twin {
  queue_t real;
  bool holds[2]; /* "a", "b" */
  uint64_t room;
  uint8_t got[64];
  size_t count;
} twin_t;

static void twins_publish(bench_t* b, twin_t* twins, mcq__window_t* w,
                          test_random_t* dice, char letter) {
  static const char* const topics[] = {"a", "b"};
  size_t topic = test_random_below(dice, 4) == 0;
  int flags = test_random_below(dice, 3) == 0 ? REFUSE : 0;
  bool full = false;
  int meant = 0;
  for (size_t i = 0; i < 3; i++) {
    if (!twins[i].holds[topic]) continue;
    full = full || twins[i].room == 0;
    meant++;
  }
  int rc = publish_letter(&b->hub, w, topics[topic], letter, flags);
  if (full && flags == REFUSE) {
    assert_int_equal(rc, MCQ_EAGAIN);
    return;
  }
  assert_true(full ? rc < meant : rc == meant);
  for (size_t i = 0; i < 3; i++) {
    if (!twins[i].holds[topic] || twins[i].room == 0) continue;
    twins[i].room--;
    twins[i].got[twins[i].count++] = (uint8_t) letter;
  }
}

static void twins_change(bench_t* b, twin_t* t, size_t topic) {
  mcq_frame_t text = frame(topic == 0 ? "a" : "b");
  bool flag;
  int rc = t->holds[topic]
               ? mcq__pubsub_cancel(&b->hub, t->real.peer, text, &flag)
               : mcq__pubsub_subscribe(&b->hub, t->real.peer, text, &flag);
  assert_int_equal(rc, 0);
  t->holds[topic] = !t->holds[topic];
}

static void check_twin(bench_t* b, twin_t* t) {
  mcq__pubsub_settle(&b->hub);
  assert_int_equal(t->real.count, t->count);
  assert_int_equal(t->real.room, t->room);
  assert_memory_equal(t->real.got, t->got, t->count);
}

static void twins_play(bench_t* b, test_random_t* dice) {
  twin_t twins[3];
  memset(twins, 0, sizeof twins);
  mcq__window_t w = {0};
  assert_int_equal(mcq__window_open(&w, b->memory.pool, 4096), 0);
  for (size_t i = 0; i < 3; i++)
    queue_up(b, &twins[i].real,
             twins[i].room = test_random_below(dice, 2) == 0
                                 ? test_random_below(dice, 12)
                                 : 200);
  for (char step = 0; step < 60; step++) {
    twin_t* t = &twins[test_random_below(dice, 3)];
    uint64_t more = test_random_below(dice, 8);
    uint64_t what = test_random_below(dice, 20);
    if (what == 0) twins_change(b, t, 1);
    if (what == 1 || step < 4) twins_change(b, t, 0);
    if (what == 2) check_twin(b, t);
    if (what == 3 || what == 4) t->room += more, t->real.room += more;
    if (what > 4) twins_publish(b, twins, &w, dice, step);
  }
  for (size_t i = 0; i < 3; i++) {
    check_twin(b, &twins[i]);
    mcq__pubsub_down(&b->hub, twins[i].real.peer, NULL, NULL);
  }
  mcq__window_close(&w);
}

static void promises_change_nothing(void** state) {
  test_random_t dice = {20261121};
  for (int round = 0; round < 20000; round++)
    twins_play((bench_t*) *state, &dice);
}

static void one_peer_can_be_told_anything(void** state) {
  bench_t* b = (bench_t*) *state;
  const mcq_frame_t part = {"welcome", 7};
  mcq__body_t body = {.frames = &part, .count = 1};
  up(b, 0, nobody, 0);
  up(b, 1, nobody, 0);
  sub(b, b->peers[1], "w");
  assert_int_equal(mcq__pubsub_tell(&b->hub, b->peers[0], &body), 0);
  assert_int_equal(b->fakes[0].told, 1);
  assert_int_equal(b->fakes[1].told, 0);
  b->fakes[0].answer = MCQ_EAGAIN;
  assert_int_equal(mcq__pubsub_tell(&b->hub, b->peers[0], &body), MCQ_EAGAIN);
  assert_int_equal(mcq__pubsub_tell(&b->hub, nobody, &body), MCQ_EPEERGONE);
  down(b, b->peers[0]);
  assert_int_equal(mcq__pubsub_tell(&b->hub, b->peers[0], &body),
                   MCQ_EPEERGONE);
}

static void limits_hold_and_let_go(void** state) {
  bench_t* b = (bench_t*) *state;
  b->hub.limits = (mcq__pubsub_limits_t){2, 4, 6};
  up(b, 0, nobody, 0);
  up(b, 1, nobody, 0);
  mcq_peer_t peer = b->peers[0];
  assert_int_equal(sub(b, peer, "abcde"), MCQ_EMSGLIMIT);
  assert_int_equal(sub(b, peer, "abcd"), true);
  assert_int_equal(sub(b, peer, "abc"), MCQ_EMSGLIMIT); /* seven bytes */
  assert_int_equal(sub(b, peer, "ab"), true);
  assert_int_equal(sub(b, peer, ""), MCQ_EMSGLIMIT);  /* three prefixes */
  assert_int_equal(sub(b, peer, "ab"), MCQ_EEXIST);   /* not one more */
  assert_int_equal(sub(b, b->peers[1], "ab"), false); /* of its own */
  assert_int_equal(mcq__pubsub_prefixes(&b->hub), 2);
  assert_int_equal(cancel(b, peer, "abcd"), true);
  assert_int_equal(sub(b, peer, "abcd"), true);
  up(b, 0, peer, 0); /* a new epoch starts from nothing */
  assert_int_equal(sub(b, b->peers[0], "abcd"), true);
  assert_int_equal(sub(b, b->peers[0], "xy"), true);
}

static int starve(test_alloc_t* ta, void* arg) {
  mcq_allocator_t allocator = test_alloc_allocator(ta);
  mcq__mem_t* mem;
  (void) arg;
  int rc = mcq__mem_open(&mem, &allocator);
  if (rc != 0) return rc;
  uint64_t epochs = 0;
  mcq__pubsub_t h;
  fake_peer_t fake;
  init_peer(&fake);
  mcq__pubsub_init(&h, mem, &epochs, &unlimited);
  for (uint32_t i = 0; i < 20 && rc == 0; i++) {
    mcq__hub_event_t ev = {MCQ__HUB_UP, nobody, &fake.port, {NULL, 0}};
    mcq_peer_t peer;
    bool first;
    rc = mcq__pubsub_up(&h, &ev, &peer, NULL, NULL);
    if (rc == 0) rc = mcq__pubsub_subscribe(&h, peer, frame("all"), &first);
    if (rc == 0)
      rc = mcq__pubsub_subscribe(&h, peer, frame(i % 2 ? "odd, and long" : "e"),
                                 &first);
    assert_null(prefix_fault(&h.prefixes));
    assert_null(roster_fault(&h.roster));
  }
  const mcq_frame_t part = {"all of you", 10};
  mcq__body_t body = {.frames = &part, .count = 1};
  int told = publish_body(&h, &body, 0, NULL, NULL);
  assert_true(told <= (int) h.roster.count && told + 1 >= (int) h.roster.count);
  mcq__pubsub_dispose(&h);
  assert_int_equal(mcq__mem_live(mem), 0);
  mcq__mem_close(mem);
  return rc;
}

static void out_of_memory_changes_nothing(void** state) {
  (void) state;
  assert_true(test_alloc_sweep(starve, NULL) > 15);
}

/* ---- the model
 * ------------------------------------------------------------------- */

#define KEPT 32
#define TEXTS 40 /* all texts of up to three letters a, b, c */

typedef struct model_peer {
  bool live;
  mcq_peer_t handle;
  bool holds[TEXTS];
} model_peer_t;

enum {
  SAW_NEW,
  SAW_RENEWED,
  SAW_STALE_RENEWAL,
  SAW_DOWN,
  SAW_STALE_DOWN,
  SAW_SUBSCRIBED,
  SAW_FIRST,
  SAW_AGAIN,
  SAW_LIMIT,
  SAW_STALE_SUBSCRIBE,
  SAW_CANCELLED,
  SAW_LAST,
  SAW_NOT_HELD,
  SAW_STALE_CANCEL,
  SAW_TOLD,
  SAW_MISSED,
  SAW_RETRIED,
  SAW_ALL_OR_NOBODY,
  SAW_NO_MEMORY,
  OUTCOMES
};

typedef struct pair {
  bench_t* bench;
  model_peer_t peers[PEERS];
  mcq_peer_t kept[KEPT];
  uint64_t epochs;
  test_random_t dice;
  uint64_t seed;
  size_t step;
  size_t counts[OUTCOMES];
  bool reported[TEXTS]; /* by the `gone` of this step */
  bool last[TEXTS];
} pair_t;

#define expect(p, truth)                                           \
  do {                                                             \
    if (!(truth))                                                  \
      fail_msg("MCQ_TEST_SEED=%llu, step %zu: %s",                 \
               (unsigned long long) (p)->seed, (p)->step, #truth); \
  } while (0)

static size_t roll(pair_t* p, size_t n) {
  return test_random_below(&p->dice, n);
}

/* The i-th text: "", a, b, c, aa, ab, ... */
static mcq_frame_t text_of(size_t i, char room[4]) {
  size_t len = i == 0 ? 0 : i < 4 ? 1 : i < 13 ? 2 : 3;
  size_t rest = i - (len == 0 ? 0 : len == 1 ? 1 : len == 2 ? 4 : 13);
  for (size_t j = len; j-- > 0; rest /= 3) room[j] = (char) ('a' + rest % 3);
  mcq_frame_t f = {room, len};
  return f;
}

static size_t index_of(mcq_frame_t text) {
  char room[4];
  for (size_t i = 0; i < TEXTS; i++) {
    mcq_frame_t f = text_of(i, room);
    if (f.len == text.len &&
        (f.len == 0 || memcmp(room, text.data, f.len) == 0))
      return i;
  }
  fail_msg("not a text of ours");
  return 0;
}

static size_t holders_of(const pair_t* p, size_t text) {
  size_t n = 0;
  for (size_t i = 0; i < PEERS; i++)
    n += p->peers[i].live && p->peers[i].holds[text];
  return n;
}

static int owner_of(const pair_t* p, mcq_peer_t handle) {
  for (int i = 0; i < PEERS; i++)
    if (p->peers[i].live && same_peer(p->peers[i].handle, handle)) return i;
  return -1;
}

static mcq_peer_t any_handle(pair_t* p) {
  if (roll(p, 6) == 0) return p->kept[roll(p, KEPT)];
  return p->peers[roll(p, PEERS)].handle;
}

static void on_model_gone(void* arg, mcq_frame_t prefix, bool last) {
  pair_t* p = (pair_t*) arg;
  size_t text = index_of(prefix);
  expect(p, !p->reported[text]);
  p->reported[text] = true;
  p->last[text] = last;
}

/* What was reported is what `who` held, nothing else; it holds nothing now. */
static void expect_gone(pair_t* p, int who) {
  for (size_t i = 0; i < TEXTS; i++) {
    bool held = who >= 0 && p->peers[who].holds[i];
    expect(p, p->reported[i] == held);
    if (held) expect(p, p->last[i] == (holders_of(p, i) == 1));
  }
  if (who >= 0) memset(p->peers[who].holds, 0, sizeof p->peers[who].holds);
}

static void model_up(pair_t* p) {
  size_t port = roll(p, PEERS);
  model_peer_t* q = &p->peers[port];
  mcq_peer_t again = nobody;
  if (q->live) {
    again = q->handle;
  } else if (roll(p, 4) == 0) {
    again = p->kept[roll(p, KEPT)];
    if (owner_of(p, again) >= 0) again = nobody;
  }
  bool stale = !q->live && again.epoch != 0;
  bool starved = roll(p, 8) == 0;
  mcq__hub_event_t ev = {
      MCQ__HUB_UP, again, &p->bench->fakes[port].port, {NULL, 0}};
  mcq_peer_t out = nobody;
  memset(p->reported, 0, sizeof p->reported);
  if (starved) test_alloc_fail_next(&p->bench->memory.alloc, true);
  int rc = mcq__pubsub_up(&p->bench->hub, &ev, &out, on_model_gone, p);
  p->bench->memory.alloc.fail_at = 0;
  expect_gone(p, rc == 0 && q->live ? (int) port : -1);
  if (stale) {
    expect(p, rc == MCQ_EPEERGONE);
    p->counts[SAW_STALE_RENEWAL]++;
    return;
  }
  if (rc == MCQ_ENOMEM && starved) return;
  expect(p, rc == 0 && out.epoch == ++p->epochs);
  expect(p, !q->live || out.slot == q->handle.slot);
  p->counts[q->live ? SAW_RENEWED : SAW_NEW]++;
  q->live = true;
  q->handle = out;
  p->kept[roll(p, KEPT)] = out;
}

static void model_down(pair_t* p) {
  mcq_peer_t handle = any_handle(p);
  int owner = owner_of(p, handle);
  memset(p->reported, 0, sizeof p->reported);
  bool gone = mcq__pubsub_down(&p->bench->hub, handle, on_model_gone, p);
  expect(p, gone == (owner >= 0));
  expect_gone(p, owner);
  if (owner >= 0) p->peers[owner].live = false;
  p->counts[gone ? SAW_DOWN : SAW_STALE_DOWN]++;
}

static size_t held_by(const pair_t* p, int who) {
  size_t n = 0;
  for (size_t i = 0; i < TEXTS; i++) n += p->peers[who].holds[i];
  return n;
}

static void model_subscribe(pair_t* p) {
  char room[4];
  size_t text = roll(p, TEXTS);
  mcq_peer_t handle = any_handle(p);
  int owner = owner_of(p, handle);
  int expected = 0;
  bool first = true;
  if (owner < 0) {
    expected = MCQ_EPEERGONE;
  } else if (p->peers[owner].holds[text]) {
    expected = MCQ_EEXIST;
  } else if (held_by(p, owner) >= p->bench->hub.limits.prefixes) {
    expected = MCQ_EMSGLIMIT;
  }
  bool starved = roll(p, 8) == 0;
  if (starved) test_alloc_fail_next(&p->bench->memory.alloc, true);
  int rc = mcq__pubsub_subscribe(&p->bench->hub, handle, text_of(text, room),
                                 &first);
  p->bench->memory.alloc.fail_at = 0;
  if (rc == MCQ_ENOMEM && starved && expected == 0) {
    p->counts[SAW_NO_MEMORY]++;
    return;
  }
  expect(p, rc == expected);
  expect(p, first == (rc == 0 && holders_of(p, text) == 0));
  p->counts[rc == 0               ? SAW_SUBSCRIBED
            : rc == MCQ_EEXIST    ? SAW_AGAIN
            : rc == MCQ_EMSGLIMIT ? SAW_LIMIT
                                  : SAW_STALE_SUBSCRIBE]++;
  p->counts[SAW_FIRST] += first;
  if (rc == 0) p->peers[owner].holds[text] = true;
}

static void model_cancel(pair_t* p) {
  char room[4];
  size_t text = roll(p, TEXTS);
  mcq_peer_t handle = any_handle(p);
  int owner = owner_of(p, handle);
  int expected = MCQ_EPEERGONE;
  bool last = true;
  if (owner >= 0) expected = p->peers[owner].holds[text] ? 0 : MCQ_ENOENT;
  int rc =
      mcq__pubsub_cancel(&p->bench->hub, handle, text_of(text, room), &last);
  expect(p, rc == expected);
  expect(p, last == (rc == 0 && holders_of(p, text) == 1));
  p->counts[rc == 0            ? SAW_CANCELLED
            : rc == MCQ_ENOENT ? SAW_NOT_HELD
                               : SAW_STALE_CANCEL]++;
  p->counts[SAW_LAST] += last;
  if (rc == 0) p->peers[owner].holds[text] = false;
}

typedef struct misses {
  pair_t* p;
  bool again[PEERS]; /* what will be answered for whom */
  bool room[PEERS];  /* and whether there is room then */
  bool seen[PEERS];
  bool asked_again[PEERS];
} misses_t;

static bool on_model_missed(void* arg, mcq_peer_t peer, int code,
                            uint64_t count) {
  misses_t* m = (misses_t*) arg;
  expect(m->p, count == 1);
  int owner = owner_of(m->p, peer);
  expect(m->p, owner >= 0 && m->seen[owner] == m->asked_again[owner]);
  expect(m->p, code == m->p->bench->fakes[owner].answer && code != 0);
  m->seen[owner] = true;
  if (m->room[owner]) m->p->bench->fakes[owner].answer = 0;
  m->asked_again[owner] = m->again[owner] && !m->asked_again[owner];
  return m->asked_again[owner];
}

static bool is_meant(const pair_t* p, size_t who, size_t topic, bool invert) {
  char room[4];
  char held[4];
  mcq_frame_t text = text_of(topic, room);
  if (!p->peers[who].live) return false;
  for (size_t i = 0; i < TEXTS; i++) {
    mcq_frame_t prefix = text_of(i, held);
    if (p->peers[who].holds[i] && prefix.len <= text.len &&
        memcmp(held, room, prefix.len) == 0)
      return !invert;
  }
  return invert;
}

/* What happened to one peer that was meant to have the message, or was not. */
static bool expect_fate(pair_t* p, const misses_t* m, size_t who, bool meant,
                        int answer, uint64_t told) {
  bool missed = meant && answer != 0;
  bool took = meant && (answer == 0 || (m->again[who] && m->room[who]));
  expect(p, m->seen[who] == missed);
  expect(p, told == took);
  p->counts[took ? SAW_TOLD : SAW_MISSED] += meant;
  p->counts[SAW_RETRIED] += missed && took;
  return took;
}

static void model_publish(pair_t* p) {
  static const int answers[] = {0, 0, 0, MCQ_EAGAIN, MCQ_EAGAIN, MCQ_ENOMEM};
  char room[4];
  misses_t misses = {.p = p};
  size_t topic = roll(p, TEXTS);
  int flags = roll(p, 3) == 0 ? INVERT : 0;
  if (roll(p, 3) == 0) flags |= REFUSE;
  bool quiet = roll(p, 2) == 0;
  bool meant[PEERS];
  int before[PEERS];
  uint64_t told[PEERS];
  bool held_back = false;
  for (size_t i = 0; i < PEERS; i++) {
    fake_peer_t* fake = &p->bench->fakes[i];
    fake->answer = quiet ? 0 : answers[roll(p, 6)];
    misses.again[i] = roll(p, 2) == 0;
    misses.room[i] = roll(p, 2) == 0;
    before[i] = fake->answer;
    told[i] = fake->told;
    meant[i] = is_meant(p, i, topic, (flags & INVERT) != 0);
    held_back |=
        (flags & REFUSE) != 0 && meant[i] && fake->answer == MCQ_EAGAIN;
  }
  mcq_frame_t part = text_of(topic, room);
  mcq__body_t body = {.frames = &part, .count = 1};
  size_t calls = atomic_load(&p->bench->memory.alloc.calls);
  int rc = publish_body(&p->bench->hub, &body, flags, on_model_missed, &misses);
  expect(p, atomic_load(&p->bench->memory.alloc.calls) == calls);
  expect(p, !held_back || rc == MCQ_EAGAIN);
  int sum = 0;
  for (size_t i = 0; i < PEERS; i++)
    sum += expect_fate(p, &misses, i, meant[i] && !held_back, before[i],
                       p->bench->fakes[i].told - told[i]);
  expect(p, held_back || rc == sum);
  p->counts[SAW_ALL_OR_NOBODY] += held_back;
}

static void hub_is_its_model(void** state) {
  static pair_t pair;
  pair_t* p = &pair;
  memset(p, 0, sizeof *p);
  p->bench = (bench_t*) *state;
  p->bench->hub.limits.prefixes = TEXTS / 2;
  const char* seed = getenv("MCQ_TEST_SEED");
  const char* text = getenv("MCQ_TEST_STEPS");
  p->seed = seed == NULL || *seed == '\0' ? 20260101 : strtoull(seed, NULL, 0);
  p->dice.state = p->seed;
  size_t steps =
      text == NULL || *text == '\0' ? 1000000 : strtoull(text, NULL, 0);
  for (p->step = 0; p->step < steps; p->step++) {
    size_t what = roll(p, 100);
    if (what < 4) {
      model_up(p);
    } else if (what < 5) {
      model_down(p);
    } else if (what < 40) {
      model_subscribe(p);
    } else if (what < 65) {
      model_cancel(p);
    } else {
      model_publish(p);
    }
    if (p->step % 64 != 0) continue;
    const char* fault = prefix_fault(&p->bench->hub.prefixes);
    if (fault == NULL) fault = roster_fault(&p->bench->hub.roster);
    if (fault != NULL)
      fail_msg("MCQ_TEST_SEED=%llu, step %zu: %s", (unsigned long long) p->seed,
               p->step, fault);
    size_t distinct = 0;
    for (size_t i = 0; i < TEXTS; i++) distinct += holders_of(p, i) > 0;
    expect(p, distinct == mcq__pubsub_prefixes(&p->bench->hub));
  }
  /* A run in which something never happened has not tested it. */
  for (size_t i = 0; i < OUTCOMES && steps >= 100000; i++)
    if (p->counts[i] == 0)
      fail_msg("MCQ_TEST_SEED=%llu: outcome %zu not seen",
               (unsigned long long) p->seed, i);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(zeroed_is_disposable),
      cmocka_unit_test_setup_teardown(each_is_told_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_longer_prefix_tells_more, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(the_only_one_is_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(topic_is_the_first_frame, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(subscriptions_are_a_set, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(an_epoch_takes_its_prefixes_along, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(inverting_tells_the_others, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(who_is_full_loses_alone, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(refusing_tells_all_or_nobody, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(promises_are_told_at_once, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(promises_are_for_those_with_room, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(promises_are_kept_before_changes, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(promises_change_nothing, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(one_peer_can_be_told_anything, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(limits_hold_and_let_go, set_up,
                                      tear_down),
      cmocka_unit_test(out_of_memory_changes_nothing),
      cmocka_unit_test_setup_teardown(hub_is_its_model, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
