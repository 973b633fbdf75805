/* SPDX-License-Identifier: MIT */
/* The last bytes of a connection, as a plain socket on the other side sees
 * them: all that was queued before mcq_close or mcq_drain, or the reason of a
 * refusal, and then the end of the stream, never a reset, whatever lies unread
 * on our side.  How long lingering and draining last, on a clock of the test's
 * own, and that what they could not deliver is counted to the byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/players.h"

#define BODY ((size_t) 9000)
#define TRAVELS (BODY + 9) /* with its header */
#define HELLO 92           /* greeting and READY, of names as long as these */
#define AGES ((uint64_t) 1 << 40)

static const char greeting[64] = "\xff\0\0\0\0\0\0\0\0\x7f\3\1NULL";
static const char as_dealer[] = "\4\x1c\5READY\xbSocket-Type\0\0\0\6DEALER";
static const char as_pull[] = "\4\x1a\5READY\xbSocket-Type\0\0\0\4PULL";
static const char as_sub[] = "\4\x19\5READY\xbSocket-Type\0\0\0\3SUB";

/* ---- a plain socket ------------------------------------------------------ */

typedef struct line {
  stage_t g;
  player_t p;
  int fd;
  size_t came;  /* bytes, */
  char end[64]; /* and the last of them */
  bool over;    /* the end of the stream came */
  unsigned taken;
  unsigned drained;
  mcq_close_info_t drain_info;
  bool fails; /* expects a reset */
} line_t;

static int raw_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int small = 4096;
  assert_true(fd >= 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  return fd;
}

static void raw_connect(line_t* l) {
  struct sockaddr_in to;
  const char* uri = mcq_endpoint_uri(l->p.s, l->p.at);
  uv_ip4_addr("127.0.0.1", atoi(strrchr(uri, ':') + 1), &to);
  l->fd = raw_socket();
  int rc = connect(l->fd, (const struct sockaddr*) &to, sizeof to);
  assert_true(rc == 0 || errno == EINPROGRESS);
}

static void raw_say(line_t* l, const void* data, size_t len) {
  const char* at = (const char*) data;
  while (len > 0) {
    ssize_t n = send(l->fd, at, len, MSG_NOSIGNAL);
    if (n < 0) assert_int_equal(errno, EAGAIN);
    if (n < 0) stage_step(&l->g);
    if (n < 0) continue;
    at += n;
    len -= (size_t) n;
  }
}

static void raw_hello(line_t* l, const char* ready, size_t len) {
  raw_say(l, greeting, sizeof greeting);
  raw_say(l, ready, len - 1);
}

/* Reads what there is, or what comes in a moment. */
static void raw_read(line_t* l) {
  char bytes[65536];
  ssize_t n;
  while ((n = recv(l->fd, bytes, sizeof bytes, 0)) > 0) {
    size_t keep = (size_t) n < sizeof l->end ? (size_t) n : sizeof l->end;
    memmove(l->end, l->end + keep, sizeof l->end - keep);
    memcpy(l->end + sizeof l->end - keep, bytes + n - keep, keep);
    l->came += (size_t) n;
  }
  if (n < 0 && errno != EAGAIN) fail_msg("%s", strerror(errno));
  l->over = n == 0;
  if (n < 0) stage_turns(&l->g, 1);
}

static void raw_read_to_end(line_t* l) {
  while (!l->over) raw_read(l);
}

/* ---- one player ---------------------------------------------------------- */

static void on_drained(mcq_socket_t* s, const mcq_close_info_t* info,
                       void* arg) {
  line_t* l = (line_t*) arg;
  assert_ptr_equal(player_of(s), &l->p);
  assert_false(l->p.closed);
  assert_int_equal(++l->drained, 1);
  l->drain_info = *info;
}

static void drain(line_t* l, int64_t linger_ms) {
  l->g.in_call = true;
  assert_int_equal(mcq_drain(l->p.s, linger_ms, on_drained, l), 0);
  l->g.in_call = false;
}

