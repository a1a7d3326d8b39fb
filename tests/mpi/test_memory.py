#!/usr/bin/python3
"""test_memory.py PIPAR MPIRUN alone|ranks: what `pipar check` predicts of a rank's memory is within 10 % of the operating system's
peak (ru_maxrss, which is VmHWM), alone or on three ranks."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

PIPAR, MPIRUN = map(os.path.abspath, sys.argv[1:3])
ALONE = {"alone": True, "ranks": False}[sys.argv[3]]
MARGIN = 0.10
TIME_ONLY = re.compile(r"time only: .* memory: (\d+) MiB")
MEMORY = re.compile(r"alone (\d+) MiB, with \d+ ranks \d+ MiB \(server (\d+), device up to (\d+)\)")

# Sizes at which what a process takes beside its tensors (20 to 31 MiB) is the smaller part.
# model, method, samples of a mini-batch, split, micro-batches
CASES = [
    ("vgg5", "pipar", 600, 2, 4),
    ("vgg5", "fl", 400, 2, 4),
    ("resnet18", "pipar", 24, 3, 4),
    ("mobilenetv3-small", "pipar", 300, 5, 3),
    ("vgg11", "sfl", 16, 4, 1),
    ("resnet18", "sl", 24, 3, 4),
]
DATA = "{name: synthetic, shape: [3, 32, 32], classes: 10, train_samples: 1200, test_samples: 20}"
# The same in other circumstances: training's keys, other keys, data set.
MORE = [
    (("vgg5", "pipar", 600, 2, 4), ", threads: 3", "", DATA),
    (("vgg5", "pipar", 600, 1, 4), "", "privacy: {mechanism: activation, clip: 1, noise_multiplier: 1}\n", DATA),
    (("vgg5", "fl", 600, 2, 4), "", "privacy: {mechanism: dp-fedavg, clip: 1, noise_multiplier: 1}\n", DATA),
    (("vgg5", "pipar", 100, 2, 4), "", "", "{name: cifar-10, path: cifar, train_samples: 10000, test_samples: 1000}"),
]

# Run by each rank: the peak of a child, of which there is one.
WRAPPER = """\
import os, resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1] + os.environ.get("OMPI_COMM_WORLD_RANK", "0"), "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def write(folder, case, compute="real", extra=""):
    model, method, batch, split, micro_batches = case
    (folder / "exp.yaml").write_text(
        f"method: {method}\nmodel: {model}\ncompute: {compute}\n"
        f"pipeline: {{split: {split}, micro_batches: {micro_batches}}}\n"
        f"dataset: {{name: synthetic, shape: [3, 32, 32], classes: 10, train_samples: {2 * batch}, test_samples: 20}}\n"
        f"training: {{batch_size: {batch}}}\n{extra}"
        "devices:\n  - {count: 2, device: raspberry-pi-4b, network: code-50-50}\n"
    )


def write_cifar(folder):
    """The files of CIFAR-10, a fifth of their length."""
    (folder / "cifar").mkdir()
    for name in [f"data_batch_{part}.bin" for part in range(1, 6)] + ["test_batch.bin"]:
        records = (bytes([i % 10]) + bytes([i % 251]) * 3072 for i in range(2000))
        (folder / "cifar" / name).write_bytes(b"".join(records))


def predicted(folder, pattern):
    """MiB that `pipar check` says, those of the pattern."""
    text = subprocess.run([PIPAR, "check", "exp.yaml"], cwd=folder, check=True, capture_output=True, text=True).stdout
    return [int(number) for number in pattern.search(text).groups()]


