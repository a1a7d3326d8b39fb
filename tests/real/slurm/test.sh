#!/bin/bash
# test.sh PIPAR RUN_SBATCH SWEEP_SBATCH REPRODUCE_SBATCH
# An experiment that really trains, submitted with RUN_SBATCH to a real Slurm cluster of three nodes on this machine,
# gives the results of a run without any launcher, to the bit: once with srun, once with mpirun; and so does SWEEP_SBATCH, which makes
# each of its runs a job and merges them. REPRODUCE_SBATCH makes the figures that ./reproduce makes.
set -u
pipar=$(readlink -f "$1") run_sbatch=$(readlink -f "$2") sweep_sbatch=$(readlink -f "$3") reproduce_sbatch=$(readlink -f "$4")
here=$(dirname "$(readlink -f "$0")")

if [ "${5-}" != inside ]; then
  skip() { echo "$*"; exit 77; }
  [ "$(id -u)" = 0 ] || skip "slurmd needs root to start jobs"
  for tool in munged slurmctld slurmd srun sbatch ip unshare mpirun; do
    command -v "$tool" >/dev/null || skip "$tool is not here (Debian: munge slurmctld slurmd slurm-client iproute2 openmpi-bin)"
  done
  # Whatever ends this script or the next line, the first process of the namespaces ends with it and takes all the
  # others along; files and shared memory are in mounts that only they see.
  namespaces=(unshare --mount --pid --net --ipc --uts --fork --kill-child)
  "${namespaces[@]}" true 2>/dev/null || skip "namespaces cannot be made here (a container without CAP_SYS_ADMIN?)"
  dir=$(mktemp -d /tmp/pipar-slurm.XXXXXX) || exit 1
  child=
  trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null; wait; rmdir "$dir"' EXIT
  trap 'exit 1' INT TERM HUP
  "${namespaces[@]}" "$0" "$pipar" "$run_sbatch" "$sweep_sbatch" "$reproduce_sbatch" inside "$dir" &
  child=$!
  wait "$child"
  code=$?
  child=
  exit "$code"
fi

dir=$6
mount -t tmpfs -o mode=0755 tmpfs "$dir" && mount -t tmpfs tmpfs /dev/shm && mount -t proc proc /proc || exit 1
# shellcheck source=tests/real/slurm/cluster.sh
. "$here/cluster.sh"
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }

cluster_start "$dir" 3 4 || { echo "the cluster did not come up"; exit 1; }
srun --mpi=list 2>&1 | grep -qw pmix || { echo "this srun has no PMIx (Debian: libpmix-dev)"; exit 77; }

# Three groups of devices that differ, a ragged last mini-batch, and every method.
mkdir "$dir/work" && cd "$dir/work" || exit 1
export TMPDIR=$dir/tmp
cat >exp.yaml <<'YAML'
name: slurm
model: vgg5
method: pipar
dataset: {name: fashion-mnist, train_samples: 230, test_samples: 100}
training: {batch_size: 24, epochs: 2}
pipeline: {split: 2, micro_batches: 4}
devices:
  - {count: 2, device: raspberry-pi-4b, network: code-10-25}
  - {count: 2, device: raspberry-pi-4b, network: {up_mbps: 5, down_mbps: 50, latency_ms: 7}}
sweep: {method: [fl, sfl, pipar]}
YAML
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
"$pipar" run exp.yaml -o alone.h5 || { echo "the run without a launcher failed"; exit 1; }

# There are more ranks than cores, which neither launcher can see: the nodes claim four cores each.
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none

# submit NAME EXPERIMENT: runs the job to its end, its output in NAME.h5 and NAME.log, and sets job_* from its record.
submit() {
  local id
  id=$(sbatch --parsable -N 3 -n 5 -o "$1.log" "$run_sbatch" "$2" -o "$1.h5") || { fail "sbatch refused $1"; return 1; }
  wait_for "$id"
}

wait_for() {
  local id=$1 record
  for _ in $(seq 1200); do
    record=$(scontrol show job "$id")
    job_state=$(sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' <<<"$record")
    case "$job_state" in PENDING | CONFIGURING | RUNNING | COMPLETING) sleep 0.1 ;; *) break ;; esac
  done
  job_nodes=$(sed -n 's/.*NumNodes=\([0-9]*\).*/\1/p' <<<"$record")
  job_exit=$(sed -n 's/.*ExitCode=\([0-9]*\):.*/\1/p' <<<"$record")
}

for launcher in srun mpirun; do
  if [ "$launcher" = srun ]; then
    export PIPAR=$pipar # named outright, and srun taken because it is there
  else
    # The other way round: found in the tree that the submitted script lies in.
    unset PIPAR
    export PIPAR_LAUNCHER=mpirun
    mkdir -p "$dir/tree/slurm" "$dir/tree/build/src/app"
    cp "$run_sbatch" "$dir/tree/slurm/" && ln -s "$pipar" "$dir/tree/build/src/app/pipar"
    run_sbatch=$dir/tree/slurm/run.sbatch
  fi
  submit "$launcher" exp.yaml || continue
  [ "$job_state" = COMPLETED ] || { fail "the job with $launcher ended as $job_state:"; cat "$launcher.log"; continue; }
  [ "$job_nodes" = 3 ] || fail "the job with $launcher ran on $job_nodes nodes, not 3"
  grep -q "$launcher, 5 ranks" "$launcher.log" || fail "the job for $launcher took another launcher"
  if "$pipar" diff alone.h5 "$launcher.h5"; then
    echo "the same bits: alone, and on 3 nodes with $launcher"
  else
    fail "$launcher.h5 differs from alone.h5"
  fi
