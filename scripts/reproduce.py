"""Runs the experiments behind the figures, draws them and prints the headline ratios. Every number that is printed comes
from `pipar report --json`, that is, from the results files."""

import argparse
import csv
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

# Published for the paper's own testbed, whose hardware is not known to us (arXiv 2302.12803, abstract).
PUBLISHED_IDLE, PUBLISHED_SPEEDUP = 64.1, 34.6
RANKS = 2  # real training is no faster with more on two cores

# Experiment, what its figures show, further arguments of `pipar plot`.
TIMED = [
    ("02_small_devices", "idle time and training time per epoch, small devices", []),
    ("03_gpu_server", "idle time and training time per epoch, a GPU as server", []),
    ("05_heterogeneous", "one slower device among four", []),
    ("06_changing_bandwidth", "a falling link: one plan against planning again", []),
    ("08_aps", "automated parameter selection against search and all plans", []),
    ("09_scale", "4 to 131,072 devices", []),
    ("10_heat_map", "split and number of micro-batches", []),
    ("11_beyond", "pipar, 1f1b, bw-split, priority and asynchronous aggregation, beside a bound that no order of their stages can beat", []),
    ("12_sensitivity", "what pipar gains over fl with servers 1 to 4,096 times as fast as a device, on links of 1 to 1,000 Mbit/s", []),
    ("13_as_published", "idle time by the published code's definitions, four Raspberry Pi 4B, 32x32x3 images",
     ["--idle", "as-published"]),
]
TRAINED = [
    ("04_accuracy", "accuracy and loss against emulated time, three seeds", []),
    ("07_privacy", "differential privacy: accuracy over epsilon, and time, three seeds", []),
]
RATIOS = [("server_idle_reduction", "server idle time less by"), ("device_idle_reduction", "devices' idle time less by"),
          ("speedup", "training faster by")]
# What a figure shows, by its name's beginning.
FIGURES = {
    "idle-as-published": "idle time of server and devices by the published code's definitions",
    "idle": "idle time of server and devices, by what they wait for",
    "time": "training time; where fl runs too, how many times faster",
    "scale": "time and idle time against the number of devices",
    "map": "time of every split and number of micro-batches",
    "ratios": "how many times less the server idles, and how many times faster training is, with pipar than with fl",
    "bounds": "time, and how many per cent it is above a bound that no order of the same stages can beat",
    "network": "the links' rate, and how long rounds take meanwhile",
    "accuracy": "test accuracy against emulated time",
    "loss": "training loss against emulated time",
    "privacy": "test accuracy against epsilon",
    "gantt": "what each device, link and server slot does in an iteration",
}
WALL = "14_wall_clock"  # 01_quickstart, shortened, under both clocks


def fail(message):
    sys.exit(f"reproduce: {message}")


def parse():
    parser = argparse.ArgumentParser(
        prog="./reproduce",
        description="Makes the figures: runs the experiments in experiments/, draws them and prints what they show. "
        "Time-only experiments take less than a minute on two cores.")
    parser.add_argument("-o", metavar="DIR", dest="output", default="results/reproduce",
                        help="where results and figures go (default: results/reproduce)")
    parser.add_argument("--train", action="store_true",
                        help="also those that really train networks: half an hour more on two cores; what an earlier call "
                        "finished is kept")
    parser.add_argument("--only", metavar="NAME", action="append",
                        choices=[name for name, _, _ in TIMED + TRAINED] + [WALL],
                        help="this experiment alone; may be repeated: %(choices)s")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="settings",
                        help="passed on to every `pipar run`: smaller runs, other data")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)  # the arguments alone
    parser.add_argument("--pipar", default="build/src/app/pipar", help=argparse.SUPPRESS)
    args = parser.parse_args()
    output = pathlib.Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"-o {args.output}: {error.strerror}")
    return args


def call(command, **options):
    """Gives what the command printed to a pipe. Whatever interrupts it, the command ends too."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **options)
    try:
        printed, _ = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode != 0:
        fail(f"{' '.join(str(word) for word in command)} ended with {process.returncode}")
    return printed


def launcher(ranks):
    """mpirun where it is there: the results are the same bits without."""
    return ["mpirun", "--oversubscribe", "-n", str(ranks)] if shutil.which("mpirun") else []


def files_read(pipar, experiment, settings):
    """The experiment's file and those it names: networks, traces, profiles, initial weights."""
    return call([pipar, "check", "--inputs", experiment, *settings], stdout=subprocess.PIPE).decode().splitlines()


def without_revision(program):
    """A commit that changes documents alone changes nothing else of the program (src/app/version.c)."""
    return re.sub(rb"(pipar-revision:)[0-9A-Za-z.+-]*\0*", rb"\1", program)


