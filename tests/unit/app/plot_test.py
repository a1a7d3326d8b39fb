"""Figures: which are made, from which numbers, always the same bytes, and how failures end. Arguments: the program of the
commands and the one that writes a sample."""
import csv, json, math, os, shutil, subprocess, sys, tempfile, xml.dom.minidom

commands, sample = map(os.path.abspath, sys.argv[1:])
if shutil.which("gnuplot") is None:
    print("skipped: gnuplot is not installed")
    sys.exit(77)
directory = tempfile.TemporaryDirectory()
os.chdir(directory.name)
subprocess.run([sample, "out.h5"], check=True)


def run(*arguments, path=os.environ["PATH"]):
    done = subprocess.run([commands, *arguments], capture_output=True, text=True, env={**os.environ, "PATH": path})
    return done.returncode, done.stdout, done.stderr


def read(name):
    with open(name, "rb") as file:
        return file.read()


code, out, err = run("plot", "out.h5", "-o", "some/where")
assert code == 0 and err == "", err
figures = ["idle", "time", "accuracy", "loss", "gantt-fl", "gantt-pipar"]
assert [line.split(".")[0] for line in out.splitlines()] == [f"some/where/{name}" for name in figures]
assert sorted(os.listdir("some/where")) == sorted(
    f"{name}.{extension}" for name in figures for extension in ("csv", "gnuplot", "svg", "png"))
for name in figures:
    text = xml.dom.minidom.parseString(read(f"some/where/{name}.svg")).documentElement
    assert len(text.getElementsByTagName("path")) > 5, name
    assert read(f"some/where/{name}.png").startswith(b"\x89PNG")

# A name out of the experiment is text to gnuplot and nothing else.
svg = read("some/where/idle.svg").decode()
assert "a &quot;b&quot;" in svg or 'a "b"' in svg, "the network's name is missing"
assert "`touch pwned`" in svg and not any("pwned" in names for _, _, names in os.walk("."))

code, out, err = run("plot", "-o", "again", "out.h5")
assert code == 0
for name in os.listdir("again"):
    if not name.endswith(".png"):
        assert read(f"again/{name}") == read(f"some/where/{name}"), name

# The data beside a figure are the file's.
report = json.loads(run("report", "--json", "out.h5")[1])
with open("again/idle.csv", newline="") as file:
    for row in csv.DictReader(file):
        group = report["groups"][report["runs"][int(row["run"])]["group"]]
        assert math.isclose(float(row["server_idle_s"]), group["server_idle_s"]["mean"], rel_tol=1e-12)
        causes = [float(value) for key, value in row.items()
                  if key.startswith("device_") and key.endswith("_s") and key != "device_idle_s"]
        assert len(causes) == 10 and math.isclose(sum(causes), float(row["device_idle_s"]), rel_tol=1e-12)
with open("again/time.csv", newline="") as file:
    rows = {(row["method"], row["devices.0.network.name"]): row for row in csv.DictReader(file)}
assert float(rows["pipar", "slow"]["makespan_s"]) == 25.5 and float(rows["pipar", "slow"]["speedup"]) == 4
with open("again/gantt-pipar.csv", newline="") as file:
    rows = list(csv.DictReader(file))
# Two devices, seven stages each, the second an eighth of a second later (tests/unit/app/samples.c).
assert len(rows) == 14
first = [row for row in rows if row["device"] == "0"]
assert [row["kind"] for row in first] == ["forward", "upload", "forward", "backward", "download", "backward", "update"]
assert [int(row["lane"]) for row in first] == [0, 1, 6, 6, 2, 0, 0]
assert [float(row["start_s"]) for row in first] == [0, 0.5, 1, 1.5, 2, 2.5, 3]
assert {row["start_s"] for row in rows if row["device"] == "1" and row["kind"] == "upload"} == {"0.625"}

# A gnuplot that cannot be found or that fails: one line, the data are there.
os.mkdir("bin")
code, out, err = run("plot", "out.h5", "-o", "without", path=os.path.abspath("bin"))
assert code == 3 and err.count("\n") == 1 and "gnuplot could not be started" in err and out == "", err
assert {f"{name}.csv" for name in figures} <= set(os.listdir("without"))
with open("bin/gnuplot", "w") as file:
    file.write("#!/bin/sh\necho '\"idle.gnuplot\" line 3: out of ink' >&2\nexit 2\n")
os.chmod("bin/gnuplot", 0o755)
code, out, err = run("plot", "out.h5", "-o", "failing", path=os.path.abspath("bin") + ":" + os.environ["PATH"])
assert code == 3 and err == "pipar: gnuplot failed on failing/idle.gnuplot: line 3: out of ink\n", err

for arguments, expected_code, expected in [
    (["plot", "-o", "x"], 1, "a results file is missing"),
    (["plot", "out.h5"], 1, "-o DIR is missing"),
    (["plot", "out.h5", "-o"], 1, "needs a value"),
    (["plot", "none.h5", "-o", "x"], 2, "cannot open none.h5"),
    (["plot", "out.h5", "-o", "out.h5/x"], 3, "cannot make the directory out.h5/x: Not a directory"),
    (["plot", "out.h5", "-o", "x", "--idle", "sometimes"], 1, "--idle sometimes: allowed is causes or as-published"),
    (["plot", "out.h5", "-o", "x", "--idle", "as-published"], 2, "idle time as published allows space-share"),
    (["plot", "out.h5", "-o", "out.h5"], 3, "cannot make the directory out.h5: File exists"),
]:
    code, out, err = run(*arguments)
    assert code == expected_code and expected in err and err.count("\n") == 1 and out == "", (arguments, code, err)
code, out, err = run("plot", "--help")
assert code == 0 and out.startswith("usage: pipar plot ") and err == ""
