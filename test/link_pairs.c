/* SPDX-License-Identifier: MIT */
/* Pulls the cable between two hosts while messages flow, and plugs it in again:
 * pairs of all kinds at once (support/link.h), with each side's end pulled in
 * turn.  With heartbeats both sides notice in time, an endpoint that connects
 * comes back with its queue, and every message arrives or is among those that
 * nobody can be sure of or that were counted as lost.  Without heartbeats a
 * break that is short enough is not noticed at all.
 *
 * The hosts are network namespaces; test/link_down.sh starts this program
 * where it may make them, with itself as root, and the program `ip` at hand.
 * Takes real time, so it is a step of `make check-long`. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/link.h"

#define NEAR "10.99.0.1"
#define FLOW 60u        /* messages that show that a lane is well */
#define QUEUED 30u      /* of these wait for the cable */
#define SHORT_BREAK 700 /* ms; TCP tries again soon enough */
#define SLACK 300       /* ms, for a busy machine */
#define GIVE_UP UINT64_C(25000000000)

static const link_kind_t kinds[] = {
    {"DEALER to ROUTER", MCQ_DEALER, MCQ_ROUTER, .echoes = true,
     .queues = true},
    {"PUSH to PULL", MCQ_PUSH, MCQ_PULL, .queues = true},
    {"PUB to SUB", MCQ_PUB, MCQ_SUB, .echoes = false},
    {"REQ to REP", MCQ_REQ, MCQ_REP, .echoes = true},
};
#define KINDS (sizeof kinds / sizeof *kinds)

typedef enum stage { FLOWING, PULLED, PLUGGED, SETTLING, ENDED } stage_t;

static struct {
  int here, there; /* namespaces */
  link_side_t side;
  link_books_t* all;
  bool pull_far;
  stage_t stage;
  uint64_t begun;             /* the play */
  uint64_t longest;           /* ms until one of them was found dead */
  uint64_t pulled_at;         /* when the cable was */
  uint32_t goal[LINK_LANES];  /* to be heard */
  uint32_t queue[LINK_LANES]; /* to be sent, before it is plugged in */
} d;

/* ---- hosts and the cable ------------------------------------------------- */

static void enter(int ns) {
  if (setns(ns, CLONE_NEWNET) == 0) return;
  perror("setns");
  exit(1);
}

/* A command on that host; its exit status. */
static int run(int ns, const char* command) {
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    enter(ns);
    execl("/bin/sh", "sh", "-c", command, (char*) NULL);
    _exit(127);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void leave_out(const char* why) {
  printf("the cable: %s\n", why);
  exit(77);
}

static void lay_cable(void) {
  char command[128];
  d.here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  assert_true(d.here >= 0);
  if (unshare(CLONE_NEWNET) != 0)
    leave_out("network namespaces cannot run here");
  d.there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  assert_true(d.there >= 0);
  snprintf(command, sizeof command,
           "ip link add far0 type veth peer name near0 netns %d", getpid());
  enter(d.here);
  if (run(d.there, command) != 0)
    leave_out("pairs of virtual network devices cannot run here");
  assert_int_equal(run(d.there, "ip addr add " LINK_FAR "/24 dev far0"), 0);
  assert_int_equal(run(d.here, "ip addr add " NEAR "/24 dev near0"), 0);
  assert_int_equal(run(d.there, "ip link set far0 up"), 0);
  assert_int_equal(run(d.here, "ip link set near0 up"), 0);
}

static void cable(bool in) {
  if (d.pull_far)
    assert_int_equal(
        run(d.there, in ? "ip link set far0 up" : "ip link set far0 down"), 0);
  else
    assert_int_equal(
        run(d.here, in ? "ip link set near0 up" : "ip link set near0 down"), 0);
}

/* ---- lanes --------------------------------------------------------------- */

static bool has_uring(void) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  mcq_ctx_options_t o = {.backend = MCQ_BACKEND_URING};
  assert_int_equal(uv_loop_init(&loop), 0);
  int rc = mcq_ctx_new(&loop, &o, &ctx);
  if (rc == 0) mcq_ctx_close(ctx, NULL);
  (void) uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  if (rc != 0) printf("without io_uring: %s\n", mcq_strerror(rc));
  return rc == 0;
}

static void make_lanes(link_books_t* all, bool uring, bool zmq) {
  all->count = 0;
  for (size_t i = 0; i < KINDS * 8; i++) {
    link_lane_t lane = {.kind = &kinds[i / 8],
                        .backend = i & 1 ? MCQ_BACKEND_URING : MCQ_BACKEND_UV,
                        .zmq = (i & 2) != 0,
                        .far_drives = (i & 4) != 0};
    if ((lane.zmq && !zmq) || (lane.backend == MCQ_BACKEND_URING && !uring))
      continue;
    assert_true(all->count < LINK_LANES);
    all->lanes[all->count++] = lane;
  }
}

static const char* name_of(size_t i) {
  static char text[128];
  const link_lane_t* lane = &d.all->lanes[i];
  snprintf(text, sizeof text, "%s, far side %s %s, %s", lane->kind->name,
           lane->zmq ? "libzmq" : "ours",
           lane->far_drives ? "driving" : "driven",
           lane->backend == MCQ_BACKEND_URING ? "io_uring" : "libuv");
  return text;
}

