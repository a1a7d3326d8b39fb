#!/usr/bin/python3
"""test_measured.py PIPAR MPIRUN EXPERIMENT: runs whose stages last what computing them took. Alone and on 2 and 3 ranks
busy and causes add up, and the trained bits are those of the roofline; slowdowns scale the lengths."""
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

pipar, mpirun, experiment = sys.argv[1:4]
CAUSES = ["device_compute_s", "upload_s", "server_queue_s", "server_compute_s", "download_s", "latency_s",
          "aggregation_s", "drain_s", "overrun_s", "absent_s"]
FORWARD, SERVER_FORWARD, AGGREGATE = 0, 2, 9
COMPUTE = [0, 2, 3, 5, 6, 7, 9]


def run(directory, name, ranks, *settings):
    """Runs the experiment with `settings` on so many ranks and gives its first run."""
    path = os.path.join(directory, name + ".h5")
    overrides = [word for setting in settings for word in ("--set", setting)]
    launcher = [mpirun, "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    subprocess.run([*launcher, pipar, "run", experiment, "-q", "-o", path, *overrides], check=True)
    return h5py.File(path, "r")["runs/0"]


def check_conserved(group, measured):
    """Seconds are printed from whole nanoseconds: their sum is off by less than a rounding of each term. Busy is the
    sum of the recorded stages, exactly."""
    makespan, stages = group.attrs["makespan_s"], group["stages"][()]
    lengths = stages["end_ns"] - stages["start_ns"]
    assert (lengths >= 1).all()
    for table, own in (("devices", [0, 5, 6]), ("server", [2, 3, 7, 9])):
        for number, row in enumerate(group[table]):
            total = row["busy_s"] + sum(row[cause] for cause in CAUSES)
            assert abs(total - makespan) < 11 * numpy.spacing(makespan), (table, total, makespan)
            of = stages["device" if table == "devices" else "slot"] == number
            busy_ns = int(lengths[of & numpy.isin(stages["stage"], own)].sum())
            assert round(row["busy_s"] * 1e9) == busy_ns, (table, number, row["busy_s"], busy_ns)
    if measured:
        assert len(set(lengths[stages["stage"] == FORWARD])) > 1, "forwards of one length were not measured"
        costs = group["costs"][()]
        assert numpy.isnan(costs["seconds"][numpy.isin(costs["stage"], COMPUTE)]).all()
    assert len(group["rounds"]) == len(set(stages["round"]))


def same_model(a, b, what):
    names = sorted(a["model"])
    assert names and names == sorted(b["model"]), what
    for name in names:
        assert a["model"][name][()].tobytes() == b["model"][name][()].tobytes(), f"{what}: {name} differs"
    assert numpy.array_equal(a["rounds"]["train_loss"], b["rounds"]["train_loss"]), what
    assert numpy.array_equal(a["rounds"]["test_accuracy"], b["rounds"]["test_accuracy"]), what
    shape = ["device", "round", "iteration", "micro_batch", "stage", "bytes"]
    assert numpy.array_equal(*(numpy.sort(group["stages"][()][shape], order=shape) for group in (a, b))), what
    print(f"ok: {what}")


def median_ns(group, stage, devices):
    stages = group["stages"][()]
    of = (stages["stage"] == stage) & numpy.isin(stages["device"], devices)
    return numpy.median((stages["end_ns"] - stages["start_ns"])[of])


def check_ratio(ratio, what):
    """Both sides are the same work on one machine, 1000 times apart. What a cold cache, a slower clock or
    a busy neighbour on the core make of CPU time is far from a factor of 10."""
    assert 100 < ratio < 10000, (what, ratio)
    print(f"ok: {what}: {ratio:.0f}")


with tempfile.TemporaryDirectory() as directory:
    for method in ("fl", "sl", "sfl", "pipar", "1f1b"):
        roofline = run(directory, f"{method}-roofline", 1, f"method={method}", "cost={kind: roofline}",
                       "devices.1.cost={kind: roofline}")
        check_conserved(roofline, False)
        for ranks in (1, 2, 3):
            measured = run(directory, f"{method}-{ranks}", ranks, f"method={method}")
            check_conserved(measured, True)
            same_model(measured, roofline, f"{method} on {ranks} ranks trains as with roofline costs")
            if method == "pipar":
                check_ratio(median_ns(measured, FORWARD, [2]) / median_ns(measured, FORWARD, [0, 1]),
                            "devices slowed down 1000 times against devices as they are")
    for ranks in (1, 3):
        slow = run(directory, f"server-{ranks}", ranks, "cost={kind: measured, server: {slowdown: 1000}}",
                   "devices.1.cost={kind: measured, server: {slowdown: 1000}}")
        fast = run(directory, f"plain-{ranks}", ranks, "devices.1.cost={kind: measured}")
        for stage, name in ((SERVER_FORWARD, "server_forward"), (AGGREGATE, "aggregate")):
            device = [-1] if stage == AGGREGATE else [0, 1, 2]
            check_ratio(median_ns(slow, stage, device) / median_ns(fast, stage, device), f"{name} slowed down 1000 times")
        check_conserved(slow, True)
    for name, settings in {"space-share": ["server.policy=space-share"],
                           "half duplex": ["devices.0.network={up_mbps: 3, down_mbps: 7, latency_ms: 4, duplex: half}"],
                           "activation": ["privacy={mechanism: activation, clip: 1, noise_multiplier: 1}"]}.items():
        check_conserved(run(directory, name, 1, *settings), True)
        print(f"ok: {name} adds up")
