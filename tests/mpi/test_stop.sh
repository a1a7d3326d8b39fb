#!/bin/bash
# test_stop.sh PIPAR MPIRUN: a signal stops a sweep that is spread over ranks, whatever each of them is waiting for.
set -eu
pipar=$1 mpirun=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

cat > "$dir/sweep.yaml" <<END
name: sweep
compute: none
method: pipar
dataset: {name: synthetic, shape: [3, 32, 32], classes: 10, train_samples: 200000}
training: {epochs: 100, batch_size: 10}
devices: [{count: 20, device: raspberry-pi-4b, network: code-10-25, pipeline: {split: 3, micro_batches: 2}}]
sweep: {seed: [1, 2, 3, 4, 5, 6, 7, 8]}
END
timeout 100 "$mpirun" --oversubscribe -n 3 "$pipar" run "$dir/sweep.yaml" -o "$dir/out.h5" </dev/null 2>"$dir/err" &
launcher=$!
until grep -q "round 3 of" "$dir/err"; do
  kill -0 $launcher # or it never came to a round
  sleep 0.1
done
kill -USR1 "$(pgrep -P $launcher)" # timeout's child: mpirun
code=0
wait $launcher || code=$?
[ $code = 4 ] || { echo "exit code $code, not 4"; cat "$dir/err"; exit 1; }
grep -q "^pipar: stopped by a signal" "$dir/err"
"$pipar" report "$dir/out.h5" >/dev/null
echo "ok: a sweep on three ranks stops"
