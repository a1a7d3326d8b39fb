#!/bin/sh
# shell.sh SOURCES: shellcheck has nothing to say about our scripts.
set -u
cd "$1" || exit 1
command -v shellcheck >/dev/null || { echo "shellcheck is not here (Debian: shellcheck)"; exit 77; }
find tests bench scripts slurm -name '*.sh' -exec shellcheck -x quickstart run-tests reproduce .ci/run slurm/run.sbatch {} +
