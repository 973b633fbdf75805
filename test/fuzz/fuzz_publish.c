/* SPDX-License-Identifier: MIT */
/* A whole PUB or XPUB under a script of bytes, on a network in memory, beside
 * a naive model (audience.h): subscribers come, say whatever the script likes
 * after their READY, well formed or not, read or do not, and go or are cut
 * off; meanwhile the user publishes, pauses, and subscribes for others.
 *
 * The first bytes choose the socket and the network, then each operation is a
 * byte (visitor, operation, bit 7: no step after it) and what it needs. */
#include "base/cursor.h"
#include "support/audience.h"

#define OPERATIONS 250
/* Bytes published, for speed. */
#define SAID_MAX 150000

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/* ---- what the script picks ----------------------------------------------- */

static mcq_frame_t any_text(audience_t* a, uint8_t room[4]) {
  uint8_t byte = mcq__cursor_u8(&a->script);
  if (byte < 64) {
    mcq__slice_t text = mcq__cursor_take(&a->script, byte);
    return (mcq_frame_t){text.data, text.len};
  }
  size_t len = byte % 4U;
  for (size_t i = 0; i < len; i++)
    room[i] = (uint8_t) ('a' + (byte >> (2 + i)) % 3);
  return (mcq_frame_t){room, len};
}

/* As much as its pipe takes at once, or nothing. */
static void say(visitor_t* v, rig_bytes_t* b, bool counts) {
  size_t room = v->end == NULL ? 0 : sim_pipe_room(sim_out(v->end));
  if (b->len != 0 && room >= b->len) {
    sim_stranger_say(v->end, b->data, b->len);
    if (counts) rig_add(&v->says.said, b->data, b->len);
  }
  rig_free(b);
}

/* ---- operations: visitors ------------------------------------------------ */

static void visit(audience_t* a) {
  uint8_t byte = mcq__cursor_u8(&a->script);
  rig_bytes_t b = {0};
  if (a->count == VISITORS || a->closed) return;
  visitor_t* v = &a->visitors[a->count++];
  memset(v, 0, sizeof *v);
  v->reads = (byte & 1) == 0;
  v->says.max_bytes = a->max_bytes;
  v->says.max_frames = a->max_frames;
  v->due = (size_t*) calloc(MESSAGES, sizeof *v->due);
  must(v->due != NULL);
  v->end = sim_stranger_open(&a->net, a->uri);
  v->conn = v->end->conn->id;
  if (a->type == MCQ_XPUB && a->message_count > 0 && a->messages[0].len != 0)
    v->due[v->due_count++] = 0; /* the welcome */
  rig_greeting(&b, 3, byte >> 1 & 1, "NULL");
  rig_ready(&b, (byte & 4) != 0 ? "XSUB" : "SUB", NULL, 0);
  say(v, &b, false);
}

static void raw(audience_t* a, visitor_t* v) {
  rig_bytes_t b = {0};
  size_t len = mcq__cursor_u8(&a->script);
  mcq__slice_t bytes = mcq__cursor_take(&a->script, len);
  rig_add(&b, bytes.data, bytes.len);
  say(v, &b, true);
}

static void command(audience_t* a, visitor_t* v, const char* name) {
  uint8_t room[4];
  rig_bytes_t b = {0};
  mcq_frame_t text = any_text(a, room);
  rig_command(&b, name, text.data, text.len);
  say(v, &b, true);
}

static void as_message(audience_t* a, visitor_t* v, unsigned lead) {
  uint8_t room[4];
  rig_bytes_t b = {0};
  mcq_frame_t text = any_text(a, room);
  rig_head(&b, 0, 1 + text.len);
  rig_byte(&b, lead);
  rig_add(&b, text.data, text.len);
  say(v, &b, true);
}

