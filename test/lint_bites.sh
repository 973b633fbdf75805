#!/bin/sh
# SPDX-License-Identifier: MIT
# Proves that test/lint.sh can fail: breaks each law once in a copy of the tree
# and looks for the finding; then looks that lawful code is let pass.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
tree=$(dirname "$here")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/tree/build/.libs" || exit 1
for part in include src samples doc test Makefile.am README.md; do
  cp -R "$tree/$part" "$work/tree/" || exit 1
done
chmod -R u+w "$work/tree" || exit 1
cd "$work/tree" || exit 1
: >"$work/wanted"

# plant RULE FILE TEXT: adds a line, and expects the rule to name the file.
plant() {
  if test ! -f "$2"; then
    mkdir -p "$(dirname "$2")"
    echo '/* SPDX-License-Identifier: MIT */' >"$2"
  fi
  printf '%s\n' "$3" >>"$2"
  echo "$1: $2" >>"$work/wanted"
}

plant include src/base/bad1.c '#include "io/io.h"'
plant include src/base/bad2.c '#include <uv.h>'
plant include src/base/bad3.c '#include "monocoque.h"'
plant include src/base/bad4.c '#include <assert.h>'
plant include src/base/bad5.c '#include "slab.h"'
plant include src/zmtp/bad1.c '#include "hub/hub.h"'
plant include src/zmtp/bad2.c '  #  include "io/io.h"'
plant include src/zmtp/bad3.c '#include <uthash.h>'
plant include src/hub/bad1.c '#include "actor/actor.h"'
plant include src/hub/bad2.c '#include "io/io.h"'
plant include src/io/bad1.c '#include "hub/hub.h"'
plant include src/io/bad2.c '#include "zmtp/session.h"'
plant include src/io/bad3.c '#include <liburing.h>'
plant include src/actor/bad1.c '#include "hub/roster.h"'
plant include src/actor/bad2.c '#include "socket/socket.h"'
plant include src/actor/bad3.c '#include <uv.h>'
plant include src/socket/bad1.c '#include "zmtp/session.h"'
plant include src/socket/bad2.c '#include "io/wire.h"'
plant include src/bad1.c '#include "zmtp/frame.h"'
plant public src/tools/bad1.c '#include "base/slab.h"'
plant public samples/bad1.c '#include "io/io.h"'
plant public samples/bad3.c '#include <base/slab.h>'
plant public samples/bad4.c '# include <../src/base/slab.h>'
plant public samples/bad5.c '#include "support/alloc.h"'
plant public src/tools/bad3.c '#include <zmtp/session.h>'
plant public test/interop_bad1.c '#include "actor/actor.h"'
plant public test/public_bad1.c '#include <actor/actor.h>'
plant public test/support/zmq_bad.c '#include "ctx.h"'
plant protocol src/base/bad6.c '/* for ZMTP */'
plant protocol src/hub/bad3.c 'int zmtp_version;'
plant protocol src/io/bad4.h '// zmtp'
plant alloc src/hub/bad4.c '  void* p = malloc(4);'
plant alloc src/zmtp/bad4.c '  free(p);'
plant alloc src/socket/bad3.c '  p = (char*) realloc (p, 8);'
plant raw src/zmtp/bad5.c '  memcpy(a, b, n);'
plant raw src/io/bad5.c '  sprintf(a, "x");'
plant raw src/actor/bad4.c '  memset(bytes, 0, n);'
plant raw src/actor/bad5.c '  memset(bytes, 255, sizeof bytes);'
plant private src/zmtp/bad6.c '  slice->slab_ = NULL;'
plant private src/hub/bad5.c '  return w.at_;'
plant output src/base/bad7.c '  printf("x");'
plant output src/socket/bad4.c '  fprintf(stderr, "x");'
plant die src/hub/bad6.c '  assert(x);'
plant die src/io/bad6.c '  abort();'
plant die src/bad2.c '  if (x) exit(1);'
plant thread src/io/bad7.c '  signal(SIGPIPE, SIG_IGN);'
plant thread src/base/bad8.c '  pthread_create(&t, NULL, f, NULL);'
plant wait src/io/bad8.c '  usleep(1);'
plant wait test/io_bad1.c '  uv_sleep(10);'
plant wait src/tools/bad2.c '  sleep(1);'
echo 'sleep 1' >test/bad.sh
echo "wait: test/bad.sh" >>"$work/wanted"
echo "listed: test/bad.sh" >>"$work/wanted"
plant zmq src/socket/bad5.c '#ifdef HAVE_ZMQ'
plant zmq src/io/bad9.c '  zmq_ctx_new();'
plant unfinished src/hub/bad7.c '/* TODO */'
plant unfinished test/hub_bad1.c '// FIXME: all'
plant listed src/hub/bad8.c 'int x;'
plant listed src/hub/bad9.h 'int x;'
plant listed test/hub_bad2.c 'int x;'
plant listed test/fuzz/fuzz_bad.c 'int x;'
plant listed test/support/bad.c 'int x;'
plant listed samples/bad2.c 'int x;'
plant length src/hub/long.c "$(awk 'BEGIN {
  for (i = 0; i < 801; i++) print "int x" i ";" }')"
