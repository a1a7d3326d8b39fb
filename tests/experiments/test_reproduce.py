"""test_reproduce.py PIPAR CLASS: all time-only experiments of `./reproduce`, whole, twice: the same bytes, and the tables that
the documents made from them are current. Prints what one call takes, in time and memory, beside what it is meant to take; only
memory is asserted, as time depends on what else the machine does."""

import csv
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PIPAR = None
ROOT = pathlib.Path(__file__).resolve().parents[2]
MEANT_S, MEANT_MIB = 60, 1024
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts"))
import reproduce  # noqa: E402


def memory_of_tree(process):
    """Bytes of a process and all below it, what they share counted once."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                # A command's name may hold spaces and brackets: its parent is the second word behind the last bracket.
                parents[int(entry)] = int(pathlib.Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
    total, found = 0, [process]
    for of in found:
        found += [child for child, parent in parents.items() if parent == of]
        try:
            rollup = pathlib.Path("/proc", str(of), "smaps_rollup").read_text()
        except OSError:
            continue
        match = re.search(r"^Pss:\s+(\d+) kB", rollup, re.M)
        total += 1024 * int(match[1]) if match else 0
    return total


class Watch(threading.Thread):
    """The most memory that a process and its descendants held, looked at every 20 ms."""

    def __init__(self, process):
        super().__init__()
        self.process, self.peak, self.done = process, 0, threading.Event()

    def run(self):
        while not self.done.wait(0.02):
            self.peak = max(self.peak, memory_of_tree(self.process.pid))


def call_reproduce(folder, *arguments, cwd=ROOT):
    """Gives (printed, wall s, CPU s, peak bytes)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen([sys.executable, "-B", "scripts/reproduce.py", "--pipar", PIPAR, "-o", folder, *arguments], cwd=cwd,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                               env={**os.environ, **AS_ROOT})
    watch = Watch(process)
    watch.start()
    printed, errors = process.communicate()
    watch.done.set()
    watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, errors
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return printed, time.monotonic() - began, cpu, watch.peak


def run_experiment(folder, name, *settings):
    """The report of experiments/NAME.yaml, time only, with the settings; and its file."""
    path = os.path.join(folder, f"{name}-{len(os.listdir(folder))}.h5")
    words = [word for setting in ("compute=none", *settings) for word in ("--set", setting)]
    subprocess.run([PIPAR, "run", ROOT / "experiments" / f"{name}.yaml", "-o", path, "-q", *words], check=True,
                   stdin=subprocess.DEVNULL)
    done = subprocess.run([PIPAR, "report", "--json", path], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout), path


def tables_of(document):
    """Every table of a Markdown file: [(head, rows)], cells as text."""
    tables, lines = [], []
    for line in [*(ROOT / document).read_text().splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip() for cell in line.strip("|").split("|")])
        elif lines:
            tables.append((lines[0], lines[2:]))
            lines = []
    return tables


def table_with(document, head):
    found = [rows for titles, rows in tables_of(document) if titles[:len(head)] == head]
    assert len(found) == 1, f"{document} has {len(found)} tables that begin with {head}"
    return found[0]


