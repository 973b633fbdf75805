#!/bin/sh
# SPDX-License-Identifier: MIT
# Searches test/model/epochs.pml exhaustively with spin, then each of its
# mutants, which must be caught.  Needs spin and a C compiler; without spin it
# says so and exits 77.  Works in a temporary directory of its own.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
model=$here/epochs.pml
cc=${CC:-cc}

command -v spin >/dev/null 2>&1 || {
  echo "skipped: spin is not installed"
  exit 77
}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1

fail() {
  echo "FAILED: $1"
  test -f out && cat out
  exit 1
}

# search [spin options]: leaves the verifier's report in "out".
search() {
  rm -f pan* ./*.trail out
  spin "$@" -a "$model" >out 2>&1 || fail "spin does not take the model"
  # shellcheck disable=SC2086 # CC may carry options
  $cc -O2 -w -DSAFETY -DMEMLIM=2048 -o pan pan.c >out 2>&1 ||
    fail "the verifier does not compile"
  ./pan -m10000 >out 2>&1
}

search || fail "the verifier ended with an error"
grep -q 'errors: 0$' out || fail "a claim does not hold"
grep -q '^Full statespace search' out || fail "the search was not exhaustive"
grep -q 'invalid end states.*+' out || fail "end states were not checked"
if grep -qi -e 'search not completed' -e 'max search depth too small' \
  -e 'out of memory' -e 'truncated' -e 'hash-compact' -e 'bit statespace' out
then
  fail "the search was cut short"
fi
grep '^unreached in' out >/dev/null || fail "no report on unreached code"
grep -A1 '^unreached in' out | grep '(' | grep -qv '(0 of ' &&
  fail "some of the model is never reached"
sed -n 's/^ *\([0-9]*\) states, stored$/epochs: holds in all \1 states/p' out

for mutant in TELL DOWN RENEW STALE NAME TWIN; do
  search "-DMUTANT_$mutant"
  grep -q 'assertion violated' out || fail "mutant $mutant is not caught"
  echo "epochs: mutant $mutant is caught"
done
