"""test_inputs.py PIPAR CLASS: profiles, plans, networks of one's own and initial weights as a user meets them, and the
critical path that `report --why` names."""

import csv
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import cli
from cli import TIMEOUT_S, TRAINED, CliTest

PROFILED = """\
method: pipar
compute: none
pipeline: {split: 1, micro_batches: 2}
dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 22, test_samples: 8}
training: {batch_size: 8}
cost: {kind: profile, device_profile: p.yaml, server_profile: p.yaml}
devices:
  - {count: 2, network: code-10-25}
"""


class Why(CliTest):
    def setUp(self):
        super().setUp()
        example = pathlib.Path(__file__).parent.parent / "golden" / "example_a.yaml"
        shutil.copy(example, self.folder / "a.yaml")
        self.succeeds("run", "a.yaml", "-q", "-o", "a.h5")

    def explain_example(self, letter):
        example = pathlib.Path(__file__).parent.parent / "golden" / f"example_{letter}.yaml"
        self.succeeds("run", example, "-q", "-o", f"{letter}.h5")
        return json.loads(self.succeeds("report", "--why", f"{letter}.h5", "--json").stdout)

    def test_the_path_adds_up_and_changes_are_sorted(self):
        (self.folder / "a.yaml").unlink()  # the results file is enough
        why = json.loads(self.succeeds("report", "--why", "a.h5", "--json").stdout)
        self.assertEqual(why["makespan_ns"], 9100000000)  # example A of docs/timing-model.md
        self.assertEqual(sum(part["length_ns"] for part in why["path"]), 9100000000)
        gains = [change["gain_ns"] for change in why["what_if"]]
        self.assertEqual(gains, sorted(gains, reverse=True))
        self.assertEqual(why["what_if"][0]["change"], "devices of group 0 10 % faster")
        self.assertEqual(gains[0], 90909091 + 2 * 181818182 + 45454545)  # forward, two backwards, update
        text = self.succeeds("report", "--why", "a.h5", "--run", "0").stdout
        self.assertIn("100.00 %", text)
        self.assertIn("  links of group 0 both ways +10 %     makespan    8.950000002 s    -0.149999998 s  (-1.65 %)\n", text)
        self.assertNotIn("all links", text)  # there is only that group

    def test_the_server_s_link_may_be_what_holds_up_a_run(self):
        why = self.explain_example("r")
        self.assertEqual(why["makespan_ns"], 12700000000)  # example R
        self.assertEqual(sum(part["length_ns"] for part in why["path"]), 12700000000)
        gains = {change["change"]: change["gain_ns"] for change in why["what_if"]}
        self.assertAlmostEqual(gains["server's uplink +10 %"], 145454545, delta=10)  # tests/golden/test_server_link.c
        self.assertAlmostEqual(gains["server's downlink +10 %"], 9090909, delta=10)
        self.assertAlmostEqual(gains["server's link both ways +10 %"], 154545454, delta=10)
        self.assertIn("all links both ways +10 %", gains)
        self.assertNotIn("server's uplink +10 %", self.succeeds("report", "--why", "a.h5").stdout)

    def test_a_deadline_may_be_what_a_run_waits_for(self):
        why = self.explain_example("p")
        self.assertEqual(why["makespan_ns"], 12200000000)  # example P
        self.assertEqual(sum(part["length_ns"] for part in why["path"]), 12200000000)
        self.assertEqual(why["path"][0], {"stage": "wait", "group": -1, "pieces": 1, "length_ns": 12000000000})
        gains = {change["change"]: change["gain_ns"] for change in why["what_if"]}
        self.assertEqual(gains["devices of group 0 10 % faster"], 0)
        self.assertEqual(gains["downlink of group 0 +10 %"], 4545454)  # the model that comes down last

    def test_overrides_and_files_are_taken_from_the_results(self):
        self.write("up.txt", "0 10\n2.5 5\n")
        self.write("c.yaml", (self.folder / "a.yaml").read_text().replace("up_mbps: 10", "up_trace: up.txt"))
        self.succeeds("run", "c.yaml", "-q", "-o", "c.h5", "--set", "seed=7")
        (self.folder / "up.txt").unlink()
        why = json.loads(self.succeeds("report", "--why", "c.h5", "--json").stdout)
        self.assertEqual(why["makespan_ns"], 9200000000)  # example C

    def test_misuse_is_refused(self):
        self.fails(1, ["--run"], "report", "--run", "0", "a.h5")
        self.fails(1, ["whole number"], "report", "--why", "--run", "x", "a.h5")
        self.fails(1, ["runs 0 to 0"], "report", "--why", "--run", "3", "a.h5")
        self.fails(1, ["one results file"], "report", "--why", "a.h5", "a.h5")
        self.fails(1, ["--json"], "report", "--why", "--csv", "a.h5")


