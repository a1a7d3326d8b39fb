#!/usr/bin/python3
"""test_allocations.py PIPAR MPIRUN COUNTER RANKS [imagenet]: the program allocates nothing after the first iteration: as often in
a run of one round of two iterations as in one of three rounds of six, on every one of RANKS. COUNTER is count_allocations.c,
preloaded."""

import base64
import os
import pathlib
import subprocess
import sys
import tempfile

PIPAR, MPIRUN, COUNTER = map(os.path.abspath, sys.argv[1:4])
RANKS = int(sys.argv[4])

SYNTHETIC = "name: synthetic, shape: [3, 32, 32], classes: 10"
DP_FEDAVG = "privacy: {mechanism: dp-fedavg, clip: 1, noise_multiplier: 1}\n"
ACTIVATION = "privacy: {mechanism: activation, clip: 1, noise: laplace, epsilon: 4}\n"

# method, model, clock, data set, keys of `training`, other keys
KINDS = [
    ("pipar", "vgg5", "virtual", SYNTHETIC, "", ""),
    ("fl", "vgg5", "virtual", SYNTHETIC, "", ""),
    ("sl", "vgg5", "virtual", SYNTHETIC, "", ""),
    ("1f1b", "mobilenetv3-small", "virtual", SYNTHETIC, "", ""),
    ("pipar", "vgg5", "wall", SYNTHETIC, "", ""),
    ("pipar", "vgg5", "virtual", SYNTHETIC, ", threads: 3", ""),
    ("pipar", "vgg5", "virtual", SYNTHETIC, "", DP_FEDAVG),
    ("pipar", "vgg5", "virtual", SYNTHETIC, "", ACTIVATION),
    ("fl", "resnet18", "virtual", SYNTHETIC + ", augment: true, partition: dirichlet", "", ""),
    ("sfl", "vgg8", "virtual", SYNTHETIC, "", ""),
]
if "imagenet" in sys.argv[5:]:
    KINDS.append(("pipar", "mobilenetv3-small", "virtual", "name: imagenet, path: images", "", ""))
CASES = [(*kind, RANKS) for kind in KINDS if kind[2] == "virtual" or RANKS > 1]

# 24 x 20 pixels of one colour.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqmx5moq6T/"
    "2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAUABgDASIAAhEBAxEB/8QAF"
    "QABAQAAAAAAAAAAAAAAAAAAAAP/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFgEBAQEAAAAAAAAAAAAAAAAAAAQF/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP"
    "/aAAwDAQACEQMRAD8AmAhaIAAAAAD/2Q==")


def write_images(folder):
    """Two classes; what follows an image's end makes files of different lengths."""
    for subset, count in (("train", 40), ("val", 5)):
        for label in ("a", "b"):
            directory = folder / "images" / subset / label
            directory.mkdir(parents=True)
            for image in range(count):
                (directory / f"{image:02}.JPEG").write_bytes(JPEG + bytes(1000 * image))


def count(folder, case, rounds, iterations):
    method, model, clock, data, training, more, ranks = case
    (folder / "exp.yaml").write_text(
        f"method: {method}\nmodel: {model}\nclock: {clock}\npipeline: {{split: 2, micro_batches: 3}}\n{more}"
        f"dataset: {{{data}, train_samples: {12 * iterations}, test_samples: 9}}\n"
        f"training: {{batch_size: 6, epochs: {rounds}{training}}}\nrecord: {{stages: false}}\n"
        "devices:\n  - {count: 2, device: server-cpu, network: {up_mbps: 100000, down_mbps: 100000, latency_ms: 0}}\n"
    )
    launcher = [] if ranks == 1 else [MPIRUN, "--oversubscribe", "-n", str(ranks)]
    run = ["env", f"LD_PRELOAD={COUNTER}", "PIPAR_ALLOCATIONS=count", PIPAR, "run", "exp.yaml", "-q", "--force", "-o", "o.h5"]
    subprocess.run(launcher + run, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return [tuple(map(int, (folder / f"count{rank}").read_text().split())) for rank in range(ranks)]


def main():
    if os.geteuid() == 0:
        os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    failed = False
    with tempfile.TemporaryDirectory(prefix="pipar-allocations-") as name:
        write_images(pathlib.Path(name))
        for case in CASES:
            short, long = count(pathlib.Path(name), case, 1, 2), count(pathlib.Path(name), case, 3, 6)
            own = [(a[0], b[0]) for a, b in zip(short, long)]
            if case[2] == "wall":  # rank 0 explains idle time between rounds, when the clock stands still
                del own[0]
            bad = any(a != b or a == 0 for a, b in own)
            failed = failed or bad
            print(f"{'not ok' if bad else 'ok'}: {case}: own {own}, of libraries {[b[1] - a[1] for a, b in zip(short, long)]} more")
    sys.exit(1 if failed else 0)


main()
