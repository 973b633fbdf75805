/* SPDX-License-Identifier: MIT */
/* A subscriber that stops reading, counted to the message: what the kernel
 * took, as many as the mark says behind that, and of each message after it the
 * policy's fate and a place in the counters.  Then it reads on, to the end,
 * and the sums are right.  One that listens beside it misses nothing.  Over
 * real tcp on every back end; the stalled one is a bare socket. */
#include "support/topics.h"

/* More than a write takes at once, so that what is in flight does not fill the
 * queue by itself. */
#define MARK 24
#define BODY ((size_t) 65536)
#define AFTER 60 /* messages said once the queue is full */
#define MOST 1000

typedef struct hall {
  stage_t g;
  fan_t pub, quick;
  raw_t stalled;
  mcq_peer_t peer; /* the stalled one */
  uint32_t said;
  uint32_t next; /* that the quick one is to hear */
  bool accepted[MOST];
  uint64_t took;    /* of these, for the stalled one */
  uint64_t dropped; /* as they were said */
} hall_t;

static uint8_t body[BODY];

/* ---- who listens --------------------------------------------------------- */

static void take_next(player_t* p, mcq_peer_t peer, mcq_msg_t* msg) {
  hall_t* h = (hall_t*) p->arg;
  uint32_t number;
  (void) peer;
  memcpy(&number, mcq_msg_frame(msg, 0).data, sizeof number);
  assert_int_equal(number, h->next++);
  assert_int_equal(mcq_msg_size(msg), sizeof number + BODY);
}

static void open_hall(hall_t* h, int backend, int slow_peer) {
  memset(h, 0, sizeof *h);
  stage_open(&h->g, backend, false);
  fan_open(&h->pub, &h->g,
           (mcq_socket_options_t){.type = MCQ_PUB,
                                  .slow_peer = slow_peer,
                                  .sndhwm = MARK,
                                  .sndhwm_bytes = -1});
  player_bind(&h->pub.p);
  fan_open(&h->quick, &h->g, (mcq_socket_options_t){.type = MCQ_SUB});
  fan_deaf(&h->quick);
  h->quick.p.on_message = take_next;
  h->quick.p.arg = h;
  follow(&h->quick, "");
  fan_join(&h->quick, &h->pub);
  raw_open(&h->stalled, &h->g);
  raw_connect(&h->stalled, &h->pub.p);
  raw_hello(&h->stalled, 1, "SUB");
  raw_command(&h->stalled, "SUBSCRIBE", "");
  until(&h->g, h->pub.subscribed == 2);
  raw_greeted(&h->stalled);
  h->peer = h->pub.p.peer;
}

static void close_hall(hall_t* h) {
  raw_close(&h->stalled);
  stage_close(&h->g);
}

/* ---- who speaks ---------------------------------------------------------- */

static uint64_t queued(const hall_t* h) {
  return player_stats(&h->pub.p).messages_queued;
}

static int utter(hall_t* h) {
  mcq_frame_t frames[2] = {{&h->said, sizeof h->said}, {body, BODY}};
  assert_true(h->said < MOST);
  h->g.in_call = true;
  int rc = mcq_send(h->pub.p.s, frames, 2);
  h->g.in_call = false;
  return rc;
}

/* Says one more.  Whatever becomes of the stalled one's: it is taken or
 * dropped, exactly one of the two. */
static void say_one(hall_t* h) {
  mcq_stats_t before = player_stats(&h->pub.p);
  assert_int_equal(utter(h), 0);
  mcq_stats_t after = player_stats(&h->pub.p);
  uint64_t sent = after.messages_sent - before.messages_sent;
  uint64_t dropped = after.messages_dropped - before.messages_dropped;
  assert_in_range(sent, 1, 2);
  assert_in_range(dropped, 0, 1);
  h->accepted[h->said] = sent == 2;
  h->took += sent == 2;
  h->dropped += sent == 1;
  h->said++;
}

/* The quick one has it all. */
static void catch_up(hall_t* h) {
  until(&h->g, h->next == h->said);
  assert_true(queued(h) <= MARK);
}