def peaks(folder, ranks):
    """MiB of every rank."""
    launcher = [] if ranks == 1 else [MPIRUN, "--oversubscribe", "-n", str(ranks)]
    run = [sys.executable, "-c", WRAPPER, "peak", PIPAR, "run", "exp.yaml", "-q", "--force", "-o", "out.h5"]
    subprocess.run(launcher + run, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return [int((folder / f"peak{rank}").read_text()) / 1024 for rank in range(ranks)]


def main():
    if os.geteuid() == 0:
        os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    failed = False

    def compare(what, predicted, peak):
        nonlocal failed
        off = predicted / peak - 1
        failed = failed or abs(off) > MARGIN
        print(f"{'not ok' if abs(off) > MARGIN else 'ok'}: {what}: predicted {predicted:.0f} MiB, peak {peak:.0f}, {off:+.1%}")

    with tempfile.TemporaryDirectory(prefix="pipar-memory-") as name:
        folder = pathlib.Path(name)

        def compare_training(label, ranks=3):
            alone, server, device = predicted(folder, MEMORY)
            if ALONE:
                compare(f"{label} alone", alone, peaks(folder, 1)[0])
                return
            first, *others = peaks(folder, ranks)
            compare(f"{label} server", server, first)
            compare(f"{label} device", device, max(others))

        for case in CASES:
            write(folder, case)
            compare_training(f"{case[0]} {case[1]}")
        write_cifar(folder)
        for case, training, extra, data in MORE:
            write(folder, case, extra=extra)
            lines = (folder / "exp.yaml").read_text().splitlines()
            lines = [f"dataset: {data}" if line.startswith("dataset:") else line for line in lines]
            text = "\n".join(lines).replace(f"batch_size: {case[2]}", f"batch_size: {case[2]}{training}")
            (folder / "exp.yaml").write_text(text + "\n")
            compare_training(f"{case[0]} {case[1]} {training} {extra.strip()} {data.split(',')[0][1:]}")
        # Older versions of the model that updates begin with.
        write(folder, ("resnet18", "fl", 16, 4, 1), extra="aggregate: {mode: async, buffer: 1}\n")
        slower = (folder / "exp.yaml").read_text().replace("count: 2", "count: 3") + (
            "  - {count: 1, device: raspberry-pi-4b, network: code-10-25}\n")
        (folder / "exp.yaml").write_text(slower.replace("{batch_size: 16}", "{batch_size: 16, epochs: 3}"))
        compare_training("resnet18 async", ranks=5)
        if ALONE:
            # The largest network on the largest images: a step of a micro-batch of 4 within 6 GiB.
            available = int(re.search(r"MemAvailable: +(\d+) kB", pathlib.Path("/proc/meminfo").read_text())[1]) / 1024
            if available < 8192:
                print(f"left out: vgg16 at 224x224, {available:.0f} MiB are available of 8192")
            else:
                write(folder, ("vgg16", "fl", 4, 4, 1))
                large = (folder / "exp.yaml").read_text().replace("[3, 32, 32], classes: 10", "[3, 224, 224], classes: 1000")
                large = large.replace("train_samples: 8, test_samples: 20", "train_samples: 4, test_samples: 4")
                (folder / "exp.yaml").write_text(large.replace("count: 2", "count: 1"))
                peak = peaks(folder, 1)[0]
                compare("vgg16 at 224x224 alone", predicted(folder, MEMORY)[0], peak)
                failed = failed or peak > 6144
            write(folder, ("vgg5", "pipar", 100, 2, 25), compute="none")
            timed = (folder / "exp.yaml").read_text().replace("count: 2", "count: 100000")
            (folder / "exp.yaml").write_text(timed.replace("train_samples: 200", "train_samples: 10000000"))
            compare("100,000 devices, time only", *predicted(folder, TIME_ONLY), peaks(folder, 1)[0])
            # The stages of all rounds, and the rows of one aggregate's.
            for aggregate in ("{mode: async, buffer: 1000}", "{mode: async, buffer: 20000}"):
                write(folder, ("vgg5", "pipar", 100, 2, 25), compute="none", extra=f"aggregate: {aggregate}\n")
                timed = (folder / "exp.yaml").read_text().replace("count: 2", "count: 20000")
                timed = timed.replace("batch_size: 100", "batch_size: 100, epochs: 4")
                (folder / "exp.yaml").write_text(timed.replace("train_samples: 200", "train_samples: 2000000"))
                compare(f"20,000 devices, {aggregate}", *predicted(folder, TIME_ONLY), peaks(folder, 1)[0])
    sys.exit(1 if failed else 0)


main()
