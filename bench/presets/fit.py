#!/usr/bin/env python3
"""Fits rates of devices to published training rates: ./fit.py PIPAR [--markdown | --check PRESETS.yaml]

The model is the roofline of docs/cost.md with the memory bandwidth and the overhead held at their own sources. What is
left are the four rates of a device, mostly more than there are observations, so they are regularised (REGULARISATION).
Least squares of logarithms, solved by Gauss-Newton from several starts, of which the best counts: where a layer is bound
by memory its rate has no gradient. Rates are rounded to three digits. Only the standard library is needed."""

import json
import math
import subprocess
import sys

KINDS = ("dense_conv", "pointwise", "depthwise", "linear")

# How far, as a factor, a rate lies from what it is drawn to: one standard deviation. Dense convolutions to a third of
# the peak; pointwise and depthwise ones to the dense ones; linear layers to pointwise convolutions, as both are matrix
# products. Where a device has a reference, ratios of rates are drawn to the reference's.
REGULARISATION = {"dense_conv": 3.0, "pointwise": 2.0, "depthwise": 10.0, "linear": 1.2}
DRAWN_TO = {"pointwise": "dense_conv", "depthwise": "dense_conv", "linear": "pointwise"}
STARTS = (1.0, 0.1, 0.01)  # of the depthwise rate, times that of dense convolutions
# One standard deviation of an observation, as a factor.
OBSERVATION = 1.05

# Seconds a sample = 6 x GMAC / GFLOP/s: the source counts 3 x forward at 2 FLOP a multiply-accumulate, with these GMAC.
GMACS = {"resnet18": 1.80, "resnet34": 3.68, "resnet50": 4.10, "mobilenetv3-large": 0.20, "mobilenetv3-small": 0.06}

DEVICES = {
    "raspberry-pi-5": {
        "peak_gflops": 4 * 16 * 2.4, "memory_gbs": 7.4, "overhead_us": 6, "batch": 16, "reference": None,
        "gflops": {"resnet18": 29.6, "resnet50": 24.4, "mobilenetv3-large": 3.35, "mobilenetv3-small": 2.43},
        # Same source, never fitted: 219.8 s for 20 batches of 16.
        "held_out_s": {"resnet34": 219.803324 / 320},
    },
    "raspberry-pi-4b": {
        "peak_gflops": 4 * 8 * 1.5, "memory_gbs": 5.56, "overhead_us": 14, "batch": 16, "reference": "raspberry-pi-5",
        "gflops": {"resnet18": 15.8, "resnet34": 17.4, "resnet50": 12.1},
        "held_out_s": {},
    },
    "v100": {
        "peak_gflops": 15700, "memory_gbs": 750, "overhead_us": 11, "batch": 128, "reference": None,
        "seconds": {"resnet50": 1 / 356},
        "held_out_s": {},
    },
}


def network(pipar, name):
    """Layers of a network at 224x224 and 1,000 classes, in order, as `pipar models --json` gives them."""
    if name == "resnet34":  # resnet18 with 3, 4, 6, 3 blocks a stage instead of 2 each
        blocks = network(pipar, "resnet18")
        plain512 = [layer for layer in blocks[8] if layer["name"] != "avgpool"]
        return (blocks[0:2] + [blocks[2]] * 2 + [blocks[3]] + [blocks[4]] * 3 + [blocks[5]] + [blocks[6]] * 5
                + [blocks[7]] + [plain512] + blocks[8:])
    text = subprocess.run([pipar, "models", "--json", "--input", "3x224x224", "--classes", "1000", name],
                          check=True, capture_output=True, text=True).stdout
    return [block["layers"] for block in json.loads(text)["blocks"]]


def seconds(layers, rates, memory_gbs, overhead_us, batch):
    """One iteration, per sample: forward, backward (the first layer has no input gradient), loss, update."""
    total, classes = 0.0, 1000
    for index, layer in enumerate(layers):
        passes = 2 if index == 0 else 3
        rate = rates.get(layer["kind"])
        compute = 2 * layer["macs"] * batch / (rate * 1e9) if rate else 0
        memory = 4 * (batch * (layer["inputs"] + layer["outputs"]) + layer["parameters"]) / (memory_gbs * 1e9)
        total += passes * (max(compute, memory) + overhead_us * 1e-6)
    total += 3 * (4 * batch * 2 * classes / (memory_gbs * 1e9) + overhead_us * 1e-6)
    total += 20 * sum(layer["parameters"] for layer in layers) / (memory_gbs * 1e9)
    return total / batch


def solve(matrix, right):
    """Gaussian elimination with pivots, for the four normal equations."""
    size = len(right)
    rows = [list(matrix[i]) + [right[i]] for i in range(size)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(size):
            if row != column:
                factor = rows[row][column] / rows[column][column]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column])]
    return [rows[i][size] / rows[i][i] for i in range(size)]


