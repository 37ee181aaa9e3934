"""Run a target of make for every interpreter found.

Arguments are passed on to make, but for `--only`, for those of a kind or of a version.
"""

import argparse
import subprocess
import sys

from interpreters import chosen


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--only", action="append", default=[], metavar="3.11")
    known, target = arguments.parse_known_args()
    found = chosen(known.only)
    failed = []
    for name, path in found.items():
        print(f"== {name}", flush=True)
        command = ["make", "--no-print-directory", *target, f"PYTHON={path}"]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    if failed:
        sys.exit(f"make {' '.join(target)} failed for {', '.join(failed)}")


if __name__ == "__main__":
    main()