class Whole(unittest.TestCase):
    """One pair of calls for all."""

    @classmethod
    def setUpClass(cls):
        if shutil.which("gnuplot") is None:
            raise unittest.SkipTest("gnuplot is not installed")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        _, path = run_experiment(cls.folder.name, "worked_example")
        done = subprocess.run([PIPAR, "plot", path, "-o", os.path.join(cls.folder.name, "probe")], capture_output=True, text=True)
        if "not in this pipar" in done.stderr:
            raise unittest.SkipTest(done.stderr.strip())
        cls.turns = [pathlib.Path(cls.folder.name, turn) for turn in "ab"]
        for turn in cls.turns:
            cls.printed, wall, cpu, cls.peak = call_reproduce(turn)
            print(f"./reproduce: {wall:.1f} s, of processors {cpu:.1f} s (meant: {MEANT_S} s on two free ones), at most "
                  f"{cls.peak / 2**20:.0f} MiB (meant: {MEANT_MIB} MiB)", flush=True)

    def test_what_it_makes_is_the_same_twice(self):
        files = [sorted(str(path.relative_to(turn)) for path in turn.rglob("*") if path.is_file()) for turn in self.turns]
        self.assertEqual(*files)
        suffixes = {}
        for file in files[0]:
            first, second = (turn / file for turn in self.turns)
            suffix = first.suffix
            suffixes[suffix] = suffixes.get(suffix, 0) + 1
            with self.subTest(file):
                if suffix in (".svg", ".csv", ".md", ".png"):
                    self.assertEqual(first.read_bytes(), second.read_bytes())
                elif suffix == ".h5":  # who made it when is told apart from what it holds
                    done = subprocess.run([PIPAR, "diff", first, second], capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                else:  # gnuplot's commands name the folder they draw into
                    self.assertEqual(suffix, ".gnuplot")
        # A results file an experiment; each figure as SVG, as PNG and as data.
        self.assertEqual(suffixes[".h5"], len(reproduce.TIMED))
        self.assertEqual(suffixes[".svg"], suffixes[".png"])
        self.assertEqual(suffixes[".svg"], suffixes[".csv"])
        folders = {file.split("/")[0] for file in files[0] if file.endswith(".svg")}
        self.assertEqual(folders, {name for name, _, _ in reproduce.TIMED})

    def test_it_says_what_each_figure_shows_and_what_was_found(self):
        said, name = {}, None
        for line in self.printed.splitlines():
            name = line.split(":")[0] if re.match(r"\d\d_", line) else name if line.startswith("  ") else None
            if name and line.startswith("  "):
                said.setdefault(name, []).append(line.strip())
        for name, _, _ in reproduce.TIMED:
            drawn = {path.stem for path in (self.turns[0] / name).glob("*.svg")}
            named = {word.strip() for line in said[name] if not line.startswith("->") for word in line.split(":")[0].split(",")}
            self.assertEqual(drawn, named, name)
            if name not in ("02_small_devices", "03_gpu_server"):  # those are the headline's
                self.assertEqual(len([line for line in said[name] if line.startswith("->")]), 1, name)
        once, again = (run["makespan_s"] for run in self.runs_of("06_changing_bandwidth"))
        self.assertIn(f"-> planned once {once:.1f} s, planned again every round {again:.1f} s", said["06_changing_bandwidth"])
        self.assertLessEqual(again, once)
        least = min(run["makespan_s"] for run in self.runs_of("10_heat_map"))
        self.assertTrue(said["10_heat_map"][-1].startswith(f"-> least {least:.1f} s, with split "))

    def test_memory_stays_within_what_is_meant(self):
        self.assertGreater(self.peak, 0)
        self.assertLess(self.peak, MEANT_MIB * 2**20)

    def test_tables_that_it_writes_are_those_of_the_documents(self):
        text = (ROOT / "docs/reproduction.md").read_text()
        for name in ("headline", "sensitivity", "as-published"):
            with self.subTest(name):
                for table in (self.turns[0] / f"{name}.md").read_text().strip().split("\n\n"):
                    self.assertIn(table, text)

    def test_the_gaps_to_the_bounds_are_current(self):
        rows = table_with("docs/reproduction.md", ["slots", "aggregation", "policy"])
        with open(self.turns[0] / "11_beyond/bounds.csv", newline="") as file:
            gaps = {("1", row["aggregate.mode"], row["server.policy"], row["method"]): float(row["gap"])
                    for row in csv.DictReader(file)}
        _, path = run_experiment(self.folder.name, "11_beyond", "server.slots=2", "server.policy=fifo")
        folder = os.path.join(self.folder.name, "two")
        subprocess.run([PIPAR, "plot", path, "-o", folder], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "bounds.csv"), newline="") as file:
            gaps |= {("2", row["aggregate.mode"], "fifo", row["method"]): float(row["gap"]) for row in csv.DictReader(file)}
        self.assertEqual(len(rows) * 4, len(gaps))
        for slots, mode, policy, *told in rows:
            shown = [f"{100 * gaps[slots, mode, policy, method]:.1f} %" for method in ("sfl", "pipar", "1f1b", "bw-split")]
            with self.subTest((slots, mode, policy)):
                self.assertEqual(told, shown)

    def runs_of(self, name):
        done = subprocess.run([PIPAR, "report", "--json", self.turns[0] / f"{name}.h5"], check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)["runs"]

    def test_where_a_claim_does_not_hold_is_as_the_document_says(self):
        """docs/reproduction.md, "What does not hold everywhere"."""
        slower = {}
        for name in ("02_small_devices", "03_gpu_server"):
            cells = {}
            for run in self.runs_of(name):
                cells.setdefault((run["model"], run["settings"]["devices.0.network.name"]), {})[run["method"]] = run
            for (model, link), of in cells.items():
                with self.subTest((name, model, link)):
                    idle = {method: run["server_idle_s"] for method, run in of.items()}
                    self.assertLess(idle["pipar"], idle["sfl"])
                    self.assertEqual(idle["sfl"] < idle["fl"], model != "vgg5")
                    if of["pipar"]["makespan_s"] >= of["fl"]["makespan_s"]:
                        slower.setdefault(name, set()).add((model, link))
                        self.assertEqual(of["pipar"]["split"], [5, 5] if name.startswith("03") or link == "uk-3g" else [4, 4])
        self.assertEqual(slower, {"02_small_devices": {("vgg5", "uk-3g"), ("vgg5", "code-10-25")},
                                  "03_gpu_server": {("vgg5", link) for link in ("uk-3g", "code-10-25", "code-50-50")}})
        times = {}
        for run in self.runs_of("09_scale"):
            times.setdefault(run["devices"], {})[run["method"]] = run["makespan_s"]
        for devices, of in times.items():
            self.assertEqual(of["pipar"] < of["fl"], devices <= 64)
            self.assertEqual(of["pipar"] < of["sfl"], devices <= 256)


