/* SPDX-License-Identifier: MIT */
/* PubSubHub under a script of bytes, beside a plain list of who is there and
 * who asked for what, and a twin of each peer's queue that gets every message
 * the moment it is published.  Each operation is one byte that tells what to do
 * and mostly one that tells to whom; topics follow with their length.  Who is
 * to be told a message the list knows by comparing every byte; epochs that go
 * to other sockets, memory that runs out, queues that are full and messages
 * kept for later are part of it.  After each operation the hub must be whole
 * (hub_peers.h, prefix_fault.h) and hold what the list holds, and each queue
 * must have what its twin has, or, while something is kept, the beginning. */
#include "hub/pubsub.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "support/hub_peers.h"
#include "support/prefix_fault.h"
#include "support/scarce.h"

#define PORTS 12
#define KEPT 32
#define HELD 600
#define TEXT_MAX 80
#define OPERATIONS 400
#define ROOM 3 /* at first */

typedef struct held {
  size_t port;
  size_t len;
  bool told; /* to whoever wants to know what goes */
  uint8_t text[TEXT_MAX];
} held_t;

/* A queue that takes messages while there is room, each known by a letter. */
typedef struct queue {
  mcq__port_t port;
  struct rig* rig;
  uint64_t room;
  uint64_t promised; /* of it: what it said it has, and still must have */
  uint64_t count;    /* it has */
  uint64_t lost;
  bool broken; /* takes nothing, whatever the room */
  uint8_t letters[OPERATIONS];
} queue_t;

/* What is done about those that do not take a message, by port. */
typedef struct fate {
  unsigned again; /* it is tried once more */
  unsigned room;  /* and there is room then */
  unsigned seen;  /* who was full */
} fate_t;

typedef struct rig {
  mcq__cursor_t script;
  scarce_t memory;
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  mcq__window_t board; /* messages as they travel */
  uint64_t epochs;
  mcq__pubsub_t hub;
  queue_t queues[PORTS];
  queue_t twins[PORTS];      /* no ports, only books */
  mcq_peer_t handles[PORTS]; /* of the live; zeros: the port is not up */
  mcq_peer_t kept[KEPT];     /* handles that were good once */
  size_t kept_at;
  held_t* held;
  size_t count;
  int leaving;    /* the port whose prefixes may be told to go, or -1 */
  uint8_t letter; /* of the last message */
  fate_t fate;
} rig_t;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/* ---- the list ------------------------------------------------------------ */

static bool same(const held_t* h, mcq_frame_t text) {
  return h->len == text.len &&
         (text.len == 0 || memcmp(h->text, text.data, text.len) == 0);
}

static held_t* find(const rig_t* r, size_t port, mcq_frame_t text) {
  for (size_t i = 0; i < r->count; i++)
    if (r->held[i].port == port && same(&r->held[i], text)) return &r->held[i];
  return NULL;
}

static size_t holders(const rig_t* r, mcq_frame_t text) {
  size_t n = 0;
  for (size_t i = 0; i < r->count; i++) n += same(&r->held[i], text);
  return n;
}

static void note(rig_t* r, size_t port, mcq_frame_t text) {
  held_t* h = &r->held[r->count++];
  must(r->count <= HELD);
  h->port = port;
  h->len = text.len;
  h->told = false;
  if (text.len > 0) memcpy(h->text, text.data, text.len);
}

static void forget(rig_t* r, held_t* h) {
  *h = r->held[--r->count];
}

/* All of a port's, which must have been told to go. */
static void forget_all(rig_t* r, size_t port) {
  for (size_t i = r->count; i-- > 0;) {
    if (r->held[i].port != port) continue;
    must(r->held[i].told);
    forget(r, &r->held[i]);
  }
}

static size_t share(const rig_t* r, size_t port, uint64_t* bytes) {
  size_t n = 0;
  *bytes = 0;
  for (size_t i = 0; i < r->count; i++) {
    if (r->held[i].port != port) continue;
    n++;
    *bytes += r->held[i].len;
  }
  return n;
}

static bool wants(const rig_t* r, size_t port, mcq_frame_t topic) {
  for (size_t i = 0; i < r->count; i++) {
    const held_t* h = &r->held[i];
    if (h->port == port && h->len <= topic.len &&
        (h->len == 0 || memcmp(h->text, topic.data, h->len) == 0))
      return true;
  }
  return false;
}

