"""test_python.py PIPAR PAGE: the blocks of docs/python.md do what the page says, and reports tell of each device group what
the file's rows say."""
import contextlib, io, json, os, re, subprocess, sys, tempfile

try:
    import h5py
    import pandas
except ImportError as error:
    print(f"skipped: {error} (Debian: python3-h5py, python3-pandas)")
    sys.exit(77)

PIPAR = os.path.abspath(sys.argv[1])
with open(sys.argv[2], encoding="utf-8") as file:
    blocks = re.findall(r"```python\n(.*?)```", file.read(), re.S)
assert len(blocks) == 3 and len(blocks[0].splitlines()) <= 6
directory = tempfile.TemporaryDirectory()
os.chdir(directory.name)
os.environ["PATH"] = os.path.dirname(PIPAR) + ":" + os.environ["PATH"]
with open("exp.yaml", "w") as file:
    file.write("""\
compute: none
pipeline: {micro_batches: 3}
cost:
  kind: table
  iterations: 2
  device: {forward_s: 1, backward_s: 2, update_s: 0.5}
  server: {forward_s: 0.5, backward_s: 1, update_s: 0.25, aggregate_s: 0.05}
  bytes: {upload: 1250000, download: 1250000, model_upload: 125000, model_download: 125000}
devices:
  - {count: 3, network: {up_mbps: 10, down_mbps: 20, latency_ms: 100}}
  - {count: 2, network: {up_mbps: 3, down_mbps: 9, latency_ms: 3}}
sweep: {method: [fl, pipar]}
""")
subprocess.run([PIPAR, "run", "exp.yaml", "-o", "out.h5", "-q"], check=True)
sys.argv[1:] = ["out.h5"]


def execute(block):
    space, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(block, space)
    return space, out.getvalue()


space, _ = execute(blocks[0])
with h5py.File("out.h5", "r") as file:
    for name, frame in space["tables"].items():
        for run, group in file["runs"].items():
            table = group[name][:]
            assert list(frame.columns) == list(table.dtype.names)
            rows = frame.loc[int(run)] if len(table) else []
            assert len(rows) == len(table)
            for column in table.dtype.names if len(table) else ():
                same = (rows[column].to_numpy() == table[column]) | (table[column] != table[column])
                assert same.all(), (name, column)
    settings = space["settings"]
    assert [method.decode() for method in settings["method"]] == ["fl", "pipar"]
    devices = {int(run): group["devices"][:] for run, group in file["runs"].items()}
_, text = execute(blocks[1])
assert re.search(r"^server_forward +NaN +0\.5", text, re.M), text
_, text = execute(blocks[2])
assert "fl" in text and "pipar" in text and "1.0" in text

report = json.loads(subprocess.run([PIPAR, "report", "--json", "out.h5"], capture_output=True, check=True).stdout)
table = pandas.read_csv(io.StringIO(subprocess.run([PIPAR, "report", "--csv", "out.h5"], capture_output=True, text=True,
                                                   check=True).stdout))
for run in report["runs"]:
    rows = devices[run["run"]]
    assert [group["devices"] for group in run["device_groups"]] == [3, 2]
    for group in run["device_groups"]:
        own = rows[rows["group"] == group["group"]]
        fl = devices[0][devices[0]["group"] == group["group"]]
        expected = {"busy_s": own["busy_s"].mean(), "idle_s": own["idle_s"].mean(),
                    "idle_reduction": fl["idle_s"].mean() / own["idle_s"].mean()}
        line = table[table["run"] == run["run"]].iloc[0]
        for key, value in expected.items():
            assert abs(group[key] - value) <= 1e-12 * value
            assert abs(line[f"group{group['group']}_{key}"] - value) <= 1e-11 * value  # of 12 digits
        for cause, value in group["idle_by_cause_s"].items():
            assert abs(value - own[cause + "_s"].mean()) <= 1e-9, cause
        assert abs(sum(group["idle_by_cause_s"].values()) - group["idle_s"]) <= 1e-9
text = subprocess.run([PIPAR, "report", "out.h5"], capture_output=True, text=True, check=True).stdout
for group in report["runs"][1]["device_groups"]:
    assert re.search(rf"^ *1 +pipar +group {group['group']} +{group['idle_s']:.2f} ", text, re.M), text
