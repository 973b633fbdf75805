/* SPDX-License-Identifier: MIT */
/* mcqcat: netcat for ZMTP.  Lines of standard input become messages, messages
 * become lines of standard output.  This file joins the socket to the two and
 * decides when to leave. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cat_echo.h"
#include "cat_events.h"
#include "cat_input.h"
#include "cat_options.h"
#include "cat_output.h"
#include "cat_stream.h"

enum { SIGNALS = 3, CUT_MS = 1000 };

typedef struct cat {
  cat_options_t options;
  uv_loop_t loop;
  uv_timer_t timer; /* --timeout, then the end of lingering */
  uv_signal_t signals[SIGNALS];
  mcq_ctx_t* ctx;
  mcq_socket_t* socket;
  cat_input_t input;
  cat_output_t output;
  cat_echo_t echo;
  cat_stream_t stream;
  cat_message_t line; /* the message of the line in hand */
  uint64_t lines;     /* taken so far */
  bool held;          /* the line in hand waits for its time */
  bool owes;          /* rep: an answer */
  uint64_t received;
  size_t stopped; /* endpoints that gave up */
  bool broken;    /* one of them not in good order */
  bool leaving;
  bool draining;    /* leaving only because stdin ended */
  bool interrupted; /* leaving because of a signal */
  uint64_t lost;    /* messages that closing had to give up */
  int code;         /* to exit with */
} cat_t;

/* ---- leaving ------------------------------------------------------------- */

static void close_handles(cat_t* cat) {
  cat_output_close(&cat->output);
  cat_input_close(&cat->input);
  uv_close((uv_handle_t*) &cat->timer, NULL);
  for (size_t i = 0; i < SIGNALS; i++)
    uv_close((uv_handle_t*) &cat->signals[i], NULL);
}

static void on_ctx_closed(void* data) {
  close_handles(data);
}

static void on_socket_closed(const mcq_close_info_t* info) {
  cat_t* cat = info->data;
  cat->lost += info->lost_messages;
  if (cat->options.stats) cat_events_stats(cat->socket);
  cat->socket = NULL;
  mcq_ctx_close(cat->ctx, on_ctx_closed);
}

static void on_drained(mcq_socket_t* socket, const mcq_close_info_t* info,
                       void* arg) {
  (void) info;
  (void) arg;
  mcq_close(socket, on_socket_closed);
}

/* A pull has what nobody else will get: what is on its way is still printed. */
static bool drains(const cat_t* cat) {
  return cat->interrupted && cat->options.type->type == MCQ_PULL &&
         mcq_drain(cat->socket, CUT_MS, on_drained, NULL) == 0;
}

/* What is queued still leaves, within --linger. */
static void leave(cat_t* cat, int code) {
  if (cat->leaving) return;
  cat->leaving = true;
  cat->code = code;
  cat_input_close(&cat->input);
  if (cat->socket != NULL && drains(cat)) return;
  if (cat->socket != NULL)
    mcq_close(cat->socket, on_socket_closed);
  else if (cat->ctx != NULL)
    mcq_ctx_close(cat->ctx, on_ctx_closed);
  else
    close_handles(cat);
}

/* Leaves without waiting for anything. */
static void cut(cat_t* cat) {
  cat_output_flush(&cat->output);
  if (cat->options.stats && cat->socket != NULL) cat_events_stats(cat->socket);
  exit(cat->code);
}

static void on_cut(uv_timer_t* timer) {
  cut(timer->data);
}

static void on_timeout(uv_timer_t* timer) {
  cat_t* cat = timer->data;
  if (cat->leaving && !cat->draining) return;
  leave(cat, TOOL_TIMEOUT);
  cat->code = TOOL_TIMEOUT;
  /* To send everything is the default, to be late is not. */
  if (cat->draining)
    cut(cat);
  else if (!cat->options.linger_given)
    uv_timer_start(timer, on_cut, CUT_MS, 0);
}

static void on_signal(uv_signal_t* handle, int number) {
  cat_t* cat = handle->data;
  if (number == SIGUSR1) {
    if (cat->socket != NULL) cat_events_stats(cat->socket);
    return;
  }
  if (cat->interrupted) {
    cat->code = TOOL_FAILED;
    cut(cat);
  }
  cat->interrupted = true;
  leave(cat, TOOL_DONE);
}

