#!/bin/bash
# test_ranks.sh PIPAR MPIRUN EXPERIMENT RANKS...: the results are the same to the bit on each number of
# ranks, on the last of them while every processor is busy with something else, and with several threads.
set -eu
pipar=$1 mpirun=$2 experiment=$3
shift 3
dir=$(mktemp -d)
load=
trap '[ -z "$load" ] || kill $load 2>/dev/null; rm -rf "$dir"' EXIT
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

"$pipar" run "$experiment" -q -o "$dir/alone.h5"
for ranks in "$@"; do
  "$mpirun" --oversubscribe -n "$ranks" "$pipar" run "$experiment" -q -o "$dir/$ranks.h5" </dev/null
  "$pipar" diff "$dir/alone.h5" "$dir/$ranks.h5"
  echo "ok: $ranks ranks"
done

"$pipar" run "$experiment" -q -o "$dir/threads.h5" --set training.threads=3
"$mpirun" --oversubscribe -n 2 "$pipar" run "$experiment" -q -o "$dir/both.h5" --set training.threads=2 </dev/null
for run in threads both; do
  "$pipar" diff "$dir/alone.h5" "$dir/$run.h5"
  echo "ok: $run"
done

for _ in $(seq "$(nproc)"); do (while :; do :; done) & load="$load $!"; done
for run in a b; do
  "$mpirun" --oversubscribe -n "$ranks" "$pipar" run "$experiment" -q -o "$dir/loaded-$run.h5" </dev/null
  "$pipar" diff "$dir/alone.h5" "$dir/loaded-$run.h5"
  echo "ok: loaded machine, run $run"
done