/* Heartbeats, long topics, and words of several frames. */
static void odd_words(audience_t* a, visitor_t* v) {
  static const uint8_t zeros[70000];
  uint8_t byte = mcq__cursor_u8(&a->script);
  size_t n = byte / 4;
  rig_bytes_t b = {0};
  switch (byte % 4) {
    case 0:
      rig_command(&b, "PING", &zeros[0], 2 + n % 20);
      break;
    case 1:
      for (size_t i = 0; i < n; i++)
        rig_frame(&b, i + 1 < n, i % 2 ? "\1ab" : "ab", i % 4);
      break;
    case 2:
      rig_command(&b, "SUBSCRIBE", zeros, 65535 - 2 + n % 4);
      break;
    default:
      for (size_t i = 0; i < n; i++)
        rig_command(&b, i % 3 == 2 ? "CANCEL" : "SUBSCRIBE", "abcabcabc",
                    i % 9);
      break;
  }
  say(v, &b, true);
}

static void leave(audience_t* a, visitor_t* v) {
  static const int codes[] = {UV_EOF, UV_ECONNRESET, UV_ETIMEDOUT, UV_EPIPE};
  uint8_t byte = mcq__cursor_u8(&a->script);
  if (v->end == NULL) return;
  if (!v->down) audience_doubt(a, v);
  if (!v->up) v->doubt = a->doubt = true;
  if ((byte & 1) != 0) {
    uint64_t after[2] = {0, byte >> 1 & 3};
    int code[2] = {UV_EOF, codes[byte >> 3 & 3]};
    sim_conn_cut(v->end->conn, after, code);
  }
  audience_hang_up(v);
}

static void read_some(audience_t* a, visitor_t* v) {
  uint8_t byte = mcq__cursor_u8(&a->script);
  if (byte < 64) {
    v->reads = (byte & 1) != 0;
  } else {
    audience_sip(a, v, (size_t) (byte - 63) * 37);
  }
}

/* ---- operations: the user ------------------------------------------------ */

static void put(rig_bytes_t* to, const mcq_frame_t* frames, size_t count) {
  for (size_t i = 0; i < count; i++)
    rig_frame(to, i + 1 < count, frames[i].data, frames[i].len);
}

static void owe(audience_t* a, visitor_t* v) {
  v->due[v->due_count++] = a->message_count;
}

/* Whether it may be had at once by all who are to have it. */
static bool at_ease(const audience_t* a, const bool meant[VISITORS]) {
  for (size_t i = 0; i < a->count; i++)
    if (meant[i] && !audience_keeps_up(&a->visitors[i])) return false;
  return !a->unsettled;
}

/* What became of messages in a row: so many were meant to be had, by all who
 * were meant, and so many were refused. */
static void judge(audience_t* a, const mcq_stats_t* before, size_t in_a_row,
                  uint64_t meant, uint64_t refused, bool ease) {
  mcq_stats_t after = audience_stats(a);
  uint64_t took = after.messages_sent - before->messages_sent;
  uint64_t dropped = after.messages_dropped - before->messages_dropped;
  bool conflate = (a->flags & MCQ_CONFLATE) != 0;
  must(after.sends_refused - before->sends_refused == refused);
  must(refused == 0 || (a->slow == MCQ_SLOW_REFUSE && !conflate));
  must((dropped == 0 && refused == 0) || !ease || conflate);
  if (conflate) {
    must(took == meant);
  } else if (a->slow == MCQ_SLOW_DROP_OLDEST) {
    must(took <= meant && took + dropped >= meant);
  } else if (a->slow == MCQ_SLOW_DISCONNECT) {
    a->slowed += dropped; /* and who is leaving takes nothing */
    must(took + dropped <= meant && took + a->slowed * in_a_row >= meant);
  } else {
    must(took + dropped == meant);
    must(dropped == 0 || a->slow == MCQ_SLOW_DROP_NEWEST);
  }
}

static size_t who_is_meant(const audience_t* a, mcq_frame_t topic,
                           bool meant[VISITORS]) {
  size_t n = 0;
  for (size_t i = 0; i < a->count; i++) {
    const visitor_t* v = &a->visitors[i];
    bool match = naive_matches(&v->held, topic.data, topic.len);
    bool invert = (a->flags & MCQ_INVERT_MATCHING) != 0;
    meant[i] = audience_seated(v) && !v->ending && match != invert;
    n += meant[i];
  }
  return n;
}

