/* SPDX-License-Identifier: MIT */
/* A program that had its own life before it got a socket.
 *
 * It is a plain libuv program: a TCP server that takes lines and a timer that
 * counts seconds.  Then it wanted the lines shouted by a service that speaks
 * ZMTP.  What it took is between the two rulers marked "the socket": one
 * context in the loop it had already, one DEALER, two callbacks.  No thread,
 * no second loop, no polling; its own handles did not change.
 *
 * To be a sample that runs by itself it also plays the others: the service (a
 * ROUTER in the same loop) and a client of the line server. */
#include <ctype.h>
#include <monocoque.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_LEN = 200 };

typedef struct client { /* a connection of the line server */
  uv_tcp_t tcp;
  uint32_t number;
  char line[LINE_MAX_LEN];
  size_t len;
  struct client* next;
} client_t;

typedef struct program {
  uv_loop_t* loop;
  uv_tcp_t listener;
  uv_timer_t seconds;
  client_t* clients;
  uint32_t last_number;
  mcq_ctx_t* ctx;
  mcq_socket_t* shouter; /* our side of the service */
  mcq_socket_t* service; /* the other side */
  uv_tcp_t visitor;      /* a client of ours, to have something to show */
  uv_connect_t visit;
  uv_write_t request;
  char heard[64];
  size_t heard_len;
} program_t;

static void fail(const char* what, int code) {
  if (code >= 0) return;
  fprintf(stderr, "embed: %s: %s\n", what, mcq_strerror(code));
  exit(1);
}

static void on_room(uv_handle_t* handle, size_t hint, uv_buf_t* buf) {
  static char room[4096]; /* read and used up within one callback */
  (void) handle, (void) hint;
  *buf = uv_buf_init(room, sizeof room);
}

/* ---- the program's own: answers go back as lines ------------------------- */

typedef struct answer {
  uv_write_t request;
  char text[LINE_MAX_LEN + 1];
} answer_t;

static void on_answered(uv_write_t* request, int status) {
  (void) status; /* the read callback hears of a lost client */
  free(request->data);
}

static void answer_client(client_t* client, const void* text, size_t len) {
  if (len > LINE_MAX_LEN) return; /* not what we asked */
  answer_t* a = malloc(sizeof *a);
  if (a == NULL) return;
  memcpy(a->text, text, len);
  a->text[len] = '\n';
  a->request.data = a;
  uv_buf_t buf = uv_buf_init(a->text, (unsigned) len + 1);
  if (uv_write(&a->request, (uv_stream_t*) &client->tcp, &buf, 1,
               on_answered) != 0)
    free(a);
}

/* ---- the socket ---------------------------------------------------------- */

/* Each line goes out with the number of its client as another frame. */
static void shout(program_t* p, const client_t* client) {
  const mcq_frame_t frames[] = {{&client->number, sizeof client->number},
                                {client->line, client->len}};
  /* MCQ_EAGAIN would mean a thousand lines wait: this program lets go then. */
  if (mcq_send(p->shouter, frames, 2) != 0) puts("a line was not sent");
}

static void on_shouted(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  program_t* p = mcq_socket_data(socket);
  mcq_frame_t number = mcq_msg_frame(msg, 0);
  mcq_frame_t text = mcq_msg_frame(msg, 1);
  for (client_t* c = p->clients; c != NULL; c = c->next)
    if (number.len == sizeof c->number &&
        memcmp(number.data, &c->number, number.len) == 0)
      answer_client(c, text.data, text.len);
}

static void gain_socket(program_t* p, const char* uri) {
  mcq_socket_options_t options = {
      .type = MCQ_DEALER, .data = p, .on_message = on_shouted};
  fail("socket", mcq_socket_new(p->ctx, &options, &p->shouter));
  fail("connect", mcq_connect(p->shouter, uri, NULL, NULL));
}

/* ---- the program's own: a server of lines, and a clock ------------------- */

static void on_client_closed(uv_handle_t* handle) {
  free(handle->data);
}

static void drop_client(program_t* p, client_t* client) {
  client_t** at = &p->clients;
  while (*at != client) at = &(*at)->next;
  *at = client->next;
  uv_close((uv_handle_t*) &client->tcp, on_client_closed);
}

static void on_line_bytes(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  client_t* client = stream->data;
  program_t* p = stream->loop->data;
  for (ssize_t i = 0; i < n; i++) {
    if (buf->base[i] == '\n') {
      shout(p, client);
      client->len = 0;
    } else if (client->len < LINE_MAX_LEN) {
      client->line[client->len++] = buf->base[i];
    }
  }
  if (n < 0) drop_client(p, client);
}