static void open_line(line_t* l, int backend, mcq_socket_options_t o) {
  memset(l, 0, sizeof *l);
  l->fd = -1;
  stage_open(&l->g, backend, true);
  player_open(&l->p, &l->g, o);
}

static void settle(line_t* l) {
  for (int i = 0; i < 4; i++) {
    stage_turns(&l->g, 10);
    stage_step(&l->g);
  }
}

/* A DEALER, or of another type, with a peer that is up. */
static void open_up(line_t* l, int backend, mcq_socket_options_t o) {
  open_line(l, backend, o);
  player_bind(&l->p);
  raw_connect(l);
  if (o.type == MCQ_PUSH)
    raw_hello(l, as_pull, sizeof as_pull);
  else
    raw_hello(l, as_dealer, sizeof as_dealer);
  until(&l->g, l->p.ups == 1);
  while (l->came < HELLO - 4) raw_read(l);
}

/* Until no more is taken, however often the kernel is asked. */
static void stuff(line_t* l) {
  static const char body[BODY];
  for (int refused = 0; refused < 3; refused++) {
    while (mcq_send_bytes(l->p.s, body, BODY) == 0) {
      l->taken++;
      refused = 0;
    }
    settle(l);
  }
}

static void end_line(line_t* l) {
  if (l->fd >= 0) close(l->fd);
  stage_close(&l->g);
}

#define DEALER_WITH(...) \
  ((mcq_socket_options_t){.type = MCQ_DEALER, .sndhwm = 10, __VA_ARGS__})

/* More than the kernel finds room for when the end of the other side's stream
 * makes it look again. */
#define MANY_WITH(...) \
  ((mcq_socket_options_t){.type = MCQ_DEALER, .sndhwm = 300, __VA_ARGS__})

/* A message of one frame, a byte. */
static void raw_message(line_t* l, char what) {
  char frame[3] = {0, 1, what};
  raw_say(l, frame, sizeof frame);
}

static void raw_messages(line_t* l, unsigned count) {
  for (unsigned i = 0; i < count; i++) raw_message(l, 'm');
}

/* ---- bytes, then the end ------------------------------------------------- */

/* What the other side has said lies in our receive buffer: paused, nobody has
 * read it. */
static void last_words(int backend) {
  for (int drains = 0; drains < 2; drains++) {
    line_t l;
    open_up(&l, backend, DEALER_WITH(.linger_ms = -1));
    assert_int_equal(mcq_pause(l.p.s), 0);
    settle(&l);
    raw_messages(&l, 30000);
    settle(&l);
    stuff(&l);
    assert_true(l.taken >= 10);
    size_t hello = l.came;
    if (drains)
      drain(&l, -1);
    else
      player_close(&l.p);
    raw_read_to_end(&l);
    assert_int_equal(l.came - hello, l.taken * TRAVELS);
    assert_false(l.p.closed);
    assert_int_equal(l.drained, 0);
    shutdown(l.fd, SHUT_WR);
    if (drains) assert_int_equal(mcq_resume(l.p.s), 0);
    until(&l.g, drains ? l.drained == 1 : l.p.closed);
    assert_int_equal(l.p.count, drains ? 30000 : 0);
    assert_int_equal(l.p.reason, MCQ_ELOCAL);
    if (drains) player_close(&l.p);
    until(&l.g, l.p.closed);
    assert_int_equal(l.p.info.lost_messages, 0);
    end_line(&l);
  }
}

/* The same of a word said right before the call that ends it, once. */
static void last_word_of_a_callback(player_t* p, mcq_peer_t peer,
                                    mcq_msg_t* msg) {
  line_t* l = (line_t*) p->arg;
  (void) peer;
  (void) msg;
  if (p->count != 1) return;
  assert_int_equal(say(p, "farewell"), 0);
  if (l->taken == 1)
    drain(l, -1);
  else
    player_close(p);
}

