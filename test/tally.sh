#!/bin/sh
# SPDX-License-Identifier: MIT
# What became of the tests of a build directory after `make check`: a line for
# each that did not pass, with the reason a test gives for being skipped or, of
# one that failed, the first complaints and the end of its log, and at last "tally PASSED FAILED SKIPPED".  A test without a
# result has failed: it should have run.
#
#   tally.sh BUILD [TEST...]     without tests: all that the build has
set -u

cd "$1" || exit 1
shift
test $# -gt 0 || {
  # shellcheck disable=SC2046 # names without blanks
  set -- $(MAKEFLAGS='' make -s --no-print-directory list-tests)
}
passed=0
failed=0
skipped=0
for name in "$@"; do
  base=${name%.sh}
  result=$(sed -n 's/^:global-test-result: //p' "$base.trs" 2>/dev/null)
  case $result in
    PASS) passed=$((passed + 1)) ;;
    SKIP)
      skipped=$((skipped + 1))
      echo "skipped: $name: $(grep -v '^SKIP ' "$base.log" |
        grep . | tail -n 1)"
      ;;
    '')
      failed=$((failed + 1))
      echo "FAILED: $name: did not run"
      ;;
    *)
      failed=$((failed + 1))
      echo "FAILED: $name: see $(pwd)/$base.log"
      # A leak that the failure left behind may fill all of the end.
      {
        grep -a -m 6 -E '^ERROR: |ERROR   \]|LINE   \]|: runtime error' \
          "$base.log"
        echo ...
        tail -n 25 "$base.log"
      } | sed 's/^/    | /'
      ;;
  esac
done
if test $((passed + failed + skipped)) = 0; then
  failed=1
  echo "FAILED: no tests at all"
fi
echo "tally $passed $failed $skipped"