def digest_of(pipar, experiment, settings):
    """Of all that decides what an experiment's results are, but data sets: the program and its libraries, what it reads, the
    settings."""
    digest = hashlib.sha256()
    libraries = call([pipar, "--version"], stdout=subprocess.PIPE).split(b"\n", 1)[1]
    parts = [("program", without_revision(pathlib.Path(pipar).read_bytes())), ("libraries", libraries)]
    parts += [(path, pathlib.Path(path).read_bytes()) for path in files_read(pipar, experiment, settings)]
    parts += [("setting", word.encode()) for word in settings]
    for name, content in parts:  # lengths keep what is one part's from being another's
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def run(pipar, name, output, settings, keep):
    """Runs experiments/NAME.yaml into OUTPUT/NAME.h5 and returns its report, and whether the results were there already. They
    are kept where the same program made them from the same files and settings: OUTPUT/NAME.key is written last."""
    results, key = output / f"{name}.h5", output / f"{name}.key"
    experiment = pathlib.Path("experiments", f"{name}.yaml")
    now = digest_of(pipar, experiment, settings) if keep else None
    kept = keep and results.exists() and key.exists() and key.read_text() == now
    if not kept:
        key.unlink(missing_ok=True)
        call([*launcher(RANKS), pipar, "run", experiment, "-o", results, "--force", "-q", *settings])
        if keep:
            key.write_text(now)
    return results, report(pipar, results), kept


def report(pipar, *results):
    return json.loads(call([pipar, "report", "--json", *results], stdout=subprocess.PIPE))


def arguments_of(settings):
    return [word for setting in {s.split("=")[0]: s for s in settings}.values() for word in ("--set", setting)]


def cell_of(run_, report_):
    """What tells the run from others: network, device count, ..."""
    values = [f"{run_['settings'][key]} devices" if key.endswith(".count") else str(run_["settings"].get(key, ""))
              for key in report_["varying"]]
    return ", ".join(value for value in values if value)


def largest(reports, key, method="pipar"):
    found = [(run_[key], name, cell_of(run_, of), run_) for name, of in reports for run_ in of["runs"]
             if run_["method"] == method and run_[key] is not None]
    return max(found, key=lambda entry: entry[0]) if found else None


def throughput(run_):
    """Bytes a second over all links."""
    return (run_["bytes_up"] + run_["bytes_down"]) / run_["makespan_s"]


def describe(report_):
    """The hardware that a report's runs assume."""
    settings = report_["runs"][0]["settings"]
    device = settings["devices.0.device.name"]
    return (f"{report_['runs'][0]['devices']} x {device} ({settings['devices.0.device.dense_conv_gflops']:g} GFLOP/s), "
            f"server {settings['server.device.name']} ({settings['server.device.dense_conv_gflops']:g} GFLOP/s)")


def headline_table(reports):
    """The largest ratios as a table of docs/reproduction.md, in Markdown."""
    lines = ["| largest, `pipar` against `fl` of the same cell | experiment | ratio | cell |", "| --- | --- | ---: | --- |"]
    for key, text in RATIOS:
        for name, of in reports:
            best = largest([(name, of)], key)
            if best:
                lines.append(f"| {text} | {name[:2]} | {best[0]:.1f}x | {best[2]} |")
    return "\n".join(lines) + "\n"


def print_headline(reports):
    print(f"\nLargest ratios of pipar against fl of the same cell (published, on the paper's hardware: server idle time "
          f"{PUBLISHED_IDLE}x less, training {PUBLISHED_SPEEDUP}x faster):")
    for name, of in reports:
        print(f"  {name}: {describe(of)}")
        for key, text in RATIOS:
            best = largest([(name, of)], key)
            if best:
                print(f"    {text:27} {best[0]:8.1f}x   {best[2]}")
        rates = [(throughput(run_) / throughput(of["runs"][run_["reference"]]), cell_of(run_, of)) for run_ in of["runs"]
                 if run_["method"] == "pipar" and run_["reference"] is not None]
        if rates:
            print(f"    {'network throughput more by':27} {max(rates)[0]:8.1f}x   {max(rates)[1]}")
    print("Nothing is tuned towards the published ratios: docs/reproduction.md says which inputs they depend on.")


