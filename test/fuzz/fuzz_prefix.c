/* SPDX-License-Identifier: MIT */
/* The prefix table under a script of bytes, beside a plain list of who holds
 * what.  Each operation is one byte that tells what to do and one that tells
 * for whom; texts follow with their length, or are many made of a few bytes,
 * so that a short script can fill several blocks.  Both must answer alike, and
 * after each operation the table must be whole (prefix_fault.h). */
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "support/prefix_fault.h"
#include "support/scarce.h"

#define SLOTS 8
#define BUCKETS 64
#define BUCKET 32
#define TEXT_MAX 80

typedef struct held {
  uint32_t slot;
  size_t len;
  uint8_t text[TEXT_MAX];
} held_t;

/* Texts of one sum, and a few others. */
typedef struct bucket {
  size_t count;
  held_t held[BUCKET];
} bucket_t;

typedef struct rig {
  mcq__cursor_t script;
  scarce_t memory;
  mcq__mem_t* mem;
  mcq__prefix_t table;
  bucket_t* buckets;
  size_t count;
} rig_t;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/* ---- the list
 * ---------------------------------------------------------------- */

static bucket_t* bucket_of(const rig_t* r, mcq_frame_t text) {
  const uint8_t* bytes = (const uint8_t*) text.data;
  size_t sum = text.len;
  for (size_t i = 0; i < text.len; i++) sum = sum * 31 + bytes[i];
  return &r->buckets[sum % BUCKETS];
}

static bool same(const held_t* h, mcq_frame_t text) {
  return h->len == text.len &&
         (text.len == 0 || memcmp(h->text, text.data, text.len) == 0);
}

/* What says that `slot` holds a text, or NULL; and how many hold it. */
static held_t* find(const rig_t* r, uint32_t slot, mcq_frame_t text,
                    size_t* holders) {
  bucket_t* b = bucket_of(r, text);
  held_t* found = NULL;
  *holders = 0;
  for (size_t i = 0; i < b->count; i++) {
    if (!same(&b->held[i], text)) continue;
    ++*holders;
    if (b->held[i].slot == slot) found = &b->held[i];
  }
  return found;
}

static void forget(rig_t* r, mcq_frame_t text, held_t* h) {
  bucket_t* b = bucket_of(r, text);
  *h = b->held[--b->count];
  r->count--;
}

/* ---- operations
 * --------------------------------------------------------------- */

static mcq_frame_t any_text(rig_t* r) {
  size_t len = mcq__cursor_u8(&r->script) % (TEXT_MAX + 1);
  mcq__slice_t text = mcq__cursor_take(&r->script, len);
  return (mcq_frame_t){text.data, text.len};
}

static void add(rig_t* r, uint32_t slot, mcq_frame_t text) {
  size_t holders;
  bool first = true;
  bucket_t* b = bucket_of(r, text);
  if (b->count == BUCKET) return;
  bool held = find(r, slot, text, &holders) != NULL;
  int rc = mcq__prefix_add(&r->table, slot, text, &first);
  must((rc == MCQ_EEXIST) == held);
  must(rc == 0 || held || (rc == MCQ_ENOMEM && r->memory.left == 0));
  must(first == (rc == 0 && holders == 0));
  if (rc != 0) return;
  held_t* h = &b->held[b->count++];
  r->count++;
  h->slot = slot;
  h->len = text.len;
  if (text.len > 0) memcpy(h->text, text.data, text.len);
}

static void take_out(rig_t* r, uint32_t slot, mcq_frame_t text) {
  size_t holders;
  bool last = true;
  held_t* h = find(r, slot, text, &holders);
  int rc = mcq__prefix_remove(&r->table, slot, text, &last);
  must(rc == (h != NULL ? 0 : MCQ_ENOENT));
  must(last == (rc == 0 && holders == 1));
  if (rc == 0) forget(r, text, h);
}

/* The text of a number: a beginning that all share, and its digits. */
static mcq_frame_t numbered(uint8_t room[TEXT_MAX], size_t same_bytes,
                            uint32_t number) {
  size_t len = same_bytes % 40;
  memset(room, 'n', len);
  for (; number > 0; number /= 5) room[len++] = (uint8_t) ('0' + number % 5);
  return (mcq_frame_t){room, len};
}

