#!/usr/bin/python3
"""test_early_signals.py PIPAR MPIRUN RAISER: a signal that comes before there is anything to stop stops a run all the same, in
one line, and leaves what was there. RAISER is signal_at_start.c, preloaded."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

PIPAR, MPIRUN, RAISER = map(os.path.abspath, sys.argv[1:4])
if os.geteuid() == 0:
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
EXPERIMENT = """\
method: pipar
pipeline: {split: 1, micro_batches: 2}
dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 16, test_samples: 8}
training: {batch_size: 4, epochs: 40}
devices: [{count: 2, device: raspberry-pi-4b, network: code-10-25}]
"""


def pipar(arguments, number, at):
    launcher = [MPIRUN, "--oversubscribe", "-n", "3"] if at == "mpi" else []
    environment = {**os.environ, "LD_PRELOAD": RAISER, "PIPAR_SIGNAL": str(int(number)), "PIPAR_SIGNAL_AT": at}
    return subprocess.run([*launcher, "env", *(f"{name}={environment[name]}" for name in
                                               ("LD_PRELOAD", "PIPAR_SIGNAL", "PIPAR_SIGNAL_AT")), PIPAR, *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def stops(code, words, number, at, *options):
    done = pipar(["run", "exp.yaml", "-o", "out.h5", *options], number, at)
    lines = [line for line in done.stderr.splitlines() if line.startswith("pipar: ")]
    assert done.returncode == code and len(lines) == 1 and words in lines[0], done


def outputs():
    return {path.name: path.read_bytes() for path in pathlib.Path(".").glob("out.h5*")}


os.chdir(directory := tempfile.mkdtemp(prefix="pipar-early-"))
pathlib.Path("exp.yaml").write_text(EXPERIMENT)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    for at in ("libraries", "mpi"):
        stops(3, "stopped by a signal before a round was complete: nothing is kept", number, at)
        assert not outputs(), outputs().keys()
        print(f"ok: {number.name} as {at} begin", flush=True)

kept = {}
while "out.h5.ckpt" not in kept:
    with subprocess.Popen([PIPAR, "run", "exp.yaml", "-o", "out.h5", "--force"], stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    kept = outputs()
for at in ("libraries", "mpi"):
    stops(4, "stopped by a signal: out.h5.part is as it was, --resume goes on", signal.SIGTERM, at, "--resume")
    assert outputs() == kept
print("ok: what was to be gone on with stays", flush=True)

for number in (signal.SIGTERM, signal.SIGINT):
    assert pipar(["presets"], number, "libraries").returncode == -number
print("ok: other commands end as ever", flush=True)
shutil.rmtree(directory)
