/* SPDX-License-Identifier: MIT */
/* What is told of endpoints and connections, and in which order: the exact
 * words for a connection that is made, refused, not agreed on, lost and made
 * again, taken over, closed; on every transport, every back end and the
 * simulated network, which all tell the same. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/papers.h"
#include "support/place.h"

#define DIARY_MAX 1024

typedef struct scene {
  ground_t g; /* first: the context's data */
  unsigned names;
} scene_t;

/* A socket that writes down every callback as a word. */
typedef struct writer {
  ground_t* g;
  mcq_socket_t* s;
  mcq_endpoint_t end;
  char uri[PLACE_URI_MAX + 64];
  char diary[DIARY_MAX];
  bool calling;
  bool closed;
  mcq_peer_t peer;  /* of the last up */
  mcq_event_t last; /* its pointers are stale */
  char last_id[16];
  size_t last_id_len;
  char last_address[128];
  uint64_t wait_ms;          /* until the last attempt */
  mcq_event_kind_t close_at; /* closes itself when it is told this */
} writer_t;

static void write_word(writer_t* w, const char* word, int code) {
  size_t len = strlen(w->diary);
  const char* name = code == 0 ? "" : mcq_err_name(code);
  assert_false(w->calling);
  /* What nobody looks at any more need not be written down. */
  if (len + strlen(word) + strlen(name) + 3 > DIARY_MAX) return;
  snprintf(w->diary + len, DIARY_MAX - len, "%s%s%s%s", len == 0 ? "" : " ",
           word, code == 0 ? "" : ":", name);
}

static void on_closed(const mcq_close_info_t* info) {
  writer_t* w = (writer_t*) info->data;
  write_word(w, "gone", 0);
  w->closed = true;
}

static void end_socket(writer_t* w) {
  w->calling = true;
  mcq_close(w->s, on_closed);
  w->calling = false;
}

static void on_event(mcq_socket_t* s, const mcq_event_t* e) {
  writer_t* w = (writer_t*) mcq_socket_data(s);
  if (e->kind == MCQ_EVENT_BACKEND) return; /* of the system this runs on */
  assert_non_null(e->address);
  assert_non_null(e->text);
  write_word(w, mcq_event_name(e->kind), e->code);
  w->last = *e;
  if (e->kind == MCQ_EVENT_RETRY) w->wait_ms = e->wait_ms;
  snprintf(w->last_address, sizeof w->last_address, "%s", e->address);
  assert_true(e->routing_id_len <= sizeof w->last_id);
  w->last_id_len = e->routing_id_len;
  if (e->routing_id_len != 0)
    memcpy(w->last_id, e->routing_id, e->routing_id_len);
  if (e->kind == w->close_at) end_socket(w);
}

static void on_up(mcq_socket_t* s, const mcq_peer_info_t* info) {
  writer_t* w = (writer_t*) mcq_socket_data(s);
  /* The event came first and spoke of the same peer. */
  assert_int_equal(w->last.kind, MCQ_EVENT_HANDSHAKE_OK);
  assert_true(w->last.peer.epoch == info->peer.epoch);
  assert_int_equal(w->last_id_len, info->routing_id_len);
  if (w->last_id_len != 0)
    assert_memory_equal(w->last_id, info->routing_id, w->last_id_len);
  assert_string_equal(w->last_address, info->address);
  w->peer = info->peer;
  write_word(w, "up", 0);
}

static void on_down(mcq_socket_t* s, const mcq_peer_info_t* info) {
  write_word((writer_t*) mcq_socket_data(s), "down", info->reason);
}

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  write_word((writer_t*) mcq_socket_data(s), "message", 0);
}

static void on_drain(mcq_socket_t* s) {
  write_word((writer_t*) mcq_socket_data(s), "drain", 0);
}

