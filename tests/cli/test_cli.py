"""test_cli.py PIPAR CLASS: runs the program as a user does and checks exit codes, messages and files.

Exit codes: 0 done, 1 usage or differing, 2 the experiment or an input file is wrong, 3 a run failed, 4 stopped by a
signal."""

import contextlib
import csv
import gzip
import io
import itertools
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys

import cli
from cli import FASHION, TIMED, TIMEOUT_S, TRAINED, CliTest, idx_labels, write_fashion_mnist


class Usage(CliTest):
    def test_an_option_has_one_value(self):
        for option, words in (
            ("run timed.yaml -o a.h5 --output b.h5", ["run: --output", "'a.h5' and 'b.h5'"]),
            ("run timed.yaml --run 0 -q --run=1", ["run: --run", "'0' and '1'"]),
            ("plan timed.yaml --planner aps --planner search", ["plan: --planner"]),
            ("models vgg5 --classes 10 --classes 100", ["models: --classes"]),
            ("profile vgg5 --repeats 1 -o p.yaml --repeats 2", ["profile: --repeats"]),
            ("profile vgg5 -o p.yaml -o q.yaml", ["profile: -o"]),
            ("report a.h5 --run 0 --run 1", ["report: --run"]),
            ("plot a.h5 -o a -ob", ["plot: --output", "'a' and 'b'"]),
            ("trace a.h5 -o a.json -o b.json", ["trace: --output"]),
            ("merge a.h5 -o b.h5 -o c.h5", ["merge: --output"]),
        ):
            with self.subTest(option=option):
                self.fails(1, [*words, "given twice"], *option.split())
        self.succeeds("run", "timed.yaml", "-o", "a.h5", "-q", "-o", "a.h5", "-q", "--set", "seed=1", "--set", "name=a")
        self.assertFalse(self.exists("b.h5"))

    def test_no_command_shows_the_usage_and_fails(self):
        done = self.pipar()
        self.assertEqual(done.returncode, 1)
        self.assertIn("usage: pipar", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_unknown_command_and_option_are_named(self):
        self.fails(1, ["'frobnicate'", "--help"], "frobnicate")
        self.fails(1, ["--frobnicate"], "run", "timed.yaml", "--frobnicate")
        self.fails(1, ["-o", "needs a value"], "run", "timed.yaml", "-o")
        self.fails(1, ["no option '-x'"], "run", "-xq", "timed.yaml")

    def test_missing_and_surplus_arguments_are_named(self):
        self.fails(1, ["experiment file is missing"], "run")
        self.fails(1, ["experiment file is missing"], "check")
        self.fails(1, ["'surplus.yaml'"], "run", "timed.yaml", "surplus.yaml")

    def test_help_is_everywhere(self):
        listed = self.succeeds("--help").stdout
        for command in ("run", "check", "plan", "models", "presets", "profile", "report", "plot", "diff"):
            self.assertRegex(listed, rf"\n +{command} ")
            done = self.succeeds(command, "--help")
            self.assertIn(f"usage: pipar {command}", done.stdout)
            self.assertEqual(done.stderr, "")

    def test_version_names_the_libraries(self):
        done = self.succeeds("--version")
        for library in ("pipar 0.", "Open MPI", "OpenBLAS", "HDF5", "libyaml"):
            self.assertIn(library, done.stdout)

    def test_version_names_the_revision(self):
        source = pathlib.Path(__file__).resolve().parents[2]
        described = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True)
        if described.returncode != 0:
            self.skipTest("the source is not a repository of git")
        revision = re.match(r"pipar \S+ \((?:\S+-g)?([0-9a-f]{12,})\+?\)\n", self.succeeds("--version").stdout)
        self.assertIsNotNone(revision)

    def test_models_and_presets_can_be_looked_up(self):
        self.assertIn("vgg5", self.succeeds("models").stdout)
        blocks = self.succeeds("models", "vgg5").stdout
        self.assertIn("C32 max2", blocks)
        self.fails(2, ["vgg4", "vgg5"], "models", "vgg4")
        layers = json.loads(self.succeeds("models", "--json", "vgg5").stdout)["blocks"]
        self.assertEqual(len(layers), 5)
        self.assertEqual(layers[0]["layers"][0]["macs"], 32 * 32 * 32 * 3 * 9)  # 3x3 from 3 to 32 channels at 32x32
        self.fails(1, ["--json"], "models", "--json")
        presets = self.succeeds("presets").stdout
        for word in ("raspberry-pi-4b", "server-cpu", "code-10-25", "code-50-50", "measured", "estimate"):
            self.assertIn(word, presets)

    def test_a_reader_that_closes_the_pipe_ends_the_program_quietly(self):
        for args in (["presets"], ["check", "timed.yaml"], ["--help"]):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run(
                [cli.PIPAR, *args], cwd=self.folder, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S
            )
            os.close(writer)
            self.assertIn(done.returncode, (-signal.SIGPIPE, 3), args)
            self.assertLessEqual(len(done.stderr.splitlines()), 1, args)

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [cli.PIPAR, "presets"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False
            )
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stderr, "^pipar: .*written")


