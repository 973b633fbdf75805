/* SPDX-License-Identifier: MIT */
/* mcqperf's findings as an SVG: rates or times over sizes or peers, both axes
 * logarithmic, with the rounds' spread; and under it how many times as good as
 * libzmq that is.  Plain shapes and text, no style sheet, no script. */
#include <math.h>
#include <string.h>

#include "perf_report.h"

enum {
  WIDTH = 760,
  LEFT = 78,
  RIGHT = 600, /* the legend is to the right of it */
  TOP = 56,
  MIDDLE = 330, /* lower edge of the first panel */
  SECOND = 376,
  BOTTOM = 526,
  BELOW = 56, /* for the x axis */
  X_MAX = PERF_LIST_MAX
};

typedef struct axis {
  double low; /* what is at `from`, and at `to` */
  double high;
  double from; /* on paper */
  double to;
  bool is_log;
} axis_t;

typedef struct plot {
  const perf_book_t* book;
  FILE* out;
  bool by_peers;
  size_t points;
  double xs[X_MAX];
  size_t cases[X_MAX];
  axis_t x;
  axis_t y;
} plot_t;

static const char* colour(perf_who_t who) {
  static const char* const colours[PERF_WHO_COUNT] = {
      "#6a4c93", "#1f77b4", "#2a9d4a", "#d1495b", "#7a7a7a",
      "#1f77b4", "#2a9d4a", "#e08e0b", "#6a4c93"};
  return colours[who];
}

static double place(const axis_t* a, double v) {
  double part = a->is_log ? log(v / a->low) / log(a->high / a->low)
                          : (v - a->low) / (a->high - a->low);
  return a->from + part * (a->to - a->from);
}

/* ---- text and lines ------------------------------------------------------ */

static void text(const plot_t* p, double x, double y, const char* anchor,
                 const char* words) {
  fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
          x, y, anchor, words);
}

static void line(const plot_t* p, double x1, double y1, double x2, double y2,
                 const char* stroke) {
  fprintf(p->out,
          "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\" fill=\"none\"/>\n",
          x1, y1, x2, y2, stroke);
}

/* "64", "16 Ki", "1 Mi"; peers as they are. */
static void x_label(const plot_t* p, double v, char out[24]) {
  static const char* const units[] = {"", " Ki", " Mi"};
  size_t u = 0;
  for (; !p->by_peers && u < 2 && v >= 1024 && fmod(v, 1024) == 0; u++)
    v /= 1024;
  snprintf(out, 24, "%.0f%s", v, units[u]);
}

static void x_axis(const plot_t* p, double bottom) {
  for (size_t i = 0; i < p->points; i++) {
    char label[24];
    double x = place(&p->x, p->xs[i]);
    x_label(p, p->xs[i], label);
    line(p, x, p->y.to, x, bottom, "#eee");
    text(p, x, bottom + 18, "middle", label);
  }
  text(p, (LEFT + RIGHT) / 2.0, bottom + 38, "middle",
       p->by_peers ? "peers" : "bytes of a message");
}

static void y_tick(const plot_t* p, double v, const char* label) {
  double y = place(&p->y, v);
  line(p, LEFT, y, RIGHT, y, v == 1 && !p->y.is_log ? "#d1495b" : "#ddd");
  text(p, LEFT - 8, y + 4, "end", label);
}

/* 1, 2 and 5 of every decade, or where there are many only 1. */
static void log_ticks(const plot_t* p) {
  static const double steps[] = {1, 2, 5};
  size_t count = p->y.high / p->y.low > 2000 ? 1 : 3;
  for (int e = -3; e < 13; e++) {
    for (size_t i = 0; i < count; i++) {
      double v = steps[i] * pow(10, e);
      char label[PERF_HUMAN];
      if (v < p->y.low || v > p->y.high) continue;
      if (v < 1)
        snprintf(label, sizeof label, "%g", v);
      else if (v < 1000)
        snprintf(label, sizeof label, "%.0f", v);
      else
        snprintf(label, sizeof label, "%.0f%s",
                 v / (v < 1e6   ? 1e3
                      : v < 1e9 ? 1e6
                                : 1e9),
                 v < 1e6   ? " k"
                 : v < 1e9 ? " M"
                           : " G");
      y_tick(p, v, label);
    }
  }
}

