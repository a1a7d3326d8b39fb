#!/bin/sh
# layout.sh SOURCES: clang-format would change nothing. Versions differ in what they do, so one is fixed.
set -u
cd "$1" || exit 1
command -v clang-format-14 >/dev/null || { echo "clang-format-14 is not here (Debian: clang-format-14)"; exit 77; }
find src include tests bench -name '*.[ch]' -exec clang-format-14 --dry-run -Werror {} + 2>&1 | grep -A 2 'error:' && exit 1
exit 0
