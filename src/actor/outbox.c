/* SPDX-License-Identifier: MIT */
/* The outgoing queue of one peer (see outbox.h).  Called by the actor alone;
 * knows frames through the protocol's header functions, never the wire. */
#include "actor/outbox.h"

/* Bodies up to this size are copied beside their headers; larger ones are
 * shared.  Where both cost the same is between 1 and 8 KiB. */
#define COPY_MAX ((size_t) 2048)

/* Storage for more elements is not kept for the next time, so that a queue that
 * was very long once does not weigh on a busy connection: as many messages of
 * different sizes as one takes by default. */
#define KEPT_MAX 1024

static void give_back(mcq__idle_t* idle) {
  mcq__outbox_shrink(mcq__container_of(idle, mcq__outbox_t, idle));
}

void mcq__outbox_init(mcq__outbox_t* o, mcq__pool_t* pool,
                      const mcq__protocol_t* protocol,
                      const mcq__marks_t* marks) {
  mcq__mem_t* mem = mcq__pool_mem(pool);
  o->pool = pool;
  o->protocol = protocol;
  mcq__chain_init(&o->chain, mem);
  mcq__fifo_init(&o->runs, mem, sizeof(mcq__run_t));
  o->arena = (mcq__arena_t){0};
  o->messages = 0;
  o->handed = 0;
  o->written = 0;
  o->flight = 0;
  o->marks = *marks;
  o->streak = (mcq__streak_t){0};
  o->peak_messages = 0;
  o->peak_bytes = 0;
  o->nothing = 0;
  o->idle = (mcq__idle_t){.give_back = give_back};
  o->sent = (mcq__outgoing_t){0};
}

/* Something leaves the queue. */
static void note_peak(mcq__outbox_t* o) {
  mcq__outbox_ask(o);
  uint64_t messages;
  uint64_t bytes;
  mcq__outbox_peak(o, &messages, &bytes);
  o->peak_messages = messages;
  o->peak_bytes = bytes;
}

void mcq__outbox_dispose(mcq__outbox_t* o) {
  if (o->pool == NULL) return;
  mcq__outbox_ask(o);
  mcq__io_idle_end(&o->idle);
  mcq__arena_close(&o->arena);
  mcq__chain_dispose(&o->chain);
  mcq__fifo_dispose(&o->runs);
  o->messages = 0;
}

void mcq__outbox_clear(mcq__outbox_t* o) {
  note_peak(o);
  mcq__chain_clear(&o->chain);
  while (o->runs.count > 0) mcq__fifo_shift(&o->runs);
  o->messages = 0;
  o->handed = 0;
  o->written = 0;
  o->flight = 0;
}

static inline int put_copied(mcq__outbox_t* o, mcq_frame_t frame, bool more) {
  int rc = mcq__arena_need(&o->arena, o->pool, MCQ__HEAD_MAX + frame.len);
  if (mcq__unlikely(rc != 0)) return rc;
  mcq__window_t* w = &o->arena.window;
  size_t head_len =
      o->protocol->head(mcq__window_head(w, MCQ__HEAD_MAX), frame.len, more);
  mcq__window_poke(w, head_len, frame.data, frame.len);
  return mcq__chain_commit(&o->chain, w, head_len + frame.len);
}

/* Bytes as they travel. */
static int put_bytes(mcq__outbox_t* o, const uint8_t* data, size_t len) {
  int rc = mcq__arena_need(&o->arena, o->pool, len);
  if (rc != 0) return rc;
  mcq__window_poke(&o->arena.window, 0, data, len);
  return mcq__chain_commit(&o->chain, &o->arena.window, len);
}

static int put_shared(mcq__outbox_t* o, mcq__slice_t frame, bool more) {
  uint8_t head[MCQ__HEAD_MAX];
  size_t head_len = o->protocol->head(head, frame.len, more);
  mcq__slice_t kept;
  int rc = mcq__slice_keep(&kept, o->pool, frame);
  if (rc != 0) return rc;
  rc = put_bytes(o, head, head_len);
  if (rc == 0) rc = mcq__chain_push(&o->chain, kept);
  mcq__slice_release(&kept);
  return rc;
}

static int put_frame(mcq__outbox_t* o, const mcq__body_t* body, size_t i) {
  bool more = i + 1 < body->count;
  if (body->slices != NULL && body->slices[i].len > COPY_MAX)
    return put_shared(o, body->slices[i], more);
  return put_copied(o, mcq__body_frame(body, i), more);
}

