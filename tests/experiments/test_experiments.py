"""test_experiments.py PIPAR CLASS: runs the project's experiment files, shrunk, and checks what they claim: relations
between runs, never a number."""

import csv
import functools
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PIPAR = None
EXPERIMENTS = pathlib.Path(__file__).resolve().parents[2] / "experiments"


FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def run(name, settings):
    """Runs experiments/NAME.yaml with the settings, once however often it is asked for: (results file, finished process)."""
    path = os.path.join(FOLDER.name, f"{len(os.listdir(FOLDER.name))}.h5")
    overrides = [word for setting in settings for word in ("--set", setting)]
    return path, subprocess.run([PIPAR, "run", EXPERIMENTS / f"{name}.yaml", "-o", path, "-q", *overrides],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)


class ExperimentTest(unittest.TestCase):
    def results(self, name, settings):
        path, done = run(name, tuple(settings))
        if "no data set" in done.stderr or "cannot open" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def run_experiment(self, name, *settings):
        """The runs of experiments/NAME.yaml with the settings, as `pipar report --json` has them."""
        done = subprocess.run([PIPAR, "report", "--json", self.results(name, settings)], capture_output=True, text=True,
                              check=True)
        return json.loads(done.stdout)["runs"]

    def plot_data(self, name, figure, *arguments, settings=()):
        """The data of a figure of experiments/NAME.yaml, as rows of text by column."""
        if shutil.which("gnuplot") is None:
            self.skipTest("gnuplot is not installed")
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([PIPAR, "plot", self.results(name, settings), "-o", folder, *arguments],
                                  capture_output=True, text=True)
            if "not in this pipar" in done.stderr:
                self.skipTest(done.stderr.strip())
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(folder, f"{figure}.csv"), newline="") as file:
                return list(csv.DictReader(file))

    def cells(self, runs, *keys):
        """{values of the settings: {method: run}}."""
        cells = {}
        for run in runs:
            cells.setdefault(tuple(run["settings"][key] for key in keys), {})[run["method"]] = run
        return cells


class Quickstart(ExperimentTest):
    """01: what a pipeline saves on small devices, time only."""

    def test_a_pipeline_saves_time_and_idle_time_where_the_uplink_allows_a_split(self):
        for network in ("code-10-25", "code-50-50"):
            runs = self.run_experiment("01_quickstart", "compute=none", f"devices.0.network={network}")
            of = {run["method"]: run for run in runs}
            self.assertEqual(sorted(of), ["fl", "pipar", "sfl"])
            self.assertLessEqual(of["pipar"]["makespan_s"], of["sfl"]["makespan_s"])
            self.assertLess(of["pipar"]["server_idle_s"], of["sfl"]["server_idle_s"])
        self.assertLess(of["pipar"]["makespan_s"], of["fl"]["makespan_s"])
        self.assertLess(of["pipar"]["server_idle_s"], of["fl"]["server_idle_s"])


class Testbeds(ExperimentTest):
    """02 and 03: pipar's server idles less than sfl's, that of sfl less than that of fl where the network is large."""

    LARGE = "sweep.model=[vgg11, resnet18, mobilenetv3-large]"

    def check(self, name):
        runs = self.run_experiment(name, self.LARGE, "sweep.devices.0.network=[uk-3g, code-50-50]")
        cells = self.cells(runs, "model", "devices.0.network.name")
        self.assertEqual(len(cells), 6)
        for cell, of in cells.items():
            with self.subTest(cell):
                self.assertLess(of["pipar"]["server_idle_s"], of["sfl"]["server_idle_s"])
                self.assertLess(of["sfl"]["server_idle_s"], of["fl"]["server_idle_s"])
                # One micro-batch is among the plans that are searched, so pipar is never slower than sfl.
                self.assertLessEqual(of["pipar"]["makespan_s"], of["sfl"]["makespan_s"])
                self.assertLess(of["pipar"]["makespan_s"], of["fl"]["makespan_s"])
                self.assertLess(of["pipar"]["server_idle_s"], of["fl"]["server_idle_s"])
                # Devices one after the other are slower than the same devices at once.
                self.assertGreater(of["sl"]["makespan_s"], of["sfl"]["makespan_s"])

    def test_small_devices(self):
        self.check("02_small_devices")

    def test_gpu_server(self):
        self.check("03_gpu_server")

    def test_of_vgg5_the_server_idles_less_with_a_pipeline_than_without(self):
        # Not less than in fl everywhere: so small a network is hardly worth splitting, and fl waits for no activations.
        for name in ("02_small_devices", "03_gpu_server"):
            runs = self.run_experiment(name, "model=vgg5", "sweep.method=[sfl, pipar]")
            for cell, of in self.cells(runs, "devices.0.network.name").items():
                with self.subTest((name, cell)):
                    self.assertLess(of["pipar"]["server_idle_s"], of["sfl"]["server_idle_s"])


