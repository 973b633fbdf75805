/* SPDX-License-Identifier: MIT */
/* Failing system calls (see fault_calls.h).  Each function here either fails
 * as told or is the next one of its name; none does anything else.  A request
 * of the ring fails for real: it is turned into one that does nothing and is
 * answered by the kernel with the error. */
#include "support/fault_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#ifdef MCQ_HAVE_URING
#include <liburing.h>
#endif

#define SEEN __attribute__((visibility("default")))

/* Lookups come from other threads. */
static atomic_uint armed; /* a fault_call_t */
static atomic_uint calls;
static atomic_uint hits;
static unsigned from, until;
static int code;
static unsigned long polled;

void fault_arm(fault_call_t call, unsigned first, unsigned count, int error) {
  from = first;
  until = first + count;
  code = error;
  atomic_store(&calls, 0);
  atomic_store(&hits, 0);
  atomic_store(&armed, (unsigned) call);
}

void fault_disarm(void) {
  atomic_store(&armed, FAULT_NONE);
}

unsigned fault_hits(void) {
  return atomic_load(&hits);
}

unsigned long fault_polled(void) {
  return polled;
}

static bool strikes(fault_call_t call) {
  if (atomic_load(&armed) != (unsigned) call) return false;
  unsigned n = atomic_fetch_add(&calls, 1) + 1;
  if (n < from || n >= until) return false;
  atomic_fetch_add(&hits, 1);
  return true;
}

/* The next definition of `name`, in `*slot` of whatever function type. */
static void find(void* slot, size_t size, const char* name) {
  void* symbol = dlsym(RTLD_NEXT, name);
  memcpy(slot, &symbol, size);
}

#define NEXT(type, name) \
  static type next;      \
  if (next == NULL) find(&next, sizeof next, #name)

#define FAIL_IF(call)  \
  if (strikes(call)) { \
    errno = code;      \
    return -1;         \
  }

/* ---- sockets ------------------------------------------------------------- */

typedef int (*three_ints_fn)(int, int, int);
typedef int (*name_fn)(int, struct sockaddr*, socklen_t*);
typedef int (*to_fn)(int, const struct sockaddr*, socklen_t);

SEEN int socket(int family, int type, int protocol) {
  NEXT(three_ints_fn, socket);
  FAIL_IF(FAULT_SOCKET)
  return next(family, type, protocol);
}

typedef int (*pair_fn)(int, int, int, int[2]);

SEEN int socketpair(int family, int type, int protocol, int pair[2]) {
  NEXT(pair_fn, socketpair);
  FAIL_IF(FAULT_SOCKETPAIR)
  return next(family, type, protocol, pair);
}

SEEN int bind(int fd, const struct sockaddr* to, socklen_t size) {
  NEXT(to_fn, bind);
  FAIL_IF(FAULT_BIND)
  return next(fd, to, size);
}

typedef int (*two_ints_fn)(int, int);

SEEN int listen(int fd, int backlog) {
  NEXT(two_ints_fn, listen);
  FAIL_IF(FAULT_LISTEN)
  return next(fd, backlog);
}

SEEN int getsockname(int fd, struct sockaddr* name, socklen_t* size) {
  NEXT(name_fn, getsockname);
  FAIL_IF(FAULT_GETSOCKNAME)
  return next(fd, name, size);
}

SEEN int getpeername(int fd, struct sockaddr* name, socklen_t* size) {
  NEXT(name_fn, getpeername);
  FAIL_IF(FAULT_GETPEERNAME)
  return next(fd, name, size);
}

typedef int (*set_fn)(int, int, int, const void*, socklen_t);

SEEN int setsockopt(int fd, int level, int option, const void* value,
                    socklen_t size) {
  NEXT(set_fn, setsockopt);
  FAIL_IF(FAULT_SETSOCKOPT)
  return next(fd, level, option, value, size);
}

typedef int (*get_fn)(int, int, int, void*, socklen_t*);

SEEN int getsockopt(int fd, int level, int option, void* value,
                    socklen_t* size) {
  NEXT(get_fn, getsockopt);
  FAIL_IF(FAULT_GETSOCKOPT)
  return next(fd, level, option, value, size);
}

/* A connect that fails has not begun. */
SEEN int connect(int fd, const struct sockaddr* to, socklen_t size) {
  NEXT(to_fn, connect);
  FAIL_IF(FAULT_CONNECT)
  return next(fd, to, size);
}

typedef int (*accept_fn)(int, struct sockaddr*, socklen_t*, int);

SEEN int accept4(int fd, struct sockaddr* name, socklen_t* size, int flags) {
  NEXT(accept_fn, accept4);
  FAIL_IF(FAULT_ACCEPT)
  return next(fd, name, size, flags);
}

typedef int (*fcntl_fn)(int, int, ...);

/* No caller here has an argument wider than a long. */
SEEN int fcntl(int fd, int command, ...) {
  NEXT(fcntl_fn, fcntl);
  va_list more;
  va_start(more, command);
  long argument = va_arg(more, long);
  va_end(more);
  FAIL_IF(FAULT_FCNTL)
  return next(fd, command, argument);
}

/* ---- bytes --------------------------------------------------------------- */

typedef ssize_t (*recv_fn)(int, void*, size_t, int);
typedef ssize_t (*sendmsg_fn)(int, const struct msghdr*, int);

SEEN ssize_t recv(int fd, void* data, size_t len, int flags) {
  NEXT(recv_fn, recv);
  FAIL_IF(FAULT_RECV)
  return next(fd, data, len, flags);
}

SEEN ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  NEXT(sendmsg_fn, sendmsg);
  FAIL_IF(FAULT_SENDMSG)
  return next(fd, message, flags);
}

