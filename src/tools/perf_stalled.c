/* SPDX-License-Identifier: MIT */
/* Fanout beside subscribers that stop reading: an XPUB that drops for whoever
 * is too slow, SUBs that read, and stalled ones that subscribe and then do
 * not.  Those that read lose nothing, because they say through an XSUB how far
 * they are and the XPUB keeps within a window; without stalled ones it is just
 * the same.
 *
 * The XPUB warms up, then says large messages for the stalled alone until
 * each of them has lost one: kernel buffers and queues are full.  Then comes
 * what is measured.  At last it tells how many it has published and dropped
 * for each, and closes when all has left; the stalled read to the end, and
 * what they got and lost must be what was published, to the message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monocoque.h"
#include "perf_side.h"

enum {
  WINDOW = 512,           /* messages on their way at most, */
  WINDOW_BYTES = 4 << 20, /* and bytes, well within a queue */
  STEPS = 4,              /* acknowledgements a window */
  FILL = 65536,           /* bytes of a message for the stalled alone */
  FILL_BURST = 16         /* of these in a turn */
};

/* Topics: what is measured; for the stalled; "s0003" tells who is who; the
 * control connection. */
static const char MEASURED = 'm';
static const char FILLING = 'f';
static const char STALLED = 's';
static const char CONTROL = 'c';

/* Messages by steps, the same on both sides. */
typedef struct pace {
  uint64_t step;
  uint64_t window;
  uint64_t warm; /* all of these are whole steps */
  uint64_t all;
} pace_t;

static pace_t pace_of(const perf_job_t* job) {
  uint64_t window = WINDOW_BYTES / job->size;
  if (window > WINDOW) window = WINDOW;
  if (window < STEPS) window = STEPS;
  uint64_t step = window / STEPS;
  uint64_t warm = (job->warmup + step - 1) / step * step;
  uint64_t count = (job->count + step - 1) / step * step;
  return (pace_t){step, step * STEPS, warm, warm + count};
}

/* ---- the one that publishes ---------------------------------------------- */

typedef enum phase {
  GATHERING,
  WARMING,
  FILLING_UP,
  RUNNING,
  ENDING,
  LEFT
} phase_t;

typedef struct loser {
  mcq_peer_t peer;
  uint64_t dropped;
} loser_t;

typedef struct speaker {
  perf_side_t* side;
  pace_t pace;
  phase_t phase;
  uv_loop_t loop;
  uv_idle_t idle; /* active while there is something to do at once */
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  char* body;
  char* fill;
  uint64_t done;   /* measured and warm-up, published */
  uint64_t acked;  /* of these, received by all that read */
  uint64_t filled; /* the others, published */
  uint64_t ready;  /* subscriptions */
  mcq_peer_t control;
  loser_t* losers; /* the stalled */
  uint64_t dropped;
  int code;
} speaker_t;

static void on_speaker_closed(void* data) {
  speaker_t* p = data;
  uv_close((uv_handle_t*) &p->idle, NULL);
}

static void stop_speaking(speaker_t* p) {
  uv_idle_stop(&p->idle);
  p->phase = LEFT;
  mcq_ctx_close(p->ctx, on_speaker_closed);
}

static void give_up_speaking(speaker_t* p, const char* what, int code) {
  p->code = tool_fail("%s: %s", what, mcq_strerror(code));
  stop_speaking(p);
}

static bool say(speaker_t* p, const char* body, size_t len) {
  int rc = mcq_send_bytes(p->socket, body, len);
  if (rc != 0) give_up_speaking(p, "cannot publish", rc);
  return rc == 0;
}

/* As many as the window lets out, up to the last.  True: that has arrived. */
static bool publish(speaker_t* p, uint64_t last) {
  uint64_t limit = p->acked + p->pace.window;
  if (limit > last) limit = last;
  while (p->done < limit && say(p, p->body, p->side->job.size)) p->done++;
  return p->acked == last;
}

static bool all_stalled(const speaker_t* p) {
  for (size_t i = 0; i < p->side->job.stalled; i++)
    if (p->losers[i].dropped == 0) return false;
  return true;
}