class Trained(unittest.TestCase):
    """What the documents say of trained experiments that is a matter of emulated time alone: without training it is the same."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_times_of_the_accuracy_experiment(self):
        report, path = run_experiment(self.folder, "04_accuracy", "sweep.seed=[1]")
        rows = table_with("docs/reproduction.md", ["method", "accuracy after 20 rounds", "emulated time"])
        subprocess.run([PIPAR, "run", ROOT / "experiments/04_accuracy.yaml", "--set", "compute=none", "-q", "--force", "-o", path],
                       check=True, stdin=subprocess.DEVNULL)
        every = json.loads(subprocess.run([PIPAR, "report", "--json", path], check=True, stdout=subprocess.PIPE).stdout)
        times = {run["method"]: run["makespan_s"] for run in report["runs"]}
        for run in every["runs"]:  # no seed changes a time
            self.assertEqual(run["makespan_s"], times[run["method"]])
        for method, _, total, *reached in rows:
            method = method.strip("`")
            self.assertEqual(total, f"{times[method]:.1f} s")
            for cell in reached:  # rounds are as long as each other, but for nanoseconds
                seconds, number = re.fullmatch(r"([\d.]+) s, round (\d+)", cell).groups()
                self.assertAlmostEqual(float(seconds) / (times[method] * int(number) / 20), 1, delta=0.002)

    def test_times_of_the_privacy_experiment(self):
        report, _ = run_experiment(self.folder, "07_privacy", "sweep.seed=[1]")
        said = re.search(r"Privacy in time costs at most ([\d.]+) s of ([\d.]+) s \(`fl`\) and ([\d.]+) s of ([\d.]+) s\s\(`pipar`\)",
                         (ROOT / "docs/reproduction.md").read_text())
        self.assertIsNotNone(said)
        for method, costs, plain in (("fl", said[1], said[2]), ("pipar", said[3], said[4])):
            none, *private = [run["makespan_s"] for run in report["runs"] if run["method"] == method]
            self.assertEqual(plain, f"{none:.1f}")
            self.assertEqual(costs, f"{max(private) - none:.2f}")

    def test_the_virtual_column_of_the_wall_clock_s_table(self):
        report, _ = run_experiment(self.folder, "01_quickstart", "dataset.train_samples=2000",
                                   "pipeline={split: 2, micro_batches: 5}", "devices.0.network=code-50-50")
        of = {run["method"]: run["makespan_s"] for run in report["runs"]}
        for method, virtual, _, _ in table_with("docs/reproduction.md", ["method", "virtual clock"]):
            self.assertEqual(virtual, f"{of[method.strip('`')]:.3f} s")

    def test_the_readme_s_times_and_ratios(self):
        text = " ".join((ROOT / "README.md").read_text().split())
        of = {}
        for network in ("code-10-25", "code-50-50"):
            report, _ = run_experiment(self.folder, "01_quickstart", f"devices.0.network={network}")
            of[network] = {run["method"]: run for run in report["runs"]}
        slow, fast = of.values()
        times = {network: {method: run["makespan_s"] for method, run in runs.items()} for network, runs in of.items()}
        self.assertEqual(slow["pipar"]["split"], [5, 5])
        self.assertEqual(fast["pipar"]["split"], [2, 2])
        self.assertEqual(fast["pipar"]["micro_batches"], [100, 100])  # one sample each
        moved = {method: run["bytes_up"] + run["bytes_down"] for method, run in fast.items()}
        for words in (
                "the planner leaves all 5 blocks of the network on the device",
                f"`pipar` takes as long as `fl` ({times['code-10-25']['pipar']:.2f} s against {times['code-10-25']['fl']:.2f} s), "
                f"`sfl` {100 * times['code-10-25']['sfl'] / times['code-10-25']['fl'] - 100:.0f} % longer",
                "keeps 2 blocks on the device",
                f"is {fast['pipar']['speedup']:.2f} times as fast as `fl` ({fast['pipar']['makespan_s']:.2f} s against "
                f"{fast['fl']['makespan_s']:.2f} s)",
                f"the server idles less ({fast['pipar']['server_idle_s']:.2f} s against {fast['fl']['server_idle_s']:.2f} s)",
                f"so do the devices ({fast['pipar']['device_idle_s']:.2f} s against {fast['fl']['device_idle_s']:.2f} s",
                f"{moved['pipar'] / moved['fl']:.0f} times as many bytes move",
                "one sample a micro-batch"):
            with self.subTest(words):
                self.assertIn(words, text)


class Kept(unittest.TestCase):
    """What finished training is kept unless something that decides its results has changed."""

    NETWORK = "format: pipar-network\nformat_version: 1\nblocks:\n  - [{conv: 4}, batch_norm, relu, {max_pool: 4}]\n" \
              "  - [{linear: classes}]\n"
    EXPERIMENT = """\