static void one_word(int backend) {
  for (unsigned drains = 0; drains < 2; drains++) {
    line_t l;
    open_up(&l, backend, DEALER_WITH(.linger_ms = -1));
    l.p.on_message = last_word_of_a_callback;
    l.p.arg = &l;
    l.taken = drains;
    raw_messages(&l, 5000);
    raw_read_to_end(&l);
    assert_memory_equal(l.end + sizeof l.end - 8, "farewell", 8);
    raw_messages(&l, 1);
    close(l.fd);
    l.fd = -1;
    until(&l.g, drains ? l.drained == 1 : l.p.closed);
    assert_int_equal(l.p.count, drains ? 5001 : 1);
    end_line(&l);
  }
}

/* The reason comes first, though much was said that nobody wants to hear. */
static void refused(int backend) {
  static const char chatter[4096];
  line_t l;
  open_line(&l, backend, DEALER_WITH(0));
  player_bind(&l.p);
  raw_connect(&l);
  raw_say(&l, greeting, sizeof greeting);
  raw_say(&l, as_sub, sizeof as_sub - 1);
  for (int i = 0; i < 20; i++) raw_say(&l, chatter, sizeof chatter);
  raw_read_to_end(&l);
  bool said = false;
  for (size_t i = 0; i + 6 <= sizeof l.end; i++)
    said = said || memcmp(l.end + i, "\5ERROR", 6) == 0;
  assert_true(said);
  end_line(&l);
}

/* ---- how long ------------------------------------------------------------ */

static void pass(line_t* l, uint64_t ms) {
  l->g.now += ms;
  settle(l);
}

static bool is_over(const line_t* l) {
  return l->p.closed || l->drained > 0;
}

/* It is over so long after the last byte has moved, and not sooner.  The kernel
 * may take one or the other that it had no room for before. */
static void wait_out(line_t* l, uint64_t ms) {
  uint64_t before = player_stats(&l->p).wire_bytes_sent;
  uint64_t left = ms;
  while (left > 0) {
    uint64_t step = left > 1 ? left - 1 : 1;
    assert_false(is_over(l));
    pass(l, step);
    left -= step;
    if (is_over(l)) break;
    uint64_t now = player_stats(&l->p).wire_bytes_sent;
    if (now != before) left = ms;
    before = now;
  }
  assert_int_equal(left, 0);
  until(&l->g, is_over(l)); /* on a clock that stands still */
}

/* Every byte it took has arrived or is counted. */
static void expect_account(line_t* l, const mcq_close_info_t* info,
                           size_t hello) {
  raw_read_to_end(l);
  size_t arrived = l->came - hello;
  unsigned whole = (unsigned) (arrived / TRAVELS);
  bool begun = arrived % TRAVELS != 0;
  assert_int_equal(l->p.unsure, begun);
  assert_int_equal(whole + l->p.unsure + info->lost_messages, l->taken);
  assert_true(info->lost_messages >= 9);
  assert_int_equal(info->lost_bytes + arrived, l->taken * TRAVELS);
  assert_int_equal(info->lost_messages, l->p.lost);
}

static void lingers(int backend) {
  static const int64_t lingers[] = {-1, 300, 0, MCQ_LINGER_NONE};
  for (unsigned i = 0; i < 8; i++) {
    int64_t linger = lingers[i / 2];
    bool drains = i % 2 == 1;
    line_t l;
    open_up(&l, backend, DEALER_WITH(.linger_ms = drains ? 1000 : linger));
    if (linger == 0) linger = drains ? 1000 : 20; /* the player's default */
    stuff(&l);
    size_t hello = l.came;
    if (drains)
      drain(&l, lingers[i / 2]);
    else
      player_close(&l.p);
    bool* closed = &l.p.closed;
    settle(&l);
    if (linger == MCQ_LINGER_NONE)
      until(&l.g, is_over(&l));
    else
      assert_false(is_over(&l));
    if (linger > 0) {
      wait_out(&l, (uint64_t) linger);
    } else if (linger == -1) {
      pass(&l, AGES);
      assert_false(*closed || l.drained);
      raw_read_to_end(&l);
      assert_int_equal(l.came - hello, l.taken * TRAVELS);
      shutdown(l.fd, SHUT_WR);
      until(&l.g, *closed || l.drained);
    }
    const mcq_close_info_t* info = drains ? &l.drain_info : &l.p.info;
    if (linger == -1)
      assert_int_equal(info->lost_messages + info->lost_bytes, 0);
    else
      expect_account(&l, info, hello);
    if (drains) {
      player_close(&l.p);
      until(&l.g, *closed);
      assert_int_equal(l.p.info.lost_messages, l.drain_info.lost_messages);
      assert_int_equal(l.p.info.lost_bytes, l.drain_info.lost_bytes);
    }
    end_line(&l);
  }
}

