/* SPDX-License-Identifier: MIT */
/* How late a timer of 1 ms is in a loop that somebody floods.  Another process
 * writes messages to one connection as fast as it can be read, the same bytes
 * for every contender; the loop has that connection and a uv_timer.  How late
 * is the time from the millisecond that the loop's clock was to reach until
 * the callback.
 *
 * libzmq stands in the loop as its users have it there: uv_poll on ZMQ_FD, and
 * as that tells of changes only, receive until there is nothing.  Plain libuv
 * reads the bytes with uv_read_start and takes nothing apart. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "monocoque.h"
#include "perf_child.h"
#ifdef HAVE_ZMQ
#include <zmq.h>
#endif

enum {
  WARM_MS = 200,
  RUN_MS = 1000,
  SAMPLES = 4096,
  BLOCK = 262144, /* bytes written at once, about */
  READ = 65536
};

typedef struct bench {
  const perf_job_t* job;
  perf_found_t* found;
  uv_loop_t loop;
  uv_timer_t timer;
  uint64_t deadline_ns;
  uint64_t from_ns; /* when measuring begins, and when it ends */
  uint64_t until_ns;
  uint64_t last_ns;
  double count;  /* messages */
  double before; /* of these, until measuring began */
  bool over;
  double late_us[SAMPLES];
  size_t samples;
  pid_t flooder;
  mcq_ctx_t* ctx;
  void* zmq; /* context, socket */
  void* socket;
  uv_poll_t poll;
  uv_tcp_t listener;
  uv_tcp_t stream;
  char* buffer;
} bench_t;

/* ---- the other process --------------------------------------------------- */

static void write_all(int fd, const char* data, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, data, len);
    if (n <= 0) _exit(0);
    data += n;
    len -= (size_t) n;
  }
}

static void read_all(int fd, char* data, size_t len) {
  while (len > 0) {
    ssize_t n = read(fd, data, len);
    if (n <= 0) _exit(1);
    data += n;
    len -= (size_t) n;
  }
}

/* The other side's greeting and READY: messages that come before it has said
 * that break the protocol. */
static void await_ready(int fd) {
  char words[256];
  read_all(fd, words, 64 + 2);
  read_all(fd, words, (unsigned char) words[65]);
}

/* ZMTP 3.0 with the mechanism NULL, from a PUSH. */
static void shake_hands(int fd) {
  static const char ready[] = "\4\32\5READY\13Socket-Type\0\0\0\4PUSH";
  char greeting[64] = {0};
  greeting[0] = (char) 0xff;
  greeting[9] = 0x7f;
  greeting[10] = 3;
  memcpy(greeting + 12, "NULL", 4);
  write_all(fd, greeting, sizeof greeting);
  write_all(fd, ready, sizeof ready - 1);
}

/* As many messages as make a block. */
static char* make_block(size_t size, size_t* len) {
  size_t head = size > 255 ? 9 : 2;
  size_t count = BLOCK / (head + size) + 1;
  char* block = tool_alloc(count * (head + size));
  memset(block, 0, count * (head + size));
  for (size_t i = 0; i < count; i++) {
    char* at = block + i * (head + size);
    at[0] = size > 255 ? 2 : 0;
    for (size_t k = 1; k < head; k++)
      at[k] = (char) (size >> (8 * (head - 1 - k)));
  }
  *len = count * (head + size);
  return block;
}

static void flood(uint16_t port, const perf_job_t* job) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  size_t len;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*) &a, sizeof a) != 0) _exit(1);
  char* block = make_block(job->size, &len);
  shake_hands(fd);
  if (job->who != PERF_RAW) await_ready(fd);
  for (;;) write_all(fd, block, len);
}

/* Before the loop has threads or rings that a fork would have to do with. */
static pid_t start_flooder(const perf_job_t* job, int* tell) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    uint16_t port;
    close(ends[1]);
    if (read(ends[0], &port, sizeof port) != sizeof port) _exit(1);
    flood(port, job);
  }
  close(ends[0]);
  *tell = ends[1];
  return pid;
}

/* ---- the clock ----------------------------------------------------------- */