name: 07_privacy
method: pipar
model: net.yaml
dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 16, test_samples: 8}
training: {batch_size: 4}
pipeline: {split: 1, micro_batches: 2}
cost: {kind: profile, device_profile: p.yaml, server_profile: p.yaml}
init: start.h5:/runs/0/model
devices:
  - {count: 2, network: {up_trace: up.txt, down_mbps: 10, latency_ms: 1}}
"""

    def test_every_file_that_is_read_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            files = pathlib.Path(folder, "experiments")
            files.mkdir()
            (files / "net.yaml").write_text(self.NETWORK)
            (files / "up.txt").write_text("0 10\n1 5\n")
            subprocess.run([PIPAR, "profile", files / "net.yaml", "-o", files / "p.yaml", "--input", "1x8x8", "--repeats", "1",
                            "--batch-sizes", "1,2,4"], check=True, stdout=subprocess.DEVNULL)
            start = self.EXPERIMENT.replace("init: start.h5:/runs/0/model\n", "record: {model: true}\n")
            (files / "start.yaml").write_text(start)
            subprocess.run([PIPAR, "run", files / "start.yaml", "-o", files / "start.h5", "-q"], check=True,
                           stdin=subprocess.DEVNULL)
            experiment = files / "07_privacy.yaml"
            experiment.write_text(self.EXPERIMENT)
            read = reproduce.files_read(PIPAR, experiment, [])
            self.assertEqual({pathlib.Path(path).name for path in read},
                             {"07_privacy.yaml", "net.yaml", "up.txt", "p.yaml", "start.h5"})
            digests = {reproduce.digest_of(PIPAR, experiment, [])}
            self.assertEqual(digests, {reproduce.digest_of(PIPAR, experiment, [])})
            for name, change in (("07_privacy.yaml", "# more\n"), ("net.yaml", "# more\n"), ("up.txt", "2 7\n"), ("p.yaml", "# more\n"),
                                 ("start.h5", "\n")):
                with open(files / name, "a") as file:
                    file.write(change)
                before = len(digests)
                digests.add(reproduce.digest_of(PIPAR, experiment, []))
                self.assertEqual(len(digests), before + 1, name)
            digests.add(reproduce.digest_of(PIPAR, experiment, ["--set", "seed=2"]))
            self.assertEqual(len(digests), 7)
            # Another program.
            other = pathlib.Path(folder, "pipar")
            other.write_text(f"#!/bin/sh\nexec {PIPAR} \"$@\"\n")
            other.chmod(0o755)
            digests.add(reproduce.digest_of(other, experiment, []))
            self.assertEqual(len(digests), 8)
            # The same program of another revision.
            of_revision = set()
            for revision in ("unknown", "0123456789ab", "0123456789ab+"):
                other.write_text(f"#!/bin/sh\nexec {PIPAR} \"$@\"\n# pipar-revision:{revision}\n")
                of_revision.add(reproduce.digest_of(other, experiment, []))
            self.assertEqual(len(of_revision), 1)


if __name__ == "__main__":
    PIPAR = os.path.abspath(sys.argv[1])
    result = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], exit=False, verbosity=2).result
    if result.skipped and not result.failures and not result.errors:
        print(result.skipped[0][1])
        sys.exit(77)
    sys.exit(0 if result.wasSuccessful() else 1)
