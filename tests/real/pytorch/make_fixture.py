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
above 1 is u * 2 * sqrt(3 / fan_in), a batch norm's weight is u + 0.2, a fifth of that in a bottleneck's last (bn3: else
sixteen blocks in a row enlarge rounding ten thousand times), every other parameter u * 0.2. Input: 2 u(1000, i). Label of
sample n: h(1001, n) mod classes. Running statistics start at 0 and 1.

Lines: "network NAME channels height width classes samples", "noise GRADIENTS STEPS" (how far PyTorch's own
float run is off: the worst relative error of a gradient, and of the losses and norms after the steps), "loss" (mean) and "correct" of the first forward,
"tensor NAME ELEMENTS NORM" of its gradient (a statistic: of its value after the forward) followed by up to 64 entries
"INDEX VALUE" spread evenly, then "steps COUNT RATE MOMENTUM DECAY" with each step's loss, and the parameters' norms
after them.
"""
import math
import sys

try:
    import numpy as np
    import torch
    from networks import build
    from torch import nn
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

FIXTURES = {  # channels, height, width, classes, samples
    "vgg5": (1, 28, 28, 10, 6),
    "vgg8": (3, 32, 32, 10, 4),
    "vgg11": (1, 28, 28, 10, 6),
    "vgg16": (1, 28, 28, 10, 4),
    "resnet18": (3, 32, 32, 10, 8),
    "resnet50": (3, 48, 48, 10, 4),
    "mobilenetv3-small": (3, 32, 32, 10, 12),
    "mobilenetv3-large": (1, 64, 64, 10, 6),
}
# At a rate of 0.01 some of the millions of values before a ReLU or a maximum lie so near the kink after a step that
# rounding turns them over, on one processor others than on the next, which changes the losses after it by a thousandth.
# The decay is so large that it counts in four such steps.
STEPS, RATE, MOMENTUM, DECAY = 4, 0.001, 0.9, 0.1
ENTRIES = 64


def hashes(tensor, count):
    h = (np.arange(count, dtype=np.uint64) * 2654435761 + tensor * 40503 + 12345) % 2**32
    h = ((h ^ (h >> np.uint64(15))) * 2246822519) % 2**32
    return h ^ (h >> np.uint64(13))


def uniform(tensor, shape):
    values = hashes(tensor, int(np.prod(shape))).astype(np.float64) / 2**32 - 0.5
    return torch.tensor(values.reshape(shape).astype(np.float32).astype(np.float64))


def tensors_of(model):
    return [(name.removeprefix("1."), tensor) for name, tensor in model.state_dict(keep_vars=True).items()
            if not name.endswith("num_batches_tracked")]


def fill(model):
    for number, (name, tensor) in enumerate(tensors_of(model)):
        if "running" in name:
            continue
        values = uniform(number, tuple(tensor.shape))
        if tensor.dim() > 1:
            values = (values * 2 * math.sqrt(3 / tensor[0].numel())).float().double()
        elif name.endswith("weight"):
            values = ((values + 0.2) * (0.2 if name.endswith("bn3.weight") else 1)).float().double()
        else:
            values = (values * 0.2).float().double()
        tensor.data.copy_(values)


def train(network, dtype):
    """Losses and hits of some steps, and (name, gradient or statistic, value after the steps) of every tensor."""
    channels, height, width, classes, samples = FIXTURES[network]
    model = build(network, channels, height, width, classes).double()
    fill(model)
    model.to(dtype)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x = (2 * uniform(1000, (samples, channels, height, width))).to(dtype)
    labels = torch.tensor((hashes(1001, samples) % classes).astype(np.int64))
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    losses, correct, first = [], 0, []
    for step in range(STEPS):
        optimiser.zero_grad()
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            correct = int((logits.argmax(1) == labels).sum())
            first = [(tensor if "running" in name else tensor.grad).detach().flatten().double().clone()
                     for name, tensor in tensors_of(model)]
        optimiser.step()
    return losses, correct, [(name, value, tensor.detach().double().norm().item())
                             for (name, tensor), value in zip(tensors_of(model), first)]


def lines_of(network):
    losses, correct, tensors = train(network, torch.double)
    float_losses, _, float_tensors = train(network, torch.float)
    pairs = [pair for pair in zip(tensors, float_tensors) if pair[0][1].norm() > 1e-13]
    gradients = max(((a[1] - b[1]).norm() / a[1].norm()).item() for a, b in pairs)
    steps = max([abs(a - b) / a for a, b in zip(losses, float_losses)] +
                [abs(a[2] - b[2]) / a[2] for a, b in zip(tensors, float_tensors)])
    yield "network " + " ".join(map(str, (network, *FIXTURES[network])))
    yield f"noise {gradients:.1e} {steps:.1e}"
    yield f"loss {losses[0]:.9e}"
    yield f"correct {correct}"
    for name, value, _ in tensors:
        norm = value.norm().item()  # a bias before a batch norm cancels but for rounding
        yield f"tensor {name} {value.numel()} {norm if norm > 1e-13 else 0.0:.9e}"
        count = min(ENTRIES, value.numel())
        for number in range(count):
            index = number * value.numel() // count
            entry = value[index].item()
            yield f"{index} {entry if abs(entry) > 1e-14 else 0.0:.9e}"
    yield f"steps {STEPS} {RATE} {MOMENTUM} {DECAY}"
    yield from (f"{loss:.9e}" for loss in losses)
    for name, _, norm in tensors:
        yield f"after {name} {norm:.9e}"


def same(ours, theirs):
    """Equal words, numbers within 1e-7 of each other: double sums in another order."""
    if len(ours) != len(theirs):
        return False
    if ours[0] == "noise":
        return True
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
