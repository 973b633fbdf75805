/* SPDX-License-Identifier: MIT */
/* Looking for input for a while before sleeping: when, and when not.  While it
 * does the loop goes round without sleep and polls for everybody, so that
 * nobody who shares it waits for us; the turn does that, here it is decided.
 * Never waits, never polls, never allocates.
 *
 * Nothing that comes after the limit, or not at all, is worth a core.  So this
 * gives up when it misses by a few more than it hits; and as one cannot see
 * what would have been while one sleeps, it tries again when waking up came
 * soon after falling asleep, and each time in vain it wants to see more of
 * that. */
#include "io/spin.h"

#include <sched.h>

/* So many more misses than hits, and it gives up. */
#define MISSES_MAX 4

/* A sleep is short when it lasts no longer than the limit and this, ns: what
 * comes late because the peer and we both had to be woken. */
#define WAKING ((uint64_t) 150000)

/* Short sleeps between two tries, at most: then no more than a few hundredths
 * of the time are lost however misleading they are. */
#define SHY_MAX 256

/* On one CPU a peer in this machine cannot answer while we look.  More CPUs
 * than fit into the set are certainly more than one. */
static bool alone(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) <= 1;
}

void mcq__spin_open(mcq__io_t* io) {
  mcq__spin_t* spin = &io->turn.spin;
  spin->next_shy = 1;
  if (io->spin_us == 0 || alone()) return;
  /* A clock that only the test moves would never end it. */
  if (io->seams.clock != NULL && io->seams.spin_clock == NULL) return;
  spin->limit = (uint64_t) io->spin_us * 1000;
}

static uint64_t now_ns(const mcq__io_t* io) {
  if (io->seams.spin_clock != NULL)
    return io->seams.spin_clock(io->seams.clock_arg);
  return uv_hrtime();
}

/* Nobody waits for anything of ours, or what would come is the parent's. */
static bool pointless(const mcq__io_t* io) {
  return io->turn.keep == 0 || io->forked;
}

/* What a miss costs a hit saves, so it shall be more hits than misses. */
static void miss(mcq__spin_t* spin) {
  spin->until = 0;
  if (++spin->misses < MISSES_MAX) return;
  spin->misses = 0;
  spin->shy = spin->next_shy;
  if (spin->next_shy < SHY_MAX) spin->next_shy *= 2;
}

static void hit(mcq__spin_t* spin) {
  if (spin->misses != 0)
    spin->misses--;
  else if (spin->next_shy > 1)
    spin->next_shy /= 2;
}

static void woken(mcq__spin_t* spin, uint64_t now) {
  bool brief = now - spin->since <= spin->limit + WAKING;
  spin->since = 0;
  if (brief && spin->shy != 0) spin->shy--;
}

bool mcq__spin_look(mcq__io_t* io) {
  mcq__spin_t* spin = &io->turn.spin;
  bool came = spin->came || io->turn.taken.bytes != 0;
  uint64_t now = now_ns(io);
  spin->came = false;
  if (pointless(io)) {
    spin->until = 0;
    return false;
  }
  if (came) {
    if (spin->until != 0) now < spin->until ? hit(spin) : miss(spin);
    if (spin->since != 0) woken(spin, now);
    spin->until = spin->shy == 0 ? now + spin->limit : 0;
  } else if (spin->until != 0 && now >= spin->until) {
    miss(spin);
  }
  if (spin->until == 0 && spin->since == 0) spin->since = now;
  return spin->until != 0;
}