/* ---- what the script picks ----------------------------------------------- */

static int owner_of(const rig_t* r, mcq_peer_t handle) {
  for (int i = 0; i < PORTS; i++)
    if (handle.epoch != 0 && same_peer(r->handles[i], handle)) return i;
  return -1;
}

/* A handle that is good, was good, or never was. */
static mcq_peer_t any_handle(rig_t* r) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  if (byte < 192) return r->handles[byte % PORTS];
  if (byte < 248) return r->kept[byte % KEPT];
  mcq_peer_t handle = {r->epochs + byte % 4U - 1, byte % 8U};
  return handle;
}

/* As the script has it, or letters that many a script has in common. */
static mcq_frame_t any_text(rig_t* r, uint8_t room[TEXT_MAX]) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  if (byte < 128) {
    mcq__slice_t text = mcq__cursor_take(&r->script, byte % (TEXT_MAX + 1));
    return (mcq_frame_t){text.data, text.len};
  }
  size_t len = byte % 4U;
  uint8_t letters = mcq__cursor_u8(&r->script);
  for (size_t i = 0; i < len; i++, letters = (uint8_t) (letters / 4))
    room[i] = (uint8_t) ('a' + letters % 4);
  return (mcq_frame_t){room, len};
}

/* ---- events -------------------------------------------------------------- */

static void on_gone(void* arg, mcq_frame_t prefix, bool last) {
  rig_t* r = (rig_t*) arg;
  must(r->leaving >= 0);
  held_t* h = find(r, (size_t) r->leaving, prefix);
  must(h != NULL && !h->told);
  h->told = true;
  must(last == (holders(r, prefix) == 1));
}

static void keep(rig_t* r, mcq_peer_t handle) {
  r->kept[r->kept_at++ % KEPT] = handle;
}

/* A port that is up renews itself; one that is not comes anew, or tries to
 * renew a handle it no longer has. */
static void come(rig_t* r, bool cheating) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  size_t port = byte % PORTS;
  mcq_peer_t again = r->handles[port];
  if (cheating && again.epoch == 0) again = r->kept[byte % KEPT];
  bool renewal = again.epoch != 0;
  bool stale = renewal && owner_of(r, again) < 0;
  if (renewal && !stale && owner_of(r, again) != (int) port) return;
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &r->queues[port].port, {NULL, 0}};
  mcq_peer_t handle = {0, 0};
  uint64_t before = r->epochs;
  r->leaving = renewal && !stale ? (int) port : -1;
  int rc = mcq__pubsub_up(&r->hub, &ev, &handle, on_gone, r);
  r->leaving = -1;
  if (rc != 0) {
    must(rc == (stale ? MCQ_EPEERGONE : MCQ_ENOMEM));
    must(stale || r->memory.left == 0);
    must(r->epochs == before);
    return;
  }
  must(!stale && handle.epoch == before + 1 && r->epochs == before + 1);
  must(!renewal || handle.slot == again.slot);
  forget_all(r, port);
  r->handles[port] = handle;
  keep(r, handle);
}

static void event_up(rig_t* r) {
  come(r, false);
}

static void event_up_cheating(rig_t* r) {
  come(r, true);
}

static void event_down(rig_t* r) {
  mcq_peer_t handle = any_handle(r);
  r->leaving = owner_of(r, handle);
  bool live = r->leaving >= 0;
  must(mcq__pubsub_down(&r->hub, handle, on_gone, r) == live);
  if (live) {
    forget_all(r, (size_t) r->leaving);
    r->handles[r->leaving] = (mcq_peer_t){0, 0};
  }
  r->leaving = -1;
}

/* Another socket's peer: its epoch is none of ours, whatever its slot. */
static void stranger(rig_t* r) {
  mcq_peer_t handle = {++r->epochs, mcq__cursor_u8(&r->script) % 16U};
  keep(r, handle);
}

/* ---- subscriptions ------------------------------------------------------- */

static bool too_much(const rig_t* r, size_t port, size_t len) {
  const mcq__pubsub_limits_t* l = &r->hub.limits;
  uint64_t bytes;
  size_t n = share(r, port, &bytes);
  return (l->prefixes != 0 && n >= l->prefixes) ||
         (l->prefix_bytes != 0 && len > l->prefix_bytes) ||
         (l->total_bytes != 0 && bytes + len > l->total_bytes);
}

