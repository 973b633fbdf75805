/* SPDX-License-Identifier: MIT */
/* Any bytes as the properties of READY.  Properties of ours: what is accepted
 * and written again is the same bytes, what is refused is refused by a naive
 * reading too, and looking a name up finds its first bearer whatever the case.
 */
#include <stdlib.h>

#include "zmtp/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len);

static void require(bool property) {
  if (!property) abort();
}

/* The properties in `data`, or -1, counted with sums that cannot wrap. */
static int naive_count(const uint8_t* data, size_t len) {
  uint64_t at = 0;
  int count = 0;
  while (at < len) {
    uint64_t name = data[at];
    if (name == 0 || at + 1 + name + 4 > len) return -1;
    uint64_t value = 0;
    for (uint64_t i = 0; i < 4; i++)
      value = value << 8 | data[at + 1 + name + i];
    if (at + 1 + name + 4 + value > len) return -1;
    at += 1 + name + 4 + value;
    if (++count > MCQ__PROPERTIES_MAX) return -1;
  }
  return count;
}

static void swap_case(char* name) {
  for (; *name != '\0'; name++) {
    bool upper = *name >= 'A' && *name <= 'Z';
    bool lower = *name >= 'a' && *name <= 'z';
    if (upper || lower) *name = (char) (*name ^ 0x20);
  }
}

static bool same_letters(mcq__slice_t a, mcq__slice_t b) {
  if (a.len != b.len) return false;
  for (size_t i = 0; i < a.len; i++) {
    uint8_t x = a.data[i];
    uint8_t y = b.data[i];
    bool letter = (x | 0x20) >= 'a' && (x | 0x20) <= 'z' && x < 0x80;
    if (x != y && !(letter && (x ^ y) == 0x20)) return false;
  }
  return true;
}

static void the_first_is_found(const mcq__property_t* p, size_t count) {
  for (size_t i = 0; i < count; i++) {
    char name[256];
    size_t first = 0;
    if (memchr(p[i].name.data, '\0', p[i].name.len) != NULL) continue;
    memcpy(name, p[i].name.data, p[i].name.len);
    name[p[i].name.len] = '\0';
    swap_case(name);
    while (!same_letters(p[first].name, p[i].name)) first++;
    require(mcq__metadata_find(p, count, name) == &p[first]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len) {
  mcq__property_t p[MCQ__PROPERTIES_MAX];
  size_t count;
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  mcq__slice_t again;
  mcq__slice_t in = mcq__slice_static(data, len);
  int rc = mcq__metadata_count(in, &count);
  int naive = naive_count(data, len);
  require(rc == (naive < 0 ? MCQ_EMETADATA : 0));
  if (rc != 0) return 0;
  require(count == (size_t) naive);
  mcq__metadata_read(in, p, count);
  require(mcq__mem_open(&mem, NULL) == 0);
  require(mcq__pool_open(&pool, mem) == 0);
  require(mcq__metadata_write(&again, pool, p, count) == 0);
  require(mcq__slice_equal(again, data, len));
  the_first_is_found(p, count);
  mcq__slice_release(&again);
  mcq__pool_close(pool);
  require(mcq__mem_live(mem) == 0);
  mcq__mem_close(mem);
  return 0;
}