def stored_inputs(path):
    """{path: bytes} of a results file's inputs, by h5py."""
    code = ("import h5py, json, sys\n"
            "inputs = h5py.File(sys.argv[1])['inputs']\n"
            "print(json.dumps({d.attrs['path'].decode(): bytes(d[:]).decode() for d in inputs.values()}))")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=TIMEOUT_S)
    return json.loads(done.stdout) if done.returncode == 0 else None


class Profiles(CliTest):
    def setUp(self):
        super().setUp()
        self.write("exp.yaml", PROFILED)
        self.vgg5 = ("profile", "vgg5", "--input", "1x8x8", "--repeats", "2")
        self.table = self.succeeds(*self.vgg5, "-o", "p.yaml", "--batch-sizes", "1,4,8").stdout

    def test_the_results_hold_the_texts_of_what_was_read(self):
        self.write("up.txt", "0 10\n1 5\n")
        self.write("traced.yaml", PROFILED.replace("network: code-10-25", "network: {up_trace: up.txt, down_mbps: 5, latency_ms: 1}"))
        self.succeeds("run", "traced.yaml", "-q", "-o", "traced.h5")
        inputs = stored_inputs(self.folder / "traced.h5")
        if inputs is None:
            self.skipTest("needs python3-h5py")
        for name in ("traced.yaml", "p.yaml", "up.txt"):
            self.assertEqual(inputs[name], (self.folder / name).read_text())

    def test_every_block_is_timed_and_shown(self):
        text = (self.folder / "p.yaml").read_text()
        models = self.succeeds("models", "vgg5", "--input", "1x8x8").stdout
        for name in ("C32 max2", "C64 max2", "D128"):
            self.assertIn(name, models)
            self.assertIn(name, text)
            self.assertIn(name, self.table)
        self.assertEqual(text.count("forward_s"), 6)
        self.assertFalse(self.exists("p.yaml.part"))

    def test_it_costs_every_split_and_an_automatic_plan(self):
        self.succeeds("check", "exp.yaml")
        self.succeeds("run", "exp.yaml", "-q", "-o", "a.h5", "--set", "sweep={pipeline.split: [1, 2, 3, 4, 5]}")
        self.succeeds("run", "exp.yaml", "-q", "-o", "b.h5", "--set", "sweep={method: [fl, sfl, pipar]}",
                      "--set", "pipeline={}")  # fmt: skip
        for name, count in (("a.h5", 5), ("b.h5", 3)):
            rows = list(csv.DictReader(io.StringIO(self.succeeds("report", "--csv", name).stdout)))
            self.assertEqual(len(rows), count)

    def test_an_automatic_plan_keeps_to_the_sizes_that_were_timed(self):
        self.succeeds(*self.vgg5, "-o", "p.yaml", "--batch-sizes", "4,8", "--force")
        self.succeeds("run", "exp.yaml", "-q", "-o", "a.h5", "--set", "pipeline={}", "--set", "dataset.train_samples=32")
        rows = list(csv.DictReader(io.StringIO(self.succeeds("report", "--csv", "a.h5").stdout)))
        self.assertIn(rows[0]["micro_batches_most"], ("1", "2"))

    def test_what_check_resolves_is_the_same_experiment(self):
        settings = self.succeeds("check", "--resolved", "exp.yaml").stdout
        self.write("again.yaml", settings)
        for name in ("exp", "again"):
            self.succeeds("run", f"{name}.yaml", "-q", "-o", f"{name}.h5", "--set", "name=same")
        self.succeeds("diff", "exp.h5", "again.h5")

    def test_a_profile_is_looked_for_beside_the_experiment(self):
        (self.folder / "inside").mkdir()
        for name in ("exp.yaml", "p.yaml"):
            (self.folder / name).rename(self.folder / "inside" / name)
        self.succeeds("check", "inside/exp.yaml")

    def test_an_existing_file_stays_without_force(self):
        before = (self.folder / "p.yaml").read_bytes()
        self.fails(1, ["p.yaml", "--force"], *self.vgg5, "-o", "p.yaml")
        self.assertEqual((self.folder / "p.yaml").read_bytes(), before)
        self.succeeds(*self.vgg5, "-o", "p.yaml", "--batch-sizes", "2", "--force")
        self.assertIn("batch_sizes: [2]", (self.folder / "p.yaml").read_text())

    def test_arguments_are_checked(self):
        self.fails(1, ["network is missing"], "profile", "-o", "q.yaml")
        self.fails(1, ["-o P.yaml is missing"], "profile", "vgg5")
        self.fails(1, ["vgg8"], "profile", "vgg5", "vgg8", "-o", "q.yaml")
        self.fails(2, ["vgg55"], "profile", "vgg55", "-o", "q.yaml")
        for option, value in (("--batch-sizes", "2,1"), ("--batch-sizes", "0"), ("--batch-sizes", "1,"),
                              ("--repeats", "0"), ("--input", "3x32"), ("--classes", "1")):  # fmt: skip
            self.fails(1, [option, value], "profile", "vgg5", "-o", "q.yaml", option, value)
        self.fails(1, ["none/q.yaml"], "profile", "vgg5", "-o", "none/q.yaml", "--repeats", "1", "--batch-sizes", "1")
        self.assertFalse(self.exists("q.yaml"))

    def test_profiles_that_do_not_fit_are_named(self):
        def refused(words, *settings):
            self.fails(2, words, "check", "exp.yaml", *(word for text in settings for word in ("--set", text)))

        refused(["p.yaml:5:10", "network", "vgg5", "vgg8"], "model=vgg8")
        refused(["cost.device_profile", "none.yaml", "cannot be opened"], "cost.device_profile=none.yaml")
        refused(["cost.server_profile", "missing"], "cost={kind: profile, device_profile: p.yaml}")
        refused(["cost.device_profile", "alone, and kind is roofline"], "cost={kind: roofline, device_profile: p.yaml}")
        self.write("q.yaml", (self.folder / "p.yaml").read_text())
        refused(["cost.server_profile", "q.yaml", "one file for all"],
                "devices=[{network: code-10-25}, {network: code-10-25, cost: {server_profile: q.yaml}}]")  # fmt: skip
        for words, settings in (
            (["p.yaml:6:8", "input", "[1, 8, 9]"], "dataset.shape=[1, 8, 9]"),
            (["p.yaml:7:10", "classes", "11"], "dataset.classes=11"),
            (["p.yaml:8:14", "batch_sizes", "1 to 8"], "training.batch_size=20"),
        ):
            more = ["--set", "pipeline.micro_batches=1"]
            self.fails(2, words, "run", "exp.yaml", "-o", "x.h5", "--set", settings, *more)


