/* SPDX-License-Identifier: MIT */
/* Any bytes as a command body.  Properties: name and data are exactly the
 * bytes, putting them together gives the same body, and a queued command reads
 * back as itself. */
#include <stdlib.h>

#include "zmtp/command.h"
#include "zmtp/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len);

static void require(bool property) {
  if (!property) abort();
}

static void same_when_sent(mcq__pool_t* pool, const mcq__command_t* c,
                           const uint8_t* data, size_t len) {
  char name[256];
  mcq__chain_t chain;
  mcq__frame_t f;
  const char* why;
  mcq__chain_init(&chain, mcq__pool_mem(pool));
  mcq__printable(name, sizeof name, c->name);
  require(mcq__command_send(&chain, pool, name, c->data) == 0);
  size_t total = chain.bytes;
  uint8_t* wire = (uint8_t*) malloc(total);
  require(wire != NULL);
  mcq__chain_peek(&chain, 0, wire, total);
  require(mcq__frame_read(&f, mcq__slice_static(wire, total), &why) == 1);
  require((f.flags & ~MCQ__FRAME_LONG) == MCQ__FRAME_COMMAND);
  require(f.len == len && f.size + len == total);
  require(memcmp(wire + f.size, data, len) == 0);
  free(wire);
  mcq__chain_dispose(&chain);
}

static void contexts(const mcq__command_t* c) {
  mcq__slice_t context;
  size_t skip = c->kind == MCQ__CMD_PING ? 2 : 0;
  bool fits = c->data.len >= skip && c->data.len <= skip + 16;
  int rc = mcq__command_context(&context, c);
  require(rc == (fits ? 0 : MCQ_ECOMMAND));
  if (!fits) return;
  mcq__slice_t want = mcq__slice_sub(c->data, skip, c->data.len - skip);
  require(mcq__slice_equal(context, want.data, want.len));
}

static void reasons(const mcq__command_t* c) {
  mcq__slice_t reason;
  bool fits = c->data.len >= 1 && c->data.data[0] == c->data.len - 1;
  int rc = mcq__command_reason(&reason, c);
  require(rc == (fits ? 0 : MCQ_ECOMMAND));
  if (fits)
    require(mcq__slice_equal(reason, c->data.data + 1, c->data.len - 1));
}

static bool well_named(const uint8_t* data, size_t len) {
  if (len == 0 || data[0] == 0 || data[0] > len - 1) return false;
  for (size_t i = 1; i <= data[0]; i++)
    if (data[i] < 33 || data[i] > 126) return false;
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len) {
  mcq__command_t c;
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  int rc = mcq__command_read(&c, mcq__slice_static(data, len));
  require(rc == (well_named(data, len) ? 0 : MCQ_ECOMMAND));
  if (rc != 0) return 0;
  require(c.name.len == data[0] && c.name.data == data + 1);
  require(c.data.len == len - 1 - c.name.len);
  require(mcq__mem_open(&mem, NULL) == 0);
  require(mcq__pool_open(&pool, mem) == 0);
  same_when_sent(pool, &c, data, len);
  contexts(&c);
  reasons(&c);
  mcq__pool_close(pool);
  require(mcq__mem_live(mem) == 0);
  mcq__mem_close(mem);
  return 0;
}