echo 'int x;' >src/hub/nohead.c
echo "spdx: src/hub/nohead.c" >>"$work/wanted"
plant switches src/io/bad10.c '#ifdef MCQ_HAVE_URING'
plant switches src/io/bad11.c '#ifdef MCQ_HAVE_URING'
sed -i '/^switches: /d' "$work/wanted"
echo "switch: " >>"$work/wanted"
echo 'See `doc/nowhere.md`.' >>README.md
echo "readme: README.md: doc/nowhere.md" >>"$work/wanted"
echo "raw src/hub/unused.c for no reason" >>test/lint.allow
echo "allow: test/lint.allow: raw src/hub/unused.c" >>"$work/wanted"
echo "raw src/hub/bare.c" >>test/lint.allow
echo "allow: test/lint.allow: raw src/hub/bare.c: no" >>"$work/wanted"

# Allowed with a reason.
plant - src/hub/pardoned.c '  memcpy(a, b, n);'
echo "raw src/hub/pardoned.c a reason" >>test/lint.allow
# Words in comments and strings, members of those names, other functions.
plant - src/hub/good.c '/* malloc(1), printf("x") and
   sleep(1) are only words here */
  const char* s = "abort(); \" free(x) /*"; /* memcpy( */
  a->allocator.free(x, y); table->free(x); char q = \047"\047; // exit(1);
  snprintf(b, sizeof b, "x"); _Static_assert(1, "x"); mcq__mem_free(m, x);
  memset(a, 0, sizeof *a); x = y_; my_sleep(1);
#include "base/slab.h"
#include "hub/hub.h"
#include <stdint.h>'

# Objects with globals of each kind, and one that only looks like it.
cat >bad.c <<'END'
static int counter;
static int set = 5;
static __thread int mine;
int shown;
int next(void);
int next(void) {
  static int inside;
  return counter++ + set++ + mine++ + inside++;
}
END
cat >good.c <<'END'
int one(void);
int one(void) { return 1; }
static const struct { const char* name; int (*run)(void); } table[] = {
    {"one", one}, {"two", one}};
const char* const names[] = {"a", "b"};
int look(int i);
int look(int i) { return table[i].run() + (names[i] != 0); }
END
for name in bad good; do
  ${CC:-cc} -O0 -fPIC -c $name.c -o $name.o || exit 1
  ar cr "build/.libs/libmcq_$name.a" $name.o || exit 1
done
# One inside a function is inside.0 to gcc and next.inside to clang.
inside=$(${NM:-nm} bad.o | awk '$3 ~ /inside/ { print $3 }')
for name in counter set mine shown "${inside:-inside}"; do
  echo "globals: libmcq_bad.a(bad.o): $name" >>"$work/wanted"
done

MCQ_SANITIZE='' sh test/lint.sh . build >"$work/out" 2>&1 && {
  echo "lint.sh exits 0 on a broken tree"
  exit 1
}
missed=0
while read -r want; do
  case $want in -:*) continue ;; esac
  grep -Fq "$want" "$work/out" || {
    echo "not found: $want"
    missed=1
  }
done <"$work/wanted"
grep -E 'src/hub/pardoned.c|src/hub/good.c|libmcq_good' "$work/out" |
  grep -v '^listed: ' && {
  echo "wrongly found: the lines above"
  missed=1
}
rm -f build/.libs/*.a
MCQ_SANITIZE='' sh test/lint.sh . build | grep -q 'no archives' || {
  echo "does not notice that there is nothing to look at"
  missed=1
}
test $missed = 0 || exit 1
echo "lint_bites: $(grep -vc '^-' "$work/wanted") broken laws found"
