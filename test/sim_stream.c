/* SPDX-License-Identifier: MIT */
/* STREAM on a simulated network while its user pauses: whatever comes before,
 * in and after a pause is delivered byte by byte and in order, and the end of
 * the peer comes behind all of it. */
#include "support/stranger.h"

/* As many ways as the network may have of its own. */
#define WAYS 40

typedef struct chunks {
  scene_t scene;
  char got[256];
  size_t len;
} chunks_t;

static void on_chunk(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  chunks_t* c = mcq__container_of(told_of(s)->scene, chunks_t, scene);
  mcq_frame_t f = mcq_msg_frame(msg, 0);
  (void) peer;
  assert_int_equal(mcq_msg_count(msg), 1);
  assert_in_range(f.len, 1, sizeof c->got - c->len - 1);
  memcpy(c->got + c->len, f.data, f.len);
  c->len += f.len;
}

static scene_t* begin(chunks_t* c, void** state, uint64_t way) {
  scene_t* g = &c->scene;
  mcq_socket_options_t o = {.type = MCQ_STREAM,
                            .turn_messages = 1,
                            .data = &g->told,
                            .on_peer_up = scene_up,
                            .on_peer_down = scene_down,
                            .on_event = scene_event,
                            .on_message = on_chunk};
  memset(c, 0, sizeof *c);
  scene_open(g, (const place_t*) *state);
  g->ground.net.random.state = test_seed(way);
  g->told.scene = g;
  assert_int_equal(mcq_socket_new(g->ground.ctx, &o, &g->s), 0);
  assert_int_equal(mcq_bind(g->s, "sim://here", &g->at), 0);
  scene_settle(g);
  stranger_dial(g);
  scene_wait(g, 10);
  assert_int_equal(g->told.ups, 1);
  return g;
}

static void say(scene_t* g, const char* text) {
  stranger_say(g, text, strlen(text));
}

/* Long enough for it to be read ahead, or not. */
static const uint64_t pauses[] = {0, 5, 50};

static void bytes_around_a_pause_are_all_there(void** state) {
  for (uint64_t way = 0; way < WAYS; way++) {
    chunks_t c;
    scene_t* g = begin(&c, state, way);
    for (size_t i = 0; i < 3; i++) {
      say(g, "a,");
      assert_int_equal(mcq_pause(g->s), 0);
      say(g, "b,");
      scene_wait(g, pauses[i]);
      say(g, "c,");
      scene_wait(g, pauses[i]);
      assert_int_equal(mcq_resume(g->s), 0);
      say(g, "d,");
      scene_settle(g);
      say(g, "e,");
      scene_wait(g, 5);
    }
    assert_string_equal(c.got, "a,b,c,d,e,a,b,c,d,e,a,b,c,d,e,");
    scene_close(g);
  }
}

static void the_end_comes_behind_all_bytes(void** state) {
  for (uint64_t way = 0; way < WAYS * 3; way++) {
    chunks_t c;
    scene_t* g = begin(&c, state, way);
    uint64_t pause = pauses[way % 3];
    assert_int_equal(mcq_pause(g->s), 0);
    say(g, "a,");
    scene_wait(g, pause);
    say(g, "b,");
    if (way % 2) scene_wait(g, pause);
    stranger_leave(g);
    scene_wait(g, 100);
    assert_int_equal(g->told.downs, 0); /* something is to come first */
    assert_int_equal(mcq_resume(g->s), 0);
    scene_wait(g, 10);
    assert_string_equal(c.got, "a,b,");
    assert_int_equal(g->told.downs, 1);
    assert_int_equal(g->told.reason, MCQ_EOF);
    scene_close(g);
  }
}

/* Each over at once, or when something was read ahead. */
static void pauses_in_a_row_lose_nothing(void** state) {
  for (uint64_t way = 0; way < WAYS; way++) {
    chunks_t c;
    scene_t* g = begin(&c, state, way);
    assert_int_equal(mcq_peer_pause(g->s, g->told.peer), 0);
    assert_int_equal(mcq_peer_resume(g->s, g->told.peer), 0);
    say(g, "a,");
    assert_int_equal(mcq_peer_pause(g->s, g->told.peer), 0);
    for (int i = 0; i < 10; i++) {
      say(g, "b,");
      assert_int_equal(mcq_peer_resume(g->s, g->told.peer), 0);
      say(g, "c,");
      scene_settle(g);
      assert_int_equal(mcq_peer_pause(g->s, g->told.peer), 0);
      scene_wait(g, (uint64_t) i * 3);
    }
    assert_int_equal(mcq_peer_resume(g->s, g->told.peer), 0);
    scene_wait(g, 10);
    assert_string_equal(c.got, "a,b,c,b,c,b,c,b,c,b,c,b,c,b,c,b,c,b,c,b,c,");
    scene_close(g);
  }
}

#define EVERYWHERE(test)                                                   \
  {#test ", polling", test, NULL, NULL, (void*) &places[PLACE_POLLING]}, { \
#test ", as a ring", test, NULL, NULL, (void*) &places[PLACE_RING]     \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      EVERYWHERE(bytes_around_a_pause_are_all_there),
      EVERYWHERE(the_end_comes_behind_all_bytes),
      EVERYWHERE(pauses_in_a_row_lose_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
