"""Run `make test` for every interpreter found and each backend, with a line for each.

Looks for CPython 3.9 and later under ~/.pyenv/versions and on PATH, and for pypy3. The
exit status is 1 if the tests of one fail, or if there is no interpreter at all. Options
are passed on to make.
"""

import glob
import os
import shutil
import subprocess
import sys
import time

WHO = """
import platform, sys
print(*sys.version_info[:2])
print(platform.python_implementation(), platform.python_version())
"""


def candidates():
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    for name in ["python3", *(f"python3.{minor}" for minor in range(9, 30)), "pypy3"]:
        path = shutil.which(name)
        if path:
            yield path


def interpreters():
    """Return {name: path}, the first path of each version."""
    found = {}
    for path in candidates():
        # A shim may stand for a version that is not installed.
        run = subprocess.run([path, "-c", WHO], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            continue
        version, name = run.stdout.splitlines()
        if tuple(map(int, version.split())) >= (3, 9):
            found.setdefault(name, path)
    return dict(sorted(found.items(), key=lambda item: version_key(item[0])))


def version_key(name):
    kind, version = name.split()
    return kind, [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")]


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
    found = interpreters()
    if not found:
        sys.exit("No interpreter was found: install python3 (3.9 or later) or pypy3.")
    results = [
        test(name, path, backend, sys.argv[1:])
        for name, path in found.items()
        for backend in backends(name)
    ]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
