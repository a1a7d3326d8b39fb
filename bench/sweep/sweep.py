#!/usr/bin/python3
"""sweep.py [BUILD [RUNS]]: a time-only sweep alone and spread over ranks by mpirun: wall times of whole commands, the
best of some turns that alternate, and the ratio of each to alone. The results must be the same bits.

Two sweeps: `like` of runs that are all alike, and `mixed` of methods one after the other whose runs differ in length a
hundred times. RUNS is how many runs the first has (default 24); the second has as many or somewhat fewer."""

import os
import subprocess
import sys
import tempfile
import time

TURNS = 3
RANKS = (2, 3)
here = os.path.dirname(os.path.abspath(__file__))
build = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../build")
runs = int(sys.argv[2]) if len(sys.argv) > 2 else 24
pipar = os.path.abspath(os.path.join(build, "src/app/pipar"))

EXPERIMENT = """\
compute: none
record: {{stages: false}}
model: vgg5
training: {{epochs: 1}}
server: {{slots: 4}}
pipeline: {{split: 2, micro_batches: 10, in_flight: 4}}
dataset: {{name: synthetic, shape: [1, 28, 28], classes: 10, train_samples: 10000000}}
devices:
  - {{count: 2000, device: raspberry-pi-4b, network: code-10-25}}
{}
"""
SWEEPS = {
    "like": f"method: pipar\nsweep: {{seed: {list(range(runs))}}}",
    "mixed": f"sweep: {{seed: {list(range(max(1, runs // 4)))}, method: [fl, pipar, sfl, 1f1b]}}",
}


def seconds(directory, experiment, ranks):
    """Wall time of one command. The processors' clock would not show who waits."""
    out = os.path.join(directory, f"{ranks}.h5")
    command = [pipar, "run", experiment, "-q", "--force", "-o", out]
    environment = dict(os.environ)
    if ranks > 1:
        command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
        if os.geteuid() == 0:
            environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    start = time.monotonic()
    subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL)
    return time.monotonic() - start


def measure(directory, name, rest):
    experiment = os.path.join(directory, f"{name}.yaml")
    with open(experiment, "w", encoding="utf-8") as file:
        file.write(EXPERIMENT.format(rest))
    best = {}
    for _ in range(TURNS):
        for ranks in (1, *RANKS):
            taken = seconds(directory, experiment, ranks)
            best[ranks] = min(best.get(ranks, taken), taken)
    for ranks in RANKS:
        same = subprocess.run([pipar, "diff", os.path.join(directory, "1.h5"), os.path.join(directory, f"{ranks}.h5")],
                              check=False)
        if same.returncode != 0:
            sys.exit(f"{name}: {ranks} ranks give other results")
    print(f"{name:6} alone {best[1]:7.2f} s" +
          "".join(f"   {ranks} ranks {best[ranks]:7.2f} s, {best[1] / best[ranks]:.2f} times as fast" for ranks in RANKS),
          flush=True)


print(f"{os.cpu_count()} cores")
with tempfile.TemporaryDirectory() as scratch:
    for sweep_name, sweep_rest in SWEEPS.items():
        measure(scratch, sweep_name, sweep_rest)