class Accuracy(ExperimentTest):
    def test_all_methods_learn_equally_well(self):
        runs = self.run_experiment("04_accuracy", "training.epochs=3", "sweep.seed=[1, 2]", "dataset.train_samples=2000",
                                   "training.batch_size=50", "dataset.test_samples=2000", "sweep.method=[fl, sfl, pipar]")
        accuracy = {}
        for run in runs:
            accuracy.setdefault(run["method"], []).append(run["test_accuracy"])
        # The same training in another place.
        self.assertEqual(accuracy["fl"], accuracy["sfl"])
        # A test set of n samples measures an accuracy p with a standard error of sqrt(p (1 - p) / n), the difference of two
        # networks with at most sqrt(2) times as much; four of these. Another seed's shuffle differs as much as pipar's
        # batch norm does, so the spread between seeds is added.
        for seed in range(2):
            fl, pipar = accuracy["fl"][seed], accuracy["pipar"][seed]
            spread = abs(accuracy["fl"][0] - accuracy["fl"][1])
            band = 4 * (2 * fl * (1 - fl) / 2000) ** 0.5 + spread
            self.assertLess(abs(fl - pipar), band)
            self.assertGreater(pipar, 0.3)  # three times chance


class Heterogeneous(ExperimentTest):
    def test_a_slower_device_makes_nobody_faster_and_pipar_is_never_slower_than_sfl(self):
        runs = self.run_experiment("05_heterogeneous", "dataset.train_samples=2000")
        cells = self.cells(runs, "devices.1.device.name", "devices.1.network.name")
        self.assertEqual(len(cells), 6)
        for cell, of in cells.items():
            with self.subTest(cell):
                self.assertLessEqual(of["pipar"]["makespan_s"], of["sfl"]["makespan_s"])
        # fl has no plan that could change: it waits for the slowest.
        fl = {cell: of["fl"]["makespan_s"] for cell, of in cells.items()}
        self.assertLess(fl["raspberry-pi-5", "code-50-50"], fl["raspberry-pi-4b", "code-50-50"])
        self.assertLess(fl["raspberry-pi-4b", "code-50-50"], fl["raspberry-pi-3b", "code-50-50"])
        self.assertLess(fl["raspberry-pi-4b", "code-50-50"], fl["raspberry-pi-4b", "code-10-25"])


class Privacy(ExperimentTest):
    TINY = ("dataset.train_samples=80", "dataset.test_samples=20", "training.epochs=2", "training.batch_size=10",
            "sweep.seed=[1, 2]")

    def test_noise_buys_epsilon_and_clipping_takes_time(self):
        runs = self.run_experiment("07_privacy", *self.TINY)
        for method in ("fl", "pipar"):
            for seed in (1, 2):
                of = [run for run in runs if run["method"] == method and run["seed"] == seed]
                self.assertEqual(len(of), 6)
                none, *private = of
                self.assertIsNone(none["epsilon"])
                self.assertIsNone(private[0]["epsilon"])  # without noise it is infinite
                epsilons = [run["epsilon"] for run in private[1:]]
                self.assertEqual(epsilons, sorted(set(epsilons), reverse=True))
                for run in private:
                    self.assertGreater(run["makespan_s"], none["makespan_s"])

    def test_noise_costs_accuracy(self):
        runs = self.run_experiment("07_privacy", "dataset.train_samples=2000", "dataset.test_samples=1000",
                                   "training.batch_size=50", "training.epochs=3", "sweep.seed=[1]", "sweep.privacy=["
                                   "{mechanism: none}, {mechanism: dp-fedavg, clip: 5, noise_multiplier: 1}]")
        for method in ("fl", "pipar"):
            none, noisy = (run["test_accuracy"] for run in runs if run["method"] == method)
            # Noise of z x 2C in each of hundreds of thousands of elements is hundreds of times the clipped update: what is
            # left is a random network. Four standard errors of the difference of two accuracies on 1000 samples.
            self.assertLess(noisy, none - 4 * (2 * 0.25 / 1000) ** 0.5)

    def test_the_figure_has_every_epsilon_once_and_what_has_none_beside_the_axis(self):
        rows = self.plot_data("07_privacy", "privacy", settings=self.TINY)
        for method in ("fl", "pipar"):
            of = [row for row in rows if row["method"] == method]
            places = [float(row["# x"]) for row in of]
            self.assertEqual(places, sorted(set(places)))
            *noisy, clipped, none = of
            self.assertEqual(len(noisy), 4)
            multipliers = [float(row["noise_multiplier"]) for row in noisy]
            self.assertEqual(multipliers, sorted(multipliers, reverse=True))
            for row in noisy:
                self.assertEqual(row["# x"], row["epsilon"])
                # Two rounds are concentrated differentially private with rho = 2 / (2 z^2), which the Renyi bound, the least
                # over all orders, must not be above as epsilon (Bun and Steinke, 2016, proposition 1.3); nor below rho.
                rho = 2 / (2 * float(row["noise_multiplier"]) ** 2)
                self.assertLess(float(row["epsilon"]), rho + 2 * (rho * math.log(1e5)) ** 0.5)
                self.assertGreater(float(row["epsilon"]), rho)
            self.assertEqual(float(clipped["noise_multiplier"]), 0)
            self.assertEqual(none["epsilon"], "")