static void open_writer(writer_t* w, scene_t* c, mcq_socket_options_t o) {
  memset(w, 0, sizeof *w);
  w->g = &c->g;
  o.data = w;
  o.on_event = on_event;
  o.on_peer_up = on_up;
  o.on_peer_down = on_down;
  o.on_message = on_message;
  o.on_drain = on_drain;
  if (o.reconnect_ms == 0) o.reconnect_ms = 1;
  if (o.reconnect_max_ms == 0) o.reconnect_max_ms = 4;
  assert_int_equal(mcq_socket_new(c->g.ctx, &o, &w->s), 0);
}

static void bind_writer(writer_t* w, scene_t* c) {
  char room[PLACE_URI_MAX];
  const char* uri = place_uri(c->g.place, c->names++, room);
  w->calling = true;
  assert_int_equal(mcq_bind(w->s, uri, &w->end), 0);
  w->calling = false;
  snprintf(w->uri, sizeof w->uri, "%s", mcq_endpoint_uri(w->s, w->end));
}

static void connect_writer(writer_t* w, const writer_t* to) {
  w->calling = true;
  assert_int_equal(mcq_connect(w->s, to->uri, NULL, &w->end), 0);
  w->calling = false;
}

/* These are the next words.  They are crossed out. */
static void expect(writer_t* w, const char* words) {
  size_t len = strlen(words);
  ground_until(w->g, strlen(w->diary) >= len);
  char after = w->diary[len];
  w->diary[len] = '\0';
  assert_string_equal(w->diary, words);
  assert_true(after == '\0' || after == ' ');
  w->diary[len] = after;
  size_t rest = len + (after == ' ');
  memmove(w->diary, w->diary + rest, strlen(w->diary + rest) + 1);
}

/* One that comes somewhere before `other`. */
static void expect_before(writer_t* w, const char* word, const char* other) {
  ground_until(w->g, strstr(w->diary, word) != NULL);
  char* at = strstr(w->diary, word);
  const char* after = strstr(w->diary, other);
  assert_true(after == NULL || after > at);
  const char* rest = at + strlen(word);
  if (*rest == ' ')
    rest++;
  else if (at != w->diary)
    at--; /* it was the last one: the next brings its own space */
  memmove(at, rest, strlen(rest) + 1);
}

static void turns(scene_t* c, int n) {
  while (n-- > 0) (void) uv_run(&c->g.loop, UV_RUN_NOWAIT);
}

/* There is nothing else to be told. */
static void expect_no_more(scene_t* c, writer_t* w) {
  turns(c, 5);
  assert_string_equal(w->diary, "");
}

static void finish(scene_t* c) {
  ground_finish(&c->g);
  ground_run(&c->g);
}

/* ---- a connection that is made ------------------------------------------- */

static void it_is_made_used_and_ended(scene_t* c) {
  writer_t a, b;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_ROUTER});
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_DEALER});
  bind_writer(&b, c);
  expect(&b, "listening");
  assert_string_equal(b.last_address, b.uri);
  assert_true(b.last.endpoint == b.end && b.last.peer.epoch == 0);
  connect_writer(&a, &b);
  expect(&a, "connecting connected handshake-ok up");
  assert_true(a.last.endpoint == a.end);
  expect(&b, "accepted handshake-ok up");
  assert_true(b.last.endpoint == 0 && b.last_id_len > 0);
  assert_int_equal(mcq_send_text(a.s, "words"), 0);
  expect(&b, "message");
  mcq_peer_t peer = a.peer;
  assert_int_equal(mcq_disconnect(a.s, a.end), 0);
  expect(&a, "down:MCQ_ELOCAL disconnected:MCQ_ELOCAL closed");
  assert_true(a.last.endpoint == a.end && peer.epoch != 0);
  assert_string_equal(a.last_address, b.uri);
  peer = b.peer;
  expect(&b, "down:EOF disconnected:EOF");
  assert_true(b.last.peer.epoch == peer.epoch && b.last_id_len > 0);
  expect_no_more(c, &a);
  assert_int_equal(mcq_unbind(b.s, b.end), 0);
  expect(&b, "closed");
  assert_string_equal(b.last_address, b.uri);
  expect_no_more(c, &b);
  end_socket(&a);
  end_socket(&b);
  expect(&a, "gone");
  expect(&b, "gone");
  finish(c);
}

