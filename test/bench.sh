#!/bin/sh
# SPDX-License-Identifier: MIT
# All benchmarks in one go, which takes some ten minutes on two cores: the
# tables in doc/performance.md (between its markers; the words around them are
# written by hand), beside it in doc/performance/ a plot of each, and in the
# build directory, in bench/, what the single rounds found, as JSON.  `make
# bench` runs it there; nothing else should run meanwhile.
#
#   MCQ_ROUNDS     runs of each contender in each case, 7; of round trips three
#                  times as many, for there a twentieth counts
#   MCQ_ONLY       names of single benchmarks ("throughput ipc"), for a look:
#                  they are printed, and nothing is written, as all that stands
#                  in the page shall be of one run
#   MCQ_DOC        where performance.md is, the source tree's doc
#   MCQ_QUICK      not empty: next to no messages, to try this script out;
#                  writes where MCQ_DOC says, or else nothing
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
build=$(CDPATH='' cd -- "${MCQ_BUILDDIR:-.}" && pwd) || exit 1
doc=$(CDPATH='' cd -- "${MCQ_DOC:-$here/../doc}" && pwd) || exit 1
rounds=${MCQ_ROUNDS:-7}
perf=$build/mcqperf
page=$doc/performance.md
out=$doc/performance
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
LC_ALL=C
export LC_ALL

stop() {
  echo "bench: $*" >&2
  exit 1
}
test -x "$perf" || stop "no mcqperf here (without jansson it is not built)"
writes=yes
test -z "${MCQ_ONLY:-}" || writes=no
test -z "${MCQ_QUICK:-}" || test -n "${MCQ_DOC:-}" || writes=no
if test $writes = yes; then
  test -w "$page" || stop "$page: cannot be written"
  mkdir -p "$out" || exit 1
fi

# ---- the measurements ----------------------------------------------------------

began=$(date +%s)
load=$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null)
sizes=8,64,256,1024,4096,16384,65536,1048576
many=64,1000
most=1000
publics=1,10,100,1000
topics=1000000
seconds='--seconds 3'
few=
if test -n "${MCQ_QUICK:-}"; then
  rounds=1
  sizes=8,64 many=3,4 most=3 publics=1,3
  few='--count 50'
  topics= seconds=
fi
rivals=raw
without_raw=
if "$perf" inproc --count 2 --rounds 1 | grep -q libzmq; then
  rivals=libzmq,raw
  without_raw='--against libzmq'
fi

# wanted NAME: unless others are asked for.
wanted() {
  case " ${MCQ_ONLY:-$1} " in
    *" $1 "*) ;;
    *) return 1 ;;
  esac
}

bench() {
  name=$1
  shift
  wanted "$name" || return 0
  # shellcheck disable=SC2086 # words
  "$perf" "$@" --rounds "$rounds" $few "--json=$work/$name.json" \
    "--markdown=$work/$name.md" "--plot=$work/$name.svg" ||
    stop "$name failed"
  echo
  printf '\n![%s](performance/%s.svg)\n' "$name" "$name" >>"$work/$name.md"
}

# says NAME WORDS...: of a program that is not mcqperf, the lines with figures.
says() {
  name=$1
  shift
  wanted "$name" || return 0
  "$@" >"$work/$name.txt" || stop "$name failed"
  {
    echo '```text'
    grep '[0-9]' "$work/$name.txt" | grep -v '^\['
    echo '```'
  } | tee "$work/$name.md"
  echo
}

