"""test_nonsense.py PIPAR CLASS: what ends badly ends with one line and its exit code, loses nothing and leaves nothing
behind."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import cli
from cli import TIMED, TIMEOUT_S, TRAINED, CliTest

SWEPT = TIMED + "sweep: {method: [fl, sfl, pipar]}\n"


def limited(kind, amount):
    return lambda: resource.setrlimit(kind, (amount, amount))


class NonsenseTest(CliTest):
    def names(self, folder="."):
        return sorted(os.listdir(self.folder / folder))

    def makes_nothing(self, code, words, *args, **more):
        before = self.names()
        self.fails(code, words, *args, **more)
        self.assertEqual(self.names(), before, f"{args} left something")


class Limits(NonsenseTest):
    """ulimit -f, a full disk, ulimit -v, ulimit -u."""

    def setUp(self):
        super().setUp()
        self.write("swept.yaml", SWEPT)
        self.succeeds("run", "swept.yaml", "-o", "out.h5")

    def test_a_file_size_limit_is_told_and_leaves_nothing(self):
        limit = limited(resource.RLIMIT_FSIZE, 512)
        for words, *args in (
            (["x.h5", "File too large"], "merge", "out.h5", "-o", "x.h5"),
            (["x.json", "File too large"], "trace", "out.h5", "--run", "0", "-o", "x.json"),
            (["x.html", "File too large"], "report", "--html", "x.html", "out.h5"),
            (["x.yaml", "File too large"], "profile", "vgg5", "--repeats", "1", "--batch-sizes", "1", "-o", "x.yaml"),
        ):
            with self.subTest(args=args):
                self.makes_nothing(3, words, *args, preexec_fn=limit)
        self.fails(3, ["x.h5.part", "File too large"], "run", "timed.yaml", "-o", "x.h5", preexec_fn=limit)
        self.assertFalse(self.exists("x.h5"))

    def test_figures_that_do_not_fit_are_told_and_whole_or_not_there(self):
        if shutil.which("gnuplot") is None:
            self.skipTest("gnuplot is not installed")
        self.fails(3, ["File too large"], "plot", "out.h5", "-o", "a", preexec_fn=limited(resource.RLIMIT_FSIZE, 512))
        self.assertEqual(self.names("a"), [])
        self.succeeds("plot", "out.h5", "-o", "whole")
        sizes = {path.name: path.stat().st_size for path in (self.folder / "whole").iterdir()}
        data = max(size for name, size in sizes.items() if name.endswith((".csv", ".gnuplot")))
        self.assertLess(data, sizes["idle.svg"])
        limit = limited(resource.RLIMIT_FSIZE, data)
        self.fails(3, ["gnuplot", "b/idle.gnuplot", "File size limit"], "plot", "out.h5", "-o", "b", preexec_fn=limit)
        self.assertIn("idle.csv", self.names("b"))
        for name in self.names("b"):
            self.assertEqual((self.folder / "b" / name).read_bytes(), (self.folder / "whole" / name).read_bytes(), name)

    def test_a_limit_on_addresses_does_not_keep_the_program_from_ending(self):
        for mebibytes in (100, 150, 200):
            limit = limited(resource.RLIMIT_AS, mebibytes << 20)
            with self.subTest(mebibytes=mebibytes):
                self.succeeds("--version", preexec_fn=limit)
                self.succeeds("report", "out.h5", preexec_fn=limit)
                self.succeeds("merge", "out.h5", "-o", "x.h5", "--force", preexec_fn=limit)

    def test_training_within_too_few_addresses_is_refused(self):
        for mebibytes, options in ((150, []), (250, ["--set", "training.threads=4"])):
            limit = limited(resource.RLIMIT_AS, mebibytes << 20)
            with self.subTest(mebibytes=mebibytes):
                args = ["run", "trained.yaml", "-o", "x.h5", *options]
                self.makes_nothing(3, ["not enough memory"], *args, preexec_fn=limit)
        limit = limited(resource.RLIMIT_AS, 100 << 20)
        args = ["profile", "vgg5", "-o", "x.yaml"]
        self.makes_nothing(3, ["not enough memory"], *args, preexec_fn=limit)


    def test_no_process_but_the_program_itself_is_needed(self):
        """A limit on processes counts those of a user, and never root's: as root, those of a number that nobody has."""
        other = {"user": 64321, "group": 64321, "extra_groups": []} if os.geteuid() == 0 else {}
        limits = {**other, "preexec_fn": limited(resource.RLIMIT_NPROC, 1)}
        os.chmod(self.folder, 0o777)
        try:
            self.succeeds("--version", **other)
        except OSError:
            self.skipTest("the program is where no other user comes")
        for args in (
            ["--version"],
            ["report", "out.h5"],
            ["run", "trained.yaml", "-o", "x.h5"],
            ["profile", "vgg5", "--repeats", "1", "--batch-sizes", "1", "-o", "x.yaml"],
        ):
            with self.subTest(args=args):
                self.succeeds(*args, **limits)
        args = ["run", "trained.yaml", "-o", "y.h5", "--set", "training.threads=2"]
        self.makes_nothing(3, ["thread 1 of 2 cannot be started"], *args, **limits)