class Experiments(CliTest):
    def test_errors_name_file_line_column_key_value_and_what_is_allowed(self):
        cases = [
            ("method: pipar", "method: pippar", ["exp.yaml:1:9", "method", "pippar", "pipar"]),
            ("micro_batches: 2", "micro_batches: two", ["exp.yaml:3:27", "pipeline.micro_batches", "two"]),
            ("micro_batches: 2", "micro_batches: -3", ["exp.yaml:3:27", "pipeline.micro_batches", "-3", "1"]),
            ("compute: none", "compute: none\nbatch_size: 4", ["exp.yaml:3:1", "batch_size"]),
            ("compute: none", "compute: none\ncompute: real", ["exp.yaml:3:1", "compute"]),
            ("up_mbps: 10", "up_mbps: fast", ["exp.yaml:11:25", "up_mbps", "fast"]),
            ("up_mbps: 10, ", "", ["exp.yaml:11", "up_mbps"]),
        ]
        for old, new, words in cases:
            self.assertIn(old, TIMED)
            self.write("exp.yaml", TIMED.replace(old, new))
            for command in ("check", "run"):
                with self.subTest(new=new, command=command):
                    self.fails(2, words, command, "exp.yaml")
        self.assertFalse(self.exists("results/exp.h5"))

    def test_what_is_no_yaml_is_told_with_its_line(self):
        self.write("exp.yaml", "method: pipar\ndevices: [\n")
        self.fails(2, ["exp.yaml:"], "check", "exp.yaml")
        self.write("exp.yaml", "")
        self.fails(2, ["exp.yaml"], "check", "exp.yaml")
        (self.folder / "exp.yaml").write_bytes(b"\x89HDF\r\n\x1a\n\0\0\0\0")
        self.fails(2, ["exp.yaml"], "check", "exp.yaml")

    def test_required_keys_are_missed(self):
        self.write("exp.yaml", "method: pipar\n")
        self.fails(2, ["exp.yaml", "devices"], "check", "exp.yaml")

    def test_an_experiment_that_is_not_there_is_named(self):
        self.fails(2, ["no.yaml", "No such file"], "run", "no.yaml")
        self.fails(2, [str(self.folder)], "run", str(self.folder))

    def test_set_overrides_and_is_checked_alike(self):
        done = self.succeeds("check", "--resolved", "trained.yaml", "--set", "training.batch_size=2")
        self.assertRegex(done.stdout, r"batch_size: 2\b")
        self.fails(2, ["training.batch_size", "0"], "check", "trained.yaml", "--set", "training.batch_size=0")
        self.fails(2, ["training.batchsize"], "check", "trained.yaml", "--set", "training.batchsize=2")
        self.fails(1, ["nonsense", "KEY=VALUE"], "check", "trained.yaml", "--set", "nonsense")

    def test_what_a_run_cannot_do_is_told_with_the_file_and_the_run(self):
        shape = "shape: [1, 8, 8]"
        self.write("small.yaml", TRAINED.replace(shape, "shape: [1, 1, 1]"))
        self.write("swept.yaml", TRAINED + "sweep: {dataset.shape: [[1, 8, 8], [1, 1, 1]]}\n")
        for command in ("check", "run"):
            self.fails(2, ["small.yaml: vgg5", "too small"], command, "small.yaml")
            self.fails(2, ["swept.yaml: run 1: vgg5", "too small"], command, "swept.yaml")

    def test_set_of_a_swept_key_fixes_it(self):
        self.write("swept.yaml", TRAINED + "sweep: {method: [fl, sfl, pipar], seed: [1, 2]}\n")
        self.assertIn("6 runs", self.succeeds("check", "swept.yaml").stdout)
        self.assertIn("2 runs", self.succeeds("check", "swept.yaml", "--set", "method=fl").stdout)
        self.assertIn("1 run;", self.succeeds("check", "swept.yaml", "--set", "method=fl", "--set", "seed=3").stdout)

    def test_what_check_prints_is_an_experiment_of_the_same_meaning(self):
        for name in ("timed.yaml", "trained.yaml"):
            shown = self.succeeds("check", name, "--resolved").stdout
            self.write("again.yaml", shown)
            self.assertEqual(self.succeeds("check", "again.yaml", "--resolved").stdout, shown, name)
        self.fails(1, ["exclude"], "check", "timed.yaml", "--resolved", "--runs")

    def test_check_answers_in_its_first_line_and_warns_in_its_last(self):
        lines = self.succeeds("check", "trained.yaml").stdout.splitlines()
        memory = re.search(r"alone (\d+) MiB, with 3 ranks (\d+) MiB", lines[1]).groups()
        self.assertEqual(lines[0], "trained is valid: 1 run; at most %s MiB in one process, %s MiB with 3 ranks; 2 warnings below" % memory)
        self.assertEqual([line.split()[0] for line in lines[-3:]], ["warning:", "warning:", "all"])
        self.assertEqual(lines[-1], "all settings with their defaults: pipar check --resolved trained.yaml")
        self.assertLess(len(lines), 15)
        self.assertRegex(self.succeeds("check", "timed.yaml").stdout, r"^timed is valid: 1 run; at most \d+ MiB; no warnings\n")
        self.write("swept.yaml", TIMED + "sweep: {method: [fl, pipar]}\n")
        self.assertIn("1 warning below", self.succeeds("check", "swept.yaml").stdout.splitlines()[0])


