/* SPDX-License-Identifier: MIT */
/* Medians and ratios of mcqperf's runs, printed to standard output. */
#include "perf_report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "monocoque.h"

typedef double (*figure_fn)(const perf_run_t* run);

perf_run_t* perf_book_at(const perf_book_t* book, size_t at, size_t who,
                         unsigned round) {
  const perf_options_t* o = book->options;
  return &book->runs[(at * o->who_count + who) * o->rounds + round];
}

perf_run_t* perf_book_beside(const perf_book_t* book, size_t at, size_t who,
                             unsigned round) {
  return &book->beside[perf_book_at(book, at, who, round) - book->runs];
}

/* ---- figures of a run ---------------------------------------------------- */

/* Whichever side has the clock. */
static double rate(const perf_run_t* run) {
  const perf_result_t* r =
      run->receiver.wall_ns > 0 ? &run->receiver : &run->sender;
  double ns = (double) r->wall_ns;
  return ns > 0 ? (double) r->count * 1e9 / ns : 0;
}

static double each_ns(const perf_result_t* side) {
  return side->count > 0 ? (double) side->cpu_ns / (double) side->count : 0;
}

static double receiver_cpu(const perf_run_t* run) {
  return each_ns(&run->receiver);
}

static double sender_cpu(const perf_run_t* run) {
  return each_ns(&run->sender);
}

static double receiver_peak(const perf_run_t* run) {
  return (double) run->receiver.peak_kib / 1024;
}

static double sender_peak(const perf_run_t* run) {
  return (double) run->sender.peak_kib / 1024;
}

static double dropped(const perf_run_t* run) {
  return (double) run->sender.dropped;
}

static double p50(const perf_run_t* run) {
  return (double) run->sender.p50_ns / 1000;
}

static double p99(const perf_run_t* run) {
  return (double) run->sender.p99_ns / 1000;
}

static double p999(const perf_run_t* run) {
  return (double) run->sender.p999_ns / 1000;
}

/* ---- medians and ratios -------------------------------------------------- */

static int by_value(const void* a, const void* b) {
  double x = *(const double*) a;
  double y = *(const double*) b;
  return x < y ? -1 : x > y;
}

/* Sorts the values and frees them. */
static double middle_of(double* values, unsigned n) {
  qsort(values, n, sizeof *values, by_value);
  double middle = (values[(n - 1) / 2] + values[n / 2]) / 2;
  free(values);
  return middle;
}

static double median(const perf_book_t* book, size_t at, size_t who,
                     figure_fn figure) {
  unsigned n = book->options->rounds;
  double* values = tool_alloc(n * sizeof *values);
  for (unsigned i = 0; i < n; i++)
    values[i] = figure(perf_book_at(book, at, who, i));
  return middle_of(values, n);
}

static double median_beside(const perf_book_t* book, size_t at, size_t who,
                            figure_fn figure) {
  unsigned n = book->options->rounds;
  double* values = tool_alloc(n * sizeof *values);
  for (unsigned i = 0; i < n; i++)
    values[i] = figure(perf_book_beside(book, at, who, i));
  return middle_of(values, n);
}

/* What is left of the rate beside the stalled, of each round by itself. */
static double share_beside(const perf_book_t* book, size_t at, size_t who) {
  unsigned n = book->options->rounds;
  double* values = tool_alloc(n * sizeof *values);
  for (unsigned i = 0; i < n; i++) {
    double alone = rate(perf_book_at(book, at, who, i));
    values[i] =
        alone > 0 ? rate(perf_book_beside(book, at, who, i)) / alone : 0;
  }
  return middle_of(values, n);
}

/* The row of a rival, or -1. */
static int row_of(const perf_options_t* o, perf_who_t who) {
  for (size_t i = 0; i < o->who_count; i++)
    if (o->who[i] == who) return (int) i;
  return -1;
}

/* How many times as good as the rival, or 0 where there is none: messages a
 * second, or the median round trip the other way round. */
static double ratio(const perf_book_t* book, size_t at, size_t who,
                    perf_who_t rival) {
  int row = row_of(book->options, rival);
  if (row < 0) return 0;
  bool latency = book->options->mode == PERF_LATENCY;
  figure_fn figure = latency ? p50 : rate;
  double mine = median(book, at, who, figure);
  double theirs = median(book, at, (size_t) row, figure);
  if (latency) return mine > 0 ? theirs / mine : 0;
  return theirs > 0 ? mine / theirs : 0;
}

