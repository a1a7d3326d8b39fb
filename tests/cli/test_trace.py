"""test_trace.py PIPAR: traces against the trace-event format (json and rules written here alone) and the file's stages
(h5py)."""
import collections, json, os, resource, subprocess, sys, tempfile
from decimal import Decimal

try:
    import h5py
except ImportError:
    print("skipped: h5py is not installed (Debian: python3-h5py)")
    sys.exit(77)

PIPAR = os.path.abspath(sys.argv[1])
directory = tempfile.TemporaryDirectory()
os.chdir(directory.name)

EXPERIMENT = """\
name: 'odd <script> "name" ü'
compute: none
training: {epochs: 2}
pipeline: {micro_batches: 3}
server: {slots: 2}
cost:
  kind: table
  iterations: 3
  device: {forward_s: 1, backward_s: 2, update_s: 0.5}
  server: {forward_s: 0.5, backward_s: 1.123456789, backward_input_s: 0.6, backward_weight_s: 0.5, update_s: 0.25, aggregate_s: 0.05}
  bytes: {upload: 1250000, download: 1250000, model_upload: 125000, model_download: 125000}
devices:
  - {count: 3, network: {up_mbps: 10, down_mbps: 20, latency_ms: 100}}
  - {count: 2, network: {up_mbps: 7, down_mbps: 9, latency_ms: 3, duplex: half}}
sweep: {method: [fl, sl, sfl, pipar, 1f1b, bw-split]}
"""
METHODS = ["fl", "sl", "sfl", "pipar", "1f1b", "bw-split"]