static void on_client(uv_stream_t* listener, int status) {
  program_t* p = listener->loop->data;
  client_t* client = status == 0 ? calloc(1, sizeof *client) : NULL;
  if (client == NULL) return;
  client->number = ++p->last_number;
  client->next = p->clients;
  p->clients = client;
  client->tcp.data = client;
  uv_tcp_init(p->loop, &client->tcp);
  if (uv_accept(listener, (uv_stream_t*) &client->tcp) != 0 ||
      uv_read_start((uv_stream_t*) &client->tcp, on_room, on_line_bytes) != 0)
    drop_client(p, client);
}

static void on_second(uv_timer_t* timer) {
  (void) timer;
  puts("another second");
}

static void open_server(program_t* p, struct sockaddr_storage* address) {
  struct sockaddr_in any;
  uv_ip4_addr("127.0.0.1", 0, &any);
  uv_tcp_init(p->loop, &p->listener);
  uv_tcp_bind(&p->listener, (struct sockaddr*) &any, 0);
  fail("listen", uv_listen((uv_stream_t*) &p->listener, 16, on_client));
  int len = sizeof *address;
  uv_tcp_getsockname(&p->listener, (struct sockaddr*) address, &len);
  uv_timer_init(p->loop, &p->seconds);
  uv_timer_start(&p->seconds, on_second, 1000, 1000);
}

/* ---- the others: a service that shouts ----------------------------------- */

static void on_ask(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  char loud[LINE_MAX_LEN];
  mcq_frame_t text = mcq_msg_frame(msg, 1);
  for (size_t i = 0; i < text.len && i < sizeof loud; i++)
    loud[i] = (char) toupper(((const unsigned char*) text.data)[i]);
  const mcq_frame_t frames[] = {mcq_msg_frame(msg, 0), {loud, text.len}};
  if (text.len <= sizeof loud) mcq_send_to(socket, peer, frames, 2);
}

static const char* open_service(program_t* p) {
  mcq_socket_options_t options = {.type = MCQ_ROUTER, .on_message = on_ask};
  mcq_endpoint_t endpoint;
  fail("service", mcq_socket_new(p->ctx, &options, &p->service));
  fail("bind", mcq_bind(p->service, "tcp://127.0.0.1:0", &endpoint));
  return mcq_endpoint_uri(p->service, endpoint);
}

/* ---- the others: somebody who sends two lines ---------------------------- */

static const char lines[] = "a timer and a server\nand now a socket\n";

static void leave(program_t* p) {
  uv_close((uv_handle_t*) &p->visitor, NULL);
  uv_close((uv_handle_t*) &p->listener, NULL);
  uv_close((uv_handle_t*) &p->seconds, NULL);
  while (p->clients != NULL) drop_client(p, p->clients);
  mcq_ctx_close(p->ctx, NULL); /* takes both sockets along */
}

static void on_heard(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  program_t* p = stream->data;
  for (ssize_t i = 0; i < n && p->heard_len < sizeof p->heard; i++)
    p->heard[p->heard_len++] = buf->base[i];
  if (n >= 0 && p->heard_len < sizeof lines - 1) return;
  printf("%.*s", (int) p->heard_len, p->heard);
  leave(p);
}

static void on_visit(uv_connect_t* request, int status) {
  fail("visit", status);
  program_t* p = request->data;
  static char text[sizeof lines];
  memcpy(text, lines, sizeof lines);
  uv_buf_t buf = uv_buf_init(text, sizeof lines - 1);
  uv_write(&p->request, request->handle, &buf, 1, NULL);
  uv_read_start(request->handle, on_room, on_heard);
}

static void visit(program_t* p, const struct sockaddr_storage* address) {
  uv_tcp_init(p->loop, &p->visitor);
  p->visitor.data = p->visit.data = p;
  fail("visit", uv_tcp_connect(&p->visit, &p->visitor,
                               (const struct sockaddr*) address, on_visit));
}

int main(void) {
  signal(SIGPIPE, SIG_IGN); /* uv_write to a client that left */
  program_t p = {.loop = uv_default_loop()};
  p.loop->data = &p;
  struct sockaddr_storage address;
  open_server(&p, &address);
  fail("context", mcq_ctx_new(p.loop, NULL, &p.ctx));
  gain_socket(&p, open_service(&p));
  visit(&p, &address);
  uv_run(p.loop, UV_RUN_DEFAULT);
  bool good = p.heard_len == sizeof lines - 1 &&
              memcmp(p.heard, "A TIMER AND A SERVER\nAND NOW A SOCKET\n",
                     p.heard_len) == 0;
  return uv_loop_close(p.loop) == 0 && good ? 0 : 1;
}
