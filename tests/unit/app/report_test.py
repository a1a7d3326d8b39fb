"""report --json and --csv as other software reads them, and how the commands end. Arguments: the program of the commands
and the one that writes a sample."""
import csv, io, json, math, os, subprocess, sys, tempfile

commands, sample = map(os.path.abspath, sys.argv[1:])
directory = tempfile.TemporaryDirectory()
os.chdir(directory.name)
subprocess.run([sample, "out.h5"], check=True)


def run(*arguments):
    done = subprocess.run([commands, *arguments], capture_output=True, text=True, errors="strict")
    return done.returncode, done.stdout, done.stderr


code, out, err = run("report", "out.h5", "--json")
assert code == 0 and err == "", err
report = json.loads(out)
assert report["format"] == "pipar-report" and report["format_version"] == 1
assert report["varying"] == ["devices.0.network.name"]
fl, pipar, fl2, pipar2, strange = report["runs"]
assert (fl["method"], pipar["method"], pipar["reference"], pipar2["reference"]) == ("fl", "pipar", 0, 2)
assert pipar["speedup"] == 4 and pipar["server_idle_reduction"] == 16 and pipar["device_idle_reduction"] == 5
assert pipar["server_idle_by_cause_s"]["device_compute"] == 2.5 and pipar["bytes_up"] == 2500000
assert math.isclose(sum(pipar["device_idle_by_cause_s"].values()), pipar["device_idle_s"], rel_tol=1e-12)
assert pipar2["test_accuracy"] is None and pipar2["overrun_s"] is None and strange["reference"] is None
assert pipar["settings"]["devices.0.network.up_mbps"] == 0.1 and pipar["settings"]["record.model"] is False
assert strange["settings"]["devices.0.network.name"] == 'a "b", \'c\' \\d\n\x01 `touch pwned`'
assert pipar["split"] == [2, 2] and pipar["micro_batches"] == [4, 4] and pipar["seed"] == 1
group = report["groups"][pipar["group"]]
assert group["runs"] == [1, 3] and group["makespan_s"] == {
    "count": 2, "mean": 25.5, "half_width_95": group["makespan_s"]["half_width_95"]}
assert math.isclose(group["makespan_s"]["half_width_95"], 12.7062047362 * 0.5, rel_tol=1e-9)
assert all(set(run) == set(fl) for run in report["runs"])

code, out, err = run("report", "--csv", "out.h5")
assert code == 0 and err == ""
rows = list(csv.DictReader(io.StringIO(out, newline="")))
assert len(rows) == 5 and all(None not in row and None not in row.values() for row in rows)
for row, entry in zip(rows, report["runs"]):
    for key in ("makespan_s", "speedup", "server_idle_s", "device_idle_reduction", "test_accuracy", "bytes_down"):
        assert row[key] == ("" if entry[key] is None else f"{entry[key]:.12g}"), key
    for cause, seconds in entry["server_idle_by_cause_s"].items():
        assert row[f"server_idle_{cause}_s"] == f"{seconds:.12g}"
    assert row["devices.0.network.name"] == entry["settings"]["devices.0.network.name"]

for arguments, expected_code, expected in [
    (["report"], 1, "a results file is missing"),
    (["report", "--pdf", "out.h5"], 1, "there is no option '--pdf'"),
    (["report", "--csv", "--json", "out.h5"], 1, "exclude each other"),
    (["report", "out.h5", "./out.h5"], 1, "./out.h5 is given twice"),
    (["report", "none.h5"], 2, "cannot open none.h5"),
    (["diff", "out.h5"], 1, "two results files are wanted, 1 given"),
    (["diff", "out.h5", "none.h5"], 2, "cannot open none.h5"),
]:
    code, out, err = run(*arguments)
    assert code == expected_code and expected in err and err.count("\n") == 1 and out == "", (arguments, code, err)
for command in ("report", "diff"):
    code, out, err = run(command, "--help")
    assert code == 0 and out.startswith(f"usage: pipar {command} ") and err == ""

assert run("diff", "out.h5", "out.h5") == (0, "", "")
with open("out.h5", "rb") as file:
    content = file.read()
place = content.index(b"fashion-mnist")
with open("other.h5", "wb") as file:
    file.write(content.replace(b"\x00\x00\x00\x00\x00\x00\x59\x40", b"\x01\x00\x00\x00\x00\x00\x59\x40"))
code, out, err = run("diff", "out.h5", "other.h5")
assert (code, err) != (0, ""), "a changed file is the same"