static void stop(bench_t* b);

/* Also asked by those who keep the loop from its timers. */
static bool is_over(bench_t* b, uint64_t now) {
  if (b->from_ns == 0 && b->count > 0) {
    b->from_ns = now + WARM_MS * UINT64_C(1000000);
    b->until_ns = b->from_ns + RUN_MS * UINT64_C(1000000);
  }
  if (now < b->from_ns) b->before = b->count;
  b->last_ns = now;
  return b->from_ns != 0 && now >= b->until_ns;
}

static void note(bench_t* b, uint64_t now) {
  if (b->from_ns == 0 || now < b->from_ns || b->samples == SAMPLES) return;
  uint64_t late = now > b->deadline_ns ? now - b->deadline_ns : 0;
  b->late_us[b->samples++] = (double) late / 1000;
}

static void on_timer(uv_timer_t* timer) {
  bench_t* b = timer->data;
  uint64_t now = uv_hrtime();
  note(b, now);
  if (is_over(b, now)) {
    stop(b);
    return;
  }
  b->deadline_ns = (uv_now(&b->loop) + 1) * 1000000;
  uv_timer_start(timer, on_timer, 1, 0);
}

/* ---- contenders ---------------------------------------------------------- */

static void on_message(mcq_socket_t* s, mcq_peer_t peer, mcq_msg_t* msg) {
  (void) peer;
  (void) msg;
  ((bench_t*) mcq_socket_data(s))->count++;
}

static int open_mcq(bench_t* b, uint16_t* port) {
  mcq_ctx_options_t options = {.backend = (int) b->job->who};
  mcq_socket_options_t o = {
      .type = MCQ_PULL, .data = b, .on_message = on_message};
  mcq_socket_t* s;
  mcq_endpoint_t at;
  int rc = mcq_ctx_new(&b->loop, &options, &b->ctx);
  if (rc == 0) rc = mcq_socket_new(b->ctx, &o, &s);
  if (rc == 0) rc = mcq_bind(s, "tcp://127.0.0.1:0", &at);
  if (rc != 0) return tool_fail("cannot listen: %s", mcq_strerror(rc));
  *port = (uint16_t) atoi(strrchr(mcq_endpoint_uri(s, at), ':') + 1);
  return 0;
}

#ifdef HAVE_ZMQ
static void on_zmq(uv_poll_t* poll, int status, int events) {
  bench_t* b = poll->data;
  (void) status;
  (void) events;
  int ready;
  size_t size = sizeof ready;
  zmq_getsockopt(b->socket, ZMQ_EVENTS, &ready, &size);
  if ((ready & ZMQ_POLLIN) == 0) return;
  zmq_msg_t msg;
  zmq_msg_init(&msg);
  for (unsigned i = 1; zmq_msg_recv(&msg, b->socket, ZMQ_DONTWAIT) >= 0; i++) {
    b->count++;
    if (i % 256 != 0 || !is_over(b, uv_hrtime())) continue;
    note(b, b->last_ns); /* the timer still waits */
    stop(b);
    break;
  }
  zmq_msg_close(&msg);
}

static int open_zmq(bench_t* b, uint16_t* port) {
  char uri[64];
  size_t len = sizeof uri;
  int fd;
  size_t size = sizeof fd;
  b->zmq = zmq_ctx_new();
  b->socket = zmq_socket(b->zmq, ZMQ_PULL);
  if (b->socket == NULL || zmq_bind(b->socket, "tcp://127.0.0.1:*") != 0 ||
      zmq_getsockopt(b->socket, ZMQ_LAST_ENDPOINT, uri, &len) != 0 ||
      zmq_getsockopt(b->socket, ZMQ_FD, &fd, &size) != 0)
    return tool_fail("libzmq: %s", zmq_strerror(zmq_errno()));
  *port = (uint16_t) atoi(strrchr(uri, ':') + 1);
  uv_poll_init(&b->loop, &b->poll, fd);
  b->poll.data = b;
  uv_poll_start(&b->poll, UV_READABLE, on_zmq);
  on_zmq(&b->poll, 0, 0);
  return 0;
}
#else
static int open_zmq(bench_t* b, uint16_t* port) {
  (void) b;
  (void) port;
  return tool_fail("this build has no libzmq");
}
#endif