/* Until the queue of the stalled one has as many as it may. */
static void fill(hall_t* h) {
  while (queued(h) < MARK) {
    say_one(h);
    catch_up(h);
    assert_int_equal(player_stats(&h->pub.p).messages_dropped, 0);
  }
  assert_int_equal(queued(h), MARK);
}

/* ---- the stalled one reads on -------------------------------------------- */

/* The next message of the stalled one: its number. */
static uint32_t hear_one(hall_t* h) {
  const uint8_t* bytes;
  size_t len;
  uint32_t number;
  assert_int_equal(raw_frame(&h->stalled, &bytes, &len), 1);
  assert_int_equal(len, sizeof number);
  memcpy(&number, bytes, sizeof number);
  raw_expect(&h->stalled, 2, body, BODY);
  return number;
}

/* Nothing comes any more but what is said next. */
static void hear_the_end(hall_t* h) {
  stage_turns(&h->g, 3);
  assert_int_equal(queued(h), 0);
  assert_int_equal(utter(h), 0);
  assert_int_equal(hear_one(h), h->said);
  until(&h->g, h->next == ++h->said);
}

/* What events told, what counters say and what was said are one. */
static void add_up(hall_t* h, uint64_t heard) {
  mcq_stats_t stats = player_stats(&h->pub.p);
  stage_turns(&h->g, 2);
  assert_int_equal(heard + stats.messages_dropped, h->said);
  assert_int_equal(h->pub.dropped, stats.messages_dropped);
  if (stats.messages_dropped != 0)
    assert_true(h->pub.dropped_by.epoch == h->peer.epoch);
  assert_int_equal(h->next, h->said);
  assert_int_equal(stats.messages_lost, 0);
  assert_int_equal(h->pub.p.downs, 0);
}

/* ---- the policies -------------------------------------------------------- */

static void the_newest(int backend) {
  static hall_t h;
  open_hall(&h, backend, MCQ_SLOW_DROP_NEWEST);
  fill(&h);
  for (unsigned i = 0; i < AFTER; i++) {
    uint64_t waiting = queued(&h);
    say_one(&h);
    if (i % 4 == 3) catch_up(&h);
    if (!h.accepted[h.said - 1]) assert_in_range(waiting, MARK, MARK + i % 4);
    assert_int_equal(player_stats(&h.pub.p).messages_dropped, h.dropped);
  }
  assert_true(h.dropped > 0);
  uint64_t heard = 0;
  for (uint32_t i = 0; i < h.said; i++) {
    if (!h.accepted[i]) continue;
    assert_int_equal(hear_one(&h), i);
    heard++;
  }
  assert_int_equal(heard, h.took);
  add_up(&h, heard);
  hear_the_end(&h);
  close_hall(&h);
}

static void the_oldest(int backend) {
  static hall_t h;
  open_hall(&h, backend, MCQ_SLOW_DROP_OLDEST);
  fill(&h);
  for (unsigned i = 0; i < AFTER; i++) {
    uint64_t dropped = player_stats(&h.pub.p).messages_dropped;
    uint64_t waiting = queued(&h);
    say_one(&h);
    catch_up(&h);
    assert_true(h.accepted[h.said - 1]);
    if (player_stats(&h.pub.p).messages_dropped != dropped)
      assert_int_equal(waiting, MARK);
  }
  uint64_t dropped = player_stats(&h.pub.p).messages_dropped;
  assert_true(dropped > 0);
  uint64_t heard = 0;
  uint32_t last = 0;
  for (; heard + dropped < h.said; heard++) {
    uint32_t number = hear_one(&h);
    assert_true(heard == 0 || number > last);
    /* The newest of them wait, all but one that may have been begun. */
    if (h.said - last < MARK) assert_int_equal(number, last + 1);
    last = number;
  }
  assert_int_equal(last, h.said - 1);
  add_up(&h, heard);
  hear_the_end(&h);
  close_hall(&h);
}