/* Closing says the same of all a socket has, and that it is gone at last. */
static void a_socket_is_closed(scene_t* c) {
  writer_t a, b;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PULL});
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_PUSH});
  bind_writer(&b, c);
  connect_writer(&a, &b);
  expect(&a, "connecting connected handshake-ok up");
  expect(&b, "listening accepted handshake-ok up");
  end_socket(&b);
  ground_until(&c->g, b.closed);
  /* It stops listening and parts with its peers, each in its own time. */
  assert_true(strcmp(b.diary,
                     "down:MCQ_ELOCAL disconnected:MCQ_ELOCAL closed "
                     "gone") == 0 ||
              strcmp(b.diary,
                     "closed down:MCQ_ELOCAL disconnected:MCQ_ELOCAL "
                     "gone") == 0);
  expect(&a, "down:EOF disconnected:EOF retry");
  assert_true(a.wait_ms >= 1);
  finish(c);
}

static void a_context_is_closed(scene_t* c) {
  writer_t a, b;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PAIR});
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_PAIR});
  bind_writer(&b, c);
  connect_writer(&a, &b);
  expect(&a, "connecting connected handshake-ok up");
  expect(&b, "listening accepted handshake-ok up");
  finish(c);
  assert_non_null(strstr(a.diary, "disconnected"));
  assert_non_null(strstr(a.diary, "closed"));
  assert_non_null(strstr(b.diary, "disconnected"));
  assert_non_null(strstr(b.diary, "closed"));
}

/* ---- one that is not ----------------------------------------------------- */

/* Whether words alternate as they should, whatever codes they carry. */
static bool goes_on_like(const char* diary, const char* const* cycle, size_t n,
                         size_t rounds) {
  size_t i = 0;
  while (*diary != '\0' && i < n * rounds) {
    size_t len = strcspn(diary, " :");
    if (strncmp(diary, cycle[i % n], len) != 0 || cycle[i % n][len] != '\0')
      return false;
    diary += strcspn(diary, " ");
    diary += *diary == ' ';
    i++;
  }
  return i == n * rounds;
}

static size_t count_words(const char* diary, const char* word) {
  size_t n = 0;
  for (; (diary = strstr(diary, word)) != NULL; diary++) n++;
  return n;
}

static void nobody_listens(scene_t* c) {
  static const char* const cycle[] = {"connecting", "connect-failed", "retry"};
  writer_t a, b;
  if (strncmp(c->g.place->uri, "inproc", 6) == 0) { /* it waits there */
    finish(c);
    return;
  }
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PULL});
  bind_writer(&b, c);
  assert_int_equal(mcq_unbind(b.s, b.end), 0);
  /* To listen is announced though it has ended: each says what was done. */
  expect(&b, "listening closed");
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_PUSH});
  connect_writer(&a, &b);
  ground_until(&c->g, count_words(a.diary, "retry") >= 4);
  assert_true(goes_on_like(a.diary, cycle, 3, 4));
  assert_true(a.wait_ms >= 1 && a.wait_ms <= 4);
  finish(c);
}

static void once_and_never_again(scene_t* c) {
  writer_t a, b;
  char words[120];
  if (strncmp(c->g.place->uri, "inproc", 6) == 0) {
    finish(c);
    return;
  }
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PULL});
  bind_writer(&b, c);
  assert_int_equal(mcq_unbind(b.s, b.end), 0);
  expect(&b, "listening closed");
  open_writer(&a, c,
              (mcq_socket_options_t){.type = MCQ_PUSH, .reconnect_ms = -1});
  connect_writer(&a, &b);
  ground_until(&c->g, strstr(a.diary, "stopped") != NULL);
  assert_true(a.last.code < 0);
  const char* name = mcq_err_name(a.last.code);
  snprintf(words, sizeof words, "connecting connect-failed:%s stopped:%s", name,
           name);
  expect(&a, words);
  expect_no_more(c, &a);
  assert_int_equal(mcq_disconnect(a.s, a.end), 0);
  expect(&a, "closed");
  finish(c);
}

