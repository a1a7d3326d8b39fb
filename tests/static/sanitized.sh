#!/bin/sh
# sanitized.sh SOURCES BUILD TEST...: the executables of these tests, "unit/nn/test_nn_net", under the sanitizers for
# addresses and undefined behaviour. The build stays, so that next time only what changed is built.
set -u
sources=$1 build=$2
shift 2
if [ ! -d "$build" ]; then
  meson setup "$build" "$sources" -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false >/dev/null || {
    rm -rf "$build"
    echo "this compiler has no sanitizers"
    exit 77
  }
fi
for test in "$@"; do
  ninja -C "$build" "tests/$test" >"$build.log" 2>&1 || { tail -n 40 "$build.log"; exit 1; }
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=0 "$build/tests/$test" || exit 1
done