static bool streams(const cat_t* cat) {
  return cat->options.type->type == MCQ_STREAM;
}

/* Once --count is reached, no echo waits and whoever asked has been answered,
 * as long as there are answers. */
static void leave_when_done(cat_t* cat) {
  if (cat->options.count == 0 || cat->received < cat->options.count) return;
  if (cat->owes && !cat->input.finished) return;
  if (cat->echo.parked == 0) leave(cat, TOOL_DONE);
}

/* ---- standard input and output ------------------------------------------- */

/* There is no room, or, as MCQ_EFSM says, it is not this side's turn: a req
 * awaits its answer, a rep a request.  A rep has one go at each answer. */
static bool must_wait(const cat_t* cat, int rc) {
  if (rc == MCQ_EFSM) return true;
  return rc == MCQ_EAGAIN && cat->options.type->type != MCQ_REP;
}

/* The one it was for is gone, or took no more; the next line may go. */
static bool undeliverable(int rc) {
  return rc == MCQ_EHOSTUNREACH || rc == MCQ_EPEERGONE || rc == MCQ_EAGAIN;
}

static int read_line(cat_t* cat, const char* line, size_t len) {
  return streams(cat)
             ? cat_stream_read(cat->options.format, line, len, &cat->line)
             : cat_read(cat->options.format, line, len, &cat->line);
}

static int send_line(cat_t* cat) {
  return streams(cat)
             ? cat_stream_send(&cat->stream, cat->socket, &cat->line)
             : mcq_send(cat->socket, cat->line.frames, cat->line.count);
}

static int on_line(cat_input_t* input, const char* line, size_t len) {
  cat_t* cat = input->data;
  int rc = read_line(cat, line, len);
  if (rc == CAT_LINE_BAD) {
    leave(cat, tool_fail("line %" PRIu64 " of stdin: %s", cat->lines + 1,
                         cat->line.error));
    return rc;
  }
  if (rc == 0) rc = send_line(cat);
  if (must_wait(cat, rc)) {
    cat->held = true;
    return rc;
  }
  if (rc != CAT_LINE_BLANK) cat->owes = false;
  cat->lines++;
  if (undeliverable(rc)) {
    tool_say("line %" PRIu64 " of stdin: %s", cat->lines, mcq_strerror(rc));
  } else if (rc < 0) {
    leave(cat, tool_fail("line %" PRIu64 " of stdin: cannot send: %s",
                         cat->lines, mcq_strerror(rc)));
    return rc;
  }
  leave_when_done(cat);
  return 0;
}

/* Who can still receive stays. */
static void on_input_end(cat_input_t* input, int code) {
  cat_t* cat = input->data;
  if (code != 0) {
    leave(cat, tool_fail("cannot read stdin: %s", uv_strerror(code)));
  } else if (!cat->options.type->receives) {
    cat->draining = !cat->leaving;
    leave(cat, TOOL_DONE);
  } else {
    leave_when_done(cat);
  }
}

/* A reader that went away is no news to the one who runs the pipe. */
static void on_output_error(cat_output_t* output, int code) {
  if (code != UV_EPIPE) tool_say("cannot write: %s", uv_strerror(code));
  leave(output->data, TOOL_FAILED);
}

/* ---- the socket ---------------------------------------------------------- */

static void print(cat_t* cat, mcq_peer_t peer, const mcq_msg_t* msg) {
  mcq_peer_info_t info;
  mcq_frame_t id = {NULL, 0};
  bool with_id = cat->options.type->type == MCQ_ROUTER &&
                 mcq_peer_info(cat->socket, peer, &info) == 0;
  if (with_id) id = (mcq_frame_t){info.routing_id, info.routing_id_len};
  cat_output_message(&cat->output, with_id ? &id : NULL, msg);
}

static void send_on(cat_t* cat) {
  if (!cat->held) return;
  cat->held = false;
  cat_input_resume(&cat->input);
}

/* One more; false when it was the last. */
static bool count(cat_t* cat) {
  if (++cat->received != cat->options.count) return true;
  if (cat->leaving)
    mcq_close(cat->socket, on_socket_closed); /* it need not drain any more */
  else
    mcq_pause(cat->socket);
  return false;
}

