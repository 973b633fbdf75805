/* SPDX-License-Identifier: MIT */
/* The epoch protocol of the hubs (src/hub/roster.c, router.c), for spin.
 *
 * Two connections share one routing id.  They come up and are lost again and
 * again; a new life either takes a new seat or renews the one its predecessor
 * had.  Free slots are given out again in any order.  Everything a hub does is
 * one atomic step, as it is on the loop's thread; events are late and out of
 * order because whoever carries them is a process of its own: a connection
 * carries its ups, and each down has a messenger that may arrive whenever it
 * likes.  A user keeps a handle for as long as it likes and sends to it.
 *
 * Claims, checked by assertion in every reachable state:
 *   - a handle reaches the life it was issued for, or nobody;
 *   - a stale down changes nothing;
 *   - after up(e) and before down(e), unless a later up took the name over,
 *     the name leads to e's life;
 *   - a routing id has one seat at most between two steps;
 *   - when all is over nothing is left: no seat taken, no name bound.
 *
 * "Life" is ghost state: the hub never looks at it.
 *
 * Mutants, each of which run.sh expects to be caught:
 *   MUTANT_TELL    a send by handle compares the slot only
 *   MUTANT_DOWN    a down compares the slot only
 *   MUTANT_RENEW   a renewal keeps the old epoch
 *   MUTANT_STALE   a renewal by a stale handle is let in
 *   MUTANT_NAME    who leaves takes the name along, whoever has it by then
 *   MUTANT_TWIN    a twin is left in its seat */

/* Lives of either connection.  The first can lose its seat to the second,
 * see its slot taken by a third life and be heard of last. */
#ifndef LIVES_0
#define LIVES_0 3
#endif
#ifndef LIVES_1
#define LIVES_1 2
#endif
#define SLOTS 2 /* a newcomer is seated before its twin leaves */
#define NONE 255

typedef handle {
  byte slot;
  byte epoch /* 0: nobody */
};

typedef seat {
  byte epoch; /* 0: free */
  byte port;  /* the connection that is told */
  byte life   /* ghost: whose turn it is at that connection */
};

seat seats[SLOTS];
byte epochs = 0;       /* the last one given out */
byte name_slot = NONE; /* where the routing id leads */
bool refuse_twins = false;

byte owner[LIVES_0 + LIVES_1 + 1]; /* ghost: the life an epoch was given to */
byte newest = 0;       /* ghost: the life that came up last, until its down */
byte newest_port = 0;  /* ghost: its connection */

#define EXACT(h) (h.epoch != 0 && seats[h.slot].epoch == h.epoch)
#define TAKEN(h) (h.epoch != 0 && seats[h.slot].epoch != 0)

#ifdef MUTANT_TELL
#define TELLS(h) TAKEN(h)
#else
#define TELLS(h) EXACT(h)
#endif
#ifdef MUTANT_DOWN
#define DOWNS(h) TAKEN(h)
#else
#define DOWNS(h) EXACT(h)
#endif
#ifdef MUTANT_STALE
#define RENEWS(h) TAKEN(h)
#else
#define RENEWS(h) EXACT(h)
#endif
#ifdef MUTANT_NAME
#define NAMED(s) true
#else
#define NAMED(s) (name_slot == s)
#endif

/* The name leads to the newest life, at its own connection. */
#define REACHABLE \
  (newest == 0 || (name_slot != NONE && seats[name_slot].epoch != 0 && \
                   seats[name_slot].life == newest && \
                   seats[name_slot].port == newest_port))

/* One routing id, one seat. */
#define ALONE (seats[0].epoch == 0 || seats[1].epoch == 0)

inline stamp(at, who) {
  epochs++;
  seats[at].epoch = epochs;
  owner[epochs] = who
}

/* Takes whoever sits in slot `at` out of everything. */
inline leave(at) {
  if
  :: NAMED(at) -> name_slot = NONE
  :: else
  fi;
  seats[at].epoch = 0;
  seats[at].port = 0;
  seats[at].life = 0
}

/* UP of a newcomer: `h` gets its handle, or zeros when it is refused. */
inline come(h, who, conn) {
  twin = name_slot;
  if
  :: refuse_twins && twin != NONE -> h.slot = 0; h.epoch = 0
  :: else ->
    if
    :: seats[0].epoch == 0 -> h.slot = 0
    :: seats[1].epoch == 0 -> h.slot = 1
    fi;
    stamp(h.slot, who);
    h.epoch = seats[h.slot].epoch;
    seats[h.slot].port = conn;
    seats[h.slot].life = who;
    name_slot = h.slot;
    newest = who;
    newest_port = conn;
#ifndef MUTANT_TWIN
    if
    :: twin != NONE -> leave(twin)
    :: else
    fi
#endif
  fi;
  twin = 0
}

/* UP with a handle: the same seat and port, the next epoch. */
inline renew(h, who, conn) {
  if
  :: RENEWS(h) ->
#ifdef MUTANT_RENEW
    skip;
#else
    stamp(h.slot, who);
    h.epoch = seats[h.slot].epoch;
#endif
    seats[h.slot].life = who;
    name_slot = h.slot;
    newest = who;
    newest_port = conn
  :: else -> h.slot = 0; h.epoch = 0
  fi
}

/* Carries the DOWN of one life to the hub, sooner or later. */
proctype messenger(byte slot; byte epoch; byte who) {
  handle h;
  h.slot = slot;
  h.epoch = epoch;
  atomic {
    if
    :: newest == who -> newest = 0; newest_port = 0
    :: else
    fi;
    if
    :: DOWNS(h) -> leave(h.slot)
    :: else
    fi;
    assert(REACHABLE && ALONE)
  }
}

/* Whatever lives and dies under the one routing id. */
proctype connection(byte me; byte lives; byte first) {
  handle mine;
  byte i = 0;
  byte was = 0;
  byte life = 0;
  byte twin = 0; /* scratch of the hub */
  do
  :: i < lives ->
    i++;
    was = life;
    life = first + i;
    if
    :: mine.epoch != 0 ->
      /* A reconnect in the same seat, and perhaps a down that was already on
       * its way. */
      if
      :: run messenger(mine.slot, mine.epoch, was)
      :: skip
      fi;
      atomic { renew(mine, life, me); assert(REACHABLE && ALONE) }
    :: true ->
      if
      :: mine.epoch != 0 -> run messenger(mine.slot, mine.epoch, was)
      :: else
      fi;
      atomic { come(mine, life, me); assert(REACHABLE && ALONE) }
    fi
  :: else -> break
  od;
  if
  :: mine.epoch != 0 -> run messenger(mine.slot, mine.epoch, life)
  :: else
  fi
}

/* One kept handle is enough: which one it is, and how old, is left open. */
proctype user() {
  handle kept;
  byte issued_to = 0;
  do
  :: atomic {
      name_slot != NONE ->
      kept.slot = name_slot;
      kept.epoch = seats[name_slot].epoch;
      issued_to = owner[kept.epoch]
    }
  :: atomic {
      TELLS(kept) ->
      assert(seats[kept.slot].life == issued_to)
    }
  :: atomic {
      name_slot != NONE ->
      assert(seats[name_slot].epoch != 0);
      assert(newest == 0 || seats[name_slot].life == newest)
    }
  :: break
  od
}

init {
  atomic {
    if
    :: refuse_twins = true
    :: refuse_twins = false
    fi;
    run connection(0, LIVES_0, 0);
    run connection(1, LIVES_1, LIVES_0);
    run user()
  }
  _nr_pr == 1 ->
  assert(seats[0].epoch == 0 && seats[1].epoch == 0);
  assert(name_slot == NONE)
}
