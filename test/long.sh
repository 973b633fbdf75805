#!/bin/sh
# SPDX-License-Identifier: MIT
# `make check-long`: what is worth doing before a release and too long for every
# day.  Each step builds in its own directory under ./long and prints a line; the
# last line is "N passed, N failed": tests, fuzzed targets and builds.
#
#   FUZZ_SECONDS   for each fuzz target, 60
#   FUZZ_SEED      of all of them, 1: the same tree gets the same inputs in the
#                  same order, and only how many depends on the machine; who
#                  explores gives another, 0 for one that is drawn
#   MCQ_SEEDS      how many seeds each test that draws its scenarios gets, 20
#   MCQ_SIMS       how many the whole sockets on a simulated network get, 10000
#   SOAK_SECONDS   how long sockets come and go while memory is watched, 20
#   MCQ_JOBS       at once, 2
#   MCQ_STEPS      which steps, all
#
#   long.sh --list   names the steps
set -u

all_steps="gcc clang asan nopool nouring tsan valgrind seeds sims relay
  restarts link soak fuzz dist"
if test "${1:-}" = --list; then
  # shellcheck disable=SC2086 # on one line
  echo $all_steps
  exit 0
fi

# fuzz TARGET SECONDS SEED SOURCE RESULT: one target of the build in the current
# directory, starting from its corpus.  A process of its own, for xargs.  What
# it draws depends on the order of the files, on what it reads back of its own
# and on addresses: these are always the same.
fuzz() {
  name=${1##*/fuzz_}
  mkdir -p "corpus/$name" || exit 1
  find "$4/test/corpus/$name" -type f | LC_ALL=C sort | paste -sd , - \
    >"corpus/$name.seeds" || exit 1
  setarch -R true 2>/dev/null && still='setarch -R' || still=
  # shellcheck disable=SC2086 # a command of two words
  ASAN_OPTIONS=detect_leaks=1 timeout -k 10 $(($2 + 120)) $still \
    "./$1" -max_total_time="$2" -seed="$3" -reload=0 -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="corpus/$name-" \
    -seed_inputs="@corpus/$name.seeds" "corpus/$name" >"$1.fuzz.log" 2>&1
  status=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$1.fuzz.log")
  if test $status = 0 && test "${runs:-0}" -gt 200; then
    echo "fuzzed: $name, $runs inputs" >>"$5"
  else
    tail -n 40 "$1.fuzz.log"
    echo "FAILED: fuzz_$name: exit status $status, seed $3, ${runs:-no} inputs" \
      >>"$5"
  fi
}
# seed PROGRAM SEED RESULT: the same for a test that draws its scenarios.
seed() {
  here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
  log=$1.seed$2.log
  if MCQ_TEST_SEED=$2 sh "$here/run.sh" "$1" >"$log" 2>&1
  then
    echo "ran: $1, $2" >>"$3"
  else
    tail -n 40 "$log"
    {
      echo "FAILED: $1, MCQ_TEST_SEED=$2"
      tail -n 20 "$log" | sed 's/^/    /'
    } >>"$3"
  fi
}
# play PROGRAM RESULT: one test, as it is set by its surroundings.
play() {
  here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
  name=$(basename "$1")
  log=${2%.result}.$name.log
  sh "$here/run.sh" "$1" >"$log" 2>&1
  status=$?
  case $status in
    0) echo "ran: $name" >>"$2" ;;
    77) echo "skipped: $name: $(grep . "$log" | tail -n 1)" >>"$2" ;;
    *)
      tail -n 40 "$log"
      {
        echo "FAILED: $name: exit status $status"
        tail -n 20 "$log" | sed 's/^/    /'
      } >>"$2"
      ;;
  esac
}
# sims FIRST COUNT RESULT: so many seeds of the simulated network.  One that
# fails ends the program; the others get their turn all the same, unless there
# is no end of it.
sims() {
  here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
  program=test/sim_scenario
  log=${3%.result}.$1.log
  at=$1
  end=$(($1 + $2))
  tries=10
  while test "$at" -lt "$end"; do
    if MCQ_SIM_FIRST=$at MCQ_SIM_SEEDS=$((end - at)) \
      sh "$here/run.sh" $program >"$log" 2>&1; then
      echo "ran: $at to $((end - 1))" >>"$3"
      rm -f "$log"
      break
    fi
    tail -n 20 "$log"
    bad=$(sed -n 's/^replay: MCQ_SIM_FIRST=\([0-9]*\) .*/\1/p' "$log" |
      tail -n 1)
    tries=$((tries - 1))
    if test -z "$bad"; then
      echo "FAILED: $program, a seed from $at to $((end - 1))" >>"$3"
      break
    fi
    {
      echo "FAILED: $program, seed $bad: $(sed -n 's/^sim: //p' "$log" |
        tail -n 1)"
      echo "    replay: MCQ_SIM_FIRST=$bad MCQ_SIM_SEEDS=1 $program"
    } >>"$3"
    at=$((bad + 1))
    test $tries -gt 0 || {
      echo "FAILED: $program, $at to $((end - 1)) not tried any more" >>"$3"
      break
    }
  done
}
case ${1:-} in
  --fuzz | --seed | --play | --sims)
    call=${1#--}
    shift
    $call "$@"
    exit 0
    ;;
esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
src=$(dirname "$here")
jobs=${MCQ_JOBS:-2}
seconds=${FUZZ_SECONDS:-60}
fuzz_seed=${FUZZ_SEED:-1}
seeds=${MCQ_SEEDS:-20}
sims=${MCQ_SIMS:-10000}
SOAK_SECONDS=${SOAK_SECONDS:-20}
export SOAK_SECONDS
unset MAKEFLAGS MFLAGS MAKELEVEL
# Sanitizers take their time, more so on a busy machine.
MCQ_TEST_TIMEOUT=${MCQ_TEST_TIMEOUT:-900}
export MCQ_TEST_TIMEOUT
mkdir -p long && cd long || exit 1
top=$(pwd)
rm -f tally fast.ready
passed=0
failed=0

if test -f "$src/config.status"; then
  echo "long: $src is configured in place; 'make distclean' there first"
  exit 1
fi

# setup OPTIONS...: a fresh build directory, configured, not yet built.
setup() {
  rm -rf "${top:?}/${step:?}" && mkdir "$top/$step" && cd "$top/$step" &&
    "$src/configure" "$@"
}

# run_tests [TEST...]: of the build in the current directory; all of them
# without arguments.  Leaves its tally beside the step's log.
run_tests() {
  if test $# = 0; then
    make -j"$jobs" check
  else
    make -j"$jobs" check TESTS="$*"
  fi
  # shellcheck disable=SC2048,SC2086 # names without blanks
  sh "$here/tally.sh" . $* >"$top/$step.result"
  grep -q '^tally [1-9][0-9]* 0 ' "$top/$step.result"
}

# build VARIABLE=VALUE...: everything, the test programs too.
build() {
  make -j"$jobs" all check TESTS= "$@"
}

# fast: the build of those that take real time or very many turns, made once.
fast() {
  if test -f "$top/fast.ready"; then
    cd "$top/fast" || return 1
    return 0
  fi
  step=fast setup --enable-debug CFLAGS='-g -O2' && build &&
    : >"$top/fast.ready"
}

# conclude: what the lines of this step's result come to.
conclude() {
  result=$top/$step.result
  good=$(grep -c '^ran: ' "$result")
  broken=$(grep -c '^FAILED: ' "$result")
  left_out=$(grep -c '^skipped: ' "$result")
  sed -i '/^ran: /d' "$result"
  echo "tally $good $broken $left_out" >>"$result"
  test $((good + left_out)) -gt 0 && test "$broken" = 0
}

# play_all TEST...: of the build in the current directory, if it has them.
play_all() {
  : >"$top/$step.result"
  for program; do
    if test -f "$program"; then
      echo "$program"
    else
      echo "skipped: $program: not in this build" >>"$top/$step.result"
    fi
  done | xargs -P "$jobs" -I '{}' \
    sh "$here/long.sh" --play '{}' "$top/$step.result"
  conclude
}

# ---- the steps ----------------------------------------------------------------

# What a message costs beside so many connections, where that can be counted.
crowd() {
  MCQ_COST_PEERS="$*" sh "$here/cost_crowd.sh"
  status=$?
  test $status = 0 || test $status = 77
}

# The prefix table beside a naive one, and subscribers that come and go, ten
# times as long as every day; a million messages each way that allocate nothing;
# what ten thousand connections cost, idle and busy, or as many as there are
# descriptors for.
step_gcc() {
  setup CC=gcc && build CFLAGS='-g -O2 -Werror' &&
    MCQ_TEST_STEPS=10000000 sh "$here/run.sh" test/hub_prefix &&
    MCQ_TEST_STEPS=100000 sh "$here/run.sh" test/socket_topics &&
    MCQ_TEST_MESSAGES=1000000 sh "$here/run.sh" test/steady &&
    crowd 1000 10000 &&
    sh "$here/run.sh" test/socket_idle 10000
}

# Older valgrinds cannot read what clang writes about its code by default.
step_clang() {
  setup CC=clang CFLAGS='-gdwarf-4 -O2' &&
    build CFLAGS='-gdwarf-4 -O2 -Werror' && run_tests
}

step_asan() {
  setup --enable-asan --enable-ubsan --enable-debug CFLAGS='-g -O1' &&
    run_tests
}

step_nopool() {
  setup --disable-pool --enable-asan --enable-debug CFLAGS='-g -O1' \
    CPPFLAGS=-DMCQ__URING_WATCHES=0 && run_tests
}

step_nouring() {
  setup --with-uring=no && run_tests
}

# What may be touched by another thread: base, and what is made for threads.
step_tsan() {
  setup --enable-tsan --enable-debug CFLAGS='-g -O1' || return 1
  # Its runtime knows some layouts of addresses only.
  echo 'int main(void) { return 0; }' >probe.c
  ${CC:-cc} -fsanitize=thread probe.c -o probe || return 1
  if ./probe; then
    MCQ_WRAP=
  elif setarch -R ./probe; then
    MCQ_WRAP='setarch -R'
  else
    echo "skipped: the thread sanitizer cannot run here" >"$top/$step.result"
    echo "tally 0 0 1" >>"$top/$step.result"
    return 0
  fi
  export MCQ_WRAP
  MCQ_TEST_MESSAGES=1000000
  export MCQ_TEST_MESSAGES
  run_tests "$(names base_tests) $(names thread_tests)"
}

step_valgrind() {
  setup && make -j"$jobs" all && make -j"$jobs" check-valgrind
  # shellcheck disable=SC2046 # names without blanks
  sh "$here/tally.sh" . $(names unit_tests) >"$top/$step.result"
  grep -q '^tally [1-9][0-9]* 0 ' "$top/$step.result"
}

# The tests that draw their own scenarios, from other seeds than the daily one.
step_seeds() {
  setup --enable-asan --enable-ubsan --enable-debug CFLAGS='-g -O1' &&
    make -j"$jobs" all check TESTS= || return 1
  : >"$top/seeds.result"
  programs=$(names seeded_tests)
  for program in $programs; do
    n=1
    while test $n -le "$seeds"; do
      echo "$program $n"
      n=$((n + 1))
    done
  done | xargs -P "$jobs" -L 1 sh -c \
    'exec sh "$0/long.sh" --seed "$2" "$3" "$1"' "$here" "$top/seeds.result"
  good=$(grep -c '^ran: ' "$top/seeds.result")
  broken=$(grep -c '^FAILED: ' "$top/seeds.result")
  sed -i '/^ran: /d' "$top/seeds.result"
  echo "tally $good $broken 0" >>"$top/seeds.result"
  test "$good" = $(($(echo "$programs" | wc -w) * seeds)) &&
    test "$good" -gt 0
}

# Whole sockets of all types, out of ten thousand seeds; so few at a time that
# what has to be seen in many of them is not asked for.
step_sims() {
  fast || return 1
  : >"$top/sims.result"
  first=1
  each=100
  while test $first -le "$sims"; do
    echo "$first $each"
    first=$((first + each))
  done | xargs -P "$jobs" -L 1 sh -c \
    'exec sh "$0/long.sh" --sims "$2" "$3" "$1"' "$here" "$top/sims.result"
  conclude
}

# Connections through a relay that misbehaves: every row of the table, with
# every pairing, on every back end.
step_relay() {
  fast || return 1
  MCQ_RELAY=all
  export MCQ_RELAY
  play_all test/scenario_relay test/interop_relay
}

# A hundred deaths of every server.
step_restarts() {
  fast || return 1
  MCQ_RESTARTS=100
  export MCQ_RESTARTS
  play_all test/socket_restart test/interop_restart
}

# A network that goes away and comes back.
step_link() {
  fast || return 1
  play_all "$here/link_down.sh"
}

# Sockets of all types come and go; memory and descriptors stay.
step_soak() {
  fast || return 1
  MCQ_TEST_TIMEOUT=$((SOAK_SECONDS + 120))
  play_all test/soak
}

step_fuzz() {
  setup CC=clang --enable-fuzzers --enable-asan --enable-ubsan \
    --enable-debug CFLAGS='-g -O1' &&
    make -j"$jobs" fuzz-programs || return 1
  : >"$top/fuzz.result"
  for target in $(names fuzz_tests); do
    echo "$target"
  done | xargs -P "$jobs" -I '{}' sh "$here/long.sh" --fuzz \
    '{}' "$seconds" "$fuzz_seed" "$src" "$top/fuzz.result"
  fuzzed=$(grep -c '^fuzzed: ' "$top/fuzz.result")
  broken=$(grep -c '^FAILED: ' "$top/fuzz.result")
  echo "tally $fuzzed $broken 0" >>"$top/fuzz.result"
  test "$fuzzed" = "$(names fuzz_tests | wc -w)"
}

step_dist() {
  setup && make -j"$jobs" distcheck
}

# ---- how steps are run ------------------------------------------------------------

# names LIST: of a list in the Makefile of the current build.
names() {
  make -s --no-print-directory list-tests TESTS="\$($1)"
}

for step in ${MCQ_STEPS:-$all_steps}; do
  start=$(date +%s)
  rm -f "$top/$step.result"
  if (eval "step_$step") >"$top/$step.log" 2>&1; then
    word=ok
  else
    word=FAILED
  fi
  counts=$(sed -n 's/^tally //p' "$top/$step.result" 2>/dev/null)
  # A build without tests counts as one; a step that broke off too.
  if test -z "$counts"; then
    test $word = ok && counts="1 0 0" || counts="0 1 0"
  elif test $word = FAILED; then
    # shellcheck disable=SC2086 # three numbers
    set -- $counts
    test "$2" -gt 0 || counts="$1 1 $3"
  fi
  # shellcheck disable=SC2086
  set -- $counts
  passed=$((passed + $1))
  failed=$((failed + $2))
  printf '%-9s %-6s %4s passed %3s failed %3s skipped  %5s s\n' "$step" $word \
    "$1" "$2" "$3" "$(($(date +%s) - start))"
  grep -v '^tally ' "$top/$step.result" 2>/dev/null | sed 's/^/    /'
  if test $word = FAILED; then
    echo "    the end of $top/$step.log:"
    tail -n 40 "$top/$step.log" | sed 's/^/    | /'
  fi
  echo "$step $counts" >>"$top/tally"
done

echo "$passed passed, $failed failed"
test "$failed" = 0
