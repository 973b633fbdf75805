#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one test for `make check`: sets its surroundings, gives it two minutes
# and says so when they were not enough.  Exit status: the test's (0 passed,
# 77 skipped); 124 and 137 are time-outs.
#
#   MCQ_TEST_TIMEOUT   seconds, 120
#   MCQ_WRAP           a command to run programs under (valgrind ...)
set -u

prog=$1
shift
name=$(basename "$prog")
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
MCQ_SRCDIR=$(dirname "$here")
MCQ_BUILDDIR=$(pwd)
export MCQ_SRCDIR MCQ_BUILDDIR
seconds=${MCQ_TEST_TIMEOUT:-120}

# Whatever is used after free or before it was set should be seen to be wrong.
MALLOC_PERTURB_=${MALLOC_PERTURB_:-165}
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}
UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
export MALLOC_PERTURB_ ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

case $name in
  *.sh) set -- "${SHELL:-/bin/sh}" "$prog" "$@" ;;
  fuzz_*)
    corpus=$MCQ_SRCDIR/test/corpus/${name#fuzz_}
    if test ! -d "$corpus"; then
      echo "no corpus: $corpus"
      exit 1
    fi
    # A libFuzzer program would go on for ever by itself.
    case ${MCQ_SANITIZE:-} in *fuzzer*) set -- -runs=0 "$@" ;; esac
    # shellcheck disable=SC2086 # a wrapper may carry options
    set -- ${MCQ_WRAP:-} "$prog" "$@" "$corpus"
    ;;
  *)
    # shellcheck disable=SC2086
    set -- ${MCQ_WRAP:-} "$prog" "$@"
    ;;
esac

timeout -k 10 "$seconds" "$@" </dev/null
status=$?
case $status in
  124 | 137) echo "$name: not done after $seconds s" ;;
esac
exit $status