/* ---- polling ------------------------------------------------------------- */

SEEN int epoll_create1(int flags) {
  typedef int (*create_fn)(int);
  NEXT(create_fn, epoll_create1);
  FAIL_IF(FAULT_EPOLL_CREATE)
  return next(flags);
}

static int reported(int n) {
  if (n > 0) polled += (unsigned long) n;
  return n;
}

typedef int (*wait_fn)(int, struct epoll_event*, int, int);
typedef int (*pwait_fn)(int, struct epoll_event*, int, int, const sigset_t*);

SEEN int epoll_wait(int fd, struct epoll_event* events, int max, int ms) {
  NEXT(wait_fn, epoll_wait);
  return reported(next(fd, events, max, ms));
}

SEEN int epoll_pwait(int fd, struct epoll_event* events, int max, int ms,
                     const sigset_t* mask) {
  NEXT(pwait_fn, epoll_pwait);
  return reported(next(fd, events, max, ms, mask));
}

/* ---- names --------------------------------------------------------------- */

typedef int (*lookup_fn)(const char*, const char*, const struct addrinfo*,
                         struct addrinfo**);

static pthread_mutex_t hang_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hang_over = PTHREAD_COND_INITIALIZER;
static bool hangs;
static unsigned hanging;

void fault_hang_lookups(bool on) {
  pthread_mutex_lock(&hang_lock);
  hangs = on;
  pthread_cond_broadcast(&hang_over);
  pthread_mutex_unlock(&hang_lock);
}

unsigned fault_hanging(void) {
  pthread_mutex_lock(&hang_lock);
  unsigned n = hanging;
  pthread_mutex_unlock(&hang_lock);
  return n;
}

static void hang(void) {
  pthread_mutex_lock(&hang_lock);
  hanging++;
  while (hangs) pthread_cond_wait(&hang_over, &hang_lock);
  hanging--;
  pthread_mutex_unlock(&hang_lock);
}

SEEN int getaddrinfo(const char* host, const char* port,
                     const struct addrinfo* hints, struct addrinfo** out) {
  NEXT(lookup_fn, getaddrinfo);
  hang();
  if (!strikes(FAULT_LOOKUP)) return next(host, port, hints, out);
  errno = EMFILE; /* behind EAI_SYSTEM */
  return code;
}

/* ---- the ring ------------------------------------------------------------ */

#ifdef MCQ_HAVE_URING

/* Not in the headers of liburing 2.3: the answer is `len`. */
#define NOP_INJECT_RESULT 1U

typedef int (*ring_fn)(struct io_uring*);
typedef int (*setup_fn)(unsigned, struct io_uring*, struct io_uring_params*);
typedef int (*register_fn)(struct io_uring*, struct io_uring_buf_reg*,
                           unsigned);

SEEN int io_uring_queue_init_params(unsigned entries, struct io_uring* ring,
                                    struct io_uring_params* params) {
  NEXT(setup_fn, io_uring_queue_init_params);
  return strikes(FAULT_RING_SETUP) ? -code : next(entries, ring, params);
}

SEEN int io_uring_register_buf_ring(struct io_uring* ring,
                                    struct io_uring_buf_reg* reg,
                                    unsigned flags) {
  NEXT(register_fn, io_uring_register_buf_ring);
  return strikes(FAULT_RING_REGISTER) ? -code : next(ring, reg, flags);
}

static void answer_with(struct io_uring_sqe* sqe, int error) {
  uint64_t token = sqe->user_data;
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = IORING_OP_NOP;
  sqe->fd = -1;
  sqe->len = (uint32_t) -error;
  sqe->rw_flags = (int) NOP_INJECT_RESULT;
  sqe->user_data = token;
}

/* The requests that the kernel has not been told of yet. */
static void spoil(struct io_uring* ring) {
  struct io_uring_sq* sq = &ring->sq;
  for (unsigned i = sq->sqe_head; i != sq->sqe_tail; i++) {
    struct io_uring_sqe* sqe = &sq->sqes[i & sq->ring_mask];
    bool cancel = sqe->opcode == IORING_OP_ASYNC_CANCEL;
    if (strikes(cancel ? FAULT_RING_CANCEL : FAULT_RING_REQUEST))
      answer_with(sqe, code);
  }
}

SEEN int io_uring_submit(struct io_uring* ring) {
  NEXT(ring_fn, io_uring_submit);
  if (strikes(FAULT_RING_ENTER)) return -code;
  spoil(ring);
  return next(ring);
}

bool fault_can_fail_requests(void) {
  struct io_uring ring;
  struct io_uring_params params = {0};
  struct io_uring_cqe* answer;
  if (io_uring_queue_init_params(2, &ring, &params) != 0) return false;
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  sqe->user_data = 1;
  answer_with(sqe, EIO);
  bool can = io_uring_submit(&ring) == 1 &&
             io_uring_wait_cqe(&ring, &answer) == 0 && answer->res == -EIO;
  io_uring_queue_exit(&ring);
  return can;
}

#else

bool fault_can_fail_requests(void) {
  return false;
}

#endif
