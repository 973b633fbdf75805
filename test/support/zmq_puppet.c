/* SPDX-License-Identifier: MIT */
/* The process of a stage where libzmq lives (see zmq_stage.h).  Calls nothing
 * of ours. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "support/zmq_stage.h"

#define TEXT_MAX 70000
#define ORDER_MAX 1024

/* In libzmq since 4.3.2, in its header only with the drafts. */
#ifndef ZMQ_XPUB_MANUAL_LAST_VALUE
#define ZMQ_XPUB_MANUAL_LAST_VALUE 98
#endif

typedef struct proxy {
  pthread_t thread;
  void* front;
  void* back;
} proxy_t;

typedef struct puppet {
  const venue_t* venue;
  void* ctx;
  void* sockets[THEIRS_MAX];
  proxy_t proxy;
  FILE* out;
} puppet_t;

typedef struct word {
  const char* name;
  int number;
} word_t;

static const word_t types[] = {
    {"pub", ZMQ_PUB}, {"sub", ZMQ_SUB}, {"xpub", ZMQ_XPUB}, {"xsub", ZMQ_XSUB}};

static const word_t options[] = {{"verbose", ZMQ_XPUB_VERBOSE},
                                 {"verboser", ZMQ_XPUB_VERBOSER},
                                 {"manual", ZMQ_XPUB_MANUAL},
                                 {"last", ZMQ_XPUB_MANUAL_LAST_VALUE},
                                 {"welcome", ZMQ_XPUB_WELCOME_MSG},
                                 {"invert", ZMQ_INVERT_MATCHING},
                                 {"conflate", ZMQ_CONFLATE},
                                 {"sndhwm", ZMQ_SNDHWM},
                                 {"rcvhwm", ZMQ_RCVHWM}};

/* ---- sockets ------------------------------------------------------------- */

static void set(void* s, int option, int value) {
  MUST(zmq_setsockopt(s, option, &value, sizeof value) == 0);
}

static void open_one(puppet_t* p, int i, const char* type) {
  for (size_t k = 0; k < sizeof types / sizeof *types; k++)
    if (strcmp(types[k].name, type) == 0)
      p->sockets[i] = zmq_socket(p->ctx, types[k].number);
  void* s = p->sockets[i];
  MUST(s != NULL);
  set(s, ZMQ_SNDHWM, 0);
  set(s, ZMQ_RCVHWM, 0);
  set(s, ZMQ_LINGER, 0);
}

static void close_one(puppet_t* p, int i) {
  MUST(zmq_close(p->sockets[i]) == 0);
  p->sockets[i] = NULL;
}

static void bind_one(puppet_t* p, int i) {
  char uri[URI_MAX];
  size_t len = sizeof uri;
  venue_uri(p->venue, uri);
  MUST(zmq_bind(p->sockets[i], uri) == 0);
  MUST(zmq_getsockopt(p->sockets[i], ZMQ_LAST_ENDPOINT, uri, &len) == 0);
  fprintf(p->out, "%s\n", uri);
}

/* "name value": a number, or the welcome. */
static void set_one(puppet_t* p, int i, char* what) {
  char* value = strchr(what, ' ');
  int option = -1;
  MUST(value != NULL);
  *value++ = '\0';
  for (size_t k = 0; k < sizeof options / sizeof *options; k++)
    if (strcmp(options[k].name, what) == 0) option = options[k].number;
  MUST(option >= 0);
  if (option == ZMQ_XPUB_WELCOME_MSG)
    MUST(zmq_setsockopt(p->sockets[i], option, value, strlen(value)) == 0);
  else
    set(p->sockets[i], option, atoi(value));
}

static size_t numbered(char* text, unsigned k) {
  return (size_t) snprintf(text, TEXT_MAX, "topic %06u", k);
}

static void change(puppet_t* p, int i, int option, const char* what) {
  static char text[TEXT_MAX];
  void* s = p->sockets[i];
  unsigned count;
  size_t len;
  char letter;
  if (sscanf(what, "#%u", &count) == 1) {
    for (unsigned k = 0; k < count; k++)
      MUST(zmq_setsockopt(s, option, text, numbered(text, k)) == 0);
  } else if (sscanf(what, "%c*%zu", &letter, &len) == 2) {
    memset(text, letter, len);
    MUST(zmq_setsockopt(s, option, text, len) == 0);
  } else {
    MUST(zmq_setsockopt(s, option, what, strlen(what)) == 0);
  }
}

/* ---- messages ------------------------------------------------------------ */

static void send_one(puppet_t* p, int i, char* what) {
  void* s = p->sockets[i];
  size_t len = strlen(what);
  char* bar = (char*) memchr(what, '|', len);
  if (what[0] == '+') what[0] = 1;
  if (what[0] == '-') what[0] = 0;
  if (bar == NULL) {
    MUST(zmq_send(s, what, len, 0) >= 0);
    return;
  }
  size_t head = (size_t) (bar - what);
  MUST(zmq_send(s, what, head, ZMQ_SNDMORE) >= 0);
  MUST(zmq_send(s, bar + 1, len - head - 1, 0) >= 0);
}

/* A socket of libzmq learns of connections and subscriptions in its own calls
 * only, and not in each of them. */
