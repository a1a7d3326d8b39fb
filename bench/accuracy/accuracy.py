#!/usr/bin/python3
"""accuracy.py [PIPAR]: test accuracy of fl, sfl and pipar on all of Fashion-MNIST after 1, 2 and 3 rounds, and whether
pipar reaches 88.5 % and stays within 1 point of the others. Takes some minutes."""
import os
import subprocess
import sys
import tempfile

import h5py

here = os.path.dirname(os.path.abspath(__file__))
pipar = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../build/src/app/pipar")
if os.getuid() == 0:
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "accuracy.h5")
    subprocess.run(["mpirun", "--oversubscribe", "-n", "5", pipar, "run", os.path.join(here, "accuracy.yaml"), "-o",
                    path], check=True, stdin=subprocess.DEVNULL)
    last = {}
    with h5py.File(path, "r") as results:
        for run in results["runs"].values():
            method = run.attrs["method"]
            method = method.decode() if isinstance(method, bytes) else method
            rounds = run["rounds"]["test_accuracy"]
            last[method] = rounds[-1]
            print(f"{method:6}", *(f"{100 * accuracy:6.2f} %" for accuracy in rounds))

reached = last["pipar"] >= 0.885
close = all(abs(last["pipar"] - accuracy) <= 0.01 for accuracy in last.values())
print(f"pipar at least 88.5 %: {'yes' if reached else 'NO'}; within 1 point of fl and sfl: {'yes' if close else 'NO'}")
sys.exit(0 if reached and close else 1)
