#!/usr/bin/python3
"""test_allocations.py PIPAR MPIRUN COUNTER: the program allocates nothing after the first iteration: as often in a run of
one round of two iterations as in one of three rounds of six, on every rank. COUNTER is count_allocations.c, preloaded."""

import os
import pathlib
import subprocess
import sys
import tempfile

PIPAR, MPIRUN, COUNTER = map(os.path.abspath, sys.argv[1:])

CASES = [
    (method, model, clock, ranks)
    for ranks in (1, 3)
    for method, model, clock in (
        ("pipar", "vgg5", "virtual"),
        ("fl", "vgg5", "virtual"),
        ("sl", "vgg5", "virtual"),
        ("1f1b", "mobilenetv3-small", "virtual"),
        ("pipar", "vgg5", "wall"),
    )
    if clock == "virtual" or ranks == 3
]


def count(folder, case, rounds, iterations):
    method, model, clock, ranks = case
    (folder / "exp.yaml").write_text(
        f"method: {method}\nmodel: {model}\nclock: {clock}\npipeline: {{split: 2, micro_batches: 3}}\n"
        f"dataset: {{name: synthetic, shape: [3, 32, 32], classes: 10, train_samples: {12 * iterations}, test_samples: 9}}\n"
        f"training: {{batch_size: 6, epochs: {rounds}}}\nrecord: {{stages: false}}\n"
        "devices:\n  - {count: 2, device: server-cpu, network: {up_mbps: 100000, down_mbps: 100000, latency_ms: 0}}\n"
    )
    launcher = [] if ranks == 1 else [MPIRUN, "--oversubscribe", "-n", str(ranks)]
    run = ["env", f"LD_PRELOAD={COUNTER}", "PIPAR_ALLOCATIONS=count", PIPAR, "run", "exp.yaml", "-q", "--force", "-o", "o.h5"]
    subprocess.run(launcher + run, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return [tuple(map(int, (folder / f"count{rank}").read_text().split())) for rank in range(ranks)]


def main():
    if os.geteuid() == 0:
        os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    failed = False
    with tempfile.TemporaryDirectory(prefix="pipar-allocations-") as name:
        for case in CASES:
            short, long = count(pathlib.Path(name), case, 1, 2), count(pathlib.Path(name), case, 3, 6)
            own = [(a[0], b[0]) for a, b in zip(short, long)]
            if case[2] == "wall":  # rank 0 explains idle time between rounds, when the clock stands still
                del own[0]
            bad = any(a != b or a == 0 for a, b in own)
            failed = failed or bad
            print(f"{'not ok' if bad else 'ok'}: {case}: own {own}, of libraries {[b[1] - a[1] for a, b in zip(short, long)]} more")
    sys.exit(1 if failed else 0)


main()
