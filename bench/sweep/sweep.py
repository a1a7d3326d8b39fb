#!/usr/bin/python3
"""sweep.py [BUILD [RUNS]]: a time-only sweep alone and spread over ranks by mpirun: wall times of whole commands, the
best of some turns that alternate, and the ratio of each to alone. The results must be the same bits. Beside them the
same sweep cut in two, run by two commands at once that know nothing of each other: what the machine gives two processes.

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
LIKE, MIXED = list(range(runs)), list(range(max(2, runs // 4)))
SWEEPS = {
    "like": (LIKE, "method: pipar\nsweep: {{seed: {seeds}}}"),
    "mixed": (MIXED, "sweep: {{seed: {seeds}, method: [fl, pipar, sfl, 1f1b]}}"),
}


def start(directory, experiment, ranks, out):
    command = [pipar, "run", experiment, "-q", "--force", "-o", os.path.join(directory, out)]
    environment = dict(os.environ)
    if ranks > 1:
        command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
        if os.geteuid() == 0:
            environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)


def seconds(directory, experiments, ranks):
    """Wall time of commands that run at once. The processors' clock would not show who waits."""
    begin = time.monotonic()
    started = [start(directory, path, ranks, f"{ranks}-{index}.h5") for index, path in enumerate(experiments)]
    if any([process.wait() != 0 for process in started]):
        sys.exit("a run failed")
    return time.monotonic() - begin


def write(directory, name, rest, seeds):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(EXPERIMENT.format(rest.format(seeds=seeds)))
    return path


def measure(directory, name, seeds, rest):
    whole = write(directory, f"{name}.yaml", rest, seeds)
    halves = [write(directory, f"{name}-half{half}.yaml", rest, seeds[half::2]) for half in range(2)]
    best = {}
    for _ in range(TURNS):
        for key, taken in (("apart", seconds(directory, halves, 1)), *((n, seconds(directory, [whole], n)) for n in (1, *RANKS))):
            best[key] = min(best.get(key, taken), taken)
    for ranks in RANKS:
        same = subprocess.run([pipar, "diff", os.path.join(directory, "1-0.h5"), os.path.join(directory, f"{ranks}-0.h5")],
                              check=False)
        if same.returncode != 0:
            sys.exit(f"{name}: {ranks} ranks give other results")
    times = [f"{label} {best[key]:.2f} s, {best[1] / best[key]:.2f} times as fast"
             for key, label in ((2, "2 ranks"), (3, "3 ranks"), ("apart", "two commands of half each"))]
    print(f"{name:6} alone {best[1]:.2f} s; " + "; ".join(times), flush=True)


print(f"{os.cpu_count()} cores")
with tempfile.TemporaryDirectory() as scratch:
    for sweep_name, (sweep_seeds, sweep_rest) in SWEEPS.items():
        measure(scratch, sweep_name, sweep_seeds, sweep_rest)
