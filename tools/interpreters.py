"""Finds the interpreters of this machine.

CPython 3.9 and later under ~/.pyenv/versions and on PATH, and pypy3.
"""

import glob
import os
import shutil
import subprocess
import sys

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


def is_called(name, wanted):
    """Return whether a name is of a kind or version: "PyPy", "3.9" or "CPython-3.9"."""
    names = [*name.split(), name.replace(" ", "-")]
    return any(f"{part}.".startswith(f"{wanted}.") for part in names)


def chosen(only):
    """Return the interpreters that are called by one of these, or all if it is empty.

    Exits if there is none at all, or none that is called so.
    """
    found = interpreters()
    if not found:
        sys.exit("No interpreter was found: install python3 (3.9 or later) or pypy3.")
    for wanted in only:
        if not any(is_called(name, wanted) for name in found):
            sys.exit(f"There is no interpreter {wanted}: there are {', '.join(found)}.")
    return {n: p for n, p in found.items() if not only or any(is_called(n, w) for w in only)}


def version_key(name):
    kind, version = name.split()
    return kind, [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")]