done

# A signal as before the time limit: the job stops after a checkpoint, queues again and goes on, with either launcher.
longer=(--set training.epochs=12 --set "sweep={method: [sl, pipar]}")
"$pipar" run exp.yaml "${longer[@]}" -o longer.h5 -q || fail "the longer run without a launcher failed"
for launcher in srun mpirun; do
  id=$(PIPAR=$pipar PIPAR_LAUNCHER=$launcher sbatch --parsable -N 3 -n 5 -o again.log "$run_sbatch" exp.yaml "${longer[@]}" -o "again-$launcher.h5") ||
    fail "sbatch refused the longer run"
  for _ in $(seq 600); do
    grep -q '^run 2 of 2.*round 1 of' again.log 2>/dev/null && break
    sleep 0.1
  done
  scancel --batch --signal=USR1 "$id"
  wait_for "$id"
  [ "$job_state" = COMPLETED ] || { fail "the job that queued again with $launcher ended as $job_state:"; cat again.log; }
  grep -q 'stopped by a signal' again.log || { fail "the job with $launcher was not stopped:"; cat again.log; }
  if "$pipar" diff longer.h5 "again-$launcher.h5"; then
    echo "the same bits: stopped, queued again and gone on with $launcher"
  else
    fail "again-$launcher.h5 differs from longer.h5"
  fi
  rm -f again.log
done

# A job for each run of the sweep, and one that merges; of a sweep with a run that fails nothing is merged.
export PIPAR=$pipar
if id=$("$sweep_sbatch" -o task.log -- exp.yaml -o swept.h5); then
  wait_for "$id"
  [ "$job_state" = COMPLETED ] || { fail "the merging job ended as $job_state:"; cat task.log slurm-*.out; }
  "$pipar" diff alone.h5 swept.h5 || fail "swept.h5 differs from alone.h5"
  [ ! -e swept.h5.runs ] || fail "swept.h5.runs is left"
else
  fail "sweep.sbatch refused the sweep"
fi
if id=$("$sweep_sbatch" -o task.log -- exp.yaml -o lost.h5 --set dataset.path=nowhere); then
  wait_for "$id"
  [ "$job_state" = CANCELLED ] || fail "the merging job of a sweep without data ended as $job_state"
  [ ! -e lost.h5 ] || fail "a sweep without data was merged"
else
  fail "sweep.sbatch refused the sweep without data"
fi
"$sweep_sbatch" exp.yaml 2>/dev/null && fail "sweep.sbatch took a sweep without -o"
"$sweep_sbatch" exp.yaml -o swept.h5 2>/dev/null && fail "sweep.sbatch took an output that exists"

# ./reproduce as a job, in a tree whose program is built: figures, and the results of a run by hand. What it refuses fails the job.
if command -v gnuplot >/dev/null; then
  source=$(dirname "$(dirname "$reproduce_sbatch")")
  mkdir -p "$dir/paper/slurm" "$dir/paper/build/src/app"
  cp -r "$source/reproduce" "$source/scripts" "$source/experiments" "$dir/paper/"
  cp "$reproduce_sbatch" "$dir/paper/slurm/"
  ln -s "$pipar" "$dir/paper/build/src/app/pipar"
  printf 'build nothing: phony\ndefault nothing\n' >"$dir/paper/build/build.ninja"
  small=(--set training.epochs=1 --set dataset.train_samples=800)
  "$pipar" run "$source/experiments/11_beyond.yaml" "${small[@]}" -o beyond.h5 -q || fail "11_beyond did not run"
  if id=$(sbatch --parsable -o paper.log "$dir/paper/slurm/reproduce.sbatch" -o "$PWD/paper" --only 11_beyond "${small[@]}"); then
    wait_for "$id"
    [ "$job_state" = COMPLETED ] || { fail "reproduce.sbatch ended as $job_state:"; cat paper.log; }
    "$pipar" diff beyond.h5 paper/11_beyond.h5 || fail "the results of reproduce.sbatch differ from those of a run by hand"
    [ -s paper/11_beyond/time.svg ] || fail "reproduce.sbatch made no figure"
    grep -q '^11_beyond: ' paper.log || fail "reproduce.sbatch did not say what it made"
  else
    fail "sbatch refused reproduce.sbatch"
  fi
  if id=$(sbatch --parsable -o paper.log "$dir/paper/slurm/reproduce.sbatch" --only 99_none); then
    wait_for "$id"
    [ "$job_state" = FAILED ] || fail "reproduce.sbatch with an unknown experiment ended as $job_state"
  fi
else
  echo "gnuplot is not here: reproduce.sbatch is not tested"
fi

# The program's exit code is the job's.
unset PIPAR_LAUNCHER
submit wrong no-such-file.yaml
[ "$job_exit" = 2 ] || { fail "a job without its experiment ended with exit code $job_exit, not 2:"; cat wrong.log; }

[ "$failures" = 0 ]