static bool print_stream(cat_stream_t* stream, const mcq_frame_t* frames,
                         size_t n) {
  cat_t* cat = stream->data;
  cat_output_frames(&cat->output, frames, n);
  return count(cat);
}

static void on_message(mcq_socket_t* socket, mcq_peer_t peer, mcq_msg_t* msg) {
  cat_t* cat = mcq_socket_data(socket);
  if (streams(cat))
    cat_stream_bytes(&cat->stream, peer, msg);
  else
    print(cat, peer, msg);
  if (cat->options.echo) cat_echo_message(&cat->echo, socket, peer, msg);
  if (!streams(cat)) count(cat);
  cat->owes = cat->options.type->type == MCQ_REP && !cat->options.echo;
  leave_when_done(cat);
  /* The answer to a request, or the next question. */
  if (!cat->leaving && !cat->options.echo) send_on(cat);
}

static void on_request_failed(mcq_socket_t* socket, int code) {
  tool_say("no answer: %s", mcq_strerror(code));
  send_on(mcq_socket_data(socket));
}

static void on_drain(mcq_socket_t* socket) {
  cat_t* cat = mcq_socket_data(socket);
  cat_echo_retry(&cat->echo, socket);
  leave_when_done(cat);
  send_on(cat);
}

static void on_peer_up(mcq_socket_t* socket, const mcq_peer_info_t* info) {
  cat_t* cat = mcq_socket_data(socket);
  if (cat->options.events) cat_events_peer_up(info);
  if (!streams(cat)) return;
  cat_stream_up(&cat->stream, info);
  send_on(cat); /* what is for all waits for the first */
}

static void on_peer_down(mcq_socket_t* socket, const mcq_peer_info_t* info) {
  cat_t* cat = mcq_socket_data(socket);
  cat_echo_forget(&cat->echo, info);
  if (streams(cat)) {
    cat_stream_down(&cat->stream, info);
    if (!cat->leaving) cat->lost += info->lost_messages;
  }
  /* Who reads both streams finds the last messages before the farewell. */
  cat_output_flush(&cat->output);
  if (cat->options.events) cat_events_peer_down(info);
  leave_when_done(cat);
  send_on(cat); /* it may have been the one without room */
}

/* A stream calls once: there is no telling what of a conversation is lost with
 * its connection.  An end in order is how it ends. */
static void stopped(cat_t* cat, const mcq_event_t* event) {
  bool in_order =
      streams(cat) && (event->code == MCQ_EOF || event->code == MCQ_ELOCAL);
  if (!in_order)
    tool_say("%s: gave up: %s", event->address, mcq_strerror(event->code));
  else if (cat->held)
    tool_say("%s: closed before it had everything", event->address);
  cat->broken = cat->broken || !in_order || cat->held;
  if (++cat->stopped == cat->options.endpoint_count)
    leave(cat, cat->broken ? TOOL_FAILED : TOOL_DONE);
}

static void on_event(mcq_socket_t* socket, const mcq_event_t* event) {
  cat_t* cat = mcq_socket_data(socket);
  if (cat->options.events) cat_events_event(socket, event);
  if (event->kind == MCQ_EVENT_STOPPED && !cat->leaving) stopped(cat, event);
}

/* ---- setting up ---------------------------------------------------------- */

static int open_endpoints(cat_t* cat) {
  for (size_t i = 0; i < cat->options.endpoint_count; i++) {
    const cat_endpoint_t* e = &cat->options.endpoints[i];
    int rc = e->bind ? mcq_bind(cat->socket, e->uri, NULL)
                     : mcq_connect(cat->socket, e->uri, NULL, NULL);
    if (rc != 0)
      return tool_fail("cannot %s %s: %s", e->bind ? "bind" : "connect", e->uri,
                       mcq_strerror(rc));
  }
  return 0;
}

static int subscribe(cat_t* cat) {
  for (size_t i = 0; i < cat->options.topic_count; i++) {
    const char* topic = cat->options.topics[i];
    int rc = mcq_subscribe(cat->socket, topic, strlen(topic));
    if (rc != 0)
      return tool_fail("cannot subscribe to '%s': %s", topic, mcq_strerror(rc));
  }
  return 0;
}