static void complain(size_t i, const char* what) {
  const link_book_t* b = &d.all->books[i];
  fprintf(stderr,
          "%s: %s: next %u heard %u back %u wrong %u; near %u up %u down, far "
          "%u up %u down; when it went down %u were heard and %u had left; "
          "lost %llu, failed %u; stage %d\n",
          name_of(i), what, atomic_load(&b->ledger.next),
          atomic_load(&b->ledger.heard), atomic_load(&b->ledger.back),
          atomic_load(&b->ledger.wrong), atomic_load(&b->life[0].ups),
          atomic_load(&b->life[0].downs), atomic_load(&b->life[1].ups),
          atomic_load(&b->life[1].downs), atomic_load(&b->heard),
          atomic_load(&b->handed), (unsigned long long) atomic_load(&b->lost),
          atomic_load(&b->failed), (int) d.stage);
}

#define must(i, condition)                          \
  do {                                              \
    if (!(condition)) {                             \
      complain(i, "it should be that " #condition); \
      exit(1);                                      \
    }                                               \
  } while (0)

/* ms from the pulling of the cable to when one side noticed. */
static uint64_t found_after(const link_life_t* life) {
  return (atomic_load(&life->down_at) - d.pulled_at) / 1000000;
}

static uint32_t settled(size_t i) {
  const restart_ledger_t* l = &d.all->books[i].ledger;
  return atomic_load(d.all->lanes[i].kind->echoes ? &l->back : &l->heard);
}

static bool all_of(bool (*is)(size_t i)) {
  for (size_t i = 0; i < d.all->count; i++)
    if (!is(i)) return false;
  return true;
}

static bool near_queues(size_t i) {
  return d.all->lanes[i].kind->queues && !d.all->lanes[i].far_drives;
}

static bool driver_is_ours(size_t i) {
  return !d.all->lanes[i].far_drives || !d.all->lanes[i].zmq;
}

/* ---- what must be so ----------------------------------------------------- */

static void check_never_down(size_t i) {
  const link_book_t* b = &d.all->books[i];
  must(i, atomic_load(&b->life[0].ups) == 1);
  must(i, atomic_load(&b->life[0].downs) == 0);
  if (d.all->lanes[i].zmq) return;
  must(i, atomic_load(&b->life[1].ups) == 1);
  must(i, atomic_load(&b->life[1].downs) == 0);
}

/* Whoever sends has its question stuck behind messages, and what the system
 * still takes of these is no sign of death: it may take longer, once. */
static void check_found(size_t i, bool far) {
  const link_life_t* life = &d.all->books[i].life[far];
  bool drives = d.all->lanes[i].far_drives == far;
  uint64_t gap = atomic_load(&d.all->longest) / 1000000;
  uint64_t limit = LINK_BEAT + LINK_TIMEOUT + SLACK + 2 * gap;
  if (drives) limit += LINK_TIMEOUT;
  must(i, atomic_load(&life->downs) == 1);
  must(i, atomic_load(&life->reason) == MCQ_EHEARTBEAT);
  must(i, atomic_load(&life->down_at) > d.pulled_at);
  must(i, found_after(life) < limit);
  if (found_after(life) > d.longest) d.longest = found_after(life);
}

static void check_back(size_t i) {
  const link_book_t* b = &d.all->books[i];
  must(i, atomic_load(&b->life[0].ups) == 2);
  must(i, atomic_load(&b->life[0].downs) == 1);
  if (d.all->lanes[i].zmq) return;
  must(i, atomic_load(&b->life[1].ups) == 2);
  must(i, atomic_load(&b->life[1].downs) == 1);
}

/* Those that had left and were not heard may have been lost on the way, and
 * those that are counted as lost; no others, and none comes twice. */
static void check_messages(size_t i) {
  const link_book_t* b = &d.all->books[i];
  uint32_t next = atomic_load(&b->ledger.next);
  uint32_t from = atomic_load(&b->heard);
  uint64_t to = atomic_load(&b->handed) + atomic_load(&b->lost);
  uint32_t missing = 0;
  must(i, atomic_load(&b->ledger.wrong) == 0);
  if (!driver_is_ours(i) && d.all->beats) return;
  for (uint32_t k = 0; k < next; k++) {
    uint8_t times = atomic_load(&b->ledger.got[k]);
    must(i, times <= 1);
    if (times == 1) continue;
    must(i, d.all->beats);
    must(i, k >= from && k < to);
    missing++;
  }
  if (near_queues(i)) must(i, atomic_load(&b->lost) == 0);
  if (d.all->lanes[i].kind->driver == MCQ_REQ && driver_is_ours(i))
    must(i, missing <= atomic_load(&b->failed));
}

/* ---- the play ------------------------------------------------------------ */

static bool flows(size_t i) {
  return settled(i) >= d.goal[i];
}

static bool is_found(size_t i) {
  const link_book_t* b = &d.all->books[i];
  return atomic_load(&b->life[0].downs) != 0 &&
         (d.all->lanes[i].zmq || atomic_load(&b->life[1].downs) != 0);
}

static bool has_queued(size_t i) {
  return atomic_load(&d.all->books[i].ledger.next) >= d.queue[i];
}

/* What is under way when nobody drives any more comes to rest.  Messages of
 * libzmq's may have been lost, and the last one's answer with a connection. */
static bool rests(size_t i) {
  const restart_ledger_t* l = &d.all->books[i].ledger;
  if (!driver_is_ours(i) && d.all->beats) return true;
  uint32_t next = atomic_load(&l->next);
  return atomic_load(&l->heard) == next && settled(i) == next;
}

static void pull(void) {
  for (size_t i = 0; i < d.all->count; i++) check_never_down(i);
  cable(false);
  d.pulled_at = uv_hrtime();
  for (size_t i = 0; i < d.all->count; i++) d.queue[i] = 0;
  d.stage = PULLED;
}

static void plug(void) {
  for (size_t i = 0; i < d.all->count; i++)
    d.goal[i] = atomic_load(&d.all->books[i].ledger.next) + FLOW;
  cable(true);
  d.stage = PLUGGED;
}

static void while_pulled(void) {
  if (!d.all->beats) {
    if (uv_hrtime() - d.pulled_at > SHORT_BREAK * UINT64_C(1000000)) plug();
    return;
  }
  if (!all_of(is_found)) return;
  for (size_t i = 0; i < d.all->count; i++) {
    if (d.queue[i] != 0) continue;
    check_found(i, false);
    if (!d.all->lanes[i].zmq) check_found(i, true);
    d.queue[i] = atomic_load(&d.all->books[i].ledger.next);
    if (near_queues(i)) d.queue[i] += QUEUED;
  }
  if (all_of(has_queued)) plug();
}

static void finish(void) {
  for (size_t i = 0; i < d.all->count; i++) {
    if (d.all->beats)
      check_back(i);
    else
      check_never_down(i);
    check_messages(i);
  }
  d.stage = ENDED;
  atomic_store(&d.all->ending, true);
  link_side_close(&d.side);
}

static void check_patience(void) {
  if (uv_hrtime() - d.begun < GIVE_UP) return;
  for (size_t i = 0; i < d.all->count; i++)
    complain(i, flows(i) && rests(i) ? "well" : "waited for in vain");
  exit(1);
}

static void on_tick(link_side_t* side) {
  (void) side;
  check_patience();
  switch (d.stage) {
    case FLOWING:
      if (all_of(flows)) pull();
      break;
    case PULLED:
      while_pulled();
      break;
    case PLUGGED:
      if (!all_of(flows)) break;
      atomic_store(&d.all->driving, false);
      d.stage = SETTLING;
      break;
    case SETTLING:
      if (all_of(rests)) finish();
      break;
    case ENDED:
      break;
  }
}

static pid_t send_over(int (*life)(link_books_t*)) {
  pid_t parent = getpid();
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(3);
  enter(d.there);
  _exit(life(d.all));
}

static void join(pid_t child) {
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void report(void) {
  uint64_t sent = 0;
  uint64_t missing = 0;
  for (size_t i = 0; i < d.all->count; i++) {
    const link_book_t* b = &d.all->books[i];
    uint32_t next = atomic_load(&b->ledger.next);
    sent += next;
    for (uint32_t k = 0; k < next; k++)
      missing += atomic_load(&b->ledger.got[k]) == 0;
  }
  printf("%s, %s end pulled: %zu pairs, %llu messages, %llu missing",
         d.all->beats ? "heartbeats" : "no heartbeats",
         d.pull_far ? "far" : "near", d.all->count, (unsigned long long) sent,
         (unsigned long long) missing);
  if (d.all->beats)
    printf(", all found dead after %llu ms", (unsigned long long) d.longest);
  printf(" (%.1f s)\n", (double) (uv_hrtime() - d.begun) / 1e9);
}

static void play(bool beats, bool pull_far, bool uring) {
  memset(d.all, 0, sizeof *d.all);
  make_lanes(d.all, uring, link_has_zmq());
  d.all->beats = beats;
  d.pull_far = pull_far;
  d.stage = FLOWING;
  d.longest = 0;
  d.begun = uv_hrtime();
  for (size_t i = 0; i < d.all->count; i++) d.goal[i] = FLOW;
  pid_t ours = send_over(link_far_ours);
  pid_t theirs = link_has_zmq() ? send_over(link_far_zmq) : 0;
  link_side_open(&d.side, d.all, false);
  d.side.on_tick = on_tick;
  atomic_store(&d.all->driving, true);
  assert_int_equal(uv_run(&d.side.loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&d.side.loop), 0);
  join(ours);
  if (theirs != 0) join(theirs);
  report();
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  void* memory = mmap(NULL, sizeof *d.all, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  assert_true(memory != MAP_FAILED);
  d.all = (link_books_t*) memory;
  bool uring = has_uring();
  lay_cable();
  for (int i = 0; i < 4; i++) play(i < 2, i % 2 == 1, uring);
  return 0;
}
