#!/usr/bin/python3
"""speed.py [BUILD]: stages per second of SimGrid, as actors and as an MPI program under SMPI, and of `pipar run` with `compute: none` on the same scenario: pipar,
100 devices and a server of one slot, 10 micro-batches, 10 iterations. All times are processor time: SimGrid's that
of the simulation alone, pipar's that of the whole command; a second line is a command that simulates the scenario REPEATS times, as a sweep."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile

try:
    import h5py
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "../../tests/real/simgrid"))
import scenario as scenarios  # noqa: E402

build = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../build")
pipar = os.path.join(build, "src/app/pipar")
simgrid = os.path.join(build, "tests/real/simgrid/simgrid_actors")
TRIES = 5
SHORT_TRIES = 20  # of what takes milliseconds, and half of it what the host makes of new memory
REPEATS = 100
WANTED = 50


def scenario(iterations):
    """Ten groups of ten devices that differ a little; the server is busy most of the time."""
    groups = [
        scenarios.Group(
            count=10,
            micro_batches=10,
            forward_ns=10_000_000 + 137_911 * group,
            backward_ns=20_000_000 + 211_337 * group,
            update_ns=5_000_003,
            server_forward_ns=100_003,
            server_backward_ns=200_009,
            server_update_ns=50_021,
            upload_bytes=125_003,
            download_bytes=124_001,
            model_upload_bytes=50_021,
            model_download_bytes=50_021,
            half_duplex=False,
            up=scenarios.Link(10_000_019, [(0, 50_000_000)]),
            down=scenarios.Link(10_000_019, [(0, 100_000_000)]),
        )
        for group in range(10)
    ]
    return scenarios.Scenario("pipar", iterations, 1, 0, 1, 10_000_019, groups)


def stages(of):
    """Counted here too, from the timing model, as a check of both programs' work."""
    iterations = of.iterations * of.epochs
    return sum(g.count * (iterations * (6 * g.micro_batches + 2) + 2) for g in of.groups) + 1


def children_s():
    """Processor time of all finished children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_simgrid(of):
    best = None
    for _ in range(TRIES):
        done = subprocess.run([simgrid], input=scenarios.to_text(of), check=True, stdout=subprocess.PIPE, text=True)
        makespan_s, counted, used_s = (float(word) for word in done.stdout.split())
        if counted != stages(of):
            sys.exit(f"SimGrid counted {counted:.0f} stages instead of {stages(of)}")
        best = min(best or used_s, used_s)
    return makespan_s, best


def run_smpi(directory, of):
    """The program for SMPI, every device like those of the middle group."""
    program, group = os.path.join(directory, "smpi_pipar"), of.groups[len(of.groups) // 2]
    subprocess.run(["smpicc", "-O2", "-o", program, os.path.join(here, "smpi_pipar.c")], check=True)
    platform, hosts = os.path.join(directory, "platform.xml"), os.path.join(directory, "hosts")
    elements, routes = [], []
    for k in range(of.devices() + 1):
        elements.append(f'<host id="h{k}" speed="1Gf"/>')
    for k in range(1, of.devices() + 1):
        for name, link, ends in (("up", group.up, (k, 0)), ("down", group.down, (0, k))):
            elements.append(f'<link id="{name}{k}" bandwidth="{link.steps[0][1] / 8}Bps" latency="{link.latency_ns}ns"/>')
            routes.append(f'<route src="h{ends[0]}" dst="h{ends[1]}" symmetrical="NO"><link_ctn id="{name}{k}"/></route>')
    with open(platform, "w", encoding="utf-8") as file:
        file.write("<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM 'https://simgrid.org/simgrid.dtd'>\n")
        file.write("\n".join(['<platform version="4.1"><zone id="world" routing="Full">', *elements, *routes]))
        file.write("\n</zone></platform>\n")
    with open(hosts, "w", encoding="utf-8") as file:
        file.writelines(f"h{k}\n" for k in range(of.devices() + 1))
    lengths = [group.forward_ns, group.backward_ns, group.update_ns, group.server_forward_ns, group.server_backward_ns,
               group.server_update_ns, of.aggregate_ns]
    words = [of.iterations, group.micro_batches, *(length / 1e9 for length in lengths)]
    words += [group.upload_bytes, group.download_bytes, group.model_upload_bytes]
    settings = ["network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0", "network/bandwidth-factor:1",
                "network/latency-factor:1", "smpi/simulate-computation:no", "smpi/host-speed:1Gf",
                "smpi/privatization:no"]
    command = ["smpirun", "-np", str(of.devices() + 1), "-platform", platform, "-hostfile", hosts]
    command += [f"--cfg={setting}" for setting in settings] + ["--log=root.thresh:error"]
    start = children_s()
    done = subprocess.run([*command, program, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1]), children_s() - start


def run_pipar(directory, of, runs, tries):
    path, results = os.path.join(directory, "speed.yaml"), os.path.join(directory, "speed.h5")
    with open(path, "w", encoding="utf-8") as file:
        file.write(scenarios.to_yaml(of) + f"sweep: {{seed: {list(range(runs))}}}\n")
    best = None
    for _ in range(tries):
        start = children_s()
        subprocess.run([pipar, "run", path, "-q", "--force", "-o", results], check=True, stdin=subprocess.DEVNULL)
        used_s = children_s() - start
        best = min(best or used_s, used_s)
    with h5py.File(results, "r") as file:
        return float(file["runs/0"].attrs["makespan_s"]), best


def show(name, of, runs, used_s):
    count = runs * stages(of)
    print(f"{name:34} {count:9} stages {1e3 * used_s:9.1f} ms {count / used_s:12,.0f} stages/s")
    return count / used_s


if not os.access(simgrid, os.X_OK) or shutil.which("smpicc") is None:
    print("skipped: SimGrid's programs are not here (Debian: g++ libsimgrid-dev)")
    sys.exit(77)
short = scenario(10)
with tempfile.TemporaryDirectory() as directory:
    theirs_s, theirs_used_s = run_simgrid(short)
    smpi_s, smpi_used_s = run_smpi(directory, short)
    ours_s, ours_used_s = run_pipar(directory, short, 1, SHORT_TRIES)
    _, many_used_s = run_pipar(directory, short, REPEATS, TRIES)
print(f"makespan: SimGrid {theirs_s:.9f} s, SMPI {smpi_s:.9f} s, pipar {ours_s:.9f} s")
smpi = show("SimGrid SMPI, whole command", short, 1, smpi_used_s)
theirs = show("SimGrid actors, simulation alone", short, 1, theirs_used_s)
ours = show("pipar run, whole command", short, 1, ours_used_s)
many = show(f"pipar run, a sweep of {REPEATS} runs", short, REPEATS, many_used_s)
print(f"pipar to SMPI: {ours / smpi:.0f}, in a sweep {many / smpi:.0f}; "
      f"to actors: {ours / theirs:.0f}, in a sweep {many / theirs:.0f}")
met = ours >= WANTED * smpi and abs(ours_s - theirs_s) <= 0.01 * theirs_s
print(f"at least {WANTED} times SMPI's stages a second in a single run, the same makespan as the actors': {'yes' if met else 'no'}")
sys.exit(0 if met else 1)