/* All has left, the other side talks on: so long and no longer. */
static void talks_on(int backend) {
  line_t l;
  open_up(&l, backend, DEALER_WITH(0));
  assert_int_equal(say(&l.p, "bye"), 0);
  drain(&l, 300);
  raw_read_to_end(&l);
  settle(&l);
  for (unsigned i = 1; i <= 3; i++) {
    raw_message(&l, 'm');
    until(&l.g, l.p.count == i);
    if (i < 3) pass(&l, 149);
  }
  assert_int_equal(l.drained, 0);
  pass(&l, 2);
  until(&l.g, l.drained == 1);
  assert_int_equal(l.drain_info.lost_messages, 0);
  assert_int_equal(l.p.reason, MCQ_ELOCAL);
  end_line(&l);
}

/* It is not asked for its end within any time; questions it has meanwhile are
 * not answered any more, and pile up nowhere. */
static void talks_for_ever(int backend) {
  line_t l;
  open_up(&l, backend, DEALER_WITH(.heartbeat_ms = 50));
  drain(&l, -1);
  raw_read_to_end(&l);
  pass(&l, AGES);
  for (int i = 0; i < 20000; i++) raw_say(&l, "\4\x7\4PING\0\0", 9);
  raw_message(&l, 'm');
  until(&l.g, l.p.count == 1);
  size_t bytes = l.g.memory.bytes;
  for (int i = 0; i < 20000; i++) raw_say(&l, "\4\x7\4PING\0\0", 9);
  raw_message(&l, 'm');
  until(&l.g, l.p.count == 2);
  assert_true(l.g.memory.bytes <= bytes + 90000); /* of 180000 */
  assert_int_equal(l.drained, 0);
  shutdown(l.fd, SHUT_WR);
  until(&l.g, l.drained == 1);
  assert_int_equal(l.p.reason, MCQ_ELOCAL);
  end_line(&l);
}

/* Closed in the middle of it, before and after our side was shut down, and with
 * the other's end seen or not: the shorter time counts. */
static void closed_in_the_middle(int backend) {
  static const int64_t times[][2] = {{-1, 200}, {200, -1}, {500, 200}};
  for (unsigned i = 0; i < 12; i++) {
    bool written = i % 2 == 1;
    bool half = i % 4 >= 2;
    const int64_t* t = times[i / 4];
    line_t l;
    open_up(&l, backend, MANY_WITH(.linger_ms = t[1]));
    if (!written) stuff(&l);
    size_t hello = l.came;
    drain(&l, t[0]);
    if (written) raw_read_to_end(&l);
    if (half && !written) shutdown(l.fd, SHUT_WR);
    settle(&l);
    player_close(&l.p);
    settle(&l);
    wait_out(&l, 200);
    until(&l.g, l.p.closed);
    assert_int_equal(l.drained, 1);
    assert_int_equal(l.p.info.lost_bytes, l.drain_info.lost_bytes);
    if (!written) expect_account(&l, &l.p.info, hello);
    end_line(&l);
  }
}

/* Closed, and then the loop stands still for longer than it was to linger:
 * what could not be written meanwhile is written now.  For who takes nothing
 * that is not so for ever. */