def residuals(logs, device, observed, layers_of, ratios):
    rates = {kind: math.exp(value) for kind, value in zip(KINDS, logs)}
    out = []
    for name, wanted in observed.items():
        got = seconds(layers_of[name], rates, device["memory_gbs"], device["overhead_us"], device["batch"])
        out.append(math.log(got / wanted) / math.log(OBSERVATION))
    out.append((logs[0] - math.log(device["peak_gflops"] / 3)) / math.log(REGULARISATION["dense_conv"]))
    for index, kind in enumerate(KINDS[1:], start=1):
        other = logs[KINDS.index(DRAWN_TO[kind])]
        out.append((logs[index] - other - math.log(ratios[kind])) / math.log(REGULARISATION[kind]))
    return out


def square(values):
    return sum(value * value for value in values)


def fit_from(start, device, observed, layers_of, ratios):
    """Gauss-Newton with damping (Levenberg-Marquardt): the logarithms of the rates and what is left to explain."""
    logs = [math.log(device["peak_gflops"] / 3 * (start if kind == "depthwise" else 1)) for kind in KINDS]
    now = residuals(logs, device, observed, layers_of, ratios)
    damping = 1e-3
    for _ in range(500):
        columns = []
        for index in range(len(logs)):
            moved = list(logs)
            moved[index] += 1e-6
            columns.append([(a - b) / 1e-6
                            for a, b in zip(residuals(moved, device, observed, layers_of, ratios), now)])
        normal = [[sum(x * y for x, y in zip(a, b)) + (damping if a is b else 0) for b in columns] for a in columns]
        step = solve(normal, [-sum(x * y for x, y in zip(a, now)) for a in columns])
        trial = [value + change for value, change in zip(logs, step)]
        then = residuals(trial, device, observed, layers_of, ratios)
        if square(then) < square(now):
            done = square(now) - square(then) < 1e-14
            logs, now, damping = trial, then, damping / 3
            if done:
                break
        else:
            damping *= 10
            if damping > 1e12:
                break
    return logs, square(now)


def fit(device, observed, layers_of, ratios):
    trials = [fit_from(start, device, observed, layers_of, ratios) for start in STARTS]
    logs = min(trials, key=lambda trial: trial[1])[0]
    return {kind: float(f"{math.exp(value):.3g}") for kind, value in zip(KINDS, logs)}


def observations(device):
    return device.get("seconds") or {name: 6 * GMACS[name] / rate for name, rate in device["gflops"].items()}


def run(pipar):
    names = sorted({name for device in DEVICES.values() for name in (*observations(device), *device["held_out_s"])})
    layers_of = {name: [layer for block in network(pipar, name) for layer in block] for name in names}
    fitted, table = {}, []
    for key, device in DEVICES.items():
        reference = fitted.get(device["reference"])
        ratios = {kind: reference[kind] / reference[DRAWN_TO[kind]] if reference else 1.0 for kind in DRAWN_TO}
        observed = observations(device)
        fitted[key] = fit(device, observed, layers_of, ratios)

        def predict(name, rates):
            return seconds(layers_of[name], rates, device["memory_gbs"], device["overhead_us"], device["batch"])

        for name, wanted in observed.items():
            rest = {other: value for other, value in observed.items() if other != name}
            without = fit(device, rest, layers_of, ratios)
            table.append((key, name, wanted, predict(name, fitted[key]), predict(name, without)))
        for name, wanted in device["held_out_s"].items():
            table.append((key, name, wanted, None, predict(name, fitted[key])))
    return fitted, table


def markdown(fitted, table):
    print("| device | dense | pointwise | depthwise | linear |")
    print("| --- | --- | --- | --- | --- |")
    for key, rates in fitted.items():
        print(f"| {key} | " + " | ".join(f"{rates[kind]:g}" for kind in KINDS) + " |")
    print()
    print("| device | network | measured [ms a sample] | fit | error | left out | error |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for key, name, wanted, got, without in table:
        fit_cells = (f"{got * 1e3:.4g}", f"{(got / wanted - 1) * 100:+.1f} %") if got else ("-", "-")
        print(f"| {key} | {name} | {wanted * 1e3:.4g} | {fit_cells[0]} | {fit_cells[1]} | "
              f"{without * 1e3:.4g} | {(without / wanted - 1) * 100:+.1f} % |")


def presets_numbers(path):
    """{preset: {key: value}} of the plain two-level form in which presets.yaml is written."""
    numbers, preset, key = {}, None, None
    for line in open(path, encoding="utf-8"):
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if indent == 2 and text.endswith(":"):
            preset = numbers.setdefault(text[:-1], {})
        elif indent == 4 and text.endswith(":"):
            key = text[:-1]
        elif indent == 6 and text.startswith("value:"):
            preset[key] = float(text.split()[1])
    return numbers


def check(fitted, path):
    numbers, wrong = presets_numbers(path), 0
    for preset, rates in fitted.items():
        expected = {f"{kind}_gflops": rate for kind, rate in rates.items()}
        expected |= {key: DEVICES[preset][key] for key in ("memory_gbs", "overhead_us")}
        for key, value in expected.items():
            if numbers[preset].get(key) != value:
                print(f"{preset}: {key} is {numbers[preset].get(key)}, the fit gives {value}")
                wrong += 1
    return wrong


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rates_of, rows = run(sys.argv[1])
    if len(sys.argv) > 3 and sys.argv[2] == "--check":
        sys.exit(1 if check(rates_of, sys.argv[3]) else 0)
    markdown(rates_of, rows)
