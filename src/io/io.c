/* SPDX-License-Identifier: MIT */
/* The seat in the user's loop, taken and given up; the sequence of random
 * numbers that goes with it; the list of transports; and what was asked of the
 * kernel.  Called by the
 * context; does no I/O. */
#include <string.h>
#include <sys/random.h>

#include "io/seat.h"
#include "io/space.h"
#include "io/spin.h"

/* ---- random numbers ------------------------------------------------------ */

/* Spreads a seed over 64 bits: one step of splitmix64. */
static uint64_t mix(uint64_t* x) {
  uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* Never blocks: where the system has no random numbers yet, the time since
 * boot in ns and an address are what tells two processes apart. */
static void seed(mcq__io_t* io) {
  uint64_t start = io->seams.seed;
  if (start == 0) {
    size_t size = sizeof io->random;
    ssize_t n = getrandom(io->random, size, GRND_NONBLOCK);
    if (n == (ssize_t) size && (io->random[0] | io->random[1]) != 0) return;
    start = uv_hrtime() ^ (uint64_t) (uintptr_t) io;
  }
  io->random[0] = mix(&start);
  io->random[1] = mix(&start);
}

/* xorshift128+. */
uint64_t mcq__io_random(mcq__io_t* io) {
  uint64_t a = io->random[0];
  uint64_t b = io->random[1];
  uint64_t sum = a + b;
  a ^= a << 23;
  io->random[0] = b;
  io->random[1] = a ^ b ^ a >> 18 ^ b >> 5;
  return sum;
}

/* ---- transports ---------------------------------------------------------- */

static bool serves(const mcq__transport_t* transport, const char* scheme,
                   size_t len) {
  return transport != NULL && strlen(transport->scheme) == len &&
         memcmp(transport->scheme, scheme, len) == 0;
}

const mcq__transport_t* mcq__transport_find(const mcq__io_t* io,
                                            const char* scheme, size_t len) {
  if (serves(io->seams.transport, scheme, len)) return io->seams.transport;
  if (serves(&mcq__transport_tcp, scheme, len)) return &mcq__transport_tcp;
  if (serves(&mcq__transport_ipc, scheme, len)) return &mcq__transport_ipc;
  if (serves(&mcq__transport_inproc, scheme, len))
    return &mcq__transport_inproc;
  return NULL;
}

/* ---- calls --------------------------------------------------------------- */

mcq__calls_t mcq__io_calls(const mcq__io_t* io) {
  mcq__calls_t calls = io->calls;
  calls.turns = io->turn.number;
  return calls;
}

/* ---- open and close ------------------------------------------------------ */

int mcq__io_open(mcq__io_t* io, uv_loop_t* loop, mcq__pool_t* pool,
                 enum mcq__backend_choice choice, const mcq__seams_t* seams) {
  io->loop = loop;
  io->pool = pool;
  io->mem = mcq__pool_mem(pool);
  if (seams != NULL) io->seams = *seams;
  seed(io);
  mcq__turn_open(io);
  mcq__spin_open(io);
  int rc = mcq__quiet_open(io);
  if (rc == 0) rc = mcq__space_enter(io);
  if (rc == 0) rc = mcq__backend_join(io, choice);
  if (rc != 0) mcq__io_left(io);
  return rc;
}

void mcq__io_close(mcq__io_t* io) {
  io->backend->leave(io);
}

void mcq__io_left(mcq__io_t* io) {
  mcq__turn_end(io);
}
