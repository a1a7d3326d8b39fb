#!/usr/bin/python3
"""test_async.py PIPAR EXPERIMENT: what an aggregate of a buffer of updates makes of them, against closed forms."""
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

PIPAR, EXPERIMENT = sys.argv[1:3]
AGGREGATE, MODEL_DOWNLOAD = 9, 10
UNEQUAL = ("devices=[{count: 1, device: raspberry-pi-5, network: code-50-50, samples: 32, pipeline: {split: 2, micro_batches: 2}},"
           " {count: 1, device: raspberry-pi-5, network: code-50-50, samples: 40, pipeline: {split: 2, micro_batches: 2}}]")
ALIKE = "devices=[{count: 3, device: raspberry-pi-5, network: code-50-50, pipeline: {split: 2, micro_batches: 2}}]"


def run(directory, name, *settings):
    path = os.path.join(directory, name + ".h5")
    overrides = [word for setting in {s.split("=")[0]: s for s in settings}.values() for word in ("--set", setting)]
    subprocess.run([PIPAR, "run", EXPERIMENT, "-q", "-o", path, *overrides], check=True)
    return h5py.File(path, "r")["runs/0"]


def tensors(group):
    return {name: group["model"][name][()].astype(numpy.float64) for name in group["model"]}


def ulp(*values):
    """A unit in the last place of the largest of them as float32."""
    largest = numpy.maximum.reduce([numpy.abs(value) for value in values])
    return numpy.spacing(largest.astype(numpy.float32)).astype(numpy.float64)


def main(directory):
    # The first device begins its second local round with version 0, the second one with version 1: the last aggregate
    # takes one update of staleness 1 and one of 0, so it is linear in 2^-a.
    unequal = [UNEQUAL, "training.epochs=2", "aggregate.buffer=2", "dataset.train_samples=72"]
    runs = {a: run(directory, f"a{a}", *unequal, f"aggregate.staleness_exponent={a}") for a in (0, 1, 100)}
    stages = runs[0]["stages"][()]
    ends = sorted(stages[stages["stage"] == AGGREGATE]["end_ns"])
    downloads = stages[stages["stage"] == MODEL_DOWNLOAD]
    starts = [min(downloads[downloads["device"] == device]["start_ns"]) for device in (0, 1)]
    assert len(ends) == 2 and starts[0] < ends[0] <= starts[1]
    all_of_it, half, none = (tensors(runs[a]) for a in (0, 1, 100))
    for name in all_of_it:
        middle = (all_of_it[name] + none[name]) / 2
        # Three roundings to float32 of half a unit each, of which two are halved.
        assert numpy.all(numpy.abs(half[name] - middle) <= ulp(all_of_it[name], none[name])), name
    assert any(numpy.any(all_of_it[name] != none[name]) for name in all_of_it)
    print("ok: a model one aggregate old counts (1 + 1)^-a")

    # Versions of the model are the same as long as nothing stale is in them.
    first = tensors(run(directory, "first", *unequal, "training.epochs=1"))
    average = tensors(run(directory, "average", *unequal, "training.epochs=1", "aggregate.mode=sync"))
    for name in first:
        assert numpy.all(numpy.abs(first[name] - average[name]) <= ulp(first[name], average[name])), name
    print("ok: updates of the initial model average to what FedAvg has, by samples")

    # Devices that are alike are complete at the same instant, so with room for all each waits for all.
    alike = [ALIKE, "server.slots=3", "aggregate.buffer=3", "training.epochs=3"]
    together, buffered = run(directory, "sync", *alike, "aggregate.mode=sync"), run(directory, "async", *alike)
    assert together.attrs["makespan_s"] == buffered.attrs["makespan_s"]
    for field in ("iterations", "train_loss"):
        assert numpy.allclose(together["rounds"][field], buffered["rounds"][field], rtol=1e-4, atol=0), field
    print("ok: devices that are alike do the same with and without waiting")

    for attribute, group in (("devices", buffered), ("server", buffered)):
        for row in group[attribute]:
            assert abs(row["busy_s"] + row["idle_s"] - group.attrs["makespan_s"]) < 1e-9
    for group in runs.values():
        assert group.attrs["bytes_up"] == group["stages"]["bytes"][numpy.isin(group["stages"]["stage"], (1, 8))].sum()
        assert group.attrs["bytes_down"] == group["stages"]["bytes"][numpy.isin(group["stages"]["stage"], (4, 10))].sum()
    print("ok: bytes are those of the stages")


with tempfile.TemporaryDirectory() as folder:
    main(folder)