class Replanning(ExperimentTest):
    def test_planning_again_is_no_slower_than_the_first_plan_on_a_falling_link(self):
        for settings in ([], ["training.epochs=4"]):  # as shipped, which takes no longer, and ending before the link recovers
            runs = self.run_experiment("06_changing_bandwidth", *settings)
            times = {run["settings"]["pipeline.replan"]: run["makespan_s"] for run in runs}
            self.assertEqual(sorted(times), [0, 1])
            self.assertLessEqual(times[1], times[0])


class Planners(ExperimentTest):
    def test_no_plan_is_better_than_the_best_and_searching_beats_the_rule(self):
        runs = self.run_experiment("08_aps", "sweep.model=[vgg5, mobilenetv3-large]", "dataset.train_samples=800",
                                   "sweep.devices.0.network=[code-10-25, code-50-50]")
        cells = {}
        for run in runs:
            key = run["model"], run["settings"]["devices.0.network.name"]
            cells.setdefault(key, {})[run["settings"]["pipeline.planner"]] = run["makespan_s"]
        self.assertEqual(len(cells), 4)
        for cell, of in cells.items():
            with self.subTest(cell):
                self.assertLessEqual(of["exhaustive"], of["search"])
                self.assertLessEqual(of["search"], of["aps"])
                self.assertLessEqual(of["search"], of["aps-as-published"])


class Scale(ExperimentTest):
    def test_the_server_fills_up_and_fl_overtakes(self):
        runs = self.run_experiment("09_scale", "sweep.devices.0.count=[4, 64, 1024]")
        of = self.cells(runs, "devices.0.count")
        for method in ("sfl", "pipar"):
            times = [of[count,][method]["makespan_s"] for count in (4, 64, 1024)]
            self.assertEqual(times, sorted(times))
            idle = [of[count,][method]["server_idle_s"] / of[count,][method]["makespan_s"] for count in (4, 64, 1024)]
            self.assertEqual(idle, sorted(idle, reverse=True))
        self.assertLess(of[4,]["pipar"]["makespan_s"], of[4,]["fl"]["makespan_s"])
        self.assertGreater(of[1024,]["pipar"]["makespan_s"], of[1024,]["fl"]["makespan_s"])


class HeatMap(ExperimentTest):
    def test_the_planner_finds_the_best_cell_of_the_map(self):
        small = ["model=vgg5", "dataset.train_samples=800"]
        runs = self.run_experiment("10_heat_map", "sweep.pipeline.split=[1, 2, 3, 4, 5]", *small)
        self.assertEqual(len({(run["split"][0], run["micro_batches"][0]) for run in runs}), 50)
        best = min(run["makespan_s"] for run in runs)
        planned = self.run_experiment("10_heat_map", "pipeline.split=auto", "pipeline.micro_batches=auto", *small)
        self.assertEqual(len(planned), 1)
        self.assertLessEqual(planned[0]["makespan_s"], best)


