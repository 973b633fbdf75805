#!/bin/sh
# SPDX-License-Identifier: MIT
# What a message costs in instructions, through the whole library: for every
# row of test/budget.c the figure, the functions it goes to, and whether it is
# within 5 % over and 10 % under the one that is pinned in test/cost_messages.pins.
# Counted, not timed, by callgrind; the kernel and the test are not in it.
#
# A row that grew is a loss to be explained or mended; for one that shrank, or
# grew for good reason, move the pins, in the build folder (default flags):
#
#   make test/budget && sh SOURCES/test/cost_messages.sh --pin
#
# Pins hold for one compiler, C library and set of flags, the first line of
# that file.  Elsewhere the figures are printed and not judged.
#
#   MCQ_BUDGET_TOP   functions listed of each row, 10; 0: all
set -u

build=${MCQ_BUILDDIR:-.}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
pins=$here/cost_messages.pins
program=$build/test/budget
top=${MCQ_BUDGET_TOP:-10}
over=5
under=10
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

skip() {
  echo "cannot run here: $1"
  exit 77
}

# setting NAME: as the build was configured.
setting() {
  sed -n "s/^$1 = *//p" "$build/Makefile" 2>/dev/null
}
cc=$(setting CC)
flags=$(setting CFLAGS)
test -n "$cc" || skip "$build is no build folder"
test -n "$(setting MCQ_SANITIZE)" && skip "the build has sanitizers"
command -v valgrind >/dev/null 2>&1 || skip "no valgrind"
test -x "$program" || skip "no $program"

# The compiler by its own words: "gcc 12".
compiler() {
  # shellcheck disable=SC2086 # a compiler may be several words
  $cc -dM -E -x c /dev/null 2>/dev/null | awk '
    $2 == "__clang_major__" { clang = $3 }
    $2 == "__GNUC__" { gcc = $3 }
    END { print clang != "" ? "clang " clang : "gcc " gcc }'
}

# What pins hold for.
identity() {
  defs=
  case " $(setting MCQ_DEFS) " in
    *" -DMCQ_DEBUG "* | *" -DMCQ_NO_POOL "*) defs=", debug" ;;
  esac
  printf '%s, %s, %s, %s%s\n' "$(compiler)" "$(uname -m)" \
    "$(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'other libc')" \
    "$flags" "$defs"
}

# The same everywhere: the C library copies by what the processor has.
GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM
export GLIBC_TUNABLES
valgrind -q --tool=callgrind --instr-atstart=no --compress-strings=no \
  --compress-pos=no --callgrind-out-file="$work/out" "$program" --cost \
  >"$work/rows" 2>"$work/log"
status=$?
test $status = 77 && skip "built without valgrind's header"
if test $status != 0; then
  cat "$work/log" >&2
  exit 1
fi

# functions FILE: lines "INSTRUCTIONS FUNCTION", most first, without the
# test's own.  A cost after "calls=" is the callee's.
functions() {
  awk '
    /^ob=/ { n = split($0, part, "/"); object = part[n]; next }
    /^fl=/ {
      own = $0 ~ /\/test\/(budget|support\/lane)\.c$/
      n = split($0, part, "/")
      place = n > 1 ? part[n] : object
      next
    }
    /^fn=/ {
      name = substr($0, 4)
      sub(/^0x0*/, "0x", name)
      name = name " (" place ")"
      next
    }
    /^calls=/ { callee = 1; next }
    /^[0-9]/ && callee { callee = 0; next }
    /^[0-9]/ && !own { cost[name] += $2 }
    END { for (name in cost) printf "%d %s\n", cost[name], name }' "$1" |
    sort -k1,1nr -k2
}

# All rows: "ROW INSTRUCTIONS-A-MESSAGE", and the lists for people.
for part in "$work"/out.*; do
  row=$(sed -n 's/^desc: Trigger: Client Request: //p' "$part")
  messages=$(awk -v row="$row" '$1 == row { print $2 }' "$work/rows")
  test -n "$messages" || continue
  functions "$part" >"$work/list.$row"
  awk -v n="$messages" '{ sum += $1 } END { printf "%.1f\n", sum / n }' \
    "$work/list.$row" >"$work/cost.$row"
done
while read -r row messages; do
  test -s "$work/cost.$row" || {
    echo "nothing was measured of $row"
    exit 1
  }
  printf '%s %s\n' "$row" "$(cat "$work/cost.$row")" >>"$work/figures"
done <"$work/rows"

if test "${1:-}" = --pin; then
  { identity && cat "$work/figures"; } >"$pins" || exit 1
  echo "pinned in $pins:"
  cat "$pins"
  exit 0
fi

judged=no
test "$(head -n 1 "$pins" 2>/dev/null)" = "$(identity)" && judged=yes
failed=0
while read -r row cost; do
  pin=$(awk -v row="$row" 'NR > 1 && $1 == row { print $2 }' "$pins")
  echo "$row: $cost instructions a message, pinned ${pin:-never}"
  messages=$(awk -v row="$row" '$1 == row { print $2 }' "$work/rows")
  awk -v n="$messages" -v top="$top" '
    top == 0 || NR <= top { printf "%10.1f  %s\n", $1 / n, $2 " " $3 }' \
    "$work/list.$row"
  test $judged = yes || continue
  verdict=$(awk -v cost="$cost" -v pin="${pin:-0}" -v over=$over \
    -v under=$under 'BEGIN {
      if (pin == 0) print "has no pin"
      else if (cost > pin * (1 + over / 100)) print "costs more"
      else if (cost < pin * (1 - under / 100)) print "costs less: move its pin"
    }')
  test -z "$verdict" && continue
  echo "FAILED: $row $verdict"
  echo "  $row $verdict: $cost, pinned ${pin:-never}" >>"$work/failures"
  failed=1
done <"$work/figures"

if test $judged = no; then
  echo "this build:  $(identity)"
  echo "pinned for:  $(head -n 1 "$pins" 2>/dev/null)"
  skip "pins are for another compiler or other flags"
fi
if test $failed != 0; then
  echo "FAILED:"
  cat "$work/failures"
fi
exit $failed
