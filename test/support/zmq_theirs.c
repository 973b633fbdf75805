/* SPDX-License-Identifier: MIT */
/* The other process of a match: sockets of real libzmq that drive or echo (see
 * zmq_match.h).  Calls nothing of ours. */
#include <string.h>
#include <zmq.h>

#include "support/zmq_match.h"

/* Messages on their way at a time, all sockets of one round together. */
#define AHEAD 20

static void send_parts(void* s, const match_t* m, unsigned number) {
  parts_t parts;
  parts_of(m->plan, number, &parts);
  if (m->theirs == ZMQ_ROUTER) MUST(zmq_send(s, "ours", 4, ZMQ_SNDMORE) == 4);
  for (size_t i = 0; i < parts.count; i++) {
    const mcq_frame_t* f = &parts.frames[i];
    int flags = i + 1 < parts.count ? ZMQ_SNDMORE : 0;
    MUST(zmq_send(s, f->data, f->len, flags) == (int) f->len);
  }
}

static bool receive_frame(void* s, const void* data, size_t len) {
  zmq_msg_t in;
  zmq_msg_init(&in);
  MUST(zmq_msg_recv(&in, s, 0) >= 0);
  MUST(zmq_msg_size(&in) == len);
  MUST(memcmp(zmq_msg_data(&in), data, len) == 0);
  bool more = zmq_msg_more(&in) != 0;
  zmq_msg_close(&in);
  return more;
}

static void receive_parts(void* s, const match_t* m, unsigned number) {
  parts_t parts;
  parts_of(m->plan, number, &parts);
  if (m->theirs == ZMQ_ROUTER) MUST(receive_frame(s, "ours", 4));
  for (size_t i = 0; i < parts.count; i++) {
    bool more = receive_frame(s, parts.frames[i].data, parts.frames[i].len);
    MUST(more == (i + 1 < parts.count));
  }
}

/* libzmq drops what a ROUTER cannot address: it waits for us to be there. */
static void await_us(void* s) {
  int on = 1;
  zmq_setsockopt(s, ZMQ_ROUTER_MANDATORY, &on, sizeof on);
  while (zmq_send(s, "ours", 4, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
    zmq_poll(NULL, 0, 1);
  MUST(zmq_send(s, "hello", 5, 0) == 5);
  MUST(receive_frame(s, "ours", 4));
  MUST(!receive_frame(s, "hello", 5));
}

static unsigned ahead_of(const match_t* m) {
  bool one = m->theirs == ZMQ_REQ || m->plan != PLAN_MIXED;
  unsigned ahead = one ? 1 : AHEAD;
  return ahead < m->messages ? ahead : m->messages;
}

static void drive(const match_t* m, void** sockets) {
  unsigned ahead = ahead_of(m);
  for (int k = 0; k < m->peers; k++)
    if (m->theirs == ZMQ_ROUTER) await_us(sockets[k]);
  for (unsigned i = 0; i < m->messages; i += ahead) {
    unsigned end = i + ahead < m->messages ? i + ahead : m->messages;
    for (int k = 0; k < m->peers; k++)
      for (unsigned j = i; j < end; j++) send_parts(sockets[k], m, j);
    for (int k = 0; k < m->peers; k++)
      for (unsigned j = i; j < end; j++) receive_parts(sockets[k], m, j);
  }
}

/* A REP may answer only what it has received whole.  False: nothing there. */
static bool echo_one(void* s) {
  zmq_msg_t parts[PARTS_MAX + 2];
  int count = 0;
  bool more = true;
  while (more) {
    MUST(count < PARTS_MAX + 2);
    zmq_msg_init(&parts[count]);
    int rc = zmq_msg_recv(&parts[count], s, count == 0 ? ZMQ_DONTWAIT : 0);
    if (rc < 0 && count == 0) return false;
    MUST(rc >= 0);
    more = zmq_msg_more(&parts[count++]);
  }
  for (int k = 0; k < count; k++)
    MUST(zmq_msg_send(&parts[k], s, k + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
  return true;
}

/* Until the other process lets go of the pipe. */
static void echo(const match_t* m, void** sockets, int in) {
  static zmq_pollitem_t items[PEERS_MAX + 1];
  for (int k = 0; k < m->peers; k++)
    items[k] = (zmq_pollitem_t){.socket = sockets[k], .events = ZMQ_POLLIN};
  items[m->peers] = (zmq_pollitem_t){.fd = in, .events = ZMQ_POLLIN};
  for (;;) {
    MUST(zmq_poll(items, m->peers + 1, -1) > 0);
    if (items[m->peers].revents != 0) return;
    for (int k = 0; k < m->peers; k++)
      for (int n = 0; n < 100 && items[k].revents != 0; n++)
        if (!echo_one(sockets[k])) break;
  }
}

static void* open_socket(void* context, const meeting_t* meeting,
                         const char* uri, int out) {
  const match_t* m = meeting->match;
  void* s = zmq_socket(context, m->theirs);
  int no_limit = 0; /* or ROUTER and REP drop what does not fit */
  MUST(s != NULL);
  zmq_setsockopt(s, ZMQ_SNDHWM, &no_limit, sizeof no_limit);
  if (m->we_bind) {
    MUST(zmq_connect(s, uri) == 0);
    return s;
  }
  char at[URI_MAX];
  size_t len = sizeof at;
  venue_uri(meeting->venue, at);
  MUST(zmq_bind(s, at) == 0);
  MUST(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, at, &len) == 0);
  uri_tell(out, at);
  return s;
}

int their_side(const void* arg, int in, int out) {
  const meeting_t* meeting = (const meeting_t*) arg;
  const match_t* m = meeting->match;
  char uri[URI_MAX];
  void* sockets[PEERS_MAX];
  void* context = zmq_ctx_new();
  int none = 0;
  if (m->we_bind) MUST(uri_hear(in, uri));
  for (int k = 0; k < m->peers; k++)
    sockets[k] = open_socket(context, meeting, uri, out);
  if (m->we_drive)
    echo(m, sockets, in);
  else
    drive(m, sockets);
  for (int k = 0; k < m->peers; k++) {
    zmq_setsockopt(sockets[k], ZMQ_LINGER, &none, sizeof none);
    zmq_close(sockets[k]);
  }
  zmq_ctx_term(context);
  return 0;
}
