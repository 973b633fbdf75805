/* SPDX-License-Identifier: MIT */
/* Letters, made and recognised, and the tap (see simtap.h).  Used by the
 * scenario test alone.  It asks the library nothing. */
#include "support/simtap.h"

#include <stdlib.h>

#define GREETING 64
#define MAGIC UINT32_C(0x6d63710a)
#define MARK 12 /* bytes that tell whose letter it is */

/* ---- letters ------------------------------------------------------------- */

/* What all letters are cut from. */
static const uint8_t* pattern(void) {
  static uint8_t bytes[SIM_LETTER_MAX + 65536];
  static bool made;
  if (!made) {
    test_random_t random = {42};
    for (size_t i = 0; i < sizeof bytes; i++)
      bytes[i] = (uint8_t) test_random(&random);
    made = true;
  }
  return bytes;
}

static void put_u32(uint8_t* out, uint32_t v) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t) (v >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t* in) {
  uint32_t v = 0;
  for (int i = 0; i < 4; i++) v = v << 8 | in[i];
  return v;
}

static test_random_t dice_of(const sim_letter_t* letter) {
  test_random_t dice = {letter->key ^ ((uint64_t) letter->sender << 40) ^
                        letter->seq};
  test_random(&dice);
  return dice;
}

static size_t draw_size(test_random_t* dice) {
  size_t kind = test_random_below(dice, 1000);
  if (kind < 150) return 0;
  if (kind < 850) return test_random_below(dice, 300);
  if (kind < 960) return test_random_below(dice, 5000);
  if (kind < 990) return test_random_below(dice, 40000);
  return test_random_below(dice, SIM_LETTER_MAX);
}

static size_t draw_count(test_random_t* dice) {
  size_t kind = test_random_below(dice, 100);
  if (kind < 50) return 1;
  if (kind < 95) return 1 + test_random_below(dice, 5);
  return 1 + test_random_below(dice, SIM_FRAMES_MAX);
}

size_t sim_letter_frames(const sim_letter_t* letter,
                         mcq_frame_t frames[SIM_FRAMES_MAX]) {
  static uint8_t marked[SIM_LETTER_MAX + MARK];
  test_random_t dice = dice_of(letter);
  bool anonymous = test_random_below(&dice, 100) < 3;
  size_t count = draw_count(&dice);
  size_t mark = test_random_below(&dice, count);
  size_t budget = SIM_LETTER_MAX;
  for (size_t i = 0; i < count; i++) {
    size_t len = anonymous ? 0 : draw_size(&dice);
    if (len > budget) len = budget;
    budget -= len;
    frames[i].data =
        len == 0 ? NULL : pattern() + test_random_below(&dice, 65536);
    frames[i].len = len;
  }
  if (anonymous) return count;
  if (frames[mark].len != 0)
    memcpy(marked + MARK, frames[mark].data, frames[mark].len);
  put_u32(marked, MAGIC);
  put_u32(marked + 4, letter->sender);
  put_u32(marked + 8, letter->seq);
  frames[mark].data = marked;
  frames[mark].len += MARK;
  return count;
}

bool sim_letter_is(const sim_letter_t* letter, const mcq_msg_t* msg) {
  mcq_frame_t frames[SIM_FRAMES_MAX];
  size_t count = sim_letter_frames(letter, frames);
  size_t sum = 0;
  if (mcq_msg_count(msg) != count) return false;
  for (size_t i = 0; i < count; i++) {
    mcq_frame_t f = mcq_msg_frame(msg, i);
    if (f.len != frames[i].len) return false;
    if (f.len != 0 && memcmp(f.data, frames[i].data, f.len) != 0) return false;
    sum += f.len;
  }
  return mcq_msg_size(msg) == sum;
}

/* ---- the tap ------------------------------------------------------------- */

static void note(sim_tap_t* tap) {
  if (tap->count == tap->cap) {
    tap->cap = tap->cap * 2 + 16;
    tap->seen = (sim_seen_t*) realloc(tap->seen, tap->cap * sizeof *tap->seen);
    sim_require(tap->seen != NULL);
  }
  tap->now.end = tap->at;
  tap->seen[tap->count++] = tap->now;
}

static void end_frame(sim_tap_t* tap) {
  uint8_t flags = tap->head[0];
  tap->in_body = false;
  tap->head_len = 0;
  if ((flags & 4) != 0) return; /* a command */
  if (tap->now.frames++ == 0) tap->now.sender = SIM_ANONYMOUS;
  if (tap->peek_len == MARK && get_u32(tap->peek) == MAGIC) {
    tap->now.sender = get_u32(tap->peek + 4);
    tap->now.seq = get_u32(tap->peek + 8);
  }
  if ((flags & 1) != 0) return; /* more to come */
  note(tap);
  tap->now = (sim_seen_t){0};
}

static void head_byte(sim_tap_t* tap, uint8_t byte) {
  tap->head[tap->head_len++] = byte;
  bool is_long = (tap->head[0] & 2) != 0;
  if (tap->head_len < (is_long ? 9u : 2u)) return;
  tap->body = 0;
  for (size_t i = 1; i < tap->head_len; i++)
    tap->body = tap->body << 8 | tap->head[i];
  tap->in_body = true;
  tap->peek_len = 0;
}

static size_t body_bytes(sim_tap_t* tap, const uint8_t* data, size_t len) {
  size_t n = len < tap->body ? len : (size_t) tap->body;
  size_t more = MARK - tap->peek_len < n ? MARK - tap->peek_len : n;
  if (more != 0) memcpy(tap->peek + tap->peek_len, data, more);
  tap->peek_len += more;
  tap->body -= n;
  return n;
}

void sim_tap_feed(sim_tap_t* tap, const uint8_t* data, size_t len) {
  while (len > 0) {
    size_t n = 1;
    if (tap->at < GREETING)
      n = len < GREETING - tap->at ? len : (size_t) (GREETING - tap->at);
    else if (tap->in_body)
      n = body_bytes(tap, data, len);
    else
      head_byte(tap, *data);
    tap->at += n;
    data += n;
    len -= n;
    if (tap->in_body && tap->body == 0) end_frame(tap);
  }
}

void sim_tap_dispose(sim_tap_t* tap) {
  free(tap->seen);
  memset(tap, 0, sizeof *tap);
}