static void nobody(int backend) {
  static hall_t h;
  open_hall(&h, backend, MCQ_SLOW_REFUSE);
  fill(&h);
  uint64_t refused = 0;
  for (unsigned i = 0; i < AFTER; i++) {
    uint64_t waiting = queued(&h);
    uint64_t sent = player_stats(&h.pub.p).messages_sent;
    int rc = utter(&h);
    uint64_t more = player_stats(&h.pub.p).messages_sent - sent;
    assert_int_equal(more, rc == 0 ? 2 : 0); /* both of them or none */
    if (rc == 0) {
      until(&h.g, h.next == ++h.said);
      continue;
    }
    assert_int_equal(rc, MCQ_EAGAIN);
    assert_int_equal(waiting, MARK);
    refused++;
    stage_turns(&h.g, 2);
  }
  assert_true(refused > 0);
  assert_int_equal(player_stats(&h.pub.p).sends_refused, refused);
  for (uint32_t i = 0; i < h.said; i++) assert_int_equal(hear_one(&h), i);
  assert_int_equal(h.pub.p.drains, 1);
  add_up(&h, h.said);
  hear_the_end(&h);
  close_hall(&h);
}

/* What the kernel had is all that arrives. */
static void cut_off(int backend) {
  static hall_t h;
  open_hall(&h, backend, MCQ_SLOW_DISCONNECT);
  fill(&h);
  while (h.pub.p.downs == 0) {
    say_one(&h);
    catch_up(&h);
  }
  assert_int_equal(h.pub.p.reason, MCQ_ESLOW);
  mcq_stats_t stats = player_stats(&h.pub.p);
  assert_int_equal(stats.messages_dropped, 1);
  assert_int_equal(h.dropped, 1);
  assert_int_equal(h.pub.dropped, 1);
  assert_true(h.pub.dropped_by.epoch == h.peer.epoch);
  assert_int_equal(stats.messages_lost, h.pub.p.lost);
  uint64_t heard = 0;
  uint64_t kept = h.pub.p.lost + h.pub.p.unsure;
  for (; heard + kept < h.took; heard++) assert_int_equal(hear_one(&h), heard);
  until(&h.g, (raw_look(&h.stalled), h.stalled.ended));
  /* Of what was in flight some may have gone after all, as a whole only where
   * others than the kernel do the writing. */
  uint64_t more = (h.stalled.in.len - h.stalled.at) / (BODY + 15);
  assert_true(more <= (backend == MCQ_BACKEND_UV ? 0 : h.pub.p.unsure));
  /* One of those that waited may have been begun. */
  assert_true(h.pub.p.lost == MARK || h.pub.p.lost + 1 == MARK);
  assert_int_equal(heard + kept + stats.messages_dropped, h.said);
  say_one(&h); /* to one alone */
  catch_up(&h);
  close_hall(&h);
}

/* Again and again: it reads a little, so that there is room, and stops. */
static void now_and_then(int backend) {
  static hall_t h;
  uint64_t heard = 0;
  open_hall(&h, backend, MCQ_SLOW_DROP_NEWEST);
  uint32_t at = 0;
  for (unsigned round = 0; round < 5; round++) {
    for (unsigned i = 0; i < AFTER; i++) {
      say_one(&h);
      if (i % 8 == 7) catch_up(&h);
    }
    catch_up(&h);
    for (unsigned i = 0; i < 10; i++, heard++) {
      while (!h.accepted[at]) at++;
      assert_int_equal(hear_one(&h), at++);
    }
  }
  for (; heard < h.took; heard++) {
    while (!h.accepted[at]) at++;
    assert_int_equal(hear_one(&h), at++);
  }
  assert_true(h.dropped > 0);
  add_up(&h, heard);
  hear_the_end(&h);
  close_hall(&h);
}

/* ---- all of them --------------------------------------------------------- */

static const scene_t scenes[] = {
    {"the_newest", the_newest},
    {"the_oldest", the_oldest},
    {"nobody", nobody},
    {"cut_off", cut_off},
    {"now_and_then", now_and_then},
};

int main(void) {
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
