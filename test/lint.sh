#!/bin/sh
# SPDX-License-Identifier: MIT
# The laws of the house that a compiler does not enforce: who includes whom,
# where raw memory and output may stand, no mutable globals, nothing left out
# of the lists.  Prints a line "rule: place: what" for each finding; exit
# status 1 when there are any.  test/lint_bites.sh proves that each rule bites.
#
#   lint.sh [TREE [BUILD]]     BUILD "-": the compiled objects are not looked at
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
tree=${1:-$(dirname "$here")}
build=${2:-${MCQ_BUILDDIR:-.}}
test "$build" = - || build=$(CDPATH='' cd -- "$build" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$tree" || exit 1

LC_ALL=C
export LC_ALL
: >"$work/found"

# found RULE PLACE TEXT
found() {
  echo "$1: $2: $3" >>"$work/found"
}

# ---- the files, and the same without comments and the insides of strings -----

list() { # list NAME DIRECTORY...
  name=$1
  shift
  find "$@" -type f -name '*.[ch]' | sort >"$work/$name"
  test -s "$work/$name" || found files "$*" "no C files"
}
list all include samples src test
list src src
grep -v '^src/tools/' "$work/src" >"$work/lib"
grep -v '^src/base/' "$work/lib" >"$work/above"
grep -E '^src/(base|hub|io)/' "$work/src" >"$work/silent"
grep -E '^(src/tools|samples)/|^test/((interop|public)_|support/zmq_)' \
  "$work/all" >"$work/users"

sed 's|/[^/]*$||' "$work/all" | sort -u | while read -r dir; do
  mkdir -p "$work/code/$dir"
done
# shellcheck disable=SC2046 # no name in this tree has a blank
awk -v to="$work/code/" '
  FNR == 1 { comment = 0 }
  {
    line = $0
    out = ""
    while (line != "") {
      if (comment) {
        end = index(line, "*/")
        if (end == 0) { line = ""; break }
        line = substr(line, end + 2)
        comment = 0
      }
      if (!match(line, /\/\*|\/\/|["\047]/)) { out = out line; break }
      out = out substr(line, 1, RSTART - 1)
      mark = substr(line, RSTART, RLENGTH)
      line = substr(line, RSTART)
      if (mark == "/*") {
        line = substr(line, 3)
        comment = 1
      } else if (mark == "//") {
        line = ""
      } else if (mark == "\"" && match(line, /^"([^"\\]|\\.)*"/)) {
        out = out "\"\""
        line = substr(line, RLENGTH + 1)
      } else if (match(line, /^\047([^\047\\]|\\.)*\047/)) {
        out = out "0"
        line = substr(line, RLENGTH + 1)
      } else {
        line = substr(line, 2)
      }
    }
    print out > (to FILENAME)
  }' $(cat "$work/all")

# forbid RULE LIST EXPRESSION: code of the listed files must not match, but for
# what test/lint.allow lets pass.
forbid() {
  while read -r file; do
    grep -nE "$3" "$work/code/$file" | while read -r hit; do
      if grep -q "^$1 $file " test/lint.allow; then
        echo "$1 $file" >>"$work/allowed"
      else
        found "$1" "$file:${hit%%:*}" "${hit#*:}"
      fi
    done
  done <"$work/$2"
}

# A call of one of the words, not of a member of that name.
call() {
  echo "(^|[^A-Za-z0-9_.>])($1)[[:space:]]*\("
}
: >"$work/allowed"

# ---- who includes whom ---------------------------------------------------------

# may ROOM FILE INCLUDE: is it one step down the house?
may() {
  case $1:$3 in
    *:\<assert.h\>) test "$2" = src/base/check.h ;;
    *:\<errno.h\> | *:\<inttypes.h\> | *:\<limits.h\> | *:\<stdatomic.h\> | \
      *:\<stdarg.h\> | *:\<stdbool.h\> | *:\<stddef.h\> | *:\<stdint.h\> | \
      *:\<string.h\> | *:\<strings.h\> | *:\<sys/types.h\>) ;;
    base:\<stdlib.h\> | base:\<pthread.h\> | base:\<uthash.h\> | \
      base:\<malloc.h\>) ;;
    base:\<sanitizer/*\>) ;;
    *:\<uthash.h\>) false ;;
    *:\<stdio.h\>) ;; # for snprintf; output has its own rule
    io:\<liburing.h\>) case $2 in src/io/uring*) ;; *) false ;; esac ;;
    *:\<liburing.h\>) false ;;
    io:\<*\> | ctx:\<uv.h\>) ;;
    *:\<*\>) false ;;
    *:monocoque/errno.h | *:monocoque/types.h) ;;
    raw:base/* | raw:raw/* | ctx:raw/raw.h) ;;
    base:base/* | zmtp:base/* | hub:base/* | io:base/*) ;;
    zmtp:zmtp/* | hub:hub/* | io:io/*) ;;
    actor:base/* | actor:zmtp/* | actor:hub/hub.h | actor:io/* | \
      actor:actor/*) ;;
    socket:base/* | socket:hub/* | socket:actor/* | socket:socket/*) ;;
    socket:io/endpoint.h | socket:io/listener.h | socket:io/dialer.h | \
      socket:io/io.h | socket:monocoque.h) ;;
    ctx:base/* | ctx:io/* | ctx:socket/* | ctx:monocoque* | ctx:ctx.h) ;;
    metrics:base/* | metrics:socket/socket.h | metrics:ctx.h | \
      metrics:metrics/* | metrics:monocoque.h) ;;
    ctx:zmtp/session.h) ;; # names the protocol that all sockets speak
    *) false ;;
  esac
}

while read -r file; do
  case $file in
    src/*/*) room=${file#src/} room=${room%%/*} ;;
    *) room=ctx ;;
  esac
  # shellcheck disable=SC2094 # found writes elsewhere
  sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\(.*[">]\).*/\1/p' \
    "$file" | tr -d '"' | while read -r inc; do
    may "$room" "$file" "$inc" || found include "$file" "$inc"
  done
done <"$work/lib"

while read -r file; do
  sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\(.*[">]\).*/\1/p' \
    "$file" | tr -d '"' | while read -r inc; do
    case $file:$inc in
      *:monocoque.h | *:monocoque/*.h | test/*:support/*) ;;
      *:\<*..*\>) found public "$file" "$inc" ;;
      *:\<*\>)
        inc=${inc#<} inc=${inc%>}
        test ! -f "src/$inc" && test ! -f "test/$inc" &&
          test ! -f "$inc" || found public "$file" "$inc"
        ;;
      src/tools/*) test -f "src/tools/$inc" || found public "$file" "$inc" ;;
      *) found public "$file" "$inc" ;;
    esac
  done
done <"$work/users"

# Rooms that know no protocol do not name one, in comments neither.
while read -r file; do
  grep -niE 'zmtp' "$file" | while read -r hit; do
    found protocol "$file:${hit%%:*}" "${hit#*:}"
  done
done <"$work/silent"

# ---- what the library never does --------------------------------------------------

forbid alloc above "$(call 'malloc|calloc|realloc|reallocarray|free|strdup|'\
'strndup|asprintf|vasprintf|alloca|aligned_alloc|posix_memalign|mmap|munmap')"
forbid raw above "$(call 'memcpy|memmove|mempcpy|memccpy|bcopy|bzero|'\
'strcpy|strncpy|stpcpy|strcat|strncat|sprintf|vsprintf|gets')"
# An object of one's own may be zeroed whole; bytes may not.
forbid raw above "$(call memset)[^,]*, *([^0 ]|0[^,]|0, *([^s ]|s[^i]))"
forbid private above '(->|\.)[A-Za-z_][A-Za-z0-9_]*_([^A-Za-z0-9_]|$)'
forbid output lib "$(call 'printf|fprintf|vprintf|vfprintf|dprintf|puts|fputs|'\
'putchar|putc|fputc|fwrite|perror|syslog|uv_print_(all|active)_handles')"
grep -vx src/base/check.h "$work/lib" >"$work/unchecked"
forbid die unchecked "$(call 'assert|abort|exit|_exit|_Exit|quick_exit|raise|'\
'kill|__builtin_trap|__builtin_unreachable')"
forbid thread lib "$(call 'pthread_create|thrd_create|uv_thread_create(_ex)?|'\
'uv_queue_work|fork|vfork|signal|sigaction|uv_signal_(init|start)')"
forbid wait all "$(call 'sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep|'\
'uv_sleep')"
find test samples -name '*.sh' ! -name 'lint*.sh' | sort >"$work/scripts"
while read -r file; do
  grep -nE '(^|[^A-Za-z_-])sleep( |$)' "$file" | while read -r hit; do
    found wait "$file:${hit%%:*}" "${hit#*:}"
  done
done <"$work/scripts"

# io_uring is a choice of one file, libzmq is only ever the other side.
while read -r file; do
  grep -q 'MCQ_HAVE_URING' "$work/code/$file" && echo "$file"
done <"$work/src" >"$work/switches"
test "$(wc -l <"$work/switches")" -le 1 ||
  found switch "$(tr '\n' ' ' <"$work/switches")" \
    "MCQ_HAVE_URING in more than one file"
forbid zmq lib 'HAVE_ZMQ|(^|[^A-Za-z0-9_])zmq_|<zmq\.h>'

# ---- the files themselves -----------------------------------------------------------

while read -r file; do
  read -r first <"$file"
  test "$first" = '/* SPDX-License-Identifier: MIT */' ||
    found spdx "$file:1" "$first"
  grep -nwE 'TODO|FIXME|XXX' "$file" | while read -r hit; do
    found unfinished "$file:${hit%%:*}" "${hit#*:}"
  done
done <"$work/all"

while read -r file; do
  lines=$(wc -l <"$file")
  if test "$lines" -gt 800; then
    found length "$file" "$lines lines: it wants to be two"
  elif test "$lines" -gt 450; then
    echo "warning: $file has $lines lines"
  fi
done <"$work/src"

# A source that nobody compiles and a test that nobody runs look alike.
tr -s '[:space:]' '\n' <Makefile.am | sort -u >"$work/listed"
while read -r file; do
  case $file in
    test/support/* | src/*) word=$file ;;
    test/fuzz/fuzz_*.c | test/*/*) word=${file%.c} ;;
    test/*) word=${file%.c} ;;
    samples/*) word=${file%.c} ;;
    *) word=$file ;;
  esac
  case $file in
    include/monocoque/version.h) continue ;; # made by configure
    test/fuzz/replay.c) word=$file ;;
  esac
  grep -Fqx "$word" "$work/listed" ||
    found listed "$file" "$word is not in Makefile.am"
done <"$work/all"
for file in test/*.sh; do
  grep -Fqx "$file" "$work/listed" ||
    found listed "$file" "not in Makefile.am"
done

# What README.md sends a reader to is there.
grep -o '`[a-z][a-z]*/[A-Za-z_./]*`' README.md | tr -d '`' | while read -r path; do
  test -e "$path" || found readme README.md "$path is not there"
done

grep -vE '^(#|$)' test/lint.allow | while read -r rule file reason; do
  test -n "$reason" || found allow test/lint.allow "$rule $file: no reason"
  grep -Fqx "$rule $file" "$work/allowed" ||
    found allow test/lint.allow "$rule $file allows nothing"
done

# ---- no mutable globals, as compiled --------------------------------------------------

globals() {
  found=0
  for archive in "$build"/.libs/libmcq_*.a; do
    test -f "$archive" || continue
    found=1
    ${NM:-nm} -f sysv "$archive" | awk -F '|' -v a="${archive##*/}" '
      /^Symbols from / { sub(/^.*\[/, ""); sub(/\].*$/, ""); object = $0 }
      NF == 7 {
        for (i = 1; i <= NF; i++) gsub(/ /, "", $i)
        if ($7 ~ /^\.data\.rel\.ro/) next
        if ($7 ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ || $3 ~ /^[bBC]$/)
          print "globals: " a "(" object "): " $1 " in " $7
      }' >>"$work/found"
  done
  test $found = 1 || found globals "$build" "no archives: build first"
}
case $build:${MCQ_SANITIZE:-} in
  -:*) ;;
  *:) globals ;;
  *) echo "globals: not looked at, sanitizers add their own" ;;
esac

cat "$work/found"
test ! -s "$work/found" || exit 1
echo "lint: $(wc -l <"$work/all") files, nothing found"