class Beyond(ExperimentTest):
    def by_cell(self):
        """{(mode, policy): {method: run}}; whole, as it takes no longer."""
        return self.cells(self.run_experiment("11_beyond"), "aggregate.mode", "server.policy")

    def test_every_schedule_is_between_the_bound_and_sfl(self):
        for cell, of in self.by_cell().items():
            for method in ("pipar", "1f1b", "bw-split"):
                with self.subTest((*cell, method)):
                    self.assertLess(of[method]["makespan_s"], of["sfl"]["makespan_s"])
                    # The slot is a resource: nothing is faster than its work.
                    self.assertGreater(of[method]["makespan_s"], of[method]["server_busy_s"] / of[method]["slots"])

    def test_who_need_not_wait_is_done_sooner_and_lets_the_server_idle_less(self):
        cells = self.by_cell()
        for (mode, policy), of in cells.items():
            if mode == "sync":
                for method, run in of.items():
                    with self.subTest((policy, method)):
                        free = cells["async", policy][method]
                        self.assertLess(free["makespan_s"], run["makespan_s"])
                        self.assertLess(free["server_idle_s"], run["server_idle_s"])
                        # The same stages, in another order.
                        for total in ("server_busy_s", "bytes_up", "bytes_down"):
                            self.assertEqual(free[total], run[total])

    def test_priority_gains_where_all_wait_for_the_slot(self):
        cells = self.by_cell()
        for mode in ("sync", "async"):
            self.assertLess(cells[mode, "priority"]["pipar"]["makespan_s"], cells[mode, "fifo"]["pipar"]["makespan_s"])

    def test_schedules_are_closer_to_the_bound_on_two_slots(self):
        gaps = []
        for slots in (1, 2):
            rows = self.plot_data("11_beyond", "bounds", settings=[f"server.slots={slots}"])
            gaps.append({(row["method"], row["server.policy"]): float(row["gap"]) for row in rows
                         if row["aggregate.mode"] == "sync"})
        for cell, gap in gaps[0].items():
            with self.subTest(cell):
                self.assertGreater(gap, gaps[1][cell])

    def test_no_schedule_is_below_the_bounds(self):
        rows = self.plot_data("11_beyond", "bounds", settings=["dataset.train_samples=1600"])
        self.assertGreaterEqual(len(rows), 16)
        for row in rows:
            with self.subTest(row["method"]):
                # Both are sums of the same nanoseconds, printed as doubles.
                self.assertLessEqual(float(row["lower_bound_s"]), float(row["makespan_s"]) * (1 + 1e-12))

    def test_the_bounds_of_the_worked_example(self):
        rows = self.plot_data("worked_example", "bounds", settings=["sweep.method=[pipar, 1f1b]"])
        for row in rows:
            # Device: 2 x 1 + 2 x 2 + 0.5. Path: first forward, upload and latency 2.1, both micro-batches on the server 3,
            # download, latency and backward 2.6, update 0.5; model up 0.2, aggregate 0.05, model down 0.15.
            self.assertAlmostEqual(float(row["busiest_resource_s"]), 6.5, places=9)
            self.assertAlmostEqual(float(row["critical_path_s"]), 8.2 + 0.4, places=9)


class WorkedExample(ExperimentTest):
    def test_every_start_and_end_is_as_counted_by_hand(self):
        run, = self.run_experiment("worked_example")
        # Device: two forwards of 1, two backwards of 2, an update of 0.5. Server: two of 0.5 + 1, an update, an aggregate.
        self.assertAlmostEqual(run["makespan_s"] - run["device_idle_s"], 2 * 1 + 2 * 2 + 0.5, places=9)
        self.assertAlmostEqual(run["server_busy_s"], 2 * 1.5 + 0.25 + 0.05, places=9)
        # Forward 1, upload 1 and 0.1; server 2 x 1.5; download 0.5 and 0.1; backward 2 and update 0.5 (the second backward
        # waits for its own gradient no longer than the first takes); model up 0.1 and 0.1, aggregate 0.05, down 0.05 and 0.1.
        backwards = max(2.1 + 1.5 + 0.6 + 2, 2.1 + 3 + 0.6) + 2 + 0.5
        self.assertAlmostEqual(run["makespan_s"], backwards + 0.2 + 0.05 + 0.15, places=9)

    def test_a_mini_batch_in_one_piece_takes_longer(self):
        # Twice the lengths and sizes, nothing overlaps.
        whole, = self.run_experiment("worked_example", "pipeline.micro_batches=1", "cost.device={forward_s: 2, backward_s: 4, "
                                     "update_s: 0.5}", "cost.server={forward_s: 1, backward_s: 2, update_s: 0.25, "
                                     "aggregate_s: 0.05}", "cost.bytes={upload: 2500000, download: 2500000, "
                                     "model_upload: 125000, model_download: 125000}")
        cut, = self.run_experiment("worked_example")
        self.assertLess(cut["makespan_s"], whole["makespan_s"])
        self.assertEqual((cut["bytes_up"], cut["bytes_down"]), (whole["bytes_up"], whole["bytes_down"]))
        self.assertLess(cut["server_idle_s"], whole["server_idle_s"])


