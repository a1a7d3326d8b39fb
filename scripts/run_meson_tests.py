"""Runs the tests of a Meson build directory and counts their results from Meson's own record, testlog.json."""

import argparse
import json
import pathlib
import subprocess
import sys

QUICK_LEAVES_OUT = {"mpi", "real", "static", "arm64"}
PASSED = {"OK", "EXPECTEDFAIL"}
LOG_LINES = 60
PATIENCE = 4  # times a test's own timeout: other work on the machine is no failure


def read_tests(build):
    """The tests of the build directory as a list of (name, set of suites without the project's name). Those that run beside
    others come first: one that runs alone waits for all others, and a processor with them."""
    text = subprocess.run(["meson", "introspect", "--tests", build], check=True, capture_output=True, text=True).stdout
    tests = sorted(json.loads(text), key=lambda t: (not t["is_parallel"], -t["priority"]))
    return [(t["name"], {s.split(":", 1)[-1] for s in t["suite"]}) for t in tests]


def choose(tests, selectors, quick):
    """Names of the tests to run, without repetition."""
    suites = {suite for _, of in tests for suite in of}
    names = {name for name, _ in tests}
    unknown = [s for s in selectors if s not in suites | names]
    if unknown:
        sys.exit(f"run-tests: '{unknown[0]}' is neither a suite ({', '.join(sorted(suites))}) nor a test (see --list)")
    chosen = [
        name
        for name, of in tests
        if (not selectors or name in selectors or of & set(selectors)) and not (quick and of & QUICK_LEAVES_OUT)
    ]
    return list(dict.fromkeys(chosen))


def short_name(result):
    return result["name"].split(" / ", 1)[-1]


def last_line(result):
    lines = [line.strip() for line in (result.get("stdout", "") + result.get("stderr", "")).splitlines()]
    return next((line for line in reversed(lines) if line), "no reason given")


def show_failures(failed):
    for result in failed:
        text = (result.get("stdout", "") + result.get("stderr", "")).splitlines()
        print(f"\n==== {result['name']}: {result['result']} (exit code {result.get('returncode')})")
        if len(text) > LOG_LINES:
            print(f"  ... {len(text) - LOG_LINES} lines before these are in the log")
        for line in text[-LOG_LINES:]:
            print(f"  {line}")


def main():
    parser = argparse.ArgumentParser(prog="run-tests")
    parser.add_argument("build")
    parser.add_argument("selectors", nargs="*", metavar="SUITE|NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()

    tests = read_tests(args.build)
    names = choose(tests, args.selectors, args.quick)
    if args.list:
        print("\n".join(f"{', '.join(sorted(of)):8} {name}" for name, of in tests if name in names))
        return 0

    log = pathlib.Path(args.build, "meson-logs", "testlog.json")
    log.unlink(missing_ok=True)
    code = 0
    if names:
        code = subprocess.run(
            ["meson", "test", "-C", args.build, "--no-rebuild", "--timeout-multiplier", str(PATIENCE), *names]
        ).returncode
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    failed = [r for r in results if r["result"] not in PASSED | {"SKIP"}]
    skipped = [r for r in results if r["result"] == "SKIP"]
    passed = len(results) - len(failed) - len(skipped)

    show_failures(failed)
    print()
    for result in skipped:
        print(f"skipped {short_name(result)}: {last_line(result)}")
    if passed + len(failed) == 0:
        print("no test ran")
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or code != 0 or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