/* What was put together for many is shared where it is large, where it
 * continues the last message, and where others may continue it: nothing else
 * waits, or it is the first of its memory.  Small messages between those of
 * others are copied, since each would be a piece of its own that holds its
 * neighbours. */
static bool worth_sharing(const mcq__outbox_t* o, mcq__slice_t bytes) {
  return bytes.len > COPY_MAX || o->chain.bytes == 0 || mcq__slice_leads(bytes);
}

static int put_wired(mcq__outbox_t* o, mcq__slice_t bytes) {
  if (mcq__chain_join(&o->chain, bytes)) return 0;
  if (worth_sharing(o, bytes)) return mcq__chain_push(&o->chain, bytes);
  return put_bytes(o, bytes.data, bytes.len);
}

/* `count` messages of `size` bytes came. */
static int note_messages(mcq__outbox_t* o, uint64_t size, uint64_t count) {
  mcq__run_t* last = (mcq__run_t*) mcq__fifo_last(&o->runs);
  if (mcq__likely(last != NULL && last->size == size)) {
    last->count += count;
  } else {
    last = (mcq__run_t*) mcq__fifo_push(&o->runs);
    if (last == NULL) return MCQ_ENOMEM;
    last->size = size;
    last->count = count;
  }
  o->messages += count;
  return 0;
}

/* How many of `size` bytes fit below a mark of bytes, before it is reached. */
static uint64_t fit(uint64_t mark, uint64_t bytes, size_t size) {
  if (bytes >= mark) return 0;
  return size == 0 ? 1 : (mark - bytes - 1) / size + 1;
}

/* How many more reach neither mark. */
static uint64_t below(const mcq__marks_t* marks, uint64_t messages,
                      uint64_t bytes, size_t size) {
  uint64_t few = fit(marks->few_bytes, bytes, size);
  uint64_t all = fit(marks->bytes, bytes, size);
  uint64_t room = messages < marks->messages ? marks->messages - messages : 0;
  if (room < few) room = few;
  return room < all ? room : all;
}

static uint64_t twofold(uint64_t mark) {
  return mark <= UINT64_MAX / 2 ? 2 * mark : UINT64_MAX;
}

uint64_t mcq__outbox_room(const mcq__outbox_t* o, size_t size) {
  mcq__marks_t twice = {twofold(o->marks.messages), twofold(o->marks.bytes),
                        twofold(o->marks.few_bytes)};
  uint64_t queued = below(&o->marks, mcq__outbox_queued(o),
                          mcq__outbox_queued_bytes(o), size);
  uint64_t all = below(&twice, o->messages, o->chain.bytes - o->written, size);
  return queued < all ? queued : all;
}

/* At or below half of the marks. */
static bool thin(const mcq__outbox_t* o, uint64_t messages, uint64_t bytes) {
  return bytes <= o->marks.bytes / 2 &&
         (messages <= o->marks.messages / 2 || bytes <= o->marks.few_bytes / 2);
}

bool mcq__outbox_low(const mcq__outbox_t* o) {
  return thin(o, mcq__outbox_queued(o), mcq__outbox_queued_bytes(o)) &&
         thin(o, o->messages / 2, (o->chain.bytes - o->written) / 2);
}

/* How many can be stamped into the window one after the other. */
static size_t stamps(const mcq__window_t* w, size_t len, size_t size) {
  size_t room = mcq__window_room(w);
  return room < MCQ__STAMP + len ? 0 : (room - MCQ__STAMP - len) / size + 1;
}

static uint32_t least(uint64_t a, uint64_t b, uint64_t c) {
  if (b < a) a = b;
  if (c < a) a = c;
  return a < UINT32_MAX ? (uint32_t) a : UINT32_MAX;
}

void mcq__outbox_allow(mcq__outbox_t* o, size_t len, size_t limit) {
  const mcq__window_t* w = &o->arena.window;
  const mcq__run_t* run = (const mcq__run_t*) mcq__fifo_last(&o->runs);
  mcq__streak_t* k = &o->streak;
  k->left = 0;
  if (len > UINT32_MAX - MCQ__STAMP || run == NULL ||
      !mcq__chain_touches(&o->chain, w))
    return;
  k->head_len = (uint32_t) o->protocol->head(k->head, len, false);
  size_t size = k->head_len + len;
  if (run->size != size || mcq__outbox_full(o)) return;
  k->len = (uint32_t) len;
  k->left = least(stamps(w, len, size), mcq__outbox_room(o, size),
                  fit(limit, o->chain.bytes, size));
}

