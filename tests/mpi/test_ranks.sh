#!/bin/bash
# test_ranks.sh PIPAR MPIRUN EXPERIMENT: the results are the same to the bit on any number of ranks, and while the
# machine is loaded.
set -eu
pipar=$1 mpirun=$2 experiment=$3
dir=$(mktemp -d)
load=
trap '[ -z "$load" ] || kill $load 2>/dev/null; rm -rf "$dir"' EXIT
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

"$pipar" run "$experiment" -q -o "$dir/alone.h5"
for ranks in 1 2 3 5; do
  "$mpirun" --oversubscribe -n "$ranks" "$pipar" run "$experiment" -q -o "$dir/$ranks.h5" </dev/null
  "$pipar" diff "$dir/alone.h5" "$dir/$ranks.h5"
  echo "ok: $ranks ranks"
done

# Micro-batches on both sides of the longest eager message: the later, shorter one overtakes, where memory is not shared.
settings=(--set method=pipar --set training.batch_size=15 --set "devices.2.pipeline={split: 4, micro_batches: 2}")
"$pipar" run "$experiment" "${settings[@]}" -q -o "$dir/eager-alone.h5"
for transport in "vader --mca btl_vader_single_copy_mechanism none" "tcp --mca btl_tcp_eager_limit 4096"; do
  # shellcheck disable=SC2086 # options to be split
  "$mpirun" --mca btl self,$transport --oversubscribe -n 5 "$pipar" run "$experiment" "${settings[@]}" -q --force \
    -o "$dir/eager.h5" </dev/null
  "$pipar" diff "$dir/eager-alone.h5" "$dir/eager.h5"
  echo "ok: ${transport%% *}, short messages overtake long ones"
done

for _ in 1 2 3 4; do (while :; do :; done) & load="$load $!"; done
for run in a b; do
  "$mpirun" --oversubscribe -n 5 "$pipar" run "$experiment" -q -o "$dir/loaded-$run.h5" </dev/null
  "$pipar" diff "$dir/alone.h5" "$dir/loaded-$run.h5"
  echo "ok: loaded machine, run $run"
done