/* True: they may have it. */
static bool publish_one(audience_t* a, const mcq_frame_t* frames, size_t count,
                        const bool meant[VISITORS]) {
  int rc = audience_call(a, mcq_send(a->s, frames, count));
  must(rc == (a->closed ? MCQ_ECLOSED : 0) || rc == MCQ_EAGAIN);
  if (rc == MCQ_EAGAIN) a->wants_drain = true;
  if (rc != 0) return false;
  for (size_t i = 0; i < a->count; i++)
    if (meant[i]) owe(a, &a->visitors[i]);
  put(&a->messages[a->message_count], frames, count);
  a->said += a->messages[a->message_count++].len;
  return true;
}

/* One message, or some in a row that differ in their number alone.  Nobody asks
 * in between what became of them, and quietly not even afterwards: that shows
 * when all has settled. */
static void publish(audience_t* a, bool quietly) {
  static const size_t sizes[] = {0, 1, 60, 254, 255, 256, 2100, 9000};
  static uint8_t body[9000];
  uint8_t room[4];
  uint8_t byte = mcq__cursor_u8(&a->script);
  uint32_t number;
  mcq_frame_t frames[3] = {
      any_text(a, room), {&number, sizeof number}, {body, sizes[byte / 4 % 8]}};
  size_t in_a_row = 1 + byte / 32U;
  size_t done = 0;
  bool meant[VISITORS] = {false};
  if (a->message_count + in_a_row > MESSAGES || a->said > SAID_MAX) return;
  size_t n = who_is_meant(a, frames[0], meant);
  bool ease = at_ease(a, meant) && in_a_row == 1;
  mcq_stats_t before = {0};
  if (a->closed || a->slow == MCQ_SLOW_DISCONNECT) quietly = a->closed;
  if (!quietly) before = audience_stats(a);
  for (size_t i = 0; i < in_a_row; i++) {
    number = (uint32_t) a->message_count;
    done += publish_one(a, frames, 1 + byte % 4U % 3, meant);
  }
  if (!quietly) judge(a, &before, in_a_row, n * done, in_a_row - done, ease);
}

static void tell(audience_t* a, visitor_t* v) {
  uint32_t number = (uint32_t) a->message_count;
  mcq_frame_t frames[2] = {{"to you", 6}, {&number, sizeof number}};
  if (a->message_count == MESSAGES || v->handle.epoch == 0) return;
  int rc = audience_call(a, mcq_send_to(a->s, v->handle, frames, 2));
  if (a->closed) {
    must(rc == MCQ_ECLOSED);
  } else if (!audience_seated(v) || v->ending) {
    must(rc == MCQ_EPEERGONE);
  } else if (rc == 0) {
    owe(a, v);
    put(&a->messages[a->message_count++], frames, 2);
  } else if (rc == MCQ_EAGAIN) {
    must((a->flags & MCQ_CONFLATE) == 0 &&
         (a->unsettled || !audience_keeps_up(v)));
    a->wants_drain = true;
  } else {
    must(rc == MCQ_EPEERGONE && a->slowed > 0);
  }
}

static void for_another(audience_t* a, visitor_t* v, bool wanted) {
  uint8_t room[4];
  mcq_frame_t t = any_text(a, room);
  if (v->handle.epoch == 0) return;
  int rc = audience_obey(a, v->handle, t, wanted);
  if (a->closed)
    must(rc == MCQ_ECLOSED);
  else if (!audience_seated(v))
    must(rc == MCQ_EPEERGONE);
  else
    must(rc == audience_grant(a, v, t, wanted));
  v->astray = v->doubt;
}