static void ratio_ticks(const plot_t* p) {
  double step = 0.5;
  while (p->y.high / step > 7) step *= step == 2 || step == 20 ? 2.5 : 2;
  for (double v = 0; v <= p->y.high; v += step) {
    char label[PERF_HUMAN];
    snprintf(label, sizeof label, "%gx", v);
    y_tick(p, v, label);
  }
  if (step > 1) y_tick(p, 1, "1x");
}

/* ---- series -------------------------------------------------------------- */

typedef perf_spread_t (*value_fn)(const perf_book_t* book, size_t at,
                                  size_t who);

static perf_spread_t main_value(const perf_book_t* book, size_t at,
                                size_t who) {
  return perf_book_spread(book, at, who, perf_book_main(book));
}

static perf_spread_t ratio_value(const perf_book_t* book, size_t at,
                                 size_t who) {
  return perf_book_ratio(book, at, who, PERF_ZMQ);
}

static void series(const plot_t* p, size_t who, value_fn value) {
  const perf_options_t* o = p->book->options;
  const char* stroke = colour(o->who[who]);
  /* Side by side, so that bars do not hide one another. */
  double aside = 4 * ((double) who - (double) (o->who_count - 1) / 2);
  fprintf(p->out, "<g stroke=\"%s\" fill=\"%s\">\n", stroke, stroke);
  for (size_t i = 0; i < p->points; i++) {
    perf_spread_t s = value(p->book, p->cases[i], who);
    double x = place(&p->x, p->xs[i]) + aside;
    if (s.median <= 0 || s.min <= 0) continue;
    line(p, x, place(&p->y, s.min), x, place(&p->y, s.max), stroke);
    fprintf(p->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\"/>\n", x,
            place(&p->y, s.median));
  }
  fputs("<path fill=\"none\" stroke-width=\"1.8\" d=\"", p->out);
  for (size_t i = 0; i < p->points; i++)
    fprintf(p->out, "%c%.1f %.1f", i == 0 ? 'M' : 'L',
            place(&p->x, p->xs[i]) + aside,
            place(&p->y, fmax(value(p->book, p->cases[i], who).median,
                              p->y.is_log ? p->y.low : 0)));
  fputs("\"/>\n</g>\n", p->out);
}

/* Plain streams are out of scale beside libzmq, but for times. */
static bool in_ratios(const perf_book_t* book, perf_who_t who) {
  if (who == PERF_ZMQ) return false;
  return who != PERF_RAW || book->options->mode == PERF_LATENCY;
}

static void legend(const plot_t* p) {
  const perf_options_t* o = p->book->options;
  for (size_t w = 0; w < o->who_count; w++) {
    double y = TOP + 14 + 22.0 * (double) w;
    fprintf(p->out,
            "<path d=\"M%d %.1fh22\" stroke=\"%s\" stroke-width=\"3\"/>\n",
            RIGHT + 16, y, colour(o->who[w]));
    text(p, RIGHT + 46, y + 4, "start", perf_book_label(p->book, w));
  }
  if (o->rounds > 1)
    text(p, RIGHT + 16, TOP + 22.0 * (double) o->who_count + 18, "start",
         "bars: all rounds");
}

/* ---- panels -------------------------------------------------------------- */

static void frame(const plot_t* p) {
  fprintf(p->out,
          "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" "
          "fill=\"none\" stroke=\"#999\"/>\n",
          LEFT, p->y.to, RIGHT - LEFT, p->y.from - p->y.to);
}

static void first_panel(plot_t* p, bool last) {
  const perf_options_t* o = p->book->options;
  double low = HUGE_VAL;
  double high = 0;
  for (size_t i = 0; i < p->points; i++) {
    for (size_t w = 0; w < o->who_count; w++) {
      perf_spread_t s = main_value(p->book, p->cases[i], w);
      if (s.min > 0) low = fmin(low, s.min);
      high = fmax(high, s.max);
    }
  }
  if (high <= 0) low = high = 1;
  p->y = (axis_t){low / 1.4, high * 1.4, MIDDLE, TOP, true};
  if (last)
    x_axis(p, MIDDLE);
  else
    for (size_t i = 0; i < p->points; i++)
      line(p, place(&p->x, p->xs[i]), TOP, place(&p->x, p->xs[i]), MIDDLE,
           "#eee");
  log_ticks(p);
  frame(p);
  for (size_t w = 0; w < o->who_count; w++) series(p, w, main_value);
}

