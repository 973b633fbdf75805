/* SPDX-License-Identifier: MIT */
/* Any bytes as what a peer says.  Properties: events, answers and the way it
 * ends do not depend on how the bytes were cut, on want() being served or on
 * bytes being held; a limit that was announced is kept; nothing follows an
 * end; nothing is left behind.
 *
 * Byte 0 of the input: bit 0, a good greeting goes before the rest; bit 1, a
 * good READY too; bits 2 to 4, which limits; bits 5 to 7, how it is cut. */
#include "support/zmtp_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len);

typedef struct limits {
  uint64_t message;
  uint64_t frames;
} limits_t;

static const limits_t limits[8] = {
    {(uint64_t) 1 << 20, 1024},
    {0, 1},
    {1, 2},
    {10, 3},
    {300, 4},
    {70000, 2},
    {100000, UINT64_MAX},
    {1000, 1},
};

static rig_life_t live(const rig_bytes_t* in, unsigned bits, rig_feed_t how) {
  mcq__mem_t* mem;
  mcq__pool_t* pool;
  RIG_REQUIRE(mcq__mem_open(&mem, NULL) == 0);
  RIG_REQUIRE(mcq__pool_open(&pool, mem) == 0);
  mcq__session_config_t c = rig_config(pool);
  c.max_message = limits[bits >> 2 & 7].message;
  c.max_frames = limits[bits >> 2 & 7].frames;
  rig_life_t life = rig_live(&c, in, how);
  mcq__pool_close(pool);
  RIG_REQUIRE(mcq__mem_live(mem) == 0);
  mcq__mem_close(mem);
  return life;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len) {
  rig_bytes_t in = {0};
  if (len == 0) return 0;
  unsigned bits = data[0];
  if ((bits & 1) != 0) rig_greeting(&in, 3, bits >> 5 & 1, "NULL");
  if ((bits & 3) == 3) rig_ready(&in, "ROUTER", "id", 2);
  rig_add(&in, data + 1, len - 1);
  rig_life_t whole = live(&in, bits, (rig_feed_t){.step = 0});
  rig_feed_t ways[] = {
      {.ask = true},
      {.step = 1},
      {.step = 1 + (bits >> 5), .hold = true, .ask = true},
      {.step = 64, .seed = 1 + len, .want = true},
      {.step = 5000, .seed = 2 + len, .want = true, .hold = true, .ask = true},
  };
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    if (ways[i].step - 1 < 7 && in.len > 3000) continue; /* for speed */
    rig_life_t cut = live(&in, bits, ways[i]);
    RIG_REQUIRE(rig_life_same(&whole, &cut));
    rig_life_free(&cut);
  }
  RIG_REQUIRE(whole.log.most_bytes <= limits[bits >> 2 & 7].message);
  RIG_REQUIRE(whole.log.most_frames <= limits[bits >> 2 & 7].frames);
  rig_life_free(&whole);
  rig_free(&in);
  return 0;
}