PLANNED = """\
method: pipar
compute: none
dataset: {name: synthetic, shape: [1, 28, 28], classes: 10, train_samples: 60, test_samples: 8}
training: {batch_size: 10}
devices:
  - {count: 2, device: raspberry-pi-4b, network: code-10-25}
"""


class Plans(CliTest):
    def setUp(self):
        super().setUp()
        self.write("exp.yaml", PLANNED)

    def rows(self, *args):
        lines = self.succeeds("plan", *args, "--csv").stdout.splitlines()
        return [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]

    def test_what_is_predicted_is_what_the_run_takes(self):
        self.succeeds("run", "exp.yaml", "-o", "a.h5", "-q")
        run = json.loads(self.succeeds("report", "a.h5", "--json").stdout)
        makespan = float(re.search(r'"makespan_s": ([0-9.e+-]+)', json.dumps(run)).group(1))
        for args in (["exp.yaml"], ["a.h5"]):
            chosen = [row for row in self.rows(*args) if row["chosen"] == "1"]
            self.assertEqual(len(chosen), 1)
            self.assertAlmostEqual(float(chosen[0]["round_s"]), makespan, delta=1e-6 * makespan)  # 9 digits are printed
        least = min(float(row["round_s"]) for row in self.rows("exp.yaml"))
        self.assertGreaterEqual(least, makespan * (1 - 1e-6))

    def test_planners_are_compared_and_given_plans_shown(self):
        rows = self.rows("exp.yaml", "--planner", "exhaustive,aps,aps-as-published")
        chosen = {row["planner"]: float(row["round_s"]) for row in rows if row["chosen"] == "1"}
        self.assertEqual(set(chosen), {"exhaustive", "aps", "aps-as-published"})
        self.assertEqual(min(chosen.values()), chosen["exhaustive"])
        given = self.rows("exp.yaml", "--set", "pipeline={split: 2, micro_batches: 3}")
        marked = [(row["split"], row["micro_batches"]) for row in given if row["chosen"] == "1"]
        self.assertEqual(marked, [("2", "3")])
        self.assertIn("iteration s", self.succeeds("plan", "exp.yaml").stdout)
        self.assertEqual(len(json.loads(self.succeeds("plan", "exp.yaml", "--json").stdout)), len(self.rows("exp.yaml")))
        self.assertIn("*", self.succeeds("plan", "timed.yaml").stdout)

    def test_misuse_is_named(self):
        self.fails(1, ["--planner", "guess"], "plan", "exp.yaml", "--planner", "guess")
        self.fails(1, ["twice"], "plan", "exp.yaml", "--planner", "aps,aps")
        self.fails(1, ["--csv", "--json"], "plan", "exp.yaml", "--csv", "--json")
        self.fails(2, ["none.h5"], "plan", "none.h5")
        self.fails(1, ["experiment file"], "plan")

    def test_one_run_of_a_sweep_can_be_chosen(self):
        self.write("swept.yaml", (self.folder / "exp.yaml").read_text() + "sweep: {seed: [1, 2, 3]}\n")
        self.succeeds("run", "swept.yaml", "-q", "-o", "all.h5")
        self.succeeds("run", "swept.yaml", "-q", "--run", "2", "-o", "one.h5")
        for name in ("swept.yaml", "all.h5"):
            every = json.loads(self.succeeds("plan", name, "--json").stdout)
            self.assertEqual(sorted({row["run"] for row in every}), [0, 1, 2], name)
            one = json.loads(self.succeeds("plan", name, "--json", "--run", "1").stdout)
            self.assertEqual(one, [row for row in every if row["run"] == 1], name)
            self.assertTrue(self.succeeds("plan", name, "--run", "1").stdout.startswith("run 1: "), name)
            self.fails(1, ["run", "3"], "plan", name, "--run", "3")
        self.fails(1, ["--run x", "0 to 2"], "plan", "swept.yaml", "--run", "x")
        for chosen in ((), ("--run", "2")):
            self.assertEqual({row["run"] for row in json.loads(self.succeeds("plan", "one.h5", "--json", *chosen).stdout)}, {2})

    def test_check_says_which_methods_do_not_cut_mini_batches(self):
        said = {}
        for method in ("fl", "sl", "sfl", "pipar", "1f1b", "bw-split"):
            checked = self.succeeds("check", "exp.yaml", "--set", "pipeline={split: 1, micro_batches: 2}", "--set", f"method={method}")
            said[method] = "pipeline.micro_batches is unused" in checked.stdout
        self.assertEqual([method for method in said if said[method]], ["fl", "sl", "sfl"])

    def test_check_warns_of_small_micro_batches(self):
        warned = "micro-batches of"
        many = "pipeline={split: 1, micro_batches: 5}"
        self.assertIn(warned, self.succeeds("check", "exp.yaml", "--set", many).stdout)
        self.assertNotIn(warned, self.succeeds("check", "exp.yaml", "--set", "pipeline={micro_batches: 1}").stdout)
        self.assertNotIn(warned, self.succeeds("check", "exp.yaml", "--set", "pipeline.min_micro_batch=8").stdout)


