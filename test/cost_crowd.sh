#!/bin/sh
# SPDX-License-Identifier: MIT
# What a message costs beside many connections, in instructions of the library
# and of what it calls, the system's own not among them: with a thousand not
# more than half as much again as with fewer, whether one message is there in a
# turn of the loop or one for each connection.  (That it costs less where a turn
# has more to do is why it is compared with the least of what it did before.)
# Counted by callgrind; see test/cost_peers.c for the plays.
#
#   MCQ_COST_PEERS   numbers of connections, rising, "1 100 1000"
set -u

build=${MCQ_BUILDDIR:-.}
limit=1.5
counts=${MCQ_COST_PEERS:-1 100 1000}
program=$build/test/cost_peers
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

skip() {
  echo "callgrind cannot run here: $1"
  exit 77
}
# Filling memory that is given back would be counted, too.
unset MALLOC_PERTURB_
test -n "${MCQ_SANITIZE:-}" && skip "the build has sanitizers"
command -v valgrind >/dev/null 2>&1 || skip "no valgrind"
test -x "$program" || skip "no $program"

# count CONNECTIONS: a line "PLAY CONNECTIONS INSTRUCTIONS" for each, a message.
count() {
  valgrind -q --tool=callgrind --instr-atstart=no --collect-atstart=no \
    --callgrind-out-file="$work/out.$1" "$program" --cost "$1" \
    >"$work/log" 2>&1
  status=$?
  test $status = 77 && skip "built without its header"
  if test $status != 0; then
    cat "$work/log" >&2
    exit 1
  fi
  for part in "$work/out.$1".*; do
    awk '/^desc: Trigger: Client Request: / { play = $NF }
      /^totals: / && play != "" { print "cost", play, $2 }' "$part"
  done | cat "$work/log" - | awk '
    $1 == "connections" { connections = $2 }
    NF == 2 { messages[$1] = $2 }
    $1 == "cost" { print $2, connections, $3 / messages[$2] }'
}

: >"$work/all"
for connections in $counts; do
  (count "$connections") >"$work/some" || {
    status=$?
    cat "$work/some"
    exit $status
  }
  cat "$work/some" >>"$work/all"
done
awk -v limit=$limit -v counts="$counts" '
  !($1 in line) { plays++; line[$1] = sprintf("%-10s", $1) }
  ($1 in least) && $3 > limit * least[$1] { bad = 1; mark = "  <- too much" }
  {
    seen++
    line[$1] = line[$1] sprintf("%6d: %5.0f%s", $2, $3, mark)
    mark = ""
    if (!($1 in least) || $3 < least[$1]) least[$1] = $3
    if ($3 < 200) bad = 1 # nothing was measured
  }
  END {
    print "connections: instructions a message"
    for (play in line) print line[play] | "sort"
    close("sort")
    exit bad || plays != 7 || seen != 7 * split(counts, all, " ")
  }' "$work/all" || {
  echo "FAILED: more than $limit times the least, or nothing was measured"
  exit 1
}
