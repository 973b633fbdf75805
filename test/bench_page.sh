#!/bin/sh
# SPDX-License-Identifier: MIT
# That bench.sh fills the page: every place of a copy of doc/performance.md gets
# its table and its plot, what is promised its ratios, the words stay, and with
# single benchmarks nothing is written.  Next to no messages: no figure matters.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
case " ${MCQ_TOOLS-mcqcat mcqperf} " in
  *" mcqperf "*) ;;
  *)
    echo "bench_page: no mcqperf (no jansson)"
    exit 77
    ;;
esac
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
page=$work/performance.md
before=$here/../doc/performance.md
failed=0

fail() {
  echo "FAILED: $*"
  failed=$((failed + 1))
}

# The page without what stands between markers.
words() {
  awk '/^<!-- \// { skip = 0 } !skip { print } /^<!-- [a-z]/ { skip = 1 }' "$1"
}

# How many tables stand between the markers of $1.
tables() {
  awk -v name="$1" '$0 == "<!-- " name " -->" { on = 1 }
    $0 == "<!-- /" name " -->" { on = 0 }
    on && /^\|--/ { tables++ }
    END { print tables + 0 }' "$page"
}

words "$before" >"$page"
MCQ_QUICK=1 MCQ_DOC=$work sh "$here/bench.sh" >"$work/said" 2>&1 ||
  fail "exit status $?: $(cat "$work/said")"

words "$before" >"$work/words"
words "$page" | cmp -s - "$work/words" || fail "the words have changed"
# shellcheck disable=SC2013 # names have no blanks
for name in $(sed -n 's/^<!-- \([a-z-]*\) -->$/\1/p' "$page"); do
  case $name in
    spin | lateness) continue ;; # not in every build; takes no count
    topics | sharding)
      grep -A 3 "^<!-- $name -->\$" "$page" | grep -q '```text' ||
        fail "no figures at $name"
      continue
      ;;
  esac
  test "$(tables "$name")" = 1 || fail "no table at $name"
  case $name in machine | promised) continue ;; esac
  grep -q "(performance/$name.svg)" "$page" || fail "no plot at $name"
  test -s "$work/performance/$name.svg" || fail "no plot of $name"
done
rows=$(grep -c '^| PUSH/PULL, .* | [0-9.]* | [0-9.]* |' "$page")
test "$rows" = 8 || fail "$rows rows of PUSH/PULL are promised, not 8"

cp "$page" "$work/first"
MCQ_QUICK=1 MCQ_DOC=$work MCQ_ONLY=dealer-router sh "$here/bench.sh" \
  >"$work/said" 2>&1 || fail "exit status $?: $(cat "$work/said")"
cmp -s "$page" "$work/first" || fail "one benchmark has written"
MCQ_QUICK=1 MCQ_DOC=$work MCQ_ONLY=nonsense sh "$here/bench.sh" \
  >"$work/said" 2>&1 && fail "nonsense is a benchmark"

test $failed = 0 || exit 1
echo "bench_page: all as it should be"
