"""test_page.py PIPAR: the page of `report --html` in a headless Chromium: it loads without complaint or network, its
numbers are --json's and the file's stages, and its timeline answers wheel, pointer and filter."""
import json, os, re, subprocess, sys, tempfile
import browser

PIPAR = os.path.abspath(sys.argv[1])
directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
os.chdir(directory.name)

COSTS = """\
compute: none
cost:
  kind: table
  iterations: %d
  device: {forward_s: 1, backward_s: 2, update_s: 0.5}
  server: {forward_s: 0.5, backward_s: 1, update_s: 0.25, aggregate_s: 0.05}
  bytes: {upload: 1250000, download: 1250000, model_upload: 125000, model_download: 125000}
devices:
  - {count: 2, network: {up_mbps: 10, down_mbps: 20, latency_ms: 100}}
  - {count: 2, network: {up_mbps: 5, down_mbps: 20, latency_ms: 100}}
"""
SWEEP = COSTS % 2 + """\
name: 'a <b> "c" & <!-- <script> ü'
pipeline: {micro_batches: 3}
sweep: {method: [fl, sfl, pipar], seed: [1, 2]}
"""
LARGE = COSTS % 170 + "method: pipar\npipeline: {micro_batches: 25}\n"  # 4 devices x 170 iterations x 152 stages
TIMED = """\
compute: none
model: vgg5
dataset: {name: cifar-10, train_samples: 1000}
training: {epochs: 3, batch_size: 50}
pipeline: {split: 2, micro_batches: 5}
"""
KINDS = {
    "turns": COSTS % 2 + "method: sl\npipeline: {micro_batches: 1}\n",
    "async": TIMED + "aggregate: {buffer: 3}\ndevices: [{count: 2, device: raspberry-pi-4b, network: code-50-50}, {count: 1, device: raspberry-pi-5, "
             "network: code-50-50}]\nsweep: {aggregate.mode: [sync, async], server.policy: [fifo, priority], method: [sfl, pipar]}\n",
    "presence": TIMED + """\
aggregate: {deadline_s: 1, min_devices: 2}
devices:
  - {count: 3, device: raspberry-pi-4b, network: code-50-50}
  - {count: 2, device: raspberry-pi-5, network: code-50-50, arrives_s: 1}
  - {count: 1, device: raspberry-pi-5, network: code-10-25, departs_s: 1.5, slowdown: [[0, 1], [1, 3]]}
  - {count: 1, device: raspberry-pi-5, network: code-50-50, dropout: 0.4}
sweep: {method: [fl, pipar]}
""",
    "replan": TIMED + "method: pipar\ndevices: [{count: 2, device: raspberry-pi-4b, network: {up_trace: [[0, 50], [1, 2]], "
              "down_mbps: 50, latency_ms: 1}}]\nsweep: {pipeline.replan: [0, 1]}\n",
    "privacy": """\
model: vgg5
dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 40, test_samples: 20}
training: {epochs: 2, batch_size: 10}
pipeline: {split: 2, micro_batches: 5}
devices: [{count: 2, device: raspberry-pi-4b, network: code-50-50}]
method: pipar
sweep: {privacy: [{mechanism: none}, {mechanism: dp-fedavg, clip: 5, noise_multiplier: 0},
                  {mechanism: dp-fedavg, clip: 5, noise_multiplier: 0.1}]}
""",
}


