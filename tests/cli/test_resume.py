"""test_resume.py PIPAR: what `pipar run --resume` refuses and in which words, and that a damaged checkpoint never gives
other results."""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import h5py
import numpy

PIPAR = os.path.abspath(sys.argv[1])
os.chdir(directory := tempfile.mkdtemp(prefix="pipar-resume-"))

EXPERIMENT = """\
method: pipar
pipeline: {split: 1, micro_batches: 2}
dataset: {name: synthetic, shape: [1, 8, 8], classes: 10, train_samples: 16, test_samples: 8}
training: {batch_size: 4, epochs: 40}
record: {model: true}
devices: [{count: 2, device: raspberry-pi-4b, network: code-10-25}]
"""
with open("exp.yaml", "w") as file:
    file.write(EXPERIMENT)
FILES = ("out.h5.part", "out.h5.ckpt")


def pipar(*arguments):
    return subprocess.run([PIPAR, *arguments], capture_output=True, text=True, timeout=100)


def run(*options):
    return pipar("run", "exp.yaml", "-o", "out.h5", "-q", *options)


def refused(code, words, done):
    lines = done.stderr.splitlines()
    assert done.returncode == code and len(lines) == 1 and lines[0].startswith("pipar: "), done
    for word in words:
        assert word in lines[0], (word, lines[0])


def outputs():
    return sorted(name for name in os.listdir(".") if name.startswith("out.h5"))


def take_back(*names):
    """The state after the stop, with these files alone."""
    for name in outputs():
        os.unlink(name)
    for name in names:
        shutil.copy(f"kept-{name}", name)


def read_round(process):
    """Until it tells of a round."""
    for line in process.stderr:
        if not line.startswith("warning: "):
            break


def stop():
    """A run that is stopped within its rounds, and what it leaves in kept-*."""
    while True:
        with subprocess.Popen([PIPAR, "run", "exp.yaml", "-o", "out.h5", "--force"], stderr=subprocess.PIPE, text=True) as process:
            read_round(process)
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        if process.returncode == 4:
            break
    assert outputs() == sorted(FILES), outputs()
    for name in FILES:
        os.rename(name, f"kept-{name}")


def same():
    assert run("--resume").returncode == 0 and outputs() == ["out.h5"], outputs()
    assert pipar("diff", "whole.h5", "out.h5").returncode == 0


assert pipar("run", "exp.yaml", "-o", "whole.h5", "-q").returncode == 0
refused(1, ["nothing to resume", "no out.h5.part"], run("--resume"))
stop()
take_back(*FILES)
same()
refused(1, ["nothing to resume", "out.h5 is complete"], run("--resume"))
refused(1, ["nothing to resume", "out.h5 is complete"], run("--resume", "--force"))
assert pipar("diff", "whole.h5", "out.h5").returncode == 0
print("ok: what is complete stays")

take_back(*FILES)
refused(1, ["out.h5.part", "--resume goes on", "--force replaces"], run())
shutil.copy("whole.h5", "out.h5")
with open("out.h5", "ab") as file:
    file.write(b"an older one")
refused(1, ["out.h5 exists", "--resume --force"], run("--resume"))
assert run("--resume", "--force").returncode == 0 and outputs() == ["out.h5"]
assert os.path.getsize("out.h5") != os.path.getsize("whole.h5") + len("an older one")
assert pipar("diff", "whole.h5", "out.h5").returncode == 0
print("ok: an older output is replaced with --force alone")

take_back(*FILES)
for setting in ("seed=7", "training.epochs=41", "devices.0.count=3", "method=sfl"):
    refused(2, ["out.h5.part", "another experiment"], run("--resume", "--set", setting))
take_back("out.h5.ckpt")
refused(1, ["nothing to resume"], run("--resume"))
refused(1, ["out.h5.ckpt", "--force removes it"], run())
take_back("out.h5.part")
same()  # from the first round
take_back(*FILES)
assert run("--resume", "--set", "checkpoint.every_rounds=7", "--set", "name=other", "--set", "training.threads=2").returncode == 0
assert pipar("diff", "whole.h5", "out.h5").returncode == 0
print("ok: another experiment is refused, other names and threads are not")

