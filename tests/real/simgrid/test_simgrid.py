#!/usr/bin/python3
"""test_simgrid.py PIPAR SIMGRID_ACTORS [SCENARIOS [FIRST_SEED [SHARED]]]: pipar's makespans of random scenarios against
those of the same scenarios written as SimGrid actors; then of SHARED more whose devices share a link of the server."""

import concurrent.futures
import dataclasses
import os
import pathlib
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
shared_count = int(sys.argv[5]) if len(sys.argv) > 5 else 100

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
    # Meson has memory filled that is allocated: of SimGrid's, that is the whole stack of every actor.
    done = subprocess.run([simgrid], input=text, check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "MALLOC_PERTURB_": "0"})
    return float(done.stdout.split()[0]) * 1e9


def transfers(scenario):
    """A bound for those that can follow each other in time: all of the scenario."""
    iterations = scenario.iterations * scenario.epochs
    messages = max(group.micro_batches for group in scenario.groups)
    return iterations * (2 * messages + 2) * scenario.devices()


def compare(title, draw, seeds):
    """Prints how far makespans are from each other; returns the largest relative difference and what the documents say."""

    def run_both(seed):
        scenario = draw(seed)
        return seed, scenario, run_pipar(directory, seed, scenario), simgrid_makespan_ns(scenario)

    differences, methods, half, traced, rounded, contended = [], {}, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for seed, scenario, results, theirs in pool.map(run_both, seeds):
            with h5py.File(results, "r") as file:
                ours = float(file["runs/0"].attrs["makespan_s"]) * 1e9
            differences.append((abs(ours - theirs) / theirs, abs(ours - theirs), seed))
            rounded += abs(ours - theirs) <= ROUNDING_NS_PER_TRANSFER * transfers(scenario)
            methods[scenario.method] = methods.get(scenario.method, 0) + 1
            half += any(group.half_duplex for group in scenario.groups)
            traced += any(len(link.steps) > 1 for group in scenario.groups for link in (group.up, group.down))
            contended += scenario.server_up is not None and ours > alone_ns(directory, seed, scenario) * 1.01
            if differences[-1][0] > CLOSE:
                print(f"seed {seed} ({scenario.method}): pipar {ours / 1e9:.9f} s, SimGrid {theirs / 1e9:.9f} s")
    relative = sorted(difference[0] for difference in differences)
    largest = max(differences)
    print(f"{len(seeds)} scenarios{title} ({', '.join(f'{n} {method}' for method, n in sorted(methods.items()))}; {traced} "
          f"with rates of devices that change, {half} with half duplex)")
    if contended:
        print(f"in {contended} of them the server's link makes the run more than 1 % longer")
    print(f"difference of the makespan: largest {largest[0]:.2e} ({largest[1]:.1f} ns, seed {largest[2]}), median "
          f"{statistics.median(relative):.2e}; within 1 %: {sum(d <= ALLOWED for d in relative)}, within the rounding of "
          f"transfers to nanoseconds: {rounded}")
    told = [f"{methods[method]} `{method}`" for method in sorted(methods)]
    told += [f"| {sum(d <= ALLOWED for d in relative)} |"]
    told += [f"| {contended} |"] if contended else [f"{traced} with rates", f"{half} with half duplex", f"({largest[1]:.0f} ns)"]
    return largest[0], told


def is_told(row, told):
    """Whether docs/agreement.md says so. Times are whole nanoseconds on our side: the largest difference is the same on
    every machine, what SimGrid adds up in doubles may end in another digit."""
    document = pathlib.Path(__file__).resolve().parents[3] / "docs/agreement.md"
    text = next(line for line in document.read_text().splitlines() if line.startswith(row))
    missing = [words for words in told if words not in text]
    for words in missing:
        print(f"docs/agreement.md says otherwise: {words}")
    return not missing


def alone_ns(directory, seed, scenario):
    """The makespan of the same scenario without a link of the server."""
    alone = dataclasses.replace(scenario, server_up=None, server_down=None)
    with h5py.File(run_pipar(directory, f"{seed}-alone", alone), "r") as file:
        return float(file["runs/0"].attrs["makespan_s"]) * 1e9


worst, current = 0, True
if count:
    worst, told = compare("", scenarios.random_scenario, range(first_seed, first_seed + count))
    current = (count, first_seed) != (200, 1) or is_told("| 200 ", told)
if shared_count:
    seeds = range(first_seed, first_seed + shared_count)
    worst_shared, told = compare(" with a shared link of the server", scenarios.random_shared_scenario, seeds)
    worst = max(worst, worst_shared)
    current = current and ((shared_count, first_seed) != (100, 1) or is_told("| 100 ", told))
sys.exit(0 if worst <= CLOSE and current else 1)