/* Halting, going on, closing one or all. */
static void govern(audience_t* a, visitor_t* v) {
  uint8_t byte = mcq__cursor_u8(&a->script);
  int expected = audience_seated(v) ? 0 : MCQ_EPEERGONE;
  switch (byte % 8) {
    case 0:
    case 1:
      a->paused = byte % 2 == 0;
      must(audience_call(a, a->paused ? mcq_pause(a->s) : mcq_resume(a->s)) ==
           (a->closed ? MCQ_ECLOSED : 0));
      break;
    case 2:
    case 3: {
      bool on = byte % 2 == 0;
      if (v->handle.epoch == 0) break;
      int rc = on ? audience_call(a, mcq_peer_pause(a->s, v->handle))
                  : audience_call(a, mcq_peer_resume(a->s, v->handle));
      must(rc == expected);
      if (rc == 0) v->paused = on;
      break;
    }
    case 4:
      if (v->handle.epoch == 0) break;
      must(audience_call(a, mcq_peer_close(a->s, v->handle)) == expected);
      if (expected == 0 && !v->ending) audience_doubt(a, v);
      if (expected == 0) v->ending = true;
      break;
    default:
      a->net.now += byte; /* and whoever waits has waited */
      break;
  }
}

/* ---- the script ---------------------------------------------------------- */

static void operation(audience_t* a) {
  uint8_t byte = mcq__cursor_u8(&a->script);
  if (a->count == 0 || byte % 16 == 0) {
    visit(a);
  } else {
    visitor_t* v = &a->visitors[(byte >> 4 & 7) % a->count];
    switch (byte % 16) {
      case 1:
        raw(a, v);
        break;
      case 2:
      case 3:
        command(a, v, byte % 2 == 0 ? "SUBSCRIBE" : "CANCEL");
        break;
      case 4:
      case 5:
        as_message(a, v, byte % 2 == 0 ? 1 : 0);
        break;
      case 6:
        odd_words(a, v);
        break;
      case 7:
        leave(a, v);
        break;
      case 8:
        read_some(a, v);
        break;
      case 9:
      case 10:
        for_another(a, v, byte % 2 != 0);
        break;
      case 11:
        govern(a, v);
        break;
      case 12:
        tell(a, v);
        break;
      default:
        publish(a, byte % 16 == 15);
        break;
    }
  }
  a->unsettled = true;
  if ((byte & 128) == 0 || a->slow == MCQ_SLOW_DISCONNECT) audience_settle(a);
}

/* ---- the stage ----------------------------------------------------------- */

static void* take(size_t size, void* arg) {
  ((audience_t*) arg)->blocks++;
  return malloc(size);
}

static void give(void* block, void* arg) {
  ((audience_t*) arg)->blocks--;
  free(block);
}

static void choose(audience_t* a, mcq_socket_options_t* o) {
  static const int32_t marks[] = {1, 2, 5, 1000};
  static const int64_t byte_marks[] = {1, 700, 20000, -1};
  static const int64_t subscriptions[] = {1, 3, 0, -1};
  uint8_t kind = mcq__cursor_u8(&a->script);
  uint8_t b = mcq__cursor_u8(&a->script);
  uint8_t c = mcq__cursor_u8(&a->script);
  uint8_t d = mcq__cursor_u8(&a->script);
  a->type = (kind & 1) != 0 ? MCQ_XPUB : MCQ_PUB;
  if ((kind & 2) != 0) a->flags |= MCQ_INVERT_MATCHING;
  if ((kind & 12) == 12) a->flags |= MCQ_CONFLATE;
  if (a->type == MCQ_XPUB) {
    if ((kind & 16) != 0) a->flags |= MCQ_XPUB_VERBOSE;
    if ((kind & 32) != 0) a->flags |= MCQ_XPUB_VERBOSER;
    if ((kind & 64) != 0) a->flags |= MCQ_XPUB_MANUAL;
    a->obedient = (kind & 128) != 0;
  }
  a->slow = b % 4;
  a->max_frames = (b & 4) != 0 ? 4 : 1024;
  a->max_bytes = (b & 8) != 0 ? 300 : 64 << 20;
  int64_t most = subscriptions[b >> 4 & 3];
  a->max_subscriptions = most > 0 ? (size_t) most : SIZE_MAX;
  o->type = a->type;
  o->flags = a->flags;
  o->slow_peer = a->slow;
  o->sndhwm = marks[c % 4];
  o->sndhwm_bytes = byte_marks[c / 4 % 4];
  o->max_subscriptions = most;
  o->max_frames = (int64_t) a->max_frames;
  o->max_message_size = (int64_t) a->max_bytes;
  a->lingers = (c & 16) == 0;
  o->linger_ms = a->lingers ? 20 : MCQ_LINGER_NONE;
  if ((c & 32) != 0) o->welcome = "well";
  o->welcome_len = (c & 32) != 0 ? 4 : 0;
  a->net.faults.style = (sim_style_t) (d % SIM_STYLES);
  a->net.faults.tiny = (d & 4) != 0 ? 300 : 0;
  a->net.faults.delay = (d & 8) != 0 ? 2 : 0;
  a->net.faults.room = (d & 16) != 0 ? 3000 : 1 << 20;
}