# shellcheck disable=SC2086 # words
{
  bench throughput throughput --size $sizes --against $rivals
  bench dealer-router throughput --types DEALER-ROUTER --size 64 $without_raw
  bench ipc throughput --transport ipc --size 64,16384 --against $rivals
  rounds=$((rounds * 3))
  bench latency latency --size 64,1024 --against $rivals
  rounds=$((rounds / 3))
  case $("$perf" --help) in
    *--spin=*) bench spin latency --spin 50 --size 64 --against $rivals ;;
  esac
  bench peers peers --peers $many $without_raw
  bench outstanding peers --peers $most --outstanding 16 $without_raw
  bench fanout fanout --peers $publics $without_raw
  bench filtered fanout --filtered --peers $publics $without_raw
  bench inproc inproc
  test -n "$few" || bench lateness lateness
  bench setup setup --peers 1,$most $without_raw
  says topics "$build/test/bench_topics" $topics
  says sharding "$build/samples/sharding" $seconds
}
test -n "$(find "$work" -name '*.md')" ||
  stop "no benchmark has such a name: $MCQ_ONLY"

# ---- the ratios, and what was promised ------------------------------------------

# figures NAME: "size peers contender /libzmq min max /raw" of each row.
figures() {
  test ! -f "$work/$1.json" || awk -v name="$1" '
    function number(text) { gsub(/[^-+0-9.e]/, "", text); return text }
    function flush() {
      if (size != "")
        print name, size, peers, who, ratio, low, high, raw
      size = ""
    }
    /^      "size":/ {
      flush()
      size = number($2); peers = 0; ratio = low = high = raw = "-"
    }
    /^      "peers":/ { peers = number($2) }
    /^      "contender":/ { who = $2; gsub(/[",]/, "", who) }
    /^      "ratio_to_libzmq":/ { ratio = number($2) }
    /^      "ratio_to_raw":/ { raw = number($2) }
    /^      "ratio_to_libzmq_range":/ {
      getline low; low = number(low)
      getline high; high = number(high)
    }
    END { flush() }' "$work/$1.json"
}

for name in throughput dealer-router ipc latency spin peers outstanding fanout \
  inproc; do
  figures "$name"
done >"$work/figures"

# NAME|SIZE|PEERS|KIND|FLOOR|GOAL|TEXT.  KIND: times as good as libzmq, or "raw"
# for how many times the time of the plain stream.  A contender's name: it alone.
cat >"$work/promises" <<'END'
throughput|8|0||6|10|PUSH/PULL, 8 B
throughput|64|0||6|9|PUSH/PULL, 64 B
throughput|256|0||5|7|PUSH/PULL, 256 B
throughput|1024|0||4|5|PUSH/PULL, 1 KiB
throughput|4096|0||4|5|PUSH/PULL, 4 KiB
throughput|16384|0||4.5|5.5|PUSH/PULL, 16 KiB
throughput|65536|0||2.5|3|PUSH/PULL, 64 KiB
throughput|1048576|0||1.1|1.4|PUSH/PULL, 1 MiB
dealer-router|64|0||5|8|DEALER/ROUTER one way, 64 B
latency|64|0||1.4|-|REQ/REP, 64 B, sleeping
latency|64|0|raw|1.1|1.05|the same, times plain TCP (less is better)
spin|64|0||7|9|REQ/REP, 64 B, spinning up to 50 us
peers|64|64||2|2.6|echo, 64 connections, 1 under way
peers|64|1000||2|2.5|echo, 1000 connections, 1 under way
outstanding|64|1000||2.6|3.1|echo, 1000 connections, 16 under way
fanout|64|1||6|8|PUB to 1, 64 B
fanout|64|10||6|9|PUB to 10, 64 B
fanout|64|100||6|8|PUB to 100, 64 B
fanout|64|1000||6|10|PUB to 1000, 64 B
ipc|64|0||5|-|ipc, PUSH/PULL, 64 B
ipc|16384|0||3|-|ipc, PUSH/PULL, 16 KiB
inproc|64|0|one-loop|5|10|inproc, one loop, 64 B
inproc|64|0|two-loops|1.5|3|inproc, two loops, 64 B
END

awk -F '|' '
  BEGIN { split("uv uring one-loop two-loops", others, " ") }
  FNR == NR {
    split($0, f, " ")
    key = f[1] " " f[2] " " f[3] " " f[4]
    ratio[key] = f[5]
    range[key] = f[6] ".." f[7]
    raw[key] = f[8]
    next
  }
  function value(who, k) {
    k = $1 " " $2 " " $3 " " who
    if ($4 == "raw") return raw[k] + 0 > 0 ? 1 / raw[k] : 0
    return ratio[k] + 0
  }
  function shown(who, v, k) {
    v = value(who)
    if (v == 0) return "-"
    if ($4 == "raw") return sprintf("%.2f", v)
    k = $1 " " $2 " " $3 " " who
    split(range[k], r, /\.\./)
    return sprintf("%.2f (%.2f..%.2f)", v, r[1], r[2])
  }
  function met(who, bound, v) {
    v = value(who)
    if (v == 0 || bound == "-") return 0
    return $4 == "raw" ? v <= bound + 0 : v >= bound + 0
  }
  function verdict(bound, a, b) {
    if (bound == "-") return "-"
    if (one != "") return value(one) == 0 ? "not measured" : met(one, bound) ? "yes" : "no"
    if (value("uv") == 0 && value("uring") == 0) return "not measured"
    a = met("uv", bound)
    b = met("uring", bound)
    if (value("uv") == 0 || value("uring") == 0) return a || b ? "yes" : "no"
    return a && b ? "yes" : a ? "uv only" : b ? "uring only" : "no"
  }
  BEGIN {
    print "| | floor | goal | uv | uring | floor met | goal met |"
    print "|---|--:|--:|--:|--:|---|---|"
  }
  {
    one = $4 != "" && $4 != "raw" ? $4 : ""
    printf "| %s | %s | %s |", $7, $5, $6
    if (one != "") printf " %s | |", shown(one)
    else printf " %s | %s |", shown("uv"), shown("uring")
    printf " %s | %s |\n", verdict($5), verdict($6)
  }' "$work/figures" "$work/promises" >"$work/promised.md"

# ---- the page -------------------------------------------------------------------

# fact KEY FILE: of "machine" in a JSON.
fact() {
  sed -n "s/^    \"$1\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p" "$2" | sed 1q
}
cat "$work/promised.md"
echo
echo "bench: $(($(date +%s) - began)) s"
test $writes = yes || exit 0

mkdir -p "$build/bench" || exit 1
cp "$work"/*.svg "$out/" || exit 1
cp "$work"/*.json "$build/bench/" || exit 1
any=$work/throughput.json
uring=$("${PKG_CONFIG:-pkg-config}" --modversion liburing 2>/dev/null)
{
  echo "| | |"
  echo "|---|---|"
  echo "| date | $(fact date "$any") |"
  echo "| processor | $(fact cpu "$any"), $(fact cores "$any") cores |"
  echo "| kernel | $(fact kernel "$any"), congestion control of TCP" \
    "$(fact tcp_congestion_control "$any") |"
  echo "| compiler | $(fact compiler "$any"), ${CFLAGS:-flags unknown} |"
  echo "| libraries | libuv $(fact libuv "$any"), liburing" \
    "${uring:-unknown}, $(fact libzmq "$any") |"
  echo "| load average before | ${load:-unknown} |"
  echo "| rounds | $rounds |"
} >"$work/machine.md"

# Between <!-- NAME --> and <!-- /NAME --> stands what NAME.md says, where there
# is one.
awk -v work="$work" '
  /^<!-- \/[a-z-]+ -->$/ { skip = 0 }
  !skip { print }
  /^<!-- [a-z-]+ -->$/ {
    file = work "/" $2 ".md"
    while ((getline line <file) > 0) {
      if (!skip) print ""
      print line
      skip = 1
    }
    if (skip) print ""
    close(file)
  }' "$page" >"$work/page" || exit 1
cat "$work/page" >"$page" || exit 1
echo "bench: written to $page"
