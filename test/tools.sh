#!/bin/sh
# SPDX-License-Identifier: MIT
# mcqcat as its users run it: two processes of every pair of types, and beside
# one that knows nothing of ZeroMQ, what they print and how they leave; mcqperf
# once through each benchmark.  Whoever binds
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

# ---- beside plain TCP ------------------------------------------------------------

# plain listen NUMBER: tells its port, takes one connection, reads so many bytes
# of it to its output, says its input and closes.  plain call PORT NUMBER: says
# its input first, then reads; where less comes the connection has ended.
cat >plain.c <<'END'
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char bytes[65536];

static void pass(int from, int to, long count) {
  while (count > 0) {
    size_t max = count < (long) sizeof bytes ? (size_t) count : sizeof bytes;
    ssize_t n = read(from, bytes, max);
    if (n <= 0) return;
    for (ssize_t at = 0, w; at < n; at += w)
      if ((w = write(to, bytes + at, (size_t) (n - at))) < 0) exit(3);
    count -= n;
  }
}

int main(int argc, char** argv) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t len = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (argc == 3 && strcmp(argv[1], "listen") == 0) {
    if (bind(fd, (struct sockaddr*) &a, len) || listen(fd, 1)) return 1;
    if (getsockname(fd, (struct sockaddr*) &a, &len)) return 1;
    dprintf(2, "%d\n", ntohs(a.sin_port));
    fd = accept(fd, NULL, NULL);
    pass(fd, 1, atol(argv[2]));
    pass(0, fd, 1 << 30);
  } else if (argc == 4) {
    a.sin_port = htons((unsigned short) atoi(argv[2]));
    if (connect(fd, (struct sockaddr*) &a, len)) return 1;
    pass(0, fd, 1 << 30);
    pass(fd, 1, atol(argv[3]));
  }
  return 0;
}
END
${CC:-cc} -o plain plain.c || exit 1

# listens NUMBER: a plain server, whose input is the file `answer`, and what it
# hears goes to `heard`.  Sets port and other.
listens() {
  mkfifo port
  $bounded ./plain listen "$1" <answer >heard 2>port &
  other=$!
  read -r port <port
  rm -f port
}

name="stream as a pipe"
printf 'HTTP/1.0 200 OK\r\n\r\nno newline and a \000 byte' >answer
printf 'GET /\t HTTP/1.0\r\n\r\n' >question
listens 19
$bounded "$cat" -c "tcp://127.0.0.1:$port" -t 30000 stream \
  <question >got 2>said || fail "exit status $?: $(cat said)"
wait "$other" || fail "server: exit status $?"
cmp -s question heard || fail "the server heard '$(cat heard)'"
cmp -s answer got || fail "got '$(cat got)'"

name="stream with much to say"
seq 300000 >question
seq 400000 500000 >answer
listens "$(wc -c <question)"
$bounded "$cat" -c "tcp://127.0.0.1:$port" -t 30000 stream \
  <question >got 2>said || fail "exit status $?: $(cat said)"
wait "$other" || fail "server: exit status $?"
cmp -s question heard || fail "the server heard something else"
cmp -s answer got || fail "got something else"

# comes NUMBER: a plain client that says its input.
comes() {
  $bounded ./plain call "${uri##*:}" "$1" >got 2>said ||
    fail "plain client: exit status $?"
}

# Sets id, of the last event.
id_of_peer() {
  id=${line#*\"peer\":\"}
  id=${id%%\"*}
}

serve "stream that listens" -n 4 stream
printf 'two lines\n\tand\tsome\nrest' >question
comes 8 <question &
other=$!
await peer-up
id_of_peer
printf '%s\t%s\n' "$id" you >&4
printf 'nobody\n' | sed 's/^/00000000ff\t/' >&4
echo all >&4
wait "$other"
printed got you all
await peer-down
printf 'x\n' | comes 0
leave 0
printf '%s\ttwo lines\n%s\t\tand\tsome\n%s\trest\n' "$id" "$id" "$id" >wanted
head -n 3 served | cmp -s wanted - || fail "served has $(cat served)"
test "$(sed -n '4s/^[0-9a-f]*//p' served)" = "	x" || fail "$(cat served)"

serve "echoing stream" --echo -f hex stream
printf 'once more' >question
comes 9 <question
printf 'once more' | cmp -s - got || fail "got '$(cat got)'"
kill "$pid"
leave 0
sed 's/^00[0-9a-f]* //' served | tr -d '\n' >hex
test "$(cat hex)" = 6f6e6365206d6f7265 || fail "served has $(cat served)"

serve "stream that hangs up" -f json stream
comes 1000000 </dev/null &
other=$!
await peer-up
id_of_peer
printf '["","for ","all"]\n[{"hex":"%s"},""]\n' "$id" >&4
wait "$other"
await peer-down
kill "$pid"
leave 0
printf 'for all' | cmp -s - got || fail "got '$(cat got)'"

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
exits 2 -b 'tcp://127.0.0.1:*' -f raw pull
exits 2 -c tcp://127.0.0.1:1 -n 1 stream
exits 1 -c tcp://127.0.0.1:1 stream
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

# Is the file a JSON object?  Whoever links jansson can tell.
cat >object.c <<'END'
#include <jansson.h>
#include <stdio.h>

int main(int argc, char** argv) {
  json_error_t error;
  json_t* o = argc > 1 ? json_load_file(argv[1], 0, &error) : NULL;
  int bad = !json_is_array(json_object_get(o, "rows")) ||
            json_array_size(json_object_get(o, "rows")) == 0;
  if (o == NULL) fprintf(stderr, "line %d: %s\n", error.line, error.text);
  json_decref(o);
  return bad;
}
END
# shellcheck disable=SC2086 # flags
${CC:-cc} ${JANSSON_CFLAGS-} -o object object.c ${JANSSON_LIBS--ljansson} || exit 1

# Are all elements closed, in their order, and is every attribute a string?
is_xml() {
  if command -v xmllint >/dev/null; then
    xmllint --noout "$1"
  else
    tr '\n' ' ' <"$1" | awk 'BEGIN { RS = "<" }
      NR == 1 { next }
      !/>/ || gsub(/"/, "\"") % 2 { exit bad = 1 }
      /^\// { name = substr($1, 2); sub(/>.*/, "", name)
              if (depth == 0 || open[depth--] != name) exit bad = 1; next }
      !/\/>/ { name = $1; sub(/>.*/, "", name); open[++depth] = name }
      END { exit bad || depth != 0 || NR < 2 }'
  fi
}

# perf_fine MODE OPTION...: runs, and says so in each way.
perf_fine() {
  name="mcqperf $*"
  rm -f plot.svg row.md
  # lateness takes no count
  count='--count 200'
  case $1 in lateness) count= ;; esac
  # shellcheck disable=SC2086 # two words or none
  $bounded "$perf" "$@" $count --rounds 2 --size 64 --json \
    --markdown=row.md --plot=plot.svg >got 2>said ||
    fail "exit status $?: $(cat said)"
  ./object got 2>said || fail "no such JSON: $(cat said)"
  grep -q '"benchmark": "'"$1"'"' got || fail "no result"
  grep -q '^| 64 |' row.md || fail "no row: $(cat row.md)"
  is_xml plot.svg 2>said || fail "no such XML: $(cat said)"
  grep -q '<circle' plot.svg || fail "nothing is drawn"
}

