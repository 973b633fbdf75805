/* SPDX-License-Identifier: MIT */
/* A service that can be watched: its figures for Prometheus, over HTTP, from
 * the same loop.
 *
 * HTTP is libmicrohttpd's business: it is maintained, packaged everywhere, and
 * takes care of what a parser alone leaves to its user (keep-alive, limits,
 * time-outs, slow clients).  It can be driven from outside: one descriptor to
 * poll, one call when it is readable, one timer.  That is all there is between
 * it and a uv loop, and there is no thread.
 *
 *   metrics              a publisher, a subscriber, one scrape, and the end
 *   metrics 9464         serves http://127.0.0.1:9464/metrics until Ctrl-C
 *
 *   cc metrics.c $(pkg-config --cflags --libs monocoque libmicrohttpd) */
#include <microhttpd.h>
#include <monocoque.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PERIOD_MS = 1, ENOUGH = 50 };

typedef struct program {
  uv_loop_t* loop;
  mcq_ctx_t* ctx;
  mcq_socket_t* station;
  mcq_socket_t* listener;
  int heard;
  uv_timer_t clock;
  /* The HTTP server, */
  struct MHD_Daemon* http;
  uv_poll_t http_poll;
  uv_timer_t http_timer;
  /* what ends it, */
  uv_signal_t interrupt;
  bool serving; /* for others, until then */
  /* and who looks, when nobody else does. */
  uv_tcp_t visitor;
  uv_connect_t visit;
  uv_write_t question;
  char answer[65536];
  size_t answer_len;
  bool good;
} program_t;

static void must(const char* what, int rc) {
  if (rc >= 0) return;
  fprintf(stderr, "metrics: %s: %s\n", what, mcq_strerror(rc));
  exit(1);
}

/* ---- what there is to be watched ----------------------------------------- */

static void on_tick(uv_timer_t* timer) {
  program_t* p = timer->data;
  (void) mcq_send_text(p->station, "weather: fair");
}

static void scrape(program_t* p);

static void on_report(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  program_t* p = mcq_socket_data(socket);
  (void) peer, (void) msg;
  if (++p->heard == ENOUGH && !p->serving) scrape(p);
}

static void open_service(program_t* p) {
  mcq_socket_options_t station = {.type = MCQ_PUB, .name = "station"};
  mcq_socket_options_t listener = {
      .type = MCQ_SUB, .name = "listener", .data = p, .on_message = on_report};
  mcq_endpoint_t here;
  must("context", mcq_ctx_new(p->loop, NULL, &p->ctx));
  must("station", mcq_socket_new(p->ctx, &station, &p->station));
  must("bind", mcq_bind(p->station, "tcp://127.0.0.1:0", &here));
  must("listener", mcq_socket_new(p->ctx, &listener, &p->listener));
  must("subscribe", mcq_subscribe(p->listener, "weather", 7));
  must("connect", mcq_connect(p->listener, mcq_endpoint_uri(p->station, here),
                              NULL, NULL));
  uv_timer_init(p->loop, &p->clock);
  p->clock.data = p;
  uv_timer_start(&p->clock, on_tick, PERIOD_MS, PERIOD_MS);
}

/* ---- the page ------------------------------------------------------------ */

/* All figures as text, in memory of malloc's: the first call tells how much
 * that takes, and a little more is enough for the second. */
static char* make_page(const program_t* p, size_t* len) {
  mcq_metrics_options_t options = {.flags = MCQ_METRICS_PEERS};
  size_t size;
  if (mcq_metrics_format(p->ctx, &options, NULL, 0, &size) != 0) return NULL;
  size += 256;
  char* page = malloc(size);
  if (page == NULL) return NULL;
  if (mcq_metrics_format(p->ctx, &options, page, size, len) == 0 && *len < size)
    return page;
  free(page);
  return NULL;
}

static struct MHD_Response* answer(const program_t* p, const char* url,
                                   unsigned* status) {
  static char not_found[] = "Here is only /metrics.\n";
  static char no_memory[] = "Out of memory.\n";
  size_t len;
  *status = MHD_HTTP_NOT_FOUND;
  if (strcmp(url, "/metrics") != 0)
    return MHD_create_response_from_buffer(strlen(not_found), not_found,
                                           MHD_RESPMEM_PERSISTENT);
  char* page = make_page(p, &len);
  *status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  if (page == NULL)
    return MHD_create_response_from_buffer(strlen(no_memory), no_memory,
                                           MHD_RESPMEM_PERSISTENT);
  *status = MHD_HTTP_OK;
  struct MHD_Response* response =
      MHD_create_response_from_buffer(len, page, MHD_RESPMEM_MUST_FREE);
  if (response == NULL)
    free(page);
  else
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            MCQ_METRICS_TYPE);
  return response;
}

/* Called when the headers are there, and again when the request is: who answers
 * the first time ends the connection, which a scraper wants to use again. */
static enum MHD_Result on_request(void* arg, struct MHD_Connection* connection,
                                  const char* url, const char* method,
                                  const char* version, const char* upload,
                                  size_t* upload_size, void** state) {
  static char again;
  unsigned status;
  (void) version, (void) upload, (void) upload_size;
  if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
      strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
    return MHD_NO;
  if (*state == NULL) {
    *state = &again;
    return MHD_YES;
  }
  struct MHD_Response* response = answer(arg, url, &status);
  if (response == NULL) return MHD_NO;
  enum MHD_Result rc = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return rc;
}

