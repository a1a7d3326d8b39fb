#!/bin/sh
# without.sh SOURCES BUILD: without any of the libraries that an option leaves out the program builds and says what it lacks,
# and what is near them, the suite `options`, passes its tests. BUILD is kept, so that the next time only what changed is
# built.
set -u
sources=$1 build=$2
if [ ! -f "$build/build.ninja" ]; then
  meson setup -Doptimization=1 -Dsvhn=disabled -Dimagenet=disabled -Djson=disabled -Dfigures=false "$build" "$sources" >"$build.log" 2>&1 ||
    { tail -n 20 "$build.log"; exit 1; }
fi
ninja -C "$build" src/app/pipar >"$build.log" 2>&1 || { grep -A 8 -E 'error|FAILED' "$build.log" | head -n 100; exit 1; }
pipar=$build/src/app/pipar
if ldd "$pipar" | grep -E 'matio|turbojpeg|yajl'; then echo "the program needs what was left out"; exit 1; fi
for command in 'trace x.h5 -o x.json' 'report --html x.html x.h5'; do
  # shellcheck disable=SC2086 # words of a command line
  said=$("$pipar" $command 2>&1)
  case $said in *"is not in this pipar"*) ;; *) echo "pipar $command says: $said"; exit 1 ;; esac
done
exec meson test -C "$build" --suite options --print-errorlogs
