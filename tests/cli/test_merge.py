"""test_merge.py PIPAR: runs of a sweep one by one, merged, are what one `pipar run` writes."""
import os, subprocess, sys, tempfile

PIPAR = os.path.abspath(sys.argv[1])
directory = tempfile.TemporaryDirectory()
os.chdir(directory.name)

EXPERIMENT = """\
name: sweep
training: {epochs: 2, batch_size: 4}
pipeline: {split: 1, micro_batches: 2}
dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 16, test_samples: 8}
record: {model: true}
devices:
  - {count: 2, device: raspberry-pi-4b, network: code-10-25}
sweep: {method: [fl, pipar], devices.0.count: [2, 3], seed: [1, 2, 3]}
"""
with open("exp.yaml", "w") as file:
    file.write(EXPERIMENT)


def pipar(*arguments, code=0):
    done = subprocess.run([PIPAR, *arguments], capture_output=True, text=True)
    assert done.returncode == code, (arguments, done)
    assert code == 0 or arguments[0] == "diff" or done.stderr.count("\n") == 1, done
    return done


def run(number, *options, name=None):
    pipar("run", "exp.yaml", "--run", str(number), "-o", name or f"{number}.h5", "-q", *options)


assert pipar("check", "exp.yaml", "--runs").stdout == "12\n"
pipar("run", "exp.yaml", "-o", "all.h5", "-q")
for number in range(12):
    run(number)
files = [f"{number}.h5" for number in (7, 0, 11, 3, 4, 5, 6, 1, 8, 9, 10, 2)]
assert pipar("merge", *files, "-o", "merged.h5").stderr == ""
pipar("diff", "all.h5", "merged.h5")
for form in ([], ["--csv"], ["--json"]):
    one, other = (pipar("report", name, *form).stdout.replace(name, "X") for name in ("all.h5", "merged.h5"))
    assert one == other, form
# What the runs were loaded from is there too.
one, other = (pipar("report", "--why", name, "--run", "5").stdout.replace(name, "X") for name in ("all.h5", "merged.h5"))
assert one == other and "critical path" in one, (one, other)
# A part keeps its run's number and is the same run; merged parts can be merged again.
assert pipar("diff", "3.h5", "4.h5", code=1).stdout == "/runs/3: only in 3.h5\n"
assert "run 3 only" in pipar("report", "3.h5").stdout or " 3 " in pipar("report", "3.h5").stdout
run(3, name="again.h5")
pipar("diff", "3.h5", "again.h5")
pipar("merge", "all.h5", "-o", "copy.h5")
pipar("diff", "all.h5", "copy.h5")
pipar("run", "exp.yaml", "--run", "0", "-q")
assert os.path.exists("results/sweep-0.h5")

with open("exp.yaml", "a") as file:
    file.write("# another text\n")
run(1, name="other.h5")
with open("exp.yaml", "w") as file:
    file.write(EXPERIMENT)
run(1, "--set", "training.epochs=3", name="set.h5")
with open("traced.yaml", "w") as file:
    file.write(EXPERIMENT.replace("network: code-10-25", "network: {up_trace: up.txt, down_mbps: 25, latency_ms: 1}"))
for number, rate in ((0, 10), (1, 20)):
    with open("up.txt", "w") as file:
        file.write(f"0 {rate}\n")
    pipar("run", "traced.yaml", "--run", str(number), "-o", f"traced{number}.h5", "-q")
os.mkdir("there")
before = open("all.h5", "rb").read()
for arguments, code, message in [
    ([], 1, "results files are missing"),
    (["0.h5"], 1, "-o OUT.h5 is missing"),
    ([*files, "-o", "all.h5"], 1, "all.h5 exists: --force"),
    ([*files, "-o", "0.h5", "--force"], 1, "0.h5 is read"),
    ([*files, "-o", "there", "--force"], 1, "there is a directory"),
    ([*files, "again.h5", "-o", "x.h5"], 2, "run 3 is in 3.h5 and in again.h5"),
    ([*files[1:], "-o", "x.h5"], 2, "1 of the sweep's 12 runs is in none of the files, the first is run 7"),
    (["0.h5", "11.h5", "-o", "x.h5"], 2, "10 of the sweep's 12 runs are in none of the files, the first is run 1"),
    (["0.h5", "other.h5", "-o", "x.h5"], 2, "0.h5 and other.h5 are not of the same experiment"),
    (["0.h5", "set.h5", "-o", "x.h5"], 2, "0.h5 and set.h5 are not of the same experiment"),
    (["traced0.h5", "traced1.h5", "-o", "x.h5"], 2, "traced0.h5 and traced1.h5 were not loaded from the same files: up.txt"),
    (["0.h5", "none.h5", "-o", "x.h5"], 2, "cannot open none.h5"),
    (["0.h5", "exp.yaml", "-o", "x.h5"], 2, "exp.yaml is not an HDF5 file"),
]:
    done = pipar("merge", *arguments, code=code)
    assert message in done.stderr, (arguments, done.stderr)
assert open("all.h5", "rb").read() == before and not [name for name in os.listdir(".") if name.startswith("x.h5")]
for wrong in ("12", "-1", "x", ""):
    assert "has runs 0 to 11" in pipar("run", "exp.yaml", "--run", wrong, "-o", "x.h5", code=1).stderr