/* These two have nothing to say to each other, and do not try again. */
static void they_do_not_agree(scene_t* c) {
  writer_t a, b;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PUB});
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_PUSH});
  bind_writer(&b, c);
  connect_writer(&a, &b);
  ground_until(&c->g, strstr(a.diary, "stopped") != NULL &&
                          strstr(b.diary, "failed") != NULL);
  turns(c, 5);
  /* Whose READY was read first said no: with its own word, or with ERROR. */
  assert_true(
      strcmp(b.diary, "listening accepted handshake-failed:MCQ_ETYPE") == 0 ||
      strcmp(b.diary, "listening accepted handshake-failed:MCQ_EREFUSED") == 0);
  assert_true(strcmp(a.diary,
                     "connecting connected handshake-failed:MCQ_ETYPE "
                     "stopped:MCQ_ETYPE") == 0 ||
              strcmp(a.diary,
                     "connecting connected handshake-failed:MCQ_EREFUSED "
                     "stopped:MCQ_EREFUSED") == 0);
  assert_true(b.last.peer.epoch == 0 && b.last.endpoint == 0);
  finish(c);
}

/* Only one of a PAIR's peers is let in; the other one learns why. */
static void one_is_enough(scene_t* c) {
  writer_t a, b, third;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PAIR});
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_PAIR});
  open_writer(&third, c, (mcq_socket_options_t){.type = MCQ_PAIR});
  bind_writer(&b, c);
  connect_writer(&a, &b);
  expect(&b, "listening accepted handshake-ok up");
  connect_writer(&third, &b);
  expect(&b, "accepted handshake-failed:MCQ_EPAIRED");
  static const char* const refused =
      "connecting connected handshake-failed:MCQ_ENOTNOW";
  ground_until(&c->g, strstr(third.diary, "MCQ_ENOTNOW") != NULL);
  assert_true(strncmp(third.diary, refused, strlen(refused)) == 0);
  expect(&a, "connecting connected handshake-ok up");
  finish(c);
}

/* ---- one that is lost, and comes again ----------------------------------- */

static void it_comes_again(scene_t* c) {
  writer_t a, b;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_ROUTER});
  open_writer(&a, c,
              (mcq_socket_options_t){
                  .type = MCQ_DEALER, .routing_id = "me", .routing_id_len = 2});
  bind_writer(&b, c);
  connect_writer(&a, &b);
  expect(&a, "connecting connected handshake-ok up");
  expect(&b, "listening accepted handshake-ok up");
  for (int i = 0; i < 3; i++) {
    mcq_peer_t before = b.peer;
    assert_int_equal(mcq_peer_close(b.s, b.peer), 0);
    expect(&a,
           "down:EOF disconnected:EOF retry connecting connected "
           "handshake-ok up");
    expect(&b,
           "down:MCQ_ELOCAL disconnected:MCQ_ELOCAL accepted handshake-ok "
           "up");
    assert_true(b.peer.epoch > before.epoch);
    assert_int_equal(b.last_id_len, 2);
    assert_memory_equal(b.last_id, "me", 2);
  }
  finish(c);
}

/* The old one's end is told before the new one's beginning. */
static void another_takes_its_name(scene_t* c) {
  writer_t a, b, twin;
  mcq_socket_options_t o = {.type = MCQ_DEALER,
                            .routing_id = "me",
                            .routing_id_len = 2,
                            .reconnect_ms = -1};
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_ROUTER});
  open_writer(&a, c, o);
  open_writer(&twin, c, o);
  bind_writer(&b, c);
  connect_writer(&a, &b);
  expect(&b, "listening accepted handshake-ok up");
  mcq_peer_t first = b.peer;
  connect_writer(&twin, &b);
  expect(&b,
         "accepted down:MCQ_EHANDOVER disconnected:MCQ_EHANDOVER "
         "handshake-ok up");
  assert_true(b.peer.epoch > first.epoch);
  expect(&twin, "connecting connected handshake-ok up");
  ground_until(&c->g, strstr(a.diary, "stopped") != NULL);
  expect_no_more(c, &b);
  finish(c);
}

