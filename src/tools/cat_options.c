/* SPDX-License-Identifier: MIT */
/* Reads mcqcat's command line, and says what is wrong with it. */
#include "cat_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monocoque.h"

static const char help_text[] =
    "Usage: mcqcat [OPTION]... TYPE\n"
    "Sends lines as ZMTP messages, prints messages as lines.\n"
    "TYPE: pair|pub|sub|xpub|xsub|req|rep|dealer|router|push|pull|stream\n"
    "  -b, --bind=ENDPOINT       listen at tcp://HOST:PORT; port * or 0: any\n"
    "  -c, --connect=ENDPOINT    connect to it; -b and -c may be repeated\n"
    "  -s, --subscribe=PREFIX    sub: hear what begins so; '' is all; "
    "repeatable\n"
    "  -i, --routing-id=ID       announce this identity\n"
    "  -f, --format=FORMAT       text (frames between TABs), json, hex; "
    "stream: raw\n"
    "  -n, --count=N             leave after N received messages\n"
    "  -t, --timeout=MS          leave with 4 if that has not happened by "
    "then\n"
    "  -e, --events              tell on stderr what happens, in JSON lines\n"
    "      --echo                send each message back to its sender\n"
    "      --balance             router: share lines out among the peers\n"
    "      --linger=MS           send what is queued for so long; -1: to the "
    "end\n"
    "      --backend=NAME        auto, uv or uring\n"
    "      --max-message-size=N  bytes in all frames; 0: no limit\n"
    "      --handshake-timeout=MS  of the whole handshake; 0: no limit\n"
    "      --heartbeat-interval=MS  ask silent peers for a sign of life\n"
    "      --heartbeat-timeout=MS  disconnect those that give none for so long\n"
    "      --sndhwm=N            messages queued for a peer; 0: no limit\n"
    "      --stats               counters on stderr at exit and on SIGUSR1\n"
    "      --help, --version\n"
    "Exit: 0 done, 1 failure, 2 usage, 4 time-out.  See mcqcat(1).\n";

enum { /* options without a letter */
       OPT_BACKEND = 256,
       OPT_ECHO,
       OPT_BALANCE,
       OPT_LINGER,
       OPT_MAX_MESSAGE_SIZE,
       OPT_HANDSHAKE_TIMEOUT,
       OPT_HEARTBEAT_INTERVAL,
       OPT_HEARTBEAT_TIMEOUT,
       OPT_SNDHWM,
       OPT_STATS,
       OPT_HELP,
       OPT_VERSION,
       OPT_ABSENT /* known, but this build cannot do it */
};

static const struct option long_options[] = {
    {"bind", required_argument, NULL, 'b'},
    {"connect", required_argument, NULL, 'c'},
    {"subscribe", required_argument, NULL, 's'},
    {"routing-id", required_argument, NULL, 'i'},
    {"format", required_argument, NULL, 'f'},
    {"count", required_argument, NULL, 'n'},
    {"timeout", required_argument, NULL, 't'},
    {"events", no_argument, NULL, 'e'},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"echo", no_argument, NULL, OPT_ECHO},
    {"balance", no_argument, NULL, OPT_BALANCE},
    {"linger", required_argument, NULL, OPT_LINGER},
    {"max-message-size", required_argument, NULL, OPT_MAX_MESSAGE_SIZE},
    {"handshake-timeout", required_argument, NULL, OPT_HANDSHAKE_TIMEOUT},
    {"heartbeat-interval", required_argument, NULL, OPT_HEARTBEAT_INTERVAL},
    {"heartbeat-timeout", required_argument, NULL, OPT_HEARTBEAT_TIMEOUT},
    {"sndhwm", required_argument, NULL, OPT_SNDHWM},
    {"stats", no_argument, NULL, OPT_STATS},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {"plain-user", required_argument, NULL, OPT_ABSENT},
    {"plain-pass", required_argument, NULL, OPT_ABSENT},
    {"plain-server", required_argument, NULL, OPT_ABSENT},
    {"curve-server", required_argument, NULL, OPT_ABSENT},
    {"curve-client", required_argument, NULL, OPT_ABSENT},
    {"curve-server-key", required_argument, NULL, OPT_ABSENT},
    {"rcvhwm", required_argument, NULL, OPT_ABSENT},
    {NULL, 0, NULL, 0}};

enum { LONG_COUNT = sizeof long_options / sizeof *long_options - 1 };

static const cat_type_t types[] = {
    {"pair", MCQ_PAIR, true, true, true},
    {"pub", MCQ_PUB, true, false, false},
    {"sub", MCQ_SUB, false, true, false},
    {"xpub", MCQ_XPUB, true, true, false},
    {"xsub", MCQ_XSUB, true, true, false},
    {"req", MCQ_REQ, true, true, false},
    {"rep", MCQ_REP, true, true, true},
    {"dealer", MCQ_DEALER, true, true, true},
    {"router", MCQ_ROUTER, true, true, true},
    {"push", MCQ_PUSH, true, false, false},
    {"pull", MCQ_PULL, false, true, false},
    {"stream", MCQ_STREAM, true, true, true},
};