static void stands_still(int backend) {
  for (unsigned i = 0; i < 4; i++) {
    bool drains = i % 2 == 1;
    bool full = i >= 2;
    line_t l;
    open_up(&l, backend, DEALER_WITH(.linger_ms = 200));
    if (full)
      stuff(&l);
    else
      assert_int_equal(say(&l.p, "hello"), 0);
    size_t hello = l.came;
    if (drains)
      drain(&l, 200);
    else
      player_close(&l.p);
    l.g.now += 700;
    if (full) {
      settle(&l);
      assert_false(is_over(&l));
      for (int n = 0; n < 20 && !is_over(&l); n++) pass(&l, 500);
      until(&l.g, is_over(&l));
      expect_account(&l, drains ? &l.drain_info : &l.p.info, hello);
    } else {
      raw_read_to_end(&l);
      assert_memory_equal(l.end + sizeof l.end - 7, "\0\5hello", 7);
      shutdown(l.fd, SHUT_WR);
      until(&l.g, is_over(&l));
      assert_int_equal(l.drain_info.lost_messages + l.p.info.lost_messages, 0);
    }
    end_line(&l);
  }
}

/* ---- nobody there yet ---------------------------------------------------- */

/* A PUSH with three messages and a connection yet to be made to what is
 * returned, where nobody listens. */
static int open_lonely(line_t* l, int backend) {
  char uri[64];
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  int listener = raw_socket();
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(bind(listener, (struct sockaddr*) &at, sizeof at), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr*) &at, &size), 0);
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%u", ntohs(at.sin_port));
  open_line(l, backend,
            (mcq_socket_options_t){.type = MCQ_PUSH, .linger_ms = 50});
  assert_int_equal(mcq_connect(l->p.s, uri, NULL, NULL), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(say(&l->p, "hello"), 0);
  return listener;
}

/* It comes now, and hears them. */
static void let_in(line_t* l, int listener) {
  assert_int_equal(listen(listener, 1), 0);
  while ((l->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0)
    pass(l, 10);
  raw_hello(l, as_pull, sizeof as_pull);
  raw_read_to_end(l);
  assert_memory_equal(l->end + sizeof l->end - 7, "\0\5hello", 7);
  close(l->fd);
  l->fd = -1;
}

/* What waits for a connection gets one, within linger. */
static void waits_for_somebody(int backend) {
  for (int comes = 0; comes < 3; comes++) {
    line_t l;
    int listener = open_lonely(&l, backend);
    settle(&l);
    drain(&l, comes == 1 ? -1 : 5000);
    if (comes == 1) {
      pass(&l, AGES);
      let_in(&l, listener);
      until(&l.g, l.drained == 1);
    } else if (comes == 0) {
      pass(&l, 4999);
      assert_int_equal(l.drained, 0);
      pass(&l, 1);
      until(&l.g, l.drained == 1);
    } else {
      player_close(&l.p);
      pass(&l, 49);
      assert_false(l.p.closed);
      pass(&l, 1);
      until(&l.g, l.p.closed);
      assert_int_equal(l.drained, 1);
    }
    assert_int_equal(l.drain_info.lost_messages, comes == 1 ? 0 : 3);
    assert_int_equal(l.drain_info.lost_bytes, comes == 1 ? 0 : 21);
    close(listener);
    end_line(&l);
  }
}

/* Nor is it given up because the loop stood still. */
static void stands_still_before(int backend) {
  for (int comes = 0; comes < 2; comes++) {
    line_t l;
    int listener = open_lonely(&l, backend);
    if (comes) assert_int_equal(listen(listener, 1), 0);
    player_close(&l.p);
    l.g.now += 700;
    if (comes) {
      let_in(&l, listener);
    } else {
      settle(&l);
      assert_false(l.p.closed);
      pass(&l, 700);
    }
    until(&l.g, l.p.closed);
    assert_int_equal(l.p.info.lost_messages, comes ? 0 : 3);
    close(listener);
    end_line(&l);
  }
}

/* -------------------------------------------------------------------------- */

int main(void) {
  static const scene_t scenes[] = {
      {"last words", last_words},
      {"one word", one_word},
      {"refused", refused},
      {"lingers", lingers},
      {"talks on", talks_on},
      {"talks for ever", talks_for_ever},
      {"closed in the middle", closed_in_the_middle},
      {"stands still", stands_still},
      {"waits for somebody", waits_for_somebody},
      {"stands still before anybody is there", stands_still_before},
  };
  return play_on_both(scenes, sizeof scenes / sizeof *scenes);
}