perf_fine throughput --backend uv
perf_fine throughput --backend uv --types DEALER-DEALER --transport ipc
perf_fine throughput --backend uv --types DEALER-ROUTER --against raw
perf_fine throughput --backend uv --types PAIR-PAIR
perf_fine latency --backend uv
perf_fine latency --backend uv --spin 20
grep -q '"spin_us": 20' got || fail "does not say so"
perf_fine latency --backend uv --types DEALER-ROUTER --transport ipc --against raw
perf_fine fanout --backend uv --peers 1,3
perf_fine fanout --backend uv --peers 3 --filtered --transport ipc
perf_fine peers --backend uv --peers 1,3
perf_fine peers --backend uv --peers 3 --outstanding 5 --transport ipc
perf_fine inproc
grep -q '"contender": "two-loops"' got || fail "not all ways"

name="mcqperf setup"
$bounded "$perf" setup --count 20 --peers 1,20 --rounds 2 --backend uv --json \
  --plot=plot.svg >got 2>said || fail "exit status $?: $(cat said)"
./object got 2>said || fail "no such JSON: $(cat said)"
test "$(grep -c '"messages_per_second": [1-9]' got)" = 2 || fail "no result"
is_xml plot.svg 2>said || fail "no such XML: $(cat said)"

# Each round once, and the median between the lowest and the highest.
name="mcqperf, figures of the rounds"
$bounded "$perf" peers --peers 2 --count 200 --rounds 3 --backend uv --json \
  >got 2>said || fail "exit status $?: $(cat said)"
awk '
  /^      "messages_per_second":/ { median = $2 + 0 }
  /"ranges": / { part = "ranges" }
  /"rounds": \{/ { part = "rounds" }
  /^        "messages_per_second": \[/ { inside = 1; next }
  inside && /\]/ { inside = 0 }
  inside && part == "ranges" { edge[++edges] = $1 + 0 }
  inside && part == "rounds" { value[++values] = $1 + 0 }
  END {
    if (edges != 2 || values != 3 || median <= 0) exit 1
    if (edge[1] > median || median > edge[2]) exit 1
    for (i = 1; i <= 3; i++) {
      if (value[i] < edge[1] || value[i] > edge[2]) exit 1
      equal += value[i] == median
    }
    exit equal == 0
  }' got || fail "the figures do not fit: $(cat got)"

perf_exits() {
  wanted=$1
  shift
  name="mcqperf $*"
  $bounded "$perf" "$@" --count 2 --rounds 1 >got 2>said
  status=$?
  test $status = "$wanted" || fail "exit status $status: $(cat said)"
}
perf_exits 2 throughput --types REQ-REP
perf_exits 2 latency --types PUSH-PULL
perf_exits 2 fanout --types PUSH-PULL
perf_exits 2 throughput --types PUSH
perf_exits 2 throughput --outstanding 2
perf_exits 2 lateness --transport ipc
perf_exits 2 inproc --spin 20
perf_exits 2 inproc --backend uv
perf_exits 2 inproc --json --markdown
perf_exits 1 inproc --plot /nowhere/to/be/found.svg

# It fails by itself where a message is neither received nor known as dropped.
name="mcqperf fanout --stalled"
$bounded "$perf" fanout --stalled 2 --peers 3 --count 2000 --rounds 1 \
  --backend uv --json >got 2>said || fail "exit status $?: $(cat said)"
grep -q '"ratio_beside_stalled": [0-9]' got || fail "no result"
grep -q '"dropped": [1-9]' got || fail "nothing was dropped: $(cat got)"
$bounded "$perf" peers --stalled 1 >got 2>said
test $? = 2 || fail "exit status not 2: $(cat said)"

test $failed = 0 || exit 1
echo "tools: all as it should be"
