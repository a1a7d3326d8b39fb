#!/usr/bin/python3
"""test_replan.py PIPAR MPIRUN EXPERIMENT: plans that change while a network is trained. Where they change only the split,
training goes on as if they did not, momentum included; where they do not change, all is as with one plan; a rank takes no
more memory than `pipar check` says; and what cannot be planned again is said."""
import os
import re
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

pipar, mpirun, experiment = map(os.path.abspath, sys.argv[1:4])
if os.geteuid() == 0:
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
# Links of one rate that move the plans of no round.
STEADY = ("devices=[{count: 2, device: raspberry-pi-4b, network: code-10-25},"
          " {count: 2, device: raspberry-pi-5, network: code-50-50}]")
# The peak of each rank.
WRAPPER = """\
import os, resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1] + os.environ.get("OMPI_COMM_WORLD_RANK", "0"), "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def overrides(settings):
    return [word for setting in settings for word in ("--set", setting)]


def run(directory, name, ranks, *settings, wrapper=()):
    path = os.path.join(directory, name + ".h5")
    launcher = [mpirun, "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    subprocess.run([*launcher, *wrapper, pipar, "run", experiment, "-q", "-o", path, *overrides(settings)], check=True,
                   stdin=subprocess.DEVNULL)
    return h5py.File(path, "r")["runs/0"]


def splits(of):
    """What each group's split was, round by round."""
    plans = of["round_plans"][()]
    assert len(plans) == len(of["rounds"]) * len(set(plans["group"])), "a row a round and group"
    return [[int(row["split"]) for row in plans if row["group"] == group] for group in sorted(set(plans["group"]))]


def same_training(a, b, what):
    names = sorted(a["model"])
    assert names and names == sorted(b["model"]), what
    for name in names:
        assert a["model"][name][()].tobytes() == b["model"][name][()].tobytes(), f"{what}: {name} differs"
    for column in ("train_loss", "train_accuracy", "test_accuracy"):
        assert numpy.array_equal(a["rounds"][column], b["rounds"][column]), f"{what}: {column} differs"
    print(f"ok: {what}")


def refused(text, *settings):
    done = subprocess.run([pipar, "check", experiment, *overrides(settings)], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and text in done.stderr, (settings, done.returncode, done.stderr)
    print(f"ok: {text}")


with tempfile.TemporaryDirectory(prefix="pipar-replan-") as directory:
    four = ["pipeline.micro_batches=4", "pipeline.replan=1"]
    fixed = run(directory, "fixed", 1, "pipeline={split: 2, micro_batches: 4}")
    for ranks in (1, 3):
        moving = run(directory, f"moving-{ranks}", ranks, *four)
        steps = [b - a for of in splits(moving) for a, b in zip(of, of[1:])]
        assert min(steps) < 0 < max(steps), f"blocks go both ways: {splits(moving)}"
        assert moving.attrs["makespan_s"] != fixed.attrs["makespan_s"]
        same_training(moving, fixed, f"on {ranks} ranks the split changes and training does not")
    for ranks in (1, 3):
        shared = run(directory, f"shared-{ranks}", ranks, "server={slots: 2, link: {up_mbps: 300, down_mbps: 150}}", *four)
        assert any(len(set(of)) > 1 for of in splits(shared)), splits(shared)
        assert shared.attrs["makespan_s"] != moving.attrs["makespan_s"]
        same_training(shared, fixed, f"over the server's link on {ranks} ranks too")
    plain = run(directory, "plain", 1, STEADY, "pipeline={split: auto, micro_batches: auto}")
    again = run(directory, "again", 1, STEADY)
    assert all(len(set(of)) == 1 for of in splits(again)), splits(again)
    same_training(plain, again, "plans that stay the same train as one plan")
    for table in ("stages", "rounds", "devices", "server"):
        assert plain[table][()].tobytes() == again[table][()].tobytes(), table
    print("ok: and take the same time, stage by stage")

    text = subprocess.run([pipar, "check", experiment], check=True, capture_output=True, text=True).stdout
    alone, server, device = map(int, re.search(
        r"alone (\d+) MiB, with \d+ ranks \d+ MiB \(server (\d+), device up to (\d+)\)", text).groups())
    for ranks, limits in ((1, [alone]), (5, [server] + 4 * [device])):
        peak = os.path.join(directory, f"peak-{ranks}-")
        run(directory, f"memory-{ranks}", ranks, wrapper=[sys.executable, "-c", WRAPPER, peak])
        for rank, limit in enumerate(limits):
            with open(f"{peak}{rank}", encoding="ascii") as file:
                used = int(file.read()) / 1024
            assert used <= 1.1 * limit, f"rank {rank} of {ranks}: {used} MiB, predicted at most {limit}"
            print(f"ok: rank {rank} of {ranks} takes {used:.0f} MiB of at most {limit}")

    text = subprocess.run([pipar, "check", experiment, "--set", "method=sl"], check=True, capture_output=True,
                          text=True).stdout
    assert "pipeline.replan is unused in sl" in text, text
    print("ok: check says that sl keeps its plan")
    refused("pipeline.replan: 1 is not built yet with clock: wall", "clock=wall")
    refused("pipeline.replan: 1 is not built yet with devices that come, go or drop out", "aggregate.min_devices=2")
