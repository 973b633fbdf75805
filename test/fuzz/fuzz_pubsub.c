/* SPDX-License-Identifier: MIT */
/* PubSubHub under a script of bytes, beside a plain list of who is there and
 * who asked for what.  Each operation is one byte that tells what to do and
 * mostly one that tells to whom; topics follow with their length.  Who is to
 * be told a message the list knows by comparing every byte; epochs that go to
 * other sockets, memory that runs out and ports that take nothing are part of
 * it.  After each operation the hub must be whole (hub_peers.h,
 * prefix_fault.h) and hold what the list holds. */
#include "hub/pubsub.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "support/hub_peers.h"
#include "support/prefix_fault.h"

#define PORTS 12
#define KEPT 32
#define HELD 600
#define TEXT_MAX 80

typedef struct held {
  size_t port;
  size_t len;
  bool told; /* to whoever wants to know what goes */
  uint8_t text[TEXT_MAX];
} held_t;

typedef struct rig {
  mcq__cursor_t script;
  int memory_left; /* allocations until memory runs out; -1: never */
  size_t calls;    /* of the allocator */
  mcq__mem_t* mem;
  uint64_t epochs;
  mcq__pubsub_t hub;
  fake_peer_t fakes[PORTS];
  mcq_peer_t handles[PORTS]; /* of the live; zeros: the port is not up */
  mcq_peer_t kept[KEPT];     /* handles that were good once */
  size_t kept_at;
  held_t* held;
  size_t count;
  int leaving; /* the port whose prefixes may be told to go, or -1 */
} rig_t;

#define must(truth)                                               \
  do {                                                            \
    if (!(truth)) {                                               \
      fprintf(stderr, "line %d: not so: %s\n", __LINE__, #truth); \
      abort();                                                    \
    }                                                             \
  } while (0)

static void* take(size_t size, void* arg) {
  rig_t* r = (rig_t*) arg;
  r->calls++;
  if (r->memory_left == 0) return NULL;
  if (r->memory_left > 0) r->memory_left--;
  return malloc(size);
}

static void give(void* block, void* arg) {
  (void) arg;
  free(block);
}

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
static void event_up(rig_t* r, bool cheating) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  size_t port = byte % PORTS;
  mcq_peer_t again = r->handles[port];
  if (cheating && again.epoch == 0) again = r->kept[byte % KEPT];
  bool renewal = again.epoch != 0;
  bool stale = renewal && owner_of(r, again) < 0;
  if (renewal && !stale && owner_of(r, again) != (int) port) return;
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &r->fakes[port].port, {NULL, 0}};
  mcq_peer_t handle = {0, 0};
  uint64_t before = r->epochs;
  r->leaving = renewal && !stale ? (int) port : -1;
  int rc = mcq__pubsub_up(&r->hub, &ev, &handle, on_gone, r);
  r->leaving = -1;
  if (rc != 0) {
    must(rc == (stale ? MCQ_EPEERGONE : MCQ_ENOMEM));
    must(stale || r->memory_left == 0);
    must(r->epochs == before);
    return;
  }
  must(!stale && handle.epoch == before + 1 && r->epochs == before + 1);
  must(!renewal || handle.slot == again.slot);
  forget_all(r, port);
  r->handles[port] = handle;
  keep(r, handle);
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
    must(r->memory_left == 0 && !first);
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

typedef struct fate {
  rig_t* r;
  unsigned again;    /* by port: whether it is tried once more */
  unsigned room;     /* and there is room then */
  unsigned missed;   /* who was asked about */
  unsigned answered; /* who did not take it at first */
} fate_t;

static bool on_missed(void* arg, mcq_peer_t peer, int code, uint64_t count) {
  fate_t* f = (fate_t*) arg;
  must(count == 1);
  int owner = owner_of(f->r, peer);
  must(owner >= 0);
  fake_peer_t* fake = &f->r->fakes[owner];
  must(code == fake->answer);
  if (f->missed >> owner & 1) { /* still none: it was tried once more */
    must(f->again >> owner & 1);
    return false;
  }
  f->missed |= 1U << owner;
  if (f->room >> owner & 1) fake->answer = 0;
  return f->again >> owner & 1;
}

static uint64_t fake_room(mcq__port_t* port, size_t size) {
  (void) size;
  return mcq__container_of(port, fake_peer_t, port)->answer != MCQ_EAGAIN;
}

/* Whether each got what it was meant to, once, and the others nothing. */
static int judge(const rig_t* r, const fate_t* f, const uint64_t told[PORTS],
                 unsigned meant, const mcq__body_t* body) {
  int sum = 0;
  for (unsigned i = 0; i < PORTS; i++) {
    bool is_meant = meant >> i & 1;
    bool missed = is_meant && (f->answered >> i & 1);
    bool retried = f->again >> i & f->room >> i & 1;
    bool took = is_meant && (!missed || retried);
    must((f->missed >> i & 1) == missed);
    must(r->fakes[i].told - told[i] == took);
    must(!took || r->fakes[i].body.frames == body->frames);
    sum += took;
  }
  return sum;
}