class Files(NonsenseTest):
    """Outputs that are inputs, links, or are cut off."""

    def setUp(self):
        super().setUp()
        self.write("swept.yaml", SWEPT)
        self.succeeds("run", "swept.yaml", "-o", "out.h5")

    def test_figures_do_not_replace_what_is_read(self):
        os.mkdir(self.folder / "figures")
        for name in ("idle.csv", "time.svg"):
            with self.subTest(name=name):
                path = self.folder / "figures" / name
                shutil.copy(self.folder / "out.h5", path)
                self.fails(1, [f"figures/{name}", "is read"], "plot", f"figures/{name}", "-o", "figures")
                self.succeeds("diff", "out.h5", f"figures/{name}")
                path.unlink()
                self.assertEqual(self.names("figures"), [])

    def test_figures_are_not_written_through_links(self):
        os.mkdir(self.folder / "figures")
        self.write("precious", "precious")
        os.symlink("../precious", self.folder / "figures/idle.csv")
        self.succeeds("plot", "out.h5", "-o", "figures")
        self.assertEqual((self.folder / "precious").read_text(), "precious")
        self.assertIn("server_idle_s", (self.folder / "figures/idle.csv").read_text())

    def test_a_directory_in_a_figure_s_place_is_named(self):
        os.makedirs(self.folder / "figures/idle.png")
        self.fails(1, ["figures/idle.png is a directory"], "plot", "out.h5", "-o", "figures")
        self.assertEqual(self.names("figures"), ["idle.png"])

    def test_a_profile_that_cannot_be_written_is_told_before_anything_is_timed(self):
        self.makes_nothing(1, ["cannot write no/such/p.yaml: there is no directory no/such"], "profile", "vgg5", "--repeats", "10000", "-o", "no/such/p.yaml")
        self.makes_nothing(1, ["is a directory"], "profile", "vgg5", "--repeats", "10000", "-o", ".", "--force")

    def test_a_profile_does_not_replace_the_network_it_is_of(self):
        network = "format: pipar-network\nformat_version: 1\nblocks:\n  - [{conv: 2}, relu]\n  - [{linear: classes}]\n"
        self.write("net.yaml", network)
        self.makes_nothing(1, ["net.yaml is read"], "profile", "net.yaml", "-o", "net.yaml", "--force")
        self.assertEqual((self.folder / "net.yaml").read_text(), network)

    def interrupted(self, number, *args):
        """Stops the command while it works on files that are not whole; false where it was done before."""
        before = self.names()
        command = [cli.PIPAR, *args]

        def heed():  # it may be ignored here, under nohup
            signal.signal(number, signal.SIG_DFL)

        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=heed) as process:
            while process.poll() is None and self.names() == before:
                time.sleep(0.0005)
            process.send_signal(number)
            _, errors = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(errors, b"")
        if process.returncode == 0:
            return False
        self.assertEqual(process.returncode, -number)
        self.assertEqual(self.names(), before, f"{args} left something")
        return True

    def test_a_signal_leaves_no_file_that_is_not_whole(self):
        self.write("long.yaml", SWEPT.replace("iterations: 1", "iterations: 50000"))
        self.succeeds("run", "long.yaml", "-o", "long.h5")
        os.environ["TMPDIR"] = str(self.folder)  # where the figures of a page are drawn
        self.addCleanup(os.environ.pop, "TMPDIR")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for args in (
                ["trace", "long.h5", "--run", "0", "-o", "x.json"],
                ["report", "--html", "x.html", "long.h5"],
                ["profile", "vgg5", "-o", "x.yaml"],
            ):
                with self.subTest(signal=number.name, args=args):
                    self.assertTrue(self.interrupted(number, *args))

    def test_a_signal_leaves_no_figure_that_is_not_whole(self):
        figures = self.folder / "figures"
        os.mkdir(figures)
        command = [cli.PIPAR, "plot", "out.h5", "-o", "figures"]
        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while process.poll() is None and not list(figures.glob(".pipar-plot.*")):
                time.sleep(0.0005)
            process.terminate()
            process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assertEqual(list(figures.glob(".*")), [])

    def test_a_run_goes_on_when_nobody_reads_its_progress(self):
        self.write("rounds.yaml", TIMED + "training: {epochs: 50}\n")
        shell = '"$0" run rounds.yaml -o x.h5 2>&1 | head -n 1'
        subprocess.run(["sh", "-c", shell, cli.PIPAR], cwd=self.folder, timeout=TIMEOUT_S, check=False)
        self.succeeds("report", "x.h5")
        self.assertFalse(self.exists("x.h5.part"))

    def test_an_ignored_signal_stays_ignored(self):
        command = [cli.PIPAR, "profile", "vgg5", "--batch-sizes", "2", "--repeats", "20", "-o", "p.yaml"]

        def ignore():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, preexec_fn=ignore) as process:
            while process.poll() is None and not list(self.folder.glob("p.yaml.*")):
                time.sleep(0.0005)
            process.send_signal(signal.SIGHUP)
            self.assertEqual(process.wait(timeout=TIMEOUT_S), 0)
        self.assertTrue(self.exists("p.yaml"))


