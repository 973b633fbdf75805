/* SPDX-License-Identifier: MIT */
/* Any bytes as a greeting.  Properties: the verdict and the bytes it took do
 * not depend on how they were cut, and they are those of a plain reading of
 * the 64 bytes at once. */
#include <stdlib.h>

#include "zmtp/greeting.h"

typedef struct verdict {
  int code;
  size_t used;
} verdict_t;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len);

static void require(bool property) {
  if (!property) abort();
}

/* By the table of fields, without any state. */
static verdict_t expected(const uint8_t* b, size_t len) {
  static const uint8_t mechanism[20] = "NULL";
  if (len >= 1 && b[0] == 0) return (verdict_t){MCQ_EGREETING, 1};
  if (len >= 2 && b[0] != 0xFF)
    return (verdict_t){b[1] == 0 ? MCQ_ELEGACY : MCQ_EGREETING, 2};
  if (len >= 10 && b[9] != 0x7F)
    return (verdict_t){b[9] % 2 == 0 ? MCQ_ELEGACY : MCQ_EGREETING, 10};
  if (len >= 11 && b[10] < 3) return (verdict_t){MCQ_ELEGACY, 11};
  if (len >= 32 && memcmp(b + 12, mechanism, 20) != 0)
    return (verdict_t){MCQ_EMECHANISM, 32};
  return (verdict_t){0, len < 64 ? len : 64};
}

static verdict_t judge(const uint8_t* b, size_t len, size_t step,
                       mcq__greeting_t* g) {
  verdict_t v = {0, 0};
  memset(g, 0, sizeof *g);
  while (v.used < len && v.code == 0 && !mcq__greeting_whole(g)) {
    size_t n = step < len - v.used ? step : len - v.used;
    size_t used = mcq__greeting_read(g, mcq__slice_static(b + v.used, n),
                                     "NULL", &v.code);
    require(used > 0 && used <= n);
    v.used += used;
  }
  return v;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t len) {
  static const size_t steps[] = {SIZE_MAX, 1, 3, 10, 31};
  verdict_t want = expected(data, len);
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    mcq__greeting_t g;
    verdict_t got = judge(data, len, steps[i], &g);
    require(got.code == want.code && got.used == want.used);
    require(mcq__greeting_whole(&g) == (got.code == 0 && len >= 64));
    if (!mcq__greeting_whole(&g)) continue;
    require(g.major == data[10] && g.minor == data[11]);
    require(g.as_server == data[32]);
    require(mcq__greeting_agreed(&g) == (data[10] > 3 || data[11] > 0));
  }
  return 0;
}