enum { TYPE_COUNT = sizeof types / sizeof *types };

/* ---- what can be wrong --------------------------------------------------- */

/* The word getopt stumbled over, without a value glued to it. */
static void bad_word(char** argv, char out[64]) {
  const char* word = argv[optind - 1];
  snprintf(out, 64, "%.*s", (int) strcspn(word, "="), word);
}

static bool is_known(int option) {
  for (size_t i = 0; i < LONG_COUNT; i++)
    if (long_options[i].val == option) return true;
  return false;
}

static int unknown_option(char** argv) {
  char word[64];
  bad_word(argv, word);
  if (is_known(optopt)) return tool_misuse("%s takes no value", word);
  if (optopt > 0) snprintf(word, sizeof word, "-%c", optopt);
  char names[LONG_COUNT][32];
  const char* words[LONG_COUNT + 8] = {"-b", "-c", "-s", "-i",
                                       "-f", "-n", "-t", "-e"};
  for (size_t i = 0; i < LONG_COUNT; i++) {
    snprintf(names[i], sizeof names[i], "--%s", long_options[i].name);
    words[8 + i] = names[i];
  }
  return tool_unknown("option", word, words, LONG_COUNT + 8);
}

static int missing_value(char** argv) {
  char word[64];
  bad_word(argv, word);
  return tool_misuse("option %s needs a value", word);
}

static int absent(int index) {
  return tool_misuse("--%s is not supported by this build",
                     long_options[index].name);
}

/* ---- values -------------------------------------------------------------- */

static int read_format(cat_options_t* o, const char* word) {
  static const char* const names[] = {"text", "json", "hex", "raw"};
  int i = tool_find(word, names, 4);
  if (i < 0) return tool_unknown("format", word, names, 4);
  o->format = (cat_format_t) i;
  o->format_given = true;
  return 0;
}

static int read_number(const char* option, const char* word, int64_t min,
                       int64_t max, int64_t* out) {
  if (tool_number(word, min, max, out)) return 0;
  return tool_misuse("%s: '%s' is not a number from %lld to %lld", option, word,
                     (long long) min, (long long) max);
}

/* A limit in libzmq's way, 0 for none, which the library spells -1. */
static int read_limit(const char* option, const char* word, int64_t max,
                      int64_t* out) {
  int rc = read_number(option, word, -1, max, out);
  if (rc == 0 && *out == 0) *out = -1;
  return rc;
}

static int read_linger(cat_options_t* o, const char* word) {
  int rc = read_number("--linger", word, -1, INT32_MAX, &o->linger_ms);
  if (rc == 0 && o->linger_ms == 0) o->linger_ms = MCQ_LINGER_NONE;
  o->linger_given = true;
  return rc;
}

static int read_routing_id(cat_options_t* o, const char* word) {
  size_t len = strlen(word);
  if (len < 1 || len > 255)
    return tool_misuse("--routing-id: 1 to 255 bytes, not %zu", len);
  o->routing_id = word;
  return 0;
}

static int read_topic(cat_options_t* o, const char* word) {
  size_t len = strlen(word);
  if (len > 65535)
    return tool_misuse("--subscribe: at most 65535 bytes, not %zu", len);
  o->topics[o->topic_count++] = word;
  return 0;
}

static int read_endpoint(cat_options_t* o, const char* uri, bool bind) {
  if (strstr(uri, "://") == NULL)
    return tool_misuse("endpoint '%s' lacks its transport, as in 'tcp://%s'",
                       uri, uri);
  o->endpoints[o->endpoint_count++] = (cat_endpoint_t){uri, bind};
  return 0;
}

