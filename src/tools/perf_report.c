/* SPDX-License-Identifier: MIT */
/* Tables of what mcqperf found: columns on a terminal, Markdown in a
 * document. */
#include "perf_report.h"

#include <stdarg.h>

#include "monocoque.h"

const char* perf_report_human(double n, char out[PERF_HUMAN]) {
  static const char* const units[] = {"", " k", " M", " G"};
  size_t u = 0;
  for (; n >= 999.5 && u < 3; u++) n /= 1000;
  int digits = u == 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
  snprintf(out, PERF_HUMAN, "%.*f%s", digits, n, units[u]);
  return out;
}

/* ---- what is measured ---------------------------------------------------- */

const char* perf_report_sockets(const perf_book_t* book) {
  const perf_options_t* o = book->options;
  if (o->mode == PERF_FANOUT) return o->stalled > 0 ? "XPUB-SUB" : "PUB-SUB";
  if (o->mode == PERF_PEERS || o->mode == PERF_SETUP) return "DEALER-ROUTER";
  return perf_types_words[o->types];
}

const char* perf_report_zmq_sockets(const perf_book_t* book) {
  bool fanout = book->options->mode == PERF_FANOUT;
  return fanout ? "XPUB-SUB" : perf_report_sockets(book);
}

static const char* sentence(const perf_options_t* o) {
  static const char* const sentences[PERF_MODE_COUNT] = {
      "one way, the same sockets for all; raw is the plain stream",
      "there and back, the same sockets for all; raw is the plain stream",
      "PUB to SUBs that lose nothing, deliveries a second",
      "DEALERs to a ROUTER and back, round trips a second",
      "how late a timer of 1 ms is beside a flood; raw is plain libuv",
      "PUSH to PULL in one process",
      "DEALERs that connect, ask once and close, connections a second"};
  if (o->stalled == 0) return sentences[o->mode];
  return "XPUB to SUBs that lose nothing, deliveries a second, alone and "
         "beside others that\ndo not read, which got or are known to have lost "
         "every single message";
}

static void say_what(const perf_book_t* book, FILE* out) {
  const perf_options_t* o = book->options;
  fprintf(out, "libmonocoque %s, %s%s", mcq_version(NULL, NULL, NULL),
          perf_mode_word(o->mode), o->filtered ? ", a topic each" : "");
  if (o->mode <= PERF_LATENCY) fprintf(out, ", %s", perf_report_sockets(book));
  if (o->mode == PERF_PEERS)
    fprintf(out, ", %zu under way each", o->outstanding);
  if (o->spin_us > 0) fprintf(out, ", spinning %u us", o->spin_us);
  if (o->mode == PERF_SETUP)
    fputs(", tcp on 127.0.0.1, two threads", out);
  else if (o->mode != PERF_INPROC)
    fprintf(out, ", %s",
            o->transport == PERF_IPC ? "ipc, two processes"
                                     : "tcp on 127.0.0.1, two processes");
  fprintf(out, ", medians of %u rounds\n%s\n", o->rounds, sentence(o));
}

/* ---- cells --------------------------------------------------------------- */

typedef struct table {
  const perf_book_t* book;
  FILE* out;
  bool markdown;
  size_t cells; /* of a row, once the heads are there */
} table_t;