/* ---- queues -------------------------------------------------------------- */

#define HWM 4

static void send_until_full(writer_t* w) {
  w->calling = true;
  while (mcq_send_text(w->s, "one more") == 0) continue;
  w->calling = false;
}

/* All that the way takes, and what the queue takes. */
static void stuff(scene_t* c, writer_t* w) {
  static const char much[65536];
  for (int refused = 0; refused < 20; turns(c, 1)) {
    w->calling = true;
    int rc = mcq_send_bytes(w->s, much, sizeof much);
    w->calling = false;
    refused = rc == 0 ? 0 : refused + 1;
    if (strlen(w->diary) > DIARY_MAX / 2) w->diary[0] = '\0';
  }
}

static void a_queue_is_full_and_has_room(scene_t* c) {
  writer_t a, b;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PULL});
  bind_writer(&b, c);
  assert_int_equal(mcq_pause(b.s), 0);
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_PUSH, .sndhwm = HWM});
  connect_writer(&a, &b);
  /* For a peer that is yet to come: when it does there is hope. */
  send_until_full(&a);
  expect_before(&a, "congested", "up");
  expect(&a, "connecting connected handshake-ok up drain relieved");
  expect_no_more(c, &a);
  assert_true(a.last.endpoint == a.end);
  assert_true(a.last.peer.epoch == a.peer.epoch);
  assert_true(a.last.count <= HWM / 2);
  /* For one that is there and does not read. */
  stuff(c, &a);
  assert_int_equal(a.last.kind, MCQ_EVENT_CONGESTED);
  assert_true(a.last.peer.epoch == a.peer.epoch && a.last.count >= HWM - 1);
  a.diary[0] = '\0';
  assert_int_equal(mcq_resume(b.s), 0);
  expect(&a, "relieved drain");
  expect_no_more(c, &a);
  finish(c);
}

/* Nobody looks after a socket that was closed in the middle of it. */
static void closed_while_it_is_told(scene_t* c) {
  static const mcq_event_kind_t kinds[] = {
      MCQ_EVENT_CONGESTED, MCQ_EVENT_RELIEVED, MCQ_EVENT_HANDSHAKE_OK,
      MCQ_EVENT_CONNECTED};
  writer_t a[4], b;
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PULL});
  bind_writer(&b, c);
  for (size_t i = 0; i < 4; i++) {
    open_writer(
        &a[i], c,
        (mcq_socket_options_t){.type = MCQ_PUSH,
                               .sndhwm = HWM,
                               .linger_ms = i < 2 ? MCQ_LINGER_NONE : 0});
    a[i].close_at = kinds[i];
    connect_writer(&a[i], &b);
    send_until_full(&a[i]);
    ground_until(&c->g, a[i].closed);
    assert_non_null(strstr(a[i].diary, mcq_event_name(kinds[i])));
  }
  finish(c);
}

static void topics_are_told(scene_t* c) {
  writer_t pub, sub;
  open_writer(&pub, c, (mcq_socket_options_t){.type = MCQ_PUB});
  open_writer(&sub, c, (mcq_socket_options_t){.type = MCQ_SUB});
  bind_writer(&pub, c);
  assert_int_equal(mcq_subscribe(sub.s, "news", 4), 0);
  connect_writer(&sub, &pub);
  expect(&sub, "connecting connected handshake-ok up subscribed");
  assert_true(sub.last.peer.epoch == sub.peer.epoch && sub.last.topic == NULL);
  expect(&pub, "listening accepted handshake-ok up subscribed");
  assert_int_equal(pub.last.topic_len, 4);
  assert_true(pub.last.peer.epoch == pub.peer.epoch);
  assert_int_equal(mcq_unsubscribe(sub.s, "news", 4), 0);
  expect(&pub, "unsubscribed");
  finish(c);
}

