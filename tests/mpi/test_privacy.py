#!/usr/bin/python3
"""test_privacy.py PIPAR EXPERIMENT: clipping and noise as they arrive in trained weights, and what results say of them."""
import math
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

pipar, experiment = sys.argv[1:3]
ONE_DEVICE = "devices=[{device: raspberry-pi-4b, network: code-10-25, pipeline: {split: 2, micro_batches: 3}}]"
directory = tempfile.TemporaryDirectory()


def run(*settings):
    """Runs the experiment with `settings` and gives the runs of its results."""
    run.count += 1
    path = os.path.join(directory.name, f"{run.count}.h5")
    overrides = [word for setting in {s.split("=")[0]: s for s in settings}.values() for word in ("--set", setting)]
    subprocess.run([pipar, "run", experiment, "-q", "-o", path, *overrides], check=True)
    return list(h5py.File(path, "r")["runs"].values())


run.count = 0


def same_models(left, right, what):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        for name in a["model"]:
            assert a["model"][name][()].tobytes() == b["model"][name][()].tobytes(), f"{what}: {name} differs"
        assert numpy.array_equal(a["rounds"]["train_loss"], b["rounds"]["train_loss"]), what
    print(f"ok: {what}")


def difference(a, b, blocks):
    """All elements of the blocks in one vector: a less b."""
    names = [name for name in sorted(a["model"]) if int(name.split(".")[0][len("block"):]) in blocks]
    return numpy.concatenate([a["model"][name][()].astype(float).ravel() - b["model"][name][()].ravel() for name in names])


def near(value, expected, relative, what):
    assert abs(value - expected) <= relative * expected, f"{what}: {value} is not {expected}"
    print(f"ok: {what}")


averaging, splitting = "sweep={method: [fl, sfl, pipar, 1f1b, bw-split]}", "sweep={method: [sl, sfl, pipar, 1f1b]}"
none = "privacy={mechanism: none}"
plain = run(averaging, none)
same_models(plain, run(averaging, "privacy={mechanism: dp-fedavg, clip: 1e30, noise_multiplier: 0}"),
            "updates neither clipped nor noisy train as without privacy")
same_models(run(splitting, none), run(splitting, "privacy={mechanism: activation, clip: 1e30, noise_multiplier: 0}"),
            "activations neither clipped nor noisy likewise")
assert all(numpy.isnan(group["rounds"]["epsilon"]).all() for group in plain)

# Clipped to nothing a round leaves the model it began with. Rounding to float: 2^-24 of each of 3 x 10^5 elements, of norm 30.
short = ("training.epochs=1", ONE_DEVICE, "sweep={method: [fl, pipar]}")
first = run(*short, "privacy={mechanism: dp-fedavg, clip: 1e-30, noise_multiplier: 0}")
clipped = run(*short, "privacy={mechanism: dp-fedavg, clip: 0.5, noise_multiplier: 0}")
free = run(*short, none)
whole, device, replica = range(5), range(2), range(2, 5)
for method in range(2):
    assert numpy.linalg.norm(difference(free[method], first[method], device)) > 0.5
near(numpy.linalg.norm(difference(clipped[0], first[0], whole)), 0.5, 1e-4, "an update of fl has the norm of the clip")
for part, blocks in (("device's", device), ("replica's", replica)):
    near(numpy.linalg.norm(difference(clipped[1], first[1], blocks)), 0.5 * math.sqrt(0.5), 1e-4,
         f"the {part} part of an update has its share of it")

# Noise of deviation 2 z C, beside which the update is nothing: 5 standard errors. Halved variance in the mean of two alike.
noisy = run(*short, "privacy={mechanism: dp-fedavg, clip: 0.01, noise_multiplier: 1.5}")
for method in range(2):
    noise = difference(noisy[method], first[method], whole)
    near(noise.std(), 0.03, 5 / math.sqrt(2 * noise.size) + 1e-3, "noise has its deviation")
two = ONE_DEVICE.replace("[{", "[{count: 2, ")
noise = difference(run(*short, two, "privacy={mechanism: dp-fedavg, clip: 0.01, noise_multiplier: 1.5}")[0], first[0], whole)
near(noise.std(), 0.03 / math.sqrt(2), 5 / math.sqrt(2 * noise.size) + 1e-3, "and each device its own")

# One sample, all blocks on the device: the last bias, 0 at first, becomes -rate x its gradient, softmax less the label, which is
# that of the clipped logits times what clipping multiplied them by. The logits follow from the plain run but for a constant.
# Floats: 2^-24 of logits and gradients below 1, doubled a few times.
logits = ("training.epochs=1", "training.batch_size=1", "training.learning_rate=1", "dataset.train_samples=1",
          "sweep={method: [pipar]}", ONE_DEVICE.replace("split: 2, micro_batches: 3", "split: 5, micro_batches: 1"))


def bias_gradient(privacy):
    return -run(*logits, privacy)[0]["model/block4.linear.bias"][()].astype(float)


def softmax(x):
    return numpy.exp(x) / numpy.exp(x).sum()


def predicted(constant, scaled):
    x = numpy.log(probabilities) + constant
    factor = min(1, 0.05 / numpy.linalg.norm(x))
    return (factor if scaled else 1) * (softmax(factor * x) - label)


gradient, clipped = bias_gradient(none), bias_gradient("privacy={mechanism: activation, clip: 0.05, noise_multiplier: 0}")
label = numpy.where(gradient < 0, 1.0, 0.0)
assert label.sum() == 1
probabilities = gradient + label
misses = {}
for scaled in (True, False):
    low, high = -10.0, 10.0
    for _ in range(60):
        points = numpy.linspace(low, high, 401)
        errors = [abs(predicted(point, scaled) - clipped).max() for point in points]
        best = int(numpy.argmin(errors))
        low, high = points[max(best - 1, 0)], points[min(best + 1, 400)]
    misses[scaled] = errors[best]
assert misses[True] < 1e-6 and misses[False] > 1e-2, misses
print("ok: the gradient of an activation is multiplied as the activation was")

# tests/unit/nn/renyi_oracle.py has the numbers.
for group in run(averaging, "privacy={mechanism: dp-fedavg, clip: 1, noise_multiplier: 1}"):
    numpy.testing.assert_allclose(group["rounds"]["epsilon"], [4.72838698494331, 7.07719669580634], rtol=1e-12)
# 31 to 33 samples a device in batches of 24: two iterations an epoch, so the second pass begins in the third round.
rounds = ("sweep={method: [pipar]}", "training.aggregate_every=1")
passes = run(*rounds, "privacy={mechanism: activation, clip: 1, noise: laplace, epsilon: 0.5}")[0]["rounds"]["epsilon"]
numpy.testing.assert_allclose(passes, [0.499979999999998] * 2 + [0.999960000799931] * 2, rtol=1e-11)
passes = run(*rounds, "privacy={mechanism: activation, clip: 1, noise_multiplier: 1}")[0]["rounds"]["epsilon"]
numpy.testing.assert_allclose(passes, [4.72838698494331] * 2 + [7.07719669580634] * 2, rtol=1e-12)
assert numpy.isinf(run(*short, "privacy={mechanism: dp-fedavg, clip: 1, noise_multiplier: 0}")[0]["rounds"]["epsilon"]).all()
print("ok: epsilon of each round")
