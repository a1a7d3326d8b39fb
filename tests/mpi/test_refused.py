#!/usr/bin/python3
"""test_refused.py PIPAR MPIRUN REFUSER RANKS: whatever refuses to let a stopped run go on, its files stay as they were, byte
for byte, and it goes on once that is gone. REFUSER is refuse.c, preloaded."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile

PIPAR, MPIRUN, REFUSER = map(os.path.abspath, sys.argv[1:4])
RANKS = int(sys.argv[4])
if os.geteuid() == 0:
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from cli import write_fashion_mnist  # noqa: E402

EXPERIMENT = """\
pipeline: {split: 1, micro_batches: 2}
dataset: {name: fashion-mnist, path: data, train_samples: 8, test_samples: 4}
training: {batch_size: 2, epochs: 8}
devices: [{count: 2, device: raspberry-pi-4b, network: code-10-25}]
sweep: {seed: [1, 2]}
"""
METHODS = ("method: pipar\n", "method: sl\n", "method: fl\naggregate: {mode: async, buffer: 1}\n")
FILES = ("out.h5.part", "out.h5.ckpt")
RUN = 1  # which is stopped


def run(*options, ranks=RANKS, **environment):
    launcher = [MPIRUN, "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    return subprocess.run([*launcher, PIPAR, "run", "exp.yaml", "-o", "out.h5", *options], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=100, env={**os.environ, **environment})


def stop():
    """A run that is stopped within its rounds; what it leaves."""
    while True:
        command = [PIPAR, "run", "exp.yaml", "-o", "out.h5", "--force"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            told = [process.stderr.readline()]
            while told[-1] and not told[-1].startswith(f"run {RUN + 1} of"):
                told.append(process.stderr.readline())
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        if process.returncode == 4 and rounds()[RUN] > 0 and pathlib.Path(FILES[1]).exists():
            return {name: pathlib.Path(name).read_bytes() for name in FILES}


def rounds():
    done = subprocess.run([PIPAR, "report", "out.h5.part", "--json"], capture_output=True, text=True, check=True)
    return [run["rounds"] for run in json.loads(done.stdout)["runs"]]


def put(kept):
    for name in os.listdir("."):
        if name.startswith("out.h5"):
            os.unlink(name)
    for name, content in kept.items():
        pathlib.Path(name).write_bytes(content)


def refused(code, words, there, done):
    """The exit code, one line of ours, and what is there."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("pipar: ")]
    assert done.returncode == code and len(lines) == 1, done
    for word in words:
        assert word in lines[0], (word, lines[0])
    for name, content in there.items():
        assert pathlib.Path(name).read_bytes() == content, (name, lines[0])
    assert not pathlib.Path("out.h5.part.new").exists(), lines[0]


def goes_on():
    done = run("--resume", "-q")
    assert done.returncode == 0, done
    assert [name for name in os.listdir(".") if name.startswith("out.h5")] == ["out.h5"], os.listdir(".")
    subprocess.run([PIPAR, "diff", "whole.h5", "out.h5"], check=True)


def with_memory_refused(kept, rank, blocks):
    """Each of these blocks, as far as there are so many: all stays as it was unless the run went on, which loses nothing
    either. How often it was refused."""
    refusals = 0
    for block in blocks:
        put(kept)
        done = run("--resume", LD_PRELOAD=REFUSER, PIPAR_REFUSED=str(block), PIPAR_REFUSING_RANK=str(rank))
        if done.returncode == 0:
            break
        assert done.returncode == 3 and "not enough memory" in done.stderr, done
        refusals += 1
        if any(pathlib.Path(name).read_bytes() != content for name, content in kept.items()):
            assert f"run {RUN + 1} of" in done.stderr, (block, done.stderr)
            assert all(now >= then for now, then in zip(rounds(), kept_rounds)), (block, rounds(), kept_rounds)
            goes_on()
    return refusals


os.chdir(directory := tempfile.mkdtemp(prefix="pipar-refused-"))
write_fashion_mnist(pathlib.Path("data"))
seed = random.randrange(1 << 30)
print(f"places from seed {seed}", flush=True)
places = random.Random(seed)
for method in METHODS if RANKS == 1 else METHODS[::2]:
    pathlib.Path("exp.yaml").write_text(EXPERIMENT + method)
    whole = run("-q", "--force", ranks=1)
    assert whole.returncode == 0, whole
    os.rename("out.h5", "whole.h5")
    kept = stop()
    put(kept)
    kept_rounds = rounds()

    damages = 5 if RANKS == 1 else 2
    for part in range(damages):
        content = bytearray(kept[FILES[1]])
        content[places.randrange(len(content) * (2 * part + 1) // (2 * damages + 1), len(content) * (part + 1) // damages)] ^= 1
        damaged = {**kept, FILES[1]: bytes(content)}
        put(damaged)
        done = run("--resume", "-q")
        if done.returncode == 0:  # a byte that holds nothing
            continue
        refused(2, ["out.h5.ckpt"], damaged, done)
    put(kept)
    goes_on()
    print("ok: a checkpoint that is damaged anywhere", flush=True)

    for rank in range(RANKS):
        put(kept)
        refused(3, ["thread 1 of 2 cannot be started"], kept,
                run("--resume", "-q", "--set", "training.threads=2", LD_PRELOAD=REFUSER, PIPAR_REFUSED="threads",
                    PIPAR_REFUSING_RANK=str(rank)))
    goes_on()
    print("ok: threads that cannot be started, on any rank", flush=True)

    put(kept)
    os.rename("data", "elsewhere")
    refused(2, ["data"], kept, run("--resume", "-q"))
    shutil.copytree("elsewhere", "data")
    labels = pathlib.Path("data/train-images-idx3-ubyte")
    labels.write_bytes(labels.read_bytes()[:16] + bytes(28 * 28 * 8))
    refused(2, ["out.h5.ckpt was trained with other data"], kept, run("--resume", "-q"))
    shutil.rmtree("data")
    os.rename("elsewhere", "data")
    refused(2, ["out.h5.part", "another experiment"], kept, run("--resume", "-q", "--set", "seed=7"))
    if RANKS > 1:
        refused(1, ["ranks are more than"], kept, run("--resume", "-q", ranks=4))
    goes_on()
    print("ok: data that is gone or other, another experiment", flush=True)

    put(kept)
    done = run("--resume", "-q", "--set", "checkpoint.every_rounds=0")
    assert done.returncode == 0, done
    subprocess.run([PIPAR, "diff", "whole.h5", "out.h5"], check=True)
    print("ok: goes on from a checkpoint though none are to follow", flush=True)

    step = 60 if RANKS == 1 else 150
    for rank in range(RANKS):
        first = places.randrange(1, step)
        print(f"ok: {with_memory_refused(kept, rank, range(first, 100000, step))} refusals of memory on rank {rank}", flush=True)
shutil.rmtree(directory)
