/* SPDX-License-Identifier: MIT */
/* Reads mcqperf's command line, fills in defaults and says what is wrong. */
#include "perf_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "monocoque.h"

static const char help_text[] =
    "Usage: mcqperf throughput|latency|fanout|peers|lateness|inproc|\n"
    "               setup [OPTION]...\n"
    "Measures libmonocoque between two processes over TCP on 127.0.0.1.\n"
    "  throughput  PUSH to PULL, one way: messages a second\n"
    "  latency     REQ to REP and back: round-trip times\n"
    "  fanout      PUB to many SUBs, none slower than it: deliveries a second\n"
    "  peers       many DEALERs to one ROUTER and back: round trips a second\n"
    "  lateness    how late a timer is beside a peer that floods\n"
    "  inproc      PUSH to PULL in one process: messages a second\n"
    "  setup       DEALERs that connect, ask once and close: connections a\n"
    "              second\n"
    "      --size=BYTES[,BYTES...]  message sizes\n"
    "                               (64; throughput 64,1024,65536;\n"
    "                               lateness 64,16384)\n"
    "      --types=PAIR             throughput, latency: PUSH-PULL, REQ-REP,\n"
    "                               DEALER-DEALER, DEALER-ROUTER, PAIR-PAIR\n"
    "      --transport=NAME         tcp or ipc (tcp)\n"
    "      --peers=N[,N...]         (fanout 1,10,100,1000; peers 1,64,1000;\n"
    "                               setup, at once: 1,1000)\n"
    "      --outstanding=N          peers: questions of each under way (1)\n"
    "      --spin=US                this library looks for input so long "
    "before\n"
    "                               it sleeps (0)\n"
    "      --filtered               fanout: a topic for each SUB\n"
    "      --stalled=N              fanout: with and without N more that do\n"
    "                               not read\n"
    "      --count=N                messages or round trips of a run\n"
    "                               (what takes 0.4 s; latency 10000;\n"
    "                               connections of setup 1000)\n"
    "      --rounds=N               runs of each contender, in turn (5)\n"
    "      --backend=NAME[,NAME]    uv, uring, auto (uv,uring)\n"
    "      --against=NAME[,NAME]    libzmq, raw: rivals in the same run\n"
    "      --json[=FILE]            print one JSON object\n"
    "      --markdown[=FILE]        print a table for a document\n"
    "      --plot=FILE.svg          draw rates or times, and ratios to libzmq\n"
    "      --help, --version\n"
    "See mcqperf(1).\n";

enum {
  OPT_SIZE = 256,
  OPT_PEERS,
  OPT_FILTERED,
  OPT_STALLED,
  OPT_COUNT,
  OPT_ROUNDS,
  OPT_BACKEND,
  OPT_AGAINST,
  OPT_JSON,
  OPT_MARKDOWN,
  OPT_PLOT,
  OPT_TYPES,
  OPT_TRANSPORT,
  OPT_OUTSTANDING,
  OPT_SPIN,
  OPT_HELP,
  OPT_VERSION
};

static const struct option long_options[] = {
    {"size", required_argument, NULL, OPT_SIZE},
    {"peers", required_argument, NULL, OPT_PEERS},
    {"filtered", no_argument, NULL, OPT_FILTERED},
    {"stalled", required_argument, NULL, OPT_STALLED},
    {"count", required_argument, NULL, OPT_COUNT},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"against", required_argument, NULL, OPT_AGAINST},
    {"json", optional_argument, NULL, OPT_JSON},
    {"markdown", optional_argument, NULL, OPT_MARKDOWN},
    {"plot", required_argument, NULL, OPT_PLOT},
    {"types", required_argument, NULL, OPT_TYPES},
    {"transport", required_argument, NULL, OPT_TRANSPORT},
    {"outstanding", required_argument, NULL, OPT_OUTSTANDING},
    {"spin", required_argument, NULL, OPT_SPIN},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0}};

enum { LONG_COUNT = sizeof long_options / sizeof *long_options - 1 };

/* By perf_who_t. */
static const char* const who_words[PERF_WHO_COUNT] = {
    "auto",     "uv",        "uring", "libzmq", "raw",
    "one-loop", "two-loops", "post",  "post-x4"};

const char* perf_who_word(perf_who_t who) {
  return who_words[who];
}

/* ---- what can be wrong --------------------------------------------------- */