class OwnNetwork(ExperimentTest):
    def test_a_network_from_a_file_learns_by_both_methods(self):
        samples = 1000
        runs = self.run_experiment("own_network", "dataset.train_samples=4000")
        accuracy = {run["method"]: run["test_accuracy"] for run in runs}
        self.assertEqual(sorted(accuracy), ["fl", "pipar"])
        for value in accuracy.values():
            # Ten classes: four standard errors above guessing.
            self.assertGreater(value, 0.1 + 4 * (0.1 * 0.9 / samples) ** 0.5)
        # The file's six blocks, the first two on the devices.
        self.assertEqual({run["method"]: run["split"] for run in runs}, {"fl": [6, 6], "pipar": [2, 2]})
        by_hand = {run["method"]: run["bytes_up"] for run in runs}
        self.assertGreater(by_hand["pipar"], by_hand["fl"])  # activations are larger than so small a network


class Sensitivity(ExperimentTest):
    def test_slow_links_and_slow_servers_each_bound_what_the_other_gains(self):
        runs = self.run_experiment("12_sensitivity", "dataset.train_samples=2000", "model=vgg5")
        cells = {}
        for run in runs:
            key = run["settings"]["server.device.name"], run["settings"]["devices.0.network.up_mbps"]
            cells.setdefault(key, {})[run["method"]] = run
        self.assertEqual(len(cells), 24)
        for (server, rate), of in cells.items():
            with self.subTest((server, rate)):
                # A server as fast as a device cannot take off four devices more than its own share: five compute for four.
                if server == "1x":
                    self.assertLess(of["pipar"]["speedup"], of["fl"]["makespan_s"] / (of["fl"]["makespan_s"] -
                                    of["fl"]["device_idle_s"]) * 1.25 + 1e-9)
                # fl's own time depends on the server by one aggregate alone: five models at 5 GB/s or more.
                aggregate_s = 5 * of["fl"]["bytes_up"] / 4 / 5e9
                self.assertAlmostEqual(of["fl"]["makespan_s"], cells["4096x", rate]["fl"]["makespan_s"],
                                       delta=aggregate_s + 1e-9)

    def test_ratios_rise_with_bandwidth_and_with_the_server_s_speed(self):
        runs = self.run_experiment("12_sensitivity", "dataset.train_samples=2000", "model=vgg11")
        speedup = {(run["settings"]["server.device.name"], run["settings"]["devices.0.network.up_mbps"]): run["speedup"]
                   for run in runs if run["method"] == "pipar"}
        servers, rates = [["1x", "4x", "16x", "64x", "256x", "4096x"], [1, 10, 100, 1000]]
        # A plan is searched for each cell, and a faster server or link makes every plan faster; fl knows no server.
        for rate in rates:
            times = [speedup[server, rate] for server in servers]
            self.assertEqual(times, sorted(times))
        for method in ("fl", "pipar"):
            for server in servers:
                times = [run["makespan_s"] for run in sorted(runs, key=lambda run: run["settings"]["devices.0.network.up_mbps"])
                         if run["method"] == method and run["settings"]["server.device.name"] == server]
                self.assertEqual(len(times), len(rates))
                self.assertEqual(times, sorted(times, reverse=True))


