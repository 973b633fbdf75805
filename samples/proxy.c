/* SPDX-License-Identifier: MIT */
/* A meeting place with fixed addresses: everybody connects, nobody needs to
 * know the others.
 *
 *   proxy questions tcp://0.0.0.0:5559 tcp://0.0.0.0:5560   clients, workers
 *   proxy news tcp://0.0.0.0:5557 tcp://0.0.0.0:5558        publishers,
 * subscribers proxy                                       shows both, and the
 * end
 *
 * The proxy itself is two sockets and one call (`meet`).  The rest of this
 * file is the demonstration: for questions three REQs whose questions are
 * shared out among two REPs, for news one PUB whose topics two SUBs want;
 * their subscriptions go through the proxy to the PUB, which sends only what
 * somebody wants. */
#include <monocoque.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 3, WORKERS = 2, QUESTIONS = 5, NEWS = 3 };

typedef struct place {
  mcq_ctx_t* ctx;
  mcq_proxy_t* proxy;
  const char* front; /* where clients, or publishers, connect */
  const char* back;
  int wanted; /* answers, or news, until the demonstration is over */
} place_t;

static void must(const char* what, int rc) {
  if (rc == 0) return;
  fprintf(stderr, "proxy: %s: %s\n", what, mcq_strerror(rc));
  exit(1);
}

static mcq_socket_t* make(place_t* p, mcq_socket_options_t options) {
  mcq_socket_t* socket;
  options.data = p;
  must("socket", mcq_socket_new(p->ctx, &options, &socket));
  return socket;
}

static const char* bind_at(mcq_socket_t* socket, const char* uri) {
  mcq_endpoint_t here;
  must("bind", mcq_bind(socket, uri, &here));
  return mcq_endpoint_uri(socket, here);
}

/* ---- the proxy ----------------------------------------------------------- */

static void meet(place_t* p, int front, int back, const char* front_uri,
                 const char* back_uri) {
  mcq_proxy_options_t options = {
      .front = make(p, (mcq_socket_options_t){.type = front}),
      .back = make(p, (mcq_socket_options_t){.type = back})};
  must("proxy", mcq_proxy_new(&options, &p->proxy));
  p->front = bind_at(options.front, front_uri);
  p->back = bind_at(options.back, back_uri);
}

static void questions(place_t* p, const char* front_uri, const char* back_uri) {
  meet(p, MCQ_ROUTER, MCQ_DEALER, front_uri, back_uri);
}

static void news(place_t* p, const char* front_uri, const char* back_uri) {
  meet(p, MCQ_XSUB, MCQ_XPUB, front_uri, back_uri);
}

/* ---- the demonstration --------------------------------------------------- */

static void one_less(place_t* p) {
  if (--p->wanted == 0) mcq_ctx_close(p->ctx, NULL);
}

static void on_question(mcq_socket_t* worker, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  must("answer", mcq_send_msg(worker, msg));
}

static void ask(mcq_socket_t* client) {
  must("ask", mcq_send_text(client, "is anybody there?"));
}

static void on_answer(mcq_socket_t* client, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer, (void) msg;
  place_t* p = mcq_socket_data(client);
  if (p->wanted > CLIENTS) ask(client); /* else the last ones are under way */
  one_less(p);
}

static void ask_around(place_t* p) {
  p->wanted = CLIENTS * QUESTIONS;
  for (int i = 0; i < WORKERS; i++) {
    mcq_socket_t* worker = make(
        p, (mcq_socket_options_t){.type = MCQ_REP, .on_message = on_question});
    must("connect", mcq_connect(worker, p->back, NULL, NULL));
  }
  for (int i = 0; i < CLIENTS; i++) {
    mcq_socket_t* client = make(
        p, (mcq_socket_options_t){.type = MCQ_REQ, .on_message = on_answer});
    must("connect", mcq_connect(client, p->front, NULL, NULL));
    ask(client);
  }
}

/* The subscriptions arrive one by one, each through the proxy. */
static void on_publisher_event(mcq_socket_t* publisher,
                               const mcq_event_t* event) {
  static int subscribed;
  if (event->kind != MCQ_EVENT_SUBSCRIBED || ++subscribed < 2) return;
  for (int i = 0; i < NEWS; i++) {
    must("publish", mcq_send_text(publisher, "sports: they won"));
    must("publish", mcq_send_text(publisher, "stocks: they fell"));
    must("publish", mcq_send_text(publisher, "nobody reads this"));
  }
}

static void on_news(mcq_socket_t* subscriber, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer, (void) msg;
  one_less(mcq_socket_data(subscriber));
}

static void spread_news(place_t* p) {
  static const char* const topics[] = {"sports", "stocks"};
  p->wanted = 2 * NEWS;
  mcq_socket_t* publisher = make(
      p,
      (mcq_socket_options_t){.type = MCQ_PUB, .on_event = on_publisher_event});
  must("connect", mcq_connect(publisher, p->front, NULL, NULL));
  for (int i = 0; i < 2; i++) {
    mcq_socket_t* subscriber =
        make(p, (mcq_socket_options_t){.type = MCQ_SUB, .on_message = on_news});
    must("subscribe", mcq_subscribe(subscriber, topics[i], strlen(topics[i])));
    must("connect", mcq_connect(subscriber, p->back, NULL, NULL));
  }
}

/* Runs a meeting place until its visitors have what they wanted; `there` and
 * `back` is what must have passed. */
static void show(uv_loop_t* loop, bool asks, unsigned there, unsigned back) {
  place_t p = {0};
  must("context", mcq_ctx_new(loop, NULL, &p.ctx));
  (asks ? questions : news)(&p, "tcp://127.0.0.1:0", "tcp://127.0.0.1:0");
  (asks ? ask_around : spread_news)(&p);
  uv_run(loop, UV_RUN_DEFAULT);
  mcq_proxy_stats_t stats; /* of a proxy that has ended: they stay */
  mcq_proxy_stats(p.proxy, &stats);
  mcq_proxy_close(p.proxy);
  printf("%s: %u messages from the front, %u from the back\n",
         asks ? "questions" : "news", (unsigned) stats.front.messages,
         (unsigned) stats.back.messages);
  if (stats.front.messages != there || stats.back.messages != back) exit(1);
}

int main(int argc, char** argv) {
  uv_loop_t* loop = uv_default_loop();
  if (argc == 1) {
    show(loop, true, CLIENTS * QUESTIONS, CLIENTS * QUESTIONS);
    show(loop, false, 2 * NEWS, 2); /* two subscriptions; no unread news */
    return uv_loop_close(loop) == 0 ? 0 : 1;
  }
  place_t p = {0};
  bool asks = strcmp(argv[1], "questions") == 0;
  if (argc != 4 || (!asks && strcmp(argv[1], "news") != 0)) {
    fprintf(stderr, "usage: proxy [questions|news FRONT BACK]\n");
    return 2;
  }
  must("context", mcq_ctx_new(loop, NULL, &p.ctx));
  (asks ? questions : news)(&p, argv[2], argv[3]);
  return uv_run(loop, UV_RUN_DEFAULT);
}