static void second_panel(plot_t* p) {
  const perf_options_t* o = p->book->options;
  double high = 1.5;
  for (size_t i = 0; i < p->points; i++)
    for (size_t w = 0; w < o->who_count; w++)
      if (in_ratios(p->book, o->who[w]))
        high = fmax(high, ratio_value(p->book, p->cases[i], w).max);
  p->y = (axis_t){0, high * 1.1, BOTTOM, SECOND, false};
  x_axis(p, BOTTOM);
  ratio_ticks(p);
  frame(p);
  for (size_t w = 0; w < o->who_count; w++)
    if (in_ratios(p->book, o->who[w])) series(p, w, ratio_value);
  text(p, LEFT, SECOND - 8, "start", "times as good as libzmq");
}

/* ---- all of it ----------------------------------------------------------- */

static void titles(const plot_t* p) {
  static const char* const units[PERF_MODE_COUNT] = {
      "messages a second",
      "median round trip, microseconds",
      "deliveries a second",
      "round trips a second",
      "99 in 100 timers are not later, microseconds",
      "messages a second",
      "connections a second"};
  const perf_options_t* o = p->book->options;
  const perf_case_t* c = &o->cases[p->cases[0]];
  const char* transport =
      o->mode == PERF_INPROC ? "inproc" : perf_transport_words[o->transport];
  char words[160];
  snprintf(words, sizeof words, "%s, %s, %s%s", perf_mode_word(o->mode),
           perf_report_sockets(p->book), transport,
           o->filtered ? ", a topic each" : "");
  size_t len = strlen(words);
  if (p->by_peers)
    snprintf(words + len, sizeof words - len, ", %zu bytes", c->size);
  else if (c->peers > 0)
    snprintf(words + len, sizeof words - len, ", %zu peers", c->peers);
  len = strlen(words);
  if (o->mode == PERF_PEERS)
    snprintf(words + len, sizeof words - len, ", %zu under way each",
             o->outstanding);
  len = strlen(words);
  if (o->spin_us > 0)
    snprintf(words + len, sizeof words - len, ", spinning %u us", o->spin_us);
  fputs("<g font-size=\"15\" font-weight=\"bold\">", p->out);
  text(p, LEFT, 22, "start", words);
  fputs("</g>\n", p->out);
  text(p, LEFT, TOP - 10, "start", units[o->mode]);
}

/* The cases that lie along the x axis: all peers of the first size, or all
 * sizes of the first number of peers. */
static void set_out(plot_t* p) {
  const perf_options_t* o = p->book->options;
  p->by_peers = o->peer_count > 1 || (o->size_count == 1 && o->peers[0] > 0);
  p->points = p->by_peers ? o->peer_count : o->size_count;
  double low = HUGE_VAL;
  double high = 0;
  for (size_t i = 0; i < p->points; i++) {
    p->cases[i] = p->by_peers ? i : i * o->peer_count;
    p->xs[i] = (double) (p->by_peers ? o->peers[i] : o->sizes[i]);
    low = fmin(low, p->xs[i]);
    high = fmax(high, p->xs[i]);
  }
  double room = high > low ? pow(high / low, 0.04) : 2;
  p->x = (axis_t){low / room, high * room, LEFT, RIGHT, true};
}

int perf_report_plot(const perf_book_t* book, FILE* out) {
  plot_t p = {.book = book, .out = out};
  bool two = perf_book_compares(book, PERF_ZMQ);
  int height = (two ? BOTTOM : MIDDLE) + BELOW;
  set_out(&p);
  fprintf(out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
          "height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
          "font-size=\"12\" fill=\"#222\">\n"
          "<rect width=\"%d\" height=\"%d\" fill=\"#fff\" stroke=\"none\"/>\n",
          WIDTH, height, WIDTH, height, WIDTH, height);
  titles(&p);
  first_panel(&p, !two);
  if (two) second_panel(&p);
  legend(&p);
  fputs("</svg>\n", out);
  return ferror(out) ? tool_fail("cannot write the plot") : TOOL_DONE;
}
