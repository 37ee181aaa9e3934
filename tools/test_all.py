"""Run `make test` for every interpreter found and each backend, with a line for each.

The backends of an interpreter have one build and run at the same time.

The exit status is 1 if the tests of one fail, or if there is no interpreter at all. Options
are passed on to make, but for `--only`, for those of a kind or of a version, and `--backend`, for
one of the two.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from interpreters import chosen


def backends(name):
    return ["cffi"] if name.startswith("PyPy") else ["native", "cffi"]


def test(name, path, backend, options):
    """Run the tests; return whether they passed."""
    os.makedirs("build", exist_ok=True)
    name = f"{name} {backend}"
    log = os.path.join("build", "test-" + name.replace(" ", "-") + ".log")
    begin = time.monotonic()
    with open(log, "w", encoding="utf-8") as f:
        status = subprocess.run(
            [
                *("make", "--no-print-directory", "test"),
                *(f"PYTHON={path}", f"BACKEND={backend}", *options),
            ],
            stdout=f,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines() or ["(no output)"]
    if status != 0:
        print("\n".join(lines[-60:]))
    summary = next((x for x in reversed(lines) if " passed" in x or " failed" in x), lines[-1])
    verdict = "ok    " if status == 0 else "FAILED"
    seconds = time.monotonic() - begin
    print(f"{name:22} {verdict} {seconds:4.0f} s  {summary.strip('= ')}", flush=True)
    return status == 0


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--backend", choices=["native", "cffi"])
    arguments.add_argument("--only", action="append", default=[], metavar="3.11")
    known, options = arguments.parse_known_args()
    found = chosen(known.only)
    results = []
    for name, path in found.items():
        build = ["make", "--no-print-directory", "build", f"PYTHON={path}", *options]
        subprocess.run(build, stdout=subprocess.DEVNULL, check=False)  # or `make test` says why
        with ThreadPoolExecutor() as pool:
            runs = [
                pool.submit(test, name, path, backend, options)
                for backend in backends(name)
                if known.backend in (None, backend)
            ]
        results += [run.result() for run in runs]
    if not results:
        sys.exit(f"None of {', '.join(found)} has the backend {known.backend}.")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
