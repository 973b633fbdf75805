/* SPDX-License-Identifier: MIT */
/* mcqperf's findings as one JSON object, the same for all benchmarks: what was
 * measured, where, and a row for each contender of each case.  A figure that a
 * benchmark does not find is not there. */
#include <jansson.h>
#include <uv.h>

#include "monocoque.h"
#include "perf_report.h"

static const char* const keys[PERF_FIGURE_COUNT] = {
    "messages_per_second",
    "p50_us",
    "p99_us",
    "p999_us",
    "max_us",
    "cpu_ns_receiver",
    "cpu_ns_sender",
    "peak_mib_receiver",
    "peak_mib_sender",
    "messages_per_second_beside_stalled",
    "ratio_beside_stalled",
    "dropped",
    "cpu_ns_receiver_beside_stalled",
    "cpu_ns_sender_beside_stalled"};

static void set_real(json_t* object, const char* key, double value) {
  json_object_set_new(object, key, json_real(value));
}

static void set_count(json_t* object, const char* key, size_t value) {
  json_object_set_new(object, key, json_integer((json_int_t) value));
}

static json_t* range(perf_spread_t spread) {
  return json_pack("[f, f]", spread.min, spread.max);
}

/* ---- a row --------------------------------------------------------------- */

/* Each round's value, in order. */
static json_t* series(const perf_book_t* book, size_t at, size_t who,
                      perf_figure_t figure) {
  json_t* array = json_array();
  for (unsigned i = 0; i < book->options->rounds; i++)
    json_array_append_new(
        array, json_real(perf_book_at(book, at, who, i)->of[figure]));
  return array;
}

/* The medians first, as they are what most ask for. */
static void set_figures(json_t* row, const perf_book_t* book, size_t at,
                        size_t who) {
  json_t* ranges = json_object();
  json_t* rounds = json_object();
  for (perf_figure_t f = 0; f < PERF_FIGURE_COUNT; f++) {
    if (!perf_book_has(book, f)) continue;
    perf_spread_t spread = perf_book_spread(book, at, who, f);
    set_real(row, keys[f], spread.median);
    json_object_set_new(ranges, keys[f], range(spread));
    json_object_set_new(rounds, keys[f], series(book, at, who, f));
  }
  json_object_set_new(row, "ranges", ranges);
  json_object_set_new(row, "rounds", rounds);
}

static void set_ratio(json_t* row, const char* key, const char* range_key,
                      const perf_book_t* book, size_t at, size_t who,
                      perf_who_t rival) {
  if (!perf_book_compares(book, rival)) return;
  perf_spread_t ratio = perf_book_ratio(book, at, who, rival);
  set_real(row, key, ratio.median);
  json_object_set_new(row, range_key, range(ratio));
}

static json_t* row(const perf_book_t* book, size_t at, size_t who) {
  const perf_case_t* c = &book->options->cases[at];
  json_t* object = json_object();
  set_count(object, "size", c->size);
  if (c->peers > 0) set_count(object, "peers", c->peers);
  json_object_set_new(object, "contender",
                      json_string(perf_book_label(book, who)));
  if (perf_book_has(book, PERF_RATE))
    set_real(
        object, "megabytes_per_second",
        perf_book_median(book, at, who, PERF_RATE) * (double) c->size / 1e6);
  set_ratio(object, "ratio_to_libzmq", "ratio_to_libzmq_range", book, at, who,
            PERF_ZMQ);
  set_ratio(object, "ratio_to_raw", "ratio_to_raw_range", book, at, who,
            PERF_RAW);
  set_figures(object, book, at, who);
  return object;
}

/* ---- all of it ----------------------------------------------------------- */

static json_t* machine(void) {
  perf_machine_t m;
  perf_machine_read(&m);
  return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s}", "cpu", m.cpu,
                   "cores", (int) m.cores, "kernel", m.kernel,
                   "tcp_congestion_control", m.congestion, "compiler",
                   m.compiler, "libuv", uv_version_string(), "libzmq",
                   perf_has_zmq() ? perf_zmq_name() : "none", "date", m.date);
}

static json_t* whole(const perf_book_t* book) {
  const perf_options_t* o = book->options;
  const char* transport =
      o->mode == PERF_INPROC ? "inproc" : perf_transport_words[o->transport];
  json_t* all =
      json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:b, s:i}", "benchmark",
                perf_mode_word(o->mode), "version",
                mcq_version(NULL, NULL, NULL), "machine", machine(),
                "transport", transport, "sockets", perf_report_sockets(book),
                "libzmq_sockets", perf_report_zmq_sockets(book), "filtered",
                (int) o->filtered, "rounds", (int) o->rounds);
  if (all == NULL) return NULL;
  set_count(all, "stalled", o->stalled);
  set_count(all, "outstanding", o->outstanding);
  set_count(all, "spin_us", o->spin_us);
  json_t* rows = json_array();
  for (size_t c = 0; c < o->case_count; c++)
    for (size_t w = 0; w < o->who_count; w++)
      json_array_append_new(rows, row(book, c, w));
  json_object_set_new(all, "rows", rows);
  return all;
}

int perf_report_json(const perf_book_t* book, FILE* out) {
  json_t* all = whole(book);
  int rc = -1;
  if (all != NULL)
    rc = json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
  json_decref(all);
  if (rc == 0 && fputc('\n', out) != EOF) return TOOL_DONE;
  return tool_fail("cannot write the result");
}