class Inputs(CliTest):
    def setUp(self):
        super().setUp()
        write_fashion_mnist(self.folder / "data")
        self.write("fashion.yaml", FASHION)

    def fails_naming(self, words, ranks=None):
        self.fails(2, words, "run", "fashion.yaml", "-o", "out.h5", ranks=ranks)
        self.assertFalse(self.exists("out.h5"))

    def test_small_files_of_the_true_format_train(self):
        self.succeeds("run", "fashion.yaml", "-o", "out.h5")

    def test_a_missing_file_is_named(self):
        (self.folder / "data/train-images-idx3-ubyte").unlink()
        self.fails_naming(["train-images-idx3-ubyte"])

    def test_a_missing_directory_is_named(self):
        shutil.rmtree(self.folder / "data")
        self.fails_naming(["data"])

    def test_a_truncated_file_is_named(self):
        path = self.folder / "data/train-images-idx3-ubyte"
        whole = path.read_bytes()
        for length in (0, 3, 15, 16, 1000, len(whole) - 1):
            with self.subTest(length=length):
                path.write_bytes(whole[:length])
                self.fails_naming(["train-images-idx3-ubyte"])

    def test_a_truncated_gzip_file_is_named(self):
        path = self.folder / "data/t10k-labels-idx1-ubyte.gz"
        whole = path.read_bytes()
        for length in (5, len(whole) // 2, len(whole) - 9):
            with self.subTest(length=length):
                path.write_bytes(whole[:length])
                self.fails_naming(["t10k-labels-idx1-ubyte.gz"])

    def test_a_file_of_another_kind_is_named(self):
        (self.folder / "data/train-images-idx3-ubyte").write_bytes(b"P6 28 28 255 " * 1000)
        self.fails_naming(["train-images-idx3-ubyte"])

    def test_a_label_out_of_range_is_named(self):
        path = self.folder / "data/t10k-labels-idx1-ubyte.gz"
        with gzip.open(path, "wb") as file:
            file.write(idx_labels(4)[:-1] + b"\x0a")
        self.fails_naming(["t10k-labels-idx1-ubyte.gz", "10"])

    def test_wanting_more_samples_than_there_are_is_told(self):
        self.write("fashion.yaml", FASHION.replace("train_samples: 8", "train_samples: 9"))
        self.fails_naming(["9", "8"])


class Outputs(CliTest):
    def test_the_default_output_is_in_results(self):
        done = self.succeeds("run", "timed.yaml")
        self.assertEqual(done.stdout, "results/timed.h5\n")
        self.assertTrue(self.exists("results/timed.h5"))
        self.assertFalse(self.exists("results/timed.h5.part"))

    def test_an_existing_output_is_kept_without_force(self):
        self.write("out.h5", "precious")
        self.fails(1, ["out.h5", "--force"], "run", "timed.yaml", "-o", "out.h5")
        self.assertEqual((self.folder / "out.h5").read_text(), "precious")
        self.assertFalse(self.exists("out.h5.part"))
        self.succeeds("run", "timed.yaml", "-o", "out.h5", "--force")
        self.assertTrue((self.folder / "out.h5").read_bytes().startswith(b"\x89HDF"))

    def test_an_output_that_cannot_be_made_is_named(self):
        self.fails(3, ["/proc/out.h5"], "run", "timed.yaml", "-o", "/proc/out.h5")

    def test_a_directory_that_is_not_there_is_told_before_any_work(self):
        self.write("large.yaml", TIMED.replace("iterations: 1", "iterations: 1000000000"))
        for path in ("no/such/folder/out.h5", "timed.yaml/out.h5"):
            folder = path.removesuffix("/out.h5")
            for ranks in (None, 2):
                with self.subTest(path=path, ranks=ranks):
                    self.fails(1, [f"cannot write {path}: there is no directory {folder}"], "run", "large.yaml", "-o", path, ranks=ranks)

    def test_what_is_no_plain_file_is_not_replaced(self):
        (self.folder / "folder").mkdir()
        os.mkfifo(self.folder / "pipe")
        for path in ("folder", "folder/", "pipe", "", "out.h5.part"):
            with self.subTest(path=path):
                self.fails(1, [path, "-o names another"], "run", "timed.yaml", "-o", path, "--force")
        self.assertTrue((self.folder / "pipe").is_fifo())

    def test_nothing_is_written_through_a_link_or_into_a_pipe(self):
        self.write("precious", "precious")
        (self.folder / "a.h5.part").symlink_to("precious")
        os.mkfifo(self.folder / "b.h5.part")
        self.fails(3, ["a.h5.part", "symbolic link"], "run", "timed.yaml", "-o", "a.h5")
        self.fails(3, ["b.h5.part", "no regular file"], "run", "timed.yaml", "-o", "b.h5")
        self.assertEqual((self.folder / "precious").read_text(), "precious")
        self.assertTrue((self.folder / "b.h5.part").is_fifo())

    def test_the_experiment_is_not_overwritten(self):
        os.link(self.folder / "timed.yaml", self.folder / "same.h5")
        for path in ("timed.yaml", "./timed.yaml", "same.h5"):
            with self.subTest(path=path):
                self.fails(1, ["timed.yaml", "overwrite"], "run", "timed.yaml", "-o", path, "--force")
        self.assertEqual((self.folder / "timed.yaml").read_text(), TIMED)

    def test_closed_standard_streams_do_not_reach_the_results(self):
        self.succeeds("run", "timed.yaml", "-o", "open.h5")
        for closed in ("2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed=closed):
                shell = f'"$0" run timed.yaml -o closed.h5 --force {closed}'
                subprocess.run(["sh", "-c", shell, cli.PIPAR], cwd=self.folder, timeout=TIMEOUT_S, check=False)
                self.succeeds("diff", "open.h5", "closed.h5")

    def test_a_name_with_a_line_break_leaves_an_error_one_line(self):
        self.fails(2, ["no?such.h5"], "report", "no\nsuch.h5")

    def test_quiet_says_nothing(self):
        done = self.succeeds("run", "timed.yaml", "-q")
        self.assertEqual((done.stdout, done.stderr), ("", ""))

    def test_a_full_file_system_leaves_no_file_under_the_final_name(self):
        def limit():  # writing past the limit fails as on a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

        done = self.pipar("run", "trained.yaml", "-o", "out.h5", preexec_fn=limit)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual(len([line for line in done.stderr.splitlines() if line.startswith("pipar: ")]), 1, done.stderr)
        self.assertFalse(self.exists("out.h5"))

    def test_an_existing_output_survives_a_failed_run_with_force(self):
        self.write("out.h5", "precious")
        self.write("bad.yaml", TRAINED.replace("synthetic, shape: [1, 8, 8], classes: 10", "fashion-mnist, path: none"))
        self.fails(2, ["none"], "run", "bad.yaml", "-o", "out.h5", "--force")
        self.assertEqual((self.folder / "out.h5").read_text(), "precious")


class Signals(CliTest):
    # Rounds without end, for the time of a test.
    LONG = TRAINED.replace("training: {batch_size: 4}", "training: {batch_size: 4, epochs: 100000}")

    @contextlib.contextmanager
    def running(self):
        """The long run after its first round."""
        self.write("long.yaml", self.LONG)
        with subprocess.Popen(
            [cli.PIPAR, "run", "long.yaml", "-o", "out.h5"], cwd=self.folder, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                line = next(line for line in process.stderr if not line.startswith("warning: "))
                self.assertIn("round 1 of 100000", line)
                yield process
            finally:
                process.kill()

    def test_a_signal_stops_the_run_after_a_round(self):
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number.name), self.running() as process:
                process.send_signal(number)
                _, errors = process.communicate(timeout=TIMEOUT_S)
                self.assertEqual(process.returncode, 4)
                self.assertIn("out.h5.part", errors.splitlines()[-1])
                self.assertFalse(self.exists("out.h5"))
                self.assertTrue(self.exists("out.h5.part"))
            self.fails(1, ["out.h5.part", "--force replaces it"], "run", "long.yaml", "-o", "out.h5")
            (self.folder / "out.h5.part").unlink()
            self.fails(1, ["out.h5.ckpt", "--force removes it"], "run", "long.yaml", "-o", "out.h5")
            (self.folder / "out.h5.ckpt").unlink()

    def test_a_run_has_all_cores_that_the_program_was_given(self):
        with self.running() as process:
            self.assertEqual(os.sched_getaffinity(process.pid), os.sched_getaffinity(0))

    def test_a_killed_run_leaves_a_part_that_can_be_reported(self):
        with self.running() as process:
            process.kill()
            process.communicate(timeout=TIMEOUT_S)
        self.assertFalse(self.exists("out.h5"))
        self.assertIn("pipar", self.succeeds("report", "out.h5.part").stdout)


class Memory(CliTest):
    def test_an_experiment_larger_than_memory_is_refused_before_it_starts(self):
        shape = "shape: [1, 8, 8], classes: 10, train_samples: 16, test_samples: 8"
        for huge in (
            "shape: [3, 4096, 4096], classes: 10, train_samples: 16, test_samples: 8",
            "shape: [3, 512, 512], classes: 10, train_samples: 60000000, test_samples: 8",
        ):
            self.write("huge.yaml", TRAINED.replace(shape, huge).replace("batch_size: 4", "batch_size: 1000"))
            with self.subTest(huge=huge):
                self.fails(3, ["memory"], "run", "huge.yaml", "-o", "out.h5")
                self.assertFalse(self.exists("out.h5"))

    def test_the_memory_of_very_many_devices_is_estimated_at_once(self):
        many = TRAINED.replace("count: 2", "count: 300000").replace("train_samples: 16", "train_samples: 300000")
        self.write("many.yaml", many)
        self.assertIn("with 300001 ranks", self.succeeds("check", "many.yaml").stdout)

    def test_a_limit_on_memory_counts_as_memory(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))

        self.write("large.yaml", TRAINED.replace("[1, 8, 8]", "[3, 128, 128]"))
        self.fails(3, ["memory"], "run", "large.yaml", "-o", "out.h5", preexec_fn=limit)
        self.assertFalse(self.exists("out.h5"))


class Ranks(CliTest):
    def test_more_ranks_than_roles_are_refused(self):
        self.fails(1, ["4 ranks", "at most 3"], "run", "trained.yaml", "-o", "out.h5", ranks=4)
        self.assertFalse(self.exists("out.h5"))

    def test_the_wall_clock_wants_a_rank_for_each_role(self):
        for ranks in (None, 2, 4):
            with self.subTest(ranks=ranks):
                self.fails(1, ["wall", "3 ranks"], "run", "trained.yaml", "--set", "clock=wall", ranks=ranks)

    def test_errors_are_told_once_and_no_rank_is_left_waiting(self):
        self.write("bad.yaml", TRAINED.replace("batch_size: 4", "batch_size: none"))
        self.fails(2, ["bad.yaml:4:24", "none"], "run", "bad.yaml", ranks=3)
        self.fails(1, ["no/such/out.h5"], "run", "trained.yaml", "-o", "no/such/out.h5", ranks=3)
        self.fails(3, ["/proc/out.h5"], "run", "trained.yaml", "-o", "/proc/out.h5", ranks=3)
        self.write("out.h5", "precious")
        self.fails(1, ["out.h5", "--force"], "run", "trained.yaml", "-o", "out.h5", ranks=3)

    def test_an_input_that_is_wrong_ends_all_ranks(self):
        write_fashion_mnist(self.folder / "data")
        self.write("fashion.yaml", FASHION)
        path = self.folder / "data/train-images-idx3-ubyte"
        path.write_bytes(path.read_bytes()[:-1])
        done = self.pipar("run", "fashion.yaml", "-o", "out.h5", ranks=3)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("train-images-idx3-ubyte", done.stderr)
        self.assertFalse(self.exists("out.h5"))

    def test_time_only_takes_any_number_of_ranks(self):
        self.succeeds("run", "timed.yaml", "-o", "alone.h5")
        self.succeeds("run", "timed.yaml", "-o", "three.h5", ranks=3)
        self.succeeds("diff", "alone.h5", "three.h5")

    def test_a_sweep_of_long_and_short_runs_is_the_same_on_any_number_of_ranks(self):
        self.write("mixed.yaml", TIMED.replace("method: pipar\n", "") +
                   "sweep: {method: [1f1b, fl, sfl, pipar], training.epochs: [40, 1, 9]}\n")
        self.succeeds("run", "mixed.yaml", "-o", "alone.h5")
        for ranks in (2, 3, 5, 14):  # 14: more than runs
            with self.subTest(ranks=ranks):
                done = self.succeeds("run", "mixed.yaml", "-o", f"{ranks}.h5", ranks=ranks)
                told = re.findall(r"run (\d+) of 12", done.stderr)
                self.assertEqual(told, sorted(told, key=int))
                self.assertEqual(len(set(told)), 12)
                self.succeeds("diff", "alone.h5", f"{ranks}.h5")
        self.succeeds("run", "mixed.yaml", "--run", "7", "-o", "one.h5", ranks=3)
        self.assertEqual(json.loads(self.succeeds("report", "--json", "one.h5").stdout)["runs"][0]["run"], 7)

    def test_a_run_that_fails_on_another_rank_ends_all(self):
        # 292 years do not suffice: found out when the run is worked out.
        self.write("late.yaml", TIMED + "training: {epochs: 2000}\nsweep: {devices.0.network.up_mbps: [1, 2, 3, 4, 0.000001, 5]}\n")
        done = self.pipar("run", "late.yaml", "-o", "out.h5", ranks=3)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("292 years", done.stderr)
        self.assertFalse(self.exists("out.h5"))


class Results(CliTest):
    def setUp(self):
        super().setUp()
        self.write("swept.yaml", TRAINED + "sweep: {method: [fl, sfl, pipar]}\n")
        self.succeeds("run", "swept.yaml", "-o", "a.h5")

    def test_report_tells_of_every_run(self):
        text = self.succeeds("report", "a.h5").stdout
        for word in ("fl", "sfl", "pipar", "idle"):
            self.assertIn(word, text)

    def test_report_begins_with_what_was_run(self):
        lines = self.succeeds("report", "a.h5").stdout.splitlines()
        self.assertEqual(lines[0], "a.h5: 3 runs")
        self.assertEqual(" ".join(line.strip() for line in lines[1:3]),
                         "all: model vgg5, data set synthetic, 16 samples, epochs 1, batch size 4, "
                         "models averaged every epoch, virtual clock, seed 1994")
        self.assertEqual(lines[3:6], ["devices: 2 x raspberry-pi-4b, link code-10-25 (10 Mbit/s up, 25 Mbit/s down, 10.5 ms)",
                                      "server: server-cpu, 1 slot", ""])

    def test_what_varies_is_said_to_and_groups_are_told_apart(self):
        self.write("groups.yaml", TIMED.replace("devices:", "server: {link: {up_mbps: 30, down_mbps: 40}, slots: 2}\ndevices:")
                   + "  - {count: 3, network: {up_trace: [[0, 5], [1, 6]], down_mbps: 20, latency_ms: 100, duplex: half}}\n"
                   "sweep: {devices.0.network.up_mbps: [1, 2], seed: [1, 2]}\n")
        self.succeeds("run", "groups.yaml", "-q", "-o", "groups.h5")
        text = self.succeeds("report", "groups.h5").stdout
        self.assertIn("\nall: epochs 1, models averaged every epoch, virtual clock\n"
                      "group 0: 1 device with a table of costs, link of a varying rate up, 20 Mbit/s down, 100 ms\n"
                      "group 1: 3 devices with a table of costs, link of a trace up, 20 Mbit/s down, 100 ms, half duplex\n"
                      "server: 2 slots, one link for all of 30 Mbit/s up, 40 Mbit/s down\n", text)

    def test_report_as_csv_and_json_can_be_parsed(self):
        rows = list(csv.DictReader(io.StringIO(self.succeeds("report", "--csv", "a.h5").stdout)))
        self.assertEqual([row["method"] for row in rows], ["fl", "sfl", "pipar"])
        self.assertEqual(len({len(row) for row in rows}), 1)
        json.loads(self.succeeds("report", "--json", "a.h5").stdout)

    def test_csv_leaves_out_what_rounding_makes_of_means(self):
        self.write("three.yaml", TIMED.replace("mbps: 20, latency", "mbps: 7, latency").replace("- {network", "- {count: 3, network"))
        self.succeeds("run", "three.yaml", "-q", "-o", "three.h5")
        (row,) = csv.DictReader(io.StringIO(self.succeeds("report", "--csv", "three.h5").stdout))
        exact = json.loads(self.succeeds("report", "--json", "three.h5").stdout)["runs"][0]["device_idle_by_cause_s"]
        for cause, seconds in exact.items():
            text = row[f"device_idle_{cause}_s"]
            self.assertLessEqual(len(text.replace(".", "").lstrip("0")), 12, text)
            self.assertAlmostEqual(float(text), seconds, delta=1e-11 * (1 + seconds))

    def test_csv_has_a_column_for_every_swept_key(self):
        sweep = {"pipeline.split": ["auto", "1"], "devices.0.pipeline.micro_batches": ["1", "2"],
                 "devices.0.network": ["code-10-25", "code-50-50"], "training.epochs": ["1", "2"], "seed": ["3", "4"]}
        text = TRAINED.replace("pipeline: {split: 1, micro_batches: 2}\n", "compute: none\n").replace("model: true", "model: false")
        keys = ", ".join(f"{key}: [{', '.join(values)}]" for key, values in sweep.items())
        self.write("swept.yaml", text + "sweep: {" + keys + "}\n")
        self.succeeds("run", "swept.yaml", "-q", "-o", "swept.h5")
        rows = list(csv.DictReader(io.StringIO(self.succeeds("report", "--csv", "swept.h5").stdout)))
        names = [f"{key}.name" if key.endswith("network") else key for key in sweep]
        self.assertEqual([tuple(row[name] for name in names) for row in rows], list(itertools.product(*sweep.values())))

    def test_numbers_of_a_gantt_chart_fit_into_their_boxes(self):
        if shutil.which("gnuplot") is None or "not in this pipar" in self.pipar("plot", "a.h5", "-o", "figures").stderr:
            self.skipTest("no figures here")
        labelled = set()
        for backward_s in (1, 1.5, 2, 3):  # of an iteration of some 30 to 60 s
            self.write("exp.yaml", TIMED.replace("micro_batches: 2", "micro_batches: 12"))
            self.succeeds("run", "exp.yaml", "-o", "b.h5", "--force", "--set", f"cost.device.backward_s={backward_s}",
                          "--set", "cost.device.forward_s=0.6")
            self.succeeds("plot", "b.h5", "-o", "figures")
            with open(self.folder / "figures" / "gantt-pipar.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            start, end = (next(key for key in rows[0] if key.startswith(word)) for word in ("start_", "end_"))
            length = max(float(row[end]) for row in rows) - min(float(row[start]) for row in rows)
            for row in rows:
                if row["label"] != "-":  # a digit of DejaVu Sans is 0.64 em, here some 0.7 % of the width
                    labelled.add(row["label"])
                    letters = 1.2 if row["angle"] == "90" else len(row["label"])  # a line is as high as 1.2 digits are wide
                    self.assertGreater((float(row[end]) - float(row[start])) / length, 0.0085 * letters, row)
        self.assertTrue({"0", "9", "11"} <= labelled)

    def test_numbers_of_two_digits_stand_where_one_digit_does(self):
        self.write("exp.yaml", TIMED.replace("micro_batches: 2", "micro_batches: 36"))
        self.succeeds("run", "exp.yaml", "-q", "-o", "b.h5")
        done = self.pipar("plot", "b.h5", "-o", "figures")
        if shutil.which("gnuplot") is None or "not in this pipar" in done.stderr:
            self.skipTest("no figures here")
        with open(self.folder / "figures" / "gantt-pipar.csv", newline="") as file:
            labels = {int(row["micro_batch"]): (row["label"], row["angle"]) for row in csv.DictReader(file) if row["stage"] == "backward"}
        self.assertEqual(labels, {number: (str(number), "90" if number > 9 else "0") for number in range(36)})

    def test_plot_makes_figures(self):
        if shutil.which("gnuplot") is None:
            self.skipTest("gnuplot is not here (Debian: gnuplot-nox)")
        if "not in this pipar" in self.pipar("plot", "a.h5", "-o", "figures").stderr:
            self.fails(1, ["figures", "meson option"], "plot", "a.h5", "-o", "figures")
            self.skipTest("this pipar was built without figures")
        self.succeeds("plot", "a.h5", "-o", "figures")
        svg, png = (sorted((self.folder / "figures").glob(f"*.{kind}")) for kind in ("svg", "png"))
        self.assertTrue(svg and png)
        self.assertEqual([path.stem for path in svg], [path.stem for path in png])
        for path in svg:
            self.assertIn("</svg>", path.read_text())
        for path in png:
            self.assertTrue(path.read_bytes().startswith(b"\x89PNG"))

    def test_diff_finds_equal_what_only_the_provenance_tells_apart(self):
        self.succeeds("run", "swept.yaml", "-o", "b.h5", "-q")
        self.assertNotEqual((self.folder / "a.h5").read_bytes(), (self.folder / "b.h5").read_bytes())
        self.succeeds("diff", "a.h5", "b.h5")

    def test_diff_finds_other_settings(self):
        self.succeeds("run", "swept.yaml", "-o", "b.h5", "--set", "seed=7")
        self.assertEqual(self.pipar("diff", "a.h5", "b.h5").returncode, 1)

    def test_files_that_are_no_results_are_named(self):
        self.write("text.h5", "not HDF5")
        (self.folder / "short.h5").write_bytes((self.folder / "a.h5").read_bytes()[:3000])
        for name in ("none.h5", "text.h5", "short.h5"):
            for args in (["report", name], ["plot", name, "-o", "figures"], ["diff", "a.h5", name]):
                with self.subTest(args=args):
                    self.fails(2, [name], *args)

    def test_arguments_are_checked(self):
        self.fails(1, ["report"], "report")
        self.fails(1, ["diff"], "diff", "a.h5")
        self.fails(1, ["plot"], "plot")


class Warnings(CliTest):
    # Devices have 8 samples, so 2 mini-batches an epoch, of 2 micro-batches with 2 samples: 4 steps an epoch.
    NETWORK = (
        "format: pipar-network\nformat_version: 1\nbatch_norm: {momentum: %s}\n"
        "blocks:\n  - [{conv: 4}, batch_norm, relu]\n  - [{conv: 4}, batch_norm, relu]\n  - [{linear: classes}]\n"
    )
    FEW = "micro-batches of 2 samples: batch norm's statistics suffer below 8"

    def setUp(self):
        super().setUp()
        self.network("0.1")

    def network(self, momentum):
        self.write("net.yaml", self.NETWORK % momentum)
        self.write("own.yaml", TRAINED.replace("method: pipar", "method: pipar\nmodel: net.yaml"))

    def unsettled(self, *more):
        """What check says of the running statistics."""
        lines = self.succeeds("check", "own.yaml", *more).stdout.splitlines()
        return [line for line in lines if "running statistics" in line]

    def test_check_tells_how_much_is_left_of_the_initial_running_statistics(self):
        (line,) = self.unsettled()
        self.assertIn("2 batch norms see 4 micro-batches with momentum 0.1, so that (1 - 0.1)^4 = 66 % of", line)
        self.assertIn("from 20 steps on", line)  # 2 x 0.9^20 = 0.243, 2 x 0.9^19 = 0.270

    def test_enough_steps_or_another_momentum_do_without(self):
        self.assertEqual(len(self.unsettled("--set", "training.epochs=4")), 1)
        self.assertEqual(self.unsettled("--set", "training.epochs=5"), [])
        self.network("0.5")
        self.assertEqual(self.unsettled(), [])  # 2 x 0.5^4 = 0.125
        self.network("0")
        (line,) = self.unsettled("--set", "training.epochs=5")
        self.assertIn("100 %", line)
        self.assertNotIn("from", line)

    def test_in_sl_one_network_sees_the_mini_batches_of_all(self):
        self.assertIn("see 2 micro", self.unsettled("--set", "method=sfl")[0])
        self.assertIn("see 4 micro", self.unsettled("--set", "method=sl")[0])

    def test_without_training_or_random_weights_there_is_nothing_to_settle(self):
        self.succeeds("run", "own.yaml", "-q", "-o", "trained.h5")
        self.assertEqual(self.unsettled("--set", "init=trained.h5:runs/0/model"), [])
        self.assertEqual(self.unsettled("--set", "compute=none", "--set", "record.model=false"), [])

    def test_runs_that_are_alike_share_a_line(self):
        self.write("swept.yaml", (self.folder / "own.yaml").read_text() + "sweep: {method: [pipar, fl, 1f1b, sfl, bw-split]}\n")
        lines = self.succeeds("check", "swept.yaml").stdout.splitlines()
        lines = [line for line in lines if line.startswith("warning: ")]
        self.assertTrue(lines[0].startswith("warning: runs 0, 2, 4: " + self.FEW), lines[0])
        self.assertIn("runs 1, 3: test accuracies", lines[2])
        self.assertEqual(len(lines), 3)

    def test_run_says_what_check_says_once_before_it_begins(self):
        said = [line for line in self.succeeds("check", "own.yaml").stdout.splitlines() if line.startswith("warning: ")]
        self.assertEqual(len(said), 2)
        for ranks in (None, 3):
            done = self.succeeds("run", "own.yaml", "-o", "a.h5", "--force", ranks=ranks)
            lines = done.stderr.splitlines()
            self.assertEqual([line for line in lines if "warning: " in line], said)
            self.assertLess(lines.index(said[1]), next(at for at, line in enumerate(lines) if "round 1 of" in line))
            self.assertEqual(done.stdout, "a.h5\n")
        self.assertEqual(self.succeeds("run", "own.yaml", "-o", "a.h5", "--force", "-q").stderr, "")

    def test_run_says_nothing_of_what_is_not_trained_or_done(self):
        timed = ("--set", "compute=none", "--set", "record.model=false")
        self.assertNotIn("warning", self.succeeds("run", "own.yaml", "-o", "timed.h5", *timed).stderr)
        self.assertIn(self.FEW, self.succeeds("check", "own.yaml", *timed).stdout)
        self.write("swept.yaml", (self.folder / "own.yaml").read_text() + "sweep: {method: [fl, pipar]}\n")
        done = self.succeeds("run", "swept.yaml", "--run", "1", "-o", "one.h5")
        self.assertIn("warning: run 1: " + self.FEW, done.stderr)
        self.assertNotIn("run 0", done.stderr)

    def test_report_says_it_of_what_was_run(self):
        self.succeeds("run", "own.yaml", "-q", "-o", "a.h5")
        self.succeeds("run", "own.yaml", "-q", "-o", "b.h5", "--set", "training.epochs=5", "--set", "name=b")
        (line,) = self.unsettled()
        self.assertIn(line, self.succeeds("report", "a.h5").stdout.splitlines())
        self.assertNotIn("warning", self.succeeds("report", "b.h5").stdout)
        both = self.succeeds("report", "a.h5", "b.h5").stdout
        self.assertIn("a.h5:\n" + line, both)
        self.assertEqual(both.count("warning"), 1)


class ForeignRows(CliTest):
    def read_everything(self, trace):
        self.succeeds("trace", "a.h5", "-o", trace)
        reports = [self.succeeds("report", option, "a.h5").stdout for option in ("--json", "--why")]
        return *reports, (self.folder / trace).read_bytes()

    def test_columns_that_others_have_added_are_left_alone(self):
        h5py, numpy = self.h5py()
        self.write("timed.yaml", TIMED)
        self.succeeds("run", "timed.yaml", "-o", "a.h5")
        before = self.read_everything("before.json")
        with h5py.File(self.folder / "a.h5", "r+") as file:
            for name in ("devices", "server", "rounds", "stages"):
                group, old = file["runs/0"], file["runs/0"][name]
                rows, described = old[...], dict(old.attrs)
                # A row wider than all that is converted at a time, and one that is not.
                note = "S2000000" if name == "server" else "S3000"
                wide = numpy.zeros(rows.shape, dtype=[("note", note), *((n, old.dtype[n]) for n in old.dtype.names)])
                for column in old.dtype.names:
                    wide[column] = rows[column]
                del group[name]
                new = group.create_dataset(name, data=wide, maxshape=(None,), chunks=(2,))
                new.attrs.update(described)
        self.assertEqual(self.read_everything("after.json"), before)


class FlippedBit(CliTest):
    def test_diff_finds_it_in_every_table_and_tensor(self):
        h5py, numpy = self.h5py()
        self.write("swept.yaml", TRAINED + "sweep: {method: [fl, sfl, pipar]}\n")
        self.succeeds("run", "swept.yaml", "-o", "a.h5")

        def flip(path, choose):
            shutil.copy(self.folder / "a.h5", path)
            with h5py.File(path, "r+") as file:
                table = choose(file["runs/2"])
                values = table[...]
                flat = values.reshape(-1).view(numpy.uint8)
                flat[flat.size // 2] ^= 1
                table[...] = values

        path = self.folder / "b.h5"
        tensors = "model/block0.conv.weight", "model/block3.linear.weight", "model/block1.bn.running_var"
        for name in ("devices", "server", "rounds", "stages", *tensors):
            with self.subTest(name=name):
                flip(path, lambda run, name=name: run[name])
                done = self.pipar("diff", "a.h5", "b.h5")
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertIn(name.split("/")[-1], done.stdout)
                self.assertEqual(len(done.stdout.splitlines()), 1)


if __name__ == "__main__":
    sys.exit(cli.main(__name__))