static int bad_option(int option, char** argv) {
  char word[64];
  const char* whole = argv[optind - 1];
  snprintf(word, sizeof word, "%.*s", (int) strcspn(whole, "="), whole);
  if (option == ':') return tool_misuse("option %s needs a value", word);
  if (optopt >= OPT_SIZE) return tool_misuse("%s takes no value", word);
  if (optopt > 0) snprintf(word, sizeof word, "-%c", optopt);
  char names[LONG_COUNT][32];
  const char* words[LONG_COUNT];
  for (size_t i = 0; i < LONG_COUNT; i++) {
    snprintf(names[i], sizeof names[i], "--%s", long_options[i].name);
    words[i] = names[i];
  }
  return tool_unknown("option", word, words, LONG_COUNT);
}

static int read_number(const char* option, const char* word, int64_t min,
                       int64_t max, int64_t* out) {
  if (tool_number(word, min, max, out)) return 0;
  return tool_misuse("%s: '%s' is not a number from %lld to %lld", option, word,
                     (long long) min, (long long) max);
}

/* ---- lists --------------------------------------------------------------- */

/* Copies the next word of a list with commas; false after the last. */
static bool next_word(const char** list, char word[32]) {
  if (*list == NULL) return false;
  size_t len = strcspn(*list, ",");
  snprintf(word, 32, "%.*s", (int) len, *list);
  *list = (*list)[len] == ',' ? *list + len + 1 : NULL;
  return true;
}

static int read_numbers(const char* option, const char* list, int64_t max,
                        size_t out[PERF_LIST_MAX], size_t* count) {
  char word[32];
  for (*count = 0; next_word(&list, word);) {
    int64_t n = 0;
    int rc = read_number(option, word, 1, max, &n);
    if (rc != 0) return rc;
    if (*count == PERF_LIST_MAX)
      return tool_misuse("%s: at most %d numbers", option, PERF_LIST_MAX);
    out[(*count)++] = (size_t) n;
  }
  return 0;
}

/* The index of `word`, or a negative number after a message. */
static int read_word(const char* what, const char* word,
                     const char* const* words, size_t count) {
  int i = tool_find(word, words, count);
  if (i < 0) tool_unknown(what, word, words, count);
  return i;
}

static int read_types(perf_options_t* o, const char* word) {
  int i = read_word("pair of types", word, perf_types_words, PERF_TYPES_COUNT);
  if (i < 0) return TOOL_USAGE;
  o->types = (perf_types_t) i;
  o->types_given = true;
  return 0;
}

static int read_transport(perf_options_t* o, const char* word) {
  int i =
      read_word("transport", word, perf_transport_words, PERF_TRANSPORT_COUNT);
  if (i < 0) return TOOL_USAGE;
  o->transport = (perf_transport_t) i;
  return 0;
}

static void add_who(perf_options_t* o, perf_who_t who) {
  for (size_t i = 0; i < o->who_count; i++)
    if (o->who[i] == who) return;
  o->who[o->who_count++] = who;
}

/* Adds the contenders of a list, words from `first` to `last`. */
static int read_who(perf_options_t* o, const char* what, const char* list,
                    perf_who_t first, perf_who_t last) {
  char word[32];
  const char* const* words = who_words + first;
  size_t count = (size_t) last - first + 1;
  while (next_word(&list, word)) {
    int i = tool_find(word, words, count);
    if (i < 0) return tool_unknown(what, word, words, count);
    perf_who_t who = (perf_who_t) (first + (perf_who_t) i);
    if (who == PERF_ZMQ && !perf_has_zmq())
      return tool_misuse("libzmq: not in this build");
    if (who == PERF_URING && !mcq_has("uring"))
      return tool_fail("the uring back end is not available here");
    add_who(o, who);
  }
  return 0;
}

/* ---- all of it ----------------------------------------------------------- */

static const char* const modes[PERF_MODE_COUNT] = {
    "throughput", "latency", "fanout", "peers", "lateness", "inproc", "setup"};

const char* perf_mode_word(perf_mode_t mode) {
  return modes[mode];
}

static int read_mode(perf_options_t* o, const char* word) {
  int i = tool_find(word, modes, PERF_MODE_COUNT);
  if (i < 0) return tool_unknown("benchmark", word, modes, PERF_MODE_COUNT);
  o->mode = (perf_mode_t) i;
  return 0;
}

