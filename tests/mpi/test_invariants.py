#!/usr/bin/python3
"""test_invariants.py PIPAR EXPERIMENT: what must not change the trained weights does not, to the bit; and on every
device and slot busy and causes add up to the makespan."""
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

pipar, experiment = sys.argv[1:3]
CAUSES = ["device_compute_s", "upload_s", "server_queue_s", "server_compute_s", "download_s", "latency_s",
          "aggregation_s", "drain_s", "overrun_s", "absent_s"]


def run(directory, name, *settings):
    """Runs the experiment with `settings` and gives the open results file."""
    path = os.path.join(directory, name + ".h5")
    overrides = [word for setting in settings for word in ("--set", setting)]
    subprocess.run([pipar, "run", experiment, "-q", "-o", path, *overrides], check=True)
    results = h5py.File(path, "r")
    for group in results["runs"].values():
        conserved(group)
    return results


def conserved(group):
    """Seconds are printed from whole nanoseconds: their sum is off by less than a rounding of each term."""
    makespan = group.attrs["makespan_s"]
    for table in ("devices", "server"):
        for row in group[table]:
            total = row["busy_s"] + sum(row[cause] for cause in CAUSES)
            assert abs(total - makespan) < 11 * numpy.spacing(makespan), (table, total, makespan)
            assert abs(row["busy_s"] + row["idle_s"] - makespan) < 3 * numpy.spacing(makespan)
    assert group.attrs["bytes_up"] == sum(group["devices"]["bytes_up"])


def same_model(a, b, what):
    names = sorted(a["model"])
    assert names and names == sorted(b["model"]), what
    for name in names:
        assert a["model"][name][()].tobytes() == b["model"][name][()].tobytes(), f"{what}: {name} differs"
    print(f"ok: {what}")


with tempfile.TemporaryDirectory() as directory:
    one = ["pipeline.micro_batches=1", "pipeline.split=2",
           "devices=[{count: 3, device: raspberry-pi-4b, network: code-10-25}]"]
    both = run(directory, "n1", "sweep={method: [sfl, pipar]}", *one)
    sfl, pipar_run = both["runs/0"], both["runs/1"]
    same_model(sfl, pipar_run, "pipar with one micro-batch trains as sfl")
    assert sfl.attrs["makespan_s"] == pipar_run.attrs["makespan_s"]
    assert numpy.array_equal(sfl["stages"][()], pipar_run["stages"][()])
    assert numpy.array_equal(sfl["rounds"]["train_loss"], pipar_run["rounds"]["train_loss"])
    print("ok: and happens at the same nanoseconds")

    plain = run(directory, "plain", "method=pipar")["runs/0"]
    for name, settings in {
            "links": ["devices.0.network={up_mbps: 3, down_mbps: 70, latency_ms: 40, duplex: half}"],
            "devices": ["devices.1.device={dense_conv_gflops: 90, pointwise_gflops: 9, depthwise_gflops: 9,"
                        " linear_gflops: 9, memory_gbs: 20, overhead_us: 3}"],
            "slots": ["server.slots=1", "server.device={dense_conv_gflops: 9, pointwise_gflops: 9, depthwise_gflops: 9, linear_gflops: 9, memory_gbs: 9, overhead_us: 900}"]}.items():
        other = run(directory, name, "method=pipar", *settings)["runs/0"]
        assert other.attrs["makespan_s"] != plain.attrs["makespan_s"], f"{name} should change the time"
        same_model(plain, other, f"the trained weights do not depend on {name}")
