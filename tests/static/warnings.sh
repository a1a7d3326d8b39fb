#!/bin/sh
# warnings.sh CC SOURCES BUILD: everything compiles with CC without a warning. BUILD is kept, so that the
# next time only what changed is built.
set -u
cc=$1 sources=$2 build=$3
command -v "$cc" >/dev/null || { echo "$cc is not here (Debian: $cc)"; exit 77; }
if [ ! -f "$build/build.ninja" ]; then
  # The optimiser of gcc finds warnings of its own, so it runs as usual; clang's come from before its.
  optimization=3
  [ "$cc" = clang ] && optimization=0
  CC=$cc meson setup --werror "-Doptimization=$optimization" "$build" "$sources" >"$build.log" 2>&1 || { tail -n 20 "$build.log"; exit 1; }
fi
# All that is compiled, and nothing that is linked.
objects=$(ninja -C "$build" -t targets all | sed -n 's/\.o: .*/.o/p')
# shellcheck disable=SC2086 # words of a command line
ninja -C "$build" -k 0 $objects >"$build.log" 2>&1 && exit 0
grep -A 8 -E 'error|FAILED' "$build.log" | head -n 200
exit 1