/* ---- errors that come at once -------------------------------------------- */

/* What a call says no event repeats. */
static void calls_answer_for_themselves(scene_t* c) {
  writer_t a, b;
  open_writer(&a, c, (mcq_socket_options_t){.type = MCQ_PULL});
  open_writer(&b, c, (mcq_socket_options_t){.type = MCQ_PULL});
  bind_writer(&a, c);
  expect(&a, "listening");
  assert_int_equal(mcq_bind(b.s, a.uri, NULL), MCQ_EADDRINUSE);
  assert_int_equal(mcq_bind(b.s, "nonsense", NULL), MCQ_EINVAL);
  assert_int_equal(mcq_connect(b.s, "tcp://*:1", NULL, NULL), MCQ_EINVAL);
  expect_no_more(c, &b);
  end_socket(&b);
  expect(&b, "gone");
  finish(c);
}

/* ---- everywhere ---------------------------------------------------------- */

#define SCENE(name) \
  { #name, name }

static const struct {
  const char* name;
  void (*play)(scene_t* c);
} scenes[] = {
    SCENE(it_is_made_used_and_ended),
    SCENE(a_socket_is_closed),
    SCENE(a_context_is_closed),
    SCENE(nobody_listens),
    SCENE(once_and_never_again),
    SCENE(they_do_not_agree),
    SCENE(one_is_enough),
    SCENE(it_comes_again),
    SCENE(another_takes_its_name),
    SCENE(a_queue_is_full_and_has_room),
    SCENE(closed_while_it_is_told),
    SCENE(topics_are_told),
    SCENE(calls_answer_for_themselves),
};

static void everywhere(void** state) {
  const char* only = getenv("MCQ_TEST_SCENE");
  (void) state;
  for (size_t p = 0; p < PLACES; p++) {
    if (!place_is_here(&places[p])) continue;
    print_message("%s\n", places[p].name);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
      if (only != NULL && strstr(scenes[i].name, only) == NULL) continue;
      static scene_t c;
      memset(&c, 0, sizeof c);
      print_message("  %s\n", scenes[i].name);
      ground_open(&c.g, &places[p]);
      scenes[i].play(&c);
    }
  }
}

/* In the tables for users, "HANDSHAKE_OK" for "handshake-ok". */
static void every_kind_is_in_the_document(void** state) {
  char* text = paper_read("doc/events.md");
  (void) state;
  if (text == NULL) skip();
  for (int kind = MCQ_EVENT_LISTENING; kind <= MCQ_EVENT_REFUSED; kind++) {
    char name[64];
    snprintf(name, sizeof name, "MCQ_EVENT_%s`",
             mcq_event_name((mcq_event_kind_t) kind));
    for (char* c = name; *c != '\0'; c++)
      *c = *c == '-' ? '_' : (char) toupper((unsigned char) *c);
    if (strstr(text, name) == NULL)
      fail_msg("doc/events.md does not know %s", name);
  }
  free(text);
}

static void every_kind_has_a_name(void** state) {
  (void) state;
  for (int kind = MCQ_EVENT_LISTENING; kind <= MCQ_EVENT_REFUSED; kind++)
    assert_non_null(mcq_event_name((mcq_event_kind_t) kind));
  assert_null(mcq_event_name((mcq_event_kind_t) 0));
  assert_null(mcq_event_name((mcq_event_kind_t) -1));
  assert_null(mcq_event_name((mcq_event_kind_t) (MCQ_EVENT_REFUSED + 1)));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_has_a_name),
      cmocka_unit_test(every_kind_is_in_the_document),
      cmocka_unit_test(everywhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