static void subscribe(rig_t* r) {
  uint8_t room[TEXT_MAX];
  mcq_peer_t handle = any_handle(r);
  mcq_frame_t text = any_text(r, room);
  int owner = owner_of(r, handle);
  bool first = true;
  int expected = 0;
  if (owner < 0) {
    expected = MCQ_EPEERGONE;
  } else if (find(r, (size_t) owner, text) != NULL) {
    expected = MCQ_EEXIST;
  } else if (too_much(r, (size_t) owner, text.len)) {
    expected = MCQ_EMSGLIMIT;
  } else if (r->count == HELD) {
    return;
  }
  int rc = mcq__pubsub_subscribe(&r->hub, handle, text, &first);
  if (rc == MCQ_ENOMEM && expected == 0) {
    must(r->memory.left == 0 && !first);
    return;
  }
  must(rc == expected);
  must(first == (rc == 0 && holders(r, text) == 0));
  if (rc == 0) note(r, (size_t) owner, text);
}

static void cancel(rig_t* r) {
  uint8_t room[TEXT_MAX];
  mcq_peer_t handle = any_handle(r);
  mcq_frame_t text = any_text(r, room);
  int owner = owner_of(r, handle);
  held_t* h = owner < 0 ? NULL : find(r, (size_t) owner, text);
  bool last = true;
  int rc = mcq__pubsub_cancel(&r->hub, handle, text, &last);
  must(rc == (owner < 0 ? MCQ_EPEERGONE : h == NULL ? MCQ_ENOENT : 0));
  must(last == (rc == 0 && holders(r, text) == 1));
  if (rc == 0) forget(r, h);
}

/* ---- messages ------------------------------------------------------------ */

static queue_t* queue_of(mcq__port_t* port) {
  return mcq__container_of(port, queue_t, port);
}

static uint64_t queue_room(mcq__port_t* port, size_t size) {
  must(size > 0);
  queue_of(port)->promised = queue_of(port)->room;
  return queue_of(port)->room;
}

/* What is promised was answered before, and nothing else came in between; many
 * at a time always are. */
static void take_promise(queue_t* q, const mcq__peer_cmd_t* cmd) {
  const mcq__wired_t* w = cmd->body->wired;
  if (!cmd->promised) {
    must(w == NULL || w->count == 1);
    q->promised = 0;
    return;
  }
  must(w != NULL && w->count <= q->promised);
  if (!q->broken) q->promised -= w->count; /* else it may be told again */
}

static void put(queue_t* q, uint8_t letter) {
  must(q->room > 0 && q->count < OPERATIONS);
  q->room--;
  q->letters[q->count++] = letter;
}

static int queue_tell(mcq__port_t* port, const mcq__peer_cmd_t* cmd) {
  queue_t* q = queue_of(port);
  const mcq__wired_t* w = cmd->body->wired;
  take_promise(q, cmd);
  if (q->broken) return MCQ_ENOMEM;
  if (q->room == 0) return MCQ_EAGAIN;
  if (w == NULL) {
    put(q, q->rig->letter);
    return 0;
  }
  must(w->bytes.len == w->count * w->size && w->frames == w->count);
  must(w->payload == w->count * (w->size - 2));
  for (uint64_t i = 0; i < w->count; i++) put(q, w->bytes.data[i * w->size]);
  return 0;
}

static bool on_missed(void* arg, mcq_peer_t peer, int code, uint64_t count) {
  rig_t* r = (rig_t*) arg;
  fate_t* f = &r->fate;
  int owner = owner_of(r, peer);
  must(owner >= 0);
  queue_t* q = &r->queues[owner];
  bool first = (f->seen >> owner & 1) == 0;
  must(code == (q->broken ? MCQ_ENOMEM : MCQ_EAGAIN));
  if (code == MCQ_EAGAIN) {
    must(count == 1 && q->room == 0);
    f->seen |= 1U << owner;
    if (first && (f->room >> owner & 1)) q->room++;
    if (first && (f->again >> owner & 1)) return true;
  }
  q->lost += count;
  return false;
}

/* The same for the twin, at once.  Whether it took the message. */
static bool twin_takes(const rig_t* r, queue_t* twin, unsigned port) {
  bool retried = r->fate.again >> port & 1;
  bool full = twin->room == 0;
  if (full && !twin->broken) twin->room += r->fate.room >> port & 1;
  if (twin->broken || twin->room == 0 || (full && !retried)) {
    twin->lost++;
    return false;
  }
  put(twin, r->letter);
  return true;
}

