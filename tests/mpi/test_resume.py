#!/usr/bin/python3
"""test_resume.py PIPAR MPIRUN CASE: a run that was stopped or killed and went on, on other numbers of ranks, is to the bit
one that was never stopped. CASE is an experiment in this directory or `kill`."""
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

PIPAR, MPIRUN, CASE = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
HERE = pathlib.Path(__file__).resolve().parent
TRIES = 10  # a run may be over before the signal comes
if os.geteuid() == 0:
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

# Ranks that are stopped, and those that go on; settings. A signal comes after the first round of the run of that number.
EPOCHS = ["training.epochs=4"]
CASES = {
    "training": [(1, 1, 1, EPOCHS), (2, 1, 2, EPOCHS), (5, 3, 3, EPOCHS), (3, 5, 4, EPOCHS), (1, 2, 5, EPOCHS), (2, 3, 6, EPOCHS)],
    "random": [(1, 2, 1, EPOCHS), (3, 1, 1, EPOCHS)],
    "privacy": [(1, 3, 1, EPOCHS), (5, 2, 4, EPOCHS)],
    "privacy-activation": [(2, 1, 3, EPOCHS)],
    "changing": [(1, 5, 1, []), (3, 1, 1, []), (8, 2, 1, [])],
    "async": [(1, 3, 1, []), (3, 2, 1, []), (5, 1, 1, [])],
    "shared": [(1, 3, 1, EPOCHS), (3, 1, 1, EPOCHS)],
    "replan": [(1, 3, 1, []), (3, 1, 1, ["pipeline.replan=2"]), (5, 2, 1, [])],
    "spread": [(1, 3, 3, []), (3, 1, 1, []), (2, 3, 1, [])],
}


def command(ranks, experiment, settings, *options):
    launcher = [MPIRUN, "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    overrides = [word for setting in settings for word in ("--set", setting)]
    return [*launcher, PIPAR, "run", str(experiment), "-o", "out.h5", *overrides, *options]


def clean():
    for name in os.listdir("."):
        if name.startswith("out.h5"):
            os.unlink(name)


def signalled(run, ranks, number):
    """The exit code and the last words of a run that gets a signal as soon as it tells of a round of that run."""
    with subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith(f"run {number} of"):
                break
        process.send_signal(signal.SIGUSR1 if ranks > 1 else random.choice([signal.SIGUSR1, signal.SIGTERM, signal.SIGINT]))
        return process.wait(), process.stderr.read()


def stop(experiment, ranks, number, settings):
    for _ in range(TRIES):
        clean()
        code, errors = signalled(command(ranks, experiment, settings), ranks, number)
        if code == 4:
            assert "pipar: stopped by a signal: out.h5.part holds" in errors, errors
            return
        assert code == 0, errors
    sys.exit(f"{TRIES} runs were over before their signal came")


def finish(experiment, ranks, settings):
    subprocess.run(command(ranks, experiment, settings, "-q", "--resume"), check=True, stdin=subprocess.DEVNULL)
    assert sorted(name for name in os.listdir(".") if name.startswith("out.h5")) == ["out.h5"], os.listdir(".")
    subprocess.run([PIPAR, "diff", "whole.h5", "out.h5"], check=True)


def make_whole(experiment, settings):
    clean()
    subprocess.run(command(1, experiment, settings, "-q"), check=True)
    os.rename("out.h5", "whole.h5")


def test_stops(name):
    experiment, before = HERE / f"{name}.yaml", None
    for stopped, resumed, number, settings in CASES[name]:
        if settings != before:
            make_whole(experiment, settings)
            before = settings
        stop(experiment, stopped, number, settings)
        finish(experiment, resumed, settings)
        print(f"ok: {name}: run {number} stopped on {stopped} ranks, went on on {resumed}", flush=True)


def children(pid):
    """Processes that one started: mpirun puts its ranks into groups of their own."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill_at(run, seconds):
    """Kills the run and its ranks, whatever they do, and waits for their ends; whether it was done before."""
    with subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGSTOP)  # it starts no more of them
            ranks = children(process.pid)
            for pid in (process.pid, *ranks):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            while any(map(is_alive, ranks)):
                time.sleep(0.001)
        return process.wait() == 0, process.stderr.read()


def test_kills():
    """Each time there is something to go on with, or so little that it is said in one line."""
    experiment, settings = HERE / "training.yaml", ["training.epochs=6", "sweep={method: [sl, pipar]}"]
    make_whole(experiment, settings)
    seed = random.randrange(1 << 30)
    print(f"moments from seed {seed}", flush=True)
    moments = random.Random(seed)
    began = time.monotonic()
    subprocess.run(command(1, experiment, settings, "-q"), check=True)
    length = time.monotonic() - began
    for round_ in range(3):
        clean()
        done, options, kills, refused = False, [], 0, 0
        while not done:
            ranks = 1 if round_ < 2 else moments.choice([1, 3])
            run = command(ranks, experiment, settings, "-q", *options)
            moment = moments.uniform(0, 0.5 * length) if kills < 12 else 3600
            done, errors = kill_at(run, moment)
            kills += not done
            refusals = [line for line in errors.splitlines() if line.startswith("pipar: ")]
            refused += len(refusals)
            # Killed before its tables were there, when nothing is lost by beginning again, or as objects were being added.
            assert not refusals or not os.path.exists("out.h5.ckpt") or "saved a network" in errors, errors
            options = ["--force"] if refusals else ["--resume"] if os.path.exists("out.h5.part") else []
        subprocess.run([PIPAR, "diff", "whole.h5", "out.h5"], check=True)
        print(f"ok: killed {kills} times, of which {refused} before there was anything to go on with", flush=True)


os.chdir(tempfile.mkdtemp(prefix="pipar-resume-"))
try:
    test_kills() if CASE == "kill" else test_stops(CASE)
finally:
    subprocess.run(["rm", "-rf", os.getcwd()], check=True)
