"""Run `make bench-one` for every interpreter found; options are passed on to make."""

import shutil
import subprocess
import sys

from interpreters import interpreters


def main():
    found = interpreters()
    if not found:
        sys.exit("No interpreter was found: install python3 (3.9 or later) or pypy3.")
    shutil.rmtree("build/bench", ignore_errors=True)  # what was measured before
    for name, path in found.items():
        print(f"== {name}", flush=True)
        command = ["make", "--no-print-directory", "bench-one", f"PYTHON={path}", *sys.argv[1:]]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(error.cmd)}")