static void many(rig_t* r, uint32_t slot, bool adding) {
  uint8_t room[TEXT_MAX];
  uint8_t same_bytes = mcq__cursor_u8(&r->script);
  uint32_t number = mcq__cursor_u16(&r->script);
  uint32_t step = mcq__cursor_u8(&r->script) + 1U;
  uint32_t n = mcq__cursor_u8(&r->script);
  for (uint32_t i = 0; i < n; i++, number += step) {
    mcq_frame_t text = numbered(room, same_bytes, number % 65536);
    if (adding) {
      add(r, slot, text);
    } else {
      take_out(r, slot, text);
    }
  }
}

typedef struct farewell {
  rig_t* r;
  uint32_t slot;
} farewell_t;

static void on_dropped(void* arg, mcq_frame_t prefix, bool last) {
  farewell_t* f = (farewell_t*) arg;
  size_t holders;
  held_t* h = find(f->r, f->slot, prefix, &holders);
  must(h != NULL);
  must(last == (holders == 1));
  forget(f->r, prefix, h);
}

static void drop(rig_t* r, uint32_t slot) {
  farewell_t f = {r, slot};
  mcq__prefix_drop(&r->table, slot, on_dropped, &f);
  for (size_t i = 0; i < BUCKETS; i++)
    for (size_t j = 0; j < r->buckets[i].count; j++)
      must(r->buckets[i].held[j].slot != slot);
}

/* Each found once, longest first, with holders the list knows; as many as the
 * list has. */
static void match(rig_t* r, mcq_frame_t topic) {
  mcq__order_chain_t chain = mcq__prefix_match(&r->table, topic);
  size_t found = 0;
  size_t expected = 0;
  size_t longest = SIZE_MAX;
  uint32_t id;
  while ((id = mcq__order_next(&chain)) != MCQ__NO_TEXT) {
    mcq_frame_t text = mcq__text_frame(&r->table.order.texts, id);
    mcq__holders_t holders = mcq__prefix_holders(&r->table, id);
    uint32_t slot;
    must(text.len < longest && text.len <= topic.len);
    longest = text.len;
    for (; (slot = mcq__holders_next(&holders)) != MCQ__NO_SLOT; found++) {
      size_t ignored;
      must(find(r, slot, text, &ignored) != NULL);
    }
  }
  for (size_t len = 0; len <= topic.len; len++) {
    size_t holders;
    find(r, 0, (mcq_frame_t){topic.data, len}, &holders);
    expected += holders;
  }
  must(found == expected);
}

static void operation(rig_t* r) {
  uint8_t byte = mcq__cursor_u8(&r->script);
  uint8_t other = mcq__cursor_u8(&r->script);
  uint32_t slot = other % SLOTS;
  uint8_t room[TEXT_MAX];
  r->memory.left = byte < 240 ? -1 : byte % 4;
  switch (byte % 8) {
    case 0:
    case 1:
      add(r, slot, any_text(r));
      break;
    case 2:
      take_out(r, slot, any_text(r));
      break;
    case 3:
      many(r, slot, true);
      break;
    case 4:
      many(r, slot, false);
      break;
    case 5:
      if (other >= 128) drop(r, slot);
      break;
    case 6:
      match(r, numbered(room, other, mcq__cursor_u16(&r->script)));
      break;
    default:
      match(r, any_text(r));
      break;
  }
  r->memory.left = -1;
}

static void check(const rig_t* r) {
  const char* fault = prefix_fault(&r->table);
  if (fault != NULL) fprintf(stderr, "%s\n", fault);
  must(fault == NULL);
  must(r->table.by_slot.count == r->count);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rig_t rig;
  memset(&rig, 0, sizeof rig);
  rig.memory.left = -1;
  rig.script = mcq__cursor(mcq__slice_static(data, size));
  rig.buckets = (bucket_t*) malloc(BUCKETS * sizeof(bucket_t));
  mcq_allocator_t allocator = scarce_allocator(&rig.memory);
  must(rig.buckets != NULL);
  for (size_t i = 0; i < BUCKETS; i++) rig.buckets[i].count = 0;
  must(mcq__mem_open(&rig.mem, &allocator) == 0);
  mcq__prefix_init(&rig.table, rig.mem);
  must(mcq__prefix_reserve(&rig.table, SLOTS - 1) == 0);
  /* What matters shows in a few operations; thousands only take time. */
  for (int i = 0; i < 24 && mcq__cursor_left(&rig.script) > 0; i++) {
    operation(&rig);
    if (rig.count < 100 || i % 8 == 0) check(&rig);
  }
  check(&rig);
  mcq__prefix_dispose(&rig.table);
  must(mcq__mem_live(rig.mem) == 0);
  mcq__mem_close(rig.mem);
  free(rig.buckets);
  return 0;
}
