/* SPDX-License-Identifier: MIT */
/* RouterHub under a script of bytes: each operation is one byte that tells
 * what to do and one that tells to whom; names follow with their length.
 * After each operation the hub must be whole (hub_peers.h), the rotation must
 * hold exactly the live peers that do not rest, and a message must have gone
 * where it was meant to go and nowhere else. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "hub/router.h"
#include "support/hub_peers.h"
#include "support/scarce.h"

#define PORTS 16
#define KEPT 32

typedef struct rig {
  mcq__cursor_t script;
  scarce_t memory;
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  uint64_t epochs;
  mcq__router_t hub;
  fake_peer_t fakes[PORTS];
  mcq_peer_t handles[PORTS]; /* of the live; zeros: the port is not up */
  bool rests[PORTS];
  mcq_peer_t kept[KEPT]; /* handles that were good once */
  size_t kept_at;
} rig_t;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

static int owner_of(const rig_t* r, mcq_peer_t handle) {
  for (int i = 0; i < PORTS; i++)
    if (handle.epoch != 0 && same_peer(r->handles[i], handle)) return i;
  return -1;
}

/* A handle that is good, was good, or never was. */
static mcq_peer_t any_handle(rig_t* r) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  if (byte < 128) return r->handles[byte % PORTS];
  if (byte < 240) return r->kept[byte % KEPT];
  mcq_peer_t handle = {r->epochs + byte % 4U - 1, byte % 8U};
  return handle;
}

static mcq_frame_t any_name(rig_t* r) {
  size_t len = mcq__cursor_u8(&r->script);
  if (len >= 250) len += 2; /* there is no room for 256 in a byte */
  mcq__slice_t name = mcq__cursor_take(&r->script, len);
  return (mcq_frame_t){name.data, name.len};
}

/* ---- events -------------------------------------------------------------- */

static void gone(rig_t* r, mcq_peer_t handle) {
  int owner = owner_of(r, handle);
  must(owner >= 0);
  r->handles[owner] = (mcq_peer_t){0, 0};
}

static void came(rig_t* r, size_t port, mcq_frame_t name, mcq_peer_t handle) {
  mcq__slice_t id = mcq__router_id(&r->hub, handle);
  const uint8_t* bytes = (const uint8_t*) name.data;
  must(handle.epoch == r->epochs);
  if (name.len > 0 && name.len <= MCQ__NAME_MAX && bytes[0] != 0) {
    must(mcq__slice_equal(id, name.data, name.len));
  } else {
    must(id.len == MCQ__NAME_MADE && id.data[0] == 0);
  }
  must(same_peer(mcq__router_find(&r->hub, id.data, id.len), handle));
  r->handles[port] = handle;
  r->rests[port] = false;
  r->kept[r->kept_at++ % KEPT] = handle;
}

/* A port that is up renews itself; one that is not comes anew, or tries to
 * renew a handle it no longer has. */
static void event_up(rig_t* r, bool cheating) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  size_t port = byte % PORTS;
  mcq_peer_t again = r->handles[port];
  if (cheating && again.epoch == 0) again = r->kept[byte % KEPT];
  bool stale = again.epoch != 0 && owner_of(r, again) != (int) port;
  if (stale && owner_of(r, again) >= 0) return;
  mcq_frame_t name = any_name(r);
  mcq_peer_t holder = mcq__router_find(&r->hub, name.data, name.len);
  mcq__hub_event_t ev = {MCQ__HUB_UP, again, &r->fakes[port].port, name};
  mcq_peer_t handle = {0, 0};
  mcq_peer_t displaced = {1, 1};
  uint64_t before = r->epochs;
  int rc = mcq__router_up(&r->hub, &ev, &handle, &displaced);
  if (rc != 0) {
    must(rc == MCQ_EPEERGONE || rc == MCQ_ETWIN || rc == MCQ_ENOMEM);
    must((rc == MCQ_EPEERGONE) == stale);
    must(rc != MCQ_ETWIN || (r->hub.refuse_twins && holder.epoch != 0));
    must(rc != MCQ_ENOMEM || r->memory.left == 0);
    must(is_nobody(displaced) && r->epochs == before);
    return;
  }
  must(!stale);
  if (!is_nobody(displaced)) {
    must(!r->hub.refuse_twins && same_peer(displaced, holder));
    gone(r, displaced);
  }
  came(r, port, name, handle);
}

static void event_down(rig_t* r) {
  mcq_peer_t handle = any_handle(r);
  bool live = owner_of(r, handle) >= 0;
  must(mcq__router_down(&r->hub, handle) == live);
  if (live) gone(r, handle);
}

static void event_room(rig_t* r, bool room) {
  mcq_peer_t handle = any_handle(r);
  int owner = owner_of(r, handle);
  if (room) {
    mcq__router_room(&r->hub, handle);
  } else {
    mcq__router_rest(&r->hub, handle);
  }
  if (owner >= 0) r->rests[owner] = !room;
}

/* ---- commands ------------------------------------------------------------ */