static void publish(rig_t* r) {
  uint8_t room[TEXT_MAX];
  uint8_t byte = mcq__cursor_u8(&r->script);
  mcq_frame_t parts[2] = {any_text(r, room), {"more", 4}};
  fate_t f = {.r = r};
  f.again = mcq__cursor_u8(&r->script) * 17U;
  f.room = mcq__cursor_u8(&r->script) * 17U;
  mcq__body_t body = {.frames = parts, .count = byte & 4 ? 2 : 1};
  unsigned meant = 0;
  uint64_t told[PORTS];
  bool held_back = false;
  if ((byte & 8) == 0) f.again = f.room = 0;
  for (unsigned i = 0; i < PORTS; i++) {
    told[i] = r->fakes[i].told;
    if (r->handles[i].epoch == 0) continue;
    if (wants(r, i, parts[0]) == ((byte & 1) != 0)) continue;
    meant |= 1U << i;
    if (r->fakes[i].answer != 0) f.answered |= 1U << i;
    held_back |= (byte & 2) && r->fakes[i].answer == MCQ_EAGAIN;
  }
  if (held_back) meant = 0;
  size_t calls = r->calls;
  size_t found = mcq__pubsub_find(&r->hub, parts[0], (byte & 1) != 0);
  int rc = mcq__pubsub_publish(&r->hub, &body, (byte & 2) != 0, on_missed, &f);
  must(held_back || found == (size_t) __builtin_popcount(meant));
  must(r->calls == calls);
  int sum = judge(r, &f, told, meant, &body);
  must(rc == (held_back ? MCQ_EAGAIN : sum));
}

static void tell(rig_t* r) {
  static const mcq_frame_t part = {"you", 3};
  const mcq__body_t body = {.frames = &part, .count = 1};
  mcq_peer_t handle = any_handle(r);
  int owner = owner_of(r, handle);
  uint64_t told[PORTS];
  for (int i = 0; i < PORTS; i++) told[i] = r->fakes[i].told;
  int rc = mcq__pubsub_tell(&r->hub, handle, &body);
  must(rc == (owner < 0 ? MCQ_EPEERGONE : r->fakes[owner].answer));
  for (int i = 0; i < PORTS; i++)
    must(r->fakes[i].told - told[i] == (rc == 0 && i == owner));
}

/* ---- the script ---------------------------------------------------------- */

static void check(const rig_t* r) {
  const char* fault = roster_fault(&r->hub.roster);
  if (fault == NULL) fault = prefix_fault(&r->hub.prefixes);
  if (fault != NULL) fprintf(stderr, "%s\n", fault);
  must(fault == NULL);
  size_t live = 0;
  for (size_t i = 0; i < PORTS; i++) {
    uint64_t bytes;
    size_t n = share(r, i, &bytes);
    uint32_t slot = r->handles[i].slot;
    must(r->handles[i].epoch != 0 || n == 0);
    if (r->handles[i].epoch == 0) continue;
    must(mcq__roster_port(&r->hub.roster, r->handles[i]) == &r->fakes[i].port);
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
  static const int answers[] = {0, MCQ_EAGAIN, MCQ_ENOMEM, 0};
  uint8_t byte = mcq__cursor_u8(&r->script);
  r->memory_left = byte < 224 ? -1 : byte % 4;
  switch (byte % 16) {
    case 0:
    case 1:
      event_up(r, false);
      break;
    case 2:
      event_up(r, true);
      break;
    case 3:
      event_down(r);
      break;
    case 4:
      stranger(r);
      break;
    case 5: {
      uint8_t which = mcq__cursor_u8(&r->script);
      r->fakes[which % PORTS].answer = answers[which / PORTS % 4];
      break;
    }
    case 6:
      tell(r);
      break;
    case 7:
    case 8:
      cancel(r);
      break;
    case 9:
    case 10:
    case 11:
      publish(r);
      break;
    default:
      subscribe(r);
      break;
  }
  r->memory_left = -1;
}

static mcq__pubsub_limits_t any_limits(rig_t* r) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  mcq__pubsub_limits_t limits = {byte % 4U * 3, byte / 4 % 4U * 20,
                                 byte / 16 % 4U * 50};
  return limits;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rig_t rig;
  memset(&rig, 0, sizeof rig);
  rig.memory_left = -1;
  rig.leaving = -1;
  rig.script = mcq__cursor(mcq__slice_static(data, size));
  rig.held = (held_t*) malloc(HELD * sizeof *rig.held);
  must(rig.held != NULL);
  mcq_allocator_t allocator = {take, give, &rig};
  must(mcq__mem_open(&rig.mem, &allocator) == 0);
  for (int i = 0; i < PORTS; i++) {
    fake_init(&rig.fakes[i]);
    rig.fakes[i].port.room = fake_room;
  }
  mcq__pubsub_limits_t limits = any_limits(&rig);
  mcq__pubsub_init(&rig.hub, rig.mem, &rig.epochs, &limits);
  /* What matters shows in some dozens; thousands only take time. */
  for (int i = 0; i < 400 && mcq__cursor_left(&rig.script) > 0; i++) {
    operation(&rig);
    if (rig.count < 40 || i % 8 == 0) check(&rig);
  }
  check(&rig);
  mcq__pubsub_dispose(&rig.hub);
  must(mcq__mem_live(rig.mem) == 0);
  mcq__mem_close(rig.mem);
  free(rig.held);
  return 0;
}