static int read_option(perf_options_t* o, int option, const char** against) {
  int64_t n = 0;
  int rc = 0;
  switch (option) {
    case OPT_SIZE:
      return read_numbers("--size", optarg, 64 << 20, o->sizes, &o->size_count);
    case OPT_PEERS:
      return read_numbers("--peers", optarg, 10000, o->peers, &o->peer_count);
    case OPT_FILTERED:
      o->filtered = true;
      return 0;
    case OPT_STALLED:
      rc = read_number("--stalled", optarg, 1, 1000, &n);
      o->stalled = (size_t) n;
      return rc;
    case OPT_COUNT:
      rc = read_number("--count", optarg, 2, 1000000000, &n);
      o->count = (uint64_t) n;
      o->count_given = true;
      return rc;
    case OPT_ROUNDS:
      rc = read_number("--rounds", optarg, 1, 1000, &n);
      o->rounds = (unsigned) n;
      return rc;
    case OPT_BACKEND:
      return read_who(o, "back end", optarg, PERF_AUTO, PERF_URING);
    case OPT_AGAINST:
      *against = optarg; /* rivals stand below our own rows */
      return 0;
    case OPT_TYPES:
      return read_types(o, optarg);
    case OPT_TRANSPORT:
      return read_transport(o, optarg);
    case OPT_OUTSTANDING: /* no more than libzmq's queues take */
      rc = read_number("--outstanding", optarg, 1, 1000, &n);
      o->outstanding = (size_t) n;
      return rc;
    case OPT_SPIN:
      rc = read_number("--spin", optarg, 0, 1000000, &n);
      o->spin_us = (uint32_t) n;
      return rc;
    case OPT_PLOT:
      o->plot_path = optarg;
      return 0;
    case OPT_MARKDOWN:
      o->markdown = true;
      o->markdown_path = optarg;
      return 0;
    default:
      o->json = true;
      o->json_path = optarg;
      return 0;
  }
}

static bool has_many(const perf_options_t* o) {
  return o->mode == PERF_FANOUT || o->mode == PERF_PEERS ||
         o->mode == PERF_SETUP;
}

static void set_default_sizes(perf_options_t* o) {
  if (o->size_count > 0) return;
  o->sizes[o->size_count++] = o->mode == PERF_SETUP ? PERF_HELLO : 64;
  if (o->mode == PERF_LATENESS) o->sizes[o->size_count++] = 16384;
  if (o->mode != PERF_THROUGHPUT) return;
  o->sizes[o->size_count++] = 1024;
  o->sizes[o->size_count++] = 65536;
}

static void set_default_peers(perf_options_t* o) {
  static const size_t fanout[] = {1, 10, 100, 1000};
  static const size_t peers[] = {1, 64, 1000};
  static const size_t setup[] = {1, 1000};
  if (o->peer_count > 0) return;
  if (!has_many(o)) o->peers[o->peer_count++] = 0;
  for (size_t i = 0; o->mode == PERF_FANOUT && i < 4; i++)
    o->peers[o->peer_count++] = fanout[i];
  for (size_t i = 0; o->mode == PERF_PEERS && i < 3; i++)
    o->peers[o->peer_count++] = peers[i];
  for (size_t i = 0; o->mode == PERF_SETUP && i < 2; i++)
    o->peers[o->peer_count++] = setup[i];
}

static void set_defaults(perf_options_t* o) {
  if (o->rounds == 0) o->rounds = 5;
  if (o->count == 0 && o->mode == PERF_LATENCY) o->count = 10000;
  if (o->count == 0 && o->mode == PERF_SETUP) o->count = 1000;
  if (o->mode == PERF_LATENCY && !o->types_given) o->types = PERF_REQ_REP;
  if (o->mode == PERF_PEERS && o->outstanding == 0) o->outstanding = 1;
  set_default_sizes(o);
  set_default_peers(o);
  for (size_t s = 0; s < o->size_count; s++)
    for (size_t p = 0; p < o->peer_count; p++)
      o->cases[o->case_count++] = (perf_case_t){o->sizes[s], o->peers[p]};
}

