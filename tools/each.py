"""Run a target of make for every interpreter found; more arguments are passed on to make."""

import subprocess
import sys

from interpreters import interpreters


def main():
    found = interpreters()
    if not found:
        sys.exit("No interpreter was found: install python3 (3.9 or later) or pypy3.")
    failed = []
    for name, path in found.items():
        print(f"== {name}", flush=True)
        command = ["make", "--no-print-directory", *sys.argv[1:], f"PYTHON={path}"]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    if failed:
        sys.exit(f"make {' '.join(sys.argv[1:])} failed for {', '.join(failed)}")


if __name__ == "__main__":
    main()
