#!/bin/sh
# SPDX-License-Identifier: MIT
# mcqcat as its users run it: two processes of every pair of types, what they
# print and how they leave; mcqperf once through each benchmark.  Whoever binds
# takes a free port and tells it by an event; nobody waits for a clock.
# shellcheck disable=SC2086 # $bounded is three words
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
build=${MCQ_BUILDDIR:-.}
case " ${MCQ_TOOLS-mcqcat mcqperf} " in
  *" mcqcat "*) ;;
  *)
    echo "tools: not built (no jansson)"
    exit 77
    ;;
esac
cat=$(CDPATH='' cd -- "$build" && pwd)/mcqcat
perf=${cat%cat}perf
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
failed=0
test -d "$here" || exit 1

# No signal comes twice with --foreground.
bounded='timeout --foreground 60'

fail() {
  echo "FAILED: $name: $*"
  failed=$((failed + 1))
}

# serve NAME ARGUMENT...: starts a bound mcqcat in the background that reads
# what one writes to descriptor 4 and prints to the file `served`; its events
# are read by `await`.  Sets uri and pid.
serve() {
  name=$1
  shift
  rm -f events input served
  mkfifo events input || exit 1
  $bounded "$cat" -e -b 'tcp://127.0.0.1:*' -t 30000 "$@" \
    <input >served 2>events &
  pid=$!
  exec 4>input 3<events
  await listening
  uri=${line#*\"endpoint\":\"}
  uri=${uri%%\"*}
}

# await EVENT: reads events up to this one, which is then in `line`.
await() {
  while read -r line <&3; do
    case $line in *"\"event\":\"$1\""*) return 0 ;; esac
  done
  fail "no event $1"
  return 1
}

# leave STATUS: no more input; how did it exit?
leave() {
  exec 4>&-
  while read -r line <&3; do :; done
  wait "$pid"
  status=$?
  exec 3<&-
  test $status = "$1" || fail "exit status $status, not $1"
}

# client ARGUMENT...: one that connects, in the foreground, printing to `got`.
client() {
  $bounded "$cat" -c "$uri" -t 30000 "$@" >got 2>said
  status=$?
  test $status = 0 || fail "client: exit status $status: $(cat said)"
}

# printed FILE LINE...: exactly these.
printed() {
  file=$1
  shift
  printf '%s\n' "$@" | cmp -s - "$file" ||
    fail "$file has '$(tr '\n' '|' <"$file")', not '$*'"
}

# ---- one pair of types after the other -----------------------------------------

serve "req and rep" -n 2 rep
printf 'first\nsecond\n' >&4
printf 'one\ntwo\n' | client -n 2 req
leave 0
printed got first second
printed served one two

serve "req and echoing rep" -n 3 --echo -f hex rep
printf '["a"]\n["b","",{"hex":"ff00"}]\n["c"]\n' | client -f json -n 3 req
leave 0
printed got '["a"]' '["b","",{"hex":"ff00"}]' '["c"]'
printed served 61 '62 - ff00' 63

serve "rep without more answers" -n 1 rep
exec 4>&- # leaves unanswered
$bounded "$cat" -c "$uri" -n 1 -t 30000 dealer >got 2>said <<END &
	anybody
END
asker=$!
exec 4>/dev/null
leave 0
kill "$asker"
wait "$asker"
status=$?
test $status = 0 || fail "interrupted client: exit status $status: $(cat said)"
printed served anybody

serve "push and pull" -n 2000 pull
seq 2000 | client push
leave 0
seq 2000 | cmp -s - served || fail "not the same 2000 lines"

serve "pull and a push that waits" push
seq 2000 >&4
client -n 2000 pull
leave 0
seq 2000 | cmp -s - got || fail "not the same 2000 lines"

# Every publisher waits for its subscriber: an event says that it is there.
serve "pub and sub" pub
$bounded "$cat" -c "$uri" -t 30000 -n 3 -s a. -s b. sub >got 2>said &
other=$!
await subscribed
await subscribed
printf 'a.1\nc.1\nb.1\tmore\na\na.2\nb.2\n' >&4
wait "$other" || fail "sub: exit status $?: $(cat said)"
leave 0
printed got a.1 "b.1	more" a.2

serve "pub in a hurry" pub
$bounded "$cat" -c "$uri" -t 30000 -n 20000 -s '' sub >got 2>said &
other=$!
await subscribed
case $line in *'"topic":""'*) ;; *) fail "which topic: $line" ;; esac
seq 20000 >&4
wait "$other" || fail "sub: exit status $?: $(cat said)"
leave 0
seq 20000 | cmp -s - got || fail "not the same 20000 lines"