static unsigned meant_by(const rig_t* r, mcq_frame_t topic, bool inverted) {
  unsigned meant = 0;
  for (unsigned i = 0; i < PORTS; i++)
    if (r->handles[i].epoch != 0 && wants(r, i, topic) != inverted)
      meant |= 1U << i;
  return meant;
}

/* How the hub is told of it: as frames, or as it travels, by which it may be
 * kept. */
static int publish_as(rig_t* r, mcq_frame_t topic, bool wired, bool refuse) {
  uint8_t bytes[12];
  size_t size = r->letter % 8 == 0 ? sizeof bytes : 7;
  mcq__wired_t w = {.size = size, .count = 1, .frames = 1, .payload = size - 2};
  mcq__body_t body = {.frames = &topic, .count = 1};
  if (wired) {
    memset(bytes, r->letter, sizeof bytes);
    mcq__window_poke(&r->board, 0, bytes, size);
    w.bytes = mcq__window_freeze(&r->board, size);
    body.wired = &w;
  }
  size_t calls = r->memory.calls;
  int rc = mcq__pubsub_publish(&r->hub, &body, refuse, on_missed, r);
  must(r->memory.calls == calls);
  mcq__slice_release(&w.bytes);
  return rc;
}

static void publish(rig_t* r) {
  uint8_t room[TEXT_MAX];
  uint8_t byte = mcq__cursor_u8(&r->script);
  mcq_frame_t topic = any_text(r, room);
  bool inverted = byte & 1;
  bool refuse = byte & 2;
  r->fate = (fate_t){0};
  if ((byte & 8) != 0) r->fate.again = mcq__cursor_u8(&r->script) * 17U;
  if ((byte & 8) != 0) r->fate.room = mcq__cursor_u8(&r->script) * 17U;
  r->letter++;
  unsigned meant = meant_by(r, topic, inverted);
  unsigned full = 0;
  unsigned broken = 0;
  int count = 0;
  for (unsigned i = 0; i < PORTS; i++) {
    if ((meant >> i & 1) == 0) continue;
    count++;
    broken |= (unsigned) r->twins[i].broken << i;
    full |= (unsigned) (r->twins[i].room == 0) << i;
  }
  must(mcq__pubsub_find(&r->hub, topic, inverted) == (size_t) count);
  int rc = publish_as(r, topic, (byte & 4) != 0, refuse);
  if (refuse && full != 0) {
    must(rc == MCQ_EAGAIN && r->fate.seen == 0);
    return;
  }
  int took = 0;
  for (unsigned i = 0; i < PORTS; i++)
    if (meant >> i & 1) took += twin_takes(r, &r->twins[i], i);
  must(r->fate.seen == (full & ~broken));
  /* Of a kept one it is not known yet who is broken. */
  must(rc == took || (broken != 0 && rc > took && rc <= count));
}

static void tell(rig_t* r) {
  static const mcq_frame_t part = {"you", 3};
  const mcq__body_t body = {.frames = &part, .count = 1};
  mcq_peer_t handle = any_handle(r);
  int owner = owner_of(r, handle);
  int expected = MCQ_EPEERGONE;
  r->letter++;
  if (owner >= 0) {
    queue_t* twin = &r->twins[owner];
    expected = twin->broken ? MCQ_ENOMEM : twin->room == 0 ? MCQ_EAGAIN : 0;
    if (expected == 0) put(twin, r->letter);
  }
  must(mcq__pubsub_tell(&r->hub, handle, &body) == expected);
}

/* Room grows at any time, also for those that are about to get what is kept. */
static void make_room(rig_t* r) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  uint64_t more = byte / PORTS;
  r->queues[byte % PORTS].room += more;
  r->twins[byte % PORTS].room += more;
}

/* A queue takes nothing at all from now on, or does so again. */
static void disturb(rig_t* r) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  mcq__pubsub_settle(&r->hub);
  r->queues[byte % PORTS].broken = byte >= 128;
  r->twins[byte % PORTS].broken = byte >= 128;
}

/* ---- the script ---------------------------------------------------------- */