static int open_socket(cat_t* cat) {
  const cat_options_t* o = &cat->options;
  bool publishes = o->type->type == MCQ_PUB || o->type->type == MCQ_XPUB;
  mcq_socket_options_t options = {
      .type = o->type->type,
      .flags = o->balance ? MCQ_ROUTER_BALANCE : 0,
      .data = cat,
      .on_message = on_message,
      .on_peer_up = on_peer_up,
      .on_peer_down = on_peer_down,
      .on_drain = on_drain,
      .on_event = on_event,
      .on_request_failed = on_request_failed,
      .slow_peer = publishes ? MCQ_SLOW_REFUSE : 0,
      .routing_id = o->routing_id,
      .routing_id_len = o->routing_id != NULL ? strlen(o->routing_id) : 0,
      .sndhwm = o->sndhwm,
      .max_message_size = o->max_message_size,
      .handshake_ms = o->handshake_ms,
      .linger_ms = o->linger_ms,
      .reconnect_ms = streams(cat) ? -1 : 0,
      .heartbeat_ms = o->heartbeat_ms,
      .heartbeat_timeout_ms = o->heartbeat_timeout_ms,
  };
  int rc = mcq_socket_new(cat->ctx, &options, &cat->socket);
  if (rc == MCQ_ENOTSUP)
    return tool_misuse("type %s is not supported by this build", o->type->name);
  return rc != 0 ? tool_fail("no socket: %s", mcq_strerror(rc)) : 0;
}

static int open_input(cat_t* cat) {
  if (!cat->options.type->sends) return 0;
  cat->input.raw = cat->options.format == CAT_RAW;
  cat->input.on_line = on_line;
  cat->input.on_end = on_input_end;
  cat->input.data = cat;
  int rc = cat_input_open(&cat->input, &cat->loop);
  return rc == 0 ? 0 : tool_fail("cannot read stdin: %s", uv_strerror(rc));
}

static int start(cat_t* cat) {
  mcq_ctx_options_t options = {.backend = cat->options.backend, .data = cat};
  int rc = mcq_ctx_new(&cat->loop, &options, &cat->ctx);
  if (rc != 0) return tool_fail("no context: %s", mcq_strerror(rc));
  rc = open_socket(cat);
  if (rc == 0) rc = subscribe(cat);
  if (rc == 0) rc = open_endpoints(cat);
  if (rc == 0) rc = open_input(cat);
  return rc;
}

static void open_handles(cat_t* cat) {
  static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGUSR1};
  uv_timer_init(&cat->loop, &cat->timer);
  cat->timer.data = cat;
  if (cat->options.timeout_ms > 0)
    uv_timer_start(&cat->timer, on_timeout, cat->options.timeout_ms, 0);
  for (size_t i = 0; i < SIGNALS; i++) {
    uv_signal_init(&cat->loop, &cat->signals[i]);
    cat->signals[i].data = cat;
    if (numbers[i] != SIGUSR1 || cat->options.stats)
      uv_signal_start(&cat->signals[i], on_signal, numbers[i]);
  }
  cat->stream.format = cat->options.format;
  cat->stream.print = print_stream;
  cat->stream.data = cat;
  cat->output.format = cat->options.format;
  cat->output.on_error = on_output_error;
  cat->output.data = cat;
  cat_output_open(&cat->output, &cat->loop);
}

static int run(cat_t* cat) {
  /* A reader or peer that goes away is an error to handle, not a death. */
  signal(SIGPIPE, SIG_IGN);
  int rc = uv_loop_init(&cat->loop);
  if (rc != 0) return tool_fail("no loop: %s", uv_strerror(rc));
  open_handles(cat);
  rc = start(cat);
  if (rc != 0) leave(cat, rc);
  uv_run(&cat->loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&cat->loop) != 0) tool_say("something is still open");
  if (cat->lost > 0) {
    tool_say("%" PRIu64 " messages were not sent", cat->lost);
    if (cat->code == TOOL_DONE && !cat->interrupted) cat->code = TOOL_FAILED;
  }
  return cat->code;
}

int main(int argc, char** argv) {
  static cat_t cat;
  tool_begin("mcqcat");
  int code;
  if (cat_options_read(&cat.options, argc, argv, &code)) code = run(&cat);
  cat_options_free(&cat.options);
  cat_message_free(&cat.line);
  cat_input_free(&cat.input);
  cat_output_free(&cat.output);
  cat_stream_free(&cat.stream);
  return code;
}