static void stir(const puppet_t* p) {
  for (int k = 0; k < THEIRS_MAX; k++) {
    int events;
    size_t len = sizeof events;
    if (p->sockets[k] != NULL)
      (void) zmq_getsockopt(p->sockets[k], ZMQ_EVENTS, &events, &len);
  }
}

static void await(const puppet_t* p, zmq_pollitem_t item, unsigned patience) {
  unsigned waited = 0;
  while (zmq_poll(&item, 1, 1) == 0) {
    MUST(patience == 0 || waited++ < patience);
    stir(p);
  }
}

static void recv_one(puppet_t* p, int i) {
  zmq_pollitem_t item = {.socket = p->sockets[i], .events = ZMQ_POLLIN};
  static char text[TEXT_MAX];
  char line[LINE_MAX_LEN];
  int more = 0;
  size_t size = sizeof more;
  bool first = true;
  await(p, item, PATIENCE);
  do {
    int n = zmq_recv(p->sockets[i], text, sizeof text, 0);
    MUST(n >= 0 && n <= (int) sizeof text);
    line_add(line, text, (size_t) n, first);
    MUST(zmq_getsockopt(p->sockets[i], ZMQ_RCVMORE, &more, &size) == 0);
    first = false;
  } while (more);
  fprintf(p->out, "%s\n", line);
}

static void tally(puppet_t* p, int i, unsigned count) {
  static char wanted[TEXT_MAX];
  char text[64];
  wanted[0] = 1;
  for (unsigned k = 0; k < count; k++) {
    size_t len = 1 + numbered(wanted + 1, k);
    MUST(zmq_recv(p->sockets[i], text, sizeof text, 0) == (int) len);
    MUST(memcmp(text, wanted, len) == 0);
  }
  fprintf(p->out, "%u\n", count);
}

/* ---- a proxy ------------------------------------------------------------- */

static void* forward(void* arg) {
  proxy_t* proxy = (proxy_t*) arg;
  (void) zmq_proxy(proxy->front, proxy->back, NULL);
  zmq_close(proxy->front);
  zmq_close(proxy->back);
  return NULL;
}

static void proxy_two(puppet_t* p, int i) {
  MUST(p->proxy.front == NULL && i + 1 < THEIRS_MAX);
  p->proxy.front = p->sockets[i];
  p->proxy.back = p->sockets[i + 1];
  p->sockets[i] = p->sockets[i + 1] = NULL;
  MUST(pthread_create(&p->proxy.thread, NULL, forward, &p->proxy) == 0);
}

/* -------------------------------------------------------------------------- */

static void obey(puppet_t* p, const char* verb, int i, char* what) {
  if (strcmp(verb, "open") == 0)
    open_one(p, i, what);
  else if (strcmp(verb, "close") == 0)
    close_one(p, i);
  else if (strcmp(verb, "bind") == 0)
    bind_one(p, i);
  else if (strcmp(verb, "connect") == 0)
    MUST(zmq_connect(p->sockets[i], what) == 0);
  else if (strcmp(verb, "set") == 0)
    set_one(p, i, what);
  else if (strcmp(verb, "sub") == 0)
    change(p, i, ZMQ_SUBSCRIBE, what);
  else if (strcmp(verb, "unsub") == 0)
    change(p, i, ZMQ_UNSUBSCRIBE, what);
  else if (strcmp(verb, "send") == 0)
    send_one(p, i, what);
  else if (strcmp(verb, "recv") == 0)
    recv_one(p, i);
  else if (strcmp(verb, "tally") == 0)
    tally(p, i, (unsigned) atoi(what));
  else if (strcmp(verb, "proxy") == 0)
    proxy_two(p, i);
  else
    MUST(false);
}

static bool next_order(const puppet_t* p, FILE* orders, char line[ORDER_MAX]) {
  zmq_pollitem_t item = {.fd = fileno(orders), .events = ZMQ_POLLIN};
  await(p, item, 0);
  stir(p);
  return fgets(line, ORDER_MAX, orders) != NULL;
}

int puppet_life(const void* arg, int in, int out) {
  static char line[ORDER_MAX];
  puppet_t p = {.venue = (const venue_t*) arg, .ctx = zmq_ctx_new()};
  FILE* orders = fdopen(in, "r");
  p.out = fdopen(out, "w");
  MUST(p.ctx != NULL && orders != NULL && p.out != NULL);
  setvbuf(orders, NULL, _IONBF, 0);
  while (next_order(&p, orders, line)) {
    char verb[16];
    char what[512] = "";
    int i;
    MUST(sscanf(line, "%15s %d %511[^\n]", verb, &i, what) >= 2);
    MUST(i >= 0 && i < THEIRS_MAX);
    obey(&p, verb, i, what);
    fflush(p.out);
  }
  zmq_ctx_shutdown(p.ctx); /* the proxy ends */
  if (p.proxy.front != NULL) pthread_join(p.proxy.thread, NULL);
  for (int k = 0; k < THEIRS_MAX; k++)
    if (p.sockets[k] != NULL) zmq_close(p.sockets[k]);
  zmq_ctx_term(p.ctx);
  return 0;
}