static int put_many(mcq__outbox_t* o, const mcq__wired_t* wired) {
  size_t before = o->chain.bytes;
  int rc = put_wired(o, wired->bytes);
  if (rc == 0) rc = note_messages(o, wired->size, wired->count);
  if (mcq__unlikely(rc != 0)) mcq__chain_cut(&o->chain, before);
  return rc;
}

static int put_one(mcq__outbox_t* o, const mcq__body_t* body) {
  size_t before = o->chain.bytes;
  int rc = 0;
  for (size_t i = 0; i < body->count && rc == 0; i++)
    rc = put_frame(o, body, i);
  if (rc == 0 && o->chain.bytes == before) {
    o->nothing++;
    return 0;
  }
  if (mcq__likely(rc == 0)) rc = note_messages(o, o->chain.bytes - before, 1);
  if (mcq__unlikely(rc != 0)) mcq__chain_cut(&o->chain, before);
  return rc;
}

int mcq__outbox_put(mcq__outbox_t* o, const mcq__body_t* body,
                    uint64_t* payload) {
  mcq__outbox_ask(o);
  if (body->wired != NULL) {
    *payload = body->wired->payload;
    return put_many(o, body->wired);
  }
  *payload = 0;
  for (size_t i = 0; i < body->count; i++)
    *payload += mcq__body_frame(body, i).len;
  return put_one(o, body);
}

size_t mcq__outbox_fill(const mcq__outbox_t* o, size_t limit, mcq__iov_t* out,
                        size_t max, size_t* total) {
  return mcq__chain_fill(&o->chain, o->written + o->flight, limit, out, max,
                         total);
}

/* Messages that end within the first `*bytes` of the chain; leaves there how
 * many bytes of the next one are among them. */
static uint64_t ended_within(const mcq__outbox_t* o, uint64_t* bytes) {
  uint64_t ended = 0;
  for (size_t i = 0; i < o->runs.count; i++) {
    const mcq__run_t* run = (const mcq__run_t*) mcq__fifo_at(&o->runs, i);
    uint64_t n = run->count == 1 ? *bytes >= run->size : *bytes / run->size;
    if (n > run->count) n = run->count;
    ended += n;
    *bytes -= n * run->size;
    if (n < run->count) break;
  }
  return ended;
}

void mcq__outbox_hand(mcq__outbox_t* o, size_t n) {
  note_peak(o);
  o->flight += n;
  uint64_t bytes = o->written + o->flight;
  o->handed = ended_within(o, &bytes);
}

/* Takes `n` messages of the first run out of the books. */
static void forget(mcq__outbox_t* o, uint64_t n) {
  mcq__run_t* run = (mcq__run_t*) mcq__fifo_first(&o->runs);
  mcq__chain_drain(&o->chain, (size_t) (n * run->size));
  o->messages -= n;
  run->count -= n;
  if (run->count == 0) mcq__fifo_shift(&o->runs);
}

void mcq__outbox_wrote(mcq__outbox_t* o, size_t n) {
  note_peak(o);
  o->flight = 0;
  o->handed = 0;
  o->written += n;
  while (o->runs.count > 0) {
    mcq__run_t* run = (mcq__run_t*) mcq__fifo_first(&o->runs);
    if (o->written < run->size) break;
    uint64_t size = run->size;
    uint64_t done = run->count == 1 ? 1 : o->written / size;
    if (done > run->count) done = run->count;
    forget(o, done);
    o->written -= (size_t) (done * size);
  }
}

size_t mcq__outbox_rest_of_message(const mcq__outbox_t* o) {
  if (o->written == 0) return 0;
  const mcq__run_t* run = (const mcq__run_t*) mcq__fifo_first(&o->runs);
  return (size_t) run->size - o->written;
}

uint64_t mcq__outbox_unsure(const mcq__outbox_t* o, bool* begun) {
  uint64_t rest = o->written + o->flight;
  uint64_t ended = ended_within(o, &rest);
  *begun = rest > 0;
  return ended;
}

void mcq__outbox_rewind(mcq__outbox_t* o) {
  mcq__outbox_wrote(o, o->flight);
  o->written = 0;
}

/* One frame at `at` of the chain, borrowed; returns its size with the header.
 * put_frame keeps every body in one piece, so it is one slice. */