/* ---- the table ----------------------------------------------------------- */

/* Four significant digits at most: "5.42 M", "787 k", "93". */
static const char* human(double n, char out[16]) {
  static const char* const units[] = {"", " k", " M", " G"};
  size_t u = 0;
  for (; n >= 1000 && u < 3; u++) n /= 1000;
  int digits = u == 0 || n >= 100 ? 0 : n >= 10 ? 1 : 2;
  snprintf(out, 16, "%.*f%s", digits, n, units[u]);
  return out;
}

/* What is measured, by perf_mode_t. */
typedef struct subject {
  const char* sockets;
  const char* zmq_sockets;
  const char* sentence;
} subject_t;

static const subject_t subjects[PERF_MODE_COUNT] = {
    {"DEALER-DEALER", "DEALER-DEALER",
     "DEALER to DEALER, one way, for all; raw is plain TCP"},
    {"DEALER-ROUTER", "REQ-REP",
     "DEALER to ROUTER and back; libzmq REQ to REP; raw is plain TCP"},
    {"PUB-SUB", "XPUB-SUB",
     "PUB to SUBs that lose nothing, deliveries a second"},
    {"DEALER-ROUTER", "DEALER-ROUTER",
     "DEALERs to a ROUTER and back, one question each at a time"},
};

static const char* label(perf_who_t who) {
  return who == PERF_ZMQ ? perf_zmq_name() : perf_who_word(who);
}

static void print_ratio(const perf_book_t* book, size_t at, size_t who,
                        perf_who_t rival) {
  if (row_of(book->options, rival) < 0) return;
  printf(" %7.2fx", ratio(book, at, who, rival));
}

static void print_ratio_heads(const perf_options_t* o) {
  if (row_of(o, PERF_ZMQ) >= 0) printf(" %8s", "/libzmq");
  if (row_of(o, PERF_RAW) >= 0) printf(" %8s", "/raw");
}

static void print_beside(const perf_book_t* book, size_t at, size_t who) {
  char per_second[16];
  char lost[16];
  if (book->beside == NULL) return;
  printf(" %8s %7.2fx %8s",
         human(median_beside(book, at, who, rate), per_second),
         share_beside(book, at, who),
         human(median_beside(book, at, who, dropped), lost));
}

static const char* sentence(const perf_options_t* o) {
  if (o->stalled == 0) return subjects[o->mode].sentence;
  return "XPUB to SUBs that lose nothing, deliveries a second, alone and "
         "beside "
         "others that\ndo not read, which got or are known to have lost every "
         "single message";
}

static void print_head(const perf_options_t* o) {
  printf(
      "libmonocoque %s, %s%s, tcp on 127.0.0.1, two processes, medians of %u "
      "rounds\n",
      mcq_version(NULL, NULL, NULL), perf_mode_word(o->mode),
      o->filtered ? ", a topic each" : "", o->rounds);
  printf("%s\n", sentence(o));
  printf("%8s", "size");
  if (o->cases[0].peers > 0) printf(" %6s", "peers");
  printf("  %-12s", "");
  if (o->mode == PERF_LATENCY)
    printf(" %8s %8s %8s", "p50 us", "p99 us", "p99.9 us");
  else
    printf(" %8s %8s", "msg/s", "MB/s");
  if (o->stalled > 0) printf(" %4zu more %8s %8s", o->stalled, "", "dropped");
  print_ratio_heads(o);
  printf("   cpu ns/msg recv, send   peak MiB recv, send\n");
}

static void print_row(const perf_book_t* book, size_t at, size_t who) {
  const perf_options_t* o = book->options;
  const perf_case_t* c = &o->cases[at];
  char text[16];
  printf("%8zu", c->size);
  if (c->peers > 0) printf(" %6zu", c->peers);
  printf("  %-12s", label(o->who[who]));
  if (o->mode == PERF_LATENCY) {
    printf(" %8.1f %8.1f %8.1f", median(book, at, who, p50),
           median(book, at, who, p99), median(book, at, who, p999));
  } else {
    double per_second = median(book, at, who, rate);
    printf(" %8s %8.0f", human(per_second, text),
           per_second * (double) c->size / 1e6);
  }
  print_beside(book, at, who);
  print_ratio(book, at, who, PERF_ZMQ);
  print_ratio(book, at, who, PERF_RAW);
  printf("  %13.0f %9.0f  %12.1f %8.1f\n", median(book, at, who, receiver_cpu),
         median(book, at, who, sender_cpu),
         median(book, at, who, receiver_peak),
         median(book, at, who, sender_peak));
}