class Reproduce(unittest.TestCase):
    def test_training_that_is_finished_is_kept_and_what_has_changed_runs_again(self):
        small = ["dataset.name=synthetic", "dataset.shape=[1, 28, 28]", "dataset.classes=10", "dataset.train_samples=80",
                 "dataset.test_samples=20", "training.epochs=1", "training.batch_size=10", "sweep.seed=[1]"]
        with tempfile.TemporaryDirectory() as folder:
            results = pathlib.Path(folder, "07_privacy.h5")

            def reproduce(*settings):
                words = [word for setting in (*small, *settings) for word in ("--set", setting)]
                done = subprocess.run([sys.executable, "scripts/reproduce.py", "--pipar", PIPAR, "-o", folder, "--only",
                                       "07_privacy", *words], cwd=EXPERIMENTS.parent, capture_output=True, text=True,
                                      stdin=subprocess.DEVNULL, env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1",
                                                                     "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})
                self.assertEqual(done.returncode, 0, done.stderr)
                return "kept from before" in done.stdout, results.stat().st_mtime_ns

            kept, made = reproduce()
            self.assertFalse(kept)
            self.assertEqual(reproduce(), (True, made))
            kept, again = reproduce("sweep.method=[fl]")
            self.assertFalse(kept)
            self.assertGreater(again, made)
            results.unlink()
            self.assertFalse(reproduce("sweep.method=[fl]")[0])

    def test_bad_arguments(self):
        root = EXPERIMENTS.parent
        for arguments, message in ((["--only", "99_none"], "99_none"), (["-o", "README.md"], "README.md"),
                                   (["--what"], "--what")):
            done = subprocess.run([root / "reproduce", *arguments], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(message, done.stderr)
        done = subprocess.run([root / "reproduce", "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0)
        self.assertIn("--train", done.stdout)


class AsPublished(ExperimentTest):
    def test_by_the_published_definitions_a_pipeline_idles_least_and_what_fl_does_not_count_is_the_models_way(self):
        rows = self.plot_data("13_as_published", "idle-as-published", "--idle", "as-published",
                              settings=["sweep.model=[vgg5, resnet18]"])
        cells = {}
        for row in rows:
            cells.setdefault((row["model"], row["devices.0.network.name"]), {})[row["method"]] = row
        self.assertEqual(len(cells), 4)
        for cell, of in cells.items():
            with self.subTest(cell):
                for side in ("server_idle_s", "device_idle_s"):
                    idle = {method: float(row[side]) for method, row in of.items()}
                    self.assertLess(idle["pipar"], idle["sfl"])
                    self.assertLess(idle["pipar"], idle["fl"])
        # Between links of one latency only sending differs. In fl that is the models' alone, so the server's idle time is the
        # same; in sfl activations wait for it.
        for model in ("vgg5", "resnet18"):
            slow, fast = cells[model, "code-10-25"], cells[model, "code-50-50"]
            self.assertEqual(slow["fl"]["server_idle_s"], fast["fl"]["server_idle_s"])
            self.assertGreater(float(slow["sfl"]["server_idle_s"]), float(fast["sfl"]["server_idle_s"]))

    def test_slots_are_shared_evenly_and_the_order_of_methods_stays(self):
        runs = self.run_experiment("13_as_published", "sweep.model=[vgg11]")
        for cell, of in self.cells(runs, "devices.0.network.name").items():
            with self.subTest(cell):
                self.assertEqual(of["pipar"]["slots"], of["pipar"]["devices"])
                self.assertLess(of["pipar"]["server_idle_s"], of["sfl"]["server_idle_s"])
                self.assertLess(of["sfl"]["server_idle_s"], of["fl"]["server_idle_s"])

    def test_the_worked_example_by_the_published_definitions(self):
        rows = self.plot_data("worked_example", "idle-as-published", "--idle", "as-published",
                              settings=["server.policy=space-share"])
        # The first activation arrives at 2.1, the second while the server computes; the end of the round is not counted.
        self.assertAlmostEqual(float(rows[0]["server_idle_s"]), 2.1, places=9)
        # From 2.0 to 4.2 for the gradient, from 8.7 to 9.1 for the averaged model.
        self.assertAlmostEqual(float(rows[0]["device_idle_s"]), 2.6, places=9)

    def test_in_fl_messages_with_the_loss_end_the_server_s_intervals(self):
        rows = self.plot_data("worked_example", "idle-as-published", "--idle", "as-published", settings=[
            "method=fl", "server.policy=space-share", "cost.iterations=2"])
        # Backward ends at 3 and 6.5 (forward 1, backward 2, update 0.5), 0.1 later the message is there; then nothing counts.
        self.assertAlmostEqual(float(rows[0]["server_idle_s"]), 6.6, places=9)
        # Model up 0.1, latency 0.1, aggregate 0.05, model down 0.05, latency 0.1.
        self.assertAlmostEqual(float(rows[0]["device_idle_s"]), 0.4, places=9)


if __name__ == "__main__":
    PIPAR = os.path.abspath(sys.argv[1])
    program = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], exit=False, verbosity=2)
    result = program.result
    if result.skipped and not result.failures and not result.errors:
        print(result.skipped[0][1])
        sys.exit(77)
    sys.exit(0 if result.wasSuccessful() else 1)
