#!/bin/bash
# test_overtaking.sh PIPAR MPIRUN EXPERIMENT: messages that complete in another order than they were sent change nothing.
set -eu
pipar=$1 mpirun=$2 experiment=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

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