static void open_all(audience_t* a) {
  mcq_socket_options_t o = {.data = a};
  mcq_endpoint_t at;
  sim_net_init(&a->net, 1 + mcq__cursor_left(&a->script));
  audience_listen(&o);
  choose(a, &o);
  mcq__seams_t seams = sim_net_seams(&a->net);
  mcq_ctx_options_t c = {.allocator = {take, give, a}, .data = a};
  must(uv_loop_init(&a->loop) == 0);
  must(mcq__ctx_open(&a->loop, &c, &seams, &a->ctx) == 0);
  a->io = &a->ctx->host.io;
  must(mcq_socket_new(a->ctx, &o, &a->s) == 0);
  must(mcq_bind(a->s, "sim://*", &at) == 0);
  snprintf(a->uri, sizeof a->uri, "%s", mcq_endpoint_uri(a->s, at));
  if (o.welcome_len != 0)
    rig_frame(&a->messages[0], 0, o.welcome, o.welcome_len);
  a->message_count = 1;
}

static void on_left(void* data) {
  ((audience_t*) data)->io = NULL;
}

static void on_socket_closed(const mcq_close_info_t* info) {
  ((audience_t*) info->data)->lost = info->lost_messages;
}

/* Who reads had all of it, and of the rest no more is lost than is owed. */
static void settle_up(const audience_t* a, const bool reads[VISITORS]) {
  uint64_t owed = 0;
  for (size_t i = 0; i < a->count; i++) {
    const visitor_t* v = &a->visitors[i];
    must(!audience_seated(v));
    must(v->taken + v->dropped + v->lost <= v->due_count);
    if (reads[i] && (a->flags & MCQ_CONFLATE) == 0)
      must(v->taken + v->dropped == v->due_count);
    owed += v->due_count - v->taken - v->dropped;
  }
  must(a->lost <= owed);
}

/* Everybody goes, and nothing is left. */
static void close_all(audience_t* a) {
  uint8_t byte = mcq__cursor_u8(&a->script);
  bool reads[VISITORS] = {false};
  if ((byte & 1) != 0) {
    mcq_close(a->s, on_socket_closed);
    a->closed = true;
    publish(a, true);
  }
  mcq_ctx_close(a->ctx, on_left);
  a->closed = true;
  for (size_t i = 0; i < a->count; i++) {
    visitor_t* v = &a->visitors[i];
    if ((byte & 2) != 0 && v->end != NULL) audience_hang_up(v);
    reads[i] = a->lingers && audience_seated(v) && audience_keeps_up(v);
  }
  while (a->io != NULL) {
    audience_run(a);
    if (a->io != NULL) audience_step(a);
  }
  for (size_t i = 0; i < a->count; i++)
    if (a->visitors[i].end != NULL) audience_hang_up(&a->visitors[i]);
  while (sim_net_next(&a->net) != MCQ__NEVER) audience_step(a);
  settle_up(a, reads);
  must(uv_run(&a->loop, UV_RUN_DEFAULT) == 0);
  must(uv_loop_close(&a->loop) == 0);
  sim_net_dispose(&a->net);
  must(a->blocks == 0);
}

/* The network's own complaints end with a core, not with an exit. */
static void die(void) {
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static audience_t audience;
  memset(&audience, 0, sizeof audience);
  sim_last_words = die;
  audience.script = mcq__cursor(mcq__slice_static(data, size));
  open_all(&audience);
  for (int i = 0; i < OPERATIONS && mcq__cursor_left(&audience.script) > 0; i++)
    operation(&audience);
  close_all(&audience);
  audience_free(&audience);
  return 0;
}