static int read_value(cat_options_t* o, int option, const char* word) {
  int64_t n = 0;
  int rc = 0;
  switch (option) {
    case 'b':
      return read_endpoint(o, word, true);
    case 'c':
      return read_endpoint(o, word, false);
    case 's':
      return read_topic(o, word);
    case 'i':
      return read_routing_id(o, word);
    case 'f':
      return read_format(o, word);
    case 'n':
      rc = read_number("--count", word, 1, INT64_MAX, &n);
      o->count = (uint64_t) n;
      return rc;
    case 't':
      rc = read_number("--timeout", word, 1, INT32_MAX, &n);
      o->timeout_ms = (uint64_t) n;
      return rc;
    case OPT_BACKEND:
      o->backend = tool_backend(word);
      return o->backend < 0 ? TOOL_USAGE : 0;
    case OPT_LINGER:
      return read_linger(o, word);
    case OPT_MAX_MESSAGE_SIZE:
      return read_limit("--max-message-size", word, INT64_MAX,
                        &o->max_message_size);
    case OPT_HANDSHAKE_TIMEOUT:
      return read_limit("--handshake-timeout", word, INT32_MAX,
                        &o->handshake_ms);
    case OPT_HEARTBEAT_INTERVAL:
      return read_limit("--heartbeat-interval", word, INT32_MAX,
                        &o->heartbeat_ms);
    case OPT_HEARTBEAT_TIMEOUT:
      return read_limit("--heartbeat-timeout", word, INT32_MAX,
                        &o->heartbeat_timeout_ms);
    case OPT_SNDHWM:
      rc = read_limit("--sndhwm", word, INT32_MAX, &n);
      o->sndhwm = (int32_t) n;
      return rc;
    default:
      return 0;
  }
}

static void read_flag(cat_options_t* o, int option) {
  if (option == 'e') o->events = true;
  if (option == OPT_ECHO) o->echo = true;
  if (option == OPT_BALANCE) o->balance = true;
  if (option == OPT_STATS) o->stats = true;
}

/* ---- the rest of the line ------------------------------------------------ */

static int read_type(cat_options_t* o, const char* word) {
  const char* names[TYPE_COUNT];
  for (size_t i = 0; i < TYPE_COUNT; i++) names[i] = types[i].name;
  int i = tool_find(word, names, TYPE_COUNT);
  if (i < 0) return tool_unknown("type", word, names, TYPE_COUNT);
  o->type = &types[i];
  return 0;
}

/* What only goes together. */
static int check(const cat_options_t* o) {
  if (o->endpoint_count == 0)
    return tool_misuse("nothing to bind or connect: give -b or -c");
  if (o->topic_count > 0 && o->type->type != MCQ_SUB)
    return tool_misuse("--subscribe is for sub, not %s", o->type->name);
  if (o->balance && o->type->type != MCQ_ROUTER)
    return tool_misuse("--balance is for router, not %s", o->type->name);
  if (o->echo && !o->type->echoes)
    return tool_misuse(
        "--echo is for pair, rep, dealer, router and stream, not %s",
        o->type->name);
  if (o->count > 0 && !o->type->receives)
    return tool_misuse("--count: a %s receives nothing", o->type->name);
  if (o->format == CAT_RAW && o->type->type != MCQ_STREAM)
    return tool_misuse("--format raw is for stream, not %s", o->type->name);
  if (o->format == CAT_RAW && o->count > 0)
    return tool_misuse("--count: raw bytes are not told apart; say --format");
  return 0;
}

/* A stream that only calls one other is a pipe. */
static void choose_format(cat_options_t* o) {
  if (o->format_given || o->type->type != MCQ_STREAM) return;
  if (o->endpoint_count == 1 && !o->endpoints[0].bind) o->format = CAT_RAW;
}

static int read_rest(cat_options_t* o, int argc, char** argv) {
  if (optind == argc) return tool_misuse("no socket TYPE given");
  int rc = read_type(o, argv[optind]);
  if (rc != 0) return rc;
  if (optind + 1 < argc)
    return tool_misuse("'%s' is one word too many", argv[optind + 1]);
  choose_format(o);
  return check(o);
}

/* -1: go on; else leave with this code. */
static int read_all(cat_options_t* o, int argc, char** argv) {
  for (;;) {
    int index = 0;
    optopt = 0;
    int option =
        getopt_long(argc, argv, ":b:c:s:i:f:n:t:e", long_options, &index);
    if (option < 0) break;
    int rc = 0;
    if (option == OPT_HELP) return fputs(help_text, stdout) < 0;
    if (option == OPT_VERSION)
      return printf("mcqcat %s\n", mcq_version(NULL, NULL, NULL)) < 0;
    if (option == '?') return unknown_option(argv);
    if (option == ':') return missing_value(argv);
    if (option == OPT_ABSENT) return absent(index);
    if (optarg != NULL)
      rc = read_value(o, option, optarg);
    else
      read_flag(o, option);
    if (rc != 0) return rc;
  }
  int rc = read_rest(o, argc, argv);
  return rc == 0 ? -1 : rc;
}

bool cat_options_read(cat_options_t* out, int argc, char** argv, int* code) {
  out->endpoints = tool_alloc((size_t) argc * sizeof *out->endpoints);
  out->topics = tool_alloc((size_t) argc * sizeof *out->topics);
  out->linger_ms = -1;
  opterr = 0;
  *code = read_all(out, argc, argv);
  return *code < 0;
}

void cat_options_free(cat_options_t* options) {
  free(options->endpoints);
  options->endpoints = NULL;
  free(options->topics);
  options->topics = NULL;
}
