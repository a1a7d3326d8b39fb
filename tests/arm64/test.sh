#!/bin/sh
# test.sh SOURCES BUILD: src/base and src/nn are built for arm64, and their tests of kernels, layers and threads pass
# there, under qemu, with plain loops for OpenBLAS. BUILD is kept, so that the next time only what changed is built.
set -u
sources=$1 build=$2
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
  command -v "$tool" >/dev/null ||
    { echo "$tool is not here (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"; exit 77; }
done
# The headers alone of a library that is nothing but headers: the rest of /usr/include is another processor's.
headers=$(printf '#include <Random123/philox.h>\n' | cc -E -x c - | sed -n 's|^# 1 "\(.*\)/Random123/philox.h".*|\1|p')
mkdir -p "$build.headers"
ln -sfn "$headers/Random123" "$build.headers/Random123"
if [ ! -f "$build/build.ninja" ]; then
  meson setup --werror "$build" "$sources" --cross-file "$sources/tests/arm64/aarch64-linux-gnu.ini" -Donly_nn=true \
    "-Dc_args=-isystem$build.headers" >"$build.log" 2>&1 || { tail -n 20 "$build.log"; exit 1; }
fi
ninja -C "$build" >"$build.log" 2>&1 || { grep -A 8 -E 'error|FAILED' "$build.log" | head -n 100; exit 1; }
meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier 3
