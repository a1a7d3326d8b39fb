#!/bin/sh
# sanitized.sh SOURCES BUILD: the tests of the layers under the sanitizers for addresses and undefined behaviour. The build
# stays, so that next time only what changed is built.
set -u
sources=$1 build=$2
if [ ! -d "$build" ]; then
  meson setup "$build" "$sources" -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false >/dev/null || {
    rm -rf "$build"
    echo "this compiler has no sanitizers"
    exit 77
  }
fi
meson compile -C "$build" test_nn_gradient test_nn_net test_nn_random >/dev/null || exit 1
for name in gradient net random; do
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=0 "$build/tests/unit/nn/test_nn_$name" || exit 1
done