/* True: each of them has lost something. */
static bool fill_up(speaker_t* p) {
  if (all_stalled(p)) return true;
  for (int i = 0; i < FILL_BURST && say(p, p->fill, FILL); i++) p->filled++;
  return false;
}

/* Tells what each has lost, once events have told us of all that. */
static void sum_up(speaker_t* p) {
  size_t stalled = p->side->job.stalled;
  mcq_stats_t stats;
  mcq_stats(p->socket, &stats);
  if (stats.messages_dropped != p->dropped) return;
  uint64_t* sums = tool_alloc((1 + stalled) * sizeof *sums);
  sums[0] = p->done + p->filled;
  for (size_t i = 0; i < stalled; i++) sums[1 + i] = p->losers[i].dropped;
  mcq_frame_t frame = {sums, (1 + stalled) * sizeof *sums};
  int rc = mcq_send_to(p->socket, p->control, &frame, 1);
  free(sums);
  p->side->result.dropped = p->dropped;
  if (rc != 0)
    give_up_speaking(p, "cannot tell the sums", rc);
  else
    stop_speaking(p);
}

/* Goes on with what the phase asks for; on_step wakes who waits. */
static void on_turn(uv_idle_t* idle) {
  speaker_t* p = idle->data;
  if (p->phase == WARMING) {
    uv_idle_stop(idle);
    if (!publish(p, p->pace.warm)) return;
    p->phase = FILLING_UP;
    uv_idle_start(idle, on_turn);
  } else if (p->phase == FILLING_UP) {
    if (!fill_up(p)) return;
    p->phase = RUNNING;
    perf_cpu_start(p->side);
  } else if (p->phase == RUNNING) {
    uv_idle_stop(idle);
    if (!publish(p, p->pace.all)) return;
    perf_cpu_stop(p->side);
    p->phase = ENDING;
    uv_idle_start(idle, on_turn);
  } else if (p->phase == ENDING) {
    sum_up(p);
  }
}

static void wake(speaker_t* p) {
  if (p->phase != LEFT) uv_idle_start(&p->idle, on_turn);
}

static void on_subscribed(speaker_t* p, const mcq_event_t* event) {
  const perf_job_t* job = &p->side->job;
  const char* topic = event->topic;
  if (event->topic_len == 0) return;
  if (topic[0] == CONTROL) p->control = event->peer;
  if (topic[0] == STALLED) {
    char number[16];
    snprintf(number, sizeof number, "%.*s", (int) event->topic_len - 1,
             topic + 1);
    size_t i = strtoul(number, NULL, 10);
    if (i < job->stalled) p->losers[i].peer = event->peer;
  }
  /* Who is stalled subscribes three times, the others once. */
  if (++p->ready < job->peers + 3 * job->stalled + 1) return;
  p->phase = WARMING;
  wake(p);
}

static void on_dropped(speaker_t* p, const mcq_event_t* event) {
  p->dropped += event->count;
  for (size_t i = 0; i < p->side->job.stalled; i++) {
    if (p->losers[i].peer.epoch != event->peer.epoch) continue;
    p->losers[i].dropped += event->count;
    return;
  }
  p->code = tool_fail("a subscriber that reads has lost %llu messages",
                      (unsigned long long) event->count);
  stop_speaking(p);
}

static void on_speaker_event(mcq_socket_t* socket, const mcq_event_t* event) {
  speaker_t* p = mcq_socket_data(socket);
  if (p->phase == LEFT) return;
  if (event->kind == MCQ_EVENT_SUBSCRIBED) on_subscribed(p, event);
  if (event->kind == MCQ_EVENT_DROPPED) on_dropped(p, event);
}

/* One step more has arrived everywhere. */
static void on_step(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  speaker_t* p = mcq_socket_data(socket);
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  if (peer.epoch != p->control.epoch || frame.len != 1) return;
  if (*(const char*) frame.data != CONTROL) return;
  p->acked += p->pace.step;
  wake(p);
}

