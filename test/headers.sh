#!/bin/sh
# SPDX-License-Identifier: MIT
# The library as its users meet it: every header compiles by itself, the public
# ones as C++ too, and after "make install" a program finds all it needs through
# pkg-config, shared and static; so do the samples, and what README.md shows.
set -u

build=${MCQ_BUILDDIR:-.}
src=${MCQ_SRCDIR:-.}
make=${MAKE:-make}
cc=${CC:-cc}
strict='-Wall -Wextra -Werror'
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
bad=0

fail() {
  echo "FAILED: $1"
  bad=1
}

# ---- each by itself ------------------------------------------------------------

count=0
# alone FLAGS HEADER: compiles a file that includes nothing else.
alone() {
  echo "#include \"$2\"" >"$work/alone.c"
  echo "extern int mcq_alone;" >>"$work/alone.c"
  # shellcheck disable=SC2086 # flags are words
  $1 $strict -I"$build/include" -I"$src/include" -I"$src/src" \
    ${UV_CFLAGS:-} -fsyntax-only "$work/alone.c" || fail "$1: $2"
  count=$((count + 1))
}

public="monocoque.h monocoque/errno.h monocoque/types.h monocoque/version.h"
for header in $public; do
  alone "$cc -std=c11 -D_GNU_SOURCE -pedantic -Wconversion -Wshadow" "$header"
done
cxx=
for try in "$cc" g++ clang++; do
  echo 'namespace one { int two; }' >"$work/try.cc"
  if $try -x c++ -fsyntax-only "$work/try.cc" >/dev/null 2>&1; then
    cxx=$try
    break
  fi
done
if test -n "$cxx"; then
  for header in $public; do
    alone "$cxx -x c++ -std=c++11" "$header"
  done
else
  echo "note: no C++ compiler, headers not compiled as C++"
fi
for header in "$src"/src/*/*.h; do
  case $header in
    "$src"/src/tools/*) ;;
    *) alone "$cc -std=c11 -D_GNU_SOURCE -Wconversion -Wshadow ${MCQ_DEFS:-}" \
      "${header#"$src"/src/}" ;;
  esac
done

# ---- installed -------------------------------------------------------------------

# The jobserver of the make that runs the tests is not ours.
unset MAKEFLAGS MFLAGS MAKELEVEL
(cd "$build" && $make install DESTDIR="$work/stage") >"$work/log" 2>&1 || {
  cat "$work/log"
  fail "make install"
  exit 1
}
pc=$(find "$work/stage" -name monocoque.pc)
test -f "$pc" || {
  fail "monocoque.pc is not installed"
  exit 1
}
# As if the stage were the prefix: only the paths differ.
prefix=$(sed -n 's/^prefix=//p' "$pc")
sed -i "s|=$prefix|=$work/stage$prefix|" "$pc"
PKG_CONFIG_PATH=$(dirname "$pc")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
pkg=${PKG_CONFIG:-pkg-config}
libdir=$($pkg --variable=libdir monocoque)

version=$($pkg --modversion monocoque)
test "$version" = "${MCQ_VERSION:-$version}" || fail "version $version"
case " $($pkg --print-requires monocoque) " in
  *libuv*) ;;
  *) fail "monocoque.pc does not require libuv" ;;
esac
private=$($pkg --print-requires-private monocoque)
case ${MCQ_DEFS:-}:$private in
  *-DMCQ_HAVE_URING*:*liburing*) ;;
  *-DMCQ_HAVE_URING*) fail "monocoque.pc does not name liburing" ;;
  *liburing*) fail "monocoque.pc names liburing in a build without it" ;;
esac

cat >"$work/user.c" <<'END'
#include <monocoque.h>
#include <stdio.h>
#include <string.h>

static void on_close(void* data) {
  *(int*) data = 1;
}

int main(void) {
  uv_loop_t loop;
  mcq_ctx_t* ctx;
  int closed = 0;
  mcq_ctx_options_t options = {.data = &closed};
  int major;
  const char* version = mcq_version(&major, NULL, NULL);
  if (uv_loop_init(&loop) != 0) return 1;
  if (mcq_ctx_new(&loop, &options, &ctx) != 0) return 2;
  mcq_ctx_close(ctx, on_close);
  uv_run(&loop, UV_RUN_DEFAULT);
  if (!closed || uv_loop_close(&loop) != 0) return 3;
  if (strcmp(version, MCQ_VERSION_STRING) != 0) return 4;
  if (major != MCQ_VERSION_MAJOR) return 5;
  printf("%s\n", version);
  return 0;
}
END

# user NAME LINKFLAGS: builds the program against the stage and runs it.
user() {
  # shellcheck disable=SC2046,SC2086 # flags are words
  $cc -std=c11 -D_GNU_SOURCE $strict ${CFLAGS:-} \
    $($pkg --cflags monocoque) "$work/user.c" -o "$work/$1" \
    ${LDFLAGS:-} $2 || {
    fail "$1: does not link with: $2"
    return
  }
  got=$(LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
    "$work/$1") || fail "$1: exit status $?"
  test "$got" = "$version" || fail "$1: says '$got', not '$version'"
  echo "installed, $1: $got with $2"
}

# others LINKFLAGS: the samples and README's C link with nothing else.  The
# first listing there is a whole program, the others are pieces of one.
others() {
  awk -v to="$work/readme" '
    /^```c$/ { inside = 1; n++; file = to n ".c"; next }
    /^```/ { inside = 0; close(file) }
    inside {
      if (n > 1 && !(n in seen)) print "#include <monocoque.h>" >file
      seen[n] = 1
      print >file
    }' "$src/README.md"
  test -f "$work/readme1.c" || fail "README.md shows no C"
  for program in "$src"/samples/*.c "$work"/readme*.c; do
    end="-o $work/other $1"
    case $program in
      "$work/readme1.c") ;;
      "$work"/*) end=-fsyntax-only ;;
      */samples/metrics.c)
        $pkg --exists libmicrohttpd || continue
        end="$end $($pkg --cflags --libs libmicrohttpd)"
        ;;
    esac
    # shellcheck disable=SC2046,SC2086 # flags are words
    $cc $strict -Wno-unused-function ${CFLAGS:-} \
      $($pkg --cflags monocoque) "$program" ${LDFLAGS:-} $end ||
      fail "${program##*/} needs more than the public headers and pkg-config"
  done
}

linked=0
if test -f "$libdir/libmonocoque.so"; then
  user shared "$($pkg --libs monocoque)"
  others "$($pkg --libs monocoque)"
  linked=1
  rm -f "$libdir"/libmonocoque.so*
fi
if test -f "$libdir/libmonocoque.a"; then
  user static "$($pkg --static --libs monocoque)"
  test $linked = 1 || others "$($pkg --static --libs monocoque)"
  linked=1
fi
test $linked = 1 || fail "neither a shared nor a static library is installed"
for tool in ${MCQ_TOOLS:-}; do
  test -x "$work/stage$prefix/bin/$tool" || fail "$tool is not installed"
done

# And all of it goes again.
(cd "$build" && $make uninstall DESTDIR="$work/stage") >"$work/log" 2>&1 ||
  fail "make uninstall"
left=$(find "$work/stage" -type f)
test -z "$left" || fail "make uninstall leaves $left"

test $bad = 0 || exit 1
echo "headers: $count compiled alone, installed and linked"