static size_t frame_at(const mcq__outbox_t* o, size_t at, mcq__slice_t* out,
                       bool* more) {
  uint8_t head[MCQ__HEAD_MAX];
  size_t have = o->chain.bytes - at;
  if (have > sizeof head) have = sizeof head;
  mcq__chain_peek(&o->chain, at, head, have);
  uint64_t len;
  size_t head_len = o->protocol->unhead(head, have, &len, more);
  *out = mcq__chain_slice(&o->chain, at + head_len, (size_t) len);
  return head_len + (size_t) len;
}

size_t mcq__outbox_rest_of_frame(const mcq__outbox_t* o) {
  size_t end = 0;
  mcq__slice_t frame;
  bool more;
  while (end < o->written) end += frame_at(o, end, &frame, &more);
  return end - o->written;
}

/* The run of the message behind the first `n` and its place, or NULL. */
static mcq__run_t* run_behind(const mcq__outbox_t* o, uint64_t n,
                              size_t* place) {
  for (size_t i = 0; i < o->runs.count; i++) {
    mcq__run_t* run = (mcq__run_t*) mcq__fifo_at(&o->runs, i);
    *place = i;
    if (n < run->count) return run;
    n -= run->count;
  }
  return NULL;
}

/* Where the first message begins that was not begun; `*run`: its run, or
 * NULL; `*place`: which one that is. */
static size_t first_unsent(const mcq__outbox_t* o, mcq__run_t** run,
                           size_t* place) {
  size_t touched = o->written + o->flight;
  uint64_t rest = touched;
  uint64_t begun = ended_within(o, &rest);
  if (rest != 0) {
    touched += (size_t) (run_behind(o, begun, place)->size - rest);
    begun++;
  }
  *run = run_behind(o, begun, place);
  return touched;
}

/* Takes out run `i`, which is empty.  The few before it, of messages that were
 * begun, move up: a queue may shed for as long as its peer is stuck. */
static void drop_run(mcq__outbox_t* o, size_t i) {
  for (; i > 0; i--)
    *(mcq__run_t*) mcq__fifo_at(&o->runs, i) =
        *(mcq__run_t*) mcq__fifo_at(&o->runs, i - 1);
  mcq__fifo_shift(&o->runs);
}

bool mcq__outbox_all_begun(const mcq__outbox_t* o) {
  mcq__run_t* run;
  size_t place;
  first_unsent(o, &run, &place);
  return run == NULL;
}

bool mcq__outbox_shed(mcq__outbox_t* o) {
  mcq__run_t* run;
  size_t place;
  size_t at = first_unsent(o, &run, &place);
  if (run == NULL) return false;
  note_peak(o);
  if (mcq__chain_take_out(&o->chain, at, (size_t) run->size) != 0) return false;
  run->count--;
  o->messages--;
  if (run->count == 0) drop_run(o, place);
  return true;
}

ssize_t mcq__outbox_next(const mcq__outbox_t* o, mcq__outbox_walk_t* walk) {
  mcq__run_t* run;
  size_t place;
  if (!walk->started) walk->at = first_unsent(o, &run, &place);
  walk->started = true;
  size_t count = 0;
  bool more = walk->at < o->chain.bytes;
  while (more) {
    if (count == walk->cap) {
      int rc = mcq__mem_grow(mcq__pool_mem(o->pool), (void**) &walk->frames,
                             &walk->cap, count + 1, sizeof *walk->frames);
      if (rc != 0) return rc;
    }
    walk->at += frame_at(o, walk->at, &walk->frames[count++], &more);
  }
  return (ssize_t) count;
}

void mcq__outbox_walk_end(const mcq__outbox_t* o, mcq__outbox_walk_t* walk) {
  mcq__mem_free(mcq__pool_mem(o->pool), walk->frames);
  walk->frames = NULL;
}

bool mcq__outbox_rest(mcq__outbox_t* o) {
  if (o->chain.bytes != 0) return false;
  mcq__outbox_ask(o);
  mcq__arena_rest(&o->arena);
  uint32_t runs = mcq__fifo_storage(&o->runs);
  uint32_t parts = mcq__chain_storage(&o->chain);
  if (runs <= MCQ__FIFO_FIRST && parts <= MCQ__FIFO_FIRST) return false;
  if (runs <= KEPT_MAX && parts <= KEPT_MAX) return true;
  mcq__outbox_shrink(o);
  return false;
}

void mcq__outbox_shrink(mcq__outbox_t* o) {
  if (o->chain.bytes != 0) return;
  mcq__chain_rest(&o->chain);
  mcq__fifo_rest(&o->runs);
}
