#!/bin/sh
# sanitized.sh SOURCES BUILD TEST...: the executables of these tests, "unit/nn/test_nn_net", under the sanitizers for
# addresses and undefined behaviour, as many at once as there are processors. The build stays, so that next time only what
# changed is built.
set -u
sources=$1 build=$2
shift 2
exec 9>"$build.lock"
flock 9 # until it is built: others that are built there may come at the same time
# The checks fill long loops: full debug information and registers chosen over whole functions take most of the time to
# build, and lines are all that a report names.
if [ ! -d "$build" ]; then
  meson setup "$build" "$sources" -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
    '-Dc_args=-g1 -fira-region=one' >/dev/null || {
    rm -rf "$build"
    echo "this compiler has no sanitizers"
    exit 77
  }
fi
programs=
for test in "$@"; do programs="$programs tests/$test"; done
# shellcheck disable=SC2086 # words of a command line
ninja -C "$build" $programs >"$build.log" 2>&1 || { tail -n 40 "$build.log"; exit 1; }
exec 9>&-
# Every test in the one process: one that is forked has all of the shadow memory to copy.
export CK_FORK=no UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16
cd "$build" || exit 1
# shellcheck disable=SC2016,SC2086 # the inner shell expands it; words
printf '%s\n' $programs | xargs -P "$(nproc)" -I '{}' sh -c '"$1" >"$1.out" 2>&1; code=$?; cat "$1.out"; exit "$code"' sh '{}'