/* Sends, and returns the port that took it, or -1. */
static int sent_to(rig_t* r, const mcq__user_cmd_t* cmd, int* rc) {
  uint64_t before[PORTS];
  int taker = -1;
  for (int i = 0; i < PORTS; i++) before[i] = r->fakes[i].told;
  *rc = mcq__router_user(&r->hub, cmd);
  for (int i = 0; i < PORTS; i++) {
    if (r->fakes[i].told == before[i]) continue;
    must(taker < 0 && r->fakes[i].told == before[i] + 1);
    must(r->fakes[i].body.frames == cmd->body->frames);
    taker = i;
  }
  must((*rc == 0) == (taker >= 0));
  return taker;
}

static void command(rig_t* r, mcq__address_t to) {
  static const mcq_frame_t part = {"", 0};
  mcq__user_cmd_t cmd;
  memset(&cmd, 0, sizeof cmd);
  cmd.to = to;
  const mcq__body_t body = {.frames = &part, .count = 1};
  cmd.body = &body;
  int meant = -1;
  if (to == MCQ__TO_NAME) {
    cmd.name = any_name(r);
    mcq_peer_t holder = mcq__router_find(&r->hub, cmd.name.data, cmd.name.len);
    meant = owner_of(r, holder);
  } else if (to == MCQ__TO_PEER) {
    cmd.peer = any_handle(r);
    meant = owner_of(r, cmd.peer);
  }
  int rc;
  int taker = sent_to(r, &cmd, &rc);
  if (to == MCQ__TO_ANYONE) {
    must(taker < 0 || !r->rests[taker]);
    for (int i = 0; i < PORTS && rc == MCQ_EAGAIN; i++) {
      must(r->handles[i].epoch == 0 || r->rests[i] ||
           r->fakes[i].answer == MCQ_EAGAIN);
    }
  } else if (meant < 0) {
    must(rc == (to == MCQ__TO_NAME ? MCQ_EHOSTUNREACH : MCQ_EPEERGONE));
  } else {
    must(rc == r->fakes[meant].answer && (rc != 0 || taker == meant));
  }
}

/* ---- the script ---------------------------------------------------------- */

/* Whoever was asked and answered "full" rests. */
static void note_full(rig_t* r, const uint64_t asked[PORTS]) {
  for (int i = 0; i < PORTS; i++)
    if (r->fakes[i].asked != asked[i] && r->fakes[i].answer == MCQ_EAGAIN)
      r->rests[i] = true;
}

static void check(const rig_t* r) {
  const char* fault = router_fault(&r->hub);
  if (fault != NULL) fprintf(stderr, "%s\n", fault);
  must(fault == NULL);
  size_t live = 0;
  size_t turns = 0;
  for (int i = 0; i < PORTS; i++) {
    if (r->handles[i].epoch == 0) continue;
    must(mcq__roster_port(&r->hub.roster, r->handles[i]) == &r->fakes[i].port);
    must(r->hub.rotation.links[r->handles[i].slot].in == !r->rests[i]);
    live++;
    turns += !r->rests[i];
  }
  must(r->hub.roster.count == live && r->hub.rotation.count == turns);
  must(mcq__router_open(&r->hub) == (turns > 0));
  must(r->hub.roster.used <= PORTS + 1);
}

static void operation(rig_t* r) {
  static const int answers[] = {0, MCQ_EAGAIN, MCQ_ENOMEM, MCQ_EAGAIN};
  uint8_t byte = mcq__cursor_u8(&r->script);
  r->memory.left = byte < 224 ? -1 : byte % 4;
  switch (byte % 16) {
    case 0:
    case 1:
    case 2:
      event_up(r, false);
      break;
    case 3:
      event_up(r, true);
      break;
    case 4:
      event_down(r);
      break;
    case 5:
      event_room(r, true);
      break;
    case 6:
      event_room(r, false);
      break;
    case 7: {
      uint8_t which = mcq__cursor_u8(&r->script);
      r->fakes[which % PORTS].answer = answers[which / PORTS % 4];
      break;
    }
    case 8: /* the counter of made-up ids comes round */
      r->hub.names.counter = mcq__cursor_u8(&r->script) - 128U;
      break;
    case 9:
    case 10:
      command(r, MCQ__TO_NAME);
      break;
    case 11:
    case 12:
      command(r, MCQ__TO_PEER);
      break;
    default:
      command(r, MCQ__TO_ANYONE);
      break;
  }
  r->memory.left = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const uint64_t seed[2] = {0, 0};
  rig_t rig;
  memset(&rig, 0, sizeof rig);
  rig.memory.left = -1;
  rig.script = mcq__cursor(mcq__slice_static(data, size));
  mcq_allocator_t allocator = scarce_allocator(&rig.memory);
  must(mcq__mem_open(&rig.mem, &allocator) == 0);
  must(mcq__pool_open(&rig.pool, rig.mem) == 0);
  for (int i = 0; i < PORTS; i++) fake_init(&rig.fakes[i]);
  bool refuse_twins = mcq__cursor_u8(&rig.script) % 2 != 0;
  mcq__router_init(&rig.hub, rig.pool, &rig.epochs, seed, refuse_twins);
  while (mcq__cursor_left(&rig.script) > 0) {
    uint64_t asked[PORTS];
    for (int i = 0; i < PORTS; i++) asked[i] = rig.fakes[i].asked;
    operation(&rig);
    note_full(&rig, asked);
    check(&rig);
  }
  mcq__router_dispose(&rig.hub);
  mcq__pool_close(rig.pool);
  must(mcq__mem_live(rig.mem) == 0);
  mcq__mem_close(rig.mem);
  return 0;
}