static int open_speaker(speaker_t* p) {
  mcq_ctx_options_t options = {.backend = (int) p->side->job.who, .data = p};
  int rc = mcq_ctx_new(&p->loop, &options, &p->ctx);
  if (rc != 0) {
    uv_close((uv_handle_t*) &p->idle, NULL);
    return tool_fail("no context: %s", mcq_strerror(rc));
  }
  mcq_socket_options_t o = {.data = p,
                            .type = MCQ_XPUB,
                            .linger_ms = -1,
                            .on_event = on_speaker_event,
                            .on_message = on_step};
  mcq_endpoint_t endpoint;
  rc = mcq_socket_new(p->ctx, &o, &p->socket);
  if (rc == 0) rc = mcq_bind(p->socket, "tcp://127.0.0.1:0", &endpoint);
  if (rc == 0) {
    const char* colon = strrchr(mcq_endpoint_uri(p->socket, endpoint), ':');
    rc = perf_listening(p->side, (uint32_t) strtoul(colon + 1, NULL, 10));
  }
  if (rc != 0) give_up_speaking(p, "cannot listen", rc);
  return p->code;
}

static int speak(perf_side_t* side) {
  size_t stalled = side->job.stalled;
  speaker_t p = {.side = side, .pace = pace_of(&side->job)};
  int rc = uv_loop_init(&p.loop);
  if (rc != 0) return tool_fail("no loop: %s", uv_strerror(rc));
  p.body = tool_alloc(side->job.size);
  p.fill = tool_alloc(FILL);
  p.losers = tool_alloc((stalled + 1) * sizeof *p.losers);
  memset(p.body, MEASURED, side->job.size);
  memset(p.fill, FILLING, FILL);
  memset(p.losers, 0, (stalled + 1) * sizeof *p.losers);
  uv_idle_init(&p.loop, &p.idle);
  p.idle.data = &p;
  rc = open_speaker(&p);
  uv_run(&p.loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&p.loop) != 0) tool_say("something is still open");
  free(p.losers);
  free(p.fill);
  free(p.body);
  return rc != 0 ? rc : p.code;
}

/* ---- those that subscribe ------------------------------------------------ */

typedef struct hall hall_t;

typedef struct ear {
  hall_t* hall;
  mcq_socket_t* socket;
  uint64_t heard;
} ear_t;

struct hall {
  perf_side_t* side;
  pace_t pace;
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  ear_t control;
  ear_t* ears;       /* those that read, then the stalled */
  uint64_t seen;     /* by all that read */
  size_t reached[8]; /* how many of them are at a step, by its low bits */
  uint64_t* sums;    /* published, and dropped for each; NULL: not yet told */
  size_t gone;       /* of the stalled */
  bool left;
  int code;
};

static void leave(hall_t* h) {
  h->left = true;
  mcq_ctx_close(h->ctx, NULL);
}

static void give_up_hearing(hall_t* h, const char* what, int code) {
  h->code = tool_fail("%s: %s", what, mcq_strerror(code));
  leave(h);
}

static void on_measured(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer, (void) msg;
  ear_t* e = mcq_socket_data(socket);
  hall_t* h = e->hall;
  size_t peers = h->side->job.peers;
  if (++h->seen == h->pace.warm * peers + 1) {
    perf_cpu_start(h->side);
    perf_wall_start(h->side);
  }
  if (h->seen == h->pace.all * peers) {
    perf_wall_stop(h->side);
    perf_cpu_stop(h->side);
  }
  if (++e->heard % h->pace.step != 0) return;
  size_t* reached = &h->reached[e->heard / h->pace.step % 8];
  if (++*reached < peers) return;
  *reached = 0;
  int rc = mcq_send_bytes(h->control.socket, &CONTROL, 1);
  if (rc != 0) give_up_hearing(h, "cannot tell how far we are", rc);
}

static void on_stalled(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer, (void) msg;
  ((ear_t*) mcq_socket_data(socket))->heard++;
}