def pipar(*arguments, code=0, **options):
    done = subprocess.run([PIPAR, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == code, (arguments, done)
    assert code == 0 or (done.stderr.startswith("pipar: ") and done.stderr.count("\n") == 1 and not done.stdout), done
    return done


def nanoseconds(value):
    scaled = value * 1000
    assert scaled == int(scaled) and scaled >= 0, value
    return int(scaled)


def check(path):
    """The rules of the format; gives the complete events, by (process, thread), and the arrows."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert "<" not in text  # a page could hold it
    trace = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    assert trace["displayTimeUnit"] in ("ms", "ns")
    lanes, names, ends = collections.defaultdict(list), {}, collections.defaultdict(dict)
    for event in trace["traceEvents"]:
        lane = event["pid"], event["tid"]
        assert all(isinstance(part, Decimal) and part > 0 for part in lane), event
        if event["ph"] == "M":
            key = "name" if event["name"].endswith("_name") else "sort_index"
            assert event["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
            at = event["name"], lane[0], lane[1] if event["name"].startswith("thread") else None
            assert list(event["args"]) == [key] and at not in names, event
            names[at] = event["args"][key]
            continue
        start = nanoseconds(event["ts"])
        assert isinstance(event["name"], str) and isinstance(event["cat"], str)
        if event["ph"] == "X":
            assert ("process_name", lane[0], None) in names and ("thread_name", *lane) in names, event
            lanes[lane].append((start, start + nanoseconds(event["dur"]), event))
        else:
            assert event["ph"] in "sf" and event["bp"] == "e", event
            assert event["ph"] not in ends[event["id"]], event
            ends[event["id"]][event["ph"]] = (start, lane)
    for events in lanes.values():
        events.sort(key=lambda event: event[:2])
        for before, after in zip(events, events[1:]):
            assert before[1] <= after[0], (before, after)

    def stage_at(time, lane):
        inside = [event for start, end, event in lanes[lane] if start <= time < end]
        assert len(inside) == 1, (time, lane)
        return inside[0]

    arrows = []
    for pair in ends.values():
        assert sorted(pair) == ["f", "s"] and pair["s"][0] < pair["f"][0], pair
        source, target = stage_at(*pair["s"]), stage_at(*pair["f"])
        for key in ("device", "iteration", "micro_batch"):
            assert source["args"][key] == target["args"][key]
        arrows.append((source["name"], target["name"]))
    return lanes, names, collections.Counter(arrows), trace


def rows_of(path, run):
    with h5py.File(path, "r") as file:
        table = file[f"runs/{run}/stages"]
        kinds = {value: name for name, value in h5py.check_enum_dtype(table.dtype["stage"]).items()}
        return [dict(zip(table.dtype.names, row)) | {"stage": kinds[row["stage"]]} for row in table[:]]


def as_rows(lanes, names):
    """Stages as the file has them, from the trace alone."""
    rows = []
    for (process, thread), events in lanes.items():
        owner, lane = names["process_name", process, None], names["thread_name", process, thread]
        for start, end, event in events:
            on_server = event["name"].startswith("server_") or event["name"] == "aggregate"
            want = "compute" if "load" not in event["name"] else "uplink" if "upload" in event["name"] else "downlink"
            assert (owner, lane.rsplit(" ", 1)[0] if on_server else lane) == (
                ("server", "slot") if on_server else (f"device {event['args']['device']}", want)), event
            rows.append((int(event["args"].get("device", -1)), int(lane.split()[1]) if on_server else -1,
                         *(int(event["args"].get(key, -1)) for key in ("round", "iteration", "micro_batch")),
                         event["name"], start, end, int(event["args"].get("bytes", 0))))
    return sorted(rows)


def in_order(rows):
    return sorted(tuple(int(row[key]) if key != "stage" else row[key] for key in
                        ("device", "slot", "round", "iteration", "micro_batch", "stage", "start_ns", "end_ns", "bytes"))
                  for row in rows)


with open("exp.yaml", "w", encoding="utf-8") as file:
    file.write(EXPERIMENT)
pipar("run", "exp.yaml", "-o", "out.h5", "-q")
for run, method in enumerate(METHODS):
    pipar("trace", "out.h5", "-o", "t.json", "--run", run)
    lanes, names, arrows, trace = check("t.json")
    rows = rows_of("out.h5", run)
    assert as_rows(lanes, names) == in_order(rows), method
    # Every micro-batch goes all the way round.
    way = ["forward", "upload", "server_forward", "server_backward_input" if method == "bw-split" else "server_backward",
           "download", "backward"]
    count = sum(row["stage"] == "upload" for row in rows)
    expected = {(way[0], way[1]): count, (way[1], way[2]): count, (way[3], way[4]): count, (way[4], way[5]): count}
    assert arrows == ({} if method == "fl" else expected), (method, arrows)
    assert trace["otherData"]["method"] == method and trace["otherData"]["experiment"].startswith("odd <script>")

# Windows: stages that lie partly in them; arrows are whole.
rows = rows_of("out.h5", 3)
for options, holds in [
    (["--from", "4.5"], lambda row: row["end_ns"] > 4.5e9),
    (["--to", "7"], lambda row: row["start_ns"] < 7e9),
    (["--from", "3", "--to", "20.5", "--devices", "1,3-4"],
     lambda row: row["end_ns"] > 3e9 and row["start_ns"] < 20.5e9 and row["device"] in (-1, 1, 3, 4)),
    (["--devices", "0"], lambda row: row["device"] in (-1, 0)),
]:
    pipar("trace", "out.h5", "-o", "t.json", "--run", 3, *options)
    lanes, names, _, _ = check("t.json")
    assert as_rows(lanes, names) == in_order(row for row in rows if holds(row)), options

# What is there stays until the new one is complete, and no part is left.
with open("t.json", encoding="utf-8") as file:
    before = file.read()


def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


pipar("trace", "out.h5", "-o", "t.json", "--run", 1, code=3, preexec_fn=limit)
with open("t.json", encoding="utf-8") as file:
    assert file.read() == before
os.mkdir("there")
with open("text.h5", "w") as file:
    file.write("text")
pipar("run", "exp.yaml", "--set", "method=pipar", "--set", "record.stages=false", "-o", "bare.h5", "-q")
for arguments, code, message in [
    ([], 1, "a results file is missing"),
    (["out.h5"], 1, "-o T.json is missing"),
    (["out.h5", "-o", "t.json"], 1, "out.h5 has 6 runs: --run N names one"),
    (["out.h5", "-o", "t.json", "--run", "6"], 1, "has runs 0 to 5, not 6"),
    (["out.h5", "-o", "t.json", "--run", "-1"], 1, "--run -1: allowed is a whole number"),
    (["out.h5", "-o", "t.json", "--run", "1", "--from", "x"], 1, "--from x: allowed are seconds"),
    (["out.h5", "-o", "t.json", "--run", "1", "--from", "nan"], 1, "--from nan"),
    (["out.h5", "-o", "t.json", "--run", "1", "--from", "3", "--to", "3"], 1, "--to must be later"),
    (["out.h5", "-o", "t.json", "--run", "1", "--from", "1e6"], 1, "no stage of run 1"),
    (["out.h5", "-o", "t.json", "--run", "1", "--devices", "2-1"], 1, "--devices 2-1: allowed"),
    (["out.h5", "-o", "t.json", "--run", "1", "--devices", "1,"], 1, "--devices"),
    (["out.h5", "bare.h5", "-o", "t.json"], 1, "one argument too many"),
    (["out.h5", "-o", "out.h5", "--run", "1"], 1, "out.h5 is read"),
    (["out.h5", "-o", "bare.h5", "--run", "1"], 1, "bare.h5 is an HDF5 file"),
    (["out.h5", "-o", "there", "--run", "1"], 1, "there is a directory"),
    (["out.h5", "-o", "nowhere/t.json", "--run", "1"], 1, "nowhere/t.json: there is no directory nowhere"),
    (["bare.h5", "-o", "t.json"], 2, "run 0 has no stages"),
    (["text.h5", "-o", "t.json"], 2, "text.h5 is not an HDF5 file"),
    (["none.h5", "-o", "t.json"], 2, "cannot open none.h5"),
]:
    done = pipar("trace", *arguments, code=code)
    assert message in done.stderr, (arguments, done.stderr)
with open("t.json", encoding="utf-8") as file:
    assert file.read() == before

# Whole a trace of more than 100 MB, about 220 bytes a stage: a warning and the trace. A window of it: none.
pipar("run", "exp.yaml", "--set", "sweep.method=[pipar]", "--set", "training.batch_size=100", "--set", "pipeline.micro_batches=100",
      "--set", "cost.iterations=80", "--set", "training.epochs=10", "-o", "many.h5", "-q")
done = pipar("trace", "many.h5", "-o", "many.json")
megabytes = os.path.getsize("many.json") // 1000000
assert megabytes >= 100, megabytes
assert done.stderr == f"pipar: warning: many.json has {megabytes} MB, browsers are slow beyond 100: --from, --to, --devices\n", done
assert pipar("trace", "many.h5", "-o", "many.json", "--to", "100").stderr == ""
os.remove("many.h5")
os.remove("many.json")
left = sorted(os.listdir("."))
assert left == ["bare.h5", "exp.yaml", "out.h5", "t.json", "text.h5", "there"], left