/* ---- the HTTP server in the loop ----------------------------------------- */

static void drive(program_t* p);

static void on_http_timer(uv_timer_t* timer) {
  drive(timer->data);
}

static void on_http_ready(uv_poll_t* poll, int status, int events) {
  (void) status, (void) events;
  drive(poll->data);
}

/* It does what there is to do, and says when it wants to be called at the
 * latest. */
static void drive(program_t* p) {
  MHD_UNSIGNED_LONG_LONG ms;
  MHD_run(p->http);
  if (MHD_get_timeout(p->http, &ms) == MHD_YES)
    uv_timer_start(&p->http_timer, on_http_timer, ms, 0);
  else
    uv_timer_stop(&p->http_timer);
}

static uint16_t http_port(const program_t* p) {
  return MHD_get_daemon_info(p->http, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static void open_http(program_t* p, uint16_t port) {
  struct sockaddr_in here;
  uv_ip4_addr("127.0.0.1", port, &here);
  p->http =
      MHD_start_daemon(MHD_USE_EPOLL, port, NULL, NULL, on_request, p,
                       MHD_OPTION_SOCK_ADDR, &here, MHD_OPTION_CONNECTION_LIMIT,
                       16u, MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
  if (p->http == NULL) {
    fputs("metrics: the HTTP server does not start\n", stderr);
    exit(1);
  }
  int fd = MHD_get_daemon_info(p->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  must("poll", uv_poll_init(p->loop, &p->http_poll, fd));
  uv_timer_init(p->loop, &p->http_timer);
  p->http_poll.data = p->http_timer.data = p;
  uv_poll_start(&p->http_poll, UV_READABLE, on_http_ready);
  drive(p);
}

/* ---- the end ------------------------------------------------------------- */

static void on_http_closed(uv_handle_t* poll) {
  MHD_stop_daemon(((program_t*) poll->data)->http);
}

static void leave(program_t* p) {
  uv_close((uv_handle_t*) &p->clock, NULL);
  uv_close((uv_handle_t*) &p->http_timer, NULL);
  uv_close((uv_handle_t*) &p->http_poll, on_http_closed);
  if (p->serving)
    uv_close((uv_handle_t*) &p->interrupt, NULL);
  else
    uv_close((uv_handle_t*) &p->visitor, NULL);
  mcq_ctx_close(p->ctx, NULL); /* takes the sockets along */
}

static void on_interrupt(uv_signal_t* interrupt, int number) {
  (void) number;
  leave(interrupt->data);
}

/* ---- somebody who looks -------------------------------------------------- */

/* The status line and the last one, and what was heard in between. */
static bool check_answer(const program_t* p) {
  static const char heard[] =
      "\nmonocoque_socket_received_messages_total{socket=\"listener\",";
  const char* line = strstr(p->answer, heard);
  if (strncmp(p->answer, "HTTP/1.1 200 ", 13) != 0) return false;
  if (strstr(p->answer, MCQ_METRICS_TYPE) == NULL || line == NULL) return false;
  line = strstr(line, "} ");
  printf("the listener has heard %d reports\n", atoi(line + 2));
  return atoi(line + 2) >= ENOUGH &&
         strcmp(p->answer + p->answer_len - 7, "\n# EOF\n") == 0;
}

static void on_room(uv_handle_t* handle, size_t hint, uv_buf_t* buf) {
  program_t* p = handle->data;
  (void) hint;
  *buf = uv_buf_init(p->answer + p->answer_len,
                     (unsigned) (sizeof p->answer - 1 - p->answer_len));
}

static void on_answer(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  program_t* p = stream->data;
  (void) buf;
  if (n > 0) p->answer_len += (size_t) n;
  if (n >= 0) return;
  p->good = n == UV_EOF && check_answer(p);
  leave(p);
}

static void on_visit(uv_connect_t* visit, int status) {
  static char text[] =
      "GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
  program_t* p = visit->data;
  uv_buf_t buf = uv_buf_init(text, sizeof text - 1);
  must("visit", status);
  uv_write(&p->question, visit->handle, &buf, 1, NULL);
  uv_read_start(visit->handle, on_room, on_answer);
}

static void scrape(program_t* p) {
  struct sockaddr_in there;
  uv_ip4_addr("127.0.0.1", http_port(p), &there);
  uv_tcp_init(p->loop, &p->visitor);
  p->visitor.data = p->visit.data = p;
  must("visit", uv_tcp_connect(&p->visit, &p->visitor,
                               (const struct sockaddr*) &there, on_visit));
}

int main(int argc, char** argv) {
  static program_t program;
  program_t* p = &program;
  p->loop = uv_default_loop();
  p->serving = argc > 1;
  open_service(p);
  open_http(p, p->serving ? (uint16_t) atoi(argv[1]) : 0);
  if (p->serving) {
    printf("http://127.0.0.1:%u/metrics\n", http_port(p));
    fflush(stdout);
    uv_signal_init(p->loop, &p->interrupt);
    p->interrupt.data = p;
    uv_signal_start(&p->interrupt, on_interrupt, SIGINT);
  }
  uv_run(p->loop, UV_RUN_DEFAULT);
  return uv_loop_close(p->loop) == 0 && (p->good || p->serving) ? 0 : 1;
}
