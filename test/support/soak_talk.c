/* SPDX-License-Identifier: MIT */
/* Sockets that say and hear whatever their type allows (see soak.h).  Never
 * decides who comes and goes. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/soak.h"

#define TOPICS 40

void soak_give_up(const char* file, int line) {
  fprintf(stderr, "soak: %s:%d: gave up\n", file, line);
  _exit(3);
}

const void* soak_bytes(void) {
  static uint8_t bytes[SOAK_LARGEST];
  return bytes;
}

/* ---- who gets on with whom ----------------------------------------------- */

int soak_mate(test_random_t* random, int type) {
  static const struct {
    int count;
    int types[3];
  } mates[] = {
      [MCQ_PAIR] = {1, {MCQ_PAIR}},
      [MCQ_PUB] = {2, {MCQ_SUB, MCQ_XSUB}},
      [MCQ_SUB] = {2, {MCQ_PUB, MCQ_XPUB}},
      [MCQ_REQ] = {2, {MCQ_REP, MCQ_ROUTER}},
      [MCQ_REP] = {2, {MCQ_REQ, MCQ_DEALER}},
      [MCQ_DEALER] = {3, {MCQ_ROUTER, MCQ_DEALER, MCQ_REP}},
      [MCQ_ROUTER] = {3, {MCQ_DEALER, MCQ_REQ, MCQ_ROUTER}},
      [MCQ_PULL] = {1, {MCQ_PUSH}},
      [MCQ_PUSH] = {1, {MCQ_PULL}},
      [MCQ_XPUB] = {2, {MCQ_SUB, MCQ_XSUB}},
      [MCQ_XSUB] = {2, {MCQ_PUB, MCQ_XPUB}},
      [MCQ_STREAM] = {1, {MCQ_STREAM}},
  };
  size_t which = test_random_below(random, (size_t) mates[type].count);
  return mates[type].types[which];
}

/* ---- what is said -------------------------------------------------------- */

static size_t some_length(soak_talker_t* t) {
  if (soak_one_in(t->random, 2000)) return 2 << 20;
  if (soak_one_in(t->random, 200))
    return 20000 + test_random_below(t->random, 200000);
  return test_random_below(t->random, 1500);
}

static void count(soak_talker_t* t, int rc) {
  if (rc == 0)
    t->said++;
  else
    t->refused++;
}

/* A topic, or what a REP expects, and one or two frames more. */
static void say(soak_talker_t* t) {
  char topic = (char) ('A' + test_random_below(t->random, TOPICS));
  size_t head = t->type == MCQ_DEALER ? 0 : 1;
  mcq_frame_t frames[3] = {{&topic, head},
                           {soak_bytes(), some_length(t)},
                           {soak_bytes(), test_random_below(t->random, 50)}};
  count(t, mcq_send(t->s, frames, 2 + test_random_below(t->random, 2)));
}

static void ask(soak_talker_t* t) {
  if (t->asking) return;
  uint64_t before = t->said;
  say(t);
  t->asking = t->said > before;
}

static void toggle(soak_talker_t* t, size_t which) {
  char topic = (char) ('A' + which);
  bool has = (t->topics >> which & 1) != 0;
  if (has)
    SOAK_MUST(mcq_unsubscribe(t->s, &topic, 1) == 0);
  else
    SOAK_MUST(mcq_subscribe(t->s, &topic, 1) == 0);
  t->topics ^= UINT64_C(1) << which;
}

static void follow(soak_talker_t* t) {
  toggle(t, test_random_below(t->random, TOPICS));
}

/* To somebody who is not there. */
static void miss(soak_talker_t* t) {
  mcq_frame_t frames[2] = {{"nobody", 6}, {"x", 1}};
  count(t, mcq_send(t->s, frames, 2));
}

static void change_mind(soak_talker_t* t) {
  if (t->paused) {
    if (!soak_one_in(t->random, 20)) return;
    SOAK_MUST(mcq_resume(t->s) == 0);
    t->paused = false;
  } else if (soak_one_in(t->random, 300)) {
    SOAK_MUST(mcq_pause(t->s) == 0);
    t->paused = true;
  }
}

