#!/usr/bin/python3
"""pytorch.py [PIPAR [NETWORK ...]]: does training end where PyTorch's ends?

Trains each network on Fashion-MNIST with PyTorch and with pipar (method fl, one device: plain SGD) from the same initial
weights, which PyTorch draws with the seed, over the same mini-batches in the same order, and compares the accuracy on the
10,000 test images, for three seeds. Dropout draws its own numbers on either side. Fails unless the means of every
network are within 1 point. Takes about an hour on one core; threads: one on either side."""
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "../../tests/real/pytorch"))
from networks import build  # noqa: E402

SEEDS = (1994, 1995, 1996)
SAMPLES, BATCH, RATE, MOMENTUM = 20000, 100, 0.01, 0.9
# The running statistics of a mobilenet move by a hundredth a step: after 400 steps its test accuracy is 10 %, after 600
# still theirs more than its weights'.
EPOCHS = {"vgg5": 3, "mobilenetv3-small": 6, "resnet18": 3}
EXPERIMENT = """\
method: fl
model: {network}
seed: {seed}
init: init.h5
dataset: {{name: fashion-mnist, train_samples: {samples}, shuffle: false}}
training: {{epochs: {epochs}, batch_size: {batch}, learning_rate: {rate}, momentum: {momentum}}}
devices:
  - {{count: 1, device: raspberry-pi-4b, network: code-10-25}}
record: {{stages: false}}
"""
DATA = os.environ.get("PIPAR_FASHION_MNIST", "/usr/share/datasets/fashion-mnist")


def read_idx(name, offset):
    import gzip
    for path in (os.path.join(DATA, name + ".gz"), os.path.join(DATA, name)):
        if os.path.exists(path):
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
                return np.frombuffer(file.read(), np.uint8, offset=offset)
    sys.exit(f"{DATA} has no {name}")


def load(part, count):
    images = read_idx(f"{part}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)[:count]
    labels = read_idx(f"{part}-labels-idx1-ubyte", 8)[:count]
    x = (torch.tensor(images.astype(np.float32)) / 255 - 0.2860) / 0.3530
    return x, torch.tensor(labels.astype(np.int64))


def initialise(network, model):
    """As the networks' own papers and torchvision have it."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if network.startswith("vgg"):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out",
                                        nonlinearity="relu" if network.startswith("resnet") else "leaky_relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif network.startswith("mobilenet"):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)


def train_pytorch(network, seed, init):
    torch.manual_seed(seed)
    model = build(network, 1, 28, 28, 10)
    initialise(network, model)
    with h5py.File(init, "w") as file:
        for name, tensor in model.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                file[name.removeprefix("1.")] = tensor.numpy()
    x, labels = load("train", SAMPLES)
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    for _ in range(EPOCHS.get(network, 3)):
        for first in range(0, SAMPLES, BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[first:first + BATCH]), labels[first:first + BATCH]).backward()
            optimiser.step()
    model.eval()
    x, labels = load("t10k", 10000)
    with torch.no_grad():
        hits = sum(int((model(x[at:at + 500]).argmax(1) == labels[at:at + 500]).sum()) for at in range(0, 10000, 500))
    return hits / 10000


def train_pipar(pipar, network, seed, directory):
    experiment, results = os.path.join(directory, "accuracy.yaml"), os.path.join(directory, "accuracy.h5")
    with open(experiment, "w") as file:
        file.write(EXPERIMENT.format(network=network, seed=seed, samples=SAMPLES, epochs=EPOCHS.get(network, 3), batch=BATCH, rate=RATE,
                                     momentum=MOMENTUM))
    subprocess.run([pipar, "run", "-q", "--force", experiment, "-o", results], check=True, stdin=subprocess.DEVNULL)
    with h5py.File(results, "r") as file:
        return file["runs/0/rounds"]["test_accuracy"][-1]


torch.set_num_threads(1)
pipar = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../build/src/app/pipar")
networks = sys.argv[2:] or ["vgg5", "mobilenetv3-small", "resnet18"]
close = True
with tempfile.TemporaryDirectory() as scratch:
    for network in networks:
        pairs = []
        for seed in SEEDS:
            pairs.append((train_pytorch(network, seed, os.path.join(scratch, "init.h5")),
                          train_pipar(pipar, network, seed, scratch)))
            print(f"{network:18} seed {seed}: PyTorch {100 * pairs[-1][0]:6.2f} %, pipar {100 * pairs[-1][1]:6.2f} %",
                  flush=True)
        torch_mean, pipar_mean = (100 * sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))
        close = close and abs(torch_mean - pipar_mean) <= 1
        print(f"{network:18} mean:      PyTorch {torch_mean:6.2f} %, pipar {pipar_mean:6.2f} %, "
              f"apart {abs(torch_mean - pipar_mean):.2f}", flush=True)
print(f"within 1 point: {'yes' if close else 'NO'}")
sys.exit(0 if close else 1)
