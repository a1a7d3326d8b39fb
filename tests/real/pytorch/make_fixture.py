#!/usr/bin/python3
"""Loss, gradients and SGD steps of a network as PyTorch has them, for the tests of src/nn.

    make_fixture.py NETWORK [--compare FILE]

Prints the fixture; with --compare, checks it against FILE instead. Everything is computed in double precision, from
numbers of one integer formula, which tests/unit/nn/test_pytorch.c has as well:

    h = (i * 2654435761 + t * 40503 + 12345) mod 2^32
    h = (h xor h >> 15) * 2246822519 mod 2^32
    h = h xor h >> 13
    u(t, i) = h / 2^32 - 0.5

t is the tensor's number in the order of the state_dict without num_batches_tracked, i the element's. A weight of rank
above 1 is u * 2 * sqrt(3 / fan_in), bn.weight is u + 0.2, every other parameter u * 0.2. Input: 2 u(1000, i). Label of
sample n: h(1001, n) mod classes. Running statistics start at 0 and 1.

Lines: "network NAME channels height width classes samples", "loss" (mean) and "correct" of the first forward,
"tensor NAME ELEMENTS NORM" of its gradient (a statistic: of its value after the forward) followed by up to 64 entries
"INDEX VALUE" spread evenly, then "steps COUNT RATE MOMENTUM DECAY" with each step's loss, and the parameters' norms
after them.
"""
import math
import sys

try:
    import numpy as np
    import torch
    from networks import NETWORKS, build
    from torch import nn
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

FIXTURES = {  # channels, height, width, classes, samples
    "vgg5": (1, 28, 28, 10, 6),
    "vgg8": (3, 32, 32, 10, 4),
}
STEPS, RATE, MOMENTUM, DECAY = 4, 0.01, 0.9, 0.001
ENTRIES = 64


def hashes(tensor, count):
    h = (np.arange(count, dtype=np.uint64) * 2654435761 + tensor * 40503 + 12345) % 2**32
    h = ((h ^ (h >> np.uint64(15))) * 2246822519) % 2**32
    return h ^ (h >> np.uint64(13))


def uniform(tensor, shape):
    values = hashes(tensor, int(np.prod(shape))).astype(np.float64) / 2**32 - 0.5
    return torch.tensor(values.reshape(shape).astype(np.float32).astype(np.float64))


def tensors_of(model):
    return [(name, tensor) for name, tensor in model.state_dict(keep_vars=True).items()
            if not name.endswith("num_batches_tracked")]


def fill(model):
    for number, (name, tensor) in enumerate(tensors_of(model)):
        if "running" in name:
            continue
        values = uniform(number, tuple(tensor.shape))
        if tensor.dim() > 1:
            values = (values * 2 * math.sqrt(3 / tensor[0].numel())).float().double()
        elif name.endswith("bn.weight"):
            values = (values + 0.2).float().double()
        else:
            values = (values * 0.2).float().double()
        tensor.data.copy_(values)


def lines_of(network):
    channels, height, width, classes, samples = FIXTURES[network]
    model = build(NETWORKS[network], channels, height, width, classes).double()
    fill(model)
    x = 2 * uniform(1000, (samples, channels, height, width))
    labels = torch.tensor((hashes(1001, samples) % classes).astype(np.int64))
    yield f"network {network} {channels} {height} {width} {classes} {samples}"
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    losses = []
    for step in range(STEPS):
        optimiser.zero_grad()
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            yield f"loss {loss.item():.9e}"
            yield f"correct {int((logits.argmax(1) == labels).sum())}"
            for name, tensor in tensors_of(model):
                value = (tensor if "running" in name else tensor.grad).detach().flatten()
                norm = value.norm().item()
                yield f"tensor {name} {value.numel()} {norm if norm > 1e-13 else 0.0:.9e}"
                count = min(ENTRIES, value.numel())
                for number in range(count):
                    index = number * value.numel() // count
                    entry = value[index].item()  # a bias before a batch norm cancels but for rounding
                    yield f"{index} {entry if abs(entry) > 1e-14 else 0.0:.9e}"
        optimiser.step()
    yield f"steps {STEPS} {RATE} {MOMENTUM} {DECAY}"
    yield from (f"{loss:.9e}" for loss in losses)
    for name, tensor in tensors_of(model):
        yield f"after {name} {tensor.detach().norm().item():.9e}"


def same(ours, theirs):
    """Equal words, numbers within 1e-7 of each other: double sums in another order."""
    if len(ours) != len(theirs):
        return False
    for a, b in zip(ours, theirs):
        try:
            if abs(float(a) - float(b)) > 1e-7 * abs(float(b)) + 1e-14:
                return False
        except ValueError:
            if a != b:
                return False
    return True


def main():
    if len(sys.argv) not in (2, 4) or sys.argv[1] not in FIXTURES:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    lines = list(lines_of(sys.argv[1]))
    if len(sys.argv) == 2:
        print("\n".join(lines))
        return
    with open(sys.argv[3], encoding="ascii") as file:
        recorded = file.read().splitlines()
    if len(recorded) != len(lines):
        sys.exit(f"{sys.argv[3]}: {len(recorded)} lines, PyTorch {torch.__version__} gives {len(lines)}")
    for number, (ours, theirs) in enumerate(zip(recorded, lines), 1):
        if not same(ours.split(), theirs.split()):
            sys.exit(f"{sys.argv[3]}:{number}: '{ours}', PyTorch {torch.__version__} gives '{theirs}'")
    print(f"{len(lines)} lines agree with PyTorch {torch.__version__}")


main()