void soak_talk(soak_talker_t* t) {
  if (t->closing) return;
  change_mind(t);
  if (t->kept != NULL && soak_one_in(t->random, 50)) {
    mcq_msg_release(t->kept);
    t->kept = NULL;
  }
  switch (t->type) {
    case MCQ_PAIR:
    case MCQ_PUB:
    case MCQ_XPUB:
    case MCQ_PUSH:
    case MCQ_DEALER:
      say(t);
      break;
    case MCQ_REQ:
      ask(t);
      break;
    case MCQ_SUB:
    case MCQ_XSUB:
      follow(t);
      break;
    case MCQ_ROUTER:
    case MCQ_STREAM:
      miss(t);
      break;
    default:
      break;
  }
}

/* ---- what is heard ------------------------------------------------------- */

static void answer(soak_talker_t* t, const mcq_msg_t* msg) {
  mcq_request_t* request;
  if (!soak_one_in(t->random, 8)) {
    count(t, mcq_send_msg(t->s, msg));
    return;
  }
  SOAK_MUST(mcq_request_take(t->s, &request) == 0);
  if (soak_one_in(t->random, 4))
    mcq_request_drop(request);
  else
    count(t, mcq_request_reply_msg(request, msg));
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  soak_talker_t* t = (soak_talker_t*) mcq_socket_data(s);
  t->heard++;
  t->asking = false;
  if (t->type == MCQ_REP) answer(t, msg);
  /* Two that send back all they hear would never come to an end. */
  bool echoes = t->type == MCQ_ROUTER || t->type == MCQ_STREAM;
  if (echoes && (t->serves || !soak_one_in(t->random, 10)))
    count(t, mcq_send_msg_to(s, peer, msg));
  if (t->kept == NULL && soak_one_in(t->random, 20))
    t->kept = mcq_msg_retain(msg);
  if (soak_one_in(t->random, 500)) (void) mcq_peer_close(s, peer);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  soak_talker_t* t = (soak_talker_t*) mcq_socket_data(s);
  mcq_frame_t hello = {soak_bytes(), 1 + some_length(t)};
  bool begins = t->type == MCQ_ROUTER || t->type == MCQ_STREAM;
  if (begins && !t->serves) count(t, mcq_send_to(s, info->peer, &hello, 1));
}

static void on_failed(mcq_socket_t* s, int code) {
  (void) code;
  ((soak_talker_t*) mcq_socket_data(s))->asking = false;
}

static void on_closed(const mcq_close_info_t* info) {
  ((soak_talker_t*) info->data)->closed = true;
}

/* ---- life ---------------------------------------------------------------- */

void soak_open(soak_talker_t* t, mcq_ctx_t* ctx, int type, bool serves,
               test_random_t* random) {
  static const int64_t lingers[] = {MCQ_LINGER_NONE, 1, 50, 1000};
  memset(t, 0, sizeof *t);
  t->type = type;
  t->serves = serves;
  t->random = random;
  mcq_socket_options_t o = {.type = type,
                            .data = t,
                            .on_message = on_message,
                            .on_peer_up = on_up,
                            .on_request_failed = on_failed,
                            .sndhwm = 100,
                            .sndhwm_bytes = 1 << 20,
                            .reconnect_ms = 5,
                            .reconnect_max_ms = 50,
                            .handshake_ms = 500,
                            .linger_ms = lingers[test_random_below(random, 4)]};
  if (type != MCQ_STREAM) o.heartbeat_ms = 200;
  if (type != MCQ_STREAM) o.heartbeat_timeout_ms = 400;
  if (type == MCQ_REQ) o.request_ms = 300;
  if (type == MCQ_REQ) o.flags = MCQ_REQ_CORRELATE;
  if (type == MCQ_PUB || type == MCQ_XPUB)
    o.slow_peer = (int) test_random_below(random, 3);
  SOAK_MUST(mcq_socket_new(ctx, &o, &t->s) == 0);
  for (int i = 0; i < 8; i++)
    if (type == MCQ_SUB || type == MCQ_XSUB) follow(t);
}

void soak_rest(soak_talker_t* t) {
  if (t->kept != NULL) mcq_msg_release(t->kept);
  t->kept = NULL;
  if (t->paused && !t->closing) SOAK_MUST(mcq_resume(t->s) == 0);
  t->paused = false;
  for (size_t i = 0; i < TOPICS && !t->closing; i++)
    if ((t->topics >> i & 1) != 0) toggle(t, i);
}

void soak_close(soak_talker_t* t) {
  if (t->closing) return;
  soak_rest(t);
  t->closing = true;
  mcq_close(t->s, on_closed);
}