class OwnNetworks(CliTest):
    NETWORK = (
        "format: pipar-network\nformat_version: 1\nblocks:\n  - [{conv: 4}, batch_norm, relu, {max_pool: 2}]\n"
        "  - [{residual: {layers: [{conv: {channels: 8, stride: 2, groups: 2}}, batch_norm]}}, relu]\n"
        "  - [{linear: classes}]\n"
    )

    def setUp(self):
        super().setUp()
        (self.folder / "exps" / "nets").mkdir(parents=True)
        self.write("exps/nets/own.yaml", self.NETWORK)
        self.write("exps/exp.yaml", TRAINED + "sweep: {model: [nets/own.yaml, vgg5]}\n")

    def test_a_file_beside_the_experiment_is_trained_timed_and_kept(self):
        self.succeeds("run", "exps/exp.yaml", "-o", "a.h5")
        self.succeeds("run", "exps/exp.yaml", "-o", "b.h5", ranks=3)
        self.succeeds("diff", "a.h5", "b.h5")
        self.assertIn("nets/own.yaml", self.succeeds("report", "a.h5").stdout)
        self.assertIn("nets/own.yaml", self.succeeds("check", "exps/exp.yaml").stdout)
        self.write("exps/nets/own.yaml", self.NETWORK + "# another\n")
        self.succeeds("run", "exps/exp.yaml", "-o", "c.h5")
        done = self.pipar("diff", "a.h5", "c.h5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("model_file", done.stdout)

    def test_check_names_the_files_that_are_read(self):
        traced = (self.folder / "exps/exp.yaml").read_text().replace(
            "network: code-10-25", "network: {up_trace: up.txt, down_mbps: 5, latency_ms: 1}")
        self.write("exps/up.txt", "0 10\n")
        self.write("exps/traced.yaml", traced)
        self.assertEqual(sorted(self.succeeds("check", "--inputs", "exps/traced.yaml").stdout.split()),
                         ["exps/nets/own.yaml", "exps/traced.yaml", "exps/up.txt"])
        # Overridden, the trace is not read.
        self.assertEqual(sorted(self.succeeds("check", "--inputs", "exps/traced.yaml", "--set",
                                              "devices.0.network=code-50-50").stdout.split()),
                         ["exps/nets/own.yaml", "exps/traced.yaml"])
        self.assertEqual(self.succeeds("check", "--inputs", "timed.yaml").stdout, "timed.yaml\n")
        self.fails(1, ["--runs", "--inputs"], "check", "timed.yaml", "--runs", "--inputs")
        self.fails(2, ["none.yaml"], "check", "--inputs", "none.yaml")

    def test_commands_take_the_file_itself(self):
        self.assertIn("residual C8g 3x3/2", self.succeeds("models", "exps/nets/own.yaml", "--input", "1x12x12").stdout)
        self.succeeds("profile", "exps/nets/own.yaml", "-o", "p.yaml", "--repeats", "1", "--batch-sizes", "2")
        self.assertIn("network: own.yaml", (self.folder / "p.yaml").read_text().replace("'", ""))

    def test_what_does_not_fit_is_named_with_its_place(self):
        self.fails(2, ["--set model=nets/none.yaml", "model: exps/nets/none.yaml", "cannot be opened"],
                   "check", "exps/exp.yaml", "--set", "model=nets/none.yaml")  # fmt: skip
        self.write("exps/nets/own.yaml", self.NETWORK.replace("max_pool: 2", "max_pool: 60"))
        self.fails(2, ["exps/nets/own.yaml:4:36", "max_pool", "leaves nothing"], "check", "exps/exp.yaml")
        self.write("exps/nets/own.yaml", self.NETWORK.replace("residual", "residul"))
        self.fails(2, ["exps/nets/own.yaml:5:7", "did you mean residual?"], "run", "exps/exp.yaml", "-o", "a.h5")


class Initial(CliTest):
    """Initial weights from a file."""

    def setUp(self):
        super().setUp()
        global h5py, numpy
        h5py, numpy = self.h5py()
        self.write("first.yaml", TRAINED)
        self.succeeds("run", "first.yaml", "-o", "first.h5")

    def again(self, init):
        self.write("again.yaml", TRAINED + f"init: {init}\n")
        return self.pipar("run", "again.yaml", "-o", "again.h5", "--force", "--set", "training.learning_rate=1e-30")

    def test_training_starts_from_the_tensors_of_a_results_file(self):
        done = self.again("first.h5:/runs/0/model")
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.folder / "first.h5") as first, h5py.File(self.folder / "again.h5") as again:
            model = again["runs/0/model"]
            self.assertGreater(len(model), 10)
            for name in model:
                if "running" not in name:
                    change = abs(model[name][...].astype(float) - first["runs/0/model"][name][...])
                    self.assertLess(change.max(), 1e-25, name)  # the learning rate is 1e-30

    def test_a_colon_in_a_name_is_part_of_it_where_there_is_such_a_file(self):
        os.mkdir(self.folder / "12:30")
        with h5py.File(self.folder / "first.h5") as first, h5py.File(self.folder / "12:30" / "own.h5", "w") as own:
            for name, tensor in first["runs/0/model"].items():
                own[name] = tensor[...]
        for init in ("12:30/own.h5", "12:30/own.h5:/"):
            with self.subTest(init=init):
                done = self.again(f'"{init}"')
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_group_is_the_root_unless_given_and_double_precision_will_do(self):
        with h5py.File(self.folder / "first.h5") as first, h5py.File(self.folder / "own.h5", "w") as own:
            for name, tensor in first["runs/0/model"].items():
                own[name] = tensor[...].astype(numpy.float64)
        self.assertEqual(self.again("own.h5").returncode, 0)
        self.assertEqual(self.again("first.h5:/runs/0/model").returncode, 0)
        os.rename(self.folder / "again.h5", self.folder / "other.h5")
        self.assertEqual(self.again("own.h5").returncode, 0)
        with h5py.File(self.folder / "other.h5") as other, h5py.File(self.folder / "again.h5") as again:
            for name, tensor in other["runs/0/model"].items():
                self.assertEqual(tensor[...].tobytes(), again["runs/0/model"][name][...].tobytes(), name)

    def test_what_does_not_fit_is_refused_in_one_line(self):
        def copy(path, change):
            with h5py.File(self.folder / "first.h5") as first, h5py.File(self.folder / path, "w") as own:
                for name, tensor in first["runs/0/model"].items():
                    own[name] = tensor[...]
                change(own)

        def not_a_number(own):
            own["block0.conv.weight"][0, 0, 0, 0] = float("nan")

        def reshaped(own):
            del own["block0.conv.weight"]
            own["block0.conv.weight"] = numpy.zeros((2, 1, 3, 3))

        def text(own):
            del own["block0.conv.bias"]
            own["block0.conv.bias"] = "none"

        def huge(own):
            del own["block0.conv.weight"]
            own.create_dataset("block0.conv.weight", (2**61,) * 4, "f4", chunks=(1, 1, 1, 1))

        copy("short.h5", lambda own: own.pop("block3.linear.bias"))
        copy("nan.h5", not_a_number)
        copy("shape.h5", reshaped)
        copy("text.h5", text)
        copy("huge.h5", huge)
        self.write("no.h5", "not HDF5")
        for init, words in (("short.h5", "has no tensor block3.linear.bias"), ("nan.h5", "allowed are finite numbers"),
                            ("shape.h5", "is 2 x 1 x 3 x 3; the network's is 32 x 1 x 3 x 3"),
                            ("huge.h5", "is 2305843009213693952 x 2305843009213693952 x 2305843009213693952 x 2305843009213693952;"),
                            ("text.h5", "holds no numbers"), ("no.h5", "no.h5"), ("absent.h5", "cannot be read"),
                            ("first.h5:/runs/7/model", "has no group /runs/7/model"), (".", "Is a directory")):
            with self.subTest(init=init):
                done = self.again(init)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertIn(words, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


if __name__ == "__main__":
    sys.exit(cli.main(__name__))