/* What only goes together. */
static int check(const perf_options_t* o) {
  if (o->peer_count > 0 && !has_many(o))
    return tool_misuse("--peers is for fanout, peers and setup");
  if (o->size_count > 0 && o->mode == PERF_SETUP)
    return tool_misuse("--size is not for setup");
  if (o->filtered && o->mode != PERF_FANOUT)
    return tool_misuse("--filtered is for fanout");
  if (o->stalled > 0 && o->mode != PERF_FANOUT)
    return tool_misuse("--stalled is for fanout");
  if (o->stalled > 0 && o->filtered)
    return tool_misuse("--stalled goes without --filtered");
  for (size_t i = 0; o->stalled > 0 && i < o->who_count; i++)
    if (o->who[i] == PERF_ZMQ)
      return tool_misuse("--stalled is about this library only");
  if (o->outstanding > 0 && o->mode != PERF_PEERS)
    return tool_misuse("--outstanding is for peers");
  if (o->types_given && o->mode > PERF_LATENCY)
    return tool_misuse("--types is for throughput and latency");
  bool answers = o->types != PERF_PUSH_PULL;
  bool only_answers = o->types == PERF_REQ_REP;
  if (o->types_given && (o->mode == PERF_LATENCY ? !answers : only_answers))
    return tool_misuse("%s is not for %s", perf_types_words[o->types],
                       perf_mode_word(o->mode));
  if (o->spin_us > 0 && (o->mode > PERF_PEERS || o->stalled > 0))
    return tool_misuse("--spin is for throughput, latency, fanout and peers");
  if (o->transport != PERF_TCP && (o->mode > PERF_PEERS || o->stalled > 0))
    return tool_misuse(
        "--transport=%s is for throughput, latency, fanout "
        "and peers",
        perf_transport_words[o->transport]);
  if (o->json && o->json_path == NULL && o->markdown &&
      o->markdown_path == NULL)
    return tool_misuse("--json and --markdown: one of them needs a file");
  if (o->mode == PERF_LATENESS && o->count_given)
    return tool_misuse("--count is not for lateness");
  bool has_raw = !has_many(o) && o->mode != PERF_INPROC;
  for (size_t i = 0; !has_raw && i < o->who_count; i++)
    if (o->who[i] == PERF_RAW)
      return tool_misuse("raw: a rival in throughput, latency and lateness");
  return 0;
}

/* What there is to compare within a process. */
static int add_ways(perf_options_t* o) {
  if (o->who_count > 0) return tool_misuse("--backend is not for inproc");
  for (perf_who_t w = PERF_ONE_LOOP; w <= PERF_POST_4; w++) add_who(o, w);
  return 0;
}

static int read_rest(perf_options_t* o, int argc, char** argv,
                     const char* against) {
  if (optind == argc)
    return tool_misuse(
        "what to measure: throughput, latency, fanout, peers, lateness, "
        "inproc or setup?");
  int rc = read_mode(o, argv[optind]);
  if (rc == 0 && optind + 1 < argc)
    rc = tool_misuse("'%s' is one word too many", argv[optind + 1]);
  if (rc != 0) return rc;
  if (o->mode == PERF_INPROC) {
    rc = add_ways(o);
    if (rc != 0) return rc;
  } else if (o->who_count == 0) {
    add_who(o, PERF_UV);
    if (mcq_has("uring")) add_who(o, PERF_URING);
  }
  if (o->mode == PERF_LATENESS && against == NULL)
    against = perf_has_zmq() ? "libzmq,raw" : "raw";
  if (o->mode == PERF_INPROC && against == NULL && perf_has_zmq())
    against = "libzmq";
  if (against != NULL) rc = read_who(o, "rival", against, PERF_ZMQ, PERF_RAW);
  if (rc == 0) rc = check(o);
  set_defaults(o);
  return rc;
}

/* -1: go on; else leave with this code. */
static int read_all(perf_options_t* o, int argc, char** argv) {
  const char* against = NULL;
  for (;;) {
    optopt = 0;
    int option = getopt_long(argc, argv, ":", long_options, NULL);
    if (option < 0) break;
    if (option == OPT_HELP) return fputs(help_text, stdout) < 0;
    if (option == OPT_VERSION)
      return printf("mcqperf %s\n", mcq_version(NULL, NULL, NULL)) < 0;
    if (option == '?' || option == ':') return bad_option(option, argv);
    int rc = read_option(o, option, &against);
    if (rc != 0) return rc;
  }
  int rc = read_rest(o, argc, argv, against);
  return rc == 0 ? -1 : rc;
}

bool perf_options_read(perf_options_t* out, int argc, char** argv, int* code) {
  opterr = 0;
  *code = read_all(out, argc, argv);
  return *code < 0;
}