class Damaged(NonsenseTest):
    def test_initial_weights_of_a_damaged_file_are_refused_at_once(self):
        self.succeeds("run", "trained.yaml", "-o", "first.h5")
        whole = (self.folder / "first.h5").read_bytes()
        self.write("again.yaml", TRAINED + "init: damaged.h5:/runs/0/model\n")
        for signature in (b"OHDR", b"FRHP", b"BTHD"):
            with self.subTest(signature=signature):
                at = whole.find(signature) + len(signature) + 4
                damaged = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
                (self.folder / "damaged.h5").write_bytes(damaged)
                args = ["run", "again.yaml", "-o", "out.h5", "-q", "--force"]
                done = subprocess.run(
                    ["timeout", "-s", "KILL", "60", cli.PIPAR, *args],
                    cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
                )
                self.assertIn(done.returncode, (0, 2), done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1 if done.returncode else 0, done.stderr)


    def test_damaged_lists_of_names_are_refused(self):
        self.succeeds("run", "trained.yaml", "-o", "first.h5")
        whole = (self.folder / "first.h5").read_bytes()
        at = whole.find(b"FHDB")  # a block of the heap that names of links lie in
        self.assertGreater(at, 0)
        refused = 0
        while at >= 0:
            damaged = whole[:at] + bytes(byte ^ 0x55 for byte in whole[at : at + 64]) + whole[at + 64 :]
            (self.folder / "damaged.h5").write_bytes(damaged)
            for args in (["first.h5", "damaged.h5"], ["damaged.h5", "first.h5"]):
                done = self.pipar("diff", *args)
                self.assertIn(done.returncode, (0, 2), f"{at}: {done.stderr}")
                self.assertEqual(len(done.stderr.splitlines()), 1 if done.returncode else 0, done.stderr)
                refused += done.returncode == 2
            at = whole.find(b"FHDB", at + 1)
        self.assertGreater(refused, 0)


class Settings(NonsenseTest):
    def test_set_of_a_key_twice_is_refused(self):
        for command in ("run", "check", "plan"):
            with self.subTest(command=command):
                args = [command, "timed.yaml", "--set", "seed=1", "--set", "seed=2"]
                self.makes_nothing(1, ["--set seed=2", "seed is set twice", "once"], *args)


if __name__ == "__main__":
    sys.exit(cli.main(__name__))
