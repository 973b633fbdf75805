/* SPDX-License-Identifier: MIT */
/* Letters, made and recognised, and the tap (see simtap.h).  Used by the
 * scenario test alone.  It asks the library nothing. */
#include "support/simtap.h"

#include <stdlib.h>

#define GREETING 64
#define FRAMES_DRAWN 48 /* beside those that a kind puts before them */
#define MAGIC UINT32_C(0x6d63710a)
#define ANSWER UINT32_C(0x616e7377)
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
  return 1 + test_random_below(dice, FRAMES_DRAWN);
}

/* ---- topics -------------------------------------------------------------- */

#define LONG_WORD "a topic of some length, in words"

static const char endless[300];

mcq_frame_t sim_word(size_t i) {
  static const mcq_frame_t words[SIM_WORDS] = {{"", 0},
                                               {"a", 1},
                                               {"ab", 2},
                                               {"abc", 3},
                                               {"b", 1},
                                               {"ba", 2},
                                               {"\0x", 2},
                                               {"\1a", 2},
                                               {"abd", 3},
                                               {LONG_WORD, 32},
                                               {endless, sizeof endless}};
  return words[i];
}

static mcq_frame_t topic_of(const sim_letter_t* letter) {
  static const mcq_frame_t topics[] = {
      {"", 0},     {"a", 1},    {"ab", 2},       {"abcd", 4},
      {"abd", 3},  {"b", 1},    {"bax", 3},      {"c", 1},
      {"\0xy", 3}, {"\1ab", 3}, {LONG_WORD, 32}, {"ac", 2}};
  test_random_t dice = {letter->key ^ ((uint64_t) letter->seq << 24) ^
                        letter->sender};
  return topics[test_random_below(&dice, sizeof topics / sizeof *topics)];
}

static uint32_t words_of(mcq_frame_t topic) {
  uint32_t mask = 0;
  for (size_t i = 0; i < SIM_WORDS; i++) {
    mcq_frame_t word = sim_word(i);
    if (word.len <= topic.len && memcmp(word.data, topic.data, word.len) == 0)
      mask |= UINT32_C(1) << i;
  }
  return mask;
}

uint32_t sim_letter_words(const sim_letter_t* letter) {
  return words_of(topic_of(letter));
}

uint32_t sim_welcome_words(void) {
  return words_of(sim_word(SIM_WELCOME_WORD));
}

/* ---- putting letters together -------------------------------------------- */

/* What comes before the letter proper; how many frames. */
static size_t begin_letter(const sim_letter_t* letter, test_random_t* dice,
                           mcq_frame_t* frames) {
  static uint8_t head[MARK];
  size_t count = 0;
  if (letter->kind == SIM_ANSWER) {
    put_u32(head, ANSWER);
    put_u32(head + 4, letter->asker);
    put_u32(head + 8, letter->question);
    frames[count++] = (mcq_frame_t){head, sizeof head};
  }
  if (letter->kind == SIM_PUBLISHED) frames[count++] = topic_of(letter);
  if (letter->kind == SIM_ENVELOPED && test_random_below(dice, 10) != 0) {
    size_t hops = test_random_below(dice, 4);
    while (count < hops) {
      size_t len = 1 + test_random_below(dice, 20);
      frames[count++] = (mcq_frame_t){pattern() + len, len};
    }
    frames[count++] = (mcq_frame_t){NULL, 0};
  }
  return count;
}

/* Puts the mark before the bytes of `frame`, and `lead` before that. */
static void mark_frame(const sim_letter_t* letter, mcq_frame_t lead,
                       mcq_frame_t* frame) {
  static uint8_t marked[SIM_LETTER_MAX + MARK + sizeof LONG_WORD];
  uint8_t* at = marked;
  if (lead.len != 0) memcpy(at, lead.data, lead.len);
  at += lead.len;
  put_u32(at, MAGIC);
  put_u32(at + 4, letter->sender);
  put_u32(at + 8, letter->seq);
  if (frame->len != 0) memcpy(at + MARK, frame->data, frame->len);
  frame->data = marked;
  frame->len += MARK + lead.len;
}

mcq_frame_t sim_welcome(uint32_t sender) {
  static uint8_t bytes[64];
  mcq_frame_t word = sim_word(SIM_WELCOME_WORD);
  memcpy(bytes, word.data, word.len);
  put_u32(bytes + word.len, MAGIC);
  put_u32(bytes + word.len + 4, sender);
  put_u32(bytes + word.len + 8, SIM_WELCOME);
  return (mcq_frame_t){bytes, word.len + MARK};
}

size_t sim_letter_frames(const sim_letter_t* letter,
                         mcq_frame_t frames[SIM_FRAMES_MAX]) {
  test_random_t dice = dice_of(letter);
  bool plain = letter->kind == SIM_PLAIN;
  bool anonymous = test_random_below(&dice, 100) < 3 && plain;
  bool glued =
      letter->kind == SIM_PUBLISHED && test_random_below(&dice, 100) < 40;
  size_t first = glued ? 0 : begin_letter(letter, &dice, frames);
  size_t count = glued ? 1 : draw_count(&dice);
  size_t mark = test_random_below(&dice, count);
  size_t budget = SIM_LETTER_MAX;
  mcq_frame_t lead = {NULL, 0};
  frames += first;
  for (size_t i = 0; i < count; i++) {
    size_t len = anonymous ? 0 : draw_size(&dice);
    if (len > budget) len = budget;
    budget -= len;
    frames[i].data =
        len == 0 ? NULL : pattern() + test_random_below(&dice, 65536);
    frames[i].len = len;
  }
  if (anonymous) return count;
  if (glued) lead = topic_of(letter);
  mark_frame(letter, lead, &frames[mark]);
  return first + count;
}

size_t sim_letter_envelope(const sim_letter_t* letter) {
  mcq_frame_t frames[SIM_FRAMES_MAX];
  size_t count = sim_letter_frames(letter, frames);
  for (size_t i = 0; i + 1 < count; i++)
    if (frames[i].len == 0) return i + 1;
  return 0;
}

bool sim_letter_is(const sim_letter_t* letter, size_t skip,
                   const mcq_msg_t* msg, size_t offset) {
  mcq_frame_t frames[SIM_FRAMES_MAX];
  size_t count = sim_letter_frames(letter, frames) - skip;
  if (mcq_msg_count(msg) != count + offset) return false;
  for (size_t i = 0; i < count; i++) {
    mcq_frame_t f = mcq_msg_frame(msg, i + offset);
    mcq_frame_t is = frames[i + skip];
    if (f.len != is.len) return false;
    if (f.len != 0 && memcmp(f.data, is.data, f.len) != 0) return false;
  }
  return true;
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

/* A topic may come before it. */
static const uint8_t* find_mark(const sim_tap_t* tap) {
  for (size_t i = 0; i + MARK <= tap->peek_len; i++)
    if (tap->peek[i] == MAGIC >> 24 && get_u32(tap->peek + i) == MAGIC)
      return tap->peek + i;
  return NULL;
}

static void end_frame(sim_tap_t* tap) {
  uint8_t flags = tap->head[0];
  tap->in_body = false;
  tap->head_len = 0;
  if ((flags & 4) != 0) return; /* a command */
  if (tap->now.frames++ == 0) tap->now.sender = SIM_ANONYMOUS;
  const uint8_t* mark = find_mark(tap);
  if (mark != NULL) {
    tap->now.sender = get_u32(mark + 4);
    tap->now.seq = get_u32(mark + 8);
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
  size_t room = sizeof tap->peek - tap->peek_len;
  size_t more = room < n ? room : n;
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
