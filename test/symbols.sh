#!/bin/sh
# SPDX-License-Identifier: MIT
# What the built library shows and needs: the shared library exports exactly
# the functions that monocoque.h declares, and the objects of each room need
# nothing of a room they may not see.
set -u

build=${MCQ_BUILDDIR:-.}
src=${MCQ_SRCDIR:-.}
nm=${NM:-nm}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
LC_ALL=C
export LC_ALL
bad=0

fail() {
  echo "FAILED: $1"
  bad=1
}

# ---- rooms -------------------------------------------------------------------

# symbols FLAGS ROOM...: names in the archives of rooms.
symbols() {
  flags=$1
  shift
  for room in "$@"; do
    test -f "$build/.libs/libmcq_$room.a" || fail "no archive of $room" >&2
    # shellcheck disable=SC2086
    $nm -P $flags "$build/.libs/libmcq_$room.a"
  done | awk 'NF > 1 { print $1 }' | sort -u
}

# room NAME FOREIGN SEEN...: NAME needs only its own and what SEEN define, and
# of the system nothing that FOREIGN matches.
room() {
  name=$1
  foreign=$2
  shift 2
  symbols -u "$name" >"$work/needs"
  symbols '-g --defined-only' "$name" "$@" >"$work/has"
  test -s "$work/has" || fail "$name defines nothing"
  comm -23 "$work/needs" "$work/has" >"$work/missing"
  # shellcheck disable=SC2013 # words are lines here
  for symbol in $(grep -E "^mcq_|$foreign" "$work/missing"); do
    fail "$name needs $symbol, which is not in: $name $*"
  done
}

room base '^(uv|io_uring|zmq)_'
room zmtp '^(uv|io_uring|zmq)_' base
room raw '^(uv|io_uring|zmq)_' base
room hub '^(uv|io_uring|zmq)_' base
room io '^zmq_' base
room actor '^(io_uring|zmq)_' base zmtp hub io
room socket '^(io_uring|zmq)_' base hub io actor
room ctx '^(io_uring|zmq)_' base zmtp raw hub io actor socket
room metrics '^(uv|io_uring|zmq)_' base hub io actor socket ctx

# ---- the shared library -------------------------------------------------------

# Declared functions: what the compiler sees with the attribute on it.
# shellcheck disable=SC2086 # flags are words
${CC:-cc} -E -P -I"$build/include" -I"$src/include" ${UV_CFLAGS:-} \
  "$src/include/monocoque.h" | tr '\n' ' ' | tr ';' '\n' |
  grep 'visibility("default")' |
  sed -n 's/.*visibility("default"))) *//p' |
  sed -n 's/^[^(]*[^a-z0-9_]\(mcq_[a-z0-9_]*\) *(.*/\1/p' |
  sort -u >"$work/declared"
said=$(grep -c '^MCQ_EXTERN ' "$src/include/monocoque.h")
read_=$(wc -l <"$work/declared")
if test "$said" = 0 || test "$said" != "$read_"; then
  fail "monocoque.h says MCQ_EXTERN $said times, $read_ functions read"
fi

library=$build/.libs/libmonocoque.so
if test ! -f "$library"; then
  test $bad = 0 || exit 1
  echo "skipped: no shared library in this build (--disable-shared)"
  exit 77
fi
$nm -P -D --defined-only "$library" | awk '{ print $1 }' | sed 's/@.*//' |
  sort -u >"$work/exported"
# shellcheck disable=SC2013
for symbol in $(grep -vE '^mcq_[^_]' "$work/exported"); do
  fail "exported, but not of the API: $symbol"
done
for symbol in $(comm -23 "$work/declared" "$work/exported"); do
  fail "declared, but not exported: $symbol"
done
for symbol in $(comm -13 "$work/declared" "$work/exported"); do
  fail "exported, but not declared: $symbol"
done
# The other implementation stays on the other side.
if command -v readelf >/dev/null 2>&1; then
  readelf -d "$library" | grep NEEDED >"$work/links"
  grep -q 'libuv\.' "$work/links" || fail "not linked with libuv"
  grep -E 'libzmq|libcmocka' "$work/links" && fail "linked with the above"
  case ${MCQ_DEFS:-} in
    *-DMCQ_HAVE_URING*) ;;
    *) grep 'liburing' "$work/links" && fail "linked with the above" ;;
  esac
fi

test $bad = 0 || exit 1
echo "symbols: $read_ functions, rooms see only what they may"
