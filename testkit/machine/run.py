"""Runs the tests of clean machines: every `test_*` function of tests/test_*.py, each on a machine of its own.

    run.sh [--only TEXT]     those whose name (file and function) contains TEXT
    run.sh --list
    run.sh --shell           a shell in a fresh machine

A test is a function that takes a booted `Machine`; the programs lie in it at /mnt/dgon, built packages at
/mnt/packages. It passes when it returns. Without root, or not on Debian, the whole step is skipped, says so and
ends with 77.
"""

import argparse
import importlib
import inspect
import pathlib
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).parent
# Exit code that says that nothing was tested, as the gate knows it.
SKIPPED = 77
sys.path[:0] = [str(HERE), str(HERE / "tests")]

import base  # noqa: E402
from machine import Machine  # noqa: E402


def tests(only):
    """Name and function of each test, in the order of files and lines."""
    for file in sorted((HERE / "tests").glob("test_*.py")):
        module = importlib.import_module(file.stem)
        found = inspect.getmembers(module, inspect.isfunction)
        own = [(name, test) for name, test in found if name.startswith("test_") and test.__module__ == file.stem]
        for name, test in sorted(own, key=lambda pair: pair[1].__code__.co_firstlineno):
            title = f"{file.stem.removeprefix('test_')}::{name.removeprefix('test_')}"
            if only in title:
                yield title, test


def run(chosen, make):
    failed = []
    for number, (title, test) in enumerate(chosen):
        begin = time.monotonic()
        try:
            with make(number) as machine:
                test(machine)
        except Exception:  # any fault of a test is a failed test
            traceback.print_exc(file=sys.stdout)
            failed.append(title)
        verdict = "FAILED" if title in failed else "ok"
        print(f"{verdict:6} {title:60} {time.monotonic() - begin:6.1f} s", flush=True)
    for title in failed:
        print(f"FAILED {title}")
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not chosen else 0


def shell(machine):
    enter = ["nsenter", "--target", str(machine.pid), *"-m -u -i -n -p -r -w --".split()]
    subprocess.run([*enter, "env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin", "TERM=linux", "bash"], check=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, help="folder of the built programs")
    parser.add_argument("--packages", help="folder of the built packages")
    parser.add_argument("--work", required=True, help="folder for what the machines write")
    parser.add_argument("--only", default="", help="run only tests whose name contains this")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--shell", action="store_true")
    arguments = parser.parse_args()
    chosen = list(tests(arguments.only))
    if arguments.list:
        print("\n".join(title for title, _ in chosen))
        return 0
    try:
        base.check()
    except base.Unavailable as reason:
        print(f"SKIPPED the tests on clean machines ({len(chosen)}): {reason}")
        return SKIPPED
    binds = {arguments.bin: "/mnt/dgon"}
    if arguments.packages:
        binds[arguments.packages] = "/mnt/packages"

    def make(number):
        return Machine(pathlib.Path(arguments.work) / f"{pathlib.os.getpid()}-{number}", binds)

    if arguments.shell:
        with make(0) as machine:
            shell(machine)
        return 0
    return run(chosen, make)


if __name__ == "__main__":
    sys.exit(main())
