"""Check that the jobs of wheels.yml share out what pyproject.toml has cibuildwheel build.

Every wheel is built by one job, and every job builds one or more; prints who builds what.

Needs cibuildwheel and PyYAML; `make lint` runs it.
"""

import itertools
import os
import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "wheels.yml"

RUNNERS = {
    "ubuntu-24.04": ("linux", "x86_64"),
    "ubuntu-24.04-arm": ("linux", "aarch64"),
    "macos-15": ("macos", "arm64"),
    "macos-15-intel": ("macos", "x86_64"),
}


def jobs(matrix):
    """Yield the combinations of a matrix, as GitHub makes them.

    matrix: lists by key, with `exclude` and `include`; each of the latter must fit a combination.
    """
    axes = {k: v for k, v in matrix.items() if k not in ("include", "exclude")}
    for values in itertools.product(*axes.values()):
        job = dict(zip(axes, values))
        if any(out.items() <= job.items() for out in matrix.get("exclude", ())):
            continue
        for extra in matrix.get("include", ()):
            if all(job.get(k, v) == v for k, v in extra.items() if k in axes):
                job.update(extra)
        yield job


def identifiers(platform, arch, skip=None):
    """Return what cibuildwheel would build, a set of names such as cp39-manylinux_x86_64."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--allow-empty"),
            *("--platform", platform, "--archs", arch, str(ROOT)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **({} if skip is None else {"CIBW_SKIP": skip})},
        check=False,
    )
    if run.returncode != 0:
        sys.exit(run.stdout)
    # With those that it can only build on another machine than this one, which it tells of.
    return set(re.findall(r"\b[cg]?p+\d+t?-\w+", run.stdout))


def main():
    matrix = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["wheels"]["strategy"]["matrix"]
    wanted = set().union(*(identifiers(*runner) for runner in RUNNERS.values()))
    builders = {}
    for job in jobs(matrix):
        found = identifiers(*RUNNERS[job["os"]], skip="*-win* " + job["skip"])
        name = f"{job['of']}, {job['os']}"
        print(f"{name}: {' '.join(sorted(found)) or 'NOTHING'}")
        if not found:
            sys.exit(f"{name} builds nothing")
        for identifier in found:
            builders.setdefault(identifier, []).append(name)
    for identifier in sorted(wanted | set(builders)):
        who = builders.get(identifier, [])
        if len(who) != 1 or identifier not in wanted:
            sys.exit(f"{identifier} should be built once, but is by: {who}")


if __name__ == "__main__":
    main()
