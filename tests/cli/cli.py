"""What the tests of the program share: small experiments, files of the true format, and the program run as a user runs
it, in a directory of its own. An error is one line on stderr."""

import gzip
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PIPAR = None
SKIPPED = 77
TIMEOUT_S = 100  # against hanging only

TIMED = """\
method: pipar
compute: none
pipeline: {micro_batches: 2}
cost:
  kind: table
  iterations: 1
  device: {forward_s: 1, backward_s: 2, update_s: 0.5}
  server: {forward_s: 0.5, backward_s: 1, update_s: 0.25, aggregate_s: 0.05}
  bytes: {upload: 1250000, download: 1250000, model_upload: 125000, model_download: 125000}
devices:
  - {network: {up_mbps: 10, down_mbps: 20, latency_ms: 100}}
"""

TRAINED = """\
method: pipar
pipeline: {split: 1, micro_batches: 2}
dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 16, test_samples: 8}
training: {batch_size: 4}
record: {model: true}
devices:
  - {count: 2, device: raspberry-pi-4b, network: code-10-25}
"""

FASHION = """\
method: fl
dataset: {name: fashion-mnist, path: data, train_samples: 8, test_samples: 4}
training: {batch_size: 4}
devices:
  - {count: 2, device: raspberry-pi-4b, network: code-10-25}
"""


def idx_images(count):
    return struct.pack(">IIII", 0x803, count, 28, 28) + bytes(i * 7 % 251 for i in range(count * 28 * 28))


def idx_labels(count):
    return struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))


def write_fashion_mnist(folder):
    """Files of the true names and format, with few samples."""
    folder.mkdir()
    for prefix, count in (("train", 8), ("t10k", 4)):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_images(count))
        with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(idx_labels(count))


class CliTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pipar-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.write("timed.yaml", TIMED)
        self.write("trained.yaml", TRAINED)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def h5py(self):
        """The modules h5py and numpy, or the test is skipped."""
        try:
            import h5py
            import numpy
        except ImportError:
            self.skipTest("h5py is not here (Debian: python3-h5py)")
        return h5py, numpy

    def exists(self, name):
        return (self.folder / name).exists()

    def pipar(self, *args, ranks=None, **more):
        launcher = [] if ranks is None else ["mpirun", "--oversubscribe", "-n", str(ranks)]
        command = [*launcher, PIPAR, *args]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, **more
        )

    def succeeds(self, *args, **more):
        done = self.pipar(*args, **more)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stderr}")
        return done

    def fails(self, code, words, *args, ranks=None, **more):
        """Checks the exit code, that our error is one line, and that it holds every one of `words`."""
        done = self.pipar(*args, ranks=ranks, **more)
        ours = [line for line in done.stderr.splitlines() if line.startswith("pipar: ")]
        self.assertEqual(done.returncode, code, f"{args}: {done.stderr}")
        self.assertEqual(len(ours), 1, f"{args}: not one line of ours in: {done.stderr!r}")
        if ranks is None:
            self.assertEqual(ours[0], done.stderr.splitlines()[-1], f"{args}: more after the error")
        for word in words:
            self.assertIn(word, ours[0], f"{args}")
        return done


def main(module):
    """A test file's whole program: FILE PIPAR CLASS."""
    global PIPAR
    PIPAR = os.path.abspath(sys.argv[1])
    if os.geteuid() == 0:
        os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    suite = unittest.defaultTestLoader.loadTestsFromName(sys.argv[2], sys.modules[module])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if not result.wasSuccessful():
        return 1
    for _, reason in result.skipped:
        print(f"not all of it: {reason}")
    return SKIPPED if result.skipped else 0
