#!/usr/bin/python3
"""test_simgrid.py PIPAR SIMGRID_ACTORS [SCENARIOS [FIRST_SEED]]: pipar's makespans of random scenarios against those of
the same scenarios written as SimGrid actors."""

import concurrent.futures
import os
import statistics
import subprocess
import sys
import tempfile

import scenario as scenarios

if len(sys.argv) < 3 or not sys.argv[2]:
    print("skipped: no C++ compiler or no SimGrid (Debian: g++ libsimgrid-dev)")
    sys.exit(77)
try:
    import h5py
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

pipar, simgrid = sys.argv[1:3]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 200
first_seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1

# What is promised. The difference that is expected is far smaller: a transfer ends at a whole
# nanosecond, up to 1 ns late, and SimGrid adds up times in double.
ALLOWED = 0.01
CLOSE = 1e-6  # what the rounding is always far within, so that nothing else hides behind 1 %
ROUNDING_NS_PER_TRANSFER = 1


def run_pipar(directory, seed, scenario):
    path = os.path.join(directory, f"{seed}.yaml")
    results = os.path.join(directory, f"{seed}.h5")
    with open(path, "w", encoding="utf-8") as file:
        file.write(scenarios.to_yaml(scenario))
    subprocess.run([pipar, "run", path, "-q", "-o", results], check=True, stdin=subprocess.DEVNULL)
    return results


def simgrid_makespan_ns(scenario):
    text = scenarios.to_text(scenario)
    done = subprocess.run([simgrid], input=text, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[0]) * 1e9


def transfers(scenario):
    """A bound for those that can follow each other in time: all of the scenario."""
    iterations = scenario.iterations * scenario.epochs
    messages = max(group.micro_batches for group in scenario.groups)
    return iterations * (2 * messages + 2) * scenario.devices()


def run_both(seed):
    scenario = scenarios.random_scenario(seed)
    return seed, scenario, run_pipar(directory, seed, scenario), simgrid_makespan_ns(scenario)


differences, methods, half, traced, rounded = [], {}, 0, 0, 0
with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for seed, scenario, results, theirs in pool.map(run_both, range(first_seed, first_seed + count)):
        with h5py.File(results, "r") as file:
            ours = float(file["runs/0"].attrs["makespan_s"]) * 1e9
        differences.append((abs(ours - theirs) / theirs, abs(ours - theirs), seed))
        rounded += abs(ours - theirs) <= ROUNDING_NS_PER_TRANSFER * transfers(scenario)
        methods[scenario.method] = methods.get(scenario.method, 0) + 1
        half += any(group.half_duplex for group in scenario.groups)
        traced += any(len(link.steps) > 1 for group in scenario.groups for link in (group.up, group.down))
        if differences[-1][0] > CLOSE:
            print(f"seed {seed} ({scenario.method}): pipar {ours / 1e9:.9f} s, SimGrid {theirs / 1e9:.9f} s")

relative = sorted(difference[0] for difference in differences)
largest = max(differences)
print(f"{count} scenarios ({', '.join(f'{n} {method}' for method, n in sorted(methods.items()))}; {traced} with rates "
      f"that change, {half} with half duplex)")
print(f"difference of the makespan: largest {largest[0]:.2e} ({largest[1]:.1f} ns, seed {largest[2]}), median "
      f"{statistics.median(relative):.2e}; within 1 %: {sum(d <= ALLOWED for d in relative)}, within the rounding of "
      f"transfers to nanoseconds: {rounded}")
sys.exit(0 if largest[0] <= CLOSE else 1)
