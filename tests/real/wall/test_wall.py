#!/usr/bin/python3
"""test_wall.py PIPAR MPIRUN EXPERIMENT: a run paced by the wall clock takes as long as the virtual clock says."""
import os
import subprocess
import sys
import tempfile
import time

try:
    import h5py
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

pipar, mpirun, experiment = sys.argv[1:4]
TRIES = 5
MAKESPAN_BAND = 0.03  # of the virtual makespan
OVERRUN_BAND = 0.01   # a host that was later than this did not keep up: the run says nothing about the simulator
if os.getuid() == 0:
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

with tempfile.TemporaryDirectory() as directory:
    def run(name, launcher, *settings):
        path = os.path.join(directory, name + ".h5")
        overrides = [word for setting in settings for word in ("--set", setting)]
        started = time.monotonic()
        subprocess.run([*launcher, pipar, "run", experiment, "-q", "--force", "-o", path, "--set", "record.model=true",
                        *overrides], check=True, stdin=subprocess.DEVNULL)
        return h5py.File(path, "r")["runs/0"], time.monotonic() - started

    virtual, _ = run("virtual", [])
    makespan = virtual.attrs["makespan_s"]
    for attempt in range(TRIES):
        wall, elapsed = run("wall", [mpirun, "--oversubscribe", "-n", "5"], "clock=wall")
        overrun = wall.attrs["overrun_s"] / makespan
        difference = wall.attrs["makespan_s"] / makespan - 1
        print(f"makespan: virtual {makespan:.3f} s, wall {wall.attrs['makespan_s']:.3f} s ({100 * difference:+.2f} %), "
              f"overrun {100 * overrun:.2f} %, the command took {elapsed:.1f} s")
        for label in ("server_idle_s", "device_idle_s"):
            print(f"{label}: virtual {virtual.attrs[label]:.3f}, wall {wall.attrs[label]:.3f}")
        assert elapsed >= wall.attrs["makespan_s"], "a wall-clock run cannot be quicker than its makespan"
        for name in virtual["model"]:
            assert virtual["model"][name][()].tobytes() == wall["model"][name][()].tobytes(), name
        if overrun <= OVERRUN_BAND:
            assert abs(difference) <= MAKESPAN_BAND, f"makespan differs by {100 * difference:.2f} %"
            sys.exit(0)
        wall.file.close()
    print(f"skipped: the machine was too busy, overrun above {100 * OVERRUN_BAND:.0f} % in {TRIES} runs")
    sys.exit(77)