/* It has read to the end. */
static void on_stalled_down(mcq_socket_t* socket, const mcq_peer_info_t* info) {
  ear_t* e = mcq_socket_data(socket);
  hall_t* h = e->hall;
  size_t i = (size_t) (e - h->ears) - h->side->job.peers;
  if (h->left) return;
  if (h->sums == NULL) {
    give_up_hearing(h, "a stalled subscriber was cut off", info->reason);
  } else if (e->heard + h->sums[1 + i] != h->sums[0]) {
    h->code = tool_fail(
        "stalled subscriber %zu: %llu messages were published, but %llu "
        "received and %llu dropped",
        i, (unsigned long long) h->sums[0], (unsigned long long) e->heard,
        (unsigned long long) h->sums[1 + i]);
    leave(h);
  } else if (++h->gone == h->side->job.stalled) {
    leave(h);
  }
}

static void on_sums(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  hall_t* h = ((ear_t*) mcq_socket_data(socket))->hall;
  const perf_job_t* job = &h->side->job;
  mcq_frame_t frame = mcq_msg_frame(msg, 0);
  if (h->sums != NULL || frame.len != (1 + job->stalled) * sizeof *h->sums)
    return;
  h->sums = tool_alloc(frame.len);
  memcpy(h->sums, frame.data, frame.len);
  for (size_t i = 0; i < job->stalled; i++)
    mcq_resume(h->ears[job->peers + i].socket);
  if (job->stalled == 0) leave(h);
}

static int open_ear(hall_t* h, ear_t* e, mcq_socket_options_t o,
                    const char* const* topics) {
  char uri[64];
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%u", h->side->job.port);
  e->hall = h;
  o.data = e;
  o.reconnect_ms = -1;
  int rc = mcq_socket_new(h->ctx, &o, &e->socket);
  for (; rc == 0 && *topics != NULL; topics++)
    rc = mcq_subscribe(e->socket, *topics, strlen(*topics));
  if (rc == 0 && o.on_message == on_stalled) rc = mcq_pause(e->socket);
  return rc == 0 ? mcq_connect(e->socket, uri, NULL, NULL) : rc;
}

static int open_ears(hall_t* h) {
  const perf_job_t* job = &h->side->job;
  const mcq_socket_options_t control = {.type = MCQ_XSUB,
                                        .on_message = on_sums};
  const mcq_socket_options_t reads = {.type = MCQ_SUB,
                                      .on_message = on_measured};
  const mcq_socket_options_t stalls = {.type = MCQ_SUB,
                                       .on_message = on_stalled,
                                       .on_peer_down = on_stalled_down};
  const char* topics[4] = {"c", NULL, NULL, NULL};
  int rc = open_ear(h, &h->control, control, topics);
  topics[0] = "m";
  for (size_t i = 0; rc == 0 && i < job->peers; i++)
    rc = open_ear(h, &h->ears[i], reads, topics);
  for (size_t i = 0; rc == 0 && i < job->stalled; i++) {
    char name[32];
    snprintf(name, sizeof name, "%c%04zu", STALLED, i);
    topics[1] = "f";
    topics[2] = name;
    rc = open_ear(h, &h->ears[job->peers + i], stalls, topics);
  }
  return rc;
}

static int start_hearing(hall_t* h) {
  mcq_ctx_options_t options = {.backend = (int) h->side->job.who};
  int rc = mcq_ctx_new(&h->loop, &options, &h->ctx);
  if (rc != 0) return tool_fail("no context: %s", mcq_strerror(rc));
  rc = open_ears(h);
  if (rc != 0) give_up_hearing(h, "no connection", rc);
  return h->code;
}

static int listen_to_it(perf_side_t* side) {
  const perf_job_t* job = &side->job;
  hall_t h = {.side = side, .pace = pace_of(job)};
  int rc = uv_loop_init(&h.loop);
  if (rc != 0) return tool_fail("no loop: %s", uv_strerror(rc));
  size_t size = (job->peers + job->stalled) * sizeof *h.ears;
  h.ears = tool_alloc(size);
  memset(h.ears, 0, size);
  rc = start_hearing(&h);
  uv_run(&h.loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&h.loop) != 0) tool_say("something is still open");
  free(h.sums);
  free(h.ears);
  return rc != 0 ? rc : h.code;
}

int perf_mcq_stalled(perf_side_t* side) {
  pace_t pace = pace_of(&side->job);
  side->result.count = (pace.all - pace.warm) * side->job.peers;
  return side->job.role == PERF_SENDER ? speak(side) : listen_to_it(side);
}
