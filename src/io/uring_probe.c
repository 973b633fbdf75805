/* SPDX-License-Identifier: MIT */
/* Tries out, once per context, what the back end relies on: a multishot
 * receive into the buffer ring completes, wakes whoever polls the ring, and
 * ends with its stream.  What a kernel claims and what a sandbox lets through
 * are two things.  Called when joining; never waits. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include "io/uring.h"

/* A local pair of sockets completes within the call that caused it; this often
 * we look for the effect. */
#define LOOKS 64

/* Sent in one call: a little more than a buffer holds. */
#define PIECE ((size_t) 1024)
#define PIECES_MAX (MCQ__BUFFER_LARGE / PIECE + 1)

/* A cap that this does not reach. */
#define CAP (2 * PIECE * PIECES_MAX)

typedef struct probe {
  struct io_uring* ring;
  mcq__buffers_t* buffers;
  bool bundles;
  int pair[2]; /* written, read */
  int epoll;
  size_t pieces; /* to be sent */
  size_t got;
  size_t widest; /* bytes of the largest completion */
  bool receiving;
  int end; /* what the last completion said */
  uint64_t enters;
} probe_t;

static int arm(probe_t* p) {
  if (!mcq__ring_room(p->ring, 1, &p->enters)) return UV_EAGAIN;
  struct io_uring_sqe* sqe = mcq__ring_request(p->ring, 0);
  sqe->opcode = IORING_OP_RECV;
  sqe->fd = p->pair[1];
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->ioprio = IORING_RECV_MULTISHOT;
  if (p->bundles) mcq__ring_bundle(sqe, CAP, CAP);
  sqe->buf_group = MCQ__BUFFER_GROUP;
  p->receiving = true;
  return mcq__ring_submit(p->ring, &p->enters);
}

/* Takes one completion, if there is one.  0 or an error. */
static int look(probe_t* p) {
  mcq__done_t done;
  if (mcq__ring_ready(p->ring, &p->enters) == 0) return 0;
  mcq__ring_next(p->ring, &done);
  if ((done.flags & IORING_CQE_F_MORE) == 0) {
    p->receiving = false;
    p->end = done.res;
  }
  if ((done.flags & IORING_CQE_F_BUFFER) == 0) return 0;
  mcq__slice_t parts[2];
  size_t n = done.res > 0 ? (size_t) done.res : 0;
  int count = mcq__buffers_take(
      p->buffers, done.flags >> IORING_CQE_BUFFER_SHIFT, n, parts);
  for (int i = 0; i < count; i++) mcq__slice_release(&parts[i]);
  p->got += n;
  if (n > p->widest) p->widest = n;
  return count < 0 ? count : 0;
}

/* True when the loop would wake up now. */
static bool wakes(const probe_t* p) {
  struct epoll_event event;
  for (int i = 0; i < LOOKS; i++)
    if (epoll_wait(p->epoll, &event, 1, 0) == 1) return true;
  return false;
}

static size_t sent(const probe_t* p) {
  return p->pieces * PIECE;
}

static int send_some(const probe_t* p) {
  static const uint8_t zeros[PIECE];
  struct iovec pieces[PIECES_MAX];
  for (size_t i = 0; i < p->pieces; i++) {
    pieces[i].iov_base = (void*) (uintptr_t) zeros;
    pieces[i].iov_len = PIECE;
  }
  ssize_t n = writev(p->pair[0], pieces, (int) p->pieces);
  if (n < 0) return -errno;
  return (size_t) n == sent(p) ? 0 : MCQ_ENOTSUP;
}

/* Everything arrives, and in a bundle if those are to be used. */
static int receive(probe_t* p) {
  int rc = send_some(p);
  if (rc != 0) return rc;
  if (!wakes(p)) return MCQ_ENOTSUP;
  for (int i = 0; i < LOOKS && p->got < sent(p) && p->receiving && rc == 0; i++)
    rc = look(p);
  if (rc != 0) return rc;
  if (p->got != sent(p) || !p->receiving)
    return p->end < 0 ? p->end : MCQ_ENOTSUP;
  if (p->bundles && p->widest <= p->buffers->size) return MCQ_ENOTSUP;
  return 0;
}

/* The end of the stream is the end of the receive, and gives all back. */
static int finish(probe_t* p) {
  int rc = 0;
  shutdown(p->pair[0], SHUT_WR);
  for (int i = 0; i < LOOKS && p->receiving && rc == 0; i++) rc = look(p);
  if (rc != 0) return rc;
  if (p->receiving || p->end != 0 || p->buffers->lent != 0) return MCQ_ENOTSUP;
  return 0;
}

static int watch(probe_t* p) {
  p->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (p->epoll < 0) return -errno;
  struct epoll_event event = {.events = EPOLLIN};
  int fd = p->ring->ring_fd;
  return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int run(probe_t* p) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->pair) != 0)
    return -errno;
  int rc = watch(p);
  if (rc == 0) rc = arm(p);
  if (rc == 0) rc = receive(p);
  if (rc == 0) rc = finish(p);
  return rc;
}

int mcq__uring_probe(struct io_uring* ring, mcq__buffers_t* buffers,
                     bool bundles, bool* clean) {
  probe_t p = {
      .ring = ring,
      .buffers = buffers,
      .bundles = bundles,
      .pair = {-1, -1},
      .epoll = -1,
      .pieces = buffers->size / PIECE + 1,
  };
  int rc = run(&p);
  if (p.receiving) finish(&p);
  *clean = !p.receiving;
  if (p.epoll >= 0) close(p.epoll);
  if (p.pair[0] >= 0) close(p.pair[0]);
  if (p.pair[1] >= 0) close(p.pair[1]);
  return rc;
}