# What only a checkpoint of other bits would say: its texts are in the file as they are.
with open("kept-out.h5.ckpt", "rb") as file:
    whole = file.read()
for name in ("avx512", "avx2", "plain"):
    kernels = name.encode() + b"\0"
    if whole.count(kernels) == 1:
        take_back(*FILES)
        with open("out.h5.ckpt", "wb") as file:
            file.write(whole.replace(kernels, b"other".ljust(len(name), b".") + b"\0"))
        # HDF5's own checksum of the header tells first.
        refused(2, ["out.h5.ckpt"], run("--resume"))

take_back(*FILES)
shutil.copy("kept-out.h5.part", "out.h5.ckpt")
refused(2, ["out.h5.ckpt is no checkpoint of pipar"], run("--resume"))
take_back(*FILES)
with h5py.File("out.h5.ckpt", "r+") as file:
    preamble = file.attrs["preamble"]
    file.attrs["preamble"] = numpy.append(preamble, numpy.uint8(0))
refused(2, ["out.h5.ckpt is a checkpoint of another version of pipar"], run("--resume"))
print("ok: what is no checkpoint of ours is not called damaged")

lengths = sorted({0, 1, 8, 100, len(whole) // 2, len(whole) - 4096, len(whole) - 1})
for length in lengths:
    take_back(*FILES)
    with open("out.h5.ckpt", "wb") as file:
        file.write(whole[:length])
    refused(2, ["out.h5.ckpt"], run("--resume"))
    assert outputs() == sorted(FILES), "what was there is gone"
take_back("out.h5.part")
with open("out.h5.part", "r+b") as file:
    file.truncate(2000)
refused(2, ["out.h5.part"], run("--resume"))
print(f"ok: cut short to {lengths} bytes")

seed = random.randrange(1 << 30)
print(f"bytes from seed {seed}", flush=True)
places, told = random.Random(seed), 0
for number in range(40):
    take_back(*FILES)
    damaged = bytearray(whole)
    # Half of them where the structure is, which is dense at the beginning.
    damaged[places.randrange(len(whole) if number % 2 else min(4096, len(whole)))] ^= 1 << places.randrange(8)
    with open("out.h5.ckpt", "wb") as file:
        file.write(damaged)
    done = run("--resume")
    if done.returncode == 0:
        assert pipar("diff", "whole.h5", "out.h5").returncode == 0, f"flip {number} of seed {seed} changes the results"
        continue
    refused(2, ["out.h5.ckpt"], done)
    told += 1
assert told > 10
print(f"ok: of 40 flipped bits {told} are told, the others change nothing")

take_back(*FILES)
with subprocess.Popen([PIPAR, "run", "exp.yaml", "-o", "out.h5", "--resume"], stderr=subprocess.PIPE, text=True) as process:
    read_round(process)
    os.kill(process.pid, signal.SIGSTOP)
    refused(3, ["out.h5.part", "another process is writing it"], run("--resume"))
    os.kill(process.pid, signal.SIGCONT)
    process.stderr.read()
assert process.returncode == 0 and pipar("diff", "whole.h5", "out.h5").returncode == 0
print("ok: one process at a time goes on")

# Initial weights out of a file are part of the experiment.
take_back()
shutil.copy("whole.h5", "init.h5")
with open("exp.yaml", "a") as file:
    file.write("init: init.h5:/runs/0/model\n")
assert pipar("run", "exp.yaml", "-o", "whole.h5", "-q", "--force").returncode == 0
stop()
take_back(*FILES)
shutil.move("init.h5", "first.h5")
assert pipar("run", "exp.yaml", "-o", "init.h5", "-q", "--set", "init=random", "--set", "seed=7").returncode == 0
refused(2, ["out.h5.part", "another experiment"], run("--resume"))
shutil.move("first.h5", "init.h5")
same()
print("ok: other initial weights are refused")
shutil.rmtree(directory)
