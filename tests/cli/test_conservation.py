#!/usr/bin/python3
"""test_conservation.py PIPAR: of every run here, worked out again from the stages that it recorded: on each device and
slot busy time and causes of idle time are the makespan, to the nanosecond; what was sent was received, byte by byte and
micro-batch by micro-batch."""

import collections
import glob
import os
import subprocess
import sys
import tempfile

try:
    import h5py
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

pipar = sys.argv[1]
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CAUSES = ["device_compute_s", "upload_s", "server_queue_s", "server_compute_s", "download_s", "latency_s",
          "aggregation_s", "drain_s", "overrun_s", "absent_s"]
MIXED = """\
compute: none
seed: 3
model: vgg5
training: {epochs: 2, batch_size: 8}
dataset: {name: synthetic, shape: [1, 28, 28], classes: 10, train_samples: 150}
pipeline: {split: 2, micro_batches: 3, in_flight: 2}
server: {slots: 2}
devices:
  - {count: 2, device: raspberry-pi-4b, network: code-10-25}
  - {count: 1, device: raspberry-pi-3b, network: {up_mbps: 3, down_mbps: 20, latency_ms: 30, duplex: half}}
  - count: 1
    device: raspberry-pi-5
    network: {up_trace: [[0, 9], [0.4, 0], [0.5, 20]], up_loop_after_s: 0.3, down_mbps: 50, latency_ms: 10}
    slowdown: [[0, 1], [0.8, 3]]
"""
ANY = "sweep: {method: [fl, sfl, pipar, 1f1b, bw-split], server.policy: [fifo, space-share, priority]}\n"
LINK = "server: {slots: 2, link: {up_mbps: 12, down_mbps: 30}}\n"
GOING = "dropout: 0.3, departs_s: 1.5"
WRITTEN = {
    "methods": MIXED.replace("server: {slots: 2}\n", "") + ANY,
    "turns": MIXED + "method: sl\n",
    "async": MIXED + "aggregate: {mode: async, buffer: 2}\nsweep: {method: [fl, sfl, pipar, 1f1b, bw-split]}\n",
    "link": MIXED.replace("server: {slots: 2}\n", LINK) + "sweep: {method: [fl, sl, sfl, pipar, 1f1b, bw-split]}\n",
    "going": MIXED.replace("network: code-10-25}", f"network: code-10-25, {GOING}}}") +
             "aggregate: {deadline_s: 1, min_devices: 2}\nsweep: {method: [fl, sfl, pipar, 1f1b, bw-split]}\n",
}
# Stages as docs/timing-model.md numbers them.
FORWARD, UPLOAD, SERVER_FORWARD, _, DOWNLOAD, BACKWARD, UPDATE, _, MODEL_UPLOAD, AGGREGATE, MODEL_DOWNLOAD = range(11)
ON_DEVICE, ON_SERVER = {FORWARD, BACKWARD, UPDATE}, {2, 3, 7, AGGREGATE, 11, 12}


def ns(seconds):
    """Whole nanoseconds are printed as doubles: exact again up to some 50 days."""
    return round(float(seconds) * 1e9)


def same(what, a, b):
    assert a == b, f"{what}: {a} is not {b}"


def add_up(run, stages):
    """Busy times and bytes are those of the stages; with the causes they make up the makespan."""
    makespan = ns(run.attrs["makespan_s"])
    busy, sent = collections.Counter(), collections.Counter()
    for row in stages:
        stage, length = row["stage"], int(row["end_ns"]) - int(row["start_ns"])
        if stage in ON_DEVICE:
            busy["device", row["device"]] += length
        elif stage in ON_SERVER:
            busy["slot", row["slot"]] += length
        elif stage in (UPLOAD, MODEL_UPLOAD):
            sent["up", row["device"]] += int(row["bytes"])
        else:
            sent["down", row["device"]] += int(row["bytes"])
    for table, key in (("devices", "device"), ("server", "slot")):
        for row in run[table]:
            what = f"{key} {row[key]}"
            same(f"{what}: busy and causes", ns(row["busy_s"]) + sum(ns(row[cause]) for cause in CAUSES), makespan)
            same(f"{what}: busy and idle", ns(row["busy_s"]) + ns(row["idle_s"]), makespan)
            same(f"{what}: busy", ns(row["busy_s"]), busy[key, row[key]])
    for way in ("up", "down"):
        for row in run["devices"]:
            same(f"bytes {way} of device {row['device']}", int(row[f"bytes_{way}"]), sent[way, row["device"]])
        same(f"bytes {way}", int(run.attrs[f"bytes_{way}"]), sum(sent[w, device] for w, device in sent if w == way))


def hand_over(stages, all_stay):
    """What a message carries is used once, and after it was there. Where devices go some is sent in vain."""
    for message, use in ((UPLOAD, SERVER_FORWARD), (DOWNLOAD, BACKWARD)):
        came = {key(row): row for row in stages if row["stage"] == message and row["bytes"] > 0}
        used = [row for row in stages if row["stage"] == use]
        if message == DOWNLOAD and not came:
            continue  # fl has backwards of its own
        same("uses of a message", len(set(map(key, used))), len(used))
        for row in used:
            assert key(row) in came, f"{row} uses what never came"
            assert row["start_ns"] >= came[key(row)]["end_ns"], f"{row} starts before {came[key(row)]} ends"
        if all_stay:
            same("messages that are used", len(used), len(came))


def key(row):
    return int(row["device"]), int(row["iteration"]), int(row["micro_batch"])


def check(directory, path, *settings):
    out = os.path.join(directory, "out.h5")
    overrides = [word for setting in settings for word in ("--set", setting)]
    subprocess.run([pipar, "run", path, "-q", "--force", "-o", out, *overrides], check=True, stdin=subprocess.DEVNULL)
    count = 0
    with h5py.File(out, "r") as file:
        for name, run in file["runs"].items():
            stages = run["stages"][()]
            assert len(stages) > 0
            try:
                add_up(run, stages)
                waits = not any(run.attrs.get(f"aggregate.{rule}", 0) for rule in ("deadline_s", "min_devices"))
                hand_over(stages, waits and not any(row["absent_s"] for row in run["devices"]))
            except AssertionError as failure:
                sys.exit(f"{os.path.basename(path)}, run {name} ({run.attrs['method']}): {failure}")
            count += 1
    return count


with tempfile.TemporaryDirectory() as scratch:
    runs = 0
    for written, text in WRITTEN.items():
        with open(os.path.join(scratch, f"{written}.yaml"), "w", encoding="utf-8") as experiment:
            experiment.write(text)
        runs += check(scratch, experiment.name)
    for example in sorted(glob.glob(os.path.join(TESTS, "golden", "*.yaml"))):
        runs += check(scratch, example, "record.stages=true")
    # With real training, without what takes long.
    for trained in sorted(glob.glob(os.path.join(TESTS, "mpi", "*.yaml"))):
        runs += check(scratch, trained, "record.stages=true", "training.epochs=1")
print(f"ok: {runs} runs")