static void give_buffer(uv_handle_t* handle, size_t size, uv_buf_t* out) {
  bench_t* b = handle->data;
  (void) size;
  *out = uv_buf_init(b->buffer, READ);
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  bench_t* b = stream->data;
  size_t head = b->job->size > 255 ? 9 : 2;
  (void) buf;
  if (n > 0) b->count += (double) n / (double) (head + b->job->size);
}

static void on_connection(uv_stream_t* listener, int status) {
  bench_t* b = listener->data;
  if (status != 0) return;
  uv_tcp_init(&b->loop, &b->stream);
  b->stream.data = b;
  if (uv_accept(listener, (uv_stream_t*) &b->stream) == 0)
    uv_read_start((uv_stream_t*) &b->stream, give_buffer, on_read);
}

static int open_plain(bench_t* b, uint16_t* port) {
  struct sockaddr_in a;
  int len = sizeof a;
  uv_ip4_addr("127.0.0.1", 0, &a);
  uv_tcp_init(&b->loop, &b->listener);
  b->listener.data = b;
  b->buffer = tool_alloc(READ);
  int rc = uv_tcp_bind(&b->listener, (const struct sockaddr*) &a, 0);
  if (rc == 0) rc = uv_listen((uv_stream_t*) &b->listener, 1, on_connection);
  if (rc == 0)
    rc = uv_tcp_getsockname(&b->listener, (struct sockaddr*) &a, &len);
  if (rc != 0) return tool_fail("cannot listen: %s", uv_strerror(rc));
  *port = ntohs(a.sin_port);
  return 0;
}

/* ---- a run --------------------------------------------------------------- */

/* The process ends right after: nothing is put away. */
static void stop(bench_t* b) {
  b->over = true;
  uv_stop(&b->loop);
}

static int by_value(const void* a, const void* b) {
  double x = *(const double*) a;
  double y = *(const double*) b;
  return x < y ? -1 : x > y;
}

static double percentile(const bench_t* b, size_t permille) {
  size_t rank = (b->samples * permille + 999) / 1000;
  return b->late_us[rank > 0 ? rank - 1 : 0];
}

static void sum_up(bench_t* b) {
  qsort(b->late_us, b->samples, sizeof *b->late_us, by_value);
  double ns = (double) (b->last_ns - b->from_ns);
  *b->found = (perf_found_t){.rate = (b->count - b->before) * 1e9 / ns,
                             .p50_us = percentile(b, 500),
                             .p99_us = percentile(b, 990),
                             .p999_us = percentile(b, 999),
                             .max_us = percentile(b, 1000)};
}

static int open_it(bench_t* b, uint16_t* port) {
  if (b->job->who == PERF_ZMQ) return open_zmq(b, port);
  if (b->job->who == PERF_RAW) return open_plain(b, port);
  return open_mcq(b, port);
}

static int play(const void* job, perf_found_t* out) {
  static bench_t b;
  uint16_t port = 0;
  int tell;
  b.job = job;
  b.found = out;
  b.flooder = start_flooder(b.job, &tell);
  if (b.flooder < 0) return tool_fail("no process");
  uv_loop_init(&b.loop);
  int rc = open_it(&b, &port);
  if (rc == 0) rc = tool_write(tell, &port, sizeof port);
  if (rc == 0) {
    uv_timer_init(&b.loop, &b.timer);
    b.timer.data = &b;
    b.deadline_ns = (uv_now(&b.loop) + 1) * 1000000;
    uv_timer_start(&b.timer, on_timer, 1, 0);
    while (!b.over) uv_run(&b.loop, UV_RUN_DEFAULT);
    sum_up(&b);
  }
  kill(b.flooder, SIGKILL);
  waitpid(b.flooder, NULL, 0);
  return rc;
}

int perf_lateness(const perf_job_t* job, perf_found_t* out) {
  return perf_child(play, job, out);
}