def print_trained(of):
    """Accuracy after the last round, mean and 95 % interval over the seeds."""
    for group in of["groups"]:
        run_ = of["runs"][group["runs"][0]]
        accuracy, loss = group["test_accuracy"], group["train_loss"]
        band = f" +- {100 * accuracy['half_width_95']:.2f}" if accuracy["half_width_95"] is not None else ""
        private = run_["settings"].get("privacy.mechanism", "none") != "none"
        epsilon = "infinite" if run_["epsilon"] is None else f"{run_['epsilon']:.3g}"
        print(f"  {run_['method']:6}{group['makespan_s']['mean']:9.2f} s emulated   accuracy {100 * accuracy['mean']:.2f}{band} %   "
              f"loss {loss['mean']:.4f}" + (f"   z {run_['settings']['privacy.noise_multiplier']:g}, epsilon {epsilon}"
                                            if private else ""))


def draw(pipar, results, folder, figures, *options):
    """Draws, and returns the names of the figures."""
    done = subprocess.run([pipar, "plot", *results, "-o", folder, *options], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0 and figures:
        fail(done.stderr.strip())
    return [pathlib.Path(line.split(" (")[0]).stem for line in done.stdout.splitlines()]


def print_figures(names):
    """A line a kind of figure: its files and what they show."""
    for kind, shows in FIGURES.items():
        of = [name for name in names if name == kind or (kind == "gantt" and name.startswith("gantt-"))]
        if of:
            print(f"  {', '.join(of)}: {shows}")


def gaps_to_bounds(path):
    """Of every method the least and largest gap in the data of figure `bounds`."""
    gaps = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            gaps.setdefault(row["method"], []).append(100 * float(row["gap"]))
    return ", ".join(f"{method} {min(of):.1f} to {max(of):.1f} %" for method, of in gaps.items())


def finding(name, of, folder):
    """What the experiment found, in a line of numbers from the results; None where the headline says it."""
    runs = of["runs"]
    times = [run_["makespan_s"] for run_ in runs]
    if name == "06_changing_bandwidth":
        by_replan = {run_["settings"]["pipeline.replan"]: run_["makespan_s"] for run_ in runs}
        if sorted(by_replan) == [0, 1]:
            return f"planned once {by_replan[0]:.1f} s, planned again every round {by_replan[1]:.1f} s"
    if name == "08_aps":
        best, worst = {}, {}
        for run_ in runs:
            best[cell_of_plans(run_)] = min(run_["makespan_s"], best.get(cell_of_plans(run_), run_["makespan_s"]))
        for run_ in runs:
            planner, ratio = run_["settings"]["pipeline.planner"], run_["makespan_s"] / best[cell_of_plans(run_)]
            worst[planner] = max(ratio, worst.get(planner, 1))
        return "at most so many times as long as the best plan: " + ", ".join(
            f"{planner} {ratio:.2f}x" for planner, ratio in worst.items())
    if name == "10_heat_map":
        least = min(runs, key=lambda run_: run_["makespan_s"])
        return (f"least {least['makespan_s']:.1f} s, with split {least['split'][0]} and {least['micro_batches'][0]} micro-batches; "
                f"most {max(times):.1f} s")
    if name == "11_beyond" and (folder / "bounds.csv").exists():
        return f"longer than a bound that no order of the same stages can beat, by: {gaps_to_bounds(folder / 'bounds.csv')}"
    if name == "13_as_published" and (folder / "idle-as-published.csv").exists():
        return largest_as_published(folder / "idle-as-published.csv")
    if name in ("05_heterogeneous", "09_scale", "12_sensitivity"):
        found = [(largest([(name, of)], key), text) for key, text in RATIOS if key != "device_idle_reduction"]
        return "pipar against fl, at most: " + ", ".join(
            f"{text} {best[0]:.1f}x ({best[2]})" for best, text in found if best) if any(best for best, _ in found) else None
    return None


def largest_as_published(path):
    found = []
    for cell, of in read_as_published(path).items():
        if "fl" in of and "pipar" in of and float(of["pipar"]["server_idle_s"]) > 0:
            found.append((float(of["fl"]["server_idle_s"]) / float(of["pipar"]["server_idle_s"]), ", ".join(cell)))
    if not found:
        return None
    return "pipar against fl, at most, by those definitions: server idle time less by {:.1f}x ({})".format(*max(found))


def cell_of_plans(run_):
    return run_["model"], run_["settings"]["devices.0.network.name"]


def run_both_clocks(pipar, output, settings, figures):
    """The quickstart, really paced by the wall clock on five ranks, beside the same under the virtual clock."""
    files = []
    for clock in ("virtual", "wall"):
        path = output / f"{WALL}_{clock}.h5"
        call([*launcher(5), pipar, "run", "experiments/01_quickstart.yaml", "-o", path, "--force", "-q",
              *arguments_of([f"clock={clock}", "dataset.train_samples=2000", "dataset.test_samples=1000",
                             "pipeline={split: 2, micro_batches: 5}", "devices.0.network=code-50-50", *settings])])
        files.append(path)
    drawn = draw(pipar, files, output / WALL, figures)
    print(f"{WALL}: idle time under the wall clock, five ranks on this machine, beside the virtual clock's: overrun "
          f"{', '.join(format(run_['overrun_s'], '.3f') + ' s' for run_ in report(pipar, files[1])['runs'])}")
    print_figures(drawn)


def sensitivity(of):
    """The tables of docs/reproduction.md, in Markdown."""
    runs = [run_ for run_ in of["runs"] if run_["method"] == "pipar"]
    servers = list(dict.fromkeys(run_["settings"]["server.device.name"] for run_ in runs))
    rates = list(dict.fromkeys(run_["settings"]["devices.0.network.up_mbps"] for run_ in runs))
    lines = []
    for key, title, published in (("server_idle_reduction", "server idle time less by", PUBLISHED_IDLE),
                                  ("speedup", "training faster by", PUBLISHED_SPEEDUP)):
        cell = {(run_["settings"]["server.device.name"], run_["settings"]["devices.0.network.up_mbps"]): run_[key]
                for run_ in runs}
        lines += [f"| {title} | " + " | ".join(f"{rate:g} Mbit/s" for rate in rates) + " |",
                  "| --- |" + " ---: |" * len(rates)]
        for server in servers:
            values = [cell[server, rate] for rate in rates]
            lines.append(f"| server {server} | " + " | ".join(
                f"**{value:.1f}x**" if value >= published else f"{value:.1f}x" for value in values) + " |")
        lines += ["", f"Bold: at least the published {published}x.", ""]
    return "\n".join(lines)


def read_as_published(path):
    """{(network, link): {method: row of the figure's data}}."""
    cells = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            cells.setdefault((row.get("model", ""), row.get("devices.0.network.name", "")), {})[row["method"]] = row
    return cells


def as_published(path):
    """The table of docs/reproduction.md from the data of the figure: seconds by the published code's definitions, in bold
    where `sfl` idles more than `fl`."""
    cells = read_as_published(path)
    lines = ["| network, link | server: `fl` | `sfl` | `pipar` | devices: `fl` | `sfl` | `pipar` |",
             "| --- |" + " ---: |" * 6]
    for cell, of in cells.items():
        shown = []
        for key in ("server_idle_s", "device_idle_s"):
            for method in ("fl", "sfl", "pipar"):
                value = float(of[method][key])
                more = method != "fl" and value > float(of["fl"][key])
                shown.append(f"**{value:.1f}**" if more else f"{value:.1f}")
        lines.append(f"| {', '.join(cell)} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main():
    args = parse()
    if args.check:
        return
    started = time.monotonic()
    output = pathlib.Path(args.output)
    figures = shutil.which("gnuplot") is not None
    if not figures:
        print("gnuplot is not here: no figures, but their data.", file=sys.stderr)
    trained = [entry[0] for entry in TRAINED]
    headline = []
    settings = arguments_of(args.settings)
    for name, shows, options in TIMED + TRAINED:
        if not (name in args.only if args.only else args.train or name not in trained):
            continue
        begun = time.monotonic()
        results, of, kept = run(args.pipar, name, output, settings, keep=name in trained)
        drawn = draw(args.pipar, [results], output / name, figures, *options)
        took = f", {time.monotonic() - begun:.0f} s" if name in trained else ""
        print(f"{name}: {shows}: {len(of['runs'])} runs{', kept from before' if kept else took}", flush=True)
        print_figures(drawn)
        found = finding(name, of, output / name)
        if found:
            print(f"  -> {found}", flush=True)
        if name in trained:
            print_trained(of)
        if name in ("02_small_devices", "03_gpu_server"):
            headline.append((name, of))
        if name == "12_sensitivity":
            (output / "sensitivity.md").write_text(sensitivity(of))
        if name == "13_as_published" and (output / name / "idle-as-published.csv").exists() and not settings:
            (output / "as-published.md").write_text(as_published(output / name / "idle-as-published.csv"))
    if WALL in args.only if args.only else args.train:
        run_both_clocks(args.pipar, output, args.settings, figures)
    if headline:
        (output / "headline.md").write_text(headline_table(headline))
        print_headline(headline)
    print(f"\nFigures as SVG and PNG, their data as CSV beside them, in {output}/. Took {time.monotonic() - started:.0f} s.")


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        main()
    except KeyboardInterrupt:
        print("reproduce: interrupted; experiments that finished training are kept: the same call goes on.", file=sys.stderr)
        sys.exit(130)