void perf_report_table(const perf_book_t* book) {
  print_head(book->options);
  for (size_t c = 0; c < book->options->case_count; c++)
    for (size_t w = 0; w < book->options->who_count; w++) print_row(book, c, w);
}

/* ---- JSON ---------------------------------------------------------------- */

static void set_real(json_t* object, const char* key, double value) {
  json_object_set_new(object, key, json_real(value));
}

static void set_median(json_t* object, const char* key, const perf_book_t* book,
                       size_t at, size_t who, figure_fn figure) {
  set_real(object, key, median(book, at, who, figure));
}

/* The figure of each round, in order. */
static json_t* series(const perf_book_t* book, size_t at, size_t who,
                      figure_fn figure) {
  json_t* array = json_array();
  for (unsigned i = 0; i < book->options->rounds; i++)
    json_array_append_new(array,
                          json_real(figure(perf_book_at(book, at, who, i))));
  return array;
}

static void set_ratio(json_t* object, const char* key, const perf_book_t* book,
                      size_t at, size_t who, perf_who_t rival) {
  if (row_of(book->options, rival) >= 0)
    set_real(object, key, ratio(book, at, who, rival));
}

static json_t* row(const perf_book_t* book, size_t at, size_t who) {
  const perf_options_t* o = book->options;
  json_t* object = json_object();
  const perf_case_t* c = &o->cases[at];
  json_object_set_new(object, "size", json_integer((json_int_t) c->size));
  if (c->peers > 0)
    json_object_set_new(object, "peers", json_integer((json_int_t) c->peers));
  json_object_set_new(object, "contender", json_string(label(o->who[who])));
  if (o->mode == PERF_LATENCY) {
    set_median(object, "p50_us", book, at, who, p50);
    set_median(object, "p99_us", book, at, who, p99);
    set_median(object, "p999_us", book, at, who, p999);
    json_object_set_new(object, "rounds_p50_us", series(book, at, who, p50));
  } else {
    set_median(object, "messages_per_second", book, at, who, rate);
    set_real(object, "megabytes_per_second",
             median(book, at, who, rate) * (double) c->size / 1e6);
    json_object_set_new(object, "rounds_messages_per_second",
                        series(book, at, who, rate));
  }
  if (o->stalled > 0) {
    set_real(object, "messages_per_second_beside_stalled",
             median_beside(book, at, who, rate));
    set_real(object, "ratio_beside_stalled", share_beside(book, at, who));
    set_real(object, "dropped", median_beside(book, at, who, dropped));
    set_real(object, "cpu_ns_receiver_beside_stalled",
             median_beside(book, at, who, receiver_cpu));
    set_real(object, "cpu_ns_sender_beside_stalled",
             median_beside(book, at, who, sender_cpu));
  }
  set_ratio(object, "ratio_to_libzmq", book, at, who, PERF_ZMQ);
  set_ratio(object, "ratio_to_raw", book, at, who, PERF_RAW);
  set_median(object, "cpu_ns_receiver", book, at, who, receiver_cpu);
  set_median(object, "cpu_ns_sender", book, at, who, sender_cpu);
  set_median(object, "peak_mib_receiver", book, at, who, receiver_peak);
  set_median(object, "peak_mib_sender", book, at, who, sender_peak);
  return object;
}

int perf_report_json(const perf_book_t* book) {
  const perf_options_t* o = book->options;
  json_t* rows = json_array();
  for (size_t c = 0; c < o->case_count; c++)
    for (size_t w = 0; w < o->who_count; w++)
      json_array_append_new(rows, row(book, c, w));
  json_t* all = json_pack(
      "{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:i, s:o}", "benchmark",
      perf_mode_word(o->mode), "version", mcq_version(NULL, NULL, NULL),
      "transport", "tcp", "sockets", subjects[o->mode].sockets,
      "libzmq_sockets", subjects[o->mode].zmq_sockets, "filtered",
      (int) o->filtered, "stalled", (json_int_t) o->stalled, "rounds",
      (int) o->rounds, "rows", rows);
  int rc = all != NULL ? json_dumpf(all, stdout,
                                    JSON_INDENT(2) | JSON_REAL_PRECISION(6))
                       : -1;
  json_decref(all);
  if (rc == 0) putchar('\n');
  return rc == 0 ? TOOL_DONE : tool_fail("cannot write the result");
}
