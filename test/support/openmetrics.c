/* SPDX-License-Identifier: MIT */
/* The reader of openmetrics.h.  It reads from the left to the right once, and
 * compares names with those that came before; pages of tests are short. */
#include "support/openmetrics.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES_MAX 256
#define SAMPLES_MAX 8192
#define LABELS_MAX 32

typedef struct span {
  const char* at;
  size_t len;
} span_t;

typedef enum om_type { OM_UNKNOWN, OM_COUNTER, OM_GAUGE, OM_INFO } om_type_t;

typedef struct om_family {
  span_t name;
  om_type_t type;
  bool typed, helped, united;
  span_t unit;
  size_t first; /* its samples begin here */
} om_family_t;

typedef struct om_sample {
  span_t name;
  span_t labels; /* with the braces; empty: none */
} om_sample_t;

typedef struct om_reader {
  const char* at;
  const char* end;
  const char* line;
  unsigned number;
  const char* why;
  om_family_t families[FAMILIES_MAX];
  size_t family_count;
  om_sample_t samples[SAMPLES_MAX];
  size_t sample_count;
} om_reader_t;

static bool fail(om_reader_t* r, const char* why) {
  if (r->why == NULL) r->why = why;
  return false;
}

static bool same(span_t a, span_t b) {
  return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool is_word(span_t a, const char* word) {
  return a.len == strlen(word) && memcmp(a.at, word, a.len) == 0;
}

static bool ends_with(span_t a, span_t tail) {
  return a.len > tail.len + 1 && a.at[a.len - tail.len - 1] == '_' &&
         memcmp(a.at + a.len - tail.len, tail.at, tail.len) == 0;
}

/* ---- pieces -------------------------------------------------------------- */

static bool eat(om_reader_t* r, const char* text) {
  size_t len = strlen(text);
  if ((size_t) (r->end - r->at) < len || memcmp(r->at, text, len) != 0)
    return false;
  r->at += len;
  return true;
}

static bool is_first(char c, bool metric) {
  return isalpha((unsigned char) c) || c == '_' || (metric && c == ':');
}

static bool read_name(om_reader_t* r, span_t* out, bool metric) {
  const char* at = r->at;
  if (at == r->end || !is_first(*at, metric)) return false;
  while (at < r->end && (is_first(*at, metric) || isdigit((unsigned char) *at)))
    at++;
  *out = (span_t){r->at, (size_t) (at - r->at)};
  r->at = at;
  return true;
}

/* The rest of the line, escapes checked. */
static bool read_text(om_reader_t* r, char until, span_t* out) {
  const char* at = r->at;
  for (; at < r->end && *at != until; at++) {
    if (*at == '\n') return fail(r, "a line ends inside a string");
    if (*at != '\\') continue;
    at++;
    if (at == r->end || (*at != 'n' && *at != '\\' && *at != '"'))
      return fail(r, "an escape there is not");
  }
  if (at == r->end) return fail(r, "the end inside a string");
  *out = (span_t){r->at, (size_t) (at - r->at)};
  r->at = at + 1;
  return true;
}

/* [sign] digits [. digits] [e [sign] digits] */
static bool read_number(om_reader_t* r, double* out) {
  const char* at = r->at;
  size_t digits = 0;
  if (at < r->end && (*at == '+' || *at == '-')) at++;
  for (; at < r->end && isdigit((unsigned char) *at); at++) digits++;
  if (at < r->end && *at == '.')
    for (at++; at < r->end && isdigit((unsigned char) *at); at++) digits++;
  if (digits == 0) return fail(r, "no number");
  if (at < r->end && (*at == 'e' || *at == 'E')) {
    at++;
    if (at < r->end && (*at == '+' || *at == '-')) at++;
    if (at == r->end || !isdigit((unsigned char) *at))
      return fail(r, "an exponent without digits");
    while (at < r->end && isdigit((unsigned char) *at)) at++;
  }
  *out = strtod(r->at, NULL);
  r->at = at;
  return true;
}

static bool good_utf8(const char* text, size_t len) {
  const unsigned char* s = (const unsigned char*) text;
  for (size_t i = 0; i < len;) {
    size_t more = s[i] < 0x80 ? 0 : s[i] < 0xE0 ? 1 : s[i] < 0xF0 ? 2 : 3;
    unsigned long c = s[i];
    static const unsigned long least[] = {0, 0x80, 0x800, 0x10000};
    if ((s[i] >= 0x80 && s[i] < 0xC2) || s[i] > 0xF4 || i + more >= len)
      return false;
    if (more != 0) c &= 0x3FUL >> more;
    for (size_t k = 1; k <= more; k++) {
      if ((s[i + k] & 0xC0) != 0x80) return false;
      c = c << 6 | (s[i + k] & 0x3F);
    }
    if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
      return false;
    i += more + 1;
  }
  return true;
}

/* ---- families ------------------------------------------------------------ */

/* The family of this name: the last one, or a new one. */
static om_family_t* family_of(om_reader_t* r, span_t name) {
  for (size_t i = 0; i < r->family_count; i++) {
    if (!same(r->families[i].name, name)) continue;
    if (i + 1 == r->family_count) return &r->families[i];
    fail(r, "a family in two places");
    return NULL;
  }
  if (r->family_count == FAMILIES_MAX) {
    fail(r, "too many families for this reader");
    return NULL;
  }
  om_family_t* f = &r->families[r->family_count++];
  memset(f, 0, sizeof *f);
  f->name = name;
  f->first = r->sample_count;
  return f;
}

static bool read_type(om_reader_t* r, om_family_t* f) {
  span_t word;
  if (f->typed) return fail(r, "a second TYPE");
  if (!read_text(r, '\n', &word)) return false;
  f->typed = true;
  if (is_word(word, "counter"))
    f->type = OM_COUNTER;
  else if (is_word(word, "gauge"))
    f->type = OM_GAUGE;
  else if (is_word(word, "info"))
    f->type = OM_INFO;
  else
    return fail(r, "a type that is not expected here");
  return true;
}

static bool read_unit(om_reader_t* r, om_family_t* f) {
  if (f->united) return fail(r, "a second UNIT");
  f->united = true;
  if (!read_text(r, '\n', &f->unit)) return false;
  if (f->unit.len == 0 || !ends_with(f->name, f->unit))
    return fail(r, "a name that does not end with its unit");
  return true;
}

static bool read_help(om_reader_t* r, om_family_t* f) {
  span_t text;
  if (f->helped) return fail(r, "a second HELP");
  f->helped = true;
  return read_text(r, '\n', &text);
}

/* Names that mean something else at the end of a family's. */
static bool reserved(span_t name) {
  static const char* const tails[] = {"total", "created", "info",
                                      "count", "sum",     "bucket"};
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
    if (ends_with(name, (span_t){tails[i], strlen(tails[i])})) return true;
  return false;
}

static bool read_descriptor(om_reader_t* r) {
  span_t name;
  int what = eat(r, "# TYPE ")   ? 't'
             : eat(r, "# UNIT ") ? 'u'
             : eat(r, "# HELP ") ? 'h'
                                 : 0;
  if (what == 0) return fail(r, "neither TYPE, UNIT, HELP nor EOF");
  if (!read_name(r, &name, true) || !eat(r, " "))
    return fail(r, "no name behind it");
  if (reserved(name)) return fail(r, "a family named like a sample");
  om_family_t* f = family_of(r, name);
  if (f == NULL) return false;
  if (f->first != r->sample_count) return fail(r, "a description too late");
  return what == 't'   ? read_type(r, f)
         : what == 'u' ? read_unit(r, f)
                       : read_help(r, f);
}

/* ---- samples ------------------------------------------------------------- */

static bool read_labels(om_reader_t* r, span_t* out) {
  span_t seen[LABELS_MAX];
  size_t count = 0;
  const char* from = r->at;
  *out = (span_t){from, 0};
  if (!eat(r, "{")) return true;
  do {
    span_t value;
    if (count == LABELS_MAX) return fail(r, "too many labels for this reader");
    if (!read_name(r, &seen[count], false)) return fail(r, "no label");
    if (seen[count].len > 1 && memcmp(seen[count].at, "__", 2) == 0)
      return fail(r, "a label that is reserved");
    for (size_t i = 0; i < count; i++)
      if (same(seen[i], seen[count])) return fail(r, "a label twice");
    count++;
    if (!eat(r, "=\"")) return fail(r, "a label without a value");
    if (!read_text(r, '"', &value)) return false;
  } while (eat(r, ","));
  if (!eat(r, "}")) return fail(r, "labels that do not end");
  out->len = (size_t) (r->at - from);
  return true;
}

static bool note_sample(om_reader_t* r, const om_family_t* f, span_t name,
                        span_t labels) {
  for (size_t i = f->first; i < r->sample_count; i++)
    if (same(r->samples[i].name, name) && same(r->samples[i].labels, labels))
      return fail(r, "the same sample twice");
  if (r->sample_count == SAMPLES_MAX)
    return fail(r, "too many samples for this reader");
  r->samples[r->sample_count++] = (om_sample_t){name, labels};
  return true;
}

/* Which samples a family may have, and with what values. */
static bool fits(om_reader_t* r, const om_family_t* f, span_t name,
                 double value) {
  span_t tail = {name.at + f->name.len, name.len - f->name.len};
  if (name.len < f->name.len || memcmp(name.at, f->name.at, f->name.len) != 0)
    return fail(r, "a sample of another family, or of none");
  if (!f->typed) return fail(r, "a sample without a TYPE");
  if (f->type == OM_COUNTER && !is_word(tail, "_total"))
    return fail(r, "a counter's sample that is no _total");
  if (f->type == OM_COUNTER && value < 0) return fail(r, "a negative counter");
  if (f->type == OM_GAUGE && tail.len != 0)
    return fail(r, "a gauge's sample of another name");
  if (f->type == OM_INFO && !is_word(tail, "_info"))
    return fail(r, "an info's sample that is no _info");
  if (f->type == OM_INFO && value != 1) return fail(r, "an info that is not 1");
  return true;
}

static bool read_sample(om_reader_t* r) {
  span_t name;
  span_t labels;
  double value;
  if (r->family_count == 0) return fail(r, "a sample of no family");
  const om_family_t* f = &r->families[r->family_count - 1];
  if (!read_name(r, &name, true)) return fail(r, "no name");
  if (!read_labels(r, &labels)) return false;
  if (!eat(r, " ")) return fail(r, "no blank before the value");
  if (!read_number(r, &value)) return false;
  if (!eat(r, "\n")) return fail(r, "more behind the value");
  return fits(r, f, name, value) && note_sample(r, f, name, labels);
}

/* ---- the page ------------------------------------------------------------ */

static bool read_line(om_reader_t* r) {
  r->line = r->at;
  r->number++;
  return *r->at == '#' ? read_descriptor(r) : read_sample(r);
}

static bool read_page(om_reader_t* r) {
  while (!eat(r, "# EOF")) {
    if (r->at == r->end) return fail(r, "no EOF");
    if (!read_line(r)) return false;
  }
  (void) eat(r, "\n");
  r->line = r->at;
  return r->at == r->end ? true : fail(r, "more behind the end");
}

const char* om_fault(const char* text, size_t len) {
  static char words[400];
  om_reader_t* r = (om_reader_t*) calloc(1, sizeof *r);
  if (r == NULL) abort();
  r->at = r->line = text;
  r->end = text + len;
  bool good = good_utf8(text, len) || fail(r, "not UTF-8");
  good = good && read_page(r);
  if (!good)
    snprintf(words, sizeof words, "line %u: %s: %.*s", r->number, r->why,
             (int) strcspn(r->line, "\n"), r->line);
  free(r);
  return good ? NULL : words;
}

const char* om_value(const char* text, const char* sample) {
  static char value[64];
  size_t len = strlen(sample);
  for (const char* at = text; (at = strstr(at, sample)) != NULL; at += len) {
    if ((at != text && at[-1] != '\n') || at[len] != ' ') continue;
    snprintf(value, sizeof value, "%.*s", (int) strcspn(at + len + 1, "\n"),
             at + len + 1);
    return value;
  }
  return NULL;
}

size_t om_samples(const char* text) {
  size_t n = 0;
  for (; *text != '\0'; text += strcspn(text, "\n") + 1) n += *text != '#';
  return n;
}
