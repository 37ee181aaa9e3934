"""Compares this build with another commit's, in instructions: `python -m bench.builds COMMIT`.

For each row of a thread alone (bench/uncontended.py), how many instructions the processor takes
for it, by valgrind's callgrind: that does not depend on what else the machine does, so that a
difference of one percent is seen which would be lost in the noise of times. On CPython only, since
under valgrind PyPy's compiler is not what it is.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from bench.subjects import LOCKS, LOWTHREAD, PYPY
from bench.uncontended import MAKE, ROWS

ROOT = pathlib.Path(__file__).resolve().parent.parent

#: So often it is done, and so often before that, when the interpreter still adapts to it.
TIMES, BEFORE = 10_000, 1_000

# Twice the same, but for how often: what begins and ends the process is in both.
PROGRAM = """\
import gc, sys
{imports}
{setup}
def repeat(times):
    for _ in range(times):
        {statement}
gc.disable()
repeat(int(sys.argv[1]))
"""


def build(commit, folder):
    """Build what a commit has in a folder, for this interpreter."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def instructions(folder, row, times=TIMES):
    """Return how many instructions a row takes with the build in a folder."""
    imports, lock, rlock, acquire, release = LOCKS[LOWTHREAD]
    code = {"lock": lock, "rlock": rlock, "acquire": acquire, "release": release}
    code["make"] = MAKE[LOWTHREAD]
    statement, setup = (text.format(**code) for text in ROWS[row])
    if "\n" not in statement and "; " in statement:
        statement = statement.replace("; ", "\n        ")
    program = PROGRAM.format(imports=imports, setup=setup, statement=statement)
    env = {**os.environ, "PYTHONHASHSEED": "0", "LOWTHREAD_BACKEND": "native"}
    # Before they are counted, what has to be compiled is.
    subprocess.run([sys.executable, "-c", program, "1"], cwd=folder, env=env, check=True)
    counts = []
    for repeated in (BEFORE, BEFORE + times):
        # The folder by the environment: where the sizes of what is there differ, so does the sum.
        done = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
                *(sys.executable, "-c", program, str(repeated)),
            ],
            cwd=folder,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
        counts.append(int(re.search(r"Collected : (\d+)", done.stderr)[1]))
    return (counts[1] - counts[0]) / times


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.builds", description=__doc__)
    parser.add_argument("commit", help="which one to compare with")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this one")
    options = parser.parse_args()
    if PYPY:
        sys.exit("PyPy's instructions cannot be counted so: use CPython.")
    with tempfile.TemporaryDirectory(prefix="lowthread-build-") as folder:
        build(options.commit, folder)
        print("| | before | now | |\n|---|--:|--:|--:|")
        for row in options.row or ROWS:
            before, now = instructions(folder, row), instructions(ROOT, row)
            print(f"| {row} | {before:.0f} | {now:.0f} | {now / before:.3f} |", flush=True)


if __name__ == "__main__":
    main()