static void check_queue(const rig_t* r, size_t i) {
  const queue_t* q = &r->queues[i];
  const queue_t* twin = &r->twins[i];
  must(q->count <= twin->count);
  must(memcmp(q->letters, twin->letters, q->count) == 0);
  if (mcq__pubsub_waits(&r->hub)) return;
  must(q->count == twin->count && q->room == twin->room);
  must(q->lost == twin->lost);
}

static void check(const rig_t* r) {
  const char* fault = roster_fault(&r->hub.roster);
  if (fault == NULL) fault = prefix_fault(&r->hub.prefixes);
  if (fault != NULL) fprintf(stderr, "%s\n", fault);
  must(fault == NULL);
  size_t live = 0;
  for (size_t i = 0; i < PORTS; i++) {
    uint64_t bytes;
    check_queue(r, i);
    size_t n = share(r, i, &bytes);
    uint32_t slot = r->handles[i].slot;
    must(r->handles[i].epoch != 0 || n == 0);
    if (r->handles[i].epoch == 0) continue;
    must(mcq__roster_port(&r->hub.roster, r->handles[i]) == &r->queues[i].port);
    mcq__prefix_share_t have = mcq__prefix_share(&r->hub.prefixes, slot);
    must(have.count == n && have.bytes == bytes);
    live++;
  }
  must(r->hub.roster.count == live && r->hub.roster.used <= PORTS);
  size_t distinct = 0;
  for (size_t i = 0; i < r->count; i++) {
    const held_t* h = &r->held[i];
    mcq_frame_t text = {h->text, h->len};
    must(mcq__prefix_holds(&r->hub.prefixes, r->handles[h->port].slot, text));
    size_t j = 0;
    while (!same(&r->held[j], text)) j++;
    distinct += j == i;
  }
  must(mcq__pubsub_prefixes(&r->hub) == distinct);
}

static void operation(rig_t* r) {
  static void (*const plays[16])(rig_t*) = {
      event_up,   event_up,  event_up_cheating,
      event_down, stranger,  make_room,
      tell,       cancel,    cancel,
      publish,    publish,   publish,
      publish,    subscribe, subscribe,
      subscribe};
  uint8_t byte = mcq__cursor_u8(&r->script);
  r->memory.left = byte < 224 ? -1 : byte % 4;
  if (byte >= 208 && byte < 224)
    byte % 2 == 0 ? mcq__pubsub_settle(&r->hub) : disturb(r);
  else
    plays[byte % 16](r);
  r->memory.left = -1;
}

static mcq__pubsub_limits_t any_limits(rig_t* r) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  mcq__pubsub_limits_t limits = {byte % 4U * 3, byte / 4 % 4U * 20,
                                 byte / 16 % 4U * 50};
  return limits;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static rig_t rig;
  memset(&rig, 0, sizeof rig);
  rig.memory.left = -1;
  rig.leaving = -1;
  rig.script = mcq__cursor(mcq__slice_static(data, size));
  rig.held = (held_t*) malloc(HELD * sizeof *rig.held);
  must(rig.held != NULL);
  mcq_allocator_t allocator = scarce_allocator(&rig.memory);
  must(mcq__mem_open(&rig.mem, &allocator) == 0);
  must(mcq__pool_open(&rig.pool, rig.mem) == 0);
  must(mcq__window_open(&rig.board, rig.pool, OPERATIONS * 12) == 0);
  for (int i = 0; i < PORTS; i++) {
    rig.queues[i] =
        (queue_t){.port = {queue_tell, queue_room}, .rig = &rig, .room = ROOM};
    rig.twins[i].room = ROOM;
  }
  mcq__pubsub_limits_t limits = any_limits(&rig);
  mcq__pubsub_init(&rig.hub, rig.mem, &rig.epochs, &limits);
  /* What matters shows in some dozens; thousands only take time. */
  for (int i = 0; i < OPERATIONS && mcq__cursor_left(&rig.script) > 0; i++) {
    operation(&rig);
    if (rig.count < 40 || i % 8 == 0) check(&rig);
  }
  check(&rig);
  mcq__pubsub_settle(&rig.hub);
  check(&rig);
  mcq__pubsub_dispose(&rig.hub);
  mcq__window_close(&rig.board);
  mcq__pool_close(rig.pool);
  must(mcq__mem_live(rig.mem) == 0);
  mcq__mem_close(rig.mem);
  free(rig.held);
  return 0;
}
