"""test_figures.py PIPAR: what figures of runs show, from their data and from what gnuplot is told; and that one file holds how
they look."""

import csv
import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PIPAR = None
ROOT = pathlib.Path(__file__).resolve().parents[2]
DEVICES = "devices: [{count: 2, device: raspberry-pi-4b, network: code-50-50}]\n"
TINY = "dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 48, test_samples: 8}\n" \
       "training: {epochs: 3, batch_size: 8}\nmodel: net.yaml\npipeline: {split: 1, micro_batches: 2}\n" + DEVICES
NETWORK = "format: pipar-network\nformat_version: 1\nblocks:\n  - [{conv: 4}, batch_norm, relu, {max_pool: 4}]\n" \
          "  - [{linear: classes}]\n"


class Figures(unittest.TestCase):
    def setUp(self):
        if shutil.which("gnuplot") is None:
            self.skipTest("gnuplot is not installed")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def draw(self, experiment, *settings):
        """Runs an experiment, of that text or of that file, and draws it; the folder of figures."""
        path = ROOT / "experiments" / f"{experiment}.yaml"
        if "\n" in experiment:
            (self.folder / "net.yaml").write_text(NETWORK)
            path = self.folder / "of.yaml"
            path.write_text(experiment)
        overrides = [word for setting in settings for word in ("--set", setting)]
        results, figures = self.folder / "of.h5", self.folder / "figures"
        subprocess.run([PIPAR, "run", path, "-o", results, "-q", "--force", *overrides], check=True, stdin=subprocess.DEVNULL)
        done = subprocess.run([PIPAR, "plot", results, "-o", figures], capture_output=True, text=True)
        if "not in this pipar" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stderr)
        return figures

    def rows(self, figures, name):
        with open(figures / f"{name}.csv", newline="") as file:
            return list(csv.DictReader(file))

    def words(self, figures, name):
        """All text of the figure, in order."""
        texts = re.findall(r"<text>(.*?)</text>", (figures / f"{name}.svg").read_text(), re.DOTALL)
        return [html.unescape(re.sub(r"<[^>]*>", "", text)).strip() for text in texts]

    GROUPS = (
        "compute: none\nmodel: vgg5\ndataset: {name: cifar-10, train_samples: 800}\nmethod: fl\ndevices:\n"
        "  - {count: 2, device: raspberry-pi-4b, network: {up_mbps: 10, down_mbps: 50, latency_ms: 10}}\n"
        "  - {count: 2, device: raspberry-pi-5, network: {up_trace: [[0, 20], [1, 5]], down_mbps: 50, latency_ms: 10}}\n"
    )

    def size(self, figures, name):
        return tuple(map(int, re.search(r'<svg\s+width="(\d+)" height="(\d+)"', (figures / f"{name}.svg").read_text()).groups()))

    def test_sweeps_of_many_values_are_as_wide_as_a_page_with_their_key_on_the_axis(self):
        values = list(range(1, 17))
        figures = self.draw(self.GROUPS + f"sweep: {{devices.0.network.up_mbps: {values}, method: [fl, pipar]}}\n")
        for name, panels in (("idle", 2), ("time", 1)):
            self.assertLessEqual(self.size(figures, name)[0], 1200)
            words = self.words(figures, name)
            for value in values:
                self.assertGreaterEqual(words.count(str(value)), panels, (name, value))
            self.assertNotIn("up mbps", " ".join(words))
            self.assertEqual(words.count("uplink of group 0 [Mbit/s]"), panels * 4, name)  # rows of four values

    def test_bounds_of_many_schedules_stay_one_panel_as_wide_as_a_page(self):
        figures = self.draw("11_beyond", "dataset.train_samples=800", "training.epochs=2")
        self.assertEqual(len(self.rows(figures, "bounds")), 16)
        self.assertLessEqual(self.size(figures, "bounds")[0], 1200)

    def test_titles_fit_and_name_what_is_swept_and_traced(self):
        figures = self.draw(self.GROUPS + "sweep: {devices.0.network.up_mbps: [10, 20]}\n")
        for name in ("idle", "time"):
            width = self.size(figures, name)[0]
            words = self.words(figures, name)
            self.assertIn("2 x raspberry-pi-4b (group 0) + 2 x raspberry-pi-5 (trace/50 Mbit/s), server-cpu", " ".join(words))
            for word in words:
                self.assertLess(8.5 * len(word), width, word)

    def test_bars_of_one_round_are_labelled_by_values(self):
        figures = self.draw("method: fl\n" + TINY.replace("epochs: 3", "epochs: 1") + "sweep: {training.learning_rate: [0.01, 0.02]}\n")
        words = self.words(figures, "accuracy")
        self.assertEqual([words.count(word) for word in ("fl", "0.01", "0.02", "learning rate")], [2, 1, 1, 1])

    def test_the_rate_of_a_traced_link_is_said_to_be_whose(self):
        text = self.GROUPS.replace("method: fl", "method: fl\ntraining: {epochs: 3}")
        figures = self.draw(text)
        self.assertIn("uplink of group 1 [Mbit/s]", self.words(figures, "network"))
        self.assertEqual(self.rows(figures, "network")[0]["what"], "uplink of group 1")

    def test_titles_say_what_is_shown(self):
        figures = self.draw("05_heterogeneous", "dataset.train_samples=800", "sweep.method=[fl, sl]",
                            "sweep.devices.1.device=[raspberry-pi-5]", "sweep.devices.1.network=[code-10-25]")
        for name in ("idle", "time", "gantt-fl", "gantt-sl"):
            text = " ".join(self.words(figures, name))
            for words in ("vgg5, cifar-10", "3 x raspberry-pi-5 (code-50-50) + 1 x raspberry-pi-5 (code-10-25)", "server-cpu"):
                self.assertIn(words, text, name)
        # A Gantt chart is of one run: that of a sweep's first says which of the swept it is.
        figures = self.draw("01_quickstart", "compute=none", "sweep.devices.0.network=[code-50-50, code-10-25]")
        self.assertNotIn("code-", " ".join(self.words(figures, "idle")[:2]))
        self.assertIn("(code-50-50)", " ".join(self.words(figures, "gantt-pipar")))
        self.assertIn("split 2, 100 micro-batches", " ".join(self.words(figures, "gantt-pipar")))

    def test_every_method_s_gantt_chart_is_of_the_same_iteration(self):
        figures = self.draw("05_heterogeneous", "dataset.train_samples=1600", "sweep.devices.1.device=[raspberry-pi-5]",
                            "sweep.devices.1.network=[code-50-50]")
        for method in ("fl", "sl", "sfl", "pipar"):
            rows = self.rows(figures, f"gantt-{method}")
            unit = "ms" if "start_ms" in rows[0] else "s"
            # What begins with the chart and ends with it is iteration 1; of sl that of the device whose turn it is.
            self.assertEqual({row["iteration"] for row in rows if float(row[f"start_{unit}"]) == 0 and row["device"] == "0"}, {"1"})
            self.assertIn("iteration 1 of round 0", " ".join(self.words(figures, f"gantt-{method}")))
        self.assertEqual({(row["device"], row["iteration"]) for row in self.rows(figures, "gantt-sl")}, {("0", "1")})

    def test_rounds_that_begin_a_new_plan_are_marked(self):
        figures = self.draw("06_changing_bandwidth")
        rows = [row for row in self.rows(figures, "network") if row["what"] != "uplink of group 0"]
        for row in rows:
            self.assertIn(row["round_s_of_new_plan"], ("", row["mbps_then_round_s"]))
        changes = {}
        for row in rows:
            changes.setdefault(row["what"], []).append(row["round_s_of_new_plan"] != "")
        once, again = changes["pipar, planned once"], changes["pipar, planned every round"]
        self.assertFalse(any(once))
        self.assertFalse(again[0])
        self.assertTrue(any(again))
        self.assertIn("begins a new plan", self.words(figures, "network"))

    def test_bands_stay_within_what_is_possible(self):
        figures = self.draw("name: bands\n" + TINY + "sweep: {method: [fl, pipar], seed: [1, 2]}\n")
        # Accuracies of eight samples: some interval of two seeds leaves 0 to 100 %.
        reaches = [(float(row["test_accuracy_percent"]) - float(row["half_width_95"]),
                    float(row["test_accuracy_percent"]) + float(row["half_width_95"])) for row in self.rows(figures, "accuracy")
                   if row["half_width_95"]]
        self.assertTrue(any(low < 0 or high > 100 for low, high in reaches), reaches)
        text = self.words(figures, "accuracy")
        self.assertIn("means of 2 seeds", " ".join(text))
        self.assertIn("(bands: 95 % intervals)", " ".join(text))
        # No seed changes a time, and where no interval is drawn none is promised.
        for name in ("time", "idle"):
            self.assertNotIn("95 %", " ".join(self.words(figures, name)))
        marks = [float(word) for word in text if re.fullmatch(r"-?\d+(\.\d+)?", word.strip())]
        self.assertTrue(marks)
        self.assertTrue(all(0 <= mark <= 100 for mark in marks), marks)
        self.assertIn("?$2-$3:0)", (figures / "accuracy.gnuplot").read_text())

    def test_an_axis_of_logarithms_ends_where_the_runs_do(self):
        figures = self.draw("name: long\n" + TINY.replace("count: 2", "count: 12") + "sweep: {method: [fl, sl, pipar]}\n")
        script = (figures / "accuracy.gnuplot").read_text()
        self.assertIn("set logscale x", script)
        low, high = map(float, re.search(r"set xrange \[([\d.e+-]+):([\d.e+-]+)\]", script).groups())
        times = [float(row["# end_s"]) for row in self.rows(figures, "accuracy") if row["# end_s"]]
        self.assertTrue(low <= min(times) <= 1.5 * low)
        self.assertTrue(high / 1.5 <= max(times) <= high)

    def test_many_lines_have_a_panel_a_method_and_one_key(self):
        figures = self.draw("name: many\n" + TINY +
                            "sweep: {method: [fl, pipar], training.learning_rate: [0.01, 0.02, 0.03, 0.04]}\n")
        text = self.words(figures, "accuracy")
        for word in ("fl", "pipar", *(f"learning rate 0.0{rate}" for rate in (1, 2, 3, 4))):
            self.assertEqual(text.count(word), 1, word)

    def test_ratios_over_two_settings_are_the_report_s(self):
        figures = self.draw("12_sensitivity", "model=vgg5", "dataset.train_samples=800")
        done = subprocess.run([PIPAR, "report", "--json", self.folder / "of.h5"], check=True, stdout=subprocess.PIPE)
        runs = {(run["settings"]["server.device.name"], run["settings"]["devices.0.network.name"]): run
                for run in json.loads(done.stdout)["runs"] if run["method"] == "pipar"}
        rows = self.rows(figures, "ratios")
        self.assertEqual(len(rows), len(runs))
        self.assertEqual({(row["line"], row["point"]) for row in rows}, set(runs))
        for row in rows:
            run = runs[row["line"], row["point"]]
            for column, key in (("speedup", "speedup"), ("server_idle_reduction", "server_idle_reduction")):
                self.assertAlmostEqual(float(row[column]) / run[key], 1, places=11)  # of a CSV of 12 digits
        for server in ("1x", "4096x"):
            self.assertIn(f"server {server}", self.words(figures, "ratios"))

    def test_one_file_holds_colours_and_fonts(self):
        for path in sorted((ROOT / "src/app").glob("plot*.c")):
            if path.name != "plot_style.c":
                self.assertEqual(re.findall(r"#[0-9A-Fa-f]{6}\b|DejaVu|set terminal", path.read_text()), [], path.name)


if __name__ == "__main__":
    PIPAR = os.path.abspath(sys.argv[1])
    result = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], exit=False, verbosity=2).result
    if result.skipped and not result.failures and not result.errors:
        print(result.skipped[0][1])
        sys.exit(77)
    sys.exit(0 if result.wasSuccessful() else 1)