serve "xpub and sub" -n 2 -f hex xpub
$bounded "$cat" -c "$uri" -t 30000 -n 1 -s weather sub >got 2>said &
other=$!
await subscribed
printf '%s\n' 7765617468657220 >&4
wait "$other" || fail "sub: exit status $?: $(cat said)"
leave 0
printed got 'weather '
printed served 0177656174686572 0077656174686572

serve "pub and xsub" pub
mkfifo asks
$bounded "$cat" -c "$uri" -t 30000 -n 2 -f hex xsub <asks >got 2>said &
other=$!
exec 5>asks
printf '%s\n' 0161 0162 >&5
await subscribed
await subscribed
printf '%s\n' 0062 >&5
await unsubscribed
case $line in *'"topic":"b"'*) ;; *) fail "which topic: $line" ;; esac
printf 'a1\nb1\na2\n' >&4
wait "$other" || fail "xsub: exit status $?: $(cat said)"
exec 5>&-
leave 0
printed got 6131 6132

serve "xsub and xpub" -n 1 xsub
printf '%b\n' '\001x' >&4
printf 'x says\ny says\n' >lines
mkfifo says
$bounded "$cat" -c "$uri" -t 30000 -n 1 -f hex xpub <says >got 2>said &
other=$!
exec 5>says
wait "$other" || fail "xpub: exit status $?: $(cat said)"
exec 5>&-
printed got 0178
kill "$pid"
leave 0

serve "dealer and echoing router" -n 2 --echo -f json router
printf 'x\ty\nz\n' | client -i me -n 2 dealer
leave 0
printed got "x	y" z
printed served '["me","x","y"]' '["me","z"]'

serve "pair and pair" -n 1 pair
echo there >&4
echo here | client -n 1 pair
leave 0
printed got there
printed served here

# ---- ways to leave ---------------------------------------------------------------

# exits STATUS ARGUMENT...: without input.
exits() {
  wanted=$1
  shift
  name="mcqcat $*"
  $bounded "$cat" "$@" </dev/null >got 2>said
  status=$?
  test $status = "$wanted" || fail "exit status $status: $(cat said)"
}

exits 0 --help
test "$(wc -l <got)" -le 24 || fail "more than a screen"
exits 0 --version
exits 2
exits 2 -b 'tcp://127.0.0.1:*' duck
exits 2 -b 'tcp://127.0.0.1:*' -s topic pull
exits 2 -b 'tcp://127.0.0.1:*' -s topic xsub
exits 2 -b 'tcp://127.0.0.1:*' -n 1 pub
exits 2 -b 'tcp://127.0.0.1:*' --echo req
exits 2 --subscribe
exits 2 pull
exits 1 -b 'tcp://256.0.0.1:1' pull
exits 4 -b 'tcp://127.0.0.1:*' -n 1 -t 1 pull
exits 0 -b 'tcp://127.0.0.1:*' pub
exits 0 -b 'tcp://127.0.0.1:*' push
exits 0 -b 'tcp://127.0.0.1:*' --heartbeat-interval 100 --heartbeat-timeout 0 pub
exits 2 -b 'tcp://127.0.0.1:*' --heartbeat-interval soon pub

name="mcqcat --linger=0"
echo lost | $bounded "$cat" -c tcp://127.0.0.1:1 --linger 0 push >got 2>said
test $? = 1 || fail "exit status not 1: $(cat said)"
grep -q '1 messages were not sent' said || fail "said $(cat said)"

# ---- mcqperf ---------------------------------------------------------------------

for mode in throughput latency fanout peers; do
  name="mcqperf $mode"
  peers=
  case $mode in fanout | peers) peers="--peers 3" ;; esac
  # shellcheck disable=SC2086 # one option or none
  $bounded "$perf" $mode --count 200 --rounds 1 --size 64 $peers \
    --backend uv --json >got 2>said || fail "exit status $?: $(cat said)"
  grep -q '"benchmark": "'$mode'"' got || fail "no result"
done

test $failed = 0 || exit 1
echo "tools: all as it should be"
