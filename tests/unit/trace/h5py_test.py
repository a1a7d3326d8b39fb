"""Results files are what docs/results.md says, to h5py. Arguments: the program that writes a sample, the page."""
import contextlib, io, math, os, re, subprocess, sys, tempfile

try:
    import h5py
    import numpy
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

sample, page = map(os.path.abspath, sys.argv[1:])
directory = tempfile.TemporaryDirectory()
os.chdir(directory.name)
subprocess.run([sample, "out.h5"], check=True)

CAUSES = ["device_compute_s", "upload_s", "server_queue_s", "server_compute_s", "download_s", "latency_s",
          "aggregation_s", "drain_s", "overrun_s", "absent_s"]
COLUMNS = {
    "devices": ["device", "group", "split", "micro_batches", "samples", "busy_s", "idle_s", *CAUSES, "bytes_up",
                "bytes_down"],
    "server": ["slot", "busy_s", "idle_s", *CAUSES],
    "rounds": ["round", "iterations", "end_s", "train_loss", "train_accuracy", "test_accuracy", "server_idle_s",
               "device_idle_s", "epsilon"],
    "stages": ["device", "slot", "round", "iteration", "micro_batch", "stage", "start_ns", "end_ns", "bytes"],
    "plan": ["group", "split", "micro_batches", "makespan_s", "chosen", "round"],
}
STAGES = ["forward", "upload", "server_forward", "server_backward", "download", "backward", "device_update",
          "server_update", "model_upload", "aggregate", "model_download", "server_backward_input",
          "server_backward_weight"]

with h5py.File("out.h5", "r") as file:
    assert file.attrs["format"] == b"pipar-results" and file.attrs["format_version"] == 1
    assert file.attrs["experiment"] == b"method: pipar\n" and file.attrs["host"] == b"localhost"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", file.attrs["created"].decode())
    run = file["runs/0"]
    assert run.attrs["status"] == b"complete" and run.attrs["makespan_s"] == 9.1 and run.attrs["bytes_up"] == 2625000
    assert math.isnan(run.attrs["overrun_s"])
    assert run.attrs["method"] == b"pipar" and run.attrs["seed"] == 1994
    assert run.attrs["training.learning_rate"] == 0.01 and run.attrs["record.model"] is numpy.True_
    for name, columns in COLUMNS.items():
        assert list(run[name].dtype.names) == columns, name
        assert len(run[name].attrs["units"]) == len(columns), name
        for column, unit in zip(columns, run[name].attrs["units"]):
            suffix = column.rsplit("_", 1)[-1]
            assert unit.decode() == suffix or suffix not in ("s", "ns"), column
    assert h5py.check_enum_dtype(run["stages"].dtype["stage"]) == {name: value for value, name in enumerate(STAGES)}
    assert run["stages"][1].tolist() == (0, -1, 0, 0, 0, 1, 10**9, 2 * 10**9, 1250000)
    assert run["stages"]["stage"].tolist() == [0, 1, 9]
    device = run["devices"][0]
    assert device["busy_s"] == 6.5 and device["download_s"] == 0.55 and device["bytes_down"] == 2625000
    assert abs(sum(device[cause] for cause in CAUSES) - device["idle_s"]) < 1e-12
    assert run["server"][0]["drain_s"] == 0.15
    assert run["rounds"][0]["test_accuracy"] == 0.75 and math.isnan(run["rounds"][0]["train_accuracy"])
    assert run["plan"]["chosen"].tolist() == [1, 0] and math.isnan(run["plan"][1]["makespan_s"])
    weight = run["model/block0.conv.weight"]
    assert weight.dtype == numpy.float32 and weight[:].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert run["model/block0.bn.running_mean"][:].tolist() == [6, 7]

# The page's own program, on the same file.
program = re.search(r"```python\n(.*?)```", open(page).read(), re.S).group(1)
sys.argv = ["program", "out.h5"]
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    exec(compile(program, page, "exec"))
for word in ("makespan_s", "server_backward_weight", "block0.conv.weight", "'start_ns': b'ns'"):
    assert word in printed.getvalue(), word

subprocess.run([sample, "left.h5", "running"], check=True)
with h5py.File("left.h5.part", "r", libver="latest", swmr=True) as file:
    assert file["runs/0"].attrs["status"] == b"running" and len(file["runs/0/stages"]) == 3
    assert file["runs/0/rounds"][0]["end_s"] == 9.1
