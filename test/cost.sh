#!/bin/sh
# SPDX-License-Identifier: MIT
# What a match costs in instructions: at a million prefixes not more than four
# times what it costs at a thousand, whatever kind of topic.  Counted, not
# timed, by callgrind; only the matching itself is looked at.
set -u

build=${MCQ_BUILDDIR:-.}
limit=4
small=1000
large=1000000
program=$build/test/hub_prefix
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

skip() {
  echo "callgrind cannot run here: $1"
  exit 77
}
test -n "${MCQ_SANITIZE:-}" && skip "the build has sanitizers"
command -v valgrind >/dev/null 2>&1 || skip "no valgrind"
test -x "$program" || skip "no $program"

# count PREFIXES: a line "KIND INSTRUCTIONS" for each kind of topic.
count() {
  valgrind -q --tool=callgrind --instr-atstart=no \
    --callgrind-out-file="$work/$1" "$program" --cost "$1" \
    >"$work/log" 2>&1
  status=$?
  test $status = 77 && skip "built without its header"
  if test $status != 0; then
    cat "$work/log" >&2
    exit 1
  fi
  for part in "$work/$1".*; do
    awk '/^desc: Trigger: Client Request: / { kind = $NF }
      /^totals: / && kind != "" { print kind, $2 }' "$part"
  done
}

for size in $small $large; do
  (count "$size") >"$work/$size.counts" || {
    status=$?
    cat "$work/$size.counts"
    exit $status
  }
done
cat "$work/$small.counts" "$work/$large.counts" | awk -v limit=$limit '
  !($1 in before) { before[$1] = $2; next }
  {
    seen++
    printf "%s: %.2f times the instructions\n", $1, $2 / before[$1]
    if ($2 < 100000 || before[$1] < 100000) bad = 1 # nothing was measured
    if ($2 > limit * before[$1]) bad = 1
  }
  END { exit bad || seen != 3 }' || {
  tail -n +1 "$work/$small.counts" "$work/$large.counts"
  echo "FAILED: a match costs more than $limit times as much, or nothing"
  exit 1
}