/* A cell to the right of its column; `width` does not matter to Markdown. */
static void cell(table_t* t, int width, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

static void cell(table_t* t, int width, const char* format, ...) {
  char text[64];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  t->cells++;
  if (t->markdown)
    fprintf(t->out, " %s |", text);
  else
    fprintf(t->out, " %*s", width, text);
}

static void end_row(table_t* t) {
  fputc('\n', t->out);
}

static void begin_row(table_t* t) {
  t->cells = 0;
  if (t->markdown) fputc('|', t->out);
}

/* "5.1 to 5.6": the rounds apart. */
static void range_cell(table_t* t, int width, perf_spread_t s,
                       perf_figure_t figure) {
  char low[PERF_HUMAN];
  char high[PERF_HUMAN];
  if (figure == PERF_RATE)
    cell(t, width, "%s..%s", perf_report_human(s.min, low),
         perf_report_human(s.max, high));
  else
    cell(t, width, "%.1f..%.1f", s.min, s.max);
}

static void ratio_cells(table_t* t, size_t at, size_t who, perf_who_t rival) {
  if (!perf_book_compares(t->book, rival)) return;
  perf_spread_t r = perf_book_ratio(t->book, at, who, rival);
  cell(t, 8, "%.2fx", r.median);
  if (rival == PERF_ZMQ && t->book->options->rounds > 1)
    cell(t, 13, "%.2f..%.2f", r.min, r.max);
}

/* ---- heads --------------------------------------------------------------- */

static const char* const time_heads[] = {"p50 us", "p99 us", "p99.9 us",
                                         "max us"};

static void main_heads(table_t* t) {
  const perf_options_t* o = t->book->options;
  bool many = o->rounds > 1;
  perf_figure_t main = perf_book_main(t->book);
  for (perf_figure_t f = PERF_P50; f <= PERF_MAX; f++) {
    if (!perf_book_has(t->book, f)) continue;
    cell(t, 9, "%s", time_heads[f - PERF_P50]);
    if (f == main && many) cell(t, 15, "min..max");
  }
  if (!perf_book_has(t->book, PERF_RATE)) return;
  cell(t, 8, "msg/s");
  if (main == PERF_RATE && many) cell(t, 15, "min..max");
  cell(t, 8, "MB/s");
}

static void heads(table_t* t) {
  const perf_options_t* o = t->book->options;
  begin_row(t);
  cell(t, 8, "size");
  if (o->cases[0].peers > 0) cell(t, 6, "peers");
  cell(t, 13, "contender");
  main_heads(t);
  if (o->stalled > 0) {
    cell(t, 8, "%zu more", o->stalled);
    cell(t, 8, "share");
    cell(t, 8, "dropped");
  }
  if (perf_book_compares(t->book, PERF_ZMQ)) {
    cell(t, 8, "/libzmq");
    if (o->rounds > 1) cell(t, 13, "min..max");
  }
  if (perf_book_compares(t->book, PERF_RAW)) cell(t, 8, "/raw");
  if (perf_book_has(t->book, PERF_CPU_SENDER)) {
    cell(t, 17, "%s", t->markdown ? "cpu ns recv, send" : "cpu ns recv,send");
    cell(t, 16, "%s", t->markdown ? "peak MiB recv, send" : "MiB recv,send");
  }
  end_row(t);
}

/* Numbers to the right, contenders to the left. */
static void rule(table_t* t) {
  size_t left = t->book->options->cases[0].peers > 0 ? 2 : 1;
  fputc('|', t->out);
  for (size_t i = 0; i < t->cells; i++)
    fputs(i == left ? "---|" : "--:|", t->out);
  fputc('\n', t->out);
}

/* ---- rows ---------------------------------------------------------------- */

static void main_cells(table_t* t, size_t at, size_t who) {
  const perf_book_t* b = t->book;
  bool many = b->options->rounds > 1;
  perf_figure_t main = perf_book_main(b);
  for (perf_figure_t f = PERF_P50; f <= PERF_MAX; f++) {
    if (!perf_book_has(b, f)) continue;
    perf_spread_t s = perf_book_spread(b, at, who, f);
    cell(t, 9, "%.1f", s.median);
    if (f == main && many) range_cell(t, 15, s, f);
  }
  if (!perf_book_has(b, PERF_RATE)) return;
  char text[PERF_HUMAN];
  perf_spread_t s = perf_book_spread(b, at, who, PERF_RATE);
  cell(t, 8, "%s", perf_report_human(s.median, text));
  if (main == PERF_RATE && many) range_cell(t, 15, s, PERF_RATE);
  cell(t, 8, "%.0f", s.median * (double) b->options->cases[at].size / 1e6);
}

static void beside_cells(table_t* t, size_t at, size_t who) {
  const perf_book_t* b = t->book;
  char text[PERF_HUMAN];
  if (b->options->stalled == 0) return;
  cell(t, 8, "%s",
       perf_report_human(perf_book_median(b, at, who, PERF_RATE_BESIDE), text));
  cell(t, 8, "%.2fx", perf_book_median(b, at, who, PERF_SHARE_BESIDE));
  cell(t, 8, "%s",
       perf_report_human(perf_book_median(b, at, who, PERF_DROPPED), text));
}

static void row(table_t* t, size_t at, size_t who) {
  const perf_book_t* b = t->book;
  const perf_case_t* c = &b->options->cases[at];
  begin_row(t);
  cell(t, 8, "%zu", c->size);
  if (c->peers > 0) cell(t, 6, "%zu", c->peers);
  cell(t, 13, "%s", perf_book_label(b, who));
  main_cells(t, at, who);
  beside_cells(t, at, who);
  ratio_cells(t, at, who, PERF_ZMQ);
  ratio_cells(t, at, who, PERF_RAW);
  if (perf_book_has(b, PERF_CPU_SENDER)) {
    cell(t, 17, "%.0f, %.0f", perf_book_median(b, at, who, PERF_CPU_RECEIVER),
         perf_book_median(b, at, who, PERF_CPU_SENDER));
    cell(t, 16, "%.1f, %.1f", perf_book_median(b, at, who, PERF_PEAK_RECEIVER),
         perf_book_median(b, at, who, PERF_PEAK_SENDER));
  }
  end_row(t);
}

static int print(table_t* t) {
  const perf_options_t* o = t->book->options;
  heads(t);
  if (t->markdown) rule(t);
  for (size_t c = 0; c < o->case_count; c++)
    for (size_t w = 0; w < o->who_count; w++) row(t, c, w);
  return ferror(t->out) ? tool_fail("cannot write the result") : TOOL_DONE;
}

int perf_report_table(const perf_book_t* book, FILE* out) {
  table_t t = {.book = book, .out = out};
  say_what(book, out);
  return print(&t);
}

int perf_report_markdown(const perf_book_t* book, FILE* out) {
  table_t t = {.book = book, .out = out, .markdown = true};
  return print(&t);
}