def pipar(*arguments, code=0, **options):
    done = subprocess.run([PIPAR, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == code, (arguments, done)
    return done


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


write("sweep.yaml", SWEEP)
odd = 'o</script> & "x".h5'.replace("/", "")
pipar("run", "sweep.yaml", "-o", odd, "-q")
refused = subprocess.run([PIPAR, "report", "--html", "page.html", odd], capture_output=True, text=True)
if refused.returncode == 1 and "is not in this pipar" in refused.stderr:
    print("skipped: " + refused.stderr)
    sys.exit(77)
assert refused.returncode == 0, refused
try:
    import h5py
except ImportError:
    print("skipped: h5py is not installed (Debian: python3-h5py)")
    sys.exit(77)
if browser.find() is None:
    print("skipped: no Chromium here (Debian: chromium)")
    sys.exit(77)

with open("page.html", encoding="utf-8") as file:
    text = file.read()
assert "Redistribution and use" in text or "Permission to use" in text, "the licence of D3 is missing"
for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S):
    assert "<" not in data
    json.loads(data)
assert text.count("data:image/svg+xml") > 0 or "gnuplot" in text

page = browser.Browser(os.path.join(directory.name, "profile"))


def is_near(shown, value):
    return abs(shown - value) <= 1e-12 * abs(value)


def rect():
    page.evaluate("document.getElementById('timeline').scrollIntoView()")
    return page.evaluate("(r => [r.left, r.top])(document.querySelector('canvas').getBoundingClientRect())")


def domain():
    page.settle()
    return page.evaluate("pipar.state.x.domain()")


def check_page(paths):
    page.open(os.path.abspath("page.html"))
    page.settle()
    report = json.loads(pipar("report", "--json", *paths).stdout)
    # Wide tables move in boxes of their own, also on a narrow screen; a section without rows is not there.
    for width in (480, 1280):
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        page.settle()
        assert page.evaluate("document.documentElement.scrollWidth") == width
    # Moved to its last columns, a table still says which runs and methods its rows are of.
    page.call("Emulation.setDeviceMetricsOverride", width=400, height=900, deviceScaleFactor=1, mobile=False)
    page.settle()
    for table in ("figures", "waiting"):
        seen = page.evaluate(f"(table => {{ const box = table.parentElement; box.scrollLeft = 1e6; const edge = box.getBoundingClientRect();"
                             "const at = [...table.rows].map(row => [...row.querySelectorAll('.pin')].map(c => c.getBoundingClientRect()));"
                             "const moved = box.scrollLeft; box.scrollLeft = 0;"
                             "return [moved, edge.left, at.map(row => row.map(c => [c.left, c.right]))] })"
                             f"(document.getElementById('{table}'))")
        moved, edge, rows = seen
        assert moved > 0, (table, seen)  # wider than the screen
        for (run, method) in rows:
            assert abs(run[0] - edge) < 1 and abs(method[0] - run[1]) < 1, (table, edge, run, method)
    page.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    page.settle()
    assert page.evaluate("[...document.querySelectorAll('section')].filter(s => !s.hidden).every(s => "
                         "[...s.querySelectorAll('table')].some(t => t.rows.length > 1) || s.querySelector('canvas, img'))")
    cells = page.evaluate("[...document.querySelectorAll('#figures tbody tr')].map(row => Object.fromEntries("
                          "[...row.cells].filter(c => c.dataset.key).map(c => [c.dataset.key, [c.dataset.value, c.textContent]])))")
    assert len(cells) == len(report["groups"])
    for row, group in zip(cells, report["groups"]):
        assert {"makespan_s", "server_idle_s", "device_idle_s", "bytes_up"} <= set(row), row
        for key, (value, shown) in row.items():
            mean = report["runs"][group["runs"][0]]["epsilon"] if key == "epsilon" else group[key]["mean"]
            assert (value is None) == (mean is None) and (mean is None or is_near(float(value), mean)), (key, value, mean)
            if mean is not None and key == "makespan_s":
                assert abs(float(shown.split()[0]) - mean) <= 0.05, shown  # at least one decimal is shown
    causes = page.evaluate("[...document.querySelectorAll('#waiting tbody tr')].map(row => Object.fromEntries("
                           "[...row.cells].filter(c => c.dataset.key).map(c => [c.dataset.key, Number(c.dataset.value)])))")
    for at, row in enumerate(causes):
        group, side = report["groups"][at // 2], ["server", "device"][at % 2]
        for cause, value in row.items():
            of = [report["runs"][run] for run in group["runs"]]
            values = [run[f"{side}_idle_s"] if cause == "idle" else run[f"{side}_idle_by_cause_s"][cause] for run in of]
            assert is_near(value, sum(values) / len(values)), (cause, value, values)
    groups = page.evaluate("[...document.querySelectorAll('#bygroup tbody tr')].map(row => Object.fromEntries("
                           "[...row.cells].filter(c => c.dataset.key).map(c => [c.dataset.key, Number(c.dataset.value)])))")
    several = [group for run in report["runs"] if len(run["device_groups"]) > 1 for group in run["device_groups"]]
    assert len(groups) == len(several)
    for row, group in zip(groups, several):
        for key, value in row.items():
            assert is_near(value, group[key] if key in group else group["idle_by_cause_s"][key]), (key, value, group)
        # A cause without a column is none of anybody's.
        assert is_near(row["idle_s"], sum(group["idle_by_cause_s"][cause] for cause in row if cause in group["idle_by_cause_s"]))
    stages = page.evaluate("pipar.runs.map(run => [run.index, run.total, run.shown])")
    for index, total, shown in stages:
        run = report["runs"][index]
        with h5py.File(run["file"], "r") as file:
            assert total == shown == len(file[f"runs/{run['run']}/stages"]), (index, total, shown)
    return report


def check_timeline(path, run, steps):
    with h5py.File(path, "r") as file:
        rows = file[f"runs/{run}/stages"][:]
    for key, name in [("start", "start_ns"), ("end", "end_ns"), ("bytes", "bytes"), ("device", "device"), ("stage", "stage")]:
        assert page.evaluate(f"[...pipar.state.rows.{key}]") == rows[name].tolist(), key
    left, top = rect()
    whole = domain()
    assert whole[0] == 0 and whole[1] == rows["end_ns"].max()
    # The wheel zooms about the pointer, a drag moves, the button shows all again.
    for _ in range(steps):
        page.mouse("mouseWheel", left + 600, top + 60, deltaX=0, deltaY=-200)
    near = domain()
    width = near[1] - near[0]
    assert whole[0] < near[0] and near[1] < whole[1] and width < (whole[1] - whole[0]) / 3
    page.mouse("mousePressed", left + 600, top + 60, button="left", buttons=1, clickCount=1)
    for x in (560, 520, 500):
        page.mouse("mouseMoved", left + x, top + 60, button="left", buttons=1)
    page.mouse("mouseReleased", left + 500, top + 60, button="left", clickCount=1)
    moved = domain()
    assert moved[0] > near[0] and abs((moved[1] - moved[0]) / width - 1) < 1e-6, (near, moved)
    # Each lane's first stage inside the window, pointed at, tells the file's own times and bytes.
    lanes = page.evaluate("""pipar.state.lanes.filter(l => l.y < 200).map(lane => {
      const s = pipar.state, [from, to] = s.x.domain();
      const row = [...lane.rows].find(row => s.rows.start[row] > from && s.rows.end[row] < to);
      return row === undefined ? null : [row, (s.x(s.rows.start[row]) + s.x(s.rows.end[row])) / 2, 30 + lane.y - s.scroll + 8];
    }).filter(found => found)""")
    assert len(lanes) >= 3
    for row, x, y in lanes:
        page.mouse("mouseMoved", left + x, top + y)
        page.settle()
        tip = page.evaluate("document.getElementById('tip').hidden ? null : document.getElementById('tip').innerText")
        told = dict(line.split("\t") for line in tip.splitlines()[1:])
        # The page may know the row by another number where several start at once: its times say which it is.
        assert round(float(told["start"].split()[0]) * 1e9) == rows[row]["start_ns"], (told, rows[row])
        assert round(float(told["end"].split()[0]) * 1e9) == rows[row]["end_ns"], (told, rows[row])
        assert int(told.get("bytes", "0").replace(",", "")) == rows[row]["bytes"], (told, rows[row])
        assert int(told.get("device", "-1")) == rows[row]["device"]
    page.mouse("mouseMoved", left + 5, top + 5)
    assert page.evaluate("document.getElementById('tip').hidden")
    page.evaluate("document.getElementById('all').click()")
    assert domain() == whole
    # Devices: only theirs.
    groups = "(text => { const e = document.getElementById('devices'); e.value = text; e.dispatchEvent(new Event('input'));" \
             " return [...new Set(pipar.state.lanes.map(l => l.group))] })"
    assert page.evaluate(groups + "('1,3-9')") == ["server", "device 1", "device 3"]
    assert page.evaluate(groups + "('x')") == ["server", "device 1", "device 3"]
    assert page.evaluate("document.getElementById('devices').className") == "wrong"
    assert page.evaluate(groups + "('')")[1:] == [f"device {device}" for device in range(4)]


try:
    check_page([odd])
    assert page.evaluate("document.querySelector('h1').textContent") == odd[:-3]
    page.evaluate("(e => { e.value = 4; e.dispatchEvent(new Event('change')) })(document.getElementById('run'))")
    check_timeline(odd, 4, 6)
    assert page.complaints() == [], page.complaints()

    # A file of each kind, then all of them on one page: what is told apart, drawn for each experiment, and shown of its own.
    kinds = []
    for name, text in KINDS.items():
        write(f"{name}.yaml", text)
        pipar("run", f"{name}.yaml", "-o", f"{name}.h5", "-q")
        pipar("report", "--html", "page.html", f"{name}.h5")
        report = check_page([f"{name}.h5"])
        assert page.complaints() == [], (name, page.complaints())
        facts = page.evaluate("document.getElementById('facts').textContent")
        heads = page.evaluate("[...document.querySelectorAll('#figures thead th')].map(th => th.firstChild.data)")
        causes = page.evaluate("[...document.querySelectorAll('#waiting thead th')].map(th => th.textContent)")
        assert ("time only" in facts) == ("compute: none" in text), facts
        assert ("vgg5" in facts) == ("kind: table" not in text), facts  # a table of costs is of no network
        assert ("accuracy" in heads) == ("compute: none" not in text), (name, heads)
        assert ("epsilon" in heads) == ("noise_multiplier" in text), (name, heads)
        assert ("absent" in causes) == (name == "presence"), (name, causes)
        kinds.append(f"{name}.h5")
    cells = page.evaluate("[...document.querySelectorAll('[data-key=epsilon]')].map(c => c.textContent)")
    assert cells[0] == "\u2013" and cells[1] == "\u221e" and float(cells[2]) > 0, cells
    pipar("report", "--html", "page.html", *kinds)
    check_page(kinds)
    assert page.complaints() == [], page.complaints()
    assert page.evaluate("[...document.querySelectorAll('#drawings h3')].map(h => h.textContent)") == list(KINDS)
    rows = page.evaluate("[...document.querySelectorAll('#figures tbody tr')].map(row => [...row.querySelectorAll('td.text')]"
                         ".map(c => c.textContent).join(' | '))")
    assert len(set(rows)) == len(rows), rows  # by file, method and settings
    assert any("async" in row for row in rows) and any("dp-fedavg" in row for row in rows), rows

    write("large.yaml", LARGE)
    pipar("run", "large.yaml", "-o", "large.h5", "-q")
    pipar("report", "--html", "page.html", "large.h5")
    check_page(["large.h5"])
    assert page.evaluate("pipar.state.rows.count") > 100000
    check_timeline("large.h5", 0, 20)
    assert page.complaints() == [], page.complaints()
finally:
    page.close()

# Without gnuplot the page is there, without figures; what cannot be written leaves what was.
os.mkdir("bin")
done = pipar("report", "--html", "bare.html", "large.h5", env={**os.environ, "PATH": os.path.abspath("bin")})
assert done.stderr.count("\n") == 1 and "has no figures: gnuplot could not be started" in done.stderr, done
with open("bare.html", encoding="utf-8") as file:
    assert "data:image" not in (text := file.read()) and "gnuplot could not be started" in text
for arguments, code, message in [
    (["--html"], 1, "needs a value"),
    (["--html", "x.html"], 1, "a results file is missing"),
    (["--html", "x.html", "--csv", "large.h5"], 1, "exclude each other"),
    (["--html", "large.h5", "large.h5"], 1, "large.h5 is read"),
    (["--html", "bin", "large.h5"], 1, "bin is a directory"),
    (["--html", "no/x.html", "large.h5"], 1, "cannot write no/x.html: there is no directory no"),
    (["--html", "x.html", "none.h5"], 2, "cannot open none.h5"),
]:
    done = pipar("report", *arguments, code=code)
    assert message in done.stderr and done.stderr.count("\n") == 1, done
assert not [name for name in os.listdir(".") if name.startswith("x.html")]
